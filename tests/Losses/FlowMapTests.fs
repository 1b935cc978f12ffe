/// Flow maps against the exact one of a Gaussian: the losses know it, samplers follow it, networks take its two times.
module Fokker.Tests.FlowMapTests

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open Fokker
open Fokker.Tests
open Fokker.Laws
open Fokker.Tests.Theory.Expect

let private m, s = 0.7, 0.6
let private law () = Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| m |]) (Tensor.ofArray [ 1; 1 ] [| s |])

/// The flow of N(m, s²), from one time to another.
let private flow (path: GaussianPath) = ConsistencyLaws.gaussianFlow path m (s * s)

/// Its mean velocity between two times; the velocity itself where they are one.
let private exact (path: GaussianPath) : Field =
    fun times x ->
        let column k = Tensor.flatten (Tensor.narrow 1 k 1 times)
        let t, until = column 0, column 1
        let apart = Tensor.perSample x (until - t)
        let close = Tensor.lessThan 1e-12 (abs apart)
        let mean = (flow path t until x - x) / Tensor.where close (Tensor.onesLike apart) apart
        Tensor.where (Tensor.expand x.Shape close) (Mixture.velocity path (law ()) t x) mean

let private batch n : Batch = { Data = Mixture.sample n (Rng.ofSeed 1L) (law ()); Label = None; Source = None }

let private worst (mapping: MapMatching) (u: Field) =
    let each = MapMatching.loss mapping (LossContext.ofNetwork (fun _ -> u)) (Rng.ofSeed 2L) (batch 500)
    Expect.equal each.Shape [| 500 |] ""
    (Tensor.max each).ToFloat()

let private paths = [ Path.condOT; Path.trigonometric; Path.vp; Path.ou ]

let private networks =
    [ "mlp", Networks.mlp { Mlp.standard 2 with Width = 8; Times = 2 }, [ 2 ]
      "mlp with plain times",
      Networks.mlp { Mlp.standard 2 with Width = 8; Times = 2; Time = TimeFeatures.Plain },
      [ 2 ]
      "unet", Networks.unet { Unet.standard 1 with Width = 8; Times = 2 }, [ 1; 8; 8 ] ]

/// Not only at its start, where it is zero.
let private generic (network: Network) =
    Network.init Kind.Float64 (Rng.ofSeed 6L) network
    |> Array.mapi (fun k p -> p + 0.2 * Rng.normalLike p (Rng.at (int64 k) (Rng.ofSeed 7L)))

