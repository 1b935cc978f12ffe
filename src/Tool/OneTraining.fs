namespace Fokker.Tool

open System
open Fokker

/// One training, from a data set or a run that goes on to a trained model, samples, measures and a report.
module OneTraining =

    let private together (ranks: IRanks) (job: Job) : Job = { job with Training = { job.Training with Ranks = ranks } }

    /// The steps that minutes are enough for; of several processes, what the first finds.
    let private stepsTogether
        (ranks: IRanks)
        (terminal: Terminal)
        (minutes: float option)
        (makeJob: Recipe -> Job)
        (job: Job)
        =
        match minutes with
        | Some minutes -> makeJob { job.Recipe with Steps = Ranks.agreed ranks (Speed.stepsIn terminal minutes job) }
        | None -> job

    /// A new training, and its data set's name, before a run is made of it.
    let asked (ranks: IRanks) (terminal: Terminal) (arguments: TrainArgument list) (root: string) =
        let dataset =
            match TrainOptions.dataSet arguments with
            | Some name -> TrainOptions.nameOf arguments name
            | None -> raise (UserError "say which data set: ./fokker train moons (fokker list datasets names them)")

        let minutes = TrainOptions.minutes arguments
        let data = Datasets.load dataset
        data.Notes |> List.iter (Terminal.warn terminal)
        let standard = Recipe.standardFor data
        let standard = minutes |> Option.fold (fun recipe minutes -> Recipe.withMinutes minutes data recipe) standard
        let request = TrainOptions.request arguments
        let recipe = Runs.recipeOf terminal.Known root { standard with DataSet = dataset } request

        let recipe =
            match minutes, request.Dtype with
            | Some minutes, None -> Recipe.withFastLayers minutes data recipe
            | _ -> recipe

        let makeJob recipe = together ranks (Runs.jobWith root terminal.Own recipe data)
        let job = makeJob recipe
        struct (dataset, data, job, stepsTogether ranks terminal minutes makeJob)

    /// A new run: its folder is claimed only when everything else is known to be well, and before anything is measured or written.
    let private start
        (ranks: IRanks)
        (terminal: Terminal)
        (arguments: TrainArgument list)
        (root: string)
        name
        overwrite
        : RunFolder * Job * RunClaim =
        let struct (dataset, data, job, lasting) = asked ranks terminal arguments root
        job.Beginning |> Option.iter (Terminal.tell terminal)

        let refuseAnother (run: RunFolder) =
            if Runs.isThere run && not overwrite then
                raise (
                    UserError
                        $"--name {run.Name}: {run.Path} holds a run already: choose another name, or give --resume or --overwrite"
                )

        let run, claim =
            match name with
            | Some name ->
                let run = Runs.place root name
                refuseAnother run
                run, Run.claim run.Path
            | None -> Runs.claimFree root (Datasets.shortName dataset)

        try
            // Another process may have made one before this one had its claim.
            refuseAnother run

            let job = lasting job

            Run.replace
                claim
                (("command",
                  Option.ofObj (Json.text (Results.commandOf terminal.Known run.Name job.Recipe data)) |> Option.get)
                 :: Recipe.settings job.Recipe)

            run, job, claim
        with _ ->
            (claim :> IDisposable).Dispose()
            reraise ()

    /// The run that is to go on.
    let private named (arguments: TrainArgument list) (root: string) (name: string option) : RunFolder =
        match name, TrainOptions.dataSet arguments with
        | Some name, _
        | None, Some name -> Runs.find root name
        | None, None -> raise (UserError "--resume: say which run with --name NAME")

    /// Before the first use of libtorch: asks for the engine that has bfloat16 where the training is in it, or may turn out to be.
    let preferEngine (arguments: TrainArgument list) : unit =
        let wanted =
            if List.contains Resume arguments then
                // What cannot be found or read is refused further on, in the order of all refusals.
                try
                    let run = named arguments (TrainOptions.root arguments) (TrainOptions.name arguments)
                    (Runs.recipe run).Dtype = Dtype.name Dtype.BFloat16
                with :? UserError ->
                    false
            else
                match TrainOptions.dataSet arguments with
                | Some name -> TrainOptions.mayComputeInBFloat16 name (TrainOptions.minutes arguments) arguments
                | None -> false

        if wanted then
            Torch.preferBFloat16 ()

    /// The run that is to go on, its recipe, and what is asked for over it: its settings are those of `run.json`, and an option that says otherwise is refused.
    let private resumed (terminal: Terminal) (arguments: TrainArgument list) (root: string) (name: string option) =
        let run = named arguments root name
        let recipe = Runs.recipe run

        if
            arguments
            |> List.exists (function
                | Minutes _ -> true
                | _ -> false)
        then
            raise (UserError "--resume goes on with the number of steps in run.json: leave --minutes out")

        let wanted =
            TrainingRequest.overAmong
                terminal.Known
                { recipe with
                    DataSet =
                        (if Option.isSome name then
                             Option.defaultValue recipe.DataSet (TrainOptions.dataSet arguments)
                         else
                             recipe.DataSet) }
                (TrainOptions.request arguments)
        // A run may move to another device; nothing else of it may change half-way.
        let wanted = { wanted with Device = wanted.Device }

        if { wanted with Device = recipe.Device } <> recipe then
            let differing =
                List.zip (Recipe.settings recipe) (Recipe.settings { wanted with Device = recipe.Device })
                |> List.filter (fun ((_, a), (_, b)) -> a.ToJsonString() <> b.ToJsonString())
                |> List.map (fun ((name, a), (_, b)) -> $"{name} is {a} there, not {b}")

            raise (
                UserError $"""--resume continues with the settings in {run.Record}: {String.Join(", ", differing)}"""
            )

        run, recipe, wanted

    /// A run that goes on, claimed.
    let private resume
        (ranks: IRanks)
        (terminal: Terminal)
        (arguments: TrainArgument list)
        (root: string)
        (name: string option)
        : RunFolder * Job * RunClaim =
        let claim = Run.claim (named arguments root name).Path

        try
            let run, recipe, wanted = resumed terminal arguments root name
            run,
            together ranks (Runs.jobWith (Runs.rootOf run) terminal.Own wanted (Datasets.load recipe.DataSet)),
            claim
        with _ ->
            (claim :> IDisposable).Dispose()
            reraise ()

    let private train
        (terminal: Terminal)
        (interrupt: Interrupt)
        (run: RunFolder)
        (claim: RunClaim)
        (job: Job)
        : RunResult =
        let steps = float job.Recipe.Steps
        let mutable mean = nan
        let mutable first = 0L
        let mutable firstAt = nan

        let progress (report: Ticker) (info: StepInfo) (seconds: float) =
            // A running mean over about fifty steps: a single batch says little.
            mean <- if Double.IsNaN mean then info.Loss else mean + 0.02 * (info.Loss - mean)

            if Double.IsNaN firstAt then
                first <- info.Step
                firstAt <- seconds

            let rate =
                if info.Step = first then "" else $" · {float (info.Step - first) / (seconds - firstAt):F0} steps/s"

            report (float info.Step) $"loss {mean:F4}{rate}"

        Progress.run terminal $"training {run.Name}" steps (fun report ->
            Run.train claim (Job.plan job) (progress report) (fun () -> interrupt.IsRequested))

    /// The share of a batch's data that a coupling's pairs use.
    let private pairsUse (job: Job) : float option =
        Scope.run (fun () ->
            let batch = Dataset.batches job.Kind job.Recipe.Batch (job.Stream "pairs used") job.Data 0L
            Objective.used (job.Stream "pairs") batch job.Objective)

    let private json
        (terminal: Terminal)
        (run: RunFolder)
        (job: Job)
        (result: RunResult)
        (found: (string * (System.Text.Json.Nodes.JsonNode | null)) list)
        =
        Json.object
            [ "run", Json.text run.Name
              "folder", Json.text run.Path
              "dataset", Json.text job.Recipe.DataSet
              "steps", Json.whole result.State.Step
              "seconds", Json.number result.Seconds
              "command", Json.text (Results.commandOf terminal.Known run.Name job.Recipe job.Data)
              yield! found ]

    /// One of several processes that train together, but the first: it makes the same job and keeps nothing of it.
    let private follow
        (ranks: IRanks)
        (terminal: Terminal)
        (interrupt: Interrupt)
        (arguments: TrainArgument list)
        (root: string)
        (name: string option)
        (isResumed: bool)
        : int =
        let job =
            if isResumed then
                let _, recipe, wanted = resumed terminal arguments root name
                together ranks (Runs.jobWith root terminal.Own wanted (Datasets.load recipe.DataSet))
            else
                let struct (_, _, job, lasting) = asked ranks terminal arguments root
                lasting job

        match Run.follow (Job.plan job) (fun () -> interrupt.IsRequested) with
        | Ending.Finished -> Exit.Success
        | Ending.Interrupted -> interrupt.ExitCode
        | Ending.Diverged _ -> Exit.BadInput

    /// The whole of it, to the report: its exit code. Raises UserError where it is refused, or diverged.
    let run (ranks: IRanks) (terminal: Terminal) (arguments: TrainArgument list) : int =
        let has argument = List.contains argument arguments
        let name, root = TrainOptions.name arguments, TrainOptions.root arguments
        let terminal = { terminal with Quiet = has Quiet }

        let draws = TrainOptions.draws arguments

        if has Resume && has Overwrite then
            raise (UserError "--resume and --overwrite exclude each other: give one of them")

        Diagnosis.warnIfSlow terminal
        use interrupt = Interrupt.Watch()

        if ranks.Rank > 0 then
            follow ranks terminal interrupt arguments root name (has Resume)
        else
            let folder, job, claim =
                if has Resume then
                    resume ranks terminal arguments root name
                else
                    start ranks terminal arguments root name (has Overwrite)

            // Samples, measures and the report are written under it too.
            use _ = claim

            Terminal.say
                terminal
                $"{job.Recipe.DataSet}: {job.Network.Name} with {Network.size job.Network} parameters, {job.Recipe.Loss} on {job.Objective.Path.Name}, {job.Recipe.Steps} steps of {job.Recipe.Batch}"

            let result = train terminal interrupt folder claim job

            match result.Ending with
            | Ending.Diverged _ ->
                let kept =
                    if result.Kept.IsNone then $"; {folder.Path} still holds the run that it was to replace" else ""
                raise (UserError $"{Option.get result.Divergence}{kept}")
            | Ending.Interrupted ->
                terminal.Error.WriteLine
                    $"stopped and saved at step {result.State.Step} of {job.Recipe.Steps}; to continue: ./fokker train --resume --name {OptionNames.run root folder.Name}"

                interrupt.ExitCode
            | Ending.Finished ->
                try
                    let found =
                        if job.IsClassifier then
                            Finish.classified terminal folder job result.State
                        else
                            let stoppable = { terminal with Stop = fun () -> interrupt.IsRequested }
                            let trained = job.Trained(result.State.Average, result.State.Step)
                            let model = GenerativeModel.ofTrained folder.Name trained
                            let scores, density = Finish.all stoppable folder job.Recipe job.Data model draws
                            let used = pairsUse job

                            match used with
                            | Some share when share < 0.995 ->
                                let coupling = job.Recipe.Coupling |> Option.map string |> Option.defaultValue ""

                                Terminal.tell
                                    terminal
                                    $"the pairs of a batch use {share:P0} of its data (--coupling {coupling})"
                            | _ -> ()

                            [ yield "report", Json.text folder.Report
                              yield "dataUsed", Json.optional Json.number used
                              yield! Finish.figures scores density ]

                    Terminal.give terminal (json terminal folder job result found)
                    Exit.Success
                with Stopped ->
                    terminal.Error.WriteLine
                        $"stopped; the trained model is saved, and this command writes the rest: ./fokker report {OptionNames.run root folder.Name}"

                    interrupt.ExitCode
