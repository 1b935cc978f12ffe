namespace Fokker

open System.Globalization

/// What a network is for.
[<RequireQualifiedAccess>]
type NetworkRole =
    /// Numbers of every coordinate at a time.
    | Field
    /// The other end of an exact flow, and its log-determinant (`ExactFlow.ofBijection`).
    | Bijection
    /// Latents of samples, and samples of latents (`Autoencoder`).
    | Autoencoder

/// What a network is asked to be.
type NetworkRequest =
    {
        /// The shape of a sample, [d] or [C; H; W], and whose samples they are.
        Sample: int list
        Data: string
        /// Units in a hidden layer or channels at the finest scale, and hidden layers or blocks at each scale.
        Width: int
        Depth: int
        /// How many times the network is given, and how many numbers it gives for each coordinate.
        Times: int
        Outputs: int
        /// How many labels there are; none for an unconditional network.
        Classes: int option
        Role: NetworkRole
        /// What the coordinates are, where they are tokens.
        Tokens: Tokens option
    }

/// The networks by name.
[<RequireQualifiedAccess>]
module Networks =

    /// A multilayer perceptron: `Networks.mlp { Mlp.standard 2 with Width = 128 }`.
    let mlp (settings: Mlp) : Network = Mlp.network settings

    /// A U-Net: `Networks.unet { Unet.standard 1 with Classes = Some 10 }`.
    let unet (settings: Unet) : Network = Unet.network settings

    /// The network with u(t) beside it, the log-variance of its error at time t: a line of 32 Fourier features of time, 0 before
    /// training (Karras et al. 2024, EDM2, section 2.3).
    let withUncertainty: Network -> Network =
        Network.alike (fun network ->
            let b = Blueprint().Inside "uncertainty"
            let features = Embedding.fourier (Embedding.gaussianFrequencies 1.0 16)
            let line = Layer.linearFromZero b 32 1
            let own = network.Specs.Length
            let specs = Array.append network.Specs b.Specs

            { network with
                Settings = network.Settings @ [ "uncertainty", "on" ]
                Specs = specs
                Apply =
                    fun parameters ->
                        Network.check network.Name specs parameters
                        network.Apply parameters[.. own - 1]
                Uncertainty =
                    Some(fun parameters t ->
                        let added = parameters[own..]
                        Tensor.flatten (line added ((features t).To added[0].Kind))) })

    /// The network without the time: it is told t = 0 whatever the noise, and has to see from x how much of it there is. Its best answer is then the mean of the best
    /// answers at all times, by how likely x is at each (Sun, Jiang, Zhao, He 2025, Is noise conditioning necessary for denoising generative models?).
    let blind: Network -> Network =
        Network.alike (fun network ->
            { network with
                Settings = network.Settings @ [ "blind", "on" ]
                Apply =
                    fun parameters condition ->
                        let field = network.Apply parameters condition
                        fun t x -> field (Tensor.zerosLike t) x })

    /// A network that is told numbers of each sample, [k], or a picture of its own sides, [c; H; W]: they stand beside x as further coordinates or channels that it sees and says nothing of, 0 where they
    /// are not told, each number, or each pixel of the picture, with another that says whether it is, 1 or 0. Made of a network of samples that are so much larger (`toldSample`). It is told no classes.
    let told (given: int list) : Network -> Network =
        Network.alike (fun network ->
            /// What is beside the x of a batch.
            let beside (condition: Condition) : (Tensor -> Tensor) =
                match condition with
                | None ->
                    fun x ->
                        let channels =
                            match given with
                            | [ k ] -> 2 * k
                            | _ -> given.Head + 1

                        Tensor.zeros x.Kind (x.Shape[0] :: channels :: List.ofArray x.Shape[2..])
                | Some told ->
                    if not (Dtype.isFloating told.Dtype) || List.ofArray told.Shape[1..] <> given then
                        let sizes = System.String.Join("; ", given)
                        invalidArg
                            "condition"
                            $"{network.Name}: it is told numbers [B; {sizes}], was given {told.Describe()}"

                    let isThere = Tensor.isFinite told
                    let numbers = Tensor.where isThere told (Tensor.zerosLike told)
                    let there = isThere.To told.Dtype
                    let there = if given.Length = 1 then there else Tensor.unsqueeze 1 (Tensor.minOver [ 1 ] there)
                    let both = Tensor.cat 1 [ numbers; there ]
                    fun x -> both.To x.Kind

            { network with
                Settings = network.Settings @ [ "told", System.String.Join(",", given) ]
                Apply =
                    fun parameters ->
                        let field = network.Apply parameters None

                        fun condition ->
                            let beside = beside condition

                            fun t x ->
                                let more = beside x

                                if more.Shape[0] <> x.Shape[0] then
                                    invalidArg
                                        "condition"
                                        $"{network.Name}: {more.Shape[0]} are told, and there are {x.Shape[0]} samples"

                                let whole = Tensor.cat 1 [ x; more ]
                                let own, wide = x.Shape[1], whole.Shape[1]
                                let said: Tensor = field t whole

                                if said.Shape[1] = wide then
                                    Tensor.narrow 1 0 own said
                                else
                                    let n, rest = said.Shape[0], List.ofArray said.Shape[2..]
                                    let outputs = said.Shape[1] / wide

                                    Tensor.reshape (n :: outputs :: wide :: rest) said
                                    |> Tensor.narrow 2 0 own
                                    |> Tensor.reshape (n :: outputs * own :: rest) })

    /// The shape of a sample together with what is told of it, as the network inside of `told` sees them.
    let toldSample (given: int list) (sample: int list) : int list =
        match sample, given with
        | [ d ], [ k ] -> [ d + 2 * k ]
        | channels :: sides, more :: others when sides = others -> channels + more + 1 :: sides
        | _ -> invalidArg (nameof given) "numbers are told of vectors, and pictures of pictures of the same sides"

    /// Part k of a network that says several things of every coordinate.
    let part (k: int) (network: Condition -> Field) : Condition -> Field =
        fun condition ->
            let network = network condition

            fun t x ->
                let width = x.Shape[1]
                Tensor.narrow 1 (k * width) width (network t x)

    /// A part of the caller's own as a model's file wants it: its network goes by the part's name, and its settings are what it was asked to be, which
    /// `ofSettings` asks of the part again.
    let named (part: Part<NetworkRequest -> Network>) : Part<NetworkRequest -> Network> =
        let settings (numbers: float list) (ask: NetworkRequest) =
            [ "sample", System.String.Join(",", ask.Sample)
              "width", string ask.Width
              "depth", string ask.Depth
              "times", string ask.Times
              "outputs", string ask.Outputs
              match ask.Classes with
              | Some classes -> "classes", string classes
              | None -> ()
              match ask.Role with
              | NetworkRole.Field -> ()
              | NetworkRole.Bijection -> "role", "bijection"
              | NetworkRole.Autoencoder -> "role", "autoencoder"
              match ask.Tokens with
              | Some tokens ->
                  "tokens", string tokens.Count
                  "bound", tokens.Bound.ToString("R", CultureInfo.InvariantCulture)
                  "source", (if tokens.Source.IsMask then "mask" else "uniform")
              | None -> ()
              for p, number in List.zip part.Parameters numbers do
                  $"number-{p.Name}", number.ToString("R", CultureInfo.InvariantCulture) ]

        { part with
            Make =
                fun numbers ->
                    let make = part.Make numbers
                    fun ask -> { make ask with Name = part.Name; Settings = settings numbers ask } }

    /// What a `named` part was asked to be. Raises FormatException or KeyNotFoundException where a setting is missing or of the wrong kind.
    let private asked (part: Part<NetworkRequest -> Network>) (settings: Map<string, string>) : Network =
        let whole name = System.Int32.Parse(settings[name], CultureInfo.InvariantCulture)
        let numbers =
            [ for p in part.Parameters ->
                  System.Double.Parse(settings[$"number-{p.Name}"], CultureInfo.InvariantCulture) ]

        (named part).Make
            numbers
            { Sample =
                [ for size in settings["sample"].Split ',' -> System.Int32.Parse(size, CultureInfo.InvariantCulture) ]
              Data = ""
              Width = whole "width"
              Depth = whole "depth"
              Times = whole "times"
              Outputs = whole "outputs"
              Classes = if settings.ContainsKey "classes" then Some(whole "classes") else None
              Role =
                match Map.tryFind "role" settings with
                | Some "bijection" -> NetworkRole.Bijection
                | Some "autoencoder" -> NetworkRole.Autoencoder
                | _ -> NetworkRole.Field
              Tokens =
                if settings.ContainsKey "tokens" then
                    Some
                        { Count = whole "tokens"
                          Bound = System.Double.Parse(settings["bound"], CultureInfo.InvariantCulture)
                          Source = if settings["source"] = "mask" then TokenSource.Mask else TokenSource.Uniform }
                else
                    None }

    /// The network of a name, one of the caller's own or one of the library's, and of the settings that it wrote (`Network.Settings`): the architecture
    /// without its parameters. None where there is no network of that name. Raises FormatException or KeyNotFoundException where a setting is missing or of
    /// the wrong kind.
    let ofSettings
        (own: Part<NetworkRequest -> Network> list)
        (name: string)
        (settings: Map<string, string>)
        : Network option =
        match own |> List.tryFind (fun part -> part.Name = name), name with
        | Some part, _ -> Some(asked part settings)
        | None, "mlp" -> Some(mlp (Mlp.ofSettings settings))
        | None, "residual-mlp" -> Some(ResidualMlp.network (Mlp.ofSettings settings))
        | None, "unet" -> Some(unet (Unet.ofSettings settings))
        | None, "adm" -> Some(Adm.network (Adm.ofSettings settings))
        | None, "dit" -> Some(Dit.network (Dit.ofSettings settings))
        | None, "sequence" -> Some(Sequence.network (Sequence.ofSettings settings))
        | None, "unet-1d" -> Some(Unet1d.network (Unet1d.ofSettings settings))
        | None, Autoencoder.Name -> Some(Autoencoder.network (Autoencoder.ofSettings settings))
        | None, "classifier" -> Some(NoisyClassifier.network (NoisyClassifier.ofSettings settings))
        | None, "tarflow" -> Some(TarFlow.network (TarFlow.ofSettings settings))
        | None, _ -> ExactFlow.ofSettings name settings |> Option.map ExactFlow.network
        |> Option.map (if Map.containsKey "blind" settings then blind else id)
        |> Option.map (
            match Map.tryFind "told" settings with
            | Some sizes ->
                told [ for size in sizes.Split ',' -> System.Int32.Parse(size, CultureInfo.InvariantCulture) ]
            | None -> id
        )
        |> Option.map (EnergyNetwork.headOf settings |> Option.map EnergyNetwork.ofNetwork |> Option.defaultValue id)
        |> Option.map (if Map.containsKey "uncertainty" settings then withUncertainty else id)

    /// In a recipe, the name for the network of the model that a training learns from or begins at, whatever its architecture.
    [<Literal>]
    let learnedFrom = "teacher"

    /// A network's architecture for another use of it: told so many times, saying so many numbers, of so many classes.
    let alike (own: Part<NetworkRequest -> Network> list) (network: Network) (ask: NetworkRequest) : Network =
        let settings =
            Map.ofList network.Settings
            |> Map.remove "uncertainty"
            |> Map.remove "potential"
            |> Map.add "times" (string ask.Times)
            |> Map.add "outputs" (string ask.Outputs)
            |> Map.add "classes" (string (Option.defaultValue 0 ask.Classes))

        match ofSettings own network.Name settings with
        | Some network -> network
        | None ->
            refuse
                Setting.Network
                learnedFrom
                $"the network of that model is of the kind {network.Name}, which is not known here"

    let private shapes (ask: NetworkRequest) = System.String.Join("; ", ask.Sample)

    /// Refuses a network that is asked to be what it is not.
    let private requireRole (name: string) (role: NetworkRole) (ask: NetworkRequest) =
        match ask.Role, role with
        | NetworkRole.Bijection, NetworkRole.Field ->
            refuseWith
                Setting.Network
                name
                $"a loss of exact densities trains a network that has an inverse, and this one has none"
                $"""take {Setting.Network.Is "spline"}, realnvp or maf"""
        | NetworkRole.Autoencoder, (NetworkRole.Field | NetworkRole.Bijection) ->
            refuseWith
                Setting.Network
                name
                $"this loss trains an encoder and a decoder, and this network is neither"
                $"take {Setting.Network.Is Autoencoder.Name}"
        | (NetworkRole.Field | NetworkRole.Bijection), NetworkRole.Autoencoder ->
            refuseWith
                Setting.Network
                name
                $"it is an encoder and a decoder, which know nothing of times between the data and the noise"
                $"""train it by {Setting.Loss.Is "vae"}, or take {Setting.Network.Is "mlp"}"""
        | NetworkRole.Field, NetworkRole.Bijection ->
            refuseWith
                Setting.Network
                name
                $"it is an exact flow, which knows the data and the noise and no time between them"
                $"""train it by {Setting.Loss.Is "mle"}, or take {Setting.Network.Is "mlp"}"""
        | _ -> ()

    let private ofVectors (name: string) (make: Mlp -> Network) (ask: NetworkRequest) : Network =
        requireRole name NetworkRole.Field ask

        match ask.Sample with
        | [ dimension ] ->
            make
                { Mlp.standard dimension with
                    Width = ask.Width
                    Depth = ask.Depth
                    Times = ask.Times
                    Outputs = ask.Outputs
                    Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                name
                $"""the samples of {ask.Data} are [{shapes ask}], not vectors: use {Setting.Network.Is "unet"}"""

    let private convolutional (ask: NetworkRequest) : Network =
        requireRole "unet" NetworkRole.Field ask

        match ask.Sample with
        | [ channels; _; _ ] ->
            let standard = Unet.standard channels

            if ask.Width % standard.Groups <> 0 then
                refuse
                    Setting.Width
                    ask.Width
                    $"the unet normalizes channels in groups of {standard.Groups}: give a multiple"

            unet
                { standard with
                    Width = ask.Width
                    Blocks = ask.Depth
                    Times = ask.Times
                    Outputs = ask.Outputs
                    Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                "unet"
                $"""the samples of {ask.Data} are [{shapes ask}], not images: use {Setting.Network.Is "mlp"}"""

    let private transformer (numbers: float list) (ask: NetworkRequest) : Network =
        requireRole "dit" NetworkRole.Field ask
        let patch, depth, heads, width = int numbers[0], int numbers[1], int numbers[2], int numbers[3]

        match ask.Sample with
        | [ channels; _; _ ] ->
            if width % heads <> 0 then
                refuse Setting.Width width $"it is shared between {heads} heads of attention: give a multiple"

            Dit.network
                { Channels = channels
                  Patch = patch
                  Width = width
                  Depth = depth
                  Heads = heads
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                "dit"
                $"""the samples of {ask.Data} are [{shapes ask}], not images: use {Setting.Network.Is "mlp"}"""

    let private sequence (numbers: float list) (ask: NetworkRequest) : Network =
        requireRole "sequence" NetworkRole.Field ask
        let depth, heads, width = int numbers[0], int numbers[1], int numbers[2]

        match ask.Sample with
        | [ length ] ->
            if width % heads <> 0 then
                refuse Setting.Width width $"it is shared between {heads} heads of attention: give a multiple"

            Sequence.network
                { Length = length
                  Tokens = ask.Tokens
                  Width = width
                  Depth = depth
                  Heads = heads
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                "sequence"
                $"""the samples of {ask.Data} are [{shapes ask}], not vectors: use {Setting.Network.Is "dit"}"""

    /// The digits of a number, from the highest: 1222 says 1, 2, 2, 2.
    let private digits (number: float) : int list =
        [ for digit in (int number).ToString CultureInfo.InvariantCulture -> int digit - int '0' ]

    /// The numbers of the U-Net of DDPM and ADM, with the defaults of one of its sizes.
    let private admNumbers width depth multipliers attention head dropout : Parameter list =
        [ Parameter.make "width" width (Allowed.Whole 1) "channels at the finest scale"
          Parameter.make "depth" depth (Allowed.Whole 1) "residual blocks at each scale"
          Parameter.make
              "multipliers"
              multipliers
              (Allowed.Whole 1)
              "channels at each scale in multiples of the width, a digit each from fine to coarse: 1222 is four scales"
          Parameter.make
              "attention"
              attention
              (Allowed.Whole 0)
              "the scales with attention, a digit each and 1 the finest: 23 is the second and the third; 0 for the middle alone"
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

    /// Groups of at least 4 channels where there are as many, at most 32 of them.
    let private groupsOf (width: int) : int =
        seq { min 32 (max 1 (width / 4)) .. -1 .. 1 } |> Seq.find (fun groups -> width % groups = 0)

    let private alongSeries (numbers: float list) (ask: NetworkRequest) : Network =
        let name = "unet-1d"
        requireRole name NetworkRole.Field ask
        let width, depth, multipliers, attention = int numbers[0], int numbers[1], digits numbers[2], numbers[3]
        let heads, kernel = int numbers[4], int numbers[5]
        let attends = if attention = 0.0 then [] else digits attention

        let channels =
            match ask.Sample with
            | [ _ ] -> None
            | [ channels; _ ] -> Some channels
            | _ ->
                refuse
                    Setting.Network
                    name
                    $"""the samples of {ask.Data} are [{shapes ask}], not series: use {Setting.Network.Is "unet"}"""

        if ask.Tokens.IsSome then
            refuseWith
                Setting.Network
                name
                $"its convolutions mix numbers, and these coordinates are tokens, of which none is between two others"
                $"""take {Setting.Network.Is "sequence"}"""

        if List.contains 0 multipliers then
            refuse Setting.Network name $"its multipliers are {numbers[2]}: a digit from 1 to 9 for each scale"

        for scale in attends do
            if scale < 1 || scale > multipliers.Length then
                refuse
                    Setting.Network
                    name
                    $"its attention is {attention}: the scales are 1 to {multipliers.Length}, 1 the finest"

        if kernel % 2 = 0 then
            refuse Setting.Network name $"its kernel is {kernel}: an odd number, as many places before as behind"

        if width % heads <> 0 then
            refuse Setting.Width width $"it is shared between {heads} heads of attention: give a multiple"

        Unet1d.network
            { Channels = channels
              Width = width
              Multipliers = multipliers
              Blocks = depth
              Kernel = kernel
              Attention = attends
              Heads = heads
              Groups = groupsOf width
              Times = ask.Times
              Outputs = ask.Outputs
              Classes = ask.Classes }

    let private adm (name: string) (numbers: float list) (ask: NetworkRequest) : Network =
        requireRole name NetworkRole.Field ask
        let width, depth, multipliers, attention = int numbers[0], int numbers[1], digits numbers[2], numbers[3]
        let head, isScaled, isInBlocks, dropout = int numbers[4], numbers[5] > 0.5, numbers[6] > 0.5, numbers[7]
        let attends = if attention = 0.0 then [] else digits attention

        match ask.Sample with
        | [ channels; _; _ ] ->
            if List.contains 0 multipliers then
                refuse Setting.Network name $"its multipliers are {numbers[2]}: a digit from 1 to 9 for each scale"

            for scale in attends do
                if scale < 1 || scale > multipliers.Length then
                    refuse
                        Setting.Network
                        name
                        $"its attention is {attention}: the scales are 1 to {multipliers.Length}, 1 the finest"

            if width % 2 <> 0 then
                refuse Setting.Width width $"its time is told in as many sines as cosines: give an even number"

            if head > 0 && List.exists (fun m -> width * m % head <> 0) multipliers then
                refuse Setting.Width width $"its channels divide into heads of {head}: give a multiple"

            let resampling = if isInBlocks then Resampling.Block else Resampling.Convolution

            Adm.network
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
                  MiddleGroups = Some(groupsOf width)
                  HeadChannels = if head = 0 then None else Some head
                  Groups = groupsOf width
                  Epsilon = 1e-5
                  ScaleShift = isScaled
                  Padding = 1
                  Dropout = dropout
                  Features = StepFeatures.Sinusoids(true, 0.0, false)
                  Clock = StepClock.Steps 1000
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                name
                $"""the samples of {ask.Data} are [{shapes ask}], not images: use {Setting.Network.Is "mlp"}"""

    let private exact (name: string) (kind: ExactFlowKind) (layers: float) (ask: NetworkRequest) : Network =
        requireRole name NetworkRole.Bijection ask

        match ask.Sample with
        | [ dimension ] ->
            ExactFlow.network
                { Kind = kind
                  Dimension = dimension
                  Layers = int layers
                  Width = ask.Width
                  Depth = ask.Depth
                  Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                name
                $"""the samples of {ask.Data} are [{shapes ask}], not vectors: use {Setting.Network.Is "tarflow"}"""

    let private tarflow (numbers: float list) (ask: NetworkRequest) : Network =
        requireRole "tarflow" NetworkRole.Bijection ask
        let blocks, patch, heads = int numbers[0], int numbers[1], int numbers[2]

        match ask.Sample with
        | [ _; height; width ] ->
            if height % patch <> 0 || width % patch <> 0 then
                refuse
                    Setting.Network
                    "tarflow"
                    $"the images of {ask.Data} are {height} × {width}: their sides must be multiples of the patch, {patch}"

            if ask.Width % heads <> 0 then
                refuse Setting.Width ask.Width $"it is shared between {heads} heads of attention: give a multiple"

            TarFlow.network
                { Shape = ask.Sample
                  Patch = patch
                  Blocks = blocks
                  Width = ask.Width
                  Depth = ask.Depth
                  Heads = heads
                  Classes = ask.Classes }
        | _ ->
            refuse
                Setting.Network
                "tarflow"
                $"""the samples of {ask.Data} are [{shapes ask}], not images: use {Setting.Network.Is "spline"}"""

    let private autoencoder (latent: float) (ask: NetworkRequest) : Network =
        requireRole Autoencoder.Name NetworkRole.Autoencoder ask

        if ask.Classes.IsSome then
            refuseWith
                Setting.Labels
                "on"
                $"an autoencoder is told no class: what learns its latents may be"
                $"""say {Setting.Labels.Is "off"}"""

        Autoencoder.network { Sample = ask.Sample; Latent = int latent; Width = ask.Width; Depth = ask.Depth }

    let private layersOf count =
        Parameter.make "layers" count (Allowed.Whole 1) "layers, each with a perceptron of its own"

    let private make name equation reference (network: NetworkRequest -> Network) : Part<NetworkRequest -> Network> =
        { Name = name
          Summary = ""
          Equation = equation
          Reference = reference
          Parameters = []
          Make = fun _ -> network }

    /// An exact flow of so many layers unless it is said, whose further numbers say what a layer is.
    let private exactly
        name
        equation
        reference
        (layers: float)
        (numbers: Parameter list)
        (kind: float list -> ExactFlowKind)
        =
        { make name equation reference (exact name (kind (numbers |> List.map _.Default)) layers) with
            Parameters = layersOf layers :: numbers
            Make = fun n -> exact name (kind n.Tail) n.Head }

    let private adms name equation (numbers: Parameter list) =
        { make
              name
              $"{equation}: residual blocks, heads of attention at chosen scales, for images of any size"
              "Ho, Jain, Abbeel 2020, appendix B; Nichol, Dhariwal 2021; Dhariwal, Nichol 2021, section 3"
              (adm name (numbers |> List.map _.Default)) with
            Parameters = numbers
            Make = adm name }

    let parts: Part<NetworkRequest -> Network> list =
        [ { make
                "mlp"
                "a multilayer perceptron with Fourier features of time, for vectors"
                "Rahimi, Recht 2007; Tancik et al. 2020"
                (ofVectors "mlp" mlp) with
              Parameters =
                  [ Parameter.make
                        "features"
                        0.0
                        (Allowed.Whole 0)
                        "Fourier features of x, pairs of a sine and a cosine"
                    Parameter.make
                        "scale"
                        1.0
                        Allowed.Positive
                        "deviation of their frequencies, in turns per unit of the network's x"
                    Parameter.make
                        "fade"
                        0.0
                        (Allowed.AtLeast 0.0)
                        "how fast they fade with the time t, as under noise of deviation fade·t" ]
              Make =
                  fun numbers ->
                      let input =
                          if numbers[0] > 0.0 then
                              Some { Count = int numbers[0]; Scale = numbers[1]; Fade = numbers[2] }
                          else
                              None

                      ofVectors "mlp" (fun settings -> mlp { settings with Input = input }) }
          make
              "residual-mlp"
              "residual blocks of a multilayer perceptron, for vectors"
              "He et al. 2016, Identity mappings in deep residual networks"
              (ofVectors "residual-mlp" ResidualMlp.network)
          make
              "unet"
              "residual blocks and self-attention at several scales, for images, with classes or without"
              "Ronneberger et al. 2015; Ho, Jain, Abbeel 2020; Dhariwal, Nichol 2021"
              convolutional
          adms
              "adm-small"
              "the U-Net of DDPM and ADM, of a size for images of 28 × 28 to 32 × 32 on a processor"
              (admNumbers 64.0 1.0 122.0 23.0 32.0 0.0)
          adms
              "adm-base"
              "the U-Net of DDPM and ADM, of the size that DDPM has for CIFAR-10"
              (admNumbers 128.0 2.0 1222.0 2.0 64.0 0.1)
          { make
                "dit"
                "a transformer over patches that the time and the class modulate (adaLN-zero), for images of any size"
                "Peebles, Xie 2023, Scalable diffusion models with transformers"
                (transformer [ 4.0; 6.0; 4.0; 128.0 ]) with
              Parameters =
                  [ Parameter.make "patch" 4.0 (Allowed.Whole 1) "pixels of a patch's side"
                    Parameter.make "depth" 6.0 (Allowed.Whole 1) "blocks of attention and perceptron"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make "width" 128.0 (Allowed.Whole 1) "width of a token" ]
              Make = transformer }
          { make
                "sequence"
                "a transformer over the coordinates of a vector in their order, tokens or numbers, that the time and the class modulate (adaLN-zero): for text and series"
                "Peebles, Xie 2023, Scalable diffusion models with transformers; Lou, Meng, Ermon 2024, appendix C"
                (sequence [ 4.0; 4.0; 128.0 ]) with
              Parameters =
                  [ Parameter.make "depth" 4.0 (Allowed.Whole 1) "blocks of attention and perceptron"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make "width" 128.0 (Allowed.Whole 1) "width of a coordinate's vector" ]
              Make = sequence }
          { make
                "unet-1d"
                "residual blocks along a series at several scales, with attention at chosen ones, for series of any length"
                "Ronneberger et al. 2015; Ho, Jain, Abbeel 2020; Janner et al. 2022, appendix C"
                (alongSeries [ 32.0; 1.0; 122.0; 3.0; 4.0; 3.0 ]) with
              Parameters =
                  [ Parameter.make "width" 32.0 (Allowed.Whole 1) "channels at the finest scale"
                    Parameter.make "depth" 1.0 (Allowed.Whole 1) "residual blocks at each scale"
                    Parameter.make
                        "multipliers"
                        122.0
                        (Allowed.Whole 1)
                        "channels at each scale in multiples of the width, a digit each from fine to coarse"
                    Parameter.make
                        "attention"
                        3.0
                        (Allowed.Whole 0)
                        "the scales with attention, a digit each and 1 the finest; 0 for the middle alone"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make
                        "kernel"
                        3.0
                        (Allowed.Whole 1)
                        "places that a convolution sees at once, an odd number" ]
              Make = alongSeries }
          exactly
              "spline"
              "an exact flow of rational-quadratic spline couplings, ActNorm and P L U maps between them, for vectors"
              "Durkan et al. 2019, Neural spline flows; Kingma, Dhariwal 2018, Glow"
              6.0
              [ Parameter.make "bins" 8.0 (Allowed.Within(2.0, 500.0)) "bins of each spline"
                Parameter.make "bound" 4.0 Allowed.Positive "B, beyond which a spline is the identity" ]
              (fun n -> ExactFlowKind.Spline(int n[0], n[1]))
          exactly
              "realnvp"
              "an exact flow of affine couplings, ActNorm and P L U maps between them, for vectors"
              "Dinh et al. 2017, Real NVP; Kingma, Dhariwal 2018, Glow"
              8.0
              []
              (fun _ -> ExactFlowKind.RealNvp)
          exactly
              "maf"
              "an exact flow of masked autoregressive layers: one pass to the noise, as many as coordinates to the data; for vectors"
              "Papamakarios et al. 2017, Masked autoregressive flow; Germain et al. 2015, MADE"
              8.0
              []
              (fun _ -> ExactFlowKind.Maf)
          { make
                "tarflow"
                "an exact flow of causal transformers over patches: one pass to the noise, as many as patches to the data; for images"
                "Zhai et al. 2025, Normalizing flows are capable generative models"
                (tarflow [ 4.0; 4.0; 4.0 ]) with
              Parameters =
                  [ Parameter.make "blocks" 4.0 (Allowed.Whole 1) "blocks, between which the patches' order turns round"
                    Parameter.make "patch" 4.0 (Allowed.Whole 1) "pixels of a patch's side"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention" ]
              Make = tarflow }
          { make
                Autoencoder.Name
                "an encoder and a decoder, perceptrons of vectors and convolutions of images, which are reduced to a quarter of their sides: for latents"
                "Kingma, Welling 2014, Auto-encoding variational Bayes; Rombach et al. 2022, High-resolution image synthesis with latent diffusion models"
                (autoencoder 4.0) with
              Parameters =
                  [ Parameter.make
                        "latent"
                        4.0
                        (Allowed.Whole 1)
                        "numbers of a latent: all of a vector's, those at each place of an image's" ]
              Make = fun numbers -> autoencoder numbers[0] } ]
