namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker
open Fokker.Pictures
open Fokker.Report
open Fokker.Experiments

type StudyArgument =
    | [<MainCommand; Unique>] Name of study: string
    | [<Unique>] Seeds of count: int
    | [<Unique>] Steps of count: int64
    | [<Unique>] Minutes of minutes: float
    | [<Unique; AltCommandLine("-n")>] Count of samples: int
    | [<Unique>] Run of run: string
    | [<Unique>] Runs of folder: string
    | [<Unique; AltCommandLine("-o")>] Out of file: string
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            let of' option =
                [ for study in Table.all do
                      for name, meaning in study.Uses do
                          if name = option then
                              $"{study.Name}: {meaning}" ]
                |> String.concat "; "
                // Without words the next option would follow on the same line.
                |> fun text -> if text = "" then "no study has a use for it" else text

            match argument with
            | Name _ ->
                "which experiment of the literature: " + String.Join(", ", Table.all |> List.map (fun s -> s.Name))
            | Seeds _ -> of' "--seeds"
            | Steps _ -> of' "--steps"
            | Minutes _ -> of' "--minutes"
            | Count _ -> of' "--count"
            | Run _ -> of' "--run"
            | Runs _ -> "the folder that runs are kept in (runs)"
            | Out _ -> "the page (artifacts/studies/NAME.html)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output"

/// `fokker study`: an experiment of the literature, repeated.
module RunStudy =

    /// Raises UserError where an option was given that the study has no use for, or whose number cannot be, and where several processes would each do all of its work.
    let private check (study: Study) (options: StudyOptions) =
        let given =
            [ "--seeds", options.Seeds |> Option.map float
              "--steps", options.Steps |> Option.map float
              "--minutes", options.Minutes
              "--count", options.Count |> Option.map float ]

        for option, value in given do
            match value with
            | Some value when not (value >= 1.0 || option = "--minutes" && value > 0.0) ->
                let wanted = if option = "--minutes" then "a positive number" else "a whole number of at least 1"
                raise (UserError $"{option} {value}: expected {wanted}")
            | _ -> ()

        if options.Ranks.Count > 1 && not study.IsShared then
            let shared = Table.all |> List.filter _.IsShared |> List.map _.Name

            raise (
                UserError
                    $"""--ranks {options.Ranks.Count}: the study {study.Name} is one piece of work; these are shared out among processes: {String.Join(", ", shared)}"""
            )

        for option, isGiven in ("--run", options.Run.IsSome) :: (List.map (fun (o, v) -> o, Option.isSome v) given) do
            if isGiven && not (List.exists (fst >> (=) option) study.Uses) then
                let uses =
                    match study.Uses with
                    | [] -> "it has no options"
                    | uses -> $"""it has {String.Join(", ", List.map fst uses)}"""

                raise (UserError $"{option}: the study {study.Name} has no use for it; {uses}")

    let private repeating (study: Study) (options: StudyOptions) =
        let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)

        [ "./fokker study " + study.Name
          for option, value in
              [ "--seeds", options.Seeds |> Option.map string
                "--steps", options.Steps |> Option.map string
                "--minutes", options.Minutes |> Option.map number
                "--count", options.Count |> Option.map string
                "--run", options.Run ] do
              match value with
              | Some value -> $"{option} {value}"
              | None -> () ]
        |> String.concat " "

    let private nothing: StudyOptions =
        { Seeds = None
          Steps = None
          Minutes = None
          Count = None
          Run = None
          Root = Runs.standardRoot
          Ranks = Ranks.alone }

    let private choose (options: StudyOptions) (argument: StudyArgument) : StudyOptions =
        match argument with
        | Seeds n -> { options with Seeds = Some n }
        | Steps n -> { options with Steps = Some n }
        | Minutes minutes -> { options with Minutes = Some minutes }
        | Count n -> { options with Count = Some n }
        | StudyArgument.Run name -> { options with Run = Some name }
        | Runs folder -> { options with Root = folder }
        | Name _
        | Out _
        | Quiet
        | Json -> options

    let private runWith (ranks: IRanks) (terminal: Terminal) (arguments: StudyArgument list) =
        let pick chooser = List.tryPick chooser arguments
        let terminal = { terminal with Quiet = List.contains Quiet arguments }

        let study =
            match
                pick (function
                    | Name name -> Some name
                    | _ -> None)
            with
            | Some name -> Names.find "" "study" "studies" (fun (s: Study) -> s.Name) Table.all name
            | None ->
                let known = Table.all |> List.map (fun s -> $"{s.Name} ({s.Summary})")
                raise (UserError $"""say which study, ./fokker study NAME: {String.Join("; ", known)}""")

        let options = List.fold choose { nothing with Ranks = ranks } arguments
        check study options

        let file =
            pick (function
                | Out file -> Some file
                | _ -> None)
            |> Option.defaultValue (Path.Combine("artifacts", "studies", study.Name + ".html"))

        // Better known before hours of work than after them.
        Path.GetDirectoryName(Path.GetFullPath file)
        |> Option.ofObj
        |> Option.iter (fun folder -> Directory.CreateDirectory folder |> ignore)

        let findings = study.Run terminal options

        // All processes have found the same; one of them writes it down.
        if ranks.Rank = 0 then
            Page.write file (Study.page study (repeating study options) findings)

        for line in Study.lines findings do
            Terminal.tell terminal line

        Terminal.tell terminal $"page: {file}"

        Terminal.give
            terminal
            (Json.object [ "study", Json.text study.Name; "page", Json.text file; yield! findings.Json ])

        Exit.Success

    let private run (terminal: Terminal) (arguments: StudyArgument list) =
        Joined.around "study" terminal (fun ranks terminal -> runWith ranks terminal arguments)

    let command =
        Command.make<StudyArgument>
            "study"
            "repeats an experiment of the literature and writes its page"
            [ for study in Table.all -> $"./fokker study {study.Name}", study.Summary ]
            (fun terminal arguments -> Interrupt.Around terminal (fun terminal -> run terminal arguments))
