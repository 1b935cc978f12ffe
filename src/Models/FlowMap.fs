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

/// A map along the flow that a network has learned, in one evaluation.
[<NoComparison; NoEquality>]
type FlowMap =
    {
        Path: GaussianPath
        Domain: MapDomain
        Map: Condition -> Field
        /// Two times and x ↦ (u, ℓ) with log |det ∂X(t, s, x)/∂x| = d (s − t) ℓ, ℓ [B]; where that was learned.
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

    /// The step of a sampler, whichever kind of map it is.
    let step (map: FlowMap) (condition: Condition) : Step =
        match map.Domain with
        | ToData -> toData map.Path (map.Map condition)
        | Between _ -> between (map.Map condition)

    /// Where jumps over times t₀, t₁, …, that rise or fall, lead x [B; …], and log |det| of the whole way, [B] float64: the log-determinants of the jumps add up.
    /// None where the map has not learned them. The network's numbers in `kind`, the sums in float64.
    let carry
        (kind: Kind)
        (map: FlowMap)
        (condition: Condition)
        (along: float[])
        (x: Tensor)
        : struct (Tensor * Tensor) option =
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
