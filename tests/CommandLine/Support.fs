module Fokker.Tests.CommandLine.Support

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker.Tests
open Fokker.Tool

/// Equal element by element.
let equal (expected: 'T) (actual: 'T) = Expect.same (box actual) (box expected) ""

/// What a command line came to.
type Outcome = { Code: int; Out: string; Error: string }

/// What `run` comes to, its streams caught.
let caught (run: Terminal -> int) : Outcome =
    use out = new StringWriter()
    use error = new StringWriter()

    let terminal: Terminal =
        { Out = TextWriter.Synchronized out
          Error = TextWriter.Synchronized error
          IsScreen = false
          Own = Fokker.OwnParts.none
          Json = false
          Quiet = false
          Stop = fun () -> false }

    let code = run terminal
    { Code = code; Out = out.ToString(); Error = error.ToString() }

/// Runs the program in this process.
let fokker (words: string list) : Outcome = caught (fun terminal -> Program.run terminal words)

/// A folder for one test, gone when the test is over.
type Folder() =
    let path = Directory.CreateTempSubdirectory("fokker-cli-").FullName
    member _.Path = path
    member _.File(name: string) = Path.Combine(path, name)

    /// Everything in it, with its bytes' hash, to see that nothing was touched.
    member _.Contents =
        Directory.GetFiles(path, "*", SearchOption.AllDirectories)
        |> Array.sort
        |> Array.map (fun file ->
            Path.GetRelativePath(path, file),
            Convert.ToHexString(Security.Cryptography.SHA256.HashData(File.ReadAllBytes file)))

    interface IDisposable with
        member _.Dispose() = Directory.Delete(path, true)

/// One line on the error stream that holds each of the words, exit code 2, nothing on standard output.
let assertRefused (outcome: Outcome) (words: string list) =
    Expect.equal outcome.Code Exit.BadInput outcome.Error
    let lines = outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)
    let lines = lines |> Array.filter (fun line -> not (line.StartsWith "warning:"))
    Expect.equal lines.Length 1 outcome.Error

    for word in words do
        Expect.stringContains (lines[0]) word ""

/// The one JSON object on standard output.
let json (outcome: Outcome) : JsonObject =
    match JsonNode.Parse outcome.Out with
    | :? JsonObject as json -> json
    | _ -> failwith $"not a JSON object: {outcome.Out}"

/// The options that make a run small enough to be trained in a test.
let small = [ "--steps"; "20"; "--batch"; "32"; "--width"; "16"; "--depth"; "1"; "--draws"; "2"; "--quiet" ]

/// Sends a process a signal of this name, by what every sh can do: a program for it is not on every machine.
let kill (signal: string) (child: Diagnostics.Process) =
    use sent = Diagnostics.Process.Start("sh", [ "-c"; $"kill -{signal} {child.Id}" ])
    sent.WaitForExit()
