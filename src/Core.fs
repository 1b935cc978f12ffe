namespace Fokker

// The calculus of flow-based generative models on one page: paths, predictions, processes. It is written in curves
// (Curve.fs), scalar functions of time with exact derivatives; how a network learns from it is the next page (Loss.fs).
//
// Time runs from t = 0, the data, to t = 1, the noise. A law p₀ of data is joined to a law p₁ that is easy to sample by
// a path of laws p_t. A diffusion and a flow are two ways to walk the same path: both satisfy the Fokker–Planck equation
//     ∂_t p = −∇·(f p) + ½ g² Δp = −∇·(v p)   with   v = f − ½ g² ∇log p,
// and everything below is a consequence of that line. Each section uses only those above it.

open System

// ---- 1. Paths ------------------------------------------------------------------------------------------------------------

/// x_t = α(t)·x₀ + σ(t)·ε with ε ~ N(0, I) independent of x₀: the paths that have a score, an SDE and a log-SNR.
///
/// One path, five views of it, each written in the form that stays accurate at the ends: where α = e^{−t}, σ² = 1 − e^{−2t}
/// the derivative of σ is infinite at 0, those of log α and σ² are not. Make one with `Path.ofLogAlpha` or `Path.ofCurves`.
[<NoComparison; ReferenceEquality>]
type GaussianPath =
    {
        Name: string
        /// The path as an equation.
        Equation: string
        Reference: string
        /// α(t), the scale of the data.
        Alpha: Curve
        /// σ(t), the scale of the noise.
        Sigma: Curve
        LogAlpha: Curve
        /// σ²(t).
        Variance: Curve
        /// λ(t) = log(α/σ), half of the log-SNR; decreasing.
        Lambda: Curve
        /// The times between which processes that need the score are run: it is infinite at 0 where σ is 0, and the SDE's coefficients at 1 where α is.
        Interior: float * float
    }

/// x_t = a(t)·x₀ + b(t)·x₁ + γ(t)·z with (x₀, x₁) from a coupling of two laws and z ~ N(0, I): the paths that have a
/// velocity and, where γ > 0, a denoiser of z (Albergo, Boffi, Vanden-Eijnden 2023, Stochastic interpolants, eq. 2.1).
/// It has no score of its own: under a coupling x₁ depends on x₀, and Tweedie's formula does not hold.
[<NoComparison; ReferenceEquality>]
type Interpolant = { Name: string; A: Curve; B: Curve; Gamma: Curve }

