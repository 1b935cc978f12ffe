/// One side of a comparison: makes training steps when told to, over standard input and output. peer.py is the other side.
module Fokker.Bench.Worker

open System
open System.Diagnostics
open Fokker

/// What is trained.
type Case = { Name: string; Network: Network; Batch: int; Shape: int list }

let private mlp width batch : Case =
    { Name = "MLP 3→H→H→H→2, H = " + string width + ", batch " + string batch
      Network = Networks.mlp { Mlp.standard 2 with Width = width; Time = TimeFeatures.Plain }
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
             Shape = [ 1; 28; 28 ] })
      for batch in [ 8; 64 ] do
          $"adm-base-{batch}",
          lazy
              ({ Name = $"the U-Net of DDPM for CIFAR-10, {batch} images of 32 × 32"
                 Network =
                   Catalogue.networks.Find
                       "adm-base"
                       { Sample = [ 3; 32; 32 ]
                         Data = "CIFAR-10"
                         Width = 128
                         Depth = 2
                         Times = 1
                         Outputs = 1
                         Classes = None
                         Role = NetworkRole.Field
                         Tokens = None }
                 Batch = batch
                 Shape = [ 3; 32; 32 ] }) ]

/// The case of a name.
let caseOf (name: string) : Case = (cases |> List.find (fun (n, _) -> n = name) |> snd).Value

/// Adam as torch.optim.Adam makes its step. The trainer does more beside it: an average of the parameters, the norm of
/// the gradient, and a look at whether both it and the loss are finite.
let private settings: TrainSettings = { Trainer.standard with Optimizer = Optimizer.adam }

/// Makes as many batches as it is told by ten steps of Heun's: the time of the wall and of the processor, and the mean of the last.
let private sampling (case: Case) (network: Network) : int -> float =
    let network = network.Apply(Network.init Kind.Float32 (Rng.ofSeed 0L) network)
    let model = Model.make Path.condOT Prediction.velocity network
    let plan = Sampling.plan Samplers.heun 10 model
    let x = Sampling.start plan model.Path case.Shape case.Batch (Rng.ofSeed 1L)

    let once () =
        Scope.run (fun () ->
            match Sampling.run plan model None (Noise.fresh (Rng.ofSeed 2L)) x with
            | Ok found -> (Tensor.mean found).ToFloat()
            | Error failure -> failwith (string failure))

    fun times -> Seq.last (seq { for _ in 1..times -> once () })

/// Makes as many training steps as it is told; the last loss.
let private trainingWith (settings: TrainSettings) (case: Case) (network: Network) : int -> float =
    let rng = Rng.ofSeed 0L

    let batch =
        { Data = Rng.normal Kind.Float32 (case.Batch :: case.Shape) (Rng.named "data" rng)
          Label = None
          Source = None }

    let loss = Loss.ofRegression (Loss.cfm Path.condOT)
    let mutable last = nan
    let observer: Observer = { Stepped = (fun _ info _ -> last <- info.Loss); Stop = fun () -> false }
    let mutable state = Trainer.init Kind.Float32 (Rng.named "training" rng) network

    let train (steps: int) =
        let next, _ =
            Trainer.run
                settings
                network
                loss
                (fun _ -> batch)
                (Budget.Steps(state.Step + int64 steps))
                0.0
                observer
                state

        state <- next

    fun steps ->
        train steps
        last

/// The same by several processes, each on its rows of the batch.
let trainingTogether (ranks: IRanks) (name: string) : int -> float =
    let case = caseOf name
    trainingWith { settings with Ranks = ranks } case case.Network

let run (name: string) (threads: int) (work: string) (options: string list) =
    if Torch.threads () <> threads then
        Torch.setThreads threads

    let case = caseOf name

    let network =
        if List.contains "bfloat16" options then
            Network.computedIn Dtype.BFloat16 case.Network
        else
            case.Network

    let settings = { settings with Recompute = List.contains "recompute" options }
    let make = if work = "sample" then sampling case network else trainingWith settings case network
    make 1 |> ignore
    let processor () = Environment.CpuUsage.TotalTime.TotalSeconds
    let say (parts: string list) = Console.Out.WriteLine(String.Join(' ', parts))
    say [ "ready"; string (Network.size network); string (Torch.threads ()); Torch.version (); string (processor ()) ]

    let rec serve () =
        match Console.In.ReadLine() with
        | null -> 0
        | line ->
            let cpu, wall = processor (), Stopwatch.StartNew()
            let last = make (int line)
            let wall = wall.Elapsed.TotalSeconds
            let cpu = processor () - cpu
            say [ string wall; string cpu; string last ]
            serve ()

    serve ()
