/// The loops over plain memory (draws, the optimizer's step, assignment): every width of vector and number of threads gives the same bits, and
/// they stay what they are. The recorded digests are of what the C++ that these loops replace gave.
module Fokker.Tests.Torch.KernelTests

open System
open System.Runtime.InteropServices
open System.Security.Cryptography
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private vectors = [ 128; 256; 512 ]

/// The first half of the SHA-256 of all that is added.
type private Digest() =
    let sha = IncrementalHash.CreateHash HashAlgorithmName.SHA256
    member _.Add(t: Tensor) = sha.AppendData(Exchange.toBytes t)
    member _.Text = Convert.ToHexString(sha.GetHashAndReset()).ToLowerInvariant().Substring(0, 32)

/// Part of a block, a block, many, more than a group of blocks, more than a task; rows that begin anywhere in a group.
let private shapes =
    [ 1, 1; 3, 2; 70, 1; 70, 2; 70, 3; 70, 5; 70, 8; 70, 31; 5, 257; 5, 1024; 2, 70_001 ]
    @ [ 20_000, 1; 20_000, 2; 20_000, 4; 9_000, 7 ]

/// The second makes the rows' numbers pass 2³² within a group.
let private firsts = [ 0L; (1L <<< 32) - 33L ]

let private adamState (key: Rng) (counts: int list) =
    let tensors name =
        [| for i, n in List.indexed counts -> Rng.normal Kind.Float32 [ n ] (Rng.named name key |> Rng.at (int64 i)) |]

    tensors, Optimizer.init (tensors "start")

let private costs n m =
    let uniform = Rng.uniform Kind.Float64 [ n; m ] (Rng.ofSeed (int64 (n + m)))
    [ uniform; floor (uniform * 4.0); floor (uniform * 100.0) - 50.0 ]

let private problems = [ 1, 1; 2, 5; 7, 7; 31, 31; 32, 32; 33, 50; 64, 64; 200, 200 ]

