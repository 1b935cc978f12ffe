namespace Fokker.Tool

open System
open Argu
open Fokker

type TrainArgument =
    | [<MainCommand; Unique>] DataSet of dataset: string
    | [<Unique>] Name of name: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Steps of count: int64
    | [<Unique>] Minutes of minutes: float
    | [<Unique>] Seed of number: int64
    | [<Unique>] Batch of size: int
    | [<Unique>] Accumulate of parts: int
    | [<Unique>] Recompute of on_or_off: string
    | [<Unique>] Lr of rate: float
    | [<Unique>] Final_Rate of rate: float
    | [<Unique>] Warmup of steps: int64
    | [<Unique>] Weight_Decay of rate: float
    | [<Unique>] Clip of norm: float
    | [<Unique>] Ema of decay: float
    | [<Unique>] Power_Averages of on_or_off: string
    | [<Unique>] Path of path: string
    | [<Unique>] Loss of loss: string
    | [<Unique>] Prediction of prediction: string
    | [<Unique>] Weight of weight: string
    | [<Unique>] Times of times: string
    | [<Unique>] Coupling of coupling: string
    | [<Unique>] Source of dataset: string
    | [<Unique>] Preconditioning of kind: string
    | [<Unique>] Teacher of run: string
    | [<Unique>] Latent of run: string
    | [<Unique>] From of run: string
    | [<Unique>] Reward of file: string
    | [<Unique>] Tilt of factor: float
    | [<Unique>] Adversarial of weight: float
    | [<Unique>] Network of network: string
    | [<Unique>] Width of units: int
    | [<Unique>] Depth of layers: int
    | [<Unique>] Blind
    | [<Unique>] Labels of on_or_off: string
    | [<Unique>] Label_Dropout of probability: float
    | [<Unique>] Device of device: string
    | [<Unique>] Dtype of dtype: string
    | [<Unique>] Skip_Corrupt
    | [<Unique>] Flip
    | [<Unique>] Crop of side: int
    | [<Unique>] Condition of what: string
    | [<Unique>] Draws of pairs: int
    | Sweep of settings: string
    | [<Unique>] Resume
    | [<Unique>] Overwrite
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | DataSet _ -> "what to learn: moons, fashion-mnist, csv:points.csv, … (fokker list datasets)"
            | Name _ -> "the run's name; without one, the data set's with a number where that is taken"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Steps _ -> "optimization steps (about a minute's worth)"
            | Minutes _ ->
                "minutes of training instead of steps: the speed is measured first, and the schedule fitted to it"
            | Seed _ -> "seed of everything random (0)"
            | Batch _ -> "samples in a step"
            | Accumulate _ ->
                "compute the gradient of a batch in so many parts, one after the other: the same step in the memory of one part (1)"
            | Recompute _ ->
                "compute the inside of the network's blocks again in the backward pass instead of keeping it, which takes less memory and a third more time: on or off (off)"
            | Lr _ -> "highest learning rate; it falls to --final-rate along half a cosine"
            | Final_Rate _ ->
                "learning rate of the last step (0); that of --lr keeps the rate constant after the warm-up"
            | Warmup _ -> "steps over which the learning rate rises"
            | Weight_Decay _ -> "AdamW's decoupled weight decay (0)"
            | Clip _ -> "length that gradients are cut to; 0 cuts none (1)"
            | Ema _ -> "decay of the parameters' moving average, which samples are drawn with"
            | Power_Averages _ ->
                "keep two power-function averages as well, from which fokker average makes one of any length afterwards: on or off (off)"
            | Path _ -> "how data become noise (condot; fokker list paths)"
            | Loss _ -> "what is minimized (cfm; fokker list losses)"
            | Prediction _ -> "what the network's output means (the loss's own; fokker list predictions)"
            | Weight _ -> "how much each time counts (the loss's own; fokker list weights)"
            | Times _ -> "the law of training times (uniform; fokker list times)"
            | Coupling _ -> "how data are paired with the source (the loss's own; fokker list couplings)"
            | Source _ -> "the data set at the noisy end (noise, unless you name one)"
            | Preconditioning _ -> "the scalings around the network (the loss's own; fokker list preconditionings)"
            | Teacher _ -> "the run that a distillation (cd, lmd, progressive, …) learns from"
            | Latent _ -> "the run of an autoencoder (--loss vae) whose latents are learned in the place of the data"
            | From _ ->
                "the run whose parameters training begins at, for any loss: what fits is taken, and new inputs enter with zero weight"
            | Reward _ ->
                "what --loss reward tunes the model of --from towards: a file of JSON, {\"linear\": [1, 0]} for instance, or that itself"
            | Tilt _ -> "how strongly the reward counts: λ of e^{λ r} (1)"
            | Adversarial _ ->
                "how much a critic counts beside a loss of few steps (a map, progressive, dmd): it tells where a step leads from the data there, and is trained in turns (0: none)"
            | Network _ -> "mlp for vectors, unet for images (fokker list networks)"
            | Width _ -> "units in a hidden layer, or channels at the U-Net's finest scale"
            | Depth _ -> "hidden layers, or residual blocks at each scale"
            | Blind -> "withhold the time from the network: it has to see from x how much noise there is"
            | Labels _ -> "whether the network takes the class as an input: on or off (on where there are classes)"
            | Label_Dropout _ ->
                "how often a label is left out in training, so that samples can be guided: from 0 to below 1 (0.1 for images with classes, 0 elsewhere)"
            | Device _ -> "cpu, cuda or cuda:N (cpu)"
            | Dtype _ ->
                "float32, float64, or bfloat16: the network's layers, over parameters in float32, by the managed engine where the processor has instructions for it (float32; bfloat16 for images from ten minutes on, where it is to be had)"
            | Skip_Corrupt ->
                "leave out the files of a folder that are no whole pictures (folder:DIR,skip=corrupt): they are refused otherwise"
            | Flip -> "mirror half of the images left to right, anew in each pass over them (DATA,flip=on)"
            | Crop _ ->
                "show the network a window of so many pixels at a random place of each image, anew in each pass (DATA,crop=N)"
            | Sweep _ ->
                "train once for each value of an option, lr=1e-3,2e-3, or of several options' values for each combination, and compare them on one page"
            | Condition _ ->
                "what the network is told of each sample: columns:A,B of a table, which are then not learned, or of a folder's metadata.csv, low-resolution:N, inpainting, or class+inpainting of images (DATA,given=…)"
            | Draws _ -> "pairs of sets that each measure is a mean over (20; 10 for images)"
            | Resume -> "continue the run of this name from its checkpoint"
            | Overwrite -> "replace the run of this name"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// What the options of a training say.
