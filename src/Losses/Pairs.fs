namespace Fokker

open System
open System.Collections.Generic

/// Pairs of times that were drawn, [B] float64 each.
[<NoComparison; NoEquality>]
type Jumps =
    {
        /// Where a map begins.
        From: Tensor
        /// A time between: where an identity cuts the way in two.
        Middle: Tensor
        /// Where it leads.
        Until: Tensor
        /// The weight of each pair, of mean 1 over the law where that is a sum; none where all count the same.
        Weight: Tensor option
    }

/// What a law of pairs is drawn on.
[<NoComparison; NoEquality>]
type PairsOn =
    {
        Path: GaussianPath
        /// The noisy and the clean end.
        Ends: float * float
        /// The law of single times, for laws of pairs that are made of one.
        Times: Times
        /// w(ς, ς') of a pair with ς = σ/α at its cleaner time and ς' at its noisier one.
        Weight: (float -> float -> float) option
    }

/// The law that the pairs of times are drawn from at which an identity of a map is to hold.
[<NoComparison; NoEquality>]
type Pairs =
    {
        Name: string
        Equation: string
        Reference: string
        /// Whether it is made of a law of single times.
        UsesTimes: bool
        /// The share of the way between both ends below which a jump counts as an instant: there the map's own velocity u_tt takes its place.
        Finest: float
        /// on ↦ steps made so far ↦ key ↦ n ↦ pairs. What it prepares is kept: give it the first once.
        Draw: PairsOn -> int64 -> Rng -> int -> Jumps
    }

