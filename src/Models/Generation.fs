namespace Fokker

/// Samples from whatever was dynamics: the one place where a trained network, of any objective, meets a sampler.
[<RequireQualifiedAccess>]
module Generation =

    /// The plan of a sampler with so many steps: where sampling begins and ends depends on what was dynamics. Raises ArgumentException
    /// where the sampler needs a score that was not dynamics.
    let plan (sampler: Sampler) (steps: int) (dynamics: Dynamics) : SamplingPlan =
        let between (noisy, clean) : SamplingPlan =
            { Sampler = sampler
              Grid = sampler.Grid
              Steps = steps
              Span = { Noisy = noisy; Clean = clean; Finish = Stop }
              Kind = Kind.Float32 }

        let noEnergy () =
            invalidArg
                (nameof sampler)
                $"{sampler.Name} needs an energy without time, and this model has none: take heun, for instance"

        match dynamics with
        | Landscape _ ->
            match sampler.Follows with
            | Target _ -> between (1.0, 0.0)
            | _ ->
                let names = String.concat ", " (EnergySamplers.all |> List.map _.Name)
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name} follows noise to data in time, and this model is an energy without time: take one of {names}"
        | Denoising model ->
            // A step that needs what this model does not have says so when it is made.
            Samplers.step sampler (Readings.ofModel steps None model) |> ignore
            Sampling.plan sampler steps model
        | Transport flow ->
            match sampler.Follows, flow.Noise with
            | Velocity _, _ -> between (1.0, 0.0)
            | Process _, Some _ -> between (1.0 - 1e-3, 1e-3)
            | Process _, None ->
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name} needs a score, and a coupled flow has none: take a sampler of the probability flow, or learn z with sf2m"
            | Denoiser _, _ ->
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name} needs E[x₀ | x] on a Gaussian path, and a coupled flow has none: take a Runge–Kutta method, heun for instance"
            | Target _, _ -> noEnergy ()
            | Leaps _, _ ->
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name} is of models that jump, and this one flows: take a Runge–Kutta method, heun for instance"
        | Mapping { Domain = ToData; Path = path } ->
            let low, high = path.Interior
            { between (high, low) with Grid = Grid.karras }
        | Mapping { Domain = Between(noisy, clean) } -> { between (noisy, clean) with Grid = Grid.uniform }
        | Mapping { Domain = Ends _ } -> { between (1.0, 0.0) with Grid = Grid.uniform; Steps = 1 }
        | Jumping jumps ->
            match sampler.Follows, jumps.Space with
            | Leaps corrections, JumpSpace.Line _ when corrections > 0 ->
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name}: corrections are of tokens, and this model jumps on the line: leave them out"
            | Leaps _, _ -> { between (1.0, JumpProcess.last jumps) with Grid = Grid.uniform }
            | _ ->
                invalidArg
                    (nameof sampler)
                    $"{sampler.Name} follows a flow, and the samples of this model jump: take {JumpSamplers.leaping.Name}"

    /// The flow of what was dynamics, with the network in the plan's element type; none where it jumps.
    let flow (plan: SamplingPlan) (dynamics: Dynamics) (condition: Condition) : Ode option =
        match dynamics with
        | Denoising model ->
            Some(Ode.ofModel condition { model with Network = Sampling.widened plan.Kind model.Network })
        | Transport flow -> Some(Flow.ode condition { flow with Velocity = Sampling.widened plan.Kind flow.Velocity })
        | Mapping _
        | Jumping _
        | Landscape _ -> None

    /// What takes the noise off that is left at the end of a plan's span: E[x₀ | x], where that is how it ends.
    let denoiser (plan: SamplingPlan) (dynamics: Dynamics) (condition: Condition) : Field option =
        match plan.Span.Finish, dynamics with
        | Denoise, Denoising model ->
            Some(Model.denoiser (Model.withNetwork (Sampling.widened plan.Kind model.Network) model) condition)
        | _ -> None

    let private step (plan: SamplingPlan) (dynamics: Dynamics) (condition: Condition) : Step =
        let widened (network: Condition -> Field) = Sampling.widened plan.Kind network

        match dynamics with
        | Denoising _ -> invalidOp "a model's own run is `Sampling.states`"
        | Transport flow ->
            let flow =
                { flow with
                    Velocity = widened flow.Velocity
                    Noise = flow.Noise |> Option.map (fun (noise, g2) -> widened noise, g2) }

            match plan.Sampler.Follows, Flow.sde condition flow with
            | Velocity tableau, _ -> Integrator.rungeKutta tableau (Flow.ode condition flow)
            | Process(_, step), Some sde -> step sde
            | _ -> invalidArg (nameof plan) "a coupled flow has no score: see Generation.plan"
        | Mapping map -> FlowMap.step (FlowMap.widened plan.Kind { map with Map = widened map.Map }) condition
        | Landscape energy ->
            match plan.Sampler.Follows with
            | Target step -> step (Energy.target plan.Kind energy condition)
            | _ -> invalidArg (nameof plan) "an energy has no flow: see Generation.plan"
        | Jumping jumps ->
            match plan.Sampler.Follows with
            | Leaps corrections ->
                JumpProcess.stepWith corrections { jumps with Network = widened jumps.Network } condition
            | _ -> invalidArg (nameof plan) "what jumps has no flow: see Generation.plan"

    /// The states of one batch from the start x to the sample, as they are reached. The caller owns each, and may stop at any.
    let states
        (plan: SamplingPlan)
        (path: GaussianPath)
        (dynamics: Dynamics)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : seq<Result<State, Failure>> =
        match dynamics with
        | Denoising model -> Sampling.states plan model condition noise x
        | Transport _
        | Jumping _
        | Landscape _
        | Mapping _ -> Integrator.states (step plan dynamics condition) noise (Sampling.times plan path) x
