using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>Pictures and arrays of one's own, in and out.</summary>
public class DataTests
{
    private static readonly TrainingOptions Short = new()
    {
        Steps = 2,
        BatchSize = 4,
        Width = 8,
        Depth = 1,
        ProgressInterval = TimeSpan.Zero,
    };

    private string folder = "";

    [SetUp]
    public void MakeFolder() => folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    private static double[] Bytes(int count, int seed) =>
        [.. Enumerable.Range(0, count).Select(k => (double)((k * 37 + seed * 101) % 256))];

    /// <summary>A picture is written and read back to its numbers, whatever its size.</summary>
    [Test]
    public void APictureIsReadBack()
    {
        foreach (var channels in new[] { 1, 3 })
        {
            var values = Bytes(channels * 5 * 7, channels);
            values[0] = 0.0;
            values[1] = 255.0;
            var file = Path.Combine(folder, $"{channels}.png");
            SampleBatch.FromArray(values, [1, channels, 5, 7]).SavePng(file, columns: 1, scale: 1);
            var read = SampleBatch.LoadPng(file);
            Assert.That(read.SampleShape, Is.EqualTo(new[] { channels, 5, 7 }));
            Assert.That(read.ToDoubleArray(), Is.EqualTo(values));
        }

        File.WriteAllText(Path.Combine(folder, "words.png"), "no picture");
        var refused = Assert.Throws<FokkerException>(() => SampleBatch.LoadPng(Path.Combine(folder, "words.png")));
        Assert.That(refused!.Message, Does.Contain("words.png"));
    }

