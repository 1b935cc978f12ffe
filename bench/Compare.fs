/// Fokker beside PyTorch: the same training step, the same libtorch, the same threads, in one run with alternating repetitions; and Fokker on its
/// other engine, which is another libtorch.
module Fokker.Bench.Compare

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

/// One process that makes training steps when told to.
type private Side = { Label: string; Command: string; Arguments: string list; Environment: (string * string) list }

/// What a block of steps took, and how much processor others had meanwhile, in seconds.
type private Block = { Wall: float; Others: float }

/// Seconds of processor that the whole machine has spent so far on anything. A side's own CPU time would not tell: threads that
/// wait may sleep or spin, and a small step keeps one core busy.
let private busy () =
    let fields =
        File.ReadLines("/proc/stat")
        |> Seq.head
        |> fun line -> line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
    // user nice system idle iowait irq softirq steal, in hundredths
    [ 1; 2; 3; 6; 7; 8 ] |> List.sumBy (fun k -> float fields[k] / 100.0)

type private Running(side: Side) =
    let start =
        let info =
            ProcessStartInfo(
                side.Command,
                side.Arguments,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                UseShellExecute = false
            )

        for name, value in side.Environment do
            info.Environment[name] <- value

        info

    let clock = Stopwatch.StartNew()

    let child =
        match Process.Start start with
        | null -> raise (EnvironmentException $"{side.Command} does not start")
        | p -> p

    let read () =
        match child.StandardOutput.ReadLine() with
        | null ->
            raise (
                EnvironmentException
                    $"{side.Label} ended without an answer: {side.Command} {String.Join(' ', side.Arguments)}"
            )
        | line -> line.Split ' '

    let ready = read ()
    let started = clock.Elapsed.TotalSeconds

    /// Seconds from the start of the process to the end of its first training step.
    member _.Started = started
    member _.Parameters = int64 ready[1]
    member _.Threads = int ready[2]
    member _.Version = ready[3]

    member _.Run(steps: int) : Block =
        let before = busy ()
        child.StandardInput.WriteLine steps
        child.StandardInput.Flush()
        let number (text: string) = Double.Parse(text, CultureInfo.InvariantCulture)
        let answer = read ()
        { Wall = number answer[0]; Others = busy () - before - number answer[1] }

    /// The most memory that the process has held, in bytes.
    member _.Peak =
        File.ReadAllLines $"/proc/{child.Id}/status"
        |> Array.pick (fun line ->
            match line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries) with
            | [| "VmHWM:"; size; "kB" |] -> Some(1024.0 * float size)
            | _ -> None)

    interface IDisposable with
        member _.Dispose() =
            child.StandardInput.Close()
            child.WaitForExit()

let private python = lazy (Python.having "torch" "python3-torch")

let private peer = Path.Combine(AppContext.BaseDirectory, "peer.py")

let private keepMemory =
    [ "MALLOC_MMAP_THRESHOLD_", string (1 <<< 30); "MALLOC_TRIM_THRESHOLD_", string Int32.MaxValue ]

let private sides (name: string) (case: Worker.Case) (threads: int) =
    let fokker =
        { Label = "Fokker"
          Command = Option.ofObj Environment.ProcessPath |> Option.defaultValue "dotnet"
          Arguments = [ "worker"; name; string threads ]
          Environment = [ "FOKKER_ENGINE", "compiled" ] }

    let torch =
        { Label = "PyTorch"
          Command = python.Value
          Arguments =
            [ yield peer
              yield case.Network.Name
              yield string case.Batch
              for key, value in case.Network.Settings -> $"{key}={value}"
              yield $"threads={threads}" ]
          Environment = [] }

    [ fokker
      torch
      { fokker with Label = "Fokker, managed engine"; Environment = [ "FOKKER_ENGINE", "managed" ] }
      { torch with Label = "PyTorch keeping memory"; Environment = keepMemory }
      { torch with
          Label = "PyTorch keeping memory, AVX-512"
          Environment = ("ATEN_CPU_CAPABILITY", "avx512") :: keepMemory } ]

let private quantile q (values: float list) =
    let sorted = List.sort values |> List.toArray
    let at = q * float (sorted.Length - 1)
    let low = int (floor at)
    let high = min (sorted.Length - 1) (low + 1)
    sorted[low] + (at - float low) * (sorted[high] - sorted[low])

let private median values = quantile 0.5 values

let private milliseconds seconds =
    let ms = 1000.0 * seconds
    if ms < 10.0 then $"{ms:F3}"
    elif ms < 100.0 then $"{ms:F2}"
    else $"{ms:F1}"

let private targets = Map [ "mlp-256-64", 1.25; "mlp-256-256", 1.25; "mlp-4096-256", 1.15; "unet-64", 1.05 ]

