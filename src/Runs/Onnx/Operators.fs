namespace Fokker.Onnx

open System
open Fokker

/// A recorded call as the graph sees it: names of tensors in the place of tensors.
[<NoComparison; NoEquality>]
type internal Call =
    {
        Operator: string
        Arguments: RecordedArgument[]
        /// The tensor of an argument, by the record's number of it.
        Value: RecordedValue -> Value
        Result: Value
    }

    member private c.Given(k: int) = if k < c.Arguments.Length then c.Arguments[k] else RecordedArgument.Nothing

    /// The tensor that is argument k.
    member c.Tensor(k: int) : Value =
        match c.Given k with
        | RecordedArgument.Value value -> c.Value value
        | _ -> raise (NotSupportedException $"{c.Operator} without its argument {k}")

    member c.TryTensor(k: int) : Value option =
        match c.Given k with
        | RecordedArgument.Value value -> Some(c.Value value)
        | _ -> None

    member c.Tensors(k: int) : Value list =
        match c.Given k with
        | RecordedArgument.Values values -> [ for value in values -> c.Value value ]
        | _ -> []

    member c.TryNumber(k: int) : float option =
        match c.Given k with
        | RecordedArgument.Number x -> Some x
        | RecordedArgument.Whole n -> Some(float n)
        | _ -> None

    member c.Number(k: int, other: float) : float = c.TryNumber k |> Option.defaultValue other
    member c.Whole(k: int, other: int64) : int64 = int64 (c.Number(k, float other))

    member c.Wholes(k: int) : int64 list =
        match c.Given k with
        | RecordedArgument.Wholes v -> List.ofArray v
        | RecordedArgument.Numbers v -> [ for x in v -> int64 x ]
        | _ -> []

    member c.Flag(k: int) : bool =
        match c.Given k with
        | RecordedArgument.Flag flag -> flag
        | RecordedArgument.Whole n -> n <> 0L
        | _ -> false

