using System.Collections.Concurrent;

namespace Fokker;

/// <summary>A fixed set of threads that run all that enters libtorch. Every thread that does so grows a team of helpers of its own, which stays as long as
/// the thread; requests therefore come to the same few threads, in the order in which they are made.</summary>
/// <remarks>Results do not depend on the number of workers, nor on who else asks.</remarks>
public sealed class FokkerRuntime : IDisposable
{
    private static readonly Lazy<FokkerRuntime> Shared = new(() => new FokkerRuntime());

    /// <summary>Whose worker this thread is.</summary>
    [ThreadStatic]
    private static FokkerRuntime? here;

    private readonly ConcurrentQueue<IRequest> queue = new();
    private readonly SemaphoreSlim available = new(0);
    private volatile bool disposed;

    /// <summary>Starts the workers.</summary>
    /// <param name="options">How many, and how wide (one worker of all cores).</param>
    public FokkerRuntime(FokkerOptions? options = null)
    {
        Options = options ?? new FokkerOptions();
        ThreadsPerWorker = Options.ThreadsPerWorker ?? Math.Max(1, Environment.ProcessorCount / Options.Workers);

        for (var k = 0; k < Options.Workers; k++)
        {
            new Thread(Work) { IsBackground = true, Name = $"Fokker worker {k}" }.Start();
        }
    }

    /// <summary>The runtime that is used where none is given.</summary>
    public static FokkerRuntime Default => Shared.Value;

    /// <summary>What it was started with.</summary>
    public FokkerOptions Options { get; }

    /// <summary>Threads inside one operator of a worker.</summary>
    public int ThreadsPerWorker { get; }

    /// <summary>Runs work on one of the workers: the place for computations with tensors of your own.</summary>
    /// <typeparam name="T">What the work gives.</typeparam>
    /// <param name="work">The work; it is to return no tensor that it does not own. A request that it makes of this runtime runs where it is, at once.</param>
    /// <param name="cancellationToken">Takes the work back where it has not begun; work that has begun looks at it itself.</param>
    public Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(work);
        ObjectDisposedException.ThrowIf(disposed, this);
        var request = new Request<T>(work, cancellationToken);

        if (here == this)
        {
            // Behind others it might wait for the very thread that waits for it.
            request.Run(() => { });
            return request.Task;
        }

        // Under the lock every request is in the queue before the workers are told to end, or is refused: none is left without a worker.
        lock (queue)
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            queue.Enqueue(request);
            available.Release();
        }

        FokkerTelemetry.Queued(1);
        return request.Task;
    }

    /// <summary>Runs asynchronous work that begins on one of the workers, and stays there for as long as all that it awaits are this runtime's requests, which
    /// then run at once.</summary>
    /// <typeparam name="T">What the work gives.</typeparam>
    /// <param name="work">The work; other requests wait for it while it stays.</param>
    /// <param name="cancellationToken">Takes the work back where it has not begun; work that has begun looks at it itself.</param>
    /// <remarks>For many small requests, each of which needs the one before. From another thread each costs two threads a wake-up, some ten microseconds:
    /// <code>await runtime.RunAsync(async () =&gt; { foreach (var options in many) results.Add(await model.SampleAsync(options)); });</code></remarks>
    public Task<T> RunAsync<T>(Func<Task<T>> work, CancellationToken cancellationToken = default) =>
        RunAsync<Task<T>>(work, cancellationToken).Unwrap();

    /// <inheritdoc cref="RunAsync{T}(Func{Task{T}}, CancellationToken)"/>
    public Task RunAsync(Func<Task> work, CancellationToken cancellationToken = default) =>
        RunAsync<Task>(work, cancellationToken).Unwrap();

    private void Work()
    {
        here = this;
        var entered = false;

        while (true)
        {
            available.Wait();

            if (!queue.TryDequeue(out var request))
            {
                // Woken to end.
                return;
            }

            FokkerTelemetry.Queued(-1);
            request.Run(() =>
            {
                // On the first request, so that a machine without libtorch is an exception that someone awaits.
                if (!entered)
                {
                    Torch.setOwnThreads(ThreadsPerWorker);
                    entered = true;
                }
            });
        }
    }

    /// <summary>Ends the workers once what was asked for is done. What is asked for afterwards is an <see cref="ObjectDisposedException"/>.</summary>
    public void Dispose()
    {
        lock (queue)
        {
            if (!disposed)
            {
                disposed = true;
                available.Release(Options.Workers);
            }
        }
    }

    private interface IRequest
    {
        void Run(Action prepare);
    }

    private sealed class Request<T>(Func<T> work, CancellationToken cancellation)
        : TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously),
            IRequest
    {
        public void Run(Action prepare)
        {
            if (cancellation.IsCancellationRequested)
            {
                TrySetCanceled(cancellation);
                return;
            }

            try
            {
                TrySetResult(
                    Translate.Errors(() =>
                    {
                        prepare();
                        return work();
                    })
                );
            }
            catch (OperationCanceledException error)
            {
                TrySetCanceled(error.CancellationToken);
            }
            catch (Exception error)
            {
                TrySetException(error);
            }
        }
    }
}
