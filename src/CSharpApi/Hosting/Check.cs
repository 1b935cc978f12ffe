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

    /// <summary>Samples must have the shape of the model's samples and be finite; null passes, since nothing was given.</summary>
    public static void Samples(
        SampleBatch? samples,
        IReadOnlyList<int> shape,
        string whose,
        string property,
        string? called = null
    )
    {
        if (samples is null)
        {
            return;
        }

        if (!samples.SampleShape.SequenceEqual(shape))
        {
            throw new ArgumentException(
                $"{called ?? property} is [{string.Join(", ", samples.SampleShape.Prepend(samples.Count))}]: expected [n, {string.Join(", ", shape)}], as the samples of {whose}.",
                property
            );
        }

        if (!samples.IsFinite)
        {
            throw new ArgumentException(
                $"{called ?? property} holds NaN or infinity: expected finite numbers.",
                property
            );
        }
    }
}
