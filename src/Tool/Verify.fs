namespace Fokker.Tool

open System
open System.Globalization
open System.IO
open System.Text.RegularExpressions
open Argu
open Fokker
open Fokker.Laws
open Fokker.Pictures
open Fokker.Report

type VerifyArgument =
    | [<Unique>] Law of name: string
    | [<Unique>] Cases of count: int
    | [<Unique>] Seed of number: uint64
    | [<Unique>] Case of number: int
    | [<Unique>] Out of file: string
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Law _ -> "one law only"
            | Cases _ -> "how many cases each law is tested on (each law's own number)"
            | Seed _ -> "seed of the drawn cases (20260101)"
            | Case _ -> "one case only, by its number, as a failure names it"
            | Out _ -> "write the table as a page, FILE.html"
            | Json -> "print one JSON object on standard output"

/// `fokker verify`: the identities of the theory, held against the library's formulas.
module Verify =

    let private sections = Table.all |> List.map _.Section |> List.distinct

    /// 3.1e-16, with so many digits after the point; 0.
    let private scientific (digits: int) (x: float) =
        if x = 0.0 then
            "0"
        else
            x.ToString("0." + String('0', digits) + "e-0", CultureInfo.InvariantCulture)

    /// A case in words with its numbers to four digits: it is replayed by its own number, not by them.
    let private brief (case': string) =
        Regex.Replace(
            case',
            @"\d+\.\d{4,}",
            fun found -> (float found.Value).ToString("G4", CultureInfo.InvariantCulture)
        )

    let private show (terminal: Terminal) (law: Law) (finding: Finding) =
        let mark = if finding.Holds then "holds" else "FAILS"
        Terminal.tell
            terminal
            $"  %s{mark}  %-34s{law.Name} %8s{scientific 1 finding.Worst} of %-5s{scientific 0 law.Tolerance} %4d{finding.Cases} cases  %s{law.Statement}"

    let private replay (seed: uint64) (finding: Finding) =
        $"./fokker verify --law {finding.Law} --seed {seed} --case {finding.Number}"

    let private page (seed: uint64) (findings: (Law * Finding) list) : Page =
        let failed = findings |> List.filter (fun (_, f) -> not f.Holds) |> List.length
        let count = string findings.Length

        let table section =
            { Columns = [ "law"; "statement"; "holds"; "worst error"; "allowed"; "cases"; "worst case"; "reference" ]
              Rows =
                [ for law, finding in findings do
                      if law.Section = section then
                          [ Cell.Text law.Name
                            Cell.Text law.Statement
                            Cell.Text(if finding.Holds then "yes" else "NO")
                            Cell.Text(scientific 1 finding.Worst)
                            Cell.Text(scientific 0 law.Tolerance)
                            Cell.Number(float finding.Cases)
                            Cell.Text(brief finding.Case)
                            Cell.Text law.Reference ] ] }

        { Name = "Laws"
          DataSet = "drawn paths, mixtures, times and dimensions"
          Date = DateTimeOffset.UtcNow
          Summary = $"Every identity is computed on both sides in float64, on cases drawn from seed {seed}."
          Headlines =
            [ { Label = "laws"; Value = count; Note = "" }; { Label = "failing"; Value = string failed; Note = "" } ]
          Sections =
            [ for section in sections do
                  if findings |> List.exists (fun (law, _) -> law.Section = section) then
                      { Title = section; Note = ""; Bodies = [ Body.Table(table section) ] } ]
          Generator = $"fokker {Run.version}" }

    let private json (seed: uint64) (findings: (Law * Finding) list) =
        let one (law: Law, finding: Finding) =
            Json.object
                [ "name", Json.text law.Name
                  "section", Json.text law.Section
                  "statement", Json.text law.Statement
                  "reference", Json.text law.Reference
                  "holds", Json.flag finding.Holds
                  "worst", Json.number finding.Worst
                  "tolerance", Json.number law.Tolerance
                  "cases", Json.whole (int64 finding.Cases)
                  "worstCase", Json.text finding.Case ]
            |> Json.node

        Json.object
            [ "holds", Json.flag (findings |> List.forall (fun (_, f) -> f.Holds))
              "seed", Json.text (string seed)
              "laws", Json.array (List.map one findings) ]

    let private run (all: Law list) (terminal: Terminal) (arguments: VerifyArgument list) =
        let pick choose = List.tryPick choose arguments

        let laws =
            match
                pick (function
                    | Law name -> Some name
                    | _ -> None)
            with
            | Some name -> [ Names.find "--law" "law" "laws" (fun (law: Law) -> law.Name) all name ]
            | None -> all

        let seed =
            pick (function
                | Seed seed -> Some seed
                | _ -> None)
            |> Option.defaultValue 20260101UL
        let case' =
            pick (function
                | Case number -> Some number
                | _ -> None)
        let cases =
            pick (function
                | Cases count -> Some count
                | _ -> None)

        match cases, case' with
        | Some count, _ when count < 1 -> raise (UserError $"--cases {count}: at least 1")
        | _, Some number when number < 0 -> raise (UserError $"--case {number}: cases are numbered from 0")
        | _, Some _ when laws.Length > 1 ->
            raise (UserError "--case replays one case of one law: say which with --law NAME")
        | _ -> ()

        let findings =
            [ for section in sections do
                  let own = laws |> List.filter (fun law -> law.Section = section)

                  if not own.IsEmpty then
                      Terminal.tell terminal section

                  for law in own do
                      let first, count =
                          match case' with
                          | Some number -> number, 1
                          | None -> 0, Option.defaultValue law.Cases cases

                      let finding = Laws.Law.run seed first count law
                      show terminal law finding

                      if not finding.Holds then
                          Terminal.warn terminal $"{law.Name}: {brief finding.Case}; replay with {replay seed finding}"

                      law, finding ]

        let failed = findings |> List.filter (fun (_, f) -> not f.Holds) |> List.length

        match
            pick (function
                | Out file -> Some file
                | _ -> None)
        with
        | Some file ->
            match Path.GetDirectoryName(Path.GetFullPath file) with
            | null -> ()
            | folder -> Directory.CreateDirectory folder |> ignore

            Page.write file (page seed findings)
            Terminal.tell terminal $"The table is in {file}"
        | None -> ()

        Terminal.tell terminal $"{findings.Length - failed} laws hold, {failed} fail"
        Terminal.give terminal (json seed findings)
        if failed = 0 then Exit.Success else Exit.Fault

    /// The command, on laws: a test hands it one that fails.
    let on (laws: Law list) : Command =
        Command.make<VerifyArgument>
            "verify"
            "tests the identities of the theory on the library's formulas, with drawn cases"
            [ "./fokker verify", "every law, as a table; exit code 1 where one fails"
              "./fokker verify --law tweedie --cases 1000", "one law, on more cases"
              "./fokker verify --json", "laws[].name, .holds, .worst, .cases, .reference" ]
            (run laws)

    let command = on Table.all
