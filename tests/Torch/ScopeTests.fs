module Fokker.Tests.Torch.ScopeTests

open System
open System.Runtime.CompilerServices
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

type private State = { Weights: Tensor[]; Average: Map<string, Tensor>; Extra: (Tensor * int) option; Step: int64 }

type private Choice =
    | Nothing
    | One of Tensor
    | Many of names: string list * tensors: Tensor list

type private Holder(t: Tensor) =
    member _.Tensor = t

    interface IHoldTensors with
        member _.Visit visit = visit t

/// The collector may also have freed what another test left behind.
let private none (kept: int64) = Expect.isLessThanOrEqual kept 0L ""

let private make () = Tensor.ones Kind.Float32 [ 2 ]

/// How many more tensors are alive after `action` than before. Nothing of other tests may be finalized in between.
let private leftOver (action: unit -> unit) =
    GC.Collect()
    GC.WaitForPendingFinalizers()
    let before = Scope.live ()
    action ()
    Scope.live () - before

[<MethodImpl(MethodImplOptions.NoInlining)>]
let private abandon () =
    for _ in 1..1000 do
        make () |> ignore

[<Tests>]
let tests =
    testList
        "Torch.Scope"
        [ testCase "a scope frees all but what it returns, wherever that is"
          <| fun () ->
              let check (result: unit -> 'T) (expected: int) =
                  let kept =
                      leftOver (fun () ->
                          let value =
                              Scope.run (fun () ->
                                  make () |> ignore
                                  let r = result () in
                                  make () |> ignore
                                  r)
                          let mutable n = 0
                          Holding.iter
                              (fun t ->
                                  n <- n + 1
                                  equal [ 1.0; 1.0 ] (Tensor.toFloats t))
                              value
                          equal expected n
                          Scope.free value)

                  // The copies that toFloats made are outside a scope, and wait for the collector.
                  Expect.isLessThanOrEqual kept (3L * int64 expected) ""

              check (fun () -> ()) 0
              check (fun () -> make ()) 1
              check (fun () -> make (), [| make (); make () |], "text", 1.0) 3
              check (fun () -> [ make (); make () ], Some(make ()), (None: Tensor option)) 3
              check (fun () -> struct (make (), ValueSome(make ()))) 2
              check
                  (fun () ->
                      { Weights = [| make () |]
                        Average = Map [ "a", make (); "b", make () ]
                        Extra = Some(make (), 3)
                        Step = 1L })
                  4
              check (fun () -> [ Nothing; One(make ()); Many([ "x" ], [ make (); make () ]) ]) 3
              check (fun () -> Holder(make ())) 1
              check (fun () -> Collections.Generic.Dictionary(dict [ 1, make () ])) 1
              check (fun () -> {| A = make (); B = box (make ()) |}) 2

          testCase "exactly nothing is left over where nothing is returned"
          <| fun () ->
              none (
                  leftOver (fun () ->
                      Scope.run0 (fun () ->
                          for _ in 1..100 do
                              Tensor.sum (make () + make ()) |> ignore))
              )

          testCase "scopes nest: what the inner one returns belongs to the outer one"
          <| fun () ->
              let kept =
                  leftOver (fun () ->
                      Scope.run0 (fun () ->
                          let outer = make ()
                          let inner, same = Scope.run (fun () -> make () + outer, outer)
                          Expect.isTrue (Object.ReferenceEquals(same, outer)) ""
                          equal [ 2.0; 2.0 ] (Tensor.toFloats inner)
                          equal [ 1.0; 1.0 ] (Tensor.toFloats outer)))

              none kept

          testCase "an exception frees everything and passes through"
          <| fun () ->
              let kept =
                  leftOver (fun () ->
                      raises<InvalidOperationException> [ "mine" ] (fun () ->
                          Scope.run (fun () ->
                              let t = make ()
                              Scope.run (fun () ->
                                  make () |> ignore
                                  invalidOp "mine")
                              |> ignore
                              t)
                          |> ignore))

              none kept
              Expect.isTrue (isNull Handle.Current) ""

          testCase "a result that may hide tensors is refused, and nothing leaks"
          <| fun () ->
              let kept =
                  leftOver (fun () ->
                      raises<InvalidOperationException> [ "function"; "IHoldTensors" ] (fun () ->
                          Scope.run (fun () -> let t = make () in make (), fun x -> x + t) |> ignore)

                      raises<InvalidOperationException> [ "Version"; "IHoldTensors" ] (fun () ->
                          Scope.run (fun () -> make (), System.Version(1, 0)) |> ignore))

              none kept

          testCase "a tensor that was freed says so, by name, and freeing twice does nothing"
          <| fun () ->
              let t = Scope.run (fun () -> make ())
              let mutable escaped = t
              Scope.run0 (fun () -> escaped <- make ())
              raises<ObjectDisposedException> [ "freed"; "scope" ] (fun () -> escaped + t |> ignore)
              raises<ObjectDisposedException> [ "freed" ] (fun () -> Linalg.matmul t escaped |> ignore)
              equal "freed tensor" (escaped.Describe())
              t.Dispose()
              t.Dispose()
              raises<ObjectDisposedException> [ "Dispose" ] (fun () -> Tensor.exp t |> ignore)

          testCase "Scope.next frees what the old state held and the new one does not"
          <| fun () ->
              let kept =
                  leftOver (fun () ->
                      Scope.run0 (fun () ->
                          let step (s: State) =
                              { s with
                                  Weights = s.Weights |> Array.map (fun w -> w * 0.5 + 1.0)
                                  Average = s.Average |> Map.map (fun _ a -> a + 1.0)
                                  Step = s.Step + 1L }

                          let mutable state =
                              { Weights = [| make (); make () |]
                                Average = Map [ "a", make () ]
                                Extra = Some(make (), 3)
                                Step = 0L }

                          let first = Scope.live ()

                          for _ in 1..50 do
                              state <- Scope.next step state
                              // What is carried over unchanged (Extra) stays; each step's garbage and the old weights go.
                              Expect.isLessThanOrEqual (Scope.live ()) first ""

                          equal 50L state.Step
                          equal [ 51.0; 51.0 ] (Tensor.toFloats state.Average["a"])
                          equal [ 1.0; 1.0 ] (Tensor.toFloats (fst state.Extra.Value))))

              none kept

          testCase "a tensor that passes through inner scopes is freed by its own"
          <| fun () ->
              let kept =
                  leftOver (fun () ->
                      Scope.run0 (fun () ->
                          let t = make ()
                          Scope.run0 (fun () -> Scope.run (fun () -> t) |> ignore)
                          equal [ 1.0; 1.0 ] (Tensor.toFloats t)))

              none kept

          testCase "a scope around a long loop remembers only what is alive"
          <| fun () ->
              Scope.run0 (fun () ->
                  let mutable state = make ()
                  let mutable largest = 0

                  for _ in 1..20000 do
                      state <- Scope.next (fun x -> x + 1.0) state
                      largest <- max largest (nonNull Handle.Current).Count

                  Expect.isLessThan largest 1000 "")

          testCase "outside a scope the collector frees what nobody holds"
          <| fun () ->
              GC.Collect()
              GC.WaitForPendingFinalizers()
              let before = Scope.live ()
              abandon ()
              Expect.isGreaterThanOrEqual (Scope.live ()) (before + 1000L) ""
              GC.Collect()
              GC.WaitForPendingFinalizers()
              Expect.isLessThanOrEqual (Scope.live ()) (before + 5L) ""

          testCase "what a scope returns to no scope is under the collector's guard"
          <| fun () ->
              GC.Collect()
              GC.WaitForPendingFinalizers()
              let before = Scope.live ()
              let returned () =
                  for _ in 1..100 do
                      Scope.run make |> ignore
              returned ()
              GC.Collect()
              GC.WaitForPendingFinalizers()
              Expect.isLessThanOrEqual (Scope.live ()) (before + 5L) ""

          // A step of training in small: parameters in, parameters out, gradients and noise in between.
          testCase "ten thousand steps leave native memory where a hundred left it"
          <| fun () ->
              let loss (target: Tensor) (ps: Tensor[]) =
                  Tensor.mean (Tensor.square (Nn.linear target ps[0] ps[1] |> Tensor.silu |> Nn.softmax -1))

              let step (rng: Rng) (n: int64, ps: Tensor[]) =
                  let x = Rng.normal Kind.Float32 [ 16; 8 ] (Rng.at n rng)
                  let gs = Diff.grads (loss x) ps
                  let tangent = Diff.gradv (fun x -> loss x ps) x x
                  n + 1L, Array.map2 (fun p g -> p - 0.01 * g - 0.0 * tangent) ps gs

              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed 1L
                  let mutable state = 0L, [| Rng.normal Kind.Float32 [ 8; 8 ] rng; Tensor.zeros Kind.Float32 [ 8 ] |]
                  let advance count =
                      for _ in 1..count do
                          state <- Scope.next (step rng) state
                  // On the managed engine all of malloc is counted, and with it what .NET takes to compile this code: that is done after so many steps.
                  advance (if Torch.engine () = "compiled" then 100 else 10_000)
                  let tensors, memory = Scope.live (), Torch.memory ()
                  advance 10000
                  let later = Torch.memory ()
                  Expect.isLessThanOrEqual (Scope.live ()) tensors ""

                  match Torch.engine () with
                  | "compiled" ->
                      Expect.isLessThanOrEqual later.Live memory.Live ""
                      equal memory.Peak later.Peak
                      equal memory.Cached later.Cached
                  | _ ->
                      // What the process holds by malloc, .NET's own little there counted: a leak of one number a step would be 40 times as much.
                      Expect.isLessThan (later.Live - memory.Live) (1L <<< 20) "") ]
