/// Labels that are left out in training: how often, and that nothing else changes.
module Fokker.Tests.Losses.LabelDropoutTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private batch n : Batch =
    { Data = Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 1L)
      Label = Some(Rng.integers 3L [ n ] (Rng.ofSeed 2L))
      Source = None }

/// What a network is asked by a loss: labels, times and points.
let private asked (loss: Loss) (batch: Batch) =
    let mutable seen = None

    let network condition (t: Tensor) (x: Tensor) =
        seen <- Some(condition, t, x)
        x

    let each = loss (LossContext.ofNetwork network) (Rng.ofSeed 3L) batch
    let condition, t, x = Option.get seen
    condition |> Option.map Tensor.toArray<int64>, Tensor.toFloats t, Tensor.toFloats x, Tensor.toFloats each

let private cfm = Loss.ofRegression (Loss.cfm Path.condOT)

[<Tests>]
let tests =
    testList
        "Losses.LabelDropout"
        [ testCase "a label is left out as often as asked, and the others, times and noise stay"
          <| fun () ->
              Scope.run0 (fun () ->
                  let n, p = 4000, 0.2
                  let batch = batch n
                  let labels, t, x, each = asked cfm batch
                  let dropped, t', x', each' = asked (Loss.droppingLabels p cfm) batch
                  let labels, dropped = Option.get labels, Option.get dropped
                  let out = dropped |> Array.filter ((=) -1L) |> Array.length
                  // Four standard deviations of a binomial.
                  Expect.within (4.0 * sqrt (p * (1.0 - p) * float n)) (float out) (p * float n) ""
                  Array.iter2 (fun a b -> Expect.isTrue (b = -1L || b = a) "") labels dropped
                  Expect.same t' t ""
                  Expect.same x' x ""
                  Expect.same each' each "")

          testCase "no dropout is the loss itself, and samples without labels have none to lose"
          <| fun () ->
              Scope.run0 (fun () ->
                  Expect.isTrue (obj.ReferenceEquals(Loss.droppingLabels 0.0 cfm, cfm)) ""
                  let labels, _, _, _ = asked (Loss.droppingLabels 0.5 cfm) { batch 4 with Label = None }
                  Expect.equal labels None ""

                  for p in [ 1.0; -0.1; nan ] do
                      raised<ArgumentException>(fun () -> Loss.droppingLabels p cfm |> ignore) |> ignore)

          testCase "a run with dropped labels that is taken up again ends with the same bytes"
          <| fun () ->
              inFolder (fun folder ->
                  let x = Rng.normal Kind.Float32 [ 200; 2 ] (Rng.ofSeed 4L)
                  let data = Dataset.ofSamples "points" "" "points" x (Some(Rng.integers 3L [ 200 ] (Rng.ofSeed 5L)))

                  let network = Networks.mlp { Mlp.standard 2 with Width = 32; Depth = 2; Classes = Some 3 }

                  let plan (steps: int64) =
                      { plan steps with
                          Dataset = data
                          Network = network
                          Trained = trainedOf network
                          Loss = Loss.droppingLabels 0.3 flowMatching }

                  let train (name: string) (lengths: int64 list) =
                      let place = IO.Path.Combine(folder, name)
                      use claim = Run.claim place
                      Run.create claim []

                      for steps in lengths do
                          Scope.free (Run.train claim (plan steps) (fun _ _ -> ()) (fun () -> false)).State

                      IO.File.ReadAllBytes(Run.checkpointFile place)

                  Expect.same (train "twice" [ 13L; 30L ]) (train "once" [ 30L ]) "") ]
