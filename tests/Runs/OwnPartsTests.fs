/// Parts of the caller's own: given as a value, found by name, kept by a run and wanted again by whoever reads it.
module Fokker.Tests.Runs.OwnPartsTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests

let private power =
    Part.of1 (Parameter.make "k" 2.0 Allowed.Positive "k") (fun k ->
        Path.ofLogAlpha "own-power" $"α² = 1 − t^k, k = {k}" "here" (0.5 * Curve.log1p (-(Curve.time ** k))))

let private steep = Part.fixedAt (Weight.onErrorOf Prediction.data "own-steep" "α" "here" _.Alpha)

/// One line, of x and t side by side.
let private affine: Part<NetworkRequest -> Network> =
    { Name = "own-affine"
      Summary = ""
      Equation = "W (x, t) + b"
      Reference = "here"
      Parameters = [ Parameter.make "gain" 1.0 Allowed.Positive "what x is multiplied by" ]
      Make =
        fun numbers ask ->
            let b = Blueprint()
            let line = Layer.linearOf (b.Inside "line") [ ask.Sample.Head; 2 ] (ask.Outputs * ask.Sample.Head)
            let features = Embedding.fourier [| 1.0 |]

            { Name = "whatever"
              Settings = []
              Specs = b.Specs
              Apply = fun p _ t x -> line p [ numbers[0] * x; (features t).To x.Kind ]
              Uncertainty = None
              Fitted = None
              Dropping = None } }

let private loss: Part<LossEntry> =
    Part.fixedAt
        { Name = "own-loss"
          Summary = "Regression on the data."
          Equation = "E ‖y − x₀‖²"
          Reference = "here"
          Uses = [ Setting.Path, None; Setting.Weight, Some(PartName.plain "own-steep") ]
          Make =
            fun parts ->
                Loss.regression parts.Path
                |> Loss.predicting Prediction.data
                |> Loss.weighted parts.Weight
                |> Objective.ofRegression }

let private mine =
    { OwnParts.none with
        Paths = [ power ]
        Weights = [ steep ]
        Losses = [ loss ]
        Networks = [ affine ] }

let private data = Datasets.load "moons"

let private recipe =
    TrainingRequest.overAmong
        (Known.including mine)
        (Recipe.standardFor data)
        { TrainingRequest.standard with
            Loss = Some "own-loss"
            Path = Some "own-power:k=3"
            Network = Some "own-affine:gain=0.5"
            Batch = Some 16
            Steps = Some 6L }

let private job () = Runs.jobWith "runs" mine recipe data

[<Tests>]
let tests =
    testList
        "Runs.OwnParts"
        [ testCase "a loss of one's own brings parts of one's own, with their numbers"
          <| fun () ->
              Expect.equal (string recipe.Path.Value) "own-power:k=3" ""
              Expect.equal (string recipe.Weight.Value) "own-steep" ""
              Expect.equal (string recipe.Network) "own-affine:gain=0.5" ""
              let path = job().Objective.Path
              // α² = 1 − t³.
              Expect.within 1e-12 (Curve.eval path.Alpha 0.5 ** 2.0) 0.875 ""
              Expect.equal path.Name "own-power:k=3" ""
              Expect.equal (Recipe.ofSettings "run.json" (Map.ofList (Recipe.settings recipe))) recipe ""

          // Stopped after two steps of six and taken up again, it ends in the bytes of one that was not stopped; its model is read with the parts, and not without.
          testCase "a run with parts of one's own is resumed and its model read"
          <| fun () ->
              let root = Directory.CreateTempSubdirectory("fokker-own-").FullName

              try
                  let trained name stops =
                      let folder = Runs.place root name

                      for k, last in List.indexed (stops @ [ Int64.MaxValue ]) do
                          use claim = Run.claim folder.Path

                          if k = 0 then
                              Run.create claim (Recipe.settings recipe)

                          let mutable step = 0L
                          // What is resumed is what the folder says.
                          let job = Runs.jobWith root mine (Runs.recipe folder) data

                          Run.train claim (Job.plan job) (fun info _ -> step <- info.Step) (fun () -> step >= last)
                          |> ignore

                      Runs.trainedIn mine None None folder

                  let whole, resumed = trained "whole" [], trained "resumed" [ 2L ]
                  Expect.equal whole.Network.Name "own-affine" ""
                  Expect.equal whole.Path.Name "own-power:k=3" ""
                  Expect.equal whole.Network.Settings resumed.Network.Settings ""

                  for a, b in Array.zip whole.Parameters resumed.Parameters do
                      Expect.equal (Tensor.toFloats a) (Tensor.toFloats b) ""

                  // The gain is 0.5 again: the network that was read says what the one that was trained does.
                  let x = Rng.normal Kind.Float32 [ 5; 2 ] (Rng.ofSeed 1L)
                  let t = Tensor.scalar Kind.Float64 0.3
                  let said (network: Network) = Tensor.toFloats (network.Apply whole.Parameters None t x)
                  Expect.equal (said whole.Network) (said (job().Network)) ""

                  let refused = raised<UserError>(fun () -> Runs.load root None None "whole" |> ignore)
                  Expect.stringContains refused.Message "own-power" ""
              finally
                  Directory.Delete(root, true)

          testCase "a part with the name of one of the library's is refused"
          <| fun () ->
              let other = { Times.uniform with Name = "mode" }
              let own = { mine with Times = [ Part.fixedAt other ] }

              let refusal = raised<RefusedException>(fun () -> Runs.jobWith "runs" own recipe data |> ignore).Refusal

              Expect.equal refusal.Setting Setting.Times ""
              Expect.equal refusal.Given "mode" ""

          testCase "a tableau of one's own is a sampler of its order"
          <| fun () ->
              let heun3 =
                  Tableau.make
                      "own-heun3"
                      "Heun 1900"
                      3
                      [ 0.0; 1.0 / 3.0; 2.0 / 3.0 ]
                      [ [ 1.0 / 3.0 ]; [ 0.0; 2.0 / 3.0 ] ]
                      [ 0.25; 0.0; 0.75 ]
                      []

              let sampler = Samplers.ofTableau heun3
              Expect.equal (sampler.Order, sampler.EvaluationsPerStep) (3, 3) ""

              let known = Known.including { OwnParts.none with Samplers = [ Part.fixedAt sampler ] }
              Expect.equal (known.Samplers.Find "own-heun3").Name "own-heun3" ""
              Expect.equal (Known.described known |> List.map _.Name) (Catalogue.all |> List.map _.Name) "" ]
