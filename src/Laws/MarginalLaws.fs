namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// The laws of x_t: their scores, their posteriors, and the equations that carry them through time. The mixture oracle
/// plays the data; every derivative is taken by automatic differentiation of its log-density.
module MarginalLaws =

    let private section = "Marginals and their equations"

    let private case (path: GaussianPath) (m: Mixture) (t: float) =
        $"{path.Name}, {m.Components} components in {m.Dimension}-D, t = {t}"

    /// One time for a whole batch, as a tensor [B], so that derivatives in time can be taken.
    let private times (x: Tensor) (t: float) = Tensor.full Kind.Float64 [ x.Shape[0] ] t

    let private dot (a: Tensor) (b: Tensor) = Tensor.sumRows (a * b)

    let private logDensity (f: Formulas) path m (x: Tensor) t = f.LogDensity path m (times x t) x

    let private scoreOf (f: Formulas) path m t (x: Tensor) = Diff.grad (fun x -> Tensor.sum (logDensity f path m x t)) x

    let private along (f: Formulas) path m (t: float) (x: Tensor) =
        // ∂ log p / ∂t at fixed x.
        let time = times x t
        snd (Diff.jvp (fun time -> f.LogDensity path m time x) time (Tensor.onesLike time))

    let private law
        name
        statement
        reference
        tolerance
        cases
        (wrong: Formulas -> Formulas)
        (check: Formulas -> GaussianPath -> Mixture -> float -> Tensor -> float)
        =
        { Name = name
          Section = section
          Statement = statement
          Reference = reference
          Tolerance = tolerance
          Cases = cases
          Check =
            Check.against wrong
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! m = Draw.mixture
                    let! t = Draw.between 0.05 0.9
                    let! r = Draw.rng
                    let x = Mixture.sampleAt path t 4 r m
                    return { Error = check f path m t x; Case = case path m t }
                } }

    let score =
        law
            "score-is-gradient"
            "the oracle's score = ∇ log p_t, by automatic differentiation"
            "definition"
            1e-9
            100
            (fun library -> { library with Score = fun p m t x -> 1.01 * Mixture.score p m t x })
        <| fun f path m t x -> Measure.apart (f.Score path m (times x t) x) (scoreOf f path m t x)

    let tweedie =
        law "tweedie" "E[x₀ | x_t] = (x + σ² ∇log p_t)/α" "Robbins 1956; Efron 2011, eq. 1.4" 1e-8 100 (fun library ->
            { library with Denoiser = fun p m t x -> Mixture.denoiser p m t (1.01 * x) })
        <| fun f path m t x ->
            let e c = Curve.eval c t
            let expected = (x + e path.Variance * scoreOf f path m t x) * (1.0 / e path.Alpha)
            Measure.apart (f.Denoiser path m (times x t) x) expected

    let tweedie2 =
        law
            "tweedie-second-order"
            "Cov[x₀ | x_t] = (σ²/α²)(I + σ² ∇² log p_t)"
            "Efron 2011; Meng et al. 2021, theorem 1"
            1e-7 // σ²/α² reaches 1e3 on the drawn paths
            60
            (fun library ->
                { library with PosteriorCovariance = fun p m t x -> 0.9 * Mixture.posteriorCovariance p m t x })
        <| fun f path m t x ->
            let e c = Curve.eval c t
            let variance, alpha = e path.Variance, e path.Alpha
            let one = x[0..0]
            let hessian = Diff.hessian (fun x -> Tensor.sum (logDensity f path m x t)) one
            let scale = variance / (alpha * alpha)
            let expected = scale * (Tensor.eye Kind.Float64 m.Dimension + variance * hessian)
            let got = f.PosteriorCovariance path m (times one t) one
            Measure.apart got[0] expected / (1.0 + scale)

    let continuity =
        law
            "continuity-equation"
            "∂_t log p + ∇·v + v·∇log p = 0 with the marginal velocity v"
            "Lipman et al. 2023, theorem 1; Benamou, Brenier 2000"
            1e-8
            100
            (fun library ->
                { library with Velocity = fun p m -> (Sde.reverse (Mixture.score p m) (Sde.ofPath p)).Drift })
        <| fun f path m t x ->
            let v = f.Velocity path m (times x t)
            Measure.residual [ along f path m t x; Diff.divergence v x; dot (v x) (scoreOf f path m t x) ]

    let conditional =
        { Name = "conditional-equations"
          Section = section
          Statement =
            "the law N(α x₀, σ²I) of x_t given x₀ is carried by the conditional velocity, and by the path's SDE"
          Reference = "Lipman et al. 2023, theorem 3; Song et al. 2021, eq. 29"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (1.01 * e) })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! m = Draw.mixture
                    let! t = Draw.between 0.05 0.9
                    let! r = Draw.rng
                    let e c = Curve.eval c t
                    let x0 = Mixture.sample 1 (Rng.named "data" r) m
                    let point = Mixture.ofStds [| 1.0 |] x0 (Tensor.zerosLike x0)
                    let struct (alpha, sigma) = Path.alphaSigma path t
                    let x = alpha * x0 + sigma * Draw.vectors r "noise" [ 4; m.Dimension ]

                    let velocity (x: Tensor) =
                        f.Target path Prediction.velocity (Measure.at t) x0 ((x - alpha * x0) / sigma)

                    let along, s = along f path point t x, scoreOf f path point t x
                    let rate, g2 = e (f.DriftRate path), e (f.DiffusionSquared path)
                    let constant = Tensor.full Kind.Float64 [ x.Shape[0] ]

                    return
                        { Error =
                            max
                                (Measure.residual [ along; Diff.divergence velocity x; dot (velocity x) s ])
                                (Measure.residual
                                    [ -along
                                      constant (-rate * float m.Dimension)
                                      -rate * dot x s
                                      constant (-0.5 * g2 * float m.Dimension / e path.Variance)
                                      0.5 * g2 * dot s s ])
                          Case = case path m t }
                } }

    let fokkerPlanck =
        law
            "fokker-planck"
            "∂_t p = −∇·(f x p) + ½ g² Δp along the path's SDE"
            "Fokker 1914; Planck 1917"
            1e-7
            100
            (fun library -> { library with DiffusionSquared = fun p -> 2.0 * Path.diffusionSquared p })
        <| fun f path m t x ->
            let e c = Curve.eval c t
            let rate, g2 = e (f.DriftRate path), e (f.DiffusionSquared path)
            let s = scoreOf f path m t x
            let laplacian = Diff.laplacian (fun x -> logDensity f path m x t) x

            Measure.residual
                [ -(along f path m t x)
                  Tensor.full Kind.Float64 [ x.Shape[0] ] (-rate * float m.Dimension)
                  -rate * dot x s
                  0.5 * g2 * laplacian
                  0.5 * g2 * dot s s ]

    let churned =
        { Name = "churn-keeps-marginals"
          Section = section
          Statement =
            "every member of the churn family, and so the reverse SDE, has the path's marginals: ∂_t p = −∇·(b p) − ½ c² g² Δp"
          Reference = "Anderson 1982; Song et al. 2021, appendix D; Karras et al. 2022, eq. 6"
          Tolerance = 1e-7
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    WithChurn =
                        fun c p v s -> { Sde.withChurn c p v s with DiffusionSquared = c * Path.diffusionSquared p } })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! m = Draw.mixture
                    let! t = Draw.between 0.05 0.9
                    let! c = Draw.between 0.0 2.0
                    let! r = Draw.rng
                    let x = Mixture.sampleAt path t 4 r m
                    let time = times x t
                    let sde = f.WithChurn c path (f.Velocity path m) (f.Score path m)
                    let drift = sde.Drift time
                    let g2 = Curve.eval sde.DiffusionSquared t
                    let s = scoreOf f path m t x
                    let laplacian = Diff.laplacian (fun x -> logDensity f path m x t) x

                    let error =
                        Measure.residual
                            [ along f path m t x
                              Diff.divergence drift x
                              dot (drift x) s
                              0.5 * g2 * laplacian
                              0.5 * g2 * dot s s ]

                    // The diffusion must be there as claimed: c²g², else c = 0 would pass for every c.
                    let expected = c * c * Curve.eval (Path.diffusionSquared path) t

                    return { Error = max error (Measure.difference g2 expected); Case = $"c = {c}, {case path m t}" }
                } }

    let langevin =
        law
            "langevin-stationary"
            "the generator of dX = −∇f dt + √2 dW annihilates e^{−f}: −∇·(−∇f p) + Δp = 0"
            "Langevin 1908; Roberts, Tweedie 1996"
            1e-8
            60
            (fun library ->
                { library with Langevin = fun s -> { Sde.langevin s with DiffusionSquared = Constant 1.0 } })
        <| fun f path m t x ->
            let sde = f.Langevin(f.Score path m)
            let drift = sde.Drift(times x t)
            let half = 0.5 * Curve.eval sde.DiffusionSquared t
            let s = scoreOf f path m t x
            let laplacian = Diff.laplacian (fun x -> logDensity f path m x t) x

            let error =
                Measure.residual [ -(Diff.divergence drift x); -(dot (drift x) s); half * laplacian; half * dot s s ]

            // 0 = 0 would satisfy it too.
            if half > 0.0 then error else infinity

    let posteriorWeights =
        { Name = "marginal-is-posterior-mean"
          Section = section
          Statement =
            "score, denoiser and velocity of a finite data set = the conditional ones averaged with weights ∝ N(x; α x₀ᵢ, σ²)"
          Reference = "Lipman et al. 2023, eq. 8; the lectures' marginal column"
          Tolerance = 1e-8
          Cases = 100
          Check =
            Check.against (fun library -> { library with Velocity = fun p m t x -> 1.01 * Mixture.velocity p m t x })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! t = Draw.between 0.05 0.9
                    let! n = Gen.choose (1, 5)
                    let! d = Gen.choose (1, 3)
                    let! r = Draw.rng
                    let points = Draw.vectors r "points" [ n; d ] * 2.0
                    let data = Mixture.ofStds (Array.create n 1.0) points (Tensor.zerosLike points)
                    let x = Mixture.sampleAt path t 3 r data
                    let e c = Curve.eval c t
                    let alpha, variance = e path.Alpha, e path.Variance
                    // [B; n]: by hand, without the oracle's code.
                    let gap = Tensor.unsqueeze 1 x - alpha * Tensor.unsqueeze 0 points
                    let logits = Tensor.sumOver [ 2 ] (Tensor.square gap) * (-0.5 / variance)
                    let weights = Nn.softmax 1 logits
                    let average (each: Tensor) = Tensor.sumOver [ 1 ] (Tensor.unsqueeze 2 weights * each)
                    let given = Tensor.expand gap.Shape (Tensor.unsqueeze 0 points)
                    let noise = gap / sqrt variance
                    let velocity = e (f.Derivative path.Alpha) * given + e (f.Derivative path.Sigma) * noise
                    let time = times x t

                    return
                        { Error =
                            Measure.worst
                                [ Measure.apart (f.Score path data time x) (average (-gap / variance))
                                  Measure.apart (f.Denoiser path data time x) (average given)
                                  Measure.apart (f.Velocity path data time x) (average velocity) ]
                          Case = $"{n} points in {d}-D, {path.Name}, t = {t}" }
                } }

    let bayes =
        { Name = "posterior-is-bayes"
          Section = section
          Statement = "log q(x_s | x_t, x₀) = log q(x_t | x_s) + log q(x_s | x₀) up to a constant in x_s"
          Reference = "Ho et al. 2020, eq. 6–7; Kingma et al. 2021, eq. 26"
          Tolerance = 1e-8
          Cases = 200
          Check =
            Check.against (fun library ->
                { library with
                    Posterior =
                        fun p s t ->
                            let q = Variational.posterior p s t
                            { q with Variance = q.Forward } })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! s = Draw.between 0.05 0.85
                    let! step = Draw.between 0.01 0.1
                    let t = s + step
                    let! x0 = Draw.between -2.0 2.0
                    let! xt = Draw.between -2.0 2.0
                    let p = f.Posterior path s t
                    let e c u = Curve.eval c u
                    let ratio = e path.Alpha t / e path.Alpha s
                    let forward = e path.Variance t - ratio * ratio * e path.Variance s
                    let gaussian x mean variance = -0.5 * (x - mean) * (x - mean) / variance
                    let left x = gaussian x (p.State * xt + p.Data * x0) p.Variance

                    let right x = gaussian xt (ratio * x) forward + gaussian x (e path.Alpha s * x0) (e path.Variance s)

                    // Two quadratics in x agree up to a constant when their differences at three points do.
                    let at = p.State * xt + p.Data * x0
                    let width = sqrt p.Variance
                    let change g (h: float) = g (at + h * width) - g at

                    return
                        { Error =
                            [ -1.0; 1.0; 2.0 ]
                            |> List.map (fun h -> Measure.difference (change left h) (change right h))
                            |> Measure.worst
                          Case = $"{path.Name}, s = {s}, t = {t}" }
                } }

    let ddpm =
        { Name = "ddpm-posterior"
          Section = section
          Statement =
            "on DDPM's grid the posterior is N(√ᾱ_{k−1} β_k/(1 − ᾱ_k) x₀ + √(1 − β_k) (1 − ᾱ_{k−1})/(1 − ᾱ_k) x_k, β_k (1 − ᾱ_{k−1})/(1 − ᾱ_k)), and its forward variance β_k"
          Reference = "Ho et al. 2020, eq. 7"
          Tolerance = 1e-10 // of 1 − ᾱ here, which keeps twelve digits at the first steps
          Cases = 100
          Check =
            Check.against (fun library -> { library with Posterior = fun p s t -> Variational.posterior p (0.9 * s) t })
            <| fun f ->
                gen {
                    let! name, betas = Draw.betas

                    let! n = Draw.oneOf [ 50; 100; 1000 ]
                    let! k = Gen.choose (1, n)
                    let betas = betas n
                    let beta = betas[k - 1]
                    let bar k = betas |> Seq.take k |> Seq.fold (fun product b -> product * (1.0 - b)) 1.0
                    let path = Paths.ofBetas name "" "" betas
                    let q = f.Posterior path (float (k - 1) / float n) (float k / float n)
                    let before, rest = 1.0 - bar (k - 1), 1.0 - bar k

                    return
                        { Error =
                            Measure.worst
                                [ Measure.difference q.Data (sqrt (bar (k - 1)) * beta / rest)
                                  Measure.difference q.State (sqrt (1.0 - beta) * before / rest)
                                  Measure.difference q.Variance (beta * before / rest)
                                  Measure.difference q.Forward beta ]
                          Case = $"{name}, step {k} of {n}" }
                } }

    let exchanged =
        { Name = "snr-matching"
          Section = section
          Statement =
            "a perfect network of one path, asked at the time of equal signal-to-noise ratio, is the perfect network of another"
          Reference = "Karras et al. 2022, section 3; Kingma et al. 2021, section 5.1"
          Tolerance = 1e-6 // of the time found by bisection, where λ is steep
          Cases = 60
          Check =
            Check.against (fun library -> { library with Exchange = fun onto model -> { model with Path = onto } })
            <| fun f ->
                gen {
                    let! m = Draw.mixture
                    let! old = Draw.oneOf [ Path.vp; Path.condOT; Paths.cosine; Path.trigonometric ]
                    let! onto = Draw.oneOf [ Path.ou; Path.condOT; Path.vp; Paths.subVp ]
                    let! meaning = Draw.oneOf [ Prediction.noise; Prediction.data; Prediction.v; Prediction.velocity ]
                    let! t = Draw.between 0.1 0.6
                    let! r = Draw.rng
                    let x = Mixture.sampleAt onto t 3 r m
                    let model = f.Exchange onto (Mixture.model old meaning m)
                    let got = Model.velocity model None (Measure.at t) x

                    return
                        { Error = Measure.apart got (Mixture.velocity onto m (Measure.at t) x)
                          Case = $"{meaning.Name} from {old.Name} onto {case onto m t}" }
                } }

    let all =
        [ score
          tweedie
          tweedie2
          posteriorWeights
          bayes
          ddpm
          continuity
          conditional
          fokkerPlanck
          churned
          langevin
          exchanged ]
