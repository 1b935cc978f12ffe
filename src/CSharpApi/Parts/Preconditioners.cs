namespace Fokker;

/// <summary>What is put around a network so that its input and output are of unit size.</summary>
/// <remarks>The preconditionings that the library knows, one property each; <see cref="Preconditioner.FromName"/> finds one by the name that the command line has for it.</remarks>
public static class Preconditioners
{
    /// <summary><c>none</c>: the network says the prediction itself.</summary>
    public static Preconditioner None { get; } = Preconditioner.FromName("none");

    /// <summary><c>edm</c>: D = c_skip x + c_out F(c_in x), unit variances in and out (Karras et al. 2022, EDM, table 1 and appendix B.6).</summary>
    public static Preconditioner Edm { get; } = Preconditioner.FromName("edm");

    /// <summary><c>vp</c>: D = (x − σ F)/α, told 999 t (Song et al. 2021; Karras et al. 2022, table 1).</summary>
    public static Preconditioner VariancePreserving { get; } = Preconditioner.FromName("vp");

    /// <summary><c>ve</c>: D = (x + σ F)/α, told log ½σ (Song et al. 2021; Karras et al. 2022, table 1).</summary>
    public static Preconditioner VarianceExploding { get; } = Preconditioner.FromName("ve");

    /// <summary><c>iddpm</c>: D = (x − σ F)/α, told the step of 1000 (Nichol, Dhariwal 2021; Karras et al. 2022, table 1).</summary>
    public static Preconditioner ImprovedDdpm { get; } = Preconditioner.FromName("iddpm");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Preconditioner> All { get; } =
    [None, Edm, VariancePreserving, VarianceExploding, ImprovedDdpm];
}
