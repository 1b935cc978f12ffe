namespace Fokker

open System

/// How the times of a sampler's steps are spaced.
[<NoComparison; NoEquality>]
type Grid =
    {
        Name: string
        Equation: string
        Source: string
        /// The inner times at u = 1/N, …, (N−1)/N of the way from the noisy time to the clean one. The ends are the
        /// span's own, so a place is asked for only where the path is regular.
        Place: GaussianPath -> float * float -> float -> float
    }

[<RequireQualifiedAccess>]
module Grid =

    let private make name equation source place : Grid =
        { Name = name; Equation = equation; Source = source; Place = place }

    /// Equal steps in t.
    let uniform = make "uniform" "t = t₁ + u (t₀ − t₁)" "" (fun _ (noisy, clean) u -> noisy + u * (clean - noisy))

    /// Beyond a signal-to-noise ratio of e^±24 one of the two is below what float32 has of the other: λ counts as infinite.
    let private largestLambda = 12.0

    /// The span's ends, drawn into the path's interior where λ is infinite at them.
    let private regular (path: GaussianPath) (noisy: float, clean: float) =
        let low, high = path.Interior
        let finite t = abs (Curve.eval path.Lambda t) <= largestLambda
        (if finite noisy then noisy else min noisy high), (if finite clean then clean else max clean low)

    /// Equal steps of h(λ), for monotone h with the inverse given.
    let private equalIn (h: float -> float) (inverse: float -> float) (path: GaussianPath) span =
        let noisy, clean = regular path span
        let first, last = h (Curve.eval path.Lambda noisy), h (Curve.eval path.Lambda clean)
        fun u -> Curve.inverse (clean, noisy) path.Lambda (inverse (first + u * (last - first)))

    /// Equal steps in the half log-SNR.
    let lambda = make "lambda" "λ = λ₁ + u (λ₀ − λ₁)" "Lu et al. 2022, DPM-Solver, section 3.3" (equalIn id id)

    /// Equal steps in ς^{1/ρ}, ς = σ/α.
    let karrasWith (rho: float) =
        make
            "karras"
            "ς^{1/ρ} = ς₁^{1/ρ} + u (ς₀^{1/ρ} − ς₁^{1/ρ}), ς = σ/α, ρ = 7"
            "Karras et al. 2022, EDM, eq. 5"
            (equalIn (fun lambda -> Math.Exp(-lambda / rho)) (fun root -> -rho * Math.Log root))

    let karras = karrasWith 7.0

    /// Steps that shrink towards the data: t − t₀ falls as the square of what is left of the way.
    let quadratic =
        make
            "quadratic"
            "t = t₀ + (1 − u)² (t₁ − t₀)"
            "Song, Meng, Ermon 2021, DDIM, appendix D.2"
            (fun _ (noisy, clean) u -> clean + (1.0 - u) * (1.0 - u) * (noisy - clean))

    /// Chebyshev–Lobatto points: steps that shrink towards both ends.
    let cosine =
        make
            "cosine"
            "t = t₀ + ½ (1 + cos πu) (t₁ − t₀)"
            "Trefethen 2000, Spectral methods, chapter 5"
            (fun _ (noisy, clean) u -> clean + 0.5 * (1.0 + Math.Cos(Math.PI * u)) * (noisy - clean))

    /// The grids that the command line knows by name.
    let all = [ uniform; lambda; karras; quadratic; cosine ]

    /// t₀ > t₁ > … > t_N: the noisy end, N − 1 inner times, the clean end; N = `steps` ≥ 1. Raises ArgumentException where the
    /// span is empty or leaves [0, 1], or where so many steps do not fit between two floats.
    let times (grid: Grid) (path: GaussianPath) (noisy: float, clean: float) (steps: int) : float[] =
        if steps < 1 then
            invalidArg (nameof steps) $"{steps} steps: at least 1"

        if not (0.0 <= clean && clean < noisy && noisy <= 1.0) then
            invalidArg (nameof noisy) $"times from {noisy} down to {clean}: expected 1 ≥ noisy > clean ≥ 0"

        let place = grid.Place path (noisy, clean)

        let times =
            Array.init (steps + 1) (fun k ->
                if k = 0 then noisy
                elif k = steps then clean
                else place (float k / float steps))

        for k in 1..steps do
            if not (times[k] < times[k - 1]) then
                invalidArg
                    (nameof steps)
                    $"{steps} steps on grid {grid.Name}, path {path.Name}: times {times[k - 1]} and {times[k]} do not decrease; fewer steps, or a wider span"

        times
