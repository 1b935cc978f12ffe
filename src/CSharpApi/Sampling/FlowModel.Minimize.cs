using Fokker.Interop;

namespace Fokker;

/// <summary>How a model’s energy is to be minimized. Anything you leave out gets a default.</summary>
public sealed record MinimizeOptions
{
    /// <summary>Where to begin, in the data’s units; random points where nothing is given.</summary>
    public SampleBatch? Start { get; init; }

    /// <summary>How many random points to begin at (1,000; 16 images).</summary>
    public int? Count
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The class of all points, where the model is told one (all classes in turn).</summary>
    public int? Label { get; init; }

    /// <summary>Steps of the descent (500).</summary>
    public int? Steps
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>η, the length of a step down the slope, for data of unit variance (0.01).</summary>
    public double? Rate { get; init; }

    /// <summary>μ, the share of a step that the next one keeps (0.9).</summary>
    public double? Momentum { get; init; }

    /// <summary>The seed of the random points.</summary>
    public long Seed { get; init; }
}

/// <summary>Minima of a model’s energy E.</summary>
/// <param name="Points">Where the descents ended, in the data’s units.</param>
/// <param name="Before">E where each began.</param>
/// <param name="After">E where each ended.</param>
/// <param name="Slopes">‖∇E‖ where each ended: small at a minimum, in the network’s units.</param>
public sealed record EnergyMinima(
    SampleBatch Points,
    IReadOnlyList<double> Before,
    IReadOnlyList<double> After,
    IReadOnlyList<double> Slopes
);

public sealed partial class FlowModel
{
    /// <summary>Inference with an energy: points x that minimize E(x), by descent with momentum. A model trained by an energy’s loss has one, and an exact mixture: −log p.</summary>
    /// <param name="options">Where to begin, and how to descend.</param>
    /// <param name="cancellationToken">Ends it before the next step.</param>
    /// <exception cref="ArgumentException">The model has no energy, or an option asks for what cannot be; the exception names it.</exception>
    public Task<EnergyMinima> MinimizeAsync(
        MinimizeOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        var asked = options ?? new MinimizeOptions();

        if (asked.Start is { } start)
        {
            RequireShape(start, nameof(options));
        }

        return Request(
            "minimize",
            () =>
            {
                var found = FlowWork.Minimize(
                    Core,
                    asked.Start?.ToCore(),
                    asked.Count,
                    asked.Label,
                    asked.Steps,
                    asked.Rate,
                    asked.Momentum,
                    asked.Seed,
                    cancellationToken.ThrowIfCancellationRequested
                );
                return new EnergyMinima(Batch(found.X, null), found.Before, found.After, found.Slope);
            },
            cancellationToken
        );
    }
}
