using Microsoft.FSharp.Collections;

namespace Fokker;

/// <summary>How the steps of a solver are spaced in time.</summary>
/// <remarks>See <see cref="TimeGrids"/> for those there are.</remarks>
public sealed partial class TimeGrid
{
    private TimeGrid(PartName part)
        : base(Catalogue.grids.Described, part) => Core = Catalogue.grids.Make(part);

    internal Grid Core { get; }

    private TimeGrid(Grid core)
        : base(core.Name, core.Equation, core.Reference, core) => Core = core;

    /// <summary>A grid of given noise levels σ/α, falling, the last one 0 where sampling goes to the data: the <c>sigmas</c> of k-diffusion and diffusers.</summary>
    /// <param name="levels">The levels, one more than there are steps.</param>
    /// <exception cref="ArgumentException">They do not fall, or are no levels.</exception>
    public static TimeGrid FromLevels(params double[] levels) => Of(levels, l => GridModule.ofLevels("levels", "", l));

    /// <summary>A grid of given times from 1, the noise, towards 0, the data.</summary>
    /// <param name="times">The times, one more than there are steps.</param>
    /// <exception cref="ArgumentException">They do not fall, or leave the interval from 0 to 1.</exception>
    public static TimeGrid FromTimes(params double[] times) => Of(times, t => GridModule.ofTimes("times", "", t));

    /// <summary>A grid of given steps of a model with a thousand of them, numbered from 0 as diffusers’ <c>timesteps</c> are; the last step goes to the data.</summary>
    /// <param name="timesteps">The steps, falling.</param>
    /// <exception cref="ArgumentException">They do not fall, or leave the range from 999 to 0.</exception>
    public static TimeGrid FromTimesteps(params double[] timesteps) =>
        Of(timesteps, t => GridModule.ofTimesteps(1000, "timesteps", "", t));

    private static TimeGrid Of(double[] values, Func<FSharpList<double>, Grid> make) =>
        Translate.Errors(() => new TimeGrid(make(ListModule.OfSeq(values))), nameof(values));
}
