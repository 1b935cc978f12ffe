namespace Fokker

open System

/// Samples as their file has them: bytes stay bytes until they are drawn.
[<NoComparison; ReferenceEquality>]
type Table =
    {
        /// [m; …], in memory or mapped from a file (`Mapping`).
        Rows: Tensor
        /// Which of the rows are the table's, int64 [n]; all of them where it does not say.
        Places: Tensor option
        /// What is told of each of its rows: classes, int64 [n]; or numbers in the network's units, float64 [n; k].
        Labels: Condition
    }

    member table.Count =
        match table.Places with
        | Some places -> places.Shape[0]
        | None -> table.Rows.Shape[0]

    /// The shape of a row.
    member table.Shape: int list = List.ofArray table.Rows.Shape[1..]

[<RequireQualifiedAccess>]
module Table =

    /// All of these rows.
    let ofRows (rows: Tensor) (labels: Condition) : Table = { Rows = rows; Places = None; Labels = labels }

    /// The rows of these numbers (int64 [k], counted among the table's own), [k; …].
    let rows (index: Tensor) (table: Table) : Tensor =
        let index = table.Places |> Option.fold (fun index places -> Tensor.indexSelect 0 index places) index
        Tensor.indexSelect 0 index table.Rows

    /// A table of the rows of these numbers and their labels: copies of them, or places where the rows are too many to be held twice.
    let select (index: Tensor) (table: Table) : Table =
        let labels = table.Labels |> Option.map (Tensor.indexSelect 0 index)

        if Mapping.isLarge table.Rows then
            let places = table.Places |> Option.fold (fun index places -> Tensor.indexSelect 0 index places) index
            { Rows = table.Rows; Places = Some places; Labels = labels }
        else
            ofRows (rows index table) labels

    /// All rows in their order, [n; …].
    let all (table: Table) : Tensor =
        match table.Places with
        | None -> table.Rows
        | Some places -> Tensor.indexSelect 0 places table.Rows

    /// Runs `work` on all rows in their order, a block of them at a time.
    let inBlocks (work: Tensor -> unit) (table: Table) : unit =
        match table.Places with
        | None when not (Mapping.isLarge table.Rows) -> work table.Rows
        | _ ->
            let row =
                max 1L (table.Rows.Count / int64 (max 1 table.Rows.Shape[0])) * int64 (Dtype.size table.Rows.Dtype)
            let block = int (Math.Clamp((64L <<< 20) / row, 1L, 1L <<< 20))

            for first in 0..block .. table.Count - 1 do
                Scope.run0 (fun () ->
                    let count = min block (table.Count - first)
                    work (rows (Tensor.ofArray [ count ] [| int64 first .. int64 (first + count - 1) |]) table))
