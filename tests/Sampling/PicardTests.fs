/// Sampling in parallel in time against the sequential run, with the same noise.
module Fokker.Tests.Sampling.PicardTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

// A function: a tensor of the module's own would belong to whichever scope first came by.
let private mixture () =
    let means = Tensor.ofArray [ 3; 2 ] [| -1.5; 0.0; 1.0; 1.2; 0.8; -1.0 |]
    Mixture.ofStds [| 0.5; 0.3; 0.2 |] means (Tensor.full f64 [ 3; 2 ] 0.4)

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()
let private noise = Noise.fresh (Rng.ofSeed 3L)
let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)
let private cases = Picard.samplers |> List.map (fun name -> name)

let private start (plan: SamplingPlan) path n = Sampling.start plan path [ 2 ] n (Rng.ofSeed 2L)

/// The oracle, with a second output where a sampler wants one: the place of the variance, anywhere between −1 and 1.
let private modelFor (sampler: Sampler) path prediction =
    let model = Mixture.model path prediction (mixture ())

    if sampler.Name <> Samplers.ancestralLearned.Name then
        model
    else
        { model with
            WithVariance = Some(fun condition t x -> struct (model.Network condition t x, tanh (x + 1.0))) }

let private planOf sampler steps model = { Sampling.plan sampler steps model with Kind = f64 }

