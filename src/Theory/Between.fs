namespace Fokker

open System

/// An interpolant between two Gaussian mixtures that know nothing of each other: x_t = a x₀ + b x₁ + γ z with x₀, x₁ and z
/// independent. Its law at every time is again a mixture, of K·L components: x₀ from component k and x₁ from component l
/// make x_t ~ N(μ, S), μ = a mₖ + b nₗ, S = a² Cₖ + b² Dₗ + γ² I, with weight wₖ uₗ. All float64.
[<NoComparison; ReferenceEquality>]
type Between =
    internal
        {
            Interpolant: Interpolant
            Data: Mixture
            Origin: Mixture
            /// log wₖ uₗ [KL].
            LogWeights: Tensor
            /// mₖ and nₗ of each pair [KL; d].
            Means: Tensor * Tensor
            /// Cₖ and Dₗ of each pair [KL; d; d].
            Covariances: Tensor * Tensor
        }

    member b.Components = b.LogWeights.Shape[0]
    member b.Dimension = b.Data.Dimension

    interface IHoldTensors with
        member b.Visit visit =
            (b.Data :> IHoldTensors).Visit visit
            (b.Origin :> IHoldTensors).Visit visit
            visit b.LogWeights
            visit (fst b.Means)
            visit (snd b.Means)
            visit (fst b.Covariances)
            visit (snd b.Covariances)

/// The interpolant's oracle: what flow matching between two laws converges to, in closed form. Given the pair of components
/// x₀, x₁, z and x_t are jointly Gaussian, so every conditional mean is one of Gaussians, averaged with the
/// responsibilities r(x) ∝ wₖ uₗ N(x; μ, S) (Albergo, Boffi, Vanden-Eijnden 2023, Stochastic interpolants, appendix A). The
/// functions are `Field`s as those of `Mixture` are: x is [B; d], or [B; …] with d coordinates in all; S must be regular.
[<RequireQualifiedAccess>]
module Between =

    /// The interpolant between the laws `data` of x₀ and `source` of x₁. Raises ArgumentException where their dimensions differ.
    let ofMixtures (interpolant: Interpolant) (data: Mixture) (source: Mixture) : Between =
        if data.Dimension <> source.Dimension then
            raise (
                ArgumentException
                    $"between a law in {data.Dimension}-D and one in {source.Dimension}-D: as many are needed"
            )

        let k, l = data.Components, source.Components
        let first (x: Tensor) = Tensor.repeatInterleave l 0 x
        let second (x: Tensor) = Tensor.repeat (k :: List.replicate (x.Rank - 1) 1) x
        let both of' = first (of' data), second (of' source)

        { Interpolant = interpolant
          Data = data
          Origin = source
          LogWeights = first data.LogWeights + second source.LogWeights
          Means = both Mixture.means
          Covariances = both Mixture.covariances }

    let private on (device: Device) (b: Between) : Between =
        if device.IsCpu then
            b
        else
            let move (x: Tensor, y: Tensor) = x.To device, y.To device

            { b with
                LogWeights = b.LogWeights.To device
                Means = move b.Means
                Covariances = move b.Covariances }

    /// The law at time t, seen from x.
    [<NoComparison; NoEquality>]
    type private View =
        {
            /// S⁻¹ (x − μ) [B; KL; d].
            Solved: Tensor
            /// log p [B; 1].
            LogDensity: Tensor
            /// r [B; KL; 1].
            Responsibility: Tensor
        }

    let private view (b: Between) (t: Tensor) (x: Tensor) : View =
        let at curve = Mixture.spread x (Curve.at curve t)
        let i = b.Interpolant
        let centred = Tensor.unsqueeze 1 (Mixture.flat b.Dimension x) - at i.A * fst b.Means - at i.B * snd b.Means
        // One more axis than the means have.
        let square curve = Tensor.unsqueeze -1 (at (curve ** 2.0))
        let noise = square i.Gamma * Tensor.eye (Kind.Float64.On x.Device) b.Dimension
        let spread = square i.A * fst b.Covariances + square i.B * snd b.Covariances + noise
        let solved = Tensor.squeeze -1 (Linalg.solve spread (Tensor.unsqueeze -1 centred))
        let quadratic = Tensor.sumOver [ -1 ] (centred * solved) + Linalg.logAbsDet spread
        let logJoint = b.LogWeights - 0.5 * quadratic - 0.5 * float b.Dimension * Math.Log(2.0 * Math.PI)
        let logDensity = Tensor.logSumExpKeep [ 1 ] logJoint

        { Solved = solved
          LogDensity = logDensity
          Responsibility = Tensor.unsqueeze 2 (exp (logJoint - logDensity)) }

    /// log p_t(x) [B], in float64.
    let logDensity (b: Between) (t: Tensor) (x: Tensor) : Tensor =
        Tensor.squeeze 1 (view (on x.Device b) t x).LogDensity

    /// E[c₀ x₀ + c₁ x₁ + ζ | x_t = x] where Cov(ζ, x_t) = c_ζ I: Σ r (c₀ mₖ + c₁ nₗ + (c₀ a Cₖ + c₁ b Dₗ + c_ζ I) S⁻¹ (x − μ)).
    let private expect (c0: Curve) (c1: Curve) (noise: Curve) (b: Between) : Field =
        fun t x ->
            let b = on x.Device b
            let v = view b t x
            let at curve = Mixture.spread x (Curve.at curve t)
            let turned covariance = Linalg.einsum "kde,bke->bkd" [ covariance; v.Solved ]

            let each =
                at c0 * fst b.Means
                + at c1 * snd b.Means
                + at (c0 * b.Interpolant.A) * turned (fst b.Covariances)
                + at (c1 * b.Interpolant.B) * turned (snd b.Covariances)
                + at noise * v.Solved

            Mixture.like x (Tensor.sumOver [ 1 ] (v.Responsibility * each))

    let private zero = Constant 0.0
    let private one = Constant 1.0

    /// E[dx/dt | x_t = x] = E[ȧ x₀ + ḃ x₁ + γ̇ z | x_t = x], γ̇ z through γ γ̇ = ½ dγ²/dt: finite at a bridge's ends, where γ̇ is not.
    let velocity (b: Between) : Field =
        let i = b.Interpolant
        expect (Curve.derivative i.A) (Curve.derivative i.B) (0.5 * Curve.derivative (i.Gamma ** 2.0)) b

    /// E[x₀ | x_t = x].
    let data (b: Between) : Field = expect one zero zero b

    /// E[x₁ | x_t = x].
    let source (b: Between) : Field = expect zero one zero b

    /// E[z | x_t = x] = −γ ∇log p_t(x) (Albergo, Boffi, Vanden-Eijnden 2023, eq. 2.14).
    let noise (b: Between) : Field = expect zero zero b.Interpolant.Gamma b

    /// ∇log p_t(x) = −Σ r S⁻¹ (x − μ): that of the law itself, also where γ = 0 and no denoiser of z determines it.
    let score (b: Between) : Field = expect zero zero -one b

    /// n draws of x_t, float64 [n; d]; row i depends on the key and on i only.
    let sampleAt (t: float) (n: int) (rng: Rng) (b: Between) : Tensor =
        let named name = Mixture.named name rng
        let x0 = Mixture.sample n (named "data") b.Data
        let x1 = Mixture.sample n (named "source") b.Origin
        let z = Rng.normal Kind.Float64 [ n; b.Dimension ] (named "noise")
        Interpolant.sample b.Interpolant (Tensor.scalar Kind.Float64 t) x0 x1 z
