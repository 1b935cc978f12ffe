module Fokker.Tests.Sampling.SamplersTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

// A function: a tensor of the module's own would belong to whichever scope first came by.
let private mixture () =
    let means = Tensor.ofArray [ 3; 2 ] [| -1.5; 0.0; 1.0; 1.2; 0.8; -1.0 |]

    let covariances =
        Tensor.ofArray [ 3; 2; 2 ] [| 0.2; 0.1; 0.1; 0.15; 0.1; 0.0; 0.0; 0.3; 0.25; -0.15; -0.15; 0.2 |]

    Mixture.ofCovariances [| 0.5; 0.3; 0.2 |] means covariances

/// All but the one that needs a variance to have been learned.
let private knowing = Samplers.all |> List.filter (fun s -> s.Name <> Samplers.ancestralLearned.Name)
let private samplers = knowing |> List.map (fun s -> s.Name)
let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

/// Tensors alive, without those that earlier tests left to the collector.
let private live () =
    GC.Collect()
    GC.WaitForPendingFinalizers()
    Scope.live ()

let private wide (plan: SamplingPlan) = { plan with Kind = f64 }
let private largest (x: Tensor) = (Tensor.maxOver [ 0 ] (abs (Tensor.flatten x))).ToFloat()

/// Steps enough for the discretization to be invisible to W₂ between 300 points.
let private stepsFor (s: Sampler) =
    match s.Order with
    | 0
    | 1 -> 160
    | 2 -> 40
    | 3 -> 24
    | 4 -> 16
    | _ -> 12

/// The mean W₂ over draws, beside the mean floor, both with their standard errors; the sampled side is 300 points.
let private againstFloor (plan: SamplingPlan) (model: Model) =
    let n, draws = 300, 6
    let rng = Rng.ofSeed 21L
    let mixture = mixture ()
    let data rng = Mixture.sample n rng mixture
    let sampled rng = (ok (Sampling.draw plan model None [ 2 ] n n rng)).To Dtype.Float64
    Measure.over draws rng sampled data Measures.wasserstein2,
    Measure.floor draws (Rng.at 1L rng) data Measures.wasserstein2

/// Within four standard errors of the difference, plus 5 % for what the plan leaves by design (the noise that is left at its clean end).
let private atFloor (value: Estimate) (floor: Estimate) what =
    let error = Math.Sqrt(value.StandardError ** 2.0 + floor.StandardError ** 2.0)
    close (4.0 * error + 0.05 * floor.Mean) floor.Mean value.Mean $"{what}: {value}, floor {floor}"

/// A field that works element by element, so that batches cannot differ even in rounding.
let private elementwise: Model =
    { Path = Path.condOT
      Prediction = Prediction.velocity
      Network = fun _ t x -> x * 0.5 + (Tensor.perSample x t).To x.Dtype
      WithVariance = None }

