using System.Globalization;
using System.Text.Json;

namespace Fokker;

/// <summary>A reward that a model can be tuned towards, as a run keeps it: r(x) of samples in the data’s units.</summary>
/// <remarks>A function of yours steers samples (<see cref="FlowModel.SteerAsync"/>); a training that is to be repeated from what it wrote down needs one that can be.</remarks>
public sealed record TrainingReward
{
    private readonly string json;

    private TrainingReward(object reward) => json = JsonSerializer.Serialize(reward);

    /// <summary>⟨w, x⟩.</summary>
    /// <param name="weights">w, a number for each of a sample’s.</param>
    public static TrainingReward Linear(params double[] weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        return new(new { linear = weights });
    }

    /// <summary>⟨w, x⟩ + ½ xᵀ Q x.</summary>
    /// <param name="matrix">Q, symmetric: [d, d].</param>
    /// <param name="weights">w; 0 where none is given.</param>
    public static TrainingReward Quadratic(double[,] matrix, params double[] weights)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        ArgumentNullException.ThrowIfNull(weights);

        var rows = Enumerable
            .Range(0, matrix.GetLength(0))
            .Select(i => Enumerable.Range(0, matrix.GetLength(1)).Select(j => matrix[i, j]).ToArray())
            .ToArray();

        return weights.Length == 0 ? new(new { quadratic = rows }) : new(new { quadratic = rows, linear = weights });
    }

    /// <summary>log p(c | x) under a classifier.</summary>
    /// <param name="label">The class, by its number.</param>
    /// <param name="classifier">The folder of a run of <see cref="FlowTrainer.TrainClassifierAsync"/>.</param>
    public static TrainingReward OfClass(int label, string classifier) =>
        OfClass(label.ToString(CultureInfo.InvariantCulture), classifier);

    /// <summary>log p(c | x) under a classifier.</summary>
    /// <param name="label">The class, by its name.</param>
    /// <param name="classifier">The folder of a run of <see cref="FlowTrainer.TrainClassifierAsync"/>.</param>
    public static TrainingReward OfClass(string label, string classifier)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(label);
        ArgumentException.ThrowIfNullOrWhiteSpace(classifier);
        return new(new Dictionary<string, string> { ["class"] = label, ["classifier"] = classifier });
    }

    /// <summary>As a file of JSON has it: <c>{"linear":[1,0]}</c>.</summary>
    public override string ToString() => json;
}
