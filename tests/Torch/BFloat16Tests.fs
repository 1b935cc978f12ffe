/// Networks whose layers compute in bfloat16 over parameters in float32.
module Fokker.Tests.Torch.BFloat16Tests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

/// libtorch 1.13 computes little in bfloat16; the newer one does on any processor, slowly where it has no instructions for it.
let private needsManaged () =
    if Torch.engine () <> "managed" then
        skiptest "bfloat16 is the managed engine's"

let private network = Networks.mlp { Mlp.standard 2 with Width = 64; Depth = 2 }

/// ‖a − b‖/‖b‖ over all of them.
let private apart (a: Tensor[]) (b: Tensor[]) : float =
    let norm (ts: Tensor[]) =
        ts |> Array.sumBy (fun t -> (Tensor.sum (Tensor.square (t.To Dtype.Float64))).ToFloat()) |> sqrt
    norm (Array.map2 (-) a b) / norm b

/// The losses of so many steps on points of two moons.
let private losses (steps: int64) (network: Network) : float[] =
    let rng = Rng.ofSeed 5L
    let data = Datasets.load "moons"
    let found = ResizeArray<float>()
    let observer: Observer = { Stepped = (fun _ info _ -> found.Add info.Loss); Stop = fun () -> false }

    let state, ending =
        Trainer.run
            Trainer.standard
            network
            (Loss.ofRegression (Loss.cfm Path.condOT))
            (Dataset.batches Kind.Float32 256 rng data)
            (Budget.Steps steps)
            0.0
            observer
            (Trainer.init Kind.Float32 rng network)

    Expect.equal ending Ending.Finished ""
    Expect.all state.Parameters (fun p -> p.Dtype = Dtype.Float32) "the parameters stay as they were"
    Scope.free state
    found.ToArray()

/// Forty pictures of 8 × 8 pixels, in a file for as long as they are read.
let private pictures () : Dataset =
    let folder = System.IO.Directory.CreateTempSubdirectory "fokker-pictures-"

    try
        let file = System.IO.Path.Combine(folder.FullName, "pictures.npy")
        Npy.write file (Tensor.ofArray [ 40; 1; 8; 8 ] [| for i in 0 .. 40 * 64 - 1 -> uint8 (i * 37 % 256) |])
        Datasets.load $"npy:{file}"
    finally
        folder.Delete true

