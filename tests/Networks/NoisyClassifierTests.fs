/// A classifier of noisy samples against the oracle's own posterior, and guidance by it.
module Fokker.Tests.Networks.NoisyClassifierTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64
let private path = Path.vp

/// Two classes of two components each, as likely as one another.
let private mixture () =
    let means = Tensor.ofArray [ 4; 2 ] [| -1.5; 0.0; 1.0; 1.2; 0.8; -1.0; -0.4; 0.9 |]
    let stds = Tensor.ofArray [ 4; 2 ] [| 0.5; 0.4; 0.3; 0.5; 0.5; 0.45; 0.6; 0.35 |]
    Mixture.ofStds [| 0.3; 0.3; 0.2; 0.2 |] means stds |> Mixture.labelled [| 0; 1; 1; 0 |]

let private batchOf (m: Mixture) (n: int) (rng: Rng) : Batch =
    let draw c = Mixture.sample (n / 2) (Rng.at (int64 c) rng) (Mixture.ofClass c m)

    { Data = Tensor.cat 0 [ draw 0; draw 1 ]
      Label = Some(Tensor.cat 0 [ Tensor.zeros Kind.Int64 [ n / 2 ]; Tensor.ones Kind.Int64 [ n / 2 ] ])
      Source = None }

let private trained (m: Mixture) (network: Network) : TrainState =
    let settings =
        { Trainer.standard with
            Optimizer = { Trainer.standard.Optimizer with Rate = Schedule.Cosine(3e-3, 0.0, 800L) } }

    fst (
        Trainer.run
            settings
            network
            (NoisyClassifier.loss path Times.uniform)
            (fun step -> batchOf m 256 (Rng.ofSeed 1L |> Rng.at step))
            (Budget.Steps 800L)
            0.0
            { Stepped = (fun _ _ _ -> ()); Stop = fun () -> false }
            (Trainer.init f64 (Rng.ofSeed 2L) network)
    )

