namespace Fokker

/// Divergences between laws whose densities are known, as means over samples of the first with their standard errors.
[<RequireQualifiedAccess>]
module Divergences =

    /// KL(p‖q) = E_p[log p − log q] in nats, from log-densities [B; …] ↦ [B] and samples of p.
    let kl (logP: Tensor -> Tensor) (logQ: Tensor -> Tensor) (samples: Tensor) : Estimate =
        Scope.run (fun () -> Estimate.ofTensor (logP samples - logQ samples))

    /// The Fisher divergence E_p‖∇log p − ∇log q‖², from scores and samples of p: what explicit score matching minimizes
    /// (Hyvärinen 2005, eq. 2; there with a factor ½).
    let fisher (scoreP: Tensor -> Tensor) (scoreQ: Tensor -> Tensor) (samples: Tensor) : Estimate =
        Scope.run (fun () -> Estimate.ofTensor (Tensor.sumRows (Tensor.square (scoreP samples - scoreQ samples))))
