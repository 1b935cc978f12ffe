namespace Fokker

open System

/// Which of a model's two readings is followed along a step.
type Reading =
    /// E[ε | x]: d(x/α) = ε̂ dς with ς = σ/α = e^{−λ}.
    | OfNoise
    /// E[x₀ | x]: d(x/σ) = x̂₀ de^λ.
    | OfData

/// The exact solution of the probability flow, and of the processes around it, up to one integral of the network's prediction. With h = λ_t − λ_s
///     x_t = (α_t/α_s) x_s − σ_t ∫₀ʰ e^{h − u} ε̂ du                                                              (Lu et al. 2022, DPM-Solver, eq. 3.4)
///     x_t = (σ_t/σ_s) e^{−ηh} x_s + (1 + η) α_t ∫₀ʰ e^{−(1 + η)(h − u)} x̂₀ du + σ_t √(1 − e^{−2ηh}) z           (Lu et al. 2023, DPM-Solver++, eq. 9 and 13; η = c²)
/// A semi-linear solver is a rule for the integral: weights for values of ε̂ or x̂₀ at a few times.
type SemilinearInterval =
    {
        Reading: Reading
        /// η, the square of the churn; 0 for the flow. The processes are followed by x̂₀.
        Eta: float
        Path: GaussianPath
        From: float
        Until: float
    }

[<RequireQualifiedAccess>]
module SemilinearInterval =

    let private lambda (interval: SemilinearInterval) t = Curve.eval interval.Path.Lambda t

    /// h = λ_t − λ_s.
    let length (interval: SemilinearInterval) : float = lambda interval interval.Until - lambda interval interval.From

    /// Whether there are data and noise at both ends. Elsewhere only a first-order step by x̂₀ has a meaning.
    let isRegular (interval: SemilinearInterval) : bool = Double.IsFinite(length interval)

    /// From s to t on a path: by x̂₀ whatever the reading where it begins in pure noise or ends in pure data.
    let between (reading: Reading) (eta: float) (path: GaussianPath) (s: float) (t: float) : SemilinearInterval =
        let interval = { Reading = reading; Eta = eta; Path = path; From = s; Until = t }
        if isRegular interval then interval else { interval with Reading = OfData }

    /// What of x_s is left in x_t.
    let propagator (interval: SemilinearInterval) : float =
        let ratio (curve: Curve) = Curve.eval curve interval.Until / Curve.eval curve interval.From

        match interval.Reading with
        | OfNoise -> ratio interval.Path.Alpha
        | OfData ->
            ratio interval.Path.Sigma
            * (if interval.Eta = 0.0 then 1.0 else Math.Exp(-interval.Eta * length interval))

    /// ψₖ(z) = ∫₀¹ e^{−z(1 − θ)} θᵏ dθ.
    let private psi (k: int) (z: float) : float =
        if abs z < 1.0 then
            // Σⱼ (−z)ʲ k!/(k + j + 1)!
            let mutable term = 1.0 / float (k + 1)
            let mutable sum = term

            for j in 1..24 do
                term <- -term * z / float (k + j + 1)
                sum <- sum + term

            sum
        elif Double.IsInfinity z then
            0.0
        else
            List.fold (fun lower j -> (1.0 - float j * lower) / z) ((1.0 - Math.Exp -z) / z) [ 1..k ]

    /// The integral with (u/h)ᵏ in place of the network's prediction.
    let moment (interval: SemilinearInterval) (k: int) : float =
        let h = length interval

        match interval.Reading with
        | OfNoise -> -(Curve.eval interval.Path.Sigma interval.Until) * h * psi k -h
        | OfData when not (isRegular interval) -> Curve.eval interval.Path.Alpha interval.Until
        | OfData ->
            let rate = 1.0 + interval.Eta
            rate * Curve.eval interval.Path.Alpha interval.Until * h * psi k (rate * h)

    /// The standard deviation of what is drawn.
    let deviation (interval: SemilinearInterval) : float =
        if interval.Eta = 0.0 then
            0.0
        else
            Curve.eval interval.Path.Sigma interval.Until
            * Math.Sqrt(1.0 - Math.Exp(-2.0 * interval.Eta * length interval))

    /// (u/h) at a time: 0 at the interval's beginning, 1 at its end, negative before.
    let fraction (interval: SemilinearInterval) (t: float) : float =
        (lambda interval t - lambda interval interval.From) / length interval

    /// The time at a fraction of the way in λ.
    let timeAt (interval: SemilinearInterval) (fraction: float) : float =
        Curve.inverse
            (interval.Until, interval.From)
            interval.Path.Lambda
            (lambda interval interval.From + fraction * length interval)

    /// Weights of the values at fractions of the way (`fraction`) for the polynomial in λ through them, integrated exactly: exponential Adams–Bashforth where these
    /// are not positive, Adams–Moulton where the end 1 is one of them (Hochbruck, Ostermann 2010, section 2.5).
    let through (fractions: float list) (interval: SemilinearInterval) : float list =
        [ for i in 0 .. fractions.Length - 1 ->
              Interpolation.lagrange fractions i
              |> List.mapi (fun k c -> if c = 0.0 then 0.0 else c * moment interval k)
              |> List.sum ]

    /// The same for values at times, newest first.
    let inLambda (interval: SemilinearInterval) (times: float list) : float list =
        through (List.map (fraction interval) times) interval

    /// The same for the polynomial in ς = σ/α, for ε̂: α_t ∫ ℓᵢ dς, in closed form.
    let inSigma (interval: SemilinearInterval) (times: float list) : float list =
        let level t = Math.Exp(-(lambda interval t))
        let first = level interval.From
        let width = level interval.Until - first
        let nodes = times |> List.map (fun t -> (level t - first) / width)
        let scale = Curve.eval interval.Path.Alpha interval.Until * width

        [ for i in 0 .. nodes.Length - 1 ->
              scale * (Interpolation.lagrange nodes i |> List.mapi (fun k c -> c / float (k + 1)) |> List.sum) ]

    /// The same for the polynomial in another variable τ(t) of time, for ε̂: α_t ∫ ℓᵢ(τ) dς, by quadrature over time.
    let inVariable (variable: float -> float) (interval: SemilinearInterval) (times: float list) : float list =
        let nodes = List.map variable times
        let slope = Curve.eval (Curve.derivative interval.Path.Lambda)
        let alpha = Curve.eval interval.Path.Alpha interval.Until

        [ for i in 0 .. nodes.Length - 1 ->
              let polynomial = Interpolation.lagrange nodes i

              alpha
              * Curve.integral 16 (interval.From, interval.Until) (fun t ->
                  let value = List.foldBack (fun c rest -> c + variable t * rest) polynomial 0.0
                  -(slope t) * Math.Exp(-(lambda interval t)) * value) ]
