namespace Fokker

/// What a solver may ask of a model on a Gaussian path: any reading of its output, one evaluation each.
[<NoComparison; NoEquality>]
type Readings =
    {
        Path: GaussianPath
        Of: Prediction -> Field
        /// E[x₀ | x] and the place u of the reverse step's log-variance, in one evaluation; none where it was not learned.
        WithVariance: (Tensor -> Tensor -> struct (Tensor * Tensor)) option
        /// Steps of the whole run, the denoising one at its end included.
        Steps: int
        /// Whether the last of them denoises: it is not the sampler's.
        Denoises: bool
    }

[<RequireQualifiedAccess>]
module Readings =

    /// Those of a model in a run of so many steps.
    let ofModel (steps: int) (condition: Condition) (model: Model) : Readings =
        let toData = Prediction.converter model.Path model.Prediction Prediction.data

        { Path = model.Path
          Of = fun prediction -> Model.reading prediction model condition
          WithVariance =
            model.WithVariance
            |> Option.map (fun both ->
                let both = both condition

                fun t x ->
                    let struct (y, u) = both t x
                    let struct (cx, cy) = toData t
                    struct (Coefficient.combine [ cx, x; cy, y ], u))
          Steps = steps
          Denoises = false }

    /// v − ½ c² g² ∇log p as a reading of the network's output: α̇ x₀ + (σ̇ + ½ c² g²/σ) ε. One evaluation gives both terms.
    let private drift (churn: float) : Prediction =
        { Name = $"drift with churn {churn}"
          Equation = "α̇ x₀ + (σ̇ + ½ c² g²/σ) ε"
          Reference = "Karras et al. 2022, EDM, eq. 6"
          Coefficients =
            fun path ->
                let g2 = Path.diffusionSquared path
                struct (Curve.derivative path.Alpha, Curve.derivative path.Sigma + 0.5 * churn * churn * g2 / path.Sigma) }

    /// The backward process with c times the diffusion of the path's SDE (`Sde.withChurn`).
    let reverse (churn: float) (readings: Readings) : Sde =
        { Drift = readings.Of(drift churn)
          DiffusionSquared = churn * churn * Path.diffusionSquared readings.Path
          Backward = true }

/// The first prediction of the network in every step, kept for observers.
[<RequireQualifiedAccess>]
module internal Watch =

    /// The model, and what it was last asked and said first since `said` was emptied.
    let firstCall (model: Model) : Model * (Tensor * Tensor * Tensor) option ref =
        let said = ref None

        let note t x y =
            if Option.isNone said.Value then
                said.Value <- Some(t, x, y)

        { model with
            Network =
                fun condition ->
                    let network = model.Network condition

                    fun t x ->
                        let y = network t x
                        note t x y
                        y
            WithVariance =
                model.WithVariance
                |> Option.map (fun both condition ->
                    let both = both condition

                    fun t x ->
                        let struct (y, u) = both t x
                        note t x y
                        struct (y, u)) },
        said

    /// A step that says E[x₀ | x] by its first evaluation.
    let denoising (said: (Tensor * Tensor * Tensor) option ref) (model: Model) (step: Step) : Step =
        let toData = Prediction.converter model.Path model.Prediction Prediction.data

        let estimate (t, x: Tensor, y: Tensor) =
            try
                let struct (cx, cy) = toData t
                Some(Coefficient.combine [ cx, x.To Dtype.Float64; cy, y.To Dtype.Float64 ])
            with :? System.ArgumentException ->
                // At a time where the network's prediction does not determine x₀.
                None

        fun noise until state ->
            said.Value <- None
            let next = step noise until state
            let found = Option.bind estimate said.Value
            said.Value <- None
            { next with Denoised = found }
