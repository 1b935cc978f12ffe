namespace Fokker

open System

/// How many particles stand for a sample, and when they are drawn anew.
type Particles =
    {
        /// Particles for each sample.
        Count: int
        /// They are drawn anew where their effective number is below this share of them.
        Threshold: float
    }

/// How particles are moved and weighed.
[<NoComparison; NoEquality>]
type Weighing =
    {
        /// What takes them to x̂ of the target; none where they go as the sampler takes them.
        Correct: (Look -> Tensor) option
        /// log ψ_t [B].
        Twist: Look -> Tensor
        /// log of what each sample is weighed by in the end, log p(y | x₀) or λ r(x₀): [B].
        Final: Tensor -> Tensor
        Potential: Potential
        /// Where t and x are known to lead, in the place of E[x₀ | x_t] in log ψ: a flow map's.
        LookAhead: Field option
    }

/// What a particle filter came to, for each sample.
[<NoComparison; NoEquality>]
type Swarm =
    {
        /// A particle of each group, drawn by its weight: [n; …].
        X: Tensor
        /// All of them, [n · K; …], with their weights in their group, [n; K].
        Particles: Tensor
        Weights: Tensor
        /// log Z of each group: its exponential is an unbiased estimate of p(y), or of E e^{λ r(x₀)}, under the sampler's own law.
        LogEvidence: float[]
        /// Time and effective share of the particles after each step, the mean over the groups.
        Effective: (float * float) list
        /// How often a group was drawn anew, the mean over the groups.
        Resamplings: float
    }

    interface IHoldTensors with
        member swarm.Visit visit =
            visit swarm.X
            visit swarm.Particles
            visit swarm.Weights

