/// Goes through the lists of samplers and paths: each is held to a formula of its own, and one that is added without fails here. The grids' formulas
/// are in GridTests.
module Fokker.Tests.Sampling.EveryPartTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

/// α and σ at a time, written out; those of a table at its steps.
let private formulas: Map<string, float -> float * float> =
    let root (x: float) = Math.Sqrt x
    let preserving logAlpha t = Math.Exp(logAlpha t), root (1.0 - Math.Exp(2.0 * logAlpha t))
    let vp (t: float) = -0.25 * t * t * 19.9 - 0.05 * t

    let table (beta: int -> float) (t: float) =
        let bar = Seq.fold (fun product k -> product * (1.0 - beta k)) 1.0 (seq { 1 .. int (Math.Round(1000.0 * t)) })
        root bar, root (1.0 - bar)

    let even first last k = first + (last - first) * float (k - 1) / 999.0
    let bar k = Math.Cos(0.5 * Math.PI * (float k / 1000.0 + 0.008) / 1.008) ** 2.0

    Map
        [ "condot", (fun t -> 1.0 - t, t)
          "ou", preserving (fun t -> -5.0 * t)
          "vp", preserving vp
          "trigonometric", (fun t -> Math.Cos(0.5 * Math.PI * t), Math.Sin(0.5 * Math.PI * t))
          "sub-vp", (fun t -> Math.Exp(vp t), 1.0 - Math.Exp(2.0 * vp t))
          "ve", (fun t -> 1.0, 0.01 * 5000.0 ** t)
          "edm", (fun t -> 1.0, (0.002 ** (1.0 / 7.0) + t * (80.0 ** (1.0 / 7.0) - 0.002 ** (1.0 / 7.0))) ** 7.0)
          "cosine",
          preserving (fun t ->
              Math.Log(Math.Cos(0.5 * Math.PI * (t + 0.008) / 1.008) / Math.Cos(0.5 * Math.PI * 0.008 / 1.008)))
          "linear-gamma", (fun t -> root (1.0 - t), root t)
          "sigmoid",
          (fun t ->
              let s x = 1.0 / (1.0 + Math.Exp -x)
              let kept = (s 3.0 - s (6.0 * t - 3.0)) / (s 3.0 - s -3.0)
              root kept, root (1.0 - kept))
          "ddpm", table (even 1e-4 0.02)
          "scaled-linear", table (fun k -> even (root 0.00085) (root 0.012) k ** 2.0)
          "ddpm-cosine", table (fun k -> Math.Min(0.999, 1.0 - bar k / bar (k - 1)))
          "ddpm-sigmoid", table (fun k -> 1e-4 + 0.0199 / (1.0 + Math.Exp -(even -6.0 6.0 k))) ]

/// Those that the order tests hold to the exact solution of a flow, or to the exact law of a process.
let private measured = OrderTests.deterministic @ OrderTests.stochastic

/// Those that keep a bias, or need what no exact model has, with the test that has their formula.
let private byFormula =
    [ Samplers.predictorCorrector.Name,
      (PublishedTests.tests, "a corrector's steps follow the predictor's, each with its own draw")
      Samplers.annealedLangevin.Name, (PublishedTests.tests, "annealed Langevin dynamics")
      Samplers.ancestralLearned.Name,
      (LearnedVarianceTests.tests, "u = −1 is the posterior's variance and u = 1 the forward step's, draw by draw") ]

[<Tests>]
let tests =
    testList
        "Sampling.EveryPart"
        [ testCase "no path is without its formula"
          <| fun () ->
              for path in Paths.all do
                  match Map.tryFind path.Name formulas with
                  | None -> failtest $"the path {path.Name} has no formula that it is held to"
                  | Some formula ->
                      for t in [ 0.004; 0.1; 0.337; 0.5; 0.75; 0.96 ] do
                          let alpha, sigma = formula t
                          let at curve = Curve.eval curve t
                          // A σ² of 1 − α² loses what α has of 1.
                          close 1e-12 alpha (at path.Alpha) $"{path.Name}: α({t})"
                          close (1e-11 * Math.Max(1.0, sigma)) sigma (at path.Sigma) $"{path.Name}: σ({t})"
                          close 1e-12 (Math.Log alpha) (at path.LogAlpha) $"{path.Name}: log α({t})"
                          close
                              (1e-10 * Math.Max(1.0, sigma * sigma))
                              (sigma * sigma)
                              (at path.Variance)
                              $"{path.Name}: σ²({t})"
                          close 1e-9 (Math.Log(alpha / sigma)) (at path.Lambda) $"{path.Name}: λ({t})"

          testCase "no sampler is without its law or its formula"
          <| fun () ->
              let isIn (tests: Test) (name: string) =
                  Test.toTestCodeList tests |> Seq.exists (fun test -> List.last test.name = name)

              for sampler in Samplers.all do
                  let hasFormula =
                      byFormula
                      |> List.exists (fun (name, (tests, formula)) -> name = sampler.Name && isIn tests formula)

                  holds
                      (List.contains sampler.Name measured || hasFormula)
                      $"the sampler {sampler.Name} has no closed form that it is held to" ]
