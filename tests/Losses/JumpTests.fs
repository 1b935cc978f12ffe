/// Jumps from their rates to a run: what they learn, how they are sampled, what is known of their density, and what they refuse.
module Fokker.Tests.Losses.JumpTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private rng = Rng.ofSeed 11L

/// Rates or logits that do not depend on x, as a network says them.
let private constant (values: Tensor) (d: int) : Field =
    fun _ x ->
        let k = values.Shape[0]

        Tensor.expand [ x.Shape[0]; k; d ] (Tensor.reshape [ 1; k; 1 ] values)
        |> Tensor.reshape [ x.Shape[0]; k * d ]

/// The states of a process at so many equal steps, each with so many corrections.
let private runWith (corrections: int) (jumps: JumpProcess) (steps: int) (x: Tensor) : Tensor =
    let last = JumpProcess.last jumps
    let times = [ for k in 0..steps -> 1.0 + (last - 1.0) * float k / float steps ]
    let step = JumpProcess.stepWith corrections jumps None (Noise.fresh rng)

    // Each step's rates of all cells go with it.
    times.Tail
    |> List.fold (fun state until -> Scope.run (fun () -> step until state)) (Integrator.start 1.0 x)
    |> _.X

let private run = runWith 0

let private tokens source : Tokens = { Count = 5; Bound = 1.0; Source = source }

