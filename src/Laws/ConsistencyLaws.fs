namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Consistency functions: what holds them to the data's end, and what training and distilling them estimate.
module ConsistencyLaws =

    let private section = "Consistency"

    let boundary =
        { Name = "consistency-boundary"
          Section = section
          Statement = "f(t₀, x) = x/α(t₀) whatever the network's output"
          Reference = "Song et al. 2023, Consistency models, eq. 5"
          Tolerance = 1e-9
          Cases = 100
          Check =
            Check.against (fun library -> { library with ConsistencyPreconditioning = Preconditioning.edm })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! sigmaData = Draw.between 0.3 2.0
                    let! gain = Draw.between -3.0 3.0
                    let! r = Draw.rng
                    let x = Draw.vectors r "x" [ 4; 2 ]
                    let network: Field = fun _ x -> gain * sin x + 1.0
                    let t = Measure.at (fst path.Interior)
                    let start = Preconditioning.wrap (f.ConsistencyPreconditioning sigmaData path) network t x
                    let alpha = Curve.eval path.Alpha (fst path.Interior)

                    return { Error = Measure.apart start (x / alpha); Case = $"{path.Name}, s = {sigmaData}" }
                } }

    /// A Gaussian N(m, v) on the line, whose flow is known: x_t − α m shrinks as the standard deviation √(α² v + σ²) does.
    let gaussianFlow (path: GaussianPath) (m: float) (v: float) =
        let deviation = sqrt ((v * (path.Alpha ** 2.0)) + path.Variance)

        fun (from: Tensor) (until: Tensor) (x: Tensor) ->
            let at (curve: Curve) t = Tensor.perSample x (Curve.values curve t)
            let ratio = at deviation until / at deviation from
            at path.Alpha until * m + ratio * (x - at path.Alpha from * m)

    let private setting =
        gen {
            let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.vp; Path.trigonometric; Paths.edm ]
            let! m = Draw.between -1.5 1.5
            let! v = Draw.between 0.2 2.0
            let! t = Draw.between 0.1 0.8
            let! h = Draw.between 0.01 0.15
            return path, m, v, t, t + h
        }

    let many n (t: float) = Tensor.full Kind.Float64 [ n ] t

    let distilled =
        { Name = "consistency-distillation-zero"
          Section = section
          Statement = "the exact consistency function has distillation loss 0 under an exact step of the flow"
          Reference = "Song et al. 2023, Consistency models, theorem 1"
          Tolerance = 1e-20 // a squared rounding error
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with
                    Distillation =
                        fun _ d f target t later x -> Consistency.distillationAt (fun _ _ x -> x) d f target t later x })
            <| fun f ->
                gen {
                    let! path, m, v, t, later = setting
                    let! r = Draw.rng
                    let flow = gaussianFlow path m v
                    let x = Draw.vectors r "x" [ 5; 1 ]
                    let zero = many 5 (fst path.Interior)
                    let exact: Field = fun t x -> flow t zero x
                    let loss = f.Distillation flow Distance.squared exact exact (many 5 t) (many 5 later) x

                    return { Error = (Tensor.max loss).ToFloat(); Case = $"{path.Name}, N({m}, {v}), {t} ← {later}" }
                } }

    /// A smooth family of functions with one parameter, and none of them a consistency function.
    let private family (theta: Tensor) : Field = fun _ x -> tanh (theta * x) + 0.3 * x

    /// Nodes and weights for E over x₀ ~ N(m, v) and ε ~ N(0, 1) on a product grid.
    let pairs (m: float) (v: float) =
        let n = 161
        let u = Tensor.linspace Kind.Float64 -8.0 8.0 n
        let p = exp (-0.5 * Tensor.square u) * (16.0 / float (n - 1) / sqrt (2.0 * System.Math.PI))
        let rows (x: Tensor) = Tensor.reshape [ -1; 1 ] (Tensor.expand [ n; n ] (Tensor.unsqueeze 1 x))
        let columns (x: Tensor) = Tensor.reshape [ -1; 1 ] (Tensor.expand [ n; n ] (Tensor.unsqueeze 0 x))
        rows u * sqrt v + m, columns u, Tensor.flatten (rows p * columns p)

    let gradients =
        { Name = "consistency-training-is-distillation"
          Section = section
          Statement =
            "∇θ of consistency training and of distillation, divided by Δt, agree as Δt → 0: their difference is of order Δt"
          Reference = "Song et al. 2023, Consistency models, theorem 2"
          Tolerance = 0.15 // of the halved difference from half: the terms of order Δt² that are left
          Cases = 12
          Check =
            Check.against (fun library ->
                { library with
                    Training =
                        fun path d f target t later x0 noise ->
                            Consistency.trainingAt path d f target t later x0 (0.9 * noise) })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.trigonometric ]
                    let! m = Draw.between 0.3 1.0
                    let! v = Draw.between 0.5 1.5
                    let! theta = Draw.between 0.5 1.5
                    let! t = Draw.between 0.3 0.6
                    let x0, noise, weight = pairs m v
                    let flow = gaussianFlow path m v
                    let n = int x0.Count
                    let frozen = family (Tensor.scalar Kind.Float64 theta)

                    let slope loss =
                        (Diff.grad
                            (fun theta -> Tensor.sum (weight * loss (family theta)))
                            (Tensor.scalar Kind.Float64 theta))
                            .ToFloat()

                    // Both from the same x_{t'}: what differs is how they get to t.
                    let difference (h: float) =
                        let early, late = many n t, many n (t + h)
                        let training g = f.Training path Distance.squared g frozen early late x0 noise
                        let x = Path.sample path late x0 noise
                        let distillation g = f.Distillation flow Distance.squared g frozen early late x
                        (slope training - slope distillation) / h, abs (slope distillation) / h

                    let coarse, size = difference 2e-3
                    let fine, _ = difference 1e-3

                    // Halving Δt halves the difference, unless it is nothing beside the gradient.
                    let error = if abs coarse < 1e-6 * size then 0.0 else abs (fine / coarse - 0.5)

                    return
                        { Error = error
                          Case = $"{path.Name}, N({m}, {v}), θ = {theta}, t = {t}: {coarse} and {fine} beside {size}" }
                } }

    let value =
        { Name = "consistency-training-value"
          Section = section
          Statement =
            "for f(t, x) = a(t) x and x₀ ~ N(0, v): E‖f(t', x_t') − f(t, x_t)‖² = (a'α' − aα)² v + (a'σ' − aσ)², which is not 0 for the exact f"
          Reference = "Song et al. 2023, Consistency models, eq. 10; the Gaussian integral"
          Tolerance = 1e-10
          Cases = 20
          Check =
            Check.against (fun library ->
                { library with
                    Training =
                        fun path d f target t later x0 noise ->
                            Consistency.trainingAt path d f target t later x0 (1.01 * noise) })
            <| fun f ->
                gen {
                    let! path, _, v, t, later = setting
                    let x0, noise, weight = pairs 0.0 v
                    let n = int x0.Count
                    let struct (alpha, sigma) = Path.alphaSigma path t
                    let struct (alpha', sigma') = Path.alphaSigma path later
                    let flow = gaussianFlow path 0.0 v
                    let exact: Field = fun t x -> flow t (many x.Shape[0] (fst path.Interior)) x
                    let gain time = (exact (many 1 time) (Tensor.full Kind.Float64 [ 1; 1 ] 1.0)).ToFloat()
                    let loss = f.Training path Distance.squared exact exact (many n t) (many n later) x0 noise
                    let mean = (Tensor.sum (weight * loss)).ToFloat()
                    let a, a' = gain t, gain later
                    let closed = (a' * alpha' - a * alpha) ** 2.0 * v + (a' * sigma' - a * sigma) ** 2.0

                    return
                        { Error = Measure.difference mean closed / (1e-3 + closed)
                          Case = $"{path.Name}, v = {v}, {t} ← {later}: {closed}" }
                } }

    let tangent =
        { Name = "consistency-tangent-zero"
          Section = section
          Statement = "for the exact f = cos θ x − sin θ F the tangent g = cos θ df/dθ along the flow is 0"
          Reference = "Lu, Song 2024, Simplifying continuous-time consistency models, eq. 6"
          Tolerance = 1e-9
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with Tangent = fun v -> MapMatching.tangent 1.0 (fun t x -> 1.01 * v t x) })
            <| fun f ->
                gen {
                    let path = Path.trigonometric
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! t = Draw.between 0.05 0.95
                    let! r = Draw.rng
                    let flow = gaussianFlow path m v
                    let x = Draw.vectors r "x" [ 5; 1 ]

                    // F of the exact function: (cos θ x − f)/sin θ.
                    let exact: Field =
                        fun t x ->
                            let at (curve: Curve) = Tensor.perSample x (Curve.values curve t)
                            (at path.Alpha * x - flow t (Tensor.zerosLike t) x) / at path.Sigma

                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])

                    let struct (said, wanted) = f.Tangent (Mixture.velocity path law) exact exact (many 5 t) x
                    return { Error = Measure.apart said wanted; Case = $"N({m}, {v}), t = {t}" }
                } }

    let all = [ boundary; distilled; gradients; value; tangent ]
