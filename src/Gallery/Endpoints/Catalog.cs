using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Fokker.Gallery.Endpoints;

/// <summary>A model of the list, as its files describe it: nothing is loaded for it.</summary>
internal sealed record Card(
    string Name,
    bool IsReady,
    long? Bytes,
    DateTime? Written,
    bool HasPicture,
    bool HasReport,
    JsonElement? Settings,
    JsonElement? Result
);

/// <summary>A model that is loaded.</summary>
internal sealed record Details(
    string Name,
    string Kind,
    IReadOnlyList<int> Shape,
    IReadOnlyList<string> Classes,
    bool IsConditional,
    double[] Range,
    string Path,
    string Equation,
    Card Card
);

/// <summary>A solver, a grid or a method of steering.</summary>
internal sealed record PartRow(string Name, string Equation, string Reference, bool IsStochastic, int Order);

/// <summary>All that a request can name.</summary>
internal sealed record PartLists(
    IReadOnlyList<PartRow> Solvers,
    IReadOnlyList<PartRow> Grids,
    IReadOnlyList<PartRow> Steerers
);

/// <summary>What there is: models, and the parts that samples are made by.</summary>
internal static class Catalog
{
    public static void Map(RouteGroupBuilder api)
    {
        api.MapGet("/models", (Shelf shelf) => shelf.Names.Select(name => CardOf(shelf.Files(name))))
            .WithSummary("The models of the folder, without loading any.");
        api.MapGet("/models/{name}", DetailsOf).WithSummary("A model’s shape, classes and training.");
        api.MapGet("/models/{name}/picture", Picture).WithSummary("The picture of its run’s samples, as PNG.");
        api.MapGet("/models/{name}/report", Report).WithSummary("The report of its run, a page by itself.");
        api.MapGet("/parts", Parts).WithSummary("The solvers, grids and methods of steering that a request can name.");
    }

    private static Card CardOf(RunFiles files)
    {
        var model = new FileInfo(files.Model);
        return new Card(
            files.Name,
            model.Exists,
            model.Exists ? model.Length : null,
            model.Exists ? model.LastWriteTimeUtc : null,
            files.Picture is not null,
            files.Report is not null,
            files.Section("settings"),
            files.Section("result")
        );
    }

    private static async Task<Ok<Details>> DetailsOf(string name, Shelf shelf, CancellationToken cancellation)
    {
        using var lent = await shelf.LendAsync(name, cancellation).ConfigureAwait(false);
        var model = lent.Model;
        var (low, high) = model.ValueRange;
        return TypedResults.Ok(
            new Details(
                name,
                KindOf(model),
                model.SampleShape,
                model.Classes,
                model.IsConditional,
                [low, high],
                model.Path.Name,
                model.Path.Equation,
                CardOf(shelf.Files(name))
            )
        );
    }

    /// <summary>How samples are shown.</summary>
    public static string KindOf(FlowModel model) =>
        model.SampleKind switch
        {
            SampleKind.Images => "images",
            SampleKind.Series => "series",
            SampleKind.Text => "text",
            _ => "points",
        };

    private static Results<PhysicalFileHttpResult, NotFound> Picture(string name, Shelf shelf) =>
        shelf.Files(name).Picture is { } picture
            ? TypedResults.PhysicalFile(picture, "image/png", lastModified: File.GetLastWriteTimeUtc(picture))
            : TypedResults.NotFound();

    private static Results<PhysicalFileHttpResult, NotFound> Report(string name, Shelf shelf, HttpContext http)
    {
        if (shelf.Files(name).Report is not { } report)
        {
            return TypedResults.NotFound();
        }

        // A report says itself which scripts may run, by their hashes; here it is only kept apart from the gallery.
        http.Response.Headers.ContentSecurityPolicy =
            "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";
        return TypedResults.PhysicalFile(report, "text/html; charset=utf-8");
    }

    private static PartLists Parts() =>
        new(
            [.. Solvers.All.Select(s => new PartRow(s.Name, s.Equation, s.Reference, s.IsStochastic, s.Order))],
            [.. TimeGrids.All.Select(g => new PartRow(g.Name, g.Equation, g.Reference, false, 0))],
            [.. Steerers.All.Select(s => new PartRow(s.Name, s.Equation, s.Reference, true, 0))]
        );
}
