module Fokker.Tests.Training.OptimizerTests

open System
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private key = Rng.ofSeed 11L

/// Algorithm 2 of Loshchilov and Hutter on plain numbers, with clipping and the average, for one flat vector of parameters.
let private byHand (o: Optimizer) (a: Average) (gradients: float[][]) (start: float[]) =
    let p, average = Array.copy start, Array.copy start
    let m, v = Array.zeroCreate<float> p.Length, Array.zeroCreate<float> p.Length

    for k in 0 .. gradients.Length - 1 do
        let norm = sqrt (Array.sumBy (fun g -> g * g) gradients[k])

        let scale =
            match o.MaxNorm with
            | Some limit when norm > limit -> limit / norm
            | _ -> 1.0

        let rate, d = Schedule.at o.Rate (int64 k), Average.at a (int64 k)

        for i in 0 .. p.Length - 1 do
            let g = gradients[k][i] * scale
            m[i] <- o.Beta1 * m[i] + (1.0 - o.Beta1) * g
            v[i] <- o.Beta2 * v[i] + (1.0 - o.Beta2) * g * g
            let corrected1 = m[i] / (1.0 - o.Beta1 ** float (k + 1))
            let corrected2 = v[i] / (1.0 - o.Beta2 ** float (k + 1))
            p[i] <- p[i] - rate * o.Decay * p[i] - rate * corrected1 / (sqrt corrected2 + o.Epsilon)
            average[i] <- d * average[i] + (1.0 - d) * p[i]

    p, average, m, v

let private settings =
    [ "Adam", Optimizer.adam
      "AdamW", { Optimizer.adamW with Decay = 0.1; Rate = Schedule.Constant 0.05 }
      "clipped", { Optimizer.adam with MaxNorm = Some 1.0; Beta1 = 0.8 }
      "never clipped", { Optimizer.adam with MaxNorm = Some 1e6 }
      "scheduled", { Optimizer.adamW with Rate = Schedule.WarmUp(4L, Schedule.Cosine(0.1, 0.01, 10L)); Epsilon = 1e-3 } ]

// A matrix and a vector, so that the norm has to be taken over both; large ones take the kernel's several tasks.
let private shapes = [ [ [ 3; 2 ]; [ 5 ] ]; [ [ 200; 100 ]; [ 1 ]; [ 17_000 ] ] ]

let private flat (tensors: Tensor[]) = Array.collect Tensor.toFloats tensors

let private runSteps (kind: Kind) (o: Optimizer) (a: Average) (sizes: int list list) =
    let tensors name =
        sizes
        |> List.mapi (fun i shape -> Rng.normal Kind.Float32 shape (Rng.named name key |> Rng.at (int64 i)))
        |> Array.ofList
    let start = tensors "start"
    let gradients = [| for k in 0..7 -> tensors $"gradient {k}" |> Array.map (fun g -> g * (0.1 + float k)) |]
    let convert (ts: Tensor[]) = ts |> Array.map _.To(kind)
    let mutable state = Optimizer.init (convert start)

    for k in 0..7 do
        let struct (next, norm, _) = Optimizer.step o a (int64 k) (convert gradients[k]) state
        let expected = sqrt (Array.sumBy (fun g -> g * g) (flat gradients[k]))
        // A float64 sum of squares either way: rounding of the sum only.
        Expect.within (1e-12 * expected) (norm.ToFloat()) expected ""
        state <- next

    flat start, gradients |> Array.map flat, state

/// The largest |a − b| relative to 1 + |a|.
let private relative (a: float[]) (b: float[]) = Array.map2 (fun x y -> abs (x - y) / (1.0 + abs x)) a b |> Array.max

