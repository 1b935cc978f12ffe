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
            | Prediction _ ->
                "the prediction that the oracle makes in a network's place (velocity; fokker list predictions)"
            | Solver _ -> "the sampler (heun; fokker list samplers)"
            | Grid _ ->
                "how its steps are spaced (the sampler's own; fokker list grids), or a .npy file of its own: file:LEVELS (σ/α, the last one 0 to go to the data), times:TIMES, or timesteps:STEPS (of a thousand, from 0)"
            | Steps _ ->
                "steps of the sampler, the denoising one at the end included, if there is one: as many evaluations for a method of one a step (25 for points, 20 for images)"
            | Eta _ -> "η of ddim-eta and sde-dpmpp: 0 is the flow, 1 the reverse process (1)"
            | Churn _ -> "the churn of euler-maruyama and stochastic-heun (1), S_churn of edm (40)"
            | Snr _ -> "the signal-to-noise ratio of predictor-corrector's corrections (0.16)"
            | Guidance _ ->
                "the guidance scale: 0 is unconditional, 1 conditional, 3 is strong guidance towards the class (1; docs/guidance.md)"
            | Guidance_Interval _ -> "the noise levels σ/α between which guidance acts (everywhere)"
            | Guidance_Rescale _ ->
                "the share of the guided prediction whose deviation is put back to the plain one's, from 0 to 1 (0)"
            | Autoguidance _ -> "a weaker run in the place of the unconditional prediction: guidance leads away from it"
            | Classifier _ ->
                "guidance by the gradient of a classifier of noisy samples: a run of --loss classifier, or 'exact' for an oracle"
            | Compose _ ->
                "classes with weights, CLASS:WEIGHT,…: a product of conditions, and negation where a weight is negative (3:1.5,8:-0.5)"
            | Batch _ -> "samples that go through the network at once; what is drawn does not depend on it"
            | Dtype _ ->
                "float32 or float64: what the network computes in, and what a file of results holds (the run's own; float64 for an oracle); bfloat16: the network's layers alone, over float32, where the processor has instructions for it: faster, to three digits (a density is found in float32 all the same)"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// What these options come to.
[<NoComparison; NoEquality>]
type ModelChoice =
    {
        /// The lists that names are looked up in.
        Known: Known
        Run: string option
        Oracle: string option
        Path: string option
        Prediction: string option
        Solver: string option
        Grid: string option
        Steps: int option
        /// The sampler's own number, by its option.
        Parameters: (string * float) list
        Guidance: float option
        GuidanceInterval: (float * float) option
        GuidanceRescale: float option
        Weaker: string option
        Classifier: string option
        Compose: string option
        Batch: int option
        Dtype: string option
        Device: string option
        Root: string
        Quiet: bool
    }

