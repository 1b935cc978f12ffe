namespace Fokker.Experiments

open System
open System.IO
open Fokker

/// A small classifier of a data set's own classes, and what it looks at: the space in which samples of images are compared
/// with data, as Heusel et al. 2017 do it with Inception on natural images. It is trained once and kept.
[<NoComparison; NoEquality>]
type Features =
    {
        Network: Network
        Parameters: Tensor[]
        /// Data's units to what the classifier sees.
        Inside: Tensor -> Tensor
    }

module Features =

    /// Features of an image.
    [<Literal>]
    let private Width = 64

    let private steps = 600L
    let private batch = 128

    let private specs (channels: int) (height: int) (width: int) (classes: int) : Spec[] =
        let layer name outputs inputs kernel =
            let fan = inputs * List.fold (*) 1 kernel

            let uniform part shape : Spec =
                { Name = $"{name}.{part}"
                  Shape = shape
                  Initializer = Initializer.Uniform(1.0 / sqrt (float fan)) }

            [ uniform "weight" (outputs :: inputs :: kernel); uniform "bias" [ outputs ] ]

        let half n = (n + 1) / 2
        let area = half (half height) * half (half width)

        [| yield! layer "conv1" 16 channels [ 3; 3 ]
           yield! layer "conv2" 32 16 [ 3; 3 ]
           yield! layer "features" Width (32 * area) []
           yield! layer "classes" classes Width [] |]

    /// Two convolutions of stride 2 and a layer of features: x [B; C; H; W] to [B; 64].
    let private look (p: Tensor[]) (x: Tensor) : Tensor =
        let h = Tensor.silu (Nn.conv2d 2 1 x p[0] p[1])
        let h = Tensor.silu (Nn.conv2d 2 1 h p[2] p[3])
        Tensor.silu (Nn.linear (Tensor.flattenRows h) p[4] p[5])

    let private network (data: Dataset) : Network =
        let channels, height, width =
            match data.Shape with
            | [ c; h; w ] -> c, h, w
            | shape -> invalidArg (nameof data) $"features are of images, not of samples of shape %A{shape}"

        { Name = "classifier"
          Settings = [ "data", data.Name; "classes", string data.Classes.Length; "steps", string steps ]
          Specs = specs channels height width data.Classes.Length
          // The training loop asks for a field; this one does not look at the time.
          Apply = fun p _ _ x -> Nn.linear (look p x) p[6] p[7] }

    let private settings: TrainSettings =
        { Trainer.standard with
            Optimizer = { Optimizer.adamW with Rate = Schedule.WarmUp(50L, Schedule.Cosine(2e-3, 0.0, steps)) } }

    /// −log p(label | x).
    let private loss: Loss =
        fun context _ batch ->
            match batch.Label with
            | Some labels -> Nn.crossEntropy (context.Network None (Tensor.scalar Kind.Float64 0.0) batch.Data) labels
            | None -> invalidArg (nameof batch) "a classifier is trained on labels"

    let private train (terminal: Terminal) (data: Dataset) (network: Network) : TrainState =
        let key = Rng.ofSeed 0L |> Rng.named "features"

        Progress.run terminal "features" (float steps) (fun report ->
            Trainer.run
                settings
                network
                loss
                (Dataset.batches Kind.Float32 batch (Rng.named "batches" key) data)
                (Budget.Steps steps)
                0.0
                { Stepped = fun _ info _ -> report (float info.Step) $"classifier, loss {info.Loss:F3}"
                  Stop = fun () -> false }
                (Trainer.init Kind.Float32 key network)
            |> fst)

    /// Where classifiers are kept between runs: the user's cache. A file's name says nothing of what is in the file, so only
    /// data sets that have a name of their own are kept.
    let private cache (data: Dataset) : string option =
        if data.Name.Contains ':' then
            None
        else
            let root =
                match Environment.GetEnvironmentVariable "XDG_CACHE_HOME" with
                | null
                | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache")
                | folder -> folder

            Some(Path.Combine(root, "fokker", $"features-{data.Name}.safetensors"))

    let private fromCache (network: Network) (file: string) : TrainState option =
        try
            if File.Exists file then Some(fst (Checkpoint.read file network)) else None
        with :? UserError ->
            // Of another version: it is made anew.
            None

    let private keep (network: Network) (state: TrainState) (file: string) =
        try
            match Path.GetDirectoryName file with
            | null -> ()
            | folder -> Directory.CreateDirectory folder |> ignore

            Checkpoint.write file network [] state
        with
        | :? UserError
        | :? IOException
        // A cache that cannot be written costs the next run half a minute, and nothing else.
        | :? UnauthorizedAccessException -> ()

    /// The features of a data set of images with classes; none for any other.
    let tryFor (terminal: Terminal) (data: Dataset) : Features option =
        if not data.IsImage || data.Classes.Length < 2 then
            None
        else
            let network = network data
            let file = cache data

            let state =
                match Option.bind (fromCache network) file with
                | Some state -> state
                | None ->
                    let state = train terminal data network
                    Option.iter (keep network state) file
                    state

            Some { Network = network; Parameters = state.Average; Inside = Units.toNetwork data.Units }

    /// Features of samples [n; C; H; W] in the data's units, float64 [n; 64].
    let apply (features: Features) (x: Tensor) : Tensor =
        Scope.run (fun () ->
            let parts =
                Tensor.split 500 0 x
                |> Array.map (fun part ->
                    Scope.run (fun () -> look features.Parameters ((features.Inside part).To Dtype.Float32)))

            (Tensor.cat 0 parts).To Dtype.Float64)

    /// The Fréchet distance between Gaussians fitted to the features.
    let frechet (features: Features) : Measure =
        { Name = "frechet"
          Equation = "‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of a classifier's 64 features"
          Source = "Heusel et al. 2017, TTUR, eq. 6; the classifier is trained on the data's own classes"
          Between = fun _ x y -> Wasserstein.frechet (apply features x) (apply features y) }
