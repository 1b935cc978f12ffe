namespace Fokker

open System
open System.IO

/// Told of bytes on their way.
type internal Seen = delegate of ReadOnlySpan<byte> -> unit

/// A stream that also passes its bytes, read or written, to an observer: a checksum.
[<Sealed>]
type internal WatchedStream(inner: Stream, seen: Seen) =
    inherit Stream()
    override _.CanRead = inner.CanRead
    override _.CanWrite = inner.CanWrite
    override _.CanSeek = false
    override _.Length = inner.Length

    override _.Position
        with get () = inner.Position
        and set _ = raise (NotSupportedException())

    override _.Flush() = inner.Flush()
    override _.Seek(_, _) = raise (NotSupportedException())
    override _.SetLength _ = raise (NotSupportedException())
    override s.Read(buffer: byte[], offset: int, count: int) = s.Read(Span(buffer, offset, count))

    override _.Read(buffer: Span<byte>) : int =
        let got = inner.Read buffer
        seen.Invoke(Span<byte>.op_Implicit(buffer.Slice(0, got)): ReadOnlySpan<byte>)
        got

    override s.Write(buffer: byte[], offset: int, count: int) = s.Write(ReadOnlySpan(buffer, offset, count))

    override _.Write(buffer: ReadOnlySpan<byte>) =
        seen.Invoke buffer
        inner.Write buffer

