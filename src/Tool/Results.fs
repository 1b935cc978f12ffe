namespace Fokker.Tool

open System
open System.IO
open System.Text.Json.Nodes
open Fokker
open Fokker.Pictures
open Fokker.Report

/// What a run leaves for people: files of samples, pictures of them, the report.
module Results =

    /// The same beside as many samples of the data.
    let private comparison (data: Dataset) (samples: Tensor) (rng: Rng) : byte[] =
        if data.IsImage then
            Depict.samples data samples
        else
            Scope.run (fun () ->
                let samples = Depict.first 4000 samples
                let truth = Evaluations.heldOut data rng samples.Shape[0]

                Raster.scatter
                    560
                    [ { Title = "data"; Clouds = [ Depict.cloud "data" Tone.Data truth ] }
                      { Title = "samples"; Clouds = [ Depict.cloud "samples" Tone.Model samples ] } ])

    /// Writes `samples.npy` and `samples.png`.
    let saveSamples (run: RunFolder) (subject: Subject) (samples: Tensor) =
        Scope.run0 (fun () ->
            Npy.write run.Samples (Samples.forFile subject samples)
            Runs.writeBytes run.Picture (comparison subject.Data samples (subject.Stream "picture")))

    /// The command that repeats a run.
    let commandOf (name: string) (recipe: Recipe) (data: Dataset) : string =
        let quoted (word: string) =
            if word |> Seq.forall (fun c -> Char.IsLetterOrDigit c || "-_.:/,=".Contains c) then
                word
            else
                "'" + word.Replace("'", "'\\''") + "'"

        [ "./fokker"; "train"; recipe.DataSet ]
        @ Recipe.options recipe (Recipe.standardFor data)
        @ [ "--name"; name ]
        |> List.map quoted
        |> String.concat " "

    // ---- the report

    /// States of the same samples at each time of the sampler, in the data's units.
    let private states (subject: Subject) (drawing: Drawing) (n: int) =
        let times, frames = Collections.Generic.List<float>(), Collections.Generic.List<float32[]>()

        let seen (state: State) =
            times.Add state.Time

            frames.Add(
                Scope.run (fun () -> Tensor.toArray<float32>((Samples.outside subject state.X).To Dtype.Float32))
            )

        Scope.run0 (fun () -> Samples.chunk subject drawing (subject.Stream "animation") 0 n seen |> ignore)
        times.ToArray(), frames.ToArray()

    /// More steps for a smooth film; a jump has as many as it has.
    let private animated (drawing: Drawing) : Drawing =
        if drawing.Steps < 10 then drawing else { drawing with Steps = 40 }

    /// A film of a drawing's own steps; steps that are chosen for each sample by itself are shown as even ones.
    let private filmed (drawing: Drawing) : Drawing =
        { drawing with Control = Fixed; Parallel = None; Trajectory = None }

    let private motion (subject: Subject) (drawing: Drawing) (n: int) (behind: Cloud) =
        let times, frames = states subject drawing (min 1000 n)

        { Times = times
          Clock = None
          Frames = frames
          Classes = [||]
          Behind = Some { behind with Points = Array.truncate 4000 behind.Points } }

    /// The velocity of what was learned, for no label; none where a jump was.
    let private velocityOf (subject: Subject) : Field option =
        match subject.Learned with
        | Denoising model -> Some(Model.velocity model None)
        | Transport flow -> Some(flow.Velocity None)
        | Mapping _ -> None

    /// dx/dt on a grid that covers the clouds, in the data's units.
    let private field (subject: Subject) (velocity: Field) (motion: CloudMotion) : FieldMotion =
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
        let low, high = subject.Path.Interior

        let at (t: float) =
            Scope.run (fun () ->
                let inside =
                    Units.toNetwork subject.Data.Units ((Tensor.ofArray [ count * count; 2 ] points).To Dtype.Float64)
                let t = Tensor.scalar Kind.Float64 (Math.Clamp(t, low, high))
                let velocity: Tensor = velocity t (inside.To subject.Kind)
                let outside x = Samples.outside subject x
                // A velocity has the data's scale, and no shift.
                let velocity = outside velocity - outside (Tensor.zerosLike velocity)
                Tensor.toArray<float32>(velocity.To Dtype.Float32))

        { Times = kept |> Array.map (fun k -> motion.Times[k])
          Xs = xs
          Ys = ys
          Velocities = kept |> Array.map (fun k -> at motion.Times[k])
          Frames = kept |> Array.map (fun k -> motion.Frames[k]) }

    let private planeSections (subject: Subject) (drawing: Drawing) (samples: Tensor) =
        let samples = Depict.first 3000 samples
        let truth = Evaluations.heldOut subject.Data (subject.Stream "report") samples.Shape[0]
        let data = Depict.cloud "data" Tone.Data truth

        [ Sections.samplesBesideData data (Depict.cloud "samples" Tone.Model samples)
          if subject.Data.Shape = [ 2 ] then
              let motion = motion subject drawing samples.Shape[0] data
              Sections.fromNoiseToData motion

              match velocityOf subject with
              | Some velocity when not subject.Labels -> Sections.velocity (field subject velocity motion)
              | _ -> () ]

    let private className (subject: Subject) k = List.item k subject.Data.Classes

    let private imageSections (subject: Subject) (drawing: Drawing) (samples: Tensor) =
        let samples = Depict.first 60 samples
        let count = samples.Shape[0]

        let labels =
            Samples.labels subject drawing 0 count
            |> Option.map (Array.map (className subject))
            |> Option.defaultValue [||]

        let truth = Evaluations.heldOut subject.Data (subject.Stream "report") count
        let times, frames = states subject drawing (min 30 count)

        let toImages (pixels: float32[]) =
            Scope.run (fun () ->
                let shape = List.ofArray samples.Shape[1..]
                let n = pixels.Length / List.fold (*) 1 shape
                Depict.images subject.Data ((Tensor.ofArray (n :: shape) pixels).To Dtype.Float64))

        [ Sections.imagesBesideData
              { Title = "Held-out data"; Images = Depict.images subject.Data truth; Columns = 10; Labels = [||] }
              { Title = "Samples"; Images = Depict.images subject.Data samples; Columns = 10; Labels = labels }
          Sections.imagesFromNoise { Times = times; Clock = None; Frames = Array.map toImages frames; Columns = 10 } ]

    let private metric (score: Score) : Report.Metric =
        { Name = score.Name
          Value = score.Value.Mean
          Error = Some score.Value.StandardError
          Floor = Some score.Floor.Mean
          Note =
            $"{score.Equation}; mean over {score.Value.Draws} pairs of sets, floor ± {score.Floor.StandardError:G2}" }

    let private settings (run: RunFolder) (job: Job) : Report.Settings =
        let recipe = Recipe.settings job.Recipe |> List.map (fun (name, value) -> name, Recipe.text value)

        let environment =
            match (Run.describe run.Path)["environment"] with
            | :? JsonObject as json -> [ for KeyValue(name, value) in json -> name, string value ]
            | _ -> []

        { Command = commandOf run.Name job.Recipe job.Data
          Groups =
            [ "Settings", recipe
              "Network",
              ("kind", job.Network.Name)
              :: ("parameters", string (Network.size job.Network))
              :: job.Network.Settings
              "Machine", ("fokker", Run.version) :: environment ] }

    let private headlines
        (job: Job)
        (state: TrainState)
        (scores: Score list)
        (history: Fokker.Metric list)
        : Headline list =
        let seconds = history |> List.tryLast |> Option.map _.Seconds |> Option.defaultValue 0.0

        [ for score in scores |> List.filter (fun s -> s.Name = "wasserstein2" || s.Name = "frechet") do
              { Label = (if score.Name = "frechet" then "Fréchet distance" else "2-Wasserstein")
                Value = $"{score.Value.Mean:G3}"
                Note =
                  match score.Ratio with
                  | Some ratio -> $"{ratio:F2} × the noise floor of {score.Floor.Mean:G3}"
                  | None -> "" }
          { Label = "Training"
            Value = Progress.duration seconds
            Note = $"{state.Step} steps of {job.Recipe.Batch} samples" }
          { Label = "Parameters"
            Value = Markup.count (int (Network.size job.Network))
            Note = job.Network.Name } ]

    /// Writes `report.html` from the run's state and samples in the data's units.
    let report (run: RunFolder) (job: Job) (state: TrainState) (samples: Tensor) (scores: Score list) =
        let history = Metrics.read (Run.metricsFile run.Path)
        let subject = Subject.trained run job state.Average
        let path = subject.Path

        let title =
            match job.Network.Name with
            | "mlp" -> "A multilayer perceptron"
            | "unet" -> "A U-Net"
            | other -> other

        Scope.run0 (fun () ->
            let sections =
                [ yield!
                      if job.Data.IsImage then
                          imageSections subject (Samples.standardFor subject) samples
                      else
                          planeSections subject (animated (Samples.standardFor subject)) samples
                  if not scores.IsEmpty then
                      Sections.metrics (List.map metric scores)
                  if not history.IsEmpty then
                      Sections.loss [| for m in history -> float m.Step |] [| for m in history -> m.Loss |]
                  Sections.settings (settings run job) ]

            Page.write
                run.Report
                { Name = run.Name
                  DataSet = job.Recipe.DataSet
                  Date = DateTimeOffset.Now
                  Summary =
                    $"{title} trained on {job.Data.Name} ({job.Data.Summary}) with the loss `{job.Recipe.Loss}` on the path `{path.Name}`: ${path.Equation}$."
                  Headlines = headlines job state scores history
                  Sections = sections
                  Generator = $"Fokker {Run.version}" })

    /// A page of samples in the data's units, and of how the drawing made them.
    let samplesPage (file: string) (subject: Subject) (drawing: Drawing) (samples: Tensor) =
        let drawing = filmed drawing

        Scope.run0 (fun () ->
            Page.write
                file
                { Name = subject.Name
                  DataSet = subject.Data.Name
                  Date = DateTimeOffset.Now
                  Summary =
                    $"{samples.Shape[0]} samples of {subject.Name} {Described.drawing subject drawing}, on the path `{subject.Path.Name}`: ${subject.Path.Equation}$."
                  Headlines = []
                  Sections =
                    if subject.Data.IsImage then
                        imageSections subject drawing samples
                    else
                        planeSections subject drawing samples
                  Generator = $"Fokker {Run.version}" })

    // ---- interpolations

    /// Strips of an interpolation as a picture, one pair a row (panels where the samples are points), and the same as an animated page. The frames are
    /// shares of the way with as many samples each, in the data's units.
    let interpolation
        (subject: Subject)
        (kind: string)
        (frames: (float * Tensor)[])
        (pictureFile: string)
        (pageFile: string)
        =
        Scope.run0 (fun () ->
            let data = subject.Data
            let shares = Array.map fst frames
            let way = { Symbol = "w"; First = "first"; Last = "second" }

            let strips, motion =
                if data.IsImage then
                    let rows = min 12 (snd frames[0]).Shape[0]
                    // [rows; frames; …] in a row.
                    let strip = frames |> Seq.map (snd >> Depict.first rows) |> Tensor.stack 1
                    let strip = Tensor.reshape (rows * frames.Length :: data.Shape) strip

                    Raster.imageGrid frames.Length (Depict.images data strip),
                    Body.ImageMotion
                        { Times = shares
                          Clock = Some way
                          Frames = frames |> Array.map (fun (_, x) -> Depict.images data (Depict.first 60 x))
                          Columns = 10 }
                else
                    let still (w: float, x: Tensor) =
                        { Title = $"{w:G2}"; Clouds = [ Depict.cloud "" Tone.Model (Depict.first 1000 x) ] }

                    // Five panels are as many as can be read side by side.
                    let stills = [ for k in 0..4 -> frames[k * (frames.Length - 1) / 4] ] |> List.distinctBy fst

                    Raster.scatter 280 (List.map still stills),
                    Body.CloudMotion
                        { Times = shares
                          Clock = Some way
                          Frames = frames |> Array.map (fun (_, x) -> Depict.plane (Depict.first 1000 x))
                          Classes = [||]
                          Behind = None }

            Runs.writeBytes pictureFile strips

            Page.write
                pageFile
                { Name = subject.Name
                  DataSet = data.Name
                  Date = DateTimeOffset.Now
                  Summary =
                    $"From one sample to another through the latents of {subject.Name}'s flow on the path `{subject.Path.Name}`: ${subject.Path.Equation}$."
                  Headlines = []
                  Sections =
                    [ { Title = "Interpolation"
                        Note =
                          $"Both ends are encoded; the places between their latents, on the {kind} way, are decoded. $w$ is the share of the way, from 0 at the first to 1 at the second."
                        Bodies = [ motion ] } ]
                  Generator = $"Fokker {Run.version}" })
