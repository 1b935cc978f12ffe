/// A training that begins at another network's parameters.
module Fokker.Tests.WarmStartTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Theory.Expect

/// Not only at its start, where it is zero.
let private generic (network: Network) =
    Network.init Kind.Float64 (Rng.ofSeed 6L) network
    |> Array.mapi (fun k p -> p + 0.2 * Rng.normalLike p (Rng.at (int64 k) (Rng.ofSeed 7L)))

let private trained (network: Network) : TrainedNetwork =
    Fokker.Tests.Training.Support.trainedOf network (generic network) 1L
let private fresh (network: Network) = Network.init Kind.Float64 (Rng.ofSeed 9L) network
let private at (t: float) = Tensor.scalar Kind.Float64 t

let private pairs =
    let mlp = { Mlp.standard 2 with Width = 8 }
    let unet = { Unet.standard 1 with Width = 8 }
    let fading = { mlp with Input = Some { Count = 6; Scale = 1.0; Fade = 1.0 } }

    [ "mlp", Networks.mlp mlp, Networks.mlp { mlp with Times = 2 }, [ 2 ]
      "mlp with features that fade", Networks.mlp fading, Networks.mlp { fading with Times = 2 }, [ 2 ]
      "residual-mlp", ResidualMlp.network mlp, ResidualMlp.network { mlp with Times = 2 }, [ 2 ]
      "unet", Networks.unet unet, Networks.unet { unet with Times = 2 }, [ 1; 8; 8 ] ]

[<Tests>]
let tests =
    testList
        "Training.WarmStart"
        [ testCase "a second time is not heard until it is trained"
          <| fun () ->
              Scope.run0 (fun () ->
                  for name, one, two, shape in pairs do
                      let from = trained one
                      let start = WarmStart.fit from two (fresh two)
                      holds (start.Fresh = [] && start.Left = []) $"{name}: {WarmStart.text name start}"
                      let x = Rng.normal Kind.Float64 (3 :: shape) (Rng.ofSeed 8L)
                      let wanted = one.Apply from.Parameters None (at 0.6) x

                      for until in [ 0.0; 0.3; 0.6 ] do
                          let said = two.Apply start.Parameters None (FlowMap.times (at 0.6) (at until)) x
                          // The same sums, in another order.
                          holds ((Tensor.max (abs (said - wanted))).ToFloat() < 1e-12) $"{name} until {until}")

          testCase "a map that begins at a velocity is at first that velocity, and one of its jumps is an Euler step"
          <| fun () ->
              Scope.run0 (fun () ->
                  let plane = { Mlp.standard 2 with Width = 8; Input = Some { Count = 6; Scale = 1.0; Fade = 1.0 } }
                  let network = Networks.mlp plane
                  let velocity: TrainedNetwork =
                      { trained network with Output = NetworkOutput.Prediction(Prediction.velocity, None, false) }
                  let two = Networks.mlp { plane with Times = 2 }
                  let start = WarmStart.fit velocity two (fresh two)

                  let map: TrainedNetwork =
                      { velocity with
                          Network = two
                          Parameters = start.Parameters
                          Output = NetworkOutput.MeanVelocity(1.0, 0.0, false) }

                  let x = Rng.normal Kind.Float64 [ 5; 2 ] (Rng.ofSeed 8L)

                  let dynamics (trained: TrainedNetwork) = (GenerativeModel.ofTrained "it" trained).Dynamics

                  let follow (trained: TrainedNetwork) : Field =
                      match Dynamics.following (dynamics trained) with
                      | Denoising model -> Model.velocity model None
                      | _ -> failwith "no velocity"

                  let jump (t: float) (s: float) =
                      match dynamics map with
                      | Mapping map -> FlowMap.jump (map.Map None) (at t) (at s) x
                      | _ -> failwith "no map"

                  for t in [ 0.02; 0.3; 1.0 ] do
                      let v = follow velocity (at t) x
                      let apart (a: Tensor) (b: Tensor) = (Tensor.max (abs (a - b))).ToFloat()
                      holds (apart (follow map (at t) x) v < 1e-12) $"the diagonal at {t}"

                      for s in [ 0.0; 0.01; 0.5 ] do
                          holds (apart (jump t s) (x + (s - t) * v) < 1e-12) $"a jump from {t} to {s}")

          testCase "a map of an earlier version, whose features fade with its last time, begins no map of this one"
          <| fun () ->
              Scope.run0 (fun () ->
                  let map =
                      { Mlp.standard 2 with Width = 8; Times = 2; Input = Some { Count = 6; Scale = 1.0; Fade = 1.0 } }

                  let earlier, today = Networks.mlp { map with Fading = Fading.Last }, Networks.mlp map

                  raises<FormatException, _>(fun () -> WarmStart.fit (trained earlier) today (fresh today))
                  |> names [ "fade"; "earlier version" ]

                  let start = WarmStart.fit (trained today) today (fresh today)
                  holds (start.Fresh = [] && start.Left = []) "one of this version does")

          testCase "classes enter with zero weight, and a second output with zero"
          <| fun () ->
              Scope.run0 (fun () ->
                  let plain = { Mlp.standard 2 with Width = 8 }
                  let one, more = Networks.mlp plain, Networks.mlp { plain with Classes = Some 3; Outputs = 2 }
                  let from = trained one
                  let start = WarmStart.fit from more (fresh more)
                  let x = Rng.normal Kind.Float64 [ 3; 2 ] (Rng.ofSeed 8L)
                  let wanted = one.Apply from.Parameters None (at 0.6) x
                  let said = more.Apply start.Parameters (Some(Tensor.ofArray [ 3 ] [| 0L; 2L; -1L |])) (at 0.6) x
                  holds ((Tensor.max (abs (Tensor.narrow 1 0 2 said - wanted))).ToFloat() < 1e-12) "what it said"
                  holds ((Tensor.max (abs (Tensor.narrow 1 2 2 said))).ToFloat() = 0.0) "what is new")

          testCase "what does not fit is named, and a network of another kind refused"
          <| fun () ->
              Scope.run0 (fun () ->
                  let plain = { Mlp.standard 2 with Width = 8 }
                  let from = trained (Networks.mlp { plain with Classes = Some 3 })
                  let deeper = Networks.mlp { plain with Depth = 4 }
                  let start = WarmStart.fit from deeper (fresh deeper)
                  holds (start.Left = [ "label.weight" ]) (WarmStart.text "it" start)
                  holds (start.Fresh = [ "hidden4.weight"; "hidden4.bias" ]) (WarmStart.text "it" start)
                  let wider = Networks.mlp { plain with Width = 16 }
                  raises<FormatException, _>(fun () -> WarmStart.fit from wider (fresh wider)) |> names [ "a tenth" ]
                  let unet = Networks.unet { Unet.standard 1 with Width = 8 }
                  raises<FormatException, _>(fun () -> WarmStart.fit from unet (fresh unet)) |> ignore) ]
