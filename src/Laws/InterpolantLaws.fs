namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Interpolants between two mixtures: the law of x_t, its score and its velocity, where the far end is no Gaussian either.
module InterpolantLaws =

    let private section = "Marginals and their equations"

    let private case (b: Between) (i: Interpolant) (t: float) =
        $"{i.Name}, {b.Components} pairs of components in {b.Dimension}-D, t = {t}"

    let private times (x: Tensor) (t: float) = Tensor.full Kind.Float64 [ x.Shape[0] ] t

    let private scoreOf (b: Between) t (x: Tensor) =
        Diff.grad (fun x -> Tensor.sum (Between.logDensity b (times x t) x)) x

    let private law name statement reference tolerance (wrong: Formulas -> Formulas) check =
        { Name = name
          Section = section
          Statement = statement
          Reference = reference
          Tolerance = tolerance
          Cases = 60
          Check =
            Check.against wrong
            <| fun f ->
                gen {
                    let! i = Draw.interpolant
                    let! p, q = Draw.twoMixtures
                    let! t = Draw.between 0.1 0.9
                    let! r = Draw.rng
                    let b = Between.ofMixtures i p q
                    let x = Between.sampleAt t 4 r b
                    return { Error = check f b i t x; Case = case b i t }
                } }

    let continuity =
        law
            "interpolant-continuity"
            "∂_t log p + ∇·v + v·∇log p = 0 for x_t = a x₀ + b x₁ + γ z between two mixtures, v = E[ȧ x₀ + ḃ x₁ + γ̇ z | x_t]"
            "Albergo, Boffi, Vanden-Eijnden 2023, theorem 2.6"
            1e-10
            (fun library -> { library with BetweenVelocity = fun b t x -> Between.velocity b t x + 0.1 * x })
        <| fun f b _ t x ->
            let time = times x t
            let v = f.BetweenVelocity b time
            let along = snd (Diff.jvp (fun time -> Between.logDensity b time x) time (Tensor.onesLike time))
            Measure.residual [ along; Diff.divergence v x; Tensor.sumRows (v x * scoreOf b t x) ]

    let score =
        law
            "interpolant-score"
            "∇log p_t = −E[z | x_t]/γ where γ > 0, and is the gradient of the log-density where γ = 0 too"
            "Albergo, Boffi, Vanden-Eijnden 2023, eq. 2.14"
            1e-11
            (fun library -> { library with BetweenScore = fun b t x -> -(Between.score b t x) })
        <| fun f b i t x ->
            let time, gamma = times x t, Curve.eval i.Gamma t
            let score = f.BetweenScore b time x

            max (Measure.apart score (scoreOf b t x)) (Measure.apart (-gamma * score) (f.BetweenNoise b time x))

    let diffusion =
        { Name = "interpolant-sde"
          Section = section
          Statement =
            "with diffusion g and drift v + ½ g² E[z | x_t]/γ the backward process has the interpolant's marginals: ∂_t p = −∇·(b p) − ½ g² Δp"
          Reference = "Albergo, Boffi, Vanden-Eijnden 2023, corollary 2.18"
          Tolerance = 1e-10
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with
                    FlowSde =
                        Flow.sde None
                        >> Option.map (fun sde -> { sde with DiffusionSquared = 0.9 * sde.DiffusionSquared }) })
            <| fun f ->
                gen {
                    let! spread = Draw.between 0.2 1.5
                    let! bend = Draw.between 0.0 2.0
                    let! p, q = Draw.twoMixtures
                    let! t = Draw.between 0.1 0.9
                    let! r = Draw.rng
                    let i = Interpolant.bridge spread
                    let b = Between.ofMixtures i p q
                    let x = Between.sampleAt t 4 r b
                    let g2 = spread * (1.0 + bend * Curve.time)

                    let flow =
                        { Interpolant = i
                          Velocity = fun _ -> Between.velocity b
                          Noise = Some((fun _ -> Between.noise b), g2) }

                    let sde = (f.FlowSde flow).Value
                    let time, half = times x t, 0.5 * Curve.eval sde.DiffusionSquared t
                    let drift, s = sde.Drift time, scoreOf b t x
                    let along = snd (Diff.jvp (fun time -> Between.logDensity b time x) time (Tensor.onesLike time))
                    let laplacian = Diff.laplacian (fun x -> Between.logDensity b time x) x

                    let error =
                        Measure.residual
                            [ along
                              Diff.divergence drift x
                              Tensor.sumRows (drift x * s)
                              half * laplacian
                              half * Tensor.sumRows (Tensor.square s) ]

                    return
                        { Error = max error (Measure.difference half (0.5 * Curve.eval g2 t))
                          Case = $"{case b i t}, g² = {2.0 * half}" }
                } }

    let posteriorMean =
        { Name = "interpolant-posterior-mean"
          Section = section
          Statement =
            "velocity and E[z | x_t] = ∬ (ȧ x₀ + ḃ x₁ + γ̇ z) and ∬ z over all (x₀, x₁, z) that make x_t, by quadrature"
          Reference = "Albergo, Boffi, Vanden-Eijnden 2023, eq. 2.9 and 2.12; Bayes"
          Tolerance = 1e-10
          Cases = 40
          Check =
            Check.against (fun library ->
                { library with
                    InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity { i with A = 2.0 * i.A } t x0 x1 z })
            <| fun f ->
                gen {
                    let! i = Draw.interpolant
                    let! p = Draw.mixture1
                    let! q = Draw.mixture1
                    let! t = Draw.between 0.2 0.8
                    let! r = Draw.rng
                    let b = Between.ofMixtures i p q
                    let x = Between.sampleAt t 3 r b
                    let e c = Curve.eval c t
                    let struct (a, scale, gamma) = struct (e i.A, e i.B, e i.Gamma)
                    // x₁ = (x − a x₀ − γ z)/b is seen through the narrowest component of its law.
                    let narrow = Quadrature.narrowest q * scale
                    let step own = 0.3 * min (fst own) (narrow / max 1e-9 (snd own))
                    let nodes = Quadrature.pairs (step (Quadrature.narrowest p, a)) (step (1.0, gamma)) p
                    let struct (x0, z, weight) = nodes

                    let means (y: Tensor) =
                        let x1 = (y - a * x0 - gamma * z) / scale
                        let w = weight * exp (Mixture.logDensityOfData q x1)
                        let mean (v: Tensor) = Tensor.sum (w * Tensor.flatten v) / Tensor.sum w
                        let velocity = f.InterpolantVelocity i (Measure.at t) x0 x1 z
                        Tensor.stack 0 [ mean velocity; mean z ]

                    let expected = Tensor.stack 0 [ for k in 0 .. x.Shape[0] - 1 -> means x[k] ]
                    let time = times x t
                    let got = Tensor.cat 1 [ f.BetweenVelocity b time x; f.BetweenNoise b time x ]

                    return { Error = Measure.apart got expected; Case = case b i t }
                } }

    let all = [ continuity; score; posteriorMean; diffusion ]
