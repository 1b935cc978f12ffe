namespace Fokker;

/// <summary>How much each time counts in a loss.</summary>
/// <remarks>The weights that the library knows, one property each; <see cref="LossWeight.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class LossWeights
{
    /// <summary><c>uniform</c>: 1 (Ho, Jain, Abbeel 2020, eq. 14).</summary>
    public static LossWeight Uniform { get; } = LossWeight.FromName("uniform");

    /// <summary><c>variance</c>: σ² on score (Song, Ermon 2019, eq. 6).</summary>
    public static LossWeight Variance { get; } = LossWeight.FromName("variance");

    /// <summary><c>likelihood</c>: g² on score (Song et al. 2021, Maximum likelihood training, theorem 1).</summary>
    public static LossWeight Likelihood { get; } = LossWeight.FromName("likelihood");

    /// <summary><c>snr</c>: α²/σ² on data (Salimans, Ho 2022, section 4).</summary>
    public static LossWeight Snr { get; } = LossWeight.FromName("snr");

    /// <summary><c>truncated-snr</c>: max(α²/σ², 1) on data (Salimans, Ho 2022, eq. 9).</summary>
    public static LossWeight TruncatedSnr { get; } = LossWeight.FromName("truncated-snr");

    /// <summary><c>min-snr</c>: min(α²/σ², 5) on data (Hang et al. 2023, Min-SNR weighting, eq. 8).</summary>
    public static LossWeight MinSnr { get; } = LossWeight.FromName("min-snr");

    /// <summary><c>soft-min-snr</c>: 4 α²/(α² + 4 σ²) on data (Crowson et al. 2024, Hourglass diffusion transformers, section 4.2).</summary>
    public static LossWeight SoftMinSnr { get; } = LossWeight.FromName("soft-min-snr");

    /// <summary><c>edm</c>: (α² s² + σ²)/(σ s)², s = 1 on data (Karras et al. 2022, EDM, eq. 8).</summary>
    public static LossWeight Edm { get; } = LossWeight.FromName("edm");

    /// <summary><c>p2</c>: 1/(1 + α²/σ²) on noise (Choi et al. 2022, Perception prioritized training, eq. 8).</summary>
    public static LossWeight P2 { get; } = LossWeight.FromName("p2");

    /// <summary><c>learned</c>: e^{−u(t)}, u learned at the price u (Kendall, Gal, Cipolla 2018; Karras et al. 2024, EDM2, eq. 22).</summary>
    public static LossWeight Learned { get; } = LossWeight.FromName("learned");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<LossWeight> All { get; } =
    [Uniform, Variance, Likelihood, Snr, TruncatedSnr, MinSnr, SoftMinSnr, Edm, P2, Learned];
}
