using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>Exact laws and fields in a network's place: what the façade gives is what is true.</summary>
public class ModelTests
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

    /// <summary>log Σ wₖ N(x; mₖ, sₖ² I), written out.</summary>
    private static double LogDensity(ReadOnlySpan<double> x)
    {
        var (a, b) = (x[0], x[1]);
        double Component(double w, double m0, double m1, double s) =>
            w / (2.0 * Math.PI * s * s) * Math.Exp(-((a - m0) * (a - m0) + (b - m1) * (b - m1)) / (2.0 * s * s));
        return Math.Log(Component(0.4, -1.0, 0.0, 0.3) + Component(0.6, 1.0, 1.0, 0.5));
    }

    [Test]
    public async Task TheFlowOfAMixtureHasItsDensity()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 50,
                RelativeTolerance = 1e-8,
                Seed = 1,
            }
        );
        var exact = await model.LogLikelihoodAsync(samples);
        var flow = await model.LogLikelihoodAsync(
            samples,
            new LikelihoodOptions { ClosedForm = false, RelativeTolerance = 1e-9 }
        );

        for (var k = 0; k < samples.Count; k++)
        {
            Assert.That(exact.Values[k], Is.EqualTo(LogDensity(samples[k])).Within(1e-12 * 100));
            // The tolerance of the steps, gathered over some hundred of them.
            Assert.That(flow.Values[k], Is.EqualTo(exact.Values[k]).Within(1e-6));
        }

        Assert.That(flow.Evaluations, Is.GreaterThan(10));
        Assert.That(exact.Evaluations, Is.EqualTo(0));
        Assert.That(exact.BitsPerDimension, Is.EqualTo(-exact.Mean / (2.0 * Math.Log(2.0))).Within(1e-12));
    }

    [Test]
    public async Task SamplesAreOfTheLaw()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 4000,
                Seed = 3,
                Solver = Solvers.RungeKutta4,
                Steps = 40,
            }
        );
        var mean = Enumerable.Range(0, samples.Count).Average(k => samples[k][0]);
        // 0.4·(−1) + 0.6·1; the deviation of x₀ is 1.07, of the mean of 4,000 of them 0.017: four of these.
        Assert.That(mean, Is.EqualTo(0.2).Within(0.07));
    }

    /// <summary>The same times by three names of theirs: a grid of its own says how many steps there are.</summary>
    [Test]
    public async Task AGridOfOnesOwnIsFollowed()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);

        Task<SampleBatch> Draw(TimeGrid grid, bool denoise = false, double? to = null, int? steps = null) =>
            model.SampleAsync(
                new SampleOptions
                {
                    Count = 5,
                    Seed = 1,
                    Grid = grid,
                    Steps = steps,
                    EndTime = to,
                    Denoise = denoise,
                }
            );

        var wanted = await Draw(TimeGrids.Uniform, steps: 4);
        var times = await Draw(TimeGrid.FromTimes(1.0, 0.75, 0.5, 0.25, 0.0));
        // On the straight path σ/α is t/(1 − t): no number at t = 1.
        var levels = await Draw(TimeGrid.FromLevels(3.0, 1.0, 1.0 / 3.0, 0.0));
        var later = await Draw(TimeGrid.FromTimes(0.75, 0.5, 0.25, 0.0));

        for (var k = 0; k < 5; k++)
        {
            Assert.That(times[k][0], Is.EqualTo(wanted[k][0]).Within(1e-14));
            Assert.That(levels[k][0], Is.EqualTo(later[k][0]).Within(1e-12));
        }

        Assert.That(() => TimeGrid.FromLevels(1.0, 2.0), Throws.ArgumentException.With.Message.Contains("fall"));
        Assert.That(async () => await Draw(TimeGrid.FromTimes(1.0, 0.0), steps: 7), Throws.ArgumentException);
        Assert.That(async () => await Draw(TimeGrids.Uniform, denoise: true), Throws.ArgumentException);
    }

    [Test]
    public async Task EncodingComesBack()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var samples = await model.SampleAsync(new SampleOptions { Count = 20, Steps = 40 });
        var options = new FlowOptions { RelativeTolerance = 1e-9 };
        var latents = await model.EncodeAsync(samples, options);
        var back = await model.DecodeAsync(latents, options);
        Assert.That(back.ToDoubleArray(), Is.EqualTo(samples.ToDoubleArray()).Within(1e-6));

        var frames = await model.InterpolateAsync(
            samples.Slice(0, 10),
            samples.Slice(10, 10),
            new InterpolationOptions { Frames = 5, RelativeTolerance = 1e-9 }
        );
        Assert.That(frames.Select(frame => frame.Fraction), Is.EqualTo(new[] { 0.0, 0.25, 0.5, 0.75, 1.0 }));
        Assert.That(frames[0].Samples.ToDoubleArray(), Is.EqualTo(samples.Slice(0, 10).ToDoubleArray()).Within(1e-6));
        Assert.That(frames[4].Samples.ToDoubleArray(), Is.EqualTo(samples.Slice(10, 10).ToDoubleArray()).Within(1e-6));
    }

    [Test]
    public async Task StepsEndWhereSamplesDo()
    {
        await using var model = await FlowModel.FromMixtureAsync(
            TwoModes,
            FlowPaths.VariancePreserving(),
            Parametrizations.Noise
        );
        var options = new SampleOptions
        {
            Count = 5,
            Solver = Solvers.DpmPlusPlus2M(),
            Steps = 8,
            Seed = 2,
        };
        var whole = await model.SampleAsync(options);
        var steps = new List<SampleStep>();

        await foreach (var step in model.SampleStepsAsync(options))
        {
            steps.Add(step);
        }

        Assert.That(steps.Select(step => step.Step), Is.EqualTo(Enumerable.Range(0, 9)));
        Assert.That(steps.Select(step => step.Time), Is.Ordered.Descending);
        Assert.That(steps[^1].State.ToDoubleArray(), Is.EqualTo(whole.ToDoubleArray()));
        Assert.That(steps[3].Denoised, Is.Not.Null);
    }

    [Test]
    public async Task WhoeverStopsLookingStopsTheSampling()
    {
        var asked = 0;
        await using var model = FlowModel.FromField(
            (x, t) =>
            {
                Interlocked.Increment(ref asked);
                return -x;
            },
            [2]
        );

        await foreach (var step in model.SampleStepsAsync(new SampleOptions { Solver = Solvers.Euler, Steps = 1000 }))
        {
            if (step.Step == 3)
            {
                break;
            }
        }

        Assert.That(asked, Is.EqualTo(3));
    }

    /// <summary>dx/dt = −x from t = 1 to 0 makes e·x of x.</summary>
    [Test]
    public async Task AFieldOfOnesOwnIsFollowed()
    {
        await using var model = FlowModel.FromField((x, t) => -x, [3], precision: Precision.Double);
        var start = SampleBatch.FromArray(
            new[,]
            {
                { 1.0, -2.0, 0.5 },
            }
        );
        var options = new SampleOptions
        {
            Start = start,
            StartTime = 1.0,
            EndTime = 0.0,
            RelativeTolerance = 1e-10,
        };
        var end = await model.SampleAsync(options);
        Assert.That(end.ToDoubleArray(), Is.EqualTo(start.ToDoubleArray().Select(x => Math.E * x)).Within(1e-8));
    }

    /// <summary>A time that differs between samples, which adaptive steps have, reaches a field as the number that it is.</summary>
    [Test]
    public async Task AFieldIsToldEachSamplesOwnTime()
    {
        await using var model = FlowModel.FromField((x, t) => x * 0.0 + t, [1], precision: Precision.Double);
        var start = SampleBatch.FromArray(
            new[,]
            {
                { 0.0 },
                { 1.0 },
                { 100.0 },
            }
        );
        var end = await model.SampleAsync(
            new SampleOptions
            {
                Start = start,
                StartTime = 1.0,
                EndTime = 0.0,
                RelativeTolerance = 1e-10,
            }
        );
        // ∫₁⁰ t dt = −½.
        Assert.That(end.ToDoubleArray(), Is.EqualTo(new[] { -0.5, 0.5, 99.5 }).Within(1e-8));
    }

    [Test]
    public async Task APathOfOnesOwnIsTheLibrarysWhereItsFunctionsAre()
    {
        var own = FlowPath.FromFunctions(
            "my-trigonometric",
            t => Math.Cos(Math.PI * t / 2),
            t => -Math.PI / 2 * Math.Sin(Math.PI * t / 2),
            t => Math.Sin(Math.PI * t / 2),
            t => Math.PI / 2 * Math.Cos(Math.PI * t / 2)
        );
        await using var mine = await FlowModel.FromMixtureAsync(TwoModes, own);
        await using var theirs = await FlowModel.FromMixtureAsync(TwoModes, FlowPaths.Trigonometric);
        var options = new SampleOptions
        {
            Count = 10,
            RelativeTolerance = 1e-9,
            StartTime = 0.999,
            EndTime = 0.001,
        };
        var a = await mine.SampleAsync(options);
        var b = await theirs.SampleAsync(options);
        Assert.That(a.ToDoubleArray(), Is.EqualTo(b.ToDoubleArray()).Within(1e-7));
        Assert.That(own.Sigma(0.3), Is.EqualTo(FlowPaths.Trigonometric.Sigma(0.3)).Within(1e-15));
    }

    [Test]
    public void ADerivativeThatIsWrongIsRefusedByItsPlace()
    {
        var error = Assert.Throws<ArgumentException>(() =>
            FlowPath.FromFunctions("wrong", t => 1 - t, t => -1, t => t * t, t => t)
        );
        Assert.That(error!.ParamName, Is.EqualTo("sigma"));
        Assert.That(error.Message, Does.Contain("derivative of sigma"));
        Assert.That(
            () => FlowPath.FromFunctions("vp", t => 1 - t, t => -1, t => t, t => 1),
            Throws.ArgumentException.With.Property("ParamName").EqualTo("name")
        );
    }

    [Test]
    public async Task WhatAModelCannotDoNamesTheOption()
    {
        await using var model = FlowModel.FromField((x, t) => -x, [2]);
        var cases = new (SampleOptions Options, string Property)[]
        {
            (new() { Label = 1 }, nameof(SampleOptions.Label)),
            (new() { Guidance = 2.0 }, nameof(SampleOptions.Guidance)),
            (new() { Solver = Solvers.Ddim, RelativeTolerance = 1e-3 }, nameof(SampleOptions.Solver)),
            (new() { RelativeTolerance = 1e-12 }, nameof(SampleOptions.RelativeTolerance)),
            (new() { StartTime = 0.2, EndTime = 0.5 }, nameof(SampleOptions.StartTime)),
            (new() { Steps = 10, RelativeTolerance = 1e-3 }, nameof(SampleOptions.Steps)),
            (new() { Grid = TimeGrids.Karras(), RelativeTolerance = 1e-3 }, nameof(SampleOptions.Grid)),
            (new() { Brownian = true, Solver = Solvers.Heun }, nameof(SampleOptions.Brownian)),
            (new() { Replay = [SampleBatch.FromArray(new double[2], [1, 2])] }, nameof(SampleOptions.Replay)),
            (new() { ParallelTolerance = 0.2 }, nameof(SampleOptions.ParallelTolerance)),
            (new() { ParallelWindow = 4, RelativeTolerance = 1e-3 }, nameof(SampleOptions.ParallelWindow)),
            (new() { ParallelWindow = 4, Brownian = true }, nameof(SampleOptions.ParallelWindow)),
            (new() { Classifier = ClassifierSource.Exact }, nameof(SampleOptions.Classifier)),
            (new() { Classifier = ClassifierSource.Exact, Guidance = 2.0 }, nameof(SampleOptions.Classifier)),
            (new() { GuidanceRescale = 0.5 }, nameof(SampleOptions.GuidanceRescale)),
            (new() { AutoguidanceModel = model }, nameof(SampleOptions.AutoguidanceModel)),
            (new() { AbsoluteTolerance = 1e-3 }, nameof(SampleOptions.AbsoluteTolerance)),
        };

        foreach (var (options, property) in cases)
        {
            var error = Assert.CatchAsync<ArgumentException>(() => model.SampleAsync(options));
            Assert.That(error!.ParamName, Is.EqualTo(property), error.Message);
            Assert.That(error.Message, Does.Not.Contain("--"));
        }

        // Samples of another shape, of another number, or with a number that is none; draws that do not suffice.
        SampleBatch three = SampleBatch.FromArray(new double[6], [2, 3]),
            two = SampleBatch.FromArray(new double[4], [2, 2]),
            one = SampleBatch.FromArray(new double[2], [1, 2]),
            broken = SampleBatch.FromArray([0.0, double.NaN], [1, 2]);
        var stochastic = new SampleOptions { Solver = Solvers.EulerMaruyama(), Steps = 3 };
        var given = new (SampleOptions Options, string Property, string Expected)[]
        {
            (new() { Noise = three }, nameof(SampleOptions.Noise), "samples [n; 2]"),
            (new() { Noise = broken }, nameof(SampleOptions.Noise), "finite"),
            (new() { Start = three }, nameof(SampleOptions.Start), "samples [n; 2]"),
            (stochastic with { Replay = [one, three] }, nameof(SampleOptions.Replay), "Replay[1] is [2, 3]"),
            (
                stochastic with
                {
                    Replay = [one, two],
                },
                nameof(SampleOptions.Replay),
                "Replay[1] is [2, 2]: expected [1, 2]"
            ),
            (
                stochastic with
                {
                    Replay = [one],
                    Noise = two,
                },
                nameof(SampleOptions.Replay),
                "it is of 1 samples, and what is given to begin from of 2"
            ),
            (stochastic with { Replay = [] }, nameof(SampleOptions.Replay), "a batch of samples for each draw"),
            (stochastic with { Replay = [two], Brownian = true }, nameof(SampleOptions.Replay), "Brownian"),
            (new() { Noise = two, Start = two }, nameof(SampleOptions.Noise), "Start says where to begin too"),
            (new() { Noise = two, Count = 2 }, nameof(SampleOptions.Noise), "Count = 2 says how many samples too"),
            (new() { SourceSamples = two }, nameof(SampleOptions.SourceSamples), "starts from noise"),
            (stochastic with { Replay = [two] }, nameof(SampleOptions.Replay), "draw 2 is needed, 1 were given"),
        };

        foreach (var (options, property, expected) in given)
        {
            var error = Assert.CatchAsync<ArgumentException>(() => model.SampleAsync(options));
            Assert.That(error!.ParamName, Is.EqualTo(property), error.Message);
            Assert.That(error.Message, Does.Contain(expected));
            var streamed = Assert.CatchAsync<ArgumentException>(async () =>
            {
                await foreach (var _ in model.SampleStepsAsync(options)) { }
            });
            Assert.That(streamed!.Message, Is.EqualTo(error.Message));
        }

        var other = SampleBatch.FromArray(new double[6], [2, 3]);
        Assert.That(
            () => model.LogLikelihoodAsync(other),
            Throws.ArgumentException.With.Property("ParamName").EqualTo("samples")
        );
    }

    [Test]
    public async Task AFieldThatBreaksSaysSo()
    {
        await using var model = FlowModel.FromField((x, t) => throw new InvalidOperationException("mine"), [2]);
        Assert.ThrowsAsync<InvalidOperationException>(() => model.SampleAsync());
        await using var nan = FlowModel.FromField((x, t) => x * double.NaN, [2]);
        var error = Assert.ThrowsAsync<FokkerException>(() => nan.SampleAsync());
        Assert.That(error!.Message, Does.Contain("step 1"));
        await using var shape = FlowModel.FromField((x, t) => x[0], [2]);
        Assert.ThrowsAsync<FokkerException>(() => shape.SampleAsync());
    }

    [Test]
    public async Task ADisposedModelRefusesRequestsAndAnswersThoseItHas()
    {
        var model = await FlowModel.FromMixtureAsync(TwoModes);
        var waiting = Enumerable
            .Range(0, 4)
            .Select(_ => model.SampleAsync(new SampleOptions { Count = 100 }))
            .ToArray();
        await model.DisposeAsync();
        await Task.WhenAll(waiting);
        Assert.ThrowsAsync<ObjectDisposedException>(() => model.SampleAsync());
    }

    /// <summary>On a grid of many steps, and where steps are chosen by their error: before the next call of the network.</summary>
    [TestCase(null)]
    [TestCase(1e-5)]
    public async Task CancellingEndsTheSampling(double? tolerance)
    {
        using var cancellation = new CancellationTokenSource();
        var asked = 0;
        await using var model = FlowModel.FromField(
            (x, t) =>
            {
                if (++asked == 5)
                {
                    cancellation.Cancel();
                }

                return -x;
            },
            [2]
        );
        Assert.CatchAsync<OperationCanceledException>(() =>
            model.SampleAsync(
                tolerance is null
                    ? new SampleOptions { Solver = Solvers.Euler, Steps = 100_000 }
                    : new SampleOptions { RelativeTolerance = tolerance },
                cancellation.Token
            )
        );
        Assert.That(asked, Is.EqualTo(5));
    }

    [Test]
    public async Task SamplesGoToFilesAndTensorsAndBack()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var samples = await model.SampleAsync(new SampleOptions { Count = 30 });
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

        try
        {
            var npy = Path.Combine(folder, "x.npy");
            samples.SaveNpy(npy);
            Assert.That(SampleBatch.LoadNpy(npy).ToDoubleArray(), Is.EqualTo(samples.ToDoubleArray()));
            var tensor = samples.ToTensor();
            Assert.That(tensor.Lengths.ToArray(), Is.EqualTo(new nint[] { 30, 2 }));
            Assert.That(SampleBatch.FromTensor(tensor).ToArray(), Is.EqualTo(samples.ToArray()));
            Assert.That(samples.ToPng()[..4], Is.EqualTo(new byte[] { 0x89, (byte)'P', (byte)'N', (byte)'G' }));
            Assert.Throws<FokkerException>(() => SampleBatch.LoadNpy(Path.Combine(folder, "missing.npy")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>A picture shows the same of images whatever units they are in: bytes, shares, numbers from −1.</summary>
    [Test]
    public void APictureDoesNotDependOnTheUnits()
    {
        double[] bytes =
        [
            .. Enumerable
                .Range(0, 2 * 3 * 4 * 5)
                .Select(k =>
                    k % 7 == 0 ? 0.0
                    : k % 5 == 0 ? 255.0
                    : k
                ),
        ];
        int[] shape = [2, 3, 4, 5];
        var picture = SampleBatch.FromArray(bytes, shape).ToPng();
        Assert.That(SampleBatch.FromArray([.. bytes.Select(x => x / 255.0)], shape).ToPng(), Is.EqualTo(picture));
        Assert.That(SampleBatch.FromArray([.. bytes.Select(x => x / 127.5 - 1.0)], shape).ToPng(), Is.EqualTo(picture));
        Assert.That(
            SampleBatch.FromArray([.. bytes.Select(x => -3e4 + 2e2 * x)], shape).ToPng(),
            Is.EqualTo(picture),
            "numbers of no kind are shown from their lowest to their highest"
        );
    }

    /// <summary>Two channels are no colours: they lie side by side, as one image of twice the width.</summary>
    [Test]
    public void ChannelsThatAreNoColoursLieSideBySide()
    {
        const int height = 3,
            width = 4;
        var two = Enumerable.Range(0, 2 * 2 * height * width).Select(k => Math.Sin(k)).ToArray();
        var wide = new double[two.Length];

        for (var image = 0; image < 2; image++)
        for (var channel = 0; channel < 2; channel++)
        for (var row = 0; row < height; row++)
        for (var column = 0; column < width; column++)
        {
            wide[((image * height) + row) * 2 * width + channel * width + column] = two[
                ((image * 2 + channel) * height + row) * width + column
            ];
        }

        Assert.That(
            SampleBatch.FromArray(two, [2, 2, height, width]).ToPng(),
            Is.EqualTo(SampleBatch.FromArray(wide, [2, 1, height, 2 * width]).ToPng())
        );
    }

    /// <summary>The density of x_t itself, of a Gaussian in closed form: x_t ~ N(α m, α² s² + σ²).</summary>
    [Test]
    public async Task ADensityIsThatOfTheTimeThatIsAskedFor()
    {
        await using var model = await FlowModel.FromMixtureAsync(
            new GaussianMixture(
                [1.0],
                [
                    [2.0],
                ],
                [
                    [0.5],
                ]
            )
        );
        var x = SampleBatch.FromArray(
            new[,]
            {
                { 1.3 },
            }
        );
        const double t = 0.4;
        double mean = (1.0 - t) * 2.0,
            variance = (1.0 - t) * (1.0 - t) * 0.25 + t * t;
        var truth = -0.5 * (Math.Log(2.0 * Math.PI * variance) + (1.3 - mean) * (1.3 - mean) / variance);
        var exact = await model.LogLikelihoodAsync(x, new LikelihoodOptions { Time = t });
        Assert.That(exact.Values[0], Is.EqualTo(truth).Within(1e-12));
        var flow = await model.LogLikelihoodAsync(
            x,
            new LikelihoodOptions
            {
                Time = t,
                ClosedForm = false,
                RelativeTolerance = 1e-9,
            }
        );
        // The tolerance of the steps, gathered over some tens of them.
        Assert.That(flow.Values[0], Is.EqualTo(truth).Within(1e-7));
        Assert.That(
            () => model.LogLikelihoodAsync(x, new LikelihoodOptions { Steps = 10 }),
            Throws
                .ArgumentException.With.Property("ParamName")
                .EqualTo("Steps")
                .And.Message.Contains("ClosedForm = false")
        );
    }

    /// <summary>A class of a mixture, and the product law of guidance: the conditional law where the scale is 1.</summary>
    [Test]
    public async Task AClassIsSampledWhereItIsNamed()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 500,
                Label = 0,
                Guidance = 1.0,
                RelativeTolerance = 1e-6,
            }
        );
        var mean = Enumerable.Range(0, samples.Count).Average(k => samples[k][0]);
        // The first component's mean −1; its deviation 0.3 over √500, four times.
        Assert.That(mean, Is.EqualTo(-1.0).Within(0.06));
        Assert.That(samples.Labels, Has.All.EqualTo(0));
    }

    /// <summary>The exact classifier at scale 1, and a composition of one class at weight 1, are the class itself (Dhariwal, Nichol 2021; Liu et al. 2022).</summary>
    [Test]
    public async Task OtherGuidanceAgreesWhereItMust()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        var plain = new SampleOptions
        {
            Count = 20,
            Label = 1,
            RelativeTolerance = 1e-8,
            // Inside (0, 1): the classifier's gradient is multiplied by what is infinite at the ends.
            StartTime = 0.99,
            EndTime = 0.01,
        };
        var truth = (await model.SampleAsync(plain)).ToDoubleArray();
        var judged = await model.SampleAsync(plain with { Classifier = ClassifierSource.Exact, Guidance = 1.0 });
        Assert.That(judged.ToDoubleArray(), Is.EqualTo(truth).Within(1e-5));
        var composed = await model.SampleAsync(
            plain with
            {
                Label = null,
                Composition = new Dictionary<int, double> { [1] = 1.0 },
            }
        );
        Assert.That(composed.ToDoubleArray(), Is.EqualTo(truth).Within(1e-5));
    }

    /// <summary>A model guided away from itself is itself at every scale (Karras et al. 2024), also where both are exact laws.</summary>
    [Test]
    public async Task AutoguidanceByTheSameLawChangesNothing()
    {
        await using var model = await FlowModel.FromMixtureAsync(TwoModes);
        await using var same = await FlowModel.FromMixtureAsync(TwoModes);
        var plain = new SampleOptions
        {
            Count = 10,
            Steps = 20,
            Seed = 4,
        };
        var guided = await model.SampleAsync(plain with { Guidance = 3.0, AutoguidanceModel = same });
        // 3 y − 2 y is y but for rounding.
        Assert.That(guided.ToDoubleArray(), Is.EqualTo((await model.SampleAsync(plain)).ToDoubleArray()).Within(1e-10));
    }

    [Test]
    public async Task AModelGoesToDiffusersAndComesBack()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

        try
        {
            float[] pixels = [.. Enumerable.Range(0, 16 * 25).Select(k => MathF.Sin(k))];
            var options = new TrainingOptions
            {
                Network = NetworkKinds.AdmSmall(width: 8, multipliers: 12, attention: 2, head: 8),
                Path = FlowPaths.Ddpm(),
                Loss = Losses.Simple,
                Steps = 2,
                BatchSize = 4,
            };
            await using var model = await new FlowTrainer(options).TrainAsync(
                DataSource.FromArray(pixels, [16, 1, 5, 5])
            );
            var there = "diffusers:" + Path.Combine(folder, "model");
            await model.ExportAsync(there);
            await using var again = await FlowModel.ImportAsync(there);
            Assert.That(again.SampleShape, Is.EqualTo(model.SampleShape));

            var onnx = Path.Combine(folder, "model.onnx");
            await again.ExportOnnxAsync(onnx);
            await again.ExportOnnxAsync(onnx + "2", new FlowOptions { Solver = Solvers.Ddim, Steps = 2 });
            Assert.That(new FileInfo(onnx).Length, Is.GreaterThan(10_000));
            Assert.That(new FileInfo(onnx + "2").Length, Is.GreaterThan(10_000));

            var refused = Assert.ThrowsAsync<ArgumentException>(() => model.ExportAsync("keras:" + folder));
            Assert.That(refused!.Message, Does.Contain("onnx:FILE"));
            Assert.ThrowsAsync<FokkerException>(() => FlowModel.ImportAsync("diffusers:" + folder + "/none"));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }
}
