namespace Fokker.Experiments

open System
open System.Diagnostics
open System.Text.Json.Nodes
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// The options of a study; none where one was left out. What a number means, and its default, is the study's own.
type StudyOptions =
    {
        Seeds: int option
        Steps: int64 option
        /// Minutes of training.
        Minutes: float option
        /// Samples that are measured.
        Count: int option
        /// A trained run in place of one that the study would train.
        Run: string option
        /// The folder that runs are kept in.
        Root: string
        /// The processes that do it together.
        Ranks: IRanks
    }

/// What a study found: one account of it for the page, the terminal and programs.
[<NoComparison; NoEquality>]
type Findings =
    {
        DataSet: string
        /// A sentence or two for a reader who reads nothing else.
        Summary: string
        Headlines: Headline list
        /// The terminal has the tables among them.
        Sections: Section list
        Json: (string * (JsonNode | null)) list
    }

/// An experiment of the literature, repeated: a name, what it listens to, and how it is run. `Table.all` lists them.
[<NoComparison; NoEquality>]
type Study =
    {
        Name: string
        Summary: string
        Reference: string
        /// The options that it listens to, each with what it says and its default: `--seeds`, "trainings of each method (5)".
        Uses: (string * string) list
        /// Whether several processes share its work out: each has all of it to do otherwise.
        IsShared: bool
        /// Long work asks the terminal whether to go on, and says there how far it is.
        Run: Terminal -> StudyOptions -> Findings
    }

[<RequireQualifiedAccess>]
module Study =

    /// Seconds of this process on all cores. Minutes of a training are minutes of this clock: by that on the wall a method that is trained while the machine is busy would get less.
    let processor () = Process.GetCurrentProcess().TotalProcessorTime.TotalSeconds

    /// The mean of some values and their standard deviation, divided by n − 1.
    let meanAndDeviation (values: float list) =
        let mean = List.average values
        let spread = values |> List.sumBy (fun v -> (v - mean) * (v - mean))
        mean, sqrt (spread / float (max 1 (values.Length - 1)))

    /// The figures of pieces of work, so many numbers of each: piece k is done by process k mod R, and all processes have all figures. They exchange after each round of a piece for every process, so that
    /// none waits for longer than one piece takes.
    let shared (ranks: IRanks) (count: int) (pieces: (unit -> float[]) list) : float[] list =
        let round (pieces: (unit -> float[]) list) =
            let figures = Array.zeroCreate (count * pieces.Length)

            match List.tryItem ranks.Rank pieces with
            | Some piece -> Array.blit (piece ()) 0 figures (ranks.Rank * count) count
            | None -> ()

            Ranks.sumNumbers ranks figures |> Array.chunkBySize count |> List.ofArray

        pieces |> List.chunkBySize ranks.Count |> List.collect round

    /// `shared` of every case with every seed: a case's figures, seed by seed. What is done is told as a share, with the case's name.
    let sharedSeeds
        (ranks: IRanks)
        (report: float -> string -> unit)
        (count: int)
        (name: 'case -> string)
        (seeds: int list)
        (figures: 'case -> int -> float[])
        (cases: 'case list)
        : float[] list list =
        let pieces = List.allPairs cases seeds

        pieces
        |> List.mapi (fun k (case, seed) () ->
            report (float k / float pieces.Length) (name case)
            figures case seed)
        |> shared ranks count
        |> List.chunkBySize seeds.Length

    /// `0.254 ± 0.037`.
    let plusMinus (value: float, error: float) =
        let decimals = if error > 0.0 then Math.Clamp(1 - int (floor (Math.Log10 error)), 0, 6) else 3
        let text (v: float) = v.ToString($"F{decimals}", Globalization.CultureInfo.InvariantCulture)
        $"{text value} ± {text error}"

    let table title note (columns: string list) (rows: Cell list list) : Section =
        { Title = title; Note = note; Bodies = [ Body.Table { Columns = columns; Rows = rows } ] }

    let private words (cell: Cell) =
        match cell with
        | Cell.Text text -> text
        | Cell.Number value -> Markup.significant 4 value
        | Cell.Missing -> ""

    /// The tables among the findings, for people.
    let lines (findings: Findings) : string list =
        [ for section in findings.Sections do
              for body in section.Bodies do
                  match body with
                  | Body.Table table ->
                      let rows = table.Columns :: List.map (List.map words) table.Rows
                      let widths = List.transpose rows |> List.map (List.map String.length >> List.max)
                      section.Title

                      for row in rows do
                          "  "
                          + String
                              .Join("   ", List.map2 (fun width (cell: string) -> cell.PadRight width) widths row)
                              .TrimEnd()
                  | _ -> () ]

    /// The page of what was found; `command` is the line that repeats it.
    let page (study: Study) (command: string) (findings: Findings) : Page =
        { Name = study.Name
          DataSet = findings.DataSet
          Date = DateTimeOffset.UtcNow
          Summary = findings.Summary
          Headlines = findings.Headlines
          Sections =
            findings.Sections
            @ [ { Title = "How to repeat this study"
                  Note = $"After {study.Reference}."
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
