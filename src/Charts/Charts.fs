namespace Fokker

open Fokker.Pictures
open Plotly.NET
open Plotly.NET.LayoutObjects

/// What a script looks at, as Plotly.NET charts: values to be piped on (`Chart.withTitle`, `Chart.combine`, `Chart.Grid`), shown in a browser by
/// `Chart.show` and in a notebook by being the value of a cell (with Plotly.NET.Interactive). The colours are those of the reports.
[<RequireQualifiedAccess>]
module Chart =

    let private colour (tone: Tone) =
        let part (share: float32) = int (255.0f * share + 0.5f)
        let c = Palette.tone tone
        Color.fromRGB (part c.Red) (part c.Green) (part c.Blue)

    let private grey = colour Tone.Noise

    let private axis (title: string) =
        LinearAxis.init (
            Title = Title.init (Text = title),
            ShowLine = true,
            LineColor = grey,
            GridColor = Color.fromHex "#e8eaed",
            ZeroLine = false
        )

    /// White paper, and a page that needs no network: plotly.js comes with it.
    let private framed (x: string) (y: string) (chart: GenericChart) =
        chart
        |> Chart.withTemplate ChartTemplates.lightMirrored
        |> Chart.withXAxis (axis x)
        |> Chart.withYAxis (axis y)
        |> Chart.withDisplayOptionsStyle (PlotlyJSReference = PlotlyJSReference.Full)

    /// A unit of x as long as a unit of y.
    let private isometric (chart: GenericChart) =
        let equal =
            LinearAxis.init (ScaleAnchor = StyleParam.ScaleAnchor.X 1, Constrain = StyleParam.AxisConstraint.Domain)
        framed "" "" chart |> Chart.withYAxis equal

    let private column (k: int) (x: Tensor) : float[] = Tensor.toFloats ((Tensor.select 1 k x).To Dtype.Float64)

    /// n, d of points [n; d].
    let private sizes (what: string) (x: Tensor) =
        match List.ofArray x.Shape with
        | [ n; (1 | 2 as d) ] -> n, d
        | shape ->
            invalidArg
                what
                $"a chart shows points of the line [n; 1] or of the plane [n; 2], not %A{shape}; SamplePicture.png draws images"

    /// Several sets of samples over the same axes, each with its name: points of the plane [n; 2] as dots, numbers [n; 1] as histograms of their
    /// densities. Raises ArgumentException where they are neither, or not all the same.
    let samples (sets: (string * Tensor) list) : GenericChart =
        let dimensions = sets |> List.map (snd >> sizes (nameof sets) >> snd) |> List.distinct

        match dimensions with
        | [ 1 ] ->
            sets
            |> List.mapi (fun k (name, x) ->
                Chart.Histogram(
                    X = column 0 x,
                    Name = name,
                    HistNorm = StyleParam.HistNorm.ProbabilityDensity,
                    Opacity = 0.6,
                    MarkerColor = colour (Tone.Series k)
                ))
            |> Chart.combine
            |> framed "" "density"
            |> Chart.withLayoutStyle (BarMode = StyleParam.BarMode.Overlay)
        | [ 2 ] ->
            sets
            |> List.mapi (fun k (name, x) ->
                let n, _ = sizes (nameof sets) x
                let root = sqrt (float (max 1 n))

                // Many points are drawn smaller and thinner, so that density stays visible.
                Chart.Point(
                    x = column 0 x,
                    y = column 1 x,
                    Name = name,
                    UseWebGL = (n > 2000),
                    Opacity = min 0.85 (max 0.18 (32.0 / root)),
                    Marker =
                        TraceObjects.Marker.init (
                            Size = int (min 6.0 (max 2.0 (140.0 / root))),
                            Color = colour (Tone.Series k)
                        )
                ))
            |> Chart.combine
            |> isometric
        | [] -> invalidArg (nameof sets) "there are no samples to show"
        | _ -> invalidArg (nameof sets) "these samples are not all of the same dimension"

    /// A field v(t, x) of the plane at a time t: its length as shades, its direction as arrows on a grid over [left, right] × [bottom, top].
    /// The field is asked in float64.
    let field (v: Field) (t: float) (left: float, right: float) (bottom: float, top: float) : GenericChart =
        let count = 21
        let places (low: float) (high: float) n = Array.init n (fun k -> low + (high - low) * float k / float (n - 1))
        let xs, ys = places left right count, places bottom top count

        let points =
            [| for y in ys do
                   for x in xs do
                       x
                       y |]

        let values =
            Scope.run (fun () ->
                let x = Tensor.ofArray [ count * count; 2 ] points
                Tensor.toFloats ((v (Tensor.full Kind.Float64 [ count * count ] t) x).To Dtype.Float64))

        let at row k = values[2 * (row * count + k)], values[2 * (row * count + k) + 1]
        let length (x: float, y: float) = sqrt (x * x + y * y)
        let lengths = [| for row in 0 .. count - 1 -> [| for k in 0 .. count - 1 -> length (at row k) |] |]
        let cell = min ((right - left) / float (count - 1)) ((top - bottom) / float (count - 1))
        let longest = max 1e-300 (lengths |> Array.map Array.max |> Array.max)

        // Each arrow is a shaft and two barbs: a line that is broken where its value is no number.
        let arrows =
            [| for row in 0 .. count - 1 do
                   for k in 0 .. count - 1 do
                       let vx, vy = at row k
                       let scale = 0.9 * cell / longest
                       let dx, dy = scale * vx, scale * vy
                       let x1, y1 = xs[k] + dx, ys[row] + dy
                       let barb side = x1 - 0.3 * dx + side * 0.18 * dy, y1 - 0.3 * dy - side * 0.18 * dx
                       yield! [ xs[k], ys[row]; x1, y1; barb 1.0; x1, y1; barb -1.0; nan, nan ] |]

        let shades =
            Chart.Heatmap(
                zData = lengths,
                X = xs,
                Y = ys,
                ColorScale = StyleParam.Colorscale.Custom [ 0.0, Color.fromHex "#ffffff"; 1.0, Color.fromHex "#93bedd" ],
                ColorBar = ColorBar.init (Title = Title.init (Text = "|v|"))
            )

        let directions =
            Chart.Line(
                x = Array.map fst arrows,
                y = Array.map snd arrows,
                LineColor = colour Tone.Data,
                ShowLegend = false
            )

        [ shades; directions ] |> Chart.combine |> isometric

    /// The ways of samples: their states, in the order in which the times go by. Numbers [n; 1] are drawn against the time; points of the
    /// plane [n; 2] where they go, with the first state and the last as dots. Raises ArgumentException where there are not as many states as times,
    /// or they differ in shape.
    let trajectories (times: float list) (states: Tensor list) : GenericChart =
        if times.Length <> states.Length || times.Length < 2 then
            invalidArg (nameof states) $"{states.Length} states cannot be those of {times.Length} times"

        let n, d = sizes (nameof states) states.Head

        if states |> List.exists (fun x -> x.Shape <> states.Head.Shape) then
            invalidArg (nameof states) "the states are not all of one shape"

        let columns = states |> List.map (fun x -> [| for k in 0 .. d - 1 -> column k x |])

        // All the ways are one line, broken between two of them.
        let ways (coordinate: float -> float[][] -> int -> float) =
            [| for i in 0 .. n - 1 do
                   for t, state in List.zip times columns do
                       coordinate t state i
                   nan |]

        let lines x y =
            Chart.Line(
                x = ways x,
                y = ways y,
                Name = "ways",
                LineColor = grey,
                LineWidth = 1.0,
                Opacity = min 0.8 (max 0.15 (6.0 / sqrt (float n)))
            )

        let dots name tone (x: float[]) (y: float[]) =
            Chart.Point(x = x, y = y, Name = name, Marker = TraceObjects.Marker.init (Size = 4, Color = colour tone))

        if d = 1 then
            lines (fun t _ _ -> t) (fun _ state i -> state[0][i]) |> framed "t" "x"
        else
            let first, last = columns.Head, List.last columns

            [ lines (fun _ state i -> state[0][i]) (fun _ state i -> state[1][i])
              dots $"t = %.3g{times.Head}" Tone.Noise first[0] first[1]
              dots $"t = %.3g{List.last times}" Tone.Model last[0] last[1] ]
            |> Chart.combine
            |> isometric

    /// Windows of series as curves against their steps: [n; L] of one series, or [n; C; L] of several, one above the other with axes of their own. Each window has a colour. Raises
    /// ArgumentException where they are neither, or there is not one name a series.
    let series (names: string list) (x: Tensor) : GenericChart =
        let count, length =
            match List.ofArray x.Shape with
            | [ _; length ] -> 1, length
            | [ _; count; length ] -> count, length
            | shape -> invalidArg (nameof x) $"windows of series are [n; L] or [n; C; L], not %A{shape}"

        if names.Length <> count then
            invalidArg (nameof names) $"{names.Length} names of {count} series"

        let windows = Tensor.toFloats (x.To Dtype.Float64) |> Array.chunkBySize (count * length)

        [ for k, name in List.indexed names ->
              [ for i, window in Array.indexed windows ->
                    Chart.Line(
                        x = [| 0 .. length - 1 |],
                        y = Array.sub window (k * length) length,
                        Name = $"{i + 1}",
                        ShowLegend = (k = 0),
                        LineColor = colour (Tone.Series i)
                    ) ]
              |> Chart.combine
              |> framed "step" name ]
        |> function
            | [ one ] -> one
            | several -> several |> Chart.Grid(several.Length, 1) |> framed "" ""

    /// The losses of runs against their steps, each as it was recorded (`Metrics.read "runs/moons/metrics.jsonl"`): faint, under the mean over two
    /// per cent of its lines. A value that is not finite leaves a gap.
    let loss (runs: (string * Metric list) list) : GenericChart =
        let line (name: string) isMean tone (steps: int64[]) (values: float[]) =
            Chart.Line(
                x = steps,
                y = values,
                Name = name,
                ShowLegend = isMean,
                LineColor = colour tone,
                LineWidth = (if isMean then 2.0 else 1.0),
                Opacity = (if isMean then 1.0 else 0.3)
            )

        [ for k, (name, history) in List.indexed runs do
              let steps = [| for metric in history -> metric.Step |]
              let values =
                  [| for metric in history -> if System.Double.IsFinite metric.Loss then metric.Loss else nan |]
              let radius = max 1 (values.Length / 100)

              let mean =
                  Array.init values.Length (fun i ->
                      let near = values[max 0 (i - radius) .. min (values.Length - 1) (i + radius)]
                      let near = Array.filter System.Double.IsFinite near
                      if near.Length = 0 then nan else Array.average near)

              line name false (Tone.Series k) steps values
              line name true (Tone.Series k) steps mean ]
        |> Chart.combine
        |> framed "step" "loss"
