using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>The programs of samples/, each run as a newcomer runs it.</summary>
[NonParallelizable]
public class SamplesTests
{
    private string folder = null!;

    [SetUp]
    public void Make() => folder = Directory.CreateTempSubdirectory("fokker-samples-").FullName;

    [TearDown]
    public void Remove() => Directory.Delete(folder, recursive: true);

    private static string Root
    {
        get
        {
            for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Toolkit.sln")))
                {
                    return folder.FullName;
                }
            }

            throw new DirectoryNotFoundException("Toolkit.sln is in no folder above the tests.");
        }
    }

    private Process Start(string sample, params string[] words)
    {
        var program = Path.Combine(Root, "samples", sample, "bin", "Release", "net10.0", $"{sample}.dll");
        var dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        return Process.Start(
            new ProcessStartInfo(dotnet, [program, .. words])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = folder,
            }
        )!;
    }

    private async Task<(int Code, string Output, string Error)> Run(string sample, params string[] words)
    {
        using var process = Start(sample, words);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await error);
    }

    [TestCase("ConsoleTrainer")]
    [TestCase("SampleService")]
    [TestCase("AnomalyScores")]
    public void ASampleIsShort(string sample) =>
        Assert.That(File.ReadAllLines(Path.Combine(Root, "samples", sample, "Program.cs")), Has.Length.LessThan(60));

    [Test]
    public async Task TheTrainerTrainsDrawsAndGoesOn()
    {
        var (code, output, error) = await Run("ConsoleTrainer", "moons", "20", "mine");
        Assert.That(code, Is.Zero, error);
        Assert.That(output, Does.StartWith("20 steps in "));
        Assert.That(SampleBatch.LoadNpy(Path.Combine(folder, "mine", "samples.npy")).Count, Is.EqualTo(1000));
        Assert.That(new FileInfo(Path.Combine(folder, "mine", "samples.png")).Length, Is.GreaterThan(1000));

        Assert.That((await Run("ConsoleTrainer", "moons", "20", "mine")).Code, Is.Zero);
        var (refused, _, sentence) = await Run("ConsoleTrainer", "moon", "20", "other");
        Assert.That(refused, Is.EqualTo(2));
        Assert.That(sentence, Does.Contain("moons"));
    }

    [Test]
    public async Task TheServiceServesTheSamplesOfTheLibrary()
    {
        var options = new TrainingOptions
        {
            Steps = 5,
            Width = 8,
            BatchSize = 8,
            Folder = Path.Combine(folder, "runs", "moons"),
        };
        await using var model = await new FlowTrainer(options).TrainAsync(DataSources.Moons);
        using var process = Start("SampleService", "--urls", "http://127.0.0.1:0");

        try
        {
            // ASP.NET Core's own line says where it listens.
            var line = "";

            while (!line.Contains("http://127.0.0.1:"))
            {
                var read = await process.StandardOutput.ReadLineAsync();

                if (read is null)
                {
                    Assert.Fail(await process.StandardError.ReadToEndAsync());
                }

                line = read!;
            }

            using var http = new HttpClient
            {
                BaseAddress = new Uri(line[line.IndexOf("http:", StringComparison.Ordinal)..].Trim()),
            };
            var answer = await http.GetFromJsonAsync<JsonElement>("/models/moons/samples?count=3&seed=1&solver=heun");
            var same = await model.SampleAsync(
                new SampleOptions
                {
                    Count = 3,
                    Seed = 1,
                    Solver = Solvers.Heun,
                }
            );
            Assert.That(
                answer.GetProperty("values").EnumerateArray().Select(x => x.GetSingle()),
                Is.EqualTo(same.ToArray())
            );

            Assert.That((int)(await http.GetAsync("/models/none/samples")).StatusCode, Is.EqualTo(404));
            Assert.That((int)(await http.GetAsync("/models/moons/samples?solver=magic")).StatusCode, Is.EqualTo(400));
            Assert.That((int)(await http.GetAsync("/models/..%2fmoons/samples")).StatusCode, Is.EqualTo(404));
        }
        finally
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
    }

    [Test]
    public async Task TheScoresFindTheRowsThatAreFarFromTheRest()
    {
        var random = new Random(1);
        double Normal() =>
            Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        string Row(double x, double y) => FormattableString.Invariant($"{x:R},{y:R}");
        string Usual()
        {
            var x = Normal();
            return Row(10 + 2 * x, -3 + x + 0.3 * Normal());
        }

        await File.WriteAllLinesAsync(
            Path.Combine(folder, "usual.csv"),
            ["a,b", .. Enumerable.Range(0, 500).Select(_ => Usual())]
        );
        // The last two are each ordinary in a and in b, and not together.
        await File.WriteAllLinesAsync(
            Path.Combine(folder, "new.csv"),
            ["a,b", .. Enumerable.Range(0, 20).Select(_ => Usual()), Row(14, -5.5), Row(6, -0.5)]
        );
        var (code, output, error) = await Run("AnomalyScores", "usual.csv", "new.csv", "scores.csv", "50");
        Assert.That(code, Is.Zero, error);
        Assert.That(output, Does.Contain("of 22 rows are unusual"));

        var shares = File.ReadLines(Path.Combine(folder, "scores.csv"))
            .Skip(1)
            .Select(line => double.Parse(line.Split(',')[2], CultureInfo.InvariantCulture))
            .ToArray();
        Assert.That(shares[^2..], Has.All.LessThan(0.01));
        Assert.That(shares[..20].Average(), Is.GreaterThan(0.3));
    }
}
