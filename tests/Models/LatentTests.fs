/// Latents: an autoencoder as a model of its own, a model of its latents, and the bounds that both have.
module Fokker.Tests.Models.LatentTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private refusal (work: unit -> 'T) : Refusal = raised<RefusedException>(work >> ignore).Refusal

/// Probabilistic principal components of three coordinates by two, x = W z + m + r η, with orthogonal columns of W: an autoencoder of linear maps says their posterior and likelihood.
let private w = [| 1.2; 0.0; 0.0; 0.5; 0.0; 0.0 |]

let private m, r = [| 0.3; -0.2; 0.1 |], 0.4

let private linear (encoderGain: float) : TrainedNetwork =
    let network = Autoencoder.network { Sample = [ 3 ]; Latent = 2; Width = 1; Depth = 0 }
    let squares = [| 1.2 ** 2.0; 0.5 ** 2.0 |]

    let values (name: string) =
        match name with
        | "encoder.output.weight" ->
            [| for k in 0..1 do
                   for i in 0..2 -> encoderGain * w[i * 2 + k] / (squares[k] + r * r)
               for _ in 0..5 -> 0.0 |]
        | "encoder.output.bias" ->
            [| for k in 0..1 ->
                   -encoderGain * Seq.sum (seq { for i in 0..2 -> w[i * 2 + k] * m[i] }) / (squares[k] + r * r)
               for k in 0..1 -> log (r * r / (squares[k] + r * r)) |]
        | "decoder.output.weight" -> w
        | "decoder.output.bias" -> m
        | "decoder.deviation" -> [| log r |]
        | other -> failwith other

    let trained = trainedOf network [| for spec in network.Specs -> Tensor.ofArray spec.Shape (values spec.Name) |] 1L

    { trained with
        Output = NetworkOutput.Latents
        Path = Path.trigonometric
        Shape = [ 3 ]
        Units = Units.Same
        Kind = Kind.Float64 }

/// log N(x; m, WWᵀ + r² I), whose covariance is diagonal here.
let private exact (rows: float[][]) : float[] =
    let variances = [| 1.2 ** 2.0 + r * r; 0.5 ** 2.0 + r * r; r * r |]

    rows
    |> Array.map (fun x ->
        Seq.sum (
            seq { for i in 0..2 -> -0.5 * ((x[i] - m[i]) ** 2.0 / variances[i] + log (2.0 * Math.PI * variances[i])) }
        ))

let private image (folder: string) : Dataset =
    let file = Path.Combine(folder, "x.npy")
    let x = Rng.uniform Kind.Float64 [ 60; 1; 6; 5 ] (Rng.ofSeed 3L) * 2.0 - 1.0
    Npy.write file x
    Datasets.load $"npy:{file}"

let private saved (folder: string) (name: string) (model: GenerativeModel) : string =
    match model.Origin with
    | Origin.Trained trained ->
        let file = Path.Combine(folder, name + ".safetensors")
        ModelFile.write file trained
        file
    | _ -> failtest $"{name} is a model that was trained"

let private read (file: string) = GenerativeModel.ofTrained "it" (ModelFile.read OwnParts.none Device.Cpu None file)

let private brief loss =
    { TrainingRequest.standard with Loss = loss; Steps = Some 20L; Batch = Some 16; Width = Some 8 }

[<Tests>]
let tests =
    testList
        "Models.Latent"
        [ testCase
              "the bound of a linear autoencoder is log p of principal components under their posterior, and less under another"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = 1.3 * Rng.normal Kind.Float64 [ 250; 3 ] (Rng.ofSeed 5L)
                  let truth = exact (Tensor.toFloats x |> Array.chunkBySize 3)
                  let found (gain: float) = Densities.ofSamples (GenerativeModel.ofTrained "it" (linear gain)) x
                  let tight = found 1.0
                  Expect.allWithin 1e-8 tight.Nats truth "one draw says it, whichever it is"
                  let terms = tight.Terms.Value
                  let sums = Array.map3 (fun a b c -> a + b + c) terms.Reconstruction terms.Prior terms.Surprise
                  Expect.allWithin 1e-12 sums tight.Nats "the terms"
                  Expect.isLessThan (Array.average (found 0.7).Nats) (Array.average truth - 0.1) "another encoder"
                  // In other units the density is by their volume another one.
                  let units = { Shift = [| 1.0; 2.0; 3.0 |]; Scale = [| 2.0; 0.5; 4.0 |] }
                  let other = GenerativeModel.ofTrained "it" { linear 1.0 with Units = units }
                  let moved = Densities.ofSamples other (Units.toData units x)
                  Expect.allWithin 1e-8 moved.Nats (truth |> Array.map (fun nats -> nats - log 4.0)) "other units")

          testCase
              "an autoencoder's own samples are decoded noise, and their law is that of the principal components without r"
          <| fun () ->
              Scope.run0 (fun () ->
                  let model = GenerativeModel.ofTrained "it" (linear 1.0)
                  Expect.equal model.StateShape [ 2 ] ""
                  let z = Rng.normal Kind.Float64 [ 7; 2 ] (Rng.ofSeed 6L)
                  let ask = { SamplingRequest.standard with Noise = Some { Name = "z"; Values = z } }
                  let task = Validation.sampling model ask
                  let drawn = Samples.draw task.Model task.Drawing task.Key task.Count (fun _ _ -> ())
                  let expected =
                      Linalg.matmul z (Tensor.transpose 0 1 (Tensor.ofArray [ 3; 2 ] w)) + Tensor.ofArray [ 1; 3 ] m
                  Expect.allWithin 1e-9 (Tensor.toFloats drawn) (Tensor.toFloats expected) ""
                  let wrong = { SamplingRequest.standard with Noise = Some { Name = "z"; Values = drawn } }
                  Expect.equal
                      (refusal (fun () -> Validation.sampling model wrong)).Setting
                      Setting.Noise
                      "of a sample's shape")

          testCase
              "a model of latents is one file: with all else deleted it draws the same bytes, of vectors and of images with sides that are no multiples of four"
          <| fun () ->
              inFolder (fun folder ->
                  for data, latents in
                      [ Datasets.load "moons", "autoencoder:latent=2"; image folder, "autoencoder:latent=3" ] do
                      Scope.run0 (fun () ->
                          let ask = { brief (Some "vae") with Network = Some latents }
                          let own = Runs.fit (TrainingRequest.recipe data ask) data
                          let file = saved folder "vae" own
                          let unit = Samples.ofSeed 1L 6 own
                          Expect.equal (List.ofArray unit.Shape[1..]) data.Shape ""
                          Expect.isTrue (Tensor.same unit (Samples.ofSeed 1L 6 (read file))) "the autoencoder"

                          // A picture that is told has a sample's sides, and a latent others.
                          if data.IsImage then
                              let telling = Dataset.telling Given.Inpainting data
                              let ask = TrainingRequest.recipe telling { brief None with Latent = Some file }
                              let refused = refusal (fun () -> Runs.fit ask telling)
                              Expect.equal refused.Setting Setting.Latent "a picture that is told"

                          for loss in [ None; Some "dsm"; Some "psd" ] do
                              let recipe = TrainingRequest.recipe data { brief loss with Latent = Some file }
                              let model = Runs.fit recipe data
                              let drawn = Samples.ofSeed 1L 6 model
                              Expect.equal (List.ofArray drawn.Shape[1..]) data.Shape $"{loss}"
                              Expect.isTrue ((Tensor.all (Tensor.isFinite drawn)).ToBool()) $"{loss}"
                              let copy = saved folder "latent" model
                              let moved = Path.Combine(folder, "moved.safetensors")
                              File.Move(copy, moved, true)
                              let again = read moved
                              Expect.isTrue (Tensor.same drawn (Samples.ofSeed 1L 6 again)) $"{loss}: moved"
                              // There and back is the autoencoder's own way there and back.
                              let x = Dataset.inData data (Dataset.heldOut Kind.Float64 5 (Rng.ofSeed 2L) data).Data
                              let back (model: GenerativeModel) =
                                  GenerativeModel.outside model (GenerativeModel.inside model x)
                              Expect.allWithin
                                  1e-4
                                  (Tensor.toFloats (back again))
                                  (Tensor.toFloats (back own))
                                  $"{loss}"))

          testCase "latents have mean 0 and variance 1 where they are learned"
          <| fun () ->
              Scope.run0 (fun () ->
                  let trained = linear 1.0
                  let space = LatentSpace.ofNetwork trained.Network trained.Parameters
                  let x = 3.0 * Rng.normal Kind.Float64 [ 500; 3 ] (Rng.ofSeed 7L) + 1.0
                  let space = LatentSpace.standardized space x
                  let y = LatentSpace.encode space x
                  Expect.allWithin 1e-9 (Tensor.toFloats (Tensor.meanOver [ 0 ] y)) [ 0.0; 0.0 ] ""
                  Expect.allWithin 1e-9 (Tensor.toFloats (Tensor.varianceOver [ 0 ] 0 y)) [ 1.0; 1.0 ] ""
                  // Decoding undoes the units as encoding made them.
                  let plain = { space with Units = Units.Same }
                  let there = LatentSpace.decode plain (LatentSpace.encode plain x)
                  Expect.allWithin 1e-9 (Tensor.toFloats (LatentSpace.decode space y)) (Tensor.toFloats there) "")

          testCase "what is not defined is refused with its reason"
          <| fun () ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let data = Datasets.load "moons"
                      let job (ask: TrainingRequest) =
                          refusal (fun () -> Runs.job (TrainingRequest.recipe data ask) data)
                      let vae = Runs.fit (TrainingRequest.recipe data (brief (Some "vae"))) data
                      let file = saved folder "vae" vae
                      let plain = saved folder "plain" (Runs.fit (TrainingRequest.recipe data (brief None)) data)
                      let latent = { brief None with Latent = Some file }
                      Expect.equal
                          (job { brief None with Latent = Some plain }).Setting
                          Setting.Latent
                          "no autoencoder"
                      Expect.equal (job { brief (Some "vae") with Latent = Some file }).Setting Setting.Latent "both"
                      Expect.equal
                          (job { brief (Some "vae") with Network = Some "mlp" }).Setting
                          Setting.Network
                          "mlp"
                      Expect.equal
                          (job { brief None with Network = Some "autoencoder" }).Setting
                          Setting.Network
                          "cfm"
                      // What training begins at is looked for when it begins.
                      let begun = TrainingRequest.recipe data { latent with From = Some plain }
                      Expect.equal (refusal (fun () -> Runs.fit begun data)).Setting Setting.Begin "other states"
                      Expect.equal
                          (job { latent with Loss = Some "i-cfm"; Source = Some "eight-gaussians" }).Setting
                          Setting.Source
                          "another law at the noisy end"

                      let model = Runs.fit (TrainingRequest.recipe data latent) data
                      let seen = Some(Observation.make (Operator.Mask(Tensor.ofArray [ 2 ] [| 1.0; 0.0 |])) 0.1)

                      let ask =
                          { SamplingRequest.standard with
                              Steering =
                                  { SteeringRequest.none with
                                      Observation = seen
                                      Observed = Some { Name = "y"; Values = Tensor.zeros Kind.Float64 [ 2 ] } } }

                      Expect.equal (refusal (fun () -> Validation.sampling model ask)).Setting Setting.Observe ""

                      // A reward goes through the decoder.
                      let reward = RewardChoice.Known(Reward.linear (Tensor.ofArray [ 2 ] [| 1.0; 0.0 |]))
                      let through = RewardChoice.reward reward model
                      let y = Rng.normal Kind.Float64 [ 4; 2 ] (Rng.ofSeed 8L)
                      let first = Tensor.narrow 1 0 1 (GenerativeModel.outside model y)
                      Expect.allWithin 1e-5 (Tensor.toFloats (through.Value y)) (Tensor.toFloats first) ""
                      let gradient = Diff.grad (fun y -> Tensor.sum (through.Value y)) y
                      Expect.isGreaterThan ((Tensor.max (Tensor.abs gradient)).ToFloat()) 0.0 "")) ]
