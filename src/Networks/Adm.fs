namespace Fokker

open System
open System.Globalization

/// How a number that says the time becomes features, n = half of the finest scale's channels.
[<RequireQualifiedAccess>]
type StepFeatures =
    /// sin kω_j and cos kω_j with ω_j = 10000^{−j/(n − shift)}, j = 0 … n − 1, of the step k (Vaswani et al. 2017, section 3.5). Where `single`, they are computed in float32 whatever
    /// the network's kind, as PyTorch's implementations do: at k = 999 that shows in the fifth digit.
    | Sinusoids of cosineFirst: bool * shift: float * single: bool
    /// cos kω_j and sin kω_j with ω_j = 10000^{−j/n}, powers in float32 whatever the network's kind, of numbers k that are not rounded (EDM's networks).
    | Powers
    /// sin 2πw_j log k and cos 2πw_j log k with 2n frequencies w that are among the parameters; what the network says is divided by k (Song et al. 2021, appendix C, as their code has it).
    | LogFourier of cosineFirst: bool

/// The number that a U-Net is told at time t.
[<RequireQualifiedAccess>]
type StepClock =
    /// N t − 1: the step 0 … N − 1 of a chain whose k-th point is at t = (k + 1)/N.
    | Steps of int
    /// σ_min (σ_max/σ_min)^t.
    | Deviation of least: float * most: float
    /// t itself, for a network behind a preconditioning that says what it is told.
    | Same

/// How a feature map's sides are halved and doubled.
[<RequireQualifiedAccess>]
type Resampling =
    /// By a convolution: of stride 2, or after each pixel was repeated.
    | Convolution
    /// Inside a residual block of its own: by means of 2 × 2 pixels, or by repetition (Brock et al. 2019; Dhariwal, Nichol 2021).
    | Block

/// One scale of a U-Net.
type AdmScale =
    {
        Channels: int
        /// Whether its blocks on the way down, and on the way up, are followed by self-attention.
        AttendsDown: bool
        AttendsUp: bool
        /// How it is left on the way down, and on the way up.
        Halving: Resampling
        Doubling: Resampling
    }

