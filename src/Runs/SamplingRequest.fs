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

/// Samples as they are asked for: what of it contradicts itself or the model, where they begin and end, and how many there are. Each function raises RefusedException.
[<RequireQualifiedAccess>]
module internal SamplingValidation =

    let private name (given: GivenArray option) = given |> Option.map _.Name

    /// What is drawn on the way, where that is said.
    let private motions (request: SamplingRequest) =
        [ Setting.Replay, name request.Replay; Setting.Brownian, (if request.Brownian then Some "" else None) ]

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

    /// Raises RefusedException where settings contradict each other, whatever the model.
    let private refuseContradictions (request: SamplingRequest) =
        GenerationValidation.requireAtLeast 1 Setting.Count request.Count
        GenerationValidation.requireAtLeast 1 Setting.Parallel request.Parallel

        GenerationValidation.exclude
            $"where to begin"
            [ Setting.Noise, name request.Noise
              Setting.Start, name request.Start
              Setting.SourceSamples, name request.SourceSamples ]

        GenerationValidation.exclude $"what is drawn on the way" (motions request)

        for setting, given in
            [ Setting.Noise, request.Noise
              Setting.Start, request.Start
              Setting.SourceSamples, request.SourceSamples
              Setting.Replay, request.Replay ] do
            GenerationValidation.exclude
                $"how many samples"
                [ setting, name given; Setting.Count, Option.map string request.Count ]

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

        if request.Denoise && request.To.IsNone then
            refuse
                Setting.Denoise
                ""
                $"it goes with {Setting.To}, which says where: without it the last step denoises where it has to"

    /// Raises RefusedException where the model's kind of dynamics has no use for a setting.
    let private refuseForDynamics (model: GenerativeModel) (request: SamplingRequest) =
        match request.Parallel, model.Dynamics with
        | Some window, (Transport _ | Landscape _ | Mapping _ | Jumping _) ->
            refuse Setting.Parallel window $"it needs a model that knows the score, and {model.Name} does not"
        | _ -> ()

        if request.Brownian && model.Dynamics.IsLandscape then
            refuse Setting.Brownian "" $"the moves of a chain are no increments of one motion: leave it out"

    /// The model under its guidance and steering, and how it is followed.
    let private followed (model: GenerativeModel) (request: SamplingRequest) : struct (GenerativeModel * Drawing) =
        let generationRequest =
            // The standard sampler takes two evaluations a step, and is found at once no faster.
            if request.Parallel.IsSome && request.Generation.Solver.IsNone then
                { request.Generation with Solver = Some Samplers.ddim }
            else
                SteeringChoice.generation request.Steering request.Generation

        let model = SteeringChoice.exact request.Steering request.Generation.Guidance model

        // What steers corrects a denoiser or a step: a map of two times has one by its own velocity.
        let model = if SteeringRequest.isMethod request.Steering then GenerativeModel.following model else model

        let struct (model, drawing) = GenerationValidation.generation model generationRequest
        let drawing = { drawing with Steering = SteeringChoice.plan request.Steering model drawing.Sampler }
        refuseBesideSteering request drawing

        for setting, given in motions request do
            match given with
            | Some given when not (Samplers.mayDraw drawing.Sampler) ->
                refuse
                    setting
                    given
                    $"{drawing.Sampler.Name} draws nothing on its way: leave it out, or take a stochastic sampler"
            | _ -> ()

        struct (model, drawing)

    /// The states, or the standard normal numbers, that samples begin from, and the numbers drawn on their way, where these are given.
    let private beginnings
        (model: GenerativeModel)
        (request: SamplingRequest)
        : struct (Tensor option * Tensor option * Tensor option) =
        let array axes setting given =
            given |> Option.map (GenerationValidation.arrayOf model model.StateShape axes setting)

        let start =
            match request.SourceSamples, model.Source with
            | Some given, None ->
                refuseWith
                    Setting.SourceSamples
                    given.Name
                    $"{model.Name} starts from noise and from no other data"
                    $"give standard normal numbers with {Setting.Noise}"
            | Some given, Some source ->
                Some(
                    Units.toNetwork
                        source.Units
                        (GenerationValidation.arrayOf model model.StateShape [ "n" ] Setting.SourceSamples given)
                )
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

        struct (start, unit, array [ "draws"; "n" ] Setting.Replay request.Replay)

    /// The drawing from one time to another, where these are said.
    let private spanning (model: GenerativeModel) (request: SamplingRequest) (drawing: Drawing) : Drawing =
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

    /// How many samples there are: as many as what is given is of.
    let private count
        (model: GenerativeModel)
        (request: SamplingRequest)
        (drawing: Drawing)
        (replayed: Tensor option)
        : int =
        let given =
            [ (if request.SourceSamples.IsSome then Setting.SourceSamples else Setting.Start),
              drawing.Start |> Option.map (fun x -> x.Shape[0])
              Setting.Noise, drawing.Unit |> Option.map (fun x -> x.Shape[0])
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

            n
        | [] ->
            let usual = if model.IsImage then 100 else 10_000
            // Each sample is as many states as it has particles.
            let usual = if (drawing.Steering |> Option.bind _.Particles).IsSome then 100 else usual
            defaultArg request.Count usual

    /// Samples as they are asked for; what they are told of may be said later.
    let task (isToldLater: bool) (model: GenerativeModel) (request: SamplingRequest) : SamplingTask =
        refuseContradictions request
        refuseForDynamics model request
        let struct (model, drawing) = followed model request
        let struct (start, unit, replayed) = beginnings model request

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
            |> spanning model request

        let count = count model request drawing replayed

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

        { Model = model; Drawing = drawing; Count = count; Seed = request.Seed }
