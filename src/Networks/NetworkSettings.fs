namespace Fokker

open System

/// A network's settings as a model's file has them, names and text: how what many architectures have in common is written, read and checked. What is read raises FormatException or
/// KeyNotFoundException where a setting is missing or of the wrong kind.
[<RequireQualifiedAccess>]
module internal NetworkSettings =

    let number (settings: Map<string, string>) (name: string) : int = int settings[name]

    let numbers (settings: Map<string, string>) (name: string) : int list =
        settings[name].Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.map int |> List.ofArray

    let ofNumbers (values: int list) : string = String.Join(" ", values)

    /// A number that there may be: 0 for none.
    let optional (settings: Map<string, string>) (name: string) : int option =
        match number settings name with
        | 0 -> None
        | n -> Some n

    let ofOptional (value: int option) : string = string (Option.defaultValue 0 value)

    /// Times that the network is told. A network of one says nothing of it, as files did before there were several.
    let times (settings: Map<string, string>) : int =
        settings |> Map.tryFind "times" |> Option.map int |> Option.defaultValue 1

    let ofTimes (times: int) : (string * string) list = if times > 1 then [ "times", string times ] else []

    /// Raises ArgumentException, with the number's name, where one of them is not positive.
    let requirePositive (network: string) (numbers: (string * int) list) : unit =
        for name, value in numbers do
            if value < 1 then
                invalidArg name $"{network}: {name} = {value}: at least 1"

    /// Raises ArgumentException where there is not one positive number for each scale, or the channels of one do not divide into groups.
    let requireScales (network: string) (width: int) (multipliers: int list) (groups: int) : unit =
        if multipliers.IsEmpty || List.exists (fun m -> m < 1) multipliers then
            invalidArg "Multipliers" $"{network}: Multipliers = %A{multipliers}: one positive number for each scale"

        for m in multipliers do
            if width * m % groups <> 0 then
                invalidArg "Groups" $"{network}: {width * m} channels do not divide into {groups} groups"

    /// Raises ArgumentException where a width is not shared evenly by heads of attention.
    let requireHeads (network: string) (width: int) (heads: int) : unit =
        if width % heads <> 0 then
            invalidArg "Heads" $"{network}: a width of {width} does not divide into {heads} heads"
