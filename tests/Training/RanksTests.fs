/// Several processes that train one model: each computes on its rows of every batch, with the draws that one process would make for them.
module Fokker.Tests.Training.RanksTests

#nowarn "9" // the processes' numbers are where they lie

open System
open System.Threading
open Expecto
open Fokker
open Fokker.Tests
open Microsoft.FSharp.NativeInterop

/// Processes played by threads: sums are in the order of the ranks.
let threads (count: int) : IRanks list =
    let barrier = new Barrier(count)
    let places = Array.zeroCreate<nativeint> count

    [ for rank in 0 .. count - 1 ->
          { new IRanks with
              member _.Rank = rank
              member _.Count = count
              member _.SumsBeside = true

              member _.Sum(data, n, isDouble) =
                  places[rank] <- data
                  barrier.SignalAndWait()

                  if rank = 0 then
                      for k in 0 .. int n - 1 do
                          if isDouble then
                              let at place = NativePtr.add (NativePtr.ofNativeInt<float> place) k
                              let total = places |> Array.sumBy (at >> NativePtr.read)
                              places |> Array.iter (fun place -> NativePtr.write (at place) total)
                          else
                              let at place = NativePtr.add (NativePtr.ofNativeInt<float32> place) k
                              let total = places |> Array.sumBy (at >> NativePtr.read)
                              places |> Array.iter (fun place -> NativePtr.write (at place) total)

                  barrier.SignalAndWait()

              member _.Broadcast(from, data, bytes) =
                  places[rank] <- data
                  barrier.SignalAndWait()

                  if rank <> from then
                      Buffer.MemoryCopy(places[from].ToPointer(), data.ToPointer(), bytes, bytes)

                  barrier.SignalAndWait()

              member _.Abort reason = failwith reason } ]

/// The losses of so many steps on moons, each batch's gradient computed in so many parts, and the parameters at the end.
let private ofWidth (width: int) (parts: int) (ranks: IRanks) (batch: int) (steps: int64) (loss: string) =
    let data = Datasets.load "moons"
    let recipe =
        { TrainingRequest.recipe data { TrainingRequest.standard with Loss = Some loss } with
            Width = width
            Steps = steps
            Batch = batch
            Accumulate = parts
            Dtype = "float64" }
    let job = Runs.job recipe data
    let plan = Job.plan { job with Training = { job.Training with Ranks = ranks } }
    let losses = ResizeArray()
    let result = Run.inMemory plan (fun info _ -> losses.Add info.Loss) (fun () -> false)
    let parameters = result.State.Parameters |> Array.collect Tensor.toFloats
    Scope.free result.State
    List.ofSeq losses, parameters

let private inParts: int -> IRanks -> int -> int64 -> string -> float list * float[] = ofWidth 64
let private trained = inParts 1

/// The same processes, and how often they summed more than one number.
let private counting (ranks: IRanks) (count: int ref) : IRanks =
    { new IRanks with
        member _.Rank = ranks.Rank
        member _.Count = ranks.Count
        member _.SumsBeside = ranks.SumsBeside
        member _.Broadcast(from, data, bytes) = ranks.Broadcast(from, data, bytes)
        member _.Abort reason = ranks.Abort reason

        member _.Sum(data, n, isDouble) =
            if n > 1L then
                Interlocked.Increment &count.contents |> ignore

            ranks.Sum(data, n, isDouble) }

