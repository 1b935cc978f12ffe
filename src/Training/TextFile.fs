namespace Fokker

open System
open System.IO
open System.Text

/// A text as data: windows of so many bytes of it.
[<RequireQualifiedAccess>]
module TextFile =

    /// Bytes that all windows to train on may take: of a longer text every so many bytes begins one.
    let private mostBytes = 1L <<< 28

    /// The windows [n; length] that begin every `stride` bytes of a part of the text.
    let private windows (length: int) (stride: int) (bytes: byte[]) : Tensor =
        let count = (bytes.Length - length) / stride + 1
        let rows = Array.zeroCreate<byte>(count * length)

        for i in 0 .. count - 1 do
            Array.blit bytes (i * stride) rows (i * length) length

        Tensor.ofArray [ count; length ] rows

    /// The windows of a text's bytes. Its last tenth is held out, in windows that share no byte; to train on there is a window from each byte on, or from every so many of a text of which
    /// all would take more than 256 MiB. `name` is the data set's. Raises UserError where the file is missing, or too short for a window of each.
    let load (name: string) (length: int) (file: string) : Dataset =
        let bytes =
            try
                File.ReadAllBytes file
            with
            | :? IOException
            | :? UnauthorizedAccessException -> raise (UserError $"{file}: there is no such file, or it cannot be read")

        let n = bytes.Length
        let kept = max length (n / 10)

        if n < kept + length then
            raise (
                UserError
                    $"{file}: it holds {n} bytes: expected at least {2 * length}, a window of {length} to train on and one to hold out"
            )

        let seen = Array.sub bytes 0 (n - kept)
        let stride = int (1L + (int64 seen.Length * int64 length - 1L) / mostBytes)

        { Name = name
          Summary = $"windows of {length} bytes of a text of {n}"
          Reference = file
          Shape = [ length ]
          Classes = []
          // Bytes as they are, from −1 to 1 (`Units.areText`).
          Units = { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
          Range = None
          Columns = []
          Notes = []
          Augmentation = Augmentation.None
          Given = None
          Content =
            Finite(
                Table.ofRows (windows length stride seen) None,
                Table.ofRows (windows length length (Array.sub bytes (n - kept) kept)) None
            ) }

    /// Samples of bytes, so many numbers each, as text in one line each: UTF-8, where a character was cut or is none its mark of replacement, and ↵ and → in the place of ends of lines and tabs.
    let ofNumbers (length: int) (values: float[]) : string[] =
        values
        |> Array.map (fun value -> byte (Math.Clamp(Math.Round value, 0.0, 255.0)))
        |> Array.chunkBySize length
        |> Array.map (fun bytes ->
            (Encoding.UTF8.GetString bytes)
            |> String.map (fun c ->
                match c with
                | '\n' -> '↵'
                | '\t' -> '→'
                | c when Char.IsControl c -> '\uFFFD'
                | c -> c))

    /// `ofNumbers` of samples [n; length].
    let lines (x: Tensor) : string[] = Scope.run (fun () -> ofNumbers x.Shape[1] (Tensor.toFloats (x.To Dtype.Float64)))
