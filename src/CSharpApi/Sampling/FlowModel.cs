using System.Diagnostics;
using System.Runtime.CompilerServices;
using Fokker.Interop;

namespace Fokker;

/// <summary>A model: a trained run, an exact law, or a field of yours. It draws samples, knows densities, and carries data to noise and back.</summary>
/// <remarks>Requests may come from any thread, and many at once: a <see cref="FokkerRuntime"/> runs them, and the results are those of one after the other, bit
/// for bit. Where memory is held it is freed once the model is disposed of and the last request has its answer.</remarks>
public sealed partial class FlowModel : IDisposable, IAsyncDisposable
{
    private readonly Action release;
    private readonly FokkerRuntime runtime;
    private readonly int[] shape;

    // Of what the flow moves: a sample, or its latent.
    private readonly int[] stateShape;
    private readonly string[] classes;
    private readonly SampleBatch.Kept inData;
    private readonly SampleBatch.Kept inNoise;

    // The owner holds one, and each request one for as long as it lasts; whoever gives back the last frees the memory.
    private int holders = 1;
    private int disposed;

    internal FlowModel(GenerativeModel core, Action release, FokkerRuntime runtime, TrainingSummary? training = null)
    {
        Core = core;
        this.release = release;
        this.runtime = runtime;
        Training = training;
        Path = FlowPath.Of(core.Path);
        shape = [.. core.Shape];
        stateShape = [.. core.StateShape];
        classes = [.. core.Classes];
        var isWide = core.Kind.Dtype == Dtype.Float64;
        var (low, high) = core.Range;
        var (areText, areSeries, areBytes) = FileWork.Kind(core);
        SampleKind =
            areText ? SampleKind.Text
            : areSeries ? SampleKind.Series
            : shape.Length == 3 ? SampleKind.Images
            : SampleKind.Points;
        inData = new((low, high), areBytes, isWide || UnitsModule.needDouble(core.Units))
        {
            Columns = core.Columns,
            Kind = SampleKind,
        };
        inNoise = new(
            (-1.0, 1.0),
            ArePixels: false,
            isWide || (core.Source is { } source && UnitsModule.needDouble(source.Value.Units))
        );
    }

    internal GenerativeModel Core { get; }

    /// <summary>What it is called: after its file, its run’s folder, its data, or a name of yours.</summary>
    public string Name => Core.Name;

    /// <summary>The path that it learned on.</summary>
    public FlowPath Path { get; }

    /// <summary>The shape of a sample: [d], or [channels, height, width].</summary>
    public IReadOnlyList<int> SampleShape => shape;

    /// <summary>What its samples are, and so how one looks at them.</summary>
    public SampleKind SampleKind { get; }

    /// <summary>The names of the classes, by number; empty where there are none.</summary>
    public IReadOnlyList<string> Classes => classes;

    /// <summary>Whether it is told the class of what it makes: <see cref="SolverOptions.Label"/> then chooses one.</summary>
    public bool IsConditional => Core.IsToldClass;

    /// <summary>What it is told of a sample in numbers, which <see cref="SolverOptions.Given"/> says: the names of columns, <c>low-resolution:4</c>, <c>inpainting</c> or <c>class+inpainting</c>; null where it is told nothing of that kind.</summary>
    public string? Given => ModelWork.Given(Core);

    /// <summary>The values that are black and white in a picture of its images, in the data’s units.</summary>
    public (double Low, double High) ValueRange => inData.Range!.Value;