[<Tests>]
let tests =
    testList
        "Sampling.Picard"
        [ testTheory "without a tolerance the samples are those of the sequential run" cases
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  for path, prediction in [ Path.condOT, Prediction.velocity; Path.vp, Prediction.noise ] do
                      let sampler = samplerOf name
                      let model = modelFor sampler path prediction
                      let steps = 20
                      let plan = planOf sampler steps model
                      let x = start plan path 5
                      let expected = ok (Sampling.run plan model None noise x)

                      for window in [ 1; 4; 32 ] do
                          let found = ok (Picard.run { Window = window; Tolerance = 0.0 } plan model None noise x)
                          let off = largest (found.X - expected) / (1.0 + largest expected)
                          // Rounding: sums of 20 differences of states.
                          close 1e-12 0.0 off $"{name} on {path.Name}, {window} at once"
                          holds (found.Calls <= steps) $"{found.Calls} calls for {steps} steps"

                          if window = 1 then
                              holds (found.Calls = steps) $"{found.Calls} calls"
                              holds (found.Evaluations |> Array.forall ((=) steps)) $"%A{found.Evaluations}")

          testTheory "the error falls with the tolerance, and calls rise" [ "ddim"; "ancestral" ]
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let sampler = samplerOf name
                  let model = modelFor sampler Path.vp Prediction.noise
                  let steps = 120
                  let plan = planOf sampler steps model
                  let x = start plan Path.vp 6
                  let expected = ok (Sampling.run plan model None noise x)

                  let outcome tolerance =
                      let found = ok (Picard.run { Window = 40; Tolerance = tolerance } plan model None noise x)
                      largest (found.X - expected), found.Calls

                  let outcomes = List.map outcome [ 1.0; 1e-1; 1e-2; 1e-4 ]

                  for (loose, few), (tight, many) in List.pairwise outcomes do
                      holds (tight < loose) $"error {loose}, then {tight}"
                      holds (few <= many) $"{few} calls, then {many}"

                  // The point of it: far fewer calls than steps, at an error far below the data's spread of 0.4.
                  let error, calls = outcomes[1]
                  holds (calls < steps / 3 && error < 0.05) $"{calls} calls, error {error}")

          testCase "what is counted is what the network was asked"
          <| fun () ->
              Scope.run0 (fun () ->
                  let oracle = Mixture.model Path.vp Prediction.noise (mixture ())
                  let mutable calls, rows = 0, 0

                  let model =
                      { oracle with
                          Network =
                              fun condition t x ->
                                  calls <- calls + 1
                                  rows <- rows + x.Shape[0]
                                  holds
                                      (t.Shape = [| x.Shape[0] |] && x.Dtype = Dtype.Float32)
                                      $"{t.Describe()}, {x.Describe()}"
                                  oracle.Network condition t x }

                  let plan = Sampling.plan Samplers.ddim 50 model
                  let found =
                      ok (Picard.run { Window = 8; Tolerance = 0.1 } plan model None noise (start plan Path.vp 3))
                  holds (found.X.Dtype = Dtype.Float32) (found.X.Describe())
                  holds (calls = found.Calls && rows = Array.sum found.Evaluations) $"{calls} calls of {rows} rows")

          testCase "a sample does not depend on its neighbours, and labels go to their own samples"
          <| fun () ->
              Scope.run0 (fun () ->
                  // Elementwise, so that batches cannot differ even in rounding; rows of another label settle at another pace.
                  let model: Model =
                      { Path = Path.vp
                        Prediction = Prediction.data
                        Network = fun labels _ x -> Tensor.tanh (x * Tensor.unsqueeze 1 (labels.Value.To x.Dtype))
                        WithVariance = None }

                  let n = 7
                  let labels = Tensor.ofArray [ n ] (Array.init n int64)
                  let plan = planOf Samplers.ancestral 40 model
                  let x = start plan Path.vp n
                  let how = { Window = 10; Tolerance = 0.1 }
                  let whole = ok (Picard.run how plan model (Some labels) noise x)
                  holds (Array.distinct whole.Evaluations |> Array.length > 1) $"paces: %A{whole.Evaluations}"

                  for row in 0 .. n - 1 do
                      let alone =
                          Picard.run
                              how
                              plan
                              model
                              (Some(Tensor.narrow 0 row 1 labels))
                              (Noise.rows row 1 noise)
                              (Tensor.narrow 0 row 1 x)
                          |> ok

                      holds (Tensor.same alone.X (Tensor.narrow 0 row 1 whole.X)) $"row {row}"
                      holds
                          (alone.Evaluations[0] = whole.Evaluations[row])
                          $"row {row}: {alone.Evaluations[0]} evaluations")

          testCase "a field that is not a number ends the run with its place, and nothing is left over"
          <| fun () ->
              let model: Model =
                  { Path = Path.condOT
                    Prediction = Prediction.velocity
                    Network = fun _ t x -> x * Tensor.unsqueeze 1 (Tensor.where (Tensor.lessThan 0.5 t) (t * nan) t)
                    WithVariance = None }

              let plan = { planOf Samplers.euler 10 model with Grid = Grid.uniform }
              let x = Tensor.ones f64 [ 3; 2 ]
              let before = Scope.live ()

              match Picard.run { Window = 4; Tolerance = 0.1 } plan model None noise x with
              | Ok _ -> failtest "the run should have failed"
              | Error failure ->
                  // At t = 0.5 the field is itself: the sixth step is the last.
                  holds (failure.Step = 7) (string failure)
                  names [ "NaN"; "t from" ] (string failure)

              Expect.equal (Scope.live () - before) 0 ""

              Scope.free (
                  (ok (
                      Picard.run
                          { Window = 4; Tolerance = 0.1 }
                          { plan with Span = { plan.Span with Clean = 0.5 } }
                          model
                          None
                          noise
                          x
                  ))
                      .X
              )

              Expect.equal (Scope.live () - before) 0 ""
              x.Dispose()

          testCase "windows go on until the last step, and after k rounds the first k steps stand"
          <| fun () ->
              Scope.run0 (fun () ->
                  let model = Mixture.model Path.vp Prediction.noise (mixture ())
                  let plan = planOf Samplers.ddim 12 model
                  let found =
                      ok (Picard.run { Window = 5; Tolerance = 0.1 } plan model None noise (start plan Path.vp 3))
                  Expect.equal found.Settled.Length found.Calls "one for every call"
                  Expect.equal (List.last found.Settled) [| 12; 12; 12 |] "the last step"
                  for k, (before, after) in List.indexed (List.pairwise found.Settled) do
                      for sample in 0..2 do
                          Expect.isGreaterThanOrEqual after[sample] (min 12 (max before[sample] (k + 2))) "they go on")

          testCase "what cannot be run in parallel is said"
          <| fun () ->
              Scope.run0 (fun () ->
                  let model = Mixture.model Path.vp Prediction.noise (mixture ())
                  let plan = planOf Samplers.ddim 5 model
                  let x = start plan Path.vp 1
                  let run how plan () = (ok (Picard.run how plan model None noise x)).X
                  let how = { Window = 4; Tolerance = 0.1 }
                  raises<ArgumentException, _>(run how { plan with Sampler = Samplers.dpmPp2m })
                  |> names [ "dpmpp-2m"; "ddim" ]
                  raises<ArgumentException, _>(run { how with Window = 0 } plan) |> names [ "window of 0" ]
                  raises<ArgumentException, _>(run { how with Tolerance = -1.0 } plan) |> names [ "tolerance -1" ]) ]
    |> collected
