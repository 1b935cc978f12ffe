namespace Fokker

open System

/// Fine-tuning a model towards a reward, from p(x₀) to p(x₀) e^{λ r(x₀)}, by adjoint matching (Domingo-Enrich, Drozdzal, Karrer, Chen 2024, Adjoint matching: fine-tuning
/// flow and diffusion generative models with memoryless stochastic optimal control, arXiv 2409.08861).
///
/// The reversed process of a path, dX = (f X − g² s) dt + g dW run from t = 1, is the one of all that share its marginals that forgets where it began (their
/// memoryless schedule is σ² = g²), so that a control g u which makes E ∫ ½ ‖u‖² dt − E λ r(x₀) least gives x₀ the law p e^{λ r}, and not one that leans on the
/// start as well. The best control is u = g (s* − s), with s* the score of the tilted law at every t. Along a trajectory of the model as it is, the lean adjoint
///     a₀ = −λ ∇r(x₀),   a_t = (∂x_s/∂x_t)ᵀ a_s   through the steps of the model that training began at,
/// has the mean s − s* given x_t where the model is the best one: s − a_t is what its score is regressed on, and the tilted law is where that stands still.
[<NoComparison; NoEquality>]
type AdjointMatching =
    {
        /// The model that training begins at, which knows a score.
        Base: Model
        /// What both networks say, a prediction, behind their preconditioning.
        Output: NetworkOutput
        /// Of samples in the network's units.
        Reward: Reward
        /// λ.
        Tilt: float
        /// Ancestral steps of a trajectory, the denoising one included.
        Steps: int
        /// How many states of a trajectory are learned from.
        States: int
        /// Of the error in the score: the cost of the control is that of g².
        Weight: Weight
    }

/// States of trajectories of a model under training, and what it is to say there.
[<NoComparison; NoEquality>]
type AdjointTargets =
    {
        /// Falling, one for each state.
        Times: float[]
        /// x_t, [B; …] each, float64.
        States: Tensor[]
        /// The prediction that is asked for at each state.
        Wanted: Tensor[]
    }

    interface IHoldTensors with
        member a.Visit visit =
            Array.iter visit a.States
            Array.iter visit a.Wanted

