namespace Fokker

open System

/// Where an integration stands.
[<NoComparison; NoEquality>]
type State =
    {
        /// Steps made.
        Step: int
        Time: float
        /// [B; …], float64.
        X: Tensor
        /// What the method carries over from the steps before, newest first, each with the time that it is of: slopes, values of a
        /// multistep method.
        Memory: (float * Tensor) list
        /// Evaluations of the field so far.
        Evaluations: int
        /// E[x₀ | x] as the network said it first in the step that led here; none at the start, and where the step does not need it.
        Denoised: Tensor option
    }

    // A step's scope finds these without looking at the type.
    interface IHoldTensors with
        member s.Visit visit =
            visit s.X
            Option.iter visit s.Denoised

            for _, value in s.Memory do
                visit value

/// Why an integration could not go on, and what may help.
type Failure =
    { Step: int
      From: float
      To: float
      Reason: string
      Remedy: string }

    override f.ToString() = $"step %d{f.Step} (t from %.4g{f.From} to %.4g{f.To}): {f.Reason}; {f.Remedy}"

/// Raised within a step that cannot be made: the integration ends with a `Failure` of this reason and remedy.
exception StepFailed of Reason: string * Remedy: string

/// One step of a method: from the state's time to `until`.
type Step = Noise -> float -> State -> State

