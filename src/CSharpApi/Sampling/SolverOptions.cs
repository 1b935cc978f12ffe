using Fokker.Interop;

namespace Fokker;

/// <summary>How a model’s equation is solved: what sampling, densities, latents and evaluations have in common. Anything you leave out gets a default chosen
/// for your model.</summary>
/// <remarks>Immutable: <c>options with { Steps = 20 }</c> makes another. Each property refuses a value that is out of its range with an exception that names
/// it; what the model cannot do is refused in the same way by the request.</remarks>
public abstract record SolverOptions
{
    private protected SolverOptions() { }

    /// <summary>The method (Heun’s for samples; Dormand and Prince’s with a tolerance, and for densities and latents of which nothing else is said). Densities and latents take a Runge–Kutta method, which follows the flow itself.</summary>
    public Solver? Solver { get; init; }

    /// <summary>How its steps are spaced (the solver’s own).</summary>
    public TimeGrid? Grid { get; init; }

    /// <summary>Its steps, the denoising one at the end included, if there is one (25 for points, 20 for images).</summary>
    public int? Steps
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The error of a step, relative to the state, for each sample by itself: steps are then chosen by it. Densities and
    /// latents of which neither solver, grid nor steps are said are found to 1e-5, of images to 1e-3.</summary>
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

    /// <summary>The class of all samples, by its number. Without one, samples that are drawn take the classes in turn, and samples that are given keep their own.</summary>
    public int? Label
    {
        get;
        init => field = Check.AtLeast(0, value);
    }

    /// <summary>What the network is told of the samples, for a model of data that are <see cref="DataSource.GivenColumns"/>, <see cref="DataSource.GivenLowResolution"/> or
    /// <see cref="DataSource.GivenInpainting"/>: one row or image for all samples, or one for each, in their own units, NaN for what is not told. <see cref="FlowModel.ReadGiven"/> reads a file.</summary>
    public SampleBatch? Given { get; init; }

    /// <summary>Samples that go through the network at once; what is drawn does not depend on it.</summary>
    public int? BatchSize
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    internal GenerationRequest ToGeneration(GuidanceRequest guidance) =>
        new(
            solver: Maybe.Reference(Solver?.Core),
            grid: Maybe.Reference(Grid?.Core),
            steps: Maybe.Value(Steps),
            batch: Maybe.Value(BatchSize),
            @class: Maybe.Class(Label),
            given: Maybe.Array(Given?.ToCore()),
            relativeTolerance: Maybe.Value(RelativeTolerance),
            absoluteTolerance: Maybe.Value(AbsoluteTolerance),
            guidance: guidance
        );
}
