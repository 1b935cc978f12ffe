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
        /// The data set at the noisy end; none for noise.
        Source: string option
        Preconditioning: PartName option
        /// The folder of the run that a distillation learns from.
        Teacher: string option
        /// The folder of the run whose parameters training begins at.
        From: string option
        /// The folder of the run of an autoencoder whose latents are learned in the place of the data.
        Latent: string option
        /// The reward that a model is tuned towards, as the JSON text of its file, and its λ.
        Reward: string option
        Tilt: float option
        /// How much an adversarial term counts beside the loss, for one of few steps; 0 for none.
        Adversarial: float
        Network: PartName
        /// Units in a hidden layer, or channels at a U-Net's finest scale.
        Width: int
        /// Hidden layers, or residual blocks at each scale.
        Depth: int
        /// Whether the time is withheld from the network.
        Blind: bool
        /// Whether the network is told the class, or what the data tell in its place.
        Labels: bool
        /// The probability that this is left out in training: the network then learns what no class looks like, which guidance needs.
        LabelDropout: float
        Seed: int64
        Steps: int64
        Batch: int
        /// In how many parts, one after the other, the gradient of a batch is computed.
        Accumulate: int
        /// Whether the inside of the network's blocks is computed again in the backward pass instead of being kept.
        Recompute: bool
        /// Highest rate; it rises over the warm-up and falls to the final one at the last step, along half a cosine.
        LearningRate: float
        FinalRate: float
        WarmUp: int64
        WeightDecay: float
        /// Gradients longer than this are shortened to it.
        Clip: float
        /// Decay of the parameters' moving average, which samples are drawn with.
        Ema: float
        /// Whether two power-function averages are kept beside, from which others are made afterwards.
        PowerAverages: bool
        Device: string
        Dtype: string
    }

