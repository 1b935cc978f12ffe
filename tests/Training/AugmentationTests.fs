module Fokker.Tests.Training.AugmentationTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private height, width = 5, 6

/// Image k of 10 has the number 30 k + 6 row + column at a place: what is seen of it says which image it is, where the window was and whether it is mirrored.
let private images () =
    Dataset.ofSamples
        "numbered"
        ""
        "numbered"
        (Tensor.ofArray [ 10; 1; height; width ] [| for i in 0..299 -> float i |])
        None

/// The image, the window's corner and whether it is mirrored, of [side; side] numbers. Fails where it is no window of an image.
let private place (side: int) (pixels: float[]) : int * int * int * bool =
    let numbers = pixels |> Array.map (round >> int)
    let mirrored = numbers[1] < numbers[0]
    let corner = if mirrored then numbers[side - 1] else numbers[0]
    let image, top, left = corner / 30, corner % 30 / width, corner % width

    let expected =
        [| for row in 0 .. side - 1 do
               for column in 0 .. side - 1 do
                   let from = if mirrored then side - 1 - column else column
                   30 * image + width * (top + row) + left + from |]

    Expect.equal numbers expected ""
    image, top, left, mirrored

let private seen (data: Dataset) (side: int) (batch: Batch) =
    Tensor.toFloats (Dataset.inData data batch.Data)
    |> Array.chunkBySize (side * side)
    |> Array.map (place side)

let private key = Rng.ofSeed 5L

