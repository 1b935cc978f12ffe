module Fokker.Tests.Torch.RngTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private draws: (string * (int list -> Rng -> Tensor)) list =
    [ "normal float32", Rng.normal Kind.Float32
      "normal float64", Rng.normal Kind.Float64
      "normal bfloat16", Rng.normal (Kind.Float32.As Dtype.BFloat16)
      "uniform float32", Rng.uniform Kind.Float32
      "uniform float64", Rng.uniform Kind.Float64
      "integers", (fun shape -> Rng.integers 1000L shape) ]

// Widths on both sides of every way the numbers are laid out: part of a block, a block, many, more than a group of blocks.
let private widths = [ 1; 2; 3; 4; 5; 8; 127; 256; 257; 300; 512; 1025 ]

let private wordsOf (rng: Rng) (row: int) (index: int) =
    let struct (a, b, c, d) = Rng.block rng.Key (struct (uint32 index, 0u, uint32 row, 0u))
    [| a; b; c; d |]

let private wide (a: uint32) (b: uint32) = (uint64 a <<< 32) ||| uint64 b

// ---- distributions. The keys are fixed, so that a test passes always or never; the bounds are two-sided and sit where a
// good generator lands once in ten thousand keys or less.

let private million = 1_000_000

/// Kolmogorov's √n · sup |F_n − F|. Its 0.01 % and 99.99 % points are 0.33 and 2.23.
let private kolmogorov (cdf: Tensor -> Tensor) (x: Tensor) =
    let sorted = fst (Tensor.sort 0 (Tensor.flatten x))
    let n = int sorted.Count
    let f = cdf sorted
    let above = Tensor.range Kind.Float64 1 (n + 1) / float n - f
    let below = f - Tensor.range Kind.Float64 0 n / float n
    sqrt (float n) * max ((Tensor.max above).ToFloat()) ((Tensor.max below).ToFloat())

let private plausible (statistic: float) = Expect.between 0.33 2.23 statistic ""

let private gaussian (x: Tensor) = 0.5 * (1.0 + Tensor.erf (x / sqrt 2.0))

/// χ² with k degrees of freedom as a standard normal (Wilson, Hilferty 1931).
let private chiSquare (expected: float) (counts: float[]) =
    let k = float (counts.Length - 1)
    let statistic = counts |> Array.sumBy (fun c -> (c - expected) * (c - expected) / expected)
    ((statistic / k) ** (1.0 / 3.0) - (1.0 - 2.0 / (9.0 * k))) / sqrt (2.0 / (9.0 * k))

let private counts (cells: int) (index: Tensor) =
    let found = Array.zeroCreate<float> cells
    for k in Tensor.toArray<int64> index do
        found[int k] <- found[int k] + 1.0
    found

/// √n times the correlation: a standard normal for independent streams.
let private correlation (a: Tensor) (b: Tensor) =
    let centred (x: Tensor) = x - Tensor.mean x
    let a, b = centred a, centred b
    (Tensor.sum (a * b) / Tensor.sqrt (Tensor.sum (a * a) * Tensor.sum (b * b))).ToFloat()
    * sqrt (float a.Count)

let private uncorrelated (what: string) (a: Tensor) (b: Tensor) =
    // Some hundred comparisons in all: 4.5 standard deviations.
    Expect.isLessThan (abs (correlation a b)) 4.5 what
    Expect.isLessThan (abs (correlation (a * a) (b * b))) 4.5 (what + ", squares")

