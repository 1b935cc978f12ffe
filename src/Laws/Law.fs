namespace Fokker.Laws

open FsCheck
open FsCheck.FSharp
open Fokker

/// What one drawn case came to: how far the two sides of the identity lie apart, and the case in words.
type Verdict = { Error: float; Case: string }

/// The formulas that the laws guard, as values: a law takes them as an argument, so that a test can hand it a wrong one
/// and watch it fail.
[<NoComparison; NoEquality>]
type Formulas =
    {
        Derivative: Curve -> Curve
        Inverse: float * float -> Curve -> float -> float
        DriftRate: GaussianPath -> Curve
        DiffusionSquared: GaussianPath -> Curve
        Sample: GaussianPath -> Tensor -> Tensor -> Tensor -> Tensor
        Retime: Curve -> GaussianPath -> GaussianPath
        VpLogAlpha: float -> float -> Curve
        SubVp: float -> float -> GaussianPath
        LogAlphaBars: float[] -> float[]
        PathOfSde: Curve -> Curve -> GaussianPath
        LogDensity: GaussianPath -> Mixture -> Tensor -> Tensor -> Tensor
        Score: GaussianPath -> Mixture -> Field
        Denoiser: GaussianPath -> Mixture -> Field
        Velocity: GaussianPath -> Mixture -> Field
        PosteriorCovariance: GaussianPath -> Mixture -> Tensor -> Tensor -> Tensor
        Langevin: Field -> Sde
        Posterior: GaussianPath -> float -> float -> Posterior
        Exchange: GaussianPath -> Model -> Model
        /// ‖s‖² + 2 ∇·s at each sample.
        ImplicitScore: (Tensor -> Tensor) -> Tensor -> Tensor
        /// v, s, (∂s)v ↦ the sliced loss at each sample.
        SlicedTerm: Tensor -> Tensor -> Tensor -> Tensor
        GaussianKl: Tensor -> Tensor -> Tensor -> Tensor -> Tensor
        VlbTerm: Field -> GaussianPath -> float -> float -> Field -> Tensor -> Tensor -> Tensor
        Preconditioning: float -> GaussianPath -> Preconditioning
        Girsanov: Sde -> Sde -> float[] -> Rng -> Tensor -> Estimate
        GirsanovOu: float -> float -> float -> float -> float -> float -> float
        Rademacher: int -> Trace
        Gaussian: int -> Trace
        Exact: Coupling
        Sinkhorn: float -> Tensor -> Tensor -> Tensor -> Sinkhorn.Plan
        WithinClasses: Tensor -> Coupling -> Coupling
        Conversion: GaussianPath -> Prediction -> Prediction -> Tensor -> struct (Coefficient * Coefficient)
        Target: GaussianPath -> Prediction -> Tensor -> Tensor -> Tensor -> Tensor
        BetweenVelocity: Between -> Field
        BetweenNoise: Between -> Field
        BetweenScore: Between -> Field
        FlowSde: Flow -> Sde option
        Ncsn: int -> GaussianPath -> Regression
        Schrodinger: float -> Matching
        EulerMaruyama: Tensor -> Sde -> float -> State -> State
        GaussianWasserstein: Tensor * Tensor -> Tensor * Tensor -> float
        InterpolantVelocity: Interpolant -> Tensor -> Tensor -> Tensor -> Tensor -> Tensor
        Reverse: Field -> Sde -> Sde
        ProbabilityFlow: Field -> Sde -> Ode
        WithChurn: float -> GaussianPath -> Field -> Field -> Sde
        Weight: GaussianPath -> Weight -> Curve
        WeightOn: Weight -> GaussianPath -> Prediction -> Curve
        ImportanceSampled: Regression -> Regression
        ConsistencyPreconditioning: float -> GaussianPath -> Preconditioning
        /// path, distance, f, target, t, t', x₀, ε ↦ the consistency training loss.
        Training: GaussianPath -> Distance -> Field -> Field -> Tensor -> Tensor -> Tensor -> Tensor -> Tensor
        /// solver, distance, f, target, t, t', x_t' ↦ the distillation loss.
        Distillation:
            (Tensor -> Tensor -> Tensor -> Tensor) -> Distance -> Field -> Field -> Tensor -> Tensor -> Tensor -> Tensor
        /// identity, velocity, u, u held fixed, t, m, s, x ↦ both sides.
        MapSides:
            Identity -> Field -> Field -> Field -> Tensor -> Tensor -> Tensor -> Tensor -> struct (Tensor * Tensor)
        /// velocity, F, F held fixed, t, x ↦ both sides of a consistency function's tangent identity.
        Tangent: Field -> Field -> Field -> Tensor -> Tensor -> struct (Tensor * Tensor)
        Guided: Guidance -> Model -> Model
        Autoguided: Guidance -> Model -> Model -> Model
        ByClassifier: float -> (Tensor -> Tensor -> Tensor -> Tensor) -> Model -> Model
        Composed: (float * Tensor) list -> (Condition -> Field) -> Field
    }

