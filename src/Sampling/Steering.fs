namespace Fokker

open System

/// What a denoiser says at (t, x_t), as a method of steering sees it.
[<NoComparison; NoEquality>]
type Look =
    {
        Time: Tensor
        /// x_t.
        X: Tensor
        /// α and σ at the samples' times, made to broadcast against x.
        Alpha: Tensor
        Sigma: Tensor
        /// x̂ = E[x₀ | x_t].
        Data: Tensor
        /// v ↦ Jᵀ v with J = ∂x̂/∂x_t: (σ²/α) J is the covariance of x₀ given x_t.
        Pull: Tensor -> Tensor
    }

/// What samples are steered towards.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type SteeringTarget =
    /// p(x₀) p(y | x₀), y [1; …] for all samples or [B; …].
    | Observed of Sensor * y: Tensor
    /// p(x₀) e^{λ r(x₀)}.
    | Rewarded of Reward * tilt: float
    /// p(x₀) p(y | x₀) e^{λ r(x₀)}.
    | Both of Sensor * y: Tensor * Reward * tilt: float

    /// What is seen and what was seen, where something was.
    member target.Seen: (Sensor * Tensor) option =
        match target with
        | Observed(sensor, y)
        | Both(sensor, y, _, _) -> Some(sensor, y)
        | Rewarded _ -> None

    /// The reward and λ, where there is one.
    member target.Reward: (Reward * float) option =
        match target with
        | Rewarded(reward, tilt)
        | Both(_, _, reward, tilt) -> Some(reward, tilt)
        | Observed _ -> None

    /// The same with something else seen.
    member target.Seeing(y: Tensor) : SteeringTarget =
        match target with
        | Observed(sensor, _) -> Observed(sensor, y)
        | Both(sensor, _, reward, tilt) -> Both(sensor, y, reward, tilt)
        | Rewarded _ -> target

/// A method of steering held against its target.
[<NoComparison; NoEquality>]
type Steered =
    {
        /// x̂ steered: E[x₀ | x_t] under the target, as the method has it.
        Correct: Look -> Tensor
        /// log ψ_t [B]: what is taken for log p(y | x_t), or log E[e^{λ r(x₀)} | x_t], where particles are weighed.
        Twist: Look -> Tensor
    }

/// How potentials weigh particles on their way (Singhal et al. 2025, A general framework for inference-time scaling and steering of diffusion models,
/// section 4.1): the product of all of them is e^{λ r(x₀)} for each, since the last one makes it right.
[<RequireQualifiedAccess>]
type Potential =
    /// e^{λ (r(x̂_s) − r(x̂_t))}.
    | Difference
    /// e^{λ max r} so far, by its growth.
    | Max
    /// e^{λ Σ r} so far.
    | Sum

/// How a method steers.
[<NoComparison; NoEquality>]
type SteeringWay =
    /// It wraps the denoiser, so that it goes with every sampler; with particles it is their proposal, and `weighs` says that there are some.
    | Corrects of (bool -> SteeringTarget -> Steered)
    /// It wraps the step of a sampler: the target, the denoiser, and what it wraps.
    | Wraps of draws: (Sampler -> int) * (SteeringTarget -> Readings -> Sampler -> Step -> Step)
    /// It weighs particles that go where the sampler takes them.
    | Weighs of Potential

/// A method of steering samples, without training, towards an observation or a reward.
[<NoComparison; NoEquality>]
type SteeringMethod =
    {
        Name: string
        /// The method as an equation.
        Equation: string
        Reference: string
        Way: SteeringWay
        /// Particles for each sample where nobody says: 0 for a method that needs none.
        Particles: int
        /// The sampler that its authors take, where another than usual.
        Sampler: Sampler option
        /// What it can be asked for: observations, and whether of any function; rewards.
        TakesObservations: bool
        TakesFunctions: bool
        TakesRewards: bool
        /// Whether an observation and a reward together.
        TakesBoth: bool
        /// Whether it is for observations that show numbers of the sample as they are, masks and coordinates, only.
        SeenOnly: bool
    }

