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

/// The variance of the reverse step that a loss is to learn or to assume.
type StepVariance =
    /// σ²_{t|s}: DDPM's β_t.
    | Forward
    /// That of the posterior: DDPM's β̃_t.
    | Posterior
    /// Between the two in logarithm, at u = ½ (1 + the network's second output) (Nichol, Dhariwal 2021, eq. 15).
    | Learned

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

    // ---- the reverse step's variance, by its place u(t, x_t) between the posterior's and the forward one's in logarithm

    /// u = 1, σ²_{t|s}: right for data that are N(0, I).
    let large: Field = fun _ x -> Tensor.onesLike x

    /// u = 0, σ²_{t|s} σ_s²/σ_t²: right for data that are one point.
    let small: Field = fun _ x -> Tensor.zerosLike x

    /// The place that goes with a choice; a learned one is ½ (1 + the network's second output) (Nichol, Dhariwal 2021, eq. 15).
    let place (variance: StepVariance) (second: Field) : Field =
        match variance with
        | Forward -> large
        | Posterior -> small
        | Learned -> fun t x -> 0.5 * (1.0 + second t x)

    /// L_{k−1} = KL(q(x_s | x_t, x₀) ‖ p_θ(x_s | x_t)) in nats at s = (k−1)/N, t = k/N, for k ≥ 2, with p_θ's mean the
    /// posterior's at the network's estimate of x₀ (Ho et al. 2020, eq. 5 and 8). [B].
    let term
        (place: Field)
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

        let u: Tensor = place time x
        let reverse = exp (u * Math.Log p.Forward + (1.0 - u) * Math.Log p.Variance)
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

    // ---- bounds on −log p(x₀), one for each sample

    /// L_T at a noisy end, KL(q(x_t | x₀) ‖ N(0, s² I)) in nats, [B].
    let private priorAt (path: GaussianPath) (t: float) (std: float) (x0: Tensor) : Tensor =
        let one (v: float) = Tensor.full x0.Kind (Array.create x0.Rank 1) v
        gaussianKl
            (Curve.eval path.Alpha t * x0)
            (one (Curve.eval path.Variance t))
            (Tensor.zerosLike x0)
            (one (std * std))

    /// The variance of x₀ given x_s to leading order in s: σ_s²/α_s².
    let private leftOver (path: GaussianPath) (s: float) = Math.Exp(-2.0 * Curve.eval path.Lambda s)

    /// The variational bound on −log p(x₀) of a model that goes from N(0, s² I) at the last of the times down to the first through the ones between,
    /// in nats, [B]: L_T + Σ L_{k−1} + L₀ with one draw of the noise for each term (Ho et al. 2020, eq. 5; Kingma et al. 2021, eq. 11–13). The times
    /// rise and begin above 0, where x₀ is read off as N(x̂₀, σ²/α² I). Its mean over draws is the bound.
    let discreteBound
        (place: Field)
        (path: GaussianPath)
        (times: float[])
        (priorStd: float)
        (denoiser: Field)
        (rng: Rng)
        (x0: Tensor)
        : Tensor =
        let x0 = x0.To Dtype.Float64
        let noise k = Rng.normalLike x0 (Rng.at (int64 k) (Rng.named "noise" rng))
        let first, last = times[0], times[times.Length - 1]
        let ends =
            priorAt path last priorStd x0
            + reconstruction path first (leftOver path first) denoiser x0 (noise 0)

        Seq.pairwise times
        |> Seq.indexed
        |> Seq.fold
            (fun sum (k, (s, t)) -> Scope.run (fun () -> sum + term place path s t denoiser x0 (noise (k + 1))))
            ends

    /// The bound of infinitely many steps between t₀ and t₁ (Kingma et al. 2021, eq. 17–18): L_T + L₀ + ½ ∫ −SNR'(t) E‖x₀ − x̂₀(x_t)‖² dt in nats, [B]. The
    /// integral is taken in λ = ½ log SNR, −SNR' dt = −2 e^{2λ} dλ, by one draw of λ and noise in each of `strata` equal parts of its range, for each sample
    /// its own. With the exact denoiser the reverse process is the forward one's own reversal, and the bound is −log p(x₀) itself.
    let continuousBound
        (strata: int)
        (path: GaussianPath)
        (t0: float, t1: float)
        (priorStd: float)
        (denoiser: Field)
        (rng: Rng)
        (x0: Tensor)
        : Tensor =
        if strata < 1 then
            invalidArg (nameof strata) $"{strata} strata: at least 1"

        let x0 = x0.To Dtype.Float64
        let noise k = Rng.normalLike x0 (Rng.at (int64 k) (Rng.named "noise" rng))
        let high, low = Curve.eval path.Lambda t0, Curve.eval path.Lambda t1
        let width = (high - low) / float strata

        let stratum k =
            let u = Rng.uniform x0.Kind [ x0.Shape[0] ] (Rng.at (int64 k) (Rng.named "times" rng))
            let lambdas = Tensor.toFloats u |> Array.map (fun u -> low + (float k + u) * width)
            let t = lambdas |> Array.map (Curve.inverse (t0, t1) path.Lambda)
            let t = Tensor.ofArray [ t.Length ] t
            let x = Path.sample path t x0 (noise (k + 1))
            // ½ · 2 e^{2λ}
            let snr = Tensor.ofArray [ lambdas.Length ] (lambdas |> Array.map (fun l -> width * Math.Exp(2.0 * l)))
            snr * Tensor.sumRows (Tensor.square (x0 - denoiser t x))

        let ends = priorAt path t1 priorStd x0 + reconstruction path t0 (leftOver path t0) denoiser x0 (noise 0)
        Seq.init strata id |> Seq.fold (fun sum k -> Scope.run (fun () -> sum + stratum k)) ends

    // ---- losses

    /// The N steps' coefficients, step k at place k − 1. The first step's posterior variance, 0 where σ(0) is, is
    /// taken to be the second one's (Nichol, Dhariwal 2021, section 3.1).
    let private tables (steps: int) (path: GaussianPath) =
        let all = [| for k in 1..steps -> posterior path (float (k - 1) / float steps) (float k / float steps) |]
        let small k = if all[k].Variance > 0.0 then all[k].Variance else all[min (steps - 1) (k + 1)].Variance

        {| Data = all |> Array.map _.Data
           LogSmall = Array.init steps (fun k -> Math.Log(small k))
           LogLarge = all |> Array.map (fun p -> Math.Log p.Forward) |}

    /// For k ~ U{1 … N}: N·L_{k−1}, and N·L₀ at k = 1, in nats a coordinate; the mean over k is the bound on −log p without its
    /// constant L_T. `said` gives the estimate of x₀ and u ∈ [0, 1], the place of the variance between small and large.
    let private terms (steps: int) (path: GaussianPath) =
        let tables = tables steps path

        fun (said: Tensor -> Tensor -> Tensor * Tensor) (rng: Rng) (x0: Tensor) ->
            let t = (Times.discrete steps).Draw path (Rng.named "times" rng) x0.Shape[0]
            let places = Tensor.toFloats t |> Array.map (fun t -> int (Math.Round(t * float steps)) - 1)
            let noise = Rng.normalLike x0 (Rng.named "noise" rng)
            let x = Path.sample path t x0 noise
            let estimate, u = said t x
            let at (value: int -> float) =
                Tensor.perSample x0 (Tensor.ofArray [ places.Length ] (Array.map value places))
            let read (table: float[]) = at (fun k -> table[k])
            let small, large, data = read tables.LogSmall, read tables.LogLarge, read tables.Data
            let logVariance = small + u * (large - small)
            let first = at (fun k -> if k = 0 then 1.0 else 0.0)
            let squared = Tensor.square (x0 - estimate)

            // KL(N(m, e^{small}) ‖ N(m', e^{log v})), the means apart by c₀ (x₀ − x̂₀); at the first step −log N(x₀; x̂₀, e^{log v}).
            let kl =
                logVariance - small + exp (small - logVariance) - 1.0
                + Tensor.square data * squared * exp (-logVariance)

            let reconstruction = logVariance + Math.Log(2.0 * Math.PI) + squared * exp (-logVariance)
            struct (t, x, noise, 0.5 * float steps * Tensor.meanRows (kl + first * (reconstruction - kl)))

    let private reading (path: GaussianPath) (prediction: Prediction) t x y : Tensor =
        let struct (cx, cy) = Prediction.conversion path prediction Prediction.data t
        Coefficient.combine [ cx, x; cy, y ]

    let private halves (network: Field) (variance: StepVariance) t (x: Tensor) =
        let y: Tensor = network t x
        let width = x.Shape[1]
        let second: Field = fun _ _ -> Tensor.narrow 1 width width y
        (if variance = Learned then Tensor.narrow 1 0 width y else y), place variance second t x

    /// The variational bound of N steps on −log p(x₀), nats a coordinate, without its constant L_T: N times a random term
    /// (Sohl-Dickstein et al. 2015; Ho et al. 2020, eq. 5; with `Learned`, Nichol, Dhariwal 2021). With a learned variance the
    /// network has two outputs for every coordinate.
    let bound (steps: int) (variance: StepVariance) (prediction: Prediction) (path: GaussianPath) : Loss =
        let terms = terms steps path

        fun context rng batch ->
            let said t x =
                let y, u = halves (context.Network batch.Label) variance t x
                reading path prediction t x y, u

            let struct (_, _, _, value) = terms said rng batch.Data
            value

    /// L_simple + ω L_vlb with the variance learned by the bound and the mean by L_simple alone (Nichol, Dhariwal 2021, eq. 16;
    /// ω = 0.001).
    let hybrid (omega: float) (steps: int) (prediction: Prediction) (path: GaussianPath) : Loss =
        let terms = terms steps path
        let struct (a, b) = prediction.Coefficients path

        fun context rng batch ->
            let mutable output = Unchecked.defaultof<Tensor>

            let said t x =
                let y, u = halves (context.Network batch.Label) Learned t x
                output <- y
                Tensor.detach (reading path prediction t x y), u

            let struct (t, _, noise, value) = terms said rng batch.Data
            let target = Coefficient.combine [ Curve.at a t, batch.Data; Curve.at b t, noise ]
            Tensor.meanRows (Tensor.square (output - target)) + omega * value
