namespace Fokker

open System

/// How an MLP is told the time.
[<RequireQualifiedAccess>]
type TimeFeatures =
    /// As one more coordinate.
    | Plain
    /// As `count` sines and cosines with frequencies of the half-normal law of this scale (`Embedding.gaussianFrequencies`).
    | Fourier of count: int * scale: float

/// Sines and cosines of the input beside it, sin 2πfᵢ·x and cos 2πfᵢ·x with `Count` vectors f from N(0, Scale² I): a network without them learns the fine
/// features of a law last, and its sharp edges hardly at all (Tancik et al. 2020, Fourier features, eq. 5; Rahimi, Recht 2007). At time t they are multiplied by
/// exp(−½ (2π Fade ‖f‖ t)²), which is what noise of deviation Fade·t leaves of their mean (Barron et al. 2021, Mip-NeRF, eq. 13): a law that noise has smoothed has
/// no fine features, and what would follow them there follows the samples.
type InputFeatures = { Count: int; Scale: float; Fade: float }

/// With which of the times of a map its features of x fade.
[<RequireQualifiedAccess>]
type Fading =
    /// With the last alone, to which the map leads: as models of two times were written at first. Such a network, begun at a velocity's, is told features of a noisy x that
    /// the velocity never saw.
    | Last
    /// With the first, as those of a velocity do, and beside them once more with the last: a map to the data is as sharp as their law wherever it begins.
    | FirstAndLast

