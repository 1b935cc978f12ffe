/// Sequences of tokens whose law is known, a Markov chain: the exact posterior in the network's place.
module Fokker.Tests.Losses.SequenceTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private count = 4
let private length = 6

/// The law of the first token, and of each after the one before, [from; to].
let private first = [| 0.4; 0.3; 0.2; 0.1 |]

let private next =
    [| [| 0.85; 0.05; 0.05; 0.05 |]
       [| 0.05; 0.10; 0.80; 0.05 |]
       [| 0.10; 0.70; 0.10; 0.10 |]
       [| 0.60; 0.05; 0.05; 0.30 |] |]

let private tokens source : Tokens = { Count = count; Bound = 1.0; Source = source }
let private vector (values: float[]) = Tensor.ofArray [ 1; values.Length ] values
let private transitions = Tensor.ofArray [ count; count ] (Array.concat next)

/// n sequences, int64 [n; length].
let private draw (n: int) (rng: Rng) : Tensor =
    let u = Tensor.toFloats (Rng.uniform Kind.Float64 [ n; length ] rng)

    let pick (law: float[]) (u: float) =
        let passed = Array.scan (+) 0.0 law
        min (count - 1) (max 0 ((Array.findIndex (fun sum -> sum > min u 0.999999999) passed) - 1))

    [| for i in 0 .. n - 1 do
           let mutable before = pick first u[i * length]
           int64 before

           for k in 1 .. length - 1 do
               before <- pick next[before] u[i * length + k]
               int64 before |]
    |> Tensor.ofArray [ n; length ]

/// −log p of sequences, [n].
let private nats (x: Tensor) : float[] =
    Tensor.toArray<int64> x
    |> Array.chunkBySize length
    |> Array.map (fun own ->
        let rest = Array.pairwise own |> Array.sumBy (fun (a, b) -> Math.Log next[int a].[int b])
        -(Math.Log first[int own[0]] + rest))

/// log p(x₀ⁱ = k | x_t) by sums forwards and backwards along the chain, as a network says it, [B; K · length].
let private posterior (tokens: Tokens) : Field =
    fun t x ->
        let states = Tokens.ofValues tokens x
        let n = x.Shape[0]
        let t = Tensor.reshape [ -1; 1 ] (Tensor.clamp 1e-9 1.0 t)

        // p(x_tⁱ | x₀ⁱ = k), [B; K].
        let seen (i: int) =
            let own = Tensor.unsqueeze 1 (Tensor.select 1 i states)
            let same =
                (Tensor.equal own (Tensor.reshape [ 1; count ] (Tensor.range Kind.Int64 0 count))).To Dtype.Float64

            match tokens.Source with
            | TokenSource.Uniform -> (1.0 - t) * same + t / float count
            | TokenSource.Mask ->
                let isMask = (Tensor.greaterThan (float count - 0.5) own).To Dtype.Float64
                isMask + (1.0 - isMask) * same

        let normal (x: Tensor) = x / Tensor.sumKeep [ 1 ] x
        let likelihoods = Array.init length seen

        let forwards =
            Array.scan
                (fun (before: Tensor) i -> normal (Linalg.matmul before transitions * likelihoods[i]))
                (normal (vector first * likelihoods[0]))
                [| 1 .. length - 1 |]

        let backwards =
            Array.scanBack
                (fun i (after: Tensor) ->
                    normal (Linalg.matmul (after * likelihoods[i]) (Tensor.transpose 0 1 transitions)))
                [| 1 .. length - 1 |]
                (Tensor.ones Kind.Float64 [ n; count ])

        Array.map2 (fun (a: Tensor) (b: Tensor) -> log (Tensor.clamp 1e-300 1.0 (normal (a * b)))) forwards backwards
        |> List.ofArray
        |> Tensor.stack 2
        |> Tensor.reshape [ n; count * length ]

/// How far the laws of neighbouring pairs are from each other, ½ Σ |p − q| over pairs at all places, by samples and exactly.
let private pairsApart (x: Tensor) : float =
    let rows = Tensor.toArray<int64> x |> Array.chunkBySize length
    let one = 1.0 / float rows.Length
    let exact = Array.init (length - 1) (fun _ -> Array.zeroCreate<float>(count * count))
    let mutable law = first

    for k in 0 .. length - 2 do
        for a in 0 .. count - 1 do
            for b in 0 .. count - 1 do
                exact[k].[a * count + b] <- law[a] * next[a].[b]

        law <- Array.init count (fun b -> Seq.sum (seq { for a in 0 .. count - 1 -> law[a] * next[a].[b] }))

    for row in rows do
        for k in 0 .. length - 2 do
            let at = int row[k] * count + int row[k + 1]
            exact[k].[at] <- exact[k].[at] - one

    exact |> Array.averageBy (fun gaps -> 0.5 * Array.sumBy abs gaps)

let private run (corrections: int) (tokens: Tokens) (steps: int) (n: int) : Tensor =
    let times = [ for k in 1..steps -> 1.0 - float k / float steps ]
    let rng = Rng.ofSeed 21L
    let step = DiscreteFlow.stepWith corrections tokens (posterior tokens) (Noise.fresh rng)
    let start = Integrator.start 1.0 (Rng.normal Kind.Float64 [ n; length ] (Rng.named "start" rng))
    Tokens.ofValues tokens (times |> List.fold (fun state until -> Scope.run (fun () -> step until state)) start).X

