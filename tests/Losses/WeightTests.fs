/// Weights, predictions, paths and laws of times against each other, at both ends of the times that are drawn.
module Fokker.Tests.Losses.WeightTests

open System
open Expecto
open Fokker
open Fokker.Tests

/// n in w = n/D², the factor of a weight on the squared error of a prediction with determinant D = α B − σ A: an error e in A x₀ + B ε is an error
/// σ e/D in the data, α e/D in the noise and α e/(σ D) in the score. Each is written so that nothing in it is infinite at either end but what
/// the weight itself is; none for those that do not convert.
let private numerator (weight: Weight) (path: GaussianPath) (t: float) : float option =
    let e curve = Curve.eval curve t
    let a2, s2 = e path.Alpha ** 2.0, e path.Variance

    match weight.Name with
    | "uniform"
    | "learned" -> None
    | "variance"
    | "snr" -> Some a2
    | "likelihood" -> Some(a2 * e (Path.diffusionSquared path) / s2)
    | "truncated-snr" -> Some(max a2 s2)
    | "min-snr" -> Some(min a2 (5.0 * s2))
    | "soft-min-snr" -> Some(4.0 * a2 * s2 / (a2 + 4.0 * s2))
    | "snr-plus-one"
    | "edm" -> Some(a2 + s2)
    | "p2" -> Some(a2 * s2 / (a2 + s2))
    | other -> failwith $"the weight {other} is held to nothing: give its numerator here"

let private determinant (prediction: Prediction) (path: GaussianPath) (t: float) : float =
    let e curve = Curve.eval curve t
    let a, s = e path.Alpha, e path.Sigma

    match prediction.Name with
    | "noise" -> a
    | "data" -> -s
    | "v" -> a * a + s * s
    | "score" -> -a / s
    | "velocity" -> a * e (Curve.derivative path.Sigma) - s * e (Curve.derivative path.Alpha)
    | other -> failwith $"the prediction {other} is held to nothing: give its determinant here"

let private closed weight prediction path t =
    numerator weight path t
    |> Option.map (fun n -> n / determinant prediction path t ** 2.0)
    |> Option.defaultValue 1.0

/// The value at an end: itself where the form above has one, the limit from within elsewhere, by Richardson's extrapolation of two values near it.
let private limit (f: float -> float) (t: float) : float =
    let there = f t

    if Double.IsFinite there && abs there < 1e9 then
        there
    else
        let inside h = if t > 0.5 then t - h else t + h
        2.0 * f (inside 1e-8) - f (inside 2e-8)

let combinations =
    [ for weight in Weight.all do
          for path in Paths.all do
              for prediction in Prediction.all do
                  (weight.Name, path.Name, prediction.Name) ]

let private named nameOf items name = items |> List.find (fun item -> nameOf item = name)

/// Draws both ends of a law's span and nothing else.
let private atEnds (law: Times) : Times =
    { law with
        Draw =
            fun path _ n ->
                let first, last = law.Span path
                Tensor.ofArray [ n ] [| for k in 0 .. n - 1 -> if k % 2 = 0 then first else last |] }

let private batch: Batch =
    { Data = Rng.normal Kind.Float64 [ 8; 2 ] (Rng.ofSeed 3L); Label = None; Source = None }

