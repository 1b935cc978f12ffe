/// Files of EDM's version of ADM's U-Net, read as networks.
module Fokker.Tests.Runs.EdmUnetTests

open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support
open Fokker.Tests.Runs.StateFixtures

let private fixtures = StateFixtures.fixtures "edm.json"
let private fixture what = fixtures |> List.find (fun json -> text "what" json = what)

let private read (file: string) (said: string) = EdmUnet.read None None (if said = "" then file else $"{file},{said}")

/// How far the network and the denoiser that it makes are from what is said of them at the fixture's noise levels.
let private errors (json: JsonObject) (kind: Kind) (t: TrainedNetwork) : float * float =
    let sigmas = numbers "sigmas" json
    let levels = Tensor.ofArray [ 3; 1; 1; 1 ] sigmas
    let x = images () * (levels + 1.0)
    let labels = if t.Labels then Some(Tensor.ofArray [ 3 ] [| 0L; 1L; 2L |]) else None
    let network = t.Network.Apply (t.Parameters |> Array.map _.To(kind)) labels

    match t.Output with
    | NetworkOutput.Prediction(prediction, Some preconditioning, false) ->
        Expect.equal prediction.Name Prediction.data.Name "it says the data"
        // EDM's path: its time is where the warped noise level is between its ends.
        let warped x = x ** (1.0 / 7.0)
        let least, most = warped 0.002, warped 80.0
        let times = sigmas |> Array.map (fun s -> (warped s - least) / (most - least)) |> Tensor.ofArray [ 3 ]
        let input = (Coefficient.scale (Curve.at preconditioning.In times) x).To kind
        let raw = network (Curve.values preconditioning.Noise times) input
        let denoised = Preconditioning.wrap preconditioning network times (x.To kind)
        distance (numbers "raw" json) raw, distance (numbers "denoised" json) denoised
    | _ -> failtest "it is no preconditioned prediction"

[<Tests>]
let tests =
    testList
        "Runs.EdmUnet"
        [ testTheory "its outputs are the network's" [ for json in fixtures -> text "what" json ]
          <| fun (what: string) ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixture what
                  let model = read (saved folder (tensors json)) (text "said" json)
                  Expect.equal model.Shape [ 1; 4; 4 ] "its names say the size"

                  for kind, most in [ Kind.Float64, 1e-9; Kind.Float32, 1e-5 ] do
                      let raw, denoised = errors json kind model
                      Expect.isLessThan raw most "F"
                      Expect.isLessThan denoised most "D")

          testCase "what is said of the file counts"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixtures[1]
                  let file = saved folder (tensors json)
                  let raw, _ = errors json Kind.Float64 (read file "head=32")
                  Expect.isGreaterThan raw 1e-4 "other heads"
                  let raw, denoised = errors json Kind.Float64 (read file "head=16,sigma-data=1.5")
                  Expect.isGreaterThan (min raw denoised) 1e-4 "another deviation of the data")

          testCase "names, shapes and settings that do not fit are named"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let all = tensors fixtures[2]

                  let refusedOf tensors said words = refused folder (fun file -> read file said) tensors words

                  let without name = all |> List.filter (fun (own, _) -> own <> name)
                  let zeros shape = Tensor.zeros Kind.Float64 shape
                  refusedOf all "head=16,sigma-data=0" [ "sigma-data"; "'0'"; "positive" ]
                  refusedOf all "head=all" [ "'all'"; "whole number" ]
                  refusedOf all "head=24" [ "heads of 24" ]
                  refusedOf (without "out_conv.weight") "head=16" [ "out_conv.weight"; "missing" ]
                  refusedOf (without "enc.4x4_conv.weight") "head=16" [ "enc.NxN_conv.weight" ]
                  refusedOf
                      (without "dec.1x1_in1.norm0.bias")
                      "head=16"
                      [ "mid_block.resnets.1.norm1.bias [64] is missing" ]
                  refusedOf (("ema.decay", zeros [ 1 ]) :: all) "head=16" [ "no place for ema.decay [1]" ]
                  refusedOf
                      (("dec.4x4_block0.qkv.bias", zeros []) :: without "dec.4x4_block0.qkv.bias")
                      "head=16"
                      [ "no place for dec.4x4_block0.qkv.bias" ]
                  refusedOf [ "enc.0x0_conv.weight", zeros [ 32; 1; 3; 3 ] ] "" [ "enc.NxN_conv.weight" ]

                  for name in [ "enc.4x4_conv.weight"; "out_conv.weight"; "enc.2x2_block0.conv1.weight" ] do
                      refusedOf ((name, zeros []) :: without name) "head=16" [ name; "expected at least" ]

                  refusedOf
                      (("enc.2x2_down.skip.resample_filter", zeros [ 1; 1; 4; 4 ])
                       :: without "enc.2x2_down.skip.resample_filter")
                      "head=16"
                      [ "no place for enc.2x2_down.skip.resample_filter [1; 1; 4; 4]" ]

                  refusedOf (("dec.4x4_aux_norm.weight", zeros [ 32 ]) :: all) "head=16" [ "SongUNet"; "DhariwalUNet" ])

          testCase "an imported run is sampled by EDM's sampler"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let file = Scope.run (fun () -> saved folder (tensors fixtures[1]))
              let runs words = fokker (words @ [ "--runs"; root ])
              let succeeds (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
              assertRefused (runs [ "import"; $"edm:{file},head=16"; "--size"; "8" ]) [ "4 pixels" ]
              succeeds (runs [ "import"; $"edm:{file},head=16"; "--name"; "guest" ])
              let sampled = folder.File "s.npy"
              succeeds (
                  runs
                      [ "sample"
                        "guest"
                        "--class"
                        "1"
                        "--solver"
                        "edm"
                        "--steps"
                        "3"
                        "-n"
                        "4"
                        "--out"
                        sampled ]
              )
              Scope.run0 (fun () -> Expect.isTrue ((Npy.read sampled).Shape = [| 4; 1; 4; 4 |]) "") ]
