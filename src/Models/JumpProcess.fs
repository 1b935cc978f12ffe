namespace Fokker

open System

/// Cells of equal width from −Bound to Bound, in the network's units, to which coordinates jump, and the share of a flow of the same path beside the jumps.
type Cells = { Count: int; Bound: float; Flow: float }

/// Jumps in continuous space, one coordinate at a time, that have the marginals of a Gaussian path (Holderrieth et al. 2024, Generator matching, section 5 and table 1). As generation goes on, from t to
/// smaller t, given the datum a coordinate leaves x at the rate λ(x | x₀) = [∂_t log p_t(x | x₀)]₊ and lands by the law J ∝ [−∂_t p_t(· | x₀)]₊, whatever x was: mass
/// goes from where it is too much to where it is wanted. The rates without the datum are the means of these over x₀ given x_t.
[<RequireQualifiedAccess>]
module GeneratorMatching =

    /// ∂_t log N(x; α x₀, σ²) = (σ̇/σ)(u² − 1) + (α̇ x₀/σ) u with u = (x − α x₀)/σ, of coordinates at times t, all of one shape or of sizes 1.
    let logSlope (path: GaussianPath) (t: Tensor) (x0: Tensor) (x: Tensor) : Tensor =
        let at (curve: Curve) = (Curve.values curve t).To x.Kind
        let alpha, sigma = at path.Alpha, at path.Sigma
        let u = (x - alpha * x0) / sigma

        (at (Curve.derivative path.Sigma) / sigma) * (Tensor.square u - 1.0)
        + (at (Curve.derivative path.Alpha) / sigma) * x0 * u

    /// λ(x | x₀), the rate at which x is left.
    let intensity (path: GaussianPath) (t: Tensor) (x0: Tensor) (x: Tensor) : Tensor =
        Tensor.relu (logSlope path t x0 x)

    /// [−∂_t p_t(y | x₀)]₊, the law of landing but for its constant.
    let landing (path: GaussianPath) (t: Tensor) (x0: Tensor) (y: Tensor) : Tensor =
        let at (curve: Curve) = (Curve.values curve t).To y.Kind
        let sigma = at path.Sigma
        let u = (y - at path.Alpha * x0) / sigma
        Tensor.exp (-0.5 * Tensor.square u) / (sigma * Math.Sqrt(2.0 * Math.PI))
        * Tensor.relu -(logSlope path t x0 y)

    let width (cells: Cells) : float = 2.0 * cells.Bound / float cells.Count

    /// The middles of the cells, [K].
    let private middles (cells: Cells) (kind: Kind) : Tensor =
        let half = 0.5 * width cells
        Tensor.linspace kind (half - cells.Bound) (cells.Bound - half) cells.Count

    /// λ(x | x₀) J(cell | x₀) of every cell, [B; K; d], for x₀ and x [B; d] at times t [B].
    let rates (cells: Cells) (path: GaussianPath) (t: Tensor) (x0: Tensor) (x: Tensor) : Tensor =
        let t = Tensor.reshape [ -1; 1; 1 ] t
        let x0, x = Tensor.unsqueeze 1 x0, Tensor.unsqueeze 1 x
        let y = Tensor.reshape [ 1; -1; 1 ] (middles cells x.Kind)
        let landing = landing path t x0 y
        // Data out of reach of all cells are landed at nowhere.
        intensity path t x0 x * (landing / Tensor.clamp 1e-30 infinity (Tensor.sumKeep [ 1 ] landing))

    /// Outputs of a network for every coordinate: the cells, and a velocity where there is a flow too.
    let outputs (cells: Cells) : int = if cells.Flow > 0.0 then cells.Count + 1 else cells.Count

    /// t·Q of every cell, [B; K; d], and the velocity [B; d] where there is one, of what a network says [B; outputs·d].
    let read (cells: Cells) (said: Tensor) : struct (Tensor * Tensor option) =
        let all = Tensor.reshape [ said.Shape[0]; outputs cells; -1 ] said
        let rates = Tensor.softplus (Tensor.narrow 1 0 cells.Count all)
        struct (rates, (if cells.Flow > 0.0 then Some(Tensor.select 1 cells.Count all) else None))

    /// The divergence of rates q from those that are said, Σ (r − q log r) over cells and coordinates but for what does not depend on r, [B]: least at the mean of q
    /// (Holderrieth et al. 2024, eq. 22, of φ(r) = r log r).
    let bregman (rates: Tensor) (truth: Tensor) : Tensor =
        Tensor.sumRows (rates - truth * Tensor.log (Tensor.clamp 1e-12 infinity rates))

    /// The time at which jumps end: where the path's noise is half a cell wide, since a narrower law is not told from a cell.
    let last (path: GaussianPath) (cells: Cells) : float =
        let wide = 0.5 * width cells
        let low, high = path.Interior
        if Curve.eval path.Sigma low >= wide then low else Curve.inverse (low, high) path.Sigma wide

    /// From t to s < t: a share of the flow, and with probability 1 − exp(−(1 − share) ∫λ) a jump of each coordinate to a cell, uniform within. What the network says is t·Q:
    /// ∫λ dt over the step is Σ t·Q · log t/s. After the last time of jumps the flow goes on alone, where there is one: any weights that add up to 1 carry the marginals, at each time
    /// others (Holderrieth et al. 2024, section 4.1).
    let step (path: GaussianPath) (cells: Cells) (network: Field) : Step =
        let last = last path cells

        fun noise until state ->
            let t = state.Time
            let draw k =
                0.5 * (1.0 + Tensor.erf (Noise.draw noise state.Step (t, until) (k, 3) state.X * Math.Sqrt 0.5))

            let jumped (s: float) (x: Tensor) =
                let struct (scaled, velocity) = read cells (network (Integrator.time t) x)
                let flat = Tensor.flattenRows x

                let moved =
                    match velocity with
                    | Some velocity -> flat + (cells.Flow * (s - t)) * velocity
                    | None -> flat

                let total = Tensor.sumOver [ 1 ] scaled
                let goes =
                    Tensor.less
                        (Tensor.flattenRows (draw 0))
                        (1.0 - Tensor.exp (total * (-(1.0 - cells.Flow) * Math.Log(t / s))))
                let passed = Tensor.cumsum 1 scaled
                let place = Tensor.unsqueeze 1 (Tensor.flattenRows (draw 1) * total)
                let cell = Tensor.sumOver [ 1 ] ((Tensor.less passed place).To x.Kind)
                let landed =
                    (Tensor.clamp 0.0 (float (cells.Count - 1)) cell + Tensor.flattenRows (draw 2)) * width cells
                    - cells.Bound
                Tensor.reshape x.Shape (Tensor.where goes landed moved)

            let flowed (from: float) (x: Tensor) =
                match read cells (network (Integrator.time from) x) with
                | struct (_, Some velocity) -> x + (until - from) * Tensor.reshape x.Shape velocity
                | struct (_, None) -> x

            let ends = max until last

            let x, evaluations =
                if t <= last then flowed t state.X, 1
                elif cells.Flow > 0.0 && until < ends then flowed ends (jumped ends state.X), 2
                else jumped ends state.X, 1

            Integrator.moved state until x [] evaluations

