namespace Fokker.Tool

open System
open Fokker

/// Data that a command's options name, or that a model brings.
[<RequireQualifiedAccess>]
module DataOption =

    /// The array of a file.
    let array (file: string) : GivenArray = { Name = file; Values = Npy.read file }

    /// What a model is told of the samples of a table's file, which has the columns for it beside the others, or of those that are held out; none where it is told nothing of that kind, or the file does not say it.
    let told
        (terminal: Terminal)
        (model: GenerativeModel)
        (file: string option)
        (count: int option)
        (seed: int64)
        : Tensor option =
        match model.Given, file with
        | None, _ -> None
        | Some(Given.Columns _ as given), Some file when file.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) ->
            Given.inside model.Shape model.Units given (TableFile.given model file).Values
        | Some _, Some _ -> None
        | Some given, None ->
            let data, _ = Runs.heldOut model
            let n = count |> Option.defaultValue (if model.IsImage then 100 else 1000)
            let batch = Dataset.heldOut Kind.Float64 n (Rng.ofSeed seed |> Rng.named "data") data
            if data.Given = Some given then batch.Label else None

    /// The data set that is named, or the one that belongs to the model; a warning is said of one that has changed.
    let heldOut (terminal: Terminal) (model: GenerativeModel) (named: string option) : Dataset =
        match named with
        | Some name -> Datasets.load name
        | None ->
            let data, warning = Runs.heldOut model
            warning |> Option.iter (Terminal.warn terminal)
            data

    /// Samples in the data's units and their classes: those of a file, of one class if it is said which, or held-out ones.
    let samples
        (terminal: Terminal)
        (model: GenerativeModel)
        (file: string option)
        (label: string option)
        (count: int option)
        (seed: int64)
        : Tensor * int[] option =
        match file with
        | Some file ->
            let given =
                if file.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) then
                    TableFile.samples model file
                else
                    array file

            let x = Validation.samples model Setting.Data given

            let labels =
                match label |> Option.map (GenerativeModel.label model) with
                | Some k -> Some(Array.create x.Shape[0] k)
                | None when model.Labels ->
                    refuse
                        Setting.Data
                        file
                        $"this model's network takes the class as an input: say which with {Setting.Class}"
                | None -> None

            x, labels
        | None ->
            let data = heldOut terminal model None
            let n = count |> Option.defaultValue (if model.IsImage then 100 else 1000)
            let batch = Dataset.heldOut Kind.Float64 n (Rng.ofSeed seed |> Rng.named "data") data
            let labels () = batch.Label |> Option.map (Tensor.toArray<int64> >> Array.map int)
            Dataset.inData data batch.Data, (if model.Labels then labels () else None)