/// A multilayer perceptron on [B; Dimension].
type Mlp =
    {
        Dimension: int
        /// Units in each hidden layer.
        Width: int
        /// Hidden layers.
        Depth: int
        Time: TimeFeatures
        /// What it is told of x besides x.
        Input: InputFeatures option
        /// Of a network of several times, with which of them `Input` fades.
        Fading: Fading
        /// How many times it is told: 1, or 2 for a map from one time to another.
        Times: int
        /// How many numbers the network gives for each coordinate: y is [B; Outputs · Dimension], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Mlp =

    /// Three hidden layers of 256 and 32 Fourier features of time.
    let standard (dimension: int) : Mlp =
        { Dimension = dimension
          Width = 256
          Depth = 3
          Time = TimeFeatures.Fourier(16, 1.0)
          Input = None
          Fading = Fading.FirstAndLast
          Times = 1
          Outputs = 1
          Classes = None }

    let private positive name value =
        if value < 1 then
            invalidArg name $"mlp: {name} = {value}: at least 1"

    /// Whether features of x are told twice.
    let private fadesTwice (s: Mlp) =
        match s.Input, s.Fading with
        | Some input, Fading.FirstAndLast -> s.Times > 1 && input.Fade <> 0.0
        | _ -> false

    let private settings (s: Mlp) =
        [ "dimension", string s.Dimension
          "width", string s.Width
          "depth", string s.Depth
          match s.Time with
          | TimeFeatures.Plain -> "time", "plain"
          | TimeFeatures.Fourier(count, scale) -> "time", FormattableString.Invariant $"fourier {count} {scale}"
          match s.Input with
          | Some input -> "input", FormattableString.Invariant $"fourier {input.Count} {input.Scale} {input.Fade}"
          | None -> ()
          yield! NetworkSettings.ofTimes s.Times
          if fadesTwice s then
              "fading", "first-and-last"
          "outputs", string s.Outputs
          "classes", NetworkSettings.ofOptional s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Mlp =
        let number = NetworkSettings.number settings
        let times = NetworkSettings.times settings

        { Dimension = number "dimension"
          Width = number "width"
          Depth = number "depth"
          Time =
            match settings["time"].Split ' ' with
            | [| "fourier"; count; scale |] -> TimeFeatures.Fourier(int count, float scale)
            | _ -> TimeFeatures.Plain
          Input =
            match settings |> Map.tryFind "input" |> Option.map _.Split(' ') with
            | Some [| "fourier"; count; scale; fade |] ->
                Some { Count = int count; Scale = float scale; Fade = float fade }
            // As models were written before features faded.
            | Some [| "fourier"; count; scale |] -> Some { Count = int count; Scale = float scale; Fade = 0.0 }
            | _ -> None
          Fading = if times > 1 && not (settings.ContainsKey "fading") then Fading.Last else Fading.FirstAndLast
          Times = times
          Outputs = number "outputs"
          Classes = NetworkSettings.optional settings "classes" }

    /// 2π f, [Dimension; Count] float64. The frequencies are those of one key for all networks: nothing need be stored of them.
    let private frequencies (dimension: int) (input: InputFeatures) : float[] =
        Scope.run (fun () ->
            Rng.normal Kind.Float64 [ dimension; input.Count ] (Rng.named "input frequencies" (Rng.ofSeed 0L))
            |> Tensor.toFloats)
        |> Array.map (fun f -> 2.0 * Math.PI * input.Scale * f)

    /// −½ (2π Fade ‖f‖)² of each frequency, [1; Count]: times t² the logarithm of what is left of it.
    let private fading (dimension: int) (input: InputFeatures) (turns: float[]) : float[] =
        Array.init input.Count (fun k ->
            let squared = Seq.sum (seq { for d in 0 .. dimension - 1 -> turns[d * input.Count + k] ** 2.0 })
            -0.5 * input.Fade * input.Fade * squared)

    /// What is told of x, before the times and after them: how wide each is, and (t, x) ↦ (x, sin 2πf·x, cos 2πf·x) and, where features fade with the first and
    /// with the last time, the sines and cosines again. What stands before the times is what a network of one time is told, so that a map can begin at it.
    /// A time that a preconditioning has made negative is one without noise.
    let private inputFeatures (s: Mlp) : struct (int * int * (Tensor -> Tensor -> struct (Tensor * Tensor list))) =
        match s.Input with
        | None -> struct (s.Dimension, 0, (fun _ x -> struct (x, [])))
        | Some input ->
            positive "Input.Count" input.Count

            if not (input.Scale > 0.0 && Double.IsFinite input.Scale) then
                invalidArg "Input.Scale" $"mlp: Input.Scale = {input.Scale}: a positive number"

            if not (input.Fade >= 0.0 && Double.IsFinite input.Fade) then
                invalidArg "Input.Fade" $"mlp: Input.Fade = {input.Fade}: a number of at least 0"

            if int64 s.Dimension * int64 input.Count > (1L <<< 26) then
                invalidArg "Input.Count" $"mlp: {input.Count} features of {s.Dimension} coordinates: too many"

            let turns = frequencies s.Dimension input
            let fading = fading s.Dimension input turns
            let width = 2 * input.Count

            /// What is left of each at time k of the sample's.
            let left (k: int) (t: Tensor) : Tensor =
                let time = Tensor.narrow 1 k 1 (Tensor.reshape [ -1; s.Times ] t)
                let noisy = Tensor.clamp 0.0 infinity (time.To Dtype.Float64)
                let exponent = Tensor.square noisy * (Tensor.ofArray [ 1; input.Count ] fading).To noisy.Kind
                // What is left of the quickest would be denormal numbers in float32, with which processors multiply a hundred times more slowly.
                Tensor.exp (Tensor.clamp -16.0 0.0 exponent)

            struct (s.Dimension + width,
                    (if fadesTwice s then width else 0),
                    fun t x ->
                        let turns = (Tensor.ofArray [ s.Dimension; input.Count ] turns).To x.Kind
                        let angle = Linalg.matmul x turns
                        let sine, cosine = Tensor.sin angle, Tensor.cos angle

                        let faded (k: int) =
                            let left = (left k t).To x.Kind
                            [ left * sine; left * cosine ]

                        if input.Fade = 0.0 then struct (Tensor.cat 1 [ x; sine; cosine ], [])
                        elif fadesTwice s then struct (Tensor.cat 1 (x :: faded 0), faded (s.Times - 1))
                        else struct (Tensor.cat 1 (x :: faded (s.Times - 1)), []))

    /// h₁ = silu(W₁ (φ(x, t), φ(t), φ'(x, t)) + b₁ + e_label), hₖ = silu(Wₖ hₖ₋₁ + bₖ), y = W h_depth + b, with W = 0 and b = 0 before training.
    /// Raises ArgumentException where a size is not positive, and in use where the labels, times or shapes do not fit.
    let network (s: Mlp) : Network =
        positive "Dimension" s.Dimension
        positive "Width" s.Width
        positive "Depth" s.Depth
        positive "Times" s.Times
        positive "Outputs" s.Outputs
        Option.iter (positive "Classes") s.Classes
        let b = Blueprint()

        let timeWidth, features =
            match s.Time with
            | TimeFeatures.Plain -> s.Times, Tensor.reshape [ -1; s.Times ]
            | TimeFeatures.Fourier(count, scale) ->
                s.Times * 2 * count, Embedding.fourierOf s.Times (Embedding.gaussianFrequencies scale count)

        let struct (before, after, input) = inputFeatures s
        let first = Layer.linearOf (b.Inside "hidden1") [ before; timeWidth; after ] s.Width

        let hidden = [| for k in 2 .. s.Depth -> Layer.linear (b.Inside("hidden" + string k)) s.Width s.Width |]

        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)
        let output = Layer.linearFromZero (b.Inside "output") s.Width (s.Outputs * s.Dimension)
        let specs = b.Specs

        let apply (p: Tensor[]) =
            Network.check "mlp" specs p

            fun (condition: Condition) ->
                Network.checkCondition "mlp" s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput "mlp" [ s.Dimension ] s.Times condition t x
                    let struct (before, after) = input t x

                    let after =
                        match after with
                        | [] -> []
                        | waves -> [ Tensor.cat 1 waves ]

                    let mutable h = first p (before :: (features t).To x.Kind :: after)

                    match labels with
                    | Some embed -> h <- h + embed p condition
                    | None -> ()

                    h <- Tensor.silu h

                    for layer in hidden do
                        h <- Tensor.silu (layer p h)

                    output p h

        { Name = "mlp"
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    /// The network of a request for vectors, of settings to which `make` may add.
    let ofVectors (name: string) (make: Mlp -> Network) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole name NetworkRole.Field ask

        match ask.Sample with
        | [ dimension ] ->
            make
                { standard dimension with
                    Width = ask.Width
                    Depth = ask.Depth
                    Times = ask.Times
                    Outputs = ask.Outputs
                    Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples name "vectors" "unet" ask

    let private withFeatures (numbers: float list) : NetworkRequest -> Network =
        let input =
            if numbers[0] > 0.0 then
                Some { Count = int numbers[0]; Scale = numbers[1]; Fade = numbers[2] }
            else
                None

        ofVectors "mlp" (fun settings -> network { settings with Input = input })

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "mlp"
          Parts =
            [ NetworkEntry.partOf
                  "mlp"
                  "a multilayer perceptron with Fourier features of time, for vectors"
                  "Rahimi, Recht 2007; Tancik et al. 2020"
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
                  withFeatures ]
          OfSettings = ofSettings >> network }
