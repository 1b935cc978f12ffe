namespace Fokker;

/// <summary>How the divergence of a flow is found for a likelihood.</summary>
/// <remarks>The ways of finding a divergence that the library knows, one property each; <see cref="DivergenceEstimator.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class DivergenceEstimators
{
    /// <summary><c>exact</c>: Σᵢ ∂fᵢ/∂xᵢ (definition).</summary>
    public static DivergenceEstimator Exact { get; } = DivergenceEstimator.FromName("exact");

    /// <summary><c>rademacher</c>: vᵀ(∂f/∂x)v, v = ±1 (Hutchinson 1990; Grathwohl et al. 2019, FFJORD, eq. 7).</summary>
    public static DivergenceEstimator Rademacher { get; } = DivergenceEstimator.FromName("rademacher");

    /// <summary><c>gaussian</c>: vᵀ(∂f/∂x)v, v ~ N(0, I) (Hutchinson 1990; Grathwohl et al. 2019, FFJORD, eq. 7).</summary>
    public static DivergenceEstimator Gaussian { get; } = DivergenceEstimator.FromName("gaussian");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<DivergenceEstimator> All { get; } = [Exact, Rademacher, Gaussian];
}
