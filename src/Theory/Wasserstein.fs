namespace Fokker

open System

/// Optimal transport between samples and between Gaussians: W_p(μ, ν)^p = min over couplings of E‖x − y‖^p
/// (Villani 2009; Peyré, Cuturi 2019, Computational optimal transport).
[<RequireQualifiedAccess>]
module Wasserstein =

    let private cloud (what: string) (x: Tensor) (y: Tensor) =
        let flat (t: Tensor) =
            (if t.Rank = 1 then Tensor.unsqueeze 1 t else Tensor.flattenRows t).To(Device.Cpu).To Dtype.Float64

        if x.Rank = 0 || y.Rank = 0 || x.Shape[0] = 0 || y.Shape[0] = 0 || x.Shape[1..] <> y.Shape[1..] then
            raise (
                TensorException
                    $"{what}: {x.Describe()} and {y.Describe()}: two samples [n; …] of the same space are needed"
            )

        flat x, flat y

    let private sameSize (what: string) (x: Tensor) (y: Tensor) =
        if x.Shape[0] <> y.Shape[0] then
            raise (
                TensorException $"{what}: samples of {x.Shape[0]} and {y.Shape[0]} points: as many of each are needed"
            )

    /// ‖xᵢ − yⱼ‖² as float64 [n; m] for x [n; …], y [m; …]; never below zero.
    let squaredDistances (x: Tensor) (y: Tensor) : Tensor =
        let x, y = cloud "squaredDistances" x y
        // Distances do not see a common shift; without it the difference of large squares would lose digits.
        let centre = Tensor.meanKeep [ 0 ] x
        let x, y = x - centre, y - centre
        let cross = Linalg.matmul x (Tensor.transpose 0 1 y)

        Tensor.unsqueeze 1 (Tensor.sumRows (Tensor.square x)) + Tensor.sumRows (Tensor.square y)
        - 2.0 * cross
        |> Tensor.clamp 0.0 infinity

    /// The exact W₂ between two samples of n points: √(min_π 1/n Σᵢ ‖xᵢ − y_π(i)‖²). n³ in the worst case: about 20 ms for 1,000.
    let exact (x: Tensor) (y: Tensor) : float =
        let x, y = cloud "wasserstein" x y
        sameSize "wasserstein" x y
        let matching = Assignment.solve (squaredDistances x y)
        // From the matched pairs themselves: the matrix has lost the digits of close pairs.
        let gap = x - Tensor.indexSelect 0 matching.Columns y
        Math.Sqrt((Tensor.sum (Tensor.square gap)).ToFloat() / float x.Shape[0])

    /// W_p between two samples [n] of the line: sorted values are matched in order (p ≥ 1).
    let onLine (p: float) (x: Tensor) (y: Tensor) : float =
        if not (p >= 1.0) then
            invalidArg (nameof p) $"W_p with p = {p}: p is at least 1"

        let x, y = cloud "wasserstein on the line" x y
        sameSize "wasserstein on the line" x y

        if x.Shape[1] <> 1 then
            raise (TensorException $"wasserstein on the line: {x.Describe()}: one coordinate is needed")

        let sorted t = fst (Tensor.sort 0 t)
        let gap = Tensor.abs (sorted x - sorted y)
        Math.Pow((Tensor.mean (Tensor.pow gap p)).ToFloat(), 1.0 / p)

    /// The sliced distance √(E_θ W₂²(⟨θ, x⟩, ⟨θ, y⟩)) over `directions` uniform directions θ of the sphere, drawn from `rng`
    /// (Rabin et al. 2012; Bonneel et al. 2015, definition 2). n log n in the number of points.
    let sliced (directions: int) (rng: Rng) (x: Tensor) (y: Tensor) : float =
        let x, y = cloud "sliced wasserstein" x y
        sameSize "sliced wasserstein" x y
        let theta = Rng.normal Kind.Float64 [ directions; x.Shape[1] ] rng
        let theta = theta / sqrt (Tensor.sumKeep [ 1 ] (Tensor.square theta))
        let project t = fst (Tensor.sort 0 (Linalg.matmul t (Tensor.transpose 0 1 theta)))
        Math.Sqrt((Tensor.mean (Tensor.square (project x - project y))).ToFloat())

    /// W₂² between N(m₁, Σ₁) and N(m₂, Σ₂): ‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½), the last term in this symmetric form
    /// because the square root of Σ₁Σ₂ itself is lost where a covariance is singular (Dowson, Landau 1982; Olkin, Pukelsheim 1982).
    /// Means float64 [d], covariances float64 [d; d], positive semi-definite.
    let gaussianSquared (mean1: Tensor, cov1: Tensor) (mean2: Tensor, cov2: Tensor) : float =
        let shift = (Tensor.sum (Tensor.square (mean1 - mean2))).ToFloat()
        let root = Linalg.sqrtPsd cov1
        let inner = Linalg.matmul (Linalg.matmul root cov2) root
        // Symmetric but for rounding; eigh reads one triangle.
        let values, _ = Linalg.eigh (0.5 * (inner + Tensor.transpose 0 1 inner))
        let fidelity = (Tensor.sum (sqrt (Tensor.clamp 0.0 infinity values))).ToFloat()
        let traces = (Linalg.trace cov1).ToFloat() + (Linalg.trace cov2).ToFloat()
        max 0.0 (shift + traces - 2.0 * fidelity)

    /// W₂ between two Gaussians: the Bures–Wasserstein distance, √ of `gaussianSquared`.
    let gaussian (first: Tensor * Tensor) (second: Tensor * Tensor) : float = Math.Sqrt(gaussianSquared first second)

    /// Mean [d] and unbiased covariance [d; d] of the rows of x [n; …], float64; n ≥ 2.
    let moments (x: Tensor) : Tensor * Tensor =
        let x, _ = cloud "moments" x x
        let n = x.Shape[0]

        if n < 2 then
            raise (TensorException $"moments: {x.Describe()}: a covariance takes at least two points")

        let mean = Tensor.meanOver [ 0 ] x
        let centred = x - mean
        mean, Linalg.matmul (Tensor.transpose 0 1 centred) centred / float (n - 1)

    /// The Fréchet distance d² between the Gaussians fitted to two samples (Heusel et al. 2017, TTUR, eq. 6; not rooted, as is
    /// the custom). It is biased upwards. Between two samples of n points of N(0, I) in d dimensions the means are 2d/n apart, and the covariances
    /// differ by Δ with E‖Δ‖² = 2d(d + 1)/n, which costs ¼ ‖Δ‖²: the bias is 2d/n + d(d + 1)/(2n) up to terms in 1/n². It is larger where the
    /// covariances are, so that neither a difference from a floor nor a ratio to it gets rid of it: see `frechetUnbiased`.
    let frechet (x: Tensor) (y: Tensor) : float =
        let x, y = cloud "frechet" x y
        gaussianSquared (moments x) (moments y)

    /// The Fréchet distance without its bias in 1/n: 2 F(n) − F(n/2), where F(n/2) is the mean over the two halves of the samples (the extrapolation to
    /// n = ∞ of Chong, Forsyth 2020, Effectively unbiased FID, by two sizes). What remains is of the order 1/n²: 0.1 where the bias was 8.6, at d = 128 and
    /// n = 1,000. It may fall below zero, as an unbiased estimate of zero does. Raises TensorException where there are fewer than four points of each.
    let frechetUnbiased (x: Tensor) (y: Tensor) : float =
        let x, y = cloud "frechet" x y
        let half = min x.Shape[0] y.Shape[0] / 2

        if half < 2 then
            raise (
                TensorException $"frechet: {x.Describe()} and {y.Describe()}: at least four points of each are needed"
            )

        let part first t = Tensor.narrow 0 first half t
        let whole = frechet (Tensor.narrow 0 0 (2 * half) x) (Tensor.narrow 0 0 (2 * half) y)
        let halves = [ 0; half ] |> List.averageBy (fun first -> frechet (part first x) (part first y))
        2.0 * whole - halves