let private refusal (work: unit -> 'T) : Refusal =
    match Refusing.answer work with
    | Ok _ -> failtest "it was not refused"
    | Error refusal -> refusal

let private sources = [ TokenSource.Mask; TokenSource.Uniform ]

[<Tests>]
let tests =
    testList
        "Losses.Sequence"
        [ testEach
              "with the exact posterior of a chain the bound is its entropy from masks, and no less from random tokens"
              string
              sources
          <| fun source ->
              Scope.run0 (fun () ->
                  let tokens = tokens source
                  let x = draw 4000 (Rng.ofSeed 3L)
                  let values = Tokens.values tokens Kind.Float64 x
                  let bound =
                      Tensor.toFloats (
                          DiscreteFlow.bound tokens Kind.Float64 (posterior tokens) 256 (Rng.ofSeed 4L) values
                      )
                  let gap = Estimate.ofDraws (Array.map2 (-) bound (nats x))
                  // Four standard errors, and a thousandth of the times that is left out next to the data.
                  let error = 4.0 * gap.StandardError + 0.01
                  Expect.isLessThan error 0.15 "the test sees a small gap"

                  match source with
                  | TokenSource.Mask -> Expect.within error gap.Mean 0.0 ""
                  | TokenSource.Uniform -> Expect.isGreaterThan gap.Mean -error "")

          testEach "corrections bring back what few steps of single tokens lose of a chain" string sources
          <| fun source ->
              Scope.run0 (fun () ->
                  let n = 5000
                  let floor = pairsApart (draw n (Rng.ofSeed 5L))
                  let apart corrections steps = pairsApart (run corrections (tokens source) steps n)
                  let few, corrected, many = apart 0 4, apart 4 4, apart 0 32
                  Expect.isGreaterThan few (4.0 * floor) $"four steps are too few: {few} where chance has {floor}"
                  Expect.isLessThan corrected (0.8 * few) $"{corrected} with corrections"
                  Expect.isLessThan many (0.35 * few) $"{many} by many steps"
                  // The last step to the data is not corrected: the shorter it is, the less is left.
                  Expect.isLessThan (apart 4 16) (0.5 * few) "")

          testCase
              "a text is learned as tokens: drawn with corrections, bounded in bits, its network the same from its settings, and other losses are refused"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "t.txt")
                  File.WriteAllText(file, String.replicate 40 "the cat sat on the mat. ")

                  Scope.run0 (fun () ->
                      let data = Datasets.load $"text:{file},window=8"

                      let ask =
                          { TrainingRequest.standard with
                              Network = Some "sequence:depth=1,heads=2,width=16"
                              Steps = Some 30L
                              Batch = Some 32 }

                      let recipe = TrainingRequest.recipe data ask
                      Expect.equal (string recipe.Loss) "dfm:tokens=256,bound=1" "the usual one"
                      let model = Runs.fit recipe data

                      let drawn (corrections: int) =
                          let request =
                              { SamplingRequest.standard with
                                  Count = Some 20
                                  Generation =
                                      { GenerationRequest.standard with
                                          Solver = Some(JumpSamplers.leapingWith corrections)
                                          Steps = Some 8 } }

                          let task = Validation.sampling model request
                          Samples.draw task.Model task.Drawing task.Key task.Count (fun _ _ -> ())

                      let bytes = Tensor.toFloats (drawn 2)
                      // The middles of cells in the network's units are float32.
                      let isByte (b: float) = abs (b - Math.Round b) < 1e-4 && b > -0.5 && b < 255.5
                      Expect.all bytes isByte "bytes"
                      Expect.isFalse (Tensor.same (drawn 0) (drawn 2)) "corrections do something"
                      let density = (HeldOut.density model data 8 (Rng.ofSeed 3L) (fun _ _ -> ())).Value
                      Expect.stringContains density.Verdict "bits a byte" ""
                      // 30 steps are enough to know that most bytes do not occur.
                      Expect.isLessThan (density.Nats.Mean / (8.0 * Math.Log 2.0)) 8.0 ""

                      let refused (loss: string) =
                          refusal (fun () ->
                              Runs.job (TrainingRequest.recipe data { ask with Loss = Some loss }) data)

                      Expect.equal (refused "cfm").Setting Setting.Loss ""
                      Expect.stringContains (string (refused "dfm-kl").Remedy) "tokens=256,bound=1" ""))

          testCase "corrections of jumps on the line are refused"
          <| fun () ->
              let cells: Cells = { Count = 8; Bound = 3.0; Flow = 0.0 }
              let jumps = { Path = Path.condOT; Space = JumpSpace.Line cells; Network = fun _ _ x -> x }
              let error =
                  raised<ArgumentException>(fun () ->
                      Generation.plan (JumpSamplers.leapingWith 1) 4 (Jumping jumps) |> ignore)
              Expect.stringContains error.Message "of tokens" "" ]
