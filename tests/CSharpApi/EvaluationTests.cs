using Microsoft.FSharp.Core;
using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>Distances beside their floors: of laws that are known, of samplers that are right and wrong, and the same as the library's.</summary>
public class EvaluationTests
{
    private static readonly GaussianMixture TwoModes = new(
        [0.4, 0.6],
        [
            [-1.0, 0.0],
            [1.0, 1.0],
        ],
        [
            [0.3, 0.3],
            [0.5, 0.5],
        ]
    );

    private static readonly EvaluationOptions Small = new()
    {
        Solver = Solvers.RungeKutta4,
        Steps = 20,
        Draws = 10,
        SamplesPerDraw = 100,
    };

    /// <summary>Draws of N(mean, I), by Box and Muller.</summary>
    private static double[] Gaussian(int count, double mean, int seed)
    {
        var random = new Random(seed);
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(_ =>
                    mean
                    + Math.Sqrt(-2.0 * Math.Log(1.0 - random.NextDouble()))
                        * Math.Cos(2.0 * Math.PI * random.NextDouble())
                ),
        ];
    }

    private sealed class Listener(Action<EvaluationProgress> hear) : IProgress<EvaluationProgress>
    {
        public void Report(EvaluationProgress value) => hear(value);
    }

    /// <summary>A perfect sampler scores the floor: value and floor are means of the same law, so that each gap is a draw of Student's t (18 degrees of freedom,
    /// beyond 5.5 once in 30,000), and over six seeds their mean is 0 ± 0.43, four times which is 1.7.</summary>
    [Test]
    public async Task AnExactSamplerIsAtTheFloor()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var gaps = new List<double>();

        for (var seed = 0; seed < 6; seed++)
        {
            // Each with data of its own: the floor's draws are those of the reference's seed.
            var samples = await model.SampleAsync(
                new SampleOptions
                {
                    Count = 600,
                    Steps = 10,
                    Solver = Solvers.RungeKutta4,
                    Seed = seed,
                }
            );
            var truth = await model.SampleAsync(
                new SampleOptions
                {
                    Count = 3000,
                    Steps = 10,
                    Solver = Solvers.RungeKutta4,
                    Seed = 100 + seed,
                }
            );
            var distances = await samples.DistanceToAsync(truth, draws: 10, samplesPerDraw: 60, seed: seed);
            Assert.That(
                distances.Measures.Select(measure => measure.StandardErrorsAboveFloor),
                Has.All.InRange(-5.5, 5.5),
                distances.ToString()
            );
            gaps.Add(distances.Wasserstein2.StandardErrorsAboveFloor);
            var ratio = distances.Wasserstein2.Ratio!.Value;
            var error = Math.Sqrt(
                Math.Pow(distances.Wasserstein2.StandardError / distances.Wasserstein2.Floor, 2)
                    + Math.Pow(ratio * distances.Wasserstein2.FloorStandardError / distances.Wasserstein2.Floor, 2)
            );
            Assert.That(ratio, Is.EqualTo(1.0).Within(5.5 * error));
        }

        Assert.That(gaps.Average(), Is.InRange(-1.7, 1.7));
    }

    [Test]
    public async Task AModelsOwnSamplesAreAtTheFloorAndOneStepOfEulerIsNot()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var exact = await model.EvaluateAsync(Small);
        Assert.That(
            exact.Measures.Select(measure => measure.StandardErrorsAboveFloor),
            Has.All.InRange(-5.5, 5.5),
            exact.ToString()
        );
        Assert.That(exact.Count, Is.EqualTo(1000));
        Assert.That(exact.Draws, Is.EqualTo(10));
        Assert.That(exact.SamplesPerDraw, Is.EqualTo(100));
        Assert.That(exact.Solver, Is.EqualTo(Solvers.RungeKutta4));
        Assert.That(exact.Steps, Is.EqualTo(20));
        Assert.That(exact.Seed, Is.EqualTo(0));
        Assert.That(exact.Elapsed, Is.GreaterThan(TimeSpan.Zero));
        Assert.That(exact.Energy.Ratio, Is.Null);
        Assert.That(exact.Frechet, Is.Null);

        // One step of Euler's from N(0, I) puts every sample at the mean of the data, which is not outside of the law.
        var wrong = await model.EvaluateAsync(Small with { Solver = Solvers.Euler, Steps = 1 });
        Assert.That(
            wrong
                .Measures.Where(measure => measure.Name != "outside")
                .Select(measure => measure.StandardErrorsAboveFloor),
            Has.All.GreaterThan(10.0),
            wrong.ToString()
        );
        Assert.That(wrong.Wasserstein2.Ratio, Is.GreaterThan(2.0));
        // The floor is the data's, whoever samples.
        Assert.That(wrong.Energy.Floor, Is.EqualTo(exact.Energy.Floor));

        var adaptive = await model.EvaluateAsync(
            new EvaluationOptions
            {
                RelativeTolerance = 1e-4,
                Draws = 2,
                SamplesPerDraw = 50,
                Seed = 7,
            }
        );
        Assert.That(adaptive.Steps, Is.Null);
        Assert.That(adaptive.Solver, Is.EqualTo(Solvers.DormandPrince));
        Assert.That(adaptive.Seed, Is.EqualTo(7));
    }

    /// <summary>N(0, 1) and N(2, 1): 2 E|x − y| − 2·2/√π with x − y ~ N(2, 2), and W₂ = 2; on a line every direction of the sliced distance is the line.</summary>
    [Test]
    public async Task DistancesAreThoseOfTheLaws()
    {
        var x = SampleBatch.FromArray(Gaussian(3000, 0.0, seed: 1), [3000, 1]);
        var y = SampleBatch.FromArray(Gaussian(8000, 2.0, seed: 2), [8000, 1]);
        var found = await x.DistanceToAsync(y, draws: 20, samplesPerDraw: 150);
        // E|x − y| = √(4/π)·e^{−1} + 2·erf(1), erf(1) = 0.8427007929.
        var energy = 2.0 * (Math.Sqrt(4.0 / Math.PI) * Math.Exp(-1.0) + 2.0 * 0.8427007929) - 4.0 / Math.Sqrt(Math.PI);
        Assert.That(found.Energy.Value, Is.EqualTo(energy).Within(5.0 * found.Energy.StandardError));
        // The squared distance of sets of 150 is larger by O(log log n/n), 0.02: 0.005 of the distance.
        Assert.That(found.Wasserstein2.Value, Is.EqualTo(2.0).Within(5.0 * found.Wasserstein2.StandardError + 0.005));
        Assert.That(found.SlicedWasserstein.Value, Is.EqualTo(found.Wasserstein2.Value).Within(1e-9));
        Assert.That(found.SlicedWasserstein.Floor, Is.EqualTo(found.Wasserstein2.Floor).Within(1e-9));
        Assert.That(found.Draws, Is.EqualTo(20));
        Assert.That(found.SamplesPerDraw, Is.EqualTo(150));
    }

    /// <summary>Fewer samples than a set wants: sets are as large as they can be.</summary>
    [Test]
    public async Task SetsAreAsLargeAsTheSamplesAllow()
    {
        var few = SampleBatch.FromArray(Gaussian(60, 0.0, seed: 1), [30, 2]);
        var more = SampleBatch.FromArray(Gaussian(100, 0.0, seed: 2), [50, 2]);
        Assert.That((await few.DistanceToAsync(more, draws: 2)).SamplesPerDraw, Is.EqualTo(25));
        Assert.That((await more.DistanceToAsync(few, draws: 2)).SamplesPerDraw, Is.EqualTo(15));
        Assert.That((await few.DistanceToAsync(DataSources.Moons, draws: 2)).SamplesPerDraw, Is.EqualTo(30));

        var error = Assert.CatchAsync<FokkerException>(() => few.Slice(0, 7).DistanceToAsync(more));
        Assert.That(error!.Message, Does.Contain("at least 8"));
        Assert.CatchAsync<FokkerException>(() => few.DistanceToAsync(more.Slice(0, 7)));
        // Half of the reference in one point leaves the kernels without a width.
        var point = SampleBatch.FromArray(new double[100], [50, 2]);
        // A measure that has nothing to go by says so, and the others are there.
        var measures = (await few.DistanceToAsync(point)).Measures;
        Assert.That(measures.Any(measure => measure.Undefined is not null));
        Assert.That(measures.Any(measure => measure.Undefined is null && double.IsFinite(measure.Value)));
    }

    /// <summary>The same figures as F# and, by its own tests, the command line: bit for bit.</summary>
    [Test]
    public async Task TheFiguresAreTheLibrarys()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

        try
        {
            var file = Path.Combine(folder, "mixture.json");
            File.WriteAllText(file, """{"weights": [0.4, 0.6], "means": [[-1, 0], [1, 1]], "stds": [0.3, 0.5]}""");
            await using var model = await FlowModel.FromMixtureAsync(GaussianMixture.Load(file));
            var ours = await model.EvaluateAsync(
                new EvaluationOptions
                {
                    Draws = 3,
                    SamplesPerDraw = 80,
                    Seed = 5,
                }
            );

            var core = GenerativeModelModule.exact(file, PathModule.condOT, PredictionModule.velocity, Kind.Float64);
            var data = GenerativeModelModule.ownData(core)!.Value;
            var protocol = EvaluationsModule.protocol(data, FSharpOption<int>.Some(3), FSharpOption<int>.Some(80));
            var silent = FuncConvert.FromAction<Stage, double, string>((_, _, _) => { });
            var theirs = EvaluationsModule.find(protocol, data, core, Fokker.Samples.standardFor(core), 5, silent);
            Assert.That(ours.Measures.Select(m => m.Name), Is.EqualTo(theirs.Scores.Select(s => s.Name)));
            Assert.That(ours.Measures.Select(m => m.Value), Is.EqualTo(theirs.Scores.Select(s => s.Value.Mean)));
            Assert.That(ours.Measures.Select(m => m.Floor), Is.EqualTo(theirs.Scores.Select(s => s.Floor.Mean)));
            Assert.That(
                ours.Measures.Select(m => m.StandardError),
                Is.EqualTo(theirs.Scores.Select(s => s.Value.StandardError))
            );
            Assert.That(
                ours.Measures.Select(m => m.FloorStandardError),
                Is.EqualTo(theirs.Scores.Select(s => s.Floor.StandardError))
            );
            Assert.That(
                ours.Measures.Select(m => m.StandardErrorsAboveFloor),
                Is.EqualTo(theirs.Scores.Select(s => s.Excess))
            );
            Assert.That(ours.Wasserstein2.Ratio, Is.EqualTo(ours.Wasserstein2.Value / ours.Wasserstein2.Floor));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public async Task ATrainedModelIsHeldAgainstItsOwnDataOrOthers()
    {
        await using var model = await new FlowTrainer(
            new TrainingOptions
            {
                Steps = 5,
                BatchSize = 32,
                Width = 16,
                Depth = 1,
                Seed = 3,
            }
        ).TrainAsync(DataSources.Moons);
        var options = new EvaluationOptions
        {
            Steps = 3,
            Draws = 2,
            SamplesPerDraw = 50,
        };
        var own = await model.EvaluateAsync(options);
        var named = await model.EvaluateAsync(options with { HeldOut = DataSources.Moons });
        var other = await model.EvaluateAsync(options with { HeldOut = DataSources.Pinwheel });
        Assert.That(named.Measures, Is.EqualTo(own.Measures));
        Assert.That(own.Data, Is.EqualTo("moons"));
        Assert.That(other.Data, Is.EqualTo("pinwheel"));
        Assert.That(own.Seed, Is.EqualTo(3));
        Assert.That(other.Wasserstein2.Floor, Is.Not.EqualTo(own.Wasserstein2.Floor));

        var line = DataSource.FromArray([.. Enumerable.Range(0, 200).Select(k => (float)k)], [200, 1]);
        Assert.That(
            () => model.EvaluateAsync(options with { HeldOut = line }),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.HeldOut))
        );
        Assert.That(
            () => model.EvaluateAsync(options with { Label = 1 }),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.Label))
        );
    }

    /// <summary>A consistency model's steps are its own: no solver makes its samples.</summary>
    [Test]
    public async Task AModelThatJumpsNamesNoSolver()
    {
        await using var model = await new FlowTrainer(
            new TrainingOptions
            {
                Loss = Losses.ConsistencyTraining,
                Steps = 2,
                BatchSize = 16,
                Width = 8,
                Depth = 1,
            }
        ).TrainAsync(DataSources.Moons);
        var found = await model.EvaluateAsync(
            new EvaluationOptions
            {
                Steps = 3,
                Draws = 2,
                SamplesPerDraw = 20,
            }
        );
        Assert.That(found.Solver, Is.Null);
        Assert.That(found.Steps, Is.EqualTo(3));
        Assert.That(found.Count, Is.EqualTo(40));
    }

    /// <summary>A model keeps no data: those that have a name are found by it, with a warning where they have changed; those of memory are to be given.</summary>
    [Test]
    public async Task DataAreFoundByTheirNameOrAreToBeGiven()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

        try
        {
            var file = Path.Combine(folder, "data.npy");
            var samples = SampleBatch.FromArray(Gaussian(800, 3.0, seed: 4), [400, 2]);
            samples.SaveNpy(file);
            var small = new TrainingOptions
            {
                Steps = 2,
                BatchSize = 16,
                Width = 8,
                Depth = 1,
            };
            var options = new EvaluationOptions { Steps = 2, Draws = 2 };
            await using var onFile = await new FlowTrainer(small).TrainAsync(DataSource.FromFile(file));
            await using var onMemory = await new FlowTrainer(small).TrainAsync(DataSource.FromSamples(samples));
            var found = await onFile.EvaluateAsync(options);
            Assert.That(found.Warning, Is.Null);
            // A tenth is held out, and a floor takes two sets.
            Assert.That(found.SamplesPerDraw, Is.EqualTo(20));
            Assert.That(
                () => onMemory.EvaluateAsync(options),
                Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.HeldOut))
            );
            var given = await onMemory.EvaluateAsync(options with { HeldOut = DataSource.FromSamples(samples) });
            Assert.That(given.Measures, Is.EqualTo(found.Measures));
            Assert.That(given.Data, Is.EqualTo("samples"));

            SampleBatch.FromArray(Gaussian(800, 4.0, seed: 4), [400, 2]).SaveNpy(file);
            Assert.That((await onFile.EvaluateAsync(options)).Warning, Does.Contain("has changed"));
            File.Delete(file);
            Assert.That(
                () => onFile.EvaluateAsync(options),
                Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.HeldOut))
            );
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The velocity of N(0, I) on the straight path, (2t − 1)/(t² + (1 − t)²)·x, takes noise to N(0, I).</summary>
    [Test]
    public async Task AFieldIsHeldAgainstTheDataThatAreGiven()
    {
        await using var model = FlowModel.FromField(
            (x, t) => x * ((2.0 * t - 1.0) / (t * t + (1.0 - t) * (1.0 - t))),
            [2],
            precision: Precision.Double
        );
        Assert.That(
            () => model.EvaluateAsync(Small),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.HeldOut))
        );
        var data = DataSource.FromSamples(SampleBatch.FromArray(Gaussian(40_000, 0.0, seed: 5), [20_000, 2]));
        var found = await model.EvaluateAsync(Small with { HeldOut = data });
        Assert.That(
            found.Measures.Select(measure => measure.StandardErrorsAboveFloor),
            Has.All.InRange(-5.5, 5.5),
            found.ToString()
        );
    }

    /// <summary>Samples of one class are held against that class.</summary>
    [Test]
    public async Task AClassIsHeldAgainstItsOwnData()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var one = await model.EvaluateAsync(Small with { Label = 0 });
        Assert.That(
            one.Measures.Select(measure => measure.StandardErrorsAboveFloor),
            Has.All.InRange(-5.5, 5.5),
            one.ToString()
        );
        // Guided further than to the class itself, they are no longer of it.
        var guided = await model.EvaluateAsync(Small with { Label = 1, Guidance = 6.0 });
        Assert.That(guided.Wasserstein2.StandardErrorsAboveFloor, Is.GreaterThan(10.0), guided.ToString());

        // Labelled data of one's own are those of the class alone; data without labels cannot be.
        var sampled = await model.SampleAsync(
            new SampleOptions
            {
                Count = 4000,
                Label = 1,
                Solver = Solvers.RungeKutta4,
                Steps = 20,
                Seed = 9,
            }
        );
        var far = sampled.ToDoubleArray().Select(x => x + 50.0);
        var mixed = SampleBatch.FromArray(
            [.. sampled.ToDoubleArray(), .. far],
            [8000, 2],
            [.. Enumerable.Repeat(1, 4000), .. Enumerable.Repeat(0, 4000)]
        );
        var labelled = await model.EvaluateAsync(Small with { Label = 1, HeldOut = DataSource.FromSamples(mixed) });
        Assert.That(
            labelled.Measures.Select(measure => measure.StandardErrorsAboveFloor),
            Has.All.InRange(-5.5, 5.5),
            labelled.ToString()
        );
        Assert.That(
            () => model.EvaluateAsync(Small with { Label = 1, HeldOut = DataSources.Moons }),
            Throws.ArgumentException.With.Property("ParamName").EqualTo(nameof(EvaluationOptions.Label))
        );
    }

    [Test]
    public async Task ProgressIsToldAndCancellingEndsBetweenTwoDraws()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var heard = new List<EvaluationProgress>();
        await model.EvaluateAsync(Small with { Draws = 2 }, new Listener(heard.Add));
        Assert.That(heard.Select(p => p.Stage), Is.Ordered);
        Assert.That(heard.Count(p => p.Stage == EvaluationStage.Sampling), Is.InRange(2, 101));
        // Seven measures, two draws, value and floor.
        Assert.That(heard.Count(p => p.Stage == EvaluationStage.Measuring), Is.EqualTo(28));
        Assert.That(heard[^1], Is.EqualTo(new EvaluationProgress(EvaluationStage.Measuring, 1.0)));

        using var cancellation = new CancellationTokenSource();
        heard.Clear();
        Assert.CatchAsync<OperationCanceledException>(() =>
            model.EvaluateAsync(
                Small,
                new Listener(p =>
                {
                    heard.Add(p);

                    if (p.Stage == EvaluationStage.Measuring)
                    {
                        cancellation.Cancel();
                    }
                }),
                cancellation.Token
            )
        );
        Assert.That(heard.Count(p => p.Stage == EvaluationStage.Measuring), Is.EqualTo(1));
    }

    [Test]
    public void WhatCannotBeMeasuredNamesTheArgument()
    {
        var x = SampleBatch.FromArray(Gaussian(40, 0.0, seed: 1), [20, 2]);
        var line = SampleBatch.FromArray(Gaussian(40, 0.0, seed: 1), [40, 1]);
        var broken = SampleBatch.FromArray([.. Gaussian(39, 0.0, seed: 1), double.NaN], [20, 2]);
        var cases = new (Func<Task> Make, string Argument)[]
        {
            (() => x.DistanceToAsync(line), "reference"),
            (() => x.DistanceToAsync(broken), "reference"),
            (() => line.DistanceToAsync(DataSources.Moons), "reference"),
            (() => x.DistanceToAsync(x, draws: 1), "draws"),
            (() => x.DistanceToAsync(x, samplesPerDraw: 7), "samplesPerDraw"),
        };

        foreach (var (make, argument) in cases)
        {
            var error = Assert.CatchAsync<ArgumentException>(() => make());
            Assert.That(error!.ParamName, Is.EqualTo(argument), error.Message);
        }

        Assert.CatchAsync<InvalidOperationException>(() => broken.DistanceToAsync(x));
    }

    /// <summary>Images of classes have a Fréchet distance, on a classifier that is kept for the next time.</summary>
    [Test, NonParallelizable]
    public async Task LabelledImagesHaveAFrechetDistance()
    {
        var cache = Directory.CreateTempSubdirectory("fokker-cs-").FullName;
        var before = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        Environment.SetEnvironmentVariable("XDG_CACHE_HOME", cache);

        try
        {
            var random = new Random(1);
            int[] labels = [.. Enumerable.Range(0, 400).Select(_ => random.Next(2))];
            byte[] pixels =
            [
                .. labels.SelectMany(label =>
                    Enumerable.Range(0, 64).Select(k => (byte)(random.Next(100) + (k < 32 == (label == 1) ? 100 : 0)))
                ),
            ];
            var data = DataSource.FromPixels(pixels, [400, 1, 8, 8], labels);
            var own = SampleBatch.FromArray(Array.ConvertAll(pixels, x => (double)x), [400, 1, 8, 8]);
            var noise = SampleBatch.FromArray([.. pixels.Select(_ => (double)random.Next(200))], [400, 1, 8, 8]);
            var stages = new HashSet<EvaluationStage>();
            var near = await own.DistanceToAsync(data, draws: 2, progress: new Listener(p => stages.Add(p.Stage)));
            var far = await noise.DistanceToAsync(data, draws: 2);
            Assert.That(stages, Is.EquivalentTo(new[] { EvaluationStage.Classifier, EvaluationStage.Measuring }));
            Assert.That(near.Frechet, Is.Not.Null);
            Assert.That(far.Frechet!.Value, Is.GreaterThan(2.0 * near.Frechet!.Value));
            Assert.That(Directory.GetFiles(cache, "*.safetensors", SearchOption.AllDirectories), Has.Length.EqualTo(1));
        }
        finally
        {
            Environment.SetEnvironmentVariable("XDG_CACHE_HOME", before);
            Directory.Delete(cache, recursive: true);
        }
    }

    /// <summary>Nothing is left behind but what a first request prepares.</summary>
    [Test, NonParallelizable]
    public async Task AnEvaluationLeavesNoTensors()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var x = await model.SampleAsync(new SampleOptions { Count = 200 });
        var options = Small with { Draws = 2, HeldOut = DataSource.FromSamples(x), SamplesPerDraw = 8 };

        async Task<(long Tensors, long Bytes)> Left()
        {
            await model.EvaluateAsync(options);
            await x.DistanceToAsync(x, draws: 2);
            return (Scope.live(), Torch.memory().Live);
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        var first = await Left();
        var second = await Left();
        Assert.That(second.Tensors, Is.LessThanOrEqualTo(first.Tensors));
        // On the managed engine .NET's own little is counted too.
        Assert.That(second.Bytes - first.Bytes, Is.LessThan(64 << 10));
    }
}
