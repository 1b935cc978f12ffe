namespace Fokker

/// The losses that match flows between two laws, by the coupling of their samples.
[<RequireQualifiedAccess>]
module MatchingEntries =

    let private matchingUses (m: Matching) path =
        [ Setting.Path, path
          Setting.Times, LossEntry.usual m.Times.Name
          Setting.Coupling, LossEntry.usual m.Coupling.Name
          Setting.Source, None ]

    let private matching summary path (make: GaussianPath -> Matching) : LossEntry =
        let own = make Path.condOT

        LossEntry.make own.Name summary own.Equation own.Reference (matchingUses own path) (fun parts ->
            make parts.Path
            |> Matching.timesFrom parts.Times
            |> Matching.coupledBy parts.Coupling
            |> (parts.Source |> Option.map Matching.from |> Option.defaultValue id)
            |> Objective.ofMatching
            |> fun objective ->
                match parts.Pairs with
                | Some pairs -> { objective with Prepare = Some pairs }
                | None -> objective)

    /// Independent pairs of data and another law: no noise to divide by, hence a matching and not a regression.
    let private independent =
        matching
            "Independent conditional flow matching: each data point is joined to a random point of the source."
            None
            (fun path ->
                { Matching.on path with
                    Name = "i-cfm"
                    Equation = "E‖v − (ȧ x₀ + ḃ x₁)‖², (x₀, x₁) ~ p₀ ⊗ p₁"
                    Reference = "Tong et al. 2024, section 3.1; Liu, Gong, Liu 2023; Albergo, Vanden-Eijnden 2023" })

    let private optimal =
        matching
            "Optimal-transport conditional flow matching: within a batch, data and source are joined by the cheapest plan, so that paths hardly cross."
            None
            Matching.optimal

    let private bridged summary (make: float -> Matching) =
        Part.of1
            (Parameter.make "sigma" 0.5 Allowed.Positive "s, the bridge's noise for data of unit variance")
            (fun s ->
                let entry = matching summary None (fun _ -> make s)
                { entry with Uses = entry.Uses |> List.filter (fst >> (<>) Setting.Path) })

    let all: Part<LossEntry> list =
        [ yield! List.map Part.fixedAt [ independent; optimal ]
          bridged
              "Schrödinger-bridge conditional flow matching: entropic pairs joined by Brownian bridges; learns the flow of the bridge."
              Matching.schrodinger
          bridged
              "Simulation-free score and flow matching: sb-cfm that learns the score too, and so the Schrödinger bridge as a process."
              Matching.withScore ]
