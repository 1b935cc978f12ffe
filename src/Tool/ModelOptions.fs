namespace Fokker.Tool

open System
open Argu
open Fokker

/// The options of every command that asks something of a model: which model, and how its flow is followed.
type ModelArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] Oracle of file: string
    | [<Unique>] Path of path: string
    | [<Unique>] Prediction of prediction: string
    | [<Unique>] Solver of sampler: string
    | [<Unique>] Grid of grid: string
    | [<Unique>] Steps of count: int
    | [<Unique>] Eta of eta: float
    | [<Unique>] Churn of churn: float
    | [<Unique>] Snr of ratio: float
    | [<Unique>] Guidance of scale: float
    | [<Unique>] Guidance_Interval of low: float * high: float
    | [<Unique>] Guidance_Rescale of share: float
    | [<Unique>] Autoguidance of run: string
    | [<Unique>] Classifier of run: string
    | [<Unique>] Compose of classes: string
    | [<Unique>] Batch of size: int
    | [<Unique>] Dtype of dtype: string
    | [<Unique>] Device of device: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "a name under runs/, or the path of a run's folder"
            | Oracle _ ->
                "instead of a run: the exact law of a Gaussian mixture in a network's place, {\"weights\": [w, …], \"means\": [[…], …], \"stds\" or \"covariances\": […]}"
            | Path _ -> "the oracle's path (condot; fokker list paths)"
            | Prediction _ -> "what the oracle says in a network's place (velocity; fokker list predictions)"
            | Solver _ -> "the sampler (heun; fokker list samplers)"
            | Grid _ -> "how its steps are spaced (the sampler's own; fokker list grids)"
            | Steps _ ->
                "steps of the sampler, the denoising one at the end included, if there is one: as many evaluations for a method of one a step (25 for points, 10 for images)"
            | Eta _ -> "η of ddim-eta and sde-dpmpp: 0 is the flow, 1 the reverse process (1)"
            | Churn _ -> "the churn of euler-maruyama and stochastic-heun (1), S_churn of edm (40)"
            | Snr _ -> "the signal-to-noise ratio of predictor-corrector's corrections (0.16)"
            | Guidance _ ->
                "how far samples are pushed towards their class: 0 is unconditional, 1 plain, 3 is a good deal (1; docs/guidance.md)"
            | Guidance_Interval _ -> "the noise levels σ/α between which guidance acts (everywhere)"
            | Guidance_Rescale _ ->
                "the share of the guided prediction whose deviation is put back to the plain one's, from 0 to 1 (0)"
            | Autoguidance _ -> "a weaker run that guidance pushes away from, in the place of no class"
            | Classifier _ ->
                "guidance by the gradient of a classifier of noisy samples: a run of --loss classifier, or 'exact' for an oracle"
            | Compose _ ->
                "classes with weights, CLASS:WEIGHT,…: a product of conditions, and negation where a weight is negative (3:1.5,8:-0.5)"
            | Batch _ -> "samples that go through the network at once; what is drawn does not depend on it"
            | Dtype _ ->
                "float32 or float64: what the network computes in, and what a file of results holds (the run's own; float64 for an oracle)"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// What these options come to.
type ModelChoice =
    {
        Run: string option
        Oracle: string option
        Path: string option
        Prediction: string option
        Solver: string option
        Grid: string option
        Steps: int option
        /// The sampler's own number, by its option.
        Parameters: (string * float) list
        Guidance: GuidanceChoice
        Classifier: string option
        Compose: string option
        Batch: int option
        Dtype: string option
        Device: string option
        Root: string
        Quiet: bool
    }

