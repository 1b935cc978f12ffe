using System.Globalization;

namespace Fokker;

/// <summary>The pairs of noise and of what a run’s flow makes of it (Liu, Gong, Liu 2023, Flow straight and fast): what a rectified flow of the next round learns.</summary>
/// <param name="Folder">The run’s folder.</param>
public sealed record RunPairs(string Folder)
{
    /// <summary>How many pairs are made, once; new ones are made for every batch where none is said.</summary>
    public int? Count
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>Steps of Heun’s method that make a pair (10), or jumps of a map.</summary>
    public int? Steps
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>As the command line takes it: <c>run:FOLDER,pairs=5000,steps=10</c>.</summary>
    public override string ToString() =>
        string.Join(
            ',',
            new[] { $"run:{Folder}", Number("pairs", Count), Number("steps", Steps) }.Where(part => part.Length > 0)
        );

    private static string Number(string name, int? value) =>
        value is { } number ? string.Create(CultureInfo.InvariantCulture, $"{name}={number}") : "";
}
