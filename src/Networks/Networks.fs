namespace Fokker

/// The networks by name.
[<RequireQualifiedAccess>]
module Networks =

    /// A multilayer perceptron: `Networks.mlp { Mlp.standard 2 with Width = 128 }`.
    let mlp (settings: Mlp) : Network = Mlp.network settings

    /// A U-Net: `Networks.unet { Unet.standard 1 with Classes = Some 10 }`.
    let unet (settings: Unet) : Network = Unet.network settings
