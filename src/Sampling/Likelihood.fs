namespace Fokker

open System

/// The density of what a flow makes of its prior. Along a trajectory of dx/dt = v(t, x)
///     d log p_t(x_t)/dt = −∇·v(t, x_t),   so   log p_s(x_s) = log p_t(x_t) + ∫_s^t ∇·v(τ, x_τ) dτ
/// (Chen et al. 2018, Neural ODEs, theorem 1; Grathwohl et al. 2019, FFJORD, eq. 3): from the data up to the noise, where the
/// law is known.
[<NoComparison; NoEquality>]
type Likelihood =
    {
        /// The flow whose density it is: a plan samples from the law that its likelihood is of. The density is that of the state at
        /// the plan's clean time; what a plan does to that state in the end (`Denoise`) does not count.
        Plan: SamplingPlan
        /// How ∇·v is found. An estimate gives log p without bias but for the solver's error.
        Trace: Trace
        /// log p at the plan's noisy time, [B; …] ↦ [B] float64.
        Prior: Tensor -> Tensor
    }

[<RequireQualifiedAccess>]
module Likelihood =

    /// log N(x; 0, s² I) = −½ ‖x‖²/s² − ½ d log 2πs² in nats: [B; …] ↦ [B], float64.
    let gaussian (std: float) (x: Tensor) : Tensor =
        let x = Tensor.flattenRows (x.To Dtype.Float64)
        let constant = float x.Shape[1] * Math.Log(2.0 * Math.PI * std * std)
        -0.5 * (Tensor.sumRows (Tensor.square x) / (std * std) + constant)

    /// The likelihood under a plan. Its prior is N(0, σ² I) with σ of the plan's noisy time, the law that `Sampling.start` draws from.
    /// Raises ArgumentException where the plan's sampler is stochastic: a process's density is its flow's, which a plan of
    /// a Runge–Kutta method follows.
    let make (trace: Trace) (plan: SamplingPlan) (path: GaussianPath) : Likelihood =
        if plan.Sampler.IsStochastic then
            invalidArg
                (nameof plan)
                $"{plan.Sampler.Name} is stochastic: a likelihood follows a flow; take a Runge–Kutta method"

        { Plan = plan; Trace = trace; Prior = gaussian (Curve.eval path.Sigma plan.Span.Noisy) }

    /// d(x, ℓ)/dt = (v, ∇·v) on states (x, ℓ) [B; d + 1]: one state, so that every method integrates both at its order.
    let private withDivergence (trace: Trace) (rng: Rng) (shape: int[]) (ode: Ode) : Ode =
        { Velocity =
            fun t state ->
                let x = Tensor.reshape shape (Tensor.narrow 1 0 (state.Shape[1] - 1) state)
                let struct (velocity, divergence) = trace.Apply rng (ode.Velocity t) x
                Tensor.cat 1 [ Tensor.flattenRows velocity; Tensor.unsqueeze 1 divergence ] }

    /// (x_t, ∫_s^t ∇·v dτ) for the trajectory that starts at x_s = x [B; …], over times s, …, t that rise or fall: [B; …] and [B],
    /// float64. The probes of an estimated divergence stay the same along the trajectory (Grathwohl et al. 2019, section 3.1).
    let carry
        (trace: Trace)
        (tableau: Tableau)
        (ode: Ode)
        (rng: Rng)
        (times: float[])
        (x: Tensor)
        : Result<struct (Tensor * Tensor), Failure> =
        Scope.run (fun () ->
            let x = x.To Dtype.Float64
            let zero = Tensor.zeros x.Kind [ x.Shape[0]; 1 ]
            let step = Integrator.rungeKutta tableau (withDivergence trace rng x.Shape ode)

            Integrator.run step rng times (Tensor.cat 1 [ Tensor.flattenRows x; zero ])
            |> Result.map (fun state ->
                let d = state.X.Shape[1] - 1
                struct (Tensor.reshape x.Shape (Tensor.narrow 1 0 d state.X), Tensor.select 1 d state.X)))

    /// log p(x) in nats at the plan's clean time under a flow whose times are laid on `path`, in the network's units:
    /// [B; …] ↦ [B] float64. Row i of an estimate's probes depends on the key and on i only.
    let underFlow
        (likelihood: Likelihood)
        (path: GaussianPath)
        (ode: Ode)
        (rng: Rng)
        (x: Tensor)
        : Result<Tensor, Failure> =
        match likelihood.Plan.Sampler.Method with
        | EulerMaruyama _ -> invalidArg (nameof likelihood) $"{likelihood.Plan.Sampler.Name} follows no flow"
        | RungeKutta tableau ->
            Scope.run (fun () ->
                let rising = Array.rev (Sampling.times likelihood.Plan path)

                carry likelihood.Trace tableau ode (Rng.named "probes" rng) rising x
                |> Result.map (fun (struct (noise, divergence)) -> likelihood.Prior noise + divergence))

    /// The same under the probability flow of a model; `condition` is none, or B labels.
    let logDensity
        (likelihood: Likelihood)
        (model: Model)
        (condition: Condition)
        (rng: Rng)
        (x: Tensor)
        : Result<Tensor, Failure> =
        let network = Sampling.widened likelihood.Plan.Kind model.Network
        underFlow likelihood model.Path (Ode.ofModel condition { model with Network = network }) rng x

    /// −log₂ p/d: nats of a sample of d coordinates as bits a dimension.
    let bitsPerDimension (d: int) (nats: float) : float = -nats / (float d * Math.Log 2.0)
