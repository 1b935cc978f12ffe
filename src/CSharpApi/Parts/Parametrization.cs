namespace Fokker;

/// <summary>What a network’s output means.</summary>
/// <remarks>See <see cref="Parametrizations"/> for those there are.</remarks>
public sealed class Parametrization : NamedPart, INamed<Parametrization>
{
    private Parametrization(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static Parametrization FromName(string name)
    {
        var found = Find(PredictionModule.all, x => x.Name, "parametrization", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
