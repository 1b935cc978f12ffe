namespace Fokker

open System

/// What holds a consistency function to f(t₀, x) = x/α(t₀) at the clean end.
type Boundary =
    /// c_skip and c_out do, whatever the network says (`Preconditioning.consistency`); the data's standard deviation is given.
    | Parametrized of sigmaData: float
    /// f = α x − σ F does, whatever F says, on a path with α² + σ² = 1 (Lu, Song 2024, TrigFlow): F is a v-prediction.
    | Rotated
    /// A second term of the loss does.
    | Penalized

/// Between which times a flow map goes.
type MapDomain =
    /// From any time of the path's interior to its clean end: a consistency function f(t, x_t) ≈ x₀.
    | ToData
    /// From any time to any earlier one inside these two: X(t, s, x_t) ≈ x_s. The network takes both times and says the mean velocity on the
    /// way, u = (x_s − x_t)/(s − t).
    | Between of noisy: float * clean: float
    /// From either end to the other, 1 to 0 and 0 to 1, exactly: an exact flow, which knows nothing between them. Its map is told the end that x is at and says what x is at
    /// the other. The model is of the data with noise of this deviation on them, which a last step takes off: x + noise² ∇log p(x).
    | Ends of noise: float

/// A map along the flow that a network has learned, in one evaluation.
[<NoComparison; NoEquality>]
type FlowMap =
    {
        Path: GaussianPath
        Domain: MapDomain
        Map: Condition -> Field
        /// Two times and x ↦ (u, ℓ) with log |det ∂X(t, s, x)/∂x| = d (s − t) ℓ, ℓ [B]; where that was learned. Of an exact flow the one end that x is at and x ↦ (the other
        /// end, ℓ) with log |det| = d ℓ.
        WithLogDeterminant: (Condition -> Tensor -> Tensor -> struct (Tensor * Tensor)) option
    }

