using Fokker.Interop;

namespace Fokker;

/// <summary>How samples are made from noise: by which solver, under which guidance, with which draws.</summary>
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
                        $"{nameof(GuidanceInterval)} is {value}: expected two noise levels σ/α, the lower one first and neither below 0."
                    );
    }

    /// <summary>The share of the guided prediction whose deviation is put back to the plain one’s, from 0 to 1.</summary>
    public double? GuidanceRescale
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>A weaker model of the same data, which guidance pushes away from (Karras et al. 2024).</summary>
    public FlowModel? AutoguidanceModel { get; init; }

    /// <summary>A classifier of noisy samples whose gradient guides, <see cref="Guidance"/> times.</summary>
    public ClassifierSource? Classifier { get; init; }

    /// <summary>Classes that samples are pushed towards, and away from where the weight is negative (Liu et al. 2022).</summary>
    public IReadOnlyDictionary<int, double>? Composition { get; init; }

    /// <summary>Whether what is drawn on the way is one Brownian motion: with another number of steps the sample is the same path.</summary>
    public bool Brownian { get; init; }

    /// <summary>How many steps are found at once, by Picard’s iteration (one after the other).</summary>
    public int? ParallelWindow
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>With <see cref="ParallelWindow"/>: how far a state may still move and count as found, in deviations of an ancestral step’s noise (0.1).</summary>
    public double? ParallelTolerance
    {
        get;
        init => field = Check.Positive(value);
    }

    internal GenerationRequest ToGeneration(OpenedClassifier? classifier) =>
        ToGeneration(
            new GuidanceRequest(
                scale: Maybe.Value(Guidance),
                interval: Maybe.Pair(GuidanceInterval),
                rescale: Maybe.Value(GuidanceRescale),
                weaker: Maybe.Loaded(AutoguidanceModel?.Core),
                classifier: classifier?.Choice,
                composition: Maybe.Terms(Composition ?? new Dictionary<int, double>())
            )
        );

    /// <summary>The request, without the arrays that samples may be given.</summary>
    internal virtual SamplingRequest ToRequest(OpenedClassifier? classifier) =>
        new(
            generation: ToGeneration(classifier),
            steering: SteeringRequestModule.none,
            count: null,
            seed: 0,
            from: null,
            to: null,
            denoise: false,
            start: null,
            noise: null,
            sourceSamples: null,
            replay: null,
            brownian: Brownian,
            parallel: Maybe.Value(ParallelWindow),
            parallelTolerance: Maybe.Value(ParallelTolerance)
        );
}
