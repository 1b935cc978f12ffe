using System.Globalization;
using Fokker.Bridge;

namespace Fokker;

/// <summary>How samples are drawn. What is not said is as suits the model.</summary>
/// <remarks>Immutable: <c>options with { Seed = 2 }</c> makes another. Each property refuses what it cannot be with an exception that names it.</remarks>
public sealed record SampleOptions
{
    /// <summary>How many samples.</summary>
    public int Count
    {
        get;
        init => field = Check.AtLeast(1, value);
    } = 1;

    /// <summary>The method (Heun’s; with a tolerance, Dormand and Prince’s).</summary>
    public Solver? Solver { get; init; }

    /// <summary>How its steps are spaced (the solver’s own).</summary>
    public TimeGrid? Grid { get; init; }

    /// <summary>Its steps (25 for points, 10 for images).</summary>
    public int? Steps
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The error of a step, relative to the state, for each sample by itself: steps are then chosen by it.</summary>
    public double? RelativeTolerance
    {
        get;
        init => field = Check.Positive(value);
    }

    /// <summary>The same where a state is near 0 (as <see cref="RelativeTolerance"/>).</summary>
    public double? AbsoluteTolerance
    {
        get;
        init => field = Check.Positive(value);
    }

    /// <summary>The class of all samples, by its number; without one they take turns.</summary>
    public int? Label
    {
        get;
        init => field = Check.AtLeast(0, value);
    }

    /// <summary>How far samples are pushed towards their class: 0 is unconditional, 1 plain, 3 a good deal.</summary>
    public double? Guidance
    {
        get;
        init => field = Check.Finite(value);
    }

    /// <summary>The noise levels σ/α between which guidance acts (everywhere).</summary>
    public (double Low, double High)? GuidanceInterval
    {
        get;
        init =>
            field =
                value is null || (value.Value.Low >= 0.0 && value.Value.High > value.Value.Low)
                    ? value
                    : throw new ArgumentOutOfRangeException(
                        nameof(GuidanceInterval),
                        value,
                        $"{nameof(GuidanceInterval)} is {value}: expected two noise levels, the lower one first."
                    );
    }

    /// <summary>The share of the guided prediction whose deviation is put back to the plain one’s, from 0 to 1.</summary>
    public double? GuidanceRescale
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>A weaker model that guidance pushes away from, in the place of no class.</summary>
    public FlowModel? WeakerModel { get; init; }

    /// <summary>The folder of a classifier of noisy samples (<see cref="FlowTrainer.TrainClassifierAsync"/>) whose gradient guides, <see cref="Guidance"/>
    /// times; <c>exact</c> for a mixture’s own.</summary>
    public string? Classifier { get; init; }

    /// <summary>Classes that samples are pushed towards, and away from where the weight is negative (Liu et al. 2022).</summary>
    public IReadOnlyDictionary<int, double>? Composition { get; init; }

    /// <summary>The seed of the noise: the same gives the same samples, and those of the command line.</summary>
    public long Seed { get; init; }

    /// <summary>Samples that go through the network at once; what is drawn does not depend on it.</summary>
    public int? BatchSize
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The time to start at, from 0 to 1 (the noisy end).</summary>
    public double? From
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>The time to end at, with samples of x_t (the data).</summary>
    public double? To
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>The standard normal numbers to start from, [n, …]; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Noise { get; init; }

    /// <summary>The states to start from, [n, …] in the network’s units; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Start { get; init; }

    /// <summary>The standard normal numbers that a stochastic solver draws on its way, one batch of [n, …] a draw, in their order.</summary>
    public IReadOnlyList<SampleBatch>? Replay { get; init; }

    /// <summary>Whether what is drawn on the way is one Brownian motion: with another number of steps the sample is the same path.</summary>
    public bool Brownian { get; init; }

    /// <summary>How many steps are found at once, by Picard’s iteration; one after the other where it is not said.</summary>
    public int? ParallelWindow
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>With <see cref="ParallelWindow"/>: how far a state may still move and stand, in deviations of an ancestral step’s noise.</summary>
    public double ParallelTolerance { get; init; } = 0.1;

    internal int SampleCount
    {
        get
        {
            if (Noise is not null && Start is not null)
            {
                throw new ArgumentException(
                    $"{nameof(Noise)} and {nameof(Start)} both say where to start.",
                    nameof(Noise)
                );
            }

            return Noise?.Count ?? Start?.Count ?? Replay?.FirstOrDefault()?.Count ?? Count;
        }
    }

    internal SamplingRequest ToRequest() =>
        new()
        {
            Sampler = Solver?.Core,
            Grid = Grid?.Core,
            Steps = Steps,
            Batch = BatchSize,
            Label = Label,
            Relative = RelativeTolerance,
            Absolute = AbsoluteTolerance,
            From = From,
            To = To,
            Brownian = Brownian,
            Start = Start?.ToCore(),
            Noise = Noise?.ToCore(),
            Replay = Replay is null ? null : TensorModule.stack(0, Replay.Select(draw => draw.ToCore())),
            Window = ParallelWindow,
            WindowTolerance = ParallelTolerance,
            Guidance = Guidance,
            GuidanceLow = GuidanceInterval?.Low,
            GuidanceHigh = GuidanceInterval?.High,
            GuidanceRescale = GuidanceRescale,
            Classifier = Classifier,
            Composition = Composition is null
                ? null
                : string.Join(
                    ',',
                    Composition.Select(term =>
                        string.Create(CultureInfo.InvariantCulture, $"{term.Key}:{term.Value:R}")
                    )
                ),
        };
}
