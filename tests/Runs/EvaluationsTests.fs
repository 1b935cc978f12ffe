/// Distances with their floors: the library's are those that the command line prints.
module Fokker.Tests.Runs.EvaluationsTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support
open Fokker.Tests.Training.Support

let private law =
    """{"weights": [0.5, 0.3, 0.2], "means": [[-1.5, 0], [1, 1.2], [0.8, -1]], "stds": [0.4, 0.5, 0.3], "labels": [0, 1, 1]}"""

let private model () =
    GenerativeModel.ofMixture "law.json" Path.condOT Prediction.velocity Kind.Float64 (Mixture.ofJson "" law)

let private silent: Stage -> Ticker = fun _ _ _ -> ()
let private small: Protocol = { Draws = 3; Size = 60; Pool = 180 }

let private dataOf (model: GenerativeModel) = Option.get (GenerativeModel.ownData model)

let private euler (model: GenerativeModel) =
    { Samples.standardFor model with Sampler = Samplers.euler; Grid = Samplers.euler.Grid; Steps = 3 }

/// The figures of `metrics` in a command's JSON, in the order of `figuresOf`.
let private printed (json: JsonObject) =
    let metrics = (nonNull json["metrics"]).AsObject()

    [ for KeyValue(name, node) in metrics do
          let metric = (nonNull node).AsObject()
          let number (field: string) = (nonNull metric[field]).GetValue<float>()

          name,
          [ for field in [ "value"; "standardError"; "floor"; "floorStandardError"; "standardErrorsAboveFloor" ] ->
                number field ] ]

let private figuresOf (found: Evaluations) =
    [ for s in found.Scores ->
          s.Name, [ s.Value.Mean; s.Value.StandardError; s.Floor.Mean; s.Floor.StandardError; s.Excess ] ]

let private evaluated (words: string list) =
    use folder = new Folder()
    File.WriteAllText(folder.File "law.json", law)
    let outcome = fokker ([ "evaluate"; "--oracle"; folder.File "law.json"; "--json"; "--quiet" ] @ words)
    Expect.equal outcome.Code 0 outcome.Error
    json outcome

