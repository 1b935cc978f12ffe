namespace Fokker

open System

/// An estimate of log Z, and what says how far to trust it.
type Partition =
    {
        /// log Z.
        LogZ: float
        /// Its standard error over the chains, which are independent.
        StandardError: float
        Chains: int
        /// (Σ w)²/(n Σ w²): 1 where all chains count alike, 1/n where one counts alone.
        EffectiveShare: float
    }

/// Z by annealed importance sampling: chains go from a law that is known to another by way of laws between, and are weighed by what the densities change under them (Neal 2001, Annealed importance
/// sampling). E w = Z exactly, however few laws there are between and however badly the moves mix.
[<RequireQualifiedAccess>]
module AnnealedImportance =

    /// log w [n] of chains that begin at x ~ p_{β₀} and are moved towards each of the laws p_{β₁}, p_{β₂}, … in turn: Σ log p_{βₖ}(x_{k−1}) − log p_{βₖ₋₁}(x_{k−1}), densities as `target` has them,
    /// without a constant. `move` keeps the law of the target that it is given. Also where the chains end.
    let logWeights
        (target: float -> Unnormalized)
        (betas: float[])
        (move: Unnormalized -> Noise -> Chain -> struct (Chain * Move))
        (noise: Noise)
        (x: Tensor)
        : struct (Tensor * Tensor) =
        let stage (struct (x: Tensor, sum: Tensor, before: Tensor, step: int)) (beta: float) =
            Scope.run (fun () ->
                let target = target beta
                let chain = { Langevin.init target x with Step = step }
                let struct (next, _) = move target noise chain
                struct (next.X, sum + chain.LogDensity - before, next.LogDensity, step + 1))

        Scope.run (fun () ->
            let struct (first, _) = target betas[0] x
            let begun = struct (Tensor.clone x, Tensor.zerosLike first, Tensor.clone first, 0)
            let struct (x, sum, _, _) = Array.fold stage begun betas[1..]
            struct (sum, x))

    /// log Z = log Z₀ + log mean w; the error is that of the mean over its size.
    let estimate (logZ0: float) (logWeights: Tensor) : Partition =
        let log = Tensor.toFloats logWeights
        let n = float log.Length
        let most = Array.max log
        let w = log |> Array.map (fun l -> Math.Exp(l - most))
        let mean = Array.average w
        let squares = Array.averageBy (fun w -> w * w) w

        { LogZ = logZ0 + most + Math.Log mean
          StandardError = Math.Sqrt(Math.Max(0.0, squares - mean * mean) / (n - 1.0)) / mean
          Chains = log.Length
          EffectiveShare = mean * mean / squares }
