using Fokker.Interop;

namespace Fokker;

/// <summary>How a flow is followed between data and noise.</summary>
public record FlowOptions : SolverOptions
{
    internal GenerationRequest ToGeneration() => ToGeneration(GuidanceRequestModule.none);
}

/// <summary>How log-densities are found.</summary>
public sealed record LikelihoodOptions : FlowOptions
{
    /// <summary>How the flow’s divergence is found (exactly for vectors, by Rademacher’s probes for images).</summary>
    public DivergenceEstimator? Divergence { get; init; }

    /// <summary>How many random directions estimate the divergence, the same along the whole trajectory (1).</summary>
    public int? Probes
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>Whether the density is that of an exact law’s closed form, or that of the flow (the closed form where there is one).</summary>
    public bool? ClosedForm { get; init; }

    /// <summary>The time t of the density p_t of x_t (0, the data).</summary>
    public double? Time
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>Bytes that the graph of the flow’s divergence may take.</summary>
    public long? Memory
    {
        get;
        init => field = Check.AtLeast(1L, value);
    }

    /// <summary>The seed of the probes and of the dequantization of pixels.</summary>
    public long Seed { get; init; }

    internal DensityRequest ToRequest() =>
        new(
            generation: ToGeneration(),
            method: Maybe.Method(ClosedForm),
            trace: Maybe.Trace(Divergence?.ToString()),
            probes: Maybe.Value(Probes),
            memory: Maybe.Value(Memory),
            time: Maybe.Value(Time)
        );
}

/// <summary>How one sample is turned into another through their latents.</summary>
public sealed record InterpolationOptions : FlowOptions
{
    /// <summary>How many places there are on the way, both ends among them.</summary>
    public int Frames
    {
        get;
        init => field = Check.AtLeast(2, value);
    } = 9;

    /// <summary>Whether the way is on the sphere that noise lies near (Shoemake 1985), or straight.</summary>
    public bool Spherical { get; init; } = true;
}

/// <summary>Log-densities of samples, in nats and in the data’s units.</summary>
/// <param name="Values">log p of each sample.</param>
/// <param name="Mean">Their mean.</param>
/// <param name="StandardError">The standard error of the mean over the samples; NaN for one sample.</param>
/// <param name="BitsPerDimension">−mean/(d log 2).</param>
/// <param name="ProbeErrors">Of each sample, the standard error over the probes of a stochastic divergence; empty where it was exact or one probe.</param>
/// <param name="Evaluations">Evaluations of the network, a sample on the average; 0 for a closed form.</param>
public sealed record LogLikelihoods(
    IReadOnlyList<double> Values,
    double Mean,
    double StandardError,
    double BitsPerDimension,
    IReadOnlyList<double> ProbeErrors,
    double Evaluations
);

/// <summary>A state of samples on their way from noise to data.</summary>
/// <param name="Step">Steps that were made, 0 at the noise.</param>
/// <param name="Steps">Steps there are.</param>
/// <param name="Time">The time t, falling from 1 to 0.</param>
/// <param name="State">x_t, in the data’s units.</param>
/// <param name="Denoised">What the network takes the data for, E[x₀ | x_t], where the solver asks for it.</param>
public sealed record SampleStep(int Step, int Steps, double Time, SampleBatch State, SampleBatch? Denoised);

/// <summary>A place on the way from one sample to another.</summary>
/// <param name="Fraction">The part of the way that is behind it, from 0 to 1.</param>
/// <param name="Samples">The samples there.</param>
public sealed record InterpolationFrame(double Fraction, SampleBatch Samples);
