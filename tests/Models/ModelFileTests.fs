/// A model's file: everything that a model is, and nothing beside it.
module Fokker.Tests.Models.ModelFileTests

open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private key = Rng.ofSeed 5L

/// One network of each kind of output, by what it is told and says.
let private cases: (string * NetworkOutput * GaussianPath) list =
    [ for prediction in Prediction.all do
          prediction.Name, NetworkOutput.Prediction(prediction, None, false), Paths.cosine
      for part in Preconditioning.parts do
          $"data behind {part.Name}",
          NetworkOutput.Prediction(Prediction.data, Some(Part.standard part Paths.edm), false),
          Paths.edm
      let own = Paths.find [] "edm:sigma-max=40,rho=3"
      let behind = Preconditioning.find "edm:sigma-data=0.5" own
      "with numbers of their own", NetworkOutput.Prediction(Prediction.data, Some behind, false), own
      "noise and variance", NetworkOutput.Prediction(Prediction.noise, None, true), Path.vp
      "potential", NetworkOutput.Potential Prediction.velocity, Path.condOT
      "energy of a law", NetworkOutput.Energy true, Path.condOT
      "energy of minima", NetworkOutput.Energy false, Path.condOT
      "velocity between two laws", NetworkOutput.Velocity, Path.condOT
      "bridge", NetworkOutput.Bridge(0.3, false), Path.condOT
      "bridge and score", NetworkOutput.Bridge(0.3, true), Path.condOT
      "consistency", NetworkOutput.ConsistencyFunction(Parametrized 0.7), Paths.edm
      "rotated consistency", NetworkOutput.ConsistencyFunction Rotated, Path.trigonometric
      "free consistency", NetworkOutput.ConsistencyFunction Penalized, Paths.edm
      "flow map", NetworkOutput.MeanVelocity(0.95, 0.05, false), Path.condOT
      "guided prediction", NetworkOutput.Guided(Prediction.velocity, None, 0.0, 4.0), Path.condOT
      "flow map with its log-determinant", NetworkOutput.MeanVelocity(0.95, 0.05, true), Path.condOT ]

let private trained (output: NetworkOutput) (path: GaussianPath) (source: Dataset option) : TrainedNetwork =
    let network =
        Networks.mlp
            { Mlp.standard 2 with
                Width = 8
                Depth = 2
                Times = NetworkOutput.times output
                Outputs = NetworkOutput.count output
                Classes = Some 3 }
        |> (NetworkOutput.head output |> Option.map EnergyNetwork.ofNetwork |> Option.defaultValue id)

    { Network = network
      // Zeros at the end of a network that was not trained would hide every difference.
      Parameters =
        network.Specs
        |> Array.mapi (fun k spec -> 0.3 * Rng.normal Kind.Float32 spec.Shape (Rng.at (int64 k) key))
      Path = path
      Output = output
      Shape = [ 2 ]
      Classes = [ "a"; "b"; "c" ]
      Units = { Shift = [| 2460000.5; -1.0 / 3.0 |]; Scale = [| 0.05; 7.0 |] }
      Latent = None
      Columns = []
      Range = None
      Labels = true
      Given = None
      Null = true
      Source = source
      Times = []
      Kind = Kind.Float32
      Training = { Data = "npy:gone.npy"; Digest = Some "00ff"; Loss = "any"; Steps = 12L; Seed = 5L; Version = "0" } }

let private inFolder (work: string -> unit) =
    let folder = Directory.CreateTempSubdirectory("fokker-model-").FullName

    try
        work folder
    finally
        Directory.Delete(folder, true)