module TrainOptions =

    let private onOrOff (setting: Setting) (word: string) : bool =
        snd (Names.choose setting "choice" "choices" fst [ "on", true; "off", false ] word)

    let private choose (request: TrainingRequest) (argument: TrainArgument) : TrainingRequest =
        match argument with
        | Steps steps -> { request with Steps = Some steps }
        | Seed seed -> { request with Seed = Some seed }
        | Batch size -> { request with Batch = Some size }
        | Accumulate parts -> { request with Accumulate = Some parts }
        | Recompute word -> { request with Recompute = Some(onOrOff (Setting(nameof request.Recompute)) word) }
        | Lr rate -> { request with LearningRate = Some rate }
        | Final_Rate rate -> { request with FinalRate = Some rate }
        | Warmup steps -> { request with WarmUp = Some steps }
        | Weight_Decay rate -> { request with WeightDecay = Some rate }
        | Clip norm -> { request with Clip = Some norm }
        | Ema decay -> { request with Ema = Some decay }
        | Power_Averages word ->
            { request with PowerAverages = Some(onOrOff (Setting(nameof request.PowerAverages)) word) }
        | Path name -> { request with Path = Some name }
        | Loss name -> { request with Loss = Some name }
        | Prediction name -> { request with Prediction = Some name }
        | Weight name -> { request with Weight = Some name }
        | Times name -> { request with Times = Some name }
        | Coupling name -> { request with Coupling = Some name }
        | Source name -> { request with Source = Some name }
        | Preconditioning name -> { request with Preconditioning = Some name }
        | Teacher run -> { request with Teacher = Some run }
        | Latent run -> { request with Latent = Some run }
        | From run -> { request with From = Some run }
        | Reward file -> { request with Reward = Some(RewardFile.text file) }
        | Tilt factor -> { request with Tilt = Some factor }
        | Adversarial weight -> { request with Adversarial = Some weight }
        | Network name -> { request with Network = Some name }
        | Width units -> { request with Width = Some units }
        | Depth layers -> { request with Depth = Some layers }
        | Blind -> { request with Blind = Some true }
        | Labels word -> { request with Labels = Some(onOrOff Setting.Labels word) }
        | Label_Dropout probability -> { request with LabelDropout = Some probability }
        | Device name -> { request with Device = Some name }
        | Dtype name -> { request with Dtype = Some name }
        | DataSet _
        | Name _
        | Runs _
        | Minutes _
        | Skip_Corrupt
        | Flip
        | Crop _
        | Condition _
        | Draws _
        | Sweep _
        | Resume
        | Overwrite
        | Quiet
        | Json -> request

    /// What the options ask a training to be.
    let request (arguments: TrainArgument list) : TrainingRequest = List.fold choose TrainingRequest.standard arguments

    /// The data set as it is named; none where a run goes on by its own name.
    let dataSet (arguments: TrainArgument list) : string option =
        arguments
        |> List.tryPick (function
            | DataSet name -> Some name
            | _ -> None)

    let name (arguments: TrainArgument list) : string option =
        arguments
        |> List.tryPick (function
            | Name name -> Some name
            | _ -> None)

    /// The folder that runs are kept in.
    let root (arguments: TrainArgument list) : string =
        arguments
        |> List.tryPick (function
            | Runs folder -> Some folder
            | _ -> None)
        |> Option.defaultValue Runs.standardRoot

    /// Raises UserError where they are given with steps, or are no positive number.
    let minutes (arguments: TrainArgument list) =
        let minutes =
            arguments
            |> List.tryPick (function
                | Minutes minutes -> Some minutes
                | _ -> None)
        let steps =
            arguments
            |> List.exists (function
                | Steps _ -> true
                | _ -> false)

        match minutes with
        | Some _ when steps -> raise (UserError "--minutes and --steps both say how long to train: give one of them")
        | Some minutes when not (minutes > 0.0 && minutes <= 100_000.0) ->
            raise (UserError $"--minutes {minutes}: expected a positive number of minutes")
        | minutes -> minutes

    /// Whether a training may turn out to be one in bfloat16, as far as can be told before its data are read: it is asked for, or the budget of images is a long one
    /// and nothing is said (`Recipe.withFastLayers`).
    let mayComputeInBFloat16 (dataset: string) (minutes: float option) (arguments: TrainArgument list) : bool =
        let request = request arguments

        match request.Dtype, request.Device with
        | Some dtype, _ -> dtype = Dtype.name Dtype.BFloat16
        | None, (None | Some "cpu") -> Datasets.areImages dataset && minutes |> Option.exists Recipe.isLong
        | None, Some _ -> false

    /// Raises UserError where there are fewer than two.
    let draws (arguments: TrainArgument list) : int option =
        let draws =
            arguments
            |> List.tryPick (function
                | Draws n -> Some n
                | _ -> None)

        match draws with
        | Some n when n < 2 -> raise (UserError $"--draws {n}: expected at least 2: a standard error needs two")
        | draws -> draws

    /// The data set with what the options say of it.
    let nameOf (arguments: TrainArgument list) (name: string) : string =
        let name = if List.contains Skip_Corrupt arguments then Datasets.skippingCorrupt name else name

        let crop =
            arguments
            |> List.tryPick (function
                | Crop side -> Some side
                | _ -> None)

        let condition =
            arguments
            |> List.tryPick (function
                | Condition what -> Some what
                | _ -> None)

        Datasets.seenBy { Flip = List.contains Flip arguments; Crop = crop } name
        |> (condition |> Option.map Datasets.telling |> Option.defaultValue id)
