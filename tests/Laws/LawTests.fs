module Fokker.Tests.LawTests

open NUnit.Framework
open Fokker
open Fokker.Laws

let private names = Table.all |> List.map (fun law -> TestCaseData(law.Name).SetName("law: " + law.Name))
let private byName name = Table.all |> List.find (fun law -> law.Name = name)

/// The same laws that `verify` runs, at a tenth of its cases: six at least, where it has as many.
[<TestCaseSource(nameof names)>]
let ``law holds`` (name: string) =
    let law = byName name
    let finding = Law.run Formulas.ofLibrary 20260101UL 0 (min law.Cases (max 6 (law.Cases / 10))) law
    Assert.That(
        finding.Holds,
        Is.True,
        $"{law.Statement}: off by {finding.Worst} in case {finding.Number}: {finding.Case}"
    )

let private library = Formulas.ofLibrary

/// One wrong formula for each law: a sign, a factor, a forgotten term. The law must notice.
let private mutations: (string * Formulas) list =
    let offByTwo (c: Curve) = 2.0 * c

    [ "curve-derivative", { library with Derivative = fun c -> Curve.derivative c * 1.0001 }
      "curve-on-tensors", { library with Derivative = fun c -> -(Curve.derivative c) }
      "curve-inverse", { library with Inverse = fun ends c y -> Curve.inverse ends c (y + 1e-6) }
      "sde-moments",
      { library with
          DiffusionSquared = fun p -> Curve.derivative p.Variance - Path.driftRate p * p.Variance }
      "ou-is-vp-retimed",
      { library with
          VpLogAlpha = fun low high -> -0.5 * (high - low) * (Curve.time ** 2.0) - 0.5 * low * Curve.time }
      "alpha-bar", { library with LogAlphaBars = Array.scan (fun s b -> s - b) 0.0 }
      "sub-vp-below-vp", { library with SubVp = Path.vpBetween }
      "path-of-sde", { library with PathOfSde = fun a g2 -> Paths.ofSde "" "" "" (0.5 * a) g2 }
      "retimed-sde", { library with Retime = fun _ p -> p }
      "conditional-velocity", { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (-e) }
      "interpolant-velocity",
      { library with
          InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity { i with B = offByTwo i.B } t x0 x1 z }
      "conversions-agree",
      { library with
          Conversion =
              fun p a b t ->
                  let struct (x, y) = Prediction.conversion p a b t
                  struct (y, x) }
      "conversions-of-oracle", { library with Conversion = fun p a b t -> Prediction.conversion p b a t }
      "conversions-refuse", { library with Conversion = fun _ _ _ _ -> struct (Number 0.0, Number 1.0) }
      "reversal-of-reversal",
      { library with
          Reverse =
              fun score sde ->
                  { Sde.reverse score sde with
                      Drift = fun t x -> sde.Drift t x - Coefficient.scale (Curve.at sde.DiffusionSquared t) (score t x) } }
      "flow-is-velocity",
      { library with ProbabilityFlow = fun score sde -> { Velocity = (Sde.reverse score sde).Drift } }
      "flow-of-reversal",
      { library with
          ProbabilityFlow = fun score sde -> Sde.probabilityFlow score { sde with Backward = false } }
      "churn-family", { library with WithChurn = fun c p v s -> Sde.withChurn (sqrt c * 1.01) p v s }
      "simple-is-reweighted-dsm", { library with Weight = fun p _ -> p.Sigma }
      "score-is-gradient", { library with Score = fun p m t x -> 1.01 * Mixture.score p m t x }
      "tweedie", { library with Denoiser = fun p m t x -> Mixture.denoiser p m t (1.01 * x) }
      "tweedie-second-order",
      { library with PosteriorCovariance = fun p m t x -> 0.9 * Mixture.posteriorCovariance p m t x }
      "marginal-is-posterior-mean", { library with Velocity = fun p m t x -> 1.01 * Mixture.velocity p m t x }
      "posterior-is-bayes",
      { library with
          Posterior =
              fun p s t ->
                  let q = Variational.posterior p s t
                  { q with Variance = q.Forward } }
      "ddpm-posterior", { library with Posterior = fun p s t -> Variational.posterior p (0.9 * s) t }
      "continuity-equation",
      { library with Velocity = fun p m -> (Sde.reverse (Mixture.score p m) (Sde.ofPath p)).Drift }
      "conditional-equations", { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (1.01 * e) }
      "interpolant-continuity", { library with BetweenVelocity = fun b t x -> Between.velocity b t x + 0.1 * x }
      "interpolant-score", { library with BetweenScore = fun b t x -> -(Between.score b t x) }
      "interpolant-sde",
      { library with
          FlowSde = Flow.sde None >> Option.map (fun sde -> { sde with DiffusionSquared = 0.9 * sde.DiffusionSquared }) }
      "interpolant-posterior-mean",
      { library with
          InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity { i with A = offByTwo i.A } t x0 x1 z }
      "fokker-planck", { library with DiffusionSquared = fun p -> 2.0 * Path.diffusionSquared p }
      "churn-keeps-marginals",
      { library with
          WithChurn = fun c p v s -> { Sde.withChurn c p v s with DiffusionSquared = c * Path.diffusionSquared p } }
      "langevin-stationary",
      { library with Langevin = fun s -> { Sde.langevin s with DiffusionSquared = Constant 1.0 } }
      "snr-matching", { library with Exchange = fun onto model -> { model with Path = onto } }
      "implicit-score-matching",
      { library with
          ImplicitScore = fun s x -> Tensor.sumRows (Tensor.square (s x)) + Diff.divergence s x }
      "denoising-score-matching", { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (0.9 * e) }
      "ncsn-is-sum-of-dsm", { library with Ncsn = fun n path -> Loss.ncsn (2 * n) path }
      "conditional-flow-matching", { library with Velocity = fun p m t x -> 1.01 * Mixture.velocity p m t x }
      "regression-minimizer", { library with Target = fun p q t x0 e -> Prediction.target p q t x0 (-e) }
      "vlb-terms", { library with GaussianKl = fun m1 v1 m2 v2 -> Variational.gaussianKl m2 v2 m1 v1 }
      "vlb-chain-rule", { library with VlbTerm = fun _ -> Variational.term Variational.large }
      "vlb-gap", { library with VlbTerm = fun _ -> Variational.term Variational.large }
      "continuous-vlb", { library with DiffusionSquared = fun p -> 1.01 * Path.diffusionSquared p }
      "edm-preconditioning",
      { library with
          Preconditioning = fun s path -> { Preconditioning.edm s path with Skip = s * s / (s * s + path.Variance) } }
      "instantaneous-change-of-variables", { library with Velocity = fun p m t x -> Mixture.velocity p m t x + 0.1 * x }
      "flow-on-another-clock", { library with Retime = fun _ p -> p }
      "girsanov", { library with GirsanovOu = fun a b g m v t -> 2.0 * Girsanov.ornsteinUhlenbeck a b g m v t }
      "path-kl-above-end-kl", { library with GirsanovOu = fun _ _ _ _ _ _ -> 0.0 }
      "exact-start",
      { library with
          Reverse = fun score sde -> { Sde.reverse score sde with Drift = (Sde.probabilityFlow score sde).Velocity } }
      // The noise left out, the correction of the drift kept.
      "actual-start",
      { library with
          WithChurn = fun c p v s -> { Sde.withChurn c p v s with DiffusionSquared = Constant 0.0 } }
      "langevin-step-gaussian", { library with EulerMaruyama = fun z -> Integrator.eulerMaruyamaWith (1.01 * z) }
      "langevin-step-bias", { library with EulerMaruyama = fun z -> Integrator.eulerMaruyamaWith (1.1 * z) }
      "solvers-on-another-clock", { library with Retime = fun _ p -> p }
      "hutchinson", { library with Rademacher = Trace.gaussian; Gaussian = Trace.rademacher }
      "sliced-score-matching",
      { library with
          SlicedTerm = fun v s d -> Tensor.square (Tensor.sumRows (v * s)) + Tensor.sumRows (v * d) }
      "sliced-needs-isotropy", { library with SlicedTerm = fun v s d -> ScoreMatching.slicedTerm (2.0 * v) s d }
      "de-bruijn", { library with DiffusionSquared = fun p -> 0.5 * Path.diffusionSquared p }
      "ot-plan", { library with Exact = Coupling.independent }
      "ot-cyclically-monotone", { library with Exact = Coupling.independent }
      "sinkhorn-marginals", { library with Sinkhorn = fun e a b c -> Sinkhorn.unbalanced Sinkhorn.settings e 1.0 a b c }
      "sinkhorn-limits", { library with Sinkhorn = fun _ a b c -> Sinkhorn.balanced Sinkhorn.settings 0.5 a b c }
      "ot-cfm-energy", { library with GaussianWasserstein = fun p q -> 1.001 * Wasserstein.gaussianSquared p q }
      "minibatch-energy", { library with Exact = Coupling.independent }
      // ε = σ² in place of 2σ².
      "entropic-plan-of-gaussians",
      { library with Sinkhorn = fun e a b c -> Sinkhorn.balanced Sinkhorn.settings (0.5 * e) a b c }
      "sb-cfm-is-schrodinger-bridge",
      { library with Sinkhorn = fun e a b c -> Sinkhorn.balanced Sinkhorn.settings (0.5 * e) a b c }
      "weight-on-any-prediction",
      { library with
          WeightOn =
              fun weight path prediction ->
                  if prediction.Name = Prediction.v.Name then
                      weight.Of path prediction
                  else
                      weight.Of path Prediction.noise }
      "importance-sampled-times",
      { library with ImportanceSampled = fun r -> { r with Times = (Loss.importanceSampled r).Times } }
      "three-conditionings",
      { library with InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity i t x0 (1.01 * x1) z }
      "consistency-boundary", { library with ConsistencyPreconditioning = Preconditioning.edm }
      "consistency-distillation-zero",
      { library with
          Distillation = fun _ d f target t later x -> Consistency.distillationAt (fun _ _ x -> x) d f target t later x }
      "consistency-training-is-distillation",
      { library with
          Training =
              fun path d f target t later x0 noise -> Consistency.trainingAt path d f target t later x0 (0.9 * noise) }
      "consistency-training-value",
      { library with
          Training =
              fun path d f target t later x0 noise -> Consistency.trainingAt path d f target t later x0 (1.01 * noise) }
      "flow-map-lagrangian",
      { library with MapSides = fun identity v -> MapMatching.sides identity (fun t x -> 1.01 * v t x) }
      "flow-map-eulerian",
      { library with MapSides = fun identity v -> MapMatching.sides identity (fun t x -> 1.01 * v t x) }
      "flow-map-semigroup",
      { library with
          MapSides = fun identity v u fixed' -> MapMatching.sides identity v u (fun t x -> 1.01 * fixed' t x) }
      // The velocity along which the map is differentiated, and not the one that it is added to.
      "meanflow-target",
      { library with
          MapSides =
              fun identity v u fixed' t m s x ->
                  let struct (said, wanted) = MapMatching.sides identity v u fixed' t m s x
                  struct (said, wanted + 0.1 * Tensor.square (v t x)) }
      "sb-cfm-pairs", { library with Schrodinger = fun s -> Matching.schrodinger (s / sqrt 2.0) }
      // Another paper's scale: (1 + w) y_c − w y.
      "guided-score", { library with Guided = fun g -> Guidance.model { g with Scale = 1.0 + g.Scale } }
      // The one part that depends on what is predicted.
      "guidance-in-every-prediction", { library with Guided = fun g -> Guidance.model { g with Rescale = 0.5 } }
      "classifier-guidance", { library with ByClassifier = fun s -> Guidance.byClassifier (-s) }
      "autoguidance-by-itself",
      { library with
          Autoguided = fun g weaker model -> Guidance.autoguided g { weaker with Prediction = model.Prediction } model }
      "composed-score",
      { library with
          Composed = fun terms -> Guidance.composed (terms |> List.map (fun (w, labels) -> abs w, labels)) }
      "composition-of-gaussians", { library with Composed = fun terms -> Guidance.composed (List.truncate 1 terms) }
      "plans-within-classes", { library with WithinClasses = fun _ c -> c } ]

let private mutated = mutations |> List.map (fun (name, _) -> TestCaseData(name).SetName("mutation: " + name))

[<TestCaseSource(nameof mutated)>]
let ``law fails where its formula is wrong`` (name: string) =
    let law = byName name
    let wrong = mutations |> List.find (fst >> (=) name) |> snd
    let finding = Law.run wrong 20260101UL 0 (min law.Cases 20) law
    Assert.That(finding.Holds, Is.False, $"{name} did not notice the wrong formula")

/// A law that no mutation has tried could be empty. Views are data, not a formula: they are exempt.
[<Test>]
let ``every law has a mutation`` () =
    let missing = set [ for law in Table.all -> law.Name ] - set (List.map fst mutations) - set [ "path-views" ]
    Assert.That(Set.toList missing, Is.Empty)

[<Test>]
let ``names of laws are unique`` () = Assert.That(Table.all |> List.map (fun law -> law.Name), Is.Unique)
