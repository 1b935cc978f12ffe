module Fokker.Tests.Torch.DiffTests

open System
open System.Threading
open System.Threading.Tasks
open Expecto
open FsCheck
open FsCheck.FSharp
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private kind = Kind.Float64

/// A batch shape of any rank from 1 (samples are numbers) to 4, with 1 to 12 coordinates a sample.
type Shapes =
    static member Shape() =
        Arb.fromGen (
            gen {
                let! batch = Gen.choose (1, 3)
                let! rest = Gen.elements [ []; [ 1 ]; [ 3 ]; [ 5 ]; [ 2; 3 ]; [ 1; 4 ]; [ 2; 1; 3 ]; [ 3; 2; 2 ] ]
                return batch :: rest
            }
        )

let private size (shape: int list) = List.fold (*) 1 shape.Tail

/// x ↦ A sin(x) on each sample, whatever its shape.
let private field (a: Tensor) (x: Tensor) =
    let rows = Tensor.reshape [ x.Shape[0]; -1 ] (Tensor.sin x)
    Linalg.matmul rows (Tensor.transpose 0 1 a) |> Tensor.reshape x.Shape

let private given (shape: int list) seed =
    let rng = Rng.ofSeed seed
    let n = size shape
    Rng.normal kind shape (Rng.at 0L rng), Rng.normal kind [ n; n ] (Rng.at 1L rng)

// Sums of at most 12 × 12 products of numbers of order one, each rounded to 1e-16: 1e-12 leaves room.
let private rounding = 1e-12

let private onGraph (t: Tensor) =
    let pointer = t.Use()

    try
        Engines.Current.RequiresGrad pointer
    finally
        t.Leave()

