namespace Fokker

open System
open System.IO
open System.Text.Json

/// What is seen of a sample.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Operator =
    /// A x for a matrix [m; d]; samples of several axes are read in a row.
    | Matrix of Tensor
    /// x where the mask is not 0; of a sample's shape, or of the last axes of it.
    | Mask of Tensor
    /// The coordinates of these places.
    | Coordinates of int list
    /// Means over blocks of so many neighbours, along the last axis of a vector and the last two of an image: what super-resolution undoes.
    | Average of int
    /// The same numbers blurred by a Gaussian of this standard deviation in pixels, its weights at the edges scaled to sum to 1.
    | Blur of float
    /// The mean over the channels: what colorization undoes.
    | Grey
    /// A linear function of the caller's, [B; …] ↦ [B; …]; its adjoint is found by automatic differentiation.
    | Linear of (Tensor -> Tensor)
    /// Any function of the caller's that can be differentiated, [B; …] ↦ [B; …].
    | Nonlinear of (Tensor -> Tensor)

/// y = A x₀ + n, n ~ N(0, s² I): what is known of a sample.
[<NoComparison; NoEquality>]
type Observation =
    {
        Operator: Operator
        /// s, the standard deviation of each number's noise.
        Noise: float
    }

/// An observation of samples of one shape.
[<NoComparison; NoEquality>]
type Sensor =
    {
        /// The operator in a word or two.
        Name: string
        /// The shapes of x and of y, without the batch.
        Input: int list
        Output: int list
        /// x [B; …] ↦ A x [B; …], which may be affine.
        Apply: Tensor -> Tensor
        /// The linear part of it, and its adjoint; none for a function that is not linear.
        Linear: ((Tensor -> Tensor) * (Tensor -> Tensor)) option
        /// s.
        Noise: float
        /// 1 at the numbers that are seen and 0 elsewhere, in a sample's shape, where seeing is all that the operator does.
        Seen: Tensor option
        /// How many numbers are observed: those that a mask hides do not count, though y has a place for them.
        Count: int
    }

