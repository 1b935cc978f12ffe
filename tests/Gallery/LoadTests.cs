using System.Net;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>Many clients, clients that leave, and models that are not what they were.</summary>
[NonParallelizable]
public class LoadTests
{
    [Test]
    public Task ClientsThatLeaveLeaveNothingBehind() => Crowd(clients: 8, rounds: 1);

    [Test, Category("Full")]
    public Task FiftyClientsAtOnceLeaveNothingBehind() => Crowd(clients: 50, rounds: 4);

    // Every client asks for samples of its own seed; every third leaves after the first bytes of a long stream. Who is told to come back does.
    private static async Task Crowd(int clients, int rounds)
    {
        await using var served = await Served.StartAsync(options => options with { Queue = 6 });
        await served.Http.GetByteArrayAsync("/api/models/moons/samples.npy?count=20");
        await served.Http.GetByteArrayAsync("/api/models/squares/samples.npy?count=2");
        var before = await Settled(served);

        for (var round = 0; round < rounds; round++)
        {
            var answers = await Task.WhenAll(
                Enumerable.Range(0, clients).Select(k => k % 3 == 2 ? Leave(served) : Ask(served, k))
            );

            // A few of them are enough to be held against the command line: each is a process's work there.
            for (var k = 0; k < clients; k += Math.Max(1, clients / 4))
            {
                if (answers[k] is { } answer)
                {
                    Assert.That(answer, Is.EqualTo(served.CommandLine(Command(served, k))), $"client {k}");
                }
            }

            Assert.That(answers.Count(answer => answer is null), Is.EqualTo(clients / 3));
        }

        await Settled(served, before);
        Assert.That(await served.Http.GetStringAsync("/healthz"), Is.EqualTo("Healthy"));
    }

    private static string Command(Served served, int k) =>
        $"./fokker sample moons -n {20 + k} --solver heun --steps 5 --seed {k} --runs {served.Folder} --out x.npy";

    private static async Task<byte[]?> Ask(Served served, int k)
    {
        while (true)
        {
            using var answer = await served.Http.GetAsync(
                $"/api/models/moons/samples.npy?count={20 + k}&solver=heun&steps=5&seed={k}"
            );

            if (answer.StatusCode != HttpStatusCode.TooManyRequests)
            {
                Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
                return await answer.Content.ReadAsByteArrayAsync();
            }

            Assert.That(answer.Headers.RetryAfter?.Delta, Is.GreaterThan(TimeSpan.Zero));
            await Task.Delay(50);
        }
    }

    private static async Task<byte[]?> Leave(Served served)
    {
        while (true)
        {
            using var answer = await served.Http.GetAsync(
                "/api/models/squares/stream?count=64&steps=900",
                HttpCompletionOption.ResponseHeadersRead
            );

            if (answer.StatusCode != HttpStatusCode.TooManyRequests)
            {
                Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
                await using var stream = await answer.Content.ReadAsStreamAsync();
                await stream.ReadExactlyAsync(new byte[100]);
                return null;
            }

            await Task.Delay(50);
        }
    }

    // Bytes of tensors once nothing is being worked on, and no more than these: a request that was left ends at its next call of the network, which takes a while where the machine has other work.
    private static async Task<long> Settled(Served served, long most = long.MaxValue)
    {
        var last = -1L;

        for (var k = 0; k < 200; k++)
        {
            // One more request goes through the whole queue.
            using var answer = await served.Http.GetAsync("/api/models/moons/samples.npy?count=20");
            await Task.Delay(50);
            GC.Collect();
            GC.WaitForPendingFinalizers();
            var now = Torch.memory().Live;

            if (now == last && now <= most && answer.IsSuccessStatusCode)
            {
                return now;
            }

            last = now;
        }

        throw new AssertionException($"the gallery did not come to rest: {last} bytes of tensors, {most} at most");
    }

    [Test]
    public async Task AFullQueueSaysSo()
    {
        await using var served = await Served.StartAsync(options => options with { Concurrent = 1, Queue = 0 });
        using var running = await served.Http.GetAsync(
            "/api/models/squares/stream?count=64&steps=900",
            HttpCompletionOption.ResponseHeadersRead
        );
        Assert.That(running.StatusCode, Is.EqualTo(HttpStatusCode.OK));

        using var answer = await served.Http.GetAsync("/api/models/moons/samples.json");
        var (status, sentence) = await Served.Problem(answer);
        Assert.That(status, Is.EqualTo(429), sentence);
        Assert.That(answer.Headers.RetryAfter?.Delta, Is.GreaterThan(TimeSpan.Zero));

        // What needs no model is not in the queue.
        Assert.That((await served.Http.GetAsync("/api/models")).StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    [Test]
    public async Task AModelMayBeDamagedReplacedOrGone()
    {
        await using var served = await Served.StartAsync();
        var file = Path.Combine(served.Folder, "moons", "model.safetensors");
        const string ask = "/api/models/moons/samples.npy?count=5&steps=3";
        var good = await served.Http.GetByteArrayAsync(ask);
        var kept = await File.ReadAllBytesAsync(file);

        await File.WriteAllBytesAsync(file, kept[..(kept.Length / 2)]);
        var (status, sentence) = await Served.Problem(await served.Http.GetAsync(ask));
        Assert.That(status, Is.EqualTo(503), sentence);
        Assert.That(sentence, Does.Contain("moons"));
        Assert.That((await served.Http.GetAsync("/api/models/squares")).StatusCode, Is.EqualTo(HttpStatusCode.OK));

        File.Delete(file);
        Assert.That(
            (await served.Http.GetAsync(ask)).StatusCode,
            Is.AnyOf(HttpStatusCode.Conflict, HttpStatusCode.NotFound)
        );

        await File.WriteAllBytesAsync(file, kept);
        Assert.That(await served.Http.GetByteArrayAsync(ask), Is.EqualTo(good));

        // Another model under the same name.
        await using (
            await new FlowTrainer(
                new TrainingOptions
                {
                    Steps = 3,
                    Width = 8,
                    BatchSize = 8,
                    Folder = Path.Combine(served.Folder, "other"),
                }
            ).TrainAsync(DataSources.Moons)
        ) { }

        File.Copy(Path.Combine(served.Folder, "other", "model.safetensors"), file, overwrite: true);
        Assert.That(await served.Http.GetByteArrayAsync(ask), Is.Not.EqualTo(good));
    }

    [Test]
    public async Task AModelThatIsTooLargeIsNotLoaded()
    {
        await using var served = await Served.StartAsync(options => options with { LargestModel = 1000 });
        var (status, sentence) = await Served.Problem(await served.Http.GetAsync("/api/models/moons"));
        Assert.That(status, Is.EqualTo(422), sentence);
        Assert.That(sentence, Does.Contain("1000"));
    }
}