[<Tests>]
let tests =
    testList
        "Torch.Rng"
        [
          // The known answers that Random123 publishes for philox4x32-10 (kat_vectors): counter, key, result.
          testCase "the generator gives Random123's known answers"
          <| fun () ->
              for counter, key, answer in
                  [ struct (0u, 0u, 0u, 0u), 0UL, struct (0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)
                    struct (0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu),
                    0xffffffffffffffffUL,
                    struct (0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)
                    struct (0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u),
                    0x299f31d0a4093822UL,
                    struct (0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u) ] do
                  equal answer (Rng.block key counter)

          testCase "rows of a cut batch are the rows of the whole, whatever is drawn"
          <| fun () ->
              for name, draw in draws do
                  for width in widths do
                      let rng = Rng.ofSeed (int64 width)
                      let whole = draw [ 150; width ] rng

                      for first, count in [ 0, 1; 0, 149; 1, 64; 63, 66; 149, 1; 64, 64 ] do
                          let part = draw [ count; width ] (Rng.rows (int64 first) rng)
                          Expect.isTrue
                              (Tensor.same part whole[first .. first + count - 1])
                              $"{name}, width {width}, rows {first} to {first + count - 1}"

          testCase "one thread or many, the bits are the same"
          <| fun () ->
              let threads = Torch.threads ()

              let all () =
                  [ for _, draw in draws do
                        draw [ 3000; 5 ] (Rng.ofSeed 1L)
                        draw [ 4; 9000 ] (Rng.ofSeed 1L) ]

              try
                  Torch.setThreads 1
                  let one = all ()
                  Torch.setThreads 4
                  for a, b in List.zip one (all ()) do
                      Expect.isTrue (Tensor.same a b) ""
              finally
                  Torch.setThreads threads

          testCase "a stream derived from cut rows draws the rows of the stream derived from the whole"
          <| fun () ->
              let rng = Rng.ofSeed 3L
              let step rng = rng |> Rng.named "noise" |> Rng.at 7L |> Rng.normal Kind.Float32 [ 10; 3 ]
              let whole = rng |> Rng.named "noise" |> Rng.at 7L |> Rng.normal Kind.Float32 [ 30; 3 ]
              for first in [ 0; 10; 20 ] do
                  Expect.isTrue (Tensor.same (step (Rng.rows (int64 first) rng)) whole[first .. first + 9]) ""
              let struct (a, _) = Rng.split (Rng.rows 20L rng)
              let struct (b, _) = Rng.split rng
              let whole = Rng.uniform Kind.Float32 [ 22 ] b
              Expect.isTrue (Tensor.same (Rng.uniform Kind.Float32 [ 2 ] a) whole[20..21]) ""

          testCase "a sample's shape does not matter, only how many numbers it takes"
          <| fun () ->
              for _, draw in draws do
                  let rng = Rng.ofSeed 4L
                  Expect.isTrue
                      (Tensor.same (Tensor.reshape [ 7; 12 ] (draw [ 7; 3; 2; 2 ] rng)) (draw [ 7; 12 ] rng))
                      ""
                  equal [ 0; 3 ] (draw [ 0; 3 ] rng).Shape
                  equal [ 3; 0 ] (draw [ 3; 0 ] rng).Shape
                  equal [||] (draw [] rng).Shape

          testCase "uniforms are the words of the row's blocks"
          <| fun () ->
              let rng = Rng.ofSeed 5L
              let single = Tensor.toArray<float32>(Rng.uniform Kind.Float32 [ 3; 7 ] rng)
              let double = Tensor.toArray<float>(Rng.uniform Kind.Float64 [ 3; 7 ] rng)

              for row in 0..2 do
                  for k in 0..6 do
                      equal (float32 ((wordsOf rng row (k / 4))[k % 4] >>> 8) / 16777216.0f) single[7 * row + k]
                      let w = wordsOf rng row (k / 2)
                      equal
                          (float (wide w[2 * (k % 2)] w[2 * (k % 2) + 1] >>> 12) / 4503599627370496.0)
                          double[7 * row + k]

          testCase "a number is the one that a uniform tensor of no dimension holds"
          <| fun () ->
              for row in [ 0L; 5L; 1L <<< 40 ] do
                  let rng = Rng.rows row (Rng.ofSeed 6L)
                  equal ((Rng.uniform Kind.Float64 [] rng).ToFloat()) (Rng.number rng)

          // r·(cos, sin) of Box and Muller from the words, with the platform's own log, cos and sin.
          testCase "normals are Box and Muller's, to a few units in the last place"
          <| fun () ->
              let rng = Rng.ofSeed 7L
              let single = Tensor.toArray<float32>(Rng.normal Kind.Float32 [ 2000; 4 ] rng)
              let double = Tensor.toArray<float>(Rng.normal Kind.Float64 [ 2000; 2 ] rng)

              for row in 0..1999 do
                  let w = wordsOf rng row 0

                  for pair in 0..1 do
                      // Half a cell above, as far as 24 bits can hold it.
                      let u = float (float32 (w[2 * pair] >>> 8) + 0.5f) / 16777216.0
                      let r = sqrt (-2.0 * log u)
                      let angle = Math.Tau * float w[2 * pair + 1] / 4294967296.0

                      for k, expected in [ 0, r * cos angle; 1, r * sin angle ] do
                          // log and the radius 1.2 ulp, the angle and its cosine 2.7, the product 0.5: under 6e-8 · 5 of the radius.
                          Expect.within (3e-7 * r) (float single[4 * row + 2 * pair + k]) expected ""

                  let r =
                      sqrt (-2.0 * log (float (wide w[0] w[1] >>> 12) / 4503599627370496.0 + 1.0 / 9007199254740992.0))
                  let angle = Math.Tau * float (wide w[2] w[3] >>> 11) / 9007199254740992.0
                  Expect.within (2e-15 * r) (double[2 * row]) (r * cos angle) ""
                  Expect.within (2e-15 * r) (double[2 * row + 1]) (r * sin angle) ""

          // Whatever the processor, compiler or libtorch: a change here changes every result of every seed.
          testCase "the bits of a seed stay what they are"
          <| fun () ->
              let rng = Rng.ofSeed 2026L |> Rng.named "noise" |> Rng.at 3L
              equal "f70b49a32465a161" (Rng.text rng)
              let bits (x: Tensor) = Convert.ToHexString(Exchange.toBytes x).ToLowerInvariant()
              equal "6957cc3fa9c465becb3e6ebf0042d33e5dc4613f" (bits (Rng.normal Kind.Float32 [ 1; 5 ] rng))
              equal "33cd88cf3247f5bf78b2e5d9a828edbfba01e59b7887f3bf" (bits (Rng.normal Kind.Float64 [ 1; 3 ] rng))
              equal "1001000000000000cd000000000000007a00000000000000" (bits (Rng.integers 1000L [ 3 ] rng))

          testTheory
              "uniforms and normals pass Kolmogorov and Smirnov's test at a million draws"
              [ Dtype.Float32; Dtype.Float64 ]
          <| fun (dtype: Dtype) ->
              Scope.run0 (fun () ->
                  for width in [ 1; 2; 1000 ] do
                      let draw f =
                          (f (Kind.Float32.As dtype) [ million / width; width ] (Rng.ofSeed (int64 width)): Tensor).To
                              Dtype.Float64
                      plausible (kolmogorov id (draw Rng.uniform))
                      plausible (kolmogorov gaussian (draw Rng.normal)))

          testTheory "normals have the tails of a normal law" [ Dtype.Float32; Dtype.Float64 ]
          <| fun (dtype: Dtype) ->
              Scope.run0 (fun () ->
                  let n = 8 * million
                  let x = (Rng.normal (Kind.Float32.As dtype) [ n / 1000; 1000 ] (Rng.ofSeed 8L)).To Dtype.Float64

                  // P(|X| > z), from tables.
                  for z, p in
                      [ 2.0, 4.550026e-2; 3.0, 2.699796e-3; 4.0, 6.334248e-5; 4.5, 6.795346e-6; 5.0, 5.733031e-7 ] do
                      let found = (Tensor.sum ((Tensor.greaterThan z (Tensor.abs x)).To Dtype.Float64)).ToFloat()
                      let expected = float n * p
                      // Poisson: four standard deviations, and half a count.
                      Expect.within (4.0 * sqrt expected + 0.5) found expected $"beyond {z}"

                  for power, expected, variance in [ 1.0, 0.0, 1.0; 2.0, 1.0, 2.0; 3.0, 0.0, 15.0; 4.0, 3.0, 96.0 ] do
                      let moment = (Tensor.mean (Tensor.pow x power)).ToFloat()
                      Expect.within (4.0 * sqrt (variance / float n)) moment expected $"moment {power}")

          testCase "integers fall on every value equally often"
          <| fun () ->
              for bound in [ 2; 3; 10; 1000 ] do
                  let z =
                      chiSquare
                          (float million / float bound)
                          (counts bound (Rng.integers (int64 bound) [ million ] (Rng.ofSeed 9L)))
                  Expect.isLessThan (abs z) 3.9 $"below {bound}"

              let large = Rng.integers (1L <<< 62) [ 1000 ] (Rng.ofSeed 9L) |> Tensor.toArray<int64>
              (for value in large do
                  Expect.between 0L ((1L <<< 62) - 1L) value "")
              raises<ArgumentException> [ "0" ] (fun () -> Rng.integers 0L [ 1 ] (Rng.ofSeed 1L) |> ignore)

          testCase "streams derived from one another are uncorrelated"
          <| fun () ->
              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed 10L
                  let struct (left, right) = Rng.split rng

                  let streams =
                      [ "itself", rng
                        "left", left
                        "right", right
                        "at 0", Rng.at 0L rng
                        "at 1", Rng.at 1L rng
                        "at 2^32", Rng.at (1L <<< 32) rng
                        "at -1", Rng.at -1L rng
                        "a", Rng.named "a" rng
                        "b", Rng.named "b" rng
                        "seed 11", Rng.ofSeed 11L ]
                      |> List.map (fun (name, stream) ->
                          name, (Rng.normal Kind.Float32 [ 50; 1000 ] stream).To Dtype.Float64)

                  for i, (nameA, a) in List.indexed streams do
                      for nameB, b in List.skip (i + 1) streams do
                          uncorrelated $"{nameA} and {nameB}" a b)

          testCase "numbers of one stream are uncorrelated with their neighbours, along rows and across"
          <| fun () ->
              Scope.run0 (fun () ->
                  for dtype in [ Dtype.Float32; Dtype.Float64 ] do
                      for shape in [ [ 400; 500 ]; [ 100000; 2 ]; [ 200000; 1 ] ] do
                          let x = (Rng.normal (Kind.Float32.As dtype) shape (Rng.ofSeed 12L)).To Dtype.Float64

                          for lag in [ 1; 2; 3; 4; 8; 64 ] do
                              for dim in 0..1 do
                                  let n = x.Shape[dim]

                                  if n > lag then
                                      uncorrelated
                                          $"lag {lag}, dimension {dim}"
                                          (Tensor.narrow dim 0 (n - lag) x)
                                          (Tensor.narrow dim lag (n - lag) x))

          testCase "a permutation holds every number once, and every order comes equally often"
          <| fun () ->
              for n in [ 0; 1; 2; 1000 ] do
                  let p = Tensor.toArray<int64>(Rng.permutation n (Rng.ofSeed 13L))
                  equal [ 0L .. int64 n - 1L ] (Array.sort p)

              Scope.run0 (fun () ->
                  let orders = Collections.Generic.Dictionary<string, float>()

                  for k in 1L .. 12000L do
                      let order =
                          String.Join(",", Tensor.toArray<int64>(Rng.permutation 4 (Rng.at k (Rng.ofSeed 14L))))
                      orders[order] <-
                          (match orders.TryGetValue order with
                           | true, c -> c
                           | _ -> 0.0)
                          + 1.0

                  equal 24 orders.Count
                  Expect.isLessThan (abs (chiSquare 500.0 (Seq.toArray orders.Values))) 3.9 "")

          testCase "signs are fair and nothing but signs"
          <| fun () ->
              let x = Rng.rademacherLike (Tensor.zeros Kind.Float32 [ 1000; 100 ]) (Rng.ofSeed 15L)
              equal 1.0 ((Tensor.mean (Tensor.square x)).ToFloat())
              Expect.isLessThan (abs ((Tensor.mean x).ToFloat())) (3.9 / sqrt 1e5) ""

          testCase "derived keys are all different, a name is more than its letters, and a key survives as text"
          <| fun () ->
              let rng = Rng.ofSeed 16L
              let struct (left, right) = Rng.split rng

              let keys =
                  [ rng
                    left
                    right
                    Rng.named "" rng
                    Rng.named "a" rng
                    Rng.named "ab" rng
                    rng |> Rng.named "a" |> Rng.named "b" ]
                  @ [ for n in -2L .. 1000L -> Rng.at n rng ]

              equal keys.Length (keys |> List.map Rng.text |> List.distinct |> List.length)
              for key in keys do
                  equal (Rng.text key) (Rng.text (Rng.ofText (Rng.text key)))
              for text in [ ""; "12"; "xyz0123456789abc"; " 123456789abcdef" ] do
                  raises<ArgumentException> [ "16 hexadecimal" ] (fun () -> Rng.ofText text |> ignore) ]
