namespace Fokker

open System

/// What is asked of steering, held against a model.
[<RequireQualifiedAccess>]
module SteeringChoice =

    let private observedName (request: SteeringRequest) =
        request.Observed |> Option.map _.Name |> Option.defaultValue ""

    /// Raises RefusedException where parts of the request need another one, or exclude each other.
    let private check (request: SteeringRequest) =
        let isAsked = request.Observation.IsSome || request.Reward.IsSome

        if not isAsked then
            for setting, given, isGiven in
                [ Setting.Observed, observedName request, request.Observed.IsSome
                  Setting.Tilt, (request.Tilt |> Option.map string |> Option.defaultValue ""), request.Tilt.IsSome
                  Setting.Steer, (request.Method |> Option.map _.Name |> Option.defaultValue ""), request.Method.IsSome
                  Setting.Particles,
                  (request.Particles |> Option.map string |> Option.defaultValue ""),
                  request.Particles.IsSome
                  Setting.Exact, "", request.Exact
                  Setting.LookAhead, "", request.LookAhead.IsSome ] do
                if isGiven then
                    refuseWith
                        setting
                        given
                        $"it does not say what samples are steered towards"
                        $"give an observation with {Setting.Observe} and {Setting.Observed}, or a reward with {Setting.Reward}"

        match request.Observation, request.Observed with
        | Some _, None ->
            refuseWith Setting.Observe "" $"it does not say what was seen" $"give that with {Setting.Observed}"
        | None, Some given ->
            refuseWith
                Setting.Observed
                given.Name
                $"it does not say what it is seen of a sample"
                $"give that with {Setting.Observe}"
        | _ -> ()

        match request.Tilt with
        | Some tilt when request.Reward.IsNone ->
            refuseWith Setting.Tilt tilt $"it is a number of a reward" $"give one with {Setting.Reward}"
        | Some tilt when not (Double.IsFinite tilt) -> refuse Setting.Tilt tilt $"expected a finite number"
        | _ -> ()

        match request.Particles with
        | Some n when n < 1 -> refuse Setting.Particles n $"expected a whole number of at least 1"
        | _ -> ()

        if request.Exact then
            for setting, given, isGiven in
                [ Setting.Steer, (request.Method |> Option.map _.Name |> Option.defaultValue ""), request.Method.IsSome
                  Setting.Particles,
                  (request.Particles |> Option.map string |> Option.defaultValue ""),
                  request.Particles.IsSome
                  Setting.LookAhead, "", request.LookAhead.IsSome ] do
                if isGiven then
                    refuse setting given $"{Setting.Exact} needs no method: leave one of the two out"

    /// What is seen of the samples of a model, in the network's units, and what was seen: y [1; …] or [n; …]. Raises RefusedException where it does not fit.
    let private sensor (request: SteeringRequest) (model: GenerativeModel) : (Sensor * Tensor) option =
        match request.Observation, request.Observed with
        | Some _, Some _ when model.Latent.IsSome ->
            refuseWith
                Setting.Observe
                ""
                $"{model.Name} draws latents, and what is seen of a decoded sample is no linear function of them"
                $"steer by a reward, which goes through the decoder: {Setting.Reward}"
        | Some observation, Some given ->
            let sensor =
                try
                    Sensor.make model.Shape observation
                with
                | :? ArgumentException as e -> refuse Setting.Observe "" $"{Refusal.reason e}"
                | :? TensorException as e ->
                    refuse
                        Setting.Observe
                        ""
                        $"the function does not take samples of {model.Name}: {Refusal.oneLine e.Message}"

            let y =
                try
                    Sensor.observed sensor given.Values
                with :? ArgumentException as e ->
                    refuse Setting.Observed given.Name $"{Refusal.reason e}"

            let scale = Units.toData { model.Units with Shift = Array.map (fun _ -> 0.0) model.Units.Shift }
            Some(Sensor.through (Units.toData model.Units) scale sensor, y)
        | _ -> None

    /// The request for how the flow is followed, with the sampler that the method's authors take where none is named: with particles one that draws.
    let generation (request: SteeringRequest) (own: GenerationRequest) : GenerationRequest =
        let method = request.Method
        let hasParticles = request.Particles.IsSome || method |> Option.exists (fun m -> m.Particles > 0)

        let usual = if hasParticles then Some Samplers.ancestral else method |> Option.bind _.Sampler

        match own.Solver, own.RelativeTolerance, usual with
        | None, None, Some sampler -> { own with Solver = Some sampler; Steps = own.Steps |> Option.orElse (Some 100) }
        | _ -> own

    /// The model that an exact law becomes once it has taken in what is known of its samples, or the model as it is where that is not asked for. Raises RefusedException
    /// where the law is not known, or nothing is left of it.
    let exact (request: SteeringRequest) (guidance: GuidanceRequest) (model: GenerativeModel) : GenerativeModel =
        check request

        if not request.Exact then
            model
        else
            match model.Origin, model.Dynamics with
            | Origin.Exact(file, mixture), Denoising score ->
                if guidance.Scale.IsSome || not guidance.Composition.IsEmpty then
                    refuse Setting.Exact "" $"a guided law is not known: leave the guidance out"

                let conditioned =
                    try
                        let seen =
                            match sensor request model with
                            | Some(_, y) when y.Shape[0] > 1 ->
                                refuse
                                    Setting.Observed
                                    (observedName request)
                                    $"an exact law takes in one observation: expected one, and it is of {y.Shape[0]}"
                            | Some(sensor, y) ->
                                let a, offset = Sensor.matrixOf sensor
                                let rows = Tensor.flattenRows (Sensor.basis sensor)
                                let seen = Linalg.matmul rows (Tensor.flatten y) - offset
                                (Conditioning.observed a sensor.Noise seen mixture).Law
                            | None -> mixture

                        match request.Reward with
                        | None -> seen
                        | Some choice ->
                            match (RewardChoice.reward choice model).Form with
                            | Some(w, q) -> (Conditioning.tilted (defaultArg request.Tilt 1.0) w q seen).Law
                            | None ->
                                refuse
                                    Setting.Exact
                                    ""
                                    $"the tilt of a mixture is known for linear and quadratic rewards, and this is neither"
                    with :? ArgumentException as e ->
                        refuse Setting.Exact "" $"{Refusal.reason e}"

                GenerativeModel.ofMixture file model.Path score.Prediction model.Kind conditioned
            | _ ->
                refuseWith
                    Setting.Exact
                    ""
                    $"the law of {model.Name} is not known"
                    $"leave it out, and steer by a method, mmps for instance"

    /// The law that steered samples should be of, where it is known: that of a mixture seen by a linear observation, or tilted by a linear or quadratic reward.
    let exactLaw (request: SteeringRequest) (guidance: GuidanceRequest) (model: GenerativeModel) : Mixture option =
        let request = { request with Exact = true; Method = None; Particles = None; LookAhead = None }

        match answer (fun () -> (exact request guidance model).Origin) with
        | Ok(Origin.Exact(_, law)) -> Some law
        | Ok _
        | Error _ -> None

    /// Raises RefusedException where a method is not for what is asked.
    let private requireFits (method: SteeringMethod) (target: SteeringTarget) =
        let named what = Steering.all |> List.filter what |> List.map _.Name |> Names.either

        let isLinear, isSeen =
            target.Seen
            |> Option.map (fun (sensor, _) -> sensor.Linear.IsSome, sensor.Seen.IsSome)
            |> Option.defaultValue (true, true)

        let sensorName = target.Seen |> Option.map (fun (sensor, _) -> sensor.Name) |> Option.defaultValue ""

        match target with
        | SteeringTarget.Both _ when not method.TakesBoth ->
            refuseWith
                Setting.Steer
                method.Name
                $"""it steers towards {if method.TakesRewards then "rewards" else "observations"} alone, and how it is to weigh both is not defined"""
                $"for an observation and a reward together take {named _.TakesBoth}"
        | SteeringTarget.Rewarded _ when not method.TakesRewards ->
            refuseWith
                Setting.Steer
                method.Name
                $"it steers towards observations"
                $"for a reward take {named _.TakesRewards}"
        | SteeringTarget.Observed _ when not method.TakesObservations ->
            refuseWith
                Setting.Steer
                method.Name
                $"it steers towards rewards"
                $"for an observation take {named _.TakesObservations}"
        // A reward is any function, and so is what is seen where it is a part of one.
        | _ when not isLinear && not method.TakesFunctions && method.TakesObservations ->
            refuseWith
                Setting.Steer
                method.Name
                $"it is for linear observations, and {sensorName} is not"
                $"take {named (fun m -> m.TakesFunctions && (m.TakesBoth || not target.IsBoth))}"
        | _ when not isSeen && method.SeenOnly ->
            refuseWith
                Setting.Steer
                method.Name
                $"it puts numbers that are seen in their place, and {sensorName} shows none as they are"
                $"take mmps, or observe by a mask or coordinates"
        | _ -> ()

    let private particles
        (request: SteeringRequest)
        (method: SteeringMethod)
        (target: SteeringTarget)
        (sampler: Sampler)
        =
        match request.Particles, method.Particles, method.Way with
        | Some n, _, Wraps _ ->
            refuseWith
                Setting.Particles
                n
                $"the steps of {method.Name} have no density to weigh particles by"
                $"take mmps, tds, gradient or fk-difference"
        | None, 0, _ -> None
        | asked, usual, way ->
            let count = defaultArg asked usual

            match target.Seen with
            | Some(sensor, _) when sensor.Noise = 0.0 ->
                refuse
                    Setting.Particles
                    count
                    $"their weights divide by the variance of the noise, and the observation has none: give it a little"
            | _ -> ()

            if not sampler.IsStochastic then
                refuseWith
                    Setting.Solver
                    sampler.Name
                    $"it draws nothing on its way, and particles drawn anew would stay equal"
                    $"take ancestral or euler-maruyama"

            match way with
            | Corrects _ when not (List.contains sampler.Name SteeringParticles.proposers) ->
                refuseWith
                    Setting.Solver
                    sampler.Name
                    $"its steps have no density to weigh a proposal by"
                    $"take {Names.either SteeringParticles.proposers}, or particles without one, fk-difference for instance"
            | _ -> ()

            Some(SteeringParticles.ofCount count)

    let private lookAhead (request: SteeringRequest) (model: GenerativeModel) (hasParticles: bool) =
        match request.LookAhead with
        | None -> None
        | Some _ when not hasParticles ->
            refuseWith
                Setting.LookAhead
                ""
                $"it is where particles are weighed"
                $"take some with {Setting.Particles.Is 64}, or a method that has them, fk-difference for instance"
        | Some other ->
            let other = other.Value

            match other.Dynamics with
            | Mapping { Domain = Ends _ } ->
                refuse
                    Setting.LookAhead
                    other.Name
                    $"it is an exact flow, which knows nothing of samples on their way: take one trained by lsd, psd or ct for instance"
            | Mapping map when
                other.Shape = model.Shape
                && other.Path.Name = model.Path.Name
                && other.Units = model.Units
                && LatentSpace.same other.Latent model.Latent
                ->
                Some map
            | Mapping _ ->
                refuse
                    Setting.LookAhead
                    other.Name
                    $"it is a map of other data or on another path than {model.Name}: take one trained on the same"
            | _ ->
                refuseWith
                    Setting.LookAhead
                    other.Name
                    $"it is no map along the flow"
                    $"take one trained by lsd, psd or ct for instance"

    /// The steering that is asked for; none where none is, or an exact law took it in. Raises RefusedException where the model knows no score, or the method, the target, the sampler do
    /// not go together.
    let plan (request: SteeringRequest) (model: GenerativeModel) (sampler: Sampler) : SteeringPlan option =
        let target =
            if request.Exact then
                None
            else
                let rewarded =
                    request.Reward
                    |> Option.map (fun choice -> RewardChoice.reward choice model, defaultArg request.Tilt 1.0)

                match sensor request model, rewarded with
                | Some(sensor, y), None -> Some(SteeringTarget.Observed(sensor, y))
                | None, Some(reward, tilt) -> Some(SteeringTarget.Rewarded(reward, tilt))
                | Some(sensor, y), Some(reward, tilt) -> Some(SteeringTarget.Both(sensor, y, reward, tilt))
                | None, None -> None

        match target with
        | None -> None
        | Some target ->
            model.ScoreModel(Setting.Steer, (request.Method |> Option.map _.Name |> Option.defaultValue ""))
            |> ignore

            let usual =
                match target with
                | SteeringTarget.Rewarded _ -> Steering.gradient
                | SteeringTarget.Observed({ Linear = None }, _) -> Steering.dps
                | SteeringTarget.Both({ Linear = None }, _, _, _) -> Steering.fkDifference
                | SteeringTarget.Observed _
                | SteeringTarget.Both _ -> Steering.mmps

            let method = defaultArg request.Method usual
            requireFits method target
            let particles = particles request method target sampler

            // What a method needs of an observation, for its weights or at all, is known before the first step, and refused there.
            match method.Way with
            | Corrects make ->
                try
                    Scope.run0 (fun () -> make particles.IsSome target |> ignore)
                with :? ArgumentException as e ->
                    let setting = if particles.IsSome then Setting.Particles else Setting.Steer
                    refuse setting "" $"{Refusal.reason e}"
            | _ -> ()

            Some
                { Method = method
                  Target = target
                  Particles = particles
                  LookAhead = lookAhead request model particles.IsSome
                  Record = SteeringRecord() }

    /// How many samples the observation has a row for; none where all have the same.
    let rows (steering: SteeringPlan option) : int option =
        match steering |> Option.bind _.Target.Seen with
        | Some(_, y) when y.Shape[0] > 1 -> Some y.Shape[0]
        | _ -> None
