using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;

namespace Fokker;

/// <summary>Something that models are made of and that has a name in the literature: a path, a loss, a solver.</summary>
public abstract class NamedPart : IEquatable<NamedPart>
{
    private readonly object identity;

    private protected NamedPart(string name, string equation, string reference, object identity)
    {
        Name = name;
        Equation = equation;
        Reference = reference;
        this.identity = identity;
    }

    /// <summary>A part of a list of the library's.</summary>
    private protected NamedPart(PartList<Unit> list, PartName part)
        : this(list.Parts.First(p => p.Name == part.Name), part) { }

    private NamedPart(Part<Unit> described, PartName part)
        : this(described.Name, described.Equation, described.Reference, part) { }

    /// <summary>The name that the command line and <c>run.json</c> have for it, without its numbers.</summary>
    public string Name { get; }

    /// <summary>What it is, as an equation or in a few words; the numbers that it leaves open are at their defaults there.</summary>
    public string Equation { get; }

    /// <summary>Where it is from: authors, year, equation or algorithm.</summary>
    public string Reference { get; }

    /// <inheritdoc />
    public bool Equals(NamedPart? other) =>
        other is not null && other.GetType() == GetType() && other.identity.Equals(identity);

    /// <inheritdoc />
    public override bool Equals(object? obj) => Equals(obj as NamedPart);

    /// <inheritdoc />
    public override int GetHashCode() => HashCode.Combine(GetType(), identity);

    /// <summary>The name with the numbers, if any, as the command line takes it: <c>min-snr:gamma=3</c>.</summary>
    public override string ToString() => identity is PartName part ? part.ToString() : Name;

    /// <summary>The part that a notation of the command line stands for.</summary>
    private protected static T Find<TPart, T>(PartList<TPart> list, string name, Func<PartName, T> made)
    {
        ArgumentNullException.ThrowIfNull(name);

        try
        {
            return made(list.Parse(name));
        }
        catch (RefusedException refused)
        {
            throw new ArgumentException(refused.Refusal.Expected.ToString(), nameof(name), refused);
        }
    }

    /// <summary>A part with its numbers, each with the name of the argument that it was given as.</summary>
    private protected static T Make<TPart, T>(
        PartList<TPart> list,
        string name,
        (string Key, string Argument, double Value)[] numbers,
        Func<PartName, T> made
    )
    {
        var part = new PartName(name, ListModule.OfSeq(numbers.Select(n => Tuple.Create(n.Key, n.Value))));

        try
        {
            list.Make(part);
        }
        catch (RefusedException refused)
        {
            var known = list.Parts.First(p => p.Name == name).Parameters;
            var wrong = numbers.FirstOrDefault(n => !known.First(p => p.Name == n.Key).Allowed.Contains(n.Value));
            throw new ArgumentException(
                refused.Refusal.Expected.ToString(),
                wrong.Argument ?? numbers[0].Argument,
                refused
            );
        }

        return made(part);
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
