namespace Fokker;

/// <summary>Something that models are made of and that has a name in the literature: a path, a loss, a solver.</summary>
public abstract class NamedPart : IEquatable<NamedPart>
{
    private readonly object identity;

    private protected NamedPart(string name, string equation, string source, object? identity = null)
    {
        Name = name;
        Equation = equation;
        Source = source;
        this.identity = identity ?? name;
    }

    /// <summary>The name that the command line and <c>run.json</c> have for it.</summary>
    public string Name { get; }

    /// <summary>What it is, as an equation or in a few words.</summary>
    public string Equation { get; }

    /// <summary>Where it is from: authors, year, equation or algorithm.</summary>
    public string Source { get; }

    /// <inheritdoc />
    public bool Equals(NamedPart? other) =>
        other is not null && other.GetType() == GetType() && other.identity.Equals(identity);

    /// <inheritdoc />
    public override bool Equals(object? obj) => Equals(obj as NamedPart);

    /// <inheritdoc />
    public override int GetHashCode() => HashCode.Combine(GetType(), identity);

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    /// <summary>The item of that name, whatever its case; the message of the exception lists those there are.</summary>
    private protected static T Find<T>(IEnumerable<T> items, Func<T, string> nameOf, string what, string? name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var all = items as IReadOnlyCollection<T> ?? [.. items];

        foreach (var item in all)
        {
            if (string.Equals(nameOf(item), name, StringComparison.OrdinalIgnoreCase))
            {
                return item;
            }
        }

        throw new ArgumentException(
            $"There is no {what} '{name}'. There are: {string.Join(", ", all.Select(nameOf))}.",
            nameof(name)
        );
    }
}

/// <summary>A part that can be found by its name: how options are bound from configuration.</summary>
/// <typeparam name="T">The kind of part.</typeparam>
public interface INamed<T>
    where T : NamedPart, INamed<T>
{
    /// <summary>The part of a name, whatever its case.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="ArgumentException">There is none of that name; the message says which there are.</exception>
    static abstract T FromName(string name);
}
