/// Energies without time: they are sampled by chains, normalized, minimized, trained with chains that are part of the state, and refused where they know nothing.
module Fokker.Tests.Runs.EnergyTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

/// g(x) = ½ (c − 1) ‖x − m‖² and more, so that e^{−E}/Z = N(μ, I/c): E = ½ ‖x‖² + ½ (c − 1) ‖x‖² − a·x with μ = a/c.
let private c, a = 2.5, 0.8

let private gaussian: Energy =
    { Potential = fun _ x -> 0.5 * (c - 1.0) * Tensor.sumRows (Tensor.square x) - a * Tensor.sumRows x
      IsLaw = true }

/// log Z = ½ d log(2π/c) + ½ d a²/c, in two dimensions.
let private logZ = Math.Log(2.0 * Math.PI / c) + a * a / c

let private model (energy: Energy) : GenerativeModel =
    { GenerativeModel.ofField "energy" [ 2 ] Path.condOT Prediction.velocity Kind.Float64 (fun _ x -> x) with
        Dynamics = Landscape energy }

let private sampled (sampler: Sampler) (steps: int) =
    let model = model gaussian
    let drawing = { Samples.standardFor model with Sampler = sampler; Steps = steps }
    Samples.draw model drawing (Rng.ofSeed 3L) 4000 (fun _ _ -> ())

let private small loss steps : Recipe =
    { (Recipe.standardFor (Datasets.load "moons") |> Recipe.withLoss loss) with
        Network = PartName.plain "mlp"
        Width = 16
        Depth = 2
        Batch = 32
        Steps = steps }

let private train (folder: string) (recipe: Recipe) (stop: int64 option) =
    let job = Runs.job recipe (Datasets.load "moons")
    use claim = Run.claim folder

    if not (File.Exists(Run.runFile folder)) then
        Run.create claim (Recipe.settings recipe)

    let plan = { Job.plan job with Save = Cadence.Steps 10L }
    let mutable made = 0L

    let result = Run.train claim plan (fun info _ -> made <- info.Step) (fun () -> stop = Some made)

    Scope.free result.State

