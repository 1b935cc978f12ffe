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

    /// Samples and labels (or null) of memory as a data set, under a name of its own, its classes named (null: numbered).
    static member DataSet
        (name: string, x: Tensor, labels: int64[] | null, classes: string[] | null, flip: bool, crop: Nullable<int>)
        : Dataset =
        Scope.run (fun () ->
            let labels =
                match labels with
                | null -> None
                | labels -> Some(Dataset.labels name x.Shape[0] (Tensor.ofArray [ labels.Length ] labels))

            let data = Dataset.ofSamples (Runs.memory + name) "samples in memory" name x labels

            match classes with
            | null -> data
            | classes -> Dataset.naming (List.ofArray classes) data
            |> Dataset.augmented (DataWork.Augmentation(flip, crop)))

    /// Windows of series in memory [n; C; L] or [n; L], and labels (or null), their classes named (null: numbered).
    static member Windows(name: string, x: Tensor, labels: int64[] | null, classes: string[] | null) : Dataset =
        Scope.run (fun () ->
            let labels =
                labels
                |> Option.ofObj
                |> Option.map (fun labels -> Dataset.labels name x.Shape[0] (Tensor.ofArray [ labels.Length ] labels))

            let data = Dataset.ofWindows (Runs.memory + name) "windows in memory" name x labels
            classes
            |> Option.ofObj
            |> Option.fold (fun data classes -> Dataset.naming (List.ofArray classes) data) data)

    /// Windows of a length, cut from the steps [steps; C] of series in memory under these names, none where they have none.
    static member Series(name: string, x: Tensor, window: int, names: string[]) : Dataset =
        Scope.run (fun () -> Series.ofSteps (Runs.memory + name) name window (List.ofArray names) x)

    /// Samples of memory, and what is told of each: numbers [n; k] under these names, short texts under a name, or both; null where there are none.
    static member Told
        (
            name: string,
            x: Tensor,
            names: string[],
            numbers: Tensor | null,
            textName: string,
            texts: (string | null)[] | null,
            flip: bool,
            crop: Nullable<int>
        ) : Dataset =
        Scope.run (fun () ->
            [ match numbers with
              | null -> ()
              | numbers -> Given.ofNumbers (List.ofArray names) numbers
              match texts with
              | null -> ()
              | texts -> Given.ofTexts textName (texts |> Array.map (Option.ofObj >> Option.defaultValue "")) ]
            |> List.reduce Given.beside
            |> Dataset.ofSamplesGiven (Runs.memory + name) "samples in memory" name x
            |> Dataset.augmented (DataWork.Augmentation(flip, crop)))

    /// Short texts as a model is told them, [n; bytes]; null where nothing is told. Raises UserError where the model is told other things, or one is too long.
    static member Texts(model: GenerativeModel, texts: (string | null)[]) : struct (int[] * float[]) =
        Scope.run (fun () ->
            let own = texts |> Array.map (Option.ofObj >> Option.defaultValue "")

            match model.Given |> Option.bind (fun given -> Given.textsOf given own) with
            | Some x -> struct (x.Shape, Tensor.toFloats x)
            | None ->
                let other = model.Given |> Option.map Given.text |> Option.defaultValue "nothing of that kind"
                raise (UserError $"{model.Name} is told {other}, and no short text alone"))

    /// Data of memory with a picture that is told of each: `low-resolution:4`, `inpainting`.
    static member Telling(data: Dataset, condition: string) : Dataset =
        match Given.ofText condition with
        // What is refused is called as the caller called it.
        | Some given -> { Dataset.telling given { data with Name = DataWork.Name data } with Name = data.Name }
        | None -> invalidArg (nameof condition) condition

    /// The name of a data set that is mirrored or seen through a window as well.
    static member SeenBy(name: string, flip: bool, crop: Nullable<int>) : string =
        Datasets.seenBy (DataWork.Augmentation(flip, crop)) name

    /// The name of a data set of which a network is told something.
    static member Telling(name: string, condition: string) : string = Datasets.telling condition name

    static member private Augmentation(flip: bool, crop: Nullable<int>) : Augmentation =
        { Flip = flip; Crop = Option.ofNullable crop }

    /// What the caller called them.
    static member Name(data: Dataset) : string =
        if data.Name.StartsWith Runs.memory then data.Name.Substring Runs.memory.Length else data.Name

    static member Shape(data: Dataset) : int[] = Array.ofList data.Shape
    static member Classes(data: Dataset) : string[] = Array.ofList data.Classes
