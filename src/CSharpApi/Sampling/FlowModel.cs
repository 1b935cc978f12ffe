using System.Diagnostics;
using System.Runtime.CompilerServices;
using Fokker.Bridge;

namespace Fokker;

/// <summary>A model: a trained run, an exact law, or a field of yours. It draws samples, knows densities, and carries data to noise and back.</summary>
/// <remarks>Requests may come from any thread, and many at once: a <see cref="FokkerRuntime"/> runs them, and the results are those of one after the other, bit
/// for bit. Where memory is held it is freed once the model is disposed of and the last request has its answer.</remarks>
public sealed partial class FlowModel : IDisposable, IAsyncDisposable
{
    private readonly Subject subject;
    private readonly Action release;
    private readonly FokkerRuntime runtime;
    private readonly RunFolder? folder;
    private readonly int[] shape;
    private readonly string[] classes;
    private readonly Units units;

    // The owner holds one, and each request one for as long as it lasts; whoever gives back the last frees the memory.
    private int holders = 1;
    private int disposed;

    internal FlowModel(
        Subject subject,
        Action release,
        FokkerRuntime runtime,
        RunFolder? folder = null,
        TrainingSummary? training = null
    )
    {
        this.subject = subject;
        this.release = release;
        this.runtime = runtime;
        this.folder = folder;
        Training = training;
        Path = FlowPath.Of(subject.Path);
        shape = DataWork.Shape(subject.Data);
        classes = DataWork.Classes(subject.Data);
        units = ModelWork.Units(subject);
        Name = subject.Name;
    }

    /// <summary>What it is called: the run’s folder, the mixture’s file, or a name of yours.</summary>
    public string Name { get; }

    /// <summary>The path that it learned on.</summary>
    public FlowPath Path { get; }

    /// <summary>The shape of a sample: [d], or [channels, height, width].</summary>
    public IReadOnlyList<int> SampleShape => shape;

    /// <summary>The names of the classes, by number; empty where there are none.</summary>
    public IReadOnlyList<string> Classes => classes;

    /// <summary>What its training came to, where it was trained here; null elsewhere.</summary>
    public TrainingSummary? Training { get; }

    /// <summary>A run of a folder, trained here or by the command line.</summary>
    /// <param name="folder">The run’s folder.</param>
    /// <param name="device">Where it is to compute (where it was trained).</param>
    /// <param name="precision">What it is to compute in (what it was trained in).</param>
    /// <param name="path">The path it was trained on, where that is one of yours.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">There is no run, or a file of it is missing or damaged.</exception>
    public static Task<FlowModel> LoadAsync(
        string folder,
        string? device = null,
        Precision? precision = null,
        FlowPath? path = null,
        FokkerRuntime? runtime = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        var threads = runtime ?? FokkerRuntime.Default;

        return threads.RunAsync(
            () =>
            {
                var run = ModelWork.Folder(folder);
                var (job, state) = ModelWork.Load(
                    run,
                    path is { IsOwn: true } ? [path.Core] : [],
                    device,
                    precision?.ToDtype()
                );
                return new FlowModel(ModelWork.Trained(run, job, state), () => ModelWork.Free(state), threads, run);
            },
            cancellationToken
        );
    }

    /// <summary>An exact law in the network’s place: the error of its samples is then the solver’s alone.</summary>
    /// <param name="law">The law.</param>
    /// <param name="path">How it becomes noise (<see cref="FlowPaths.CondOt"/>).</param>
    /// <param name="parametrization">What is said in the network’s place (the velocity).</param>
    /// <param name="precision">What it computes in.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    public static Task<FlowModel> FromMixtureAsync(
        GaussianMixture law,
        FlowPath? path = null,
        Parametrization? parametrization = null,
        Precision precision = Precision.Double,
        FokkerRuntime? runtime = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(law);
        var threads = runtime ?? FokkerRuntime.Default;
        var prediction = PredictionOf(parametrization);

