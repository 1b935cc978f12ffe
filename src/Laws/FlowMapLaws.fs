namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Flow maps: the identities that the exact map of a Gaussian's flow has, and what MeanFlow's sample-wise velocity averages to.
module FlowMapLaws =

    let private section = "Flow maps"
    let private many = ConsistencyLaws.many

    /// Both times of a pair, [B] each.
    let private both (times: Tensor) =
        Tensor.flatten (Tensor.narrow 1 0 1 times), Tensor.flatten (Tensor.narrow 1 1 1 times)

    let private identity name statement source (identity: Identity) (wrong: Formulas -> Formulas) =
        { Name = name
          Section = section
          Statement = statement
          Source = source
          Tolerance = 1e-9
          Cases = 60
          Check =
            Check.against wrong
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.vp; Path.trigonometric ]
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! s = Draw.between 0.05 0.6
                    let! apart = Draw.between 0.05 0.35
                    let! share = Draw.between 0.1 0.9
                    let! r = Draw.rng
                    let flow = ConsistencyLaws.gaussianFlow path m v
                    let n = 5
                    let x = Draw.vectors r "x" [ n; 1 ]

                    let exact: Field =
                        fun times x ->
                            let t, s = both times
                            (flow t s x - x) / Tensor.perSample x (s - t)

                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])

                    let at = many n
                    let t = s + apart
                    let velocity = Mixture.velocity path law
                    let struct (said, wanted) =
                        f.MapSides identity velocity exact exact (at t) (at (s + share * apart)) (at s) x

                    return
                        { Error = Measure.apart said wanted
                          Case = $"{path.Name}, N({m}, {v}), {t} → {s}, share {share}" }
                } }

    let private maps = "Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching"

    let lagrangian =
        identity
            "flow-map-lagrangian"
            "∂_s X(t, s, x) = v(s, X(t, s, x)) for the exact flow map"
            maps
            Identity.Lagrangian
            (fun library ->
                { library with MapSides = fun identity v -> MapMatching.sides identity (fun t x -> 1.01 * v t x) })

    let eulerian =
        identity
            "flow-map-eulerian"
            "u = v + (s − t) (∂_t u + ∇u v) for its mean velocity, u = (X(t, s, x) − x)/(s − t)"
            "Geng et al. 2025, Mean flows, eq. 6"
            Identity.Eulerian
            (fun library ->
                { library with MapSides = fun identity v -> MapMatching.sides identity (fun t x -> 1.01 * v t x) })

    let semigroup =
        identity
            "flow-map-semigroup"
            "(s − t) u_ts(x) = (m − t) u_tm(x) + (s − m) u_ms(X(t, m, x)): two jumps make one"
            maps
            Identity.Semigroup
            (fun library ->
                { library with
                    MapSides = fun identity v u fixed' -> MapMatching.sides identity v u (fun t x -> 1.01 * fixed' t x) })

    let meanFlow =
        { Name = "meanflow-target"
          Section = section
          Statement =
            "E[φ(x_t) (ẋ_t + (s − t) (∂_t u + ∇u ẋ_t))] is the same with v(t, x_t) for ẋ_t, whatever u and φ: each sample's own velocity will do"
          Source = "Geng et al. 2025, Mean flows, section 4.1"
          Tolerance = 1e-8 // of the quadrature
          Cases = 30
          Check =
            Check.against (fun library ->
                // The velocity along which the map is differentiated, and not the one that it is added to.
                { library with
                    MapSides =
                        fun identity v u fixed' t m s x ->
                            let struct (said, wanted) = MapMatching.sides identity v u fixed' t m s x
                            struct (said, wanted + 0.1 * Tensor.square (v t x)) })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.trigonometric ]
                    let! m = Draw.between 0.3 1.0
                    let! v = Draw.between 0.5 1.5
                    let! t = Draw.between 0.4 0.9
                    let! s = Draw.between 0.05 0.3
                    let! gain = Draw.between 0.5 1.5
                    let x0, noise, weight = ConsistencyLaws.pairs m v
                    let n = int x0.Count
                    let at = many n
                    let x = Path.sample path (at t) x0 noise
                    let slope (curve: Curve) = Curve.eval (Curve.derivative curve) t
                    let moving = slope path.Alpha * x0 + slope path.Sigma * noise
                    // Any smooth function of both times and the state.
                    let u: Field =
                        fun times x ->
                            let t, s = both times
                            sin (gain * x) * Tensor.perSample x t + Tensor.perSample x (s * t)

                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])

                    let mean (velocity: Field) =
                        let struct (_, wanted) = f.MapSides Identity.Eulerian velocity u u (at t) (at s) (at s) x
                        (Tensor.sum (weight * Tensor.flatten (cos x * wanted))).ToFloat()

                    let ofSamples, ofFlow = mean (fun _ _ -> moving), mean (Mixture.velocity path law)

                    return
                        { Error = Measure.difference ofSamples ofFlow
                          Case = $"{path.Name}, N({m}, {v}), {t} → {s}, gain {gain}: {ofSamples} and {ofFlow}" }
                } }

    let all = [ lagrangian; eulerian; semigroup; meanFlow ]
