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
let private pair (options: string -> TrainingOptions) (data: DataSource) (use': FlowModel -> Subject -> unit) =
    let folder = IO.Directory.CreateTempSubdirectory("fokker-bench-").FullName
    let path = IO.Path.Combine(folder, "run")

    try
        use model = (FlowTrainer(options path)).TrainAsync(data).GetAwaiter().GetResult()
        let run = Runs.at path
        let job, state = Runs.load run None None
        use' model (Subject.trained run job state.Average)
        Scope.free state
    finally
        IO.Directory.Delete(folder, true)

let private compare' (rounds: int) (calls: int) (model: FlowModel) (subject: Subject) (count: int) (steps: int) =
    let options seed = SampleOptions(Count = count, Steps = steps, Seed = seed)

    let drawing = { Samples.standardFor subject with Steps = steps; Batch = count }

    let direct () =
        for k in 1..calls do
            use x = Samples.draw subject drawing (Rng.ofSeed (int64 k) |> Rng.named "sample") count (fun _ _ -> ())
            Tensor.toArray<float> x |> ignore

    let facade () =
        (task {
            for k in 1..calls do
                let! _ = model.SampleAsync(options (int64 k))
                ()
        })
            .GetAwaiter()
            .GetResult()

    let together () =
        Task.WhenAll([| for k in 1..calls -> model.SampleAsync(options (int64 k)) |]).GetAwaiter().GetResult()
        |> ignore

    for _ in 1..3 do
        direct ()
        facade ()
        together ()

    let measured = [ for _ in 1..rounds -> seconds direct, seconds facade, seconds together ]
    let each of' = median (List.map of' measured) / float calls
    each (fun (a, _, _) -> a), each (fun (_, b, _) -> b), each (fun (_, _, c) -> c)

let run (rounds: int) =
    printfn $"one request, {Torch.threads ()} threads, medians of {rounds} rounds"
    printfn "| request | the library's call | the façade, one after the other | the façade, many at once |"
    printfn "|---|---|---|---|"
    let random = Random 0
    let pixels = Array.init (64 * 28 * 28) (fun _ -> byte (random.Next 256))
    let images = DataSource.FromPixels(pixels, [| 64; 28; 28 |], null, "noise")

    pair (fun path -> TrainingOptions(Steps = 1L, Folder = path)) images (fun model subject ->
        let a, b, c = compare' rounds 1 model subject 64 10

        printfn
            $"| 64 images 28 × 28, 10 steps of Heun's | {1e3 * a:F1} ms | {1e3 * b:F1} ms ({100.0 * (b / a - 1.0):F2} %%) | {1e3 * c:F1} ms |")

    pair
        (fun path -> TrainingOptions(Steps = 1L, Width = 16, Depth = 1, Folder = path))
        DataSources.Moons
        (fun model subject ->
            let a, b, c = compare' rounds 1000 model subject 1 1

            printfn
                $"| one point, one step of Heun's | {1e6 * a:F1} µs | {1e6 * b:F1} µs (+{1e6 * (b - a):F1} µs) | {1e6 * c:F1} µs (+{1e6 * (c - a):F1} µs) |")

    0
