namespace Fokker

/// Exact flows: a bijection trained by the density that it gives the data (Dinh et al. 2017; Rezende, Mohamed 2015).
[<RequireQualifiedAccess>]
module MaximumLikelihood =

    let name = "mle"
    let equation = "−(log N(z(x); 0, I) + log |det ∂z/∂x|)/d, x = x₀ + s·η, η ~ N(0, I)"
    let reference = "Dinh et al. 2017, Real NVP, eq. 2–3; Zhai et al. 2025, TarFlow, section 3.3"

    /// −log p(x)/d in nats a coordinate of data with noise of deviation `noise` on them, 0 for the data as they are. Noise gives a law without a density one, whose last
    /// step in sampling takes it off again; the density is then that of the noisy data.
    let objective (noise: float) : Objective =
        let output = NetworkOutput.OtherEnd noise

        let loss: Loss =
            fun context rng batch ->
                let x = batch.Data

                let x = if noise = 0.0 then x else x + noise * Rng.normalLike x (Rng.named "noise" rng)

                match NetworkOutput.dynamics Path.condOT output context.Network with
                | Mapping map ->
                    let struct (z, logDeterminant) = FlowMap.across map batch.Label 0.0 x
                    // In float64: squares of many coordinates lose what a likelihood is about.
                    (Likelihood.gaussian 1.0 z + logDeterminant.To Dtype.Float64) * (-float x.Shape[0] / float x.Count)
                | Landscape _
                | Denoising _
                | Transport _
                | Jumping _ -> invalidOp "an exact flow is a map"

        Objective.withOutput name equation reference Path.condOT output loss

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of1
            (Parameter.make
                "noise"
                0.0
                (Allowed.AtLeast 0.0)
                "s, deviation of noise put on the data, which sampling takes off again")
            (fun noise ->
                LossEntry.make
                    name
                    "Maximum likelihood: an exact flow learns the data's density itself, by the determinant of its Jacobian."
                    equation
                    reference
                    []
                    (fun _ -> objective noise))
