/// Steering against laws that are known: what particles estimate, what the steps that wrap others do, and what is refused.
module Fokker.Tests.Sampling.SteeringTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private isTrue (what: string) (holds: bool) = Expect.isTrue holds what

let private within (tolerance: float) (expected: float) (actual: float) (what: string) =
    isTrue $"{what}: {actual}, expected {expected} within {tolerance}" (abs (actual - expected) <= tolerance)

/// The reason of the ArgumentException that work ends with.
let private refused (work: unit -> 'T) : string =
    try
        work () |> ignore
        failwith "nothing was refused"
    with
    | :? RefusedException as e -> e.Message
    | :? ArgumentException as e -> Refusal.reason e

let private says (words: string list) (message: string) =
    isTrue $"one line: {message}" (not (message.Contains '\n'))

    for word in words do
        isTrue $"'{word}' in: {message}" (message.Contains word)

let private mixture () =
    let means = Tensor.ofArray [ 3; 2 ] [| -1.5; 0.5; 1.0; 1.0; 0.5; -1.2 |]
    let stds = Tensor.ofArray [ 3; 2 ] [| 0.35; 0.5; 0.4; 0.3; 0.35; 0.35 |]
    Mixture.ofStds [| 1.0; 2.0; 1.5 |] means stds

let private row = Tensor.ofArray [ 1; 2 ] [| 1.0; 0.6 |]
let private line noise = Observation.make (Operator.Matrix row) noise
let private model () = GenerativeModel.ofMixture "mixture" Path.vp Prediction.noise Kind.Float64 (mixture ())
let private given (values: float[]) = { Name = "y.npy"; Values = Tensor.ofArray [ values.Length ] values }

let private request (steering: SteeringRequest) (solver: Sampler option) (steps: int) (n: int) : SamplingRequest =
    { SamplingRequest.standard with
        Generation = { GenerationRequest.standard with Solver = solver; Steps = Some steps }
        Steering = steering
        Count = Some n
        Seed = 5L }

let private seen (method: SteeringMethod) : SteeringRequest =
    { SteeringRequest.none with
        Observation = Some(line 0.2)
        Observed = Some(given [| 0.4 |])
        Method = Some method }

let private drawn (request: SamplingRequest) =
    let task = Validation.sampling (model ()) request
    Samples.draw task.Model task.Drawing task.Key task.Count (fun _ _ -> ()), task

// ---- particles

/// E e^{λ ⟨w, x₀⟩} under ancestral steps of one Gaussian is known step by step; particles with a proposal and a twist that are both wrong estimate it all the same.

// ---- steps

// ---- rewards, units

// ---- what cannot be

[<Tests>]
let tests =
    testList
        "Sampling.Steering"
        [ testCase "systematic resampling takes each particle as often as its weight says, but for one"
          <| fun () ->
              let rng = Rng.ofSeed 3L

              for case in 1..50 do
                  let own = Rng.at (int64 case) rng
                  let w = Tensor.toFloats (Rng.uniform Kind.Float64 [ 12 ] (Rng.named "w" own))
                  let u = Rng.number (Rng.named "u" own)
                  let chosen = SteeringParticles.systematic u (Array.map Math.Log w)
                  let total = Array.sum w

                  for i in 0..11 do
                      let times = chosen |> Array.filter ((=) i) |> Array.length
                      isTrue $"case {case}, particle {i}" (abs (float times - 12.0 * w[i] / total) < 1.0)

          // Of a covariance's system the answer is that of conjugate gradients, however badly conditioned; of one that is neither symmetric nor positive, as a network's is where it has learned
          // little, nothing moves far.
          testCase "a system that is no covariance's moves nothing far"
          <| fun () ->
              Scope.run0 (fun () ->
                  let rng, d = Rng.ofSeed 3L, 6
                  let half = Rng.normal Kind.Float64 [ 40; d; d ] (Rng.named "half" rng)
                  let b = Rng.normal Kind.Float64 [ 40; d ] (Rng.named "b" rng)
                  let covariance = Linalg.matmul half (Tensor.transpose 1 2 half)

                  let times noise2 (c: Tensor) (x: Tensor) =
                      noise2 * x + Tensor.squeeze 2 (Linalg.matmul c (Tensor.unsqueeze 2 x))

                  let rows (x: Tensor) = sqrt (Tensor.sumRows (Tensor.square x)) |> Tensor.toFloats

                  for noise2 in [ 1e-4; 1e-2; 1.0 ] do
                      let system = times noise2 covariance

                      for k in 1 .. 2 * d do
                          let solved = Steering.covarianceGradients noise2 k system b
                          let plain = Steering.conjugateGradients k system b
                          Expect.equal (Tensor.toFloats solved) (Tensor.toFloats plain) $"s² = {noise2}, {k} steps"

                  let wrong = times 0.01 (50.0 * half)

                  for k in 1..6 do
                      let moved = Steering.covarianceGradients 0.01 k wrong b
                      // From the third step on it is seen that residuals are not at right angles, and one step of minimal residuals leaves no more than there was.
                      let most = if k < 3 then 100.0 else 1.0 + 1e-9

                      for left, before in Array.zip (rows (b - wrong moved)) (rows b) do
                          Expect.isLessThanOrEqual left (most * before) $"{k} steps"

                  let plain = rows (b - wrong (Steering.conjugateGradients 5 wrong b))
                  Expect.isGreaterThan (Array.max (Array.map2 (/) plain (rows b))) 100.0 "without it")

          testCase "the particles' estimate of E exp(λ r) is unbiased, resampled or not"
          <| fun () ->
              let c2, mean, tilt = 0.49, 0.3, 0.8
              let m =
                  Mixture.ofStds
                      [| 1.0 |]
                      (Tensor.ofArray [ 1; 1 ] [| mean |])
                      (Tensor.full Kind.Float64 [ 1; 1 ] (Math.Sqrt c2))
              let path = Path.vp
              let exactModel = Mixture.model path Prediction.noise m
              let plan = { Sampling.plan Samplers.ancestral 12 exactModel with Kind = Kind.Float64 }
              let times = Sampling.times plan path

              let linear time =
                  let struct (alpha, sigma) = Path.alphaSigma path time
                  let k = alpha * c2 / (alpha * alpha * c2 + sigma * sigma)
                  struct (k, mean - alpha * k * mean)

              let struct (k, rest) = linear times[times.Length - 1]

              // log E[e^{λ x₀} | x_t] = u x + c, from the end backwards.
              let u, c =
                  List.foldBack
                      (fun (until, time) (u, c) ->
                          let p = Variational.posterior path until time
                          let struct (k, rest) = linear time
                          u * (p.State + p.Data * k), c + p.Data * u * rest + 0.5 * p.Variance * u * u)
                      (List.pairwise (List.ofArray times) |> List.map (fun (time, until) -> until, time))
                      (tilt * k, tilt * rest)

              let struct (_, sigma) = Path.alphaSigma path times[0]
              let expected = Math.Exp(c + 0.5 * sigma * sigma * u * u)
              let reward = SteeringTarget.Rewarded(Reward.linear (Tensor.ones Kind.Float64 [ 1 ]), tilt)
              let groups, count = 1500, 6

              for name, threshold in [ "gradient", 0.7; "gradient", 0.0; "fk-difference", 0.7; "fk-max", 0.7 ] do
                  let method = Catalogue.steerings.Find name

                  let weighing =
                      match method.Way with
                      | Corrects make ->
                          let steered = make true reward

                          { Correct = Some steered.Correct
                            Twist = fun look -> 0.7 * steered.Twist look
                            Final = fun x -> tilt * Tensor.sumRows x
                            Potential = Potential.Difference
                            LookAhead = None }
                      | Weighs potential ->
                          { Correct = None
                            Twist = fun look -> tilt * Tensor.sumRows look.Data
                            Final = fun x -> tilt * Tensor.sumRows x
                            Potential = potential
                            LookAhead = None }
                      | Wraps _ -> failwith name

                  let rng = Rng.ofSeed 11L |> Rng.named name
                  let x = Sampling.start plan path [ 1 ] (groups * count) rng

                  match
                      SteeringParticles.run
                          { Count = count; Threshold = threshold }
                          weighing
                          plan
                          exactModel
                          None
                          (Noise.fresh rng)
                          rng
                          ignore
                          x
                  with
                  | Error failure -> failwith (string failure)
                  | Ok swarm ->
                      let estimate = Estimate.ofDraws (swarm.LogEvidence |> Array.map Math.Exp)
                      // Two-sided, four standard errors: one chance in fifteen thousand; the key is fixed.
                      within
                          (4.0 * estimate.StandardError)
                          expected
                          estimate.Mean
                          $"{name}, resampled below {threshold}"
                      isTrue "with power" (estimate.StandardError < 0.08 * expected)
                      isTrue
                          $"{name}: resampled {swarm.Resamplings} times"
                          ((swarm.Resamplings = 0.0) = (threshold = 0.0))

          testCase "twisted particles sample the exact posterior, and log p(y) with it"
          <| fun () ->
              let x, task = drawn (request { seen Steering.tds with Particles = Some 24 } None 50 200)
              let exact = Conditioning.observed row 0.2 (Tensor.ofArray [ 1 ] [| 0.4 |]) (mixture ())
              let steering = task.Drawing.Steering.Value
              let figures = SteeringFigures.ofSamples task.Model steering x
              let log, error = figures.LogEvidence.Value
              // The steps' own bias is below 0.02 here.
              within (4.0 * error + 0.03) exact.LogEvidence log "log p(y)"
              let mean = Tensor.toFloats (Tensor.meanOver [ 0 ] x)
              let wanted = Tensor.toFloats (Mixture.mean exact.Law)
              let spread = Tensor.toFloats (Tensor.diagonal (Mixture.covariance exact.Law))

              for k in 0..1 do
                  within (4.0 * Math.Sqrt(spread[k] / 200.0) + 0.03) wanted[k] mean[k] $"mean {k}"

          testCase "samples are the same however they are cut into batches"
          <| fun () ->
              for method, particles in
                  [ Steering.mmps, None; Steering.tds, Some 4; Steering.repaint, None; Steering.fkMax, Some 3 ] do
                  let steering =
                      { SteeringRequest.none with
                          Observation = Some(Observation.make (Operator.Coordinates [ 1 ]) 0.2)
                          Observed = Some(given [| 0.4 |])
                          Method = Some method
                          Particles = particles }

                  let with' batch =
                      let request = request steering None 8 5
                      fst (drawn { request with Generation = { request.Generation with Batch = Some batch } })

                  let apart = (Tensor.max (abs (with' 4096 - with' (2 * defaultArg particles 1)))).ToFloat()
                  isTrue $"{method.Name}: {apart}" (apart < 1e-12)

          testCase "DPS moves a step by the gradient of the distance to y"
          <| fun () ->
              let m = mixture ()
              let exact = Mixture.model Path.vp Prediction.noise m
              let sensor = Sensor.make [ 2 ] (Observation.make (Operator.Nonlinear(fun x -> Tensor.square x)) 0.1)
              let y = Tensor.ofArray [ 1; 2 ] [| 0.5; 1.5 |]
              let target = SteeringTarget.Observed(sensor, y)
              let readings = Readings.ofModel 10 None exact
              let plain = Samplers.step Samplers.ddim readings

              let wrapped =
                  match (Steering.dpsWith 0.7).Way with
                  | Wraps(_, wrap) -> wrap target readings Samplers.ddim plain
                  | _ -> failwith "DPS wraps a step"

              let x = Mixture.sampleAt Path.vp 0.5 3 (Rng.ofSeed 2L) m
              let noise = Noise.fresh (Rng.ofSeed 1L)
              let shift = (wrapped noise 0.4 (Integrator.start 0.5 x)).X - (plain noise 0.4 (Integrator.start 0.5 x)).X

              let distance (x: Tensor) =
                  sqrt (Sensor.misfit sensor y (Mixture.denoiser Path.vp m (Integrator.time 0.5) x))

              let h = 1e-5

              let slope k =
                  let e = Tensor.ofArray [ 1; 2 ] (Array.init 2 (fun i -> if i = k then h else 0.0))
                  (distance (x + e) - distance (x - e)) / (2.0 * h)

              // α² + σ² = 1 on the variance-preserving path.
              let expected = -0.7 * Tensor.stack 1 [ slope 0; slope 1 ]
              isTrue "the gradient" ((Tensor.max (abs (shift - expected))).ToFloat() < 1e-7)

          testEach "what is seen without noise is in the samples as it is" id [ "replacement"; "repaint" ]
          <| fun name ->
              let steering =
                  { seen (Catalogue.steerings.Find name) with
                      Observation = Some(Observation.make (Operator.Mask(Tensor.ofArray [ 2 ] [| 0.0; 1.0 |])) 0.0)
                      Observed = Some { Name = "y.npy"; Values = Tensor.ofArray [ 2 ] [| nan; 0.9 |] } }

              let x, _ = drawn (request steering None 60 50)
              // The last step denoises at t = 0.001, where σ is 0.01.
              isTrue "seen" ((Tensor.max (abs (Tensor.select 1 1 x - 0.9))).ToFloat() < 0.05)

          testCase "given draws are used in their order, by RePaint too"
          <| fun () ->
              let steering =
                  { seen (Steering.repaintWith 2) with
                      Observation = Some(Observation.make (Operator.Coordinates [ 0 ]) 0.0) }

              let steps = 6
              // Each of the steps but the denoising one is made twice with a draw of its own, one for what is seen, and one on the way back.
              let draws = Rng.normal Kind.Float64 [ (steps - 1) * 5; 3; 2 ] (Rng.ofSeed 4L)

              let replayed (draws: Tensor) =
                  let request = request steering (Some Samplers.ancestral) steps 3
                  drawn
                      { request with
                          Count = None
                          Replay = Some { Name = "z.npy"; Values = draws }
                          Generation = request.Generation }
                  |> fst

              isTrue "the same" (Tensor.same (replayed draws) (replayed draws))

              for k in [ 0; 7; (steps - 1) * 5 - 1 ] do
                  let bump =
                      Tensor.cat
                          0
                          [ for i in 0 .. (steps - 1) * 5 - 1 ->
                                Tensor.full Kind.Float64 [ 1; 3; 2 ] (if i = k then 0.1 else 0.0) ]
                  isTrue $"draw {k} matters" (not (Tensor.same (replayed draws) (replayed (draws + bump))))

              let short = refused (fun () -> replayed (Tensor.narrow 0 0 ((steps - 1) * 5 - 1) draws))
              says [ "were given" ] short

          testCase "reward guidance is exact for a linear reward of one Gaussian"
          <| fun () ->
              let m =
                  Mixture.gaussian
                      (Tensor.ofArray [ 2 ] [| 0.3; -0.5 |])
                      (Tensor.ofArray [ 2; 2 ] [| 0.5; 0.2; 0.2; 0.4 |])
              let w = Tensor.ofArray [ 2 ] [| 1.0; -2.0 |]
              let reward = SteeringTarget.Rewarded(Reward.linear w, 0.6)
              let exact = Mixture.model Path.condOT Prediction.velocity m

              let steered =
                  match Steering.gradient.Way with
                  | Corrects make -> Steering.corrected (make false reward).Correct exact
                  | _ -> failwith "it corrects"

              let tilted = (Conditioning.tilted 0.6 w None m).Law
              let x = Mixture.sampleAt Path.condOT 0.4 5 (Rng.ofSeed 2L) m
              let t = Integrator.time 0.4
              let apart = Model.denoiser steered None t x - Mixture.denoiser Path.condOT tilted t x
              isTrue "the tilted law's denoiser" ((Tensor.max (abs apart)).ToFloat() < 1e-10)

          testCase "an observation is in the data's units, whatever the network's are"
          <| fun () ->
              let units = { Shift = [| 10.0; -3.0 |]; Scale = [| 4.0; 0.5 |] }
              let sensor = Sensor.make [ 2 ] (line 0.2)
              let scale = Units.toData { units with Shift = [| 0.0; 0.0 |] }
              let inside = Sensor.through (Units.toData units) scale sensor
              let x = Tensor.ofArray [ 1; 2 ] [| 0.3; -0.7 |]
              within 1e-12 (10.0 + 1.2 + 0.6 * (-3.0 - 0.35)) ((Tensor.sum (inside.Apply x)).ToFloat()) "A x"
              let matrix, offset = Sensor.matrixOf inside
              within 1e-12 4.0 ((matrix[0, 0]).ToFloat()) "slope"
              within 1e-12 0.3 ((matrix[0, 1]).ToFloat()) "slope"
              within 1e-12 8.2 ((Tensor.sum offset).ToFloat()) "offset"

          testCase "a flow map's end is looked at in the denoiser's place"
          <| fun () ->
              // One Gaussian's flow is known: a map that says its mean velocity, exactly.
              let m =
                  Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| 0.4 |]) (Tensor.full Kind.Float64 [ 1; 1 ] 0.6)
              let path = Path.condOT
              let spread t =
                  let struct (alpha, sigma) = Path.alphaSigma path t
                  Math.Sqrt(alpha * alpha * 0.36 + sigma * sigma), alpha

              let map (_: Condition) : Field =
                  fun times x ->
                      let t, s = (times[0, 0]).ToFloat(), (times[0, 1]).ToFloat()
                      let (st, at), (ss, as') = spread t, spread s
                      ((as' * 0.4 + ss / st * (x - at * 0.4)) - x) / (s - t)

              let flow: FlowMap = { Path = path; Domain = Between(1.0, 0.0); Map = map; WithLogDeterminant = None }
              let own = GenerativeModel.ofMixture "mixture" path Prediction.velocity Kind.Float64 m

              let steering =
                  { SteeringRequest.none with
                      Reward = Some(RewardChoice.Known(Reward.linear (Tensor.ones Kind.Float64 [ 1 ])))
                      Tilt = Some 0.5
                      Method = Some Steering.fkDifference
                      Particles = Some 8
                      LookAhead = Some(lazy { own with Dynamics = Mapping flow; Name = "map" }) }

              let task = Validation.sampling own (request steering None 40 400)
              let x = Samples.draw task.Model task.Drawing task.Key task.Count (fun _ _ -> ())
              // N(0.4, 0.36) tilted by e^{x/2} has the mean 0.4 + 0.5 · 0.36.
              within (4.0 * 0.6 / Math.Sqrt 400.0 + 0.03) 0.58 ((Tensor.mean x).ToFloat()) "the tilted mean"

          testCase "observations that do not fit are refused with the shapes"
          <| fun () ->
              let make operator = refused (fun () -> Sensor.make [ 3; 8; 8 ] (Observation.make operator 0.1))
              says [ "[2; 5]"; "[m; 192]" ] (make (Operator.Matrix(Tensor.zeros Kind.Float64 [ 2; 5 ])))
              says [ "the mask is [8; 7]"; "[3; 8; 8]" ] (make (Operator.Mask(Tensor.ones Kind.Float64 [ 8; 7 ])))
              says [ "0 everywhere" ] (make (Operator.Mask(Tensor.zeros Kind.Float64 [ 8; 8 ])))
              says [ "no coordinate 192" ] (make (Operator.Coordinates [ 0; 192 ]))
              says [ "twice" ] (make (Operator.Coordinates [ 1; 1 ]))
              says [ "blocks of 3"; "[3; 8; 8]" ] (make (Operator.Average 3))
              says [ "positive" ] (make (Operator.Blur 0.0))
              says [ "not linear" ] (make (Operator.Linear(fun x -> x * x)))
              says [ "no channels" ] (refused (fun () -> Sensor.make [ 5 ] (Observation.make Operator.Grey 0.1)))
              says [ "noise -1" ] (refused (fun () -> Sensor.make [ 2 ] (line -1.0)))

          testCase "requests that cannot be met are refused in a line"
          <| fun () ->
              let asked steering = refused (fun () -> Validation.sampling (model ()) (request steering None 5 4))
              let own = seen Steering.mmps
              says [ "Observed"; "y.npy"; "[2]"; "[1]" ] (asked { own with Observed = Some(given [| 1.0; 2.0 |]) })
              says [ "y.npy"; "NaN" ] (asked { own with Observed = Some(given [| nan |]) })
              says [ "Particles = 0"; "at least 1" ] (asked { own with Particles = Some 0 })
              says
                  [ "Particles"; "variance of the noise" ]
                  (asked { own with Observation = Some(line 0.0); Particles = Some 8 })
              says [ "Particles"; "dps" ] (asked { own with Method = Some Steering.dps; Particles = Some 8 })
              says [ "Steer"; "repaint"; "mask or coordinates" ] (asked { own with Method = Some Steering.repaint })
              says [ "Steer"; "gradient"; "mmps" ] (asked { own with Method = Some Steering.gradient })

              says
                  [ "Steer"; "mmps"; "linear"; "dps" ]
                  (asked
                      { own with
                          Observation =
                              Some(Observation.make (Operator.Nonlinear(fun x -> Tensor.sumKeep [ 1 ] (x * x))) 0.1) })

              says [ "Observe"; "Observed" ] (asked { own with Observed = None })
              says [ "Tilt"; "Reward" ] (asked { own with Tilt = Some 2.0 })
              says [ "Steer"; "Observe"; "Reward" ] (asked { SteeringRequest.none with Method = Some Steering.mmps })
              says [ "LookAhead"; "Particles" ] (asked { own with LookAhead = Some(lazy (model ())) })
              says [ "Exact"; "Steer" ] (asked { own with Exact = true })

              let reward w = Some(RewardChoice.Known(Reward.linear (Tensor.ofArray [ Array.length w ] w)))
              says
                  [ "Reward"; "3 numbers"; "2" ]
                  (asked { SteeringRequest.none with Reward = reward [| 1.0; 1.0; 1.0 |] })
              says
                  [ "Tilt"; "finite" ]
                  (asked { SteeringRequest.none with Reward = reward [| 1.0; 1.0 |]; Tilt = Some nan })

              let steep = Reward.quadratic (Tensor.zeros Kind.Float64 [ 2 ]) (Some(10.0 * Tensor.eye Kind.Float64 2))

              says
                  [ "Exact"; "no mean" ]
                  (asked { SteeringRequest.none with Reward = Some(RewardChoice.Known steep); Exact = true })

              let bySolver (sampler: Sampler) method =
                  refused (fun () ->
                      Validation.sampling
                          (model ())
                          (request { seen method with Particles = Some 4 } (Some sampler) 5 4))

              says [ "Solver = heun"; "draws nothing"; "ancestral" ] (bySolver Samplers.heun Steering.fkMax)
              says [ "Solver = edm"; "density" ] (bySolver Samplers.edm Steering.tds)

          testCase "weights that are all −∞ end the sampling with a line"
          <| fun () ->
              let nowhere = Reward.ofFunction "impossible" (fun x -> Tensor.full x.Kind [ x.Shape[0] ] -infinity)

              let steering =
                  { SteeringRequest.none with
                      Reward = Some(RewardChoice.Known nowhere)
                      Method = Some Steering.fkDifference
                      Particles = Some 4 }

              let message =
                  try
                      drawn (request steering None 5 2) |> ignore
                      ""
                  with :? UserError as e ->
                      e.Message

              says [ "sampling failed"; "−∞" ] message

          testCase "a model that knows no score is refused, with what would do"
          <| fun () ->
              let flow: Flow = { Interpolant = Interpolant.linear; Velocity = (fun _ _ x -> x); Noise = None }
              let coupled = { model () with Dynamics = Transport flow; Name = "coupled" }
              says
                  [ "coupled"; "score"; "cfm" ]
                  (refused (fun () -> Validation.sampling coupled (request (seen Steering.mmps) None 5 4))) ]
