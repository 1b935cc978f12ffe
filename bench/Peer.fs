namespace Fokker.Bench

open System
open System.Diagnostics
open System.Globalization
open Fokker

/// The other side of a comparison: a program that says `ready VERSION`, and then for every line that it reads does its work once more and says how many
/// seconds that took.
type Peer(command: string, arguments: string list) =
    let child =
        match
            Process.Start(
                ProcessStartInfo(
                    command,
                    arguments,
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true,
                    UseShellExecute = false
                )
            )
        with
        | null -> raise (EnvironmentException $"{command} does not start")
        | p -> p

    let read () =
        match child.StandardOutput.ReadLine() with
        | null ->
            raise (EnvironmentException $"the peer ended without an answer: {command} {String.Join(' ', arguments)}")
        | line -> line.Split ' '

    let version = (read ())[1]
    member _.Version = version

    /// Seconds of the work, done once.
    member _.Seconds() =
        child.StandardInput.WriteLine "go"
        child.StandardInput.Flush()
        Double.Parse((read ())[0], CultureInfo.InvariantCulture)

    interface IDisposable with
        member _.Dispose() =
            child.StandardInput.Close()
            child.WaitForExit()
