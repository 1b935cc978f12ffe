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
            | What _ -> "one list only: " + String.Join(", ", Catalogue.all |> List.map _.Name)
            | Json -> "print one JSON object on standard output"

/// `fokker list`: what there is to choose from, each with its equation and its reference.
module Listing =

    /// How the command line takes one of a list.
    let private option (list: PartList<unit>) =
        match list.Setting with
        | Some setting when setting = Setting.Data -> "train DATASET"
        | Some setting when setting = Setting.Trace -> "likelihood --trace"
        | Some setting -> OptionNames.ofSetting setting
        | None -> "evaluate"

    let private show (terminal: Terminal) (list: PartList<unit>) =
        let width = list.Parts |> List.map _.Name.Length |> List.max
        Terminal.tell terminal $"{list.Name.ToUpperInvariant()} ({option list})"

        for part in list.Parts do
            let lines =
                [ part.Summary; part.Equation; yield! List.map Parameter.describe part.Parameters; part.Reference ]
                |> List.filter ((<>) "")

            for k, line in List.indexed lines do
                let name = if k = 0 then part.Name else ""
                Terminal.tell terminal $"    {name.PadRight width}  {line}"

        Terminal.tell terminal ""

    let private json (list: PartList<unit>) =
        let parameter (p: Parameter) =
            Json.object
                [ "name", Json.text p.Name
                  "default", Json.number p.Default
                  "allowed", Json.text (string p.Allowed)
                  "meaning", Json.text p.Meaning ]

        let part (part: Part<unit>) =
            Json.object
                [ "name", Json.text part.Name
                  "summary", Json.text part.Summary
                  "meaning", Json.text part.Equation
                  "reference", Json.text part.Reference
                  "parameters", Json.array (part.Parameters |> Seq.map (fun p -> parameter p)) ]

        list.Name, Json.array (list.Parts |> Seq.map (fun p -> part p))

    let private run (terminal: Terminal) (arguments: ListArgument list) =
        let all = Known.described terminal.Known

        let wanted =
            arguments
            |> List.tryPick (function
                | What name -> Some(Names.find "" "list" "lists" (fun (list: PartList<unit>) -> list.Name) all name)
                | Json -> None)

        let lists = wanted |> Option.map List.singleton |> Option.defaultValue all
        List.iter (show terminal) lists
        Terminal.give terminal (Json.object (List.map json lists))
        Exit.Success

    let command =
        Command.make<ListArgument>
            "list"
            "lists the data sets, paths, losses, networks, samplers and everything else that has a name"
            [ "./fokker list", "everything"
              "./fokker list paths", "the paths, each with its equation and where it is from" ]
            run
