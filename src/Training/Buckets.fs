namespace Fokker

open System
open System.Runtime.ExceptionServices
open System.Threading

/// The tensors of one bucket: those that have come, and all of them in one piece once none is missing.
type private Bucket(members: int[]) =
    let parts = Array.zeroCreate<Tensor>(Array.length members)
    let mutable missing = parts.Length
    member val Whole: Tensor option = None with get, set
    member _.Members = members

    member bucket.Put(place: int, part: Tensor) =
        parts[place] <- part
        missing <- missing - 1

        if missing = 0 then
            bucket.Whole <- Some(Scope.outside (fun () -> Tensor.cat 0 parts))
            Scope.free parts

    interface IDisposable with
        member bucket.Dispose() = Scope.free (parts, bucket.Whole)

/// The sums of one step: buckets that one thread fills, and another, or the same one afterwards, sums in their order.
type private BucketSums(ranks: IRanks, dtype: Dtype, members: int[][]) =
    let buckets = members |> Array.map (fun members -> new Bucket(members))
    let places = Array.zeroCreate (Array.sumBy Array.length members)

    do
        for bucket in buckets do
            bucket.Members |> Array.iteri (fun place k -> places[k] <- struct (bucket, place))

    let gate = obj ()
    let mutable isStopped = false
    let mutable failure: ExceptionDispatchInfo option = None

    /// A bucket's numbers once all of them are there; none where no more will come.
    let whole (bucket: Bucket) =
        lock gate (fun () ->
            while bucket.Whole.IsNone && not isStopped do
                Monitor.Wait gate |> ignore

            if isStopped then None else bucket.Whole)

    let sumAll () =
        try
            for bucket in buckets do
                whole bucket
                |> Option.iter (fun t ->
                    Exchange.whereItLies t (fun data -> ranks.Sum(data, t.Count, (dtype = Dtype.Float64))))
        with error ->
            failure <- Some(ExceptionDispatchInfo.Capture error)

    // With one bucket there is nothing to sum beside.
    let beside =
        if ranks.SumsBeside && buckets.Length > 1 then
            let thread = Thread(sumAll, IsBackground = true, Name = "sums of gradients")
            thread.Start()
            Some thread
        else
            None

    /// A gradient comes in the midst of a derivative, maybe on a thread of libtorch's: what is kept of it belongs to no scope.
    member _.Add (k: int) (gradient: Tensor) : unit =
        let struct (bucket, place) = places[k]
        let part = Scope.outside (fun () -> Tensor.flatten ((gradient.To Device.Cpu).To dtype))

        lock gate (fun () ->
            bucket.Put(place, part)
            Monitor.PulseAll gate)

    /// The sums, when all gradients have come. Raises what a sum raised.
    member _.Finish(parameters: Tensor[]) : Tensor[] =
        if buckets |> Array.exists _.Whole.IsNone then
            invalidOp "gradients are missing from the sum over the processes"

        match beside with
        | Some thread -> thread.Join()
        | None -> sumAll ()

        failure |> Option.iter _.Throw()
        let sums = Array.zeroCreate parameters.Length

        for bucket in buckets do
            let mutable first = 0

            for k in bucket.Members do
                let p = parameters[k]
                let own = Tensor.narrow 0 first (int p.Count) bucket.Whole.Value
                sums[k] <- (Tensor.reshape p.Shape own).To p.Kind
                first <- first + int p.Count

        sums

    interface IDisposable with
        /// Waits for the sum that is under way, which has the buckets' memory; none is begun after it.
        member _.Dispose() =
            lock gate (fun () ->
                isStopped <- true
                Monitor.PulseAll gate)

            beside |> Option.iter _.Join()

            for bucket in buckets do
                (bucket :> IDisposable).Dispose()

/// Gradients are summed over the processes in buckets, pieces of a few layers each. A bucket is summed as soon as its gradients are there, by a thread of its own, while the backward pass goes on to
/// the layers before (Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", section 3.2). Which gradients share a bucket, and which bucket comes first, follow
/// from the parameters alone: the sums are the same, in the same order, in every process, whichever of its gradients came first.
[<RequireQualifiedAccess>]
module Buckets =

    /// A bucket takes no more once it has so many bytes: small enough that the first is on its way early in the backward pass, large enough for the network's whole bandwidth.
    [<Literal>]
    let Bytes = 4_194_304L

    /// The numbers of tensors of such sizes in bytes, a list for each bucket. The last come first, for the backward pass goes from the last layers to the first.
    let ofSizes (bytes: int64) (sizes: int64[]) : int[][] =
        let add (struct (buckets, last, filled)) k =
            if filled >= bytes && not (List.isEmpty last) then
                struct (List.rev last :: buckets, [ k ], sizes[k])
            else
                struct (buckets, k :: last, filled + sizes[k])

        match Seq.fold add (struct ([], [], 0L)) (seq { sizes.Length - 1 .. -1 .. 0 }) with
        | struct (_, [], _) -> [||]
        | struct (buckets, last, _) -> List.rev last :: buckets |> List.rev |> List.map Array.ofList |> Array.ofList

    /// Runs `work`, which gives the gradient of every parameter once with its number, in whatever order, and sums them over the processes in buckets of so many bytes, while `work` runs where the
    /// processes allow it (`IRanks.SumsBeside`), and else after it. Gives what `work` gives and the sums, of the parameters' shapes and kinds. What `work` raises is raised when the sum under way is
    /// done; what a sum raises, when `work` is. Raises InvalidOperationException where a gradient does not come.
    let sumWhile
        (bytes: int64)
        (ranks: IRanks)
        (parameters: Tensor[])
        (work: (int -> Tensor -> unit) -> 'T)
        : struct ('T * Tensor[]) =
        // A step's gradients may be of half precision; sums are not.
        let isDouble = parameters |> Array.exists (fun p -> p.Dtype = Dtype.Float64)
        let dtype = if isDouble then Dtype.Float64 else Dtype.Float32
        let sizes = parameters |> Array.map (fun p -> p.Count * int64 (Dtype.size dtype))
        use sums = new BucketSums(ranks, dtype, ofSizes bytes sizes)
        let result = work sums.Add
        struct (result, sums.Finish parameters)
