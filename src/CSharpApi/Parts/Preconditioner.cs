namespace Fokker;

/// <summary>What is put around a network so that its input and output are of unit size.</summary>
/// <remarks>See <see cref="Preconditioners"/> for those there are.</remarks>
public sealed class Preconditioner : NamedPart, INamed<Preconditioner>
{
    private Preconditioner(string name, string equation, string source)
        : base(name, equation, source) { }

    /// <inheritdoc />
    public static Preconditioner FromName(string name)
    {
        var found = Find(Catalogue.preconditionings.Described.Parts, x => x.Name, "preconditioning", name);
        return new(found.Name, found.Equation, found.Source);
    }
}
