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

[<RequireQualifiedAccess>]
module NetworkRole =

    /// Raises RefusedException where the layers of such a network cannot be computed in bfloat16 on a device: this machine has no instructions or no engine for
    /// it (`Torch.bfloat16`), or three digits are too few.
    let requireBFloat16 (device: Device) (role: NetworkRole) : unit =
        let refused (reason: string) =
            refuseWith Setting.Dtype (Dtype.name Dtype.BFloat16) $"{reason}" $"""take {Setting.Dtype.Is "float32"}"""

        match Torch.bfloat16 device, role with
        | Error reason, _ -> refused reason
        | Ok(), NetworkRole.Bijection ->
            refused "an exact flow and its inverse would each be rounded to three digits, and be no inverses"
        | Ok(), (NetworkRole.Field | NetworkRole.Autoencoder) -> ()

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

/// A network by name: how it is made for a training, and read again.
[<NoComparison; NoEquality>]
type NetworkEntry =
    {
        /// What a model's file calls it (`Network.Name`).
        Kind: string
        /// What a training can ask for, one for each of its sizes; none where none asks for it by name.
        Parts: Part<NetworkRequest -> Network> list
        /// The architecture of the settings that it wrote (`Network.Settings`). Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
        OfSettings: Map<string, string> -> Network
    }

/// What the entries of several networks have in common.
[<RequireQualifiedAccess>]
module NetworkEntry =

    let part name equation reference (network: NetworkRequest -> Network) : Part<NetworkRequest -> Network> =
        { Name = name
          Summary = ""
          Equation = equation
          Reference = reference
          Parameters = []
          Make = fun _ -> network }

    /// A part with numbers, which are its defaults where none are given.
    let partOf name equation reference (numbers: Parameter list) (network: float list -> NetworkRequest -> Network) =
        { part name equation reference (network (numbers |> List.map _.Default)) with
            Parameters = numbers
            Make = network }

    /// Refuses a network that is asked to be what it is not.
    let requireRole (name: string) (role: NetworkRole) (ask: NetworkRequest) =
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
                $"""take {Setting.Network.Is "autoencoder"}"""
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

    /// Refuses samples of a shape that the network does not take; `another` does.
    let refuseSamples (name: string) (taken: string) (another: string) (ask: NetworkRequest) : 'T =
        let shape = System.String.Join("; ", ask.Sample)

        match ask.Sample, ask.Role with
        // Windows of several series know one network.
        | [ _; _ ], NetworkRole.Field ->
            refuse
                Setting.Network
                name
                $"""the samples of {ask.Data} are [{shape}], not {taken}: use {Setting.Network.Is "unet-1d"}"""
        | [ _; _ ], _ ->
            refuse
                Setting.Network
                name
                $"the samples of {ask.Data} are [{shape}], windows of several series, and it takes {taken} alone"
        | _ ->
            refuse
                Setting.Network
                name
                $"the samples of {ask.Data} are [{shape}], not {taken}: use {Setting.Network.Is another}"

    /// Refuses a width that so many heads of attention do not share evenly.
    let requireHeads (width: int) (heads: int) =
        if width % heads <> 0 then
            refuse Setting.Width width $"it is shared between {heads} heads of attention: give a multiple"

    /// The digits of a number, from the highest: 1222 says 1, 2, 2, 2.
    let digits (number: float) : int list =
        [ for digit in (int number).ToString CultureInfo.InvariantCulture -> int digit - int '0' ]

    /// The parameters `multipliers` and `attention` of a network with scales.
    let scaleParameters (multipliers: float) (attention: float) : Parameter list =
        [ Parameter.make
              "multipliers"
              multipliers
              (Allowed.Whole 1)
              "channels at each scale in multiples of the width, a digit each from fine to coarse: 1222 is four scales"
          Parameter.make
              "attention"
              attention
              (Allowed.Whole 0)
              "the scales with attention, a digit each and 1 the finest: 23 is the second and the third; 0 for the middle alone" ]

    /// What these two say: the channels of each scale in multiples of the width, and the scales with attention, 1 the finest. Raises RefusedException where a scale has no channels, or is not there.
    let scales (name: string) (multipliers: float) (attention: float) : int list * int list =
        let channels = digits multipliers
        let attends = if attention = 0.0 then [] else digits attention

        if List.contains 0 channels then
            refuse Setting.Network name $"its multipliers are {multipliers}: a digit from 1 to 9 for each scale"

        for scale in attends do
            if scale < 1 || scale > channels.Length then
                refuse
                    Setting.Network
                    name
                    $"its attention is {attention}: the scales are 1 to {channels.Length}, 1 the finest"

        channels, attends

    /// Groups of at least 4 channels where there are as many, at most 32 of them.
    let groupsOf (width: int) : int =
        seq { min 32 (max 1 (width / 4)) .. -1 .. 1 } |> Seq.find (fun groups -> width % groups = 0)
