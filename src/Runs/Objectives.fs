namespace Fokker

/// Every loss that `fokker train` knows: an objective of the library and the parts it is made of.
module Objectives =

    let private usual (name: string) = Some(PartName.plain name)

    let private regressionUses (r: Regression) =
        [ Setting.Path, None
          Setting.Prediction, usual r.Prediction.Name
          Setting.Weight, usual r.Weight.Name
          Setting.Times, usual r.Times.Name
          Setting.Preconditioning, usual "identity" ]

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
                [ Setting.Path, usual Paths.edm.Name
                  Setting.Prediction, usual Prediction.data.Name
                  Setting.Weight, usual "edm"
                  Setting.Times, usual "log-normal"
                  Setting.Preconditioning, usual "edm" ] }

    let private entry name summary equation reference uses make : LossEntry =
        { Name = name
          Summary = summary
          Equation = equation
          Reference = reference
          Uses = uses
          Make = make }

    /// Denoising score matching through a potential: every prediction of a regression is a multiple of the score beside a multiple of x, so that it is a gradient where the score is one.
    let private energyMatching: LossEntry =
        let name, equation = "energy-dsm", "E w ‖∇g(t, x_t) − y‖², −∇E = ∇log p_t where ∇g = y"
        let reference = "Salimans, Ho 2021, Should EBMs model the energy or the score?, section 2; Vincent 2011, eq. 9"

        entry
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

    let private trace (parts: Parts) = if parts.Dimension <= 8 then Trace.exact else Trace.rademacher 1

    let private scoreLoss name summary equation reference (loss: Parts -> Loss) =
        entry
            name
            summary
            equation
            reference
            [ Setting.Path, None; Setting.Weight, usual Weight.variance.Name; Setting.Times, usual Times.uniform.Name ]
            (fun parts -> Objective.predicting name equation reference parts.Path Prediction.score (loss parts))

    let private scores =
        [ scoreLoss
              "ism"
              "Implicit score matching: learns the score without looking at the noise that was added, through its divergence."
              "E σ² (‖s‖² + 2 ∇·s)"
              "Hyvärinen 2005, theorem 1; Hutchinson's trace above 8 coordinates"
              (fun p -> ScoreMatching.implicitly (trace p) p.Weight p.Times p.Path)
          scoreLoss
              "ssm"
              "Sliced score matching: implicit score matching along random directions."
              "E σ² ((vᵀs)² + 2 vᵀ(∂s)v), v ~ N(0, I)"
              "Song et al. 2019, Sliced score matching, eq. 7"
              (fun p -> ScoreMatching.sliced 1 p.Weight p.Times p.Path) ]

    /// Losses whose every step takes the moves of chains as well.
    let internal chained = [ "contrastive"; "persistent" ]

    /// Losses of several players.
    let internal playing = [ "gan"; "dmd" ]

    /// Losses whose every step differentiates through a flow that is integrated in a few steps.
    let internal integrated = [ "cnf" ]

    /// Maps of two times without a teacher: what they say is what they are to say next.
    let internal selfTaught = [ "lsd"; "esd"; "psd"; "shortcut"; "meanflow"; "f2d2" ]

    /// Energies without time.
    let private energies: Part<LossEntry> list =
        let moves count = Parameter.make "moves" count (Allowed.Whole 1) "moves of a chain at each step"
        let length = Parameter.make "h" 0.01 Allowed.Positive "the length of a chain's step, for data of unit variance"

        let penalty =
            Parameter.make
                "penalty"
                0.0
                (Allowed.AtLeast 0.0)
                "a, how much the squares of the energies count beside their difference"

        let contrastive summary (c: Contrastive) : LossEntry =
            let own = Contrastive.objective c
            entry own.Name summary own.Equation own.Reference [] (fun _ -> Contrastive.objective c)

        [ Part.of3 (moves 20.0) length penalty (fun moves length penalty ->
              contrastive
                  "Contrastive divergence: lowers an energy at the data and raises it where a few Langevin moves lead from them."
                  { Moves = int moves
                    Length = length
                    IsPersistent = false
                    Batches = 1
                    Restart = 0.0
                    Penalty = penalty })
          Part.leaving
              [ moves 10.0
                length
                Parameter.make
                    "batches"
                    16.0
                    (Allowed.Whole 1)
                    "the chains that go on, as so many batches: each step moves one of them"
                Parameter.make
                    "restart"
                    0.0
                    (Allowed.Within(0.0, 1.0))
                    "the share of chains that begin anew at each of their turns"
                penalty ]
              (fun n ->
                  contrastive
                      "Persistent contrastive divergence: raises an energy at chains that go on from step to step, which follow its law."
                      { Moves = int n[0]
                        Length = n[1]
                        IsPersistent = true
                        Batches = int n[2]
                        Restart = n[3]
                        Penalty = n[4] })
          Part.of2
              (Parameter.make
                  "a"
                  0.8
                  (Allowed.Within(0.0, 0.99))
                  "the share of the way over which the slope keeps its size")
              (Parameter.make "gain" 1.0 Allowed.Positive "the size of the slope")
              (fun a gain ->
                  let own = Equilibrium.objective a gain

                  entry
                      own.Name
                      "Equilibrium matching: an energy without time whose slope leads from noise to data and vanishes there; samples are where descent ends."
                      own.Equation
                      own.Reference
                      []
                      (fun _ -> Equilibrium.objective a gain)) ]

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

        let bound name summary equation reference variance =
            Part.of1 steps (fun steps ->
                entry name summary $"{equation}, N = {steps}" reference uses (fun parts ->
                    requireData parts
                    let loss = Variational.bound (int steps) variance parts.Prediction parts.Path

                    Objective.predicting name equation reference parts.Path parts.Prediction loss
                    |> if variance = StepVariance.Learned then Objective.withVariance else id))

        let kl = "Σ_k KL(q(x_{k−1} | x_k, x₀) ‖ p(x_{k−1} | x_k)) − log p(x₀ | x₁)"

        [ bound
              "vlb"
              "Variational lower bound: bounds the data's log-likelihood along the discrete chain, with steps of given variance."
              $"{kl}, steps of variance β"
              "Ho, Jain, Abbeel 2020, DDPM, eq. 5"
              StepVariance.Forward
          bound
              "vlb-learned"
              "The variational lower bound where the network says the variance of each step too."
              $"{kl}, steps of learned variance"
              "Nichol, Dhariwal 2021, Improved DDPM, eq. 15"
              StepVariance.Learned
          Part.of2
              (Parameter.make "weight" 0.001 Allowed.Positive "λ, what the bound counts beside L_simple")
              steps
              (fun weight steps ->
                  let equation = $"L_simple + {weight} L_vlb, which alone moves the variance, N = {steps}"
                  let reference = "Nichol, Dhariwal 2021, Improved DDPM, eq. 16"

                  let summary = "Learns the noise by L_simple, and the variance of each step by the variational bound."

                  entry "hybrid" summary equation reference uses (fun parts ->
                      requireData parts

                      Variational.hybrid weight (int steps) parts.Prediction parts.Path
                      |> Objective.predicting "hybrid" equation reference parts.Path parts.Prediction
                      |> Objective.withVariance)) ]

    let private matchingUses (m: Matching) path =
        [ Setting.Path, path
          Setting.Times, usual m.Times.Name
          Setting.Coupling, usual m.Coupling.Name
          Setting.Source, None ]

    let private matching summary path (make: GaussianPath -> Matching) : LossEntry =
        let own = make Path.condOT

        entry own.Name summary own.Equation own.Reference (matchingUses own path) (fun parts ->
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

    let private teacherOf (name: string) (parts: Parts) : Model =
        match parts.Teacher with
        | Some model -> model
        | None -> refuse Setting.Loss name $"it learns from a trained model: name one with {Setting.Teacher}"

    let private timesList: PartList<Times> =
        { Name = "times"
          Setting = Some Setting.Times
          One = "law of times"
          Many = "laws of times"
          Parts = Times.parts }

    let private maps: Part<LossEntry> list =
        [ for method in MapMethods.all ->
              let times = timesList.Parse method.Times

              let setting path teacher times steps trace : MapSetting =
                  { Path = path; Teacher = teacher; Times = times; Steps = steps; Trace = trace }

              let isTaught = method.Teacher = TeacherNeed.Always

              // What is said of it is said with its defaults, on the straight path.
              let shown numbers =
                  let teacher = Model.make Path.condOT Prediction.velocity (fun _ _ x -> x)
                  let teacher = if isTaught then Some teacher else None
                  method.Make (setting Path.condOT teacher Times.uniform 1L Trace.exact) numbers

              Part.leaving method.Numbers (fun numbers ->
                  let m = shown numbers
                  let own = MapMatching.objective m

                  let needs =
                      let needs = MapMatching.needs m

                      if method.Teacher = TeacherNeed.Optional then
                          needs.Replace("no teacher", "a teacher or none")
                      else
                          needs

                  entry
                      m.Name
                      method.Summary
                      $"{own.Equation}; {needs}"
                      m.Reference
                      [ match method.Teacher with
                        | TeacherNeed.Always
                        | TeacherNeed.Optional -> Setting.Teacher, None
                        | TeacherNeed.Never -> ()
                        match method.Path with
                        | MethodPath.Open name -> Setting.Path, Option.map PartName.plain name
                        | MethodPath.Given -> ()
                        if m.Pairs.UsesTimes then
                            Setting.Times, Some times ]
                      (fun parts ->
                          let teacher =
                              match method.Teacher with
                              | TeacherNeed.Always -> Some(teacherOf m.Name parts)
                              | TeacherNeed.Optional -> parts.Teacher
                              | TeacherNeed.Never -> None

                          let path =
                              match teacher with
                              | Some teacher when isTaught -> teacher.Path
                              | _ -> parts.Path

                          let made = method.Make (setting path teacher parts.Times parts.Steps (trace parts)) numbers

                          if made.Guidance.IsSome && not parts.HasNull then
                              refuseWith
                                  Setting.Loss
                                  m.Name
                                  $"guidance inside the target is between a class and none, and this network is to know no such two"
                                  $"""train with {Setting.Labels.Is "on"} and {Setting.LabelDropout.Is 0.1}, or leave omega and kappa out"""

                          MapMatching.objective made)) ]

    /// What is distilled says the data at every time: of noise that is nearly all noise, an estimate of the noise says nothing of it.
    let private requireData' name (teacher: Model) =
        if teacher.Prediction.Name = Prediction.noise.Name || teacher.Prediction.Name = Prediction.score.Name then
            refuseWith
                Setting.Teacher
                teacher.Prediction.Name
                $"{name} needs a model whose estimate of the data stays finite at the noisy end, and one that says {teacher.Prediction.Name} multiplies its error by σ/α there, which is unbounded"
                $"distil a model that says data, v or velocity"

    let private progressive =
        Part.of1
            (Parameter.make "steps" 64.0 (Allowed.Whole 2) "N, the steps of the first teacher's DDIM, a power of two")
            (fun steps ->
                let n = int steps

                if n &&& (n - 1) <> 0 then
                    invalidArg "steps" $"steps is {n}: expected a power of two"

                entry
                    Progressive.name
                    "Progressive distillation: a student learns in one step what its teacher does in two, and is the teacher of the next round."
                    $"{Progressive.equation}, in rounds from N = {n} to 1; a teacher, its network and its times, no derivatives"
                    Progressive.reference
                    [ Setting.Teacher, None; Setting.Begin, None; Setting.Weight, usual Weight.truncatedSnr.Name ]
                    (fun parts ->
                        let teacher = teacherOf Progressive.name parts
                        requireData' Progressive.name teacher

                        Progressive.objective
                            { Path = teacher.Path
                              Output =
                                parts.TeacherTrained
                                |> Option.map _.Output
                                |> Option.filter (fun output -> not output.IsMeanVelocity)
                                |> Option.defaultValue (NetworkOutput.Prediction(teacher.Prediction, None, false))
                              Times = Progressive.times teacher.Path n
                              Weight = parts.Weight }))

    let private adversary =
        Part.of2
            (Parameter.make "gamma" 1.0 (Allowed.AtLeast 0.0) "γ, how much the critic's squared slope costs")
            (Parameter.make "turns" 1.0 (Allowed.Whole 1) "moves of the critic before each of the generator's")
            (fun gamma turns ->
                let own = Adversarial.objective gamma (int turns)

                entry
                    own.Name
                    "Generative adversarial network: a generator of one pass against a critic that tells its samples from data."
                    own.Equation
                    own.Reference
                    []
                    (fun _ -> Adversarial.objective gamma (int turns)))

    let private matchingDistributions =
        Part.of1
            (Parameter.make
                "turns"
                5.0
                (Allowed.Whole 1)
                "moves of the network that learns the generator's own score before each of the generator's")
            (fun turns ->
                let shown =
                    DistributionMatching.objective (Model.make Path.condOT Prediction.velocity (fun _ _ x -> x)) 1

                entry
                    shown.Name
                    "Distribution matching distillation: a generator of one pass, moved along the difference of its teacher's score and of its own samples' score."
                    $"{shown.Equation}; a teacher, its network and one time, no derivatives"
                    shown.Reference
                    [ Setting.Teacher, None; Setting.Begin, None ]
                    (fun parts ->
                        let teacher = teacherOf shown.Name parts
                        requireData' shown.Name teacher
                        DistributionMatching.objective teacher (int turns)))

    let private guided =
        Part.of2
            (Parameter.make "least" 0.0 Allowed.Real "the least weight w = guidance − 1")
            (Parameter.make "most" 4.0 Allowed.Real "the greatest weight w = guidance − 1")
            (fun least most ->
                if not (least < most) then
                    invalidArg "least" $"weights from {least} to {most}: expected the lesser first"

                entry
                    GuidedDistillation.name
                    "Distillation of a guided model: a student that is told how far to guide says in one evaluation what its teacher says in two."
                    $"{GuidedDistillation.equation}; a teacher of classes, its network and a guidance weight, no derivatives"
                    GuidedDistillation.reference
                    [ Setting.Teacher, None
                      Setting.Begin, None
                      Setting.Weight, usual "uniform"
                      Setting.Times, usual "uniform" ]
                    (fun parts ->
                        let teacher = teacherOf GuidedDistillation.name parts

                        match parts.TeacherTrained with
                        | Some network when not network.HasNull ->
                            refuseWith
                                Setting.Teacher
                                ""
                                $"it was not told classes and none by turns, so there is nothing to guide between"
                                $"""take one trained with {Setting.Labels.Is "on"} and {Setting.LabelDropout.Is 0.1}"""
                        | _ -> ()

                        GuidedDistillation.objective
                            { Teacher = teacher
                              Preconditioning =
                                parts.TeacherTrained
                                |> Option.bind (fun network ->
                                    match network.Output with
                                    | NetworkOutput.Prediction(_, p, _)
                                    | NetworkOutput.Guided(_, p, _, _) -> p
                                    | _ -> None)
                              Least = least
                              Most = most
                              Weight = parts.Weight
                              Times = parts.Times }))

    /// Fine-tuning: what training begins at is the model that is tuned.
    let private rewarded =
        Part.of2
            (Parameter.make "steps" 20.0 (Allowed.Whole 2) "ancestral steps of a trajectory")
            (Parameter.make "states" 4.0 (Allowed.Whole 1) "states of each trajectory that are learned from")
            (fun steps states ->
                entry
                    AdjointMatching.name
                    "Adjoint matching: tunes a trained model towards a reward, from p(x) to p(x) e^{λ r(x)}."
                    $"{AdjointMatching.equation}; a model to begin at that knows a score, a reward and λ, one time, no forward derivatives"
                    AdjointMatching.reference
                    [ Setting.Reward, None; Setting.Weight, usual Weight.likelihood.Name ]
                    (fun parts ->
                        match parts.Teacher, parts.Reward with
                        | Some before, Some(reward, tilt) ->
                            let output =
                                parts.TeacherTrained
                                |> Option.map _.Output
                                |> Option.defaultValue (NetworkOutput.Prediction(before.Prediction, None, false))

                            match output with
                            | NetworkOutput.Prediction _
                            | NetworkOutput.Potential _ -> ()
                            | _ ->
                                refuseWith
                                    Setting.Begin
                                    ""
                                    $"it says no plain prediction: {AdjointMatching.name} tunes a model along its reversed process, which a map or a model that is told its guidance does not have"
                                    $"begin at one trained by a regression such as cfm, dsm or simple"

                            AdjointMatching.objective
                                { Base = before
                                  Output = output
                                  Reward = reward
                                  Tilt = tilt
                                  Steps = int steps
                                  States = int states
                                  Weight = parts.Weight }
                        | None, _ ->
                            refuse
                                Setting.Loss
                                AdjointMatching.name
                                $"it tunes a trained model: name the one to begin at with {Setting.Begin}"
                        | _, None ->
                            refuse
                                Setting.Loss
                                AdjointMatching.name
                                $"it tunes towards a reward: give one with {Setting.Reward}"))

    let private langevin =
        Part.of2
            (Parameter.make
                "time"
                3.0
                Allowed.Positive
                "T, the process's time from the data to e^{−f}/Z, in variances of the source")
            (Parameter.make "steps" 100.0 (Allowed.Whole 2) "N, the steps that it is walked in")
            (fun time steps ->
                entry
                    LangevinMatching.name
                    "Langevin's process from the data to e^{−f}/Z, f being −log of the source's density: learns the flow with its marginals, there and back."
                    LangevinMatching.equation
                    LangevinMatching.reference
                    [ Setting.Source, None ]
                    (fun parts ->
                        let force =
                            match parts.Source, parts.SourceScore with
                            // ½ ‖x‖², of N(0, I): the process of Ornstein and Uhlenbeck.
                            | None, _ -> Tensor.neg
                            | Some _, Some score -> score
                            | Some _, None ->
                                refuseWith
                                    Setting.Source
                                    ""
                                    $"its density is not known, and the loss {LangevinMatching.name} goes along its gradient"
                                    $"take a law such as mixture:FILE, or leave it out for N(0, I)"

                        let variance =
                            match parts.Source with
                            | None -> 1.0
                            | Some draw ->
                                Scope.run (fun () ->
                                    let x =
                                        draw (Rng.ofSeed 0L) (Tensor.zeros Kind.Float64 [ 4096; parts.Dimension ])
                                    (Tensor.mean (Tensor.varianceOver [ 0 ] 1 x)).ToFloat())

                        LangevinMatching.objective (trace parts) (time * variance) (int steps) force))

    let private flow =
        let own = ContinuousFlow.maximumLikelihood Trace.exact Tableau.rk4 8

        Part.of1
            (Parameter.make "steps" 8.0 (Allowed.Whole 1) "steps of the fourth-order Runge–Kutta method")
            (fun steps ->
                let summary =
                    "Continuous normalizing flow: raises the data's exact likelihood, by solving the flow in training."

                entry own.Name summary own.Equation own.Reference [] (fun parts ->
                    ContinuousFlow.maximumLikelihood (trace parts) Tableau.rk4 (int steps)))

    let private exact =
        Part.of1
            (Parameter.make
                "noise"
                0.0
                (Allowed.AtLeast 0.0)
                "s, deviation of noise put on the data, which sampling takes off again")
            (fun noise ->
                entry
                    MaximumLikelihood.name
                    "Maximum likelihood: an exact flow learns the data's density itself, by the determinant of its Jacobian."
                    MaximumLikelihood.equation
                    MaximumLikelihood.reference
                    []
                    (fun _ -> MaximumLikelihood.objective noise))

    let private encoding =
        Part.of1
            (Parameter.make
                "beta"
                1.0
                Allowed.Positive
                "β, what the divergence of the latents counts; 1 is the bound on the likelihood")
            (fun beta ->
                entry
                    VariationalAutoencoder.name
                    "A variational autoencoder: an encoder and a decoder learn latents by a bound on the likelihood, for another network to learn their law."
                    VariationalAutoencoder.equation
                    VariationalAutoencoder.reference
                    []
                    (fun _ -> VariationalAutoencoder.objective beta))

    let private tokens =
        let count = Parameter.make "tokens" 128.0 (Allowed.Whole 2) "K, the tokens of each coordinate"

        let bound =
            Parameter.make
                "bound"
                4.0
                Allowed.Positive
                "B: the tokens lie evenly from −B to B in the network's units, 1 for pictures"

        [ for name, source, asBound, summary in
              [ "dfm",
                TokenSource.Mask,
                false,
                "Discrete flow matching from masks: learns which token a masked coordinate is, from those that are seen."
                "dfm-kl",
                TokenSource.Mask,
                true,
                "Discrete flow matching from masks by the bound on the likelihood: early times, where little is masked, count more."
                "dfm-uniform",
                TokenSource.Uniform,
                false,
                "Discrete flow matching from random tokens: learns which token each coordinate was before some were drawn anew."
                "dfm-uniform-kl",
                TokenSource.Uniform,
                true,
                "Discrete flow matching from random tokens by the bound on the likelihood." ] ->
              Part.of2 count bound (fun count bound ->
                  let tokens: Tokens = { Count = int count; Bound = bound; Source = source }

                  let equation =
                      (if asBound then JumpMatching.boundEquation else JumpMatching.crossEntropyEquation)
                      + (if source = TokenSource.Mask then
                             ", masked with probability t"
                         else
                             ", drawn anew with probability t")

                  let citation = if asBound then JumpMatching.boundReference else JumpMatching.discreteReference
                  entry name summary equation citation [] (fun _ -> JumpMatching.discrete name asBound tokens)) ]

    let private jump =
        Part.of3
            (Parameter.make "cells" 128.0 (Allowed.Whole 2) "K, the cells that a coordinate jumps to")
            (Parameter.make "bound" 4.0 Allowed.Positive "B: the cells lie from −B to B in the network's units")
            (Parameter.make
                "flow"
                0.0
                (Allowed.Within(0.0, 1.0))
                "a, the share of the flow of the same path in what samples follow: 0 jumps only, 1 flows only")
            (fun count bound flow ->
                let cells: Cells = { Count = int count; Bound = bound; Flow = flow }

                entry
                    "jump"
                    "Generator matching: samples jump from where the path has too much mass to where it wants more, one coordinate at a time."
                    JumpMatching.lineEquation
                    JumpMatching.lineReference
                    []
                    (fun _ -> JumpMatching.line "jump" cells))

    /// Regression on what a teacher says instead of on what one sample says.
    let private taught =
        let esm = "E σ² ‖s − ∇log p_t‖², ∇log p_t the teacher's"
        let fm = "E ‖v − u_t(x)‖², u_t the teacher's"

        [ entry
              "esm"
              "Explicit score matching: regression on the score that a teacher says."
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
              "Flow matching: regression on the velocity that a teacher says."
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
        let reference = "Dhariwal, Nichol 2021, Diffusion models beat GANs, section 4"

        let summary = "A classifier of noisy samples, which guides other models: not sampled from."

        entry
            name
            summary
            equation
            reference
            [ Setting.Path, None; Setting.Times, usual Times.uniform.Name ]
            (fun parts ->
                let loss = NoisyClassifier.loss parts.Path parts.Times

                Objective.classifying name equation reference parts.Path loss)

    let parts: Part<LossEntry> list =
        [ yield! List.map Part.fixedAt regressions
          Part.of1 (Parameter.make "levels" 10.0 (Allowed.Whole 1) "the noise levels") (int >> ncsn)
          yield! List.map Part.fixedAt (edm :: scores @ [ energyMatching ])
          yield! energies
          yield! bounds
          yield! List.map Part.fixedAt [ independent; optimal ]
          bridged
              "Schrödinger-bridge conditional flow matching: entropic pairs joined by Brownian bridges; learns the flow of the bridge."
              Matching.schrodinger
          bridged
              "Simulation-free score and flow matching: sb-cfm that learns the score too, and so the Schrödinger bridge as a process."
              Matching.withScore
          langevin
          flow
          exact
          encoding
          yield! tokens
          jump
          progressive
          guided
          matchingDistributions
          adversary
          rewarded
          yield! maps
          yield! List.map Part.fixedAt (taught @ [ classifier ]) ]

    /// Those that make something to sample from.
    let all = parts |> List.map Part.standard |> List.filter (fun loss -> loss.Name <> classifier.Name)
