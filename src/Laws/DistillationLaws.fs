namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Students of models: in half as many steps, in one evaluation of a guided one, and by the pairs of a flow.
module DistillationLaws =

    let private section = "Distillation"
    let private scalar (value: float) = Tensor.scalar Kind.Float64 value

    let private levels (path: GaussianPath) (t: float) =
        let struct (alpha, sigma) = Path.alphaSigma path t
        if t = 0.0 then scalar 1.0, scalar 0.0 else scalar alpha, scalar sigma

    let progressive =
        { Name = "progressive-step"
          Section = section
          Statement = "one step of DDIM with x̃ arrives where two steps of the teacher do"
          Reference = "Salimans, Ho 2022, Progressive distillation, algorithm 2"
          Tolerance = 1e-12
          Cases = 100
          Check =
            Check.guarding Progressive.target (fun (alphaT, sigmaT) (alphaS, sigmaS) z arrived ->
                // The signal that the state keeps by itself is forgotten.
                (arrived - sigmaS / sigmaT * z) / alphaS + 0.0 * alphaT)
            <| fun target ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.vp; Path.trigonometric ]
                    let! law = Draw.mixture
                    let! t = Draw.between 0.3 0.98
                    let! steps = Draw.oneOf [ 1; 2; 4 ]
                    let! r = Draw.rng
                    let span = t / float steps
                    // The last step of all goes to the data.
                    let times = [ t; t - 0.5 * span; (if steps = 1 then 0.0 else t - span) ]
                    let z = Draw.vectors r "z" [ 4; law.Dimension ]
                    let teacher (t: float) = Mixture.denoiser path law (scalar t)
                    let at = List.map (levels path) times
                    let half = Progressive.ddim (teacher times[0] z) at[0] at[1] z
                    let arrived = Progressive.ddim (teacher times[1] half) at[1] at[2] half
                    let student = target at[0] at[2] z arrived

                    return
                        { Error = Measure.apart (Progressive.ddim student at[0] at[2] z) arrived
                          Case = $"{path.Name}, {times}" }
                } }

    let secondOrder =
        { Name = "progressive-second-order"
          Section = section
          Statement =
            "steps of DDIM with the first round's target of order 2 are of order 2: their error falls by four where the step is halved"
          Reference = "Lu et al. 2023, DPM-Solver++, algorithm 1 and appendix B"
          Tolerance = 0.35
          Cases = 12
          Check =
            Check.guarding Progressive.secondOrder (fun _ _ _ now _ ->
                // What the model says at the beginning alone: DDIM's own step, of the first order.
                now)
            <| fun target ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! law = Draw.mixture
                    let! t = Draw.between 0.4 0.7
                    let! r = Draw.rng
                    let z = Draw.vectors r "z" [ 4; law.Dimension ]
                    let teacher (t: float) = Mixture.denoiser path law (scalar t)

                    let stepped (count: int) =
                        let h = 0.2 / float count

                        Seq.fold
                            (fun z k ->
                                let times = [ for part in [ 0.0; 0.5; 1.0 ] -> t - (float k + part) * h ]
                                let at = List.map (levels path) times
                                let now = teacher times[0] z
                                let middle = teacher times[1] (Progressive.ddim now at[0] at[1] z)
                                Progressive.ddim (target at[0] at[1] at[2] now middle) at[0] at[2] z)
                            z
                            (seq { 0 .. count - 1 })

                    // Errors fall by 2² where the step is halved, once the steps are short: by the differences of 8, 16 and 32 steps.
                    let a, b, c = stepped 8, stepped 16, stepped 32
                    let order = log (Measure.apart a b / Measure.apart b c) / log 2.0
                    return { Error = abs (order - 2.0); Case = $"{path.Name}, from {t}: order {order}" }
                } }

    let rounds =
        { Name = "progressive-rounds"
          Section = section
          Statement =
            "for one Gaussian N(m, v), after k rounds N/2^k steps of the student make of σ ε what N steps of DDIM do: x − m of factors α_s c + (σ_s/σ_t)(1 − α_t c), c = α_t v/(α_t² v + σ_t²)"
          Reference = "Salimans, Ho 2022, algorithm 2; the Gaussian's denoiser"
          Tolerance = 1e-10
          Cases = 30
          Check =
            Check.guarding Progressive.target (fun from until z arrived ->
                Progressive.target from until z arrived * 1.01)
            <| fun target ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! count = Draw.oneOf [ 2; 4; 8 ]
                    let! r = Draw.rng
                    let times = Progressive.times path count
                    let at = times |> Array.map (levels path)
                    let law =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Tensor.ofArray [ 1; 1 ] [| m |])
                            (Tensor.ofArray [ 1; 1 ] [| sqrt v |])

                    // k ↦ z ↦ D at time k of the grid, of the teacher and of each student made of the one before.
                    let teacher (k: int) (z: Tensor) = Mixture.denoiser path law (scalar times[k]) z

                    let student (stride: int) (d: int -> Tensor -> Tensor) (k: int) (z: Tensor) =
                        let half = Progressive.ddim (d k z) at[k] at[k + stride] z
                        let arrived = Progressive.ddim (d (k + stride) half) at[k + stride] at[k + 2 * stride] half
                        target at[k] at[k + 2 * stride] z arrived

                    let rec distilled stride d = if stride = count then d else distilled (2 * stride) (student stride d)
                    let z = Draw.vectors r "z" [ 5; 1 ] * snd at[0]
                    let sample = Progressive.ddim (distilled 1 teacher 0 z) at[0] at[count] z

                    let number (x: Tensor) = x.ToFloat()

                    let factor k =
                        let a, s = number (fst at[k]), number (snd at[k])
                        let a', s' = number (fst at[k + 1]), number (snd at[k + 1])
                        let c = a * v / (a * a * v + s * s)
                        a' * c + s' / s * (1.0 - a * c)

                    let gain = Seq.fold (fun product k -> product * factor k) 1.0 [ 0 .. count - 1 ]
                    let closed = m + gain * (z - m * fst at[0])
                    return { Error = Measure.apart sample closed; Case = $"{path.Name}, N({m}, {v}), N = {count}" }
                } }

    let guided =
        { Name = "guided-target"
          Section = section
          Statement =
            "the target of a guided student is the teacher's prediction at guidance 1 + w, and at w = 0 that of the class alone"
          Reference = "Meng et al. 2023, On distillation of guided diffusion models, eq. 3; Ho, Salimans 2022, eq. 6"
          Tolerance = 1e-10
          Cases = 60
          Check =
            Check.guarding GuidedDistillation.target (fun network condition w ->
                // A weight that counts from the null.
                GuidedDistillation.target network condition (w - 1.0))
            <| fun target ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! w = Draw.between 0.0 4.0
                    let! apart = Draw.between 0.5 2.0
                    let! t = Draw.time
                    let! r = Draw.rng
                    let law =
                        Mixture.ofStds
                            [| 0.4; 0.6 |]
                            (Tensor.ofArray [ 2; 1 ] [| -apart; apart |])
                            (Tensor.ofArray [ 2; 1 ] [| 0.3; 0.5 |])
                    let model = Mixture.model path Prediction.data law
                    let x = Draw.vectors r "x" [ 4; 1 ]
                    let labels = Some(Tensor.ofArray [ 4 ] [| 0L; 1L; 1L; 0L |])
                    let at = Measure.at t
                    let times = ConsistencyLaws.many 4 t
                    let weights value = ConsistencyLaws.many 4 value
                    let truth = (Guidance.model (Guidance.scaled (1.0 + w)) model).Network labels at x
                    let plain = model.Network labels at x
                    let error = Measure.apart (target model.Network labels (weights w) times x) truth
                    let atZero = Measure.apart (target model.Network labels (weights 0.0) times x) plain
                    return { Error = max error atZero; Case = $"{path.Name}, w = {w}, ±{apart}, t = {t}" }
                } }

    /// The pairs of the exact flow of N(m, v) by 80 steps of the classical method, for n draws of it.
    let private gaussianPairs pair (n: int) (r: Rng) (m: float) (v: float) : GaussianPath * Mixture * Batch =
        let path = Path.condOT
        let rk4 = Samplers.all |> List.find (fun sampler -> sampler.Name = "rk4")
        let one (x: float) = Tensor.ofArray [ 1; 1 ] [| x |]
        let law = Mixture.ofStds [| 1.0 |] (one m) (one (sqrt v))
        let dynamics = Denoising(Mixture.model path Prediction.velocity law)
        let plan = { Generation.plan rk4 80 dynamics with Kind = Kind.Float64 }
        let data = Mixture.sample n (Rng.named "data" r) law
        path, law, pair plan path dynamics r { Data = data; Label = None; Source = None }

    let reflow =
        { Name = "reflow-pairs"
          Section = section
          Statement =
            "the pairs of an exact flow keep the data's law and never cost more than independent ones: x̂ is the flow's end, and E c(x̂ − ε) ≤ E c(x₀ − ε) for convex c"
          Reference = "Liu, Gong, Liu 2023, Flow straight and fast, theorems 3.3 and 3.5"
          Tolerance = 1e-6 // of the solver, of order 4, at 80 steps
          Cases = 12
          Check =
            Check.guarding Reflow.pair (fun plan path dynamics rng batch ->
                let made = Reflow.pair plan path dynamics rng batch
                let n = batch.Data.Shape[0]
                let order = Tensor.ofArray [ n ] [| for k in 0 .. n - 1 -> int64 (n - 1 - k) |]
                { made with Source = made.Source |> Option.map (Tensor.indexSelect 0 order) })
            <| fun pair ->
                gen {
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! r = Draw.rng
                    let n = 400
                    let path, law, (made: Batch) = gaussianPairs pair n r m v
                    let noise = made.Source.Value
                    // The flow between two Gaussians is the monotone map.
                    let end' = Measure.apart made.Data (m + sqrt v * noise)

                    // The same data met in another order: the pairs of one noise and independent data.
                    let apart (p: float) (x: Tensor) = (Tensor.mean ((abs (x - noise)) ** p)).ToFloat()
                    let independent = Tensor.indexSelect 0 (Rng.permutation n (Rng.named "order" r)) made.Data
                    let rise =
                        [ 1.0; 2.0; 4.0 ] |> List.map (fun p -> apart p made.Data - apart p independent) |> List.max

                    return { Error = max end' (max 0.0 rise); Case = $"N({m}, {v}): end {end'}, rise {rise}" }
                } }

    let straightening =
        { Name = "reflow-straightens"
          Section = section
          Statement =
            "S = ∫ E‖(x̂ − ε) + v‖² dt of the flow of one Gaussian N(m, v) is ∫ V̇²/4V dt − (1 − √v)², V = (1 − t)² v + t², and 0 for the flow that its pairs have"
          Reference = "Liu, Gong, Liu 2023, Flow straight and fast, section 2.2 and theorem 3.7"
          Tolerance = 1e-5 // of the quadrature, and of the solver at 80 steps
          Cases = 8
          Check =
            Check.guarding Reflow.pair (fun plan path dynamics rng batch ->
                let made = Reflow.pair plan path dynamics rng batch
                { made with Data = made.Data + 0.1 * Tensor.square made.Data })
            <| fun pair ->
                gen {
                    let! m = Draw.between -1.5 1.5
                    let! v = Draw.between 0.2 2.0
                    let! r = Draw.rng
                    let path, law, (made: Batch) = gaussianPairs pair 60 r m v
                    let x, noise = made.Data, made.Source.Value
                    let flow = ConsistencyLaws.gaussianFlow path m v
                    let middles = [ for k in 0..199 -> (float k + 0.5) / 200.0 ]
                    let squares (errors: float -> Tensor) =
                        middles |> List.averageBy (fun t -> (Tensor.mean (Tensor.square (errors t))).ToFloat())

                    // Of the flow itself, along its own trajectories.
                    let first =
                        squares (fun t ->
                            let on = flow (ConsistencyLaws.many 60 1.0) (ConsistencyLaws.many 60 t) noise
                            Mixture.velocity path law (scalar t) on - (noise - x))

                    // Of the pairs' flow: where no two of their lines meet it is the line through a point, and these are the lines that one linear map of noise has.
                    let slope = sqrt v - 1.0
                    let second =
                        squares (fun t ->
                            let on = (1.0 - t) * x + t * noise
                            let start = (on - (1.0 - t) * m) / (t + (1.0 - t) * sqrt v)
                            -m - slope * start - (noise - x))

                    let rate t =
                        let spread = (1.0 - t) * (1.0 - t) * v + t * t
                        let change = t - (1.0 - t) * v
                        change * change / spread
                    let closed = List.averageBy rate middles - (1.0 - sqrt v) ** 2.0
                    let drawn = (Tensor.mean (Tensor.square noise)).ToFloat()

                    return
                        { Error = Measure.worst [ Measure.difference first (closed * drawn); second ]
                          Case = $"N({m}, {v}): S falls from {first} to {second}" }
                } }

    let all = [ progressive; secondOrder; rounds; guided; reflow; straightening ]
