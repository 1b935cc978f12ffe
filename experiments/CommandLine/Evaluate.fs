namespace Fokker.Experiments

open Argu
open Fokker

type EvaluateArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] Draws of pairs: int
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Solver of sampler: string
    | [<Unique>] Grid of grid: string
    | [<Unique>] Steps of count: int
    | [<Unique>] Seed of number: int64
    | [<Unique>] Batch of size: int
    | [<Unique>] Device of device: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "a name under runs/, or the path of a run's folder"
            | Draws _ -> "pairs of sets that each figure is a mean over (20; 10 for images)"
            | Count _ -> "samples in a set (1,000)"
            | Solver _ -> "the sampler (heun; fokker list samplers)"
            | Grid _ -> "how its steps are spaced (the sampler's own; fokker list grids)"
            | Steps _ -> "steps of the sampler (25 for points, 10 for images)"
            | Seed _ -> "seed of the samples (the run's own)"
            | Batch _ -> "samples that go through the network at once"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json ->
                "print one JSON object on standard output: metrics.wasserstein2.value, .floor, .ratio, .standardError, …"

/// What the options of `fokker evaluate` come to.
type private EvaluateChoice =
    { Run: string option
      Draws: int option
      Count: int option
      Solver: string option
      Grid: string option
      Steps: int option
      Seed: int64 option
      Batch: int option
      Device: string option
      Root: string }

/// `fokker evaluate`: how far a run's samples are from held-out data, beside how far held-out data are from each other.
module Evaluate =

    let private choose (choice: EvaluateChoice) (argument: EvaluateArgument) : EvaluateChoice =
        match argument with
        | Run name -> { choice with Run = Some name }
        | Draws n -> { choice with Draws = Some n }
        | Count n -> { choice with Count = Some n }
        | Solver name -> { choice with Solver = Some name }
        | Grid name -> { choice with Grid = Some name }
        | Steps n -> { choice with Steps = Some n }
        | Seed seed -> { choice with Seed = Some seed }
        | Batch n -> { choice with Batch = Some n }
        | Device name -> { choice with Device = Some name }
        | Runs folder -> { choice with Root = folder }
        | Quiet
        | Json -> choice

    let private usual: EvaluateChoice =
        { Run = None
          Draws = None
          Count = None
          Solver = None
          Grid = None
          Steps = None
          Seed = None
          Batch = None
          Device = None
          Root = Runs.standardRoot }

    let private requireAtLeast least option (value: int option) =
        match value with
        | Some n when n < least -> raise (UserError $"{option} {n}: expected a whole number of at least {least}")
        | _ -> ()

    let private run (terminal: Terminal) (arguments: EvaluateArgument list) =
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let folder =
            match choice.Run with
            | Some name -> Runs.find choice.Root name
            | None -> raise (UserError "say which run: ./fokker evaluate moons")

        requireAtLeast 2 "--draws" choice.Draws
        requireAtLeast 8 "-n" choice.Count
        let job, state = Runs.load folder choice.Device
        let drawing = Samples.choose job.Data choice.Solver choice.Grid choice.Steps choice.Batch
        let protocol = Evaluation.protocol job.Data choice.Draws choice.Count |> Evaluation.fit job.Data

        let rng =
            match choice.Seed with
            | Some seed -> Rng.ofSeed seed |> Rng.named "samples"
            | None -> job.Stream "samples"

        let drawn = Finish.samples terminal job state drawing rng protocol.Pool
        let scores = Finish.evaluate terminal folder job protocol drawn

        Terminal.give
            terminal
            (Json.object
                [ "run", Json.text folder.Name
                  "sampler", Json.text drawing.Sampler.Name
                  "steps", Json.whole (int64 drawing.Steps)
                  "draws", Json.whole (int64 protocol.Draws)
                  "samplesPerDraw", Json.whole (int64 protocol.Size)
                  "samples", Json.whole (int64 protocol.Pool)
                  "metrics", Json.node (Evaluation.json scores) ])

        Exit.Success

    let command =
        Command.make<EvaluateArgument>
            "evaluate"
            "measures a run's samples against held-out data, beside the noise floor"
            [ "./fokker evaluate moons", "Wasserstein distances and kernel discrepancies, each with its floor"
              "./fokker evaluate moons --json | jq .metrics.wasserstein2.ratio", "one figure for a script" ]
            run
