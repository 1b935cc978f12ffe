namespace Fokker

/// A series as data: the windows of its values, in their order.
[<RequireQualifiedAccess>]
module Series =

    /// The windows [n; length] that begin at each of the values from one to another.
    let private windows (length: int) (first: int) (count: int) (values: float[]) : Tensor =
        Array.init count (fun i -> Array.sub values (first + i) length)
        |> Array.concat
        |> Tensor.ofArray [ count; length ]

    /// The windows of the series in a table's file, of one column. The last tenth of the values is held out: no window of it shares a value with one to train on. One shift and one scale
    /// bring all places of a window to mean 0 and variance 1. `name` is the data set's. Raises UserError where the file has another number of columns, or too few
    /// values.
    let load (name: string) (length: int) (file: string) : Dataset =
        let table = Csv.read file

        if table.Shape[1] <> 1 then
            raise (
                UserError
                    $"{file}: it has {table.Shape[1]} columns: expected one, the values of the series in their order"
            )

        let values = Tensor.toFloats table
        let n = values.Length
        let kept = max length (n / 10)

        if n < kept + length then
            raise (
                UserError
                    $"{file}: it holds {n} values: expected at least {2 * length}, a window of {length} to train on and one to hold out"
            )

        let train = windows length 0 (n - kept - length + 1) values
        let heldOut = windows length (n - kept) (kept - length + 1) values
        let data =
            Dataset.ofSamples name $"windows of {length} values of a series" file (Tensor.cat 0 [ train; heldOut ]) None
        let seen = Array.truncate (n - kept) values
        let mean = Array.average seen
        let deviation = sqrt (seen |> Array.averageBy (fun x -> (x - mean) * (x - mean)))

        { data with
            Units = { Shift = [| mean |]; Scale = [| (if deviation > 0.0 then deviation else 1.0) |] }
            Content = Finite({ Rows = train; Labels = None }, { Rows = heldOut; Labels = None }) }
