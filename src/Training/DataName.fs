namespace Fokker

open System
open System.Globalization
open System.IO
open System.Text.RegularExpressions

/// What is said of a data set besides its file: `folder:DIR,size=32,colour=grey`.
[<RequireQualifiedAccess>]
module internal DataName =

    let private said = Regex @"^([a-z-]+)=(.*)$"

    /// The file, and the settings that follow it. A comma in a file's name is a part of it, and so is what looks like a setting where there is such a file.
    let split (text: string) : string * (string * string) list =
        let parts = List.ofArray (text.Split ',')
        let file n = String.Join(',', List.take n parts)
        let settings = parts.Tail |> List.rev |> List.takeWhile said.IsMatch |> List.length
        let least = parts.Length - settings

        // The longest name that a file has; none of them has one where it is missing.
        let name =
            [ parts.Length .. -1 .. least ]
            |> List.tryFind (fun n -> File.Exists(file n) || Directory.Exists(file n))
            |> Option.defaultValue least

        file name,
        [ for part in List.skip name parts do
              let found = said.Match part
              found.Groups[1].Value, found.Groups[2].Value ]

    /// The file, and what each of the settings that there are was given, if anything: `wants` has each with what it takes.
    /// Raises UserError where another is said, or one twice.
    let read (kind: string) (wants: (string * string) list) (text: string) : string * (string -> string option) =
        let file, settings = split text
        let known = wants |> List.map (fun (key, value) -> $"{key}={value}") |> String.concat ", "

        for key, _ in settings do
            if not (List.exists (fst >> (=) key) wants) then
                raise (UserError $"data set '{kind}:{text}': there is no setting '{key}': expected {known}")

        match settings |> List.countBy fst |> List.tryFind (fun (_, n) -> n > 1) with
        | Some(key, _) -> raise (UserError $"data set '{kind}:{text}': {key} is given more than once")
        | None -> file, (fun key -> List.tryFind (fst >> (=) key) settings |> Option.map snd)

    /// A whole number of a setting. Raises UserError where it is none, or not in the range.
    let whole (name: string) (key: string) (least: int) (most: int) (value: string) : int =
        match Int32.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, n when n >= least && n <= most -> n
        | _ ->
            raise (UserError $"data set '{name}': {key} is '{value}': expected a whole number from {least} to {most}")

    /// One of a few words. Raises UserError where it is another.
    let word (name: string) (key: string) (choices: (string * 'T) list) (value: string) : 'T =
        match List.tryFind (fst >> (=) value) choices with
        | Some(_, chosen) -> chosen
        | None ->
            raise (UserError $"data set '{name}': {key} is '{value}': expected {Names.either (List.map fst choices)}")

    /// The name without what is said of how a network is shown the images, `flip=on` and `crop=24` at its end, and of what it is told of them, `given=low-resolution:4`; and both. Raises UserError where it is
    /// something else.
    let shown (text: string) : string * Augmentation * Given option =
        let rec taken (text: string) (found: Augmentation) (given: Given option) =
            let at = text.LastIndexOf ','
            let setting = if at < 0 then "" else text.Substring(at + 1)

            if setting.StartsWith "flip=" then
                let flip = word text "flip" [ "on", true; "off", false ] (setting.Substring 5)
                taken (text.Substring(0, at)) { found with Flip = flip || found.Flip } given
            elif setting.StartsWith "crop=" then
                let side = whole text "crop" 1 65_536 (setting.Substring 5)
                taken (text.Substring(0, at)) { found with Crop = Some(defaultArg found.Crop side) } given
            // What a table's columns tell is a matter of its reader.
            elif setting.StartsWith "given=" && not (text.StartsWith "csv:") then
                match Given.ofText (setting.Substring 6), given with
                | Some _, Some _ -> raise (UserError $"data set '{text}': given is said more than once")
                | Some own, None -> taken (text.Substring(0, at)) found (Some own)
                | None, _ ->
                    raise (UserError $"data set '{text}': given is '{setting.Substring 6}': expected {Given.pictures}")
            else
                text, found, given

        taken text Augmentation.None None

    /// The inverse of `shown`.
    let shownText (rest: string) (augmentation: Augmentation) (given: Given option) : string =
        let crop = augmentation.Crop |> Option.map (fun side -> $",crop={side}") |> Option.defaultValue ""
        let given = given |> Option.map (fun given -> $",given={Given.text given}") |> Option.defaultValue ""
        rest + crop + (if augmentation.Flip then ",flip=on" else "") + given

    /// What a run of these data is called unless it is given a name: `points` of `csv:data/points.csv`.
    let rec shortName (text: string) : string =
        let text, _, _ = shown text

        match text.IndexOf ':' with
        | -1 -> text
        | at when text.StartsWith "binary:" -> "binary-" + shortName (text.Substring(at + 1))
        | at ->
            let file, _ = split (text.Substring(at + 1))
            let file = Path.TrimEndingDirectorySeparator file
            string (Path.GetFileNameWithoutExtension file)
