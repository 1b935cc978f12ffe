module Fokker.Tool.Program

open System
open System.Text
open Fokker

/// Every command, in the order that one meets them.
let commands =
    [ Launch.withRanks Train.command
      Launch.withRanks Sample.command
      Launch.withRanks Evaluate.command
      LogDensity.command
      Encode.command
      Minimize.command
      Interpolate.command
      Impute.command
      MakeReport.command
      Average.command
      OpenGallery.command
      Transfer.import
      Transfer.export
      Listing.command
      Verify.command
      Launch.withRanks RunStudy.command
      Launch.command
      Doctor.command ]

let private isHelp word = List.contains word [ "--help"; "-h"; "help" ]

/// One command line. Every error ends here, as one line on the error stream and an exit code.
let run (terminal: Terminal) (words: string list) : int =
    let terminal = if List.contains "--json" words then Terminal.forPrograms terminal else terminal

    let known = commands |> List.map _.Name
    let find word = commands |> List.tryFind (fun command -> command.Name = word)

    let fail prefix (line: string, code: int) =
        terminal.Error.WriteLine $"{prefix}: {line}"
        terminal.Error.Flush()
        code

    match words with
    | [] ->
        terminal.Out.WriteLine(Command.overview commands)
        Exit.Success
    | [ word ] when isHelp word ->
        terminal.Out.WriteLine(Command.overview commands)
        Exit.Success
    | [ word ] when word = "--version" ->
        terminal.Out.WriteLine Run.version
        Exit.Success
    | word :: rest ->
        match find word, rest with
        | None, [ next ] when word = "help" && Option.isSome (find next) ->
            terminal.Out.WriteLine(Command.help (Option.get (find next)))
            Exit.Success
        | None, _ -> fail "fokker" (Names.unknown "" "command" "commands" known word, Exit.BadInput)
        | Some command, _ when rest |> List.exists (fun word -> word = "--help" || word = "-h") ->
            terminal.Out.WriteLine(Command.help command)
            Exit.Success
        | Some command, _ ->
            try
                command.Run terminal rest
            with error ->
                fail $"fokker {command.Name}" (Errors.describe command.Name error)

/// A command line where names may stand for parts of the caller's own, for scripts: `Program.runWith parts [ "train"; "moons"; "--path"; "mine" ]`. Gives the exit
/// code; what the command says goes where the script's own output goes.
let runWith (own: OwnParts) (words: string list) : int = run { Terminal.ofProcess () with Own = own } words

[<EntryPoint>]
let main arguments =
    Console.OutputEncoding <- UTF8Encoding false
    run (Terminal.ofProcess ()) (List.ofArray arguments)
