module Fokker.Tests.Sampling.LikelihoodTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

// Functions: a tensor of the module's own would belong to whichever scope first came by.
let private mixture () =
    let means = Tensor.ofArray [ 2; 2 ] [| -1.0; 0.3; 0.8; -0.5 |]
    let covariances = Tensor.ofArray [ 2; 2; 2 ] [| 0.8; 0.3; 0.3; 0.6; 0.7; -0.2; -0.2; 0.9 |]
    Mixture.ofCovariances [| 0.4; 0.6 |] means covariances

let private points () = Mixture.sample 6 (Rng.ofSeed 3L) (mixture ())

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

let private largest (x: Tensor) = (Tensor.max (abs x)).ToFloat()
let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)

/// From t = 0, which the oracle's velocity reaches on these paths, to t = 1; the prior is the oracle's own law there.
let private exactlyFrom (clean: float) (sampler: Sampler) steps trace (model: Model) (m: Mixture) : Likelihood =
    let plan =
        { Sampling.plan sampler steps model with
            Kind = f64
            Span = { Noisy = 1.0; Clean = clean; Finish = Stop } }

    { Likelihood.make trace plan model.Path with
        Prior = Mixture.logDensity model.Path m (Tensor.scalar f64 1.0) }

let private paths = [ Path.condOT; Path.trigonometric; Path.vp ]

let private methods =
    [ for path in paths do
          for name in [ "euler"; "heun"; "bogacki-shampine"; "rk4" ] -> (path.Name, name) ]

