/// The Python that peers run in: FOKKER_PYTHON, else Debian's.
module Fokker.Bench.Python

open System
open System.Diagnostics
open Fokker

/// The command of a Python that can import `library`. Raises EnvironmentException, naming Debian's package, where there is none.
let having (library: string) (package: string) : string =
    let command =
        match Environment.GetEnvironmentVariable "FOKKER_PYTHON" with
        | null
        | "" -> "/usr/bin/python3"
        | path -> path

    let found =
        try
            use probe =
                Process.Start(ProcessStartInfo(command, [ "-c"; $"import {library}" ], RedirectStandardError = true))

            match probe with
            | null -> false
            | probe ->
                probe.WaitForExit()
                probe.ExitCode = 0
        with :? ComponentModel.Win32Exception ->
            false

    if not found then
        raise (
            EnvironmentException
                $"{command} has no {library} to compare with: apt-get install {package}, or set FOKKER_PYTHON"
        )

    command
