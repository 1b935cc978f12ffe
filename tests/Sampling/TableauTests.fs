module Fokker.Tests.Sampling.TableauTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64
let private tableaus = Tableau.all |> List.map (fun t -> t.Name)
let private tableauOf name = Tableau.all |> List.find (fun t -> t.Name = name)

/// A problem with its solution, away from any symmetry that would flatter a method.
type private Problem = { What: string; Velocity: float -> float[] -> float[]; Solution: float -> float[] }

let private problems =
    [ // x' = M x + f, M a spiral: x = e^{−t/2} (cos 3t, sin 3t) plus the particular solution t (1, −1).
      { What = "linear"
        Velocity =
          fun t x ->
              let u, v = x[0] - t, x[1] + t
              [| -0.5 * u - 3.0 * v + 1.0; 3.0 * u - 0.5 * v - 1.0 |]
        Solution =
          fun t ->
              let e = Math.Exp(-0.5 * t)
              [| e * Math.Cos(3.0 * t) + t; e * Math.Sin(3.0 * t) - t |] }
      // x' = −2 t x², y' = y cos t + (x (1 + t²) − 1): x = 1/(1 + t²), y = e^{sin t}.
      { What = "nonlinear"
        Velocity = fun t x -> [| -2.0 * t * x[0] * x[0]; x[1] * Math.Cos t + (x[0] * (1.0 + t * t) - 1.0) |]
        Solution = fun t -> [| 1.0 / (1.0 + t * t); Math.Exp(Math.Sin t) |] } ]

/// A turn about a moving centre c(t) = (t², sin t) with the speed ρ²: x = c + ρ (cos ρ²t, sin ρ²t). Its error grows evenly along the way, so
/// that the leading term of a high order rules before rounding does.
let private turning =
    { What = "turning"
      Velocity =
        fun t x ->
            let u, v = x[0] - t * t, x[1] - Math.Sin t
            let r2 = u * u + v * v
            [| -r2 * v + 2.0 * t; r2 * u + Math.Cos t |]
      Solution = fun t -> [| 1.6 * Math.Cos(2.56 * t) + t * t; 1.6 * Math.Sin(2.56 * t) + Math.Sin t |] }

let private problemsFor (t: Tableau) = if t.Order > 5 then [ problems[0]; turning ] else problems

let private ode (p: Problem) : Ode =
    { Velocity = fun t x -> Tensor.ofArray [ 1; 2 ] (p.Velocity (t.ToFloat()) (Tensor.toFloats x)) }

let private run step times x =
    match Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) times x with
    | Ok state -> state
    | Error failure -> failwith (string failure)

let private error (p: Problem) (tableau: Tableau) (first: float, last: float) n =
    Scope.run (fun () ->
        let times = Array.init (n + 1) (fun k -> first + (last - first) * float k / float n)
        let state = run (Integrator.rungeKutta tableau (ode p)) times (Tensor.ofArray [ 1; 2 ] (p.Solution first))
        Array.map2 (fun a b -> (a - b) ** 2.0) (Tensor.toFloats state.X) (p.Solution last)
        |> Array.sum
        |> Math.Sqrt)

/// The mean error of the dense output over steps from points of the solution and places within them: at one alone the leading term may vanish.
let private denseError (p: Problem) (tableau: Tableau) h =
    let errorFrom start =
        let x = p.Solution start

        let combine (terms: (float * float[]) list) =
            terms |> List.fold (fun (s: float[]) (c, k: float[]) -> Array.map2 (fun a b -> a + h * c * b) s k) x

        let slopes =
            List.zip (tableau.Nodes @ tableau.Dense.Nodes) (tableau.Stages @ tableau.Dense.Stages)
            |> List.fold (fun ks (node, row) -> ks @ [ p.Velocity (start + node * h) (combine (List.zip row ks)) ]) []

        [ 0.15; 0.3; 0.5; 0.65; 0.85 ]
        |> List.averageBy (fun theta ->
            combine (List.zip (tableau.Dense.Weights theta) slopes)
            |> Array.map2 (fun a b -> abs (a - b)) (p.Solution(start + theta * h))
            |> Array.average)

    [ 0.1; 0.3; 0.5; 0.7 ] |> List.averageBy errorFrom

