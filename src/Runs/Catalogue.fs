namespace Fokker

/// One thing that can be named on the command line.
type Entry =
    {
        Name: string
        /// What it is: an equation, or a few words.
        Meaning: string
        Source: string
    }

/// A list of the library's, as people and programs see it.
type Shelf =
    {
        /// `paths`: the word after `fokker list`.
        Name: string
        /// The option of `fokker train` or `fokker sample` that takes one of them.
        Option: string
        Entries: Entry list
    }

/// Everything that has a name. The library keeps one list of each; nothing is listed twice.
module Catalogue =

    let private entry name meaning source : Entry = { Name = name; Meaning = meaning; Source = source }

    let paths: GaussianPath list = Paths.all

    let networks: Entry list =
        [ entry
              "mlp"
              "a multilayer perceptron with Fourier features of time, for vectors"
              "Rahimi, Recht 2007; Tancik et al. 2020"
          entry
              "unet"
              "residual blocks and self-attention at several scales, for images, with classes or without"
              "Ronneberger et al. 2015; Ho, Jain, Abbeel 2020; Dhariwal, Nichol 2021" ]

    /// Times drawn in proportion to whatever weight the loss has.
    let importance: Times = Times.proportionalTo (fun _ -> Constant 1.0)

    let times: Times list = Times.all @ [ importance ]

    let private samplerEntry (sampler: Sampler) =
        let kind =
            match sampler.Follows, sampler.IsStochastic with
            | _, true -> "stochastic"
            | Velocity _, _ -> "on dx/dt = v"
            | _ -> "semi-linear"

        let cost =
            if sampler.EvaluationsPerStep = 1 then
                "one evaluation"
            else
                $"{sampler.EvaluationsPerStep} evaluations"
        entry sampler.Name $"{sampler.Equation}; order {sampler.Order}, {cost} a step, {kind}" sampler.Source

    let preconditionings: Entry list =
        entry "none" "the network says the prediction itself" ""
        :: [ for name, equation, make in Preconditioning.all -> entry name equation (make Path.condOT).Source ]

    let shelves: Shelf list =
        [ { Name = "datasets"
            Option = "train DATASET"
            Entries = Datasets.all |> List.map (fun d -> entry d.Name d.Summary d.Source) }
          { Name = "paths"
            Option = "--path"
            Entries = paths |> List.map (fun p -> entry p.Name p.Equation p.Source) }
          { Name = "losses"
            Option = "--loss"
            Entries = Objectives.all @ [ Objectives.classifier ] |> List.map (fun l -> entry l.Name l.Equation l.Source) }
          { Name = "predictions"
            Option = "--prediction"
            Entries = Prediction.all |> List.map (fun p -> entry p.Name p.Equation p.Source) }
          { Name = "weights"
            Option = "--weight"
            Entries = Weight.all |> List.map (fun w -> entry w.Name w.Equation w.Source) }
          { Name = "times"
            Option = "--times"
            Entries = times |> List.map (fun t -> entry t.Name t.Equation t.Source) }
          { Name = "couplings"
            Option = "--coupling"
            Entries = Coupling.all |> List.map (fun c -> entry c.Name c.Equation c.Source) }
          { Name = "preconditionings"; Option = "--preconditioning"; Entries = preconditionings }
          { Name = "networks"; Option = "--network"; Entries = networks }
          { Name = "samplers"; Option = "--solver"; Entries = Samplers.all |> List.map samplerEntry }
          { Name = "grids"
            Option = "--grid"
            Entries = Grid.all |> List.map (fun g -> entry g.Name g.Equation g.Source) }
          { Name = "traces"
            Option = "likelihood --trace"
            Entries = Trace.all |> List.map (fun t -> entry t.Name t.Equation t.Source) }
          { Name = "measures"
            Option = "evaluate"
            Entries = Measures.all |> List.map (fun m -> entry m.Name m.Equation m.Source) } ]
