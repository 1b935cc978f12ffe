namespace Fokker

open System

/// An exact flow on images [B; C; H; W]: blocks of causal transformers over patches, each of which scales and shifts every patch by what those before it say
/// (Zhai et al. 2025, Normalizing flows are capable generative models, TarFlow).
type TarFlow =
    {
        /// [C; H; W], H and W multiples of the patch.
        Shape: int list
        /// Patches of Patch × Patch pixels.
        Patch: int
        /// Blocks; the patches' order turns round between them.
        Blocks: int
        /// Width of the transformers, a multiple of the heads, and layers of attention in each.
        Width: int
        Depth: int
        Heads: int
        /// How many labels there are; None for an unconditional flow.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module TarFlow =

    let private settings (s: TarFlow) =
        [ "shape", String.Join(" ", s.Shape)
          "patch", string s.Patch
          "blocks", string s.Blocks
          "width", string s.Width
          "depth", string s.Depth
          "heads", string s.Heads
          "classes", string (Option.defaultValue 0 s.Classes) ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : TarFlow =
        let whole name = int settings[name]

        { Shape = [ for size in settings["shape"].Split ' ' -> int size ]
          Patch = whole "patch"
          Blocks = whole "blocks"
          Width = whole "width"
          Depth = whole "depth"
          Heads = whole "heads"
          Classes =
            match whole "classes" with
            | 0 -> None
            | classes -> Some classes }

    let private layerNorm (b: Blueprint) (width: int) : Layer =
        let w = b.Parameter("weight", [ width ], Initializer.Ones)
        let bias = b.Parameter("bias", [ width ], Initializer.Zeros)
        fun p x -> Nn.layerNorm 1e-5 x p[w] p[bias]

    /// x plus attention of every patch to itself and those before it, plus a perceptron: [B; n; width] (Vaswani et al. 2017, with the norms before).
    let private attentionLayer (b: Blueprint) (s: TarFlow) : Layer =
        let w, h = s.Width, s.Heads
        let norm1 = layerNorm (b.Inside "norm1") w
        let project = Layer.linear (b.Inside "qkv") w (3 * w)
        let out = Layer.linear (b.Inside "out") w w
        let norm2 = layerNorm (b.Inside "norm2") w
        let up = Layer.linear (b.Inside "up") w (4 * w)
        let down = Layer.linear (b.Inside "down") (4 * w) w
        let scale = 1.0 / Math.Sqrt(float w / float h)

        fun p x ->
            let n = x.Shape[1]
            let all = project p (norm1 p x)

            let part k = Nn.splitHeads h (Tensor.narrow 2 (k * w) w all)

            // What comes later is not seen.
            let isSeen = Tensor.greaterThan 0.5 (Tensor.tril (Tensor.ones x.Kind [ n; n ]))
            let scores = Nn.bmm (part 0 * scale) (Tensor.transpose 1 2 (part 1))
            let scores = Tensor.where isSeen scores (Tensor.full x.Kind [] -1e9)

            let mixed = Nn.joinHeads h (Nn.bmm (Nn.softmax 2 scores) (part 2))

            let x = x + out p mixed
            x + down p (Tensor.gelu (up p (norm2 p x)))

    /// (a, b) of the patch after each of the given ones, [B; n; D] ↦ [B; n; 2D]: (0, 0) before training.
    let private says (b: Blueprint) (s: TarFlow) (patches: int) (size: int) =
        let embed = Layer.linear (b.Inside "embed") size s.Width
        let places = b.Parameter("places", [ patches; s.Width ], Initializer.Normal 0.02)
        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)
        let layers = [ for k in 1 .. s.Depth -> attentionLayer (b.Inside $"layer{k}") s ]
        let norm = layerNorm (b.Inside "norm") s.Width
        let output = Layer.linearFromZero (b.Inside "output") s.Width (2 * size)

        fun (p: Tensor[]) (condition: Condition) (x: Tensor) ->
            let start = embed p x + Tensor.narrow 0 0 x.Shape[1] p[places]

            let start = labels |> Option.fold (fun h embed -> h + Tensor.unsqueeze 1 (embed p condition)) start

            layers |> List.fold (fun h layer -> layer p h) start |> norm p |> output p

    /// z_i = (x_i − b_i) e^(−a_i) with (a_i, b_i) of x_1 … x_{i−1}, and (0, 0) for the first (Zhai et al. 2025, eq. 4–6): one pass to the noise, as many as patches to the data.
    let private block (b: Blueprint) (s: TarFlow) (patches: int) (size: int) : Tensor[] -> Condition -> Bijection =
        let says = says b s patches size
        let scale numbers = FlowLayer.bounded (Tensor.narrow 2 0 size numbers)
        let shift numbers = Tensor.narrow 2 size size numbers

        fun p condition ->
            { ToNoise =
                fun x ->
                    let first = Tensor.narrow 1 0 1 x

                    if patches = 1 then
                        struct (x, Tensor.zeros x.Kind [ x.Shape[0] ])
                    else
                        let numbers = says p condition (Tensor.narrow 1 0 (patches - 1) x)
                        let a = scale numbers
                        let rest = (Tensor.narrow 1 1 (patches - 1) x - shift numbers) * Tensor.exp -a
                        struct (Tensor.cat 1 [ first; rest ], -(Tensor.sumRows a))
              ToData =
                fun z ->
                    let next (struct (x: Tensor, sum: Tensor)) (i: int) =
                        let last = Tensor.narrow 1 (i - 1) 1 (says p condition x)
                        let a = scale last
                        let own = Tensor.narrow 1 i 1 z * Tensor.exp a + shift last
                        struct (Tensor.cat 1 [ x; own ], sum + Tensor.sumRows a)

                    Seq.fold
                        next
                        (struct (Tensor.narrow 1 0 1 z, Tensor.zeros z.Kind [ z.Shape[0] ]))
                        (seq { 1 .. patches - 1 }) }

    /// The flow as a network. Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: TarFlow) : Network =
        for name, value in
            [ "Patch", s.Patch
              "Blocks", s.Blocks
              "Width", s.Width
              "Depth", s.Depth
              "Heads", s.Heads
              "Classes", Option.defaultValue 1 s.Classes ] do
            if value < 1 then
                invalidArg name $"tarflow: {name} = {value}: at least 1"

        if s.Width % s.Heads <> 0 then
            invalidArg "Heads" $"tarflow: a width of {s.Width} does not divide into {s.Heads} heads"

        match s.Shape with
        | [ channels; height; width ] when height % s.Patch = 0 && width % s.Patch = 0 ->
            let rows, columns = height / s.Patch, width / s.Patch
            let patches, size = rows * columns, channels * s.Patch * s.Patch
            let b = Blueprint()
            let blocks = [ for k in 1 .. s.Blocks -> block (b.Inside $"block{k}") s patches size ]

            let fold (x: Tensor) =
                Layer.fold s.Patch x |> Tensor.reshape [ x.Shape[0]; size; patches ] |> Tensor.transpose 1 2

            let unfold (x: Tensor) =
                Tensor.transpose 1 2 x |> Tensor.reshape [ x.Shape[0]; size; rows; columns ] |> Layer.unfold s.Patch

            let turned (x: Tensor) = struct (Tensor.flip [ 1 ] x, Tensor.zeros x.Kind [ x.Shape[0] ])
            let turn = { ToNoise = turned; ToData = turned }

            let make (p: Tensor[]) (condition: Condition) : Bijection =
                let inner =
                    Bijection.chain
                        [ for block in blocks do
                              block p condition
                              turn ]

                let on (direction: Tensor -> struct (Tensor * Tensor)) (x: Tensor) =
                    let struct (y, logDeterminant) = direction (fold x)
                    struct (unfold y, logDeterminant)

                { ToNoise = on inner.ToNoise; ToData = on inner.ToData }

            ExactFlow.ofBijection "tarflow" (settings s) s.Shape s.Classes b.Specs make None
        | shape ->
            let shape = String.Join("; ", shape)
            invalidArg "Shape" $"tarflow: images of [{shape}] and patches of {s.Patch}: sides that are multiples of it"

    // ---- by name

    let private ofRequest (numbers: float list) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole "tarflow" NetworkRole.Bijection ask
        let blocks, patch, heads = int numbers[0], int numbers[1], int numbers[2]

        match ask.Sample with
        | [ _; height; width ] ->
            if height % patch <> 0 || width % patch <> 0 then
                refuse
                    Setting.Network
                    "tarflow"
                    $"the images of {ask.Data} are {height} × {width}: their sides must be multiples of the patch, {patch}"

            NetworkEntry.requireHeads ask.Width heads

            network
                { Shape = ask.Sample
                  Patch = patch
                  Blocks = blocks
                  Width = ask.Width
                  Depth = ask.Depth
                  Heads = heads
                  Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples "tarflow" "images" "spline" ask

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "tarflow"
          Parts =
            [ NetworkEntry.partOf
                  "tarflow"
                  "an exact flow of causal transformers over patches: one pass to the noise, as many as patches to the data; for images"
                  "Zhai et al. 2025, Normalizing flows are capable generative models"
                  [ Parameter.make "blocks" 4.0 (Allowed.Whole 1) "blocks, between which the patches' order turns round"
                    Parameter.make "patch" 4.0 (Allowed.Whole 1) "pixels of a patch's side"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention" ]
                  ofRequest ]
          OfSettings = ofSettings >> network }