[<Tests>]
let tests =
    testList
        "Sampling.Tableau"
        [ testTheory "the measured order is the order claimed, forwards and backwards in time" tableaus
          <| fun (name: string) ->
              let tableau = tableauOf name

              for p in problemsFor tableau do
                  for span in [ (0.0, 1.0); (1.0, 0.0) ] do
                      // Small enough steps for the leading term to rule, large enough for errors to stay above rounding (1e-15).
                      let n = [| 0; 128; 128; 128; 64; 32; 0; 0; 8 |][tableau.Order]
                      let coarse, fine = error p tableau span n, error p tableau span (2 * n)
                      holds (fine > 1e-13) $"{p.What}: the error {fine} is above rounding"
                      close 0.2 (float tableau.Order) (Math.Log2(coarse / fine)) $"{p.What} over {span}"

          testTheory "the embedded error estimate has its own order" tableaus
          <| fun (name: string) ->
              let tableau = tableauOf name

              for order, weights in tableau.ErrorWeights do
                  close 1e-13 0.0 (List.sum weights) "error weights sum to zero"
                  // One step from a point of the solution: h Σ eᵢ kᵢ shrinks as h to the power of the lower order plus one.
                  let p = problems[1]
                  let rows = List.toArray tableau.Stages
                  let nodes = List.toArray tableau.Nodes

                  let estimate h =
                      let x = p.Solution 0.3
                      let combine (x: float[]) (terms: (float * float[]) list) =
                          List.fold
                              (fun (s: float[]) (c, k: float[]) -> Array.map2 (fun a b -> a + h * c * b) s k)
                              x
                              terms

                      let slopes =
                          List.fold
                              (fun ks i -> ks @ [ p.Velocity (0.3 + nodes[i] * h) (combine x (List.zip rows[i] ks)) ])
                              []
                              [ 0 .. rows.Length - 1 ]

                      combine [| 0.0; 0.0 |] (List.zip weights slopes) |> Array.sumBy (fun e -> e * e) |> Math.Sqrt

                  let measured = Math.Log2(estimate 0.05 / estimate 0.025)
                  close 0.2 (float (min order tableau.Order) + 1.0) measured "order of the estimate"

          testCase "which methods reuse their last stage follows from their coefficients"
          <| fun () ->
              let reusing = Tableau.all |> List.filter (fun t -> t.IsFsal) |> List.map (fun t -> t.Name)
              holds (reusing = [ "bogacki-shampine"; "dormand-prince"; "tsitouras"; "dop853" ]) $"{reusing}"
              holds (Tableau.dormandPrince.EvaluationsPerStep = 6) "dormand-prince"

          // One coefficient at a time moved by 1e-9: some condition must notice.
          testTheory "a tableau with one wrong coefficient does not exist" tableaus
          <| fun (name: string) ->
              let t = tableauOf name
              let a, b, c = List.tail t.Stages, t.Weights, t.Nodes
              let nudge i = List.mapi (fun j x -> if i = j then x + 1e-9 else x)
              let refused what build = raises<ArgumentException, _> build |> names [ t.Name; what ]
              let make order c a b () = Tableau.make t.Name "" order c a b []

              for i in 0 .. b.Length - 1 do
                  refused "weights are of order" (make t.Order c a (nudge i b))

              for i in 0 .. a.Length - 1 do
                  for j in 0 .. a[i].Length - 1 do
                      refused
                          "sums to"
                          (make t.Order c (List.mapi (fun k row -> if k = i then nudge j row else row) a) b)

              refused "not" (make (t.Order + 1) c a b)

              if t.Order > 1 then
                  refused "not" (make (t.Order - 1) c a b)

          testCase "a tableau whose parts do not fit is refused"
          <| fun () ->
              let refuse part build = raises<ArgumentException, _> build |> names [ "tableau x"; part ]
              refuse "2 weights" (fun () -> Tableau.make "x" "" 1 [ 0.0 ] [] [ 0.5; 0.5 ] [])
              refuse "row 1 has 2" (fun () -> Tableau.make "x" "" 1 [ 0.0; 1.0 ] [ [ 0.5; 0.5 ] ] [ 0.5; 0.5 ] [])
              refuse "embedded weights" (fun () -> Tableau.make "x" "" 1 [ 0.0 ] [] [ 1.0 ] [ 1, [ 0.9 ] ])

          testTheory "dense output has the order that it claims" tableaus
          <| fun (name: string) ->
              let tableau = tableauOf name
              let order = tableau.Dense.Order

              for p in problemsFor tableau do
                  let h = if order > 5 then 0.15 else 0.02
                  let coarse, fine = denseError p tableau h, denseError p tableau (h / 2.0)
                  holds (fine > 1e-14) $"{p.What}: the error {fine} is above rounding"
                  close 0.3 (float order + 1.0) (Math.Log2(coarse / fine)) $"{p.What}: order {order} over one step"

          testCase "dense output ends where the step does, and is as the authors published it"
          <| fun () ->
              for tableau in Tableau.all do
                  let ends = tableau.Dense.Weights 1.0
                  List.iteri
                      (fun i w ->
                          close
                              1e-12
                              (if i < tableau.Weights.Length then tableau.Weights[i] else 0.0)
                              w
                              $"{tableau.Name} {i}")
                      ends
                  holds (tableau.Dense.Weights 0.0 |> List.forall (fun w -> w = 0.0)) $"{tableau.Name} begins at x"

              let orders = [ for t in Tableau.all -> t.Name, t.Dense.Order ] |> Map.ofList
              holds (orders["bogacki-shampine"] = 3 && orders["dormand-prince"] = 4) $"{orders}"
              holds
                  (orders["tsitouras"] = 4 && orders["dop853"] = 7 && orders["rk4"] = 3 && orders["euler"] = 1)
                  $"{orders}"

              // Hairer, Nørsett, Wanner 1993, eq. II.6.12 at ½, as their fractions have it: b₁ = θ²(3 − 2θ) 35/384 + θ (1 − θ)² −
              // θ² (1 − θ)² · 5 (2558722523 − 31403016 θ)/11282082432.
              let b1 = 0.5 * 35.0 / 384.0 + 0.125 - 0.0625 * 5.0 * (2558722523.0 - 15701508.0) / 11282082432.0
              close 1e-14 b1 (List.head (Tableau.dormandPrince.Dense.Weights 0.5)) "dormand-prince"

          testCase "dense output with one wrong coefficient does not exist"
          <| fun () ->
              let t = Tableau.bogackiShampine
              let cubic =
                  [ [ 1.0; -4.0 / 3.0; 5.0 / 9.0 ]
                    [ 0.0; 1.0; -2.0 / 3.0 ]
                    [ 0.0; 4.0 / 3.0; -8.0 / 9.0 ]
                    [ 0.0; -1.0; 1.0 ] ]
              let make order polynomials () = Tableau.withDense "" order [] [] polynomials t

              for mine, derived in List.zip ((make 3 cubic ()).Dense.Weights 0.3) (t.Dense.Weights 0.3) do
                  close 1e-15 derived mine "the cubic written by hand is the one derived"

              for i in 0..3 do
                  for j in 0..2 do
                      let wrong =
                          List.mapi
                              (fun a row -> List.mapi (fun b c -> if (a, b) = (i, j) then c + 1e-9 else c) row)
                              cubic
                      raises<ArgumentException, _>(make 3 wrong) |> names [ t.Name; "order" ]

              raises<ArgumentException, _>(make 4 cubic) |> names [ "order 3, not 4" ]
              raises<ArgumentException, _>(make 3 (List.tail cubic)) |> names [ "3 polynomials" ] ]
