namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// The variational bound against L_simple against a learned variance, by bits and by samples: Ho, Jain, Abbeel 2020, DDPM, table 2; Nichol, Dhariwal
/// 2021, Improved DDPM, tables 1 and 2. The law is one whose entropy is known, so that a bound is a distance from what cannot be beaten.
module Variance =

    let path = Paths.ddpm
    let trainedSteps = 1000
    let private standardSeeds, standardSteps, standardCount = 3, 10_000L, 1000

    /// What is trained, and the variances that its reverse steps are then given.
    [<NoComparison; NoEquality>]
    type Training = { Name: string; Objective: Objective; Variances: StepVariance list }

    let trainings =
        let noise name loss = Objective.predicting name "" "" path Prediction.noise loss
        let bound variance = Variational.bound trainedSteps variance Prediction.noise path
        let fixed' = [ Forward; Posterior ]

        [ { Name = "L"; Objective = noise "vlb" (bound Forward); Variances = fixed' }
          { Name = "L_simple"
            Objective = Loss.simple path |> Loss.timesFrom (Times.discrete trainedSteps) |> Objective.ofRegression
            Variances = fixed' }
          { Name = "L"
            Objective = noise "vlb-learned" (bound Learned) |> Objective.withVariance
            Variances = [ Learned ] }
          { Name = "L_hybrid"
            Objective =
              noise "hybrid" (Variational.hybrid 0.001 trainedSteps Prediction.noise path)
              |> Objective.withVariance
            Variances = [ Learned ] } ]

    let symbol (variance: StepVariance) =
        match variance with
        | Forward -> "β"
        | Posterior -> "β̃"
        | Learned -> "Σ learned"

    let private samplerOf (variance: StepVariance) =
        match variance with
        | Forward -> Samplers.ancestralLarge
        | Posterior -> Samplers.ancestral
        | Learned -> Samplers.ancestralLearned

    // ---- training

    /// The model of the averaged parameters, in float64 around the float32 network.
    let train
        (steps: int64)
        (network: Network)
        (batches: int64 -> Batch)
        (key: Rng)
        (training: Training)
        (report: float -> unit)
        : Model =
        let settings =
            { Trainer.standard with
                Optimizer =
                    { Trainer.standard.Optimizer with Rate = Schedule.WarmUp(100L, Schedule.Cosine(1e-3, 0.0, steps)) } }

        let state, ending =
            Trainer.run
                settings
                network
                training.Objective.Loss
                batches
                (Budget.Steps steps)
                0.0
                { Stepped = (fun _ info _ -> report (float info.Step / float steps)); Stop = fun () -> false }
                (Trainer.init Kind.Float32 key network)

        let wide (condition: Condition) : Field =
            let network = network.Apply state.Average condition
            fun t x -> (network t (x.To Dtype.Float32)).To x.Dtype

        match ending, training.Objective.Dynamics wide with
        | Ending.Diverged divergence, _ -> raise (UserError divergence.Message)
        | _, Denoising model -> model
        | _ -> invalidOp "these losses teach a model"

    let private batch = 256

    let private trained (steps: int64) (law: Mixture) (key: Rng) (training: Training) (report: float -> unit) : Model =
        let network = Networks.mlp { Mlp.standard 2 with Width = 128; Outputs = training.Objective.Outputs }

        let batches step : Batch =
            let rng = Rng.at step (Rng.named "data" key)
            { Data = (Mixture.sample batch rng law).To Dtype.Float32; Label = None; Source = None }

        train steps network batches key training report

    // ---- what is measured

    let private plan (variance: StepVariance) (steps: int) (model: Model) : SamplingPlan =
        { Sampling.plan (samplerOf variance) steps model with Grid = Grid.linspace; Kind = Kind.Float64 }

    /// The bound on −log p by so many steps, nats [B].
    let bound (variance: StepVariance) (steps: int) (model: Model) (rng: Rng) (x: Tensor) : Tensor =
        Scope.run (fun () ->
            let times = Sampling.times (plan variance steps model) path |> Array.rev

            let second: Field =
                fun t x ->
                    match model.WithVariance with
                    | Some both ->
                        let struct (_, u) = both None t x
                        u
                    | None -> invalidOp "no variance was learned"

            Variational.discreteBound
                (Variational.place variance second)
                path
                times
                1.0
                (Model.denoiser model None)
                rng
                x)

    /// The bound in bits a dimension, above −log p of the same points.
    let private excess law variance steps model rng (x: Tensor) : float =
        Scope.run (fun () ->
            let nats = bound variance steps model rng x + Mixture.logDensityOfData law x
            (Tensor.mean nats).ToFloat() / (2.0 * Math.Log 2.0))

    /// Samples of a shape by so many steps, so many at once.
    let drawn
        (shape: int list)
        (atOnce: int)
        (variance: StepVariance)
        (steps: int)
        (model: Model)
        (n: int)
        (rng: Rng)
        : Tensor =
        match Sampling.draw (plan variance steps model) model None shape n atOnce rng with
        | Ok x -> x
        | Error failure -> raise (UserError $"sampling failed at {failure}")

    let private bounds, samplings, pairs = [ 50; trainedSteps ], [ 20; 50; trainedSteps ], 4

    /// What one model with one variance measures: the bounds by 50 and all steps, and the distances by 20, 50 and all.
    type private Outcome = { Excess: float list; Distances: float list }

    let private outcome (law: Mixture) (n: int) (key: Rng) (model: Model) (variance: StepVariance) : Outcome =
        let test = Scope.run (fun () -> Mixture.sample (2 * n) (Rng.named "test" key) law)

        let distance steps =
            (Measure.over
                pairs
                (Rng.named "samples" key)
                (drawn [ 2 ] n variance steps model n)
                (fun rng -> Mixture.sample n rng law)
                Measures.wasserstein2)
                .Mean

        { Excess = [ for steps in bounds -> excess law variance steps model (Rng.named "bound" key) test ]
          Distances = List.map distance samplings }

    // ---- what is shown

    /// The mean place of the learned variance between β̃ (0) and β (1) at each time.
    let private places (law: Mixture) (model: Model) (times: float[]) : float[] =
        [| for t in times ->
               Scope.run (fun () ->
                   let x = Mixture.sampleAt path t 1000 (Rng.ofSeed 7L) law
                   let struct (_, u) = (Option.get model.WithVariance) None (Tensor.scalar Kind.Float64 t) x
                   0.5 * (1.0 + (Tensor.mean u).ToFloat())) |]

    let private cloud label tone (x: Tensor) : Cloud =
        { Label = label; Tone = tone; Points = Tensor.toArray<float32>(x.To Dtype.Float32); Classes = [||] }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let seeds = defaultArg options.Seeds standardSeeds
        let steps = defaultArg options.Steps standardSteps
        let n = defaultArg options.Count standardCount
        let law = Ddim.mixture ()
        let keyOf seed = Rng.ofSeed (int64 seed)

        let models =
            Progress.run terminal "training" 1.0 (fun report ->
                let total = float (trainings.Length * seeds)

                [ for k, training in List.indexed trainings ->
                      training,
                      [ for seed in 1..seeds ->
                            trained steps law (keyOf seed) training (fun share ->
                                report ((float (k * seeds + seed - 1) + share) / total) training.Name) ] ])

        let cases =
            [ for training, own in models do
                  for variance in training.Variances -> training, variance, own ]

        let outcomes =
            Progress.run terminal "measuring" 1.0 (fun report ->
                [ for k, (training, variance, own) in List.indexed cases ->
                      [ for i, model in List.indexed own ->
                            report ((float k + float i / float seeds) / float cases.Length) training.Name
                            outcome law n (keyOf (i + 1)) model variance ] ])

        let floor = Measure.floor 20 (Rng.ofSeed 0L) (fun rng -> Mixture.sample n rng law) Measures.wasserstein2

        let entropy =
            Scope.run (fun () ->
                let x = Mixture.sample 100_000 (Rng.ofSeed 1L) law
                -(Tensor.mean (Mixture.logDensityOfData law x)).ToFloat() / (2.0 * Math.Log 2.0))

        let over (read: Outcome -> float) (own: Outcome list) = Study.meanAndDeviation (List.map read own)

        let measures: (string * (Outcome -> float)) list =
            [ for k, s in List.indexed bounds -> $"bits/dim, {s} steps", (fun o -> o.Excess[k])
              for k, s in List.indexed samplings -> $"W2, {s} steps", (fun o -> o.Distances[k]) ]

        let name (training: Training, variance, _) = $"{training.Name}, {symbol variance}"
        let text value = Cell.Text(Study.plusMinus value)

        let shown = 50
        let picture case tone x = { Title = case; Clouds = [ cloud case tone x ] }

        let panels =
            picture "data" Tone.Data (Mixture.sample 2000 (Rng.ofSeed 3L) law)
            :: [ for training, variance, own in cases ->
                     picture
                         (name (training, variance, own))
                         Tone.Model
                         (drawn [ 2 ] 2000 variance shown (List.head own) 2000 (Rng.ofSeed 4L)) ]

        let times = Array.init 25 (fun k -> 10.0 ** (-3.0 + 3.0 * float k / 24.0))

        { DataSet = "three Gaussians in the plane"
          Summary =
            $"A DDPM of {trainedSteps} steps trained by its variational bound $L$, by $L_simple$, and with the variance of its steps learned ($L$, and $L_hybrid$): {seeds} seeds, {steps} steps of training."
          Headlines = []
          Sections =
            [ Study.table
                  "Bits and samples"
                  $"Mean and standard deviation over seeds. The bound in bits a dimension above the law's entropy ({entropy:F3}), by {2 * n} points with one draw of noise a step; 2-Wasserstein distance of {n} samples, {pairs} pairs of sets a seed: two sets of data are {Study.plusMinus (floor.Mean, floor.StandardError)} apart."
                  ("" :: List.map fst measures)
                  [ for case, own in List.zip cases outcomes ->
                        Cell.Text(name case) :: [ for _, read in measures -> text (over read own) ] ]
              { Title = "Where the learned variance lies"
                Note =
                  "The mean over $x_t$ of $½(1 + u)$: 0 is the posterior's variance $β̃$, 1 the forward step's $β$, in logarithm."
                Bodies =
                  [ Body.Lines
                        { XLabel = "t"
                          YLabel = "place between β̃ and β"
                          LogX = true
                          LogY = false
                          Lines =
                            [ for k, (training, own) in List.indexed models do
                                  if training.Variances = [ Learned ] then
                                      { Label = name (training, Learned, own)
                                        Tone = Tone.Series k
                                        Stroke = Stroke.Solid
                                        X = times
                                        Y = places law (List.head own) times } ] } ] }
              { Title = $"Samples by {shown} steps"
                Note = "2,000 samples of the first seed's networks beside as many of the data."
                Bodies =
                  [ for row in List.chunkBySize 4 panels -> Body.Scatter { Panels = row; XLabel = "x₁"; YLabel = "x₂" } ] } ]
          Json =
            [ "seeds", Json.whole (int64 seeds)
              "steps", Json.whole steps
              "entropy", Json.number entropy
              "floor", Json.number floor.Mean
              "cases",
              Json.array
                  [ for (training, variance, _), own in List.zip cases outcomes ->
                        let values key read =
                            key,
                            Json.array
                                [ for k in 0 .. (read (List.head own): float list).Length - 1 ->
                                      Json.number (fst (over (fun o -> (read o)[k]) own)) ]

                        Json.node (
                            Json.object
                                [ "loss", Json.text training.Objective.Name
                                  "variance", Json.text (symbol variance)
                                  values "bitsAboveEntropy" _.Excess
                                  values "wasserstein2" _.Distances ]
                        ) ] ] }

    let study: Study =
        { Name = "variance"
          Summary = "the variational bound, L_simple and a learned variance, by bits and by samples"
          Reference =
            "Ho, Jain, Abbeel 2020, DDPM, table 2; Nichol, Dhariwal 2021, Improved DDPM, section 3.1 and tables 1 and 2"
          Uses =
            [ "--seeds", "trainings of each loss (3)"
              "--steps", "optimization steps of each training (10,000)"
              "--count", "samples in a set (1,000)" ]
          IsShared = false
          Run = run }
