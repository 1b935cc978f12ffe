namespace Fokker.Pictures

open System
open System.Runtime.InteropServices
open SkiaSharp

/// The PNG format (ISO/IEC 15948): eight bits a channel.
module Png =

    /// The PNG file of an image: row-major [height; width; channels] bytes, channels 1 (grey), 2 (grey and opacity),
    /// 3 (RGB) or 4 (RGB and opacity).
    let encode (channels: int) (height: int) (width: int) (pixels: byte[]) : byte[] =
        if height < 1 || width < 1 || pixels.Length <> channels * height * width then
            invalidArg
                (nameof pixels)
                $"an image of [{height}; {width}; {channels}] cannot be made of {pixels.Length} bytes"

        Skia.require ()

        // The channels that a pixel of SkiaSharp's has, by where they are in one of ours; 255 where there is none.
        let kind, opacity, places =
            match channels with
            | 1 -> SKColorType.Gray8, SKAlphaType.Opaque, [| 0 |]
            | 2 -> SKColorType.Rgba8888, SKAlphaType.Unpremul, [| 0; 0; 0; 1 |]
            | 3 -> SKColorType.Rgba8888, SKAlphaType.Opaque, [| 0; 1; 2; -1 |]
            | 4 -> SKColorType.Rgba8888, SKAlphaType.Unpremul, [| 0; 1; 2; 3 |]
            | _ -> invalidArg (nameof channels) $"a PNG has 1, 2, 3 or 4 channels, not {channels}"

        let count = places.Length
        let bytes = Array.zeroCreate<byte>(height * width * count)

        for i in 0 .. height * width - 1 do
            for k in 0 .. count - 1 do
                bytes[i * count + k] <- if places[k] < 0 then 255uy else pixels[i * channels + places[k]]

        let pinned = GCHandle.Alloc(bytes, GCHandleType.Pinned)

        try
            use map =
                new SKPixmap(SKImageInfo(width, height, kind, opacity), pinned.AddrOfPinnedObject(), width * count)

            use file = nonNull (map.Encode(SKPngEncoderOptions(SKPngEncoderFilterFlags.AllFilters, 9)))
            file.ToArray()
        finally
            pinned.Free()
