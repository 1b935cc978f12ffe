namespace Fokker.Experiments

open Fokker

/// Distances of samples beside what two sets of the data themselves are apart.
[<RequireQualifiedAccess>]
module OverFloor =

    /// What a measure is of a data set's own samples, two sets of `size` each time, over twice `draws` pairs.
    let floor (measure: Measure) (data: Dataset) (draws: int) (size: int) (name: string) : float =
        let rng = Rng.ofSeed 0L |> Rng.named name
        (Measure.floor (2 * draws) rng (fun rng -> Evaluations.heldOut data rng size) measure).Mean

    /// What it is between the samples drawn [draws · size; …], `size` at a time, and as many held-out ones each time; `rng` is the stream that those come from.
    let between (measure: Measure) (data: Dataset) (draws: int) (size: int) (rng: Rng) (drawn: Tensor) : float =
        (Measure.overDraws draws (fun k ->
            let rng = Rng.at (int64 k) rng
            let own = Tensor.narrow 0 (k * size) size drawn
            measure.Between (Rng.named "measure" rng) own (Evaluations.heldOut data rng size)))
            .Mean

    /// W₂ of a model's samples, as it draws them by itself, over its floor: `count` samples in `draws` sets.
    let wasserstein2 (data: Dataset) (draws: int) (count: int) (model: GenerativeModel) : float =
        let size = max 8 (count / draws)
        let measure = Measures.wasserstein2

        Scope.run (fun () ->
            let drawing = Samples.standardFor model
            let drawn = Samples.draw model drawing (model.Stream "samples") (draws * size) (fun _ _ -> ())

            between measure data draws size (model.Stream "measured") drawn
            / floor measure data draws size "over-floor")
