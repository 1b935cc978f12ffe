/// Averages by a power of the step, and others made of two of them.
module Fokker.Tests.Training.PowerAverageTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

/// A path of one number: a curve and a random walk.
let private path (steps: int) : float[] =
    let random = Random 3
    let mutable walk = 0.0

    [| for k in 1..steps do
           walk <- walk + 0.05 * (random.NextDouble() - 0.5)
           sin (6.0 * float k / float steps) + walk |]

/// The average of an exponent after each step, by its recursion.
let private kept (exponent: float) (values: float[]) : float[] =
    values
    |> Array.mapi (fun k v -> k, v)
    |> Array.scan
        (fun average (k, v) ->
            let left = PowerAverage.decay exponent (int64 k)
            average * left + v * (1.0 - left))
        0.0
    |> Array.tail

[<Tests>]
let tests =
    testList
        "Training.PowerAverage"
        [ testCase "a length and its exponent are each other's inverse, and the lengths are those of the paper"
          <| fun () ->
              for length in [ 0.01; 0.05; 0.1; 0.15; 0.25; PowerAverage.longest ] do
                  Expect.within 1e-12 (PowerAverage.lengthOf (PowerAverage.exponentOf length)) length ""
                  // The root of the cubic.
                  let g, s2 = PowerAverage.exponentOf length, 1.0 / (length * length)
                  let value = g ** 3.0 + 7.0 * g * g + (16.0 - s2) * g + 12.0 - s2
                  Expect.within (1e-9 * (1.0 + g * s2)) value 0.0 "the cubic"

              // Section 3.1: σ_rel of 0.05 and 0.1 are γ of about 16.97 and 6.94.
              Expect.within 5e-3 (PowerAverage.exponentOf 0.05) 16.97 ""
              Expect.within 5e-3 (PowerAverage.exponentOf 0.1) 6.94 ""
              raised<ArgumentException>(fun () -> PowerAverage.exponentOf 0.3 |> ignore) |> ignore
              raised<ArgumentException>(fun () -> PowerAverage.exponentOf 0.0 |> ignore) |> ignore

          // Σ w_τ θ_τ with w_τ = (τ/t)^{γ+1} − ((τ − 1)/t)^{γ+1}, the profile's integral over the step.
          testCase "the recursion's weights are the integrals of the profile over the steps"
          <| fun () ->
              let values = path 500

              for length in [ 0.05; 0.1; 0.25 ] do
                  let g = PowerAverage.exponentOf length
                  let averages = kept g values

                  for t in [ 1; 2; 77; 500 ] do
                      let power (k: int) = Math.Pow(float k / float t, g + 1.0)
                      let expected = Seq.sum (seq { for k in 1..t -> (power k - power (k - 1)) * values[k - 1] })
                      Expect.within 1e-12 averages[t - 1] expected $"{length} after {t} steps"

                  // The weights' deviation is the length.
                  let weights =
                      [| for k in 1..500 ->
                             Math.Pow(float k / 500.0, g + 1.0) - Math.Pow(float (k - 1) / 500.0, g + 1.0) |]
                  let mean = weights |> Seq.mapi (fun k w -> w * (float k + 0.5)) |> Seq.sum
                  let variance = weights |> Seq.mapi (fun k w -> w * (float k + 0.5 - mean) ** 2.0) |> Seq.sum
                  Expect.within 1e-3 (sqrt variance / 500.0) length "the deviation"

          // The weights that are made differ from those wanted by so little that a random walk of steps of deviation 0.015 is off by 7e-5 or less (one deviation); at 0.25 by 0.0015, since 0.2 % of all weight is before the
          // first snapshot, on a path that goes over two units.
          testCase "an average of another length is made of two kept ones, and is the one that was kept directly"
          <| fun () ->
              let steps = 6400
              let values = path steps
              let exponents = PowerAverage.kept |> List.map PowerAverage.exponentOf
              let averages = exponents |> List.map (fun g -> kept g values)

              let snapshots =
                  [| for t in 100..100..steps do
                         for g, average in List.zip exponents averages ->
                             { Exponent = g; Steps = int64 t }, average[t - 1] |]

              for length in [ 0.03; 0.05; 0.07; 0.1; 0.15; 0.2; 0.25 ] do
                  let g = PowerAverage.exponentOf length

                  let weights =
                      PowerAverage.coefficients (Array.map fst snapshots) { Exponent = g; Steps = int64 steps }

                  Expect.within 1e-9 (Array.sum weights) 1.0 "weights sum to one"
                  let made = Array.map2 (fun w (_, value) -> w * value) weights snapshots |> Array.sum
                  let direct = (kept g values)[steps - 1]
                  Expect.within (if length < 0.25 then 5e-4 else 5e-3) made direct $"length {length}"
                  // Two averages at the end alone do not do it.
                  if length >= 0.2 then
                      let last = snapshots[snapshots.Length - 2 ..]
                      let few = PowerAverage.coefficients (Array.map fst last) { Exponent = g; Steps = int64 steps }
                      let crude = Array.map2 (fun w (_, value) -> w * value) few last |> Array.sum
                      Expect.isGreaterThan (abs (crude - direct)) (2.0 * abs (made - direct)) "snapshots are needed"

          testCase "a training's averages are those of its parameters, and a run that is taken up again has the same"
          <| fun () ->
              inFolder (fun folder ->
                  let exponents = PowerAverage.kept |> List.map PowerAverage.exponentOf
                  let within (plan: Plan) =
                      { plan with
                          Settings = { plan.Settings with Powers = exponents }
                          Snapshot = fun step -> step % 10L = 0L }

                  let train (name: string) (plan: Plan) =
                      let place = Path.Combine(folder, name)
                      use claim = Run.claim place

                      if not (File.Exists(Run.runFile place)) then
                          Run.create claim []

                      let result = Run.train claim plan (fun _ _ -> ()) (fun () -> false)
                      Scope.free result.State
                      place

                  let whole = train "whole" (within (plan 60L))
                  train "parts" (within { plan 25L with Save = Cadence.Steps 7L }) |> ignore
                  let parts = train "parts" (within { plan 60L with Save = Cadence.Steps 7L })
                  let files place = Directory.GetFiles(Run.averagesFolder place) |> Array.sort
                  Expect.equal (files whole).Length 6 ""

                  for a, b in Array.zip (files whole) (files parts) do
                      Expect.isTrue (File.ReadAllBytes a = File.ReadAllBytes b) "the same bytes"

                  // The parameters of every step, from trainings that end there.
                  let parameters =
                      [| for step in 1L .. 60L do
                             let result = Run.inMemory (plan step) (fun _ _ -> ()) (fun () -> false)
                             let found = result.State.Parameters |> Array.collect Tensor.toFloats
                             Scope.free result.State
                             found |]

                  for profile, read in Run.snapshots whole small do
                      let found = Scope.run (fun () -> read () |> Array.collect Tensor.toFloats)
                      let t = int profile.Steps
                      let power (k: int) = Math.Pow(float k / float t, profile.Exponent + 1.0)

                      let expected =
                          Array.init found.Length (fun i ->
                              Seq.sum (seq { for k in 1..t -> (power k - power (k - 1)) * parameters[k - 1][i] }))

                      // Sums of 60 float32 numbers of at most a few.
                      close 2e-6 expected found) ]
