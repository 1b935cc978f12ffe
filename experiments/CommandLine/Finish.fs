namespace Fokker.Experiments

open System
open System.IO
open System.Text.Json.Nodes
open Fokker

/// What follows the training of a run: samples, measures, report. Each can be done again later by a command of its own.
module Finish =

    /// Draws samples, under a progress bar.
    let samples (terminal: Terminal) (subject: Subject) (drawing: Drawing) (rng: Rng) (n: int) : Tensor =
        Progress.run terminal "sampling" 1.0 (Samples.draw subject drawing rng n)

    /// The Fréchet distance on the features of a classifier of the data's own classes, which is trained at its first use and
    /// kept; none for data without classes.
    let private frechet (terminal: Terminal) (data: Dataset) : Measure option =
        if not data.IsImage || data.Classes.Length < 2 then
            None
        else
            let classifier =
                Progress.run terminal "classifier" 1.0 (fun report ->
                    Classifier.cached (fun made all -> report (float made / float all) "") data)

            let measure = Classifier.frechet classifier
            let inside = Units.toNetwork data.Units
            Some { measure with Between = fun rng x y -> measure.Between rng (inside x) (inside y) }

    /// Measures samples, prints the scores and, where there is a run's folder, keeps them in it.
    let evaluate (terminal: Terminal) (subject: Subject) (protocol: Protocol) (samples: Tensor) : Score list =
        let more = Option.toList (frechet terminal subject.Data)

        let scores =
            Progress.run
                terminal
                "measuring"
                1.0
                (Evaluation.score protocol subject.Data more samples (subject.Stream "evaluation"))

        for score in scores do
            Terminal.tell terminal (Evaluation.line score)

        match subject.Origin with
        // The run's own figures are those without guidance.
        | Trained run when subject.Guidance.IsNone ->
            Runs.writeJson run.Evaluation (Json.object [ "metrics", Evaluation.json scores ])
        | _ -> ()

        scores

    /// The seed's own samples: as many as the measures want. Where too little is held out there are samples and a report without measures.
    let all (terminal: Terminal) (run: RunFolder) (job: Job) (state: TrainState) (draws: int option) : Score list =
        let subject = Subject.trained run job state.Average
        let isMeasured = Evaluation.isMeasurable job.Data
        let protocol = Evaluation.protocol job.Data draws None
        let protocol = if isMeasured then Evaluation.fit job.Data protocol else { protocol with Pool = protocol.Size }
        let drawn = samples terminal subject (Samples.standardFor subject) (job.Stream "samples") protocol.Pool
        Results.saveSamples run subject drawn

        let scores =
            if isMeasured then
                evaluate terminal subject protocol drawn
            else
                Terminal.warn terminal $"{job.Data.Name}: too few samples are held out to measure anything against"
                []

        Progress.run terminal "report" 1.0 (fun _ -> Results.report run job state drawn scores)
        drawn.Dispose()
        Terminal.tell terminal $"report: {run.Report}"
        scores
