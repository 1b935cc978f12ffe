namespace Fokker

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text.RegularExpressions
open nietras.SeparatedValues

/// Told of a row and of the line that it is on.
type private Row = delegate of int * SepReader.Row -> unit

/// A table of cells as they are written, under a header.
type CellTable =
    {
        Header: string[]
        /// The line of the file that each row is on, from 1.
        Lines: int[]
        Rows: string[][]
    }

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

    let internal isMissing (cell: string) = missing.Contains(cell.ToLowerInvariant())

    /// A finite number.
    let internal finite (cell: string) : float option =
        // .NET reads numbers with zero bytes after them.
        if cell.Contains '\000' then None else number cell |> Option.filter Double.IsFinite

    /// A number, or text that was meant as one: infinities, NaN, a decimal comma.
    let private isNumeric (cell: string) =
        Option.isSome (number cell)
        || cell.TrimStart('+', '-').ToLowerInvariant() = "inf"
        || (decimalComma.IsMatch(cell.ToLowerInvariant()))

    // A row that was meant as data must not vanish: only names make a header.
    let private isHeader (cells: string[]) =
        not (Array.exists isNumeric cells) && Array.exists (fun cell -> not (isMissing cell)) cells

    /// A cell as messages have it: on one line, and not longer than that.
    let internal shown (cell: string) =
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

    /// The rows of a file, each handed over with its line, from 1, and its width; and the first line where `isHeader` says that it is one. A row says by itself how many of them there are
    /// (`what` they are to be).
    let private reading
        (isHeader: string[] -> bool)
        (what: string)
        (file: string)
        (add: Row)
        : string[] option * int * int =
        let refuse (what: string) = raise (UserError $"{file}: {what}")

        let table (stream: Stream) =
            use text = new StreamReader(stream)
            use reader = options.From text
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
                        add.Invoke(line, row)
                        rows <- rows + 1

            if rows = 0 then
                refuse $"it holds no rows of {what}: expected one sample a line, its cells separated by commas"

            header, rows, width

        Disk.read file (fun stream ->
            try
                table stream
            with
            // The reader's own limits: a row of more than sixteen million characters, say.
            | :? InvalidDataException
            | :? NotSupportedException ->
                refuse
                    "it cannot be read as comma-separated text: one of its lines is too long, or its quotes do not close")

    /// The names of the columns, if the first line has them, and the numbers; a cell that says that a number is missing is NaN where `holes` may be.
    let private numbers (holes: bool) (file: string) : string[] option * Tensor =
        let values = List<float>()

        let add =
            Row(fun line row ->
                for column in 0 .. row.ColCount - 1 do
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

                        raise (UserError $"{file}: line {line}, column {column + 1} is '{shown cell}': {remedy cell}"))

        let header, rows, width = reading isHeader "numbers" file add
        header, Tensor.ofArray [ rows; width ] (values.ToArray())

    /// The cells of a table whose first line has the names of its columns. Raises UserError where the file is missing or empty, or a line has another number of cells
    /// than the first.
    let readCells (file: string) : CellTable =
        let lines, rows = List<int>(), List<string[]>()

        let add =
            Row(fun line row ->
                let cells = Array.zeroCreate<string> row.ColCount

                for column in 0 .. row.ColCount - 1 do
                    cells[column] <- row[column].ToString().Trim()

                lines.Add line
                rows.Add cells)

        let header, _, _ = reading (fun _ -> true) "cells" file add
        { Header = Option.get header; Lines = lines.ToArray(); Rows = rows.ToArray() }

    /// The names of the columns where the first line has them, and the table as float64 [n; d]. Raises UserError where the file is missing or empty, a line has another number of cells
    /// than the first, or a cell is not a finite number; lines and columns count from 1.
    let readNamed (file: string) : string[] option * Tensor = numbers false file

    /// The table alone.
    let read (file: string) : Tensor = snd (readNamed file)

    /// As `read`, with NaN where a cell is empty or says in another way that its number is missing, and the names of the columns where the first line has them.
    let readWithHoles (file: string) : string[] option * Tensor = numbers true file
