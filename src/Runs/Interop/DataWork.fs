namespace Fokker.Interop

open System
open Fokker

/// A data set that was read for one request, and is freed after it.
type internal OpenedData(data: Dataset, warning: string | null) =
    new(data) = new OpenedData(data, null)
    member _.Data = data

    /// What is to be known of it; null where there is nothing.
    member _.Warning = warning

    interface IDisposable with
        member _.Dispose() = Scope.free data

/// Data sets, by name and of memory.
[<AbstractClass; Sealed>]
type internal DataWork =

    static member DataSet(name: string) : Dataset = Datasets.load name

    /// Samples and labels (or null) of memory as a data set, under a name of its own.
    static member DataSet(name: string, x: Tensor, labels: int64[] | null) : Dataset =
        Scope.run (fun () ->
            let labels =
                match labels with
                | null -> None
                | labels -> Some(Dataset.labels name x.Shape[0] (Tensor.ofArray [ labels.Length ] labels))

            Dataset.ofSamples (Runs.memory + name) "samples in memory" name x labels)

    /// What the caller called them.
    static member Name(data: Dataset) : string =
        if data.Name.StartsWith Runs.memory then data.Name.Substring Runs.memory.Length else data.Name

    static member Shape(data: Dataset) : int[] = Array.ofList data.Shape
    static member Classes(data: Dataset) : string[] = Array.ofList data.Classes
