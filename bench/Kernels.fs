/// The loops over plain memory by vectors of each width, on one thread: processor time of this process, which other work on the machine disturbs
/// less than the clock, in turns; medians.
module Fokker.Bench.Kernels

#nowarn "9" // addresses of plain memory

open System.Diagnostics
open System.Runtime.InteropServices
open Fokker

let private median (values: float[]) = (Array.sort values)[values.Length / 2]

let private vectors = [| 128; 256; 512 |]

/// Milliseconds of the processor for each width.
let private measure (rounds: int) (work: int -> unit) : float[] =
    use self = Process.GetCurrentProcess()

    let processor () =
        self.Refresh()
        self.TotalProcessorTime.TotalMilliseconds

    for vector in vectors do
        work vector

    let times =
        [| for _ in 1..rounds ->
               [| for vector in vectors ->
                      let start = processor ()
                      work vector
                      processor () - start |] |]

    [| for k in 0 .. vectors.Length - 1 -> times |> Array.map (Array.item k) |> median |]

let private line (name: string) (unit: float) (times: float[]) =
    let cells = times |> Array.map (fun t -> $"%.3f{t * unit}") |> String.concat " | "
    printfn $"| {name} | {cells} |"

/// Memory that begins where a cache line does, as libtorch's does; the process keeps it.
let private aligned (bytes: int) : nativeint =
    let memory = NativeMemory.AlignedAlloc(unativeint bytes, 64un)
    NativeMemory.Clear(memory, unativeint bytes)
    NativeInterop.NativePtr.toNativeInt (NativeInterop.NativePtr.ofVoidPtr<byte> memory)

let private draws rounds =
    printfn "| ns a number | 128 bits | 256 | 512 |\n|---|---|---|---|"

    for draw in [ Draw.NormalFloat32; Draw.UniformFloat32; Draw.NormalFloat64; Draw.UniformFloat64 ] do
        for rows, width in [ 4096, 2; 64, 784; 4096, 9 ] do
            let n = rows * width
            let data = aligned (8 * n)
            let times = 1 + 20_000_000 / n

            measure rounds (fun vector ->
                for key in 1..times do
                    Philox.fillBy vector 1 draw (uint64 key) 0L (int64 rows) (int64 width) data)
            |> line $"{draw} [{rows}; {width}]" (1e6 / float (n * times))

let private step: FusedAdam.Step =
    { Keep = 1.0f
      Rate = 1e-3f
      Root = 1.0f
      Beta1 = 0.9f
      Beta2 = 0.999f
      Epsilon = 1e-8f
      Scale = 1.0f
      Average = 0.999f }

let private steps rounds =
    printfn "\n| a step of Adam with its average, ms | 128 bits | 256 | 512 |\n|---|---|---|---|"

    for name, counts in
        [ "133 thousand parameters of an MLP", [| 512; 256; 65536; 256; 65536; 256; 512; 2 |]
          "200 arrays of 8,000", Array.create 200 8000
          "10 million", [| 10_000_000 |] ] do
        let places: FusedAdam.Place[] =
            counts
            |> Array.map (fun n ->
                let at = [| for _ in 1..9 -> aligned (4 * n) |]

                { Count = int64 n
                  P = at[0]
                  G = at[1]
                  M = at[2]
                  V = at[3]
                  E = at[4]
                  P1 = at[5]
                  M1 = at[6]
                  V1 = at[7]
                  E1 = at[8] })

        let times = max 1 (20_000_000 / Array.sum counts)

        measure rounds (fun vector ->
            for _ in 1..times do
                FusedAdam.runBy vector 1 step places |> ignore)
        |> line name (1.0 / float times)

let private assignments rounds =
    printfn "\n| an assignment, ms | 128 bits | 256 | 512 |\n|---|---|---|---|"

    for n in [ 64; 256; 1024 ] do
        let times = max 1 (20_000 / n / n * 10)

        let cost =
            Wasserstein.squaredDistances
                (Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 1L))
                (Rng.normal Kind.Float64 [ n; 2 ] (Rng.ofSeed 2L) + 3.0)

        Exchange.wherePlain [| cost |] (fun at ->
            measure rounds (fun vector ->
                for _ in 1..times do
                    JonkerVolgenant.solveBy vector at[0] n n |> ignore)
            |> line $"{n} points, squared distances" (1.0 / float times))

/// The optimizer's step as training makes it: with the tensors around its loop, and the norm of the gradient.
let private whole rounds =
    printfn $"\n| the optimizer's whole step, {Torch.engine ()} engine | ms |\n|---|---|"
    Torch.setThreads 1

    for n, size in [ 200, 8000; 200, 80; 8, 16000 ] do
        let drawn (from: int64) = Array.init n (fun k -> Rng.normal Kind.Float32 [ size ] (Rng.ofSeed (from + int64 k)))

        let gradients, moments = drawn 1000L, Optimizer.init (drawn 0L)
        let times = 4_000_000 / (n * size + 20_000)

        let taken =
            measure rounds (fun _ ->
                for _ in 1..times do
                    Scope.run0 (fun () ->
                        Optimizer.step Optimizer.adam Average.standard 5L gradients moments |> ignore))

        printfn $"| {n} parameters of {size} numbers | %.3f{median taken / float times} |"

let run (rounds: int) =
    draws rounds
    steps rounds
    whole rounds
    assignments rounds
    0
