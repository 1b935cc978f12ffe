/// Label dropout and guidance of trained runs, from the command line.
module Fokker.Tests.CommandLine.GuidingTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private idx (dtype: byte) (shape: int list) (data: byte[]) =
    [| yield! [| 0uy; 0uy; dtype; byte shape.Length |]
       for size in shape do
           yield! Array.rev (BitConverter.GetBytes size)
       yield! data |]

/// Images of 8 × 8 pixels, bright ones of class 1 and dark ones of class 0.
let private writeImages (folder: Folder) (x: string) (y: string) (count: int) =
    let random = Random 1
    let label i = byte (i % 2)
    let pixel i = byte (random.Next 100 + 150 * int (label i))
    let pixels = [| for i in 0 .. count * 64 - 1 -> pixel (i / 64) |]
    File.WriteAllBytes(folder.File x, idx 8uy [ count; 8; 8 ] pixels)
    File.WriteAllBytes(folder.File y, idx 8uy [ count ] (Array.init count label))

/// A folder with forty images: too few to be measured.
let private folderWithImages () =
    let folder = new Folder()
    writeImages folder "x.idx" "y.idx" 40
    folder

let private train (folder: Folder) (name: string) (words: string list) =
    let data = folder.File "x.idx" + "," + folder.File "y.idx"
    fokker ([ "train"; "idx:" + data; "--name"; name; "--runs"; folder.File "runs" ] @ small @ words)

let private done' (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error

let private record (file: string) : JsonNode =
    match JsonNode.Parse(File.ReadAllText file) with
    | null -> failwith file
    | node -> node

/// The runs that several tests look at, each trained once: a test has copies.
let private trained =
    lazy
        (let folder = folderWithImages ()
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())

         for name, words in
             [ "first", [ "--lr"; "0.02" ]; "told", [ "--label-dropout"; "0" ]; "untold", [ "--labels"; "off" ] ] do
             done' (train folder name words)

         folder)

/// A folder with forty images, and with some of those runs.
let private folderWith (runs: string list) =
    let folder = folderWithImages ()

    for name in runs do
        let place = Directory.CreateDirectory(folder.File $"runs/{name}").FullName

        for file in Directory.GetFiles(trained.Value.File $"runs/{name}") do
            File.Copy(file, Path.Combine(place, nonNull (Path.GetFileName file)))

    folder

let private dropout (folder: Folder) (name: string) : float =
    let json = record (folder.File $"runs/{name}/run.json")
    let settings = nonNull json["settings"]
    (nonNull settings["labelDropout"]).GetValue<float>()

let private sample (folder: Folder) (words: string list) =
    fokker ([ "sample"; "--runs"; folder.File "runs"; "-n"; "4"; "--steps"; "3"; "--quiet" ] @ words)

let private samples (folder: Folder) (words: string list) =
    let file = folder.File "x0.npy"
    done' (sample folder (words @ [ "--out"; file ]))
    Tensor.toArray<byte>(Npy.read file)

// ---- classifiers and compositions

let private inside (name: string) (node: JsonNode) : JsonNode = nonNull node[name]
let private item (k: int) (node: JsonNode) : JsonNode = nonNull node[k]

let private classifierOf (data: string) (folder: Folder) (name: string) (words: string list) =
    let small = [ "--steps"; "60"; "--batch"; "32"; "--width"; "16"; "--lr"; "0.02"; "--quiet" ]

    fokker (
        [ "train"; data; "--loss"; "classifier"; "--name"; name; "--runs"; folder.File "runs" ]
        @ small
        @ words
    )

let private classifier (folder: Folder) = classifierOf ("idx:" + folder.File "x.idx" + "," + folder.File "y.idx") folder