[<Tests>]
let tests =
    testList
        "Sampling.Likelihood"
        [ testTheory "the flow's log-density goes to the closed form at the order of the method" methods
          <| fun (pathName: string, name: string) ->
              let path = paths |> List.find (fun (p: GaussianPath) -> p.Name = pathName)
              let sampler, m, x = samplerOf name, mixture (), points ()
              let model = Mixture.model path Prediction.velocity m
              let exact = Mixture.logDensityOfData m x

              let error steps =
                  let likelihood = exactlyFrom 0.0 sampler steps Trace.exact model m
                  largest (ok (Likelihood.logDensity likelihood model None (Rng.ofSeed 0L) x) - exact)

              let n = 64
              let coarse, fine = error n, error (2 * n)
              let order = Math.Log2(coarse / fine)
              close
                  0.2
                  (float sampler.Order)
                  order
                  $"{name} on {pathName}: {coarse:G3} with {n} steps, {fine:G3} with twice as many"
              holds (fine < 0.05) $"{fine}"

          testCase "the density of x_t is that of the mixture at t"
          <| fun () ->
              let m = mixture ()

              // Smooth paths that the test above does not have: a table of betas takes a step for each of its thousand pieces.
              for path in [ Paths.subVp; Paths.ve; Paths.edm; Paths.cosine ] do
                  let clean = 0.3
                  let model = Mixture.model path Prediction.velocity m
                  let x = Mixture.sampleAt path clean 6 (Rng.ofSeed 5L) m
                  let noisy = snd path.Interior
                  let likelihood = exactlyFrom clean Samplers.rk4 60 Trace.exact model m
                  let likelihood =
                      { likelihood with
                          Plan.Span = { likelihood.Plan.Span with Noisy = noisy }
                          Prior = Mixture.logDensity path m (Tensor.scalar f64 noisy) }

                  let found = ok (Likelihood.logDensity likelihood model None (Rng.ofSeed 0L) x)
                  let error = largest (found - Mixture.logDensity path m (Tensor.scalar f64 clean) x)
                  close 1e-5 0.0 error path.Name

          testCase "without another prior it is that of the noise that sampling starts from"
          <| fun () ->
              let m = mixture ()
              let model = Mixture.model Path.condOT Prediction.velocity m
              let plan = { Sampling.plan Samplers.rk4 100 model with Kind = f64 }
              let x = points ()
              // On the straight path nothing is left of the data at t = 1: the prior is exact.
              let found =
                  ok (Likelihood.logDensity (Likelihood.make Trace.exact plan model.Path) model None (Rng.ofSeed 0L) x)
              close 1e-5 0.0 (largest (found - Mixture.logDensityOfData m x)) "closed form"
              let round = Mixture.ofStds [| 1.0 |] (Tensor.zeros f64 [ 1; 2 ]) (Tensor.full f64 [ 1; 2 ] 1.7)
              close 1e-12 0.0 (largest (Likelihood.gaussian 1.7 x - Mixture.logDensityOfData round x)) "N(0, 1.7² I)"

          testCase "estimated divergences give the log-density without bias"
          <| fun () ->
              let m = mixture ()
              let model = Mixture.model Path.condOT Prediction.velocity m
              let n = 2000
              let x = Tensor.expand [ n; 2 ] (Tensor.narrow 0 0 1 (points ()))

              let density trace =
                  let likelihood = exactlyFrom 0.0 Samplers.heun 16 trace model m
                  ok (Likelihood.logDensity likelihood model None (Rng.ofSeed 8L) x)

              let exact = (Tensor.narrow 0 0 1 (density Trace.exact)).ToFloat()

              for trace in [ Trace.rademacher 1; Trace.gaussian 1; Trace.gaussian 4 ] do
                  let values = Tensor.toFloats (density trace)
                  let estimate = Measure.overDraws n (fun k -> values[k])
                  holds (estimate.StandardError > 1e-4) $"{trace.Name}: every row has probes of its own"
                  close (4.0 * estimate.StandardError) exact estimate.Mean trace.Name

          testCase "a row's estimate does not depend on its batch"
          <| fun () ->
              let m = mixture ()
              let model = Mixture.model Path.vp Prediction.noise m
              let plan = { Sampling.plan Samplers.heun 8 model with Kind = f64 }
              let likelihood = Likelihood.make (Trace.rademacher 1) plan model.Path
              let density rng x = ok (Likelihood.logDensity likelihood model None rng x)
              let x = points ()
              let whole = density (Rng.ofSeed 1L) x
              let part = density (Rng.rows 2L (Rng.ofSeed 1L)) (Tensor.narrow 0 2 3 x)
              close 1e-12 0.0 (largest (Tensor.narrow 0 2 3 whole - part)) "rows 2 to 4"

          testCase "a float32 network, images and labels pass through"
          <| fun () ->
              // v = (label − 1)·x on images: log p = log N(x e^{(k−1) t}) + (k − 1) d t.
              let model: Model =
                  { Path = Path.condOT
                    Prediction = Prediction.velocity
                    Network =
                      fun condition _ x ->
                          holds (x.Dtype = Dtype.Float32) "the network sees its own element type"

                          match condition with
                          | Some labels -> Tensor.perSample x ((labels.To x.Dtype) - 1.0) * x
                          | None -> failwith "labels are missing"
                    WithVariance = None }

              let plan = Sampling.plan Samplers.rk4 50 model
              let x = Rng.normal f64 [ 3; 2; 4; 4 ] (Rng.ofSeed 2L)
              let labels = Tensor.ofArray [ 3 ] [| 0L; 1L; 2L |]
              let likelihood = Likelihood.make Trace.exact plan model.Path
              let found = ok (Likelihood.logDensity likelihood model (Some labels) (Rng.ofSeed 0L) x)
              holds (found.Dtype = Dtype.Float64 && found.Shape = [| 3 |]) (found.Describe())

              for k in 0..2 do
                  let rate = float (k - 1)
                  let row = Tensor.narrow 0 k 1 x
                  let expected = (Likelihood.gaussian 1.0 (row * exp rate)).ToFloat() + rate * 32.0
                  // float32 velocities over 50 steps.
                  close 1e-3 expected (found[k].ToFloat()) $"label {k}"

          testCase "a stochastic sampler is refused, a field that fails is a value, and nothing is left over"
          <| fun () ->
              let m = mixture ()
              let model = Mixture.model Path.condOT Prediction.velocity m

              raises<ArgumentException, _>(fun () ->
                  Likelihood.make Trace.exact (Sampling.plan Samplers.eulerMaruyama 4 model) model.Path)
              |> names [ "euler-maruyama"; "flow" ]

              let broken = { model with Network = fun _ t x -> if t.ToFloat() > 0.5 then x * nan else x }
              let likelihood = Likelihood.make Trace.exact (Sampling.plan Samplers.heun 8 model) model.Path
              use x = points ()
              GC.Collect()
              GC.WaitForPendingFinalizers()
              let before = Scope.live ()

              match Likelihood.logDensity likelihood broken None (Rng.ofSeed 0L) x with
              | Ok _ -> failtest "NaN has no density"
              | Error failure -> holds (failure.Step = 5) $"{failure}"

              (ok (Likelihood.logDensity likelihood model None (Rng.ofSeed 0L) x)).Dispose()
              holds (Scope.live () = before) $"{Scope.live () - before} tensors left over"

          testCase "bits a dimension: 256 equal levels are eight bits"
          <| fun () -> close 1e-12 8.0 (Likelihood.bitsPerDimension 3 (-3.0 * Math.Log 256.0)) "nats to bits"

          testCase "units carry densities over"
          <| fun () ->
              // y ~ N(0, I) and x = shift + scale·y: log N(x; shift, scale²) = log N(y) − log volume.
              let y = Rng.normal f64 [ 5; 2 ] (Rng.ofSeed 4L)

              for units in
                  [ { Shift = [| 1.0; -2.0 |]; Scale = [| 0.5; 3.0 |] }; { Shift = [| 127.5 |]; Scale = [| 127.5 |] } ] do
                  let pair (values: float[]) = Tensor.ofArray [ 1; 2 ] [| values[0]; values[values.Length - 1] |]
                  let law = Mixture.ofStds [| 1.0 |] (pair units.Shift) (pair units.Scale)
                  let expected = Mixture.logDensityOfData law (Units.toData units y)
                  close 1e-10 0.0 (largest (Likelihood.gaussian 1.0 y - Units.logVolume units 2 - expected)) $"{units}" ]
    |> collected
