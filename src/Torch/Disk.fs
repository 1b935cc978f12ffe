namespace Fokker

open System
open System.IO

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

    /// Runs `read` on the open file. Raises UserError where the file is not there or cannot be read.
    let read (path: string) (read: FileStream -> 'T) : 'T =
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
        with :? IOException as e ->
            refused $"cannot be read ({reason e})"

    /// Writes a file at once: into `PATH.partial` beside it, flushed to the disk, then renamed over `path`. A reader, a
    /// crash or a power cut finds the old content or the new, never a part; where writing fails the old file stays as it
    /// was and the partial one is removed. Raises UserError where the file cannot be written.
    let replace (path: string) (write: Stream -> unit) : unit =
        let partial = path + ".partial"

        let refused (error: exn) =
            let state = if File.Exists path then "; what was there is unchanged" else ""
            raise (UserError($"{path}: cannot be written ({reason error}){state}", error))

        if Directory.Exists path then
            raise (UserError $"{path}: is a folder, expected a file to write")

        // Sharing none is a lock: a second writer is told so instead of mixing its bytes in.
        let file =
            try
                // Unbuffered, so that closing it after a failure has nothing left to write, and to fail at, again.
                new FileStream(partial, FileMode.Create, FileAccess.Write, FileShare.None, 0)
            with
            | :? IOException as e -> refused e
            | :? UnauthorizedAccessException as e -> refused e

        use file = file

        try
            let buffered = new BufferedStream(file, 1 <<< 16)
            write buffered
            buffered.Flush()
            file.Flush true
            // While it is still locked, so that nobody can start on the partial file in between.
            File.Move(partial, path, overwrite = true)
        with error ->
            file.Dispose()
            File.Delete partial

            match error with
            | :? IOException
            | :? UnauthorizedAccessException -> refused error
            | _ -> reraise ()
