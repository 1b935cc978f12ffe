using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace Fokker.Gallery.Endpoints;

/// <summary>A sample of which a part is known: its numbers in row-major order, and which of them count.</summary>
internal sealed record InpaintBody(double[] Values, bool[] Known, string? Steerer, Asked? Asked);

/// <summary>Two samples, and how many places there are to be on the way from one to the other.</summary>
internal sealed record InterpolationBody(
    double[] From,
    double[] To,
    string? FromClass,
    string? ToClass,
    int? Frames,
    string? Solver,
    int? Steps
);

/// <summary>A place on the way from one sample to another.</summary>
internal sealed record PlaceAnswer(double Fraction, double[] Values);

/// <summary>The way from one sample to another through their latents, and the command that goes the same one from the two in <c>ends.npy</c>.</summary>
internal sealed record InterpolationAnswer(
    string Model,
    IReadOnlyList<int> Shape,
    PlaceAnswer[] Places,
    string Command
);

/// <summary>A sample whose density is asked for.</summary>
internal sealed record LikelihoodBody(double[] Values, string? Class, long? Seed);

/// <summary>log p of a sample, in nats and in the data’s units, and the command that finds the same of the one in <c>sample.npy</c>.</summary>
internal sealed record LikelihoodAnswer(double Nats, double BitsPerDimension, double Evaluations, string Command);

/// <summary>What is made of samples that are given: the rest of them, the way between two, their density.</summary>
internal static class Editing
{
    public static void Map(RouteGroupBuilder model)
    {
        model.MapPost("/inpaint", Inpaint).WithSummary("Samples of what may be there, given the known part of one.");
        model
            .MapPost("/inpaint/stream", InpaintLive)
            .WithSummary("The same as it is made: server-sent events start, state, …, end.")
            .Produces(StatusCodes.Status200OK, contentType: "text/event-stream");
        model
            .MapPost("/interpolate", Interpolate)
            .WithSummary("The way from one sample to another through their latents.");
        model.MapPost("/likelihood", Likelihood).WithSummary("The log-density of a sample.");
    }

    private static SampleBatch Given(FlowModel model, double[]? values, string what, int? label = null)
    {
        var size = model.SampleShape.Aggregate(1, (product, side) => product * side);
        return values is not null && values.Length == size
            ? SampleBatch.FromArray(values, [1, .. model.SampleShape], label is { } one ? [one] : null)
            : throw new RequestException(
                400,
                $"{what} has {values?.Length ?? 0} numbers: a sample of this model has {size}."
            );
    }

    private static SampleOptions Restoring(FlowModel model, InpaintBody body, GalleryOptions limits)
    {
        var image = Given(model, body.Values, "values");

        if (body.Known is null || body.Known.Length != image.SampleSize)
        {
            throw new RequestException(
                400,
                $"known has {body.Known?.Length ?? 0} flags: a sample of this model has {image.SampleSize} numbers."
            );
        }

        return (body.Asked ?? new Asked()).Options(model, limits) with
        {
            Measurement = Measurement.Mask(body.Known, [.. model.SampleShape]),
            Observed = image,
            Steerer = body.Steerer is null ? null : Steerer.FromName(body.Steerer),
        };
    }

    private static async Task<Ok<SamplesAnswer>> Inpaint(
        string name,
        InpaintBody body,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    )
    {
        using var lent = await shelf.LendAsync(name, cancellation).ConfigureAwait(false);
        var options = Restoring(lent.Model, body, limits.Value);
        var samples = await lent.Model.SampleAsync(options, cancellation).ConfigureAwait(false);
        return TypedResults.Ok(SamplesAnswer.Of(name, samples, Command(name, lent.Model, body, limits.Value)));
    }

    private static async Task InpaintLive(
        string name,
        InpaintBody body,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        HttpContext http
    )
    {
        using var lent = await shelf.LendAsync(name, http.RequestAborted).ConfigureAwait(false);
        var options = Restoring(lent.Model, body, limits.Value);
        var command = Command(name, lent.Model, body, limits.Value);
        await Sampling.Watch(name, lent.Model, options, command, http).ConfigureAwait(false);
    }

    private static string Command(string name, FlowModel model, InpaintBody body, GalleryOptions limits) =>
        (body.Asked ?? new Asked()).Command(
            name,
            model,
            limits,
            "restored.npy",
            ("--observe", "mask.json"),
            ("--observed", "seen.npy"),
            ("--steer", body.Steerer)
        );

    private static async Task<Ok<InterpolationAnswer>> Interpolate(
        string name,
        InterpolationBody body,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    )
    {
        using var lent = await shelf.LendAsync(name, cancellation).ConfigureAwait(false);
        var model = lent.Model;
        var from = Given(model, body.From, "from", Asked.Label(model, body.FromClass));
        var to = Given(model, body.To, "to", Asked.Label(model, body.ToClass));
        var most = limits.Value.MostSteps;
        var options = new InterpolationOptions
        {
            Frames = Asked.Within(body.Frames, Math.Min(most, Asked.Most(model, limits.Value)), "frames") ?? 9,
            Solver = body.Solver is null ? null : Solver.FromName(body.Solver),
            Steps = Asked.Within(body.Steps, most, "steps"),
        };
        var command = CommandLine.Of(
            "interpolate",
            name,
            limits.Value,
            "way.npy",
            ("--data", "ends.npy"),
            ("--between", model.IsConditional ? new object[] { body.FromClass!, body.ToClass! } : null),
            ("--frames", options.Frames),
            ("--solver", body.Solver),
            ("--steps", body.Steps)
        );
        var way = await model.InterpolateAsync(from, to, options, cancellation).ConfigureAwait(false);
        return TypedResults.Ok(
            new InterpolationAnswer(
                name,
                model.SampleShape,
                [.. way.Select(frame => new PlaceAnswer(frame.Fraction, frame.Samples.ToDoubleArray()))],
                command
            )
        );
    }

    private static async Task<Ok<LikelihoodAnswer>> Likelihood(
        string name,
        LikelihoodBody body,
        Shelf shelf,
        IOptions<GalleryOptions> limits,
        CancellationToken cancellation
    )
    {
        using var lent = await shelf.LendAsync(name, cancellation).ConfigureAwait(false);
        var sample = Given(lent.Model, body.Values, "values");
        var options = new LikelihoodOptions { Label = Asked.Label(lent.Model, body.Class), Seed = body.Seed ?? 0 };
        var found = await lent.Model.LogLikelihoodAsync(sample, options, cancellation).ConfigureAwait(false);
        var command = CommandLine.Of(
            "likelihood",
            name,
            limits.Value,
            "logp.npy",
            ("--data", "sample.npy"),
            ("--class", lent.Model.IsConditional ? body.Class : null),
            ("--seed", options.Seed)
        );
        return TypedResults.Ok(new LikelihoodAnswer(found.Mean, found.BitsPerDimension, found.Evaluations, command));
    }
}