/// Where a process of jumps lives.
[<RequireQualifiedAccess>]
type JumpSpace =
    /// Tokens: discrete flow matching.
    | Tokens of Tokens
    /// The line, for each coordinate: generator matching.
    | Line of Cells

/// Jumps that a network has learned.
[<NoComparison; NoEquality>]
type JumpProcess = { Path: GaussianPath; Space: JumpSpace; Network: Condition -> Field }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module JumpProcess =

    /// The time that samples end at: 0 for tokens, and on the line where a flow goes on after the jumps; elsewhere that of the last jumps (`GeneratorMatching.last`).
    let last (jumps: JumpProcess) : float =
        match jumps.Space with
        | JumpSpace.Tokens _ -> 0.0
        | JumpSpace.Line cells when cells.Flow > 0.0 -> 0.0
        | JumpSpace.Line cells -> GeneratorMatching.last jumps.Path cells

    /// A step of it, followed by so many corrections where it is of tokens; on the line there are none.
    let stepWith (corrections: int) (jumps: JumpProcess) (condition: Condition) : Step =
        match jumps.Space with
        | JumpSpace.Tokens tokens -> DiscreteFlow.stepWith corrections tokens (jumps.Network condition)
        | JumpSpace.Line cells -> GeneratorMatching.step jumps.Path cells (jumps.Network condition)

    /// `stepWith` no corrections.
    let step: JumpProcess -> Condition -> Step = stepWith 0

    /// An upper bound on −log p of samples x [B; …] in the network's units by its mean over `draws` times, [B] float64; none on the line. Of tokens it is that of the tokens
    /// nearest to x, each spread evenly over its cell.
    let bound
        (kind: Kind)
        (jumps: JumpProcess)
        (condition: Condition)
        (draws: int)
        (rng: Rng)
        (x: Tensor)
        : Tensor option =
        match jumps.Space with
        | JumpSpace.Line _ -> None
        | JumpSpace.Tokens tokens ->
            let coordinates = float (x.Count / int64 x.Shape[0])
            let cells = coordinates * Math.Log(Tokens.spacing tokens)
            Some(DiscreteFlow.bound tokens kind (jumps.Network condition) draws rng x + cells)
