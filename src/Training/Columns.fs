namespace Fokker

open System
open System.Globalization
open System.Text.Json.Nodes

/// What the cells of a column are.
[<RequireQualifiedAccess>]
type ColumnKind =
    /// Numbers. Where some may be missing, a second coordinate says whether one is there (1) or not (0).
    | Number of holes: bool
    /// One of a list of words, each with a coordinate of its own: 1 for the word that is there, 0 for the others. The word "" is a missing cell.
    | Category of words: string list
    /// A short text of at most so many bytes, which is told to a network and never learned (`TextEncoder`).
    | Text of bytes: int

/// A column of a table, as a network sees it.
type Column =
    { Name: string
      Kind: ColumnKind }

    member column.IsCategory = column.Kind.IsCategory

/// Rows of cells as points of a space, and back. A coordinate of 0 or 1 has Gaussian noise of a fixed deviation around it when it is learned or scored, and a number that is missing is noise of the column's own
/// mean and deviation: the law of the points has a density then, and noise that is drawn anew for every cell says nothing of the others. `decode` takes the largest word, a coordinate above one half.
[<RequireQualifiedAccess>]
module Columns =

    /// Deviation of the noise around 0 and 1: two words are taken for each other where it is seven times this.
    let noise = 0.1

    let private most = 1000

    let width (column: Column) : int =
        match column.Kind with
        | ColumnKind.Number holes -> if holes then 2 else 1
        | ColumnKind.Category words -> words.Length
        | ColumnKind.Text bytes -> bytes

    let dimension (columns: Column list) : int = List.sumBy width columns

    /// Each column with its first coordinate.
    let private placed (columns: Column list) : (Column * int) list =
        List.zip columns (columns |> List.scan (fun at column -> at + width column) 0 |> List.take columns.Length)

    /// Where the coordinates of each text begin, and how many they are.
    let texts (columns: Column list) : (int * int) list =
        placed columns
        |> List.choose (fun (column, first) ->
            match column.Kind with
            | ColumnKind.Text bytes -> Some(first, bytes)
            | _ -> None)

    let private refuse (file: string) (line: int) (column: Column) (cell: string) (what: string) =
        raise (UserError $"{file}: line {line}, column {column.Name} is '{Csv.shown cell}': {what}")

    /// What is said of the columns: their names, each with its kind where that is said; none for all of them.
    type internal Wanted = (string * string option) list option

    /// `all`, or names with plus signs between them, each with `:number`, `:category` or `:text` where it is said.
    let internal wanted (text: string) : Wanted =
        if text = "all" then
            None
        else
            Some
                [ for item in text.Split '+' do
                      match item.LastIndexOf ':' with
                      | -1 -> item.Trim(), None
                      | at -> item.Substring(0, at).Trim(), Some(item.Substring(at + 1).Trim()) ]

    /// What the cells of a column are, found where it is not said.
    let private kindOf
        (file: string)
        (name: string)
        (said: string option)
        (lines: int[])
        (cells: string[])
        : ColumnKind =
        let there = cells |> Array.filter (Csv.isMissing >> not)
        let holes = there.Length < cells.Length

        if there.Length = 0 then
            raise (UserError $"{file}: no cell of the column {name} is filled: leave it out")

        let numbers () = ColumnKind.Number holes

        let words () =
            let words = there |> Array.distinct |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))

            if words.Length > most then
                raise (
                    UserError
                        $"{file}: the column {name} has {words.Length} different words, and a category at most {most}: leave it out, say that it holds numbers ({name}:number), or, where it is told and not learned, texts ({name}:text)"
                )

            ColumnKind.Category(List.ofArray words @ (if holes then [ "" ] else []))

        match said with
        | Some "number" ->
            Array.zip lines cells
            |> Array.iter (fun (line, cell) ->
                if not (Csv.isMissing cell) && (Csv.finite cell).IsNone then
                    refuse file line { Name = name; Kind = numbers () } cell "expected a finite number")

            numbers ()
        | Some "category" -> words ()
        | Some "text" ->
            // Of a text "none" or "-" is one, and nothing is told by an empty cell alone.
            let most = cells |> Array.map Text.Encoding.UTF8.GetByteCount |> Array.max

            if most > TextEncoder.Most then
                raise (
                    UserError
                        $"{file}: a text of the column {name} is of {most} bytes, and at most {TextEncoder.Most} can be told: shorten it"
                )

            ColumnKind.Text most
        | None -> if Array.forall (Csv.finite >> Option.isSome) there then numbers () else words ()
        | Some other ->
            raise (
                UserError
                    $"{file}: the column {name} is said to hold '{other}': expected number or category, or text where it is told and not learned"
            )

    /// Where the columns of these names are in the file. Raises UserError where one is not.
    let private places (file: string) (header: string[]) (names: string list) : int list =
        match header |> Array.countBy id |> Array.tryFind (fun (_, n) -> n > 1) with
        | Some(name, _) ->
            raise (UserError $"{file}: two of its columns are called '{name}': give each a name of its own")
        | None -> ()

        [ for name in names do
              match Array.IndexOf(header, name) with
              | -1 -> raise (UserError(Names.unknown file "column" "columns" (List.ofArray header) name))
              | at -> at ]

    /// The columns that are wanted of a file's cells, and where they are in it.
    let internal find (file: string) (wanted: Wanted) (table: CellTable) : Column list * int list =
        let wanted = wanted |> Option.defaultWith (fun () -> [ for name in table.Header -> name, None ])

        let places = places file table.Header (List.map fst wanted)

        match wanted |> List.countBy fst |> List.tryFind (fun (_, n) -> n > 1) with
        | Some(name, _) -> raise (UserError $"{file}: the column {name} is asked for twice")
        | None -> ()

        [ for (name, said), at in List.zip wanted places ->
              { Name = name
                Kind = kindOf file name said table.Lines (table.Rows |> Array.map (fun row -> row[at])) } ],
        places

    /// What a network sees is from −1 to 1 where a coordinate is from 0 to 1, and standardized where it is a number: over the cells that are there.
    let internal units (columns: Column list) (places: int list) (rows: string[][]) : Units =
        let each =
            [ for column, at in List.zip columns places do
                  match column.Kind with
                  | ColumnKind.Category words ->
                      for _ in words do
                          yield 0.5, 0.5
                  | ColumnKind.Text bytes ->
                      for _ in 1..bytes do
                          yield 0.0, 1.0
                  | ColumnKind.Number holes ->
                      let values = rows |> Array.choose (fun row -> Csv.finite row[at])
                      let mean = Array.average values
                      let deviation = sqrt (values |> Array.averageBy (fun x -> (x - mean) * (x - mean)))
                      let isConstant = Array.min values = Array.max values
                      yield (if isConstant then values[0] else mean), (if isConstant then 1.0 else deviation)

                      if holes then
                          yield 0.5, 0.5 ]

        { Shift = [| for shift, _ in each -> shift |]; Scale = [| for _, scale in each -> scale |] }

    let private coordinates
        (file: string)
        (columns: Column list)
        (places: int list)
        (table: CellTable)
        (number: int -> bool -> string -> float)
        (flag: int -> bool -> float)
        (word: int -> string -> string list -> float list)
        (text: string -> int -> float[])
        : Tensor =
        let values =
            [| for line, row in Array.zip table.Lines table.Rows do
                   for (column, first), at in List.zip (placed columns) places do
                       let cell = row[at]
                       let isThere = not (Csv.isMissing cell)

                       match column.Kind with
                       | ColumnKind.Number holes ->
                           if isThere && (Csv.finite cell).IsNone then
                               refuse file line column cell "expected a finite number"

                           number first (isThere || holes) cell

                           if holes then
                               flag (first + 1) isThere
                       | ColumnKind.Category words ->
                           if isThere && not (List.contains cell words) then
                               let known = words |> List.filter ((<>) "") |> List.truncate 8 |> String.concat ", "
                               refuse file line column cell $"it is none of the words that were learned ({known})"

                           yield! word first (if isThere then cell else "") words
                       | ColumnKind.Text bytes ->
                           if Text.Encoding.UTF8.GetByteCount cell > bytes then
                               refuse
                                   file
                                   line
                                   column
                                   cell
                                   $"it is longer than the {bytes} bytes of the longest that was told"

                           yield! text cell bytes |]

        Tensor.ofArray [ table.Rows.Length; dimension columns ] values

    /// The rows as points of the law that is learned, a missing cell a value like any other: with the noise of a key around them, or in its middle without one. Raises UserError, with the line and the
    /// column, where a cell is missing in a column that had none missing, or is none of its words.
    let internal points
        (file: string)
        (columns: Column list)
        (places: int list)
        (units: Units)
        (rng: Rng option)
        (table: CellTable)
        : Tensor =
        let d = dimension columns
        let size = table.Rows.Length * d

        let noises =
            match rng with
            | Some rng -> Scope.run (fun () -> Rng.normal Kind.Float64 [ table.Rows.Length; d ] rng |> Tensor.toFloats)
            | None -> Array.zeroCreate size

        let mutable row = -1

        let draw at =
            if at = 0 then
                row <- row + 1
            noises[row * d + at]

        let number at known (cell: string) =
            let drawn = draw at

            match Csv.finite cell with
            | Some x when not (Csv.isMissing cell) -> x
            | _ when known -> units.Shift[at] + units.Scale[at] * drawn
            | _ ->
                raise (
                    UserError
                        $"{file}: line {table.Lines[row]} has an empty cell in a column that had none when it was learned: fill it, or leave the row out"
                )

        let flag at isThere = (if isThere then 1.0 else 0.0) + noise * draw at

        let word at cell words =
            if not (List.contains cell words) then
                raise (
                    UserError
                        $"{file}: line {table.Lines[max 0 (if at = 0 then row + 1 else row)]} has an empty cell in a column that had none when it was learned: fill it, or leave the row out"
                )

            words |> List.mapi (fun k other -> (if other = cell then 1.0 else 0.0) + noise * draw (at + k))

        coordinates file columns places table number flag word (fun _ _ ->
            raise (UserError $"{file}: a text is told and not learned: say which column it is as a condition"))

    /// The rows with NaN in every coordinate of a cell that is missing: what is to be filled in, by something that is there.
    let internal openPoints (file: string) (columns: Column list) (places: int list) (table: CellTable) : Tensor =
        let number _ _ (cell: string) = if Csv.isMissing cell then nan else (Csv.finite cell).Value

        let word _ cell words =
            words
            |> List.map (fun other ->
                if cell = "" && other <> "" then nan
                elif other = cell && cell <> "" then 1.0
                else 0.0)

        let text (cell: string) bytes =
            if cell = "" then Array.create bytes nan else (TextEncoder.bytes bytes cell).Value

        coordinates file columns places table number (fun _ _ -> 1.0) word text

    /// Where the columns of a model are in a file's header. Raises UserError where one is not there.
    let internal placesIn (file: string) (columns: Column list) (table: CellTable) : int list =
        places file table.Header (columns |> List.map _.Name)

    /// The cells that a point [d] stands for.
    let decode (columns: Column list) (x: float[]) : string[] =
        [| for column, at in placed columns ->
               match column.Kind with
               | ColumnKind.Number true when x[at + 1] < 0.5 -> ""
               | ColumnKind.Number _ -> x[at].ToString("R", CultureInfo.InvariantCulture)
               | ColumnKind.Category words -> words |> List.indexed |> List.maxBy (fun (k, _) -> x[at + k]) |> snd
               | ColumnKind.Text bytes -> TextEncoder.text x[at .. at + bytes - 1] |]

    // ---- as JSON, in a model's description

    let toJson (columns: Column list) : JsonArray =
        JsonArray(
            [| for column in columns do
                   let json = JsonObject()
                   json["name"] <- JsonValue.Create column.Name

                   match column.Kind with
                   | ColumnKind.Number holes -> json["holes"] <- JsonValue.Create holes
                   | ColumnKind.Category words ->
                       json["words"] <- JsonArray([| for word in words -> JsonValue.Create word :> JsonNode | null |])
                   | ColumnKind.Text bytes -> json["bytes"] <- JsonValue.Create bytes

                   json :> JsonNode | null |]
        )

    /// The inverse of `toJson`. Raises what reading JSON does where it is none of that.
    let ofJson (json: JsonArray) : Column list =
        [ for node in json do
              let json = (nonNull node).AsObject()
              { Name = (nonNull json["name"]).GetValue<string>()
                Kind =
                  match json["words"], json["bytes"] with
                  | null, null -> ColumnKind.Number((nonNull json["holes"]).GetValue<bool>())
                  | null, bytes -> ColumnKind.Text((nonNull bytes).GetValue<int>())
                  | words, _ -> ColumnKind.Category [ for word in words.AsArray() -> (nonNull word).GetValue<string>() ] } ]
