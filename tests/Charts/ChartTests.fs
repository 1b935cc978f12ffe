/// Charts for scripts: what a chart shows is what it was given.
module Fokker.Tests.ChartTests

open System.Text.Json.Nodes
open Expecto
open Plotly.NET
open Fokker
open Fokker.Tests

let private item (name: string) (node: JsonNode) : JsonNode = nonNull node[name]
let private items (node: JsonNode) : JsonNode list = [ for item in node.AsArray() -> nonNull item ]

/// The traces of a chart, as plotly.js is given them.
let private traces (chart: GenericChart) : JsonNode list =
    JsonNode.Parse(GenericChart.toJson chart) |> nonNull |> item "data" |> items

/// Numbers of a trace; where its line is broken, NaN.
let private numbers (name: string) (trace: JsonNode) : float list =
    [ for value in items (item name trace) ->
          match value.GetValueKind() with
          | System.Text.Json.JsonValueKind.Number -> value.GetValue<float>()
          | _ -> nan ]

let private word (name: string) (trace: JsonNode) : string = (item name trace).GetValue<string>()
let private points (rows: (float * float) list) =
    Tensor.ofArray
        [ rows.Length; 2 ]
        [| for x, y in rows do
               x
               y |]

[<Tests>]
let tests =
    testList
        "Chart"
        [ testCase "samples of the plane are dots where they are, each set by its name"
          <| fun () ->
              let data, made = points [ 1.0, 2.0; 3.0, 4.0 ], points [ -1.0, 0.5 ]
              let found = traces (Chart.samples [ "data", data; "samples", made ])
              Expect.equal (List.map (word "name") found) [ "data"; "samples" ] ""
              Expect.equal (numbers "x" found[0], numbers "y" found[0]) ([ 1.0; 3.0 ], [ 2.0; 4.0 ]) ""
              Expect.equal (numbers "x" found[1], numbers "y" found[1]) ([ -1.0 ], [ 0.5 ]) ""
              Expect.allEqual (List.map (word "mode") found) "markers" ""

          testCase "samples of the line are histograms of a density"
          <| fun () ->
              let found =
                  traces (
                      Chart.samples
                          [ "a", Tensor.ofArray [ 3; 1 ] [| 1.0; 2.0; 4.0 |]; "b", Tensor.ones Kind.Float32 [ 2; 1 ] ]
                  )
              Expect.allEqual (List.map (word "type") found) "histogram" ""
              Expect.allEqual (List.map (word "histnorm") found) "probability density" ""
              Expect.equal (List.map (numbers "x") found) [ [ 1.0; 2.0; 4.0 ]; [ 1.0; 1.0 ] ] ""

          testCase "what is neither of the line nor of the plane is refused with its shape"
          <| fun () ->
              let refused sets = raised<System.ArgumentException>(fun () -> Chart.samples sets |> ignore).Message
              Expect.stringContains (refused [ "images", Tensor.zeros Kind.Float32 [ 5; 1; 8; 8 ] ]) "[5; 1; 8; 8]" ""
              refused [] |> ignore
              refused [ "a", Tensor.zeros Kind.Float32 [ 5; 1 ]; "b", Tensor.zeros Kind.Float32 [ 5; 2 ] ]
              |> ignore

          testCase "series are curves of their windows, each series on axes of its own"
          <| fun () ->
              let x = Tensor.ofArray [ 2; 2; 3 ] [| for k in 0..11 -> float k |]
              let found = traces (Chart.series [ "a"; "b" ] x)
              // Window by window of the first series, then of the second.
              Expect.equal
                  (List.map (numbers "y") found)
                  [ [ 0.0; 1.0; 2.0 ]; [ 6.0; 7.0; 8.0 ]; [ 3.0; 4.0; 5.0 ]; [ 9.0; 10.0; 11.0 ] ]
                  ""
              Expect.equal (List.distinct (List.map (word "yaxis") found)) [ "y"; "y2" ] "axes"
              let one = traces (Chart.series [ "a" ] (Tensor.ofArray [ 2; 3 ] [| for k in 0..5 -> float k |]))
              Expect.equal (List.map (numbers "y") one) [ [ 0.0; 1.0; 2.0 ]; [ 3.0; 4.0; 5.0 ] ] "of one"
              let refused names x = raised<System.ArgumentException>(fun () -> Chart.series names x |> ignore) |> ignore
              refused [ "a" ] x
              refused [ "a" ] (Tensor.zeros Kind.Float32 [ 3 ])

          testCase "a field's arrows begin on the grid and point along it, and its shades are its length"
          <| fun () ->
              // v(t, x, y) = t (−y, x): it turns, and is t r long.
              let turning (t: Tensor) (x: Tensor) =
                  Tensor.unsqueeze 1 t * Tensor.stack 1 [ -(Tensor.select 1 1 x); Tensor.select 1 0 x ]

              let found = traces (Chart.field turning 0.5 (-1.0, 1.0) (-2.0, 2.0))
              let shades = List.map items (items (item "z" found[0]))
              let xs, ys = numbers "x" found[0], numbers "y" found[0]
              Expect.equal (xs.Length, List.min xs, List.max xs, List.min ys, List.max ys) (21, -1.0, 1.0, -2.0, 2.0) ""

              for row, y in List.indexed ys do
                  for k, x in List.indexed xs do
                      let length = shades[row][k] |> _.GetValue<float>()
                      Expect.within 1e-14 length (0.5 * sqrt (x * x + y * y)) $"at {x}, {y}"

              let arrows = List.zip (numbers "x" found[1]) (numbers "y" found[1]) |> List.chunkBySize 6
              Expect.equal arrows.Length (21 * 21) ""

              for k, arrow in List.indexed arrows do
                  let (x, y), (toX, toY) = arrow[0], arrow[1]
                  Expect.equal (x, y) (xs[k % 21], ys[k / 21]) "where it begins"
                  let dx, dy = toX - x, toY - y
                  // Along (−y, x): nothing across it, and not against it.
                  Expect.within 1e-14 (dx * x + dy * y) 0.0 "across"
                  Expect.isGreaterThanOrEqual (dy * x - dx * y) 0.0 "along"
                  Expect.isNaN (fst arrow[5]) "a gap before the next"

          testCase "trajectories go from state to state, with a gap between two samples, and their ends are dots"
          <| fun () ->
              let first, last = points [ 0.0, 1.0; 2.0, 3.0 ], points [ 4.0, 5.0; 6.0, 7.0 ]
              let found = traces (Chart.trajectories [ 1.0; 0.0 ] [ first; last ])
              let same name expected = Expect.same (numbers name found[0]) expected name
              same "x" [ 0.0; 4.0; nan; 2.0; 6.0; nan ]
              same "y" [ 1.0; 5.0; nan; 3.0; 7.0; nan ]
              Expect.equal (List.map (numbers "x") found.Tail) [ [ 0.0; 2.0 ]; [ 4.0; 6.0 ] ] ""
              Expect.equal (List.map (word "name") found.Tail) [ "t = 1"; "t = 0" ] ""

          testCase "trajectories of numbers are drawn against the time"
          <| fun () ->
              let state (values: float list) = Tensor.ofArray [ values.Length; 1 ] (Array.ofList values)
              let found = traces (Chart.trajectories [ 1.0; 0.5; 0.0 ] [ state [ 1.0 ]; state [ 2.0 ]; state [ 4.0 ] ])
              Expect.same (numbers "x" found[0]) [ 1.0; 0.5; 0.0; nan ] ""
              Expect.same (numbers "y" found[0]) [ 1.0; 2.0; 4.0; nan ] ""

          testCase "states that are not those of the times, or of one another, are refused"
          <| fun () ->
              let x, wider = points [ 0.0, 1.0 ], points [ 0.0, 1.0; 2.0, 3.0 ]

              for times, states in [ [ 1.0 ], [ x; x ]; [ 1.0 ], [ x ]; [ 1.0; 0.0 ], [ x; wider ] ] do
                  raised<System.ArgumentException>(fun () -> Chart.trajectories times states |> ignore) |> ignore

          testCase "a loss is drawn as it was recorded, under its running mean; what is not finite leaves a gap"
          <| fun () ->
              let metric step loss = { Step = step; Loss = loss; GradientNorm = 1.0; Rate = 1e-3; Seconds = 0.0 }
              let history = [ metric 1L 4.0; metric 2L 2.0; metric 4L infinity; metric 8L 1.0 ]
              let found = traces (Chart.loss [ "moons", history ])
              Expect.equal (numbers "x" found[0]) [ 1.0; 2.0; 4.0; 8.0 ] ""
              Expect.same (numbers "y" found[0]) [ 4.0; 2.0; nan; 1.0 ] ""
              // The mean of each and its neighbours.
              Expect.allWithin 1e-15 (numbers "y" found[1]) [ 3.0; 3.0; 1.5; 1.0 ] ""

          testCase "a chart's page needs no network"
          <| fun () ->
              let page =
                  GenericChart.toEmbeddedHTML (Chart.samples [ "a", points [ 1.0, 2.0 ]; "b", points [ 3.0, 4.0 ] ])
              Expect.isFalse
                  (System.Text.RegularExpressions.Regex.IsMatch(page, "<(script|link)[^>]+(src|href)=\"http"))
                  "" ]
