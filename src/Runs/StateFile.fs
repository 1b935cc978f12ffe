namespace Fokker

open System

/// The tensors of a network's state that was saved elsewhere, by the names that it has there.
type internal StateFile =
    {
        File: string
        /// Whose names these are, for messages.
        Layout: string
        Tensors: Map<string, Tensor>
    }

[<RequireQualifiedAccess>]
module internal StateFile =

    let has (name: string) (state: StateFile) : bool = Map.containsKey name state.Tensors

    /// The sizes of a tensor that has to be there. Raises UserError where it is not, or has not at least so many of them, each at least 1.
    let shape (least: int) (name: string) (state: StateFile) : int[] =
        match Map.tryFind name state.Tensors with
        | None -> raise (UserError $"{state.File}: {name} is missing: {state.Layout} has it")
        | Some x when x.Rank < least || Array.exists (fun size -> size < 1) x.Shape ->
            raise (UserError $"{state.File}: {name} is {x.Describe()}: expected at least {least} sizes, none of them 0")
        | Some x -> x.Shape

    /// The tensors as an `Adm`'s of images [channels; side; side], whose pixels are bytes: `renamed` says what a tensor is here, none where its name has no counterpart. Raises UserError with
    /// all names and shapes that do not fit, after these problems.
    let trained
        (adm: Adm)
        (renamed: string -> Tensor -> (string * Tensor) list option)
        (problems: ResizeArray<string>)
        (path: GaussianPath)
        (prediction: Prediction)
        (side: int)
        (data: string option)
        (format: string)
        (state: StateFile)
        : TrainedNetwork =
        let network =
            try
                Adm.network adm
            with :? ArgumentException as e ->
                raise (UserError $"{state.File}: {Refusal.reason e}")

        let isDouble = state.Tensors |> Map.exists (fun _ x -> x.Dtype = Dtype.Float64)
        let kind = if isDouble then Kind.Float64 else Kind.Float32

        let own =
            [ for KeyValue(name, x) in state.Tensors do
                  // Nothing of a network is a number without sizes.
                  match (if x.Rank = 0 then None else renamed name x) with
                  | Some tensors -> yield! tensors
                  | None -> problems.Add $"there is no place for {name} {x.Describe()}" ]
            |> Map.ofList

        let parameters = Diffusers.fitted network adm.Classes kind own problems
        Diffusers.refuse state.File problems
        let shape = [ adm.Channels; side; side ]
        Diffusers.trained adm network parameters path prediction shape kind (defaultArg data format) format
