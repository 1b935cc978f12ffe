namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker

type SampleArgument =
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Noise of file: string
    | [<Unique>] Start of file: string
    | [<Unique>] Source of file: string
    | [<Unique>] Replay of file: string
    | [<Unique>] Brownian
    | [<Unique>] From of time: float
    | [<Unique>] To of time: float
    | [<Unique; CustomCommandLine "--denoise">] DenoiseThere
    | [<Unique>] Rtol of tolerance: float
    | [<Unique>] Atol of tolerance: float
    | [<Unique>] Parallel of window: int
    | [<Unique>] Parallel_Tolerance of tolerance: float
    | [<Unique>] Observe of file: string
    | [<Unique>] Observed of file: string
    | [<Unique>] Reward of file: string
    | [<Unique>] Tilt of lambda: float
    | [<Unique>] Steer of method: string
    | [<Unique>] Particles of count: int
    | [<Unique>] Exact
    | [<Unique>] Look_Ahead of run: string
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Given of file: string
    | [<Unique>] Trajectory of file: string
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Count _ -> "how many samples (100 images, 10,000 points)"
            | Noise _ ->
                "a .npy file of standard normal numbers ε to start from, [n; …]: the sampler starts at σ·ε, as its path demands (drawn)"
            | Start _ ->
                "a .npy file of the states x to start from, [n; …], in the network's units: x itself at the time of --from (σ·ε, drawn)"
            | Source _ ->
                "for a flow between two data sets: a .npy file of the points to start from, [n; …], in the units of the data that it starts from (drawn)"
            | Replay _ ->
                "a .npy file of the standard normal numbers that a stochastic sampler draws on its way, [draws; n; …], in the order in which its algorithm uses them (drawn)"
            | Brownian ->
                "what is drawn on the way is one Brownian motion: with another number of steps the sample is the same path"
            | From _ -> "the time that sampling starts at (1, or just inside where the path is singular there)"
            | To _ ->
                "the time t that sampling ends at, with samples of x_t (0; or just inside where the path is singular there, and the denoiser then removes the noise that is left)"
            | DenoiseThere -> "with --to: the last step goes from that time to the expected data, E[x₀ | x]"
            | Rtol _ ->
                "adaptive steps: the error of a step stays below this share of the sample, for each sample by itself (fixed steps; dormand-prince with it)"
            | Atol _ -> "the same where a sample is near 0 (as --rtol)"
            | Parallel _ ->
                "how many steps are computed at once, in one batch of the network, by Picard's iteration: fewer calls one after the other, more evaluations (1; the sampler is then ddim)"
            | Parallel_Tolerance _ ->
                "with --parallel: the change of a state, in standard deviations of an ancestral step's noise, below which it is final (0.1)"
            | Observe _ ->
                "a .json file of what is seen of a sample, in the data's units: {\"noise\": s} and one of \"mask\", \"matrix\", \"coordinates\", \"average\", \"blur\", \"grey\" (docs/steering.md)"
            | Observed _ -> "with --observe: a .npy file of what was seen, y for all samples or a row for each"
            | Reward _ ->
                "a .json file of what samples are to have more of: {\"linear\": [w, …]}, {\"quadratic\": [[…], …]} or {\"class\": NAME, \"classifier\": RUN}"
            | Tilt _ -> "with --reward: λ of p(x) e^{λ r(x)} (1)"
            | Steer _ ->
                "how samples are steered (mmps towards an observation, gradient towards a reward; fokker list steerings)"
            | Particles _ -> "particles for each sample, weighed on their way (64 for tds and fk; none elsewhere)"
            | Exact -> "an oracle takes the observation or the reward in, exactly, in a method's place"
            | Look_Ahead _ ->
                "with particles: the run of a map along the flow whose end they are weighed by, in the place of E[x₀ | x]"
            | Seed _ -> "seed of the noise (0)"
            | Label _ -> "one class for all samples: its number or its name"
            | Given _ ->
                "what the network is told of the samples, one for all or one for each: a .csv file with the columns that it was trained with, or a .npy or .png file of images, small or with NaN where they are not seen; a short text itself where it is told one alone"
            | Trajectory _ ->
                "a .npz file for the trajectory, in the network's units: x and denoised at each state, t and sigma = σ/α of each state and of each call of the network"
            | Out _ ->
                "a .npy file for the samples, bytes where the data are bytes; or a .png file for a picture, a .csv file for a table, a .txt file for text, or an .html page (samples.npy in the run's folder; here for an oracle)"

