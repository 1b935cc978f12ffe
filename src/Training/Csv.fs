namespace Fokker

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text.RegularExpressions
open nietras.SeparatedValues

/// Tables of numbers as text (RFC 4180): one sample a line, cells separated by commas, quoted or not. The first line is a header where it
/// holds names and no number; empty lines at the end do not count.
[<RequireQualifiedAccess>]
module Csv =

    let private number (cell: string) =
        match Double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | _ -> None

    let private decimalComma = Regex @"^[+-]?\d+,\d+(e[+-]?\d+)?$"

    /// What stands where a number is missing, in the spelling of the usual programs.
    let private missing = set [ ""; "na"; "n/a"; "#n/a"; "null"; "none"; "nil"; "-"; "?"; "." ]

    let private isMissing (cell: string) = missing.Contains(cell.ToLowerInvariant())

    /// A number, or text that was meant as one: infinities, NaN, a decimal comma.
    let private isNumeric (cell: string) =
        Option.isSome (number cell)
        || cell.TrimStart('+', '-').ToLowerInvariant() = "inf"
        || (decimalComma.IsMatch(cell.ToLowerInvariant()))

    // A row that was meant as data must not vanish: only names make a header.
    let private isHeader (cells: string[]) =
        not (Array.exists isNumeric cells) && Array.exists (fun cell -> not (isMissing cell)) cells

    /// A cell as messages have it: on one line, and not longer than that.
    let private shown (cell: string) =
        let plain = cell |> String.map (fun c -> if Char.IsControl c then ' ' else c)
        if plain.Length > 40 then plain.Substring(0, 40) + "…" else plain

    let private remedy (cell: string) =
        if decimalComma.IsMatch(cell.ToLowerInvariant()) then
            $"a decimal comma is not read: write {cell.Replace(',', '.')}"
        elif cell.Contains ';' || cell.Contains '\t' then
            "cells are to be separated by commas"
        else
            "expected a finite number; fill or drop what is missing"

    let private options =
        SepReaderOptions(
            Nullable(Sep ','),
            HasHeader = false,
            Unescape = true,
            DisableColCountCheck = true,
            Trim = SepTrim.All
        )

    /// The names of the columns, if the first line has them, and the numbers; a cell that says that a number is missing is NaN where `holes` may be.
    let private reading (holes: bool) (file: string) : string[] option * Tensor =
        let refuse (what: string) = raise (UserError $"{file}: {what}")

        let table (stream: Stream) =
            use text = new StreamReader(stream)
            use reader = options.From text
            let values = List<float>()
            let mutable width = -1
            let mutable rows = 0
            let mutable started = false
            let mutable header = None
            // The first of the empty lines that may turn out to be the last ones.
            let mutable empty = 0

            let ofOtherWidth line cells =
                refuse $"line {line} has {cells} cells where line 1 has {width}: every line needs as many"

            while reader.MoveNext() do
                let row = reader.Current
                // The reader looks ahead at the first row, and counts on.
                let line = if started then row.LineNumberFrom else 1
                started <- true

                if row.ColCount = 0 || row.ColCount = 1 && row[0].Span.Trim().IsEmpty then
                    if empty = 0 then
                        empty <- line
                else
                    if empty > 0 && width > 1 then
                        ofOtherWidth empty 1
                    elif empty > 0 && width = 1 then
                        refuse $"line {empty} is empty: fill or drop what is missing"
                    elif empty > 0 then
                        refuse "its first line is empty: expected a sample or a header"

                    let first = width < 0

                    if first then
                        width <- row.ColCount
                    elif row.ColCount <> width then
                        ofOtherWidth line row.ColCount

                    let cells = if first then [| for k in 0 .. width - 1 -> "" |] else [||]

                    if first then
                        for k in 0 .. width - 1 do
                            cells[k] <- row[k].ToString().Trim()

                    if first && isHeader cells then
                        header <- Some cells
                    else
                        for column in 0 .. width - 1 do
                            let mutable value = nan
                            let cell = row[column].Span.Trim()

                            // .NET reads numbers with zero bytes after them.
                            if
                                not (cell.Contains '\000')
                                && Double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, &value)
                                && Double.IsFinite value
                            then
                                values.Add value
                            elif holes && (isMissing (cell.ToString()) || Double.IsNaN value && not cell.IsEmpty) then
                                values.Add nan
                            else
                                let cell = cell.ToString()
                                refuse $"line {line}, column {column + 1} is '{shown cell}': {remedy cell}"

                        rows <- rows + 1

            if rows = 0 then
                refuse "it holds no rows of numbers: expected one sample a line, its cells separated by commas"

            header, Tensor.ofArray [ rows; width ] (values.ToArray())

        Disk.read file (fun stream ->
            try
                table stream
            with
            // The reader's own limits: a row of more than sixteen million characters, say.
            | :? InvalidDataException
            | :? NotSupportedException ->
                refuse
                    "it cannot be read as comma-separated text: one of its lines is too long, or its quotes do not close")

    /// The table as float64 [n; d]. Raises UserError where the file is missing or empty, a line has another number of cells
    /// than the first, or a cell is not a finite number; lines and columns count from 1.
    let read (file: string) : Tensor = snd (reading false file)

    /// As `read`, with NaN where a cell is empty or says in another way that its number is missing, and the names of the columns where the first line has them.
    let readWithHoles (file: string) : string[] option * Tensor = reading true file
