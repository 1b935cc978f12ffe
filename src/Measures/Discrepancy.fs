namespace Fokker

/// Distances between laws as suprema over a ball of a kernel's functions: MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y)
/// (Gretton et al. 2012, A kernel two-sample test).
[<RequireQualifiedAccess>]
module Discrepancy =

    /// The unbiased estimate of E k(x, x') + E k(y, y') − 2 E k(x, y), with the kernel of all pairs [n; d], [m; d] ↦ [n; m]:
    /// pairs of a point with itself are left out, so it may fall below zero (Gretton et al. 2012, eq. 3).
    let private unbiasedOf (kernel: Tensor -> Tensor -> Tensor) (x: Tensor) (y: Tensor) : float =
        let n, m = float x.Shape[0], float y.Shape[0]

        if n < 2.0 || m < 2.0 then
            raise (TensorException $"mmd: {x.Describe()} and {y.Describe()}: at least two points of each are needed")

        let within t count =
            let k = kernel t t
            ((Tensor.sum k).ToFloat() - (Linalg.trace k).ToFloat()) / (count * (count - 1.0))

        let between = (Tensor.mean (kernel x y)).ToFloat()
        within x n + within y m - 2.0 * between

    /// The same with the kernel a function of squared distances.
    let private unbiased (kernel: Tensor -> Tensor) (x: Tensor) (y: Tensor) : float =
        unbiasedOf (fun x y -> kernel (Wasserstein.squaredDistances x y)) x y

    /// MMD² for the mean of five Gaussian kernels e^{−r²/(2 s h²)}, s = ¼, ½, 1, 2, 4, with the bandwidth h given.
    let mmdAt (bandwidth: float) (x: Tensor) (y: Tensor) : float =
        let scales = [ 0.25; 0.5; 1.0; 2.0; 4.0 ]

        let kernel (squared: Tensor) =
            scales
            |> List.map (fun s -> exp (squared * (-0.5 / (s * bandwidth * bandwidth))))
            |> List.reduce (+)
            |> fun k -> k / float scales.Length

        unbiased kernel x y

    /// The median distance between different points of x: the usual bandwidth (Gretton et al. 2012, section 8).
    let medianDistance (x: Tensor) : float =
        let n = x.Shape[0]

        if n < 2 then
            raise (TensorException $"median distance: {x.Describe()}: at least two points are needed")

        // The n zeros of the diagonal come first.
        let rank = n + 1 + (n * n - n) / 2
        sqrt ((Tensor.kthLowest rank 0 (Tensor.flatten (Wasserstein.squaredDistances x x))).ToFloat())

    let private atMedian (distance: float -> Tensor -> Tensor -> float) (x: Tensor) (y: Tensor) : float =
        let bandwidth = medianDistance y

        if bandwidth = 0.0 then
            invalidArg
                (nameof y)
                "the median distance between points of the data is 0, half of their pairs or more being of equal points: there is no bandwidth to take from it"

        distance bandwidth x y

    /// MMD² with the bandwidth taken from the reference sample y alone, so that figures for several samplers compare.
    /// Raises ArgumentException where half of the pairs of y are of one point: their median distance is 0, and no bandwidth.
    let mmd (x: Tensor) (y: Tensor) : float = atMedian mmdAt x y

    /// MMD² of the inverse multiquadric kernel 1/(1 + r²/h²), whose tail sees points that a Gaussian kernel has lost sight of.
    let multiquadricAt (bandwidth: float) (x: Tensor) (y: Tensor) : float =
        unbiased (fun squared -> 1.0 / (1.0 + squared / (bandwidth * bandwidth))) x y

    /// The same with the bandwidth of `mmd`.
    let multiquadric (x: Tensor) (y: Tensor) : float = atMedian multiquadricAt x y

    /// MMD² of the kernel (⟨x, y⟩/d + 1)³, of x [n; d] and y [m; d], without bias (Bińkowski et al. 2018, Demystifying MMD GANs, section 4).
    let cubic (x: Tensor) (y: Tensor) : float =
        let x, y = Tensor.flattenRows (x.To Dtype.Float64), Tensor.flattenRows (y.To Dtype.Float64)
        let d = float x.Shape[1]

        unbiasedOf (fun x y -> (Linalg.matmul x (Tensor.transpose 0 1 y) / d + 1.0) ** 3.0) x y

    /// The energy distance 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖, unbiased: MMD² of the kernel −‖x − y‖, which has no bandwidth
    /// (Székely, Rizzo 2013, eq. 2; Sejdinovic et al. 2013).
    let energy (x: Tensor) (y: Tensor) : float = unbiased (fun squared -> -(sqrt squared)) x y

