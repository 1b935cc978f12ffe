/// Files of guided-diffusion's U-Net, read as networks.
module Fokker.Tests.Runs.GuidedDiffusionTests

open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support
open Fokker.Tests.Runs.StateFixtures

let private fixtures = StateFixtures.fixtures "adm.json"

let private read (file: string) (said: string) =
    GuidedDiffusion.read (Some 4) None (if said = "" then file else $"{file},{said}")

/// What a network says of x at the fixture's steps, and how far that is from what is said there.
let private error (json: JsonObject) (kind: Kind) (t: TrainedNetwork) : float =
    let times = numbers "steps" json |> Array.map (fun k -> (k + 1.0) / 1000.0)
    let labels = if t.Labels then Some(Tensor.ofArray [ 3 ] [| 0L; 1L; 2L |]) else None
    let said =
        t.Network.Apply (t.Parameters |> Array.map _.To(kind)) labels (Tensor.ofArray [ 3 ] times) ((images ()).To kind)
    distance (numbers "output" json) said

let private fixture what = fixtures |> List.find (fun json -> text "what" json = what)

[<Tests>]
let tests =
    testList
        "Runs.GuidedDiffusion"
        [ testTheory "its outputs are the network's" [ for json in fixtures -> text "what" json ]
          <| fun (what: string) ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixture what
                  let model = read (saved folder (tensors json)) (text "said" json)
                  Expect.isLessThan (error json Kind.Float64 model) 1e-9 "in float64"
                  Expect.isLessThan (error json Kind.Float32 model) 1e-5 "in float32")

          testCase "what is said of the file counts"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let json = fixtures[1]
                  let file = saved folder (tensors json)
                  let wrong said = error json Kind.Float64 (read file said)
                  Expect.isGreaterThan (wrong "head=32") 1e-4 "other heads"
                  Expect.isGreaterThan (wrong "head=16,order=new") 1e-4 "another order"
                  let model = read file "head=16,schedule=cosine,steps=500,says=data"
                  Expect.equal model.Path.Name (Paths.find [] "ddpm-cosine:steps=500").Name ""
                  let said (output: NetworkOutput) = (NetworkOutput.toJson output).ToJsonString()

                  Expect.equal
                      (said model.Output)
                      (said (NetworkOutput.Prediction(Prediction.data, None, true)))
                      "twice as many channels: the variance is learned")

          testCase "names, shapes and settings that do not fit are named"
          <| fun () ->
              use folder = new Folder()

              Scope.run0 (fun () ->
                  let all = tensors fixtures[1]
                  let refusedOf tensors said words = refused folder (fun file -> read file said) tensors words

                  let without name = all |> List.filter (fun (own, _) -> own <> name)
                  let zeros shape = Tensor.zeros Kind.Float64 shape
                  refusedOf all "" [ "head=64"; "head=all" ]
                  refusedOf all "head=16,head=32" [ "head"; "more than once" ]
                  refusedOf all "head=none" [ "'none'"; "whole number" ]
                  refusedOf all "head=24" [ "24" ]
                  refusedOf all "head=16,schedule=linear,order=old" [ "'old'"; "legacy or new" ]
                  refusedOf (without "out.2.weight") "head=16" [ "out.2.weight"; "missing" ]
                  refusedOf
                      (without "middle_block.2.in_layers.0.bias")
                      "head=16"
                      [ "mid_block.resnets.1.norm1.bias"; "missing" ]
                  refusedOf (("ema.decay", zeros [ 1 ]) :: all) "head=16" [ "no place for ema.decay [1]" ]

                  for name in [ "input_blocks.0.0.weight"; "out.2.weight"; "input_blocks.1.0.out_layers.3.weight" ] do
                      refusedOf ((name, zeros []) :: without name) "head=16" [ name; "expected at least" ]

                  refusedOf
                      (("out.2.bias", zeros [ 5 ]) :: without "out.2.bias")
                      "head=16"
                      [ "conv_out.bias is [5] float64, expected [2]" ]

                  refusedOf
                      (all |> List.filter (fun (name, _) -> not (name.StartsWith "input_blocks.5")))
                      "head=16"
                      [ "input blocks" ])

          testCase "an imported run is sampled"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let file = Scope.run (fun () -> saved folder (tensors fixtures[1]))
              let runs words = fokker (words @ [ "--runs"; root ])
              let succeeds (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error
              assertRefused (runs [ "import"; $"adm:{file},head=16" ]) [ "--size" ]
              succeeds (runs [ "import"; $"adm:{file},head=16,schedule=cosine"; "--size"; "4"; "--name"; "guest" ])
              let sampled = folder.File "s.npy"
              succeeds (
                  runs
                      [ "sample"
                        "guest"
                        "--class"
                        "1"
                        "--solver"
                        "ancestral-learned"
                        "--steps"
                        "3"
                        "-n"
                        "4"
                        "--out"
                        sampled ]
              )
              Scope.run0 (fun () -> Expect.isTrue ((Npy.read sampled).Shape = [| 4; 1; 4; 4 |]) "") ]
