/// Training by one process and by two in turns, a core each, and what a sum over processes costs. Beside the clock stands the processor's time of the first process, which other work on the machine
/// disturbs less; waiting for another process counts in both.
module Fokker.Bench.Several

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

let private median (values: float seq) =
    let sorted = Seq.sort values |> Array.ofSeq
    sorted[sorted.Length / 2]

/// One process of those that a launcher started: the milliseconds of each of so many steps of a case, those of an average sum of so many numbers; process 0 says them.
let worker (case: string) (steps: int) (sums: int list) : int =
    Torch.setThreads 1
    let mpi = Mpi.Join(TimeSpan.FromMinutes 5.0)
    let ranks = mpi :> IRanks
    let say (word: string) (values: float seq) =
        if ranks.Rank = 0 then
            let cells = values |> Seq.map (fun v -> v.ToString("R", CultureInfo.InvariantCulture))
            Console.Out.WriteLine(String.Join(' ', word :: List.ofSeq cells))

    let make = Worker.trainingTogether ranks case
    // libtorch allocates, and the networks' kernels are chosen.
    make 2 |> ignore

    let processor () = Environment.CpuUsage.TotalTime.TotalMilliseconds

    let times =
        [ for _ in 1..steps ->
              let watch, before = Stopwatch.StartNew(), processor ()
              make 1 |> ignore
              watch.Elapsed.TotalMilliseconds, processor () - before ]

    say "clock" (List.map fst times)
    say "processor" (List.map snd times)

    for count in sums do
        let numbers = Scope.run (fun () -> Tensor.zeros Kind.Float32 [ count ])

        let times =
            [ for _ in 1..9 ->
                  // They begin together.
                  Ranks.sumNumbers ranks [| 0.0 |] |> ignore
                  let watch = Stopwatch.StartNew()
                  Exchange.whereItLies numbers (fun data -> ranks.Sum(data, int64 count, false))
                  watch.Elapsed.TotalMilliseconds ]

        say $"sum {count}" [ median times ]
        numbers.Dispose()

    mpi.Finish()
    0

/// What the workers say, a list for each word.
let private launch (processes: int) (words: string list) : Map<string, float list> =
    let host = Environment.ProcessPath |> Option.ofObj |> Option.defaultValue "dotnet"
    let program = Environment.GetCommandLineArgs()[0]
    let start = ProcessStartInfo("mpirun", RedirectStandardOutput = true)
    // The launcher gives each process a terminal, whatever its own output goes to, and .NET would send that its signs.
    start.Environment["TERM"] <- "dumb"
    // Open MPI refuses root, who may well be the user of a container.
    start.Environment["OMPI_ALLOW_RUN_AS_ROOT"] <- "1"
    start.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] <- "1"

    for word in
        [ "-n"; string processes; "--bind-to"; "core"; host ]
        // An executable of its own, as `dotnet run` starts it, or the runtime with the program's file.
        @ (if IO.Path.GetFileNameWithoutExtension host = "dotnet" then [ program ] else [])
        @ "several-worker" :: words do
        start.ArgumentList.Add word

    use child = nonNull (Process.Start start)
    let said = child.StandardOutput.ReadToEnd()
    child.WaitForExit()

    if child.ExitCode <> 0 then
        raise (EnvironmentException $"mpirun ended with code {child.ExitCode}")

    Map
        [ for line in said.Split('\n', StringSplitOptions.RemoveEmptyEntries) do
              let words = line.Split ' '
              let isNumber (word: string) = fst (Double.TryParse(word, CultureInfo.InvariantCulture))
              let name = if words[0] = "sum" then String.Join(' ', words[0..1]) else words[0]
              let values = words |> Array.skip (name.Split(' ').Length) |> Array.filter isNumber |> Array.map float
              name, List.ofArray values ]

let run (case: string) (rounds: int) (steps: int) : int =
    let size = Network.size (Worker.caseOf case).Network
    let sums = [ 1; 1 <<< 10; 1 <<< 20; int size ]
    let words = case :: string steps :: List.map string sums
    // In turns, so that what else the machine does is with both.
    let turns = [ for _ in 1..rounds -> launch 1 words, launch 2 words ]
    printfn $"{(Worker.caseOf case).Name}, {size} parameters; medians of {steps} steps, milliseconds"
    printfn "| by the | one process | two | ratio, and that of each turn |\n|---|---|---|---|"

    for by in [ "clock"; "processor" ] do
        let both = turns |> List.map (fun (one, two) -> median one[by], median two[by])
        let ratios = both |> List.map (fun (one, two) -> one / two)
        let each = String.Join(' ', ratios |> List.map (fun ratio -> $"%.2f{ratio}"))
        let one, two = median (List.map fst both), median (List.map snd both)
        printfn $"| {by} | %.0f{one} | %.0f{two} | %.2f{median ratios} ({each}) |"

    printfn "\n| numbers in a sum of two processes | milliseconds | GB/s |\n|---|---|---|"

    for count in sums do
        let ms = median (turns |> List.map (fun (_, two) -> two[$"sum {count}"].Head))
        printfn $"| {count} | %.3f{ms} | %.2f{4.0 * float count / 1e6 / ms} |"

    0
