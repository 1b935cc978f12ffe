namespace Fokker;

/// <summary>The law that training times are drawn from.</summary>
/// <remarks>See <see cref="TimeLaws"/> for those there are.</remarks>
public sealed class TimeLaw : NamedPart, INamed<TimeLaw>
{
    private TimeLaw(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static TimeLaw FromName(string name)
    {
        var found = Find(Catalogue.times.Described.Parts, x => x.Name, "law of training times", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
