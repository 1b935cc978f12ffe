namespace Fokker.Pictures

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.IO.Hashing
open System.Text

/// The PNG format (ISO/IEC 15948): eight bits a channel, no palette, no interlacing. .NET brings the zlib that it is made of.
module Png =

    let private bigEndian (value: uint32) =
        let bytes = Array.zeroCreate 4
        BinaryPrimitives.WriteUInt32BigEndian(Span bytes, value)
        bytes

    /// The checksum covers the chunk's name and its body.
    let private chunk (name: string) (body: byte[]) =
        let named = Array.append (Encoding.ASCII.GetBytes name) body
        Array.concat [ bigEndian (uint32 body.Length); named; bigEndian (Crc32.HashToUInt32(ReadOnlySpan named)) ]

    let private deflate (bytes: byte[]) =
        use target = new MemoryStream()

        do
            use stream = new ZLibStream(target, CompressionLevel.SmallestSize)
            stream.Write bytes

        target.ToArray()

    /// Each row as its difference from its left or upper neighbour, or as it is, whichever is nearest to zero: the
    /// heuristic of the PNG specification, section 12.8, over three of its five filters.
    let private filtered stride channels (pixels: byte[]) =
        let rows = pixels.Length / max 1 stride
        let output = Array.zeroCreate<byte>(rows * (stride + 1))
        let magnitude (value: byte) = abs (int (sbyte value))

        for row in 0 .. rows - 1 do
            let start = row * stride

            let difference filter column =
                let here = pixels[start + column]

                match filter with
                | 1 when column >= channels -> here - pixels[start + column - channels]
                | 2 when row > 0 -> here - pixels[start + column - stride]
                | _ -> here

            let cost filter = Seq.sumBy (fun column -> magnitude (difference filter column)) (seq { 0 .. stride - 1 })

            let best = List.minBy cost [ 0; 1; 2 ]
            let target = row * (stride + 1)
            output[target] <- byte best

            for column in 0 .. stride - 1 do
                output[target + 1 + column] <- difference best column

        output

    /// The PNG file of an image: row-major [height; width; channels] bytes, channels 1 (grey), 2 (grey and opacity),
    /// 3 (RGB) or 4 (RGB and opacity).
    let encode (channels: int) (height: int) (width: int) (pixels: byte[]) : byte[] =
        if height < 1 || width < 1 || pixels.Length <> channels * height * width then
            invalidArg
                (nameof pixels)
                $"an image of [{height}; {width}; {channels}] cannot be made of {pixels.Length} bytes"

        let colourType =
            match channels with
            | 1 -> 0uy
            | 2 -> 4uy
            | 3 -> 2uy
            | 4 -> 6uy
            | _ -> invalidArg (nameof channels) $"a PNG has 1, 2, 3 or 4 channels, not {channels}"

        let header =
            Array.concat [ bigEndian (uint32 width); bigEndian (uint32 height); [| 8uy; colourType; 0uy; 0uy; 0uy |] ]

        Array.concat
            [ [| 0x89uy; 0x50uy; 0x4Euy; 0x47uy; 0x0Duy; 0x0Auy; 0x1Auy; 0x0Auy |]
              chunk "IHDR" header
              chunk "IDAT" (deflate (filtered (width * channels) channels pixels))
              chunk "IEND" [||] ]
