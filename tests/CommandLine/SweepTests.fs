/// Several trainings of one command, compared on a page.
module Fokker.Tests.CommandLine.SweepTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private node (name: string) (json: JsonNode) : JsonNode = nonNull json[name]

[<Tests>]
let tests =
    testList
        "CommandLine.Sweep"
        [ testCase "every combination is trained as a command of its own would train it"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              // The rate 1e30 diverges: the others go on.
              let sweep more =
                  fokker (
                      [ "train"; "moons"; "--name"; "s"; "--runs"; root; "--json" ]
                      @ small
                      @ [ "--sweep"; "lr=1e-3,1e30"; "--sweep"; "seed=0,1" ]
                      @ more
                  )

              let outcome = sweep []
              Expect.equal outcome.Code 0 outcome.Error
              let runs = (node "runs" (json outcome)).AsArray() |> Seq.map nonNull |> List.ofSeq
              let names = [ for run in runs -> (node "run" run).GetValue<string>() ]
              equal [ "s-lr=1e-3-seed=0"; "s-lr=1e-3-seed=1"; "s-lr=1e30-seed=0"; "s-lr=1e30-seed=1" ] names
              equal [ false; false; true; true ] [ for run in runs -> not (isNull run["refused"]) ]

              // The same training by itself.
              let alone =
                  fokker (
                      [ "train"; "moons"; "--name"; "alone"; "--runs"; root; "--lr"; "1e-3"; "--seed"; "1" ] @ small
                  )

              Expect.equal alone.Code 0 alone.Error
              let model name = File.ReadAllBytes(Path.Combine(root, name, "model.safetensors"))
              Expect.isTrue (model "alone" = model "s-lr=1e-3-seed=1") "the same model"
              Expect.isFalse (model "alone" = model "s-lr=1e-3-seed=0") "another seed, another model"

              let figure run = (runs[run] |> node "metrics" |> node "wasserstein2" |> node "value").GetValue<float>()

              let page = File.ReadAllText((node "page" (json outcome)).GetValue<string>())

              for words in
                  [ "Comparison"; "Over seeds"; "s-lr=1e-3-seed=1"; "diverged"; "Samples" ]
                  @ [ for run in 0..1 -> Report.Markup.significant 4 (figure run) ] do
                  Expect.stringContains page words ""

              // The mean over seeds of the rate that trained.
              Expect.stringContains page (Report.Markup.significant 4 ((figure 0 + figure 1) / 2.0)) "a mean over seeds"

              // What is done stays as it is; what is not is trained again.
              assertRefused (sweep []) [ "s-lr=1e-3-seed=0"; "--resume" ]
              let before = model "s-lr=1e-3-seed=0"
              Directory.Delete(Path.Combine(root, "s-lr=1e-3-seed=1"), true)
              let again = sweep [ "--resume" ]
              Expect.equal again.Code 0 again.Error
              Expect.isTrue (model "s-lr=1e-3-seed=0" = before) ""
              Expect.isTrue (model "s-lr=1e-3-seed=1" = model "alone") ""

          testCase "a sweep that cannot be is refused before anything is trained"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let sweep more = fokker ([ "train"; "moons"; "--runs"; root ] @ small @ more)
              assertRefused (sweep [ "--sweep"; "lrr=1,2" ]) [ "lrr"; "did you mean lr" ]
              assertRefused (sweep [ "--sweep"; "name=a,b" ]) [ "name" ]
              assertRefused (sweep [ "--sweep"; "lr" ]) [ "lr=1e-3,2e-3" ]
              assertRefused (sweep [ "--sweep"; "lr=1e-3,,2e-3" ]) [ "empty" ]
              assertRefused (sweep [ "--sweep"; "lr=1,2"; "--sweep"; "lr=3,4" ]) [ "lr"; "more than once" ]
              assertRefused (sweep [ "--sweep"; "width=8,16" ]) [ "--width" ]
              assertRefused (sweep [ "--sweep"; "loss=cfm,cfn" ]) [ "cfn" ]
              Expect.isFalse (Directory.Exists root) "nothing is written"

          testProperty "the combinations are all, each once"
          <| fun (sizes: byte list) ->
              let sizes = sizes |> List.truncate 3 |> List.map (fun n -> 1 + int n % 4)

              let settings = sizes |> List.mapi (fun k n -> { Key = $"k{k}"; Values = [ for i in 1..n -> string i ] })

              let points = Sweep.points settings
              Expect.equal points.Length (List.fold (*) 1 sizes) ""
              Expect.unique points ""

          testCase "values with commas of their own are separated by bars"
          <| fun () ->
              equal [ "cfm"; "dsm" ] (Sweep.setting "loss=cfm,dsm").Values
              equal [ "min-snr:gamma=5,x=1"; "uniform" ] (Sweep.setting "weight=min-snr:gamma=5,x=1|uniform").Values ]
