namespace Fokker

open System

/// A U-Net along series, [B; L] or [B; Channels; L], of any length L.
type Unet1d =
    {
        /// Numbers at each place; none where a sample is a vector of one number a place, [L].
        Channels: int option
        /// Channels at the finest scale.
        Width: int
        /// Channels at each scale, from fine to coarse, in multiples of Width; each scale has half the places of the one before.
        Multipliers: int list
        /// Residual blocks at each scale on the way down (one more on the way up).
        Blocks: int
        /// Places that a convolution sees at once, an odd number.
        Kernel: int
        /// The scales with self-attention, 1 the finest; there is always one in the middle of the network.
        Attention: int list
        /// Heads of attention.
        Heads: int
        /// Groups that channels are normalized in.
        Groups: int
        /// How many times it is told: 1, or 2 for a map from one time to another, or a time and a guidance weight.
        Times: int
        /// How many numbers the network gives for each coordinate: y is [B; Outputs · L] or [B; Outputs · Channels; L], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Unet1d =

    /// Three scales of 32, 64 and 64 channels, attention at the coarsest: of windows of 128 values it sees 128, 64 and 32 places.
    let standard: Unet1d =
        { Channels = None
          Width = 32
          Multipliers = [ 1; 2; 2 ]
          Blocks = 1
          Kernel = 3
          Attention = [ 3 ]
          Heads = 4
          Groups = 8
          Times = 1
          Outputs = 1
          Classes = None }

    let private settings (s: Unet1d) =
        [ match s.Channels with
          | Some channels -> "channels", string channels
          | None -> ()
          "width", string s.Width
          "multipliers", NetworkSettings.ofNumbers s.Multipliers
          "blocks", string s.Blocks
          "kernel", string s.Kernel
          "attention", NetworkSettings.ofNumbers s.Attention
          "heads", string s.Heads
          "groups", string s.Groups
          yield! NetworkSettings.ofTimes s.Times
          "outputs", string s.Outputs
          "classes", NetworkSettings.ofOptional s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Unet1d =
        let number, numbers = NetworkSettings.number settings, NetworkSettings.numbers settings

        { Channels = settings |> Map.tryFind "channels" |> Option.map int
          Width = number "width"
          Multipliers = numbers "multipliers"
          Blocks = number "blocks"
          Kernel = number "kernel"
          Attention = numbers "attention"
          Heads = number "heads"
          Groups = number "groups"
          Times = NetworkSettings.times settings
          Outputs = number "outputs"
          Classes = NetworkSettings.optional settings "classes" }

    let private validate (s: Unet1d) =
        NetworkSettings.requirePositive
            "unet-1d"
            [ "Channels", Option.defaultValue 1 s.Channels
              "Width", s.Width
              "Blocks", s.Blocks
              "Kernel", s.Kernel
              "Heads", s.Heads
              "Groups", s.Groups
              "Times", s.Times
              "Outputs", s.Outputs
              "Classes", Option.defaultValue 1 s.Classes ]

        if s.Kernel % 2 = 0 then
            invalidArg "Kernel" $"unet-1d: Kernel = {s.Kernel}: an odd number, with as many places before as behind"

        NetworkSettings.requireScales "unet-1d" s.Width s.Multipliers s.Groups

        for scale in s.Attention do
            if scale < 1 || scale > s.Multipliers.Length then
                invalidArg
                    "Attention"
                    $"unet-1d: Attention at scale {scale}: the scales are 1 to {s.Multipliers.Length}, 1 the finest"

        for scale in s.Multipliers.Length :: s.Attention do
            let channels = s.Width * s.Multipliers[scale - 1]

            if channels % s.Heads <> 0 then
                invalidArg "Heads" $"unet-1d: {channels} channels do not divide into {s.Heads} heads of attention"

    let private residual (b: Blueprint) (s: Unet1d) =
        Layer.residual
            (fun b -> Layer.convAlong b s.Kernel 1)
            (fun b -> Layer.convAlongFromZero b s.Kernel)
            (fun b -> Layer.convAlong b 1 1)
            b
            s.Groups

    /// Residual blocks told the time and the class at every scale, attention at chosen ones and in the middle, halving by strided convolution, doubling by repetition and
    /// convolution, and what was seen on the way down beside what is made on the way up (Ronneberger et al. 2015; Janner et al. 2022, Planning with diffusion for flexible behavior
    /// synthesis, appendix C). A length that is no multiple of 2^(scales − 1) is filled up with zeros at its end. The output is 0 before training.
    /// Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: Unet1d) : Network =
        validate s
        let b, name = Blueprint(), "unet-1d"
        let own = Option.defaultValue 1 s.Channels
        let widths = [| for m in s.Multipliers -> s.Width * m |]
        let levels = widths.Length
        let embedding = 4 * s.Width
        let frequencies = Embedding.gaussianFrequencies 1.0 (max 1 (s.Width / 2))
        let time1 = Layer.linear (b.Inside "time1") (s.Times * 2 * frequencies.Length) embedding
        let time2 = Layer.linear (b.Inside "time2") embedding embedding
        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes embedding)
        let attention (b: Blueprint) channels =
            Layer.multiHeadAttention (b.Inside "attention") s.Heads s.Groups channels

        /// A residual block, with attention behind it where the scale has it.
        let block (b: Blueprint) level inputs =
            let residual = residual b s embedding inputs widths[level]

            if List.contains (level + 1) s.Attention then
                let attention = attention b widths[level]
                fun p told x -> attention p (residual p told x)
            else
                residual

        // Every feature map that the way up will want, by its channels.
        let mutable seen = [ s.Width ]
        let mutable channels = s.Width
        let stem = Layer.convAlong (b.Inside "stem") s.Kernel 1 own s.Width

        let down =
            [ for level in 0 .. levels - 1 do
                  let b = b.Inside $"down{level + 1}"

                  for k in 1 .. s.Blocks do
                      let layer = block (b.Inside $"block{k}") level channels
                      channels <- widths[level]
                      seen <- channels :: seen
                      layer

                  if level < levels - 1 then
                      let halve = Layer.convAlong (b.Inside "halve") 3 2 channels channels
                      seen <- channels :: seen
                      fun p _ x -> halve p x ]

        let middle = b.Inside "middle"
        let middle1 = residual (middle.Inside "block1") s embedding channels channels
        let middleAttention = attention middle channels
        let middle2 = residual (middle.Inside "block2") s embedding channels channels

        let up =
            [ for level in levels - 1 .. -1 .. 0 do
                  let b = b.Inside $"up{level + 1}"

                  let blocks =
                      [ for k in 1 .. s.Blocks + 1 do
                            let layer = block (b.Inside $"block{k}") level (channels + seen.Head)
                            channels <- widths[level]
                            seen <- seen.Tail
                            layer ]

                  blocks, (if level > 0 then Some(Layer.convAlong (b.Inside "double") 3 1 channels channels) else None) ]

        let norm = Layer.groupNorm (b.Inside "norm") s.Groups channels
        let output = Layer.convAlongFromZero (b.Inside "output") s.Kernel channels (s.Outputs * own)
        let specs = b.Specs

        let apply (p: Tensor[]) =
            Network.check name specs p

            fun (condition: Condition) ->
                Network.checkCondition name s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput name [ yield! Option.toList s.Channels; -1 ] s.Times condition t x
                    let told = time2 p (Tensor.silu (time1 p ((Embedding.fourierOf s.Times frequencies t).To x.Kind)))
                    let told = labels |> Option.fold (fun told embed -> told + embed p condition) told
                    // Every block wants its silu: taken once.
                    let told = Tensor.silu told

                    let through (x: Tensor) =
                        let mutable h = stem p x
                        let mutable kept = [ h ]

                        for layer in down do
                            h <- layer p told h
                            kept <- h :: kept

                        h <- middle2 p told (middleAttention p (middle1 p told h))

                        for blocks, double in up do
                            for layer in blocks do
                                h <- layer p told (Tensor.cat 1 [ h; kept.Head ])
                                kept <- kept.Tail

                            match double with
                            | Some double -> h <- double p (Nn.upsampleBy 1 2 h)
                            | None -> ()

                        output p (Tensor.silu (norm p h))

                    let batch, length = x.Shape[0], x.Shape[x.Rank - 1]

                    // Series are images of one row.
                    Tensor.reshape [ batch; own; 1; length ] x
                    |> Layer.paddedTo 1 (1 <<< (levels - 1)) through
                    |> Tensor.reshape (
                        match s.Channels with
                        | None -> [ batch; s.Outputs * length ]
                        | Some channels -> [ batch; s.Outputs * channels; length ]
                    )

        { Name = name
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    let private alongSeries (numbers: float list) (ask: NetworkRequest) : Network =
        let name = "unet-1d"
        NetworkEntry.requireRole name NetworkRole.Field ask
        let width, depth, heads, kernel = int numbers[0], int numbers[1], int numbers[4], int numbers[5]

        let channels =
            match ask.Sample with
            | [ _ ] -> None
            | [ channels; _ ] -> Some channels
            | _ -> NetworkEntry.refuseSamples name "series" "unet" ask

        if ask.Tokens.IsSome then
            refuseWith
                Setting.Network
                name
                $"its convolutions mix numbers, and these coordinates are tokens, of which none is between two others"
                $"""take {Setting.Network.Is "sequence"}"""

        let multipliers, attends = NetworkEntry.scales name numbers[2] numbers[3]

        if kernel % 2 = 0 then
            refuse Setting.Network name $"its kernel is {kernel}: an odd number, as many places before as behind"

        NetworkEntry.requireHeads width heads

        network
            { Channels = channels
              Width = width
              Multipliers = multipliers
              Blocks = depth
              Kernel = kernel
              Attention = attends
              Heads = heads
              Groups = NetworkEntry.groupsOf width
              Times = ask.Times
              Outputs = ask.Outputs
              Classes = ask.Classes }

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "unet-1d"
          Parts =
            [ NetworkEntry.partOf
                  "unet-1d"
                  "residual blocks along a series at several scales, with attention at chosen ones, for series of any length"
                  "Ronneberger et al. 2015; Ho, Jain, Abbeel 2020; Janner et al. 2022, appendix C"
                  [ Parameter.make "width" 32.0 (Allowed.Whole 1) "channels at the finest scale"
                    Parameter.make "depth" 1.0 (Allowed.Whole 1) "residual blocks at each scale"
                    yield! NetworkEntry.scaleParameters 122.0 3.0
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make
                        "kernel"
                        3.0
                        (Allowed.Whole 1)
                        "places that a convolution sees at once, an odd number" ]
                  alongSeries ]
          OfSettings = ofSettings >> network }
