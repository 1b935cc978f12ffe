namespace Fokker.Tool

open System
open System.Diagnostics
open Argu
open Fokker

type LaunchArgument =
    | [<Unique; AltCommandLine("-n")>] Processes of count: int
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Processes _ -> "how many processes (2)"
            | Json -> "the command prints one JSON object on standard output"

/// `fokker launch`: a command as several processes, by the launcher of the machine's MPI.
module Launch =

    /// The commands that several processes do together.
    let private shared = [ "train"; "sample"; "evaluate"; "study" ]

    /// A command line as so many processes; its exit code.
    let private start (count: int) (words: string list) : int =
        if count < 1 || count > 100_000 then
            raise (UserError $"{count} processes: expected a number of them, at least 1")

        let program = Environment.GetCommandLineArgs()[0]
        let host = Environment.ProcessPath |> Option.ofObj |> Option.defaultValue "dotnet"
        let start = ProcessStartInfo("mpirun", UseShellExecute = false)

        // The launcher gives each process a terminal, whatever its own output goes to, and .NET would send that its signs.
        if Console.IsOutputRedirected then
            start.Environment["TERM"] <- "dumb"

        for word in [ "-n"; string count; host ] do
            start.ArgumentList.Add word

        // Where the host is `dotnet`, the program is its first word.
        if program.EndsWith(".dll", StringComparison.OrdinalIgnoreCase) then
            start.ArgumentList.Add program

        for word in words do
            start.ArgumentList.Add word

        try
            use job = nonNull (Process.Start start)
            job.WaitForExit()
            job.ExitCode
        with :? ComponentModel.Win32Exception ->
            raise (UserError "there is no mpirun here: install Open MPI or MPICH (on Debian: apt install openmpi-bin)")

    let private launch (arguments: LaunchArgument list) (words: string list) : int =
        let count =
            arguments
            |> List.tryPick (function
                | Processes n -> Some n
                | Json -> None)
            |> Option.defaultValue 2

        match words with
        | [] -> raise (UserError "say what to launch: ./fokker launch -n 2 -- train moons")
        | word :: _ when not (List.contains word shared) ->
            raise (UserError $"{word}: train, sample, evaluate and study are done by several processes together")
        | _ ->
            let isMissing = List.contains Json arguments && not (List.contains "--json" words)
            start count (if isMissing then words @ [ "--json" ] else words)

    /// The command with the option `--ranks N`, which is `launch -n N --` before the same words.
    let withRanks (command: Command) : Command =
        let name = "--ranks"

        let run (terminal: Terminal) (words: string list) : int =
            match List.tryFindIndex ((=) name) words with
            | None -> command.Run terminal words
            | Some at ->
                let before, after = List.splitAt at words

                match after with
                | _ :: number :: rest ->
                    match Int32.TryParse number with
                    | true, count -> start count (command.Name :: before @ rest)
                    | _ -> raise (UserError $"{name} {number}: expected a number of processes")
                | _ -> raise (UserError $"{name}: expected a number of processes")

        { command with
            Usage =
                fun () ->
                    command.Usage()
                    + $"\n    {name} <count>       so many processes together, by the machine's MPI, as fokker launch -n"
            Options = fun () -> name :: command.Options()
            Run = run }

    let command =
        let make words =
            Command.make<LaunchArgument>
                "launch"
                "trains, samples, measures or repeats a study by several processes together, on this machine or, by a hostfile of the MPI, on several"
                [ "./fokker launch -n 2 -- train fashion-mnist", "two processes, each on a half of every batch"
                  "./fokker launch -n 2 -- sample fashion-mnist -n 1000",
                  "two processes, each every other batch of a hundred" ]
                (fun _ arguments -> launch arguments words)

        { make [] with
            Run =
                fun terminal words ->
                    let own = words |> List.takeWhile (fun word -> word <> "--")
                    let rest = words |> List.skip own.Length |> List.truncate words.Length
                    (make (List.skip (min 1 rest.Length) rest)).Run terminal own }
