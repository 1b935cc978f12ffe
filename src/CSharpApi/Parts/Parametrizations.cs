namespace Fokker;

/// <summary>What a network’s output means.</summary>
/// <remarks>The parametrizations that the library knows, one property each; <see cref="Parametrization.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class Parametrizations
{
    /// <summary><c>velocity</c>: α̇ x₀ + σ̇ ε (Lipman et al. 2023, eq. 15).</summary>
    public static Parametrization Velocity { get; } = Parametrization.FromName("velocity");

    /// <summary><c>noise</c>: ε (Ho, Jain, Abbeel 2020, DDPM, eq. 12).</summary>
    public static Parametrization Noise { get; } = Parametrization.FromName("noise");

    /// <summary><c>data</c>: x₀ (Vincent 2011; Karras et al. 2022, EDM).</summary>
    public static Parametrization Data { get; } = Parametrization.FromName("data");

    /// <summary><c>v</c>: α ε − σ x₀ (Salimans, Ho 2022, Progressive distillation, appendix D).</summary>
    public static Parametrization V { get; } = Parametrization.FromName("v");

    /// <summary><c>score</c>: −ε/σ (Song et al. 2021; Vincent 2011).</summary>
    public static Parametrization Score { get; } = Parametrization.FromName("score");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Parametrization> All { get; } = [Velocity, Noise, Data, V, Score];
}
