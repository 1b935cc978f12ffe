namespace Fokker

/// What is remembered of a training, for people and to know its data again. Nothing that a model does depends on it.
type TrainingRecord =
    {
        /// The data set, by its name.
        Data: string
        /// `Dataset.digest` of it; none for a law.
        Digest: string option
        Loss: string
        /// Steps that were made.
        Steps: int64
        Seed: int64
        /// The version of Fokker that made it.
        Version: string
    }

/// A network with its parameters and everything that its numbers mean: enough for samples, densities and latents, without the data set, the recipe or the
/// folder that it comes from.
[<NoComparison; NoEquality>]
type TrainedNetwork =
    {
        Network: Network
        Parameters: Tensor[]
        Path: GaussianPath
        Output: NetworkOutput
        /// The shape of a sample: [d], or [C; H; W].
        Shape: int list
        /// The names of the classes that labels number; empty where there are none.
        Classes: string list
        /// How the data's units and the network's are related.
        Units: Units
        /// The autoencoder whose latents the network learned, with what it needs of it; none for the data themselves.
        Latent: LatentSpace option
        /// What the coordinates of a sample stand for, where it is a row of a table whose columns were said; empty elsewhere.
        Columns: Column list
        /// The lowest and the highest value that a picture shows, of images, in the data's units.
        Range: (float * float) option
        /// Whether the network is told the class.
        Labels: bool
        /// What the network is told of a sample in numbers; none where it is told a class or nothing.
        Given: Given option
        /// Whether it knows what no class looks like, or nothing told: the null of classifier-free guidance.
        Null: bool
        /// The law of x₁ at the noisy end, with units of its own; none for σ(1)·ε.
        Source: Dataset option
        /// The times of the steps of DDIM that it was distilled for, falling, 0 for the data; empty where it is for any.
        Times: float list
        /// What the network computes in.
        Kind: Kind
        Training: TrainingRecord
    }

    interface IHoldTensors with
        member t.Visit visit =
            Array.iter visit t.Parameters
            t.Latent |> Option.iter (fun space -> (space :> IHoldTensors).Visit visit)
            t.Source |> Option.iter (fun source -> (source :> IHoldTensors).Visit visit)