[<RequireQualifiedAccess>]
module ModelChoice =

    let private choose (choice: ModelChoice) (argument: ModelArgument) : ModelChoice =
        match argument with
        | Run name -> { choice with Run = Some name }
        | Oracle file -> { choice with Oracle = Some file }
        | Path name -> { choice with Path = Some name }
        | Prediction name -> { choice with Prediction = Some name }
        | Solver name -> { choice with Solver = Some name }
        | Grid name -> { choice with Grid = Some name }
        | Steps n -> { choice with Steps = Some n }
        | Eta eta -> { choice with Parameters = ("eta", eta) :: choice.Parameters }
        | Churn churn -> { choice with Parameters = ("churn", churn) :: choice.Parameters }
        | Snr ratio -> { choice with Parameters = ("snr", ratio) :: choice.Parameters }
        | Guidance scale -> { choice with Guidance = { choice.Guidance with Scale = Some scale } }
        | Guidance_Interval(low, high) -> { choice with Guidance = { choice.Guidance with Interval = Some(low, high) } }
        | Guidance_Rescale share -> { choice with Guidance = { choice.Guidance with Rescale = Some share } }
        | Autoguidance run -> { choice with Guidance = { choice.Guidance with Weaker = Some run } }
        | Classifier run -> { choice with Classifier = Some run }
        | Compose classes -> { choice with Compose = Some classes }
        | Batch n -> { choice with Batch = Some n }
        | Dtype name -> { choice with Dtype = Some name }
        | Device name -> { choice with Device = Some name }
        | Runs folder -> { choice with Root = folder }
        | Quiet -> { choice with Quiet = true }
        | Json -> choice

    let ofArguments (arguments: ModelArgument list) : ModelChoice =
        List.fold
            choose
            { Run = None
              Oracle = None
              Path = None
              Prediction = None
              Solver = None
              Grid = None
              Steps = None
              Parameters = []
              Guidance = Guiding.none
              Classifier = None
              Compose = None
              Batch = None
              Dtype = None
              Device = None
              Root = Runs.standardRoot
              Quiet = false }
            arguments

    /// The model that the options name, without guidance.
    let private plain (example: string) (choice: ModelChoice) : Subject =
        let dtype = choice.Dtype |> Option.map Lookup.dtype

        match choice.Run, choice.Oracle with
        | None, None -> raise (UserError $"say which run, or which mixture with --oracle FILE: {example}")
        | Some run, Some file ->
            raise (UserError $"the run '{run}' and --oracle {file} are two models: leave one of them out")
        | Some run, None ->
            for option, value in [ "--path", choice.Path; "--prediction", choice.Prediction ] do
                match value with
                | Some value -> raise (UserError $"{option} {value}: a run has its own; {option} goes with --oracle")
                | None -> ()

            let folder = Runs.find choice.Root run
            let job, state = Runs.load folder choice.Device dtype
            Subject.trained folder job state.Average
        | None, Some file ->
            let kind =
                { Dtype = defaultArg dtype Dtype.Float64
                  Device = choice.Device |> Option.map Torch.device |> Option.defaultValue Device.Cpu }

            let path = choice.Path |> Option.map Lookup.path |> Option.defaultValue Path.condOT
            let prediction =
                choice.Prediction |> Option.map Lookup.prediction |> Option.defaultValue Prediction.velocity
            Subject.exact file path prediction kind

    /// A jump is no integration: it takes no solver, and lays its own grid.
    let private requireFit (choice: ModelChoice) (subject: Subject) : Subject =
        match subject.Learned with
        | Mapping _ ->
            for option, given in [ "--solver", choice.Solver; "--grid", choice.Grid ] do
                match given with
                | Some name ->
                    raise (
                        UserError
                            $"{option} {name}: {subject.Name} goes by jumps of its own: leave {option} out, and say how many with --steps"
                    )
                | None -> ()
        | Denoising _
        | Transport _ -> ()

        subject

    /// The model that the options name, under the guidance that they ask for. `example` is a line that names one rightly. Raises UserError
    /// where they name none or two, what they name is not there or damaged, or it cannot be guided.
    let subject (example: string) (choice: ModelChoice) : Subject =
        let subject = plain example choice |> requireFit choice

        let weaker (run: string) =
            let folder = Runs.find choice.Root run
            let job, state = Runs.load folder choice.Device (Some subject.Kind.Dtype)
            Subject.trained folder job state.Average

        let judge (name: string) =
            if name = Judge.exactly then
                Judge.exact subject
            else
                let folder = Runs.find choice.Root name
                let job, state = Runs.load folder choice.Device (Some subject.Kind.Dtype)
                Judge.trained folder job state.Average

        match choice.Classifier, choice.Compose with
        | Some name, Some classes ->
            raise (
                UserError
                    $"--compose {classes}: it is another way to guide than --classifier {name}: leave one of them out"
            )
        | Some name, None -> Guiding.byClassifier (judge name) choice.Guidance subject
        | None, Some classes -> Guiding.composed classes choice.Guidance subject
        | None, None -> Guiding.apply weaker choice.Guidance subject

    let private requireAtLeastOne option value =
        match value with
        | Some n when n < 1 -> raise (UserError $"{option} {n}: expected a whole number of at least 1")
        | _ -> ()

    /// How the options say that the model is to be sampled from; what they leave open is as suits its data.
    let drawing (subject: Subject) (choice: ModelChoice) : Drawing =
        requireAtLeastOne "--steps" choice.Steps
        requireAtLeastOne "--batch" choice.Batch
        let standard = Samples.standardFor subject

        let sampler =
            match choice.Solver, choice.Parameters with
            | None, [] -> standard.Sampler
            | solver, numbers ->
                let name = Catalogue.samplers.Parse(defaultArg solver standard.Sampler.Name)
                let others = name.Numbers |> List.filter (fun (key, _) -> not (List.exists (fst >> (=) key) numbers))
                Catalogue.samplers.Make { name with Numbers = others @ numbers }

        { standard with
            Sampler = sampler
            Grid = choice.Grid |> Option.map Lookup.grid |> Option.defaultValue sampler.Grid
            Steps = defaultArg choice.Steps standard.Steps
            Batch = defaultArg choice.Batch standard.Batch }
