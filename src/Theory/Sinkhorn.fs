namespace Fokker

open System

/// Entropic transport between two weighted point clouds. The plan of the current potentials is scaled by matrix products, and
/// the scalings are taken up into the potentials every few sweeps; where the plan underflows, a sweep is made in the log domain
/// instead. So ε may be as small as float64 resolves.
[<RequireQualifiedAccess>]
module Sinkhorn =

    /// How long the scaling runs: until the row sums are off by less than `Tolerance` in all (total variation), or `Iterations` are spent.
    type Settings = { Iterations: int; Tolerance: float }

    let settings = { Iterations = 10000; Tolerance = 1e-9 }

    /// A plan [n; m], its dual potentials and how far its row sums are off.
    [<NoComparison; NoEquality>]
    type Plan = { Weights: Tensor; F: Tensor; G: Tensor; Error: float; Iterations: int }

    /// argmin_P ⟨P, C⟩ + ε KL(P | a⊗b) + ρ KL(P1 | a) + ρ KL(Pᵀ1 | b) for cost C [n; m] and weights a [n], b [m] (float64).
    /// ρ = ∞ demands the marginals exactly (Cuturi 2013; stabilized as in Schmitzer 2019, algorithm 2); a finite ρ lets mass
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

        // One sweep at ε in the log domain: each potential in turn is the soft minimum of what the other leaves.
        let sweep (eps: float) (f: Tensor, g: Tensor) =
            let damp = if Double.IsInfinity rho then 1.0 else rho / (rho + eps)
            let f = -damp * eps * Tensor.logSumExpKeep [ 1 ] ((g - cost) / eps + logB)
            let g = -damp * eps * Tensor.logSumExpKeep [ 0 ] ((f - cost) / eps + logA)
            f, g

        let plan eps (f: Tensor, g: Tensor) = exp ((f + g - cost) / eps + logA + logB)

        let finite (f: Tensor, g: Tensor) =
            (Tensor.all (Tensor.isFinite f)).ToBool() && (Tensor.all (Tensor.isFinite g)).ToBool()

        // The same sweeps relative to the plan P of (f₀, g₀), whose row sums under other potentials are e^{(f − f₀)/ε} P e^{(g − g₀)/ε}.
        let scaling count eps (f0: Tensor, g0: Tensor) =
            let damp = if Double.IsInfinity rho then 1.0 else rho / (rho + eps)
            let p = plan eps (f0, g0)
            let transposed = Tensor.transpose 0 1 p

            let once (_: Tensor, g: Tensor) =
                let rows = Linalg.matmul p (Tensor.transpose 0 1 (exp ((g - g0) / eps)))
                let f = damp * (f0 - eps * (log rows - logA))
                let columns = Linalg.matmul transposed (exp ((f - f0) / eps))
                f, damp * (g0 - eps * (Tensor.transpose 0 1 (log columns) - logB))

            Seq.fold (fun duals _ -> once duals) (f0, g0) (seq { 1..count })

        let sweeps count eps duals =
            let scaled = scaling count eps duals
            if finite scaled then scaled else Seq.fold (fun d _ -> sweep eps d) duals (seq { 1..count })

        // After a sweep the columns are exact; what is left shows in the rows (balanced) or in how far f still moves.
        let moved (f: Tensor, _: Tensor) (f': Tensor, _: Tensor) = (Tensor.max (abs (f' - f))).ToFloat()

        let rowError eps duals = (Tensor.sum (abs (Tensor.sumOver [ 1 ] (plan eps duals) - a))).ToFloat()

        let start = Tensor.zeros a.Kind [ a.Shape[0]; 1 ], Tensor.zeros b.Kind [ 1; b.Shape[0] ]
        let largest = (Tensor.max (abs cost)).ToFloat()

        let ladder =
            // Down to here no entry of e^{−C/ε} underflows, and there is nothing to warm up.
            Seq.initInfinite (fun k -> largest / 256.0 / float (1L <<< min k 54))
            |> Seq.takeWhile (fun e -> e > epsilon)
            |> Seq.toList

        let warm = ladder |> List.fold (fun duals e -> Scope.run (fun () -> sweeps 10 e duals)) start

        let rec iterate k duals =
            // Ten sweeps to a check, which costs as much as all of them.
            let next = Scope.run (fun () -> sweeps 9 epsilon duals)
            let last = Scope.run (fun () -> sweeps 1 epsilon next)

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
