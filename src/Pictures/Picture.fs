namespace Fokker.Pictures

open System

/// A colour, each part in [0, 1].
[<Struct>]
type Colour = { Red: float32; Green: float32; Blue: float32 }

/// The colours of figures on white paper; `page.css` holds the same for the page, in light and in dark.
module Palette =

    let private rgb (code: int) =
        let part shift = float32 ((code >>> shift) &&& 255) / 255.0f

        { Red = part 16; Green = part 8; Blue = part 0 }

    let paper = rgb 0xFFFFFF
    let ink = rgb 0x1D2126
    let quiet = rgb 0x747B84
    let rule = rgb 0xD9DCE0

    let private series = [| 0x2F6DB5; 0xD1571F; 0x2A8C68; 0x8457B5; 0xB0821C; 0xC23F79; 0x2F93B0; 0x6B7280 |]

    /// The colour of a tone; series beyond the eighth begin again.
    let tone =
        function
        | Tone.Data -> rgb series[0]
        | Tone.Model -> rgb series[1]
        | Tone.Noise -> rgb 0x8A919B
        | Tone.Series index -> rgb series[((index % 8) + 8) % 8]

    /// Colours from little (0) to much (1).
    let private ramp = [| 0xFFFFFF; 0xD6E4F2; 0x93BEDD; 0x4A8DC4; 0x2A5FA3; 0x1B3A73; 0x121F45 |] |> Array.map rgb

    /// The colour of a share in [0, 1] of the greatest value.
    let sequential (share: float32) =
        let place = Math.Clamp(share, 0.0f, 1.0f) * float32 (ramp.Length - 1)
        let index = min (ramp.Length - 2) (int place)
        let rest = place - float32 index
        let between a b = a + rest * (b - a)
        let a, b = ramp[index], ramp[index + 1]

        { Red = between a.Red b.Red; Green = between a.Green b.Green; Blue = between a.Blue b.Blue }

/// A picture under construction, in pixels from the upper left corner; marks are anti-aliased.
type Picture(width: int, height: int) =

    let pixels = Array.init (width * height * 3) (fun _ -> 1.0f)

    let blend x y (colour: Colour) (opacity: float32) =
        if x >= 0 && x < width && y >= 0 && y < height && opacity > 0.0f then
            let place = 3 * (y * width + x)
            let mix offset part =
                pixels[place + offset] <- pixels[place + offset] + opacity * (part - pixels[place + offset])
            mix 0 colour.Red
            mix 1 colour.Green
            mix 2 colour.Blue

    /// Paints every pixel near a shape; its edge is one pixel soft. `distance` is negative inside the shape.
    let paint (left: float32, top: float32, right: float32, bottom: float32) distance colour opacity =
        for y in max 0 (int (top - 1.0f)) .. min (height - 1) (int (bottom + 1.0f)) do
            for x in max 0 (int (left - 1.0f)) .. min (width - 1) (int (right + 1.0f)) do
                let coverage = Math.Clamp(0.5f - distance (float32 x + 0.5f) (float32 y + 0.5f), 0.0f, 1.0f)
                blend x y colour (coverage * opacity)

    /// Fills the pixel at column x and row y.
    member _.Set(x, y, colour) = blend x y colour 1.0f

    /// A disc.
    member _.Dot(x: float32, y: float32, radius: float32, colour, opacity) =
        let distance px py = sqrt ((px - x) * (px - x) + (py - y) * (py - y)) - radius
        paint (x - radius, y - radius, x + radius, y + radius) distance colour opacity

    /// A straight stroke with round ends.
    member _.Stroke(ax: float32, ay: float32, bx: float32, by: float32, thickness: float32, colour, opacity) =
        let radius = thickness / 2.0f
        let dx, dy = bx - ax, by - ay
        let length = max 1e-12f (dx * dx + dy * dy)

        let distance px py =
            let along = Math.Clamp(((px - ax) * dx + (py - ay) * dy) / length, 0.0f, 1.0f)
            let ox, oy = px - ax - along * dx, py - ay - along * dy
            sqrt (ox * ox + oy * oy) - radius

        paint (min ax bx - radius, min ay by - radius, max ax bx + radius, max ay by + radius) distance colour opacity

    /// Text with the left end of its baseline at (x, y) and capitals so many pixels high.
    member picture.Text(x: float32, y: float32, size: float32, colour, text: string) =
        for stroke in Lettering.strokes text do
            let placed = stroke |> List.map (fun (sx, sy) -> x + sx * size, y - sy * size)

            for (ax, ay), (bx, by) in List.pairwise placed do
                picture.Stroke(ax, ay, bx, by, max 1.0f (size * 0.13f), colour, 1.0f)

    /// The picture as a PNG file.
    member _.ToPng() =
        pixels
        |> Array.map (fun part -> byte (Math.Clamp(part * 255.0f + 0.5f, 0.0f, 255.0f)))
        |> Png.encode 3 height width