/// The U-Net of DDPM and ADM in full, on images [B; Channels; H; W] of any size (Ho, Jain, Abbeel 2020, appendix B; Dhariwal, Nichol 2021, section 3). Its parameters have the names that
/// diffusers' UNet2DModel gives them, so that models come and go without being renamed.
type Adm =
    {
        Channels: int
        /// From fine to coarse; each scale has half the pixels a side.
        Scales: AdmScale list
        /// Residual blocks at each scale on the way down (one more on the way up).
        Blocks: int
        /// Whether there is self-attention in the middle, and the groups that it is normalized in; none for no normalization.
        MiddleAttention: bool
        MiddleGroups: int option
        /// Channels of a head of attention; none for one head.
        HeadChannels: int option
        /// Groups that channels are normalized in, fewer where one would have less than GroupChannels of them, and the ε of their variance.
        Groups: int
        GroupChannels: int
        Epsilon: float
        /// Whether the time scales and shifts what is normalized, or is added before.
        ScaleShift: bool
        /// Zeros around what a convolution halves: 1 on every side, or 0 for a row below and a column to the right only.
        Padding: int
        /// The share of channels' pixels that training leaves out in each residual block (Srivastava et al. 2014).
        Dropout: float
        Features: StepFeatures
        Clock: StepClock
        /// How many times it is told: 1, or 2 for a map from one time to another.
        Times: int
        /// How many numbers the network gives for each pixel: y is [B; Outputs · Channels; H; W], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Adm =

    let private text (x: float) = x.ToString("R", CultureInfo.InvariantCulture)
    let private real (text: string) = Double.Parse(text, CultureInfo.InvariantCulture)

    let private settings (s: Adm) =
        let flags (of': AdmScale -> bool) =
            s.Scales |> List.map (fun scale -> if of' scale then "1" else "0") |> String.concat " "

        let count = Option.defaultValue 0 >> string

        [ "channels", string s.Channels
          "scales", s.Scales |> List.map (_.Channels >> string) |> String.concat " "
          "attends-down", flags _.AttendsDown
          "attends-up", flags _.AttendsUp
          "halving-blocks", flags (fun scale -> scale.Halving = Resampling.Block)
          "doubling-blocks", flags (fun scale -> scale.Doubling = Resampling.Block)
          "blocks", string s.Blocks
          "middle", (if s.MiddleAttention then "on" else "off")
          "middle-groups", count s.MiddleGroups
          "head-channels", count s.HeadChannels
          "groups", string s.Groups
          if s.GroupChannels > 1 then
              "group-channels", string s.GroupChannels
          "epsilon", text s.Epsilon
          "scale-shift", (if s.ScaleShift then "on" else "off")
          "padding", string s.Padding
          "dropout", text s.Dropout
          "features",
          (match s.Features with
           | StepFeatures.Sinusoids(cosineFirst, shift, single) ->
               let order = if cosineFirst then "cosine" else "sine"
               let kind = if single then "single" else "double"
               $"sinusoids {order} {text shift} {kind}"
           | StepFeatures.Powers -> "powers"
           | StepFeatures.LogFourier cosineFirst -> if cosineFirst then "fourier cosine" else "fourier sine")
          "clock",
          (match s.Clock with
           // The digits of a count are no size of the network: they stand in another word than a number.
           | StepClock.Steps n -> $"steps:{n}"
           | StepClock.Deviation(least, most) -> $"deviation:{text least}:{text most}"
           | StepClock.Same -> "same")
          yield! NetworkSettings.ofTimes s.Times
          "outputs", string s.Outputs
          "classes", count s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Adm =
        let words (name: string) = settings[name].Split(' ', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray
        let whole name = Int32.Parse(settings[name], CultureInfo.InvariantCulture)
        let flags name = words name |> List.map ((=) "1")
        let unknown name = raise (FormatException $"the {name} '{settings[name]}' is not known here")

        let optional = NetworkSettings.optional settings

        let resampling name =
            flags name |> List.map (fun block -> if block then Resampling.Block else Resampling.Convolution)
        let widths = words "scales" |> List.map int
        let down, up = flags "attends-down", flags "attends-up"
        let halving, doubling = resampling "halving-blocks", resampling "doubling-blocks"

        if List.exists (fun n -> n <> widths.Length) [ down.Length; up.Length; halving.Length; doubling.Length ] then
            raise (FormatException $"its {widths.Length} scales are not all described")

        { Channels = whole "channels"
          Scales =
            [ for k in 0 .. widths.Length - 1 ->
                  { Channels = widths[k]
                    AttendsDown = down[k]
                    AttendsUp = up[k]
                    Halving = halving[k]
                    Doubling = doubling[k] } ]
          Blocks = whole "blocks"
          MiddleAttention = settings["middle"] = "on"
          MiddleGroups = optional "middle-groups"
          HeadChannels = optional "head-channels"
          Groups = whole "groups"
          GroupChannels = if settings.ContainsKey "group-channels" then whole "group-channels" else 1
          Epsilon = real settings["epsilon"]
          ScaleShift = settings["scale-shift"] = "on"
          Padding = whole "padding"
          Dropout = real settings["dropout"]
          Features =
            (match words "features" with
             | [ "sinusoids"; order; shift; kind ] ->
                 StepFeatures.Sinusoids((order = "cosine"), real shift, (kind = "single"))
             | [ "powers" ] -> StepFeatures.Powers
             | [ "fourier"; order ] -> StepFeatures.LogFourier(order = "cosine")
             | _ -> unknown "features")
          Clock =
            (match List.ofArray (settings["clock"].Split ':') with
             | [ "steps"; n ] -> StepClock.Steps(int n)
             | [ "deviation"; least; most ] -> StepClock.Deviation(real least, real most)
             | [ "same" ] -> StepClock.Same
             | _ -> unknown "clock")
          Times = NetworkSettings.times settings
          Outputs = whole "outputs"
          Classes = optional "classes" }

    /// Groups that so many channels are normalized in, where they are normalized in `most` at the most.
    let private groupsOf (s: Adm) (most: int) (channels: int) = max 1 (min most (channels / s.GroupChannels))

    let private validate (s: Adm) =
        NetworkSettings.requirePositive
            "adm"
            [ "Channels", s.Channels
              "Blocks", s.Blocks
              "Groups", s.Groups
              "GroupChannels", s.GroupChannels
              "MiddleGroups", Option.defaultValue 1 s.MiddleGroups
              "HeadChannels", Option.defaultValue 1 s.HeadChannels
              "Times", s.Times
              "Outputs", s.Outputs
              "Classes", Option.defaultValue 1 s.Classes ]

        if s.Scales.IsEmpty || s.Scales |> List.exists (fun scale -> scale.Channels < 1) then
            invalidArg "Scales" $"adm: a positive number of channels for each scale is needed"

        if s.Padding < 0 || s.Padding > 1 then
            invalidArg "Padding" $"adm: Padding = {s.Padding}: 0 or 1"

        if not (s.Dropout >= 0.0 && s.Dropout < 1.0) then
            invalidArg "Dropout" $"adm: Dropout = {s.Dropout}: a share from 0 to below 1"

        if not (s.Epsilon > 0.0) then
            invalidArg "Epsilon" $"adm: Epsilon = {s.Epsilon}: a positive number"

        let features = s.Scales.Head.Channels

        match s.Features with
        | StepFeatures.Sinusoids(_, shift, _) when features % 2 <> 0 || float (features / 2) <= shift ->
            invalidArg "Scales" $"adm: {features} channels at the finest scale are no pairs of sines and cosines"
        | StepFeatures.Powers when features % 2 <> 0 ->
            invalidArg "Scales" $"adm: {features} channels at the finest scale are no pairs of sines and cosines"
        | _ -> ()

        match s.Clock with
        | StepClock.Steps n when n < 1 -> invalidArg "Clock" $"adm: {n} steps: at least 1"
        | StepClock.Deviation(least, most) when not (least > 0.0 && most > least) ->
            invalidArg "Clock" $"adm: deviations from {least} to {most}: positive and rising"
        | _ -> ()

        for scale in s.Scales do
            let groups = groupsOf s s.Groups scale.Channels

            if scale.Channels % groups <> 0 then
                invalidArg "Groups" $"adm: {scale.Channels} channels do not divide into {groups} groups"

        let last = List.last s.Scales

        match s.MiddleGroups with
        | Some groups when s.MiddleAttention && last.Channels % groupsOf s groups last.Channels <> 0 ->
            invalidArg "MiddleGroups" $"adm: {last.Channels} channels do not divide into {groups} groups"
        | _ -> ()

        match s.HeadChannels with
        | Some head ->
            for scale in s.Scales do
                if (scale.AttendsDown || scale.AttendsUp) && scale.Channels % head <> 0 then
                    invalidArg "HeadChannels" $"adm: {scale.Channels} channels do not divide into heads of {head}"

            if s.MiddleAttention && last.Channels % head <> 0 then
                invalidArg "HeadChannels" $"adm: {last.Channels} channels do not divide into heads of {head}"
        | None -> ()

    // ---- the time

    /// ω_j, as float32 arithmetic makes them where that is asked for.
    let private waves (kind: Kind) (count: int) (shift: float) : Tensor =
        let places = (Tensor.ofArray [ 1; count ] (Array.init count float)).To kind
        Tensor.exp ((-Math.Log 10000.0 * places) / (float count - shift))

    /// t [B], [B; times] or 0-dimensional ↦ the number that is told, [B · times; 1] or [times; 1], float64.
    let private told (clock: StepClock) (t: Tensor) : Tensor =
        let t = Tensor.reshape [ -1; 1 ] t

        match clock with
        | StepClock.Steps n -> float n * t - 1.0
        | StepClock.Deviation(least, most) -> least * Tensor.exp (Math.Log(most / least) * t)
        | StepClock.Same -> t

    let private pair cosineFirst (angle: Tensor) =
        let sine, cosine = Tensor.sin angle, Tensor.cos angle
        Tensor.cat 1 (if cosineFirst then [ cosine; sine ] else [ sine; cosine ])

    let private featureCount (s: Adm) =
        match s.Features with
        | StepFeatures.Sinusoids _
        | StepFeatures.Powers -> s.Scales.Head.Channels
        | StepFeatures.LogFourier _ -> 2 * s.Scales.Head.Channels

    /// parameters ↦ what is told [n; 1] ↦ its features [n; m].
    let private features (b: Blueprint) (s: Adm) : Tensor[] -> Tensor -> Tensor =
        let channels = s.Scales.Head.Channels

        match s.Features with
        | StepFeatures.Sinusoids(cosineFirst, shift, single) ->
            fun _ k ->
                let k = if single then k.To Dtype.Float32 else k
                pair cosineFirst (k * waves k.Kind (channels / 2) shift)
        | StepFeatures.Powers ->
            fun _ k ->
                let single = { k.Kind with Dtype = Dtype.Float32 }
                let places = Tensor.ofArray [ 1; channels / 2 ] (Array.init (channels / 2) float)
                let frequencies = Tensor.full single [ 1; 1 ] 1e-4 ** (places.To single / float (channels / 2))
                pair true (k * frequencies.To k.Kind)
        | StepFeatures.LogFourier cosineFirst ->
            let frequencies = b.Inside("time_proj").Parameter("weight", [ channels ], Initializer.Normal 16.0)

            fun p k ->
                let log = Tensor.log (k.To p[frequencies].Kind)
                pair cosineFirst (log * Tensor.reshape [ 1; channels ] p[frequencies] * (2.0 * Math.PI))

    // ---- the layers

    /// What becomes of a layer's numbers in training: the layer's place, and the numbers.
    type private Drop = int -> Tensor -> Tensor

    let private resampled (by: int) (x: Tensor) =
        match by with
        | 1 -> Nn.upsampleNearest 2 x
        | -1 -> Nn.avgPool2d 2 x
        | _ -> x

    /// skip(x) + conv2(drop(silu(m(norm2(h))))), h = conv1(silu(norm1(x))), where m scales and shifts as the time says or, without scale-shift, h has the time's numbers added to it.
    /// The sides are doubled (1) or halved (−1) before conv1 and in x. The second convolution is 0 before training, so that the block begins as its skip.
    let private residual (b: Blueprint) (s: Adm) (place: int) (inputs: int) (outputs: int) (resample: int) =
        Layer.blockBy b (fun b ->
            let embedding = 4 * s.Scales.Head.Channels
            let norm1 = Layer.groupNormBy s.Epsilon (b.Inside "norm1") (groupsOf s s.Groups inputs) inputs
            let conv1 = Layer.conv (b.Inside "conv1") 3 1 inputs outputs
            let time =
                Layer.linear (b.Inside "time_emb_proj") embedding (if s.ScaleShift then 2 * outputs else outputs)
            let norm2 = Layer.groupNormBy s.Epsilon (b.Inside "norm2") (groupsOf s s.Groups outputs) outputs
            let conv2 = Layer.convFromZero (b.Inside "conv2") 3 outputs outputs
            let skip =
                if inputs = outputs then None else Some(Layer.conv (b.Inside "conv_shortcut") 1 1 inputs outputs)

            fun (drop: Drop) (p: Tensor[]) (emb: Tensor) (x: Tensor) ->
                let h = conv1 p (resampled resample (Tensor.silu (norm1 p x)))
                let said = Tensor.reshape [ emb.Shape[0]; -1; 1; 1 ] (time p emb)

                let h =
                    if s.ScaleShift then
                        let scale, shift = Tensor.narrow 1 0 outputs said, Tensor.narrow 1 outputs outputs said
                        norm2 p h * (scale + 1.0) + shift
                    else
                        norm2 p (h + said)

                let h = conv2 p (drop place (Tensor.silu h))
                let x = resampled resample x

                match skip with
                | Some skip -> skip p x + h
                | None -> x + h)

    /// x plus attention of every pixel to every pixel. It adds 0 before training.
    let private attention (b: Blueprint) (s: Adm) (groups: int option) (channels: int) : Layer =
        Layer.block b (fun b ->
            let norm =
                groups
                |> Option.map (fun groups ->
                    Layer.groupNormBy s.Epsilon (b.Inside "group_norm") (groupsOf s groups channels) channels)
            let project name = Layer.linear (b.Inside name) channels channels
            let query, key, value = project "to_q", project "to_k", project "to_v"
            let out = Layer.linearFromZero (b.Inside "to_out.0") channels channels
            let heads = s.HeadChannels |> Option.map (fun head -> channels / head) |> Option.defaultValue 1

            fun p x ->
                let h = norm |> Option.fold (fun h norm -> norm p h) x
                let pixels = Tensor.transpose 1 2 (Tensor.reshape [ x.Shape[0]; channels; -1 ] h)
                let mixed = out p (Nn.multiHead heads (query p pixels) (key p pixels) (value p pixels))
                x + (Tensor.transpose 1 2 mixed |> Tensor.reshape x.Shape))

    /// The U-Net. Its output is 0 before training. Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: Adm) : Network =
        validate s
        let b = Blueprint()
        let scales = Array.ofList s.Scales
        let levels = scales.Length
        let finest = scales[0].Channels
        let embedding = 4 * finest
        let features = features b s
        let time1 = Layer.linear (b.Inside "time_embedding.linear_1") (s.Times * featureCount s) embedding
        let time2 = Layer.linear (b.Inside "time_embedding.linear_2") embedding embedding
        let labels =
            s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "class_embedding") classes embedding)
        let stem = Layer.conv (b.Inside "conv_in") 3 1 s.Channels finest

        // Every feature map that the way up will want, by its channels.
        let mutable seen = [ finest ]
        let mutable channels = finest
        let mutable places = 0

        let residual (b: Blueprint) inputs outputs resample =
            places <- places + 1
            residual b s places inputs outputs resample

        let attention (b: Blueprint) (k: int) isThere groups =
            if isThere then Some(attention (b.Inside $"attentions.{k}") s groups channels) else None

        let resampler (b: Blueprint) (how: Resampling) (direction: int) =
            let b = b.Inside(if direction < 0 then "downsamplers.0" else "upsamplers.0")

            match how, direction with
            | Resampling.Block, _ -> residual b channels channels direction
            | Resampling.Convolution, -1 when s.Padding = 0 ->
                let conv = Layer.convAtEnd (b.Inside "conv") 3 2 channels channels
                fun _ p _ x -> conv p x
            | Resampling.Convolution, -1 ->
                let conv = Layer.conv (b.Inside "conv") 3 2 channels channels
                fun _ p _ x -> conv p x
            | Resampling.Convolution, _ ->
                let conv = Layer.conv (b.Inside "conv") 3 1 channels channels
                fun _ p _ x -> conv p (Nn.upsampleNearest 2 x)

        let down =
            [ for level in 0 .. levels - 1 do
                  let b, scale = b.Inside $"down_blocks.{level}", scales[level]

                  let blocks =
                      [ for k in 0 .. s.Blocks - 1 do
                            let layer = residual (b.Inside $"resnets.{k}") channels scale.Channels 0
                            channels <- scale.Channels
                            seen <- channels :: seen
                            layer, attention b k scale.AttendsDown (Some s.Groups) ]

                  let halve =
                      if level < levels - 1 then
                          seen <- channels :: seen
                          Some(resampler b scale.Halving -1)
                      else
                          None

                  blocks, halve ]

        let middle = b.Inside "mid_block"
        let middle1 = residual (middle.Inside "resnets.0") channels channels 0
        let middleAttention = attention middle 0 s.MiddleAttention s.MiddleGroups
        let middle2 = residual (middle.Inside "resnets.1") channels channels 0

        let up =
            [ for level in levels - 1 .. -1 .. 0 do
                  let b, scale = b.Inside $"up_blocks.{levels - 1 - level}", scales[level]

                  let blocks =
                      [ for k in 0 .. s.Blocks do
                            let layer = residual (b.Inside $"resnets.{k}") (channels + seen.Head) scale.Channels 0
                            seen <- seen.Tail
                            channels <- scale.Channels
                            layer, attention b k scale.AttendsUp (Some s.Groups) ]

                  blocks, (if level > 0 then Some(resampler b scale.Doubling 1) else None) ]

        let norm = Layer.groupNormBy s.Epsilon (b.Inside "conv_norm_out") (groupsOf s s.Groups channels) channels
        let output = Layer.convFromZero (b.Inside "conv_out") 3 channels (s.Outputs * s.Channels)
        let specs = b.Specs
        let attend p attention h = attention |> Option.fold (fun h layer -> layer p h) h

        let apply (drop: Drop) (p: Tensor[]) =
            Network.check "adm" specs p

            fun (condition: Condition) ->
                Network.checkCondition "adm" s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput "adm" [ s.Channels; -1; -1 ] s.Times condition t x
                    let number = told s.Clock t
                    let said = (features p number).To x.Kind
                    let said = if s.Times = 1 then said else Tensor.reshape [ -1; s.Times * featureCount s ] said
                    let emb = time2 p (Tensor.silu (time1 p said))
                    let emb = labels |> Option.fold (fun emb embed -> emb + embed p condition) emb
                    // Every block wants its silu: taken once.
                    let emb = Tensor.silu emb

                    let through (x: Tensor) =
                        let mutable h = stem p x
                        let mutable kept = [ h ]

                        for blocks, halve in down do
                            for layer, attention in blocks do
                                h <- attend p attention (layer drop p emb h)
                                kept <- h :: kept

                            match halve with
                            | Some layer ->
                                h <- layer drop p emb h
                                kept <- h :: kept
                            | None -> ()

                        h <- middle2 drop p emb (attend p middleAttention (middle1 drop p emb h))

                        for blocks, double in up do
                            for layer, attention in blocks do
                                h <- attend p attention (layer drop p emb (Tensor.cat 1 [ h; kept.Head ]))
                                kept <- kept.Tail

                            match double with
                            | Some layer -> h <- layer drop p emb h
                            | None -> ()

                        output p (Tensor.silu (norm p h))

                    let y = Layer.padded (1 <<< (levels - 1)) through x

                    match s.Features with
                    | StepFeatures.Sinusoids _
                    | StepFeatures.Powers -> y
                    | StepFeatures.LogFourier _ ->
                        // Of several times it is the first at which x is.
                        let first = Tensor.narrow 1 0 1 (Tensor.reshape [ -1; s.Times ] number)
                        y / Tensor.reshape [ -1; 1; 1; 1 ] (first.To y.Kind)

        let keepingAll = apply (fun _ x -> x)

        let network: Network =
            { Name = "adm"
              Settings = settings s
              Specs = specs
              Apply = keepingAll
              Uncertainty = None
              Fitted = None
              Dropping = None }

        let dropping (rng: Rng) : Network =
            let drop: Drop =
                fun place x ->
                    let draws = Rng.uniform { x.Kind with Dtype = Dtype.Float32 } x.Shape (Rng.at (int64 place) rng)
                    x * (Tensor.atLeast s.Dropout draws).To(x.Dtype) / (1.0 - s.Dropout)

            { network with Apply = apply drop }

        if s.Dropout > 0.0 then { network with Dropping = Some dropping } else network

    // ---- by name

    /// The numbers of the U-Net of DDPM and ADM, with the defaults of one of its sizes.
    let private parameters width depth multipliers attention head dropout : Parameter list =
        [ Parameter.make "width" width (Allowed.Whole 1) "channels at the finest scale"
          Parameter.make "depth" depth (Allowed.Whole 1) "residual blocks at each scale"
          yield! NetworkEntry.scaleParameters multipliers attention
          Parameter.make "head" head (Allowed.Whole 0) "channels of a head of attention; 0 for one head"
          Parameter.make
              "scale-shift"
              1.0
              (Allowed.Within(0.0, 1.0))
              "1 where the time scales and shifts, 0 where it is added"
          Parameter.make
              "resample"
              1.0
              (Allowed.Within(0.0, 1.0))
              "1 where sides are halved and doubled in residual blocks, 0 by convolutions"
          Parameter.make
              "dropout"
              dropout
              (Allowed.Within(0.0, 0.99))
              "the share that training leaves out in each block" ]

    let private ofRequest (name: string) (numbers: float list) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole name NetworkRole.Field ask
        let width, depth = int numbers[0], int numbers[1]
        let head, isScaled, isInBlocks, dropout = int numbers[4], numbers[5] > 0.5, numbers[6] > 0.5, numbers[7]

        match ask.Sample with
        | [ channels; _; _ ] ->
            let multipliers, attends = NetworkEntry.scales name numbers[2] numbers[3]

            if width % 2 <> 0 then
                refuse Setting.Width width $"its time is told in as many sines as cosines: give an even number"

            if head > 0 && List.exists (fun m -> width * m % head <> 0) multipliers then
                refuse Setting.Width width $"its channels divide into heads of {head}: give a multiple"

            let resampling = if isInBlocks then Resampling.Block else Resampling.Convolution

            network
                { Channels = channels
                  Scales =
                    [ for k, m in List.indexed multipliers ->
                          let isAttending = List.contains (k + 1) attends

                          { Channels = width * m
                            AttendsDown = isAttending
                            AttendsUp = isAttending
                            Halving = resampling
                            Doubling = resampling } ]
                  Blocks = depth
                  MiddleAttention = true
                  MiddleGroups = Some(NetworkEntry.groupsOf width)
                  HeadChannels = if head = 0 then None else Some head
                  Groups = NetworkEntry.groupsOf width
                  GroupChannels = 1
                  Epsilon = 1e-5
                  ScaleShift = isScaled
                  Padding = 1
                  Dropout = dropout
                  Features = StepFeatures.Sinusoids(true, 0.0, false)
                  Clock = StepClock.Steps 1000
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples name "images" "mlp" ask

    let private sized name equation (numbers: Parameter list) =
        NetworkEntry.partOf
            name
            $"{equation}: residual blocks, heads of attention at chosen scales, for images of any size"
            "Ho, Jain, Abbeel 2020, appendix B; Nichol, Dhariwal 2021; Dhariwal, Nichol 2021, section 3"
            numbers
            (ofRequest name)

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "adm"
          Parts =
            [ sized
                  "adm-small"
                  "the U-Net of DDPM and ADM, of a size for images of 28 × 28 to 32 × 32 on a processor"
                  (parameters 64.0 1.0 122.0 23.0 32.0 0.0)
              sized
                  "adm-base"
                  "the U-Net of DDPM and ADM, of the size that DDPM has for CIFAR-10"
                  (parameters 128.0 2.0 1222.0 2.0 64.0 0.1) ]
          OfSettings = ofSettings >> network }
