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

    let private launch (terminal: Terminal) (arguments: LaunchArgument list) (words: string list) : int =
        let count =
            arguments
            |> List.tryPick (function
                | Processes n -> Some n
                | Json -> None)
            |> Option.defaultValue 2

        if count < 1 || count > 100_000 then
            raise (UserError $"-n {count}: expected a number of processes, at least 1")

        match words with
        | ("train" | "sample" | "evaluate") :: _ -> ()
        | [] -> raise (UserError "say what to launch: ./fokker launch -n 2 -- train moons")
        | word :: _ -> raise (UserError $"{word}: train, sample and evaluate are done by several processes together")

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

        if List.contains Json arguments && not (List.contains "--json" words) then
            start.ArgumentList.Add "--json"

        try
            use job = nonNull (Process.Start start)
            job.WaitForExit()
            job.ExitCode
        with :? ComponentModel.Win32Exception ->
            raise (UserError "there is no mpirun here: install Open MPI or MPICH (on Debian: apt install openmpi-bin)")

    let command =
        let make words =
            Command.make<LaunchArgument>
                "launch"
                "trains, samples or measures by several processes together, on this machine or, by a hostfile of the MPI, on several"
                [ "./fokker launch -n 2 -- train fashion-mnist", "two processes, each on a half of every batch"
                  "./fokker launch -n 2 -- sample fashion-mnist -n 1000",
                  "two processes, each every other batch of a hundred" ]
                (fun terminal arguments -> launch terminal arguments words)

        { make [] with
            Run =
                fun terminal words ->
                    let own = words |> List.takeWhile (fun word -> word <> "--")
                    let rest = words |> List.skip own.Length |> List.truncate words.Length
                    (make (List.skip (min 1 rest.Length) rest)).Run terminal own }
