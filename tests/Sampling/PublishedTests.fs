/// Every semi-linear and stochastic sampler against the algorithm as its paper has it, written out for one number in the paper's own variables
/// and not in those of the library: five steps in float64, with any function in the network's place.
module Fokker.Tests.Sampling.PublishedTests

open System
open NUnit.Framework
open Fokker
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

[<Test>]
let ``DDIM and what equals it`` () =
    // x_s = √ᾱ_s x̂₀ + √(1 − ᾱ_s) ε̂ (Song, Meng, Ermon 2021, eq. 12).
    let ddim = through (fun i x -> alpha times[i + 1] * said times[i] x + sigma times[i + 1] * noiseSaid times[i] x)

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
            let one = runOn Path.vp times[..1] 1
            agrees "UniPC's first predictor" (one Samplers.ddim) (one (Samplers.unipc size OfData order))

[<Test>]
let ``DDIM of every η, and DDPM's ancestral step`` () =
    let barred t = alpha t * alpha t

    let ddim eta =
        through (fun i x ->
            let t, s = times[i], times[i + 1]
            // Song, Meng, Ermon 2021, eq. 16 and 12.
            let std = eta * Math.Sqrt((1.0 - barred s) / (1.0 - barred t)) * Math.Sqrt(1.0 - barred t / barred s)

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

[<Test>]
let ``DPM-Solver's singlestep methods`` () =
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

[<Test>]
let ``DPM-Solver++'s multistep methods, with and without noise`` () =
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

        let two i (values: float list) whole (_: float) = whole * (if i = 0 then values[0] else second i values)

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

/// A sweep over η, with the same draws, ends where the deterministic sampler is: nothing in a sampler looks at whether η is 0.
[<Test>]
let ``samplers with η are continuous at 0`` () =
    let families: (string * (float -> Sampler)) list =
        [ yield "ddim-eta", Samplers.ddimWith
          for values in 1..3 do
              yield $"sde-dpmpp-{values}", (fun eta -> Samplers.sdeDpmPpWith eta values) ]

    for name, family in families do
        // The noise is of the order √η.
        close 1e-5 (run (family 0.0)) (run (family 1e-13)) name

/// Coefficients of Adams and Bashforth in their own setting: α = 1, σ = t, equal steps in t. There ε̂ is dx/dt, and DEIS, whose polynomial is in t, and
/// linear multistep, whose polynomial is in σ/α, are both this.
[<Test>]
let ``DEIS and linear multistep are Adams and Bashforth's where σ = t`` () =
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

/// On VP the DEIS coefficients are integrals of a polynomial in t against ½ (d log of ς)…: here by Simpson's rule on 20,000 pieces.
[<Test>]
let ``DEIS's weights by another quadrature`` () =
    let leg = Leg.between OfNoise 0.0 Path.vp 0.5 0.36
    let nodes = [ 0.5; 0.71; 0.9 ]
    let level t = sigma t / alpha t

    let weight i =
        let basis t =
            List.fold (fun p j -> if j = i then p else p * (t - nodes[j]) / (nodes[i] - nodes[j])) 1.0 [ 0..2 ]

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

    List.iteri (fun i w -> close 1e-9 (weight i) w $"weight {i}") (Leg.inVariable id leg nodes)

/// UniPC as in the paper's appendix: the coefficients solve R ρ = b with powers of the r's and B(h).
[<Test>]
let ``UniPC solves its linear systems`` () =
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

    for size in [ Exponential.Bh1; Exponential.Bh2 ] do
        for order in 1..3 do
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
                let old = List.truncate (order - 1) (List.tail values)
                let rs = old |> List.mapi (fun k _ -> ratio i (i - 1 - k))
                let rho =
                    match rs with
                    | [] -> []
                    | [ _ ] -> [ 0.5 ]
                    | rs -> solve rs (sides rs.Length -(h i) (b -(h i)))
                base' i x values[0] + push i rs rho old values[0]

            // The step i again, now that the value at its end is known.
            let correct i x (values: float list) ahead =
                let old = List.truncate (order - 1) (List.tail values)
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

            agrees $"UniPC-{order}, {size}" (go 0 first nan []) (run (Samplers.unipc size OfData order))

[<Test>]
let ``EDM's sampler with and without churn`` () =
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
    close 1e-11 (edm { churn with Churn = 0.0 }) (runOn path times 5 Samplers.heunSigma) "without churn: Heun in σ"

    // With the denoising step at the end: the last Euler step to σ = 0.
    let model = modelOn path

    let plan =
        { Sampling.plan Samplers.heunSigma 4 model with
            Kind = f64
            Span = { Noisy = 0.9; Clean = 0.1; Finish = Denoise } }

    let times' = Sampling.times plan path
    let x = Tensor.ofArray [ 1; 1 ] [| first |]

    match Sampling.run plan model None (Noise.fresh (Rng.ofSeed 1L)) x with
    | Error failure -> Assert.Fail(string failure)
    | Ok found ->
        let before = runOn path times' 4 Samplers.heunSigma
        let sigma = level times'[3]
        let euler = before + (0.0 - sigma) * (before - value times'[3] before) / sigma
        agrees "the last step is Euler's to σ = 0" euler (found.ToFloat())

[<Test>]
let ``a corrector's steps follow the predictor's, each with its own draw`` () =
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

[<Test>]
let ``turns are taken`` () =
    let step i x =
        let s, t = times[i], times[i + 1]

        if i % 2 = 0 then
            alpha t * said s x + sigma t * noiseSaid s x
        else
            let p = Variational.posterior Path.vp t s
            p.State * x + p.Data * said s x + Math.Sqrt p.Variance * draws[i]

    agrees "DDIM and DDPM in turns" (through step) (run (Samplers.alternatingOf Samplers.ddim Samplers.ancestral))

[<Test>]
let ``a tableau is the method written by hand`` () =
    let v t x = Math.Cos x + t * x
    let field: Field = fun t x -> cos x + t * x

    let run tableau =
        Scope.run (fun () ->
            let step = Integrator.rungeKutta tableau { Velocity = field }

            match Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) times (Tensor.ofArray [ 1; 1 ] [| first |]) with
            | Ok state -> state.X.ToFloat()
            | Error failure -> failwith (string failure))

    let byHand step = through (fun i x -> step times[i] (times[i + 1] - times[i]) x)

    agrees "Euler" (byHand (fun t h x -> x + h * v t x)) (run Tableau.euler)
    agrees "midpoint" (byHand (fun t h x -> x + h * v (t + h / 2.0) (x + h / 2.0 * v t x))) (run Tableau.midpoint)

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
    agrees "Bogacki–Shampine" (byHand bogackiShampine) (run Tableau.bogackiShampine)