/// How a law tells: its cases against the formulas that it guards, and against the same with one of them wrong (a sign, a factor, a forgotten term), which it
/// must notice.
[<NoComparison; NoEquality>]
type Check =
    {
        Cases: Gen<Verdict>
        /// None for a law of data, which guards no formula.
        Mutated: Gen<Verdict> option
    }

/// An identity of the theory that runs: cases are drawn, both sides computed in float64, the worst error kept.
[<NoComparison; NoEquality>]
type Law =
    {
        Name: string
        /// The section of the table it stands in.
        Section: string
        /// The identity, as a person would write it.
        Statement: string
        Reference: string
        /// The largest error that counts as equal, with the reason beside it where it is not rounding.
        Tolerance: float
        /// How many cases are drawn unless one says otherwise.
        Cases: int
        Check: Check
    }

/// A law held against formulas.
[<NoComparison>]
type Finding =
    {
        Law: string
        Holds: bool
        Worst: float
        /// The case that produced the worst error.
        Case: string
        /// Its number: `--seed` and this replay it alone.
        Number: int
        Cases: int
    }

[<RequireQualifiedAccess>]
module Formulas =

    /// The library's own.
    let ofLibrary: Formulas =
        { Derivative = Curve.derivative
          Inverse = Curve.inverse
          DriftRate = Path.driftRate
          DiffusionSquared = Path.diffusionSquared
          Sample = Path.sample
          Retime = Path.retime
          VpLogAlpha = fun low high -> (Path.vpBetween low high).LogAlpha
          SubVp = Paths.subVpBetween
          LogAlphaBars = Paths.logAlphaBars
          PathOfSde = Paths.ofSde "own" "" ""
          LogDensity = Mixture.logDensity
          Score = Mixture.score
          Denoiser = Mixture.denoiser
          Velocity = Mixture.velocity
          PosteriorCovariance = Mixture.posteriorCovariance
          Langevin = Sde.langevin
          Posterior = Variational.posterior
          Exchange = Paths.exchange
          ImplicitScore = ScoreMatching.implicitTerm Trace.exact (Rng.ofSeed 0L)
          SlicedTerm = ScoreMatching.slicedTerm
          GaussianKl = Variational.gaussianKl
          VlbTerm = Variational.term
          Preconditioning = Preconditioning.edm
          Girsanov = Girsanov.bySimulation
          GirsanovOu = Girsanov.ornsteinUhlenbeck
          Rademacher = Trace.rademacher
          Gaussian = Trace.gaussian
          Exact = Coupling.exact
          Sinkhorn = Sinkhorn.balanced Sinkhorn.settings
          WithinClasses = Coupling.withinClasses
          Conversion = Prediction.conversion
          Target = Prediction.target
          BetweenVelocity = Between.velocity
          BetweenNoise = Between.noise
          BetweenScore = Between.score
          FlowSde = Flow.sde None
          Ncsn = Loss.ncsn
          Schrodinger = Matching.schrodinger
          EulerMaruyama = Integrator.eulerMaruyamaWith
          GaussianWasserstein = Wasserstein.gaussianSquared
          InterpolantVelocity = Interpolant.velocity
          Reverse = Sde.reverse
          ProbabilityFlow = Sde.probabilityFlow
          WithChurn = Sde.withChurn
          Weight = fun path weight -> weight.Of path Prediction.score
          WeightOn = fun weight -> weight.Of
          ImportanceSampled = Loss.importanceSampled
          ConsistencyPreconditioning = Preconditioning.consistency
          Training = Consistency.trainingAt
          Distillation = Consistency.distillationAt
          MapSides = MapMatching.sides
          Tangent = MapMatching.tangent 1.0
          Guided = Guidance.model
          Autoguided = Guidance.autoguided
          ByClassifier = Guidance.byClassifier
          Composed = Guidance.composed }