let private refusal (work: unit -> 'T) : string = raised<RefusedException>(work >> ignore).Refusal.Expected |> string

[<Tests>]
let tests =
    testList
        "Runs.Energy"
        [
          // Of 8,000 numbers the mean is off by 0.007 and the variance by 0.006 (one standard error).
          testEach
              "chains have the law of a Gaussian energy"
              (fun (sampler: Sampler, _) -> sampler.Name)
              [ EnergySamplers.malaWith 0.15 1 0.5, 120; EnergySamplers.hamiltonianWith 0.4 3 1 0.5, 40 ]
          <| fun (sampler, steps) ->
              Scope.run0 (fun () ->
                  let x = sampled sampler steps
                  let mean = (Tensor.mean x).ToFloat()
                  Expect.within 0.03 mean (a / c) "mean"
                  Expect.within 0.03 ((Tensor.mean (Tensor.square (x - mean))).ToFloat()) (1.0 / c) "variance")

          testCase "log Z of a Gaussian energy, and densities that say how far it is off"
          <| fun () ->
              Scope.run0 (fun () ->
                  let z = Energy.partition Kind.Float64 gaussian [ 2 ] 500 30 (fun _ -> None) (Rng.ofSeed 1L)

                  Expect.isLessThan z.StandardError 0.05 ""
                  Expect.within (4.0 * z.StandardError) z.LogZ logZ ""
                  Expect.isGreaterThan z.EffectiveShare 0.5 ""
                  let x = Rng.normal Kind.Float64 [ 5; 2 ] (Rng.ofSeed 2L)
                  let found = Densities.ofSamples (model gaussian) x
                  let exact = Tensor.toFloats (-(Energy.value gaussian None x) - logZ)
                  let off = (Option.get found.PartitionError) * 4.0

                  for k in 0..4 do
                      Expect.within off found.Nats[k] exact[k] "")

          testCase "the descent ends in the minimum, from points that are drawn or given"
          <| fun () ->
              Scope.run0 (fun () ->
                  let at (request: MinimizationRequest) = Minimization.find (model gaussian) request (fun _ _ -> ())
                  let found = at { MinimizationRequest.standard with Count = Some 7; Steps = Some 300 }
                  Expect.equal found.X.Shape [| 7; 2 |] ""
                  close 1e-6 (Array.create 14 (a / c)) (Tensor.toFloats found.X)
                  Expect.all found.Slope (fun slope -> slope < 1e-6) ""
                  let start = { Name = "x.npy"; Values = Tensor.ofArray [ 1; 2 ] [| 3.0; -1.0 |] }
                  let one =
                      at { MinimizationRequest.standard with Start = Some start; Steps = Some 1; Momentum = Some 0.0 }
                  // One step of 0.01 down the slope c x − a.
                  close 1e-12 [| 3.0 - 0.01 * (3.0 * c - a); -1.0 - 0.01 * (-c - a) |] (Tensor.toFloats one.X))

          testEach
              "a run with chains that is killed and taken up again ends with the same bytes"
              id
              [ "persistent"; "contrastive" ]
          <| fun loss ->
              inFolder (fun folder ->
                  let whole, cut = Path.Combine(folder, "a"), Path.Combine(folder, "b")
                  let recipe =
                      small (if loss = "persistent" then "persistent:moves=3,batches=4" else "contrastive:moves=3") 24L
                  train whole recipe None
                  train cut recipe (Some 13L)
                  Expect.isTrue
                      ((File.ReadAllBytes(Run.checkpointFile cut)) <> File.ReadAllBytes(Run.checkpointFile whole))
                      ""
                  train cut recipe None
                  Expect.same
                      (File.ReadAllBytes(Run.checkpointFile cut))
                      (File.ReadAllBytes(Run.checkpointFile whole))
                      ""

                  Scope.run0 (fun () ->
                      let job = Runs.job recipe (Datasets.load "moons")
                      let state, _ = Checkpoint.read (Run.checkpointFile whole) job.Network
                      // Four batches of chains, or those of the last step.
                      let chains = if loss = "persistent" then 4 * 32 else 32
                      Expect.equal [ for t in state.Memory -> List.ofArray t.Shape ] [ [ chains; 2 ] ] ""))

          testCase "a loss that is not finite stops the run, and the last good state stays with its chains"
          <| fun () ->
              inFolder (fun folder ->
                  let recipe = small "persistent:moves=2,batches=4,restart=0.1" 40L
                  let job = Runs.job recipe (Datasets.load "moons")
                  use claim = Run.claim folder
                  Run.create claim (Recipe.settings recipe)

                  let failing: Loss =
                      fun context rng batch ->
                          job.Objective.Loss context rng batch * (if context.Step = 25L then nan else 1.0)

                  let plan = { Job.plan job with Loss = failing; Save = Cadence.Steps 10L }
                  let result = Run.train claim plan (fun _ _ -> ()) (fun () -> false)

                  Scope.run0 (fun () ->
                      Expect.isTrue result.Ending.IsDiverged ""
                      Expect.equal result.Kept (Some 25L) ""
                      let state, _ = Checkpoint.read (Run.checkpointFile folder) job.Network
                      let finite (t: Tensor) = (Tensor.all (Tensor.isFinite t)).ToBool()
                      Expect.all state.Parameters finite ""
                      Expect.equal [ for t in state.Memory -> List.ofArray t.Shape ] [ [ 128; 2 ] ] ""
                      Expect.all state.Memory finite "")

                  Scope.free result.State)

          testCase "what an energy knows nothing of is refused with what there is"
          <| fun () ->
              let law = model gaussian
              let minima = model { gaussian with IsLaw = false }
              let drawing = Samples.standardFor law

              let heun () = Samples.plan law { drawing with Sampler = Samplers.heun }
              Expect.stringContains (refusal heun) "an energy without time: take one of langevin, mala, hmc, descent" ""

              let oracle =
                  GenerativeModel.ofMixture
                      "oracle"
                      Path.condOT
                      Prediction.velocity
                      Kind.Float64
                      (Mixture.ofStds [| 1.0 |] (Tensor.zeros Kind.Float64 [ 1; 2 ]) (Tensor.ones Kind.Float64 [ 1; 2 ]))

              let mala () = Samples.plan oracle { Samples.standardFor oracle with Sampler = EnergySamplers.mala }
              Expect.stringContains (refusal mala) "needs an energy" ""
              let density () = Validation.densities minima DensityRequest.standard
              Expect.stringContains (refusal density) "its energy is of no law" ""
              let flow () = Validation.flow "an encoding" law GenerationRequest.standard
              Expect.stringContains (refusal flow) "an energy without time" ""
              let trace () = Validation.densities law { DensityRequest.standard with Trace = Some Trace.exact }
              Expect.stringContains (refusal trace) "annealed importance sampling" "" ]
