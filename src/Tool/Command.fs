namespace Fokker.Tool

open System
open Argu
open Fokker

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
        /// The options' names.
        Options: unit -> string list
        /// Runs with the words after the command's name; gives the exit code.
        Run: Terminal -> string list -> int
    }

[<RequireQualifiedAccess>]
module Command =

    let private width () = if Console.IsOutputRedirected then 100 else Math.Clamp(Console.WindowWidth, 60, 120)

    // Reading a union's attributes takes longer than anything else here: only for the command that is run.
    let private parser<'Argument when 'Argument :> IArgParserTemplate>
        (name: string)
        : Lazy<ArgumentParser<'Argument>> =
        lazy
            ArgumentParser.Create<'Argument>(
                programName = $"fokker {name}",
                usageStringCharacterWidth = width (),
                errorHandler = ExceptionExiter()
            )

    let private names (parser: ArgumentParser<'Argument>) =
        [ for case in parser.GetArgumentCases() do
              yield! case.CommandLineNames.Value ]

    /// Raises UserError for an option that does not exist, with the nearest that do. Argu would take it for a run or a data set where
    /// none is named.
    let private requireKnown (command: string) (options: string list) (words: string list) =
        let isOption (word: string) = word.Length > 1 && word[0] = '-' && not (Char.IsDigit word[1] || word[1] = '.')

        for word in words |> List.filter isOption |> List.map (fun word -> (word.Split '=')[0]) do
            if not (List.contains word options) then
                let meant =
                    match Names.near options word with
                    | [] -> ""
                    | names -> $" did you mean {Names.either names}?"

                raise (UserError $"there is no option '{word}';{meant} fokker {command} --help says what there is")

    let private usage (parser: ArgumentParser<'Argument>) = parser.PrintUsage(hideSyntax = true).Trim()

    /// A command whose options are the cases of the union 'Argument.
    let make<'Argument when 'Argument :> IArgParserTemplate>
        (name: string)
        (summary: string)
        (examples: (string * string) list)
        (run: Terminal -> 'Argument list -> int)
        : Command =
        let parser = parser<'Argument> name

        { Name = name
          Summary = summary
          Examples = examples
          Usage = fun () -> usage parser.Value
          Options = fun () -> names parser.Value
          Run =
            fun terminal words ->
                requireKnown name (names parser.Value) words
                let results = parser.Value.ParseCommandLine(List.toArray words, raiseOnUsage = false)
                run terminal (results.GetAllResults()) }

    /// A command with options of its own, the cases of 'Own, besides those of 'Shared that it has in common with others. Its
    /// work is long enough to be stopped.
    let makeWith<'Shared, 'Own when 'Shared :> IArgParserTemplate and 'Own :> IArgParserTemplate>
        (name: string)
        (summary: string)
        (examples: (string * string) list)
        (run: Terminal -> 'Shared list -> 'Own list -> int)
        : Command =
        let shared, own = parser<'Shared> name, parser<'Own> name

        { Name = name
          Summary = summary
          Examples = examples
          Usage =
            fun () ->
                let heading = $"OPTIONS:{Environment.NewLine}{Environment.NewLine}"
                let ending = $"{Environment.NewLine}    --help"
                // Both accounts have the heading and end with a line on --help: one of each is enough.
                let options = (usage own.Value).Replace(heading, "")
                let options = options.Substring(0, options.LastIndexOf ending).Trim()
                (usage shared.Value).Replace(heading, $"{heading}    {options}{Environment.NewLine}")
          Options = fun () -> names own.Value @ names shared.Value
          Run =
            fun terminal words ->
                requireKnown name (names own.Value @ names shared.Value) words
                // What the first parser does not know is for the second, which refuses what neither knows.
                let results =
                    own.Value.ParseCommandLine(List.toArray words, raiseOnUsage = false, ignoreUnrecognized = true)

                let others =
                    shared.Value.ParseCommandLine(List.toArray results.UnrecognizedCliParams, raiseOnUsage = false)

                Interrupt.Around terminal (fun terminal ->
                    run terminal (others.GetAllResults()) (results.GetAllResults())) }

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
        let rows = commands |> List.map (fun command -> $"    {command.Name, -12}{command.Summary}")

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
              "and everything else on standard error. Exit codes: 0 success, 2 wrong input (one line says what),"
              "130 or 143 stopped by Ctrl-C or SIGTERM after saving, 1 a fault in Fokker." ]
        )
