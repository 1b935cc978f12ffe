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
        /// Which steps the plan's method takes.
        Control: Control
        /// How ∇·v is found. An estimate gives log p without bias but for the solver's error.
        Trace: Trace
        /// log p at the plan's noisy time, [B; …] ↦ [B] float64.
        Prior: Tensor -> Tensor
        /// Bytes that the field's graph may take: more samples than fit go through one part after another. One sample at a time is the least.
        Memory: int64
    }

/// log p of some samples, in nats.
[<NoComparison; NoEquality>]
type Density =
    {
        /// The mean over the probes: [B], float64.
        LogDensity: Tensor
        /// One for each probe, [B; probes]; [B; 1] where the divergence is exact.
        PerProbe: Tensor
        /// Where the samples went: x at the plan's noisy time, [B; …] float64.
        Latent: Tensor
        /// Evaluations of the field for each sample; each takes the derivatives that the trace needs.
        Evaluations: int[]
    }

    /// Standard error of `LogDensity` over the probes, [B]; none where there are not two.
    member d.StandardError: Tensor option =
        let probes = d.PerProbe.Shape[1]

        if probes < 2 then
            None
        else
            Some(sqrt (Tensor.varianceOver [ 1 ] 1 d.PerProbe * (1.0 / float probes)))

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
        match plan.Sampler.Follows with
        | Velocity _ -> ()
        | Process _
        | Denoiser _
        | Leaps _
        | Target _ ->
            invalidArg
                (nameof plan)
                $"{plan.Sampler.Name} does not follow dx/dt: a likelihood needs a flow in t; take a Runge–Kutta method"

        { Plan = plan
          Control = Fixed
          Trace = trace
          Prior = gaussian (Curve.eval path.Sigma plan.Span.Noisy)
          Memory = 256L <<< 20 }

    /// d(x, ℓ)/dt = (v, ∇·v) on states (x, ℓ) [B; d + estimates]: one state, so that every method integrates both at its order.
    let private withDivergence (trace: Trace) (probes: Tensor) (shape: int list) (velocity: Field) : Field =
        fun t state ->
            let d = state.Shape[1] - trace.Estimates
            let x = Tensor.reshape (state.Shape[0] :: shape) (Tensor.narrow 1 0 d state)
            let struct (velocity, divergence) = trace.Along probes (velocity t) x
            Tensor.cat 1 [ Tensor.flattenRows velocity; divergence ]

    /// The larger of the errors of x and of ℓ: among hundreds of coordinates the one that is asked for would not count.
    let private largerPart (estimates: int) (state: Tensor) : Tensor =
        let d = state.Shape[1] - estimates

        Tensor.maximum
            (Adaptive.rootMeanSquare (Tensor.narrow 1 0 d state))
            (Adaptive.rootMeanSquare (Tensor.narrow 1 d estimates state))

    /// How many samples' graphs fit into `memory`. What a second sample adds is what a sample takes: a network's parameters in another
    /// element type, say, are there once.
    let private fitting (memory: int64) (flowOf: int[] -> Ode) (time: float) (x: Tensor) : int =
        let n = x.Shape[0]

        let bytes count =
            let field = (flowOf [| 0 .. count - 1 |]).Velocity(Tensor.scalar Kind.Float64 time)
            Diff.graphBytes field (Tensor.narrow 0 0 count x)

        if n < 2 then n else int (Math.Clamp(memory / max 1L (bytes 2 - bytes 1), 1L, int64 n))

    /// One field out of those of parts of the batch, so many samples in each, evaluated in turn.
    let private inParts (sizes: int[]) (fields: Field[]) : Field =
        match fields with
        | [| field |] -> field
        | _ ->
            let starts = Array.scan (+) 0 sizes

            fun t x ->
                let part k =
                    let rows = Tensor.narrow 0 starts[k] sizes[k]
                    Scope.run (fun () -> fields[k] (if t.Rank = 0 || t.Shape[0] = 1 then t else rows t) (rows x))

                Tensor.cat 0 (List.init fields.Length part)

    /// x and ∫_s^t ∇·v dτ for the trajectory that starts at x_s = x [B; …], over times s, …, t that rise or fall: where it goes, and
    /// the integral [B; estimates]. The probes of an estimated divergence stay the same along the trajectory (Grathwohl et al. 2019, section 3.1). The graph of
    /// the field keeps to so many bytes where `memory` says so: the parts of the batch differ from the whole in rounding only.
    let carryBy
        (memory: int64 option)
        (control: Control)
        (trace: Trace)
        (tableau: Tableau)
        (flowOf: int[] -> Ode)
        (rng: Rng)
        (times: float[])
        (x: Tensor)
        : Result<struct (Carried * Tensor), Failure> =
        Scope.run (fun () ->
            let x = x.To Dtype.Float64
            let n, shape = x.Shape[0], List.ofArray x.Shape[1..]
            let probes = trace.Probes rng x
            let state = Tensor.cat 1 [ Tensor.flattenRows x; Tensor.zeros x.Kind [ n; trace.Estimates ] ]
            let d = state.Shape[1] - trace.Estimates

            let together =
                match memory with
                | None -> n
                | Some bytes -> fitting bytes flowOf times[0] x

            let part (rows: int[]) : Field =
                let index = (Tensor.ofArray [ rows.Length ] (Array.map int64 rows)).To probes.Device
                let own = if rows.Length = n then probes else Tensor.indexSelect 1 index probes
                withDivergence trace own shape (flowOf rows).Velocity

            let fieldOf (rows: int[]) : Field =
                let parts = if rows.Length <= together then [| rows |] else Array.chunkBySize together rows
                inParts (parts |> Array.map Array.length) (Array.map part parts)

            Latents.carryBy (largerPart trace.Estimates) control tableau fieldOf times state
            |> Result.map (fun carried ->
                struct ({ carried with X = Tensor.reshape x.Shape (Tensor.narrow 1 0 d carried.X) },
                        Tensor.narrow 1 d trace.Estimates carried.X)))

    /// The same over fixed steps for a flow that is one for all samples: (x_t, ∫_s^t ∇·v dτ), [B; …] and [B].
    let carry
        (trace: Trace)
        (tableau: Tableau)
        (ode: Ode)
        (rng: Rng)
        (times: float[])
        (x: Tensor)
        : Result<struct (Tensor * Tensor), Failure> =
        Scope.run (fun () ->
            carryBy None Fixed trace tableau (fun _ -> ode) rng times x
            |> Result.map (fun (struct (carried, divergence)) -> struct (carried.X, Tensor.meanRows divergence)))

    /// log p(x) at the plan's clean time under a flow whose times are laid on `path`, in the network's units, for samples x [B; …];
    /// `condition` is none, or B labels. Row i of an estimate's probes depends on the key and on i only.
    let underFlow
        (likelihood: Likelihood)
        (path: GaussianPath)
        (flow: Condition -> Ode)
        (condition: Condition)
        (rng: Rng)
        (x: Tensor)
        : Result<Density, Failure> =
        match likelihood.Plan.Sampler.Follows with
        | Velocity tableau ->
            Scope.run (fun () ->
                let rising = Array.rev (Sampling.times likelihood.Plan path)
                let flowOf rows = flow (Latents.ofRows condition rows)

                let carry = carryBy (Some likelihood.Memory) likelihood.Control likelihood.Trace tableau flowOf

                carry (Rng.named "probes" rng) rising x
                |> Result.map (fun (struct (carried, divergence)) ->
                    let perProbe = Tensor.unsqueeze 1 (likelihood.Prior carried.X) + divergence

                    { LogDensity = Tensor.meanRows perProbe
                      PerProbe = perProbe
                      Latent = carried.X
                      Evaluations = carried.Evaluations }))
        | _ -> invalidArg (nameof likelihood) $"{likelihood.Plan.Sampler.Name} follows no flow"

    /// log p(x) [B] under the probability flow of a model.
    let logDensity
        (likelihood: Likelihood)
        (model: Model)
        (condition: Condition)
        (rng: Rng)
        (x: Tensor)
        : Result<Tensor, Failure> =
        let network = Sampling.widened likelihood.Plan.Kind model.Network
        let flow condition = Ode.ofModel condition { model with Network = network }

        Scope.run (fun () ->
            underFlow likelihood model.Path flow condition rng x
            |> Result.map (fun density -> density.LogDensity))

    /// log p₁(x₁) − log π(x₁) for the latents of a density [B], nats: what the likelihood's prior π says too little of each sample where p₁ is the
    /// law that the flow truly has there. Its mean over the data is KL(p₁ ‖ π); on a variance-preserving path with π = N(0, I) it is what is
    /// left of the data at the end.
    let costOfPrior (truth: Tensor -> Tensor) (likelihood: Likelihood) (density: Density) : Tensor =
        truth density.Latent - likelihood.Prior density.Latent

    /// −log₂ p/d: nats of a sample of d coordinates as bits a dimension.
    let bitsPerDimension (d: int) (nats: float) : float = -nats / (float d * Math.Log 2.0)

    /// Whole numbers x spread evenly over their cells, x + u with u ~ U[−½, ½): uniform dequantization. E log p(x + u) ≤ log ∫_cell p, the mass that a
    /// discrete law of the model's gives x: the dequantized bits are never fewer than the discrete ones (Uria, Murray, Larochelle 2013; Theis, van den Oord,
    /// Bethge 2016, section 3.1). Cells are of width 1: p is the density in the units of the whole numbers, log p(y) − log |dx/dy| for a network
    /// that sees y (`Units.logVolume`).
    let dequantized (rng: Rng) (x: Tensor) : Tensor =
        x.To Dtype.Float64 + (Rng.uniform (Kind.Float64.On x.Device) x.Shape (Rng.named "cells" rng) - 0.5)
