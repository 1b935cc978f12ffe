namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker

type SampleArgument =
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Noise of file: string
    | [<Unique>] Start of file: string
    | [<Unique>] Replay of file: string
    | [<Unique>] Brownian
    | [<Unique>] From of time: float
    | [<Unique>] To of time: float
    | [<Unique>] Rtol of tolerance: float
    | [<Unique>] Atol of tolerance: float
    | [<Unique>] Parallel of window: int
    | [<Unique>] Parallel_Tolerance of tolerance: float
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("--class")>] Label of label: string
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
            | Replay _ ->
                "a .npy file of the standard normal numbers that a stochastic sampler draws on its way, [draws; n; …], in the order in which its algorithm uses them (drawn)"
            | Brownian ->
                "what is drawn on the way is one Brownian motion: with another number of steps the sample is the same path"
            | From _ -> "the time that sampling starts at (1, or just inside where the path is singular there)"
            | To _ ->
                "the time t that sampling ends at, with samples of x_t (0; or just inside where the path is singular there, and what noise is left is then taken off by the denoiser)"
            | Rtol _ ->
                "steps are chosen, for each sample by itself, so that their error is at most this part of it (fixed steps; dormand-prince with it)"
            | Atol _ -> "the same where a sample is near 0 (as --rtol)"
            | Parallel _ ->
                "so many steps are found at once, in one batch of the network, by Picard's iteration: fewer calls one after the other, more evaluations (one after the other; ddim with it)"
            | Parallel_Tolerance _ ->
                "with --parallel: how far a state may still move and stand, in standard deviations of an ancestral step's noise (0.1)"
            | Seed _ -> "seed of the noise (0)"
            | Label _ -> "one class for all samples: its number or its name"
            | Trajectory _ ->
                "a .npz file for what happened on the way, in the network's units: x and denoised at each state, t and sigma = σ/α of each state and of each call of the network"
            | Out _ ->
                "a .npy file for the samples, bytes where the data are bytes; or a .png file for a picture, or an .html page (samples.npy in the run's folder; here for an oracle)"

/// What the options of `fokker sample` come to.
type private SampleChoice =
    { Count: int option
      Noise: string option
      Start: string option
      Replay: string option
      Brownian: bool
      From: float option
      To: float option
      Tolerance: ToleranceChoice
      Parallel: int option
      ParallelTolerance: float option
      Seed: int64
      Label: string option
      Trajectory: string option
      Out: string option }