[<Tests>]
let tests =
    testList
        "Losses.Weight"
        [
          // On every path, on every prediction, with every law of times: the loss at both ends of what is drawn is finite and its weight the closed form's limit, or the
          // combination is refused, in a sentence with a remedy, and is infinite there indeed.
          testTheory "a weight has its limits at both ends, or is refused" combinations
          <| fun (weight: string, path: string, prediction: string) ->
              let weight = named (fun (w: Weight) -> w.Name) Weight.all weight
              let path = named (fun (p: GaussianPath) -> p.Name) Paths.all path
              let prediction = named (fun (p: Prediction) -> p.Name) Prediction.all prediction
              let struct (a, b) = prediction.Coefficients path

              for law in Catalogue.times.Parts |> List.map Part.standard do
                  let first, last = law.Span path

                  let regression =
                      Loss.regression path
                      |> Loss.predicting prediction
                      |> Loss.weighted weight
                      |> Loss.timesFrom (atEnds law)

                  let context =
                      { LossContext.ofNetwork (fun _ _ x -> x) with Uncertainty = Some(fun t -> Tensor.zerosLike t) }

                  try
                      let each =
                          Scope.run (fun () ->
                              Tensor.toFloats (Loss.ofRegression regression context (Rng.ofSeed 4L) batch))

                      Expect.isTrue (Array.forall Double.IsFinite each) $"{law.Name}: {List.ofArray each}"

                      for t in [ first; last ] do
                          let expected = limit (closed weight prediction path) t
                          let got = Curve.eval (weight.Of path prediction) t
                          // The limits are extrapolated from values a rounding error of 1e-16 over 1e-8 off.
                          Expect.within (1e-6 * (1e-3 + abs expected)) got expected $"{law.Name} at {t}"
                  with :? RefusedException as refused ->
                      Expect.isTrue refused.Refusal.Remedy.IsSome ""
                      Expect.stringContains refused.Message law.Name ""

                      let grows =
                          [ first; last ]
                          |> List.exists (fun t ->
                              let inside h = if t > 0.5 then t - h else t + h

                              [ closed weight prediction path; Curve.eval a; Curve.eval b ]
                              |> List.exists (fun f ->
                                  let near, nearer = abs (f (inside 1e-4)), abs (f (inside 1e-8))
                                  nearer > 10.0 * near))

                      Expect.isTrue grows $"{law.Name} is refused, and nothing is infinite there: {refused.Message}"

          // What was lost: on the noise, min-SNR is 1 where there is no signal, and EDM's weight has no limit.
          testCase "limits at pure noise are those of the formulas"
          <| fun () ->
              let at (weight: Weight) prediction path = Curve.eval (weight.Of path prediction) 1.0

              for path in [ Path.condOT; Path.trigonometric; Paths.linearGamma; Paths.cosine ] do
                  Expect.within 1e-10 (at (Weight.minSnr 5.0) Prediction.noise path) 1.0 path.Name
                  Expect.within 1e-10 (at (Weight.softMinSnr 4.0) Prediction.noise path) 1.0 path.Name
                  Expect.within 1e-10 (at Weight.snr Prediction.noise path) 1.0 path.Name
                  Expect.within 1e-10 (at (Weight.edm 1.0) Prediction.data path) 1.0 path.Name
                  Expect.within 1e-10 (at (Weight.minSnr 5.0) Prediction.data path) 0.0 path.Name
                  Expect.within 1e-10 (at Weight.p2 Prediction.noise path) 1.0 path.Name

                  let refused () =
                      Loss.simple path
                      |> Loss.weighted (Weight.edm 1.0)
                      |> Loss.timesFrom (Times.discrete 1000)
                      |> Loss.ofRegression
                      |> ignore

                  let error = raised<RefusedException> refused
                  for part in [ "edm"; "t = 1"; path.Name ] do
                      Expect.stringContains error.Message part ""

          // Whatever else is made of the same curves: couplings' slopes and preconditionings are refused where they are infinite.
          testCase "other losses refuse times at which they are infinite"
          <| fun () ->
              let discrete = Times.discrete 1000
              let refused (work: unit -> unit) = raised<RefusedException>(work) |> ignore
              // α̇ of √(1 − t), and γ̇ of s √(t (1 − t)).
              refused (fun () ->
                  Matching.on Paths.linearGamma |> Matching.timesFrom discrete |> Matching.loss |> ignore)
              refused (fun () -> Matching.schrodinger 0.5 |> Matching.timesFrom discrete |> Matching.loss |> ignore)
              refused (fun () ->
                  MapMatching.loss { MapMethods.lagrangianSelf Paths.linearGamma with Times = discrete } |> ignore)

              for part in Preconditioning.parts do
                  let make = Part.standard part
                  // −λ/4 and 1/α at α = 0.
                  refused (fun () -> Preconditioning.requireFinite Path.condOT discrete (make Path.condOT))

                  Preconditioning.requireFinite Path.condOT Times.uniform (make Path.condOT)
                  Preconditioning.requireFinite Path.vp discrete (make Path.vp)

          // A determinant that is 0 but for a rounding error, cos(π/2) = 6e-17, divides nothing.
          testCase "the noise does not determine the data where there is nothing of the data"
          <| fun () ->
              for path in [ Path.condOT; Path.trigonometric; Paths.cosine ] do
                  for t in [ Tensor.scalar Kind.Float64 1.0; Tensor.ofArray [ 2 ] [| 0.5; 1.0 |] ] do
                      raised<ArgumentException>(fun () ->
                          Prediction.conversion path Prediction.noise Prediction.data t |> ignore)
                      |> ignore ]
