namespace Fokker

/// What a loss may be made of. A loss takes what it has use for; the command line refuses the rest.
[<NoComparison; NoEquality>]
type Parts =
    {
        Path: GaussianPath
        Prediction: Prediction
        Weight: Weight
        Times: Times
        Coupling: Coupling
        /// The law of x₁; none for N(0, I).
        Source: (Rng -> Tensor -> Tensor) option
        /// The model that a distillation learns from.
        Teacher: Model option
        /// Steps of the whole training, for schedules.
        Steps: int64
        /// Coordinates of a sample.
        Dimension: int
    }

/// A loss that can be trained with, by name.
[<NoComparison; NoEquality>]
type LossEntry =
    {
        Name: string
        Equation: string
        Source: string
        /// The parts that it is made of besides the network, each with the one that it has unless another is asked for; none keeps what the data set brings.
        Uses: (Setting * PartName option) list
        Make: Parts -> Objective
    }

/// Every loss that `fokker train` knows: an objective of the library and the parts it is made of.
module Objectives =

    let private usual (name: string) = Some(PartName.plain name)

    let private regressionUses (r: Regression) =
        [ Setting.Path, None
          Setting.Prediction, usual r.Prediction.Name
          Setting.Weight, usual r.Weight.Name
          Setting.Times, usual r.Times.Name
          Setting.Preconditioning, usual "none" ]

    let private assembled (make: GaussianPath -> Regression) (parts: Parts) : Regression =
        make parts.Path
        |> Loss.predicting parts.Prediction
        |> Loss.weighted parts.Weight
        |> Loss.timesFrom parts.Times

    let private regression (make: GaussianPath -> Regression) : LossEntry =
        let r = make Path.condOT
        let own = Objective.ofRegression r

        { Name = r.Name
          Equation = own.Equation
          Source = r.Source
          Uses = regressionUses r
          Make = assembled make >> Objective.ofRegression }

    /// As many noise levels as the times that are drawn.
    let private ncsn (levels: int) : LossEntry =
        let own = regression (Loss.ncsn levels)
        let times = Setting.Times, Some { Name = "discrete"; Numbers = [ "levels", float levels ] }
        { own with Uses = times :: List.filter (fst >> (<>) Setting.Times) own.Uses }

    /// EDM's whole recipe is a regression by its parts.
    let private edm: LossEntry =
        let entry = regression Loss.denoiser

        { entry with
            Name = "edm"
            Equation = "E (σ² + s²)/(σ s)² · ‖D − x₀‖², preconditioned"
            Source = "Karras et al. 2022, EDM, table 1"
            Uses =
                [ Setting.Path, usual Paths.edm.Name
                  Setting.Prediction, usual Prediction.data.Name
                  Setting.Weight, usual "edm"
                  Setting.Times, usual "log-normal"
                  Setting.Preconditioning, usual "edm" ] }

    let private entry name equation source uses make : LossEntry =
        { Name = name; Equation = equation; Source = source; Uses = uses; Make = make }

    let private trace (parts: Parts) = if parts.Dimension <= 8 then Trace.exact else Trace.rademacher 1

    let private scoreLoss name equation source (loss: Parts -> Loss) =
        entry
            name
            equation
            source
            [ Setting.Path, None; Setting.Weight, usual Weight.variance.Name; Setting.Times, usual Times.uniform.Name ]
            (fun parts -> Objective.predicting name equation source parts.Path Prediction.score (loss parts))

    let private scores =
        [ scoreLoss
              "ism"
              "E σ² (‖s‖² + 2 ∇·s)"
              "Hyvärinen 2005, theorem 1; Hutchinson's trace above 8 coordinates"
              (fun p -> ScoreMatching.implicitly (trace p) p.Weight p.Times p.Path)
          scoreLoss
              "ssm"
              "E σ² ((vᵀs)² + 2 vᵀ(∂s)v), v ~ N(0, I)"
              "Song et al. 2019, Sliced score matching, eq. 7"
              (fun p -> ScoreMatching.sliced 1 p.Weight p.Times p.Path) ]

    /// The bound's last step is at t = 1, where the data must still be read off.
    let private requireData (parts: Parts) =
        let struct (a, b) = parts.Prediction.Coefficients parts.Path
        let determinant = Curve.eval (parts.Path.Alpha * b - parts.Path.Sigma * a) 1.0

        // Not a number where a coefficient is infinite.
        if not (abs determinant >= Prediction.leastDeterminant) then
            refuseWith
                Setting.Prediction
                parts.Prediction.Name
                $"it does not determine the data at t = 1 on the path {parts.Path.Name}, where a step of the bound begins"
                $"predict data, v or velocity"

    let private bounds =
        let uses = [ Setting.Path, usual Path.vp.Name; Setting.Prediction, usual Prediction.noise.Name ]

        let steps = Parameter.make "steps" 1000.0 (Allowed.Whole 2) "N, the steps of the discrete process"

        let bound name equation source variance =
            Part.of1 steps (fun steps ->
                entry name $"{equation}, N = {steps}" source uses (fun parts ->
                    requireData parts
                    let loss = Variational.bound (int steps) variance parts.Prediction parts.Path

                    Objective.predicting name equation source parts.Path parts.Prediction loss
                    |> if variance = StepVariance.Learned then Objective.withVariance else id))

        let kl = "Σ_k KL(q(x_{k−1} | x_k, x₀) ‖ p(x_{k−1} | x_k)) − log p(x₀ | x₁)"

        [ bound "vlb" $"{kl}, steps of variance β" "Ho, Jain, Abbeel 2020, DDPM, eq. 5" StepVariance.Forward
          bound
              "vlb-learned"
              $"{kl}, steps of learned variance"
              "Nichol, Dhariwal 2021, Improved DDPM, eq. 15"
              StepVariance.Learned
          Part.of2
              (Parameter.make "weight" 0.001 Allowed.Positive "λ, what the bound counts beside L_simple")
              steps
              (fun weight steps ->
                  let equation = $"L_simple + {weight} L_vlb, which alone moves the variance, N = {steps}"
                  let source = "Nichol, Dhariwal 2021, Improved DDPM, eq. 16"

                  entry "hybrid" equation source uses (fun parts ->
                      requireData parts

                      Variational.hybrid weight (int steps) parts.Prediction parts.Path
                      |> Objective.predicting "hybrid" equation source parts.Path parts.Prediction
                      |> Objective.withVariance)) ]

    let private matchingUses (m: Matching) path =
        [ Setting.Path, path
          Setting.Times, usual m.Times.Name
          Setting.Coupling, usual m.Coupling.Name
          Setting.Source, usual "normal" ]

    let private matching path (make: GaussianPath -> Matching) : LossEntry =
        let own = make Path.condOT

        entry own.Name own.Equation own.Citation (matchingUses own path) (fun parts ->
            make parts.Path
            |> Matching.timesFrom parts.Times
            |> Matching.coupledBy parts.Coupling
            |> (parts.Source |> Option.map Matching.from |> Option.defaultValue id)
            |> Objective.ofMatching)

    /// Independent pairs of data and another law: no noise to divide by, hence a matching and not a regression.
    let private independent =
        matching None (fun path ->
            { Matching.on path with
                Name = "i-cfm"
                Citation = "Tong et al. 2024, section 3.1; Liu, Gong, Liu 2023; Albergo, Vanden-Eijnden 2023" })

    let private bridged (make: float -> Matching) =
        Part.of1
            (Parameter.make "sigma" 0.5 Allowed.Positive "s, the bridge's noise for data of unit variance")
            (fun s ->
                let entry = matching None (fun _ -> make s)
                { entry with Uses = entry.Uses |> List.filter (fst >> (<>) Setting.Path) })

    let private teacherOf (name: string) (parts: Parts) : Model =
        match parts.Teacher with
        | Some model -> model
        | None -> refuse Setting.Loss name $"it learns from a trained model: name one with {Setting.Teacher}"

    let private consistency =
        let uses = [ Setting.Path, usual Paths.edm.Name ]

        let training name source settings =
            let own = Consistency.training (settings 1L Path.condOT)
            entry name own.Equation source uses (fun parts -> Consistency.training (settings parts.Steps parts.Path))

        let distilled = "E d(f(t', x_t'), f⁻(t, x̂_t)), x̂_t by a step of Heun on the teacher's flow"

        [ training "ct" "Song et al. 2023, Consistency models, algorithm 3" Consistency.original
          |> Part.fixedAt
          training "ict" "Song, Dhariwal 2024, Improved consistency training" Consistency.improved
          |> Part.fixedAt
          Part.of1 (Parameter.make "times" 18.0 (Allowed.Whole 2) "N, the times of the grid") (fun count ->
              entry
                  "cd"
                  distilled
                  "Song et al. 2023, Consistency models, algorithm 2"
                  [ Setting.Teacher, None ]
                  (fun parts ->
                      let teacher = teacherOf "cd" parts

                      { Consistency.original parts.Steps teacher.Path with
                          Count = (fun _ -> int count)
                          Distance = Distance.squared }
                      |> Consistency.distillation Tableau.heun teacher)) ]

    let private maps =
        let instants (make: float -> LossEntry) =
            Part.of1
                (Parameter.make
                    "instants"
                    0.25
                    (Allowed.Within(0.0, 1.0))
                    "the share of a batch that learns the velocity")
                make

        let taught name (make: Model -> MapMatching) =
            let own = MapMatching.objective (make (Model.make Path.condOT Prediction.velocity (fun _ _ x -> x)))

            instants (fun share ->
                entry
                    name
                    own.Equation
                    own.Source
                    [ Setting.Teacher, None; Setting.Times, usual Times.uniform.Name ]
                    (fun parts ->
                        { make (teacherOf name parts) with Times = parts.Times; Instants = share }
                        |> MapMatching.objective))

        let alone (make: GaussianPath -> MapMatching) =
            let m = make Path.condOT
            let own = MapMatching.objective m

            instants (fun share ->
                entry
                    m.Name
                    own.Equation
                    m.Source
                    [ Setting.Path, None; Setting.Times, usual m.Times.Name ]
                    (fun parts ->
                        { make parts.Path with Times = parts.Times; Instants = share } |> MapMatching.objective))

        [ taught "lmd" MapMatching.lagrangian
          taught "emd" MapMatching.eulerian
          alone MapMatching.lagrangianSelf
          alone MapMatching.progressiveSelf
          alone MapMatching.meanFlow ]

    let private flow =
        let own = ContinuousFlow.maximumLikelihood Trace.exact Tableau.rk4 8

        Part.of1
            (Parameter.make "steps" 8.0 (Allowed.Whole 1) "steps of the fourth-order Runge–Kutta method")
            (fun steps ->
                entry own.Name own.Equation own.Source [] (fun parts ->
                    ContinuousFlow.maximumLikelihood (trace parts) Tableau.rk4 (int steps)))

    /// Regression on what a teacher says instead of on what one sample says.
    let private taught =
        let esm = "E σ² ‖s − ∇log p_t‖², ∇log p_t the teacher's"
        let fm = "E ‖v − u_t(x)‖², u_t the teacher's"

        [ entry
              "esm"
              esm
              "Vincent 2011, eq. 4"
              [ Setting.Teacher, None; Setting.Weight, usual "variance"; Setting.Times, usual "uniform" ]
              (fun parts ->
                  let teacher = teacherOf "esm" parts

                  let loss: Loss =
                      fun context rng batch ->
                          let truth = Model.score teacher batch.Label
                          ScoreMatching.explicitly truth parts.Weight parts.Times teacher.Path context rng batch

                  loss |> Objective.predicting "esm" esm "Vincent 2011, eq. 4" teacher.Path Prediction.score)
          entry
              "fm"
              fm
              "Lipman et al. 2023, eq. 5"
              [ Setting.Teacher, None; Setting.Times, usual "uniform" ]
              (fun parts ->
                  let teacher = teacherOf "fm" parts

                  let matching = Matching.on teacher.Path |> Matching.timesFrom parts.Times

                  let loss: Loss =
                      fun context rng batch ->
                          Matching.marginal (Model.velocity teacher batch.Label) matching context rng batch

                  loss |> Objective.predicting "fm" fm "Lipman et al. 2023, eq. 5" teacher.Path Prediction.velocity) ]

    /// What trains a classifier of noisy samples: a run that guides others and is not sampled from.
    let classifier: LossEntry =
        let name, equation = "classifier", "E −log p(c | t, x_t)"
        let source = "Dhariwal, Nichol 2021, Diffusion models beat GANs, section 4"

        entry name equation source [ Setting.Path, None; Setting.Times, usual Times.uniform.Name ] (fun parts ->
            let loss = NoisyClassifier.loss parts.Path parts.Times

            Objective.classifying name equation source parts.Path loss)

    let parts: Part<LossEntry> list =
        [ yield!
              List.map (regression >> Part.fixedAt) [ Loss.cfm; Loss.dsm; Loss.simple; Loss.vPrediction; Loss.denoiser ]
          Part.of1 (Parameter.make "levels" 10.0 (Allowed.Whole 1) "the noise levels") (int >> ncsn)
          yield! List.map Part.fixedAt (edm :: scores)
          yield! bounds
          yield! List.map Part.fixedAt [ independent; matching None Matching.optimal ]
          bridged Matching.schrodinger
          bridged Matching.withScore
          flow
          yield! consistency
          yield! maps
          yield! List.map Part.fixedAt (taught @ [ classifier ]) ]

    /// Those that make something to sample from.
    let all = parts |> List.map Part.standard |> List.filter (fun loss -> loss.Name <> classifier.Name)
