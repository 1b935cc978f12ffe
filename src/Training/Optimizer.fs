namespace Fokker

open System

/// The learning rate as a function of k, the number of steps made so far.
[<RequireQualifiedAccess>]
type Schedule =
    | Constant of rate: float
    /// From `rate` to `final` along half a cosine over `steps`, and `final` ever after
    /// (Loshchilov, Hutter 2017, SGDR, eq. 5): final + ½ (rate − final) (1 + cos(π k/steps)).
    | Cosine of rate: float * final: float * steps: int64
    /// From `rate` to `final` along a line over `steps`, and `final` ever after.
    | Linear of rate: float * final: float * steps: int64
    /// rate · √(steps / max(k, steps)) (Vaswani et al. 2017, §5.3; Karras et al. 2024, EDM2, eq. 67).
    | InverseSqrt of rate: float * steps: int64
    /// min(1, (k + 1)/steps) times another schedule (Goyal et al. 2017, §2.2).
    | WarmUp of steps: int64 * next: Schedule

[<RequireQualifiedAccess>]
module Schedule =

    /// The rate of the step that follows k others.
    let rec at (schedule: Schedule) (k: int64) : float =
        let part steps = if steps <= 0L then 1.0 else min 1.0 (float k / float steps)

        match schedule with
        | Schedule.Constant rate -> rate
        | Schedule.Cosine(rate, final, steps) -> final + 0.5 * (rate - final) * (1.0 + cos (Math.PI * part steps))
        | Schedule.Linear(rate, final, steps) -> rate + (final - rate) * part steps
        | Schedule.InverseSqrt(rate, steps) -> rate * sqrt (float steps / float (max 1L (max k steps)))
        | Schedule.WarmUp(steps, next) -> (if k >= steps then 1.0 else float (k + 1L) / float steps) * at next k

    /// As it is written in `run.json`.
    let rec text (schedule: Schedule) =
        match schedule with
        | Schedule.Constant rate -> $"{rate}"
        | Schedule.Cosine(rate, final, steps) -> $"cosine from {rate} to {final} over {steps} steps"
        | Schedule.Linear(rate, final, steps) -> $"linear from {rate} to {final} over {steps} steps"
        | Schedule.InverseSqrt(rate, steps) -> $"{rate} falling as 1/√k after {steps} steps"
        | Schedule.WarmUp(steps, next) -> $"{text next}, warm-up over {steps} steps"

/// Adam (Kingma, Ba 2015, algorithm 1), with decoupled weight decay AdamW (Loshchilov, Hutter 2019, algorithm 2):
/// m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  p ← (1 − η w) p − η m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵏ), v̂ = v/(1 − β₂ᵏ).
type Optimizer =
    {
        /// η.
        Rate: Schedule
        Beta1: float
        Beta2: float
        Epsilon: float
        /// w; 0 is plain Adam.
        Decay: float
        /// Gradients whose joint norm is larger are scaled down to it (Pascanu, Mikolov, Bengio 2013, algorithm 1).
        MaxNorm: float option
    }

/// An exponential moving average of the parameters: a ← d a + (1 − d) p after every step.
[<NoComparison; NoEquality>]
type Average =
    {
        /// d at the step that follows k others.
        Decay: int64 -> float
    }

[<RequireQualifiedAccess>]
module Average =

    /// d at every step.
    let constant (decay: float) : Average = { Decay = fun _ -> decay }

    /// d = min(decay, (1 + k)/(10 + k)) after k steps, so that the random first values are soon forgotten.
    let warmingUp (decay: float) : Average = { Decay = fun k -> min decay ((1.0 + float k) / (10.0 + float k)) }

    /// Decay 0.999 after warm-up.
    let standard = warmingUp 0.999

    /// d at the step that follows k others.
    let at (average: Average) (k: int64) : float = average.Decay k

/// What an optimizer keeps for every parameter.
[<NoComparison; ReferenceEquality>]
type Moments = { Parameters: Tensor[]; Average: Tensor[]; First: Tensor[]; Second: Tensor[] }

[<RequireQualifiedAccess>]
module Optimizer =

    let private adamOp = Op("fokker::adam", "")

    /// Adam at a constant rate of 1e-3, β = (0.9, 0.999), nothing clipped.
    let adam =
        { Rate = Schedule.Constant 1e-3
          Beta1 = 0.9
          Beta2 = 0.999
          Epsilon = 1e-8
          Decay = 0.0
          MaxNorm = None }

    /// Adam with weight decay 0.01.
    let adamW = { adam with Decay = 0.01 }

    /// Parameters before their first step: their average is themselves, the moments are zero.
    let init (parameters: Tensor[]) : Moments =
        { Parameters = parameters
          Average = Array.map Tensor.clone parameters
          First = Array.map Tensor.zerosLike parameters
          Second = Array.map Tensor.zerosLike parameters }

    /// The step that follows k others, in one pass over memory; everything it gives is new. Also the joint norm of the
    /// gradients before clipping (float64, 0-dimensional), and whether every number of what is new is finite.
    let step
        (optimizer: Optimizer)
        (average: Average)
        (k: int64)
        (gradients: Tensor[])
        (old: Moments)
        : struct (Moments * Tensor * bool) =
        let results =
            Door.many
                adamOp
                [| Arg.tensors old.Parameters
                   Arg.tensors gradients
                   Arg.tensors old.First
                   Arg.tensors old.Second
                   Arg.tensors old.Average
                   Arg.int64 (k + 1L)
                   Arg.float (Schedule.at optimizer.Rate k)
                   Arg.float optimizer.Beta1
                   Arg.float optimizer.Beta2
                   Arg.float optimizer.Epsilon
                   Arg.float optimizer.Decay
                   Arg.float (Option.defaultValue 0.0 optimizer.MaxNorm)
                   Arg.float (Average.at average k) |]

        let n = old.Parameters.Length
        let part i = Array.sub results (i * n) n

        struct ({ Parameters = part 0; First = part 1; Second = part 2; Average = part 3 },
                results[4 * n],
                results[4 * n + 1].ToBool())
