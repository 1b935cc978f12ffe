namespace Fokker

open System

/// A mixture after something was learned of it: again a mixture, with the probability of what was learned.
[<NoComparison; ReferenceEquality>]
type Conditioned =
    {
        Law: Mixture
        /// log p(y) of an observation, log E e^{r(x₀)} of a reward: what the density is divided by.
        LogEvidence: float
    }

/// Laws that a Gaussian mixture becomes in closed form: under a linear observation with Gaussian noise, and tilted by a linear or a quadratic reward. The
/// density, the score at every time and the samples of what comes out are those of `Mixture`: methods that steer are measured against them.
[<RequireQualifiedAccess>]
module Conditioning =

    /// Components with logarithms of weights that need not sum to 1, the classes as they were.
    let private weighted (m: Mixture) (logWeights: Tensor) (means: Tensor) (covariances: Tensor) : Conditioned =
        let symmetric = 0.5 * (covariances + Tensor.transpose 1 2 covariances)
        let evidence = Tensor.logSumExpKeep [ 0 ] logWeights
        let law = Mixture.ofCovariances (Array.create m.Components 1.0) means symmetric

        { Law = { law with LogWeights = logWeights - evidence; Classes = m.Classes }
          LogEvidence = (Tensor.sum evidence).ToFloat() }

    /// p(x₀ | y) for y = A x₀ + n, n ~ N(0, s² I): component k has the weight wₖ N(y; A mₖ, Sₖ), the mean mₖ + Gₖ (y − A mₖ) and the covariance
    /// (I − Gₖ A) Cₖ (I − Gₖ A)ᵀ + s² Gₖ Gₖᵀ, with Sₖ = A Cₖ Aᵀ + s² I and Gₖ = Cₖ Aᵀ Sₖ⁻¹ (Bishop 2006, Pattern recognition and machine learning, section
    /// 2.3.3; the covariance in Joseph's form, which stays positive). A [m; d] and y [m], float64; the evidence is log p(y). Raises ArgumentException where
    /// the shapes do not fit, or some Sₖ is singular: without noise y has no density there.
    let observed (a: Tensor) (noise: float) (y: Tensor) (m: Mixture) : Conditioned =
        if a.Rank <> 2 || a.Shape[1] <> m.Dimension || y.Shape <> [| a.Shape[0] |] then
            invalidArg (nameof a) $"A is {a.Describe()}, y {y.Describe()}: [m; {m.Dimension}] and [m] are needed"

        if not (noise >= 0.0 && Double.IsFinite noise) then
            invalidArg (nameof noise) $"noise {noise}: a number, 0 or more"

        Scope.run (fun () ->
            let rows = a.Shape[0]
            let c = Mixture.covariances m
            let across = Linalg.matmul c (Tensor.transpose 0 1 a)
            let s = Linalg.matmul a across + noise * noise * Tensor.eye Kind.Float64 rows

            let values, vectors = Linalg.eigh s

            if not ((Tensor.min values).ToFloat() > 1e-13 * (Tensor.max values).ToFloat()) then
                invalidArg
                    (nameof noise)
                    "some component has no spread in a direction that is observed without noise: the observation has no density there"

            let inverse = Linalg.matmul (vectors / Tensor.unsqueeze 1 values) (Tensor.transpose 1 2 vectors)
            let gain = Linalg.matmul across inverse
            let residual = y - Linalg.matmul (Mixture.means m) (Tensor.transpose 0 1 a)
            let column = Tensor.unsqueeze 2 residual
            let kept = Tensor.eye Kind.Float64 m.Dimension - Linalg.matmul gain a
            let turn (x: Tensor) = Tensor.transpose 1 2 x

            let covariances =
                Linalg.matmul (Linalg.matmul kept c) (turn kept) + noise * noise * Linalg.matmul gain (turn gain)

            let means = Mixture.means m + Tensor.squeeze 2 (Linalg.matmul gain column)
            let quadratic = Tensor.flatten (Linalg.matmul (turn column) (Linalg.matmul inverse column))

            let logLikelihood =
                -0.5 * (quadratic + Tensor.sumOver [ 1 ] (log values)) - 0.5 * float rows * Math.Log(2.0 * Math.PI)

            weighted m (m.LogWeights + logLikelihood) means covariances)

    /// ∝ p(x₀) e^{λ r(x₀)} for r(x) = ⟨w, x⟩ + ½ xᵀ Q x with Q symmetric: component k has the covariance C'ₖ = (Cₖ⁻¹ − λ Q)⁻¹, the mean mₖ + λ C'ₖ gₖ and
    /// the weight wₖ e^{λ r(mₖ) + ½ λ² gₖᵀ C'ₖ gₖ} |I − λ Cₖ^½ Q Cₖ^½|^{−½}, gₖ = w + Q mₖ; the evidence is log E e^{λ r(x₀)}. w [d] and Q [d; d], float64.
    /// Raises ArgumentException where the shapes do not fit, Q is not symmetric, or the expectation is infinite.
    let tilted (tilt: float) (w: Tensor) (q: Tensor option) (m: Mixture) : Conditioned =
        let d = m.Dimension

        if w.Shape <> [| d |] || q |> Option.exists (fun q -> q.Shape <> [| d; d |]) then
            let shapes = w.Describe() :: Option.toList (q |> Option.map (fun q -> q.Describe()))
            invalidArg (nameof w) $"""the reward is {String.Join(" and ", shapes)}: [{d}] and [{d}; {d}] are needed"""

        if not (Double.IsFinite tilt) then
            invalidArg (nameof tilt) $"a tilt of {tilt}: a finite number is needed"

        Scope.run (fun () ->
            let q = q |> Option.defaultWith (fun () -> Tensor.zeros Kind.Float64 [ d; d ])
            let size = (Tensor.max (abs q)).ToFloat()

            if (Tensor.max (abs (q - Tensor.transpose 0 1 q))).ToFloat() > 1e-10 * size then
                invalidArg (nameof q) "the quadratic reward's matrix is not symmetric"

            let root = Linalg.sqrtPsd (Mixture.covariances m)
            let inner = Linalg.matmul (Linalg.matmul root q) root
            let values, vectors = Linalg.eigh (0.5 * (inner + Tensor.transpose 1 2 inner))
            let left = 1.0 - tilt * values

            if not ((Tensor.min left).ToFloat() > 1e-12) then
                invalidArg
                    (nameof tilt)
                    $"a tilt of {tilt}: the reward grows as fast as the law falls, and its exponential has no mean"

            let axes = Linalg.matmul root vectors
            let covariances = Linalg.matmul (axes / Tensor.unsqueeze 1 left) (Tensor.transpose 1 2 axes)
            let means = Mixture.means m
            let along = Linalg.matmul means q
            let g = Tensor.unsqueeze 2 (w + along)
            let shift = tilt * Tensor.squeeze 2 (Linalg.matmul covariances g)
            let reward = Linalg.matmul means w + 0.5 * Tensor.sumOver [ 1 ] (along * means)

            let logTilt =
                tilt * reward + 0.5 * tilt * Tensor.sumOver [ 1 ] (Tensor.squeeze 2 g * shift)
                - 0.5 * Tensor.sumOver [ 1 ] (log left)

            weighted m (m.LogWeights + logTilt) (means + shift) covariances)
