namespace Fokker

open System
open System.IO
open Fokker.Pictures

/// How the pictures of a folder are brought into one shape.
type ImageFolderSettings =
    {
        /// Side of the square that the middle of each is brought to; none where they have one size already, which they keep.
        Side: int option
        /// Whether they are grey; found where it is not said: they are where no picture has a colour.
        Grey: bool option
        /// Whether files that are no whole pictures are left out, and not refused.
        SkipCorrupt: bool
        /// Columns of its table, metadata.csv, that a network is told of each picture, each with what it holds where that is said; the column file_name says of which. None where the network is told the class.
        Told: (string * string option) list
    }

/// Pictures that lie in a folder, or in a folder of each class.
[<RequireQualifiedAccess>]
module ImageFolder =

    let standard: ImageFolderSettings = { Side = None; Grey = None; SkipCorrupt = false; Told = [] }

    let private isPicture (file: string) =
        List.contains ((string (Path.GetExtension file)).ToLowerInvariant()) ImageFile.endings

    let private isHidden (path: string) = (string (Path.GetFileName path)).StartsWith '.'

    /// The pictures under a folder, in the order of their names. Folders that are links are left alone: they may lead back.
    let rec private under (folder: string) : string list =
        let own =
            Directory.GetFiles folder
            |> Array.filter (fun f -> isPicture f && not (isHidden f))
            |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))

        let folders =
            Directory.GetDirectories folder
            |> Array.filter (fun f -> not (isHidden f) && isNull (DirectoryInfo(f).LinkTarget))
            |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))

        List.ofArray own @ (folders |> List.ofArray |> List.collect under)

    /// The files, each with the name of its class, if they have classes.
    let private files (folder: string) : (string * string option) list =
        if not (Directory.Exists folder) then
            let what = if File.Exists folder then "is a file, expected a folder" else "there is no such folder"
            raise (UserError $"{folder}: {what}")

        try
            let classes =
                Directory.GetDirectories folder
                |> Array.filter (isHidden >> not)
                |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
                |> List.ofArray
                |> List.map (fun path -> string (Path.GetFileName path), under path)
                |> List.filter (snd >> List.isEmpty >> not)

            let own =
                Directory.GetFiles folder
                |> Array.filter (fun f -> isPicture f && not (isHidden f))
                |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
                |> List.ofArray

            match own, classes with
            | [], [] ->
                let endings = String.Join(", ", ImageFile.endings)
                raise (
                    UserError
                        $"{folder}: there is no picture in it or its folders: expected files that end in {endings}"
                )
            | own, [] -> own |> List.map (fun file -> file, None)
            | [], classes ->
                [ for name, files in classes do
                      yield! files |> List.map (fun file -> file, Some name) ]
            | first :: _, (name, _) :: _ ->
                raise (
                    UserError
                        $"{folder}: there are pictures both in it ({Path.GetFileName first}) and in its folders ({name}): expected either, a folder for each class or none"
                )
        with
        | :? UnauthorizedAccessException -> raise (UserError $"{folder}: may not be read (permission denied)")
        | :? IOException as e -> raise (UserError $"{folder}: cannot be read ({e.Message})")

    let private sizes (files: string[]) (found: Result<int * int, string>[]) : int * int =
        let known =
            Array.zip files found
            |> Array.choose (fun (file, size) ->
                match size with
                | Ok size -> Some(file, size)
                | Error _ -> None)

        match Array.tryHead known with
        | None -> raise (UserError $"{files[0]}: neither it nor any other of these files is a picture that can be read")
        | Some(first, (height, width)) ->
            match known |> Array.tryFind (fun (_, size) -> size <> (height, width)) with
            | Some(other, (h, w)) ->
                raise (
                    UserError
                        $"the pictures have several sizes ({first} is {width} × {height}, {other} {w} × {h}): say the side of the square that the middle of each is brought to (size=32)"
                )
            | None -> height, width

    /// A picture's pixels, bytes [1; C; H; W]: grey, or in colours. Raises UserError where it is damaged, too large, or no picture.
    let picture (grey: bool) (file: string) : Tensor =
        let height, width = ImageFile.size file
        let pixels = ImageFile.read None file
        if grey then
            Tensor.ofArray [ 1; 1; height; width ] (DecodedPictures.luma pixels)
        else
            Tensor.ofArray [ 1; 3; height; width ] pixels

    /// The table of a folder's pictures, and the column of their names, as Hugging Face's imagefolder has them.
    let private tableName, nameColumn = "metadata.csv", "file_name"

    /// What the folder's table tells of these files under its columns. Raises UserError where the table or a column is not there, or a file has no row or two.
    let private told (folder: string) (columns: (string * string option) list) (files: string[]) : Given * Tensor =
        let file = Path.Combine(folder, tableName)
        let table = Csv.readCells file
        let places = Columns.placesIn file [ { Name = nameColumn; Kind = ColumnKind.Text TextEncoder.Most } ] table
        let normal (path: string) = path.Replace('\\', '/').TrimStart('.', '/')
        let rows = table.Rows |> Array.mapi (fun k row -> normal row[places.Head], k)

        match rows |> Array.countBy fst |> Array.tryFind (fun (_, n) -> n > 1) with
        | Some(name, n) -> raise (UserError $"{file}: {n} of its rows are of {name}: expected one for each picture")
        | None -> ()

        let known = Map.ofArray rows

        let own =
            [| for path in files ->
                   let name = normal (Path.GetRelativePath(folder, path))

                   match Map.tryFind name known with
                   | Some k -> k
                   | None -> raise (UserError $"{file}: it has no row of {name}: expected one for each picture") |]

        Given.ofCells
            file
            (Some columns)
            { table with
                Lines = own |> Array.map (Array.get table.Lines)
                Rows = own |> Array.map (Array.get table.Rows) }

    /// The pictures of a folder as a data set of bytes [C; H; W]; each folder in it is a class, by the name of the folder. `name` is the data set's. Raises UserError,
    /// naming the file, where one is damaged, too large, or no picture.
    let load (name: string) (folder: string) (settings: ImageFolderSettings) : Dataset =
        let listed = Array.ofList (files folder)
        let paths = Array.map fst listed

        let height, width =
            match settings.Side with
            | Some side -> side, side
            | None -> DecodedPictures.each settings.SkipCorrupt ImageFile.size paths |> sizes paths

        let decoding =
            { Side = settings.Side
              Height = height
              Width = width
              Grey = settings.Grey
              SkipCorrupt = settings.SkipCorrupt }

        Scope.run (fun () ->
            let rows, found = DecodedPictures.read decoding paths

            let rows =
                match rows with
                | None -> raise (UserError $"{folder}: none of its {paths.Length} files is a picture that can be read")
                | Some rows when found.IsGrey && rows.Shape[1] = 3 -> Tensor.narrow 1 0 1 rows
                | Some rows -> rows

            let kept = found.Whole
            let classes = kept |> Array.choose (fun i -> snd listed[i]) |> Array.distinct

            let labels =
                if classes.Length = 0 then
                    None
                else
                    let numbers = classes |> Array.mapi (fun k name -> name, int64 k) |> dict

                    kept
                    |> Array.map (fun i -> numbers[Option.get (snd listed[i])])
                    |> Tensor.ofArray [ kept.Length ]
                    |> Some

            let summary = $"{kept.Length} pictures of a folder"

            let data =
                match settings.Told with
                | [] -> { Dataset.ofSamples name summary folder rows labels with Classes = List.ofArray classes }
                | columns ->
                    told folder columns (Array.map (Array.get paths) kept)
                    |> Dataset.ofSamplesGiven name summary folder rows

            { data with
                Notes =
                    match found.Skipped with
                    | [] -> []
                    | first :: _ as all ->
                        [ $"left out {all.Length} of {paths.Length} files, which are no whole pictures ({first})" ] })
