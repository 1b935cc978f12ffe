namespace Fokker.Bridge

open System
open Fokker

/// Trainings, from a request to a run.
[<AbstractClass; Sealed>]
type internal TrainingWork =

    /// The recipe of a request for these data.
    static member private Recipe(request: TrainingRequest, data: Dataset) : Recipe =
        let standard = Recipe.standardFor data
        let loss = Option.ofObj request.Loss |> Option.fold (fun recipe loss -> Recipe.withLoss loss recipe) standard

        let standard =
            [ Setting.Path, request.Path
              Setting.Prediction, request.Prediction
              Setting.Weight, request.Weight
              Setting.Times, request.Times
              Setting.Coupling, request.Coupling
              Setting.Source, request.Source
              Setting.Preconditioning, request.Preconditioning
              Setting.Teacher, request.Teacher ]
            |> List.fold
                (fun recipe (setting, name) ->
                    Option.ofObj name |> Option.fold (fun recipe name -> Recipe.withPart setting name recipe) recipe)
                loss

        let labels = orElse standard.Labels request.Labels

        { standard with
            Network = Option.ofObj request.Network |> Option.map PartName.plain |> Option.defaultValue standard.Network
            Width = orElse standard.Width request.Width
            Depth = orElse standard.Depth request.Depth
            Labels = labels
            LabelDropout = orElse (if labels then standard.LabelDropout else 0.0) request.LabelDropout
            Seed = request.Seed
            Steps = orElse standard.Steps request.Steps
            Batch = orElse standard.Batch request.Batch
            LearningRate = orElse standard.LearningRate request.LearningRate
            WarmUp = orElse standard.WarmUp request.WarmUp
            WeightDecay = orElse standard.WeightDecay request.WeightDecay
            Clip = orElse standard.Clip request.Clip
            Ema = orElse standard.Ema request.Ema
            Device = request.Device
            Dtype = Dtype.name request.Dtype }

    /// The right to write a run's folder, until it is disposed of.
    static member Claim(folder: RunFolder) : RunClaim = Run.claim folder.Path

    /// The job of a new run, whose `run.json` is made.
    static member Start(claim: RunClaim, paths: GaussianPath[], request: TrainingRequest, data: Dataset) : Job =
        let job = Runs.jobWith Runs.standardRoot (List.ofArray paths) (TrainingWork.Recipe(request, data)) data
        Run.create claim (("data", Runs.describe data) :: Recipe.settings job.Recipe)
        job

    /// The job of a run that goes on, on its own data set (null) or one that was in memory.
    static member Resume(folder: RunFolder, paths: GaussianPath[], data: Dataset | null) : Job =
        let recipe = Runs.recipe folder
        let own = Runs.data folder recipe

        let data =
            match data with
            | null -> own
            | given when given.Shape <> own.Shape ->
                raise (
                    UserError
                        $"{folder.Name}: it was trained on samples {own.Shape}; the data given are of samples {given.Shape}"
                )
            | given -> { given with Name = own.Name }

        Runs.jobWith (Runs.rootOf folder) (List.ofArray paths) recipe data

    /// Trains until the job's steps are made or somebody asks to stop; `stepped` hears of each step and of the seconds so far.
    static member Train(claim: RunClaim, job: Job, stepped: Action<StepInfo, float>, stop: Func<bool>) : RunResult =
        Run.train claim (Recipe.plan job) (fun info seconds -> stepped.Invoke(info, seconds)) stop.Invoke

    static member IsFinished(result: RunResult) : bool = result.Ending.IsFinished

    /// The line that says why a training diverged; null where it did not.
    static member Divergence(result: RunResult) : string | null = Option.toObj result.Divergence

    static member Steps(job: Job) : int64 = job.Recipe.Steps
    static member Parameters(job: Job) : int64 = Network.size job.Network
