/// Ancestral sampling with the variance that the network learned (Nichol, Dhariwal 2021, eq. 15).
module Fokker.Tests.Sampling.LearnedVarianceTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64
let private path = Paths.ddpm

let private mixture () =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.5; 0.8; -0.6 |])
        (Tensor.ofArray [ 2; 2 ] [| 0.4; 0.7; 0.5; 0.3 |])

/// The exact model, saying the same place u for every coordinate.
let private saying (u: float) : Model =
    let model = Mixture.model path Prediction.noise (mixture ())

    { model with
        WithVariance =
            Some(fun condition ->
                let network = model.Network condition
                fun t x -> struct (network t x, Tensor.full x.Kind x.Shape u)) }

let private planOf (sampler: Sampler) (steps: int) (model: Model) =
    { Sampling.plan sampler steps model with Grid = Grid.leading }

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

let private apart (x: Tensor) (y: Tensor) = (Tensor.max (abs (x - y))).ToFloat()

[<Tests>]
let tests =
    testList
        "Sampling.LearnedVariance"
        [ testCase "u = −1 is the posterior's variance and u = 1 the forward step's, draw by draw"
          <| fun () ->
              Scope.run0 (fun () ->
                  let steps, n = 20, 7
                  let draws = Rng.normal f64 [ steps; n; 2 ] (Rng.ofSeed 1L)
                  let start = Rng.normal f64 [ n; 2 ] (Rng.ofSeed 2L)

                  let run sampler model =
                      ok (
                          Sampling.run
                              { planOf sampler steps model with Kind = f64 }
                              model
                              None
                              (Noise.given draws)
                              start
                      )

                  let learned u = run Samplers.ancestralLearned (saying u)
                  let small, large = run Samplers.ancestral (saying 0.0), run Samplers.ancestralLarge (saying 0.0)
                  // Twenty steps of rounding: e^{½ log v} for √v, and x̂₀ read from ε̂ where α is 0.02.
                  close 1e-11 0.0 (apart small (learned -1.0)) "u = −1"
                  close 1e-11 0.0 (apart large (learned 1.0)) "u = 1"
                  holds (apart small large > 0.1 && apart small (learned 0.0) > 0.01) "and the variance is seen")

          testCase "a step's standard deviation is the geometric mean of the two where u = 0"
          <| fun () ->
              Scope.run0 (fun () ->
                  let s, t = 0.02, 0.3
                  let p = Variational.posterior path s t
                  let x = Rng.normal f64 [ 5; 2 ] (Rng.ofSeed 3L)

                  let step z =
                      (Stochastic.ancestral
                          Learned
                          (Readings.ofModel 10 None (saying 0.0))
                          (Noise.given (Tensor.full f64 [ 1; 5; 2 ] z))
                          s
                          (Integrator.start t x))
                          .X

                  let spread = step 1.0 - step 0.0
                  // Rounding of the two states, of size 1.
                  close
                      1e-13
                      0.0
                      (apart spread (Tensor.full f64 [ 5; 2 ] ((p.Variance * p.Forward) ** 0.25)))
                      "√(σ_small σ_large)")

          testCase "a network trained by the hybrid loss samples with the variance that it learned"
          <| fun () ->
              let objective =
                  Variational.hybrid 0.001 1000 Prediction.noise path
                  |> Objective.predicting "hybrid" "" "" path Prediction.noise
                  |> Objective.withVariance

              let network = Networks.mlp { Mlp.standard 2 with Width = 32; Depth = 2; Outputs = objective.Outputs }

              let key = Rng.ofSeed 4L

              let batches step : Batch =
                  let rng = Rng.at step (Rng.named "data" key)
                  { Data = (Mixture.sample 64 rng (mixture ())).To Dtype.Float32; Label = None; Source = None }

              let state, ending =
                  Trainer.run
                      { Trainer.standard with
                          Optimizer = { Trainer.standard.Optimizer with Rate = Schedule.Constant 3e-3 } }
                      network
                      objective.Loss
                      batches
                      (Budget.Steps 60L)
                      0.0
                      { Stepped = (fun _ _ _ -> ()); Stop = fun () -> false }
                      (Trainer.init Kind.Float32 key network)

              holds (ending = Ending.Finished) $"{ending}"
              use _ =
                  { new IDisposable with
                      member _.Dispose() = Scope.free state }

              Scope.run0 (fun () ->
                  let learned = objective.Dynamics(network.Apply state.Parameters)

                  let model =
                      match learned with
                      | Denoising model -> model
                      | _ -> failwith "a model was expected"

                  let x = (Mixture.sample 64 key (mixture ())).To Dtype.Float32
                  let struct (y, u) = (Option.get model.WithVariance) None (Tensor.full f64 [ 64 ] 0.01) x
                  holds (y.Shape = x.Shape && u.Shape = x.Shape) $"{y.Describe()}, {u.Describe()}"
                  // Before training the output layer is 0, and so is u: the bound has moved it.
                  holds ((Tensor.mean (abs u)).ToFloat() > 1e-3) "u moved"

                  let sample (sampler: Sampler) =
                      // As the command line makes it.
                      let plan = { Generation.plan sampler 10 learned with Grid = Grid.leading }
                      ok (Sampling.draw plan model None [ 2 ] 16 16 (Rng.ofSeed 5L))

                  let own = sample Samplers.ancestralLearned
                  holds ((Tensor.all (Tensor.isFinite own)).ToBool()) "finite"
                  holds (Tensor.same own (sample Samplers.ancestralLearned)) "the same key, the same samples"

                  for other in [ Samplers.ancestral; Samplers.ancestralLarge ] do
                      holds (apart own (sample other) > 1e-3) $"not {other.Name}")

          testCase "a model that learned no variance is refused, with the losses that learn it"
          <| fun () ->
              Scope.run0 (fun () ->
                  let learned = Denoising(Mixture.model path Prediction.noise (mixture ()))
                  raises<ArgumentException, _>(fun () -> Generation.plan Samplers.ancestralLearned 10 learned)
                  |> names [ "did not learn"; "hybrid"; "vlb-learned"; "ancestral-large" ]) ]
