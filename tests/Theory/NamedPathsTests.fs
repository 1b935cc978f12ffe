/// Every path and every prediction that has a name, against its equation written out once more.
module Fokker.Tests.Theory.NamedPathsTests

open System
open Expecto
open Fokker
open Fokker.Tests

/// √Π(1 − β) up to step k of a thousand.
let private alphaOf (beta: int -> float) (t: float) =
    let k = int (round (1000.0 * t))
    sqrt (Seq.fold (fun product i -> product * (1.0 - beta i)) 1.0 (seq { 1..k }))

let private preserving alpha = alpha, sqrt (1.0 - alpha * alpha)

/// (α, σ) at a time k/1000 by the equation that each named path is listed with; one without an equation here fails the test that looks it up.
let private closed (name: string) (t: float) : float * float =
    let between first last i = first + (last - first) * float (i - 1) / 999.0
    let vp = exp (-0.25 * t * t * 19.9 - 0.5 * t * 0.1)

    match name with
    | "condot" -> 1.0 - t, t
    | "ou" -> preserving (exp (-5.0 * t))
    | "vp" -> preserving vp
    | "sub-vp" -> vp, 1.0 - vp * vp
    | "trigonometric" -> cos (0.5 * Math.PI * t), sin (0.5 * Math.PI * t)
    | "ve" -> 1.0, 0.01 * 5000.0 ** t
    | "edm" ->
        let low, high = 0.002 ** (1.0 / 7.0), 80.0 ** (1.0 / 7.0)
        1.0, (low + t * (high - low)) ** 7.0
    | "cosine" ->
        let angle u = cos (0.5 * Math.PI * (u + 0.008) / 1.008)
        preserving (angle t / angle 0.0)
    | "sigmoid" ->
        let logistic x = 1.0 / (1.0 + exp -x)
        preserving (sqrt ((logistic 3.0 - logistic (-3.0 + 6.0 * t)) / (logistic 3.0 - logistic -3.0)))
    | "linear-gamma" -> sqrt (1.0 - t), sqrt t
    | "ddpm" -> preserving (alphaOf (between 1e-4 0.02) t)
    | "scaled-linear" -> preserving (alphaOf (fun i -> between (sqrt 0.00085) (sqrt 0.012) i ** 2.0) t)
    | "ddpm-cosine" ->
        let bar k = cos (0.5 * Math.PI * (float k / 1000.0 + 0.008) / 1.008) ** 2.0
        preserving (alphaOf (fun i -> min 0.999 (1.0 - bar i / bar (i - 1))) t)
    | "ddpm-sigmoid" -> preserving (alphaOf (fun i -> 1e-4 + 0.0199 / (1.0 + exp (-(between -6.0 6.0 i)))) t)
    | other -> failwith $"the path {other} is held to nothing: give its equation here"

let paths = Paths.parts |> List.map (fun part -> part.Name)

/// (A, B) of each named prediction at a time of a path with α and σ and their slopes.
let private coefficients (name: string) (alpha: float, sigma: float) (slopes: float * float) : float * float =
    match name with
    | "data" -> 1.0, 0.0
    | "noise" -> 0.0, 1.0
    | "velocity" -> slopes
    | "v" -> -sigma, alpha
    | "score" -> 0.0, -1.0 / sigma
    | other -> failwith $"the prediction {other} is held to nothing: give its coefficients here"

let predictions = Prediction.parts |> List.map (fun part -> part.Name)

[<Tests>]
let tests =
    testList
        "Theory.NamedPaths"
        [ testTheory "a path is what its equation says" paths
          <| fun (name: string) ->
              let path = Catalogue.paths.Find name

              for k in [ 1; 2; 20; 137; 500; 731; 999 ] do
                  let t = float k / 1000.0
                  let alpha, sigma = closed name t
                  let struct (alpha', sigma') = Path.alphaSigma path t
                  // 1 − α² loses digits of a small σ² in the equation written out.
                  Expect.within (1e-12 * (1.0 + alpha)) alpha' alpha $"α at {t}"
                  Expect.within (1e-11 * (1.0 + sigma)) sigma' sigma $"σ at {t}"
                  Expect.within 1e-8 (Curve.eval path.Lambda t) (log (alpha / sigma)) $"λ at {t}"

          testTheory "a prediction is what its equation says" predictions
          <| fun (name: string) ->
              let prediction = Catalogue.predictions.Find name
              let h = 1e-5

              for path in [ Path.condOT; Path.vp; Path.trigonometric; Paths.edm ] do
                  for t in [ 0.1; 0.45; 0.8 ] do
                      let at t =
                          let struct (alpha, sigma) = Path.alphaSigma path t
                          alpha, sigma

                      let slope part = (part (at (t + h)) - part (at (t - h))) / (2.0 * h)
                      let a, b = coefficients name (at t) (slope fst, slope snd)
                      let struct (a', b') = prediction.Coefficients path
                      // Central differences are off by h² times a third derivative, some 1e3 on EDM's path.
                      Expect.within (1e-6 * (1.0 + abs a)) (Curve.eval a' t) a ""
                      Expect.within (1e-6 * (1.0 + abs b)) (Curve.eval b' t) b "" ]
