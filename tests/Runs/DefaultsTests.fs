/// What the defaults come to on laws that are known: each trains for as long as the command line would.
module Fokker.Tests.Runs.DefaultsTests

open System
open Expecto
open Fokker
open Fokker.Tests

let private trained (name: string) : PlaneLaw * Dataset * GenerativeModel =
    let law = Plane.all |> List.find (fun law -> law.Name = name)
    let data = Datasets.load name
    law, data, Runs.fit (Recipe.standardFor data) data

/// Nats above the entropy, by 4,000 samples that the training has not seen.
let private excess (model: GenerativeModel) (data: Dataset) : float =
    let density = HeldOut.density model data 4000 (Rng.ofSeed 5L) (fun _ _ -> ())
    density.Value.Excess.Value.Mean

[<Tests>]
let tests =
    testList
        "Runs.Defaults"
        [ testCase "images are learned at the rates that were measured"
          <| fun () ->
              Scope.run0 (fun () ->
                  let data =
                      Dataset.ofSamples
                          "noise"
                          ""
                          "noise"
                          (Rng.normal Kind.Float32 [ 8; 1; 8; 8 ] (Rng.ofSeed 1L))
                          None

                  let rate request = (TrainingRequest.recipe data request).LearningRate
                  let standard = TrainingRequest.standard
                  Expect.equal (rate standard) 3e-3 "a velocity in the U-Net"
                  Expect.equal (rate { standard with Loss = Some "ot-cfm" }) 3e-3 "paired otherwise"
                  Expect.equal (rate { standard with Network = Some "adm-small" }) 1e-3 "another network"
                  Expect.equal (rate { standard with From = Some "a run" }) 1e-3 "parameters that are good already"
                  Expect.equal
                      (rate { standard with Loss = Some "edm"; LearningRate = Some 5e-3 })
                      5e-3
                      "what is asked for"

                  for loss in Catalogue.losses.Parts do
                      if not (List.contains loss.Name [ "cfm"; "i-cfm"; "ot-cfm" ]) then
                          Expect.isLessThanOrEqual (rate { standard with Loss = Some loss.Name }) 1e-3 loss.Name)

          full (
              testCase "the defaults find the edges of the checkerboard"
              <| fun () ->
                  let law, data, model = trained "checkerboard"
                  let nats = Tensor.toFloats (law.LogDensity.Value(Samples.ofSeed 1L 20_000 model))
                  let on = float (nats |> Array.filter Double.IsFinite |> Array.length) / float nats.Length
                  Expect.isGreaterThanOrEqual on 0.95 "the share of samples on the squares"
                  Expect.isLessThanOrEqual (excess model data) 0.08 "nats above the entropy"
          )

          full (
              testTheory "the defaults come close to a law without edges" [ "moons"; "eight-gaussians" ]
              <| fun (name: string) ->
                  let _, data, model = trained name
                  Expect.isLessThanOrEqual (excess model data) 0.03 "nats above the entropy"
          )

          full (
              testCase "a flow that is learned by its likelihood stays within what its steps can follow"
              <| fun () ->
                  let data = Datasets.load "moons"
                  let model = Runs.fit (Recipe.standardFor data |> Recipe.withLoss "cnf") data
                  Expect.isLessThanOrEqual (excess model data) 0.15 "nats above the entropy"
          ) ]