[<Tests>]
let tests =
    testList
        "Training.Optimizer"
        [ testCase "eight steps agree with the algorithm computed by hand, in float64"
          <| fun () ->
              for name, o in settings do
                  for sizes in shapes do
                      for average in [ Average.standard; Average.constant 0.9 ] do
                          let start, gradients, state = runSteps Kind.Float64 o average sizes
                          let p, a, m, v = byHand o average gradients start

                          for expected, found in
                              [ p, state.Parameters; a, state.Average; m, state.First; v, state.Second ] do
                              // Eight steps of a dozen roundings each, at relative 1.1e-16.
                              Expect.isLessThan (relative expected (flat found)) 1e-13 name

          testCase "the fused float32 kernel agrees with float64"
          <| fun () ->
              for name, o in settings do
                  for sizes in shapes do
                      let _, _, exact = runSteps Kind.Float64 o Average.standard sizes
                      let _, _, fused = runSteps Kind.Float32 o Average.standard sizes

                      for a, b in
                          [ exact.Parameters, fused.Parameters
                            exact.Average, fused.Average
                            exact.First, fused.First
                            exact.Second, fused.Second ] do
                          // Relative rounding of 6e-8, a dozen operations, eight steps; (1 − β₂) = 0.001 in float32 is off by 5e-5 relative, and steps
                          // of size 0.1 inherit half of that, eight times.
                          Expect.isLessThan (relative (flat a) (flat b)) 3e-5 name

          testCase "a step makes new tensors and leaves the old ones as they were"
          <| fun () ->
              let _, _, state = runSteps Kind.Float32 Optimizer.adam Average.standard shapes[0]
              let before = [| for ts in [ state.Parameters; state.Average; state.First; state.Second ] -> flat ts |]
              let gradients = state.Parameters |> Array.map Tensor.onesLike
              let struct (a, _, _) = Optimizer.step Optimizer.adam Average.standard 8L gradients state
              let struct (b, _, _) = Optimizer.step Optimizer.adam Average.standard 8L gradients state
              Expect.same
                  [| for ts in [ state.Parameters; state.Average; state.First; state.Second ] -> flat ts |]
                  before
                  ""
              Expect.same (flat a.Parameters) (flat b.Parameters) ""
              Expect.notEqual (flat a.Parameters) (before[0]) ""

          testCase "AdamW without a gradient shrinks parameters geometrically"
          <| fun () ->
              let o = { Optimizer.adamW with Rate = Schedule.Constant 0.1; Decay = 0.5 }

              let mutable state = Optimizer.init [| Tensor.ones Kind.Float64 [ 3 ] |]
              let zero = [| Tensor.zeros Kind.Float64 [ 3 ] |]

              for k in 0L .. 9L do
                  let struct (next, _, _) = Optimizer.step o Average.standard k zero state
                  state <- next

              // Ten roundings.
              close 1e-15 (Array.create 3 (0.95 ** 10.0)) (Tensor.toFloats state.Parameters[0])

          testCase "a clipped gradient keeps its direction and takes the limit as its norm"
          <| fun () ->
              // With β₁ = 0 the first moment is the gradient that the step used.
              let o = { Optimizer.adam with Beta1 = 0.0; MaxNorm = Some 2.0 }
              let gradient =
                  [| Rng.normal Kind.Float64 [ 4; 4 ] key * 100.0; Rng.normal Kind.Float64 [ 3 ] (Rng.at 1L key) |]
              let struct (next, norm, _) =
                  Optimizer.step o Average.standard 0L gradient (Optimizer.init (Array.map Tensor.zerosLike gradient))
              let used, whole = flat next.First, flat gradient
              // Relative rounding of a few operations.
              Expect.within 1e-14 (sqrt (Array.sumBy (fun g -> g * g) used)) 2.0 ""
              close 1e-13 (whole |> Array.map (fun g -> g * 2.0 / norm.ToFloat())) used

          // The fused pass over float32 and the composite of everything else; each of the four things that a step makes can be the one that overflows.
          testCase "a step says whether all that it led to is finite"
          <| fun () ->
              for kind, largest in [ Kind.Float32, 3e38; Kind.Float64, 1.7e308 ] do
                  let at (value: float) = [| Tensor.full kind [ 3 ] 1.0; Tensor.full kind [ 20_000 ] value |]
                  let calm = Optimizer.init (at 1.0)
                  let adam = { Optimizer.adam with Epsilon = 1e-30; Rate = Schedule.Constant 1.0 }

                  let isFinite optimizer gradients state =
                      let struct (_, _, isFinite) = Optimizer.step optimizer (Average.constant 0.5) 0L gradients state
                      isFinite

                  Expect.isTrue (isFinite adam (at 1.0) calm) ""
                  // g² overflows, though g and, in float64, its norm do not.
                  Expect.isFalse (isFinite adam (at (sqrt largest * 100.0)) calm) ""
                  // p − η g/|g| does.
                  let edge = { calm with Parameters = at -largest }
                  Expect.isFalse (isFinite { adam with Rate = Schedule.Constant largest } (at 1.0) edge) ""
                  // What was lost before stays lost.
                  for lost in [ infinity; nan ] do
                      for state in
                          [ { calm with Parameters = at lost }
                            { calm with Average = at lost }
                            { calm with First = at lost }
                            { calm with Second = at lost } ] do
                          Expect.isFalse (isFinite adam (at 1.0) state) ""

          testCase "the average is the closed form: the weight of step k is (1 - d_k) times all later d"
          <| fun () ->
              for average in [ Average.standard; Average.warmingUp 0.9; Average.constant 0.95 ] do
                  let steps = 40
                  let mutable state = Optimizer.init [| Tensor.full Kind.Float64 [ 2 ] 5.0 |]
                  let mutable seen = [ 5.0 ]

                  for k in 0 .. steps - 1 do
                      let gradient = [| Rng.normal Kind.Float64 [ 2 ] (Rng.at (int64 k) key) |]
                      let struct (next, _, _) =
                          Optimizer.step
                              { Optimizer.adam with Rate = Schedule.Constant 0.3 }
                              average
                              (int64 k)
                              gradient
                              state
                      state <- next
                      seen <- seen @ [ (Tensor.toFloats state.Parameters[0])[0] ]

                  let d = [| for k in 0L .. int64 steps - 1L -> Average.at average k |]
                  let after k = Array.fold (*) 1.0 d[k..]
                  let weights = after 0 :: [ for k in 0 .. steps - 1 -> (1.0 - d[k]) * after (k + 1) ]
                  Expect.within 1e-14 (List.sum weights) 1.0 ""
                  let expected = List.map2 (*) weights seen |> List.sum
                  Expect.within 1e-13 ((Tensor.toFloats state.Average[0])[0]) expected ""

          // However long the memory that is asked for, samples are not drawn with what a short run began with: of the average after n steps the first tenth of the
          // run has less than a hundred-thousandth, by the closed form above.
          testCase "the average of a short run is not left at its beginning"
          <| fun () ->
              for decay in [ 0.99; 0.999; 0.9999; 0.999999 ] do
                  let average = Average.warmingUp decay

                  for n in [ 20L; 100L; 1_000L; 8_000L ] do
                      let weight =
                          Seq.fold (fun product k -> product * Average.at average k) 1.0 (seq { n / 10L .. n - 1L })
                      Expect.isLessThan weight 1e-5 $"decay {decay}, {n} steps"

          testCase "the average's warm-up: a tenth at first, the full decay in the end"
          <| fun () ->
              Expect.equal (Average.at Average.standard 0L) 0.1 ""
              Expect.equal (Average.at Average.standard 10L) (11.0 / 20.0) ""
              // (1 + k)/(10 + k) passes 0.999 at k = 8990.
              Expect.isLessThan (Average.at Average.standard 8_980L) 0.999 ""
              Expect.equal (Average.at Average.standard 9_000L) 0.999 ""

          testCase "schedules at their ends and between"
          <| fun () ->
              let at schedule k = Schedule.at schedule k
              let near (expected: float) (found: float) = Expect.within 1e-15 found expected ""
              let cosine = Schedule.Cosine(1.0, 0.1, 100L)
              near 1.0 (at cosine 0L)
              near 0.55 (at cosine 50L)
              near (0.1 + 0.45 * (1.0 + cos (Math.PI / 4.0))) (at cosine 25L)
              near 0.1 (at cosine 100L)
              near 0.1 (at cosine 1_000L)
              let linear = Schedule.Linear(1.0, 0.0, 10L)
              near 0.7 (at linear 3L)
              near 0.0 (at linear 11L)
              let root = Schedule.InverseSqrt(0.5, 100L)
              near 0.5 (at root 0L)
              near 0.5 (at root 100L)
              near 0.25 (at root 400L)
              let warm = Schedule.WarmUp(10L, Schedule.Constant 2.0)
              near 0.2 (at warm 0L)
              near 1.0 (at warm 4L)
              near 2.0 (at warm 9L)
              near 2.0 (at warm 10L)
              near 3.0 (at (Schedule.Constant 3.0) 12345L) ]