[<Tests>]
let tests =
    testList
        "FlowMap"
        [
          // Where nothing is a sample's own, the loss of every sample is 0 at the exact map, and at no other.
          testCase "the exact map has no loss"
          <| fun () ->
              Scope.run0 (fun () ->
                  for path in paths do
                      let teacher = Mixture.model path Prediction.velocity (law ())

                      for mapping in
                          [ MapMethods.lagrangian teacher
                            MapMethods.eulerian teacher
                            { MapMethods.lagrangianSelf path with Instants = 0.0 }
                            { MapMethods.progressiveSelf path with Instants = 0.0 } ] do
                          // A squared rounding error; on OU the velocity is some 30 at the interior's end.
                          holds
                              (worst mapping (exact path) < 1e-18)
                              $"{mapping.Name} on {path.Name}: {worst mapping (exact path)}"

                      for mapping in [ MapMethods.lagrangian teacher; MapMethods.eulerian teacher ] do
                          let off: Field = fun times x -> 1.05 * exact path times x
                          holds (worst mapping off > 1e-4) $"{mapping.Name} on {path.Name} takes another map")

          // A law of discrete times draws the same one twice: there every identity is about u((t, t), x), which is v.
          testCase "two times may be one"
          <| fun () ->
              Scope.run0 (fun () ->
                  let u = exact Path.condOT
                  let x = Rng.normal Kind.Float64 [ 4; 1 ] (Rng.ofSeed 10L)
                  let t = Tensor.full Kind.Float64 [ 4 ] 0.5
                  let struct (said, wanted) = MapMatching.sides Identity.Semigroup (FlowMap.velocityOf u) u u t t t x
                  holds ((Tensor.max (abs (said - wanted))).ToFloat() = 0.0) "semigroup"

                  for make in [ MapMethods.progressiveSelf; MapMethods.lagrangianSelf; MapMethods.meanFlow ] do
                      let mapping = { make Path.condOT with Times = Times.discrete 3 }
                      let still: Field = fun _ x -> Tensor.zerosLike x
                      holds (Double.IsFinite(worst mapping still)) mapping.Name)

          // A map that stands still obeys every identity without a teacher: it is the instants that tell it how to move.
          testCase "without instants a map may stand still"
          <| fun () ->
              Scope.run0 (fun () ->
                  let still: Field = fun _ x -> Tensor.zerosLike x

                  for make in [ MapMethods.lagrangianSelf; MapMethods.progressiveSelf ] do
                      let mapping = make Path.condOT
                      holds (worst { mapping with Instants = 0.0 } still = 0.0) mapping.Name
                      holds (worst mapping still > 0.1) $"{mapping.Name} with instants")

          // MeanFlow's targets are a sample's own; that its loss does not fall in any direction from the exact map is true in the mean only.
          testCase "the mean loss of MeanFlow has no slope at the exact map"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path = Path.condOT
                  let mapping = MapMethods.meanFlow path
                  let data = batch 40_000

                  let slopes (gain: float) =
                      let size = 1e-4

                      let along c : Field =
                          fun times x ->
                              let t = Tensor.narrow 1 0 1 times
                              gain * exact path times x + c * (sin x + t)

                      // The network alone moves; what it chases stands at the same map.
                      let each c =
                          let context = { LossContext.ofNetwork (fun _ -> along 0.0) with Network = fun _ -> along c }
                          MapMatching.loss mapping context (Rng.ofSeed 3L) data

                      Estimate.ofTensor ((each size - each -size) / (2.0 * size))

                  let here, beside = slopes 1.0, slopes 1.3
                  holds (abs here.Mean < 4.0 * here.StandardError) $"at the map: {here}"
                  holds (abs beside.Mean > 8.0 * beside.StandardError) $"beside it: {beside}")

          // In any number of jumps, over any grid, the exact map arrives where the flow does.
          testCase "jumps of the exact map are the flow"
          <| fun () ->
              Prop.forAll (Arb.fromGen (Gen.zip (Gen.choose (1, 12)) (Gen.elements paths))) (fun (steps, path) ->
                  Scope.run0 (fun () ->
                      let jump =
                          (MapMatching.objective (MapMethods.progressiveSelf path)).Dynamics(fun _ -> exact path)
                      let plan = { Generation.plan Samplers.heun steps jump with Kind = Kind.Float64 }
                      let x = Rng.normal Kind.Float64 [ 6; 1 ] (Rng.ofSeed 4L)
                      let at (t: float) = Tensor.scalar Kind.Float64 t

                      match Generation.states plan path jump None (Noise.fresh (Rng.ofSeed 5L)) x |> Seq.last with
                      | Error failure -> failwith $"{failure}"
                      | Ok state ->
                          let truth = flow path (at plan.Span.Noisy) (at plan.Span.Clean) x
                          holds (state.Evaluations = steps) $"{state.Evaluations} evaluations for {steps} jumps"
                          let error = (Tensor.max (abs (state.X - truth))).ToFloat()
                          holds (error < 1e-12) $"{path.Name}, {steps} jumps: {error}"))
              |> Check.QuickThrowOnFailure

          // On [0, 1] where the velocity is finite, inside where it is not.
          testCase "a map reaches as far as the velocity is finite"
          <| fun () ->
              let reach path =
                  match (MapMatching.objective (MapMethods.meanFlow path)).Dynamics(fun _ _ x -> x) with
                  | Mapping { Domain = Between(noisy, clean) } -> noisy, clean
                  | _ -> failwith "no flow map"

              holds (reach Path.condOT = (1.0, 0.0)) "condot"
              let noisy, clean = reach Path.ou
              holds (noisy = 1.0 && clean = fst Path.ou.Interior) $"ou: {noisy}, {clean}"

          testCase "a network of two times hears both"
          <| fun () ->
              Scope.run0 (fun () ->
                  for name, network, shape in networks do
                      let u = network.Apply (generic network) None
                      let x = Rng.normal Kind.Float64 (3 :: shape) (Rng.ofSeed 8L)
                      let at (t: float) (s: float) =
                          FlowMap.times (Tensor.scalar Kind.Float64 t) (Tensor.scalar Kind.Float64 s)
                      let difference a b = (Tensor.max (abs (a - b))).ToFloat()
                      let one = u (at 0.8 0.2) x
                      let each = FlowMap.times (Tensor.full Kind.Float64 [ 3 ] 0.8) (Tensor.scalar Kind.Float64 0.2)
                      holds (each.Shape = [| 3; 2 |]) (each.Describe())
                      holds (difference one (u each x) < 1e-12) $"{name}: a time for each"
                      holds (difference one (u (at 0.7 0.2) x) > 1e-6) $"{name}: where it begins"
                      holds (difference one (u (at 0.8 0.3) x) > 1e-6) $"{name}: where it ends"
                      holds (difference one (u (at 0.2 0.8) x) > 1e-6) $"{name}: which is which"

                      for times in
                          [ Tensor.scalar Kind.Float64 0.5
                            Tensor.full Kind.Float64 [ 3 ] 0.5
                            Tensor.zeros Kind.Float64 [ 2; 2 ] ] do
                          raises<ArgumentException, _>(fun () -> u times x) |> names [ "2 times"; "[3; 2]" ])

          // X(t, t, x) = x, whatever the network says.
          testCase "a jump to where one is goes nowhere"
          <| fun () ->
              Scope.run0 (fun () ->
                  for _, network, shape in networks do
                      let u = network.Apply (generic network) None
                      let x = Rng.normal Kind.Float64 (3 :: shape) (Rng.ofSeed 9L)
                      let t = Tensor.scalar Kind.Float64 0.4
                      holds ((Tensor.max (abs (FlowMap.jump u t t x - x))).ToFloat() = 0.0) "x"
                      let step = FlowMap.jump u t (Tensor.scalar Kind.Float64 0.4001) x - x
                      let along = FlowMap.velocityOf u t x * 1e-4
                      // Of the second order in the step.
                      holds
                          ((Tensor.max (abs (step - along))).ToFloat() < 1e-2 * (Tensor.max (abs along)).ToFloat())
                          "v") ]
