using Fokker.Interop;

namespace Fokker;

/// <summary>How samples are drawn. Anything you leave out gets a default chosen for your model.</summary>
/// <remarks>Immutable: <c>options with { Seed = 2 }</c> makes another. Each property refuses a value that is out of its range with an exception that names
/// it; what the model cannot do is refused in the same way by the request.</remarks>
public sealed record SampleOptions : GenerationOptions
{
    /// <summary>How many samples (one, or as many as the arrays hold that are given).</summary>
    public int? Count
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The seed of the noise: the same gives the same samples, and those of the command line.</summary>
    public long Seed { get; init; }

    /// <summary>The time to start at, from 0 to 1 (the noisy end).</summary>
    public double? StartTime
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>The time to end at, with samples of x_t (the data).</summary>
    public double? EndTime
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>Whether the last step goes from <see cref="EndTime"/> to the expected data, E[x₀ | x], in the place of samples of x_t.</summary>
    public bool Denoise { get; init; }

    /// <summary>The standard normal numbers to start from, [n, …]; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Noise { get; init; }

    /// <summary>The states to start from, [n, …] in the network’s units; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Start { get; init; }

    /// <summary>For a model that was trained with a <see cref="TrainingOptions.Source"/>: the points to start from, [n, …] in the source’s own units; drawn where
    /// there are none. They then say how many samples.</summary>
    public SampleBatch? SourceSamples { get; init; }

    /// <summary>The standard normal numbers that a stochastic solver draws on its way, one batch of [n, …] a draw, in their order.</summary>
    public IReadOnlyList<SampleBatch>? Replay { get; init; }

    /// <summary>What is seen of the samples, in the data’s units; <see cref="Observed"/> says what was seen. They are then samples of what may have been there.</summary>
    public Measurement? Measurement { get; init; }

    /// <summary>With <see cref="Measurement"/>: what was seen, one for all samples or one for each, [n, …].</summary>
    public SampleBatch? Observed { get; init; }

    /// <summary>What samples are to have more of: a function of samples [n, …] in the data’s units to a number of each, [n], made of the operations of
    /// <see cref="Fokker.Tensor"/>. The law becomes p(x) e^{λ r(x)}, λ being <see cref="Tilt"/>.</summary>
    public Func<Fokker.Tensor, Fokker.Tensor>? Reward { get; init; }

    /// <summary>With <see cref="Reward"/>: how strongly it counts (1).</summary>
    public double? Tilt
    {
        get;
        init => field = Check.Finite(value);
    }

    /// <summary>How samples are steered (moment matching towards what was seen, the gradient of a reward).</summary>
    public Steerer? Steerer { get; init; }

    /// <summary>Particles for each sample, weighed on their way (64 for twisted diffusion and Feynman–Kac steering; none elsewhere).</summary>
    public int? Particles
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>With <see cref="Measurement"/>, for a model of <see cref="FlowModel.FromMixtureAsync"/>: its law takes in what was seen, exactly, in a
    /// steerer’s place.</summary>
    public bool ExactPosterior { get; init; }

    /// <summary>With <see cref="Particles"/>: a map along the flow of the same data, whose end they are weighed by.</summary>
    public FlowModel? LookAheadModel { get; init; }

    internal override SamplingRequest ToRequest(OpenedClassifier? classifier)
    {
        var isGiven =
            (Noise ?? Start ?? SourceSamples) is not null
            || Replay is not null
            || Observed is { Count: > 1 }
            || Given is { Count: > 1 };

        return new(
            generation: ToGeneration(classifier),
            steering: SteeringWork.Request(
                Measurement?.Core,
                Observed?.ToCore(),
                Reward is null ? null : SteeringWork.Reward(Reward),
                Tilt,
                Steerer?.Core,
                Particles,
                ExactPosterior,
                LookAheadModel?.Core
            ),
            count: Maybe.Value(Count ?? (isGiven ? null : 1)),
            seed: Seed,
            from: Maybe.Value(StartTime),
            to: Maybe.Value(EndTime),
            denoise: Denoise,
            start: Maybe.Array(Start?.ToCore()),
            noise: Maybe.Array(Noise?.ToCore()),
            sourceSamples: Maybe.Array(SourceSamples?.ToCore()),
            replay: Maybe.Array(Replay is null ? null : Stacked(Replay)),
            brownian: Brownian,
            parallel: Maybe.Value(ParallelWindow),
            parallelTolerance: Maybe.Value(ParallelTolerance)
        );
    }

    // [draws, n, …]: what the library takes as one array is a list here, whose batches may differ.
    private static Fokker.Tensor Stacked(IReadOnlyList<SampleBatch> draws)
    {
        if (draws.Count == 0)
        {
            throw new ArgumentException(
                $"{nameof(Replay)} is empty: expected a batch of samples for each draw.",
                nameof(Replay)
            );
        }

        for (var k = 1; k < draws.Count; k++)
        {
            if (draws[k].Describe() != draws[0].Describe())
            {
                throw new ArgumentException(
                    $"{nameof(Replay)}[{k}] is {draws[k].Describe()}: expected {draws[0].Describe()}, as the first draw.",
                    nameof(Replay)
                );
            }
        }

        return TensorModule.stack(0, draws.Select(draw => draw.ToCore()));
    }
}
