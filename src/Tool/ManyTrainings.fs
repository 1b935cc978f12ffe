namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker

/// The trainings of a sweep, one after the other, and the page that compares them.
module ManyTrainings =

    /// Options that say where a training is and what is said of it, and not what it is.
    let private unswept =
        [ "--name"; "--runs"; "--sweep"; "--resume"; "--overwrite"; "--quiet"; "--json"; "--skip-corrupt"; "--flip" ]

    /// The arguments of each training of a sweep, with what is set in it. Raises UserError where an option cannot be swept, or is given besides.
    let private swept (settings: SweptSetting list) (arguments: TrainArgument list) =
        let parser =
            ArgumentParser.Create<TrainArgument>(programName = "fokker train", errorHandler = ExceptionExiter())

        let options =
            [ for case in parser.GetArgumentCases() do
                  yield! case.CommandLineNames.Value ]
            |> List.filter (fun option -> not (List.contains option unswept))

        for setting in settings do
            if not (List.contains ("--" + setting.Key) options) then
                let keys = options |> List.map (fun option -> option.TrimStart '-')
                raise (UserError(Names.unknown "" "option to sweep" "options to sweep" keys setting.Key))

        let words = List.ofArray (parser.PrintCommandLineArguments arguments)

        [ for point in Sweep.points settings ->
              let more = point |> List.collect (fun (key, value) -> [ "--" + key; value ])
              point, (parser.ParseCommandLine(Array.ofList (words @ more), raiseOnUsage = false)).GetAllResults() ]

    /// Every combination of the swept values, one training after the other, and the page that compares them. What is there already is left as it is where the sweep is resumed.
    let run (ranks: IRanks) (terminal: Terminal) (settings: SweptSetting list) (arguments: TrainArgument list) : int =
        let has argument = List.contains argument arguments

        let root = TrainOptions.root arguments

        let dataset =
            match TrainOptions.dataSet arguments with
            | Some name -> TrainOptions.nameOf arguments name
            | None -> raise (UserError "say which data set: ./fokker train moons --sweep lr=1e-3,2e-3")

        let name = TrainOptions.name arguments |> Option.defaultValue (Datasets.shortName dataset)

        let own =
            arguments
            |> List.filter (function
                | Name _
                | Resume -> false
                | _ -> true)

        let trainings =
            [ for point, arguments in swept settings own ->
                  let run = Runs.place root (Sweep.nameOf name point)
                  struct (point, run, Name run.Name :: arguments) ]

        // Better known before hours of work than in the middle of them.
        for struct (_, run, arguments) in trainings do
            if Runs.isThere run && not (has Overwrite || has Resume) then
                raise (
                    UserError
                        $"--sweep: {run.Path} holds a run already: give the sweep another --name, or --resume to keep what is there, or --overwrite"
                )

            let struct (_, data, _, _) =
                OneTraining.asked ranks { terminal with Error = TextWriter.Null } arguments root
            Scope.free data

        // One object is for programs, and it is the sweep's.
        let within = if terminal.Json then { terminal with Out = TextWriter.Null } else terminal

        let train (run: RunFolder) (arguments: TrainArgument list) : SweptOutcome * int =
            let isDone = File.Exists run.Evaluation

            if has Resume && isDone then
                SweptOutcome.Finished, Exit.Success
            else
                // The trainings' options are those of the run already, where there is one.
                let arguments = if has Resume && Runs.isThere run then Resume :: arguments else arguments

                try
                    SweptOutcome.Finished, OneTraining.run ranks within arguments
                with :? UserError as error ->
                    SweptOutcome.Refused error.Message, Exit.Success

        let rec go (made: SweptRun list) (left: struct ((string * string) list * RunFolder * TrainArgument list) list) =
            match left with
            | [] -> List.rev made, Exit.Success
            | struct (point, run, arguments) :: others ->
                Terminal.say terminal $"{made.Length + 1} of {trainings.Length}: {run.Name}"

                match train run arguments with
                | outcome, code when code = Exit.Success ->
                    go ({ Point = point; Run = run; Outcome = outcome } :: made) others
                | _, code -> List.rev made, code

        let made, code = go [] trainings

        if ranks.Rank > 0 || made.IsEmpty then
            code
        else
            let page = Path.Combine(root, name + ".sweep.html")

            let command =
                let quoted (word: string) =
                    if word |> Seq.forall (fun c -> Char.IsLetterOrDigit c || "-_.:/,=".Contains c) then
                        word
                    else
                        $"'{word}'"

                let settings =
                    [ for setting in settings do
                          let bar = if setting.Values |> List.exists _.Contains(',') then "|" else ","
                          "--sweep"
                          $"{setting.Key}={String.Join(bar, setting.Values)}" ]

                let parser = ArgumentParser.Create<TrainArgument>(programName = "fokker train")

                let others =
                    own
                    |> List.filter (function
                        | Overwrite
                        | Quiet
                        | Json -> false
                        | _ -> true)
                    |> parser.PrintCommandLineArguments
                    |> List.ofArray

                [ "./fokker"; "train" ] @ others @ settings @ [ "--name"; name ]
                |> List.map quoted
                |> String.concat " "

            Report.Page.write page (Sweep.page name dataset command made)

            for run in made do
                Terminal.tell terminal (Sweep.line run)

            Terminal.tell terminal $"page: {page}"

            Terminal.give
                terminal
                (Json.object
                    [ "page", Json.text page
                      "runs",
                      Json.array
                          [ for run in made ->
                                Json.node (
                                    Json.object
                                        [ "run", Json.text run.Run.Name
                                          "folder", Json.text run.Run.Path
                                          "settings",
                                          Json.node (
                                              Json.object [ for key, value in run.Point -> key, Json.text value ]
                                          )
                                          match run.Outcome with
                                          | SweptOutcome.Refused reason -> "refused", Json.text reason
                                          | SweptOutcome.Finished ->
                                              match Evaluation.saved run.Run with
                                              | Some(scores, density) -> yield! Finish.figures scores density
                                              | None -> () ]
                                ) ] ])

            if code <> Exit.Success then
                terminal.Error.WriteLine
                    $"{trainings.Length - made.Length} of {trainings.Length} trainings are left: the same command with --resume goes on"

            code
