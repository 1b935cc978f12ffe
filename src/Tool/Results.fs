namespace Fokker.Tool

open System
open System.IO
open System.Text.Json.Nodes
open Fokker
open Fokker.Pictures
open Fokker.Report

/// What a run leaves for people: files of samples, pictures of them, the report.
module Results =

    /// The data that samples are shown beside: those that belong to the model, where they are still there and what they were.
    let truth (model: GenerativeModel) : Dataset option =
        try
            match Runs.heldOut model with
            | data, None -> Some data
            | _, Some _ -> None
        with :? UserError ->
            None

    /// A picture of samples as PNG: a grid of images, curves of series, or points of the plane.
    let picture (model: GenerativeModel) (samples: Tensor) : byte[] =
        if Units.areSeries model.Shape model.Units then
            SamplePicture.curvesPng model.Columns [ "samples", SamplePicture.curves samples ]
        else
            SamplePicture.png model.Range samples

    /// Points of samples beside as many of the data, where there are some; images by themselves.
    let private comparison (model: GenerativeModel) (data: Dataset option) (samples: Tensor) (rng: Rng) : byte[] =
        match data with
        | Some data when not model.IsImage ->
            Scope.run (fun () ->
                let samples = SamplePicture.first 4000 samples
                let truth = Evaluations.heldOut data rng samples.Shape[0]

                if Units.areSeries model.Shape model.Units then
                    SamplePicture.curvesPng
                        model.Columns
                        [ "data", SamplePicture.curves truth; "samples", SamplePicture.curves samples ]
                else
                    Raster.scatter
                        560
                        [ { Title = "data"; Clouds = [ SamplePicture.cloud "data" Tone.Data truth ] }
                          { Title = "samples"; Clouds = [ SamplePicture.cloud "samples" Tone.Model samples ] } ])
        | _ -> picture model samples

    /// Samples of text as a file's bytes, a sample a line.
    let textOf (samples: Tensor) : byte[] =
        TextFile.lines samples
        |> Array.map (fun line -> line + "\n")
        |> String.concat ""
        |> Text.Encoding.UTF8.GetBytes

    /// Writes `samples.npy` and `samples.png`, or of text `samples.txt`, and says which.
    let saveSamples (run: RunFolder) (model: GenerativeModel) (data: Dataset option) (samples: Tensor) : string list =
        Scope.run (fun () ->
            Npy.write run.Samples (Samples.forFile model samples)

            if Units.areText model.Shape model.Units then
                Runs.writeBytes run.Text (textOf samples)
                [ run.Samples; run.Text ]
            else
                Runs.writeBytes run.Picture (comparison model data samples (model.Stream "picture"))
                [ run.Samples; run.Picture ])

    /// The options of `train` that give a recipe: its seed and its steps, and what is not as is usual for its data and its loss.
    let optionsOf (known: Known) (recipe: Recipe) (standard: Recipe) : string list =
        let usual =
            Recipe.settings { Recipe.withLossAmong known (string recipe.Loss) standard with Loss = standard.Loss }
            |> List.filter (fun (name, _) -> name <> "seed" && name <> "steps")
            |> List.map (fun (name, value) -> name, Recipe.text value)
            |> Map.ofList

        [ for name, value in Recipe.settings recipe do
              let value = Recipe.text value

              if name <> "dataSet" && usual.TryFind name <> Some value then
                  OptionNames.ofSetting (Setting $"{Char.ToUpperInvariant name[0]}{name.Substring 1}")
                  (match value with
                   | "true" -> "on"
                   | "false" -> "off"
                   | value -> value) ]

    /// The command that repeats a run.
    let commandOf (known: Known) (name: string) (recipe: Recipe) (data: Dataset) : string =
        let quoted (word: string) =
            if word |> Seq.forall (fun c -> Char.IsLetterOrDigit c || "-_.:/,=".Contains c) then
                word
            else
                "'" + word.Replace("'", "'\\''") + "'"

        [ "./fokker"; "train"; recipe.DataSet ]
        @ optionsOf known recipe (Recipe.standardFor data)
        @ [ "--name"; name ]
        |> List.map quoted
        |> String.concat " "

    // ---- the report

    /// States of the same samples at each time of the sampler, in the data's units.
    let private states (model: GenerativeModel) (drawing: Drawing) (n: int) =
        let times, frames = Collections.Generic.List<float>(), Collections.Generic.List<float32[]>()

        let seen (state: State) =
            times.Add state.Time

            frames.Add(
                Scope.run (fun () -> Tensor.toArray<float32>((GenerativeModel.outside model state.X).To Dtype.Float32))
            )

        Scope.run0 (fun () -> Samples.chunk model drawing (model.Stream "animation") 0 n seen |> ignore)
        times.ToArray(), frames.ToArray()

    /// More steps for a smooth film; a jump has as many as it has.
    let private animated (drawing: Drawing) : Drawing =
        if drawing.Steps < 10 then drawing else { drawing with Steps = 40 }

    /// A film of a drawing's own steps; steps that are chosen for each sample by itself are shown as even ones.
    let private filmed (drawing: Drawing) : Drawing =
        { drawing with Control = Fixed; Parallel = None; Trajectory = None }

    let private motion (model: GenerativeModel) (drawing: Drawing) (n: int) (behind: Cloud option) =
        let times, frames = states model drawing (min 1000 n)

        { Times = times
          Clock = None
          Frames = frames
          Classes = [||]
          Behind = behind |> Option.map (fun behind -> { behind with Points = Array.truncate 4000 behind.Points }) }

    /// The velocity of what was learned, for no label; none where a jump was, and none of a student of a few steps, which knows no other time than theirs.
    let private velocityOf (model: GenerativeModel) : Field option =
        match model.Dynamics with
        | _ when not model.Times.IsEmpty -> None
        | Denoising score -> Some(Model.velocity score None)
        | Transport flow -> Some(flow.Velocity None)
        | Jumping _
        | Landscape _
        | Mapping _ -> None

    /// dx/dt on a grid that covers the clouds, in the data's units.
    let private field (model: GenerativeModel) (velocity: Field) (motion: CloudMotion) : FieldMotion =
        let window = Window.around [ motion.Frames[0]; motion.Frames[motion.Frames.Length - 1] ]
        let count = 25
        let line (low: float32) (high: float32) =
            Array.init count (fun k -> low + (high - low) * float32 k / float32 (count - 1))
        let xs, ys = line window.Left window.Right, line window.Bottom window.Top
        let points =
            [| for y in ys do
                   for x in xs do
                       x
                       y |]
        let kept = [| for k in 0..2 .. motion.Times.Length - 1 -> k |]
        let low, high = model.Path.Interior

        let at (t: float) =
            Scope.run (fun () ->
                let inside =
                    GenerativeModel.inside model ((Tensor.ofArray [ count * count; 2 ] points).To Dtype.Float64)
                let t = Tensor.scalar Kind.Float64 (Math.Clamp(t, low, high))
                let velocity: Tensor = velocity t (inside.To model.Kind)
                let outside x = GenerativeModel.outside model x
                // A velocity has the data's scale, and no shift.
                let velocity = outside velocity - outside (Tensor.zerosLike velocity)
                Tensor.toArray<float32>(velocity.To Dtype.Float32))

        { Times = kept |> Array.map (fun k -> motion.Times[k])
          Xs = xs
          Ys = ys
          Velocities = kept |> Array.map (fun k -> at motion.Times[k])
          Frames = kept |> Array.map (fun k -> motion.Frames[k]) }

    let private planeSections (model: GenerativeModel) (data: Dataset option) (drawing: Drawing) (samples: Tensor) =
        let samples = SamplePicture.first 3000 samples

        let truth =
            data
            |> Option.map (fun data ->
                SamplePicture.cloud
                    "data"
                    Tone.Data
                    (Evaluations.heldOut data (model.Stream "report") samples.Shape[0]))

        let drawn = SamplePicture.cloud "samples" Tone.Model samples

        [ match truth with
          | Some truth -> Sections.samplesBesideData truth drawn
          | None -> Sections.samplesAlone drawn
          if model.Shape = [ 2 ] && model.Latent.IsNone then
              let motion = motion model drawing samples.Shape[0] truth
              Sections.fromNoiseToData motion

              match velocityOf model with
              | Some velocity when not model.IsTold -> Sections.velocity (field model velocity motion)
              | _ -> () ]

    let private seriesSections (model: GenerativeModel) (data: Dataset option) (samples: Tensor) =
        let truth =
            data
            |> Option.map (fun data ->
                SamplePicture.curves (
                    Evaluations.heldOut data (model.Stream "report") (min SamplePicture.curveCount samples.Shape[0])
                ))

        let curves = SamplePicture.curves samples
        let names = SamplePicture.titles "" model.Columns curves.Length |> List.map _.TrimStart(':', ' ')
        [ Sections.series names truth curves ]

    let private textSections (model: GenerativeModel) (data: Dataset option) (samples: Tensor) =
        let samples = SamplePicture.first 40 samples

        let truth =
            data
            |> Option.map (fun data ->
                TextFile.lines (Evaluations.heldOut data (model.Stream "report") samples.Shape[0]))

        [ Sections.texts (defaultArg truth [||]) (TextFile.lines samples) ]

    let private className (model: GenerativeModel) k = List.item k model.Classes

    let private imageSections (model: GenerativeModel) (data: Dataset option) (drawing: Drawing) (samples: Tensor) =
        let samples = SamplePicture.first 60 samples
        let count = samples.Shape[0]

        let told = Option.map2 (fun given rows -> given, Samples.told model rows 0 count) model.Given drawing.Given

        let labels =
            Samples.labels model drawing 0 count
            |> Option.map (Array.map (className model))
            |> Option.orElse (told |> Option.bind (fun (given, rows) -> Given.cells given rows))
            |> Option.defaultValue [||]

        let times, frames = states model drawing (min 30 count)

        let toImages (pixels: float32[]) =
            Scope.run (fun () ->
                let shape = List.ofArray samples.Shape[1..]
                let n = pixels.Length / List.fold (*) 1 shape
                SamplePicture.images model.Range ((Tensor.ofArray (n :: shape) pixels).To Dtype.Float64))

        let tiles title x labels =
            { Title = title; Images = SamplePicture.images model.Range x; Columns = 10; Labels = labels }

        let drawn = tiles "Samples" samples labels

        [ match told with
          | Some(given, rows) when not (Given.rest given).IsColumns ->
              Scope.run (fun () ->
                  let rows = Given.withoutClass given rows
                  // What is not seen is grey.
                  let shown = Tensor.where (Tensor.isFinite rows) rows (Tensor.zerosLike rows)
                  Sections.imagesGiven
                      (Given.text (Given.rest given))
                      (tiles "What is given" (GenerativeModel.outside model shown) [||])
                      (tiles "Samples of it" samples labels))
          | _ -> ()
          match data with
          | Some data ->
              let truth, classes = Evaluations.heldOutWithClasses data (model.Stream "report") count
              // Labels under one of two grids only would set their rows apart.
              let named = if Array.isEmpty labels then [||] else classes
              Sections.imagesBesideData (tiles "Held-out data" truth named) drawn
          | None -> Sections.imagesAlone drawn
          match data with
          | Some data when data.Augmentation <> Augmentation.None ->
              Scope.run (fun () ->
                  let seen = Dataset.sample Kind.Float64 (min 30 count) (model.Stream "as seen") data
                  Sections.imagesAsSeen (tiles "Training images" (Dataset.inData data seen) [||]))
          | _ -> ()
          match model.Latent, data with
          | Some space, Some data ->
              Scope.run (fun () ->
                  let few = min 30 count
                  let truth, _ = Evaluations.heldOutWithClasses data (model.Stream "report") few
                  let again = GenerativeModel.outside model (GenerativeModel.inside model truth)
                  let plain = { model with Latent = Some { space with Units = Units.Same } }
                  let unit = Rng.normal Kind.Float64 (few :: space.Shape) (model.Stream "prior")

                  Sections.imagesDecoded
                      (tiles "Held-out data" truth [||])
                      (tiles "Encoded and decoded" again [||])
                      (tiles "From the prior" (GenerativeModel.outside plain unit) [||]))
          | _ -> ()
          Sections.imagesFromNoise { Times = times; Clock = None; Frames = Array.map toImages frames; Columns = 10 } ]

    let private metric (score: Score) : Report.Metric =
        { Name = score.Name
          Value = score.Value.Mean
          Error = if score.Undefined.IsSome then None else Some score.Value.StandardError
          Floor = if score.Undefined.IsSome then None else Some score.Floor.Mean
          Verdict = score.Verdict
          Note =
            match score.Undefined with
            | Some reason -> $"undefined: {reason}"
            | None ->
                $"{score.Equation}; mean over {score.Value.Draws} pairs of sets, floor ± {Markup.significant 2 score.Floor.StandardError}" }

    let private networkOf (model: GenerativeModel) : Network option =
        match model.Origin with
        | Origin.Trained trained -> Some trained.Network
        | Origin.Exact _
        | Origin.Supplied -> None

    let private densityMetric (density: HeldOutDensity) : Report.Metric =
        { Name = density.Symbol
          Value = density.Nats.Mean
          Error = Some density.Nats.StandardError
          Floor = density.Entropy |> Option.map _.Mean
          Verdict = density.Verdict
          Note =
            $"held-out samples under the model's density, in nats, beside the entropy of their law; {density.Nats.Draws} samples" }

    /// Where there is no density to see what distances do not: the other measure that tells samples from data most clearly, where one does.
    let private sharpest (scores: Score list) (density: HeldOutDensity option) : Score list =
        scores
        |> List.filter (fun s ->
            density.IsNone && s.Undefined.IsNone && s.IsSeen && s.Name <> "wasserstein2" && s.Name <> "frechet")
        |> List.sortByDescending _.Excess
        |> List.truncate 1

    let private settings
        (known: Known)
        (run: RunFolder)
        (recipe: Recipe)
        (data: Dataset)
        (model: GenerativeModel)
        : Report.Settings =
        let environment =
            match (Run.describe run.Path)["environment"] with
            | :? JsonObject as json -> [ for KeyValue(name, value) in json -> name, string value ]
            | _ -> []

        { Command = commandOf known run.Name recipe data
          Groups =
            [ "Settings", Recipe.settings recipe |> List.map (fun (name, value) -> name, Recipe.text value)
              match networkOf model with
              | Some network ->
                  "Network", ("kind", network.Name) :: ("parameters", string (Network.size network)) :: network.Settings
              | None -> ()
              "Machine", ("fokker", Run.version) :: environment ] }

    let private headlines
        (recipe: Recipe)
        (trained: TrainedNetwork)
        (scores: Score list)
        (density: HeldOutDensity option)
        (history: Fokker.Metric list)
        : Headline list =
        let seconds = history |> List.tryLast |> Option.map _.Seconds |> Option.defaultValue 0.0

        [ for score in
              scores
              |> List.filter (fun s -> s.Undefined.IsNone && (s.Name = "wasserstein2" || s.Name = "frechet")) do
              { Label = (if score.Name = "frechet" then "Fréchet distance" else "2-Wasserstein")
                Value = Markup.significant 3 score.Value.Mean
                Note = score.Verdict }
          for score in sharpest scores density do
              { Label = $"What sees it best: {score.Name}"
                Value = Markup.significant 3 score.Value.Mean
                Note = score.Verdict }
          match density with
          | Some density ->
              { Label = "Held-out " + density.Symbol; Value = $"{density.Nats.Mean:F3}"; Note = density.Verdict }
          | None -> ()
          { Label = "Training"
            Value = Progress.duration seconds
            Note = $"{trained.Training.Steps} steps of {recipe.Batch} samples" }
          { Label = "Parameters"
            Value = Markup.count (int (Network.size trained.Network))
            Note = trained.Network.Name } ]

    /// Writes `report.html`: a model's samples in the data's units beside its data, and how it was trained.
    let report
        (known: Known)
        (run: RunFolder)
        (recipe: Recipe)
        (data: Dataset)
        (model: GenerativeModel)
        (drawing: Drawing)
        (samples: Tensor)
        (scores: Score list)
        (density: HeldOutDensity option)
        (more: Section list)
        =
        let history = Metrics.read (Run.metricsFile run.Path)
        let path = model.Path

        let title =
            match networkOf model |> Option.map _.Name with
            | Some "mlp" -> "A multilayer perceptron"
            | Some "unet"
            | Some "adm" -> "A U-Net"
            | Some "dit" -> "A transformer over patches"
            | Some "sequence" -> "A transformer over a sequence"
            | Some "unet-1d" -> "A U-Net along series"
            | Some "autoencoder" -> "An autoencoder"
            | Some other -> other
            | None -> model.Name

        Scope.run0 (fun () ->
            let sections =
                [ yield!
                      if model.IsImage then imageSections model (Some data) drawing samples
                      elif Units.areText model.Shape model.Units then textSections model (Some data) samples
                      elif Units.areSeries model.Shape model.Units then seriesSections model (Some data) samples
                      else planeSections model (Some data) (animated drawing) samples
                  if not scores.IsEmpty then
                      Sections.metrics (List.map metric scores @ List.map densityMetric (Option.toList density))
                  yield! more
                  if not history.IsEmpty then
                      Sections.loss [| for m in history -> float m.Step |] [| for m in history -> m.Loss |]
                  Sections.settings (settings known run recipe data model) ]

            Page.write
                run.Report
                { Name = run.Name
                  DataSet = recipe.DataSet
                  Date = DateTimeOffset.Now
                  Summary =
                    $"{title} trained on {data.Name} ({data.Summary}) with the loss `{recipe.Loss}` on the path `{path.Name}`: ${path.Equation}$."
                  Headlines =
                    match model.Origin with
                    | Origin.Trained trained -> headlines recipe trained scores density history
                    | Origin.Exact _
                    | Origin.Supplied -> []
                  Sections = sections
                  Generator = $"Fokker {Run.version}" })

    /// A page of samples in the data's units, and of how the drawing made them.
    let samplesPage (file: string) (model: GenerativeModel) (drawing: Drawing) (samples: Tensor) =
        let drawing = filmed drawing
        let data = truth model

        Scope.run0 (fun () ->
            Page.write
                file
                { Name = model.Name
                  DataSet = data |> Option.map _.Name |> Option.defaultValue ""
                  Date = DateTimeOffset.Now
                  Summary =
                    $"{samples.Shape[0]} samples of {model.Name} {Described.drawing model drawing}, on the path `{model.Path.Name}`: ${model.Path.Equation}$."
                  Headlines = []
                  Sections =
                    if model.IsImage then imageSections model data drawing samples
                    elif Units.areText model.Shape model.Units then textSections model data samples
                    elif Units.areSeries model.Shape model.Units then seriesSections model data samples
                    else planeSections model data drawing samples
                  Generator = $"Fokker {Run.version}" })

    // ---- interpolations

    /// Strips of an interpolation as a picture, one pair a row (panels where the samples are points), and the same as an animated page. The frames are
    /// shares of the way with as many samples each, in the data's units.
    let interpolation
        (model: GenerativeModel)
        (kind: string)
        (frames: (float * Tensor)[])
        (pictureFile: string)
        (pageFile: string)
        =
        Scope.run0 (fun () ->
            let shares = Array.map fst frames
            let way = { Symbol = "w"; First = "first"; Last = "second" }

            let strips, motion =
                if model.IsImage then
                    let rows = min 12 (snd frames[0]).Shape[0]
                    // [rows; frames; …] in a row.
                    let strip = frames |> Seq.map (snd >> SamplePicture.first rows) |> Tensor.stack 1
                    let strip = Tensor.reshape (rows * frames.Length :: model.Shape) strip

                    Raster.imageGrid frames.Length (SamplePicture.images model.Range strip),
                    Body.ImageMotion
                        { Times = shares
                          Clock = Some way
                          Frames =
                            frames
                            |> Array.map (fun (_, x) -> SamplePicture.images model.Range (SamplePicture.first 60 x))
                          Columns = 10 }
                else
                    let still (w: float, x: Tensor) =
                        { Title = $"{w:G2}"
                          Clouds = [ SamplePicture.cloud "" Tone.Model (SamplePicture.first 1000 x) ] }

                    // Five panels are as many as can be read side by side.
                    let stills = [ for k in 0..4 -> frames[k * (frames.Length - 1) / 4] ] |> List.distinctBy fst

                    Raster.scatter 280 (List.map still stills),
                    Body.CloudMotion
                        { Times = shares
                          Clock = Some way
                          Frames = frames |> Array.map (fun (_, x) -> SamplePicture.plane (SamplePicture.first 1000 x))
                          Classes = [||]
                          Behind = None }

            Runs.writeBytes pictureFile strips

            Page.write
                pageFile
                { Name = model.Name
                  DataSet = ""
                  Date = DateTimeOffset.Now
                  Summary =
                    $"From one sample to another through the latents of {model.Name}'s flow on the path `{model.Path.Name}`: ${model.Path.Equation}$."
                  Headlines = []
                  Sections =
                    [ { Title = "Interpolation"
                        Note =
                          $"Both ends are encoded; the places between their latents, on the {kind} way, are decoded. $w$ is the share of the way, from 0 at the first to 1 at the second."
                        Bodies = [ motion ] } ]
                  Generator = $"Fokker {Run.version}" })
