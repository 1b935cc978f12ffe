namespace Fokker

open System
open System.Collections.Concurrent

/// A transformer over patches of an image [B; Channels; H; W] (Peebles, Xie 2023, Scalable diffusion models with transformers).
type Dit =
    {
        Channels: int
        /// Pixels of a patch's side. A side that is no multiple of it is padded with zeros.
        Patch: int
        /// Width of a token, a multiple of the heads.
        Width: int
        /// Blocks of attention and perceptron.
        Depth: int
        Heads: int
        /// How many times it is told: 1, or 2 for a map from one time to another, or a time and a guidance weight.
        Times: int
        /// How many numbers the network gives for each pixel: y is [B; Outputs · Channels; H; W], one output after the other.
        Outputs: int
        /// How many labels there are; None for an unconditional network.
        Classes: int option
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Dit =

    let private settings (s: Dit) =
        [ "channels", string s.Channels
          "patch", string s.Patch
          "width", string s.Width
          "depth", string s.Depth
          "heads", string s.Heads
          yield! NetworkSettings.ofTimes s.Times
          "outputs", string s.Outputs
          "classes", NetworkSettings.ofOptional s.Classes ]

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : Dit =
        let number = NetworkSettings.number settings

        { Channels = number "channels"
          Patch = number "patch"
          Width = number "width"
          Depth = number "depth"
          Heads = number "heads"
          Times = NetworkSettings.times settings
          Outputs = number "outputs"
          Classes = NetworkSettings.optional settings "classes" }

    let private validate (s: Dit) =
        NetworkSettings.requirePositive
            "dit"
            [ "Channels", s.Channels
              "Patch", s.Patch
              "Width", s.Width
              "Depth", s.Depth
              "Heads", s.Heads
              "Times", s.Times
              "Outputs", s.Outputs
              "Classes", Option.defaultValue 1 s.Classes ]

        NetworkSettings.requireHeads "dit" s.Width s.Heads

    /// Where each patch of a grid is, [rows · columns; width] row by row: sines and cosines of its row in one half of the width, of its column in the other, at the
    /// frequencies 10000^{−j/n}, j = 0 … n − 1 with n a quarter of the width; what is left over is 0 (Vaswani et al. 2017, section 3.5; Dosovitskiy et al. 2021). Nothing is
    /// learned of it, so that an image of any size has its places.
    let private places (rows: int) (columns: int) (width: int) : float[] =
        let n = width / 4

        [| for row in 0 .. rows - 1 do
               for column in 0 .. columns - 1 do
                   for place in [ row; column ] do
                       for wave in [ Math.Sin; Math.Cos ] do
                           for j in 0 .. n - 1 do
                               wave (float place * Math.Pow(10000.0, -float j / float n))

                   for _ in 4 * n .. width - 1 do
                       0.0 |]

    /// One token's (shift, scale, gate) for each of so many uses, all 0 before training: [B; w] ↦ as many [B; 1; w].
    let internal modulation (b: Blueprint) (width: int) (count: int) : Tensor[] -> Tensor -> Tensor[] =
        let says = Layer.linearFromZero (b.Inside "modulation") width (count * width)

        fun p told ->
            let all = Tensor.unsqueeze 1 (says p told)
            [| for k in 0 .. count - 1 -> Tensor.narrow 2 (k * width) width all |]

    let internal modulated (shift: Tensor) (scale: Tensor) (x: Tensor) = Nn.standardize 1e-6 x * (scale + 1.0) + shift

    /// x + g₁ attention(m₁(x)), then x + g₂ perceptron(m₂(x)), m(x) = norm(x)·(1 + scale) + shift: shifts, scales and gates are what the time and the class say (adaLN-zero: the
    /// gates are 0 before training, and the block is the identity). Of tokens of a width, with so many heads.
    let internal block (b: Blueprint) (w: int) (heads: int) : Tensor[] -> Tensor -> Tensor -> Tensor =
        Layer.blockTold b (fun b ->
            let says = modulation b w 6
            let project = Layer.linear (b.Inside "qkv") w (3 * w)
            let out = Layer.linear (b.Inside "out") w w
            let up = Layer.linear (b.Inside "up") w (4 * w)
            let down = Layer.linear (b.Inside "down") (4 * w) w

            fun p told x ->
                let m = says p told
                let all = project p (modulated m[0] m[1] x)
                let part k = Tensor.narrow 2 (k * w) w all
                let x = x + m[2] * out p (Nn.multiHead heads (part 0) (part 1) (part 2))
                x + m[5] * down p (Tensor.gelu (up p (modulated m[3] m[4] x))))

    /// Tokens of patches with their places, blocks told the time and the class, and patches again. Its output is 0 before training.
    /// Raises ArgumentException where the settings do not fit together, and in use where labels, times or shapes do not fit.
    let network (s: Dit) : Network =
        validate s
        let b = Blueprint()
        let size = s.Channels * s.Patch * s.Patch
        let frequencies = Embedding.gaussianFrequencies 1.0 64
        let time1 = Layer.linear (b.Inside "time1") (s.Times * 2 * frequencies.Length) s.Width
        let time2 = Layer.linear (b.Inside "time2") s.Width s.Width
        let labels = s.Classes |> Option.map (fun classes -> Layer.labels (b.Inside "label") classes s.Width)
        let embed = Layer.linear (b.Inside "embed") size s.Width
        let blocks = [ for k in 1 .. s.Depth -> block (b.Inside $"block{k}") s.Width s.Heads ]
        let last = modulation (b.Inside "last") s.Width 2
        let output = Layer.linearFromZero (b.Inside "output") s.Width (s.Outputs * size)
        let specs = b.Specs
        let known = ConcurrentDictionary<struct (int * int), float[]>()

        let places (rows: int) (columns: int) (kind: Kind) =
            let values = known.GetOrAdd(struct (rows, columns), fun _ -> places rows columns s.Width)
            (Tensor.ofArray [ 1; rows * columns; s.Width ] values).To kind

        let apply (p: Tensor[]) =
            Network.check "dit" specs p

            fun (condition: Condition) ->
                Network.checkCondition "dit" s.Classes condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput "dit" [ s.Channels; -1; -1 ] s.Times condition t x
                    let told = time2 p (Tensor.silu (time1 p ((Embedding.fourierOf s.Times frequencies t).To x.Kind)))
                    let told = labels |> Option.fold (fun told embed -> told + embed p condition) told
                    // Every block wants its silu: taken once.
                    let told = Tensor.silu told

                    let tokens (x: Tensor) =
                        let x = Layer.fold s.Patch x
                        let batch, rows, columns = x.Shape[0], x.Shape[2], x.Shape[3]

                        let h = embed p (Tensor.transpose 1 2 (Tensor.reshape [ batch; size; -1 ] x))
                        let h = h + places rows columns h.Kind
                        let h = blocks |> List.fold (fun h block -> block p told h) h
                        let m = last p told

                        output p (modulated m[0] m[1] h)
                        |> Tensor.transpose 1 2
                        |> Tensor.reshape [ batch; s.Outputs * size; rows; columns ]
                        |> Layer.unfold s.Patch

                    Layer.padded s.Patch tokens x

        { Name = "dit"
          Settings = settings s
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    // ---- by name

    let private transformer (numbers: float list) (ask: NetworkRequest) : Network =
        NetworkEntry.requireRole "dit" NetworkRole.Field ask
        let patch, depth, heads, width = int numbers[0], int numbers[1], int numbers[2], int numbers[3]

        match ask.Sample with
        | [ channels; _; _ ] ->
            NetworkEntry.requireHeads width heads

            network
                { Channels = channels
                  Patch = patch
                  Width = width
                  Depth = depth
                  Heads = heads
                  Times = ask.Times
                  Outputs = ask.Outputs
                  Classes = ask.Classes }
        | _ -> NetworkEntry.refuseSamples "dit" "images" "mlp" ask

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry =
        { Kind = "dit"
          Parts =
            [ NetworkEntry.partOf
                  "dit"
                  "a transformer over patches that the time and the class modulate (adaLN-zero), for images of any size"
                  "Peebles, Xie 2023, Scalable diffusion models with transformers"
                  [ Parameter.make "patch" 4.0 (Allowed.Whole 1) "pixels of a patch's side"
                    Parameter.make "depth" 6.0 (Allowed.Whole 1) "blocks of attention and perceptron"
                    Parameter.make "heads" 4.0 (Allowed.Whole 1) "heads of attention"
                    Parameter.make "width" 128.0 (Allowed.Whole 1) "width of a token" ]
                  transformer ]
          OfSettings = ofSettings >> network }
