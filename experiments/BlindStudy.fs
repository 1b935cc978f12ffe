namespace Fokker.Experiments

open Fokker
open Fokker.Tool
open Fokker.Report

/// What it costs a network not to be told the time: the same training with the time and without it, for several parametrizations.
module BlindStudy =

    let private standardSeeds, standardSteps, standardCount = 2, 5000L, 4000
    let private laws = [ "moons"; "eight-gaussians" ]

    /// A velocity, a noise and a preconditioned denoiser, each on the path that it is known on.
    let private losses = [ "cfm"; "simple"; "edm" ]

    let private draws = 4

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Law: string
            Loss: string
            Blind: bool
            /// Nats above the entropy, for each seed.
            Excess: float list
            /// W₂ over that of two sets of the law's own samples.
            Ratio: float list
        }

    let private measured (data: Dataset) (count: int) (model: GenerativeModel) : float * float =
        let nats = HeldOut.density model data count (model.Stream "nats") (fun _ _ -> ())
        let excess = nats |> Option.bind _.Excess |> Option.map _.Mean |> Option.defaultValue nan
        excess, OverFloor.wasserstein2 data draws count model

    let private outcomes (ranks: IRanks) (report: Ticker) (seeds: int) (steps: int64) (count: int) : Outcome list =
        let words isBlind = if isBlind then "without the time" else "with the time"

        let figures (law, (loss, isBlind)) seed =
            let data = Datasets.load law

            let recipe =
                TrainingRequest.recipe
                    data
                    { TrainingRequest.standard with
                        Loss = Some loss
                        Blind = Some isBlind
                        Steps = Some steps
                        Seed = Some(int64 (seed: int)) }

            let model = Runs.fit recipe data
            let excess, ratio = measured data count model
            Scope.free model
            [| excess; ratio |]

        let cases = List.allPairs laws (List.allPairs losses [ false; true ])

        cases
        |> Study.sharedSeeds
            ranks
            report
            2
            (fun (law, (loss, isBlind)) -> $"{law}, {loss}, {words isBlind}")
            [ 1..seeds ]
            figures
        |> List.map2
            (fun (law, (loss, isBlind)) own ->
                { Law = law
                  Loss = loss
                  Blind = isBlind
                  Excess = own |> List.map (Array.item 0)
                  Ratio = own |> List.map (Array.item 1) })
            cases

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let seeds, steps = defaultArg options.Seeds standardSeeds, defaultArg options.Steps standardSteps
        let count = defaultArg options.Count standardCount
        let all = Progress.run terminal "blind" 1.0 (fun report -> outcomes options.Ranks report seeds steps count)

        let shown (values: float list) =
            match values with
            | [ value ] -> Cell.Number value
            | values -> Cell.Text(Study.plusMinus (Study.meanAndDeviation values))

        let row law loss =
            let of' isBlind = all |> List.find (fun o -> o.Law = law && o.Loss = loss && o.Blind = isBlind)
            let told, withheld = of' false, of' true

            [ Cell.Text law
              Cell.Text loss
              shown told.Excess
              shown withheld.Excess
              shown told.Ratio
              shown withheld.Ratio ]

        { DataSet = String.concat ", " laws
          Summary =
            "The same training with the time and without it: a network that is not told the noise has to see it in the sample."
          Headlines = []
          Sections =
            [ Study.table
                  "With the time and without it"
                  $"Nats above the entropy over {count} held-out samples, and W₂ over the floor of the law's own samples, {draws} sets; {steps} steps, mean and deviation over {seeds} seeds."
                  [ "law"; "loss"; "nats, with the time"; "nats, without"; "W₂ / floor, with"; "W₂ / floor, without" ]
                  [ for law in laws do
                        for loss in losses -> row law loss ] ]
          Json =
            [ "steps", Json.whole steps
              "outcomes",
              Json.array
                  [ for o in all ->
                        Json.node (
                            Json.object
                                [ "law", Json.text o.Law
                                  "loss", Json.text o.Loss
                                  "blind", Json.flag o.Blind
                                  "excess", Json.array (List.map Json.number o.Excess)
                                  "ratio", Json.array (List.map Json.number o.Ratio) ]
                        ) ] ] }

    let study: Study =
        { Name = "blind"
          Summary = "what it costs a network not to be told the time"
          Reference =
            "Song and Ermon 2019, section 4.2, where the network is conditioned on the noise; Sun, Jiang, Zhao, He 2025, Is noise conditioning necessary for denoising generative models?"
          Uses =
            [ "--seeds", "trainings of each (2)"
              "--steps", "steps of each training (5,000)"
              "--count", "samples that are measured (4,000)" ]
          IsShared = true
          Run = run }
