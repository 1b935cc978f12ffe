namespace Fokker

open System

/// Score matching in its four forms. All estimate E w(t) ‖s − ∇log p_t‖² over x_t of a path, up to a constant that does not
/// depend on the network; they differ in what they need to know of p_t. The network predicts the score; the sums run
/// over coordinates, not their mean, so that the constants are those of the papers.
[<RequireQualifiedAccess>]
module ScoreMatching =

    /// t, x_t and the noise in it.
    let private corrupted (path: GaussianPath) (times: Times) : Rng -> Batch -> struct (Tensor * Tensor * Tensor) =
        let draw = times.Draw path

        fun rng batch ->
            let x0 = batch.Data
            let t = draw (Rng.named "times" rng) x0.Shape[0]
            let noise = Rng.normalLike x0 (Rng.named "noise" rng)
            struct (t, Path.sample path t x0 noise, noise)

    /// Each sample's loss by the weight on a score at its time. Raises RefusedException where the weight is infinite at a time that is drawn.
    let private weigh (path: GaussianPath) (weight: Weight) (times: Times) : Tensor -> Tensor -> Tensor =
        let curve = weight.Of path Prediction.score
        Times.requireFinite path times $"the weight {weight.Name} on the score" [ curve ]
        fun t rows -> Coefficient.scale (Curve.at curve t) rows

    /// Explicit: w ‖s − ∇log p_t‖² against a known score.
    let explicitly (truth: Field) (weight: Weight) (times: Times) (path: GaussianPath) : Loss =
        let corrupted, weigh = corrupted path times, weigh path weight times

        fun context rng batch ->
            let struct (t, x, _) = corrupted rng batch
            weigh t (Tensor.sumRows (Tensor.square (context.Network batch.Label t x - truth t x)))

    /// ‖s(x)‖² + 2 ∇·s(x) at each sample, [B].
    let implicitTerm (trace: Trace) (rng: Rng) (s: Tensor -> Tensor) (x: Tensor) : Tensor =
        let struct (value, divergence) = trace.Apply rng s x
        Tensor.sumRows (Tensor.square value) + 2.0 * divergence

    /// (vᵀs)² + 2 vᵀ(∂s)v at each sample, from s and its derivative along v, [B].
    let slicedTerm (v: Tensor) (s: Tensor) (alongV: Tensor) : Tensor =
        Tensor.square (Tensor.sumRows (v * s)) + 2.0 * Tensor.sumRows (v * alongV)

    /// Implicit: w (‖s‖² + 2 ∇·s), which differs from the explicit loss by −w ‖∇log p_t‖² in expectation
    /// (Hyvärinen 2005, theorem 1; here doubled). Needs nothing of p_t but samples.
    let implicitly (trace: Trace) (weight: Weight) (times: Times) (path: GaussianPath) : Loss =
        let corrupted, weigh = corrupted path times, weigh path weight times

        fun context rng batch ->
            let struct (t, x, _) = corrupted rng batch
            weigh t (implicitTerm trace (Rng.named "probes" rng) (context.Network batch.Label t) x)

    /// Sliced: w E_v[(vᵀs)² + 2 vᵀ(∂s/∂x)v], the implicit loss seen along random directions; equal to it in
    /// expectation exactly when E[vvᵀ] = I (Song et al. 2019, Sliced score matching, eq. 7; here doubled).
    let sliced (directions: int) (weight: Weight) (times: Times) (path: GaussianPath) : Loss =
        let corrupted, weigh = corrupted path times, weigh path weight times

        fun context rng batch ->
            let struct (t, x, _) = corrupted rng batch
            let s = context.Network batch.Label t

            let along k =
                let v = Rng.normalLike x (Rng.at (int64 k) (Rng.named "probes" rng))
                let value, derivative = Diff.jvp s x v
                slicedTerm v value derivative

            weigh t (Seq.init directions along |> Seq.reduce (+)) * (1.0 / float directions)

    /// Denoising: w ‖s + ε/σ‖² (Vincent 2011, eq. 9): differs from the explicit loss by a constant where σ > 0.
    let denoising (weight: Weight) (times: Times) (path: GaussianPath) : Loss =
        let corrupted, weigh = corrupted path times, weigh path weight times

        fun context rng batch ->
            let struct (t, x, noise) = corrupted rng batch
            let target = Coefficient.scale (Curve.at (-1.0 / path.Sigma) t) noise
            weigh t (Tensor.sumRows (Tensor.square (context.Network batch.Label t x - target)))

    /// Walks of N steps from x₀ [n; …] by `advance k x z` with z normal, each sample read at a step of its own, k ~ U{1 … N}: k [n] and the states there.
    let walked
        (steps: int)
        (advance: int -> Tensor -> Tensor -> Tensor)
        (rng: Rng)
        (x0: Tensor)
        : struct (Tensor * Tensor) =
        let n = x0.Shape[0]
        let last = Tensor.floor (Rng.uniform Kind.Float64 [ n ] (Rng.named "times" rng) * float steps) + 1.0

        let step (x: Tensor) k =
            Scope.run (fun () ->
                let next = advance k x (Rng.normalLike x (Rng.at (int64 k) (Rng.named "noise" rng)))
                let moving = (Tensor.greaterThan (float k) last).To x.Dtype
                x + Tensor.perSample x moving * (next - x))

        struct (last, Seq.fold step x0 (seq { 0 .. steps - 1 }))

    /// Implicit score matching along simulated paths of a forward process from t = 0 to 1, for processes whose kernels have no
    /// closed form, such as Langevin's towards e^{−f}: Euler–Maruyama in N equal steps, each sample read at a step of its own,
    /// k ~ U{1 … N}. What is learned is the score of the process's own marginals, which is what `Sde.reverse` needs.
    let simulated (trace: Trace) (steps: int) (forward: Sde) : Loss =
        if forward.Backward then
            invalidArg (nameof forward) "a process that runs from the data to the noise is needed"

        let h = 1.0 / float steps

        let advance k (x: Tensor) (noise: Tensor) =
            let t = float k * h
            let time = Tensor.scalar Kind.Float64 t
            x + h * forward.Drift time x + Math.Sqrt(h * Curve.eval forward.DiffusionSquared t) * noise

        fun context rng batch ->
            let struct (last, x) = walked steps advance rng batch.Data
            implicitTerm trace (Rng.named "probes" rng) (context.Network batch.Label (last * h)) x
