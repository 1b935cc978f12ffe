namespace Fokker.Experiments

open Fokker
open Fokker.Tool

/// The Fréchet distance of samples from held-out images, on the features of a classifier of the images' classes.
module FeatureDistance =

    /// The classifier that everybody measures with, trained at its first use.
    let classifier (terminal: Terminal) (data: Dataset) : FeatureClassifier =
        Progress.run terminal "classifier" 1.0 (fun report ->
            FeatureClassifier.cached (fun made all -> report (float made / float all) "") data)

    /// Pairs of sets that a distance is a mean over.
    let draws = 10

    /// The mean over pairs of sets of so many, those of the samples x (in the network's units) chosen at random from all, as `fokker
    /// evaluate` has it. Its bias depends on the size: distances compare where that is the same.
    let between (size: int) (classifier: FeatureClassifier) (data: Dataset) (rng: Rng) (x: Tensor) : Estimate =
        let measure = FeatureClassifier.frechetOfSize classifier

        Measure.overDraws draws (fun k ->
            let rng = Rng.at (int64 k) rng
            let order = Rng.permutation x.Shape[0] (Rng.named "pool" rng)
            let chosen = Tensor.indexSelect 0 (Tensor.narrow 0 0 size order) x
            measure.Between rng chosen (Dataset.heldOut Kind.Float32 size rng data).Data)

    /// What two sets of held-out data measure against each other.
    let floor (size: int) (classifier: FeatureClassifier) (data: Dataset) (rng: Rng) : Estimate =
        let measure = FeatureClassifier.frechetOfSize classifier

        Measure.overDraws draws (fun k ->
            let rng = Rng.at (int64 k) rng
            let halves = Tensor.split size 0 (Dataset.heldOut Kind.Float32 (2 * size) rng data).Data
            measure.Between rng halves[0] halves[1])
