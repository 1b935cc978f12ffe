namespace Fokker;

/// <summary>How the data of a batch are paired with the noise, or with samples of another source.</summary>
/// <remarks>The couplings that the library knows, one property each; <see cref="MinibatchCoupling.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class Couplings
{
    /// <summary><c>independent</c>: π = p₀ ⊗ p₁ (Lipman et al. 2023).</summary>
    public static MinibatchCoupling Independent { get; } = MinibatchCoupling.FromName("independent");

    /// <summary><c>ot</c>: argmin_π Σ ‖x₀ᵢ − x₁π(i)‖² (Tong et al. 2024, OT-CFM, section 3.2; Pooladian et al. 2023).</summary>
    public static MinibatchCoupling OptimalTransport { get; } = MinibatchCoupling.FromName("ot");

    /// <summary><c>sinkhorn</c>: argmin_P ⟨P, ‖x₀ − x₁‖²⟩ + ε KL(P | p₀ ⊗ p₁) (Cuturi 2013; Tong et al. 2024, SB-CFM, section 3.3).</summary>
    public static MinibatchCoupling Sinkhorn { get; } = MinibatchCoupling.FromName("sinkhorn");

    /// <summary><c>unbalanced</c>: argmin_P ⟨P, ‖x₀ − x₁‖²⟩ + ε KL(P | p₀ ⊗ p₁) + ρ KL(P1 | p₀) + ρ KL(Pᵀ1 | p₁) (Chizat et al. 2018; Eyring et al. 2024).</summary>
    public static MinibatchCoupling Unbalanced { get; } = MinibatchCoupling.FromName("unbalanced");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<MinibatchCoupling> All { get; } = [Independent, OptimalTransport, Sinkhorn, Unbalanced];
}
