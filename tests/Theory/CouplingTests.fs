/// Couplings of a batch: each named one against what its equation says of its pairs.
module Fokker.Tests.Theory.CouplingTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private key = Rng.ofSeed 51L

let private clouds n d =
    Rng.normal Kind.Float64 [ n; d ] (Rng.named "data" key) * 0.8 + 0.3,
    Rng.normal Kind.Float64 [ n; d ] (Rng.named "source" key)

let private uniform n = Tensor.full Kind.Float64 [ n ] (1.0 / float n)
let private tight: Sinkhorn.Settings = { Tolerance = 1e-12; Iterations = 20_000 }

/// How often each pair of places is drawn over many keys, [n; n], summing to one.
let private frequencies (coupling: Coupling) (x0: Tensor) (x1: Tensor) (draws: int) =
    let n = x0.Shape[0]
    let counts = Array2D.zeroCreate n n

    for k in 1..draws do
        let struct (i, j) = coupling.Pair (Rng.at (int64 k) key) x0 x1

        for i, j in Seq.zip (Tensor.toArray<int64> i) (Tensor.toArray<int64> j) do
            counts[int i, int j] <- counts[int i, int j] + 1.0

    Array2D.map (fun count -> count / float (draws * n)) counts

/// The law of the pairs that each named coupling states, as a matrix [n; n]; a coupling without one here fails the test that looks it up.
let private stated (name: string) (x0: Tensor) (x1: Tensor) : float[,] =
    let n = x0.Shape[0]
    let cost = Wasserstein.squaredDistances x0 x1

    let matrix (weights: Tensor) =
        let w = Tensor.toFloats weights
        let total = Array.sum w
        Array2D.init n n (fun i j -> w[i * n + j] / total)

    match name with
    | "independent" -> Array2D.init n n (fun i j -> if i = j then 1.0 / float n else 0.0)
    | "ot" ->
        let columns = Tensor.toArray<int64> (Assignment.solve cost).Columns
        Array2D.init n n (fun i j -> if columns[i] = int64 j then 1.0 / float n else 0.0)
    | "sinkhorn" -> matrix (Sinkhorn.balanced tight 1.0 (uniform n) (uniform n) cost).Weights
    | "unbalanced" ->
        matrix (Sinkhorn.unbalanced tight 0.3 1.0 (uniform n) (uniform n) (cost / Tensor.mean cost)).Weights
    | other -> failwith $"the coupling {other} is held to nothing: give the law of its pairs here"

let names = Coupling.parts |> List.map (fun part -> part.Name)

// ---- pairs under conditions

let private classes n = Rng.integers 3L [ n ] (Rng.named "classes" key)

let private differ (labels: Tensor) =
    let column = (Tensor.unsqueeze 1 labels).To Dtype.Float64
    (abs (column - Tensor.transpose 0 1 column) |> Tensor.greaterThan 0.5).To Dtype.Float64

let private fixedAt w : Tensor -> Tensor -> float = fun _ _ -> w

let private columnsOf (coupling: Coupling) x0 x1 =
    let struct (_, j) = coupling.Pair key x0 x1
    Tensor.toArray<int64> j

