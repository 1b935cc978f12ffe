/// What a sampler costs beyond the calls of its network, and beside the same loop in PyTorch: all three in alternation.
module Fokker.Bench.Sampling

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

let private median (values: float list) =
    let sorted = List.sort values
    sorted[sorted.Length / 2]

let private seconds (work: unit -> unit) =
    // The other side's threads spin for a while after their last work.
    Threading.Thread.Sleep 20
    let clock = Stopwatch.StartNew()
    work ()
    clock.Elapsed.TotalSeconds

/// Case, sampler, steps, and how much the sampler may add to its network's calls.
let private cases =
    [ for case, allowed in [ "mlp-256-64", 0.25; "mlp-256-256", 0.25; "unet-64", 0.03 ] do
          for sampler, steps in [ Samplers.heun, 10; Samplers.dpmPp2m, 20 ] do
              case, sampler, steps, allowed ]

let run (rounds: int) =
    let python = Python.having "torch" "python3-torch"
    let script = Path.Combine(AppContext.BaseDirectory, "sampling_peer.py")
    let threads = Torch.threads ()
    printfn $"sampling one batch, {threads} threads, medians of {rounds} rounds"
    printfn "| network | sampler | NFE | sampler, ms | its calls alone, ms | overhead | PyTorch's loop, ms | ratio |"
    printfn "|---|---|---|---|---|---|---|---|"

    let results =
        [ for name, sampler, steps, allowed in cases ->
              let case = (Worker.cases |> List.find (fun (n, _) -> n = name) |> snd).Value
              let parameters = Network.init Kind.Float32 (Rng.ofSeed 0L) case.Network
              let network = case.Network.Apply parameters
              let model = Model.make Path.condOT Prediction.velocity network
              let plan = Sampling.plan sampler steps model
              let x = Sampling.start plan model.Path case.Shape case.Batch (Rng.ofSeed 1L)
              let single = x.To Dtype.Float32
              let noise = Noise.fresh (Rng.ofSeed 2L)
              let evaluations = Sampling.evaluations plan

              let sampled () =
                  Scope.run0 (fun () ->
                      match Sampling.run plan model None noise x with
                      | Ok found -> (Tensor.mean found).ToFloat() |> ignore
                      | Error failure -> failwith (string failure))

              // As often, at the same times, on the same state.
              let called () =
                  Scope.run0 (fun () ->
                      let field = network None

                      for k in 1..evaluations do
                          Scope.run0 (fun () ->
                              let t = Tensor.scalar Kind.Float64 (float k / float evaluations)
                              let y = field t single

                              if k = evaluations then
                                  (Tensor.mean y).ToFloat() |> ignore))

              let settings = [ for key, value in case.Network.Settings -> $"{key}={value}" ]
              let kind = if name.StartsWith "unet" then "unet" else "mlp"

              use peer =
                  new Peer(
                      python,
                      [ script; sampler.Name; string steps; kind; string case.Batch; $"threads={threads}" ] @ settings
                  )

              for _ in 1..3 do
                  sampled ()
                  called ()

              let measured = [ for _ in 1..rounds -> seconds sampled, seconds called, peer.Seconds() ]
              let ours = median [ for a, _, _ in measured -> a ]
              let calls = median [ for _, b, _ in measured -> b ]
              let theirs = median [ for _, _, c in measured -> c ]
              // Of each round: what slows the machine slows its neighbours.
              let overhead = median [ for a, b, _ in measured -> a / b - 1.0 ]
              let ratio = median [ for a, _, c in measured -> c / a ]
              let ms seconds = (1000.0 * seconds).ToString("F1", CultureInfo.InvariantCulture)

              printfn
                  $"| {case.Name} | {sampler.Name} | {evaluations} | {ms ours} | {ms calls} | {100.0 * overhead:F1} %% | {ms theirs} | {ratio:F2} |"

              overhead <= allowed, ratio >= 1.1 ]

    let said met = if met then "met" else "missed"
    printfn
        $"targets: overhead ≤ 25 %% (MLP) and 3 %% (U-Net) {said (List.forall fst results)}; ≥ 1.1 of PyTorch's loop {said (List.forall snd results)}"
    0
