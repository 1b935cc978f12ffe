namespace Fokker;

/// <summary>How far a training has come.</summary>
/// <param name="Step">The step that was made, from 1.</param>
/// <param name="Steps">The steps that are to be made.</param>
/// <param name="Loss">The mean of the loss over the step’s batch.</param>
/// <param name="GradientNorm">The length of the gradient, before it was cut.</param>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Elapsed">The time of training so far, that before a resumption included.</param>
public readonly record struct TrainingProgress(
    long Step,
    long Steps,
    double Loss,
    double GradientNorm,
    double LearningRate,
    TimeSpan Elapsed
)
{
    /// <summary>The part that is done, from 0 to 1.</summary>
    public double Fraction => Steps == 0 ? 1.0 : (double)Step / Steps;
}

/// <summary>What a training came to.</summary>
/// <param name="Steps">The steps that were made.</param>
/// <param name="Elapsed">The time it took, that before a resumption included.</param>
/// <param name="LastLoss">The loss of the last step’s batch; NaN where there was none to make.</param>
/// <param name="Folder">The run’s folder; null where none was asked for.</param>
public sealed record TrainingSummary(long Steps, TimeSpan Elapsed, double LastLoss, string? Folder);

/// <summary>A training that was cancelled. What it had learned is in a checkpoint: <see cref="FlowTrainer.ResumeFrom"/> goes on with it.</summary>
public sealed class TrainingCanceledException : OperationCanceledException
{
    internal TrainingCanceledException(string folder, long step, CancellationToken token)
        : base(
            $"Training was cancelled after step {step}; FlowTrainer.ResumeFrom(\"{folder}\") goes on with it.",
            token
        )
    {
        Folder = folder;
        Step = step;
    }

    /// <summary>The folder of the run that was saved.</summary>
    public string Folder { get; }

    /// <summary>Steps that were made.</summary>
    public long Step { get; }
}
