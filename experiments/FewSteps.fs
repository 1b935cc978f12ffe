namespace Fokker.Experiments

open System
open System.Diagnostics
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Every method that compresses a flow, from one teacher and in one budget of training, at 1, 2, 4 and 8 evaluations a sample.
module FewSteps =

    let private evaluations = [ 1; 2; 4; 8 ]

    /// A method: its name in the table, what `fokker train` is asked for it, given the teacher's name, and the evaluations that it is for.
    type private Method = { Name: string; Request: string -> TrainingRequest; Evaluations: int list }

    let private withLoss (loss: string) : TrainingRequest = { TrainingRequest.standard with Loss = Some loss }

    /// One that learns from the teacher.
    let private taught name loss =
        { Name = name
          Request = fun teacher -> { withLoss loss with Teacher = Some teacher }
          Evaluations = evaluations }

    /// One that learns from the data, and begins at the teacher.
    let private begun name loss =
        { Name = name
          Request = fun teacher -> { withLoss loss with From = Some teacher }
          Evaluations = evaluations }

    /// Pairs of noise and what the teacher makes of it: fewer of images, where making them costs a training's time.
    let private reflowed (data: Dataset) (teacher: string) =
        let pairs = if Evaluations.hasFeatures data then 4000 else 20_000
        { withLoss "i-cfm" with
            From = Some teacher
            Coupling = Some $"run:{teacher},pairs={pairs},steps=10" }

    let private methods (data: Dataset) : Method list =
        [ taught "progressive" "progressive"
          taught "cd" "cd"
          taught "lmd" "lmd"
          taught "emd" "emd"
          taught "scm, from the teacher" "scm:warm-up=200"
          begun "ict" "ict"
          begun "ect" "ect"
          begun "lsd" "lsd"
          begun "psd" "psd"
          begun "shortcut" "shortcut"
          begun "meanflow" "meanflow"
          begun "meanflow, p = 1" "meanflow:power=1"
          { Name = "reflow"; Request = reflowed data; Evaluations = evaluations }
          { Name = "reflow, one step"
            Request = fun teacher -> { reflowed data teacher with Times = Some "discrete:levels=1" }
            Evaluations = [ 1 ] } ]

    /// How long a training is.
    type private Length =
        | Steps of int64
        | Minutes of float

    /// The run of a request on a data set, with its seconds: the one that is there where it is the same and finished, or a new one.
    let private trained
        (terminal: Terminal)
        (root: string)
        (name: string)
        (data: Dataset)
        (length: Length)
        (request: TrainingRequest)
        : RunFolder * float =
        let run = Runs.place root name
        let standard = { Recipe.standardFor data with DataSet = data.Name }

        let recipe =
            let recipe = Runs.recipeOf Known.standard root standard request

            match length with
            | Steps steps -> { recipe with Steps = steps }
            | Minutes minutes when
                Runs.isThere run && OwnRun.isFinished run && { Runs.recipe run with Steps = recipe.Steps } = recipe
                ->
                // How many steps fit into the minutes was found when it was made.
                Runs.recipe run
            | Minutes minutes ->
                { recipe with
                    Steps = Speed.stepsOn Study.processor terminal minutes (Runs.jobWith root OwnParts.none recipe data) }

        if not (Runs.isThere run && OwnRun.isFinished run && Runs.recipe run = recipe) then
            use claim = Run.claim run.Path
            let job = Runs.jobWith root OwnParts.none recipe data
            Run.replace claim (Recipe.settings recipe)

            let result =
                Progress.run terminal name (float recipe.Steps) (fun report ->
                    Run.train
                        claim
                        (Job.plan job)
                        (fun info _ -> report (float info.Step) $"loss {info.Loss:F4}")
                        terminal.Stop)

            Scope.free result.State

            match result.Divergence, result.Ending with
            | Some reason, _ -> raise (UserError $"{name}: {reason}")
            | None, Ending.Interrupted -> raise Stopped
            | None, _ -> ()

        let history = Metrics.read (Run.metricsFile run.Path)
        run, (history |> List.tryLast |> Option.map _.Seconds |> Option.defaultValue 0.0)

    // ---- measuring

    /// What is measured on a data set, and between how many sets of how many; where the law's density is known, also what lies outside of it, which a distance hardly sees.
    /// A distance is told over its floor; one whose floor is 0 but for chance, as it is.
    type private Scale = { Measure: Measure; Draws: int; Size: int; Floor: float; Unit: float; Outside: Measure option }

    /// What a model came to at a number of evaluations: its distance in the scale's unit, its share outside the law, and seconds for a thousand samples.
    type private Found = { Distance: float; Outside: float; Seconds: float }

    let private scaleOf (terminal: Terminal) (data: Dataset) (count: int) : Scale =
        let measure =
            if Evaluations.hasFeatures data then
                Progress.run terminal "classifier" 1.0 (Evaluations.frechet data)
            else
                Measures.wasserstein2

        let draws = 4
        let size = (Evaluations.fit data { Draws = draws; Size = max 8 (count / draws); Pool = count }).Size
        let floor = OverFloor.floor measure data draws size "few-steps"

        { Measure = measure
          Draws = draws
          Size = size
          Floor = floor
          Unit = if measure.FloorIsKnown then 1.0 else floor
          Outside = HeldOut.outside data }

    let private measured (scale: Scale) (data: Dataset) (model: GenerativeModel) (drawing: Drawing) : Found =
        Scope.run (fun () ->
            let n = scale.Draws * scale.Size
            let clock = Stopwatch.StartNew()
            let drawn = Samples.draw model drawing (model.Stream "few-steps") n (fun _ _ -> ())
            let seconds = clock.Elapsed.TotalSeconds * 1000.0 / float n
            let rng = model.Stream "few-steps measured"

            { Distance = OverFloor.between scale.Measure data scale.Draws scale.Size rng drawn / scale.Unit
              Outside =
                match scale.Outside with
                | Some measure -> measure.Between rng drawn drawn
                | None -> nan
              Seconds = seconds })

    let private modelOf (name: string) (trained: TrainedNetwork) = GenerativeModel.ofTrained name trained

    /// A run's model and how it takes so many evaluations; none where it was not made for that many.
    let private drawingOf (run: RunFolder) (n: int) : (GenerativeModel * Drawing) option =
        match Run.students run.Path with
        | [] ->
            let model = modelOf run.Name (Runs.trainedIn OwnParts.none None None run)
            let standard = Samples.standardFor model

            match model.Dynamics with
            | Jumping _
            | Landscape _
            | Mapping _ -> Some(model, { standard with Steps = n })
            | Denoising _
            | Transport _ ->
                Some(model, { standard with Sampler = Samplers.euler; Grid = Samplers.euler.Grid; Steps = n })
        | students ->
            students
            |> List.tryFind (fun (steps, _) -> steps = n)
            |> Option.map (fun (_, file) ->
                let model = modelOf run.Name (ModelFile.read OwnParts.none Device.Cpu None file)
                model, Samples.standardFor model)

    /// What the teacher's samplers come to at n evaluations: the best of them.
    let private teacherAt (scale: Scale) (data: Dataset) (run: RunFolder) (n: int) : Found * string =
        let model = modelOf run.Name (Runs.trainedIn OwnParts.none None None run)

        // A network of images takes an hour for all of them.
        let asked =
            if Evaluations.hasFeatures data then
                [ "heun"; "dpm-2m" ]
            else
                [ "euler"; "heun"; "rk4"; "dpm-2m"; "unipc-1" ]

        Samplers.all
        |> List.filter (fun sampler -> List.contains sampler.Name asked)
        |> List.filter (fun sampler -> n % sampler.EvaluationsPerStep = 0)
        |> List.map (fun sampler ->
            let drawing =
                { Samples.standardFor model with
                    Sampler = sampler
                    Grid = sampler.Grid
                    Steps = n / sampler.EvaluationsPerStep }

            measured scale data model drawing, sampler.Name)
        |> List.minBy (fun (found, _) -> found.Distance)

    // ---- the study

    /// What a method came to on a data set, over seeds, at each number of evaluations that it takes; its steps and seconds of training, and the seconds of a thousand samples by one evaluation.
    type private Row = { Method: string; Found: Found list option list; Steps: float; Training: float; Sampling: float }

    let private standardSeeds, standardCount, standardTeacher = 3, 4000, 20_000L

    let private onData (terminal: Terminal) (options: StudyOptions) (name: string) =
        let data = Datasets.load name
        let seeds = defaultArg options.Seeds standardSeeds

        let length =
            match options.Steps, options.Minutes with
            | Some steps, _ -> Steps steps
            | None, Some minutes -> Minutes minutes
            | None, None -> Minutes 1.0

        let scale = scaleOf terminal data (defaultArg options.Count standardCount)

        let teacherSteps =
            match length with
            | Steps steps -> Steps steps
            | Minutes _ -> Steps standardTeacher

        let ownTeacher seed = $"few-steps-{name}-{seed}-teacher"

        // Teachers first: every method needs its own.
        if options.Run.IsNone then
            Study.shared
                options.Ranks
                1
                [ for seed in 0 .. seeds - 1 ->
                      fun () ->
                          let request = { TrainingRequest.standard with Seed = Some(int64 seed) }
                          let run = trained terminal options.Root (ownTeacher seed) data teacherSteps request
                          [| snd run |] ]
            |> ignore

        let teachers =
            [ for seed in 0 .. seeds - 1 ->
                  match options.Run with
                  | Some given -> Runs.find options.Root given
                  | None -> Runs.place options.Root (ownTeacher seed) ]

        let figures (found: Found) = [ found.Distance; found.Outside; found.Seconds ]
        let ofFigures (f: float[]) = { Distance = f[0]; Outside = f[1]; Seconds = f[2] }
        let counts =
            [ 1
              2
              4
              8
              16
              32
              if not (Evaluations.hasFeatures data) then
                  64 ]

        // The place of the best sampler in the list, and what it came to.
        let asTeacher (n: int) (teacher: RunFolder) () =
            Terminal.say terminal $"{name}: the teacher, {n} evaluations"
            let found, sampler = teacherAt scale data teacher n
            let place = Samplers.all |> List.findIndex (fun s -> s.Name = sampler)
            Array.ofList (float place :: figures found)

        let best =
            [ for n in counts do
                  for teacher in teachers -> asTeacher n teacher ]
            |> Study.shared options.Ranks 4
            |> List.map (fun f -> ofFigures f[1..], Samplers.all[int f[0]].Name)
            |> List.chunkBySize teachers.Length
            |> List.zip counts

        // Steps and seconds of the training; for each number of evaluations whether it was made for that many, and what it came to.
        let asMethod k (method: Method) seed (teacher: RunFolder) () =
            let request = { method.Request teacher.Name with Seed = Some(int64 seed) }
            let run, seconds = trained terminal options.Root $"few-steps-{name}-{seed}-{k}" data length request
            Terminal.say terminal $"{name}: {method.Name}"

            [| float (Runs.recipe run).Steps
               seconds
               for n in evaluations do
                   match (if List.contains n method.Evaluations then drawingOf run n else None) with
                   | Some(model, drawing) ->
                       1.0
                       yield! figures (measured scale data model drawing)
                   | None -> yield! [ 0.0; 0.0; 0.0; 0.0 ] |]

        let rows =
            [ for k, method in List.indexed (methods data) do
                  for seed, teacher in List.indexed teachers -> asMethod k method seed teacher ]
            |> Study.shared options.Ranks (2 + 4 * evaluations.Length)
            |> List.chunkBySize teachers.Length
            |> List.zip (methods data)
            |> List.map (fun (method, own) ->
                let found =
                    [ for k in 0 .. evaluations.Length - 1 ->
                          let there =
                              own |> List.map (fun f -> f[2 + 4 * k .. 5 + 4 * k]) |> List.filter (fun f -> f[0] > 0.0)

                          if there.IsEmpty then None else Some [ for f in there -> ofFigures f[1..] ] ]

                { Method = method.Name
                  Found = found
                  Steps = own |> List.averageBy Array.head
                  Training = own |> List.averageBy (fun f -> f[1])
                  Sampling =
                    match found.Head with
                    | None -> nan
                    | Some there -> there |> List.averageBy _.Seconds })

        scale, best, rows

    let private cell (of': Found -> float) (found: Found list option) =
        match found |> Option.map (List.map of') with
        | None -> Cell.Missing
        | Some [ only ] -> Cell.Number only
        | Some values ->
            let mean, deviation = Study.meanAndDeviation values
            Cell.Text(Study.plusMinus (mean, deviation))

    let private measureOf (scale: Scale) =
        if scale.Measure.FloorIsKnown then scale.Measure.Name else $"{scale.Measure.Name} over its floor"

    let private sections name (scale: Scale, best: (int * (Found * string) list) list, rows: Row list) : Section list =
        let percent (found: Found) = 100.0 * found.Outside

        let line label tone stroke (points: (int * float) list) =
            { Label = label
              Tone = tone
              Stroke = stroke
              X = [| for n, _ in points -> float n |]
              Y = [| for _, distance in points -> distance |] }

        let chart =
            { XLabel = "evaluations a sample"
              YLabel = measureOf scale
              LogX = true
              LogY = true
              Lines =
                line
                    "teacher"
                    Tone.Data
                    Stroke.Dashed
                    [ for n, found in best -> n, found |> List.averageBy (fun (found, _) -> found.Distance) ]
                :: [ for k, row in List.indexed rows ->
                         line
                             row.Method
                             (Tone.Series k)
                             // There are eight colours.
                             (if k < 8 then Stroke.Marked else Stroke.Solid)
                             [ for n, found in List.zip evaluations row.Found do
                                   match found with
                                   | Some found -> n, found |> List.averageBy _.Distance
                                   | None -> () ] ] }

        [ { Title = $"{name}: distance against evaluations"
            Note =
              if scale.Measure.FloorIsKnown then
                  $"{scale.Measure.Name} to held-out data, without its bias: two sets of data of {scale.Size} samples are {Markup.significant 2 scale.Floor} apart, which is 0 but for chance."
              else
                  $"{scale.Measure.Name} to held-out data over what two sets of data are apart ({Markup.significant 3 scale.Floor} at {scale.Size} samples)."
            Bodies = [ Body.Lines chart ] }
          Study.table
              $"{name}: every method at {evaluations.Head} to {List.last evaluations} evaluations"
              $"{measureOf scale}; mean and deviation over seeds. Seconds of training, and of a thousand samples by one evaluation each, on one machine."
              ([ "method" ] @ [ for n in evaluations -> string n ] @ [ "steps"; "training, s"; "1,000 samples, s" ])
              [ for row in rows ->
                    [ yield Cell.Text row.Method
                      yield! List.map (cell _.Distance) row.Found
                      yield Cell.Number row.Steps
                      yield Cell.Number row.Training
                      yield Cell.Number row.Sampling ] ]
          if scale.Outside.IsSome then
              Study.table
                  $"{name}: percent of samples outside the law"
                  "Where its density is less than all but a thousandth of its own samples have: of those 0.1."
                  ([ "method" ] @ [ for n in evaluations -> string n ])
                  [ for row in rows -> Cell.Text row.Method :: List.map (cell percent) row.Found ]
          Study.table
              $"{name}: the teacher"
              "Of its samplers the best at each number of evaluations."
              [ "evaluations"; measureOf scale; "sampler"; "outside, %" ]
              [ for n, found in best ->
                    [ Cell.Number(float n)
                      cell _.Distance (Some(List.map fst found))
                      Cell.Text(String.Join(", ", found |> List.map snd |> List.distinct))
                      if scale.Outside.IsSome then cell percent (Some(List.map fst found)) else Cell.Missing ] ] ]

    let private point (scale: Scale) (n: int) (found: Found list) =
        Json.node (
            Json.object
                [ yield "evaluations", Json.whole (int64 n)
                  yield
                      (if scale.Measure.FloorIsKnown then "distance" else "ratio"),
                      Json.number (found |> List.averageBy _.Distance)
                  let outside = found |> List.averageBy _.Outside

                  if not (Double.IsNaN outside) then
                      yield "outside", Json.number outside ]
        )

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let names =
            match options.Run with
            | Some given -> [ (Runs.recipe (Runs.find options.Root given)).DataSet ]
            | None -> [ "moons"; "eight-gaussians" ]

        let found = [ for name in names -> name, onData terminal options name ]

        { DataSet = String.Join(", ", names)
          Summary =
            "Every method that compresses a flow, each from the same teacher and in the same budget of training, at 1, 2, 4 and 8 evaluations a sample."
          Headlines = []
          Sections = found |> List.collect (fun (name, one) -> sections name one)
          Json =
            [ for name, (scale, best, rows) in found ->
                  name,
                  Json.node (
                      Json.object
                          [ "floor", Json.number scale.Floor
                            "teacher", Json.array [ for n, found in best -> point scale n (List.map fst found) ]
                            "methods",
                            Json.array
                                [ for row in rows ->
                                      Json.node (
                                          Json.object
                                              [ "name", Json.text row.Method
                                                "steps", Json.number row.Steps
                                                "training", Json.number row.Training
                                                "sampling", Json.number row.Sampling
                                                "ratios",
                                                Json.array
                                                    [ for n, found in List.zip evaluations row.Found do
                                                          match found with
                                                          | Some found -> point scale n found
                                                          | None -> () ] ]
                                      ) ] ]
                  ) ] }

    let study: Study =
        { Name = "few-steps"
          Summary = "every method that compresses a flow, from one teacher and in one budget, at 1 to 8 evaluations"
          Reference =
            "Salimans, Ho 2022; Song et al. 2023; Liu et al. 2023; Geng et al. 2024 and 2025; Lu, Song 2024; Frans et al. 2024; Boffi et al. 2025"
          Uses =
            [ "--seeds", $"teachers, each with all methods ({standardSeeds})"
              "--minutes", "minutes of the processor for the training of each method (1); the teacher's is 20,000 steps"
              "--steps", "steps of each training, the teacher's too, in the place of minutes"
              "--count", $"samples that are measured, in four sets ({standardCount})"
              "--run",
              "a teacher that is there, of any data: images are measured by the Fréchet distance without its bias" ]
          IsShared = true
          Run = run }
