namespace Fokker

open System
open System.IO
open System.Security.Cryptography
open System.Text.Json.Nodes
open System.Threading.Tasks
open Fokker.Pictures

/// How files of pictures become bytes of one shape.
type internal Decoding =
    {
        /// Side of the square that the middle of each is brought to; none where they have one size already.
        Side: int option
        Height: int
        Width: int
        /// Whether they are grey; found where it is not said.
        Grey: bool option
        /// Whether files that are no whole pictures are left out, and not refused.
        SkipCorrupt: bool
    }

/// What is found when pictures are decoded: which of the files are whole, why others are not, and whether no picture has a colour.
type internal Decoded = { Whole: int[]; Skipped: string list; IsGrey: bool }

/// Pixels of many files, decoded by all processors: in memory, or on disk where they are too many for it.
[<RequireQualifiedAccess>]
module internal DecodedPictures =

    let private failure (work: unit -> 'T) : Result<'T, exn> =
        try
            Ok(work ())
        with e ->
            Error e

    /// What each file gives, worked on by all processors, and the message of each that is no whole picture where such are left out.
    let each (skip: bool) (work: string -> 'T) (files: string[]) : Result<'T, string>[] =
        let results = Array.zeroCreate<Result<'T, exn>> files.Length
        Parallel.For(0, files.Length, (fun i -> results[i] <- failure (fun () -> work files[i]))) |> ignore

        results
        |> Array.map (function
            | Ok value -> Ok value
            | Error(:? ImageFileException as e) when skip -> Error e.Message
            | Error(:? ImageFileException as e) ->
                raise (UserError $"{e.Message}; mend or remove the file, or have such files left out (skip=corrupt)")
            | Error e -> raise e)

    /// Rec. 601's luma, as JPEG has it: 0.299 R + 0.587 G + 0.114 B.
    let luma (pixels: byte[]) : byte[] =
        let plane = pixels.Length / 3

        Array.init plane (fun i ->
            let weighed =
                0.299 * float pixels[i] + 0.587 * float pixels[plane + i] + 0.114 * float pixels[2 * plane + i]
            byte (Math.Round weighed))

    /// Decodes the files, so many at a time by all processors, and gives the pixels of each lot to `take`: of each picture bytes [C; height; width].
    let private decode (settings: Decoding) (paths: string[]) (take: byte[][] -> unit) : Decoded =
        let mutable skipped: string list = []
        let mutable grey = true
        let kept = ResizeArray<int>()
        let lot = Math.Clamp((64 <<< 20) / (3 * settings.Height * settings.Width), 1, 4096)

        for start in 0..lot .. paths.Length - 1 do
            let some = paths[start .. min paths.Length (start + lot) - 1]
            let found = each settings.SkipCorrupt (ImageFile.read settings.Side) some

            let pixels =
                [| for i in 0 .. some.Length - 1 do
                       match found[i] with
                       | Ok pixels ->
                           kept.Add(start + i)
                           pixels
                       | Error reason -> skipped <- reason :: skipped |]

            grey <- grey && settings.Grey <> Some false && Array.forall ImageFile.isGrey pixels

            if pixels.Length > 0 then
                take (if settings.Grey = Some true then Array.map luma pixels else pixels)

        { Whole = kept.ToArray(); Skipped = List.rev skipped; IsGrey = grey }

    let private channels (settings: Decoding) = if settings.Grey = Some true then 1 else 3

    /// A name for what these files hold under these settings: their own names, lengths and times of change stand for what is in them.
    let private fingerprint (settings: Decoding) (paths: string[]) : string =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let add (text: string) = hash.AppendData(Text.Encoding.UTF8.GetBytes(text + "\n"))
        add $"{settings.Side} {settings.Grey} {settings.SkipCorrupt}"

        for path in paths do
            let file = FileInfo path
            add $"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}"

        (Convert.ToHexStringLower(hash.GetHashAndReset())).Substring(0, 24)

    let private noted (found: Decoded) : JsonObject =
        let node (value: 'T) : JsonNode | null = JsonValue.Create<'T> value
        let json = JsonObject()
        json["whole"] <- JsonArray [| for i in found.Whole -> node i |]
        json["skipped"] <- JsonArray [| for reason in found.Skipped -> node reason |]
        json["grey"] <- node found.IsGrey
        json

    /// What was noted; none where that is damaged.
    let private notes (file: string) : Decoded option =
        match (if File.Exists file then JsonText.node (Disk.readBytes (1L <<< 30) file) else Error "") with
        | Ok(:? JsonObject as json) ->
            match json["whole"], json["skipped"], json["grey"] with
            | (:? JsonArray as whole), (:? JsonArray as skipped), (:? JsonValue as grey) ->
                Some
                    { Whole = [| for i in whole -> (nonNull i).GetValue<int>() |]
                      Skipped = [ for reason in skipped -> (nonNull reason).GetValue<string>() ]
                      IsGrey = grey.GetValue<bool>() }
            | _ -> None
        | _ -> None

    /// The pixels of pictures that are too many for the memory: decoded once into a file of the user's cache, and mapped from there ever after.
    let private onDisk (settings: Decoding) (paths: string[]) : Tensor option * Decoded =
        let cache =
            match Machine.cache Machine.here with
            | Ok folder -> Path.Combine(folder, "pictures")
            | Error reason -> raise (EnvironmentException reason)

        let name = Path.Combine(cache, fingerprint settings paths)
        let pixels = name + ".pixels"
        let notesFile = name + ".json"
        let shape (found: Decoded) =
            [| found.Whole.Length; channels settings; settings.Height; settings.Width |] |> Array.map int64

        let found =
            match notes notesFile with
            | Some found when File.Exists pixels && (FileInfo pixels).Length = Array.fold (*) 1L (shape found) -> found
            | _ ->
                Directory.CreateDirectory cache |> ignore
                let mutable found = { Whole = [||]; Skipped = []; IsGrey = true }

                Disk.replace pixels (fun stream ->
                    found <-
                        decode settings paths (fun lot ->
                            for picture in lot do
                                stream.Write(ReadOnlySpan picture)))

                Disk.replace notesFile (fun stream ->
                    stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes((noted found).ToJsonString()))))
                found

        (if found.Whole.Length = 0 then None else Some(Mapping.tensor pixels Dtype.UInt8 (shape found) 0L)), found

    /// Their pixels in memory.
    let private inMemory (settings: Decoding) (paths: string[]) : Tensor option * Decoded =
        let lots = ResizeArray<Tensor>()

        let found =
            decode settings paths (fun lot ->
                lots.Add(
                    Tensor.ofArray
                        [ lot.Length; channels settings; settings.Height; settings.Width ]
                        (Array.concat lot)
                ))

        (if lots.Count = 0 then None else Some(Tensor.cat 0 lots)), found

    /// Their pixels, bytes [n; C; H; W], none where no file is whole; mapped from the user's cache where they are too many for the memory.
    let read (settings: Decoding) (paths: string[]) : Tensor option * Decoded =
        let isLarge = 3L * int64 settings.Height * int64 settings.Width * int64 paths.Length > Mapping.limit ()
        (if isLarge then onDisk else inMemory) settings paths
