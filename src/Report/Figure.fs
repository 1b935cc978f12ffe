namespace Fokker.Report

open Fokker.Pictures
open System
open System.Text.Json.Nodes

/// The figures that the page's scripts draw: each is an empty stage, a caption and a JSON value that says what to draw.
module Figure =

    let private text (value: string) : JsonNode = Unchecked.nonNull (JsonValue.Create<string> value)

    let private number (value: float) : JsonNode = nonNull (JsonValue.Create<float> value)
    let private flag (value: bool) : JsonNode = nonNull (JsonValue.Create<bool> value)

    let private list (nodes: JsonNode seq) : JsonNode =
        let array = JsonArray()
        Seq.iter array.Add nodes
        array

    let private object (entries: (string * JsonNode) list) : JsonNode =
        let node = JsonObject()

        for key, value in entries do
            node[key] <- value

        node

    let private tone =
        function
        | Tone.Data -> "data"
        | Tone.Model -> "model"
        | Tone.Noise -> "noise"
        | Tone.Series index -> $"series-{((index % 8) + 8) % 8}"
        >> text

    /// A stage for the script that draws this kind of figure. JSON's writer escapes `<`, `>` and `&`, so the value
    /// cannot end its element.
    let private stage kind (description: string) (caption: string) (entries: (string * JsonNode) list) =
        let specification = object (("description", text description) :: entries)

        Html.element
            "figure"
            [ "class", $"figure {kind}"; "data-kind", kind ]
            [ Html.classed "div" "stage" []
              Html.element "noscript" [] [ Html.text $"This figure is drawn by a script: {description}." ]
              if caption <> "" then
                  Html.element "figcaption" [] (Markup.inlines caption)
              Html.element "script" [ "type", "application/json" ] [ Html.Verbatim(specification.ToJsonString()) ] ]

    let private pairs what (points: float32[]) =
        if points.Length % 2 <> 0 then
            invalidArg what $"{points.Length} values are no [N; 2] array of points"

    let private sameLength what expected actual =
        if actual <> expected then
            invalidArg what $"{what} has {actual} elements where {expected} were expected"

    let private classes what (values: int[]) (points: float32[]) =
        if values.Length > 0 then
            sameLength what (points.Length / 2) values.Length

    let private window (window: Window) =
        list ([ window.Left; window.Right; window.Bottom; window.Top ] |> List.map (float >> number))

    /// The range that positions are coded in: the window and as much again around it, since a frame may show more.
    let private codeRange (window: Window) =
        let low, high = min window.Left window.Bottom, max window.Right window.Top
        let reach = 0.5f * (high - low)
        low - reach, high + reach

    /// What is absent is left out of the value rather than named with a null.
    let private classesEntry (values: int[]) =
        [ if values.Length > 0 then
              "classes", Pack.bytes values ]

    let private cloudNode range (cloud: Cloud) =
        object
            [ "label", text cloud.Label
              "tone", tone cloud.Tone
              "points", Pack.quantised range 65534 cloud.Points
              yield! classesEntry cloud.Classes ]

    let private outsideNote total (outside: int) =
        if outside = 0 then
            ""
        else
            let verb = if outside = 1 then "lies" else "lie"
            let points = Markup.plural total "point"
            $"{Markup.count outside} of {points} {verb} outside the frame."

    /// Clouds side by side.
    let scatter (figure: Scatter) =
        let clouds = figure.Panels |> List.collect _.Clouds

        for cloud in clouds do
            pairs (nameof cloud.Points) cloud.Points
            classes (nameof cloud.Classes) cloud.Classes cloud.Points

        let frame = clouds |> List.map _.Points |> Window.around
        let range = codeRange frame
        let total = clouds |> List.sumBy (fun cloud -> cloud.Points.Length / 2)
        let outside = clouds |> List.sumBy (fun cloud -> Window.outside frame cloud.Points)

        let panel (panel: Panel) =
            object [ "title", text panel.Title; "clouds", panel.Clouds |> List.map (cloudNode range) |> list ]

        let titles = figure.Panels |> List.map _.Title |> String.concat ", "

        stage
            "scatter"
            $"Scatter plot side by side over the same axes: {titles}"
            (outsideNote total outside)
            [ "window", window frame
              "x", text figure.XLabel
              "y", text figure.YLabel
              "panels", figure.Panels |> List.map panel |> list ]

    let private times (values: float[]) =
        if values.Length = 0 then
            invalidArg (nameof values) "an animation has at least one frame"

        if values |> Array.exists (Double.IsFinite >> not) then
            invalidArg (nameof values) "the times of an animation are finite numbers"

        values |> Seq.map number |> list

    let private span (clock: Clock option) (values: float[]) =
        let at (value: float) =
            let symbol = clock |> Option.map _.Symbol |> Option.defaultValue "t"
            $"{symbol} = {Markup.significant 3 value}"

        $"from {at values[0]} to {at values[values.Length - 1]}"

    let private clockEntry (clock: Clock option) =
        [ for clock in Option.toList clock do
              "clock", object [ "symbol", text clock.Symbol; "first", text clock.First; "last", text clock.Last ] ]

    /// Moving points need a position to a few thousandths of the frame: between two frames they are interpolated anyway.
    let private movingSteps = 4094

    /// A cloud at several times.
    let cloudMotion (motion: CloudMotion) =
        sameLength (nameof motion.Frames) motion.Times.Length motion.Frames.Length

        for frame in motion.Frames do
            pairs (nameof motion.Frames) frame
            sameLength "a frame" motion.Frames[0].Length frame.Length
            classes (nameof motion.Classes) motion.Classes frame

        let behind = Option.toList motion.Behind
        let frame = Window.around ((behind |> List.map _.Points) @ List.ofArray motion.Frames)
        let range = codeRange frame
        let timeNodes = times motion.Times

        stage
            "cloud-motion"
            (Markup.plural (motion.Frames[0].Length / 2) "sample" + " moving " + span motion.Clock motion.Times)
            ""
            [ "window", window frame
              "times", timeNodes
              yield! clockEntry motion.Clock
              "count", number (float (motion.Frames[0].Length / 2))
              "frames", Pack.quantised range movingSteps (Array.concat motion.Frames)
              yield! classesEntry motion.Classes
              for cloud in behind do
                  "behind", cloudNode range cloud ]

    /// A velocity field at several times.
    let fieldMotion (motion: FieldMotion) =
        sameLength (nameof motion.Velocities) motion.Times.Length motion.Velocities.Length

        if motion.Xs.Length < 2 || motion.Ys.Length < 2 then
            invalidArg
                (nameof motion)
                $"a field needs a grid of at least [2; 2], not [{motion.Ys.Length}; {motion.Xs.Length}]"

        for field in motion.Velocities do
            sameLength "a velocity field" (2 * motion.Xs.Length * motion.Ys.Length) field.Length

        if motion.Frames.Length > 0 then
            sameLength (nameof motion.Frames) motion.Times.Length motion.Frames.Length

        for frame in motion.Frames do
            pairs (nameof motion.Frames) frame
            sameLength "a frame" motion.Frames[0].Length frame.Length

        let frame =
            { Left = motion.Xs[0]
              Right = motion.Xs[motion.Xs.Length - 1]
              Bottom = motion.Ys[0]
              Top = motion.Ys[motion.Ys.Length - 1] }

        let all = Array.concat motion.Velocities
        let finite = all |> Array.filter Single.IsFinite
        let low, high = if finite.Length = 0 then -1.0f, 1.0f else Array.min finite, Array.max finite
        // A field that is constant still needs a range of some width.
        let range = if high > low then low, high else low - 1.0f, high + 1.0f

        stage
            "field-motion"
            $"Streamlines of the velocity field {span None motion.Times}"
            ""
            [ "window", window frame
              "times", times motion.Times
              "columns", number (float motion.Xs.Length)
              "rows", number (float motion.Ys.Length)
              "velocities", Pack.quantised range 65534 all
              if motion.Frames.Length > 0 then
                  "frames", Pack.quantised (codeRange frame) movingSteps (Array.concat motion.Frames) ]

    let private stroke =
        function
        | Stroke.Solid -> "solid"
        | Stroke.Faint -> "faint"
        | Stroke.Dashed -> "dashed"
        | Stroke.Marked -> "marked"
        >> text

    /// Lines over common axes.
    let lines (chart: LineChart) =
        let line (line: Line) =
            sameLength $"the Y of '{line.Label}'" line.X.Length line.Y.Length

            object
                [ "label", text line.Label
                  "tone", tone line.Tone
                  "stroke", stroke line.Stroke
                  "x", Pack.floats (Array.map float32 line.X)
                  "y", Pack.floats (Array.map float32 line.Y) ]

        let labels = chart.Lines |> List.map _.Label |> String.concat ", "

        stage
            "lines"
            $"Line chart of {chart.YLabel} against {chart.XLabel}: {labels}"
            ""
            [ "x", text chart.XLabel
              "y", text chart.YLabel
              "logX", flag chart.LogX
              "logY", flag chart.LogY
              "lines", chart.Lines |> List.map line |> list ]

    /// A function on a grid.
    let heatMap (map: HeatMap) =
        sameLength (nameof map.Values) (map.Xs.Length * map.Ys.Length) map.Values.Length

        stage
            "heat-map"
            $"Heat map of {map.ValueLabel} over {map.XLabel} and {map.YLabel}"
            ""
            [ "xs", Pack.floats (Array.map float32 map.Xs)
              "ys", Pack.floats (Array.map float32 map.Ys)
              "values", Pack.floats map.Values
              "diverging", flag (map.Scale = Scale.Diverging)
              "x", text map.XLabel
              "y", text map.YLabel
              "value", text map.ValueLabel
              "equal", flag map.EqualAxes ]

    /// The address of a PNG that is part of the page.
    let pngAddress (png: byte[]) = "data:image/png;base64," + Convert.ToBase64String png

    /// Images at several times.
    let imageMotion (motion: ImageMotion) =
        sameLength (nameof motion.Frames) motion.Times.Length motion.Frames.Length
        let timeNodes = times motion.Times
        let first = motion.Frames[0]

        for frame in motion.Frames do
            sameLength "a frame" first.Pixels.Length frame.Pixels.Length

        stage
            "image-motion"
            (Markup.plural first.Count "image" + " changing " + span motion.Clock motion.Times)
            ""
            [ "times", timeNodes
              yield! clockEntry motion.Clock
              "count", number (float first.Count)
              "columns", number (float (Math.Clamp(motion.Columns, 1, max 1 first.Count)))
              "width", number (float first.Width)
              "height", number (float first.Height)
              "frames", motion.Frames |> Seq.map (Tiles.sheet motion.Columns >> pngAddress >> text) |> list ]
