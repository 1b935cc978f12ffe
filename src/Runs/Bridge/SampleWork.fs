namespace Fokker.Bridge

open System
open System.Collections.Generic
open Fokker

/// How samples are asked for, and samples.
[<AbstractClass; Sealed>]
type internal SampleWork =

    static member Drawing(subject: Subject, request: SamplingRequest) : Drawing =
        let standard = Samples.standardFor subject
        let control =
            Following.control
                subject.Kind
                { Relative = toOption request.Relative; Absolute = toOption request.Absolute }

        let sampler =
            match request.Sampler, control with
            | null, Adaptive _ -> Lookup.sampler Tableau.dormandPrince.Name
            | null, Fixed -> if request.Window.HasValue then Samplers.ddim else standard.Sampler
            | sampler, _ -> nonNull sampler

        let optional (x: Tensor | null) = Option.ofObj x

        let drawing =
            { standard with
                Sampler = sampler
                Grid =
                    match request.Grid with
                    | null -> sampler.Grid
                    | grid -> grid
                Steps = orElse standard.Steps request.Steps
                Batch = orElse standard.Batch request.Batch
                Label = toOption request.Label |> Option.map (string >> Subject.label subject)
                Start = optional request.Start
                Unit = optional request.Noise
                Draws =
                    match request.Replay with
                    | null -> if request.Brownian then Draws.Brownian else Draws.Fresh
                    | draws -> Draws.Replayed draws
                Control = control
                Parallel =
                    toOption request.Window
                    |> Option.map (fun window -> { Window = window; Tolerance = request.WindowTolerance }) }

        match control with
        | Adaptive _ ->
            for option, isGiven in [ "--steps", request.Steps.HasValue; "--grid", not (isNull request.Grid) ] do
                if isGiven then
                    raise (
                        UserError $"{option}: with --rtol the steps are chosen by their error: leave one of the two out"
                    )

            Following.tableau "adaptive sampling" subject drawing |> ignore
        | Fixed -> ()

        for option, isGiven in [ "--replay", not (isNull request.Replay); "--brownian", request.Brownian ] do
            if isGiven && not (Samplers.mayDraw sampler) then
                raise (
                    UserError
                        $"{option}: {sampler.Name} draws nothing on its way: leave it out, or take a stochastic solver"
                )

        match toOption request.From, toOption request.To with
        | None, None -> drawing
        | from, until -> { drawing with Span = Some(Samples.spanBetween subject drawing from until) }

    /// The subject with a look, before each call of its network, at whether somebody wants it to end.
    static member Watched(subject: Subject, look: Action) : Subject =
        { subject with
            Learned =
                subject.Learned
                |> Learned.map (fun network condition ->
                    let field = network condition

                    fun t x ->
                        look.Invoke()
                        field t x) }

    static member private Key(seed: int64) = Rng.ofSeed seed |> Rng.named "sample"

    /// n samples [n; …] float64 on the CPU in the data's units; the same as the command line's of that seed.
    static member Draw(subject: Subject, drawing: Drawing, seed: int64, n: int) : Tensor =
        Samples.draw subject drawing (SampleWork.Key seed) n (fun _ _ -> ())

    /// The states of n samples as they are reached.
    static member States(subject: Subject, drawing: Drawing, seed: int64, n: int) : IEnumerable<State> =
        Samples.states subject drawing (SampleWork.Key seed) n
        |> Seq.map (function
            | Ok state -> state
            | Error failure -> raise (UserError $"sampling failed at {failure}"))

    /// A state in the data's units, float64 on the CPU.
    static member Outside(subject: Subject, x: Tensor) : Tensor = Samples.outside subject x

    static member Denoised(state: State) : Tensor | null = Option.toObj state.Denoised

    /// The classes of n samples of a drawing; null where there are none.
    static member Labels(subject: Subject, drawing: Drawing, n: int) : int[] | null =
        Samples.labels subject drawing 0 n |> Option.toObj

    /// The method that samples are made by; null where the model jumps by steps of its own.
    static member Sampler(subject: Subject, drawing: Drawing) : Sampler | null =
        match subject.Learned with
        | Mapping _ -> null
        | Denoising _
        | Transport _ -> drawing.Sampler

    /// The steps that samples are made in; none where they are chosen by their error.
    static member Steps(drawing: Drawing) : Nullable<int> =
        match drawing.Control with
        | Fixed -> Nullable drawing.Steps
        | Adaptive _ -> Nullable()
