namespace Fokker

/// Everything that has a name: one list of each kind, which the command line, `list`, C#'s catalogue, the tests and the docs read.
module Catalogue =

    let private list name setting one many parts : PartList<'T> =
        { Name = name; Setting = setting; One = one; Many = many; Parts = parts }

    let private part name equation source make : Part<'T> =
        { Name = name
          Summary = ""
          Equation = equation
          Source = source
          Parameters = []
          Make = fun _ -> make }

    let paths = list "paths" (Some Setting.Path) "path" "paths" Paths.parts

    let losses =
        Objectives.parts
        |> List.map (fun part -> Part.saying (Part.standard part).Summary part)
        |> list "losses" (Some Setting.Loss) "loss" "losses"

    let predictions = list "predictions" (Some Setting.Prediction) "prediction" "predictions" Prediction.parts
    let weights = list "weights" (Some Setting.Weight) "weight" "weights" Weight.parts
    let times = list "times" (Some Setting.Times) "law of times" "laws of times" Times.parts
    let couplings = list "couplings" (Some Setting.Coupling) "coupling" "couplings" Coupling.parts

    let preconditionings =
        list
            "preconditionings"
            (Some Setting.Preconditioning)
            "preconditioning"
            "preconditionings"
            (part "none" "the network says the prediction itself" "" None
             :: List.map (Part.map Some) Preconditioning.parts)

    let networks = list "networks" (Some Setting.Network) "network" "networks" Networks.parts

    let samplers =
        let described (part: Part<Sampler>) =
            let sampler = Part.standard part

            let kind =
                match sampler.Follows, sampler.IsStochastic with
                | _, true -> "stochastic"
                | Velocity _, _ -> "on dx/dt = v"
                | _ -> "semi-linear"

            let cost =
                match sampler.EvaluationsPerStep with
                | 1 -> "one evaluation"
                | n -> $"{n} evaluations"

            { part with Equation = $"{part.Equation}; order {sampler.Order}, {cost} a step, {kind}" }

        list "samplers" (Some Setting.Solver) "sampler" "samplers" (List.map described Samplers.parts)

    let grids = list "grids" (Some Setting.Grid) "grid" "grids" Grid.parts
    let traces = list "traces" (Some Setting.Trace) "trace" "traces" Trace.parts
    let measures = list "measures" None "measure" "measures" Measures.parts

    let datasets =
        list
            "datasets"
            (Some Setting.Data)
            "data set"
            "data sets"
            (Datasets.all |> List.map (fun entry -> part entry.Name entry.Summary entry.Source entry.Open))

    let all: PartList<unit> list =
        [ datasets.Described
          paths.Described
          losses.Described
          predictions.Described
          weights.Described
          times.Described
          couplings.Described
          preconditionings.Described
          networks.Described
          samplers.Described
          grids.Described
          traces.Described
          measures.Described ]
