using System.Diagnostics;
using Fokker.Interop;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Fokker;

/// <summary>Trains models.</summary>
/// <example><code>
/// var trainer = new FlowTrainer(new TrainingOptions { Steps = 4000 });
/// await using var model = await trainer.TrainAsync(DataSources.Moons);
/// </code></example>
public sealed partial class FlowTrainer
{
    private readonly ILogger logger;
    private readonly FokkerRuntime? runtime;
    private readonly string? resumed;

    /// <summary>A trainer.</summary>
    /// <param name="options">How to train; anything left out gets a default chosen for the data.</param>
    /// <param name="runtime">The threads that the model will run on; <see cref="FokkerRuntime.Default"/> where none is named. Training has one of its own.</param>
    /// <param name="logger">Hears of beginnings, ends and, now and then, of the loss.</param>
    public FlowTrainer(
        TrainingOptions? options = null,
        FokkerRuntime? runtime = null,
        ILogger<FlowTrainer>? logger = null
    )
        : this(options ?? new TrainingOptions(), null, runtime, logger) { }

    private FlowTrainer(TrainingOptions options, string? resumed, FokkerRuntime? runtime, ILogger<FlowTrainer>? logger)
    {
        Options = options;
        this.resumed = resumed;
        this.runtime = runtime;
        this.logger = logger ?? NullLogger<FlowTrainer>.Instance;
    }

    /// <summary>How it trains. Of one that resumes, only what does not change a run’s course: the paths of its own and how often progress is told.</summary>
    public TrainingOptions Options { get; }

    /// <summary>A trainer that goes on with a run from its checkpoint, with the settings of its <c>run.json</c>; it ends with the same bytes as if it had
    /// never been interrupted.</summary>
    /// <param name="folder">The run’s folder.</param>
    /// <param name="options">Where the run is on a path of your own, the options that it was begun with.</param>
    /// <param name="runtime">The threads that the model will run on.</param>
    /// <param name="logger">Hears of beginnings and ends.</param>
    /// <exception cref="DirectoryNotFoundException">There is no run in the folder.</exception>
    public static FlowTrainer ResumeFrom(
        string folder,
        TrainingOptions? options = null,
        FokkerRuntime? runtime = null,
        ILogger<FlowTrainer>? logger = null
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);

        if (!ModelWork.IsRun(ModelWork.Folder(folder)))
        {
            throw new DirectoryNotFoundException($"{folder}: there is no run in this folder (no run.json).");
        }

