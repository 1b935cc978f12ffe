namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// How much noise a step should put back, and how many steps there should be: Song, Meng, Ermon 2021, DDIM, section 5.1 and table 1. The same
/// network serves every cell: the processes share its marginals. An exact model tells what of it is the steps' doing and not the network's.
module Ddim =

    /// A row of the table: DDIM(η), or DDPM's steps with the larger variance.
    type private Row = { Name: string; Sampler: Sampler }

    let private rows =
        [ for eta in [ 0.0; 0.2; 0.5; 1.0 ] do
              { Name = $"η = {eta}"; Sampler = Samplers.ddimWith eta }
          { Name = "σ̂"; Sampler = Samplers.ancestralLarge } ]

    let private few, many = [ 10; 20; 50; 100 ], 1000

    /// Each row's estimates, one for each number of steps, and what a perfect sampler would measure.
    [<NoComparison; NoEquality>]
    type private Found = { Steps: int list; Rows: (Row * Estimate list) list; Floor: Estimate }

    // ---- the oracle

    let private points = 1000

    /// Three Gaussians, two of them far thinner than they are apart.
    let mixture () : Mixture =
        Mixture.ofStds
            [| 0.4; 0.3; 0.3 |]
            (Tensor.ofArray [ 3; 2 ] [| -1.0; 0.5; 1.0; 0.6; 0.2; -1.0 |])
            (Tensor.ofArray [ 3; 2 ] [| 0.3; 0.03; 0.05; 0.3; 0.15; 0.15 |])

    let private onOracle (draws: int) (report: Ticker) : Found =
        let m = mixture ()
        let model = Mixture.model Paths.ddpm Prediction.noise m
        let rng = Rng.ofSeed 0L
        let data rng = Mixture.sample points rng m
        let steps = few @ [ many ]

        let sampled (row: Row) steps rng =
            let plan = { Sampling.plan row.Sampler steps model with Grid = Grid.leading; Kind = Kind.Float64 }

            match Sampling.draw plan model None [ 2 ] points points rng with
            | Ok x -> x
            | Error failure -> raise (UserError $"{row.Name}, {steps} steps: sampling failed at {failure}")

        { Steps = steps
          Rows =
            [ for k, row in List.indexed rows do
                  row,
                  [ for s in steps do
                        report (float k / float rows.Length) $"{row.Name}, {s} steps"
                        // The same noise at the start and the same data for every cell.
                        Measure.over draws (Rng.named "value" rng) (sampled row s) data Measures.wasserstein2 ] ]
          Floor = Measure.floor draws (Rng.named "floor" rng) data Measures.wasserstein2 }

    // ---- images

    let private runName = "study-ddim"
    let private standardSteps, standardCount = 2000L, 300

    let private opened (terminal: Terminal) (options: StudyOptions) : GenerativeModel * Dataset =
        let words = [ "fashion-mnist"; "--path"; "ddpm"; "--loss"; "simple" ]
        let folder = OwnRun.chosen terminal options runName words standardSteps
        let model, data = OwnRun.opened terminal folder

        if not (data.IsImage && data.Classes.Length > 1) || model.Path.Name <> Paths.ddpm.Name then
            raise (
                UserError
                    $"--run {folder.Name}: the study's steps are those of a DDPM of images with classes: take a run trained on fashion-mnist with --path ddpm --loss simple"
            )

        model.ScoreModel(Setting.Model, folder.Name) |> ignore
        model, data

    /// Samples of every row by so many steps, in the data's units.
    let private drawn (terminal: Terminal) (model: GenerativeModel) (n: int) (steps: int) : (Row * Tensor) list =
        [ for row in rows do
              Terminal.say terminal $"{row.Name}, {steps} steps"

              let drawing = { Samples.standardFor model with Sampler = row.Sampler; Grid = Grid.leading; Steps = steps }

              row, Finish.samples terminal model drawing (model.Stream "study") n ]

    /// Distances of sets of so many images.
    let private onImages
        (classifier: FeatureClassifier)
        (model: GenerativeModel)
        (data: Dataset)
        (size: int)
        (samples: (int * (Row * Tensor) list) list)
        : Found =
        let rng = model.Stream "measure"

        let distance (x: Tensor) =
            Scope.run (fun () ->
                FeatureDistance.between
                    size
                    classifier
                    data
                    (Rng.named "value" rng)
                    ((Units.toNetwork data.Units x).To Dtype.Float32))

        { Steps = List.map fst samples
          Rows = [ for k, row in List.indexed rows -> row, [ for _, drawn in samples -> distance (snd drawn[k]) ] ]
          Floor = FeatureDistance.floor size classifier data (Rng.named "floor" rng) }

    /// The first sample of each class, a line for each row of the table.
    let private pictures (data: Dataset) (steps: int, drawn: (Row * Tensor) list) : ImageGrid =
        let columns = data.Classes.Length

        { Title = $"{steps} steps"
          Images =
            Scope.run (fun () ->
                SamplePicture.images
                    (Option.get data.Range)
                    (Tensor.cat 0 [ for _, x in drawn -> Tensor.narrow 0 0 columns x ]))
          Columns = columns
          Labels =
            [| for row, _ in drawn -> row.Name |]
            |> Array.collect (fun name -> Array.init columns (fun k -> if k = 0 then name else "")) }

    // ---- what is shown

    let private estimate (e: Estimate) = Study.plusMinus (e.Mean, e.StandardError)

    let private table title note (found: Found) : Section =
        let floor = Cell.Text "two sets of data" :: List.replicate found.Steps.Length (Cell.Text(estimate found.Floor))

        Study.table
            title
            note
            ("" :: [ for s in found.Steps -> $"S = {s}" ])
            ([ for row, values in found.Rows -> Cell.Text row.Name :: [ for v in values -> Cell.Text(estimate v) ] ]
             @ [ floor ])

    let private chart (what: string) (found: Found) : Body =
        let xs = found.Steps |> List.map float |> Array.ofList

        Body.Lines
            { XLabel = "steps S"
              YLabel = what
              LogX = true
              LogY = true
              Lines =
                [ for k, (row, values) in List.indexed found.Rows do
                      { Label = row.Name
                        Tone = Tone.Series k
                        Stroke = Stroke.Marked
                        X = xs
                        Y = [| for v in values -> v.Mean |] }
                  { Label = "two sets of data"
                    Tone = Tone.Data
                    Stroke = Stroke.Dashed
                    X = xs
                    Y = Array.create xs.Length found.Floor.Mean } ] }

    let private withChart what (found: Found) (section: Section) =
        { section with Bodies = section.Bodies @ [ chart what found ] }

    let private json (found: Found) =
        let one (row: Row) steps (e: Estimate) =
            Json.node (
                Json.object
                    [ "row", Json.text row.Name
                      "steps", Json.whole (int64 steps)
                      "value", Json.number e.Mean
                      "standardError", Json.number e.StandardError ]
            )

        Json.node (
            Json.object
                [ "floor", Json.number found.Floor.Mean
                  "cells",
                  Json.array
                      [ for row, values in found.Rows do
                            for steps, value in List.zip found.Steps values do
                                one row steps value ] ]
        )

    /// The row that is nearest by so many steps.
    let private best (steps: int) (found: Found) : string =
        let column = List.findIndex ((=) steps) found.Steps
        let row, _ = found.Rows |> List.minBy (fun (_, values) -> values[column].Mean)
        row.Name

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        // What can be refused is refused before anything takes long.
        let model, data = opened terminal options
        let count = defaultArg options.Count standardCount
        let draws = Math.Clamp(count / 30, 2, 10)
        let oracle = Progress.run terminal "oracle" 1.0 (onOracle draws)
        let classifier = FeatureDistance.classifier terminal data
        let classes = data.Classes.Length
        let n = max (5 * classes) count
        // A thousand steps take ten times the time of a hundred: a quarter of the samples.
        let small = max classes (n / 4)
        let short = [ for s in few -> s, drawn terminal model n s ]
        let all = short @ [ many, drawn terminal model small many ]
        let large, even = onImages classifier model data n short, onImages classifier model data small all

        let steps =
            match model.Origin with
            | Origin.Trained trained -> trained.Training.Steps
            | Origin.Exact _
            | Origin.Supplied -> 0L

        let bests (found: Found) steps =
            { Label = $"Best by {steps} steps"
              Value = best steps found
              Note = $"{best steps oracle} on the oracle" }

        { DataSet = data.Name
          Summary =
            "DDIM's table: samples by $S$ of a DDPM's 1000 steps, with the noise of each step from none ($η = 0$) to DDPM's own ($η = 1$) and DDPM's larger variance ($σ̂$); on a mixture whose denoiser is exact, and with a trained network."
          Headlines = [ bests large 10; bests large 100; bests even many ]
          Sections =
            [ table
                  "The exact denoiser"
                  $"2-Wasserstein distance of {points} samples to as many of a mixture of three Gaussians in the plane; means over {draws} pairs of sets with standard errors. Every {many}/S-th step of the `ddpm` path from the first on, float64."
                  oracle
              |> withChart "2-Wasserstein distance" oracle
              table
                  "Fashion-MNIST"
                  $"Fréchet distance on {FeatureClassifier.featureCount} features of sets of {small} images, samples of `{model.Name}` ({steps} steps of training); means over {FeatureDistance.draws} pairs of sets with standard errors. {n} samples a cell, {small} by {many} steps; classes in turn, the same noise at the start."
                  even
              |> withChart "Fréchet distance" even
              table
                  "Fashion-MNIST, larger sets"
                  $"The same samples in sets of {n}: the distance's bias falls with the size of a set, so the two tables do not compare."
                  large
              { Title = "Samples"
                Note =
                  "A line for each row of the table, the first sample of each class, not picked; a column starts from the same noise."
                Bodies = [ for cells in all -> Body.Images [ pictures data cells ] ] } ]
          Json =
            [ "run", Json.text model.Name
              "samples", Json.whole (int64 n)
              "oracle", json oracle
              $"frechet{small}", json even
              $"frechet{n}", json large ] }

    let study: Study =
        { Name = "ddim"
          Summary = "DDIM's table of stochasticity against steps, on an oracle and on Fashion-MNIST"
          Reference = "Song, Meng, Ermon 2021, Denoising diffusion implicit models, section 5.1 and table 1"
          Uses =
            [ "--run", "a run of images on the path ddpm to study, in place of one of its own"
              "--steps", "optimization steps of its own run, runs/study-ddim (2,000)"
              "--count",
              "samples of each cell, a quarter of them by 1,000 steps, and 30 times the pairs of sets on the oracle, which are 2 to 10 (300)" ]
          IsShared = false
          Run = run }
