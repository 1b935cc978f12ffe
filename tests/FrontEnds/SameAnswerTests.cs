using System.Globalization;
using Fokker.Tool;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using NUnit.Framework;

namespace Fokker.Tests.FrontEnds;

/// <summary>Requests for samples, drawn at random, through the command line and through C#: the same bytes, or the same refusal.</summary>
public sealed class SameAnswerTests
{
    private const string Law = """
        {"weights": [0.3, 0.5, 0.2], "means": [[-1, 0], [1, 1], [0, -1.5]], "stds": [[0.3, 0.4], [0.5, 0.2], [0.4, 0.6]]}
        """;

    // One choice of a request: the command line's words for it, and what it is in C#. Ranges that a property checks at once are left to its own tests.
    private sealed record Choice(string[] Words, Func<SampleOptions, SampleOptions> Apply);

    private static Choice Said(Func<SampleOptions, SampleOptions> apply, params string[] words) => new(words, apply);

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static readonly Choice Nothing = Said(options => options);

    // A solver for half of the requests, some of which draw, follow the flow, know their error, or go with nothing else.
    private static Choice ASolver(Random random)
    {
        string[] names =
        [
            "euler",
            "heun",
            "dormand-prince",
            "bogacki-shampine",
            "ddim",
            "ancestral",
            "ancestral-learned",
            "dpmpp-2m",
            "euler-maruyama",
            "stochastic-heun",
            "edm",
        ];
        var name = names[random.Next(names.Length)];
        return Said(options => options with { Solver = Solver.FromName(name) }, "--solver", name);
    }

    private static IEnumerable<Choice> Drawn(Random random, string folder, SampleBatch array)
    {
        bool Now(double share) => random.NextDouble() < share;

        yield return Now(0.5) ? ASolver(random) : Nothing;

        if (Now(0.3))
        {
            string[] grids = ["uniform", "karras", "lambda", "leading"];
            var grid = grids[random.Next(grids.Length)];
            yield return Said(options => options with { Grid = TimeGrid.FromName(grid) }, "--grid", grid);
        }

        if (Now(0.6))
        {
            var steps = random.Next(1, 7);
            yield return Said(options => options with { Steps = steps }, "--steps", $"{steps}");
        }

        if (Now(0.2))
        {
            var tolerance = Now(0.8) ? 1e-3 : 1e-30;
            yield return Said(options => options with { RelativeTolerance = tolerance }, "--rtol", Text(tolerance));
        }

        if (Now(0.1))
        {
            yield return Said(options => options with { AbsoluteTolerance = 1e-4 }, "--atol", "0.0001");
        }

        if (Now(0.3))
        {
            var label = random.Next(0, 5);
            yield return Said(options => options with { Label = label }, "--class", $"{label}");
        }

        if (Now(0.3))
        {
            var scale = random.Next(0, 4);
            yield return Said(options => options with { Guidance = scale }, "--guidance", $"{scale}");
        }

        if (Now(0.1))
        {
            yield return Said(
                options => options with { GuidanceInterval = (0.1, 2.0) },
                "--guidance-interval",
                "0.1",
                "2"
            );
        }

        if (Now(0.1))
        {
            yield return Said(options => options with { GuidanceRescale = 0.5 }, "--guidance-rescale", "0.5");
        }

        if (Now(0.1))
        {
            yield return Said(options => options with { Classifier = ClassifierSource.Exact }, "--classifier", "exact");
        }

        if (Now(0.1))
        {
            yield return Said(
                options =>
                    options with
                    {
                        Composition = new Dictionary<int, double> { [0] = 1.5, [2] = -0.5 },
                    },
                "--compose",
                "0:1.5,2:-0.5"
            );
        }

        if (Now(0.15))
        {
            yield return Said(options => options with { StartTime = 0.9 }, "--from", "0.9");
        }

        if (Now(0.15))
        {
            var until = Now(0.5) ? 0.1 : 0.95;
            yield return Said(options => options with { EndTime = until }, "--to", Text(until));
        }

        if (Now(0.15))
        {
            yield return Said(options => options with { Brownian = true }, "--brownian");
        }

        if (Now(0.15))
        {
            yield return Said(options => options with { ParallelWindow = 4 }, "--parallel", "4");
        }

        if (Now(0.1))
        {
            yield return Said(options => options with { ParallelTolerance = 0.01 }, "--parallel-tolerance", "0.01");
        }

        var isGiven = Now(0.25);

        if (isGiven)
        {
            yield return Said(options => options with { Noise = array }, "--noise", Path.Combine(folder, "given.npy"));
        }

        if (Now(0.1))
        {
            isGiven = true;
            yield return Said(options => options with { Start = array }, "--start", Path.Combine(folder, "given.npy"));
        }

        if (!isGiven || Now(0.2))
        {
            yield return Said(options => options with { Count = 6 }, "-n", "6");
        }
    }

