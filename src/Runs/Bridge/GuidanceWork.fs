namespace Fokker.Bridge

open System
open Fokker

/// A subject under guidance, and what is to be freed once it has served.
type internal GuidedSubject(subject: Subject, state: TrainState option) =
    member _.Subject = subject

    member _.Dispose() = Option.iter Scope.free state

    interface IDisposable with
        member guided.Dispose() = guided.Dispose()

/// Models under guidance.
[<AbstractClass; Sealed>]
type internal GuidanceWork =

    /// The classifier that a request asks for and the state that is to be freed after it; nulls where it asks for none.
    static member private Judge
        (subject: Subject, request: SamplingRequest)
        : struct (Judge option * TrainState option) =
        match request.Classifier with
        | null -> struct (None, None)
        | name when name = Judge.exactly -> struct (Some(Judge.exact subject), None)
        | folder ->
            let run = Runs.at folder

            if not (Runs.isThere run) then
                raise (UserError $"--classifier {folder}: there is no run in this folder")

            let device = string subject.Kind.Device
            let job, state = Runs.loadWith [ subject.Path ] run (Some device) (Some subject.Kind.Dtype)
            struct (Some(Judge.trained run job state.Average), Some state)

    /// The subject under the guidance that is asked for; a weaker one (or null) takes the place of no class.
    static member Guided(subject: Subject, request: SamplingRequest, weaker: Subject | null) : GuidedSubject =
        let interval =
            match toOption request.GuidanceLow, toOption request.GuidanceHigh with
            | None, None -> None
            | low, high -> Some(defaultArg low 0.0, defaultArg high infinity)

        let choice: GuidanceChoice =
            { Scale = toOption request.Guidance
              Interval = interval
              Rescale = toOption request.GuidanceRescale
              Weaker = Option.ofObj weaker |> Option.map _.Name }

        let struct (judge, state) = GuidanceWork.Judge(subject, request)

        try
            let guided =
                match judge, request.Composition with
                | Some judge, null -> Guiding.byClassifier judge choice subject
                | Some judge, composition ->
                    raise (
                        UserError
                            $"--compose {composition}: it is another way to guide than --classifier {judge.Name}: leave one of them out"
                    )
                | None, null ->
                    let weaker _ =
                        match weaker with
                        | null -> invalidOp "a weaker model is asked for where one is given"
                        | weaker -> weaker

                    Guiding.apply weaker choice subject
                | None, composition -> Guiding.composed (nonNull composition) choice subject

            new GuidedSubject(guided, state)
        with _ ->
            Option.iter Scope.free state
            reraise ()
