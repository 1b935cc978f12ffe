namespace Fokker.Experiments

open Fokker
open Fokker.Tool
open Fokker.Report

/// Every schematic that lectures on diffusion and flow matching draw by hand, from quantities that are known.
module FiguresStudy =

    let private standardSteps = 2000L

    let private section title note drawing : Section =
        { Title = title; Note = note; Bodies = [ Body.Schematic drawing ] }

    /// The model whose score is shown beside the exact one: the default flow matching, of so many steps.
    let private learned (terminal: Terminal) (steps: int64) : GenerativeModel =
        let data = Dataset.ofLaw (Schematics.plane ())

        Progress.run terminal "a score to look at" 1.0 (fun report ->
            report 0.0 $"{steps} steps of training"
            Runs.fit { Recipe.standardFor data with Steps = steps } data)

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let steps = defaultArg options.Steps standardSteps
        let model = learned terminal steps

        { DataSet = "five Gaussians on a circle, exactly"
          Summary =
            "The schematics of the lectures, drawn from a law of which everything is known: $x_t = (1 − t) x_0 + t ε$, noise at $t = 1$ and data at $t = 0$."
          Headlines = []
          Sections =
            [ section
                  "Conditional and marginal"
                  "The path of one data point and the field that carries it; and the path and the field of the whole law, which are their means over the data. Only the second is needed to sample, only the first can be written down, and the second is a regression on the first. Arrows show $−v$, the way a sample moves."
                  (Schematics.conditionalAndMarginal ())
              section
                  "The flow: truth, samples, trajectories"
                  "Samples of the ordinary differential equation have the law of the path at every time. Above for one data point, below for the whole law."
                  (Schematics.flows ())
              section
                  "The diffusion: truth, samples, trajectories"
                  "The same with the reversed stochastic equation: other trajectories, the same laws."
                  (Schematics.diffusions ())
              section
                  "Flow, diffusion and jumps"
                  "Three kinds of process with the same law at every time: the terms of a Markov generator. Samples flow, wander, or stay where they are until they jump."
                  (Schematics.flowDiffusionJump ())
              section
                  "A grid carried by the flow"
                  "The flow is a smooth invertible map: lines do not tear or cross. Where they are pressed together the density is high."
                  (Schematics.carriedGrid ())
              section
                  "Many velocities at one point"
                  "Pairs that pass the same place at the same time have different velocities. The field is their mean, and what is left of their spread is the part of the loss that no network can take away."
                  (Schematics.velocitiesAtAPoint ())
              section
                  "Density, samples, score"
                  "What is known in theory, what is given, and what is learned."
                  (Schematics.densitySamplesScore ())
              section
                  "Following scores, following noisy scores"
                  "Going up the density by itself ends on its peaks. The noise of Langevin's equation is what keeps the law."
                  (Schematics.withAndWithoutNoise ())
              section
                  "Where a learned score is wrong"
                  $"After {steps} steps of training by flow matching. Little is learned where there are no data; with more noise there are data everywhere."
                  (Schematics.scoreErrors model)
              section
                  "Parallel in time"
                  "Picard's iteration finds all steps of a trajectory at once: each round is one call of the network on all of them, one round after the other, and the beginning stands first. With a window the steps that stand are left behind: the lines show where the windows of six samples begin (blue) and end (grey)."
                  (Schematics.parallelInTime ()) ]
          Json = [ "steps", Json.whole steps ] }

    let study: Study =
        { Name = "figures"
          Summary = "the schematics of the lectures, drawn from exact quantities"
          Reference =
            "Holderrieth and Erives 2025, An introduction to flow matching and diffusion models, figures 2 to 7; Song and Ermon 2019, figures 1 and 2; Geng et al. 2025, figure 2; Shih et al. 2023, figure 2"
          Uses = [ "--steps", "steps of training of the score that is shown beside the exact one (2,000)" ]
          IsShared = false
          Run = run }
