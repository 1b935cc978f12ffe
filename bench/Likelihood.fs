/// The exact log-likelihood of a flow beside PyTorch's per-dimension autograd loop: the same network, the same steps, in alternation.
module Fokker.Bench.Likelihood

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Fokker

let private median (values: float list) =
    let sorted = List.sort values
    sorted[sorted.Length / 2]

let private steps = 10

/// d, width, batch.
let private cases = [ 2, 64, 256; 2, 256, 256; 16, 64, 256; 16, 256, 256 ]

let run (rounds: int) =
    let python = Python.having "torch" "python3-torch"
    let script = Path.Combine(AppContext.BaseDirectory, "likelihood_peer.py")
    let threads = Torch.threads ()
    printfn
        $"exact log-likelihood, RK4 in {steps} steps ({4 * steps} evaluations), MLP of 3 layers, {threads} threads, {rounds} rounds"
    printfn
        "| d | width | batch | Fokker, ms | loop with create_graph, ms | ratio | loop with retain_graph, ms | ratio |"
    printfn "|---|---|---|---|---|---|---|---|"

    let ratios =
        [ for d, width, batch in cases ->
              let settings = { Mlp.standard d with Width = width; Time = TimeFeatures.Plain }
              let network = Networks.mlp settings
              let parameters = Network.init Kind.Float32 (Rng.ofSeed 0L) network
              let x = Rng.normal Kind.Float64 [ batch; d ] (Rng.ofSeed 1L)
              let times = Array.init (steps + 1) (fun k -> float k / float steps)
              let field t (x: Tensor) = (network.Apply parameters None t (x.To Dtype.Float32)).To Dtype.Float64

              let ours () =
                  let clock = Stopwatch.StartNew()

                  Scope.run0 (fun () ->
                      match Likelihood.carry Trace.exact Tableau.rk4 { Velocity = field } (Rng.ofSeed 0L) times x with
                      | Ok(struct (z, divergence)) ->
                          (Tensor.mean (Likelihood.gaussian 1.0 z + divergence)).ToFloat() |> ignore
                      | Error failure -> failwith (string failure))

                  clock.Elapsed.TotalSeconds

              let arguments mode =
                  [ script
                    string d
                    string width
                    string settings.Depth
                    string batch
                    string steps
                    string threads
                    mode ]

              use create = new Peer(python, arguments "create")
              use retain = new Peer(python, arguments "retain")

              // The just-in-time compiler and the allocators.
              for _ in 1..3 do
                  ours () |> ignore

              let measured = [ for _ in 1..rounds -> ours (), create.Seconds(), retain.Seconds() ]
              let a = median [ for a, _, _ in measured -> a ]
              let b = median [ for _, b, _ in measured -> b ]
              let c = median [ for _, _, c in measured -> c ]
              let ms seconds = (1000.0 * seconds).ToString("F1", CultureInfo.InvariantCulture)
              printfn $"| {d} | {width} | {batch} | {ms a} | {ms b} | {b / a:F2} | {ms c} | {c / a:F2} |"
              b / a ]

    let met = ratios |> List.forall (fun r -> r >= 1.5)
    printfn $"""target ≥ 1.5 of the usual loop: {if met then "met" else "missed"}"""
    0
