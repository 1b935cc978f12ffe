module Fokker.Tests.Training.ColumnsTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private file (folder: string) (name: string) (lines: string list) =
    let path = Path.Combine(folder, name)
    File.WriteAllLines(path, lines)
    path

let private people =
    [ "age,city,income"
      "30,Rome,1000"
      "40,\"Paris, Texas\",?"
      "50,Rome,3000"
      ",Oslo,2000"
      "20,NA,4000"
      "25,Rome,1500" ]

/// All rows in the order of the file, in the data's units.
let private rows (data: Dataset) : float[][] =
    match data.Content with
    | Law _ -> failtest "a table is no law"
    | Finite(train, heldOut) ->
        Tensor.toFloats (Tensor.cat 0 [ train.Rows; heldOut.Rows ]) |> Array.chunkBySize data.Shape.Head

let private equalCells (expected: string[] list) (found: string[][]) = Expect.equal (List.ofArray found) expected ""

/// A model of these data, with a network that nothing has been learned by.
let private modelOf (data: Dataset) : GenerativeModel =
    let recipe = { Recipe.standardFor data with Steps = 2L; Width = 8; Batch = 4 }
    Runs.fit recipe data

[<Tests>]
let tests =
    testList
        "Training.Columns"
        [ testCase "numbers, words and missing cells become coordinates, and come back"
          <| fun () ->
              inFolder (fun folder ->
                  let path = file folder "people.csv" people
                  let data = Datasets.load $"csv:{path},columns=all"

                  Expect.equal
                      data.Columns
                      [ { Name = "age"; Kind = ColumnKind.Number true }
                        { Name = "city"; Kind = ColumnKind.Category [ "Oslo"; "Paris, Texas"; "Rome"; "" ] }
                        { Name = "income"; Kind = ColumnKind.Number true } ]
                      ""

                  Expect.equal data.Shape [ 8 ] ""
                  // Over the cells that are there: ages 30, 40, 50, 20, 25.
                  Expect.within 1e-12 data.Units.Shift[0] 33.0 ""
                  Expect.within 1e-9 data.Units.Scale[0] (sqrt 116.0) ""
                  Expect.equal data.Units.Shift[1..5] (Array.create 5 0.5) ""

                  let back = rows data |> Array.map (Columns.decode data.Columns) |> Set.ofArray

                  let expected =
                      set
                          [ [| "30"; "Rome"; "1000" |]
                            [| "40"; "Paris, Texas"; "" |]
                            [| "50"; "Rome"; "3000" |]
                            [| ""; "Oslo"; "2000" |]
                            [| "20"; ""; "4000" |]
                            [| "25"; "Rome"; "1500" |] ]

                  Expect.equal back expected ""
                  Expect.equal (Columns.ofJson (Columns.toJson data.Columns)) data.Columns "")

          testCase "columns are taken by name and in the order that is asked for, of the kind that is said"
          <| fun () ->
              inFolder (fun folder ->
                  let path = file folder "people.csv" [ "a,zip,b"; "1,10,x"; "2,20,y"; "3,10,x" ]
                  let columns settings = (Datasets.load $"csv:{path},columns={settings}").Columns
                  Expect.equal (columns "b+a" |> List.map _.Name) [ "b"; "a" ] ""
                  Expect.equal (columns "zip") [ { Name = "zip"; Kind = ColumnKind.Number false } ] ""

                  Expect.equal
                      (columns "zip:category")
                      [ { Name = "zip"; Kind = ColumnKind.Category [ "10"; "20" ] } ]
                      ""

                  let refused settings words =
                      userError (fun () -> Datasets.load $"csv:{path},columns={settings}") |> names (path :: words)

                  refused "c" [ "no column 'c'" ]
                  refused "a+a" [ "a is asked for twice" ]
                  refused "b:number" [ "line 2, column b is 'x'"; "finite number" ]
                  refused "b:word" [ "'word'"; "number or category" ]
                  let twice = file folder "twice.csv" [ "a,a"; "1,2" ]
                  userError (fun () -> Datasets.load $"csv:{twice},columns=all")
                  |> names [ twice; "two of its columns" ]
                  let empty = file folder "empty.csv" [ "a,b"; "1,"; "2,?" ]
                  userError (fun () -> Datasets.load $"csv:{empty},columns=all") |> names [ empty; "column b" ]
                  let none = file folder "none.csv" [ "a,b" ]
                  userError (fun () -> Datasets.load $"csv:{none},columns=all") |> names [ none; "no rows" ])

          // 4,000 cells: a mean is off by 0.0016 in deviation, a deviation by 0.0011.
          testCase "noise of deviation 0.1 is around what is 0 or 1, and a missing number is noise of its column"
          <| fun () ->
              inFolder (fun folder ->
                  let lines = [ for i in 0..3999 -> if i % 4 = 0 then "?,u" else $"{i % 7},v" ]
                  let data = Datasets.load $"""csv:{file folder "t.csv" ("n,w" :: lines)},columns=all"""
                  let all = rows data
                  let missing, there = all |> Array.partition (fun x -> x[1] < 0.5)
                  Expect.equal missing.Length 1000 ""
                  let spread (values: float[]) =
                      let mean = Array.average values
                      mean, sqrt (values |> Array.averageBy (fun x -> (x - mean) * (x - mean)))

                  for values, level in
                      [ there |> Array.map (fun x -> x[1]), 1.0
                        missing |> Array.map (fun x -> x[1]), 0.0
                        missing |> Array.map (fun x -> x[2]), 1.0
                        missing |> Array.map (fun x -> x[3]), 0.0 ] do
                      let mean, deviation = spread values
                      Expect.within 0.015 mean level ""
                      Expect.within 0.012 deviation Columns.noise ""

                  let mean, deviation = missing |> Array.map (fun x -> x[0]) |> spread
                  Expect.within 0.3 mean data.Units.Shift[0] ""
                  Expect.within 0.2 deviation data.Units.Scale[0] "")

          testCase "a model keeps its columns, reads rows by them and writes rows by them"
          <| fun () ->
              inFolder (fun folder ->
                  let path = file folder "people.csv" people
                  let data = Datasets.load $"csv:{path},columns=all"
                  let model = modelOf data
                  Expect.equal model.Columns data.Columns ""

                  match model.Origin with
                  | Origin.Trained trained ->
                      let saved = Path.Combine(folder, "m.safetensors")
                      ModelFile.write saved trained
                      let read = ModelFile.read OwnParts.none Device.Cpu None saved
                      Expect.equal read.Columns data.Columns ""
                  | _ -> failtest "it was trained"

                  // In another order, with a column more.
                  let other =
                      file folder "other.csv" [ "income,x,city,age"; "1234.5,0,Rome,30"; "9,0,NA,"; "8,0,Oslo,7" ]
                  let x = (TableFile.samples model other).Values
                  equalCells
                      [ [| "30"; "Rome"; "1234.5" |]; [| ""; ""; "9" |]; [| "7"; "Oslo"; "8" |] ]
                      (TableFile.cells model x)

                  let _, holes = TableFile.withHoles model other
                  let values = Tensor.toFloats holes.Values |> Array.chunkBySize 8
                  Expect.equal values[0] [| 30.0; 1.0; 0.0; 0.0; 1.0; 0.0; 1234.5; 1.0 |] ""
                  // What is missing is open, but for that it is to be there.
                  Expect.equal
                      (Array.map Double.IsNaN values[1])
                      [| true; false; true; true; true; false; false; false |]
                      ""
                  Expect.equal (values[1][1], values[1][5]) (1.0, 0.0) ""

                  let refused lines words =
                      let bad = file folder "bad.csv" lines
                      userError (fun () -> TableFile.samples model bad) |> names (bad :: words)

                  refused [ "age,city,income"; "1,Roma,2" ] [ "line 2, column city is 'Roma'"; "Rome" ]
                  refused [ "age,city,income"; "old,Rome,2" ] [ "line 2, column age is 'old'" ]
                  refused [ "age,city"; "1,Rome" ] [ "no column 'income'" ])

          testCase "the area under the curve is the share of pairs in order, ties by halves"
          <| fun () ->
              let random = Random 3
              let draw n high = Array.init n (fun _ -> float (random.Next high))

              for n, m, high in [ 1, 1, 3; 20, 30, 5; 40, 7, 1000; 30, 30, 1 ] do
                  let a, b = draw n high, draw m high
                  let pairs =
                      [ for x in a do
                            for y in b ->
                                if x > y then 1.0
                                elif x = y then 0.5
                                else 0.0 ]
                  Expect.within 1e-12 (Roc.area a b) (List.average pairs) ""

              Expect.within
                  1e-12
                  (Roc.standardError 0.5 100 100)
                  (sqrt ((0.25 + 99.0 * 2.0 * (1.0 / 3.0 - 0.25)) / 10_000.0))
                  ""
              raised<ArgumentException>(fun () -> Roc.area [||] [| 1.0 |] |> ignore) |> ignore ]
