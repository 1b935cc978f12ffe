module Fokker.Tests.MatrixTests

open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

/// Combinations of paths, losses, predictions, weights, times and couplings, each trained on two moons with the command line's
/// defaults otherwise, for half as long. A mean 2-Wasserstein distance over ten draws within 1.3 of the noise floor is what is asked of each.
let private combinations =
    [ "--loss cfm"
      "--loss cfm --path trigonometric --times logit-normal"
      "--loss cfm --weight learned"
      "--loss simple --path vp"
      "--loss simple --path ddpm --times discrete"
      "--loss simple --path cosine --prediction v --weight soft-min-snr"
      "--loss cfm --path linear-gamma --times u-shaped"
      "--loss denoiser --path vp --preconditioning edm --weight edm"
      "--loss dsm --path ve"
      "--loss edm"
      "--loss i-cfm --batch 256"
      "--loss ot-cfm --batch 256"
      "--loss sb-cfm --batch 256"
      "--loss sf2m --batch 256"
      "--loss hybrid"
      "--loss ict"
      "--loss lsd"
      "--loss psd" ]

let cases = combinations |> List.map (fun words -> words)

let private refusals =
    [ "--loss cmf", [ "--loss"; "cfm" ]
      "--loss ot-cfm --weight snr", [ "--weight"; "ot-cfm"; "cfm" ]
      "--loss cfm --coupling ot", [ "--coupling"; "ot-cfm" ]
      "--loss ot-cfm --coupling otr", [ "--coupling"; "ot" ]
      "--loss cd", [ "--teacher" ]
      "--loss lmd", [ "--teacher" ]
      "--loss psd --weight snr", [ "--weight"; "psd"; "cfm" ]
      "--loss cd --teacher nothing", [ "nothing" ]
      "--loss simple --preconditioning edm", [ "--preconditioning"; "--prediction data" ]
      "--loss ism --times importance", [ "--times"; "importance" ]
      "--loss i-cfm --source npy:SOLID", [ "--source"; "shape"; "solid.npy" ]
      "--loss i-cfm --source eight-gausians", [ "eight-gaussians" ]
      "--loss vlb --path condot", [ "--prediction"; "condot" ] ]

let refused = refusals |> List.map (fun (words, _) -> words)

[<Tests>]
let tests =
    testList
        "Matrix"
        [ full (
              testTheory "a combination reaches the noise floor" cases
              <| fun (words: string) ->
                  use folder = new Folder()

                  let outcome =
                      fokker (
                          [ "train"
                            "moons"
                            "--steps"
                            "10000"
                            "--draws"
                            "10"
                            "--json"
                            "--runs"
                            folder.Path
                            "--name"
                            "run" ]
                          @ List.ofArray (words.Split ' ')
                      )

                  Expect.equal outcome.Code 0 outcome.Error
                  let inside (name: string) (node: JsonNode) = nonNull node[name]
                  let ratio = json outcome |> inside "metrics" |> inside "wasserstein2" |> inside "ratio"
                  Expect.isLessThanOrEqual (ratio.GetValue<float>()) 1.3 ""
          )

          testTheory "parts that do not fit are refused in one line" refused
          <| fun (words: string) ->
              use folder = new Folder()
              use elsewhere = new Folder()
              let solid = elsewhere.File "solid.npy"
              Scope.run0 (fun () -> Npy.write solid (Tensor.zeros Kind.Float64 [ 40; 3 ]))

              let outcome =
                  fokker (
                      [ "train"; "moons"; "--runs"; folder.Path; "--name"; "run" ]
                      @ small
                      @ List.ofArray (words.Replace("SOLID", solid).Split ' ')
                  )

              assertRefused outcome (refusals |> List.find (fst >> (=) words) |> snd)
              Expect.isEmpty folder.Contents ""

          // A flow from data to data, and a jump learned from it: trained, sampled, measured and reported in one go.
          testCase "a flow between data sets and a distilled jump run from end to end"
          <| fun () ->
              use folder = new Folder()
              let train words = fokker ([ "train"; "moons"; "--runs"; folder.Path ] @ small @ words)
              let flow = train [ "--loss"; "ot-cfm"; "--source"; "eight-gaussians"; "--name"; "flow" ]
              Expect.equal flow.Code 0 flow.Error
              let teacher = train [ "--name"; "teacher" ]
              Expect.equal teacher.Code 0 teacher.Error
              let jump = train [ "--loss"; "cd"; "--teacher"; folder.File "teacher"; "--name"; "jump" ]
              Expect.equal jump.Code 0 jump.Error
              let sample =
                  fokker [ "sample"; folder.File "jump"; "-n"; "5"; "--steps"; "1"; "--out"; folder.File "x.npy" ]
              Expect.equal sample.Code 0 sample.Error
              // A coupled flow has no score: a stochastic sampler is refused, by name.
              assertRefused
                  (fokker [ "sample"; folder.File "flow"; "--solver"; "euler-maruyama"; "--out"; folder.File "y.npy" ])
                  [ "--solver euler-maruyama"; "score" ] ]