        return threads.RunAsync(
            () =>
            {
                var mixture = law.ToCore();
                var own = (path ?? FlowPaths.CondOt).Core;
                // The mixture's tensors are small, and the collector's.
                return new FlowModel(
                    ModelWork.Exact(law.Name, mixture, own, prediction, precision.ToDtype()),
                    () => { },
                    threads
                );
            },
            cancellationToken
        );
    }

    /// <summary>A field of yours in a network’s place.</summary>
    /// <param name="field">The field: states x_t [n, …] and the time t, from 1 at the noise to 0 at the data, to what the parametrization says, [n, …]. It runs on
    /// the runtime’s threads; tensors that it makes are freed for it.</param>
    /// <param name="sampleShape">The shape of a sample: [d], or [channels, height, width].</param>
    /// <param name="path">The path that it belongs to (<see cref="FlowPaths.CondOt"/>).</param>
    /// <param name="parametrization">What it says (the velocity).</param>
    /// <param name="precision">What the states are given in.</param>
    /// <param name="name">What to call it.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    public static FlowModel FromField(
        Func<Fokker.Tensor, double, Fokker.Tensor> field,
        int[] sampleShape,
        FlowPath? path = null,
        Parametrization? parametrization = null,
        Precision precision = Precision.Single,
        string name = "field",
        FokkerRuntime? runtime = null
    )
    {
        ArgumentNullException.ThrowIfNull(field);
        ArgumentNullException.ThrowIfNull(sampleShape);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        if (sampleShape.Length == 0 || sampleShape.Any(side => side < 1))
        {
            throw new ArgumentException(
                $"[{string.Join(", ", sampleShape)}] is no shape of a sample: expected [d] or [channels, height, width].",
                nameof(sampleShape)
            );
        }

        var own = (path ?? FlowPaths.CondOt).Core;
        var subject = ModelWork.OfField(
            name,
            sampleShape,
            own,
            PredictionOf(parametrization),
            precision.ToDtype(),
            field
        );
        return new FlowModel(subject, () => { }, runtime ?? FokkerRuntime.Default);
    }

    private static Prediction PredictionOf(Parametrization? parametrization) =>
        Catalogue.predictions.Find((parametrization ?? Parametrizations.Velocity).Name);

    /// <summary>Draws samples.</summary>
    /// <param name="options">How, and how many; one sample where nothing is said.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">An option asks for what is not there, or what the model cannot do; the exception names it.</exception>
    /// <exception cref="FokkerException">The solver failed; the message says where, and what may help.</exception>
    public Task<SampleBatch> SampleAsync(SampleOptions? options = null, CancellationToken cancellationToken = default)
    {
        var asked = options ?? new SampleOptions();
        var count = asked.SampleCount;
        asked.RequireFit(shape, Name);

        return Request(
            "sample",
            () =>
                Generated(
                    asked,
                    cancellationToken,
                    (model, drawing) =>
                    {
                        using var x = SampleWork.Draw(model, drawing, asked.Seed, count);
                        FokkerTelemetry.Samples.Add(count);
                        return Batch(x, SampleWork.Labels(model, drawing, count));
                    }
                ),
            cancellationToken
        );
    }

    /// <summary>Draws samples step by step: a preview of each state on the way from noise to data. Whoever stops asking stops the sampling.</summary>
    /// <param name="options">How, and how many, in one batch; on a grid, without tolerance or parallel window.</param>
    /// <param name="cancellationToken">Ends it between two steps.</param>
    /// <exception cref="ArgumentException">An option asks for what is not there, or what the model cannot do; the exception names it.</exception>
    /// <exception cref="FokkerException">The solver failed; the message says where, and what may help.</exception>
    public async IAsyncEnumerable<SampleStep> SampleStepsAsync(
        SampleOptions? options = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        var asked = options ?? new SampleOptions();
        var count = asked.SampleCount;
        asked.RequireFit(shape, Name);

        foreach (
            var (given, property) in new[]
            {
                (asked.RelativeTolerance is not null, nameof(SampleOptions.RelativeTolerance)),
                (asked.ParallelWindow is not null, nameof(SampleOptions.ParallelWindow)),
            }
        )
        {
            if (given)
            {
                throw new ArgumentException($"{property}: steps that can be watched are those of a grid.", property);
            }
        }

        using var held = Hold();
        using var weaker = asked.WeakerModel?.Hold();

        var (guided, drawing, states) = await runtime
            .RunAsync(
                () =>
                {
                    var request = asked.ToRequest();
                    var guided = GuidanceWork.Guided(subject, request, asked.WeakerModel?.subject);

                    try
                    {
                        var drawing = SampleWork.Drawing(guided.Subject, request);
                        var states = SampleWork.States(guided.Subject, drawing, asked.Seed, count);
                        return (guided, drawing, states.GetEnumerator());
                    }
                    catch
                    {
                        guided.Dispose();
                        throw;
                    }
                },
                cancellationToken
            )
            .ConfigureAwait(false);

        try
        {
            var model = guided.Subject;
            var labels = SampleWork.Labels(model, drawing, count);
            var steps = 0;

            while (true)
            {
                var step = await runtime
                    .RunAsync(
                        () =>
                        {
                            if (!states.MoveNext())
                            {
                                return null;
                            }

                            var state = states.Current;
                            using var x = state.X;
                            using var denoised = SampleWork.Denoised(state);
                            steps = Math.Max(drawing.Steps, state.Step);
                            return new SampleStep(
                                state.Step,
                                steps,
                                state.Time,
                                Outside(model, x, labels),
                                denoised is null ? null : Outside(model, denoised, labels)
                            );
                        },
                        cancellationToken
                    )
                    .ConfigureAwait(false);

                if (step is null)
                {
                    break;
                }

                yield return step;
            }

            FokkerTelemetry.Samples.Add(count);
        }
        finally
        {
            // On a worker, since it frees what the solver still holds.
            await runtime
                .RunAsync(() =>
                {
                    states.Dispose();
                    guided.Dispose();
                    return true;
                })
                .ConfigureAwait(false);
        }
    }

    /// <summary>log p of samples, in nats and in the data’s units. Pixels are dequantized: noise of one level is added to them.</summary>
    /// <param name="samples">The samples, in the data’s units.</param>
    /// <param name="options">How the flow is followed, and its divergence found.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The samples have another shape than the model’s, or an option asks for what cannot be; the exception names it.</exception>
    /// <exception cref="FokkerException">The model has no density, or the flow failed.</exception>
    public Task<LogLikelihoods> LogLikelihoodAsync(
        SampleBatch samples,
        LikelihoodOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        RequireShape(samples, nameof(samples));
        var asked = options ?? new LikelihoodOptions();

        return Request(
            "likelihood",
            () =>
            {
                using var x = samples.ToCore();
                var model = Watched(subject, cancellationToken);
                var found = FlowWork.LogDensity(
                    model,
                    SampleWork.Drawing(model, asked.ToRequest()),
                    asked.Divergence?.ToString(),
                    asked.Probes,
                    asked.ClosedForm,
                    asked.Seed,
                    x,
                    LabelsOf(samples, asked.Label)
                );
                return new LogLikelihoods(
                    found.Nats,
                    found.Mean,
                    found.StandardError,
                    found.BitsPerDimension,
                    found.ProbeErrors,
                    found.Evaluations.Length == 0 ? 0.0 : found.Evaluations.Average()
                );
            },
            cancellationToken
        );
    }

    /// <summary>The standard normal numbers that the flow makes samples of: their latents.</summary>
    /// <param name="samples">The samples, in the data’s units.</param>
    /// <param name="options">How the flow is followed.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The samples have another shape than the model’s, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> EncodeAsync(
        SampleBatch samples,
        FlowOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        RequireShape(samples, nameof(samples));
        return Request(
            "encode",
            () => Carried(true, samples, options ?? new FlowOptions(), cancellationToken),
            cancellationToken
        );
    }

    /// <summary>The samples that the flow makes of latents: the inverse of <see cref="EncodeAsync"/>.</summary>
    /// <param name="latents">Standard normal numbers.</param>
    /// <param name="options">How the flow is followed.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The latents have another shape than the model’s samples, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> DecodeAsync(
        SampleBatch latents,
        FlowOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        RequireShape(latents, nameof(latents));
        return Request(
            "decode",
            () => Carried(false, latents, options ?? new FlowOptions(), cancellationToken),
            cancellationToken
        );
    }

    /// <summary>From samples to others through their latents: encoded, mixed, decoded.</summary>
    /// <param name="from">Where each way begins.</param>
    /// <param name="to">Where each way ends: as many samples.</param>
    /// <param name="options">How many places there are on the way, and how the flow is followed. Half of the way is under the class that it comes from.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The ends differ in number, or have another shape than the model’s samples; the exception names the argument.</exception>
    public Task<IReadOnlyList<InterpolationFrame>> InterpolateAsync(
        SampleBatch from,
        SampleBatch to,
        InterpolationOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        RequireShape(from, nameof(from));
        RequireShape(to, nameof(to));

        if (from.Count != to.Count)
        {
            throw new ArgumentException($"{from.Count} samples at one end, {to.Count} at the other.", nameof(to));
        }

        var asked = options ?? new InterpolationOptions();

        return Request<IReadOnlyList<InterpolationFrame>>(
            "interpolate",
            () =>
            {
                var a = Carried(true, from, asked, cancellationToken);
                var b = Carried(true, to, asked, cancellationToken);
                var frames = new InterpolationFrame[asked.Frames];

                for (var k = 0; k < frames.Length; k++)
                {
                    var share = (double)k / (frames.Length - 1);
                    using var x = a.ToCore();
                    using var y = b.ToCore();
                    using var z = FlowWork.Between(asked.Spherical, share, x, y);
                    var labels = share < 0.5 ? a.LabelArray : b.LabelArray;
                    frames[k] = new InterpolationFrame(
                        share,
                        Carried(false, Latents(z, labels), asked, cancellationToken)
                    );
                }

                return frames;
            },
            cancellationToken
        );
    }

    /// <summary>Keeps a trained model: a folder that <see cref="LoadAsync"/> and the command line read.</summary>
    /// <param name="path">The folder; it is made where it is not there.</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="InvalidOperationException">The model was not trained: it is an exact law or a field.</exception>
    public Task SaveAsync(string path, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);

        if (folder is null)
        {
            throw new InvalidOperationException($"{Name} was not trained: there is nothing to keep.");
        }

        return Request(
            "save",
            () =>
            {
                ModelWork.Copy(folder, path);
                return true;
            },
            cancellationToken
        );
    }

    private SampleBatch Carried(bool toNoise, SampleBatch samples, FlowOptions options, CancellationToken cancellation)
    {
        var model = Watched(subject, cancellation);
        var drawing = SampleWork.Drawing(model, options.ToRequest());
        var labels = LabelsOf(samples, options.Label);
        using var x = samples.ToCore();
        using var y = toNoise ? FlowWork.Encode(model, drawing, x, labels) : FlowWork.Decode(model, drawing, x, labels);
        return toNoise ? Latents(y, labels) : Batch(y, labels);
    }

    // The model under the guidance that is asked for, and how it is to be drawn from, for as long as the work takes.
    private T Generated<T>(GenerationOptions asked, CancellationToken cancellation, Func<Subject, Drawing, T> work)
    {
        using var weaker = asked.WeakerModel?.Hold();
        var request = asked.ToRequest();
        using var guided = GuidanceWork.Guided(subject, request, asked.WeakerModel?.subject);
        var model = Watched(guided.Subject, cancellation);
        return work(model, SampleWork.Drawing(model, request));
    }

    // A request that can be cancelled looks at it before each call of the network.
    private static Subject Watched(Subject model, CancellationToken cancellation) =>
        cancellation.CanBeCanceled ? SampleWork.Watched(model, cancellation.ThrowIfCancellationRequested) : model;

    private int[]? LabelsOf(SampleBatch samples, int? label)
    {
        if (!subject.Labels)
        {
            return null;
        }

        if (label is { } one)
        {
            var all = new int[samples.Count];
            Array.Fill(all, one);
            return all;
        }

        return samples.LabelArray
            ?? throw new ArgumentException(
                $"{Name} is told the class: say which with {nameof(FlowOptions.Label)}, or give samples with labels.",
                nameof(FlowOptions.Label)
            );
    }

    private void RequireShape(SampleBatch samples, string argument)
    {
        ArgumentNullException.ThrowIfNull(samples, argument);

        Check.Samples(samples, shape, Name, argument);
    }

    private SampleBatch Batch(Fokker.Tensor x, int[]? labels) =>
        new(TensorModule.toArray<double>(x), shape, labels, units, subject.Kind.Dtype == Dtype.Float64);

    private SampleBatch Latents(Fokker.Tensor z, int[]? labels) =>
        new(TensorModule.toArray<double>(z), shape, labels, Fokker.Units.Same, subject.Kind.Dtype == Dtype.Float64);

    private SampleBatch Outside(Subject model, Fokker.Tensor x, int[]? labels)
    {
        using var outside = SampleWork.Outside(model, x);
        return Batch(outside, labels);
    }

    /// <summary>Runs a request on a worker, and tells telemetry.</summary>
    private async Task<T> Request<T>(string operation, Func<T> work, CancellationToken cancellation)
    {
        var held = Hold();
        var started = Stopwatch.GetTimestamp();
        using var activity = FokkerTelemetry.Activities.StartActivity($"fokker.{operation}");
        activity?.SetTag("fokker.model", Name);
        Exception? failure = null;

        try
        {
            return await runtime.RunAsync(work, cancellation).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
            activity?.SetStatus(ActivityStatusCode.Error, error.Message);
            throw;
        }
        finally
        {
            FokkerTelemetry.Finished(operation, Name, started, failure);
            held.Dispose();
        }
    }

    private Holding Hold()
    {
        while (true)
        {
            var now = Volatile.Read(ref holders);
            ObjectDisposedException.ThrowIf(now == 0 || Volatile.Read(ref disposed) == 1, this);

            if (Interlocked.CompareExchange(ref holders, now + 1, now) == now)
            {
                return new Holding(this);
            }
        }
    }

    private void LetGo()
    {
        if (Interlocked.Decrement(ref holders) == 0)
        {
            // Freeing needs no thread of libtorch's.
            release();
        }
    }

    private readonly struct Holding(FlowModel model) : IDisposable
    {
        public void Dispose() => model.LetGo();
    }

    /// <summary>Takes no more requests; frees the memory once the last one has its answer.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) == 0)
        {
            LetGo();
        }
    }

    /// <summary>As <see cref="Dispose"/>.</summary>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }
}
