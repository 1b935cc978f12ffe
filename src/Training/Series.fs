namespace Fokker

/// Series as data: the windows of their values, in their order.
[<RequireQualifiedAccess>]
module Series =

    /// The windows [n; C; length] that begin at each of the steps from one to another, of series [steps; C].
    let private windows (length: int) (first: int) (count: int) (values: Tensor) : Tensor =
        Scope.run (fun () ->
            let steps =
                [| for i in 0 .. count - 1 do
                       for k in 0 .. length - 1 -> int64 (first + i + k) |]

            Tensor.indexSelect 0 (Tensor.ofArray [ steps.Length ] steps) values
            |> Tensor.reshape [ count; length; values.Shape[1] ]
            |> Tensor.permute [ 0; 2; 1 ]
            |> Tensor.contiguous)

    /// The series of a table's columns [steps; C] and their names, where the file has some.
    let private ofTable (file: string) (wanted: Columns.Wanted) : string list * Tensor =
        match wanted with
        | None ->
            let header, values =
                try
                    Csv.readNamed file
                with :? UserError as error ->
                    raise (
                        UserError $"{error.Message}. Where it is of no series, name the columns that are: columns=A+B"
                    )

            List.ofArray (Option.defaultValue [||] header), values
        | wanted ->
            let table = Csv.readCells file
            let columns, places = Columns.find file wanted table

            for column in columns do
                match column.Kind with
                | ColumnKind.Number false -> ()
                | ColumnKind.Number true ->
                    raise (
                        UserError
                            $"{file}: cells of the column {column.Name} are empty: a series has a value at every step; fill them in first"
                    )
                | ColumnKind.Category _
                | ColumnKind.Text _ ->
                    raise (UserError $"{file}: the column {column.Name} holds words: a series is of numbers")

            let units = Columns.units columns places table.Rows
            [ for column in columns -> column.Name ], Columns.points file columns places units None table

    /// Windows that were cut before, [n; C; L], each a sample.
    let private ofWindows (name: string) (file: string) (x: Tensor) : Dataset =
        Dataset.ofWindows name $"windows of {x.Shape[2]} values of {x.Shape[1]} series" file x None

    /// The windows of series [steps; C] whose steps follow each other: [L] of one series, [C; L] of several. The last tenth of the steps is held out: no window of it shares a value with one to train on. One
    /// shift and one scale for each series bring all places of a window to mean 0 and variance 1. `names` are those of the series, where there are some. Raises UserError where there are too few steps.
    let ofSteps (name: string) (file: string) (length: int) (names: string list) (values: Tensor) : Dataset =
        let steps, count = values.Shape[0], values.Shape[1]
        let kept = max length (steps / 10)

        if steps < kept + length then
            raise (
                UserError
                    $"{file}: it holds {steps} values: expected at least {2 * length}, a window of {length} to train on and one to hold out"
            )

        Scope.run (fun () ->
            let values = values.To Dtype.Float64
            let shaped (x: Tensor) = if count = 1 then Tensor.flattenRows x else x
            let train = shaped (windows length 0 (steps - kept - length + 1) values)
            let heldOut = shaped (windows length (steps - kept) (kept - length + 1) values)
            let what = if count = 1 then "a series" else $"{count} series"

            let data =
                Dataset.ofWindows
                    name
                    $"windows of {length} values of {what}"
                    file
                    (Tensor.cat 0 [ train; heldOut ])
                    None

            { data with
                // What is held out has no say in them.
                Units = Dataset.unitsOf file (Tensor.narrow 0 0 (steps - kept) values)
                Columns =
                    if count = 1 then [] else [ for name in names -> { Name = name; Kind = ColumnKind.Number false } ]
                Content = Finite(Table.ofRows train None, Table.ofRows heldOut None) })

    /// The series of a file: the columns of a table, all of them or those that are wanted, or of an array [steps] or [steps; C]; windows that were cut before are an array [n; C; L]. `name` is the data
    /// set's, `length` a window's, 64 where it is not said. Raises UserError where the file is missing or damaged, a value is missing, or there are too few.
    let internal load (name: string) (length: int option) (wanted: Columns.Wanted) (file: string) : Dataset =
        let ofSteps names values = ofSteps name file (defaultArg length 64) names values

        if file.EndsWith(".npy", System.StringComparison.OrdinalIgnoreCase) then
            let x = Npy.read file

            if wanted.IsSome then
                raise (UserError $"{file}: an array has no columns with names: leave columns out")

            match x.Rank with
            | 1 -> ofSteps [] (Tensor.unsqueeze 1 x)
            | 2 -> ofSteps [] x
            | 3 when length.IsSome ->
                raise (UserError $"{file}: its shape is {x.Describe()}, windows that are cut already: leave window out")
            | 3 -> ofWindows name file x
            | _ ->
                raise (
                    UserError
                        $"{file}: its shape is {x.Describe()}: expected [steps; C], the values of C series, or [n; C; L], windows of them"
                )
        else
            ofTable file wanted ||> ofSteps
