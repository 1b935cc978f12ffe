namespace Fokker

open System

/// Two samples told apart by a classifier: where their laws are one, no classifier is right more often than half of the time on points that it was not made
/// from (Friedman 2003; Lopez-Paz, Oquab 2017, Revisiting classifier two-sample tests).
[<RequireQualifiedAccess>]
module TwoSample =

    let private deviationsOver (dims: int list) (x: Tensor) : float[] =
        Tensor.toFloats (sqrt (Tensor.varianceOver dims 1 x))
        |> Array.map (fun deviation -> if deviation > 0.0 && Double.IsFinite deviation then deviation else 1.0)

    /// Deviations of the columns of x [n; d], [d]; 1 for a column that does not vary.
    let internal deviations (x: Tensor) : float[] = deviationsOver [ 0 ] x

    /// Deviations of the series of windows x [n; C; L], each for all of its places, [C · L]; 1 for a series that does not vary.
    let internal seriesDeviations (x: Tensor) : float[] =
        deviationsOver [ 0; 2 ] x |> Array.collect (Array.replicate x.Shape[2])

    /// x [n; …] as [n; d] with each column divided by a number.
    let internal scaledBy (units: float[]) (x: Tensor) : Tensor =
        Tensor.flattenRows (x.To Dtype.Float64) / Tensor.ofArray [ 1; units.Length ] units

    /// How many of the nearest points are asked: the odd number at √n or below, so that they never disagree evenly.
    let private asked (n: int) =
        let k = max 1 (int (Math.Sqrt(float n)))
        if k % 2 = 0 then k - 1 else k

    /// x and y as rows in units of their common deviations, each in two halves: those who vote, and those who are named. Which half is which is drawn for each, for samples may have an order.
    let private halves (rng: Rng) (x: Tensor) (y: Tensor) : struct (Tensor * Tensor * Tensor * Tensor) =
        let n = x.Shape[0]

        if y.Shape[0] <> n || n < 4 then
            invalidArg
                (nameof y)
                $"two-sample test: {n} and {y.Shape[0]} points: as many of each are needed, at least 4"

        let flat (t: Tensor) = Tensor.flattenRows (t.To Dtype.Float64)
        let units = deviations (Tensor.cat 0 [ flat x; flat y ])
        let half = n / 2

        let parts (name: string) (t: Tensor) =
            let t = Tensor.indexSelect 0 (Rng.permutation n (Rng.named name rng)) (scaledBy units t)
            struct (Tensor.narrow 0 0 half t, Tensor.narrow 0 half half t)

        let struct (x1, x2) = parts "left" x
        let struct (y1, y2) = parts "right" y
        struct (x1, x2, y1, y2)

    /// The share of named points that are named rightly, those of x before as many of y.
    let private shareOfRight (saysX: bool[]) : float =
        let half = saysX.Length / 2
        let right = saysX |> Array.indexed |> Array.filter (fun (i, said) -> said = (i < half))
        float right.Length / float saysX.Length

    /// The share of held-back points whose sample is named rightly by the majority of its ⌊√m⌋ nearest among the m others: half of x [n; …] and of y [n; …]
    /// vote, and the other halves are named. Columns are in units of the two samples' common deviations, so that a narrow one counts as much as a wide one.
    /// Its expectation is ½ for equal laws and ½ + ½ TV at most. Raises ArgumentException where the samples are of other sizes, or of fewer than four points.
    let neighbours (rng: Rng) (x: Tensor) (y: Tensor) : float =
        let struct (x1, x2, y1, y2) = halves rng x y
        let half = x1.Shape[0]
        let voters, named = Tensor.cat 0 [ x1; y1 ], Tensor.cat 0 [ x2; y2 ]
        let k = asked (2 * half)
        let _, order = Tensor.sort 1 (Wasserstein.squaredDistances named voters)
        let nearest = Tensor.narrow 1 0 k order
        let forX = Tensor.meanOver [ 1 ] ((Tensor.lessThan (float half) nearest).To Dtype.Float64)
        shareOfRight (Tensor.toFloats forX |> Array.map (fun share -> share > 0.5))

    /// log of the distance of each of `points` to the k-th nearest of `others`; a point that is one of them is not its own neighbour.
    let private logDistances (k: int) (points: Tensor) (others: Tensor) (areTheSame: bool) : float[] =
        let squares = Wasserstein.squaredDistances points others

        let squares =
            if areTheSame then
                squares + Tensor.diagEmbed (Tensor.full squares.Kind [ points.Shape[0] ] infinity)
            else
                squares

        Tensor.toFloats (Tensor.kthLowest k 1 squares)
        |> Array.map (fun square -> 0.5 * Math.Log(max square 1e-300))

    /// The same share for another judge: Fisher's linear discriminant of two numbers for each point, the logarithms of its distances to the k-th nearest of x and of y among those who
    /// vote. In many dimensions the nearest of all points may be of one sample, that which lies closer together, whosesoever they are, and a majority names nobody; how far they are tells
    /// the samples apart. Its expectation is ½ for equal laws and ½ + ½ TV at most. Raises ArgumentException as `neighbours` does.
    let distances (rng: Rng) (x: Tensor) (y: Tensor) : float =
        let struct (x1, x2, y1, y2) = halves rng x y
        let k = min (asked (2 * x1.Shape[0])) (x1.Shape[0] - 1)
        let seen (points: Tensor) (own: Tensor option) =
            let to' (others: Tensor) =
                logDistances k points others (own |> Option.exists (fun t -> obj.ReferenceEquals(t, others)))
            Array.zip (to' x1) (to' y1)

        let ofX, ofY = seen x1 (Some x1), seen y1 (Some y1)
        let mean points = Array.averageBy fst points, Array.averageBy snd points
        let (ax, bx), (ay, by) = mean ofX, mean ofY

        // Σ w = m_x − m_y with Σ the sum of both samples' scatter; a hair of ridge for where a coordinate does not vary.
        let scatter f g =
            (ofX |> Array.averageBy (fun (a, b) -> f (a - ax) (b - bx) * g (a - ax) (b - bx)))
            + (ofY |> Array.averageBy (fun (a, b) -> f (a - ay) (b - by) * g (a - ay) (b - by)))

        let first, second = (fun a _ -> a), (fun _ b -> b)
        let aa, ab, bb = scatter first first + 1e-12, scatter first second, scatter second second + 1e-12
        let da, db = ax - ay, bx - by
        let wa, wb = bb * da - ab * db, aa * db - ab * da
        let middle = 0.5 * (wa * (ax + ay) + wb * (bx + by))

        Array.append (seen x2 None) (seen y2 None)
        |> Array.map (fun (a, b) -> wa * a + wb * b > middle)
        |> shareOfRight