/// Observations, and what follows from them: consistency, likelihood, the matrix.
[<RequireQualifiedAccess>]
module Sensor =

    let private text (shape: seq<int>) = "[" + String.Join("; ", shape) + "]"

    let private linear name (input: int list) (output: int list) apply adjoint : Sensor =
        { Name = name
          Input = input
          Output = output
          Apply = apply
          Linear = Some(apply, adjoint)
          Noise = 0.0
          Seen = None
          Count = List.fold (*) 1 output }

    let private back (shape: int list) (x: Tensor) = Tensor.reshape (x.Shape[0] :: shape) x

    let private matrix (shape: int list) (a: Tensor) : Sensor =
        let d = List.fold (*) 1 shape

        if a.Rank <> 2 || a.Shape[1] <> d || a.Shape[0] = 0 then
            invalidArg (nameof a) $"the matrix is {text a.Shape}: samples {text shape} need [m; {d}]"

        let a = a.To Dtype.Float64
        let transposed = Tensor.transpose 0 1 a
        let like (x: Tensor) (a: Tensor) = a.To x.Kind

        linear
            $"a matrix of {a.Shape[0]} rows"
            shape
            [ a.Shape[0] ]
            (fun x -> Linalg.matmul (Tensor.flattenRows x) (like x transposed))
            (fun v -> back shape (Linalg.matmul v (like v a)))

    let private mask (shape: int list) (given: Tensor) : Sensor =
        let fits = given.Rank <= shape.Length && List.ofArray given.Shape = List.skip (shape.Length - given.Rank) shape

        if not fits then
            invalidArg (nameof given) $"the mask is {text given.Shape}: samples are {text shape}"

        let flags = (Tensor.not (Tensor.equalTo 0.0 (given.To Dtype.Float64))).To Dtype.Float64
        let seen = Tensor.contiguous (Tensor.expand shape flags)
        let count = int ((Tensor.sum seen).ToFloat())

        if count = 0 then
            invalidArg (nameof given) "the mask is 0 everywhere: nothing is seen"

        let on (x: Tensor) = x * seen.To x.Kind

        { linear $"a mask that shows {count} of {List.fold (*) 1 shape} numbers" shape shape on on with
            Seen = Some seen
            Count = count }

    let private coordinates (shape: int list) (places: int list) : Sensor =
        let d = List.fold (*) 1 shape

        match places |> List.tryFind (fun place -> place < 0 || place >= d) with
        | Some place -> invalidArg (nameof places) $"there is no coordinate {place}: those of a sample are 0 to {d - 1}"
        | None when places.IsEmpty -> invalidArg (nameof places) "no coordinates: at least one is needed"
        | None when List.distinct places <> places -> invalidArg (nameof places) "a coordinate is given twice"
        | None -> ()

        let index = Tensor.ofArray [ places.Length ] [| for place in places -> int64 place |]
        let rows = Tensor.indexSelect 0 index (Tensor.eye Kind.Float64 d)

        { matrix shape rows with
            Name = $"{places.Length} of {d} coordinates"
            Seen = Some(Tensor.reshape shape (Tensor.sumOver [ 0 ] rows)) }

    /// The last axes of a sample that neighbours lie along: one of a vector, two of an image.
    let private sides (shape: int list) = List.skip (shape.Length - (if shape.Length = 1 then 1 else 2)) shape

    let private average (shape: int list) (block: int) : Sensor =
        let own = sides shape

        if block < 1 || own |> List.exists (fun side -> side % block <> 0) then
            invalidArg (nameof block) $"blocks of {block}: the sides of samples {text shape} are no multiples of it"

        let others = List.take (shape.Length - own.Length) shape
        let output = others @ [ for side in own -> side / block ]
        // Each side as blocks and places within them.
        let split =
            others
            @ [ for side in own do
                    yield! [ side / block; block ] ]
        let within = [ for k in 1 .. own.Length -> 1 + others.Length + 2 * k - 1 ]
        let one =
            others
            @ [ for side in own do
                    yield! [ side / block; 1 ] ]
        let share = 1.0 / float (List.fold (fun product _ -> product * block) 1 own)

        linear
            $"means over blocks of {block}"
            shape
            output
            (fun x -> back output (Tensor.meanOver within (back split x)))
            (fun v ->
                let spread = Tensor.expand (v.Shape[0] :: split) (back one v)
                share * back shape spread)

    let private blur (shape: int list) (deviation: float) : Sensor =
        if not (deviation > 0.0 && Double.IsFinite deviation) then
            invalidArg (nameof deviation) $"a blur of {deviation} pixels: a positive number is needed"

        let kernel (side: int) =
            let places = Tensor.range Kind.Float64 0 side
            let apart = Tensor.unsqueeze 1 places - places
            let weights = exp (-0.5 * Tensor.square (apart / deviation))
            weights / Tensor.sumKeep [ 1 ] weights

        let kernels = sides shape |> List.map kernel
        // x ↦ K₁ x K₂ᵀ on an image's last two axes, x ↦ x Kᵀ on a vector.
        let by (kernels: Tensor list) (x: Tensor) =
            match kernels with
            | [ k ] -> Linalg.matmul x (Tensor.transpose 0 1 (k.To x.Kind))
            | k1 :: k2 :: _ -> Linalg.matmul (k1.To x.Kind) (Linalg.matmul x (Tensor.transpose 0 1 (k2.To x.Kind)))
            | [] -> x

        linear
            $"a blur of {deviation} pixels"
            shape
            shape
            (by kernels)
            (by (kernels |> List.map (Tensor.transpose 0 1)))

    let private grey (shape: int list) : Sensor =
        match shape with
        | [ channels; height; width ] ->
            linear "the mean of the channels" shape [ 1; height; width ] (Tensor.meanKeep [ 1 ]) (fun v ->
                Tensor.expand (v.Shape[0] :: shape) v / float channels)
        | _ -> invalidArg (nameof shape) $"samples {text shape} have no channels to take the mean of"

    /// The shape that a function makes of a sample, found by asking it.
    let private outputOf (shape: int list) (f: Tensor -> Tensor) : int list =
        let y = f (Tensor.zeros Kind.Float64 (2 :: shape))

        if y.Rank < 2 || y.Shape[0] <> 2 then
            invalidArg (nameof f) $"the observation made {y.Describe()} of two samples {text shape}: [2; …] is needed"

        List.tail (List.ofArray y.Shape)

    let private ofLinear (shape: int list) (f: Tensor -> Tensor) : Sensor =
        let output = outputOf shape f
        let rng = Rng.ofSeed 0L
        let x = Rng.normal Kind.Float64 (2 :: shape) (Rng.named "x" rng)
        let y = Rng.normal Kind.Float64 (2 :: shape) (Rng.named "y" rng)
        let whole, parts = f (2.0 * x - 3.0 * y), 2.0 * f x - 3.0 * f y
        let size = 1.0 + (Tensor.max (abs parts)).ToFloat()

        if not ((Tensor.max (abs (whole - parts))).ToFloat() <= 1e-6 * size) then
            invalidArg (nameof f) "the function is not linear, A(2x − 3y) ≠ 2 A x − 3 A y: declare it as nonlinear"

        let adjoint (v: Tensor) = snd (Diff.vjp f (Tensor.zeros v.Kind (v.Shape[0] :: shape)) v)
        linear "a linear function" shape output f adjoint

    /// What an observation sees of samples of a shape. Raises ArgumentException where the two do not fit, or the noise is no number of at least 0.
    let make (shape: int list) (observation: Observation) : Sensor =
        if not (observation.Noise >= 0.0 && Double.IsFinite observation.Noise) then
            invalidArg (nameof observation) $"noise {observation.Noise}: expected a number of at least 0"

        let sensor =
            match observation.Operator with
            | Operator.Matrix a -> matrix shape a
            | Operator.Mask m -> mask shape m
            | Operator.Coordinates places -> coordinates shape places
            | Operator.Average block -> average shape block
            | Operator.Blur deviation -> blur shape deviation
            | Operator.Grey -> grey shape
            | Operator.Linear f -> ofLinear shape f
            | Operator.Nonlinear f ->
                let output = outputOf shape f
                { linear "a function" shape output f id with Linear = None }

        { sensor with Noise = observation.Noise }

    /// The same seen from other units: `into` takes a sample to those of the observation, `scale` is the linear part of it, coordinate by coordinate.
    let through (into: Tensor -> Tensor) (scale: Tensor -> Tensor) (sensor: Sensor) : Sensor =
        { sensor with
            Apply = into >> sensor.Apply
            Linear = sensor.Linear |> Option.map (fun (along, adjoint) -> scale >> along, adjoint >> scale) }

    /// v ↦ A'(x)ᵀ v: the adjoint of what the observation does near x.
    let pull (sensor: Sensor) (x: Tensor) (v: Tensor) : Tensor =
        match sensor.Linear with
        | Some(_, adjoint) -> adjoint v
        | None -> snd (Diff.vjp sensor.Apply x v)

    /// y with 0 wherever a mask hides it; y [m…] or [B; m…] becomes [1; m…] or [B; m…]. Raises ArgumentException where y does not fit, or a number of it
    /// that is seen is not finite.
    let observed (sensor: Sensor) (y: Tensor) : Tensor =
        let shape = List.ofArray y.Shape

        let batch =
            if shape = sensor.Output then
                Tensor.unsqueeze 0 y
            elif y.Rank > 0 && List.tail shape = sensor.Output then
                y
            else
                invalidArg (nameof y) $"it is {text shape}: {sensor.Name} gives {text sensor.Output}, or [n; …] of them"

        let y = batch.To Dtype.Float64

        let y =
            match sensor.Seen with
            | Some seen when sensor.Output = sensor.Input ->
                Tensor.where (Tensor.greaterThan 0.5 seen) y (Tensor.zerosLike y)
            | _ -> y

        if not ((Tensor.all (Tensor.isFinite y)).ToBool()) then
            invalidArg (nameof y) "it holds NaN or infinity: expected finite numbers"

        y

    /// ‖y − A x‖² [B].
    let misfit (sensor: Sensor) (y: Tensor) (x: Tensor) : Tensor =
        Tensor.sumRows (Tensor.flattenRows (Tensor.square (y.To x.Kind - sensor.Apply x)))

    /// log N(y; A x, s² I) [B], for s > 0.
    let logLikelihood (sensor: Sensor) (y: Tensor) (x: Tensor) : Tensor =
        let variance = sensor.Noise * sensor.Noise
        -0.5 * misfit sensor y x / variance - 0.5 * float sensor.Count * Math.Log(2.0 * Math.PI * variance)

    /// One y for each number that counts, 1 there and 0 elsewhere: [Count; …].
    let basis (sensor: Sensor) : Tensor =
        let m = List.fold (*) 1 sensor.Output
        let all = Tensor.reshape (m :: sensor.Output) (Tensor.eye Kind.Float64 m)

        match sensor.Seen with
        | Some seen when sensor.Count < m ->
            let places =
                [| for k, flag in Seq.indexed (Tensor.toFloats seen) do
                       if flag > 0.5 then
                           int64 k |]
            Tensor.indexSelect 0 (Tensor.ofArray [ places.Length ] places) all
        | _ -> all

    /// A as a matrix [Count; d], and A 0 as [Count] in the places of its rows. Raises ArgumentException where the observation is not linear.
    let matrixOf (sensor: Sensor) : Tensor * Tensor =
        match sensor.Linear with
        | None -> invalidArg (nameof sensor) $"{sensor.Name} is not linear and has no matrix"
        | Some(_, adjoint) ->
            let basis = basis sensor
            let nothing = sensor.Apply(Tensor.zeros Kind.Float64 (1 :: sensor.Input))
            Tensor.flattenRows (adjoint basis), Linalg.matmul (Tensor.flattenRows basis) (Tensor.flatten nothing)

