using System.Globalization;

namespace Fokker;

/// <summary>A distance between the laws of samples and of data: a mean over pairs of sets, beside its noise floor.</summary>
/// <param name="Name">Its name, as in the command line’s JSON.</param>
/// <param name="Equation">What is measured.</param>
/// <param name="Value">The mean over pairs of a set of samples and a set of data.</param>
/// <param name="StandardError">The standard error of the mean over the pairs. Where pairs share samples, it does not say what other samples would change.</param>
/// <param name="Floor">The mean over pairs of two sets of data: what a perfect sampler would score.</param>
/// <param name="FloorStandardError">The standard error of the floor.</param>
/// <param name="Ratio">Value over floor, 1 for a perfect sampler; null for a measure whose floor is known but for chance: 0 of one without bias, ½ of a classifier.</param>
/// <param name="StandardErrorsAboveFloor">(value − floor)/√(both standard errors squared): a few, or more, for a sampler that errs. Of shares of what is right, such as
/// precision and recall, whose value falls for a sampler that errs, it is (floor − value) by the same; of density its size.</param>
public sealed record MeasuredDistance(
    string Name,
    string Equation,
    double Value,
    double StandardError,
    double Floor,
    double FloorStandardError,
    double? Ratio,
    double StandardErrorsAboveFloor
)
{
    /// <summary>Why there is no such figure for these data, where there is none (half of them are one point, say): the numbers are then NaN. Null where there is one.</summary>
    public string? Undefined { get; init; }

    internal static MeasuredDistance Of(Score score) =>
        new(
            score.Name,
            score.Equation,
            score.Value.Mean,
            score.Value.StandardError,
            score.Floor.Mean,
            score.Floor.StandardError,
            score.Ratio?.Value,
            score.Excess
        )
        {
            Undefined = score.Undefined?.Value,
        };

    /// <summary>For people: <c>wasserstein2 0.197 ± 0.01, floor 0.186 ± 0.009</c>.</summary>
    public override string ToString() =>
        Undefined is { } reason
            ? $"{Name} undefined: {reason}"
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{Name} {Value:G4} ± {StandardError:G2}, floor {Floor:G4} ± {FloorStandardError:G2}"
            );
}

/// <summary>How far samples are from data, by several measures.</summary>
/// <remarks>Each figure is a mean over <see cref="Draws"/> pairs of sets of <see cref="SamplesPerDraw"/>, with its standard error, beside the same between two
/// sets of data. All but those without a ratio depend on the sets’ size: figures compare where that is the same.</remarks>
public class Distances
{
    internal Distances(Evaluations found, string data, TimeSpan elapsed)
    {
        Measures = [.. found.Scores.Select(MeasuredDistance.Of)];
        Draws = found.Protocol.Draws;
        SamplesPerDraw = found.Protocol.Size;
        Data = data;
        Elapsed = elapsed;
    }

    /// <summary>All measures.</summary>
    public IReadOnlyList<MeasuredDistance> Measures { get; }

    /// <summary>√(min_π 1/n Σ ‖xᵢ − y_π(i)‖²), the 2-Wasserstein distance, by an exact assignment (Villani 2009; Jonker, Volgenant 1987).</summary>
    public MeasuredDistance Wasserstein2 => Of("wasserstein2")!;

    /// <summary>√(E_θ W₂²(⟨θ, x⟩, ⟨θ, y⟩)) over 128 directions θ, the sliced distance (Bonneel et al. 2015).</summary>
    public MeasuredDistance SlicedWasserstein => Of("slicedWasserstein")!;

    /// <summary>E k(x, x′) + E k(y, y′) − 2 E k(x, y), the squared maximum mean discrepancy for five Gaussian kernels around the data’s median distance, without
    /// bias (Gretton et al. 2012).</summary>
    public MeasuredDistance MaximumMeanDiscrepancy => Of("mmd")!;

    /// <summary>2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, the energy distance, without bias (Székely, Rizzo 2013).</summary>
    public MeasuredDistance Energy => Of("energy")!;

    /// <summary>The share of held-back points whose side, samples or data, is named rightly by their ⌊√n⌋ nearest: ½ for equal laws (Lopez-Paz, Oquab 2017).</summary>
    public MeasuredDistance Classifier => Of("classifier")!;

    /// <summary>The share of samples where the data’s law has a density that all but 1 in 1,000 of its own samples exceed: what a model puts between the parts of a
    /// law; null where the density is not known, as it is of most laws of the plane.</summary>
    public MeasuredDistance? Outside => Of("outside");

    /// <summary>‖m₁ − m₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) on 128 features of a classifier of the data, the Fréchet distance (Heusel et al. 2017), extrapolated
    /// to infinitely many samples (Chong, Forsyth 2020); null where the data are no images of several classes.</summary>
    public MeasuredDistance? Frechet => Of("frechet");

    /// <summary>Pairs of sets that each figure is a mean over.</summary>
    public int Draws { get; }

    /// <summary>Samples in a set.</summary>
    public int SamplesPerDraw { get; }

    /// <summary>What the data are called that the samples were held against.</summary>
    public string Data { get; }

    /// <summary>How long it took, on the thread that did it.</summary>
    public TimeSpan Elapsed { get; }

    private MeasuredDistance? Of(string name) => Measures.FirstOrDefault(measure => measure.Name == name);

    /// <summary>For people: a line for each measure.</summary>
    public override string ToString() => string.Join(Environment.NewLine, Measures);
}

/// <summary>How far a model’s samples are from held-out data, and how they were made.</summary>
public sealed class Evaluation : Distances
{
    internal Evaluation(
        Evaluations found,
        string data,
        TimeSpan elapsed,
        Solver? solver,
        int? steps,
        long seed,
        string? warning
    )
        : base(found, data, elapsed)
    {
        Count = found.Protocol.Pool;
        Solver = solver;
        Steps = steps;
        Seed = seed;
        Warning = warning;
    }

    /// <summary>Samples that were drawn.</summary>
    public int Count { get; }

    /// <summary>The solver that made them; null where the model goes by jumps of its own.</summary>
    public Solver? Solver { get; }

    /// <summary>The solver’s steps, or the model’s jumps; null where steps were chosen by their error.</summary>
    public int? Steps { get; }

    /// <summary>Their seed.</summary>
    public long Seed { get; }

    /// <summary>What is to be known of the data, in one line: that their file has changed since the model was trained on it. Null where there is nothing.</summary>
    public string? Warning { get; }
}
