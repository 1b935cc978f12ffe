namespace Fokker;

/// <summary>How the data of a batch are paired with the noise, or with samples of another source.</summary>
/// <remarks>See <see cref="Couplings"/> for those there are.</remarks>
public sealed class MinibatchCoupling : NamedPart, INamed<MinibatchCoupling>
{
    private MinibatchCoupling(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static MinibatchCoupling FromName(string name)
    {
        var found = Find(CouplingModule.all, x => x.Name, "coupling", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
