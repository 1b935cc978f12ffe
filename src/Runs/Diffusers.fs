namespace Fokker

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes

/// Folders of Hugging Face's diffusers: a UNet2DModel (`config.json` and `diffusion_pytorch_model.safetensors`) with the chain that it was trained on (`scheduler_config.json`), or the pipeline
/// of both (`unet/`, `scheduler/`). The network is an `Adm`, whose parameters have that layout's names; step i of N is the time (i + 1)/N.
[<RequireQualifiedAccess>]
module Diffusers =

    [<Literal>]
    let private Weights = "diffusion_pytorch_model.safetensors"

    /// A key of ours beside theirs, which they pass over: the network's time features were trained in float64.
    [<Literal>]
    let private OwnKey = "fokker_time_features"

    let private paths: PartList<GaussianPath> =
        { Name = "paths"; Setting = None; One = "path"; Many = "paths"; Parts = Paths.parts }

    // ---- reading

    /// A JSON object with defaults for what it does not say, and the list of what cannot be used of it.
    type private Config(file: string, json: JsonObject, problems: ResizeArray<string>) =

        member _.Problem(text: string) = problems.Add $"{Path.GetFileName file}: {text}"

        member private config.Read<'T>(name: string, other: 'T, expected: string, read: JsonNode -> 'T) : 'T =
            match json[name] with
            | null -> other
            | node ->
                try
                    read node
                with
                | :? InvalidOperationException
                | :? FormatException ->
                    config.Problem $"{name} is {node.ToJsonString()}: expected {expected}"
                    other

        member _.Has(name: string) = not (isNull json[name])
        member config.Text(name, other) = config.Read(name, other, "a text", fun node -> node.GetValue<string>())
        member config.Flag(name, other) = config.Read(name, other, "true or false", fun node -> node.GetValue<bool>())

        member config.Number(name, other) =
            config.Read(
                name,
                other,
                "a number",
                fun node ->
                    match node.GetValueKind() with
                    | JsonValueKind.Number -> node.GetValue<float>()
                    | _ -> raise (FormatException())
            )

        member config.Whole(name, other: int) =
            let x = config.Number(name, float other)

            if x = Math.Round x && abs x < 1e9 then
                int x
            else
                config.Problem $"{name} is {x}: expected a whole number"
                other

        /// None where it is null or left out and `other` is none.
        member config.Optional(name, other: int option) =
            if json.ContainsKey name && isNull json[name] then None
            elif json.ContainsKey name then Some(config.Whole(name, 0))
            else other

        /// A number, which stands for a square, or a height and a width; none where it is null or left out.
        member config.Sides(name: string) : int list option =
            match json[name] with
            | null -> None
            | :? JsonArray -> Some(config.List(name, [], _.GetValue<int>()))
            | _ -> let side = config.Whole(name, 1) in Some [ side; side ]

        member config.List<'T>(name: string, other: 'T list, read: JsonNode -> 'T) : 'T list =
            config.Read(name, other, "a list", fun node -> [ for item in node.AsArray() -> read (nonNull item) ])

        /// What is only known with one value.
        member config.Only(name: string, isKnown: bool, known: string) =
            if not isKnown then
                let given =
                    match json[name] with
                    | null -> "null"
                    | node -> node.ToJsonString()
                config.Problem $"{name} is {given}, and {known} is what can be imported"

    let private parse (file: string) (problems: ResizeArray<string>) : Config =
        if not (File.Exists file) then
            raise (UserError $"{file}: there is no such file: a folder of diffusers' UNet2DModel has it")

        match JsonText.node (File.ReadAllBytes file) with
        | Ok(:? JsonObject as json) -> Config(file, json, problems)
        | Ok _ -> raise (UserError $"{file}: it is no JSON object")
        | Error reason -> raise (UserError $"{file}: {reason}")

    /// The network of a configuration, without its clock's number of steps.
    let private architecture (config: Config) (clock: StepClock) : Adm * int list option =
        let block = config.Text("_class_name", "UNet2DModel")
        config.Only("_class_name", (block = "UNet2DModel"), "UNet2DModel")
        let text (node: JsonNode) = node.GetValue<string>()
        let whole (node: JsonNode) = node.GetValue<int>()
        let channels = config.Whole("in_channels", 3)
        let outputs = config.Whole("out_channels", 3)
        let widths = config.List("block_out_channels", [ 224; 448; 672; 896 ], whole)

        let down = config.List("down_block_types", "DownBlock2D" :: List.replicate 3 "AttnDownBlock2D", text)

        let up = config.List("up_block_types", List.replicate 3 "AttnUpBlock2D" @ [ "UpBlock2D" ], text)

        let resampling name =
            match config.Text(name, "conv") with
            | "resnet" -> Resampling.Block
            | other ->
                config.Only(name, (other = "conv"), "conv or resnet")
                Resampling.Convolution

        let halving, doubling = resampling "downsample_type", resampling "upsample_type"

        let scale (name: string) (known: (string * (bool * Resampling)) list) (given: string) =
            match List.tryFind (fst >> (=) given) known with
            | Some(_, found) -> found
            | None ->
                let names = known |> List.map fst |> String.concat ", "
                config.Problem $"{name} has a {given}: {names} are what can be imported"
                snd known.Head

        let down =
            down
            |> List.map (
                scale
                    "down_block_types"
                    [ "DownBlock2D", (false, Resampling.Convolution)
                      "AttnDownBlock2D", (true, halving)
                      "ResnetDownsampleBlock2D", (false, Resampling.Block) ]
            )

        let up =
            up
            |> List.map (
                scale
                    "up_block_types"
                    [ "UpBlock2D", (false, Resampling.Convolution)
                      "AttnUpBlock2D", (true, doubling)
                      "ResnetUpsampleBlock2D", (false, Resampling.Block) ]
            )
            |> List.rev

        let levels = widths.Length

        if down.Length <> levels || up.Length <> levels || levels = 0 then
            config.Problem
                $"block_out_channels, down_block_types and up_block_types have {levels}, {down.Length} and {up.Length} entries: expected as many"

        let at (list: 'T list) k = List.item (min k (list.Length - 1)) list
        let groups = config.Whole("norm_num_groups", 32)
        let isScaled =
            match config.Text("resnet_time_scale_shift", "default") with
            | "scale_shift" -> true
            | other ->
                config.Only("resnet_time_scale_shift", (other = "default"), "default or scale_shift")
                false

        let activation = config.Text("act_fn", "silu")
        config.Only("act_fn", (activation = "silu" || activation = "swish"), "silu")
        config.Only("center_input_sample", not (config.Flag("center_input_sample", false)), "false")
        config.Only("mid_block_scale_factor", (config.Number("mid_block_scale_factor", 1.0) = 1.0), "1")
        config.Only(
            "mid_block_type",
            (config.Text("mid_block_type", "UNetMidBlock2D") = "UNetMidBlock2D"),
            "UNetMidBlock2D"
        )
        config.Only("attention_legacy_order", not (config.Flag("attention_legacy_order", false)), "false")
        config.Only("class_embed_type", not (config.Has "class_embed_type"), "null")
        let cosineFirst = config.Flag("flip_sin_to_cos", true)

        let features =
            match config.Text("time_embedding_type", "positional") with
            | "fourier" -> StepFeatures.LogFourier false
            | other ->
                config.Only("time_embedding_type", (other = "positional"), "positional or fourier")
                let single = config.Text(OwnKey, "float32") <> "float64"
                StepFeatures.Sinusoids(cosineFirst, config.Number("freq_shift", 0.0), single)

        if outputs % channels <> 0 || outputs / channels > 2 then
            config.Problem
                $"out_channels is {outputs} for in_channels {channels}: expected as many, or twice as many where the variance is learned"

        let network: Adm =
            { Channels = channels
              Scales =
                if levels = 0 || down.IsEmpty || up.IsEmpty then
                    []
                else
                    [ for k, width in List.indexed widths ->
                          { Channels = width
                            AttendsDown = fst (at down k)
                            AttendsUp = fst (at up k)
                            // What leads nowhere is of no kind.
                            Halving = (if k = levels - 1 then Resampling.Convolution else snd (at down k))
                            Doubling = (if k = 0 then Resampling.Convolution else snd (at up k)) } ]
              Blocks = config.Whole("layers_per_block", 2)
              MiddleAttention = config.Flag("add_attention", true)
              MiddleGroups =
                config.Optional("attn_norm_num_groups", None)
                |> Option.orElse (if isScaled then None else Some groups)
              HeadChannels = config.Optional("attention_head_dim", Some 8)
              Groups = groups
              GroupChannels = 1
              Epsilon = config.Number("norm_eps", 1e-5)
              ScaleShift = isScaled
              Padding = config.Whole("downsample_padding", 1)
              Dropout = config.Number("dropout", 0.0)
              Features = features
              Clock = clock
              Times = 1
              Outputs = max 1 (outputs / max 1 channels)
              Classes = config.Optional("num_class_embeds", None) }

        network, config.Sides "sample_size" |> Option.map (fun sides -> channels :: sides)

    /// The chain of a scheduler's configuration: the path, what the network says on it, and its clock.
    let private chain (config: Config) : GaussianPath * Prediction * StepClock =
        if config.Text("_class_name", "DDPMScheduler") = "ScoreSdeVeScheduler" then
            let least, most = config.Number("sigma_min", 0.01), config.Number("sigma_max", 1348.0)
            Paths.find [] $"ve:sigma-min={least:R},sigma-max={most:R}",
            Prediction.score,
            StepClock.Deviation(least, most)
        else
            let steps = config.Whole("num_train_timesteps", 1000)
            let first, last = config.Number("beta_start", 1e-4), config.Number("beta_end", 0.02)
            let schedule = config.Text("beta_schedule", "linear")
            let zero = if config.Flag("rescale_betas_zero_snr", false) then 1 else 0
            config.Only("trained_betas", not (config.Has "trained_betas"), "null")
            config.Only("num_train_timesteps", steps >= 2, "at least 2")
            let steps = max 2 steps
            // β of a chain of another length are scaled by 1000/N.
            let own beta = if steps = 1000 then beta else beta * float steps / 1000.0

            let path =
                match schedule with
                | "linear" -> $"ddpm:steps={steps},zero-snr={zero},first={own first:R},last={own last:R}"
                | "scaled_linear" ->
                    $"scaled-linear:steps={steps},zero-snr={zero},first={own first:R},last={own last:R}"
                | "squaredcos_cap_v2" -> $"ddpm-cosine:steps={steps},zero-snr={zero}"
                | "sigmoid" when first = 1e-4 && last = 0.02 && steps = 1000 ->
                    $"ddpm-sigmoid:steps={steps},zero-snr={zero}"
                | _ ->
                    config.Only(
                        "beta_schedule",
                        false,
                        "linear, scaled_linear, squaredcos_cap_v2, or sigmoid with its own β and 1000 steps"
                    )

                    "ddpm"

            let prediction =
                match config.Text("prediction_type", "epsilon") with
                | "epsilon" -> Prediction.noise
                | "v_prediction" -> Prediction.v
                | "sample" -> Prediction.data
                | _ ->
                    config.Only("prediction_type", false, "epsilon, v_prediction or sample")
                    Prediction.noise

            let path =
                try
                    Paths.find [] path
                with :? UserError as e ->
                    config.Problem $"its β make no chain: {e.Message}"
                    Paths.ddpm

            path, prediction, StepClock.Steps steps

    /// A tensor's name where an earlier version of the layout had another.
    let private presentName (name: string) : string =
        let renamed =
            [ ".query.", ".to_q."; ".key.", ".to_k."; ".value.", ".to_v."; ".proj_attn.", ".to_out.0." ]
            |> List.fold (fun (name: string) (before, now) -> name.Replace(before, now)) name

        if renamed = "time_proj.W" then "time_proj.weight" else renamed

    /// Where a folder has the network, and where the chain if it has one.
    let private places (folder: string) : string * string option =
        if not (Directory.Exists folder) then
            raise (UserError $"{folder}: there is no such folder")

        let unet = Path.Combine(folder, "unet")
        let model =
            if File.Exists(Path.Combine(folder, "config.json")) || not (Directory.Exists unet) then
                folder
            else
                unet

        let scheduler =
            [ Path.Combine(model, "scheduler_config.json")
              Path.Combine(folder, "scheduler", "scheduler_config.json")
              Path.Combine(folder, "..", "scheduler", "scheduler_config.json") ]
            |> List.tryFind File.Exists

        model, scheduler

    let private weightsIn (folder: string) : string =
        let own = Path.Combine(folder, Weights)

        if File.Exists own then
            own
        else
            match Directory.GetFiles(folder, "*.safetensors") with
            | [| one |] -> one
            | files -> raise (UserError $"{folder}: it has no {Weights}, and {files.Length} other files of safetensors")

    let private show (sizes: seq<int>) =
        let sizes = String.Join("; ", sizes)
        $"[{sizes}]"

    /// The parameters in the order of the network's; names and shapes that do not fit are added to the problems. Of classes the layout has one row each: the one for none is 0.
    let internal fitted
        (network: Network)
        (classes: int option)
        (kind: Kind)
        (held: Map<string, Tensor>)
        (problems: ResizeArray<string>)
        : Tensor[] =
        let held = held |> Map.toSeq |> Seq.map (fun (name, x) -> presentName name, x) |> Map.ofSeq
        let wanted = network.Specs |> Array.map _.Name |> Set.ofArray

        for KeyValue(name, x) in held do
            if not (wanted.Contains name) then
                problems.Add $"there is no place for {name} {show x.Shape}"

        network.Specs
        |> Array.map (fun spec ->
            match Map.tryFind spec.Name held, classes with
            | None, _ ->
                problems.Add $"{spec.Name} {show spec.Shape} is missing"
                Tensor.zeros kind [ 0 ]
            | Some table, Some classes when
                spec.Name = "class_embedding.weight" && List.ofArray table.Shape = [ classes; spec.Shape[1] ]
                ->
                let rows = table.To kind
                Tensor.cat 0 [ rows; Tensor.zeros kind [ 1; spec.Shape[1] ] ]
            | Some x, _ when
                not (Dtype.isFloating x.Dtype) || x.Count <> List.fold (fun n d -> n * int64 d) 1L spec.Shape
                ->
                problems.Add $"{spec.Name} is {x.Describe()}, expected {show spec.Shape}"
                Tensor.zeros kind [ 0 ]
            // Attention's matrices were convolutions of one pixel once.
            | Some x, _ when List.ofArray x.Shape <> spec.Shape && not (List.ofArray x.Shape = spec.Shape @ [ 1; 1 ]) ->
                problems.Add $"{spec.Name} is {x.Describe()}, expected {show spec.Shape}"
                Tensor.zeros kind [ 0 ]
            | Some x, _ -> Tensor.reshape spec.Shape (x.To kind))

    /// Raises UserError with what cannot be used, where there is something.
    let internal refuse (place: string) (problems: ResizeArray<string>) : unit =
        if problems.Count > 0 then
            let shown = problems |> Seq.truncate 12 |> String.concat "; "
            let more = if problems.Count > 12 then $"; and {problems.Count - 12} more" else ""
            raise (UserError $"{place}: {shown}{more}")

    /// The trained network of an `Adm` that comes from elsewhere.
    let internal trained
        (adm: Adm)
        (network: Network)
        (parameters: Tensor[])
        (path: GaussianPath)
        (prediction: Prediction)
        (shape: int list)
        (kind: Kind)
        (data: string)
        (loss: string)
        : TrainedNetwork =
        { Network = network
          Parameters = parameters
          Path = path
          Output = NetworkOutput.Prediction(prediction, None, adm.Outputs = 2)
          Shape = shape
          Classes = [ for k in 0 .. Option.defaultValue 0 adm.Classes - 1 -> string k ]
          Units = { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
          Latent = None
          Columns = []
          Range = Some(0.0, 255.0)
          Labels = adm.Classes.IsSome
          Given = None
          Null = false
          Source = None
          Times = []
          Kind = kind
          Training = { Data = data; Digest = None; Loss = loss; Steps = 0L; Seed = 0L; Version = Run.version } }

    /// A diffusers folder as a trained network, whose pixels are bytes. `side` is for models that do not say their samples' size. Raises UserError where a file is missing or damaged, with
    /// everything in it that has no counterpart here: settings, and names and shapes of tensors.
    let read (side: int option) (data: string option) (folder: string) : TrainedNetwork =
        let problems = ResizeArray<string>()
        let model, scheduler = places folder

        let path, prediction, clock =
            match scheduler with
            | Some file -> chain (parse file problems)
            | None -> Paths.ddpm, Prediction.noise, StepClock.Steps 1000

        let config = parse (Path.Combine(model, "config.json")) problems
        let adm, size = architecture config clock
        refuse folder problems

        let network =
            try
                Adm.network adm
            with :? ArgumentException as e ->
                raise (UserError $"{folder}: config.json: {Refusal.reason e}")

        Scope.run (fun () ->
            let tensors = (Safetensors.read (weightsIn model)).Tensors

            let kind =
                if tensors |> Map.exists (fun _ x -> x.Dtype = Dtype.Float64) then Kind.Float64 else Kind.Float32

            let parameters = fitted network adm.Classes kind tensors problems
            refuse folder problems

            let shape =
                match size, side with
                | _, Some side -> [ adm.Channels; side; side ]
                | Some shape, None when shape.Length = 3 && List.forall (fun size -> size > 0) shape -> shape
                | _, None ->
                    refuseWith Setting.Size "" $"{folder}: config.json does not say the size of its samples" $"say it"

            trained adm network parameters path prediction shape kind (defaultArg data "diffusers") "diffusers")

    // ---- writing

    let private text (value: string) : JsonNode | null = JsonValue.Create value
    let private number (value: float) : JsonNode | null = JsonValue.Create value
    let private whole (value: int) : JsonNode | null = JsonValue.Create value
    let private flag (value: bool) : JsonNode | null = JsonValue.Create value

    let private optional (value: int option) : JsonNode | null =
        match value with
        | Some value -> whole value
        | None -> null

    let private list (values: (JsonNode | null) list) : JsonNode | null = JsonArray(Array.ofList values)

    let private object (fields: (string * (JsonNode | null)) list) : JsonObject =
        let json = JsonObject()

        for name, value in fields do
            json[name] <- value

        json

    let private writeJson (file: string) (json: JsonObject) =
        let text = json.ToJsonString(JsonSerializerOptions(WriteIndented = true)) + "\n"
        Disk.replace file (fun stream -> stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes text)))

    /// The configuration of a network, or why there is none.
    let private configOf (adm: Adm) (t: TrainedNetwork) : JsonObject =
        let refuse (what: string) =
            raise (UserError $"the network has no counterpart among diffusers' UNet2DModel: {what}")

        let scales = adm.Scales
        let last = scales.Length - 1

        // What leads away from a scale is not there at the coarsest one on the way down, and at the finest one on the way up.
        let common (what: string) (leaving: AdmScale list) (attends: AdmScale -> bool) (how: AdmScale -> Resampling) =
            match leaving |> List.filter attends |> List.map how |> List.distinct with
            | [] -> Resampling.Convolution
            | [ one ] -> one
            | _ -> refuse $"its scales with attention are {what} in different ways"

        let halving = common "halved" (List.truncate last scales) _.AttendsDown _.Halving
        let doubling = common "doubled" scales.Tail _.AttendsUp _.Doubling
        let named resampling = text (if resampling = Resampling.Block then "resnet" else "conv")

        let blocks (direction: string) (resampler: string) (final: int) attends (how: AdmScale -> Resampling) =
            [ for k, scale in List.indexed scales ->
                  if attends scale then $"Attn{direction}Block2D"
                  elif how scale = Resampling.Block && k <> final then $"Resnet{resampler}Block2D"
                  else $"{direction}Block2D" ]

        let middle =
            match adm.MiddleGroups, adm.ScaleShift with
            | Some groups, false when groups = adm.Groups -> None
            | Some groups, _ -> Some groups
            | None, true -> None
            | None, false when not adm.MiddleAttention -> None
            | None, false -> refuse "its middle has attention without a norm"

        if adm.Times > 1 then
            refuse "it is told two times"

        if adm.GroupChannels > 1 then
            refuse "its norms have as many groups as their channels allow"

        object
            [ "_class_name", text "UNet2DModel"
              "sample_size", list [ for size in t.Shape.Tail -> whole size ]
              "in_channels", whole adm.Channels
              "out_channels", whole (adm.Channels * adm.Outputs)
              "center_input_sample", flag false
              match adm.Features with
              | StepFeatures.Sinusoids(cosineFirst, shift, single) ->
                  "time_embedding_type", text "positional"
                  "flip_sin_to_cos", flag cosineFirst
                  "freq_shift", (if shift = Math.Round shift then whole (int shift) else number shift)

                  if not single then
                      OwnKey, text "float64"
              | StepFeatures.Powers -> refuse "its time features are powers in float32"
              | StepFeatures.LogFourier false -> "time_embedding_type", text "fourier"
              | StepFeatures.LogFourier true -> refuse "its Fourier features begin with the cosines"
              "down_block_types", list (blocks "Down" "Downsample" last _.AttendsDown _.Halving |> List.map text)
              "up_block_types", list (blocks "Up" "Upsample" 0 _.AttendsUp _.Doubling |> List.rev |> List.map text)
              "block_out_channels", list [ for scale in scales -> whole scale.Channels ]
              "layers_per_block", whole adm.Blocks
              "mid_block_scale_factor", number 1.0
              "downsample_padding", whole adm.Padding
              "downsample_type", named halving
              "upsample_type", named doubling
              "dropout", number adm.Dropout
              "act_fn", text "silu"
              "attention_head_dim", optional adm.HeadChannels
              "norm_num_groups", whole adm.Groups
              "attn_norm_num_groups", optional middle
              "norm_eps", number adm.Epsilon
              "resnet_time_scale_shift", text (if adm.ScaleShift then "scale_shift" else "default")
              "add_attention", flag adm.MiddleAttention
              "class_embed_type", null
              "num_class_embeds",
              (match adm.Classes with
               // The row of no class is one of theirs where it was trained.
               | Some classes -> whole (if t.Null then classes + 1 else classes)
               | None -> null) ]

    /// The configuration of a chain, by its path's name.
    let private schedulerOf (t: TrainedNetwork) (clock: StepClock) : string * JsonObject =
        let refuse (what: string) =
            raise (UserError $"the model has no counterpart among diffusers' schedulers: {what}")

        let prediction =
            match t.Output with
            | NetworkOutput.Prediction(prediction, None, _) -> prediction.Name
            | NetworkOutput.Prediction(_, Some p, _) -> refuse $"its network is behind the preconditioning {p.Name}"
            | _ -> refuse $"what its network says is no prediction on a Gaussian path, of another kind"

        if t.Source.IsSome then
            refuse "it starts from another law than noise"

        let name = paths.Parse t.Path.Name
        let own key = name.Numbers |> List.tryFind (fst >> (=) key) |> Option.map snd

        match name.Name, clock with
        | "ve", StepClock.Deviation(least, most) when
            prediction = Prediction.score.Name && own "sigma-min" = Some least && own "sigma-max" = Some most
            ->
            "ScoreSdeVeScheduler",
            object
                [ "_class_name", text "ScoreSdeVeScheduler"
                  "num_train_timesteps", whole 2000
                  "sigma_min", number least
                  "sigma_max", number most ]
        | ("ddpm" | "scaled-linear" | "ddpm-cosine" | "ddpm-sigmoid"), StepClock.Steps steps ->
            let said =
                if prediction = Prediction.noise.Name then "epsilon"
                elif prediction = Prediction.v.Name then "v_prediction"
                elif prediction = Prediction.data.Name then "sample"
                else refuse $"its network says {prediction}, and theirs say noise, v or data"

            if own "steps" <> Some(float steps) then
                refuse $"its chain is not of the {steps} steps that its network counts"

            let scaled beta = if steps = 1000 then beta else beta * 1000.0 / float steps
            let first = own "first" |> Option.map scaled |> Option.defaultValue 1e-4
            let last = own "last" |> Option.map scaled |> Option.defaultValue 0.02

            "DDPMScheduler",
            object
                [ "_class_name", text "DDPMScheduler"
                  "num_train_timesteps", whole steps
                  "beta_start", number first
                  "beta_end", number last
                  "beta_schedule",
                  text (
                      match name.Name with
                      | "ddpm" -> "linear"
                      | "scaled-linear" -> "scaled_linear"
                      | "ddpm-cosine" -> "squaredcos_cap_v2"
                      | _ -> "sigmoid"
                  )
                  "trained_betas", null
                  "rescale_betas_zero_snr", flag (own "zero-snr" = Some 1.0)
                  "prediction_type", text said
                  "variance_type", text "fixed_small"
                  "clip_sample", flag false ]
        | other, _ ->
            refuse
                $"its path is {other}, and theirs are ddpm, scaled-linear, ddpm-cosine, ddpm-sigmoid with steps counted from 0: train it on one of them"

    /// Writes a trained network as a pipeline's folder, `unet/`, `scheduler/` and `model_index.json`, which diffusers opens and `read` gives back. Raises UserError where the network, what it says or its path
    /// has no counterpart there, or the folder cannot be written.
    let write (folder: string) (t: TrainedNetwork) : unit =
        if t.Network.Name <> "adm" then
            raise (
                UserError
                    $"its network is of the kind {t.Network.Name}, and diffusers' UNet2DModel is one of the kind adm: train adm-small or adm-base, or write ONNX"
            )

        for change in [ "blind"; "potential"; "uncertainty" ] do
            if List.exists (fst >> (=) change) t.Network.Settings then
                raise (UserError $"its network has something of its own that diffusers' UNet2DModel has not: {change}")

        let adm = Adm.ofSettings (Map.ofList t.Network.Settings)
        let config = configOf adm t
        let scheduler, chain = schedulerOf t adm.Clock

        Scope.run0 (fun () ->
            let tensors =
                [ for spec, x in Array.zip t.Network.Specs t.Parameters ->
                      spec.Name,
                      match adm.Classes with
                      | Some classes when spec.Name = "class_embedding.weight" && not t.Null ->
                          Tensor.narrow 0 0 classes x
                      | _ -> x ]

            for part in [ "unet"; "scheduler" ] do
                Directory.CreateDirectory(Path.Combine(folder, part)) |> ignore

            Safetensors.write (Path.Combine(folder, "unet", Weights)) [ ("format", "pt") ] tensors
            writeJson (Path.Combine(folder, "unet", "config.json")) config
            writeJson (Path.Combine(folder, "scheduler", "scheduler_config.json")) chain

            let pipeline = if scheduler = "ScoreSdeVeScheduler" then "ScoreSdeVePipeline" else "DDPMPipeline"

            writeJson
                (Path.Combine(folder, "model_index.json"))
                (object
                    [ "_class_name", text pipeline
                      "unet", list [ text "diffusers"; text "UNet2DModel" ]
                      "scheduler", list [ text "diffusers"; text scheduler ] ]))
