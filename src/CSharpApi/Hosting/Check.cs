using System.Runtime.CompilerServices;

namespace Fokker;

/// <summary>What a property accepts. Each check gives the value back, or throws an exception that names the property.</summary>
internal static class Check
{
    private static ArgumentOutOfRangeException Refused(object value, string property, string expected) =>
        new(property, value, $"{property} is {value}: expected {expected}.");

    public static int AtLeast(int least, int value, [CallerMemberName] string property = "") =>
        value >= least ? value : throw Refused(value, property, $"a whole number of at least {least}");

    public static int? AtLeast(int least, int? value, [CallerMemberName] string property = "") =>
        value is { } given ? AtLeast(least, given, property) : null;

    public static long? AtLeast(long least, long? value, [CallerMemberName] string property = "") =>
        value is null || value >= least ? value : throw Refused(value, property, $"a whole number of at least {least}");

    public static double? Positive(double? value, [CallerMemberName] string property = "") =>
        value is null || (value > 0.0 && double.IsFinite(value.Value))
            ? value
            : throw Refused(value, property, "a positive number");

    public static double? NotNegative(double? value, [CallerMemberName] string property = "") =>
        value is null || (value >= 0.0 && double.IsFinite(value.Value))
            ? value
            : throw Refused(value, property, "a number of at least 0");

    public static double? Finite(double? value, [CallerMemberName] string property = "") =>
        value is null || double.IsFinite(value.Value) ? value : throw Refused(value, property, "a finite number");

    public static double? From0ToBelow1(double? value, [CallerMemberName] string property = "") =>
        value is null || (value >= 0.0 && value < 1.0)
            ? value
            : throw Refused(value, property, "a number from 0 to below 1");

    public static double? From0To1(double? value, [CallerMemberName] string property = "") =>
        value is null || (value >= 0.0 && value <= 1.0)
            ? value
            : throw Refused(value, property, "a number from 0 to 1");

    public static string NotBlank(string value, [CallerMemberName] string property = "") =>
        !string.IsNullOrWhiteSpace(value)
            ? value
            : throw new ArgumentException($"{property} is empty: expected a text.", property);

    /// <summary>Samples that are to be of a model's shape, and finite.</summary>
    public static void Samples(SampleBatch samples, IReadOnlyList<int> shape, string whose, string argument)
    {
        ArgumentNullException.ThrowIfNull(samples, argument);

        if (!samples.SampleShape.SequenceEqual(shape))
        {
            throw new ArgumentException(
                $"{argument} is {samples.Describe()}: expected [n, {string.Join(", ", shape)}], as the samples of {whose}.",
                argument
            );
        }

        if (!samples.IsFinite)
        {
            throw new ArgumentException($"{argument} holds NaN or infinity: expected finite numbers.", argument);
        }
    }

    /// <summary>Numbers that are to fill samples [n, …], with a label for each sample where there are labels.</summary>
    public static void Filled(int numbers, int[] shape, int[]? labels)
    {
        ArgumentNullException.ThrowIfNull(shape);

        if (
            shape.Length < 2
            || shape.Any(side => side < 1)
            || shape.Aggregate(1L, (product, side) => product * side) != numbers
        )
        {
            throw new ArgumentException(
                $"{numbers} numbers do not fill samples of shape [{string.Join(", ", shape)}].",
                nameof(shape)
            );
        }

        if (labels is not null && labels.Length != shape[0])
        {
            throw new ArgumentException($"{labels.Length} labels for {shape[0]} samples.", nameof(labels));
        }
    }

    /// <summary>The numbers of one of .NET's tensors and their shape.</summary>
    public static (T[] Values, int[] Shape) Content<T>(System.Numerics.Tensors.Tensor<T> tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        var values = new T[tensor.FlattenedLength];
        tensor.FlattenTo(values);
        int[] shape = [.. tensor.Lengths.ToArray().Select(side => checked((int)side))];
        return (values, shape);
    }

    /// <summary>The numbers of a table, row after row, and its shape.</summary>
    public static (T[] Values, int[] Shape) Content<T>(T[,] rows)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var values = new T[rows.Length];
        Buffer.BlockCopy(rows, 0, values, 0, Buffer.ByteLength(rows));
        return (values, [rows.GetLength(0), rows.GetLength(1)]);
    }
}
