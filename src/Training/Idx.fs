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

    let private dtypeOf file (code: byte) =
        match code with
        | 0x08uy -> Dtype.UInt8
        | 0x09uy -> Dtype.Int8
        | 0x0Buy -> Dtype.Int16
        | 0x0Cuy -> Dtype.Int32
        | 0x0Duy -> Dtype.Float32
        | 0x0Euy -> Dtype.Float64
        | other -> fail file $"its element type 0x%02x{other} is unknown"

    /// What the header says: element type, sizes, how many bytes of elements are to follow.
    let private header file (stream: Stream) =
        let take (count: int) (at: int) (whole: int) =
            let bytes = Array.zeroCreate<byte> count
            let got = stream.ReadAtLeast(bytes, count, throwOnEndOfStream = false)

            if got < count then
                fail file $"it ends within its header, after {at + got} of {whole} bytes"

            bytes

        let start = Array.zeroCreate<byte> 4

        if stream.ReadAtLeast(start, 4, throwOnEndOfStream = false) < 4 || start[0] <> 0uy || start[1] <> 0uy then
            fail file "it does not begin with two zero bytes, a type and a rank"

        let dtype = dtypeOf file start[2]
        let rank = int start[3]
        let sizes = take (4 * rank) 4 (4 + 4 * rank)

        let shape =
            [| for k in 0 .. rank - 1 -> int64 (BinaryPrimitives.ReadInt32BigEndian(ReadOnlySpan(sizes, 4 * k, 4))) |]

        match Exchange.elements shape with
        | Ok elements -> dtype, shape, elements * int64 (Dtype.size dtype)
        | Error reason -> fail file $"its shape is none that a tensor has: {reason}"

    let private bigEndian (dtype: Dtype) =
        Exchange.Piece(fun block ->
            let width = Dtype.size dtype

            if width > 1 then
                for at in 0..width .. block.Length - width do
                    block.Slice(at, width).Reverse())

    let private elements file (stream: Stream) (left: (Dtype * int64[] * int64) -> unit) =
        let dtype, shape, bytes = header file stream
        left (dtype, shape, bytes)
        Exchange.ofStream dtype shape stream (bigEndian dtype)

    let private promised (dtype, shape: int64[], bytes: int64) =
        let sizes = shape |> Array.map string |> String.concat " × "
        $"its header promises {sizes} elements of {Dtype.size dtype} bytes ({bytes})"

    let private plain file (stream: FileStream) =
        elements file stream (fun (_, _, bytes as said) ->
            let found = stream.Length - stream.Position

            if found <> bytes then
                fail file $"{promised said}, but {found} bytes follow")

    // Whether a compressed file is whole is known only once it has been unpacked.
    let private compressed file (stream: FileStream) =
        let most = Disk.unpackedAtMost stream.Length
        use gzip = new GZipStream(stream, CompressionMode.Decompress, leaveOpen = true)

        try
            let mutable said = ""

            let x =
                try
                    elements file gzip (fun (_, _, bytes as header) ->
                        said <- promised header

                        if bytes > most then
                            raise (
                                UserError
                                    $"{file}: {said}, more than {most}, the most that {stream.Length} bytes are unpacked to here: unpack it with gunzip if it is what you mean"
                            ))
                with :? EndOfStreamException ->
                    fail file $"{said}, but fewer follow"

            if gzip.ReadByte() <> -1 then
                fail file $"{said}, but more follow"

            x
        with :? InvalidDataException ->
            fail file "its gzip data are damaged"

    /// The elements as a CPU tensor: uint8, int8, int16, int32, float32 or float64 as the file says.
    /// Raises UserError where the file is missing, damaged, too short or too long, or unpacks to a hundred times its size and more than 256 MiB.
    let read (file: string) : Tensor =
        Disk.read file (fun stream ->
            let start = Array.zeroCreate<byte> 2
            let got = stream.ReadAtLeast(start, 2, throwOnEndOfStream = false)
            stream.Position <- 0L
            let packed = got = 2 && start[0] = 0x1fuy && start[1] = 0x8buy
            Scope.run (fun () -> if packed then compressed file stream else plain file stream))
