namespace Fokker

// What a network learns from: the second page of the calculus. A loss is a function of a batch; those that regress on a path are
// made of four parts, each replaceable: what is predicted, at which times, with which weight, on which path.

open System

/// Samples of the data [B; …] and their labels.
[<NoComparison; NoEquality>]
type Batch =
    {
        Data: Tensor
        Label: Condition
        /// The samples of the source that a coupling has paired with the data; none where a loss draws its own noise.
        Source: Tensor option
    }

/// What a loss may look at besides the data.
[<NoComparison; NoEquality>]
type LossContext =
    {
        /// The network under training, at its current parameters.
        Network: Condition -> Field
        /// The same without gradient: the target of losses that chase themselves.
        Frozen: Condition -> Field
        /// The network at the moving average of its parameters, without gradient.
        Average: Condition -> Field
        /// What was trained in the round before, without gradient, in a training of rounds.
        Teacher: Condition -> Field
        /// The round of the training, from 0.
        Round: int
        /// What the objective keeps from step to step beside the parameters, as it is for this step; empty where it keeps nothing, and before the first step.
        Memory: Tensor[]
        /// The networks of the other players, by name and at their current parameters, where a training has several: without gradient in those, but with one in what they are told. Where
        /// another player is trained, `LossContext.main` is the network that the model is of.
        Others: Map<string, Condition -> Field>
        /// u(t), the learned log-variance of the error at time t; none where the network has none.
        Uncertainty: (Tensor -> Tensor) option
        /// Optimization steps made so far, for losses that follow a schedule.
        Step: int64
    }

[<RequireQualifiedAccess>]
module LossContext =

    /// What the other players of a training call the network that the model is of.
    let main = "main"

    /// A network that is not under training: its own target, its own average.
    let ofNetwork (network: Condition -> Field) : LossContext =
        { Network = network
          Frozen = network
          Average = network
          Teacher = network
          Round = 0
          Memory = [||]
          Others = Map.empty
          Uncertainty = None
          Step = 0L }

    /// Every network of the context wrapped.
    let map (wrap: Field -> Field) (context: LossContext) : LossContext =
        let on (network: Condition -> Field) condition = wrap (network condition)

        { context with
            Network = on context.Network
            Frozen = on context.Frozen
            Average = on context.Average
            Teacher = on context.Teacher }

/// One value for each sample [B]; the training objective is their mean.
type Loss = LossContext -> Rng -> Batch -> Tensor

/// The law that training times are drawn from: `Draw path rng n` is float64 [n]. Give it the path once: what it prepares is kept.
[<NoComparison; NoEquality>]
type Times =
    {
        Name: string
        Equation: string
        Reference: string
        /// The first and the last time that it may draw on a path.
        Span: GaussianPath -> float * float
        Draw: GaussianPath -> Rng -> int -> Tensor
        /// Whether a regression draws in proportion to its own weight instead, and counts all draws the same.
        FollowsWeight: bool
    }

