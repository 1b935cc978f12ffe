/// Parts of a batch that are a share of it in expectation, however small the batch.
module Fokker.Tests.Losses.SharesTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private key = Rng.ofSeed 21L

/// How many of a batch of n were asked at one time, over `draws` keys.
let private instants (loss: Loss) (n: int) (draws: int) =
    Array.init draws (fun k ->
        Scope.run (fun () ->
            let mutable count = 0

            let network _ (times: Tensor) (x: Tensor) =
                let t = Tensor.toFloats times
                count <-
                    count
                    + (Seq.init (t.Length / 2) (fun k -> t[2 * k] = t[2 * k + 1]) |> Seq.filter id |> Seq.length)
                0.0 * x

            let context = { LossContext.ofNetwork network with Frozen = fun _ _ x -> Tensor.zerosLike x }

            let batch = { Data = Rng.normal Kind.Float64 [ n; 2 ] key; Label = None; Source = None }
            loss context (Rng.at (int64 k) key) batch |> ignore
            float count))
    |> Array.average

[<Tests>]
let tests =
    testList
        "Losses.Shares"
        [ testCase "a share of a batch is its share in expectation, and itself where it is whole"
          <| fun () ->
              let draws = 20_000

              for share in [ 0.0; 0.1; 0.25; 0.5; 0.75; 1.0 ] do
                  for n in [ 1; 2; 3; 5; 8 ] do
                      let counts = Array.init draws (fun k -> Rng.shareOf share n (Rng.at (int64 k) key))
                      let exact = share * float n
                      Expect.isTrue (counts |> Array.forall (fun m -> abs (float m - exact) < 1.0)) $"{share} of {n}"
                      let part = exact - floor exact
                      // Five standard deviations of a mean of Bernoulli draws; a whole share has none.
                      let error = 5.0 * sqrt (part * (1.0 - part) / float draws) + 1e-12
                      Expect.within error (Array.averageBy float counts) exact $"{share} of {n}"

              Expect.equal (Rng.shareOf 0.25 512 key) 128 ""

              for share in [ -0.1; 1.1; nan ] do
                  raised<ArgumentException>(fun () -> Rng.shareOf share 4 key |> ignore) |> ignore

          testCase "a map learns its velocity on a quarter of what it sees, in batches of one too"
          <| fun () ->
              for make in [ MapMethods.lagrangianSelf; MapMethods.progressiveSelf; MapMethods.meanFlow ] do
                  let m = make Path.condOT
                  let loss = MapMatching.loss m

                  for n in [ 1; 2; 3 ] do
                      let draws = 1500
                      // Five standard deviations of a mean of counts that differ by one at most.
                      let error = 5.0 * 0.5 / sqrt (float draws)
                      Expect.within error (instants loss n draws) (m.Instants * float n) $"{m.Name}, {n}" ]
