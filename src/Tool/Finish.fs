namespace Fokker.Tool

open System
open System.IO
open System.Text.Json.Nodes
open Fokker

/// What follows the training of a run: samples, measures, report. Each can be done again later by a command of its own.
module Finish =

    /// Draws samples, under a progress bar.
    let samples (terminal: Terminal) (model: GenerativeModel) (drawing: Drawing) (rng: Rng) (n: int) : Tensor =
        Progress.run terminal "sampling" 1.0 (Samples.draw model drawing rng n)

    /// The same by several processes, a share of the batches each. Refused is what only the process has that drew it.
    let samplesTogether
        (ranks: IRanks)
        (terminal: Terminal)
        (model: GenerativeModel)
        (drawing: Drawing)
        (rng: Rng)
        (n: int)
        : Tensor =
        match drawing.Trajectory, drawing.Steering with
        | _ when Ranks.isAlone ranks -> ()
        | Some _, _ ->
            raise (
                UserError
                    $"{ranks.Count} processes: a trajectory is kept of one process's samples: take one process, or leave --trajectory out"
            )
        | _, Some { Particles = Some _ } ->
            raise (
                UserError
                    $"{ranks.Count} processes: what particles say of themselves is kept of one process's samples: take one process"
            )
        | _ -> ()

        Progress.run terminal "sampling" 1.0 (Samples.drawTogether ranks model drawing rng n)

    /// Measures samples of a model against what data hold out, and prints the scores.
    let evaluate
        (terminal: Terminal)
        (model: GenerativeModel)
        (data: Dataset)
        (protocol: Protocol)
        (samples: Tensor)
        : Score list =
        let classifier =
            if Evaluations.hasFeatures data then
                Some(Progress.run terminal "classifier" 1.0 (Evaluations.classifier data))
            else
                None

        let scores =
            Progress.run
                terminal
                "measuring"
                1.0
                (Evaluations.score protocol data classifier samples (Evaluations.measuresKey model.Seed))

        for score in scores do
            Terminal.tell terminal (Evaluation.line score)

        scores

    /// Finds the density of held-out samples under a model and prints it, where it has one.
    let density (terminal: Terminal) (model: GenerativeModel) (data: Dataset) : HeldOutDensity option =
        let found =
            if HeldOut.hasDensity model then
                Progress.run terminal "likelihood" 1.0 (Evaluations.density model data)
            else
                None

        found |> Option.iter (Evaluation.densityLine >> Terminal.tell terminal)
        found

    /// The scores and the density as JSON's fields.
    let figures (scores: Score list) (density: HeldOutDensity option) : (string * (JsonNode | null)) list =
        [ "metrics", Json.node (Evaluation.json scores)
          "density", Json.optional (Evaluation.densityJson >> Json.node) density ]

    /// Keeps a run's figures in its folder, for its report.
    let keep (run: RunFolder) (scores: Score list) (density: HeldOutDensity option) =
        Runs.writeJson run.Evaluation (Json.object (figures scores density))

    /// The share of held-out samples whose class a classifier names rightly, by the time that they are noised to; none where too few are held out.
    let classified
        (terminal: Terminal)
        (run: RunFolder)
        (job: Job)
        (state: TrainState)
        : (string * (JsonNode | null)) list =
        let accuracies =
            if Evaluations.isMeasurable job.Data then
                Scope.run (fun () ->
                    let batch = Dataset.heldOut job.Kind 2000 (job.Stream "evaluation") job.Data

                    [ for t in [ 0.05; 0.25; 0.5; 0.75; 0.95 ] ->
                          let hits =
                              NoisyClassifier.hits
                                  job.Objective.Path
                                  job.Network
                                  state.Average
                                  t
                                  (job.Stream "classified")
                                  batch
                              |> Tensor.toFloats

                          t, Measure.overDraws hits.Length (fun k -> hits[k]) ])
            else
                []

        for t, accuracy in accuracies do
            Terminal.tell terminal $"right at t = {t}: {accuracy.Mean:F3} ± {accuracy.StandardError:F3}"

        let json () =
            [ "accuracy",
              Json.array
                  [ for t, accuracy in accuracies ->
                        Json.node (
                            Json.object
                                [ "t", Json.number t
                                  "value", Json.number accuracy.Mean
                                  "standardError", Json.number accuracy.StandardError ]
                        ) ] ]

        Runs.writeJson run.Evaluation (Json.object (json ()))
        json ()

    /// What a report says of a training of its own kind.
    let sections (terminal: Terminal) (run: RunFolder) (recipe: Recipe) (data: Dataset) (model: GenerativeModel) =
        [ RoundsReport.section terminal run recipe data; TuningReport.section terminal run recipe model ]
        |> List.choose id

    /// The seed's own samples: as many as the measures want. Where too little is held out there are samples and a report without measures.
    let all
        (terminal: Terminal)
        (run: RunFolder)
        (recipe: Recipe)
        (data: Dataset)
        (model: GenerativeModel)
        (draws: int option)
        : Score list * HeldOutDensity option =
        let isMeasured = Evaluations.isMeasurable data
        let protocol = Evaluations.protocol data draws None
        let protocol = if isMeasured then Evaluations.fit data protocol else { protocol with Pool = protocol.Size }
        let key = Evaluations.samplesKey model.Seed
        let drawing = Samples.standardFor model |> Evaluations.telling data model key protocol.Pool
        let drawn = samples terminal model drawing key protocol.Pool
        Results.saveSamples run model (Some data) drawn |> ignore

        let scores, density =
            if isMeasured then
                let scores = evaluate terminal model data protocol drawn
                let density = density terminal model data
                keep run scores density
                scores, density
            else
                Terminal.warn terminal $"{data.Name}: too few samples are held out for a measurement"
                [], None

        let own = sections terminal run recipe data model

        Progress.run terminal "report" 1.0 (fun _ ->
            Results.report terminal.Known run recipe data model drawing drawn scores density own)
        drawn.Dispose()
        Terminal.tell terminal $"report: {run.Report}"
        scores, density
