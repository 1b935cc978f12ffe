module Fokker.Tests.Sampling.AdaptiveTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64
let private embedded = Tableau.all |> List.filter (fun t -> not t.ErrorWeights.IsEmpty)
let private methods = embedded |> List.map (fun t -> t.Name)
let private methodOf name = embedded |> List.find (fun t -> t.Name = name)

let private ok (result: Result<'T, Failure>) : 'T =
    match result with
    | Ok value -> value
    | Error failure -> failwith (string failure)

let private failure (result: Result<'T, Failure>) : Failure =
    match result with
    | Ok _ -> failtest "it did not fail"
    | Error failure -> failure

let private largest (x: Tensor) = (Tensor.max (abs x)).ToFloat()
let private column (values: float[]) = Tensor.ofArray [ values.Length; 1 ] values

/// x'' = (1 − x²) x' − x + ½ cos 1.3t: no closed form.
let private forcedVanDerPol: Ode =
    { Velocity =
        fun t state ->
            let x, v = Tensor.narrow 1 0 1 state, Tensor.narrow 1 1 1 state
            let t = Tensor.perSample x t
            Tensor.cat 1 [ v; (1.0 - x * x) * v - x + 0.5 * cos (1.3 * t) ] }

/// x' = r x (1 − x) for rates r of the samples' own: x = 1/(1 + (1/x₀ − 1) e^{−rt}). Element by element and without a function that
/// vector units round in another way than the rest of a row: the result may not depend on the batch at all.
let private logistic (rates: Tensor) (rows: int[]) : Field =
    let r = Tensor.indexSelect 0 (Tensor.ofArray [ rows.Length ] (Array.map int64 rows)) rates
    fun t x -> r * x * (1.0 - x) * (1.0 + 0.0 * Tensor.perSample x t)

/// End values for one tolerance after another: log₁₀ of the largest error against log₁₀ of the tolerance.
let private slope (errorAt: float -> float) (exponents: float list) =
    let points = exponents |> List.map (fun e -> e, Math.Log10(errorAt (10.0 ** e)))
    let mx, my = List.averageBy fst points, List.averageBy snd points
    let sxy = points |> List.sumBy (fun (x, y) -> (x - mx) * (y - my))
    sxy / (points |> List.sumBy (fun (x, _) -> (x - mx) ** 2.0)), points

[<Tests>]
let tests =
    testList
        "Sampling.Adaptive"
        [ testTheory "an equation without a closed form has the solution that other programs find" methods
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let method = methodOf name
                  // A method of order 3 would take steps by the ten thousand for more.
                  let tolerance, close' = if method.Order < 4 then 1e-8, close 1e-6 else 1e-12, close 1e-9
                  let tolerance = Tolerance.both tolerance

                  let check start times (expected: float list list) =
                      let solution =
                          ok (Adaptive.run tolerance method forcedVanDerPol times (Tensor.ofArray [ 1; 2 ] start))
                      for state, values in Seq.zip (Seq.tail solution.States) expected do
                          Seq.iter2
                              (fun e a -> close' e a $"{name}, {times.Length} times")
                              values
                              (Tensor.toFloats state)

                  // mpmath's Taylor series at 30 digits; scipy's DOP853, RK45, LSODA and Radau at rtol 1e-13 agree to 1e-12.
                  let last = [ -1.906289307246019; 0.2981275994551687 ]
                  check [| 1.2; -0.4 |] [| 0.0; 3.0 |] [ last ]
                  // Backwards: scipy's four.
                  check [| -0.9; 0.7 |] [| 3.0; 0.0 |] [ [ 0.1796387876327; -0.8835071821475 ] ])

          testCase "states between the ends are the solution's too"
          <| fun () ->
              Scope.run0 (fun () ->
                  // mpmath at 0.7 and 1.9.
                  let expected = [ [ 0.78803701970611; -0.80746566396476 ]; [ -1.078409169964; -2.1823520088499 ] ]

                  for method in embedded do
                      let rtol = if method.Order < 4 then 1e-8 else 1e-11
                      let times = [| 0.0; 0.7; 1.9; 3.0 |]
                      let run times =
                          ok (
                              Adaptive.run
                                  (Tolerance.both rtol)
                                  method
                                  forcedVanDerPol
                                  times
                                  (Tensor.ofArray [ 1; 2 ] [| 1.2; -0.4 |])
                          )
                      let solution, alone = run times, run [| 0.0; 3.0 |]

                      for state, values in Seq.zip solution.States[1..2] expected do
                          Seq.iter2
                              (fun e a -> close (if method.Order < 4 then 1e-6 else 1e-8) e a method.Name)
                              values
                              (Tensor.toFloats state)

                      holds
                          (Tensor.same solution.Final alone.Final)
                          $"{method.Name}: looking on does not change the steps"
                      let extra = method.Dense.Nodes.Length
                      let more = solution.Evaluations[0] - alone.Evaluations[0]
                      holds
                          ((if method.IsFsal then more = 2 * extra else more = 0))
                          $"{method.Name}: {more} evaluations more")

          testTheory "a neighbour changes nothing: not a bit, not a step" methods
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let method, tolerance = methodOf name, Tolerance.both 1e-5
                  let n, d = 7, 5
                  let rates = Tensor.ofArray [ n; 1 ] [| 0.1; 30.0; 3.0; -2.0; 0.0; 100.0; 8.0 |]
                  let x = 0.1 + 0.8 * Rng.uniform f64 [ n; d ] (Rng.ofSeed 1L)
                  let times = [| 0.0; 0.2; 0.35; 1.0 |]
                  let whole = ok (Adaptive.runRows tolerance method (logistic rates) times x)

                  for rows in [ [| 0 |]; [| 5 |]; [| 4; 1 |]; [| 6; 5; 3; 2 |] ] do
                      let pick (x: Tensor) =
                          Tensor.indexSelect 0 (Tensor.ofArray [ rows.Length ] (Array.map int64 rows)) x
                      let part = ok (Adaptive.runRows tolerance method (logistic (pick rates)) times (pick x))

                      for all, some in Array.zip whole.States part.States do
                          holds (Tensor.same (pick all) some) $"{name}, rows {rows}: states"

                      let counts (s: Solution) = s.Evaluations, s.Accepted, s.Rejected
                      let pickFrom (values: int[]) = rows |> Array.map (fun i -> values[i])
                      holds
                          (counts part = (pickFrom whole.Evaluations, pickFrom whole.Accepted, pickFrom whole.Rejected))
                          $"{name}, rows {rows}: counts"

                  holds
                      (whole.Accepted[5] > 2 * whole.Accepted[0])
                      $"a fast sample takes steps of its own: {whole.Accepted}"
                  let total = Array.sum whole.Evaluations
                  holds (total < n * whole.Calls) "samples that are done have left")

          testTheory "the error falls as the tolerance does" methods
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let method = methodOf name
                  let last = [| -1.906289307246019; 0.2981275994551687 |]

                  let errorAt rtol =
                      let start = Tensor.ofArray [ 1; 2 ] [| 1.2; -0.4 |]
                      let solution =
                          ok (Adaptive.run (Tolerance.both rtol) method forcedVanDerPol [| 0.0; 3.0 |] start)
                      Array.map2 (fun a b -> abs (a - b)) (Tensor.toFloats solution.Final) last |> Array.max

                  let exponents =
                      if method.Order < 4 then [ -8.0 .. -3.0 ] else [ for k in 0..12 -> -10.0 + 0.5 * float k ]
                  let measured, points = slope errorAt exponents
                  // Steps of the order of tol^{1/k} make an error of the order of tol^{p/k}, k the order of the estimate: 1 where the better of two solutions is
                  // carried on. The dozens of steps there are leave room for the next order's part.
                  let expected = if name = "fehlberg" then 0.9 else 1.1
                  close 0.2 expected measured $"{name}: {points}"

                  for exponent, error in points do
                      holds (error < exponent + 1.5) $"{name}: error 10^{error} at tolerance 10^{exponent}")

          testTheory
              "the mixture's flow is met to the tolerance, there and back"
              [ "dormand-prince"; "tsitouras"; "dop853" ]
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let m =
                      Mixture.ofStds
                          [| 0.4; 0.6 |]
                          (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.3; 0.8; -0.5 |])
                          (Tensor.full f64 [ 2; 2 ] 0.3)
                  let ode = { Velocity = Mixture.velocity Path.vp m }
                  let x = Mixture.sample 16 (Rng.ofSeed 2L) m

                  let errorAt rtol =
                      let there = (ok (Adaptive.run (Tolerance.both rtol) (methodOf name) ode [| 0.0; 1.0 |] x)).Final
                      let back =
                          (ok (Adaptive.run (Tolerance.both rtol) (methodOf name) ode [| 1.0; 0.0 |] there)).Final
                      largest (back - x)

                  let measured, points = slope errorAt [ -11.0; -9.0; -7.0; -5.0 ]
                  close 0.2 1.1 measured $"{points}"
                  holds (List.forall (fun (exponent, error) -> error < exponent + 2.0) points) $"{points}")

          testCase "the first step and what is left over are taken care of"
          <| fun () ->
              Scope.run0 (fun () ->
                  let run tolerance velocity times x =
                      ok (Adaptive.run tolerance Tableau.dormandPrince { Velocity = velocity } times x)
                  let one = Tensor.ones f64 [ 1; 1 ]
                  // Nothing moves; a constant slope; a slope that is zero at first.
                  let still = run (Tolerance.both 1e-6) (fun _ x -> 0.0 * x) [| 0.0; 1.0 |] one
                  holds (still.Final.ToFloat() = 1.0 && still.Accepted[0] < 15) $"{still.Accepted}"
                  close
                      1e-14
                      3.0
                      ((run (Tolerance.both 1e-6) (fun _ x -> 2.0 + 0.0 * x) [| 0.0; 1.0 |] one).Final.ToFloat())
                      "line"
                  let late t (x: Tensor) = 0.0 * x + Tensor.perSample x (Tensor.pow t 5.0)
                  close
                      1e-7
                      (1.0 + 1.0 / 6.0)
                      ((run (Tolerance.both 1e-7) late [| 0.0; 1.0 |] one).Final.ToFloat())
                      "late"
                  // No step is longer than allowed.
                  let short = run { Tolerance.both 1e-3 with LargestStep = 0.01 } (fun _ x -> -x) [| 0.0; 1.0 |] one
                  holds (short.Accepted[0] >= 99) $"{short.Accepted}"
                  // The start is kept as given, and float32 states are integrated in float64.
                  let single =
                      run (Tolerance.both 1e-9) (fun _ x -> -x) [| 0.0; 1.0 |] (Tensor.ones Kind.Float32 [ 2; 3 ])
                  holds (single.Final.Dtype = Dtype.Float64) "float64"
                  close 1e-9 (Math.Exp -1.0) ((Tensor.max single.Final).ToFloat()) "decay")

          testCase "what cannot be integrated is said with its place and a remedy"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Tensor.ofArray [ 2; 1 ] [| 0.5; 2.0 |]
                  let run tolerance method velocity =
                      Adaptive.run tolerance method { Velocity = velocity } [| 0.0; 1.0 |] x

                  for method in embedded do
                      // x' = x² from 2 is infinite at ½.
                      let burst = failure (run (Tolerance.both 1e-6) method (fun _ x -> x * x))
                      holds (abs (burst.From - 0.5) < 1e-3) $"{method.Name}: {burst}"
                      names [ "sample 1"; ";" ] (string burst)
                      // NaN from ¾ on, and at once.
                      let nanAfter at t (x: Tensor) = x * Tensor.perSample x (sqrt (at - t))
                      let late = failure (run (Tolerance.both 1e-6) method (nanAfter 0.75))
                      holds (abs (late.From - 0.75) < 1e-3) $"{method.Name}: {late}"
                      names [ "NaN" ] (string late)
                      let early = failure (run (Tolerance.both 1e-6) method (nanAfter -1.0))
                      holds (early.From = 0.0) $"{method.Name}: {early}"
                      names [ "NaN" ] (string early)

                  // A slope that jumps with the state has no small step that satisfies the estimate.
                  let rough =
                      failure (
                          run { Tolerance.both 1e-6 with MostSteps = 50 } Tableau.dormandPrince (fun _ x ->
                              -100.0 * Tensor.sign (x - 0.1))
                      )
                  names [ "50 steps"; "loosen" ] (string rough)
                  let lost =
                      failure (
                          Adaptive.run
                              (Tolerance.both 1e-6)
                              Tableau.tsitouras
                              { Velocity = fun _ x -> x }
                              [| 0.0; 1.0 |]
                              (x * nan)
                      )
                  names [ "sample 0"; "starts" ] (string lost))

          testCase "what makes no sense is refused"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Tensor.ones f64 [ 1; 1 ]
                  let run method times x () =
                      Adaptive.run (Tolerance.both 1e-3) method { Velocity = fun _ x -> x } times x

                  for tolerance in [ 0.0; -1.0; nan; infinity ] do
                      raises<ArgumentException, _>(fun () -> Tolerance.both tolerance)
                      |> names [ "relative"; "positive" ]
                      raises<ArgumentException, _>(fun () -> Tolerance.make 1e-3 tolerance)
                      |> names [ "absolute"; "positive" ]

                  raises<ArgumentException, _>(run Tableau.rk4 [| 0.0; 1.0 |] x)
                  |> names [ "rk4"; "embedded"; "dormand-prince" ]
                  raises<ArgumentException, _>(run Tableau.tsitouras [| 0.0 |] x) |> names [ "1 times" ]
                  raises<ArgumentException, _>(run Tableau.tsitouras [| 0.0; 1.0; 0.5 |] x) |> names [ "rise" ]
                  raises<ArgumentException, _>(run Tableau.tsitouras [| 0.0; 0.0 |] x) |> names [ "rise" ]
                  raises<ArgumentException, _>(run Tableau.tsitouras [| 0.0; 1.0 |] (Tensor.ones f64 [ 3 ]))
                  |> names [ "[3]"; "[B; …]" ])

          testCase "memory does not grow with the number of steps"
          <| fun () ->
              Scope.run0 (fun () ->
                  let most = ref 0L

                  let velocity (_: Tensor) (x: Tensor) =
                      most.Value <- Math.Max(most.Value, int64 (Scope.live ()))
                      -20.0 * x

                  let run rtol =
                      most.Value <- 0L
                      use x = Tensor.ones f64 [ 3; 2 ]
                      let before = Scope.live ()
                      let solution =
                          ok (
                              Adaptive.run
                                  (Tolerance.both rtol)
                                  Tableau.dormandPrince
                                  { Velocity = velocity }
                                  [| 0.0; 0.5; 1.0 |]
                                  x
                          )
                      holds (int64 (Scope.live ()) - int64 before = 3L) "the three states are left"
                      Scope.free solution
                      solution.Accepted[0], most.Value - int64 before

                  let few, low = run 1e-3
                  let many, high = run 1e-11
                  holds (many > 10 * few) $"{few} and {many} steps"
                  holds (high <= low + 8L) $"{low} tensors alive with {few} steps, {high} with {many}")

          // 1/t² has no integral from 0 on: no step from there is short enough. float64 could halve one a thousand times before it knew.
          testTheory "a step that shrinks without end is given up at once" methods
          <| fun (name: string) ->
              let calls = ref 0

              let steep: Ode =
                  { Velocity =
                      fun t x ->
                          calls.Value <- calls.Value + 1
                          let slopes = Tensor.toFloats t |> Array.map (fun t -> if t = 0.0 then 0.0 else 1.0 / (t * t))
                          Tensor.perSample x (Tensor.ofArray [ slopes.Length ] slopes) + Tensor.zerosLike x }

              Scope.run0 (fun () ->
                  let times = [| 0.0; 1.0 |]
                  let failure =
                      failure (Adaptive.run (Tolerance.both 1e-6) (methodOf name) steep times (column [| 0.0 |]))
                  Expect.stringContains failure.Reason "shrank" name
                  Expect.isLessThan calls.Value 500 name)

          // The same of DPM-Solver's own lengths, which a tolerance below rounding sends to nothing.
          testTheory "the lengths of an adaptive DPM-Solver that shrink without end are given up at once" [ 2; 3 ]
          <| fun (order: int) ->
              let law =
                  Mixture.ofStds
                      [| 0.4; 0.6 |]
                      (Tensor.ofArray [ 2; 1 ] [| -1.5; 1.0 |])
                      (Tensor.ofArray [ 2; 1 ] [| 0.25; 0.4 |])

              let calls = ref 0
              let model = Mixture.model Path.vp Prediction.noise law

              let counting =
                  { model with
                      Network =
                          fun condition t x ->
                              calls.Value <- calls.Value + 1
                              model.Network condition t x }

              let sampler = Samplers.dpmAdaptiveWith { Samplers.bounds with Relative = 1e-30; Absolute = 1e-30 } order

              match Sampling.draw (Sampling.plan sampler 3 counting) counting None [ 1 ] 3 3 (Rng.ofSeed 1L) with
              | Ok _ -> failtest "no step meets such a tolerance"
              | Error failure ->
                  Expect.stringContains failure.Reason "shrank" ""
                  Expect.isLessThan calls.Value 500 "" ]
