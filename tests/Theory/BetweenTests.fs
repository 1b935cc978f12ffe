module Fokker.Tests.Theory.BetweenTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

let private mixture (k: int) (d: int) (name: string) : Mixture =
    let rng = Rng.named name (Rng.ofSeed 7L)
    let a = Rng.normal f64 [ k; d; d ] (Rng.named "covariances" rng)
    let covariances = 0.2 * Linalg.matmul a (Tensor.transpose 1 2 a) + 0.1 * Tensor.eye f64 d
    Mixture.ofCovariances
        (Array.init k (fun i -> 1.0 + float i))
        (Rng.normal f64 [ k; d ] (Rng.named "means" rng))
        covariances

let private standard (d: int) = Mixture.gaussian (Tensor.zeros f64 [ d ]) (Tensor.eye f64 d)

let private gap (a: Tensor) (b: Tensor) = (Tensor.max (abs (a - b))).ToFloat()
let private at (t: float) = Tensor.scalar f64 t

[<Tests>]
let tests =
    testList
        "Theory.Between"
        [ testCase "towards a standard normal it is the Gaussian path's oracle"
          <| fun () ->
              let m = mixture 3 2 "data"
              let x = Rng.normal f64 [ 6; 2 ] (Rng.ofSeed 1L)

              for path in [ Path.condOT; Path.ou; Path.trigonometric; Paths.ve ] do
                  let b = Between.ofMixtures (Interpolant.ofPath path) m (standard 2)
                  let t = at 0.4
                  close 1e-12 0.0 (gap (Between.velocity b t x) (Mixture.velocity path m t x)) $"velocity, {path.Name}"
                  close 1e-12 0.0 (gap (Between.score b t x) (Mixture.score path m t x)) $"score, {path.Name}"
                  close 1e-12 0.0 (gap (Between.data b t x) (Mixture.denoiser path m t x)) $"data, {path.Name}"
                  close 1e-12 0.0 (gap (Between.source b t x) (Mixture.noise path m t x)) $"source, {path.Name}"
                  close
                      1e-12
                      0.0
                      (gap (Between.logDensity b t x) (Mixture.logDensity path m t x))
                      $"log-density, {path.Name}"

          testCase "each sample is at its own time"
          <| fun () ->
              let b = Between.ofMixtures (Interpolant.bridge 0.7) (mixture 2 3 "data") (mixture 3 3 "source")
              Expect.equal b.Components 6 ""
              let x = Rng.normal f64 [ 4; 3 ] (Rng.ofSeed 2L)
              let times = [| 0.1; 0.3; 0.6; 0.95 |]

              for field in [ Between.velocity b; Between.noise b; Between.score b; Between.data b; Between.source b ] do
                  let together = field (Tensor.ofArray [ 4 ] times) x
                  let apart = Tensor.cat 0 [ for k in 0..3 -> field (at times[k]) x[k..k] ]
                  close 1e-12 0.0 (gap together apart) "times"

          testCase "a bridge's velocity is finite at its ends"
          <| fun () ->
              let p, q = mixture 2 2 "data", mixture 2 2 "source"
              let s = 0.8
              let b = Between.ofMixtures (Interpolant.bridge s) p q
              let x = Rng.normal f64 [ 5; 2 ] (Rng.ofSeed 3L)
              // ẋ given x₀ is E x₁ − x₀ in the mean, and ½ dγ²/dt = ½ s² of the noise is told from the data by its score.
              let expected = Mixture.mean q - x - 0.5 * s * s * Mixture.scoreOfData p x
              close 1e-11 0.0 (gap (Between.velocity b (at 0.0) x) expected) "t = 0"
              let expected = x - Mixture.mean p + 0.5 * s * s * Mixture.scoreOfData q x
              close 1e-11 0.0 (gap (Between.velocity b (at 1.0) x) expected) "t = 1"

          testCase "samples have the law's mean and second moment"
          <| fun () ->
              let b = Between.ofMixtures (Interpolant.bridge 1.0) (mixture 2 2 "data") (mixture 3 2 "source")
              let n, t = 40000, 0.3
              let x = Between.sampleAt t n (Rng.ofSeed 4L) b
              // E score = 0 and E[x score] = −d under the law itself, and under no other mean and scale.
              let score = Between.score b (at t) x
              let error (v: Tensor) = sqrt ((Tensor.mean (Tensor.square (v - Tensor.mean v))).ToFloat() / float n)

              for k in 0..1 do
                  let column = score[*, k]
                  close (5.0 * error column) 0.0 ((Tensor.mean column).ToFloat()) $"E score, coordinate {k}"

              let stein = Tensor.sumRows (x * score)
              close (5.0 * error stein) -2.0 ((Tensor.mean stein).ToFloat()) "E⟨x, score⟩"
              // A longer batch begins with the shorter one.
              close 0.0 0.0 (gap (Between.sampleAt t 10 (Rng.ofSeed 4L) b) x[0..9]) "prefix"

          testCase "shape and element type are the state's"
          <| fun () ->
              let b = Between.ofMixtures Interpolant.linear (mixture 2 4 "data") (standard 4)
              let x = Rng.normal Kind.Float32 [ 3; 1; 2; 2 ] (Rng.ofSeed 5L)
              let v = Between.velocity b (at 0.5) x
              Expect.equal v.Shape x.Shape ""
              Expect.equal v.Dtype Dtype.Float32 ""
              Expect.equal ((Between.logDensity b (at 0.5) x).Shape) [| 3 |] ""

          testCase "laws of different dimensions are refused"
          <| fun () ->
              raises<System.ArgumentException, _>(fun () ->
                  Between.ofMixtures Interpolant.linear (standard 2) (standard 3))
              |> names [ "2-D"; "3-D" ] ]
