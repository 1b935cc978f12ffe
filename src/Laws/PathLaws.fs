namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Curves and paths: the scalar functions of time that everything else rests on.
module PathLaws =

    let private section = "Curves and paths"

    let derivative =
        { Name = "curve-derivative"
          Section = section
          Statement = "dc/dt by rule = the central difference of c, extrapolated"
          Reference = "calculus; Richardson 1911"
          Tolerance = 1e-8 // rounding 1e-16 over the step 1e-3, and the step to the fourth power
          Cases = 300
          Check =
            Check.against (fun library -> { library with Derivative = fun c -> Curve.derivative c * 1.0001 })
            <| fun f ->
                gen {
                    let! c = Draw.curve
                    let! t = Draw.between 0.1 0.9
                    let central h = (Curve.eval c (t + h) - Curve.eval c (t - h)) / (2.0 * h)
                    let expected = (64.0 * central 5e-4 - 20.0 * central 1e-3 + central 2e-3) / 45.0

                    return
                        { Error = Measure.difference (Curve.eval (f.Derivative c) t) expected
                          Case = $"t = {t}, c(t) = {Curve.eval c t}" }
                } }

    let onTensors =
        { Name = "curve-on-tensors"
          Section = section
          Statement = "c on a tensor of times = c at each of them, and its derivative by dual numbers = dc/dt by rule"
          Reference = "Wengert 1964"
          Tolerance = 1e-11
          Cases = 200
          Check =
            Check.against (fun library -> { library with Derivative = fun c -> -(Curve.derivative c) })
            <| fun f ->
                gen {
                    let! c = Draw.curve
                    let! times = Gen.listOfLength 3 (Draw.between 0.1 0.9)
                    let t = Tensor.ofArray [ 3 ] (List.toArray times)
                    let value, slope = Diff.jvp (Curve.values c) t (Tensor.onesLike t)
                    let each g = Tensor.ofArray [ 3 ] [| for s in times -> Curve.eval g s |]

                    return
                        { Error = max (Measure.apart value (each c)) (Measure.apart slope (each (f.Derivative c)))
                          Case = $"t = {times}" }
                } }

    let inverse =
        { Name = "curve-inverse"
          Section = section
          Statement = "λ⁻¹(λ(t)) = t on every path"
          Reference = "definition"
          Tolerance = 1e-9 // VP's λ is so flat near its ends that its last bit is worth 1e-10 of time
          Cases = 200
          Check =
            Check.against (fun library -> { library with Inverse = fun ends c y -> Curve.inverse ends c (y + 1e-6) })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! t = Draw.time

                    return
                        { Error = abs (f.Inverse (0.0, 1.0) path.Lambda (Curve.eval path.Lambda t) - t)
                          Case = $"{path.Name}, t = {t}" }
                } }

    let views =
        { Name = "path-views"
          Section = section
          Statement = "α = e^{log α}, σ² = variance, λ = log(α/σ): the five views of a path are one path"
          Reference = "definition"
          Tolerance = 1e-12
          Cases = 200
          Check =
            Check.ofData (
                gen {
                    let! path = Draw.path
                    let! t = Draw.time
                    let e c = Curve.eval c t
                    let alpha, sigma = e path.Alpha, e path.Sigma

                    let error =
                        Measure.worst
                            [ Measure.difference (exp (e path.LogAlpha)) alpha
                              Measure.difference (e path.Variance) (sigma * sigma)
                              Measure.difference (e path.Lambda) (log (alpha / sigma)) ]

                    return { Error = error; Case = $"{path.Name}, t = {t}" }
                }
            ) }

    let moments =
        { Name = "sde-moments"
          Section = section
          Statement = "the moment equations ṁ = f m, v̇ = 2 f v + g² of the path's SDE give back α and σ²"
          Reference = "Särkkä, Solin 2019, Applied SDEs, eq. 6.2; Song et al. 2021, eq. 29"
          Tolerance = 1e-9 // of the quadrature
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    DiffusionSquared = fun p -> Curve.derivative p.Variance - Path.driftRate p * p.Variance })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! s = Draw.between 0.05 0.4
                    let! t = Draw.between 0.5 0.95
                    let rate, g2 = f.DriftRate path, f.DiffusionSquared path
                    let growth u v = exp (Quadrature.integrate 6 (Curve.eval rate) u v)
                    let mean = growth s t * Curve.eval path.Alpha s

                    let variance =
                        growth s t ** 2.0 * Curve.eval path.Variance s
                        + Quadrature.integrate 24 (fun u -> growth u t ** 2.0 * Curve.eval g2 u) s t

                    return
                        { Error =
                            max
                                (Measure.difference mean (Curve.eval path.Alpha t))
                                (Measure.difference variance (Curve.eval path.Variance t))
                          Case = $"{path.Name}, from {s} to {t}" }
                } }

    let ouIsVp =
        { Name = "ou-is-vp-retimed"
          Section = section
          Statement =
            "Ornstein–Uhlenbeck is the variance-preserving path on another clock: e^{−T·s(t)} with s(t) = −log α_vp(t)/T"
          Reference = "Song et al. 2021, section 3.4"
          Tolerance = 1e-12
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    VpLogAlpha = fun low high -> -0.5 * (high - low) * (Curve.time ** 2.0) - 0.5 * low * Curve.time })
            <| fun f ->
                gen {
                    let! low = Draw.between 0.05 0.5
                    let! high = Draw.between 5.0 20.0
                    let! horizon = Draw.between 1.0 8.0
                    let! t = Draw.time
                    let clock = (0.25 * (high - low) * (Curve.time ** 2.0) + 0.5 * low * Curve.time) / horizon
                    let ou = f.Retime clock (Path.ouTo horizon)
                    let vp = Path.ofLogAlpha "vp" "" "" (f.VpLogAlpha low high)

                    return
                        { Error =
                            max
                                (Measure.difference (Curve.eval ou.Alpha t) (Curve.eval vp.Alpha t))
                                (Measure.difference (Curve.eval ou.Variance t) (Curve.eval vp.Variance t))
                          Case = $"β from {low} to {high}, T = {horizon}, t = {t}" }
                } }

    let retimed =
        { Name = "retimed-sde"
          Section = section
          Statement = "on the clock s(t) the SDE's coefficients are f(s)·ṡ and g²(s)·ṡ"
          Reference = "Øksendal 2003, theorem 8.5.7"
          Tolerance = 1e-9
          Cases = 200
          Check =
            Check.against (fun library -> { library with Retime = fun _ p -> p })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! clock = Draw.clock
                    let! t = Draw.between 0.1 0.9
                    let again = f.Retime clock path
                    let s, speed = Curve.eval clock t, Curve.eval (f.Derivative clock) t

                    let error curve =
                        Measure.difference (Curve.eval (curve again) t) (speed * Curve.eval (curve path) s)

                    return
                        { Error = max (error f.DriftRate) (error f.DiffusionSquared)
                          Case = $"{path.Name}, t = {t}, s = {s}" }
                } }

    let conditionalVelocity =
        { Name = "conditional-velocity"
          Section = section
          Statement = "the velocity target α̇ x₀ + σ̇ ε = d/dt (α x₀ + σ ε), by dual numbers"
          Reference = "Lipman et al. 2023, theorem 3"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library -> { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (-e) })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! x0, noise, t = Draw.triple
                    let _, along = Diff.jvp (fun t -> f.Sample path t x0 noise) t (Tensor.onesLike t)

                    return
                        { Error = Measure.apart (f.Target path Prediction.velocity t x0 noise) along
                          Case = $"{path.Name}, t = {Tensor.toFloats t |> List.ofArray}" }
                } }

    let interpolantVelocity =
        { Name = "interpolant-velocity"
          Section = section
          Statement = "ȧ x₀ + ḃ x₁ + γ̇ z = d/dt (a x₀ + b x₁ + γ z), by dual numbers"
          Reference = "Albergo, Boffi, Vanden-Eijnden 2023, eq. 2.10"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity { i with B = 2.0 * i.B } t x0 x1 z })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! spread = Draw.between 0.1 2.0
                    let! i = Draw.oneOf [ Interpolant.linear; Interpolant.bridge spread; Interpolant.ofPath path ]
                    let! x0, x1, t = Draw.triple
                    let z = x1 + 1.0
                    let _, along = Diff.jvp (fun t -> Interpolant.sample i t x0 x1 z) t (Tensor.onesLike t)

                    return
                        { Error = Measure.apart (f.InterpolantVelocity i t x0 x1 z) along
                          Case = $"{i.Name}, t = {Tensor.toFloats t |> List.ofArray}" }
                } }

    let betas =
        { Name = "alpha-bar"
          Section = section
          Statement =
            "ᾱ_k = ᾱ_{k−1} (1 − β_k) along each discrete schedule; the cosine table is its closed form up to the clip"
          Reference = "Ho et al. 2020, eq. 4; Nichol, Dhariwal 2021, eq. 17"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library -> { library with LogAlphaBars = Array.scan (fun s b -> s - b) 0.0 })
            <| fun f ->
                gen {
                    let! name, betas = Draw.betas

                    let! n = Draw.oneOf [ 50; 100; 1000 ]
                    // The table's last steps are clipped at 0.999, and one step of 50 is already.
                    let! k = Gen.choose (1, n - n / 20)
                    let beta = betas n
                    let bar (k: int) = exp ((f.LogAlphaBars beta)[k])
                    let path = Paths.ofBetas name "" "" beta
                    let onCurve = Curve.eval path.Alpha (float k / float n) ** 2.0
                    let angle k = cos (0.5 * System.Math.PI * (float k / float n + 0.008) / 1.008) ** 2.0

                    let error =
                        Measure.worst
                            [ Measure.difference (bar k) (bar (k - 1) * (1.0 - beta[k - 1]))
                              Measure.difference (bar k) onCurve
                              (if name = "cosine" then Measure.difference (bar k) (angle k / angle 0) else 0.0) ]

                    return { Error = error; Case = $"{name}, step {k} of {n}" }
                } }

    let subVp =
        { Name = "sub-vp-below-vp"
          Section = section
          Statement = "sub-VP's variance is VP's squared, and never above it; its diffusion is β (1 − e^{−2∫β})"
          Reference = "Song et al. 2021, eq. 12 and appendix B"
          Tolerance = 1e-9
          Cases = 100
          Check =
            Check.against (fun library -> { library with SubVp = Path.vpBetween })
            <| fun f ->
                gen {
                    let! low = Draw.between 0.05 0.5
                    let! high = Draw.between 5.0 20.0
                    let! t = Draw.time
                    let vp, sub = Path.vpBetween low high, f.SubVp low high
                    let beta = low + (high - low) * t
                    let expected = beta * (1.0 - Curve.eval vp.Alpha t ** 4.0)
                    let v, s = Curve.eval vp.Variance t, Curve.eval sub.Variance t

                    let error =
                        Measure.worst
                            [ max 0.0 (s - v)
                              Measure.difference s (v * v)
                              Measure.difference (Curve.eval (f.DiffusionSquared sub) t) expected ]

                    return { Error = error; Case = $"β from {low} to {high}, t = {t}" }
                } }

    let ofSde =
        { Name = "path-of-sde"
          Section = section
          Statement = "the path of the SDE of a path is that path; for VE, less the variance it starts with"
          Reference = "Song et al. 2021, eq. 29–31"
          Tolerance = 1e-9
          Cases = 60
          Check =
            Check.against (fun library -> { library with PathOfSde = fun a g2 -> Paths.ofSde "" "" "" (0.5 * a) g2 })
            <| fun f ->
                gen {
                    let! low = Draw.between 0.05 0.5
                    let! high = Draw.between 2.0 20.0
                    let! path = Draw.oneOf [ Path.ou; Path.vpBetween low high; Paths.subVpBetween low high; Paths.ve ]
                    let! t = Draw.time
                    let again = f.PathOfSde (-(Path.driftRate path)) (Path.diffusionSquared path)
                    let e c = Curve.eval c t
                    // What is there at 0 decays with α².
                    let initial = Curve.eval path.Variance 0.0 * e path.Alpha ** 2.0

                    return
                        { Error =
                            max
                                (Measure.difference (e again.Alpha) (e path.Alpha))
                                (Measure.difference (e again.Variance) (e path.Variance - initial))
                          Case = $"{path.Name}, t = {t}" }
                } }

    let all =
        [ betas
          subVp
          ofSde
          derivative
          onTensors
          inverse
          views
          moments
          ouIsVp
          retimed
          conditionalVelocity
          interpolantVelocity ]
