/// Every semi-linear and stochastic sampler against the algorithm as its paper has it, written out for one number in the paper's own variables
/// and not in those of the library: five steps in float64, with any function in the network's place.
module Fokker.Tests.Sampling.PublishedTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// x̂₀ as some network might say it; none of the identities needs it to be right.
let private said (t: float) (x: float) = Math.Sin(2.0 * x) + 0.3 * t

let private network: Field = fun t x -> sin (2.0 * x) + 0.3 * t
let private modelOn (path: GaussianPath) = Model.make path Prediction.data (fun _ -> network)

let private times = [| 0.9; 0.71; 0.5; 0.36; 0.2; 0.1 |]
let private draws = [| 0.3; -1.1; 0.7; 1.9; -0.4; 0.25; -0.8; 0.6; 1.3; -1.7 |]
let private first = 0.77

let private runOn (path: GaussianPath) (times: float[]) (steps: int) (sampler: Sampler) =
    Scope.run (fun () ->
        let step = Samplers.step sampler (Readings.ofModel steps None (modelOn path))
        let noise = Noise.given (Tensor.ofArray [ draws.Length; 1; 1 ] draws)

        match Integrator.run step noise times (Tensor.ofArray [ 1; 1 ] [| first |]) with
        | Ok state -> state.X.ToFloat()
        | Error failure -> failwith (string failure))

let private run sampler = runOn Path.vp times 5 sampler
let private agrees (what: string) (expected: float) (actual: float) = close 1e-12 expected actual what

let private alpha t = Curve.eval Path.vp.Alpha t
let private sigma t = Curve.eval Path.vp.Sigma t
let private lambda t = Math.Log(alpha t / sigma t)
/// The time of a λ on VP: λ falls from ∞, log(α/σ) = −½ log(e^{2c} − 1) with α = e^{−c}, c = ¼ t² 19.9 + ½ t 0.1 (Lu et al. 2022, appendix D.4).
let private timeOf (l: float) =
    let c = 0.5 * Math.Log(1.0 + Math.Exp(-2.0 * l))
    (-0.05 + Math.Sqrt(0.0025 + 19.9 * c)) / (0.5 * 19.9)

let private noiseSaid t x = (x - alpha t * said t x) / sigma t
let private expm1 (x: float) = if abs x < 1e-5 then x + 0.5 * x * x else Math.Exp x - 1.0

/// The state through all steps.
let private through (step: int -> float -> float) = List.fold (fun x i -> step i x) first [ 0 .. times.Length - 2 ]
/// The same where a step wants the values before, newest first.
let private remembering (step: int -> float -> float list -> float) =
    List.fold
        (fun (x, old) i ->
            let value = said times[i] x
            step i x (value :: old), value :: old)
        (first, [])
        [ 0 .. times.Length - 2 ]
    |> fst

let private h i = lambda times[i + 1] - lambda times[i]

// ---- pseudo numerical methods

