namespace Fokker

/// What balls around points say of two samples: a ball reaches from a point to its k-th nearest among the others of its own sample, and whoever lies in one is near that sample. Distances
/// between laws are one number; these tell samples that are unlike the data (precision, density) from data that no sample is like (recall, coverage).
[<RequireQualifiedAccess>]
module Neighbourhoods =

    /// The squared radii of the balls around the points of y [m; d], [m].
    let private radii (k: int) (y: Tensor) : Tensor =
        let m = y.Shape[0]

        if k < 1 || m <= k then
            invalidArg (nameof k) $"balls that hold {k} others of {m} points: at least one, and fewer than there are"

        let distances = Wasserstein.squaredDistances y y
        // No point is among its own neighbours, whatever rounding has left of its distance to itself.
        let distances = distances + Tensor.diagEmbed (Tensor.full y.Kind [ m ] infinity)
        Tensor.kthLowest k 1 distances

    /// Whether point i of x lies in the ball of point j of y, [n; m] of 0 and 1.
    let private within (k: int) (x: Tensor) (y: Tensor) : Tensor =
        let distances = Wasserstein.squaredDistances x y
        (Tensor.lessOrEqual distances (Tensor.unsqueeze 0 (radii k y))).To y.Kind

    let private flat (t: Tensor) = Tensor.flattenRows (t.To Dtype.Float64)

    /// The share of samples x [n; …] that lie in a ball of the data y [m; …] (Kynkäänniemi et al. 2019, eq. 1 and 2; there k = 3).
    let precision (k: int) (x: Tensor) (y: Tensor) : float =
        (Tensor.mean (Tensor.maxOver [ 1 ] (within k (flat x) (flat y)))).ToFloat()

    /// The share of data y that lie in a ball of the samples x: the precision with sides exchanged.
    let recall (k: int) (x: Tensor) (y: Tensor) : float = precision k y x

    /// How many of the data's balls a sample lies in, in the mean, divided by k (Naeem et al. 2020, eq. 4; there k = 5). Its expectation is 1 for equal laws, whatever they are, m and k: a sample is then
    /// as likely as the m − 1 others to be among the k nearest of a point.
    let density (k: int) (x: Tensor) (y: Tensor) : float =
        (Tensor.mean (Tensor.sumOver [ 1 ] (within k (flat x) (flat y)))).ToFloat() / float k

    /// The share of data y whose ball holds a sample (Naeem et al. 2020, eq. 5).
    let coverage (k: int) (x: Tensor) (y: Tensor) : float =
        (Tensor.mean (Tensor.maxOver [ 0 ] (within k (flat x) (flat y)))).ToFloat()

    /// The expectation of `coverage` for n samples and m data of one law of densities: 1 − ∏ᵢ₌₁ᵏ (m − i)/(n + m − i), that the k nearest of a point are all of its own sample (Naeem et al. 2020, eq. 7).
    let expectedCoverage (k: int) (n: int) (m: int) : float =
        1.0 - (Seq.init k (fun i -> float (m - 1 - i) / float (n + m - 1 - i)) |> Seq.fold (*) 1.0)

/// The measures that are taken on features of images.
[<RequireQualifiedAccess>]
module FeatureMeasures =

    let private neighbours name equation reference better (distance: Tensor -> Tensor -> float) : Measure =
        { Name = name
          Equation = equation
          Reference = reference
          Better = better
          FloorIsKnown = false
          Between = fun _ x y -> distance x y }

    /// MMD² of the kernel (⟨x, y⟩/d + 1)³, without bias at any size of the samples (Bińkowski et al. 2018, Demystifying MMD GANs, section 4).
    let kernel: Measure =
        { Name = "kernel"
          Equation = "MMD² of the kernel (⟨x, y⟩/d + 1)³ on features"
          Reference = "Bińkowski et al. 2018, KID"
          Better = Better.Lower
          FloorIsKnown = true
          Between = fun _ x y -> Discrepancy.cubic x y }

    let precision =
        neighbours
            "precision"
            "share of samples within the distance of some datum to its 3rd nearest, on features"
            "Kynkäänniemi et al. 2019"
            Better.Higher
            (Neighbourhoods.precision 3)

    let recall =
        neighbours
            "recall"
            "share of data within the distance of some sample to its 3rd nearest, on features"
            "Kynkäänniemi et al. 2019"
            Better.Higher
            (Neighbourhoods.recall 3)

    let density =
        { neighbours
              "density"
              "data within whose distance to their 5th nearest a sample is, divided by 5, on features"
              "Naeem et al. 2020"
              Better.Nearer
              (Neighbourhoods.density 5) with
            FloorIsKnown = true }

    let coverage =
        neighbours
            "coverage"
            "share of data within whose distance to their 5th nearest a sample is, on features"
            "Naeem et al. 2020"
            Better.Higher
            (Neighbourhoods.coverage 5)

    let all = [ kernel; precision; recall; density; coverage ]
