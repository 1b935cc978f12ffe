namespace Fokker

open System
open System.Globalization

/// What a request can say: the name of a field of the requests to train, to draw, to find densities, to encode and to evaluate. Those that several files speak of
/// are listed; any other field is said by its name where it is refused, `Setting(nameof request.FinalRate)`. A front end makes its own word of the name.
type Setting =
    | Setting of name: string

    override setting.ToString() =
        let (Setting name) = setting
        name

    /// The setting with a value: how a message mentions another choice.
    member setting.Is(value: obj) : Choice = { Setting = setting; Value = value }

    // A model, and what it is computed in.
    static member Model = Setting "Model"
    static member Oracle = Setting "Oracle"
    static member Device = Setting "Device"
    static member Dtype = Setting "Dtype"
    // Training.
    static member Name = Setting "Name"
    /// Where runs are kept.
    static member Folder = Setting "Folder"
    static member Data = Setting "Data"
    static member Loss = Setting "Loss"
    static member Path = Setting "Path"
    static member Prediction = Setting "Prediction"
    static member Weight = Setting "Weight"
    static member Times = Setting "Times"
    static member Coupling = Setting "Coupling"
    static member Source = Setting "Source"
    static member Preconditioning = Setting "Preconditioning"
    static member Teacher = Setting "Teacher"
    /// The run that a training begins at.
    static member Begin = Setting "Begin"
    /// The run of an autoencoder whose latents are learned.
    static member Latent = Setting "Latent"
    static member Adversarial = Setting "Adversarial"
    static member Network = Setting "Network"
    static member Width = Setting "Width"
    static member Depth = Setting "Depth"
    static member Blind = Setting "Blind"
    static member Labels = Setting "Labels"
    static member LabelDropout = Setting "LabelDropout"
    static member Seed = Setting "Seed"
    static member Steps = Setting "Steps"
    static member Minutes = Setting "Minutes"
    static member Batch = Setting "Batch"
    /// In how many parts the gradient of a batch is computed.
    static member Accumulate = Setting "Accumulate"
    static member LearningRate = Setting "LearningRate"
    static member WarmUp = Setting "WarmUp"
    static member WeightDecay = Setting "WeightDecay"
    static member Clip = Setting "Clip"
    static member Ema = Setting "Ema"
    /// Of an average, as a share of the training's steps.
    static member Length = Setting "Length"
    static member Resume = Setting "Resume"
    static member Overwrite = Setting "Overwrite"
    // Models that come and go.
    /// The side of a sample.
    static member Size = Setting "Size"
    /// Where a model is written.
    static member Target = Setting "Target"
    // How a flow or a reverse process is followed.
    static member Solver = Setting "Solver"
    static member Grid = Setting "Grid"
    static member Class = Setting "Class"
    /// What a network is told of each sample in numbers.
    static member Given = Setting "Given"
    static member RelativeTolerance = Setting "RelativeTolerance"
    static member AbsoluteTolerance = Setting "AbsoluteTolerance"
    // Samples.
    static member Count = Setting "Count"
    static member From = Setting "From"
    static member To = Setting "To"
    static member Denoise = Setting "Denoise"
    static member Start = Setting "Start"
    static member Noise = Setting "Noise"
    static member SourceSamples = Setting "SourceSamples"
    static member Replay = Setting "Replay"
    static member Brownian = Setting "Brownian"
    static member Parallel = Setting "Parallel"
    static member ParallelTolerance = Setting "ParallelTolerance"
    // Guidance.
    static member Guidance = Setting "Guidance"
    static member GuidanceInterval = Setting "GuidanceInterval"
    static member GuidanceRescale = Setting "GuidanceRescale"
    static member Weaker = Setting "Weaker"
    static member Classifier = Setting "Classifier"
    static member Composition = Setting "Composition"
    // Steering.
    static member Observe = Setting "Observe"
    static member Observed = Setting "Observed"
    static member Reward = Setting "Reward"
    static member Tilt = Setting "Tilt"
    static member Steer = Setting "Steer"
    static member Particles = Setting "Particles"
    static member Exact = Setting "Exact"
    static member LookAhead = Setting "LookAhead"
    // Densities.
    static member Method = Setting "Method"
    static member Trace = Setting "Trace"
    static member Probes = Setting "Probes"
    static member Memory = Setting "Memory"
    static member Time = Setting "Time"
    // Evaluations.
    static member HeldOut = Setting "HeldOut"
    static member Draws = Setting "Draws"
    static member SamplesPerDraw = Setting "SamplesPerDraw"
    static member Against = Setting "Against"