[<Tests>]
let tests =
    testList
        "Theory.Coupling"
        [ testTheory "pairs are drawn by the plan that a coupling states" names
          <| fun (name: string) ->
              let part = Coupling.parts |> List.find (fun part -> part.Name = name)

              // ε at which a batch's hundred sweeps converge.
              let coupling =
                  match name with
                  | "sinkhorn" -> part.Make [ 1.0 ]
                  | "unbalanced" -> part.Make [ 0.3; 1.0 ]
                  | _ -> Part.standard part

              let x0, x1 = clouds 4 2
              let draws = 400
              let found, wanted = frequencies coupling x0 x1 draws, stated name x0 x1

              for i in 0..3 do
                  for j in 0..3 do
                      let p = wanted[i, j]
                      // Five standard deviations of a mean of so many draws, and what a batch's plan is converged to.
                      let allowed = 5.0 * sqrt (p / float (4 * draws)) + 2e-3
                      Expect.within allowed (found[i, j]) p $"{i}, {j}"

          // At the least of the unbalanced cost each side's mass is its own times e^{−f/ρ}: a point whose potential is high is met less often.
          testCase "the mass of an unbalanced plan follows its potentials"
          <| fun () ->
              for epsilon, rho in [ 0.05, 1.0; 0.2, 0.3; 0.1, 10.0 ] do
                  let x0, x1 = clouds 12 3
                  let cost = Wasserstein.squaredDistances x0 x1
                  let plan = Sinkhorn.unbalanced tight epsilon rho (uniform 12) (uniform 12) (cost / Tensor.mean cost)
                  let off dim (potential: Tensor) =
                      (Tensor.max (
                          abs (Tensor.sumOver [ dim ] plan.Weights / (uniform 12 * exp (-potential / rho)) - 1.0)
                      ))
                          .ToFloat()

                  // The iteration ends where f moves by less than 1e-12 ε a sweep.
                  Expect.isLessThan (off 1 plan.F) 1e-8 ""
                  Expect.isLessThan (off 0 plan.G) 1e-8 ""

          // Half of the data spread half as wide as the other half: neither may vanish, in any dimension and units.
          testCase "an unbalanced coupling uses the data in every dimension"
          <| fun () ->
              for d in [ 1; 4; 64; 784 ] do
                  let half name = Rng.normal Kind.Float64 [ 64; d ] (Rng.named name key)
                  let x0 = Tensor.cat 0 [ 0.5 * half "low"; half "high" ]
                  let x1 = Rng.normal Kind.Float64 [ 128; d ] (Rng.named "source" key)
                  let pairs scale =
                      let struct (i, j) = (Coupling.unbalanced 0.05 1.0).Pair key (scale * x0) (scale * x1)
                      Tensor.toArray<int64> i, Tensor.toArray<int64> j

                  let rows, columns = pairs 1.0
                  // Of 128 draws from 128 equal places 81 are different, with a deviation of 4.
                  Expect.isGreaterThan ((Array.distinct rows).Length) 61 $"{d}"
                  let wide = rows |> Array.averageBy (fun k -> if k >= 64L then 1.0 else 0.0)
                  // Its points are dearer: their share by the plan is from 0.40 in 784 dimensions to 0.51 in one, of 128 draws ± 0.13 (three deviations).
                  Expect.between 0.25 0.65 wide $"{d}"
                  let rows', columns' = pairs 16.0
                  Expect.equal rows' rows ""
                  Expect.equal columns' columns ""

          testCase "C²OT pairs no classes at a large weight, and as the optimal plan at none"
          <| fun () ->
              let n = 60
              let x0, x1 = clouds n 2
              let labels = classes n
              let of' = Tensor.toArray<int64> labels
              let heavy = columnsOf (Coupling.conditional (fixedAt 1e6) (differ labels)) x0 x1
              Expect.isTrue (Array.forall2 (fun j c -> of'[int j] = c) heavy of') ""
              let light = columnsOf (Coupling.conditional (fixedAt 0.0) (differ labels)) x0 x1
              Expect.equal light (columnsOf Coupling.exact x0 x1) ""
              // At a large weight it is the plan of each class by itself.
              let struct (i, j) = (Coupling.withinClasses labels Coupling.exact).Pair key x0 x1
              let cost i j =
                  (Tensor.sum (Tensor.square (Tensor.indexSelect 0 i x0 - Tensor.indexSelect 0 j x1))).ToFloat()
              let own = Tensor.range Kind.Int64 0 n
              Expect.within 1e-9 (cost own (Tensor.ofArray [ n ] heavy)) (cost i j) ""
              Expect.isGreaterThan (cost i j) (cost own (Tensor.ofArray [ n ] light)) ""

          testCase "the weight of a share is the one at which that share of pairs is preferred"
          <| fun () ->
              let n = 80
              let x0, x1 = clouds n 2
              let cost = Wasserstein.squaredDistances x0 x1
              let c = Tensor.narrow 1 0 1 x0
              let apart = Wasserstein.squaredDistances c c
              let entry (m: Tensor) = let v = Tensor.toFloats m in fun i j -> v[i * n + j]
              let cost', apart' = entry cost, entry apart

              let preferred w =
                  [ for i in 0 .. n - 1 do
                        for j in 0 .. n - 1 -> if cost' i j + w * apart' i j <= cost' i i then 1.0 else 0.0 ]
                  |> List.average

              for share in [ 0.02; 0.05; 0.2 ] do
                  let w = Coupling.weightOfShare share cost apart
                  Expect.isGreaterThan w 0.0 ""
                  // One pair of 6,400 leaves at a time.
                  Expect.within (1.5 / float (n * n)) (preferred (w * (1.0 - 1e-9))) share ""
                  Expect.isLessThanOrEqual (preferred (w * 1.001)) (preferred w) ""

              // More than are ever preferred: conditions count for nothing. Equal conditions only: for all they can.
              Expect.equal (Coupling.weightOfShare 0.9 cost apart) 0 ""
              Expect.equal (Coupling.weightOfShare 0.05 cost (Tensor.zerosLike apart)) 1e8 ""

              for share in [ 0.0; 1.0; nan ] do
                  raised<ArgumentException>(fun () -> Coupling.weightOfShare share cost apart |> ignore) |> ignore ]
