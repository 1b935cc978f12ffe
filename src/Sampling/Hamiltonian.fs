namespace Fokker

open System

/// Hamiltonian Monte Carlo: a state x is given a momentum p ~ N(0, I) and follows dx/dt = p, dp/dt = ∇log p(x), along which H = −log p(x) + ½ ‖p‖² does not change; what
/// the steps of the leapfrog make of H is corrected by Metropolis' rule, so that the target is the law of the chain exactly (Duane et al. 1987; Neal 2011, MCMC using Hamiltonian dynamics, section 5.3.2).
[<RequireQualifiedAccess>]
module Hamiltonian =

    /// So many leapfrog steps of length h from (x, p), where the chain is: half a step of p, x and p in turns, half a step of p. Reversible and of unit determinant (Neal 2011, eq. 5.18–5.20).
    /// Gives what the target says at the end, and p there. So many evaluations.
    let leapfrog
        (target: Unnormalized)
        (h: float)
        (leaps: int)
        (chain: Chain)
        (p: Tensor)
        : struct (struct (Tensor * Tensor * Tensor) * Tensor) =
        let leap (struct (struct (x: Tensor, _: Tensor, score: Tensor), p: Tensor)) _ =
            let half = p + 0.5 * h * score
            let x = x + h * half
            let struct (log, score) = target x
            struct (struct (x, log, score), half + 0.5 * h * score)

        Seq.fold leap (struct (struct (chain.X, chain.LogDensity, chain.Score), p)) (seq { 1..leaps })

    /// log of the ratio that decides: H(x, p) − H(y, p').
    let ratio (chain: Chain) (p: Tensor) (log: Tensor) (p': Tensor) : Tensor =
        let kinetic (p: Tensor) = 0.5 * Tensor.sumRows (Tensor.square p)
        log - kinetic p' - chain.LogDensity + kinetic p

    /// One move: a fresh momentum, so many leaps, Metropolis' rule. A step takes two draws: p, and one whose first coordinate decides. Raises ArgumentException for a
    /// length that is not positive or no leap.
    let adjusted (target: Unnormalized) (h: float) (leaps: int) (noise: Noise) (chain: Chain) : struct (Chain * Move) =
        if not (h > 0.0 && Double.IsFinite h) || leaps < 1 then
            invalidArg (nameof h) $"{leaps} leaps of length {h}: positive numbers are needed"

        let now = float chain.Step, float chain.Step
        let p = Noise.draw noise chain.Step now (0, 2) chain.X
        let struct (struct (_, log, _) as arrived, p') = leapfrog target h leaps chain p
        Langevin.decide (Noise.draw noise chain.Step now (1, 2) chain.X) (ratio chain p log p') arrived chain