/// A setting with a value, in a message.
and [<NoComparison>] Choice = { Setting: Setting; Value: obj }

/// The words of a front end.
[<NoComparison; NoEquality>]
type Wording =
    {
        /// What the front end calls a setting: `--guidance`, `Guidance`.
        Name: Setting -> string
        /// How it says that a setting is to have a value: `--guidance 2`, `Guidance = 2`.
        Choice: Setting -> string -> string
    }

/// Why a request cannot be met, as a value: which setting is refused, what it was given, why, and what to do about it. Its sentences mention other settings
/// as values too (`$"it goes with {Setting.Guidance}"`), so that each front end says them in its own words.
[<NoComparison; NoEquality>]
type Refusal =
    {
        Setting: Setting
        /// What was given, as text; empty where the setting is of no further value, or was left out.
        Given: string
        /// What was expected in its place, or why it cannot be.
        Expected: FormattableString
        /// What may help.
        Remedy: FormattableString option
    }

[<RequireQualifiedAccess>]
module Refusal =

    /// A message without its line ends.
    let oneLine (message: string) =
        String.Join(" ", message.Split([| '\r'; '\n' |], StringSplitOptions.RemoveEmptyEntries)).Trim()

    /// What a refused argument's message says, without the name of the parameter that .NET appends to it.
    let reason (error: ArgumentException) : string =
        match error.Message.IndexOf " (Parameter '" with
        | -1 -> oneLine error.Message
        | at -> oneLine (error.Message.Substring(0, at))

    let private shown (value: obj) =
        match value with
        | :? IFormattable as number -> number.ToString(null, CultureInfo.InvariantCulture)
        | other -> string other

    let private sentence (wording: Wording) (text: FormattableString) : string =
        let word (argument: obj | null) : obj | null =
            match argument with
            | :? Setting as setting -> wording.Name setting
            | :? Choice as choice -> wording.Choice choice.Setting (shown choice.Value)
            | other -> other

        String.Format(CultureInfo.InvariantCulture, text.Format, Array.map word (text.GetArguments()))

    /// One line: what was refused, why, and the remedy.
    let text (wording: Wording) (refusal: Refusal) : string =
        let head =
            if refusal.Given = "" then
                wording.Name refusal.Setting
            else
                wording.Choice refusal.Setting refusal.Given

        let remedy =
            refusal.Remedy
            |> Option.map (fun remedy -> $": {sentence wording remedy}")
            |> Option.defaultValue ""

        $"{head}: {sentence wording refusal.Expected}{remedy}"

    /// The settings by their own names: `Guidance = 2`.
    let inFSharp: Wording = { Name = string; Choice = fun setting value -> $"{setting} = {value}" }

/// A request that cannot be met. Its message names the settings as F# does; a front end renders the refusal anew in its own words.
type RefusedException(refusal: Refusal, inner: exn | null) =
    inherit UserError(Refusal.text Refusal.inFSharp refusal, inner)
    new(refusal) = RefusedException(refusal, null)
    member _.Refusal = refusal

/// Raising refusals.
[<AutoOpen>]
module Refusing =

    let private refused (setting: Setting) (given: obj) expected remedy : exn =
        RefusedException
            { Setting = setting
              Given = Convert.ToString(given, CultureInfo.InvariantCulture) |> string
              Expected = expected
              Remedy = remedy }

    /// Refuses what a setting was given, with the reason: raises RefusedException.
    let refuse (setting: Setting) (given: obj) (expected: FormattableString) : 'T =
        raise (refused setting given expected None)

    /// The same with a remedy.
    let refuseWith (setting: Setting) (given: obj) (expected: FormattableString) (remedy: FormattableString) : 'T =
        raise (refused setting given expected (Some remedy))

    /// The answer to a request, or why there is none: what a front end asks for that wants a value and no exception.
    let answer (work: unit -> 'T) : Result<'T, Refusal> =
        try
            Ok(work ())
        with :? RefusedException as refused ->
            Error refused.Refusal
