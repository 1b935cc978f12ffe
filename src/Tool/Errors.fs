namespace Fokker.Tool

open System
open System.IO
open Argu
open Fokker

/// How a command ends.
module Exit =

    [<Literal>]
    let Success = 0

    /// A fault of Fokker's own.
    [<Literal>]
    let Fault = 1

    /// Something that a person can put right: an option, a file, the machine.
    [<Literal>]
    let BadInput = 2

    /// Stopped by Ctrl-C after saving: 128 + SIGINT.
    [<Literal>]
    let Interrupted = 130

    /// Stopped by SIGTERM after saving: 128 + SIGTERM.
    [<Literal>]
    let Terminated = 143

/// What an exception means to the person at the terminal: one line, and the exit code. Every command's errors come here.
module Errors =

    /// errno of a full disk on Linux; .NET hands it on as the HResult.
    [<Literal>]
    let private NoSpace = 28

    let private quoted (message: string) =
        match message.IndexOf('\''), message.LastIndexOf('\'') with
        | first, last when first >= 0 && last > first -> Some(message.Substring(first + 1, last - first - 1))
        | _ -> None

    /// Argu's messages carry the whole usage after their first line.
    let private argu (command: string) (message: string) =
        let lines = message.Split '\n'
        let first = lines[0].Trim()
        let first = if first.StartsWith("ERROR: ") then first.Substring(7) else first
        let help = $"fokker {command} --help says what there is"

        match quoted first with
        | Some given when first.StartsWith("unrecognized argument") -> $"the argument '{given}' is one too many; {help}"
        | _ -> $"{first.TrimEnd '.'}; {help}"

    /// The line and the exit code. `command` serves the messages about options.
    let rec describe (command: string) (error: exn) : string * int =
        match error with
        | :? RefusedException as refused ->
            Refusal.oneLine (Refusal.text OptionNames.wording refused.Refusal), Exit.BadInput
        | :? UserError
        | :? EnvironmentException -> Refusal.oneLine error.Message, Exit.BadInput
        | :? ArguParseException -> argu command error.Message, Exit.BadInput
        | :? AggregateException as many when many.InnerExceptions.Count = 1 -> describe command many.InnerExceptions[0]
        | :? TypeInitializationException as wrapped when not (isNull wrapped.InnerException) ->
            describe command (nonNull wrapped.InnerException)
        | :? IOException as e when e.HResult = NoSpace ->
            let file = quoted e.Message |> Option.map (fun path -> $" while writing {path}") |> Option.defaultValue ""

            $"the disk is full{file}: free some space, or choose another folder with --runs; the files that were there before are unchanged",
            Exit.BadInput
        | :? FileNotFoundException as e ->
            let file = e.FileName |> Option.ofObj |> Option.orElse (quoted e.Message) |> Option.defaultValue "a file"
            $"{file} does not exist", Exit.BadInput
        | :? UnauthorizedAccessException as e ->
            let file = quoted e.Message |> Option.defaultValue "a file or folder"
            $"{file}: permission denied; choose a place you may write to, or change its permissions", Exit.BadInput
        | :? IOException -> Refusal.oneLine error.Message, Exit.BadInput
        | :? OutOfMemoryException -> "not enough memory: use a smaller --batch, --width or -n", Exit.BadInput
        | :? TensorException when error.Message.Contains "not enough memory" || error.Message.Contains "out of memory" ->
            "not enough memory: use a smaller --batch, --width or -n", Exit.BadInput
        | _ ->
            let detail =
                match Environment.GetEnvironmentVariable "FOKKER_TRACE" with
                | null
                | "" -> "; FOKKER_TRACE=1 shows where"
                | _ -> Environment.NewLine + string error

            $"a fault in Fokker, not in your request: {Refusal.oneLine error.Message}{detail}", Exit.Fault
