namespace Fokker

open System
open System.Buffers.Binary
open System.IO
open System.Numerics
open Fokker.Protobuf

/// TensorBoard's files of events, of which it draws scalars against steps: records of TFRecord's form (TensorFlow, tfrecord.h), each an `Event` of event.proto.
[<RequireQualifiedAccess>]
module EventFile =

    /// The file of a run's events; TensorBoard knows it by the word in its name.
    let name = "events.out.tfevents.fokker"

    /// The checksum of a record: CRC-32C, rotated and moved so that a checksum of bytes that hold checksums tells something.
    let internal checksum (bytes: ReadOnlySpan<byte>) : uint32 =
        let mutable crc = UInt32.MaxValue

        for b in bytes do
            crc <- BitOperations.Crc32C(crc, b)

        BitOperations.RotateRight(~~~crc, 15) + 0xa282ead8u

    /// One record: its length, the length's checksum, its bytes and theirs.
    let private record (data: byte[]) : byte[] =
        let bytes = Array.zeroCreate<byte>(data.Length + 16)
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(0, 8), uint64 data.Length)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8, 4), checksum (ReadOnlySpan(bytes, 0, 8)))
        data.CopyTo(bytes, 12)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12 + data.Length, 4), checksum (ReadOnlySpan data))
        bytes

    /// What a file begins with. Times are seconds since 1970.
    let internal beginning (time: float) : byte[] = record (Message().Double(1, time).Text(3, "brain.Event:2").Bytes)

    /// Numbers by their names, after so many steps.
    let internal scalars (time: float) (step: int64) (values: (string * float) list) : byte[] =
        let summary = Message()

        for tag, value in values do
            summary.Inner(1, Message().Text(1, tag).Float(2, float32 value)) |> ignore

        record (Message().Double(1, time).Whole(2, step).Inner(5, summary).Bytes)

    /// The time that a file's first record says; none where there is no file, or it begins otherwise.
    let internal timeOf (file: string) : float option =
        let first = Array.zeroCreate<byte> 21

        try
            use stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
            let got = stream.ReadAtLeast(first, first.Length, throwOnEndOfStream = false)
            // The key of field 1, of 64 bits.
            if got = first.Length && first[12] = 0x09uy then
                Some(BinaryPrimitives.ReadDoubleLittleEndian(ReadOnlySpan(first, 13, 8)))
            else
                None
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    /// Seconds since 1970.
    let internal now () : float = float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0
