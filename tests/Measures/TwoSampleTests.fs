/// Measures that see what distances between samples do not, and the Fréchet distance without its bias.
module Fokker.Tests.Measures.TwoSampleTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private normal name (n: int) (d: int) (k: int) =
    Rng.normal Kind.Float64 [ n; d ] (Rng.at (int64 k) (Rng.named name (Rng.ofSeed 8L)))

/// Within four standard errors, and what is known to remain besides.
let private agrees (rest: float) (expected: float) (found: Estimate) (what: string) =
    close (4.0 * found.StandardError + rest) expected found.Mean $"{what}: {found}"

// ---- columns of very different widths

let private wide (n: int) (k: int) = normal "wide" n 2 k * Tensor.ofArray [ 1; 2 ] [| 1e6; 1e-6 |]

/// The same but for the narrow column, which is twice too wide.
let private off (n: int) (k: int) = normal "off" n 2 k * Tensor.ofArray [ 1; 2 ] [| 1e6; 2e-6 |]

[<Tests>]
let tests =
    testList
        "Measures.TwoSample"
        [
          // ---- Fréchet
          testTheory
              "the bias of the Fréchet distance between equal Gaussians is 2d/n + d(d + 1)/(2n)"
              [ 4, 200; 16, 400 ]
          <| fun (d: int, n: int) ->
              let found = Measure.overDraws 60 (fun k -> Wasserstein.frechet (normal "x" n d k) (normal "y" n d k))
              let bias = 2.0 * float d / float n + float (d * (d + 1)) / (2.0 * float n)
              // The next term is smaller by the order d/n.
              agrees (bias * float d / float n) bias found "bias"
              // What was said of it before, d/n, is far off.
              holds (found.Mean > 2.0 * float d / float n) $"{found} beside {float d / float n}"

          // N(0, I) and N(m, (1 + s)² I) are ‖m‖² + d s² apart.
          testTheory
              "the extrapolated Fréchet distance is that of the laws"
              [ 4, 200, 0.0, 0.0; 4, 200, 0.5, 0.0; 16, 400, 0.0, 0.3; 16, 400, 0.2, 0.1 ]
          <| fun (d: int, n: int, shift: float, stretch: float) ->
              let between measure =
                  Measure.overDraws 40 (fun k ->
                      measure (normal "x" n d k) (normal "y" n d k * (1.0 + stretch) + shift))

              let truth = float d * (shift * shift + stretch * stretch)
              let scale = (1.0 + stretch) ** 2.0
              let bias = scale * (2.0 * float d / float n + float (d * (d + 1)) / (2.0 * float n))
              // Of the bias a share of the order d/n remains, the terms in 1/n².
              agrees (bias * 0.25 * float d / float n) truth (between Wasserstein.frechetUnbiased) "extrapolated"
              let biased = between Wasserstein.frechet

              // Where the bias is more than chance, the plain estimate shows it.
              if bias > 8.0 * biased.StandardError then
                  holds (biased.Mean > truth + 4.0 * biased.StandardError) $"as it is: {biased} beside {truth}"

          // N(0, I) and N(m, (1 + s)² I) are ‖m‖² + d s² apart.
          full (
              testTheory "the extrapolated Fréchet distance is that of the laws" [ 128, 1000, 0.0, 0.1 ]
              <| fun (d: int, n: int, shift: float, stretch: float) ->
                  let between measure =
                      Measure.overDraws 40 (fun k ->
                          measure (normal "x" n d k) (normal "y" n d k * (1.0 + stretch) + shift))

                  let truth = float d * (shift * shift + stretch * stretch)
                  let scale = (1.0 + stretch) ** 2.0
                  let bias = scale * (2.0 * float d / float n + float (d * (d + 1)) / (2.0 * float n))
                  // Of the bias a share of the order d/n remains, the terms in 1/n².
                  agrees (bias * 0.25 * float d / float n) truth (between Wasserstein.frechetUnbiased) "extrapolated"
                  let biased = between Wasserstein.frechet

                  // Where the bias is more than chance, the plain estimate shows it.
                  if bias > 8.0 * biased.StandardError then
                      holds (biased.Mean > truth + 4.0 * biased.StandardError) $"as it is: {biased} beside {truth}"
          )

          testCase "four points are the least that can be extrapolated from"
          <| fun () ->
              raises<TensorException, _>(fun () -> Wasserstein.frechetUnbiased (normal "x" 3 2 0) (normal "y" 3 2 0))
              |> names [ "at least four" ]

          // ---- a classifier
          testCase "a classifier names half of the points of equal laws, whatever the order of the samples"
          <| fun () ->
              for d in [ 1; 2; 10 ] do
                  let found =
                      Measure.overDraws 60 (fun k ->
                          // Sorted along the first coordinate: halves by order would be of different laws.
                          let sorted (x: Tensor) =
                              let _, order = Tensor.sort 0 (Tensor.select 1 0 x)
                              Tensor.indexSelect 0 order x

                          TwoSample.neighbours
                              (Rng.ofSeed (int64 k))
                              (sorted (normal "x" 300 d k))
                              (sorted (normal "y" 300 d k)))

                  agrees 0.0 0.5 found $"{d} dimensions"

          // The best that any classifier does is ½ + ½ TV, which is Φ(Δ/2) for two normal laws Δ apart.
          testCase "a classifier of normal laws comes near the best there is and not above it"
          <| fun () ->
              for apart, best in [ 1.0, 0.6915; 2.0, 0.8413 ] do
                  let found =
                      Measure.overDraws 20 (fun k ->
                          TwoSample.neighbours (Rng.ofSeed (int64 k)) (normal "x" 600 1 k) (normal "y" 600 1 k + apart))

                  holds (found.Mean < best + 4.0 * found.StandardError) $"{found} above {best}"
                  // A majority of 24 votes loses some of it.
                  holds (found.Mean > best - 0.03) $"{found} far below {best}"

          // In 50 dimensions all are nearer to the narrow law's points than to those of their own: a majority is right for the narrow and wrong for the wide, whatever they are.
          testCase
              "a classifier by distances tells laws of other widths in many dimensions, and names half of the points of equal laws"
          <| fun () ->
              let both judge stretch =
                  Measure.overDraws 20 (fun k ->
                      judge (Rng.ofSeed (int64 k)) (normal "x" 200 50 k * stretch) (normal "y" 200 50 k))

              holds ((both TwoSample.neighbours 1.5).Mean < 0.6) $"{both TwoSample.neighbours 1.5}"
              holds ((both TwoSample.distances 1.5).Mean > 0.9) $"{both TwoSample.distances 1.5}"
              agrees 0.0 0.5 (both TwoSample.distances 1.0) "equal laws"

          // The best that any classifier does is Φ(Δ/2) = 0.6915 for normal laws Δ = 1 apart.
          testCase "a classifier by distances comes near the best there is and not above it"
          <| fun () ->
              let found =
                  Measure.overDraws 20 (fun k ->
                      TwoSample.distances (Rng.ofSeed (int64 k)) (normal "x" 600 1 k) (normal "y" 600 1 k + 1.0))

              let best = 0.6915
              holds (found.Mean < best + 4.0 * found.StandardError && found.Mean > best - 0.06) $"{found}"

          testCase "a classifier is right half of the time on points that are all one point"
          <| fun () ->
              let x = Tensor.ones Kind.Float64 [ 50; 3 ]
              close 0.0 0.5 (TwoSample.neighbours (Rng.ofSeed 1L) x x) "one point"
              close 0.0 0.5 (TwoSample.distances (Rng.ofSeed 1L) x x) "one point"

              raises<ArgumentException, _>(fun () -> TwoSample.neighbours (Rng.ofSeed 1L) x (normal "y" 49 3 0))
              |> names [ "50 and 49" ]

          testCase "a narrow column counts beside a wide one"
          <| fun () ->
              let protocol: Protocol = { Draws = 10; Size = 400; Pool = 4000 }

              let data = Evaluations.reference "wide" (Tensor.cat 0 [ for k in 0..19 -> wide 400 (100 + k) ])

              let verdicts (x: Tensor) =
                  (Evaluations.ofSamples protocol data 0L (fun _ _ _ -> ()) x).Scores
                  |> List.map (fun score -> score.Name, score.IsSeen)
                  |> Map.ofList

              let wrong = verdicts (Tensor.cat 0 [ for k in 0..9 -> off 400 k ])

              for seen in [ "standardizedWasserstein2"; "worstColumn"; "classifier" ] do
                  holds wrong[seen] $"{seen} does not see a narrow column that is twice too wide"

              // That is why the others are there.
              holds (not wrong["wasserstein2"]) "the distance of all columns together"
              let right = verdicts (Tensor.cat 0 [ for k in 0..9 -> wide 400 k ])
              holds (right |> Map.forall (fun _ isSeen -> not isSeen)) $"{right}"

              // Where columns are alike there is nothing more to measure.
              holds (ColumnMeasures.suiting (normal "alike" 100 3 0)).IsEmpty "columns of one width" ]