[<RequireQualifiedAccess>]
module Times =

    /// A law on the path's interior.
    let private make name equation reference draw : Times =
        { Name = name
          Equation = equation
          Reference = reference
          Span = _.Interior
          Draw = draw
          FollowsWeight = false }

    /// Uniform on the path's interior, stratified.
    let uniform =
        make "uniform" "t ~ U(0, 1)" "Kingma et al. 2021, VDM, appendix I.1" (fun path rng n ->
            let low, high = path.Interior
            Rng.strata n rng * (high - low) + low)

    /// t = 1/(1 + e^{−z}), z ~ N(mean, std²).
    let logitNormal (mean: float) (std: float) =
        make
            "logit-normal"
            $"logit t ~ N({mean}, {std}²)"
            "Esser et al. 2024, Scaling rectified flow transformers, eq. 19"
            (fun path rng n ->
                let low, high = path.Interior
                Tensor.clamp low high (Tensor.sigmoid (Rng.normal Kind.Float64 [ n ] rng * std + mean)))

    /// log σ/α ~ N(mean, std²), kept to the path's interior.
    let logNormal (mean: float) (std: float) =
        make "log-normal" $"log σ/α ~ N({mean}, {std}²)" "Karras et al. 2022, EDM, table 1" (fun path ->
            let time = Path.timesOfLambda path
            fun rng n -> time (-(Rng.normal Kind.Float64 [ n ] rng * std + mean)))

    /// k/N for k uniform among 1 … N: the times of a discrete model, stratified.
    let discrete (count: int) =
        { make
              "discrete"
              $"t = k/N, k ~ U{{1, …, N}}, N = {count}"
              "Ho, Jain, Abbeel 2020, DDPM, algorithm 1"
              (fun _ rng n ->
                  Tensor.clamp 1.0 (float count) (Tensor.floor (Rng.strata n rng * float count) + 1.0)
                  * (1.0 / float count)) with
            Span = fun _ -> 1.0 / float count, 1.0 }

    /// t = 1 − u − s (cos²(πu/2) − 1 + u) for uniform u, −1 ≤ s ≤ 2/(π − 2): s > 0 draws the middle more often and neither end never.
    let mode (s: float) =
        make
            "mode"
            $"t = 1 − u − s (cos²(πu/2) − 1 + u), s = {s}"
            "Esser et al. 2024, Scaling rectified flow transformers, eq. 20"
            (fun path rng n ->
                let low, high = path.Interior
                let u = Rng.strata n rng
                let cosine = Tensor.square (cos (u * (0.5 * Math.PI)))
                Tensor.clamp low high (1.0 - u - s * (cosine - 1.0 + u)))

    /// A law with density proportional to h(t) on the interior, by the inverse of its tabulated integral (trapezoids on 4,096 cells).
    let proportionalTo (density: GaussianPath -> Curve) =
        make "importance" "p(t) ∝ w(t)" "Song et al. 2021, Maximum likelihood training, section 5.1" (fun path ->
            let low, high = path.Interior
            let n = 4096
            let h = (high - low) / float n
            let values = Array.init (n + 1) (fun k -> Curve.eval (density path) (low + h * float k))
            let upTo = Array.init n (fun k -> 0.5 * (values[k] + values[k + 1])) |> Array.scan (+) 0.0

            // Within a cell the density is a line, its integral a parabola: the root by the form that does not cancel.
            let time (u: float) =
                let wanted = u * upTo[n]
                let found = Array.BinarySearch(upTo, wanted)
                let k = Math.Clamp((if found >= 0 then found else ~~~found - 1), 0, n - 1)
                let rest, a, b = wanted - upTo[k], values[k], values[k + 1] - values[k]
                let root = Math.Sqrt(Math.Max(0.0, a * a + 2.0 * b * rest))
                low + h * (float k + (if rest = 0.0 then 0.0 else 2.0 * rest / (a + root)))

            fun rng n -> Tensor.ofArray [ n ] (Array.map time (Tensor.toFloats (Rng.strata n rng))))

    /// Both ends more often than the middle, p(t) ∝ e^{at} + e^{a(1−t)} ∝ cosh a(t − ½) on the interior, stratified: its integral from ½ is
    /// sinh a(t − ½) up to a factor, so that t = ½ + asinh(z)/a with z uniform between the values of the sinh at both ends.
    /// Raises ArgumentException for a ≤ 0.
    let uShapedWith (a: float) =
        if not (a > 0.0 && Double.IsFinite a) then
            invalidArg (nameof a) $"a u-shaped law of times with a = {a}: a positive number is needed"

        make
            "u-shaped"
            $"p(t) ∝ e^{{at}} + e^{{a(1−t)}}, a = {a}"
            "Lee, Lin, Fanti 2024, Improving the training of rectified flows, section 4.1"
            (fun path ->
                let low, high = path.Interior
                let first, last = Math.Sinh(a * (low - 0.5)), Math.Sinh(a * (high - 0.5))

                fun rng n ->
                    Tensor.toFloats (Rng.strata n rng)
                    |> Array.map (fun u -> Math.Clamp(0.5 + Math.Asinh(first + u * (last - first)) / a, low, high))
                    |> Tensor.ofArray [ n ])

    let uShaped = uShapedWith 4.0

    /// In proportion to whatever weight the regression has.
    let importance = { proportionalTo (fun _ -> Constant 1.0) with FollowsWeight = true }

    let parts: Part<Times> list =
        let normal what mean std =
            Part.of2
                (Parameter.make "mean" mean Allowed.Real $"the mean of {what}")
                (Parameter.make "std" std Allowed.Positive $"the standard deviation of {what}")

        [ Part.fixedAt uniform
          normal "logit t" 0.0 1.0 logitNormal
          normal "log σ/α" -1.2 1.2 logNormal
          Part.of1 (Parameter.make "levels" 1000.0 (Allowed.Whole 1) "the number N of times") (int >> discrete)
          Part.of1 (Parameter.make "a" 4.0 Allowed.Positive "how much more often the ends are drawn") uShapedWith
          Part.of1 (Parameter.make "s" 1.29 (Allowed.Within(-1.0, 1.75)) "how much more often the middle is drawn") mode
          Part.fixedAt importance ]

    /// Those that do not depend on a weight.
    let all = parts |> List.map Part.standard |> List.filter (fun times -> not times.FollowsWeight)

    /// Refuses a law that may draw a time at which one of the curves that a loss is made of is infinite: raises RefusedException. `what` names
    /// the curves. Outside of the path's interior a size beyond e^24 counts as infinite, as does that signal-to-noise ratio (`Path.isRegular`).
    let requireFinite (path: GaussianPath) (times: Times) (what: string) (curves: Curve list) : unit =
        let first, last = times.Span path
        let low, high = path.Interior

        for t in [ first; last ] do
            let bound = if low <= t && t <= high then Double.MaxValue else Math.Exp 24.0

            if curves |> List.exists (fun curve -> not (abs (Curve.eval curve t) <= bound)) then
                refuseWith
                    Setting.Times
                    times.Name
                    $"they include t = {t}, where {what} is infinite on the path {path.Name}"
                    $"{Setting.Times.Is uniform.Name} leave it out; most weights stay finite with {Setting.Prediction.Is Prediction.v.Name}"