[<RequireQualifiedAccess>]
module Recipe =

    /// The parts of a loss: where a recipe has each, and the list that it is one of, if there is one.
    let internal parts
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
          Setting.Begin, None, (fun r -> plain r.From), (fun name r -> { r with From = word name })
          Setting.Reward, None, (fun r -> plain r.Reward), (fun name r -> { r with Reward = word name }) ]

    /// Settings that go with every loss, and stay as they are when another is taken.
    let internal isForAll (setting: Setting) = setting = Setting.Begin

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
    let internal classifying (recipe: Recipe) : Recipe =
        { recipe with
            Network = PartName.plain "classifier"
            Width = (NoisyClassifier.standard [] 1).Width
            Depth = 2
            Labels = true
            LabelDropout = 0.0 }

    /// A network with an inverse, and numbers that suit it.
    let internal withInverse (recipe: Recipe) : Recipe =
        if recipe.Network.Name = "unet" then
            // What images have by default.
            { recipe with Network = networkNamed "tarflow"; Width = 64; Depth = 2 }
        else
            { recipe with
                Network = networkNamed "spline"
                Width = 64
                Depth = 2
                LearningRate = 2e-3
                Batch = 512
                Steps = 3_000L }

    /// An encoder and a decoder, told no class.
    let internal encoding (recipe: Recipe) : Recipe =
        let image = recipe.Network.Name = "unet"

        { recipe with
            Network = networkNamed (if image then $"{Autoencoder.Name}:latent=4" else $"{Autoencoder.Name}:latent=2")
            Width = (if image then 16 else 128)
            Depth = (if image then 1 else 2)
            Labels = false
            LabelDropout = 0.0
            LearningRate = 1e-3
            Steps = (if image then 2_000L else 4_000L) }

    /// Losses whose every step takes the moves of chains as well: on vectors a narrower network without features of x, whose energy has no ripples where chains get stuck, and fewer steps.
    let private chained (recipe: Recipe) : Recipe =
        if recipe.Network.Name = "mlp" then
            { recipe with
                Network = networkNamed "mlp"
                Width = 128
                Steps = 4_000L
                LearningRate = 4e-3
                Ema = 0.998 }
        else
            recipe

    /// Losses of several players, each of which moves at every step: on vectors fewer steps, and shorter ones, since each chases the other.
    let private playing (recipe: Recipe) : Recipe =
        if recipe.Network.Name = "mlp" then { recipe with Steps = 4_000L; LearningRate = 1e-3 } else recipe

    /// Maps that are their own targets: at the rate of 5e-3, which a velocity bears, psd of two moons ran away within 2,000 steps, its loss finite to the end. Each step takes
    /// twice a velocity's time or more.
    let private selfTaught (recipe: Recipe) =
        { recipe with LearningRate = min 2e-3 recipe.LearningRate; Steps = min 12_000L recipe.Steps }

    /// Likelihoods of a flow in a few steps: with features of x, or at a rate that a regression bears, the field of two moons learned to turn faster than eight steps follow, and what was
    /// maximized was no likelihood any more. Each step takes some hundred times a regression's time.
    let private integrated (recipe: Recipe) =
        if recipe.Network.Name = "mlp" then
            { recipe with Network = networkNamed "mlp"; Width = 64; LearningRate = 2e-3; Steps = 1_000L }
        else
            { recipe with LearningRate = min 1e-3 recipe.LearningRate }

    /// A process that is walked in each step, which takes some thirty times a regression's time, and whose divergence features of x would make noise of.
    let private walked (recipe: Recipe) : Recipe =
        if recipe.Network.Name = "mlp" then
            { recipe with Network = networkNamed "mlp"; Width = 128; LearningRate = 2e-3; Steps = 3_000L }
        else
            recipe

    /// Tuning begins at a model that is trained, and each of its steps draws whole trajectories: it is short, and careful.
    let private tuning (recipe: Recipe) : Recipe =
        { recipe with
            Steps = 500L
            Batch = min 128 recipe.Batch
            LearningRate = min 1e-3 recipe.LearningRate
            WarmUp = 20L }

    /// The rate that a velocity of images bears in the U-Net that they are learned with by default: after three minutes, 1,300 steps of Fashion-MNIST, the Fréchet distance is less by a third than at 1e-3
    /// (docs/gallery.md). No other loss or network was measured at it.
    let private imageRate = 3e-3

    let private velocities = [ "cfm"; "i-cfm"; "ot-cfm" ]

    /// The same recipe at a rate that every loss and network of images bears.
    let internal careful (recipe: Recipe) : Recipe =
        if recipe.Network.Name = "unet" then
            { recipe with LearningRate = min 1e-3 recipe.LearningRate }
        else
            recipe

    /// `withLoss` where names may be those of the caller's own parts.
    let withLossAmong (known: Known) (text: string) (recipe: Recipe) : Recipe =
        let name = known.Losses.Parse text
        let loss = known.Losses.Make name
        let isAnother = recipe.Loss.Name <> loss.Name

        let recipe = if isAnother && not (List.contains loss.Name velocities) then careful recipe else recipe

        let recipe =
            if loss.Name = Objectives.classifier.Name then classifying recipe
            elif loss.Name = MaximumLikelihood.name then withInverse recipe
            elif loss.Name = VariationalAutoencoder.name then encoding recipe
            elif List.contains loss.Name Objectives.chained then chained recipe
            elif List.contains loss.Name Objectives.playing then playing recipe
            elif List.contains loss.Name Objectives.selfTaught && isAnother then selfTaught recipe
            elif List.contains loss.Name Objectives.integrated && isAnother then integrated recipe
            elif loss.MeetsSource && isAnother then walked recipe
            elif loss.Tunes && isAnother then tuning recipe
            else recipe

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
              Latent = None
              Reward = None
              Tilt = None
              Adversarial = 0.0
              Network = PartName.plain "mlp"
              Width = 256
              Depth = 3
              Blind = false
              Labels = false
              LabelDropout = 0.0
              Seed = 0L
              Steps = 10_000L
              Batch = 512
              Accumulate = 1
              Recompute = false
              LearningRate = 2e-3
              FinalRate = 0.0
              WarmUp = 200L
              WeightDecay = 0.0
              Clip = 1.0
              Ema = 0.999
              PowerAverages = false
              Device = "cpu"
              Dtype = Dtype.name Dtype.Float32 }
            |> withLoss (Loss.cfm Path.condOT).Name

        let isTold = dataset.IsImage && not dataset.Classes.IsEmpty || dataset.Given.IsSome

        let vectors = { vectors with Labels = isTold; LabelDropout = if isTold then 0.1 else 0.0 }

        if dataset.IsImage then
            { vectors with
                Network = PartName.plain "unet"
                Width = 32
                Depth = 1
                LearningRate = imageRate
                Steps = 4_000L
                Batch = 64 }
            |> if Units.areBinary dataset.Shape dataset.Units then withLoss "dfm:tokens=2,bound=1" else id
        elif Units.areText dataset.Shape dataset.Units then
            { vectors with
                Network = networkNamed "sequence:depth=3,heads=4,width=96"
                Width = 96
                Depth = 3
                LearningRate = 2e-3
                Steps = 2_000L
                Batch = 32 }
            |> withLoss "dfm:tokens=256,bound=1"
        else
            match dataset.Shape with
            // Three scales of fewer places would be all border; several series know no other network.
            | shape when shape.Length = 2 || shape.Head >= 12 && Units.areSeries shape dataset.Units ->
                { vectors with
                    Network = networkNamed "unet-1d"
                    Width = 32
                    Depth = 1
                    LearningRate = 2e-3
                    Steps = 3_000L
                    Batch = 64 }
            // Laws of few dimensions have edges and modes that a plain perceptron would need an hour for: docs/combinations.md.
            | [ d ] when d <= 3 ->
                { vectors with
                    Network = networkNamed "mlp:features=64,scale=1.5,fade=1"
                    LearningRate = 5e-3
                    Batch = 256
                    Steps = 20_000L }
            | _ -> vectors

    /// How the numbers say that the parameters are changed and averaged; an objective may have a decay of its own, and rounds.
    let training (objective: Objective) (recipe: Recipe) : TrainSettings =
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
          Powers = if recipe.PowerAverages then List.map PowerAverage.exponentOf PowerAverage.kept else []
          Memory = objective.Memory
          // With the networks that the job makes.
          Players = []
          Ranks = Ranks.alone
          Parts = recipe.Accumulate
          Recompute = recipe.Recompute
          Optimizer =
            { Optimizer.adam with
                Rate = Schedule.WarmUp(warmUp, Schedule.Cosine(recipe.LearningRate, recipe.FinalRate, recipe.Steps))
                Beta1 = defaultArg objective.Beta1 Optimizer.adam.Beta1
                Decay = recipe.WeightDecay
                MaxNorm = if recipe.Clip > 0.0 then Some recipe.Clip else None }
          Average =
            match objective.Decay with
            | Some decay -> { Decay = decay }
            | None -> Average.warmingUp recipe.Ema }

    /// Refuses numbers that are out of their range: raises RefusedException.
    let check (recipe: Recipe) (data: Dataset) =
        for setting, value in
            [ Setting.Steps, recipe.Steps
              Setting.Batch, int64 recipe.Batch
              Setting.Accumulate, int64 recipe.Accumulate
              Setting.Width, int64 recipe.Width
              Setting.Depth, int64 recipe.Depth ] do
            if value < 1L then
                refuse setting value $"expected a whole number of at least 1"

        if recipe.Accumulate > recipe.Batch then
            refuse
                Setting.Accumulate
                recipe.Accumulate
                $"a batch has {recipe.Batch} samples: there is at least one for each part"

        if recipe.Depth > 10_000 then
            refuse Setting.Depth recipe.Depth $"expected at most 10,000"

        if not (recipe.LearningRate > 0.0 && Double.IsFinite recipe.LearningRate) then
            refuse Setting.LearningRate recipe.LearningRate $"expected a positive number"

        if not (recipe.FinalRate >= 0.0 && Double.IsFinite recipe.FinalRate) then
            refuse (Setting(nameof recipe.FinalRate)) recipe.FinalRate $"expected a number of at least 0"

        if not (recipe.Ema >= 0.0 && recipe.Ema < 1.0) then
            refuse Setting.Ema recipe.Ema $"expected a number from 0 to below 1"

        if recipe.WarmUp < 0L then
            refuse Setting.WarmUp recipe.WarmUp $"expected a whole number of at least 0"

        if not (recipe.WeightDecay >= 0.0) then
            refuse Setting.WeightDecay recipe.WeightDecay $"expected a number of at least 0"

        if not (recipe.Clip >= 0.0) then
            refuse Setting.Clip recipe.Clip $"expected a number of at least 0 (0 clips nothing)"

        if not (recipe.Adversarial >= 0.0 && Double.IsFinite recipe.Adversarial) then
            refuse Setting.Adversarial recipe.Adversarial $"expected a number of at least 0 (0 for no critic)"

        if recipe.Loss.Name = Objectives.classifier.Name && data.Classes.IsEmpty then
            refuse Setting.Loss recipe.Loss $"the data set {data.Name} has no classes to tell apart"

        if
            recipe.Loss.Name = MaximumLikelihood.name
            && data.IsImage
            && recipe.Loss.Numbers |> List.exists ((=) ("noise", 0.0))
        then
            refuseWith
                Setting.Loss
                recipe.Loss
                $"pixels are whole numbers, on which a density grows without end: they are learned under noise"
                $"""say {Setting.Loss.Is "mle:noise=0.1"}"""

        if recipe.Labels && data.Classes.IsEmpty && data.Given.IsNone then
            refuse Setting.Labels "" $"the data set {data.Name} has no classes"

        if not (recipe.LabelDropout >= 0.0 && recipe.LabelDropout < 1.0) then
            refuse Setting.LabelDropout recipe.LabelDropout $"expected a probability from 0 to below 1"

        if recipe.LabelDropout > 0.0 && not recipe.Labels then
            refuseWith
                Setting.LabelDropout
                recipe.LabelDropout
                $"the network is told nothing that could be left out"
                $"""say {Setting.Labels.Is "on"}, or leave it out"""

    /// A budget from which on a wider network pays on images.
    let isLong (minutes: float) : bool = minutes >= 10.0

    /// The recipe for a budget of minutes; how many steps fit into it is found out later. A longer one pays for a wider
    /// network on images, and for a longer memory of the average.
    let withMinutes (minutes: float) (data: Dataset) (recipe: Recipe) : Recipe =
        if data.IsImage && isLong minutes then { recipe with Width = 64; Ema = 0.9995 } else recipe

    /// The recipe in bfloat16, where that makes more of a long budget (docs/gallery.md measures it on Fashion-MNIST): the usual network of images under their
    /// usual loss, if the processor and the engine have it (`Torch.bfloat16`). For a recipe of which nobody has said what it computes in.
    let withFastLayers (minutes: float) (data: Dataset) (recipe: Recipe) : Recipe =
        let usual = standardFor data

        let isUsual =
            recipe.Network.Name = usual.Network.Name
            && recipe.Loss = usual.Loss
            && recipe.Latent.IsNone
            && recipe.Device = usual.Device

        if data.IsImage && isLong minutes && isUsual && Result.isOk (Torch.bfloat16 Device.Cpu) then
            { recipe with Dtype = Dtype.name Dtype.BFloat16 }
        else
            recipe

    /// The recipe with the network as wide and as deep as is asked for, or else as its own numbers say where it has such: `dit:width=64,depth=4`. Such a number and the setting are one.
    let internal sized (width: int option) (depth: int option) (recipe: Recipe) : Recipe =
        let own (name: string) = recipe.Network.Numbers |> List.tryFind (fst >> (=) name) |> Option.map (snd >> int)

        let width = width |> Option.orElse (own "width") |> Option.defaultValue recipe.Width
        let depth = depth |> Option.orElse (own "depth") |> Option.defaultValue recipe.Depth

        let agreed =
            function
            | "width", _ -> "width", float width
            | "depth", _ -> "depth", float depth
            | other -> other

        { recipe with
            Width = width
            Depth = depth
            Network = { recipe.Network with Numbers = List.map agreed recipe.Network.Numbers } }

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

    /// What earlier versions wrote: `-` for a part that the loss has no use for, `none` for no teacher, `normal` for no other law at the noisy end, `none` for the
    /// preconditioning that changes nothing, and a name alone for a part with the numbers that were its only ones.
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
                | "normal" when setting = Setting.Source -> json.Remove field |> ignore
                | "none" when setting = Setting.Preconditioning -> json[field] <- JsonValue.Create "identity"
                | name -> json[field] <- JsonSerializer.SerializeToNode(completed list name, format)
            | _ -> ()

    /// What later versions have put into a recipe, with what runs before them did.
    let private since: (string * JsonNode) list =
        [ "labelDropout", JsonValue.Create 0.0
          "finalRate", JsonValue.Create 0.0
          "blind", JsonValue.Create false
          "accumulate", JsonValue.Create 1
          "recompute", JsonValue.Create false
          "adversarial", JsonValue.Create 0.0
          "powerAverages", JsonValue.Create false ]

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

