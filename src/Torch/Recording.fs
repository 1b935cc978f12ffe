namespace Fokker

open System
open System.Collections.Generic

/// What a recorded tensor is: its place in the record, element type and sizes.
[<NoComparison; NoEquality>]
type internal RecordedValue = { Id: int; Dtype: Dtype; Shape: int[] }

/// One argument of a recorded call.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type internal RecordedArgument =
    | Value of RecordedValue
    | Values of RecordedValue[]
    | Whole of int64
    | Number of float
    | Flag of bool
    | Wholes of int64[]
    | Numbers of float[]
    | Nothing

/// One call of an operator that the inputs have to do with.
[<NoComparison; NoEquality>]
type internal RecordedCall = { Operator: string; Arguments: RecordedArgument[]; Results: RecordedValue[] }

/// A tensor that the inputs have nothing to do with: a parameter by its name, or what was made of those and of numbers.
[<NoComparison; NoEquality>]
type internal RecordedConstant = { Value: RecordedValue; Name: string option; Bytes: byte[] }

/// What the operators of one evaluation were, in their order, from some inputs to an output: tensors are names in it, and have no memory.
[<NoComparison; NoEquality>]
type internal Recording =
    { Inputs: RecordedValue[]
      Constants: RecordedConstant[]
      Calls: RecordedCall[]
      Output: RecordedValue }

/// Records of evaluations. What does not depend on the inputs is computed and becomes a constant.
[<RequireQualifiedAccess>]
module internal Recording =

    type private Recorder(names: IDictionary<Tensor, string>) =
        let dependent = Dictionary<Tensor, RecordedValue>(HashIdentity.Reference)
        let constants = Dictionary<Tensor, RecordedValue>(HashIdentity.Reference)
        let kept = List<RecordedConstant>()
        let calls = List<RecordedCall>()
        let mutable next = 0

        let fresh (t: Tensor) : RecordedValue =
            next <- next + 1
            { Id = next; Dtype = t.Dtype; Shape = t.Shape }

        let constant (t: Tensor) : RecordedValue =
            match constants.TryGetValue t with
            | true, known -> known
            | _ ->
                let value = fresh t
                constants[t] <- value

                kept.Add
                    { Value = value
                      Name =
                        (match names.TryGetValue t with
                         | true, name -> Some name
                         | _ -> None)
                      Bytes = Exchange.toBytes t }

                value

        let value (t: Tensor) =
            match dependent.TryGetValue t with
            | true, known -> known
            | _ -> constant t

        let argument (a: Arg) : RecordedArgument =
            match a.Ref with
            | :? Tensor as t -> RecordedArgument.Value(value t)
            | :? (Tensor[]) as ts -> RecordedArgument.Values(Array.map value ts)
            | :? (int64[]) as v -> RecordedArgument.Wholes v
            | :? (float[]) as v -> RecordedArgument.Numbers v
            | _ ->
                match a.Tag with
                | 2 -> RecordedArgument.Whole a.Bits
                | 3 -> RecordedArgument.Number(BitConverter.Int64BitsToDouble a.Bits)
                | 4 -> RecordedArgument.Flag(a.Bits <> 0L)
                | _ -> RecordedArgument.Nothing

        let depends (a: Arg) =
            match a.Ref with
            | :? Tensor as t -> dependent.ContainsKey t
            | :? (Tensor[]) as ts -> ts |> Array.exists (fun t -> not (isNull (box t)) && dependent.ContainsKey t)
            | _ -> false

        member _.Input(t: Tensor) : RecordedValue =
            let value = fresh t
            dependent[t] <- value
            value

        member _.Calls = calls.ToArray()
        member _.Constants = kept.ToArray()
        member _.Value(t: Tensor) = value t

        interface ICallListener with
            member _.Called(name, args, results) =
                if Array.exists depends args then
                    let arguments = Array.map argument args
                    let results =
                        results
                        |> Array.map (fun t ->
                            let value = fresh t
                            dependent[t] <- value
                            value)

                    calls.Add { Operator = name; Arguments = arguments; Results = results }

            member _.Read(t) =
                if dependent.ContainsKey t && t.Dtype <> Dtype.Bool then
                    raise (
                        NotSupportedException
                            "what it does depends on numbers that it computes on the way, so that it is no fixed sequence of operators"
                    )

    /// The record of f on this thread, from the inputs to its output; parameters have names.
    let ofRun (inputs: Tensor list) (parameters: (string * Tensor) seq) (f: unit -> Tensor) : Recording =
        let names = Dictionary<Tensor, string>(HashIdentity.Reference)

        for name, t in parameters do
            names[t] <- name

        let recorder = Recorder names
        let inputs = inputs |> List.map recorder.Input |> Array.ofList
        let output = Calls.Listening(recorder, f)
        let output = recorder.Value output

        // What led nowhere is left out.
        let needed = HashSet<int> [ output.Id ]

        let calls =
            Array.foldBack
                (fun (call: RecordedCall) rest ->
                    if call.Results |> Array.exists (fun value -> needed.Contains value.Id) then
                        for a in call.Arguments do
                            match a with
                            | RecordedArgument.Value value -> needed.Add value.Id |> ignore
                            | RecordedArgument.Values values ->
                                for value in values do
                                    needed.Add value.Id |> ignore
                            | _ -> ()

                        call :: rest
                    else
                        rest)
                recorder.Calls
                []

        { Inputs = inputs
          Constants = recorder.Constants |> Array.filter (fun c -> needed.Contains c.Value.Id)
          Calls = Array.ofList calls
          Output = output }
