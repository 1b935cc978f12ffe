/// What a run has learned is its own: it follows neither its data set's file nor its folder.
module Fokker.Tests.CommandLine.MovedModelTests

open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private numbers (file: string) : float[] = Scope.run (fun () -> Tensor.toFloats (Npy.read file))

let private trainOn (folder: Folder) (name: string) (x: unit -> Tensor) (words: string list) =
    Scope.run0 (fun () -> Npy.write (folder.File "d.npy") (x ()))
    let data = "npy:" + folder.File "d.npy"
    let outcome =
        fokker (
            [ "train"; data; "--name"; name; "--runs"; folder.File "runs" ]
            @ [ "--depth"; "1"; "--draws"; "2"; "--quiet" ]
            @ words
        )

    Expect.equal outcome.Code 0 outcome.Error

let private normal (shift: float) (scale: float) (n: int) () =
    shift + scale * Rng.normal Kind.Float64 [ n; 1 ] (Rng.ofSeed 2L)

[<Tests>]
let tests =
    testList
        "CommandLine.MovedModel"
        [ testCase "a run samples the same bytes whatever becomes of its data and of its folder"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              trainOn folder "r" (normal 0.0 1.0 400) [ "--steps"; "20"; "--batch"; "32"; "--width"; "16" ]

              let sample (model: string) =
                  let outcome =
                      fokker [ "sample"; model; "-n"; "5"; "--out"; folder.File "s.npy"; "--runs"; root; "--quiet" ]
                  Expect.equal outcome.Code 0 outcome.Error
                  File.ReadAllBytes(folder.File "s.npy")

              let evaluate (words: string list) =
                  fokker ([ "evaluate"; "r"; "-n"; "20"; "--draws"; "2"; "--runs"; root; "--quiet" ] @ words)

              let before = sample "r"

              // The table is replaced: the run is what it was, the evaluation says what it is held against, and training does not go on.
              Scope.run0 (fun () -> Npy.write (folder.File "d.npy") (normal 5000.0 100.0 400 ()))
              Expect.equal (sample "r") before ""
              Expect.stringContains ((evaluate []).Error) "has changed since r was trained on it" ""
              let resumed = fokker [ "train"; "--resume"; "--name"; "r"; "--runs"; root ]
              assertRefused resumed [ "its data are no longer those" ]

              // Everything is deleted but the model, which is moved.
              File.Delete(folder.File "d.npy")
              assertRefused (evaluate []) [ "--data"; "cannot be read" ]
              Expect.equal ((evaluate [ "--data"; "npy:" + folder.File "s.npy" ]).Code) 2 ""
              let moved = folder.File "elsewhere.safetensors"
              File.Move(Path.Combine(root, "r", "model.safetensors"), moved)
              Directory.Delete(root, true)
              Expect.equal (sample moved) before ""

          testCase "numbers that float32 cannot tell apart come back"
          <| fun () ->
              use folder = new Folder()
              trainOn folder "r" (normal 2460000.5 0.05 2000) [ "--steps"; "40"; "--batch"; "32"; "--width"; "16" ]

              for dtype in [ "float32"; "float64" ] do
                  let out = folder.File "s.npy"

                  let outcome =
                      fokker
                          [ "sample"
                            "r"
                            "-n"
                            "200"
                            "--dtype"
                            dtype
                            "--out"
                            out
                            "--runs"
                            folder.File "runs"
                            "--quiet" ]

                  Expect.equal outcome.Code 0 outcome.Error
                  let x = numbers out
                  Expect.equal ((Array.distinct x).Length) 200 ""
                  // A network of forty steps is somewhere near: a constant, or multiples of a quarter, are not.
                  Expect.within 0.1 (Array.average x) 2460000.5 ""

          // As wide and as narrow as data may be, far from 0 too: every command answers, and what is drawn is finite and about as wide as they are.
          testTheory
              "extreme but finite data go through to the report"
              [ 0.0, 2e29; 0.0, 1e-29; 1e29, 1e14; 1e-300, 0.0 ]
          <| fun (mean: float, deviation: float) ->
              use folder = new Folder()
              let table () = Tensor.cat 1 [ normal mean deviation 200 (); normal 0.0 1.0 200 () ]
              trainOn folder "r" table [ "--steps"; "10"; "--batch"; "16"; "--width"; "8" ]
              let data, out = folder.File "d.npy", folder.File "s.npy"

              for words in
                  [ [ "sample"; "r"; "-n"; "50"; "--out"; out ]
                    [ "evaluate"; "r"; "-n"; "15"; "--draws"; "2" ]
                    [ "likelihood"; "r"; "--data"; data; "--rtol"; "1e-3" ]
                    [ "encode"; "r"; "--data"; data; "--rtol"; "1e-3"; "--out"; folder.File "z.npy" ]
                    [ "interpolate"; "r"; "--rtol"; "1e-2"; "--out"; folder.File "w.png" ]
                    [ "report"; "r" ] ] do
                  let outcome = fokker (words @ [ "--runs"; folder.File "runs"; "--quiet" ])
                  Expect.equal outcome.Code 0 $"{words.Head}: {outcome.Error}"

              let drawn =
                  [| for k, x in Array.indexed (numbers out) do
                         if k % 2 = 0 then
                             x |]
              let spread =
                  Array.average [| for x in drawn -> abs (x - mean) / (if deviation > 0.0 then deviation else 1.0) |]
              Expect.isTrue (Array.forall System.Double.IsFinite drawn) ""
              Expect.isLessThan spread 10.0 ""

          testTheory "images of any number of channels have pictures" [ 2; 4 ]
          <| fun (channels: int) ->
              use folder = new Folder()
              let pixels () = (Rng.integers 256L [ 40; channels; 8; 8 ] (Rng.ofSeed 1L)).To Dtype.UInt8
              trainOn folder "r" pixels [ "--steps"; "1"; "--batch"; "4"; "--width"; "8" ]
              let out = folder.File "s.png"
              let outcome = fokker [ "sample"; "r"; "-n"; "2"; "--out"; out; "--runs"; folder.File "runs"; "--quiet" ]
              Expect.equal outcome.Code 0 outcome.Error
              Expect.isTrue (File.Exists out) ""

          // What a picture shows from black to white: the range that the numbers of the images keep to.
          testTheory
              "pictures of floats span the data's own range"
              [ 0.0, 1.0, 0.0, 1.0; -1.0, 1.0, -1.0, 1.0; 0.0, 255.0, 0.0, 255.0; -300.0, 700.0, -300.0, 700.0 ]
          <| fun (low: float, high: float, black: float, white: float) ->
              Scope.run0 (fun () ->
                  let x = low + (high - low) * Rng.uniform Kind.Float32 [ 20; 1; 4; 4 ] (Rng.ofSeed 1L)
                  let ends =
                      Tensor.ofArray
                          [ 1; 1; 4; 4 ]
                          [| for k in 0..15 -> if k % 2 = 0 then float32 low else float32 high |]
                  let data = Dataset.ofSamples "f" "" "f" (Tensor.cat 0 [ x; ends ]) None
                  Expect.equal data.Range (Some(black, white)) ""
                  let shown = SamplePicture.images (Option.get data.Range) (ends.To Dtype.Float64)
                  Expect.within 1e-6 (float shown.Pixels[0]) -1.0 ""
                  Expect.within 1e-6 (float shown.Pixels[1]) 1.0 "") ]
