namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Jumps: their rates carry the marginals, given the data and without them, alone and beside a flow, on the line and on tokens.
module JumpLaws =

    let private section = "Jumps"

    // ---- on the line

    let private paths = Draw.oneOf [ Path.condOT; Path.trigonometric; Path.vp ]

    /// Places y [n; 1] that hold all of a law, and their spacing.
    let private places (path: GaussianPath) (reach: float) (t: float) =
        let struct (alpha, sigma) = Path.alphaSigma path t
        Quadrature.line (alpha * reach + 9.0 * sigma) 3001

    /// What jumps given the data x₀ [m] of these weights bring to places y in unit time less what they take: [n].
    let private balance
        (intensity: GaussianPath -> Tensor -> Tensor -> Tensor -> Tensor)
        (path: GaussianPath)
        (t: float)
        (x0: Tensor)
        (weights: Tensor)
        (struct (y: Tensor, h: float))
        : Tensor =
        let time = Measure.at t
        let x0 = Tensor.reshape [ 1; -1 ] x0
        let struct (alpha, sigma) = Path.alphaSigma path t
        let density = exp (-0.5 * Tensor.square ((y - alpha * x0) / sigma)) / (sigma * sqrt (2.0 * System.Math.PI))
        let leaving = intensity path time x0 y * density
        let landing = GeneratorMatching.landing path time x0 y
        let landing = landing / (h * Tensor.clamp 1e-300 infinity (Tensor.sumKeep [ 0 ] landing))
        Tensor.sumOver
            [ 1 ]
            (Tensor.reshape [ 1; -1 ] weights * (landing * (h * Tensor.sumKeep [ 0 ] leaving) - leaving))

    /// ∂_t of a function of time, where time is 0-dimensional.
    let private slope (f: Tensor -> Tensor) (t: float) : Tensor =
        Diff.gradv f (Measure.at t) (Tensor.ones Kind.Float64 [])

    let private generator = "Holderrieth et al. 2024, Generator matching, eq. 10 and table 1"

    let conditional =
        { Name = "jump-conditional-forward"
          Section = section
          Statement = "J(y|x₀) ∫λ(x|x₀) p_t(x|x₀) dx − λ(y|x₀) p_t(y|x₀) = −∂_t p_t(y|x₀)"
          Reference = generator
          // Of the rectangle rule where [·]₊ has corners.
          Tolerance = 1e-4
          Cases = 20
          Check =
            Check.guarding GeneratorMatching.intensity (fun path t x0 x ->
                1.05 * GeneratorMatching.intensity path t x0 x)
            <| fun intensity ->
                gen {
                    let! path = paths
                    let! t = Draw.between 0.15 0.85
                    let! datum = Draw.between -2.0 2.0
                    let struct (y, _) as line = places path 2.0 t
                    let said =
                        balance
                            intensity
                            path
                            t
                            (Tensor.ofArray [ 1 ] [| datum |])
                            (Tensor.ones Kind.Float64 [ 1 ])
                            line
                    let point =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| datum |])
                            (Tensor.ofArray [ 1; 1 ] [| 1e-9 |])
                    let truth = -(slope (fun t -> exp (Mixture.logDensity path point t y)) t)
                    return { Error = Measure.apart said truth; Case = $"{path.Name}, t = {t}, x₀ = {datum}" }
                } }

    /// The data of a mixture as so many points with weights.
    let private data (m: Mixture) =
        let struct (x, h) = Quadrature.line (Quadrature.reach m) 301
        struct (Tensor.flatten x, h * exp (Mixture.logDensityOfData m x))

    let private marginally name statement (share: float) =
        { Name = name
          Section = section
          Statement = statement
          Reference = generator
          Tolerance = 1e-4 // of the rectangle rule
          Cases = 10
          Check =
            Check.guarding GeneratorMatching.intensity (fun path t x0 x ->
                1.05 * GeneratorMatching.intensity path t x0 x)
            <| fun intensity ->
                gen {
                    let! path = paths
                    let! t = Draw.between 0.2 0.8
                    let! m = Draw.broad
                    let struct (y, _) as line = places path (Quadrature.reach m) t
                    let struct (x0, weights) = data m
                    let jumps = balance intensity path t x0 weights line
                    let at = Measure.at t

                    // −∇·(p v) dt of the flow, which generation follows the other way.
                    let flow =
                        if share = 0.0 then
                            Tensor.zerosLike jumps
                        else
                            let current (y: Tensor) =
                                Mixture.velocity path m at y * Tensor.unsqueeze 1 (exp (Mixture.logDensity path m at y))

                            Tensor.flatten (Diff.gradv current y (Tensor.onesLike y))

                    let said = share * flow + (1.0 - share) * jumps
                    let truth = -(slope (fun t -> exp (Mixture.logDensity path m t y)) t)
                    return { Error = Measure.apart said truth; Case = $"{path.Name}, t = {t}" }
                } }

    let marginal =
        marginally
            "jump-marginal-forward"
            "∫Q_t(y; x) p_t(x) dx − λ_t(y) p_t(y) = −∂_t p_t(y) for the means of the rates over x₀ given x_t"
            0.0

    let superposition =
        marginally
            "superposition-keeps-marginals"
            "a·∇·(p v) + (1 − a)·(∫Q(y; x) p(x) dx − λ p) = −∂_t p: a share of the flow beside the jumps"
            0.3

    // ---- tokens

    /// A law of d = 2 coordinates of K = 3 tokens, [9], and everything about it at time t.
    let private count = 3
    let private size = 2

    /// All states of the coordinates, int64 [S; 2], of so many values each.
    let private every (values: int) =
        Tensor.ofArray
            [ values * values; 2 ]
            [| for a in 0 .. values - 1 do
                   for b in 0 .. values - 1 do
                       int64 a
                       int64 b |]

    /// p(x_t | x₀) for all x₀ and all states, [9; S], with time 0-dimensional.
    let private conditionally (tokens: Tokens) (t: Tensor) : Tensor =
        let states = every (Tokens.states tokens)
        let x0 = Tensor.unsqueeze 1 (every count)
        let same = (Tensor.equal x0 (Tensor.unsqueeze 0 states)).To Dtype.Float64

        let source =
            match tokens.Source with
            | TokenSource.Uniform -> Tensor.full Kind.Float64 [ 1; states.Shape[0]; size ] (1.0 / float count)
            | TokenSource.Mask -> Tensor.unsqueeze 0 ((Tensor.greaterThan (float count - 0.5) states).To Dtype.Float64)

        let each = (1.0 - t) * same + t * source
        Tensor.select 2 0 each * Tensor.select 2 1 each

    /// log p(x₀ⁱ = k | x_t), [S; K; 2], by Bayes.
    let private posterior (tokens: Tokens) (law: Tensor) (t: float) : Tensor =
        let joint = Tensor.unsqueeze 1 law * conditionally tokens (Measure.at t)
        let given = joint / Tensor.clamp 1e-300 infinity (Tensor.sumKeep [ 0 ] joint)
        let marked = Nn.oneHot count (every count)
        log (Tensor.clamp 1e-300 infinity (Linalg.einsum "xs,xik->ski" [ given; marked.To Dtype.Float64 ]))

    let private drawn =
        gen {
            let! source = Draw.oneOf [ TokenSource.Mask; TokenSource.Uniform ]
            let! r = Draw.rng
            let weights = Rng.uniform Kind.Float64 [ count * count ] r + 0.05
            let tokens: Tokens = { Count = count; Bound = 1.0; Source = source }
            return struct (tokens, weights / Tensor.sum weights)
        }

    /// p_t of every state at time t, 0-dimensional.
    let private marginalOf (tokens: Tokens) (law: Tensor) (t: Tensor) : Tensor =
        Linalg.matmul (Tensor.unsqueeze 0 law) (conditionally tokens t) |> Tensor.flatten

    /// What rates [S; K; 2] of jumps of one coordinate to a token bring to each state in unit time less what they take, of masses p [S].
    let private moved (tokens: Tokens) (rates: Tensor) (p: float[]) : float[] =
        let values = Tokens.states tokens
        let flat = Tensor.toFloats rates
        let change = Array.zeroCreate p.Length

        for s in 0 .. p.Length - 1 do
            let own = [| s / values; s % values |]

            for k in 0 .. count - 1 do
                for i in 0..1 do
                    let until = if i = 0 then k * values + own[1] else own[0] * values + k
                    let flow = flat[(s * count + k) * 2 + i] * p[s]
                    change[s] <- change[s] - flow
                    change[until] <- change[until] + flow

        change

    let forward =
        { Name = "discrete-forward"
          Section = section
          Statement =
            "Σ_y u(x, y) p_t(y) − u(y, x) p_t(x) = −∂_t p_t(x): the rates 1/t · p(x₀ⁱ | x_t) carry the marginals of tokens"
          Reference = "Gat et al. 2024, Discrete flow matching, theorem 2"
          Tolerance = 1e-10
          Cases = 20
          Check =
            Check.guarding DiscreteFlow.rates (fun tokens t states logs ->
                DiscreteFlow.rates tokens (1.02 * t) states logs)
            <| fun rates ->
                gen {
                    let! struct (tokens, law) = drawn
                    let! t = Draw.between 0.1 0.9
                    let states = every (Tokens.states tokens)
                    let p = Tensor.toFloats (marginalOf tokens law (Measure.at t))
                    let change = moved tokens (rates tokens t states (posterior tokens law t)) p
                    let truth = -(slope (marginalOf tokens law) t)
                    return
                        { Error = Measure.apart (Tensor.ofArray [ p.Length ] change) truth
                          Case = $"{tokens.Source}, t = {t}" }
                } }

    let corrector =
        { Name = "discrete-corrector"
          Section = section
          Statement =
            "(t − s)/(1 − s) is what makes p_t of p_s, coordinate by coordinate; its rate 1/(1 − t) back to the source and the rates on to the data cancel on p_t: a correction keeps the marginals"
          Reference = "Campbell et al. 2022, A continuous time framework for discrete denoising models, proposition 4"
          Tolerance = 1e-9
          Cases = 20
          Check =
            Check.guarding DiscreteFlow.fading (fun s t -> 1.02 * DiscreteFlow.fading s t)
            <| fun fading ->
                gen {
                    let! struct (tokens, law) = drawn
                    let! t = Draw.between 0.2 0.9
                    let! share = Draw.between 0.1 0.9
                    let s = share * t
                    let values = Tokens.states tokens
                    let source =
                        Array.init values (fun k ->
                            match tokens.Source with
                            | TokenSource.Uniform -> 1.0 / float count
                            | TokenSource.Mask -> if k = count then 1.0 else 0.0)

                    // Both coordinates by themselves: [from; to].
                    let kernel (gone: float) =
                        Array.init (values * values) (fun at ->
                            let from, until = at / values, at % values
                            (if from = until then 1.0 - gone else 0.0) + gone * source[until])
                        |> Tensor.ofArray [ values; values ]

                    let p (time: float) = Tensor.reshape [ values; values ] (marginalOf tokens law (Measure.at time))
                    let by = kernel (fading s t)
                    let led = Linalg.matmul (Linalg.matmul (Tensor.transpose 0 1 by) (p s)) by
                    let apart = (Tensor.max (abs (led - p t))).ToFloat()

                    // The generators of both ways on p_t.
                    let states = every values
                    let now = Tensor.flatten (p t)
                    let rates = DiscreteFlow.rates tokens t states (posterior tokens law t)
                    let onwards = Tensor.ofArray [ values * values ] (moved tokens rates (Tensor.toFloats now))
                    let h = 1e-3 * (1.0 - t)
                    // `fading` is linear in where it leads: the quotient is its slope.
                    let rate = fading t (t + h) / h
                    let off = kernel 1.0 - Tensor.eye Kind.Float64 values
                    let back = Linalg.matmul (Tensor.transpose 0 1 off) (p t) + Linalg.matmul (p t) off
                    let balance = onwards + rate * Tensor.flatten back

                    return
                        { Error = Measure.worst [ apart; (Tensor.max (abs balance)).ToFloat() ]
                          Case = $"{tokens.Source}, s = {s}, t = {t}" }
                } }

    let bound =
        { Name = "discrete-bound"
          Section = section
          Statement =
            "∫₀¹ E[rate of the bound | x₀] dt ≥ −log p(x₀), with equality for masks where the network is exact"
          Reference = "Shaul et al. 2024, Flow matching with general discrete paths, eq. 21"
          Tolerance = 1e-6 // of the quadrature next to t = 0, where the rates are 1/t
          Cases = 10
          Check =
            Check.guarding DiscreteFlow.boundRate (fun tokens t x0 states logs ->
                DiscreteFlow.boundRate tokens t x0 states logs * 0.98)
            <| fun rate ->
                gen {
                    let! struct (tokens, law) = drawn
                    let! r = Draw.rng
                    let states = every (Tokens.states tokens)
                    let n = states.Shape[0]
                    let x0 = every count
                    let m = x0.Shape[0]

                    /// The bound of every x₀ where the network's logarithms are off by so much, [9].
                    let bound (off: float) =
                        let wrong = off * Draw.vectors r "off" [ n; count; size ]

                        let at (t: float) =
                            let logs = Nn.logSoftmax 1 (posterior tokens law t + wrong)
                            let them = Tensor.repeat [ m; 1 ] states
                            let times = Tensor.full Kind.Float64 [ m * n ] t

                            let said =
                                rate tokens times (Tensor.repeatInterleave n 0 x0) them (Tensor.repeat [ m; 1; 1 ] logs)

                            Tensor.sumOver [ 1 ] (conditionally tokens (Measure.at t) * Tensor.reshape [ m; n ] said)

                        let values = System.Collections.Generic.Dictionary<float, float[]>()

                        let value (k: int) (t: float) =
                            match values.TryGetValue t with
                            | true, all -> all[k]
                            | _ ->
                                values[t] <- Tensor.toFloats (at t)
                                values[t][k]

                        Array.init m (fun k -> Quadrature.integrate 12 (value k) 0.0 1.0)

                    let truth = Tensor.toFloats (-(log law))
                    let missing (said: float[]) = Array.map2 (-) truth said |> Array.max

                    let error =
                        match tokens.Source with
                        | TokenSource.Mask -> Array.map2 (fun a b -> abs (a - b)) (bound 0.0) truth |> Array.max
                        | TokenSource.Uniform -> missing (bound 0.0)

                    // A wrong network makes some data likelier than they are; not the mean of all.
                    let inMean =
                        Array.map3 (fun p truth said -> p * (truth - said)) (Tensor.toFloats law) truth (bound 0.5)
                        |> Array.sum

                    return { Error = Measure.worst [ error; inMean ]; Case = $"{tokens.Source}" }
                } }

    let all = [ conditional; marginal; superposition; forward; corrector; bound ]
