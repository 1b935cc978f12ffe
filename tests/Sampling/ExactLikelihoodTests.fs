module Fokker.Tests.Sampling.ExactLikelihoodTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

let private largest (x: Tensor) = (Tensor.max (abs x)).ToFloat()

/// Three overlapping Gaussians in d dimensions, none of them round.
let private mixture (d: int) =
    let rng = Rng.ofSeed (int64 d)
    let means = Rng.normal f64 [ 3; d ] (Rng.named "means" rng)
    let roots = 0.3 * Rng.normal f64 [ 3; d; d ] (Rng.named "roots" rng)
    let spread = Linalg.matmul roots (Tensor.transpose 1 2 roots) * (1.0 / float d) + 0.3 * Tensor.eye f64 d
    Mixture.ofCovariances [| 0.5; 0.3; 0.2 |] means spread

/// The ends that an oracle's velocity reaches: all the way where α̇ and dσ²/dt are finite, within the path's interior elsewhere.
let private ends (path: GaussianPath) =
    let low, high = path.Interior
    let finite (curve: Curve) t = Double.IsFinite(Curve.eval (Curve.derivative curve) t)
    let reach t inner = if finite path.Alpha t && finite path.Variance t then t else inner
    reach 0.0 low, reach 1.0 high

let private plan (path: GaussianPath) sampler model : SamplingPlan =
    let clean, noisy = ends path
    { Sampling.plan sampler 1 model with
        Kind = f64
        Span = { Noisy = noisy; Clean = clean; Finish = Stop } }

let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)

let private adaptive tolerance trace (path: GaussianPath) (m: Mixture) : Likelihood =
    let model = Mixture.model path Prediction.velocity m
    let plan = plan path (samplerOf "dop853") model

    { Likelihood.make trace plan path with
        Control = Adaptive(Tolerance.both tolerance)
        Prior = Mixture.logDensity path m (Tensor.scalar f64 plan.Span.Noisy) }

let private under (likelihood: Likelihood) path m rng x =
    let flow (_: Condition) = { Velocity = Mixture.velocity path m }
    ok (Likelihood.underFlow likelihood path flow None rng x)

// A table of betas and a path of a thousand pieces have no higher derivatives for a high order to use.
let private smooth =
    List.map Part.standard Path.parts
    @ [ Paths.subVp; Paths.ve; Paths.edm; Paths.cosine; Paths.linearGamma ]

let private cases =
    [ for path in smooth do
          (path.Name, 2)
          (path.Name, 16) ]

/// A velocity of images and labels that is curved in x, and what the field was given: how many samples at once.
let private curved (seen: ResizeArray<int>) (condition: Condition) : Ode =
    { Velocity =
        fun t x ->
            seen.Add x.Shape[0]
            let shift = Tensor.perSample x (condition.Value.To Dtype.Float64)
            let t = if t.Rank = 0 then t else Tensor.perSample x t
            (1.0 + t) * Tensor.tanh (0.3 * x + 0.1 * shift) * Tensor.cos (Tensor.sumKeep [ 1; 2 ] x) }

/// Φ, the law of N(0, 1) below z.
let private below (z: float) = Tensor.scalar f64 (z / Math.Sqrt 2.0) |> Tensor.erf |> fun e -> 0.5 * (1.0 + e.ToFloat())

