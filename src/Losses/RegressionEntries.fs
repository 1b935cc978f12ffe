namespace Fokker

/// The losses that are regressions on a prediction: by their parts, and those of a score.
[<RequireQualifiedAccess>]
module RegressionEntries =

    let private regressionUses (r: Regression) =
        [ Setting.Path, None
          Setting.Prediction, LossEntry.usual r.Prediction.Name
          Setting.Weight, LossEntry.usual r.Weight.Name
          Setting.Times, LossEntry.usual r.Times.Name
          Setting.Preconditioning, LossEntry.usual "identity" ]

    let private assembled (make: GaussianPath -> Regression) (parts: Parts) : Regression =
        make parts.Path
        |> Loss.predicting parts.Prediction
        |> Loss.weighted parts.Weight
        |> Loss.timesFrom parts.Times

    let private regression (summary: string) (make: GaussianPath -> Regression) : LossEntry =
        let r = make Path.condOT
        let own = Objective.ofRegression r

        { Name = r.Name
          Summary = summary
          Equation = own.Equation
          Reference = r.Reference
          Uses = regressionUses r
          Make = assembled make >> Objective.ofRegression }

    let private regressions =
        [ regression
              "Conditional flow matching: learns the velocity of the path from each data point to its noise; their mean is the flow's."
              Loss.cfm
          regression "Denoising score matching: learns the score ∇log p_t from the noise that was added." Loss.dsm
          regression "L_simple: learns the noise that was added, every time counting the same." Loss.simple
          regression
              "Learns v, a mixture of noise and data whose error stays of one size from the data to the noise."
              Loss.vPrediction
          regression "Learns the data behind a noisy sample, E[x₀ | x_t]." Loss.denoiser ]

    /// As many noise levels as the times that are drawn.
    let private ncsn (levels: int) : LossEntry =
        let own =
            regression
                "Noise-conditional score network: denoising score matching at a fixed number of noise levels."
                (Loss.ncsn levels)

        let times = Setting.Times, Some { Name = "discrete"; Numbers = [ "levels", float levels ] }
        { own with Uses = times :: List.filter (fst >> (<>) Setting.Times) own.Uses }

    /// EDM's whole recipe is a regression by its parts.
    let private edm: LossEntry =
        let entry =
            regression
                "Elucidated diffusion model: a denoiser whose inputs and outputs have unit size, with weight and times to match."
                Loss.denoiser

        { entry with
            Name = "edm"
            Equation = "E (σ² + s²)/(σ s)² · ‖D − x₀‖², preconditioned"
            Reference = "Karras et al. 2022, EDM, table 1"
            Uses =
                [ Setting.Path, LossEntry.usual Paths.edm.Name
                  Setting.Prediction, LossEntry.usual Prediction.data.Name
                  Setting.Weight, LossEntry.usual "edm"
                  Setting.Times, LossEntry.usual "log-normal"
                  Setting.Preconditioning, LossEntry.usual "edm" ] }

    /// Denoising score matching through a potential: every prediction of a regression is a multiple of the score beside a multiple of x, so that it is a gradient where the score is one.
    let private energyMatching: LossEntry =
        let name, equation = "energy-dsm", "E w ‖∇g(t, x_t) − y‖², −∇E = ∇log p_t where ∇g = y"
        let reference = "Salimans, Ho 2021, Should EBMs model the energy or the score?, section 2; Vincent 2011, eq. 9"

        LossEntry.make
            name
            "Denoising score matching on −∇E: the network says an energy of time and sample, whose gradient is the score."
            equation
            reference
            (regressionUses (Loss.regression Path.condOT) |> List.filter (fst >> (<>) Setting.Preconditioning))
            (fun parts ->
                { Objective.ofPotential (Objective.ofRegression (assembled Loss.regression parts)) with
                    Name = name
                    Equation = equation
                    Reference = reference })

    let private scoreLoss name summary equation reference (loss: Parts -> Loss) =
        LossEntry.make
            name
            summary
            equation
            reference
            [ Setting.Path, None
              Setting.Weight, LossEntry.usual Weight.variance.Name
              Setting.Times, LossEntry.usual Times.uniform.Name ]
            (fun parts -> Objective.predicting name equation reference parts.Path Prediction.score (loss parts))

    let private scores =
        [ scoreLoss
              "ism"
              "Implicit score matching: learns the score without looking at the noise that was added, through its divergence."
              "E σ² (‖s‖² + 2 ∇·s)"
              "Hyvärinen 2005, theorem 1; Hutchinson's trace above 8 coordinates"
              (fun p -> ScoreMatching.implicitly (LossEntry.trace p) p.Weight p.Times p.Path)
          scoreLoss
              "ssm"
              "Sliced score matching: implicit score matching along random directions."
              "E σ² ((vᵀs)² + 2 vᵀ(∂s)v), v ~ N(0, I)"
              "Song et al. 2019, Sliced score matching, eq. 7"
              (fun p -> ScoreMatching.sliced 1 p.Weight p.Times p.Path) ]

    /// Regression on what a teacher says instead of on what one sample says.
    let private taught =
        let esm = "E σ² ‖s − ∇log p_t‖², ∇log p_t the teacher's"
        let fm = "E ‖v − u_t(x)‖², u_t the teacher's"

        [ LossEntry.make
              "esm"
              "Explicit score matching: regression on the score that a teacher says."
              esm
              "Vincent 2011, eq. 4"
              [ Setting.Teacher, None
                Setting.Weight, LossEntry.usual "variance"
                Setting.Times, LossEntry.usual "uniform" ]
              (fun parts ->
                  let teacher = LossEntry.teacherOf "esm" parts

                  let loss: Loss =
                      fun context rng batch ->
                          let truth = Model.score teacher batch.Label
                          ScoreMatching.explicitly truth parts.Weight parts.Times teacher.Path context rng batch

                  loss |> Objective.predicting "esm" esm "Vincent 2011, eq. 4" teacher.Path Prediction.score)
          LossEntry.make
              "fm"
              "Flow matching: regression on the velocity that a teacher says."
              fm
              "Lipman et al. 2023, eq. 5"
              [ Setting.Teacher, None; Setting.Times, LossEntry.usual "uniform" ]
              (fun parts ->
                  let teacher = LossEntry.teacherOf "fm" parts

                  let matching = Matching.on teacher.Path |> Matching.timesFrom parts.Times

                  let loss: Loss =
                      fun context rng batch ->
                          Matching.marginal (Model.velocity teacher batch.Label) matching context rng batch

                  loss |> Objective.predicting "fm" fm "Lipman et al. 2023, eq. 5" teacher.Path Prediction.velocity) ]

    let all: Part<LossEntry> list =
        [ yield! List.map Part.fixedAt regressions
          Part.of1 (Parameter.make "levels" 10.0 (Allowed.Whole 1) "the noise levels") (int >> ncsn)
          yield! List.map Part.fixedAt (edm :: scores @ [ energyMatching ]) ]

    /// Those that learn from what a teacher says in place of what one sample says.
    let ofTeacher: Part<LossEntry> list = List.map Part.fixedAt taught
