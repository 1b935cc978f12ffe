using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>Samples that satisfy something, from C#, where the law of them is known.</summary>
public class SteeringTests
{
    // One Gaussian of independent coordinates: MMPS and the gradient of a linear reward are exact for it.
    private static readonly GaussianMixture One = new(
        [1.0],
        [
            [0.5, -1.0],
        ],
        [
            [0.6, 1.3],
        ]
    );

    private static readonly SampleOptions Some = new()
    {
        Count = 400,
        Seed = 2,
        Steps = 40,
    };

    private static double Mean(SampleBatch samples, int coordinate) =>
        Enumerable.Range(0, samples.Count).Average(k => samples[k][coordinate]);

    // −log p of one Gaussian is least at its mean, where it is log(2π s₁ s₂).
    [Test]
    public async Task TheEnergyOfAGaussianIsLeastAtItsMean()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var minima = await model.MinimizeAsync(new MinimizeOptions { Count = 5, Steps = 2000 });
        Assert.That(minima.Points.Count, Is.EqualTo(5));

        for (var k = 0; k < 5; k++)
        {
            Assert.That(minima.Points[k][0], Is.EqualTo(0.5).Within(1e-6));
            Assert.That(minima.Points[k][1], Is.EqualTo(-1.0).Within(1e-6));
            Assert.That(minima.After[k], Is.EqualTo(Math.Log(2.0 * Math.PI * 0.6 * 1.3)).Within(1e-9));
            Assert.That(minima.After[k], Is.LessThan(minima.Before[k]));
            Assert.That(minima.Slopes[k], Is.LessThan(1e-5));
        }

        // From points of one's own.
        var there = await model.MinimizeAsync(
            new MinimizeOptions { Start = SampleBatch.FromArray([0.5, -1.0], [1, 2]), Steps = 1 }
        );
        Assert.That(there.Points[0][0], Is.EqualTo(0.5).Within(1e-12));

        var refused = Assert.ThrowsAsync<ArgumentException>(async () =>
            await model.MinimizeAsync(new MinimizeOptions { Momentum = 1.0 })
        );
        Assert.That(refused!.Message, Does.Contain(nameof(MinimizeOptions.Momentum)));
    }

    [Test]
    public async Task WhatWasSeenIsKeptAndTheRestIsOfTheLaw()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var image = SampleBatch.FromArray([0.9, double.NaN], [1, 2]);
        var samples = await model.InpaintAsync(image, [true, false], Some);
        Assert.That(samples.Count, Is.EqualTo(400));

        for (var k = 0; k < samples.Count; k++)
        {
            Assert.That(samples[k][0], Is.EqualTo(0.9).Within(1e-3));
        }

        // The other coordinate is independent: N(−1, 1.3²), four standard errors.
        Assert.That(Mean(samples, 1), Is.EqualTo(-1.0).Within(0.27));
    }

    [Test]
    public async Task AFunctionOfOnesOwnIsMeasured()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var sum = Measurement.FromFunction(x => TensorModule.sumKeep([1], x), 0.2, isLinear: true);
        var samples = await model.RestoreAsync(sum, SampleBatch.FromArray([1.0], [1, 1]), Some);
        // S = 0.36 + 1.69 + 0.04: the mean moves by C (1 + 0.5)/S.
        Assert.That(Mean(samples, 0), Is.EqualTo(0.5 + 0.36 * 1.5 / 2.09).Within(0.12));
        Assert.That(Mean(samples, 1), Is.EqualTo(-1.0 + 1.69 * 1.5 / 2.09).Within(0.13));
        var exact = await model.RestoreAsync(
            sum,
            SampleBatch.FromArray([1.0], [1, 1]),
            Some with
            {
                ExactPosterior = true,
            }
        );
        Assert.That(Mean(exact, 1), Is.EqualTo(-1.0 + 1.69 * 1.5 / 2.09).Within(0.13));
    }

    [Test]
    public async Task ARewardTiltsTheLaw()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var options = Some with { Tilt = 2.0 };
        var samples = await model.SteerAsync(x => TensorModule.select(1, 0, x), options);
        // e^{2 x₀} moves the mean of N(0.5, 0.36) by 0.72.
        Assert.That(Mean(samples, 0), Is.EqualTo(1.22).Within(0.12));
        var particles = await model.SteerAsync(
            x => TensorModule.select(1, 0, x),
            options with
            {
                Steerer = Steerers.FeynmanKacDifference,
                Particles = 32,
                // Ancestral steps as few as these leave samples too narrow, and their tilt with them.
                Solver = Solvers.EulerMaruyama(),
                Steps = 60,
            }
        );
        Assert.That(Mean(particles, 0), Is.EqualTo(1.22).Within(0.16));
    }

    [Test]
    public async Task RowsAreCompletedWhereTheyAreEmpty()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var rows = SampleBatch.FromArray([0.1, double.NaN, double.NaN, 2.0, 0.3, 0.4, double.NaN, double.NaN], [4, 2]);
        var filled = await model.ImputeAsync(rows, 3);
        Assert.That(filled.Count, Is.EqualTo(12));

        for (var k = 0; k < 3; k++)
        {
            Assert.That(filled[k][0], Is.EqualTo(0.1));
            Assert.That(filled[3 + k][1], Is.EqualTo(2.0));
            Assert.That(filled[6 + k].ToArray(), Is.EqualTo(new[] { 0.3, 0.4 }));
            Assert.That(double.IsFinite(filled[k][1]) && double.IsFinite(filled[9 + k][0]));
        }

        Assert.That(filled[0][1], Is.Not.EqualTo(filled[1][1]));
    }

    [Test]
    public async Task StepsAreStreamedAndACallIsCancelled()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var options = new SampleOptions
        {
            Count = 3,
            Steps = 5,
            Measurement = Measurement.Coordinates([0], 0.1),
            Observed = SampleBatch.FromArray([0.9], [1, 1]),
        };
        var steps = 0;

        await foreach (var step in model.SampleStepsAsync(options))
        {
            steps++;
        }

        Assert.That(steps, Is.GreaterThanOrEqualTo(5));
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.That(
            async () => await model.SampleAsync(options, source.Token),
            Throws.InstanceOf<OperationCanceledException>()
        );
    }

    [Test]
    public async Task WhatCannotBeNamesTheProperty()
    {
        await using var model = await FlowModel.FromMixtureAsync(One);
        var y = SampleBatch.FromArray([0.9], [1, 1]);
        var seen = Measurement.Coordinates([0], 0.1);

        void Refused(SampleOptions options, params string[] words)
        {
            var error = Assert.ThrowsAsync<ArgumentException>(() => model.SampleAsync(options))!;

            foreach (var word in words)
            {
                Assert.That(error.Message, Does.Contain(word));
            }
        }

        Refused(new SampleOptions { Measurement = seen }, "Measurement", "Observed");
        Refused(
            new SampleOptions { Measurement = Measurement.Coordinates([5]), Observed = y },
            "Measurement",
            "no coordinate 5"
        );
        Refused(
            new SampleOptions
            {
                Measurement = seen,
                Observed = y,
                Steerer = Steerers.FeynmanKacMax,
                Solver = Solvers.Heun,
            },
            "Solver",
            "ancestral"
        );
        Refused(new SampleOptions { Steerer = Steerers.MomentMatching() }, "Steerer", "Measurement");
        Assert.Throws<ArgumentOutOfRangeException>(() => new SampleOptions { Particles = 0 });
        Assert.Throws<ArgumentException>(() => Measurement.Mask([true], [2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Measurement.Blur(1.0, -1.0));
    }
}
