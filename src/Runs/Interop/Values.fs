/// What C# asks for, in words that it has: no value, null and delegates in the place of options and functions. The façade is made of these, and of nothing
/// else of the library's; here is only translation.
namespace Fokker.Interop

open System
open System.Collections.Generic
open Fokker

[<AutoOpen>]
module internal Translation =

    let toOption (value: Nullable<'T>) : 'T option = if value.HasValue then Some value.Value else None

/// Options for the fields of requests.
[<AbstractClass; Sealed>]
type internal Maybe =

    static member Value(value: Nullable<'T>) : 'T option = toOption value
    /// A model that is there already, where a request would load one when it comes to it.
    static member Loaded(model: GenerativeModel | null) : Lazy<GenerativeModel> option =
        Option.ofObj model |> Option.map (fun model -> Lazy<GenerativeModel>(fun () -> model))

    static member Reference(value: 'T | null) : 'T option when 'T: not null and 'T: not struct = Option.ofObj value

    static member Pair(value: Nullable<struct (float * float)>) : (float * float) option =
        toOption value |> Option.map (fun struct (low, high) -> low, high)

    /// An array that has no name but the setting's.
    static member Array(values: Tensor | null) : GivenArray option =
        Option.ofObj values |> Option.map (fun values -> { Name = ""; Values = values })

    static member List(values: int[]) : int list = List.ofArray values

    static member Terms(terms: seq<KeyValuePair<int, float>>) : (string * float) list =
        [ for KeyValue(label, weight) in terms -> string label, weight ]

    /// The class of a number.
    static member Class(label: Nullable<int>) : string option = toOption label |> Option.map string

    static member Trace(name: string | null) : Trace option = Option.ofObj name |> Option.map Catalogue.traces.Find

    static member Method(closedForm: Nullable<bool>) : DensityMethod option =
        toOption closedForm
        |> Option.map (fun closed -> if closed then DensityMethod.ClosedForm else DensityMethod.Flow)

/// Native memory.
[<AbstractClass; Sealed>]
type internal Memory =

    /// Runs work that gives nothing of libtorch's; every tensor that is made meanwhile is freed.
    static member Freed(work: Func<'T>) : 'T =
        let result = ref Unchecked.defaultof<'T>
        Scope.run0 (fun () -> result.Value <- work.Invoke())
        result.Value
