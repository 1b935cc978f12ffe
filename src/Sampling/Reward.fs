namespace Fokker

open System

/// What samples are to have more of: r(x₀), towards whose exponential a law is tilted, p(x₀) e^{λ r(x₀)}.
[<NoComparison; NoEquality>]
type Reward =
    {
        /// What messages call it.
        Name: string
        /// x₀ [B; …] ↦ r(x₀) [B], differentiable.
        Value: Tensor -> Tensor
        /// w [d] and Q [d; d] where r(x) = ⟨w, x⟩ + ½ xᵀ Q x, samples of several axes read in a row.
        Form: (Tensor * Tensor option) option
    }

[<RequireQualifiedAccess>]
module Reward =

    /// A function of the caller's, [B; …] ↦ [B].
    let ofFunction (name: string) (value: Tensor -> Tensor) : Reward = { Name = name; Value = value; Form = None }

    /// r(x) = ⟨w, x⟩ + ½ xᵀ Q x, w [d] and Q [d; d] symmetric. Raises ArgumentException where they are not of one dimension.
    let quadratic (w: Tensor) (q: Tensor option) : Reward =
        let d = int w.Count

        match q with
        | _ when w.Rank <> 1 || d = 0 -> invalidArg (nameof w) $"the linear reward is {w.Describe()}: [d] is needed"
        | Some q when q.Shape <> [| d; d |] ->
            invalidArg (nameof q) $"the quadratic reward is {q.Describe()}: [{d}; {d}] is needed"
        | _ -> ()

        let value (x: Tensor) =
            let flat = Tensor.flattenRows x
            let along = Linalg.matmul flat (w.To x.Kind)

            match q with
            | None -> along
            | Some q -> along + 0.5 * Tensor.sumRows (Linalg.matmul flat (q.To x.Kind) * flat)

        { Name = (if q.IsSome then "a quadratic reward" else "a linear reward")
          Value = value
          Form = Some(w.To Dtype.Float64, q |> Option.map (fun q -> q.To Dtype.Float64)) }

    /// r(x) = ⟨w, x⟩.
    let linear (w: Tensor) : Reward = quadratic w None

    /// The same of samples in other units. It is linear or quadratic no more, as far as one can read off.
    let through (into: Tensor -> Tensor) (reward: Reward) : Reward =
        { reward with Value = into >> reward.Value; Form = None }
