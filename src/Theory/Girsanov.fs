namespace Fokker

/// How far apart two diffusions are as laws of whole trajectories (Girsanov 1960): for dX = a dt + g dW and dX = b dt + g dW
/// with one g, KL(P‖Q) = KL(P₀‖Q₀) + ½ ∫ E_P ‖a − b‖²/g² dt.
[<RequireQualifiedAccess>]
module Girsanov =

    /// The sum of `term` g² dt a b noise over the steps of trajectories of P by Euler–Maruyama, a and b being the drifts of P and Q there, [B], as an estimate.
    let private simulated (p: Sde) (q: Sde) (times: float[]) (rng: Rng) (start: Tensor) term : Estimate =
        if p.Backward <> q.Backward then
            invalidArg (nameof q) "Girsanov compares processes that run in the same direction"

        let mutable x = start
        let mutable sum = Tensor.zeros (Kind.Float64.On start.Device) [ start.Shape[0] ]

        for k in 0 .. times.Length - 2 do
            let next, total =
                Scope.run (fun () ->
                    let t, dt = times[k], times[k + 1] - times[k]
                    let at = Tensor.scalar Kind.Float64 t
                    let g2 = Curve.eval p.DiffusionSquared t
                    let a, b = p.Drift at x, q.Drift at x
                    let noise = Rng.normalLike x (Rng.at (int64 k) rng) * sqrt (g2 * abs dt)
                    let added: Tensor = term g2 dt a b noise
                    x + a * dt + noise, sum + added.To Dtype.Float64)

            x <- next
            sum <- total

        Estimate.ofTensor sum

    /// ½ ∫ E_P ‖a − b‖²/g² dt in nats, with P's trajectories simulated by Euler–Maruyama from x [B; …] over the times given,
    /// which rise for forward processes and fall for backward ones. The two processes must share g and direction.
    let bySimulation (p: Sde) (q: Sde) (times: float[]) (rng: Rng) (start: Tensor) : Estimate =
        simulated p q times rng start (fun g2 dt a b _ -> Tensor.sumRows (Tensor.square (a - b)) * (0.5 * abs dt / g2))

    /// The same by the likelihood ratio itself, E_P log dP/dQ along the simulated trajectories: the drifts' difference meets
    /// the noise that was drawn. Equal in expectation to `bySimulation`, with more variance: a check of it.
    let byLikelihoodRatio (p: Sde) (q: Sde) (times: float[]) (rng: Rng) (start: Tensor) : Estimate =
        simulated p q times rng start (fun g2 dt a b noise ->
            let step = a * dt + noise
            // log N(step; a dt, g²|dt|) − log N(step; b dt, g²|dt|)
            Tensor.sumRows ((Tensor.square (step - b * dt) - Tensor.square noise) / (2.0 * g2 * abs dt)))

    /// ½ ∫₀ᵀ (a − b)² E x²/g² dt for the scalar processes dX = −aX dt + g dW and dX = −bX dt + g dW, X₀ ~ N(m, v) under P:
    /// E x² = m² e^{−2at} + v e^{−2at} + g² (1 − e^{−2at})/(2a), integrated in closed form. a > 0.
    let ornsteinUhlenbeck (a: float) (b: float) (g: float) (mean: float) (variance: float) (horizon: float) : float =
        if not (a > 0.0) then
            invalidArg (nameof a) $"a = {a}: the closed form is for a > 0"

        let stationary = g * g / (2.0 * a)
        let decayed = -(Curve.eval (Curve.expm1 Curve.time) (-2.0 * a * horizon)) / (2.0 * a)
        let integral = (mean * mean + variance - stationary) * decayed + stationary * horizon
        0.5 * (a - b) * (a - b) / (g * g) * integral
