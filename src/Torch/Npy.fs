namespace Fokker

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.IO.Hashing
open System.Runtime.InteropServices
open System.Text
open System.Text.RegularExpressions

/// NumPy's array format, versions 1.0 to 3.0 (numpy.lib.format; NEP 1).
///
/// Element types are those that both sides have: bool, int8 to int64, uint8, float16 to float64, little- or big-endian,
/// in C or Fortran order; uint16 and uint32 are read as the next wider int. What is written is little-endian and in C order.
[<RequireQualifiedAccess>]
module Npy =

    let private magic = [| 0x93uy; byte 'N'; byte 'U'; byte 'M'; byte 'P'; byte 'Y' |]

    let private codes =
        [ "b1", Dtype.Bool
          "u1", Dtype.UInt8
          "i1", Dtype.Int8
          "i2", Dtype.Int16
          "i4", Dtype.Int32
          "i8", Dtype.Int64
          "f2", Dtype.Float16
          "f4", Dtype.Float32
          "f8", Dtype.Float64 ]

    /// Unsigned numbers that tensors have no type for: read as signed ones of their size, and made wider.
    let private unsigned = [ "u2", (Dtype.Int16, Dtype.Int32); "u4", (Dtype.Int32, Dtype.Int64) ]

    /// What the header of one array says.
    type private Header =
        {
            Dtype: Dtype
            /// What unsigned numbers are made into; none of others.
            Wider: Dtype option
            BigEndian: bool
            Fortran: bool
            Shape: int64[]
            Bytes: int64
        }

    // The header is a Python dictionary that NumPy writes in one way; a field may come in any order and in either quotes.
    let private descrField = Regex """['"]descr['"]\s*:\s*(?:['"]([^'"]*)['"]|(\[))"""
    let private orderField = Regex """['"]fortran_order['"]\s*:\s*(True|False)"""
    let private shapeField = Regex """['"]shape['"]\s*:\s*\(([^)]*)\)"""

    let private refuse name (text: string) = raise (UserError $"{name}: {text}")

    let private kinds = (codes |> List.map (snd >> Dtype.name) |> String.concat ", ") + ", uint16, uint32"

    let private parse name (text: string) =
        let field (regex: Regex) what =
            let found = regex.Match text
            if not found.Success then
                refuse name $"its npy header has no {what}; expected descr, fortran_order and shape"
            if found.NextMatch().Success then
                refuse name $"its npy header says {what} twice"
            found

        let descr = field descrField "descr"
        let code = descr.Groups[1].Value

        if descr.Groups[2].Success then
            refuse name $"holds a structured array, expected one element type out of {kinds}"

        let order = if code = "" then ' ' else code[0]
        let kind = code.TrimStart('<', '>', '|', '=')

        let dtype, wider =
            match Map.tryFind kind (Map.ofList codes), Map.tryFind kind (Map.ofList unsigned) with
            | Some dtype, _ -> dtype, None
            | None, Some(stored, wider) -> stored, Some wider
            | None, None ->
                let what =
                    if kind.StartsWith 'O' then "Python objects"
                    elif kind.StartsWith 'c' then "complex numbers"
                    elif kind.StartsWith 'U' || kind.StartsWith 'S' then "text"
                    elif kind.StartsWith 'M' || kind.StartsWith 'm' then "dates"
                    else "elements"

                refuse name $"holds {what} ('{code}'), expected one of {kinds}; convert it in NumPy with .astype"

        let shape =
            (field shapeField "shape")
                .Groups[1].Value.Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)
            |> Array.map (fun size ->
                match Int64.TryParse(size.TrimEnd 'L') with
                | true, n -> n
                | _ ->
                    refuse
                        name
                        $"its npy header gives '{size}' as a size, expected a number from 0 to {Int32.MaxValue}")

        let elements =
            match Exchange.elements shape with
            | Ok elements -> elements
            | Error reason -> refuse name $"its npy header gives a shape that no tensor has: {reason}"

        { Dtype = dtype
          Wider = wider
          BigEndian = (order = '>')
          Fortran = (field orderField "fortran_order").Groups[1].Value = "True"
          Shape = shape
          Bytes = elements * int64 (Dtype.size dtype) }

    /// Reads the magic string, the version and the header; `length` is of everything, from the magic on. Gives the
    /// header and how many bytes it took.
    let private readHeader name (length: int64) (stream: Stream) =
        let take count =
            let bytes = Array.zeroCreate<byte> count
            let got = stream.ReadAtLeast(bytes, count, throwOnEndOfStream = false)
            if got < count then
                refuse name "is truncated inside its npy header"
            bytes

        if length < 10L then
            refuse name $"is no npy file: it has {length} bytes, and the shortest header takes more"

        let start = take 8

        if start[..5] <> magic then
            refuse name "is no npy file: it does not begin with \\x93NUMPY"

        let prefix, size =
            match start[6] with
            | 1uy -> 10, int64 (BinaryPrimitives.ReadUInt16LittleEndian(take 2))
            | 2uy
            | 3uy -> 12, int64 (BinaryPrimitives.ReadUInt32LittleEndian(take 4))
            | version -> refuse name $"is of npy version {version}.{start[7]}, expected 1.0, 2.0 or 3.0"

        if int64 prefix + size > length then
            refuse name $"is truncated: its npy header says it is {size} bytes long, {length - int64 prefix} are there"

        if size > (1L <<< 20) then
            refuse name $"its npy header says it is {size} bytes long, expected at most 1 MiB"

        let encoding = if start[6] = 3uy then Encoding.UTF8 else Encoding.Latin1
        parse name (encoding.GetString(take (int size))), int64 prefix + size

    let private swap (size: int) (block: Span<byte>) =
        match size with
        | 2 ->
            let words = MemoryMarshal.Cast<byte, uint16> block
            BinaryPrimitives.ReverseEndianness(Span.op_Implicit words, words)
        | 4 ->
            let words = MemoryMarshal.Cast<byte, uint32> block
            BinaryPrimitives.ReverseEndianness(Span.op_Implicit words, words)
        | 8 ->
            let words = MemoryMarshal.Cast<byte, uint64> block
            BinaryPrimitives.ReverseEndianness(Span.op_Implicit words, words)
        | _ -> ()

    /// One array from a stream of `length` bytes; `name` is what errors call it.
    let internal readFrom (name: string) (length: int64) (stream: Stream) : Tensor =
        let header, taken = readHeader name length stream

        if length - taken <> header.Bytes then
            let shape = String.Join("; ", header.Shape)
            let fault = if length - taken < header.Bytes then "is truncated" else "is longer than its header says"

            refuse
                name
                $"{fault}: [{shape}] {Dtype.name header.Dtype} takes {header.Bytes} bytes of data, {length - taken} are there"

        Scope.run (fun () ->
            let shape = if header.Fortran then Array.rev header.Shape else header.Shape

            let stored =
                Exchange.ofStream
                    header.Dtype
                    shape
                    stream
                    (Exchange.Piece(fun block ->
                        if header.BigEndian then
                            swap (Dtype.size header.Dtype) block))

            let values =
                match header.Wider with
                | None -> stored
                | Some wider ->
                    let signed = stored.To wider
                    let missed = Tensor.full signed.Kind [] (2.0 ** float (8 * Dtype.size header.Dtype))
                    Tensor.where (Tensor.lessThan 0.0 signed) (signed + missed) signed

            if header.Fortran && shape.Length > 1 then
                values |> Tensor.permute [ shape.Length - 1 .. -1 .. 0 ] |> Tensor.contiguous
            else
                values)

    /// The array of a file that is left where it is (`Mapping`); none where it is not stored as a tensor is: in another order of bytes or of axes, or of a type that libtorch has not. Raises UserError as `read` does.
    let internal map (path: string) : Tensor option =
        let header, data, length =
            Disk.read path (fun file ->
                let header, taken = readHeader path file.Length file
                header, taken, file.Length)

        let isPlain =
            not header.BigEndian
            && not (header.Fortran && header.Shape.Length > 1)
            && header.Wider.IsNone
            && header.Bytes > 0L
            && length - data = header.Bytes

        if isPlain then Some(Mapping.tensor path header.Dtype header.Shape data) else None

    /// One array to a stream, in version 1.0 where the header fits.
    let internal writeTo (stream: Stream) (x: Tensor) =
        let code =
            match codes |> List.tryFind (fun (_, dtype) -> dtype = x.Dtype) with
            | Some(code, _) -> (if Dtype.size x.Dtype = 1 then "|" else "<") + code
            | None ->
                raise (
                    TensorException $"Npy.write: {x.Describe()}: NumPy has no {Dtype.name x.Dtype}; convert it with .To"
                )

        let shape =
            match x.Shape with
            | [| n |] -> $"({n},)"
            | sizes -> "(" + String.Join(", ", sizes) + ")"

        let text = $"{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}"
        // Spaces and a newline put the data at a multiple of 64 bytes.
        let padded = text.PadRight((text.Length + 11 + 63) / 64 * 64 - 11) + "\n"
        stream.Write(ReadOnlySpan magic)
        stream.Write(ReadOnlySpan [| 1uy; 0uy; byte padded.Length; byte (padded.Length >>> 8) |])
        stream.Write(ReadOnlySpan(Encoding.ASCII.GetBytes padded))
        Exchange.toStream x stream

    /// The array in an `.npy` file, as a CPU tensor. Raises UserError where the file is not there, is no npy file, is
    /// truncated or longer than its header says, or holds an element type that no tensor has.
    let read (path: string) : Tensor = Disk.read path (fun file -> readFrom path file.Length file)

    /// Writes an `.npy` file, replacing it at once. Raises UserError where it cannot be written, TensorException for an
    /// element type that NumPy has not (bfloat16).
    let write (path: string) (x: Tensor) : unit = Disk.replace path (fun stream -> writeTo stream x)

