namespace Fokker

/// Continuous normalizing flows: a velocity trained by the density that it gives the data, through a solver. Before flow
/// matching there was this (Chen et al. 2018, Neural ODEs; Grathwohl et al. 2019, FFJORD).
[<RequireQualifiedAccess>]
module ContinuousFlow =

    /// −log p(x₀)/d in nats a coordinate, along the flow from t = 0 to t = 1 in so many equal steps, with the prior N(0, I) there. The gradient is
    /// that of the discretized flow: the steps themselves are differentiated.
    let maximumLikelihood (trace: Trace) (tableau: Tableau) (steps: int) : Objective =
        if steps < 1 then
            invalidArg (nameof steps) $"{steps} steps: at least 1"

        let times = Array.init (steps + 1) (fun k -> float k / float steps)

        let loss: Loss =
            fun context rng batch ->
                let x0 = batch.Data
                let network = Sampling.widened { x0.Kind with Dtype = x0.Dtype } context.Network
                let ode = { Velocity = network batch.Label }

                match Likelihood.carry trace tableau ode (Rng.named "probes" rng) times x0 with
                | Ok(struct (noise, divergence)) ->
                    (Likelihood.gaussian 1.0 noise + divergence) * (-float x0.Shape[0] / float x0.Count)
                // A step that leaves the numbers is a diverged training step, which the trainer knows how to end.
                | Error _ -> Tensor.full Kind.Float64 [ x0.Shape[0] ] nan

        Objective.withOutput
            "cnf"
            "−log p₁(x₁) − ∫∇·v dt, by the instantaneous change of variables"
            "Chen et al. 2018, Neural ODEs; Grathwohl et al. 2019, FFJORD, eq. 4"
            Path.condOT
            NetworkOutput.Velocity
            loss

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        let own = maximumLikelihood Trace.exact Tableau.rk4 8

        Part.of1
            (Parameter.make "steps" 8.0 (Allowed.Whole 1) "steps of the fourth-order Runge–Kutta method")
            (fun steps ->
                let summary =
                    "Continuous normalizing flow: raises the data's exact likelihood, by solving the flow in training."

                LossEntry.make own.Name summary own.Equation own.Reference [] (fun parts ->
                    maximumLikelihood (LossEntry.trace parts) Tableau.rk4 (int steps)))
