namespace Fokker.Laws

open System
open FsCheck
open FsCheck.FSharp
open Fokker

/// What steering makes of laws that are known: the exact posterior of a mixture, and the methods where they are exact.
module SteeringLaws =

    let private section = "Steering"

    /// A matrix [m; d] with m ≤ d, a noise, and y that the mixture may well give.
    let private observing (m: Mixture) =
        gen {
            let d = m.Dimension
            let! rows = Gen.choose (1, d)
            let! r = Draw.rng
            let! noise = Draw.between 0.1 0.8
            let a = Draw.vectors r "a" [ rows; d ]
            let x0 = Mixture.sample 1 (Rng.named "x0" r) m
            let y = Linalg.matmul x0 (Tensor.transpose 0 1 a) + noise * Draw.vectors r "n" [ 1; rows ]
            return a, noise, Tensor.flatten y
        }

    let private sensorOf (d: int) (a: Tensor) (noise: float) : Sensor =
        Sensor.make [ d ] (Observation.make (Operator.Matrix a) noise)

    let bayes =
        { Name = "posterior-bayes"
          Section = section
          Statement = "log p(x₀ | y) = log p(x₀) + log N(y; A x₀, s² I) − log p(y), at every x₀"
          Reference = "Bayes; Bishop 2006, Pattern recognition and machine learning, section 2.3.3"
          Tolerance = 1e-8 // covariances with eigenvalues of 0.05, inverted
          Cases = 60
          Check =
            Check.guarding Conditioning.observed (fun a noise -> Conditioning.observed a (1.2 * noise))
            <| fun observed ->
                gen {
                    let! m = Draw.mixture
                    let! a, noise, y = observing m
                    let! r = Draw.rng
                    let x = Mixture.sample 5 (Rng.named "x" r) m
                    let posterior = observed a noise y m
                    let likelihood = Sensor.logLikelihood (sensorOf m.Dimension a noise) (Tensor.unsqueeze 0 y) x

                    return
                        { Error =
                            Measure.apart
                                (Mixture.logDensityOfData posterior.Law x)
                                (Mixture.logDensityOfData m x + likelihood - posterior.LogEvidence)
                          Case =
                            $"{m.Components} components in {m.Dimension} dimensions, {a.Shape[0]} observed, s = {noise}" }
                } }

    let tilt =
        { Name = "tilted-mixture"
          Section = section
          Statement = "log p(x₀) + λ r(x₀) − log E e^{λ r} is again the log-density of a mixture, r linear or quadratic"
          Reference = "completing the square; Wu et al. 2023, section 3"
          Tolerance = 1e-8 // covariances with eigenvalues of 0.05, inverted
          Cases = 60
          Check =
            Check.guarding Conditioning.tilted (fun tilt -> Conditioning.tilted (-tilt))
            <| fun tilted ->
                gen {
                    let! m = Draw.mixture
                    let! r = Draw.rng
                    let! tilt = Draw.between 0.3 1.5
                    let! isLinear = Gen.elements [ true; false ]
                    let d = m.Dimension
                    let w = Draw.vectors r "w" [ d ]
                    let half = Draw.vectors r "q" [ d; d ]
                    // Negative: the tilt has a mean whatever the covariances are.
                    let q = -0.3 * Linalg.matmul half (Tensor.transpose 0 1 half)
                    let reward = Reward.quadratic w (if isLinear then None else Some q)
                    let law = tilted tilt w (if isLinear then None else Some q) m
                    let x = Mixture.sample 5 (Rng.named "x" r) m

                    return
                        { Error =
                            Measure.apart
                                (Mixture.logDensityOfData law.Law x)
                                (Mixture.logDensityOfData m x + tilt * reward.Value x - law.LogEvidence)
                          Case = $"{reward.Name} in {d} dimensions, λ = {tilt}" }
                } }

    let adjoint =
        { Name = "observation-adjoint"
          Section = section
          Statement = "⟨A x, v⟩ = ⟨x, Aᵀ v⟩ for every observation, and its matrix says the same"
          Reference = "the definition of an adjoint"
          Tolerance = 1e-12
          Cases = 60
          Check =
            Check.guarding Sensor.make (fun shape observation ->
                let sensor = Sensor.make shape observation
                { sensor with
                    Linear = sensor.Linear |> Option.map (fun (along, adjoint) -> along, adjoint >> (*) 2.0) })
            <| fun make ->
                gen {
                    let! r = Draw.rng
                    let shape = [ 3; 4; 6 ]

                    let! operator =
                        Gen.elements
                            [ Operator.Matrix(Draw.vectors r "matrix" [ 5; 72 ])
                              Operator.Mask(Tensor.greaterThan 0.0 (Draw.vectors r "mask" [ 4; 6 ]))
                              Operator.Coordinates [ 3; 0; 40 ]
                              Operator.Average 2
                              Operator.Blur 1.3
                              Operator.Grey
                              Operator.Linear(fun x -> Tensor.flip [ 3 ] x + Tensor.meanKeep [ 2 ] x) ]

                    let sensor: Sensor = make shape (Observation.make operator 0.1)
                    let along, adjoint = sensor.Linear.Value
                    let x = Draw.vectors r "x" (2 :: shape)
                    let v = Draw.vectors r "v" (2 :: sensor.Output)
                    let inner a b = Tensor.sumRows (Tensor.flattenRows (a * b))
                    let matrix, _ = Sensor.matrixOf sensor
                    let rows = Tensor.transpose 0 1 (Tensor.flattenRows (Sensor.basis sensor))
                    let seen = Linalg.matmul (Tensor.flattenRows (along x)) rows

                    return
                        { Error =
                            Measure.worst
                                [ Measure.apart (inner (along x) v) (inner x (adjoint v))
                                  Measure.apart
                                      seen
                                      (Linalg.matmul (Tensor.flattenRows x) (Tensor.transpose 0 1 matrix)) ]
                          Case = sensor.Name }
                } }

    let conjugate =
        { Name = "conjugate-gradients"
          Section = section
          Statement = "as many steps of conjugate gradients as there are unknowns solve A x = b"
          Reference = "Hestenes, Stiefel 1952"
          Tolerance = 1e-8 // condition numbers up to a hundred
          Cases = 60
          Check =
            Check.guarding Steering.conjugateGradients (fun n -> Steering.conjugateGradients (n - 1))
            <| fun solve ->
                gen {
                    let! r = Draw.rng
                    let! d = Gen.choose (2, 6)
                    let half = Draw.vectors r "half" [ d; d ]
                    let a = Linalg.matmul half (Tensor.transpose 0 1 half) + 0.2 * Tensor.eye Kind.Float64 d
                    let b = Draw.vectors r "b" [ 3; d ]
                    let x = solve d (fun x -> Linalg.matmul x a) b
                    return { Error = Measure.apart (Linalg.matmul x a) b; Case = $"{d} unknowns" }
                } }

    /// E[x₀ | x_t, y] by a method, beside that of the exact posterior.
    let private denoisers (method: SteeringMethod) (m: Mixture) (path: GaussianPath) (a, noise, y: Tensor) t x =
        let model = Mixture.model path Prediction.velocity m
        let target = SteeringTarget.Observed(sensorOf m.Dimension a noise, Tensor.unsqueeze 0 y)

        let steered =
            match method.Way with
            | Corrects make -> Steering.corrected (make false target).Correct model
            | Wraps _
            | Weighs _ -> failwith $"{method.Name} corrects no denoiser"

        let exact = Mixture.denoiser path (Conditioning.observed a noise y m).Law t x
        Measure.apart (Model.denoiser steered None t x) exact

    let moments =
        { Name = "mmps-gaussian"
          Section = section
          Statement = "MMPS has the posterior of one Gaussian exactly, on every path"
          Reference = "Rozet, Andry, Lanusse, Louppe 2024, Learning diffusion priors from observations, section 4.1"
          Tolerance = 1e-7 // solves with V down to 1e-3 and conversions that divide by determinants down to 1e-2
          Cases = 60
          Check =
            Check.guarding Steering.mmpsWith (fun _ -> Steering.pigdm)
            <| fun mmps ->
                gen {
                    let! m = Draw.mixture
                    let m = Mixture.ofClass 0 m
                    let! a, noise, y = observing m
                    let! path = Draw.path
                    let! time = Draw.time
                    let! r = Draw.rng
                    let x = Mixture.sampleAt path time 3 (Rng.named "x" r) m

                    return
                        { Error = denoisers (mmps 8) m path (a, noise, y) (Measure.at time) x
                          Case = $"{path.Name} at t = {time}, {a.Shape[0]} of {m.Dimension} observed" }
                } }

    /// How far a method is from the posterior of one isotropic Gaussian of deviation c; `exact` makes it for a path, a time and c.
    let private isotropic exact =
        gen {
            let! r = Draw.rng
            let! d = Gen.choose (1, 3)
            let! c = Draw.between 0.4 2.0
            let mean = Draw.vectors r "mean" [ 1; d ]
            let m = Mixture.ofStds [| 1.0 |] mean (Tensor.full Kind.Float64 [ 1; d ] c)
            let! a, noise, y = observing m
            let! path = Draw.path
            let! time = Draw.time
            let x = Mixture.sampleAt path time 3 (Rng.named "x" r) m

            return
                { Error = denoisers (exact path time c) m path (a, noise, y) (Measure.at time) x
                  Case = $"{path.Name} at t = {time}, c = {c}, {a.Shape[0]} of {d} observed" }
        }

    let pseudoinverse =
        { Name = "pigdm-isotropic-gaussian"
          Section = section
          Statement = "ΠGDM has the posterior of one isotropic Gaussian exactly, with r_t² = c² σ²/(α² c² + σ²)"
          Reference = "Song, Vahdat, Mardani, Kautz 2023, Pseudoinverse-guided diffusion models, section 3.2"
          Tolerance = 1e-7 // conversions divide by determinants down to 1e-2
          Cases = 60
          Check =
            Check.guarding Steering.pigdmWith (fun c -> Steering.pigdmWith (1.3 * c))
            <| fun pigdm -> isotropic (fun _ _ c -> pigdm c) }

    let proximal =
        { Name = "diffpir-isotropic-gaussian"
          Section = section
          Statement =
            "DiffPIR has the posterior of one isotropic Gaussian exactly with λ = 1 + σ²/(α² c²), which is 1 where the law is broad beside the noise"
          Reference =
            "Bayes, beside Zhu et al. 2023, Denoising diffusion models for plug-and-play image restoration, eq. 12"
          Tolerance = 1e-7 // conversions divide by determinants down to 1e-2
          Cases = 60
          Check =
            Check.guarding Steering.diffpirWith (fun weight -> Steering.diffpirWith (1.3 * weight))
            <| fun diffpir ->
                isotropic (fun path time c ->
                    let struct (alpha, sigma) = Path.alphaSigma path time
                    diffpir (1.0 + (sigma / (alpha * c)) ** 2.0)) }

    /// One Gaussian with independent coordinates under ancestral sampling, towards e^{⟨w, x₀⟩}: the twist and the twisted steps of the very chain, step by step.
    let exactTwist =
        { Name = "exact-twist"
          Section = section
          Statement =
            "particles that the exact twist proposes and weighs keep their weights: log Z is log ψ where they start"
          Reference =
            "Heng, Bishop, Deligiannidis, Doucet 2020, Controlled sequential Monte Carlo, section 3; Wu et al. 2023, section 3"
          Tolerance = 1e-9
          Cases = 40
          Check =
            Check.guarding SteeringParticles.run (fun particles weighing ->
                // Another proposal than the one that is weighed.
                SteeringParticles.run
                    particles
                    { weighing with
                        Correct = weighing.Correct |> Option.map (fun correct look -> 2.0 * correct look - look.Data) })
            <| fun run ->
                gen {
                    let! r = Draw.rng
                    let! d = Gen.choose (1, 3)
                    let! path = Draw.path
                    let! steps = Gen.choose (4, 12)
                    let! stds = Gen.listOfLength d (Draw.between 0.3 1.5)
                    let m =
                        Mixture.ofStds
                            [| 1.0 |]
                            (Draw.vectors r "mean" [ 1; d ])
                            (Tensor.ofArray [ 1; d ] (List.toArray stds))
                    let model = Mixture.model path Prediction.data m
                    let plan = { Sampling.plan Samplers.ancestral steps model with Kind = Kind.Float64 }
                    let times = Sampling.times plan path
                    let w = Draw.vectors r "w" [ d ]
                    let mean = Tensor.flatten (Mixture.means m)
                    let c2 = Tensor.square (Tensor.ofArray [ d ] (List.toArray stds))

                    // x̂ = k x + (m − k α m).
                    let linear time =
                        let struct (alpha, sigma) = Path.alphaSigma path time
                        let k = alpha * c2 / (alpha * alpha * c2 + sigma * sigma)
                        struct (k, mean - alpha * k * mean)

                    let struct (k, rest) = linear times[times.Length - 1]
                    let last = k * w, Tensor.sum (rest * w)

                    // log ψ = ⟨u, x⟩ + c at each time, from the end backwards.
                    let twists =
                        Array.scanBack
                            (fun (until: float, time: float) (u: Tensor, c: Tensor) ->
                                let p = Variational.posterior path until time
                                let struct (k, rest) = linear time

                                u * (p.State + p.Data * k),
                                c + p.Data * Tensor.sum (u * rest) + 0.5 * p.Variance * Tensor.sum (Tensor.square u))
                            (Array.zip times[1..] times[.. times.Length - 2])
                            last

                    let place (look: Look) =
                        let time = look.Time.ToFloat()
                        Array.findIndex (fun t -> abs (t - time) < 1e-12) times

                    let twist (look: Look) =
                        let u, c = twists[place look]
                        Linalg.matmul look.X u + c

                    let correct (look: Look) =
                        let at = place look

                        if at = times.Length - 1 then
                            look.Data
                        else
                            let p = Variational.posterior path times[at + 1] times[at]
                            look.Data + (p.Variance / p.Data) * fst twists[at + 1]

                    let weighing =
                        { Correct = Some correct
                          Twist = twist
                          Final = fun x -> Linalg.matmul x w
                          Potential = Potential.Difference
                          LookAhead = None }

                    let x = Sampling.start plan path [ d ] 3 (Rng.named "x" r)
                    let noise = Noise.fresh (Rng.named "noise" r)
                    let particles = SteeringParticles.ofCount 1

                    let swarm: Swarm =
                        Measure.succeed (run particles weighing plan model None noise (Rng.named "groups" r) ignore x)

                    let u, c = twists[0]

                    return
                        { Error = Measure.apart (Tensor.ofArray [ 3 ] swarm.LogEvidence) (Linalg.matmul x u + c)
                          Case = $"{path.Name}, {steps} steps in {d} dimensions" }
                } }

    let both =
        { Name = "mmps-gaussian-rewarded"
          Section = section
          Statement =
            "MMPS has the posterior of one Gaussian tilted by a linear reward exactly: x̂ is tilted first, and observed then"
          Reference = "completing the square; Rozet, Andry, Lanusse, Louppe 2024, section 4.1"
          Tolerance = 1e-7 // as the posterior's
          Cases = 60
          Check =
            Check.guarding
                (Steering.mmpsWith 8).Way
                (
                // Both added to what the model says, as if one did not know of the other.
                match (Steering.mmpsWith 8).Way, Steering.gradient.Way with
                | Corrects observed, Corrects rewarded ->
                    Corrects(fun weighs target ->
                        let sensor, y = target.Seen.Value
                        let own = observed weighs (SteeringTarget.Observed(sensor, y))
                        let climbing = rewarded weighs (SteeringTarget.Rewarded target.Reward.Value)
                        { own with Correct = fun look -> own.Correct look + climbing.Correct look - look.Data })
                | way, _ -> way)
            <| fun way ->
                gen {
                    let! m = Draw.mixture
                    let m = Mixture.ofClass 0 m
                    let! a, noise, y = observing m
                    let! tilt = Draw.between 0.3 1.5
                    let! path = Draw.path
                    let! time = Draw.time
                    let! r = Draw.rng
                    let w = Draw.vectors r "w" [ m.Dimension ]
                    let x = Mixture.sampleAt path time 3 (Rng.named "x" r) m
                    let model = Mixture.model path Prediction.velocity m

                    let target =
                        SteeringTarget.Both(sensorOf m.Dimension a noise, Tensor.unsqueeze 0 y, Reward.linear w, tilt)

                    let steered =
                        match way with
                        | Corrects make -> Steering.corrected (make false target).Correct model
                        | Wraps _
                        | Weighs _ -> failwith "MMPS corrects a denoiser"

                    let law = (Conditioning.tilted tilt w None (Conditioning.observed a noise y m).Law).Law
                    let at = Measure.at time

                    return
                        { Error = Measure.apart (Model.denoiser steered None at x) (Mixture.denoiser path law at x)
                          Case = $"{path.Name} at t = {time}, {a.Shape[0]} of {m.Dimension} observed, λ = {tilt}" }
                } }

    // ---- tuning towards a reward

    /// What is not carried through the steps: the reward's own slope at every state.
    let private uncarried: SamplingPlan -> Model -> Condition -> Tensor[] -> Tensor -> Tensor[] =
        fun _ _ _ states last -> states |> Array.map (fun _ -> last)

    let tuning =
        { Name = "adjoint-matching-gaussian"
          Section = section
          Statement =
            "for one Gaussian and a linear or quadratic reward the exact tilt is what adjoint matching asks for, at every state of its mean trajectory and in any number of steps"
          Reference =
            "Domingo-Enrich, Drozdzal, Karrer, Chen 2024, Adjoint matching, arXiv 2409.08861; Stein's identity"
          Tolerance = 1e-8 // conversions divide by determinants down to 1e-3
          Cases = 60
          Check =
            Check.guarding AdjointMatching.adjoints uncarried
            <| fun adjoints ->
                gen {
                    let! m = Draw.mixture
                    let m = Mixture.ofClass 0 m
                    let! path = Draw.path
                    let! prediction = Draw.oneOf [ Prediction.velocity; Prediction.data; Prediction.noise ]
                    let! steps = Gen.choose (2, 12)
                    let! tilt = Draw.between 0.3 1.5
                    let! isLinear = Gen.elements [ true; false ]
                    let! r = Draw.rng
                    let d = m.Dimension
                    let w = Draw.vectors r "w" [ d ]
                    let half = Draw.vectors r "q" [ d; d ]
                    // Negative: the tilt has a mean whatever the covariance is.
                    let q = if isLinear then None else Some(-0.3 * Linalg.matmul half (Tensor.transpose 0 1 half))
                    let law = (Conditioning.tilted tilt w q m).Law
                    let before, now = Mixture.model path prediction m, Mixture.model path prediction law
                    let plan = AdjointMatching.plan steps before
                    let x = Sampling.start plan path [ d ] 3 (Rng.named "x" r)
                    let still = Noise.given (Tensor.zeros Kind.Float64 [ steps; 3; d ])

                    let asked =
                        AdjointMatching.targets adjoints plan (Reward.quadratic w q) tilt before now None still x

                    let error k =
                        let truth = now.Network None (Integrator.time asked.Times[k]) asked.States[k]
                        Measure.apart asked.Wanted[k] truth

                    return
                        { Error = Measure.worst [ for k in 0 .. asked.Times.Length - 1 -> error k ]
                          Case = $"{path.Name}, {prediction.Name}, {steps} steps in {d} dimensions, λ = {tilt}" }
                } }

    let tuningMixture =
        { Name = "adjoint-matching-mixture"
          Section = section
          Statement =
            "for a mixture and a linear reward the exact tilt stands still on the average: E[s − a_t | x_t] = s* along its own ancestral steps"
          Reference = "Domingo-Enrich, Drozdzal, Karrer, Chen 2024, Adjoint matching, arXiv 2409.08861"
          // Four standard errors of 1,000 trajectories, and a thirtieth of what the tilt changes for the length of 80 steps.
          Tolerance = 1.0
          Cases = 6
          Check =
            Check.guarding AdjointMatching.adjoints uncarried
            <| fun adjoints ->
                gen {
                    let! m = Draw.broad
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! tilt = Draw.between 0.5 1.5
                    let! time = Draw.between 0.4 0.8
                    let! place = Draw.between -1.0 1.0
                    let! r = Draw.rng
                    let n = 1000
                    let w = Tensor.ones Kind.Float64 [ 1 ]
                    let law = (Conditioning.tilted tilt w None m).Law
                    let of' = Mixture.model path Prediction.data
                    let before, now = of' m, of' law
                    let plan = AdjointMatching.plan 80 before
                    let plan = { plan with Span = { plan.Span with Noisy = time } }
                    let x = Tensor.full Kind.Float64 [ n; 1 ] place
                    let noise = Noise.fresh (Rng.named "noise" r)
                    let asked = AdjointMatching.targets adjoints plan (Reward.linear w) tilt before now None noise x
                    let said = asked.Wanted[0]
                    let mean = (Tensor.mean said).ToFloat()
                    let deviation = sqrt ((Tensor.mean (Tensor.square (said - mean))).ToFloat() / float n)
                    let at (model: Model) = (model.Network None (Measure.at time) (Tensor.narrow 0 0 1 x)).ToFloat()
                    let allowed = 4.0 * deviation + abs (at now - at before) / 30.0

                    return
                        { Error = abs (mean - at now) / allowed
                          Case =
                            $"{path.Name}, t = {time}, x = {place}, λ = {tilt}: {mean} ± {deviation}, tilted {at now}, before {at before}" }
                } }

    let all =
        [ bayes; tilt; adjoint; conjugate; moments; pseudoinverse; proximal; both; exactTwist; tuning; tuningMixture ]
