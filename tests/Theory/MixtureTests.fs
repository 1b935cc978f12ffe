module Fokker.Tests.Theory.MixtureTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

let private f64 = Kind.Float64
let private number name (low: float) (high: float) (rng: Rng) = low + (high - low) * Rng.number (Rng.named name rng)

/// A mixture of 1 to 4 components with full covariances, two of them nearly flat in one direction.
let private mixture (d: int) (rng: Rng) : Mixture =
    let k = 1 + int (number "k" 0.0 3.999 rng)
    let weights = Array.init k (fun i -> number $"w{i}" 0.2 1.0 rng)
    let means = 2.0 * Rng.normal f64 [ k; d ] (Rng.named "means" rng)
    let a = Rng.normal f64 [ k; d; d ] (Rng.named "covariances" rng)
    let cov = 0.3 * Linalg.matmul a (Tensor.transpose 1 2 a) + 0.02 * Tensor.eye f64 d
    Mixture.ofCovariances weights means cov

let private path (rng: Rng) : GaussianPath =
    List.item (int (number "path" 0.0 (float Paths.all.Length - 1e-9) rng)) Paths.all

/// Times strictly inside the path's own interval, where everything is smooth.
let private times (path: GaussianPath) (n: int) (rng: Rng) =
    let low, high = path.Interior
    // At the noisy end of VE the scale is thousands of that of the data; the identities hold, relative to it.
    Rng.uniform f64 [ n ] (Rng.named "t" rng) * (0.96 * (high - low)) + (low + 0.02 * (high - low))

/// Points where the density at those times lives.
let private points (path: GaussianPath) (m: Mixture) (t: Tensor) (rng: Rng) =
    let n = t.Shape[0]
    let x0 = Mixture.sample n (Rng.named "x0" rng) m
    Path.sample path t x0 (Rng.normalLike x0 (Rng.named "noise" rng))

let private case (seed: int) (d: int) (n: int) =
    let rng = Rng.ofSeed (int64 seed)
    let path, m = path rng, mixture d rng
    let t = times path n rng
    path, m, t, points path m t rng

/// Largest |a − b| relative to the largest |b|, at least `floor`.
let private gap (a: Tensor) (b: Tensor) (floor: float) =
    // libtorch's maximum keeps a NaN, F#'s does not.
    let top (x: Tensor) = (Tensor.maxOver [ 0 ] (abs (Tensor.flatten x))).ToFloat()
    top (a - b) / max floor (top b)

let private agree tolerance (expected: Tensor) (actual: Tensor) what =
    close tolerance 0.0 (gap actual expected 1e-3) what

/// ∫ f over the line where f and its derivatives vanish at the ends: the trapezoidal rule is exact to rounding as soon as
/// its step resolves f.
let private integrate (low: float) (high: float) (n: int) (f: Tensor -> Tensor) =
    let x = Tensor.linspace f64 low high n
    (Tensor.sum (f x)).ToFloat() * (high - low) / float (n - 1)

