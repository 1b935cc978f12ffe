/// What held-out samples are worth under a model, beside the entropy of their law; and what the measures say in words.
module Fokker.Tests.Runs.HeldOutTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support
open Fokker.Tests.Training.Support

/// Midpoints of so many cells a side of [−a, a]², and the area of a cell.
let private grid (a: float) (cells: int) =
    let h = 2.0 * a / float cells
    let at k = -a + (float k + 0.5) * h
    Tensor.ofArray
        [ cells * cells; 2 ]
        [| for i in 0 .. cells - 1 do
               for j in 0 .. cells - 1 do
                   yield at i
                   yield at j |],
    h * h

[<Tests>]
let tests =
    testList
        "Runs.HeldOut"
        [
          // The laws whose densities are known have the moments that they say, by quadrature; those of samples are tested elsewhere. The noise of the
          // narrowest is 0.08, twice the cell: midpoints are exact but for 1e-8 there, and for the checkerboard, whose edges lie on cells' edges, entirely.
          testCase "the densities of the laws of the plane have mass one and the moments of the laws"
          <| fun () ->
              Scope.run0 (fun () ->
                  let x, cell = grid 6.0 300

                  for law in Plane.all do
                      match law.LogDensity with
                      | None -> ()
                      | Some logDensity ->
                          let mass = exp (logDensity x) * cell
                          let by (f: Tensor) = (Tensor.sum (mass * f)).ToFloat()
                          Expect.within 1e-5 ((Tensor.sum mass).ToFloat()) 1.0 law.Name

                          for k in 0..1 do
                              let column = Tensor.select 1 k x
                              let mean = by column
                              // The rule along the curve and the closed form of the moments: 1e-5 and below.
                              Expect.within 2e-5 mean (law.Mean[k]) law.Name
                              // The checkerboard's is that of midpoints: less by the cell's own variance h²/12.
                              let own = if law.Name = "checkerboard" then cell / 12.0 else 0.0
                              let variance = by (Tensor.square column) - mean * mean + own
                              Expect.within 2e-4 variance (law.Variance[k]) law.Name)

          testCase "the entropy of the checkerboard is log 32, and its samples are on it"
          <| fun () ->
              let x = Plane.checkerboard.Draw (Rng.ofSeed 1L) 1000
              let nats = Tensor.toFloats (Plane.checkerboard.LogDensity.Value x)
              (for value in nats do
                  Expect.within 1e-14 value (-(Math.Log 32.0)) "")
              let beside = Tensor.ofArray [ 2; 2 ] [| 1.0; -1.0; 5.0; 1.0 |]
              Expect.all
                  (Tensor.toFloats (Plane.checkerboard.LogDensity.Value beside))
                  (fun value -> value = -infinity)
                  ""

          // Eight Gaussians whose deviation is c times the law's, in the units of the network: KL = log c² + 1/c² − 1 in two dimensions, as long as they are apart.
          testTheory "what held-out samples cost above the entropy is the divergence from the law" [ 1.0; 1.2 ]
          <| fun (c: float) ->
              Scope.run0 (fun () ->
                  let data = Dataset.ofLaw Plane.eightGaussians
                  let scale = data.Units.Scale[0]
                  let number (value: float) = value.ToString("R", Globalization.CultureInfo.InvariantCulture)
                  let means =
                      [ for k in 0..7 ->
                            let angle = float k * Math.PI / 4.0
                            $"[{number (4.0 / sqrt 2.0 * cos angle / scale)}, {number (4.0 / sqrt 2.0 * sin angle / scale)}]" ]
                      |> String.concat ", "
                  let stds = String.Join(", ", Array.create 8 (number (c * 0.5 / sqrt 2.0 / scale)))
                  let mixture = Mixture.ofJson "" $"""{{"means": [{means}], "stds": [{stds}]}}"""
                  let exact = GenerativeModel.ofMixture "eight" Path.condOT Prediction.velocity Kind.Float64 mixture
                  let model = { exact with Origin = Origin.Supplied; Units = data.Units }
                  let found = (HeldOut.density model data 2000 (Rng.ofSeed 3L) (fun _ _ -> ())).Value
                  let excess = found.Excess.Value
                  let divergence = 2.0 * Math.Log c + 1.0 / (c * c) - 1.0
                  // Heun's 25 steps are off by less than 0.005.
                  Expect.within (4.0 * excess.StandardError + 0.005) excess.Mean divergence ""
                  // Sample by sample, the error is far below that of the means.
                  Expect.isLessThan excess.StandardError found.Nats.StandardError "")

          // Data are uniform over a square that four tokens a coordinate divide. From masks the bound is exact: log 4 a coordinate for a network that says so, and as much more as the
          // divergence from what it says where it says something else.
          testTheory
              "the bound of jumps of tokens is above the entropy by the divergence"
              [ [ 0.25; 0.25; 0.25; 0.25 ]; [ 0.4; 0.3; 0.2; 0.1 ] ]
          <| fun (said: float list) ->
              Scope.run0 (fun () ->
                  let square =
                      { Plane.checkerboard with
                          Name = "square"
                          Draw = fun rng n -> Rng.uniform Kind.Float64 [ n; 2 ] rng * 6.0 - 3.0
                          Mean = [| 0.0; 0.0 |]
                          Variance = [| 3.0; 3.0 |]
                          LogDensity = Some(fun x -> Tensor.full Kind.Float64 [ x.Shape[0] ] -(Math.Log 36.0)) }
                  let data = Dataset.ofLaw square
                  let tokens = { Count = 4; Bound = 0.75 * sqrt 3.0; Source = TokenSource.Mask }
                  let logits = Tensor.ofArray [ 1; 4; 1 ] [| for p in said -> Math.Log p |]
                  let network: Field = fun _ x -> Tensor.expand [ x.Shape[0]; 4; 2 ] (logits.To x.Kind)
                  let mixture = Mixture.ofJson "" """{"means": [[0, 0]], "stds": [1]}"""
                  let exact = GenerativeModel.ofMixture "square" Path.condOT Prediction.velocity Kind.Float64 mixture
                  let jumps = { Path = Path.condOT; Space = JumpSpace.Tokens tokens; Network = fun _ -> network }
                  let model = { exact with Origin = Origin.Supplied; Units = data.Units; Dynamics = Jumping jumps }
                  let found = (HeldOut.density model data 2000 (Rng.ofSeed 3L) (fun _ _ -> ())).Value
                  let excess = found.Excess.Value
                  let divergence = -2.0 * List.averageBy (fun p -> Math.Log(4.0 * p)) said
                  Expect.isTrue found.IsBound ""
                  Expect.isLessThan excess.StandardError 0.04 ""
                  // Times before a thousandth are taken for a thousandth, which is a thousandth of the whole.
                  Expect.within (4.0 * excess.StandardError + 0.003) excess.Mean divergence "")

          // Two Gaussians far enough apart that the rule errs on some, and each class followed along its own exact flow.
          testCase "Bayes' rule of a model's densities of classes is that of the law's"
          <| fun () ->
              Scope.run0 (fun () ->
                  let law =
                      Mixture.ofJson
                          ""
                          """{"weights": [0.5, 0.5], "means": [[-0.8, 0], [0.8, 0.3]], "stds": [0.7, 0.9], "labels": [0, 1]}"""
                  let exact = GenerativeModel.ofMixture "law" Path.condOT Prediction.velocity Kind.Float64 law
                  let model = { exact with Origin = Origin.Supplied; Labels = true }
                  let x = Mixture.sample 400 (Rng.ofSeed 5L) law
                  let task =
                      Validation.densities
                          model
                          { DensityRequest.standard with
                              Generation = { GenerationRequest.standard with Steps = Some 60 } }
                  let found = BayesRule.densities model task.Way task.Time 400 (Rng.ofSeed 6L) (fun _ _ -> ()) x
                  let truth k = Tensor.toFloats (Mixture.logDensityOfData (Mixture.ofClass k law) x)
                  let first, second = truth 0, truth 1
                  // Of Heun's method in sixty steps.
                  for i in 0..399 do
                      Expect.within 0.02 found[i].[0] first[i] ""
                      Expect.within 0.02 found[i].[1] second[i] ""

                  let named = Array.map2 (fun a b -> if a >= b then 0 else 1) first second
                  let right = BayesRule.accuracy found named
                  Expect.isGreaterThan right.Mean 0.99 "where the two are equal to 0.02 they may differ"
                  let wrong = BayesRule.accuracy found (Array.map (fun k -> 1 - k) named)
                  Expect.within 1e-12 (wrong.Mean + right.Mean) 1.0 ""
                  let untold = { model with Labels = false }
                  let refused =
                      raised<RefusedException>(fun () ->
                          BayesRule.densities untold task.Way task.Time 400 (Rng.ofSeed 6L) (fun _ _ -> ()) x
                          |> ignore)
                  Expect.stringContains refused.Message "no classes" "")

          testCase "one function says what a score means"
          <| fun () ->
              let estimate mean error = { Mean = mean; StandardError = error; Draws = 20 }

              let score value known =
                  { Name = "m"
                    Equation = "m"
                    Value = estimate value 0.03
                    Floor = estimate 1.0 0.04
                    Size = 1000
                    Better = Better.Lower
                    FloorIsKnown = known
                    Undefined = None }

              equal "not distinguished by this measure at n = 1,000" (score 1.1 false).Verdict
              equal "1.50 × its floor, 10.0 standard errors above it" (score 1.5 false).Verdict
              equal "10.0 standard errors above its floor" (score 1.5 true).Verdict
              // Of shares less is worse, and of what is to be 1 both sides are.
              let share value better = { score value true with Better = better }
              equal "10.0 standard errors below that of two sets of the data" (share 0.5 Better.Higher).Verdict
              equal "not distinguished by this measure at n = 1,000" (share 1.5 Better.Higher).Verdict
              equal "10.0 standard errors above that of two sets of the data" (share 1.5 Better.Nearer).Verdict
              equal "10.0 standard errors below that of two sets of the data" (share 0.5 Better.Nearer).Verdict
              // No ratio of numbers whose floor is zero but for chance.
              equal None (score 1.5 true).Ratio

          testCase "the command line and the report say the same of a run"
          <| fun () ->
              use folder = new Folder()
              let words =
                  [ "train"; "checkerboard"; "--name"; "board"; "--runs"; folder.Path ]
                  @ Fokker.Tests.CommandLine.Support.small
              let trained = fokker (words @ [ "--json" ])
              Expect.equal trained.Code 0 trained.Error
              let result = json trained
              let run = folder.File "board"
              let page = File.ReadAllText(Path.Combine(run, "report.html"))

              for KeyValue(name, metric) in (nonNull result["metrics"]).AsObject() do
                  let metric = nonNull metric
                  let verdict = string metric["verdict"]
                  Expect.isNonEmpty verdict name
                  Expect.stringContains page verdict name

              let density = (nonNull result["density"]).AsObject()

              let number (field: string) : float =
                  let estimate: JsonNode = nonNull density[field]
                  (nonNull estimate["value"]).GetValue<float>()

              // The entropy is known without error, and twenty steps of training are far above it.
              Expect.within 1e-12 (number "entropy") (Math.Log 32.0) ""
              Expect.within 1e-9 (number "excess") (number "negativeLogDensity" - Math.Log 32.0) ""
              Expect.isGreaterThan (number "excess") 0.3 ""
              Expect.stringContains page "nats above the entropy" ""

              // Written again from what was kept, it says the same.
              equal 0 (fokker [ "report"; "board"; "--runs"; folder.Path; "--quiet" ]).Code
              Expect.stringContains (File.ReadAllText(Path.Combine(run, "report.html"))) "nats above the entropy" "" ]
