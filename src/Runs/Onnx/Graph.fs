namespace Fokker.Onnx

open System
open System.Collections.Generic
open Fokker
open Fokker.Protobuf

/// A size that is known, or so many times the batch.
[<Struct>]
type internal Size =
    | Always of size: int
    | OfBatch of times: int

/// A tensor of the graph: its name, element type and sizes.
[<NoComparison; NoEquality>]
type internal Value = { Name: string; Dtype: Dtype; Sizes: Size[] }

[<RequireQualifiedAccess>]
type internal Attribute =
    | Whole of int64
    | Number of float
    | Text of string
    | Wholes of int64 list

/// An ONNX graph under construction, by the operators of opset 17 (ONNX, Operators; onnx.proto).
[<Sealed>]
type internal Graph() =
    let nodes = List<Message>()
    let initializers = List<Message>()
    let names = HashSet<string>()
    let scalars = Dictionary<struct (Dtype * float), string>()
    let rows = Dictionary<string, string>()
    let mutable next = 0
    let mutable batch: string option = None

    static let codes =
        dict
            [ Dtype.Float32, 1
              Dtype.UInt8, 2
              Dtype.Int8, 3
              Dtype.Int16, 5
              Dtype.Int32, 6
              Dtype.Int64, 7
              Dtype.Bool, 9
              Dtype.Float16, 10
              Dtype.Float64, 11
              Dtype.BFloat16, 16 ]

    let fresh () =
        next <- next + 1
        $"v{next}"

    static member Code(dtype: Dtype) = int64 codes[dtype]

    member _.Initializer(name: string, dtype: Dtype, shape: int[], bytes: byte[]) : string =
        let name = if names.Add name then name else fresh ()
        let tensor = Message()

        for size in shape do
            tensor.Whole(1, int64 size) |> ignore

        initializers.Add(tensor.Whole(2, Graph.Code dtype).Text(8, name).Raw(9, bytes))
        name

    /// An int64 vector.
    member g.Wholes(values: int64 seq) : string =
        let values = Array.ofSeq values
        let key = String.Join(",", values)

        match rows.TryGetValue key with
        | true, name -> name
        | _ ->
            let bytes = values |> Array.collect BitConverter.GetBytes
            let name = g.Initializer(fresh (), Dtype.Int64, [| values.Length |], bytes)
            rows[key] <- name
            name

    /// A number of an element type, 0-dimensional.
    member g.Scalar(dtype: Dtype, value: float) : string =
        let key = struct (dtype, value)

        match scalars.TryGetValue key with
        | true, name -> name
        | _ ->
            let bytes =
                match dtype with
                | Dtype.Float32 -> BitConverter.GetBytes(float32 value)
                | Dtype.Int64 -> BitConverter.GetBytes(int64 value)
                | Dtype.Bool -> BitConverter.GetBytes(value <> 0.0)
                | _ -> BitConverter.GetBytes value

            let name =
                g.Initializer(
                    fresh (),
                    (if dtype = Dtype.Float32 || dtype = Dtype.Int64 || dtype = Dtype.Bool then dtype else Dtype.Float64),
                    [||],
                    bytes
                )
            scalars[key] <- name
            name

    /// A vector of float32 or float64 numbers.
    member g.Numbers(dtype: Dtype, values: float[]) : string =
        let each (x: float) =
            if dtype = Dtype.Float32 then BitConverter.GetBytes(float32 x) else BitConverter.GetBytes x

        g.Initializer(fresh (), dtype, [| values.Length |], Array.collect each values)

    /// A vector of one number repeated.
    member g.Constant(dtype: Dtype, count: int, value: float) : string = g.Numbers(dtype, Array.create count value)

    member _.NodeAs
        (output: string, operator: string, inputs: string list, attributes: (string * Attribute) list)
        : unit =
        let node = Message()

        for name in inputs do
            node.Text(1, name) |> ignore

        node.Text(2, output).Text(3, $"{operator}_{output}").Text(4, operator) |> ignore

        for name, value in attributes do
            let attribute = Message().Text(1, name)

            match value with
            | Attribute.Number x -> attribute.Float(2, float32 x).Whole(20, 1L)
            | Attribute.Whole n -> attribute.Whole(3, n).Whole(20, 2L)
            | Attribute.Text text -> attribute.Text(4, text).Whole(20, 3L)
            | Attribute.Wholes ns ->
                for n in ns do
                    attribute.Whole(8, n) |> ignore

                attribute.Whole(20, 7L)
            |> ignore

            node.Inner(5, attribute) |> ignore

        nodes.Add node

    /// A node with one output, whose name it gives.
    member g.Node(operator: string, inputs: string list, attributes: (string * Attribute) list) : string =
        let output = fresh ()
        g.NodeAs(output, operator, inputs, attributes)
        output

    /// The number of samples as an int64 vector of one, from an input whose first size it is.
    member g.BatchFrom(input: string) =
        batch <- Some(g.Node("Slice", [ g.Node("Shape", [ input ], []); g.Wholes [ 0L ]; g.Wholes [ 1L ] ], []))

    /// Sizes as an int64 vector.
    member g.Shape(sizes: Size[]) : string =
        let piece =
            function
            | Always n -> g.Wholes [ int64 n ]
            | OfBatch 1 -> batch.Value
            | OfBatch times -> g.Node("Mul", [ batch.Value; g.Wholes [ int64 times ] ], [])

        if
            sizes
            |> Array.forall (function
                | Always _ -> true
                | OfBatch _ -> false)
        then
            g.Wholes
                [ for size in sizes ->
                      match size with
                      | Always n
                      | OfBatch n -> int64 n ]
        else
            g.Node("Concat", [ for size in sizes -> piece size ], [ "axis", Attribute.Whole 0L ])

    /// The whole model's bytes.
    member _.Model(name: string, inputs: Value list, outputs: Value list, metadata: (string * string) list) : byte[] =
        let described (value: Value) =
            let shape = Message()

            for size in value.Sizes do
                let dimension = Message()

                match size with
                | Always n -> dimension.Whole(1, int64 n)
                | OfBatch 1 -> dimension.Text(2, "batch")
                | OfBatch times -> dimension.Text(2, $"{times}*batch")
                |> ignore

                shape.Inner(1, dimension) |> ignore

            let tensor = Message().Whole(1, Graph.Code value.Dtype).Inner(2, shape)
            Message().Text(1, value.Name).Inner(2, Message().Inner(1, tensor))

        let graph =
            Message()
                .Each(1, nodes)
                .Text(2, name)
                .Each(5, initializers)
                .Each(11, List.map described inputs)
                .Each(12, List.map described outputs)

        Message()
            .Whole(1, 8L)
            .Text(2, "Fokker")
            .Text(3, Run.version)
            .Inner(7, graph)
            .Inner(8, Message().Text(1, "").Whole(2, 17L))
            .Each(14, [ for key, value in metadata -> Message().Text(1, key).Text(2, value) ])
            .Bytes
