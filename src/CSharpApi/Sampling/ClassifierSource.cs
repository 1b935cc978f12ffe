namespace Fokker;

/// <summary>Where the classifier of noisy samples is from that guides a model by its gradient (Dhariwal, Nichol 2021).</summary>
public sealed record ClassifierSource
{
    private ClassifierSource(string? file) => File = file;

    /// <summary>The classifier of an exact law itself, for a model of <see cref="FlowModel.FromMixtureAsync"/>.</summary>
    public static ClassifierSource Exact { get; } = new((string?)null);

    /// <summary>A classifier that was trained by <see cref="FlowTrainer.TrainClassifierAsync"/> or by the command line.</summary>
    /// <param name="file">Its <c>model.safetensors</c>, or its run’s folder.</param>
    public static ClassifierSource FromFile(string file)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(file);
        return new ClassifierSource(file);
    }

    /// <summary>The file or folder; null for an exact law’s own.</summary>
    public string? File { get; }
}