[<RequireQualifiedAccess>]
module AdjointMatching =

    /// Ancestral steps: their mean is that of the reversed process to any step's length where the law is one Gaussian.
    let plan (steps: int) (model: Model) : SamplingPlan = Sampling.plan Samplers.ancestral steps model

    /// A step without its noise, from one time to another.
    let private mean
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (from: float)
        (until: float)
        : Tensor -> Tensor =
        let readings = { Readings.ofModel plan.Steps condition model with Denoises = true }
        let step = Samplers.step plan.Sampler readings

        fun x ->
            let nothing = Tensor.zeros x.Kind (1 :: List.ofArray x.Shape)
            (step (Noise.given nothing) until (Integrator.start from x)).X

    /// The states of a trajectory at the plan's times from x at the first of them, and x₀, which the last step takes for E[x₀ | x].
    let trajectory
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : struct (Tensor[] * Tensor) =
        let readings = { Readings.ofModel plan.Steps condition model with Denoises = true }
        let step = Samplers.step plan.Sampler readings
        let times = Sampling.times plan model.Path

        let states =
            Array.scan (fun state until -> step noise until state) (Integrator.start times[0] x) times[1..]
            |> Array.map _.X

        struct (states,
                Model.denoiser model condition (Integrator.time times[times.Length - 1]) states[states.Length - 1])

    /// a_t at every state from a₀: carried back through the denoising step and the means of the steps of `model`, the one that training began at. What the
    /// control itself would add to the derivative has no mean where the control is best, and is left out.
    let adjoints
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (states: Tensor[])
        (last: Tensor)
        : Tensor[] =
        let times = Sampling.times plan model.Path
        let pulled f (x: Tensor) (a: Tensor) = Tensor.detach (snd (Diff.vjp f x a))
        let n = states.Length
        let denoised = pulled (Model.denoiser model condition (Integrator.time times[n - 1])) states[n - 1] last

        Array.scanBack
            (fun k a -> pulled (mean plan model condition times[k] times[k + 1]) states[k] a)
            [| 0 .. n - 2 |]
            denoised

    /// What a model under training is to say along its own trajectories from x at the plan's first time: y + c_s (−a_t), with y what `before`, the model that training began at,
    /// says and c_s what its prediction has of the score. Both models are on one path and say the same prediction.
    let targets
        (carried: SamplingPlan -> Model -> Condition -> Tensor[] -> Tensor -> Tensor[])
        (plan: SamplingPlan)
        (reward: Reward)
        (tilt: float)
        (before: Model)
        (now: Model)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : AdjointTargets =
        Scope.run (fun () ->
            let times = Sampling.times plan before.Path
            let struct (states, x0) = trajectory plan now condition noise x
            let states = states |> Array.map Tensor.detach
            let x0 = Tensor.detach x0
            let slope = Tensor.detach (Diff.grad (reward.Value >> Tensor.sum) x0)
            let adjoint = carried plan before condition states (-tilt * slope)
            let ofScore = Prediction.converter before.Path Prediction.score before.Prediction
            let network = before.Network condition

            { Times = times
              States = states
              Wanted =
                states
                |> Array.mapi (fun k x ->
                    let t = Integrator.time times[k]
                    let struct (_, c) = ofScore t
                    Tensor.detach (Coefficient.combine [ Number 1.0, network t x; c, -adjoint[k] ])) })

    let name = "reward"
    let equation =
        "E g² ‖s(x_t) − s₀(x_t) + a_t‖², a₀ = −λ ∇r(x₀), a_t = (∂x_s/∂x_t)ᵀ a_s along the model's own trajectories"
    let reference = "Domingo-Enrich, Drozdzal, Karrer, Chen 2024, Adjoint matching, arXiv 2409.08861"

    /// The squared error of what the network says at drawn states of its own trajectories, weighed; of the batch it takes the number of samples and their labels.
    let loss (m: AdjointMatching) : Loss =
        let path, prediction = m.Base.Path, m.Base.Prediction
        let plan = plan m.Steps m.Base
        let times = Sampling.times plan path
        let noisy = times[0]
        let weight = m.Weight.Of path prediction

        let says (kind: Kind) (network: Condition -> Field) : Model =
            match NetworkOutput.dynamics path m.Output network with
            | Denoising model -> Sampling.widenedModel kind model
            | _ -> invalidArg (nameof m) "what is tuned towards a reward is a model that knows the score"

        // A time is learned from at the state that the step over it begins at: a sum over the steps by their lengths.
        let placeOf (t: float) = Math.Clamp(Array.FindLastIndex(times, fun time -> time >= t), 0, times.Length - 1)

        fun context rng batch ->
            let n = batch.Data.Shape[0]
            let kind = batch.Data.Kind
            let shape = List.ofArray batch.Data.Shape
            let device = batch.Data.Device
            let before, now = Sampling.widenedModel kind m.Base, says kind context.Frozen

            let struct (t, x, wanted) =
                Scope.run (fun () ->
                    let start =
                        Curve.eval path.Sigma noisy
                        * (Rng.normalLike batch.Data (Rng.named "start" rng)).To(Dtype.Float64)

                    let draws = Noise.fresh (Rng.named "steps" rng)
                    let all = targets adjoints plan m.Reward m.Tilt before now batch.Label draws start

                    let u =
                        Tensor.toFloats (Rng.uniform Kind.Float64 [ m.States; n ] (Rng.named "states" rng))
                        |> Array.mapi (fun i u -> (float (i / n) + u) / float m.States)

                    let places = u |> Array.map (fun u -> placeOf (noisy * (1.0 - u)))
                    let rows = places |> Array.mapi (fun i place -> int64 (place * n + i % n))
                    let rows = (Tensor.ofArray [ rows.Length ] rows).To device
                    let pick (states: Tensor[]) = Tensor.indexSelect 0 rows (Tensor.cat 0 (List.ofArray states))

                    struct (Tensor.ofArray [ places.Length ] (places |> Array.map (fun place -> times[place])),
                            pick all.States,
                            pick all.Wanted))

            let label = batch.Label |> Option.map (fun labels -> Tensor.cat 0 (List.replicate m.States labels))
            let said = (says kind context.Network).Network label t x
            let error = Coefficient.scale (Curve.at weight t) (Tensor.meanRows (Tensor.square (said - wanted)))
            (Tensor.meanOver [ 0 ] (Tensor.reshape [ m.States; n ] error)).To kind.Dtype

    let objective (m: AdjointMatching) : Objective =
        Objective.withOutput name equation reference m.Base.Path m.Output (loss m)

    // ---- by name

    /// Fine-tuning: what training begins at is the model that is tuned.
    let entry: Part<LossEntry> =
        Part.of2
            (Parameter.make "steps" 20.0 (Allowed.Whole 2) "ancestral steps of a trajectory")
            (Parameter.make "states" 4.0 (Allowed.Whole 1) "states of each trajectory that are learned from")
            (fun steps states ->
                LossEntry.make
                    name
                    "Adjoint matching: tunes a trained model towards a reward, from p(x) to p(x) e^{λ r(x)}."
                    $"{equation}; a model to begin at that knows a score, a reward and λ, one time, no forward derivatives"
                    reference
                    [ Setting.Reward, None; Setting.Weight, LossEntry.usual Weight.likelihood.Name ]
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
                                    $"it says no plain prediction: {name} tunes a model along its reversed process, which a map or a model that is told its guidance does not have"
                                    $"begin at one trained by a regression such as cfm, dsm or simple"

                            objective
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
                                name
                                $"it tunes a trained model: name the one to begin at with {Setting.Begin}"
                        | _, None ->
                            refuse Setting.Loss name $"it tunes towards a reward: give one with {Setting.Reward}"))
