namespace Fokker.Report

open Fokker.Pictures
open System
open System.IO
open System.IO.Compression
open System.Runtime.InteropServices
open System.Text.Json.Nodes

/// Arrays as compact JSON values: raw bytes, gzipped where that helps, in base64. The page's `data.js` reads them back.
module Pack =

    /// Gzip at its smallest, which every browser undoes by itself with `DecompressionStream`.
    let gzip (bytes: byte[]) =
        use target = new MemoryStream()

        do
            use stream = new GZipStream(target, CompressionLevel.SmallestSize)
            stream.Write bytes

        target.ToArray()

    let private packed kind (length: int) (bytes: byte[]) =
        let zipped = gzip bytes
        let smaller = zipped.Length < bytes.Length
        let node = JsonObject()
        node["type"] <- JsonValue.Create<string> kind
        node["length"] <- JsonValue.Create<int> length
        node["gzip"] <- JsonValue.Create<bool> smaller
        node["bytes"] <- JsonValue.Create<string>(Convert.ToBase64String(if smaller then zipped else bytes))
        node

    /// Values as 32-bit floats: seven digits, which is what a reader may ask of a hover label.
    let floats (values: float32[]) : JsonNode =
        packed "f32" values.Length (MemoryMarshal.AsBytes(ReadOnlySpan values).ToArray())

    /// Small whole numbers from 0 to 255, such as classes; larger ones wrap round.
    let bytes (values: int[]) : JsonNode =
        packed "u8" values.Length (values |> Array.map (fun value -> byte (value &&& 255)))

    /// The code of a value that is not finite or lies outside the range: the page does not draw it.
    [<Literal>]
    let private Absent = 65535us

    /// Values of a range [low, high] in so many equal steps (65534 at most), as 16-bit integers. A step is to be
    /// finer than a pixel: this is for what is drawn, not for what is read.
    let quantised (low: float32, high: float32) (steps: int) (values: float32[]) : JsonNode =
        let span = float (high - low)

        let code (value: float32) =
            if value >= low && value <= high && span > 0.0 then
                uint16 (Math.Round(float (value - low) / span * float steps))
            else
                Absent

        let codes = Array.map code values
        // High bytes before low bytes: neighbours then resemble each other, and gzip finds it.
        let planes =
            Array.append
                (codes |> Array.map (fun code -> byte (code >>> 8)))
                (codes |> Array.map (fun code -> byte (code &&& 255us)))

        let node = packed "u16" values.Length planes
        node["low"] <- JsonValue.Create<float32> low
        node["step"] <- JsonValue.Create<float>(span / float steps)
        node
