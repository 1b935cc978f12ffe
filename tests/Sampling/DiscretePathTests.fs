/// Paths that are tables of a thousand steps: exact at the steps, and smooth between them, so that an integration does not see the knots.
module Fokker.Tests.Sampling.DiscretePathTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect
open Fokker.Tests.Sampling.OrderTests

let private tables =
    [ Paths.ddpm, Paths.ddpmBetas 1000
      Paths.scaledLinear, Paths.scaledLinearBetas 1000
      Paths.ddpmCosine, Paths.cosineBetas 1000
      Paths.ddpmSigmoid, Paths.sigmoidBetas 1000 ]

/// Those whose table is a smooth function of its step to its last entry. The cosine's β is cut off at 0.999 there.
let private smooth = tables |> List.map fst |> List.filter (fun p -> p.Name <> "ddpm-cosine")

let private error (found: float[]) (exact: float[]) =
    Math.Sqrt(Array.average (Array.map2 (fun a b -> (a - b) * (a - b)) found exact))

/// Evaluations of an adaptive integration of the mixture's flow, and how far it ends from where F_t(x_t) is what it was.
let private adaptively (path: GaussianPath) =
    Scope.run (fun () ->
        let starts = [| -1.1; -0.2; 0.4; 1.3 |]
        let clean = 0.02
        let flow: Ode = { Velocity = Mixture.velocity path (mixture nonlinear) }

        match
            Adaptive.run
                (Tolerance.both 1e-9)
                Tableau.dormandPrince
                flow
                [| 1.0; clean |]
                (Tensor.ofArray [ 4; 1 ] starts)
        with
        | Error failure -> failwith (string failure)
        | Ok found ->
            Array.max found.Evaluations,
            error (Tensor.toFloats found.Final) (starts |> Array.map (solution nonlinear path 1.0 clean)))