[<Tests>]
let tests =
    testList
        "Models.ModelFile"
        [ testEach "a model that is read back draws the same bytes" (fun (name, _, _) -> name) cases
          <| fun (_, output, path) ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let file = Path.Combine(folder, "m.safetensors")
                      let own = trained output path None
                      ModelFile.write file own
                      let back = ModelFile.read OwnParts.none Device.Cpu None file

                      for model in [ "mine"; "elsewhere" ] do
                          Expect.equal (GenerativeModel.ofTrained model back |> _.Classes) ([ "a"; "b"; "c" ]) ""

                      let draw t : float[] = Tensor.toFloats (Samples.ofSeed 3L 6 (GenerativeModel.ofTrained "m" t))
                      let samples = draw own
                      Expect.isGreaterThan ((Array.distinct samples).Length) 6 ""
                      Expect.equal (draw back) samples ""
                      Expect.isEmpty (ModelFile.differences file own) ""

                      // Written again, it is the same file to the byte.
                      let again = Path.Combine(folder, "again.safetensors")
                      ModelFile.write again back
                      Expect.equal (File.ReadAllBytes again) (File.ReadAllBytes file) ""))

          testCase "the samples that a flow starts from are in the file"
          <| fun () ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let file = Path.Combine(folder, "m.safetensors")
                      let rows = 100.0 + 5.0 * Rng.normal Kind.Float64 [ 40; 2 ] key
                      let source = Dataset.ofSamples "npy:source.npy" "" "source.npy" rows None
                      let own = trained NetworkOutput.Velocity Path.condOT (Some source)
                      ModelFile.write file own
                      let back = ModelFile.read OwnParts.none Device.Cpu None file
                      let draw t : float[] = Tensor.toFloats (Samples.ofSeed 3L 6 (GenerativeModel.ofTrained "m" t))
                      Expect.equal (draw back) (draw own) ""))

          testEach
              "the mixture that a flow starts from is in the file, in the units that it was learned in"
              fst
              [ "round",
                (fun (means: Tensor) ->
                    Mixture.ofStds [| 1.0; 2.0 |] means (Tensor.ofArray [ 2; 2 ] [| 0.3; 0.7; 0.5; 0.2 |]))
                "of full covariances",
                (fun means ->
                    Mixture.ofCovariances
                        [| 1.0; 2.0 |]
                        means
                        (Tensor.ofArray [ 2; 2; 2 ] [| 1.0; 0.3; 0.3; 0.5; 0.4; -0.1; -0.1; 0.9 |])) ]
          <| fun (_, make) ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let file = Path.Combine(folder, "m.safetensors")
                      let units = { Shift = [| 3.0; -1.0 |]; Scale = [| 2.0; 0.5 |] }
                      let mixture = make (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.5; 2.0; 1.0 |])
                      let source = { Dataset.ofMixture "mixture:gone.json" "gone.json" mixture with Units = units }
                      let own = trained NetworkOutput.Velocity Path.condOT (Some source)
                      ModelFile.write file own
                      let back = ModelFile.read OwnParts.none Device.Cpu None file
                      let draw t : float[] = Tensor.toFloats (Samples.ofSeed 3L 6 (GenerativeModel.ofTrained "m" t))
                      Expect.equal (draw back) (draw own) ""
                      // The numbers of no mixture are refused, and nothing is opened for them.
                      let content = Safetensors.read file
                      let spoilt =
                          [ for KeyValue(name, tensor) in content.Tensors ->
                                name, (if name = "source.mixture.spectra" then -1.0 * tensor else tensor) ]
                      Safetensors.write file (Map.toList content.Metadata) spoilt
                      let error =
                          raised<UserError>(fun () -> ModelFile.read OwnParts.none Device.Cpu None file |> ignore)
                      Expect.stringContains error.Message "damaged" ""))

          testCase "a model on another path, in other units or of other data is told apart"
          <| fun () ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let file = Path.Combine(folder, "m.safetensors")
                      let own = trained NetworkOutput.Velocity Path.condOT None
                      ModelFile.write file own
                      let differing t = [ for name, _, _ in ModelFile.differences file t -> name ]
                      Expect.equal (differing { own with Path = Path.vp }) ([ "path" ]) ""
                      Expect.equal (differing { own with Units = Units.Same }) ([ "units" ]) ""
                      Expect.equal (differing { own with Classes = [] }) ([ "classes" ]) ""
                      let other = { own with Training = { own.Training with Digest = Some "00fe" } }
                      Expect.equal (differing other) ([ "data" ]) ""
                      let other = { own with Training = { own.Training with Loss = "another" } }
                      Expect.equal (differing other) ([ "loss" ]) ""
                      Expect.equal (differing { own with Kind = Kind.Float64 }) ([ "dtype" ]) ""))

          testCase "what is no model is refused in one line"
          <| fun () ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let file = Path.Combine(folder, "m.safetensors")
                      let own = trained NetworkOutput.Velocity Path.condOT None
                      let read () = ModelFile.read OwnParts.none Device.Cpu None file

                      let refused () : string =
                          try
                              read () |> ignore
                              ""
                          with :? UserError as error ->
                              error.Message
                      let tensors = [ for spec, x in Array.zip own.Network.Specs own.Parameters -> spec.Name, x ]

                      let description =
                          ModelFile.write file own
                          (Safetensors.read file).Metadata["model"]

                      let write format text tensors =
                          Safetensors.write file [ "format", format; "model", text ] tensors
                      write "fokker-model 2" description tensors
                      Expect.stringContains (refused ()) "fokker-model 2" ""
                      write ModelFile.Format (description.Replace("\"condot\"", "\"mine\"")) tensors
                      Expect.stringContains (refused ()) "path 'mine'" ""
                      write ModelFile.Format (description.Replace("\"mlp\"", "\"other\"")) tensors
                      Expect.stringContains (refused ()) "'other'" ""
                      write ModelFile.Format (description.Substring 5) tensors
                      Expect.stringContains (refused ()) "damaged" ""
                      write ModelFile.Format "[]" tensors
                      Expect.stringContains (refused ()) "no JSON object" ""
                      write ModelFile.Format description (List.tail tensors)
                      Expect.stringContains (refused ()) (fst tensors.Head) ""

                      // A description that contradicts itself, or speaks of more than is there.
                      for given, changed, why in
                          [ "[2460000.5,-0.3333333333333333]", "[1,2,3]", "units"
                            "\"scale\":[0.05,7]", "\"scale\":[0.05,-7]", "units"
                            "\"scale\":[0.05,7]", "\"scale\":[0.05]", "units"
                            "\"shape\":[2]", "\"shape\":[-2]", "shape"
                            "\"shape\":[2]", "\"shape\":[3,60000,60000]", "shape"
                            "\"classes\":[\"a\",\"b\",\"c\"]", "\"classes\":[]", "told a class"
                            "\"labels\":true", "\"labels\":true,\"times\":[0,1]", "times"
                            "\"labels\":true", "\"labels\":true,\"range\":[5,5]", "pictures"
                            "\"depth\":\"2\"", "\"depth\":\"2000000000\"", "depth"
                            "\"dimension\":\"2\"", "\"input\":\"fourier 2000000000 1 1\",\"dimension\":\"2\"", "input"
                            "\"labels\":true",
                            "\"labels\":true,\"source\":{\"name\":\"npy:/etc/passwd\",\"units\":{\"shift\":[0],\"scale\":[1]}}",
                            "source" ] do
                          Expect.stringContains description given ""
                          write ModelFile.Format (description.Replace(given, changed)) tensors
                          Expect.stringContains (refused ()) why changed

                      Safetensors.write file [ "format", ModelFile.Format ] tensors
                      Expect.stringContains (refused ()) "not there" ""
                      Safetensors.write file [] tensors
                      Expect.stringContains (refused ()) "no model" ""
                      Expect.stringLacks (refused ()) "\n" "")) ]
