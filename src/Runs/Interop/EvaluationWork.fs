namespace Fokker.Interop

open System
open Fokker

/// How far samples are from data.
[<AbstractClass; Sealed>]
type internal EvaluationWork =

    static member private Report(report: Action<Stage, float>) : Stage -> Ticker =
        fun stage share _ -> report.Invoke(stage, share)

    /// The data that a model is evaluated against where none are given: its own, or those that it was trained on.
    static member HeldOut(model: GenerativeModel) : OpenedData =
        let data, warning = Runs.heldOut model
        new OpenedData(data, Option.toObj warning)

    /// What a request comes to, for a model and data.
    static member Task
        (model: GenerativeModel, data: Dataset, request: EvaluationRequest)
        : struct (SamplingTask * Protocol) =
        Validation.evaluation data model request

    /// Samples of the task against the data.
    static member Evaluate
        (task: SamplingTask, protocol: Protocol, data: Dataset, seed: int64, report: Action<Stage, float>)
        : Evaluations =
        Evaluations.find protocol data task.Model task.Drawing seed (EvaluationWork.Report report)

    /// Samples of anyone's against what data hold out.
    static member Distances
        (data: Dataset, draws: Nullable<int>, size: Nullable<int>, seed: int64, x: Tensor, report: Action<Stage, float>)
        : Evaluations =
        let protocol = Evaluations.protocol data (toOption draws) (toOption size)
        Evaluations.ofSamples protocol data seed (EvaluationWork.Report report) x

    /// Samples as data that are held out.
    static member Reference(x: Tensor) : Dataset = Evaluations.reference "the reference" x