// Compiled as PathModule: a C# program's `Path` is System.IO's.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Path =

    /// Whether λ counts as finite at a time: beyond a signal-to-noise ratio of e^±24 one of the two is below what float32 has of the other.
    let isRegular (lambda: Curve) (t: float) : bool = abs (Curve.eval lambda t) <= 12.0

    /// The ends where λ is finite, and a thousandth inside of those where it is not.
    let private interior (lambda: Curve) =
        (if isRegular lambda 0.0 then 0.0 else 1e-3), (if isRegular lambda 1.0 then 1.0 else 1.0 - 1e-3)

    /// A curve made of a path's coefficients with its limits where λ is infinite: a product of them may be 0·∞ there, and is read 2⁻⁴⁰
    /// inside instead, where α and σ are still exact and a curve with a finite slope is within 1e-12 of its limit.
    let continued (path: GaussianPath) (curve: Curve) : Curve =
        let inside = Math.ScaleB(1.0, -40)
        let low = if isRegular path.Lambda 0.0 then 0.0 else inside
        let high = if isRegular path.Lambda 1.0 then 1.0 else 1.0 - inside

        if (low, high) = (0.0, 1.0) then
            curve
        else
            Curve.after (Curve.max (Constant low) (Curve.min (Constant high) Time)) curve

    /// The path of two curves α and σ, differentiable where they are used.
    let ofCurves name equation reference (alpha: Curve) (sigma: Curve) : GaussianPath =
        let lambda = log alpha - log sigma

        { Name = name
          Equation = equation
          Reference = reference
          Alpha = alpha
          Sigma = sigma
          LogAlpha = log alpha
          Variance = sigma ** 2.0
          Lambda = lambda
          Interior = interior lambda }

    /// The variance-preserving path of log α: σ² = 1 − α², without cancellation.
    let ofLogAlpha name equation reference (logAlpha: Curve) : GaussianPath =
        let variance = -(Curve.expm1 (2.0 * logAlpha))
        let lambda = logAlpha - 0.5 * log variance

        { Name = name
          Equation = equation
          Reference = reference
          Alpha = exp logAlpha
          Sigma = sqrt variance
          LogAlpha = logAlpha
          Variance = variance
          Lambda = lambda
          Interior = interior lambda }

    /// α = 1 − t, σ = t: the straight path (conditional optimal transport; rectified flow).
    let condOT: GaussianPath =
        let t = Curve.time

        { ofCurves
              "condot"
              "x_t = (1 − t)·x₀ + t·ε"
              "Lipman et al. 2023, Flow matching, eq. 20–22; Liu, Gong, Liu 2023"
              (1.0 - t)
              t with
            LogAlpha = Curve.log1p (-t)
            Lambda = Curve.log1p (-t) - log t }

    /// The Ornstein–Uhlenbeck process dX = −X ds + √2 dB run to time `horizon`: α = e^{−Tt}, σ² = 1 − e^{−2Tt}.
    let ouTo (horizon: float) : GaussianPath =
        ofLogAlpha
            "ou"
            $"x_t = e^{{−Tt}}·x₀ + √(1 − e^{{−2Tt}})·ε, T = {horizon}"
            "Uhlenbeck, Ornstein 1930; Song et al. 2021"
            (-horizon * Curve.time)

    /// OU to T = 5: what is left of the data at the end is e^{−5}.
    let ou = ouTo 5.0

    /// Variance preserving with β(t) = β_min + t (β_max − β_min): log α = −¼ t² (β_max − β_min) − ½ t β_min.
    let vpBetween (betaMin: float) (betaMax: float) : GaussianPath =
        let t = Curve.time

        ofLogAlpha
            "vp"
            $"dX = −½β(t) X dt + √β(t) dW, β from {betaMin} to {betaMax}"
            "Song et al. 2021, Score-based generative modeling through SDEs, eq. 32–33"
            (-0.25 * (betaMax - betaMin) * (t ** 2.0) - 0.5 * betaMin * t)

    let vp = vpBetween 0.1 20.0

    /// α = cos(πt/2), σ = sin(πt/2).
    let trigonometric: GaussianPath =
        let angle = 0.5 * Math.PI * Curve.time

        ofCurves
            "trigonometric"
            "x_t = cos(πt/2)·x₀ + sin(πt/2)·ε"
            "Albergo, Vanden-Eijnden 2023; Lu, Song 2025"
            (cos angle)
            (sin angle)

    let internal betaMin = Parameter.make "beta-min" 0.1 Allowed.Positive "β at the data"
    let internal betaMax = Parameter.make "beta-max" 20.0 Allowed.Positive "β at the noise"

    /// The paths of the calculus, of which `Paths.parts` has more.
    let parts: Part<GaussianPath> list =
        [ Part.fixedAt condOT
          |> Part.saying "Conditional optimal transport: from the data to noise on straight lines, at constant speed."
          Part.of1 (Parameter.make "horizon" 5.0 Allowed.Positive "the time T that the process runs to") ouTo
          |> Part.saying "Ornstein–Uhlenbeck process: the data decay while noise comes in, at constant rates."
          Part.of2 betaMin betaMax vpBetween
          |> Part.saying "Variance-preserving diffusion: data of unit variance keep it at every time."
          Part.fixedAt trigonometric ]

    /// σ(t) and α(t) at one time.
    let alphaSigma (path: GaussianPath) (t: float) = struct (Curve.eval path.Alpha t, Curve.eval path.Sigma t)

    /// x_t = α x₀ + σ ε: [B; …] at times [B] or one time for all.
    let sample (path: GaussianPath) (t: Tensor) (x0: Tensor) (noise: Tensor) : Tensor =
        Coefficient.combine [ Curve.at path.Alpha t, x0; Curve.at path.Sigma t, noise ]

    /// f(t) = d log α / dt: the linear drift of the path's SDE.
    let driftRate (path: GaussianPath) : Curve = Curve.derivative path.LogAlpha

    /// g²(t) = d σ²/dt − 2 f σ²: the squared diffusion of the path's SDE (Kingma et al. 2021, VDM, appendix).
    let diffusionSquared (path: GaussianPath) : Curve =
        Curve.derivative path.Variance - 2.0 * driftRate path * path.Variance

    /// The time at which the path has half log-SNR λ.
    let timeOfLambda (path: GaussianPath) (lambda: float) : float = Curve.inverse (0.0, 1.0) path.Lambda lambda

    /// The times at which the path has the half log-SNRs given [B] (those outside the interior's range: the nearer end), float64.
    /// Built once for a path, by cubic Hermite pieces through 2,048 inverses with their exact slopes dt/dλ = 1/λ̇: λ is met to
    /// 1e-9 on the named paths that are smooth and to 1e-5 on those of tables, at a few nanoseconds a value.
    let timesOfLambda (path: GaussianPath) : Tensor -> Tensor =
        let low, high = path.Interior
        let n = 2048
        let first, last = Curve.eval path.Lambda high, Curve.eval path.Lambda low
        let h = (last - first) / float n

        let times =
            Array.init (n + 1) (fun k ->
                if k = 0 then high
                elif k = n then low
                else Curve.inverse (low, high) path.Lambda (first + h * float k))

        let slope = Curve.derivative path.Lambda
        let slopes = times |> Array.map (fun t -> h / Curve.eval slope t)

        let time (lambda: float) =
            let place = Math.Clamp((lambda - first) / h, 0.0, float n)
            let k = min (int place) (n - 1)
            let u = place - float k
            let w = 1.0 - u

            (1.0 + 2.0 * u) * w * w * times[k] + u * w * w * slopes[k] + u * u * (3.0 - 2.0 * u) * times[k + 1]
            - u * u * w * slopes[k + 1]

        fun lambda -> Tensor.ofArray lambda.Shape (Array.map time (Tensor.toFloats lambda))

    /// The same laws met at other times: x at t of the new path is x at clock(t) of the old one; the clock rises from 0 to 1.
    let retime (clock: Curve) (path: GaussianPath) : GaussianPath =
        let on = Curve.after clock
        let low, high = path.Interior

        { path with
            Name = path.Name + "-retimed"
            Alpha = on path.Alpha
            Sigma = on path.Sigma
            LogAlpha = on path.LogAlpha
            Variance = on path.Variance
            Lambda = on path.Lambda
            Interior = Curve.inverse (0.0, 1.0) clock low, Curve.inverse (0.0, 1.0) clock high }

