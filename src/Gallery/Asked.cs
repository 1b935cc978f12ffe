using System.ComponentModel;
using System.Globalization;
using Microsoft.AspNetCore.Mvc;

namespace Fokker.Gallery;

/// <summary>How samples are asked for, in the words of the command line.</summary>
internal sealed record Asked
{
    /// <summary>How many.</summary>
    [Description("How many samples (2000 points, 36 images).")]
    public int? Count { get; init; }

    /// <summary>The seed of the noise.</summary>
    [Description("The seed of the noise (0): the same gives the same samples, and those of the command line.")]
    public long? Seed { get; init; }

    /// <summary>The solver, as the command line has it.</summary>
    [Description("The solver, as the command line has it: heun, ddim-eta:eta=0.5.")]
    public string? Solver { get; init; }

    /// <summary>The grid of times.</summary>
    [Description("How the solver's steps are spaced.")]
    public string? Grid { get; init; }

    /// <summary>The steps.</summary>
    [Description("The solver's steps.")]
    public int? Steps { get; init; }

    /// <summary>The class, by its number or its name.</summary>
    [FromQuery(Name = "class")]
    [Description("The class of all samples, by its number or its name.")]
    public string? Class { get; init; }

    /// <summary>The guidance scale.</summary>
    [Description("The guidance scale: 0 is unconditional, 1 plain, 3 a good deal.")]
    public double? Guidance { get; init; }

    /// <summary>What the library is asked for. Throws what the façade throws where an option is out of its range.</summary>
    public SampleOptions Options(FlowModel model, GalleryOptions limits) =>
        new()
        {
            Count = HowMany(model, limits),
            Seed = Seed ?? 0,
            Solver = Solver is null ? null : Fokker.Solver.FromName(Solver),
            Grid = Grid is null ? null : TimeGrid.FromName(Grid),
            Steps = Within(Steps, limits.MostSteps, "steps"),
            Label = Label(model, Class),
            Guidance = Guidance,
        };

    /// <summary>The command that draws the same samples.</summary>
    public string Command(
        string name,
        FlowModel model,
        GalleryOptions limits,
        string file,
        params (string Option, object? Value)[] more
    ) =>
        CommandLine.Of(
            "sample",
            name,
            limits,
            file,
            [
                ("-n", HowMany(model, limits)),
                ("--solver", Solver),
                ("--grid", Grid),
                ("--steps", Steps),
                ("--class", Class),
                ("--guidance", Guidance),
                ("--seed", Seed ?? 0),
                .. more,
            ]
        );

    private int HowMany(FlowModel model, GalleryOptions limits)
    {
        var count = Count ?? (model.SampleKind == SampleKind.Points ? 2000 : 36);
        var most = Most(model, limits);
        return count <= most
            ? count
            : throw new RequestException(
                400,
                $"count is {count}: the gallery draws at most {most} samples of this model at once."
            );
    }

    /// <summary>The most samples of a model that one request may ask for.</summary>
    internal static int Most(FlowModel model, GalleryOptions limits) =>
        Math.Max(1, limits.MostNumbers / model.SampleShape.Aggregate(1, (product, side) => product * side));

    internal static int? Within(int? value, int most, string what) =>
        value is not { } given || given <= most
            ? value
            : throw new RequestException(400, $"{what} is {given}: the gallery makes at most {most}.");

    /// <summary>The number of a class that was given by its number or its name.</summary>
    internal static int? Label(FlowModel model, string? given)
    {
        if (string.IsNullOrEmpty(given))
        {
            return null;
        }

        for (var k = 0; k < model.Classes.Count; k++)
        {
            if (string.Equals(model.Classes[k], given, StringComparison.OrdinalIgnoreCase))
            {
                return k;
            }
        }

        return int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new RequestException(
                400,
                model.Classes.Count == 0
                    ? $"class is '{given}', and this model has no classes."
                    : $"class is '{given}': expected one of {string.Join(", ", model.Classes)}."
            );
    }
}
