namespace Fokker

open System
open System.Globalization

/// What stands after the name of a model's file, `FILE,head=64,schedule=cosine`: the settings that its tensors do not say.
[<NoComparison; NoEquality>]
type internal FileSettings =
    {
        /// As it was written, with its format: `adm:FILE,head=64`.
        Whole: string
        File: string
        /// What is said of a setting.
        Of: string -> string option
    }

[<RequireQualifiedAccess>]
module internal FileSettings =

    /// `text` of a format whose settings have these names. What is no setting at its end belongs to the file's name. Raises UserError where one is said twice.
    let parse (format: string) (settings: string list) (text: string) : FileSettings =
        let isSetting (part: string) =
            settings |> List.exists (fun key -> part.StartsWith(key + "=", StringComparison.Ordinal))

        let parts = text.Split ',' |> List.ofArray
        let own = parts |> List.rev |> List.takeWhile isSetting |> List.rev
        let whole = $"{format}:{text}"

        match
            own
            |> List.countBy (fun part -> part[.. part.IndexOf '=' - 1])
            |> List.tryFind (fun (_, n) -> n > 1)
        with
        | Some(key, _) -> raise (UserError $"{whole}: {key} is said more than once")
        | None -> ()

        { Whole = whole
          File = parts |> List.take (parts.Length - own.Length) |> String.concat ","
          Of =
            fun key ->
                own
                |> List.tryFind (fun part -> part.StartsWith(key + "=", StringComparison.Ordinal))
                |> Option.map (fun part -> part.Substring(key.Length + 1)) }

    /// One of these, by name; the other one where nothing is said.
    let choice (key: string) (other: 'T) (choices: (string * 'T) list) (said: FileSettings) : 'T =
        match said.Of key with
        | None -> other
        | Some value ->
            match List.tryFind (fst >> (=) value) choices with
            | Some(_, chosen) -> chosen
            | None ->
                raise (UserError $"{said.Whole}: {key} is '{value}': expected {Names.either (List.map fst choices)}")

    /// A whole number of at least this.
    let whole (key: string) (least: int) (said: FileSettings) : int option =
        said.Of key
        |> Option.map (fun value ->
            match Int32.TryParse value with
            | true, n when n >= least && n <= 1_000_000 -> n
            | _ ->
                raise (UserError $"{said.Whole}: {key} is '{value}': expected a whole number from {least} to 1000000"))

    /// A positive number.
    let positive (key: string) (said: FileSettings) : float option =
        said.Of key
        |> Option.map (fun value ->
            match Double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, x when x > 0.0 && Double.IsFinite x -> x
            | _ -> raise (UserError $"{said.Whole}: {key} is '{value}': expected a positive number"))
