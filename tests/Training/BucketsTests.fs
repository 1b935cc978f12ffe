/// Sums of gradients over processes in buckets, while the gradients come.
module Fokker.Tests.Training.BucketsTests

open System
open System.Threading
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.RanksTests

/// One of two processes, the other of which has nothing to add: what it does at each sum, and whether sums may run beside.
let private one (beside: bool) (sum: int64 -> unit) : IRanks =
    { new IRanks with
        member _.Rank = 0
        member _.Count = 2
        member _.SumsBeside = beside
        member _.Sum(_, n, _) = sum n
        member _.Broadcast(_, _, _) = ()
        member _.Abort reason = failwith reason }

/// Parameters of so many numbers each.
let private ofCounts (kind: Kind) (counts: int list) : Tensor[] = [| for n in counts -> Tensor.ones kind [ n ] |]

/// Time enough on a machine that does other things.
let private patience = TimeSpan.FromSeconds 60.0

[<Tests>]
let tests =
    testList
        "Training.Buckets"
        [ testProperty
              "every tensor is in one bucket, the last come first, and a bucket is closed once it has its bytes"
          <| fun (sizes: byte list) (bytes: byte) ->
              let sizes = [| for size in sizes -> int64 size |]
              let buckets = Buckets.ofSizes (int64 bytes) sizes
              let total (members: int[]) = members |> Array.sumBy (fun k -> sizes[k])
              Expect.sequenceEqual (Array.concat buckets) (seq { sizes.Length - 1 .. -1 .. 0 }) ""

              for members in buckets do
                  Expect.isTrue (members.Length = 1 || total members[.. members.Length - 2] < int64 bytes) "too much"

              for members in Array.truncate (buckets.Length - 1) buckets do
                  Expect.isGreaterThanOrEqual (total members) (int64 bytes) "too little"

          // Gradients come in another order and at other times in each process, and one kind is narrower than the sums.
          testTheory
              "the sums are those of all processes, whatever the order in which gradients come"
              [ 2, "float64"; 3, "float64"; 3, "float32"; 2, "bfloat16" ]
          <| fun (count: int, name: string) ->
              let kind =
                  match name with
                  | "float64" -> Kind.Float64
                  | "float32" -> Kind.Float32
                  | _ -> Kind.Float32.As Dtype.BFloat16

              let shapes = [ [ 7 ]; [ 3; 4 ]; []; [ 30 ]; [ 0 ]; [ 2; 2; 2 ]; [ 5 ] ]

              let found =
                  together count (fun ranks ->
                      Scope.run (fun () ->
                          let parameters = [| for shape in shapes -> Tensor.ones kind shape |]
                          let random = Random(17 + ranks.Rank)
                          let order = [| 0 .. shapes.Length - 1 |]
                          random.Shuffle order

                          let struct (order, sums) =
                              Buckets.sumWhile 64L ranks parameters (fun give ->
                                  for k in order do
                                      Thread.Sleep(random.Next 20)
                                      give k (parameters[k] * float ((k + 1) * (ranks.Rank + 1)))

                                  order)

                          order, [ for sum in sums -> sum.Shape, sum.Kind, Tensor.toFloats (sum.To Dtype.Float64) ]))

              let orders = found |> List.map fst
              Expect.notEqual orders[0] orders[1] "they were to differ"

              for _, sums in found do
                  for k, (shape, found, numbers) in List.indexed sums do
                      Expect.equal (List.ofSeq shape) shapes[k] ""
                      Expect.equal found kind ""
                      let total = float ((k + 1) * count * (count + 1) / 2)
                      Expect.sequenceEqual numbers (Array.replicate numbers.Length total) $"parameter {k}"

          testCase "a bucket is summed while gradients still come, and after the one before it"
          <| fun () ->
              let summed = ResizeArray<int64>()
              let first = new ManualResetEventSlim()

              let ranks =
                  one true (fun n ->
                      summed.Add n
                      first.Set())

              Scope.run0 (fun () ->
                  let parameters = ofCounts Kind.Float32 [ 10; 20; 30; 40 ]

                  let struct ((), _) =
                      Buckets.sumWhile 4L ranks parameters (fun give ->
                          give 2 parameters[2]
                          give 1 parameters[1]
                          // Those wait for the last.
                          Thread.Sleep 20
                          Expect.isEmpty summed ""
                          give 3 parameters[3]
                          Expect.isTrue (first.Wait patience) "nothing is summed before all have come"
                          give 0 parameters[0])

                  Expect.sequenceEqual summed [ 40L; 30L; 20L; 10L ] "")

          testCase "where sums may not run beside they come afterwards, in the same order"
          <| fun () ->
              let summed = ResizeArray<int64 * int>()
              let ranks = one false (fun n -> summed.Add(n, Environment.CurrentManagedThreadId))

              Scope.run0 (fun () ->
                  let parameters = ofCounts Kind.Float32 [ 10; 20; 30 ]

                  Buckets.sumWhile 4L ranks parameters (fun give ->
                      for k in 0..2 do
                          give k parameters[k]

                      Thread.Sleep 20
                      Expect.isEmpty summed "")
                  |> ignore

                  let here = Environment.CurrentManagedThreadId
                  Expect.sequenceEqual summed [ 30L, here; 20L, here; 10L, here ] "")

          testTheory "what a sum raises is raised, no sum comes after it, and nothing is left behind" [ true; false ]
          <| fun (beside: bool) ->
              let live = Scope.live ()
              let sums, given = ref 0, ref 0

              let ranks =
                  one beside (fun _ ->
                      sums.Value <- sums.Value + 1

                      if sums.Value = 2 then
                          raise (UserError "the network is gone"))

              Scope.run0 (fun () ->
                  let parameters = ofCounts Kind.Float32 [ 10; 20; 30; 40 ]

                  let work (give: int -> Tensor -> unit) =
                      for k in 3..-1..0 do
                          give k parameters[k]
                          given.Value <- given.Value + 1

                  let error = raised<UserError>(fun () -> Buckets.sumWhile 4L ranks parameters work |> ignore)

                  Expect.equal error.Message "the network is gone" "")

              Expect.equal given.Value 4 "the backward pass goes to its end"
              Expect.equal sums.Value 2 ""
              Expect.equal (Scope.live ()) live ""

          testCase "what fails beside a sum is raised when that sum is done, and no sum comes after it"
          <| fun () ->
              let live = Scope.live ()
              let begun, go = new ManualResetEventSlim(), new ManualResetEventSlim()
              let summed = ResizeArray<int64>()

              let ranks =
                  one true (fun n ->
                      begun.Set()
                      go.Wait patience |> ignore
                      Thread.Sleep 50
                      summed.Add n)

              Scope.run0 (fun () ->
                  let parameters = ofCounts Kind.Float32 [ 10; 20; 30 ]

                  let work (give: int -> Tensor -> unit) =
                      give 2 parameters[2]
                      give 1 parameters[1]
                      begun.Wait patience |> ignore
                      go.Set()
                      failwith "no such layer"

                  let error = raised<Exception>(fun () -> Buckets.sumWhile 4L ranks parameters work |> ignore)

                  Expect.equal error.Message "no such layer" ""
                  Expect.sequenceEqual summed [ 30L ] ""
                  // One that does not come would be waited for without end.
                  let few (give: int -> Tensor -> unit) = give 0 parameters[0]
                  raised<InvalidOperationException>(fun () -> Buckets.sumWhile 4L ranks parameters few |> ignore)
                  |> ignore)

              Expect.equal (Scope.live ()) live ""

          // The whole way, from the engine to the sum: the first layer's gradient waits until the last layer's is summed.
          testCase "the last layer is summed while the backward pass is on its way to the first"
          <| fun () ->
              let first = new ManualResetEventSlim()
              let ranks = one true (fun _ -> first.Set())

              Scope.run0 (fun () ->
                  let parameters = [| for _ in 0..4 -> Tensor.ones Kind.Float64 [ 6; 6 ] |]

                  let f (ps: Tensor[]) =
                      // One of them has no part in it.
                      let layer (h: Tensor) k = Tensor.tanh (Linalg.matmul h ps[k])
                      Tensor.sum (List.fold layer (Tensor.ones Kind.Float64 [ 3; 6 ] * 0.1) [ 0; 1; 3; 4 ]), ()

                  let _, expected, () = Diff.valueAndGrads f parameters

                  let struct (isBeside, sums) =
                      Buckets.sumWhile 8L ranks parameters (fun give ->
                          let isBeside = ref true

                          let receive k gradient =
                              if k = 0 && Torch.engine () = "compiled" then
                                  isBeside.Value <- first.Wait patience

                              give k gradient

                          Diff.valueAndGradsEach receive f parameters |> ignore
                          isBeside.Value)

                  Expect.isTrue isBeside "nothing is summed before the pass is done"

                  for one, sum in Array.zip expected sums do
                      Expect.sequenceEqual (Tensor.toFloats sum) (Tensor.toFloats one) "") ]
