/// Pictures that a test makes: a circle, a square or a triangle at a random place, of a random size, in random colours.
module Fokker.Tests.Training.Shapes

open System
open System.IO
open SkiaSharp

let names = [ "circle"; "square"; "triangle" ]

/// A picture of the kind, side × side, its shape far enough from its ground to be seen.
let draw (random: Random) (side: int) (kind: int) : SKBitmap =
    let bitmap = new SKBitmap(SKImageInfo(side, side, SKColorType.Rgba8888, SKAlphaType.Opaque))
    use canvas = new SKCanvas(bitmap)
    let colour low =
        SKColor(byte (random.Next(low, low + 96)), byte (random.Next(low, low + 96)), byte (random.Next(low, low + 96)))
    let bright = random.Next 2 = 0
    canvas.Clear(colour (if bright then 0 else 160))
    use paint = new SKPaint(Color = colour (if bright then 160 else 0), IsAntialias = true)
    let side = float32 side
    let r = side * (0.22f + 0.16f * random.NextSingle())
    let within () = r + (side - 2.0f * r) * random.NextSingle()
    let x, y = within (), within ()

    match kind with
    | 0 -> canvas.DrawCircle(x, y, r, paint)
    | 1 -> canvas.DrawRect(SKRect(x - 0.85f * r, y - 0.85f * r, x + 0.85f * r, y + 0.85f * r), paint)
    | _ ->
        use builder = new SKPathBuilder()
        builder.MoveTo(x, y - r)
        builder.LineTo(x + r, y + 0.8f * r)
        builder.LineTo(x - r, y + 0.8f * r)
        builder.Close()
        use path = builder.Detach()
        canvas.DrawPath(path, paint)

    canvas.Flush()
    bitmap

/// A folder of each kind under `folder` with `count` PNG files in all.
let write (folder: string) (seed: int) (side: int) (count: int) : unit =
    let random = Random seed

    for name in names do
        Directory.CreateDirectory(Path.Combine(folder, name)) |> ignore

    for i in 0 .. count - 1 do
        use bitmap = draw random side (i % 3)
        use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
        File.WriteAllBytes(Path.Combine(folder, names[i % 3], $"{i:D5}.png"), data.ToArray())
