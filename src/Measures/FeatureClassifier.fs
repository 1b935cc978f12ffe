namespace Fokker

open System
open System.IO
open System.Security.Cryptography

/// A small convolutional classifier of a data set's images, trained by the toolkit itself. Its use is its features: they
/// see what people see in a picture (shape, sleeve, sole) where pixels see noise, so distances between laws of images are
/// measured on them.
[<NoComparison; ReferenceEquality>]
type FeatureClassifier =
    {
        /// The data set that it was trained on.
        Dataset: string
        /// [C; H; W].
        Shape: int list
        Parameters: Tensor[]
        /// The share of held-out images that it names rightly.
        Accuracy: float
    }

    interface IHoldTensors with
        member c.Visit visit = Array.iter visit c.Parameters

[<RequireQualifiedAccess>]
module FeatureClassifier =

    /// How many features an image has.
    let featureCount = 128

    let private channels = 16, 32
    let private size = 128
    let private epochs = 3

    /// The architecture and its training, for the name of the file that keeps it: a change here must change this.
    let private version = "conv16s2-conv32s2-dense128-adam3"

    let private flat (shape: int list) = snd channels * (shape[1] / 2 / 2) * (shape[2] / 2 / 2)

    /// Uniform within 1/√fan-in (LeCun et al. 1998; PyTorch's default).
    let private specs (shape: int list) (classes: int) : (string * int list * int) list =
        let first, second = channels

        [ "conv1.weight", [ first; shape[0]; 4; 4 ], 16 * shape[0]
          "conv1.bias", [ first ], 16 * shape[0]
          "conv2.weight", [ second; first; 4; 4 ], 16 * first
          "conv2.bias", [ second ], 16 * first
          "dense.weight", [ featureCount; flat shape ], flat shape
          "dense.bias", [ featureCount ], flat shape
          "head.weight", [ classes; featureCount ], featureCount
          "head.bias", [ classes ], featureCount ]

    let private init (shape: int list) (classes: int) (rng: Rng) : Tensor[] =
        [| for name, sizes, fanIn in specs shape classes ->
               (Rng.uniform Kind.Float32 sizes (Rng.named name rng) * 2.0 - 1.0) * (1.0 / Math.Sqrt(float fanIn)) |]

    /// [B; C; H; W] ↦ [B; 128], the dense layer before its ReLU: closer to Gaussian than after it, as a Fréchet distance wants.
    let private hidden (p: Tensor[]) (x: Tensor) =
        // Strides in place of pooling: a third of the time for the same accuracy.
        let block (x: Tensor) w b = Tensor.relu (Nn.conv2d 2 1 x w b)
        let x = block (block x p[0] p[1]) p[2] p[3]
        Nn.linear (Tensor.flattenRows x) p[4] p[5]

    let private logits (p: Tensor[]) (x: Tensor) = Nn.linear (Tensor.relu (hidden p x)) p[6] p[7]

    /// f of all rows of x, so many at a time.
    let private inPieces (f: Tensor -> Tensor) (x: Tensor) =
        Tensor.split 500 0 x |> Array.map (fun part -> Scope.run (fun () -> f part)) |> Tensor.cat 0

    let private check (classifier: FeatureClassifier) (x: Tensor) =
        if x.Rank <> 4 || List.ofArray x.Shape[1..] <> classifier.Shape then
            let shape = String.Join("; ", classifier.Shape)
            raise (TensorException $"classifier of {classifier.Dataset}: {x.Describe()}: [B; {shape}] is needed")

        x.To(Device.Cpu).To Dtype.Float32

    /// The features of images in the network's units: [B; C; H; W] ↦ [B; 128] float32.
    let features (classifier: FeatureClassifier) (x: Tensor) : Tensor =
        let x = check classifier x
        Scope.run (fun () -> inPieces (hidden classifier.Parameters) x)

    /// The class that each image looks most like: int64 [B].
    let classify (classifier: FeatureClassifier) (x: Tensor) : Tensor =
        let x = check classifier x
        Scope.run (fun () -> inPieces (logits classifier.Parameters >> Tensor.argmax 1) x)

    let private refuse (dataset: Dataset) (what: string) =
        raise (
            UserError
                $"{dataset.Name}: {what}, so there is no classifier to take features from: the Fréchet distance needs labelled images of at least 4 × 4 pixels"
        )

    let private tables (dataset: Dataset) =
        match dataset.Content with
        | _ when not dataset.IsImage -> refuse dataset "it is not a set of images"
        | _ when dataset.Shape[1] < 4 || dataset.Shape[2] < 4 -> refuse dataset "its images are too small"
        | Finite({ Labels = Some labels } as train, heldOut) -> train, labels, heldOut
        | _ -> refuse dataset "it has no labels"

    let private classes (labels: Tensor) = int ((Tensor.max labels).ToInt64()) + 1

    /// Trains one: three passes over the data in batches of 128, cross-entropy, Adam with a rate that falls from 2·10⁻³ to 0 along a line.
    /// `progress` is told the steps made and their number. The same seed gives the same classifier on the same machine.
    /// Raises UserError where the data set is not one of labelled images.
    let train (progress: int -> int -> unit) (seed: int64) (dataset: Dataset) : FeatureClassifier =
        let table, labels, _ = tables dataset

        Scope.run (fun () ->
            let rng = Rng.ofSeed seed |> Rng.named "classifier"
            let steps = max 1 (epochs * table.Count / size)
            let optimizer = { Optimizer.adam with Rate = Schedule.Linear(2e-3, 0.0, int64 steps) }
            let batches = Dataset.batches Kind.Float32 size (Rng.named "data" rng) dataset

            let step k (moments: Moments) =
                let batch = batches (int64 k)

                let loss p = Tensor.mean (Nn.crossEntropy (logits p batch.Data) (Option.get batch.Label))

                let gradients = Diff.grads loss moments.Parameters
                let struct (next, _, _) = Optimizer.step optimizer Average.standard (int64 k) gradients moments
                progress (k + 1) steps
                next

            let start = Optimizer.init (init dataset.Shape (classes labels) (Rng.named "init" rng))
            let trained = Seq.fold (fun moments k -> Scope.next (step k) moments) start [ 0 .. steps - 1 ]

            let classifier =
                { Dataset = dataset.Name; Shape = dataset.Shape; Parameters = trained.Parameters; Accuracy = 0.0 }

            let test = Dataset.heldOut Kind.Float32 10_000 (Rng.ofSeed 0L) dataset

            let right = Tensor.equal (classify classifier test.Data) (Option.get test.Label)

            { classifier with Accuracy = (Tensor.mean (right.To Dtype.Float64)).ToFloat() })

    /// Where classifiers are kept: `fokker` in $XDG_CACHE_HOME, or in ~/.cache.
    let cacheFolder () : string =
        match Machine.cache Machine.here with
        | Ok folder -> folder
        | Error reason -> raise (EnvironmentException reason)

    /// A name for these very samples: a file of the same name may hold others tomorrow.
    let private fingerprint (dataset: Dataset) (table: Table) (labels: Tensor) =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let shape = String.Join("; ", table.Count :: table.Shape)
        hash.AppendData(Text.Encoding.UTF8.GetBytes $"[{shape}] {Dtype.name table.Rows.Dtype}")

        if dataset.Augmentation <> Augmentation.None then
            hash.AppendData(Text.Encoding.UTF8.GetBytes $"{dataset.Augmentation}")

        table |> Table.inBlocks (fun rows -> hash.AppendData(Exchange.toBytes rows))
        hash.AppendData(Exchange.toBytes labels)
        (Convert.ToHexStringLower(hash.GetHashAndReset())).Substring(0, 16)

    let private read (file: string) (dataset: Dataset) (classes: int) : FeatureClassifier option =
        if not (File.Exists file) then
            None
        else
            try
                Scope.run (fun () ->
                    let stored = Safetensors.read file
                    let expected = specs dataset.Shape classes

                    let parameters =
                        [| for name, shape, _ in expected do
                               match stored.Tensors.TryFind name with
                               | Some t when t.Shape = Array.ofList shape && t.Dtype = Dtype.Float32 -> t
                               | _ -> () |]

                    match stored.Metadata.TryFind "accuracy" with
                    | Some accuracy when parameters.Length = expected.Length ->
                        Some
                            { Dataset = dataset.Name
                              Shape = dataset.Shape
                              Parameters = parameters
                              Accuracy = Double.Parse(accuracy, Globalization.CultureInfo.InvariantCulture) }
                    | _ -> None)
            with
            // A cache that cannot be read is no cache.
            | :? UserError
            | :? FormatException -> None

    let private write (file: string) (dataset: Dataset) (classes: int) (classifier: FeatureClassifier) =
        try
            IO.Path.GetDirectoryName file
            |> Option.ofObj
            |> Option.iter (fun folder -> Directory.CreateDirectory folder |> ignore)
            let accuracy = classifier.Accuracy.ToString("R", Globalization.CultureInfo.InvariantCulture)
            let names = specs dataset.Shape classes |> List.map (fun (name, _, _) -> name)

            Safetensors.write
                file
                [ "dataset", dataset.Name; "architecture", version; "accuracy", accuracy ]
                (List.zip names (List.ofArray classifier.Parameters))
        with
        // Where nothing can be kept, the classifier is trained again next time; its figures are the same.
        | :? UserError
        | :? IOException
        | :? UnauthorizedAccessException -> ()

    /// The classifier of a data set from `folder`, trained and put there where it is not (about ten seconds for Fashion-MNIST on two idle
    /// cores). One file for each data set, seed and architecture. Raises UserError where the data set is not one of labelled images.
    let cachedIn (folder: string) (progress: int -> int -> unit) (seed: int64) (dataset: Dataset) : FeatureClassifier =
        let table, labels, _ = tables dataset
        let classes = Scope.run (fun () -> classes labels)
        let key = Scope.run (fun () -> fingerprint dataset table labels)
        let file = IO.Path.Combine(folder, $"classifier-{version}-{key}-{seed}.safetensors")

        match read file dataset classes with
        | Some classifier -> classifier
        | None ->
            let classifier = train progress seed dataset
            write file dataset classes classifier
            classifier

    /// As `cachedIn`, in the user's cache folder, for seed 0: the classifier that everybody measures with.
    let cached (progress: int -> int -> unit) (dataset: Dataset) : FeatureClassifier =
        cachedIn (cacheFolder ()) progress 0L dataset

    /// The Fréchet distance on this classifier's features as it is at the size of the samples, with its bias (`Wasserstein.frechet`): for sets that are too
    /// small to be extrapolated from, beside a floor of the same size.
    let frechetOfSize (classifier: FeatureClassifier) : Measure =
        { Name = "frechet"
          Equation = "‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) on 128 features"
          Reference = $"Heusel et al. 2017, with the features of a classifier of {classifier.Dataset}"
          Better = Better.Lower
          FloorIsKnown = false
          Between = fun _ x y -> Wasserstein.frechet (features classifier x) (features classifier y) }

    /// The Fréchet distance between features [n; d] of this classifier, without its bias in the sample size (`Wasserstein.frechetUnbiased`). Figures compare only where
    /// the classifier is the same.
    let frechetOfFeatures (classifier: FeatureClassifier) : Measure =
        { Name = "frechet"
          Equation = "‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) on 128 features, extrapolated to n = ∞"
          Reference =
            $"Heusel et al. 2017; Chong, Forsyth 2020, with the features of a classifier of {classifier.Dataset}"
          Better = Better.Lower
          FloorIsKnown = true
          Between = fun _ x y -> Wasserstein.frechetUnbiased x y }

    /// The same between images.
    let frechet (classifier: FeatureClassifier) : Measure =
        let measure = frechetOfFeatures classifier
        let seen = features classifier
        { measure with Between = fun rng x y -> measure.Between rng (seen x) (seen y) }

    /// All that is measured on this classifier's features.
    let measures (classifier: FeatureClassifier) : Measure list = frechetOfFeatures classifier :: FeatureMeasures.all