/// Sequential Monte Carlo on the way from noise to data (Del Moral 2004, Feynman–Kac formulae; Doucet, Johansen 2009, A tutorial on particle filtering). The particles'
/// law is that of the sampler's own steps times e^{Σ log-weights}, whatever proposes where they go: with log ψ that ends in λ r(x₀) it is exact for the tilt of the
/// sampler's law as their number grows. Particles are one more axis of the batch: n groups of K rows.
[<RequireQualifiedAccess>]
module SteeringParticles =

    /// K particles, drawn anew below half of their effective number.
    let ofCount (count: int) : Particles = { Count = count; Threshold = 0.5 }

    let private gaussian =
        [ Samplers.ancestral
          Samplers.ancestralLarge
          Samplers.ddimWith 1.0
          Samplers.eulerMaruyama
          Samplers.sdeDpmPp1 ]

    /// The samplers whose steps are Gaussian with a mean that one x̂ decides and a deviation that nothing does: those that a proposal can be weighed for.
    let proposers: string list = gaussian |> List.map _.Name

    /// ESS/K = (Σ w)²/(K Σ w²) of log-weights.
    let effective (logWeights: float[]) : float =
        let highest = Array.max logWeights
        let w = logWeights |> Array.map (fun l -> Math.Exp(l - highest))
        let total = Array.sum w
        total * total / (float w.Length * Array.sumBy (fun x -> x * x) w)

    /// Systematic resampling: the particles that the positions (u + k)/K fall on, K of them; each is taken K wᵢ times on the average, and never more than one more or
    /// less (Kitagawa 1996; Carpenter, Clifford, Fearnhead 1999).
    let systematic (u: float) (logWeights: float[]) : int[] =
        let k = logWeights.Length
        let highest = Array.max logWeights
        let w = logWeights |> Array.map (fun l -> Math.Exp(l - highest))
        let total = Array.sum w
        let chosen = Array.zeroCreate k
        let mutable place, sum = 0, w[0]

        for i in 0 .. k - 1 do
            let position = (u + float i) / float k * total

            while sum <= position && place < k - 1 do
                place <- place + 1
                sum <- sum + w[place]

            chosen[i] <- place

        chosen

    /// The particle that u, uniform on [0, 1), falls on.
    let private drawOne (u: float) (logWeights: float[]) : int =
        let highest = Array.max logWeights
        let sums = Array.scan (fun sum l -> sum + Math.Exp(l - highest)) 0.0 logWeights
        let position = u * sums[sums.Length - 1]
        // The last sum is beyond every position but for rounding.
        let place = Array.FindIndex(sums, 1, fun sum -> sum > position)
        if place < 0 then logWeights.Length - 1 else place - 1

    let private logMean (logWeights: float[]) : float =
        let highest = Array.max logWeights
        highest + Math.Log(logWeights |> Array.averageBy (fun l -> Math.Exp(l - highest)))

    /// The particles between two steps.
    [<NoComparison; NoEquality>]
    type private Cloud =
        {
            State: State
            /// x̂, and x̂ steered.
            Data: Tensor
            Steered: Tensor
            /// log ψ as the potential has it so far [B].
            Twist: Tensor
        }

        interface IHoldTensors with
            member c.Visit visit =
                (c.State :> IHoldTensors).Visit visit
                visit c.Data
                visit c.Steered
                visit c.Twist

    /// Readings of a model that says x̂, whatever it is asked.
    let private saying (path: GaussianPath) (steps: int) (data: Tensor) : Readings =
        { Path = path
          Of =
            fun prediction ->
                let convert = Prediction.converter path Prediction.data prediction

                fun t x ->
                    let struct (cx, cy) = convert t
                    Coefficient.combine [ cx, x; cy, data ]
          WithVariance = None
          Steps = steps
          Denoises = false }

    /// Particles from their start x [n · K; …] to the end of the plan. `model` is in x's element type; `rng` is the groups' own, for what is drawn anew;
    /// `seen` hears of each step. Raises ArgumentException where the sampler draws nothing, or its steps have no density that a proposal could be weighed by; an error
    /// is a state or weights that are not finite.
    let run
        (particles: Particles)
        (weighing: Weighing)
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (rng: Rng)
        (seen: int -> unit)
        (x: Tensor)
        : Result<Swarm, Failure> =
        let k = particles.Count

        if k < 1 || x.Shape[0] % k <> 0 then
            invalidArg (nameof particles) $"{k} particles for each sample: {x.Shape[0]} rows are no multiple of it"

        if not plan.Sampler.IsStochastic then
            invalidArg
                "sampler"
                $"{plan.Sampler.Name} draws nothing on its way, and particles that were drawn anew would stay as they are: take ancestral or euler-maruyama"

        if weighing.Correct.IsSome && not (List.contains plan.Sampler.Name proposers) then
            invalidArg
                "sampler"
                $"the steps of {plan.Sampler.Name} have no density to weigh a proposal by: take {Names.either proposers}"

        let n = x.Shape[0] / k
        let path = model.Path
        let times = Sampling.times plan path
        let denoiser = Model.denoiser model condition

        // x̂, x̂ steered and log ψ at a state.
        let ask (time: float) (x: Tensor) : struct (Tensor * Tensor * Tensor) =
            let t = Integrator.time time

            let twist (look: Look) =
                match weighing.LookAhead with
                | None -> weighing.Twist look
                | Some ahead -> weighing.Twist { look with Data = ahead t x }

            match weighing.Correct with
            | None ->
                let data = denoiser t x
                let noGradient (_: Tensor) : Tensor = invalidOp "no gradient is needed to weigh particles"
                struct (data, data, twist (Steering.looking path t x data noGradient))
            | Some correct ->
                Diff.pulling (denoiser t) x (fun data pull ->
                    let look = Steering.looking path t x data pull
                    struct (data, correct look, twist look))

        let log = Array.zeroCreate<float>(n * k)
        let evidence = Array.zeroCreate<float> n
        let effectives = Collections.Generic.List<float * float>()
        let mutable resamplings = 0
        let mutable problem: Failure option = None

        let fail step from until reason remedy =
            problem <- Some { Step = step; From = from; To = until; Reason = reason; Remedy = remedy }

        let add (increments: Tensor) step from until =
            let values = Tensor.toFloats increments

            for i in 0 .. log.Length - 1 do
                log[i] <- log[i] + values[i]

            if log |> Array.exists (fun l -> Double.IsNaN l || l = infinity) then
                fail step from until "the weight of a particle is not a number" "take more steps, or a smaller tilt"
            elif
                Seq.exists
                    (fun (group: float[]) -> Array.forall Double.IsNegativeInfinity group)
                    (Array.chunkBySize k log)
            then
                fail
                    step
                    from
                    until
                    "the weights of all particles are −∞: what is asked for is impossible under the model"
                    "look at the reward or the observation, or take more particles"

        // Rows to go on with, where some group is to be drawn anew; its log-weights are taken into its evidence.
        let draw (step: int) (time: float) : Tensor option =
            let groups = Array.chunkBySize k log
            let shares = groups |> Array.map effective
            effectives.Add(time, Array.average shares)

            if Array.forall (fun share -> share >= particles.Threshold) shares then
                None
            else
                let u =
                    Tensor.toFloats (Rng.uniform Kind.Float64 [ n; 1 ] (Rng.at (int64 step) (Rng.named "resample" rng)))

                let rows =
                    groups
                    |> Array.mapi (fun g own ->
                        if shares[g] >= particles.Threshold then
                            Array.init k (fun i -> int64 (g * k + i))
                        else
                            resamplings <- resamplings + 1
                            evidence[g] <- evidence[g] + logMean own
                            Array.fill log (g * k) k 0.0
                            systematic u[g] own |> Array.map (fun i -> int64 (g * k + i)))

                Some((Tensor.ofArray [ n * k ] (Array.concat rows)).To x.Device)

        let accumulated (before: Tensor option) (now: Tensor) =
            match weighing.Potential, before with
            | Potential.Difference, _
            | _, None -> now
            | Potential.Max, Some before -> Tensor.maximum before now
            | Potential.Sum, Some before -> before + now

        let picking (rows: Tensor) (cloud: Cloud) : Cloud =
            let pick (x: Tensor) = Tensor.indexSelect 0 rows x

            { State =
                { cloud.State with
                    X = pick cloud.State.X
                    Memory = cloud.State.Memory |> List.map (fun (t, value) -> t, pick value)
                    Denoised = None }
              Data = pick cloud.Data
              Steered = pick cloud.Steered
              Twist = pick cloud.Twist }

        let onward (until: float) (cloud: Cloud) : Cloud =
            let state = cloud.State

            let moved, ratio =
                match weighing.Correct with
                | None ->
                    let readings =
                        { Readings.ofModel plan.Steps condition model with Denoises = (plan.Span.Finish = Denoise) }
                    Samplers.step plan.Sampler readings noise until state, None
                | Some _ ->
                    let plain (data: Tensor) (z: Tensor) (x: Tensor) =
                        let step = Samplers.step plan.Sampler (saying path plan.Steps data)
                        (step (Noise.given (Tensor.unsqueeze 0 z)) until (Integrator.start state.Time x)).X

                    let nothing = Tensor.zerosLike state.X
                    let own, proposed = plain cloud.Data nothing state.X, plain cloud.Steered nothing state.X

                    let deviation =
                        let first, data = Tensor.narrow 0 0 1 state.X, Tensor.narrow 0 0 1 cloud.Data
                        let at z = plain data z first
                        (Tensor.mean (at (Tensor.onesLike first) - at (Tensor.zerosLike first))).ToFloat()

                    let z = Noise.draw noise state.Step (state.Time, until) (0, 1) state.X
                    let next = proposed + deviation * z
                    let away (mean: Tensor) = Tensor.sumRows (Tensor.flattenRows (Tensor.square (next - mean)))

                    Integrator.moved state until next [] 1,
                    Some((away proposed - away own) / (2.0 * deviation * deviation))

            let struct (data, steered, twist) = ask until moved.X
            let twist = accumulated (Some cloud.Twist) twist
            let increment = twist - cloud.Twist

            add
                (ratio |> Option.map (fun ratio -> increment + ratio) |> Option.defaultValue increment)
                moved.Step
                state.Time
                until

            let next = { State = moved; Data = data; Steered = steered; Twist = twist }

            match problem with
            | Some _ -> next
            | None ->
                match draw moved.Step until with
                | None -> next
                | Some rows -> picking rows next

        Scope.run (fun () ->
            let mutable cloud =
                Scope.run (fun () ->
                    let x = Tensor.clone (x.To Dtype.Float64)
                    let struct (data, steered, twist) = ask times[0] x
                    add twist 0 times[0] times[0]
                    { State = Integrator.start times[0] x; Data = data; Steered = steered; Twist = twist })

            for step in 1 .. times.Length - 1 do
                if problem.IsNone then
                    cloud <- Scope.next (onward times[step]) cloud
                    seen step

            match problem with
            | Some failure -> Error failure
            | None ->
                let x =
                    match plan.Span.Finish with
                    | Denoise -> cloud.Data
                    | Stop -> cloud.State.X

                let last = times[times.Length - 1]
                add (weighing.Final x - cloud.Twist) times.Length last 0.0

                match problem with
                | Some failure -> Error failure
                | None when not (Double.IsFinite((Tensor.sum x).ToFloat())) ->
                    Error
                        { Step = times.Length
                          From = last
                          To = 0.0
                          Reason = "the particles are not finite any more"
                          Remedy = "take more steps or another grid" }
                | None ->
                    let groups = Array.chunkBySize k log
                    effectives.Add(0.0, Array.averageBy effective groups)
                    let u = Tensor.toFloats (Rng.uniform Kind.Float64 [ n; 1 ] (Rng.named "choose" rng))
                    let chosen = groups |> Array.mapi (fun g own -> int64 (g * k + drawOne u[g] own))
                    let highest = groups |> Array.map Array.max
                    let weights = log |> Array.mapi (fun i l -> Math.Exp(l - highest[i / k]))
                    let weights = Tensor.ofArray [ n; k ] weights

                    Ok
                        { X = Tensor.indexSelect 0 ((Tensor.ofArray [ n ] chosen).To x.Device) x
                          Particles = x
                          Weights = weights / Tensor.sumKeep [ 1 ] weights
                          LogEvidence = Array.map2 (fun z own -> z + logMean own) evidence groups
                          Effective = List.ofSeq effectives
                          Resamplings = float resamplings / float n })