/// Steering at inference: samples of p(x₀ | y) or of p(x₀) e^{λ r(x₀)} from a model of p(x₀) that was never told of y or r. All but the particle
/// methods are approximations: on a mixture of several Gaussians none of them is exact (`docs/steering.md` has how far each is off).
[<RequireQualifiedAccess>]
module Steering =

    // ---- linear systems

    /// Steps of conjugate gradients, and for which samples they went as for a symmetric A ⪰ least · I: no direction has less curvature, a residual is orthogonal to the one before, and none is a
    /// hundred times the first. Of a symmetric positive A it may grow on the way, by a few times where A is badly conditioned.
    let private attempted
        (least: float)
        (iterations: int)
        (a: Tensor -> Tensor)
        (b: Tensor)
        : struct (Tensor * Tensor) =
        let dot (x: Tensor) (y: Tensor) = Tensor.perSample b (Tensor.sumRows (Tensor.flattenRows (x * y)))
        let size = dot b b
        let nothing = Tensor.zerosLike size

        let rec go k (x: Tensor) (r: Tensor) (p: Tensor) (rr: Tensor) (sound: Tensor) =
            // Residuals of 1e-15 of b are its rounding.
            let running = Tensor.greater rr (1e-30 * size)

            if k = 0 || not ((Tensor.any running).ToBool()) then
                struct (x, sound)
            else
                let ap = a p
                let curvature = dot p ap
                let isPositive = Tensor.greater curvature (least * dot p p)
                let moves = Tensor.both running isPositive
                let one = Tensor.onesLike curvature
                let step = Tensor.where moves (rr / Tensor.where moves curvature one) nothing
                let x, r' = x + step * p, r - step * ap
                let after = dot r' r'
                let rr' = Tensor.where moves after nothing
                let beta = Tensor.where moves (rr' / Tensor.where moves rr one) nothing
                let along = Tensor.square (dot r' r)
                // A cosine of a half: a network's Jacobian is nearly symmetric at the best. What is left of a system that is solved is rounding.
                let isSolved = Tensor.not (Tensor.greater after (1e-16 * size))
                let isTurned = Tensor.either isSolved (Tensor.not (Tensor.greater along (0.25 * rr * after)))
                let isNear = Tensor.not (Tensor.greater after (1e4 * size))
                let isFine = Tensor.both isPositive (Tensor.both isTurned isNear)
                let sound = Tensor.both sound (Tensor.either (Tensor.not running) isFine)
                go (k - 1) x r' (r' + beta * p) rr' sound

        go iterations (Tensor.zerosLike b) b b size (Tensor.greaterThan -1.0 size)

    /// x [B; …] with A x = b for a symmetric positive A, sample by sample, by so many steps of conjugate gradients at most (Hestenes, Stiefel 1952). Where
    /// A turns out to be not positive along a direction, the sample stays where it is.
    let conjugateGradients (iterations: int) (a: Tensor -> Tensor) (b: Tensor) : Tensor =
        let struct (x, _) = attempted 0.0 iterations a b
        x

    /// The same for A = s² I + C with a covariance C, as far as it is one. A network's Jacobian is symmetric and positive only as far as the network has learned, and where there is much noise what it is off by is multiplied
    /// by σ²/α: a sample whose system shows that it is no covariance's is moved along b alone, as far as leaves the least residual (one step of minimal residuals), which is never far.
    let covarianceGradients (noise2: float) (iterations: int) (a: Tensor -> Tensor) (b: Tensor) : Tensor =
        // What rounding makes of a direction without variance is no fault of the network.
        let struct (x, sound) = attempted (noise2 * (1.0 - 1e-6)) iterations a b

        if (Tensor.all sound).ToBool() then
            x
        else
            let dot (x: Tensor) (y: Tensor) = Tensor.perSample b (Tensor.sumRows (Tensor.flattenRows (x * y)))
            let ab = a b
            let square = dot ab ab
            let some = Tensor.greaterThan 0.0 square
            let share = Tensor.clamp 0.0 infinity (dot b ab) / Tensor.where some square (Tensor.onesLike square)
            Tensor.where sound x (share * b)

    // ---- what methods have in common

    let private broadcast (x: Tensor) (c: Coefficient) : Tensor =
        match c with
        | Number c -> Tensor.scalar x.Kind c
        | PerSample c -> Tensor.perSample x c

    let private linearParts name (sensor: Sensor) =
        match sensor.Linear with
        | Some both -> both
        | None -> invalidArg name $"{name} is for linear observations, and {sensor.Name} is not"

    /// Steps of conjugate gradients that solve an observation's own systems: they end sooner, where the residual does.
    let private enough (sensor: Sensor) = min 200 (2 * sensor.Count)

    let private reject name what = invalidArg name $"{name} is for {what}"

    /// What was observed, for a method that has no use for a reward.
    let private observed name (target: SteeringTarget) : struct (Sensor * Tensor) =
        match target with
        | SteeringTarget.Observed(sensor, y) -> struct (sensor, y)
        | SteeringTarget.Rewarded _
        | SteeringTarget.Both _ -> reject name "observations"

    let private residual (sensor: Sensor) (y: Tensor) (look: Look) = y.To look.Data.Kind - sensor.Apply look.Data

    /// V v = (σ²/α) Jᵀ v.
    let private spread (look: Look) (v: Tensor) = Tensor.square look.Sigma / look.Alpha * look.Pull v

    /// r_t² = c² σ²/(α² c² + σ²): the variance of x₀ given x_t for data of standard deviation c.
    let private variance (deviation: float) (look: Look) =
        let c2 = deviation * deviation
        let s2 = Tensor.square look.Sigma
        c2 * s2 / (c2 * Tensor.square look.Alpha + s2)

    /// Most numbers of an observation whose matrix is made.
    let private most = 1024

    let private eigenvaluesOf (sensor: Sensor) : Tensor =
        if sensor.Count > most then
            invalidArg
                "particles"
                $"the weights need the eigenvalues of A Aᵀ, and {sensor.Count} numbers are observed: {most} at most"

        let a, _ = Sensor.matrixOf sensor
        fst (Linalg.eigh (Linalg.matmul a (Tensor.transpose 0 1 a)))

    /// A twist where particles are weighed, made at once: what it holds outlives the steps.
    let private weighing (weighs: bool) (make: unit -> Look -> Tensor) : Look -> Tensor =
        if weighs then make () else fun _ -> invalidOp "there are no particles to weigh"

    let private logGaussian (count: int) (quadratic: Tensor) (logVolume: Tensor) =
        -0.5 * (quadratic + logVolume + float count * Math.Log(2.0 * Math.PI))

    let private inner (a: Tensor) (b: Tensor) = Tensor.sumRows (Tensor.flattenRows (a * b))

    // ---- methods that correct the denoiser

    /// x̂ + (σ²/α) Jᵀ Aᵀ (r_t² A Aᵀ + s² I)⁻¹ (y − A x̂): the score of N(y; A x̂, r_t² A Aᵀ + s² I) added to that of the model (Song, Vahdat, Mardani, Kautz
    /// 2023, Pseudoinverse-guided diffusion models, eq. 8; r_t² is their σ²/(1 + σ²) for data of standard deviation c = 1). The twist is its logarithm
    /// (Wu et al. 2023, Practical and asymptotically exact conditional sampling, eq. 8).
    let private pseudoinverse name (deviation: float) (weighs: bool) (target: SteeringTarget) : Steered =
        let struct (sensor, y) = observed name target
        let along, adjoint = linearParts name sensor
        let noise2 = sensor.Noise * sensor.Noise

        let solved (look: Look) =
            let r2 = variance deviation look
            let e = residual sensor y look
            let r2' = if r2.Rank = 0 then r2 else Tensor.perSample e (Tensor.flatten r2)
            struct (e, conjugateGradients (enough sensor) (fun v -> r2' * along (adjoint v) + noise2 * v) e)

        { Correct =
            fun look ->
                let struct (_, c) = solved look
                look.Data + spread look (adjoint c)
          Twist =
            weighing weighs (fun () ->
                let eigenvalues = eigenvaluesOf sensor

                fun look ->
                    let struct (e, c) = solved look
                    let r2 = Tensor.reshape [ -1; 1 ] (variance deviation look)
                    let logVolume = Tensor.sumOver [ 1 ] (log (r2 * eigenvalues.To r2.Kind + noise2))
                    logGaussian sensor.Count (inner e c) logVolume) }

    /// x̂ + V Aᵀ (s² I + A V Aᵀ)⁻¹ (y − A x̂) with V = (σ²/α) J, by a few conjugate gradients (Rozet, Andry, Lanusse, Louppe 2024, Learning diffusion priors
    /// from observations by expectation maximization, eq. 18): what x₀ would be expected to be, were it Gaussian given x_t. The twist is log N(y; A x̂, s² I + A V Aᵀ), its
    /// matrix made whole.
    let private moments name (iterations: int) (weighs: bool) (target: SteeringTarget) : Steered =
        let struct (sensor, y) = observed name target
        let along, adjoint = linearParts name sensor
        let noise2 = sensor.Noise * sensor.Noise

        { Correct =
            fun look ->
                let e = residual sensor y look
                let system (v: Tensor) = noise2 * v + along (spread look (adjoint v))
                look.Data + spread look (adjoint (covarianceGradients noise2 iterations system e))
          Twist =
            weighing weighs (fun () ->
                if sensor.Count > 64 then
                    invalidArg
                        "particles"
                        $"{name} weighs by the whole matrix A V Aᵀ, and {sensor.Count} numbers are observed: take tds, or 64 numbers at most"

                let basis = Sensor.basis sensor
                let places = Tensor.transpose 0 1 (Tensor.flattenRows basis)
                // The numbers that count of something like y: [B; Count].
                let shown (v: Tensor) = Linalg.matmul (Tensor.flattenRows v) (places.To v.Kind)

                fun look ->
                    let e = residual sensor y look
                    let shape = List.ofArray e.Shape
                    let basis = basis.To e.Kind

                    let column (k: int) =
                        let v = Tensor.expand shape (Tensor.narrow 0 k 1 basis)
                        shown (along (spread look (adjoint v)))

                    let v = Tensor.stack 2 [ for k in 0 .. sensor.Count - 1 -> column k ]
                    let values, vectors = Linalg.eigh (0.5 * (v + Tensor.transpose 1 2 v))
                    // A covariance has none below 0; a network's may.
                    let values = Tensor.clamp 0.0 infinity values + noise2
                    let turned = Tensor.squeeze 1 (Linalg.matmul (Tensor.unsqueeze 1 (shown e)) vectors)
                    let quadratic = Tensor.sumOver [ 1 ] (Tensor.square turned / values)
                    logGaussian sensor.Count quadratic (Tensor.sumOver [ 1 ] (log values))) }

    /// argmin ‖y − A x‖²/2s² + (λ/2) (α/σ)² ‖x − x̂‖², which is x̂ + Aᵀ (A Aᵀ + λ s² (α/σ)² I)⁻¹ (y − A x̂) (Zhu et al. 2023, Denoising diffusion models for
    /// plug-and-play image restoration, DiffPIR, eq. 12). Its authors go on with a stochastic step, as ddim-eta or ancestral are.
    let private proximal name (weight: float) (weighs: bool) (target: SteeringTarget) : Steered =
        let struct (sensor, y) = observed name target
        let along, adjoint = linearParts name sensor
        let noise2 = sensor.Noise * sensor.Noise

        { Correct =
            fun look ->
                let e = residual sensor y look
                let ratio = weight * noise2 * Tensor.square (look.Alpha / look.Sigma)
                let ratio = if ratio.Rank = 0 then ratio else Tensor.perSample e (Tensor.flatten ratio)
                let system (v: Tensor) = along (adjoint v) + ratio * v
                look.Data + adjoint (conjugateGradients (enough sensor) system e)
          Twist = (pseudoinverse name 1.0 weighs target).Twist }

    let private gradientOf (reward: Reward) (x: Tensor) : Tensor = Diff.grad (reward.Value >> Tensor.sum) x

    /// x̂ + (σ²/α) λ Jᵀ ∇r(x̂): the score with λ ∇ r(x̂(x_t)) added to it. What was seen as well is a part of the reward, log N(y; A x̂, s² I).
    let private ascent name (_: bool) (target: SteeringTarget) : Steered =
        let climbing (reward: Reward) =
            { Correct = fun look -> look.Data + spread look (gradientOf reward look.Data)
              Twist = fun look -> reward.Value look.Data }

        match target with
        | SteeringTarget.Observed _ -> reject name "rewards"
        | SteeringTarget.Rewarded(reward, tilt) ->
            climbing (Reward.ofFunction reward.Name (fun x -> tilt * reward.Value x))
        | SteeringTarget.Both(sensor, _, _, _) when sensor.Noise = 0.0 ->
            invalidArg
                (nameof target)
                $"{name} takes what was seen as a part of the reward, and divides by the variance of its noise: give it a little, or take mmps"
        | SteeringTarget.Both(sensor, y, reward, tilt) ->
            climbing (
                Reward.ofFunction reward.Name (fun x ->
                    tilt * reward.Value x + Sensor.logLikelihood sensor (y.To x.Kind) x)
            )

    /// A method for observations with a reward beside: x̂ is tilted first, x̂ + V λ ∇r(x̂), and that is what y corrects. For one Gaussian and a linear reward it is exact where the method is.
    let private alsoRewarded
        (make: string -> bool -> SteeringTarget -> Steered)
        (name: string)
        (weighs: bool)
        (target: SteeringTarget)
        : Steered =
        match target with
        | SteeringTarget.Both(sensor, y, reward, tilt) ->
            let own = make name weighs (SteeringTarget.Observed(sensor, y))
            let climbing = ascent name weighs (SteeringTarget.Rewarded(reward, tilt))
            let tilted (look: Look) = { look with Data = climbing.Correct look }

            { Correct = fun look -> own.Correct(tilted look)
              Twist = fun look -> own.Twist(tilted look) + climbing.Twist look }
        | target -> make name weighs target

    // ---- methods that wrap a step

    let looking (path: GaussianPath) (t: Tensor) (x: Tensor) (data: Tensor) pull : Look =
        { Time = t
          X = x
          Alpha = broadcast x (Curve.at path.Alpha t)
          Sigma = broadcast x (Curve.at path.Sigma t)
          Data = data
          Pull = pull }

    /// A step followed by −ζ (α² + σ²) ∇‖y − A x̂(x_t)‖ (Chung et al. 2023, Diffusion posterior sampling, algorithm 1, whose path has α² + σ² = 1: elsewhere the
    /// step is the same in x/√(α² + σ²)). A is any function that can be differentiated.
    let private afterwards
        name
        (zeta: float)
        (target: SteeringTarget)
        (readings: Readings)
        (sampler: Sampler)
        (step: Step)
        : Step =
        let struct (sensor, y) = observed name target

        let data = readings.Of Prediction.data

        fun noise until state ->
            let next = step noise until state
            let struct (alpha, sigma) = Path.alphaSigma readings.Path state.Time

            let gradient =
                Diff.pulling (data (Integrator.time state.Time)) state.X (fun x0 pull ->
                    let e = y.To x0.Kind - sensor.Apply x0
                    let length = sqrt (inner e e)
                    let unit' = e / Tensor.perSample e (Tensor.clamp 1e-300 infinity length)
                    -(pull (Sensor.pull sensor x0 unit')))

            // A slope that was found at the end of the step is no longer that of the state.
            let memory =
                match sampler.Follows with
                | Velocity _ -> []
                | _ -> next.Memory

            { next with
                X = next.X - zeta * (alpha * alpha + sigma * sigma) * gradient
                Memory = memory
                Evaluations = next.Evaluations + 1 }

    /// Draws of a step that is made so many times: the sampler's and what is seen's in each, and one to take it back between them.
    let private drawsOf repeats (sampler: Sampler) = repeats * (sampler.Draws + 1) + repeats - 1

    /// What is seen put in the place of what was sampled, with the noise of its time, after each step; with several repeats the step is taken back and made
    /// again (Lugmayr et al. 2022, RePaint, algorithm 1; one repeat is Song et al. 2021's replacement). y's own noise counts for a part of the time's.
    let private replaced
        name
        (repeats: int)
        (target: SteeringTarget)
        (readings: Readings)
        (sampler: Sampler)
        (step: Step)
        : Step =
        let struct (sensor, y) = observed name target

        let seen, adjoint =
            match sensor.Seen, sensor.Linear with
            | Some seen, Some(_, adjoint) -> seen, adjoint
            | _ -> reject name "observations that show numbers as they are, a mask or coordinates"

        let path = readings.Path
        let per = drawsOf repeats sampler
        // What is seen is shift + scale · x, coordinate by coordinate: the adjoint of 1 is the scale.
        let scale = adjoint (Tensor.ones Kind.Float64 (1 :: sensor.Output))
        let scale2 = Tensor.where (Tensor.greaterThan 0.5 seen) (Tensor.square scale) (Tensor.onesLike scale)

        let values =
            let nothing = sensor.Apply(Tensor.zeros Kind.Float64 (1 :: sensor.Input))
            adjoint (y - nothing) / scale2

        let deviation = sensor.Noise / sqrt scale2

        fun noise until state ->
            let draw k (x: Tensor) = Noise.draw noise state.Step (state.Time, until) (k, per) x
            let struct (alpha, sigma) = Path.alphaSigma path state.Time
            let struct (alpha', sigma') = Path.alphaSigma path until
            let up = alpha / alpha'
            let back = Math.Sqrt(max 0.0 (sigma * sigma - up * up * sigma' * sigma'))

            let once (k: int) (from: State) =
                let first = k * (sampler.Draws + 2)
                let next = step (Noise.part first per noise) until from
                let own = Tensor.square (alpha' * deviation)
                let left = (sqrt (Tensor.clamp 0.0 infinity (sigma' * sigma' - own))).To next.X.Kind
                let known = alpha' * values.To next.X.Kind + left * draw (first + sampler.Draws) next.X
                { next with
                    X = Tensor.where (Tensor.greaterThan 0.5 (seen.To next.X.Kind)) known next.X
                    Memory = [] }

            let rec go k (from: State) =
                let next = once k from

                if k = repeats - 1 then
                    next
                else
                    let z = draw (k * (sampler.Draws + 2) + sampler.Draws + 1) next.X

                    go (k + 1) { next with Step = state.Step; Time = state.Time; X = up * next.X + back * z }

            go 0 state

    // ---- the list

    let private method name equation reference way : SteeringMethod =
        { Name = name
          Equation = equation
          Reference = reference
          Way = way
          Particles = 0
          Sampler = None
          TakesObservations = true
          TakesFunctions = false
          TakesRewards = false
          TakesBoth = false
          SeenOnly = false }

    /// Moment matching with so many conjugate gradients.
    let mmpsWith (iterations: int) : SteeringMethod =
        { method
              "mmps"
              "x̂ + V Aᵀ (s² I + A V Aᵀ)⁻¹ (y − A x̂), V = (σ²/α) J"
              "Rozet, Andry, Lanusse, Louppe 2024, Learning diffusion priors from observations, eq. 18"
              (Corrects(alsoRewarded (fun name -> moments name iterations) "mmps")) with
            TakesBoth = true }

    let mmps = mmpsWith 5

    /// ΠGDM for data of this standard deviation.
    let pigdmWith (deviation: float) : SteeringMethod =
        { method
              "pigdm"
              "x̂ + (σ²/α) Jᵀ Aᵀ (r_t² A Aᵀ + s² I)⁻¹ (y − A x̂), r_t² = c² σ²/(α² c² + σ²)"
              "Song, Vahdat, Mardani, Kautz 2023, Pseudoinverse-guided diffusion models, eq. 8"
              (Corrects(alsoRewarded (fun name -> pseudoinverse name deviation) "pigdm")) with
            TakesBoth = true }

    let pigdm = pigdmWith 1.0

    let dpsWith (zeta: float) : SteeringMethod =
        { method
              "dps"
              "a step, then −ζ (α² + σ²) ∇‖y − A x̂(x_t)‖"
              "Chung et al. 2023, Diffusion posterior sampling, algorithm 1"
              (Wraps((fun s -> s.Draws), afterwards "dps" zeta)) with
            Sampler = Some Samplers.ancestral
            TakesFunctions = true }

    let dps = dpsWith 1.0

    let diffpirWith (weight: float) : SteeringMethod =
        { method
              "diffpir"
              "x̂ + Aᵀ (A Aᵀ + λ s² (α/σ)² I)⁻¹ (y − A x̂)"
              "Zhu et al. 2023, DiffPIR, eq. 12"
              (Corrects(proximal "diffpir" weight)) with
            Sampler = Some(Samplers.ddimWith 1.0) }

    /// λ = 1 is Bayes' rule for an isotropic Gaussian that is broad beside the noise (law `diffpir-isotropic-gaussian`).
    let diffpir = diffpirWith 1.0

    let repaintWith (repeats: int) : SteeringMethod =
        { method
              "repaint"
              $"what is seen takes its place, α_s y + σ_s ε, after each step; each is made {repeats} times"
              "Lugmayr et al. 2022, RePaint, algorithm 1"
              (Wraps(drawsOf repeats, replaced "repaint" repeats)) with
            Sampler = Some Samplers.ancestral
            SeenOnly = true }

    let repaint = repaintWith 5

    let replacement =
        { method
              "replacement"
              "what is seen takes its place, α_s y + σ_s ε, after each step"
              "Song et al. 2021, Score-based generative modeling through SDEs, appendix I.2"
              (Wraps(drawsOf 1, replaced "replacement" 1)) with
            Sampler = Some Samplers.ancestral
            SeenOnly = true }

    let gradient =
        { method
              "gradient"
              "x̂ + (σ²/α) λ Jᵀ ∇r(x̂)"
              "Dhariwal, Nichol 2021, section 4, with a reward of x̂ in the classifier's place"
              (Corrects(ascent "gradient")) with
            TakesObservations = false
            TakesRewards = true
            TakesBoth = true }

    let tdsWith (deviation: float) : SteeringMethod =
        { method
              "tds"
              "particles that pigdm proposes, weighed by N(y; A x̂, r_t² A Aᵀ + s² I)"
              "Wu, Trippe, Naesseth, Blei, Cunningham 2023, Practical and asymptotically exact conditional sampling in diffusion models"
              (Corrects(alsoRewarded (fun name -> pseudoinverse name deviation) "tds")) with
            Particles = 64
            TakesBoth = true }

    let tds = tdsWith 1.0

    let private particles name what (potential: Potential) : SteeringMethod =
        { method
              name
              $"particles of any sampler, weighed by {what}"
              "Singhal et al. 2025, A general framework for inference-time scaling and steering of diffusion models, section 4.1"
              (Weighs potential) with
            Particles = 64
            TakesFunctions = true
            TakesRewards = true
            TakesBoth = true }

    let fkDifference = particles "fk-difference" "e^{λ (r(x̂_s) − r(x̂_t))}" Potential.Difference
    let fkMax = particles "fk-max" "the growth of e^{λ max r(x̂)}" Potential.Max
    let fkSum = particles "fk-sum" "e^{λ r(x̂_s)}" Potential.Sum

    /// The methods that the command line, the tests and the docs know.
    let parts: Part<SteeringMethod> list =
        let deviation = Parameter.make "c" 1.0 Allowed.Positive "the data's standard deviation in the network's units"

        [ Part.of1
              (Parameter.make "iterations" 5.0 (Allowed.Whole 1) "conjugate gradients, one product with J each")
              (int >> mmpsWith)
          Part.of1 deviation pigdmWith
          Part.of1 (Parameter.make "zeta" 1.0 Allowed.Positive "the length of the step towards y") dpsWith
          Part.of1 (Parameter.make "lambda" 1.0 Allowed.Positive "how far the denoiser is trusted") diffpirWith
          Part.of1 (Parameter.make "repeats" 5.0 (Allowed.Whole 1) "how often each step is made") (int >> repaintWith)
          Part.fixedAt replacement
          Part.of1 deviation tdsWith
          Part.fixedAt gradient
          yield! List.map Part.fixedAt [ fkDifference; fkMax; fkSum ] ]

    let all = List.map Part.standard parts

    // ---- models

    /// A model whose E[x₀ | x_t] is corrected, everything else that is read off it with it. Raises ArgumentException in use where the data do not determine what the
    /// network says: at times where σ is 0.
    let corrected (correct: Look -> Tensor) (model: Model) : Model =
        let toData = Prediction.converter model.Path model.Prediction Prediction.data
        let ofData = Prediction.converter model.Path Prediction.data model.Prediction

        model
        |> Model.withNetwork (fun condition ->
            let network = model.Network condition

            fun t x ->
                let struct (cx, cy) = toData t
                let struct (bx, by) = ofData t

                Diff.pulling (fun x -> Coefficient.combine [ cx, x; cy, network t x ]) x (fun data pull ->
                    Coefficient.combine [ bx, x; by, correct (looking model.Path t x data pull) ]))

    /// A sampler whose step is wrapped.
    let wrapped (draws: Sampler -> int) (wrap: Readings -> Sampler -> Step -> Step) (sampler: Sampler) : Sampler =
        { sampler with
            Follows = Denoiser(fun readings -> wrap readings sampler (Samplers.step sampler readings))
            Draws = draws sampler
            IsStochastic = sampler.IsStochastic || draws sampler > 0 }
