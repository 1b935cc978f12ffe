namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// The study `variance` on Fashion-MNIST: there is imperceptible detail, which counts in the bound and hardly in L_simple
/// (Ho, Jain, Abbeel 2020, DDPM, table 2; Nichol, Dhariwal 2021, Improved DDPM, tables 1 and 2).
module VarianceOnImages =

    let private standardSteps, standardCount = 1000L, 300
    let private batch, atOnce = 64, 50

    /// Steps of the bound and of sampling, out of the thousand that were trained.
    let private bounds, samplings = [ 50; 200 ], [ 20; 50 ]

    /// The losses of the paper's table: its L, its L_simple, and the improved hybrid.
    let private trainings =
        Variance.trainings |> List.filter (fun training -> training.Objective.Name <> "vlb-learned")

    /// A network without classes, trained on the images' noise.
    let private trained (steps: int64) (data: Dataset) (key: Rng) (training: Variance.Training) report : Model =
        let network =
            Networks.unet
                { Unet.standard data.Shape.Head with Width = 32; Blocks = 1; Outputs = training.Objective.Outputs }

        let batches step = { Dataset.batches Kind.Float32 batch (Rng.named "data" key) data step with Label = None }

        Variance.train steps network batches key training report

    /// What one model with one variance measures: bits a dimension by each bound, distances by each sampling, and some samples.
    type private Outcome = { Bits: Estimate list; Distances: Estimate list; Seen: Tensor }

    let private outcome
        (data: Dataset)
        (classifier: FeatureClassifier)
        (n: int)
        (key: Rng)
        (report: float -> unit)
        (model: Model)
        (variance: StepVariance)
        : Outcome =
        let d = List.fold (*) 1 data.Shape
        let total = float (bounds.Length + samplings.Length)

        // Bytes spread over their cells: the density of that is no larger than the bytes' own probability.
        let test =
            Scope.run (fun () ->
                let x = (Dataset.heldOut Kind.Float64 (max 2 (n / 5)) (Rng.named "test" key) data).Data
                let spread = Likelihood.dequantized (Rng.named "cells" key) (Tensor.round (Units.toData data.Units x))
                Units.toNetwork data.Units spread)

        let bits k steps =
            report (float k / total)
            let pieces = Tensor.split atOnce 0 test

            let nats =
                [| for i, part in Seq.indexed pieces do
                       let rng = Rng.at (int64 i) (Rng.named "bound" key)
                       yield! Scope.run (fun () -> Tensor.toFloats (Variance.bound variance steps model rng part)) |]

            Measure.overDraws nats.Length (fun k ->
                Likelihood.bitsPerDimension d (-nats[k] - Units.logVolume data.Units d))

        let samples k steps =
            report (float (bounds.Length + k) / total)
            Variance.drawn data.Shape atOnce variance steps model n (Rng.named "samples" key)

        let drawn = samplings |> List.mapi samples
        let distance (x: Tensor) =
            FeatureDistance.between (n / 2) classifier data (Rng.named "distance" key) (x.To Dtype.Float32)

        { Bits = bounds |> List.mapi bits
          Distances = drawn |> List.map distance
          Seen = Tensor.narrow 0 0 10 (List.last drawn) }

    let private estimate (e: Estimate) = Cell.Text(Study.plusMinus (e.Mean, e.StandardError))

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let steps = defaultArg options.Steps standardSteps
        let n = max 20 (defaultArg options.Count standardCount)
        let data = Datasets.load "fashion-mnist"
        let classifier = FeatureDistance.classifier terminal data
        let key = Rng.ofSeed 1L

        let models =
            Progress.run terminal "training" 1.0 (fun report ->
                [ for k, training in List.indexed trainings ->
                      let seen share = report ((float k + share) / float trainings.Length) training.Name
                      training, trained steps data key training seen ])

        let cases =
            [ for training, model in models do
                  for variance in training.Variances -> training, variance, model ]

        let name (training: Variance.Training, variance, _) = $"{training.Name}, {Variance.symbol variance}"

        let outcomes =
            Progress.run terminal "measuring" 1.0 (fun report ->
                [ for k, case in List.indexed cases ->
                      let _, variance, model = case
                      let seen share = report ((float k + share) / float cases.Length) (name case)
                      outcome data classifier n key seen model variance ])

        let floor = FeatureDistance.floor (n / 2) classifier data (Rng.named "floor" key)

        let measures: (string * (Outcome -> Estimate)) list =
            [ for k, s in List.indexed bounds -> $"bits/dim, {s} steps", (fun o -> o.Bits[k])
              for k, s in List.indexed samplings -> $"Fréchet, {s} steps", (fun o -> o.Distances[k]) ]

        let pictures =
            { Title = $"{List.last samplings} steps"
              Images =
                Scope.run (fun () ->
                    SamplePicture.images
                        (Option.get data.Range)
                        (Units.toData data.Units (Tensor.cat 0 [ for o in outcomes -> o.Seen ])))
              Columns = 10
              Labels =
                [| for case in cases do
                       yield! Array.init 10 (fun k -> if k = 0 then name case else "") |] }

        { DataSet = data.Name
          Summary =
            $"A DDPM of {Variance.trainedSteps} steps trained by its variational bound $L$, by $L_simple$ and by $L_hybrid$ with the variance of its steps learned: {steps} steps of {batch} images, one seed."
          Headlines = []
          Sections =
            [ Study.table
                  "Bits and samples"
                  $"The bound in bits a dimension of {max 2 (n / 5)} held-out images, bytes spread over their cells, with one draw of noise a step; Fréchet distance on {FeatureClassifier.featureCount} features of sets of {n / 2} out of {n} samples, {FeatureDistance.draws} pairs of sets: two sets of data are {Study.plusMinus (floor.Mean, floor.StandardError)} apart. Standard errors of the measurement, not over trainings."
                  ("" :: List.map fst measures)
                  [ for case, outcome in List.zip cases outcomes ->
                        Cell.Text(name case) :: [ for _, read in measures -> estimate (read outcome) ] ]
              { Title = "Samples"
                Note = "The first ten of each, from the same noise, not picked."
                Bodies = [ Body.Images [ pictures ] ] } ]
          Json =
            [ "steps", Json.whole steps
              "samples", Json.whole (int64 n)
              "floor", Json.number floor.Mean
              "cases",
              Json.array
                  [ for (training, variance, _), outcome in List.zip cases outcomes ->
                        let values key (estimates: Estimate list) =
                            key, Json.array [ for e in estimates -> Json.number e.Mean ]

                        Json.node (
                            Json.object
                                [ "loss", Json.text training.Objective.Name
                                  "variance", Json.text (Variance.symbol variance)
                                  values "bitsPerDimension" outcome.Bits
                                  values "frechet" outcome.Distances ]
                        ) ] ] }

    let study: Study =
        { Name = "variance-images"
          Summary = "the variational bound, L_simple and a learned variance on Fashion-MNIST, by bits and by samples"
          Reference =
            "Ho, Jain, Abbeel 2020, DDPM, table 2; Nichol, Dhariwal 2021, Improved DDPM, section 3.1 and tables 1 and 2"
          Uses =
            [ "--steps", "optimization steps of each training (1,000)"
              "--count", "samples of each variance, a fifth as many held-out images for the bound (300)" ]
          IsShared = false
          Run = run }