[<Tests>]
let tests =
    testList
        "Sampling.Samplers"
        [ testTheory "on the oracle every sampler reaches the law of the data" samplers
          <| fun (name: string) ->
              let sampler = samplerOf name

              for model in
                  [ Mixture.model Path.condOT Prediction.velocity (mixture ())
                    Mixture.model Path.vp Prediction.noise (mixture ()) ] do
                  let plan = wide (Sampling.plan sampler (stepsFor sampler) model)
                  let value, floor = againstFloor plan model
                  atFloor value floor $"{name} on {model.Path.Name}"

          testCase "a sampler with too few steps misses the law: the test above has power"
          <| fun () ->
              let model = Mixture.model Path.condOT Prediction.velocity (mixture ())
              let value, floor = againstFloor (wide (Sampling.plan Samplers.euler 3 model)) model
              holds (value.Mean > 1.3 * floor.Mean) $"{value}, floor {floor}"

          testTheory "every churn leads to the same law" [ 0.0; 0.5; 1.5 ]
          <| fun (churn: float) ->
              let model = Mixture.model Path.ou Prediction.score (mixture ())
              let sampler = Samplers.eulerMaruyamaWith churn
              let plan = wide (Sampling.plan sampler 200 model)
              // From t = 10⁻³ on the OU path σ = 0.1 is left; start at 10⁻⁴ for σ = 0.03, far below the data's spread.
              let value, floor = againstFloor { plan with Span = { plan.Span with Clean = 1e-4 } } model
              atFloor value floor $"churn {churn}"

          testTheory "draws are bit-equal whatever the batch size" samplers
          <| fun (name: string) ->
              for shape in [ [ 2 ]; [ 1; 4; 4 ] ] do
                  let plan = Sampling.plan (samplerOf name) 5 elementwise
                  let draw batch = ok (Sampling.draw plan elementwise None shape 23 batch (Rng.ofSeed 4L))
                  let whole = draw 23
                  holds (whole.Shape = Array.ofList (23 :: shape) && whole.Dtype = Dtype.Float32) (whole.Describe())

                  for batch in [ 1; 7; 22; 100 ] do
                      holds (Tensor.same whole (draw batch)) $"batches of {batch}"

                  holds
                      (not (Tensor.same whole (ok (Sampling.draw plan elementwise None shape 23 23 (Rng.ofSeed 5L)))))
                      "another key"

          testTheory "labels go to their own samples" samplers
          <| fun (name: string) ->
              let labels = Rng.integers 10L [ 23 ] (Rng.ofSeed 1L)

              let model =
                  { elementwise with
                      Network =
                          fun condition t x ->
                              match condition with
                              | Some labels -> elementwise.Network None t x + Tensor.unsqueeze 1 (labels.To x.Dtype)
                              | None -> failwith "labels are missing" }

              let plan = Sampling.plan (samplerOf name) 4 model
              let draw batch = ok (Sampling.draw plan model (Some labels) [ 2 ] 23 batch (Rng.ofSeed 4L))
              holds (Tensor.same (draw 23) (draw 5)) "batches of 5"
              let short = Some(Tensor.narrow 0 0 22 labels)
              raises<TensorException, _>(fun () -> Sampling.draw plan model short [ 2 ] 23 5 (Rng.ofSeed 4L))
              |> names [ "[22]"; "[23]" ]

          testTheory "evaluations are counted, and the network sees its own element type" samplers
          <| fun (name: string) ->
              for prediction in [ Prediction.velocity; Prediction.noise ] do
                  let mutable calls = 0
                  let oracle = Mixture.model Path.condOT prediction (mixture ())

                  let model =
                      { oracle with
                          Network =
                              fun condition ->
                                  let network = oracle.Network condition

                                  fun t x ->
                                      calls <- calls + 1
                                      holds
                                          (x.Dtype = Dtype.Float32 && t.Dtype = Dtype.Float64)
                                          "float32 state, float64 time"
                                      network t x }

                  let plan = Sampling.plan (samplerOf name) 6 model
                  let x = Sampling.start plan model.Path [ 2 ] 3 (Rng.ofSeed 1L)
                  let last = Sampling.states plan model None (Noise.fresh (Rng.ofSeed 1L)) x |> Seq.last |> ok
                  let foretold = Sampling.evaluations plan
                  holds
                      (calls = foretold || plan.Sampler.IsAdaptive && calls > foretold)
                      $"{calls} calls, {foretold} foretold"
                  holds (last.Evaluations = calls) $"{calls} calls, {last.Evaluations} counted"

          testTheory "the states are streamed, belong to the caller, and end where the run ends" samplers
          <| fun (name: string) ->
              let mixture = mixture ()

              for prediction in [ Prediction.velocity; Prediction.noise ] do
                  let model = Mixture.model Path.condOT prediction mixture
                  let plan = wide (Sampling.plan (samplerOf name) 6 model)
                  let rng = Rng.ofSeed 3L
                  let x = Sampling.start plan model.Path [ 2 ] 5 rng
                  let expected = ok (Sampling.run plan model None (Noise.fresh rng) x)
                  let before = live ()
                  let states = Sampling.states plan model None (Noise.fresh rng) x |> Seq.map ok |> Seq.toList
                  holds (states.Length = 7) $"{states.Length} states"
                  holds (states |> List.pairwise |> List.forall (fun (a, b) -> a.Time > b.Time)) "time falls"
                  holds (Tensor.same (List.last states).X expected) "the last state is the sample"
                  holds (Tensor.same states.Head.X x) "the first state is the noise"
                  Scope.free states
                  holds (live () = before) $"{live () - before} tensors left over"

                  // A caller may free each state before it asks for the next.
                  let mutable last = 0.0

                  for result in Sampling.states plan model None (Noise.fresh rng) x do
                      let state = ok result
                      last <- (Tensor.sum state.X).ToFloat()
                      Scope.free state

                  close 0.0 ((Tensor.sum expected).ToFloat()) last "freed as they come"

          testTheory "a field that stops being a number ends the run with its place and a remedy" samplers
          <| fun (name: string) ->
              let model =
                  { elementwise with
                      Network =
                          fun _ t x ->
                              if Array.min (Tensor.toFloats t) < 0.5 then x * nan else elementwise.Network None t x }

              let plan = { Sampling.plan (samplerOf name) 10 model with Grid = Grid.uniform }
              let before = live ()

              match Sampling.draw plan model None [ 2 ] 4 2 (Rng.ofSeed 1L) with
              | Ok _ -> failtest "the run should have failed"
              | Error failure ->
                  // The first step that looks below t = 0.5, by a stage or at its start.
                  holds (failure.Step >= 5 && failure.Step <= 7) $"step {failure.Step}"
                  // More steps are no remedy for a sampler that chooses its own.
                  names [ "NaN"; "end at a later time"; "t from" ] (string failure)

              holds (live () = before) "nothing left over"
              let x = Tensor.ones f64 [ 2; 2 ]
              let states = Sampling.states plan model None (Noise.fresh (Rng.ofSeed 1L)) x |> Seq.toList
              holds
                  (List.forall Result.isOk states[.. states.Length - 2] && Result.isError (List.last states))
                  "the last state is the failure"
              Scope.free states
              x.Dispose()
              holds (live () = before) "nothing left over from the stream"

          testCase "the default plan of every sampler gives finite samples with every prediction, and on every path"
          <| fun () ->
              Scope.run0 (fun () ->
                  let mixture = mixture ()

                  let cases =
                      [ for sampler in knowing do
                            for prediction in Prediction.all -> sampler, Path.condOT, prediction
                        for path in Paths.all do
                            for sampler in [ Samplers.heun; Samplers.eulerMaruyama ] ->
                                sampler, path, Prediction.velocity ]

                  for sampler, path, prediction in cases do
                      let model = Mixture.model path prediction mixture
                      let plan = wide (Sampling.plan sampler 12 model)

                      match Sampling.draw plan model None [ 2 ] 8 8 (Rng.ofSeed 2L) with
                      // What does not converge may be far off with so few steps.
                      | Ok x ->
                          holds
                              (largest x < 50.0 || sampler.Order = 0)
                              $"{sampler.Name}, {path.Name}, {prediction.Name}: {largest x}"
                      | Error failure -> failtest $"{sampler.Name}, {path.Name}, {prediction.Name}: {failure}")

          testCase "a velocity is followed to the very ends where it is finite, everything else stays inside"
          <| fun () ->
              let span path prediction = Sampling.spanOf Samplers.heun (Mixture.model path prediction (mixture ()))
              let whole = { Noisy = 1.0; Clean = 0.0; Finish = Stop }
              holds (span Path.condOT Prediction.velocity = whole) "straight path"
              holds (span Path.trigonometric Prediction.velocity = whole) "trigonometric path"
              holds ((span Path.ou Prediction.velocity).Finish = Denoise) "σ̇ is infinite at 0 on OU"
              holds ((span Path.condOT Prediction.noise).Finish = Denoise) "noise does not determine x₀ at t = 1"
              let sde =
                  Sampling.spanOf Samplers.eulerMaruyama (Mixture.model Path.condOT Prediction.velocity (mixture ()))
              holds (sde.Clean = 1e-3 && sde.Finish = Denoise) "the reverse SDE needs the score"

          testCase "every sampler has a name of its own and says where it is from"
          <| fun () ->
              let names = Samplers.all |> List.map (fun s -> s.Name)
              holds (List.distinct names = names) "distinct"
              holds
                  (Samplers.all
                   |> List.forall (fun s ->
                       s.Reference <> "" && s.Equation <> "" && s.Order >= 0 && s.EvaluationsPerStep >= 1))
                  "complete"
              raises<ArgumentException, _>(fun () -> Samplers.eulerMaruyamaWith -1.0)
              |> Fokker.Tests.Theory.Expect.names [ "-1" ] ]