[<Tests>]
let tests =
    testList
        "Torch.Kernels"
        [ testCase "draws are the recorded ones"
          <| fun () ->
              for name, digest, draw in
                  [ "normal float32", "e14499310c9ead502b18dae0ade3bee3", Rng.normal Kind.Float32
                    "normal float64", "ba2d4b66a5cc5648a9181ee2865b7f73", Rng.normal Kind.Float64
                    "uniform float32", "5319fa22c1fde091e98654837ffb42b0", Rng.uniform Kind.Float32
                    "uniform float64", "2c5549196059346ef95ba9ac17ed0581", Rng.uniform Kind.Float64
                    "integers", "8df35e0176d40620c1b0e1bb975dcdb9", (fun shape -> Rng.integers 1_000_000_007L shape) ] do
                  let found = Digest()

                  for rows, width in shapes do
                      for first in firsts do
                          found.Add(draw [ rows; width ] (Rng.rows first (Rng.ofSeed (int64 width))))

                  Expect.equal found.Text digest name

          testCase
              "draws are the same bits by vectors of every width on any number of threads, and end where they are to end"
          <| fun () ->
              let draws =
                  [ Draw.NormalFloat32, 4
                    Draw.UniformFloat32, 4
                    Draw.NormalFloat64, 8
                    Draw.UniformFloat64, 8
                    Draw.Bits, 8 ]

              for draw, size in draws do
                  for rows, width in shapes do
                      for first in firsts do
                          let bytes = rows * width * size

                          let drawn vector threads =
                              let memory = GC.AllocateArray<byte>(bytes + 64, pinned = true)
                              let at = Marshal.UnsafeAddrOfPinnedArrayElement(memory, 0)
                              Philox.fillBy vector threads draw 7UL first (int64 rows) (int64 width) at
                              Expect.equal (memory.AsSpan(bytes).IndexOfAnyExcept 0uy) -1 "behind the end"
                              memory

                          let expected = drawn 128 1

                          for vector in vectors do
                              for threads in [ 1; 3 ] do
                                  Expect.isTrue
                                      (expected.AsSpan().SequenceEqual((drawn vector threads).AsSpan()))
                                      $"{draw} [{rows}; {width}] from {first} by {vector} on {threads}"

          testCase "eight steps of the optimizer are the recorded ones"
          <| fun () ->
              let tensors, start = adamState (Rng.ofSeed 11L) [ 16; 32; 1024; 65536 ]
              let optimizer = { Optimizer.adamW with MaxNorm = Some 1.0; Decay = 0.1 }
              let mutable state = start

              for k in 0..7 do
                  let struct (next, _, _) =
                      Optimizer.step optimizer Average.standard (int64 k) (tensors $"gradient {k}") state
                  state <- next

              let found = Digest()

              for part in [ state.Parameters; state.Average; state.First; state.Second ] do
                  Array.iter found.Add part

              equal "e7d1243e93cbcfc933f1693937172a4f" found.Text

          testCase
              "a step of the optimizer is the same bits by vectors of every width on any number of threads, wherever a number stands"
          <| fun () ->
              let counts = [| 1L; 7L; 15L; 16L; 33L; 100_003L |]

              let numbers name =
                  [| for k, n in Array.indexed counts ->
                         let x = Rng.normal Kind.Float32 [ int n ] (Rng.ofSeed 3L |> Rng.named name |> Rng.at (int64 k))
                         let memory = GC.AllocateArray<float32>(int n, pinned = true)
                         Tensor.toArray<float32>(if name = "v" then abs x else x).CopyTo(memory, 0)
                         memory |]

              let p, g, m, v, e = numbers "p", numbers "g", numbers "m", numbers "v", numbers "e"

              let s: FusedAdam.Step =
                  { Keep = 0.999f
                    Rate = 0.01f
                    Root = 1.5f
                    Beta1 = 0.9f
                    Beta2 = 0.99f
                    Epsilon = 1e-8f
                    Scale = 0.3f
                    Average = 0.95f }

              // Each of the arrays from element `start` on.
              let stepped vector threads (start: int) =
                  let made =
                      [| for _ in 1..4 -> [| for n in counts -> GC.AllocateArray<float32>(int n, pinned = true) |] |]
                  let at (x: float32[]) = Marshal.UnsafeAddrOfPinnedArrayElement(x, min start (x.Length - 1))

                  let places: FusedAdam.Place[] =
                      Array.init counts.Length (fun k ->
                          { Count = max 0L (counts[k] - int64 start)
                            P = at (p[k])
                            G = at (g[k])
                            M = at (m[k])
                            V = at (v[k])
                            E = at (e[k])
                            P1 = at (made[0][k])
                            M1 = at (made[1][k])
                            V1 = at (made[2][k])
                            E1 = at (made[3][k]) })

                  Expect.isTrue (FusedAdam.runBy vector threads s places) "finite"
                  let norm = FusedAdam.norm threads (places |> Array.map _.Count) (places |> Array.map _.G)
                  made, norm

              let expected, norm = stepped 128 1 0

              for vector in vectors do
                  for threads in [ 1; 3 ] do
                      let found, other = stepped vector threads 0
                      Expect.isTrue (found = expected) $"by {vector} on {threads}"
                      equal norm other

                  for start in [ 1; 5; 14 ] do
                      let found, _ = stepped vector 1 start

                      for part in 0..3 do
                          for k in 0 .. counts.Length - 1 do
                              if counts[k] > int64 start then
                                  let tail (made: float32[][][]) = made[part][k] |> Array.skip start
                                  Expect.isTrue (tail found = tail expected) $"by {vector} from {start}"

              // Their addresses kept nobody from collecting them.
              GC.KeepAlive [ p; g; m; v; e ]

          testCase "matchings and their potentials are the recorded ones"
          <| fun () ->
              let found = Digest()

              for n, m in problems do
                  for cost in costs n m do
                      let a = Assignment.solve cost
                      found.Add a.Columns
                      found.Add a.RowPotentials
                      found.Add a.ColumnPotentials

              equal "9b50a336a50effb4961f6b3e3a3eca5e" found.Text

          testCase "a matching and its potentials are the same bits by vectors of every width"
          <| fun () ->
              for n, m in problems do
                  for cost in costs n m do
                      let solved vector =
                          Exchange.wherePlain [| cost |] (fun at -> JonkerVolgenant.solveBy vector at[0] n m)
                      let expected = solved 128

                      for vector in vectors do
                          Expect.isTrue (solved vector = expected) $"{n} by {m} by {vector}" ]
