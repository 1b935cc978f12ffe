/// Pairs that a model makes once, for a network to learn from.
module Fokker.Tests.Losses.ReflowTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// The pairs that the rows of a large batch draw from a table of 50, of three labels, made so many at a time, and the most that were.
let private drawn (size: int) =
    Scope.run (fun () ->
        let column (values: float[]) = Tensor.ofArray [ values.Length; 1 ] values
        let law = Mixture.ofStds [| 0.4; 0.6 |] (column [| -1.0; 1.0 |]) (column [| 0.3; 0.5 |])
        let dynamics = Denoising(Mixture.model Path.condOT Prediction.velocity law)
        let plan = { Generation.plan Samplers.heun 4 dynamics with Kind = f64 }
        let mutable most = 0

        let make rng (batch: Batch) =
            most <- max most batch.Data.Shape[0]
            { Reflow.pair plan Path.condOT dynamics rng { batch with Label = None } with Label = batch.Label }

        let draw rng n : Batch =
            { Data = Rng.normal f64 [ n; 1 ] rng; Label = Some(Rng.integers 3L [ n ] rng); Source = None }

        let table = Reflow.table make draw size 50 (Rng.ofSeed 1L)
        let batch: Batch =
            { Data = Tensor.zeros f64 [ 400; 1 ]; Label = Some(Tensor.zeros f64 [ 400 ]); Source = None }
        let pairs = table (Rng.ofSeed 2L) batch
        let x, source = Tensor.toFloats pairs.Data, Tensor.toFloats pairs.Source.Value
        x, source, Tensor.toArray<int64> pairs.Label.Value, most)

[<Tests>]
let tests =
    testList
        "Losses.Reflow"
        [
          // A table of thousands of images in one piece took seventeen gigabytes of a U-Net.
          testCase "pairs of a table are made a few at a time, each what it would be among all of them"
          <| fun () ->
              let x, source, labels, most = drawn 50
              Expect.equal most 50 "in one piece"
              holds (Array.length (Array.distinct x) > 45) "different pairs"

              for size in [ 1; 7; 16 ] do
                  let ownX, ownSource, ownLabels, ownMost = drawn size
                  Expect.equal ownMost size "no more than so many"
                  Expect.equal (ownX, ownSource, ownLabels) (x, source, labels) $"{size} at a time" ]