/// The measures that the command line knows by name.
[<RequireQualifiedAccess>]
module Measures =

    let private make name equation reference between : Measure =
        { Name = name
          Equation = equation
          Reference = reference
          Better = Better.Lower
          FloorIsKnown = false
          Between = between }

    let private makeUnbiased name equation reference between : Measure =
        { make name equation reference between with FloorIsKnown = true }

    let wasserstein2 =
        make "wasserstein2" "√(min_π 1/n Σ ‖xᵢ − y_π(i)‖²)" "Villani 2009; Jonker, Volgenant 1987" (fun _ x y ->
            Wasserstein.exact x y)

    let slicedBy (directions: int) =
        make "sliced" $"√(E_θ W₂²(⟨θ, x⟩, ⟨θ, y⟩)), {directions} directions" "Bonneel et al. 2015" (fun rng x y ->
            Wasserstein.sliced directions rng x y)

    let sliced = slicedBy 128

    let mmd =
        makeUnbiased
            "mmd"
            "E k(x, x') + E k(y, y') − 2 E k(x, y), five Gaussian kernels"
            "Gretton et al. 2012"
            (fun _ x y -> Discrepancy.mmd x y)

    let multiquadric =
        makeUnbiased
            "multiquadric"
            "MMD² of the kernel 1/(1 + r²/h²), h the median distance"
            "Gretton et al. 2012; Gorham, Mackey 2017, section 3"
            (fun _ x y -> Discrepancy.multiquadric x y)

    let energy =
        makeUnbiased "energy" "2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖" "Székely, Rizzo 2013" (fun _ x y ->
            Discrepancy.energy x y)

    let classifier =
        makeUnbiased
            "classifier"
            "share of held-back points whose side their ⌊√n⌋ nearest name, ½ for equal laws"
            "Lopez-Paz, Oquab 2017, C2ST-KNN"
            (fun rng x y -> TwoSample.neighbours rng x y)

    /// `classifier` for samples of many dimensions, such as pictures.
    let distanceClassifier =
        makeUnbiased
            "classifier"
            "share of held-back points whose side Fisher's discriminant of their log-distances to both samples names, ½ for equal laws"
            "Lopez-Paz, Oquab 2017; Fisher 1936"
            (fun rng x y -> TwoSample.distances rng x y)

    /// The share of x where a law's log-density is below a level, whatever y is. Of the law's own samples it is q where the level is the q-quantile of theirs: it counts what a model
    /// puts between the parts of a law, which distances hardly see.
    let outside (logDensity: Tensor -> Tensor) (level: float) =
        makeUnbiased
            "outside"
            "share of samples where the law's density is less than 999 of 1,000 of its own samples have"
            "Hyndman 1996, Computing and graphing highest density regions"
            (fun _ x _ -> (Tensor.mean ((Tensor.lessThan level (logDensity x)).To Dtype.Float64)).ToFloat())

    /// Those that ask nothing of the data.
    let parts: Part<Measure> list =
        [ Part.fixedAt wasserstein2
          Part.of1 (Parameter.make "directions" 128.0 (Allowed.Whole 1) "random directions θ") (int >> slicedBy)
          Part.fixedAt mmd
          Part.fixedAt multiquadric
          Part.fixedAt energy
          Part.fixedAt classifier ]

    let all = List.map Part.standard parts

    /// The same for pictures.
    let ofImages =
        all
        |> List.map (fun measure -> if measure.Name = classifier.Name then distanceClassifier else measure)
