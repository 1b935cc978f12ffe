/// Exact flows from their parameters to a run: how they begin, train, are sampled and measured, and what they refuse.
module Fokker.Tests.Networks.ExactFlowTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private moons = Datasets.load "moons"

let private recipe (network: string) (dtype: string) : Recipe =
    { TrainingRequest.standard with
        Loss = Some "mle"
        Network = Some network
        Width = Some 16
        Steps = Some 150L
        Batch = Some 128
        Ema = Some 0.9
        Dtype = Some dtype }
    |> TrainingRequest.recipe moons

let private trained = lazy (Runs.fit (recipe "spline:layers=3" "float32") moons)

let private refusal (work: unit -> 'T) : Refusal =
    match Refusing.answer work with
    | Ok _ -> failtest "it was not refused"
    | Error refusal -> refusal

[<Tests>]
let tests =
    testList
        "Networks.ExactFlow"
        [ testCase "ActNorm begins at mean 0 and variance 1 of the first samples, layer after layer"
          <| fun () ->
              for kind in [ ExactFlowKind.Spline(4, 3.0); ExactFlowKind.RealNvp; ExactFlowKind.Maf ] do
                  Scope.run0 (fun () ->
                      let network =
                          ExactFlow.network
                              { Kind = kind; Dimension = 3; Layers = 1; Width = 8; Depth = 1; Classes = None }

                      let rng = Rng.ofSeed 1L
                      let x = 3.0 * Rng.normal Kind.Float64 [ 500; 3 ] rng + 7.0
                      let parameters = network.Fitted.Value (Network.init Kind.Float64 rng network) None x
                      let z = Tensor.narrow 1 0 3 (network.Apply parameters None (Tensor.scalar Kind.Float64 0.0) x)

                      for value in Tensor.toFloats (Tensor.meanOver [ 0 ] z) do
                          Expect.within 1e-9 value 0.0 network.Name

                      // A fresh layer is the identity behind its ActNorm; of a spline's only inside its interval.
                      for value in Tensor.toFloats (Tensor.varianceOver [ 0 ] 0 z) do
                          Expect.within 1e-9 value 1.0 network.Name)

          testTheory
              "a flow trains, and one pass is its density, its samples and its latents"
              [ "spline:layers=3"; "realnvp:layers=3"; "maf:layers=3" ]
          <| fun (network: string) ->
              Scope.run0 (fun () ->
                  let recipe = recipe network "float64"
                  let model = Runs.fit recipe moons
                  let held = HeldOut.density model moons 500 (Rng.ofSeed 2L) (fun _ _ -> ())
                  let law = Plane.all |> List.find (fun law -> law.Name = "moons")
                  let gaussian = law.Variance |> Array.sumBy (fun v -> 0.5 * log (2.0 * Math.PI * Math.E * v))
                  Expect.isLessThan held.Value.Nats.Mean gaussian "better than a Gaussian of the same variances"
                  Expect.isGreaterThan held.Value.Excess.Value.Mean -0.05 ""

                  let samples = Samples.ofSeed 3L 200 model
                  let struct (flow, _) = Validation.flow "an encoding" model GenerationRequest.standard
                  let inside = GenerativeModel.inside model samples
                  let latent = FlowPlan.carry flow true None inside
                  let back = FlowPlan.carry flow false None latent.X
                  Expect.allEqual latent.Evaluations 1 ""
                  let error = (Tensor.max (abs (back.X - inside))).ToFloat()
                  Expect.isLessThan error 1e-8 "decoded latents are the samples")

          testCase "a run in float32 has finite densities far out, and repeats to the bit"
          <| fun () ->
              Scope.run0 (fun () ->
                  let far = Tensor.ofArray [ 3; 2 ] [| 0.0; 0.0; 30.0; -40.0; 1e4; 1e4 |]
                  let densities = Densities.ofSamples trained.Value far
                  Expect.all densities.Nats Double.IsFinite ""
                  Expect.allEqual densities.Evaluations 1 ""
                  let again = Runs.fit (recipe "spline:layers=3" "float32") moons
                  let of' model = Tensor.toFloats (Samples.ofSeed 5L 50 model)
                  Expect.equal (of' again) (of' trained.Value) "")

          testCase "noise put on the data is taken off by the score in the last step"
          <| fun () ->
              // One Gaussian: Tweedie's formula is exact, x + s² ∇log p(x) with ∇log p = −(x − b)/v.
              let network =
                  ExactFlow.network
                      { Kind = ExactFlowKind.RealNvp; Dimension = 2; Layers = 1; Width = 4; Depth = 1; Classes = None }

              Scope.run0 (fun () ->
                  let parameters = Network.init Kind.Float64 (Rng.ofSeed 0L) network
                  let scale = network.Specs |> Array.findIndex (fun spec -> spec.Name.EndsWith "norm.scale")
                  parameters[scale] <- Tensor.full Kind.Float64 [ 2 ] (log 0.5)

                  match NetworkOutput.dynamics Path.condOT (NetworkOutput.OtherEnd 0.3) (network.Apply parameters) with
                  | Mapping map ->
                      let z = Rng.normal Kind.Float64 [ 5; 2 ] (Rng.ofSeed 1L)
                      let state = Integrator.start 1.0 z
                      let state = FlowMap.step map None (Noise.fresh (Rng.ofSeed 2L)) 0.0 state
                      let error = (Tensor.max (abs (state.X - 2.0 * z * (1.0 - 0.09 / 4.0)))).ToFloat()
                      Expect.isLessThan error 1e-10 ""
                  | _ -> failtest "an exact flow is a map")

          testCase "what an exact flow does not have is refused with the reason"
          <| fun () ->
              let job loss network =
                  { TrainingRequest.standard with Loss = Some loss; Network = Some network }
                  |> TrainingRequest.recipe moons
                  |> fun recipe -> Runs.job recipe moons

              Expect.equal (refusal (fun () -> job "mle" "mlp")).Setting Setting.Network ""
              Expect.equal (refusal (fun () -> job "cfm" "spline")).Setting Setting.Network ""
              let model = trained.Value
              let standard = GenerationRequest.standard

              let sampling request =
                  refusal (fun () -> Validation.sampling model { SamplingRequest.standard with Generation = request })

              Expect.equal (sampling { standard with Solver = Some Samplers.eulerMaruyama }).Setting Setting.Solver ""
              Expect.equal (sampling { standard with Steps = Some 3 }).Setting Setting.Steps ""

              let density change = refusal (fun () -> Validation.densities model (change DensityRequest.standard))
              Expect.equal (density (fun r -> { r with Time = Some 0.5 })).Setting Setting.Time ""
              Expect.equal (density (fun r -> { r with Trace = Some Trace.exact })).Setting Setting.Trace "" ]
