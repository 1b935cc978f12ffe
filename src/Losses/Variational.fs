namespace Fokker

open System

/// q(x_s | x_t, x₀) for s < t on a Gaussian path: N(c_x x_t + c_0 x₀, v I).
[<Struct>]
type Posterior =
    {
        State: float
        Data: float
        Variance: float
        /// Variance of q(x_t | x_s): DDPM's β_t on its own grid, and the large choice for the reverse step's variance.
        Forward: float
    }

/// Discrete-time variational inference on a Gaussian path (Sohl-Dickstein et al. 2015; Ho et al. 2020; Kingma et al. 2021).
[<RequireQualifiedAccess>]
module Variational =

    /// With α_{t|s} = α_t/α_s and σ²_{t|s} = σ_t² − α_{t|s}² σ_s²:
    /// mean α_{t|s} (σ_s²/σ_t²) x_t + α_s (σ²_{t|s}/σ_t²) x₀, variance σ²_{t|s} σ_s²/σ_t²
    /// (Kingma et al. 2021, eq. 26–27; Ho et al. 2020, eq. 7 on DDPM's grid). Raises ArgumentException unless s < t.
    let posterior (path: GaussianPath) (s: float) (t: float) : Posterior =
        if not (s < t) then
            invalidArg (nameof s) $"s = {s}, t = {t}: the posterior is of an earlier state, s < t"

        let e c time = Curve.eval c time
        let ratio = Math.Exp(e path.LogAlpha t - e path.LogAlpha s)
        let vs, vt = e path.Variance s, e path.Variance t
        // σ²_{t|s} = −σ_t² expm1(2(λ_t − λ_s)): without cancellation where t is near s.
        let gap = Math.Min(0.0, 2.0 * (e path.Lambda t - e path.Lambda s))
        let forward = if vs = 0.0 then vt else -vt * Curve.eval (Curve.expm1 Curve.time) gap

        { State = ratio * vs / vt
          Data = e path.Alpha s * forward / vt
          Variance = forward * vs / vt
          Forward = forward }

    /// KL(N(m₁, v₁ I) ‖ N(m₂, v₂ I)) in nats, [B]: ½ Σ (log v₂/v₁ + v₁/v₂ + (m₁ − m₂)²/v₂ − 1). Variances broadcast.
    let gaussianKl (mean1: Tensor) (var1: Tensor) (mean2: Tensor) (var2: Tensor) : Tensor =
        let each = log (var2 / var1) + var1 / var2 + Tensor.square (mean1 - mean2) / var2 - 1.0
        0.5 * Tensor.sumRows each

    /// The variance of the reverse step p_θ(x_s | x_t).
    type ReverseVariance =
        /// σ²_{t|s}: right for data that are N(0, I).
        | Large
        /// σ²_{t|s} σ_s²/σ_t²: right for data that are one point.
        | Small
        /// exp(u log large + (1 − u) log small), u from the network (Nichol, Dhariwal 2021, eq. 15).
        | Interpolated of (Tensor -> Tensor -> Tensor)

    /// L_{k−1} = KL(q(x_s | x_t, x₀) ‖ p_θ(x_s | x_t)) in nats at s = (k−1)/N, t = k/N, for k ≥ 2, with p_θ's mean the
    /// posterior's at the network's estimate of x₀ (Ho et al. 2020, eq. 5 and 8). [B].
    let term
        (variance: ReverseVariance)
        (path: GaussianPath)
        (s: float)
        (t: float)
        (denoiser: Field)
        (x0: Tensor)
        (noise: Tensor)
        : Tensor =
        let p = posterior path s t
        let time = Tensor.scalar Kind.Float64 t
        let x = Path.sample path time x0 noise
        let mean (x0: Tensor) = p.State * x + p.Data * x0
        let number (v: float) = Tensor.full x.Kind (Array.create x.Rank 1) v

        let reverse =
            match variance with
            | Large -> number p.Forward
            | Small -> number p.Variance
            | Interpolated u ->
                let u: Tensor = u time x
                let large, small = Math.Log p.Forward, Math.Log p.Variance
                exp (u * large + (1.0 - u) * small)

        gaussianKl (mean x0) (number p.Variance) (mean (denoiser time x)) reverse

    /// L_T = KL(q(x₁ | x₀) ‖ N(0, I)) in nats, [B]: what the start of sampling does not know.
    let prior (path: GaussianPath) (x0: Tensor) : Tensor =
        let alpha, variance = Curve.eval path.Alpha 1.0, Curve.eval path.Variance 1.0
        let one (v: float) = Tensor.full x0.Kind (Array.create x0.Rank 1) v
        gaussianKl (alpha * x0) (one variance) (Tensor.zerosLike x0) (one 1.0)

    /// L_0 = −log p_θ(x₀ | x_s), s = 1/N, for continuous data: a Gaussian around the denoised state of the given variance. [B].
    let reconstruction
        (path: GaussianPath)
        (s: float)
        (variance: float)
        (denoiser: Field)
        (x0: Tensor)
        (noise: Tensor)
        : Tensor =
        let time = Tensor.scalar Kind.Float64 s
        let x = Path.sample path time x0 noise
        let error = Tensor.square (x0 - denoiser time x) / variance + Math.Log(2.0 * Math.PI * variance)
        0.5 * Tensor.sumRows error
