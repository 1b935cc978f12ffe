namespace Fokker

open System

/// What is learned of Langevin's process from the data to e^{−f}/Z, for an f of one's own: the flow that has its marginals, which leads there and back.
///
/// dX = −∇f(X) dτ + √2 dW, X₀ the data's, has no kernel in closed form unless f is quadratic, and needs none: p_t is sampled by walking, and implicit score matching asks for nothing else.
[<RequireQualifiedAccess>]
module LangevinMatching =

    let name = "langevin"

    let equation = "E[‖v‖²/τ̇ + 2 ⟨v, ∇f⟩ − 2 ∇·v] at X_τ(t), dX = −∇f dτ + √2 dW, τ = T t²"

    let reference =
        "Hyvärinen 2005, theorem 1, along Langevin's process; Anderson 1982 and Song et al. 2021, eq. 13 (its flow)"

    /// ‖v‖²/τ̇ + 2 ⟨v, ∇f⟩ − 2 ∇·v at each sample [B], which is E‖v + τ̇ (∇f + ∇log p)‖²/τ̇ but for what does not depend on v, whatever the law p of x is: the errors of drifts over g², as Girsanov's theorem counts
    /// them. `rate` is τ̇ [B], `force` −∇f. At p = e^{−f}/Z it is least, and 0, at v = 0.
    let term (trace: Trace) (rng: Rng) (rate: Tensor) (force: Tensor -> Tensor) (v: Tensor -> Tensor) (x: Tensor) =
        let struct (value, divergence) = trace.Apply rng v x
        Tensor.sumRows (Tensor.square value) / rate - 2.0 * (Tensor.sumRows (value * force x) + divergence)

    /// t [n] and X_τ(t) from x₀ [n; …]: N steps of Euler and Maruyama between the times k/N (`ScoreMatching.walked`). The clock τ = T t² begins slowly, where the data's own details go.
    let walked (time: float) (steps: int) (force: Tensor -> Tensor) (rng: Rng) (x0: Tensor) : struct (Tensor * Tensor) =
        let advance k (x: Tensor) (noise: Tensor) =
            // τ at (k + 1)/N less τ at k/N.
            let h = time * float (2 * k + 1) / float (steps * steps)
            x + h * force x + Math.Sqrt(2.0 * h) * noise

        let struct (last, x) = ScoreMatching.walked steps advance rng x0
        struct (last / float steps, x)

    /// The loss of a velocity: T is the process's time from the data to e^{−f}/Z, N its steps.
    let loss (trace: Trace) (time: float) (steps: int) (force: Tensor -> Tensor) : Loss =
        fun context rng batch ->
            let struct (t, x) = walked time steps force rng batch.Data
            let rate = (2.0 * time * t).To x.Dtype
            term trace (Rng.named "probes" rng) rate force (context.Network batch.Label t) x

    /// A network that says the velocity, from the source e^{−f}/Z at t = 1 to the data at t = 0.
    let objective (trace: Trace) (time: float) (steps: int) (force: Tensor -> Tensor) : Objective =
        Objective.withOutput name equation reference Path.condOT NetworkOutput.Velocity (loss trace time steps force)

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of2
            (Parameter.make
                "time"
                3.0
                Allowed.Positive
                "T, the process's time from the data to e^{−f}/Z, in variances of the source")
            (Parameter.make "steps" 100.0 (Allowed.Whole 2) "N, the steps that it is walked in")
            (fun time steps ->
                LossEntry.make
                    name
                    "Langevin's process from the data to e^{−f}/Z, f being −log of the source's density: learns the flow with its marginals, there and back."
                    equation
                    reference
                    [ Setting.Source, None ]
                    (fun parts ->
                        let force =
                            match parts.Source, parts.SourceScore with
                            // ½ ‖x‖², of N(0, I): the process of Ornstein and Uhlenbeck.
                            | None, _ -> Tensor.neg
                            | Some _, Some score -> score
                            | Some _, None ->
                                refuseWith
                                    Setting.Source
                                    ""
                                    $"its density is not known, and the loss {name} goes along its gradient"
                                    $"take a law such as mixture:FILE, or leave it out for N(0, I)"

                        let variance =
                            match parts.Source with
                            | None -> 1.0
                            | Some draw ->
                                Scope.run (fun () ->
                                    let x =
                                        draw (Rng.ofSeed 0L) (Tensor.zeros Kind.Float64 [ 4096; parts.Dimension ])
                                    (Tensor.mean (Tensor.varianceOver [ 0 ] 1 x)).ToFloat())

                        objective (LossEntry.trace parts) (time * variance) (int steps) force))
