namespace Fokker

/// An encoder and a decoder trained by the bound that they have on log p(x).
[<RequireQualifiedAccess>]
module VariationalAutoencoder =

    let name = "vae"
    let equation = "E[−log N(x; m(z), s² I) + β KL(N(μ(x), σ²(x)) ‖ N(0, I))]/d, z = μ(x) + σ(x) ε"
    let reference = "Kingma, Welling 2014, Auto-encoding variational Bayes, eq. 7; Higgins et al. 2017, β-VAE"

    /// In nats a coordinate. β = 1 is the bound itself; less of it gives latents that say more of x and whose law is further from N(0, I), for another network to learn.
    let objective (beta: float) : Objective =
        let loss: Loss =
            fun context rng batch ->
                let network = context.Network None
                let x = batch.Data
                let struct (mean, logVariance) as q = Autoencoding.posterior network x
                let z = Autoencoding.draw q (Rng.normalLike mean (Rng.named "latent" rng))
                let reconstruction = Autoencoding.logDensity x (Autoencoding.likelihood network z)
                (beta * Autoencoding.divergence mean logVariance - reconstruction)
                * (float x.Shape[0] / float x.Count)

        Objective.withOutput name equation reference Path.trigonometric NetworkOutput.Latents loss

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of1
            (Parameter.make
                "beta"
                1.0
                Allowed.Positive
                "β, what the divergence of the latents counts; 1 is the bound on the likelihood")
            (fun beta ->
                LossEntry.make
                    name
                    "A variational autoencoder: an encoder and a decoder learn latents by a bound on the likelihood, for another network to learn their law."
                    equation
                    reference
                    []
                    (fun _ -> objective beta))
