namespace Fokker

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes

/// The folder of one run. `Run` knows the files that training keeps in it; these are the ones that come after.
type RunFolder =
    { Name: string
      Path: string }

    member run.File(name: string) = Path.Combine(run.Path, name)
    member run.Record = Run.runFile run.Path
    member run.Checkpoint = Run.checkpointFile run.Path
    member run.Samples = run.File "samples.npy"
    member run.Picture = run.File "samples.png"
    member run.Evaluation = run.File "evaluation.json"
    member run.Report = run.File "report.html"

/// Runs on disk.
module Runs =

    /// Where runs are kept unless `--runs` says otherwise.
    let standardRoot = "runs"

    /// The run of a folder, whether there is one or not.
    let at (folder: string) : RunFolder =
        let full = Path.TrimEndingDirectorySeparator(Path.GetFullPath folder)
        { Name = full.Substring(full.LastIndexOf Path.DirectorySeparatorChar + 1); Path = folder }

    let isThere (run: RunFolder) = File.Exists run.Record

    /// The names under a folder of runs, the latest first.
    let names (root: string) : string list =
        if Directory.Exists root then
            Directory.GetDirectories root
            |> Seq.map at
            |> Seq.filter isThere
            |> Seq.sortByDescending (fun run -> File.GetLastWriteTimeUtc run.Record)
            |> Seq.map _.Name
            |> List.ofSeq
        else
            []

    /// The run that a person means: a name under `root`, or the path of a run's folder. Raises UserError where there is none.
    let find (root: string) (given: string) : RunFolder =
        match [ Path.Combine(root, given); given ] |> List.map at |> List.tryFind isThere with
        | Some run -> run
        | None ->
            match names root with
            | [] ->
                raise (
                    UserError
                        $"there is no run '{given}', and none at all in {root}/: start one with ./fokker train moons"
                )
            | known -> raise (UserError(Names.unknown "" "run" $"runs in {root}/" known given))

    /// Where a run of this name is to be. Raises UserError where the name is no file name.
    let place (root: string) (name: string) : RunFolder =
        if name = "" || name.StartsWith '.' || name.IndexOfAny [| '/'; '\\'; '\000' |] >= 0 then
            raise (
                UserError $"--name '{name}': expected a name for a folder, without slashes and not starting with a dot"
            )

        at (Path.Combine(root, name))

    /// A run's name as the words of a command line, with the folder of runs where that is not the usual one.
    let words (root: string) (name: string) : string = if root = standardRoot then name else $"{name} --runs {root}"

    /// NAME, NAME-2, NAME-3, …: the first that is not taken.
    let free (root: string) (name: string) : RunFolder =
        Seq.initInfinite (fun k -> if k = 0 then name else $"{name}-{k + 1}")
        |> Seq.map (place root)
        |> Seq.find (fun run -> not (Directory.Exists run.Path))

    /// The first of NAME, NAME-2, … that is free, and the right to write it: one that another process takes at the same moment is not.
    let rec claimFree (root: string) (name: string) : RunFolder * RunClaim =
        let run = free root name

        match Run.tryClaim run.Path with
        | Some claim when not (isThere run) -> run, claim
        | Some claim ->
            (claim :> IDisposable).Dispose()
            claimFree root name
        | None -> claimFree root name

    /// The recipe that a run was made with. Raises UserError where `run.json` is damaged.
    let recipe (run: RunFolder) : Recipe = Recipe.ofSettings run.Record (Run.settings run.Path)

    /// How the name of a data set begins that is in memory only: another process cannot load it.
    let memory = "memory:"

    /// What is known of a data set without its samples, for `run.json`.
    let describe (data: Dataset) : JsonNode =
        let json = JsonObject()
        let array (nodes: seq<JsonNode | null>) : JsonNode = JsonArray(Array.ofSeq nodes)
        json["shape"] <- array [ for size in data.Shape -> JsonValue.Create<int> size ]
        json["classes"] <- array [ for name in data.Classes -> JsonValue.Create<string> name ]
        json["units"] <- JsonValue.Create<string>(Units.text data.Units)
        json["summary"] <- JsonValue.Create<string> data.Summary
        json

    /// The data set of a run. One that was in memory is what `run.json` says of it: its shape, classes and units, without samples.
    let data (run: RunFolder) (recipe: Recipe) : Dataset =
        if not (recipe.DataSet.StartsWith memory) then
            Datasets.load recipe.DataSet
        else
            let damaged () =
                raise (
                    UserError $"{run.Record}: it does not say what its data look like; restore the file, or train anew"
                )

            match Run.settings run.Path |> Map.tryFind "data" with
            | None -> damaged ()
            | Some json ->
                try
                    let field (name: string) = nonNull json[name]

                    { Name = recipe.DataSet
                      Summary = (field "summary").GetValue<string>()
                      Source = "memory"
                      Shape = [ for size in (field "shape").AsArray() -> (nonNull size).GetValue<int>() ]
                      Classes = [ for name in (field "classes").AsArray() -> (nonNull name).GetValue<string>() ]
                      Units = Units.ofText ((field "units").GetValue<string>())
                      Content =
                        Law(fun _ _ ->
                            raise (
                                UserError
                                    $"{run.Name}: it was trained on data in memory, which are not kept with it: give data of your own"
                            )) }
                with
                | :? NullReferenceException
                | :? InvalidOperationException
                | :? FormatException -> damaged ()

    /// The folder of runs that a run is kept in: where it finds the run that it learned from.
    let rootOf (run: RunFolder) =
        match Path.GetDirectoryName(Path.GetFullPath run.Path) with
        | null -> standardRoot
        | root -> root

    /// A finished or interrupted run, ready to be sampled from: its job and its averaged parameters, on its device and in
    /// its element type unless others are given. Raises UserError where a file of it is missing or damaged. Its path may be one of the caller's own.
    let rec loadWith
        (paths: GaussianPath list)
        (run: RunFolder)
        (device: string option)
        (dtype: Dtype option)
        : Job * TrainState =
        let load () =
            let own = recipe run

            let recipe =
                { own with
                    Device = defaultArg device own.Device
                    Dtype = dtype |> Option.map Dtype.name |> Option.defaultValue own.Dtype }

            let job = jobWith (rootOf run) paths recipe (data run recipe)

            if not (File.Exists run.Checkpoint) then
                raise (
                    UserError
                        $"{run.Checkpoint}: there is no checkpoint yet: train it with ./fokker train --resume --name {run.Name}"
                )

            job, Scope.run (fun () -> Trainer.toKind job.Kind (fst (Checkpoint.read run.Checkpoint job.Network)))

        Run.reading run.Path (fun (_, state) -> Scope.free state) load

    /// A recipe's job. The run that it is to learn from, if any, is found under a folder of runs, by its name or its path.
    and jobWith (root: string) (paths: GaussianPath list) (recipe: Recipe) (data: Dataset) : Job =
        let teacher (folder: string) =
            let job, state = loadWith paths (find root folder) (Some recipe.Device) None

            if job.Data.Shape <> data.Shape then
                raise (
                    UserError
                        $"--teacher {folder}: it was trained on {job.Data.Name}, whose samples have another shape than those of {data.Name}"
                )

            match job.Objective.Learned(job.Network.Apply state.Average) with
            | Denoising model -> model
            | Transport _
            | Mapping _ ->
                raise (
                    UserError
                        $"--teacher {folder}: it was trained by {job.Recipe.Loss}, which teaches no score: name a run trained by cfm, simple or another regression"
                )

        Recipe.job paths teacher recipe data

    /// `loadWith` and `jobWith` on the library's own paths; a teacher is found where runs are kept unless it is said otherwise.
    let load = loadWith []

    let job = jobWith standardRoot []

    let private format =
        JsonSerializerOptions(
            WriteIndented = true,
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping
        )

    /// Writes a file of JSON, replacing it at once.
    let writeJson (file: string) (json: JsonObject) =
        let text = json.ToJsonString format + "\n"
        Disk.replace file (fun stream -> stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes text)))

    /// Writes bytes, replacing the file at once.
    let writeBytes (file: string) (bytes: byte[]) = Disk.replace file (fun stream -> stream.Write(ReadOnlySpan bytes))
