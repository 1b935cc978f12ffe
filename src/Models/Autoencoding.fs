namespace Fokker

open System

/// What an autoencoder's two ends say of samples and latents, and the bound on log p(x) that both are trained by (Kingma, Welling 2014, Auto-encoding variational Bayes, eq. 3).
[<RequireQualifiedAccess>]
module Autoencoding =

    let private told (from: float) (until: float) = Tensor.ofArray [ 1; 2 ] [| from; until |]

    let private halves (y: Tensor) =
        let width = y.Shape[1] / 2
        struct (Tensor.narrow 1 0 width y, Tensor.narrow 1 width width y)

    /// μ and log σ² of q(z | x) = N(μ, diag σ²), of samples [B; …] in the encoder's units.
    let posterior (network: Field) (x: Tensor) : struct (Tensor * Tensor) = halves (network (told 0.0 1.0) x)

    /// m and log s of p(x | z) = N(m, s² I), of latents [B; …].
    let likelihood (network: Field) (z: Tensor) : struct (Tensor * Tensor) = halves (network (told 1.0 0.0) z)

    /// KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²), [B] (Kingma, Welling 2014, appendix B).
    let divergence (mean: Tensor) (logVariance: Tensor) : Tensor =
        0.5 * Tensor.sumRows (Tensor.square mean + Tensor.exp logVariance - 1.0 - logVariance)

    /// Entropy of N(μ, diag σ²), ½ Σ (1 + log 2π σ²), [B].
    let entropy (logVariance: Tensor) : Tensor = 0.5 * Tensor.sumRows (logVariance + (1.0 + Math.Log(2.0 * Math.PI)))

    /// log N(x; m, s² I) = −Σ (½ ((x − m)/s)² + log s + ½ log 2π), [B].
    let logDensity (x: Tensor) (struct (m: Tensor, logS: Tensor)) : Tensor =
        let unit = (x - m) * Tensor.exp -logS
        -(Tensor.sumRows (0.5 * Tensor.square unit + logS + 0.5 * Math.Log(2.0 * Math.PI)))

    /// z = μ + σ ε.
    let draw (struct (mean: Tensor, logVariance: Tensor)) (noise: Tensor) : Tensor =
        mean + Tensor.exp (0.5 * logVariance) * noise
