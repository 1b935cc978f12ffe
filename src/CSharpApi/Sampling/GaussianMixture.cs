using Fokker.Interop;

namespace Fokker;

/// <summary>A mixture of Gaussians, Σ wₖ N(mₖ, diag(sₖ²)): a law whose score, velocity and density are known exactly, in a network’s place.</summary>
public sealed class GaussianMixture
{
    private readonly Func<Mixture> make;

    private GaussianMixture(string name, Func<Mixture> make)
    {
        Name = name;
        this.make = make;
    }

    /// <summary>A mixture of components with a deviation for each coordinate.</summary>
    /// <param name="weights">One a component, positive; they are scaled to sum to 1.</param>
    /// <param name="means">The mean of each component.</param>
    /// <param name="deviations">The standard deviations of each component, one a coordinate.</param>
    /// <param name="classes">The class of each component, from 0; each its own where none are given.</param>
    /// <exception cref="ArgumentException">The arrays do not agree.</exception>
    public GaussianMixture(double[] weights, double[][] means, double[][] deviations, int[]? classes = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(means);
        ArgumentNullException.ThrowIfNull(deviations);

        if (weights.Length == 0)
        {
            throw new ArgumentException("There are no components.", nameof(weights));
        }

        foreach (var (rows, name) in new[] { (means, nameof(means)), (deviations, nameof(deviations)) })
        {
            if (rows.Length != weights.Length || rows.Any(row => row.Length != means[0].Length))
            {
                throw new ArgumentException(
                    $"Expected {weights.Length} rows of {means[0].Length} numbers, one row a component.",
                    name
                );
            }
        }

        Name = "mixture";
        make = () => ModelWork.Mixture(weights, means, deviations, classes);
    }

    /// <summary>The mixture of a JSON file, as the command line’s <c>--oracle</c> takes it.</summary>
    /// <param name="path">The file.</param>
    public static GaussianMixture Load(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return new GaussianMixture(path, () => ModelWork.MixtureFile(path));
    }

    /// <summary>What it is called.</summary>
    public string Name { get; }

    internal Mixture ToCore() => make();
}
