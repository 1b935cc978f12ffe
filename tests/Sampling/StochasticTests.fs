module Fokker.Tests.Sampling.StochasticTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// The law of Euler–Maruyama itself, without sampling noise: its transition kernel N(x + b h, g² h), read off the step
/// with z = 0 and z = 1, carries the density from grid point to grid point.
let private carried (path: GaussianPath) (churn: float) (m: Mixture) (noisy: float) (clean: float) (steps: int) =
    Scope.run (fun () ->
        // The narrowest kernel is two cells wide: the sums are integrals to rounding.
        let points = 401
        let x = Tensor.linspace f64 -7.0 7.0 points
        let cell = 14.0 / float (points - 1)
        let column = Tensor.unsqueeze 1 x
        let sde = Sde.withChurn churn path (Mixture.velocity path m) (Mixture.score path m)
        let first = cell * exp (Mixture.logDensity path m (Tensor.scalar f64 noisy) column)

        let law =
            Seq.init steps (fun k ->
                let at j = noisy + (clean - noisy) * float j / float steps
                at k, at (k + 1))
            |> Seq.fold
                (fun law (t, s) ->
                    Scope.run (fun () ->
                        let step z =
                            (Integrator.eulerMaruyamaWith
                                (Tensor.full f64 [ points; 1 ] z)
                                sde
                                s
                                (Integrator.start t column))
                                .X
                        let mean = step 0.0
                        let spread = step 1.0 - mean
                        let std = spread[0, 0].ToFloat()
                        let kernel =
                            exp (-0.5 * Tensor.square ((x - mean) / std)) * (cell / (std * Math.Sqrt(2.0 * Math.PI)))
                        Linalg.matmul law kernel))
                first

        let moment f = (Tensor.sum (law * f x)).ToFloat()
        close 1e-6 1.0 (moment Tensor.onesLike) "mass stays on the grid"
        [ moment Tensor.square; moment Tensor.cos; moment Tensor.tanh ])

let private exactMoments (path: GaussianPath) (m: Mixture) t =
    let x = Tensor.linspace f64 -12.0 12.0 4001
    let law = (24.0 / 4000.0) * exp (Mixture.logDensity path m (Tensor.scalar f64 t) (Tensor.unsqueeze 1 x))
    let moment f = (Tensor.sum (law * f x)).ToFloat()
    [ moment Tensor.square; moment Tensor.cos; moment Tensor.tanh ]

// Functions: a tensor of the module's own would belong to whichever scope first came by.
let private gaussian () =
    Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| 0.7 |]) (Tensor.ofArray [ 1; 1 ] [| 0.5 |])

let private bimodal () =
    Mixture.ofStds [| 0.3; 0.7 |] (Tensor.ofArray [ 2; 1 ] [| -1.5; 1.0 |]) (Tensor.ofArray [ 2; 1 ] [| 0.4; 0.6 |])

[<Tests>]
let tests =
    testList
        "Sampling.Stochastic"
        [
          // dX = −X dt + √2 dW over [0, 1] for many trajectories at once, exactly and by Euler–Maruyama on the same Brownian motion:
          // on the finest grid the pair (ΔW, ∫ e^{−(δ−s)} dW) is Gaussian with a known covariance.
          testCase "Euler–Maruyama has strong order 1 on the Ornstein–Uhlenbeck process"
          <| fun () ->
              Scope.run0 (fun () ->
                  let fine, n = 256, 4000
                  let delta = 1.0 / float fine
                  let rng = Rng.ofSeed 5L
                  let z k i = Rng.normal f64 [ n; 1 ] (Rng.at (int64 (2 * k + i)) rng)
                  let variance, cross = -0.5 * (Math.Exp(-2.0 * delta) - 1.0), 1.0 - Math.Exp -delta
                  let slope = cross / delta
                  let rest = Math.Sqrt(variance - slope * cross)
                  let increments = [| for k in 0 .. fine - 1 -> Math.Sqrt delta * z k 0 |]
                  let integrals = [| for k in 0 .. fine - 1 -> slope * increments[k] + rest * z k 1 |]
                  let x0 = Tensor.ones f64 [ n; 1 ]
                  let exact = integrals |> Array.fold (fun x i -> Math.Exp -delta * x + Math.Sqrt 2.0 * i) x0
                  let sde: Sde = { Drift = (fun _ x -> -x); DiffusionSquared = Constant 2.0; Backward = false }

                  let error steps =
                      let every = fine / steps
                      let h = 1.0 / float steps

                      let last =
                          Seq.init steps (fun k ->
                              Array.reduce (+) increments[k * every .. (k + 1) * every - 1] / Math.Sqrt h)
                          |> Seq.fold
                              (fun (s: State) z -> Integrator.eulerMaruyamaWith z sde (s.Time + h) s)
                              (Integrator.start 0.0 x0)

                      Math.Sqrt((Tensor.mean (Tensor.square (last.X - exact))).ToFloat())
                  // 4,000 trajectories give the root mean square to 1 %: 0.03 of the order between two grids.
                  for steps in [ 16; 32; 64 ] do
                      close 0.2 1.0 (Math.Log2(error steps / error (2 * steps))) $"{steps} steps")

          testTheory
              "Euler–Maruyama on the reverse SDE has weak order 1 towards the data's law"
              [ "linear"; "nonlinear" ]
          <| fun (what: string) ->
              let m = if what = "linear" then gaussian () else bimodal ()
              let path = Path.ouTo 2.0

              for churn in [ 0.5; 1.0 ] do
                  let exact = exactMoments path m 0.1
                  let errors steps = List.map2 (fun a b -> abs (a - b)) (carried path churn m 1.0 0.1 steps) exact
                  let coarse, fine = errors 96, errors 192
                  // The worst of three moments: one alone may vanish by cancellation.
                  close 0.2 1.0 (Math.Log2(List.max coarse / List.max fine)) $"churn {churn}"

          testCase "without churn the step is Euler's on the probability flow"
          <| fun () ->
              let path, m = Path.condOT, bimodal ()
              let flow: Ode = { Velocity = Mixture.velocity path m }
              let still = Sde.withChurn 0.0 path (Mixture.velocity path m) (Mixture.score path m)
              let x = Rng.normal f64 [ 8; 1 ] (Rng.ofSeed 1L)
              let state = Integrator.start 0.7 x
              let a = (Integrator.rungeKutta Tableau.euler flow (Noise.fresh (Rng.ofSeed 2L)) 0.6 state).X
              let b = (Integrator.eulerMaruyama still (Noise.fresh (Rng.ofSeed 3L)) 0.6 state).X
              close 1e-15 0.0 ((Tensor.maxOver [ 0; 1 ] (abs (a - b))).ToFloat()) "states" ]
