module Fokker.Tests.TransformerTests

open System
open Expecto
open Fokker
open Fokker.Tests

/// A network's parameters by name, as numbers in rows.
let private numbers (network: Network) (parameters: Tensor[]) =
    let table =
        Array.zip network.Specs parameters
        |> Array.map (fun (spec, p) -> spec.Name, Tensor.toFloats p)
        |> Map.ofArray

    fun name -> table[name]

/// x Wᵀ + b of one vector.
let private linear (number: string -> float[]) (name: string) (x: float[]) : float[] =
    let w, b = number $"{name}.weight", number $"{name}.bias"
    Array.init b.Length (fun k -> b[k] + Seq.sum (seq { for j in 0 .. x.Length - 1 -> w[k * x.Length + j] * x[j] }))

let private silu (x: float) = x / (1.0 + Math.Exp -x)

/// x Φ(x) by the error function's series, which ends for the numbers of this test.
let private gelu (x: float) =
    let z = x / sqrt 2.0
    let terms =
        Seq.unfold
            (fun (n, term) -> Some(term, (n + 1.0, -term * z * z * (2.0 * n + 1.0) / ((n + 1.0) * (2.0 * n + 3.0)))))
            (0.0, z)
    let erf = 2.0 / sqrt Math.PI * (terms |> Seq.take 200 |> Seq.sum)
    0.5 * x * (1.0 + erf)

let private standardized (x: float[]) =
    let mean = Array.average x
    let variance = x |> Array.averageBy (fun v -> (v - mean) ** 2.0)
    x |> Array.map (fun v -> (v - mean) / sqrt (variance + 1e-6))

[<Tests>]
let tests =
    testList
        "Network.dit"
        [
          // The layers' own description once more, number by number: patches in rows, places, modulation, heads side by side.
          testCase "one block is what its description says, number by number"
          <| fun () ->
              Scope.run0 (fun () ->
                  let width, heads, patch = 8, 2, 2

                  let network =
                      Dit.network
                          { Channels = 2
                            Patch = patch
                            Width = width
                            Depth = 1
                            Heads = heads
                            Times = 1
                            Outputs = 1
                            Classes = Some 3 }

                  let rng = Rng.ofSeed 3L
                  let parameters =
                      Network.init Kind.Float64 rng network
                      |> Array.mapi (fun k p -> p + 0.2 * Rng.normalLike p (Rng.at (int64 k) rng))
                  let number = numbers network parameters
                  let x = Rng.normal Kind.Float64 [ 1; 2; 4; 6 ] (Rng.ofSeed 4L)
                  let t = 0.37
                  let label = 1
                  let y =
                      network.Apply
                          parameters
                          (Some(Tensor.ofArray [ 1 ] [| int64 label |]))
                          (Tensor.scalar Kind.Float64 t)
                          x

                  let pixels = Tensor.toFloats x
                  let rows, columns = 2, 3

                  // What the time and the class say.
                  let turns = Embedding.gaussianFrequencies 1.0 64 |> Array.map (fun f -> 2.0 * Math.PI * f * t)
                  let features = Array.append (Array.map sin turns) (Array.map cos turns)
                  let table = number "label.weight"
                  let told =
                      linear number "time2" (Array.map silu (linear number "time1" features))
                      |> Array.mapi (fun k v -> silu (v + table[label * width + k]))

                  let part (all: float[]) k = all[k * width .. (k + 1) * width - 1]
                  let modulated shift scale x =
                      Array.map3 (fun s c v -> v * (1.0 + c) + s) shift scale (standardized x)

                  // A patch's numbers: channel, row, column.
                  let tokens =
                      [| for r in 0 .. rows - 1 do
                             for c in 0 .. columns - 1 do
                                 let own =
                                     [| for channel in 0..1 do
                                            for i in 0..1 do
                                                for j in 0..1 -> pixels[channel * 24 + (2 * r + i) * 6 + 2 * c + j] |]

                                 let place =
                                     [| for at in [ float r; float c ] do
                                            sin at
                                            sin (at / 100.0)
                                            cos at
                                            cos (at / 100.0) |]

                                 Array.map2 (+) (linear number "embed" own) place |]

                  let m = linear number "block1.modulation" told
                  let qkv = tokens |> Array.map (modulated (part m 0) (part m 1) >> linear number "block1.qkv")

                  let attended =
                      [| for i in 0 .. tokens.Length - 1 ->
                             [| for head in 0 .. heads - 1 do
                                    let d = width / heads
                                    let of' which token = (part qkv[token] which)[head * d .. (head + 1) * d - 1]

                                    let scores =
                                        [| for j in 0 .. tokens.Length - 1 ->
                                               exp (Array.sum (Array.map2 (*) (of' 0 i) (of' 1 j)) / sqrt (float d)) |]

                                    let total = Array.sum scores
                                    for k in 0 .. d - 1 ->
                                        Seq.sum (
                                            seq { for j in 0 .. tokens.Length - 1 -> scores[j] / total * (of' 2 j)[k] }
                                        ) |] |]

                  let gated gate x y = Array.map3 (fun g a b -> a + g * b) gate x y
                  let h = Array.map2 (fun x a -> gated (part m 2) x (linear number "block1.out" a)) tokens attended

                  let h =
                      h
                      |> Array.map (fun x ->
                          modulated (part m 3) (part m 4) x
                          |> linear number "block1.up"
                          |> Array.map gelu
                          |> linear number "block1.down"
                          |> gated (part m 5) x)

                  let last = linear number "last.modulation" told
                  let out = h |> Array.map (modulated (part last 0) (part last 1) >> linear number "output")

                  let expected =
                      [| for channel in 0..1 do
                             for row in 0..3 do
                                 for column in 0..5 ->
                                     out[(row / 2) * columns + column / 2][channel * 4 + (row % 2) * 2 + column % 2] |]

                  Array.iter2 (fun e a -> Expect.within (1e-9 * (1.0 + abs e)) e a "") expected (Tensor.toFloats y))

          testCase "numbers that make no transformer are refused by name"
          <| fun () ->
              let standard: Dit =
                  { Channels = 1; Patch = 2; Width = 8; Depth = 1; Heads = 2; Times = 1; Outputs = 1; Classes = None }

              let says (part: string) s =
                  Expect.stringContains (raised<ArgumentException>(fun () -> Dit.network s |> ignore)).Message part ""

              says "Patch = 0" { standard with Patch = 0 }
              says "3 heads" { standard with Heads = 3 }
              says "Classes = 0" { standard with Classes = Some 0 }

          testCase "the setting of a width is the network's own number, and the other way round"
          <| fun () ->
              let data = Datasets.load "moons"
              let ask = { TrainingRequest.standard with Network = Some "dit:patch=2,width=64,depth=3" }
              let own = TrainingRequest.recipe data ask
              Expect.equal (own.Width, own.Depth) (64, 3) ""
              let asked = TrainingRequest.recipe data { ask with Width = Some 32 }
              Expect.equal asked.Width 32 ""
              Expect.contains asked.Network.Numbers ("width", 32.0) ""
              Expect.contains asked.Network.Numbers ("depth", 3.0) "" ]
