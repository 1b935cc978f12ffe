namespace Fokker

/// The parts that networks are made of.
[<RequireQualifiedAccess>]
module Nn =

    open Ops

    let private linearOp = op "linear"
    let private conv2dOp = op "conv2d"
    let private groupNormOp = op "group_norm"
    let private layerNormOp = op "layer_norm"
    let private softmaxOp = over "softmax" "int"
    let private logSoftmaxOp = over "log_softmax" "int"
    let private avgPoolOp = op "avg_pool2d"
    let private maxPoolOp = op "max_pool2d"
    let private nearestOp = over "upsample_nearest2d" "vec"
    let private embeddingOp = op "embedding"
    let private oneHotOp = op "one_hot"
    let private nllOp = op "nll_loss"
    let private padOp = op "constant_pad_nd"
    let private bmmOp = op "bmm"

    /// x Wᵀ + b: x [B; n], w [m; n], b [m].
    let linear (x: Tensor) (w: Tensor) (b: Tensor) = Door.one linearOp [| Arg.tensor x; Arg.tensor w; Arg.tensor b |]

    /// x [B; C; H; W], w [C'; C; k; k], b [C'].
    let conv2d (stride: int) (padding: int) (x: Tensor) (w: Tensor) (b: Tensor) =
        Door.one
            conv2dOp
            [| Arg.tensor x; Arg.tensor w; Arg.tensor b; Arg.ints [ stride; stride ]; Arg.ints [ padding; padding ] |]

    /// Wu, He 2018: normalized over each of `groups` groups of channels, then scaled and shifted by channel.
    let groupNorm (groups: int) (eps: float) (x: Tensor) (w: Tensor) (b: Tensor) =
        Door.one groupNormOp [| Arg.tensor x; Arg.int groups; Arg.tensor w; Arg.tensor b; Arg.float eps |]

    /// Ba et al. 2016, over the last dimension.
    let layerNorm (eps: float) (x: Tensor) (w: Tensor) (b: Tensor) =
        Door.one
            layerNormOp
            [| Arg.tensor x; Arg.ints [ x.Shape[x.Rank - 1] ]; Arg.tensor w; Arg.tensor b; Arg.float eps |]

    let softmax (dim: int) (x: Tensor) = Door.one softmaxOp [| Arg.tensor x; Arg.int dim |]
    let logSoftmax (dim: int) (x: Tensor) = Door.one logSoftmaxOp [| Arg.tensor x; Arg.int dim |]
    /// Means over squares of `size`.
    let avgPool2d (size: int) (x: Tensor) = Door.one avgPoolOp [| Arg.tensor x; Arg.ints [ size; size ] |]
    /// Maxima over squares of `size`.
    let maxPool2d (size: int) (x: Tensor) = Door.one maxPoolOp [| Arg.tensor x; Arg.ints [ size; size ] |]

    /// Every pixel repeated `scale` × `scale` times.
    let upsampleNearest (scale: int) (x: Tensor) =
        Door.one nearestOp [| Arg.tensor x; Arg.none; Arg.floats [| float scale; float scale |] |]

    /// Rows of w [n; d] named by the int64 `index`.
    let embedding (w: Tensor) (index: Tensor) = Door.one embeddingOp [| Arg.tensor w; Arg.tensor index |]
    let oneHot (classes: int) (index: Tensor) = Door.one oneHotOp [| Arg.tensor index; Arg.int classes |]

    /// −log softmax(logits)[label], one value a sample: logits [B; K], labels int64 [B].
    let crossEntropy (logits: Tensor) (labels: Tensor) =
        Door.one nllOp [| Arg.tensor (logSoftmax -1 logits); Arg.tensor labels; Arg.none; Arg.int 0 |]

    /// Zeros on every side of the last two dimensions.
    let pad2d (by: int) (x: Tensor) = Door.one padOp [| Arg.tensor x; Arg.ints [ by; by; by; by ] |]

    let bmm (a: Tensor) (b: Tensor) = binary bmmOp a b

    /// softmax(q kᵀ / √d) v (Vaswani et al. 2017, eq. 1): [B; n; d] each.
    let attention (q: Tensor) (k: Tensor) (v: Tensor) =
        let scale = 1.0 / System.Math.Sqrt(float q.Shape[q.Rank - 1])
        bmm (softmax -1 (bmm (q * scale) (Tensor.transpose 1 2 k))) v
