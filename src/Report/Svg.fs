namespace Fokker.Report

open System
open System.Globalization
open Fokker.Pictures

/// Schematics as SVG within the page: no script draws them, and their colours are the page's, light or dark.
module Svg =

    /// A panel's width and its margins, in the units of its view box; its height follows from the window, whose axes are equal where both have one unit.
    let private width, left, right, top, bottom = 320.0, 46.0, 12.0, 22.0, 34.0

    let private text (value: float) = value.ToString("0.##", CultureInfo.InvariantCulture)

    let private colour (tone: Tone) =
        "--tone: var(--"
        + (match tone with
           | Tone.Data -> "data"
           | Tone.Model -> "model"
           | Tone.Noise -> "noise"
           | Tone.Series index -> $"series-{((index % 8) + 8) % 8}")
        + ")"

    /// The amounts as the opacity of one colour that is seen on light and on dark paper. The scale ends where 99 % of what is there lies, so that one high cell does not
    /// empty the rest.
    let private shade (tone: Tone) (columns: int) (values: float[]) : string =
        let rows = values.Length / columns

        if columns < 1 || rows * columns <> values.Length then
            invalidArg (nameof values) $"{values.Length} amounts are no rows of {columns}"

        let filled = values |> Array.filter (fun v -> Double.IsFinite v && v > 0.0) |> Array.sort
        let full = if filled.Length = 0 then 1.0 else filled[(filled.Length - 1) * 99 / 100]
        let ink = Palette.tone tone
        let part (value: float32) = byte (Math.Round(255.0 * float value))

        let pixels =
            [| for row in rows - 1 .. -1 .. 0 do
                   for column in 0 .. columns - 1 do
                       let value = values[row * columns + column]
                       let share = if Double.IsFinite value then Math.Clamp(value / full, 0.0, 1.0) else 0.0
                       part ink.Red
                       part ink.Green
                       part ink.Blue
                       byte (Math.Round(190.0 * Math.Pow(share, 0.6))) |]

        Figure.pngAddress (Png.encode 4 rows columns pixels)

    let private panel (drawn: SchematicPanel) : Html =
        let w = drawn.Window
        let inner = width - left - right
        let spanX, spanY = float (w.Right - w.Left), float (w.Top - w.Bottom)
        let high = if drawn.EqualAxes then Math.Clamp(inner * spanY / spanX, 0.5 * inner, 1.3 * inner) else 0.8 * inner
        let px x = left + (x - float w.Left) / spanX * inner
        let py y = top + (float w.Top - y) / spanY * high
        let point (x, y) = text (px x) + "," + text (py y)

        // Where a line leaves the numbers it is interrupted.
        let pieces (curve: (float * float)[]) =
            curve
            |> Array.fold
                (fun (done', open') (x, y) ->
                    if Double.IsFinite x && Double.IsFinite y then done', (x, y) :: open'
                    elif List.isEmpty open' then done', []
                    else List.rev open' :: done', [])
                ([], [])
            |> fun (done', open') -> List.rev (if List.isEmpty open' then done' else List.rev open' :: done')

        let path (curves: (float * float)[] seq) =
            curves
            |> Seq.collect pieces
            |> Seq.map (fun points -> "M" + String.Join("L", points |> List.map point))
            |> String.concat ""

        let line extra tone d = Html.element "path" [ "class", "line" + extra; "style", colour tone; "d", d ] []

        // The head is drawn in the panel's units, so that it has one shape whatever the window.
        let arrow (struct (x, y, dx, dy)) =
            let x0, y0, x1, y1 = px x, py y, px (x + dx), py (y + dy)
            let length = sqrt ((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0))

            if not (length > 0.5 && Double.IsFinite length) then
                ""
            else
                let ux, uy = (x1 - x0) / length, (y1 - y0) / length
                let head = min 5.0 (0.5 * length)
                let barb side =
                    text (x1 - head * ux - side * 0.55 * head * uy)
                    + ","
                    + text (y1 - head * uy + side * 0.55 * head * ux)
                $"M{text x0},{text y0}L{text x1},{text y1}M{barb 1.0}L{text x1},{text y1}L{barb -1.0}"

        let mark (mark: Mark) =
            match mark with
            | Mark.Shade(tone, columns, values) ->
                Html.element
                    "image"
                    [ "x", text left
                      "y", text top
                      "width", text inner
                      "height", text high
                      "preserveAspectRatio", "none"
                      "href", shade tone columns values ]
                    []
            | Mark.Curves(tone, stroke, curves) ->
                let extra =
                    match stroke with
                    | Stroke.Faint -> " faint"
                    | Stroke.Dashed -> " dashed"
                    | Stroke.Solid
                    | Stroke.Marked -> ""

                line extra tone (path curves)
            | Mark.Dots(tone, points) ->
                let radius = text (Math.Clamp(30.0 / sqrt (float (max 1 points.Length)), 1.1, 3.5))

                let dots =
                    [ for x, y in points do
                          if Window.holds w (float32 x) (float32 y) then
                              Html.element "circle" [ "cx", text (px x); "cy", text (py y); "r", radius ] [] ]

                Html.element
                    "g"
                    [ "class", "dot"; "style", colour tone; "opacity", (if points.Length > 200 then "0.45" else "0.9") ]
                    dots
            | Mark.Arrows(tone, arrows) -> line "" tone (arrows |> Seq.map arrow |> String.concat "")

        // An SVG that shows part of itself needs no clip path, and no name that the page must not use twice.
        let marks =
            Html.element
                "svg"
                [ "x", text left
                  "y", text top
                  "width", text inner
                  "height", text high
                  "viewBox", $"{text left} {text top} {text inner} {text high}" ]
                (List.map mark drawn.Marks)

        let words x y anchor extra value =
            Html.element "text" [ "x", text x; "y", text y; "text-anchor", anchor; yield! extra ] [ Html.text value ]

        let foot = top + high

        Html.element
            "svg"
            [ "viewBox", $"0 0 {text width} {text (foot + bottom)}"; "role", "img"; "aria-label", drawn.Title ]
            [ marks
              Html.element
                  "rect"
                  [ "class", "frame"; "x", text left; "y", text top; "width", text inner; "height", text high ]
                  []
              words left 14.0 "start" [ "class", "title" ] drawn.Title
              for value in Window.ticks w.Left w.Right do
                  words (px (float value)) (foot + 14.0) "middle" [] (Window.tickLabel value)
              for value in Window.ticks w.Bottom w.Top do
                  words (left - 5.0) (py (float value) + 4.0) "end" [] (Window.tickLabel value)
              words (left + 0.5 * inner) (foot + 29.0) "middle" [] drawn.XLabel
              words
                  9.0
                  (top + 0.5 * high)
                  "middle"
                  [ "transform", $"rotate(-90 9 {text (top + 0.5 * high)})" ]
                  drawn.YLabel ]

    /// A schematic as an element of the page. Raises ArgumentException where it has no panel, or amounts do not fill their rows.
    let schematic (drawing: Schematic) : Html =
        if List.isEmpty drawing.Panels then
            invalidArg (nameof drawing) "a schematic has at least one panel"

        Html.element
            "figure"
            [ "class", "figure schematic" ]
            [ Html.element
                  "div"
                  [ "class", "panels"; "style", $"--columns:{max 1 drawing.Columns}" ]
                  (List.map panel drawing.Panels)
              if not (List.isEmpty drawing.Legend) then
                  Html.classed
                      "div"
                      "key"
                      [ for tone, word in drawing.Legend ->
                            Html.element "span" [ "style", colour tone ] [ Html.text word ] ] ]
