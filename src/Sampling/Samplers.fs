namespace Fokker

open System

/// How a sampler makes its steps.
[<NoComparison; NoEquality>]
type Method =
    /// On the probability flow dx/dt = v(t, x).
    | RungeKutta of Tableau
    /// On the backward process with c times the diffusion of the path's SDE (`Sde.withChurn`); c = 1 is its reversal.
    | EulerMaruyama of churn: float

/// A way to turn noise into data: a method by name.
[<NoComparison; NoEquality>]
type Sampler =
    {
        Name: string
        Method: Method
        /// The grid that suits it where nobody asks for another.
        Grid: Grid
        Source: string
    }

    /// Order of convergence in the step: of the samples for deterministic methods, of their law and of each trajectory for
    /// Euler–Maruyama (its noise does not depend on the state).
    member s.Order =
        match s.Method with
        | RungeKutta tableau -> tableau.Order
        | EulerMaruyama _ -> 1

    member s.IsStochastic =
        match s.Method with
        | RungeKutta _ -> false
        | EulerMaruyama churn -> churn > 0.0

    /// Evaluations of the network a step.
    member s.EvaluationsPerStep =
        match s.Method with
        | RungeKutta tableau -> tableau.EvaluationsPerStep
        | EulerMaruyama _ -> 1

[<RequireQualifiedAccess>]
module Samplers =

    let private flow (tableau: Tableau) : Sampler =
        { Name = tableau.Name; Method = RungeKutta tableau; Grid = Grid.uniform; Source = tableau.Source }

    let euler = flow Tableau.euler
    let midpoint = flow Tableau.midpoint
    let heun = flow Tableau.heun
    let rk4 = flow Tableau.rk4

    /// Euler–Maruyama with c times the diffusion of the path's SDE, c ≥ 0. Its default grid is even in λ, in which the process
    /// relaxes at the same rate throughout; even in t the step would have to resolve its fastest rate, at the ends.
    let eulerMaruyamaWith (churn: float) : Sampler =
        if not (churn >= 0.0 && Double.IsFinite churn) then
            invalidArg (nameof churn) $"churn {churn}: a number, 0 or more"

        { Name = "euler-maruyama"
          Method = EulerMaruyama churn
          Grid = Grid.lambda
          Source = "Maruyama 1955; Song et al. 2021, Score-based generative modeling through SDEs, section 3.3" }

    /// The reverse SDE.
    let eulerMaruyama = eulerMaruyamaWith 1.0

    /// The samplers that the command line, the tests and the docs know.
    let all = List.map flow Tableau.all @ [ eulerMaruyama ]

/// What is done with the state at the last time of a span.
type Finish =
    /// Nothing: the samples have the law of x at that time.
    | Stop
    /// E[x₀ | x] takes the place of x, one more evaluation: it removes the noise σ that is left there (Song et al. 2021, appendix C).
    | Denoise

/// Where sampling begins and ends, 1 ≥ Noisy > Clean ≥ 0.
type Span = { Noisy: float; Clean: float; Finish: Finish }

/// Everything that sampling needs besides the model: solver × grid × span, and the network's own element type and device.
[<NoComparison; NoEquality>]
type SamplingPlan = { Sampler: Sampler; Grid: Grid; Steps: int; Span: Span; Kind: Kind }

