module Fokker.Tests.Sampling.OrderTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64

/// A flow on the line whose solution is known: the probability flow keeps F_t(x_t), the distribution function at x, and for one Gaussian that
/// is x = α m + (x' − α' m) s/s'.
type Problem = { Name: string; Weights: float[]; Means: float[]; Stds: float[] }

let linear = { Name = "linear"; Weights = [| 1.0 |]; Means = [| 0.6 |]; Stds = [| 0.8 |] }

let nonlinear = { Name = "nonlinear"; Weights = [| 0.4; 0.6 |]; Means = [| -0.9; 0.7 |]; Stds = [| 0.5; 0.6 |] }

let mixture (p: Problem) =
    let column (values: float[]) = Tensor.ofArray [ values.Length; 1 ] values
    Mixture.ofStds p.Weights (column p.Means) (column p.Stds)

/// Φ by its complement, accurate in both tails.
let private normalCdf (z: float) = 0.5 * (1.0 + (Tensor.erf (Tensor.scalar f64 (z / Math.Sqrt 2.0))).ToFloat())

let private cdf (p: Problem) (path: GaussianPath) (t: float) (x: float) =
    let struct (alpha, sigma) = Path.alphaSigma path t

    Seq.sum (
        seq {
            for k in 0 .. p.Weights.Length - 1 ->
                p.Weights[k]
                * normalCdf (
                    (x - alpha * p.Means[k]) / Math.Sqrt(alpha * alpha * p.Stds[k] * p.Stds[k] + sigma * sigma)
                )
        }
    )

let private solved (p: Problem) (path: GaussianPath) (from: float) (until: float) (x: float) =
    let level = cdf p path from x
    let mutable low, high = -20.0, 20.0

    for _ in 1..200 do
        let middle = 0.5 * (low + high)
        if cdf p path until middle < level then low <- middle else high <- middle

    0.5 * (low + high)

let private solutions =
    Collections.Concurrent.ConcurrentDictionary<struct (string * string * float * float * float), float>()

/// Found once: every sampler is held to the same few.
let solution (p: Problem) (path: GaussianPath) (from: float) (until: float) (x: float) =
    solutions.GetOrAdd(struct (p.Name, path.Name, from, until, x), (fun _ -> solved p path from until x))

let private span = 0.4, 0.05
let private starts = [| -0.8; -0.1; 0.45; 1.1 |]

let private runWith
    (noise: Noise)
    (sampler: Sampler)
    (p: Problem)
    (path: GaussianPath)
    (grid: Grid)
    (from, until)
    steps
    (x: Tensor)
    =
    let readings = Readings.ofModel steps None (Mixture.model path Prediction.velocity (mixture p))
    let times = Grid.times grid path (from, until) steps

    match Integrator.run (Samplers.step sampler readings) noise times x with
    | Ok state -> state.X
    | Error failure -> failwith (string failure)

let private error (sampler: Sampler) (p: Problem) path (from, until) steps =
    Scope.run (fun () ->
        let x = Tensor.ofArray [ starts.Length; 1 ] starts
        let found =
            runWith (Noise.fresh (Rng.ofSeed 0L)) sampler p path Grid.lambda (from, until) steps x
            |> Tensor.toFloats
        let exact = starts |> Array.map (solution p path from until)
        // Root mean square: one start alone may be where an error changes sign.
        Math.Sqrt(Array.average (Array.map2 (fun a b -> (a - b) * (a - b)) found exact)))

/// The last slope of the error that rounding leaves alone, between N and 2N steps.
let private measured (error: int -> float) =
    let rec go steps coarse =
        let fine = error (2 * steps)
        if 2 * steps >= 512 || fine < 2e-12 then Math.Log2(coarse / fine) else go (2 * steps) fine

    go 6 (error 6)

let private cases (list: Sampler list) = list |> List.map (fun s -> s.Name)
let deterministic = Samplers.all |> List.filter (fun s -> not s.IsStochastic) |> cases
let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)

// ---- stochastic samplers

/// Those whose law converges: the Langevin steps of a corrector keep a bias of their own, and there is no learned variance here.
let stochastic =
    Samplers.all
    |> List.filter (fun s -> s.IsStochastic && s.Order > 0 && s.Name <> Samplers.ancestralLearned.Name)
    |> cases

