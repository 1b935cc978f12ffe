namespace Fokker.Bridge

open System
open Fokker

/// How far samples are from data.
[<AbstractClass; Sealed>]
type internal EvaluationWork =

    /// Whether a model has data of its own to be held against: a field has none, and a run on data of memory leaves them behind.
    static member BringsData(subject: Subject) : bool =
        match subject.Origin, subject.Data.Content with
        | Supplied _, _ -> false
        | Trained _, Law _ -> not (subject.Data.Name.StartsWith Runs.memory)
        | _ -> true

    static member private Report(report: Action<Stage, float>) : Stage -> Ticker =
        fun stage share _ -> report.Invoke(stage, share)

    /// Samples of the model against the data given (its own where they are null); each setting that is left out takes a default that suits them.
    static member Evaluate
        (
            subject: Subject,
            drawing: Drawing,
            data: Dataset | null,
            draws: Nullable<int>,
            size: Nullable<int>,
            seed: int64,
            report: Action<Stage, float>
        ) : Evaluations =
        let data = Option.ofObj data |> Option.defaultValue subject.Data
        let protocol = Evaluations.protocol data (toOption draws) (toOption size)
        Evaluations.find protocol data subject drawing seed (EvaluationWork.Report report)

    /// Samples of anyone's against what data hold out.
    static member Distances
        (data: Dataset, draws: Nullable<int>, size: Nullable<int>, seed: int64, x: Tensor, report: Action<Stage, float>)
        : Evaluations =
        let protocol = Evaluations.protocol data (toOption draws) (toOption size)
        Evaluations.ofSamples protocol data seed (EvaluationWork.Report report) x

    /// Samples as data that are held out.
    static member Reference(x: Tensor) : Dataset = Evaluations.reference "the reference" x
