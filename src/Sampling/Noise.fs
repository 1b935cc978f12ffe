namespace Fokker

open System

/// A Brownian motion W on [0, 1] as a value: every row of a batch has a path of its own, the same one whatever the times that it is
/// asked at and however the batch is cut (Lévy's construction: W at the middle of an interval given its ends).
[<Struct; NoComparison>]
type Brownian = { Rng: Rng }

[<RequireQualifiedAccess>]
module Brownian =

    /// Intervals of 2⁻²⁶: below them the path is a straight line.
    let private depth = 26

    let ofKey (rng: Rng) : Brownian = { Rng = rng }

    /// W(t), in the shape of x [B; …], float64. Raises ArgumentException where t is not in [0, 1].
    let at (x: Tensor) (t: float) (motion: Brownian) : Tensor =
        if not (t >= 0.0 && t <= 1.0) then
            invalidArg (nameof t) $"time {t}: the path is on [0, 1]"

        let draw (node: int64) = Rng.normalLike x (Rng.at node motion.Rng)

        // Node 1 is the whole interval; nodes 2k and 2k + 1 are the halves of node k. Node 0 is W(1).
        let rec descend level (node: int64) (first: float) (length: float) (left: Tensor) (right: Tensor) =
            let place = (t - first) / length

            if level = depth || place = 0.0 || place = 1.0 then
                (1.0 - place) * left + place * right
            else
                let middle = 0.5 * (left + right) + (0.5 * Math.Sqrt length) * draw node
                let half = 0.5 * length

                if place < 0.5 then
                    descend (level + 1) (2L * node) first half left middle
                else
                    descend (level + 1) (2L * node + 1L) (first + half) half middle right

        Scope.run (fun () -> descend 0 1L 0.0 1.0 (Tensor.zerosLike x) (draw 0L))

    /// (W(t) − W(s))/√|t − s|: standard normal.
    let increment (x: Tensor) (s: float) (t: float) (motion: Brownian) : Tensor =
        Scope.run (fun () -> (at x t motion - at x s motion) / Math.Sqrt(abs (t - s)))

/// Where the standard normal numbers of stochastic steps come from.
[<NoComparison; NoEquality>]
type Noise =
    private
    | Fresh of Rng
    | Along of Brownian
    | Given of draws: Tensor * per: int
    | Scaled of float * Noise
    | Part of first: int * per: int * Noise

[<RequireQualifiedAccess>]
module Noise =

    /// New numbers in every step. Row i of a step depends on the key, the step and i only.
    let fresh (rng: Rng) : Noise = Fresh(Rng.named "noise" rng)

    /// The increments of one Brownian motion in t: with another number of steps the sample is the same path, seen at other times.
    let along (motion: Brownian) : Noise = Along motion

    /// Given numbers [draws; B; …], used in the order in which they are asked for: those of the first step first.
    let given (draws: Tensor) : Noise = Given(draws, 1)

    /// The numbers of another noise times a factor: s_noise, a little over 1 where a trained network takes off too much of what is put in
    /// (Karras et al. 2022, EDM, section 4).
    let scaled (factor: float) (noise: Noise) : Noise = if factor = 1.0 then noise else Scaled(factor, noise)

    /// The numbers of rows `first` … `first + n − 1`, for a batch that is a part of the whole.
    let rec rows (first: int) (n: int) (noise: Noise) : Noise =
        match noise with
        | Scaled(factor, noise) -> Scaled(factor, rows first n noise)
        | Part(place, per, noise) -> Part(place, per, rows first n noise)
        | Fresh rng -> Fresh(Rng.rows (int64 first) rng)
        | Along motion -> Along { motion with Rng = Rng.rows (int64 first) motion.Rng }
        | Given(draws, per) -> Given(Tensor.narrow 1 first n draws, per)

    /// The numbers for a part of steps that take `per` draws each, of which the part takes the first.
    let rec every (per: int) (noise: Noise) : Noise =
        match noise with
        | Scaled(factor, noise) -> Scaled(factor, every per noise)
        | Part(place, several, noise) -> Part(place, max per several, noise)
        | Given(draws, _) -> Given(draws, per)
        | other -> other

    /// The numbers for a part of steps that take `per` draws each, which begins with draw `first` of them.
    let part (first: int) (per: int) (noise: Noise) : Noise = Part(first, per, noise)

    /// Draw k of the `per` draws of step `step`, of what happens from time s to t, like x [B; …]. What is added at one time, s = t, is not of a motion, and
    /// drawn afresh along it. Raises ArgumentException where given draws have run out or are not of x's shape.
    let rec draw (noise: Noise) (step: int) (s: float, t: float) (k: int, per: int) (x: Tensor) : Tensor =
        match noise with
        | Scaled(factor, noise) -> factor * draw noise step (s, t) (k, per) x
        | Part(first, several, noise) -> draw noise step (s, t) (first + k, several) x
        | Fresh rng ->
            let own = Rng.at (int64 step) (Rng.named "step" rng)
            Rng.normalLike x (if k = 0 then own else Rng.at (int64 k) own)
        | Along motion when s <> t -> Brownian.increment x s t motion
        | Along motion ->
            Rng.normalLike x (motion.Rng |> Rng.named "corrector" |> Rng.at (int64 step) |> Rng.at (int64 k))
        | Given(draws, several) ->
            let per = max per several
            let place = step * per + k

            if place >= draws.Shape[0] then
                invalidArg
                    (nameof noise)
                    $"draw {place + 1} is needed, {draws.Shape[0]} were given: {per} a step, step {step + 1}"

            let z = Tensor.select 0 place draws

            if z.Shape <> x.Shape then
                invalidArg (nameof noise) $"draws are {z.Describe()} each, the state is {x.Describe()}"

            z.To x.Kind
