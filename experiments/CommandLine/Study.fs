namespace Fokker.Experiments

open System
open Argu
open Fokker
open Fokker.Experiments.Studies

type StudyArgument =
    | [<MainCommand; Unique>] Name of study: string
    | [<Unique>] Seeds of count: int
    | [<Unique>] Steps of count: int64
    | [<Unique>] Quiet
    | [<Unique>] Json

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Name _ -> "which experiment of the literature: ot-cfm"
            | Seeds _ -> "trainings of each method (5)"
            | Steps _ -> "optimization steps of each (20,000)"
            | Quiet -> "results only"
            | Json -> "print one JSON object on standard output"

/// `fokker study`: an experiment of the literature, repeated.
module Study =

    let private studies = [ "ot-cfm" ]

    let private meanAndDeviation (values: float list) =
        let mean = List.average values
        let spread = values |> List.sumBy (fun v -> (v - mean) * (v - mean))
        mean, sqrt (spread / float (max 1 (values.Length - 1)))

    let private otCfm (terminal: Terminal) (settings: OtCfm.Settings) =
        let outcomes, squared, floor =
            Progress.run terminal "ot-cfm" 1.0 (fun report -> OtCfm.run settings (fun part what -> report part what))

        let measures: (string * string * (OtCfm.Outcome -> float)) list =
            [ "euler1", "W2, 1 Euler step", _.Euler1
              "euler4", "W2, 4 Euler steps", _.Euler4
              "converged", "W2, Dormand–Prince, 50 steps", _.Converged
              "doubled", "the same, 100 steps", _.Doubled
              "pathEnergy", "path energy", _.Energy
              "normalizedPathEnergy", "|energy − W2²|/W2²", (fun o -> abs (o.Energy - squared) / squared)
              "seconds", "seconds of training", _.Seconds ]

        Terminal.tell
            terminal
            $"eight Gaussians to two moons, {settings.Seeds} seeds, {settings.Steps} steps: mean and standard deviation; W2² of the laws {squared:F3}, W2 between two sets of {settings.Points} moons {floor:F3}"

        for _, label, read in measures do
            let cells =
                [ for name, results in outcomes ->
                      let mean, deviation = meanAndDeviation (List.map read results)
                      $"{name} {mean:F3} ± {deviation:F3}" ]

            Terminal.tell terminal $"""  {label, -30}{String.Join("   ", cells)}"""

        Terminal.give
            terminal
            (Json.object
                [ "study", Json.text "ot-cfm"
                  "seeds", Json.whole (int64 settings.Seeds)
                  "steps", Json.whole settings.Steps
                  "wasserstein2Squared", Json.number squared
                  "floor", Json.number floor
                  for name, results in outcomes do
                      name,
                      Json.node (
                          Json.object
                              [ for key, _, read in measures ->
                                    let mean, deviation = meanAndDeviation (List.map read results)

                                    key,
                                    Json.node (
                                        Json.object [ "mean", Json.number mean; "deviation", Json.number deviation ]
                                    ) ]
                      ) ])

        Exit.Success

    let private run (terminal: Terminal) (arguments: StudyArgument list) =
        let pick chooser = List.tryPick chooser arguments

        match
            pick (function
                | Name name -> Some name
                | _ -> None)
        with
        | None -> raise (UserError "say which study: ./fokker study ot-cfm")
        | Some name -> Names.find "" "study" "studies" id studies name |> ignore

        let seeds =
            pick (function
                | Seeds n -> Some n
                | _ -> None)

        match seeds with
        | Some n when n < 1 -> raise (UserError $"--seeds {n}: expected a whole number of at least 1")
        | _ -> ()

        let steps =
            pick (function
                | Steps n -> Some n
                | _ -> None)

        match steps with
        | Some n when n < 1L -> raise (UserError $"--steps {n}: expected a whole number of at least 1")
        | _ -> ()

        otCfm
            { terminal with Quiet = List.contains Quiet arguments }
            { OtCfm.standard with
                Seeds = defaultArg seeds OtCfm.standard.Seeds
                Steps = defaultArg steps OtCfm.standard.Steps }

    let command =
        Command.make<StudyArgument>
            "study"
            "repeats an experiment of the literature and prints its table"
            [ "./fokker study ot-cfm", "eight Gaussians to two moons with and without optimal pairs, five seeds each" ]
            run