/// On one Gaussian every sampler is linear in the start and in each draw. A batch in which row k has draw k = 1 and nothing else gives all
/// coefficients at once, and with them the mean and the variance that it ends in, without sampling error.
let private lawError (sampler: Sampler) (path: GaussianPath) (steps: int) =
    Scope.run (fun () ->
        let count = sampler.Draws * steps
        let rows = count + 2
        let x = Tensor.ofArray [ rows; 1 ] (Array.init rows (fun i -> if i = 1 then 1.0 else 0.0))

        let draws =
            Tensor.ofArray
                [ count; rows; 1 ]
                (Array.init (count * rows) (fun i -> if i % rows = i / rows + 2 then 1.0 else 0.0))

        let found = runWith (Noise.given draws) sampler linear path Grid.lambda span steps x |> Tensor.toFloats
        let coefficient = Array.map (fun y -> y - found[0]) found
        let law t =
            let struct (alpha, sigma) = Path.alphaSigma path t
            alpha * linear.Means[0], alpha * alpha * linear.Stds[0] * linear.Stds[0] + sigma * sigma
        let mean0, variance0 = law (fst span)
        let mean1, variance1 = law (snd span)
        let mean = found[0] + coefficient[1] * mean0
        let variance = coefficient[1] * coefficient[1] * variance0 + Array.sumBy (fun c -> c * c) coefficient[2..]
        Math.Sqrt((mean - mean1) ** 2.0 + (variance - variance1) ** 2.0))

/// Those that meet the whole of a Brownian motion: every other step of `alternating` is deterministic.
let private driven =
    Samplers.all
    |> List.filter (fun s -> s.IsStochastic && s.Order > 0 && s.Name <> Samplers.ancestralLearned.Name)
    |> List.filter (fun s -> s.Name <> Samplers.alternating.Name)
    |> cases

[<Tests>]
let tests =
    testList
        "Sampling.Order"
        [ testTheory "every deterministic sampler is of the order that it declares" deterministic
          <| fun (name: string) ->
              let sampler = samplerOf name

              if sampler.Order >= 8 then
                  // Between coarse grids and rounding the nonlinear problems leave such a method no room: its order conditions are tested elsewhere.
                  let error = error sampler linear Path.vp (0.9, 0.02)
                  close 0.2 (float sampler.Order) (Math.Log2(error 12 / error 24)) name
              else
                  // On the straight path one Gaussian is a special case: there the midpoint rule is of third order on this grid.
                  for path, problem in
                      [ Path.vp, linear
                        Path.vp, nonlinear
                        Path.condOT, nonlinear
                        Path.trigonometric, linear
                        Path.trigonometric, nonlinear ] do
                      let order = measured (error sampler problem path span)
                      close 0.2 (float sampler.Order) order $"{name} on {path.Name}, {problem.Name}"

          testTheory "every stochastic sampler's law is of the order that it declares" stochastic
          <| fun (name: string) ->
              let sampler = samplerOf name

              for path in [ Path.vp; Path.trigonometric ] do
                  let order = Math.Log2(lawError sampler path 128 / lawError sampler path 256)
                  close 0.2 (float sampler.Order) order $"{name} on {path.Name}"

          // With the noise of one Brownian motion a trajectory converges as a trajectory; all noise here is additive, so with order 1.
          testTheory "every stochastic sampler is of strong order 1 along one Brownian motion" driven
          <| fun (name: string) ->
              Scope.run0 (fun () ->
                  let sampler = samplerOf name
                  let n = 500
                  let x = Rng.normal f64 [ n; 1 ] (Rng.ofSeed 1L)
                  let motion = Brownian.ofKey (Rng.ofSeed 2L)
                  let at steps = runWith (Noise.along motion) sampler nonlinear Path.vp Grid.lambda span steps x
                  let distance (a: Tensor) (b: Tensor) = Math.Sqrt((Tensor.mean (Tensor.square (a - b))).ToFloat())
                  // EDM's churn reaches what it is meant to be at 100 steps.
                  let coarse, middle, fine = at 128, at 256, at 512
                  let order = Math.Log2(distance coarse middle / distance middle fine)
                  close 0.2 1.0 order name) ]
