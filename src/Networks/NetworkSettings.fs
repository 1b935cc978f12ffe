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
