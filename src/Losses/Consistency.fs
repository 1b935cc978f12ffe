namespace Fokker

open System
open System.Collections.Generic

/// How far apart two estimates of x₀ are, one number for each sample.
[<NoComparison; NoEquality>]
type Distance = { Name: string; Equation: string; Source: string; Between: Tensor -> Tensor -> Tensor }

[<RequireQualifiedAccess>]
module Distance =

    /// The mean squared difference over coordinates.
    let squared =
        { Name = "l2"
          Equation = "‖x − y‖²/d"
          Source = "Song et al. 2023, Consistency models, section 5"
          Between = fun x y -> Tensor.meanRows (Tensor.square (x - y)) }

    /// √(‖x − y‖² + c²) − c with c = 0.00054 √d: squared near 0, a norm far from it.
    let pseudoHuber =
        { Name = "pseudo-huber"
          Equation = "√(‖x − y‖² + c²) − c, c = 0.00054 √d"
          Source = "Song, Dhariwal 2024, Improved consistency training, section 3.3"
          Between =
            fun x y ->
                let c = 0.00054 * Math.Sqrt(float x.Count / float x.Shape[0])
                sqrt (Tensor.sumRows (Tensor.square (x - y)) + c * c) - c }

/// What holds a consistency function to f(t₀, x) = x/α(t₀) at the clean end.
type Boundary =
    /// c_skip and c_out do, whatever the network's output; the data's standard deviation is given.
    | Parametrized of sigmaData: float
    /// A second term of the loss does.
    | Penalized

/// Whose estimate at the cleaner time is the target.
type Target =
    /// The network's own, without gradient.
    | Frozen
    /// That of the moving average of its parameters.
    | Averaged

/// The parts of consistency training and distillation.
[<NoComparison; NoEquality>]
type Consistency =
    {
        Path: GaussianPath
        /// Of the N(k) times.
        Grid: Grid
        /// N(k), the number of times at step k.
        Count: int64 -> int
        /// The weight of the interval between two noise-to-signal ratios, and of drawing it.
        Weight: float -> float -> float
        Frequency: float -> float -> float
        Distance: Distance
        Boundary: Boundary
        Target: Target
    }

