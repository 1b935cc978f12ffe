namespace Fokker

open System
open System.Text.Json
open System.Text.Json.Nodes

/// Everything that decides what a run computes, by name and number: it is written to `run.json`, and is enough to repeat it.
type Recipe =
    {
        DataSet: string
        Path: string
        Loss: string
        Prediction: string
        Weight: string
        Times: string
        Coupling: string
        /// The law at the noisy end: `normal`, or a data set.
        Source: string
        Preconditioning: string
        /// The folder of the run that a distillation learns from.
        Teacher: string
        Network: string
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
        Kind: Kind
        Training: TrainSettings
    }

    /// Whether what is trained tells classes of noisy samples apart, and is nothing to sample from.
    member job.IsClassifier = job.Recipe.Loss = Objectives.classifier.Name

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
          Kind = job.Kind
          Training =
            { Data = job.Recipe.DataSet
              Digest = job.Digest.Value
              Loss = job.Recipe.Loss
              Steps = steps
              Seed = job.Recipe.Seed
              Version = Run.version } }

    /// The stream that everything after training draws from, by name.
    member job.Stream(name: string) = Rng.ofSeed job.Recipe.Seed |> Rng.named name

[<RequireQualifiedAccess>]
module Recipe =

    /// What stands in place of a part that the loss has no use for.
    let private unused = "-"

    /// The parts of a loss by the names of their options, as a recipe has them.
    let private parts: (string * (Recipe -> string) * (string -> Recipe -> Recipe)) list =
        [ "path", _.Path, (fun name recipe -> { recipe with Path = name })
          "prediction", _.Prediction, (fun name recipe -> { recipe with Prediction = name })
          "weight", _.Weight, (fun name recipe -> { recipe with Weight = name })
          "times", _.Times, (fun name recipe -> { recipe with Times = name })
          "coupling", _.Coupling, (fun name recipe -> { recipe with Coupling = name })
          "source", _.Source, (fun name recipe -> { recipe with Source = name })
          "preconditioning", _.Preconditioning, (fun name recipe -> { recipe with Preconditioning = name })
          "teacher", _.Teacher, (fun name recipe -> { recipe with Teacher = name }) ]

    /// The one network that tells classes apart, and what it is made of.
    let private classifying (recipe: Recipe) : Recipe =
        { recipe with
            Network = "classifier"
            Width = (NoisyClassifier.standard [] 1).Width
            Depth = 2
            Labels = true
            LabelDropout = 0.0 }

    /// A loss brings its own parts; those that it has no use for are taken out.
    let withLoss (name: string) (recipe: Recipe) : Recipe =
        let loss = Lookup.loss name
        let recipe = if loss.Name = Objectives.classifier.Name then classifying recipe else recipe

        parts
        |> List.fold
            (fun recipe (part, get, set) ->
                match List.tryFind (fst >> (=) part) loss.Uses with
                | Some(_, "") -> if get recipe = unused then set Path.condOT.Name recipe else recipe
                | Some(_, own) -> set own recipe
                | None -> set unused recipe)
            { recipe with Loss = loss.Name }

    /// Defaults for samples of this shape: a minute for points, a few for small images, on two cores.
    let standardFor (dataset: Dataset) : Recipe =
        let vectors =
            { DataSet = dataset.Name
              Path = Path.condOT.Name
              Loss = unused
              Prediction = unused
              Weight = unused
              Times = unused
              Coupling = unused
              Source = unused
              Preconditioning = unused
              Teacher = unused
              Network = "mlp"
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
                Network = "unet"
                Width = 32
                Depth = 1
                Labels = not dataset.Classes.IsEmpty
                LabelDropout = if dataset.Classes.IsEmpty then 0.0 else 0.1
                LearningRate = 1e-3
                Steps = 4_000L
                Batch = 64 }
        else
            match dataset.Shape with
            // Laws of few dimensions have edges and modes that a plain perceptron would need an hour for: docs/training.md.
            | [ d ] when d <= 3 ->
                { vectors with Network = "mlp:features=64,scale=1"; LearningRate = 5e-3; Steps = 20_000L }
            | _ -> vectors

    /// Raises UserError where a part is asked for that the loss has no use for.
    let private requireUsed (loss: LossEntry) (recipe: Recipe) =
        for part, get, _ in parts do
            if get recipe <> unused && not (List.exists (fst >> (=) part) loss.Uses) then
                let others =
                    Objectives.all
                    |> List.filter (fun entry -> List.exists (fst >> (=) part) entry.Uses)
                    |> List.map _.Name

                raise (
                    UserError
                        $"--{part} {get recipe}: the loss {loss.Name} has no {part} to choose; {Names.either others} have one"
                )

        if
            recipe.Times <> unused
            && (Lookup.times recipe.Times).FollowsWeight
            && not (List.exists (fst >> (=) "prediction") loss.Uses && recipe.Weight <> unused)
        then
            raise (
                UserError
                    $"--times {recipe.Times}: times in proportion to the weight are for regressions; the loss {loss.Name} is none"
            )

    /// The data set that a flow starts from.
    let private source (recipe: Recipe) (data: Dataset) : Dataset option =
        if recipe.Source = unused || recipe.Source = "normal" then
            None
        else
            let source = Datasets.load recipe.Source

            if source.Shape <> data.Shape then
                let show (shape: int list) = String.Join("; ", shape)

                raise (
                    UserError
                        $"--source {recipe.Source}: its samples are [{show source.Shape}], those of {data.Name} [{show data.Shape}]: both ends of a flow have one shape"
                )

            Some source

    /// The loss that the recipe names, made of the parts that it names. Raises UserError where a name stands for nothing, or the loss has no use for a part.
    let private objective
        (paths: GaussianPath list)
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (source: Dataset option)
        (teacher: string -> Model)
        : Objective =
        let loss = Lookup.loss recipe.Loss
        requireUsed loss recipe

        // What the loss has no use for is not looked up: anything stands in its place.
        let orElse (other: 'T) (lookup: string -> 'T) (name: string) : 'T = if name = unused then other else lookup name

        let path = orElse Path.condOT (Lookup.pathAmong paths) recipe.Path

        let objective =
            loss.Make
                { Path = path
                  Prediction = orElse Prediction.velocity Lookup.prediction recipe.Prediction
                  Weight = orElse Weight.uniform Lookup.weight recipe.Weight
                  Times = orElse Times.uniform Lookup.times recipe.Times
                  Coupling = orElse Coupling.independent Lookup.coupling recipe.Coupling
                  Source =
                    source
                    |> Option.map (fun source ->
                        // In the units that a network of its own would see.
                        fun rng (x0: Tensor) -> (Dataset.sample kind x0.Shape[0] rng source).To x0.Kind)
                  Teacher =
                    if recipe.Teacher = unused || recipe.Teacher = "none" then None else Some(teacher recipe.Teacher)
                  Steps = recipe.Steps
                  Dimension = List.fold (*) 1 data.Shape }

        match orElse None Lookup.preconditioning recipe.Preconditioning with
        | None -> objective
        | Some preconditioning ->
            if recipe.Prediction <> Prediction.data.Name then
                raise (
                    UserError
                        $"--preconditioning {recipe.Preconditioning}: what comes out of a preconditioned network is the data: say --prediction data, not {recipe.Prediction}"
                )

            Objective.preconditioned (preconditioning path) objective

    /// Raises UserError where a classifier is asked for that there is not.
    let private classifier (recipe: Recipe) (data: Dataset) : Network =
        let given = classifying recipe

        for option, value, own in
            [ "network", recipe.Network, given.Network
              "depth", string recipe.Depth, string given.Depth
              "labels", (if recipe.Labels then "on" else "off"), "on"
              "label-dropout", string recipe.LabelDropout, "0" ] do
            if value <> own then
                raise (
                    UserError
                        $"--{option} {value}: a classifier of noisy samples has --{option} {own}: leave it out, or take another loss than {recipe.Loss}"
                )

        if recipe.Width % 4 <> 0 then
            raise (
                UserError
                    $"--width {recipe.Width}: the classifier's convolutions have a quarter of it: give a multiple of 4"
            )

        NoisyClassifier.network { NoisyClassifier.standard data.Shape data.Classes.Length with Width = recipe.Width }

    let private network (recipe: Recipe) (data: Dataset) (objective: Objective) : Network =
        let outputs, times = objective.Outputs, objective.Times
        let classes = if recipe.Labels then Some data.Classes.Length else None
        let shape = String.Join("; ", data.Shape)

        let chosen = Catalogue.networks.Parse recipe.Network

        match chosen.Name, data.Shape with
        | "mlp", [ dimension ] ->
            Networks.mlp
                { Mlp.standard dimension with
                    Input =
                        match chosen.Numbers with
                        | [ _, count; _, scale ] when count > 0.0 -> Some { Count = int count; Scale = scale }
                        | _ -> None
                    Width = recipe.Width
                    Depth = recipe.Depth
                    Times = times
                    Outputs = outputs
                    Classes = classes }
        | "unet", [ channels; height; width ] ->
            let standard = Unet.standard channels
            let side = standard.Patch * (1 <<< (standard.Multipliers.Length - 1))

            if height % side <> 0 || width % side <> 0 then
                raise (
                    UserError
                        $"--network unet: the images of {data.Name} are {height} × {width}: their sides must be multiples of {side}"
                )

            if recipe.Width % standard.Groups <> 0 then
                raise (
                    UserError
                        $"--width {recipe.Width}: the unet normalizes channels in groups of {standard.Groups}: give a multiple"
                )

            Networks.unet
                { standard with
                    Width = recipe.Width
                    Blocks = recipe.Depth
                    Times = times
                    Outputs = outputs
                    Classes = classes }
        | "mlp", _ ->
            raise (
                UserError $"--network mlp: the samples of {data.Name} are [{shape}], not vectors: use --network unet"
            )
        | _ ->
            raise (
                UserError
                    $"--network {recipe.Network}: the samples of {data.Name} are [{shape}], not images: use --network mlp"
            )
        |> if objective.Uncertain then Networks.withUncertainty else id

    let private training (recipe: Recipe) (objective: Objective) : TrainSettings =
        // A short run must not spend its steps on warming up.
        let warmUp = min recipe.WarmUp (recipe.Steps / 10L)

        { Optimizer =
            { Optimizer.adam with
                Rate = Schedule.WarmUp(warmUp, Schedule.Cosine(recipe.LearningRate, 0.0, recipe.Steps))
                Decay = recipe.WeightDecay
                MaxNorm = if recipe.Clip > 0.0 then Some recipe.Clip else None }
          Average =
            match objective.Decay with
            | Some decay -> { Decay = decay }
            | None -> Average.warmingUp recipe.Ema }

    let private check (recipe: Recipe) (data: Dataset) =
        let refuse option value wanted = raise (UserError $"--{option} {value}: expected {wanted}")

        for option, value in
            [ "steps", recipe.Steps
              "batch", int64 recipe.Batch
              "width", int64 recipe.Width
              "depth", int64 recipe.Depth ] do
            if value < 1L then
                refuse option (string value) "a whole number of at least 1"

        if not (recipe.LearningRate > 0.0 && Double.IsFinite recipe.LearningRate) then
            refuse "lr" (string recipe.LearningRate) "a positive number"

        if not (recipe.Ema >= 0.0 && recipe.Ema < 1.0) then
            refuse "ema" (string recipe.Ema) "a number from 0 to below 1"

        if recipe.WarmUp < 0L then
            refuse "warmup" (string recipe.WarmUp) "a whole number of at least 0"

        if not (recipe.WeightDecay >= 0.0) then
            refuse "weight-decay" (string recipe.WeightDecay) "a number of at least 0"

        if not (recipe.Clip >= 0.0) then
            refuse "clip" (string recipe.Clip) "a number of at least 0 (0 clips nothing)"

        if recipe.Loss = Objectives.classifier.Name && data.Classes.IsEmpty then
            raise (UserError $"--loss {recipe.Loss}: the data set {data.Name} has no classes to tell apart")

        if recipe.Labels && data.Classes.IsEmpty then
            raise (UserError $"--labels: the data set {data.Name} has no classes")

        if not (recipe.LabelDropout >= 0.0 && recipe.LabelDropout < 1.0) then
            refuse "label-dropout" (string recipe.LabelDropout) "a probability from 0 to below 1"

        if recipe.LabelDropout > 0.0 && not recipe.Labels then
            raise (
                UserError
                    $"--label-dropout {recipe.LabelDropout}: the network is told no classes that could be left out: say --labels on, or leave it out"
            )

    /// Raises UserError where a name stands for nothing, a number is out of range, or the parts do not fit each other;
    /// EnvironmentException where the device is not there. A path may be one of the caller's own besides those that have a name.
    let job (paths: GaussianPath list) (teacher: string -> Model) (recipe: Recipe) (data: Dataset) : Job =
        check recipe data
        let dtype = Lookup.dtype recipe.Dtype
        let kind: Kind = { Dtype = dtype; Device = Torch.device recipe.Device }
        let source = source recipe data

        let objective =
            objective paths recipe data kind source teacher
            |> if recipe.Labels then Objective.droppingLabels recipe.LabelDropout else Objective.withoutLabels

        { Recipe = recipe
          Data = data
          Digest = lazy (Dataset.digest data)
          Objective = objective
          Source = source
          Network =
            if recipe.Loss = Objectives.classifier.Name then
                classifier recipe data
            else
                network recipe data objective
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
          Kind = job.Kind
          Budget = Budget.Steps job.Recipe.Steps
          Save = Cadence.Seconds 20.0
          Trained = fun parameters steps -> job.Trained(parameters, steps) }

    /// The recipe for a budget of minutes; how many steps fit into it is found out later. A longer one pays for a wider
    /// network on images, and for a longer memory of the average.
    let withMinutes (minutes: float) (data: Dataset) (recipe: Recipe) : Recipe =
        if data.IsImage && minutes >= 10.0 then { recipe with Width = 64; Ema = 0.9995 } else recipe

    let private format = JsonSerializerOptions(PropertyNamingPolicy = JsonNamingPolicy.CamelCase)

    /// The recipe as the settings of `run.json`.
    let settings (recipe: Recipe) : (string * JsonNode) list =
        match JsonSerializer.SerializeToNode(recipe, format) with
        | :? JsonObject as json ->
            [ for KeyValue(name, value) in json do
                  match value with
                  | null -> ()
                  | value -> name, value.DeepClone() ]
        | _ -> []

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
            if not (json.ContainsKey(JsonNamingPolicy.CamelCase.ConvertName property.Name)) then
                damaged ()

        try
            match box (JsonSerializer.Deserialize<Recipe>(json, format)) with
            | :? Recipe as recipe -> recipe
            | _ -> damaged ()
        with :? JsonException ->
            damaged ()

    /// The options of `fokker train` that give this recipe, those left out that are its data set's defaults.
    let options (recipe: Recipe) (standard: Recipe) : string list =
        let loss = standard.Loss
        let standard = withLoss recipe.Loss standard
        let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)

        [ for option, value, usual in
              [ "path", recipe.Path, standard.Path
                "loss", recipe.Loss, loss
                "prediction", recipe.Prediction, standard.Prediction
                "weight", recipe.Weight, standard.Weight
                "times", recipe.Times, standard.Times
                "coupling", recipe.Coupling, standard.Coupling
                "source", recipe.Source, standard.Source
                "preconditioning", recipe.Preconditioning, standard.Preconditioning
                "teacher", recipe.Teacher, standard.Teacher
                "network", recipe.Network, standard.Network
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
