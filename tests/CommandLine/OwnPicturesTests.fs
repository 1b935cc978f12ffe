module Fokker.Tests.CommandLine.OwnPicturesTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training
open Fokker.Tests.CommandLine.Support
open SkiaSharp

/// Ten pictures of 8 × 8 for each of two classes: dark noise and bright noise.
let private darkAndBright (folder: string) =
    let random = Random 4

    for name, low in [ "bright", 190; "dark", 0 ] do
        Directory.CreateDirectory(Path.Combine(folder, name)) |> ignore

        for k in 0..19 do
            use bitmap = new SKBitmap(SKImageInfo(9, 8, SKColorType.Rgba8888, SKAlphaType.Opaque))

            for row in 0..7 do
                for column in 0..8 do
                    let level () = byte (low + random.Next 60)
                    bitmap.SetPixel(column, row, SKColor(level (), level (), level ()))

            use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
            File.WriteAllBytes(Path.Combine(folder, name, $"{k}.png"), data.ToArray())

[<Tests>]
let tests =
    testList
        "CommandLine.OwnPictures"
        [ testCase "a folder of two classes is trained on, and each class is drawn by its folder's name"
          <| fun () ->
              use folder = new Folder()
              let pictures = folder.File "noise"
              darkAndBright pictures
              let words = Path.Combine(pictures, "dark", "words.png")
              File.WriteAllText(words, "no picture")
              let named = $"folder:{pictures},size=8"
              let train more = fokker ([ "train"; named; "--runs"; folder.File "runs"; "--width"; "0" ] @ more)
              assertRefused (train []) [ words; "skip=corrupt" ]
              // The data are read, and what else is asked for is refused.
              let skipped = train [ "--skip-corrupt" ]
              assertRefused skipped [ "--width" ]
              Expect.stringContains skipped.Error "left out 1 of 41 files" ""
              assertRefused (fokker [ "train"; "moons"; "--skip-corrupt" ]) [ "moons"; "folder:DIR" ]
              assertRefused (fokker [ "train"; "moons"; "--flip" ]) [ "moons"; "mirrored" ]
              let data = Datasets.load (Datasets.skippingCorrupt named)
              Expect.equal data.Classes [ "bright"; "dark" ] ""

              let model =
                  Runs.fit
                      { Recipe.standardFor data with
                          Steps = 60L
                          Width = 8
                          Batch = 16
                          LearningRate = 0.005
                          Ema = 0.9 }
                      data

              for name in data.Classes do
                  let request =
                      { SamplingRequest.standard with
                          Generation = { SamplingRequest.standard.Generation with Class = Some name }
                          Count = Some 20 }

                  Scope.run0 (fun () ->
                      let task = Validation.sampling model request
                      let x = Samples.draw task.Model task.Drawing task.Key 20 (fun _ _ -> ())
                      let means = Tensor.toFloats (Tensor.meanOver [ 1; 2; 3 ] x)
                      let right = means |> Array.filter (fun mean -> (mean > 127.5) = (name = "bright"))
                      Expect.isGreaterThanOrEqual right.Length 19 name)

          full (
              testCase "2,000 pictures of shapes: their classes are drawn so that another classifier knows 95 % of them"
              <| fun () ->
                  use folder = new Folder()
                  let pictures = folder.File "shapes"
                  Shapes.write pictures 1 32 2000
                  let runs = folder.File "runs"

                  let trained = fokker [ "train"; $"folder:{pictures},size=16"; "--runs"; runs; "--draws"; "2" ]

                  Expect.equal trained.Code 0 trained.Error

                  // Of pictures that the model never saw.
                  let others = folder.File "others"
                  // The classifier makes three passes: of a third as many pictures it knows 97 % itself.
                  Shapes.write others 2 32 36_000
                  let classifier = FeatureClassifier.train (fun _ _ -> ()) 3L (Datasets.load $"folder:{others},size=16")
                  Expect.isGreaterThan classifier.Accuracy 0.99 ""
                  let model = Runs.load runs None None "shapes"

                  let right =
                      model.Classes
                      |> List.mapi (fun k name ->
                          let out = folder.File $"{name}.npy"
                          let drawn =
                              fokker
                                  [ "sample"
                                    "shapes"
                                    "--runs"
                                    runs
                                    "-n"
                                    "200"
                                    "--class"
                                    name
                                    "--guidance"
                                    "2"
                                    "--out"
                                    out ]
                          Expect.equal drawn.Code 0 drawn.Error

                          Scope.run (fun () ->
                              let x = (Npy.read out).To Dtype.Float32 / 127.5 - 1.0
                              FeatureClassifier.classify classifier x
                              |> Tensor.toArray<int64>
                              |> Array.filter ((=) (int64 k))
                              |> Array.length))

                  Expect.isGreaterThanOrEqual (List.sum right) 570 $"of 600: %A{right}"
          ) ]
