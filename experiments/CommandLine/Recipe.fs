namespace Fokker.Experiments

open System
open System.Text.Json
open System.Text.Json.Nodes
open Fokker

/// Everything that decides what a run computes, by name and number: it is written to `run.json`, and is enough to repeat it.
type Recipe =
    {
        DataSet: string
        Path: string
        Loss: string
        Prediction: string
        Weight: string
        Times: string
        Network: string
        /// Units in a hidden layer, or channels at a U-Net's finest scale.
        Width: int
        /// Hidden layers, or residual blocks at each scale.
        Depth: int
        /// Whether the network is told the class.
        Labels: bool
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
    { Recipe: Recipe
      Data: Dataset
      Regression: Regression
      Network: Network
      Kind: Kind
      Training: TrainSettings }

    /// The stream that everything after training draws from, by name.
    member job.Stream(name: string) = Rng.ofSeed job.Recipe.Seed |> Rng.named name

[<RequireQualifiedAccess>]
module Recipe =

    let private dtypes = [ Dtype.Float32; Dtype.Float64 ]

    let dtypeNames = dtypes |> List.map Dtype.name

    /// Defaults for samples of this shape: a minute for points, a few for small images, on two cores.
    let standardFor (dataset: Dataset) : Recipe =
        let vectors =
            { DataSet = dataset.Name
              Path = Path.condOT.Name
              Loss = (Loss.cfm Path.condOT).Name
              Prediction = (Loss.cfm Path.condOT).Prediction.Name
              Weight = Weight.uniform.Name
              Times = Times.uniform.Name
              Network = "mlp"
              Width = 256
              Depth = 3
              Labels = false
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

        if dataset.IsImage then
            { vectors with
                Network = "unet"
                Width = 32
                Depth = 1
                Labels = not dataset.Classes.IsEmpty
                LearningRate = 1e-3
                Steps = 4_000L
                Batch = 64 }
        else
            vectors

    let private regression (recipe: Recipe) : Regression =
        let path = Names.find "--path" "path" "paths" (fun (p: GaussianPath) -> p.Name) Catalogue.paths recipe.Path
        let _, make = Names.find "--loss" "loss" "losses" fst Catalogue.losses recipe.Loss

        make path
        |> Loss.predicting (
            Names.find
                "--prediction"
                "prediction"
                "predictions"
                (fun (p: Prediction) -> p.Name)
                Prediction.all
                recipe.Prediction
        )
        |> Loss.weighted (Names.find "--weight" "weight" "weights" (fun (w: Weight) -> w.Name) Weight.all recipe.Weight)
        |> Loss.timesFrom (
            Names.find "--times" "law of times" "laws of times" (fun (t: Times) -> t.Name) Times.all recipe.Times
        )

    let private network (recipe: Recipe) (data: Dataset) : Network =
        let classes = if recipe.Labels then Some data.Classes.Length else None
        let shape = String.Join("; ", data.Shape)

        let chosen =
            Names.find "--network" "network" "networks" (fun (e: Entry) -> e.Name) Catalogue.networks recipe.Network

        match chosen.Name, data.Shape with
        | "mlp", [ dimension ] ->
            Networks.mlp { Mlp.standard dimension with Width = recipe.Width; Depth = recipe.Depth; Classes = classes }
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

            Networks.unet { standard with Width = recipe.Width; Blocks = recipe.Depth; Classes = classes }
        | "mlp", _ ->
            raise (
                UserError $"--network mlp: the samples of {data.Name} are [{shape}], not vectors: use --network unet"
            )
        | _ ->
            raise (
                UserError
                    $"--network {recipe.Network}: the samples of {data.Name} are [{shape}], not images: use --network mlp"
            )

    let private training (recipe: Recipe) : TrainSettings =
        // A short run must not spend its steps on warming up.
        let warmUp = min recipe.WarmUp (recipe.Steps / 10L)

        { Optimizer =
            { Optimizer.adam with
                Rate = Schedule.WarmUp(warmUp, Schedule.Cosine(recipe.LearningRate, 0.0, recipe.Steps))
                Decay = recipe.WeightDecay
                MaxNorm = if recipe.Clip > 0.0 then Some recipe.Clip else None }
          Average = { Decay = recipe.Ema; WarmUp = true } }

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

        if recipe.Labels && data.Classes.IsEmpty then
            raise (UserError $"--labels: the data set {data.Name} has no classes")

    /// Raises UserError where a name stands for nothing, a number is out of range, or the parts do not fit each other;
    /// EnvironmentException where the device is not there.
    let job (recipe: Recipe) (data: Dataset) : Job =
        check recipe data
        let dtype = Names.find "--dtype" "element type" "element types" Dtype.name dtypes recipe.Dtype

        { Recipe = recipe
          Data = data
          Regression = regression recipe
          Network = network recipe data
          Kind = { Dtype = dtype; Device = Torch.device recipe.Device }
          Training = training recipe }

    /// What the library's training loop is to do.
    let plan (job: Job) : Plan =
        { Dataset = job.Data
          Network = job.Network
          Loss = Loss.ofRegression job.Regression
          BatchSize = job.Recipe.Batch
          Settings = job.Training
          Seed = job.Recipe.Seed
          Kind = job.Kind
          Budget = Budget.Steps job.Recipe.Steps
          Save = Cadence.Seconds 20.0
          Notes = [ "path", job.Recipe.Path; "prediction", job.Recipe.Prediction; "data", job.Recipe.DataSet ] }

    /// A loss brings its own prediction and weight.
    let withLoss (name: string) (recipe: Recipe) : Recipe =
        let name, make = Names.find "--loss" "loss" "losses" fst Catalogue.losses name
        let loss = make Path.condOT
        { recipe with Loss = name; Prediction = loss.Prediction.Name; Weight = loss.Weight.Name }

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

    /// The inverse of `settings`. Raises UserError, naming the file, where something is missing or of the wrong kind.
    let ofSettings (file: string) (settings: Map<string, JsonNode>) : Recipe =
        let json = JsonObject()

        for KeyValue(name, value) in settings do
            json[name] <- value.DeepClone()

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
        let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)

        [ for option, value, usual in
              [ "path", recipe.Path, standard.Path
                "loss", recipe.Loss, standard.Loss
                "prediction", recipe.Prediction, standard.Prediction
                "weight", recipe.Weight, standard.Weight
                "times", recipe.Times, standard.Times
                "network", recipe.Network, standard.Network
                "width", string recipe.Width, string standard.Width
                "depth", string recipe.Depth, string standard.Depth
                "labels", (if recipe.Labels then "on" else "off"), (if standard.Labels then "on" else "off")
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
