/// What C# asks for, in words that it has: no value, null and delegates in the place of options and functions. The façade is made of these, and of nothing
/// else of the library's; here is only translation.
namespace Fokker.Bridge

open System
open System.Collections.Generic
open System.Diagnostics
open Fokker
open Fokker.Pictures

[<AutoOpen>]
module private Translation =

    let orElse (other: 'T) (value: Nullable<'T>) : 'T = if value.HasValue then value.Value else other
    let toOption (value: Nullable<'T>) : 'T option = if value.HasValue then Some value.Value else None
    let nameOr (other: string) (name: string | null) : string = Option.ofObj name |> Option.defaultValue other

/// What a training is asked to be; no value means what suits the data.
type internal TrainingRequest() =
    member val Loss: string | null = null with get, set
    member val Path: string | null = null with get, set
    member val Prediction: string | null = null with get, set
    member val Weight: string | null = null with get, set
    member val Times: string | null = null with get, set
    member val Coupling: string | null = null with get, set
    member val Source: string | null = null with get, set
    member val Preconditioning: string | null = null with get, set
    member val Teacher: string | null = null with get, set
    member val Network: string | null = null with get, set
    member val Width = Nullable<int>() with get, set
    member val Depth = Nullable<int>() with get, set
    member val Labels = Nullable<bool>() with get, set
    member val LabelDropout = Nullable<float>() with get, set
    member val Seed = 0L with get, set
    member val Steps = Nullable<int64>() with get, set
    member val Batch = Nullable<int>() with get, set
    member val LearningRate = Nullable<float>() with get, set
    member val WarmUp = Nullable<int64>() with get, set
    member val WeightDecay = Nullable<float>() with get, set
    member val Clip = Nullable<float>() with get, set
    member val Ema = Nullable<float>() with get, set
    member val Device = "cpu" with get, set
    member val Dtype = Dtype.Float32 with get, set

/// How samples are asked for; no value means what suits the model.
type internal SamplingRequest() =
    member val Sampler: Sampler | null = null with get, set
    member val Grid: Grid | null = null with get, set
    member val Steps = Nullable<int>() with get, set
    member val Batch = Nullable<int>() with get, set
    member val Label = Nullable<int>() with get, set
    member val Relative = Nullable<float>() with get, set
    member val Absolute = Nullable<float>() with get, set
    member val From = Nullable<float>() with get, set
    member val To = Nullable<float>() with get, set
    member val Brownian = false with get, set
    member val Start: Tensor | null = null with get, set
    member val Noise: Tensor | null = null with get, set
    member val Replay: Tensor | null = null with get, set
    member val Window = Nullable<int>() with get, set
    member val WindowTolerance = 0.1 with get, set
    member val Guidance = Nullable<float>() with get, set
    member val GuidanceLow = Nullable<float>() with get, set
    member val GuidanceHigh = Nullable<float>() with get, set
    member val GuidanceRescale = Nullable<float>() with get, set
    /// The folder of a classifier's run, or `exact`.
    member val Classifier: string | null = null with get, set
    /// CLASS:WEIGHT,… of a composition.
    member val Composition: string | null = null with get, set

/// Log-densities and what they cost.
type internal FoundDensities =
    {
        Nats: float[]
        /// Of the divergence's probes, each sample's; empty where there are none.
        ProbeErrors: float[]
        /// Of the network, each sample's; empty for a closed form.
        Evaluations: int[]
        BitsPerDimension: float
        Mean: float
        StandardError: float
    }

/// A subject under guidance, and what is to be freed once it has served.
type internal GuidedSubject(subject: Subject, state: TrainState option) =
    member _.Subject = subject

    member _.Dispose() = Option.iter Scope.free state

    interface IDisposable with
        member guided.Dispose() = guided.Dispose()

/// A data set that was read for one request, and is freed after it.
type internal OpenedData(data: Dataset) =
    member _.Data = data

    interface IDisposable with
        member _.Dispose() = Scope.free data

/// Everything that the façade does.
[<AbstractClass; Sealed>]
type internal Work =

    // ---- data

    static member DataSet(name: string) : Dataset = Datasets.load name

    /// Samples and labels (or null) of memory as a data set, under a name of its own.
    static member DataSet(name: string, x: Tensor, labels: int64[] | null) : Dataset =
        Scope.run (fun () ->
            let labels =
                match labels with
                | null -> None
                | labels -> Some(Dataset.labels name x.Shape[0] (Tensor.ofArray [ labels.Length ] labels))

            Dataset.ofSamples (Runs.memory + name) "samples in memory" name x labels)

    static member Shape(data: Dataset) : int[] = Array.ofList data.Shape
    static member Classes(data: Dataset) : string[] = Array.ofList data.Classes

    // ---- training

    /// The recipe of a request for these data.
    static member Recipe(request: TrainingRequest, data: Dataset) : Recipe =
        let standard = Recipe.standardFor data
        let standard =
            Option.ofObj request.Loss |> Option.fold (fun recipe loss -> Recipe.withLoss loss recipe) standard
        let labels = orElse standard.Labels request.Labels

        { standard with
            Path = nameOr standard.Path request.Path
            Prediction = nameOr standard.Prediction request.Prediction
            Weight = nameOr standard.Weight request.Weight
            Times = nameOr standard.Times request.Times
            Coupling = nameOr standard.Coupling request.Coupling
            Source = nameOr standard.Source request.Source
            Preconditioning = nameOr standard.Preconditioning request.Preconditioning
            Teacher = nameOr standard.Teacher request.Teacher
            Network = nameOr standard.Network request.Network
            Width = orElse standard.Width request.Width
            Depth = orElse standard.Depth request.Depth
            Labels = labels
            LabelDropout = orElse (if labels then standard.LabelDropout else 0.0) request.LabelDropout
            Seed = request.Seed
            Steps = orElse standard.Steps request.Steps
            Batch = orElse standard.Batch request.Batch
            LearningRate = orElse standard.LearningRate request.LearningRate
            WarmUp = orElse standard.WarmUp request.WarmUp
            WeightDecay = orElse standard.WeightDecay request.WeightDecay
            Clip = orElse standard.Clip request.Clip
            Ema = orElse standard.Ema request.Ema
            Device = request.Device
            Dtype = Dtype.name request.Dtype }

    static member Folder(path: string) : RunFolder = Runs.at path

    /// Whether a folder holds a run.
    static member IsRun(folder: RunFolder) : bool = Runs.isThere folder

    /// The job of a new run, whose folder and `run.json` are made.
    static member Start(folder: RunFolder, paths: GaussianPath[], request: TrainingRequest, data: Dataset) : Job =
        let job = Runs.jobWith (List.ofArray paths) (Work.Recipe(request, data)) data
        Run.create folder.Path (("data", Runs.describe data) :: Recipe.settings job.Recipe)
        job

    /// The job of a run that goes on, on its own data set (null) or one that was in memory.
    static member Resume(folder: RunFolder, paths: GaussianPath[], data: Dataset | null) : Job =
        let recipe = Runs.recipe folder
        let own = Runs.data folder recipe

        let data =
            match data with
            | null -> own
            | given when given.Shape <> own.Shape ->
                raise (
                    UserError
                        $"{folder.Name}: it was trained on samples {own.Shape}; the data given are of samples {given.Shape}"
                )
            | given -> { given with Name = own.Name }

        Runs.jobWith (List.ofArray paths) recipe data

    /// Trains until the job's steps are made or somebody asks to stop; `stepped` hears of each step and of the seconds so far.
    static member Train(folder: RunFolder, job: Job, stepped: Action<StepInfo, float>, stop: Func<bool>) : RunResult =
        Run.train folder.Path (Recipe.plan job) (fun info seconds -> stepped.Invoke(info, seconds)) stop.Invoke

    static member IsFinished(result: RunResult) : bool = result.Ending.IsFinished

    /// The line that says why a training diverged; null where it did not.
    static member Divergence(result: RunResult) : string | null =
        match result.Ending with
        | Ending.Diverged divergence -> divergence.Message
        | _ -> null

    static member IsClassifier(job: Job) : bool = job.IsClassifier
    static member Steps(job: Job) : int64 = job.Recipe.Steps
    static member Parameters(job: Job) : int64 = Network.size job.Network

    // ---- models

    static member Trained(folder: RunFolder, job: Job, state: TrainState) : Subject =
        Subject.trained folder job state.Average

    /// A run of a folder; its state is the caller's to free.
    static member Load
        (folder: RunFolder, paths: GaussianPath[], device: string | null, dtype: Nullable<Dtype>)
        : struct (Job * TrainState) =
        if not (Runs.isThere folder) then
            raise (UserError $"{folder.Path}: there is no run in this folder")

        let job, state = Runs.loadWith (List.ofArray paths) folder (Option.ofObj device) (toOption dtype)
        struct (job, state)

    static member Free(state: TrainState) : unit = Scope.free state

    static member Mixture(weights: float[], means: float[][], stds: float[][], classes: int[] | null) : Mixture =
        Scope.run (fun () ->
            let table (rows: float[][]) = Tensor.ofArray [ rows.Length; rows[0].Length ] (Array.concat rows)

            Mixture.ofStds weights (table means) (table stds)
            |> match classes with
               | null -> id
               | classes -> Mixture.labelled classes)

    static member MixtureFile(file: string) : Mixture = Mixture.read file

    static member Exact(name: string, mixture: Mixture, path: GaussianPath, prediction: Prediction, dtype: Dtype) =
        Subject.ofMixture name name path prediction { Dtype = dtype; Device = Device.Cpu } mixture

    /// A field (x, t) ↦ prediction, told the time as a number. Samples with times of their own are told apart.
    static member OfField
        (
            name: string,
            shape: int[],
            path: GaussianPath,
            prediction: Prediction,
            dtype: Dtype,
            field: Func<Tensor, float, Tensor>
        ) =
        let checkedField (x: Tensor) (t: float) =
            let y = field.Invoke(x, t)

            if y.Shape <> x.Shape then
                raise (
                    UserError
                        $"{name}: the field gave {y.Describe()} for {x.Describe()}: a prediction has the shape of the samples"
                )

            y

        let field: Field =
            fun t x ->
                if t.Count = 1L then
                    checkedField x (t.ToFloat())
                else
                    let times = Tensor.toFloats t

                    if Array.forall ((=) times[0]) times then
                        checkedField x times[0]
                    else
                        Tensor.cat 0 [ for i in 0 .. times.Length - 1 -> checkedField (Tensor.narrow 0 i 1 x) times[i] ]

        Subject.ofField name (List.ofArray shape) path prediction { Dtype = dtype; Device = Device.Cpu } field

    static member PathOfFunctions
        (
            name: string,
            alpha: Func<float, float>,
            alphaDerivative: Func<float, float>,
            sigma: Func<float, float>,
            sigmaDerivative: Func<float, float>
        ) : GaussianPath =
        Path.ofCurves
            name
            $"x_t = α(t)·x₀ + σ(t)·ε, {name}"
            ""
            (Curve.ofFunctions "alpha" alpha.Invoke alphaDerivative.Invoke)
            (Curve.ofFunctions "sigma" sigma.Invoke sigmaDerivative.Invoke)

    // ---- sampling

    /// The classifier that a request asks for and the state that is to be freed after it; nulls where it asks for none.
    static member private Judge
        (subject: Subject, request: SamplingRequest)
        : struct (Judge option * TrainState option) =
        match request.Classifier with
        | null -> struct (None, None)
        | name when name = Judge.exactly -> struct (Some(Judge.exact subject), None)
        | folder ->
            let run = Runs.at folder

            if not (Runs.isThere run) then
                raise (UserError $"--classifier {folder}: there is no run in this folder")

            let device = string subject.Kind.Device
            let job, state = Runs.loadWith [ subject.Path ] run (Some device) (Some subject.Kind.Dtype)
            struct (Some(Judge.trained run job state.Average), Some state)

    /// The subject under the guidance that is asked for; a weaker one (or null) takes the place of no class.
    static member Guided(subject: Subject, request: SamplingRequest, weaker: Subject | null) : GuidedSubject =
        let interval =
            match toOption request.GuidanceLow, toOption request.GuidanceHigh with
            | None, None -> None
            | low, high -> Some(defaultArg low 0.0, defaultArg high infinity)

        let choice: GuidanceChoice =
            { Scale = toOption request.Guidance
              Interval = interval
              Rescale = toOption request.GuidanceRescale
              Weaker = Option.ofObj weaker |> Option.map _.Name }

        let struct (judge, state) = Work.Judge(subject, request)

        try
            let guided =
                match judge, request.Composition with
                | Some judge, null -> Guiding.byClassifier judge choice subject
                | Some judge, composition ->
                    raise (
                        UserError
                            $"--compose {composition}: it is another way to guide than --classifier {judge.Name}: leave one of them out"
                    )
                | None, null ->
                    let weaker _ =
                        match weaker with
                        | null -> invalidOp "a weaker model is asked for where one is given"
                        | weaker -> weaker

                    Guiding.apply weaker choice subject
                | None, composition -> Guiding.composed (nonNull composition) choice subject

            new GuidedSubject(guided, state)
        with _ ->
            Option.iter Scope.free state
            reraise ()

    static member Drawing(subject: Subject, request: SamplingRequest) : Drawing =
        let standard = Samples.standardFor subject
        let control =
            Following.control
                subject.Kind
                { Relative = toOption request.Relative; Absolute = toOption request.Absolute }

        let sampler =
            match request.Sampler, control with
            | null, Adaptive _ -> Lookup.sampler Tableau.dormandPrince.Name
            | null, Fixed -> if request.Window.HasValue then Samplers.ddim else standard.Sampler
            | sampler, _ -> nonNull sampler

        let optional (x: Tensor | null) = Option.ofObj x

        let drawing =
            { standard with
                Sampler = sampler
                Grid =
                    match request.Grid with
                    | null -> sampler.Grid
                    | grid -> grid
                Steps = orElse standard.Steps request.Steps
                Batch = orElse standard.Batch request.Batch
                Label = toOption request.Label |> Option.map (string >> Subject.label subject)
                Start = optional request.Start
                Unit = optional request.Noise
                Draws =
                    match request.Replay with
                    | null -> if request.Brownian then Draws.Brownian else Draws.Fresh
                    | draws -> Draws.Replayed draws
                Control = control
                Parallel =
                    toOption request.Window
                    |> Option.map (fun window -> { Window = window; Tolerance = request.WindowTolerance }) }

        match control with
        | Adaptive _ ->
            for option, isGiven in [ "--steps", request.Steps.HasValue; "--grid", not (isNull request.Grid) ] do
                if isGiven then
                    raise (
                        UserError $"{option}: with --rtol the steps are chosen by their error: leave one of the two out"
                    )

            Following.tableau "adaptive sampling" subject drawing |> ignore
        | Fixed -> ()

        for option, isGiven in [ "--replay", not (isNull request.Replay); "--brownian", request.Brownian ] do
            if isGiven && not sampler.IsStochastic then
                raise (
                    UserError
                        $"{option}: {sampler.Name} draws nothing on its way: leave it out, or take a stochastic solver"
                )

        match toOption request.From, toOption request.To with
        | None, None -> drawing
        | from, until -> { drawing with Span = Some(Samples.spanBetween subject drawing from until) }

    /// The subject with a look, before each call of its network, at whether somebody wants it to end.
    static member Watched(subject: Subject, look: Action) : Subject =
        { subject with
            Learned =
                subject.Learned
                |> Learned.map (fun network condition ->
                    let field = network condition

                    fun t x ->
                        look.Invoke()
                        field t x) }

    static member private SampleKey(seed: int64) = Rng.ofSeed seed |> Rng.named "sample"

    /// n samples [n; …] float64 on the CPU in the data's units; the same as the command line's of that seed.
    static member Draw(subject: Subject, drawing: Drawing, seed: int64, n: int) : Tensor =
        Samples.draw subject drawing (Work.SampleKey seed) n (fun _ _ -> ())

    /// The states of n samples as they are reached.
    static member States(subject: Subject, drawing: Drawing, seed: int64, n: int) : IEnumerable<State> =
        Samples.states subject drawing (Work.SampleKey seed) n
        |> Seq.map (function
            | Ok state -> state
            | Error failure -> raise (UserError $"sampling failed at {failure}"))

    /// A state in the data's units, float64 on the CPU.
    static member Outside(subject: Subject, x: Tensor) : Tensor = Samples.outside subject x

    static member Denoised(state: State) : Tensor | null = Option.toObj state.Denoised

    /// The classes of n samples of a drawing; null where there are none.
    static member Labels(subject: Subject, drawing: Drawing, n: int) : int[] | null =
        Samples.labels subject drawing 0 n |> Option.toObj

    // ---- evaluation

    /// Whether a model has data of its own to be held against: a field has none, and a run on data of memory leaves them behind.
    static member BringsData(subject: Subject) : bool =
        match subject.Origin, subject.Data.Content with
        | Supplied _, _ -> false
        | Trained _, Law _ -> not (subject.Data.Name.StartsWith Runs.memory)
        | _ -> true

    static member private Report(report: Action<Stage, float>) : Stage -> Ticker =
        fun stage share _ -> report.Invoke(stage, share)

    /// Samples of the model against the data given (its own where they are null); what is not said is as suits them.
    static member Evaluate
        (
            subject: Subject,
            drawing: Drawing,
            data: Dataset | null,
            draws: Nullable<int>,
            size: Nullable<int>,
            seed: int64,
            report: Action<Stage, float>
        ) : Evaluations =
        let data = Option.ofObj data |> Option.defaultValue subject.Data
        let protocol = Evaluations.protocol data (toOption draws) (toOption size)
        Evaluations.find protocol data subject drawing seed (Work.Report report)

    /// Samples of anyone's against what data hold out.
    static member Distances
        (data: Dataset, draws: Nullable<int>, size: Nullable<int>, seed: int64, x: Tensor, report: Action<Stage, float>)
        : Evaluations =
        let protocol = Evaluations.protocol data (toOption draws) (toOption size)
        Evaluations.ofSamples protocol data seed (Work.Report report) x

    /// Samples as data that are held out.
    static member Reference(x: Tensor) : Dataset = Evaluations.reference "the reference" x

    /// The method that samples are made by; null where the model jumps by steps of its own.
    static member Sampler(subject: Subject, drawing: Drawing) : Sampler | null =
        match subject.Learned with
        | Jumping _ -> null
        | Denoising _
        | Transport _ -> drawing.Sampler

    /// The steps that samples are made in; none where they are chosen by their error.
    static member Steps(drawing: Drawing) : Nullable<int> =
        match drawing.Control with
        | Fixed -> Nullable drawing.Steps
        | Adaptive _ -> Nullable()

    // ---- densities and latents

    static member private Labels(labels: int[] | null) = Option.ofObj labels

    /// log p of samples x [n; …] float64 in the data's units. Whole numbers of pixels are dequantized, as the command line does.
    static member LogDensity
        (
            subject: Subject,
            drawing: Drawing,
            trace: string | null,
            probes: Nullable<int>,
            closedForm: bool,
            seed: int64,
            x: Tensor,
            labels: int[] | null
        ) : FoundDensities =
        let rng = Rng.ofSeed seed |> Rng.named "likelihood"

        let way, time =
            match subject.Origin with
            | Exact(_, mixture) when closedForm -> ClosedForm(Densities.law subject drawing.Label mixture), 0.0
            | _ ->
                let following = Following.make "a likelihood" subject drawing None
                let trace = Densities.trace subject (Option.ofObj trace) (toOption probes)
                Densities.alongFlow following trace drawing.Label, following.Plan.Span.Clean

        let x = if Samples.areBytes subject.Data then Likelihood.dequantized rng x else x
        let tick _ _ = ()
        let found = Densities.find subject way time drawing.Batch rng tick (x, Work.Labels labels)
        let estimate = Measure.overDraws found.Nats.Length (fun k -> found.Nats[k])

        { Nats = found.Nats
          ProbeErrors = found.ProbeErrors
          Evaluations = found.Evaluations
          BitsPerDimension = Likelihood.bitsPerDimension (List.fold (*) 1 subject.Data.Shape) estimate.Mean
          Mean = estimate.Mean
          StandardError = estimate.StandardError }

    /// From samples in the data's units to the standard normal numbers that the flow makes them of.
    static member Encode(subject: Subject, drawing: Drawing, x: Tensor, labels: int[] | null) : Tensor =
        let following = Following.make "an encoding" subject drawing None

        Scope.run (fun () ->
            let inside = Units.toNetwork subject.Data.Units x
            let tick _ _ = ()
            let carried = Following.carryAll following true drawing.Batch tick (Work.Labels labels) inside
            carried.X * (1.0 / Following.noiseScale following))

    /// The inverse of `Encode`.
    static member Decode(subject: Subject, drawing: Drawing, z: Tensor, labels: int[] | null) : Tensor =
        let following = Following.make "a decoding" subject drawing None

        Scope.run (fun () ->
            let tick _ _ = ()
            let noisy = z * Following.noiseScale following
            let carried = Following.carryAll following false drawing.Batch tick (Work.Labels labels) noisy
            Units.toData subject.Data.Units carried.X)

    /// Between latents, on the straight way or on the sphere.
    static member Between(spherical: bool, share: float, a: Tensor, b: Tensor) : Tensor =
        if spherical then Latents.spherical share a b else Latents.linear share a b

    // ---- files: numbers that are in .NET's memory already, without libtorch

    /// A picture of samples in the data's units, row by row: a grid of images [C; H; W], or points.
    static member Png(shape: int[], units: Units, values: float[]) : byte[] =
        let coordinates = Array.fold (*) 1 shape
        let n = values.Length / coordinates

        match shape with
        | [| channels; height; width |] ->
            let shown = min 100 n
            let inside x = Math.Clamp((x - units.Shift[0]) / units.Scale[0], -1.0, 1.0)

            Raster.imageGrid
                10
                { Pixels = Array.init (shown * coordinates) (fun i -> float32 (inside values[i]))
                  Channels = channels
                  Height = height
                  Width = width }
        | _ ->
            let points =
                [| for i in 0 .. min 10_000 n - 1 do
                       float32 values[i * coordinates]
                       if coordinates > 1 then float32 values[i * coordinates + 1] else 0.0f |]

            Raster.scatter
                560
                [ { Title = "samples"
                    Clouds = [ { Label = "samples"; Tone = Tone.Model; Points = points; Classes = [||] } ] } ]

    /// numpy's file of samples: bytes where the data are bytes, float32 elsewhere, or float64 where that is what they were computed in.
    static member Npy(file: string, shape: int[], units: Units, wide: bool, values: float[]) : unit =
        let n = values.Length / Array.fold (*) 1 shape
        let whole = Array.append [| n |] shape

        Scope.run0 (fun () ->
            if shape.Length = 3 && units.Shift = [| 127.5 |] && units.Scale = [| 127.5 |] then
                Npy.write
                    file
                    (Tensor.ofArray whole (values |> Array.map (fun x -> byte (Math.Clamp(Math.Round x, 0.0, 255.0)))))
            elif wide then
                Npy.write file (Tensor.ofArray whole values)
            else
                Npy.write file (Tensor.ofArray whole (Array.map float32 values)))

    /// numpy's file as numbers and their shape.
    static member ReadNpy(file: string) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let x = Npy.read file
            struct (x.Shape, Tensor.toFloats x))

    static member Units(subject: Subject) : Units = subject.Data.Units

    /// A copy of a run's files in another folder, which is made.
    static member Copy(folder: RunFolder, target: string) : unit =
        IO.Directory.CreateDirectory target |> ignore

        for file in [ folder.Record; folder.Checkpoint; Run.metricsFile folder.Path ] do
            if IO.File.Exists file then
                IO.File.Copy(file, IO.Path.Combine(target, nonNull (IO.Path.GetFileName file)), true)
