namespace Fokker.Tool

open System
open System.IO
open Fokker
open Fokker.Pictures
open Fokker.Report

/// A setting of a training with the values that it is to have, one after the other.
type SweptSetting = { Key: string; Values: string list }

/// What became of one training of a sweep.
[<RequireQualifiedAccess>]
type SweptOutcome =
    | Finished
    /// Why there is no model of it.
    | Refused of reason: string

/// One training of a sweep: what was set, in the order of the settings, and where it is.
type SweptRun = { Point: (string * string) list; Run: RunFolder; Outcome: SweptOutcome }

/// A small study of settings: every combination of some values, each trained as a run of its own, and one page that compares them.
module Sweep =

    /// `lr=1e-3,2e-3`; values that have commas of their own are separated by bars, `weight=min-snr:gamma=3|uniform`. Raises UserError where it says something else.
    let setting (text: string) : SweptSetting =
        match text.Split('=', 2) with
        | [| key; values |] when key <> "" ->
            let values = values.Split(if values.Contains '|' then '|' else ',') |> Array.map _.Trim() |> List.ofArray

            if values |> List.exists ((=) "") || values <> List.distinct values then
                raise (UserError $"--sweep {text}: expected values that are no two the same and none empty")

            { Key = key; Values = values }
        | _ -> raise (UserError $"--sweep {text}: expected a setting and its values: lr=1e-3,2e-3")

    /// Every combination of values, the last setting's changing fastest. Raises UserError where a setting comes twice.
    let points (settings: SweptSetting list) : (string * string) list list =
        match settings |> List.countBy _.Key |> List.tryFind (fun (_, n) -> n > 1) with
        | Some(key, _) -> raise (UserError $"--sweep {key}=…: the setting is given more than once")
        | None ->
            List.foldBack
                (fun setting rest ->
                    [ for value in setting.Values do
                          for others in rest do
                              (setting.Key, value) :: others ])
                settings
                [ [] ]

    /// A run's name: `moons-lr=0.001-width=64`.
    let nameOf (name: string) (point: (string * string) list) : string =
        let word (text: string) = text.Replace('/', '_').Replace('\\', '_')
        String.Join("-", name :: [ for key, value in point -> $"{key}={word value}" ])

    /// A measured number of a run, and its standard error.
    type private Figure = { Name: string; Value: Estimate }

    let private figures (run: SweptRun) : Figure list =
        match run.Outcome, Evaluation.saved run.Run with
        | SweptOutcome.Finished, Some(scores, density) ->
            [ for density in Option.toList density do
                  { Name = density.Symbol; Value = density.Nats }
              for score in scores do
                  if score.Undefined.IsNone then
                      { Name = score.Name; Value = score.Value } ]
        | _ -> []

    let private plusMinus (value: float) (error: float) : string =
        if Double.IsFinite error then
            $"{Markup.significant 4 value} ± {Markup.significant 2 error}"
        else
            Markup.significant 4 value

    /// The names of all figures, in the order in which they first come.
    let private columns (found: Figure list list) : string list =
        found |> List.concat |> List.map _.Name |> List.distinct

    /// A row for each training: what was set, what it scored, its last loss and its time.
    let private comparison (runs: (SweptRun * Figure list * Fokker.Metric list) list) : Report.Table =
        let keys = runs |> List.head |> (fun (run, _, _) -> List.map fst run.Point)
        let names = runs |> List.map (fun (_, found, _) -> found) |> columns

        { Columns = keys @ names @ [ "loss at the end"; "seconds"; "run" ]
          Rows =
            [ for run, found, history in runs do
                  let last = List.tryLast history

                  [ for _, value in run.Point do
                        Cell.Text value
                    for name in names do
                        found
                        |> List.tryFind (fun f -> f.Name = name)
                        |> Option.map (fun f -> Cell.Text(plusMinus f.Value.Mean f.Value.StandardError))
                        |> Option.defaultValue Cell.Missing
                    last |> Option.map (_.Loss >> Cell.Number) |> Option.defaultValue Cell.Missing
                    last |> Option.map (_.Seconds >> Cell.Number) |> Option.defaultValue Cell.Missing
                    Cell.Text run.Run.Name ] ] }

    /// Means over the seeds of trainings that differ in nothing else, and their deviation; none where no seed was swept, or nothing was measured.
    let private overSeeds (runs: (SweptRun * Figure list * Fokker.Metric list) list) : Report.Table option =
        let isSeed (key, _) = key = "seed"
        let first, _, _ = List.head runs

        if not (List.exists isSeed first.Point) then
            None
        else
            let keys = first.Point |> List.filter (isSeed >> not) |> List.map fst
            let names = runs |> List.map (fun (_, found, _) -> found) |> columns

            let rows =
                runs
                |> List.groupBy (fun (run, _, _) -> run.Point |> List.filter (isSeed >> not))
                |> List.map (fun (point, group) ->
                    [ for _, value in point do
                          Cell.Text value
                      Cell.Number(
                          group |> List.filter (fun (run, _, _) -> run.Outcome.IsFinished) |> List.length |> float
                      )
                      for name in names do
                          let values =
                              [ for _, found, _ in group do
                                    for figure in found do
                                        if figure.Name = name then
                                            figure.Value.Mean ]

                          match values with
                          | [] -> Cell.Missing
                          | values ->
                              let mean = List.average values
                              let spread = values |> List.sumBy (fun v -> (v - mean) ** 2.0)
                              Cell.Text(plusMinus mean (sqrt (spread / float (values.Length - 1)))) ])

            if names.IsEmpty then None else Some { Columns = keys @ [ "seeds" ] @ names; Rows = rows }

    let private label (run: SweptRun) : string = String.Join(", ", [ for key, value in run.Point -> $"{key} {value}" ])

    /// The mean loss over the last lines at each, an eighth of the run long: single batches say little.
    let private smoothed (history: Fokker.Metric list) : Fokker.Metric[] =
        let all = Array.ofList history
        let reach = max 1 (all.Length / 8)
        all
        |> Array.mapi (fun k m -> { m with Loss = all[max 0 (k - reach + 1) .. k] |> Array.averageBy _.Loss })

    let private losses (runs: (SweptRun * Figure list * Fokker.Metric list) list) : Body =
        Body.Lines
            { XLabel = "step"
              YLabel = "loss"
              LogX = true
              LogY = false
              Lines =
                [ for k, (run, _, history) in List.indexed runs do
                      let history = smoothed history

                      if history.Length > 0 then
                          { Label = label run
                            Tone = Tone.Series k
                            Stroke = Stroke.Solid
                            X = history |> Array.map (fun m -> float m.Step)
                            Y = history |> Array.map _.Loss } ] }

    /// A figure against the one number that was swept.
    let private against
        (key: string)
        (name: string)
        (runs: (SweptRun * Figure list * Fokker.Metric list) list)
        : Body option =
        let points =
            [| for run, found, _ in runs do
                   match
                       Double.TryParse(
                           snd run.Point.Head,
                           Globalization.NumberStyles.Float,
                           Globalization.CultureInfo.InvariantCulture
                       ),
                       found |> List.tryFind (fun f -> f.Name = name)
                   with
                   | (true, x), Some figure -> x, figure.Value.Mean
                   | _ -> () |]
            |> Array.sortBy fst

        if points.Length < 2 || points.Length < runs.Length then
            None
        else
            let xs = Array.map fst points

            Some(
                Body.Lines
                    { XLabel = key
                      YLabel = name
                      LogX = xs[0] > 0.0 && xs[xs.Length - 1] / xs[0] >= 8.0
                      LogY = false
                      Lines =
                        [ { Label = name; Tone = Tone.Model; Stroke = Stroke.Marked; X = xs; Y = Array.map snd points } ] }
            )

    /// Samples of each run, side by side.
    let private samples (runs: SweptRun list) : Body list =
        let drawn =
            [ for run in runs do
                  if run.Outcome.IsFinished && File.Exists run.Run.Samples then
                      run, Npy.read run.Run.Samples ]

        let bodies =
            match drawn with
            | [] -> []
            | (first, x) :: _ when x.Rank = 4 ->
                let range = (ModelFile.read OwnParts.none Device.Cpu None first.Run.Model).Range

                [ Body.Images
                      [ for run, x in drawn ->
                            { Title = label run
                              Images = SamplePicture.images (defaultArg range (0.0, 255.0)) (SamplePicture.first 20 x)
                              Columns = 10
                              Labels = [||] } ] ]
            | (_, x) :: _ when x.Rank = 2 ->
                [ Body.Scatter
                      { Panels =
                          [ for run, x in drawn ->
                                { Title = label run
                                  Clouds = [ SamplePicture.cloud "samples" Tone.Model (SamplePicture.first 2000 x) ] } ]
                        XLabel = "$x_1$"
                        YLabel = "$x_2$" } ]
            | _ -> []

        for _, x in drawn do
            x.Dispose()

        bodies

    /// The page of trainings that were made, of which there is at least one.
    let page (name: string) (dataset: string) (command: string) (runs: SweptRun list) : Page =
        let found = runs |> List.map (fun run -> run, figures run, Metrics.read (Run.metricsFile run.Run.Path))

        let finished = runs |> List.filter _.Outcome.IsFinished |> List.length
        let keys = runs.Head.Point |> List.map fst
        let swept = String.Join(", ", keys)
        let text (count: int) = if count = 1 then "1 training" else $"{count} trainings"

        let charts =
            match keys with
            | [ key ] ->
                found
                |> List.map (fun (_, figures, _) -> figures)
                |> columns
                |> List.truncate 4
                |> List.choose (fun name -> against key name found)
            | _ -> []

        { Name = name
          DataSet = dataset
          Date = DateTimeOffset.UtcNow
          Summary =
            $"{text runs.Length} that differ in {swept} and in nothing else"
            + (if finished = runs.Length then "." else $"; {text (runs.Length - finished)} came to no model.")
          Headlines = []
          Sections =
            [ { Title = "Comparison"
                Note =
                  "Every figure with its standard error, as in the run's own report; the loss at the end is that of the last steps, and is comparable where the loss is the same."
                Bodies =
                  [ Body.Table(comparison found)
                    match
                        [ for run in runs do
                              match run.Outcome with
                              | SweptOutcome.Refused reason -> $"{label run}: {reason}."
                              | SweptOutcome.Finished -> () ]
                    with
                    | [] -> ()
                    | reasons -> Body.Prose reasons ] }
              match overSeeds found with
              | Some table ->
                  { Title = "Over seeds"
                    Note = "Means over the seeds, and the deviation of one seed from another."
                    Bodies = [ Body.Table table ] }
              | None -> ()
              if not charts.IsEmpty then
                  { Title = $"Against {swept}"
                    Note = "The first figures of the table against what was set."
                    Bodies = charts }
              { Title = "Training"
                Note = "Means of the loss over an eighth of the lines of each run's history."
                Bodies = [ losses found ] }
              match samples runs with
              | [] -> ()
              | bodies -> { Title = "Samples"; Note = "The first samples of each run."; Bodies = bodies }
              { Title = "How to repeat this"
                Note = "Each run's own report says its own command."
                Bodies =
                  [ Body.Settings
                        { Command = command
                          Groups =
                            [ "Machine",
                              [ "fokker", Run.version
                                "libtorch", Torch.version ()
                                "cpuCapability", Torch.cpuCapability ()
                                "threads", string (Torch.threads ()) ] ] } ] } ]
          Generator = $"Fokker {Run.version}" }

    /// For people: a line for each training.
    let line (run: SweptRun) : string =
        match run.Outcome, figures run with
        | SweptOutcome.Refused reason, _ -> $"  {label run, -32}{reason}"
        | SweptOutcome.Finished, found ->
            let best =
                found
                |> List.truncate 3
                |> List.map (fun f -> $"{f.Name} {plusMinus f.Value.Mean f.Value.StandardError}")

            $"""  {label run, -32}{String.Join("   ", best)}"""
