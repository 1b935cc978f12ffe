namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Optimal against independent pairs in the plane, in the two settings that were published: moons to eight Gaussians (`MoonsToEight`) and back, with conditions and without
/// (`EightToMoons`).
module OtCfm =

    /// A flow between two laws in the plane, from what they draw, and the seconds that it took: batches of 256, an MLP of 3 × 64.
    let learn
        (steps: int64)
        (source: Rng -> int -> Tensor)
        (data: Rng -> int -> Tensor)
        (m: Matching)
        (key: Rng)
        : Flow * float =
        let outputs = NetworkOutput.count (Matching.output m)
        let network = Networks.mlp { Mlp.standard 2 with Width = 64; Outputs = outputs }
        let m = Matching.from (fun rng x0 -> (source rng x0.Shape[0]).To x0.Kind) m

        let pairs step =
            let rng = Rng.at step (Rng.named "batches" key)

            Matching.pair
                m
                (Rng.named "pairs" rng)
                { Data = (data (Rng.named "data" rng) 256).To Kind.Float32; Label = None; Source = None }

        let training =
            { Trainer.standard with
                Optimizer =
                    { Trainer.standard.Optimizer with Rate = Schedule.WarmUp(100L, Schedule.Cosine(1e-3, 0.0, steps)) } }

        let state, seconds = PlaneFlow.train training network (Matching.loss m) pairs steps key
        Matching.flow m (network.Apply state.Average), seconds

    let private seeds, epochs, steps = 5, 1000, 20_000L

    let private cell (values: float list) = Cell.Text(Study.plusMinus (Study.meanAndDeviation values))

    let private estimate (values: float list) =
        let mean, deviation = Study.meanAndDeviation values
        Json.node (Json.object [ "mean", Json.number mean; "deviation", Json.number deviation ])

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let seeds = defaultArg options.Seeds seeds
        let steps = defaultArg options.Steps steps
        // The first setting goes by epochs of 19 batches: a thousand of them are its 19,000 steps.
        let epochs = max 1 (int (float epochs * float steps / 20_000.0))
        let points = defaultArg options.Count 10_000

        let first =
            Progress.run
                terminal
                "moons to eight Gaussians"
                1.0
                (MoonsToEight.outcomes options.Ranks seeds epochs (min 4096 points))
        let second =
            Progress.run
                terminal
                "eight Gaussians to moons"
                1.0
                (EightToMoons.outcomes options.Ranks seeds steps points)

        { DataSet = "two moons and eight Gaussians"
          Summary =
            $"Flows between two laws in the plane from independent pairs and from pairs of each batch's optimal plan, in both published settings: {seeds} seeds."
          Headlines = []
          Sections =
            [ Study.table
                  "Moons to eight Gaussians"
                  $"After Tong et al. 2024: mean and standard deviation over {seeds} seeds of {epochs} epochs; W2² of the laws is {first.Squared:F2}. Normalized path energy is |energy − W2²|/W2²."
                  [ ""; "normalized path energy"; "published"; "W2 to 1,000 test points" ]
                  [ for name, outcomes in first.Outcomes ->
                        [ Cell.Text name
                          cell (outcomes |> List.map (fun o -> abs (o.Energy - first.Squared) / first.Squared))
                          Cell.Text(MoonsToEight.published name)
                          cell (outcomes |> List.map _.Distance) ] ]
              Study.table
                  "Eight Gaussians to moons"
                  $"After Cheng, Schwing 2025: squared W2 to {points} points, mean and standard deviation over {seeds} seeds of {steps} steps; two sets of moons are {second.Floor:F3} apart."
                  [ "condition"; "pairs"; "1 Euler step"; "converged"; "published" ]
                  [ for outcome in second.Outcomes ->
                        [ Cell.Text outcome.Condition
                          Cell.Text outcome.Pairs
                          cell outcome.Euler
                          cell outcome.Converged
                          Cell.Text(EightToMoons.published outcome.Condition outcome.Pairs) ] ] ]
          Json =
            [ "seeds", Json.whole (int64 seeds)
              "epochs", Json.whole (int64 epochs)
              "steps", Json.whole steps
              "points", Json.whole (int64 points)
              "wasserstein2Squared", Json.number first.Squared
              "floor", Json.number second.Floor
              for name, outcomes in first.Outcomes do
                  name,
                  Json.node (
                      Json.object
                          [ "pathEnergy", estimate (outcomes |> List.map _.Energy)
                            "wasserstein2", estimate (outcomes |> List.map _.Distance)
                            "seconds", estimate (outcomes |> List.map _.Seconds) ]
                  )
              for outcome in second.Outcomes do
                  $"{outcome.Condition} {outcome.Pairs}",
                  Json.node (
                      Json.object
                          [ "euler1Squared", estimate outcome.Euler
                            "convergedSquared", estimate outcome.Converged
                            "seconds", estimate outcome.Seconds ]
                  ) ] }

    let study: Study =
        { Name = "ot-cfm"
          Summary = "moons and eight Gaussians with independent, optimal and conditional pairs"
          Reference =
            "Tong et al. 2024, Improving and generalizing flow-based generative models, section 5.1; Cheng, Schwing 2025, The curse of conditions, section 4.1"
          Uses =
            [ "--seeds", "trainings of each method (5)"
              "--steps", "optimization steps of each training (20,000)"
              "--count", "points that distances are between in the second setting (10,000)" ]
          IsShared = true
          Run = run }
