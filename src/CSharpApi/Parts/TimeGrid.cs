namespace Fokker;

/// <summary>How the steps of a solver are spaced in time.</summary>
/// <remarks>See <see cref="TimeGrids"/> for those there are.</remarks>
public sealed class TimeGrid : NamedPart, INamed<TimeGrid>
{
    internal TimeGrid(Grid core)
        : base(core.Name, core.Equation, core.Source, core) => Core = core;

    internal Grid Core { get; }

    /// <inheritdoc />
    public static TimeGrid FromName(string name) => new(Find(GridModule.all, g => g.Name, "grid", name));
}
