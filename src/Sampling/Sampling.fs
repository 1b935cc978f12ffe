namespace Fokker

open System

/// Everything that sampling needs besides the model: solver × grid × span, and the network's own element type and device.
[<NoComparison; NoEquality>]
type SamplingPlan =
    {
        Sampler: Sampler
        Grid: Grid
        /// Steps from the span's noisy end to its finish, the denoising one included: as many evaluations for a method of one a step.
        Steps: int
        Span: Span
        Kind: Kind
    }

[<RequireQualifiedAccess>]
module Sampling =

    /// The rule for the ends. A flow whose network predicts the velocity is followed from t = 1 to t = 0 where α̇ and σ̇ are finite at
    /// both. Everything else involves the score, infinite where σ is 0, or divides by a determinant that vanishes: it
    /// runs inside the path's interior and denoises at the end.
    let spanOf (sampler: Sampler) (model: Model) : Span =
        let finite (curve: Curve) =
            [ 0.0; 1.0 ] |> List.forall (fun t -> Double.IsFinite(Curve.eval (Curve.derivative curve) t))

        match sampler.Follows with
        | Velocity _ when
            model.Prediction.Name = Prediction.velocity.Name
            && finite model.Path.Alpha
            && finite model.Path.Sigma
            ->
            { Noisy = 1.0; Clean = 0.0; Finish = Stop }
        | _ ->
            let low, high = model.Path.Interior
            { Noisy = high; Clean = low; Finish = Denoise }

    /// The plan of a sampler with so many steps: its own grid, the model's natural span, a float32 network on the CPU.
    let plan (sampler: Sampler) (steps: int) (model: Model) : SamplingPlan =
        { Sampler = sampler
          Grid = sampler.Grid
          Steps = steps
          Span = spanOf sampler model
          Kind = Kind.Float32 }

    /// The plan on another grid. One of its own times brings its steps and its span.
    let onGrid (grid: Grid) (path: GaussianPath) (plan: SamplingPlan) : SamplingPlan =
        match Grid.ownSpan path plan.Span grid with
        | Some(span, steps) -> { plan with Grid = grid; Span = span; Steps = steps }
        | None -> { plan with Grid = grid }

    /// The times of a plan's steps; the denoising step at the end, if there is one, takes no time of its own.
    let times (plan: SamplingPlan) (path: GaussianPath) : float[] = Grid.timesOf plan.Grid path plan.Span plan.Steps

    /// Evaluations of the network for each sample.
    let evaluations (plan: SamplingPlan) : int =
        match plan.Span.Finish with
        | Stop -> plan.Sampler.Evaluations plan.Steps
        | Denoise -> plan.Sampler.Evaluations(plan.Steps - 1) + 1

    /// The network in its own element type and on its device, the state in float64: the coefficients of a sampler reach from
    /// 10⁻³ to 10³, and sums of thousands of steps would lose what float32 has.
    let internal widened (kind: Kind) (network: Condition -> Field) : Condition -> Field =
        fun condition ->
            let network = network condition
            fun t x -> (network t (x.To kind.Dtype)).To x.Dtype

    let internal widenedModel (kind: Kind) (model: Model) : Model =
        { model with
            Network = widened kind model.Network
            WithVariance =
                model.WithVariance
                |> Option.map (fun both condition ->
                    let both = both condition

                    fun t x ->
                        let struct (y, u) = both t (x.To kind.Dtype)
                        struct (y.To x.Dtype, u.To x.Dtype)) }

    /// A run as the driver takes it: its step, and its times. The denoising step at the end is one like the others, to t = 0.
    let private program (plan: SamplingPlan) (path: GaussianPath) (step: Step) (denoiser: Field) : Step * float[] =
        let times = times plan path

        match plan.Span.Finish with
        | Stop -> step, times
        | Denoise ->
            let denoise: Step =
                fun _ until state -> Integrator.moved state until (denoiser (Integrator.time state.Time) state.X) [] 1

            Exponential.started (times.Length - 1) step denoise, Array.append times [| 0.0 |]

    let internal programOf (plan: SamplingPlan) (model: Model) (condition: Condition) : Step * float[] =
        let readings =
            { Readings.ofModel plan.Steps condition (widenedModel plan.Kind model) with
                Denoises = (plan.Span.Finish = Denoise) }

        program plan model.Path (Samplers.step plan.Sampler readings) (readings.Of Prediction.data)

    /// σ(t)·ε at the noisy end, [n; shape] float64: the law of x there, but for the α x₀ that is left of the data. Row i depends on the key
    /// and on i only.
    let start (plan: SamplingPlan) (path: GaussianPath) (shape: int list) (n: int) (rng: Rng) : Tensor =
        let first = times plan path |> Array.head
        let struct (_, sigma) = Path.alphaSigma path first
        sigma * Rng.normal (Kind.Float64.On plan.Kind.Device) (n :: shape) (Rng.named "start" rng)

    /// The states of one batch as they are reached, from the noise x to the data; the last one is the sample. Each says what the network
    /// took the data for, `State.Denoised`. The caller owns each, and may stop at any.
    let states
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : seq<Result<State, Failure>> =
        let watched, said = Watch.firstCall model
        let step, times = programOf plan watched condition
        Integrator.states (Watch.denoising said model step) noise times x

    /// The sample that the noise x [B; …] turns into, in the network's element type.
    let run
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (noise: Noise)
        (x: Tensor)
        : Result<Tensor, Failure> =
        Scope.run (fun () ->
            let step, times = programOf plan model condition

            Integrator.run step noise times x |> Result.map (fun state -> state.X.To plan.Kind.Dtype))

    /// n samples [n; shape] in batches of at most `batch`, computed on demand. Sample i draws the same noise whatever the batch size.
    /// `condition` is none, or n labels. The caller owns each batch.
    let batches
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (shape: int list)
        (n: int)
        (batch: int)
        (rng: Rng)
        =
        if batch < 1 then
            invalidArg (nameof batch) $"batches of {batch}: at least 1"

        match condition with
        | Some labels when labels.Shape <> [| n |] ->
            raise (TensorException $"sampling {n}: labels are {labels.Describe()}: [{n}] is needed")
        | _ -> ()

        seq {
            for first in 0..batch .. n - 1 do
                let size = min batch (n - first)
                let rng = Rng.rows (int64 first) rng

                yield
                    Scope.run (fun () ->
                        let labels = condition |> Option.map (Tensor.narrow 0 first size)
                        run plan model labels (Noise.fresh rng) (start plan model.Path shape size rng))
        }

    /// n samples [n; shape], computed in batches of at most `batch`; the first failure ends it.
    let draw
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (shape: int list)
        (n: int)
        (batch: int)
        (rng: Rng)
        =
        Scope.run (fun () ->
            let parts = Collections.Generic.List<Tensor>()

            batches plan model condition shape n batch rng
            |> Seq.tryPick (function
                | Ok part ->
                    parts.Add part
                    None
                | Error failure -> Some failure)
            |> function
                | Some failure -> Error failure
                | None when parts.Count = 0 -> Ok(Tensor.zeros plan.Kind (0 :: shape))
                | None -> Ok(Tensor.cat 0 parts))