[<Tests>]
let tests =
    testList
        "Theory.Mixture"
        [ testPropertyWithConfig (tries 30) "the score is the gradient of the log-density"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 3 20
                  let gradient = Diff.grad (Mixture.logDensity path m t >> Tensor.sum) x
                  agree 1e-11 gradient (Mixture.score path m t x) path.Name)

          testPropertyWithConfig (tries 30) "the score is the finite difference of the log-density"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 2 10
                  // Central differences of fourth order in units of the noise, whose error is below 1e-4⁴ + ε/1e-4.
                  let h = 1e-3 * Tensor.unsqueeze 1 (Curve.values path.Sigma t)
                  let at k e = Mixture.logDensity path m t (x + float k * h * e)

                  let along (axis: int) =
                      let e = (Tensor.eye f64 2)[axis]
                      (8.0 * (at 1 e - at -1 e) - (at 2 e - at -2 e)) / (12.0 * Tensor.squeeze 1 h)

                  agree 1e-7 (Tensor.stack 1 [ along 0; along 1 ]) (Mixture.score path m t x) path.Name)

          testPropertyWithConfig (tries 15) "the density integrates to one"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, _ = case seed 1 1
                  let struct (alpha, sigma) = Path.alphaSigma path (t[0].ToFloat())
                  let reach = 12.0 * (alpha * 4.0 + sigma) + 12.0

                  let total =
                      integrate -reach reach 20001 (fun x ->
                          exp (Mixture.logDensity path m t[0] (Tensor.unsqueeze 1 x)))

                  close 1e-12 1.0 total path.Name)

          testPropertyWithConfig
              (tries 4)
              "the density of the plane integrates to one and has the oracle's mean and covariance"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let m = mixture 2 (Rng.ofSeed (int64 seed))
                  // Means of N(0, 4), at most 12 away here with spreads of at most 3; the sharpest direction is √0.02 = 0.14 wide, more than two steps.
                  let side = Tensor.linspace f64 -24.0 24.0 801
                  let cell = (48.0 / 800.0) ** 2.0
                  let grid a b = Tensor.flatten (Tensor.expand [ 801; 801 ] (Tensor.unsqueeze a b))
                  let x = Tensor.stack 1 [ grid 1 side; grid 0 side ]
                  let p = exp (Mixture.logDensityOfData m x) * cell
                  close 1e-10 1.0 ((Tensor.sum p).ToFloat()) "mass"
                  let mean = Linalg.matmul p x
                  agree 1e-9 (Mixture.mean m) mean "mean"
                  let centred = x - mean
                  let cov = Linalg.matmul (Tensor.transpose 0 1 centred) (Tensor.unsqueeze 1 p * centred)
                  agree 1e-9 (Mixture.covariance m) cov "covariance")

          testPropertyWithConfig (tries 15) "the denoiser and the posterior variance are integrals over the posterior"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 1 1
                  let struct (alpha, sigma) = Path.alphaSigma path (t[0].ToFloat())
                  let x = x[0].ToFloat()
                  // Where the likelihood is narrower than the data, it sets the window; 8,000 points resolve either.
                  let centre, width =
                      if alpha > 0.0 && sigma / alpha < 0.3 then x / alpha, 14.0 * sigma / alpha else 0.0, 40.0

                  let posterior (f: Tensor -> Tensor) =
                      integrate (centre - width) (centre + width) 8001 (fun x0 ->
                          let likelihood = -0.5 * Tensor.square ((x - alpha * x0) / sigma)
                          f x0 * exp (Mixture.logDensityOfData m (Tensor.unsqueeze 1 x0) + likelihood))

                  let mass = posterior Tensor.onesLike
                  let mean = posterior id / mass
                  let variance = posterior (fun x0 -> Tensor.square (x0 - mean)) / mass
                  let at = Tensor.full f64 [ 1; 1 ] x
                  let scale = 1.0 + abs mean
                  close (1e-9 * scale) mean ((Mixture.denoiser path m t at).ToFloat()) $"mean on {path.Name}"

                  close
                      (1e-9 * (1.0 + variance))
                      variance
                      ((Mixture.posteriorCovariance path m t at).ToFloat())
                      $"variance on {path.Name}")

          testPropertyWithConfig (tries 30) "Tweedie: α E[x₀|x] = x + σ² ∇log p, and its second order"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 3 12
                  let alpha, sigma =
                      Tensor.unsqueeze 1 (Curve.values path.Alpha t), Tensor.unsqueeze 1 (Curve.values path.Sigma t)
                  let score, denoised = Mixture.score path m t x, Mixture.denoiser path m t x
                  agree 1e-11 (x + Tensor.square sigma * score) (alpha * denoised) $"denoiser on {path.Name}"
                  agree 1e-12 (-sigma * score) (Mixture.noise path m t x) $"noise on {path.Name}"

                  // Cov[x₀|x] = σ²/α² (I + σ² ∇² log p)  (Efron 2011), at the first point.
                  let at (x: Tensor) = Tensor.sum (Mixture.logDensity path m t[0] (Tensor.unsqueeze 0 x))
                  let struct (a, s) = Path.alphaSigma path (t[0].ToFloat())
                  let hessian = Diff.hessian at x[0]
                  let covariance = (s * s / (a * a)) * (Tensor.eye f64 3 + s * s * hessian)
                  let exact = (Mixture.posteriorCovariance path m t[0] x[0..0])[0]
                  // 1 + σ² h loses what σ²/α² has over the covariance.
                  let lost = 1e-13 * s * s / (a * a) / (Tensor.maxOver [ 0; 1 ] (abs exact)).ToFloat()
                  agree (1e-9 + 100.0 * lost) exact covariance $"covariance on {path.Name}")

          testPropertyWithConfig (tries 30) "the velocity moves the density: ∂ₜ log p + ∇·v + v·∇log p = 0"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 3 12
                  let v, divergence = Diff.valueAndDivergence (Mixture.velocity path m t) x
                  let dt = Diff.grad (fun t -> Tensor.sum (Mixture.logDensity path m t x)) t
                  let transport = Tensor.sumRows (v * Mixture.score path m t x)
                  // The three terms cancel: the residual is relative to the largest of them.
                  let scale = 1.0 + (Tensor.maxOver [ 0 ] (abs (Tensor.cat 0 [ dt; divergence; transport ]))).ToFloat()
                  close (1e-11 * scale) 0.0 (gap (dt + divergence + transport) (0.0 * dt) 1.0) path.Name)

          testPropertyWithConfig
              (tries 30)
              "a network of any meaning says A·E[x₀|x] + B·E[ε|x], and the conversions bring each back"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let path, m, t, x = case seed 2 12
                  let denoised, noise = Mixture.denoiser path m t x, Mixture.noise path m t x

                  for p in Prediction.all do
                      let said = Mixture.network path p m t x
                      agree 1e-10 (Prediction.target path p t denoised noise) said $"{p.Name} on {path.Name}")

          testCase "score, velocity and denoiser are finite at both ends of every path where the data is spread out"
          <| fun () ->
              let m = mixture 2 (Rng.ofSeed 3L)
              let x = Mixture.sample 10 (Rng.ofSeed 4L) m

              for path in Paths.all do
                  for t in [ 0.0; 1.0 ] do
                      let isMoving = Double.IsFinite(Curve.eval (Curve.derivative path.Alpha) t)
                      let t = Tensor.scalar f64 t

                      for name, field in
                          [ "score", Mixture.score; "velocity", Mixture.velocity; "denoiser", Mixture.denoiser ] do
                          // The cosine path's log α is −∞ at 1; what is asked of it there is α·d log α/dt. Where α̇ is infinite, so is the velocity.
                          if not (path.Name = "cosine" && t.ToFloat() = 1.0) && (isMoving || name <> "velocity") then
                              holds
                                  ((Tensor.all (Tensor.isFinite (field path m t x))).ToBool())
                                  $"{name} on {path.Name} at {t.ToFloat()}"

              let denoised = Mixture.denoiser Path.condOT m (Tensor.scalar f64 0.0) x
              agree 1e-13 x denoised "at t = 0 the data denoises to itself"
              let blind = Mixture.denoiser Path.condOT m (Tensor.scalar f64 1.0) x
              agree 1e-13 (Tensor.expand [ 10; 2 ] (Mixture.mean m)) blind "at t = 1 all that is left is the mean"

          testPropertyWithConfig (tries 20) "diagonal and full covariances are one law, in any shape and element type"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed (int64 seed)
                  let means, stds = Rng.normal f64 [ 3; 4 ] rng, exp (Rng.normal f64 [ 3; 4 ] (Rng.at 1L rng))
                  let weights = [| 0.2; 0.5; 0.3 |]
                  let diagonal = Mixture.ofStds weights means stds
                  let full = Mixture.ofCovariances weights means (Tensor.diagEmbed (Tensor.square stds))
                  let path = Path.vp
                  let t = times path 6 rng
                  let x = points path diagonal t rng

                  for field in [ Mixture.score; Mixture.velocity; Mixture.denoiser; Mixture.noise ] do
                      let expected = field path diagonal t x
                      agree 1e-11 expected (field path full t x) "diagonal and full"
                      let image = field path full t (Tensor.reshape [ 6; 1; 2; 2 ] x)
                      holds (image.Shape = [| 6; 1; 2; 2 |]) "images keep their shape"
                      agree 1e-11 expected (Tensor.flattenRows image) "images"
                      let single = field path full t (x.To Dtype.Float32)
                      holds (single.Dtype = Dtype.Float32) "float32 in, float32 out"
                      // The state's own rounding, 6e-8, times the field's slope 1/σ² where the time is small.
                      agree 1e-2 expected (single.To Dtype.Float64) "float32"

                  agree
                      1e-11
                      (Mixture.posteriorCovariance path diagonal t x)
                      (Mixture.posteriorCovariance path full t x)
                      "posterior")

          testCase "draws have the oracle's mean and covariance, and row i does not depend on the batch"
          <| fun () ->
              let m = mixture 3 (Rng.ofSeed 8L)
              let rng = Rng.ofSeed 9L
              let n = 100_000
              let x = Mixture.sample n rng m
              let mean, cov = Wasserstein.moments x
              let exact = Mixture.covariance m
              let trace = (Linalg.trace exact).ToFloat()
              // Standard errors √(C/n) of the mean, and of the order of C·√(κ/n) of the covariance, κ ≤ 4 here: five of each.
              close
                  (5.0 * Math.Sqrt(trace / float n))
                  0.0
                  (gap mean (Mixture.mean m) 1.0 * max 1.0 (gap (Mixture.mean m) (0.0 * mean) 1.0))
                  "mean"
              close
                  (10.0 * trace / Math.Sqrt(float n))
                  0.0
                  ((Tensor.maxOver [ 0; 1 ] (abs (cov - exact))).ToFloat())
                  "covariance"
              let few = Mixture.sample 7 (Rng.rows 100L rng) m
              agree 1e-14 x[100..106] few "rows 100 to 106"

          testCase "a mixture of point masses has the score of its smoothed points"
          <| fun () ->
              let points = Tensor.ofArray [ 2; 1 ] [| -1.0; 1.0 |]
              let m = Mixture.ofStds [| 1.0; 1.0 |] points (Tensor.zeros f64 [ 2; 1 ])
              let x = Tensor.ofArray [ 3; 1 ] [| -0.4; 0.1; 2.0 |]
              let t = 0.4
              // x₀ = ±1: E[x₀|x] = tanh(α x/σ²).
              let expected = Tensor.tanh (x * (0.6 / 0.16))
              agree 1e-14 expected (Mixture.denoiser Path.condOT m (Tensor.scalar f64 t) x) "denoiser"

          testCase "a mixture reads from JSON and what is wrong with one is named"
          <| fun () ->
              let parse = Mixture.ofJson "m.json"
              let m = parse """{"weights": [1, 3], "means": [[0, 1], [2, 3]], "stds": [[1, 2], [0.5, 0.5]]}"""
              agree 1e-15 (Tensor.ofArray [ 2 ] [| 0.25; 0.75 |]) (Mixture.weights m) "weights"
              agree 1e-15 (Tensor.ofArray [ 2 ] [| 1.0; 4.0 |]) (Tensor.diagonal(Mixture.covariances m)[0]) "stds"
              let round = parse """{"means": [[0, 1], [2, 3]], "stds": [1, 0.5]}"""
              agree
                  1e-15
                  (Tensor.ofArray [ 2 ] [| 0.25; 0.25 |])
                  (Tensor.diagonal(Mixture.covariances round)[1])
                  "round"
              let full = parse """{"means": [[0, 1]], "covariances": [[[2, 1], [1, 2]]]}"""
              agree
                  1e-14
                  (Tensor.ofArray [ 2; 2 ] [| 2.0; 1.0; 1.0; 2.0 |])
                  ((Mixture.covariances full)[0])
                  "covariance"

              for text, part in
                  [ "{", "not JSON"
                    "[]", "not an object"
                    "{}", "\"means\" is missing"
                    """{"means": [], "stds": []}""", "\"means\""
                    """{"means": [[0, 1], [2]], "stds": [1, 1]}""", "\"means\""
                    """{"means": [[0]], "stds": [1, 1]}""", "\"stds\""
                    """{"means": [["a"]], "stds": [1]}""", "not a number"
                    """{"means": [[0]], "stds": [-1]}""", "standard deviation"
                    """{"weights": [0], "means": [[0]], "stds": [1]}""", "weight 0 is 0"
                    """{"means": [[0]]}""", "exactly one"
                    """{"means": [[0]], "sdts": [1]}""", "\"sdts\""
                    """{"means": [[0, 0]], "covariances": [[[1, 2], [2, 1]]]}""", "eigenvalue"
                    """{"means": [[0, 0]], "covariances": [[[1, 2], [0, 1]]]}""", "symmetric" ] do
                  let message = raises<UserError, _>(fun () -> parse text)
                  names [ "m.json: "; part; "\"covariances\"" ] message
                  holds (not (message.Contains '\n')) "one line"

              let missing = IO.Path.Combine(IO.Path.GetTempPath(), "no-such-mixture.json")
              raises<UserError, _>(fun () -> Mixture.read missing) |> names [ missing ]

          testCase "states and times that do not fit are refused with their shapes"
          <| fun () ->
              let m = mixture 2 (Rng.ofSeed 3L)
              let x = Tensor.ones f64 [ 5; 2 ]
              raises<TensorException, _>(fun () -> Mixture.score Path.vp m (Tensor.ones f64 [ 4 ]) x)
              |> names [ "[4]"; "[5; 2]" ]
              raises<TensorException, _>(fun () ->
                  Mixture.score Path.vp m (Tensor.scalar f64 0.5) (Tensor.ones f64 [ 5; 3 ]))
              |> names [ "[5; 3]"; "[B; 2]" ] ]
