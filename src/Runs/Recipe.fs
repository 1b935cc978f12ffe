namespace Fokker

open System
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.Json.Serialization

/// Everything that decides what a run computes, by name and number: it is written to `run.json`, and is enough to repeat it.
type Recipe =
    {
        DataSet: string
        // A part that the loss has no use for is left out.
        Path: PartName option
        Loss: PartName
        Prediction: PartName option
        Weight: PartName option
        Times: PartName option
        Coupling: PartName option
        /// The law at the noisy end: `normal`, or a data set.
        Source: string option
        Preconditioning: PartName option
        /// The folder of the run that a distillation learns from.
        Teacher: string option
        /// The folder of the run whose parameters training begins at.
        From: string option
        Network: PartName
        /// Units in a hidden layer, or channels at a U-Net's finest scale.
        Width: int
        /// Hidden layers, or residual blocks at each scale.
        Depth: int
        /// Whether the network is told the class.
        Labels: bool
        /// The probability that a label is left out in training: the network then learns what no class looks like, which guidance needs.
        LabelDropout: float
        Seed: int64
        Steps: int64
        Batch: int
        /// Highest rate; it rises over the warm-up and falls to 0 at the last step, along half a cosine.
        LearningRate: float
        WarmUp: int64
        WeightDecay: float
        /// Gradients longer than this are shortened to it.
        Clip: float
        /// Decay of the parameters' moving average, which samples are drawn with.
        Ema: float
        Device: string
        Dtype: string
    }

/// A recipe's names made into the things they stand for.
[<NoComparison; NoEquality>]
type Job =
    {
        Recipe: Recipe
        Data: Dataset
        Objective: Objective
        /// `Dataset.digest` of the data, found when it is asked for.
        Digest: Lazy<string option>
        /// The law of x₁ at the noisy end; none for σ(1)·ε.
        Source: Dataset option
        Network: Network
        /// The parameters that the training begins at, by the name of the model that they are of; found when they are asked for. None where they are drawn.
        Start: (string * Lazy<WarmStart>) option
        Kind: Kind
        Training: TrainSettings
    }

    /// Where the training begins and what of that did not fit, in one line; none where its parameters are drawn.
    member job.Beginning: string option = job.Start |> Option.map (fun (name, start) -> WarmStart.text name start.Value)

    /// The steps after which each round of the training has ended, with the round.
    member job.Rounds: (int64 * Round) list =
        match job.Training.Rounds with
        | None -> []
        | Some rounds -> List.zip (Rounds.ends rounds) job.Objective.Rounds

    /// Whether what is trained tells classes of noisy samples apart, and is nothing to sample from.
    member job.IsClassifier = job.Recipe.Loss.Name = Objectives.classifier.Name

    /// The network with parameters of it, and all that its numbers mean: what is left of the job once it is trained for so many steps.
    member job.Trained(parameters: Tensor[], steps: int64) : TrainedNetwork =
        { Network = job.Network
          Parameters = parameters
          Path = job.Objective.Path
          Output = job.Objective.Output
          Shape = job.Data.Shape
          Classes = job.Data.Classes
          Units = job.Data.Units
          Range = job.Data.Range
          Labels = job.Recipe.Labels
          Null = job.Recipe.LabelDropout > 0.0
          Source = job.Source
          Times =
            // Of the student that is being trained, or is just done.
            (match job.Rounds |> List.tryFind (fun (last, _) -> steps <= last) with
             | Some(_, round) -> round.Times
             | None -> job.Rounds |> List.tryLast |> Option.map (fun (_, last) -> last.Times) |> Option.defaultValue [])
          Kind = job.Kind
          Training =
            { Data = job.Recipe.DataSet
              Digest = job.Digest.Value
              Loss = string job.Recipe.Loss
              Steps = steps
              Seed = job.Recipe.Seed
              Version = Run.version } }

    /// The stream that everything after training draws from, by name.
    member job.Stream(name: string) = Rng.ofSeed job.Recipe.Seed |> Rng.named name

