namespace Fokker.Laws

open System
open FsCheck.FSharp
open Fokker

/// Latents: the divergence that an autoencoder pays for them, and the bound on log p(x) that it is trained by, on laws where both are known.
module LatentLaws =

    let private section = "Latents"

    let divergence =
        { Name = "latent-divergence"
          Section = section
          Statement = "½ Σ (μ² + σ² − 1 − log σ²) = ∫ q log(q/π) for q = N(μ, diag σ²), π = N(0, I)"
          Reference = "Kingma, Welling 2014, Auto-encoding variational Bayes, appendix B"
          // Trapezes over ±12 deviations of a Gaussian converge faster than any power: what is left is rounding.
          Tolerance = 1e-11
          Cases = 40
          Check =
            Check.guarding Autoencoding.divergence (fun mean logVariance ->
                // The variance's logarithm counted twice.
                0.5 * Tensor.sumRows (Tensor.square mean + Tensor.exp logVariance - 1.0 - 2.0 * logVariance))
            <| fun divergence ->
                gen {
                    let! r = Draw.rng
                    let! d = Draw.oneOf [ 1; 2; 5 ]
                    let mean = 1.5 * Draw.vectors r "mean" [ 1; d ]
                    let logVariance = 0.8 * Draw.vectors r "log-variance" [ 1; d ]

                    let line (mu: float) (logVariance: float) =
                        let sigma = exp (0.5 * logVariance)
                        let h = 0.02

                        Seq.sum (
                            seq {
                                for k in -600 .. 600 do
                                    let u = float k * h
                                    let x = mu + sigma * u
                                    let q = exp (-0.5 * u * u) / sqrt (2.0 * Math.PI)
                                    q * h * (-0.5 * u * u - 0.5 * logVariance + 0.5 * x * x)
                            }
                        )

                    let expected = Array.map2 line (Tensor.toFloats mean) (Tensor.toFloats logVariance) |> Array.sum
                    let said = (Tensor.sum (divergence mean logVariance)).ToFloat()
                    return { Error = abs (said - expected) / (1.0 + abs expected); Case = $"d = {d}" }
                } }

    /// log p(x | z) + log N(z; 0, I) − log q(z | x) of draws z of q.
    let private bound
        (x: Tensor)
        (q: struct (Tensor * Tensor))
        (noise: Tensor)
        (decoder: Tensor -> struct (Tensor * Tensor))
        =
        let struct (_, logVariance) = q
        let z = Autoencoding.draw q noise
        let surprise = Autoencoding.entropy logVariance + 0.5 * Tensor.sumRows (Tensor.square noise - 1.0)
        Autoencoding.logDensity x (decoder z) + Likelihood.gaussian 1.0 z + surprise

    /// x = W z + m + r η with orthogonal columns of W, so that the posterior of z has independent coordinates: probabilistic principal components.
    let private components =
        gen {
            let! r = Draw.rng
            let d, k = 3, 2
            let basis, _ = Linalg.qr (Draw.vectors r "basis" [ d; d ])
            let w = Tensor.narrow 1 0 k basis * (Tensor.ofArray [ 1; k ] [| 1.3; 0.6 |])
            let m = Draw.vectors r "mean" [ 1; d ]
            let! deviation = Draw.between 0.3 0.8
            let x = 1.5 * Draw.vectors r "x" [ 4; d ]
            let noise = Draw.vectors r "noise" [ 4; k ]
            return struct (w, m, deviation, x, noise)
        }

    let principal =
        { Name = "latent-bound"
          Section = section
          Statement =
            "under the exact posterior log p(x | z) + log p(z) − log q(z | x) is log p(x) of probabilistic principal components for every draw z"
          Reference =
            "Tipping, Bishop 1999, Probabilistic principal component analysis, eq. 4–7; Kingma, Welling 2014, eq. 3"
          Tolerance = 1e-10
          Cases = 40
          Check =
            Check.guarding bound (fun x q noise decoder ->
                // The entropy in the place of −log q of the draw itself.
                let struct (_, logVariance) = q
                let z = Autoencoding.draw q noise
                Autoencoding.logDensity x (decoder z) + Likelihood.gaussian 1.0 z + Autoencoding.entropy logVariance)
            <| fun bound ->
                gen {
                    let! struct (w, m, deviation, x, noise) = components
                    let variance = deviation * deviation
                    let k, d = w.Shape[1], w.Shape[0]
                    let squares = Tensor.sumKeep [ 0 ] (Tensor.square w)
                    let posterior = Linalg.matmul (x - m) w / (squares + variance)
                    let logVariance = Tensor.expand [ 4; k ] (Tensor.log (variance / (squares + variance)))

                    let decoder (z: Tensor) =
                        let mean = Linalg.matmul z (Tensor.transpose 0 1 w) + m
                        struct (mean, Tensor.full mean.Kind [ 4; d ] (log deviation))

                    let said = bound x (struct (posterior, logVariance)) noise decoder

                    // WWᵀ + r² I has W's directions with |w|² + r², and r² in the others.
                    let along = Linalg.matmul (x - m) w / Tensor.sqrt squares
                    let inside = Tensor.sumRows (Tensor.square along / (squares + variance))
                    let rest = Tensor.sumRows (Tensor.square (x - m)) - Tensor.sumRows (Tensor.square along)

                    let logVolume =
                        (Tensor.sum (Tensor.log (squares + variance))).ToFloat() + float (d - k) * log variance

                    let exact = -0.5 * (inside + rest / variance + (logVolume + float d * log (2.0 * Math.PI)))
                    return { Error = Measure.apart said exact; Case = $"deviation {deviation:F2}" }
                } }

    let all = [ divergence; principal ]