/// NumPy's archive of named arrays: a zip file of `NAME.npy` entries.
[<RequireQualifiedAccess>]
module Npz =

    /// An entry's array. Its checksum is looked at here: .NET does not.
    let private entryOf (where: string) (entry: ZipArchiveEntry) =
        let crc = Crc32()
        use stream = new WatchedStream(entry.Open(), Seen(fun bytes -> crc.Append bytes))
        let x = Npy.readFrom where entry.Length stream

        if stream.ReadByte() <> -1 || crc.GetCurrentHashAsUInt32() <> entry.Crc32 then
            raise (
                UserError
                    $"{where}: its bytes are not those that were written (the archive's checksum does not match): take another copy"
            )

        x

    /// The arrays of an `.npz` file in the order of the file. Raises UserError as `Npy.read` does, where a checksum does not match, and where it
    /// unpacks to a hundred times its size and more than 256 MiB.
    let read (path: string) : (string * Tensor) list =
        Disk.read path (fun file ->
            try
                Scope.run (fun () ->
                    use archive = new ZipArchive(file, ZipArchiveMode.Read)
                    let mutable left = Disk.unpackedAtMost file.Length

                    [ for entry in archive.Entries do
                          left <- left - entry.Length

                          if entry.Length < 0L || left < 0L then
                              raise (
                                  UserError
                                      $"{path}: it unpacks to more than {Disk.unpackedAtMost file.Length} bytes, the most that {file.Length} are unpacked to here: unpack it with unzip if it is what you mean"
                              )

                          let name =
                              if entry.FullName.EndsWith ".npy" then
                                  entry.FullName[.. entry.FullName.Length - 5]
                              else
                                  entry.FullName
                          name, entryOf $"{path}: {name}" entry ])
            with
            // What .NET raises for archives that contradict themselves.
            | :? InvalidDataException
            | :? EndOfStreamException
            | :? ArgumentException
            | :? OverflowException
            | :? IndexOutOfRangeException
            | :? NotSupportedException ->
                raise (UserError $"{path}: is no npz file, or a damaged one: expected a zip archive of npy files"))

    /// Writes an `.npz` file, uncompressed as `numpy.savez` does, replacing it at once. Equal tensors give equal bytes.
    /// Raises UserError where it cannot be written, ArgumentException where a name is empty or comes twice.
    let write (path: string) (arrays: (string * Tensor) list) : unit =
        let seen = HashSet<string>()

        for name, _ in arrays do
            if name = "" || not (seen.Add name) then
                invalidArg (nameof arrays) $"the name '{name}' is empty or comes twice"

        Disk.replace path (fun stream ->
            use archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen = true)

            for name, x in arrays do
                let entry = archive.CreateEntry(name + ".npy", CompressionLevel.NoCompression)
                // A zip's clock starts here; the hour of writing would make equal arrays unequal files.
                entry.LastWriteTime <- DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero)
                use target = entry.Open()
                Npy.writeTo target x)
