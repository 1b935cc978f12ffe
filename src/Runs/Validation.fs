namespace Fokker

open System

/// What samples are asked for. Anything you leave out gets a default chosen for your model: `{ SamplingRequest.standard with Count = Some 100 }`.
[<NoComparison; NoEquality>]
type SamplingRequest =
    {
        Generation: GenerationRequest
        Steering: SteeringRequest
        /// How many samples; arrays that are given determine it.
        Count: int option
        Seed: int64
        /// The time to begin at.
        From: float option
        /// The time to end at, with samples of x_t.
        To: float option
        /// Whether the last step goes from there to E[x₀ | x].
        Denoise: bool
        /// The states to begin from, [n; …] in the network's units.
        Start: GivenArray option
        /// The standard normal numbers to begin from, [n; …].
        Noise: GivenArray option
        /// The points to begin from, [n; …] in the source's own units, for a flow between two data sets.
        SourceSamples: GivenArray option
        /// The standard normal numbers that a stochastic sampler draws on its way, [draws; n; …].
        Replay: GivenArray option
        /// Whether what is drawn on the way is one Brownian motion.
        Brownian: bool
        /// How many steps are found at once by Picard's iteration.
        Parallel: int option
        /// The change of a state, in deviations of an ancestral step's noise, below which it is final.
        ParallelTolerance: float option
    }

[<RequireQualifiedAccess>]
module SamplingRequest =

    /// Nothing asked for: every default chosen for the model.
    let standard: SamplingRequest =
        { Generation = GenerationRequest.standard
          Steering = SteeringRequest.none
          Count = None
          Seed = 0L
          From = None
          To = None
          Denoise = false
          Start = None
          Noise = None
          SourceSamples = None
          Replay = None
          Brownian = false
          Parallel = None
          ParallelTolerance = None }

/// Samples that can be drawn: what a `SamplingRequest` comes to.
[<NoComparison; NoEquality>]
type SamplingTask =
    {
        /// The model, under the guidance that was asked for.
        Model: GenerativeModel
        Drawing: Drawing
        Count: int
        Seed: int64
    }

    /// The stream that the samples are drawn from.
    member task.Key = Rng.ofSeed task.Seed |> Rng.named "sample"

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

/// What an evaluation is asked to be: samples as they are asked for, against data that are held out.
[<NoComparison; NoEquality>]
type EvaluationRequest =
    {
        Sampling: SamplingRequest
        /// Pairs of sets that each figure is a mean over.
        Draws: int option
        /// Samples in a set.
        SamplesPerDraw: int option
    }

[<RequireQualifiedAccess>]
module EvaluationRequest =

    /// Nothing asked for: every default chosen for the model and the data.
    let standard: EvaluationRequest = { Sampling = SamplingRequest.standard; Draws = None; SamplesPerDraw = None }

