/// One side of a comparison: makes training steps when told to, over standard input and output. peer.py is the other side.
module Fokker.Bench.Worker

open System
open System.Diagnostics
open Fokker

/// What is trained.
type Case = { Name: string; Network: Network; Batch: int; Shape: int list }

let private mlp width batch : Case =
    { Name = $"MLP 3→{width}→{width}→{width}→2, batch {batch}"
      Network = Networks.mlp { Dimension = 2; Width = width; Depth = 3; Time = TimeFeatures.Plain; Classes = None }
      Batch = batch
      Shape = [ 2 ] }

let cases: (string * Lazy<Case>) list =
    [ "mlp-256-64", lazy (mlp 64 256)
      "mlp-256-256", lazy (mlp 256 256)
      "mlp-4096-256", lazy (mlp 256 4096)
      "unet-64",
      lazy
          ({ Name = "U-Net, 64 images of 28 × 28"
             Network = Networks.unet (Unet.standard 1)
             Batch = 64
             Shape = [ 1; 28; 28 ] }) ]

type private State = { Parameters: Tensor[]; First: Tensor[]; Second: Tensor[]; Loss: Tensor }

let private adamOp = Op("fokker::adam", "")
let private number (x: float) : Arg = { Tag = 3; Bits = BitConverter.DoubleToInt64Bits x; Ref = null }

/// The step of Adam alone, as torch.optim.Adam makes it: no decay, no clipping, no average of the parameters.
let private adam (step: int64) (state: State) (gradients: Tensor[]) loss : State =
    let n = gradients.Length

    let results =
        Door.many
            adamOp
            [| Arg.tensors state.Parameters
               Arg.tensors gradients
               Arg.tensors state.First
               Arg.tensors state.Second
               Arg.tensors [||]
               { Tag = 2; Bits = step; Ref = null }
               number 1e-3
               number 0.9
               number 0.999
               number 1e-8
               number 0.0
               number 0.0
               number 0.0 |]

    { Parameters = results[.. n - 1]
      First = results[n .. 2 * n - 1]
      Second = results[2 * n .. 3 * n - 1]
      Loss = loss }

let run (name: string) (threads: int) =
    if Torch.threads () <> threads then
        Torch.setThreads threads

    let case = (cases |> List.find (fun (n, _) -> n = name) |> snd).Value
    let network = case.Network
    let rng = Rng.ofSeed 0L
    let data = Rng.normal Kind.Float32 (case.Batch :: case.Shape) (Rng.named "data" rng)
    let loss = Loss.ofRegression (Loss.cfm Path.condOT)
    let noise = Rng.named "training" rng
    let parameters = Network.init Kind.Float32 (Rng.named "parameters" rng) network

    let start =
        { Parameters = parameters
          First = Array.map Tensor.zerosLike parameters
          Second = Array.map Tensor.zerosLike parameters
          Loss = Tensor.scalar Kind.Float32 0.0 }

    let step (number: int64) (state: State) : State =
        let value, gradients, () =
            Diff.valueAndGrads
                (fun p ->
                    let context = { Network = network.Apply p; Step = number }
                    Tensor.mean (loss context (Rng.at number noise) { Data = data; Label = None }), ())
                state.Parameters

        adam (number + 1L) state gradients value

    let mutable number = 0L
    let mutable state = start

    let advance () =
        state <- Scope.next (step number) state
        number <- number + 1L

    advance ()
    let processor () = Environment.CpuUsage.TotalTime.TotalSeconds
    let say (parts: string list) = Console.Out.WriteLine(String.Join(' ', parts))
    say [ "ready"; string (Network.size network); string (Torch.threads ()); Torch.version (); string (processor ()) ]

    let rec serve () =
        match Console.In.ReadLine() with
        | null -> 0
        | line ->
            let cpu, wall = processor (), Stopwatch.StartNew()

            for _ in 1 .. int line do
                advance ()

            let wall = wall.Elapsed.TotalSeconds
            let cpu = processor () - cpu
            say [ string wall; string cpu; string (state.Loss.ToFloat()) ]
            serve ()

    serve ()
