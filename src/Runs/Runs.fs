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
    member run.Model = Run.modelFile run.Path
    member run.Samples = run.File "samples.npy"
    member run.Picture = run.File "samples.png"
    /// Samples of text, a sample a line.
    member run.Text = run.File "samples.txt"
    member run.Evaluation = run.File "evaluation.json"
    member run.Report = run.File "report.html"

/// Runs on disk.
module Runs =

    /// Where runs are kept unless another folder is given.
    let standardRoot = "runs"

    /// The run of a folder, whether there is one or not.
    let at (folder: string) : RunFolder =
        let full = Path.TrimEndingDirectorySeparator(Path.GetFullPath folder)
        { Name = full.Substring(full.LastIndexOf Path.DirectorySeparatorChar + 1); Path = folder }

    /// A training's, or that of a model that came from elsewhere.
    let isThere (run: RunFolder) = File.Exists run.Record || File.Exists run.Model

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
            | [] -> raise (UserError $"there is no run '{given}', and none at all in {root}/: train one first")
            | known -> raise (UserError(Names.unknown "" "run" $"runs in {root}/" known given))

    /// The name of a run and the number N of steps of NAME@N, the student of one round of it; none where no such round is said.
    let studentOf (given: string) : string * int option =
        match given.LastIndexOf '@' with
        | at when at > 0 ->
            match Int32.TryParse(given.Substring(at + 1)) with
            | true, steps when steps > 0 -> given.Substring(0, at), Some steps
            | _ -> given, None
        | _ -> given, None

    /// Where a run of this name is to be. Raises UserError where the name is no file name.
    let place (root: string) (name: string) : RunFolder =
        if name = "" || name.StartsWith '.' || name.IndexOfAny [| '/'; '\\'; '\000' |] >= 0 then
            refuse Setting.Name $"'{name}'" $"expected a name for a folder, without slashes and not starting with a dot"

        at (Path.Combine(root, name))

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

    /// The recipe that a run was made with. Raises UserError where `run.json` is damaged, or the model came from elsewhere.
    let recipe (run: RunFolder) : Recipe =
        if File.Exists run.Model && not (File.Exists run.Record) then
            raise (
                UserError
                    $"{run.Path}: its model came from elsewhere: there is no training of it to repeat or to tell of"
            )

        Recipe.ofSettings run.Record (Run.settings run.Path)

    /// How the name of a data set begins that is in memory only: another process cannot load it.
    let memory = "memory:"

    /// The data set of a run of Fokker 0.1, which said in `run.json` what data in memory looked like. Raises UserError where it does not.
    let private earlierData (run: RunFolder) (recipe: Recipe) : Dataset =
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
                      Reference = "memory"
                      Shape = [ for size in (field "shape").AsArray() -> (nonNull size).GetValue<int>() ]
                      Classes = [ for name in (field "classes").AsArray() -> (nonNull name).GetValue<string>() ]
                      Units = Units.ofText ((field "units").GetValue<string>())
                      Range = None
                      Columns = []
                      Notes = []
                      Augmentation = Augmentation.None
                      Given = None
                      Content =
                        Law
                            { Draw =
                                fun _ _ ->
                                    raise (
                                        UserError
                                            $"{run.Name}: it was trained on data in memory, which are not kept with it"
                                    )
                              LogDensity = None
                              Mixture = None } }
                with
                | :? NullReferenceException
                | :? InvalidOperationException
                | :? ArgumentException
                | :? OverflowException
                | :? FormatException -> damaged ()

    let private deviceOf (device: string option) = device |> Option.map Torch.device |> Option.defaultValue Device.Cpu

    /// The folder of runs that a run is kept in: where it finds the run that it learned from.
    let rootOf (run: RunFolder) =
        match Path.GetDirectoryName(Path.GetFullPath run.Path) with
        | null -> standardRoot
        | root -> root

    /// What a run has learned, on a device (the CPU unless one is named), in its own element type unless another is given. Its parts may be of the
    /// caller's own. Only the model's file is read; a run of Fokker 0.1, which has none, is read by its recipe, data set and training state. Raises
    /// UserError where a file of it is missing or damaged.
    let rec trainedIn (own: OwnParts) (device: string option) (dtype: Dtype option) (run: RunFolder) : TrainedNetwork =
        let read () =
            if File.Exists run.Model then
                ModelFile.read own (deviceOf device) dtype run.Model
            elif File.Exists run.Checkpoint then
                ofEarlierRun own device dtype run
            else
                raise (
                    UserError
                        $"{run.Path}: nothing has been learned there yet: its training is to be begun, or gone on with"
                )

        // Where another run takes its place meanwhile, it is read again.
        Run.reading run.Path Scope.free read

    /// A run of Fokker 0.1: its recipe, its data set and the averaged parameters of its training state.
    and private ofEarlierRun
        (own: OwnParts)
        (device: string option)
        (dtype: Dtype option)
        (run: RunFolder)
        : TrainedNetwork =
        let kept = recipe run

        let recipe =
            { kept with
                Device = defaultArg device "cpu"
                Dtype = dtype |> Option.map Dtype.name |> Option.defaultValue kept.Dtype }

        let job = jobWith (rootOf run) own recipe (earlierData run recipe)

        Scope.run (fun () ->
            let state, notes = Checkpoint.read run.Checkpoint job.Network
            let state = Trainer.toKind job.Kind state
            let trained = job.Trained(state.Average, state.Step)

            match Map.tryFind "units" notes with
            | Some units ->
                try
                    { trained with Units = Units.ofText units }
                with
                | :? FormatException
                | :? ArgumentException ->
                    raise (
                        UserError
                            $"{run.Checkpoint}: the units of its data are '{units}': it is damaged; restore the file, or train anew"
                    )
            | None -> trained)

    /// A model of a run's name with `@N`, that of its round of N steps, by its run's name under `root`, or by the path of a run's folder or of a model's file. Raises UserError where there is none, or it is damaged.
    and networkWith
        (own: OwnParts)
        (root: string)
        (device: string option)
        (dtype: Dtype option)
        (given: string)
        : string * TrainedNetwork =
        let isModel (file: string) = file.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)

        if isModel given && File.Exists given then
            string (Path.GetFileNameWithoutExtension given), ModelFile.read own (deviceOf device) dtype given
        elif
            (snd (studentOf given)).IsSome
            && not (Directory.Exists(Path.Combine(root, given)) || Directory.Exists given)
        then
            let name, steps = studentOf given
            let run = find root name

            match Run.students run.Path |> List.tryFind (fun (n, _) -> Some n = steps) with
            | Some(_, file) -> given, ModelFile.read own (deviceOf device) dtype file
            | None ->
                let there = Run.students run.Path |> List.map (fun (n, _) -> $"{name}@{n}")
                let what =
                    if there.IsEmpty then
                        "it is not of a training in rounds"
                    else
                        "there are " + String.Join(", ", there)
                raise (UserError $"{given}: {run.Path} has no student of that many steps: {what}")
        elif File.Exists(Run.modelFile given) && not (File.Exists(Run.runFile given)) then
            (at given).Name, ModelFile.read own (deviceOf device) dtype (Run.modelFile given)
        else
            let run = find root given
            run.Name, trainedIn own device dtype run

    /// What a run has learned, averaged over its training by the power function of a length, a share of its steps: made of the snapshots that its training kept (`PowerAverage`). Raises UserError where it kept none, and
    /// RefusedException for a length that is out of their reach (`PowerAverage.reach`).
    and averagedIn (own: OwnParts) (device: string option) (length: float) (run: RunFolder) : TrainedNetwork =
        let struct (least, most) = PowerAverage.reach

        if not (length >= least && length <= most) then
            refuse Setting.Length length $"expected a share of the steps from {least} to {most}"

        let trained = trainedIn own device None run

        Scope.run (fun () ->
            match Run.snapshots run.Path trained.Network with
            | [] ->
                Scope.free trained
                raise (
                    UserError
                        $"{run.Path}: its training kept no power-function averages to make others of: train it again with such averages kept"
                )
            | found ->
                let last = found |> List.map (fun (profile, _) -> profile.Steps) |> List.max
                let kept = Array.ofList found

                let weights =
                    PowerAverage.coefficients
                        (Array.map fst kept)
                        { Exponent = PowerAverage.exponentOf length; Steps = last }

                let add (sums: Tensor[]) (weight: float, read: unit -> Tensor[]) =
                    Scope.run (fun () ->
                        Array.map2 (fun (sum: Tensor) (p: Tensor) -> sum + weight * p.To sum.Dtype) sums (read ()))

                let zeros = trained.Parameters |> Array.map (fun p -> Tensor.zeros Kind.Float64 p.Shape)

                let next (sums: Tensor[]) (weight, read) =
                    let added = add sums (weight, read)
                    Scope.free sums
                    added

                let sums = Array.fold next zeros (Array.zip weights (Array.map snd kept))

                let parameters = sums |> Array.map (fun sum -> Tensor.clone (sum.To trained.Kind))
                Scope.free trained.Parameters
                { trained with Parameters = parameters })

    /// A recipe's job. The model that it is to learn from, if any, is found under a folder of runs, by its name or its path.
    and jobWith (root: string) (own: OwnParts) (recipe: Recipe) (data: Dataset) : Job =
        let find (setting: Setting) (given: string) =
            let dtype = Lookup.kept (Lookup.arithmetic recipe.Dtype)
            let name, trained = networkWith own root (Some recipe.Device) (Some dtype) given

            if trained.Shape <> data.Shape then
                refuse
                    setting
                    given
                    $"it was trained on {trained.Training.Data}, whose samples have another shape than those of {data.Name}"

            name, trained

        Job.make own find recipe data

    /// The recipe of a request, whose names may be those of the caller's own parts. What begins at another run has that run's network unless the request says otherwise.
    let recipeOf (known: Known) (root: string) (standard: Recipe) (request: TrainingRequest) : Recipe =
        let begun =
            match request.From, request.Loss, request.Teacher with
            | Some given, _, _ -> Some given
            | None, Some loss, Some given when (known.Losses.Find loss).BeginsAtTeacher -> Some given
            | _ -> None

        let standard =
            match begun with
            | None -> standard
            | Some given ->
                let given, _ = studentOf given
                let folders = [ Path.Combine(root, given); given ]

                match folders |> List.map at |> List.tryFind isThere with
                | None -> standard
                | Some run when not (File.Exists run.Record) ->
                    // It was trained elsewhere: there is no recipe of it, but there is its network.
                    Scope.run (fun () ->
                        let trained = trainedIn known.Own None None run

                        { standard with
                            Network = PartName.plain Networks.learnedFrom
                            Labels = trained.Labels || trained.Given.IsSome
                            LabelDropout = if trained.Null then 0.1 else 0.0 })
                | Some run ->
                    let own = recipe run

                    if own.Loss.Name = Objectives.classifier.Name then
                        standard
                    else
                        { standard with
                            Network = own.Network
                            Width = own.Width
                            Depth = own.Depth
                            Blind = own.Blind
                            Labels = own.Labels
                            LabelDropout = own.LabelDropout }

        TrainingRequest.overAmong known standard request

    /// `jobWith` of the library's parts; a teacher is found where runs are kept unless it is said otherwise.
    let job = jobWith standardRoot OwnParts.none

    /// A model by its run's name, or by the path of a folder or a file, to sample from on a device. Its network computes in `dtype`, or what it was trained in where none is given; bfloat16 is the layers'
    /// alone (`GenerativeModel.computedIn`). Raises UserError where there is none, or it is a classifier.
    let load (root: string) (device: string option) (dtype: Dtype option) (given: string) : GenerativeModel =
        let model =
            networkWith OwnParts.none root device (Option.map Lookup.kept dtype) given
            ||> GenerativeModel.ofTrained
        dtype |> Option.fold (fun model dtype -> GenerativeModel.computedIn dtype model) model

    /// Trains by a recipe on the thread that asks, with nothing written: for scripts. Raises UserError where the recipe's parts do not fit, or training
    /// diverges.
    let fit (recipe: Recipe) (data: Dataset) : GenerativeModel =
        let job = job recipe data
        let result = Run.inMemory (Job.plan job) (fun _ _ -> ()) (fun () -> false)

        match result.Divergence with
        | Some divergence -> raise (UserError divergence)
        | None -> GenerativeModel.ofTrained data.Name (job.Trained(result.State.Average, result.State.Step))

    /// The data that a model is evaluated against, unless others are given: an exact law's own, or those that it was trained on, and a warning where these are
    /// no longer what they were. Raises RefusedException where there are none.
    let heldOut (model: GenerativeModel) : Dataset * string option =
        match GenerativeModel.ownData model, model.Origin with
        | Some data, _ -> data, None
        | None, Origin.Trained trained when not (trained.Training.Data.StartsWith memory) ->
            let name = trained.Training.Data

            let data =
                try
                    Datasets.load name
                with :? UserError as error ->
                    refuseWith
                        Setting.HeldOut
                        ""
                        $"the data that {model.Name} was trained on cannot be read ({error.Message})"
                        $"name held-out data"

            if data.Shape <> model.Shape then
                let text (shape: int list) = String.Join("; ", shape)

                refuseWith
                    Setting.HeldOut
                    ""
                    $"{name} holds samples [{text data.Shape}] now, and {model.Name} learned samples [{text model.Shape}]"
                    $"name held-out data"

            data,
            (if trained.Training.Digest.IsSome && Dataset.digest data <> trained.Training.Digest then
                 Some
                     $"{name} has changed since {model.Name} was trained on it: it is measured against what the file holds now"
             else
                 None)
        | None, Origin.Trained _ ->
            refuseWith
                Setting.HeldOut
                ""
                $"{model.Name} was trained on data in memory, which are not kept with it"
                $"name held-out data"
        | None, _ -> refuseWith Setting.HeldOut "" $"{model.Name} has no data of its own" $"name held-out data"

    let private format =
        JsonSerializerOptions(
            WriteIndented = true,
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping
        )

    /// Makes a run of a model that was not trained in it: a folder with its file, which everything that takes a trained run takes. It is whole before it takes the place of another.
    /// Raises RefusedException where the name is taken and nothing is to be overwritten, and UserError where another process is writing to that run, or the folder cannot be written.
    let keep (root: string) (name: string) (overwrite: bool) (trained: TrainedNetwork) : RunFolder =
        let run = place root name

        if Directory.Exists run.Path && not overwrite then
            refuseWith
                Setting.Name
                run.Name
                $"there is a run of that name in {root}/"
                $"give another, or say {Setting.Overwrite}"

        // No run has such a name.
        let made = at (Path.Combine(root, $".{name}"))
        let clear (folder: string) =
            if Directory.Exists folder then
                Directory.Delete(folder, true)

        clear made.Path
        Directory.CreateDirectory made.Path |> ignore

        try
            ModelFile.write made.Model trained

            if Directory.Exists run.Path then
                (Run.claim run.Path :> IDisposable).Dispose()

            clear run.Path
            Directory.Move(made.Path, run.Path)
        finally
            clear made.Path

        run

    /// Writes a file of JSON, replacing it at once.
    let writeJson (file: string) (json: JsonObject) =
        let text = json.ToJsonString format + "\n"
        Disk.replace file (fun stream -> stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes text)))

    /// Writes bytes, replacing the file at once.
    let writeBytes (file: string) (bytes: byte[]) = Disk.replace file (fun stream -> stream.Write(ReadOnlySpan bytes))