[<Tests>]
let tests =
    testList
        "Training.Augmentation"
        [
          // 2,000 views: a share of 1/2 is off by 1.1 % in deviation, one of 1/12 by 0.6 %.
          testCase "each image comes once in a pass, at every place alike, half of the time mirrored"
          <| fun () ->
              let data = Dataset.augmented { Flip = true; Crop = Some 3 } (images ())
              Expect.equal data.Shape [ 1; 3; 3 ] ""
              let n = int (Option.get (Dataset.trainCount data))
              let batches = Dataset.batches Kind.Float64 n key data
              let views = [| for step in 0L .. 222L -> Scope.run (fun () -> seen data 3 (batches step)) |]

              for pass in views do
                  Expect.unique (pass |> Array.map (fun (image, _, _, _) -> image)) ""

              let all = Array.concat views
              let share f = float (all |> Array.filter f |> Array.length) / float all.Length
              Expect.within 0.05 (share (fun (_, _, _, mirrored) -> mirrored)) 0.5 "mirrored"

              for top in 0..2 do
                  for left in 0..3 do
                      Expect.within
                          0.03
                          (share (fun (_, t, l, _) -> (t, l) = (top, left)))
                          (1.0 / 12.0)
                          $"{top}, {left}"

          testCase "what is seen depends on the image and the pass alone: not on the batch, nor on the steps before"
          <| fun () ->
              let data = Dataset.augmented { Flip = true; Crop = Some 4 } (images ())

              let inBatches size steps =
                  let batches = Dataset.batches Kind.Float64 size key data
                  Array.concat [ for step in 0L .. steps - 1L -> seen data 4 (batches step) ]

              Expect.equal (inBatches 4 9L) (inBatches 36 1L) ""
              Expect.equal (inBatches 12 3L) (inBatches 36 1L) ""
              let alone = Dataset.batches Kind.Float64 4 key data 7L
              Expect.equal (seen data 4 alone) (Array.sub (inBatches 4 9L) 28 4) ""

          testCase "held-out images are seen through the middle, and never mirrored"
          <| fun () ->
              let data = Dataset.augmented { Flip = true; Crop = Some 3 } (images ())
              let views = seen data 3 (Dataset.heldOut Kind.Float64 10 key data)
              Expect.all views (fun (_, top, left, mirrored) -> (top, left, mirrored) = (1, 1, false)) ""
              let whole = Dataset.augmented { Flip = true; Crop = None } (images ())
              Expect.equal whole.Shape [ 1; height; width ] ""

          testCase "views leave no tensor behind"
          <| fun () ->
              let data = Dataset.augmented { Flip = true; Crop = Some 3 } (images ())
              let batches = Dataset.batches Kind.Float32 4 key data
              let step k = Scope.run0 (fun () -> batches k |> ignore)
              step 0L
              collect ()
              let before = Scope.live ()
              for k in 1L .. 20L do
                  step k
              collect ()
              Expect.equal (Scope.live ()) before ""

          testCase "the name of a data set says it, for any images, and is put back together"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "x.npy")
                  Npy.write file (Tensor.ofArray [ 10; 5; 6 ] (Array.init 300 (fun i -> byte (i % 256))))
                  let data = Datasets.load $"npy:{file},crop=4,flip=on"
                  Expect.equal data.Shape [ 1; 4; 4 ] ""
                  Expect.equal data.Name $"npy:{file},crop=4,flip=on" ""
                  Expect.equal data.Augmentation { Flip = true; Crop = Some 4 } ""
                  Expect.equal (Datasets.shortName data.Name) "x" ""
                  let said = Datasets.seenBy { Flip = true; Crop = Some 4 }
                  Expect.equal (said $"npy:{file}") data.Name ""
                  Expect.equal (said data.Name) data.Name ""
                  Expect.equal (said $"npy:{file},crop=3") $"npy:{file},crop=3,flip=on" "what is said already stays"
                  let refused (text: string) words = userError (fun () -> Datasets.load text) |> names words
                  refused $"npy:{file},crop=6" [ "6 × 5"; "1 to 5" ]
                  refused $"npy:{file},crop=0" [ "crop is '0'" ]
                  refused $"npy:{file},flip=yes" [ "flip is 'yes'"; "on or off" ]
                  refused "moons,flip=on" [ "moons"; "only images are mirrored" ])

          testCase "a run that is stopped and taken up ends with the same bytes"
          <| fun () ->
              let network: Network =
                  { shift 1 with
                      Specs = [| { Name = "w"; Shape = [ 1; 4; 4 ]; Initializer = Initializer.Normal 1.0 } |] }

              let plan =
                  { plan 30L with
                      Network = network
                      Trained = trainedOf network
                      BatchSize = 7
                      Dataset = Dataset.augmented { Flip = true; Crop = Some 4 } (images ()) }

              inFolder (fun folder ->
                  let run name (stops: int list) =
                      let place = Path.Combine(folder, name)
                      use claim = Run.claim place
                      Run.create claim [ "dataset", nonNull (Text.Json.Nodes.JsonValue.Create "numbered") ]

                      for stop in stops do
                          let mutable steps = 0
                          let result = Run.train claim plan (fun _ _ -> steps <- steps + 1) (fun () -> steps >= stop)
                          Scope.free result.State

                      File.ReadAllBytes(Run.checkpointFile place)

                  let whole = run "whole" [ 30 ]
                  Expect.same (run "parts" [ 11; 1; 30 ]) whole "")

          testCase "cifar: batches of records, ten classes, the test batch held out"
          <| fun () ->
              inFolder (fun folder ->
                  let records (first: int) (n: int) =
                      [| for i in first .. first + n - 1 do
                             byte (i % 10)
                             yield! Array.init 3072 (fun k -> byte ((i + k) % 256)) |]

                  let write (name: string) (bytes: byte[]) = File.WriteAllBytes(Path.Combine(folder, name), bytes)
                  userError (fun () -> Datasets.load $"cifar:{folder}") |> names [ folder; "data_batch_1.bin" ]
                  write "data_batch_1.bin" (records 0 12)
                  userError (fun () -> Datasets.load $"cifar:{folder}") |> names [ "test_batch.bin" ]
                  write "data_batch_2.bin" (records 12 8)
                  write "test_batch.bin" (records 100 5)
                  let data = Datasets.load $"cifar:{folder}"
                  Expect.equal data.Shape [ 3; 32; 32 ] ""
                  Expect.equal data.Classes[3] "cat" ""

                  match data.Content with
                  | Law _ -> failtest "files are no law"
                  | Finite(train, test) ->
                      Expect.equal (train.Count, test.Count) (20, 5) ""
                      Expect.equal (Tensor.toArray<int64> train.Labels.Value) [| for i in 0..19 -> int64 (i % 10) |] ""
                      // Green of the second row of the fourteenth: 13 + 1024 + 32.
                      let pixels = Tensor.toArray<byte> train.Rows
                      Expect.equal pixels[13 * 3072 + 1024 + 32] (byte ((13 + 1024 + 32) % 256)) ""

                  write "data_batch_1.bin" (Array.append (records 0 3) [| 1uy |])
                  userError (fun () -> Datasets.load $"cifar:{folder}") |> names [ "data_batch_1.bin"; "3073" ]
                  write
                      "data_batch_1.bin"
                      (Array.append (records 0 3) (Array.append [| 10uy |] (Array.zeroCreate 3072)))
                  userError (fun () -> Datasets.load $"cifar:{folder}") |> names [ "data_batch_1.bin"; "label"; "10" ])

          testCase "series: windows in their order, none of those held out shares a value with one to train on"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "s.csv")
                  File.WriteAllLines(file, "value" :: [ for i in 0..99 -> string (3 * i + 1000) ])
                  let data = Datasets.load $"series:{file},window=8"
                  Expect.equal data.Shape [ 8 ] ""
                  let rows (table: Table) = Tensor.toFloats table.Rows |> Array.chunkBySize 8

                  match data.Content with
                  | Law _ -> failtest "a file is no law"
                  | Finite(train, heldOut) ->
                      let window first = [| for i in first .. first + 7 -> float (3 * i + 1000) |]
                      Expect.equal (rows train) [| for first in 0..82 -> window first |] ""
                      Expect.equal (rows heldOut) [| for first in 90..92 -> window first |] ""

                  // One shift and one scale: those of the 90 values that are trained on.
                  let values = [| for i in 0..89 -> float (3 * i + 1000) |]
                  Expect.within 1e-9 data.Units.Shift[0] (Array.average values) ""
                  Expect.equal data.Units.Shift.Length 1 ""
                  userError (fun () -> Datasets.load $"series:{file},window=51") |> names [ file; "at least 102" ]
                  userError (fun () -> Datasets.load $"series:{file},window=1") |> names [ "window is '1'" ])

          testCase "text: windows of its bytes, of which those held out share none with one to train on"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "t.txt")
                  let bytes = [| for i in 0..99 -> byte (32 + i % 90) |]
                  File.WriteAllBytes(file, bytes)
                  let data = Datasets.load $"text:{file},window=4"
                  Expect.equal data.Shape [ 4 ] ""
                  Expect.isTrue (Units.areText data.Shape data.Units) ""

                  match data.Content with
                  | Law _ -> failtest "a file is no law"
                  | Finite(train, heldOut) ->
                      let rows (table: Table) = Tensor.toArray<byte> table.Rows |> Array.chunkBySize 4
                      let window first = Array.sub bytes first 4
                      Expect.equal (rows train) [| for first in 0..86 -> window first |] ""
                      Expect.equal (rows heldOut) [| for first in [ 90; 94 ] -> window first |] ""

                  // Each byte is the token of its number.
                  Scope.run0 (fun () ->
                      let tokens = { Count = 256; Bound = 1.0; Source = TokenSource.Mask }
                      let batch = Dataset.heldOut Kind.Float32 2 (Rng.ofSeed 1L) data
                      let found = Tensor.toArray<int64>(Tokens.ofData tokens batch.Data) |> Array.map byte
                      let own = Dataset.inData data batch.Data
                      Expect.equal (Tensor.toFloats own |> Array.map byte) found ""
                      let text = TextFile.lines (Tensor.ofArray [ 1; 6 ] [| 65.0; 10.0; 9.0; 195.0; 169.0; 200.0 |])
                      Expect.equal text [| "A↵→é\uFFFD" |] "")

                  userError (fun () -> Datasets.load $"text:{file},window=51") |> names [ file; "at least 102" ]
                  userError (fun () -> Datasets.load "text:nowhere.txt") |> names [ "nowhere.txt" ]
                  userError (fun () -> Datasets.load $"text:{file},windows=3") |> names [ "windows"; "window=N" ])

          testCase "binary: pictures in black and white, with their classes, and nothing else"
          <| fun () ->
              inFolder (fun folder ->
                  let file, labels = Path.Combine(folder, "x.npy"), Path.Combine(folder, "y.npy")

                  Scope.run0 (fun () ->
                      let pixels = [| for i in 0 .. 20 * 16 - 1 -> byte (i * 37 % 256) |]
                      Npy.write file (Tensor.ofArray [ 20; 4; 4 ] pixels)
                      Npy.write labels (Tensor.ofArray [ 20 ] [| for i in 0..19 -> int64 (i % 2) |])
                      let own = Datasets.load $"npy:{file},{labels}"
                      let data = Datasets.load $"binary:npy:{file},{labels}"
                      Expect.equal data.Classes [ "0"; "1" ] ""
                      Expect.equal data.Range (Some(0.0, 1.0)) ""
                      Expect.equal (Units.levels data.Shape data.Units) (Some 2) ""

                      match own.Content, data.Content with
                      | Finite(grey, _), Finite(made, heldOut) ->
                          let expected =
                              Tensor.toArray<byte> grey.Rows
                              |> Array.map (fun value -> if value > 127uy then 1uy else 0uy)
                          Expect.equal (Tensor.toArray<byte> made.Rows) expected ""
                          Expect.equal heldOut.Count 2 ""
                      | _ -> failtest "files are no laws"

                      // What the network sees is −1 and 1.
                      let seen = Tensor.toFloats (Dataset.heldOut Kind.Float32 2 (Rng.ofSeed 1L) data).Data
                      Expect.equal (Set.ofArray seen) (set [ -1.0; 1.0 ]) ""
                      Expect.equal (Datasets.shortName $"binary:npy:{file}") "binary-x" "")

                  Expect.stringContains
                      (raised<RefusedException>(fun () -> Datasets.load "binary:moons" |> ignore)).Message
                      "only pictures"
                      "") ]