[<Tests>]
let tests =
    testList
        "Sampling.DiscretePath"
        [ testCase "at its steps a path has the table's values"
          <| fun () ->
              for path, betas in tables do
                  let mutable sum = 0.0

                  for k in 0..1000 do
                      if k > 0 then
                          sum <- sum + Math.Log(1.0 - betas[k - 1])

                      // k/1000 is a float: it may be half a unit in the last place beside the knot.
                      let found = 2.0 * Curve.eval path.LogAlpha (float k / 1000.0)
                      close (1e-15 * Math.Max(1.0, abs sum)) sum found $"{path.Name}: log ᾱ at step {k}"

          testCase "the first three derivatives of a table are continuous, and each is the last one's slope"
          <| fun () ->
              for path, _ in tables do
                  let orders =
                      Seq.unfold (fun c -> Some(c, Curve.derivative c)) path.LogAlpha |> Seq.take 4 |> List.ofSeq

                  for order, curve in List.indexed orders do
                      for k in 1..40..999 do
                          let t = float k / 1000.0
                          let left, right = Curve.eval curve (t - 1e-9), Curve.eval curve (t + 1e-9)
                          holds
                              (Double.IsFinite(left + right))
                              $"{path.Name}, derivative {order} at step {k}: {left}, {right}"
                          // Over 2e-9 the curve moves by its own slope, at most of the order of 10³ times itself; rounding is 10³ to the power of the order.
                          let size = Math.Max(1.0, Math.Max(abs left, abs right))
                          close
                              (1e-5 * size + 1e-15 * 1000.0 ** float order * 100.0)
                              left
                              right
                              $"{path.Name}, derivative {order} at step {k}"

                  for order, (curve, slope) in List.indexed (List.pairwise orders) do
                      for t in [ 0.0123; 0.21037; 0.5004; 0.7777 ] do
                          let h = 1e-4
                          let at s = Curve.eval curve (t + s)
                          let central = (8.0 * (at h - at -h) - (at (2.0 * h) - at (-2.0 * h))) / (12.0 * h)
                          // Rounding of the difference, and the knots' share of the fifth derivative.
                          let size = Math.Max(1.0, abs central)
                          close
                              (1e-6 * size + 1e-12 * 1000.0 ** float order)
                              central
                              (Curve.eval slope t)
                              $"{path.Name}, derivative {order + 1} at {t}"

          // Whatever the table: steps drawn over five orders of magnitude, in which no polynomial is any good.
          testCase "a table that falls has a curve that falls"
          <| fun () ->
              for seed in 1L .. 20L do
                  Scope.run0 (fun () ->
                      let steps = Tensor.toFloats (Rng.uniform Kind.Float64 [ 30 ] (Rng.ofSeed seed))
                      let values = Array.scan (fun sum u -> sum - 10.0 ** (-5.0 * u)) 0.0 steps
                      let curve = Paths.table "drawn" values
                      let slope = Curve.derivative curve

                      for k in 0..30 do
                          close (1e-15 * abs values[30]) values[k] (Curve.eval curve (float k / 30.0)) $"value {k}"

                      for k in 0..3000 do
                          // Rounding of terms that cancel.
                          holds
                              (Curve.eval slope (float k / 3000.0) <= 1e-12)
                              $"seed {seed}: it rises at {float k / 3000.0}")

          // Lin et al. 2024, algorithm 1, whose steps are numbered from 0.
          testCase "a table rescaled to zero terminal signal-to-noise ratio is that of the paper"
          <| fun () ->
              for name, betas in
                  [ "ddpm", Paths.ddpmBetas
                    "scaled-linear", Paths.scaledLinearBetas
                    "ddpm-sigmoid", Paths.sigmoidBetas ] do
                  let path = Catalogue.paths.Find $"{name}:zero-snr=1"
                  let roots =
                      betas 1000
                      |> Array.scan (fun product beta -> product * (1.0 - beta)) 1.0
                      |> Array.tail
                      |> Array.map Math.Sqrt
                  let first, last = roots[0], roots[999]

                  for k in 0..999 do
                      let wanted = (roots[k] - last) * (first / (first - last))
                      close 1e-12 wanted (Curve.eval path.Alpha (float (k + 1) / 1000.0)) $"{name}: √ᾱ at step {k + 1}"

                  holds (Curve.eval path.Alpha 1.0 = 0.0 && Curve.eval path.Sigma 1.0 = 1.0) "pure noise at the end"

                  // It is sampled from there on by a network that says v, and not by one that says ε.
                  let law = mixture nonlinear
                  let draw prediction =
                      let model = Mixture.model path prediction law
                      Sampling.draw
                          { Sampling.plan Samplers.ddim 200 model with Kind = Kind.Float64 }
                          model
                          None
                          [ 1 ]
                          2000
                          2000
                          (Rng.ofSeed 1L)

                  match draw Prediction.v with
                  // E x² = Σ w (m² + s²) = 0.934, with a standard error of 0.02 in 2,000 draws; 200 steps of first order leave as much.
                  | Ok x -> close 0.1 0.934 ((Tensor.mean (Tensor.square x)).ToFloat()) name
                  | Error failure -> failtest (string failure)

                  raises<ArgumentException, _>(fun () -> draw Prediction.noise) |> names [ "determinant" ]

          testCase "an adaptive method is as good and as quick on a table as on a formula"
          <| fun () ->
              let evaluations, off = adaptively Path.vp

              for path in smooth do
                  let evaluations', off' = adaptively path
                  printfn "%s" $"{path.Name}: {evaluations'} evaluations, {off'}; vp: {evaluations}, {off}"
                  // The tables' own shapes differ by less than this.
                  holds
                      (float evaluations' < 1.3 * float evaluations)
                      $"{path.Name}: {evaluations'} evaluations, {evaluations} on vp"
                  holds (off' < 3e-9) $"{path.Name}: off by {off'}, {off} on vp"

              // The last entry's kink has to be found, and is; near it each step may well be off by what it is allowed, and there are some fifty.
              let evaluations', off' = adaptively Paths.ddpmCosine
              printfn "%s" $"ddpm-cosine: {evaluations'} evaluations, {off'}"
              holds
                  (off' < 5e-8 && evaluations' < 2 * evaluations)
                  $"ddpm-cosine: {evaluations'} evaluations, off by {off'}"

          testCase "Runge and Kutta's method keeps its order across the knots"
          <| fun () ->
              for path in smooth do
                  let off steps =
                      Scope.run (fun () ->
                          let starts = [| -0.8; -0.1; 0.45; 1.1 |]
                          let readings =
                              Readings.ofModel steps None (Mixture.model path Prediction.velocity (mixture nonlinear))
                          // Steps that end beside the knots.
                          let times = Grid.times Grid.uniform path (0.7003, 0.1003) steps

                          match
                              Integrator.run
                                  (Samplers.step Samplers.rk4 readings)
                                  (Noise.fresh (Rng.ofSeed 0L))
                                  times
                                  (Tensor.ofArray [ 4; 1 ] starts)
                          with
                          | Error failure -> failwith (string failure)
                          | Ok state ->
                              error
                                  (Tensor.toFloats state.X)
                                  (starts |> Array.map (solution nonlinear path 0.7003 0.1003)))

                  for steps in [ 40; 80; 160 ] do
                      close 0.2 4.0 (Math.Log2(off steps / off (2 * steps))) $"{path.Name}, {steps} steps"

          // ∫ of a polynomial in ς over dς, and of one in t by a rule of its own: the weights are to be exact on every monomial.
          testCase "the weights of lms and deis are exact on polynomials across the knots"
          <| fun () ->
              for path, _ in tables do
                  let level t = Math.Exp(-(Curve.eval path.Lambda t))
                  let times = [ 0.5; 0.6204; 0.7311; 0.8 ]
                  let interval = SemilinearInterval.between OfNoise 0.0 path 0.5 0.4123
                  let alpha = Curve.eval path.Alpha interval.Until

                  for count in 1..4 do
                      let nodes = List.truncate count times

                      for power in 0 .. count - 1 do
                          let weights = (Exponential.inSigma count).Weights interval nodes
                          let sum = List.sum (List.map2 (fun w t -> w * level t ** float power) weights nodes)
                          let p = float (power + 1)
                          let exact = alpha * (level interval.Until ** p - level interval.From ** p) / p
                          close (1e-12 * abs exact) exact sum $"{path.Name}: lms-{count}, ς to the power {power}"

                          // ∫ tᵖ dς = [tᵖ ς] − p ∫ tᵖ⁻¹ ς dt, by Simpson's rule on 20,000 pieces.
                          let weights = (Exponential.inTime count).Weights interval nodes
                          let sum = List.sum (List.map2 (fun w t -> w * t ** float power) weights nodes)
                          let n = 20_000
                          let h = (interval.Until - interval.From) / float n
                          let f t = float power * t ** float (power - 1) * level t
                          let simpson =
                              if power = 0 then
                                  0.0
                              else
                                  h / 3.0
                                  * Seq.sum (
                                      seq {
                                          for k in 0..n ->
                                              let weight =
                                                  if k = 0 || k = n then 1.0
                                                  elif k % 2 = 1 then 4.0
                                                  else 2.0
                                              weight * f (interval.From + float k * h)
                                      }
                                  )
                          let ends t = t ** float power * level t
                          let exact = alpha * (ends interval.Until - ends interval.From - simpson)
                          close (1e-11 * abs exact) exact sum $"{path.Name}: deis-{count}, t to the power {power}" ]
