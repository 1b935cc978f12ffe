namespace Fokker.Experiments

open System
open Argu

/// One word after `fokker`, and all that is known of it.
[<NoComparison; NoEquality>]
type Command =
    {
        Name: string
        Summary: string
        /// Lines that can be pasted, each with what it does.
        Examples: (string * string) list
        /// Argu's account of the options.
        Usage: unit -> string
        /// The options' names, for the message about one that does not exist.
        Options: unit -> string list
        /// Runs with the words after the command's name; gives the exit code.
        Run: Terminal -> string list -> int
    }

[<RequireQualifiedAccess>]
module Command =

    let private width () = if Console.IsOutputRedirected then 100 else Math.Clamp(Console.WindowWidth, 60, 120)

    /// A command whose options are the cases of the union 'Argument.
    let make<'Argument when 'Argument :> IArgParserTemplate>
        (name: string)
        (summary: string)
        (examples: (string * string) list)
        (run: Terminal -> 'Argument list -> int)
        : Command =
        // Reading the union's attributes takes longer than anything else here: only for the command that is run.
        let parser =
            lazy
                ArgumentParser.Create<'Argument>(
                    programName = $"fokker {name}",
                    usageStringCharacterWidth = width (),
                    errorHandler = ExceptionExiter()
                )

        { Name = name
          Summary = summary
          Examples = examples
          Usage = fun () -> parser.Value.PrintUsage(hideSyntax = true)
          Options =
            fun () ->
                [ for case in parser.Value.GetArgumentCases() do
                      yield! case.CommandLineNames.Value ]
          Run =
            fun terminal words ->
                let results = parser.Value.ParseCommandLine(List.toArray words, raiseOnUsage = false)
                run terminal (results.GetAllResults()) }

    /// What `--help` prints.
    let help (command: Command) : string =
        let examples =
            [ for line, meaning in command.Examples do
                  $"    {line}"
                  $"        {meaning}" ]

        String.Join(
            Environment.NewLine,
            [ $"fokker {command.Name}: {command.Summary}"
              ""
              "EXAMPLES:"
              ""
              yield! examples
              ""
              command.Usage().Trim() ]
        )

    /// What `fokker` alone prints.
    let overview (commands: Command list) : string =
        let rows = commands |> List.map (fun command -> $"    {command.Name, -10}{command.Summary}")

        String.Join(
            Environment.NewLine,
            [ "Fokker: flow-based generative models"
              ""
              "COMMANDS:"
              ""
              yield! rows
              ""
              "EXAMPLE:"
              ""
              "    ./fokker train moons"
              ""
              "fokker COMMAND --help explains a command. With --json a command prints one JSON object on standard output"
              "and everything else on standard error. Exit codes: 0 done, 2 something to put right (one line says what),"
              "130 or 143 stopped by Ctrl-C or SIGTERM after saving, 1 a fault in Fokker." ]
        )
