namespace Fokker.Tool

open System
open System.Diagnostics
open System.IO
open Argu
open Fokker

type TrainArgument =
    | [<MainCommand; Unique>] DataSet of dataset: string
    | [<Unique>] Name of name: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Steps of count: int64
    | [<Unique>] Minutes of minutes: float
    | [<Unique>] Seed of number: int64
    | [<Unique>] Batch of size: int
    | [<Unique>] Accumulate of parts: int
    | [<Unique>] Lr of rate: float
    | [<Unique>] Final_Rate of rate: float
    | [<Unique>] Warmup of steps: int64
    | [<Unique>] Weight_Decay of rate: float
    | [<Unique>] Clip of norm: float
    | [<Unique>] Ema of decay: float
    | [<Unique>] Power_Averages of on_or_off: string
    | [<Unique>] Path of path: string
    | [<Unique>] Loss of loss: string
    | [<Unique>] Prediction of prediction: string
    | [<Unique>] Weight of weight: string
    | [<Unique>] Times of times: string
    | [<Unique>] Coupling of coupling: string
    | [<Unique>] Source of dataset: string
    | [<Unique>] Preconditioning of kind: string
    | [<Unique>] Teacher of run: string
    | [<Unique>] Latent of run: string
    | [<Unique>] From of run: string
    | [<Unique>] Reward of file: string
    | [<Unique>] Tilt of factor: float
    | [<Unique>] Adversarial of weight: float
    | [<Unique>] Network of network: string
    | [<Unique>] Width of units: int
    | [<Unique>] Depth of layers: int
    | [<Unique>] Blind
    | [<Unique>] Labels of on_or_off: string
    | [<Unique>] Label_Dropout of probability: float
    | [<Unique>] Device of device: string
    | [<Unique>] Dtype of dtype: string
    | [<Unique>] Skip_Corrupt
    | [<Unique>] Flip
    | [<Unique>] Crop of side: int
    | [<Unique>] Condition of what: string
    | [<Unique>] Draws of pairs: int
    | Sweep of settings: string
    | [<Unique>] Resume
    | [<Unique>] Overwrite
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | DataSet _ -> "what to learn: moons, fashion-mnist, csv:points.csv, … (fokker list datasets)"
            | Name _ -> "the run's name; without one, the data set's with a number where that is taken"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Steps _ -> "optimization steps (about a minute's worth)"
            | Minutes _ ->
                "minutes of training instead of steps: the speed is measured first, and the schedule fitted to it"
            | Seed _ -> "seed of everything random (0)"
            | Batch _ -> "samples in a step"
            | Accumulate _ ->
                "compute the gradient of a batch in so many parts, one after the other: the same step in the memory of one part (1)"
            | Lr _ -> "highest learning rate; it falls to --final-rate along half a cosine"
            | Final_Rate _ ->
                "learning rate of the last step (0); that of --lr keeps the rate constant after the warm-up"
            | Warmup _ -> "steps over which the learning rate rises"
            | Weight_Decay _ -> "AdamW's decoupled weight decay (0)"
            | Clip _ -> "length that gradients are cut to; 0 cuts none (1)"
            | Ema _ -> "decay of the parameters' moving average, which samples are drawn with"
            | Power_Averages _ ->
                "keep two power-function averages as well, from which fokker average makes one of any length afterwards: on or off (off)"
            | Path _ -> "how data become noise (condot; fokker list paths)"
            | Loss _ -> "what is minimized (cfm; fokker list losses)"
            | Prediction _ -> "what the network's output means (the loss's own; fokker list predictions)"
            | Weight _ -> "how much each time counts (the loss's own; fokker list weights)"
            | Times _ -> "the law of training times (uniform; fokker list times)"
            | Coupling _ -> "how data are paired with the source (the loss's own; fokker list couplings)"
            | Source _ -> "the data set at the noisy end (noise, unless you name one)"
            | Preconditioning _ -> "the scalings around the network (the loss's own; fokker list preconditionings)"
            | Teacher _ -> "the run that a distillation (cd, lmd, progressive, …) learns from"
            | Latent _ -> "the run of an autoencoder (--loss vae) whose latents are learned in the place of the data"
            | From _ ->
                "the run whose parameters training begins at, for any loss: what fits is taken, and new inputs enter with zero weight"
            | Reward _ ->
                "what --loss reward tunes the model of --from towards: a file of JSON, {\"linear\": [1, 0]} for instance, or that itself"
            | Tilt _ -> "how strongly the reward counts: λ of e^{λ r} (1)"
            | Adversarial _ ->
                "how much a critic counts beside a loss of few steps (a map, progressive, dmd): it tells where a step leads from the data there, and is trained in turns (0: none)"
            | Network _ -> "mlp for vectors, unet for images (fokker list networks)"
            | Width _ -> "units in a hidden layer, or channels at the U-Net's finest scale"
            | Depth _ -> "hidden layers, or residual blocks at each scale"
            | Blind -> "withhold the time from the network: it has to see from x how much noise there is"
            | Labels _ -> "whether the network takes the class as an input: on or off (on where there are classes)"
            | Label_Dropout _ ->
                "how often a label is left out in training, so that samples can be guided: from 0 to below 1 (0.1 for images with classes, 0 elsewhere)"
            | Device _ -> "cpu, cuda or cuda:N (cpu)"
            | Dtype _ ->
                "float32, float64, or bfloat16: the network's layers, over parameters in float32, by the managed engine where the processor has instructions for it (float32)"
            | Skip_Corrupt ->
                "leave out the files of a folder that are no whole pictures (folder:DIR,skip=corrupt): they are refused otherwise"
            | Flip -> "mirror half of the images left to right, anew in each pass over them (DATA,flip=on)"
            | Crop _ ->
                "show the network a window of so many pixels at a random place of each image, anew in each pass (DATA,crop=N)"
            | Sweep _ ->
                "train once for each value of an option, lr=1e-3,2e-3, or of several options' values for each combination, and compare them on one page"
            | Condition _ ->
                "what the network is told of each sample: columns:A,B of a table, which are then not learned, low-resolution:N or inpainting of images (DATA,given=…)"
            | Draws _ -> "pairs of sets that each measure is a mean over (20; 10 for images)"
            | Resume -> "continue the run of this name from its checkpoint"
            | Overwrite -> "replace the run of this name"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// `fokker train`: from a data set to a trained model, samples, measures and a report.
