namespace Fokker.Tool

open System
open Argu
open Fokker

type ListArgument =
    | [<MainCommand; Unique>] What of list: string
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | What _ -> "one list only: " + String.Join(", ", Catalogue.shelves |> List.map _.Name)
            | Json -> "print one JSON object on standard output"

/// `fokker list`: what there is to choose from, each with its equation and its source.
module Listing =

    let private show (terminal: Terminal) (shelf: Shelf) =
        let width = shelf.Entries |> List.map _.Name.Length |> List.max
        Terminal.tell terminal $"{shelf.Name.ToUpperInvariant()} ({shelf.Option})"

        for entry in shelf.Entries do
            let meaning = if entry.Meaning = "" then entry.Source else entry.Meaning
            Terminal.tell terminal $"    {entry.Name.PadRight width}  {meaning}"

            if entry.Meaning <> "" && entry.Source <> "" then
                Terminal.tell terminal $"""    {"".PadRight width}  {entry.Source}"""

        Terminal.tell terminal ""

    let private json (shelf: Shelf) =
        let entry (entry: Entry) =
            Json.object
                [ "name", Json.text entry.Name; "meaning", Json.text entry.Meaning; "source", Json.text entry.Source ]

        shelf.Name, Json.array (shelf.Entries |> Seq.map (fun e -> entry e))

    let private run (terminal: Terminal) (arguments: ListArgument list) =
        let wanted =
            arguments
            |> List.tryPick (function
                | What name -> Some(Names.find "" "list" "lists" (fun (s: Shelf) -> s.Name) Catalogue.shelves name)
                | Json -> None)

        let shelves = wanted |> Option.map List.singleton |> Option.defaultValue Catalogue.shelves
        List.iter (show terminal) shelves
        Terminal.give terminal (Json.object (List.map json shelves))
        Exit.Success

    let command =
        Command.make<ListArgument>
            "list"
            "lists the data sets, paths, losses, networks, samplers and whatever else goes by a name"
            [ "./fokker list", "everything"
              "./fokker list paths", "the paths, each with its equation and where it is from" ]
            run
