namespace Fokker

open System

/// Functions on tensors: creation, element by element, reductions, shapes. Dimensions may be negative: -1 is the last.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Tensor =

    open Ops

    let private like (kind: Kind) = [| Arg.dtype kind.Dtype; Arg.none; Arg.device kind.Device |]

    let private make (op: Op) (args: Arg[]) (kind: Kind) = Door.one op (Array.append args (like kind))

    // ---- creation

    let private zerosOp = op "zeros"
    let private onesOp = op "ones"
    let private fullOp = op "full"
    let private arangeOp = over "arange" "start_step"
    let private linspaceOp = op "linspace"
    let private eyeOp = op "eye"

    let zeros (kind: Kind) (shape: seq<int>) = make zerosOp [| Arg.ints shape |] kind
    let ones (kind: Kind) (shape: seq<int>) = make onesOp [| Arg.ints shape |] kind

    /// Every element `value`.
    let full (kind: Kind) (shape: seq<int>) (value: float) = make fullOp [| Arg.ints shape; Arg.float value |] kind

    let zerosLike (x: Tensor) = zeros x.Kind x.Shape
    let onesLike (x: Tensor) = ones x.Kind x.Shape

    /// A 0-dimensional tensor.
    let scalar (kind: Kind) (value: float) = full kind [] value

    /// first, first + 1, …, below `stop`, as [stop − first].
    let range (kind: Kind) (first: int) (stop: int) = make arangeOp [| Arg.int first; Arg.int stop; Arg.int 1 |] kind

    /// `count` points from `first` to `last`, both included.
    let linspace (kind: Kind) (first: float) (last: float) (count: int) =
        make linspaceOp [| Arg.float first; Arg.float last; Arg.int count |] kind

    /// The identity matrix [n; n].
    let eye (kind: Kind) (n: int) = make eyeOp [| Arg.int n |] kind

    /// A CPU tensor with a copy of `data`, in row-major order. Raises TensorException where the data do not fill the shape.
    let ofArray<'T when 'T: unmanaged> (shape: seq<int>) (data: 'T[]) = Exchange.ofSpan shape (ReadOnlySpan<'T> data)

    /// A CPU tensor over the array's own memory, without a copy. The array must not change while the tensor is in use.
    let lend<'T when 'T: unmanaged> (shape: seq<int>) (data: 'T[]) = Exchange.lend shape data

    /// A copy of the elements in row-major order; the element type must be 'T's.
    let toArray<'T when 'T: unmanaged> (x: Tensor) : 'T[] = Exchange.toArray x

    /// The elements as float64, whatever the element type.
    let toFloats (x: Tensor) : float[] = Exchange.toArray<float>(x.To Dtype.Float64)

    // ---- element by element

    let private expm1Op = op "expm1"
    let private log1pOp = op "log1p"
    let private rsqrtOp = op "rsqrt"
    let private squareOp = op "square"
    let private sigmoidOp = op "sigmoid"
    let private softplusOp = op "softplus"
    let private logSigmoidOp = op "log_sigmoid"
    let private reluOp = op "relu"
    let private siluOp = op "silu"
    let private geluOp = op "gelu"
    let private seluOp = op "selu"
    let private erfOp = op "erf"
    let private erfinvOp = op "erfinv"
    let private clampOp = op "clamp"
    let private minimumOp = op "minimum"
    let private maximumOp = op "maximum"
    let private lerpOp = over "lerp" "Tensor"
    let private whereOp = over "where" "self"
    let private ltOp = over "lt" "Tensor"
    let private leOp = over "le" "Tensor"
    let private gtOp = over "gt" "Tensor"
    let private geOp = over "ge" "Tensor"
    let private eqOp = over "eq" "Tensor"
    let private ltScalarOp = over "lt" "Scalar"
    let private gtScalarOp = over "gt" "Scalar"
    let private geScalarOp = over "ge" "Scalar"
    let private eqScalarOp = over "eq" "Scalar"
    let private notOp = op "logical_not"
    let private andOp = op "logical_and"
    let private orOp = op "logical_or"
    let private isfiniteOp = op "isfinite"
    let private isnanOp = op "isnan"
    let private remainderOp = over "remainder" "Scalar"

    let exp (x: Tensor) = unary Ops.exp x
    let expm1 (x: Tensor) = unary expm1Op x
    let log (x: Tensor) = unary Ops.log x
    let log1p (x: Tensor) = unary log1pOp x
    let sqrt (x: Tensor) = unary Ops.sqrt x
    let rsqrt (x: Tensor) = unary rsqrtOp x
    let square (x: Tensor) = unary squareOp x
    let sin (x: Tensor) = unary Ops.sin x
    let cos (x: Tensor) = unary Ops.cos x
    let tanh (x: Tensor) = unary Ops.tanh x
    let abs (x: Tensor) = unary Ops.abs x
    let sign (x: Tensor) = unary Ops.sign x
    let neg (x: Tensor) = unary Ops.neg x
    let floor (x: Tensor) = unary Ops.floor x
    let round (x: Tensor) = unary Ops.round x
    let sigmoid (x: Tensor) = unary sigmoidOp x

    /// log(1 + eˣ).
    let softplus (x: Tensor) =
        // Above libtorch's own threshold of 20 it gives x, which float64 can tell from the truth; above 40 it cannot.
        Door.one softplusOp [| Arg.tensor x; Arg.float 1.0; Arg.float 40.0 |]

    /// log σ(x).
    let logSigmoid (x: Tensor) =
        // libtorch's own has no forward rule for its backward pass.
        if Nesting.Mixed then neg (softplus (neg x)) else unary logSigmoidOp x

    let relu (x: Tensor) = unary reluOp x

    /// x · sigmoid(x) (Hendrycks, Gimpel 2016; Elfwing et al. 2018).
    let silu (x: Tensor) = unary siluOp x
    /// x · Φ(x), exactly (Hendrycks, Gimpel 2016).
    let gelu (x: Tensor) = unary geluOp x
    /// λ x for x > 0 and λ α (eˣ − 1) elsewhere, λ = 1.0507, α = 1.6733 (Klambauer et al. 2017, Self-normalizing neural networks, eq. 2).
    let selu (x: Tensor) = unary seluOp x
    let erf (x: Tensor) = unary erfOp x
    let erfinv (x: Tensor) = unary erfinvOp x
    let pow (x: Tensor) (exponent: float) = withScalar powScalar x exponent

    /// The values held within [low, high].
    let clamp (low: float) (high: float) (x: Tensor) =
        Door.one clampOp [| Arg.tensor x; Arg.float low; Arg.float high |]

    /// The same values, cut off from every derivative being taken.
    let detach (x: Tensor) = unary Ops.detach x
    let minimum (a: Tensor) (b: Tensor) = binary minimumOp a b
    let maximum (a: Tensor) (b: Tensor) = binary maximumOp a b

    /// a + w·(b − a).
    let lerp (a: Tensor) (b: Tensor) (w: Tensor) = Door.one lerpOp [| Arg.tensor a; Arg.tensor b; Arg.tensor w |]

    /// x + c·k in one pass over memory.
    let addScaled (c: float) (k: Tensor) (x: Tensor) : Tensor =
        Door.one Ops.add [| Arg.tensor x; Arg.tensor k; Arg.float c |]

    /// `a` where the condition holds, `b` elsewhere.
    let where (condition: Tensor) (a: Tensor) (b: Tensor) =
        Door.one whereOp [| Arg.tensor condition; Arg.tensor a; Arg.tensor b |]

    let less (a: Tensor) (b: Tensor) = binary ltOp a b
    let lessOrEqual (a: Tensor) (b: Tensor) = binary leOp a b
    let greater (a: Tensor) (b: Tensor) = binary gtOp a b
    let greaterOrEqual (a: Tensor) (b: Tensor) = binary geOp a b
    let equal (a: Tensor) (b: Tensor) = binary eqOp a b
    let lessThan (b: float) (a: Tensor) = withScalar ltScalarOp a b
    let greaterThan (b: float) (a: Tensor) = withScalar gtScalarOp a b
    let atLeast (b: float) (a: Tensor) = withScalar geScalarOp a b
    let equalTo (b: float) (a: Tensor) = withScalar eqScalarOp a b
    let not (x: Tensor) = unary notOp x
    let both (a: Tensor) (b: Tensor) = binary andOp a b
    let either (a: Tensor) (b: Tensor) = binary orOp a b
    let isFinite (x: Tensor) = unary isfiniteOp x
    let isNan (x: Tensor) = unary isnanOp x
    /// x mod m, in [0, m) for positive m.
    let modulo (m: float) (x: Tensor) = withScalar remainderOp x m

    // ---- reductions

    let private sumOp = op "sum"
    let private sumDimOp = over "sum" "dim_IntList"
    let private meanOp = op "mean"
    let private meanDimOp = over "mean" "dim"
    let private varOp = over "var" "correction"
    let private amaxOp = op "amax"
    let private aminOp = op "amin"
    let private argmaxOp = op "argmax"
    let private argminOp = op "argmin"
    let private logsumexpOp = op "logsumexp"
    let private cumsumOp = op "cumsum"
    let private prodOp = op "prod"
    let private allOp = op "all"
    let private anyOp = op "any"
    let private sortOp = op "sort"
    let private kthvalueOp = op "kthvalue"
    let private argsortOp = over "argsort" "stable"
    let private equalOp = op "equal"

    /// Over all elements, as a 0-dimensional tensor.
    let sum (x: Tensor) = unary sumOp x
    let mean (x: Tensor) = unary meanOp x
    let prod (x: Tensor) = unary prodOp x
    let all (x: Tensor) = unary allOp x
    let any (x: Tensor) = unary anyOp x

    let private reduce (op: Op) (dims: seq<int>) (keep: bool) (x: Tensor) =
        Door.one op [| Arg.tensor x; Arg.ints dims; Arg.bool keep |]

    /// Over the given dimensions, which disappear.
    let sumOver (dims: seq<int>) (x: Tensor) = reduce sumDimOp dims false x
    let meanOver (dims: seq<int>) (x: Tensor) = reduce meanDimOp dims false x
    let maxOver (dims: seq<int>) (x: Tensor) = reduce amaxOp dims false x
    let minOver (dims: seq<int>) (x: Tensor) = reduce aminOp dims false x
    /// Over the given dimensions, which stay as size 1.
    let sumKeep (dims: seq<int>) (x: Tensor) = reduce sumDimOp dims true x
    let meanKeep (dims: seq<int>) (x: Tensor) = reduce meanDimOp dims true x
    let maxKeep (dims: seq<int>) (x: Tensor) = reduce amaxOp dims true x

    /// log Σ exp over the given dimensions, which stay as size 1.
    let logSumExpKeep (dims: seq<int>) (x: Tensor) =
        if Nesting.Mixed then
            // libtorch's forward rule overwrites what a backward pass needs.
            let m = detach (maxKeep dims x)
            let m = where (isFinite m) m (zerosLike m)
            m + log (sumKeep dims (exp (x - m)))
        else
            reduce logsumexpOp dims true x

    /// log Σ exp over the given dimensions, which disappear.
    let logSumExp (dims: seq<int>) (x: Tensor) =
        if Nesting.Mixed then sumOver dims (logSumExpKeep dims x) else reduce logsumexpOp dims false x

    let private rest (x: Tensor) = [ 1 .. x.Rank - 1 ]

    /// Over everything but the batch: [B; …] ↦ [B].
    let sumRows (x: Tensor) = if x.Rank <= 1 then x else sumOver (rest x) x
    /// The mean over everything but the batch: [B; …] ↦ [B].
    let meanRows (x: Tensor) = if x.Rank <= 1 then x else meanOver (rest x) x

    /// Variance over the given dimensions, divided by n − correction.
    let varianceOver (dims: seq<int>) (correction: int) (x: Tensor) =
        Door.one varOp [| Arg.tensor x; Arg.ints dims; Arg.int correction; Arg.bool false |]

    let max (x: Tensor) = Door.one amaxOp [| Arg.tensor x; Arg.ints []; Arg.bool false |]
    let min (x: Tensor) = Door.one aminOp [| Arg.tensor x; Arg.ints []; Arg.bool false |]
    let argmax (dim: int) (x: Tensor) = Door.one argmaxOp [| Arg.tensor x; Arg.int dim; Arg.bool false |]
    let argmin (dim: int) (x: Tensor) = Door.one argminOp [| Arg.tensor x; Arg.int dim; Arg.bool false |]
    let cumsum (dim: int) (x: Tensor) = Door.one cumsumOp [| Arg.tensor x; Arg.int dim |]

    /// Sorted values and where they stood.
    let sort (dim: int) (x: Tensor) =
        match Door.many sortOp [| Arg.tensor x; Arg.int dim; Arg.bool false |] with
        | [| values; indices |] -> values, indices
        | _ -> invalidOp "sort gives two tensors"

    /// The k-th lowest along a dimension, k from 1, without sorting the others.
    let kthLowest (k: int) (dim: int) (x: Tensor) =
        match Door.many kthvalueOp [| Arg.tensor x; Arg.int k; Arg.int dim; Arg.bool false |] with
        | [| values; _ |] -> values
        | _ -> invalidOp "kthvalue gives two tensors"

    /// The stable order that sorts `x` along `dim`.
    let argsort (dim: int) (x: Tensor) =
        Door.one argsortOp [| Arg.tensor x; Arg.bool true; Arg.int dim; Arg.bool false |]

    /// Same shape, same element type, same bits (and no NaN anywhere).
    let same (a: Tensor) (b: Tensor) =
        a.Dtype = b.Dtype
        && a.Shape = b.Shape
        && (Door.scalar equalOp [| Arg.tensor a; Arg.tensor b |]).Bool

    // ---- shapes

    let private reshapeOp = op "reshape"
    let private permuteOp = op "permute"
    let private transposeOp = over "transpose" "int"
    let private expandOp = op "expand"
    let private unsqueezeOp = op "unsqueeze"
    let private squeezeOp = over "squeeze" "dim"
    let private catOp = op "cat"
    let private stackOp = op "stack"
    let private splitOp = over "split" "Tensor"
    let private chunkOp = op "chunk"
    let private unbindOp = over "unbind" "int"
    let private narrowOp = op "narrow"
    let private indexSelectOp = op "index_select"
    let private gatherOp = op "gather"
    let private indexOp = over "index" "Tensor"
    let private flipOp = op "flip"
    let private repeatOp = op "repeat"
    let private trilOp = op "tril"
    let private diagonalOp = op "diagonal"
    let private diagEmbedOp = op "diag_embed"
    let private repeatInterleaveOp = over "repeat_interleave" "self_int"
    let private cloneOp = op "clone"

    let reshape (shape: seq<int>) (x: Tensor) = Door.one reshapeOp [| Arg.tensor x; Arg.ints shape |]
    let flatten (x: Tensor) = reshape [ -1 ] x
    /// [B; …] ↦ [B; everything else].
    let flattenRows (x: Tensor) = reshape [ x.Shape[0]; -1 ] x
    let permute (dims: seq<int>) (x: Tensor) = Door.one permuteOp [| Arg.tensor x; Arg.ints dims |]
    let transpose (a: int) (b: int) (x: Tensor) = Door.one transposeOp [| Arg.tensor x; Arg.int a; Arg.int b |]
    let expand (shape: seq<int>) (x: Tensor) = Door.one expandOp [| Arg.tensor x; Arg.ints shape |]
    let unsqueeze (dim: int) (x: Tensor) = Door.one unsqueezeOp [| Arg.tensor x; Arg.int dim |]
    let squeeze (dim: int) (x: Tensor) = Door.one squeezeOp [| Arg.tensor x; Arg.int dim |]
    let cat (dim: int) (xs: seq<Tensor>) = Door.one catOp [| Arg.tensors (Seq.toArray xs); Arg.int dim |]
    let stack (dim: int) (xs: seq<Tensor>) = Door.one stackOp [| Arg.tensors (Seq.toArray xs); Arg.int dim |]
    /// Pieces of `size` along `dim`; the last may be shorter.
    let split (size: int) (dim: int) (x: Tensor) = Door.many splitOp [| Arg.tensor x; Arg.int size; Arg.int dim |]
    /// `count` pieces along `dim`.
    let chunk (count: int) (dim: int) (x: Tensor) = Door.many chunkOp [| Arg.tensor x; Arg.int count; Arg.int dim |]
    let unbind (dim: int) (x: Tensor) = Door.many unbindOp [| Arg.tensor x; Arg.int dim |]
    let narrow (dim: int) (start: int) (length: int) (x: Tensor) =
        Door.one narrowOp [| Arg.tensor x; Arg.int dim; Arg.int start; Arg.int length |]
    let select (dim: int) (index: int) (x: Tensor) = Door.one Ops.select [| Arg.tensor x; Arg.int dim; Arg.int index |]
    /// The rows (or slices along `dim`) that the int64 `index` [n] names.
    let indexSelect (dim: int) (index: Tensor) (x: Tensor) =
        Door.one indexSelectOp [| Arg.tensor x; Arg.int dim; Arg.tensor index |]
    /// out[i, j] = x[i, index[i, j]] for dim = 1, and so on.
    let gather (dim: int) (index: Tensor) (x: Tensor) =
        Door.one gatherOp [| Arg.tensor x; Arg.int dim; Arg.tensor index |]
    /// The elements where the mask holds, in a row.
    let masked (mask: Tensor) (x: Tensor) = Door.one indexOp [| Arg.tensor x; Arg.optionalTensors [| mask |] |]
    let flip (dims: seq<int>) (x: Tensor) = Door.one flipOp [| Arg.tensor x; Arg.ints dims |]
    let repeat (times: seq<int>) (x: Tensor) = Door.one repeatOp [| Arg.tensor x; Arg.ints times |]
    /// Every slice along `dim` `times` times in a row: a b ↦ a a b b.
    let repeatInterleave (times: int) (dim: int) (x: Tensor) =
        Door.one repeatInterleaveOp [| Arg.tensor x; Arg.int times; Arg.int dim |]
    let tril (x: Tensor) = unary trilOp x
    /// The diagonal of the last two dimensions.
    let diagonal (x: Tensor) = Door.one diagonalOp [| Arg.tensor x; Arg.int 0; Arg.int -2; Arg.int -1 |]
    /// A matrix with `x` on the diagonal.
    let diagEmbed (x: Tensor) = unary diagEmbedOp x
    let contiguous (x: Tensor) = unary Ops.contiguous x
    /// A copy with memory of its own.
    let clone (x: Tensor) = unary cloneOp x

    /// One number a sample, [B] (or a 0-dimensional tensor), made to broadcast against `x` [B; …]: [B; 1; …; 1], in x's kind.
    /// Raises TensorException where the batch sizes differ.
    let perSample (x: Tensor) (a: Tensor) : Tensor =
        if a.Rank = 0 then
            if a.Dtype = x.Dtype || a.Device.IsCpu then a else a.To x.Kind
        elif a.Rank <> 1 || x.Rank = 0 || (a.Shape[0] <> x.Shape[0] && a.Shape[0] <> 1) then
            raise (TensorException $"perSample: {a.Describe()} is not one number for each sample of {x.Describe()}")
        else
            let a = a.To x.Kind

            if x.Rank = 1 then a else reshape [ yield a.Shape[0]; for _ in 2 .. x.Rank -> 1 ] a
