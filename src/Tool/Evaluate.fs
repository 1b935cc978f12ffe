namespace Fokker.Tool

open System
open Argu
open Fokker

type EvaluateArgument =
    | [<Unique>] Draws of pairs: int
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Against of file: string
    | [<Unique>] Data of dataset: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Draws _ -> "pairs of sets that each figure is a mean over (20; 10 for images)"
            | Count _ -> "samples in a set (1,000)"
            | Seed _ -> "seed of the samples (the run's own; 0 for an oracle)"
            | Data _ ->
                "the data set whose held-out samples are compared with the model's (the one that the model was trained on; an oracle's own law)"
            | Label _ -> "samples of one class, against data of that class: its number or its name"
            | Against _ ->
                "a mixture's file, the law that the data are of: also the KL divergence from the true reverse process to the model's"

/// `fokker evaluate`: how far a model's samples are from held-out data, beside how far held-out data are from each other.
module Evaluate =

    let private runWith
        (ranks: IRanks)
        (terminal: Terminal)
        (model: ModelArgument list)
        (arguments: EvaluateArgument list)
        =
        let options = ModelChoice.ofArguments terminal.Known model
        let terminal = { terminal with Quiet = options.Quiet }
        let pick chooser = List.tryPick chooser arguments

        let draws =
            pick (function
                | Draws n -> Some n
                | _ -> None)

        let count =
            pick (function
                | Count n -> Some n
                | _ -> None)

        let seed =
            pick (function
                | Seed seed -> Some seed
                | _ -> None)

        let against =
            pick (function
                | Against file -> Some file
                | _ -> None)

        let named =
            pick (function
                | Data name -> Some name
                | _ -> None)

        let label =
            pick (function
                | Label label -> Some label
                | _ -> None)

        let plain = ModelChoice.model "./fokker evaluate moons" options
        let data = DataOption.heldOut terminal plain named
        let generation = ModelChoice.generation options { Relative = None; Absolute = None } label plain

        let struct (task, protocol) =
            Validation.evaluation
                data
                plain
                { Sampling = { SamplingRequest.standard with Generation = generation }
                  Draws = draws
                  SamplesPerDraw = count }

        let model, drawing = task.Model, task.Drawing

        let data =
            match drawing.Label with
            | Some label -> Evaluations.ofClass model label data
            | None -> data

        let protocol = Evaluations.fit data protocol
        let rng = Evaluations.samplesKey (defaultArg seed model.Seed)
        // First: what cannot be is better known before the samples are drawn.
        let divergence =
            against
            |> Option.filter (fun _ -> ranks.Rank = 0)
            |> Option.map (fun file ->
                Scope.run (fun () -> Against.divergence file model 500 2000 (Rng.named "against" rng)))

        let isRounded = plain.Arithmetic <> plain.Kind.Dtype

        // A run's own figures, those of all classes without guidance against its own data, are kept with it.
        let own =
            if ranks.Rank = 0 && model.Guidance.IsNone && named.IsNone && label.IsNone && not isRounded then
                ModelChoice.runFolder options
            else
                None

        use claim =
            match own |> Option.bind (fun folder -> Run.tryClaim folder.Path) with
            | Some claim -> claim :> IDisposable | null
            | None -> null

        let drawing = Evaluations.telling data model rng protocol.Pool drawing
        let drawn = Finish.samplesTogether ranks terminal model drawing rng protocol.Pool

        // The first of several measures.
        if ranks.Rank > 0 then
            Exit.Success
        else
            let scores = Finish.evaluate terminal model data protocol drawn
            let density = if label.IsNone then Finish.density terminal model data else None

            match own, claim with
            | Some folder, null ->
                Terminal.warn
                    terminal
                    $"{folder.Path}: another process is writing to the run: these figures are not kept"
            | Some folder, _ -> Finish.keep folder scores density
            | None, _ -> ()

            divergence
            |> Option.iter (fun kl ->
                Terminal.tell
                    terminal
                    $"  KL of the true reverse process and this one: {kl.Mean:G4} ± {kl.StandardError:G2} nats")

            Terminal.give
                terminal
                (Json.object
                    [ yield! Described.model model
                      yield! Described.sampling model drawing (Samples.plan model drawing)
                      "data", Json.text data.Name
                      "draws", Json.whole (int64 protocol.Draws)
                      "samplesPerDraw", Json.whole (int64 protocol.Size)
                      "samples", Json.whole (int64 protocol.Pool)
                      match divergence with
                      | Some kl ->
                          "pathDivergence",
                          Json.node (
                              Json.object
                                  [ "value", Json.number kl.Mean; "standardError", Json.number kl.StandardError ]
                          )
                      | None -> ()
                      yield! Finish.figures scores density ])

            Exit.Success

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: EvaluateArgument list) =
        ModelChoice.preferEngine (ModelChoice.ofArguments terminal.Known model)
        Joined.around "evaluate" terminal (fun ranks terminal -> runWith ranks terminal model arguments)

    let command =
        Command.makeWith<ModelArgument, EvaluateArgument>
            "evaluate"
            "measures a run's samples against held-out data, beside the noise floor"
            [ "./fokker evaluate moons", "Wasserstein distances and kernel discrepancies, each with its floor"
              "./fokker evaluate moons --json | jq .metrics.wasserstein2.ratio", "one figure for a script"
              "./fokker evaluate --oracle mixture.json --solver euler --steps 5",
              "the error of a solver alone, since the network is exact"
              "./fokker evaluate mine --against mixture.json", "how far its score is from that of the law of its data" ]
            run