    /// <summary>The rows of a .csv file as samples of this model, by the columns of its data (<see cref="DataSource.FromCsv"/>): for likelihoods, or to be completed.</summary>
    /// <param name="path">The file; its columns are found by their names.</param>
    /// <param name="toComplete">Whether a missing cell is to be filled in, by <see cref="ImputeAsync"/>: it is NaN then. Otherwise it is a value like any other.</param>
    /// <exception cref="FokkerException">The file is missing or damaged, or holds what the model does not know; the line and the column are named.</exception>
    public SampleBatch ReadCsv(string path, bool toComplete = false)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var (_, values) = Translate.Errors(() => FileWork.ReadCsv(Core, path, toComplete));
        return new SampleBatch(values, shape, null, inData);
    }

    /// <summary>What a file tells the model of samples: the rows of a .csv under the names of its columns, the arrays of a .npy, or a picture.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FokkerException">The file is missing or damaged, or holds what the model does not know.</exception>
    public SampleBatch ReadGiven(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var (sizes, values) = Translate.Errors(() => FileWork.ReadGiven(Core, path));
        return SampleBatch.FromArray(values, sizes);
    }

    /// <summary>Short texts as the model is told them, for <see cref="SolverOptions.Given"/>: one for all samples, or one for each.</summary>
    /// <param name="texts">The texts; null or empty where nothing is told.</param>
    /// <exception cref="FokkerException">The model is not told a short text alone, or one is longer than all that it was told.</exception>
    public SampleBatch GivenTexts(params string?[] texts)
    {
        ArgumentNullException.ThrowIfNull(texts);
        var (sizes, values) = Translate.Errors(() => DataWork.Texts(Core, texts));
        return SampleBatch.FromArray(values, sizes);
    }

    /// <summary>The number of a class, which <c>Label</c> of the options takes.</summary>
    /// <param name="className">Its name.</param>
    /// <exception cref="ArgumentException">There is no class of this name; the exception says which are near it.</exception>
    public int LabelOf(string className)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(className);
        return Translate.Errors(() => GenerativeModelModule.classOf(Setting.Class, Core, className));
    }

    /// <summary>What its training came to, where it was trained here; null elsewhere.</summary>
    public TrainingSummary? Training { get; }

    /// <summary>A trained model, kept by <see cref="SaveAsync"/>, by a training with a <see cref="TrainingOptions.Folder"/>, or by the command line. It needs its
    /// own file alone: neither the data nor the rest of the run.</summary>
    /// <param name="file">A model’s file, <c>moons.safetensors</c>, or a run’s folder.</param>
    /// <param name="device">Where it is to compute (the CPU).</param>
    /// <param name="precision">What it is to compute in (what it was trained in).</param>
    /// <param name="path">The path it was trained on, where that is one of yours.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">There is no model, or its file is damaged.</exception>
    /// <exception cref="ArgumentException">It cannot be computed in this precision here.</exception>
    public static Task<FlowModel> LoadAsync(
        string file,
        string? device = null,
        Precision? precision = null,
        FlowPath? path = null,
        FokkerRuntime? runtime = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(file);
        var threads = runtime ?? FokkerRuntime.Default;

        return threads.RunAsync(
            () =>
            {
                var core = ModelWork.Load(
                    file,
                    path is { IsOwn: true } ? [path.Core] : [],
                    device,
                    precision?.ToDtype()
                );
                return new FlowModel(core, () => ModelWork.Free(core), threads);
            },
            cancellationToken
        );
    }

    /// <summary>A run’s parameters averaged over its training by a power function of any length, where it was trained with <see cref="TrainingOptions.PowerAverages"/> (Karras et al. 2024, EDM2).</summary>
    /// <param name="folder">The run’s folder.</param>
    /// <param name="length">The standard deviation of the weights as a share of the training’s steps, from 0.025 to 0.25.</param>
    /// <param name="device">Where it is to compute (the CPU).</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="FokkerException">There is no run, or its training kept no such averages.</exception>
    /// <exception cref="ArgumentException">The length is not between these.</exception>
    public static Task<FlowModel> LoadAverageAsync(
        string folder,
        double length,
        string? device = null,
        FokkerRuntime? runtime = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        var threads = runtime ?? FokkerRuntime.Default;

        return threads.RunAsync(
            () =>
            {
                var core = ModelWork.LoadAverage(folder, length, device);
                return new FlowModel(core, () => ModelWork.Free(core), threads);
            },
            cancellationToken
        );
    }

    /// <summary>An exact law in the network’s place: the error of its samples is then the solver’s alone.</summary>
    /// <param name="law">The law.</param>
    /// <param name="path">How it becomes noise (<see cref="FlowPaths.CondOt"/>).</param>
    /// <param name="parametrization">What the law gives in the network’s place (the velocity).</param>
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
        CheckField(sampleShape, name, precision);
        var own = (path ?? FlowPaths.CondOt).Core;
        var core = ModelWork.OfField(name, sampleShape, own, PredictionOf(parametrization), precision.ToDtype(), field);
        return new FlowModel(core, () => { }, runtime ?? FokkerRuntime.Default);
    }

    /// The same with a field that is told the time of each sample, t [n].
    internal static FlowModel FromBatchField(
        Func<Fokker.Tensor, Fokker.Tensor, Fokker.Tensor> field,
        int[] sampleShape,
        FlowPath? path,
        Parametrization? parametrization,
        Precision precision,
        string name,
        FokkerRuntime? runtime
    )
    {
        CheckField(sampleShape, name, precision);
        var own = (path ?? FlowPaths.CondOt).Core;
        var said = PredictionOf(parametrization);
        var core = ModelWork.OfBatchField(name, sampleShape, own, said, precision.ToDtype(), field);
        return new FlowModel(core, () => { }, runtime ?? FokkerRuntime.Default);
    }

    private static void CheckField(int[] sampleShape, string name, Precision precision)
    {
        if (precision is not (Precision.Single or Precision.Double))
            throw new ArgumentOutOfRangeException(nameof(precision), precision, "A field is given float32 or float64.");

        ArgumentNullException.ThrowIfNull(sampleShape);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        if (sampleShape.Length == 0 || sampleShape.Any(side => side < 1))
        {
            throw new ArgumentException(
                $"[{string.Join(", ", sampleShape)}] is no shape of a sample: expected [d] or [channels, height, width].",
                nameof(sampleShape)
            );
        }
    }

    private static Prediction PredictionOf(Parametrization? parametrization) =>
        Catalogue.predictions.Find((parametrization ?? Parametrizations.Velocity).Name);

    /// <summary>Draws samples.</summary>
    /// <param name="options">How, and how many; one sample unless you ask for more.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">An option asks for what is not there, or what the model cannot do; the exception names it.</exception>
    /// <exception cref="FokkerException">The solver failed; the message says where, and what may help.</exception>
    public Task<SampleBatch> SampleAsync(SampleOptions? options = null, CancellationToken cancellationToken = default)
    {
        var asked = options ?? new SampleOptions();

        return Generated(
            "sample",
            asked,
            classifier =>
            {
                var task = Watched(SampleWork.Task(Core, asked.ToRequest(classifier)), cancellationToken);
                var samples = Batch(SampleWork.Draw(task), SampleWork.Labels(task));
                FokkerTelemetry.Samples.Add(task.Count);
                return samples;
            },
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
        using var held = Hold();
        using var weaker = asked.AutoguidanceModel?.Hold();
        OpenedClassifier? classifier = null;
        IEnumerator<State>? states = null;

        try
        {
            var (task, labels) = await runtime
                .RunAsync(
                    () =>
                    {
                        classifier = Opened(asked);
                        var task = SampleWork.StepsTask(Core, asked.ToRequest(classifier));
                        states = SampleWork.States(task).GetEnumerator();
                        return (task, SampleWork.Labels(task));
                    },
                    cancellationToken
                )
                .ConfigureAwait(false);
            var steps = 0;

            while (true)
            {
                var step = await runtime
                    .RunAsync(
                        () =>
                        {
                            if (!states!.MoveNext())
                            {
                                return null;
                            }

                            var state = states.Current;
                            using var x = state.X;
                            using var denoised = SampleWork.Denoised(state);
                            steps = Math.Max(task.Drawing.Steps, state.Step);
                            return new SampleStep(
                                state.Step,
                                steps,
                                state.Time,
                                Outside(x, labels),
                                denoised is null ? null : Outside(denoised, labels)
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

            FokkerTelemetry.Samples.Add(task.Count);
        }
        finally
        {
            // On a worker, since it frees what the solver still holds.
            await runtime
                .RunAsync(() =>
                {
                    states?.Dispose();
                    (classifier as IDisposable)?.Dispose();
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
                var found = FlowWork.LogDensity(
                    Watched(cancellationToken),
                    asked.ToRequest(),
                    asked.Seed,
                    samples.ToCore(),
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

    /// <summary>The latents of samples: the standard normal numbers that the flow makes them of, or samples of the <see cref="TrainingOptions.Source"/> in its own units.</summary>
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
    /// <param name="latents">Standard normal numbers; samples of the <see cref="TrainingOptions.Source"/>, where the model was trained with one.</param>
    /// <param name="options">How the flow is followed.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The latents have another shape than the model’s samples, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> DecodeAsync(
        SampleBatch latents,
        FlowOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        Check.Samples(latents, stateShape, Name, nameof(latents));
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
                    var z = FlowWork.Between(Core, asked.Spherical, share, a.ToCore(), b.ToCore());
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

    /// <summary>Keeps a trained model in one file, which <see cref="LoadAsync"/> and the command line read wherever it is moved to.</summary>
    /// <param name="path">The file, <c>moons.safetensors</c>; a path without that ending is a folder, made where there is none, that gets a
    /// <c>model.safetensors</c>.</param>
    /// <param name="cancellationToken">Takes the request back.</param>
    /// <exception cref="InvalidOperationException">The model was not trained: it is an exact law or a field.</exception>
    /// <exception cref="FokkerException">The file cannot be written.</exception>
    public Task SaveAsync(string path, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);

        return Request(
            "save",
            () =>
                ModelWork.Save(Core, path)
                    ? true
                    : throw new InvalidOperationException($"{Name} was not trained: there is nothing to keep."),
            cancellationToken
        );
    }

    private SampleBatch Carried(bool toNoise, SampleBatch samples, FlowOptions options, CancellationToken cancellation)
    {
        var model = Watched(cancellation);
        var request = options.ToGeneration();
        var labels = LabelsOf(samples, options.Label);
        return toNoise
            ? Latents(FlowWork.Encode(model, request, samples.ToCore(), labels), labels)
            : Batch(FlowWork.Decode(model, request, samples.ToCore(), labels), labels);
    }

    // A request for samples, with the other models that guide them at hand for as long as it takes.
    private async Task<T> Generated<T>(
        string operation,
        GenerationOptions asked,
        Func<OpenedClassifier?, T> work,
        CancellationToken cancellation
    )
    {
        using var weaker = asked.AutoguidanceModel?.Hold();
        using var ahead = (asked as SampleOptions)?.LookAheadModel?.Hold();
        return await Request(
                operation,
                () =>
                {
                    using var classifier = Opened(asked);
                    return work(classifier);
                },
                cancellation
            )
            .ConfigureAwait(false);
    }

    private OpenedClassifier? Opened(GenerationOptions asked) =>
        asked.Classifier is { } source ? ModelWork.Classifier(source.File, Core) : null;

    // A request that can be cancelled looks at it before each call of the network.
    private GenerativeModel Watched(CancellationToken cancellation) =>
        cancellation.CanBeCanceled ? SampleWork.Watched(Core, cancellation.ThrowIfCancellationRequested) : Core;

    private static SamplingTask Watched(SamplingTask task, CancellationToken cancellation) =>
        cancellation.CanBeCanceled ? SampleWork.Watched(task, cancellation.ThrowIfCancellationRequested) : task;

    private int[]? LabelsOf(SampleBatch samples, int? label)
    {
        if (!Core.Labels)
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

    private void RequireShape(SampleBatch samples, string argument) => Check.Samples(samples, shape, Name, argument);

    private SampleBatch Batch(Fokker.Tensor x, int[]? labels) =>
        new(TensorModule.toArray<double>(x), shape, labels, inData);

    private SampleBatch Latents(Fokker.Tensor z, int[]? labels) =>
        new(TensorModule.toArray<double>(z), stateShape, labels, inNoise);

    private SampleBatch Outside(Fokker.Tensor x, int[]? labels)
    {
        using var outside = SampleWork.Outside(Core, x);
        return Batch(outside, labels);
    }

    /// <summary>Runs a request on a worker, frees the tensors that it leaves, and tells telemetry.</summary>
    private async Task<T> Request<T>(string operation, Func<T> work, CancellationToken cancellation)
    {
        var held = Hold();
        var started = Stopwatch.GetTimestamp();
        using var activity = FokkerTelemetry.Activities.StartActivity($"fokker.{operation}");
        activity?.SetTag("fokker.model", Name);
        Exception? failure = null;

        try
        {
            return await runtime.RunAsync(() => Memory.Freed(work), cancellation).ConfigureAwait(false);
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