[<Tests>]
let tests =
    testList
        "Runs.Evaluations"
        [ testCase "the command line prints what the library finds"
          <| fun () ->
              Scope.run0 (fun () ->
                  let own = model ()
                  let found = Evaluations.find small (dataOf own) own (euler own) 4L silent
                  let words = [ "--draws"; "3"; "-n"; "60"; "--seed"; "4"; "--solver"; "euler"; "--steps"; "3" ]
                  Expect.same (figuresOf found) (printed (evaluated words)) ""
                  Expect.same found.Protocol small "")

          full (
              testCase "one call is the command without options"
              <| fun () ->
                  Scope.run0 (fun () ->
                      let own = model ()
                      let found = Evaluations.ofModel (dataOf own) own
                      Expect.same (figuresOf found) (printed (evaluated [])) "")
          )

          testCase "the samples of an evaluation score the same whoever brings them"
          <| fun () ->
              Scope.run0 (fun () ->
                  let own = model ()
                  let drawing = euler own
                  let drawn = Samples.draw own drawing (Evaluations.samplesKey 4L) small.Pool (fun _ _ -> ())

                  Expect.same
                      (figuresOf (Evaluations.ofSamples small (dataOf own) own.Seed silent drawn))
                      (figuresOf (Evaluations.find small (dataOf own) own drawing 4L silent))
                      "")

          // The reference is all held out: no more than its rows, each at most once in the two sets of a floor.
          testCase "a reference is measured against as a whole"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x = Rng.normal Kind.Float64 [ 40; 2 ] (Rng.ofSeed 1L)
                  let data = Evaluations.reference "x" x
                  let whole = Evaluations.heldOut data (Rng.ofSeed 2L) 100
                  let sorted t = Array.sort (Tensor.toFloats t)
                  Expect.same (sorted whole) (sorted x) ""
                  let found =
                      Evaluations.ofSamples (Evaluations.standardFor data) data 0L silent (Tensor.narrow 0 0 30 x)
                  Expect.same found.Protocol { Draws = 20; Size = 20; Pool = 30 } "")

          testCase "a class is held against its own data"
          <| fun () ->
              Scope.run0 (fun () ->
                  let own = model ()
                  // Of labelled rows, those of the label: here the first coordinate says it.
                  let labels = Array.init 400 (fun k -> int64 (k % 2))
                  let rows = labels |> Array.collect (fun label -> [| float label; 3.0 |])

                  let data =
                      Dataset.ofSamples
                          "rows"
                          ""
                          "rows"
                          (Tensor.ofArray [ 400; 2 ] rows)
                          (Some(Tensor.ofArray [ 400 ] labels))

                  let one = Evaluations.ofClass own 1 data
                  let held = Evaluations.heldOut one (Rng.ofSeed 1L) 400
                  Expect.between 1 39 (held.Shape[0]) ""
                  let first = Tensor.toFloats (Tensor.select 1 0 held)
                  (for value in first do
                      Expect.within 1e-12 value 1.0 "")

                  // Of a law, the mixture of its own components: 0.6 to the first of them.
                  let drawn = Evaluations.heldOut (Evaluations.ofClass own 1 (dataOf own)) (Rng.ofSeed 1L) 20_000
                  let mean = Tensor.toFloats (Tensor.meanOver [ 0 ] drawn)
                  // The deviations are 0.45 and 1.2; of the mean of 20,000 below 0.009, four times.
                  Expect.within 0.035 (mean[0]) (0.6 * 1.0 + 0.4 * 0.8) ""
                  Expect.within 0.035 (mean[1]) (0.6 * 1.2 - 0.4 * 1.0) ""

                  userError (fun () -> Evaluations.ofClass own 1 (Dataset.ofLaw Plane.moons))
                  |> names [ "Class = 1"; "moons"; "no labels" ])

          // A tenth of the samples are put between the squares of the checkerboard: what lies where the law has nothing is counted, and none of the law's own samples do.
          testCase "what a model puts where the law has nothing is counted"
          <| fun () ->
              Scope.run0 (fun () ->
                  let data = Dataset.ofLaw Plane.checkerboard
                  let x = Plane.checkerboard.Draw (Rng.ofSeed 1L) 60
                  let beside = Tensor.cat 0 [ Tensor.full Kind.Float64 [ 6; 2 ] 5.0; Tensor.narrow 0 6 54 x ]
                  let one: Protocol = { Draws = 2; Size = 60; Pool = 60 }
                  let found = Evaluations.ofSamples one data 0L silent beside
                  let score = found.Scores |> List.find (fun score -> score.Name = "outside")
                  Expect.within 1e-12 score.Value.Mean 0.1 ""
                  Expect.equal score.Floor.Mean 0.0 ""
                  // Of data whose law is not known there is no such figure.
                  let other = Evaluations.reference "x" x
                  let names = (Evaluations.ofSamples one other 0L silent x).Scores |> List.map _.Name
                  Expect.isFalse (List.contains "outside" names) "")

          // Half of the pairs of points are of equal points: their median distance is 0, and what needs it has no figure. The others have theirs, and all of it is told.
          testCase "a measure that is undefined says why, and the others are measured"
          <| fun () ->
              Scope.run0 (fun () ->
                  let own = model ()
                  let u = Rng.uniform Kind.Float64 [ 400; 1 ] (Rng.ofSeed 1L)
                  let some = (Tensor.greaterThan 0.85 u).To Dtype.Float64
                  let tied = Evaluations.reference "tied" (some * Rng.normal Kind.Float64 [ 400; 2 ] (Rng.ofSeed 2L))
                  let found = Evaluations.find small tied own (euler own) 0L silent

                  for score in found.Scores do
                      match score.Name with
                      | "multiquadric"
                      | "mmd" ->
                          score.Undefined.Value |> names [ "median"; "bandwidth" ]
                          Expect.isNaN score.Value.Mean ""
                          Evaluation.line score |> names [ score.Name; "undefined"; "bandwidth" ]
                      | _ ->
                          Expect.equal score.Undefined None score.Name
                          Expect.isTrue
                              (Double.IsFinite score.Value.Mean && Double.IsFinite score.Floor.Mean)
                              score.Name

                  let metrics: JsonObject = Evaluation.json found.Scores
                  let mmd = (nonNull metrics["mmd"]).AsObject()
                  Expect.isTrue (isNull mmd["value"]) ""
                  (nonNull mmd["undefined"]).GetValue<string>() |> names [ "bandwidth" ])

          testCase "what cannot be measured is refused in one line"
          <| fun () ->
              Scope.run0 (fun () ->
                  let own = model ()
                  let line = Evaluations.reference "line" (Rng.normal Kind.Float64 [ 40; 1 ] (Rng.ofSeed 1L))
                  let few = Evaluations.reference "few" (Rng.normal Kind.Float64 [ 7; 2 ] (Rng.ofSeed 1L))
                  let find data () = Evaluations.find small data own (euler own) 0L silent
                  userError (find line) |> names [ "line"; "[1]"; "law.json"; "[2]" ]
                  userError (find few) |> names [ "few"; "7"; "at least 8" ]
                  let seven = Rng.normal Kind.Float64 [ 7; 2 ] (Rng.ofSeed 1L)
                  userError (fun () -> Evaluations.ofSamples small (dataOf own) 0L silent seven)
                  |> names [ "7 samples"; "at least 8" ]) ]