/// What a training is asked to be. Anything you leave out gets a default chosen for your data: `{ TrainingRequest.standard with Steps = Some 3000L }`.
/// Parts are given by their names, with numbers: `min-snr:gamma=3`.
type TrainingRequest =
    {
        Path: string option
        Loss: string option
        Prediction: string option
        Weight: string option
        Times: string option
        Coupling: string option
        /// The data set at the noisy end; noise where none is named.
        Source: string option
        Preconditioning: string option
        /// The run that a distillation learns from.
        Teacher: string option
        /// The run whose parameters training begins at.
        From: string option
        /// The run of an autoencoder whose latents are learned in the place of the data.
        Latent: string option
        /// The reward that a model is tuned towards, as JSON text: `{"linear": [1, 0]}`.
        Reward: string option
        /// λ of e^{λ r}.
        Tilt: float option
        /// How much an adversarial term counts beside the loss.
        Adversarial: float option
        Network: string option
        Width: int option
        Depth: int option
        Blind: bool option
        Labels: bool option
        LabelDropout: float option
        Seed: int64 option
        Steps: int64 option
        Batch: int option
        Accumulate: int option
        Recompute: bool option
        LearningRate: float option
        FinalRate: float option
        WarmUp: int64 option
        WeightDecay: float option
        Clip: float option
        Ema: float option
        PowerAverages: bool option
        Device: string option
        Dtype: string option
    }

