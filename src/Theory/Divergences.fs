namespace Fokker

/// Divergences between laws whose densities are known, as means over samples of the first with their standard errors.
[<RequireQualifiedAccess>]
module Divergences =

    let private over (each: Tensor) : Estimate =
        let n = each.Shape[0]
        let mean = (Tensor.mean each).ToFloat()
        let squares = (Tensor.sum (Tensor.square (each - mean))).ToFloat()
        { Mean = mean; StandardError = sqrt (squares / float (max 1 (n - 1)) / float n); Draws = n }

    /// KL(p‖q) = E_p[log p − log q] in nats, from log-densities [B; …] ↦ [B] and samples of p.
    let kl (logP: Tensor -> Tensor) (logQ: Tensor -> Tensor) (samples: Tensor) : Estimate =
        Scope.run (fun () -> over (logP samples - logQ samples))

    /// The Fisher divergence E_p‖∇log p − ∇log q‖², from scores and samples of p: what explicit score matching minimizes
    /// (Hyvärinen 2005, eq. 2; there with a factor ½).
    let fisher (scoreP: Tensor -> Tensor) (scoreQ: Tensor -> Tensor) (samples: Tensor) : Estimate =
        Scope.run (fun () -> over (Tensor.sumRows (Tensor.square (scoreP samples - scoreQ samples))))
