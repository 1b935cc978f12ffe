namespace Fokker

open System
open System.Text.Json
open System.Text.Json.Nodes

/// JSON from files that anybody may have written: what a parser lets pass and a reader then trips over is refused at once.
[<RequireQualifiedAccess>]
module JsonText =

    let private strict = JsonDocumentOptions(AllowDuplicateProperties = false)

    // What .NET's parser says of a path inside the text is for programmers, and it quotes the text, which may be long and of many lines.
    let private reason (error: exn) =
        let message =
            match error.Message.IndexOf " Path:" with
            | -1 -> error.Message
            | at -> error.Message.Substring(0, at)

        let line = message |> String.map (fun c -> if Char.IsControl c then ' ' else c)
        (if line.Length > 160 then line.Substring(0, 160) + "…" else line).TrimEnd '.'

    /// .NET reads text inside JSON only when it is asked for, and stumbles then over bytes that are no UTF-8 and over halves of surrogate pairs.
    let private readable (bytes: ReadOnlyMemory<byte>) =
        let mutable reader = Utf8JsonReader(bytes.Span)

        while reader.Read() do
            if reader.TokenType = JsonTokenType.String || reader.TokenType = JsonTokenType.PropertyName then
                reader.GetString() |> ignore

    let private guarded (bytes: byte[]) (parse: ReadOnlyMemory<byte> -> 'T) : Result<'T, string> =
        // A byte order mark is no part of the text.
        let mark = if bytes.AsSpan().StartsWith(ReadOnlySpan [| 0xEFuy; 0xBBuy; 0xBFuy |]) then 3 else 0
        let bytes = ReadOnlyMemory(bytes).Slice mark

        try
            readable bytes
            Ok(parse bytes)
        with
        | :? JsonException as e -> Error $"it is not JSON ({reason e})"
        | :? InvalidOperationException -> Error "it holds text that is not UTF-8, or half of a surrogate pair"

    /// The document that the bytes hold: UTF-8 throughout, no key twice in an object, no half of a surrogate pair. An error says what is wrong, in words
    /// that follow the file's name.
    let document (bytes: byte[]) : Result<JsonDocument, string> =
        guarded bytes (fun bytes -> JsonDocument.Parse(bytes, strict))

    /// The same as a tree that can be changed; null is the JSON null.
    let node (bytes: byte[]) : Result<JsonNode | null, string> =
        guarded bytes (fun bytes -> JsonNode.Parse(bytes.Span, Nullable(JsonNodeOptions()), strict))
