namespace Fokker

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Nodes

/// How often a run saves itself besides at its end.
[<RequireQualifiedAccess>]
type Cadence =
    | Steps of int64
    | Seconds of float

/// All that determines a run's result, and how long it takes to get there.
[<NoComparison; NoEquality>]
type Plan =
    {
        Dataset: Dataset
        Network: Network
        Loss: Loss
        /// What is done to each batch before its step, on a thread beside it: the pairing of a coupling.
        Prepare: (Rng -> Batch -> Batch) option
        BatchSize: int
        Settings: TrainSettings
        Seed: int64
        /// The parameters that a new run begins at, where they are not drawn from the seed.
        Start: (unit -> Tensor[]) option
        /// Steps after which the model is kept under a name of its own as well, and that name: `student-4`.
        Milestones: (int64 * string) list
        /// Whether a step's power-function averages are kept in a file of their own, from which others are made afterwards.
        Snapshot: int64 -> bool
        /// Of parameters and batches.
        Kind: Kind
        Budget: Budget
        Save: Cadence
        /// The model that averaged parameters are after so many steps: what is written beside the training's state.
        Trained: Tensor[] -> int64 -> TrainedNetwork
    }

/// How a run ended.
[<NoComparison; NoEquality>]
type RunResult =
    {
        /// The state at the end, which is also what the checkpoint holds; its tensors are the caller's.
        State: TrainState
        Ending: Ending
        /// Of training, those before a resumption included.
        Seconds: float
        /// The step of the checkpoint in the folder; none where there is no folder, or it still holds the run that was to be replaced.
        Kept: int64 option
    }

    /// Why it diverged, what is kept, and the remedy, in one line; none where it did not.
    member result.Divergence: string option =
        match result.Ending with
        | Ending.Diverged divergence ->
            let kept =
                match result.Kept with
                | Some step -> $"; the state after step {step}, the last good one, is kept"
                | None -> ""

            Some $"training diverged at step {divergence.Step}: {divergence.Reason}{kept}: {Divergence.Remedy}"
        | Ending.Finished
        | Ending.Interrupted -> None

/// The right to write a run's folder, which one process has at a time. The system takes it back when the process ends, however it ends.
[<Sealed>]
type RunClaim internal (folder: string, replacement: string, lock: FileStream) =
    /// The run's folder.
    member _.Folder = folder
    /// Where a run is made that is to replace the one in the folder.
    member internal _.Replacement = replacement
    /// Where the run that is trained is: its folder, or the place that it is made in until it replaces the run before.
    member val internal Home = folder with get, set

    interface IDisposable with
        member _.Dispose() =
            try
                if Directory.Exists replacement then
                    Directory.Delete(replacement, true)

                File.Delete lock.Name

                // A folder that nothing came into leaves no trace.
                if Seq.isEmpty (Directory.EnumerateFileSystemEntries folder) then
                    Directory.Delete folder
            with
            | :? IOException
            | :? UnauthorizedAccessException -> ()

            lock.Dispose()

