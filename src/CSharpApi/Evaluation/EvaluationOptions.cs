using Fokker.Interop;

namespace Fokker;

/// <summary>How a model is evaluated: how its samples are made, and how many sets of them are measured.</summary>
public sealed record EvaluationOptions : GenerationOptions
{
    /// <summary>The data that the samples are held against: fresh draws of a law, the tenth of a file or of memory that is kept from training. Left out, they are
    /// an exact law itself, or the data set that the model was trained on where that has a name; data of memory are to be given. To hold samples against all of a set, see <see cref="SampleBatch.DistanceToAsync(SampleBatch, int?, int?, long, FokkerRuntime?, IProgress{EvaluationProgress}?, CancellationToken)"/>.</summary>
    public DataSource? HeldOut { get; init; }

    /// <summary>Pairs of sets that each figure is a mean over (20; 10 for images).</summary>
    public int? Draws
    {
        get;
        init => field = Check.AtLeast(2, value);
    }

    /// <summary>Samples in a set (1,000, or half of what is held out where that is less).</summary>
    public int? SamplesPerDraw
    {
        get;
        init => field = Check.AtLeast(8, value);
    }

    /// <summary>The seed of the samples (that of the model’s training; 0 for a law or a field).</summary>
    public long? Seed { get; init; }

    internal EvaluationRequest ToEvaluation(OpenedClassifier? classifier) =>
        new(sampling: ToRequest(classifier), draws: Maybe.Value(Draws), samplesPerDraw: Maybe.Value(SamplesPerDraw));
}
