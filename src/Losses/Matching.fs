namespace Fokker

/// Flow matching between two laws: E ‖v(t, x_t) − (ȧ x₀ + ḃ x₁ + γ̇ z)‖² over pairs (x₀, x₁) of a coupling. The parts of it.
[<NoComparison; NoEquality>]
type Matching =
    {
        Name: string
        Equation: string
        Reference: string
        /// The Gaussian path with α = a and σ = b: where times are drawn, and solvers' grids are laid.
        Path: GaussianPath
        Times: Times
        Coupling: Coupling
        /// The law of x₁: as many samples as, and in the shape and kind of, those of the data.
        Source: Rng -> Tensor -> Tensor
        /// s of the Brownian bridge between the pair, γ = s √(t (1 − t)); none where the interpolant has no noise of its own.
        Bridge: float option
        /// Whether E[z | x_t] is learned too, by a second output: for a bridge.
        WithScore: bool
    }

    /// x_t = a(t)·x₀ + b(t)·x₁ + γ(t)·z of a pair.
    member m.Interpolant =
        match m.Bridge with
        | Some s -> Interpolant.bridge s
        | None -> Interpolant.ofPath m.Path

[<RequireQualifiedAccess>]
module Matching =

    let private normal (rng: Rng) (x0: Tensor) = Rng.normalLike x0 rng

    /// Flow matching on a path with x₁ ~ N(0, I) drawn independently: `Loss.cfm`, with a coupling to be chosen.
    let on (path: GaussianPath) : Matching =
        { Name = "cfm"
          Equation = "E‖v − (ȧ x₀ + ḃ x₁)‖²"
          Reference = "Lipman et al. 2023, Flow matching, eq. 9"
          Path = path
          Times = Times.uniform
          Coupling = Coupling.independent
          Source = normal
          Bridge = None
          WithScore = false }

    /// OT-CFM: pairs of the batch's optimal plan, so that paths hardly cross.
    let optimal (path: GaussianPath) : Matching =
        { on path with
            Name = "ot-cfm"
            Equation = "E‖v − (ȧ x₀ + ḃ x₁)‖², (x₀, x₁) ~ argmin_π Σ ‖x₀ᵢ − x₁π(i)‖²"
            Reference =
                "Tong et al. 2024, Improving and generalizing flow-based models, section 3.2; Pooladian et al. 2023"
            Coupling = Coupling.exact }

    /// SB-CFM: the entropic plan at ε = 2 s² for the cost ‖x₀ − x₁‖² under a Brownian bridge of variance s² t (1 − t): the
    /// flow of the Schrödinger bridge between the two laws.
    let schrodinger (s: float) : Matching =
        { on Path.condOT with
            Name = "sb-cfm"
            Equation = "E‖v − (x₁ − x₀ + γ̇ z)‖², γ = s √(t (1 − t))"
            Reference = "Tong et al. 2024, section 3.3, proposition 3.5"
            Bridge = Some s
            Coupling = Coupling.entropic (2.0 * s * s) }

    /// Simulation-free score and flow matching, [SF]²M: the bridge's flow and, by a second output, E[z | x_t], which turns it into the Schrödinger bridge itself, the
    /// process with diffusion s.
    let withScore (s: float) : Matching =
        { schrodinger s with
            Name = "sf2m"
            Equation = "E‖v − (x₁ − x₀ + γ̇ z)‖² + E‖ẑ − z‖²"
            Reference = "Tong et al. 2024, Simulation-free Schrödinger bridges via score and flow matching, eq. 9"
            WithScore = true }

    let coupledBy (coupling: Coupling) (m: Matching) = { m with Coupling = coupling }
    let timesFrom (times: Times) (m: Matching) = { m with Times = times }
    let from (source: Rng -> Tensor -> Tensor) (m: Matching) = { m with Source = source }

    /// How far two samples are apart by what is told of them in numbers, squared, [B; B]: a number that is told of one and not of the other counts as one more.
    let private apart (told: Tensor) : Tensor =
        let rows = Tensor.flattenRows told
        let isThere = Tensor.isFinite rows
        let numbers = Tensor.where isThere rows (Tensor.zerosLike rows)
        let all = Tensor.cat 1 [ numbers; isThere.To numbers.Dtype ]
        Wasserstein.squaredDistances all all

    /// The batch with a partner from the source for each sample, by the coupling; within classes where there are labels, and by C²OT, at which a twentieth of the pairs is preferred, in the place of the
    /// optimal plan where numbers are told. A
    /// function of the key and the batch alone, so that it can be made before the step that needs it.
    let pair (m: Matching) (rng: Rng) (batch: Batch) : Batch =
        let x1 = m.Source (Rng.named "source" rng) batch.Data

        let coupling =
            match batch.Label with
            | Some told when Dtype.isFloating told.Dtype ->
                if m.Coupling.Name = Coupling.exact.Name then
                    Coupling.conditional (Coupling.weightOfShare 0.05) (apart told)
                elif m.Coupling.Name = Coupling.independent.Name then
                    m.Coupling
                else
                    raise (
                        UserError
                            $"the coupling {m.Coupling.Name} would give what is told of a sample a source of its own: take ot, which then minds it, or independent"
                    )
            | Some labels -> Coupling.withinClasses labels m.Coupling
            | None -> m.Coupling

        let struct (i, j) = coupling.Pair (Rng.named "coupling" rng) batch.Data x1
        let pick (index: Tensor) (x: Tensor) = Tensor.indexSelect 0 (index.To x.Device) x

        { Data = pick i batch.Data; Label = Option.map (pick i) batch.Label; Source = Some(pick j x1) }

    /// The loss, on pairs made before or, where the batch has none, made here.
    let loss (m: Matching) : Loss =
        let draw = m.Times.Draw m.Path
        let interpolant = m.Interpolant
        let slopes = [ interpolant.A; interpolant.B; interpolant.Gamma ] |> List.map Curve.derivative
        Times.requireFinite m.Path m.Times "the velocity" slopes

        fun context rng batch ->
            let batch = if batch.Source.IsSome then batch else pair m rng batch
            let x0, x1 = batch.Data, batch.Source.Value
            let t = draw (Rng.named "times" rng) x0.Shape[0]
            let z = Rng.normalLike x0 (Rng.named "noise" rng)
            let x = Interpolant.sample interpolant t x0 x1 z
            let velocity = Coefficient.combine (List.zip (slopes |> List.map (fun c -> Curve.at c t)) [ x0; x1; z ])
            let said = context.Network batch.Label t x

            let target = if m.WithScore then Tensor.cat 1 [ velocity; z ] else velocity

            Tensor.meanRows (Tensor.square (said - target)) * float (if m.WithScore then 2 else 1)

    /// The same against a known marginal velocity u_t(x): flow matching proper (Lipman et al. 2023, eq. 5).
    let marginal (velocity: Field) (m: Matching) : Loss =
        let draw = m.Times.Draw m.Path
        let interpolant = m.Interpolant

        fun context rng batch ->
            let batch = if batch.Source.IsSome then batch else pair m rng batch
            let t = draw (Rng.named "times" rng) batch.Data.Shape[0]
            let z = Rng.normalLike batch.Data (Rng.named "noise" rng)
            let x = Interpolant.sample interpolant t batch.Data batch.Source.Value z
            Tensor.meanRows (Tensor.square (context.Network batch.Label t x - velocity t x))

    /// What a network trained by it says: a velocity.
    let output (m: Matching) : NetworkOutput =
        match m.Bridge with
        | None -> NetworkOutput.Velocity
        | Some s -> NetworkOutput.Bridge(s, m.WithScore)

    /// What a network trained by it is: a flow.
    let flow (m: Matching) (network: Condition -> Field) : Flow =
        match NetworkOutput.dynamics m.Path (output m) network with
        | Transport flow -> flow
        | Denoising _
        | Jumping _
        | Landscape _
        | Mapping _ -> invalidOp "a matching learns a velocity"

    /// ∫₀¹ E‖v(t, x_t)‖² dt along the flow's own trajectories, from the source x₁ [n; …] at t = 1 by Euler steps: at least W₂²
    /// of the end laws, with equality for the optimal map (Benamou, Brenier 2000).
    let pathEnergy (steps: int) (flow: Flow) (condition: Condition) (x1: Tensor) : float =
        let velocity = flow.Velocity condition
        let h = 1.0 / float steps

        let step (x: Tensor, sum: float) k =
            Scope.run (fun () ->
                let v = velocity (Tensor.scalar Kind.Float64 (1.0 - float k * h)) x
                x - h * v, sum + h * (Tensor.mean (Tensor.sumRows (Tensor.square v))).ToFloat())

        snd (Seq.fold step (x1, 0.0) (seq { 0 .. steps - 1 }))
