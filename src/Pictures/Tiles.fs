namespace Fokker.Pictures

open System

/// Batches of images as PNG.
module Tiles =

    /// [−1, 1] onto 0 … 255, clipped; a value that is not finite is black.
    let private level (value: float32) =
        if Single.IsFinite value then
            byte (Math.Clamp(Math.Round(float (value + 1.0f) * 127.5), 0.0, 255.0))
        else
            0uy

    let internal validate (images: Images) =
        let size = images.Channels * images.Height * images.Width

        if images.Channels <> 1 && images.Channels <> 3 then
            invalidArg (nameof images) $"images have 1 or 3 channels, not {images.Channels}"

        if size < 1 || images.Pixels.Length % size <> 0 then
            invalidArg
                (nameof images)
                $"{images.Pixels.Length} values are no batch of [{images.Channels}; {images.Height}; {images.Width}]"

    /// Copies image `index` into [height; width; channels] bytes of a picture `stride` bytes wide, from `target` on.
    let private place (images: Images) index (picture: byte[]) stride step target =
        let plane = images.Height * images.Width

        for channel in 0 .. images.Channels - 1 do
            let source = (index * images.Channels + channel) * plane

            for row in 0 .. images.Height - 1 do
                for column in 0 .. images.Width - 1 do
                    picture[target + row * stride + column * step + channel] <-
                        level images.Pixels[source + row * images.Width + column]

    /// One image of a batch, at its own size.
    let one (images: Images) index =
        validate images
        let picture = Array.zeroCreate (images.Channels * images.Height * images.Width)
        place images index picture (images.Width * images.Channels) images.Channels 0
        Png.encode images.Channels images.Height images.Width picture

    /// All images edge to edge in so many columns, at their own size; the page cuts them apart again.
    let sheet columns (images: Images) =
        validate images
        let columns = Math.Clamp(columns, 1, max 1 images.Count)
        let rows = max 1 ((images.Count + columns - 1) / columns)
        let stride = columns * images.Width * images.Channels
        let picture = Array.zeroCreate (rows * images.Height * stride)

        for index in 0 .. images.Count - 1 do
            let row, column = index / columns, index % columns
            place
                images
                index
                picture
                stride
                images.Channels
                (row * images.Height * stride + column * images.Width * images.Channels)

        Png.encode images.Channels (rows * images.Height) (columns * images.Width) picture

    /// All images in so many columns with a gap between them, each pixel drawn `scale` pixels wide, on a clear ground.
    let grid columns scale (images: Images) =
        validate images

        if scale < 1 then
            invalidArg (nameof scale) $"a pixel is drawn at least 1 pixel wide, not {scale}"

        let columns = Math.Clamp(columns, 1, max 1 images.Count)
        let rows = max 1 ((images.Count + columns - 1) / columns)
        let gap = max 2 scale
        let width = columns * (images.Width * scale + gap) - gap
        let height = rows * (images.Height * scale + gap) - gap
        // Opacity comes last, after the images' own channels: grey or RGB.
        let channels = images.Channels + 1
        let picture = Array.zeroCreate<byte>(height * width * channels)
        let plane = images.Height * images.Width

        for index in 0 .. images.Count - 1 do
            let top = index / columns * (images.Height * scale + gap)
            let left = index % columns * (images.Width * scale + gap)

            for row in 0 .. images.Height * scale - 1 do
                for column in 0 .. images.Width * scale - 1 do
                    let target = ((top + row) * width + left + column) * channels
                    let pixel = row / scale * images.Width + column / scale

                    for channel in 0 .. images.Channels - 1 do
                        picture[target + channel] <-
                            level images.Pixels[(index * images.Channels + channel) * plane + pixel]

                    picture[target + images.Channels] <- 255uy

        Png.encode channels height width picture
