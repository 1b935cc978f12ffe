using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

public class OptionsTests
{
    /// <summary>Each line is a value that cannot be, and the property that says so.</summary>
    private static readonly (Func<object> Make, string Property)[] Refused =
    [
        (() => new TrainingOptions { Steps = 0 }, nameof(TrainingOptions.Steps)),
        (() => new TrainingOptions { BatchSize = 0 }, nameof(TrainingOptions.BatchSize)),
        (() => new TrainingOptions { LearningRate = 0.0 }, nameof(TrainingOptions.LearningRate)),
        (() => new TrainingOptions { LearningRate = double.NaN }, nameof(TrainingOptions.LearningRate)),
        (() => new TrainingOptions { EmaDecay = 1.0 }, nameof(TrainingOptions.EmaDecay)),
        (() => new TrainingOptions { LabelDropout = -0.1 }, nameof(TrainingOptions.LabelDropout)),
        (() => new TrainingOptions { Device = " " }, nameof(TrainingOptions.Device)),
        (() => new SampleOptions { Count = 0 }, nameof(SampleOptions.Count)),
        (() => new SampleOptions { Steps = 0 }, nameof(SampleOptions.Steps)),
        (() => new SampleOptions { RelativeTolerance = 0.0 }, nameof(SampleOptions.RelativeTolerance)),
        (() => new SampleOptions { Guidance = double.PositiveInfinity }, nameof(SampleOptions.Guidance)),
        (() => new SampleOptions { GuidanceInterval = (2.0, 1.0) }, nameof(SampleOptions.GuidanceInterval)),
        (() => new SampleOptions { GuidanceRescale = 1.5 }, nameof(SampleOptions.GuidanceRescale)),
        (() => new SampleOptions { EndTime = -0.5 }, nameof(SampleOptions.EndTime)),
        (() => new SampleOptions { ParallelTolerance = 0.0 }, nameof(SampleOptions.ParallelTolerance)),
        (() => new LikelihoodOptions { Probes = 0 }, nameof(LikelihoodOptions.Probes)),
        (() => new LikelihoodOptions { Memory = 0 }, nameof(LikelihoodOptions.Memory)),
        (() => new LikelihoodOptions { Time = 1.5 }, nameof(LikelihoodOptions.Time)),
        (() => new InterpolationOptions { Frames = 1 }, nameof(InterpolationOptions.Frames)),
        (() => new EvaluationOptions { Draws = 1 }, nameof(EvaluationOptions.Draws)),
        (() => new EvaluationOptions { SamplesPerDraw = 7 }, nameof(EvaluationOptions.SamplesPerDraw)),
        (() => new EvaluationOptions { Steps = 0 }, nameof(EvaluationOptions.Steps)),
        (() => new FokkerOptions { Workers = 0 }, nameof(FokkerOptions.Workers)),
        (() => new FokkerOptions { ModelsFolder = "" }, nameof(FokkerOptions.ModelsFolder)),
    ];

    [TestCaseSource(nameof(Refused))]
    public void AValueThatCannotBeIsRefusedByTheNameOfItsProperty((Func<object> Make, string Property) refused)
    {
        var error = Assert.Catch<ArgumentException>(() => refused.Make());
        Assert.That(error!.ParamName, Is.EqualTo(refused.Property));
        Assert.That(error.Message, Does.StartWith(refused.Property));
    }

    [Test]
    public void OptionsAreValues()
    {
        var options = new SampleOptions { Count = 3, Solver = Solvers.DpmPlusPlus2M() };
        var other = options with { Seed = 2 };
        Assert.That(other.Count, Is.EqualTo(3));
        Assert.That(options.Seed, Is.EqualTo(0));
        Assert.That(other with { Seed = 0 }, Is.EqualTo(options));
        Assert.That(Solver.FromName("dpmpp-2m"), Is.EqualTo(Solvers.DpmPlusPlus2M()));
    }

    [Test]
    public void OptionsAreBoundFromConfiguration()
    {
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?>
                {
                    ["Training:Loss"] = "ot-cfm",
                    ["Training:Path"] = "condot",
                    ["Training:Steps"] = "123",
                    ["Training:LearningRate"] = "0.01",
                    ["Training:Precision"] = "double",
                    ["Training:Source"] = "eight-gaussians",
                    ["Sampling:Solver"] = "dpmpp-2m",
                    ["Sampling:Grid"] = "karras",
                    ["Sampling:Count"] = "7",
                    ["Sampling:Classifier"] = "runs/classifier",
                    ["Fokker:Workers"] = "2",
                    ["Fokker:ModelsFolder"] = "models",
                }
            )
            .Build();

        var training = configuration.GetSection("Training").Get<TrainingOptions>()!;
        Assert.That(training.Loss, Is.EqualTo(Losses.OptimalTransportFlowMatching));
        Assert.That(training.Path, Is.EqualTo(FlowPaths.CondOt));
        Assert.That(training.Steps, Is.EqualTo(123));
        Assert.That(training.LearningRate, Is.EqualTo(0.01));
        Assert.That(training.Precision, Is.EqualTo(Precision.Double));
        Assert.That(training.Source!.Name, Is.EqualTo("eight-gaussians"));

        var sampling = configuration.GetSection("Sampling").Get<SampleOptions>()!;
        Assert.That(sampling.Solver, Is.EqualTo(Solvers.DpmPlusPlus2M()));
        Assert.That(sampling.Grid, Is.EqualTo(TimeGrids.Karras()));
        Assert.That(sampling.Count, Is.EqualTo(7));
        Assert.That(sampling.Classifier, Is.EqualTo(ClassifierSource.FromFile("runs/classifier")));

        using var services = new ServiceCollection()
            .AddFokker(configuration.GetSection("Fokker"))
            .BuildServiceProvider();
        var options = services.GetRequiredService<IOptions<FokkerOptions>>().Value;
        Assert.That(options.Workers, Is.EqualTo(2));
        Assert.That(options.ModelsFolder, Is.EqualTo("models"));
        Assert.That(services.GetRequiredService<FokkerRuntime>().Options.Workers, Is.EqualTo(2));
    }
}
