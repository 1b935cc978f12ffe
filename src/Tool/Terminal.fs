namespace Fokker.Tool

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Fokker

/// Where a command writes. Results for programs are one JSON object on `Out`; what people read goes to `Out` too, or to
/// `Error` where `Out` is for a program.
type Terminal =
    {
        Out: TextWriter
        Error: TextWriter
        /// Whether what people read lands on a screen that can redraw a line.
        IsScreen: bool
        /// One JSON object on `Out`, nothing else.
        Json: bool
        /// Results only.
        Quiet: bool
        /// Long work asks from time to time whether it should end.
        Stop: unit -> bool
        /// The parts that names may stand for besides the library's, where a script runs the command.
        Own: OwnParts
    }

    /// The lists that the command looks names up in.
    member terminal.Known = Known.including terminal.Own

/// Long work that was asked to end, and did.
exception Stopped

[<RequireQualifiedAccess>]
module Terminal =

    /// The process's own.
    let ofProcess () : Terminal =
        { Out = Console.Out
          Error = Console.Error
          IsScreen = not Console.IsOutputRedirected
          Json = false
          Quiet = false
          Stop = fun () -> false
          Own = OwnParts.none }

    /// The same for a caller that wants JSON: people are then spoken to on the error stream.
    let forPrograms (terminal: Terminal) : Terminal =
        { terminal with Json = true; IsScreen = terminal.IsScreen && not Console.IsErrorRedirected }

    /// Where people are spoken to.
    let reader (terminal: Terminal) : TextWriter = if terminal.Json then terminal.Error else terminal.Out

    /// A line about what is going on; left out where only results were asked for.
    let say (terminal: Terminal) (line: string) =
        if not terminal.Quiet then
            let writer = reader terminal
            writer.WriteLine line
            writer.Flush()

    /// A line that is the result; programs get it as JSON instead.
    let tell (terminal: Terminal) (line: string) =
        if not terminal.Json then
            terminal.Out.WriteLine line
            terminal.Out.Flush()

    /// A line that should not be missed, whatever was asked for.
    let warn (terminal: Terminal) (line: string) =
        terminal.Error.WriteLine("warning: " + line)
        terminal.Error.Flush()

    /// The JSON object of a command; nothing where people read.
    let give (terminal: Terminal) (result: JsonObject) =
        if terminal.Json then
            let options = JsonSerializerOptions(WriteIndented = true)
            options.Encoder <- Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping
            terminal.Out.WriteLine(result.ToJsonString options)
            terminal.Out.Flush()

/// JSON values without ceremony. Numbers that JSON cannot say (NaN, ∞) are null.
[<RequireQualifiedAccess>]
module Json =

    let text (value: string) : JsonNode | null = JsonValue.Create<string> value
    let flag (value: bool) : JsonNode | null = JsonValue.Create<bool> value
    let whole (value: int64) : JsonNode | null = JsonValue.Create<int64> value

    let number (value: float) : JsonNode | null = if Double.IsFinite value then JsonValue.Create<float> value else null

    let node (value: JsonObject) : JsonNode | null = value

    let optional (make: 'T -> JsonNode | null) (value: 'T option) : JsonNode | null =
        match value with
        | Some value -> make value
        | None -> null

    let array (items: seq<JsonNode | null>) : JsonNode | null =
        let result = JsonArray()
        Seq.iter result.Add items
        result

    let object (entries: seq<string * (JsonNode | null)>) : JsonObject =
        let result = JsonObject()

        for name, value in entries do
            result[name] <- value

        result
