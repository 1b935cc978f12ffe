/// The runner of the F# tests: `Tests [--full] [--counts=FILE] [--except=NAME] [NAME…] [-- [--filter NAME] Expecto's own options]`. It ends with 0, with 1 where a
/// test failed, with 3 where none has such a name.
module Fokker.Tests.Program

open System
open System.Collections.Concurrent
open System.IO
open Expecto
open Expecto.Impl

/// Prints a line for each test as it ends, and keeps what the end of the run repeats.
type private Record() =
    let passed = ConcurrentQueue<string * TimeSpan>()
    let failed = ConcurrentQueue<string * string>()
    let mutable list = ""

    let seconds (time: TimeSpan) = $"{time.TotalSeconds:F1} s"

    let failures () =
        [ for name, message in failed do
              let first = message.Trim().Split '\n' |> Array.truncate 6 |> String.concat "\n    "
              $"  {name}\n    {first}" ]
        |> String.concat "\n"

    let keepFailure name (message: string) time =
        async {
            failed.Enqueue(name, message)
            stdout.WriteLine $"  FAILED  {name} ({seconds time})\n{message}"
        }

    member _.Printer =
        { TestPrinters.silent with
            beforeEach =
                fun name _ ->
                    async {
                        // A list begins with nothing of the one before it waiting for the collector: some count tensors.
                        let own = String.Join('.', Array.truncate 2 (name.Split '.'))

                        if own <> list then
                            list <- own
                            collect ()
                    }
            passed =
                fun name time ->
                    async {
                        passed.Enqueue(name, time)
                        stdout.WriteLine $"  passed  {name} ({seconds time})"
                    }
            ignored = fun name reason -> async { stdout.WriteLine $"  skipped {name}: {reason}" }
            failed = keepFailure
            exn = fun name error time -> keepFailure name (string error) time }

    /// The slowest tests, then those that failed, then the counts.
    member _.Close() =
        stdout.WriteLine "\nThe slowest:"

        for name, time in passed |> Seq.sortByDescending snd |> Seq.truncate 20 do
            stdout.WriteLine $"  {time.TotalSeconds, 6:F1} s  {name}"

        if not failed.IsEmpty then
            stdout.WriteLine $"\nFailed:\n{failures ()}"

        stdout.WriteLine $"\n{passed.Count} passed, {failed.Count} failed"

    /// The two counts in a file, and what failed in one beside it: for what started this program.
    member _.Save(path: string) =
        File.WriteAllText(path, $"{passed.Count} {failed.Count}\n")

        if not failed.IsEmpty then
            File.WriteAllText(nonNull (Path.ChangeExtension(path, ".failed.txt")), failures ())

    member _.Ran = passed.Count + failed.Count
    member _.Failed = failed.Count

let private run (arguments: string list) =
    let words, options =
        match List.tryFindIndex ((=) "--") arguments with
        | Some at -> List.take at arguments, List.skip (at + 1) arguments
        | None -> arguments, []

    let rec namesIn options =
        match options with
        | "--filter" :: name :: others ->
            let names, others = namesIn others
            name :: names, others
        | option :: others ->
            let names, others = namesIn others
            names, option :: others
        | [] -> [], []

    let filtered, options = namesIn options
    let isFull = List.contains "--full" words
    let counts = words |> List.tryPick (fun word -> if word.StartsWith "--counts=" then Some word[9..] else None)
    let except = words |> List.choose (fun word -> if word.StartsWith "--except=" then Some word[9..] else None)
    let names = filtered @ List.filter (fun (word: string) -> not (word.StartsWith "--")) words

    let asked (name: string list) =
        let named (part: string) = (String.concat "." name).Contains(part, StringComparison.OrdinalIgnoreCase)

        (isFull || not (List.contains fullTier name))
        && (names.IsEmpty || List.exists named names)
        && not (List.exists named except)

    let tests =
        match testFromAssembly (Reflection.Assembly.GetExecutingAssembly()) with
        | Some tests -> Test.filter "." asked tests
        | None -> failwith "There are no tests here."

    if List.exists (fun (option: string) -> option.StartsWith "--list") options then
        runTestsWithCLIArgs [] (Array.ofList options) tests
    else
        let record = Record()

        // Expecto refuses them too, and does not say so to a printer of one's own.
        for name in duplicatedNames ExpectoConfig.defaultConfig.joinWith tests do
            eprintfn $"""Two tests are called: {String.concat "." name}"""

        // One after the other: the engine, its count of tensors, environment variables, limits and the console are the process's.
        let code = runTestsWithCLIArgs [ Sequenced; No_Spinner; Printer record.Printer ] (Array.ofList options) tests
        record.Close()

        // Expecto refuses names that occur twice before it runs anything; then there is nothing to count.
        if code = 0 || record.Failed > 0 then
            Option.iter record.Save counts

        if record.Failed > 0 then 1
        elif record.Ran = 0 && code = 0 then 3
        else code

[<EntryPoint>]
let main arguments =
    match List.ofArray arguments with
    // What a test starts as a process of its own, to kill it.
    | [ "train"; folder; steps ] ->
        Training.RunTests.child folder (int64 steps)
        0
    | arguments -> run arguments
