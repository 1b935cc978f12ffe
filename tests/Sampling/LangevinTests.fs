/// Langevin chains against closed forms. That the unadjusted step settles at variance v/(1 − h/2v) on a Gaussian, and that its bias on a mixture is of
/// first order, are laws: `langevin-step-gaussian`, `langevin-step-bias`.
module Fokker.Tests.Sampling.LangevinTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

// A function: a tensor of the module's own would belong to whichever scope first came by.
let private bimodal () =
    Mixture.ofStds [| 0.3; 0.7 |] (Tensor.ofArray [ 2; 1 ] [| -1.0; 1.0 |]) (Tensor.ofArray [ 2; 1 ] [| 0.6; 0.8 |])

let private targetOf (m: Mixture) : Unnormalized =
    fun x -> struct (Mixture.logDensityOfData m x, Mixture.scoreOfData m x)

let private ok (result: Result<State, Failure>) =
    match result with
    | Ok state -> state.X
    | Error failure -> failwith (string failure)

let private largest (x: Tensor) = (Tensor.max (abs (Tensor.flatten x))).ToFloat()

let private unadjusted h steps score rng x =
    ok (Integrator.run (Langevin.unadjusted score) (Noise.fresh rng) (Array.init (steps + 1) (fun k -> h * float k)) x)

