namespace Fokker

open System
open System.IO
open System.Text.Json

/// A Gaussian mixture Σₖ wₖ N(mₖ, Cₖ) in d dimensions: the law of data whose every quantity is known at every time of every
/// Gaussian path. Covariances are kept by their eigenvalues and axes, so that α²C + σ²I costs nothing to invert at any t;
/// they may be singular, down to point masses. All float64.
[<NoComparison; ReferenceEquality>]
type Mixture =
    internal
        {
            /// log wₖ [K]; [B; K] where each sample has weights of its own.
            LogWeights: Tensor
            /// mₖ [K; d].
            Means: Tensor
            /// Eigenvalues of Cₖ [K; d].
            Spectra: Tensor
            /// Eigenvectors of Cₖ in columns [K; d; d]; none where every Cₖ is diagonal.
            Axes: Tensor option
            /// The class of each component [K], from 0.
            Classes: int[]
        }

    member m.Components = m.Means.Shape[0]
    member m.Dimension = m.Means.Shape[1]
    /// How many classes the components are of; each is its own unless `Mixture.labelled` says otherwise.
    member m.ClassCount = Array.max m.Classes + 1

    interface IHoldTensors with
        member m.Visit visit =
            visit m.LogWeights
            visit m.Means
            visit m.Spectra
            Option.iter visit m.Axes

