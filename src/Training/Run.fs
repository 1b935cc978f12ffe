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
        /// Of parameters and batches.
        Kind: Kind
        Budget: Budget
        Save: Cadence
        /// What whoever opens the checkpoint later will want to know; the data's units are always among it (`units`).
        Notes: (string * string) list
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
    }

/// A run on disk: `run.json` (what repeats it), `metrics.jsonl` (its history), `checkpoint.safetensors` (its state).
[<RequireQualifiedAccess>]
module Run =

    let runFile folder = Path.Combine(folder, "run.json")
    let metricsFile folder = Path.Combine(folder, "metrics.jsonl")
    let checkpointFile folder = Path.Combine(folder, "checkpoint.safetensors")

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
              "cpuCapability", str (Torch.cpuCapability ())
              "threads", int (Torch.threads ())
              "dotnet", str (string Environment.Version)
              "system", str RuntimeInformation.OSDescription
              "architecture", str (string RuntimeInformation.ProcessArchitecture) ]

    /// Makes a run's folder and its `run.json` with the given settings. Raises UserError where the folder already holds a
    /// run, or cannot be written.
    let create (folder: string) (settings: (string * JsonNode) list) : unit =
        if File.Exists(runFile folder) then
            raise (
                UserError
                    $"{folder}: a run of that name is there already: give this one another --name, or continue that one with --resume"
            )

        try
            Directory.CreateDirectory folder |> ignore
        with
        | :? IOException
        | :? UnauthorizedAccessException as e ->
            raise (UserError($"{folder}: the folder cannot be made ({e.Message}): choose another place for the run", e))

        writeJson
            (runFile folder)
            (object [ "fokker", str version; "settings", object settings; "environment", environment () ])

    /// What `run.json` says. Raises UserError where it is missing or not JSON.
    let describe (folder: string) : JsonObject =
        let file = runFile folder

        if not (File.Exists file) then
            raise (UserError $"{folder}: there is no run (no run.json): `fokker train` makes one")

        let text =
            Disk.read file (fun stream ->
                use reader = new StreamReader(stream)
                reader.ReadToEnd())

        let damaged () =
            raise (UserError $"{file}: it is not the JSON object that a run writes; restore it, or start a new run")

        try
            match JsonNode.Parse text with
            | :? JsonObject as json -> json
            | _ -> damaged ()
        with :? JsonException ->
            damaged ()

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

    /// Held while a process trains the run; the system lets go of it when the process ends, however it ends.
    let private lock (folder: string) =
        try
            new FileStream(
                Path.Combine(folder, "training.lock"),
                FileMode.OpenOrCreate,
                FileAccess.Write,
                FileShare.None,
                1,
                FileOptions.DeleteOnClose
            )
        with
        | :? IOException
        | :? UnauthorizedAccessException as e ->
            raise (
                UserError(
                    $"{folder}: the run cannot be trained here: another process is training it, or its folder cannot be written ({e.Message})",
                    e
                )
            )

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

    /// Trains from the beginning without a folder: nothing is written. The result is that of `train`, bit for bit.
    let inMemory (plan: Plan) (progress: StepInfo -> float -> unit) (stop: unit -> bool) : RunResult =
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
                (Trainer.init plan.Kind key plan.Network)

        { State = state; Ending = e; Seconds = seconds }

    /// Trains from the folder's checkpoint, or from the beginning where there is none, until the plan's budget is spent or
    /// `stop` says so; the state is saved at the plan's cadence and at the end, whatever the end is. `progress` hears of
    /// every step and of the seconds of training so far.
    ///
    /// The result is a function of the plan: a run that was killed and taken up again ends with the same bytes.
    /// Raises UserError where the checkpoint is of another architecture or the folder cannot be written; the last checkpoint stays.
    let train (folder: string) (plan: Plan) (progress: StepInfo -> float -> unit) (stop: unit -> bool) : RunResult =
        use _lock = lock folder
        let checkpoint = checkpointFile folder
        let key = Rng.ofSeed plan.Seed
        let notes = ("units", Units.text plan.Dataset.Units) :: plan.Notes

        let state =
            if File.Exists checkpoint then
                let state, _ = Checkpoint.read checkpoint plan.Network
                Trainer.toKind plan.Kind state
            else
                Trainer.init plan.Kind key plan.Network

        if Rng.text state.Key <> Rng.text key then
            Scope.free state

            raise (
                UserError
                    $"{checkpoint}: it was made with another seed than {plan.Seed}: resume with the seed in run.json, or start a new run"
            )

        use metrics = new MetricsWriter(metricsFile folder, state.Step)

        let batches = plainBatches plan key

        use prefetch =
            match preparation plan key with
            | None -> null
            | Some prepare -> new Prefetch(fun step -> prepare step (batches step))

        let batches =
            match prefetch with
            | null -> batches
            | prefetch -> prefetch.Get

        let save (state: TrainState) =
            metrics.Sync()
            Checkpoint.write checkpoint plan.Network notes state

        let mutable savedAt = Environment.TickCount64
        let mutable saved = if File.Exists checkpoint then state.Step else -1L
        let mutable seconds = metrics.Seconds

        let stepped (state: TrainState) (info: StepInfo) (now: float) =
            seconds <- now

            let due =
                match plan.Save with
                | Cadence.Steps n -> info.Step % n = 0L
                | Cadence.Seconds s -> float (Environment.TickCount64 - savedAt) >= 1000.0 * s

            metrics.Add info now

            if due then
                save state
                saved <- info.Step
                savedAt <- Environment.TickCount64

            progress info now

        let state, e =
            Trainer.run
                plan.Settings
                plan.Network
                plan.Loss
                batches
                plan.Budget
                metrics.Seconds
                { Stepped = stepped; Stop = stop }
                state

        if state.Step <> saved then
            save state

        let json = describe folder

        json["result"] <-
            object
                [ "ending", str (ending e)
                  "step", JsonValue.Create state.Step
                  "seconds", JsonValue.Create(Math.Round(seconds, 3)) ]

        writeJson (runFile folder) json

        { State = state; Ending = e; Seconds = seconds }
