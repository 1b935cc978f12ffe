/// What the C# façade costs beyond the library's own calls, both in alternation.
module Fokker.Bench.Facade

open System
open System.Diagnostics
open System.Threading.Tasks
open Fokker

let private median (values: float list) =
    let sorted = List.sort values
    sorted[sorted.Length / 2]

let private seconds (work: unit -> unit) =
    let clock = Stopwatch.StartNew()
    work ()
    clock.Elapsed.TotalSeconds

/// An untrained run on data of noise: the façade's model and the library's own of the same folder.
let private pair (options: string -> TrainingOptions) (data: DataSource) (use': FlowModel -> GenerativeModel -> unit) =
    let folder = IO.Directory.CreateTempSubdirectory("fokker-bench-").FullName
    let path = IO.Path.Combine(folder, "run")

    try
        use model = (FlowTrainer(options path)).TrainAsync(data).GetAwaiter().GetResult()
        let own = Runs.load Runs.standardRoot None None path
        use' model own
        Scope.free own
    finally
        IO.Directory.Delete(folder, true)

let private compare' (rounds: int) (calls: int) (model: FlowModel) (own: GenerativeModel) (count: int) (steps: int) =
    let options seed = SampleOptions(Count = count, Steps = steps, Seed = seed)

    let drawing = { Samples.standardFor own with Steps = steps; Batch = count }

    let draw k =
        use x = Samples.draw own drawing (Rng.ofSeed (int64 k) |> Rng.named "sample") count (fun _ _ -> ())
        Tensor.toArray<float> x |> ignore

    let direct () =
        for k in 1..calls do
            draw k

    let one k : Task = model.SampleAsync(options (int64 k))
    let inTurn (call: int -> Task) () : Task =
        task {
            for k in 1..calls do
                do! call k
        }

    let runtime = FokkerRuntime.Default
    // The library's call as anybody has to make it who keeps it on one thread: two threads wake one another for each.
    let handed =
        inTurn (fun k ->
            runtime.RunAsync(
                Func<bool>(fun () ->
                    draw k
                    true)
            ))
    let within () = runtime.RunAsync(Func<Task>(inTurn one))
    let together () = Task.WhenAll [| for k in 1..calls -> one k |]
    let ended (work: unit -> Task) () = work().GetAwaiter().GetResult()

    let ways = direct :: List.map ended [ handed; inTurn one; within; together ]

    for _ in 1..3 do
        for way in ways do
            way ()

    let measured = [ for _ in 1..rounds -> List.map seconds ways ]
    [ for k in 0 .. ways.Length - 1 -> median (List.map (List.item k) measured) / float calls ]

let run (rounds: int) =
    printfn $"one request, {Torch.threads ()} threads, medians of {rounds} rounds"
    printfn
        "| request | the library's call | on a worker, in turn | the façade, in turn | from a worker | many at once |"
    printfn "|---|---|---|---|---|---|"
    let random = Random 0
    let pixels = Array.init (64 * 28 * 28) (fun _ -> byte (random.Next 256))
    let images = DataSource.FromPixels(pixels, [| 64; 28; 28 |], null, "noise")

    let row (request: string) (measured: float list) (said: float -> float -> string) =
        let said = measured |> List.map (said measured.Head) |> String.concat " | "
        printfn $"| {request} | {said} |"

    pair (fun path -> TrainingOptions(Steps = 1L, Folder = path)) images (fun model own ->
        row "64 images 28 × 28, 10 steps of Heun's" (compare' rounds 1 model own 64 10) (fun direct s ->
            sprintf "%.1f ms (%+.2f %%)" (1e3 * s) (100.0 * (s / direct - 1.0))))

    pair
        (fun path -> TrainingOptions(Steps = 1L, Width = 16, Depth = 1, Folder = path))
        DataSources.Moons
        (fun model own ->
            row "one point, one step of Heun's" (compare' rounds 1000 model own 1 1) (fun direct s ->
                sprintf "%.1f µs (%+.1f µs)" (1e6 * s) (1e6 * (s - direct))))

    0
