using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

public class TrainingTests
{
    private static readonly TrainingOptions Short = new()
    {
        Steps = 30,
        BatchSize = 32,
        Width = 16,
        Depth = 1,
        ProgressInterval = TimeSpan.Zero,
    };

    private string folder = "";

    [SetUp]
    public void MakeFolder() => folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    // Progress<T> reports on other threads, in no order.
    private sealed class Heard : IProgress<TrainingProgress>
    {
        public List<TrainingProgress> All { get; } = [];
        public Action<TrainingProgress> Then { get; init; } = _ => { };

        public void Report(TrainingProgress value)
        {
            All.Add(value);
            Then(value);
        }
    }

    [Test]
    public async Task TrainingTellsEachStepAndGivesAModel()
    {
        var heard = new Heard();
        await using var model = await new FlowTrainer(Short).TrainAsync(DataSources.Moons, heard);
        Assert.That(
            heard.All.Select(progress => progress.Step),
            Is.EqualTo(Enumerable.Range(1, 30).Select(k => (long)k))
        );
        Assert.That(heard.All[^1].Fraction, Is.EqualTo(1.0));
        Assert.That(heard.All.Select(progress => progress.Loss), Has.All.Matches<double>(double.IsFinite));
        Assert.That(model.Training!.Steps, Is.EqualTo(30));
        Assert.That(model.Training.Folder, Is.Null);
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 2 }));
        var samples = await model.SampleAsync(new SampleOptions { Count = 10 });
        Assert.That(samples.ToDoubleArray(), Has.All.Matches<double>(double.IsFinite));
    }

    /// <summary>Equal seeds give equal samples; a folder's model is the one that was trained.</summary>
    [Test]
    public async Task AFolderHoldsTheModel()
    {
        var options = new SampleOptions { Count = 20, Seed = 5 };
        var first = Path.Combine(folder, "first");
        await using var model = await new FlowTrainer(Short with { Folder = first }).TrainAsync(DataSources.Moons);
        var samples = (await model.SampleAsync(options)).ToDoubleArray();

        await using var loaded = await FlowModel.LoadAsync(first);
        Assert.That((await loaded.SampleAsync(options)).ToDoubleArray(), Is.EqualTo(samples));

        await using var again = await new FlowTrainer(Short).TrainAsync(DataSources.Moons);
        Assert.That((await again.SampleAsync(options)).ToDoubleArray(), Is.EqualTo(samples));

        foreach (var copy in new[] { Path.Combine(folder, "copy"), Path.Combine(folder, "copy.safetensors") })
        {
            await again.SaveAsync(copy);
            await using var kept = await FlowModel.LoadAsync(copy);
            Assert.That((await kept.SampleAsync(options)).ToDoubleArray(), Is.EqualTo(samples));
            Assert.That(kept.Name, Is.EqualTo("copy"));
        }

        Assert.That(File.Exists(Path.Combine(folder, "copy", "model.safetensors")));

        Assert.CatchAsync<Exception>(() =>
            new FlowTrainer(Short with { Folder = first }).TrainAsync(DataSources.Moons)
        );
    }

    [Test]
    public async Task CancellingSavesAndResumingEndsWithTheSameBytes()
    {
        using var cancellation = new CancellationTokenSource();
        var path = Path.Combine(folder, "run");
        var heard = new Heard
        {
            Then = progress =>
            {
                if (progress.Step == 12)
                {
                    cancellation.Cancel();
                }
            },
        };

        var stopped = Assert.ThrowsAsync<TrainingCanceledException>(() =>
            new FlowTrainer(Short with { Folder = path }).TrainAsync(DataSources.Moons, heard, cancellation.Token)
        );
        Assert.That(stopped!.Step, Is.EqualTo(12));
        Assert.That(stopped.Folder, Is.EqualTo(path));

        await using var resumed = await FlowTrainer.ResumeFrom(path).TrainAsync();
        Assert.That(resumed.Training!.Steps, Is.EqualTo(30));

        var whole = Path.Combine(folder, "whole");
        await using var model = await new FlowTrainer(Short with { Folder = whole }).TrainAsync(DataSources.Moons);
        Assert.That(
            File.ReadAllBytes(Path.Combine(path, "checkpoint.safetensors")),
            Is.EqualTo(File.ReadAllBytes(Path.Combine(whole, "checkpoint.safetensors")))
        );
        Assert.Throws<DirectoryNotFoundException>(() => FlowTrainer.ResumeFrom(Path.Combine(folder, "nowhere")));
    }

    [Test]
    public void ACancelledRunWithoutAFolderIsSavedSomewhere()
    {
        using var cancellation = new CancellationTokenSource();
        var heard = new Heard { Then = _ => cancellation.Cancel() };
        var stopped = Assert.ThrowsAsync<TrainingCanceledException>(() =>
            new FlowTrainer(Short).TrainAsync(DataSources.Moons, heard, cancellation.Token)
        );
        Assert.That(File.Exists(Path.Combine(stopped!.Folder, "checkpoint.safetensors")));
        Directory.Delete(stopped.Folder, recursive: true);
    }

    /// <summary>A model is its file: with run and data deleted, another process draws the same bytes.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public async Task AnotherProcessDrawsTheSameBytesFromTheFileAlone(bool inMemory)
    {
        var run = Path.Combine(folder, "run");
        var file = Path.Combine(folder, "kept.safetensors");
        var numbers = Path.Combine(folder, "line.npy");
        SampleBatch.FromArray(Line(100).Cast<float>().ToArray(), [100, 2]).SaveNpy(numbers);
        var data = inMemory ? DataSource.FromArray(Line(100), name: "line") : DataSource.FromFile(numbers);
        byte[] drawn;

        await using (var model = await new FlowTrainer(Short with { Folder = run }).TrainAsync(data))
        {
            await model.SaveAsync(file);
            drawn = Program.Bytes(await model.SampleAsync(Program.Options));
        }

        Directory.Delete(run, recursive: true);
        File.Delete(numbers);
        Assert.That(Directory.GetFileSystemEntries(folder), Is.EqualTo(new[] { file }));
        var output = Path.Combine(folder, "drawn");
        Assert.That(Program.InAnotherProcess(file, output), Is.Zero);
        Assert.That(File.ReadAllBytes(output), Is.EqualTo(drawn));
    }

    /// <summary>A refused training without a folder leaves none behind, nor does one that succeeds.</summary>
    [Test, NonParallelizable]
    public async Task NoTemporaryFolderIsLeft()
    {
        var before = Environment.GetEnvironmentVariable("TMPDIR");
        Environment.SetEnvironmentVariable("TMPDIR", folder);

        try
        {
            Assert.CatchAsync<ArgumentException>(() =>
                new FlowTrainer(Short with { Network = NetworkKinds.Unet }).TrainAsync(DataSources.Moons)
            );
            Assert.That(Directory.GetFileSystemEntries(folder), Is.Empty);
            await using var model = await new FlowTrainer(Short).TrainAsync(DataSources.Moons);
            Assert.That(Directory.GetFileSystemEntries(folder), Is.Empty);
            Assert.That(model.Name, Is.EqualTo("moons"));
        }
        finally
        {
            Environment.SetEnvironmentVariable("TMPDIR", before);
        }
    }

    /// <summary>Julian dates 2460000.5 ± 0.05, which float32 has in steps of 0.25: learned and kept as float64, whichever way they come.</summary>
    [Test]
    public async Task DoublesStayDoubles()
    {
        const double date = 2460000.5;
        var random = new Random(1);
        double[] dates =
        [
            .. Enumerable.Range(0, 400).Select(_ => date + 0.05 * Math.Sqrt(12.0) * (random.NextDouble() - 0.5)),
        ];
        var rows = new double[400, 1];
        Buffer.BlockCopy(dates, 0, rows, 0, sizeof(double) * 400);

        async IAsyncEnumerable<ReadOnlyMemory<double>> Stream()
        {
            foreach (var x in dates)
            {
                await Task.Yield();
                yield return new[] { x };
            }
        }

        var sources = new[]
        {
            DataSource.FromArray(dates, [400, 1]),
            DataSource.FromArray(rows),
            DataSource.FromTensor(System.Numerics.Tensors.Tensor.Create(dates, new nint[] { 400, 1 })),
            DataSource.FromAsync(Stream(), [1]),
            DataSource.FromSamples(SampleBatch.FromArray(dates, [400, 1])),
        };
        var drawn = new List<double[]>();
        var file = Path.Combine(folder, "dates.npy");

        foreach (var source in sources)
        {
            await using var model = await new FlowTrainer(Short with { Steps = 200 }).TrainAsync(source);
            (await model.SampleAsync(new SampleOptions { Count = 400, Seed = 1 })).SaveNpy(file);
            drawn.Add(SampleBatch.LoadNpy(file).ToDoubleArray());
        }

        Assert.That(drawn, Has.All.EqualTo(drawn[0]));
        var mean = drawn[0].Average();
        var deviation = Math.Sqrt(drawn[0].Average(x => (x - mean) * (x - mean)));
        // The mean of 400 is off by 0.0025 at one standard error; what two hundred steps have learned is within a fifth.
        Assert.That(mean, Is.EqualTo(date).Within(0.02));
        Assert.That(deviation, Is.EqualTo(0.05).Within(0.01));
        Assert.That(drawn[0].Distinct().Count(), Is.EqualTo(400));
    }

    /// <summary>bfloat16 is the layers' of a network, where there are instructions and an engine for it, and refused by its own name elsewhere.</summary>
    [Test]
    public async Task NetworksComputeInBFloat16()
    {
        var options = Short with { Steps = 20 };
        await using var trained = await new FlowTrainer(options).TrainAsync(DataSources.Moons);
        var folder = Directory.CreateTempSubdirectory("fokker-bfloat16-").FullName;
        var file = Path.Combine(folder, "moons.safetensors");
        await trained.SaveAsync(file);

        try
        {
            Task<FlowModel> Load() => FlowModel.LoadAsync(file, precision: Precision.BFloat16);
            Task<FlowModel> Train() =>
                new FlowTrainer(options with { Precision = Precision.BFloat16 }).TrainAsync(DataSources.Moons);

            if (Torch.bfloat16(Fokker.Device.Cpu).IsError)
            {
                foreach (var ask in new[] { Load, Train })
                    Assert.That(
                        () => ask(),
                        Throws
                            .ArgumentException.With.Property("ParamName")
                            .EqualTo(nameof(TrainingOptions.Precision))
                            .And.Message.Contains("Precision = BFloat16")
                            .And.Message.Contains("Precision = Single")
                    );
            }
            else
            {
                await using var model = await Load();
                await using var learned = await Train();
                var request = new SampleOptions { Count = 100 };
                var (rounded, plain) = (await model.SampleAsync(request), await trained.SampleAsync(request));
                Assert.That(rounded.ToDoubleArray(), Is.Not.EqualTo(plain.ToDoubleArray()));
                Assert.That(rounded.ToDoubleArray(), Is.EqualTo(plain.ToDoubleArray()).Within(0.05));
                Assert.That((await learned.SampleAsync(request)).Count, Is.EqualTo(100));
                var points = await trained.SampleAsync(new SampleOptions { Count = 10 });
                Assert.That(
                    (await model.LogLikelihoodAsync(points)).Values,
                    Is.EqualTo((await trained.LogLikelihoodAsync(points)).Values)
                );

                // What is written for others is computed in float32 there.
                var (mine, same) = (file + ".rounded.onnx", file + ".onnx");
                await using var loaded = await FlowModel.LoadAsync(file);
                await model.ExportOnnxAsync(mine, new FlowOptions { Steps = 2 });
                await loaded.ExportOnnxAsync(same, new FlowOptions { Steps = 2 });
                Assert.That(File.ReadAllBytes(mine), Is.EqualTo(File.ReadAllBytes(same)));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        var law = new GaussianMixture(
            [1.0],
            [
                [0.0],
            ],
            [
                [1.0],
            ]
        );
        Assert.That(
            () => FlowModel.FromMixtureAsync(law, precision: Precision.BFloat16),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(TrainingOptions.Precision))
        );
        Assert.That(
            () => FlowModel.FromField((x, t) => -x, [1], precision: Precision.BFloat16),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("precision")
        );
    }

    /// <summary>Points of the source are given in the source's own units: where both ends are the same data, the first state is the points themselves.</summary>
    [Test]
    public async Task PointsOfTheSourceAreInItsOwnUnits()
    {
        await using var model = await new FlowTrainer(
            Short with
            {
                Steps = 2,
                Loss = Losses.IndependentFlowMatching,
                Source = DataSources.Moons,
                Precision = Precision.Double,
            }
        ).TrainAsync(DataSources.Moons);
        var points = SampleBatch.FromArray(
            new[,]
            {
                { 0.5, -0.25 },
                { 1.5, 0.75 },
            }
        );
        var options = new SampleOptions { SourceSamples = points, Steps = 2 };

        await foreach (var step in model.SampleStepsAsync(options))
        {
            // Into the network's units and back: two roundings of float64.
            Assert.That(step.State.ToDoubleArray(), Is.EqualTo(points.ToDoubleArray()).Within(1e-14));
            break;
        }

        Assert.That((await model.SampleAsync(options)).Count, Is.EqualTo(2));
        Assert.That(
            () => model.SampleAsync(new SampleOptions { Noise = points }),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(SampleOptions.Noise))
        );
        Assert.That(
            () =>
                new FlowTrainer(
                    Short with
                    {
                        Loss = Losses.IndependentFlowMatching,
                        Source = DataSource.FromSamples(points),
                    }
                ).TrainAsync(DataSources.Moons),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(TrainingOptions.Source))
        );
    }

    private static float[,] Line(int n)
    {
        var rows = new float[n, 2];

        for (var k = 0; k < n; k++)
        {
            (rows[k, 0], rows[k, 1]) = (k % 10 + 100.0f, 2.0f * (k % 7));
        }

        return rows;
    }

    /// <summary>The same numbers in five ways are the same data; they come back in their own units.</summary>
    [Test]
    public async Task DataComeFromMemory()
    {
        var rows = Line(100);
        var flat = rows.Cast<float>().ToArray();
        var tensor = System.Numerics.Tensors.Tensor.Create(flat, new nint[] { 100, 2 });

        async IAsyncEnumerable<ReadOnlyMemory<float>> Stream()
        {
            for (var k = 0; k < 100; k++)
            {
                await Task.Yield();
                yield return flat.AsMemory(2 * k, 2);
            }
        }

        var sources = new[]
        {
            DataSource.FromArray(rows, name: "line"),
            DataSource.FromArray(flat, [100, 2], name: "line"),
            DataSource.FromArray(Array.ConvertAll(flat, x => (double)x), [100, 2], name: "line"),
            DataSource.FromTensor(tensor, name: "line"),
            DataSource.FromAsync(Stream(), [2], "line"),
        };
        var drawn = new List<double[]>();

        foreach (var source in sources)
        {
            await using var model = await new FlowTrainer(Short).TrainAsync(source);
            drawn.Add((await model.SampleAsync(new SampleOptions { Count = 50 })).ToDoubleArray());
        }

        Assert.That(drawn, Has.All.EqualTo(drawn[0]));
        // A network of thirty steps draws about the data's mean and deviation, 104.5 ± 2.9: not about 0.
        Assert.That(Enumerable.Range(0, 50).Average(k => drawn[0][2 * k]), Is.InRange(98.0, 111.0));
    }

    /// <summary>A run on data in memory is loaded without them, and resumed with them.</summary>
    [Test]
    public async Task ARunOnMemoryIsLoadedAndResumed()
    {
        var path = Path.Combine(folder, "run");
        using var cancellation = new CancellationTokenSource();
        var heard = new Heard
        {
            Then = progress =>
            {
                if (progress.Step == 10)
                {
                    cancellation.Cancel();
                }
            },
        };
        var data = DataSource.FromArray(Line(100), name: "line");
        Assert.CatchAsync<OperationCanceledException>(() =>
            new FlowTrainer(Short with { Folder = path }).TrainAsync(data, heard, cancellation.Token)
        );
        await using var early = await FlowModel.LoadAsync(path);
        Assert.That((await early.SampleAsync(new SampleOptions { Count = 3 })).SampleShape, Is.EqualTo(new[] { 2 }));
        Assert.That(
            () => FlowTrainer.ResumeFrom(path).TrainAsync(),
            Throws.ArgumentException.With.Property("ParamName").EqualTo("data")
        );
        await using var model = await FlowTrainer.ResumeFrom(path).TrainAsync(data);
        Assert.That(model.Training!.Steps, Is.EqualTo(30));
    }

    [Test]
    public async Task ImagesWithClassesAreTrainedOnAndGuided()
    {
        var random = new Random(0);
        var pixels = new byte[40 * 8 * 8];
        random.NextBytes(pixels);
        var labels = Enumerable.Range(0, 40).Select(k => k % 2).ToArray();
        var data = DataSource.FromPixels(pixels, [40, 8, 8], labels);
        var options = new TrainingOptions
        {
            Steps = 2,
            BatchSize = 4,
            Width = 8,
            UseLabels = true,
        };
        await using var model = await new FlowTrainer(options).TrainAsync(data);
        Assert.That(model.Classes, Has.Count.EqualTo(2));
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 1, 8, 8 }));
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 3,
                Label = 1,
                Guidance = 2.0,
                Steps = 2,
            }
        );
        Assert.That(samples.Labels, Is.EqualTo(new[] { 1, 1, 1 }));
        var density = await model.LogLikelihoodAsync(samples, new LikelihoodOptions { Steps = 2, Probes = 2 });
        Assert.That(density.ProbeErrors, Has.Count.EqualTo(3));
        Assert.That(density.StandardError, Is.GreaterThan(0.0));
    }

    [Test]
    public void WhatDoesNotFitIsRefusedByItsProperty()
    {
        var cases = new (TrainingOptions Options, string Property)[]
        {
            (Short with { Network = NetworkKinds.Unet }, nameof(TrainingOptions.Network)),
            (
                Short with
                {
                    Loss = Losses.ConditionalFlowMatching,
                    Coupling = Couplings.OptimalTransport,
                },
                nameof(TrainingOptions.Coupling)
            ),
            (Short with { Loss = Losses.ConsistencyDistillation() }, nameof(TrainingOptions.Loss)),
            (Short with { UseLabels = true }, nameof(TrainingOptions.UseLabels)),
            (Short with { LabelDropout = 0.5 }, nameof(TrainingOptions.LabelDropout)),
        };

        foreach (var (options, property) in cases)
        {
            var error = Assert.CatchAsync<ArgumentException>(() =>
                new FlowTrainer(options).TrainAsync(DataSources.Moons)
            );
            Assert.That(error!.ParamName, Is.EqualTo(property), error.Message);
            Assert.That(error.Message, Does.Not.Contain("--"));
        }

        Assert.ThrowsAsync<ArgumentNullException>(() => new FlowTrainer().TrainAsync());
        Assert.CatchAsync<FokkerException>(() => new FlowTrainer(Short).TrainAsync(DataSource.Named("moon")));
    }

    [Test]
    public async Task APathOfOnesOwnIsTrainedOn()
    {
        var own = FlowPath.FromFunctions("my-straight", t => 1 - t, _ => -1, t => t, _ => 1);
        var path = Path.Combine(folder, "run");
        await using var model = await new FlowTrainer(Short with { Path = own, Folder = path }).TrainAsync(
            DataSources.Moons
        );
        Assert.That(model.Path.Name, Is.EqualTo("my-straight"));
        await using var loaded = await FlowModel.LoadAsync(path, path: own);
        var options = new SampleOptions { Count = 5 };
        Assert.That(
            (await loaded.SampleAsync(options)).ToDoubleArray(),
            Is.EqualTo((await model.SampleAsync(options)).ToDoubleArray())
        );
        Assert.CatchAsync<FokkerException>(() => FlowModel.LoadAsync(path));
    }

    /// <summary>A classifier is trained into a folder, and guides a model of the same data.</summary>
    [Test]
    public async Task AClassifierIsTrainedAndGuides()
    {
        var pixels = new byte[40 * 8 * 8];
        new Random(0).NextBytes(pixels);
        var labels = Enumerable.Range(0, 40).Select(k => k % 2).ToArray();
        var data = DataSource.FromPixels(pixels, [40, 8, 8], labels);
        var path = Path.Combine(folder, "classifier");
        var small = new TrainingOptions { Steps = 2, BatchSize = 4 };
        Assert.CatchAsync<ArgumentException>(() => new FlowTrainer(small).TrainClassifierAsync(data));
        var summary = await new FlowTrainer(small with { Folder = path }).TrainClassifierAsync(data);
        Assert.That(summary.Steps, Is.EqualTo(2));
        await using var model = await new FlowTrainer(small with { Width = 8, UseLabels = false }).TrainAsync(data);
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 2,
                Label = 1,
                Guidance = 2.0,
                Classifier = ClassifierSource.FromFile(path),
                Steps = 2,
            }
        );
        Assert.That(samples.Labels, Is.EqualTo(new[] { 1, 1 }));
    }

    [Test]
    public async Task ATrainingBeginsAtARunLearnsItsPairsAndIsDistilledInRounds()
    {
        string At(string name) => Path.Combine(folder, name);

        async Task Train(TrainingOptions options)
        {
            await using var model = await new FlowTrainer(options).TrainAsync(DataSources.Moons);
        }

        await Train(Short with { Folder = At("first") });
        await Train(Short with { Folder = At("map"), From = At("first"), Loss = Losses.Shortcut() });
        await Train(
            Short with
            {
                Folder = At("straight"),
                Loss = Losses.IndependentFlowMatching,
                Pairs = new RunPairs(At("first")) { Count = 32, Steps = 2 },
            }
        );
        await Train(
            Short with
            {
                Folder = At("fast"),
                Teacher = At("first"),
                Loss = Losses.ProgressiveDistillation(steps: 4),
            }
        );

        await Train(
            Short with
            {
                Folder = At("tuned"),
                From = At("first"),
                Loss = Losses.RewardTuning(steps: 4, states: 2),
                Reward = TrainingReward.Quadratic(
                    new double[,]
                    {
                        { -1, 0 },
                        { 0, -1 },
                    },
                    1,
                    0
                ),
                Tilt = 2,
            }
        );

        var unrewarded = new TrainingOptions { Loss = Losses.RewardTuning(), From = At("first") };
        Assert.That(
            Assert.CatchAsync<ArgumentException>(() => Train(unrewarded))!.Message,
            Does.Contain(nameof(TrainingOptions.Reward))
        );

        await using var two = await FlowModel.LoadAsync(Path.Combine(At("fast"), "student-2.safetensors"));
        var samples = await two.SampleAsync(new SampleOptions { Count = 3 });
        Assert.That(samples.Count, Is.EqualTo(3));

        var both = new TrainingOptions { Pairs = new RunPairs("a"), Coupling = Couplings.OptimalTransport };
        var refused = Assert.CatchAsync<ArgumentException>(() => Train(both))!;
        Assert.That(refused.ParamName, Is.EqualTo(nameof(TrainingOptions.Pairs)));
    }

    [Test]
    public async Task ATrainingThatIsRefusedLeavesNoFolder()
    {
        string[] Folders() => Directory.GetDirectories(Path.GetTempPath(), "fokker-run-*");

        var before = Folders();
        var refused = new FlowTrainer(new TrainingOptions { LabelDropout = 0.5 });
        Assert.CatchAsync<Exception>(() => refused.TrainAsync(DataSources.Moons));
        var untaught = new FlowTrainer(
            new TrainingOptions
            {
                Steps = 2,
                Width = 8,
                Teacher = "nobody",
            }
        );
        Assert.CatchAsync<Exception>(() => untaught.TrainAsync(DataSources.Moons));
        Assert.That(Folders(), Is.EquivalentTo(before));

        // One that is finished has its model in memory, and leaves none either.
        await using (
            await new FlowTrainer(
                new TrainingOptions
                {
                    Steps = 2,
                    Width = 8,
                    BatchSize = 8,
                }
            ).TrainAsync(DataSources.Moons)
        )
        {
            Assert.That(Folders(), Is.EquivalentTo(before));
        }

        Assert.That(Folders(), Is.EquivalentTo(before));
    }

    /// <summary>An average is made afterwards of a length that is asked for, where the training kept those that it takes; a gradient in parts is the same step.</summary>
    [Test]
    public async Task AveragesAreChosenAfterwards()
    {
        var run = Path.Combine(folder, "run");
        var options = Short with { PowerAverages = true, Folder = run, Accumulate = 2 };
        await using (var model = await new FlowTrainer(options).TrainAsync(DataSources.Moons)) { }

        await using var average = await FlowModel.LoadAverageAsync(run, 0.15);
        Assert.That((await average.SampleAsync(new SampleOptions { Count = 3, Steps = 2 })).Count, Is.EqualTo(3));
        var refused = Assert.ThrowsAsync<ArgumentException>(() => FlowModel.LoadAverageAsync(run, 0.5));
        Assert.That(refused!.Message, Does.Contain("length"));

        var plain = Path.Combine(folder, "plain");
        await using (var model = await new FlowTrainer(Short with { Folder = plain }).TrainAsync(DataSources.Moons)) { }
        Assert.ThrowsAsync<FokkerException>(() => FlowModel.LoadAverageAsync(plain, 0.15));
    }
}