[<Tests>]
let tests =
    testList
        "Torch.BFloat16"
        [ testCase "a network's values and gradients in bfloat16 are those of float32, rounded"
          <| fun () ->
              needsManaged ()

              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed 6L
                  // All of them drawn: the last layer would begin at zero.
                  let parameters =
                      network.Specs
                      |> Array.mapi (fun k spec ->
                          let fan = float (List.last spec.Shape)
                          Rng.normal Kind.Float32 spec.Shape (Rng.at (int64 k) rng) / sqrt fan)
                  let t = Rng.uniform Kind.Float64 [ 128 ] (Rng.named "t" rng)
                  let x = Rng.normal Kind.Float32 [ 128; 2 ] (Rng.named "x" rng)

                  let both (network: Network) =
                      let value, gradients, () =
                          Diff.valueAndGrads
                              (fun ps -> Tensor.mean (Tensor.square (network.Apply ps None t x - x)), ())
                              parameters
                      network.Apply parameters None t x, value, gradients

                  let exact, _, exactly = both network
                  let rounded, _, roundly = both (Network.computedIn Dtype.BFloat16 network)
                  Expect.equal rounded.Dtype Dtype.Float32 "the output is x's"
                  Expect.all
                      roundly
                      (fun g -> g.Dtype = Dtype.Float32)
                      "gradients are of the parameters as they are kept"
                  // 8 bits are a relative error of 2⁻⁹ each; some twenty roundings in a row add up as their root.
                  Expect.between 1e-4 0.02 (apart [| rounded |] [| exact |]) ""
                  Expect.between 1e-4 0.03 (apart roundly exactly) "")

          testCase "training in bfloat16 follows float32's losses"
          <| fun () ->
              needsManaged ()
              let plain = losses 600L network
              let rounded = losses 600L (Network.computedIn Dtype.BFloat16 network)
              let windows (xs: float[]) = xs |> Array.chunkBySize 100 |> Array.map Array.average
              Expect.isLessThan (Array.last (windows plain)) (0.85 * (windows plain)[0]) "it learns"

              // The same batches, times and noise: what is left is rounding, and the ways of two trainings that it parts.
              for ours, theirs in Array.zip (windows rounded) (windows plain) do
                  Expect.within 0.02 (ours / theirs) 1.0 ""

          testCase "it is asked for by name, and refused in a line where it is not to be had"
          <| fun () ->
              let data = Datasets.load "moons"
              let recipe =
                  { Recipe.standardFor data with Steps = 20L; Batch = 32; Width = 16; Depth = 1; Dtype = "bfloat16" }

              match Torch.bfloat16 Device.Cpu with
              | Error reason ->
                  raises<UserError> [ "bfloat16"; reason; "float32" ] (fun () -> Runs.fit recipe data |> ignore)
              | Ok() ->
                  let model = Runs.fit recipe data
                  Expect.equal model.Kind.Dtype Dtype.Float32 "what it learned is in float32"
                  let samples = Samples.ofSeed 1L 10 model
                  Expect.isTrue ((Tensor.all (Tensor.isFinite samples)).ToBool()) ""

          testCase
              "samples in bfloat16 are float32's, rounded, of networks alone, and their tolerances are as wide as its digits"
          <| fun () ->
              let data = Datasets.load "moons"
              let recipe = { Recipe.standardFor data with Steps = 300L; Batch = 64; Width = 32; Depth = 2 }
              let model = Runs.fit recipe data
              let drawn (model: GenerativeModel) = Samples.ofSeed 1L 500 model
              let inIt (model: GenerativeModel) = GenerativeModel.computedIn Dtype.BFloat16 model

              match Torch.bfloat16 Device.Cpu with
              | Error reason -> raises<UserError> [ "bfloat16"; reason; "float32" ] (fun () -> inIt model |> ignore)
              | Ok() ->
                  let rounded = inIt model
                  Expect.equal rounded.Kind.Dtype Dtype.Float32 "its states are in float32"
                  // Twenty-five steps of two evaluations, each with rounding errors of 2⁻⁹ of the velocity.
                  Expect.between 1e-5 5e-3 (apart [| drawn rounded |] [| drawn model |]) ""
                  Expect.equal (FlowPlan.usualTolerance rounded) (Some 1e-2) ""
                  Expect.equal
                      (Tensor.toFloats (drawn (GenerativeModel.computedIn Dtype.Float32 rounded)))
                      (Tensor.toFloats (drawn model))
                      "and back"

                  let density (model: GenerativeModel) = HeldOut.density model data 200 (Rng.ofSeed 2L) (fun _ _ -> ())
                  Expect.isSome (density model) ""
                  Expect.equal (density rounded) (density model) "a density is found in float32"
                  let asked = Validation.densities rounded DensityRequest.standard
                  Expect.equal asked.Model.Arithmetic Dtype.Float32 "also by `likelihood`"

                  let request = { GenerationRequest.standard with RelativeTolerance = Some 1e-3 }
                  raises<UserError> [ "bfloat16"; "0.01" ] (fun () -> Validation.generation rounded request |> ignore)

                  let law =
                      Mixture.ofStds [| 1.0 |] (Tensor.zeros Kind.Float64 [ 1; 2 ]) (Tensor.ones Kind.Float64 [ 1; 2 ])
                  let exact kind = GenerativeModel.ofMixture "law" Path.condOT Prediction.velocity kind law
                  raises<UserError> [ "bfloat16"; "law" ] (fun () -> inIt (exact Kind.Float32) |> ignore)

                  let wide = Runs.fit { recipe with Steps = 2L; Dtype = "float64" } data
                  raises<UserError> [ "bfloat16"; "float32" ] (fun () -> inIt wide |> ignore)

          testCase "pictures are trained in bfloat16 where it is to be had and the time is long, and nothing else is"
          <| fun () ->
              let data = pictures ()
              let usual = Recipe.standardFor data
              let plane = Datasets.load "moons"
              let chosen minutes data recipe = (Recipe.withFastLayers minutes data recipe).Dtype

              let expected =
                  match Torch.bfloat16 Device.Cpu with
                  | Ok() -> "bfloat16"
                  | Error _ -> "float32"

              Expect.equal (chosen 10.0 data usual) expected "of a long training"
              Expect.equal (chosen 9.9 data usual) "float32" "of a short one"
              Expect.equal (chosen 10.0 plane (Recipe.standardFor plane)) "float32" "on the plane"
              Expect.equal (chosen 10.0 data { usual with Device = "cuda" }) "float32" "on a GPU"
              Expect.equal
                  (chosen 10.0 data { usual with Network = { usual.Network with Name = "dit" } })
                  "float32"
                  "dit"
              Expect.equal
                  (chosen 10.0 data { usual with Loss = { usual.Loss with Name = "simple" } })
                  "float32"
                  "simple" ]
