namespace Fokker.Interop

open System
open Fokker

/// Trainings, from a request to a run.
[<AbstractClass; Sealed>]
type internal TrainingWork =

    /// The right to write a run's folder, until it is disposed of.
    static member Claim(folder: RunFolder) : RunClaim = Run.claim folder.Path

    /// The job of a new run, whose `run.json` is made.
    static member Start(claim: RunClaim, paths: GaussianPath[], request: TrainingRequest, data: Dataset) : Job =
        let recipe = Runs.recipeOf Known.standard Runs.standardRoot (Recipe.standardFor data) request
        let job = Runs.jobWith Runs.standardRoot (OwnParts.ofPaths paths) recipe data
        // What does not fit is known before anything is written.
        job.Beginning |> ignore
        Run.create claim (Recipe.settings job.Recipe)
        job

    /// The job of a run that goes on, on its own data set (null) or one that is in memory, as it was when the run began.
    static member Resume(folder: RunFolder, paths: GaussianPath[], data: Dataset | null) : Job =
        let recipe = Runs.recipe folder

        let data =
            match data with
            | null when recipe.DataSet.StartsWith Runs.memory ->
                refuse
                    Setting.Data
                    ""
                    $"{folder.Name} was trained on data in memory, which are not kept with it: give them again"
            | null -> Datasets.load recipe.DataSet
            | given -> { given with Name = recipe.DataSet }

        Runs.jobWith (Runs.rootOf folder) (OwnParts.ofPaths paths) recipe data

    /// Trains until the job's steps are made or a stop is asked for; `stepped` hears of each step and of the seconds so far.
    static member Train(claim: RunClaim, job: Job, stepped: Action<StepInfo, float>, stop: Func<bool>) : RunResult =
        Run.train claim (Job.plan job) (fun info seconds -> stepped.Invoke(info, seconds)) stop.Invoke

    static member IsFinished(result: RunResult) : bool = result.Ending.IsFinished

    /// The line that says why a training diverged; null where it did not.
    static member Divergence(result: RunResult) : string | null = Option.toObj result.Divergence

    /// Where the training begins and what of that did not fit, in one line; null where its parameters are drawn.
    static member Beginning(job: Job) : string | null = Option.toObj job.Beginning

    static member Data(job: Job) : Dataset = job.Data
    static member Steps(job: Job) : int64 = job.Recipe.Steps
    static member Parameters(job: Job) : int64 = Network.size job.Network