/// The one place where what can be asked of a model is decided: every front end fills a request, and hears a task or a refusal. Each function raises
/// RefusedException; `Refusing.answer` makes a value of it.
[<RequireQualifiedAccess>]
module Validation =

    let private requireAtLeast (least: int) (setting: Setting) (value: int option) =
        match value with
        | Some n when n < least -> refuse setting n $"expected a whole number of at least {least}"
        | _ -> ()

    /// A map jumps. Where a solver is asked for, a map of two times is followed by its own velocity; one to the data knows none, and takes no solver.
    let private followed (request: GenerationRequest) (model: GenerativeModel) : GenerativeModel =
        let asked =
            [ Setting.Solver, request.Solver |> Option.map _.Name
              Setting.Grid, request.Grid |> Option.map _.Name
              Setting.RelativeTolerance, request.RelativeTolerance |> Option.map string
              Setting.AbsoluteTolerance, request.AbsoluteTolerance |> Option.map string ]
            |> List.choose (fun (setting, value) -> value |> Option.map (fun value -> setting, value))

        match model.Dynamics, asked with
        | Mapping { Domain = Ends _ }, (setting, value) :: _ ->
            refuseWith
                setting
                value
                $"{model.Name} is an exact flow: one evaluation takes the noise to the data, and it needs no solver"
                $"leave {setting} out"
        | Jumping _, (setting, value) :: rest ->
            let isLeaping =
                match request.Solver |> Option.map _.Follows with
                | Some(Leaps _) -> true
                | _ -> false

            match rest with
            | [] when isLeaping -> model
            | (setting, value) :: _ when isLeaping ->
                refuseWith
                    setting
                    value
                    $"the samples of {model.Name} jump in even steps"
                    $"leave {setting} out, and say how many with {Setting.Steps}"
            | _ ->
                refuseWith
                    setting
                    value
                    $"the samples of {model.Name} jump: there is no flow that a solver could follow"
                    $"leave {setting} out, or take {JumpSamplers.leaping.Name}, and say how many steps with {Setting.Steps}"
        | Mapping { Domain = Ends _ }, [] when (request.Steps |> Option.exists ((<>) 1)) ->
            refuse
                Setting.Steps
                request.Steps.Value
                $"{model.Name} is an exact flow, whose samples take one step: leave it out"
        | Mapping { Domain = ToData }, (setting, value) :: _ ->
            refuseWith
                setting
                value
                $"{model.Name} is a map along the flow to the data, which knows no velocity and needs no solver"
                $"leave {setting} out, and say how many evaluations with {Setting.Steps}"
        | Mapping { Domain = Between _ }, _ :: _ -> GenerativeModel.following model
        | _ -> model

    /// What a model is told, as its network takes it. Raises RefusedException where it is told no numbers, or these are of another shape.
    let private told (model: GenerativeModel) (given: GivenArray) : Tensor =
        let kind = GenerativeModel.given given.Name model

        let inside =
            if given.Values.Rank < 2 || given.Values.Shape[0] = 0 then
                None
            else
                Given.inside model.Shape model.Units kind given.Values

        match inside with
        | Some told -> told
        | None ->
            refuse
                Setting.Given
                given.Name
                $"it is {given.Values.Describe()}: expected {Given.expected model.Shape kind}"

    /// What a model is told of its samples, from the class and what else is said of them: a class alone is the drawing's, one of several things is among the numbers.
    let private condition (model: GenerativeModel) (request: GenerationRequest) : struct (int option * Tensor option) =
        let label = request.Class |> Option.map (GenerativeModel.label model)
        let rest = request.Given |> Option.map (told model)

        match model.Given with
        | Some given when Given.hasClass given && (label.IsSome || rest.IsSome) ->
            if not model.Null && (label.IsNone || rest.IsNone) then
                refuse
                    (if label.IsNone then Setting.Class else Setting.Given)
                    ""
                    $"{model.Name} was told {Given.text given} of every sample, and never learned what samples look like without either: say both"

            let rest =
                rest
                |> Option.defaultWith (fun () ->
                    Tensor.full Kind.Float64 (1 :: Given.shape model.Shape (Given.rest given)) nan)

            let labels = Tensor.full Kind.Int64 [ rest.Shape[0] ] (float (defaultArg label -1))
            struct (None, Some(Given.withClass labels rest))
        | _ -> struct (label, rest)

    /// The model under the guidance that is asked for, and how it is followed.
    let generation (model: GenerativeModel) (request: GenerationRequest) : struct (GenerativeModel * Drawing) =
        requireAtLeast 1 Setting.Steps request.Steps

        // The times of all steps are held at once.
        match request.Steps with
        | Some n when n > Allowed.MostWhole -> refuse Setting.Steps n $"expected at most {Allowed.MostWhole}"
        | _ -> ()

        requireAtLeast 1 Setting.Batch request.Batch
        let model = followed request model |> Guided.apply request.Guidance
        let standard = Samples.standardFor model
        let control = FlowPlan.control model.Kind request.RelativeTolerance request.AbsoluteTolerance

        let sampler =
            match request.Solver, control with
            | Some sampler, _ -> sampler
            // Adaptive steps need an estimate of their error, which the standard sampler has not.
            | None, Adaptive _ -> Catalogue.samplers.Find Tableau.dormandPrince.Name
            | None, Fixed -> standard.Sampler

        match control with
        | Adaptive _ ->
            for setting, isGiven in [ Setting.Steps, request.Steps.IsSome; Setting.Grid, request.Grid.IsSome ] do
                if isGiven then
                    refuse
                        setting
                        ""
                        $"with {Setting.RelativeTolerance} the steps are chosen by their error: leave one of the two out"
        | Fixed -> ()

        let struct (label, given) = condition model request

        let drawing =
            { standard with
                Sampler = sampler
                Batch = defaultArg request.Batch standard.Batch
                Label = label
                Given = given
                Control = control }
            |> Samples.onGrid
                model
                (request.Grid
                 |> Option.defaultValue (if sampler.Name = standard.Sampler.Name then standard.Grid else sampler.Grid))
                request.Steps

        match control with
        | Adaptive _ -> FlowPlan.tableau "adaptive sampling" model drawing |> ignore
        | Fixed -> ()

        struct (model, drawing)

    /// What a flow is followed by where a likelihood or latents are asked for: where nothing is said of its steps, their error chooses them.
    let private alongFlow (model: GenerativeModel) (request: GenerationRequest) : struct (GenerativeModel * Drawing) =
        let saysNothing =
            request.Solver.IsNone
            && request.Grid.IsNone
            && request.Steps.IsNone
            && request.RelativeTolerance.IsNone
            && request.AbsoluteTolerance.IsNone

        let usual = if saysNothing then FlowPlan.usualTolerance model else None
        generation model { request with RelativeTolerance = Option.orElse usual request.RelativeTolerance }

    /// The numbers of an array of a shape after so many axes, samples of the model or states on their way. Raises RefusedException where it is of another shape, empty or not finite.
    let private arrayOf
        (model: GenerativeModel)
        (shape: int list)
        (axes: string list)
        (setting: Setting)
        (given: GivenArray)
        : Tensor =
        let x = given.Values
        let wanted = String.Join("; ", axes @ List.map string shape)
        let what = if shape = model.Shape then "samples" else "latents"

        if x.Rank < axes.Length || List.ofArray x.Shape[axes.Length ..] <> shape then
            refuse setting given.Name $"its shape is {x.Describe()}: {model.Name} is of {what} [{wanted}]"

        if x.Count = 0L then
            refuse setting given.Name $"it holds no samples: expected [{wanted}]"

        if not ((Tensor.all (Tensor.isFinite x)).ToBool()) then
            refuse setting given.Name $"it holds NaN or infinity: expected finite numbers"

        x.To Dtype.Float64

    /// Samples that were given for a model, [n; …] float64 in the data's units. Raises RefusedException where they do not fit.
    let samples (model: GenerativeModel) (setting: Setting) (given: GivenArray) : Tensor =
        arrayOf model model.Shape [ "n" ] setting given

    /// Raises RefusedException where two settings that say the same thing are both given.
    let private exclude (what: FormattableString) (given: (Setting * string option) list) =
        match given |> List.choose (fun (setting, value) -> value |> Option.map (fun value -> setting, value)) with
        | (first, value) :: (second, other) :: _ ->
            let second: obj = if other = "" then second else second.Is other
            refuse first value $"{second} says {what} too: leave one of them out"
        | _ -> ()

    /// Raises RefusedException where what else is asked for does not go with steering.
    let private refuseBesideSteering (request: SamplingRequest) (drawing: Drawing) =
        match drawing.Steering with
        | None -> ()
        | Some steering ->
            let wraps =
                match steering.Method.Way with
                | Wraps _ -> true
                | Corrects _
                | Weighs _ -> false

            let draws = steering.Method.SeenOnly
            let swarms = steering.Particles.IsSome

            let several = steering.Target.Seen |> Option.exists (fun (_, y) -> y.Shape[0] > 1)

            let steps: FormattableString = $"{steering.Method.Name} steers the steps of a grid, one after the other"
            let particles: FormattableString = $"the particles that stand for one sample are of one run on a grid"
            let rows: FormattableString = $"each sample has an observation of its own, and they go their way together"

            for setting, isGiven in
                [ Setting.RelativeTolerance, request.Generation.RelativeTolerance.IsSome
                  Setting.Parallel, request.Parallel.IsSome ] do
                if isGiven && (swarms || wraps || several) then
                    let reason =
                        if swarms then particles
                        elif wraps then steps
                        else rows
                    refuseWith setting "" reason $"leave {setting} out"

            if request.Brownian && (swarms || draws) then
                refuseWith
                    Setting.Brownian
                    ""
                    $"{steering.Method.Name} draws more than the sampler does, and one motion does not say it"
                    $"leave it out"

            if swarms && request.Replay.IsSome then
                refuseWith
                    Setting.Replay
                    ""
                    $"particles are drawn anew on their way, which given numbers do not say"
                    $"leave it out, or steer without {Setting.Particles}"

            if swarms && request.To.IsSome && not request.Denoise then
                refuseWith
                    Setting.To
                    request.To.Value
                    $"particles are weighed by what the data come to, and these would be no data yet"
                    $"add {Setting.Denoise}"

    /// Samples as they are asked for; what they are told of may be said later.
    let private asked (isToldLater: bool) (model: GenerativeModel) (request: SamplingRequest) : SamplingTask =
        let name (given: GivenArray option) = given |> Option.map _.Name
        requireAtLeast 1 Setting.Count request.Count
        requireAtLeast 1 Setting.Parallel request.Parallel

        exclude
            $"where to begin"
            [ Setting.Noise, name request.Noise
              Setting.Start, name request.Start
              Setting.SourceSamples, name request.SourceSamples ]

        exclude
            $"what is drawn on the way"
            [ Setting.Replay, name request.Replay; Setting.Brownian, (if request.Brownian then Some "" else None) ]

        for setting, given in
            [ Setting.Noise, request.Noise
              Setting.Start, request.Start
              Setting.SourceSamples, request.SourceSamples
              Setting.Replay, request.Replay ] do
            exclude $"how many samples" [ setting, name given; Setting.Count, Option.map string request.Count ]

        match request.Parallel, request.ParallelTolerance with
        | None, Some tolerance ->
            refuse Setting.ParallelTolerance tolerance $"it goes with {Setting.Parallel}, which finds steps at once"
        | _, Some tolerance when not (tolerance >= 0.0 && Double.IsFinite tolerance) ->
            refuse Setting.ParallelTolerance tolerance $"expected a number of at least 0"
        | Some window, _ when request.Replay.IsSome || request.Brownian || request.Generation.RelativeTolerance.IsSome ->
            let other =
                if request.Replay.IsSome then Setting.Replay
                elif request.Brownian then Setting.Brownian
                else Setting.RelativeTolerance

            refuse Setting.Parallel window $"{other} wants one step after the other: leave one of the two out"
        | _ -> ()

        match request.Parallel, model.Dynamics with
        | Some window, (Transport _ | Landscape _ | Mapping _ | Jumping _) ->
            refuse Setting.Parallel window $"it needs a model that knows the score, and {model.Name} does not"
        | _ -> ()

        if request.Brownian && model.Dynamics.IsLandscape then
            refuse Setting.Brownian "" $"the moves of a chain are no increments of one motion: leave it out"

        let generationRequest =
            // The standard sampler takes two evaluations a step, and is found at once no faster.
            if request.Parallel.IsSome && request.Generation.Solver.IsNone then
                { request.Generation with Solver = Some Samplers.ddim }
            else
                SteeringChoice.generation request.Steering request.Generation

        let model = SteeringChoice.exact request.Steering request.Generation.Guidance model

        // What steers corrects a denoiser or a step: a map of two times has one by its own velocity.
        let model = if SteeringRequest.isMethod request.Steering then GenerativeModel.following model else model

        let struct (model, drawing) = generation model generationRequest
        let drawing = { drawing with Steering = SteeringChoice.plan request.Steering model drawing.Sampler }
        refuseBesideSteering request drawing

        for setting, given in
            [ Setting.Replay, name request.Replay; Setting.Brownian, (if request.Brownian then Some "" else None) ] do
            match given with
            | Some given when not (Samplers.mayDraw drawing.Sampler) ->
                refuse
                    setting
                    given
                    $"{drawing.Sampler.Name} draws nothing on its way: leave it out, or take a stochastic sampler"
            | _ -> ()

        let array axes setting given = given |> Option.map (arrayOf model model.StateShape axes setting)

        let start =
            match request.SourceSamples, model.Source with
            | Some given, None ->
                refuseWith
                    Setting.SourceSamples
                    given.Name
                    $"{model.Name} starts from noise and from no other data"
                    $"give standard normal numbers with {Setting.Noise}"
            | Some given, Some source ->
                Some(Units.toNetwork source.Units (arrayOf model model.StateShape [ "n" ] Setting.SourceSamples given))
            | None, _ -> array [ "n" ] Setting.Start request.Start

        let unit =
            match request.Noise, model.Source with
            | Some given, Some source ->
                refuseWith
                    Setting.Noise
                    given.Name
                    $"{model.Name} starts from {source.Name} and not from noise"
                    $"give points of it with {Setting.SourceSamples}"
            | given, _ -> array [ "n" ] Setting.Noise given

        let replayed = array [ "draws"; "n" ] Setting.Replay request.Replay

        let drawing =
            { drawing with
                Start = start
                Unit = unit
                Draws =
                    match replayed with
                    | Some draws -> Draws.Replayed draws
                    | None when request.Brownian -> Draws.Brownian
                    | None -> Draws.Fresh
                Parallel =
                    request.Parallel
                    |> Option.map (fun window ->
                        { Window = window; Tolerance = defaultArg request.ParallelTolerance 0.1 }) }

        if request.Denoise && request.To.IsNone then
            refuse
                Setting.Denoise
                ""
                $"it goes with {Setting.To}, which says where: without it the last step denoises where it has to"

        let drawing =
            match request.From, request.To with
            | None, None -> drawing
            | _ when drawing.Grid.Own.IsSome ->
                refuse
                    Setting.Grid
                    drawing.Grid.Name
                    $"it begins and ends where its own times do: leave {Setting.From} and {Setting.To} out"
            | from, until when
                (match model.Dynamics with
                 | Mapping { Domain = Ends _ }
                 | Jumping _ -> defaultArg from 1.0 <> 1.0 || defaultArg until 0.0 <> 0.0
                 | _ -> false)
                ->
                let setting = if defaultArg from 1.0 <> 1.0 then Setting.From else Setting.To

                refuse
                    setting
                    (defaultArg (if setting = Setting.From then from else until) 0.0)
                    $"the samples of {model.Name} go all the way from the noise to the data: leave it out"
            | from, until -> { drawing with Span = Some(Samples.spanBetween model drawing from until request.Denoise) }

        let given =
            [ (if request.SourceSamples.IsSome then Setting.SourceSamples else Setting.Start),
              start |> Option.map (fun x -> x.Shape[0])
              Setting.Noise, unit |> Option.map (fun x -> x.Shape[0])
              Setting.Replay, replayed |> Option.map (fun x -> x.Shape[1])
              Setting.Given, drawing.Given |> Option.map (fun x -> x.Shape[0]) |> Option.filter (fun rows -> rows > 1)
              Setting.Observed, SteeringChoice.rows drawing.Steering ]
            |> List.choose (fun (setting, n) -> n |> Option.map (fun n -> setting, n))

        match SteeringChoice.rows drawing.Steering, request.Count with
        | Some n, Some count when count <> n ->
            refuse
                Setting.Observed
                ""
                $"it is of {n} samples, one each, and {Setting.Count.Is count} asks for others: leave one of the two out"
        | _ -> ()

        match drawing.Given, request.Count with
        | Some rows, Some count when rows.Shape[0] > 1 && rows.Shape[0] <> count ->
            refuse
                Setting.Given
                request.Generation.Given.Value.Name
                $"it is of {rows.Shape[0]} samples, one each, and {Setting.Count.Is count} asks for others: leave one of the two out"
        | _ -> ()

        match given with
        | (_, n) :: others ->
            for setting, m in others do
                if m <> n then
                    refuse setting "" $"it is of {m} samples, and what is given to begin from of {n}: expected as many"
        | [] -> ()

        match model.Guidance, model.Given with
        | Some(Guide.Unconditional _ as guide), Some given when drawing.Given.IsNone && not isToldLater ->
            let setting, scale = guide.Setting

            refuseWith
                setting
                scale
                $"guidance is towards what is given, {Given.text given}"
                $"say it with {Setting.Given}"
        | _ -> ()

        // What a plan refuses, it refuses now.
        Samples.plan model drawing |> ignore

        { Model = model
          Drawing = drawing
          Count =
            match given with
            | (_, n) :: _ -> n
            | [] ->
                let usual = if model.IsImage then 100 else 10_000
                // Each sample is as many states as it has particles.
                let usual = if (drawing.Steering |> Option.bind _.Particles).IsSome then 100 else usual
                defaultArg request.Count usual
          Seed = request.Seed }

    /// Samples as they are asked for.
    let sampling (model: GenerativeModel) (request: SamplingRequest) : SamplingTask = asked false model request

    /// Log-densities as they are asked for.
    let densities (model: GenerativeModel) (request: DensityRequest) : DensityTask =
        requireAtLeast 1 Setting.Probes request.Probes

        match request.Memory with
        | Some bytes when bytes < 1L -> refuse Setting.Memory bytes $"expected a positive size"
        | _ -> ()

        match request.Time with
        | Some t when not (t >= 0.0 && t <= 1.0) ->
            refuse Setting.Time t $"expected a time from 0, the data, to 1, the noise"
        | _ -> ()

        let byFlow () =
            let struct (model, drawing) = alongFlow model request.Generation
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
                let struct (model, drawing) = generation model request.Generation
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
                let struct (model, drawing) = generation model request.Generation
                way |> Option.map (fun way -> struct (model, drawing, way, 0.0))
            | Mapping({ Domain = Ends _ } as map) ->
                refusing (trace @ probes @ memory @ elsewhere) (fun setting ->
                    refuse
                        setting
                        ""
                        $"{model.Name} is an exact flow, which says the density of the data itself: leave it out")

                let struct (model, drawing) = generation model request.Generation
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

                let struct (model, drawing) = generation model request.Generation
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

                let struct (model, drawing) = generation model request.Generation
                struct (model, drawing, (Densities.normalized model request.Generation.Steps).Value, 0.0)
            // A map that has learned its log-determinant takes jumps, unless steps are asked for.
            | None, _ when byJumps.IsSome -> byJumps.Value
            | _ -> byFlow ()

        { Model = model; Way = way; Time = time; Batch = drawing.Batch; Given = drawing.Given }

    /// The flow for `what` (an encoding, an interpolation), and the samples that go through it at once.
    let flow (what: string) (model: GenerativeModel) (request: GenerationRequest) : struct (FlowPlan * int) =
        match request.Given with
        | Some given ->
            refuse Setting.Given given.Name $"{what} follows the flow of which nothing is told: leave it out"
        | None -> ()

        let struct (model, drawing) = alongFlow model request
        struct (FlowPlan.make what model drawing None, drawing.Batch)

    /// An evaluation as it is asked for: samples, and how many of them are measured how often. `data` hold out what they are measured against.
    let evaluation
        (data: Dataset)
        (model: GenerativeModel)
        (request: EvaluationRequest)
        : struct (SamplingTask * Protocol) =
        requireAtLeast 2 Setting.Draws request.Draws
        requireAtLeast Evaluations.least Setting.SamplesPerDraw request.SamplesPerDraw

        if data.Shape <> model.Shape then
            let text (shape: int list) = String.Join("; ", shape)

            refuse
                Setting.HeldOut
                data.Name
                $"its samples are [{text data.Shape}], those of {model.Name} [{text model.Shape}]"

        let task = asked true model request.Sampling
        struct (task, Evaluations.protocol data request.Draws request.SamplesPerDraw)