/// Time and memory of one case: every round makes each side train for about `seconds`, one after the other.
let private steps (threads: int) (rounds: int) (seconds: float) (name: string) (case: Worker.Case) =
    let sides = sides name case threads
    let running = [ for side in sides -> side, new Running(side) ]

    try
        for side, r in running do
            if r.Parameters <> (snd running.Head).Parameters then
                failwith
                    $"{side.Label} has {r.Parameters} parameters where Fokker has {(snd running.Head).Parameters}: not the same network"

            if r.Threads <> threads then
                failwith $"{side.Label} runs on {r.Threads} threads instead of {threads}"

        let version (label: string) = (snd (running |> List.find (fun (s, _) -> s.Label = label))).Version

        printfn
            $"\n{case.Name}: {(snd running.Head).Parameters} parameters, libtorch {version sides[0].Label} and {version sides[1].Label}"

        // The just-in-time compiler needs some hundreds of calls, and the first steps fill the allocators.
        let rec warm steps =
            let wall = (snd running.Head).Run(steps).Wall
            if wall >= 0.5 * seconds then wall / float steps else warm (2 * steps)

        let count = max 1 (int (seconds / warm 8))

        for _, r in running do
            r.Run count |> ignore
            r.Run count |> ignore

        let rec repeat kept discarded =
            if List.length kept = rounds || discarded = 3 * rounds then
                kept, discarded
            else
                let round = [ for side, r in running -> side.Label, r.Run count ]
                let alone = round |> List.forall (fun (_, b) -> b.Others <= 0.1 * b.Wall)
                if alone then repeat (round :: kept) discarded else repeat kept (discarded + 1)

        let kept, discarded = repeat [] 0
        let aside = $"{kept.Length} repetitions of {count} steps, {discarded} discarded"

        if kept.IsEmpty then
            printfn
                $"  nothing to report: in all of {discarded} repetitions other processes had more than a tenth of a core"
            None
        else
            let walls label =
                kept |> List.map (fun round -> (List.find (fst >> (=) label) round |> snd).Wall / float count)
            printfn $"  {aside}"
            printfn "  | | ms a step | quartiles | ratio to Fokker | quartiles | peak memory, MB |"
            printfn "  |---|---|---|---|---|---|"
            let ours = walls "Fokker"

            for side, r in running do
                let theirs = walls side.Label
                let ratios = List.map2 (/) theirs ours

                printfn
                    $"  | {side.Label} | {milliseconds (median theirs)} | {milliseconds (quantile 0.25 theirs)}–{milliseconds (quantile 0.75 theirs)} | {median theirs / median ours:F2} | {quantile 0.25 ratios:F2}–{quantile 0.75 ratios:F2} | {r.Peak / 1e6:F0} |"

            let ratio = median (walls "PyTorch") / median ours
            Some(ratio, targets[name])
    finally
        for _, r in running do
            (r :> IDisposable).Dispose()

/// Seconds from the start of a process to the end of its first training step.
let private startUp (threads: int) (rounds: int) =
    let name, case = Worker.cases.Head
    let sides = sides name case.Value threads |> List.take 3

    let measure side =
        use running = new Running(side)
        running.Started

    // Once each for the disk's cache.
    sides |> List.iter (measure >> ignore)
    let rounds = [ for _ in 1..rounds -> sides |> List.map measure ]
    let ours, theirs, managed =
        rounds |> List.map (List.item 0), rounds |> List.map (List.item 1), rounds |> List.map (List.item 2)

    let ratio = median ours / median theirs

    printfn $"\nFrom the start of the process to the end of its first step ({case.Value.Name}), {rounds.Length} starts"
    printfn
        $"  Fokker {median ours:F2} s, PyTorch {median theirs:F2} s: {ratio:F2} of it; on the managed engine {median managed:F2} s"
    ratio

let run (options: string list) =
    let value name fallback =
        match List.tryFindIndex ((=) name) options with
        | Some k when k + 1 < options.Length -> int options[k + 1]
        | _ -> fallback

    let threads = value "--threads" (Torch.threads ())
    let rounds = value "--rounds" 15
    let milliseconds = value "--milliseconds" 1000

    let chosen =
        match List.tryFindIndex ((=) "--case") options with
        | Some k when k + 1 < options.Length -> Some options[k + 1]
        | _ -> None

    printfn $"{threads} threads; a round is discarded where other processes had more than a tenth of a core"

    let results =
        [ for name, case in Worker.cases do
              if chosen |> Option.forall ((=) name) then
                  name, steps threads rounds (float milliseconds / 1000.0) name case.Value ]

    let started = if Option.isNone chosen || chosen = Some "start" then Some(startUp threads rounds) else None
    printfn "\n| | ratio | target | |"
    printfn "|---|---|---|---|"
    let verdict met = if met then "met" else "missed"

    for name, result in results do
        match result with
        | Some(ratio, target) -> printfn $"| {name} | {ratio:F2} | ≥ {target:F2} | {verdict (ratio >= target)} |"
        | None -> printfn $"| {name} | – | ≥ {targets[name]:F2} | not measured |"

    match started with
    | Some ratio -> printfn $"| start to first step | {ratio:F2} | ≤ 0.50 | {verdict (ratio <= 0.5)} |"
    | None -> ()

    0
