namespace Fokker;

/// <summary>What an evaluation is busy with.</summary>
public enum EvaluationStage
{
    /// <summary>Drawing samples.</summary>
    Sampling,

    /// <summary>Training the classifier whose features the Fréchet distance is on; it is kept for the next time.</summary>
    Classifier,

    /// <summary>Measuring distances.</summary>
    Measuring,
}

/// <summary>How far an evaluation has come.</summary>
/// <param name="Stage">What it is busy with.</param>
/// <param name="Fraction">The part of that which is done, from 0 to 1.</param>
public readonly record struct EvaluationProgress(EvaluationStage Stage, double Fraction);

/// <summary>Reports an evaluation’s progress, and checks for cancellation.</summary>
internal sealed class EvaluationTeller(IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
{
    // Whoever listens has no use for more than a hundred reports of a stage.
    private const double Least = 0.01;

    private EvaluationProgress? last;

    public void Tell(Stage core, double share)
    {
        cancellation.ThrowIfCancellationRequested();

        if (progress is null)
        {
            return;
        }

        var stage =
            core.IsSampling ? EvaluationStage.Sampling
            : core.IsClassifier ? EvaluationStage.Classifier
            : EvaluationStage.Measuring;

        if (last is { } told && told.Stage == stage && share < told.Fraction + Least && share < 1.0)
        {
            return;
        }

        var now = new EvaluationProgress(stage, share);
        last = now;
        progress.Report(now);
    }
}
