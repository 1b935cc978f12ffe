namespace Fokker

open System

/// Entropic transport between two weighted point clouds, in the log domain: no kernel e^{−C/ε} is ever formed, so ε may
/// be as small as float64 resolves.
[<RequireQualifiedAccess>]
module Sinkhorn =

    /// How long the scaling runs: until the row sums are off by less than `Tolerance` in all (total variation), or `Iterations` are spent.
    type Settings = { Iterations: int; Tolerance: float }

    let settings = { Iterations = 10000; Tolerance = 1e-9 }

    /// A plan [n; m], its dual potentials and how far its row sums are off.
    [<NoComparison; NoEquality>]
    type Plan = { Weights: Tensor; F: Tensor; G: Tensor; Error: float; Iterations: int }

    /// argmin_P ⟨P, C⟩ + ε KL(P | a⊗b) + ρ KL(P1 | a) + ρ KL(Pᵀ1 | b) for cost C [n; m] and weights a [n], b [m] (float64).
    /// ρ = ∞ demands the marginals exactly (Cuturi 2013; in the log domain Schmitzer 2019, algorithm 2); a finite ρ lets mass
    /// be created and destroyed (Chizat et al. 2018, algorithm 2). ε is lowered in halves to its value, which converges where
    /// starting there would not. Raises ArgumentException for ε ≤ 0, ρ ≤ 0 or weights that are not positive.
    let unbalanced (how: Settings) (epsilon: float) (rho: float) (a: Tensor) (b: Tensor) (cost: Tensor) : Plan =
        if not (epsilon > 0.0) then
            invalidArg (nameof epsilon) $"ε = {epsilon}: entropic transport needs ε > 0; for ε = 0 use the exact plan"

        if not (rho > 0.0) then
            invalidArg (nameof rho) $"ρ = {rho}: the price of changing mass is positive, infinity for none"

        let positive (w: Tensor) = (Tensor.all (Tensor.greaterThan 0.0 w)).ToBool()

        if not (positive a && positive b) then
            invalidArg (nameof a) "weights are positive"

        let logA, logB = Tensor.unsqueeze 1 (log a), Tensor.unsqueeze 0 (log b)

        // One sweep at ε: each potential in turn is the soft minimum of what the other leaves.
        let sweep (eps: float) (f: Tensor, g: Tensor) =
            let damp = if Double.IsInfinity rho then 1.0 else rho / (rho + eps)
            let f = -damp * eps * Tensor.logSumExpKeep [ 1 ] ((g - cost) / eps + logB)
            let g = -damp * eps * Tensor.logSumExpKeep [ 0 ] ((f - cost) / eps + logA)
            f, g

        let plan eps (f: Tensor, g: Tensor) = exp ((f + g - cost) / eps + logA + logB)

        // After a sweep the columns are exact; what is left shows in the rows (balanced) or in how far f still moves.
        let moved (f: Tensor, _: Tensor) (f': Tensor, _: Tensor) = (Tensor.max (abs (f' - f))).ToFloat()

        let rowError eps duals = (Tensor.sum (abs (Tensor.sumOver [ 1 ] (plan eps duals) - a))).ToFloat()

        let start = Tensor.zeros a.Kind [ a.Shape[0]; 1 ], Tensor.zeros b.Kind [ 1; b.Shape[0] ]
        let largest = (Tensor.max (abs cost)).ToFloat()

        let ladder =
            Seq.initInfinite (fun k -> largest / float (1L <<< min k 62))
            |> Seq.takeWhile (fun e -> e > epsilon)
            |> Seq.toList

        let warm =
            ladder
            |> List.fold
                (fun duals e -> Scope.run (fun () -> Seq.fold (fun d _ -> sweep e d) duals (seq { 1..5 })))
                start

        let rec iterate k duals =
            // Ten sweeps to a check, which costs as much as a sweep.
            let next = Scope.run (fun () -> Seq.fold (fun d _ -> sweep epsilon d) duals (seq { 1..9 }))
            let last = Scope.run (fun () -> sweep epsilon next)

            let error =
                Scope.run (fun () -> if Double.IsInfinity rho then rowError epsilon last else moved next last / epsilon)

            if error <= how.Tolerance || k + 10 >= how.Iterations then
                last, error, k + 10
            else
                iterate (k + 10) last

        let duals, error, iterations = iterate 0 warm

        { Weights = plan epsilon duals
          F = Tensor.flatten (fst duals)
          G = Tensor.flatten (snd duals)
          Error = error
          Iterations = iterations }

    /// The entropic plan with both marginals kept: argmin ⟨P, C⟩ + ε KL(P | a⊗b).
    let balanced how epsilon a b cost = unbalanced how epsilon infinity a b cost
