namespace Fokker

open System

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

    /// The model under the guidance that is asked for, and how it is followed.
    let generation (model: GenerativeModel) (request: GenerationRequest) : struct (GenerativeModel * Drawing) =
        GenerationValidation.generation model request

    /// Samples that were given for a model, [n; …] float64 in the data's units. Raises RefusedException where they do not fit.
    let samples (model: GenerativeModel) (setting: Setting) (given: GivenArray) : Tensor =
        GenerationValidation.samples model setting given

    /// Samples as they are asked for.
    let sampling (model: GenerativeModel) (request: SamplingRequest) : SamplingTask =
        SamplingValidation.task false model request

    /// Log-densities as they are asked for.
    let densities (model: GenerativeModel) (request: DensityRequest) : DensityTask =
        DensityValidation.task model request

    /// The flow for `what` (an encoding, an interpolation), and the samples that go through it at once.
    let flow (what: string) (model: GenerativeModel) (request: GenerationRequest) : struct (FlowPlan * int) =
        match request.Given with
        | Some given ->
            refuse Setting.Given given.Name $"{what} follows the flow of which nothing is told: leave it out"
        | None -> ()

        let struct (model, drawing) = GenerationValidation.alongFlow model request
        struct (FlowPlan.make what model drawing None, drawing.Batch)

    /// An evaluation as it is asked for: samples, and how many of them are measured how often. `data` hold out what they are measured against.
    let evaluation
        (data: Dataset)
        (model: GenerativeModel)
        (request: EvaluationRequest)
        : struct (SamplingTask * Protocol) =
        GenerationValidation.requireAtLeast 2 Setting.Draws request.Draws
        GenerationValidation.requireAtLeast Evaluations.least Setting.SamplesPerDraw request.SamplesPerDraw

        if data.Shape <> model.Shape then
            let text (shape: int list) = String.Join("; ", shape)

            refuse
                Setting.HeldOut
                data.Name
                $"its samples are [{text data.Shape}], those of {model.Name} [{text model.Shape}]"

        let task = SamplingValidation.task true model request.Sampling
        struct (task, Evaluations.protocol data request.Draws request.SamplesPerDraw)
