namespace Fokker.Laws

open System
open FsCheck.FSharp
open Fokker

/// What arrives when the processes are run: from the exact start, from the start that one has, in finite steps.
module SamplingLaws =

    let private section = "Sampling"

    // ---- a Gaussian carried by its moments

    /// Gaussian data with independent coordinates: every drift that the oracle gives is affine, each coordinate by itself.
    let private gaussian =
        gen {
            let! d = Gen.choose (1, 3)
            let! means = Gen.listOfLength d (Draw.between -1.5 1.5)
            let! stds = Gen.listOfLength d (Draw.between 0.3 1.5)
            let row (values: float list) = Tensor.ofArray [ 1; d ] (List.toArray values)
            return Mixture.ofStds [| 1.0 |] (row means) (row stds)
        }

    /// The backward processes that share a path's marginals, by name.
    let private members (f: Formulas) (path: GaussianPath) (m: Mixture) (churn: float) : (string * Sde) list =
        let velocity, score = f.Velocity path m, f.Score path m
        let forward = Sde.ofPath path

        [ "the probability flow",
          { Drift = (f.ProbabilityFlow score forward).Velocity
            DiffusionSquared = Constant 0.0
            Backward = true }
          "the reverse SDE", f.Reverse score forward
          $"churn {churn}", f.WithChurn churn path velocity score ]

    /// Mean and variance [2; d] of what a backward process with an affine drift makes of a Gaussian: dm/dt = A m + c and
    /// dv/dt = 2 A v − g², A and c read off the drift at 0 and at 1 (Särkkä, Solin 2019, eq. 6.2). RK4 on steps equal in λ, in which
    /// the rates are bounded.
    let private carried (sde: Sde) (path: GaussianPath) (noisy: float, clean: float) (start: Tensor) : Tensor =
        let d = start.Shape[1]
        let corners = Tensor.cat 0 [ Tensor.zeros Kind.Float64 [ 1; d ]; Tensor.ones Kind.Float64 [ 1; d ] ]

        let moments: Field =
            fun t x ->
                let y = sde.Drift t corners
                let c, a = y[0], y[1] - y[0]
                let g2 = Curve.eval sde.DiffusionSquared (t.ToFloat())
                Tensor.stack 0 [ a * x[0] + c; 2.0 * a * x[1] - g2 ]

        let step = Integrator.rungeKutta Tableau.rk4 { Velocity = moments }
        (Measure.succeed (
            Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) (Grid.times Grid.lambda path (noisy, clean) 400) start
        ))
            .X

    /// Mean and variance of x_t [2; d].
    let private momentsAt (path: GaussianPath) (m: Mixture) (t: float) : Tensor =
        let struct (alpha, sigma) = Path.alphaSigma path t
        let variance = Tensor.diagonal (Mixture.covariance m) * (alpha * alpha) + sigma * sigma
        Tensor.stack 0 [ alpha * Mixture.mean m; variance ]

    let private regular =
        Draw.oneOf [ Path.condOT; Path.ou; Path.vp; Path.trigonometric; Paths.subVp; Paths.cosine; Paths.edm ]

    let private setting =
        gen {
            let! path = regular
            let! m = gaussian
            let! churn = Draw.between 0.2 1.5
            let! which = Gen.choose (0, 2)
            let! clean = Draw.between 0.02 0.3
            return path, m, churn, which, (snd path.Interior, clean)
        }

    let exactStart =
        { Name = "exact-start"
          Section = section
          Statement =
            "started at the exact p₁, the probability flow, the reverse SDE and every member of the churn family arrive at p_t: a Gaussian's moment equations, integrated from the noisy end"
          Reference = "Anderson 1982; Song et al. 2021, appendix D; Särkkä, Solin 2019, eq. 6.2"
          Tolerance = 1e-6 // of 400 steps of RK4
          Cases = 15
          Check =
            Check.against (fun library ->
                { library with
                    Reverse =
                        fun score sde ->
                            { Sde.reverse score sde with Drift = (Sde.probabilityFlow score sde).Velocity } })
            <| fun f ->
                gen {
                    let! path, m, churn, which, (noisy, clean) = setting
                    let name, sde = (members f path m churn)[which]
                    let got = carried sde path (noisy, clean) (momentsAt path m noisy)
                    let expected = momentsAt path m clean

                    return
                        { Error = (Tensor.max (abs (got - expected) / (expected[1] + abs expected))).ToFloat()
                          Case = $"{name}, {path.Name}, {m.Dimension}-D, from {noisy} to {clean}" }
                } }

    let actualStart =
        { Name = "actual-start"
          Section = section
          Statement =
            "started at N(0, σ(1)²I) instead, what arrives is off by KL(p_t‖·) ≤ KL(p₁‖N(0, σ(1)²I)): no more than the start was, and by as much where the process is a flow"
          Reference = "the data-processing inequality; Song et al. 2021, Maximum likelihood training, theorem 1"
          Tolerance = 1e-8 // of 400 steps of RK4
          Cases = 15
          Check =
            Check.against (fun library ->
                // The noise left out, the correction of the drift kept.
                { library with
                    WithChurn = fun c p v s -> { Sde.withChurn c p v s with DiffusionSquared = Constant 0.0 } })
            <| fun f ->
                gen {
                    let! path, m, churn, which, (noisy, clean) = setting
                    let name, sde = (members f path m churn)[which]
                    let struct (_, sigma) = Path.alphaSigma path noisy
                    let zero = Tensor.zeros Kind.Float64 [ 1; m.Dimension ]
                    let start = Tensor.cat 0 [ zero; zero + sigma * sigma ]

                    let kl (p: Tensor) (q: Tensor) = (f.GaussianKl p[0..0] p[1..1] q[0..0] q[1..1]).ToFloat()

                    let before = kl (momentsAt path m noisy) start
                    let after = kl (momentsAt path m clean) (carried sde path (noisy, clean) start)
                    let excess = if which = 0 then abs (after - before) else max 0.0 (after - before)

                    return
                        { Error = excess / (1.0 + before)
                          Case =
                            $"{name}, {path.Name}, {m.Dimension}-D, from {noisy} to {clean}: {before} nats at the start, {after} on arrival" }
                } }

    // ---- Langevin in steps

    /// One step of length h of the scheme for the Langevin process of a score, as (mean, standard deviation) at each x [n; 1].
    let private kernel (f: Formulas) (score: Tensor -> Tensor) (h: float) (x: Tensor) : Tensor * Tensor =
        let sde = f.Langevin(fun _ x -> score x)
        let step z = (f.EulerMaruyama z sde h (Integrator.start 0.0 x)).X
        let mean = step (Tensor.zerosLike x)
        mean, step (Tensor.onesLike x) - mean

    let langevinGaussian =
        { Name = "langevin-step-gaussian"
          Section = section
          Statement = "on N(μ, v) the unadjusted Langevin scheme of step h settles at N(μ, v/(1 − h/2v))"
          Reference = "Roberts, Tweedie 1996, section 1.4.1; Wibisono 2018"
          Tolerance = 1e-11
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with EulerMaruyama = fun z -> Integrator.eulerMaruyamaWith (1.01 * z) })
            <| fun f ->
                gen {
                    let! mu = Draw.between -2.0 2.0
                    let! v = Draw.between 0.3 2.0
                    let! share = Draw.between 0.01 1.5
                    let h = share * v
                    let x = Tensor.ofArray [ 2; 1 ] [| 0.0; 1.0 |]
                    let mean, std = kernel f (fun x -> (mu - x) / v) h x
                    // x' = a x + c + b z: the moments' recursion m' = a m + c, V' = a² V + b² in its fixed point.
                    let c, b = mean[0].ToFloat(), std[0].ToFloat()
                    let a = mean[1].ToFloat() - c
                    let settledMean, settled = c / (1.0 - a), b * b / (1.0 - a * a)

                    return
                        { Error =
                            max
                                (Measure.difference settledMean mu)
                                (Measure.difference settled (v / (1.0 - 0.5 * h / v)))
                          Case = $"N({mu}, {v}), h = {h}: variance {settled}" }
                } }

    let langevinBias =
        { Name = "langevin-step-bias"
          Section = section
          Statement = "the unadjusted Langevin scheme's bias ∫|p_h − p| on a mixture halves with its step"
          Reference = "Talay, Tubaro 1990; Durmus, Moulines 2017"
          Tolerance = 0.03 // of the slope in log–log between h and h/2, which is 1 + O(h)
          Cases = 4
          Check =
            Check.against (fun library ->
                { library with EulerMaruyama = fun z -> Integrator.eulerMaruyamaWith (1.1 * z) })
            <| fun f ->
                gen {
                    let! m = Draw.broad
                    let n = 601
                    let struct (x, width) = Quadrature.line (0.7 * Quadrature.reach m) n
                    let score = Mixture.scoreOfData m
                    let p = exp (Mixture.logDensityOfData m x)
                    let total (x: Tensor) = (Tensor.sum x).ToFloat() * width

                    // The density of the scheme's stationary law: the kernel on the grid, squared until nothing moves.
                    let settled h =
                        Scope.run (fun () ->
                            let mean, std = kernel f score h x
                            let gap = (Tensor.transpose 0 1 x - mean) / std
                            let steps = exp (-0.5 * Tensor.square gap) * (width / sqrt (2.0 * Math.PI)) / std
                            let steps = steps / Tensor.sumKeep [ 1 ] steps
                            let many = Seq.fold (fun a _ -> Linalg.matmul a a) steps (seq { 1..12 })
                            many[n / 2] / width)

                    let bias h = total (abs (settled h - Tensor.flatten p))
                    let coarse, fine = bias 0.04, bias 0.02
                    let slope = Math.Log2(coarse / fine)

                    return
                        { Error = abs (slope - 1.0)
                          Case = $"{m.Components} components: {coarse} at h = 0.04, {fine} at h = 0.02" }
                } }

    // ---- steps on another clock

    let otherClock =
        { Name = "solvers-on-another-clock"
          Section = section
          Statement =
            "a solver that knows the path by α and σ at its nodes (DDIM: x_s = α_s E[x₀|x] + σ_s E[ε|x]) makes the same samples on another clock's matching grid; Runge–Kutta in t does not"
          Reference = "Song, Meng, Ermon 2021, DDIM, eq. 12; Karras et al. 2022, section 3"
          Tolerance = 1e-9 // the matching times are found by bisection
          Cases = 40
          Check =
            Check.against (fun library -> { library with Retime = fun _ p -> p })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.trigonometric; Path.vp ]
                    let! m = Draw.mixture
                    let! r = Draw.rng
                    let! bend = Draw.between 1.5 2.5
                    let! clock = Draw.oneOf [ Curve.time ** bend; Curve.expm1 (bend * Curve.time) / (exp bend - 1.0) ]
                    let times = Grid.times Grid.uniform path (0.9, 0.1) 8
                    let matching = times |> Array.map (Curve.inverse (0.0, 1.0) clock)
                    let again = f.Retime clock path
                    let x = Mixture.sampleAt path times[0] 3 r m

                    let ddim (path: GaussianPath) (times: float[]) =
                        let step x (t, s) =
                            let struct (alpha, sigma) = Path.alphaSigma path s
                            let at = Measure.at t
                            alpha * Mixture.denoiser path m at x + sigma * Mixture.noise path m at x

                        Seq.fold step x (Seq.pairwise times)

                    let heun (path: GaussianPath) times =
                        let step = Integrator.rungeKutta Tableau.heun { Velocity = Mixture.velocity path m }
                        (Measure.succeed (Integrator.run step (Noise.fresh r) times x)).X

                    let same = Measure.apart (ddim again matching) (ddim path times)
                    let differs = Measure.apart (heun again matching) (heun path times)

                    return
                        { Error = if differs > 1e-5 then same else infinity
                          Case = $"{path.Name}, {m.Components} components in {m.Dimension}-D: Heun is off by {differs}" }
                } }

    let all = [ exactStart; actualStart; langevinGaussian; langevinBias; otherClock ]
