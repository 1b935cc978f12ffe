namespace Fokker

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression

/// The IDX format of the MNIST family (LeCun, Cortes, Burges 1998): two zero bytes, the element type, the rank, the sizes as
/// big-endian 32-bit integers, then the elements in row-major order, big-endian. Plain or gzip-compressed, told by content.
[<RequireQualifiedAccess>]
module Idx =

    let private fail file what =
        raise (
            UserError
                $"{file}: {what}: expected an IDX file, plain or gzip-compressed; fetch it again if it was cut short"
        )

    // Whether a compressed file is whole is known only once it has been unpacked.
    let private bytes (file: string) =
        Disk.read file (fun stream ->
            use raw = new MemoryStream()
            stream.CopyTo raw
            let start = raw.GetBuffer()

            if raw.Length >= 2L && start[0] = 0x1fuy && start[1] = 0x8buy then
                raw.Position <- 0L
                use unpacked = new MemoryStream()
                use gzip = new GZipStream(raw, CompressionMode.Decompress)

                try
                    gzip.CopyTo unpacked
                with :? InvalidDataException ->
                    fail file "its gzip data are damaged"

                unpacked.ToArray()
            else
                raw.ToArray())

    /// The elements as a CPU tensor: uint8, int8, int16, int32, float32 or float64 as the file says.
    /// Raises UserError where the file is missing, damaged, too short or too long.
    let read (file: string) : Tensor =
        let content = bytes file

        if content.Length < 4 || content[0] <> 0uy || content[1] <> 0uy then
            fail file "it does not begin with two zero bytes, a type and a rank"

        let dtype =
            match content[2] with
            | 0x08uy -> Dtype.UInt8
            | 0x09uy -> Dtype.Int8
            | 0x0Buy -> Dtype.Int16
            | 0x0Cuy -> Dtype.Int32
            | 0x0Duy -> Dtype.Float32
            | 0x0Euy -> Dtype.Float64
            | other -> fail file $"its element type 0x%02x{other} is unknown"

        let rank = int content[3]
        let start = 4 + 4 * rank

        if content.Length < start then
            fail file $"it ends within its header, after {content.Length} of {start} bytes"

        let shape =
            [ for k in 0 .. rank - 1 -> BinaryPrimitives.ReadInt32BigEndian(ReadOnlySpan(content, 4 + 4 * k, 4)) ]

        let width = Dtype.size dtype

        let expected =
            match Exchange.elements [| for size in shape -> int64 size |] with
            | Ok elements -> elements * int64 width
            | Error reason -> fail file $"its shape is none that a tensor has: {reason}"

        let found = content.Length - start

        if int64 found <> expected then
            let sizes = shape |> List.map string |> String.concat " × "
            fail file $"its header promises {sizes} elements of {width} bytes ({expected}), but {found} bytes follow"

        if width > 1 then
            for at in start..width .. content.Length - width do
                Array.Reverse(content, at, width)

        Exchange.ofBytes dtype shape (ReadOnlySpan(content, start, found))