[<RequireQualifiedAccess>]
module Interpolant =

    /// x_t = (1 − t) x₀ + t x₁.
    let linear: Interpolant = { Name = "linear"; A = 1.0 - Curve.time; B = Curve.time; Gamma = Constant 0.0 }

    /// The Brownian bridge of variance s² t (1 − t) between x₀ and x₁.
    let bridge (s: float) : Interpolant =
        { linear with Name = "brownian-bridge"; Gamma = s * sqrt (Curve.time * (1.0 - Curve.time)) }

    /// A Gaussian path as an interpolant towards N(0, I) that forgets its score.
    let ofPath (path: GaussianPath) : Interpolant =
        { Name = path.Name; A = path.Alpha; B = path.Sigma; Gamma = Constant 0.0 }

    let private terms (i: Interpolant) (of': Curve -> Curve) (t: Tensor) x0 x1 z =
        [ i.A, x0; i.B, x1; i.Gamma, z ]
        |> List.map (fun (curve, x) -> Curve.at (of' curve) t, x)
        |> Coefficient.combine

    /// x_t.
    let sample (i: Interpolant) (t: Tensor) (x0: Tensor) (x1: Tensor) (z: Tensor) = terms i id t x0 x1 z

    /// dx_t/dt given (x₀, x₁, z): the target of flow matching, conditioned on both ends.
    let velocity (i: Interpolant) (t: Tensor) (x0: Tensor) (x1: Tensor) (z: Tensor) = terms i Curve.derivative t x0 x1 z

    /// The velocity at x given one end, the other one being what x says it is: u = known̊ e + (other̊/other)(x − known e). Where γ is 0
    /// it is the velocity given both ends, along the same line: three conditionings, one regression target.
    let private givenOne (known: Curve) (other: Curve) (t: Tensor) (x: Tensor) (x': Tensor) : Tensor =
        let rate = Curve.derivative other / other
        Coefficient.combine [ Curve.at (Curve.derivative known - rate * known) t, x'; Curve.at rate t, x ]

    /// u_t(x | x₀) = ȧ x₀ + (ḃ/b)(x − a x₀) (Lipman et al. 2023, eq. 15). Needs b ≠ 0: t > 0.
    let velocityGivenData (i: Interpolant) (t: Tensor) (x: Tensor) (x0: Tensor) = givenOne i.A i.B t x x0

    /// u_t(x | x₁) = ḃ x₁ + (ȧ/a)(x − b x₁). Needs a ≠ 0: t < 1.
    let velocityGivenSource (i: Interpolant) (t: Tensor) (x: Tensor) (x1: Tensor) = givenOne i.B i.A t x x1

// ---- 2. Predictions ------------------------------------------------------------------------------------------------------

/// (t, x) ↦ a vector for each sample. Time is float64 on the CPU, 0-dimensional or [B]; x is [B; …]; so is the result.
type Field = Tensor -> Tensor -> Tensor

/// What a model is told of each sample besides the time: class labels, int64 [B], −1 for a sample of no class; or numbers [B; …], NaN for each that is not told. None for an unconditional
/// model, or where nothing is told of any sample.
type Condition = Tensor option

[<RequireQualifiedAccess>]
module Condition =

    /// What is told of as many samples of which nothing is: labels −1, numbers NaN.
    let nothing (told: Tensor) : Tensor =
        Tensor.full told.Kind told.Shape (if Dtype.isFloating told.Dtype then nan else -1.0)

    /// Of which samples anything is told, [B] of booleans.
    let isTold (told: Tensor) : Tensor =
        if Dtype.isFloating told.Dtype then
            let there = (Tensor.isFinite (Tensor.flattenRows told)).To Dtype.Float32
            Tensor.greaterThan 0.5 (Tensor.maxOver [ 1 ] there)
        else
            Tensor.atLeast 0.0 told

/// What a network's output means: y = A(t)·x₀ + B(t)·ε, averaged over what x_t leaves open. Together with
/// x_t = α x₀ + σ ε that is two equations in two unknowns, so every meaning converts into every other where the
/// determinant α B − σ A is not zero. A new parametrization is one binding.
[<NoComparison; NoEquality>]
type Prediction =
    {
        Name: string
        Equation: string
        Reference: string
        /// A and B on a given path.
        Coefficients: GaussianPath -> struct (Curve * Curve)
    }

[<RequireQualifiedAccess>]
module Prediction =

    let private make name equation reference coefficients : Prediction =
        { Name = name; Equation = equation; Reference = reference; Coefficients = coefficients }

    /// y = ε.
    let noise = make "noise" "ε" "Ho, Jain, Abbeel 2020, DDPM, eq. 12" (fun _ -> struct (Constant 0.0, Constant 1.0))

    /// y = x₀: the denoiser.
    let data = make "data" "x₀" "Vincent 2011; Karras et al. 2022, EDM" (fun _ -> struct (Constant 1.0, Constant 0.0))

    /// y = dx/dt = α̇ x₀ + σ̇ ε.
    let velocity =
        make "velocity" "α̇ x₀ + σ̇ ε" "Lipman et al. 2023, eq. 15" (fun path ->
            struct (Curve.derivative path.Alpha, Curve.derivative path.Sigma))

    /// y = α ε − σ x₀.
    let v =
        make "v" "α ε − σ x₀" "Salimans, Ho 2022, Progressive distillation, appendix D" (fun path ->
            struct (-path.Sigma, path.Alpha))

    /// y = ∇log p_t(x) = −ε/σ.
    let score =
        make "score" "−ε/σ" "Song et al. 2021; Vincent 2011" (fun path -> struct (Constant 0.0, -1.0 / path.Sigma))

    let parts = List.map Part.fixedAt [ velocity; noise; data; v; score ]
    let all = List.map Part.standard parts

    /// A determinant α B − σ A below this is 0 with a rounding error: cos(π/2) is 6e-17 in float64, and dividing by it leaves nothing of the rest.
    let internal leastDeterminant = 1e-12

    let private refuse (path: GaussianPath) (from: Prediction) what (t: Tensor) =
        let shown = Tensor.toFloats t |> Seq.truncate 3 |> Seq.map string |> String.concat ", "

        raise (
            ArgumentException
                $"{from.Name} does not determine {what} on path {path.Name} at t = {shown}: the determinant α·B − σ·A is 0 there; keep to the path's interior times or predict velocity"
        )

    /// (cₓ, c_y) with y' = cₓ x + c_y y as curves: ((A' B − B' A)/(α B − σ A), (α B' − σ A')/(α B − σ A)).
    let coefficients (path: GaussianPath) (from: Prediction) (into: Prediction) : struct (Curve * Curve) =
        if from.Name = into.Name then
            struct (Constant 0.0, Constant 1.0)
        else
            let struct (a, b) = from.Coefficients path
            let struct (a', b') = into.Coefficients path
            let det = path.Alpha * b - path.Sigma * a
            struct ((a' * b - b' * a) / det, (path.Alpha * b' - path.Sigma * a') / det)

    /// The same at times t, the curves made once. Raises ArgumentException where the determinant is zero.
    let converter
        (path: GaussianPath)
        (from: Prediction)
        (into: Prediction)
        : Tensor -> struct (Coefficient * Coefficient) =
        if from.Name = into.Name then
            fun _ -> struct (Number 0.0, Number 1.0)
        else
            let struct (a, b) = from.Coefficients path
            let determinant = path.Alpha * b - path.Sigma * a
            let struct (cx, cy) = coefficients path from into

            fun t ->
                match Curve.at determinant t with
                | Number d when abs d < leastDeterminant -> refuse path from into.Name t
                | PerSample d when (Tensor.any (Tensor.lessThan leastDeterminant (abs d))).ToBool() ->
                    refuse path from into.Name t
                | _ -> struct (Curve.at cx t, Curve.at cy t)

    let conversion path from into (t: Tensor) : struct (Coefficient * Coefficient) = converter path from into t

    /// y = A x₀ + B ε: what the network should say.
    let target (path: GaussianPath) (prediction: Prediction) (t: Tensor) (x0: Tensor) (noise: Tensor) : Tensor =
        let struct (a, b) = prediction.Coefficients path
        Coefficient.combine [ Curve.at a t, x0; Curve.at b t, noise ]

/// A network together with the path it was trained on and what its output means: everything that sampling needs to know.
[<NoComparison; NoEquality>]
type Model =
    {
        Path: GaussianPath
        Prediction: Prediction
        Network: Condition -> Field
        /// The network with its second output u beside the first, where it learned the variance of the reverse step: log of it is
        /// ½ (1 + u) of the way from the posterior's to the forward step's (Nichol, Dhariwal 2021, eq. 15). One evaluation.
        WithVariance: (Condition -> Tensor -> Tensor -> struct (Tensor * Tensor)) option
    }

[<RequireQualifiedAccess>]
module Model =

    let make (path: GaussianPath) (prediction: Prediction) (network: Condition -> Field) : Model =
        { Path = path; Prediction = prediction; Network = network; WithVariance = None }

    /// The model with another network of the same path and prediction; the variance that it learned stays.
    let withNetwork (network: Condition -> Field) (model: Model) : Model =
        let beside (both: Condition -> Tensor -> Tensor -> struct (Tensor * Tensor)) (condition: Condition) =
            let both, network = both condition, network condition

            fun t x ->
                let struct (_, u) = both t x
                struct (network t x, u)

        { model with Network = network; WithVariance = Option.map beside model.WithVariance }

    /// The model's output read as another quantity.
    let reading (into: Prediction) (model: Model) (condition: Condition) : Field =
        let network = model.Network condition
        let convert = Prediction.converter model.Path model.Prediction into

        fun t x ->
            let struct (cx, cy) = convert t
            Coefficient.combine [ cx, x; cy, network t x ]

    let velocity model condition = reading Prediction.velocity model condition
    let score model condition = reading Prediction.score model condition
    /// E[x₀ | x_t].
    let denoiser model condition = reading Prediction.data model condition
    /// E[ε | x_t].
    let noise model condition = reading Prediction.noise model condition

// ---- 3. Processes --------------------------------------------------------------------------------------------------------

/// dX = velocity(t, X) dt.
[<NoComparison; NoEquality>]
type Ode = { Velocity: Field }

/// dX = drift(t, X) dt + g(t) dW. A backward process is run from t = 1 down to 0: its dt is negative, its noise that of
/// a Brownian motion in reversed time.
[<NoComparison; NoEquality>]
type Sde =
    {
        Drift: Field
        /// g²(t).
        DiffusionSquared: Curve
        Backward: bool
    }

[<RequireQualifiedAccess>]
module Sde =

    /// a·u(t, x) + c(t)·w(t, x).
    let private plus (u: Field) (c: Curve) (w: Field) : Field =
        fun t x -> Coefficient.combine [ Number 1.0, u t x; Curve.at c t, w t x ]

    /// The forward SDE whose law is the path: drift f(t)·x with f = d log α/dt, g² = dσ²/dt − 2 f σ²
    /// (Song et al. 2021, eq. 5; Kingma et al. 2021, eq. 3).
    let ofPath (path: GaussianPath) : Sde =
        let f = Path.driftRate path

        { Drift = fun t x -> Coefficient.scale (Curve.at f t) x
          DiffusionSquared = Path.diffusionSquared path
          Backward = false }

    /// The same law of trajectories run the other way: drift ∓ g² ∇log p_t (Anderson 1982; Haussmann, Pardoux 1986).
    /// The score is that of the process's own marginals. Reversing twice gives the process back.
    let reverse (score: Field) (sde: Sde) : Sde =
        let sign = if sde.Backward then 1.0 else -1.0

        { sde with Drift = plus sde.Drift (sign * sde.DiffusionSquared) score; Backward = not sde.Backward }

    /// The flow with the same marginals: drift ∓ ½ g² ∇log p_t (Song et al. 2021, eq. 13).
    let probabilityFlow (score: Field) (sde: Sde) : Ode =
        let sign = if sde.Backward then 0.5 else -0.5
        { Velocity = plus sde.Drift (sign * sde.DiffusionSquared) score }

    /// The backward processes that share the path's marginals: diffusion c·g around the flow's velocity v, with drift
    /// v − ½ c² g² ∇log p_t. c = 0 is the probability flow, c = 1 the reversal of the forward SDE
    /// (Karras et al. 2022, eq. 6; Zhang, Chen 2023).
    let withChurn (churn: float) (path: GaussianPath) (velocity: Field) (score: Field) : Sde =
        let g2 = churn * churn * Path.diffusionSquared path

        { Drift = plus velocity (-0.5 * g2) score; DiffusionSquared = g2; Backward = true }

    /// dX = −∇f dt + √2 dW, whose stationary law is e^{−f}/Z; the score −∇f may be given as such.
    let langevin (score: Field) : Sde = { Drift = score; DiffusionSquared = Constant 2.0; Backward = false }

[<RequireQualifiedAccess>]
module Ode =

    /// The flow of a trained model.
    let ofModel (condition: Condition) (model: Model) : Ode = { Velocity = Model.velocity model condition }

/// What is learned on an interpolant: its velocity and, where it has noise of its own, E[z | x_t]. Under a coupling the source is
/// not noise that one could divide by: there is no score to ask for but that of z.
[<NoComparison; NoEquality>]
type Flow =
    {
        Interpolant: Interpolant
        Velocity: Condition -> Field
        /// E[z | x_t], and the diffusion g² of the process that it is used in; none where γ = 0 or it was not learned.
        Noise: ((Condition -> Field) * Curve) option
    }

[<RequireQualifiedAccess>]
module Flow =

    let ode (condition: Condition) (flow: Flow) : Ode = { Velocity = flow.Velocity condition }

    /// The backward process with the flow's marginals and diffusion g: drift v − ½ g² ∇log p_t, ∇log p_t = −E[z|x]/γ
    /// (Albergo, Boffi, Vanden-Eijnden 2023, corollary 2.18; Tong et al. 2024, [SF]²M, eq. 8). None where z was not learned.
    let sde (condition: Condition) (flow: Flow) : Sde option =
        flow.Noise
        |> Option.map (fun (noise, g2) ->
            let velocity, noise = flow.Velocity condition, noise condition
            let gain = 0.5 * g2 / flow.Interpolant.Gamma

            { Drift = fun t x -> Coefficient.combine [ Number 1.0, velocity t x; Curve.at gain t, noise t x ]
              DiffusionSquared = g2
              Backward = true })
