module Fokker.Tests.Measures.DistancesTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private cloud name (n: int) (d: int) (seed: int) =
    Rng.normal Kind.Float64 [ n; d ] (Rng.named name (Rng.ofSeed (int64 seed)))

/// A random symmetric positive definite matrix with eigenvalues of order one.
let private positive (d: int) (seed: int) =
    let a = cloud "positive" d d seed
    Linalg.matmul a (Tensor.transpose 0 1 a) / float d + 0.1 * Tensor.eye Kind.Float64 d

let private rotation (d: int) (seed: int) = fst (Linalg.qr (cloud "rotation" d d seed))
let private transposed (a: Tensor) = Tensor.transpose 0 1 a

let private distances: (string * (Tensor -> Tensor -> float)) list =
    [ "exact", Wasserstein.exact
      "sliced", Wasserstein.sliced 20 (Rng.ofSeed 3L)
      "frechet", Wasserstein.frechet
      "mmd", Discrepancy.mmdAt 1.0
      "energy", Discrepancy.energy ]

[<Tests>]
let tests =
    testList
        "Measures.Distances"
        [ testPropertyWithConfig (tries 20) "distances are symmetric and do not see the order of the points"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let x, y = cloud "x" 40 3 seed, cloud "y" 40 3 seed + 0.5
                  let order = Rng.permutation 40 (Rng.ofSeed (int64 seed))

                  for name, distance in distances do
                      let d = distance x y
                      // Sums over 40² pairs of order one, in another order.
                      close 1e-11 d (distance y x) name
                      close 1e-11 d (distance (Tensor.indexSelect 0 order x) y) name)

          testPropertyWithConfig (tries 20) "transport distances of a sample to its own shuffle vanish"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let x = cloud "x" 50 3 seed
                  let shuffled = Tensor.indexSelect 0 (Rng.permutation 50 (Rng.ofSeed (int64 seed))) x
                  close 0.0 0.0 (Wasserstein.exact x shuffled) "exact"
                  // The projections are matrix products, whose rounding depends on the row's place.
                  close 1e-14 0.0 (Wasserstein.sliced 10 (Rng.ofSeed 1L) x shuffled) "sliced"
                  close 1e-13 0.0 (Wasserstein.frechet x shuffled) "frechet")

          // Whatever the law is, a sample is as likely as the others to be among the nearest: 200 draws of both against what follows from that.
          testTheory "density and coverage of one law are what counting says" [ 1, 40, 40; 5, 60, 30 ]
          <| fun (k, n, m) ->
              let draws (of': int -> Tensor -> Tensor -> float) =
                  Estimate.ofDraws
                      [| for seed in 1..200 ->
                             Scope.run (fun () -> of' k (exp (cloud "x" n 2 seed)) (exp (cloud "y" m 2 seed))) |]

              let holds (found: Estimate) expected =
                  Expect.within (4.0 * found.StandardError) found.Mean expected ""
                  Expect.isLessThan found.StandardError 0.02 ""

              holds (draws Neighbourhoods.density) 1.0
              holds (draws Neighbourhoods.coverage) (Neighbourhoods.expectedCoverage k n m)

          testCase "precision sees samples that are unlike the data, recall data that no sample is like"
          <| fun () ->
              Scope.run0 (fun () ->
                  let data = cloud "data" 200 2 1
                  // A quarter of the samples far from all data; the data's own points but for those on the right.
                  let astray =
                      Tensor.cat 0 [ Tensor.narrow 0 0 150 (cloud "samples" 200 2 2); cloud "far" 50 2 3 + 100.0 ]
                  let precision = Neighbourhoods.precision 3 astray data
                  Expect.isTrue (precision <= 0.75 && precision > 0.65) $"precision {precision}"
                  Expect.isGreaterThan (Neighbourhoods.recall 3 astray data) 0.9 "recall"
                  let onLeft = Tensor.lessThan 0.0 (Tensor.select 1 0 data)
                  let half = Tensor.masked onLeft data
                  close 0.0 1.0 (Neighbourhoods.precision 3 half data) "a part of the data is like the data"
                  let recall = Neighbourhoods.recall 3 half data
                  Expect.isTrue (recall < 0.8) $"recall {recall}"
                  close 0.0 1.0 (Neighbourhoods.coverage 5 data data) "coverage of itself"
                  raises<ArgumentException, _>(fun () -> Neighbourhoods.precision 3 data (Tensor.narrow 0 0 3 data))
                  |> ignore)

          // E (⟨x, y⟩/2 + 1)³ for x ~ N(a, I), y ~ N(b, I) of the plane has moments of order 3 at most: of a = b it is cancelled, and against a Gaussian with another mean it is a polynomial.
          testCase "the kernel distance has no bias, and is what the moments say"
          <| fun () ->
              let estimate shift =
                  Estimate.ofDraws
                      [| for seed in 1..400 ->
                             Scope.run (fun () -> Discrepancy.cubic (cloud "x" 30 2 seed) (cloud "y" 30 2 seed + shift)) |]

              // With u = ⟨x, y⟩/2 of independent normals, E u = ⟨a, b⟩/2, E u² and E u³ follow from u | y ~ N(⟨a, y⟩/2, ‖y‖²/4).
              let mean (a: float) (b: float) =
                  // Both means are (a, a) and (b, b): s = ‖y‖², p = ⟨a, y⟩.
                  let p1 = 2.0 * a * b
                  let p2 = p1 * p1 + 2.0 * a * a
                  let p3 = p1 * p1 * p1 + 3.0 * p1 * (2.0 * a * a)
                  let s = 2.0 + 2.0 * b * b
                  // E[p ‖y‖²] = Σ over coordinates of a (E y³ + E y · E y'²).
                  let ps = 2.0 * a * ((b * b * b + 3.0 * b) + b * (1.0 + b * b))
                  let u1 = p1 / 2.0
                  let u2 = (p2 + s) / 4.0
                  let u3 = (p3 + 3.0 * ps) / 8.0
                  1.0 + 3.0 * u1 + 3.0 * u2 + u3

              for shift in [ 0.0; 0.5 ] do
                  let found = estimate shift
                  let expected = mean 0.0 0.0 + mean shift shift - 2.0 * mean 0.0 shift
                  Expect.within (4.0 * found.StandardError) found.Mean expected $"shift {shift}"

          testPropertyWithConfig (tries 20) "a shift of the whole sample is its own optimal transport"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let x = cloud "x" 64 3 seed
                  let shift = Tensor.ofArray [ 3 ] [| 3.0; -1.0; 0.5 |]
                  let length = Math.Sqrt(9.0 + 1.0 + 0.25)
                  close 1e-13 length (Wasserstein.exact x (x + shift)) "exact"
                  close 1e-11 (length * length) (Wasserstein.frechet x (x + shift)) "frechet")

          testPropertyWithConfig (tries 20) "on the line the assignment, the slices and the sorted values agree"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let x, y = cloud "x" 80 1 seed, 2.0 * cloud "y" 80 1 seed + 1.0
                  let sorted = Wasserstein.onLine 2.0 x y
                  close 1e-13 sorted (Wasserstein.exact x y) "assignment"
                  // The only directions of the line are +1 and −1.
                  close 1e-13 sorted (Wasserstein.sliced 5 (Rng.ofSeed (int64 seed)) x y) "slices")

          testCase "on the line every order of W agrees with its quantile integral"
          <| fun () ->
              // Uniform on [0, 1] to uniform on [0, 2], at the middles of n cells: the gap of the quantiles at u is u.
              let n = 1000
              let x = (Tensor.range Kind.Float64 0 n + 0.5) / float n

              for p in [ 1.0; 2.0; 3.0 ] do
                  // ∫ u^p du = 1/(p+1), by the midpoint rule with error below p/24n².
                  close
                      (p / 24.0 / float (n * n))
                      (Math.Pow(1.0 / (p + 1.0), 1.0 / p))
                      (Wasserstein.onLine p x (2.0 * x))
                      $"W_{p}"

          testPropertyWithConfig
              (tries 20)
              "exact W2 obeys the triangle inequality and lies above the slices and the Gaussian bound"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let x, y, z = cloud "x" 60 2 seed, 2.0 * cloud "y" 60 2 seed, cloud "z" 60 2 seed + 1.0
                  let w = Wasserstein.exact
                  Expect.isLessThanOrEqual (w x z) (w x y + w y z + 1e-12) ""
                  Expect.isLessThanOrEqual (Wasserstein.sliced 30 (Rng.ofSeed (int64 seed)) x y) (w x y + 1e-12) ""
                  // Gelbrich 1990, with the covariance of the sample itself (1/n).
                  let gauss t = let m, c = Wasserstein.moments t in m, c * (59.0 / 60.0)
                  Expect.isLessThanOrEqual (Wasserstein.gaussian (gauss x) (gauss y)) (w x y + 1e-12) "")

          testCase "the slices of a shift average its length over the sphere"
          <| fun () ->
              let x = cloud "x" 50 4 1
              let shift = Tensor.ofArray [ 4 ] [| 2.0; 0.0; 0.0; 0.0 |]
              let squared = (Wasserstein.sliced 20000 (Rng.ofSeed 2L) x (x + shift)) ** 2.0
              // E⟨θ, c⟩² = |c|²/d = 1; the variance of ⟨θ, c⟩² is 2(d−1)/(d+2)·|c|⁴/d² = 1, so 0.035 is five standard errors.
              close 0.035 1.0 squared "sliced"

          testPropertyWithConfig (tries 20) "the Gaussian distance is what the optimal linear map costs"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let d = 4
                  let cov, map = positive d seed, positive d (seed + 1)
                  let mean, shift = cloud "mean" 1 d seed, cloud "shift" 1 d seed
                  // x ↦ T(x − m) + m' with T symmetric positive is a gradient of a convex function, so it is optimal (Brenier):
                  // it costs |m − m'|² + tr((I − T) Σ (I − T)).
                  let rest = Tensor.eye Kind.Float64 d - map
                  let moved = Linalg.matmul (Linalg.matmul map cov) map
                  let cost = (Linalg.trace (Linalg.matmul (Linalg.matmul rest cov) rest)).ToFloat()
                  let gap = (Tensor.sum (Tensor.square shift)).ToFloat()
                  let scale = 1.0 + (Linalg.trace moved).ToFloat()

                  close
                      (1e-11 * scale)
                      (cost + gap)
                      (Wasserstein.gaussianSquared (Tensor.flatten mean, cov) (Tensor.flatten (mean + shift), moved))
                      "gaussian")

          testPropertyWithConfig (tries 20) "the Gaussian distance turns with the space and takes singular covariances"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let d = 5
                  // Rank 2 and rank 3 of 5.
                  let low k name = let a = cloud name d k seed in Linalg.matmul a (transposed a)
                  let a, b = low 2 "a", low 3 "b"
                  let zero = Tensor.zeros Kind.Float64 [ d ]
                  let q = rotation d seed
                  let turn c = Linalg.matmul (Linalg.matmul q c) (transposed q)
                  let squared = Wasserstein.gaussianSquared (zero, a) (zero, b)
                  // The square root makes √ε of an eigenvalue that should be 0 and is ε: 1e-8 of the scale, about 10.
                  close 1e-6 squared (Wasserstein.gaussianSquared (zero, turn a) (zero, turn b)) "turned"
                  close 1e-6 0.0 (Wasserstein.gaussianSquared (zero, a) (zero, a)) "itself"
                  // Point mass: W₂² is the trace.
                  close
                      1e-12
                      ((Linalg.trace a).ToFloat())
                      (Wasserstein.gaussianSquared (zero, a) (zero, 0.0 * a))
                      "to a point")

          testPropertyWithConfig (tries 10) "MMD and energy are their sums over pairs"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let n, m, d = 12, 9, 3
                  let x, y = cloud "x" n d seed, cloud "y" m d seed + 0.3
                  let row (t: Tensor) i = Tensor.toFloats t[i]
                  let r2 (a: float[]) (b: float[]) = Array.fold2 (fun s p q -> s + (p - q) * (p - q)) 0.0 a b

                  let direct (kernel: float -> float) =
                      let pairs a na b nb same =
                          Seq.average
                              [ for i in 0 .. na - 1 do
                                    for j in 0 .. nb - 1 do
                                        if not (same && i = j) then
                                            kernel (r2 (row a i) (row b j)) ]

                      pairs x n x n true + pairs y m y m true - 2.0 * pairs x n y m false

                  let h = 0.7
                  let gaussians r2 =
                      Seq.average [ for s in [ 0.25; 0.5; 1.0; 2.0; 4.0 ] -> Math.Exp(-r2 / (2.0 * s * h * h)) ]
                  close 1e-12 (direct gaussians) (Discrepancy.mmdAt h x y) "mmd"
                  close
                      1e-12
                      (direct (fun r2 -> 1.0 / (1.0 + r2 / (h * h))))
                      (Discrepancy.multiquadricAt h x y)
                      "multiquadric"
                  close 1e-12 (direct (fun r2 -> -Math.Sqrt r2)) (Discrepancy.energy x y) "energy")

          testCase "MMD is unbiased and meets its closed form between two Gaussians"
          <| fun () ->
              // x ~ N(0, I₂), y ~ N(a, I₂): x − y ~ N(−a, 2I), and E e^{−|z|²/2b} for z ~ N(μ, 2I₂) is b/(b+2)·e^{−|μ|²/2(b+2)}.
              let h, a = 1.0, 0.5
              let closed =
                  Seq.average
                      [ for s in [ 0.25; 0.5; 1.0; 2.0; 4.0 ] ->
                            let b = s * h * h
                            2.0 * b / (b + 2.0) * (1.0 - Math.Exp(-a * a / (2.0 * (b + 2.0)))) ]

              let shift = Tensor.ofArray [ 2 ] [| a; 0.0 |]
              let sample shift rng = Rng.normal Kind.Float64 [ 200; 2 ] rng + shift
              let measure = { Measures.mmd with Between = fun _ x y -> Discrepancy.mmdAt h x y }
              let over left right = Measure.over 100 (Rng.ofSeed 5L) (sample left) (sample right) measure
              let none = 0.0 * shift
              let null', alternative = over none none, over none shift
              // Two-sided, four standard errors; the power: the effect is more than fifteen of them.
              close (4.0 * null'.StandardError) 0.0 null'.Mean "equal laws"
              close (4.0 * alternative.StandardError) closed alternative.Mean "shifted law"
              Expect.isGreaterThan closed (15.0 * alternative.StandardError) "power"

          testCase "every measure tells a law from another and scores a perfect sampler at its floor"
          <| fun () ->
              let sample scale rng = scale * Rng.normal Kind.Float64 [ 200; 2 ] rng
              let key = Rng.ofSeed 11L

              for measure in Measures.all do
                  let floor = Measure.floor 20 key (sample 1.0) measure
                  let perfect = Measure.over 20 (Rng.at 1L key) (sample 1.0) (sample 1.0) measure
                  // A classifier of 200 points needs more of a difference than a distance does.
                  let apart = if measure.Name = Measures.classifier.Name then 2.0 else 1.3
                  let wrong = Measure.over 20 key (sample 1.0) (sample apart) measure
                  let error = Math.Sqrt(floor.StandardError ** 2.0 + perfect.StandardError ** 2.0)
                  close (4.0 * error) floor.Mean perfect.Mean measure.Name
                  Expect.isGreaterThan (wrong.Mean - floor.Mean) (5.0 * wrong.StandardError) $"power of {measure.Name}"

          // ‖x‖² of a plane normal is exponential: log p is below log(1/2π) − log 1,000 with probability 1/1,000, and of deviation c with 1,000^(−1/c²).
          testTheory "the share outside a law is that of its tail" [ 1.0; 1.5 ]
          <| fun (c: float) ->
              let logDensity (x: Tensor) = -0.5 * Tensor.sumRows (Tensor.square x) - Math.Log(2.0 * Math.PI)
              let level = -(Math.Log(2.0 * Math.PI)) - Math.Log 1000.0
              let n = 100_000
              let x = c * Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 2L)
              let share = Math.Pow(1000.0, -1.0 / (c * c))
              let found = (Measures.outside logDensity level).Between (Rng.ofSeed 0L) x x
              // Four standard errors.
              Expect.within (4.0 * Math.Sqrt(share / float n)) found share ""

          testCase "an estimate is the mean and its standard error"
          <| fun () ->
              let e = Measure.overDraws 4 (fun k -> float k)
              close 1e-15 1.5 e.Mean "mean"
              // Variance of 0, 1, 2, 3 with n − 1: 5/3.
              close 1e-15 (Math.Sqrt(5.0 / 3.0 / 4.0)) e.StandardError "standard error"
              Expect.isNaN ((Measure.overDraws 1 (fun _ -> 2.0)).StandardError) ""

          testCase "samples that do not go together are refused with their shapes"
          <| fun () ->
              let x, y, z =
                  Tensor.ones Kind.Float64 [ 5; 2 ],
                  Tensor.ones Kind.Float64 [ 4; 2 ],
                  Tensor.ones Kind.Float64 [ 5; 3 ]

              for _, distance in distances do
                  raises<TensorException, _>(fun () -> distance x z) |> names [ "[5; 2]"; "[5; 3]" ]

              raises<TensorException, _>(fun () -> Wasserstein.exact x y) |> names [ "5"; "4" ]
              raises<TensorException, _>(fun () -> Wasserstein.sliced 3 (Rng.ofSeed 1L) x y) |> names [ "5"; "4" ]

          // N(0, I) against N(m, s² I) in two dimensions: KL = log s² + (1 + ½‖m‖²)/s² − 1, and the scores differ by (1/s² − 1) x − m/s².
          testCase "KL and Fisher divergence of two Gaussians are their closed forms"
          <| fun () ->
              let gaussian (m: float) (s: float) =
                  Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 2 ] [| m; -m |]) (Tensor.ofArray [ 1; 2 ] [| s; s |])

              let p, q = gaussian 0.0 1.0, gaussian 0.7 1.4
              let n = 100_000
              let x = Mixture.sample n (Rng.ofSeed 3L) p
              let score m (x: Tensor) = Mixture.score Path.condOT m (Tensor.scalar Kind.Float64 0.0) x
              let kl = Divergences.kl (Mixture.logDensityOfData p) (Mixture.logDensityOfData q) x
              let s2, m2 = 1.4 * 1.4, 2.0 * 0.7 * 0.7
              let fisher = Divergences.fisher (score p) (score q) x
              // Five standard errors of 100,000 draws.
              Expect.within (5.0 * kl.StandardError) kl.Mean (log s2 + (1.0 + 0.5 * m2) / s2 - 1.0) ""
              let slope = 1.0 / s2 - 1.0
              Expect.within (5.0 * fisher.StandardError) fisher.Mean (2.0 * slope * slope + m2 / (s2 * s2)) ""
              Expect.isLessThan kl.StandardError 0.01 "" ]
