namespace Fokker;

/// <summary>How the steps of a solver are spaced in time.</summary>
/// <remarks>The grids that the library knows, one property each; <see cref="TimeGrid.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class TimeGrids
{
    /// <summary><c>uniform</c>: t = t₁ + u (t₀ − t₁).</summary>
    public static TimeGrid Uniform { get; } = TimeGrid.FromName("uniform");

    /// <summary><c>lambda</c>: λ = λ₁ + u (λ₀ − λ₁) (Lu et al. 2022, DPM-Solver, section 3.3).</summary>
    public static TimeGrid Lambda { get; } = TimeGrid.FromName("lambda");

    /// <summary><c>karras</c>: ς^{1/ρ} = ς₁^{1/ρ} + u (ς₀^{1/ρ} − ς₁^{1/ρ}), ς = σ/α, ρ = 7 (Karras et al. 2022, EDM, eq. 5).</summary>
    public static TimeGrid Karras { get; } = TimeGrid.FromName("karras");

    /// <summary><c>edm-flow</c>: t at which σ/α = ς, ς^{1/7} in equal steps from 80 to 0.002 (Karras et al. 2022, EDM, eq. 5; as used for flow matching by Lipman et al. 2024, Flow matching guide and code).</summary>
    public static TimeGrid EdmFlow { get; } = TimeGrid.FromName("edm-flow");

    /// <summary><c>quadratic</c>: t = t₀ + (1 − u)² (t₁ − t₀) (Song, Meng, Ermon 2021, DDIM, appendix D.2).</summary>
    public static TimeGrid Quadratic { get; } = TimeGrid.FromName("quadratic");

    /// <summary><c>cosine</c>: t = t₀ + ½ (1 + cos πu) (t₁ − t₀) (Trefethen 2000, Spectral methods, chapter 5).</summary>
    public static TimeGrid Cosine { get; } = TimeGrid.FromName("cosine");

    /// <summary><c>shifted</c>: t = s u/(1 + (s − 1) u), u in equal steps, s = 3 (Esser et al. 2024, Scaling rectified flow transformers, eq. 23; Hoogeboom, Heek, Salimans 2023, Simple diffusion, section 3.1).</summary>
    public static TimeGrid Shifted { get; } = TimeGrid.FromName("shifted");

    /// <summary><c>leading</c>: t = (1 + k ⌊T/N⌋)/T, k = N − 1 … 0, T = 1000 (Ho et al. 2020; Lin et al. 2024, Common diffusion noise schedules are flawed, table 2).</summary>
    public static TimeGrid Leading { get; } = TimeGrid.FromName("leading");

    /// <summary><c>trailing</c>: t = round(k T/N)/T, k = N … 1, T = 1000 (Lin et al. 2024, Common diffusion noise schedules are flawed, table 2).</summary>
    public static TimeGrid Trailing { get; } = TimeGrid.FromName("trailing");

    /// <summary><c>linspace</c>: t = (1 + round(k (T − 1)/(N − 1)))/T, k = N − 1 … 0, T = 1000 (Nichol, Dhariwal 2021; Lin et al. 2024, table 2).</summary>
    public static TimeGrid Linspace { get; } = TimeGrid.FromName("linspace");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<TimeGrid> All { get; } =
    [Uniform, Lambda, Karras, EdmFlow, Quadratic, Cosine, Shifted, Leading, Trailing, Linspace];
}