/// The options of a tolerance, which the commands that follow a flow have.
type ToleranceChoice = { Relative: float option; Absolute: float option }

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
        | Guidance scale -> { choice with Guidance = Some scale }
        | Guidance_Interval(low, high) -> { choice with GuidanceInterval = Some(low, high) }
        | Guidance_Rescale share -> { choice with GuidanceRescale = Some share }
        | Autoguidance run -> { choice with Weaker = Some run }
        | Classifier run -> { choice with Classifier = Some run }
        | Compose classes -> { choice with Compose = Some classes }
        | Batch n -> { choice with Batch = Some n }
        | Dtype name -> { choice with Dtype = Some name }
        | Device name -> { choice with Device = Some name }
        | Runs folder -> { choice with Root = folder }
        | Quiet -> { choice with Quiet = true }
        | Json -> choice

    let ofArguments (known: Known) (arguments: ModelArgument list) : ModelChoice =
        List.fold
            choose
            { Known = known
              Run = None
              Oracle = None
              Path = None
              Prediction = None
              Solver = None
              Grid = None
              Steps = None
              Parameters = []
              Guidance = None
              GuidanceInterval = None
              GuidanceRescale = None
              Weaker = None
              Classifier = None
              Compose = None
              Batch = None
              Dtype = None
              Device = None
              Root = Runs.standardRoot
              Quiet = false }
            arguments

    /// Takes the engine that computes in bfloat16 where that is asked for. To be said before the first use of libtorch.
    let preferEngine (choice: ModelChoice) : unit =
        if choice.Dtype = Some(Dtype.name Dtype.BFloat16) then
            Torch.preferBFloat16 ()

    /// The model that the options name, without guidance. `example` is a line that names one rightly. Raises UserError where they name none or two, or what
    /// they name is not there or damaged.
    let model (example: string) (choice: ModelChoice) : GenerativeModel =
        preferEngine choice
        let arithmetic = choice.Dtype |> Option.map Lookup.arithmetic
        let kept = arithmetic |> Option.map Lookup.kept
        let computed model = arithmetic |> Option.fold (fun model dtype -> GenerativeModel.computedIn dtype model) model

        match choice.Run, choice.Oracle with
        | None, None -> raise (UserError $"say which run, or which mixture with --oracle FILE: {example}")
        | Some run, Some file ->
            raise (UserError $"the run '{run}' and --oracle {file} are two models: leave one of them out")
        | Some run, None ->
            for setting, value in [ Setting.Path, choice.Path; Setting.Prediction, choice.Prediction ] do
                match value with
                | Some value -> refuse setting value $"a run has its own; {setting} goes with {Setting.Oracle}"
                | None -> ()

            Runs.networkWith choice.Known.Own choice.Root choice.Device kept run
            ||> GenerativeModel.ofTrained
            |> computed
        | None, Some file ->
            let kind =
                { Dtype = defaultArg kept Dtype.Float64
                  Device = choice.Device |> Option.map Torch.device |> Option.defaultValue Device.Cpu }

            let path = choice.Path |> Option.map choice.Known.Paths.Find |> Option.defaultValue Path.condOT
            let prediction =
                choice.Prediction
                |> Option.map choice.Known.Predictions.Find
                |> Option.defaultValue Prediction.velocity

            GenerativeModel.exact file path prediction kind |> computed

    /// CLASS:WEIGHT,… as classes and weights. Raises RefusedException where it is something else.
    let private terms (given: string) : (string * float) list =
        [ for text in given.Split(',', StringSplitOptions.TrimEntries) do
              let label, weight =
                  match text.LastIndexOf ':' with
                  | -1 -> text, ""
                  | at -> text.Substring(0, at), text.Substring(at + 1)

              match Double.TryParse(weight, Globalization.CultureInfo.InvariantCulture) with
              | true, w -> label, w
              | _ ->
                  refuse
                      Setting.Composition
                      given
                      $"'{text}' is no class and weight: expected CLASS:WEIGHT with a weight other than 0, such as 3:1.5,8:-0.5" ]

    /// The network of another run than the model's, as the model's options say: where runs are kept, what it computes in.
    let another (choice: ModelChoice) (model: GenerativeModel) (run: string) =
        let own = choice.Known.Own

        Runs.networkWith
            { own with Paths = Part.fixedAt model.Path :: own.Paths }
            choice.Root
            choice.Device
            (Some model.Kind.Dtype)
            run

    let private guidance (choice: ModelChoice) (model: GenerativeModel) : GuidanceRequest =
        let another = another choice model

        { Scale = choice.Guidance
          Interval = choice.GuidanceInterval
          Rescale = choice.GuidanceRescale
          Weaker =
            choice.Weaker
            |> Option.map (fun run ->
                lazy (another run ||> GenerativeModel.ofTrained |> GenerativeModel.computedIn model.Arithmetic))
          Classifier =
            choice.Classifier
            |> Option.map (fun name ->
                if name = "exact" then
                    ClassifierChoice.Own
                else
                    ClassifierChoice.Trained(another name ||> ClassPosterior.ofTrained))
          Composition = choice.Compose |> Option.map terms |> Option.defaultValue [] }

    /// What the options ask of a model, with the tolerance and the class that a command has options of its own for.
    let generation
        (choice: ModelChoice)
        (tolerance: ToleranceChoice)
        (label: string option)
        (model: GenerativeModel)
        : GenerationRequest =
        let sampler =
            match choice.Solver, choice.Parameters with
            | None, [] -> None
            | solver, numbers ->
                let standard () = (Samples.standardFor model).Sampler.Name
                let name = choice.Known.Samplers.Parse(solver |> Option.defaultWith standard)
                let own = choice.Known.Samplers.Parts |> List.find (fun part -> part.Name = name.Name)

                for option, value in numbers do
                    if not (own.Parameters |> List.exists (fun p -> p.Name = option)) then
                        let those =
                            [ for part in choice.Known.Samplers.Parts do
                                  if part.Parameters |> List.exists (fun p -> p.Name = option) then
                                      part.Name ]

                        raise (
                            UserError
                                $"--{option} {value}: {name.Name} has no such number; it goes with {Names.either those}"
                        )

                let others = name.Numbers |> List.filter (fun (key, _) -> not (List.exists (fst >> (=) key) numbers))
                Some(choice.Known.Samplers.Make { name with Numbers = others @ numbers })

        { Solver = sampler
          Grid = choice.Grid |> Option.map (Lookup.gridAmong choice.Known)
          Steps = choice.Steps
          Batch = choice.Batch
          Class = label
          Given = None
          RelativeTolerance = tolerance.Relative
          AbsoluteTolerance = tolerance.Absolute
          Guidance = guidance choice model }

    /// The run's folder that the options name, for what a command leaves there; none for an oracle, or a model's file elsewhere.
    let runFolder (choice: ModelChoice) : RunFolder option =
        match choice.Run with
        | Some run when not (run.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)) ->
            try
                Some(Runs.find choice.Root run)
            with :? UserError ->
                None
        | _ -> None