    /// <summary>Columns, scale and count: so many tiles with a gap between them.</summary>
    [Test]
    public void AGridIsAsLargeAsItIsAskedFor()
    {
        var batch = SampleBatch.FromArray(Bytes(150 * 3 * 4 * 6, 1), [150, 3, 4, 6]);

        foreach (
            var (columns, scale, count, width, height) in new[]
            {
                (4, 3, 10, 81, 42),
                (150, 1, 150, 1198, 4),
                (7, 2, 1, 12, 8),
            }
        )
        {
            var file = Path.Combine(folder, "grid.png");
            batch.SavePng(file, columns, scale, count);
            Assert.That(SampleBatch.LoadPng(file).SampleShape, Is.EqualTo(new[] { 3, height, width }));
        }

        Assert.That(batch.ToPng(), Is.EqualTo(batch.ToPng(10, null, 100)));
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.ToPng(count: 151));
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.ToPng(columns: 0));
    }

    /// <summary>A model keeps the names of the folders that it learned from, and is asked for a class by them.</summary>
    [Test]
    public async Task AFolderOfPicturesBecomesAModel()
    {
        foreach (var (name, number) in new[] { ("round", 0), ("square", 1) })
        {
            Directory.CreateDirectory(Path.Combine(folder, "pictures", name));

            for (var k = 0; k < 10; k++)
            {
                SampleBatch
                    .FromArray(Bytes(3 * 10 * 12, 2 * k + number), [1, 3, 10, 12])
                    .SavePng(Path.Combine(folder, "pictures", name, $"{k}.png"), columns: 1, scale: 1);
            }
        }

        var pictures = Path.Combine(folder, "pictures");
        await using (var model = await new FlowTrainer(Short).TrainAsync(DataSource.FromImageFolder(pictures, size: 8)))
        {
            Assert.That(model.Classes, Is.EqualTo(new[] { "round", "square" }));
            Assert.That(model.SampleShape, Is.EqualTo(new[] { 3, 8, 8 }));
            var samples = await model.SampleAsync(
                new SampleOptions
                {
                    Count = 3,
                    Steps = 2,
                    Label = model.LabelOf("square"),
                }
            );
            Assert.That(samples.Labels, Is.EqualTo(new[] { 1, 1, 1 }));
            var unknown = Assert.Throws<ArgumentException>(() => model.LabelOf("squire"));
            Assert.That(unknown!.Message, Does.Contain("square"));
        }

        File.WriteAllText(Path.Combine(pictures, "round", "words.png"), "no picture");
        var refused = Assert.ThrowsAsync<FokkerException>(() =>
            new FlowTrainer(Short).TrainAsync(DataSource.FromImageFolder(pictures, size: 8))
        );
        Assert.That(refused!.Message, Does.Contain("words.png"));
        await using var rest = await new FlowTrainer(Short).TrainAsync(
            DataSource.FromImageFolder(pictures, size: 8, grey: true, skipCorrupt: true)
        );
        Assert.That(rest.SampleShape, Is.EqualTo(new[] { 1, 8, 8 }));
    }

    /// <summary>Columns that are told are not learned: samples are drawn for rows of them, and a model that was not taught to do without refuses none.</summary>
    [Test]
    public async Task ColumnsAreToldAndNotLearned()
    {
        var table = Path.Combine(folder, "trial.csv");
        File.WriteAllLines(
            table,
            [
                "dose,city,effect",
                .. Enumerable.Range(0, 60).Select(k => $"{k % 7},{(k % 2 == 0 ? "Rome" : "Oslo")},{k}"),
            ]
        );
        await using var model = await new FlowTrainer(Short).TrainAsync(
            DataSource.FromCsv(table).GivenColumns("dose", "city")
        );
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 1 }));
        Assert.That(model.Given, Is.EqualTo("dose, city"));

        var rows = Path.Combine(folder, "rows.csv");
        File.WriteAllLines(rows, ["city,dose", "Rome,1", ",2"]);
        var given = model.ReadGiven(rows);
        Assert.That(given.SampleShape, Is.EqualTo(new[] { 3 }));
        Assert.That(given.ToDoubleArray(), Is.EqualTo(new[] { 1.0, 0.0, 1.0, 2.0, double.NaN, double.NaN }));
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Given = given,
                Guidance = 2,
                Steps = 2,
            }
        );
        Assert.That(samples.Count, Is.EqualTo(2));

        var other = new LikelihoodOptions { Given = given, Steps = 2 };
        Assert.That((await model.LogLikelihoodAsync(samples, other)).Values, Has.Exactly(2).Items);
        var three = SampleBatch.FromArray(new double[3], [3, 1]);
        Assert.That(
            Assert.ThrowsAsync<ArgumentException>(() => model.LogLikelihoodAsync(three, other))!.Message,
            Does.Contain("2 samples").And.Contain("3")
        );

        var wide = SampleBatch.FromArray(new double[10], [2, 5]);
        var refused = Assert.ThrowsAsync<ArgumentException>(() =>
            model.SampleAsync(new SampleOptions { Given = wide })
        );
        Assert.That(refused!.Message, Does.Contain("Given").And.Contain("[n; 3]"));
        Assert.Throws<InvalidOperationException>(() => DataSource.FromArray(new double[8], [4, 2]).GivenColumns("a"));
    }

    /// <summary>What is told of samples in memory comes with them, in its own units, and a part of it may be unknown.</summary>
    [Test]
    public async Task NumbersAreToldOfSamplesInMemory()
    {
        var (rows, numbers) = (new double[60, 1], new double[60, 2]);

        for (var k = 0; k < 60; k++)
        {
            (numbers[k, 0], numbers[k, 1]) = (1e6 + k, k % 5 == 0 ? double.NaN : k % 3);
            rows[k, 0] = k + (k % 3);
        }

        var source = DataSource.FromArray(rows);
        await using var model = await new FlowTrainer(Short).TrainAsync(source.GivenNumbers(numbers, ["dose", "city"]));
        Assert.That(model.Given, Is.EqualTo("dose, city"));
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 1 }));
        var given = SampleBatch.FromArray([1e6 + 3, double.NaN, 1e6 + 50, 2.0], [2, 2]);
        var samples = await model.SampleAsync(new SampleOptions { Given = given, Steps = 2 });
        Assert.That(samples.Count, Is.EqualTo(2));
        var others = await model.SampleAsync(
            new SampleOptions { Given = SampleBatch.FromArray([1e6 + 3, 1.0, 1e6 + 50, 2.0], [2, 2]), Steps = 2 }
        );
        Assert.That(others[0].ToArray(), Is.Not.EqualTo(samples[0].ToArray()));
        Assert.That(others[1].ToArray(), Is.EqualTo(samples[1].ToArray()));

        Assert.Throws<ArgumentException>(() => source.GivenNumbers(numbers, ["dose"]));
        Assert.Throws<InvalidOperationException>(() => DataSources.Moons.GivenNumbers(numbers));
        var few = source.GivenNumbers(new double[3, 1]);
        Assert.That(
            Assert.ThrowsAsync<FokkerException>(() => new FlowTrainer(Short).TrainAsync(few))!.Message,
            Does.Contain("60 samples").And.Contain("3")
        );
        var empty = new double[60, 1];

        for (var k = 0; k < 60; k++)
        {
            empty[k, 0] = double.NaN;
        }

        Assert.That(
            Assert
                .ThrowsAsync<FokkerException>(() =>
                    new FlowTrainer(Short).TrainAsync(source.GivenNumbers(empty, ["nothing"]))
                )!
                .Message,
            Does.Contain("nothing")
        );
        var vectors = DataSource.FromArray(new double[40], [20, 2]).GivenInpainting();
        Assert.That(
            Assert.ThrowsAsync<ArgumentException>(() => new FlowTrainer(Short).TrainAsync(vectors))!.Message,
            Does.Contain("images").And.Not.Contain("memory:")
        );
    }

    /// <summary>Images in memory are told small, as those of a file are.</summary>
    [Test]
    public async Task ImagesInMemoryAreToldSmall()
    {
        var pixels = DataSource.FromPixels(Array.ConvertAll(Bytes(30 * 64, 1), x => (byte)x), [30, 1, 8, 8]);
        await using var model = await new FlowTrainer(Short).TrainAsync(pixels.GivenLowResolution(2));
        Assert.That(model.Given, Is.EqualTo("low-resolution:2"));
        var small = SampleBatch.FromArray(new double[2 * 16], [2, 1, 4, 4]);
        var large = await model.SampleAsync(new SampleOptions { Given = small, Steps = 2 });
        Assert.That(large.SampleShape, Is.EqualTo(new[] { 1, 8, 8 }));
    }

    /// <summary>Short texts, and numbers beside them, are told of samples in memory, of images too.</summary>
    [Test]
    public async Task TextsAreTold()
    {
        byte[] pixels = Array.ConvertAll(Bytes(30 * 64, 1), x => (byte)x);
        string?[] texts =
        [
            .. Enumerable
                .Range(0, 30)
                .Select(k =>
                    k == 3 ? null
                    : k % 2 == 0 ? "even"
                    : "odd"
                ),
        ];
        var images = DataSource.FromPixels(pixels, [30, 1, 8, 8]);
        await using var model = await new FlowTrainer(Short).TrainAsync(images.GivenTexts(texts));
        Assert.That(model.Given, Is.EqualTo("text"));

        async Task<double[]> Of(FlowModel model, string? text) => (
                await model.SampleAsync(
                    new SampleOptions
                    {
                        Given = model.GivenTexts(text),
                        Steps = 2,
                        Count = 1,
                    }
                )
            )[0].ToArray();

        double[][] all = [await Of(model, "even"), await Of(model, "odd"), await Of(model, null)];
        Assert.That(all.Select(x => string.Join(' ', x)).Distinct().Count(), Is.EqualTo(3));
        Assert.That(
            Assert.Throws<FokkerException>(() => model.GivenTexts("uneven"))!.Message,
            Does.Contain("uneven").And.Contain("4 bytes")
        );
        var file = Path.Combine(folder, "texts.safetensors");
        await model.SaveAsync(file);
        await using var read = await FlowModel.LoadAsync(file);
        Assert.That(await Of(read, "even"), Is.EqualTo(all[0]));

        var numbers = new double[30, 1];
        numbers[0, 0] = 1;
        var both = images.GivenTexts(texts, "parity").GivenNumbers(numbers, ["first"]);
        await using var second = await new FlowTrainer(Short).TrainAsync(both);
        Assert.That(second.Given, Is.EqualTo("first, parity"));
        Assert.Throws<FokkerException>(() => second.GivenTexts("odd"));

        Assert.That(
            Assert
                .ThrowsAsync<FokkerException>(() => new FlowTrainer(Short).TrainAsync(images.GivenTexts(["one"])))!
                .Message,
            Does.Contain("30 samples").And.Contain("1")
        );
        Assert.Throws<InvalidOperationException>(() => DataSources.Moons.GivenTexts(texts));
        // One of the two would be forgotten.
        Assert.Throws<InvalidOperationException>(() => images.GivenTexts(texts).GivenInpainting());
        Assert.Throws<InvalidOperationException>(() => images.GivenLowResolution(2).GivenTexts(texts));
    }

    /// <summary>A class and a part of the image are told together: samples are of what is said of the two.</summary>
    [Test]
    public async Task AClassAndAPartOfTheImageAreToldTogether()
    {
        byte[] pixels = Array.ConvertAll(Bytes(30 * 64, 1), x => (byte)x);
        int[] labels = [.. Enumerable.Range(0, 30).Select(k => k % 3)];
        var images = DataSource.FromPixels(pixels, [30, 1, 8, 8], labels);
        await using var model = await new FlowTrainer(Short).TrainAsync(images.GivenInpainting(andClass: true));
        Assert.That(model.Given, Is.EqualTo("class+inpainting"));
        Assert.That(model.IsConditional, Is.True);
        var seen = new double[64];
        Array.Fill(seen, double.NaN, 0, 32);
        var given = SampleBatch.FromArray(seen, [1, 1, 8, 8]);

        async Task<double[]> Of(int? label, SampleBatch? part) => (
                await model.SampleAsync(
                    new SampleOptions
                    {
                        Label = label,
                        Given = part,
                        Steps = 2,
                        Count = 1,
                    }
                )
            )[0].ToArray();

        double[][] all = [await Of(1, given), await Of(2, given), await Of(1, null), await Of(null, given)];
        Assert.That(all.Select(x => string.Join(' ', x)).Distinct().Count(), Is.EqualTo(4));
        var file = Path.Combine(folder, "both.safetensors");
        await model.SaveAsync(file);
        await using var read = await FlowModel.LoadAsync(file);
        Assert.That((
                await read.SampleAsync(
                    new SampleOptions
                    {
                        Label = 1,
                        Given = given,
                        Steps = 2,
                        Count = 1,
                    }
                )
            )[0].ToArray(), Is.EqualTo(all[0]));

        var unlabelled = DataSource.FromPixels(pixels, [30, 1, 8, 8]).GivenLowResolution(2, andClass: true);
        Assert.That(
            Assert.ThrowsAsync<ArgumentException>(() => new FlowTrainer(Short).TrainAsync(unlabelled))!.Message,
            Does.Contain("no classes")
        );
    }

    /// <summary>Classes of arrays have names, and a file of numpy's has labels beside it.</summary>
    [Test]
    public async Task ClassesOfArraysHaveNames()
    {
        var rows = Enumerable.Range(0, 20).SelectMany(k => new[] { k, -(double)k }).ToArray();
        int[] labels = [.. Enumerable.Range(0, 20).Select(k => k % 2)];
        var data = DataSource.FromArray(rows, [20, 2], labels);
        var options = Short with { UseLabels = true };
        await using (var model = await new FlowTrainer(options).TrainAsync(data.WithClassNames("even", "odd")))
        {
            Assert.That(model.Classes, Is.EqualTo(new[] { "even", "odd" }));
        }

        var few = Assert.ThrowsAsync<FokkerException>(() =>
            new FlowTrainer(options).TrainAsync(data.WithClassNames("even"))
        );
        Assert.That(few!.Message, Does.Contain("1 names for 2 classes"));
        Assert.Throws<InvalidOperationException>(() => DataSources.Moons.WithClassNames("a"));

        var (x, y) = (Path.Combine(folder, "x.npy"), Path.Combine(folder, "y.npy"));
        SampleBatch.FromArray(rows, [20, 2]).SaveNpy(x);
        // numpy's own: int64 [20], version 1.0.
        var header = "{'descr': '<i8', 'fortran_order': False, 'shape': (20,), }".PadRight(117) + "\n";
        File.WriteAllBytes(
            y,
            [
                0x93,
                .. "NUMPY"u8,
                1,
                0,
                (byte)header.Length,
                0,
                .. header.Select(c => (byte)c),
                .. labels.SelectMany(k => BitConverter.GetBytes((long)k)),
            ]
        );
        await using var labelled = await new FlowTrainer(options).TrainAsync(DataSource.FromFile(x, y));
        Assert.That(labelled.Classes, Is.EqualTo(new[] { "0", "1" }));
        Assert.Throws<ArgumentException>(() => DataSource.FromFile("x.csv", "y.npy"));
    }

    /// <summary>A text is learned as tokens and drawn as text, with corrections; pictures are made black and white by name.</summary>
    [Test]
    public async Task ATextIsDrawnAsText()
    {
        var file = Path.Combine(folder, "text.txt");
        File.WriteAllText(file, string.Concat(Enumerable.Repeat("to be, or not to be. ", 30)));
        await using var model = await new FlowTrainer(
            new TrainingOptions
            {
                Network = NetworkKinds.Sequence(depth: 1, heads: 2, width: 16),
                Steps = 5,
                BatchSize = 16,
            }
        ).TrainAsync(DataSource.FromText(file, window: 8));
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 8 }));
        var samples = await model.SampleAsync(
            new SampleOptions
            {
                Count = 6,
                Steps = 4,
                Solver = Solvers.TauLeaping(corrections: 1),
            }
        );
        Assert.That(samples.ToText(), Has.Length.EqualTo(6));
        Assert.Throws<InvalidOperationException>(() => SampleBatch.FromArray(new double[8], [1, 8]).ToText());
        Assert.That(DataSource.Named("mnist").InBlackAndWhite().Name, Is.EqualTo("binary:mnist"));
        Assert.Throws<InvalidOperationException>(() => DataSource.FromArray(new float[4, 2]).InBlackAndWhite());
    }

    /// <summary>Windows of several series are learned from memory and from files, drawn as tables and pictures, and completed.</summary>
    [Test]
    public async Task SeveralSeriesAreLearned()
    {
        var steps = new double[300, 2];
        for (var k = 0; k < 300; k++)
        {
            steps[k, 0] = Math.Sin(0.3 * k);
            steps[k, 1] = 1000 + 100 * Math.Cos(0.3 * k);
        }

        await using var model = await new FlowTrainer(Short).TrainAsync(
            DataSource.FromSeries(steps, window: 16, names: ["height", "speed"])
        );
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 2, 16 }));
        Assert.That(model.SampleKind, Is.EqualTo(SampleKind.Series));
        var drawn = await model.SampleAsync(new SampleOptions { Count = 3, Steps = 3 });
        var table = Path.Combine(folder, "windows.csv");
        drawn.SaveCsv(table);
        var lines = File.ReadAllLines(table);
        Assert.That(lines, Has.Length.EqualTo(1 + 3 * 16));
        Assert.That(lines[0], Is.EqualTo("height,speed"));
        Assert.That(model.ReadCsv(table).ToArray(), Is.EqualTo(drawn.ToArray()));
        Assert.That(drawn.ToPng(), Is.Not.EqualTo(drawn.ToPng(count: 2)));
        Assert.That(double.IsFinite((await model.LogLikelihoodAsync(drawn)).Mean));

        // The second half of a window is open.
        File.WriteAllLines(table, lines.Take(9).Concat(Enumerable.Repeat(",", 8)));
        var filled = await model.ImputeAsync(
            model.ReadCsv(table, toComplete: true),
            options: new SampleOptions { Steps = 3 }
        );
        Assert.That(filled.SampleShape, Is.EqualTo(new[] { 2, 16 }));
        Assert.That(filled[0][..8].ToArray(), Is.EqualTo(drawn[0][..8].ToArray()).Within(1e-6));
        Assert.That(filled.ToDoubleArray(), Has.All.Matches<double>(double.IsFinite));

        // The same of a file, by the columns that are named, and of windows that are cut already, with classes.
        var file = Path.Combine(folder, "steps.csv");
        File.WriteAllLines(
            file,
            Enumerable.Range(0, 300).Select(k => $"day {k},{steps[k, 0]:R},{steps[k, 1]:R}").Prepend("day,height,speed")
        );
        var named = DataSource.FromSeries(file, 16, "height", "speed");
        Assert.That(named.Name, Is.EqualTo($"series:{file},window=16,columns=height+speed"));
        await using var ofFile = await new FlowTrainer(Short).TrainAsync(named);
        var again = await ofFile.SampleAsync(new SampleOptions { Count = 3, Steps = 3 });
        Assert.That(again.ToDoubleArray(), Is.EqualTo(drawn.ToDoubleArray()).Within(1e-9).Percent);

        await using var classes = await new FlowTrainer(Short).TrainAsync(
            DataSource.FromWindows(drawn.ToDoubleArray(), [3, 2, 16], [0, 1, 0]).WithClassNames("a", "b")
        );
        Assert.That(classes.Classes, Is.EqualTo(new[] { "a", "b" }));
        Assert.That(classes.SampleShape, Is.EqualTo(new[] { 2, 16 }));
        await using var ofSamples = await new FlowTrainer(Short).TrainAsync(DataSource.FromSamples(drawn));
        Assert.That(ofSamples.SampleShape, Is.EqualTo(new[] { 2, 16 }));

        Assert.Throws<ArgumentException>(() => DataSource.FromSeries(steps, names: ["height"]));
        Assert.Throws<ArgumentException>(() => DataSource.FromWindows(new double[24], [2, 3, 2, 2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => DataSource.FromSeries(steps, window: 1));
        var told = DataSource.FromSeries(steps, 16).GivenNumbers(new double[300, 1]);
        Assert.ThrowsAsync<FokkerException>(() => new FlowTrainer(Short).TrainAsync(told));
    }

    /// <summary>A table of numbers and words is learned, drawn as such a table, scored and completed.</summary>
    [Test]
    public async Task ATableOfWordsIsCompleted()
    {
        var table = Path.Combine(folder, "people.csv");
        File.WriteAllLines(
            table,
            new[] { "age,city,shoes" }.Concat(
                Enumerable
                    .Range(0, 60)
                    .Select(k => $"{20 + k % 7},{(k % 2 == 0 ? "Rome" : "Oslo")},{(k % 5 == 0 ? "" : 36 + k % 9)}")
            )
        );
        await using var model = await new FlowTrainer(Short).TrainAsync(
            DataSource.FromCsv(table, "age", "city", "shoes")
        );
        Assert.That(model.SampleShape, Is.EqualTo(new[] { 5 }));
        var drawn = Path.Combine(folder, "drawn.csv");
        (await model.SampleAsync(new SampleOptions { Count = 8, Steps = 3 })).SaveCsv(drawn);
        var lines = File.ReadAllLines(drawn);
        Assert.That(lines, Has.Length.EqualTo(9));
        Assert.That(lines[0], Is.EqualTo("age,city,shoes"));
        Assert.That(lines[1..].Select(line => line.Split(',')[1]), Has.All.AnyOf("Rome", "Oslo"));

        var density = await model.LogLikelihoodAsync(model.ReadCsv(table));
        Assert.That(double.IsFinite(density.Mean));

        var holes = Path.Combine(folder, "holes.csv");
        File.WriteAllLines(holes, ["city,age,shoes", "Oslo,31,", ",22,40"]);
        var filled = await model.ImputeAsync(
            model.ReadCsv(holes, toComplete: true),
            options: new SampleOptions { Steps = 3 }
        );
        filled.SaveCsv(drawn);
        lines = File.ReadAllLines(drawn);
        Assert.That(lines[1], Does.Match("^31,Oslo,[-0-9.E+]+$"));
        Assert.That(lines[2], Does.Match("^22,(Oslo|Rome),40$"));
        Assert.Throws<InvalidOperationException>(() =>
            SampleBatch.FromArray(new double[12], [1, 3, 2, 2]).SaveCsv(drawn)
        );
    }
}