[<RequireQualifiedAccess>]
module Pairs =

    let private make name equation reference draw : Pairs =
        { Name = name
          Equation = equation
          Reference = reference
          UsesTimes = false
          Finest = 0.0
          Draw = draw }

    /// ς = σ/α at a time.
    let private ratio (path: GaussianPath) (t: float) = Math.Exp(-(Curve.eval path.Lambda t))

    let private weighed (on: PairsOn) (clean: Tensor) (noisy: Tensor) : Tensor option =
        on.Weight
        |> Option.map (fun weight ->
            let ratios t = Tensor.toFloats t |> Array.map (ratio on.Path)
            Tensor.ofArray [ int clean.Count ] (Array.map2 weight (ratios clean) (ratios noisy)))

    /// Two independent draws.
    let private twice (arrange: Tensor -> Tensor -> Tensor * Tensor) =
        fun (on: PairsOn) ->
            let draw = on.Times.Draw on.Path

            fun (_: int64) rng n ->
                let from, until = arrange (draw (Rng.named "times" rng) n) (draw (Rng.named "other times" rng) n)
                let share = Rng.uniform Kind.Float64 [ n ] (Rng.named "between" rng)

                { From = from
                  Middle = until + share * (from - until)
                  Until = until
                  Weight = weighed on (Tensor.minimum from until) (Tensor.maximum from until) }

    /// Two draws of a law of times, from the noisier to the cleaner, cut at a uniform place between.
    let ordered: Pairs =
        { make
              "ordered"
              "t > s, two draws; m ~ U(s, t)"
              "Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching"
              (twice (fun one other -> Tensor.maximum one other, Tensor.minimum one other)) with
            UsesTimes = true }

    /// The same in either direction: a map that is to lead from data to noise too.
    let bothWays: Pairs =
        { make
              "both-ways"
              "t and s, two draws; m between"
              "Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching"
              (twice (fun one other -> one, other)) with
            UsesTimes = true }

    /// From a drawn time to the clean end.
    let toData: Pairs =
        { make
              "to-data"
              "t drawn, s the clean end"
              "Lu, Song 2024, Simplifying continuous-time consistency models"
              (fun on ->
                  let draw = on.Times.Draw on.Path

                  fun _ rng n ->
                      let from = draw (Rng.named "times" rng) n

                      { From = from
                        Middle = from
                        Until = Tensor.full Kind.Float64 [ n ] (snd on.Ends)
                        Weight = weighed on (Tensor.full Kind.Float64 [ n ] (snd on.Ends)) from }) with
            UsesTimes = true }

    /// Jumps of a 1, 2, 4, …, 2^(levels−1)-th of the way, each as often as the others, which begin on the grid of their own length and are cut in the
    /// middle; half of the shortest is an instant: 1/2^levels of the way is an Euler step of u_tt.
    let dyadic (levels: int) : Pairs =
        if levels < 1 || levels > 30 then
            invalidArg (nameof levels) $"{levels} levels of jumps: from 1 to 30"

        { make
              "dyadic"
              $"t − s = 2^−k, k = 0 … {levels - 1}, t on the grid of t − s, m the middle"
              "Frans et al. 2024, One step diffusion via shortcut models, section 4"
              (fun on ->
                  let noisy, clean = on.Ends

                  fun _ rng n ->
                      // One level after the other from a drawn one on: as often each as n allows.
                      let first =
                          int (
                              Math.Floor(
                                  float levels * (Rng.uniform Kind.Float64 [] (Rng.named "level" rng)).ToFloat()
                              )
                          )

                      let pairs =
                          Tensor.toFloats (Rng.uniform Kind.Float64 [ n ] (Rng.named "times" rng))
                          |> Array.mapi (fun i u ->
                              let count = float (1 <<< ((first + i) % levels))
                              let at (k: float) = noisy + (k / count) * (clean - noisy)
                              let k = Math.Min(Math.Floor(u * count), count - 1.0)
                              struct (at k, at (k + 0.5), at (k + 1.0)))

                      let column (of': struct (float * float * float) -> float) =
                          Tensor.ofArray [ n ] (Array.map of' pairs)

                      let from = column (fun (struct (t, _, _)) -> t)
                      let until = column (fun (struct (_, _, s)) -> s)

                      { From = from
                        Middle = column (fun (struct (_, m, _)) -> m)
                        Until = until
                        Weight = weighed on until from }) with
            Finest = Math.ScaleB(1.0, -levels) }

    /// Times, weights and the running sum of frequencies of the N − 1 intervals of a grid.
    type private Intervals = { Times: float[]; Weights: float[]; UpTo: float[] }

    /// The ends of the N(k) − 1 intervals of a grid at step k, one drawn as often as `frequency ς ς'` says; what follows is the clean end.
    let neighbours
        name
        equation
        reference
        (grid: Grid)
        (count: int64 -> int)
        (frequency: float -> float -> float)
        : Pairs =
        let intervals (on: PairsOn) (count: int) : Intervals =
            let noisy, clean = on.Ends
            let times = Array.rev (Grid.times grid on.Path (noisy, clean) (max 1 (count - 1)))
            let pairs = Array.pairwise (Array.map (ratio on.Path) times)
            let frequencies = pairs |> Array.map (fun (a, b) -> frequency a b)
            let total = Array.sum frequencies
            let weight = defaultArg on.Weight (fun _ _ -> 1.0)
            let weights = pairs |> Array.map (fun (a, b) -> weight a b)
            // Of mean 1 over the draws: a learning rate then means the same whatever N is.
            let mean = Array.fold2 (fun sum w p -> sum + w * p / total) 0.0 weights frequencies

            { Times = times
              Weights = weights |> Array.map (fun w -> w / mean)
              UpTo = frequencies |> Array.scan (+) 0.0 |> Array.tail |> Array.map (fun s -> s / total) }

        make name equation reference (fun on ->
            let known = Dictionary<int, Intervals>()

            let intervalsOf count =
                lock known (fun () ->
                    match known.TryGetValue count with
                    | true, found -> found
                    | _ ->
                        let made = intervals on count
                        known[count] <- made
                        made)

            fun step rng n ->
                let intervals = intervalsOf (count step)

                let places =
                    Tensor.toFloats (Rng.uniform Kind.Float64 [ n ] (Rng.named "times" rng))
                    |> Array.map (fun u ->
                        let found = Array.BinarySearch(intervals.UpTo, u)
                        Math.Min((if found >= 0 then found + 1 else ~~~found), intervals.Weights.Length - 1))

                let read (offset: int) (table: float[]) =
                    Tensor.ofArray [ n ] (places |> Array.map (fun k -> table[k + offset]))

                { From = read 1 intervals.Times
                  Middle = read 0 intervals.Times
                  Until = Tensor.full Kind.Float64 [ n ] (snd on.Ends)
                  Weight = on.Weight |> Option.map (fun _ -> read 0 intervals.Weights) })

    /// From ς to ς (1 − q^−(j+1) (1 + k/(1 + e^{bς}))), not below the clean end, in stage j = 0, 1, … of so many of a training: the pairs of a trained denoiser at first, whose
    /// second time is the clean end, and nearer ones from stage to stage.
    let easing (q: float) (k: float) (b: float) (stages: int) (steps: int64) : Pairs =
        let stage (step: int64) =
            Math.Min(float (stages - 1), Math.Floor(float step * float stages / float (max 1L steps)))

        { make
              "easing"
              $"ς' ↦ ς = ς' (1 − {q}^−(j+1) (1 + {k}/(1 + e^{{{b} ς'}}))), j = 0 … {stages - 1}"
              "Geng et al. 2024, Consistency models made easy, section 3.2"
              (fun on ->
                  let draw = on.Times.Draw on.Path
                  let noisy, clean = on.Ends
                  let least = ratio on.Path clean

                  fun step rng n ->
                      let near = q ** -(stage step + 1.0)
                      let from = Tensor.toFloats (draw (Rng.named "times" rng) n)

                      let middle =
                          from
                          |> Array.map (fun t ->
                              let sigma = ratio on.Path t
                              let next = sigma * (1.0 - near * (1.0 + k / (1.0 + Math.Exp(b * sigma))))

                              if next <= least then
                                  clean
                              else
                                  Math.Min(t, Curve.inverse (clean, noisy) on.Path.Lambda (-(Math.Log next))))

                      let from, middle = Tensor.ofArray [ n ] from, Tensor.ofArray [ n ] middle

                      { From = from
                        Middle = middle
                        Until = Tensor.full Kind.Float64 [ n ] clean
                        Weight = weighed on middle from }) with
            UsesTimes = true }
