namespace Fokker.Tool

open System.IO
open Argu
open Fokker

type AverageArgument =
    | [<MainCommand; Unique>] Run of run: string
    | [<Unique>] Length of share: float
    | [<Unique>] Name of name: string
    | [<Unique>] Runs of folder: string
    | [<Unique>] Overwrite
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Run _ -> "the run, trained with --power-averages on"
            | Length _ ->
                "how long the average is: the standard deviation of its weights as a share of the training's steps (0.1)"
            | Name _ -> "the name of the run that is made of it (the run's with the length behind it)"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Overwrite -> "replace the run of this name"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output, everything else on standard error"

/// `fokker average`: a model of a run's parameters averaged over its training by a length that is chosen afterwards.
module Average =

    let private run (terminal: Terminal) (arguments: AverageArgument list) =
        let terminal = { terminal with Quiet = List.contains Quiet arguments }
        let pick chooser = List.tryPick chooser arguments

        let root =
            pick (function
                | Runs folder -> Some folder
                | _ -> None)
            |> Option.defaultValue Runs.standardRoot

        let given =
            match
                pick (function
                    | Run name -> Some name
                    | _ -> None)
            with
            | Some name -> Runs.find root name
            | None -> raise (UserError "say which run: ./fokker average moons --length 0.1")

        let length =
            pick (function
                | Length length -> Some length
                | _ -> None)
            |> Option.defaultValue 0.1

        let name =
            pick (function
                | Name name -> Some name
                | _ -> None)
            |> Option.defaultValue $"{given.Name}-{length}"

        if Path.GetFullPath (Runs.place root name).Path = Path.GetFullPath given.Path then
            refuse Setting.Name name $"it is the run itself: give another"

        let trained = Runs.averagedIn terminal.Own None length given

        let made =
            try
                Runs.keep root name (List.contains Overwrite arguments) trained
            finally
                Scope.free trained

        Terminal.tell terminal $"{made.Name}: the average of {given.Name} of length {length}, a run like any other"

        Terminal.give
            terminal
            (Json.object
                [ "run", Json.text made.Name
                  "of", Json.text given.Name
                  "length", Json.number length
                  "file", Json.text made.Model ])

        Exit.Success

    let command =
        Command.make<AverageArgument>
            "average"
            "makes a model of a run's parameters, averaged over its training by a length that is chosen afterwards"
            [ "./fokker average shirts --length 0.15",
              "the run shirts-0.15, which everything takes that takes a trained run" ]
            run
