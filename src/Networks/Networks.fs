namespace Fokker

/// The networks by name.
[<RequireQualifiedAccess>]
module Networks =

    /// A multilayer perceptron: `Networks.mlp { Mlp.standard 2 with Width = 128 }`.
    let mlp (settings: Mlp) : Network = Mlp.network settings

    /// A U-Net: `Networks.unet { Unet.standard 1 with Classes = Some 10 }`.
    let unet (settings: Unet) : Network = Unet.network settings

    /// The network with u(t) beside it, the log-variance of its error at time t: a line of 32 Fourier features of time, 0 before
    /// training (Karras et al. 2024, EDM2, section 2.3).
    let withUncertainty (network: Network) : Network =
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
                    Tensor.flatten (line added ((features t).To added[0].Kind))) }

    /// Part k of a network that says several things of every coordinate.
    let part (k: int) (network: Condition -> Field) : Condition -> Field =
        fun condition ->
            let network = network condition

            fun t x ->
                let width = x.Shape[1]
                Tensor.narrow 1 (k * width) width (network t x)

    /// The network of a name and of the settings that it wrote (`Network.Settings`): the architecture without its parameters. None where there is no
    /// network of that name. Raises FormatException or KeyNotFoundException where a setting is missing or of the wrong kind.
    let ofSettings (name: string) (settings: Map<string, string>) : Network option =
        match name with
        | "mlp" -> Some(mlp (Mlp.ofSettings settings))
        | "unet" -> Some(unet (Unet.ofSettings settings))
        | "classifier" -> Some(NoisyClassifier.network (NoisyClassifier.ofSettings settings))
        | _ -> None
        |> Option.map (if Map.containsKey "uncertainty" settings then withUncertainty else id)
