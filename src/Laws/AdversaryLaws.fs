namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Adversaries: what a critic and a matched distribution tell a generator.
module AdversaryLaws =

    let private section = "Adversaries"

    let matched =
        { Name = "distribution-matching-gradient"
          Section = section
          Statement = "for Gaussians (D_fake − D_teacher) α/σ² along ∂x/∂θ has the mean ∇θ KL(p_G * noise ‖ p * noise)"
          Reference = "Yin et al. 2024, One-step diffusion with distribution matching distillation, eq. 3"
          Tolerance = 1e-7
          Cases = 60
          Check =
            Check.guarding DistributionMatching.difference (fun fake teacher ->
                // The generator's own score is forgotten.
                DistributionMatching.difference (0.0 * fake) teacher)
            <| fun difference ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! t = Draw.between 0.15 0.85
                    let! m = Draw.between -1.0 1.0
                    let! s = Draw.between 0.4 1.3
                    let! shift = Draw.between -1.0 1.0
                    let! scale = Draw.between 0.4 1.3
                    let law (m: float) (s: float) =
                        Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| m |]) (Tensor.ofArray [ 1; 1 ] [| s |])

                    // z and ε on a product grid with the weights of their laws.
                    let x0, noise, weight = ConsistencyLaws.pairs 0.0 1.0
                    let theta = Tensor.ofArray [ 2 ] [| shift; scale |]
                    let made (theta: Tensor) : Tensor = Tensor.select 0 0 theta + Tensor.select 0 1 theta * x0
                    let times = Tensor.full Kind.Float64 [ x0.Shape[0] ] t
                    let noisy = Path.sample path times (made theta) noise
                    let denoise m s = Mixture.denoiser path (law m s) (Measure.at t) noisy
                    let step = difference (denoise shift scale) (denoise m s)
                    let struct (alpha, sigma) = Path.alphaSigma path t
                    // ∂x_t/∂θ = α ∂x/∂θ, and s = (α D − x_t)/σ².
                    let along (theta: Tensor) = Tensor.sum (weight * Tensor.flatten (step * made theta))
                    let learned = alpha * alpha / (sigma * sigma) * Diff.grad along theta

                    let divergence (theta: Tensor) : Tensor =
                        let mean = alpha * (Tensor.select 0 0 theta - m)
                        let own = alpha * alpha * Tensor.square (Tensor.select 0 1 theta) + sigma * sigma
                        let wanted = alpha * alpha * s * s + sigma * sigma
                        0.5 * (own / wanted + Tensor.square mean / wanted - Tensor.log (own / wanted))

                    return
                        { Error = Measure.apart learned (Diff.grad divergence theta)
                          Case = $"{path.Name}, t = {t}, N({shift}, {scale}²) towards N({m}, {s}²)" }
                } }

    let critic =
        { Name = "adversary-critic"
          Section = section
          Statement =
            "where C(x) = log p(x) − log q(x) the relativistic critic's loss is least over critics κ C + δ: its κ-derivative at κ = 1 vanishes, for Gaussians p of data and q of samples"
          Reference =
            "Jolicoeur-Martineau 2019, The relativistic discriminator, section 4; its optimum by symmetry of the logistic loss"
          Tolerance = 1e-7
          Cases = 40
          Check =
            Check.guarding Adversarial.criticLoss (fun gamma criticism data made ->
                // Each of the two by itself, with the parts exchanged in one.
                Adversarial.criticLoss gamma (fun x -> 1.3 * criticism x) data made)
            <| fun loss ->
                gen {
                    let! shift = Draw.between 0.2 1.0
                    let! s = Draw.between 0.7 1.2
                    let data, samples, weight = ConsistencyLaws.pairs 0.0 1.0
                    // Data N(0, 1), samples N(shift, s²).
                    let made = shift + s * samples
                    let logRatio (x: Tensor) : Tensor =
                        let x = Tensor.flatten x
                        -0.5 * Tensor.square x + 0.5 * Tensor.square ((x - shift) / s) + log s

                    let value (kappa: Tensor) = Tensor.sum (weight * loss 0.0 (fun x -> kappa * logRatio x) data made)

                    let slope = Diff.grad value (Measure.at 1.0)
                    return { Error = abs (slope.ToFloat()); Case = $"N(0, 1) against N({shift}, {s}²)" }
                } }

    let beside =
        { Name = "adversarial-term-at-the-law"
          Section = section
          Statement =
            "where the exact map leads noise to data, no critic gains: ∂_κ E softplus(κ (h(X(z)) − h(x₀))) = 0 at κ = 0 for every h, so that C is constant and the term has no gradient"
          Reference = "Goodfellow et al. 2014, Generative adversarial nets, theorem 1, for the relativistic loss"
          Tolerance = 1e-7
          Cases = 40
          Check =
            Check.guarding AdversarialTerm.jump (fun o network label t s x ->
                0.97 * AdversarialTerm.jump o network label t s x)
            <| fun jump ->
                gen {
                    let! isMap = Draw.oneOf [ true; false ]
                    let! deviation = Draw.between 0.4 1.3
                    let! a = Draw.between -1.0 1.0
                    let! b = Draw.between 0.2 1.0
                    let data, noise, weight = ConsistencyLaws.pairs 0.0 (deviation * deviation)
                    let variance (t: Tensor) = Tensor.square (1.0 - t) * (deviation * deviation) + Tensor.square t

                    // The flow of one Gaussian keeps x over its deviation.
                    let network: Condition -> Field =
                        fun _ times x ->
                            if isMap then
                                let t, s = Tensor.narrow 1 0 1 times, Tensor.narrow 1 1 1 times
                                (sqrt (variance s / variance t) - 1.0) / (s - t) * x
                            else
                                deviation / sqrt (Tensor.reshape [ -1; 1 ] (variance times)) * x

                    let output =
                        if isMap then
                            NetworkOutput.MeanVelocity(1.0, 0.0, false)
                        else
                            NetworkOutput.ConsistencyFunction Penalized

                    let objective =
                        Objective.withOutput "exact" "" "" Path.condOT output (fun _ _ batch ->
                            Tensor.sumRows batch.Data)

                    let time (value: float) = Tensor.full Kind.Float64 [ noise.Shape[0] ] value
                    let made = jump objective network None (time 1.0) (time 0.0) noise
                    let h (x: Tensor) = Tensor.flatten (a * x + b * Tensor.square x + Tensor.sin x)

                    let value (kappa: Tensor) =
                        Tensor.sum (weight * Adversarial.criticLoss 0.0 (fun x -> kappa * h x) data made)

                    return
                        { Error = abs ((Diff.grad value (Measure.at 0.0)).ToFloat())
                          Case = $"""N(0, {deviation}²), {if isMap then "a flow map" else "a consistency function"}""" }
                } }

    let all = [ matched; critic; beside ]