/// What libtorch's operators are in ONNX's, one entry each: a network needs no description of its own, since what it is made of has one.
[<RequireQualifiedAccess>]
module internal Operators =

    let private cast (g: Graph) (dtype: Dtype) (x: Value) : string =
        if x.Dtype = dtype then
            x.Name
        else
            g.Node("Cast", [ x.Name ], [ "to", Attribute.Whole(Graph.Code dtype) ])

    let private axis (rank: int) (dim: int64) = if dim < 0L then dim + int64 rank else dim

    let private unary operator (g: Graph) (c: Call) = g.Node(operator, [ (c.Tensor 0).Name ], [])

    /// Both in the result's element type, as libtorch converts a number that has no dimensions.
    let private binary operator (g: Graph) (c: Call) =
        g.Node(operator, [ cast g c.Result.Dtype (c.Tensor 0); cast g c.Result.Dtype (c.Tensor 1) ], [])

    let private withNumber operator (g: Graph) (c: Call) =
        g.Node(operator, [ cast g c.Result.Dtype (c.Tensor 0); g.Scalar(c.Result.Dtype, c.Number(1, 0.0)) ], [])

    /// a + k b, k one unless it is said.
    let private summed operator (g: Graph) (c: Call) =
        match c.Number(2, 1.0) with
        | 1.0 -> binary operator g c
        | k ->
            let scaled = g.Node("Mul", [ cast g c.Result.Dtype (c.Tensor 1); g.Scalar(c.Result.Dtype, k) ], [])
            g.Node(operator, [ cast g c.Result.Dtype (c.Tensor 0); scaled ], [])

    let private compared operator (g: Graph) (c: Call) =
        let a = c.Tensor 0

        match c.TryTensor 1 with
        | Some b ->
            let dtype = if a.Sizes.Length > 0 then a.Dtype else b.Dtype
            g.Node(operator, [ cast g dtype a; cast g dtype b ], [])
        | None -> g.Node(operator, [ a.Name; g.Scalar(a.Dtype, c.Number(1, 0.0)) ], [])

    /// The result's sizes; at most one of them goes with the batch.
    let private reshaped (g: Graph) (x: string) (sizes: Size[]) : string =
        match
            sizes
            |> Array.filter (function
                | OfBatch _ -> true
                | Always _ -> false)
        with
        | [| _ |] ->
            g.Node(
                "Reshape",
                [ x
                  g.Wholes
                      [ for size in sizes ->
                            match size with
                            | Always n -> int64 n
                            | OfBatch _ -> -1L ] ],
                []
            )
        | _ -> g.Node("Reshape", [ x; g.Shape sizes ], [])

    let private sizeAt (x: Value) (k: int) : int =
        match x.Sizes[k] with
        | Always n -> n
        | OfBatch _ -> raise (NotSupportedException "a picture whose sides depend on the batch")

    let private reduced operator (g: Graph) (c: Call) =
        let x = c.Tensor 0

        let dims =
            match c.Wholes 1 with
            | [] -> [ for k in 0 .. x.Sizes.Length - 1 -> int64 k ]
            | dims -> dims |> List.map (axis x.Sizes.Length)

        let keep = "keepdims", Attribute.Whole(if c.Flag 2 then 1L else 0L)

        if operator = "ReduceSum" then
            g.Node(operator, [ x.Name; g.Wholes dims ], [ keep ])
        else
            g.Node(operator, [ x.Name ], [ keep; "axes", Attribute.Wholes dims ])

    let private permuted (g: Graph) (x: string) (order: int64 list) =
        g.Node("Transpose", [ x ], [ "perm", Attribute.Wholes order ])

    let private sliced (g: Graph) (x: Value) (dim: int64) (start: int64) (stop: int64) =
        g.Node("Slice", [ x.Name; g.Wholes [ start ]; g.Wholes [ stop ]; g.Wholes [ axis x.Sizes.Length dim ] ], [])

    /// The pieces of a tensor along a dimension, one behind the other: as long as the results are.
    let cut (g: Graph) (c: Call) (pieces: Value[]) : string[] =
        let dim = int (axis (c.Tensor 0).Sizes.Length (c.Whole(2, 0L)))

        let add (at: Size) (length: Size) =
            match at, length with
            | Always 0, length -> length
            | Always a, Always b -> Always(a + b)
            | OfBatch a, OfBatch b -> OfBatch(a + b)
            | _ ->
                raise (
                    NotSupportedException
                        $"its operator {c.Operator} cuts at a place that goes with the number of samples in part"
                )

        let ends = pieces |> Array.scan (fun at piece -> add at piece.Sizes[dim]) (Always 0) |> Array.pairwise

        [| for start, stop in ends ->
               g.Node(
                   "Slice",
                   [ (c.Tensor 0).Name; g.Shape [| start |]; g.Shape [| stop |]; g.Wholes [ int64 dim ] ],
                   []
               ) |]

    let private linear (g: Graph) (c: Call) =
        let product = g.Node("MatMul", [ (c.Tensor 0).Name; permuted g (c.Tensor 1).Name [ 1L; 0L ] ], [])

        match c.TryTensor 2 with
        | Some bias -> g.Node("Add", [ product; bias.Name ], [])
        | None -> product

    let private convolution (g: Graph) (c: Call) =
        let x, w = c.Tensor 0, c.Tensor 1
        let both (values: int64 list) other = if values.IsEmpty then [ other; other ] else values
        let padding = both (c.Wholes 4) 0L

        g.Node(
            "Conv",
            [ x.Name
              w.Name
              match c.TryTensor 2 with
              | Some bias -> bias.Name
              | None -> () ],
            [ "kernel_shape", Attribute.Wholes [ int64 (sizeAt w 2); int64 (sizeAt w 3) ]
              "strides", Attribute.Wholes(both (c.Wholes 3) 1L)
              "pads", Attribute.Wholes(padding @ padding) ]
        )

    /// Each group as a channel of one row, normalized by itself; then each channel's own scale and shift.
    let private groupNorm (g: Graph) (c: Call) =
        let x = c.Tensor 0
        let groups = int (c.Whole(1, 1L))
        let channels = sizeAt x 1
        let ones, zeros = g.Constant(x.Dtype, groups, 1.0), g.Constant(x.Dtype, groups, 0.0)
        let folded = g.Node("Reshape", [ x.Name; g.Wholes [ 0L; int64 groups; -1L ] ], [])

        let normalized =
            g.Node("InstanceNormalization", [ folded; ones; zeros ], [ "epsilon", Attribute.Number(c.Number(4, 1e-5)) ])

        let back = reshaped g normalized x.Sizes
        let perChannel = g.Wholes [ yield 1L; yield int64 channels; for _ in 3 .. x.Sizes.Length -> 1L ]

        let applied operator (value: Value option) (y: string) =
            match value with
            | Some value -> g.Node(operator, [ y; g.Node("Reshape", [ value.Name; perChannel ], []) ], [])
            | None -> y

        back |> applied "Mul" (c.TryTensor 2) |> applied "Add" (c.TryTensor 3)

    let private layerNorm (g: Graph) (c: Call) =
        let x = c.Tensor 0
        let width = sizeAt x (x.Sizes.Length - 1)

        let scale =
            match c.TryTensor 2 with
            | Some scale -> scale.Name
            | None -> g.Constant(x.Dtype, width, 1.0)

        g.Node(
            "LayerNormalization",
            [ x.Name
              scale
              match c.TryTensor 3 with
              | Some shift -> shift.Name
              | None -> () ],
            [ "axis", Attribute.Whole -1L; "epsilon", Attribute.Number(c.Number(4, 1e-5)) ]
        )

    /// Squares of pixels as channels, and back: a reshaping around an exchange of axes.
    let private shuffled (isFolding: bool) (g: Graph) (c: Call) =
        let x = c.Tensor 0
        let r = int (c.Whole(1, 1L))
        let channels, height, width = sizeAt x 1, sizeAt x 2, sizeAt x 3

        let apart, order =
            if isFolding then
                [ channels; height / r; r; width / r; r ], [ 0L; 1L; 3L; 5L; 2L; 4L ]
            else
                [ channels / (r * r); r; r; height; width ], [ 0L; 1L; 4L; 2L; 5L; 3L ]

        let split = g.Node("Reshape", [ x.Name; g.Wholes(0L :: List.map int64 apart) ], [])
        reshaped g (permuted g split order) c.Result.Sizes

    let private upsampled (g: Graph) (c: Call) =
        let scales =
            match c.Arguments[2] with
            | RecordedArgument.Numbers v -> v
            | _ -> raise (NotSupportedException "an upsampling to a size")

        let scales = g.Numbers(Dtype.Float32, Array.append [| 1.0; 1.0 |] scales)

        g.Node(
            "Resize",
            [ (c.Tensor 0).Name; ""; scales ],
            [ "mode", Attribute.Text "nearest"
              "coordinate_transformation_mode", Attribute.Text "asymmetric"
              "nearest_mode", Attribute.Text "floor" ]
        )

    let private padded (g: Graph) (c: Call) =
        let x = c.Tensor 0
        let rank = x.Sizes.Length
        // From the last axis backwards, before and after each.
        let given = c.Wholes 1 |> Array.ofList
        let at side k = let j = rank - 1 - k in if 2 * j < given.Length then given[2 * j + side] else 0L
        let pads =
            [ for side in 0..1 do
                  for k in 0 .. rank - 1 -> at side k ]
        g.Node("Pad", [ x.Name; g.Wholes pads ], [ "mode", Attribute.Text "constant" ])

    let private pooled operator (g: Graph) (c: Call) =
        let size = c.Wholes 1
        g.Node(
            operator,
            [ (c.Tensor 0).Name ],
            [ "kernel_shape", Attribute.Wholes size; "strides", Attribute.Wholes size ]
        )

    let private product (g: Graph) (a: string) (b: string) = g.Node("Mul", [ a; b ], [])

    let private gelu (g: Graph) (c: Call) =
        let x = c.Tensor 0
        let number value = g.Scalar(x.Dtype, value)
        let erf = g.Node("Erf", [ product g x.Name (number (1.0 / Math.Sqrt 2.0)) ], [])
        product g (product g x.Name (number 0.5)) (g.Node("Add", [ erf; number 1.0 ], []))

    /// cos x = sin(x + ½π) in float64, for which the runtime has no cosine.
    let private cosine (g: Graph) (c: Call) =
        let x = c.Tensor 0

        if x.Dtype = Dtype.Float64 then
            g.Node("Sin", [ g.Node("Add", [ x.Name; g.Scalar(x.Dtype, 0.5 * Math.PI) ], []) ], [])
        else
            unary "Cos" g c

    let private expanded (g: Graph) (c: Call) = g.Node("Expand", [ (c.Tensor 0).Name; g.Shape c.Result.Sizes ], [])

    let private same (_: Graph) (c: Call) = (c.Tensor 0).Name

    let private gathered (index: Graph -> Call -> string) (dim: Call -> int64) (g: Graph) (c: Call) =
        g.Node("Gather", [ (c.Tensor 0).Name; index g c ], [ "axis", Attribute.Whole(dim c) ])

    let private all: (string * (Graph -> Call -> string)) list =
        [ "add.Tensor", summed "Add"
          "add.Scalar", withNumber "Add"
          "sub.Tensor", summed "Sub"
          "sub.Scalar", withNumber "Sub"
          "rsub.Scalar",
          (fun g c ->
              g.Node("Sub", [ g.Scalar(c.Result.Dtype, c.Number(1, 0.0)); cast g c.Result.Dtype (c.Tensor 0) ], []))
          "mul.Tensor", binary "Mul"
          "mul.Scalar", withNumber "Mul"
          "div.Tensor", binary "Div"
          "div.Scalar", withNumber "Div"
          "reciprocal", unary "Reciprocal"
          "pow.Tensor_Tensor", binary "Pow"
          "pow.Tensor_Scalar", withNumber "Pow"
          "minimum", binary "Min"
          "maximum", binary "Max"
          "bmm", binary "MatMul"
          "matmul", binary "MatMul"
          "mm", binary "MatMul"
          for name, operator in
              [ "neg", "Neg"
                "exp", "Exp"
                "log", "Log"
                "sqrt", "Sqrt"
                "sin", "Sin"
                "tanh", "Tanh"
                "abs", "Abs"
                "sign", "Sign"
                "floor", "Floor"
                "ceil", "Ceil"
                "round", "Round"
                "sigmoid", "Sigmoid"
                "softplus", "Softplus"
                "relu", "Relu"
                "selu", "Selu"
                "erf", "Erf"
                "logical_not", "Not" ] do
              name, unary operator
          "cos", cosine
          "rsqrt", (fun g c -> g.Node("Reciprocal", [ unary "Sqrt" g c ], []))
          "square", (fun g c -> product g (c.Tensor 0).Name (c.Tensor 0).Name)
          "silu", (fun g c -> product g (c.Tensor 0).Name (unary "Sigmoid" g c))
          "gelu", gelu
          "expm1", (fun g c -> g.Node("Sub", [ unary "Exp" g c; g.Scalar(c.Result.Dtype, 1.0) ], []))
          "log1p",
          (fun g c -> g.Node("Log", [ g.Node("Add", [ (c.Tensor 0).Name; g.Scalar(c.Result.Dtype, 1.0) ], []) ], []))
          "clamp",
          (fun g c ->
              let x = c.Tensor 0
              let low, high = c.Number(1, -infinity), c.Number(2, infinity)
              g.Node("Clip", [ x.Name; g.Scalar(x.Dtype, low); g.Scalar(x.Dtype, high) ], []))
          "where.self",
          (fun g c ->
              let dtype = c.Result.Dtype
              g.Node("Where", [ (c.Tensor 0).Name; cast g dtype (c.Tensor 1); cast g dtype (c.Tensor 2) ], []))
          for name, operator in
              [ "lt", "Less"; "le", "LessOrEqual"; "gt", "Greater"; "ge", "GreaterOrEqual"; "eq", "Equal" ] do
              name + ".Tensor", compared operator
              name + ".Scalar", compared operator
          "logical_and", binary "And"
          "logical_or", binary "Or"
          "sum", reduced "ReduceSum"
          "sum.dim_IntList", reduced "ReduceSum"
          "mean", reduced "ReduceMean"
          "mean.dim", reduced "ReduceMean"
          "amax", reduced "ReduceMax"
          "amin", reduced "ReduceMin"
          "reshape", (fun g c -> reshaped g (c.Tensor 0).Name c.Result.Sizes)
          "permute", (fun g c -> permuted g (c.Tensor 0).Name (c.Wholes 1 |> List.map (axis (c.Tensor 0).Sizes.Length)))
          "transpose.int",
          (fun g c ->
              let rank = (c.Tensor 0).Sizes.Length
              let a, b = axis rank (c.Whole(1, 0L)), axis rank (c.Whole(2, 1L))
              let moved k =
                  if k = a then b
                  elif k = b then a
                  else k
              permuted g (c.Tensor 0).Name [ for k in 0 .. rank - 1 -> moved (int64 k) ])
          "expand", expanded
          "unsqueeze", (fun g c -> reshaped g (c.Tensor 0).Name c.Result.Sizes)
          "squeeze.dim", (fun g c -> reshaped g (c.Tensor 0).Name c.Result.Sizes)
          "cat",
          (fun g c ->
              let rank = c.Result.Sizes.Length
              g.Node(
                  "Concat",
                  [ for x in c.Tensors 0 -> cast g c.Result.Dtype x ],
                  [ "axis", Attribute.Whole(axis rank (c.Whole(1, 0L))) ]
              ))
          "narrow",
          (fun g c ->
              let start = c.Whole(2, 0L)
              sliced g (c.Tensor 0) (c.Whole(1, 0L)) start (start + c.Whole(3, 0L)))
          "slice.Tensor",
          (fun g c -> sliced g (c.Tensor 0) (c.Whole(1, 0L)) (c.Whole(2, 0L)) (c.Whole(3, Int64.MaxValue)))
          "select.int",
          gathered (fun g c -> g.Scalar(Dtype.Int64, float (c.Whole(2, 0L)))) (fun c ->
              axis (c.Tensor 0).Sizes.Length (c.Whole(1, 0L)))
          "index_select",
          gathered (fun _ c -> (c.Tensor 2).Name) (fun c -> axis (c.Tensor 0).Sizes.Length (c.Whole(1, 0L)))
          "embedding", gathered (fun _ c -> (c.Tensor 1).Name) (fun _ -> 0L)
          "flip",
          (fun g c ->
              let x = c.Tensor 0
              let dims = c.Wholes 1 |> List.map (axis x.Sizes.Length)
              let each value = g.Wholes [ for _ in dims -> value ]
              g.Node("Slice", [ x.Name; each -1L; each Int64.MinValue; g.Wholes dims; each -1L ], []))
          "contiguous", same
          "clone", same
          "detach", same
          "_to_copy", (fun g c -> cast g c.Result.Dtype (c.Tensor 0))
          "linear", linear
          "conv2d", convolution
          "group_norm", groupNorm
          "layer_norm", layerNorm
          "softmax.int",
          (fun g c -> g.Node("Softmax", [ (c.Tensor 0).Name ], [ "axis", Attribute.Whole(c.Whole(1, -1L)) ]))
          "log_softmax.int",
          (fun g c -> g.Node("LogSoftmax", [ (c.Tensor 0).Name ], [ "axis", Attribute.Whole(c.Whole(1, -1L)) ]))
          "avg_pool2d", pooled "AveragePool"
          "max_pool2d", pooled "MaxPool"
          "upsample_nearest2d.vec", upsampled
          "constant_pad_nd", padded
          "pixel_unshuffle", shuffled true
          "pixel_shuffle", shuffled false ]

    let private table = dict all

    /// The graph's name of what a call gives; the nodes are added. Raises NotSupportedException for an operator that has no entry.
    let add (g: Graph) (call: Call) : string =
        match table.TryGetValue call.Operator with
        | true, emit -> emit g call
        | _ -> raise (NotSupportedException $"its operator {call.Operator} has no counterpart in what is written")
