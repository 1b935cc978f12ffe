using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace Fokker.Gallery.Endpoints;

/// <summary>Samples, each of them a list of its numbers in row-major order, and the command that draws the same ones.</summary>
internal sealed record SamplesAnswer(string Model, int[] Shape, int[]? Labels, double[][] Values, string? Command)
{
    public static SamplesAnswer Of(string name, SampleBatch samples, string? command) =>
        new(
            name,
            Frames.ShapeOf(samples),
            samples.Labels is null ? null : [.. samples.Labels],
            [.. Enumerable.Range(0, samples.Count).Select(k => samples[k].ToArray())],
            command
        );
}

/// <summary>Samples, whole or as they are made.</summary>
internal static class Sampling
{
    public static void Map(RouteGroupBuilder model)
    {
        model
            .MapGet("/samples.json", Json)
            .WithSummary("Samples as numbers, and the command that draws the same ones.");
        model.MapGet("/samples.png", Png).WithSummary("A picture of samples.");
        model
            .MapGet("/samples.txt", Text)
            .WithSummary("Samples of a model of texts, one in a line: the command line’s samples.txt.");
        model.MapGet("/samples.npy", Npy).WithSummary("Samples as numpy’s file, byte for byte the command line’s.");
        model
            .MapGet("/stream", Live)
            .WithSummary("Samples as they are made: server-sent events start, state, …, end.")
            .Produces(StatusCodes.Status200OK, contentType: "text/event-stream");
    }

    private static Task<Ok<SamplesAnswer>> Json(
        string name,
        [AsParameters] Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    ) =>
        Drawn(
            name,
            asked,
            shelf,
            limits,
            (model, samples) =>
                TypedResults.Ok(
                    SamplesAnswer.Of(name, samples, asked.Command(name, model, limits.Value, "samples.npy"))
                ),
            cancellation
        );

    private static Task<FileContentHttpResult> Png(
        string name,
        [AsParameters] Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    ) =>
        Drawn(
            name,
            asked,
            shelf,
            limits,
            (_, samples) => TypedResults.File(samples.ToPng(), "image/png", FileName(name, ".png")),
            cancellation
        );

    private static Task<FileContentHttpResult> Text(
        string name,
        [AsParameters] Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    ) =>
        Drawn(
            name,
            asked,
            shelf,
            limits,
            (model, samples) =>
            {
                if (model.SampleKind != SampleKind.Text)
                {
                    throw new RequestException(StatusCodes.Status400BadRequest, $"The samples of {name} are no texts.");
                }

                var lines = string.Concat(samples.ToText().Select(line => line + "\n"));
                return TypedResults.File(
                    Encoding.UTF8.GetBytes(lines),
                    "text/plain; charset=utf-8",
                    FileName(name, ".txt")
                );
            },
            cancellation
        );

    private static Task<FileContentHttpResult> Npy(
        string name,
        [AsParameters] Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    ) =>
        Drawn(
            name,
            asked,
            shelf,
            limits,
            (_, samples) =>
            {
                var file = Path.Combine(Path.GetTempPath(), $"fokker-gallery-{Guid.NewGuid():N}.npy");

                try
                {
                    samples.SaveNpy(file);
                    return TypedResults.File(
                        File.ReadAllBytes(file),
                        "application/octet-stream",
                        FileName(name, ".npy")
                    );
                }
                finally
                {
                    File.Delete(file);
                }
            },
            cancellation
        );

    /// <summary>What is made of the samples that are asked for.</summary>
    private static async Task<T> Drawn<T>(
        string name,
        Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        Func<FlowModel, SampleBatch, T> answer,
        CancellationToken cancellation
    )
    {
        using var lent = await shelf.LendAsync(name, cancellation).ConfigureAwait(false);
        var samples = await lent
            .Model.SampleAsync(asked.Options(lent.Model, limits.Value), cancellation)
            .ConfigureAwait(false);
        return answer(lent.Model, samples);
    }

    private static string FileName(string name, string ending) => Path.GetFileNameWithoutExtension(name) + ending;

    private static async Task Live(
        string name,
        [AsParameters] Asked asked,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        HttpContext http
    )
    {
        using var lent = await shelf.LendAsync(name, http.RequestAborted).ConfigureAwait(false);
        var options = asked.Options(lent.Model, limits.Value);
        var command = asked.Command(name, lent.Model, limits.Value, "samples.npy");
        await Watch(name, lent.Model, options, command, http).ConfigureAwait(false);
    }

    /// <summary>The states of samples as events. What is refused is refused before the first of them, as a problem; the states wait for who reads them.</summary>
    public static async Task Watch(
        string name,
        FlowModel model,
        SampleOptions options,
        string command,
        HttpContext http
    )
    {
        await using var states = model
            .SampleStepsAsync(options, http.RequestAborted)
            .GetAsyncEnumerator(http.RequestAborted);
        await states.MoveNextAsync().ConfigureAwait(false);
        await TypedResults
            .ServerSentEvents(Events(name, model, states, command, http.RequestAborted))
            .ExecuteAsync(http)
            .ConfigureAwait(false);
    }

    private static async IAsyncEnumerable<SseItem<object>> Events(
        string name,
        FlowModel model,
        IAsyncEnumerator<SampleStep> states,
        string command,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var first = states.Current;
        var (low, high) = model.ValueRange;
        yield return new(
            new StreamStart(
                name,
                Catalog.KindOf(model),
                Frames.ShapeOf(first.State),
                first.State.Labels is null ? null : [.. first.State.Labels],
                [low, high],
                first.Steps,
                command
            ),
            "start"
        );
        var end = new StreamEnd("done", null);

        while (true)
        {
            var state = states.Current;
            yield return new(
                new StreamState(
                    state.Step,
                    state.Time,
                    Frames.Pack(model, state.State),
                    state.Denoised is null ? null : Frames.Pack(model, state.Denoised)
                ),
                "state"
            );

            try
            {
                if (!await states.MoveNextAsync().ConfigureAwait(false))
                {
                    break;
                }
            }
            catch (Exception error) when (!cancellation.IsCancellationRequested)
            {
                // The status is sent already: the sentence comes as the last event.
                end = new StreamEnd("failed", Problems.Describe(error).Sentence);
                break;
            }
        }

        yield return new(end, "end");
    }
}
