namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Optimal transport between batches, and what the couplings do with it.
module TransportLaws =

    let private section = "Transport"

    let private clouds =
        gen {
            let! n = Gen.choose (2, 12)
            let! d = Gen.choose (1, 3)
            let! r = Draw.rng
            return r, n, Draw.vectors r "a" [ n; d ], Draw.vectors r "b" [ n; d ] * 1.5 + 0.5
        }

    let private law name statement reference tolerance cases (wrong: Formulas -> Formulas) check =
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
                    let! r, n, a, b = clouds
                    return { Error = check f r a b; Case = $"{n} points in {a.Shape[1]}-D" }
                } }

    let private picked (x: Tensor) (index: Tensor) = Tensor.indexSelect 0 index x
    let private cost (a: Tensor) (b: Tensor) = (Tensor.sum (Tensor.square (a - b))).ToFloat()

    let plan =
        law
            "ot-plan"
            "the plan uses every point of either side once, and costs no more than the independent coupling or any pairing tried"
            "Monge 1781; Kantorovich 1942"
            1e-10
            100
            (fun library -> { library with Exact = Coupling.independent })
        <| fun f r a b ->
            let struct (i, j) = f.Exact.Pair r a b
            let order (t: Tensor) = Tensor.toArray<int64> t |> Array.sort
            let all = [| 0L .. int64 a.Shape[0] - 1L |]

            if order i <> all || order j <> all then
                infinity
            else
                let own = cost (picked a i) (picked b j)
                let independent = (Tensor.mean (Wasserstein.squaredDistances a b)).ToFloat() * float a.Shape[0]

                [ independent
                  for k in 0L .. 9L do
                      cost a (picked b (Rng.permutation b.Shape[0] (Rng.at k r))) ]
                |> List.map (fun other -> max 0.0 (own - other) / (1.0 + own))
                |> Measure.worst

    let monotone =
        law
            "ot-cyclically-monotone"
            "Σ ⟨x_k, y_k⟩ ≥ Σ ⟨x_k, y_{k+1}⟩ along every cycle of the plan's pairs"
            "Rockafellar 1966; Villani 2009, theorem 5.10"
            1e-10
            100
            (fun library -> { library with Exact = Coupling.independent })
        <| fun f r a b ->
            let struct (i, j) = f.Exact.Pair r a b
            let x, y = picked a i, picked b j
            let n = x.Shape[0]

            // Random cycles of every length.
            [ for k in 0L .. 19L do
                  let order = Rng.permutation n (Rng.at k r)
                  let length = 2 + int k % (n - 1)
                  let cycle = Tensor.narrow 0 0 length order
                  let next = Tensor.cat 0 [ Tensor.narrow 0 1 (length - 1) cycle; Tensor.narrow 0 0 1 cycle ]
                  let inner a b = (Tensor.sum (a * b)).ToFloat()
                  let kept = inner (picked x cycle) (picked y cycle)
                  max 0.0 (inner (picked x cycle) (picked y next) - kept) / (1.0 + abs kept) ]
            |> Measure.worst

    let private uniform (x: Tensor) = Tensor.full Kind.Float64 [ x.Shape[0] ] (1.0 / float x.Shape[0])

    let marginals =
        law
            "sinkhorn-marginals"
            "the entropic plan has its marginals and the Gibbs form P = a b e^{(f + g − C)/ε}"
            "Cuturi 2013, lemma 2"
            1e-8
            40
            (fun library ->
                { library with Sinkhorn = fun e a b c -> Sinkhorn.unbalanced Sinkhorn.settings e 1.0 a b c })
        <| fun f _ a b ->
            let c = Wasserstein.squaredDistances a b
            let epsilon = 0.3 * (Tensor.mean c).ToFloat()
            let p = f.Sinkhorn epsilon (uniform a) (uniform b) c
            let rows = Tensor.sumOver [ 1 ] p.Weights
            let columns = Tensor.sumOver [ 0 ] p.Weights
            let gibbs = log (p.Weights * float (a.Shape[0] * b.Shape[0])) * epsilon + c
            let additive = Tensor.unsqueeze 1 p.F + Tensor.unsqueeze 0 p.G

            Measure.worst
                [ Measure.apart rows (uniform a); Measure.apart columns (uniform b); Measure.apart gibbs additive ]

    let limits =
        law
            "sinkhorn-limits"
            "the entropic plan's cost goes to the exact one as ε → 0 and to the independent one as ε → ∞"
            "Peyré, Cuturi 2019, proposition 4.1"
            1e-3 // at ε = 1e-3 of the mean cost the gap is at most ε log n
            20
            (fun library -> { library with Sinkhorn = fun _ a b c -> Sinkhorn.balanced Sinkhorn.settings 0.5 a b c })
        <| fun f r a b ->
            let c = Wasserstein.squaredDistances a b
            let mean = (Tensor.mean c).ToFloat()
            let plan eps = f.Sinkhorn eps (uniform a) (uniform b) c
            let value eps = (Tensor.sum ((plan eps).Weights * c)).ToFloat()
            let struct (i, j) = Coupling.exact.Pair r a b
            let exact = cost (picked a i) (picked b j) / float a.Shape[0]
            let low, high = value (2e-4 * mean), value (1e5 * mean)
            max (abs (low - exact) / mean) (abs (high - mean) / mean)

    let classes =
        { Name = "plans-within-classes"
          Section = section
          Statement =
            "a plan made within classes pairs each class's data with the source samples dealt to it before matching: the source law given the class is untouched"
          Reference = "the known bias of OT-CFM with labels"
          Tolerance = 0.0
          Cases = 60
          Check =
            Check.against (fun library -> { library with WithinClasses = fun _ c -> c })
            <| fun f ->
                gen {
                    let! r, n, a, b = clouds
                    let labels = Rng.integers 3L [ n ] (Rng.named "labels" r)
                    let struct (i, j) = (f.WithinClasses labels Coupling.exact).Pair r a b
                    let of' (index: Tensor) = Tensor.toArray<int64>(picked labels index)
                    let complete (t: Tensor) = Array.sort (Tensor.toArray<int64> t) = [| 0L .. int64 n - 1L |]

                    return
                        { Error = (if of' i = of' j && complete i && complete j then 0.0 else 1.0)
                          Case = $"{n} points, labels {List.ofArray (Tensor.toArray<int64> labels)}" }
                } }

    // ---- flows between two laws

    /// N(m, Σ) in 1 to 3 dimensions, twice.
    let private twoGaussians =
        gen {
            let! d = Gen.choose (1, 3)
            let! r = Draw.rng

            let one name =
                let r = Rng.named name r
                let factor = Draw.vectors r "factor" [ d; d ] * 0.6
                let covariance = Linalg.matmul factor (Tensor.transpose 0 1 factor) + 0.2 * Tensor.eye Kind.Float64 d
                Draw.vectors r "mean" [ d ] * 0.5, covariance

            return r, d, one "data", one "source"
        }

    let private sandwich (a: Tensor) (b: Tensor) = Linalg.matmul (Linalg.matmul a b) (Tensor.transpose 0 1 a)

    let gaussianEnergy =
        { Name = "ot-cfm-energy"
          Section = section
          Statement =
            "with the plan of the two laws, x₁ = m₁ + A(x₀ − m₀), A = Σ₀^−½ (Σ₀^½ Σ₁ Σ₀^½)^½ Σ₀^−½, the straight path's energy ∫E‖ẋ‖²dt is W₂² between the Gaussians"
          Reference = "Tong et al. 2024, OT-CFM, proposition 3.4; Olkin, Pukelsheim 1982"
          Tolerance = 1e-9
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with GaussianWasserstein = fun p q -> 1.001 * Wasserstein.gaussianSquared p q })
            <| fun f ->
                gen {
                    let! _, d, (m0, s0), (m1, s1) = twoGaussians
                    let! t = Draw.time
                    let root = Linalg.sqrtPsd s0
                    let inverse = Linalg.inv root
                    let a = sandwich inverse (Linalg.sqrtPsd (sandwich root s1))
                    let map x = m1 + Linalg.matmul (x - m0) a

                    // The velocity along the path is affine in x₀: its mean is the one at m₀, its slopes those along the axes.
                    let velocity x0 =
                        f.InterpolantVelocity Interpolant.linear (Measure.at t) x0 (map x0) (Tensor.zerosLike x0)

                    let centre = velocity (Tensor.unsqueeze 0 m0)
                    let slopes = velocity (m0 + Tensor.eye Kind.Float64 d) - centre
                    let spread = Linalg.trace (sandwich (Tensor.transpose 0 1 slopes) s0)
                    let energy = (Tensor.sum (Tensor.square centre) + spread).ToFloat()

                    return
                        { Error =
                            max
                                (Measure.difference energy (f.GaussianWasserstein (m0, s0) (m1, s1)))
                                (Measure.apart (sandwich a s0) s1)
                          Case = $"{d}-D, energy {energy}" }
                } }

    let minibatchEnergy =
        { Name = "minibatch-energy"
          Section = section
          Statement = "a minibatch plan's energy lies between W₂² and that of the independent coupling, clear of both"
          Reference = "Pooladian et al. 2023, theorem 4.2; Fatras et al. 2020"
          Tolerance = 0.0 // five standard errors over 600 batches are on the safe side of both
          Cases = 6
          Check =
            Check.against (fun library -> { library with Exact = Coupling.independent })
            <| fun f ->
                gen {
                    let! r, d, (m0, s0), (m1, s1) = twoGaussians
                    let! n = Draw.oneOf [ 4; 8; 16 ]
                    let p, q = Mixture.gaussian m0 s0, Mixture.gaussian m1 s1
                    let least = f.GaussianWasserstein (m0, s0) (m1, s1)
                    let shift = (Tensor.sum (Tensor.square (m0 - m1))).ToFloat()
                    let most = shift + (Linalg.trace s0 + Linalg.trace s1).ToFloat()

                    let energy k =
                        let r = Rng.at (int64 k) r
                        let a, b = Mixture.sample n (Rng.named "a" r) p, Mixture.sample n (Rng.named "b" r) q
                        let struct (i, j) = f.Exact.Pair r a b
                        cost (picked a i) (picked b j) / float n

                    let mean = Fokker.Measure.overDraws 600 energy
                    let margin = 5.0 * mean.StandardError
                    let inside = mean.Mean - margin > least && mean.Mean + margin < most

                    return
                        { Error = (if inside then 0.0 else 1.0)
                          Case = $"{d}-D, batches of {n}: {mean} between {least} and {most}" }
                } }

    /// Nodes [n] and weights [n] that sum to 1, of a law on the line: where an entropic plan between two of them is taken.
    let private discretized (n: int) (m: Mixture) : Tensor * Tensor =
        // A third of the tails' reach: a weight of e^−18 still counts, one that underflows would not be allowed.
        let struct (x, _) = Quadrature.line (0.7 * Quadrature.reach m) n
        let p = exp (Mixture.logDensityOfData m x)
        x, p / Tensor.sum p

    /// The plan of cost ‖x − y‖² whose bridges of variance σ² t(1 − t) are Brownian: e^{−‖x − y‖²/ε} is the heat kernel of time 1.
    let private epsilonOf (sigma: float) = 2.0 * sigma * sigma

    let private heat (variance: float) (gap: Tensor) : Tensor =
        exp (Tensor.square gap * (-0.5 / variance)) / sqrt (2.0 * System.Math.PI * variance)

    let schrodinger =
        { Name = "sb-cfm-is-schrodinger-bridge"
          Section = section
          Statement =
            "with the entropic plan at ε = 2σ² for cost ‖x − y‖² and Brownian bridges of variance σ² t(1 − t), SB-CFM's marginals are φ_t φ̂_t, φ and φ̂ solving the backward and the forward heat equation, its velocity is ½σ² ∇log φ/φ̂ and its E[z | x_t] = −γ ∇log φφ̂"
          Reference = "Léonard 2014, theorem 2.12; Tong et al. 2024, SB-CFM, proposition 3.5"
          Tolerance = 1e-11
          Cases = 30
          Check =
            Check.against (fun library ->
                { library with Sinkhorn = fun e a b c -> Sinkhorn.balanced Sinkhorn.settings (0.5 * e) a b c })
            <| fun f ->
                gen {
                    let! p = Draw.mixture1
                    let! q = Draw.mixture1
                    let! sigma = Draw.between 0.6 1.5
                    let! t = Draw.between 0.1 0.9
                    let x, a = discretized 70 p
                    let y, b = discretized 60 q
                    let epsilon = epsilonOf sigma
                    let plan =
                        f.Sinkhorn epsilon (Tensor.flatten a) (Tensor.flatten b) (Wasserstein.squaredDistances x y)
                    let i = Interpolant.bridge sigma
                    let e c = Curve.eval c t
                    let y' = Tensor.transpose 0 1 y
                    let middle = e i.A * x + e i.B * y'
                    // φ̂ has gone through time t since p₀, φ has 1 − t to go to p₁.
                    let gone = Tensor.flatten a * exp (plan.F / epsilon)
                    let left = Tensor.flatten b * exp (plan.G / epsilon) * sqrt (System.Math.PI * epsilon)
                    let spread = sigma * sigma
                    let backward (x': Tensor) =
                        Tensor.sumOver [ 1 ] (heat (spread * t) (x' - Tensor.transpose 0 1 x) * gone)
                    let forward (x': Tensor) = Tensor.sumOver [ 1 ] (heat (spread * (1.0 - t)) (x' - y') * left)
                    let points = Tensor.linspace Kind.Float64 -1.5 1.5 7 |> Tensor.reshape [ 7; 1 ]

                    let mixed (point: Tensor) =
                        let gap = point - middle
                        let weight = plan.Weights * heat (e i.Gamma ** 2.0) gap
                        let z = gap / e i.Gamma
                        let full (v: Tensor) = Tensor.reshape [ -1; 1 ] (Tensor.expand plan.Weights.Shape v)
                        let v = f.InterpolantVelocity i (Measure.at t) (full x) (full y') (full z)
                        let density = Tensor.sum weight
                        let mean (v: Tensor) = Tensor.sum (Tensor.flatten weight * Tensor.flatten v) / density
                        Tensor.stack 0 [ density; mean v; mean z ]

                    let got = Tensor.stack 0 [ for k in 0..6 -> mixed points[k] ]

                    let slope (f: Tensor -> Tensor) = Tensor.flatten (Diff.grad (f >> log >> Tensor.sum) points)
                    let up, down = slope forward, slope backward
                    let density = forward points * backward points
                    let expected = Tensor.stack 1 [ density; 0.5 * spread * (up - down); -(e i.Gamma) * (up + down) ]

                    return
                        { Error = Measure.apart got expected
                          Case = $"σ = {sigma}, t = {t}, Sinkhorn off by {plan.Error}" }
                } }

    let entropicGaussian =
        { Name = "entropic-plan-of-gaussians"
          Section = section
          Statement =
            "between N(0, s₀²) and N(0, s₁²) the entropic plan at ε = 2σ² has covariance c = ½(√(4 s₀²s₁² + σ⁴) − σ²), with which the bridges are Markov: Cov(x₀, x₁) Var(x_t) = Cov(x₀, x_t) Cov(x_t, x₁)"
          Reference = "Janati et al. 2020, theorem 1; Mallasto, Gerolin, Minh 2022"
          Tolerance = 1e-7 // of the grids' ends, at 6.3 standard deviations
          Cases = 20
          Check =
            Check.against (fun library ->
                // ε = σ² in place of 2σ².
                { library with Sinkhorn = fun e a b c -> Sinkhorn.balanced Sinkhorn.settings (0.5 * e) a b c })
            <| fun f ->
                gen {
                    let! s0 = Draw.between 0.4 1.2
                    let! s1 = Draw.between 0.4 1.2
                    let! sigma = Draw.between 0.5 1.5
                    let! t = Draw.time
                    let number (v: float) = Tensor.full Kind.Float64 [ 1; 1 ] v
                    let law s = discretized 121 (Mixture.ofStds [| 1.0 |] (number 0.0) (number s))
                    let x, a = law s0
                    let y, b = law s1
                    let cost = Wasserstein.squaredDistances x y
                    let plan = f.Sinkhorn (epsilonOf sigma) (Tensor.flatten a) (Tensor.flatten b) cost
                    let mean v = (Tensor.sum (plan.Weights * v)).ToFloat()
                    let y = Tensor.transpose 0 1 y
                    let v0, v1, c = mean (Tensor.square x), mean (Tensor.square y), mean (x * y)
                    let closed = 0.5 * (sqrt (4.0 * s0 * s0 * s1 * s1 + sigma ** 4.0) - sigma * sigma)
                    let i = Interpolant.bridge sigma
                    let e c = Curve.eval c t
                    let first, last = e i.A * v0 + e i.B * c, e i.A * c + e i.B * v1
                    let variance = e i.A * first + e i.B * last + e i.Gamma ** 2.0

                    return
                        { Error = max (Measure.difference c closed) (Measure.difference (c * variance) (first * last))
                          Case = $"s₀ = {s0}, s₁ = {s1}, σ = {sigma}, t = {t}: c = {c}" }
                } }

    let pairs =
        { Name = "sb-cfm-pairs"
          Section = section
          Statement =
            "the pairs that SB-CFM of diffusion σ trains on have the Schrödinger bridge's covariance: between N(0, s₀²) and N(0, s₁²), ½(√(4 s₀²s₁² + σ⁴) − σ²)"
          Reference = "Tong et al. 2024, section 3.3; Janati et al. 2020, theorem 1"
          Tolerance = 1.0 // five standard errors over 40 batches of 256, and 0.01 for a batch's plan being off by order 1/n
          Cases = 6
          Check =
            Check.against (fun library -> { library with Schrodinger = fun s -> Matching.schrodinger (s / sqrt 2.0) })
            <| fun f ->
                gen {
                    let! s0 = Draw.between 0.8 1.2
                    let! s1 = Draw.between 0.8 1.2
                    let! sigma = Draw.between 0.8 1.3
                    let! r = Draw.rng
                    let coupling = (f.Schrodinger sigma).Coupling

                    let covariance k =
                        let r = Rng.at (int64 k) r
                        let x, y = Draw.vectors r "x" [ 256; 1 ] * s0, Draw.vectors r "y" [ 256; 1 ] * s1
                        let struct (i, j) = coupling.Pair (Rng.named "pairs" r) x y
                        (Tensor.mean (picked x i * picked y j)).ToFloat()

                    let mean = Fokker.Measure.overDraws 40 covariance
                    let closed = 0.5 * (sqrt (4.0 * s0 * s0 * s1 * s1 + sigma ** 4.0) - sigma * sigma)

                    return
                        { Error = abs (mean.Mean - closed) / (5.0 * mean.StandardError + 0.01)
                          Case = $"s₀ = {s0}, s₁ = {s1}, σ = {sigma}: {mean}, in the limit {closed}" }
                } }

    let all =
        [ plan
          monotone
          marginals
          limits
          classes
          gaussianEnergy
          minibatchEnergy
          entropicGaussian
          schrodinger
          pairs ]
