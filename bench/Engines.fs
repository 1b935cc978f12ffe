/// Both engines beside PyTorch, in one run and in turns, by the time of the processor on one thread: what a machine that others use too can still tell.
module Fokker.Bench.Engines

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

/// A process that works when told to: Worker's, or peer.py's and sampling_peer.py's.
type private Side =
    {
        Label: string
        Command: string
        Arguments: string list
        /// Variables of its own; none where one is to be unset.
        Environment: (string * string option) list
    }

type private Running(side: Side) =
    let child =
        let info =
            ProcessStartInfo(side.Command, side.Arguments, RedirectStandardInput = true, RedirectStandardOutput = true)

        for name, value in side.Environment do
            match value with
            | Some value -> info.Environment[name] <- value
            | None -> info.Environment.Remove name |> ignore

        match Process.Start info with
        | null -> raise (EnvironmentException $"{side.Command} does not start")
        | child -> child

    let read () =
        match child.StandardOutput.ReadLine() with
        | null ->
            raise (
                EnvironmentException
                    $"{side.Label} ended without an answer: {side.Command} {String.Join(' ', side.Arguments)}"
            )
        | line -> line.Split ' '

    let ready = read ()

    /// Seconds of the processor from the start of the process to the end of its first work.
    member _.Started = Double.Parse(ready[4], CultureInfo.InvariantCulture)

    member _.Version = ready[3]

    /// Seconds of the processor for doing it so many times.
    member _.Work(times: int) : float =
        child.StandardInput.WriteLine times
        child.StandardInput.Flush()
        Double.Parse((read ())[1], CultureInfo.InvariantCulture)

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

/// What PyTorch's user can set: memory kept in the process, AVX-512 for libtorch and, which an OpenBLAS that is older than the processor has to be told, for OpenBLAS.
let private best =
    [ "MALLOC_MMAP_THRESHOLD_", Some(string (1 <<< 30))
      "MALLOC_TRIM_THRESHOLD_", Some(string Int32.MaxValue)
      "ATEN_CPU_CAPABILITY", Some "avx512" ]

let private sides (work: string) (name: string) (case: Worker.Case) : Side list =
    let core = "OPENBLAS_CORETYPE"
    let plain = [ core, None; "OMP_NUM_THREADS", Some "1" ]

    let fokker engine label (extra: string list) =
        { Label = label
          Command = Option.ofObj Environment.ProcessPath |> Option.defaultValue "dotnet"
          Arguments = [ "worker"; name; "1"; work ] @ extra
          Environment = plain @ [ "FOKKER_ENGINE", Some engine ] }

    let settings = [ for key, value in case.Network.Settings -> $"{key}={value}" ] @ [ "threads=1" ]

    let torch =
        { Label = "PyTorch at its best settings"
          Command = Python.having "torch" "python3-torch"
          Arguments =
            (match work with
             | "sample" -> [ "sampling_peer.py"; "heun"; "10" ]
             | _ -> [ "peer.py" ])
            @ [ case.Network.Name; string case.Batch ]
            @ settings
          Environment = plain @ best }

    let torch =
        { torch with
            Arguments = Path.Combine(AppContext.BaseDirectory, torch.Arguments.Head) :: torch.Arguments.Tail }

    let under value side =
        let said = value |> Option.map (fun value -> $"{core}={value}") |> Option.defaultValue $"{core} unset"

        { side with
            Label = $"{side.Label}, {said}"
            Environment = (side.Environment |> List.filter (fst >> (<>) core)) @ [ core, value ] }

    let compiled = fokker "compiled" "compiled" []

    [ under (Some "SkylakeX") torch
      under None torch
      under (Some "Haswell") torch
      under None compiled
      under (Some "Haswell") compiled
      fokker "managed" "managed" []
      fokker "managed" "managed, bfloat16" [ "bfloat16" ] ]

let private median (values: float list) =
    let sorted = List.sort values
    sorted[sorted.Length / 2]

/// A table of one work: milliseconds of the processor each time, and the first side's of the same round over them.
let private table (work: string) (rounds: int) (seconds: float) (name: string) =
    let case = (Worker.cases |> List.find (fst >> (=) name) |> snd).Value
    let running = [ for side in sides work name case -> side, new Running(side) ]

    try
        // The just-in-time compiler and the allocators have their fill first.
        let rec warm (r: Running) times =
            let taken = r.Work times
            if taken >= seconds then int (float times * seconds / taken) + 1 else warm r (2 * times)

        let times = [ for _, r in running -> r, warm r 4 ]
        let found = [ for _ in 1..rounds -> [ for r, n in times -> 1000.0 * r.Work n / float n ] ]
        let said = if work = "sample" then "a batch by 10 steps of Heun's" else "a training step"
        printfn $"\n{case.Name}, {said}\n"
        printfn "| | libtorch | ms of the processor | PyTorch's over it | start, s of the processor | peak memory, MB |"
        printfn "|---|---|---|---|---|---|"

        running
        |> List.iteri (fun k (side, r) ->
            let ms = median [ for round in found -> round[k] ]
            let ratio = median [ for round in found -> round[0] / round[k] ]

            printfn $"| {side.Label} | {r.Version} | {ms:F3} | {ratio:F2} | {r.Started:F2} | {r.Peak / 1e6:F0} |")
    finally
        for _, r in running do
            (r :> IDisposable).Dispose()

let run (rounds: int) (seconds: float) =
    let load () = File.ReadAllText("/proc/loadavg").Split(' ')[0]
    printfn
        $"one thread each, in turns, medians of {rounds} rounds; {Environment.ProcessorCount} cores under a load of {load ()}"

    for work, cases in
        [ "train", [ "mlp-256-64"; "mlp-256-256"; "mlp-4096-256"; "unet-64" ]
          "sample", [ "mlp-256-256"; "unet-64" ] ] do
        for case in cases do
            table work rounds seconds case

    printfn $"\na load of {load ()} at the end"
    0
