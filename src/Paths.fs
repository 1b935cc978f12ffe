namespace Fokker

open System

/// The named schedules of the literature, each a few lines of curves. A new one is one binding and a place in `all`.
[<RequireQualifiedAccess>]
module Paths =

    let private t = Curve.time

    /// dX = −½β X dt + √(β (1 − e^{−2∫β})) dW: VP's mean with σ = 1 − α², never more variance than VP.
    let subVpBetween (betaMin: float) (betaMax: float) : GaussianPath =
        let vp = Path.vpBetween betaMin betaMax
        let sigma = vp.Variance

        { vp with
            Name = "sub-vp"
            Equation = "α as in vp, σ = 1 − α²"
            Source = "Song et al. 2021, Score-based generative modeling through SDEs, eq. 12 and 34"
            Sigma = sigma
            Variance = sigma ** 2.0
            Lambda = vp.LogAlpha - log sigma }

    let subVp = subVpBetween 0.1 20.0

    let private exploding name equation source (sigma: Curve) : GaussianPath =
        { Name = name
          Equation = equation
          Source = source
          Alpha = Constant 1.0
          Sigma = sigma
          LogAlpha = Constant 0.0
          Variance = sigma ** 2.0
          Lambda = -(log sigma)
          Interior = 0.0, 1.0 }

    /// Variance exploding: α = 1, σ = σ_min (σ_max/σ_min)^t.
    let veBetween (sigmaMin: float) (sigmaMax: float) : GaussianPath =
        exploding
            "ve"
            $"x_t = x₀ + σ_min (σ_max/σ_min)^t·ε, σ from {sigmaMin} to {sigmaMax}"
            "Song et al. 2021, eq. 30–31"
            (sigmaMin * exp (Math.Log(sigmaMax / sigmaMin) * t))

    let ve = veBetween 0.01 50.0

    /// EDM: α = 1 and σ on Karras's warp, σ^{1/ρ} linear in t.
    let edmBetween (sigmaMin: float) (sigmaMax: float) (rho: float) : GaussianPath =
        let low, high = sigmaMin ** (1.0 / rho), sigmaMax ** (1.0 / rho)

        exploding
            "edm"
            $"x_t = x₀ + (σ_min^{{1/ρ}} + t (σ_max^{{1/ρ}} − σ_min^{{1/ρ}}))^ρ·ε, ρ = {rho}, σ from {sigmaMin} to {sigmaMax}"
            "Karras et al. 2022, EDM, eq. 5"
            ((low + (high - low) * t) ** rho)

    let edm = edmBetween 0.002 80.0 7.0

    /// ᾱ = cos²(π/2 (t + s)/(1 + s)) relative to its value at 0, in continuous time.
    let cosineWith (offset: float) : GaussianPath =
        let angle = 0.5 * Math.PI / (1.0 + offset) * (t + offset)

        Path.ofLogAlpha
            "cosine"
            $"α = cos(π/2 (t + s)/(1 + s)) / cos(π/2 s/(1 + s)), s = {offset}"
            "Nichol, Dhariwal 2021, Improved DDPM, eq. 17"
            (log (cos angle) - Math.Log(Math.Cos(0.5 * Math.PI * offset / (1.0 + offset))))

    let cosine = cosineWith 0.008

    /// α² falls along a line: the simplest schedule of a paper that compares them.
    let linearGamma: GaussianPath =
        Path.ofLogAlpha
            "linear-gamma"
            "x_t = √(1 − t)·x₀ + √t·ε"
            "Chen 2023, On the importance of noise scheduling, section 2"
            (0.5 * Curve.log1p (-t))

    /// α² falls along a piece of the logistic curve: slowly at both ends.
    let sigmoidBetween (start: float) (finish: float) (tau: float) : GaussianPath =
        let logistic (x: float) = 1.0 / (1.0 + Math.Exp(-x / tau))
        let along = 1.0 / (1.0 + exp ((-1.0 / tau) * (start + (finish - start) * t)))
        let low, high = logistic start, logistic finish

        Path.ofLogAlpha
            "sigmoid"
            $"α² = (s(b) − s(a + (b − a) t))/(s(b) − s(a)), s(x) = 1/(1 + e^{{−x/τ}}), a = {start}, b = {finish}, τ = {tau}"
            "Jabri, Fleet, Chen 2023, Scalable adaptive computation, algorithm 3; Chen 2023, section 2"
            (0.5 * log ((high - along) / (high - low)))

    // ---- discrete schedules

    /// The curve through values at 0, 1/N, …, 1 that is monotone where they are: cubic Hermite pieces with the slopes of
    /// Fritsch and Carlson (1980). Raises ArgumentException for fewer than two values.
    let table (name: string) (values: float[]) : Curve =
        let n = values.Length - 1

        if n < 1 then
            invalidArg (nameof values) $"a table of {values.Length} values: at least two"

        let secant = Array.init n (fun k -> (values[k + 1] - values[k]) * float n)

        let slope =
            Array.init (n + 1) (fun k ->
                if k = 0 then secant[0]
                elif k = n then secant[n - 1]
                elif secant[k - 1] * secant[k] <= 0.0 then 0.0
                else 2.0 * secant[k - 1] * secant[k] / (secant[k - 1] + secant[k]))

        let piece (x: float) =
            let k = Math.Clamp(int (x * float n), 0, n - 1)
            k, x * float n - float k

        let value x =
            let k, u = piece x
            let h = 1.0 / float n

            (1.0 + 2.0 * u) * (1.0 - u) * (1.0 - u) * values[k]
            + u * (1.0 - u) * (1.0 - u) * h * slope[k]
            + u * u * (3.0 - 2.0 * u) * values[k + 1]
            + u * u * (u - 1.0) * h * slope[k + 1]

        let derivative x =
            let k, u = piece x

            6.0 * u * (1.0 - u) * secant[k]
            + (1.0 - 4.0 * u + 3.0 * u * u) * slope[k]
            + (3.0 * u * u - 2.0 * u) * slope[k + 1]

        Opaque(name, value, Opaque(name + "'", derivative, Constant nan, Curve.time), Curve.time)

    /// log ᾱ_k = Σ_{i ≤ k} log(1 − β_i) for k = 0 … N.
    let logAlphaBars (betas: float[]) : float[] = Array.scan (fun sum beta -> sum + Math.Log(1.0 - beta)) 0.0 betas

    /// The path whose point t = k/N is step k of a DDPM with these β₁ … β_N.
    let ofBetas name equation source (betas: float[]) : GaussianPath =
        if betas |> Array.exists (fun b -> not (b > 0.0 && b < 1.0)) then
            invalidArg (nameof betas) "every β lies strictly between 0 and 1"

        { Path.ofLogAlpha name equation source (0.5 * table name (logAlphaBars betas)) with
            Interior = 1.0 / float betas.Length, 1.0 }

    let private between first last n = Array.init n (fun k -> first + (last - first) * float k / float (n - 1))

    /// β from 10⁻⁴ to 0.02 in N equal steps, for N = 1000; scaled by 1000/N for another N.
    let ddpmBetas (n: int) =
        let scale = 1000.0 / float n
        between (1e-4 * scale) (min 0.999 (0.02 * scale)) n

    /// √β in equal steps from √0.00085 to √0.012.
    let scaledLinearBetas (n: int) =
        let scale = 1000.0 / float n
        between (Math.Sqrt(0.00085 * scale)) (Math.Sqrt(min 0.999 (0.012 * scale))) n
        |> Array.map (fun r -> r * r)

    /// The cosine schedule's table: β_k = 1 − ᾱ_k/ᾱ_{k−1}, at most 0.999.
    let cosineBetas (n: int) =
        let bar k = Math.Cos(0.5 * Math.PI * (float k / float n + 0.008) / 1.008) ** 2.0
        Array.init n (fun k -> min 0.999 (1.0 - bar (k + 1) / bar k))

    /// β = 10⁻⁴ + (0.02 − 10⁻⁴)·sigmoid(z), z from −6 to 6.
    let sigmoidBetas (n: int) =
        let scale = 1000.0 / float n
        between -6.0 6.0 n
        |> Array.map (fun z -> min 0.999 (scale * (1e-4 + (0.02 - 1e-4) / (1.0 + Math.Exp -z))))

    let ddpmOf (steps: int) =
        ofBetas
            "ddpm"
            $"β₁ … β_N from 10⁻⁴ to 0.02 (1000/N times that), N = {steps}"
            "Ho, Jain, Abbeel 2020, section 4"
            (ddpmBetas steps)

    let scaledLinearOf (steps: int) =
        ofBetas
            "scaled-linear"
            $"√β₁ … √β_N from √0.00085 to √0.012 (1000/N times that), N = {steps}"
            "Rombach et al. 2022, Latent diffusion, appendix"
            (scaledLinearBetas steps)

    let ddpmCosineOf (steps: int) =
        ofBetas
            "ddpm-cosine"
            $"β_k = 1 − ᾱ_k/ᾱ_{{k−1}} ≤ 0.999, ᾱ = cos², N = {steps}"
            "Nichol, Dhariwal 2021, eq. 17"
            (cosineBetas steps)

    let ddpmSigmoidOf (steps: int) =
        ofBetas
            "ddpm-sigmoid"
            $"β = 10⁻⁴ + 0.0199·sigmoid(−6 … 6) (1000/N times that), N = {steps}"
            "Xu et al. 2022, GeoDiff, appendix"
            (sigmoidBetas steps)

    let ddpm = ddpmOf 1000
    let scaledLinear = scaledLinearOf 1000
    let ddpmCosine = ddpmCosineOf 1000
    let ddpmSigmoid = ddpmSigmoidOf 1000

    // ---- the path of an SDE

    let private panel (f: float -> float) (first: float) (last: float) = Curve.integral 1 (first, last) f

    /// t ↦ y(t) with y(0) = y₀ and y(t) = advance s t (y(s)) exactly over short times: 256 stored values, and the rest of the way from the nearest below.
    let private accumulated (advance: float -> float -> float -> float) (start: float) : float -> float =
        let n = 256
        let stored = Array.zeroCreate (n + 1)
        stored[0] <- start

        for k in 1..n do
            stored[k] <- advance (float (k - 1) / float n) (float k / float n) stored[k - 1]

        fun t ->
            let k = Math.Clamp(int (t * float n), 0, n)
            advance (float k / float n) t stored[k]

    /// The path of dX = −a(t) X dt + g(t) dW from x₀: log α = −∫a and dσ²/dt = −2 a σ² + g², σ²(0) = 0, integrated to
    /// rounding; their derivatives are exact. a and g² must be smooth on [0, 1].
    let ofSde name equation source (a: Curve) (diffusionSquared: Curve) : GaussianPath =
        let a', g2 = Curve.eval a, Curve.eval diffusionSquared
        let logAlpha = accumulated (fun s t y -> y - panel a' s t) 0.0

        let variance =
            accumulated
                (fun s t y ->
                    let decay u = Math.Exp(-2.0 * panel a' u t)
                    decay s * y + panel (fun u -> decay u * g2 u) s t)
                0.0

        let logAlphaCurve = Opaque("log α", logAlpha, -a, Curve.time)
        // dσ²/dt refers to σ² itself, which is a function by now and not yet a curve.
        let varianceItself = Opaque("σ²", variance, Constant nan, Curve.time)

        let varianceCurve = Opaque("σ²", variance, diffusionSquared - 2.0 * a * varianceItself, Curve.time)

        { Name = name
          Equation = equation
          Source = source
          Alpha = exp logAlphaCurve
          Sigma = sqrt varianceCurve
          LogAlpha = logAlphaCurve
          Variance = varianceCurve
          Lambda = logAlphaCurve - 0.5 * log varianceCurve
          Interior = 1e-3, 1.0 }

    // ---- exchange

    /// A model trained on one Gaussian path, used on another: at time t of the new path the network is asked at the time
    /// of the old one that has the same signal-to-noise ratio, with the state rescaled to its α. Exact where the old path
    /// reaches that ratio; beyond its ends the nearer end is used (Karras et al. 2022, section 3; Kingma et al. 2021, section 5.1).
    let exchange (onto: GaussianPath) (model: Model) : Model =
        let old = model.Path

        // y = A x₀ + B ε with (A, B) of the old path at s, met on the new path at t.
        let clock: Curve =
            let s t = Path.timeOfLambda old (Curve.eval onto.Lambda t)
            // λ_old(s(t)) = λ_new(t)
            let slope t = Curve.eval (Curve.derivative onto.Lambda) t / Curve.eval (Curve.derivative old.Lambda) (s t)
            Opaque("λ-match", s, Opaque("λ-match'", slope, Constant nan, Curve.time), Curve.time)

        let on = Curve.after clock
        let scale = on old.Alpha / onto.Alpha

        { Path = onto
          Prediction =
            { model.Prediction with
                Name = model.Prediction.Name + "@" + old.Name
                Coefficients =
                    fun _ ->
                        let struct (a, b) = model.Prediction.Coefficients old
                        struct (on a, on b) }
          Network =
            fun condition ->
                let network = model.Network condition
                fun t x -> network (Curve.values clock t) (Coefficient.scale (Curve.at scale t) x)
          WithVariance = None }

    /// Every path that has a name.
    let parts: Part<GaussianPath> list =
        let least low = Parameter.make "sigma-min" low Allowed.Positive "σ at the data"
        let most high = Parameter.make "sigma-max" high Allowed.Positive "σ at the noise"

        let steps (make: int -> GaussianPath) =
            Part.of1 (Parameter.make "steps" 1000.0 (Allowed.Whole 2) "the number N of discrete times") (int >> make)

        [ yield! Path.parts
          Part.of2 Path.betaMin Path.betaMax subVpBetween
          Part.of2 (least 0.01) (most 50.0) veBetween
          Part.of3 (least 0.002) (most 80.0) (Parameter.make "rho" 7.0 Allowed.Positive "ρ of the warp") edmBetween
          Part.of1
              (Parameter.make "offset" 0.008 Allowed.Positive "s, which keeps the first step from vanishing")
              cosineWith
          Part.fixedAt linearGamma
          Part.of3
              (Parameter.make "start" -3.0 Allowed.Real "a, where the curve is at the data")
              (Parameter.make "end" 3.0 Allowed.Real "b, where it is at the noise")
              (Parameter.make "tau" 1.0 Allowed.Positive "τ, the temperature")
              sigmoidBetween
          yield! List.map steps [ ddpmOf; scaledLinearOf; ddpmCosineOf; ddpmSigmoidOf ] ]
        |> List.map (Part.naming (fun name path -> { path with Name = name }))

    let all = List.map Part.standard parts

    /// The path of a name with numbers, one of the caller's own or one of the library's. Raises UserError where there is none of it.
    let find (own: GaussianPath list) (name: string) : GaussianPath =
        let list: PartList<GaussianPath> =
            { Name = "paths"; Setting = None; One = "path"; Many = "paths"; Parts = parts }

        match own |> List.tryFind (fun path -> path.Name = name) with
        | Some path -> path
        | None -> list.Find name
