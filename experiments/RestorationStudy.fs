namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Images restored from what was seen of them, by a model that was not trained for it: what the methods of steering come to where no posterior is known exactly. What can be held against a truth
/// there is the posterior's own account of its errors: the error of its mean should be as large as its spread says.
module RestorationStudy =

    let private runName = "study-restoration"
    let private standardSteps, standardCount, samplesEach = 2000L, 8, 8

    /// Five of 255 levels, in the units of [−1, 1].
    let private noise = 10.0 / 255.0

    let private steps = 50

    [<NoComparison; NoEquality>]
    type private Task = { Name: string; Sensor: Sensor }

    /// 1 where f (row, column) is seen, for each image of that height and width.
    let private mask height width (isSeen: int -> int -> bool) : Operator =
        Operator.Mask(
            Tensor.ofArray
                [ height; width ]
                [| for row in 0 .. height - 1 do
                       for column in 0 .. width - 1 -> if isSeen row column then 1.0 else 0.0 |]
        )

    let private tasks (shape: int list) : Task list =
        let channels, height, width = shape[0], shape[1], shape[2]

        let draws = Rng.uniform Kind.Float64 [ height * width ] (Rng.named "pixels" (Rng.ofSeed 2L)) |> Tensor.toFloats

        let isInBox row column =
            row >= height / 4 && row < height - height / 4 && column >= width / 4 && column < width - width / 4

        [ "the right half missing", mask height width (fun _ column -> column < width / 2)
          "a box in the middle missing", mask height width (fun row column -> not (isInBox row column))
          "90 % of the pixels missing", mask height width (fun row column -> draws[row * width + column] < 0.1)
          if height % 4 = 0 && width % 4 = 0 then
              "4 × super-resolution", Operator.Average 4
          "a blur of 1.5 pixels", Operator.Blur 1.5
          if channels > 1 then
              "colours missing", Operator.Grey ]
        |> List.map (fun (name, operator) ->
            { Name = name; Sensor = Sensor.make shape (Observation.make operator noise) })

    let private methods = [ "mmps"; "pigdm"; "diffpir"; "dps" ]

    /// What one method made of one task: x are `samplesEach` samples of each image, in the network's units.
    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Task: Task
            Method: string
            Seen: Tensor
            X: Tensor
            /// The mean square of y − A x over the noise's variance: 1 of the truth.
            Misfit: float
            /// Mean squares over images and pixels: of a sample's error, of the error of the mean of the samples, and what their own spread says that this one is.
            Sample: float
            Mean: float
            Spread: float
            Seconds: float
        }

    /// Peak signal to noise, in decibels, of a mean square in units whose range is 2.
    let private psnr (meanSquare: float) : float = 10.0 * Math.Log10(4.0 / meanSquare)

    let private meanSquare (x: Tensor) : float = (Tensor.mean (Tensor.square x)).ToFloat()

    let private outcome (model: GenerativeModel) (truth: Tensor) (task: Task) (method: string) : Outcome =
        let n, k = truth.Shape[0], samplesEach
        let rng = Rng.ofSeed 3L |> Rng.named task.Name
        let clean = task.Sensor.Apply truth

        let y = clean + noise * Rng.normalLike clean (Rng.named "n" rng) |> Sensor.observed task.Sensor

        let again (x: Tensor) = Tensor.repeatInterleave k 0 x

        let drawing =
            { Samples.standardFor model with
                Sampler = Samplers.ancestral
                Grid = Samplers.ancestral.Grid
                Steps = steps
                Batch = n * k
                Steering =
                    Some
                        { Method = Catalogue.steerings.Find method
                          Target = SteeringTarget.Observed(task.Sensor, again y)
                          Particles = None
                          LookAhead = None
                          Record = SteeringRecord() } }

        let before = Study.processor ()

        let drawn =
            Samples.draw model drawing (Rng.named method rng) (n * k) (fun _ _ -> ())
            |> GenerativeModel.inside model

        let seconds = Study.processor () - before
        let x = Tensor.reshape (n :: k :: model.Shape) drawn
        let mean = Tensor.meanOver [ 1 ] x
        // The mean of K samples of the posterior is off the truth by the posterior's variance and by its own, a K-th of that.
        let variance = (Tensor.mean (Tensor.varianceOver [ 1 ] 1 x)).ToFloat() * (1.0 + 1.0 / float k)

        { Task = task
          Method = method
          Seen = y
          X = x
          Misfit =
            (Tensor.mean (Sensor.misfit task.Sensor (again y) drawn)).ToFloat()
            / (float task.Sensor.Count * noise * noise)
          Sample = meanSquare (x - Tensor.unsqueeze 1 truth)
          Mean = meanSquare (mean - truth)
          Spread = variance
          Seconds = seconds }

    // ---- pictures

    /// What was seen, as large as the image: what a mask hides in the middle of the range, means as squares.
    let private shown (shape: int list) (outcome: Outcome) : Tensor =
        let y = outcome.Seen

        match outcome.Task.Sensor.Output, shape with
        | [ c; h; w ], [ channels; height; width ] ->
            let factor = height / h

            let large =
                Tensor.reshape [ y.Shape[0]; c; h; 1; w; 1 ] y
                |> Tensor.expand [ y.Shape[0]; c; h; factor; w; width / w ]
                |> Tensor.reshape [ y.Shape[0]; c; height; width ]

            Tensor.contiguous (Tensor.expand [ y.Shape[0]; channels; height; width ] large)
        | _ -> y

    /// A row for each image: the truth, what was seen, three samples, the mean and the deviation of all.
    let private picture (truth: Tensor) (outcome: Outcome) : ImageGrid =
        let sample k = Tensor.select 1 k outcome.X
        let deviation = sqrt (Tensor.varianceOver [ 1 ] 1 outcome.X)

        let columns =
            [ "truth", truth
              "seen", shown (List.ofArray truth.Shape[1..]) outcome
              yield! [ for k in 0..2 -> "sample", sample k ]
              "mean", Tensor.meanOver [ 1 ] outcome.X
              // Black is none, white the half of the range, as much as there can be.
              "deviation", 2.0 * deviation - 1.0 ]

        let rows = Tensor.stack 1 (List.map snd columns)

        { Title = $"{outcome.Task.Name}, {outcome.Method}"
          Images =
            SamplePicture.images
                (-1.0, 1.0)
                (Tensor.reshape (-1 :: List.ofArray truth.Shape[1..]) (Tensor.clamp -1.0 1.0 rows))
          Columns = columns.Length
          Labels =
            [| for row in 0 .. truth.Shape[0] - 1 do
                   for name, _ in columns -> if row = truth.Shape[0] - 1 then name else "" |] }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let folder = OwnRun.chosen terminal options runName [ "fashion-mnist" ] standardSteps
        let model, data = OwnRun.opened terminal folder

        if not data.IsImage then
            raise (UserError $"--run {folder.Name}: the study restores images, and these are {data.Name}")

        // What an image shows is not known to whoever restores it.
        let model =
            if not model.Labels then
                model
            elif model.Null then
                Guided.apply { GuidanceRequest.none with Scale = Some 0.0 } model
            else
                raise (
                    UserError
                        $"--run {folder.Name}: the network has to know what no class looks like, since a restored image's class is not known: take a run that was trained with --label-dropout 0.1"
                )

        let n = max 1 (defaultArg options.Count standardCount)

        let truth = (Dataset.heldOut Kind.Float64 n (Rng.named "images" (Rng.ofSeed 1L)) data).Data |> Tensor.contiguous

        let cases =
            [ for task in tasks model.Shape do
                  for method in methods -> task, method ]

        let outcomes =
            Progress.run terminal "restoring" 1.0 (fun report ->
                [ for k, (task, method) in List.indexed cases do
                      report (float k / float cases.Length) $"{task.Name}, {method}"
                      outcome model truth task method ])

        let text (digits: string) (value: float) = value.ToString(digits, Globalization.CultureInfo.InvariantCulture)

        let table (task: string, own: Outcome list) =
            Study.table
                task
                "Peak signal to noise in decibels, from mean squares over images and pixels. *Expected* is that of the mean if the samples' spread were all of its error: above what the mean has, the samples are too sure of themselves; below it, not sure enough. The misfit is the mean square of y − A x over the noise's variance, and the truth's is 1."
                [ "method"; "a sample"; "the mean"; "expected"; "misfit"; "seconds of one core" ]
                [ for o in own ->
                      [ Cell.Text o.Method
                        Cell.Text(text "F1" (psnr o.Sample))
                        Cell.Text(text "F1" (psnr o.Mean))
                        Cell.Text(text "F1" (psnr o.Spread))
                        Cell.Text(text "F2" o.Misfit)
                        Cell.Text(text "F0" o.Seconds) ] ]

        let groups = outcomes |> List.groupBy _.Task.Name
        let first = outcomes |> List.filter (fun o -> o.Method = methods.Head)

        { DataSet = data.Name
          Summary =
            $"{n} held-out images of {data.Name}, seen in part and with noise of 5 of 255 levels, and restored by `{folder.Name}` ({(Runs.recipe folder).Steps} steps), which knows neither the class nor the observation: {samplesEach} samples of each posterior by {steps} ancestral steps of each method of steering."
          Headlines = []
          Sections =
            [ { Title = $"Restored by {methods.Head}"
                Note =
                  "A row for each image, the first held-out ones, not picked. Deviations are black where the samples agree."
                Bodies = [ for o in first -> Body.Images [ picture truth o ] ] }
              yield! List.map table groups ]
          Json =
            [ "run", Json.text folder.Name
              "images", Json.whole (int64 n)
              "samples", Json.whole (int64 samplesEach)
              "outcomes",
              Json.array
                  [ for o in outcomes ->
                        Json.node (
                            Json.object
                                [ "task", Json.text o.Task.Name
                                  "method", Json.text o.Method
                                  "psnrOfSample", Json.number (psnr o.Sample)
                                  "psnrOfMean", Json.number (psnr o.Mean)
                                  "psnrExpected", Json.number (psnr o.Spread)
                                  "misfit", Json.number o.Misfit
                                  "seconds", Json.number o.Seconds ]
                        ) ] ] }

    let study: Study =
        { Name = "restoration"
          Summary =
            "images from a half, a box, a tenth of their pixels, a sixteenth of their size, and blurred: errors beside what the samples' spread says"
          Reference =
            "Rozet, Andry, Lanusse, Louppe 2024 (MMPS); Song, Vahdat, Mardani, Kautz 2023 (ΠGDM); Zhu et al. 2023 (DiffPIR); Chung et al. 2023 (DPS)"
          Uses =
            [ "--run", "a run of images to study, in place of one of its own"
              "--steps", $"optimization steps of its own run, runs/{runName} (2,000)"
              "--count", $"images, {samplesEach} samples of each ({standardCount})" ]
          IsShared = false
          Run = run }