[<RequireQualifiedAccess>]
module Sampling =

    /// The rule for the ends. A flow whose network says the velocity is followed from t = 1 to t = 0 where α̇ and σ̇ are finite at
    /// both. Everything else involves the score, infinite where σ is 0, or divides by a determinant that vanishes: it
    /// runs inside the path's interior and denoises at the end.
    let spanOf (sampler: Sampler) (model: Model) : Span =
        let finite (curve: Curve) =
            [ 0.0; 1.0 ] |> List.forall (fun t -> Double.IsFinite(Curve.eval (Curve.derivative curve) t))

        if
            not sampler.IsStochastic
            && model.Prediction.Name = Prediction.velocity.Name
            && finite model.Path.Alpha
            && finite model.Path.Sigma
        then
            { Noisy = 1.0; Clean = 0.0; Finish = Stop }
        else
            let low, high = model.Path.Interior
            { Noisy = high; Clean = low; Finish = Denoise }

    /// The plan of a sampler with so many steps: its own grid, the model's natural span, a float32 network on the CPU.
    let plan (sampler: Sampler) (steps: int) (model: Model) : SamplingPlan =
        { Sampler = sampler
          Grid = sampler.Grid
          Steps = steps
          Span = spanOf sampler model
          Kind = Kind.Float32 }

    /// The times of a plan's steps.
    let times (plan: SamplingPlan) (path: GaussianPath) : float[] =
        Grid.times plan.Grid path (plan.Span.Noisy, plan.Span.Clean) plan.Steps

    /// Evaluations of the network for each sample.
    let evaluations (plan: SamplingPlan) : int =
        let first =
            match plan.Sampler.Method with
            | RungeKutta tableau when tableau.IsFsal -> 1
            | _ -> 0

        let last = if plan.Span.Finish = Denoise then 1 else 0
        first + plan.Steps * plan.Sampler.EvaluationsPerStep + last

    /// v − ½ c² g² ∇log p as a reading of the network's output: α̇ x₀ + (σ̇ + ½ c² g²/σ) ε. One evaluation gives both terms.
    let private drift (churn: float) : Prediction =
        { Name = $"drift with churn {churn}"
          Equation = "α̇ x₀ + (σ̇ + ½ c² g²/σ) ε"
          Source = "Karras et al. 2022, EDM, eq. 6"
          Coefficients =
            fun path ->
                let g2 = Path.diffusionSquared path
                struct (Curve.derivative path.Alpha, Curve.derivative path.Sigma + 0.5 * churn * churn * g2 / path.Sigma) }

    /// The network in its own element type and on its device, the state in float64: the coefficients of a sampler reach from
    /// 10⁻³ to 10³, and sums of thousands of steps would lose what float32 has.
    let internal widened (kind: Kind) (network: Condition -> Field) : Condition -> Field =
        fun condition ->
            let network = network condition
            fun t x -> (network t (x.To kind.Dtype)).To x.Dtype

    let internal widenedModel (kind: Kind) (model: Model) : Model = { model with Network = widened kind model.Network }

    /// The step of a sampler on a model, for the driver loop.
    let step (sampler: Sampler) (model: Model) (condition: Condition) : Step =
        match sampler.Method with
        | RungeKutta tableau -> Integrator.rungeKutta tableau (Ode.ofModel condition model)
        | EulerMaruyama churn ->
            Integrator.eulerMaruyama
                { Drift = Model.reading (drift churn) model condition
                  DiffusionSquared = churn * churn * Path.diffusionSquared model.Path
                  Backward = true }

    let private named (name: string) (rng: Rng) = { Rng.named name rng with First = rng.First }

    /// σ(t)·ε at the noisy end, [n; shape] float64: the law of x there, but for the α x₀ that is left of the data. Row i depends on the key
    /// and on i only.
    let start (plan: SamplingPlan) (path: GaussianPath) (shape: int list) (n: int) (rng: Rng) : Tensor =
        let struct (_, sigma) = Path.alphaSigma path plan.Span.Noisy
        sigma * Rng.normal (Kind.Float64.On plan.Kind.Device) (n :: shape) (named "start" rng)

    let private finish (plan: SamplingPlan) (model: Model) condition (state: State) : State =
        match plan.Span.Finish with
        | Stop -> state
        | Denoise ->
            let t = Tensor.scalar Kind.Float64 state.Time

            { state with
                X = Model.denoiser model condition t state.X
                Memory = []
                Time = 0.0
                Evaluations = state.Evaluations + 1 }

    /// The states of one batch as they are reached, from the noise x to the data; the last one is the sample. The caller owns each.
    let states
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (rng: Rng)
        (x: Tensor)
        : seq<Result<State, Failure>> =
        let model' = widenedModel plan.Kind model
        let steps = Integrator.states (step plan.Sampler model' condition) (named "noise" rng) (times plan model.Path) x

        match plan.Span.Finish with
        | Stop -> steps
        | Denoise ->
            seq {
                for result in steps do
                    match result with
                    | Ok state when state.Step = plan.Steps ->
                        // Before the state is handed out: it is its new owner's to free.
                        let finished = Scope.run (fun () -> finish plan model' condition state)
                        yield result
                        yield Ok finished
                    | _ -> yield result
            }

    /// The sample that the noise x [B; …] turns into, in the network's element type.
    let run
        (plan: SamplingPlan)
        (model: Model)
        (condition: Condition)
        (rng: Rng)
        (x: Tensor)
        : Result<Tensor, Failure> =
        Scope.run (fun () ->
            let model' = widenedModel plan.Kind model

            Integrator.run (step plan.Sampler model' condition) (named "noise" rng) (times plan model.Path) x
            |> Result.map (fun state -> (finish plan model' condition state).X.To plan.Kind.Dtype))

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
                        run plan model labels rng (start plan model.Path shape size rng))
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