let private refusal (work: unit -> 'T) : Refusal =
    match Refusing.answer work with
    | Ok _ -> failtest "it was not refused"
    | Error refusal -> refusal

[<Tests>]
let tests =
    testList
        "Losses.Jump"
        [ testCase "tokens are nearest values, and a mask is told from all of them"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Tensor.ofArray [ 1; 4 ] [| -3.0; -0.3; 0.2; 0.99 |]
                  let masked = tokens TokenSource.Mask
                  let own = Tokens.ofData masked x
                  Expect.equal (Tensor.toArray<int64> own) [| 0L; 1L; 2L; 4L |] ""
                  let states = Tensor.cat 1 [ own; Tensor.full Kind.Int64 [ 1; 1 ] 5.0 ]
                  let values = Tokens.values masked Kind.Float64 states
                  Expect.equal (Tensor.toFloats values) [| -1.0; -0.5; 0.0; 1.0; 2.0 |] ""
                  Expect.isTrue (Tensor.same (Tokens.ofValues masked values) states) "")

          // The law of independent coordinates is known to a network that looks at nothing.
          testEach
              "a process of exact logits ends at the law of the tokens"
              string
              [ TokenSource.Mask, 0; TokenSource.Uniform, 0; TokenSource.Mask, 2; TokenSource.Uniform, 2 ]
          <| fun (source, corrections) ->
              Scope.run0 (fun () ->
                  let law = [| 0.1; 0.05; 0.5; 0.3; 0.05 |]
                  let logits = log (Tensor.ofArray [ 5 ] law)
                  let tokens = tokens source

                  // From uniform tokens p(x₀ | x_t) looks at the coordinate's own token: Bayes.
                  let network: Field =
                      match source with
                      | TokenSource.Mask -> constant logits 2
                      | TokenSource.Uniform ->
                          fun t x ->
                              let own = Tensor.unsqueeze 1 (Tokens.ofValues tokens x)
                              let all = Tensor.reshape [ 1; 5; 1 ] (Tensor.range Kind.Int64 0 5)
                              let same = (Tensor.equal own all).To Dtype.Float64
                              let time = Tensor.clamp 1e-9 1.0 t
                              let posterior =
                                  Tensor.reshape [ 1; 5; 1 ] logits + log ((1.0 - time) * same + time * 0.2)
                              Tensor.reshape [ x.Shape[0]; 10 ] posterior

                  let jumps: JumpProcess =
                      { Path = Path.condOT; Space = JumpSpace.Tokens tokens; Network = fun _ -> network }

                  let n = 20_000
                  let steps = if corrections > 0 then 12 else 40
                  let start = Rng.normal Kind.Float64 [ n; 2 ] rng
                  let ends = Tokens.ofValues tokens (runWith corrections jumps steps start)

                  for k in 0..4 do
                      let share = (Tensor.mean ((Tensor.equalTo (float k) ends).To Dtype.Float64)).ToFloat()
                      // Five deviations of a share of 40,000 draws.
                      Expect.within 0.0125 share law[k] $"token {k}")

          testCase "rates of cells add up to the rate of leaving, and their divergence is least at them"
          <| fun () ->
              Scope.run0 (fun () ->
                  let cells: Cells = { Count = 64; Bound = 4.0; Flow = 0.0 }
                  let t = Tensor.full Kind.Float64 [ 6 ] 0.4
                  let x0, x =
                      Rng.normal Kind.Float64 [ 6; 2 ] rng, Rng.normal Kind.Float64 [ 6; 2 ] (Rng.named "x" rng)
                  let rates = GeneratorMatching.rates cells Path.condOT t x0 x
                  let leaving = GeneratorMatching.intensity Path.condOT (Tensor.reshape [ 6; 1 ] t) x0 x
                  let error = (Tensor.max (abs (Tensor.sumOver [ 1 ] rates - leaving))).ToFloat()
                  Expect.isLessThan error 1e-10 ""
                  let at (gain: float) = (Tensor.sum (GeneratorMatching.bregman (gain * rates + 1e-9) rates)).ToFloat()
                  Expect.isLessThan (at 1.0) (at 0.8) ""
                  Expect.isLessThan (at 1.0) (at 1.2) "")

          // One Gaussian on the line, whose x₀ given x_t is Gaussian: the mean rates by a sum over it, learned by no network.
          testCase "jumps of exact rates, alone and beside the flow, end at the law"
          <| fun () ->
              Scope.run0 (fun () ->
                  let path, mean, deviation = Path.condOT, 0.5, 0.6

                  let law =
                      Mixture.ofStds
                          [| 1.0 |]
                          (Tensor.ofArray [ 1; 1 ] [| mean |])
                          (Tensor.ofArray [ 1; 1 ] [| deviation |])

                  let z = Tensor.reshape [ 1; 25 ] (Tensor.linspace Kind.Float64 -4.0 4.0 25)
                  let weights = Nn.softmax 1 (-0.5 * Tensor.square z)

                  let network (cells: Cells) : Field =
                      fun t x ->
                          let n = x.Shape[0]
                          let struct (alpha, sigma) = Path.alphaSigma path (t.ToFloat())
                          let spread = 1.0 / (1.0 / (deviation * deviation) + alpha * alpha / (sigma * sigma))
                          let middle = spread * (mean / (deviation * deviation) + alpha / (sigma * sigma) * x)
                          let each =
                              GeneratorMatching.rates
                                  cells
                                  path
                                  (Tensor.expand [ n ] t)
                                  (middle + sqrt spread * z)
                                  (Tensor.expand [ n; 25 ] x)
                          let rates = Tensor.sumOver [ 2 ] (each * Tensor.unsqueeze 1 weights) * t
                          // What softplus makes them of.
                          let raw = log (Tensor.expm1 (Tensor.clamp 1e-12 50.0 rates))

                          if cells.Flow > 0.0 then Tensor.cat 1 [ raw; Mixture.velocity path law t x ] else raw

                  for flow in [ 0.0; 0.5 ] do
                      let cells: Cells = { Count = 32; Bound = 4.0; Flow = flow }

                      let jumps: JumpProcess =
                          { Path = path; Space = JumpSpace.Line cells; Network = fun _ -> network cells }

                      let ends = run jumps 40 (Rng.normal Kind.Float64 [ 1000; 1 ] rng)
                      let struct (alpha, sigma) = Path.alphaSigma path (JumpProcess.last jumps)
                      // Five standard errors of each, and the bias of 40 steps. Within its cell a sample is anywhere.
                      let width = GeneratorMatching.width cells
                      let spread = sqrt ((alpha * deviation) ** 2.0 + sigma * sigma + width * width / 12.0)
                      Expect.within 0.1 ((Tensor.mean ends).ToFloat()) (alpha * mean) $"flow {flow}"
                      let said = sqrt ((Tensor.varianceOver [ 0 ] 1 ends).ToFloat())
                      Expect.within 0.07 said spread $"flow {flow}")

          testCase "a run of each is drawn, bounded where it is tokens, and refuses what it has not"
          <| fun () ->
              let moons = Datasets.load "moons"

              for loss in
                  [ "dfm-kl:tokens=16,bound=3"; "dfm-uniform:tokens=16,bound=3"; "jump:cells=16,bound=3,flow=0.5" ] do
                  Scope.run0 (fun () ->
                      let recipe =
                          { TrainingRequest.standard with
                              Loss = Some loss
                              Width = Some 16
                              Depth = Some 1
                              Steps = Some 20L
                              Batch = Some 64 }
                          |> TrainingRequest.recipe moons

                      let model = Runs.fit recipe moons
                      let samples = Samples.ofSeed 1L 50 model
                      Expect.isTrue ((Tensor.all (Tensor.isFinite samples)).ToBool()) loss
                      let standard = GenerationRequest.standard

                      let sampling =
                          refusal (fun () ->
                              Validation.sampling
                                  model
                                  { SamplingRequest.standard with
                                      Generation = { standard with Solver = Some Samplers.heun } })

                      Expect.equal sampling.Setting Setting.Solver loss

                      let encoding = refusal (fun () -> Validation.flow "an encoding" model standard)
                      Expect.equal encoding.Setting Setting.Model loss

                      match Refusing.answer (fun () -> Validation.densities model DensityRequest.standard) with
                      | Ok task ->
                          Expect.isTrue task.Way.IsByBound loss
                          let found = Densities.find model task.Way 0.0 100 rng (fun _ _ -> ()) None (samples, None)
                          Expect.all found.Nats Double.IsFinite loss
                      | Error refusal ->
                          Expect.equal refusal.Setting Setting.Model loss
                          Expect.stringStarts loss "jump" "") ]
