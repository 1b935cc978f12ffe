namespace Fokker

open System
open System.Globalization
open System.IO

/// Tables of numbers as text: one sample a line, cells separated by commas. The first line is a header where none of its
/// cells is a number; empty lines at the end do not count.
[<RequireQualifiedAccess>]
module Csv =

    let private lines (file: string) =
        Disk.read file (fun stream ->
            use reader = new StreamReader(stream)
            reader.ReadToEnd().ReplaceLineEndings("\n").Split '\n')

    let private cells (line: string) = line.Split ',' |> Array.map (fun cell -> cell.Trim().Trim('"').Trim())

    let private number (cell: string) =
        match Double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | _ -> None

    /// The table as float64 [n; d]. Raises UserError where the file is missing or empty, a line has another number of cells
    /// than the first, or a cell is not a finite number; lines and columns count from 1.
    let read (file: string) : Tensor =
        let text = lines file

        let last = text |> Array.tryFindIndexBack (fun line -> line.Trim() <> "") |> Option.defaultValue -1

        let header = last >= 0 && cells text[0] |> Array.forall (fun cell -> Option.isNone (number cell))

        let first = if header then 1 else 0

        if last < first then
            raise (
                UserError
                    $"{file}: it holds no rows of numbers: expected one sample a line, its cells separated by commas"
            )

        let width = (cells text[0]).Length
        let values = Array.zeroCreate<float>((last - first + 1) * width)

        for at in first..last do
            let row = cells text[at]

            if row.Length <> width then
                raise (
                    UserError
                        $"{file}: line {at + 1} has {row.Length} cells where line 1 has {width}: every line needs as many"
                )

            for column in 0 .. width - 1 do
                match number row[column] with
                | Some value when Double.IsFinite value -> values[(at - first) * width + column] <- value
                | _ ->
                    raise (
                        UserError
                            $"{file}: line {at + 1}, column {column + 1} is '{row[column]}': expected a finite number; fill or drop what is missing"
                    )

        Tensor.ofArray [ last - first + 1; width ] values
