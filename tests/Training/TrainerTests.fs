module Fokker.Tests.Training.TrainerTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private key = Rng.ofSeed 5L

let private bytes (state: TrainState) =
    Scope.run (fun () ->
        [ for tensors in [ state.Parameters; state.Average; state.FirstMoment; state.SecondMoment ] do
              for t in tensors -> Convert.ToHexString(Exchange.toBytes t) ])

let private batch (n: int) : Batch = { Data = Rng.normal Kind.Float64 [ n; 3 ] key; Label = None; Source = None }

/// ‖f(0, x) − target‖² for every sample.
let private towards (target: Batch -> Tensor) : Loss =
    fun context _ batch ->
        let y = context.Network None (Tensor.scalar Kind.Float64 0.0) batch.Data
        Tensor.sumRows (Tensor.square (y - target batch))

let private fast = { Trainer.standard with Optimizer = { Optimizer.adam with Rate = Schedule.Constant 0.05 } }

let private ok (result: Result<TrainState * StepInfo, Divergence>) =
    match result with
    | Ok(state, info) -> state, info
    | Error d ->
        failtest d.Message
        failwith "unreachable"

let private silent: Observer =
    { Stepped = fun _ _ _ -> ()
      Stop = fun () -> false }

/// Bytes of this process in physical memory.
let private resident () =
    GC.Collect()
    GC.WaitForPendingFinalizers()
    GC.Collect()
    let pages = File.ReadAllText("/proc/self/statm").Split(' ')[1]
    int64 pages * int64 Environment.SystemPageSize

let private holdsMemoryFlat (width: int) (batch: int) (steps: int64) =
    // What earlier tests left to the collector is not to be freed meanwhile.
    resident () |> ignore
    let before = Scope.live ()
    let network = Networks.mlp { Mlp.standard 2 with Width = width }
    let made = Scope.live () - before
    let batches = Dataset.batches Kind.Float32 batch key (Dataset.ofLaw Plane.checkerboard)

    let train steps observer =
        Trainer.run
            Trainer.standard
            network
            flowMatching
            batches
            (Budget.Steps steps)
            0.0
            observer
            (Trainer.init Kind.Float32 key network)

    // .NET compiles what runs often a second time, and that code stays: it is there before anything is measured.
    train 1_500L silent |> fst |> Scope.free
    let mutable atThousand = 0L
    let mutable inUse = 0L

    let observer =
        { silent with
            Stepped =
                fun _ info _ ->
                    if info.Step = 1_000L then
                        atThousand <- resident ()
                        inUse <- Scope.live () }

    let state, _ = train steps observer
    // The state before the last one went with the run's end; a state is four tensors for each parameter.
    Expect.equal (Scope.live ()) (inUse - int64 (4 * network.Specs.Length)) ""
    let growth = float (resident ()) / float atThousand
    Scope.free state
    Expect.equal (Scope.live ()) (before + made) ""
    Expect.isLessThan growth 1.05 ""
    GC.KeepAlive network.Apply

