namespace Fokker

open System

/// Which of a model's two readings is followed along a step.
type Reading =
    /// E[ε | x]: d(x/α) = ε̂ dς with ς = σ/α = e^{−λ}.
    | OfNoise
    /// E[x₀ | x]: d(x/σ) = x̂₀ de^λ.
    | OfData

/// The exact solution of the probability flow, and of the processes around it, up to one integral of what the network says. With h = λ_t − λ_s
///     x_t = (α_t/α_s) x_s − σ_t ∫₀ʰ e^{h − u} ε̂ du                                                              (Lu et al. 2022, DPM-Solver, eq. 3.4)
///     x_t = (σ_t/σ_s) e^{−ηh} x_s + (1 + η) α_t ∫₀ʰ e^{−(1 + η)(h − u)} x̂₀ du + σ_t √(1 − e^{−2ηh}) z           (Lu et al. 2023, DPM-Solver++, eq. 9 and 13; η = c²)
/// A semi-linear solver is a rule for the integral: weights for values of ε̂ or x̂₀ at a few times.
type Leg =
    {
        Reading: Reading
        /// η, the square of the churn; 0 for the flow. The processes are followed by x̂₀.
        Eta: float
        Path: GaussianPath
        From: float
        Until: float
    }

[<RequireQualifiedAccess>]
module Leg =

    let private lambda (leg: Leg) t = Curve.eval leg.Path.Lambda t

    /// h = λ_t − λ_s.
    let length (leg: Leg) : float = lambda leg leg.Until - lambda leg leg.From

    /// Whether there are data and noise at both ends. Elsewhere only a first-order step by x̂₀ has a meaning.
    let isRegular (leg: Leg) : bool = Double.IsFinite(length leg)

    /// The leg from s to t: by x̂₀ whatever the reading where it begins in pure noise or ends in pure data.
    let between (reading: Reading) (eta: float) (path: GaussianPath) (s: float) (t: float) : Leg =
        let leg = { Reading = reading; Eta = eta; Path = path; From = s; Until = t }
        if isRegular leg then leg else { leg with Reading = OfData }

    /// What of x_s is left in x_t.
    let carry (leg: Leg) : float =
        let ratio (curve: Curve) = Curve.eval curve leg.Until / Curve.eval curve leg.From

        match leg.Reading with
        | OfNoise -> ratio leg.Path.Alpha
        | OfData -> ratio leg.Path.Sigma * (if leg.Eta = 0.0 then 1.0 else Math.Exp(-leg.Eta * length leg))

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

    /// The integral with (u/h)ᵏ in place of what the network says.
    let moment (leg: Leg) (k: int) : float =
        let h = length leg

        match leg.Reading with
        | OfNoise -> -(Curve.eval leg.Path.Sigma leg.Until) * h * psi k -h
        | OfData when not (isRegular leg) -> Curve.eval leg.Path.Alpha leg.Until
        | OfData ->
            let rate = 1.0 + leg.Eta
            rate * Curve.eval leg.Path.Alpha leg.Until * h * psi k (rate * h)

    /// The standard deviation of what is drawn.
    let spread (leg: Leg) : float =
        if leg.Eta = 0.0 then
            0.0
        else
            Curve.eval leg.Path.Sigma leg.Until * Math.Sqrt(1.0 - Math.Exp(-2.0 * leg.Eta * length leg))

    /// (u/h) at a time: 0 at the leg's beginning, 1 at its end, negative before.
    let place (leg: Leg) (t: float) : float = (lambda leg t - lambda leg leg.From) / length leg

    /// The time at a fraction of the way in λ.
    let timeAt (leg: Leg) (fraction: float) : float =
        Curve.inverse (leg.Until, leg.From) leg.Path.Lambda (lambda leg leg.From + fraction * length leg)

    /// Weights of the values at places (`place`) for the polynomial in λ through them, integrated exactly: exponential Adams–Bashforth where these
    /// are not positive, Adams–Moulton where the end 1 is one of them (Hochbruck, Ostermann 2010, section 2.5).
    let through (places: float list) (leg: Leg) : float list =
        [ for i in 0 .. places.Length - 1 ->
              Interpolation.lagrange places i
              |> List.mapi (fun k c -> if c = 0.0 then 0.0 else c * moment leg k)
              |> List.sum ]

    /// The same for values at times, newest first.
    let inLambda (leg: Leg) (times: float list) : float list = through (List.map (place leg) times) leg

    /// The same for the polynomial in ς = σ/α, for ε̂: α_t ∫ ℓᵢ dς, in closed form.
    let inSigma (leg: Leg) (times: float list) : float list =
        let level t = Math.Exp(-(lambda leg t))
        let first = level leg.From
        let width = level leg.Until - first
        let nodes = times |> List.map (fun t -> (level t - first) / width)
        let scale = Curve.eval leg.Path.Alpha leg.Until * width

        [ for i in 0 .. nodes.Length - 1 ->
              scale * (Interpolation.lagrange nodes i |> List.mapi (fun k c -> c / float (k + 1)) |> List.sum) ]

    /// The same for the polynomial in another variable τ(t) of time, for ε̂: α_t ∫ ℓᵢ(τ) dς, by quadrature over time.
    let inVariable (variable: float -> float) (leg: Leg) (times: float list) : float list =
        let nodes = List.map variable times
        let slope = Curve.eval (Curve.derivative leg.Path.Lambda)
        let alpha = Curve.eval leg.Path.Alpha leg.Until

        [ for i in 0 .. nodes.Length - 1 ->
              let polynomial = Interpolation.lagrange nodes i

              alpha
              * Curve.integral 16 (leg.From, leg.Until) (fun t ->
                  let value = List.foldBack (fun c rest -> c + variable t * rest) polynomial 0.0
                  -(slope t) * Math.Exp(-(lambda leg t)) * value) ]
