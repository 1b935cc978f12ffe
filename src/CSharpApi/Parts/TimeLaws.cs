namespace Fokker;

/// <summary>The law that training times are drawn from.</summary>
/// <remarks>The laws of training times that the library knows, one property each; <see cref="TimeLaw.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class TimeLaws
{
    /// <summary><c>uniform</c>: t ~ U(0, 1) (Kingma et al. 2021, VDM, appendix I.1).</summary>
    public static TimeLaw Uniform { get; } = TimeLaw.FromName("uniform");

    /// <summary><c>logit-normal</c>: logit t ~ N(0, 1²) (Esser et al. 2024, Scaling rectified flow transformers, eq. 19).</summary>
    public static TimeLaw LogitNormal { get; } = TimeLaw.FromName("logit-normal");

    /// <summary><c>log-normal</c>: log σ/α ~ N(-1.2, 1.2²) (Karras et al. 2022, EDM, table 1).</summary>
    public static TimeLaw LogNormal { get; } = TimeLaw.FromName("log-normal");

    /// <summary><c>discrete</c>: t = k/N, k ~ U{1, …, N}, N = 1000 (Ho, Jain, Abbeel 2020, DDPM, algorithm 1).</summary>
    public static TimeLaw Discrete { get; } = TimeLaw.FromName("discrete");

    /// <summary><c>u-shaped</c>: p(t) ∝ e^{4t} + e^{−4t} (Lee, Lin, Fanti 2024, Improving the training of rectified flows, section 4.1).</summary>
    public static TimeLaw UShaped { get; } = TimeLaw.FromName("u-shaped");

    /// <summary><c>importance</c>: p(t) ∝ w(t) (Song et al. 2021, Maximum likelihood training, section 5.1).</summary>
    public static TimeLaw Importance { get; } = TimeLaw.FromName("importance");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<TimeLaw> All { get; } =
    [Uniform, LogitNormal, LogNormal, Discrete, UShaped, Importance];
}
