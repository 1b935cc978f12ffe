/// A model's file: everything that a model is, and nothing beside it.
module Fokker.Tests.Models.ModelFileTests

open System.IO
open NUnit.Framework
open Fokker
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
      "velocity", NetworkOutput.Velocity, Path.condOT
      "bridge", NetworkOutput.Bridge(0.3, false), Path.condOT
      "bridge and score", NetworkOutput.Bridge(0.3, true), Path.condOT
      "consistency", NetworkOutput.ConsistencyFunction(Some 0.7), Paths.edm
      "free consistency", NetworkOutput.ConsistencyFunction None, Paths.edm
      "flow map", NetworkOutput.MeanVelocity(0.95, 0.05), Path.condOT ]

let private trained (output: NetworkOutput) (path: GaussianPath) (source: Dataset option) : TrainedNetwork =
    let network =
        Networks.mlp
            { Mlp.standard 2 with
                Width = 8
                Depth = 2
                Times = NetworkOutput.times output
                Outputs = NetworkOutput.count output
                Classes = Some 3 }

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
      Range = None
      Labels = true
      Null = true
      Source = source
      Kind = Kind.Float32
      Training = { Data = "npy:gone.npy"; Digest = Some "00ff"; Loss = "any"; Steps = 12L; Seed = 5L; Version = "0" } }

let private inFolder (work: string -> unit) =
    let folder = Directory.CreateTempSubdirectory("fokker-model-").FullName

    try
        work folder
    finally
        Directory.Delete(folder, true)

let names = [ for name, _, _ in cases -> name ]

[<TestCaseSource(nameof names)>]
let ``a model that is read back draws the same bytes`` (name: string) =
    let _, output, path = cases |> List.find (fun (own, _, _) -> own = name)

    inFolder (fun folder ->
        Scope.run0 (fun () ->
            let file = Path.Combine(folder, "m.safetensors")
            let own = trained output path None
            ModelFile.write file own
            let back = ModelFile.read [] Device.Cpu None file

            for model in [ "mine"; "elsewhere" ] do
                Assert.That(GenerativeModel.ofTrained model back |> _.Classes, Is.EqualTo(box [ "a"; "b"; "c" ]))

            let draw t : float[] = Tensor.toFloats (Samples.ofSeed 3L 6 (GenerativeModel.ofTrained "m" t))
            let samples = draw own
            Assert.That((Array.distinct samples).Length, Is.GreaterThan 6)
            Assert.That(draw back, Is.EqualTo(box samples))
            Assert.That(ModelFile.differences file own, Is.Empty)

            // Written again, it is the same file to the byte.
            let again = Path.Combine(folder, "again.safetensors")
            ModelFile.write again back
            Assert.That(File.ReadAllBytes again, Is.EqualTo(box (File.ReadAllBytes file)))))

[<Test>]
let ``the samples that a flow starts from are in the file`` () =
    inFolder (fun folder ->
        Scope.run0 (fun () ->
            let file = Path.Combine(folder, "m.safetensors")
            let rows = 100.0 + 5.0 * Rng.normal Kind.Float64 [ 40; 2 ] key
            let source = Dataset.ofSamples "npy:source.npy" "" "source.npy" rows None
            let own = trained NetworkOutput.Velocity Path.condOT (Some source)
            ModelFile.write file own
            let back = ModelFile.read [] Device.Cpu None file
            let draw t : float[] = Tensor.toFloats (Samples.ofSeed 3L 6 (GenerativeModel.ofTrained "m" t))
            Assert.That(draw back, Is.EqualTo(box (draw own)))))

[<Test>]
let ``a model on another path, in other units or of other data is told apart`` () =
    inFolder (fun folder ->
        Scope.run0 (fun () ->
            let file = Path.Combine(folder, "m.safetensors")
            let own = trained NetworkOutput.Velocity Path.condOT None
            ModelFile.write file own
            let differing t = [ for name, _, _ in ModelFile.differences file t -> name ]
            Assert.That(differing { own with Path = Path.vp }, Is.EqualTo(box [ "path" ]))
            Assert.That(differing { own with Units = Units.Same }, Is.EqualTo(box [ "units" ]))
            Assert.That(differing { own with Classes = [] }, Is.EqualTo(box [ "classes" ]))
            let other = { own with Training = { own.Training with Digest = Some "00fe" } }
            Assert.That(differing other, Is.EqualTo(box [ "data" ]))))

[<Test>]
let ``what is no model is refused in one line`` () =
    inFolder (fun folder ->
        Scope.run0 (fun () ->
            let file = Path.Combine(folder, "m.safetensors")
            let own = trained NetworkOutput.Velocity Path.condOT None
            let read () = ModelFile.read [] Device.Cpu None file

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

            let write format text tensors = Safetensors.write file [ "format", format; "model", text ] tensors
            write "fokker-model 2" description tensors
            Assert.That(refused (), Does.Contain "fokker-model 2")
            write ModelFile.Format (description.Replace("\"condot\"", "\"mine\"")) tensors
            Assert.That(refused (), Does.Contain "path 'mine'")
            write ModelFile.Format (description.Replace("\"mlp\"", "\"other\"")) tensors
            Assert.That(refused (), Does.Contain "'other'")
            write ModelFile.Format (description.Substring 5) tensors
            Assert.That(refused (), Does.Contain "damaged")
            write ModelFile.Format "[]" tensors
            Assert.That(refused (), Does.Contain "no JSON object")
            write ModelFile.Format description (List.tail tensors)
            Assert.That(refused (), Does.Contain(fst tensors.Head))
            Safetensors.write file [] tensors
            Assert.That(refused (), Does.Contain "no model")
            Assert.That(refused (), Does.Not.Contain "\n")))
