namespace Fokker

open System
open System.Globalization
open System.Text

/// Tables as files of comma-separated text: rows for a model, and rows of a model's.
[<RequireQualifiedAccess>]
module TableFile =

    let private cell (text: string) =
        if text.IndexOfAny [| ','; '"'; '\n'; '\r' |] >= 0 then
            "\"" + text.Replace("\"", "\"\"") + "\""
        else
            text

    /// The rows as text, under a header where there is one.
    let text (header: string[] option) (rows: string[] seq) : byte[] =
        let text = StringBuilder()
        let line (cells: string[]) = text.Append(String.Join(",", Array.map cell cells)).Append('\n') |> ignore
        Option.iter line header
        Seq.iter line rows
        Encoding.UTF8.GetBytes(text.ToString())

    /// Samples in the data's units as the cells that columns make of them under their names, or as numbers where there are no columns.
    let ofColumns (columns: Column list) (x: float[][]) : string[] option * string[][] =
        match columns with
        | [] -> None, x |> Array.map (Array.map _.ToString("R", CultureInfo.InvariantCulture))
        | columns -> Some [| for column in columns -> column.Name |], x |> Array.map (Columns.decode columns)

    /// Samples [n; d] in the data's units as the cells that they stand for. Raises RefusedException where they are images.
    let cells (model: GenerativeModel) (x: Tensor) : string[][] =
        if model.IsImage then
            refuse Setting.Model model.Name $"its samples are images, and a table has no rows of them"

        snd (ofColumns model.Columns (Tensor.toFloats x |> Array.chunkBySize x.Shape[1]))

    /// The names of a model's columns; none where its data had none.
    let header (model: GenerativeModel) : string[] option = fst (ofColumns model.Columns [||])

    /// The rows of a file as samples of a model in its data's units, a missing cell a value like any other, without the noise around words: what densities are asked of, which rank rows the better for it. A table of numbers is taken as it is where the
    /// model's data had no columns that were said. Raises UserError where the file is missing or damaged, or its cells are none that the model knows.
    let samples (model: GenerativeModel) (file: string) : GivenArray =
        match model.Columns with
        | [] -> { Name = file; Values = Csv.read file }
        | columns ->
            let table = Csv.readCells file
            let places = Columns.placesIn file columns table
            { Name = file; Values = Columns.points file columns places model.Units None table }

    /// What a file tells a model of samples, [n; …] in its own units, NaN for what it does not tell: a table under the names of the model's columns, an array, a picture, or where a model is told
    /// a short text alone the text itself. Raises UserError where the file is missing or damaged,
    /// or its cells are none that the model knows, and RefusedException where the model is told nothing of that kind.
    let given (model: GenerativeModel) (file: string) : GivenArray =
        let ends (ending: string) = file.EndsWith(ending, StringComparison.OrdinalIgnoreCase)

        let given = GenerativeModel.given file model

        match given with
        // A text needs no file.
        | Given.Columns([ { Kind = ColumnKind.Text _ } ], _) when not (ends ".csv" || ends ".npy") ->
            { Name = file; Values = (Given.textsOf given [| file |]).Value }
        | Given.Columns(columns, _) when ends ".csv" ->
            { Name = file; Values = Given.readCells file columns (Csv.readCells file) }
        | _ when ends ".png" || ends ".jpg" || ends ".jpeg" || ends ".webp" ->
            let grey = model.Shape.Length = 3 && model.Shape.Head = 1
            { Name = file; Values = Scope.run (fun () -> (ImageFolder.picture grey file).To Dtype.Float64) }
        | _ -> { Name = file; Values = Npy.read file }

    /// The rows of a file with NaN in what is to be filled in, and the header. Raises as `samples` does.
    let withHoles (model: GenerativeModel) (file: string) : string[] option * GivenArray =
        match model.Columns with
        | [] ->
            let header, rows = Csv.readWithHoles file
            header, { Name = file; Values = rows }
        | columns ->
            let table = Csv.readCells file
            let places = Columns.placesIn file columns table
            header model, { Name = file; Values = Columns.openPoints file columns places table }
