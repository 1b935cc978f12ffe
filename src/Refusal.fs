namespace Fokker

open System
open System.Globalization

/// What a request can say: the name of each field of the requests to train, to draw, to find densities, to encode and to evaluate. A front end has its own word
/// for each (an option, a property), and one function that gives it.
[<RequireQualifiedAccess>]
type Setting =
    // A model, and what it is computed in.
    | Model
    | Oracle
    | Device
    | Dtype
    // Training.
    | Name
    /// Where runs are kept.
    | Folder
    | Data
    | Loss
    | Path
    | Prediction
    | Weight
    | Times
    | Coupling
    | Source
    | Preconditioning
    | Teacher
    /// The run that a training begins at.
    | Begin
    | Network
    | Width
    | Depth
    | Labels
    | LabelDropout
    | Seed
    | Steps
    | Minutes
    | Batch
    | LearningRate
    | WarmUp
    | WeightDecay
    | Clip
    | Ema
    | Resume
    | Overwrite
    // How a flow or a reverse process is followed.
    | Solver
    | Grid
    | Class
    | RelativeTolerance
    | AbsoluteTolerance
    // Samples.
    | Count
    | From
    | To
    | Denoise
    | Start
    | Noise
    | SourceSamples
    | Replay
    | Brownian
    | Parallel
    | ParallelTolerance
    // Guidance.
    | Guidance
    | GuidanceInterval
    | GuidanceRescale
    | Weaker
    | Classifier
    | Composition
    // Densities.
    | Method
    | Trace
    | Probes
    | Memory
    | Time
    // Evaluations.
    | HeldOut
    | Draws
    | SamplesPerDraw
    | Against

    /// The setting with a value: how a message mentions another choice.
    member setting.Is(value: obj) : Choice = { Setting = setting; Value = value }

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

    /// Refuses what a setting was given, with the reason: raises RefusedException.
    let refuse (setting: Setting) (given: obj) (expected: FormattableString) : 'T =
        raise (
            RefusedException
                { Setting = setting
                  Given = Convert.ToString(given, CultureInfo.InvariantCulture) |> string
                  Expected = expected
                  Remedy = None }
        )

    /// The same with a remedy.
    let refuseWith (setting: Setting) (given: obj) (expected: FormattableString) (remedy: FormattableString) : 'T =
        raise (
            RefusedException
                { Setting = setting
                  Given = Convert.ToString(given, CultureInfo.InvariantCulture) |> string
                  Expected = expected
                  Remedy = Some remedy }
        )

    /// The answer to a request, or why there is none: what a front end asks for that wants a value and no exception.
    let answer (work: unit -> 'T) : Result<'T, Refusal> =
        try
            Ok(work ())
        with :? RefusedException as refused ->
            Error refused.Refusal