/// How much each time counts. A weight of the literature is stated for the error of one quantity (min-SNR for that of the
/// data, σ² for that of the score); on a network that says another it is the same loss only with the conversion's square beside it,
/// which `Of` includes: the factor on the squared error of the prediction given.
[<NoComparison; NoEquality>]
type Weight =
    {
        Name: string
        Equation: string
        Reference: string
        Of: GaussianPath -> Prediction -> Curve
        /// Whether e^{−u(t)} is learned beside it, with u(t) as the price.
        Learned: bool
    }

[<RequireQualifiedAccess>]
module Weight =

    /// A weight on the error of the quantity `stated`: an error e in a network's A x₀ + B ε is an error c e in it, with c the
    /// coefficient of the network's output in `Prediction.conversion`.
    let onErrorOf (stated: Prediction) name equation reference (curve: GaussianPath -> Curve) : Weight =
        { Name = name
          Equation = $"{equation} on {stated.Name}"
          Reference = reference
          Of =
            fun path prediction ->
                let struct (_, c) = Prediction.coefficients path prediction stated
                // min(α²/σ², γ)·(σ/α)² is 0·∞ where α is 0, and has the limit 1.
                Path.continued path (curve path * (c ** 2.0))
          Learned = false }

    let private snrOf (path: GaussianPath) = exp (2.0 * path.Lambda)

    /// 1 on the network's own prediction.
    let uniform =
        { Name = "uniform"
          Equation = "1"
          Reference = "Ho, Jain, Abbeel 2020, eq. 14"
          Of = fun _ _ -> Constant 1.0
          Learned = false }

    /// σ²: makes a score's squared error of order one at every time.
    let variance = onErrorOf Prediction.score "variance" "σ²" "Song, Ermon 2019, eq. 6" _.Variance

    /// g²: the bound on the likelihood of the SDE model (with a factor ½ d).
    let likelihood =
        onErrorOf
            Prediction.score
            "likelihood"
            "g²"
            "Song et al. 2021, Maximum likelihood training, theorem 1"
            Path.diffusionSquared

    /// α²/σ²: that of the noise prediction's own error.
    let snr = onErrorOf Prediction.data "snr" "α²/σ²" "Salimans, Ho 2022, section 4" snrOf

    let truncatedSnr =
        onErrorOf Prediction.data "truncated-snr" "max(α²/σ², 1)" "Salimans, Ho 2022, eq. 9" (fun path ->
            Curve.max (snrOf path) (Constant 1.0))

    /// That of the v-prediction's own error.
    let snrPlusOne =
        onErrorOf Prediction.data "snr-plus-one" "α²/σ² + 1" "Salimans, Ho 2022, section 4" (fun path ->
            snrOf path + 1.0)

    let minSnr (gamma: float) =
        onErrorOf
            Prediction.data
            "min-snr"
            $"min(α²/σ², {gamma})"
            "Hang et al. 2023, Min-SNR weighting, eq. 8"
            (fun path -> Curve.min (snrOf path) (Constant gamma))

    /// The harmonic form: γ SNR/(SNR + γ).
    let softMinSnr (gamma: float) =
        onErrorOf
            Prediction.data
            "soft-min-snr"
            $"{gamma} α²/(α² + {gamma} σ²)"
            "Crowson et al. 2024, Hourglass diffusion transformers, section 4.2"
            (fun path ->
                let snr = snrOf path
                gamma * snr / (snr + gamma))

    /// 1/c_out² of EDM's preconditioning: every noise level's raw output counts the same.
    let edm (sigmaData: float) =
        onErrorOf
            Prediction.data
            "edm"
            $"(α² s² + σ²)/(σ s)², s = {sigmaData}"
            "Karras et al. 2022, EDM, eq. 8"
            (fun path ->
                let data = sigmaData * sigmaData
                (data * (path.Alpha ** 2.0) + path.Variance) / (data * path.Variance))

    /// Less on the times where only imperceptible detail is left to learn.
    let p2With (k: float) (gamma: float) =
        onErrorOf
            Prediction.noise
            "p2"
            $"1/(k + α²/σ²)^γ, k = {k}, γ = {gamma}"
            "Choi et al. 2022, Perception prioritized training, eq. 8"
            (fun path -> (k + snrOf path) ** -gamma)

    let p2 = p2With 1.0 1.0

    /// w/e^{u(t)} + u(t) with u learned: the error of every time is scaled to one.
    let learned =
        { uniform with
            Name = "learned"
            Equation = "e^{−u(t)}, u learned at the price u"
            Reference = "Kendall, Gal, Cipolla 2018; Karras et al. 2024, EDM2, eq. 22"
            Learned = true }

    let parts: Part<Weight> list =
        [ yield! List.map Part.fixedAt [ uniform; variance; likelihood ]
          Part.fixedAt snr
          |> Part.saying "Signal-to-noise ratio: makes the data's error count as the noise's does under no weight."
          yield! List.map Part.fixedAt [ truncatedSnr; snrPlusOne ]
          Part.of1 (Parameter.make "gamma" 5.0 Allowed.Positive "γ, the largest ratio that counts") minSnr
          Part.of1
              (Parameter.make "gamma" 4.0 Allowed.Positive "γ, the ratio at which the weight levels off")
              softMinSnr
          Part.of1 (Parameter.make "sigma-data" 1.0 Allowed.Positive "s, the data's standard deviation") edm
          Part.of2
              (Parameter.make "k" 1.0 Allowed.Positive "the ratio below which all times count alike")
              (Parameter.make "gamma" 1.0 (Allowed.AtLeast 0.0) "γ, the power of what is above it")
              p2With
          |> Part.saying "Perception-prioritized: less at times that are nearly clean."
          Part.fixedAt learned ]

    let all = List.map Part.standard parts

