using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Fokker;

/// <summary>What the library tells OpenTelemetry: activities of a source and instruments of a meter, both under <see cref="Name"/>.</summary>
/// <remarks>Instruments: <c>fokker.requests</c> (by operation and outcome), <c>fokker.request.duration</c> (s), <c>fokker.samples</c>,
/// <c>fokker.training.steps</c>, <c>fokker.queue.length</c>, <c>fokker.native.bytes</c>.</remarks>
public static class FokkerTelemetry
{
    /// <summary>The name of the activity source and of the meter.</summary>
    public const string Name = "Fokker";

    internal static readonly ActivitySource Activities = new(Name);
    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Requests = Meter.CreateCounter<long>(
        "fokker.requests",
        "{request}",
        "Requests to models, by operation and outcome."
    );

    private static readonly Histogram<double> Durations = Meter.CreateHistogram<double>(
        "fokker.request.duration",
        "s",
        "From a request to its result, waiting included."
    );

    internal static readonly Counter<long> Samples = Meter.CreateCounter<long>(
        "fokker.samples",
        "{sample}",
        "Samples drawn."
    );

    internal static readonly Counter<long> TrainingSteps = Meter.CreateCounter<long>(
        "fokker.training.steps",
        "{step}",
        "Steps of training."
    );

    private static long waiting;

    static FokkerTelemetry()
    {
        Meter.CreateObservableGauge(
            "fokker.queue.length",
            () => Interlocked.Read(ref waiting),
            "{request}",
            "Requests that wait for a worker."
        );
        Meter.CreateObservableGauge(
            "fokker.native.bytes",
            () => Torch.memory().Live,
            "By",
            "Bytes of tensors on the CPU."
        );
    }

    internal static void Queued(int change) => Interlocked.Add(ref waiting, change);

    internal static void Finished(string operation, string model, long started, Exception? error)
    {
        if (!Requests.Enabled && !Durations.Enabled)
        {
            return;
        }

        var tags = new TagList
        {
            { "operation", operation },
            { "model", model },
            { "outcome", error is null ? "ok" : error.GetType().Name },
        };
        Requests.Add(1, tags);
        Durations.Record(Stopwatch.GetElapsedTime(started).TotalSeconds, tags);
    }
}
