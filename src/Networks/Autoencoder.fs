namespace Fokker

open System

/// An encoder and a decoder beside each other: q(z | x) = N(μ(x), diag σ²(x)) of samples x, and p(x | z) = N(m(z), s² I) with one learned deviation s.
type Autoencoder =
    {
        /// The shape of a sample: [d], or [C; H; W].
        Sample: int list
        /// Numbers of a latent: of a vector's all of them, of an image's at each place of a grid with a quarter of its sides.
        Latent: int
        /// Units of a hidden layer, or channels at the finest scale.
        Width: int
        /// Hidden layers of a perceptron, 0 for linear maps; residual blocks at each scale of an image, from 1.
        Depth: int
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Autoencoder =

    [<Literal>]
    let Name = "autoencoder"

    /// By how much an image's sides are reduced.
    [<Literal>]
    let Factor = 4

    /// The shape of a latent: [Latent], or [Latent; ⌈H/4⌉; ⌈W/4⌉].
    let latentShape (s: Autoencoder) : int list =
        let reduced size = (size + Factor - 1) / Factor

        match s.Sample with
        | [ _; height; width ] -> [ s.Latent; reduced height; reduced width ]
        | _ -> [ s.Latent ]

    let private settings (s: Autoencoder) =
        [ "sample", String.Join(" ", s.Sample)
          "latent", string s.Latent
          "width", string s.Width
          "depth", string s.Depth ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Autoencoder =
        { Sample = [ for size in settings["sample"].Split ' ' -> int size ]
          Latent = int settings["latent"]
          Width = int settings["width"]
          Depth = int settings["depth"] }

    let private validate (s: Autoencoder) =
        if not (List.contains s.Sample.Length [ 1; 3 ] && List.forall (fun size -> size >= 1) s.Sample) then
            invalidArg "Sample" $"autoencoder: Sample = %A{s.Sample}: expected [d] or [C; H; W]"

        for name, value, least in
            [ "Latent", s.Latent, 1; "Width", s.Width, 1; "Depth", s.Depth, (if s.Sample.Length = 3 then 1 else 0) ] do
            if value < least then
                invalidArg name $"autoencoder: {name} = {value}: at least {least}"

    /// silu(W …) so many times, and a line: of none a line alone.
    let private perceptron (b: Blueprint) (inputs: int) (width: int) (depth: int) (outputs: int) : Layer =
        let hidden =
            [ for k in 1..depth -> Layer.linear (b.Inside $"hidden{k}") (if k = 1 then inputs else width) width ]
        let output = Layer.linear (b.Inside "output") (if depth = 0 then inputs else width) outputs
        fun p x -> hidden |> List.fold (fun h layer -> Tensor.silu (layer p h)) x |> output p

    let private groupsOf (channels: int) =
        seq { min 8 channels .. -1 .. 1 } |> Seq.find (fun groups -> channels % groups = 0)

    /// x + conv(silu(norm(conv(silu(norm(x)))))), at first x.
    let private residual (b: Blueprint) (channels: int) : Layer =
        let norm1 = Layer.groupNorm (b.Inside "norm1") (groupsOf channels) channels
        let conv1 = Layer.conv (b.Inside "conv1") 3 1 channels channels
        let norm2 = Layer.groupNorm (b.Inside "norm2") (groupsOf channels) channels
        let conv2 = Layer.convFromZero (b.Inside "conv2") 3 channels channels
        fun p x -> x + conv2 p (Tensor.silu (norm2 p (conv1 p (Tensor.silu (norm1 p x)))))

    let private residuals (b: Blueprint) (channels: int) (depth: int) : Layer =
        let blocks = [ for k in 1..depth -> residual (b.Inside $"block{k}") channels ]
        fun p x -> blocks |> List.fold (fun h block -> block p h) x

    /// Three scales of an image, each side halved twice on the way: [B; C; H; W] ↦ [B; outputs; H/4; W/4], sides that are multiples of 4.
    let private reducing (b: Blueprint) (channels: int) (width: int) (depth: int) (outputs: int) : Layer =
        let stem = Layer.conv (b.Inside "stem") 3 1 channels width
        let fine = residuals (b.Inside "fine") width depth
        let halve1 = Layer.conv (b.Inside "halve1") 3 2 width (2 * width)
        let middle = residuals (b.Inside "middle") (2 * width) depth
        let halve2 = Layer.conv (b.Inside "halve2") 3 2 (2 * width) (2 * width)
        let coarse = residuals (b.Inside "coarse") (2 * width) depth
        let norm = Layer.groupNorm (b.Inside "norm") (groupsOf (2 * width)) (2 * width)
        let output = Layer.conv (b.Inside "output") 1 1 (2 * width) outputs

        fun p x ->
            [ stem; fine; halve1; middle; halve2; coarse; norm ]
            |> List.fold (fun h layer -> layer p h) x
            |> Tensor.silu
            |> output p

    /// The way back: [B; inputs; H/4; W/4] ↦ [B; C; H; W], doubling by repetition and convolution.
    let private enlarging (b: Blueprint) (inputs: int) (width: int) (depth: int) (channels: int) : Layer =
        let stem = Layer.conv (b.Inside "stem") 3 1 inputs (2 * width)
        let coarse = residuals (b.Inside "coarse") (2 * width) depth
        let double1 = Layer.conv (b.Inside "double1") 3 1 (2 * width) (2 * width)
        let middle = residuals (b.Inside "middle") (2 * width) depth
        let double2 = Layer.conv (b.Inside "double2") 3 1 (2 * width) width
        let fine = residuals (b.Inside "fine") width depth
        let norm = Layer.groupNorm (b.Inside "norm") (groupsOf width) width
        let output = Layer.conv (b.Inside "output") 3 1 width channels
        let twice: Layer = fun _ x -> Nn.upsampleNearest 2 x

        fun p z ->
            [ stem; coarse; twice; double1; middle; twice; double2; fine; norm ]
            |> List.fold (fun h layer -> layer p h) z
            |> Tensor.silu
            |> output p

    /// Encoder and decoder as a network between two ends, told the time where its input is and the time where its output is to be, of which 0 is the data: from (0, 1) samples
    /// [B; Sample] ↦ μ and log σ² one after the other along the first axis behind the batch, from (1, 0) latents ↦ m(z), and log s in its shape behind it (Kingma, Welling 2014,
    /// Auto-encoding variational Bayes, appendix C.2; Rybkin, Daniilidis, Levine 2021, Simple and effective VAE training with calibrated decoders, section 3).
    /// Raises ArgumentException where the settings do not fit together, and in use where shapes do not fit.
    let network (s: Autoencoder) : Network =
        validate s
        let b = Blueprint()
        let latent = latentShape s

        let encoder, decoder =
            match s.Sample with
            | [ channels; _; _ ] ->
                reducing (b.Inside "encoder") channels s.Width s.Depth (2 * s.Latent),
                enlarging (b.Inside "decoder") s.Latent s.Width s.Depth channels
            | sample ->
                perceptron (b.Inside "encoder") sample.Head s.Width s.Depth (2 * s.Latent),
                perceptron (b.Inside "decoder") s.Latent s.Width s.Depth sample.Head

        let deviation = b.Inside("decoder").Parameter("deviation", [ 1 ], Initializer.Zeros)
        let specs = b.Specs
        let missing size = (Factor - size % Factor) % Factor

        let encode (p: Tensor[]) (x: Tensor) : Tensor =
            match s.Sample with
            | [ _; height; width ] -> encoder p (Nn.padEnd (missing height) (missing width) x)
            | _ -> encoder p x

        let decode (p: Tensor[]) (z: Tensor) : Tensor =
            let m = decoder p z

            let m =
                match s.Sample with
                | [ _; height; width ] -> m |> Tensor.narrow 2 0 height |> Tensor.narrow 3 0 width
                | _ -> m

            Tensor.cat 1 [ m; Tensor.zerosLike m + p[deviation] ]

        let apply (p: Tensor[]) =
            Network.check Name specs p

            fun (condition: Condition) ->
                Network.checkCondition Name None condition

                fun (t: Tensor) (x: Tensor) ->
                    let times = Tensor.toFloats t

                    match times.Length >= 2 && times[0] < times[1] with
                    | true ->
                        Network.checkInput Name s.Sample 2 condition t x
                        encode p x
                    | false ->
                        Network.checkInput Name latent 2 condition t x
                        decode p x

        { Name = Name
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    let private ofRequest (numbers: float list) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole Name NetworkRole.Autoencoder ask

        if ask.Classes.IsSome then
            refuseWith
                Setting.Labels
                "on"
                $"an autoencoder is told no class: what learns its latents may be"
                $"""say {Setting.Labels.Is "off"}"""

        if ask.Sample.Length = 2 then
            NetworkEntry.refuseSamples Name "vectors or images" Name ask

        network { Sample = ask.Sample; Latent = int numbers.Head; Width = ask.Width; Depth = ask.Depth }

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = Name
          Parts =
            [ NetworkEntry.partOf
                  Name
                  "an encoder and a decoder, perceptrons of vectors and convolutions of images, which are reduced to a quarter of their sides: for latents"
                  "Kingma, Welling 2014, Auto-encoding variational Bayes; Rombach et al. 2022, High-resolution image synthesis with latent diffusion models"
                  [ Parameter.make
                        "latent"
                        4.0
                        (Allowed.Whole 1)
                        "numbers of a latent: all of a vector's, those at each place of an image's" ]
                  ofRequest ]
          OfSettings = ofSettings >> network }
