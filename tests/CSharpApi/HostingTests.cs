using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>The façade in an application: services and telemetry.</summary>
[NonParallelizable]
public class HostingTests
{
    [Test]
    public async Task AStoreSharesModelsAndServicesDisposeOfThem()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

        try
        {
            var services = new ServiceCollection()
                .AddFokker(new FokkerOptions { ModelsFolder = folder })
                .BuildServiceProvider();
            var options = new TrainingOptions
            {
                Steps = 2,
                Width = 8,
                BatchSize = 8,
                Folder = Path.Combine(folder, "moons"),
            };
            await using (
                await services.GetRequiredService<FlowTrainerFactory>().Create(options).TrainAsync(DataSources.Moons)
            ) { }

            var store = services.GetRequiredService<FlowModelStore>();
            var models = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => store.GetAsync("moons")));
            Assert.That(models, Has.All.SameAs(models[0]));
            Assert.That((await models[0].SampleAsync()).Count, Is.EqualTo(1));
            Assert.That(store.ListNames(), Is.EqualTo(new[] { "moons" }));
            var missing = Assert.ThrowsAsync<ModelNotFoundException>(() => store.GetAsync("missing"))!;
            Assert.That(missing.ModelName, Is.EqualTo("missing"));
            Assert.That(await store.TryGetAsync("missing"), Is.Null);
            Assert.That(await store.TryGetAsync("moons"), Is.SameAs(models[0]));

            // Names come from requests: a run beside the store's folder, and the folder's own run by its path, are no models of it.
            var secret = folder + "-secret";
            Directory.CreateDirectory(secret);
            File.Copy(Path.Combine(folder, "moons", "run.json"), Path.Combine(secret, "run.json"));

            try
            {
                foreach (
                    var name in new[]
                    {
                        "../" + Path.GetFileName(secret),
                        secret,
                        Path.Combine(folder, "moons"),
                        "./moons",
                        "moons/../moons",
                        "..",
                        ".",
                        "moons\0",
                    }
                )
                {
                    Assert.ThrowsAsync<ModelNotFoundException>(() => store.GetAsync(name), name);
                    Assert.That(await store.TryGetAsync(name), Is.Null, name);
                }
            }
            finally
            {
                Directory.Delete(secret, recursive: true);
            }

            await services.DisposeAsync();
            Assert.ThrowsAsync<ObjectDisposedException>(() => models[0].SampleAsync());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public async Task TelemetryCountsRequests()
    {
        var counted = new Dictionary<string, double>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, hearing) =>
        {
            if (instrument.Meter.Name == FokkerTelemetry.Name)
            {
                hearing.EnableMeasurementEvents(instrument);
            }
        };

        void Count(Instrument instrument, double value)
        {
            lock (counted)
            {
                counted[instrument.Name] = counted.GetValueOrDefault(instrument.Name) + value;
            }
        }

        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => Count(instrument, value));
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => Count(instrument, value));
        listener.Start();

        var activities = new List<string>();
        using var tracing = new ActivityListener
        {
            ShouldListenTo = source => source.Name == FokkerTelemetry.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity => activities.Add(activity.OperationName),
        };
        ActivitySource.AddActivityListener(tracing);

        await using var model = FlowModel.FromField((x, t) => -x, [2]);
        await model.SampleAsync(new SampleOptions { Count = 7 });
        Assert.CatchAsync<ArgumentException>(() => model.SampleAsync(new SampleOptions { Label = 1 }));
        listener.RecordObservableInstruments();

        Assert.That(counted["fokker.requests"], Is.EqualTo(2));
        Assert.That(counted["fokker.samples"], Is.EqualTo(7));
        Assert.That(counted["fokker.request.duration"], Is.GreaterThan(0.0));
        Assert.That(counted, Does.ContainKey("fokker.native.bytes"));
        Assert.That(counted["fokker.queue.length"], Is.EqualTo(0));
        Assert.That(activities, Is.EqualTo(new[] { "fokker.sample", "fokker.sample" }));
    }
}
