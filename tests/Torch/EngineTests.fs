/// What both engines have to do alike, and the managed one above all: every test here runs on whichever engine the process has.
module Fokker.Tests.Torch.EngineTests

open System
open System.Globalization
open System.IO
open System.Threading.Tasks
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support
open Fokker.Tests.Torch.Operators

/// A number as text that reads back as itself.
let private text (x: float) = x.ToString("R", CultureInfo.InvariantCulture)

/// Every operator of the table at a point of its domain: what it gives, its derivative in reverse and forwards.
let private values () : (string * float[]) list =
    [ for operator in all ->
          Scope.run (fun () ->
              let rng = Rng.ofSeed 20L
              let xs = operator.Point rng
              let y = operator.Apply xs
              let weights = Rng.normalLike y (Rng.named "weights" rng)
              let vs = xs |> Array.mapi (fun k x -> Rng.normalLike x (Rng.at (int64 k) rng))
              let gradients = Diff.grads (fun xs -> Tensor.sum (weights * operator.Apply xs)) xs
              let _, tangent = Diff.jvps operator.Apply xs vs

              operator.Name,
              Array.concat [ Tensor.toFloats y; yield! Array.map Tensor.toFloats gradients; Tensor.toFloats tangent ]) ]

/// Mistakes with a number of their own, from several threads at once: the message of each names that number.
let private provoke (threads: int) (each: int) =
    let run (thread: int) =
        Task.Run(fun () ->
            [ for k in 1..each do
                  let n = 100 + thread * each + k

                  match
                      Scope.run (fun () ->
                          try
                              Tensor.zeros Kind.Float32 [ n ] + Tensor.zeros Kind.Float32 [ 7 ] |> ignore
                              None
                          with :? TensorException as e ->
                              Some e.Message)
                  with
                  | Some message when message.Contains $"size of tensor a ({n}) must match" -> ()
                  | wrong -> wrong ])

    let wrong = Task.WhenAll(Array.init threads run).Result |> List.concat
    Expect.isEmpty wrong ""

/// What is alive, and how many native bytes, once nothing waits for the collector.
let private held () =
    collect ()
    struct (Scope.live (), (Torch.memory ()).Live)

/// Nothing of what was done since is left over. On the managed engine .NET's own little is counted, which is no more after more steps.
let private nothingSince (struct (tensors, memory): struct (int64 * int64)) =
    let struct (tensorsNow, memoryNow) = held ()
    Expect.isLessThanOrEqual tensorsNow tensors ""
    Expect.isLessThan (memoryNow - memory) (2L <<< 20) ""

/// So many steps of a training as every run makes them: the loss and its gradient, clipping, Adam, the average.
let private trained (count: int64) =
    let network = Networks.mlp { Mlp.standard 2 with Width = 8; Depth = 1 }
    let loss = Loss.ofRegression (Loss.cfm Path.condOT)
    let rng = Rng.ofSeed 4L

    let batch (n: int64) : Batch =
        { Data = Rng.normal Kind.Float32 [ 16; 2 ] (Rng.at n rng); Label = None; Source = None }

    let observer: Observer = { Stepped = (fun _ _ _ -> ()); Stop = fun () -> false }

    let until (n: int64) state =
        match Trainer.run Trainer.standard network loss batch (Budget.Steps n) 0.0 observer state with
        | state, Ending.Finished -> state
        | _, ending -> failtest $"%A{ending}"

    let warm = until 2000L (Trainer.init Kind.Float32 rng network)
    let before = held ()
    let last = until (2000L + count) warm
    nothingSince before
    Scope.free last

/// Derivatives of derivatives in all orders, as a state that goes round.
let private nested (rng: Rng) (n: int64, ws: Tensor[]) =
    let x = Rng.normal Kind.Float32 [ 4; 3 ] (Rng.at n rng)
    let f (ws: Tensor[]) (x: Tensor) = Tensor.tanh (Nn.linear x ws[0] ws[1])
    // Reverse over reverse, over reverse.
    let slope ws x = Diff.grad (f ws >> Tensor.square >> Tensor.sum) x
    let curved ws x = Diff.grad (slope ws >> Tensor.square >> Tensor.sum) x
    let third = Diff.grads (fun ws -> Tensor.sum (Tensor.square (curved ws x))) ws
    // Reverse over forward, forward over reverse.
    let mixed = Diff.grads (fun ws -> Tensor.sum (Tensor.square (Diff.gradv (f ws) x x))) ws
    let along = Diff.gradv (slope ws) x x
    n + 1L, Array.map3 (fun w a b -> w - 1e-3 * a - 1e-3 * b - 0.0 * Tensor.mean along) ws third mixed