let together (count: int) (work: IRanks -> 'T) : 'T list =
    let found = Array.zeroCreate count

    let running =
        threads count
        |> List.map (fun ranks ->
            let thread = Thread((fun () -> found[ranks.Rank] <- Some(work ranks)), 1 <<< 24)
            thread.Start()
            thread)

    running |> List.iter _.Join()
    found |> Array.map Option.get |> List.ofArray

[<Tests>]
let tests =
    testList
        "Training.Ranks"
        [ testProperty "the rows of a share of a batch draw what they draw in the whole"
          <| fun (seed: int) ->
              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed (int64 seed)
                  let whole, first, own = 24, 7, 5
                  let share = Rng.share first own whole rng
                  let rows (t: Tensor) = Tensor.toFloats (Tensor.narrow 0 first own t)
                  let names = Rng.named "times"
                  Expect.equal
                      (rows (Rng.strata whole (names rng)))
                      (Tensor.toFloats (Rng.strata own (names share)))
                      ""
                  let normal n rng = Rng.normal Kind.Float64 [ n; 3 ] (Rng.at 4L rng)
                  Expect.equal (rows (normal whole rng)) (Tensor.toFloats (normal own share)) "")

          // Sums in another order: relative differences of some 1e-16 a step, which Adam's division makes larger where gradients are small.
          testTheory "two and three processes train as one does" [ "cfm", 2; "dsm", 3; "edm", 2; "ism", 2 ]
          <| fun (loss: string, count: int) ->
              let losses, parameters = trained Ranks.alone 50 6L loss

              for others, own in together count (fun ranks -> trained ranks 50 6L loss) do
                  for one, several in List.zip losses others do
                      Expect.within (1e-11 * abs one) several one loss

                  for one, several in Array.zip parameters own do
                      Expect.within 1e-9 several one loss

          // 50 rows in 3 and in 8 parts: some are a row longer than others.
          testTheory
              "a batch in parts, one after the other, is one step"
              [ "cfm", 3; "dsm", 8; "edm", 2; "ism", 5; "ct", 3 ]
          <| fun (loss: string, parts: int) ->
              let losses, parameters = trained Ranks.alone 50 6L loss
              let others, own = inParts parts Ranks.alone 50 6L loss

              for one, several in List.zip losses others do
                  Expect.within (1e-11 * abs one) several one loss

              for one, several in Array.zip parameters own do
                  Expect.within 1e-9 several one loss

          testCase "two processes, each in three parts, train as one does"
          <| fun () ->
              let _, parameters = trained Ranks.alone 50 6L "cfm"

              for _, own in together 2 (fun ranks -> inParts 3 ranks 50 6L "cfm") do
                  for one, several in Array.zip parameters own do
                      Expect.within 1e-9 several one ""

          // 2 MiB a layer in double precision: more than one bucket.
          testTheory "processes that sum in several buckets train as one does" [ 2, 1; 3, 1; 2, 2 ]
          <| fun (count: int, parts: int) ->
              let losses, parameters = ofWidth 512 1 Ranks.alone 12 2L "cfm"
              let sums = ref 0

              for others, own in together count (fun ranks -> ofWidth 512 parts (counting ranks sums) 12 2L "cfm") do
                  for one, several in List.zip losses others do
                      Expect.within (1e-11 * abs one) several one ""

                  for one, several in Array.zip parameters own do
                      Expect.within 1e-9 several one ""

              Expect.isGreaterThanOrEqual sums.Value (2 * 2 * count) "two steps, at least two buckets each"

          testCase "units that are left out are the same ones in parts, and when blocks are computed again"
          <| fun () ->
              let data =
                  Scope.run (fun () ->
                      Dataset.ofSamples
                          "noise"
                          ""
                          "noise"
                          (Rng.normal Kind.Float32 [ 40; 1; 8; 8 ] (Rng.ofSeed 1L))
                          None)

              let parameters recompute parts (ranks: IRanks) =
                  let recipe =
                      { TrainingRequest.recipe data TrainingRequest.standard with
                          Network = Recipe.networkNamed "adm-small:dropout=0.3,head=8,multipliers=12,attention=2"
                          Width = 16
                          Steps = 2L
                          Batch = 8
                          Accumulate = parts
                          Recompute = recompute
                          Dtype = "float64" }

                  let job = Runs.job recipe data
                  let plan = Job.plan { job with Training = { job.Training with Ranks = ranks } }
                  let result = Run.inMemory plan (fun _ _ -> ()) (fun () -> false)
                  let found = result.State.Parameters |> Array.collect Tensor.toFloats
                  Scope.free result.State
                  found

              let whole = parameters false 1 Ranks.alone

              for other in
                  [ parameters false 4 Ranks.alone
                    parameters true 1 Ranks.alone
                    parameters true 2 Ranks.alone
                    yield! together 2 (parameters true 1) ] do
                  for one, several in Array.zip whole other do
                      Expect.within 1e-9 several one ""

          // Whole batches, each by one process: the same calls of the network on the same numbers. Batches of 4 of 18: the last round has two for three processes, and the last batch two rows.
          testTheory
              "three processes draw the bytes that one draws"
              [ "heun", Some 1; "euler-maruyama", None; "predictor-corrector", None ]
          <| fun (solver: string, label: int option) ->
              let law =
                  Mixture.ofJson
                      ""
                      """{"weights": [0.3, 0.7], "means": [[2, 1], [-1, 0.5]], "stds": [[0.5, 0.2], [0.3, 0.4]]}"""
              let model = GenerativeModel.ofMixture "law" Path.vp Prediction.noise Kind.Float32 law
              let drawing =
                  { Samples.standardFor model with
                      Sampler = Catalogue.samplers.Find solver
                      Steps = 6
                      Batch = 4
                      Label = label }
              let drawn (ranks: IRanks) =
                  Scope.run (fun () ->
                      Samples.drawTogether ranks model drawing (Rng.ofSeed 5L) 18 (fun _ _ -> ())
                      |> Tensor.toArray<float>)
              let one = drawn Ranks.alone
              Expect.equal one.Length 36 ""

              for several in together 3 drawn do
                  Expect.sequenceEqual several one ""

          testCase "a batch with fewer rows than processes and an objective that keeps chains are refused"
          <| fun () ->
              raised<UserError>(fun () -> Ranks.rows { Index = 1; Count = 3 } 2 |> ignore) |> ignore
              let data = Datasets.load "moons"
              let job =
                  Runs.job (TrainingRequest.recipe data { TrainingRequest.standard with Loss = Some "persistent" }) data
              Expect.isSome (Trainer.cannotShare job.Training) "chains"
              let job = Runs.job (TrainingRequest.recipe data { TrainingRequest.standard with Loss = Some "gan" }) data
              Expect.isSome (Trainer.cannotShare job.Training) "players"

              for loss, batch, parts, words in
                  [ "gan", 64, 2, "in turns"; "persistent", 64, 2, "chains"; "cfm", 4, 5, "4 samples" ] do
                  let recipe =
                      { TrainingRequest.recipe data { TrainingRequest.standard with Loss = Some loss } with
                          Batch = batch
                          Accumulate = parts }

                  let refusal = raised<RefusedException>(fun () -> Runs.job recipe data |> ignore)
                  Expect.stringContains refusal.Message words loss ]
