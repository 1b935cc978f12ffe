namespace Fokker

/// One of so many portions of every batch, counted from 0.
[<Struct>]
type Portion = { Index: int; Count: int }

/// Data parallelism: every process computes on its rows of each batch, with the draws that those rows have in the whole, and the gradients are summed. One process does the same with
/// portions of its own, one after the other, where its memory is not enough for all of its rows at once. Samples are drawn in whole
/// batches, each by one process.
[<RequireQualifiedAccess>]
module Ranks =

    /// One process by itself.
    let alone: IRanks =
        { new IRanks with
            member _.Rank = 0
            member _.Count = 1
            member _.SumsBeside = true
            member _.Sum(_, _, _) = ()
            member _.Broadcast(_, _, _) = ()
            member _.Abort reason = raise (UserError reason) }

    let isAlone (ranks: IRanks) : bool = ranks.Count = 1

    /// Sums of float64 numbers over all processes.
    let sumNumbers (ranks: IRanks) (numbers: float[]) : float[] =
        if isAlone ranks then
            numbers
        else
            Scope.run (fun () ->
                let t = Tensor.clone (Tensor.ofArray [ numbers.Length ] numbers)
                Exchange.whereItLies t (fun data -> ranks.Sum(data, t.Count, true))
                Tensor.toFloats t)

    /// Whether it is so for any of the processes.
    let any (ranks: IRanks) (flag: bool) : bool =
        if isAlone ranks then flag else (sumNumbers ranks [| (if flag then 1.0 else 0.0) |])[0] > 0.0

    /// The number that process 0 has.
    let agreed (ranks: IRanks) (number: int64) : int64 =
        if isAlone ranks then
            number
        else
            Scope.run (fun () ->
                let t = Tensor.clone (Tensor.ofArray [ 1 ] [| number |])
                Exchange.whereItLies t (fun data -> ranks.Broadcast(0, data, 8L))
                (Tensor.toArray<int64> t)[0])

    /// The tensor that a process has, of the same shape and element type everywhere.
    let broadcastFrom (ranks: IRanks) (from: int) (t: Tensor) : Tensor =
        if isAlone ranks then
            t
        else
            let own = Tensor.clone (Tensor.contiguous (t.To Device.Cpu))
            let bytes = own.Count * int64 (Dtype.size own.Dtype)

            if bytes > 0L then
                Exchange.whereItLies own (fun data -> ranks.Broadcast(from, data, bytes))

            own.To t.Kind

    /// The tensors of process 0, of the same shapes and element types everywhere.
    let broadcast (ranks: IRanks) (tensors: Tensor[]) : Tensor[] = Array.map (broadcastFrom ranks 0) tensors

    /// The portions of a batch that are a process's own, each process having so many.
    let portions (ranks: IRanks) (parts: int) : Portion list =
        [ for part in 0 .. parts - 1 -> { Index = ranks.Rank * parts + part; Count = ranks.Count * parts } ]

    /// The first row and the number of rows of a portion of a batch of so many rows: all portions are the whole of it, and none is more than one row longer than another. Raises UserError where
    /// there are fewer rows than portions.
    let rows (portion: Portion) (whole: int) : struct (int * int) =
        if whole < portion.Count then
            raise (
                UserError
                    $"a batch of {whole} samples for {portion.Count} processes or parts: there is at least one for each"
            )

        let first = whole * portion.Index / portion.Count
        struct (first, whole * (portion.Index + 1) / portion.Count - first)

    /// A portion's rows of a batch.
    let share (portion: Portion) (batch: Batch) : Batch =
        if portion.Count = 1 then
            batch
        else
            let struct (first, count) = rows portion batch.Data.Shape[0]
            let own = Tensor.narrow 0 first count

            { Data = own batch.Data; Label = Option.map own batch.Label; Source = Option.map own batch.Source }

    /// A portion's rows of the stream that draws for a batch of so many.
    let stream (portion: Portion) (whole: int) (rng: Rng) : Rng =
        if portion.Count = 1 then
            rng
        else
            let struct (first, count) = rows portion whole
            Rng.share first count whole rng