/// Steps of the methods, and the one loop that drives them all.
[<RequireQualifiedAccess>]
module Integrator =

    /// A time as fields take it: 0-dimensional, float64, on the CPU.
    let time (t: float) = Tensor.scalar Kind.Float64 t

    /// The state after a step to `until` that took so many evaluations: x there, and what the method remembers, newest first.
    let moved (state: State) (until: float) (x: Tensor) (memory: (float * Tensor) list) (evaluations: int) : State =
        { state with
            State.Step = state.Step + 1
            Time = until
            X = x
            Memory = memory
            Evaluations = state.Evaluations + evaluations }

    /// x + Σ cᵢ kᵢ over the terms that count.
    let internal plus (x: Tensor) (terms: (float * Tensor) list) =
        terms |> List.fold (fun sum (c, k) -> if c = 0.0 then sum else Tensor.addScaled c k sum) x

    /// A step of a Runge–Kutta method for dx/dt = v(t, x), forwards or backwards in time.
    let rungeKutta (tableau: Tableau) (ode: Ode) : Step =
        let rows, nodes, weights = List.toArray tableau.Stages, List.toArray tableau.Nodes, tableau.Weights

        fun _ until state ->
            let h = until - state.Time

            let stage (slopes: Tensor list) i =
                let inner = plus state.X (List.map2 (fun a k -> h * a, k) rows[i] slopes)
                slopes @ [ ode.Velocity (time (if nodes[i] = 1.0 then until else state.Time + nodes[i] * h)) inner ]

            let first = state.Memory |> List.truncate 1 |> List.map snd
            let slopes = List.fold stage first [ first.Length .. rows.Length - 1 ]
            let x = plus state.X (List.map2 (fun b k -> h * b, k) weights slopes)
            moved
                state
                until
                x
                (if tableau.IsFsal then [ until, List.last slopes ] else [])
                (rows.Length - first.Length)

    /// A Runge–Kutta step with times of its own for each sample: x [B; …] from times [B] to times [B].
    let rungeKuttaBetween (tableau: Tableau) (ode: Ode) (from: Tensor) (until: Tensor) (x: Tensor) : Tensor =
        let h = until - from
        let step = Tensor.perSample x h

        let stage (slopes: Tensor list) (row, node) =
            slopes @ [ ode.Velocity (from + node * h) (plus x (List.map2 (fun a k -> a, step * k) row slopes)) ]

        let slopes = List.fold stage [] (List.zip tableau.Stages tableau.Nodes)
        plus x (List.map2 (fun b k -> b, step * k) tableau.Weights slopes)

    /// x + drift h + √(|h| g²(t)) z with z given: the step of Euler and Maruyama (Maruyama 1955), in either direction of time.
    let eulerMaruyamaWith (z: Tensor) (sde: Sde) (until: float) (state: State) : State =
        let h = until - state.Time
        let g2 = Curve.eval sde.DiffusionSquared state.Time
        let drift = sde.Drift (time state.Time) state.X
        moved state until (plus state.X [ h, drift; Math.Sqrt(abs h * g2), z ]) [] 1

    let private drawn (noise: Noise) until (state: State) =
        Noise.draw noise state.Step (state.Time, until) (0, 1) state.X

    /// A step of the Euler–Maruyama method: strong order 1, since g does not depend on x (Kloeden, Platen 1992, section 10.3).
    let eulerMaruyama (sde: Sde) : Step =
        fun noise until state -> eulerMaruyamaWith (drawn noise until state) sde until state

    /// A step of Heun's method for SDEs with additive noise: the drift and g are averages of both ends of the Euler–Maruyama step.
    /// Strong order 1, weak order 2 (Kloeden, Platen 1992, section 14.1; Rümelin 1982).
    let stochasticHeun (sde: Sde) : Step =
        fun noise until state ->
            let h = until - state.Time
            let g t = Math.Sqrt(max 0.0 (Curve.eval sde.DiffusionSquared t))
            let z = drawn noise until state
            let scale = Math.Sqrt(abs h)
            let drift = sde.Drift (time state.Time) state.X
            let g0, g1 = g state.Time, g until
            let ahead = sde.Drift (time until) (plus state.X [ h, drift; scale * g0, z ])
            // The standard deviation of ∫g dW by the trapezoidal rule for its variance.
            let spread = scale * Math.Sqrt(0.5 * (g0 * g0 + g1 * g1))
            moved state until (plus state.X [ 0.5 * h, drift; 0.5 * h, ahead; spread, z ]) [] 2

    /// The start of an integration.
    let start (time: float) (x: Tensor) : State =
        { State.Step = 0; Time = time; X = x; Memory = []; Evaluations = 0; Denoised = None }

    /// One step. A state that is not finite ends the integration.
    let private advance (step: Step) (noise: Noise) (until: float) (state: State) : Result<State, Failure> =
        let failed reason remedy =
            Error { Failure.Step = state.Step + 1; From = state.Time; To = until; Reason = reason; Remedy = remedy }

        try
            let next = step noise until state

            // A sum is finite where every term is: one pass, and no mask.
            if (Tensor.isFinite (Tensor.sum next.X)).ToBool() then
                Ok next
            else
                failed
                    "the state is not finite any more: the field gave NaN or ∞, or the step is too long for it"
                    "take more steps or another grid, or end at a later time, where the field is tame"
        with StepFailed(reason, remedy) ->
            failed reason remedy

    /// One step in a scope of its own; the memory of the state before is freed.
    let private following step noise until (result: Result<State, Failure>) =
        Scope.next (Result.bind (advance step noise until)) result

    // The driver frees what it holds: x stays the caller's.
    let private begin' (times: float[]) (x: Tensor) : Result<State, Failure> =
        if times.Length < 1 then
            invalidArg (nameof times) "no times: at least the first is needed"

        Ok(start times[0] (Tensor.clone (x.To Dtype.Float64)))

    /// Every state from the first time to the last, as it is reached. It is computed on demand, and the integration ends at the
    /// first failure. Each state handed out is the caller's own copy, to keep or to free.
    let states (step: Step) (noise: Noise) (times: float[]) (x: Tensor) : seq<Result<State, Failure>> =
        let own (state: State) =
            { state with
                X = Tensor.clone state.X
                Denoised = Option.map Tensor.clone state.Denoised
                Memory = [] }

        let rec from (k: int) (result: Result<State, Failure>) =
            seq {
                yield Result.map own result

                if Result.isOk result && k < times.Length then
                    yield! from (k + 1) (following step noise times[k] result)
                else
                    Scope.free result
            }

        Seq.delay (fun () -> from 1 (begin' times x))

    /// The state at the last time.
    let run (step: Step) (noise: Noise) (times: float[]) (x: Tensor) : Result<State, Failure> =
        Array.fold (fun result until -> following step noise until result) (begin' times x) times[1..]