/// Observations on disk.
[<RequireQualifiedAccess>]
module Observation =

    let make (operator: Operator) (noise: float) : Observation = { Operator = operator; Noise = noise }

    let private help =
        "an observation is {\"noise\": s} and one of \"matrix\": [[…], …], \"mask\": FILE, \"coordinates\": [0, …], \"average\": 4, \"blur\": 1.5, \"grey\": true; a matrix or a mask is a list or a .npy file"

    /// The observation that a JSON text describes; files that it names are found from `folder`. Raises UserError, with `where` in front, for anything else.
    let ofJson (where: string) (folder: string) (json: byte[]) : Observation =
        let refuse (what: string) : 'T = raise (UserError $"{where}: {what}; {help}")

        use document =
            match JsonText.document json with
            | Ok document -> document
            | Error reason -> refuse reason

        let root = document.RootElement

        if root.ValueKind <> JsonValueKind.Object then
            refuse "not an object"

        let known = [ "matrix"; "mask"; "coordinates"; "average"; "blur"; "grey" ]
        let names = [ for property in root.EnumerateObject() -> property.Name ]

        match List.except ("noise" :: known) names with
        | unknown :: _ -> refuse $"\"{unknown}\" is not known"
        | [] -> ()

        let number name (element: JsonElement) =
            if element.ValueKind <> JsonValueKind.Number then
                refuse $"\"{name}\" is not a number"

            element.GetDouble()

        let rec numbers name (element: JsonElement) : int list * float list =
            match element.ValueKind with
            | JsonValueKind.Number -> [], [ element.GetDouble() ]
            | JsonValueKind.True -> [], [ 1.0 ]
            | JsonValueKind.False -> [], [ 0.0 ]
            | JsonValueKind.Array when element.GetArrayLength() > 0 ->
                let items = [ for item in element.EnumerateArray() -> numbers name item ]

                match List.distinct (List.map fst items) with
                | [ shape ] -> items.Length :: shape, List.collect snd items
                | _ -> refuse $"the rows of \"{name}\" are not equally long"
            | _ -> refuse $"\"{name}\" is neither numbers nor a file"

        let array name (element: JsonElement) : Tensor =
            let x =
                if element.ValueKind = JsonValueKind.String then
                    Npy.read (Path.Combine(folder, string (element.GetString())))
                else
                    let shape, values = numbers name element
                    Tensor.ofArray shape (List.toArray values)

            let x = x.To Dtype.Float64

            if not ((Tensor.all (Tensor.isFinite x)).ToBool()) then
                refuse $"\"{name}\" holds NaN or infinity"

            x

        let whole name (element: JsonElement) =
            let value = number name element

            if value <> Math.Round value || abs value > 1e9 then
                refuse $"\"{name}\" holds {value}: a whole number is needed"

            int value

        let operator =
            match List.filter (fun name -> List.contains name known) names with
            | [ name ] ->
                let element = root.GetProperty name

                match name with
                | "matrix" -> Operator.Matrix(array name element)
                | "mask" -> Operator.Mask(array name element)
                | "coordinates" ->
                    if element.ValueKind <> JsonValueKind.Array then
                        refuse "\"coordinates\" is not a list"

                    Operator.Coordinates [ for item in element.EnumerateArray() -> whole name item ]
                | "average" -> Operator.Average(whole name element)
                | "blur" -> Operator.Blur(number name element)
                | _ ->
                    if element.ValueKind <> JsonValueKind.True then
                        refuse "\"grey\" is true, or left out"

                    Operator.Grey
            | [] -> refuse "it says nothing of what is seen"
            | several -> refuse $"""it says several things: {String.Join(", ", several)}"""

        let noise =
            match root.TryGetProperty "noise" with
            | true, element -> number "noise" element
            | _ -> refuse "\"noise\" is missing"

        if not (noise >= 0.0 && Double.IsFinite noise) then
            refuse $"\"noise\" is {noise}: expected a number of at least 0"

        make operator noise

    /// As `ofJson`, from a file; the files that it names are found from its folder.
    let read (file: string) : Observation =
        let folder = Path.GetDirectoryName(Path.GetFullPath file) |> string
        ofJson file folder (Disk.readBytes (64L <<< 20) file)
