namespace Fokker;

/// <summary>How much each time counts in a loss.</summary>
/// <remarks>See <see cref="LossWeights"/> for those there are.</remarks>
public sealed class LossWeight : NamedPart, INamed<LossWeight>
{
    private LossWeight(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static LossWeight FromName(string name)
    {
        var found = Find(WeightModule.all, x => x.Name, "weight", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
