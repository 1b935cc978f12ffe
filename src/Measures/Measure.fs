namespace Fokker

/// Where the measure of a sampler that errs lies from that of two sets of the data.
[<RequireQualifiedAccess>]
type Better =
    /// Above it, as distances do.
    | Lower
    /// Below it, as shares of what is right do.
    | Higher
    /// On either side.
    | Nearer

/// A distance between the laws of two samples, x [n; …] and y [m; …].
[<NoComparison; NoEquality>]
type Measure =
    {
        /// As the command line and its JSON have it.
        Name: string
        Equation: string
        Reference: string
        Better: Better
        /// Whether what equal laws score is known but for chance: 0 of a distance without bias, ½ of a classifier. A ratio to it means nothing.
        FloorIsKnown: bool
        /// The key serves measures that draw projections; the others do not look at it.
        Between: Rng -> Tensor -> Tensor -> float
    }

[<RequireQualifiedAccess>]
module Measure =

    /// Mean and standard error of `draw 0 … draw (count − 1)`, each in a scope of its own. One draw of a perfect sampler
    /// exceeds any tight bound now and then; a mean over draws, beside its standard error, does not.
    let overDraws (count: int) (draw: int -> float) : Estimate =
        if count < 1 then
            invalidArg (nameof count) $"{count} draws: at least 1"

        Estimate.ofDraws (Array.init count (fun k -> Scope.run (fun () -> draw k)))

    /// The measure between `count` pairs of samples: pair k draws both of its sides from the stream k of `rng`.
    let over (count: int) (rng: Rng) (left: Rng -> Tensor) (right: Rng -> Tensor) (measure: Measure) : Estimate =
        overDraws count (fun k ->
            let rng = Rng.at (int64 k) rng
            measure.Between (Rng.named "measure" rng) (left (Rng.named "left" rng)) (right (Rng.named "right" rng)))

    /// The noise floor: the measure between two independent samples of the same law, what a perfect sampler would score.
    let floor (count: int) (rng: Rng) (sample: Rng -> Tensor) (measure: Measure) : Estimate =
        over count rng sample sample measure
