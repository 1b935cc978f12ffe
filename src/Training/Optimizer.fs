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

    /// One step's numbers: 1 − βᵏ of both moments, η, d.
    [<Struct; NoComparison; NoEquality>]
    type private Numbers = { Correction1: float; Correction2: float; Rate: float; Average: float }

    let private checkShapes (gradients: Tensor[]) (old: Moments) =
        let parameters = old.Parameters
        let parts =
            [ "gradient", gradients; "first moment", old.First; "second moment", old.Second; "average", old.Average ]

        for name, tensors in parts do
            if tensors.Length <> parameters.Length then
                raise (TensorException $"adam: {parameters.Length} parameters, {tensors.Length} {name}s")

            for k in 0 .. parameters.Length - 1 do
                if parameters[k].Shape <> tensors[k].Shape then
                    raise (
                        TensorException
                            $"adam: parameter {k} is {parameters[k].Describe()}, its {name} {tensors[k].Describe()}"
                    )

    /// What gradients of this norm are multiplied with.
    let private scaleOf (optimizer: Optimizer) (norm: float) =
        match optimizer.MaxNorm with
        | Some limit when limit > 0.0 && norm > limit -> limit / norm
        | _ -> 1.0

    /// One pass over float32 that lies plainly in the CPU's memory.
    let private fused (optimizer: Optimizer) (s: Numbers) (gradients: Tensor[]) (old: Moments) =
        let n = gradients.Length
        let threads = Torch.threads ()
        let sizes = old.Parameters |> Array.map (fun p -> p.Shape |> Array.map int64)
        let make () = sizes |> Array.map (Exchange.empty Dtype.Float32)
        let next = { Parameters = make (); Average = make (); First = make (); Second = make () }

        let all =
            Array.concat
                [ old.Parameters
                  gradients
                  old.First
                  old.Second
                  old.Average
                  next.Parameters
                  next.First
                  next.Second
                  next.Average ]

        Exchange.wherePlain all (fun at ->
            let counts = old.Parameters |> Array.map _.Count
            let norm = FusedAdam.norm threads counts (Array.sub at n n)

            let step: FusedAdam.Step =
                { Keep = MathF.FusedMultiplyAdd(-(float32 s.Rate), float32 optimizer.Decay, 1.0f)
                  Rate = float32 s.Rate / float32 s.Correction1
                  Root = 1.0f / MathF.Sqrt(float32 s.Correction2)
                  Beta1 = float32 optimizer.Beta1
                  Beta2 = float32 optimizer.Beta2
                  Epsilon = float32 optimizer.Epsilon
                  Scale = float32 (scaleOf optimizer norm)
                  Average = float32 s.Average }

            let places: FusedAdam.Place[] =
                Array.init n (fun k ->
                    { Count = counts[k]
                      P = at[k]
                      G = at[n + k]
                      M = at[2 * n + k]
                      V = at[3 * n + k]
                      E = at[4 * n + k]
                      P1 = at[5 * n + k]
                      M1 = at[6 * n + k]
                      V1 = at[7 * n + k]
                      E1 = at[8 * n + k] })

            let finite = FusedAdam.run threads step places
            struct (next, norm, finite))

    /// The same by tensors' operations, for every element type and device.
    let private composed (optimizer: Optimizer) (s: Numbers) (gradients: Tensor[]) (old: Moments) =
        let norm =
            gradients
            |> Array.sumBy (fun g -> Scope.run (fun () -> (Tensor.sum (Tensor.square (g.To Dtype.Float64))).ToFloat()))
            |> sqrt

        let scale = scaleOf optimizer norm

        let steps =
            Array.init gradients.Length (fun k ->
                Scope.run (fun () ->
                    let g = gradients[k] * scale
                    let m = old.First[k] * optimizer.Beta1 + g * (1.0 - optimizer.Beta1)
                    let v = old.Second[k] * optimizer.Beta2 + Tensor.square g * (1.0 - optimizer.Beta2)

                    let p =
                        old.Parameters[k] * (1.0 - s.Rate * optimizer.Decay)
                        - (s.Rate / s.Correction1) * m / (sqrt v / sqrt s.Correction2 + optimizer.Epsilon)

                    [| p; old.Average[k] * s.Average + p * (1.0 - s.Average); m; v |]))

        let part i = steps |> Array.map (Array.item i)
        let next = { Parameters = part 0; Average = part 1; First = part 2; Second = part 3 }

        // The largest of each is no finite number where one of its numbers is none; one question to the device for all.
        let largest =
            [ for step in steps do
                  for t in step do
                      if t.Count > 0L then
                          (Tensor.max (abs t)).To Dtype.Float64 ]

        let finite = largest.IsEmpty || (Tensor.all (Tensor.isFinite (Tensor.stack 0 largest))).ToBool()
        struct (next, norm, finite)

    /// The step that follows k others, in one pass over memory; everything it gives is new. Also the joint norm of the
    /// gradients before clipping (float64, 0-dimensional), and whether every number of what is new is finite.
    let step
        (optimizer: Optimizer)
        (average: Average)
        (k: int64)
        (gradients: Tensor[])
        (old: Moments)
        : struct (Moments * Tensor * bool) =
        checkShapes gradients old

        let numbers =
            { Correction1 = 1.0 - Math.Pow(optimizer.Beta1, float (k + 1L))
              Correction2 = 1.0 - Math.Pow(optimizer.Beta2, float (k + 1L))
              Rate = Schedule.at optimizer.Rate k
              Average = Average.at average k }

        let plain (tensors: Tensor[]) = tensors |> Array.forall (fun t -> t.Dtype = Dtype.Float32 && Exchange.isPlain t)

        let local = gradients |> Array.map (fun g -> if Exchange.isPlain g then g else Tensor.contiguous g)

        let struct (next, norm, finite) =
            if [ old.Parameters; local; old.First; old.Second; old.Average ] |> List.forall plain then
                fused optimizer numbers local old
            else
                composed optimizer numbers local old

        struct (next, Tensor.scalar Kind.Float64 norm, finite)
