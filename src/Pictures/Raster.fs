namespace Fokker.Pictures

open System

/// Figures as PNG files, drawn without a browser: what a run leaves beside its report, and what a README can show.
module Raster =

    /// Where a panel's window lies on the picture, in pixels.
    type private Frame =
        { X: int
          Y: int
          Width: int
          Height: int
          Window: Window }

        member frame.Column(x: float32) =
            float32 frame.X
            + (x - frame.Window.Left) / (frame.Window.Right - frame.Window.Left) * float32 frame.Width

        member frame.Row(y: float32) =
            float32 frame.Y
            + (frame.Window.Top - y) / (frame.Window.Top - frame.Window.Bottom) * float32 frame.Height

    /// A frame with its ticks and its title.
    let private axes (picture: Picture) frame title =
        let left, right = float32 frame.X, float32 (frame.X + frame.Width)
        let top, bottom = float32 frame.Y, float32 (frame.Y + frame.Height)
        let rule ax ay bx by = picture.Stroke(ax, ay, bx, by, 1.5f, Palette.rule, 1.0f)
        rule left top right top
        rule left bottom right bottom
        rule left top left bottom
        rule right top right bottom

        for value in Window.ticks frame.Window.Left frame.Window.Right do
            let x, label = frame.Column value, Window.tickLabel value
            rule x bottom x (bottom + 7.0f)
            picture.Text(x - 6.0f * Lettering.width label, bottom + 28.0f, 12.0f, Palette.quiet, label)

        for value in Window.ticks frame.Window.Bottom frame.Window.Top do
            let y, label = frame.Row value, Window.tickLabel value
            rule (left - 7.0f) y left y
            picture.Text(left - 14.0f - 12.0f * Lettering.width label, y + 6.0f, 12.0f, Palette.quiet, label)

        picture.Text(left, top - 20.0f, 17.0f, Palette.ink, title)

    /// Rows of panels of one size, those of a row side by side over a common window, with equal axes or axes of their own lengths; `draw` fills each.
    let private rowsOf isEqual size (rows: Panel list list) draw =
        if rows.IsEmpty || List.exists List.isEmpty rows then
            invalidArg (nameof rows) "a figure has at least one panel"

        let windows =
            [ for panels in rows ->
                  panels |> List.collect (fun panel -> panel.Clouds |> List.map _.Points) |> Window.around ]

        let height (window: Window) =
            // A long thin cloud gets a frame of its shape, within limits that keep the labels apart.
            let aspect =
                if isEqual then
                    Math.Clamp((window.Right - window.Left) / (window.Top - window.Bottom), 0.75f, 1.7f)
                else
                    1.7f

            aspect, int (float32 size / aspect)

        let left, top, right, bottom = 64, 60, 20, 46
        let heights = windows |> List.map (height >> snd)
        let across = rows |> List.map List.length |> List.max
        let picture =
            Picture((left + size + right) * across, heights |> List.sumBy (fun height -> top + height + bottom))
        let tops = heights |> List.scan (fun y height -> y + top + height + bottom) 0

        for panels, window, y in List.zip3 rows windows (List.take rows.Length tops) do
            let aspect, height = height window

            panels
            |> List.iteri (fun index panel ->
                let frame =
                    { X = index * (left + size + right) + left
                      Y = y + top
                      Width = size
                      Height = height
                      Window = if isEqual then Window.withAspect aspect window else window }

                draw picture frame panel
                axes picture frame panel.Title)

        picture.ToPng()

    let private panels size (figure: Panel list) draw = rowsOf true size [ figure ] draw

    let private points (cloud: Cloud) =
        seq { 0 .. cloud.Points.Length / 2 - 1 }
        |> Seq.map (fun i -> struct (i, cloud.Points[2 * i], cloud.Points[2 * i + 1]))

    /// A 2-D scatter plot as PNG: the panels side by side, each `size` pixels wide, over the same window of the plane.
    let scatter (size: int) (figure: Panel list) : byte[] =
        panels size figure (fun picture frame panel ->
            for cloud in panel.Clouds do
                let count = float32 (max 1 (cloud.Points.Length / 2))
                // Many points are drawn smaller and thinner, so that density stays visible.
                let radius = Math.Clamp(float32 size / 7.5f / sqrt count, 1.1f, 4.0f)
                let opacity = Math.Clamp(30.0f / sqrt count, 0.16f, 0.8f)

                for struct (i, x, y) in points cloud do
                    if Window.holds frame.Window x y then
                        let colour =
                            if i < cloud.Classes.Length then
                                Palette.tone (Tone.Series cloud.Classes[i])
                            else
                                Palette.tone cloud.Tone

                        picture.Dot(frame.Column x, frame.Row y, radius, colour, opacity))

    /// Curves as PNG: each cloud's points joined in their order, a colour for each, the panels of a row side by side over one window whose axes have lengths of their own.
    let curves (size: int) (rows: Panel list list) : byte[] =
        rowsOf false size rows (fun picture frame panel ->
            for k, cloud in List.indexed panel.Clouds do
                for struct (_, ax, ay), struct (_, bx, by) in points cloud |> Seq.pairwise do
                    if Window.holds frame.Window ax ay && Window.holds frame.Window bx by then
                        picture.Stroke(
                            frame.Column ax,
                            frame.Row ay,
                            frame.Column bx,
                            frame.Row by,
                            2.0f,
                            Palette.tone (Tone.Series k),
                            0.9f
                        ))

    /// The same as a density: a histogram over squares of 4 × 4 pixels, on one colour scale for all panels. For more
    /// points than dots can show.
    let density (size: int) (figure: Panel list) : byte[] =
        let cell = 4

        panels size figure (fun picture frame panel ->
            let columns, rows = frame.Width / cell, frame.Height / cell
            let counts = Array.zeroCreate<float32>(columns * rows)
            let all = panel.Clouds |> List.sumBy (fun cloud -> cloud.Points.Length / 2)

            for cloud in panel.Clouds do
                for struct (_, x, y) in points cloud do
                    if Window.holds frame.Window x y then
                        let column = min (columns - 1) ((int (frame.Column x) - frame.X) / cell)
                        let row = min (rows - 1) ((int (frame.Row y) - frame.Y) / cell)
                        counts[row * columns + column] <- counts[row * columns + column] + 1.0f / float32 all

            // The brightest cells are rare: the scale ends where 99 % of the filled cells lie, and grows as a square root.
            let filled = counts |> Array.filter (fun count -> count > 0.0f) |> Array.sort
            let top = if filled.Length = 0 then 1.0f else filled[filled.Length * 99 / 100]

            for row in 0 .. rows * cell - 1 do
                for column in 0 .. columns * cell - 1 do
                    let share = sqrt (counts[row / cell * columns + column / cell] / top)
                    picture.Set(frame.X + column, frame.Y + row, Palette.sequential share))

    /// A grid of images as PNG on a clear ground; small images are enlarged by whole pixels.
    let imageGrid (columns: int) (images: Images) : byte[] = Tiles.grid columns (max 1 (56 / max 1 images.Width)) images