/// Consistency models: f(t, x_t) = the data's end of the flow's trajectory through x_t, learned from its values at neighbouring
/// times (Song, Dhariwal, Chen, Sutskever 2023; Song, Dhariwal 2024). Written for any Gaussian path in ς = σ/α, which is σ in the papers.
[<RequireQualifiedAccess>]
module Consistency =

    // ---- schedules

    /// N(k) = ⌈√(k/K ((s₁ + 1)² − s₀²) + s₀²) − 1⌉ + 1 (Song et al. 2023, appendix C).
    let growing (first: int) (last: int) (steps: int64) (k: int64) : int =
        let s0, s1 = float first, float last
        let part = Math.Min(1.0, float k / float steps)
        int (Math.Ceiling(Math.Sqrt(part * ((s1 + 1.0) ** 2.0 - s0 * s0) + s0 * s0) - 1.0)) + 1

    /// N(k) = min(s₀ 2^⌊k/K'⌋, s₁) + 1 with K' = ⌊K/(log₂⌊s₁/s₀⌋ + 1)⌋ (Song, Dhariwal 2024, section 3.4).
    let doubling (first: int) (last: int) (steps: int64) (k: int64) : int =
        let stages = Math.Floor(Math.Log2(float (last / first))) + 1.0
        let stage = Math.Max(1.0, Math.Floor(float steps / stages))
        int (Math.Min(float first * 2.0 ** Math.Floor(float k / stage), float last)) + 1

    /// μ(k) = exp(s₀ log μ₀/N(k)): the decay of the average that is the target (Song et al. 2023, appendix C).
    let decay (first: int) (mu: float) (count: int64 -> int) (k: int64) : float =
        Math.Exp(float first * Math.Log mu / float (count k))

    // ---- settings

    /// Consistency training as it was first: N from 2 to 150, ‖·‖², every interval as often, an average as target.
    let original (steps: int64) (path: GaussianPath) : Consistency =
        { Path = path
          Grid = Grid.karras
          Count = growing 2 150 steps
          Weight = fun _ _ -> 1.0
          Frequency = fun _ _ -> 1.0
          Distance = Distance.squared
          Boundary = Parametrized 1.0
          Target = Averaged }

    /// Φ((log ς' − m)/s) − Φ((log ς − m)/s): how often a log-normal ς falls into the interval.
    let logNormal (mean: float) (std: float) (low: float) (high: float) : float =
        let below (x: float) =
            (Tensor.erf (Tensor.scalar Kind.Float64 ((Math.Log x - mean) / (std * Math.Sqrt 2.0)))).ToFloat()

        0.5 * (below high - below low)

    /// Improved consistency training: N from 11 to 1281 by doubling, pseudo-Huber, log-normal noise, weight 1/Δς, no average.
    let improved (steps: int64) (path: GaussianPath) : Consistency =
        { original steps path with
            Count = doubling 10 1280 steps
            Weight = fun low high -> 1.0 / (high - low)
            Frequency = logNormal -1.1 2.0
            Distance = Distance.pseudoHuber
            Target = Frozen }

    // ---- the function

    /// The ratio ς₀ = σ/α at the clean end of the interior, where the boundary condition is met.
    let private cleanest (path: GaussianPath) = Math.Exp(-(Curve.eval path.Lambda (fst path.Interior)))

    /// f, from a raw network.
    let wrap (c: Consistency) (network: Field) : Field =
        match c.Boundary with
        | Parametrized sigmaData -> Preconditioning.wrap (Preconditioning.consistency sigmaData c.Path) network
        | Penalized -> network

    // ---- losses at given times

    /// d(f(t', x_{t'}), f⁻(t, x_t)) with both points made of one x₀ and one ε: consistency training (Song et al. 2023, eq. 10).
    let trainingAt
        (path: GaussianPath)
        (distance: Distance)
        (f: Field)
        (target: Field)
        (t: Tensor)
        (later: Tensor)
        x0
        noise
        =
        let goal = Tensor.detach (target t (Path.sample path t x0 noise))
        distance.Between (f later (Path.sample path later x0 noise)) goal

    /// d(f(t', x), f⁻(t, x̂)) with x̂ where the solver takes x from t' to t: consistency distillation (Song et al. 2023, eq. 7).
    let distillationAt
        (solver: Tensor -> Tensor -> Tensor -> Tensor)
        (distance: Distance)
        (f: Field)
        (target: Field)
        (t: Tensor)
        (later: Tensor)
        (x: Tensor)
        : Tensor =
        let goal = Tensor.detach (target t (solver later t x))
        distance.Between (f later x) goal

    // ---- the losses

    /// Times, weights and the running sum of frequencies of the N − 1 intervals.
    type private Intervals = { Times: float[]; Weights: float[]; UpTo: float[] }

    let private intervals (c: Consistency) (count: int) : Intervals =
        let low, high = c.Path.Interior
        let times = Array.rev (Grid.times c.Grid c.Path (high, low) (max 1 (count - 1)))
        let ratios = times |> Array.map (fun t -> Math.Exp(-(Curve.eval c.Path.Lambda t)))
        let pairs = Array.pairwise ratios
        let frequencies = pairs |> Array.map (fun (a, b) -> c.Frequency a b)
        let total = Array.sum frequencies
        let weights = pairs |> Array.map (fun (a, b) -> c.Weight a b)
        // Of mean 1 over the draws: a learning rate then means the same whatever N is.
        let mean = Array.fold2 (fun sum w p -> sum + w * p / total) 0.0 weights frequencies

        { Times = times
          Weights = weights |> Array.map (fun w -> w / mean)
          UpTo = frequencies |> Array.scan (+) 0.0 |> Array.tail |> Array.map (fun s -> s / total) }

    /// The loss, given what to do with a pair of times: (f, target) ↦ t ↦ t' ↦ x₀ ↦ ε ↦ one number for each sample.
    let private loss
        (c: Consistency)
        (at: Condition -> Field -> Field -> Tensor -> Tensor -> Tensor -> Tensor -> Tensor)
        : Loss =
        let known = Dictionary<int, Intervals>()

        let intervalsOf count =
            lock known (fun () ->
                match known.TryGetValue count with
                | true, found -> found
                | _ ->
                    let made = intervals c count
                    known[count] <- made
                    made)

        fun context rng batch ->
            let x0 = batch.Data
            let n = x0.Shape[0]
            let intervals = intervalsOf (c.Count context.Step)

            let places =
                Tensor.toFloats (Rng.uniform Kind.Float64 [ n ] (Rng.named "times" rng))
                |> Array.map (fun u ->
                    let found = Array.BinarySearch(intervals.UpTo, u)
                    Math.Min((if found >= 0 then found + 1 else ~~~found), intervals.Weights.Length - 1))

            let read (offset: int) (table: float[]) =
                Tensor.ofArray [ n ] (places |> Array.map (fun k -> table[k + offset]))
            let noise = Rng.normalLike x0 (Rng.named "noise" rng)
            let f = wrap c (context.Network batch.Label)

            let target =
                match c.Target with
                | Frozen -> context.Frozen
                | Averaged -> context.Average

            let value =
                at
                    batch.Label
                    f
                    (wrap c (target batch.Label))
                    (read 0 intervals.Times)
                    (read 1 intervals.Times)
                    x0
                    noise

            let value = value * (read 0 intervals.Weights).To value.Dtype

            match c.Boundary with
            | Parametrized _ -> value
            | Penalized ->
                let t = Tensor.scalar Kind.Float64 (fst c.Path.Interior)
                let x = Path.sample c.Path t x0 noise
                let struct (alpha, _) = Path.alphaSigma c.Path (fst c.Path.Interior)
                value + Tensor.meanRows (Tensor.square (f t x - x / alpha))

    /// The solver of a distillation: one step of a Runge–Kutta method on the teacher's flow.
    let solverOf (tableau: Tableau) (teacher: Ode) : Tensor -> Tensor -> Tensor -> Tensor =
        fun from until x -> Integrator.rungeKuttaBetween tableau teacher from until x

    let private objective name equation source (c: Consistency) loss : Objective =
        { Name = name
          Equation = equation
          Source = source
          Path = c.Path
          Output =
            NetworkOutput.ConsistencyFunction(
                match c.Boundary with
                | Parametrized sigmaData -> Some sigmaData
                | Penalized -> None
            )
          Uncertain = false
          Prepare = None
          Decay =
            match c.Target with
            | Averaged -> Some(decay 2 0.9 c.Count)
            | Frozen -> None
          Loss = loss }

    /// Consistency training: no teacher, the pair shares its noise.
    let training (c: Consistency) : Objective =
        loss c (fun _ f target t later x0 noise -> trainingAt c.Path c.Distance f target t later x0 noise)
        |> objective
            "ct"
            $"E w d(f(t', x_t'), f⁻(t, x_t)), d = {c.Distance.Equation}"
            "Song et al. 2023, algorithm 3; Song, Dhariwal 2024"
            c

    /// Consistency distillation: the earlier point is where a step of the teacher's flow leads.
    let distillation (tableau: Tableau) (teacher: Model) (c: Consistency) : Objective =
        loss c (fun condition f target t later x0 noise ->
            let solver = solverOf tableau (Ode.ofModel condition teacher)
            distillationAt solver c.Distance f target t later (Path.sample c.Path later x0 noise))
        |> objective
            "cd"
            $"E w d(f(t', x_t'), f⁻(t, x̂_t)), d = {c.Distance.Equation}, x̂ by a step of {tableau.Name}"
            "Song et al. 2023, algorithm 2"
            c
