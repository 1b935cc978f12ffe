namespace Fokker;

/// <summary>What the samples of a model are, and so how one looks at them.</summary>
public enum SampleKind
{
    /// <summary>Points: vectors of numbers.</summary>
    Points,

    /// <summary>Images.</summary>
    Images,

    /// <summary>Windows of a series, whose coordinates follow each other, or of several (<see cref="DataSource.FromSeries(string, int?, string[])"/>).</summary>
    Series,

    /// <summary>Bytes of a text, which <see cref="SampleBatch.ToText"/> reads.</summary>
    Text,
}