/// Files that are whole or not there.
[<RequireQualifiedAccess>]
module Disk =

    /// The system's own reason, without the path that .NET appends to it.
    let private reason (error: exn) =
        match error with
        | :? UnauthorizedAccessException -> "permission denied"
        | :? DirectoryNotFoundException -> "its folder is not there"
        | _ ->
            match error.Message.IndexOf " : '" with
            | -1 -> error.Message
            | at -> error.Message.Substring(0, at)

    /// Whether another process holds the file: EWOULDBLOCK of Linux and macOS, and Windows' sharing violation.
    let internal isHeld (error: IOException) = List.contains error.HResult [ 11; 35; 0x80070020 ]

    /// The file, open for reading. Who replaces a file holds it for a moment under its final name: that is waited for.
    let rec private opened (attempts: int) (path: string) : FileStream =
        try
            new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 <<< 16)
        with :? IOException as e when isHeld e && attempts > 0 ->
            Threading.Thread.Sleep 10
            opened (attempts - 1) path

    /// Raises UserError where a path names no file at all: it is empty, as an unset variable of the shell's is, or holds a zero.
    let private requireName (path: string) =
        if String.IsNullOrWhiteSpace path || path.Contains '\000' then
            let shown = path.Replace("\000", "\\0")
            raise (UserError $"'{shown}' is no file's name: expected the path of a file")

    /// Runs `read` on the open file. Raises UserError where the file is not there or cannot be read.
    let read (path: string) (read: FileStream -> 'T) : 'T =
        requireName path
        let refused text = raise (UserError $"{path}: {text}")

        let stream =
            try
                opened 100 path
            with
            | :? FileNotFoundException
            | :? DirectoryNotFoundException -> refused "there is no such file"
            | :? UnauthorizedAccessException when Directory.Exists path -> refused "is a folder, expected a file"
            | :? UnauthorizedAccessException -> refused "may not be read (permission denied)"
            | :? IOException as e -> refused $"cannot be opened ({reason e})"

        use stream = stream

        try
            read stream
        with
        | :? IOException as e -> refused $"cannot be read ({reason e})"
        // A length or a place was asked of what has none.
        | :? NotSupportedException when not stream.CanSeek -> refused "is a pipe or a device, expected a file"

    /// All bytes of a file of at most `most` bytes. Raises UserError as `read` does, and where there are more.
    let readBytes (most: int64) (path: string) : byte[] =
        read path (fun stream ->
            // A pipe has no length; what comes out of it is counted.
            use bytes = new MemoryStream()
            let block = Array.zeroCreate<byte>(1 <<< 16)
            let mutable got = stream.Read(block, 0, block.Length)

            while got > 0 && bytes.Length <= most do
                bytes.Write(block, 0, got)
                got <- stream.Read(block, 0, block.Length)

            if bytes.Length > most then
                raise (UserError $"{path}: it is longer than {most} bytes: expected a smaller file")

            bytes.ToArray())

    /// How many bytes an archive of so many may unpack to: a hundred times as many, and 256 MiB in any case. Deflate makes a thousand zeros a byte.
    let internal unpackedAtMost (packed: int64) : int64 =
        max (256L <<< 20) (if packed > Int64.MaxValue / 100L then Int64.MaxValue else 100L * packed)

    /// What a name comes to: a link stands for the file that it points to, there or not.
    let private target (path: string) =
        match FileInfo(path).LinkTarget with
        | null -> path
        | _ ->
            // .NET 10 looks for what a link without a folder in its own name points to in the file system's root.
            match File.ResolveLinkTarget(Path.GetFullPath path, returnFinalTarget = true) with
            | null -> path
            | target -> target.FullName

    /// Takes away the files beside PATH that end in `.partial`, which writers left when they were killed. Raises IOException where another writer is at work: its file is locked.
    let private sweep (path: string) =
        match Path.GetDirectoryName(Path.GetFullPath path) with
        | null -> ()
        | folder ->
            let name = nonNull (Path.GetFileName path)

            for left in Directory.EnumerateFiles(folder, name + ".????????.partial") do
                try
                    // Never through a link; both ways, so that a pipe does not wait for its other end.
                    if isNull (FileInfo(left).LinkTarget) then
                        use _ = new FileStream(left, FileMode.Open, FileAccess.ReadWrite, FileShare.None, 0)

                        // Between its making and its locking another writer's file looks abandoned.
                        if DateTime.UtcNow - File.GetLastWriteTimeUtc left > TimeSpan.FromSeconds 10.0 then
                            File.Delete left
                with
                | :? IOException as e when isHeld e -> raise (IOException "another process is writing it")
                | :? IOException
                | :? UnauthorizedAccessException -> ()

    /// Writes a file at once: into a file of a random name beside it, flushed to the disk, then renamed over `path`. A reader, a
    /// crash or a power cut finds the old content or the new, never a part; where writing fails the old file stays as it
    /// was and the partial one is removed. A link stays, and the file that it points to is replaced; a device is written to. Raises UserError
    /// where the file cannot be written.
    let replace (given: string) (write: Stream -> unit) : unit =
        requireName given

        if Directory.Exists given then
            raise (UserError $"{given}: is a folder, expected a file to write")

        let path =
            try
                target given
            with
            | :? IOException
            | :? UnauthorizedAccessException as e -> raise (UserError($"{given}: cannot be written ({reason e})", e))

        let refused (error: exn) =
            let state = if File.Exists path then "; what was there is unchanged" else ""
            raise (UserError($"{given}: cannot be written ({reason error}){state}", error))

        let attempted (make: unit -> 'T) : 'T =
            try
                make ()
            with
            | :? IOException as e -> refused e
            | :? UnauthorizedAccessException as e -> refused e

        let buffered (file: FileStream) =
            let buffered = new BufferedStream(file, 1 <<< 16)
            write buffered
            buffered.Flush()

        if path.StartsWith "/dev/" || path.StartsWith "/proc/" then
            // /dev/stdout, /dev/null, /dev/full: a name in place of which no file is to stand.
            use file =
                attempted (fun () -> new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0))

            try
                buffered file
            with
            | :? IOException as e -> refused e
            | :? UnauthorizedAccessException as e -> refused e
        else
            let partial = $"{path}.{Guid.NewGuid():N}".Substring(0, path.Length + 9) + ".partial"

            // A new file of a random name: a link that was planted there would be followed. Unbuffered, so that closing it after a
            // failure has nothing left to write, and to fail at, again.
            let file =
                attempted (fun () ->
                    sweep path
                    new FileStream(partial, FileMode.CreateNew, FileAccess.Write, FileShare.None, 0))

            use file = file

            try
                buffered file
                file.Flush true
                File.Move(partial, path, overwrite = true)
            with error ->
                file.Dispose()
                File.Delete partial

                match error with
                | :? IOException
                | :? UnauthorizedAccessException -> refused error
                // .NET's word for EFBIG: what the system lets no file be longer than was reached.
                | :? ArgumentOutOfRangeException when error.Message.Contains "too large" ->
                    refused (IOException "the file would be longer than the system allows")
                | _ -> reraise ()