[<RequireQualifiedAccess>]
module Check =

    /// A check of any formula, with what it is to notice: `Check.guarding Sinkhorn.balanced wrong (fun balanced -> …)`.
    let guarding (formula: 'F) (wrong: 'F) (check: 'F -> Gen<Verdict>) : Check =
        { Cases = check formula; Mutated = Some(check wrong) }

    /// A check of the formulas that several laws guard, one of them replaced by the mutation.
    let against (wrong: Formulas -> Formulas) (check: Formulas -> Gen<Verdict>) : Check =
        guarding Formulas.ofLibrary (wrong Formulas.ofLibrary) check

    let ofData (cases: Gen<Verdict>) : Check = { Cases = cases; Mutated = None }

[<RequireQualifiedAccess>]
module Law =

    /// The cases numbered `first` … of a law: case k depends on the seed and on k only, so one can be replayed alone.
    let private draw (seed: uint64) (k: int) (gen: Gen<Verdict>) : Verdict =
        Scope.run (fun () -> (Gen.sampleWithSeed (Rnd(seed + 0x9E3779B97F4A7C15UL * uint64 (k + 1))) 50 1 gen)[0])

    /// The law with its mutation in the formulas' place; none where it has none.
    let mutated (law: Law) : Law option =
        law.Check.Mutated |> Option.map (fun wrong -> { law with Check = { law.Check with Cases = wrong } })

    /// Runs so many cases of a law from the first. A case that raises counts as an infinite error.
    let run (seed: uint64) (first: int) (cases: int) (law: Law) : Finding =
        let gen = law.Check.Cases

        let one k =
            try
                k, draw seed k gen
            with e ->
                k, { Error = infinity; Case = e.Message }

        // NaN is the worst there is: it must not lose a comparison.
        let size (_, verdict) = if System.Double.IsNaN verdict.Error then infinity else verdict.Error
        let number, worst = Seq.init cases (fun k -> one (first + k)) |> Seq.maxBy size

        { Law = law.Name
          Holds = size (number, worst) <= law.Tolerance
          Worst = size (number, worst)
          Case = worst.Case
          Number = number
          Cases = cases }

/// What the laws draw their cases from.
module Draw =

    let between (low: float) (high: float) : Gen<float> =
        Gen.choose (0, 1 <<< 24) |> Gen.map (fun k -> low + (high - low) * float k / float (1 <<< 24))

    let oneOf (items: 'T list) : Gen<'T> = Gen.elements items

    /// A key for tensors of normals.
    let rng: Gen<Rng> = Gen.choose (0, System.Int32.MaxValue) |> Gen.map (int64 >> Rng.ofSeed)

    /// Smooth curves, positive and of moderate size on (0, 1).
    let curve: Gen<Curve> =
        let leaf =
            gen {
                let! c = between 0.5 2.0
                return! oneOf [ Curve.constant c; Curve.time + c; c - 0.4 * Curve.time; c * (Curve.time ** 2.0) + 0.3 ]
            }

        let rec tree depth =
            if depth = 0 then
                leaf
            else
                gen {
                    let! a = tree (depth - 1)
                    let! b = tree (depth - 1)

                    return!
                        oneOf
                            [ a + b
                              a * b
                              a / b
                              exp (-a)
                              sqrt a
                              log (1.0 + a)
                              Curve.log1p a
                              Curve.expm1 (0.5 * a)
                              1.5 + sin a
                              1.5 + cos a
                              a ** 1.7 ]
                }

        Gen.choose (0, 3) |> Gen.bind tree

    /// A clock that rises from 0 to 1.
    let clock: Gen<Curve> =
        gen {
            let! p = between 0.6 2.5
            let! k = between 0.5 3.0
            let t = Curve.time
            return! oneOf [ t; t ** p; Curve.expm1 (k * t) / (exp k - 1.0); sin (0.5 * System.Math.PI * t) ** 2.0 ]
        }

    /// Every Gaussian path the library knows, with its parameters drawn.
    let path: Gen<GaussianPath> =
        gen {
            let! horizon = between 1.0 8.0
            let! low = between 0.05 0.5
            let! high = between 5.0 25.0
            let own = Paths.ofSde "own" "" "" (low + 3.0 * (Curve.time ** 2.0)) (exp Curve.time * high)
            let drawn = [ Path.ouTo horizon; Path.vpBetween low high; Paths.subVpBetween low high; own ]
            // Tables are smooth only between their nodes; they have laws of their own.
            return! oneOf (drawn @ List.map Part.standard Path.parts @ [ Paths.ve; Paths.edm; Paths.cosine ])
        }

    /// Interpolants with and without noise of their own, towards anything.
    let interpolant: Gen<Interpolant> =
        gen {
            let! path = path
            let! spread = between 0.2 1.5
            let angle = 0.5 * System.Math.PI * Curve.time

            return!
                oneOf
                    [ Interpolant.linear
                      Interpolant.bridge spread
                      Interpolant.ofPath path
                      { Name = "trigonometric-with-noise"
                        A = cos angle
                        B = sin angle
                        Gamma = spread * sin (2.0 * angle) } ]
        }

    /// The discrete schedules: a name, and N ↦ β₁ … β_N.
    let betas: Gen<string * (int -> float[])> =
        oneOf
            [ "ddpm", Paths.ddpmBetas
              "scaled-linear", Paths.scaledLinearBetas
              "cosine", Paths.cosineBetas
              "sigmoid", Paths.sigmoidBetas ]

    /// A time at which everything is finite on every path.
    let time: Gen<float> = between 0.02 0.98

    let vectors (rng: Rng) (name: string) (shape: int list) : Tensor =
        Rng.normal Kind.Float64 shape (Rng.named name rng)

    /// [B; d] data, [B; d] noise and [B] times.
    let triple: Gen<Tensor * Tensor * Tensor> =
        gen {
            let! r = rng
            let! b = Gen.choose (1, 5)
            let! d = Gen.choose (1, 4)
            let t = Rng.uniform Kind.Float64 [ b ] (Rng.named "t" r) * 0.96 + 0.02
            return vectors r "data" [ b; d ] * 2.0, vectors r "noise" [ b; d ], t
        }

    let private mixtureIn (dimensions: Gen<int>) : Gen<Mixture> =
        gen {
            let! d = dimensions
            let! k = Gen.choose (1, 3)
            let! r = rng
            let! weights = Gen.listOfLength k (between 0.2 1.0)
            let means = Rng.uniform Kind.Float64 [ k; d ] (Rng.named "means" r) * 4.0 - 2.0
            let factor = vectors r "covariance" [ k; d; d ] * 0.4
            let round = Tensor.eye Kind.Float64 d * 0.05
            let covariances = Linalg.matmul factor (Tensor.transpose 1 2 factor) + round
            return Mixture.ofCovariances (List.toArray weights) means covariances
        }

    /// Mixtures in one to three dimensions with full covariances.
    let mixture: Gen<Mixture> = mixtureIn (Gen.choose (1, 3))

    /// Two mixtures of one dimension.
    let twoMixtures: Gen<Mixture * Mixture> =
        gen {
            let! d = Gen.choose (1, 3)
            let! p = mixtureIn (Gen.constant d)
            let! q = mixtureIn (Gen.constant d)
            return p, q
        }

    /// Mixtures on the line, for quadrature.
    let mixture1: Gen<Mixture> = mixtureIn (Gen.constant 1)

    /// Mixtures on the line whose components are wide enough to overlap.
    let broad: Gen<Mixture> =
        gen {
            let! k = Gen.choose (1, 3)
            let! weights = Gen.listOfLength k (between 0.3 1.0)
            let! means = Gen.listOfLength k (between -1.2 1.2)
            let! stds = Gen.listOfLength k (between 0.7 1.2)
            let column (values: float list) = Tensor.ofArray [ k; 1 ] (List.toArray values)
            return Mixture.ofStds (List.toArray weights) (column means) (column stds)
        }

module Measure =

    /// max |a − b| / (1 + max |b|).
    let apart (a: Tensor) (b: Tensor) : float =
        if a.Shape <> b.Shape then
            infinity
        else
            (Tensor.max (abs (a - b))).ToFloat() / (1.0 + (Tensor.max (abs b)).ToFloat())

    let difference (a: float) (b: float) : float = abs (a - b) / (1.0 + abs b)

    /// The largest of several errors; one that is not a number counts, which `List.max` may pass over.
    let worst (errors: float list) : float = List.fold max 0.0 errors

    /// max |Σ terms| / (1 + max |term|): how far a sum that should vanish is from it, against the size of what is summed.
    let residual (terms: Tensor list) : float =
        let largest (x: Tensor) = (Tensor.max (abs x)).ToFloat()
        largest (List.reduce (+) terms) / (1.0 + (terms |> List.map largest |> List.max))

    /// What an integration came to; a case whose integration fails is a case that fails.
    let succeed (result: Result<'T, Failure>) : 'T =
        match result with
        | Ok value -> value
        | Error failure -> failwith (string failure)

    /// A scalar time as the fields want it.
    let at (t: float) = Tensor.scalar Kind.Float64 t