/// φ(x, ε, t, s) of PNDM (Liu et al. 2022, eq. 9), in ᾱ.
let private transfer (t: float) (s: float) (x: float) (e: float) =
    let a, a' = alpha t * alpha t, alpha s * alpha s

    Math.Sqrt a' / Math.Sqrt a * x
    - (a' - a) / (Math.Sqrt a * (Math.Sqrt((1.0 - a') * a) + Math.Sqrt((1.0 - a) * a'))) * e

let private pseudoLinear i (x: float) (es: float list) =
    let mean =
        match es with
        | [ a ] -> a
        | [ a; b ] -> (3.0 * a - b) / 2.0
        | [ a; b; c ] -> (23.0 * a - 16.0 * b + 5.0 * c) / 12.0
        | a :: b :: c :: d :: _ -> (55.0 * a - 59.0 * b + 37.0 * c - 9.0 * d) / 24.0
        | [] -> nan

    transfer times[i] times[i + 1] x mean

// ---- DPM-Solver in other arrangements

/// DPM-Solver-1, 2 and 3 from s to t with a state x (Lu et al. 2022, algorithms 4 and 5), and the lower-order end that goes with each.
let private dpm order (s: float) (t: float) (x: float) =
    let h = lambda t - lambda s
    let e = noiseSaid s x
    let start = alpha t / alpha s * x - sigma t * expm1 h * e

    let at r =
        let u = timeOf (lambda s + r * h)
        u, alpha u / alpha s * x - sigma u * expm1 (r * h) * e

    match order with
    | 1 -> start, nan
    | 2 ->
        let middle, u = at 0.5
        start - sigma t * expm1 h * (noiseSaid middle u - e), start
    | _ ->
        let r1, r2 = 1.0 / 3.0, 2.0 / 3.0
        let (s1, u1), (s2, u2) = at r1, at r2
        let d1 = noiseSaid s1 u1 - e
        let u2 = u2 - sigma s2 * r2 / r1 * (expm1 (r2 * h) / (r2 * h) - 1.0) * d1
        let d2 = noiseSaid s2 u2 - e
        start - sigma t / r2 * (expm1 h / h - 1.0) * d2, start - sigma t / (2.0 * r1) * expm1 h * d1

// ---- ancestral steps, in x/α and ς = σ/α as in k-diffusion

let private level t = sigma t / alpha t
let private timeOfLevel (s: float) = timeOf -(Math.Log s)
/// D(x̄; ς).
let private denoised (s: float) (x: float) =
    let t = timeOfLevel s
    said t (alpha t * x)

/// The level to step down to and the noise to add.
let private levels eta (from: float) (until: float) =
    let up = Math.Min(until, eta * Math.Sqrt(until * until * (from * from - until * until) / (from * from)))
    Math.Sqrt(until * until - up * up), up

let private inLevels step =
    let x = List.fold (fun x i -> step i (level times[i]) (level times[i + 1]) x) (first / alpha times[0]) [ 0..4 ]
    alpha times[5] * x

[<Tests>]
let tests =
    testList
        "Sampling.Published"
        [ testCase "DDIM and what equals it"
          <| fun () ->
              // x_s = √ᾱ_s x̂₀ + √(1 − ᾱ_s) ε̂ (Song, Meng, Ermon 2021, eq. 12).
              let ddim =
                  through (fun i x -> alpha times[i + 1] * said times[i] x + sigma times[i + 1] * noiseSaid times[i] x)

              agrees "ddim" ddim (run Samplers.ddim)
              agrees "DDIM(0)" ddim (run (Samplers.ddimWith 0.0))
              agrees "SDE-DPM-Solver++(1) with η = 0" ddim (run (Samplers.sdeDpmPpWith 0.0 1))
              agrees "DEIS-1" ddim (run (Samplers.deis 1))
              agrees "LMS-1: Euler in σ/α" ddim (run (Samplers.linearMultistep 1))
              agrees "exponential Euler by x̂₀" ddim (run (Samplers.exponentialAdamsBashforth OfData 1))
              agrees "exponential Euler by ε̂: DPM-Solver-1" ddim (run (Samplers.exponentialAdamsBashforth OfNoise 1))

              // DPM-Solver-1 as it is written: x_t = (α_t/α_s) x − σ_t (e^h − 1) ε̂.
              let dpm1 =
                  through (fun i x ->
                      let s, t = times[i], times[i + 1]
                      alpha t / alpha s * x - sigma t * expm1 (h i) * noiseSaid s x)

              agrees "DPM-Solver-1" ddim dpm1

              // UniPC's first step predicts, and has nothing to correct yet.
              for size in [ Exponential.Bh1; Exponential.Bh2 ] do
                  for order in 1..3 do
                      let one = runOn Path.vp times[..1] 5
                      agrees "UniPC's first predictor" (one Samplers.ddim) (one (Samplers.unipc size OfData order))

          testCase "DDIM of every η, and DDPM's ancestral step"
          <| fun () ->
              let barred t = alpha t * alpha t

              let ddim eta =
                  through (fun i x ->
                      let t, s = times[i], times[i + 1]
                      // Song, Meng, Ermon 2021, eq. 16 and 12.
                      let std =
                          eta * Math.Sqrt((1.0 - barred s) / (1.0 - barred t)) * Math.Sqrt(1.0 - barred t / barred s)

                      let kept = Math.Sqrt(barred s) * said t x + Math.Sqrt(1.0 - barred s - std * std) * noiseSaid t x
                      kept + std * draws[i])

              for eta in [ 0.2; 0.5; 1.0 ] do
                  agrees $"η = {eta}" (ddim eta) (run (Samplers.ddimWith eta))

              agrees "DDIM(1) = ancestral" (ddim 1.0) (run Samplers.ancestral)

              // Ho, Jain, Abbeel 2020, algorithm 2: (x − β/√(1 − ᾱ) ε̂)/√(1 − β) + √variance z.
              let ddpm large =
                  through (fun i x ->
                      let t, s = times[i], times[i + 1]
                      let beta = 1.0 - barred t / barred s
                      let mean = (x - beta / Math.Sqrt(1.0 - barred t) * noiseSaid t x) / Math.Sqrt(1.0 - beta)
                      let small = beta * (1.0 - barred s) / (1.0 - barred t)
                      mean + Math.Sqrt(if large then beta else small) * draws[i])

              agrees "β̃" (ddpm false) (run Samplers.ancestral)
              agrees "β" (ddpm true) (run Samplers.ancestralLarge)

          testCase "DPM-Solver's singlestep methods"
          <| fun () ->
              let dpm2 =
                  through (fun i x ->
                      let s, t = times[i], times[i + 1]
                      let middle = timeOf (lambda s + 0.5 * h i)
                      let e = noiseSaid s x
                      let u = alpha middle / alpha s * x - sigma middle * expm1 (0.5 * h i) * e
                      alpha t / alpha s * x - sigma t * expm1 (h i) * noiseSaid middle u)

              agrees "DPM-Solver-2, algorithm 4" dpm2 (run Samplers.dpm2)

              let dpm3 =
                  through (fun i x ->
                      let s, t, h = times[i], times[i + 1], h i
                      let r1, r2 = 1.0 / 3.0, 2.0 / 3.0
                      let s1, s2 = timeOf (lambda s + r1 * h), timeOf (lambda s + r2 * h)
                      let e = noiseSaid s x
                      let u1 = alpha s1 / alpha s * x - sigma s1 * expm1 (r1 * h) * e
                      let d1 = noiseSaid s1 u1 - e

                      let u2 =
                          alpha s2 / alpha s * x
                          - sigma s2 * expm1 (r2 * h) * e
                          - sigma s2 * r2 / r1 * (expm1 (r2 * h) / (r2 * h) - 1.0) * d1

                      let d2 = noiseSaid s2 u2 - e
                      alpha t / alpha s * x - sigma t * expm1 h * e - sigma t / r2 * (expm1 h / h - 1.0) * d2)

              agrees "DPM-Solver-3, algorithm 5" dpm3 (run Samplers.dpm3)

              let pp2s =
                  through (fun i x ->
                      let s, t, h = times[i], times[i + 1], h i
                      let middle = timeOf (lambda s + 0.5 * h)
                      let e = said s x
                      let u = sigma middle / sigma s * x - alpha middle * expm1 (-0.5 * h) * e
                      sigma t / sigma s * x - alpha t * expm1 -h * said middle u)

              agrees "DPM-Solver++(2S), algorithm 1" pp2s (run Samplers.dpmPp2s)

              let pp3s =
                  through (fun i x ->
                      let s, t, h = times[i], times[i + 1], h i
                      let r1, r2 = 1.0 / 3.0, 2.0 / 3.0
                      let s1, s2 = timeOf (lambda s + r1 * h), timeOf (lambda s + r2 * h)
                      let e = said s x
                      let u1 = sigma s1 / sigma s * x - alpha s1 * expm1 (-r1 * h) * e
                      let phi22 = expm1 (-r2 * h) / (r2 * h) + 1.0

                      let u2 =
                          sigma s2 / sigma s * x - alpha s2 * expm1 (-r2 * h) * e
                          + r2 / r1 * alpha s2 * phi22 * (said s1 u1 - e)

                      let phi2 = expm1 -h / h + 1.0
                      sigma t / sigma s * x - alpha t * expm1 -h * e + alpha t * phi2 / r2 * (said s2 u2 - e))

              agrees "DPM-Solver++(3S)" pp3s (run Samplers.dpmPp3s)

          testCase "DPM-Solver++'s multistep methods, with and without noise"
          <| fun () ->
              let second i (values: float list) =
                  let r = h (i - 1) / h i
                  (1.0 + 0.5 / r) * values[0] - 0.5 / r * values[1]

              let pp2m =
                  remembering (fun i x values ->
                      let s, t = times[i], times[i + 1]
                      let d = if i = 0 then values[0] else second i values
                      sigma t / sigma s * x - alpha t * expm1 -(h i) * d)

              agrees "DPM-Solver++(2M), algorithm 2" pp2m (run Samplers.dpmPp2m)

              let differences i (values: float list) =
                  let r0, r1 = h (i - 1) / h i, h (i - 2) / h i
                  let d10, d11 = (values[0] - values[1]) / r0, (values[1] - values[2]) / r1
                  d10 + r0 / (r0 + r1) * (d10 - d11), (d10 - d11) / (r0 + r1)

              let pp3m =
                  remembering (fun i x values ->
                      let s, t, h' = times[i], times[i + 1], h i
                      let start = sigma t / sigma s * x

                      if i < 2 then
                          start - alpha t * expm1 -h' * (if i = 0 then values[0] else second i values)
                      else
                          let d1, d2 = differences i values
                          let phi1 = expm1 -h'
                          let phi2 = phi1 / h' + 1.0
                          let phi3 = phi2 / h' - 0.5
                          start - alpha t * phi1 * values[0] + alpha t * phi2 * d1 - alpha t * phi3 * d2)

              agrees "DPM-Solver++(3M)" pp3m (run Samplers.dpmPp3m)

              for eta in [ 0.0; 0.4; 1.0 ] do
                  // With σ_t e^{−ηh}/σ_s and (1 + η) h in the place of h (Lu et al. 2023, eq. 13; Crowson 2022, k-diffusion, in σ of α = 1).
                  let sde rule =
                      remembering (fun i x values ->
                          let s, t, h' = times[i], times[i + 1], h i
                          let whole = -(expm1 (-(1.0 + eta) * h'))
                          let drift = rule i values whole ((1.0 + eta) * h')

                          sigma t / sigma s * Math.Exp(-eta * h') * x
                          + alpha t * drift
                          + sigma t * Math.Sqrt(-(expm1 (-2.0 * eta * h'))) * draws[i])

                  let one _ (values: float list) whole _ = whole * values[0]
                  agrees $"SDE-DPM-Solver++(1), η = {eta}" (sde one) (run (Samplers.sdeDpmPpWith eta 1))

                  let two i (values: float list) whole (_: float) =
                      whole * (if i = 0 then values[0] else second i values)

                  agrees $"SDE-DPM-Solver++(2M), η = {eta}" (sde two) (run (Samplers.sdeDpmPpWith eta 2))

                  let three i (values: float list) whole heta =
                      let phi2 = expm1 -heta / heta + 1.0
                      let phi3 = phi2 / heta - 0.5

                      match i with
                      | 0 -> whole * values[0]
                      | 1 -> whole * values[0] + phi2 * (values[0] - values[1]) / (h 0 / h 1)
                      | _ ->
                          let d1, d2 = differences i values
                          whole * values[0] + phi2 * d1 - phi3 * d2

                  agrees $"SDE-DPM-Solver++(3M), η = {eta}" (sde three) (run (Samplers.sdeDpmPpWith eta 3))

          // A sweep over η, with the same draws, ends where the deterministic sampler is: nothing in a sampler looks at whether η is 0.
          testCase "samplers with η are continuous at 0"
          <| fun () ->
              let families: (string * (float -> Sampler)) list =
                  [ yield "ddim-eta", Samplers.ddimWith
                    for values in 1..3 do
                        yield $"sde-dpmpp-{values}", (fun eta -> Samplers.sdeDpmPpWith eta values)
                    yield "dpm-2-ancestral", Samplers.dpm2AncestralWith 1.0
                    yield "dpmpp-2s-ancestral", Samplers.dpmPp2sAncestralWith 1.0
                    yield "dpmpp-sde", Samplers.dpmPpSdeWith 0.5 1.0 ]

              for name, family in families do
                  // The noise is of the order √η.
                  close 1e-5 (run (family 0.0)) (run (family 1e-13)) name

          // Coefficients of Adams and Bashforth in their own setting: α = 1, σ = t, equal steps in t. There ε̂ is dx/dt, and DEIS, whose polynomial is in t, and
          // linear multistep, whose polynomial is in σ/α, are both this.
          testCase "DEIS and linear multistep are Adams and Bashforth's where σ = t"
          <| fun () ->
              let path = Path.ofCurves "line" "" "" (Constant 1.0) Curve.time
              let even = Array.init 6 (fun k -> 0.9 - 0.15 * float k)
              let slope t x = (x - said t x) / t

              let table =
                  [ 2, [ 3.0 / 2.0; -1.0 / 2.0 ]
                    3, [ 23.0 / 12.0; -16.0 / 12.0; 5.0 / 12.0 ]
                    4, [ 55.0 / 24.0; -59.0 / 24.0; 37.0 / 24.0; -9.0 / 24.0 ] ]

              let coefficients count = if count = 1 then [ 1.0 ] else table |> List.find (fst >> (=) count) |> snd

              for order in 2..4 do
                  let x, _ =
                      List.fold
                          (fun (x, old) i ->
                              let slopes = List.truncate order (slope even[i] x :: old)
                              let weights = coefficients slopes.Length
                              x - 0.15 * List.sum (List.map2 (*) weights slopes), slopes)
                          (first, [])
                          [ 0..4 ]

                  agrees $"deis-{order}" x (runOn path even 5 (Samplers.deis order))
                  agrees $"lms-{order}" x (runOn path even 5 (Samplers.linearMultistep order))

          // On VP the DEIS coefficients are integrals of a polynomial in t against ½ (d log of ς)…: here by Simpson's rule on 20,000 pieces.
          testCase "DEIS's weights by another quadrature"
          <| fun () ->
              let interval = SemilinearInterval.between OfNoise 0.0 Path.vp 0.5 0.36
              let nodes = [ 0.5; 0.71; 0.9 ]
              let level t = sigma t / alpha t

              let weight i =
                  let basis t =
                      List.fold
                          (fun p j -> if j = i then p else p * (t - nodes[j]) / (nodes[i] - nodes[j]))
                          1.0
                          [ 0..2 ]

                  // ∫ ℓ dς by parts of ς itself: exact slopes are not needed.
                  let n = 20_000
                  let at k = 0.5 + (0.36 - 0.5) * float k / float n

                  alpha 0.36
                  * Seq.sum (
                      seq {
                          for k in 0..2 .. n - 2 ->
                              let a, b, c = at k, at (k + 1), at (k + 2)
                              // Simpson against dς: the parabola through three points in ς.
                              let u, v = level b - level a, level c - level a
                              let f0, f1, f2 = basis a, basis b, basis c
                              let second = ((f2 - f0) / v - (f1 - f0) / u) / (v - u)
                              let slope = (f1 - f0) / u - second * u
                              v * f0 + v * v / 2.0 * slope + v * v * v / 3.0 * second
                      }
                  )

              List.iteri
                  (fun i w -> close 1e-9 (weight i) w $"weight {i}")
                  (SemilinearInterval.inVariable id interval nodes)

          // UniPC as in the paper's appendix: the coefficients solve R ρ = b with powers of the r's and B(h).
          testCase "UniPC solves its linear systems"
          <| fun () ->
              let solve (r: float list) (b: float list) =
                  let n = r.Length
                  let matrix = Array2D.init n n (fun row column -> r[column] ** float row)
                  let rhs = Array.ofList b

                  for k in 0 .. n - 1 do
                      for row in k + 1 .. n - 1 do
                          let factor = matrix[row, k] / matrix[k, k]

                          for column in k .. n - 1 do
                              matrix[row, column] <- matrix[row, column] - factor * matrix[k, column]

                          rhs[row] <- rhs[row] - factor * rhs[k]

                  for k in n - 1 .. -1 .. 0 do
                      for column in k + 1 .. n - 1 do
                          rhs[k] <- rhs[k] - matrix[k, column] * rhs[column]

                      rhs[k] <- rhs[k] / matrix[k, k]

                  List.ofArray rhs

              /// b_k = h φ_{k+1}(h) k!/B(h), φ₁ = (e^h − 1)/h, φ_{k+1} = (φ_k − 1/k!)/h.
              let sides count hh (b: float) =
                  let factorial k = List.fold (fun p j -> p * float j) 1.0 [ 1..k ]
                  // hφ₁, hφ₂ …, each from the one before.
                  let phis = List.scan (fun phi k -> phi / hh - 1.0 / factorial k) (expm1 hh) [ 1..count ]
                  [ for k in 1..count -> phis[k] * factorial k / b ]

              for size, order, last in
                  [ for size in [ Exponential.Bh1; Exponential.Bh2 ] do
                        for order in 1..3 do
                            for last in [ 1; order ] -> size, order, last ] do
                  // The order of a step, lower at the end where `last` says so; a step is corrected by the order that it was predicted with.
                  let at i = min order (last + 4 - i)
                  // By x̂₀: hh = −h.
                  let b hh =
                      match size with
                      | Exponential.Bh1 -> hh
                      | Exponential.Bh2 -> expm1 hh
                  let ratio i k = (lambda times[k] - lambda times[i]) / h i

                  let base' i (x: float) value =
                      sigma times[i + 1] / sigma times[i] * x - alpha times[i + 1] * expm1 -(h i) * value

                  let push i (rs: float list) (rho: float list) (values: float list) value =
                      let differences = List.map2 (fun r v -> (v - value) / r) rs values
                      -(alpha times[i + 1]) * b -(h i) * List.sum (List.map2 (*) rho differences)

                  let predict i x (values: float list) =
                      let old = List.truncate (at i - 1) (List.tail values)
                      let rs = old |> List.mapi (fun k _ -> ratio i (i - 1 - k))
                      let rho =
                          match rs with
                          | [] -> []
                          | [ _ ] -> [ 0.5 ]
                          | rs -> solve rs (sides rs.Length -(h i) (b -(h i)))
                      base' i x values[0] + push i rs rho old values[0]

                  // The step i again, now that the value at its end is known.
                  let correct i x (values: float list) ahead =
                      let old = List.truncate (at i - 1) (List.tail values)
                      let rs = (old |> List.mapi (fun k _ -> ratio i (i - 1 - k))) @ [ 1.0 ]
                      let rho = if rs.Length = 1 then [ 0.5 ] else solve rs (sides rs.Length -(h i) (b -(h i)))
                      base' i x values[0] + push i rs rho (old @ [ ahead ]) values[0]

                  let rec go i predicted before (values: float list) =
                      if i = 5 then
                          predicted
                      else
                          let value = said times[i] predicted
                          let x = if i = 0 then predicted else correct (i - 1) before values value
                          let values = value :: values
                          go (i + 1) (predict i x values) x values

                  agrees
                      $"UniPC-{order}, {size}, {last} at last"
                      (go 0 first nan [])
                      (run (Samplers.unipcEnding last size OfData order))

          testCase "EDM's sampler with and without churn"
          <| fun () ->
              let path = Paths.ve
              let level t = 0.01 * 5000.0 ** t
              let value t x = said t x
              let timeOfLevel (s: float) = Math.Log(s / 0.01) / Math.Log 5000.0

              let edm (churn: Churn) =
                  List.fold
                      (fun x i ->
                          // Karras et al. 2022, algorithm 2; N = 5.
                          let sigma, next = level times[i], level times[i + 1]
                          let isIn = churn.Least <= sigma && sigma <= churn.Most
                          let gamma = if isIn then min (churn.Churn / 5.0) (Math.Sqrt 2.0 - 1.0) else 0.0
                          let raised = sigma * (1.0 + gamma)
                          let noisy = x + Math.Sqrt(raised * raised - sigma * sigma) * churn.Inflation * draws[i]
                          let slope = (noisy - value (timeOfLevel raised) noisy) / raised
                          let ahead = noisy + (next - raised) * slope
                          let slope' = (ahead - value times[i + 1] ahead) / next
                          noisy + (next - raised) * 0.5 * (slope + slope'))
                      first
                      [ 0..4 ]

              let churn = { Churn = 1.0; Least = 0.05; Most = 8.0; Inflation = 1.003 }
              close 1e-10 (edm churn) (runOn path times 5 (Samplers.edmWith churn)) "with churn"
              close
                  1e-11
                  (edm { churn with Churn = 0.0 })
                  (runOn path times 5 Samplers.heunSigma)
                  "without churn: Heun in σ"

              // With the denoising step at the end: the last Euler step to σ = 0.
              let model = modelOn path

              let plan =
                  { Sampling.plan Samplers.heunSigma 4 model with
                      Kind = f64
                      Span = { Noisy = 0.9; Clean = 0.1; Finish = Denoise } }

              let times' = Sampling.times plan path
              let x = Tensor.ofArray [ 1; 1 ] [| first |]

              match Sampling.run plan model None (Noise.fresh (Rng.ofSeed 1L)) x with
              | Error failure -> failtest (string failure)
              | Ok found ->
                  let before = runOn path times' 4 Samplers.heunSigma
                  let sigma = level times'[3]
                  let euler = before + (0.0 - sigma) * (before - value times'[3] before) / sigma
                  agrees "the last step is Euler's to σ = 0" euler (found.ToFloat())

          testCase "PNDM with Runge and Kutta's start, and PLMS with Heun's"
          <| fun () ->
              let prk i x =
                  let t, s = times[i], times[i + 1]
                  let middle = 0.5 * (t + s)
                  let e1 = noiseSaid t x
                  let e2 = noiseSaid middle (transfer t middle x e1)
                  let e3 = noiseSaid middle (transfer t middle x e2)
                  let e4 = noiseSaid s (transfer t s x e3)
                  transfer t s x ((e1 + 2.0 * e2 + 2.0 * e3 + e4) / 6.0)

              let improvedEuler i x =
                  let t, s = times[i], times[i + 1]
                  let e1 = noiseSaid t x
                  transfer t s x (0.5 * (e1 + noiseSaid s (transfer t s x e1)))

              let started count start =
                  List.fold
                      (fun (x, old) i ->
                          let es = noiseSaid times[i] x :: old
                          (if i < count then start i x else pseudoLinear i x es), es)
                      (first, [])
                      [ 0..4 ]
                  |> fst

              agrees "PNDM, algorithm 2" (started 3 prk) (run Samplers.pndm)
              agrees "PLMS" (started 1 improvedEuler) (run Samplers.plms)

          testCase "DPM-Solver-fast spends what it is given in steps of order 3 and a rest"
          <| fun () ->
              for rest, orders in [ 0, [ 3; 3; 3; 2; 1 ]; 1, [ 3; 3; 3; 3; 1 ]; 2, [ 3; 3; 3; 3; 2 ] ] do
                  let expected = through (fun i x -> fst (dpm orders[i] times[i] times[i + 1] x))
                  agrees $"12 + {rest} evaluations" expected (run (Samplers.dpmFastWith rest))
                  holds ((Samplers.dpmFastWith rest).Evaluations 5 = List.sum orders) $"evaluations, rest {rest}"

          testCase "DPM-Solver-12 and 23 choose their steps"
          <| fun () ->
              for order, sampler in [ 2, Samplers.dpm12; 3, Samplers.dpm23 ] do
                  // Lu et al. 2022, appendix C, with the code's tolerances.
                  let rec go s h x before tries =
                      if s - 0.1 < 1e-12 then
                          x, tries
                      else
                          let t = timeOf (lambda s + h)
                          let high, low = dpm order s t x
                          let error = abs (high - low) / Math.Max(0.0078, 0.05 * Math.Max(abs low, abs before))
                          let s', x', before' = if error <= 1.0 then t, high, low else s, x, before
                          let h' = Math.Min(0.9 * h * error ** (-1.0 / float order), lambda 0.1 - lambda s')
                          go s' h' x' before' (tries + 1)

                  let expected, tries = go 0.9 0.05 first first 0
                  let found = runOn Path.vp [| 0.9; 0.1 |] 1 sampler
                  agrees sampler.Name expected found
                  holds (tries > 5) $"{tries} tries"

          testCase "singlestep methods on the grid's own times"
          <| fun () ->
              // As in diffusers: x from the block's beginning, m the values of the block, newest first; h, r and D in its own letters.
              let update order (t: float) (block: (float * float) list) (x: float) =
                  let from = fst (List.last block)
                  let h = lambda t - lambda from
                  let m k = snd block[k]
                  let r k = (lambda (fst block[k]) - lambda from) / h
                  let start = sigma t / sigma from * x - alpha t * (Math.Exp -h - 1.0) * m (order - 1)

                  match order with
                  | 1 -> start
                  | 2 -> start - 0.5 * alpha t * (Math.Exp -h - 1.0) * ((m 0 - m 1) / r 0)
                  | _ -> start + alpha t * ((Math.Exp -h - 1.0) / h + 1.0) * ((m 0 - m 2) / r 0)

              for order, orders in
                  [ 2, [ 1; 2; 1; 2; 1 ]; 2, [ 1; 2; 1; 1 ]; 3, [ 1; 2; 3; 1; 2 ]; 3, [ 1; 2; 3; 1 ]; 3, [ 1; 2; 1 ] ] do
                  let expected, _, _ =
                      List.fold
                          (fun (x, beginning, block) (i, order) ->
                              let value = times[i], said times[i] x
                              let beginning, block = if order = 1 then x, [ value ] else beginning, value :: block
                              update order times[i + 1] block beginning, beginning, block)
                          (first, nan, [])
                          (List.indexed orders)

                  agrees
                      $"{orders}"
                      expected
                      (runOn Path.vp times[.. orders.Length] orders.Length (Samplers.singlestep order))

          testCase "fewer values at the end"
          <| fun () ->
              let ending values last =
                  remembering (fun i x said ->
                      let count = List.min [ values; i + 1; last + 4 - i ]
                      let h' = h i
                      let start = sigma times[i + 1] / sigma times[i] * x
                      let phi1 = expm1 -h'

                      match count with
                      | 1 -> start - alpha times[i + 1] * phi1 * said[0]
                      | 2 -> start - alpha times[i + 1] * phi1 * (said[0] + 0.5 * (said[0] - said[1]) * h' / h (i - 1))
                      | _ ->
                          let r0, r1 = h (i - 1) / h', h (i - 2) / h'
                          let d10, d11 = (said[0] - said[1]) / r0, (said[1] - said[2]) / r1
                          let d1, d2 = d10 + r0 / (r0 + r1) * (d10 - d11), (d10 - d11) / (r0 + r1)
                          let phi2 = phi1 / h' + 1.0
                          start + alpha times[i + 1] * (-phi1 * said[0] + phi2 * d1 - (phi2 / h' - 0.5) * d2))

              let rule values =
                  if values = 2 then
                      Exponential.dpm2 OfData 0.0
                  else
                      Exponential.dpm3 (Exponential.dpm2 OfData 0.0) OfData 0.0

              for values, last in [ 2, 1; 2, 2; 3, 1; 3, 2; 3, 3 ] do
                  let sampler =
                      { Samplers.dpmPp2m with Follows = Denoiser(Exponential.multistepEnding last (rule values)) }
                  agrees $"{values} values, {last} in the last step" (ending values last) (run sampler)

          testTheory "ancestral methods of two evaluations" [ 0.5, 1.0; 1.0, 1.0; 1.0, 1.07 ]
          <| fun (eta: float, noise: float) ->
              let dpm2 =
                  inLevels (fun i from until x ->
                      let down, up = levels eta from until
                      let d = (x - denoised from x) / from
                      let middle = Math.Exp(0.5 * (Math.Log from + Math.Log down))
                      let x2 = x + d * (middle - from)
                      let d2 = (x2 - denoised middle x2) / middle
                      x + d2 * (down - from) + draws[i] * noise * up)

              agrees "DPM-2" dpm2 (run (Samplers.dpm2AncestralWith noise eta))

              let pp2s =
                  inLevels (fun i from until x ->
                      let down, up = levels eta from until
                      let t, next = -(Math.Log from), -(Math.Log down)
                      let h = next - t
                      let middle = Math.Exp -(t + 0.5 * h)
                      let x2 = middle / from * x - expm1 (-0.5 * h) * denoised from x
                      down / from * x - expm1 -h * denoised middle x2 + draws[i] * noise * up)

              agrees "DPM-Solver++(2S)" pp2s (run (Samplers.dpmPp2sAncestralWith noise eta))

              for r in [ 0.5; 0.4 ] do
                  let sde =
                      inLevels (fun i from until x ->
                          let t, next = -(Math.Log from), -(Math.Log until)
                          let middle = Math.Exp -(t + r * (next - t))
                          let value = denoised from x

                          let toward (target: float) draw value =
                              let down, up = levels eta from target
                              let next = -(Math.Log down)
                              down / from * x - expm1 (t - next) * value + draws[2 * i + draw] * noise * up

                          let fac = 1.0 / (2.0 * r)
                          toward until 1 ((1.0 - fac) * value + fac * denoised middle (toward middle 0 value)))

                  agrees $"DPM++ SDE, r = {r}" sde (run (Samplers.dpmPpSdeWith r noise eta))

          testCase "Euler's method with churn"
          <| fun () ->
              let churn = { Churn = 1.0; Least = 0.2; Most = 40.0; Inflation = 1.003 }

              let expected =
                  inLevels (fun i from until x ->
                      let gamma =
                          if churn.Least <= from && from <= churn.Most then
                              min (churn.Churn / 5.0) (Math.Sqrt 2.0 - 1.0)
                          else
                              0.0
                      let raised = from * (1.0 + gamma)
                      let x = x + draws[i] * churn.Inflation * Math.Sqrt(raised * raised - from * from)
                      x + (x - denoised raised x) / raised * (until - raised))

              agrees "Euler with churn" expected (run (Samplers.eulerChurnWith churn))
              agrees "without it" (run Samplers.ddim) (run (Samplers.eulerChurnWith { churn with Churn = 0.0 }))

          testCase "a corrector's steps follow the predictor's, each with its own draw"
          <| fun () ->
              let ratio = 0.2
              let predictor = Samplers.ancestral
              let found = runOn Path.vp times[..2] 2 (Samplers.predictorCorrectorWith ratio 2 predictor)

              let expected =
                  List.fold
                      (fun x i ->
                          let t, s = times[i], times[i + 1]
                          let p = Variational.posterior Path.vp s t
                          let x = p.State * x + p.Data * said t x + Math.Sqrt p.Variance * draws[3 * i]

                          List.fold
                              (fun x k ->
                                  let z = draws[3 * i + k]
                                  let score = -(noiseSaid s x) / sigma s
                                  // Song et al. 2021, algorithm 5: ε = 2 (1 − β) (r ‖z‖/‖s‖)²; ‖z‖/‖s‖ is at most 2σ here.
                                  let kept = (alpha t / alpha s) ** 2.0
                                  let epsilon = 2.0 * kept * (ratio * min (2.0 * sigma s) (abs z / abs score)) ** 2.0
                                  x + epsilon * score + Math.Sqrt(2.0 * epsilon) * z)
                              x
                              [ 1; 2 ])
                      first
                      [ 0; 1 ]

              agrees "predictor–corrector" expected found

          testCase "annealed Langevin dynamics"
          <| fun () ->
              // Song, Ermon 2019, algorithm 1, on noise levels: α = ε σ²/σ_L², r = ε/σ_L².
              let path, r = Paths.ve, 0.2
              let levelOf t = 0.01 * 5000.0 ** t

              let expected =
                  List.fold
                      (fun x (i, k) ->
                          let sigma = levelOf times[i + 1]
                          let step = r * sigma * sigma
                          let score = (said times[i + 1] x - x) / (sigma * sigma)
                          x + 0.5 * step * score + Math.Sqrt step * draws[5 * i + k])
                      first
                      [ for i in 0..1 do
                            for k in 0..4 -> i, k ]

              close
                  1e-11
                  expected
                  (runOn path times[..2] 2 (Samplers.annealedLangevinWith r 5))
                  "two levels of five steps"

          testCase "turns are taken"
          <| fun () ->
              let step i x =
                  let s, t = times[i], times[i + 1]

                  if i % 2 = 0 then
                      alpha t * said s x + sigma t * noiseSaid s x
                  else
                      let p = Variational.posterior Path.vp t s
                      p.State * x + p.Data * said s x + Math.Sqrt p.Variance * draws[i]

              agrees
                  "DDIM and DDPM in turns"
                  (through step)
                  (run (Samplers.alternatingOf Samplers.ddim Samplers.ancestral))

          testCase "a tableau is the method written by hand"
          <| fun () ->
              let v t x = Math.Cos x + t * x
              let field: Field = fun t x -> cos x + t * x

              let run tableau =
                  Scope.run (fun () ->
                      let step = Integrator.rungeKutta tableau { Velocity = field }

                      match
                          Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) times (Tensor.ofArray [ 1; 1 ] [| first |])
                      with
                      | Ok state -> state.X.ToFloat()
                      | Error failure -> failwith (string failure))

              let byHand step = through (fun i x -> step times[i] (times[i + 1] - times[i]) x)

              agrees "Euler" (byHand (fun t h x -> x + h * v t x)) (run Tableau.euler)
              agrees
                  "midpoint"
                  (byHand (fun t h x -> x + h * v (t + h / 2.0) (x + h / 2.0 * v t x)))
                  (run Tableau.midpoint)

              let heun t h x =
                  let k = v t x
                  x + h / 2.0 * (k + v (t + h) (x + h * k))

              agrees "Heun" (byHand heun) (run Tableau.heun)

              let rk4 t h x =
                  let a = v t x
                  let b = v (t + h / 2.0) (x + h / 2.0 * a)
                  let c = v (t + h / 2.0) (x + h / 2.0 * b)
                  x + h / 6.0 * (a + 2.0 * b + 2.0 * c + v (t + h) (x + h * c))

              agrees "Runge–Kutta 4" (byHand rk4) (run Tableau.rk4)

              let bogackiShampine t h x =
                  let a = v t x
                  let b = v (t + h / 2.0) (x + h / 2.0 * a)
                  let c = v (t + 0.75 * h) (x + 0.75 * h * b)
                  x + h * (2.0 * a + 3.0 * b + 4.0 * c) / 9.0

              // The slope that it carries over is that at the step's end.
              agrees "Bogacki–Shampine" (byHand bogackiShampine) (run Tableau.bogackiShampine) ]
