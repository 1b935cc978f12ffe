namespace Fokker

open System
open System.Collections.Concurrent
open System.Threading

/// Batches that are made one step ahead on a thread of their own, while the step before is computed. What it gives is what
/// `make` gives: the batch of a step is a function of the step alone. Where every core is taken and batches take much work, the thread that waits for them
/// does with a core less until it is disposed of: threads that wait for each other by spinning lose more to a third than it costs them.
[<Sealed>]
type Prefetch(make: int64 -> Batch, isWork: bool) =

    let threads = Torch.threads ()

    do
        if isWork && threads > 1 && threads >= Environment.ProcessorCount then
            Torch.setOwnThreads (threads - 1)

    let wanted = new BlockingCollection<int64>()
    let made = new BlockingCollection<struct (int64 * Result<Batch, exn>)>()
    let mutable ahead = -1L

    let work () =
        // It has what the step leaves of the processor; a team of its own would only stand in the way of the other.
        Torch.setOwnThreads 1

        for step in wanted.GetConsumingEnumerable() do
            let result =
                try
                    Ok(Scope.run (fun () -> make step))
                with e ->
                    Error e

            made.Add(struct (step, result))

    let thread = Thread(work, IsBackground = true, Name = "batches")
    do thread.Start()

    /// A tensor made on the other thread, handed to this one's scope.
    let adopt (t: Tensor) =
        let mine = Tensor.detach t
        t.Dispose()
        mine

    /// Batches that take much work.
    new(make) = new Prefetch(make, true)

    /// The batch of a step; the next one is begun. Batches that were not taken are freed.
    member _.Get(step: int64) : Batch =
        if ahead <> step then
            wanted.Add step

        let rec take () =
            match made.Take() with
            | struct (k, Ok batch) when k <> step ->
                Scope.free batch
                take ()
            | struct (k, Error _) when k <> step -> take ()
            | struct (_, result) -> result

        let result = take ()
        ahead <- step + 1L
        wanted.Add ahead

        match result with
        | Ok batch ->
            { Data = adopt batch.Data
              Label = Option.map adopt batch.Label
              Source = Option.map adopt batch.Source }
        | Error e -> raise e

    interface IDisposable with
        member _.Dispose() =
            wanted.CompleteAdding()
            thread.Join()
            made.CompleteAdding()

            for struct (_, result) in made.GetConsumingEnumerable() do
                match result with
                | Ok batch -> Scope.free batch
                | Error _ -> ()

            wanted.Dispose()
            made.Dispose()
            Torch.setOwnThreads threads
