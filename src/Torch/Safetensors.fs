namespace Fokker

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json

/// Named tensors and a few words about them: what a safetensors file holds.
type TensorFile = { Metadata: Map<string, string>; Tensors: Map<string, Tensor> }

/// Hugging Face's format for weights: eight bytes with the length of a JSON header, the header (element type, shape and
/// place of every tensor), then the bytes of the tensors, little-endian and in C order, without holes.
[<RequireQualifiedAccess>]
module Safetensors =

    let private codes =
        [ "BOOL", Dtype.Bool
          "U8", Dtype.UInt8
          "I8", Dtype.Int8
          "I16", Dtype.Int16
          "I32", Dtype.Int32
          "I64", Dtype.Int64
          "F16", Dtype.Float16
          "BF16", Dtype.BFloat16
          "F32", Dtype.Float32
          "F64", Dtype.Float64 ]

    [<Literal>]
    let private MetadataKey = "__metadata__"

    // What the writer adds: SHA-256 of the whole file with zeros in the digest's place.
    [<Literal>]
    let private DigestKey = "fokker-sha256"

    let private blank = String('0', 64)

    // The limit of the format's reference implementation.
    let private longest = 100_000_000L

    type private Entry = { Name: string; Dtype: Dtype; Shape: int64[]; First: int64; End: int64 }

    let private refuse path (text: string) = raise (UserError $"{path}: {text}")

    let private parseEntry path (name: string) (value: JsonElement) =
        let field (key: string) (kind: JsonValueKind) =
            let mutable found = Unchecked.defaultof<JsonElement>

            if
                value.ValueKind <> JsonValueKind.Object
                || not (value.TryGetProperty(key, &found))
                || found.ValueKind <> kind
            then
                refuse
                    path
                    $"tensor '{name}' has no {key} in the safetensors header; expected dtype, shape and data_offsets"

            found

        let code = string ((field "dtype" JsonValueKind.String).GetString())

        let dtype =
            match codes |> List.tryFind (fun (known, _) -> known = code) with
            | Some(_, dtype) -> dtype
            | None ->
                let known = codes |> List.map fst |> String.concat ", "
                refuse path $"tensor '{name}' is of type {code}, expected one of {known}"

        let numbers key =
            [| for item in (field key JsonValueKind.Array).EnumerateArray() do
                   let mutable n = 0L

                   if item.ValueKind <> JsonValueKind.Number || not (item.TryGetInt64(&n)) || n < 0L then
                       refuse path $"tensor '{name}' has {item.GetRawText()} in its {key}, expected numbers from 0"

                   n |]

        let shape = numbers "shape"

        let bytes =
            match Exchange.elements shape with
            | Ok elements -> elements * int64 (Dtype.size dtype)
            | Error reason -> refuse path $"tensor '{name}' has a shape that no tensor has: {reason}"

        match numbers "data_offsets" with
        | [| first; last |] ->
            let text = String.Join("; ", shape)

            // Both are from 0, so their difference is no less than −2⁶³ + 1.
            if last - first <> bytes then
                refuse
                    path
                    $"tensor '{name}' is [{text}] {Dtype.name dtype}, {bytes} bytes, but its offsets {first} to {last} span {last - first}"

            { Name = name; Dtype = dtype; Shape = shape; First = first; End = last }
        | _ -> refuse path $"tensor '{name}' has no two data_offsets"

    let private parse path (header: byte[]) =
        use document =
            match JsonText.document header with
            | Ok document -> document
            | Error reason -> refuse path $"its safetensors header is damaged: {reason}"

        if document.RootElement.ValueKind <> JsonValueKind.Object then
            refuse path "its safetensors header is no JSON object"

        let mutable metadata = Map.empty
        let entries = List<Entry>()

        for property in document.RootElement.EnumerateObject() do
            if property.Name = MetadataKey then
                if property.Value.ValueKind <> JsonValueKind.Object then
                    refuse path $"its {MetadataKey} is no JSON object"

                for item in property.Value.EnumerateObject() do
                    if item.Value.ValueKind <> JsonValueKind.String then
                        refuse path $"'{item.Name}' in its {MetadataKey} is not text"

                    metadata <- Map.add item.Name (string (item.Value.GetString())) metadata
            else
                entries.Add(parseEntry path property.Name property.Value)

        metadata, entries |> Seq.sortBy (fun e -> e.First, e.End) |> List.ofSeq

    /// Where the digest's digits stand in the header, and what they are.
    let private digestIn path (header: byte[]) (metadata: Map<string, string>) =
        match Map.tryFind DigestKey metadata with
        | Some digest when digest.Length = blank.Length && Seq.forall Char.IsAsciiHexDigitLower digest ->
            match header.AsSpan().IndexOf(ReadOnlySpan(Encoding.ASCII.GetBytes digest)) with
            | -1 -> None
            | at -> Some(struct (at, digest))
        | Some other ->
            refuse
                path
                $"its {DigestKey} is '{other}', which is none: it is damaged or was changed; take an earlier one or a copy"
        | None -> None

    let private prefixOf (header: byte[]) =
        let prefix = Array.zeroCreate<byte> 8
        BinaryPrimitives.WriteInt64LittleEndian(prefix, int64 header.Length)
        prefix

    let private watched (inner: Stream) (hash: IncrementalHash) =
        new WatchedStream(inner, Seen(fun bytes -> hash.AppendData bytes))

    let private requireFinite path (name: string) (x: Tensor) =
        if
            Dtype.isFloating x.Dtype
            && x.Count > 0L
            && not (Scope.run (fun () -> (Tensor.all (Tensor.isFinite x)).ToBool()))
        then
            refuse
                path
                $"tensor '{name}' holds numbers that are not finite: the file is damaged, or what wrote it had diverged; take an earlier one"

    let private reading (finite: bool) (path: string) : TensorFile =
        Disk.read path (fun file ->
            if file.Length < 8L then
                refuse path $"is no safetensors file: it has {file.Length} bytes, expected at least 8"

            let prefix = Array.zeroCreate<byte> 8
            file.ReadExactly prefix
            let length = BinaryPrimitives.ReadUInt64LittleEndian prefix

            if length > uint64 longest then
                refuse
                    path
                    $"is no safetensors file: it announces a header of {length} bytes, expected at most {longest}"

            if int64 length > file.Length - 8L then
                refuse path $"is truncated: it announces a header of {length} bytes, {file.Length - 8L} are there"

            let header = Array.zeroCreate<byte>(int length)
            file.ReadExactly header
            let metadata, entries = parse path header
            let data = file.Length - 8L - int64 length
            let mutable at = 0L

            for entry in entries do
                if entry.First < at then
                    refuse
                        path
                        $"tensor '{entry.Name}' begins at byte {entry.First}, inside the one before it, which ends at {at}"

                if entry.First > at then
                    refuse path $"bytes {at} to {entry.First} of its data belong to no tensor"

                at <- entry.End

            if at > data then
                refuse path $"is truncated: its tensors take {at} bytes, {data} are there"

            if at < data then
                refuse path $"is longer than its header says: its tensors take {at} bytes, {data} are there"

            Scope.run (fun () ->
                use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
                let digest = digestIn path header metadata

                // In the order of their bytes, so the stream is read from front to back.
                let load (stream: Stream) =
                    [ for entry in entries ->
                          entry.Name, Exchange.ofStream entry.Dtype entry.Shape stream Exchange.asStored ]

                let tensors =
                    match digest with
                    | None -> load file
                    | Some(struct (at, _)) ->
                        let blanked = Array.copy header
                        Encoding.ASCII.GetBytes blank |> Array.iteri (fun k digit -> blanked[at + k] <- digit)
                        hash.AppendData(ReadOnlySpan(prefixOf header))
                        hash.AppendData(ReadOnlySpan blanked)
                        load (watched file hash)

                match digest with
                | Some(struct (_, digest)) when digest <> Convert.ToHexStringLower(hash.GetHashAndReset()) ->
                    refuse
                        path
                        $"its bytes are not those that were written: its {DigestKey} does not match, so it is damaged or was changed; take an earlier one or a copy"
                | _ -> ()

                if finite then
                    for name, x in tensors do
                        requireFinite path name x

                { Metadata = Map.remove DigestKey metadata; Tensors = Map.ofList tensors }))

    /// Reads a whole file. Raises UserError where it is not there, is truncated, its header contradicts itself or the
    /// file's length (tensors that overlap, holes, offsets past the end), its digest (where it has one) does not match, or a tensor
    /// holds a number that is not finite.
    let read (path: string) : TensorFile = reading true path

    /// As `read`, infinities and NaN as they are: for files of others, in which they may mean something.
    let readAny (path: string) : TensorFile = reading false path

    /// Writes a file at once: a crash or a full disk leaves the old one as it was. Equal contents give equal bytes.
    /// Every tensor begins at a multiple of its element's size; the metadata get a SHA-256 of the whole file, which `read` checks. Raises UserError where the file cannot be written,
    /// ArgumentException where a name comes twice.
    let write (path: string) (metadata: (string * string) list) (tensors: (string * Tensor) list) : unit =
        let seen = HashSet<string>()

        for name, _ in tensors do
            if name = MetadataKey || not (seen.Add name) then
                invalidArg (nameof tensors) $"the name '{name}' is reserved or comes twice"

        let told = HashSet<string> [ DigestKey ]

        for key, _ in metadata do
            if not (told.Add key) then
                invalidArg (nameof metadata) $"the key '{key}' is reserved or comes twice"

        // Wide elements first: with no holes allowed, this is what aligns them all.
        let ordered = tensors |> List.sortBy (fun (_, x) -> -(Dtype.size x.Dtype))
        use header = new MemoryStream()

        (use json = new Utf8JsonWriter(header)
         json.WriteStartObject()

         json.WriteStartObject MetadataKey
         // First, so that the first digits of its look are the digest's own.
         json.WriteString(DigestKey, blank)
         for key, value in metadata do
             json.WriteString(key, value)
         json.WriteEndObject()

         let mutable at = 0L

         for name, x in ordered do
             let next = at + x.Count * int64 (Dtype.size x.Dtype)
             json.WriteStartObject name
             json.WriteString("dtype", codes |> List.find (fun (_, dtype) -> dtype = x.Dtype) |> fst)
             json.WriteStartArray "shape"
             for n in x.Shape do
                 json.WriteNumberValue n
             json.WriteEndArray()
             json.WriteStartArray "data_offsets"
             json.WriteNumberValue at
             json.WriteNumberValue next
             json.WriteEndArray()
             json.WriteEndObject()
             at <- next

         json.WriteEndObject())

        while header.Length % 8L <> 0L do
            header.WriteByte(byte ' ')

        let header = header.ToArray()
        let prefix = prefixOf header
        // Once for the digest, which stands before what it is of, and once to the disk.
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        hash.AppendData(ReadOnlySpan prefix)
        hash.AppendData(ReadOnlySpan header)

        for _, x in ordered do
            Exchange.toStream x (watched Stream.Null hash)

        let at = header.AsSpan().IndexOf(ReadOnlySpan(Encoding.ASCII.GetBytes blank))

        Encoding.ASCII.GetBytes(Convert.ToHexStringLower(hash.GetHashAndReset()))
        |> Array.iteri (fun k digit -> header[at + k] <- digit)

        Disk.replace path (fun stream ->
            stream.Write(ReadOnlySpan prefix)
            stream.Write(ReadOnlySpan header)
            for _, x in ordered do
                Exchange.toStream x stream)