[<Tests>]
let tests =
    testList
        "Networks.NoisyClassifier"
        [ testCase "what it learns is the posterior of the class at every time, and it guides to the class"
          <| fun () ->
              let m = mixture ()
              let network = NoisyClassifier.network { NoisyClassifier.standard [ 2 ] 2 with Width = 64 }
              let state = trained m network

              Scope.run0 (fun () ->
                  let learned = NoisyClassifier.logClass network state.Average
                  let n = 4000
                  let batch = batchOf m n (Rng.ofSeed 3L)
                  let labels = Option.get batch.Label

                  for time in [ 0.02; 0.1; 0.25; 0.5; 0.9 ] do
                      let t = Tensor.scalar f64 time
                      let x = Path.sample path t batch.Data (Rng.normalLike batch.Data (Rng.ofSeed 4L))
                      // The excess cross-entropy is the divergence of the two posteriors, up to the draws' own deviation: paired, it is small.
                      let excess = Mixture.logClass path m labels t x - learned labels t x
                      let mean = (Tensor.mean excess).ToFloat()
                      let error = sqrt ((Tensor.varianceOver [ 0 ] 1 excess).ToFloat() / float n)
                      // Eight hundred steps leave 0.03 where the posterior is sharp; knowing nothing costs ln 2 = 0.69 less the posterior's own.
                      holds (mean < 0.05 + 4.0 * error) $"t = {time}: excess {mean:F4} ± {error:F4} nats"

                  // Samples of class 1: the oracle of all classes and the learned classifier, beside the oracle of the class.
                  let model = Mixture.model path Prediction.noise m
                  let guided = Guidance.byClassifier 1.0 learned model
                  let count = 1000
                  let plan = { Sampling.plan Samplers.heun 30 model with Kind = f64 }

                  let share model =
                      match
                          Sampling.draw
                              plan
                              model
                              (Some(Tensor.ones Kind.Int64 [ count ]))
                              [ 2 ]
                              count
                              count
                              (Rng.ofSeed 5L)
                      with
                      | Error failure -> failwith (string failure)
                      | Ok x ->
                          let p =
                              exp (
                                  Mixture.logClass path m (Tensor.ones Kind.Int64 [ count ]) (Tensor.scalar f64 0.0) x
                              )
                          (Tensor.mean ((Tensor.greaterThan 0.5 p).To f64.Dtype)).ToFloat()

                  // Four deviations of a share of a thousand near 0.95, and what the classifier's own error adds.
                  close 0.04 (share model) (share guided) "share of the class"
                  let alone = share { model with Network = fun _ -> model.Network None }
                  holds (alone < 0.6) $"without guidance {alone}")

              Scope.free state
              Scope.free m

          testCase "images and vectors have logits, for either kind of time"
          <| fun () ->
              Scope.run0 (fun () ->
                  for shape in [ [ 3 ]; [ 1; 8; 10 ]; [ 2; 7; 5 ] ] do
                      let network = NoisyClassifier.network { NoisyClassifier.standard shape 4 with Width = 16 }
                      // All of its layers at work, the last one too.
                      let p =
                          Network.init f64 (Rng.ofSeed 1L) network
                          |> Array.map (fun p -> p + 0.1 * Rng.normalLike p (Rng.ofSeed 2L))
                      let x = Rng.normal f64 (5 :: shape) (Rng.ofSeed 3L)
                      let at (t: Tensor) x = network.Apply p None t x
                      let y = at (Tensor.full f64 [ 5 ] 0.3) x
                      holds (y.Shape = [| 5; 4 |]) (y.Describe())
                      let top (x: Tensor) = (Tensor.max (abs x)).ToFloat()
                      close 1e-12 0.0 (top (at (Tensor.scalar f64 0.3) x - y)) "one time for all"
                      close 1e-12 0.0 (top (at (Tensor.scalar f64 0.3) x[2..2] - y[2..2])) "a row by itself"
                      holds (top (at (Tensor.scalar f64 0.4) x - y) > 1e-3) "the time matters"
                      raises<ArgumentException, _>(fun () -> network.Apply p (Some(Tensor.zeros Kind.Int64 [ 5 ])))
                      |> names [ "without classes" ]

                  let unlabelled: Batch = { Data = Tensor.zeros f64 [ 2; 3 ]; Label = None; Source = None }
                  let context = LossContext.ofNetwork (fun _ _ x -> x)

                  raises<ArgumentException, _>(fun () ->
                      NoisyClassifier.loss path Times.uniform context (Rng.ofSeed 0L) unlabelled)
                  |> names [ "labels" ])

          // A likelihood along a flow that is guided by a classifier differentiates its gradient.
          testCase "the divergence of its gradient is that of finite differences"
          <| fun () ->
              Scope.run0 (fun () ->
                  let network = NoisyClassifier.network { NoisyClassifier.standard [ 3 ] 4 with Width = 16 }
                  let p =
                      Network.init f64 (Rng.ofSeed 1L) network
                      |> Array.map (fun p -> p + 0.3 * Rng.normalLike p (Rng.ofSeed 2L))
                  let labels, t = Tensor.ofArray [ 5 ] [| 0L; 1L; 2L; 3L; 1L |], Tensor.scalar f64 0.3
                  let x = Rng.normal f64 [ 5; 3 ] (Rng.ofSeed 3L)
                  let score x = Diff.grad (NoisyClassifier.logClass network p labels t >> Tensor.sum) x
                  let _, found = Diff.valueAndDivergence score x
                  let h = 1e-5

                  let along i =
                      let e = h * (Tensor.eye f64 3)[i]
                      (Tensor.unbind 1 (score (x + e) - score (x - e)))[i] / (2.0 * h)

                  let expected = along 0 + along 1 + along 2
                  holds ((Tensor.max (abs expected)).ToFloat() > 1e-2) "there is something to see"
                  // Central differences: h² of a third derivative of order one, and ε/h of rounding.
                  close 1e-8 0.0 ((Tensor.max (abs (found - expected))).ToFloat()) "divergence") ]