[<RequireQualifiedAccess>]
module TrainingRequest =

    /// Nothing asked for: every default chosen for the data.
    let standard: TrainingRequest =
        { Path = None
          Loss = None
          Prediction = None
          Weight = None
          Times = None
          Coupling = None
          Source = None
          Preconditioning = None
          Teacher = None
          From = None
          Latent = None
          Reward = None
          Tilt = None
          Adversarial = None
          Network = None
          Width = None
          Depth = None
          Blind = None
          Labels = None
          LabelDropout = None
          Seed = None
          Steps = None
          Batch = None
          Accumulate = None
          Recompute = None
          LearningRate = None
          FinalRate = None
          WarmUp = None
          WeightDecay = None
          Clip = None
          Ema = None
          PowerAverages = None
          Device = None
          Dtype = None }

    /// A recipe with everything that the request says in the place of what it has. The loss comes first, since it brings parts that others may replace; and
    /// a network that is told no classes leaves none out. Names may be those of the caller's own parts. Raises RefusedException where a name or its numbers stand for nothing.
    let overAmong (known: Known) (recipe: Recipe) (request: TrainingRequest) : Recipe =
        let recipe = request.Loss |> Option.fold (fun recipe loss -> Recipe.withLossAmong known loss recipe) recipe

        let recipe =
            [ Setting.Path, request.Path
              Setting.Prediction, request.Prediction
              Setting.Weight, request.Weight
              Setting.Times, request.Times
              Setting.Coupling, request.Coupling
              Setting.Source, request.Source
              Setting.Preconditioning, request.Preconditioning
              Setting.Teacher, request.Teacher
              Setting.Begin, request.From
              Setting.Reward, request.Reward ]
            |> List.fold
                (fun recipe (setting, text) ->
                    text |> Option.fold (fun recipe text -> Recipe.withPartAmong known setting text recipe) recipe)
                recipe

        // Latents lie in no order, whatever the data do.
        let recipe =
            if request.Latent.IsSome && recipe.Network.Name = "unet-1d" then
                { recipe with Network = Recipe.networkNamed "mlp"; Width = 256; Depth = 3 }
            else
                recipe

        // Measured from scratch on pixels, in the default network, and nowhere else.
        let recipe =
            match request.Network |> Option.map (Recipe.networkAmong known) with
            | Some network when network.Name <> recipe.Network.Name -> Recipe.careful recipe
            | _ when request.Latent.IsSome || request.From.IsSome -> Recipe.careful recipe
            | _ -> recipe

        let labels = defaultArg request.Labels recipe.Labels

        Recipe.sized
            request.Width
            request.Depth
            { recipe with
                Latent = Option.orElse recipe.Latent request.Latent
                Tilt = Option.orElse recipe.Tilt request.Tilt
                Adversarial = defaultArg request.Adversarial recipe.Adversarial
                Network =
                    request.Network |> Option.map (Recipe.networkAmong known) |> Option.defaultValue recipe.Network
                Blind = defaultArg request.Blind recipe.Blind
                Labels = labels
                LabelDropout = defaultArg request.LabelDropout (if labels then recipe.LabelDropout else 0.0)
                Seed = defaultArg request.Seed recipe.Seed
                Steps = defaultArg request.Steps recipe.Steps
                Batch = defaultArg request.Batch recipe.Batch
                Accumulate = defaultArg request.Accumulate recipe.Accumulate
                Recompute = defaultArg request.Recompute recipe.Recompute
                LearningRate = defaultArg request.LearningRate recipe.LearningRate
                FinalRate = defaultArg request.FinalRate recipe.FinalRate
                WarmUp = defaultArg request.WarmUp recipe.WarmUp
                WeightDecay = defaultArg request.WeightDecay recipe.WeightDecay
                Clip = defaultArg request.Clip recipe.Clip
                Ema = defaultArg request.Ema recipe.Ema
                PowerAverages = defaultArg request.PowerAverages recipe.PowerAverages
                Device = defaultArg request.Device recipe.Device
                Dtype = defaultArg request.Dtype recipe.Dtype }

    /// `overAmong` the library's own parts.
    let over (recipe: Recipe) (request: TrainingRequest) : Recipe = overAmong Known.standard recipe request

    /// The recipe of a request for these data.
    let recipe (data: Dataset) (request: TrainingRequest) : Recipe = over (Recipe.standardFor data) request
