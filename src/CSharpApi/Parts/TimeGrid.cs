namespace Fokker;

/// <summary>How the steps of a solver are spaced in time.</summary>
/// <remarks>See <see cref="TimeGrids"/> for those there are.</remarks>
public sealed partial class TimeGrid
{
    private TimeGrid(PartName part)
        : base(Catalogue.grids.Described, part) => Core = Catalogue.grids.Make(part);

    internal Grid Core { get; }
}
