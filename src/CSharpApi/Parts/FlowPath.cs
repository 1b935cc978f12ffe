using Fokker.Interop;

namespace Fokker;

/// <summary>How data become noise: x_t = α(t)·x₀ + σ(t)·ε, from the data at t = 0 to noise at t = 1.</summary>
/// <remarks>See <see cref="FlowPaths"/> for those of the literature.</remarks>
public sealed partial class FlowPath
{
    private FlowPath(PartName part)
        : base(Catalogue.paths.Described, part) => Core = Catalogue.paths.Make(part);

    private FlowPath(GaussianPath core)
        : base(core.Name, core.Equation, core.Reference, core)
    {
        Core = core;
        IsOwn = true;
    }

    internal GaussianPath Core { get; }

    /// <summary>Whether it is not one of the library's list.</summary>
    internal bool IsOwn { get; }

    /// <summary>The path of a model: the library's where its name is one of these, with or without numbers.</summary>
    internal static FlowPath Of(GaussianPath core) =>
        Catalogue.paths.Has(core.Name) ? FromName(core.Name) : new FlowPath(core);

    /// <summary>A path of your own, from its two scales and their derivatives.</summary>
    /// <param name="name">What to call it; a run that is trained on it has it in its <c>run.json</c>.</param>
    /// <param name="alpha">α(t), the scale of the data: 1 at t = 0.</param>
    /// <param name="alphaDerivative">dα/dt.</param>
    /// <param name="sigma">σ(t), the scale of the noise: 0, or nearly, at t = 0.</param>
    /// <param name="sigmaDerivative">dσ/dt.</param>
    /// <exception cref="ArgumentException">A derivative disagrees with differences of its function, or a value is not finite inside (0, 1); the
    /// exception names the argument and the place. Or the name is one of the library's.</exception>
    public static FlowPath FromFunctions(
        string name,
        Func<double, double> alpha,
        Func<double, double> alphaDerivative,
        Func<double, double> sigma,
        Func<double, double> sigmaDerivative
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentNullException.ThrowIfNull(alpha);
        ArgumentNullException.ThrowIfNull(alphaDerivative);
        ArgumentNullException.ThrowIfNull(sigma);
        ArgumentNullException.ThrowIfNull(sigmaDerivative);

        if (Catalogue.paths.Has(name))
        {
            throw new ArgumentException($"The library has a path of the name '{name}' already.", nameof(name));
        }

        return Translate.Errors(() =>
            new FlowPath(ModelWork.PathOfFunctions(name, alpha, alphaDerivative, sigma, sigmaDerivative))
        );
    }

    /// <summary>α(t), the scale of the data.</summary>
    /// <param name="time">t, from 0 to 1.</param>
    public double Alpha(double time) => CurveModule.eval(Core.Alpha, time);

    /// <summary>σ(t), the scale of the noise.</summary>
    /// <param name="time">t, from 0 to 1.</param>
    public double Sigma(double time) => CurveModule.eval(Core.Sigma, time);

    /// <summary>λ(t) = log(α/σ), half of the logarithm of the signal-to-noise ratio.</summary>
    /// <param name="time">t, from 0 to 1.</param>
    public double Lambda(double time) => CurveModule.eval(Core.Lambda, time);
}
