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
            Reference = "Song et al. 2021, Score-based generative modeling through SDEs, eq. 12 and 34"
            Sigma = sigma
            Variance = sigma ** 2.0
            Lambda = vp.LogAlpha - log sigma }

    let subVp = subVpBetween 0.1 20.0

    let private exploding name equation reference (sigma: Curve) : GaussianPath =
        { Name = name
          Equation = equation
          Reference = reference
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

    /// The first three derivatives, in the knots' own unit, of the polynomial through the nine values nearest to each knot.
    let private differences (values: float[]) : float[][] =
        let width = min 9 values.Length
        let first k = Math.Clamp(k - width / 2, 0, values.Length - width)

        // By the knot's place among the nine: weights of these for each derivative.
        let weights =
            Array.init width (fun place ->
                let bases =
                    Array.init
                        width
                        (Interpolation.lagrange [ for j in 0 .. width - 1 -> float (j - place) ] >> Array.ofList)
                [| for order, factorial in [ 1, 1.0; 2, 2.0; 3, 6.0 ] ->
                       bases |> Array.map (fun c -> if order < c.Length then factorial * c[order] else 0.0) |])

        Array.init values.Length (fun k ->
            let near = values[first k .. first k + width - 1]
            weights[k - first k] |> Array.map (fun w -> Array.sum (Array.map2 (*) w near)))

    /// The control values of the piece of degree 7 that has the values a and b and the derivatives da and db at its ends: where these are monotone, it is
    /// (Bernstein 1912; Farin 2002, Curves and surfaces for CAGD, section 5.4).
    let private control (a: float) (da: float[]) (b: float) (db: float[]) : float[] =
        let from (at: float) (sign: float) (d: float[]) =
            [| at
               at + sign * d[0] / 7.0
               at + sign * 2.0 * d[0] / 7.0 + d[1] / 42.0
               at + sign * 3.0 * d[0] / 7.0 + 3.0 * d[1] / 42.0 + sign * d[2] / 210.0 |]

        Array.append (from a 1.0 da) (Array.rev (from b -1.0 db))

    let private isMonotone (a: float) (b: float) (control: float[]) =
        control |> Array.pairwise |> Array.forall (fun (x, y) -> float (Math.Sign(b - a)) * (y - x) >= 0.0)
        && (a <> b || Array.forall ((=) a) control)

    /// The slope of a knot next to which the table is not smooth: small enough for control values that are monotone with no curvature, the two
    /// secants' harmonic mean where that is smaller, and 0 at a turn (Fritsch, Carlson 1980; Fritsch, Butland 1984).
    let private carefulSlope (values: float[]) (k: int) : float =
        let secants =
            [ for j in [ k - 1; k ] do
                  if 0 <= j && j < values.Length - 1 then
                      values[j + 1] - values[j] ]

        match secants with
        | [ a; b ] when a * b <= 0.0 -> 0.0
        | [ a; b ] ->
            let least = Math.CopySign(Math.Min(abs a, abs b), a)
            Math.CopySign(Math.Min(abs (2.0 * a * b / (a + b)), 7.0 / 6.0 * abs least), a)
        | secants -> List.sum secants

    /// The derivatives that the pieces take at the knots: those of the table, but beside a piece that would turn back.
    let private derivatives (values: float[]) : float[][] =
        let last = values.Length - 1
        let own = differences values
        let careful = Array.init values.Length (fun k -> [| carefulSlope values k; 0.0; 0.0 |])
        let rough = Array.create values.Length false
        let at k = if rough[k] then careful[k] else own[k]

        let turns k =
            not (rough[k] && rough[k + 1])
            && not (isMonotone values[k] values[k + 1] (control values[k] (at k) values[k + 1] (at (k + 1))))

        let rec settle () =
            match
                [ for k in 0 .. last - 1 do
                      if turns k then
                          k ]
            with
            | [] -> ()
            | turning ->
                for k in turning do
                    rough[k] <- true
                    rough[k + 1] <- true

                settle ()

        settle ()
        Array.init values.Length at

    /// The curve through values at 0, 1/N, …, 1: three times continuously differentiable, and monotone where they are. It is made of pieces of degree 7 which have at
    /// each knot the derivatives of the polynomial through the nine values around it, so that where these are a smooth function of their place an integration does not
    /// see the knots; where such a piece would turn back, its ends have a slope with which it cannot, and no curvature. Raises ArgumentException for fewer than two values.
    let table (name: string) (values: float[]) : Curve =
        let n = values.Length - 1

        if n < 1 then
            invalidArg (nameof values) $"a table of {values.Length} values: at least two"

        let slopes = derivatives values

        // Coefficients of uᵏ, u from 0 to 1 on a piece.
        let pieces =
            Array.init n (fun k ->
                let a, b, da, db = values[k], values[k + 1], slopes[k], slopes[k + 1]
                let start = [| a; da[0]; da[1] / 2.0; da[2] / 6.0 |]
                // What is left for the higher powers of the value and the derivatives at the end.
                let r0 = b - a - (start[1] + start[2] + start[3])
                let r1 = db[0] - (start[1] + 2.0 * start[2] + 3.0 * start[3])
                let r2 = db[1] - (2.0 * start[2] + 6.0 * start[3])
                let r3 = db[2] - 6.0 * start[3]

                Array.append
                    start
                    [| 35.0 * r0 - 15.0 * r1 + 2.5 * r2 - r3 / 6.0
                       -84.0 * r0 + 39.0 * r1 - 7.0 * r2 + 0.5 * r3
                       70.0 * r0 - 34.0 * r1 + 6.5 * r2 - 0.5 * r3
                       -20.0 * r0 + 10.0 * r1 - 2.0 * r2 + r3 / 6.0 |])

        // Those of the derivatives in t: p (p − 1) … Nᵏ cₚ.
        let coefficients =
            Array.init 4 (fun order ->
                let factor power =
                    List.fold (fun product j -> product * float (power - j) * float n) 1.0 [ 0 .. order - 1 ]
                pieces |> Array.map (fun c -> [| for power in order..7 -> factor power * c[power] |]))

        let derivative (order: int) (x: float) : float =
            let place = x * float n
            let k = Math.Clamp(int place, 0, n - 1)
            let u = place - float k

            if order = 0 && u = 1.0 then
                values[k + 1]
            else
                Array.foldBack (fun c rest -> c + u * rest) (coefficients[order][k]) 0.0

        List.foldBack
            (fun order slope -> Opaque(name + String('\'', order), derivative order, slope, Curve.time))
            [ 0..3 ]
            (Constant nan)

    /// log ᾱ_k = Σ_{i ≤ k} log(1 − β_i) for k = 0 … N.
    let logAlphaBars (betas: float[]) : float[] = Array.scan (fun sum beta -> sum + Math.Log(1.0 - beta)) 0.0 betas

    /// The path whose point t = k/N is step k of a DDPM with these β₁ … β_N.
    let ofBetas name equation reference (betas: float[]) : GaussianPath =
        if betas |> Array.exists (fun b -> not (b > 0.0 && b < 1.0)) then
            invalidArg (nameof betas) "every β lies strictly between 0 and 1"

        { Path.ofLogAlpha name equation reference (0.5 * table name (logAlphaBars betas)) with
            Interior = 1.0 / float betas.Length, 1.0 }

    /// The path of these β with its √ᾱ moved and stretched so that the last one is 0 and the first one stays: pure noise at t = 1, where a network has to say something else than ε
    /// (Lin, Liu, Li, Yang 2024, Common diffusion noise schedules and sample steps are flawed, algorithm 1).
    let zeroTerminal name equation reference (betas: float[]) : GaussianPath =
        let roots = logAlphaBars betas |> Array.map (fun log -> Math.Exp(0.5 * log))
        let first, last = roots[1], roots[betas.Length]
        let stretched =
            Array.init roots.Length (fun k -> if k = 0 then 1.0 else (roots[k] - last) * first / (first - last))
        let alpha = table name stretched
        let variance = (1.0 - alpha) * (1.0 + alpha)

        { Name = name
          Equation = equation
          Reference = reference
          Alpha = alpha
          Sigma = sqrt variance
          LogAlpha = log alpha
          Variance = variance
          Lambda = log alpha - 0.5 * log variance
          Interior = 1.0 / float betas.Length, 1.0 }

    let private between first last n = Array.init n (fun k -> first + (last - first) * float k / float (n - 1))

    /// β from one value to another in N equal steps, for N = 1000; scaled by 1000/N for another N.
    let linearBetas (first: float) (last: float) (n: int) =
        let scale = 1000.0 / float n
        between (first * scale) (min 0.999 (last * scale)) n

    /// β from 10⁻⁴ to 0.02 in N equal steps.
    let ddpmBetas (n: int) = linearBetas 1e-4 0.02 n

    /// √β in equal steps from one value's to another's.
    let squaredLinearBetas (first: float) (last: float) (n: int) =
        let scale = 1000.0 / float n
        between (Math.Sqrt(first * scale)) (Math.Sqrt(min 0.999 (last * scale))) n
        |> Array.map (fun r -> r * r)

    /// √β in equal steps from √0.00085 to √0.012.
    let scaledLinearBetas (n: int) = squaredLinearBetas 0.00085 0.012 n

    /// The cosine schedule's table: β_k = 1 − ᾱ_k/ᾱ_{k−1}, at most 0.999.
    let cosineBetas (n: int) =
        let bar k = Math.Cos(0.5 * Math.PI * (float k / float n + 0.008) / 1.008) ** 2.0
        Array.init n (fun k -> min 0.999 (1.0 - bar (k + 1) / bar k))

    /// β = 10⁻⁴ + (0.02 − 10⁻⁴)·sigmoid(z), z from −6 to 6.
    let sigmoidBetas (n: int) =
        let scale = 1000.0 / float n
        between -6.0 6.0 n
        |> Array.map (fun z -> min 0.999 (scale * (1e-4 + (0.02 - 1e-4) / (1.0 + Math.Exp -z))))

    /// How a table of β becomes a path: as it is (`ofBetas`), or `zeroTerminal`.
    type private Table = string -> string -> string -> float[] -> GaussianPath

    let private ddpmBetween (table: Table) (first: float) (last: float) (steps: int) =
        table
            "ddpm"
            $"β₁ … β_N from {first} to {last} (1000/N times that), N = {steps}"
            "Ho, Jain, Abbeel 2020, section 4"
            (linearBetas first last steps)

    let ddpmOf (steps: int) = ddpmBetween ofBetas 1e-4 0.02 steps

    let private scaledLinearBetween (table: Table) (first: float) (last: float) (steps: int) =
        table
            "scaled-linear"
            $"√β₁ … √β_N from √{first} to √{last} (1000/N times that), N = {steps}"
            "Rombach et al. 2022, Latent diffusion, appendix"
            (squaredLinearBetas first last steps)

    let scaledLinearOf (steps: int) = scaledLinearBetween ofBetas 0.00085 0.012 steps

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
    let ofSde name equation reference (a: Curve) (diffusionSquared: Curve) : GaussianPath =
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
          Reference = reference
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
    /// The part whose paths say by their names which numbers they have, so that a model's file finds them by name alone.
    let named: Part<GaussianPath> -> Part<GaussianPath> = Part.naming (fun name path -> { path with Name = name })

    let parts: Part<GaussianPath> list =
        let least low = Parameter.make "sigma-min" low Allowed.Positive "σ at the data"
        let most high = Parameter.make "sigma-max" high Allowed.Positive "σ at the noise"

        let steps = Parameter.make "steps" 1000.0 (Allowed.Whole 2) "the number N of discrete times"

        let zero =
            Parameter.make
                "zero-snr"
                0.0
                (Allowed.Whole 0)
                "1 for the table rescaled to pure noise at its end (Lin et al. 2024, algorithm 1), 0 for the table itself"

        let tableOf (zero: float) : Table =
            match int zero with
            | 0 -> ofBetas
            | 1 -> fun name equation reference -> zeroTerminal name (equation + ", rescaled to ᾱ_N = 0") reference
            | other -> invalidArg "zero-snr" $"zero-snr is {other}: expected 0 or 1"

        let chain (summary, make: int -> GaussianPath, betas: int -> float[]) =
            Part.of2 steps zero (fun n zero ->
                let path = make (int n)
                if zero = 0.0 then path else tableOf zero path.Name path.Equation path.Reference (betas (int n)))
            |> Part.saying summary

        let chainBetween summary (first: float) (last: float) (make: Table -> float -> float -> int -> GaussianPath) =
            Part.leaving
                [ steps
                  zero
                  Parameter.make "first" first (Allowed.Within(1e-12, 0.999)) "β₁ where N = 1000"
                  Parameter.make "last" last (Allowed.Within(1e-12, 0.999)) "β_N where N = 1000" ]
                (fun x -> make (tableOf x[1]) x[2] x[3] (int x[0]))
            |> Part.saying summary

        [ yield! Path.parts
          Part.of2 Path.betaMin Path.betaMax subVpBetween
          |> Part.saying "Sub-variance-preserving diffusion: at every time less noise than in vp."
          Part.of2 (least 0.01) (most 50.0) veBetween
          |> Part.saying "Variance-exploding diffusion: the data stay as they are under noise that grows."
          Part.of3 (least 0.002) (most 80.0) (Parameter.make "rho" 7.0 Allowed.Positive "ρ of the warp") edmBetween
          |> Part.saying
              "Elucidated diffusion model: variance-exploding, with time warped as its sampler spaces the noise levels."
          Part.of1
              (Parameter.make "offset" 0.008 Allowed.Positive "s, which keeps the first step from vanishing")
              cosineWith
          Part.fixedAt linearGamma
          Part.of3
              (Parameter.make "start" -3.0 Allowed.Real "a, where the curve is at the data")
              (Parameter.make "end" 3.0 Allowed.Real "b, where it is at the noise")
              (Parameter.make "tau" 1.0 Allowed.Positive "τ, the temperature")
              sigmoidBetween
          chainBetween
              "Denoising diffusion probabilistic model: a chain of steps whose variances grow linearly."
              1e-4
              0.02
              ddpmBetween
          chainBetween
              "Latent diffusion's chain: the steps' standard deviations grow linearly."
              0.00085
              0.012
              scaledLinearBetween
          chain ("Improved DDPM's chain: the cosine path at discrete times.", ddpmCosineOf, cosineBetas)
          chain ("A chain of steps whose variances grow along a sigmoid.", ddpmSigmoidOf, sigmoidBetas) ]
        |> List.map named

    let all = List.map Part.standard parts

    /// The path of a name with numbers, one of the caller's own or one of the library's. Raises UserError where there is none of it.
    let find (own: Part<GaussianPath> list) (name: string) : GaussianPath =
        let list: PartList<GaussianPath> =
            { Name = "paths"; Setting = None; One = "path"; Many = "paths"; Parts = List.map named own @ parts }

        // One that leaves nothing open may have any name.
        match own |> List.tryFind (fun part -> part.Parameters.IsEmpty && part.Name = name) with
        | Some part -> Part.standard part
        | None -> list.Find name
