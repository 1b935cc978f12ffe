namespace Fokker.Pictures

open System
open Fokker
open SkiaSharp

/// A picture's file whose bytes are none of a picture that can be used; the message says what is wrong with it and names the file.
type internal ImageFileException(message: string) =
    inherit UserError(message)

/// PNG, JPEG and WebP files as pixels: upright as their EXIF orientation says, in sRGB, what is clear over white.
module internal ImageFile =

    /// More pixels than the largest cameras make. What a file says of its size is looked at before anything of that size is made.
    let private mostPixels = 150_000_000L

    let private mostBytes = 512L <<< 20

    /// The endings of files that are looked at.
    let endings = [ ".png"; ".jpg"; ".jpeg"; ".webp" ]

    let private refuse (file: string) (what: string) = raise (ImageFileException $"{file}: {what}")

    let private isTurned (origin: SKEncodedOrigin) =
        match origin with
        | SKEncodedOrigin.LeftTop
        | SKEncodedOrigin.RightTop
        | SKEncodedOrigin.RightBottom
        | SKEncodedOrigin.LeftBottom -> true
        | _ -> false

    /// Where a stored pixel goes in the picture as it is meant to be seen, of w × h (EXIF 2.32, Orientation).
    let private upright (origin: SKEncodedOrigin) (w: int) (h: int) : SKMatrix =
        let w, h = float32 w, float32 h
        let matrix xx xy x yx yy y = SKMatrix(xx, xy, x, yx, yy, y, 0.0f, 0.0f, 1.0f)

        match origin with
        | SKEncodedOrigin.TopRight -> matrix -1.0f 0.0f w 0.0f 1.0f 0.0f
        | SKEncodedOrigin.BottomRight -> matrix -1.0f 0.0f w 0.0f -1.0f h
        | SKEncodedOrigin.BottomLeft -> matrix 1.0f 0.0f 0.0f 0.0f -1.0f h
        | SKEncodedOrigin.LeftTop -> matrix 0.0f 1.0f 0.0f 1.0f 0.0f 0.0f
        | SKEncodedOrigin.RightTop -> matrix 0.0f -1.0f w 1.0f 0.0f 0.0f
        | SKEncodedOrigin.RightBottom -> matrix 0.0f -1.0f w -1.0f 0.0f h
        | SKEncodedOrigin.LeftBottom -> matrix 0.0f 1.0f 0.0f -1.0f 0.0f h
        | _ -> SKMatrix.Identity

    let private opened (file: string) (work: SKCodec -> 'T) : 'T =
        Skia.require ()
        let bytes = Disk.readBytes mostBytes file
        use data = SKData.CreateCopy bytes
        use codec = SKCodec.Create data

        match Option.ofObj codec with
        | None -> refuse file "it is no picture that can be read, or damaged: expected PNG, JPEG or WebP"
        | Some codec ->
            match codec.EncodedFormat with
            | SKEncodedImageFormat.Png
            | SKEncodedImageFormat.Jpeg
            | SKEncodedImageFormat.Webp -> ()
            | other -> refuse file $"it is a picture of the kind {other}: expected PNG, JPEG or WebP"

            let pixels = int64 codec.Info.Width * int64 codec.Info.Height

            if pixels > mostPixels then
                refuse
                    file
                    $"it says that it has {codec.Info.Width} × {codec.Info.Height} pixels: expected at most {mostPixels} of them"

            work codec

    /// Height and width of the picture as it is to be seen; only the file's head is looked at.
    let size (file: string) : int * int =
        opened file (fun codec ->
            if isTurned codec.EncodedOrigin then
                codec.Info.Width, codec.Info.Height
            else
                codec.Info.Height, codec.Info.Width)

    /// A picture in which nothing is clear, so that its numbers are its colours.
    let private opaque width height =
        new SKBitmap(SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque, SKColorSpace.CreateSrgb()))

    let private decoded (file: string) (codec: SKCodec) : SKBitmap =
        use srgb = SKColorSpace.CreateSrgb()

        let info = SKImageInfo(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Premul, srgb)

        let bitmap = new SKBitmap(info)

        match codec.GetPixels(info, bitmap.GetPixels()) with
        | SKCodecResult.Success -> bitmap
        | result ->
            bitmap.Dispose()

            match result with
            | SKCodecResult.IncompleteInput -> refuse file "it ends before its picture does: it was cut short"
            | other -> refuse file $"its picture is damaged ({other})"

    /// The file's picture, upright and over white: the square in the middle where it is to be cropped.
    let private seen (file: string) (codec: SKCodec) (square: bool) : SKBitmap =
        use stored = decoded file codec
        let turned = isTurned codec.EncodedOrigin
        let width, height = if turned then stored.Height, stored.Width else stored.Width, stored.Height
        let side = min width height
        let w, h = if square then side, side else width, height
        let picture = opaque w h
        use canvas = new SKCanvas(picture)
        canvas.Clear SKColors.White
        canvas.Translate(float32 (-((width - w) / 2)), float32 (-((height - h) / 2)))
        let mutable matrix = upright codec.EncodedOrigin width height
        canvas.Concat &matrix
        canvas.DrawBitmap(stored, 0.0f, 0.0f, SKSamplingOptions SKFilterMode.Nearest)
        canvas.Flush()
        picture

    /// A square brought to another side: halved while it is twice as large or more, so that every pixel counts, then by Mitchell's and Netravali's cubic.
    let rec private resized (side: int) (square: SKBitmap) : SKBitmap =
        if square.Width = side then
            square
        else
            use square = square
            let halves = square.Width >= 2 * side
            let next = if halves then square.Width / 2 else side
            let smaller = opaque next next

            let sampling =
                if halves then
                    SKSamplingOptions SKFilterMode.Linear
                else
                    SKSamplingOptions SKCubicResampler.Mitchell

            if not (square.ScalePixels(smaller, sampling)) then
                smaller.Dispose()
                failwith $"a picture of {square.Width} pixels cannot be brought to {next}"

            resized side smaller

    /// Red, green and blue of the picture, [3; H; W] of bytes: as it is, or the square in its middle brought to a side. Raises ImageFileException where the file is
    /// no whole picture, UserError where it cannot be read at all.
    let read (side: int option) (file: string) : byte[] =
        opened file (fun codec ->
            use picture =
                match side with
                | None -> seen file codec false
                | Some side -> seen file codec true |> resized side

            let pixels = picture.GetPixelSpan()
            let plane = picture.Width * picture.Height
            let planes = Array.zeroCreate<byte>(3 * plane)

            for i in 0 .. plane - 1 do
                planes[i] <- pixels[4 * i]
                planes[plane + i] <- pixels[4 * i + 1]
                planes[2 * plane + i] <- pixels[4 * i + 2]

            planes)

    /// Whether red, green and blue of [3; H; W] are the same everywhere.
    let isGrey (pixels: byte[]) =
        let plane = pixels.Length / 3
        let red = ReadOnlySpan(pixels, 0, plane)
        red.SequenceEqual(ReadOnlySpan(pixels, plane, plane))
        && red.SequenceEqual(ReadOnlySpan(pixels, 2 * plane, plane))
