/// What the first round of progressive distillation asks of a student, whose teacher is followed by a method of order 1 or 2.
module Fokker.Tests.Losses.ProgressiveTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private path = Path.condOT

let private law =
    Mixture.ofStds [| 0.4; 0.6 |] (Tensor.ofArray [ 2; 1 ] [| -1.0; 1.5 |]) (Tensor.ofArray [ 2; 1 ] [| 0.3; 0.5 |])

let private progressive (order: int) : Progressive =
    { Path = path
      Output = NetworkOutput.Prediction(Prediction.data, None, false)
      Times = Progressive.times path 4
      Last = 1
      Order = order
      Weight = Weight.truncatedSnr }

let private teacher (t: float) (x: Tensor) : Tensor = Mixture.denoiser path law (Tensor.scalar Kind.Float64 t) x

/// What a student of two steps says so that its DDIM arrives where DPM-Solver++(2S) does, in that paper's letters: h = λ_s − λ_t, r = (λ_m − λ_t)/h.
let private secondOrder (t: float) (m: float) (s: float) (x: Tensor) : Tensor =
    let alpha, sigma, lambda = (fun t -> 1.0 - t), id, (fun t -> Math.Log((1.0 - t) / t))
    let now = teacher t x

    let moved (from: float) (until: float) (d: Tensor) (x: Tensor) =
        if until = 0.0 then
            d
        else
            sigma until / sigma from * x - alpha until * Math.Exp(-(lambda until - lambda from)) * d
            + alpha until * d

    let middle = teacher m (moved t m now x)

    if s = 0.0 then
        middle
    else
        let r = (lambda m - lambda t) / (lambda s - lambda t)
        (1.0 - 0.5 / r) * now + 0.5 / r * middle

let private student: Condition -> Field =
    fun _ t x ->
        let times = Progressive.times path 4
        let isFirst = Tensor.reshape [ -1; 1 ] (Tensor.equalTo times[0] t)
        Tensor.where isFirst (secondOrder times[0] times[1] times[2] x) (secondOrder times[2] times[3] times[4] x)

let private lossOf (order: int) (round: int) : float =
    let context =
        { LossContext.ofNetwork student with
            Teacher = fun _ t x -> Mixture.denoiser path law t x
            Round = round }

    let batch = { Data = Rng.normal Kind.Float64 [ 200; 1 ] (Rng.ofSeed 3L); Label = None; Source = None }

    (Tensor.mean (Progressive.loss (progressive order) context (Rng.ofSeed 4L) batch)).ToFloat()

[<Tests>]
let tests =
    testList
        "Losses.Progressive"
        [ testCase "of order 2 the first round asks for DPM-Solver++(2S), and the others for two steps of DDIM"
          <| fun () ->
              Scope.run0 (fun () ->
                  Expect.isLessThan (lossOf 2 0) 1e-24 "the student is what is asked for"
                  Expect.isGreaterThan (lossOf 1 0) 1e-6 "and no student of DDIM's"
                  Expect.equal
                      (lossOf 2 1)
                      (lossOf 1 1)
                      "from the second round on a student is followed by its own steps"

                  Expect.throwsT<ArgumentException> (fun () -> lossOf 3 0 |> ignore) "an order that there is not") ]