/// `fokker sample`: new samples of a trained run, or of an exact law that stands in for one.
module Sample =

    let private choose (choice: SampleChoice) (argument: SampleArgument) : SampleChoice =
        match argument with
        | Count n -> { choice with Count = Some n }
        | Noise file -> { choice with Noise = Some file }
        | Start file -> { choice with Start = Some file }
        | Replay file -> { choice with Replay = Some file }
        | Brownian -> { choice with Brownian = true }
        | From time -> { choice with From = Some time }
        | To time -> { choice with To = Some time }
        | Rtol tolerance -> { choice with Tolerance = { choice.Tolerance with Relative = Some tolerance } }
        | Atol tolerance -> { choice with Tolerance = { choice.Tolerance with Absolute = Some tolerance } }
        | Parallel window -> { choice with Parallel = Some window }
        | Parallel_Tolerance tolerance -> { choice with ParallelTolerance = Some tolerance }
        | Seed seed -> { choice with Seed = seed }
        | Label name -> { choice with Label = Some name }
        | Trajectory file -> { choice with Trajectory = Some file }
        | Out file -> { choice with Out = Some file }

    let private usual: SampleChoice =
        { Count = None
          Noise = None
          Start = None
          Replay = None
          Brownian = false
          From = None
          To = None
          Tolerance = { Relative = None; Absolute = None }
          Parallel = None
          ParallelTolerance = None
          Seed = 0L
          Label = None
          Trajectory = None
          Out = None }

    let private isAdaptive (choice: SampleChoice) = choice.Tolerance.Relative.IsSome || choice.Tolerance.Absolute.IsSome

    /// What can be refused before anything is loaded.
    let private check (choice: SampleChoice) =
        match choice.Count with
        | Some n when n < 1 -> raise (UserError $"-n {n}: expected a whole number of at least 1")
        | _ -> ()

        for option, file in [ "--noise", choice.Noise; "--start", choice.Start; "--replay", choice.Replay ] do
            match choice.Count, file with
            | Some n, Some file ->
                raise (UserError $"-n {n} and {option} {file} both say how many samples: leave -n out")
            | _ -> ()

        match choice.Noise, choice.Start with
        | Some noise, Some start ->
            raise (UserError $"--noise {noise} and --start {start} both say where to start: leave one of them out")
        | _ -> ()

        match choice.Replay with
        | Some file when choice.Brownian ->
            raise (UserError $"--replay {file} and --brownian both say what is drawn: leave one of them out")
        | _ -> ()

        let requireEnding option (endings: string list) (file: string option) =
            match file with
            | Some file when not (List.contains ((Path.GetExtension file |> string).ToLowerInvariant()) endings) ->
                let those = String.Join(" or ", endings)
                raise (UserError $"{option} {file}: expected a file that ends in {those}")
            | _ -> ()

        requireEnding "--out" [ ".npy"; ".png"; ".html" ] choice.Out
        requireEnding "--trajectory" [ ".npz" ] choice.Trajectory

        match choice.Trajectory with
        | Some file when isAdaptive choice ->
            raise (
                UserError
                    $"--trajectory {file}: with --rtol every sample has times of its own: leave one of the two out"
            )
        | _ -> ()

        match choice.Parallel, choice.ParallelTolerance with
        | None, Some tolerance ->
            raise (
                UserError
                    $"--parallel-tolerance {tolerance}: it goes with --parallel, which says how many steps at once"
            )
        | Some window, _ when window < 1 -> raise (UserError $"--parallel {window}: expected at least one step")
        | _, Some tolerance when not (tolerance >= 0.0 && Double.IsFinite tolerance) ->
            raise (UserError $"--parallel-tolerance {tolerance}: expected a number, 0 or more")
        | Some window, _ when isAdaptive choice || choice.Trajectory.IsSome ->
            let other = if isAdaptive choice then "--rtol" else "--trajectory"
            raise (UserError $"--parallel {window}: {other} wants one step after the other: leave one of the two out")
        | _ -> ()

    /// The drawing between the times that were asked for.
    let private between (subject: Subject) (choice: SampleChoice) (drawing: Drawing) : Drawing =
        match choice.From, choice.To with
        | None, None -> drawing
        | from, until -> { drawing with Span = Some(Samples.spanBetween subject drawing from until) }

    let private adaptively (subject: Subject) (model: ModelChoice) (given: ToleranceChoice) : Drawing =
        let drawing = ToleranceOption.drawing subject model given
        Following.tableau "adaptive sampling" subject drawing |> ignore
        drawing

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: SampleArgument list) =
        let model = ModelChoice.ofArguments model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = model.Quiet }
        check choice
        let subject = ModelChoice.subject "./fokker sample moons" model

        let asked =
            if isAdaptive choice then
                adaptively subject model choice.Tolerance
            else
                ModelChoice.drawing
                    subject
                    // The standard sampler takes two evaluations a step.
                    (if choice.Parallel.IsSome && model.Solver.IsNone then
                         { model with Solver = Some Samplers.ddim.Name }
                     else
                         model)

        let replayed =
            choice.Replay
            |> Option.map (fun file ->
                if not (Samplers.mayDraw asked.Sampler) then
                    raise (
                        UserError
                            $"--replay {file}: {asked.Sampler.Name} draws nothing on its way: take a stochastic sampler (fokker list samplers)"
                    )

                Subject.drawsIn "--replay" file subject)

        if choice.Brownian && not (Samplers.mayDraw asked.Sampler) then
            raise (UserError $"--brownian: {asked.Sampler.Name} draws nothing on its way: leave it out")

        let trajectory = choice.Trajectory |> Option.map (fun file -> file, Fokker.Trajectory())

        let drawing =
            { asked with
                Label = choice.Label |> Option.map (Subject.label subject)
                Start = choice.Start |> Option.map (fun file -> Subject.samplesIn "--start" file subject)
                Unit = choice.Noise |> Option.map (fun file -> Subject.samplesIn "--noise" file subject)
                Draws =
                    match replayed with
                    | Some draws -> Draws.Replayed draws
                    | None when choice.Brownian -> Draws.Brownian
                    | None -> Draws.Fresh
                Parallel =
                    choice.Parallel
                    |> Option.map (fun window ->
                        { Window = window; Tolerance = defaultArg choice.ParallelTolerance 0.1 })
                Trajectory = Option.map snd trajectory }
            |> between subject choice

        let plan = Samples.plan subject drawing

        let n =
            let given =
                [ drawing.Start |> Option.map (fun x -> "--start", x.Shape[0])
                  drawing.Unit |> Option.map (fun x -> "--noise", x.Shape[0])
                  replayed |> Option.map (fun x -> "--replay", x.Shape[1]) ]
                |> List.choose id

            match given with
            | [] -> choice.Count |> Option.defaultValue (if subject.Data.IsImage then 100 else 10_000)
            | (first, n) :: rest ->
                for other, m in rest do
                    if m <> n then
                        raise (UserError $"{first} is of {n} samples, {other} of {m}: expected as many")

                n

        let mutable asked, calls = 0L, 0L

        // A sample's evaluations, on the average: adaptive steps differ.
        let counting =
            { subject with
                Learned =
                    subject.Learned
                    |> Learned.map (fun network condition ->
                        let field = network condition

                        fun t x ->
                            asked <- asked + int64 x.Shape[0]
                            calls <- calls + 1L
                            field t x) }

        let rng = Rng.ofSeed choice.Seed |> Rng.named "sample"

        // Without a file of their own the samples are written to the run.
        use _ =
            match choice.Out, subject.Origin with
            | None, Trained folder -> Run.claim folder.Path :> IDisposable | null
            | _ -> null

        let drawn = Finish.samples terminal counting drawing rng n
        trajectory |> Option.iter (fun (file, trajectory) -> trajectory.Write(subject.Path, file))

        let files =
            match choice.Out, subject.Origin with
            | Some file, _ when file.EndsWith(".png", StringComparison.OrdinalIgnoreCase) ->
                Runs.writeBytes file (Depict.samples subject.Data drawn)
                [ file ]
            | Some file, _ when file.EndsWith(".html", StringComparison.OrdinalIgnoreCase) ->
                Results.samplesPage file subject drawing drawn
                [ file ]
            | None, Trained folder ->
                Results.saveSamples folder subject drawn
                [ folder.Samples; folder.Picture ]
            | out, _ ->
                let file = defaultArg out "samples.npy"
                Scope.run0 (fun () -> Npy.write file (Samples.forFile subject drawn))
                [ file ]

        let files = files @ Option.toList choice.Trajectory

        if drawing.Parallel.IsSome then
            Terminal.tell terminal $"{calls} calls of the network, {float asked / float n:F1} evaluations a sample"

        for file in files do
            Terminal.tell terminal file

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.subject subject
                  "count", Json.whole (int64 n)
                  "seed", Json.whole choice.Seed
                  "sampler", Json.text plan.Sampler.Name
                  match drawing.Control with
                  | Fixed ->
                      "grid", Json.text plan.Grid.Name
                      "steps", Json.whole (int64 plan.Steps)
                  | Adaptive tolerance ->
                      "rtol", Json.number tolerance.Relative
                      "atol", Json.number tolerance.Absolute
                  "evaluations", Json.number (float asked / float n)
                  "calls", Json.whole calls
                  "from", Json.number plan.Span.Noisy
                  "to", Json.number plan.Span.Clean
                  "denoised", Json.flag (plan.Span.Finish = Denoise)
                  "dtype", Json.text (Dtype.name plan.Kind.Dtype)
                  "files", Json.array (Seq.map Json.text files) ])

        Exit.Success

    let command =
        Command.makeWith<ModelArgument, SampleArgument>
            "sample"
            "draws samples from a trained run, or from an exact mixture in a network's place"
            [ "./fokker sample moons -n 5000 --out moons.npy", "five thousand points for numpy.load"
              "./fokker sample fashion-mnist --label sneaker --out sneakers.png", "a hundred pictures of one class"
              "./fokker sample fashion-mnist --guidance 3 --class sneaker --out sneakers.png",
              "the same, pushed further towards what tells the class from the others"
              "./fokker sample --oracle mixture.json --path vp --solver rk4 --steps 40 --noise e.npy --out x0.npy",
              "where a solver takes given noise when the network is exact: what is off is the solver's" ]
            run
