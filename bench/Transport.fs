/// The couplings of a batch: exact assignment beside scipy's on the same matrices, and what pairing costs a training step.
module Fokker.Bench.Transport

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

let private median (values: float[]) =
    let sorted = Array.sort values
    sorted[sorted.Length / 2]

/// A Python process that solves the matrix of each file it is told and answers in milliseconds.
type private Peer() =
    let child =
        let script = Path.Combine(AppContext.BaseDirectory, "assignment_peer.py")
        let info =
            ProcessStartInfo(
                Python.having "scipy" "python3-scipy",
                [ script ],
                RedirectStandardInput = true,
                RedirectStandardOutput = true
            )

        match Process.Start info with
        | null -> raise (EnvironmentException "python3 does not start")
        | child -> child

    /// Milliseconds and the cost of the matching.
    member _.Solve(file: string) : float * float =
        child.StandardInput.WriteLine file
        child.StandardInput.Flush()

        match child.StandardOutput.ReadLine() with
        | null -> raise (EnvironmentException "scipy ended without an answer")
        | line ->
            let words = line.Split ' '
            let number (text: string) = Double.Parse(text, CultureInfo.InvariantCulture)
            number words[0], number words[1]

    interface IDisposable with
        member _.Dispose() =
            child.StandardInput.Close()
            child.WaitForExit()

/// Matrices as training meets them (‖x₀ − x₁‖² of two moons and noise) and as nobody does (independent uniform entries).
let private matrices (n: int) (k: int) =
    let rng = Rng.ofSeed 0L |> Rng.at (int64 k)
    let moons = Dataset.sample Kind.Float64 n (Rng.named "moons" rng) (Dataset.ofLaw Plane.moons)

    [ "moons and noise", Wasserstein.squaredDistances moons (Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "noise" rng))
      "uniform", Rng.uniform Kind.Float64 [ n; n ] (Rng.named "uniform" rng) ]

let private assignments (rounds: int) =
    use peer = new Peer()
    let file = Path.GetTempFileName() + ".npy"
    printfn "Exact assignment, medians of %d matrices each, alternating\n" rounds
    printfn "| matrix | n | Fokker, ms | scipy, ms | ratio |"
    printfn "|---|---|---|---|---|"

    for n in [ 256; 1024 ] do
        for which in 0..1 do
            let times =
                [| for k in 0 .. rounds - 1 ->
                       Scope.run (fun () ->
                           let _, cost = (matrices n k)[which]
                           Npy.write file cost
                           let clock = Stopwatch.StartNew()
                           let own = Assignment.solve cost
                           let milliseconds = clock.Elapsed.TotalMilliseconds
                           let theirs, total = peer.Solve file

                           if abs (own.Cost - total) > 1e-9 * (1.0 + abs total) then
                               failwith $"two costs of one matrix: {own.Cost} and {total}"

                           milliseconds, theirs) |]

            let own, theirs = median (Array.map fst times), median (Array.map snd times)
            let ratio = median (times |> Array.map (fun (own, theirs) -> theirs / own))
            let name, _ = (matrices n 0).[which]
            printfn "| %s | %d | %.2f | %.2f | %.2f |" name n own theirs ratio

    File.Delete file

/// Steps of the MLP of the demo with independent pairs, with pairs made ahead, and with pairs made in the step.
let private steps (rounds: int) (batch: int) =
    let data = Dataset.ofLaw Plane.moons
    let network = Networks.mlp (Mlp.standard 2)
    let key = Rng.ofSeed 1L
    let m = Matching.optimal Path.condOT
    let draw = Dataset.batches Kind.Float32 batch (Rng.named "batches" key) data
    let pair step = Matching.pair m (Rng.at step (Rng.named "pairs" key)) (draw step)

    let ahead (run: (int64 -> Batch) -> float) =
        use prefetch = new Prefetch(pair)
        run prefetch.Get

    let ways =
        [ "independent", (fun run -> run draw), Loss.ofRegression (Loss.cfm Path.condOT)
          "optimal, made ahead", ahead, Matching.loss m
          "optimal, made in the step", (fun run -> run pair), Matching.loss m ]

    let block (loss: Loss) (batches: int64 -> Batch) : float =
        let count = 200L
        let state = Trainer.init Kind.Float32 key network
        let clock = Stopwatch.StartNew()

        let state, _ =
            Trainer.run
                Trainer.standard
                network
                loss
                batches
                (Budget.Steps count)
                0.0
                { Stepped = (fun _ _ _ -> ()); Stop = fun () -> false }
                state

        Scope.free state
        clock.Elapsed.TotalMilliseconds / float count

    for _, way, loss in ways do
        way (block loss) |> ignore

    let times = [| for _ in 1..rounds -> [| for _, way, loss in ways -> way (block loss) |] |]

    for k, (name, _, _) in List.indexed ways do
        let own = median (times |> Array.map (fun row -> row[k]))
        let ratio = median (times |> Array.map (fun row -> row[k] / row[0]))
        printfn "| %d | %s | %.3f | %.2f |" batch name own ratio

let run (rounds: int) =
    assignments rounds
    printfn
        "\nA training step of the MLP (3 × 256), %d threads, medians of %d blocks of 200 steps\n"
        (Torch.threads ())
        rounds
    printfn "| batch | pairs | ms a step | beside independent |"
    printfn "|---|---|---|---|"

    for batch in [ 256; 512 ] do
        steps rounds batch

    0