/// E_t w(t) ‖network(t, x_t) − (A x₀ + B ε)‖² and its parts, each replaceable.
[<NoComparison; NoEquality>]
type Regression =
    { Name: string
      Reference: string
      Path: GaussianPath
      Prediction: Prediction
      Weight: Weight
      Times: Times }

[<RequireQualifiedAccess>]
module Loss =

    /// Regression on a path; without further words: velocity, uniform weight, uniform times.
    let regression (path: GaussianPath) : Regression =
        { Name = "regression"
          Reference = ""
          Path = path
          Prediction = Prediction.velocity
          Weight = Weight.uniform
          Times = Times.uniform }

    let predicting (prediction: Prediction) (r: Regression) = { r with Prediction = prediction }
    let weighted (weight: Weight) (r: Regression) = { r with Weight = weight }
    /// The same expectation with times drawn where the weight is large, p(t) ∝ w(t), and all counting the same: less variance
    /// where the weight varies more than the error does.
    let importanceSampled (r: Regression) : Regression =
        let density path = r.Weight.Of path r.Prediction
        let low, high = r.Path.Interior
        let n = 4096
        let at k = Curve.eval (density r.Path) (low + (high - low) * float k / float n)
        let mean = (0.5 * (at 0 + at n) + Seq.sumBy at (seq { 1 .. n - 1 })) / float n

        { r with
            Times = Times.proportionalTo density
            Weight = { r.Weight with Of = fun _ _ -> Constant mean } }

    /// Times from another law; the one that follows the weight follows that which the regression has now.
    let timesFrom (times: Times) (r: Regression) =
        if times.FollowsWeight then importanceSampled r else { r with Times = times }

    let private named name reference (r: Regression) = { r with Name = name; Reference = reference }

    /// Conditional flow matching: ‖v − (α̇ x₀ + σ̇ ε)‖².
    let cfm path = regression path |> named "cfm" "Lipman et al. 2023, Flow matching, eq. 9"

    /// Denoising score matching: σ² ‖s + ε/σ‖².
    let dsm path =
        regression path
        |> predicting Prediction.score
        |> weighted Weight.variance
        |> named "dsm" "Vincent 2011, eq. 9; Song et al. 2021, eq. 7"

    /// L_simple: ‖ε_θ − ε‖².
    let simple path =
        regression path
        |> predicting Prediction.noise
        |> named "simple" "Ho, Jain, Abbeel 2020, DDPM, eq. 14"

    /// The v-prediction: ‖v̂ − (α ε − σ x₀)‖².
    let vPrediction path =
        regression path
        |> predicting Prediction.v
        |> named "v-prediction" "Salimans, Ho 2022, Progressive distillation, section 4"

    /// The pure denoiser: ‖D − x₀‖².
    let denoiser path =
        regression path
        |> predicting Prediction.data
        |> named "denoiser" "Vincent 2011; Karras et al. 2022, eq. 2"

    /// Noise-conditional score networks: denoising score matching on N noise levels, each counting the same after its σ².
    let ncsn (levels: int) path =
        dsm path |> timesFrom (Times.discrete levels) |> named "ncsn" "Song, Ermon 2019, eq. 5–6"

    /// The loss that a regression describes: at t ~ times and ε ~ N(0, I), w(t) times the mean squared error over the
    /// coordinates of each sample. Raises RefusedException where the weight or what is regressed on is infinite at a time that is drawn; in use,
    /// ArgumentException where the weight is learned and the network has no u(t).
    let ofRegression (r: Regression) : Loss =
        let weight = r.Weight.Of r.Path r.Prediction
        let draw = r.Times.Draw r.Path
        let struct (a, b) = r.Prediction.Coefficients r.Path
        Times.requireFinite r.Path r.Times $"what {r.Prediction.Name} is to be, {r.Prediction.Equation}," [ a; b ]
        Times.requireFinite r.Path r.Times $"the weight {r.Weight.Name} on {r.Prediction.Name}" [ weight ]

        fun context rng batch ->
            let x0 = batch.Data
            let t = draw (Rng.named "times" rng) x0.Shape[0]
            let noise = Rng.normalLike x0 (Rng.named "noise" rng)
            let x = Path.sample r.Path t x0 noise
            let target = Coefficient.combine [ Curve.at a t, x0; Curve.at b t, noise ]
            let error = context.Network batch.Label t x - target
            let each = Coefficient.scale (Curve.at weight t) (Tensor.meanRows (Tensor.square error))

            match r.Weight.Learned, context.Uncertainty with
            | false, _ -> each
            | true, Some uncertainty ->
                let u = uncertainty t
                each * exp (-u) + u
            | true, None ->
                invalidArg
                    (nameof context)
                    $"weight {r.Weight.Name} needs a network with a learned u(t): `Networks.withUncertainty`"

    /// The same loss with each sample's label left out with probability p, the label −1 in its place: one network learns every class and
    /// none, which classifier-free guidance needs (Ho, Salimans 2022, algorithm 1). The draws are a stream of their own: p changes nothing else.
    let droppingLabels (probability: float) (loss: Loss) : Loss =
        if not (probability >= 0.0 && probability < 1.0) then
            invalidArg (nameof probability) $"labels dropped with probability {probability}: 0 ≤ p < 1 is needed"

        if probability = 0.0 then
            loss
        else
            fun context rng batch ->
                let some (labels: Tensor) =
                    let u = Rng.uniform Kind.Float64 [ labels.Shape[0] ] (Rng.named "label-dropout" rng)
                    let isDropped = (Tensor.lessThan probability u).To labels.Device
                    Tensor.where isDropped (Tensor.full labels.Kind [] -1.0) labels

                loss context rng { batch with Label = Option.map some batch.Label }

    /// The same loss with what is told of each sample, numbers [B; …], left out with probability p, NaN in its place, and where it has several parts (`widths`: how many coordinates or channels each of them is) each
    /// part of the others' with probability p as well: one network learns all of it, any part of it and none.
    let droppingNumbers (widths: int list) (probability: float) (loss: Loss) : Loss =
        if not (probability >= 0.0 && probability < 1.0) then
            invalidArg (nameof probability) $"conditions dropped with probability {probability}: 0 ≤ p < 1 is needed"

        let parts = widths |> List.mapi (fun k width -> List.replicate width (int64 k)) |> List.concat |> Array.ofList

        if probability = 0.0 then
            loss
        else
            fun context rng batch ->
                let some (told: Tensor) =
                    let dropped (shape: int list) (name: string) =
                        Tensor.lessThan probability (Rng.uniform Kind.Float64 shape (Rng.named name rng))

                    let without (isDropped: Tensor) (x: Tensor) =
                        Tensor.where (isDropped.To x.Device) (Tensor.full x.Kind [] nan) x

                    let n = told.Shape[0]
                    let all = dropped [ n ] "label-dropout" |> Tensor.reshape (n :: [ for _ in 2 .. told.Rank -> 1 ])

                    if widths.Length < 2 then
                        without all told
                    else
                        dropped [ n; widths.Length ] "part-dropout"
                        |> Tensor.indexSelect 1 (Tensor.ofArray [ parts.Length ] parts)
                        |> Tensor.reshape (n :: parts.Length :: [ for _ in 3 .. told.Rank -> 1 ])
                        |> fun each -> told |> without each |> without all

                loss context rng { batch with Label = Option.map some batch.Label }

    /// The model that a network trained by this regression is.
    let model (r: Regression) (network: Condition -> Field) : Model = Model.make r.Path r.Prediction network