[<Tests>]
let tests =
    testList
        "Sampling.Langevin"
        [ testCase "the unadjusted chain settles where its law says, on a Gaussian"
          <| fun () ->
              Scope.run0 (fun () ->
                  // v = ½, h = 0.4: the stationary variance is v/(1 − h/2v) = 0.8333; (1 − h/v)² per step forgets the start in ten.
                  let x = unadjusted 0.4 20 (fun x -> -2.0 * x) (Rng.ofSeed 1L) (Tensor.zeros f64 [ 40000; 1 ])
                  let variance = (Tensor.mean (Tensor.square x)).ToFloat()
                  // Four standard errors of the variance of 40,000 Gaussian numbers: 4 · √(2/40,000) · 0.83.
                  close 0.024 (0.5 / 0.6) variance "variance")

          testCase "the adjusted chain's moves are in detailed balance with the target"
          <| fun () ->
              Scope.run0 (fun () ->
                  let target = targetOf (bimodal ())
                  let h, n = 0.7, 41
                  let grid = Tensor.linspace f64 -3.0 3.0 n
                  let x = Tensor.reshape [ -1; 1 ] (Tensor.repeatInterleave n 0 grid)
                  let y = Tensor.reshape [ -1; 1 ] (Tensor.repeat [ n ] grid)

                  /// log p(x) q(y|x) a(y|x), the move proposed by the draw that leads there.
                  let flow (x: Tensor) (y: Tensor) =
                      let chain = Langevin.init target x
                      let z = (y - x - h * chain.Score) / Math.Sqrt(2.0 * h)
                      let noise = Noise.given (Tensor.stack 0 [ z; Tensor.zerosLike z ])
                      let struct (_, move) = Langevin.adjusted target h noise chain
                      chain.LogDensity - 0.5 * Tensor.sumRows (Tensor.square z) + log move.Probability

                  // Equal but for the rounding of exponents of size 50.
                  close 1e-12 0.0 (largest (flow x y - flow y x)) "log of the flow there and back")

          testCase "a move is made exactly where the deciding draw is below its probability"
          <| fun () ->
              Scope.run0 (fun () ->
                  let target = targetOf (bimodal ())
                  let n = 2000
                  let chain = Langevin.init target (Rng.normal f64 [ n; 1 ] (Rng.ofSeed 1L))
                  let z = Rng.normal f64 [ n; 1 ] (Rng.ofSeed 2L)
                  let decisive = Rng.normal f64 [ n; 1 ] (Rng.ofSeed 3L)
                  let struct (next, move) =
                      Langevin.adjusted target 1.0 (Noise.given (Tensor.stack 0 [ z; decisive ])) chain
                  let level = 0.5 * (1.0 + Tensor.erf (Tensor.flatten decisive / Math.Sqrt 2.0))
                  let expected = Tensor.less level move.Probability
                  holds (Tensor.same expected move.Accepted) "accepted"
                  let moved = Tensor.not (Tensor.equal (Tensor.flatten next.X) (Tensor.flatten chain.X))
                  holds (Tensor.same expected moved) "moved"
                  let again = Langevin.init target next.X
                  close
                      0.0
                      0.0
                      (largest (again.Score - next.Score) + largest (again.LogDensity - next.LogDensity))
                      "kept values")

          testCase "at a step where the unadjusted chain is far off, the adjusted one leaves the target as it is"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = bimodal ()
                  let n, h, steps = 20000, 0.5, 30
                  let x = Mixture.sample n (Rng.ofSeed 4L) m
                  let second (x: Tensor) = (Tensor.mean (Tensor.square x)).ToFloat()
                  let exact = (Mixture.covariance m + Tensor.square (Mixture.mean m)).ToFloat()
                  let chain, rate = Langevin.runAdjusted (targetOf m) h steps (Noise.fresh (Rng.ofSeed 5L)) x
                  // The standard deviation of x² under the target is under 1.8: four standard errors of 20,000.
                  let margin = 4.0 * 1.8 / Math.Sqrt(float n)
                  close margin exact (second chain.X) "second moment"
                  let biased = unadjusted h steps (Mixture.scoreOfData m) (Rng.ofSeed 5L) x
                  holds (second biased > exact + 2.0 * margin) $"power: {second biased} unadjusted, {exact} exactly"
                  let rate = (Tensor.mean rate).ToFloat()
                  holds (rate > 0.5 && rate < 0.98) $"moves: {rate}")

          testCase "tiny steps are nearly all taken, and what is refused falls as h^{3/2}"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = bimodal ()
                  let x = Mixture.sample 20000 (Rng.ofSeed 6L) m

                  let refused h =
                      let struct (_, move) =
                          Langevin.adjusted (targetOf m) h (Noise.fresh (Rng.ofSeed 7L)) (Langevin.init (targetOf m) x)

                      1.0 - (Tensor.mean move.Probability).ToFloat()

                  let coarse, fine = refused 1e-2, refused 1e-3
                  holds (fine < 1e-4) $"{fine} refused at h = 10⁻³"
                  // Roberts, Rosenthal 1998; the same draws on both sides leave a few hundredths.
                  close 0.1 1.5 (Math.Log10(coarse / fine)) "order")

          testCase "where the density is 0 or not a number a row stays"
          <| fun () ->
              Scope.run0 (fun () ->
                  // The exponential law on x > 0, and NaN instead of −∞ in the second half of the rows.
                  let target: Unnormalized =
                      fun x ->
                          let inside = Tensor.greaterThan 0.0 x
                          let outside = Tensor.ofArray [ 4; 1 ] [| -infinity; -infinity; nan; nan |]
                          struct (Tensor.flatten (Tensor.where inside -x outside), -(Tensor.onesLike x))

                  let chain = Langevin.init target (Tensor.full f64 [ 4; 1 ] 0.1)
                  let draws = Tensor.ofArray [ 2; 4; 1 ] [| -3.0; 1.0; -3.0; 1.0; -5.0; -5.0; -5.0; -5.0 |]
                  let struct (next, move) = Langevin.adjusted target 0.5 (Noise.given draws) chain
                  let x, p = Tensor.toFloats next.X, Tensor.toFloats move.Probability
                  close 0.0 0.1 x[0] "refused"
                  close 0.0 0.1 x[2] "refused"
                  holds (x[1] > 0.5 && x[3] > 0.5) "taken"
                  holds (p[0] = 0.0 && p[2] = 0.0) "probability 0")

          testCase "an energy is a target: its score is the gradient of each row"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m =
                      Mixture.ofStds
                          [| 0.4; 0.6 |]
                          (Rng.normal f64 [ 2; 3 ] (Rng.ofSeed 1L))
                          (Tensor.full f64 [ 2; 3 ] 0.8)
                  let x = Rng.normal f64 [ 5; 3 ] (Rng.ofSeed 2L)
                  let struct (log, score) = Langevin.ofEnergy (fun x -> -(Mixture.logDensityOfData m x)) x
                  close 1e-14 0.0 (largest (log - Mixture.logDensityOfData m x)) "log-density"
                  close 1e-13 0.0 (largest (score - Mixture.scoreOfData m x)) "score")

          testCase "rows do not see each other: a batch in parts draws and moves as the whole does"
          <| fun () ->
              Scope.run0 (fun () ->
                  let m = bimodal ()
                  let x = Rng.normal f64 [ 13; 1 ] (Rng.ofSeed 8L)
                  let noise = Noise.fresh (Rng.ofSeed 9L)
                  let run noise x = (fst (Langevin.runAdjusted (targetOf m) 0.8 20 noise x)).X
                  let part first n = run (Noise.rows first n noise) (Tensor.narrow 0 first n x)
                  // The mixture's sums over components may round otherwise in another batch.
                  close 1e-12 0.0 (largest (run noise x - Tensor.cat 0 [ part 0 5; part 5 8 ])) "adjusted"
                  let before = Scope.live ()
                  let chain, rate = Langevin.runAdjusted (targetOf m) 0.8 20 noise x
                  Expect.equal (Scope.live () - before) 4 ""
                  Scope.free chain
                  rate.Dispose())

          testTheory "a step that is no length is refused" [ 0.0; Double.PositiveInfinity ]
          <| fun (h: float) ->
              Scope.run0 (fun () ->
                  let target = targetOf (bimodal ())
                  let chain = Langevin.init target (Tensor.zeros f64 [ 1; 1 ])

                  raises<ArgumentException, _>(fun () ->
                      let struct (next, _) = Langevin.adjusted target h (Noise.fresh (Rng.ofSeed 0L)) chain
                      next.X)
                  |> names [ "length"; "positive" ])

          // Song, Ermon 2019, section 3.2.2: 1/5 N((−5, −5), I) + 4/5 N((5, 5), I) from a uniform start on a square around the origin.
          testCase "annealed Langevin finds the weights of separated modes, the plain chain those of its start"
          <| fun () ->
              Scope.run0 (fun () ->
                  let means = Tensor.ofArray [ 2; 2 ] [| -5.0; -5.0; 5.0; 5.0 |]
                  let m = Mixture.ofStds [| 0.2; 0.8 |] means (Tensor.ones f64 [ 2; 2 ])
                  let n = 4000
                  let x = 16.0 * Rng.uniform f64 [ n; 2 ] (Rng.ofSeed 10L) - 8.0

                  let share (x: Tensor) =
                      (Tensor.mean ((Tensor.lessThan 0.0 (Tensor.sumRows x)).To Dtype.Float64)).ToFloat()

                  // The dividing line of the start goes through the origin but for log(4)/10.
                  let plain = unadjusted 0.05 1000 (Mixture.scoreOfData m) (Rng.ofSeed 11L) x
                  holds (share plain > 0.45) $"plain: {share plain}"
                  let path = Paths.veBetween 0.01 30.0
                  let levels =
                      Array.init 10 (fun k -> Path.timeOfLambda path (-(Math.Log(20.0 * 0.01 ** (float k / 9.0)))))
                  let readings = Readings.ofModel 10 None (Mixture.model path Prediction.score m)
                  let step = Langevin.annealed 0.2 100 readings
                  let noise = Noise.fresh (Rng.ofSeed 12L)
                  let found = ok (Integrator.run step noise (Array.append [| levels[0] |] levels) x)
                  // Four standard errors of a share of 4,000, and a hundredth for the bias of the steps.
                  close (4.0 * 0.4 / Math.Sqrt(float n) + 0.01) 0.2 (share found) "annealed") ]
    |> collected
