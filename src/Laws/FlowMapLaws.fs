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

    let private identity name statement reference (identity: Identity) (wrong: Formulas -> Formulas) =
        { Name = name
          Section = section
          Statement = statement
          Reference = reference
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
          Reference = "Geng et al. 2025, Mean flows, section 4.1"
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

    /// A Gaussian in two dimensions, its flow map's mean velocity, and what its log-determinant changes by in a unit of time, divided by 2.
    let private withLogDeterminant (path: GaussianPath) (m: float) (v: float) =
        let flow = ConsistencyLaws.gaussianFlow path m v
        let deviation = sqrt ((v * (path.Alpha ** 2.0)) + path.Variance)

        fun (times: Tensor) (x: Tensor) ->
            let t, s = both times
            let mean = (flow t s x - x) / Tensor.perSample x (s - t)
            let rate = (log (Curve.values deviation s) - log (Curve.values deviation t)) / (s - t)
            // A network of this kind says both beside each other, and the second's mean counts.
            Tensor.cat 1 [ mean; Tensor.expand x.Shape (Tensor.unsqueeze 1 rate) ]

    let logDeterminant =
        { Name = "flow-map-log-determinant"
          Section = section
          Statement =
            "log |det ∂X/∂x| of t → m → s add up to that of t → s, and log p(x) = log p₁(X(0, 1, x)) + log |det|"
          Reference = "Ai et al. 2025, Joint distillation for fast likelihood evaluation and sampling, section 3"
          Tolerance = 1e-10
          Cases = 60
          Check =
            Check.guarding (FlowMap.carry Kind.Float64) (fun map ->
                // The determinant of one coordinate.
                FlowMap.carry Kind.Float64 map
                >> fun carry times x -> carry times x |> Option.map (fun (struct (y, sum)) -> struct (y, 0.5 * sum)))
            <| fun carry ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.trigonometric ]
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! cut = Draw.between 0.1 0.9
                    let! r = Draw.rng
                    let x = Draw.vectors r "x" [ 5; 2 ]
                    let network = withLogDeterminant path m v
                    let output = NetworkOutput.MeanVelocity(1.0, 0.0, true)

                    match NetworkOutput.dynamics path output (fun _ -> network) with
                    | Mapping map ->
                        let find times =
                            match carry map None times x with
                            | Some(struct (latent, sum)) -> Likelihood.gaussian 1.0 latent + sum
                            | None -> invalidOp "the map has a log-determinant"

                        let law =
                            Mixture.ofStds
                                [| 1.0 |]
                                (Tensor.ofArray [ 1; 2 ] [| m; m |])
                                (Tensor.ofArray [ 1; 2 ] [| sqrt v; sqrt v |])

                        let truth = Mixture.logDensityOfData law x
                        let error =
                            max
                                (Measure.apart (find [| 0.0; 1.0 |]) truth)
                                (Measure.apart (find [| 0.0; cut; 1.0 |]) truth)
                        return { Error = error; Case = $"{path.Name}, N({m}, {v}), by {cut}" }
                    | _ -> return { Error = infinity; Case = "no map" }
                } }

    /// On the dyadic grid the recursion of shortcut models comes down to Euler's steps of the velocity.
    let shortcut =
        { Name = "shortcut-telescopes"
          Section = section
          Statement =
            "on the dyadic grid u_ts of 2^k Euler steps of v has no loss under u = ½ (u_tm + u_ms) with u of the shortest half-jumps v"
          Reference = "Frans et al. 2024, One step diffusion via shortcut models, section 3"
          Tolerance = 1e-20 // a squared rounding error
          Cases = 20
          Check =
            Check.guarding (Pairs.dyadic 3) Pairs.ordered
            <| fun pairs ->
                gen {
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! r = Draw.rng
                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])
                    let velocity = Mixture.velocity Path.condOT law

                    // Euler steps of an eighth of the way from t to s, and the velocity at once where they are one.
                    let euler: Field =
                        fun times x ->
                            let t, s = both times
                            let one (i: int) =
                                let from, until = (Tensor.toFloats t)[i], (Tensor.toFloats s)[i]
                                let count = max 1 (int (System.Math.Round((from - until) * 8.0)))
                                let h = (until - from) / float count
                                let x = Tensor.narrow 0 i 1 x
                                let at k = many 1 (from + float k * h)
                                let sum (x: Tensor, total: Tensor) k =
                                    let slope = velocity (at k) x
                                    x + h * slope, total + slope
                                snd (Seq.fold sum (x, Tensor.zerosLike x) [ 0 .. count - 1 ]) / float count
                            Tensor.cat 0 [ for i in 0 .. x.Shape[0] - 1 -> one i ]

                    let loss = MapMatching.loss { MapMethods.shortcut Path.condOT with Pairs = pairs; Instants = 0.0 }

                    let batch: Batch =
                        { Data = Mixture.sample 12 (Rng.named "data" r) law; Label = None; Source = None }

                    let each = loss (LossContext.ofNetwork (fun _ -> euler)) r batch
                    return { Error = (Tensor.max each).ToFloat(); Case = $"N({m}, {v})" }
                } }

    let eulerianSelf =
        { Name = "eulerian-self-distillation"
          Section = section
          Statement =
            "the exact map, whose velocity is u_tt, has no loss under the Eulerian identity with its own velocity"
          Reference = "Boffi, Albergo, Vanden-Eijnden 2025, How to build a consistency model, section 3"
          Tolerance = 1e-18 // a squared rounding error
          Cases = 20
          Check =
            Check.guarding MapMethods.eulerianSelf (fun path ->
                // Each sample's own velocity instead of the flow's: right in the mean, and not for each.
                { MapMethods.eulerianSelf path with Velocity = Tangent.OfSample })
            <| fun method ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.trigonometric; Path.vp ]
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! r = Draw.rng
                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])
                    let flow = ConsistencyLaws.gaussianFlow path m v

                    let exact: Field =
                        fun times x ->
                            let t, s = both times
                            let isOne = Tensor.lessThan 1e-12 (abs (s - t))
                            let apart = Tensor.perSample x (Tensor.where isOne (Tensor.onesLike t) (s - t))
                            let one = Tensor.perSample x (isOne.To Dtype.Float64)
                            one * Mixture.velocity path law t x + (1.0 - one) * (flow t s x - x) / apart

                    let loss = MapMatching.loss { method path with Instants = 0.0 }

                    let batch: Batch =
                        { Data = Mixture.sample 20 (Rng.named "data" r) law; Label = None; Source = None }

                    let each = loss (LossContext.ofNetwork (fun _ -> exact)) r batch
                    return { Error = (Tensor.max each).ToFloat(); Case = $"{path.Name}, N({m}, {v})" }
                } }

    let all = [ lagrangian; eulerian; semigroup; meanFlow; logDeterminant; shortcut; eulerianSelf ]