[<Tests>]
let tests =
    testList
        "Training.Trainer"
        [ testCase "a step is pure: the same bytes twice, and the old state as it was"
          <| fun () ->
              let state = Trainer.init Kind.Float32 key small
              let batch = Dataset.batches Kind.Float32 16 key (Dataset.ofLaw Plane.moons) 0L
              let before = bytes state
              let a, infoA = ok (Trainer.step Trainer.standard small flowMatching batch state)
              let b, infoB = ok (Trainer.step Trainer.standard small flowMatching batch state)
              Expect.same (bytes a) (bytes b) ""
              Expect.equal infoA infoB ""
              Expect.same (bytes state) before ""
              Expect.notEqual (bytes a) before ""
              Expect.equal a.Step 1L ""
              Expect.equal infoA.Step 1L ""

          testCase "the first values depend on the key alone"
          <| fun () ->
              let a, b = Trainer.init Kind.Float32 key small, Trainer.init Kind.Float32 key small
              Expect.same (bytes a) (bytes b) ""
              Expect.notEqual (bytes (Trainer.init Kind.Float32 (Rng.ofSeed 6L) small)) (bytes a) ""
              Expect.same (a.Average |> Array.map Tensor.toFloats) (a.Parameters |> Array.map Tensor.toFloats) ""

          testCase "a step reports the loss before it and the norm of the gradient"
          <| fun () ->
              let network = shift 3
              let state = Trainer.init Kind.Float64 key network
              let batch = batch 10
              // ‖x + w − (x + 1)‖² = ‖w − 1‖² for every x: its gradient is 2 (w − 1).
              let loss = towards (fun batch -> batch.Data + 1.0)
              let _, info = ok (Trainer.step fast network loss batch state)
              let away = Tensor.toFloats (state.Parameters[0] - 1.0) |> Array.sumBy (fun d -> d * d)
              Expect.within (1e-14 * (1.0 + away)) info.Loss away ""
              Expect.within 1e-13 info.GradientNorm (2.0 * sqrt away) ""
              Expect.equal info.Rate 0.05 ""

          testCase "training finds the minimum of a convex loss, and the average follows"
          <| fun () ->
              let network = shift 3
              let loss = towards (fun batch -> batch.Data + 3.0)
              let one = batch 4

              let state, ending =
                  Trainer.run
                      { fast with Average = Average.constant 0.9 }
                      network
                      loss
                      (fun _ -> { one with Data = Tensor.clone one.Data })
                      (Budget.Steps 800L)
                      0.0
                      silent
                      (Trainer.init Kind.Float64 key network)

              Expect.equal ending Ending.Finished ""
              // Adam's step shrinks with the ratio m/√v, which falls by β₁/√β₂ = 0.9 a step once the target is passed: far below 1e-3 after 800 steps.
              close 1e-3 [| 3.0; 3.0; 3.0 |] (Tensor.toFloats state.Parameters[0])
              close 1e-3 [| 3.0; 3.0; 3.0 |] (Tensor.toFloats state.Average[0])

          testCase "a loss that is not a number ends the run, and the last good state is kept"
          <| fun () ->
              let network = shift 3
              let one = batch 4

              for poison, what in [ nan, "loss is NaN"; infinity, "loss is " ] do
                  let loss: Loss =
                      fun context rng batch ->
                          let each = towards (fun batch -> batch.Data) context rng batch
                          if context.Step = 5L then each * poison else each

                  let before = Scope.live ()
                  let reference, _ =
                      Trainer.run
                          fast
                          network
                          loss
                          (fun _ -> one)
                          (Budget.Steps 5L)
                          0.0
                          silent
                          (Trainer.init Kind.Float64 key network)
                  let state, ending =
                      Trainer.run
                          fast
                          network
                          loss
                          (fun _ -> one)
                          (Budget.Steps 50L)
                          0.0
                          silent
                          (Trainer.init Kind.Float64 key network)

                  match ending with
                  | Ending.Diverged d ->
                      Expect.equal d.Step 6L ""
                      d.Message |> names [ "step 6"; what; "learning rate" ]
                      Expect.stringLacks d.Message "\n" ""
                  | other -> failtest $"{other}"

                  Expect.equal state.Step 5L ""
                  Expect.same (bytes state) (bytes reference) ""
                  Scope.free state
                  Scope.free reference
                  Expect.equal (Scope.live ()) before ""

          testCase "a gradient that is not finite ends the run although the loss is"
          <| fun () ->
              let network =
                  { shift 3 with
                      Specs = [| { Name = "w"; Shape = [ 3 ]; Initializer = Initializer.Zeros } |]
                      Apply = fun p _ _ x -> 0.0 * x + Tensor.sqrt (Tensor.abs p[0]) }

              let state = Trainer.init Kind.Float64 key network
              // d√|w|/dw is infinite at 0.
              let loss: Loss =
                  fun context _ batch ->
                      Tensor.sumRows (context.Network None (Tensor.scalar Kind.Float64 0.0) batch.Data)

              match Trainer.step fast network loss (batch 4) state with
              | Error d -> d.Message |> names [ "gradient is not finite"; "step 1" ]
              | Ok _ -> failtest "the step was made"

          testCase "the loss draws from the run's key and the step's number, and from nothing else"
          <| fun () ->
              let network = shift 3
              let mutable seen = []

              let loss: Loss =
                  fun context rng batch ->
                      seen <- (context.Step, Rng.text rng) :: seen
                      towards (fun batch -> batch.Data) context rng batch

              let go key =
                  seen <- []
                  Trainer.run
                      fast
                      network
                      loss
                      (fun _ -> batch 2)
                      (Budget.Steps 5L)
                      0.0
                      silent
                      (Trainer.init Kind.Float64 key network)
                  |> ignore
                  List.rev seen

              let first = go key
              Expect.same (first |> List.map fst) [ 0L .. 4L ] ""
              Expect.unique (first |> List.map snd) ""
              Expect.same (go key) first ""
              Expect.isEmpty
                  (go (Rng.ofSeed 99L) |> List.map snd |> List.filter (fun k -> List.contains k (List.map snd first)))
                  ""

          testCase "a loss that does not give one value a sample is refused"
          <| fun () ->
              let network = shift 3
              let state = Trainer.init Kind.Float64 key network
              let loss: Loss = fun context _ batch -> context.Network None (Tensor.scalar Kind.Float64 0.0) batch.Data

              let message =
                  try
                      Trainer.step fast network loss (batch 4) state |> ignore
                      ""
                  with :? ArgumentException as e ->
                      e.Message

              Expect.stringContains message "[4; 3]" ""

          testCase "a run stops when asked, and goes on as if it had not"
          <| fun () ->
              let batches = Dataset.batches Kind.Float32 16 key (Dataset.ofLaw Plane.moons)
              let go budget observer state =
                  Trainer.run Trainer.standard small flowMatching batches budget 0.0 observer state
              let whole, _ = go (Budget.Steps 60L) silent (Trainer.init Kind.Float32 key small)

              for stopAt in [ 0L; 1L; 23L; 59L ] do
                  let mutable step = 0L

                  let observer =
                      { Stepped =
                          fun state info _ ->
                              // The state that the step began from: its loss is known.
                              Expect.equal state.Step (info.Step - 1L) ""
                              step <- info.Step
                        Stop = fun () -> step >= stopAt }

                  let half, ending = go (Budget.Steps 60L) observer (Trainer.init Kind.Float32 key small)
                  Expect.equal ending Ending.Interrupted ""
                  Expect.equal half.Step stopAt ""
                  let rest, ending = go (Budget.Steps 60L) silent half
                  Expect.equal ending Ending.Finished ""
                  Expect.same (bytes rest) (bytes whole) ""

          testCase "a budget of minutes counts the time before a resumption"
          <| fun () ->
              let batches = Dataset.batches Kind.Float32 16 key (Dataset.ofLaw Plane.moons)
              let state, ending =
                  Trainer.run
                      Trainer.standard
                      small
                      flowMatching
                      batches
                      (Budget.Minutes 1.0)
                      60.0
                      silent
                      (Trainer.init Kind.Float32 key small)
              Expect.equal ending Ending.Finished ""
              Expect.equal state.Step 0L ""
              let state, _ =
                  Trainer.run Trainer.standard small flowMatching batches (Budget.Minutes 1.0) 59.9 silent state
              Expect.isGreaterThan state.Step 0L ""

          testCase "3,000 steps leave no tensor behind, and memory as it was after 1,000"
          <| fun () ->
              // Small enough for one thread: two that share their cores with other work wait for each other.
              holdsMemoryFlat 32 32 3_000L

          full (
              testCase "20,000 steps leave no tensor behind, and memory as it was after 1,000"
              <| fun () -> holdsMemoryFlat 64 64 20_000L
          ) ]
    |> collected
