using System.Globalization;
using Fokker.Bridge;

namespace Fokker;

/// <summary>How samples are made of noise, whoever asks for them: by which solver, under which guidance, from which draws.</summary>
public abstract record GenerationOptions : SolverOptions
{
    private protected GenerationOptions() { }

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

    internal override SamplingRequest ToRequest()
    {
        var request = base.ToRequest();
        request.Brownian = Brownian;
        request.Window = ParallelWindow;
        request.WindowTolerance = ParallelTolerance;
        request.Guidance = Guidance;
        request.GuidanceLow = GuidanceInterval?.Low;
        request.GuidanceHigh = GuidanceInterval?.High;
        request.GuidanceRescale = GuidanceRescale;
        request.Classifier = Classifier;
        request.Composition = Composition is null
            ? null
            : string.Join(
                ',',
                Composition.Select(term => string.Create(CultureInfo.InvariantCulture, $"{term.Key}:{term.Value:R}"))
            );
        return request;
    }
}
