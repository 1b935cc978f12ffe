namespace Fokker.Experiments

open Fokker

/// Eight Gaussians to moons, with a condition and without, as Cheng and Schwing 2025 have them (The curse of conditions, section 4.1, and their code): Gaussians at radius 5, of
/// variance √0.1 (0.1 is what the code's root is taken of, and the root is passed as a covariance), moons of points spaced evenly along their arcs, shifted along the diagonal by
/// a uniform up to 0.2, times 3 less 1. The condition is the moon, or the first coordinate. Pairs come from batches of 1,024, in four steps of 256; Adam at 3·10⁻⁴; distances are squared.
module internal EightToMoons =

    type Outcome =
        {
            Condition: string
            Pairs: string
            /// W₂² after one Euler step and along the converged flow, for each seed.
            Euler: float list
            Converged: float list
            Seconds: float list
        }

    /// The outcomes, and W₂² between two sets of moons.
    type Results = { Outcomes: Outcome list; Floor: float }

    let eight: Rng -> int -> Tensor = PlaneFlow.eight 5.0 (sqrt (sqrt 0.1))

    /// n points and their moons, −1 and 1, in random order: the published batches have one moon before the other.
    let moons (rng: Rng) (n: int) : Tensor * Tensor =
        let x, moon = PlaneFlow.arcs n
        let x = 3.0 * (x + 0.2 * Rng.uniform Kind.Float64 [ n; 1 ] (Rng.named "noise" rng)) - 1.0
        let order = Rng.permutation n (Rng.named "order" rng)
        Tensor.indexSelect 0 order x, Tensor.indexSelect 0 order (2.0 * moon - 1.0)

    let private planned, batch = 1024, 256

    /// A condition c [n; 1] of points and their moons, how far apart two are as a matrix, and its weight in C²OT's cost.
    type private Conditioning =
        { Name: string
          Of: Tensor -> Tensor -> Tensor
          Apart: Tensor -> Tensor
          Weight: Tensor -> Tensor -> float }

    let private column (x: Tensor) = Tensor.reshape [ -1; 1 ] x

    let private byMoon =
        { Name = "moon"
          Of = fun _ moon -> column moon
          // 1 − cos of the angle between −1 and 1.
          Apart = fun c -> 1.0 - Linalg.matmul c (Tensor.transpose 0 1 c)
          Weight = fun _ _ -> 1e6 }

    let private byCoordinate =
        { Name = "first coordinate"
          Of = fun x _ -> Tensor.narrow 1 0 1 x
          Apart = fun c -> Wasserstein.squaredDistances c c
          Weight = Coupling.weightOfShare 0.05 }

    let private pairings =
        [ None, "independent"
          None, "OT"
          Some byMoon, "independent"
          Some byMoon, "OT"
          Some byMoon, "C²OT"
          Some byCoordinate, "independent"
          Some byCoordinate, "OT"
          Some byCoordinate, "C²OT" ]

    let private nameOf = Option.map _.Name >> Option.defaultValue "none"

    /// What the paper prints: one Euler step's where there is no condition, its own table's where there is one.
    let published (condition: string) (pairs: string) =
        match condition, pairs with
        | "none", "independent" -> "6.232 ± 0.186, adaptive 0.120"
        | "none", "OT" -> "0.072 ± 0.025, adaptive 0.050"
        | "moon", "independent" -> "2.573"
        | "moon", "OT" -> "0.483"
        | "moon", "C²OT" -> "0.048 ± 0.010"
        | "first coordinate", "independent" -> "0.732"
        | "first coordinate", "OT" -> "8.276"
        | "first coordinate", "C²OT" -> "0.077"
        | _ -> ""

    let private coupling (conditioning: Conditioning option) (pairs: string) (c: Tensor option) : Coupling =
        match pairs, conditioning, c with
        | "OT", _, _ -> Coupling.exact
        | "C²OT", Some conditioning, Some c -> Coupling.conditional conditioning.Weight (conditioning.Apart c)
        | _ -> Coupling.independent

    /// (x, c) side by side.
    let private beside (x: Tensor) (c: Tensor option) =
        match c with
        | Some c -> Tensor.cat 1 [ x; c ]
        | None -> x

    /// ‖v(t, x_t, c) − (x₁ − x₀)‖² on the line between the points of a pair, c with the data.
    let private loss: Loss =
        fun context rng batch ->
            let x0, x1 = Tensor.narrow 1 0 2 batch.Data, batch.Source.Value
            let t = PlaneFlow.uniform.Draw Path.condOT rng x0.Shape[0]
            let x = Interpolant.sample Interpolant.linear t x0 x1 x0
            let width = batch.Data.Shape[1] - 2
            let c = if width = 0 then None else Some(Tensor.narrow 1 2 width batch.Data)
            Tensor.meanRows (Tensor.square (context.Network None t (beside x c) - (x1 - x0)))

    let private outcome (steps: int64) (points: int) (conditioning, pairs) (seed: int) : float[] =
        Scope.run (fun () ->
            let key = Rng.ofSeed (int64 seed)

            let draw (rng: Rng) (n: int) =
                let x0, moon = moons (Rng.named "moons" rng) n
                x0, eight (Rng.named "eight" rng) n, conditioning |> Option.map (fun (c: Conditioning) -> c.Of x0 moon)

            // The plan of four steps, kept for the other three as numbers: tensors would go with the step that made them.
            let mutable kept = -1L, [||], [||]
            let parts = int64 (planned / batch)
            let width = if Option.isSome conditioning then 3 else 2

            let pairsOf (step: int64) : Batch =
                let round, place = step / parts, int (step % parts)
                let known, _, _ = kept

                if known <> round then
                    let rng = Rng.at round (Rng.named "batches" key)
                    let x0, x1, c = draw rng planned
                    let struct (i, j) = (coupling conditioning pairs c).Pair rng x0 x1

                    let pick index (x: Tensor) =
                        Tensor.toArray<float32>((Tensor.indexSelect 0 index x).To Kind.Float32)

                    kept <- round, pick i (beside x0 c), pick j x1

                let _, data, source = kept
                let rows width (numbers: float32[]) =
                    Tensor.ofArray [ batch; width ] numbers[place * batch * width .. (place + 1) * batch * width - 1]

                { Data = rows width data; Label = None; Source = Some(rows 2 source) }

            let network = PlaneFlow.residual (if conditioning.IsSome then 1 else 0)
            let state, seconds = PlaneFlow.train (PlaneFlow.plain 3e-4 0.0) network loss pairsOf steps key
            let x0, x1, c = draw (Rng.named "test" key) points
            let c = c |> Option.map _.To(Dtype.Float32)
            let field = network.Apply state.Average None
            let velocity: Field = fun t x -> field t (beside x c)
            let squared tableau count = Wasserstein.exact (PlaneFlow.follow tableau count velocity x1) x0 ** 2.0
            [| squared Tableau.euler 1; squared Tableau.dormandPrince 12; seconds |])

    /// Seeds from 0, each training shared out among the processes.
    let outcomes (ranks: IRanks) (seeds: int) (steps: int64) (points: int) (report: float -> string -> unit) : Results =
        let name (conditioning, pairs) = $"{nameOf conditioning}, {pairs}"

        let found = Study.sharedSeeds ranks report 3 name [ 0 .. seeds - 1 ] (outcome steps points) pairings

        let outcomes =
            List.map2
                (fun (conditioning, pairs) own ->
                    let figure k = own |> List.map (Array.item k)

                    { Condition = nameOf conditioning
                      Pairs = pairs
                      Euler = figure 0
                      Converged = figure 1
                      Seconds = figure 2 })
                pairings
                found

        let floor =
            Scope.run (fun () ->
                let side name = fst (moons (Rng.named name (Rng.ofSeed 2000L)) points)
                Wasserstein.exact (side "a") (side "b") ** 2.0)

        { Outcomes = outcomes; Floor = floor }