        return new FlowTrainer((options ?? new TrainingOptions()) with { Folder = folder }, folder, runtime, logger);
    }

    /// <summary>Trains a model, on a thread of its own.</summary>
    /// <param name="data">What to learn. A run that is resumed finds data that have a name by itself; data that were in memory are to be given again.</param>
    /// <param name="progress">Hears of the steps, at most every <see cref="TrainingOptions.ProgressInterval"/>.</param>
    /// <param name="cancellationToken">Ends the training after the step that it is in; its state is saved.</param>
    /// <returns>The model, which is the caller’s to dispose of.</returns>
    /// <exception cref="ArgumentException">An option names what is not there, or options do not fit each other or the data; it names the option.</exception>
    /// <exception cref="TrainingCanceledException">It was cancelled; the exception says where the run is saved.</exception>
    /// <exception cref="FokkerException">The loss or its gradient was no finite number, or a file cannot be written; or the machine lacks libtorch.</exception>
    public Task<FlowModel> TrainAsync(
        DataSource? data = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default
    ) => OnItsOwnThread(data, open => TrainModel(open, progress, cancellationToken), cancellationToken);

    /// <summary>Trains a classifier of noisy samples, which guides models (<see cref="GenerationOptions.Classifier"/>), into
    /// <see cref="TrainingOptions.Folder"/>.</summary>
    /// <param name="data">Data with classes.</param>
    /// <param name="progress">Hears of the steps.</param>
    /// <param name="cancellationToken">Ends the training after the step that it is in; its state is saved.</param>
    /// <exception cref="ArgumentException">There is no folder, or the loss is another; the exception names the option.</exception>
    /// <exception cref="TrainingCanceledException">It was cancelled; the exception says where the run is saved.</exception>
    public Task<TrainingSummary> TrainClassifierAsync(
        DataSource? data = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        if (Options.Folder is null)
        {
            throw new ArgumentException(
                $"{nameof(TrainingOptions.Folder)} is missing: a classifier is used from its folder.",
                nameof(TrainingOptions.Folder)
            );
        }

        if (Options.Loss is { } loss && loss != Losses.Classifier)
        {
            throw new ArgumentException(
                $"{nameof(TrainingOptions.Loss)} is {loss}: expected {nameof(Losses)}.{nameof(Losses.Classifier)}.",
                nameof(TrainingOptions.Loss)
            );
        }

        return OnItsOwnThread(
            data,
            open =>
            {
                var options = Options with { Loss = Losses.Classifier };
                var (_, result, summary) = Train(options, Options.Folder, open, progress, cancellationToken);
                ModelWork.Free(result.State);
                return summary;
            },
            cancellationToken
        );
    }

    private async Task<T> OnItsOwnThread<T>(
        DataSource? data,
        Func<Func<Dataset>?, T> train,
        CancellationToken cancellationToken
    )
    {
        if (resumed is null)
        {
            ArgumentNullException.ThrowIfNull(data);
        }

        var open = data is null ? null : await data.OpenAsync(cancellationToken).ConfigureAwait(false);
        using var activity = FokkerTelemetry.Activities.StartActivity("fokker.train");
        activity?.SetTag("fokker.data", data?.Name);

        // One thread from beginning to end: what enters libtorch grows a team of helpers, which ends with the thread.
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                done.SetResult(Translate.Errors(() => train(open)));
            }
            catch (Exception error)
            {
                activity?.SetStatus(ActivityStatusCode.Error, error.Message);
                done.SetException(error);
            }
        })
        {
            IsBackground = true,
            Name = "Fokker training",
        };
        thread.Start();
        return await done.Task.ConfigureAwait(false);
    }

    private FlowModel TrainModel(
        Func<Dataset>? open,
        IProgress<TrainingProgress>? progress,
        CancellationToken cancellation
    )
    {
        if (Options.Loss == Losses.Classifier)
        {
            throw new ArgumentException(
                $"{nameof(TrainingOptions.Loss)} is {Options.Loss}, and a classifier is no model of data: call {nameof(TrainClassifierAsync)}.",
                nameof(TrainingOptions.Loss)
            );
        }

        if (Options.Folder is { } folder)
        {
            var (job, result, summary) = Train(Options, folder, open, progress, cancellation);
            return Trained(ModelWork.Folder(folder).Name, job, result, summary);
        }

        // A folder that nothing was written to goes with the claim: a training that is refused leaves none.
        var temporary = Path.Combine(Path.GetTempPath(), "fokker-run-" + Path.GetRandomFileName());
        var (made, ended, told) = Train(Options, temporary, open, progress, cancellation);
        Directory.Delete(temporary, recursive: true);
        return Trained(DataWork.Name(TrainingWork.Data(made)), made, ended, told with { Folder = null });
    }

    private FlowModel Trained(string name, Job job, RunResult result, TrainingSummary summary)
    {
        var core = ModelWork.Trained(name, job, result.State);

        return new FlowModel(
            core,
            () =>
            {
                ModelWork.Free(core);
                ModelWork.Free(result.State);
            },
            runtime ?? FokkerRuntime.Default,
            summary
        );
    }

    private (Job Job, RunResult Result, TrainingSummary Summary) Train(
        TrainingOptions options,
        string path,
        Func<Dataset>? open,
        IProgress<TrainingProgress>? progress,
        CancellationToken cancellation
    )
    {
        var folder = ModelWork.Folder(path);
        var paths = options.OwnPaths();
        var request = options.ToRequest();
        using var given = open is null ? null : new OpenedData(open());
        using var claim = TrainingWork.Claim(folder);
        var job = resumed is null
            ? TrainingWork.Start(claim, paths, request, given!.Data)
            : TrainingWork.Resume(folder, paths, given?.Data);
        using var own = new OpenedData(TrainingWork.Data(job));
        var steps = TrainingWork.Steps(job);
        LogStart(DataWork.Name(own.Data), TrainingWork.Parameters(job), steps);

        if (resumed is null && TrainingWork.Beginning(job) is { } beginning)
        {
            LogBeginning(path, beginning);
        }

        var last = default(TrainingProgress);
        var told = long.MinValue;

        void Stepped(StepInfo info, double seconds)
        {
            last = new TrainingProgress(
                info.Step,
                steps,
                info.Loss,
                info.GradientNorm,
                info.Rate,
                TimeSpan.FromSeconds(seconds)
            );
            FokkerTelemetry.TrainingSteps.Add(1);
            var isDue =
                told == long.MinValue
                || info.Step == steps
                || Stopwatch.GetElapsedTime(told) >= options.ProgressInterval;

            if (progress is not null && isDue)
            {
                told = Stopwatch.GetTimestamp();
                progress.Report(last);
            }
        }

        var result = TrainingWork.Train(claim, job, Stepped, () => cancellation.IsCancellationRequested);

        if (TrainingWork.Divergence(result) is { } divergence)
        {
            ModelWork.Free(result.State);
            LogDivergence(path, divergence);
            throw new FokkerException($"{divergence} (the run is in {path})");
        }

        if (!TrainingWork.IsFinished(result))
        {
            var step = result.State.Step;
            ModelWork.Free(result.State);
            LogCancelled(path, step);
            throw new TrainingCanceledException(path, step, cancellation);
        }

        var loss = last.Step == 0 ? double.NaN : last.Loss;
        LogFinished(path, result.State.Step, result.Seconds, loss);
        return (job, result, new TrainingSummary(result.State.Step, TimeSpan.FromSeconds(result.Seconds), loss, path));
    }

    [LoggerMessage(
        Level = LogLevel.Information,
        Message = "Training on {Data}: {Parameters} parameters, {Steps} steps"
    )]
    private partial void LogStart(string data, long parameters, long steps);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Folder} {Beginning}")]
    private partial void LogBeginning(string folder, string beginning);

    [LoggerMessage(
        Level = LogLevel.Information,
        Message = "Trained {Folder}: {Steps} steps in {Seconds:F1} s, last loss {Loss}"
    )]
    private partial void LogFinished(string folder, long steps, double seconds, double loss);

    [LoggerMessage(
        Level = LogLevel.Warning,
        Message = "Training of {Folder} was cancelled after step {Step} and is saved"
    )]
    private partial void LogCancelled(string folder, long step);

    [LoggerMessage(Level = LogLevel.Error, Message = "Training of {Folder} diverged: {Reason}")]
    private partial void LogDivergence(string folder, string reason);
}
