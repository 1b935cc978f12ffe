namespace Fokker

open System

/// Two samples told apart by a classifier: where their laws are one, no classifier is right more often than half of the time on points that it was not made
/// from (Friedman 2003; Lopez-Paz, Oquab 2017, Revisiting classifier two-sample tests).
[<RequireQualifiedAccess>]
module TwoSample =

    /// Deviations of the columns of x [n; d], [d]; 1 for a column that does not vary.
    let internal deviations (x: Tensor) : float[] =
        Tensor.toFloats (sqrt (Tensor.varianceOver [ 0 ] 1 x))
        |> Array.map (fun deviation -> if deviation > 0.0 && Double.IsFinite deviation then deviation else 1.0)

    /// x [n; …] as [n; d] with each column divided by a number.
    let internal scaledBy (units: float[]) (x: Tensor) : Tensor =
        Tensor.flattenRows (x.To Dtype.Float64) / Tensor.ofArray [ 1; units.Length ] units

    /// How many of the nearest points are asked: the odd number at √n or below, so that they never disagree evenly.
    let private asked (n: int) =
        let k = max 1 (int (Math.Sqrt(float n)))
        if k % 2 = 0 then k - 1 else k

    /// The share of held-back points whose sample is named rightly by the majority of its ⌊√m⌋ nearest among the m others: half of x [n; …] and of y [n; …]
    /// vote, and the other halves are named. Columns are in units of the two samples' common deviations, so that a narrow one counts as much as a wide one.
    /// Its expectation is ½ for equal laws and ½ + ½ TV at most. Raises ArgumentException where the samples are of other sizes, or of fewer than four points.
    let neighbours (rng: Rng) (x: Tensor) (y: Tensor) : float =
        let n = x.Shape[0]

        if y.Shape[0] <> n || n < 4 then
            invalidArg
                (nameof y)
                $"two-sample test: {n} and {y.Shape[0]} points: as many of each are needed, at least 4"

        let flat (t: Tensor) = Tensor.flattenRows (t.To Dtype.Float64)
        let units = deviations (Tensor.cat 0 [ flat x; flat y ])
        let half = n / 2

        // Which half votes is drawn for each: samples may have an order.
        let parts (name: string) (t: Tensor) =
            let t = Tensor.indexSelect 0 (Rng.permutation n (Rng.named name rng)) (scaledBy units t)
            Tensor.narrow 0 0 half t, Tensor.narrow 0 half half t

        let (x1, x2), (y1, y2) = parts "left" x, parts "right" y
        let voters, named = Tensor.cat 0 [ x1; y1 ], Tensor.cat 0 [ x2; y2 ]
        let k = asked (2 * half)
        let _, order = Tensor.sort 1 (Wasserstein.squaredDistances named voters)
        let nearest = Tensor.narrow 1 0 k order
        let forX = Tensor.meanOver [ 1 ] ((Tensor.lessThan (float half) nearest).To Dtype.Float64)
        let saysX = Tensor.toFloats forX |> Array.map (fun share -> share > 0.5)
        let right = saysX |> Array.indexed |> Array.filter (fun (i, said) -> said = (i < half))
        float right.Length / float saysX.Length

/// Measures that see every column of a vector, however narrow it is beside the others.
[<RequireQualifiedAccess>]
module ColumnMeasures =

    /// The exact W₂ with every column in a unit of its own, such as its deviation.
    let standardized (units: float[]) : Measure =
        { Name = "standardizedWasserstein2"
          Equation = "√(min_π 1/n Σ ‖(xᵢ − y_π(i))/s‖²), s the deviations of the data's columns"
          Reference = "Villani 2009"
          Between = fun _ x y -> Wasserstein.exact (TwoSample.scaledBy units x) (TwoSample.scaledBy units y) }

    /// The largest of the distances W₂ between single columns, each in its own unit: it names no column less than another.
    let worst (units: float[]) : Measure =
        { Name = "worstColumn"
          Equation = "max_k W₂(x_k, y_k)/s_k, s the deviations of the data's columns"
          Reference = "Villani 2009, on the line"
          Between =
            fun _ x y ->
                let x, y = TwoSample.scaledBy units x, TwoSample.scaledBy units y
                let sorted t = fst (Tensor.sort 0 t)
                let squares = Tensor.meanOver [ 0 ] (Tensor.square (sorted x - sorted y))
                Math.Sqrt((Tensor.maxOver [ 0 ] squares).ToFloat()) }

    /// How much wider the widest column may be than the narrowest before the distances that add columns up do not see the narrow one.
    let private far = 10.0

    /// Both measures for data whose columns are of very different widths; none elsewhere. The sample [n; …] of the data says how wide they are.
    let suiting (sample: Tensor) : Measure list =
        if sample.Rank <> 2 || sample.Shape[1] < 2 then
            []
        else
            let units = TwoSample.deviations (sample.To Dtype.Float64)
            if Array.max units > far * Array.min units then [ standardized units; worst units ] else []