[<Tests>]
let tests =
    testList
        "CommandLine.Guiding"
        [ testCase "a run whose labels were dropped is guided, 1 is plain, and so is guidance by itself"
          <| fun () ->
              use folder = folderWith [ "first" ]
              Expect.equal (dropout folder "first") 0.1 ""
              let plain = samples folder [ "first"; "--class"; "1" ]
              let guided = samples folder [ "first"; "--class"; "1"; "--guidance"; "4" ]
              Expect.notEqual guided plain ""
              equal plain (samples folder [ "first"; "--class"; "1"; "--guidance"; "1" ])
              let itself = [ "first"; "--class"; "1"; "--guidance"; "4"; "--autoguidance"; "first" ]
              equal plain (samples folder itself)
              let json = json (sample folder (itself @ [ "--json"; "--out"; folder.File "x0.npy" ]))
              Expect.equal ((nonNull json["guidance"]).GetValue<float>()) 4.0 ""
              Expect.equal ((nonNull json["autoguidance"]).GetValue<string>()) "first" ""

          testCase "guidance of a run that never learned the null is refused with what to do, and goes by a weaker run"
          <| fun () ->
              use folder = folderWith [ "told"; "untold" ]
              Expect.equal (dropout folder "untold") 0.0 ""
              let guided name = sample folder [ name; "--guidance"; "3"; "--out"; folder.File "x0.npy" ]
              assertRefused (guided "told") [ "--guidance 3"; "told"; "--label-dropout"; "--autoguidance" ]
              assertRefused (guided "untold") [ "--guidance 3"; "untold"; "no classes"; "--labels on" ]
              done' (
                  sample folder [ "told"; "--guidance"; "3"; "--autoguidance"; "untold"; "--out"; folder.File "x0.npy" ]
              )

              // A run of before there was label dropout: none of its labels were dropped.
              let file = folder.File "runs/told/run.json"
              let old = record file
              Expect.isTrue ((nonNull old["settings"]).AsObject().Remove "labelDropout") ""
              let plain = samples folder [ "told" ]
              File.WriteAllText(file, old.ToJsonString())
              equal plain (samples folder [ "told" ])
              assertRefused (guided "told") [ "--label-dropout" ]

          testCase "label dropout that cannot be is refused"
          <| fun () ->
              use folder = folderWithImages ()
              let before = folder.Contents
              assertRefused (train folder "a" [ "--label-dropout"; "1" ]) [ "--label-dropout 1"; "below 1" ]
              assertRefused
                  (train folder "a" [ "--label-dropout"; "0.2"; "--labels"; "off" ])
                  [ "--label-dropout 0.2"; "--labels" ]
              equal before folder.Contents

          testCase "a classifier of noisy samples is trained, guides runs, and is not sampled from"
          <| fun () ->
              use folder = folderWith [ "first"; "told"; "untold" ]
              // Enough to hold some out.
              writeImages folder "more-x.idx" "more-y.idx" 200
              let data = "idx:" + folder.File "more-x.idx" + "," + folder.File "more-y.idx"
              done' (classifierOf data folder "judge" [ "--json" ])
              let settings = record (folder.File "runs/judge/run.json") |> inside "settings"
              Expect.equal ((inside "network" settings).GetValue<string>()) "classifier" ""
              // Bright and dark ones are easily told apart.
              let found = record (folder.File "runs/judge/evaluation.json") |> inside "accuracy"
              Expect.isGreaterThan ((found |> item 0 |> inside "value").GetValue<float>()) 0.7 ""
              // It goes on where it stopped, and says the same.
              let bytes () = File.ReadAllBytes(folder.File "runs/judge/checkpoint.safetensors")
              let before = bytes ()
              done' (fokker [ "train"; "--resume"; "--name"; "judge"; "--runs"; folder.File "runs"; "--quiet" ])
              equal before (bytes ())

              done' (train folder "other" [ "--path"; "vp" ])
              let by scale = [ "--guidance"; scale; "--classifier"; "judge" ]

              for run in [ "first"; "untold" ] do
                  let toClass k = samples folder ([ run; "--class"; k ] @ by "20")
                  Expect.notEqual (toClass "1") (toClass "0") run
                  // Without a class they take turns.
                  equal (Array.take 64 (toClass "0")) (Array.take 64 (samples folder (run :: by "20")))

              let json = json (sample folder ([ "untold"; "--json"; "--out"; folder.File "x0.npy" ] @ by "3"))
              Expect.equal ((nonNull json["guidance"]).GetValue<float>()) 3.0 ""
              Expect.equal ((nonNull json["classifier"]).GetValue<string>()) "judge" ""
              assertRefused (sample folder ("told" :: by "3")) [ "--classifier judge"; "told"; "--label-dropout" ]
              assertRefused (sample folder ("other" :: by "3")) [ "--classifier judge"; "condot"; "vp" ]
              let by name = sample folder [ "first"; "--guidance"; "3"; "--classifier"; name ]
              assertRefused (by "untold") [ "--classifier untold"; "--loss classifier" ]
              assertRefused (by "exact") [ "--classifier exact"; "--loss classifier" ]

              for command in [ "sample"; "evaluate"; "report"; "likelihood" ] do
                  assertRefused
                      (fokker [ command; "judge"; "--runs"; folder.File "runs" ])
                      [ "classifier"; "let it guide a model" ]

          testCase "a classifier that cannot be is refused"
          <| fun () ->
              use folder = folderWithImages ()
              let before = folder.Contents

              for words, expected in
                  [ [ "--network"; "unet" ], [ "--network unet"; "--network classifier" ]
                    [ "--depth"; "3" ], [ "--depth 3"; "leave it out" ]
                    [ "--labels"; "off" ], [ "--labels off"; "--labels on" ]
                    [ "--label-dropout"; "0.1" ], [ "--label-dropout 0.1"; "leave it out" ]
                    [ "--prediction"; "v" ], [ "--prediction v"; "classifier" ] ] do
                  assertRefused (classifier folder "judge" words) expected

              let wide = [ "train"; "idx:" + folder.File "x.idx"; "--loss"; "classifier"; "--runs"; folder.File "runs" ]
              assertRefused (fokker wide) [ "--loss classifier"; "no classes" ]
              assertRefused
                  (fokker ([ "train"; "moons"; "--loss"; "classifier" ] @ wide[4..]))
                  [ "moons"; "no classes" ]
              equal before folder.Contents

          testCase "a run is sampled towards several classes at once"
          <| fun () ->
              use folder = folderWith [ "first"; "told" ]
              let composed = samples folder [ "first"; "--compose"; "1:3" ]
              equal (samples folder [ "first"; "--class"; "1"; "--guidance"; "3" ]) composed
              Expect.notEqual (samples folder [ "first"; "--compose"; "1:3,0:-1" ]) composed ""
              assertRefused (sample folder [ "told"; "--compose"; "1:3" ]) [ "--compose 1:3"; "--label-dropout" ]
              let json =
                  json (sample folder [ "first"; "--compose"; "1:3,0:-1"; "--json"; "--out"; folder.File "x0.npy" ])
              let negated = json |> inside "composition" |> item 1
              Expect.equal ((inside "weight" negated).GetValue<float>()) (-1.0) ""

          full (
              testCase "a student is told how far to guide, and its own student in steps after it"
              <| fun () ->
                  use folder = folderWithImages ()
                  done' (train folder "teacher" [])
                  done' (train folder "told" [ "--loss"; "guided"; "--teacher"; "teacher"; "--lr"; "0.02" ])
                  let at (scale: int) = samples folder [ "told"; "--class"; "1"; "--guidance"; string scale ]
                  Expect.notEqual (at 3) (at 1) ""
                  // Plain is where nobody says how far.
                  equal (samples folder [ "told"; "--class"; "1" ]) (at 1)
                  assertRefused
                      (sample folder [ "told"; "--class"; "1"; "--guidance"; "9" ])
                      [ "--guidance 9"; "from 1 to 5" ]
                  done' (train folder "fast" [ "--loss"; "progressive:steps=4"; "--teacher"; "told" ])

                  let fast (scale: string) =
                      let file = folder.File "y.npy"

                      let words =
                          [ "sample"; "fast@2"; "--runs"; folder.File "runs"; "-n"; "4"; "--quiet" ]
                          @ [ "--class"; "1"; "--guidance"; scale; "--out"; file ]

                      done' (fokker words)
                      Tensor.toArray<byte>(Npy.read file)

                  Expect.notEqual (fast "3") (fast "1") ""
          ) ]
