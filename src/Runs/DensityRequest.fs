namespace Fokker

/// How a log-density is found.
[<RequireQualifiedAccess>]
type DensityMethod =
    /// An exact law's closed form.
    | ClosedForm
    /// Along the probability flow.
    | Flow

/// What log-densities are asked for.
[<NoComparison; NoEquality>]
type DensityRequest =
    {
        Generation: GenerationRequest
        /// By default the closed form where there is one, and the flow elsewhere.
        Method: DensityMethod option
        /// How the flow's divergence is found.
        Trace: Trace option
        /// Random directions that estimate it, in the place of the trace's own number of them.
        Probes: int option
        /// Bytes that the field's graph may take.
        Memory: int64 option
        /// The time t of the density p_t.
        Time: float option
    }

[<RequireQualifiedAccess>]
module DensityRequest =

    /// Nothing asked for: every default chosen for the model.
    let standard: DensityRequest =
        { Generation = GenerationRequest.standard
          Method = None
          Trace = None
          Probes = None
          Memory = None
          Time = None }

/// Log-densities that can be found: what a `DensityRequest` comes to.
[<NoComparison; NoEquality>]
type DensityTask =
    {
        Model: GenerativeModel
        Way: DensityWay
        /// The t of p_t.
        Time: float
        /// Samples at once.
        Batch: int
        /// What the network is told of the samples, one row for all or one for each (`Drawing.Given`).
        Given: Tensor option
    }

/// Log-densities as they are asked for: which way they are found, and what that way has no use for.
[<RequireQualifiedAccess>]
module internal DensityValidation =

    /// Log-densities as they are asked for.
    let task (model: GenerativeModel) (request: DensityRequest) : DensityTask =
        GenerationValidation.requireAtLeast 1 Setting.Probes request.Probes
        let model = GenerativeModel.unrounded model

        match request.Memory with
        | Some bytes when bytes < 1L -> refuse Setting.Memory bytes $"expected a positive size"
        | _ -> ()

        match request.Time with
        | Some t when not (t >= 0.0 && t <= 1.0) ->
            refuse Setting.Time t $"expected a time from 0, the data, to 1, the noise"
        | _ -> ()

        let byFlow () =
            let struct (model, drawing) = GenerationValidation.alongFlow model request.Generation
            let flow = FlowPlan.make "a likelihood" model drawing request.Time
            let trace = Densities.trace model request.Trace request.Probes

            match Densities.alongFlow flow trace drawing.Label, request.Memory with
            | AlongFlow(flow, likelihood), Some bytes ->
                struct (model, drawing, AlongFlow(flow, { likelihood with Memory = bytes }), flow.Plan.Span.Clean)
            | way, _ -> struct (model, drawing, way, flow.Plan.Span.Clean)

        // What some ways of finding a density have no use for, and whether it was given.
        let solver = [ Setting.Solver, request.Generation.Solver.IsSome; Setting.Grid, request.Generation.Grid.IsSome ]

        let steps = [ Setting.Steps, request.Generation.Steps.IsSome ]
        let trace = [ Setting.Trace, request.Trace.IsSome ]
        let probes = [ Setting.Probes, request.Probes.IsSome ]
        let memory = [ Setting.Memory, request.Memory.IsSome ]

        let elsewhere =
            [ Setting.Method, request.Method.IsSome; Setting.Time, (request.Time.IsSome && request.Time <> Some 0.0) ]

        let tolerances =
            [ Setting.RelativeTolerance, request.Generation.RelativeTolerance.IsSome
              Setting.AbsoluteTolerance, request.Generation.AbsoluteTolerance.IsSome ]

        let refusing (settings: (Setting * bool) list) (say: Setting -> unit) =
            settings |> List.filter snd |> List.iter (fst >> say)

        let byJumps =
            match model.Dynamics with
            | Mapping({ Domain = Between(noisy, clean); WithLogDeterminant = Some _ } as map) when
                request.Generation.Solver.IsNone
                && request.Generation.Grid.IsNone
                && request.Generation.RelativeTolerance.IsNone
                && request.Generation.Guidance.Scale.IsNone
                && request.Generation.Guidance.Composition.IsEmpty
                && request.Trace.IsNone
                && request.Probes.IsNone
                && request.Memory.IsNone
                && (request.Time.IsNone || request.Time = Some clean)
                && model.Source.IsNone
                ->
                let struct (model, drawing) = GenerationValidation.generation model request.Generation
                let jumps = defaultArg request.Generation.Steps 4
                let times = Array.init (jumps + 1) (fun k -> clean + float k / float jumps * (noisy - clean))
                Some(struct (model, drawing, ByJumps(map, times), clean))
            | Jumping _ ->
                refusing (trace @ memory @ elsewhere) (fun setting ->
                    refuse
                        setting
                        ""
                        $"{model.Name} jumps: of its log-density a bound is known, at the data, and no flow is followed: leave it out")

                let way = Densities.bounded model request.Probes
                let struct (model, drawing) = GenerationValidation.generation model request.Generation
                way |> Option.map (fun way -> struct (model, drawing, way, 0.0))
            | Mapping({ Domain = Ends _ } as map) ->
                refusing (trace @ probes @ memory @ elsewhere) (fun setting ->
                    refuse
                        setting
                        ""
                        $"{model.Name} is an exact flow, which says the density of the data itself: leave it out")

                let struct (model, drawing) = GenerationValidation.generation model request.Generation
                Some(struct (model, drawing, ByJumps(map, [| 0.0; 1.0 |]), 0.0))
            | _ -> None

        let struct (model, drawing, way, time) =
            match request.Method, model.Origin with
            | (None | Some DensityMethod.ClosedForm), Origin.Exact(_, mixture) ->
                refusing (solver @ steps @ trace @ probes @ memory @ tolerances) (fun setting ->
                    refuseWith
                        setting
                        ""
                        $"the closed form takes no steps"
                        $"""it goes with {Setting.Method.Is "flow"}""")

                let struct (model, drawing) = GenerationValidation.generation model request.Generation
                let time = defaultArg request.Time 0.0
                struct (model, drawing, ClosedForm(Densities.law model drawing.Label mixture), time)
            | Some DensityMethod.ClosedForm, (Origin.Trained _ | Origin.Supplied) ->
                refuseWith
                    Setting.Method
                    "exact"
                    $"the density of {model.Name} has no closed form"
                    $"""it is found with {Setting.Method.Is "flow"}"""
            | None, _ when model.Dynamics.IsLandscape ->
                let time = [ Setting.Time, request.Time.IsSome ]

                refusing (solver @ trace @ probes @ memory @ time @ tolerances) (fun setting ->
                    refuse
                        setting
                        ""
                        $"an energy is normalized by annealed importance sampling, over as many laws as {Setting.Steps} says: leave it out")

                let struct (model, drawing) = GenerationValidation.generation model request.Generation
                struct (model, drawing, (Densities.normalized model request.Generation.Steps).Value, 0.0)
            // A map that has learned its log-determinant takes jumps, unless steps are asked for.
            | None, _ when byJumps.IsSome -> byJumps.Value
            | _ -> byFlow ()

        { Model = model; Way = way; Time = time; Batch = drawing.Batch; Given = drawing.Given }
