namespace Fokker

open System

/// A U-Net on images [B; Channels; H; W].
type Unet =
    {
        Channels: int
        /// Squares of Patch × Patch pixels are folded into channels before the first convolution and unfolded after the
        /// last: 2 does a quarter of the work at the finest scale. 1 leaves the image as it is.
        Patch: int
        /// Channels at the finest scale.
        Width: int
        /// Channels at each scale, from fine to coarse, in multiples of Width; each scale has half the pixels a side.
        Multipliers: int list
        /// Residual blocks at each scale on the way down (one more on the way up).
        Blocks: int
        /// The scales with self-attention, 0 the finest; there is always one in the middle of the network.
        Attention: int list
        /// Groups that channels are normalized in.
        Groups: int
        /// How many times it is told: 1, or 2 for a map from one time to another.
        Times: int
        /// How many numbers the network gives for each pixel: y is [B; Outputs · Channels; H; W], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Unet =

    /// What a few minutes on two cores can train on 28 × 28 images: for one channel 706 436 parameters, a training step
    /// of 64 images in about 0.15 s of one core's time. Folding 2 × 2 pixels puts the fine scale at 14 × 14 and the
    /// coarse one, with the attention in the middle, at 7 × 7.
    let standard (channels: int) : Unet =
        { Channels = channels
          Patch = 2
          Width = 32
          Multipliers = [ 1; 2 ]
          Blocks = 1
          Attention = []
          Groups = 8
          Times = 1
          Outputs = 1
          Classes = None }

    let private settings (s: Unet) =
        [ "channels", string s.Channels
          "patch", string s.Patch
          "width", string s.Width
          "multipliers", NetworkSettings.ofNumbers s.Multipliers
          "blocks", string s.Blocks
          "attention", NetworkSettings.ofNumbers s.Attention
          "groups", string s.Groups
          yield! NetworkSettings.ofTimes s.Times
          "outputs", string s.Outputs
          "classes", NetworkSettings.ofOptional s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Unet =
        let number, numbers = NetworkSettings.number settings, NetworkSettings.numbers settings

        { Channels = number "channels"
          Patch = number "patch"
          Width = number "width"
          Multipliers = numbers "multipliers"
          Blocks = number "blocks"
          Attention = numbers "attention"
          Groups = number "groups"
          Times = NetworkSettings.times settings
          Outputs = number "outputs"
          Classes = NetworkSettings.optional settings "classes" }

    let private validate (s: Unet) =
        NetworkSettings.requirePositive
            "unet"
            [ "Channels", s.Channels
              "Patch", s.Patch
              "Width", s.Width
              "Blocks", s.Blocks
              "Groups", s.Groups
              "Times", s.Times
              "Outputs", s.Outputs
              "Classes", Option.defaultValue 1 s.Classes ]

        NetworkSettings.requireScales "unet" s.Width s.Multipliers s.Groups

        for level in s.Attention do
            if level < 0 || level >= s.Multipliers.Length then
                invalidArg
                    "Attention"
                    $"unet: Attention at scale {level}: the scales are 0 to {s.Multipliers.Length - 1}"

    let private block (b: Blueprint) (s: Unet) =
        Layer.residual
            (fun b -> Layer.conv b 3 1)
            (fun b -> Layer.convFromZero b 3)
            (fun b -> Layer.conv b 1 1)
            b
            s.Groups

    /// Ronneberger et al. 2015 as Ho, Jain, Abbeel 2020 and Dhariwal, Nichol 2021 use it: residual blocks told the time at every scale,
    /// attention at the coarse ones, halving by strided convolution, doubling by repetition and convolution, and what
    /// was seen on the way down joined to what is made on the way up. Its output is 0 before training.
    /// Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: Unet) : Network =
        validate s
        let b = Blueprint()
        let pixels = s.Channels * s.Patch * s.Patch
        let widths = s.Multipliers |> List.map ((*) s.Width) |> List.toArray
        let levels = widths.Length

        let embedding = 4 * s.Width
        let frequencies = Embedding.gaussianFrequencies 1.0 (max 1 (s.Width / 2))
        let time1 = Layer.linear (b.Inside "time1") (s.Times * 2 * frequencies.Length) embedding
        let time2 = Layer.linear (b.Inside "time2") embedding embedding
        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes embedding)

        let attention (b: Blueprint) level =
            if List.contains level s.Attention then
                Some(Layer.attention (b.Inside "attention") s.Groups widths[level])
            else
                None

        // Every feature map that the way up will want, by its channels.
        let mutable seen = [ s.Width ]
        let mutable channels = s.Width
        let stem = Layer.conv (b.Inside "stem") 3 1 pixels s.Width

        let down =
            [ for level in 0 .. levels - 1 do
                  let b = b.Inside("down" + string level)

                  let blocks =
                      [ for k in 1 .. s.Blocks do
                            let b = b.Inside("block" + string k)
                            let layer = block b s embedding channels widths[level]
                            channels <- widths[level]
                            seen <- channels :: seen
                            layer, attention b level ]

                  let halve =
                      if level < levels - 1 then
                          seen <- channels :: seen
                          Some(Layer.conv (b.Inside "halve") 3 2 channels channels)
                      else
                          None

                  blocks, halve ]

        let middle1 = block (b.Inside "middle.block1") s embedding channels channels
        let middleAttention = Layer.attention (b.Inside "middle.attention") s.Groups channels
        let middle2 = block (b.Inside "middle.block2") s embedding channels channels

        let up =
            [ for level in levels - 1 .. -1 .. 0 do
                  let b = b.Inside("up" + string level)

                  let blocks =
                      [ for k in 1 .. s.Blocks + 1 do
                            let b = b.Inside("block" + string k)
                            let layer = block b s embedding (channels + seen.Head) widths[level]
                            seen <- seen.Tail
                            channels <- widths[level]
                            layer, attention b level ]

                  let double = if level > 0 then Some(Layer.conv (b.Inside "double") 3 1 channels channels) else None

                  blocks, double ]

        let norm = Layer.groupNorm (b.Inside "norm") s.Groups channels
        let out = Layer.convFromZero (b.Inside "output") 3 channels (s.Outputs * pixels)
        let specs = b.Specs

        let attend p attention h =
            match attention with
            | Some layer -> layer p h
            | None -> h

        let apply (p: Tensor[]) =
            Network.check "unet" specs p

            fun (condition: Condition) ->
                Network.checkCondition "unet" s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput "unet" [ s.Channels; -1; -1 ] s.Times condition t x
                    let emb = time2 p (Tensor.silu (time1 p ((Embedding.fourierOf s.Times frequencies t).To x.Kind)))

                    let emb =
                        match labels with
                        | Some embed -> emb + embed p condition
                        | None -> emb

                    // Every block wants the embedding's silu: taken once.
                    let emb = Tensor.silu emb

                    let through (x: Tensor) =
                        let mutable h = stem p (Layer.fold s.Patch x)
                        let mutable kept = [ h ]

                        for blocks, halve in down do
                            for layer, attention in blocks do
                                h <- attend p attention (layer p emb h)
                                kept <- h :: kept

                            match halve with
                            | Some layer ->
                                h <- layer p h
                                kept <- h :: kept
                            | None -> ()

                        h <- middle2 p emb (middleAttention p (middle1 p emb h))

                        for blocks, double in up do
                            for layer, attention in blocks do
                                h <- attend p attention (layer p emb (Tensor.cat 1 [ h; kept.Head ]))
                                kept <- kept.Tail

                            match double with
                            | Some layer -> h <- layer p (Nn.upsampleNearest 2 h)
                            | None -> ()

                        Layer.unfold s.Patch (out p (Tensor.silu (norm p h)))

                    Layer.padded (s.Patch * (1 <<< (levels - 1))) through x

        { Name = "unet"
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    let private convolutional (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole "unet" NetworkRole.Field ask

        match ask.Sample with
        | [ channels; _; _ ] ->
            let standard = standard channels

            if ask.Width % standard.Groups <> 0 then
                refuse
                    Setting.Width
                    ask.Width
                    $"the unet normalizes channels in groups of {standard.Groups}: give a multiple"

            network
                { standard with
                    Width = ask.Width
                    Blocks = ask.Depth
                    Times = ask.Times
                    Outputs = ask.Outputs
                    Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples "unet" "images" "mlp" ask

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "unet"
          Parts =
            [ NetworkEntry.part
                  "unet"
                  "residual blocks and self-attention at several scales, for images, with classes or without"
                  "Ronneberger et al. 2015; Ho, Jain, Abbeel 2020; Dhariwal, Nichol 2021"
                  convolutional ]
          OfSettings = ofSettings >> network }
