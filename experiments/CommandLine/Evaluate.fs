namespace Fokker.Experiments

open Argu
open Fokker

type EvaluateArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] Draws of pairs: int
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
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
            | Steps _ -> "steps of the sampler"
            | Seed _ -> "seed of the samples (the run's own)"
            | Batch _ -> "samples that go through the network at once"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json ->
                "print one JSON object on standard output: metrics.wasserstein2.value, .floor, .ratio, .standardError, …"

/// `fokker evaluate`: how far a run's samples are from held-out data, beside how far held-out data are from each other.
module Evaluate =

    let private run (terminal: Terminal) (arguments: EvaluateArgument list) =
        let pick chooser = List.tryPick chooser arguments
        let root =
            pick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let folder =
            match
                pick (function
                    | Run name -> Some name
                    | _ -> None)
            with
            | Some name -> Runs.find root name
            | None -> raise (UserError "say which run: ./fokker evaluate moons")

        let atLeast least option value =
            match value with
            | Some n when n < least -> raise (UserError $"{option} {n}: expected a whole number of at least {least}")
            | value -> value

        let draws =
            pick (function
                | Draws n -> Some n
                | _ -> None)
            |> atLeast 2 "--draws"
        let size =
            pick (function
                | Count n -> Some n
                | _ -> None)
            |> atLeast 8 "-n"
        let steps =
            pick (function
                | Steps n -> Some n
                | _ -> None)
            |> atLeast 1 "--steps"
        let batch =
            pick (function
                | Batch n -> Some n
                | _ -> None)
            |> atLeast 1 "--batch"
        let job, state =
            Runs.load
                folder
                (pick (function
                    | Device name -> Some name
                    | _ -> None))
        let protocol = Evaluation.protocol job.Data draws size |> Evaluation.fit job.Data
        let usual = Samples.standardFor job.Data

        let drawing = { usual with Steps = defaultArg steps usual.Steps; Batch = defaultArg batch usual.Batch }

        let rng =
            match
                pick (function
                    | Seed seed -> Some seed
                    | _ -> None)
            with
            | Some seed -> Rng.ofSeed seed |> Rng.named "samples"
            | None -> job.Stream "samples"

        let drawn = Finish.samples terminal job state drawing rng protocol.Pool
        let scores = Finish.evaluate terminal folder job protocol drawn

        Terminal.give
            terminal
            (Json.object
                [ "run", Json.text folder.Name
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