/// Measures that see every column of a vector, however narrow it is beside the others.
[<RequireQualifiedAccess>]
module ColumnMeasures =

    /// The exact W₂ with every column in a unit of its own, such as its deviation.
    let standardized (units: float[]) : Measure =
        { Name = "standardizedWasserstein2"
          Equation = "√(min_π 1/n Σ ‖(xᵢ − y_π(i))/s‖²), s the deviations of the data's columns"
          Reference = "Villani 2009"
          Better = Better.Lower
          FloorIsKnown = false
          Between = fun _ x y -> Wasserstein.exact (TwoSample.scaledBy units x) (TwoSample.scaledBy units y) }

    /// The largest of the distances W₂ between single columns, each in its own unit: it names no column less than another.
    let worst (units: float[]) : Measure =
        { Name = "worstColumn"
          Equation = "max_k W₂(x_k, y_k)/s_k, s the deviations of the data's columns"
          Reference = "Villani 2009, on the line"
          Better = Better.Lower
          FloorIsKnown = false
          Between =
            fun _ x y ->
                let x, y = TwoSample.scaledBy units x, TwoSample.scaledBy units y
                let sorted t = fst (Tensor.sort 0 t)
                let squares = Tensor.meanOver [ 0 ] (Tensor.square (sorted x - sorted y))
                Math.Sqrt((Tensor.maxOver [ 0 ] squares).ToFloat()) }

    /// How much wider the widest column may be than the narrowest before the distances that add columns up do not see the narrow one.
    let private far = 10.0

    /// Both measures for data whose columns, or series, are of very different widths; none elsewhere. The sample [n; …] of the data says how wide they are.
    let suiting (sample: Tensor) : Measure list =
        let sample = sample.To Dtype.Float64

        let units =
            match List.ofArray sample.Shape with
            | [ _; _; _ ] -> TwoSample.seriesDeviations sample
            | [ _; d ] when d > 1 -> TwoSample.deviations sample
            | _ -> [||]

        if units.Length > 1 && Array.max units > far * Array.min units then
            [ standardized units; worst units ]
        else
            []