module Train =

    let private choose (request: TrainingRequest) (argument: TrainArgument) : TrainingRequest =
        match argument with
        | Steps steps -> { request with Steps = Some steps }
        | Seed seed -> { request with Seed = Some seed }
        | Batch size -> { request with Batch = Some size }
        | Accumulate parts -> { request with Accumulate = Some parts }
        | Lr rate -> { request with LearningRate = Some rate }
        | Final_Rate rate -> { request with FinalRate = Some rate }
        | Warmup steps -> { request with WarmUp = Some steps }
        | Weight_Decay rate -> { request with WeightDecay = Some rate }
        | Clip norm -> { request with Clip = Some norm }
        | Ema decay -> { request with Ema = Some decay }
        | Power_Averages word ->
            { request with
                PowerAverages =
                    Some(
                        snd (
                            Names.choose
                                (Setting(nameof request.PowerAverages))
                                "choice"
                                "choices"
                                fst
                                [ "on", true; "off", false ]
                                word
                        )
                    ) }
        | Path name -> { request with Path = Some name }
        | Loss name -> { request with Loss = Some name }
        | Prediction name -> { request with Prediction = Some name }
        | Weight name -> { request with Weight = Some name }
        | Times name -> { request with Times = Some name }
        | Coupling name -> { request with Coupling = Some name }
        | Source name -> { request with Source = Some name }
        | Preconditioning name -> { request with Preconditioning = Some name }
        | Teacher run -> { request with Teacher = Some run }
        | Latent run -> { request with Latent = Some run }
        | From run -> { request with From = Some run }
        | Reward file -> { request with Reward = Some(RewardFile.text file) }
        | Tilt factor -> { request with Tilt = Some factor }
        | Adversarial weight -> { request with Adversarial = Some weight }
        | Network name -> { request with Network = Some name }
        | Width units -> { request with Width = Some units }
        | Depth layers -> { request with Depth = Some layers }
        | Blind -> { request with Blind = Some true }
        | Labels word ->
            { request with
                Labels =
                    Some(snd (Names.choose Setting.Labels "choice" "choices" fst [ "on", true; "off", false ] word)) }
        | Label_Dropout probability -> { request with LabelDropout = Some probability }
        | Device name -> { request with Device = Some name }
        | Dtype name -> { request with Dtype = Some name }
        | DataSet _
        | Name _
        | Runs _
        | Minutes _
        | Skip_Corrupt
        | Flip
        | Crop _
        | Condition _
        | Draws _
        | Sweep _
        | Resume
        | Overwrite
        | Quiet
        | Json -> request

    /// What the options ask a training to be.
    let private request (arguments: TrainArgument list) : TrainingRequest =
        List.fold choose TrainingRequest.standard arguments

    /// How many steps of this job fit into so many minutes of a clock, which says the seconds since some moment: a scratch run is timed for a few of its seconds. The first
    /// steps, which load and tune code, are left out.
    let stepsOn (clock: unit -> float) (terminal: Terminal) (minutes: float) (job: Job) : int64 =
        let begun = clock ()
        let start = 5L
        let mutable from = 0.0
        let mutable steps = 0L
        let mutable last = 0.0
        let span = Math.Clamp(60.0 * minutes * 0.03, 0.2, 5.0)

        Progress.run terminal "measuring speed" 1.0 (fun report ->
            let key = Rng.ofSeed job.Recipe.Seed

            let state, _ =
                Trainer.run
                    job.Training
                    job.Learner
                    job.Objective.Loss
                    (Dataset.batches job.Kind job.Recipe.Batch (Rng.named "batches" key) job.Data)
                    (Budget.Steps Int64.MaxValue)
                    0.0
                    { Stepped =
                        fun _ info _ ->
                            let seconds = clock () - begun

                            if info.Step = start then
                                from <- seconds

                            steps <- info.Step - start
                            last <- seconds
                            report (Math.Min(1.0, (last - from) / span)) ""
                      Stop = fun () -> steps >= 3L && last - from >= span }
                    (Trainer.init job.Kind key job.Network)

            Scope.free state)

        max 1L (int64 ((60.0 * minutes - last) * float steps / (last - from)))

    /// `stepsOn` the clock on the wall.
    let stepsIn (terminal: Terminal) (minutes: float) (job: Job) : int64 =
        let watch = Stopwatch.StartNew()
        stepsOn (fun () -> watch.Elapsed.TotalSeconds) terminal minutes job

    let private requireMinutes (arguments: TrainArgument list) =
        let minutes =
            arguments
            |> List.tryPick (function
                | Minutes minutes -> Some minutes
                | _ -> None)
        let steps =
            arguments
            |> List.exists (function
                | Steps _ -> true
                | _ -> false)

        match minutes with
        | Some _ when steps -> raise (UserError "--minutes and --steps both say how long to train: give one of them")
        | Some minutes when not (minutes > 0.0 && minutes <= 100_000.0) ->
            raise (UserError $"--minutes {minutes}: expected a positive number of minutes")
        | minutes -> minutes

    /// The data set with what the options say of it.
    let private nameOf (arguments: TrainArgument list) (name: string) : string =
        let name = if List.contains Skip_Corrupt arguments then Datasets.skippingCorrupt name else name

        let crop =
            arguments
            |> List.tryPick (function
                | Crop side -> Some side
                | _ -> None)

        let condition =
            arguments
            |> List.tryPick (function
                | Condition what -> Some what
                | _ -> None)

        Datasets.seenBy { Flip = List.contains Flip arguments; Crop = crop } name
        |> (condition |> Option.map Datasets.telling |> Option.defaultValue id)

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
        | Some minutes -> makeJob { job.Recipe with Steps = Ranks.agreed ranks (stepsIn terminal minutes job) }
        | None -> job

    /// A new training, and its data set's name, before a run is made of it.
    let private asked (ranks: IRanks) (terminal: Terminal) (arguments: TrainArgument list) (root: string) =
        let dataset =
            match
                arguments
                |> List.tryPick (function
                    | DataSet name -> Some name
                    | _ -> None)
            with
            | Some name -> nameOf arguments name
            | None -> raise (UserError "say which data set: ./fokker train moons (fokker list datasets names them)")

        let minutes = requireMinutes arguments
        let data = Datasets.load dataset
        data.Notes |> List.iter (Terminal.warn terminal)
        let standard = Recipe.standardFor data
        let standard = minutes |> Option.fold (fun recipe minutes -> Recipe.withMinutes minutes data recipe) standard
        let recipe = Runs.recipeOf terminal.Known root { standard with DataSet = dataset } (request arguments)
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

    let private dataSet (arguments: TrainArgument list) : string option =
        arguments
        |> List.tryPick (function
            | DataSet name -> Some name
            | _ -> None)

    /// The run that is to go on.
    let private named (arguments: TrainArgument list) (root: string) (name: string option) : RunFolder =
        match name, dataSet arguments with
        | Some name, _
        | None, Some name -> Runs.find root name
        | None, None -> raise (UserError "--resume: say which run with --name NAME")

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
                             Option.defaultValue recipe.DataSet (dataSet arguments)
                         else
                             recipe.DataSet) }
                (request arguments)
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

    let private runWith (ranks: IRanks) (terminal: Terminal) (arguments: TrainArgument list) =
        let has argument = List.contains argument arguments
        let name =
            arguments
            |> List.tryPick (function
                | Name name -> Some name
                | _ -> None)
        let root =
            arguments
            |> List.tryPick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot
        let terminal = { terminal with Quiet = has Quiet }

        let draws =
            arguments
            |> List.tryPick (function
                | Draws n -> Some n
                | _ -> None)

        match draws with
        | Some n when n < 2 -> raise (UserError $"--draws {n}: expected at least 2: a standard error needs two")
        | _ -> ()

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

    // ---- several trainings

    /// Options that say where a training is and what is said of it, and not what it is.
    let private unswept =
        [ "--name"; "--runs"; "--sweep"; "--resume"; "--overwrite"; "--quiet"; "--json"; "--skip-corrupt"; "--flip" ]

    /// The arguments of each training of a sweep, with what is set in it. Raises UserError where an option cannot be swept, or is given besides.
    let private swept (settings: SweptSetting list) (arguments: TrainArgument list) =
        let parser =
            ArgumentParser.Create<TrainArgument>(programName = "fokker train", errorHandler = ExceptionExiter())

        let options =
            [ for case in parser.GetArgumentCases() do
                  yield! case.CommandLineNames.Value ]
            |> List.filter (fun option -> not (List.contains option unswept))

        for setting in settings do
            if not (List.contains ("--" + setting.Key) options) then
                let keys = options |> List.map (fun option -> option.TrimStart '-')
                raise (UserError(Names.unknown "" "option to sweep" "options to sweep" keys setting.Key))

        let words = List.ofArray (parser.PrintCommandLineArguments arguments)

        [ for point in Sweep.points settings ->
              let more = point |> List.collect (fun (key, value) -> [ "--" + key; value ])
              point, (parser.ParseCommandLine(Array.ofList (words @ more), raiseOnUsage = false)).GetAllResults() ]

    /// Every combination of the swept values, one training after the other, and the page that compares them. What is there already is left as it is where the sweep is resumed.
    let private sweep
        (ranks: IRanks)
        (terminal: Terminal)
        (settings: SweptSetting list)
        (arguments: TrainArgument list)
        : int =
        let pick chooser = List.tryPick chooser arguments
        let has argument = List.contains argument arguments

        let root =
            pick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot

        let dataset =
            match dataSet arguments with
            | Some name -> nameOf arguments name
            | None -> raise (UserError "say which data set: ./fokker train moons --sweep lr=1e-3,2e-3")

        let name =
            pick (function
                | Name name -> Some name
                | _ -> None)
            |> Option.defaultValue (Datasets.shortName dataset)

        let own =
            arguments
            |> List.filter (function
                | Name _
                | Resume -> false
                | _ -> true)

        let trainings =
            [ for point, arguments in swept settings own ->
                  let run = Runs.place root (Sweep.nameOf name point)
                  struct (point, run, Name run.Name :: arguments) ]

        // Better known before hours of work than in the middle of them.
        for struct (_, run, arguments) in trainings do
            if Runs.isThere run && not (has Overwrite || has Resume) then
                raise (
                    UserError
                        $"--sweep: {run.Path} holds a run already: give the sweep another --name, or --resume to keep what is there, or --overwrite"
                )

            let struct (_, data, _, _) = asked ranks { terminal with Error = TextWriter.Null } arguments root
            Scope.free data

        // One object is for programs, and it is the sweep's.
        let within = if terminal.Json then { terminal with Out = TextWriter.Null } else terminal

        let train (run: RunFolder) (arguments: TrainArgument list) : SweptOutcome * int =
            let isDone = File.Exists run.Evaluation

            if has Resume && isDone then
                SweptOutcome.Finished, Exit.Success
            else
                // The trainings' options are those of the run already, where there is one.
                let arguments = if has Resume && Runs.isThere run then Resume :: arguments else arguments

                try
                    SweptOutcome.Finished, runWith ranks within arguments
                with :? UserError as error ->
                    SweptOutcome.Refused error.Message, Exit.Success

        let rec go (made: SweptRun list) (left: struct ((string * string) list * RunFolder * TrainArgument list) list) =
            match left with
            | [] -> List.rev made, Exit.Success
            | struct (point, run, arguments) :: others ->
                Terminal.say terminal $"{made.Length + 1} of {trainings.Length}: {run.Name}"

                match train run arguments with
                | outcome, code when code = Exit.Success ->
                    go ({ Point = point; Run = run; Outcome = outcome } :: made) others
                | _, code -> List.rev made, code

        let made, code = go [] trainings

        if ranks.Rank > 0 || made.IsEmpty then
            code
        else
            let page = Path.Combine(root, name + ".sweep.html")

            let command =
                let quoted (word: string) =
                    if word |> Seq.forall (fun c -> Char.IsLetterOrDigit c || "-_.:/,=".Contains c) then
                        word
                    else
                        $"'{word}'"

                let settings =
                    [ for setting in settings do
                          let bar = if setting.Values |> List.exists _.Contains(',') then "|" else ","
                          "--sweep"
                          $"{setting.Key}={String.Join(bar, setting.Values)}" ]

                let parser = ArgumentParser.Create<TrainArgument>(programName = "fokker train")

                let others =
                    own
                    |> List.filter (function
                        | Overwrite
                        | Quiet
                        | Json -> false
                        | _ -> true)
                    |> parser.PrintCommandLineArguments
                    |> List.ofArray

                [ "./fokker"; "train" ] @ others @ settings @ [ "--name"; name ]
                |> List.map quoted
                |> String.concat " "

            Report.Page.write page (Sweep.page name dataset command made)

            for run in made do
                Terminal.tell terminal (Sweep.line run)

            Terminal.tell terminal $"page: {page}"

            Terminal.give
                terminal
                (Json.object
                    [ "page", Json.text page
                      "runs",
                      Json.array
                          [ for run in made ->
                                Json.node (
                                    Json.object
                                        [ "run", Json.text run.Run.Name
                                          "folder", Json.text run.Run.Path
                                          "settings",
                                          Json.node (
                                              Json.object [ for key, value in run.Point -> key, Json.text value ]
                                          )
                                          match run.Outcome with
                                          | SweptOutcome.Refused reason -> "refused", Json.text reason
                                          | SweptOutcome.Finished ->
                                              match Evaluation.saved run.Run with
                                              | Some(scores, density) -> yield! Finish.figures scores density
                                              | None -> () ]
                                ) ] ])

            if code <> Exit.Success then
                terminal.Error.WriteLine
                    $"{trainings.Length - made.Length} of {trainings.Length} trainings are left: the same command with --resume goes on"

            code

    let private run (terminal: Terminal) (arguments: TrainArgument list) =
        let settings =
            arguments
            |> List.choose (function
                | Sweep text -> Some(Sweep.setting text)
                | _ -> None)

        Joined.around "train" terminal (fun ranks terminal ->
            match settings with
            | [] -> runWith ranks terminal arguments
            | settings -> arguments |> List.filter (_.IsSweep >> not) |> sweep ranks terminal settings)

    let command =
        Command.make<TrainArgument>
            "train"
            "trains a model on a data set, samples from it, measures it and writes a report"
            [ "./fokker train moons",
              "two moons with the defaults, about a minute; runs/moons/report.html is the report"
              "./fokker train fashion-mnist --minutes 30", "garments of ten classes, in half an hour"
              "./fokker train checkerboard --path vp --loss simple --name ddpm",
              "the checkerboard by denoising diffusion"
              "./fokker train moons --steps 5000 --sweep lr=1e-3,5e-3 --sweep seed=0,1,2",
              "six trainings, and one page that compares them"
              "./fokker train --resume --name moons", "continues where Ctrl-C stopped it" ]
            run
