module Fokker.Tests.Theory.AssignmentTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

/// Costs of several kinds: generic, geometric, with a price between classes, with many ties, of very different scales, constant.
let private costs (rng: Rng) (n: int) (m: int) =
    let uniform = Rng.uniform Kind.Float64 [ n; m ] rng

    [ "uniform", uniform
      "geometric",
      Wasserstein.squaredDistances
          (Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "x" rng))
          (Rng.normal Kind.Float64 [ m; 2 ] (Rng.named "y" rng) + 3.0)
      "classes",
      // A large price between classes, as C²OT has it.
      (let points count name = Rng.normal Kind.Float64 [ count; 2 ] (Rng.named name rng)
       let parity count = Tensor.reshape [ -1; 1 ] (2.0 * cos (Tensor.range Kind.Float64 0 count * System.Math.PI))
       let other = Wasserstein.squaredDistances (parity n) (parity m)
       Wasserstein.squaredDistances (points n "x") (points m "y") + 1e6 * other)
      "ties", floor (uniform * 4.0)
      "negative", floor (uniform * 100.0) - 50.0
      "scales", exp (uniform * 40.0 - 20.0)
      "constant", Tensor.full Kind.Float64 [ n; m ] 7.0 ]

let private sizes (seed: int) low high =
    let at name =
        (Rng.integers (int64 (high - low + 1)) [ 1 ] (Rng.named name (Rng.ofSeed (int64 seed)))).ToInt64()
        |> int
    let a, b = low + at "n", low + at "m"
    min a b, max a b

/// The least cost over all ways to give each row a column of its own.
let rec private bruteForce (cost: float[,]) row (taken: Set<int>) =
    if row = Array2D.length1 cost then
        0.0
    else
        Seq.min
            [ for j in 0 .. Array2D.length2 cost - 1 do
                  if not (taken.Contains j) then
                      cost[row, j] + bruteForce cost (row + 1) (taken.Add j) ]

let private array2D (t: Tensor) =
    let flat = Tensor.toFloats t
    Array2D.init t.Shape[0] t.Shape[1] (fun i j -> flat[i * t.Shape[1] + j])

let private largest (t: Tensor) = (Tensor.maxOver [ 0; 1 ] (abs t)).ToFloat()

/// Weak duality: a feasible dual whose value is the cost of the matching proves that the matching is optimal.
let private certify name (cost: Tensor) =
    let a = Assignment.solve cost
    let n, m = cost.Shape[0], cost.Shape[1]
    // The potentials are sums and differences of costs along paths; each rounds at the scale of the largest.
    let tolerance = 1e-13 * largest cost * float n
    let columns = Tensor.toArray<int64> a.Columns
    let u, v = Tensor.toFloats a.RowPotentials, Tensor.toFloats a.ColumnPotentials
    let c = array2D cost
    Expect.hasLength (Array.distinct columns) n $"{name}: one column for each row"

    for i in 0 .. n - 1 do
        for j in 0 .. m - 1 do
            if u[i] + v[j] > c[i, j] + tolerance then
                failtest $"{name}: u[{i}] + v[{j}] = {u[i] + v[j]} > c = {c[i, j]}"

    if m > n then
        Expect.isLessThanOrEqual (Array.max v) tolerance $"{name}: column potentials of a rectangular problem"

    close (tolerance * float n) a.Cost (Array.sum u + Array.sum v) $"{name}: no duality gap"

[<Tests>]
let tests =
    testList
        "Theory.Assignment"
        [ testPropertyWithConfig (tries 60) "no other matching of a small problem is cheaper"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let n, m = sizes seed 1 6

                  for name, cost in costs (Rng.ofSeed (int64 seed)) n m do
                      let found = (Assignment.solve cost).Cost
                      // Both are sums of at most 6 of the same costs.
                      close (1e-14 * 6.0 * largest cost) (bruteForce (array2D cost) 0 Set.empty) found name)

          testPropertyWithConfig (tries 12) "the potentials prove that the matching of a large problem is the cheapest"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let n, m = sizes seed 1 150

                  for name, cost in costs (Rng.ofSeed (int64 seed)) n n @ costs (Rng.ofSeed (int64 seed)) n m do
                      certify name cost)

          testPropertyWithConfig (tries 20) "the order of rows and columns does not matter"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let n, m = sizes seed 2 60
                  let rng = Rng.ofSeed (int64 seed)

                  for name, cost in costs rng n m do
                      let shuffled =
                          cost
                          |> Tensor.indexSelect 0 (Rng.permutation n (Rng.named "rows" rng))
                          |> Tensor.indexSelect 1 (Rng.permutation m (Rng.named "columns" rng))

                      let tolerance = 1e-14 * float n * largest cost
                      close tolerance (Assignment.solve cost).Cost (Assignment.solve shuffled).Cost name)

          testCase "what is not a matrix of finite costs with no more rows than columns is refused"
          <| fun () ->
              let nan = Tensor.ofArray [ 2; 2 ] [| 0.0; 1.0; nan; 2.0 |]
              let infinite = Tensor.ofArray [ 2; 2 ] [| 0.0; 1.0; infinity; 2.0 |]

              for bad in [ nan; infinite; Tensor.ones Kind.Float64 [ 3; 2 ]; Tensor.ones Kind.Float64 [ 3 ] ] do
                  raises<TensorException, _>(fun () -> Assignment.solve bad) |> names [ "assignment: ["; "float64" ]

          testCase "nothing is matched with nothing"
          <| fun () ->
              let a = Assignment.solve (Tensor.zeros Kind.Float64 [ 0; 0 ])
              Expect.equal a.Cost 0 ""
              holds (a.Columns.Shape = [| 0 |]) "no columns" ]
