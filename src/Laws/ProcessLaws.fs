namespace Fokker.Laws

open System
open FsCheck.FSharp
open Fokker

/// Trajectories: what flows do to densities, and how far apart two diffusions are.
module ProcessLaws =

    let private section = "Divergences"

    /// 200 equal steps from s to t.
    let private times (s: float) (t: float) = Array.init 201 (fun k -> s + (t - s) * float k / 200.0)

    let changeOfVariables =
        { Name = "instantaneous-change-of-variables"
          Section = section
          Statement = "log p_s(x_s) = log p_t(x_t) + ∫_s^t ∇·v along the flow's trajectory"
          Reference = "Chen et al. 2018, Neural ODEs, theorem 1"
          Tolerance = 1e-5 // of 200 steps of RK4
          Cases = 15
          Check =
            Check.against (fun library -> { library with Velocity = fun p m t x -> Mixture.velocity p m t x + 0.1 * x })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.trigonometric; Path.vp ]
                    let! m = Draw.mixture
                    let! r = Draw.rng
                    let s, t = 0.1, 0.8
                    let x = Mixture.sampleAt path s 3 r m

                    let flow: Ode = { Velocity = f.Velocity path m }

                    let struct (y, gained) =
                        Measure.succeed (Likelihood.carry Trace.exact Tableau.rk4 flow r (times s t) x)

                    let density time x = Mixture.logDensity path m (Measure.at time) x

                    return
                        { Error = Measure.apart (density t y + gained) (density s x)
                          Case = $"{path.Name}, {m.Components} components in {m.Dimension}-D" }
                } }

    let retimedFlow =
        { Name = "flow-on-another-clock"
          Section = section
          Statement = "an exact flow carries a point to the same place on every clock"
          Reference = "Karras et al. 2022, section 3"
          Tolerance = 1e-5 // of 200 steps of RK4
          Cases = 15
          Check =
            Check.against (fun library -> { library with Retime = fun _ p -> p })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.trigonometric; Path.vp ]
                    let! clock = Draw.clock
                    let! m = Draw.mixture
                    let! r = Draw.rng
                    let s, t = 0.15, 0.8
                    let x = Mixture.sampleAt path s 3 r m
                    let when' u = Curve.inverse (0.0, 1.0) clock u

                    let run (path: GaussianPath) s t =
                        let step = Integrator.rungeKutta Tableau.rk4 { Velocity = Mixture.velocity path m }
                        (Measure.succeed (Integrator.run step (Noise.fresh r) (times s t) x)).X

                    return
                        { Error = Measure.apart (run (f.Retime clock path) (when' s) (when' t)) (run path s t)
                          Case = $"{path.Name}, {m.Components} components in {m.Dimension}-D" }
                } }

    /// Two scalar Ornstein–Uhlenbeck processes with one diffusion, from one start.
    let private pair =
        gen {
            let! a = Draw.between 0.4 2.0
            let! b = Draw.between 0.0 2.0
            let! g = Draw.between 0.5 1.5
            let! mean = Draw.between -1.5 1.5
            let! spread = Draw.between 0.2 1.2
            return a, b, g, mean, spread * spread
        }

    let private linear (rate: float) (g: float) : Sde =
        { Drift = fun _ x -> -rate * x
          DiffusionSquared = Constant(g * g)
          Backward = false }

    let girsanov =
        { Name = "girsanov"
          Section = section
          Statement =
            "KL(P‖Q) = ½ ∫ E_P‖a − b‖²/g² dt: closed form = the limit of Euler–Maruyama's own mean, which the simulated drifts' difference and the simulated likelihood ratio have at their steps"
          Reference = "Girsanov 1960; the lectures' theoretical intermezzo"
          Tolerance = 1.0 // five standard errors of 40,000 trajectories: some 3 % of the simulations; 1e-5 of the limit
          Cases = 12
          Check =
            Check.against (fun library ->
                { library with
                    Girsanov =
                        fun p q times rng start ->
                            let e = Girsanov.bySimulation p q times rng start
                            { e with Mean = 1.05 * e.Mean } })
            <| fun f ->
                gen {
                    let! a, b, g, mean, variance = pair
                    let! r = Draw.rng
                    let n, steps = 40_000, 50
                    let start = Draw.vectors r "start" [ n; 1 ] * sqrt variance + mean
                    let times = Array.init (steps + 1) (fun k -> float k / float steps)
                    let p, q = linear a g, linear b g
                    let exact = f.GirsanovOu a b g mean variance 1.0

                    // E of the sum over so many steps of Euler–Maruyama from a second moment: x ↦ (1 − a h) x + g √h z has m₂ ↦ (1 − a h)² m₂ + g² h.
                    let summed steps second =
                        let h = 1.0 / float steps

                        Seq.fold
                            (fun (sum, m2) _ ->
                                sum + 0.5 * h * (a - b) ** 2.0 / (g * g) * m2, (1.0 - a * h) ** 2.0 * m2 + g * g * h)
                            (0.0, second)
                            (seq { 1..steps })
                        |> fst

                    // By Richardson's extrapolation from 2,000 and 4,000 steps.
                    let second = mean * mean + variance
                    let limit = 2.0 * summed 4000 second - summed 2000 second
                    let simulated = f.Girsanov p q times (Rng.named "noise" r) start
                    let ratio = Girsanov.byLikelihoodRatio p q times (Rng.named "noise" r) start
                    // Of the trajectories' own starts: what is left to chance is the noise.
                    let atSteps = summed steps ((Tensor.mean (Tensor.square start)).ToFloat())
                    let error (e: Estimate) = abs (e.Mean - atSteps) / (5.0 * e.StandardError + 1e-12)

                    return
                        { Error =
                            Measure.worst
                                [ error simulated; error ratio; abs (exact - limit) / (1e-5 * abs limit + 1e-12) ]
                          Case = $"a = {a}, b = {b}, g = {g}, KL = {exact}" }
                } }

    let pathAboveEnd =
        { Name = "path-kl-above-end-kl"
          Section = section
          Statement =
            "the KL of the trajectories, that of their starts and ½ ∫E_P‖a − b‖²/g² dt, is at least the KL of their end points"
          Reference = "the data-processing inequality; Song et al. 2021, Maximum likelihood training, theorem 1"
          Tolerance = 1e-12
          Cases = 300
          Check =
            Check.against (fun library -> { library with GirsanovOu = fun _ _ _ _ _ _ -> 0.0 })
            <| fun f ->
                gen {
                    let! a, b, g, mean, variance = pair
                    let! mean', variance' = Gen.zip (Draw.between -1.5 1.5) (Draw.between 0.1 1.2)

                    let endLaw rate mean variance =
                        let decay = exp -rate
                        let stationary = if rate = 0.0 then g * g else g * g * (1.0 - decay * decay) / (2.0 * rate)
                        decay * mean, decay * decay * variance + stationary

                    let one (v: float) = Tensor.full Kind.Float64 [ 1; 1 ] v

                    let kl (m1, v1) (m2, v2) = (Variational.gaussianKl (one m1) (one v1) (one m2) (one v2)).ToFloat()

                    let ends = kl (endLaw a mean variance) (endLaw b mean' variance')
                    let starts = kl (mean, variance) (mean', variance')
                    let whole = starts + f.GirsanovOu a b g mean variance 1.0

                    return
                        { Error = max 0.0 (ends - whole)
                          Case =
                            $"a = {a}, b = {b}, g = {g}: {starts} at the start, {ends} at the end, {whole} along the way" }
                } }

    let all = [ changeOfVariables; retimedFlow; girsanov; pathAboveEnd ]
