module Fokker.Tests.Losses.BoundTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

let private mixture () =
    Mixture.ofStds [| 0.4; 0.6 |] (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.3; 0.8; -0.5 |]) (Tensor.full f64 [ 2; 2 ] 0.5)

// VP ends in N(0, I) up to e^{−10}; from t₀ on, x₀ given x_{t₀} is Gaussian up to the curvature of log p at σ/α = 0.01.
let private path = Path.vp
let private first = 1e-3

/// So many draws of x₀, each one point of the data with noise of its own.
let private points n = Mixture.sample n (Rng.ofSeed 5L) (mixture ())

let private gap (bound: Tensor) (x: Tensor) : Estimate =
    let values = Tensor.toFloats (bound + Mixture.logDensityOfData (mixture ()) x)
    Measure.overDraws values.Length (fun k -> values[k])

[<Tests>]
let tests =
    testList
        "Losses.Bound"
        [ testCase "the bound of infinitely many steps is the negative log-likelihood where the denoiser is exact"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = mixture ()
                  let x = points 2000
                  let bound strata seed denoiser =
                      Variational.continuousBound strata path (first, 1.0) 1.0 denoiser (Rng.ofSeed seed) x
                  let exact = gap (bound 64 1L (Mixture.denoiser path m)) x
                  close (4.0 * exact.StandardError) 0.0 exact.Mean "no gap"
                  // Power: what the other denoiser below loses would be seen.
                  holds (exact.StandardError < 0.05) $"{exact}"
                  // Any other denoiser pays for its error: E ∫ e^{2λ} ‖x̂' − x̂‖² dλ ≥ 0.
                  let worse = gap (bound 64 1L (fun t x -> 0.9 * Mixture.denoiser path m t x)) x
                  holds (worse.Mean > 10.0 * worse.StandardError) $"{worse}"
                  // The strata change the variance and not the mean.
                  let few, many =
                      gap (bound 4 2L (Mixture.denoiser path m)) x, gap (bound 64 3L (Mixture.denoiser path m)) x
                  close (4.0 * (few.StandardError + many.StandardError)) many.Mean few.Mean "strata"
                  holds (few.StandardError > many.StandardError) $"{few} and {many}")

          testCase "a bound of N steps is one, and falls to that of infinitely many"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = mixture ()
                  let x = points 20000

                  let discrete variance steps =
                      let times = Array.init (steps + 1) (fun k -> first + (1.0 - first) * float k / float steps)
                      gap
                          (Variational.discreteBound
                              variance
                              path
                              times
                              1.0
                              (Mixture.denoiser path m)
                              (Rng.ofSeed 1L)
                              x)
                          x

                  for variance in [ Variational.small; Variational.large ] do
                      let gaps = [ 10; 40; 160 ] |> List.map (discrete variance)

                      for g in gaps do
                          holds (g.Mean > -4.0 * g.StandardError) $"a bound: {g}"

                      for coarse, fine in List.pairwise gaps do
                          let noise = 4.0 * Math.Sqrt(coarse.StandardError ** 2.0 + fine.StandardError ** 2.0)
                          holds (fine.Mean < coarse.Mean + noise) $"{gaps}"

                      // At first order in the step: a quarter for four times the steps, down to what is drawn.
                      holds (gaps[0].Mean > 8.0 * gaps[0].StandardError) $"ten steps lose something: {gaps}"
                      holds (gaps[2].Mean < 0.3 * gaps[0].Mean) $"{gaps}")

          testCase "times and strata that make no sense are refused"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x, denoiser = points 2, (fun _ x -> x)
                  raises<ArgumentException, _>(fun () ->
                      Variational.continuousBound 0 path (first, 1.0) 1.0 denoiser (Rng.ofSeed 0L) x)
                  |> names [ "0 strata" ]
                  raises<ArgumentException, _>(fun () ->
                      Variational.discreteBound
                          Variational.small
                          path
                          [| 0.5; 0.5; 1.0 |]
                          1.0
                          denoiser
                          (Rng.ofSeed 0L)
                          x)
                  |> names [ "s < t" ]) ]