/// Nothing is left over after `count` more of them.
let private flat (count: int) =
    Scope.run0 (fun () ->
        let rng = Rng.ofSeed 3L
        let mutable state = 0L, [| Rng.normal Kind.Float32 [ 3; 3 ] rng; Tensor.zeros Kind.Float32 [ 3 ] |]

        let advance count =
            for _ in 1..count do
                state <- Scope.next (nested rng) state

        advance 200
        let before = held ()
        advance count
        nothingSince before)

[<Tests>]
let tests =
    testList
        "Torch.Engine"
        [
          // The two engines cannot share a process. Each leaves what it found where the other's run of the tests finds it, with the mark of the table and of the
          // library that it was found with; the run that comes second compares.
          testCase "every operator and its derivatives are the same on both engines"
          <| fun () ->
              let folder = Path.Combine(Checkout.root, "artifacts", "engines")
              Directory.CreateDirectory folder |> ignore
              let file engine = Path.Combine(folder, $"{engine}.txt")
              let mine, other = Torch.engine (), (if Torch.engine () = "managed" then "compiled" else "managed")
              let mark = $"{typeof<Tensor>.Assembly.ManifestModule.ModuleVersionId} {List.length all} operators"
              let found = values ()

              for name, numbers in found do
                  Expect.all numbers (Double.IsNaN >> not) name

              let lines =
                  mark
                  :: [ for name, numbers in found ->
                           String.Join(" ", Array.append [| name.Replace(' ', '_') |] (Array.map text numbers)) ]
              let half = file mine + $".{Environment.ProcessId}"
              File.WriteAllLines(half, lines)
              File.Move(half, file mine, true)

              match (if File.Exists(file other) then List.ofArray (File.ReadAllLines(file other)) else []) with
              | theirs :: rest when theirs = mark ->
                  for (name, numbers), line in List.zip found rest do
                      let theirs =
                          line.Split(' ')[1..]
                          |> Array.map (fun word -> Double.Parse(word, CultureInfo.InvariantCulture))
                      let largest = Array.fold (fun m x -> max m (abs x)) 1.0 numbers

                      for ours, theirs in Array.zip numbers theirs do
                          // The same formula in float64 by two libraries' kernels: rounding, grown by at most a condition number of a thousand.
                          Expect.within (1e-12 * largest) ours theirs name
              | _ -> () // this run comes first

          testCase "an error's text reaches the thread that made it, from eight at once"
          <| fun () -> provoke 8 25

          full (
              testCase "two thousand errors from each of eight threads keep their texts"
              <| fun () -> provoke 8 2000
          )

          testCase "what libtorch cannot do ends no process"
          <| fun () ->
              let x = Tensor.zeros Kind.Float32 [ 2; 2 ]
              raises<TensorException> [ "cholesky" ] (fun () -> Linalg.cholesky (x - 1.0) |> ignore)
              raises<TensorException> [ "reshape"; "[2; 2]" ] (fun () -> Tensor.reshape [ 3 ] x |> ignore)
              raises<TensorException> [ "index"; "5" ] (fun () -> Tensor.select 0 5 x |> ignore)
              raises<TensorException> [ "einsum" ] (fun () -> Linalg.einsum "ij,jk" [ x ] |> ignore)
              raises<TensorException> [ "zeros" ] (fun () -> Tensor.zeros Kind.Float32 [ 1 <<< 30; 1 <<< 30 ] |> ignore)
              raises<ArgumentException> [ "threads = 0" ] (fun () -> Torch.setThreads 0)
              equal -1 (Engines.Current.ExitDual 0L)
              equal [ 0.0; 0.0; 0.0; 0.0 ] (Tensor.toFloats (x * 2.0))

          testCase "derivatives of derivatives leave nothing behind" <| fun () -> flat 1000

          full (testCase "a hundred thousand training steps leave nothing behind" <| fun () -> trained 100_000L)

          full (testCase "twenty thousand derivatives of derivatives leave nothing behind" <| fun () -> flat 20000) ]
