namespace Fokker.Onnx

open System
open System.Collections.Generic
open Fokker

/// Functions of tensors as ONNX models. What is evaluated is recorded twice, for two sizes of a batch: a size that differs between the records goes with the batch, and everything
/// else is fixed.
[<RequireQualifiedAccess>]
module internal OnnxFile =

    let private small, large = 2, 3

    let private size (a: int) (b: int) : Size =
        if a = b then
            Always a
        elif a % small = 0 && b % large = 0 && a / small = b / large then
            OfBatch(a / small)
        else
            raise (
                NotSupportedException
                    $"a size is {a} for {small} samples and {b} for {large}: it does not go with their number"
            )

    let private sizes (a: RecordedValue) (b: RecordedValue) : Size[] =
        if a.Shape.Length <> b.Shape.Length then
            raise (NotSupportedException "a tensor's dimensions depend on the number of samples")

        Array.map2 size a.Shape b.Shape

    /// A constant that is there once for each sample and is the same for each: the one row, repeated.
    let private constant (g: Graph) (a: RecordedConstant) (b: RecordedConstant) : Value =
        let sizes = sizes a.Value b.Value
        let name = a.Name |> Option.defaultValue $"constant{a.Value.Id}"

        let plain shape bytes : Value =
            { Name = g.Initializer(name, a.Value.Dtype, shape, bytes); Dtype = a.Value.Dtype; Sizes = sizes }

        match
            sizes
            |> Array.tryFindIndex (function
                | OfBatch _ -> true
                | Always _ -> false)
        with
        | None when a.Bytes.AsSpan().SequenceEqual(ReadOnlySpan b.Bytes) -> plain a.Value.Shape a.Bytes
        | None -> raise (NotSupportedException "a constant of it depends on the number of samples")
        | Some 0 ->
            let times =
                match sizes[0] with
                | OfBatch times -> times
                | Always _ -> 1

            let row = a.Bytes.Length / a.Value.Shape[0]

            // Rows that a product of matrices made are the same up to rounding: another number of rows is another order of its sums.
            let isSame (first: byte[]) (other: byte[]) =
                if Dtype.isFloating a.Value.Dtype then
                    let numbers (bytes: byte[]) =
                        Exchange.ofBytes
                            a.Value.Dtype
                            [| bytes.Length / Dtype.size a.Value.Dtype |]
                            (ReadOnlySpan bytes)
                        |> Tensor.toFloats

                    let one, two = numbers first, numbers other
                    let room = 1e-5 * (one |> Array.fold (fun most x -> max most (abs x)) 0.0)
                    Array.forall2 (fun x y -> x = y || abs (x - y) <= room) one two
                else
                    other.AsSpan().SequenceEqual(ReadOnlySpan first)

            // Several batches one after the other, as guidance has them, have a row each.
            let blocks (bytes: byte[]) = bytes |> Array.chunkBySize (max 1 row) |> Array.splitInto times
            let one, two = blocks a.Bytes, blocks b.Bytes

            let repeated =
                Array.map2
                    (fun (x: byte[][]) (y: byte[][]) ->
                        if not (Seq.append x y |> Seq.forall (isSame x[0])) then
                            raise (NotSupportedException "it draws numbers on the way, other ones for each sample")

                        let own = plain (Array.append [| 1 |] a.Value.Shape[1..]) x[0]
                        g.Node("Expand", [ own.Name; g.Shape(Array.append [| OfBatch 1 |] sizes[1..]) ], []))
                    one
                    two

            { Name =
                (if times = 1 then
                     repeated[0]
                 else
                     g.Node("Concat", List.ofArray repeated, [ "axis", Attribute.Whole 0L ]))
              Dtype = a.Value.Dtype
              Sizes = sizes }
        | Some _ -> raise (NotSupportedException "a constant of it depends on the number of samples")

    /// Whether the numbers that a call was given are the same for any number of samples, or are sizes, which the results tell.
    let private hasOneMeaning (a: RecordedCall) (b: RecordedCall) : bool =
        List.contains a.Operator [ "reshape"; "expand" ]
        || Array.forall2
            (fun x y ->
                match x, y with
                | RecordedArgument.Whole m, RecordedArgument.Whole n -> m = n
                | RecordedArgument.Number u, RecordedArgument.Number v -> u = v
                | RecordedArgument.Wholes m, RecordedArgument.Wholes n -> m = n
                | _ -> true)
            a.Arguments
            b.Arguments

    /// The bytes of the model of a function: `record n` records it for n samples. Inputs have names, and the first one's first size is the number of samples. Raises NotSupportedException where the function has
    /// something that is no fixed sequence of ONNX's operators.
    let ofFunction
        (name: string)
        (inputs: string list)
        (output: string)
        (metadata: (string * string) list)
        (record: int -> Recording)
        : byte[] =
        let a, b = record small, record large

        if
            a.Calls.Length <> b.Calls.Length
            || a.Constants.Length <> b.Constants.Length
            || Array.exists2 (fun (x: RecordedCall) (y: RecordedCall) -> x.Operator <> y.Operator) a.Calls b.Calls
        then
            raise (NotSupportedException "it does other things for another number of samples")

        let g = Graph()
        let values = Dictionary<int, Value>()

        let given =
            [ for name, (x, y) in List.zip inputs (List.ofArray (Array.zip a.Inputs b.Inputs)) ->
                  let value = { Name = name; Dtype = x.Dtype; Sizes = sizes x y }
                  values[x.Id] <- value
                  value ]

        g.BatchFrom given.Head.Name

        for x, y in Array.zip a.Constants b.Constants do
            values[x.Value.Id] <- constant g x y

        for x, y in Array.zip a.Calls b.Calls do
            let results =
                Array.map2
                    (fun (p: RecordedValue) (q: RecordedValue) -> { Name = ""; Dtype = p.Dtype; Sizes = sizes p q })
                    x.Results
                    y.Results

            let call =
                { Operator = x.Operator
                  Arguments = x.Arguments
                  Value = fun value -> values[value.Id]
                  Result = results[0] }

            let nodes =
                match hasOneMeaning x y, x.Operator with
                // How many samples a piece has, its sizes say.
                | _, ("split.Tensor" | "chunk") -> Operators.cut g call results
                | _ when results.Length > 1 ->
                    raise (NotSupportedException $"its operator {x.Operator} gives several tensors")
                | true, _ -> [| Operators.add g call |]
                // All of the samples.
                | false, "narrow" when (call.Tensor 0).Sizes = results[0].Sizes -> [| (call.Tensor 0).Name |]
                | _ -> raise (NotSupportedException $"its operator {x.Operator} goes with the number of samples")

            for value, result, node in Array.zip3 x.Results results nodes do
                values[value.Id] <- { result with Name = node }

        let last = { values[a.Output.Id] with Sizes = sizes a.Output b.Output }
        g.NodeAs(output, "Identity", [ last.Name ], [])
        g.Model(name, given, [ { last with Name = output } ], metadata)
