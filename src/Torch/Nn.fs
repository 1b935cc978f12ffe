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
    let private padOp = op "constant_pad_nd"
    let private bmmOp = op "bmm"

    /// x Wᵀ + b: x [B; n], w [m; n], b [m].
    let linear (x: Tensor) (w: Tensor) (b: Tensor) = Door.one linearOp [| Arg.tensor x; Arg.tensor w; Arg.tensor b |]

    /// x [B; C; H; W], w [C'; C; k; l], b [C']: strides and zeros on both sides along the height and along the width.
    let convBy (strides: int * int) (padding: int * int) (x: Tensor) (w: Tensor) (b: Tensor) =
        let pair (rows, columns) = Arg.ints [ rows; columns ]
        Door.one conv2dOp [| Arg.tensor x; Arg.tensor w; Arg.tensor b; pair strides; pair padding |]

    /// x [B; C; H; W], w [C'; C; k; k], b [C'].
    let conv2d (stride: int) (padding: int) (x: Tensor) (w: Tensor) (b: Tensor) =
        convBy (stride, stride) (padding, padding) x w b

    /// Wu, He 2018: normalized over each of `groups` groups of channels, then scaled and shifted by channel.
    let groupNorm (groups: int) (eps: float) (x: Tensor) (w: Tensor) (b: Tensor) =
        Door.one groupNormOp [| Arg.tensor x; Arg.int groups; Arg.tensor w; Arg.tensor b; Arg.float eps |]

    // libtorch's fused layer norm and softmaxes do not nest: their backward passes have no forward rule (1.13), and going
    // back through their forward rules fails or, for the layer norm, is silently wrong (1.13 and 2.6). Compositions stand in.

    /// Ba et al. 2016, over the last dimension.
    let layerNorm (eps: float) (x: Tensor) (w: Tensor) (b: Tensor) =
        if Nesting.Mixed then
            let centred = x - Tensor.meanKeep [ -1 ] x
            centred * Tensor.rsqrt (Tensor.meanKeep [ -1 ] (Tensor.square centred) + eps) * w + b
        else
            Door.one
                layerNormOp
                [| Arg.tensor x; Arg.ints [ x.Shape[x.Rank - 1] ]; Arg.tensor w; Arg.tensor b; Arg.float eps |]

    /// `layerNorm` without a scale and a shift of its own: mean 0 and variance 1 over the last dimension.
    let standardize (eps: float) (x: Tensor) =
        if Nesting.Mixed then
            let centred = x - Tensor.meanKeep [ -1 ] x
            centred * Tensor.rsqrt (Tensor.meanKeep [ -1 ] (Tensor.square centred) + eps)
        else
            Door.one layerNormOp [| Arg.tensor x; Arg.ints [ x.Shape[x.Rank - 1] ]; Arg.none; Arg.none; Arg.float eps |]

    /// exp(x) / Σ exp(x) along `dim`.
    let softmax (dim: int) (x: Tensor) =
        if Nesting.Mixed then
            let e = Tensor.exp (x - Tensor.detach (Tensor.maxKeep [ dim ] x))
            e / Tensor.sumKeep [ dim ] e
        else
            Door.one softmaxOp [| Arg.tensor x; Arg.int dim |]

    /// x − log Σ exp(x) along `dim`.
    let logSoftmax (dim: int) (x: Tensor) =
        if Nesting.Mixed then
            x - Tensor.logSumExpKeep [ dim ] x
        else
            Door.one logSoftmaxOp [| Arg.tensor x; Arg.int dim |]

    /// Means over squares of `size`.
    let avgPool2d (size: int) (x: Tensor) = Door.one avgPoolOp [| Arg.tensor x; Arg.ints [ size; size ] |]
    /// Maxima over squares of `size`.
    let maxPool2d (size: int) (x: Tensor) = Door.one maxPoolOp [| Arg.tensor x; Arg.ints [ size; size ] |]

    /// Every pixel repeated `rows` times downwards and `columns` times to the right.
    let upsampleBy (rows: int) (columns: int) (x: Tensor) =
        Door.one nearestOp [| Arg.tensor x; Arg.none; Arg.floats [| float rows; float columns |] |]

    /// Every pixel repeated `scale` × `scale` times.
    let upsampleNearest (scale: int) (x: Tensor) = upsampleBy scale scale x

    /// Rows of w [n; d] named by the int64 `index`.
    let embedding (w: Tensor) (index: Tensor) = Door.one embeddingOp [| Arg.tensor w; Arg.tensor index |]
    let oneHot (classes: int) (index: Tensor) = Door.one oneHotOp [| Arg.tensor index; Arg.int classes |]

    /// −log softmax(logits)[label], one value a sample: logits [B; K], labels int64 [B].
    let crossEntropy (logits: Tensor) (labels: Tensor) =
        -(logSoftmax 1 logits |> Tensor.gather 1 (Tensor.unsqueeze 1 labels) |> Tensor.squeeze 1)

    /// Zeros on every side of the last two dimensions.
    let pad2d (by: int) (x: Tensor) = Door.one padOp [| Arg.tensor x; Arg.ints [ by; by; by; by ] |]

    /// Zeros below and to the right of the last two dimensions.
    let padEnd (below: int) (right: int) (x: Tensor) =
        Door.one padOp [| Arg.tensor x; Arg.ints [ 0; right; 0; below ] |]

    let bmm (a: Tensor) (b: Tensor) = binary bmmOp a b

    /// softmax(q kᵀ / √d) v (Vaswani et al. 2017, eq. 1): [B; n; d] each.
    let attention (q: Tensor) (k: Tensor) (v: Tensor) =
        let scale = 1.0 / System.Math.Sqrt(float q.Shape[q.Rank - 1])
        bmm (softmax -1 (bmm (q * scale) (Tensor.transpose 1 2 k))) v

    /// [B; n; heads · d] ↦ [B · heads; n; d].
    let splitHeads (heads: int) (x: Tensor) =
        if heads = 1 then
            x
        else
            let batch, n, width = x.Shape[0], x.Shape[1], x.Shape[2]

            Tensor.reshape [ batch; n; heads; width / heads ] x
            |> Tensor.transpose 1 2
            |> Tensor.reshape [ batch * heads; n; width / heads ]

    /// The inverse of `splitHeads`.
    let joinHeads (heads: int) (x: Tensor) =
        if heads = 1 then
            x
        else
            let batch, n, width = x.Shape[0] / heads, x.Shape[1], x.Shape[2]

            Tensor.reshape [ batch; heads; n; width ] x
            |> Tensor.transpose 1 2
            |> Tensor.reshape [ batch; n; heads * width ]

    /// Attention by several heads, each on its own part of the width: [B; n; heads · d] each (Vaswani et al. 2017, section 3.2.2).
    let multiHead (heads: int) (q: Tensor) (k: Tensor) (v: Tensor) =
        attention (splitHeads heads q) (splitHeads heads k) (splitHeads heads v) |> joinHeads heads
