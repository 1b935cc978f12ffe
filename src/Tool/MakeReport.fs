namespace Fokker.Tool

open System.IO
open Argu
open Fokker

type ReportArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] Data of dataset: string
    | [<Unique>] Device of device: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "a name under runs/, or the path of a run's folder"
            | Data _ -> "the data set that the samples are shown beside (the one that the run was trained on)"
            | Device _ -> "cpu, cuda or cuda:N"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// `fokker report`: the report of a run, written again.
module MakeReport =

    let private run (terminal: Terminal) (arguments: ReportArgument list) =
        let pick chooser = List.tryPick chooser arguments
        let root =
            pick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let folder =
            match
                pick (function
                    | Run name -> Some name
                    | _ -> None)
            with
            | Some name -> Runs.find root name
            | None -> raise (UserError "say which run: ./fokker report moons")

        use _ = Run.claim folder.Path

        let device =
            pick (function
                | Device name -> Some name
                | _ -> None)

        let model = GenerativeModel.ofTrained folder.Name (Runs.trainedIn terminal.Own device None folder)
        let recipe = Runs.recipe folder

        let data =
            DataOption.heldOut
                terminal
                model
                (pick (function
                    | Data name -> Some name
                    | _ -> None))

        // What was measured stands; what was not is measured now.
        match Evaluation.saved folder with
        | Some(scores, density) ->
            let n =
                if model.IsImage then 100
                elif Units.areSeries model.Shape model.Units then 500
                else 4000

            let key = model.Stream "samples"
            let drawing = Samples.standardFor model |> Evaluations.telling data model key n
            let drawn = Finish.samples terminal model drawing key n
            let own = Finish.sections terminal folder recipe data model

            Progress.run terminal "report" 1.0 (fun _ ->
                Results.report terminal.Known folder recipe data model drawing drawn scores density own)

            Terminal.tell terminal $"report: {folder.Report}"
        | None -> Finish.all terminal folder recipe data model None |> ignore

        Terminal.give terminal (Json.object [ "run", Json.text folder.Name; "report", Json.text folder.Report ])
        Exit.Success

    let command =
        Command.make<ReportArgument>
            "report"
            "writes the report of a run again: samples, animation, field, loss, measures, settings"
            [ "./fokker report moons", "runs/moons/report.html, one file that needs nothing else" ]
            (fun terminal arguments -> Interrupt.Around terminal (fun terminal -> run terminal arguments))
