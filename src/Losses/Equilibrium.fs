namespace Fokker

/// Equilibrium matching: one field for all noise levels, −∇E of an energy without time, that leads from noise to data and vanishes at the data (Wang, Du 2025, Equilibrium matching). Samples are where descent ends.
[<RequireQualifiedAccess>]
module Equilibrium =

    /// c(t), 1 on the noisier part of the way and falling to 0 over its last share 1 − a (eq. 5 there, truncated decay; γ = 1 − t): gain · min(1, t/(1 − a)).
    let decay (a: float) (gain: float) (t: Tensor) : Tensor = gain * Tensor.clamp 0.0 1.0 (t / (1.0 - a))

    /// What ∇E is to be at x_t: c(t) (ε − x₀).
    let target (c: Tensor -> Tensor) (t: Tensor) (x0: Tensor) (noise: Tensor) : Tensor =
        Tensor.perSample x0 (c t) * (noise - x0)

    /// E‖∇E(x_t) − c(t) (ε − x₀)‖², x_t = (1 − t) x₀ + t ε, t ~ U(0, 1).
    let objective (a: float) (gain: float) : Objective =
        let equation = $"E‖∇E(x_t) − c(t) (ε − x₀)‖², c = {gain} min(1, t/{System.Math.Round(1.0 - a, 6)})"
        let draw = Times.uniform.Draw Path.condOT

        let loss: Loss =
            fun context rng batch ->
                let x0 = batch.Data
                let t = draw (Rng.named "times" rng) x0.Shape[0]
                let noise = Rng.normalLike x0 (Rng.named "noise" rng)
                let x = Path.sample Path.condOT t x0 noise
                let potential = Energy.value (Energy.ofNetwork false context.Network) batch.Label
                let slope = Diff.grad (fun x -> Tensor.sum (potential x)) x
                Tensor.meanRows (Tensor.square (slope - target (decay a gain) t x0 noise))

        Objective.withOutput
            "equilibrium"
            equation
            "Wang, Du 2025, Equilibrium matching, eq. 4 and 5"
            Path.condOT
            (NetworkOutput.Energy false)
            loss

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of2
            (Parameter.make
                "a"
                0.8
                (Allowed.Within(0.0, 0.99))
                "the share of the way over which the slope keeps its size")
            (Parameter.make "gain" 1.0 Allowed.Positive "the size of the slope")
            (fun a gain ->
                let own = objective a gain

                LossEntry.make
                    own.Name
                    "Equilibrium matching: an energy without time whose slope leads from noise to data and vanishes there; samples are where descent ends."
                    own.Equation
                    own.Reference
                    []
                    (fun _ -> objective a gain))