[<RequireQualifiedAccess>]
module Recipe =

    /// The parts of a loss: where a recipe has each, and the list that it is one of, if there is one.
    let private parts
        (known: Known)
        : (Setting * PartList<unit> option * (Recipe -> PartName option) * (PartName option -> Recipe -> Recipe)) list =
        let plain: string option -> PartName option = Option.map PartName.plain
        let word: PartName option -> string option = Option.map string

        [ Setting.Path, Some known.Paths.Described, _.Path, (fun name r -> { r with Path = name })
          Setting.Prediction,
          Some known.Predictions.Described,
          _.Prediction,
          (fun name r -> { r with Prediction = name })
          Setting.Weight, Some known.Weights.Described, _.Weight, (fun name r -> { r with Weight = name })
          Setting.Times, Some known.Times.Described, _.Times, (fun name r -> { r with Times = name })
          Setting.Coupling, Some known.Couplings.Described, _.Coupling, (fun name r -> { r with Coupling = name })
          Setting.Source, None, (fun r -> plain r.Source), (fun name r -> { r with Source = word name })
          Setting.Preconditioning,
          Some Catalogue.preconditionings.Described,
          _.Preconditioning,
          (fun name r -> { r with Preconditioning = name })
          Setting.Teacher, None, (fun r -> plain r.Teacher), (fun name r -> { r with Teacher = word name })
          Setting.Begin, None, (fun r -> plain r.From), (fun name r -> { r with From = word name }) ]

    /// Settings that go with every loss, and stay as they are when another is taken.
    let private isForAll (setting: Setting) = setting = Setting.Begin

    /// A name of the list with all of its numbers; one that the list does not have stays as it is, since a path may be the caller's own.
    let private completed (list: PartList<unit> option) (text: string) : PartName =
        match list with
        | Some list when list.Has text -> list.Parse text
        | _ -> PartName.plain text

    /// `withPart` where names may be those of the caller's own parts.
    let withPartAmong (known: Known) (setting: Setting) (text: string) (recipe: Recipe) : Recipe =
        let _, list, _, set = parts known |> List.find (fun (s, _, _, _) -> s = setting)
        set (Some(completed list text)) recipe

    /// The recipe with another part, in the notation that the command line has for it: `withPart Setting.Weight "min-snr:gamma=3"`.
    let withPart (setting: Setting) (text: string) (recipe: Recipe) : Recipe =
        withPartAmong Known.standard setting text recipe

    /// `networkNamed` where the name may be that of one of the caller's own.
    let networkAmong (known: Known) (text: string) : PartName = completed (Some known.Networks.Described) text

    /// A network by its name with numbers; one that the list does not have is a classifier's, or refused when the network is made.
    let networkNamed (text: string) : PartName = networkAmong Known.standard text

    /// The one network that tells classes apart, and what it is made of.
    let private classifying (recipe: Recipe) : Recipe =
        { recipe with
            Network = PartName.plain "classifier"
            Width = (NoisyClassifier.standard [] 1).Width
            Depth = 2
            Labels = true
            LabelDropout = 0.0 }

    /// `withLoss` where names may be those of the caller's own parts.
    let withLossAmong (known: Known) (text: string) (recipe: Recipe) : Recipe =
        let name = known.Losses.Parse text
        let loss = known.Losses.Make name
        let recipe = if loss.Name = Objectives.classifier.Name then classifying recipe else recipe

        parts known
        |> List.fold
            (fun recipe (setting, list, get, set) ->
                if isForAll setting then
                    recipe
                else

                    match List.tryFind (fst >> (=) setting) loss.Uses with
                    | Some(_, None) when setting = Setting.Path ->
                        if (get recipe).IsSome then recipe else withPart setting Path.condOT.Name recipe
                    | Some(_, own) -> set (own |> Option.map (string >> completed list)) recipe
                    | None -> set None recipe)
            { recipe with Loss = name }

    /// A loss brings its own parts; those that it has no use for are taken out.
    let withLoss (text: string) (recipe: Recipe) : Recipe = withLossAmong Known.standard text recipe

    /// Defaults for samples of this shape: a minute for points, a few for small images, on two cores.
    let standardFor (dataset: Dataset) : Recipe =
        let vectors =
            { DataSet = dataset.Name
              Path = None
              Loss = PartName.plain (Loss.cfm Path.condOT).Name
              Prediction = None
              Weight = None
              Times = None
              Coupling = None
              Source = None
              Preconditioning = None
              Teacher = None
              From = None
              Network = PartName.plain "mlp"
              Width = 256
              Depth = 3
              Labels = false
              LabelDropout = 0.0
              Seed = 0L
              Steps = 10_000L
              Batch = 512
              LearningRate = 2e-3
              WarmUp = 200L
              WeightDecay = 0.0
              Clip = 1.0
              Ema = 0.999
              Device = "cpu"
              Dtype = Dtype.name Dtype.Float32 }
            |> withLoss (Loss.cfm Path.condOT).Name

        if dataset.IsImage then
            { vectors with
                Network = PartName.plain "unet"
                Width = 32
                Depth = 1
                Labels = not dataset.Classes.IsEmpty
                LabelDropout = if dataset.Classes.IsEmpty then 0.0 else 0.1
                LearningRate = 1e-3
                Steps = 4_000L
                Batch = 64 }
        else
            match dataset.Shape with
            // Laws of few dimensions have edges and modes that a plain perceptron would need an hour for: docs/combinations.md.
            | [ d ] when d <= 3 ->
                { vectors with
                    Network = networkNamed "mlp:features=64,scale=1.5,fade=1"
                    LearningRate = 5e-3
                    Batch = 256
                    Steps = 20_000L }
            | _ -> vectors

    /// Refuses a part that the loss has no use for.
    let private requireUsed (loss: LossEntry) (times: Times) (recipe: Recipe) =
        let uses setting (entry: LossEntry) = List.exists (fst >> (=) setting) entry.Uses

        for setting, _, get, _ in parts Known.standard do
            match get recipe with
            | Some given when not (uses setting loss || isForAll setting) ->
                let others = Names.either (Objectives.all |> List.filter (uses setting) |> List.map _.Name)
                refuse setting given $"the loss {loss.Name} has no use for it; {others} have"
            | _ -> ()

        if times.FollowsWeight && not (uses Setting.Prediction loss && recipe.Weight.IsSome) then
            refuse
                Setting.Times
                times.Name
                $"times in proportion to the weight are for regressions; the loss {loss.Name} is none"

    /// The data set that a flow starts from.
    let private source (recipe: Recipe) (data: Dataset) : Dataset option =
        match recipe.Source with
        | None
        | Some "normal" -> None
        | Some name ->
            let source = Datasets.load name

            if source.Shape <> data.Shape then
                let show (shape: int list) = String.Join("; ", shape)

                refuse
                    Setting.Source
                    name
                    $"its samples are [{show source.Shape}], those of {data.Name} [{show data.Shape}]: both ends of a flow have one shape"

            Some source

    /// A coupling by a run's pairs, as it is asked for: the run, how many pairs are made once (none where each batch has new ones), and by how many steps.
    type private PairsOfRun = { Run: string; Count: int option; Steps: int }

    /// `run:NAME,pairs=N,steps=K`. Raises RefusedException where it says something else.
    let private pairsOf (recipe: Recipe) : PairsOfRun option =
        match recipe.Coupling with
        | Some { Name = text } when text.StartsWith("run:", StringComparison.OrdinalIgnoreCase) ->
            let expected: FormattableString =
                $"expected run:NAME, with pairs=N for so many pairs made once and steps=K for K steps of the solver where these are to be others"

            let whole (key: string) (value: string) =
                match Int32.TryParse value with
                | true, n when n >= 1 -> n
                | _ -> refuse Setting.Coupling text $"{key} is '{value}': expected a whole number of at least 1"

            match List.ofArray (text.Substring(4).Split ',') with
            | run :: numbers when run.Trim() <> "" ->
                numbers
                |> List.fold
                    (fun (given: PairsOfRun) item ->
                        match item.Split '=' with
                        | [| key; value |] when key.Trim() = "pairs" ->
                            { given with Count = Some(whole "pairs" value) }
                        | [| key; value |] when key.Trim() = "steps" -> { given with Steps = whole "steps" value }
                        | _ -> refuse Setting.Coupling text expected)
                    ({ Run = run.Trim(); Count = None; Steps = 10 }: PairsOfRun)
                |> Some
            | _ -> refuse Setting.Coupling text expected
        | _ -> None

    /// What makes pairs of a batch by a run's model. Raises RefusedException where its samples are none of this data set's.
    let private pairs
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (given: PairsOfRun)
        (model: GenerativeModel)
        : Rng -> Batch -> Batch =
        let refuse (why: FormattableString) = refuse Setting.Coupling given.Run why

        if model.Units <> data.Units then
            refuse $"its samples are in other units than those of {data.Name}: take a run on the same data"

        if model.Source.IsSome || recipe.Source |> Option.exists ((<>) "normal") then
            refuse $"its pairs are of noise and data: there is no other law at the noisy end"

        if recipe.Labels <> model.Labels && not (model.Labels && model.Null) then
            refuse
                $"""its network is told classes, or is not, and this one the other way round: say {Setting.Labels.Is(if model.Labels then "on" else "off")}"""

        let plan = { Generation.plan Samplers.heun given.Steps model.Dynamics with Kind = kind }
        let make = Reflow.pair plan model.Path model.Dynamics

        match given.Count with
        | None -> make
        | Some count ->
            let draw rng n : Batch =
                let batch = Dataset.batches kind n rng data 0L
                { batch with Label = if recipe.Labels then batch.Label else None }

            Reflow.table make draw count (Rng.ofSeed recipe.Seed |> Rng.named "table of pairs")

    /// The loss that the recipe names, made of the parts that it names. Raises UserError where a name stands for nothing, or the loss has no use for a part.
    let private objective
        (known: Known)
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (source: Dataset option)
        (find: Setting -> string -> GenerativeModel)
        : Objective =
        let loss = known.Losses.Make recipe.Loss
        let make (list: PartList<'T>) (name: PartName option) (other: 'T) =
            name |> Option.map list.Make |> Option.defaultValue other
        let times = make known.Times recipe.Times Times.uniform
        requireUsed loss times recipe
        let path = make known.Paths recipe.Path Path.condOT
        let teacher = recipe.Teacher |> Option.map (fun name -> name, find Setting.Teacher name)

        let objective =
            loss.Make
                { Path = path
                  Prediction = make known.Predictions recipe.Prediction Prediction.velocity
                  Weight = make known.Weights recipe.Weight Weight.uniform
                  Times = times
                  Coupling =
                    (match pairsOf recipe with
                     | Some _ -> Coupling.independent
                     | None -> make known.Couplings recipe.Coupling Coupling.independent)
                  Pairs =
                    pairsOf recipe
                    |> Option.map (fun given -> pairs recipe data kind given (find Setting.Coupling given.Run))
                  Source =
                    source
                    |> Option.map (fun source ->
                        // In the units that a network of its own would see.
                        fun rng (x0: Tensor) -> (Dataset.sample kind x0.Shape[0] rng source).To x0.Kind)
                  Teacher = teacher |> Option.map (fun (name, model) -> model.ScoreModel(Setting.Teacher, name))
                  TeacherTrained =
                    teacher
                    |> Option.bind (fun (_, model) ->
                        match model.Origin with
                        | Origin.Trained trained ->
                            Some { Output = trained.Output; HasNull = trained.Labels && trained.Null }
                        | Origin.Exact _
                        | Origin.Supplied -> None)
                  Steps = recipe.Steps
                  Dimension = List.fold (*) 1 data.Shape
                  HasNull = recipe.Labels && recipe.LabelDropout > 0.0 }

        match make Catalogue.preconditionings recipe.Preconditioning None with
        | None -> objective
        | Some preconditioning ->
            let prediction = recipe.Prediction |> Option.map _.Name |> Option.defaultValue ""

            if prediction <> Prediction.data.Name then
                refuse
                    Setting.Preconditioning
                    recipe.Preconditioning.Value
                    $"what comes out of a preconditioned network is the data: it goes with {Setting.Prediction.Is Prediction.data.Name}, not {prediction}"

            let preconditioning = preconditioning path
            Preconditioning.requireFinite path times preconditioning
            Objective.preconditioned preconditioning objective

    /// Refuses a classifier that there is not.
    let private classifier (recipe: Recipe) (data: Dataset) : Network =
        let given = classifying recipe

        for setting, value, own in
            [ Setting.Network, string recipe.Network, string given.Network
              Setting.Depth, string recipe.Depth, string given.Depth
              Setting.Labels, (if recipe.Labels then "on" else "off"), "on"
              Setting.LabelDropout, string recipe.LabelDropout, "0" ] do
            if value <> own then
                refuseWith
                    setting
                    value
                    $"a classifier of noisy samples has {setting.Is own}"
                    $"leave it out, or take another loss than {recipe.Loss}"

        if recipe.Width % 4 <> 0 then
            refuse
                Setting.Width
                recipe.Width
                $"the classifier's convolutions have a quarter of it: give a multiple of 4"

        NoisyClassifier.network { NoisyClassifier.standard data.Shape data.Classes.Length with Width = recipe.Width }

    let private network (known: Known) (recipe: Recipe) (data: Dataset) (objective: Objective) : Network =
        { Sample = data.Shape
          Data = data.Name
          Width = recipe.Width
          Depth = recipe.Depth
          Times = objective.Times
          Outputs = objective.Outputs
          Classes = if recipe.Labels then Some data.Classes.Length else None }
        |> known.Networks.Make recipe.Network
        |> if objective.Uncertain then Networks.withUncertainty else id

    let private training (recipe: Recipe) (objective: Objective) : TrainSettings =
        // A short run must not spend its steps on warming up.
        let warmUp = min recipe.WarmUp (recipe.Steps / 10L)

        let rounds: Rounds option =
            match objective.Rounds with
            | [] -> None
            | rounds ->
                Some
                    { Lengths = Rounds.share (rounds |> List.map _.Share) recipe.Steps
                      // The paper's: a line to 0 in every round.
                      Rate =
                        fun length ->
                            Schedule.WarmUp(
                                min recipe.WarmUp (length / 10L),
                                Schedule.Linear(recipe.LearningRate, 0.0, length)
                            ) }

        { Rounds = rounds
          Optimizer =
            { Optimizer.adam with
                Rate = Schedule.WarmUp(warmUp, Schedule.Cosine(recipe.LearningRate, 0.0, recipe.Steps))
                Decay = recipe.WeightDecay
                MaxNorm = if recipe.Clip > 0.0 then Some recipe.Clip else None }
          Average =
            match objective.Decay with
            | Some decay -> { Decay = decay }
            | None -> Average.warmingUp recipe.Ema }

    let private check (recipe: Recipe) (data: Dataset) =
        for setting, value in
            [ Setting.Steps, recipe.Steps
              Setting.Batch, int64 recipe.Batch
              Setting.Width, int64 recipe.Width
              Setting.Depth, int64 recipe.Depth ] do
            if value < 1L then
                refuse setting value $"expected a whole number of at least 1"

        if not (recipe.LearningRate > 0.0 && Double.IsFinite recipe.LearningRate) then
            refuse Setting.LearningRate recipe.LearningRate $"expected a positive number"

        if not (recipe.Ema >= 0.0 && recipe.Ema < 1.0) then
            refuse Setting.Ema recipe.Ema $"expected a number from 0 to below 1"

        if recipe.WarmUp < 0L then
            refuse Setting.WarmUp recipe.WarmUp $"expected a whole number of at least 0"

        if not (recipe.WeightDecay >= 0.0) then
            refuse Setting.WeightDecay recipe.WeightDecay $"expected a number of at least 0"

        if not (recipe.Clip >= 0.0) then
            refuse Setting.Clip recipe.Clip $"expected a number of at least 0 (0 clips nothing)"

        if recipe.Loss.Name = Objectives.classifier.Name && data.Classes.IsEmpty then
            refuse Setting.Loss recipe.Loss $"the data set {data.Name} has no classes to tell apart"

        if recipe.Labels && data.Classes.IsEmpty then
            refuse Setting.Labels "" $"the data set {data.Name} has no classes"

        if not (recipe.LabelDropout >= 0.0 && recipe.LabelDropout < 1.0) then
            refuse Setting.LabelDropout recipe.LabelDropout $"expected a probability from 0 to below 1"

        if recipe.LabelDropout > 0.0 && not recipe.Labels then
            refuseWith
                Setting.LabelDropout
                recipe.LabelDropout
                $"the network is told no classes that could be left out"
                $"""say {Setting.Labels.Is "on"}, or leave it out"""

    /// The parameters of a model for a network. Raises RefusedException where none fits, or the network is to be the model's and is not.
    let private warmStart
        (setting: Setting)
        (given: string)
        (model: GenerativeModel)
        (network: Network)
        (kind: Kind)
        (recipe: Recipe)
        : WarmStart =
        match model.Origin with
        | Origin.Exact _
        | Origin.Supplied ->
            refuse setting given $"it is no network that was trained: there are no parameters to begin at"
        | Origin.Trained trained ->
            Scope.run (fun () ->
                let fresh = Network.init kind (Rng.ofSeed recipe.Seed |> Rng.named "parameters") network

                let start =
                    try
                        WarmStart.fit trained network fresh
                    with :? FormatException as e ->
                        refuse setting given $"{e.Message}; take the network of that run"

                // A student that begins as something else than its teacher has nothing to be distilled from.
                if setting = Setting.Teacher && not (start.Fresh.IsEmpty && start.Left.IsEmpty) then
                    refuse
                        setting
                        given
                        $"{recipe.Loss} begins at its teacher, whose network is another than the one that is asked for ({WarmStart.text given start})"

                start)

    /// Raises UserError where a name stands for nothing, a number is out of range, or the parts do not fit each other;
    /// EnvironmentException where the device is not there. Names may be those of the caller's own parts.
    let job (own: OwnParts) (find: Setting -> string -> GenerativeModel) (recipe: Recipe) (data: Dataset) : Job =
        check recipe data
        let known = Known.including own
        Known.requireNew known
        let dtype = Lookup.dtype recipe.Dtype
        let kind: Kind = { Dtype = dtype; Device = Torch.device recipe.Device }
        let source = source recipe data

        let objective =
            objective known recipe data kind source find
            |> if recipe.Labels then Objective.droppingLabels recipe.LabelDropout else Objective.withoutLabels

        let network =
            if recipe.Loss.Name = Objectives.classifier.Name then
                classifier recipe data
            else
                network known recipe data objective

        if not objective.Rounds.IsEmpty && recipe.Steps < int64 objective.Rounds.Length then
            refuse
                Setting.Steps
                recipe.Steps
                $"{recipe.Loss} trains in {objective.Rounds.Length} rounds: a step for each is the least"

        let begun =
            match recipe.From, (known.Losses.Make recipe.Loss).BeginsAtTeacher, recipe.Teacher with
            | Some name, _, _ -> Some(Setting.Begin, name)
            | None, true, Some name -> Some(Setting.Teacher, name)
            | _ -> None

        let start =
            begun
            |> Option.map (fun (setting, given) ->
                let found () = warmStart setting given (find setting given) network kind recipe
                given, lazy (Scope.outside found))

        { Recipe = recipe
          Data = data
          Digest = lazy (Dataset.digest data)
          Objective = objective
          Source = source
          Network = network
          Start = start
          Kind = kind
          Training = training recipe objective }

    /// What the library's training loop is to do.
    let plan (job: Job) : Plan =
        { Dataset = job.Data
          Network = job.Network
          Loss = job.Objective.Loss
          Prepare = job.Objective.Prepare
          BatchSize = job.Recipe.Batch
          Settings = job.Training
          Seed = job.Recipe.Seed
          Start = job.Start |> Option.map (fun (_, start) -> fun () -> start.Value.Parameters)
          Milestones = [ for last, round in job.Rounds -> last, $"student-{round.Student}" ]
          Kind = job.Kind
          Budget = Budget.Steps job.Recipe.Steps
          Save = Cadence.Seconds 20.0
          Trained = fun parameters steps -> job.Trained(parameters, steps) }

    /// The recipe for a budget of minutes; how many steps fit into it is found out later. A longer one pays for a wider
    /// network on images, and for a longer memory of the average.
    let withMinutes (minutes: float) (data: Dataset) (recipe: Recipe) : Recipe =
        if data.IsImage && minutes >= 10.0 then { recipe with Width = 64; Ema = 0.9995 } else recipe

    /// A part's name in `run.json`: an object of its name and numbers, or the name alone where it has none.
    type private PartNameConverter() =
        inherit JsonConverter<PartName>()

        override _.Write(writer, name, _) =
            if name.Numbers.IsEmpty then
                writer.WriteStringValue name.Name
            else
                writer.WriteStartObject()
                writer.WriteString("name", name.Name)

                for key, value in name.Numbers do
                    writer.WriteNumber(key, value)

                writer.WriteEndObject()

        override _.Read(reader, _, _) =
            match JsonNode.Parse &reader with
            | :? JsonObject as json ->
                { Name = (nonNull json["name"]).GetValue<string>()
                  Numbers =
                    [ for KeyValue(key, value) in json do
                          if key <> "name" then
                              key, (nonNull value).GetValue<float>() ] }
            | json -> PartName.plain ((nonNull json).GetValue<string>())

    let private format =
        let options = JsonSerializerOptions(PropertyNamingPolicy = JsonNamingPolicy.CamelCase)
        options.Converters.Add(PartNameConverter())
        options

    /// A setting of `run.json` in the notation that it is asked for in.
    let text (value: JsonNode) : string =
        match value with
        | :? JsonObject as json when json.ContainsKey "name" ->
            string (JsonSerializer.Deserialize<PartName>(json, format))
        | value -> value.ToString()

    /// The recipe as the settings of `run.json`.
    let settings (recipe: Recipe) : (string * JsonNode) list =
        match JsonSerializer.SerializeToNode(recipe, format) with
        | :? JsonObject as json ->
            [ for KeyValue(name, value) in json do
                  match value with
                  | null -> ()
                  | value -> name, value.DeepClone() ]
        | _ -> []

    /// What earlier versions wrote: `-` for a part that the loss has no use for, `none` for no teacher, and a name alone for a part with the numbers that were
    /// its only ones.
    let private upgrade (json: JsonObject) =
        let lists =
            [ for setting, list, _, _ in parts Known.standard -> setting, list ]
            @ [ Setting.Loss, Some Catalogue.losses.Described ]

        for setting, list in lists do
            let field = JsonNamingPolicy.CamelCase.ConvertName(string setting)

            match json[field] with
            | :? JsonValue as value when value.GetValueKind() = JsonValueKind.String ->
                match value.GetValue<string>() with
                | "-" -> json.Remove field |> ignore
                | "none" when setting = Setting.Teacher -> json.Remove field |> ignore
                | name -> json[field] <- JsonSerializer.SerializeToNode(completed list name, format)
            | _ -> ()

    /// What later versions have put into a recipe, with what runs before them did.
    let private since: (string * JsonNode) list = [ "labelDropout", JsonValue.Create 0.0 ]

    /// The inverse of `settings`. Raises UserError, naming the file, where something is missing or of the wrong kind.
    let ofSettings (file: string) (settings: Map<string, JsonNode>) : Recipe =
        let json = JsonObject()

        for KeyValue(name, value) in settings do
            json[name] <- value.DeepClone()

        for name, before in since do
            if not (json.ContainsKey name) then
                json[name] <- before.DeepClone()

        let damaged () = raise (UserError $"{file}: its settings are not a run's; restore the file, or train anew")

        for property in typeof<Recipe>.GetProperties() do
            let isOption =
                property.PropertyType.IsGenericType
                && property.PropertyType.GetGenericTypeDefinition() = typedefof<_ option>

            if not isOption && not (json.ContainsKey(JsonNamingPolicy.CamelCase.ConvertName property.Name)) then
                damaged ()

        try
            upgrade json

            match box (JsonSerializer.Deserialize<Recipe>(json, format)) with
            | :? Recipe as recipe -> recipe
            | _ -> damaged ()
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? NullReferenceException -> damaged ()

    /// The options of `fokker train` that give this recipe, those left out that are its data set's defaults.
    let optionsAmong (known: Known) (recipe: Recipe) (standard: Recipe) : string list =
        let loss = standard.Loss
        let standard = withLossAmong known (string recipe.Loss) standard
        let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)
        let word (name: PartName option) = name |> Option.map string |> Option.defaultValue ""

        [ for option, value, usual in
              [ "loss", string recipe.Loss, string loss
                for setting, _, get, _ in parts Known.standard do
                    (if setting = Setting.Begin then "from" else (string setting).ToLowerInvariant()),
                    word (get recipe),
                    word (get standard)
                "network", string recipe.Network, string standard.Network
                "width", string recipe.Width, string standard.Width
                "depth", string recipe.Depth, string standard.Depth
                "labels", (if recipe.Labels then "on" else "off"), (if standard.Labels then "on" else "off")
                "label-dropout", number recipe.LabelDropout, number standard.LabelDropout
                "seed", string recipe.Seed, ""
                "steps", string recipe.Steps, ""
                "batch", string recipe.Batch, string standard.Batch
                "lr", number recipe.LearningRate, number standard.LearningRate
                "warmup", string recipe.WarmUp, string standard.WarmUp
                "weight-decay", number recipe.WeightDecay, number standard.WeightDecay
                "clip", number recipe.Clip, number standard.Clip
                "ema", number recipe.Ema, number standard.Ema
                "device", recipe.Device, standard.Device
                "dtype", recipe.Dtype, standard.Dtype ] do
              if value <> usual then
                  $"--{option}"
                  value ]

    /// `optionsAmong` the library's own parts.
    let options (recipe: Recipe) (standard: Recipe) : string list = optionsAmong Known.standard recipe standard