    // What the command line says, or nothing where it wrote the samples.
    private static string CommandLine(string[] words)
    {
        using var output = new StringWriter();
        using var errors = new StringWriter();
        var terminal = new Terminal(
            output,
            errors,
            isScreen: false,
            json: false,
            quiet: true,
            stop: FuncConvert.FromFunc<Unit, bool>(_ => false),
            own: OwnPartsModule.none
        );
        var code = Tool.Program.run(terminal, ListModule.OfSeq(words));
        Assert.That(code, Is.EqualTo(0).Or.EqualTo(2), errors.ToString());
        return code == 0 ? "" : errors.ToString().Trim()["fokker sample: ".Length..];
    }

    // The same refusal in the command line's words; a failure of the solver's is no refusal of a setting.
    private static string InItsWords(Exception error)
    {
        for (var inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is RefusedException refused)
            {
                return RefusalModule.text(OptionNames.wording, refused.Refusal);
            }
        }

        return error.Message;
    }

    [Test]
    public async Task TheSameRequestHasTheSameAnswer()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-front-ends-").FullName;

        try
        {
            var law = Path.Combine(folder, "law.json");
            var given = Path.Combine(folder, "given.npy");
            var drawn = Path.Combine(folder, "drawn.npy");
            await File.WriteAllTextAsync(law, Law);
            var numbers = new Random(7);
            var array = SampleBatch.FromArray(
                [.. Enumerable.Range(0, 10).Select(_ => 2.0 * numbers.NextDouble() - 1.0)],
                [5, 2]
            );
            array.SaveNpy(given);
            string[] paths = ["condot", "vp", "edm", "ddpm"];
            var (same, refused) = (0, 0);

            for (var k = 0; k < 240; k++)
            {
                var random = new Random(k);
                var path = paths[random.Next(paths.Length)];
                var choices = Drawn(random, folder, array).ToArray();
                string[] words =
                [
                    "sample",
                    "--oracle",
                    law,
                    "--path",
                    path,
                    "--seed",
                    $"{k}",
                    "--out",
                    drawn,
                    .. choices.SelectMany(choice => choice.Words),
                ];
                var said = string.Join(' ', words);
                var options = choices.Aggregate(
                    new SampleOptions { Seed = k },
                    (options, choice) => choice.Apply(options)
                );
                var line = CommandLine(words);

                await using var model = await FlowModel.FromMixtureAsync(
                    GaussianMixture.Load(law),
                    FlowPath.FromName(path)
                );
                SampleBatch? samples = null;
                Exception? error = null;

                try
                {
                    samples = await model.SampleAsync(options);
                }
                catch (Exception e) when (e is ArgumentException or FokkerException)
                {
                    error = e;
                }

                if (error is null)
                {
                    Assert.That(line, Is.Empty, said);
                    Assert.That(samples!.ToDoubleArray(), Is.EqualTo(SampleBatch.LoadNpy(drawn).ToDoubleArray()), said);
                    same++;
                }
                else
                {
                    // An array has a file's name on the command line, and none in C#.
                    Assert.That(InItsWords(error), Is.EqualTo(line.Replace($" {given}", "")), said);
                    refused++;
                }
            }

            // Draws that only fail, or only succeed, would compare nothing.
            Assert.That(same, Is.GreaterThan(40));
            Assert.That(refused, Is.GreaterThan(40));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
