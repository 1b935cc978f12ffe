namespace Fokker.Protobuf

open System
open System.IO

/// A protocol buffers message under construction: fields as varints, floats of 32 and 64 bits and length-delimited bytes, which is all that the messages of ONNX and of TensorBoard have
/// (Google, Protocol Buffers encoding).
[<Sealed>]
type internal Message() =
    let bytes = new MemoryStream()

    let varint (value: uint64) =
        let mutable rest = value

        while rest >= 0x80UL do
            bytes.WriteByte(byte (rest ||| 0x80UL))
            rest <- rest >>> 7

        bytes.WriteByte(byte rest)

    let key (field: int) (wire: int) = varint (uint64 (field <<< 3 ||| wire))

    member _.Bytes = bytes.ToArray()

    member m.Whole(field: int, value: int64) : Message =
        key field 0
        varint (uint64 value)
        m

    member m.Float(field: int, value: float32) : Message =
        key field 5
        bytes.Write(ReadOnlySpan(BitConverter.GetBytes value))
        m

    member m.Double(field: int, value: float) : Message =
        key field 1
        bytes.Write(ReadOnlySpan(BitConverter.GetBytes value))
        m

    member m.Raw(field: int, value: byte[]) : Message =
        key field 2
        varint (uint64 value.Length)
        bytes.Write(ReadOnlySpan value)
        m

    member m.Text(field: int, value: string) : Message = m.Raw(field, Text.Encoding.UTF8.GetBytes value)
    member m.Inner(field: int, value: Message) : Message = m.Raw(field, value.Bytes)
    member m.Each(field: int, values: Message seq) : Message =
        Seq.iter (fun v -> m.Inner(field, v) |> ignore) values
        m
