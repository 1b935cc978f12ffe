namespace Fokker

/// Everything that has a name: one list of each kind, which the command line, `list`, C#'s catalogue, the tests and the docs read.
module Catalogue =

    let private list name setting one many parts : PartList<'T> =
        { Name = name; Setting = setting; One = one; Many = many; Parts = parts }

    let private part name equation reference make : Part<'T> =
        { Name = name
          Summary = ""
          Equation = equation
          Reference = reference
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
            (part "identity" "D = F: the network's output is the prediction itself" "" None
             :: List.map (Part.map Some) Preconditioning.parts)

    let networks = list "networks" (Some Setting.Network) "network" "networks" Networks.parts

    let samplers =
        let described (part: Part<Sampler>) =
            let sampler = Part.standard part

            let kind =
                match sampler.Follows, sampler.IsStochastic with
                | Target _, true -> "a chain of an energy"
                | Leaps _, _ -> "of models that jump"
                | _, true -> "stochastic"
                | Target _, false -> "on an energy"
                | Velocity _, _ -> "on dx/dt = v"
                | _ -> "semi-linear"

            let cost =
                match sampler.EvaluationsPerStep with
                | 1 -> "one evaluation"
                | n -> $"{n} evaluations"

            { part with Equation = $"{part.Equation}; order {sampler.Order}, {cost} a step, {kind}" }

        list
            "samplers"
            (Some Setting.Solver)
            "sampler"
            "samplers"
            (List.map described (Samplers.parts @ EnergySamplers.parts @ JumpSamplers.parts))

    let steerings = list "steerings" (Some Setting.Steer) "method of steering" "methods of steering" Steering.parts

    let grids = list "grids" (Some Setting.Grid) "grid" "grids" Grid.parts
    let traces = list "traces" (Some Setting.Trace) "trace" "traces" Trace.parts
    let measures = list "measures" None "measure" "measures" Measures.parts

    let datasets =
        list
            "datasets"
            (Some Setting.Data)
            "data set"
            "data sets"
            (Datasets.all |> List.map (fun entry -> part entry.Name entry.Summary entry.Reference entry.Open))

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
          steerings.Described
          traces.Described
          measures.Described ]

/// The lists that names are looked up in: the library's, with the caller's own parts before them.
[<NoComparison; NoEquality>]
type Known =
    { Own: OwnParts
      Paths: PartList<GaussianPath>
      Losses: PartList<LossEntry>
      Predictions: PartList<Prediction>
      Weights: PartList<Weight>
      Times: PartList<Times>
      Couplings: PartList<Coupling>
      Networks: PartList<NetworkRequest -> Network>
      Samplers: PartList<Sampler>
      Grids: PartList<Grid> }

[<RequireQualifiedAccess>]
module Known =

    let private before (own: Part<'T> list) (list: PartList<'T>) : PartList<'T> = { list with Parts = own @ list.Parts }

    /// The library's lists with parts of the caller's own; one that has the name of a part of the library's is found in its place.
    let including (own: OwnParts) : Known =
        { Own = own
          Paths = before (List.map Paths.named own.Paths) Catalogue.paths
          Losses = before own.Losses Catalogue.losses
          Predictions = before own.Predictions Catalogue.predictions
          Weights = before own.Weights Catalogue.weights
          Times = before own.Times Catalogue.times
          Couplings = before own.Couplings Catalogue.couplings
          Networks = before (List.map Networks.named own.Networks) Catalogue.networks
          Samplers = before own.Samplers Catalogue.samplers
          Grids = before own.Grids Catalogue.grids }

    /// The library's lists.
    let standard: Known = including OwnParts.none

    /// Refuses a part of the caller's own that has the name of one of the library's: whoever reads the run without it would take the other. Raises RefusedException.
    let requireNew (known: Known) : unit =
        let require (setting: Setting) (own: Part<'T> list) (library: PartList<'T>) =
            for part in own do
                if library.Has part.Name then
                    refuseWith setting part.Name $"the library has one of that name" $"give yours another"

        require Setting.Path known.Own.Paths Catalogue.paths
        require Setting.Loss known.Own.Losses Catalogue.losses
        require Setting.Prediction known.Own.Predictions Catalogue.predictions
        require Setting.Weight known.Own.Weights Catalogue.weights
        require Setting.Times known.Own.Times Catalogue.times
        require Setting.Coupling known.Own.Couplings Catalogue.couplings
        require Setting.Network known.Own.Networks Catalogue.networks
        require Setting.Solver known.Own.Samplers Catalogue.samplers
        require Setting.Grid known.Own.Grids Catalogue.grids

    /// Every list, as `Catalogue.all` has them.
    let described (known: Known) : PartList<unit> list =
        let lists =
            [ known.Paths.Described
              known.Losses.Described
              known.Predictions.Described
              known.Weights.Described
              known.Times.Described
              known.Couplings.Described
              known.Networks.Described
              known.Samplers.Described
              known.Grids.Described ]

        Catalogue.all
        |> List.map (fun list ->
            lists |> List.tryFind (fun other -> other.Name = list.Name) |> Option.defaultValue list)