[<Tests>]
let tests =
    testList
        "Torch.Diff"
        [ testPropertyWithConfig
              { tries 40 with arbitrary = [ typeof<Shapes> ] }
              "∇·(A sin x) = Σ Aᵢᵢ cos xᵢ, at any rank"
          <| fun (shape: int list) seed ->
              Scope.run0 (fun () ->
                  let x, a = given shape seed
                  let value, divergence = Diff.valueAndDivergence (field a) x
                  let rows = Tensor.reshape [ shape.Head; -1 ] x
                  close rounding value (field a x)
                  close rounding divergence (Tensor.sumOver [ 1 ] (Tensor.diagonal a * Tensor.cos rows)))

          testPropertyWithConfig
              { tries 40 with arbitrary = [ typeof<Shapes> ] }
              "Δ Σ aᵢ sin xᵢ = −Σ aᵢ sin xᵢ, at any rank"
          <| fun (shape: int list) seed ->
              Scope.run0 (fun () ->
                  let x, a = given shape seed
                  let weights = Tensor.reshape shape.Tail (Tensor.diagonal a)
                  let f x = Tensor.sumRows (weights * Tensor.sin x)
                  close rounding (Diff.laplacian f x) -(f x))

          testPropertyWithConfig
              { tries 40 with arbitrary = [ typeof<Shapes> ] }
              "the Jacobian of A sin x is A diag(cos x), and jvp and vjp are its two products"
          <| fun (shape: int list) seed ->
              Scope.run0 (fun () ->
                  let x, a = given (1 :: shape.Tail) seed
                  let expected = a * Tensor.cos (Tensor.flatten x)
                  let v, u = Rng.normalLike x (Rng.ofSeed 5L), Rng.normalLike x (Rng.ofSeed 6L)
                  close rounding (Diff.jacobian (field a) x) expected
                  close
                      rounding
                      (Tensor.flatten (Diff.gradv (field a) x v))
                      (Linalg.matmul expected (Tensor.flatten v))
                  close
                      rounding
                      (Tensor.flatten (snd (Diff.vjp (field a) x u)))
                      (Linalg.matmul (Tensor.flatten u) expected))

          testPropertyWithConfig
              { tries 40 with arbitrary = [ typeof<Shapes> ] }
              "the Hessian of ½ xᵀAx + Σ exp x is the symmetric part of A plus diag(exp x)"
          <| fun (shape: int list) seed ->
              Scope.run0 (fun () ->
                  let x, a = given (1 :: shape.Tail) seed

                  let f (x: Tensor) =
                      let x = Tensor.flatten x
                      0.5 * Tensor.sum (x * Linalg.matmul a x) + Tensor.sum (Tensor.exp x)

                  let expected = 0.5 * (a + Tensor.transpose 0 1 a) + Tensor.diagEmbed (Tensor.exp (Tensor.flatten x))
                  close rounding (Diff.hessian f x) expected)

          testCase "a divergence has derivatives in turn: CNF likelihoods and their training"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x, a = given [ 2; 4 ] 3L
                  let diagonal = Tensor.diagonal a
                  let divergence x = Tensor.sum (Diff.divergence (field a) x)
                  // ∇ Σ aᵢᵢ cos xᵢ = −aᵢᵢ sin xᵢ, the divergence by forward, its gradient by reverse.
                  close rounding (Diff.grad divergence x) (-(diagonal * Tensor.sin x))
                  // The same along v by forward mode; the divergence then goes by reverse.
                  let v = Rng.normalLike x (Rng.ofSeed 6L)
                  close rounding (Diff.gradv divergence x v) (Tensor.sum (-(diagonal * Tensor.sin x) * v))
                  // ∇_A of Σ_b Σᵢ aᵢᵢ cos x_bᵢ: what training differentiates by.
                  close
                      rounding
                      (Diff.grad (fun a -> Tensor.sum (Diff.divergence (field a) x)) a)
                      (Tensor.diagEmbed (Tensor.sumOver [ 0 ] (Tensor.cos x)))
                  // ∇Δ Σ x⁴ = 24 x: three derivatives.
                  close
                      rounding
                      (Diff.grad
                          (fun x -> Tensor.sum (Diff.laplacian (fun x -> Tensor.sumRows (Tensor.pow x 4.0)) x))
                          x)
                      (24.0 * x))

          testCase "a gradient sees what its function captured from an enclosing one"
          <| fun () ->
              // d/da d/dx (a² x³) at x = a: 2a · 3x², by each nesting.
              let at = Tensor.scalar kind 1.5
              let inner a = Diff.grad (fun x -> a * a * x * x * x) (Tensor.scalar kind 2.0)
              let expected = Tensor.scalar kind (2.0 * 1.5 * 3.0 * 4.0)
              close rounding (Diff.grad inner at) expected
              close rounding (Diff.gradv inner at (Tensor.scalar kind 1.0)) expected
              let forward a = Diff.gradv (fun x -> a * a * x * x * x) (Tensor.scalar kind 2.0) (Tensor.scalar kind 1.0)
              close rounding (Diff.grad forward at) expected
              // The derivative is with respect to the argument alone, also where the argument is the captured tensor.
              close rounding (Diff.grad (fun a -> Diff.grad (fun x -> a * x) a) at) (Tensor.scalar kind 1.0)
              // What does not depend on x at all has a zero gradient, but its own derivatives.
              close rounding (Diff.grad (fun a -> Diff.grad (fun x -> a * a) a + a) at) (Tensor.scalar kind 1.0)
              close rounding (Diff.grad (fun a -> fst (Diff.jvp (fun x -> a * a) at at)) at) (Tensor.scalar kind 3.0)

          testCase "results are off every graph, whatever was nested inside"
          <| fun () ->
              let x = Rng.normal kind [ 2; 3 ] (Rng.ofSeed 1L)
              let f x = Tensor.sum (Tensor.silu x)
              let y, g, (aux, _) =
                  Diff.valueAndGrads (fun xs -> let y = Tensor.silu xs[0] in Tensor.sum y, ([ y; xs[0] ], 3)) [| x |]
              let v, w = Diff.vjp Tensor.silu x x
              let p, t = Diff.jvp (fun x -> Diff.grad f x * fst (Diff.valueAndGrad f x)) x x
              let identity = fst (Diff.valueAndGrad id (Tensor.scalar kind 1.0))

              for t in
                  [ y
                    g[0]
                    v
                    w
                    p
                    t
                    identity
                    Diff.jacobian Tensor.silu x
                    Diff.hessian f x
                    Diff.laplacian Tensor.sumRows x
                    yield! aux ] do
                  Expect.isFalse (onGraph t) (t.Describe())

              close 0.0 aux[0] (Tensor.silu x)

          testCase "what a reverse derivative inside a forward one hands out keeps its tangent and leaves its graph"
          <| fun () ->
              let x = Rng.normal kind [ 3 ] (Rng.ofSeed 1L)
              let one = Tensor.ones kind [ 3 ]
              let mutable graphs = []

              let f x =
                  let y, g = Diff.valueAndGrad (fun x -> Tensor.sum (Tensor.pow x 3.0)) x
                  graphs <- [ onGraph y; onGraph g ]
                  y * g

              // y = Σ x³, g = 3x²: d(y g) along 1 is Σ 3x² · 3x² + y · 6x.
              let y = Tensor.sum (Tensor.pow x 3.0)
              let square = x * x
              close rounding (Diff.gradv f x one) (Tensor.sum (3.0 * square) * 3.0 * square + y * 6.0 * x)
              equal [ false; false ] graphs

          testCase "forward in forward is refused, also through a gradient in between, and nothing stays switched"
          <| fun () ->
              let x = Tensor.scalar kind 0.5
              let one = Tensor.scalar kind 1.0

              for f in
                  [ fun x -> Diff.gradv Tensor.sin x one
                    Diff.grad (fun x -> Diff.gradv Tensor.sin x one) ] do
                  raises<TensorException> [ "forward derivative inside a forward derivative" ] (fun () ->
                      Diff.gradv f x one |> ignore)

              for throw in
                  [ Diff.grad; (fun f x -> Diff.gradv f x one); Diff.jacobian; (fun f x -> snd (Diff.vjp f x one)) ] do
                  raises<InvalidOperationException> [ "mine" ] (fun () -> throw (fun _ -> invalidOp "mine") x |> ignore)

              equal 0 Nesting.Reverse
              equal false Nesting.Forward
              close rounding (Diff.gradv Tensor.sin x one) (Tensor.cos x)
              Expect.isFalse (onGraph (Diff.grad Tensor.sin x)) ""

          testCase "two threads inside forward mode at once do not see each other's tangents"
          <| fun () ->
              use both = new Barrier(2)

              let derivative (scale: float) =
                  Task.Run(fun () ->
                      let x = Tensor.full kind [ 4 ] 0.5

                      [ for _ in 1..50 ->
                            let f x =
                                both.SignalAndWait()
                                let y = scale * Tensor.sin x
                                both.SignalAndWait()
                                Diff.grad (fun y -> Tensor.sum (y * y)) y

                            (Diff.gradv f x (Tensor.ones kind [ 4 ])).[0].ToFloat() ])

              let a, b = derivative 1.0, derivative 3.0
              for d in a.Result do
                  Expect.within 1e-15 d (2.0 * cos 0.5) ""
              for d in b.Result do
                  Expect.within 1e-14 d (6.0 * cos 0.5) ""

          // libtorch clears tangents when the last thread leaves: until then those of this thread's graph are there, and silu's backward formula has no use for them.
          testCase "a forward derivative is differentiated while another thread is inside forward mode"
          <| fun () ->
              let x = Tensor.linspace kind -2.0 2.0 5
              let second () =
                  Diff.grad
                      (fun x ->
                          let y, dy = Diff.jvp Tensor.silu x (Tensor.ones kind [ 5 ])
                          Tensor.sum (y * y + dy))
                      x

              let expected = second ()
              use isInside = new ManualResetEventSlim()
              use mayLeave = new ManualResetEventSlim()

              let other =
                  Task.Run(fun () ->
                      Diff.gradv
                          (fun x ->
                              isInside.Set()
                              mayLeave.Wait()
                              x)
                          (Tensor.scalar kind 0.5)
                          (Tensor.scalar kind 1.0)
                      |> ignore)

              isInside.Wait()

              try
                  close rounding (second ()) expected
              finally
                  mayLeave.Set()
                  other.Wait()

          testCase "a tensor that leaves a forward derivative carries no tangent into the next"
          <| fun () ->
              let x = Tensor.scalar kind 0.5
              let primal, tangent = Diff.jvp Tensor.sin x (Tensor.scalar kind 1.0)
              // Both are constants of this second one: only its own argument moves.
              close rounding (Diff.gradv (fun t -> t * primal * tangent) x (Tensor.scalar kind 1.0)) (sin x * cos x)
              // A function that lets its dual argument out is at fault, but the level's end clears what it let out.
              let mutable stolen = x
              Diff.gradv
                  (fun d ->
                      stolen <- d * 2.0
                      d)
                  x
                  (Tensor.scalar kind 1.0)
              |> ignore
              close rounding (Diff.gradv (fun t -> t * stolen) x (Tensor.scalar kind 1.0)) (Tensor.scalar kind 1.0)

          testCase "what cannot be differentiated is refused with the shapes"
          <| fun () ->
              let x = Tensor.zeros kind [ 2; 3 ]
              raises<TensorException> [ "grad"; "[2; 3] float64"; "vjp" ] (fun () -> Diff.grad id x |> ignore)
              raises<TensorException> [ "int64" ] (fun () ->
                  Diff.grad Tensor.sum (Tensor.zeros Kind.Int64 [ 2 ]) |> ignore)
              raises<TensorException> [ "[2; 3]"; "[3; 2]" ] (fun () ->
                  Diff.jvp id x (Tensor.zeros kind [ 3; 2 ]) |> ignore)
              raises<TensorException> [ "float64"; "float32" ] (fun () -> Diff.jvp id x (x.To Dtype.Float32) |> ignore)
              raises<TensorException> [ "[2; 3]"; "[3]" ] (fun () -> Diff.vjp id x (Tensor.zeros kind [ 3 ]) |> ignore)
              raises<TensorException> [ "[2; 3]"; "[2]" ] (fun () -> Diff.divergence Tensor.sumRows x |> ignore)
              raises<TensorException> [ "[] float64"; "[B; …]" ] (fun () ->
                  Diff.divergence id (Tensor.scalar kind 1.0) |> ignore)

          testCase "gradients that come one by one are those that come together, zeros for what has no part in it"
          <| fun () ->
              Scope.run0 (fun () ->
                  let rng = Rng.ofSeed 3L
                  let xs = [| for k in 0L .. 3L -> Rng.normal kind [ 5; 5 ] (Rng.at k rng) |]
                  let f (xs: Tensor[]) = Tensor.sum (Tensor.tanh (Linalg.matmul xs[0] xs[1]) * xs[3] * xs[0]), ()
                  let value, gradients, () = Diff.valueAndGrads f xs

                  let eachOf f xs =
                      let came = ResizeArray<int * Tensor>()
                      let receive k (g: Tensor) = came.Add(k, Scope.outside (fun () -> Tensor.clone g))
                      let value, () = Diff.valueAndGradsEach receive f xs
                      value, List.ofSeq came

                  let again, came = eachOf f xs
                  equal (Tensor.toFloats value) (Tensor.toFloats again)
                  Expect.sequenceEqual (came |> List.map fst |> List.sort) [ 0; 1; 2; 3 ] "each of them once"
                  equal 2 (fst (List.last came))

                  for k, gradient in came do
                      equal (Tensor.toFloats gradients[k]) (Tensor.toFloats gradient)

                  // Of no input at all, of an input itself, and within another derivative.
                  let _, came = eachOf (fun _ -> Tensor.ones kind [], ()) xs[..1]
                  for _, gradient in came do
                      equal (Array.zeroCreate<float> 25) (Tensor.toFloats gradient)

                  let _, came = eachOf (fun (xs: Tensor[]) -> xs[0], ()) [| Tensor.ones kind [ 1 ] |]
                  equal [| 1.0 |] (Tensor.toFloats (snd came.Head))

                  let slope (x: Tensor) =
                      let inner = ResizeArray<Tensor>()
                      let cubes (ys: Tensor[]) = Tensor.sum (ys[0] * ys[0] * ys[0]), ()
                      Diff.valueAndGradsEach (fun _ g -> inner.Add g) cubes [| x |] |> ignore
                      Tensor.sum inner[0]

                  equal [| 12.0 |] (Tensor.toFloats (Diff.grad slope (f64 [ 1 ] [ 2.0 ]))))

          testCase "a gradient comes while those before it are still to be computed, where the engine can tell"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Rng.normal kind [ 500_000 ] (Rng.ofSeed 1L)
                  let ps = [| for _ in 0..3 -> Tensor.ones kind [] |]
                  // Only the graph holds what is between the layers.
                  let layer (h: Tensor) (p: Tensor) =
                      use product = h * p
                      let next = Tensor.sin product
                      if not (obj.ReferenceEquals(h, x)) then
                          Scope.free h
                      next

                  let came = ResizeArray<int * int64>()
                  let receive k (_: Tensor) = came.Add(k, (Torch.memory ()).Live)
                  Diff.valueAndGradsEach receive (fun ps -> Tensor.sum (Array.fold layer x ps), ()) ps |> ignore

                  if Torch.engine () = "compiled" then
                      Expect.sequenceEqual (Seq.map fst came) [ 3; 2; 1; 0 ] "the last layer's first"
                      // It lets go of them as the pass comes by.
                      Expect.isGreaterThan
                          (snd came[0])
                          (snd came[3] + 2L * 8L * x.Count)
                          "all has been computed by then"
                  else
                      Expect.sequenceEqual (Seq.map fst came) [ 0; 1; 2; 3 ] "")

          testCase "what a receiver of gradients raises is raised, once and after the pass, and nothing is left behind"
          <| fun () ->
              let live = Scope.live ()

              Scope.run0 (fun () ->
                  let xs = [| for _ in 0..2 -> Tensor.ones kind [ 4 ] |]
                  let calls = ref 0

                  let receive _ (_: Tensor) =
                      calls.Value <- calls.Value + 1
                      if calls.Value = 2 then
                          failwith "no more"

                  let f (xs: Tensor[]) = Tensor.sum (xs[0] * xs[1] * xs[2]), ()

                  let error = raised<Exception>(fun () -> Diff.valueAndGradsEach receive f xs |> ignore)

                  equal "no more" error.Message
                  equal 2 calls.Value
                  // The engine is none the worse for it.
                  let again = Diff.grads (f >> fst) xs
                  equal [| 1.0; 1.0; 1.0; 1.0 |] (Tensor.toFloats again[0]))

              equal live (Scope.live ())

          testCase "an empty batch has an empty divergence"
          <| fun () ->
              equal [ 0 ] (Diff.divergence Tensor.sin (Tensor.zeros kind [ 0; 3 ])).Shape
              equal [ 0.0; 0.0 ] (Tensor.toFloats (Diff.divergence Tensor.sin (Tensor.zeros kind [ 2; 0 ])))

          // The engine's own count of live bytes beside it.
          testCase "a graph takes no more bytes than are said, and an exact divergence no more than one graph"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Rng.normal kind [ 64; 40; 40 ] (Rng.ofSeed 1L)
                  let field (x: Tensor) = Tensor.tanh (Tensor.sin x * 0.5) + Tensor.square x
                  let said = Diff.graphBytes field x
                  // Six tensors of x's size: sin, its half, tanh, the square and the sum, one of which may be made in place.
                  Expect.between (4L * 8L * x.Count) (7L * 8L * x.Count) said ""
                  let before = (Torch.memory ()).Live
                  let mutable most = 0L

                  let watched (x: Tensor) =
                      let y = field x
                      most <- max most ((Torch.memory ()).Live - before)
                      y

                  Diff.valueAndGrad (watched >> Tensor.sum) x |> ignore
                  Expect.isLessThanOrEqual most (said + 8L * x.Count) ""

                  // 1,600 coordinates: their gradients together would take 1.3 GB.
                  let before = (Torch.memory ()).Peak
                  Diff.divergence field x |> ignore
                  let peak = (Torch.memory ()).Peak - before
                  Expect.isLessThanOrEqual peak (3L * said) "") ]
