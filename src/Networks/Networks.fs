namespace Fokker

open System.Globalization

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

    let private entries: NetworkEntry list =
        [ Mlp.entry
          ResidualMlp.entry
          Unet.entry
          Adm.entry
          Dit.entry
          Sequence.entry
          Unet1d.entry
          yield! ExactFlow.entries
          TarFlow.entry
          Autoencoder.entry
          NoisyClassifier.entry ]

    /// What a training can ask for, in the order in which lists show them.
    let parts: Part<NetworkRequest -> Network> list = entries |> List.collect _.Parts

    /// The network of a name, one of the caller's own or one of the library's, and of the settings that it wrote (`Network.Settings`): the architecture
    /// without its parameters. None where there is no network of that name. Raises FormatException or KeyNotFoundException where a setting is missing or of
    /// the wrong kind.
    let ofSettings
        (own: Part<NetworkRequest -> Network> list)
        (name: string)
        (settings: Map<string, string>)
        : Network option =
        match own |> List.tryFind (fun part -> part.Name = name) with
        | Some part -> Some(asked part settings)
        | None ->
            entries
            |> List.tryFind (fun entry -> entry.Kind = name)
            |> Option.map (fun entry -> entry.OfSettings settings)
        |> Option.map (if Map.containsKey "blind" settings then blind else id)
        |> Option.map (Told.ofSettings settings |> Option.map Told.network |> Option.defaultValue id)
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
