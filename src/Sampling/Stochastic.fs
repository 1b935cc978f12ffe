namespace Fokker

open System

/// EDM's stochasticity: how much noise is put back before each step, at which noise levels, and how strong.
type Churn =
    {
        /// S_churn: each step raises ς by the factor 1 + min(S_churn/N, √2 − 1).
        Churn: float
        /// [S_min, S_max]: the levels ς = σ/α at which it does.
        Least: float
        Most: float
        /// S_noise: the standard deviation of what is put back, a little over 1.
        Inflation: float
    }

/// The stochastic steps that are written in terms of E[x₀ | x] and E[ε | x].
[<RequireQualifiedAccess>]
module Stochastic =

    let private both (readings: Readings) =
        let data = readings.Of Prediction.data

        fun (t: float) (x: Tensor) ->
            let x0 = data (Integrator.time t) x
            let struct (alpha, sigma) = Path.alphaSigma readings.Path t
            struct (x0, (x - alpha * x0) / sigma)

    /// x_s = α_s x̂₀ + √(σ_s² − η² ṽ) ε̂ + η √ṽ z with ṽ the posterior's variance: η = 0 follows the flow, η = 1 is ancestral sampling with
    /// variance β̃; every η keeps the marginals (Song, Meng, Ermon 2021, DDIM, eq. 12 and 16).
    let ddim (eta: float) (readings: Readings) : Step =
        let both = both readings

        fun noise until state ->
            let struct (x0, direction) = both state.Time state.X
            let struct (alpha, sigma) = Path.alphaSigma readings.Path until
            let variance = eta * eta * (Variational.posterior readings.Path until state.Time).Variance
            let kept = alpha * x0 + Math.Sqrt(max 0.0 (sigma * sigma - variance)) * direction

            let x =
                if variance = 0.0 then
                    kept
                else
                    kept + Math.Sqrt variance * Noise.draw noise state.Step (state.Time, until) (0, 1) state.X

            Integrator.moved state until x [] 1

    /// The posterior's mean at x̂₀, and a variance: DDPM's steps (Ho, Jain, Abbeel 2020, algorithm 2; with the learned variance Nichol, Dhariwal 2021,
    /// eq. 15). Raises ArgumentException where a learned variance is asked of a model that has none.
    let ancestral (variance: StepVariance) (readings: Readings) : Step =
        let data = readings.Of Prediction.data

        let said =
            match variance, readings.WithVariance with
            | Learned, Some both -> both
            | Learned, None ->
                invalidArg
                    (nameof variance)
                    "this model did not learn the variance of its steps: take one trained by hybrid or vlb-learned, or sample with ancestral or ancestral-large"
            | _ -> fun t x -> struct (data t x, x)

        fun noise until state ->
            let struct (x0, place) = said (Integrator.time state.Time) state.X
            let p = Variational.posterior readings.Path until state.Time
            let mean = p.State * state.X + p.Data * x0
            let z () = Noise.draw noise state.Step (state.Time, until) (0, 1) state.X

            let x =
                match variance with
                | Posterior -> mean + Math.Sqrt p.Variance * z ()
                | Forward -> mean + Math.Sqrt p.Forward * z ()
                | Learned ->
                    let small, large = Math.Log(max 1e-20 p.Variance), Math.Log p.Forward
                    mean + exp (0.5 * (small + 0.5 * (large - small) * (place + 1.0))) * z ()

            Integrator.moved state until x [] 1

    /// Noise is put back, up to ς̂ = (1 + γ) ς, and Heun's step in ς goes from there to the next level: with y = x/α, dy/dς = ε̂
    /// (Karras et al. 2022, EDM, algorithm 2). The level never rises above that of t = 1, where the path ends. Without churn it is Heun's method in ς.
    let edm (churn: Churn) (readings: Readings) : Step =
        let path = readings.Path
        let level t = Math.Exp(-(Curve.eval path.Lambda t))
        let noise' = readings.Of Prediction.noise
        let highest = level 1.0

        fun noise until state ->
            let from = level state.Time
            let isIn = churn.Least <= from && from <= churn.Most
            let gamma = if isIn then min (churn.Churn / float readings.Steps) (Math.Sqrt 2.0 - 1.0) else 0.0
            let raised = min highest (from * (1.0 + gamma))

            let start, x =
                if raised > from then
                    let t = Curve.inverse (0.0, 1.0) path.Lambda (-(Math.Log raised))
                    let z = Noise.draw noise state.Step (state.Time, until) (0, 1) state.X
                    let added = churn.Inflation * Math.Sqrt(raised * raised - from * from)
                    let alpha = Curve.eval path.Alpha
                    t, alpha t * (state.X / alpha state.Time + added * z)
                else
                    state.Time, state.X

            let leg = Leg.between OfNoise 0.0 path start until
            let carried = Leg.carry leg * x
            let slope = noise' (Integrator.time start) x
            let whole = Leg.moment leg 0
            let ahead = noise' (Integrator.time until) (carried + whole * slope)
            Integrator.moved state until (carried + (0.5 * whole) * (slope + ahead)) [] 2

    /// A predictor's step, and Langevin steps at the time where it ends: x + δ s + √(2δ) z with δ = 2 α² (r ‖z‖/‖s‖)², α the step's own scale of the data and
    /// r the signal-to-noise ratio (Song et al. 2021, Score-based generative modeling through SDEs, algorithms 1, 4 and 5). The norms are each sample's
    /// own, and ‖s‖ counts as at least ‖z‖/2σ: in a few dimensions it comes near 0, and the step would have no bound.
    let corrected (ratio: float) (corrections: int) (predictor: Step) (readings: Readings) : Step =
        let score = readings.Of Prediction.score

        fun noise until state ->
            let per = 1 + corrections
            let norm (x: Tensor) = sqrt (Tensor.sumRows (Tensor.square x))
            // The predictor's one draw is the first of the step's.
            let shifted = Noise.every per noise
            let next = predictor shifted until state
            let alpha t = Curve.eval readings.Path.Alpha t
            let scale = alpha state.Time / alpha until
            let longest = 2.0 * Curve.eval readings.Path.Sigma until

            let x =
                List.fold
                    (fun (x: Tensor) k ->
                        let z = Noise.draw noise state.Step (state.Time, until) (k, per) x
                        let s = score (Integrator.time until) x
                        let reach = Tensor.clamp 0.0 longest (norm z / norm s)
                        let delta = 2.0 * scale * scale * Tensor.square (ratio * reach)
                        x + Tensor.perSample x delta * s + Tensor.perSample x (sqrt (2.0 * delta)) * z)
                    next.X
                    [ 1..corrections ]

            { next with X = x; Memory = []; Evaluations = next.Evaluations + corrections }

    /// Steps of two methods in turns, the first one first.
    let alternating (first: Step) (second: Step) : Step =
        fun noise until state ->
            let step = if state.Step % 2 = 0 then first else second
            { step noise until { state with Memory = [] } with Memory = [] }
