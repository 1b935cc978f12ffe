using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>Many requests at once, on a fixed set of threads.</summary>
[NonParallelizable]
public class ConcurrencyTests
{
    private static Task<FlowModel> Small(FokkerRuntime runtime) =>
        new FlowTrainer(
            new TrainingOptions
            {
                Steps = 5,
                BatchSize = 32,
                Width = 32,
                Depth = 2,
            },
            runtime
        ).TrainAsync(DataSources.Moons);

    [TestCase(1)]
    [TestCase(3)]
    public async Task ThirtyTwoRequestsAtOnceAreThoseOneAfterTheOther(int workers)
    {
        using var runtime = new FokkerRuntime(new FokkerOptions { Workers = workers });
        await using var model = await Small(runtime);

        SampleOptions Of(int k) =>
            new()
            {
                Count = 50 + k,
                Seed = k,
                Steps = 3 + (k % 4),
                Solver = Solvers.All[k],
            };

        var alone = new List<double[]>();

        for (var k = 0; k < 32; k++)
        {
            alone.Add((await model.SampleAsync(Of(k))).ToDoubleArray());
        }

        var together = await Task.WhenAll(Enumerable.Range(0, 32).Select(k => model.SampleAsync(Of(k))));

        for (var k = 0; k < 32; k++)
        {
            Assert.That(together[k].ToDoubleArray(), Is.EqualTo(alone[k]), $"request {k}, {Solvers.All[k]}");
        }
    }

    /// <summary>Work on a worker asks its own runtime, of one worker, and waits for the answer: behind itself in the queue it would wait for ever.</summary>
    [Test]
    public async Task RequestsFromAWorkerRunWhereTheyAre()
    {
        using var runtime = new FokkerRuntime(new FokkerOptions { Workers = 1 });
        await using var model = await Small(runtime);
        var options = new SampleOptions { Count = 5, Seed = 3 };
        var outside = await model.SampleAsync(options);

        var nested = await runtime
            .RunAsync(() => model.SampleAsync(options).GetAwaiter().GetResult())
            .WaitAsync(TimeSpan.FromMinutes(1));

        var threads = new List<(string? Before, string? After)>();

        await runtime
            .RunAsync(async () =>
            {
                for (var k = 0; k < 3; k++)
                {
                    var before = Thread.CurrentThread.Name;
                    var inside = await model.SampleAsync(options);
                    threads.Add((before, Thread.CurrentThread.Name));
                    Assert.That(inside.ToDoubleArray(), Is.EqualTo(outside.ToDoubleArray()));
                }
            })
            .WaitAsync(TimeSpan.FromMinutes(1));

        var steps = 0;

        await runtime
            .RunAsync(async () =>
            {
                await foreach (var step in model.SampleStepsAsync(options with { Steps = 4 }))
                {
                    steps = step.Step;
                }
            })
            .WaitAsync(TimeSpan.FromMinutes(1));

        Assert.That(nested.ToDoubleArray(), Is.EqualTo(outside.ToDoubleArray()));
        Assert.That(threads, Is.All.EqualTo(("Fokker worker 0", "Fokker worker 0")));
        Assert.That(steps, Is.EqualTo(4));
    }

    /// <summary>A request on a worker that fails or is cancelled is its own affair.</summary>
    [Test]
    public async Task AFailureOnAWorkerLeavesTheWorkerAtWork()
    {
        using var runtime = new FokkerRuntime(new FokkerOptions { Workers = 1 });

        Task<int> Fails() => runtime.RunAsync(int () => throw new InvalidOperationException("inner"));

        Assert.That(
            async () => await runtime.RunAsync(async () => await Fails()),
            Throws.InvalidOperationException.With.Message.EqualTo("inner")
        );

        Assert.That(
            async () => await runtime.RunAsync(() => runtime.RunAsync(() => 1, new CancellationToken(true))),
            Throws.InstanceOf<OperationCanceledException>()
        );

        Assert.That(await runtime.RunAsync(() => 2), Is.EqualTo(2));
    }