/// The Gaussian-mixture oracle. Under x_t = α x₀ + σ ε component k has law N(α mₖ, Sₖ), Sₖ = α² Cₖ + σ² I, and with the
/// responsibilities rₖ(x) ∝ wₖ N(x; α mₖ, Sₖ) every conditional mean is Σ rₖ times that of one Gaussian. The functions are `Field`s:
/// they play a network's part wherever the theory or a solver is under test. They are computed in float64, returned
/// in x's element type, and differentiable in x and t; x is [B; d], or [B; …] with d coordinates in all.
[<RequireQualifiedAccess>]
module Mixture =

    let private bad (message: string) = raise (ArgumentException $"mixture: {message}")

    let private logWeights (weights: float[]) =
        if weights.Length = 0 then
            bad "no components"

        for k in 0 .. weights.Length - 1 do
            if not (weights[k] > 0.0 && Double.IsFinite weights[k]) then
                bad $"weight {k} is {weights[k]}: weights are positive"

        let total = Array.sum weights
        Tensor.ofArray [ weights.Length ] (weights |> Array.map (fun w -> Math.Log(w / total)))

    let private checkMeans (weights: float[]) (means: Tensor) =
        if
            means.Rank <> 2
            || means.Shape[0] <> weights.Length
            || means.Shape[1] = 0
            || means.Dtype <> Dtype.Float64
        then
            bad $"means are {means.Describe()}: [{weights.Length}; d] float64, one row for each weight, is needed"

        if not ((Tensor.all (Tensor.isFinite means)).ToBool()) then
            bad "a mean is not finite"

    /// Σ wₖ N(mₖ, diag(sₖ²)): weights positive, scaled to sum to 1; means [K; d]; standard deviations [K; d], not negative.
    /// Raises ArgumentException where they are not.
    let ofStds (weights: float[]) (means: Tensor) (stds: Tensor) : Mixture =
        checkMeans weights means

        if stds.Shape <> means.Shape || stds.Dtype <> Dtype.Float64 then
            bad $"standard deviations are {stds.Describe()}, means {means.Describe()}: they must agree"

        if not ((Tensor.all (Tensor.both (Tensor.atLeast 0.0 stds) (Tensor.isFinite stds))).ToBool()) then
            bad "a standard deviation is negative or not finite"

        { LogWeights = logWeights weights
          Means = means
          Spectra = Tensor.square stds
          Axes = None
          Classes = Array.init weights.Length id }

    /// Σ wₖ N(mₖ, Cₖ): means [K; d], covariances [K; d; d], symmetric and positive semi-definite.
    /// Raises ArgumentException where they are not.
    let ofCovariances (weights: float[]) (means: Tensor) (covariances: Tensor) : Mixture =
        checkMeans weights means
        let d = means.Shape[1]

        if covariances.Shape <> [| weights.Length; d; d |] || covariances.Dtype <> Dtype.Float64 then
            bad $"covariances are {covariances.Describe()}: [{weights.Length}; {d}; {d}] float64 is needed"

        let size = (Tensor.maxOver [ 0; 1; 2 ] (abs covariances)).ToFloat()
        let skew = covariances - Tensor.transpose 1 2 covariances

        if not (Double.IsFinite size) || (Tensor.maxOver [ 0; 1; 2 ] (abs skew)).ToFloat() > 1e-10 * size then
            bad "a covariance is not finite or not symmetric"

        let values, vectors = Linalg.eigh covariances
        let least = (Tensor.minOver [ 0; 1 ] values).ToFloat()

        // Rounding of the eigenvalues of a singular matrix is of the order of ε times its size.
        if least < -1e-12 * float d * size then
            bad $"a covariance has the eigenvalue {least}: covariances are positive semi-definite"

        { LogWeights = logWeights weights
          Means = means
          Spectra = Tensor.clamp 0.0 infinity values
          Axes = Some vectors
          Classes = Array.init weights.Length id }

    /// The numbers that the law is made of, by name, for a file: the same law comes back from them to the bit. Classes are not among them.
    let internal toTensors (m: Mixture) : (string * Tensor) list =
        [ yield "log-weights", m.LogWeights
          yield "means", m.Means
          yield "spectra", m.Spectra
          match m.Axes with
          | Some axes -> yield "axes", axes
          | None -> () ]

    /// The inverse of `toTensors`, of tensors that are its own; none where they are of no mixture. Raises ArgumentException where they do not fit each other, or are no mixture's.
    let internal ofTensors (tensors: Map<string, Tensor>) : Mixture option =
        let find name = Map.tryFind name tensors

        match find "log-weights", find "means", find "spectra" with
        | Some weights, Some means, Some spectra ->
            let fits =
                means.Rank = 2
                && means.Shape[0] > 0
                && means.Shape[1] > 0
                && weights.Shape = [| means.Shape[0] |]
                && spectra.Shape = means.Shape
                && find "axes"
                   |> Option.forall (fun axes -> axes.Shape = [| means.Shape[0]; means.Shape[1]; means.Shape[1] |])

            let sound (x: Tensor) = x.Dtype = Dtype.Float64 && (Tensor.all (Tensor.isFinite x)).ToBool()

            if not (fits && List.forall sound (weights :: means :: spectra :: Option.toList (find "axes"))) then
                bad "its tensors do not fit each other, or hold NaN or infinity"

            if (Tensor.min spectra).ToFloat() < 0.0 || abs ((Tensor.sum (exp weights)).ToFloat() - 1.0) > 1e-9 then
                bad "a variance is negative, or the weights do not sum to 1"

            let own (x: Tensor) = Scope.outside (fun () -> Tensor.clone x)

            Some
                { LogWeights = own weights
                  Means = own means
                  Spectra = own spectra
                  Axes = Option.map own (find "axes")
                  Classes = Array.init means.Shape[0] id }
        | _ -> None

    /// N(m, C): m [d], C [d; d].
    let gaussian (mean: Tensor) (covariance: Tensor) : Mixture =
        ofCovariances [| 1.0 |] (Tensor.unsqueeze 0 mean) (Tensor.unsqueeze 0 covariance)

    /// The same law with the class of each component: one number from 0 for each, no class left out. Raises ArgumentException elsewhere.
    let labelled (classes: int[]) (m: Mixture) : Mixture =
        if classes.Length <> m.Components then
            bad $"{classes.Length} labels for {m.Components} components"

        if Array.min classes < 0 then
            bad $"a label is {Array.min classes}: classes are numbered from 0"

        if Array.max classes >= m.Components then
            bad
                $"a label is {Array.max classes}: {m.Components} components are of at most as many classes, numbered from 0 without gaps"

        match List.except classes [ 0 .. Array.max classes ] with
        | empty :: _ -> bad $"no component has the label {empty}: classes are numbered from 0 without gaps"
        | [] -> { m with Classes = classes }

    /// The law of one class: its components, their weights scaled to sum to 1.
    let ofClass (label: int) (m: Mixture) : Mixture =
        match
            [| for k in 0 .. m.Components - 1 do
                   if m.Classes[k] = label then
                       int64 k |]
        with
        | [||] -> bad $"it has no class {label}: its classes are 0 to {m.ClassCount - 1}"
        | own ->
            let index = Tensor.ofArray [ own.Length ] own
            let pick x = Tensor.indexSelect 0 index x
            let weights = pick m.LogWeights

            { LogWeights = weights - Tensor.logSumExpKeep [ 0 ] weights
              Means = pick m.Means
              Spectra = pick m.Spectra
              Axes = Option.map pick m.Axes
              Classes = Array.create own.Length 0 }

    /// wₖ [K].
    let weights (m: Mixture) : Tensor = exp m.LogWeights

    /// mₖ [K; d].
    let means (m: Mixture) : Tensor = m.Means

    /// Cₖ [K; d; d].
    let covariances (m: Mixture) : Tensor =
        match m.Axes with
        | None -> Tensor.diagEmbed m.Spectra
        | Some axes -> Linalg.matmul (axes * Tensor.unsqueeze 1 m.Spectra) (Tensor.transpose 1 2 axes)

    /// Whether every Cₖ is regular, so that the law itself has a density and a score.
    let isRegular (m: Mixture) : bool = (Tensor.min m.Spectra).ToFloat() > 0.0

    /// E x₀ = Σ wₖ mₖ [d].
    let mean (m: Mixture) : Tensor = Linalg.matmul (weights m) m.Means

    /// Cov x₀ = Σ wₖ (Cₖ + mₖ mₖᵀ) − E x₀ E x₀ᵀ [d; d].
    let covariance (m: Mixture) : Tensor =
        let w = Tensor.reshape [ -1; 1; 1 ] (weights m)
        let centred = m.Means - mean m
        let spread = Linalg.einsum "ki,kj->kij" [ centred; centred ]
        Tensor.sumOver [ 0 ] (w * (covariances m + spread))

    // ---- the law at time t

    /// The components at (α, σ²), seen from x: everything below is read off from these.
    [<NoComparison; NoEquality>]
    type private View =
        {
            Alpha: Tensor
            Variance: Tensor
            /// Axesᵀ (x − α mₖ) [B; K; d].
            Centred: Tensor
            /// α² λ + σ², which broadcasts to [B; K; d].
            Spread: Tensor
            /// log wₖ + log N(x; α mₖ, Sₖ) [B; K].
            LogJoint: Tensor
            /// log p [B; 1].
            LogDensity: Tensor
            /// rₖ [B; K; 1].
            Responsibility: Tensor
        }

    let private onDevice (x: Tensor) (m: Mixture) =
        if x.Device.IsCpu then
            m
        else
            { m with
                LogWeights = m.LogWeights.To x.Device
                Means = m.Means.To x.Device
                Spectra = m.Spectra.To x.Device
                Axes = m.Axes |> Option.map (fun a -> a.To x.Device) }

    /// The value of a curve at the times of x [B; …], shaped to broadcast with [B; K; d].
    let internal spread (x: Tensor) (c: Coefficient) : Tensor =
        match c with
        | Number c -> Tensor.scalar (Kind.Float64.On x.Device) c
        | PerSample c when c.Rank = 0 -> c.To x.Device
        | PerSample c when c.Rank = 1 && (c.Shape[0] = x.Shape[0] || c.Shape[0] = 1) ->
            Tensor.reshape [ -1; 1; 1 ] (c.To x.Device)
        | PerSample c ->
            raise (
                TensorException $"mixture: times {c.Describe()} are not one number for each sample of {x.Describe()}"
            )

    /// x [B; …] of d coordinates in all as [B; d] in float64.
    let internal flat (dimension: int) (x: Tensor) : Tensor =
        if x.Rank < 2 || x.Count <> int64 x.Shape[0] * int64 dimension then
            raise (TensorException $"mixture: {x.Describe()}: [B; {dimension}] is needed")

        (Tensor.flattenRows x).To Dtype.Float64

    let private view (m: Mixture) (alpha: Coefficient) (variance: Coefficient) (x: Tensor) : View =
        let alpha, variance = spread x alpha, spread x variance
        let difference = Tensor.unsqueeze 1 (flat m.Dimension x) - alpha * m.Means

        let centred =
            match m.Axes with
            | None -> difference
            | Some axes -> Linalg.einsum "bkd,kde->bke" [ difference; axes ]

        let spread = Tensor.square alpha * m.Spectra + variance

        let quadratic = Tensor.sumOver [ -1 ] (Tensor.square centred / spread + log spread)

        let logJoint = m.LogWeights - 0.5 * quadratic - 0.5 * float m.Dimension * Math.Log(2.0 * Math.PI)

        let logDensity = Tensor.logSumExpKeep [ 1 ] logJoint

        { Alpha = alpha
          Variance = variance
          Centred = centred
          Spread = spread
          LogJoint = logJoint
          LogDensity = logDensity
          Responsibility = Tensor.unsqueeze 2 (exp (logJoint - logDensity)) }

    let private at (m: Mixture) (path: GaussianPath) (t: Tensor) (x: Tensor) =
        view (onDevice x m) (Curve.at path.Alpha t) (Curve.at path.Variance t) x

    /// y in x's shape and element type.
    let internal like (x: Tensor) (y: Tensor) = (Tensor.reshape x.Shape y).To x.Dtype

    /// Axes · y for y [B; K; d].
    let private turned (x: Tensor) (m: Mixture) (y: Tensor) =
        match (onDevice x m).Axes with
        | None -> y
        | Some axes -> Linalg.einsum "bke,kde->bkd" [ y; axes ]

    /// Σₖ rₖ (a·mₖ + Axes · y) in x's shape.
    let private average (m: Mixture) (x: Tensor) (v: View) (a: Tensor option) (y: Tensor) =
        let turned = turned x m y

        let each =
            match a with
            | None -> turned
            | Some a -> a * (onDevice x m).Means + turned

        like x (Tensor.sumOver [ 1 ] (v.Responsibility * each))

    let private one = Number 1.0
    let private zero = Number 0.0

    /// log p_t(x) [B], in float64.
    let logDensity (path: GaussianPath) (m: Mixture) (t: Tensor) (x: Tensor) : Tensor =
        Tensor.squeeze 1 (at m path t x).LogDensity

    /// log p₀(x) [B] of the data itself; every covariance must be regular.
    let logDensityOfData (m: Mixture) (x: Tensor) : Tensor =
        Tensor.squeeze 1 (view (onDevice x m) one zero x).LogDensity

    /// ∇log p_t(x) = −Σ rₖ Sₖ⁻¹ (x − α mₖ).
    let score (path: GaussianPath) (m: Mixture) : Field =
        fun t x ->
            let v = at m path t x
            average m x v None (-v.Centred / v.Spread)

    /// ∇log p₀(x) of the data itself; every covariance must be regular.
    let scoreOfData (m: Mixture) (x: Tensor) : Tensor =
        let v = view (onDevice x m) one zero x
        average m x v None (-v.Centred / v.Spread)

    /// E[x₀ | x_t = x] = Σ rₖ (mₖ + α Cₖ Sₖ⁻¹ (x − α mₖ)).
    let denoiser (path: GaussianPath) (m: Mixture) : Field =
        fun t x ->
            let v = at m path t x
            let one = Tensor.scalar v.Alpha.Kind 1.0
            average m x v (Some one) (v.Alpha * (onDevice x m).Spectra / v.Spread * v.Centred)

    /// E[ε | x_t = x] = σ Σ rₖ Sₖ⁻¹ (x − α mₖ) = −σ ∇log p_t(x).
    let noise (path: GaussianPath) (m: Mixture) : Field =
        fun t x ->
            let v = at m path t x
            average m x v None (sqrt v.Variance * v.Centred / v.Spread)

    /// E[dx/dt | x_t = x] = Σ rₖ (α̇ mₖ + (α α̇ Cₖ + ½ dσ²/dt) Sₖ⁻¹ (x − α mₖ)). It is finite wherever every Sₖ is regular, also
    /// where σ̇ is not.
    let velocity (path: GaussianPath) (m: Mixture) : Field =
        let alphaSlope, varianceSlope = Curve.derivative path.Alpha, Curve.derivative path.Variance

        fun t x ->
            let v = at m path t x
            let alpha' = spread x (Curve.at alphaSlope t)
            let variance' = spread x (Curve.at varianceSlope t)
            let gain = (v.Alpha * alpha' * (onDevice x m).Spectra + 0.5 * variance') / v.Spread
            average m x v (Some alpha') (gain * v.Centred)

    /// Cov[x₀ | x_t = x] = Σ rₖ (σ² Cₖ Sₖ⁻¹ + μₖ μₖᵀ) − μ μᵀ with μₖ the means of the components' posteriors: [B; d; d] in float64.
    let posteriorCovariance (path: GaussianPath) (m: Mixture) (t: Tensor) (x: Tensor) : Tensor =
        let v = at m path t x
        let m = onDevice x m
        let means = m.Means + turned x m (v.Alpha * m.Spectra / v.Spread * v.Centred)
        let centre = Tensor.sumKeep [ 1 ] (v.Responsibility * means)
        let apart = means - centre
        let spreads = v.Variance * m.Spectra / v.Spread + 0.0 * v.Centred

        let within =
            match m.Axes with
            | None -> Tensor.diagEmbed (Tensor.sumOver [ 1 ] (v.Responsibility * spreads))
            | Some axes -> Linalg.einsum "bke,kde,kfe->bdf" [ v.Responsibility * spreads; axes; axes ]

        within + Linalg.einsum "bkd,bke->bde" [ v.Responsibility * apart; apart ]

    /// rₖ(x) = P(component k | x_t = x), [B; K] in float64.
    let responsibilities (path: GaussianPath) (m: Mixture) (t: Tensor) (x: Tensor) : Tensor =
        Tensor.squeeze 2 (at m path t x).Responsibility

    /// The mixture in a trained network's place: what a perfect network of this meaning would say.
    let network (path: GaussianPath) (prediction: Prediction) (m: Mixture) : Field =
        // The forms that stay finite at the ends where there is one; else A·E[x₀|x] + B·E[ε|x].
        if prediction.Name = Prediction.velocity.Name then
            velocity path m
        elif prediction.Name = Prediction.score.Name then
            score path m
        else
            let struct (a, b) = prediction.Coefficients path
            let denoiser, noise = denoiser path m, noise path m
            fun t x -> Coefficient.combine [ Curve.at a t, denoiser t x; Curve.at b t, noise t x ]

    /// For each sample only the components of its label keep their weight wₖ, all of them where the label is −1: labels int64 [B].
    let private given (labels: Tensor) (m: Mixture) : Mixture =
        let classes = (Tensor.ofArray [ 1; m.Components ] (Array.map int64 m.Classes)).To labels.Device
        let labels = Tensor.unsqueeze 1 labels
        let counts = Tensor.either (Tensor.equal classes labels) (Tensor.lessThan 0.0 labels)
        let nothing = Tensor.full (m.LogWeights.Kind.On labels.Device) [] Double.NegativeInfinity
        { m with LogWeights = Tensor.where counts (m.LogWeights.To labels.Device) nothing }

    /// log p(c | x_t), the classifier that is never wrong by more than it must be: [B] in float64 for labels int64 [B].
    let logClass (path: GaussianPath) (m: Mixture) (labels: Tensor) (t: Tensor) (x: Tensor) : Tensor =
        logDensity path (given labels m) t x - logDensity path m t x

    /// The mixture in the place of a network that is told the class: components of the class given, for the label −1 and without labels all.
    let conditional (path: GaussianPath) (prediction: Prediction) (m: Mixture) : Condition -> Field =
        function
        | None -> network path prediction m
        | Some labels -> network path prediction (given labels m)

    /// The model whose network is exact, for every class and for none.
    let model (path: GaussianPath) (prediction: Prediction) (m: Mixture) : Model =
        Model.make path prediction (conditional path prediction m)

    /// The stream of a name, its rows numbered as the parent's are.
    let internal named (name: string) (rng: Rng) = { Rng.named name rng with First = rng.First }

    /// n draws of x₀, float64 [n; d]; row i depends on the key and on i only.
    let sample (n: int) (rng: Rng) (m: Mixture) : Tensor =
        let k = m.Components
        let u = Rng.uniform Kind.Float64 [ n; 1 ] (named "component" rng)
        let edges = Tensor.cumsum 0 (weights m)
        // The last edge is 1 but for rounding: no draw may land beyond it.
        let component' = Tensor.sumOver [ 1 ] ((Tensor.greaterOrEqual u edges[.. k - 2]).To Dtype.Int64)
        let pick t = Tensor.indexSelect 0 component' t
        let z = Rng.normal Kind.Float64 [ n; m.Dimension ] (named "noise" rng) * sqrt (pick m.Spectra)

        match m.Axes with
        | None -> pick m.Means + z
        | Some axes ->
            // Component by component: a matrix for every sample would not fit where d is large.
            let turned =
                [ for i in 0 .. k - 1 ->
                      let own = (Tensor.equalTo (float i) component').To Dtype.Float64
                      Tensor.unsqueeze 1 own * Linalg.matmul z (Tensor.transpose 0 1 axes[i]) ]
                |> List.reduce (+)

            pick m.Means + turned

    /// n draws of x_t, float64 [n; d].
    let sampleAt (path: GaussianPath) (t: float) (n: int) (rng: Rng) (m: Mixture) : Tensor =
        let struct (alpha, sigma) = Path.alphaSigma path t
        alpha * sample n rng m + sigma * Rng.normal Kind.Float64 [ n; m.Dimension ] (named "path" rng)

    // ---- files

    let private reading (where: string) (text: byte[]) : Mixture =
        let refuse (what: string) =
            raise (
                UserError
                    $"{where}: {what}; a mixture is {{\"weights\": [w, …], \"means\": [[…], …], \"stds\": [[…], …]}}, with \"covariances\": [[[…]]] for full ones and \"labels\": [0, …] for the components' classes"
            )

        use document =
            match JsonText.document text with
            | Ok document -> document
            | Error reason -> refuse reason

        let root = document.RootElement

        if root.ValueKind <> JsonValueKind.Object then
            refuse "not an object"

        for property in root.EnumerateObject() do
            if not (List.contains property.Name [ "weights"; "means"; "stds"; "covariances"; "labels" ]) then
                refuse $"\"{property.Name}\" is not known"

        let find (name: string) =
            match root.TryGetProperty name with
            | true, element -> Some element
            | _ -> None

        let rec numbers name (shape: int list) (element: JsonElement) : float[] =
            match shape with
            | [] ->
                if element.ValueKind <> JsonValueKind.Number then
                    refuse $"\"{name}\" holds something that is not a number"

                [| element.GetDouble() |]
            | length :: rest ->
                if element.ValueKind <> JsonValueKind.Array || (length >= 0 && element.GetArrayLength() <> length) then
                    refuse $"\"{name}\" needs a list of {length} here"

                [| for item in element.EnumerateArray() do
                       yield! numbers name rest item |]

        let length name (element: JsonElement) =
            if element.ValueKind <> JsonValueKind.Array || element.GetArrayLength() = 0 then
                refuse $"\"{name}\" is not a list"

            element.GetArrayLength()

        match find "means" with
        | None -> refuse "\"means\" is missing"
        | Some means ->
            let k = length "means" means
            let d = length "means" means[0]

            let weights =
                match find "weights" with
                | Some w -> numbers "weights" [ k ] w
                | None -> Array.create k (1.0 / float k)

            let means = Tensor.ofArray [ k; d ] (numbers "means" [ k; d ] means)

            let classes =
                match find "labels" with
                | None -> id
                | Some labels ->
                    let labels = numbers "labels" [ k ] labels

                    if labels |> Array.exists (fun label -> label <> floor label) then
                        refuse "\"labels\" holds something that is not a whole number"

                    match labels |> Array.tryFind (fun label -> abs label > float Int32.MaxValue) with
                    | Some label -> refuse $"\"labels\" holds {label}: classes are numbered from 0 without gaps"
                    | None -> ()

                    labelled (Array.map int labels)

            try
                match find "stds", find "covariances" with
                | Some stds, None ->
                    let values =
                        // One number for a round component.
                        if
                            stds.ValueKind = JsonValueKind.Array
                            && stds.GetArrayLength() = k
                            && stds[0].ValueKind = JsonValueKind.Number
                        then
                            numbers "stds" [ k ] stds |> Array.collect (Array.create d)
                        else
                            numbers "stds" [ k; d ] stds

                    ofStds weights means (Tensor.ofArray [ k; d ] values) |> classes
                | None, Some c ->
                    ofCovariances weights means (Tensor.ofArray [ k; d; d ] (numbers "covariances" [ k; d; d ] c))
                    |> classes
                | _ -> refuse "exactly one of \"stds\" and \"covariances\" is needed"
            with :? ArgumentException as e ->
                refuse e.Message

    /// The mixture that a JSON text describes: "weights" [K] (equal where left out), "means" [K][d], and "stds" [K] or [K][d] or
    /// "covariances" [K][d][d]; "labels" [K] where a component is not a class of its own. Raises UserError, with `where` in front, for anything else.
    let ofJson (where: string) (json: string) : Mixture = reading where (Text.Encoding.UTF8.GetBytes json)

    /// As `ofJson`, from a file.
    let read (file: string) : Mixture = reading file (Disk.readBytes (64L <<< 20) file)