/// Flow maps X(t, s, x) = x + (s − t) u((t, s), x): the solution of dx/dt = v(t, x) from t to s, learned as the mean velocity u on the way (Boffi, Albergo,
/// Vanden-Eijnden 2024, Flow map matching; 2025, How to build a consistency model; Geng et al. 2025, MeanFlow). A jump to any time, again and again: one
/// step of the grid is one evaluation.
[<RequireQualifiedAccess>]
module FlowMap =

    /// Two times, each 0-dimensional or [B], as a network of two takes them: [1; 2] or [B; 2].
    let times (t: Tensor) (s: Tensor) : Tensor =
        let column = Tensor.reshape [ -1; 1 ]
        let t, s = column t, column s
        let n = Math.Max(t.Shape[0], s.Shape[0])
        Tensor.cat 1 [ Tensor.expand [ n; 1 ] t; Tensor.expand [ n; 1 ] s ]

    /// X(t, s, x) = x + (s − t) u((t, s), x).
    let jump (u: Field) (t: Tensor) (s: Tensor) (x: Tensor) : Tensor = x + Tensor.perSample x (s - t) * u (times t s) x

    /// The velocity of a map: u((t, t), x).
    let velocityOf (u: Field) : Field = fun t x -> u (times t t) x

    // ---- sampling

    /// Multistep consistency sampling: jump to the data, put the noise of the next time on it, jump again (Song et al. 2023,
    /// algorithm 1). One step is one jump.
    let toData (path: GaussianPath) (f: Field) : Step =
        fun noise until state ->
            let estimate = f (Tensor.scalar Kind.Float64 state.Time) state.X

            let x =
                if until <= fst path.Interior then
                    estimate
                else
                    let struct (alpha, sigma) = Path.alphaSigma path until
                    let z = Noise.draw noise state.Step (state.Time, until) (0, 1) estimate
                    alpha * estimate + sigma * z

            Integrator.moved state until x [] 1

    /// One jump for each step of the grid. No noise is added on the way.
    let between (u: Field) : Step =
        fun _ until state ->
            let at (t: float) = Tensor.scalar Kind.Float64 t
            Integrator.moved state until (jump u (at state.Time) (at until) state.X) [] 1

    /// The map with its log-determinant for float64 states, in the network's own element type inside.
    let widened (kind: Kind) (map: FlowMap) : FlowMap =
        { map with
            WithLogDeterminant =
                map.WithLogDeterminant
                |> Option.map (fun both ->
                    fun condition ->
                        let both = both condition

                        fun times x ->
                            let struct (said, rate) = both times (x.To kind.Dtype)
                            struct (said.To Dtype.Float64, rate.To Dtype.Float64)) }

    /// An exact flow at the end `time`, 0 for the data and 1 for the noise: what x [B; …] there is at the other end, and log |det| of the way, [B], in x's element type.
    let across (map: FlowMap) (condition: Condition) (time: float) (x: Tensor) : struct (Tensor * Tensor) =
        match map.WithLogDeterminant with
        | Some both ->
            let struct (y, rate) = both condition (Tensor.scalar Kind.Float64 time) x
            struct (y, rate * float (x.Count / int64 x.Shape[0]))
        | None -> invalidArg (nameof map) "an exact flow knows its log-determinant"

    /// ∇log p(x) of an exact flow at the data's end.
    let scoreOfEnds (map: FlowMap) (condition: Condition) (x: Tensor) : Tensor =
        x
        |> Diff.grad (fun x ->
            let struct (z, logDeterminant) = across map condition 0.0 x
            Tensor.sum (logDeterminant + Tensor.sumRows (Tensor.square z) * -0.5))

    /// From one end to the other in one step; at the data's, a step down the noise that the model was trained under (Zhai et al. 2025, TarFlow, eq. 8: Tweedie's formula).
    let private toOtherEnd (noise: float) (map: FlowMap) (condition: Condition) : Step =
        fun _ until state ->
            let struct (x, _) = across map condition state.Time state.X

            let x, evaluations =
                if noise = 0.0 || until > 0.0 then x, 1 else x + noise * noise * scoreOfEnds map condition x, 2

            Integrator.moved state until x [] evaluations

    /// The step of a sampler, whichever kind of map it is.
    let step (map: FlowMap) (condition: Condition) : Step =
        match map.Domain with
        | ToData -> toData map.Path (map.Map condition)
        | Between _ -> between (map.Map condition)
        | Ends noise -> toOtherEnd noise map condition

    /// Where jumps over times t₀, t₁, …, that rise or fall, lead x [B; …], and log |det| of the whole way, [B] float64: the log-determinants of the jumps add up.
    /// None where the map has not learned them. The network's numbers in `kind`, the sums in float64.
    let carry
        (kind: Kind)
        (map: FlowMap)
        (condition: Condition)
        (along: float[])
        (x: Tensor)
        : struct (Tensor * Tensor) option =
        match map.Domain with
        | Ends _ ->
            let step (struct (x: Tensor, sum: Tensor)) (t: float, _) =
                Scope.run (fun () ->
                    let struct (y, logDeterminant) = across map condition t (x.To kind.Dtype)
                    struct (y.To Dtype.Float64, sum + logDeterminant.To Dtype.Float64))

            let x = x.To Dtype.Float64
            Some(Array.fold step (struct (x, Tensor.zeros x.Kind [ x.Shape[0] ])) (Array.pairwise along))
        | ToData
        | Between _ ->

            map.WithLogDeterminant
            |> Option.map (fun both ->
                let both = both condition
                let at (t: float) = Tensor.scalar Kind.Float64 t

                let jump (struct (x: Tensor, sum: Tensor)) (t: float, s: float) =
                    Scope.run (fun () ->
                        let struct (u, rate) = both (times (at t) (at s)) (x.To kind.Dtype)
                        let d = float (x.Count / int64 x.Shape[0])
                        struct (x + (s - t) * u.To(Dtype.Float64), sum + d * (s - t) * rate.To(Dtype.Float64)))

                let x = x.To Dtype.Float64
                Array.fold jump (struct (x, Tensor.zeros x.Kind [ x.Shape[0] ])) (Array.pairwise along))
