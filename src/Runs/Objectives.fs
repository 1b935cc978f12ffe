namespace Fokker

/// Every loss that can be trained with, by name. Each is an entry in its family's file.
module Objectives =

    let private names (entries: Part<LossEntry> list) : string list = entries |> List.map _.Name

    /// Losses whose every step takes the moves of chains as well.
    let internal chained = names Contrastive.entries

    /// Losses of several players.
    let internal playing = names [ Adversarial.entry; DistributionMatching.entry ]

    /// Losses whose every step differentiates through a flow that is integrated in a few steps.
    let internal integrated = names [ ContinuousFlow.entry ]

    /// Maps of two times without a teacher: what they say is what they are to say next.
    let internal selfTaught = MapEntries.selfTaught

    /// What trains a classifier of noisy samples: a run that guides others and is not sampled from.
    let classifier: LossEntry = ClassifierEntry.entry

    /// In the order in which lists show them.
    let parts: Part<LossEntry> list =
        [ yield! RegressionEntries.all
          yield! Contrastive.entries
          Equilibrium.entry
          yield! BoundEntries.all
          yield! MatchingEntries.all
          LangevinMatching.entry
          ContinuousFlow.entry
          MaximumLikelihood.entry
          VariationalAutoencoder.entry
          yield! JumpMatching.onTokens
          JumpMatching.onTheLine
          Progressive.entry
          GuidedDistillation.entry
          DistributionMatching.entry
          Adversarial.entry
          AdjointMatching.entry
          yield! MapEntries.all
          yield! RegressionEntries.ofTeacher
          Part.fixedAt classifier ]

    /// Those that make something to sample from.
    let all = parts |> List.map Part.standard |> List.filter (fun loss -> loss.Name <> classifier.Name)
