namespace Fokker.Laws

open System
open FsCheck.FSharp
open Fokker
open Quadrature

/// Losses: what each estimates, with expectations taken by quadrature over one-dimensional mixtures, so that a wrong
/// constant shows.
module LossLaws =

    let private section = "Losses"

    /// A smooth family of fields with two parameters, which is no score of anything.
    let private family (a: float) (b: float) : Field = fun _ x -> a * tanh (b * x) - 0.3 * a * x

    /// ∂ of the family in b at (a, b), by hand: the direction that gradients are compared along.
    let private slope (a: float) (b: float) (x: Tensor) : Tensor =
        let s = tanh (b * x)
        a * x * (1.0 - s * s)

    let private setting =
        gen {
            let! path = Draw.path
            let! m = Draw.mixture1
            let! t = Draw.between 0.1 0.9
            let! a = Draw.between -1.5 1.5
            let! b = Draw.between 0.3 1.5
            // In units of x_t: where σ is large a step of x would be too sharp a function of ε for the quadrature over it.
            let struct (alpha, sigma) = Path.alphaSigma path t
            return path, m, t, a, b / sqrt (alpha * alpha + sigma * sigma)
        }

    let private rows (x: Tensor) = Tensor.sumRows (Tensor.square x)

    let implicitScore =
        { Name = "implicit-score-matching"
          Section = section
          Statement = "E‖s − ∇log p‖² = E[‖s‖² + 2 ∇·s] + E‖∇log p‖², whatever s is: values and gradients"
          Reference = "Hyvärinen 2005, theorem 1"
          Tolerance = 1e-8
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with
                    ImplicitScore = fun s x -> Tensor.sumRows (Tensor.square (s x)) + Diff.divergence s x })
            <| fun f ->
                gen {
                    let! path, m, t, a, b = setting
                    let s = family a b (Measure.at t)
                    let truth = Mixture.score path m (Measure.at t)
                    let explicitly = expect path m t (fun x -> rows (s x - truth x))
                    let constant = expect path m t (fun x -> rows (truth x))
                    let implicitly = expect path m t (fun x -> f.ImplicitScore s x)
                    // d/db of both: the implicit one by differentiating through the divergence.
                    let struct (x, weight) = marginal path m t

                    let implicitly' =
                        Tensor.scalar Kind.Float64 b
                        |> Diff.grad (fun b ->
                            Tensor.sum (weight * f.ImplicitScore (fun x -> a * tanh (b * x) - 0.3 * a * x) x))

                    let explicitly' = expect path m t (fun x -> 2.0 * Tensor.sumRows ((s x - truth x) * slope a b x))

                    return
                        { Error =
                            max
                                (Measure.difference (implicitly + constant) explicitly)
                                (Measure.difference (implicitly'.ToFloat()) explicitly')
                          Case = $"{path.Name}, t = {t}, s = {a}·tanh({b} x) − {0.3 * a} x" }
                } }

    let denoising =
        { Name = "denoising-score-matching"
          Section = section
          Statement = "E‖s + ε/σ‖² − E‖s − ∇log p‖² = d/σ² − E‖∇log p‖², whatever s is: values and gradients"
          Reference = "Vincent 2011, eq. 11"
          Tolerance = 1e-7
          Cases = 40
          Check =
            Check.against (fun library ->
                { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (0.9 * e) })
            <| fun f ->
                gen {
                    let! path, m, t, a, b = setting
                    let time = Measure.at t
                    let s = family a b time
                    let truth = Mixture.score path m time
                    let sigma2 = Curve.eval path.Variance t
                    let target x0 e = f.Target path Prediction.score time x0 e
                    let dsm = expectPair path m t (fun x x0 e -> rows (s x - target x0 e))
                    let esm = expect path m t (fun x -> rows (s x - truth x))
                    let constant = 1.0 / sigma2 - expect path m t (fun x -> rows (truth x))
                    // d/db of both.
                    let inner x (r: Tensor) = 2.0 * Tensor.sumRows (r * slope a b x)
                    let dsm' = expectPair path m t (fun x x0 e -> inner x (s x - target x0 e))
                    let esm' = expect path m t (fun x -> inner x (s x - truth x))

                    return
                        { Error = max (Measure.difference (dsm - constant) esm) (Measure.difference dsm' esm')
                          Case = $"{path.Name}, t = {t}" }
                } }

    let ncsn =
        { Name = "ncsn-is-sum-of-dsm"
          Section = section
          Statement = "the loss of N noise levels is (1/N) Σ σ_k² E‖s + ε/σ_k‖², k = 1 … N"
          Reference = "Song, Ermon 2019, eq. 5–6"
          Tolerance = 1.0 // five standard errors of 20,000 draws
          Cases = 10
          Check =
            Check.against (fun library -> { library with Ncsn = fun n path -> Loss.ncsn (2 * n) path })
            <| fun f ->
                gen {
                    let! path, m, _, a, _ = setting
                    let! r = Draw.rng
                    let! levels = Draw.oneOf [ 1; 4; 10 ]
                    // Smooth at the largest noise level, and so at all.
                    let s = family a (1.0 / (1.0 + Curve.eval path.Sigma 1.0))
                    let data = Mixture.sample 20_000 (Rng.named "data" r) m
                    let loss = Loss.ofRegression (f.Ncsn levels path)
                    let batch = { Data = data; Label = None; Source = None }
                    let draws = loss (LossContext.ofNetwork (fun _ -> s)) r batch
                    let mean = (Tensor.mean draws).ToFloat()
                    let error = sqrt ((Tensor.mean (Tensor.square (draws - mean))).ToFloat() / 20_000.0)

                    let expected =
                        [ for k in 1..levels ->
                              let t = float k / float levels
                              let time, sigma = Measure.at t, Curve.eval path.Sigma t
                              expectPair path m t (fun x _ e -> rows (sigma * s time x + e)) ]
                        |> List.average

                    return
                        { Error = abs (mean - expected) / (5.0 * error)
                          Case = $"{levels} levels on {path.Name}: {mean} ± {error}, by quadrature {expected}" }
                } }

    let flowMatching =
        { Name = "conditional-flow-matching"
          Section = section
          Statement = "the gradients of E‖v − (α̇ x₀ + σ̇ ε)‖² and E‖v − u_t(x)‖² are equal"
          Reference = "Lipman et al. 2023, theorem 2"
          Tolerance = 1e-7
          Cases = 40
          Check =
            Check.against (fun library -> { library with Velocity = fun p m t x -> 1.01 * Mixture.velocity p m t x })
            <| fun f ->
                gen {
                    let! path, m, t, a, b = setting
                    let time = Measure.at t
                    let v = family a b time
                    let marginal = f.Velocity path m time
                    let inner x (r: Tensor) = 2.0 * Tensor.sumRows (r * slope a b x)

                    let conditional =
                        expectPair path m t (fun x x0 e -> inner x (v x - f.Target path Prediction.velocity time x0 e))

                    return
                        { Error = Measure.difference (expect path m t (fun x -> inner x (v x - marginal x))) conditional
                          Case = $"{path.Name}, t = {t}" }
                } }

    let minimizer =
        { Name = "regression-minimizer"
          Section = section
          Statement =
            "the regression's minimizer is E[A x₀ + B ε | x_t]: its residual is orthogonal to every function of x_t"
          Reference = "Vincent 2011; Lipman et al. 2023"
          Tolerance = 1e-7
          Cases = 60
          Check =
            Check.against (fun library -> { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (-e) })
            <| fun f ->
                gen {
                    let! path, m, t, a, b = setting
                    let! meaning = Draw.oneOf Prediction.all
                    let time = Measure.at t
                    let best = Mixture.network path meaning m time

                    let correlation =
                        expectPair path m t (fun x x0 e ->
                            Tensor.sumRows ((best x - f.Target path meaning time x0 e) * family a b time x))

                    return { Error = abs correlation; Case = $"{meaning.Name}, {path.Name}, t = {t}" }
                } }

    let gaussianKl =
        { Name = "vlb-terms"
          Section = section
          Statement = "KL between Gaussians in closed form = ∫ p log p/q by quadrature"
          Reference = "Ho et al. 2020, eq. 5; Kingma, Welling 2014, appendix B"
          Tolerance = 1e-9
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with GaussianKl = fun m1 v1 m2 v2 -> Variational.gaussianKl m2 v2 m1 v1 })
            <| fun f ->
                gen {
                    let! m1 = Draw.between -2.0 2.0
                    let! m2 = Draw.between -2.0 2.0
                    let! v1 = Draw.between 0.2 2.0
                    let! v2 = Draw.between 0.2 2.0
                    let x = Tensor.linspace Kind.Float64 -20.0 20.0 8001

                    let logGaussian (m: float) (v: float) =
                        Tensor.square (x - m) * (-0.5 / v) - 0.5 * log (2.0 * Math.PI * v)

                    let p, q = logGaussian m1 v1, logGaussian m2 v2
                    let expected = (Tensor.sum (exp p * (p - q))).ToFloat() * 40.0 / 8000.0
                    let one (v: float) = Tensor.full Kind.Float64 [ 1; 1 ] v

                    return
                        { Error =
                            Measure.difference ((f.GaussianKl (one m1) (one v1) (one m2) (one v2)).ToFloat()) expected
                          Case = $"N({m1}, {v1}) against N({m2}, {v2})" }
                } }

    let preconditioning =
        { Name = "edm-preconditioning"
          Section = section
          Statement =
            "at the data's own σ_d the network's input c_in x_t and its target (x₀ − c_skip x_t)/c_out have unit mean square"
          Reference = "Karras et al. 2022, EDM, appendix B.6"
          Tolerance = 1e-8
          Cases = 40
          Check =
            Check.against (fun library ->
                { library with
                    Preconditioning =
                        fun s path -> { Preconditioning.edm s path with Skip = s * s / (s * s + path.Variance) } })
            <| fun f ->
                gen {
                    let! path, m, t, _, _ = setting
                    let time = Measure.at t
                    let square (x: Tensor) = Tensor.sumRows (Tensor.square x)
                    let sigmaData = sqrt (expectPair path m t (fun _ x0 _ -> square x0))
                    let p: Preconditioning = f.Preconditioning sigmaData path
                    let input = expectPair path m t (fun x _ _ -> square (Coefficient.scale (Curve.at p.In time) x))

                    let target = expectPair path m t (fun _ x0 e -> square (Preconditioning.target p path time x0 e))

                    return
                        { Error = max (Measure.difference input 1.0) (Measure.difference target 1.0)
                          Case = $"{path.Name}, t = {t}, σ_d = {sigmaData}" }
                } }

    let hutchinson =
        { Name = "hutchinson"
          Section = section
          Statement =
            "vᵀAv is unbiased for tr A, with variance 2‖S‖²_F (Gaussian) or 2(‖S‖²_F − Σ sᵢᵢ²) (±1), S = (A + Aᵀ)/2"
          Reference = "Hutchinson 1990; Avron, Toledo 2011, lemma 9"
          // Over 20,000 draws: the mean and the variance each within five of their own standard errors.
          Tolerance = 1.0
          Cases = 20
          Check =
            Check.against (fun library -> { library with Rademacher = Trace.gaussian; Gaussian = Trace.rademacher })
            <| fun f ->
                gen {
                    let! d = Gen.choose (2, 5)
                    let! r = Draw.rng
                    let! rademacher = Draw.oneOf [ true; false ]
                    let a = Draw.vectors r "matrix" [ d; d ]
                    let s = 0.5 * (a + Tensor.transpose 0 1 a)
                    let frobenius = (Tensor.sum (Tensor.square s)).ToFloat()
                    let diagonal = (Tensor.sum (Tensor.square (Tensor.diagonal s))).ToFloat()
                    let variance = 2.0 * (if rademacher then frobenius - diagonal else frobenius)
                    let n = 20000
                    let trace = if rademacher then f.Rademacher 1 else f.Gaussian 1
                    let x = Tensor.zeros Kind.Float64 [ n; d ]
                    let struct (_, draws) = trace.Apply r (fun x -> Linalg.matmul x (Tensor.transpose 0 1 a)) x
                    let mean = (Tensor.mean draws).ToFloat()
                    let spread = (Tensor.mean (Tensor.square (draws - mean))).ToFloat()
                    let bias = abs (mean - (Linalg.trace a).ToFloat()) / sqrt (variance / float n) / 5.0
                    // The squares of vᵀAv have a kurtosis of at most 15.
                    let width = abs (spread / variance - 1.0) / (5.0 * sqrt (14.0 / float n))

                    return { Error = max bias width; Case = $"{d}×{d}, rademacher = {rademacher}" }
                } }

    let sliced =
        { Name = "sliced-score-matching"
          Section = section
          Statement = "E_v[(vᵀs)² + 2 vᵀ(∂s)v] = ‖s‖² + 2 ∇·s for v ~ N(0, I)"
          Reference = "Song et al. 2019, Sliced score matching, theorem 1"
          Tolerance = 1.0 // five standard errors of the mean over 20,000 directions
          Cases = 20
          Check =
            Check.against (fun library ->
                { library with
                    SlicedTerm = fun v s d -> Tensor.square (Tensor.sumRows (v * s)) + Tensor.sumRows (v * d) })
            <| fun f ->
                gen {
                    let! d = Gen.choose (1, 4)
                    let! r = Draw.rng
                    let! a = Draw.between -1.5 1.5
                    let! b = Draw.between 0.3 1.5
                    let x = Draw.vectors r "x" [ 1; d ]
                    let n = 20000
                    let many = Tensor.repeat [ n; 1 ] x
                    let s = family a b (Measure.at 0.5)
                    let v = Draw.vectors r "v" [ n; d ]
                    let value, derivative = Diff.jvp s many v
                    let draws = f.SlicedTerm v value derivative
                    let mean = (Tensor.mean draws).ToFloat()
                    let error = sqrt ((Tensor.mean (Tensor.square (draws - mean))).ToFloat() / float n)
                    let expected = (f.ImplicitScore s x).ToFloat()

                    return { Error = abs (mean - expected) / (5.0 * error + 1e-12); Case = $"{d}-D" }
                } }

    let isotropy =
        { Name = "sliced-needs-isotropy"
          Section = section
          Statement =
            "E_v[(vᵀs)² + 2 vᵀ(∂s)v] = sᵀMs + 2 tr(M ∂s), M = E[vvᵀ]: equal to ‖s‖² + 2 ∇·s for every s exactly when M = I"
          Reference = "Song et al. 2019, Sliced score matching, assumption 3"
          Tolerance = 1e-11
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with SlicedTerm = fun v s d -> ScoreMatching.slicedTerm (2.0 * v) s d })
            <| fun f ->
                gen {
                    let! d = Gen.choose (1, 4)
                    let! r = Draw.rng
                    let! skewed = Draw.oneOf [ true; false ]
                    // ±√d eᵢ with equal chances have E[vvᵀ] = I; a matrix A makes it A Aᵀ.
                    let axes = Tensor.eye Kind.Float64 d * sqrt (float d)
                    let a = Tensor.eye Kind.Float64 d + (if skewed then 0.5 else 0.0) * Draw.vectors r "a" [ d; d ]
                    let v = Linalg.matmul axes (Tensor.transpose 0 1 a)
                    let second = Linalg.matmul a (Tensor.transpose 0 1 a)
                    let x = Draw.vectors r "x" [ 1; d ]

                    let sliced (s: Tensor -> Tensor) x =
                        let value, along = Diff.jvp s (Tensor.repeat [ d; 1 ] x) v
                        (Tensor.mean (f.SlicedTerm v value along)).ToFloat()

                    let s = family 1.3 0.7 (Measure.at 0.5)
                    let value, jacobian = s x, Tensor.reshape [ d; d ] (Diff.jacobian s x)
                    let quadratic = Tensor.sum (Linalg.matmul value second * value)
                    let expected = (quadratic + 2.0 * Linalg.trace (Linalg.matmul second jacobian)).ToFloat()

                    // Linear fields s = E x at x = 0, with one entry of E at a time, see every entry of M − I.
                    let seen =
                        [ for i in 0 .. d - 1 do
                              for j in 0 .. d - 1 do
                                  let e = Tensor.zeros Kind.Float64 [ d; d ]
                                  let unit k = (Tensor.eye Kind.Float64 d)[k..k]
                                  let e = e + Linalg.matmul (Tensor.transpose 0 1 (unit i)) (unit j)
                                  let field (x: Tensor) = Linalg.matmul x e
                                  let zero = Tensor.zerosLike x
                                  sliced field zero - (f.ImplicitScore field zero).ToFloat() ]

                    let off = 2.0 * (second - Tensor.eye Kind.Float64 d)
                    let seen = Tensor.ofArray [ d; d ] (List.toArray seen)

                    return
                        { Error = max (Measure.difference (sliced s x) expected) (Measure.apart seen off)
                          Case = $"{d}-D, M = I: {not skewed}, M − I seen as {Tensor.toFloats seen |> List.ofArray}" }
                } }

    let deBruijn =
        { Name = "de-bruijn"
          Section = "Divergences"
          Statement = "d KL(p_t‖q_t)/dt = −½ g² E_p‖∇log p/q‖² for two laws under one SDE"
          Reference = "Barron 1986; Song et al. 2021, Maximum likelihood training, theorem 1"
          Tolerance = 1e-6 // the outer derivative is a difference quotient
          Cases = 40
          Check =
            Check.against (fun library -> { library with DiffusionSquared = fun p -> 0.5 * Path.diffusionSquared p })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.ou; Path.vp; Path.condOT; Path.trigonometric ]
                    let! p = Draw.mixture1
                    let! q = Draw.mixture1
                    let! t = Draw.between 0.2 0.6

                    let kl t =
                        expect path p t (fun x ->
                            Mixture.logDensity path p (Measure.at t) x - Mixture.logDensity path q (Measure.at t) x)

                    let central h = (kl (t + h) - kl (t - h)) / (2.0 * h)
                    let rate = (64.0 * central 5e-4 - 20.0 * central 1e-3 + central 2e-3) / 45.0
                    let time = Measure.at t
                    let fisher =
                        expect path p t (fun x -> rows (Mixture.score path p time x - Mixture.score path q time x))

                    return
                        { Error = Measure.difference (-0.5 * Curve.eval (f.DiffusionSquared path) t * fisher) rate
                          Case = $"{path.Name}, t = {t}" }
                } }

    /// E_p of it by quadrature, for any other law's −log density as f, and any v.
    let langevin =
        { Name = "langevin-process"
          Section = section
          Statement =
            "E[‖v‖²/τ̇ + 2⟨v, ∇f⟩ − 2∇·v] = E‖v − u‖²/τ̇ − E‖u‖²/τ̇ with u = −τ̇(∇f + ∇log p), the flow of dX = −∇f dτ + √2 dW, whatever f, p and v are"
          Reference = LangevinMatching.reference
          Tolerance = 1e-8
          Cases = 40
          Check =
            Check.guarding (LangevinMatching.term Trace.exact (Rng.ofSeed 0L)) (fun rate force v x ->
                LangevinMatching.term Trace.exact (Rng.ofSeed 0L) (0.5 * rate) force v x)
            <| fun term ->
                gen {
                    let! path, m, t, a, b = setting
                    let! other = Draw.mixture1
                    let! rate = Draw.between 0.1 5.0
                    let time = Measure.at t
                    // e^{−f} has its mass where p has, or the quadrature over p would see nothing of it.
                    let force, own = Mixture.score path other time, Mixture.score path m time
                    let v = family a b time

                    let said = expect path m t (fun x -> term (Tensor.full x.Kind [ x.Shape[0] ] rate) force v x)

                    let flow x = rate * (force x - own x)
                    let away = expect path m t (fun x -> rows (v x - flow x)) / rate
                    let constant = expect path m t (fun x -> rows (flow x)) / rate

                    return
                        { Error = abs (said - away + constant) / (1.0 + abs said + abs away + constant)
                          Case = $"{path.Name}, t = {t}, τ̇ = {rate}" }
                } }

    let all =
        [ implicitScore
          langevin
          denoising
          ncsn
          flowMatching
          minimizer
          gaussianKl
          preconditioning
          hutchinson
          sliced
          isotropy
          deBruijn ]
