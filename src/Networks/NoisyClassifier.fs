namespace Fokker

open System

/// A classifier of noisy samples, told the time: t, x_t ↦ logits [B; Classes] of p(c | t, x_t).
type NoisyClassifier =
    {
        /// Of a sample: [d] for a vector, [C; H; W] for an image.
        Shape: int list
        Classes: int
        /// Units of the hidden layers; an image's convolutions have a quarter of them and half.
        Width: int
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module NoisyClassifier =

    /// 128 units.
    let standard (shape: int list) (classes: int) : NoisyClassifier = { Shape = shape; Classes = classes; Width = 128 }

    /// The inverse of a network's `Settings`. Raises FormatException or KeyNotFoundException where one is missing or of the wrong kind.
    let ofSettings (settings: Map<string, string>) : NoisyClassifier =
        { Shape = [ for size in settings["shape"].Split ' ' -> int size ]
          Classes = int settings["classes"]
          Width = int settings["width"] }

    /// Features of images: two strided convolutions, each told the time as a shift of its channels. Of vectors: themselves.
    let private features (b: Blueprint) (s: NoisyClassifier) (time: int) =
        match s.Shape with
        | [ channels; height; width ] ->
            let block name inputs outputs =
                let conv = Layer.conv (b.Inside name) 3 2 inputs outputs
                let shift = Layer.linear (b.Inside(name + ".time")) time outputs

                fun (p: Tensor[]) (emb: Tensor) (x: Tensor) ->
                    Tensor.silu (conv p x + Tensor.reshape [ -1; outputs; 1; 1 ] (shift p emb))

            let half n = (n + 1) / 2
            let first = block "conv1" channels (s.Width / 4)
            let second = block "conv2" (s.Width / 4) (s.Width / 2)

            s.Width / 2 * half (half height) * half (half width),
            fun p emb x -> Tensor.flattenRows (second p emb (first p emb x))
        | shape -> List.fold (*) 1 shape, fun _ _ x -> Tensor.flattenRows x

    /// h = features(x_t, t), logits = W₃ silu(W₂ silu(W₁ (h, φ(t)))), W₃ = 0 before training (Dhariwal, Nichol 2021, Diffusion models beat GANs,
    /// section 4, whose classifier is half a U-Net). It is told no labels. Raises ArgumentException where a size is not positive.
    let network (s: NoisyClassifier) : Network =
        for name, value in [ "Classes", s.Classes; "Width", s.Width / 4 ] do
            if value < 1 then
                invalidArg name $"classifier: {name} = {value}: at least 1 class and 4 units"

        let b = Blueprint()
        let frequencies = Embedding.gaussianFrequencies 1.0 16
        let time = 2 * frequencies.Length
        let count, features = features b s time
        let dense1 = Layer.linear (b.Inside "dense1") (count + time) s.Width
        let dense2 = Layer.linear (b.Inside "dense2") s.Width s.Width
        let head = Layer.linearFromZero (b.Inside "head") s.Width s.Classes
        let specs = b.Specs

        let apply (p: Tensor[]) =
            Network.check "classifier" specs p

            fun (condition: Condition) ->
                Network.checkCondition "classifier" None condition

                fun (t: Tensor) (x: Tensor) ->
                    Network.checkInput "classifier" s.Shape 1 condition t x
                    let emb = (Embedding.fourier frequencies t).To x.Kind
                    let h = features p emb x
                    let emb = Tensor.expand [ x.Shape[0]; time ] emb
                    head p (Tensor.silu (dense2 p (Tensor.silu (dense1 p (Tensor.cat 1 [ h; emb ])))))

        { Name = "classifier"
          Settings = [ "shape", String.Join(" ", s.Shape); "classes", string s.Classes; "width", string s.Width ]
          Specs = specs
          Apply = apply
          Uncertainty = None
          Fitted = None
          Dropping = None }

    /// log p(label | t, x_t) [B] of a trained one, for labels int64 [B]: what `Guidance.byClassifier` asks for.
    let logClass (network: Network) (parameters: Tensor[]) : Tensor -> Tensor -> Tensor -> Tensor =
        let logits = network.Apply parameters None
        fun labels t x -> -(Nn.crossEntropy (logits t x) labels)

    /// For each sample of x₀ noised to time t of a path, 1 where the most probable class is its own and 0 elsewhere: [B] float64.
    /// Raises ArgumentException where a batch has no labels.
    let hits
        (path: GaussianPath)
        (network: Network)
        (parameters: Tensor[])
        (t: float)
        (rng: Rng)
        (batch: Batch)
        : Tensor =
        match batch.Label with
        | None -> invalidArg (nameof batch) "a classifier is right about labels: the batch has none"
        | Some labels ->
            let t = Tensor.scalar Kind.Float64 t
            let x = Path.sample path t batch.Data (Rng.normalLike batch.Data (Rng.named "noise" rng))
            (Tensor.equal (Tensor.argmax 1 (network.Apply parameters None t x)) labels).To Dtype.Float64

    /// −log p(c | t, x_t) on samples noised along a path, at t ~ times: its least value is at the posterior of the class, at every t. It is
    /// trained as any network is (`Trainer`, `Run`). Raises ArgumentException where a batch has no labels.
    let loss (path: GaussianPath) (times: Times) : Loss =
        let draw = times.Draw path

        fun context rng batch ->
            match batch.Label with
            | None -> invalidArg (nameof batch) "a classifier learns from labels: the batch has none"
            | Some labels ->
                let t = draw (Rng.named "times" rng) batch.Data.Shape[0]
                let x = Path.sample path t batch.Data (Rng.normalLike batch.Data (Rng.named "noise" rng))
                Nn.crossEntropy (context.Network None t x) labels

    // ---- by name

    /// The network as it is asked for, and read again.
    let entry: NetworkEntry = { Kind = "classifier"; Parts = []; OfSettings = ofSettings >> network }