    /// <summary>Whoever asks while the runtime ends gets an answer or is told: no await is left that nothing completes.</summary>
    [Test]
    public async Task WhatIsAskedForWhileTheRuntimeEndsIsAnsweredOrRefused()
    {
        for (var round = 0; round < 300; round++)
        {
            var runtime = new FokkerRuntime(new FokkerOptions { Workers = 2 });
            using var start = new Barrier(4);

            var askers = Enumerable
                .Range(0, 3)
                .Select(_ =>
                    Task.Factory.StartNew(
                        () =>
                        {
                            var asked = new List<Task<int>>();
                            start.SignalAndWait();

                            try
                            {
                                for (var k = 0; k < 10_000; k++)
                                {
                                    asked.Add(runtime.RunAsync(() => 1));
                                }
                            }
                            catch (ObjectDisposedException) { }

                            return Task.WhenAll(asked);
                        },
                        TaskCreationOptions.LongRunning
                    )
                )
                .ToArray();

            start.SignalAndWait();
            runtime.Dispose();
            runtime.Dispose();

            foreach (var asker in askers)
            {
                var answers = await (await asker).WaitAsync(TimeSpan.FromSeconds(60));
                Assert.That(answers, Is.All.EqualTo(1));
            }

            Assert.That(() => runtime.RunAsync(() => 1), Throws.InstanceOf<ObjectDisposedException>());
        }
    }

    /// <summary>The steps of a preview may come from different threads: they are the same steps.</summary>
    [Test]
    public async Task PreviewsBesideOneAnotherAreThoseAlone()
    {
        using var runtime = new FokkerRuntime(new FokkerOptions { Workers = 3 });
        await using var model = await Small(runtime);

        async Task<double[]> Watch(int seed)
        {
            var seen = new List<double>();

            await foreach (
                var step in model.SampleStepsAsync(
                    new SampleOptions
                    {
                        Count = 8,
                        Seed = seed,
                        Steps = 6,
                    }
                )
            )
            {
                seen.AddRange(step.State.ToDoubleArray());
                await Task.Yield();
            }

            return [.. seen];
        }

        var alone = new List<double[]>();

        for (var k = 0; k < 16; k++)
        {
            alone.Add(await Watch(k));
        }

        var together = await Task.WhenAll(Enumerable.Range(0, 16).Select(Watch));
        Assert.That(together, Is.EqualTo(alone));
    }

    // .NET's own come and go, and say so by their names. A worker's helpers have the worker's.
    private static List<string> Threads() =>
        Directory
            .GetDirectories("/proc/self/task")
            .Select(task => File.ReadAllText(Path.Combine(task, "comm")).Trim())
            .Where(name => !name.StartsWith(".NET"))
            .Order()
            .ToList();

    /// <summary>Tensors that are alive, the native bytes that they have, and the bytes of the managed heap: what requests would leave, whatever the
    /// machine does besides.</summary>
    private static (long Tensors, long Native, long Managed) Held()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var managed = GC.GetTotalMemory(forceFullCollection: true);
        return (Scope.live(), Torch.memory().Live, managed);
    }

    /// <summary>10,000 requests, 50 at a time. After the first thousand there are no more tensors, bytes and threads than before.</summary>
    [Test, Category("Full")]
    public async Task TenThousandRequestsLeaveMemoryAndThreadsAsTheyWere()
    {
        using var runtime = new FokkerRuntime(new FokkerOptions { Workers = 2 });
        await using var model = await Small(runtime);

        async Task Ask(int from, int to)
        {
            for (var first = from; first < to; first += 50)
            {
                await Task.WhenAll(
                    Enumerable
                        .Range(first, 50)
                        .Select(k =>
                            model.SampleAsync(
                                new SampleOptions
                                {
                                    Count = 64,
                                    Seed = k,
                                    Steps = 2,
                                }
                            )
                        )
                );
            }
        }

        await Ask(0, 1000);
        var (threads, before) = (Threads(), Held());
        await Ask(1000, 10_000);
        Assert.That(threads.Count(name => name.StartsWith("Fokker worker")), Is.GreaterThanOrEqualTo(2));
        Assert.That(Threads(), Is.EqualTo(threads));
        var after = Held();
        Assert.That(after.Tensors, Is.LessThanOrEqualTo(before.Tensors));
        // What each of the 9,000 left would take a hundred bytes and more; on the managed engine .NET's own little is counted among the native ones.
        Assert.That(after.Native - before.Native, Is.LessThan(900_000));
        Assert.That(after.Managed - before.Managed, Is.LessThan(900_000));
    }

    [Test]
    public async Task ARequestThatWasTakenBackIsNotRun()
    {
        using var runtime = new FokkerRuntime();
        using var gate = new ManualResetEventSlim();
        var blocking = runtime.RunAsync(() =>
        {
            gate.Wait();
            return 1;
        });
        using var cancellation = new CancellationTokenSource();
        var ran = false;
        var waiting = runtime.RunAsync(() => ran = true, cancellation.Token);
        cancellation.Cancel();
        gate.Set();
        Assert.That(await blocking, Is.EqualTo(1));
        Assert.CatchAsync<OperationCanceledException>(() => waiting);
        Assert.That(ran, Is.False);
    }
}
