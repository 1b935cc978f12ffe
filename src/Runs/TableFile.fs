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

    /// Samples of a shape as rows: each vector [d] is one, and windows [C; L] of several series are L of them, a step each, one window under the other.
    let rows (shape: int list) (values: float[]) : float[][] =
        match shape with
        | [ series; length ] ->
            [| for window in Array.chunkBySize (series * length) values do
                   for k in 0 .. length - 1 -> [| for c in 0 .. series - 1 -> window[c * length + k] |] |]
        | shape -> Array.chunkBySize (List.fold (*) 1 shape) values

    /// Rows [m; C] as windows [n; C; L] of a model of several series; rows of vectors as they are. Raises UserError where they are no whole windows.
    let private windowed (model: GenerativeModel) (file: string) (x: Tensor) : Tensor =
        match model.Shape with
        | [ series; length ] when x.Shape[1] = series ->
            if x.Shape[0] % length <> 0 then
                raise (
                    UserError
                        $"{file}: it has {x.Shape[0]} rows: expected a multiple of {length}, the steps of a window, one window under the other"
                )

            Tensor.contiguous (Tensor.permute [ 0; 2; 1 ] (Tensor.reshape [ -1; length; series ] x))
        | _ -> x

    /// Samples [n; …] in the data's units as the cells that they stand for, as `rows` has them. Raises RefusedException where they are images.
    let cells (model: GenerativeModel) (x: Tensor) : string[][] =
        if model.IsImage then
            refuse Setting.Model model.Name $"its samples are images, and a table has no rows of them"

        snd (ofColumns model.Columns (rows model.Shape (Tensor.toFloats x)))

    /// The names of a model's columns; none where its data had none.
    let header (model: GenerativeModel) : string[] option = fst (ofColumns model.Columns [||])

    /// The rows of a file as samples of a model in its data's units, a missing cell a value like any other, without the noise around words: what densities are asked of, which rank rows the better for it. A table of numbers is taken as it is where the
    /// model's data had no columns that were said. Raises UserError where the file is missing or damaged, or its cells are none that the model knows.
    let samples (model: GenerativeModel) (file: string) : GivenArray =
        match model.Columns with
        | [] -> { Name = file; Values = windowed model file (Csv.read file) }
        | columns ->
            let table = Csv.readCells file
            let places = Columns.placesIn file columns table
            { Name = file
              Values = windowed model file (Columns.points file columns places model.Units None table) }

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
            header, { Name = file; Values = windowed model file rows }
        | columns ->
            let table = Csv.readCells file
            let places = Columns.placesIn file columns table
            header model, { Name = file; Values = windowed model file (Columns.openPoints file columns places table) }