/// What the options of `fokker sample` come to.
type private SampleChoice =
    { Count: int option
      Noise: string option
      Start: string option
      Source: string option
      Replay: string option
      Brownian: bool
      From: float option
      To: float option
      Denoise: bool
      Tolerance: ToleranceChoice
      Parallel: int option
      ParallelTolerance: float option
      Steering: SteeringOptions
      Seed: int64
      Label: string option
      Given: string option
      Trajectory: string option
      Out: string option }

/// `fokker sample`: new samples of a trained run, or of an exact law that stands in for one.
module Sample =

    let private choose (choice: SampleChoice) (argument: SampleArgument) : SampleChoice =
        match argument with
        | Count n -> { choice with Count = Some n }
        | Noise file -> { choice with Noise = Some file }
        | Start file -> { choice with Start = Some file }
        | Source file -> { choice with Source = Some file }
        | Replay file -> { choice with Replay = Some file }
        | Brownian -> { choice with Brownian = true }
        | From time -> { choice with From = Some time }
        | To time -> { choice with To = Some time }
        | DenoiseThere -> { choice with Denoise = true }
        | Rtol tolerance -> { choice with Tolerance = { choice.Tolerance with Relative = Some tolerance } }
        | Atol tolerance -> { choice with Tolerance = { choice.Tolerance with Absolute = Some tolerance } }
        | Parallel window -> { choice with Parallel = Some window }
        | Parallel_Tolerance tolerance -> { choice with ParallelTolerance = Some tolerance }
        | Observe file -> { choice with Steering = { choice.Steering with Observe = Some file } }
        | Observed file -> { choice with Steering = { choice.Steering with Observed = Some file } }
        | Reward file -> { choice with Steering = { choice.Steering with Reward = Some file } }
        | Tilt tilt -> { choice with Steering = { choice.Steering with Tilt = Some tilt } }
        | Steer name -> { choice with Steering = { choice.Steering with Steer = Some name } }
        | Particles n -> { choice with Steering = { choice.Steering with Particles = Some n } }
        | Exact -> { choice with Steering = { choice.Steering with Exact = true } }
        | Look_Ahead run -> { choice with Steering = { choice.Steering with LookAhead = Some run } }
        | Seed seed -> { choice with Seed = seed }
        | Label name -> { choice with Label = Some name }
        | SampleArgument.Given file -> { choice with Given = Some file }
        | Trajectory file -> { choice with Trajectory = Some file }
        | Out file -> { choice with Out = Some file }

    let private usual: SampleChoice =
        { Count = None
          Noise = None
          Start = None
          Source = None
          Replay = None
          Brownian = false
          From = None
          To = None
          Denoise = false
          Tolerance = { Relative = None; Absolute = None }
          Parallel = None
          ParallelTolerance = None
          Steering = SteeringOptions.none
          Seed = 0L
          Label = None
          Given = None
          Trajectory = None
          Out = None }

    let private isAdaptive (choice: SampleChoice) = choice.Tolerance.Relative.IsSome || choice.Tolerance.Absolute.IsSome

    /// What can be refused before anything is loaded: the files that the command writes.
    let private check (choice: SampleChoice) =
        let requireEnding option (endings: string list) (file: string option) =
            match file with
            | Some file when not (List.contains ((Path.GetExtension file |> string).ToLowerInvariant()) endings) ->
                let those = String.Join(" or ", endings)
                raise (UserError $"{option} {file}: expected a file that ends in {those}")
            | _ -> ()

        requireEnding "--out" [ ".npy"; ".png"; ".csv"; ".txt"; ".html" ] choice.Out
        requireEnding "--trajectory" [ ".npz" ] choice.Trajectory

        match choice.Trajectory with
        | Some file when isAdaptive choice ->
            raise (
                UserError $"--trajectory {file}: with --rtol every sample has its own times: leave one of the two out"
            )
        | _ -> ()

        match choice.Trajectory, choice.Parallel with
        | Some _, Some window ->
            raise (
                UserError
                    $"--parallel {window}: --trajectory needs the steps one after the other: leave one of the two out"
            )
        | _ -> ()

    /// A file of text is of samples that are text, and those are no picture.
    let private requireText (model: GenerativeModel) (out: string option) =
        let isText = Units.areText model.Shape model.Units
        let endsWith (ending: string) =
            out |> Option.exists (fun file -> file.EndsWith(ending, StringComparison.OrdinalIgnoreCase))

        if endsWith ".txt" && not isText then
            raise (
                UserError
                    $"--out {out.Value}: the samples of {model.Name} are no text: expected a file that ends in .npy, .png, .csv or .html"
            )
        elif endsWith ".png" && isText then
            raise (
                UserError
                    $"--out {out.Value}: the samples of {model.Name} are text: expected a file that ends in .txt, .npy, .csv or .html"
            )

    let private request (choice: SampleChoice) (model: ModelChoice) (on: GenerativeModel) : SamplingRequest =
        { Generation =
            { ModelChoice.generation model choice.Tolerance choice.Label on with
                Given = choice.Given |> Option.map (TableFile.given on) }
          Steering = SteeringOptions.request model choice.Steering on
          Count = choice.Count
          Seed = choice.Seed
          From = choice.From
          To = choice.To
          Denoise = choice.Denoise
          Start = choice.Start |> Option.map DataOption.array
          Noise = choice.Noise |> Option.map DataOption.array
          SourceSamples = choice.Source |> Option.map DataOption.array
          Replay = choice.Replay |> Option.map DataOption.array
          Brownian = choice.Brownian
          Parallel = choice.Parallel
          ParallelTolerance = choice.ParallelTolerance }

    let private runWith
        (ranks: IRanks)
        (terminal: Terminal)
        (model: ModelArgument list)
        (arguments: SampleArgument list)
        =
        let options = ModelChoice.ofArguments terminal.Known model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = options.Quiet }
        check choice
        let plain = ModelChoice.model "./fokker sample moons" options
        let request = request choice options plain
        let task = Validation.sampling plain request

        match choice.Trajectory, task.Drawing.Steering with
        | Some file, Some { Particles = Some _ } ->
            raise (UserError $"--trajectory {file}: particles are drawn anew on their way, and have none: leave it out")
        | _ -> ()

        let trajectory = choice.Trajectory |> Option.map (fun file -> file, Fokker.Trajectory())
        let drawing = { task.Drawing with Trajectory = Option.map snd trajectory }
        let model, n = task.Model, task.Count
        let plan = Samples.plan model drawing
        let mutable asked, calls = 0L, 0L

        // A sample's evaluations, on the average: adaptive steps differ.
        let counting =
            { model with
                Dynamics =
                    model.Dynamics
                    |> Dynamics.map (fun network condition ->
                        let field = network condition

                        fun t x ->
                            asked <- asked + int64 x.Shape[0]
                            calls <- calls + 1L
                            field t x) }

        // Without a file of their own the samples are written to the run.
        use _ =
            match choice.Out, ModelChoice.runFolder options with
            | None, Some folder when ranks.Rank = 0 -> Run.claim folder.Path :> IDisposable | null
            | _ -> null

        requireText plain choice.Out
        let drawn = Finish.samplesTogether ranks terminal counting drawing task.Key n
        let counts = Ranks.sumNumbers ranks [| float asked; float calls |]
        asked <- int64 counts[0]
        calls <- int64 counts[1]
        // The first of several writes.
        if ranks.Rank > 0 then
            Exit.Success
        else
            trajectory |> Option.iter (fun (file, trajectory) -> trajectory.Write(model.Path, file))

            let files =
                match choice.Out, ModelChoice.runFolder options with
                | Some file, _ when file.EndsWith(".png", StringComparison.OrdinalIgnoreCase) ->
                    Runs.writeBytes file (Results.picture model drawn)
                    [ file ]
                | Some file, _ when file.EndsWith(".txt", StringComparison.OrdinalIgnoreCase) ->
                    Runs.writeBytes file (Results.textOf drawn)
                    [ file ]
                | Some file, _ when file.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) ->
                    Runs.writeBytes file (TableFile.text (TableFile.header model) (TableFile.cells model drawn))
                    [ file ]
                | Some file, _ when file.EndsWith(".html", StringComparison.OrdinalIgnoreCase) ->
                    match drawing.Steering with
                    | Some steering ->
                        let figures = SteeringFigures.ofSamples model steering drawn

                        let exact =
                            SteeringChoice.exactLaw request.Steering request.Generation.Guidance plain
                            |> Option.map (fun law ->
                                let law =
                                    task.Drawing.Label
                                    |> Option.map (fun k -> Mixture.ofClass k law)
                                    |> Option.defaultValue law
                                Mixture.sample (min n 3000) (Rng.named "exact" task.Key) law)

                        SteeringResults.writePage file model drawing steering figures exact drawn
                    | None -> Results.samplesPage file model drawing drawn
                    [ file ]
                | None, Some folder -> Results.saveSamples folder model (Results.truth model) drawn
                | out, _ ->
                    let file = defaultArg out "samples.npy"
                    Scope.run0 (fun () -> Npy.write file (Samples.forFile model drawn))
                    [ file ]

            let files = files @ Option.toList choice.Trajectory

            if drawing.Parallel.IsSome then
                Terminal.tell terminal $"{calls} calls of the network, {float asked / float n:F1} evaluations a sample"

            let steered =
                drawing.Steering
                |> Option.map (fun steering -> steering, SteeringFigures.ofSamples model steering drawn)

            for steering, figures in Option.toList steered do
                for line in SteeringResults.lines steering figures do
                    Terminal.tell terminal line

            for file in files do
                Terminal.tell terminal file

            Terminal.give
                terminal
                (Json.object
                    [ yield! Described.model model
                      "count", Json.whole (int64 n)
                      "seed", Json.whole choice.Seed
                      yield! Described.sampling model drawing plan
                      for steering, figures in Option.toList steered do
                          "steering", Json.node (SteeringResults.json steering figures)
                      "evaluations", Json.number (float asked / float n)
                      "calls", Json.whole calls
                      "from", Json.number plan.Span.Noisy
                      "to", Json.number plan.Span.Clean
                      "denoised", Json.flag (plan.Span.Finish <> Stop)
                      "dtype", Json.text (Dtype.name model.Arithmetic)
                      "files", Json.array (Seq.map Json.text files) ])

            Exit.Success

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: SampleArgument list) =
        ModelChoice.preferEngine (ModelChoice.ofArguments terminal.Known model)
        Joined.around "sample" terminal (fun ranks terminal -> runWith ranks terminal model arguments)

    let command =
        Command.makeWith<ModelArgument, SampleArgument>
            "sample"
            "draws samples from a trained run, or from an exact mixture in a network's place"
            [ "./fokker sample moons -n 5000 --out moons.npy", "five thousand points for numpy.load"
              "./fokker sample fashion-mnist --class sneaker --out sneakers.png", "a hundred pictures of one class"
              "./fokker sample fashion-mnist --guidance 3 --class sneaker --out sneakers.png",
              "the same with guidance towards the class"
              "./fokker sample --oracle mixture.json --path vp --solver rk4 --steps 40 --noise e.npy --out x0.npy",
              "the samples of given noise with an exact network: the only error is the solver's" ]
            run
