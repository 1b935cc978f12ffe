namespace Fokker

open System

/// c_in, c_skip, c_out and c_noise around a raw network F: the denoiser D(t, x) = c_skip x + c_out F(c_noise, c_in x).
/// A wrapper around any network, not a prediction: what comes out means `Prediction.data`.
[<NoComparison; NoEquality>]
type Preconditioning =
    {
        Name: string
        Reference: string
        Skip: Curve
        Out: Curve
        In: Curve
        /// What the network is told instead of the time.
        Noise: Curve
    }

/// Karras et al. 2022, EDM, table 1, written for any Gaussian path; theirs have α = 1.
[<RequireQualifiedAccess>]
module Preconditioning =

    /// The variance of x_t for data of standard deviation σ_d: α² σ_d² + σ².
    let private total (sigmaData: float) (path: GaussianPath) =
        sigmaData * sigmaData * (path.Alpha ** 2.0) + path.Variance

    /// c_skip = α σ_d²/(α²σ_d² + σ²), c_out = σ σ_d/√(α²σ_d² + σ²), c_in = 1/√(α²σ_d² + σ²), c_noise = −λ/4: the network's
    /// input and its target have unit variance, and its error is amplified as little as possible. Where α = 1 these are
    /// EDM's, c_noise = ¼ log σ among them.
    let edm (sigmaData: float) (path: GaussianPath) : Preconditioning =
        let total = total sigmaData path

        { Name = "edm"
          Reference = "Karras et al. 2022, EDM, table 1 and appendix B.6"
          Skip = sigmaData * sigmaData * path.Alpha / total
          Out = sigmaData * path.Sigma / sqrt total
          In = total ** -0.5
          Noise = -0.25 * path.Lambda }

    /// The network predicts the noise from x scaled to unit variance of data without spread: D = (x − σ F)/α.
    let private ofNoise name reference (input: Curve) (noise: Curve) (path: GaussianPath) : Preconditioning =
        { Name = name
          Reference = reference
          Skip = 1.0 / path.Alpha
          Out = -(path.Sigma / path.Alpha)
          In = input
          Noise = noise }

    // Networks here take times from 0 to 1 and have the frequencies that suit them; the papers' took steps from 0 to 999.

    /// VP: c_skip = 1, c_out = −σ, c_in = 1/√(σ² + 1), told the time; the paper's c_noise is 999 t for a network whose frequencies are a thousandth of ours.
    let vp (path: GaussianPath) =
        ofNoise "vp" "Song et al. 2021; Karras et al. 2022, table 1" (total 1.0 path ** -0.5) Curve.time path

    /// VE: c_skip = 1, c_out = σ, c_in = 1, c_noise = log(σ/2): the network predicts −ε.
    let ve (path: GaussianPath) =
        { ofNoise "ve" "Song et al. 2021; Karras et al. 2022, table 1" (Constant 1.0) (log (0.5 * path.Sigma)) path with
            Out = path.Sigma / path.Alpha }

    /// iDDPM: c_skip = 1, c_out = −σ, c_in = 1/√(σ² + 1), told the nearest of N steps, as k/(N − 1); the paper's c_noise is k.
    let iddpm (steps: int) (path: GaussianPath) =
        let last = float (steps - 1)
        let nearest = Opaque("nearest step", (fun t -> Math.Round(last * t) / last), Constant 0.0, Curve.time)

        ofNoise "iddpm" "Nichol, Dhariwal 2021; Karras et al. 2022, table 1" (total 1.0 path ** -0.5) nearest path

    /// The lowest ς = σ/α of the path's interior, ς₀, where a consistency function meets its boundary condition.
    let private cleanest (path: GaussianPath) = System.Math.Exp(-(Curve.eval path.Lambda (fst path.Interior)))

    /// c_skip = s² α/((σ − ς₀ α)² + s² α²), c_out = s (σ − ς₀ α)/√(σ² + s² α²), c_in = 1/√(σ² + s² α²): the network is not heard at
    /// the clean end, where f = x/α (Song et al. 2023, eq. 5 and appendix C; theirs has α = 1).
    let consistency (sigmaData: float) (path: GaussianPath) : Preconditioning =
        let s2 = sigmaData * sigmaData
        let alpha, above = path.Alpha, path.Sigma - cleanest path * path.Alpha
        let total = path.Variance + s2 * (alpha ** 2.0)

        { Name = "consistency"
          Reference = "Song et al. 2023, Consistency models, appendix C"
          Skip = s2 * alpha / (above ** 2.0 + s2 * (alpha ** 2.0))
          Out = sigmaData * above / sqrt total
          In = total ** -0.5
          Noise = Curve.time }

    /// The denoiser that a raw network becomes.
    let wrap (p: Preconditioning) (network: Field) : Field =
        fun t x ->
            let scaled = Coefficient.scale (Curve.at p.In t) x
            let raw = network (Curve.values p.Noise t) scaled
            Coefficient.combine [ Curve.at p.Skip t, x; Curve.at p.Out t, raw ]

    /// What the raw network should say: (x₀ − c_skip x_t)/c_out.
    let target (p: Preconditioning) (path: GaussianPath) (t: Tensor) (x0: Tensor) (noise: Tensor) : Tensor =
        let x = Path.sample path t x0 noise

        Coefficient.combine [ Curve.at (1.0 / p.Out) t, x0; Curve.at (-1.0 * p.Skip / p.Out) t, x ]

    /// Refuses times at which a preconditioning is infinite: raises RefusedException.
    let requireFinite (path: GaussianPath) (times: Times) (p: Preconditioning) : unit =
        Times.requireFinite path times $"the preconditioning {p.Name}" [ p.Skip; p.Out; p.In; p.Noise ]

    let parts: Part<GaussianPath -> Preconditioning> list =
        let part parameters equation (make: float list -> GaussianPath -> Preconditioning) =
            let standard = make (parameters |> List.map _.Default) Path.condOT

            { Name = standard.Name
              Summary = ""
              Equation = equation
              Reference = standard.Reference
              Parameters = parameters
              Make = make }
            |> Part.naming (fun name make path -> { make path with Name = name })

        [ part
              [ Parameter.make "sigma-data" 1.0 Allowed.Positive "the data's standard deviation" ]
              "D = c_skip x + c_out F(c_in x), unit variances in and out"
              (fun x -> edm x[0])
          part [] "D = (x − σ F)/α, told t" (fun _ -> vp)
          part [] "D = (x + σ F)/α, told log ½σ" (fun _ -> ve)
          part
              [ Parameter.make "steps" 1000.0 (Allowed.Whole 2) "the number of discrete times" ]
              "D = (x − σ F)/α, told the nearest step"
              (fun x -> iddpm (int x[0])) ]

    /// The one of a name with numbers, on a path. Raises UserError where there is none of it.
    let find (name: string) (path: GaussianPath) : Preconditioning =
        let list: PartList<GaussianPath -> Preconditioning> =
            { Name = "preconditionings"
              Setting = None
              One = "preconditioning"
              Many = "preconditionings"
              Parts = parts }

        list.Find name path
