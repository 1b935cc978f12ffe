namespace Fokker.Tool

open System
open Argu
open Fokker

type ImputeArgument =
    | [<Unique>] Data of file: string
    | [<Unique; AltCommandLine("-n")>] Count of completions: int
    | [<Unique>] Steer of method: string
    | [<Unique; AltCommandLine("--class")>] Label of label: string
    | [<Unique>] Seed of number: int64
    | [<Unique; AltCommandLine("-o")>] Out of file: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Data _ ->
                "a .csv file of rows with empty cells, its columns those of the data that the model learned; it may stand behind the run without the option"
            | Count _ -> "how often each row is completed (1)"
            | Steer _ ->
                "how samples are steered towards the cells that are there (mmps; repaint:20 where the data have words, repaint:10 of series; fokker list steerings)"
            | Label _ -> "one class for all rows: its number or its name"
            | Seed _ -> "seed of the draws (0)"
            | Out _ ->
                "a .csv file for the completed rows; with -n above 1 the columns row and draw stand before the others (filled.csv)"

/// What the options of `fokker impute` come to.
type private ImputeChoice =
    { Data: string option
      Count: int
      Steer: string option
      Label: string option
      Seed: int64
      Out: string }

/// `fokker impute`: rows with empty cells, completed by samples of what they may hold.
module Impute =

    let private choose (choice: ImputeChoice) (argument: ImputeArgument) : ImputeChoice =
        match argument with
        | Data file -> { choice with Data = Some file }
        | Count n -> { choice with Count = n }
        | Steer name -> { choice with Steer = Some name }
        | Label name -> { choice with Label = Some name }
        | Seed seed -> { choice with Seed = seed }
        | Out file -> { choice with Out = file }

    let private usual: ImputeChoice =
        { Data = None; Count = 1; Steer = None; Label = None; Seed = 0L; Out = "filled.csv" }

    /// The rows as text, so many of a sample; with several completions of each sample, which sample and which completion stand in front.
    let private table (header: string[] option) (count: int) (each: int) (rows: string[][]) : byte[] =
        let header =
            header
            |> Option.map (fun names -> if count > 1 then Array.append [| "row"; "draw" |] names else names)

        rows
        |> Seq.mapi (fun i own ->
            let i = i / each
            if count > 1 then Array.append [| string (i / count + 1); string (i % count + 1) |] own else own)
        |> TableFile.text header

    let private run (terminal: Terminal) (model: ModelArgument list) (arguments: ImputeArgument list) =
        let options = ModelChoice.ofArguments terminal.Known model
        let choice = List.fold choose usual arguments
        let terminal = { terminal with Quiet = options.Quiet }

        if choice.Count < 1 then
            raise (UserError $"-n {choice.Count}: expected a whole number of at least 1")

        if not (choice.Out.EndsWith(".csv", StringComparison.OrdinalIgnoreCase)) then
            raise (UserError $"--out {choice.Out}: expected a file that ends in .csv")

        let file =
            choice.Data
            |> Option.defaultWith (fun () ->
                raise (
                    UserError
                        "say which rows are to be completed, ./fokker impute RUN FILE.csv or --data FILE.csv: its empty cells are filled in"
                ))

        let model = ModelChoice.model "./fokker impute table rows.csv" options

        if model.IsImage then
            raise (
                UserError
                    $"{model.Name}: its samples are images, and a table has no rows of them: take sample with --observe"
            )

        let header, given = TableFile.withHoles model file
        let rows = given.Values
        let empty = Tensor.toFloats rows |> Seq.filter Double.IsNaN |> Seq.length

        let isWindow = model.Shape.Length = 2
        let cells = if model.Columns.IsEmpty || isWindow then "cells" else "coordinates"

        let request =
            { SamplingRequest.standard with
                Generation = ModelChoice.generation options { Relative = None; Absolute = None } choice.Label model
                Steering = { SteeringRequest.none with Method = choice.Steer |> Option.map Catalogue.steerings.Find }
                Seed = choice.Seed }

        let filled =
            Progress.run terminal "imputing" 1.0 (fun report ->
                Imputation.complete model request given choice.Count report)

        let each = if isWindow then model.Shape[1] else 1
        Runs.writeBytes choice.Out (table header choice.Count each (TableFile.cells model filled))
        let of' = if isWindow then "window" else "row"
        let s count = if count = 1 then "" else "s"

        Terminal.tell
            terminal
            $"{empty} empty {cells} in {rows.Shape[0]} {of'}{s rows.Shape[0]}, each {of'} completed {choice.Count} time{s choice.Count}"
        Terminal.tell terminal choice.Out

        Terminal.give
            terminal
            (Json.object
                [ yield! Described.model model
                  "rows", Json.whole (int64 rows.Shape[0])
                  "empty", Json.whole (int64 empty)
                  "completions", Json.whole (int64 choice.Count)
                  "files", Json.array [ Json.text choice.Out ] ])

        Exit.Success

    /// The words with `--data` in front of a .csv file that no option has for its own.
    let private named (words: string list) : string list =
        let takesNothing = [ "--quiet"; "--json" ]

        let belongs (before: string option) =
            match before with
            | Some word -> word.StartsWith '-' && not (List.contains word takesNothing)
            | None -> false

        [ for before, word in List.zip (None :: List.map Some words |> List.take words.Length) words do
              if
                  word.EndsWith(".csv", StringComparison.OrdinalIgnoreCase)
                  && not (word.StartsWith '-' || belongs before)
              then
                  "--data"

              word ]

    let command =
        let command =
            Command.makeWith<ModelArgument, ImputeArgument>
                "impute"
                "completes rows with empty cells by samples of what they may hold"
                [ "./fokker impute table rows.csv --out filled.csv -n 20",
                  "each row twenty times, for multiple imputation"
                  "./fokker impute --oracle mixture.json rows.csv", "where the law is known" ]
                run

        { command with Run = fun terminal words -> command.Run terminal (named words) }
