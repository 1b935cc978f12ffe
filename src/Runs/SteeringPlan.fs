namespace Fokker

open System

/// What particle filters came to while samples were drawn, batch by batch.
type SteeringRecord() =
    let evidence = Collections.Generic.List<float>()
    let effective = Collections.Generic.List<struct (int * (float * float) list)>()
    let mutable resamplings = 0.0

    /// log Z of each sample's particles: the exponential is an unbiased estimate of p(y), or of E e^{λ r(x₀)}, under the sampler's own law.
    member _.LogEvidence: float[] = evidence.ToArray()

    /// How often a sample's particles were drawn anew, on the average.
    member _.Resamplings: float = resamplings / float (max 1 evidence.Count)

    /// Time and effective share of the particles, the mean over all samples.
    member _.Effective: (float * float) list =
        match List.ofSeq effective with
        | [] -> []
        | struct (_, first) :: _ as all ->
            let total = all |> List.sumBy (fun (struct (n, _)) -> float n)

            [ for k, (time, _) in List.indexed first ->
                  time, all |> List.sumBy (fun (struct (n, course)) -> float n / total * snd course[k]) ]

    member internal _.See(swarm: Swarm) =
        evidence.AddRange swarm.LogEvidence
        effective.Add(struct (swarm.LogEvidence.Length, swarm.Effective))
        resamplings <- resamplings + float swarm.LogEvidence.Length * swarm.Resamplings

/// How samples are steered: a method, held against its target in the network's units.
[<NoComparison; NoEquality>]
type SteeringPlan =
    {
        Method: SteeringMethod
        /// y [1; …], or a row for each sample.
        Target: SteeringTarget
        Particles: Particles option
        /// A map along the flow of the same law, whose end is looked at in the place of E[x₀ | x_t] where particles are weighed.
        LookAhead: FlowMap option
        Record: SteeringRecord
    }

[<RequireQualifiedAccess>]
module SteeringPlan =

    /// The target of samples `first` … `first + n − 1`, each `times` times in a row.
    let private rows (first: int) (n: int) (times: int) (target: SteeringTarget) : SteeringTarget =
        match target.Seen with
        | Some(_, y) when y.Shape[0] > 1 -> target.Seeing(Tensor.repeatInterleave times 0 (Tensor.narrow 0 first n y))
        | _ -> target

    let private onDevice (device: Device) (target: SteeringTarget) : SteeringTarget =
        match target.Seen with
        | Some(_, y) -> target.Seeing(y.To device)
        | None -> target

    let private target (plan: SamplingPlan) (first: int) (n: int) (times: int) (steering: SteeringPlan) =
        rows first n times steering.Target |> onDevice plan.Kind.Device

    /// The plan and the model of samples `first` … `first + n − 1`, for a method without particles. What steers computes in the state's float64, around a
    /// network in its own element type.
    let apply
        (steering: SteeringPlan)
        (plan: SamplingPlan)
        (first: int)
        (n: int)
        (model: Model)
        : struct (SamplingPlan * Model) =
        let own = target plan first n 1 steering
        let model = Sampling.widenedModel plan.Kind model
        let plan = { plan with Kind = Kind.Float64.On plan.Kind.Device }

        match steering.Method.Way with
        | Corrects make -> struct (plan, Steering.corrected (make false own).Correct model)
        | Wraps(draws, wrap) -> struct ({ plan with Sampler = Steering.wrapped draws (wrap own) plan.Sampler }, model)
        | Weighs _ -> invalidOp "a method that weighs has particles"

    /// log of what a sample is weighed by in the end.
    let final (target: SteeringTarget) (x: Tensor) : Tensor =
        [ target.Seen |> Option.map (fun (sensor, y) -> Sensor.logLikelihood sensor y x)
          target.Reward |> Option.map (fun (reward, tilt) -> tilt * reward.Value x) ]
        |> List.choose id
        |> List.reduce (+)

    /// The particles of samples `first` … `first + n − 1` from their starts x [n · K; …].
    let swarm
        (steering: SteeringPlan)
        (particles: Particles)
        (plan: SamplingPlan)
        (first: int)
        (n: int)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (rng: Rng)
        (seen: int -> unit)
        (x: Tensor)
        : Result<Swarm, Failure> =
        let own = target plan first n particles.Count steering
        let model = Sampling.widenedModel plan.Kind model

        let weighing =
            match steering.Method.Way with
            | Corrects make ->
                let steered = make true own

                { Correct = Some steered.Correct
                  Twist = steered.Twist
                  Final = final own
                  Potential = Potential.Difference
                  LookAhead = None }
            | Weighs potential ->
                { Correct = None
                  Twist = fun look -> final own look.Data
                  Final = final own
                  Potential = potential
                  LookAhead = None }
            | Wraps _ -> invalidOp "a method that wraps a step has no particles"

        let ahead (map: FlowMap) : Field =
            let network = Sampling.widened plan.Kind map.Map condition

            match map.Domain with
            | ToData -> network
            | Ends _ -> invalidOp "an exact flow as a look-ahead is refused before"
            | Between(_, clean) ->
                fun t x ->
                    if (Tensor.max t).ToFloat() > clean then FlowMap.jump network t (Integrator.time clean) x else x

        let weighing = { weighing with LookAhead = steering.LookAhead |> Option.map ahead }
        SteeringParticles.run particles weighing plan model condition noise rng seen x