[<Tests>]
let tests =
    testList
        "Sampling.ExactLikelihood"
        [ testTheory "the log-density of an exact flow is exact to 1e-6" cases
          <| fun (name: string, d: int) ->
              Scope.run0 (fun () ->
                  let path = smooth |> List.find (fun p -> p.Name = name)
                  let m = mixture d
                  let clean, _ = ends path
                  let x = Mixture.sampleAt path clean 4 (Rng.ofSeed 9L) m
                  let density = under (adaptive 1e-9 Trace.exact path m) path m (Rng.ofSeed 0L) x
                  let exact = Mixture.logDensity path m (Tensor.scalar f64 clean) x
                  close 1e-6 0.0 (largest (density.LogDensity - exact)) $"{name}, from t = {clean}"
                  holds
                      (density.StandardError.IsNone && Array.forall (fun n -> n > 20) density.Evaluations)
                      "what else it says")

          testCase "pure noise in the place of the law at the end costs what the formula says"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m, path = mixture 2, Path.vp
                  let x = Mixture.sample 64 (Rng.ofSeed 9L) m
                  let own = adaptive 1e-9 Trace.exact path m
                  let noise = { own with Prior = (Likelihood.make Trace.exact own.Plan path).Prior }
                  let density = under noise path m (Rng.ofSeed 0L) x
                  let cost = Likelihood.costOfPrior own.Prior noise density
                  // What is left of the data at t = 1 is α = e^{−5.025} = 0.0066 of means and samples of size 1 to 3.
                  let most = largest cost
                  holds (most > 1e-4 && most < 2e-2) $"up to {most}"
                  close
                      1e-6
                      0.0
                      (largest (density.LogDensity + cost - Mixture.logDensityOfData m x))
                      "what is lost is the cost"
                  // A path that ends in pure noise loses nothing.
                  let straight = adaptive 1e-9 Trace.exact Path.condOT m
                  let pure' = { straight with Prior = (Likelihood.make Trace.exact straight.Plan Path.condOT).Prior }
                  let density = under pure' Path.condOT m (Rng.ofSeed 0L) x
                  close 1e-12 0.0 (largest (Likelihood.costOfPrior straight.Prior pure' density)) "condot")

          testTheory
              "several probes are each fixed along the trajectory, and say how far their mean may be off"
              [ "rademacher"; "gaussian" ]
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let m, path = mixture 4, Path.condOT
                  let make (probes: int) = Catalogue.traces.Find $"{name}:{probes}"
                  let x = Mixture.sample 12 (Rng.ofSeed 3L) m
                  let exact = Mixture.logDensityOfData m x
                  let density = under (adaptive 1e-6 (make 32) path m) path m (Rng.ofSeed 4L) x
                  let errors = density.StandardError.Value
                  let off = Tensor.toFloats ((density.LogDensity - exact) / errors)
                  // Twelve t-statistics of 31 degrees of freedom: one beyond 4.5 in a thousand such tests.
                  holds (off |> Array.forall (fun z -> abs z < 4.5)) $"%A{off}"
                  close (4.0 / Math.Sqrt 12.0) 0.0 (Array.average off) "on average"
                  holds ((Tensor.min errors).ToFloat() > 1e-3) "probes differ"
                  // A row's probes are its own, in whichever batch.
                  let part =
                      under
                          (adaptive 1e-6 (make 32) path m)
                          path
                          m
                          (Rng.rows 5L (Rng.ofSeed 4L))
                          (Tensor.narrow 0 5 3 x)
                  close 1e-9 0.0 (largest (Tensor.narrow 0 5 3 density.PerProbe - part.PerProbe)) "rows 5 to 7")

          testCase "fixed and adaptive steps agree, with labels too"
          <| fun () ->
              Scope.run0 (fun () ->
                  // v = (k − 1) x for label k: samples of different labels are done at different times.
                  let flow (condition: Condition) =
                      { Velocity = fun _ x -> Tensor.perSample x ((condition.Value.To Dtype.Float64) - 1.0) * x }

                  let path = Path.condOT
                  let model = Mixture.model path Prediction.velocity (mixture 2)
                  let x = Rng.normal f64 [ 4; 2; 3 ] (Rng.ofSeed 2L)
                  let labels = Tensor.ofArray [ 4 ] [| 0L; 1L; 2L; 5L |]
                  let fixed' = Likelihood.make Trace.exact { plan path (samplerOf "rk4") model with Steps = 400 } path
                  let chosen =
                      { Likelihood.make Trace.exact (plan path (samplerOf "tsitouras") model) path with
                          Control = Adaptive(Tolerance.both 1e-8) }
                  let by likelihood = ok (Likelihood.underFlow likelihood path flow (Some labels) (Rng.ofSeed 0L) x)
                  let a, b = by fixed', by chosen
                  // x grows by e⁴: 55² times the error of x.
                  close 1e-3 0.0 (largest (a.LogDensity - b.LogDensity)) "densities"
                  close 1e-4 0.0 (largest (a.Latent - b.Latent)) "latents"
                  let expected =
                      Likelihood.gaussian 1.0 (x * Tensor.perSample x (exp ((labels.To Dtype.Float64) - 1.0)))
                      + ((labels.To Dtype.Float64) - 1.0) * 6.0
                  close 1e-4 0.0 (largest (b.LogDensity - expected)) "closed form"
                  holds (b.Evaluations[3] > b.Evaluations[1]) "a sample that moves takes more steps")

          // Samples have times, labels and probes of their own: each part must be given its own.
          testCase "the density does not depend on the memory that it may take, and keeps to it"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path, n = Path.condOT, 7
                  let model = Mixture.model path Prediction.velocity (mixture 2)
                  let x = Rng.normal f64 [ n; 2; 3 ] (Rng.ofSeed 2L)
                  let labels = Tensor.ofArray [ n ] [| 0L; 1L; 2L; 5L; 3L; 1L; 4L |]

                  for control, sampler, trace in
                      [ Adaptive(Tolerance.both 1e-6), "tsitouras", Trace.exact
                        Adaptive(Tolerance.both 1e-6), "tsitouras", Trace.rademacher 2
                        Fixed, "rk4", Trace.exact
                        Fixed, "rk4", Trace.gaussian 1 ] do
                      let under memory =
                          let seen = ResizeArray()
                          let likelihood =
                              { Likelihood.make trace { plan path (samplerOf sampler) model with Steps = 10 } path with
                                  Control = control
                                  Memory = memory }
                          let density =
                              ok (Likelihood.underFlow likelihood path (curved seen) (Some labels) (Rng.ofSeed 3L) x)
                          density, seen.ToArray()

                      let whole, seen = under Int64.MaxValue
                      Expect.equal (Array.max seen) n ""
                      let bytes =
                          Diff.graphBytes
                              ((curved (ResizeArray()) (Some(Tensor.narrow 0 0 1 labels)))
                                  .Velocity(Tensor.scalar f64 0.0))
                              (Tensor.narrow 0 0 1 x)

                      // One tensor of the field's, the time, is of no sample.
                      for memory, most in [ 3L * bytes, 3; 1L, 1 ] do
                          let parts, seen = under memory
                          // Two samples go through to see what one takes.
                          Expect.equal (Array.max seen[2..]) most $"{sampler} {trace.Name}, {memory} bytes"
                          close
                              1e-12
                              0.0
                              (largest (parts.PerProbe - whole.PerProbe))
                              $"{sampler} {trace.Name}, {memory} bytes"
                          close
                              1e-12
                              0.0
                              (largest (parts.Latent - whole.Latent))
                              $"{sampler} {trace.Name}, {memory} bytes"
                          holds (parts.Evaluations = whole.Evaluations) "evaluations")

          testCase "dequantized bits are those of the discrete law, and a little more"
          <| fun () ->
              Scope.run0 (fun () ->
                  // Two Gaussians in the plane of bytes, whose cells have masses in closed form; broad ones are nearly flat within a cell.
                  for std, gap in [ 6.0, 0.01; 1.0, 0.2 ] do
                      let weights, means = [| 0.3; 0.7 |], [| 90.0; 130.0; 160.0; 60.0 |]
                      let bytes = Mixture.ofStds weights (Tensor.ofArray [ 2; 2 ] means) (Tensor.full f64 [ 2; 2 ] std)
                      // What a network would see: y = (x − 127.5)/127.5, the same law in its units.
                      let units = { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
                      let inside =
                          Mixture.ofStds
                              weights
                              (Units.toNetwork units (Tensor.ofArray [ 2; 2 ] means))
                              (Tensor.full f64 [ 2; 2 ] (std / 127.5))
                      let n, d = 400, 2
                      let x = Tensor.round (Mixture.sample n (Rng.ofSeed 6L) bytes)
                      let spread = Likelihood.dequantized (Rng.ofSeed 7L) x
                      let densities =
                          under
                              (adaptive 1e-7 Trace.exact Path.condOT inside)
                              Path.condOT
                              inside
                              (Rng.ofSeed 0L)
                              (Units.toNetwork units spread)
                      let found = Tensor.toFloats (densities.LogDensity - Units.logVolume units d)
                      // The constant: the density of the bytes themselves.
                      let direct = Tensor.toFloats (Mixture.logDensityOfData bytes spread)
                      Array.iter2 (fun a b -> close 1e-4 b a "units") found direct

                      let mass (x: float[]) =
                          Seq.init 2 (fun k ->
                              let side j =
                                  below ((x[j] + 0.5 - means[2 * k + j]) / std)
                                  - below ((x[j] - 0.5 - means[2 * k + j]) / std)
                              weights[k] * side 0 * side 1)
                          |> Seq.sum
                          |> Math.Log

                      let discrete = Tensor.toFloats x |> Array.chunkBySize 2 |> Array.map mass
                      let bits =
                          Array.map2
                              (fun nats exact ->
                                  Likelihood.bitsPerDimension d nats - Likelihood.bitsPerDimension d exact)
                              found
                              discrete
                      let estimate = Measure.overDraws n (fun k -> bits[k])
                      holds (estimate.Mean > -3.0 * estimate.StandardError) $"std {std}: a bound: {estimate}"
                      // E (u/std)²/2 with u ~ U[−½, ½) less what log ∫ makes of it: of the order of (1/std)⁴ for what the bound loses and (1/std)²/24 for noise.
                      holds
                          (abs estimate.Mean < gap)
                          $"std {std}: {estimate} bits a dimension more than the discrete law")

          testTheory
              "a likelihood of which nothing is said is within 1e-3 nats of the closed form"
              [ "condot"; "vp"; "ve"; "edm"; "cosine"; "ddpm" ]
          <| fun name ->
              Scope.run0 (fun () ->
                  // Narrow beside its distances, as two moons and eight Gaussians are, on a path whose noise may be of deviation 80.
                  let means = Tensor.ofArray [ 3; 2 ] [| -1.0; 0.5; 1.0; 0.0; 0.2; -1.2 |]
                  let narrow = Mixture.ofStds [| 0.5; 0.3; 0.2 |] means (Tensor.full f64 [ 3; 2 ] 0.15)
                  let path = Catalogue.paths.Find name
                  let model = GenerativeModel.ofMixture "narrow" path Prediction.velocity f64 narrow
                  let x = Mixture.sample 64 (Rng.ofSeed 3L) narrow
                  let found = Densities.ofSamples model x
                  let asked =
                      Validation.densities model { DensityRequest.standard with Method = Some DensityMethod.Flow }
                  let again =
                      Densities.find asked.Model asked.Way asked.Time 64 (Rng.ofSeed 0L) (fun _ _ -> ()) None (x, None)
                  let exact = Tensor.toFloats (Mixture.logDensity path narrow (Tensor.scalar f64 asked.Time) x)
                  Expect.equal again.Nats found.Nats "a request of which nothing is said is the standard way"

                  for nats, exact in Array.zip found.Nats exact do
                      close 1e-3 exact nats name)

          // x_t = (1 − t) x₀ + t x₁ of two Gaussians on the line has the velocity m₁ − m₀ + V̇/(2V) (x − mean). Both ends are in units of their own.
          testCase "a flow from a law of known density has one, in the units of both"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m0, s0, m1, s1 = 0.3, 0.6, -0.4, 1.5
                  let column (v: float) = Tensor.ofArray [ 1; 1 ] [| v |]
                  let units, sourceUnits =
                      { Shift = [| 3.0 |]; Scale = [| 2.0 |] }, { Shift = [| -1.0 |]; Scale = [| 0.5 |] }
                  let law = Mixture.ofStds [| 1.0 |] (column (-1.0 + 0.5 * m1)) (column (0.5 * s1))

                  let velocity: Field =
                      fun t x ->
                          let t = Tensor.perSample x (Tensor.expand [ x.Shape[0] ] t)
                          let variance = s0 * s0 * Tensor.square (1.0 - t) + s1 * s1 * Tensor.square t
                          let slope = (s1 * s1 * t - s0 * s0 * (1.0 - t)) / variance
                          m1 - m0 + slope * (x - (m0 * (1.0 - t) + m1 * t))

                  let model =
                      { GenerativeModel.ofField "line" [ 1 ] Path.condOT Prediction.velocity Kind.Float64 velocity with
                          Dynamics =
                              Transport
                                  { Interpolant = Interpolant.linear
                                    Velocity = fun _ -> velocity
                                    Noise = None }
                          Units = units
                          Source =
                              Some { Dataset.ofMixture "mixture:law.json" "law.json" law with Units = sourceUnits } }

                  let x = 3.0 + 2.0 * (m0 + s0 * Rng.normal f64 [ 5; 1 ] (Rng.ofSeed 2L))
                  let exact (x: float) =
                      let z = (x - 3.0 - 2.0 * m0) / (2.0 * s0)
                      -0.5 * z * z - log (2.0 * s0 * sqrt (2.0 * Math.PI))

                  for nats, x in Array.zip (Densities.ofSamples model x).Nats (Tensor.toFloats x) do
                      close 1e-4 (exact x) nats "log p")

          testCase "a great circle keeps the radius, a line does not"
          <| fun () ->
              Scope.run0 (fun () ->
                  let a, b = Rng.normal f64 [ 5; 3; 4 ] (Rng.ofSeed 1L), Rng.normal f64 [ 5; 3; 4 ] (Rng.ofSeed 2L)
                  let length x = sqrt (Tensor.sumRows (Tensor.square x))
                  let unit x = x / Tensor.perSample x (length x)
                  let u, v = unit a, unit b

                  for w in [ 0.0; 0.25; 0.5; 1.0 ] do
                      close 1e-12 0.0 (largest (length (Latents.spherical w u v) - 1.0)) "on the sphere"

                  for ends, way in [ 0.0, a; 1.0, b ] do
                      close 1e-12 0.0 (largest (Latents.spherical ends a b - way)) "an end"
                      close 1e-12 0.0 (largest (Latents.linear ends a b - way)) "an end"

                  holds ((Tensor.max (length (Latents.linear 0.5 u v))).ToFloat() < 0.99) "the chord"
                  // Half of the way is half of the angle.
                  let cosine x y = Tensor.sumRows (x * y)
                  let middle = Latents.spherical 0.5 u v
                  close 1e-12 0.0 (largest (cosine u middle - cosine middle v)) "the middle"
                  // Nearly opposite and of unequal length, it goes around and not away.
                  let across = Latents.spherical 0.5 a (-3.0 * a + 1e-3 * b)
                  close 1e-2 0.0 (largest (length across / length a - 2.0)) "half of the way is of the mean length"
                  // Parallel, opposite and zero: straight, and finite.
                  for other in [ 2.0 * a; -a; 0.0 * a ] do
                      close 1e-12 0.0 (largest (Latents.spherical 0.3 a other - Latents.linear 0.3 a other)) "straight")

          testCase "what is encoded comes back"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m, path = mixture 3, Path.vp
                  let x = Mixture.sample 8 (Rng.ofSeed 1L) m
                  let flow (_: Condition) = { Velocity = Mixture.velocity path m }

                  for control, tableau, times, tolerance in
                      [ Adaptive(Tolerance.both 1e-9), Tableau.tsitouras, [| 0.0; 1.0 |], 1e-7
                        Fixed, Tableau.rk4, Array.init 201 (fun k -> float k / 200.0), 1e-5 ] do
                      let there = ok (Latents.carry control tableau flow None times x)
                      let back = ok (Latents.carry control tableau flow None (Array.rev times) there.X)
                      close tolerance 0.0 (largest (back.X - x)) tableau.Name) ]
