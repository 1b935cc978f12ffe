/// The laws that training times are drawn from, each against its own distribution function.
module Fokker.Tests.Losses.TimesTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private key = Rng.ofSeed 11L

/// Φ, in float64.
let private normal (z: float) =
    0.5
    * (1.0 + (Scope.run (fun () -> Tensor.erf (Tensor.scalar Kind.Float64 (z / sqrt 2.0)) |> _.ToFloat())))

/// P(T ≤ t) for each law by name, from the equation that it is listed with; a law without one here fails the test that looks it up.
let private distribution (law: Times) (path: GaussianPath) : float -> float =
    let low, high = path.Interior

    /// Of a density with integral G, on the interior.
    let onInterior (integral: float -> float) t = (integral t - integral low) / (integral high - integral low)

    match law.Name with
    | "uniform" -> onInterior id
    | "logit-normal" -> fun t -> normal (log (t / (1.0 - t)))
    | "log-normal" -> fun t -> normal ((-(Curve.eval path.Lambda t) + 1.2) / 1.2)
    | "discrete" -> fun t -> floor (1000.0 * t + 1e-9) / 1000.0
    // t falls as u rises: P(T ≤ t) = 1 − u(t).
    | "mode" ->
        let at u = 1.0 - u - 1.29 * (cos (0.5 * Math.PI * u) ** 2.0 - 1.0 + u)

        let rec place low high k =
            let middle = 0.5 * (low + high)
            if k = 0 then
                fun _ -> middle
            else
                fun t -> (if at middle > t then place middle high (k - 1) else place low middle (k - 1)) t

        fun t -> 1.0 - place 0.0 1.0 60 t
    | "u-shaped" -> onInterior (fun t -> exp (4.0 * t) - exp (4.0 * (1.0 - t)))
    // In the list it stands for the weight of the loss, here 1; another weight is below.
    | "importance" -> onInterior id
    | other -> failwith $"the law of times {other} is held to nothing: give its distribution function here"

/// The largest distance between the share of draws up to each of 400 places inside the interior and the law's own.
let private gap (law: Times) (path: GaussianPath) (cdf: float -> float) (n: int) =
    let t = Scope.run (fun () -> Tensor.toFloats (law.Draw path key n)) |> Array.sort
    let low, high = path.Interior

    // Off the multiples of 1/1000, which the discrete law sits on.
    [ for k in 1..400 ->
          let place = low + (high - low) * (float k - 0.37) / 400.0
          let found = Array.BinarySearch(t, place)
          let below = if found >= 0 then found + 1 else ~~~found
          abs (float below / float n - cdf place) ]
    |> List.max

let laws =
    [ for law in Catalogue.times.Parts do
          for path in [ Path.condOT; Path.vp; Path.ou; Paths.edm ] do
              (law.Name, path.Name) ]

[<Tests>]
let tests =
    testList
        "Losses.Times"
        [ testTheory "a law of times has the distribution that it says" laws
          <| fun (name: string, path: string) ->
              let law = Catalogue.times.Find name
              let path = Catalogue.paths.Find path
              let n = 20_000
              let isStratified = not (List.contains name [ "logit-normal"; "log-normal" ])
              // One draw in each of n cells: one of them may lie on the other side of a place, and the tabulated inverse is off by 1e-6. Independent
              // draws: Kolmogorov's distance exceeds 2.2/√n once in 8,000.
              let tolerance = if isStratified then 1.0 / float n + 2e-6 else 2.2 / sqrt (float n)
              Expect.isLessThanOrEqual (gap law path (distribution law path) n) tolerance ""

          // Every draw lies within the span that the law states, with its ends met where they are atoms.
          testTheory "a law of times draws within its span" laws
          <| fun (name: string, path: string) ->
              let law = Catalogue.times.Find name
              let path = Catalogue.paths.Find path
              let first, last = law.Span path
              let t = Scope.run (fun () -> Tensor.toFloats (law.Draw path key 5000))
              Expect.isGreaterThanOrEqual (Array.min t) (first - 1e-12) ""
              Expect.isLessThanOrEqual (Array.max t) (last + 1e-12) ""

          testCase "the u-shaped law has as much mass at one end as at the other, and most of it there"
          <| fun () ->
              let law = Times.uShaped
              let t = Scope.run (fun () -> Tensor.toFloats (law.Draw Path.condOT key 20_000))
              let share keep = float (Array.length (Array.filter keep t)) / 20_000.0
              // ∫ over a fifth at either end, of the whole: (sinh 2 − sinh 1.2)/(2 sinh 2), but for the thousandth outside of the interior.
              let expected = (sinh 2.0 - sinh 1.2) / (2.0 * sinh 2.0)
              Expect.within 2e-3 (share (fun t -> t < 0.2)) expected ""
              Expect.within 2e-3 (share (fun t -> t > 0.8)) expected ""
              Expect.isGreaterThan expected 0.29 ""

              for a in [ 0.0; -1.0; nan ] do
                  raised<ArgumentException>(fun () -> Times.uShapedWith a |> ignore) |> ignore

          testCase "times in proportion to a density follow its integral"
          <| fun () ->
              let cubic = Times.proportionalTo (fun _ -> 3.0 * (Curve.time ** 2.0))
              let low, high = Path.vp.Interior
              let cdf t = (t ** 3.0 - low ** 3.0) / (high ** 3.0 - low ** 3.0)
              // The trapezoids of 4,096 cells are off by h² over 12 at most, 5e-9 here.
              Expect.isLessThanOrEqual (gap cubic Path.vp cdf 20_000) (1.0 / 20_000.0 + 1e-7) ""

          testCase "a thousand times of a thousand steps are each step once"
          <| fun () ->
              let t =
                  Scope.run (fun () -> Tensor.toFloats ((Times.discrete 1000).Draw Path.condOT key 1000))
                  |> Array.sort
              Expect.allWithin 1e-12 t [| for k in 1..1000 -> float k / 1000.0 |] ""

          // What `timesOfLambda` states: λ is met to 1e-9 where the path is smooth, to 1e-5 where it is a table's.
          testCase "the times of given log-SNRs have them"
          <| fun () ->
              for path in Paths.all do
                  let low, high = path.Interior
                  let first, last = Curve.eval path.Lambda high, Curve.eval path.Lambda low
                  // The ends among them, and places between the 2,049 knots.
                  let wanted = [| for k in 0..5000 -> first + (last - first) * float k / 5000.0 |]

                  let times =
                      Scope.run (fun () ->
                          Tensor.toFloats (Path.timesOfLambda path (Tensor.ofArray [ wanted.Length ] wanted)))

                  let off =
                      Array.map2 (fun t lambda -> abs (Curve.eval path.Lambda t - lambda)) times wanted |> Array.max
                  let isTable = List.contains path.Name [ "ddpm"; "scaled-linear"; "ddpm-cosine"; "ddpm-sigmoid" ]
                  Expect.isLessThanOrEqual off (if isTable then 1e-5 else 1e-9) path.Name ]
