namespace Fokker.Experiments

open System
open System.IO
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Class-conditional Fashion-MNIST with more and less guidance: Ho, Salimans 2022, Classifier-free diffusion guidance, whose trade of
/// diversity for likeness to the class is measured by a classifier that had no part in the training, and by the Fréchet distance.
module Guidance =

    /// One row of the study: a name and the guidance of it.
    type private Case = { Name: string; Guidance: Fokker.Guidance }

    let private cases =
        let scaled (s: float) = { Name = $"s = {s}"; Guidance = Guidance.scaled s }
        let low, high = 0.25, 4.0

        [ scaled 0.0
          scaled 1.0
          scaled 3.0
          { Name = $"s = 3 where {low} < σ/α ≤ {high}"
            Guidance = { Guidance.scaled 3.0 with Interval = Some(low, high) } } ]

    let private runName = "study-guidance"
    let private standardSteps, standardCount = 2000L, 2000

    /// What one case measures.
    [<NoComparison; NoEquality>]
    type private Outcome = { Case: Case; Samples: Tensor; Accuracy: Estimate; Frechet: Estimate }

    /// The share of samples that the classifier takes for what they were meant to be; samples take turns in their classes.
    let private accuracy (classifier: FeatureClassifier) (classes: int) (x: Tensor) : Estimate =
        let found = Tensor.toArray<int64>(FeatureClassifier.classify classifier x)
        Measure.overDraws found.Length (fun i -> if found[i] = int64 (i % classes) then 1.0 else 0.0)

    /// The first samples of each class, a row for each.
    let private rows (data: Dataset) (columns: int) (outcome: Outcome) : ImageGrid =
        let classes = data.Classes.Length
        let index =
            [| for c in 0 .. classes - 1 do
                   for k in 0 .. columns - 1 -> int64 (c + k * classes) |]

        { Title = outcome.Case.Name
          Images =
            Scope.run (fun () ->
                let chosen = Tensor.indexSelect 0 (Tensor.ofArray [ index.Length ] index) outcome.Samples
                SamplePicture.images (Option.get data.Range) chosen)
          Columns = columns
          // The class stands under the first of its row.
          Labels = data.Classes |> List.collect (fun name -> name :: List.replicate (columns - 1) "") |> Array.ofList }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let folder = OwnRun.chosen terminal options runName [ "fashion-mnist" ] standardSteps
        let model, data = OwnRun.opened terminal folder
        let recipe = Runs.recipe folder

        if not (data.IsImage && model.Labels && model.Null) then
            raise (
                UserError
                    $"--run {folder.Name}: the study wants images with classes and a network that learned what no class looks like: take a run trained on fashion-mnist with --label-dropout 0.1"
            )

        let classes = data.Classes.Length
        let columns = 6
        let n = max (classes * columns) (defaultArg options.Count standardCount)
        let size = min n 1000

        let classifier = FeatureDistance.classifier terminal data
        let rng = model.Stream "study"

        let outcome (case: Case) =
            let request =
                { GuidanceRequest.none with Scale = Some case.Guidance.Scale; Interval = case.Guidance.Interval }

            let guided = Guided.apply request model
            Terminal.say terminal case.Name
            // The same noise for every case: what differs between their pictures is guidance.
            let x = Finish.samples terminal guided (Samples.standardFor guided) (Rng.named "samples" rng) n
            let inside = (Units.toNetwork data.Units x).To Dtype.Float32

            { Case = case
              Samples = x
              Accuracy = accuracy classifier classes inside
              Frechet = FeatureDistance.between size classifier data (Rng.named "frechet" rng) inside }

        let outcomes = List.map outcome cases
        let floor = FeatureDistance.floor size classifier data (Rng.named "floor" rng)
        let drawing = Samples.standardFor model
        let estimate (e: Estimate) = Study.plusMinus (e.Mean, e.StandardError)

        let plain, guided = outcomes[1], outcomes[2]
        let percent (e: Estimate) = (100.0 * e.Mean).ToString("F1", Globalization.CultureInfo.InvariantCulture) + " %"

        { DataSet = data.Name
          Summary =
            $"Samples of `{folder.Name}` ({recipe.Steps} steps, labels left out with probability {recipe.LabelDropout}) under $y_∅ + s (y_c − y_∅)$: how many of them a classifier that had no part in it takes for what they were meant to be, and how far their law is from that of the data."
          Headlines =
            [ { Label = "Accuracy"
                Value = percent guided.Accuracy
                Note = $"{percent plain.Accuracy} without guidance" }
              { Label = "On held-out data"
                Value = percent { guided.Accuracy with Mean = classifier.Accuracy }
                Note = "the classifier's own accuracy" } ]
          Sections =
            [ Study.table
                  "Accuracy and distance"
                  $"{n} samples a row, {drawing.Sampler.Name} with {drawing.Steps} steps, the same noise for all, classes in turn; $s = 0$ does not know the class. Means with standard errors. Fréchet distance on {FeatureClassifier.featureCount} features, {FeatureDistance.draws} pairs of sets of {size}; two sets of held-out data are {estimate floor} apart. The classifier is right on {100.0 * classifier.Accuracy:F1} %% of the held-out data."
                  [ "guidance"; "accuracy"; "Fréchet distance" ]
                  [ for o in outcomes ->
                        [ Cell.Text o.Case.Name; Cell.Text(estimate o.Accuracy); Cell.Text(estimate o.Frechet) ] ]
              { Title = "Samples"
                Note = "A row for each class, its first samples, not picked; the same place is the same noise."
                Bodies = [ for pair in List.chunkBySize 2 outcomes -> Body.Images(List.map (rows data columns) pair) ] } ]
          Json =
            [ "run", Json.text folder.Name
              "samples", Json.whole (int64 n)
              "classifierAccuracy", Json.number classifier.Accuracy
              "frechetFloor", Json.number floor.Mean
              "cases",
              Json.array
                  [ for o in outcomes ->
                        Json.node (
                            Json.object
                                [ "name", Json.text o.Case.Name
                                  "guidance", Json.number o.Case.Guidance.Scale
                                  "accuracy", Json.number o.Accuracy.Mean
                                  "accuracyStandardError", Json.number o.Accuracy.StandardError
                                  "frechet", Json.number o.Frechet.Mean
                                  "frechetStandardError", Json.number o.Frechet.StandardError ]
                        ) ] ] }

    let study: Study =
        { Name = "guidance"
          Summary = "class-conditional Fashion-MNIST with guidance 0, 1 and 3"
          Reference = "Ho, Salimans 2022, Classifier-free diffusion guidance; Kynkäänniemi et al. 2024 (the interval)"
          Uses =
            [ "--run", "a class-conditional run of images to study, in place of one of its own"
              "--steps", "optimization steps of its own run, runs/study-guidance (2,000)"
              "--count", "samples at each scale (2,000)" ]
          IsShared = false
          Run = run }
