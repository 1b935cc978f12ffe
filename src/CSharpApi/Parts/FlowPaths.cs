namespace Fokker;

/// <summary>How data become noise: x_t = α(t)·x₀ + σ(t)·ε, from the data at t = 0 to noise at t = 1.</summary>
/// <remarks>The paths that the library knows, one property each; <see cref="FlowPath.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class FlowPaths
{
    /// <summary><c>condot</c>: x_t = (1 − t)·x₀ + t·ε (Lipman et al. 2023, Flow matching, eq. 20–22; Liu, Gong, Liu 2023).</summary>
    public static FlowPath CondOt { get; } = FlowPath.FromName("condot");

    /// <summary><c>ou</c>: x_t = e^{−Tt}·x₀ + √(1 − e^{−2Tt})·ε (Uhlenbeck, Ornstein 1930; Song et al. 2021).</summary>
    public static FlowPath OrnsteinUhlenbeck { get; } = FlowPath.FromName("ou");

    /// <summary><c>vp</c>: dX = −½β(t) X dt + √β(t) dW, β from 0.1 to 20 (Song et al. 2021, Score-based generative modeling through SDEs, eq. 32–33).</summary>
    public static FlowPath VariancePreserving { get; } = FlowPath.FromName("vp");

    /// <summary><c>trigonometric</c>: x_t = cos(πt/2)·x₀ + sin(πt/2)·ε (Albergo, Vanden-Eijnden 2023; Lu, Song 2025).</summary>
    public static FlowPath Trigonometric { get; } = FlowPath.FromName("trigonometric");

    /// <summary><c>sub-vp</c>: α as in vp, σ = 1 − α² (Song et al. 2021, Score-based generative modeling through SDEs, eq. 12 and 34).</summary>
    public static FlowPath SubVariancePreserving { get; } = FlowPath.FromName("sub-vp");

    /// <summary><c>ve</c>: x_t = x₀ + σ_min (σ_max/σ_min)^t·ε, σ from 0.01 to 50 (Song et al. 2021, eq. 30–31).</summary>
    public static FlowPath VarianceExploding { get; } = FlowPath.FromName("ve");

    /// <summary><c>edm</c>: x_t = x₀ + (σ_min^{1/7} + t (σ_max^{1/7} − σ_min^{1/7}))⁷·ε, σ from 0.002 to 80 (Karras et al. 2022, EDM, eq. 5).</summary>
    public static FlowPath Edm { get; } = FlowPath.FromName("edm");

    /// <summary><c>cosine</c>: α = cos(π/2 (t + s)/(1 + s)) / cos(π/2 s/(1 + s)), s = 0.008 (Nichol, Dhariwal 2021, Improved DDPM, eq. 17).</summary>
    public static FlowPath Cosine { get; } = FlowPath.FromName("cosine");

    /// <summary><c>linear-gamma</c>: x_t = √(1 − t)·x₀ + √t·ε (Chen 2023, On the importance of noise scheduling, section 2).</summary>
    public static FlowPath LinearGamma { get; } = FlowPath.FromName("linear-gamma");

    /// <summary><c>ddpm</c>: β₁ … β₁₀₀₀ from 10⁻⁴ to 0.02 (Ho, Jain, Abbeel 2020, section 4).</summary>
    public static FlowPath Ddpm { get; } = FlowPath.FromName("ddpm");

    /// <summary><c>scaled-linear</c>: √β₁ … √β₁₀₀₀ from √0.00085 to √0.012 (Rombach et al. 2022, Latent diffusion, appendix).</summary>
    public static FlowPath ScaledLinear { get; } = FlowPath.FromName("scaled-linear");

    /// <summary><c>ddpm-cosine</c>: β_k = 1 − ᾱ_k/ᾱ_{k−1} ≤ 0.999, ᾱ = cos² (Nichol, Dhariwal 2021, eq. 17).</summary>
    public static FlowPath DdpmCosine { get; } = FlowPath.FromName("ddpm-cosine");

    /// <summary><c>ddpm-sigmoid</c>: β = 10⁻⁴ + 0.0199·sigmoid(−6 … 6) (Xu et al. 2022, GeoDiff, appendix).</summary>
    public static FlowPath DdpmSigmoid { get; } = FlowPath.FromName("ddpm-sigmoid");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<FlowPath> All { get; } =
    [
        CondOt,
        OrnsteinUhlenbeck,
        VariancePreserving,
        Trigonometric,
        SubVariancePreserving,
        VarianceExploding,
        Edm,
        Cosine,
        LinearGamma,
        Ddpm,
        ScaledLinear,
        DdpmCosine,
        DdpmSigmoid,
    ];
}
