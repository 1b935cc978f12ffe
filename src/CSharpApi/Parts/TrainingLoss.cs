namespace Fokker;

/// <summary>What a network is trained to minimize.</summary>
/// <remarks>See <see cref="Losses"/> for those there are.</remarks>
public sealed class TrainingLoss : NamedPart, INamed<TrainingLoss>
{
    private TrainingLoss(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static TrainingLoss FromName(string name)
    {
        var found = Find(Objectives.all.Append(Objectives.classifier), x => x.Name, "loss", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