/// A run on disk: `run.json` (what repeats it), `metrics.jsonl` (its history), `checkpoint.safetensors` (the state of its training),
/// `model.safetensors` (what it has learned: all that anything after training reads).
[<RequireQualifiedAccess>]
module Run =

    let runFile folder = Path.Combine(folder, "run.json")
    let metricsFile folder = Path.Combine(folder, "metrics.jsonl")
    let checkpointFile folder = Path.Combine(folder, "checkpoint.safetensors")
    let modelFile folder = Path.Combine(folder, "model.safetensors")

    /// Fokker's version and, where it was built in a checkout, the commit: `0.1.0+4f2a…`.
    let version =
        match Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>() with
        | null -> "unknown"
        | attribute -> attribute.InformationalVersion

    // Readable by people: indented, and letters as they are.
    let private options =
        JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

    let private writeJson (file: string) (json: JsonObject) =
        Disk.replace file (fun stream ->
            stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes(json.ToJsonString options + "\n"))))

    let private object (fields: (string * JsonNode) list) =
        let json = JsonObject()

        for name, value in fields do
            json[name] <- value

        json

    let private str (value: string) : JsonNode = nonNull (JsonValue.Create value)
    let private int (value: int) : JsonNode = JsonValue.Create value

    /// What the machine has to do with the last bits of a result.
    let private environment () : JsonNode =
        object
            [ "libtorch", str (Torch.version ())
              "engine", str (Torch.engine ())
              "cpuCapability", str (Torch.cpuCapability ())
              "threads", int (Torch.threads ())
              "dotnet", str (string Environment.Version)
              "system", str RuntimeInformation.OSDescription
              "architecture", str (string RuntimeInformation.ProcessArchitecture) ]

    // ---- who writes

    /// Where a run is made that is to replace another, until there is a state of it.
    let private replacement folder = Path.Combine(folder, "replacement")

    /// The same when it is whole: from then on the replacing is only to be completed.
    let private readyReplacement folder = Path.Combine(folder, "replacement-ready")

    /// What is made of a run after its training.
    let results = [ "samples.npy"; "samples.png"; "evaluation.json"; "report.html" ]

    /// The file of a model that is kept under a name of its own.
    let milestoneFile (folder: string) (name: string) = Path.Combine(folder, name + ".safetensors")

    /// The models of a run's rounds, by how many steps each takes for a sample.
    let students (folder: string) : (int * string) list =
        if Directory.Exists folder then
            [ for file in Directory.GetFiles(folder, "student-*.safetensors") do
                  match
                      Int32.TryParse((nonNull (Path.GetFileNameWithoutExtension file)).Substring "student-".Length)
                  with
                  | true, steps -> steps, file
                  | _ -> () ]
            |> List.sortDescending
        else
            []

    /// The folder of a run's snapshots of its power-function averages, `averages/STEP.safetensors`.
    let averagesFolder (folder: string) = Path.Combine(folder, "averages")

    /// Power-function averages of a step, each under its exponent (`power-0.NAME`; the metadata have the exponents and the step).
    let private snapshot (folder: string) (plan: Plan) (state: TrainState) =
        let place = averagesFolder folder
        Directory.CreateDirectory place |> ignore
        let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)

        Safetensors.write
            (Path.Combine(place, $"{state.Step:D9}.safetensors"))
            [ "format", "fokker-averages 1"
              "step", string state.Step
              "exponents", plan.Settings.Powers |> List.map number |> String.concat "," ]
            [ for k, average in Seq.indexed state.Powers do
                  for spec, tensor in Seq.zip plan.Network.Specs average -> $"power-{k}.{spec.Name}", tensor ]

    /// The snapshots of a run: the step of each, its exponents, and what reads the average of one of them, in the order of a network's parameters.
    let snapshots (folder: string) (network: Network) : (PowerProfile * (unit -> Tensor[])) list =
        let place = averagesFolder folder

        if not (Directory.Exists place) then
            []
        else
            [ for file in Directory.GetFiles(place, "*.safetensors") |> Array.sort do
                  let damaged (what: string) : 'T =
                      raise (UserError $"{file}: {what}: restore the file, or take it away")

                  let metadata = Scope.run (fun () -> (Safetensors.read file).Metadata)

                  match
                      Map.tryFind "format" metadata, Map.tryFind "step" metadata, Map.tryFind "exponents" metadata
                  with
                  | Some "fokker-averages 1", Some step, Some exponents ->
                      let exponents =
                          exponents.Split ','
                          |> Array.map (fun text ->
                              match
                                  Double.TryParse(
                                      text,
                                      Globalization.NumberStyles.Float,
                                      Globalization.CultureInfo.InvariantCulture
                                  )
                              with
                              | true, exponent when exponent >= 0.0 && Double.IsFinite exponent -> exponent
                              | _ -> damaged $"one of its exponents is '{text}'")

                      match Int64.TryParse step with
                      | true, step when step >= 1L ->
                          for k, exponent in Seq.indexed exponents do
                              { Exponent = exponent; Steps = step },
                              fun () ->
                                  let tensors = (Safetensors.read file).Tensors

                                  network.Specs
                                  |> Array.map (fun spec ->
                                      match Map.tryFind $"power-{k}.{spec.Name}" tensors with
                                      | Some tensor when List.ofArray tensor.Shape = spec.Shape -> tensor
                                      | _ -> damaged $"{spec.Name} is not there, or of another shape")
                      | _ -> damaged $"its step is '{step}'"
                  | _ -> damaged "it is no snapshot of averages" ]

    let private deleteFolder (folder: string) =
        if Directory.Exists folder then
            Directory.Delete(folder, true)

    /// The new run's files in the old one's place. It can be interrupted after any of them, and done again.
    let private completeReplacing (folder: string) =
        let ready = readyReplacement folder

        if Directory.Exists ready then
            for file in Directory.GetFiles ready do
                File.Move(file, Path.Combine(folder, nonNull (Path.GetFileName file)), overwrite = true)

            for name in results do
                File.Delete(Path.Combine(folder, name))

            // The new run has none before it has taken the place.
            for _, file in students folder do
                File.Delete file

            if Directory.Exists(averagesFolder folder) then
                Directory.Delete(averagesFolder folder, true)

            Directory.Delete ready

    let private unwritable (folder: string) (error: exn) =
        let reason =
            match error with
            | :? UnauthorizedAccessException -> "permission denied"
            | _ -> error.Message.TrimEnd '.'

        refuse Setting.Folder "" $"{folder} cannot be written to ({reason}): choose another folder"

    /// The right to write a run's folder, which is made where there is none; none where another process has it. What a process that was
    /// killed left half-done there is completed or taken away. Raises UserError where the folder cannot be written.
    let rec tryClaim (folder: string) : RunClaim option =
        let lock = Path.Combine(folder, "training.lock")

        try
            Directory.CreateDirectory folder |> ignore
            let file = new FileStream(lock, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None, 1)
            // Who had it before takes the file away while it is locked: this one may be that one, with no name any more.
            // A time of its own tells the two apart, and takes no room where the disk is full.
            let time = DateTime.UnixEpoch.AddTicks(10L * Random.Shared.NextInt64(1L, 1L <<< 50))
            File.SetLastWriteTimeUtc(file.SafeFileHandle, time)
            let named = FileInfo lock

            if named.Exists && named.LastWriteTimeUtc = time then
                let claim = new RunClaim(folder, replacement folder, file)

                try
                    completeReplacing folder
                    deleteFolder (replacement folder)
                    Some claim
                with _ ->
                    (claim :> IDisposable).Dispose()
                    reraise ()
            else
                file.Dispose()
                tryClaim folder
        with
        | :? IOException as e when Disk.isHeld e -> None
        | :? IOException as e -> unwritable folder e
        | :? UnauthorizedAccessException as e -> unwritable folder e

    /// The right to write a run's folder. Raises UserError where another process has it, or the folder cannot be written.
    let claim (folder: string) : RunClaim =
        match tryClaim folder with
        | Some claim -> claim
        | None ->
            raise (
                UserError
                    $"{folder}: another process is training the run or writing its results: wait for its end, or take another name"
            )

    /// What is read of a run, and read again where another run took its place meanwhile, so that no two of its files are of two runs.
    /// Raises UserError as `read` does, and where the replacing was cut off in the middle.
    let rec private steadily (attempts: int) (folder: string) (free: 'T -> unit) (read: unit -> 'T) : 'T =
        let settings () =
            if File.Exists(runFile folder) then
                match JsonText.node (Disk.readBytes (16L <<< 20) (runFile folder)) with
                | Ok(:? JsonObject as json) -> Some(string json["settings"])
                | _ -> None
            else
                None

        let isReplacing () = Directory.Exists(readyReplacement folder)
        let before = settings ()

        let found =
            try
                Ok(read ())
            with :? UserError as e ->
                Error e

        if not (isReplacing ()) && settings () = before then
            match found with
            | Ok found -> found
            | Error e -> raise e
        else
            Result.iter free found

            if attempts = 0 then
                raise (
                    UserError
                        $"{folder}: another run is taking the place of this one, or was stopped while it did: resume its training to complete it"
                )

            Threading.Thread.Sleep 100
            steadily (attempts - 1) folder free read

    /// Reads a run, again where another one took its place meanwhile (`free` takes what was read in vain): no two files of what is read are of two runs.
    let reading (folder: string) (free: 'T -> unit) (read: unit -> 'T) : 'T = steadily 20 folder free read

    let private record (settings: (string * JsonNode) list) =
        object [ "fokker", str version; "settings", object settings; "environment", environment () ]

    /// Makes the `run.json` of a new run with the given settings. Raises UserError where the folder already holds a
    /// run, or cannot be written.
    let create (claim: RunClaim) (settings: (string * JsonNode) list) : unit =
        if File.Exists(runFile claim.Folder) then
            refuseWith
                Setting.Name
                ""
                $"{claim.Folder} holds a run already"
                $"give this one another name, or go on with that one by {Setting.Resume}"

        writeJson (runFile claim.Folder) (record settings)

    /// The same in the place of the run that is there, if any, which stays as it is until training has saved a state of the new one.
    let replace (claim: RunClaim) (settings: (string * JsonNode) list) : unit =
        if File.Exists(runFile claim.Folder) then
            Directory.CreateDirectory claim.Replacement |> ignore
            writeJson (runFile claim.Replacement) (record settings)
            claim.Home <- claim.Replacement
        else
            create claim settings

    /// The run that was to replace another does so now.
    let private takeItsPlace (claim: RunClaim) =
        if claim.Home <> claim.Folder then
            Directory.Move(claim.Home, readyReplacement claim.Folder)
            completeReplacing claim.Folder
            claim.Home <- claim.Folder

    /// What `run.json` says. Raises UserError where it is missing or not JSON.
    let describe (folder: string) : JsonObject =
        let file = runFile folder

        if not (File.Exists file) then
            raise (UserError $"{folder}: there is no run (no run.json); a training makes one")

        let damaged (reason: string) =
            raise (
                UserError $"{file}: it is not the JSON object that a run writes{reason}; restore it, or start a new run"
            )

        match JsonText.node (Disk.readBytes (16L <<< 20) file) with
        | Ok(:? JsonObject as json) -> json
        | Ok _ -> damaged ""
        | Error reason -> damaged $": {reason}"

    /// The settings that a run was made with, by name. Raises UserError as `describe` does.
    let settings (folder: string) : Map<string, JsonNode> =
        match (describe folder)["settings"] with
        | :? JsonObject as json ->
            Map.ofSeq
                [ for KeyValue(name, value) in json do
                      match value with
                      | null -> ()
                      | value -> name, value ]
        | _ -> raise (UserError $"{runFile folder}: it has no settings; restore it, or start a new run")

    let private ending (e: Ending) =
        match e with
        | Ending.Finished -> "finished"
        | Ending.Interrupted -> "interrupted"
        | Ending.Diverged _ -> "diverged"

    /// The batch of every step, before it is prepared.
    let private plainBatches (plan: Plan) (key: Rng) =
        Dataset.batches plan.Kind plan.BatchSize (Rng.named "batches" key) plan.Dataset

    let private preparation (plan: Plan) (key: Rng) =
        plan.Prepare
        |> Option.map (fun prepare -> fun step batch -> prepare (key |> Rng.named "pairs" |> Rng.at step) batch)

    /// The state of a new run before its first step.
    let private initial (plan: Plan) (key: Rng) : TrainState =
        match plan.Start with
        | Some start -> Scope.run (fun () -> Trainer.initAt plan.Kind key (start ()))
        | None -> Trainer.init plan.Kind key plan.Network

    let private requireShareable (plan: Plan) =
        match Trainer.cannotShare plan.Settings with
        | Some reason when not (Ranks.isAlone plan.Settings.Ranks) ->
            raise (
                UserError
                    $"{plan.Settings.Ranks.Count} processes cannot train this together: {reason}: train it with one"
            )
        | _ -> ()

    /// Trains from the beginning without a folder: nothing is written. The result is that of `train`, bit for bit.
    let inMemory (plan: Plan) (progress: StepInfo -> float -> unit) (stop: unit -> bool) : RunResult =
        requireShareable plan
        let key = Rng.ofSeed plan.Seed
        let plain = plainBatches plan key

        let batches =
            match preparation plan key with
            | None -> plain
            | Some prepare -> fun step -> prepare step (plain step)

        let mutable seconds = 0.0

        let stepped _ info now =
            seconds <- now
            progress info now

        let state, e =
            Trainer.run
                plan.Settings
                plan.Network
                plan.Loss
                batches
                plan.Budget
                0.0
                { Stepped = stepped; Stop = stop }
                (initial plan key)

        { State = state; Ending = e; Seconds = seconds; Kept = None }

    /// The state that process 0 begins at, on all of them.
    let private shared (ranks: IRanks) (state: TrainState) : TrainState =
        if Ranks.isAlone ranks then
            state
        else
            let step = Ranks.agreed ranks state.Step

            let next =
                Scope.run (fun () ->
                    let of' = Ranks.broadcast ranks

                    // A round's teacher is there from its first step on.
                    let teacher =
                        match Ranks.agreed ranks (int64 state.Teacher.Length) with
                        | 0L -> [||]
                        | _ -> of' (if state.Teacher.Length = 0 then state.Parameters else state.Teacher)

                    { state with
                        Step = step
                        Parameters = of' state.Parameters
                        Average = of' state.Average
                        FirstMoment = of' state.FirstMoment
                        SecondMoment = of' state.SecondMoment
                        // Of use to the process that writes them alone.
                        Powers = Array.map (Array.map Tensor.clone) state.Powers
                        Teacher = teacher })

            Scope.free state
            next

    /// Trains with the process that writes the run (`train`), as one of those that do not: it begins at that one's state, and keeps nothing.
    let follow (plan: Plan) (stop: unit -> bool) : Ending =
        requireShareable plan
        let key = Rng.ofSeed plan.Seed
        let plain = plainBatches plan key

        let batches =
            match preparation plan key with
            | None -> plain
            | Some prepare -> fun step -> prepare step (plain step)

        let state, ending =
            Trainer.run
                { plan.Settings with Powers = [] }
                plan.Network
                plan.Loss
                batches
                plan.Budget
                0.0
                { Stepped = (fun _ _ _ -> ()); Stop = stop }
                (shared plan.Settings.Ranks (initial plan key))

        Scope.free state
        ending

    /// Raises UserError where the folder holds a model of other data, units, classes or meaning than the plan's: going on would mix two trainings.
    let private requireSameModel (folder: string) (plan: Plan) =
        if File.Exists(checkpointFile folder) && File.Exists(modelFile folder) then
            match ModelFile.differences (modelFile folder) (plan.Trained [||] 0L) with
            | [] -> ()
            | ("data", _, _) :: _ ->
                raise (
                    UserError
                        $"{folder}: the run cannot go on: its data are no longer those that it began with: bring them back, or start a new run"
                )
            | (what, own, wanted) :: _ ->
                raise (
                    UserError
                        $"{folder}: the run cannot go on: its {what} was {own} when it began, and would be {wanted} now: bring back what it began with, or start a new run"
                )

    /// Trains from the folder's checkpoint, or from the beginning where there is none, until the plan's budget is spent or
    /// `stop` says so; the state is saved at the plan's cadence and at the end, whatever the end is. `progress` hears of
    /// every step and of the seconds of training so far. What is saved has been found good (`Trainer.run`); a run that replaces another
    /// does so with its first checkpoint, and not at all where it diverges before that.
    ///
    /// The result is a function of the plan: a run that was killed and taken up again ends with the same bytes.
    /// Raises UserError where the checkpoint is of another architecture or the folder cannot be written; the last checkpoint stays.
    let train (claim: RunClaim) (plan: Plan) (progress: StepInfo -> float -> unit) (stop: unit -> bool) : RunResult =
        let key = Rng.ofSeed plan.Seed
        let isReplacing () = claim.Home <> claim.Folder
        requireShareable plan
        requireSameModel claim.Home plan
        let start = checkpointFile claim.Home

        let state =
            if File.Exists start then
                let state, _ = Checkpoint.read start plan.Network
                Trainer.toKind plan.Kind state
            else
                initial plan key

        if Rng.text state.Key <> Rng.text key then
            Scope.free state

            raise (
                UserError
                    $"{start}: it was made with another seed than {plan.Seed}: resume with the seed in run.json, or start a new run"
            )

        let state = shared plan.Settings.Ranks state
        let mutable saved = if File.Exists start then state.Step else -1L
        let mutable metrics = new MetricsWriter(metricsFile claim.Home, state.Step)
        let before = metrics.Seconds

        use _metrics =
            { new IDisposable with
                member _.Dispose() = (metrics :> IDisposable).Dispose() }

        let batches = plainBatches plan key

        use prefetch =
            match preparation plan key with
            | None when not (Dataset.isWorthAThread plan.Dataset) -> null
            | None -> new Prefetch(batches, false)
            | Some prepare -> new Prefetch(fun step -> prepare step (batches step))

        let batches =
            match prefetch with
            | null -> batches
            | prefetch -> prefetch.Get

        let save (state: TrainState) =
            metrics.Sync()
            Checkpoint.write (checkpointFile claim.Home) plan.Network [ "units", Units.text plan.Dataset.Units ] state

            ModelFile.write (modelFile claim.Home) (plan.Trained state.Average state.Step)

            if isReplacing () then
                (metrics :> IDisposable).Dispose()
                takeItsPlace claim
                metrics <- new MetricsWriter(metricsFile claim.Folder, state.Step)

            saved <- state.Step

        /// The model under a name of its own, where that is its step. The state of that step is saved before: a run that is killed between the two
        /// writes it when it is taken up again.
        let keepMilestone (state: TrainState) =
            for step, name in plan.Milestones do
                if step = state.Step then
                    if saved <> state.Step then
                        save state

                    ModelFile.write (milestoneFile claim.Home name) (plan.Trained state.Average state.Step)

        /// A run that is taken up again writes those after its checkpoint once more, with the same bytes.
        let keepSnapshot (state: TrainState) =
            if state.Powers.Length > 0 && plan.Snapshot state.Step then
                if isReplacing () then
                    save state

                snapshot claim.Home plan state

        if File.Exists start then
            keepMilestone state

        let mutable savedAt = Environment.TickCount64
        let mutable seconds = before

        let stepped (good: TrainState) (info: StepInfo) (now: float) =
            seconds <- now

            let due =
                match plan.Save with
                | Cadence.Steps n -> good.Step % n = 0L
                | Cadence.Seconds s -> float (Environment.TickCount64 - savedAt) >= 1000.0 * s

            if due && good.Step > 0L && good.Step <> saved then
                save good
                savedAt <- Environment.TickCount64

            if good.Step > 0L then
                keepMilestone good
                keepSnapshot good

            metrics.Add info now
            progress info now

        let state, e =
            Trainer.run
                plan.Settings
                plan.Network
                plan.Loss
                batches
                plan.Budget
                before
                { Stepped = stepped; Stop = stop }
                state

        if state.Step <> saved && not (e.IsDiverged && isReplacing ()) then
            save state

        if not (isReplacing ()) then
            keepMilestone state
            keepSnapshot state

            let json = describe claim.Folder

            json["result"] <-
                object
                    [ "ending", str (ending e)
                      "step", JsonValue.Create state.Step
                      "seconds", JsonValue.Create(Math.Round(seconds, 3)) ]

            writeJson (runFile claim.Folder) json

        { State = state
          Ending = e
          Seconds = seconds
          Kept = (if isReplacing () then None else Some saved) }
