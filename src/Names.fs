namespace Fokker

open System

/// Things that are chosen by name: looking one up, and saying what exists where there is none.
module Names =

    /// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`, each letter touched once
    /// (optimal string alignment; Damerau 1964).
    let distance (a: string) (b: string) : int =
        let d = Array2D.zeroCreate (a.Length + 1) (b.Length + 1)

        for i in 0 .. a.Length do
            d[i, 0] <- i

        for j in 0 .. b.Length do
            d[0, j] <- j

        for i in 1 .. a.Length do
            for j in 1 .. b.Length do
                let cost = if a[i - 1] = b[j - 1] then 0 else 1
                d[i, j] <- min (min (d[i - 1, j] + 1) (d[i, j - 1] + 1)) (d[i - 1, j - 1] + cost)

                if i > 1 && j > 1 && a[i - 1] = b[j - 2] && a[i - 2] = b[j - 1] then
                    d[i, j] <- min d[i, j] (d[i - 2, j - 2] + 1)

        d[a.Length, b.Length]

    /// A name without what people write in other ways: `DPM++ 2M`, `dpm++2m` and `dpmpp-2m` are one.
    let private plain (name: string) : string =
        name.ToLowerInvariant().Replace('+', 'p') |> String.filter Char.IsLetterOrDigit

    /// The known names that someone may have meant, nearest first: one that is written otherwise; else a third of the letters may be wrong, or the name
    /// is an unfinished one.
    let near (known: string list) (given: string) : string list =
        match known |> List.filter (fun name -> plain name <> "" && plain name = plain given) with
        | _ :: _ as same -> same
        | [] ->

            let given = given.ToLowerInvariant()

            known
            |> List.map (fun name -> name, distance given (name.ToLowerInvariant()))
            |> List.filter (fun (name, d) ->
                d <= max 1 (max name.Length given.Length / 3)
                || given.Length >= 3 && name.StartsWith(given, StringComparison.OrdinalIgnoreCase))
            |> List.sortBy snd
            |> List.map fst
            |> List.truncate 3

    /// `a`, `a or b`, `a, b or c`.
    let either (names: string list) : string =
        match List.rev names with
        | [] -> ""
        | [ one ] -> one
        | last :: rest -> String.Join(", ", List.rev rest) + " or " + last

    /// The one line that is said of a name that is not there: `--loss: there is no loss 'cmf'; did you mean cfm? There are …`.
    let unknown (where: string) (what: string) (plural: string) (known: string list) (given: string) : string =
        let place = if where = "" then "" else where + ": "
        let all = String.Join(", ", known)

        match near known given with
        | [] when List.isEmpty known -> $"{place}there is no {what} '{given}', and no {plural} at all"
        | [] -> $"{place}there is no {what} '{given}'; the {plural} are {all}"
        | names when List.length known <= List.length names ->
            $"{place}there is no {what} '{given}'; did you mean {either names}?"
        | names -> $"{place}there is no {what} '{given}'; did you mean {either names}? The {plural} are {all}"

    let private named (nameOf: 'T -> string) (items: 'T list) (given: string) : 'T option =
        items
        |> List.tryFind (fun item -> String.Equals(nameOf item, given, StringComparison.OrdinalIgnoreCase))

    /// The item of that name, whatever its case. Raises UserError where there is none.
    let find where what plural (nameOf: 'T -> string) (items: 'T list) (given: string) : 'T =
        match named nameOf items given with
        | Some item -> item
        | None -> raise (UserError(unknown where what plural (List.map nameOf items) given))

    /// The item of that name, whatever its case, for a setting of a request. Raises RefusedException, with the nearest names, where there is none.
    let choose (setting: Setting) what plural (nameOf: 'T -> string) (items: 'T list) (given: string) : 'T =
        match named nameOf items given with
        | Some item -> item
        | None ->
            let text = unknown "" what plural (List.map nameOf items) given
            refuse setting "" $"{text}"
