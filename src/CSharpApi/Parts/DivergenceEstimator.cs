namespace Fokker;

/// <summary>How the divergence of a flow is found for a likelihood.</summary>
/// <remarks>See <see cref="DivergenceEstimators"/> for those there are.</remarks>
public sealed class DivergenceEstimator : NamedPart, INamed<DivergenceEstimator>
{
    private DivergenceEstimator(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static DivergenceEstimator FromName(string name)
    {
        var found = Find(TraceModule.all, x => x.Name, "way of finding a divergence", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
