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

    /// Noise is put back, up to ς̂ = (1 + γ) ς, and a step of a method that draws nothing goes from there to the next level (Karras et al. 2022, EDM,
    /// algorithm 2, whose method is Heun's in ς). The level never rises above that of t = 1, where the path ends.
    let churned (churn: Churn) (method: Readings -> Step) (readings: Readings) : Step =
        let path = readings.Path
        let level t = Math.Exp(-(Curve.eval path.Lambda t))
        let step = method readings
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

            step noise until { state with Time = start; X = x; Memory = [] }

    /// Where an ancestral step from time s to t goes before its noise: the time of the level ς_d with ς_d² = ς_t² − ς_u², and ς_u = η ς_t √(1 − ς_t²/ς_s²), the standard
    /// deviation of that noise in x/α (Song, Meng, Ermon 2021, DDIM, eq. 16, in ς = σ/α). Where the path does not reach down so far it is the path's end, with
    /// the noise that is missing there.
    let private below (eta: float) (path: GaussianPath) (s: float) (t: float) : struct (float * float) =
        let level t = Math.Exp(-(Curve.eval path.Lambda t))
        let wanted, lowest = level t, level 0.0
        let share = Math.Min(1.0, eta * eta * -(Curve.eval (Curve.expm1 Curve.time) (2.0 * Math.Log(wanted / level s))))
        let down = wanted * Math.Sqrt(1.0 - share)

        if share = 0.0 then
            struct (t, 0.0)
        elif down > lowest then
            struct (Curve.inverse (0.0, t) path.Lambda (-(Math.Log down)), wanted * Math.Sqrt share)
        else
            struct (0.0, Math.Sqrt(wanted * wanted - lowest * lowest))

    /// x at a time with noise of a standard deviation in x/α, moved up to a later time.
    let private raised
        (path: GaussianPath)
        (from: float)
        (until: float)
        (deviation: float)
        (z: unit -> Tensor)
        (x: Tensor)
        =
        let alpha = Curve.eval path.Alpha
        if deviation = 0.0 then x else alpha until * (x / alpha from + deviation * z ())

    /// Ancestral sampling by any method that draws nothing: its step to a level below the one wanted, and noise from there: η = 0 is the method, and with its flow
    /// exact every η keeps the marginals (Crowson 2022, k-diffusion, which has it for Euler's, DPM-Solver-2's and DPM-Solver++(2S)'s).
    let renoised (eta: float) (method: Readings -> Step) (readings: Readings) : Step =
        let step = method readings

        fun noise until state ->
            let struct (down, deviation) = below eta readings.Path state.Time until
            let next = step noise down { state with Memory = [] }
            let z () = Noise.draw noise state.Step (state.Time, until) (0, 1) state.X
            { next with Time = until; X = raised readings.Path down until deviation z next.X; Memory = [] }

    /// DPM-Solver++ (stochastic), of two evaluations: x̂₀ here and at a fraction r of the way in λ, which a first-order ancestral step leads to; their mixture
    /// is followed, as x̂₀, by an ancestral step over the whole (Crowson 2022, k-diffusion, `dpmpp_sde`: r = ½, η = 1; Lu et al. 2023, DPM-Solver++, appendix).
    let twoStage (r: float) (eta: float) (readings: Readings) : Step =
        let path = readings.Path
        let data = readings.Of Prediction.data

        fun noise until state ->
            let interval = SemilinearInterval.between OfData 0.0 path state.Time until
            let value = data (Integrator.time state.Time) state.X

            let toward (until: float) (k: int) (value: Tensor) =
                let struct (down, deviation) = below eta path state.Time until
                let z () = Noise.draw noise state.Step (state.Time, until) (k, 2) state.X
                Exponential.first { interval with Until = down } state.X value |> raised path down until deviation z

            if SemilinearInterval.isRegular interval then
                let middle = SemilinearInterval.timeAt interval r
                let ahead = data (Integrator.time middle) (toward middle 0 value)
                let mixed = (1.0 - 0.5 / r) * value + (0.5 / r) * ahead
                Integrator.moved state until (toward until 1 mixed) [] 2
            else
                Integrator.moved state until (toward until 1 value) [] 1

    /// Every draw times a factor, s_noise.
    let inflated (factor: float) (method: Readings -> Step) (readings: Readings) : Step =
        let step = method readings
        fun noise -> step (Noise.scaled factor noise)

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
                        let z = Noise.draw noise state.Step (until, until) (k, per) x
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
