/// Windows of several series: how they are cut, in which units, as files, and that a network along them learns what binds one series to another.
module Fokker.Tests.Training.SeveralSeriesTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private written (folder: string) (name: string) (lines: string seq) =
    let file = Path.Combine(folder, name)
    File.WriteAllLines(file, lines)
    file

/// 100 steps of a day, a series of ones and tens, and one of thousands.
let private days (folder: string) =
    [ yield "day,load,price"; for i in 0..99 -> $"2026-{i:D3},{3 * i + i * i},{10000 - 7 * i}" ]
    |> written folder "days.csv"

let private load, price = (fun (i: int) -> float (3 * i + i * i)), (fun (i: int) -> float (10000 - 7 * i))

/// The rows of the data that are trained on and of those that are held out, in the data's units.
let private parts (data: Dataset) : float[][] * float[][] =
    let d = List.fold (*) 1 data.Shape

    match data.Content with
    | Law _ -> failtest "a file is no law"
    | Finite(train, heldOut) ->
        let rows (table: Table) = Tensor.toFloats table.Rows |> Array.chunkBySize d
        rows train, rows heldOut

/// x with stationary correlations, and y that is 100 x of one step before.
let private delayed (count: int) : float[,] =
    let random = Random 5
    let normal () = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())
    let x = Array.zeroCreate<float>(count + 1)

    for k in 1 .. x.Length - 1 do
        x[k] <- 0.9 * x[k - 1] + sqrt 0.19 * normal ()

    Array2D.init count 2 (fun k series -> if series = 0 then x[k + 1] else 100.0 * x[k])

let private ofArray (steps: float[,]) =
    Tensor.ofArray [ steps.GetLength 0; steps.GetLength 1 ] [| for x in Seq.cast<float> steps -> x |]

