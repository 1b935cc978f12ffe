namespace Fokker

open System.Collections.Generic

/// The list of parameters that a network under construction asks for. It is written to only while the network is being
/// made; the layers remember where their parameters are.
[<Sealed>]
type Blueprint private (prefix: string, specs: List<Spec>) =

    /// An empty list.
    new() = Blueprint("", List<Spec>())

    /// The same list, with `name.` before the names of what is added.
    member _.Inside(name: string) = Blueprint($"{prefix}{name}.", specs)

    /// Adds a parameter and says at which place of the list it stands.
    member _.Parameter(name: string, shape: int list, initializer: Initializer) : int =
        specs.Add { Name = prefix + name; Shape = shape; Initializer = initializer }
        specs.Count - 1

    /// How many parameters there are so far.
    member _.Count = specs.Count

    /// The parameters so far, in their order: `Network.Specs` when the last layer is declared.
    member _.Specs = specs.ToArray()

/// A layer: parameters ↦ input ↦ output. It finds its own among all of the network's parameters.
type Layer = Tensor[] -> Tensor -> Tensor

/// The parts that networks are made of. Each declares its parameters when it is made.
module Layer =

    /// The layer that `make` declares, told something besides its input, as a block: a training may compute its inside again in the backward pass instead of keeping it (`Recomputation`). What it is given
    /// first is not differentiated: way ↦ parameters ↦ told ↦ x ↦ output.
    let blockBy
        (b: Blueprint)
        (make: Blueprint -> 'Way -> Tensor[] -> Tensor -> Tensor -> Tensor)
        : 'Way -> Tensor[] -> Tensor -> Tensor -> Tensor =
        let first = b.Count
        let layer = make b
        let last = b.Count

        fun way p told x ->
            if not (Recomputation.isUnderWay ()) then
                layer way p told x
            else
                let again (inputs: Tensor[]) =
                    let parameters = Array.copy p
                    Array.blit inputs 2 parameters first (last - first)
                    layer way parameters inputs[0] inputs[1]

                Recomputation.block again [| told; x; yield! p[first .. last - 1] |]

    /// `blockBy` of the one way there is.
    let blockTold
        (b: Blueprint)
        (make: Blueprint -> Tensor[] -> Tensor -> Tensor -> Tensor)
        : Tensor[] -> Tensor -> Tensor -> Tensor =
        blockBy b (fun b -> (let layer = make b in fun () -> layer)) ()

    /// `blockBy` of a layer that is told nothing.
    let block (b: Blueprint) (make: Blueprint -> Layer) : Layer =
        let layer = blockTold b (fun b -> (let layer = make b in fun p _ x -> layer p x))
        fun p x -> layer p x x

    let private pixelUnshuffleOp = Ops.op "pixel_unshuffle"
    let private pixelShuffleOp = Ops.op "pixel_shuffle"

    /// U(−1/√n, 1/√n) for n inputs to each output, weights and bias alike: variance 1/(3n) (LeCun et al. 1998, section
    /// 4.6, up to the factor; PyTorch's default for linear and convolutional layers).
    let private uniform inputs = Initializer.Uniform(1.0 / sqrt (float inputs))

    let private affine (b: Blueprint) weight bias shape =
        let w = b.Parameter("weight", shape, weight)
        let bias = b.Parameter("bias", [ List.head shape ], bias)
        struct (w, bias)

    /// Where parameters are rounded to bfloat16 (`Network.computedIn`), what a network is given is too, but no earlier than here, so that features of it are exact.
    let private asIn (parameter: Tensor) (x: Tensor) : Tensor =
        if parameter.Dtype = Dtype.BFloat16 then x.To Dtype.BFloat16 else x

    let private affinely (x: Tensor) (w: Tensor) (bias: Tensor) = Nn.linear (asIn w x) w bias

    /// x Wᵀ + b over the last dimension, [B; …; inputs] ↦ [B; …; outputs].
    let linear (b: Blueprint) (inputs: int) (outputs: int) : Layer =
        let struct (w, bias) = affine b (uniform inputs) (uniform inputs) [ outputs; inputs ]
        fun p x -> affinely x p[w] p[bias]

    /// `linear` of several inputs of these widths side by side. Where one is a single row for a whole batch it is multiplied once: (x, y) Wᵀ + b = x W_xᵀ + (y W_yᵀ + b).
    let linearOf (b: Blueprint) (widths: int list) (outputs: int) : Tensor[] -> Tensor list -> Tensor =
        let inputs = List.sum widths
        let struct (w, bias) = affine b (uniform inputs) (uniform inputs) [ outputs; inputs ]
        let first = List.scan (+) 0 widths

        let together =
            function
            | [ one ] -> one
            | parts -> Tensor.cat 1 parts

        fun p parts ->
            let rows = parts |> List.map (fun part -> part.Shape[0]) |> List.max
            let each, once = List.indexed parts |> List.partition (fun (_, part) -> part.Shape[0] = rows)
            let weights = List.map (fun (k, _) -> Tensor.narrow 1 first[k] widths[k] p[w]) >> together

            match once with
            | [] -> affinely (together parts) p[w] p[bias]
            | once ->
                let shift = affinely (together (List.map snd once)) (weights once) p[bias]
                affinely (together (List.map snd each)) (weights each) (Tensor.flatten shift)

    /// `linear` whose output is 0 before training.
    let linearFromZero (b: Blueprint) (inputs: int) (outputs: int) : Layer =
        let struct (w, bias) = affine b Initializer.Zeros Initializer.Zeros [ outputs; inputs ]
        fun p x -> affinely x p[w] p[bias]

    /// A convolution whose window has `size` and whose steps have `stride`, along the height and along the width.
    let private convolutionOf
        (prepare: Tensor -> Tensor)
        padding
        initializer
        (b: Blueprint)
        (size: int * int)
        (stride: int * int)
        inputs
        outputs
        : Layer =
        let struct (w, bias) = affine b initializer initializer [ outputs; inputs; fst size; snd size ]
        fun p x -> Nn.convBy stride padding (prepare (asIn p[w] x)) p[w] p[bias]

    let private convolution initializer (b: Blueprint) size stride : int -> int -> Layer =
        convolutionOf id (fst size / 2, snd size / 2) initializer b size stride

    /// A convolution with odd `size` that keeps the image's size (divides it by `stride`): [B; inputs; H; W] ↦ [B; outputs; H/stride; W/stride].
    let conv (b: Blueprint) (size: int) (stride: int) (inputs: int) (outputs: int) : Layer =
        convolution (uniform (inputs * size * size)) b (size, size) (stride, stride) inputs outputs

    /// `conv` with zeros below and to the right only, one less than its size.
    let convAtEnd (b: Blueprint) (size: int) (stride: int) (inputs: int) (outputs: int) : Layer =
        let prepare = Nn.padEnd (size / 2) (size / 2)
        convolutionOf prepare (0, 0) (uniform (inputs * size * size)) b (size, size) (stride, stride) inputs outputs

    /// `conv` whose output is 0 before training.
    let convFromZero (b: Blueprint) (size: int) (inputs: int) (outputs: int) : Layer =
        convolution Initializer.Zeros b (size, size) (1, 1) inputs outputs

    /// `conv` of series, which are images of one row, along that row: [B; inputs; 1; L] ↦ [B; outputs; 1; L/stride], L a multiple of the stride.
    let convAlong (b: Blueprint) (size: int) (stride: int) (inputs: int) (outputs: int) : Layer =
        convolution (uniform (inputs * size)) b (1, size) (1, stride) inputs outputs

    /// `convAlong` whose output is 0 before training.
    let convAlongFromZero (b: Blueprint) (size: int) (inputs: int) (outputs: int) : Layer =
        convolution Initializer.Zeros b (1, size) (1, 1) inputs outputs

    /// Zero mean and unit variance over each of `groups` groups of channels and all of their pixels, then a scale and a shift for each channel: [B; C; H; W] ↦ the
    /// same (Wu, He 2018, Group normalization, eq. 1–6).
    let groupNormBy (epsilon: float) (b: Blueprint) (groups: int) (channels: int) : Layer =
        let struct (w, bias) = affine b Initializer.Ones Initializer.Zeros [ channels ]
        fun p x -> Nn.groupNorm groups epsilon x p[w] p[bias]

    /// `groupNormBy` ε = 10⁻⁵.
    let groupNorm (b: Blueprint) (groups: int) (channels: int) : Layer = groupNormBy 1e-5 b groups channels

    /// A row for each label and one for none (`Embedding.label`): parameters ↦ condition ↦ [B or 1; width].
    let labels (b: Blueprint) (classes: int) (width: int) : Tensor[] -> Condition -> Tensor =
        let table = b.Parameter("weight", [ classes + 1; width ], Initializer.Normal(1.0 / sqrt (float width)))
        fun p condition -> Embedding.label p[table] condition

    /// exp(x − max)/Σ over the last dimension. libtorch's own softmax has a backward that knows no forward-mode
    /// derivative, which the divergence of a gradient needs; its parts do.
    let private softmax (x: Tensor) =
        let e = Tensor.exp (x - Tensor.detach (Tensor.maxKeep [ -1 ] x))
        e / Tensor.sumKeep [ -1 ] e

    /// x plus attention of every pixel to every pixel, one head: [B; C; H; W] (Vaswani et al. 2017, eq. 1; Ho, Jain,
    /// Abbeel 2020). Adds 0 before training.
    let attention (b: Blueprint) (groups: int) (channels: int) : Layer =
        block b (fun b ->
            let norm = groupNorm (b.Inside "norm") groups channels
            let project = linear (b.Inside "qkv") channels (3 * channels)
            let out = linearFromZero (b.Inside "out") channels channels
            let scale = 1.0 / sqrt (float channels)

            fun p x ->
                let pixels = norm p x |> Tensor.reshape [ x.Shape[0]; channels; -1 ] |> Tensor.transpose 1 2
                let all = project p pixels
                let part k = Tensor.narrow 2 (k * channels) channels all
                let weights = softmax (Nn.bmm (part 0 * scale) (Tensor.transpose 1 2 (part 1)))
                let mixed = out p (Nn.bmm weights (part 2))
                x + (Tensor.transpose 1 2 mixed |> Tensor.reshape x.Shape))

    /// `attention` by several heads, each on its own part of the channels (Vaswani et al. 2017, section 3.2.2). Adds 0 before training.
    let multiHeadAttention (b: Blueprint) (heads: int) (groups: int) (channels: int) : Layer =
        block b (fun b ->
            let norm = groupNorm (b.Inside "norm") groups channels
            let project = linear (b.Inside "qkv") channels (3 * channels)
            let out = linearFromZero (b.Inside "out") channels channels

            fun p x ->
                let all = norm p x |> Tensor.reshape [ x.Shape[0]; channels; -1 ] |> Tensor.transpose 1 2 |> project p
                let part k = Tensor.narrow 2 (k * channels) channels all
                let mixed = out p (Nn.multiHead heads (part 0) (part 1) (part 2))
                x + (Tensor.transpose 1 2 mixed |> Tensor.reshape x.Shape))

    /// Two convolutions around a path past them (He et al. 2016; Dhariwal, Nichol 2021, section 3): parameters ↦ what the time and the class say [B; told] ↦ x ↦
    /// skip(x) + conv₂(silu(norm₂(h)·(1 + scale) + shift)), h = conv₁(silu(norm₁(x))), where scale and shift come from what is said. The convolutions are of the kinds that are given,
    /// the second one such that its output is 0 before training, so that the block begins as its skip.
    let residual
        (conv: Blueprint -> int -> int -> Layer)
        (convFromZero: Blueprint -> int -> int -> Layer)
        (skip: Blueprint -> int -> int -> Layer)
        (b: Blueprint)
        (groups: int)
        (told: int)
        (inputs: int)
        (outputs: int)
        : Tensor[] -> Tensor -> Tensor -> Tensor =
        blockTold b (fun b ->
            let norm1 = groupNorm (b.Inside "norm1") groups inputs
            let conv1 = conv (b.Inside "conv1") inputs outputs
            let time = linear (b.Inside "time") told (2 * outputs)
            let norm2 = groupNorm (b.Inside "norm2") groups outputs
            let conv2 = convFromZero (b.Inside "conv2") outputs outputs
            let skip = if inputs = outputs then None else Some(skip (b.Inside "skip") inputs outputs)

            fun p said x ->
                let h = conv1 p (Tensor.silu (norm1 p x))
                let modulation = time p said |> Tensor.reshape [ said.Shape[0]; 2 * outputs; 1; 1 ]
                let scale = Tensor.narrow 1 0 outputs modulation
                let shift = Tensor.narrow 1 outputs outputs modulation
                let h = conv2 p (Tensor.silu (norm2 p h * (scale + 1.0) + shift))

                match skip with
                | Some skip -> skip p x + h
                | None -> x + h)

    /// Squares of size × size pixels as channels: [B; C; H; W] ↦ [B; C·size²; H/size; W/size].
    let fold (size: int) (x: Tensor) =
        if size = 1 then x else Door.one pixelUnshuffleOp [| Arg.tensor x; Arg.int size |]
    /// The inverse of `fold`.
    let unfold (size: int) (x: Tensor) =
        if size = 1 then x else Door.one pixelShuffleOp [| Arg.tensor x; Arg.int size |]

    /// A network on images whose height and width are multiples of two numbers, [B; C; H; W] ↦ [B; C'; H; W], on any others: zeros are put below and to the right, and what it
    /// says of them is cut off.
    let paddedTo (rows: int) (columns: int) (network: Tensor -> Tensor) (x: Tensor) : Tensor =
        let height, width = x.Shape[2], x.Shape[3]
        let missing size multiple = (multiple - size % multiple) % multiple
        let below, right = missing height rows, missing width columns

        if below = 0 && right = 0 then
            network x
        else
            network (Nn.padEnd below right x) |> Tensor.narrow 2 0 height |> Tensor.narrow 3 0 width

    /// `paddedTo` of one number for both sides.
    let padded (multiple: int) (network: Tensor -> Tensor) (x: Tensor) : Tensor = paddedTo multiple multiple network x
