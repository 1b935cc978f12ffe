namespace Fokker

open System
open System.Globalization
open System.Text.Json.Nodes

/// What a network is told of each sample, where that is not the class alone: numbers [B; k], or pictures [B; C; H; W], in the network's units. NaN is the null: of one number that is missing, of a pixel that is not
/// seen, and of everything where nothing is told.
[<RequireQualifiedAccess>]
type Given =
    /// Columns of a table that are not learned: a number is one coordinate; a word has one for each that there is, 1 for itself and 0 for the others.
    | Columns of columns: Column list * units: Units
    /// The picture with squares of so many pixels' side replaced by their means: super-resolution.
    | LowResolution of factor: int
    /// The picture but for a box somewhere in it, whose pixels are not seen: inpainting.
    | Inpainting
    /// The class and something else: the number of the class comes first, as a coordinate [B; 1 + k] or as a channel of that number [B; 1 + C; H; W].
    | WithClass of rest: Given

/// Conditions that are numbers: how they are named, made of data, and read.
[<RequireQualifiedAccess>]
module Given =

    let private classAnd = "class+"

    /// `low-resolution:4`, `inpainting`, `class+inpainting`; the names of columns.
    let rec text (given: Given) : string =
        match given with
        | Given.Columns(columns, _) -> columns |> List.map _.Name |> String.concat ", "
        | Given.LowResolution factor -> $"low-resolution:{factor}"
        | Given.Inpainting -> "inpainting"
        | Given.WithClass rest -> classAnd + text rest

    /// The picture's condition of this name; none where it is no such name.
    let rec ofText (text: string) : Given option =
        match text.Split ':' with
        | _ when text.StartsWith classAnd && not (text.Substring(classAnd.Length).StartsWith classAnd) ->
            ofText (text.Substring classAnd.Length) |> Option.map Given.WithClass
        | [| "inpainting" |] -> Some Given.Inpainting
        | [| "low-resolution"; factor |] ->
            match Int32.TryParse(factor, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, factor when factor >= 2 -> Some(Given.LowResolution factor)
            | _ -> None
        | _ -> None

    /// What `ofText` reads, in words.
    let pictures =
        "low-resolution:N, N at least 2, inpainting, or either with the class of each image as well, class+inpainting"

    /// What is told besides the class.
    let rest (given: Given) : Given =
        match given with
        | Given.WithClass rest -> rest
        | _ -> given

    let hasClass (given: Given) : bool = given.IsWithClass

    /// The shape of what is told of one sample of a shape.
    let rec shape (sample: int list) (given: Given) : int list =
        match given with
        | Given.Columns(columns, _) -> [ Columns.dimension columns ]
        | Given.LowResolution _
        | Given.Inpainting -> sample
        | Given.WithClass rest ->
            let rest = shape sample rest
            rest.Head + 1 :: rest.Tail

    /// What a network is told of samples of a shape.
    let told (sample: int list) (given: Given) : Told =
        { HasClass = hasClass given
          Shape = shape sample (rest given)
          Texts =
            match rest given with
            | Given.Columns(columns, _) -> Columns.texts columns
            | _ -> [] }

    /// How many coordinates or channels each part has that is told or withheld as one, of a sample of a shape; a picture is one part.
    let rec widths (sample: int list) (given: Given) : int list =
        match given with
        | Given.Columns(columns, _) -> columns |> List.map Columns.width
        | Given.LowResolution _
        | Given.Inpainting -> [ sample.Head ]
        | Given.WithClass rest -> 1 :: widths sample rest

    /// Classes int64 [n], −1 for none, before what else is told of the samples, [n; …].
    let withClass (labels: Tensor) (rest: Tensor) : Tensor =
        let column = Tensor.reshape (rest.Shape[0] :: [ for _ in 2 .. rest.Rank -> 1 ]) (labels.To rest.Kind)

        let column = Tensor.where (Tensor.lessThan 0.0 column) (Tensor.full rest.Kind [] nan) column

        Tensor.cat 1 [ Tensor.expand (rest.Shape[0] :: 1 :: List.ofArray rest.Shape[2..]) column; rest ]

    /// What is told besides the class, of what is told.
    let withoutClass (given: Given) (told: Tensor) : Tensor =
        if hasClass given then Tensor.narrow 1 1 (told.Shape[1] - 1) told else told

    /// Columns as they are told: a missing cell is a null, and needs no coordinate or word of its own.
    let private plain (columns: Column list) : Column list =
        [ for column in columns ->
              { column with
                  Kind =
                      match column.Kind with
                      | ColumnKind.Number _ -> ColumnKind.Number false
                      | ColumnKind.Category words -> ColumnKind.Category(List.filter ((<>) "") words)
                      | text -> text } ]

    /// The columns of a file's cells that are told, and what is told of its rows, [n; k] float64.
    let internal ofCells (file: string) (wanted: Columns.Wanted) (table: CellTable) : Given * Tensor =
        let columns, places = Columns.find file wanted table
        let columns = plain columns
        let units = Columns.units columns places table.Rows
        Given.Columns(columns, units), Units.toNetwork units (Columns.openPoints file columns places table)

    /// Numbers [n; k] that are told of samples, each column under a name; NaN is the null. Units are the mean and the deviation of what is there. Raises UserError where a column has nothing in it, or a number is
    /// infinite.
    let internal ofNumbers (names: string list) (x: Tensor) : Given * Tensor =
        let n, k = x.Shape[0], x.Shape[1]
        let values = Tensor.toFloats (x.To Dtype.Float64)

        let moments =
            [| for j in 0 .. k - 1 ->
                   let column = [| for i in 0 .. n - 1 -> values[i * k + j] |]

                   if Array.exists Double.IsInfinity column then
                       raise (UserError $"{names[j]}: expected finite numbers, or NaN where nothing is told")

                   match Array.filter Double.IsFinite column with
                   | [||] -> raise (UserError $"{names[j]}: there is no number in it to tell")
                   | there ->
                       let mean = Array.average there
                       let deviation = sqrt (there |> Array.averageBy (fun v -> (v - mean) * (v - mean)))
                       // A column of one value tells nothing, in units of its own size.
                       struct (mean, (if deviation > 1e-9 * abs mean then deviation else max 1.0 (abs mean))) |]

        let units =
            { Shift = moments |> Array.map (fun struct (mean, _) -> mean)
              Scale = moments |> Array.map (fun struct (_, deviation) -> deviation) }

        let columns = [ for name in names -> { Name = name; Kind = ColumnKind.Number false } ]
        Given.Columns(columns, units), Units.toNetwork units (x.To Dtype.Float64)

    /// Short texts, one for each sample, told under a name; null or empty where nothing is told. Raises UserError where one is longer than can be told, or there is none.
    let internal ofTexts (name: string) (texts: string[]) : Given * Tensor =
        let table = { Header = [| name |]; Lines = [| 1 .. texts.Length |]; Rows = texts |> Array.map Array.singleton }

        ofCells name (Some [ name, Some "text" ]) table

    /// Texts as a network that is told a short text alone takes them, [n; bytes], NaN where one is empty; none where it is told other things. Raises UserError where one is longer than all that it was told.
    let textsOf (given: Given) (texts: string[]) : Tensor option =
        match rest given with
        | Given.Columns([ { Kind = ColumnKind.Text bytes } ], _) ->
            let numbers (text: string) =
                if text = "" then
                    Array.create bytes nan
                else
                    match TextEncoder.bytes bytes text with
                    | Some numbers -> numbers
                    | None ->
                        raise (UserError $"'{text}' is longer than the {bytes} bytes of the longest text that was told")

            Some(Tensor.ofArray [ texts.Length; bytes ] (Array.collect numbers texts))
        | _ -> None

    /// Columns of both, and what they tell side by side. Raises ArgumentException where one is no columns.
    let beside (a: Given, x: Tensor) (b: Given, y: Tensor) : Given * Tensor =
        match a, b with
        | Given.Columns(first, u), Given.Columns(second, v) ->
            Given.Columns(
                first @ second,
                { Shift = Array.append u.Shift v.Shift; Scale = Array.append u.Scale v.Scale }
            ),
            Tensor.cat 1 [ x; y ]
        | _ -> invalidArg (nameof b) $"{text a} and {text b}: only columns stand side by side"

    /// What a file's rows tell under the same columns, in their own units. Raises UserError where a column is not there, or a cell is none of its words.
    let internal readCells (file: string) (columns: Column list) (table: CellTable) : Tensor =
        Columns.openPoints file columns (Columns.placesIn file columns table) table

    /// What columns tell of each sample [n; k], as the cells that it stands for; none where it is told a picture.
    let cells (given: Given) (told: Tensor) : string[] option =
        match rest given with
        | Given.Columns(columns, units) ->
            (withoutClass given told).To Dtype.Float64
            |> Units.toData units
            |> Tensor.toFloats
            |> Array.chunkBySize (Columns.dimension columns)
            |> Array.map (fun row -> String.Join(", ", Columns.decode columns row))
            |> Some
        | _ -> None

    // ---- pictures

    /// Each pixel as the squares of so many times its side: [n; C; h; w] ↦ [n; C; f·h; f·w].
    let private enlarged (factor: int) (x: Tensor) : Tensor =
        let n, channels, height, width = x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]

        Tensor.reshape [ n; channels; height; 1; width; 1 ] x
        |> Tensor.expand [ n; channels; height; factor; width; factor ]
        |> Tensor.reshape [ n; channels; height * factor; width * factor ]

    /// The means of squares of so many pixels' side: [n; C; H; W] ↦ [n; C; H/f; W/f].
    let reduced (factor: int) (x: Tensor) : Tensor =
        let n, channels, height, width = x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]

        Tensor.reshape [ n; channels; height / factor; factor; width / factor; factor ] x
        |> Tensor.meanOver [ 3; 5 ]
        |> Tensor.reshape [ n; channels; height / factor; width / factor ]

    /// NaN in a box of each image: four numbers in [0, 1) say its height and width, a quarter to three quarters of the image's, and where it is.
    let private hidden (boxes: float[]) (x: Tensor) : Tensor =
        let n, height, width = x.Shape[0], x.Shape[2], x.Shape[3]
        let seen = Array.create (n * height * width) 0.0

        for i in 0 .. n - 1 do
            let along at whole =
                let size = max 1 (int (Math.Round((0.25 + 0.5 * boxes[4 * i + at]) * float whole)))
                let first = int (boxes[4 * i + at + 1] * float (whole - size + 1))
                struct (first, size)

            let struct (top, h) = along 0 height
            let struct (left, w) = along 2 width

            for row in top .. top + h - 1 do
                for column in left .. left + w - 1 do
                    seen[(i * height + row) * width + column] <- nan

        x + (Tensor.ofArray [ n; 1; height; width ] seen).To x.Kind

    /// What is told of images x [n; C; H; W], in the same units; `boxes ()` are four uniform numbers for each.
    let internal observed (boxes: unit -> float[]) (given: Given) (x: Tensor) : Tensor =
        match given with
        | Given.LowResolution factor -> enlarged factor (reduced factor x)
        | Given.Inpainting -> hidden (boxes ()) x
        | Given.Columns _
        | Given.WithClass _ -> invalidArg (nameof given) $"{text given} is no picture's alone"

    /// What samples of a shape are to be told as a network takes it, from values in their own units: rows of columns [n; k]; small images, or large ones to be made small; images with NaN where they are
    /// not seen; without the class. None where the values are of no shape that can be told.
    let inside (sample: int list) (units: Units) (given: Given) (values: Tensor) : Tensor option =
        let x = values.To Dtype.Float64

        match rest given, List.ofArray x.Shape[1..], sample with
        | Given.Columns(columns, own), [ k ], _ when k = Columns.dimension columns -> Some(Units.toNetwork own x)
        | Given.LowResolution factor, [ c; h; w ], [ channels; height; width ] when c = channels ->
            let y = Units.toNetwork units x

            if h * factor = height && w * factor = width then Some(enlarged factor y)
            elif h = height && w = width then Some(enlarged factor (reduced factor y))
            else None
        | Given.Inpainting, own, _ when own = sample -> Some(Units.toNetwork units x)
        | _ -> None

    /// The shape that values are to have, in words.
    let expected (sample: int list) (given: Given) : string =
        match rest given, sample with
        | Given.Columns(columns, _), _ -> $"[n; {Columns.dimension columns}], the coordinates of {text (rest given)}"
        | Given.LowResolution factor, [ c; h; w ] -> $"[n; {c}; {h / factor}; {w / factor}] or [n; {c}; {h}; {w}]"
        | _, sample ->
            let sizes = String.Join("; ", sample)
            $"[n; {sizes}] with NaN where pixels are not seen"

    // ---- as JSON, in a model's description

    let rec toJson (given: Given) : JsonObject =
        let json = JsonObject()
        let numbers (values: float[]) =
            JsonArray([| for value in values -> JsonValue.Create value :> JsonNode | null |])

        match given with
        | Given.WithClass(Given.Columns _ as columns) ->
            let json = toJson columns
            json["class"] <- JsonValue.Create true
            json
        | Given.Columns(columns, units) ->
            json["columns"] <- Columns.toJson columns
            json["shift"] <- numbers units.Shift
            json["scale"] <- numbers units.Scale
            json
        | Given.LowResolution _
        | Given.Inpainting
        | Given.WithClass _ ->
            json["picture"] <- JsonValue.Create(text given)
            json

    /// The inverse of `toJson`. Raises what reading JSON does, or FormatException, where it is none of that.
    let ofJson (json: JsonObject) : Given =
        match json["columns"] with
        | null ->
            let said = (nonNull json["picture"]).GetValue<string>()

            match ofText said with
            | Some given -> given
            | None -> raise (FormatException $"its network is told '{said}', which is not known here")
        | columns ->
            let numbers (name: string) =
                [| for value in (nonNull json[name]).AsArray() -> (nonNull value).GetValue<float>() |]

            let columns = Columns.ofJson (columns.AsArray())
            let units = { Shift = numbers "shift"; Scale = numbers "scale" }

            if not (Units.isSound units) || units.Shift.Length <> Columns.dimension columns then
                raise (FormatException "what its network is told has units of another number of coordinates")

            match json["class"] with
            | null -> Given.Columns(columns, units)
            | _ -> Given.WithClass(Given.Columns(columns, units))