[<Tests>]
let tests =
    testList
        "Training.SeveralSeries"
        [ testCase "windows are of all series over the same steps, each series in units of its own training steps"
          <| fun () ->
              inFolder (fun folder ->
                  let file = days folder
                  let data = Datasets.load $"series:{file},window=8,columns=load+price"
                  Expect.equal data.Shape [ 2; 8 ] ""
                  Expect.equal [ for column in data.Columns -> column.Name ] [ "load"; "price" ] ""
                  let window first =
                      [| for of' in [ load; price ] do
                             for i in first .. first + 7 -> of' i |]
                  let train, heldOut = parts data
                  Expect.equal train [| for first in 0..82 -> window first |] "of steps 0 to 89"
                  Expect.equal heldOut [| for first in 90..92 -> window first |] "of the last ten"

                  for k, series in [ 0, load; 1, price ] do
                      let seen = [| for i in 0..89 -> series i |]
                      let mean = Array.average seen
                      Expect.floatClose Accuracy.high data.Units.Shift[k] mean ""
                      Expect.floatClose
                          Accuracy.high
                          data.Units.Scale[k]
                          (sqrt (seen |> Array.averageBy (fun x -> (x - mean) ** 2.0)))
                          ""

                  // The order of the columns is that which is asked for, and one of them is a series as it ever was.
                  let train, _ = parts (Datasets.load $"series:{file},window=8,columns=price+load")
                  Expect.equal
                      train[0]
                      [| for of' in [ price; load ] do
                             for i in 0..7 -> of' i |]
                      ""
                  Expect.equal (Datasets.load $"series:{file},window=8,columns=load").Shape [ 8 ] "")

          testCase "units of series: there and back, and a volume for each of their places"
          <| fun () ->
              Scope.run0 (fun () ->
                  let units: Units = { Shift = [| 3.0; -1.0 |]; Scale = [| 2.0; 50.0 |] }
                  let y = Rng.normal Kind.Float64 [ 5; 2; 2 ] (Rng.ofSeed 1L)
                  let x = Units.toData units y
                  let at n c k = (Tensor.toFloats y)[(n * 2 + c) * 2 + k]

                  Expect.equal
                      (Tensor.toFloats x)
                      [| for n in 0..4 do
                             for c in 0..1 do
                                 for k in 0..1 -> at n c k * units.Scale[c] + units.Shift[c] |]
                      "a square window"

                  Expect.isLessThan ((Tensor.max (Tensor.abs (Units.toNetwork units x - y))).ToFloat()) 1e-14 ""
                  Expect.floatClose Accuracy.veryHigh (Units.logVolume units 14) (7.0 * log 100.0) ""
                  Expect.isTrue (Units.areSeries [ 2; 7 ] units && Units.fit [ 2; 7 ] units) ""
                  Expect.isFalse (Units.fit [ 7; 2 ] units) "")

          testCase "arrays are steps of series, or windows that are cut already"
          <| fun () ->
              inFolder (fun folder ->
                  let save (name: string) shape =
                      let file = Path.Combine(folder, name)
                      let n = List.fold (*) 1 shape
                      Npy.write file (Tensor.ofArray shape [| for k in 0 .. n - 1 -> float k |])
                      file

                  let one = save "one.npy" [ 60 ]
                  let steps = save "steps.npy" [ 60; 3 ]
                  let cut = save "cut.npy" [ 20; 3; 5 ]
                  Expect.equal (Datasets.load $"series:{one},window=5").Shape [ 5 ] ""
                  let data = Datasets.load $"series:{steps},window=5"
                  Expect.equal data.Shape [ 3; 5 ] ""
                  let train, _ = parts data
                  Expect.equal
                      train[1]
                      [| for c in 0..2 do
                             for k in 1..5 -> float (3 * k + c) |]
                      "the second window, series after series"
                  let data = Datasets.load $"series:{cut}"
                  Expect.equal (data.Shape, data.Units.Shift.Length) ([ 3; 5 ], 3) ""
                  // Of the numbers 15 n + 5 c + k: one mean for each series.
                  Expect.sequenceEqual data.Units.Shift [ 144.5; 149.5; 154.5 ] ""
                  userError (fun () -> Datasets.load $"series:{cut},window=5") |> names [ "[20; 3; 5]"; "window" ]
                  userError (fun () -> Datasets.load $"series:{steps},columns=a") |> names [ "columns" ]
                  userError (fun () -> Datasets.load $"npy:{cut}") |> names [ "[20; 3; 5]"; "series:FILE" ])

          testCase "what is no series is refused with its line and its column"
          <| fun () ->
              inFolder (fun folder ->
                  let file = days folder
                  userError (fun () -> Datasets.load $"series:{file}")
                  |> names [ "line 2"; "2026-000"; "columns=A+B" ]
                  userError (fun () -> Datasets.load $"series:{file},columns=load+cost") |> names [ "cost" ]
                  userError (fun () -> Datasets.load $"series:{file},window=51,columns=load+price")
                  |> names [ "at least 102" ]
                  let holes = written folder "holes.csv" [ "a,b"; "1,2"; "3,"; "5,6"; "7,8" ]
                  userError (fun () -> Datasets.load $"series:{holes},window=2,columns=a+b")
                  |> names [ "column b"; "empty" ]
                  let words = written folder "words.csv" [ "a,b"; "1,x"; "3,y"; "5,x"; "7,x" ]
                  userError (fun () -> Datasets.load $"series:{words},window=2,columns=a+b")
                  |> names [ "column b"; "words" ])

          testCase "networks that do not take them name the one that does"
          <| fun () ->
              Scope.run0 (fun () ->
                  let data = Series.ofSteps "delayed" "delayed" 8 [ "x"; "y" ] (ofArray (delayed 200))

                  let refused loss network (word: string) =
                      let request = { TrainingRequest.standard with Loss = loss; Network = network }
                      let error =
                          raised<RefusedException>(fun () ->
                              Runs.fit (TrainingRequest.recipe data request) data |> ignore)
                      Expect.equal error.Refusal.Setting Setting.Network word
                      Expect.stringContains error.Message "[2; 8]" word
                      Expect.stringContains error.Message word ""

                  for network in [ "mlp"; "residual-mlp"; "unet"; "dit:patch=2"; "adm-small"; "sequence" ] do
                      refused None (Some network) "unet-1d"

                  refused (Some "vae") None "vectors or images"
                  refused (Some "mle") (Some "spline") "windows of several series")

          testCase "measures of series of different widths are in the units of each series"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Rng.normal Kind.Float64 [ 200; 2; 3 ] (Rng.ofSeed 1L)
                  let wide = Tensor.ofArray [ 1; 2; 1 ] [| 1.0; 1000.0 |]
                  let measures = ColumnMeasures.suiting (x * wide)
                  Expect.equal [ for m in measures -> m.Name ] [ "standardizedWasserstein2"; "worstColumn" ] ""
                  Expect.isEmpty (ColumnMeasures.suiting x) "as wide as each other"
                  // Two widths of the narrow series aside, which the wide one would hide.
                  let aside = x * wide + Tensor.ofArray [ 1; 2; 1 ] [| 2.0; 0.0 |]
                  let off = measures[1].Between (Rng.ofSeed 2L) (x * wide) aside
                  Expect.isTrue (off > 1.8 && off < 2.2) $"{off}")

          testCase "a network learns that one series follows the other, and completes one by the other"
          <| fun () ->
              inFolder (fun folder ->
                  Scope.run0 (fun () ->
                      let steps = delayed 4000
                      let data = Series.ofSteps "delayed" "delayed" 8 [ "x"; "y" ] (ofArray steps)

                      let ask =
                          { TrainingRequest.standard with
                              Network = Some "unet-1d:width=16,attention=0"
                              Steps = Some 300L
                              Batch = Some 64 }

                      let recipe = TrainingRequest.recipe data ask
                      Expect.equal
                          (TrainingRequest.recipe data TrainingRequest.standard).Network.Name
                          "unet-1d"
                          "what is usual"
                      let model = Runs.fit recipe data
                      Expect.equal model.Shape [ 2; 8 ] ""

                      /// How far y is from 100 x of one step before, beside 100.
                      let off (windows: float[][]) =
                          windows
                          |> Array.averageBy (fun w ->
                              seq { for k in 1..7 -> (w[8 + k] / 100.0 - w[k - 1]) ** 2.0 } |> Seq.average)
                          |> sqrt

                      let windows (x: Tensor) = Tensor.toFloats x |> Array.chunkBySize 16
                      let drawn = windows (Samples.ofSeed 1L 100 model)
                      Expect.isLessThan (off drawn) 0.35 $"{off drawn}; it is √2 where they do not know of each other"

                      // As a table and back: a line a step, one window under the other.
                      let x = Samples.ofSeed 1L 3 model
                      let file = Path.Combine(folder, "windows.csv")
                      Runs.writeBytes file (TableFile.text (TableFile.header model) (TableFile.cells model x))
                      let lines = File.ReadAllLines file
                      Expect.equal (lines[0], lines.Length) ("x,y", 1 + 3 * 8) ""
                      Expect.equal (Tensor.toFloats (TableFile.samples model file).Values) (Tensor.toFloats x) ""
                      File.WriteAllLines(file, Array.take 20 lines)
                      userError (fun () -> TableFile.samples model file) |> names [ "19 rows"; "multiple of 8" ]

                      // Where y is open, it is x's.
                      let rows = windows x
                      File.WriteAllLines(
                          file,
                          "x,y"
                          :: [ for w in rows do
                                   for k in 0..7 ->
                                       w[k].ToString("R", Globalization.CultureInfo.InvariantCulture) + "," ]
                      )
                      let _, given = TableFile.withHoles model file
                      let filled =
                          windows (Imputation.complete model SamplingRequest.standard given 4 (fun _ _ -> ()))
                      Expect.equal filled.Length 12 ""
                      for k in 0..11 do
                          Expect.equal (Array.take 8 filled[k]) (Array.take 8 rows[k / 4]) "what is there stays"
                      Expect.isLessThan (off filled) 0.4 $"{off filled}"

                      // Its law on the model's own file.
                      let file = Path.Combine(folder, "m.safetensors")

                      match model.Origin with
                      | Origin.Trained trained -> ModelFile.write file trained
                      | _ -> failtest "it is trained"

                      let back = GenerativeModel.ofTrained "m" (ModelFile.read OwnParts.none Device.Cpu None file)
                      Expect.equal (Tensor.toFloats (Samples.ofSeed 1L 3 back)) (Tensor.toFloats x) "the same samples"
                      Expect.equal [ for c in back.Columns -> c.Name ] [ "x"; "y" ] "")) ]
