namespace Fokker

open System

/// How far apart two estimates of x₀ are, one number for each sample.
[<NoComparison; NoEquality>]
type Distance = { Name: string; Equation: string; Reference: string; Between: Tensor -> Tensor -> Tensor }

[<RequireQualifiedAccess>]
module Distance =

    /// The mean squared difference over coordinates.
    let squared =
        { Name = "l2"
          Equation = "‖x − y‖²/d"
          Reference = "Song et al. 2023, Consistency models, section 5"
          Between = fun x y -> Tensor.meanRows (Tensor.square (x - y)) }

    /// ‖x − y‖², not divided by the number of coordinates: for weights that depend on its size.
    let summed =
        { Name = "summed"
          Equation = "‖x − y‖²"
          Reference = "Geng et al. 2025, Mean flows, section 4.3"
          Between = fun x y -> Tensor.sumRows (Tensor.square (x - y)) }

    /// ‖x − y‖, made smooth at 0 by 10⁻⁶.
    let norm =
        { Name = "norm"
          Equation = "‖x − y‖"
          Reference = "Geng et al. 2024, Consistency models made easy, section 3.3, c = 0"
          Between = fun x y -> sqrt (Tensor.sumRows (Tensor.square (x - y)) + 1e-12) }

    /// √(‖x − y‖² + c²) − c with c = 0.00054 √d: squared near 0, a norm far from it.
    let pseudoHuber =
        { Name = "pseudo-huber"
          Equation = "√(‖x − y‖² + c²) − c, c = 0.00054 √d"
          Reference = "Song, Dhariwal 2024, Improved consistency training, section 3.3"
          Between =
            fun x y ->
                let c = 0.00054 * Math.Sqrt(float x.Count / float x.Shape[0])
                sqrt (Tensor.sumRows (Tensor.square (x - y)) + c * c) - c }

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

    /// Φ((log ς' − m)/s) − Φ((log ς − m)/s): how often a log-normal ς falls into the interval.
    let logNormal (mean: float) (std: float) (low: float) (high: float) : float =
        let below (x: float) =
            (Tensor.erf (Tensor.scalar Kind.Float64 ((Math.Log x - mean) / (std * Math.Sqrt 2.0)))).ToFloat()

        0.5 * (below high - below low)

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

    /// The solver of a distillation: one step of a Runge–Kutta method on the teacher's flow.
    let solverOf (tableau: Tableau) (teacher: Ode) : Tensor -> Tensor -> Tensor -> Tensor =
        fun from until x -> Integrator.rungeKuttaBetween tableau teacher from until x
