using System.Numerics.Tensors;
using Fokker.Interop;

namespace Fokker;

/// <summary>Data to train on. A tenth of the samples of a file or of memory, chosen by a fixed key, is kept from training.</summary>
/// <remarks>Vectors are standardised for the network and come back in their own units; bytes are pixels; images of numbers in [−1, 1] stay as they are.</remarks>
public sealed class DataSource
{
    // A batch of numbers as they were given, float32 or float64, or bytes where they are pixels, with their whole shape, samples first; or the steps of series that windows of a length are cut from.
    private sealed record Content(Array Values, int[] Shape, int? Window = null, string[]? Names = null);

    private readonly Func<CancellationToken, ValueTask<Content?>> read;
    private readonly long[]? labels;

    private readonly string[]? classes;
    private readonly (bool Flip, int? Crop) seen;

    // What a network is told of samples in memory: numbers [n, k] under names and short texts, or a picture by its condition.
    private sealed record Columns(string[] Names, double[,]? Numbers, string TextName, string?[]? Texts);

    private readonly Columns? told;
    private readonly string? condition;

    private DataSource(
        string name,
        Func<CancellationToken, ValueTask<Content?>> read,
        long[]? labels = null,
        string[]? classes = null,
        (bool Flip, int? Crop) seen = default,
        Columns? told = null,
        string? condition = null
    )
    {
        this.seen = seen;
        this.told = told;
        this.condition = condition;
        Name = name;
        this.read = read;
        this.labels = labels;
        this.classes = classes;
    }

    /// <summary>What it is called: the name that the command line knows it by, or one of your own.</summary>
    public string Name { get; }

    /// <summary>Whether the library finds it by its name.</summary>
    internal bool IsNamed { get; private init; }

    /// <summary>A data set by the name that the command line has for it: <c>moons</c>, <c>fashion-mnist</c>, <c>npy:FILE</c>, <c>csv:FILE</c>, <c>mixture:FILE</c>,
    /// <c>folder:DIR,size=32</c>.</summary>
    /// <param name="name">The name.</param>
    public static DataSource Named(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        return new DataSource(name, _ => default) { IsNamed = true };
    }

    /// <summary>The samples of a file: numpy’s .npy, a .csv of numbers, MNIST’s format, or the mixture of Gaussians that a .json describes.</summary>
    /// <param name="path">The file; its ending says what it is (.npy, .csv, .json, everything else MNIST’s).</param>
    /// <param name="labels">Of a .npy or MNIST’s: the file of the class of each sample, from 0; null where there are none.</param>
    /// <exception cref="ArgumentException">There are labels of a file that has none.</exception>
    public static DataSource FromFile(string path, string? labels = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var kind = Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".npy" => "npy",
            ".csv" => "csv",
            ".json" => "mixture",
            _ => "idx",
        };

        if (labels is not null && kind is "csv" or "mixture")
        {
            throw new ArgumentException(
                $"{path} has no labels in a file of their own: leave them out.",
                nameof(labels)
            );
        }

        return Named(labels is null ? $"{kind}:{path}" : $"{kind}:{path},{labels}");
    }

    /// <summary>The rows of a .csv file under a header: numbers and words, with cells that may be missing. <see cref="SampleBatch.SaveCsv"/> writes samples of the model as such
    /// rows again, and <see cref="FlowModel.ReadCsv"/> reads others.</summary>
    /// <param name="path">The file.</param>
    /// <param name="columns">The names of the columns that are taken, each with <c>:number</c> or <c>:category</c> where what it holds is to be said; all of them where none is named.</param>
    public static DataSource FromCsv(string path, params string[] columns)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentNullException.ThrowIfNull(columns);
        return Named($"csv:{path},columns={(columns.Length == 0 ? "all" : string.Join('+', columns))}");
    }

    /// <summary>Windows of the series in a file: the columns of a .csv, or a .npy of [steps] or [steps, series]. The last tenth of the steps is held out, and one shift and one scale serve all places of a series. A sample is
    /// [window], or [series, window] of several.</summary>
    /// <param name="path">The file; a .npy of [n, series, length] holds windows that are cut already.</param>
    /// <param name="window">How many steps a sample has; null: 64, or what is cut already.</param>
    /// <param name="columns">The names of the columns of a .csv that are learned; all of them where none is named.</param>
    public static DataSource FromSeries(string path, int? window = null, params string[] columns)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentOutOfRangeException.ThrowIfLessThan(window ?? 2, 2, nameof(window));
        ArgumentNullException.ThrowIfNull(columns);
        var length = window is null ? "" : $",window={window}";
        var named = columns.Length == 0 ? "" : $",columns={string.Join('+', columns)}";
        return Named($"series:{path}{length}{named}");
    }

    /// <summary>Windows of series in memory: a row for each step, a column for each series. The last tenth of the steps is held out.</summary>
    /// <param name="steps">[steps, series].</param>
    /// <param name="window">How many steps a sample has.</param>
    /// <param name="names">What each series is called; null: they are numbered.</param>
    /// <param name="name">What to call them.</param>
    /// <exception cref="ArgumentException">There is not one name a series.</exception>
    public static DataSource FromSeries(
        double[,] steps,
        int window = 64,
        string[]? names = null,
        string name = "series"
    )
    {
        ArgumentNullException.ThrowIfNull(steps);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        var (values, shape) = Check.Content(steps);

        if (names is not null && (names.Length != shape[1] || names.Distinct().Count() != names.Length))
        {
            throw new ArgumentException(
                $"{shape[1]} series, and {names.Distinct().Count()} different names.",
                nameof(names)
            );
        }

        return new DataSource(name, _ => new(new Content(values, shape, window, names)));
    }

    /// <summary>Windows of series that are cut already, window after window: [n, series, length], or [n, length] of one series. One shift and one scale serve all places of a series.</summary>
    /// <param name="values">The numbers, in row-major order.</param>
    /// <param name="shape">[n, series, length] or [n, length].</param>
    /// <param name="labels">The class of each, from 0; null where there are none.</param>
    /// <param name="name">What to call them.</param>
    /// <exception cref="ArgumentException">The shape is another, the numbers do not fill it, or there is not one label a window.</exception>
    public static DataSource FromWindows(double[] values, int[] shape, int[]? labels = null, string name = "windows")
    {
        ArgumentNullException.ThrowIfNull(shape);
        return shape.Length is 2 or 3
            ? Of((values, shape), labels, name, areWindows: true)
            : throw new ArgumentException(
                $"Windows are [n, series, length] or [n, length], and not of {shape.Length} sizes.",
                nameof(shape)
            );
    }

    /// <summary>Windows of a text’s bytes, for <see cref="Losses.DiscreteFlowMatching"/> and its kin. The last tenth of the text is held out; <see cref="SampleBatch.ToText"/> reads samples.</summary>
    /// <param name="path">The file.</param>
    /// <param name="window">How many bytes a sample has.</param>
    public static DataSource FromText(string path, int window = 64)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 2);
        return Named($"text:{path},window={window}");
    }

    /// <summary>The same pictures in black and white, 1 where a pixel is above the middle of the greys and 0 elsewhere: pixels are then tokens, for
    /// <see cref="Losses.DiscreteFlowMatching"/> and its kin.</summary>
    /// <exception cref="InvalidOperationException">The data are in memory: only those of a name or a file are made black and white.</exception>
    public DataSource InBlackAndWhite() =>
        IsNamed
            ? Named($"binary:{Name}")
            : throw new InvalidOperationException($"{Name} is in memory: make its pixels black and white before.");

    /// <summary>The PNG, JPEG and WebP pictures of a folder; a folder in it is a class, by the folder’s name.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="size">Side of the square that the middle of each is brought to; null where the pictures have one size already.</param>
    /// <param name="grey">Whether they are grey; null: they are where none has a colour.</param>
    /// <param name="skipCorrupt">Whether files that are no whole pictures are left out. They are refused otherwise, by name, when training begins.</param>
    public static DataSource FromImageFolder(
        string folder,
        int? size = null,
        bool? grey = null,
        bool skipCorrupt = false
    )
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);

        if (size is { } side)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(side, 1, nameof(size));
        }

        var colour = grey switch
        {
            null => "",
            true => ",colour=grey",
            false => ",colour=rgb",
        };
        return Named(
            $"folder:{folder}{(size is null ? "" : $",size={size}")}{colour}{(skipCorrupt ? ",skip=corrupt" : "")}"
        );
    }

    /// <summary>The same samples with names for their classes, which the model keeps.</summary>
    /// <param name="names">The name of each class, in the order of their numbers.</param>
    /// <exception cref="InvalidOperationException">The samples have no labels in memory: those of files have their names there.</exception>
    public DataSource WithClassNames(params string[] names)
    {
        ArgumentNullException.ThrowIfNull(names);

        return labels is null
            ? throw new InvalidOperationException($"{Name} has no labels in memory whose classes could be named.")
            : new DataSource(Name, read, labels, [.. names], seen, told, condition);
    }

    /// <summary>The same images, shown to the network in another way in each pass over them: what an image’s own stream of random numbers says. A run that is resumed
    /// sees the same.</summary>
    /// <param name="flip">Whether half of them are mirrored left to right.</param>
    /// <param name="crop">Side of a window at a random place of each, which is what the network learns; held-out images are seen through the one in the middle. null
    /// shows all of an image.</param>
    public DataSource Augmented(bool flip = false, int? crop = null)
    {
        if (crop is { } side)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(side, 1, nameof(crop));
        }

        return IsNamed
            ? Named(DataWork.SeenBy(Name, flip, crop))
            : new DataSource(Name, read, labels, classes, (flip || seen.Flip, crop ?? seen.Crop), told, condition);
    }

    /// <summary>The same table with columns that the network is told and does not learn, or the same folder of pictures with columns of its metadata.csv that it is told of each: samples are then drawn for values of them (<see cref="SolverOptions.Given"/>).</summary>
    /// <param name="columns">Their names, each with <c>:number</c>, <c>:category</c> or <c>:text</c> where what it holds is to be said.</param>
    /// <exception cref="InvalidOperationException">It is not a table or a folder by its name.</exception>
    public DataSource GivenColumns(params string[] columns)
    {
        ArgumentNullException.ThrowIfNull(columns);
        return Telling("columns:" + string.Join(',', columns));
    }

    /// <summary>The same images, each told to the network with squares of pixels replaced by their means: a model of super-resolution.</summary>
    /// <param name="factor">The side of the squares.</param>
    /// <param name="andClass">Whether the network is told the class of each image as well; samples are then drawn for either or both.</param>
    /// <exception cref="ArgumentException">In training: they are no images, their sides are no multiples of the factor, or they have no classes.</exception>
    /// <exception cref="InvalidOperationException">Numbers or texts are told of each sample already.</exception>
    public DataSource GivenLowResolution(int factor, bool andClass = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(factor, 2);
        return Telling($"{(andClass ? "class+" : "")}low-resolution:{factor}");
    }

    /// <summary>The same images, each told to the network but for a box somewhere in it: a model of inpainting.</summary>
    /// <param name="andClass">Whether the network is told the class of each image as well; samples are then drawn for either or both.</param>
    /// <exception cref="ArgumentException">In training: they are no images, or they have no classes.</exception>
    /// <exception cref="InvalidOperationException">Numbers or texts are told of each sample already.</exception>
    public DataSource GivenInpainting(bool andClass = false) => Telling(andClass ? "class+inpainting" : "inpainting");

    /// <summary>The same samples of memory, of each of which the network is told numbers: samples are then drawn for values of them (<see cref="SolverOptions.Given"/>).</summary>
    /// <param name="numbers">[n, k], a row for each sample; NaN where nothing is told.</param>
    /// <param name="names">What each of the k is called; null: <c>given 1</c>, <c>given 2</c>, …</param>
    /// <exception cref="ArgumentException">There is not one name a column, or it has labels, which a network is told in their place.</exception>
    /// <exception cref="InvalidOperationException">It is a data set by its name: a table has <see cref="GivenColumns"/>; or a part of each image is told already.</exception>
    /// <exception cref="FokkerException">In training: there is not one row a sample, or a column has nothing in it.</exception>
    public DataSource GivenNumbers(double[,] numbers, string[]? names = null)
    {
        ArgumentNullException.ThrowIfNull(numbers);
        var k = numbers.GetLength(1);
        var own = names ?? [.. Enumerable.Range(1, k).Select(j => $"given {j}")];

        if (k == 0 || own.Length != k || own.Distinct().Count() != k)
        {
            throw new ArgumentException(
                $"{k} numbers are told of each sample, and there are {own.Distinct().Count()} different names.",
                nameof(names)
            );
        }

        return Telling(
            new Columns(own, numbers, told?.TextName ?? "", told?.Texts),
            "A network is told a class or numbers: leave the labels out.",
            nameof(numbers)
        );
    }

    /// <summary>The same samples of memory, of each of which the network is told a short text, which it reads by a small transformer over bytes that is trained with it: samples are then drawn for a text
    /// (<see cref="FlowModel.GivenTexts"/>). It goes with <see cref="GivenNumbers"/>.</summary>
    /// <param name="texts">One a sample, of at most 256 bytes each; null or empty where nothing is told.</param>
    /// <param name="name">What the text is called, in messages and as a column.</param>
    /// <exception cref="ArgumentException">It has labels, which a network is told in their place.</exception>
    /// <exception cref="InvalidOperationException">It is a data set by its name: a table, and a folder with a metadata.csv, have <see cref="GivenColumns"/>; or a part of each image is told already.</exception>
    /// <exception cref="FokkerException">In training: there is not one text a sample, all are empty, or one is too long.</exception>
    public DataSource GivenTexts(string?[] texts, string name = "text")
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        return Telling(
            new Columns(told?.Names ?? [], told?.Numbers, name, [.. texts]),
            "A network is told a class or a text: leave the labels out.",
            nameof(texts)
        );
    }

    private DataSource Telling(Columns columns, string noLabels, string argument) =>
        labels is not null ? throw new ArgumentException(noLabels, argument)
        : IsNamed
            ? throw new InvalidOperationException($"{Name} is found by its name: a table tells columns of its own.")
        : condition is not null
            ? throw new InvalidOperationException($"{Name} tells {condition} of each image: leave one of the two out.")
        : new DataSource(Name, read, null, classes, seen, columns);

    private DataSource Telling(string condition)
    {
        if (IsNamed)
        {
            return Named(Translate.Errors(() => DataWork.Telling(Name, condition)));
        }

        return condition.StartsWith("columns:", StringComparison.Ordinal)
                ? throw new InvalidOperationException(
                    $"{Name} is in memory, and has no columns by name: see {nameof(GivenNumbers)}."
                )
            : told is not null
                ? throw new InvalidOperationException(
                    $"{Name} tells numbers or texts of each sample, and no {condition} beside them: leave one of the two out."
                )
            : new DataSource(Name, read, labels, classes, seen, told, condition);
    }

    /// <summary>Vectors, one a row.</summary>
    /// <param name="rows">[n, d].</param>
    /// <param name="labels">The class of each, from 0; null where there are none.</param>
    /// <param name="name">What to call them.</param>
    public static DataSource FromArray(float[,] rows, int[]? labels = null, string name = "array") =>
        Of(Check.Content(rows), labels, name);

    /// <inheritdoc cref="FromArray(float[,], int[], string)"/>
    public static DataSource FromArray(double[,] rows, int[]? labels = null, string name = "array") =>
        Of(Check.Content(rows), labels, name);

    /// <summary>Samples in a row-major array.</summary>
    /// <param name="values">The numbers, sample after sample.</param>
    /// <param name="shape">[n, d] for vectors, [n, channels, height, width] for images.</param>
    /// <param name="labels">The class of each, from 0; null where there are none.</param>
    /// <param name="name">What to call them.</param>
    /// <exception cref="ArgumentException">The numbers do not fill the shape, or there is not one label a sample.</exception>
    public static DataSource FromArray(float[] values, int[] shape, int[]? labels = null, string name = "array") =>
        Of((values, shape), labels, name);

    /// <inheritdoc cref="FromArray(float[], int[], int[], string)"/>
    public static DataSource FromArray(double[] values, int[] shape, int[]? labels = null, string name = "array") =>
        Of((values, shape), labels, name);

    /// <summary>Images of bytes in a row-major array.</summary>
    /// <param name="pixels">The pixels, image after image.</param>
    /// <param name="shape">[n, channels, height, width] or [n, height, width].</param>
    /// <param name="labels">The class of each, from 0; null where there are none.</param>
    /// <param name="name">What to call them.</param>
    /// <exception cref="ArgumentException">The pixels do not fill the shape, or there is not one label an image.</exception>
    public static DataSource FromPixels(byte[] pixels, int[] shape, int[]? labels = null, string name = "pixels") =>
        Of((pixels, shape), labels, name);

    /// <summary>Samples in one of .NET’s tensors.</summary>
    /// <param name="values">[n, d] or [n, channels, height, width].</param>
    /// <param name="labels">The class of each, from 0; null where there are none.</param>
    /// <param name="name">What to call them.</param>
    public static DataSource FromTensor(Tensor<float> values, int[]? labels = null, string name = "tensor") =>
        Of(Check.Content(values), labels, name);

    /// <inheritdoc cref="FromTensor(Tensor{float}, int[], string)"/>
    public static DataSource FromTensor(Tensor<double> values, int[]? labels = null, string name = "tensor") =>
        Of(Check.Content(values), labels, name);

    /// <summary>Samples that are drawn or read elsewhere.</summary>
    /// <param name="samples">The samples.</param>
    /// <param name="name">What to call them.</param>
    public static DataSource FromSamples(SampleBatch samples, string name = "samples")
    {
        ArgumentNullException.ThrowIfNull(samples);
        int[]? labels = samples.Labels is { } own ? [.. own] : null;
        int[] shape = [samples.Count, .. samples.SampleShape];
        return shape.Length == 3
            ? FromWindows(samples.ToDoubleArray(), shape, labels, name)
            : FromArray(samples.ToDoubleArray(), shape, labels, name);
    }

    /// <summary>Samples that arrive one after the other; they are read to their end when training begins, and then held in memory.</summary>
    /// <param name="samples">Each sample as its numbers in row-major order.</param>
    /// <param name="sampleShape">The shape of one: [d], or [channels, height, width].</param>
    /// <param name="name">What to call them.</param>
    public static DataSource FromAsync(
        IAsyncEnumerable<ReadOnlyMemory<float>> samples,
        int[] sampleShape,
        string name = "stream"
    ) => OfStream(samples, sampleShape, name);

    /// <inheritdoc cref="FromAsync(IAsyncEnumerable{ReadOnlyMemory{float}}, int[], string)"/>
    public static DataSource FromAsync(
        IAsyncEnumerable<ReadOnlyMemory<double>> samples,
        int[] sampleShape,
        string name = "stream"
    ) => OfStream(samples, sampleShape, name);

    private static DataSource OfStream<T>(IAsyncEnumerable<ReadOnlyMemory<T>> samples, int[] sampleShape, string name)
    {
        ArgumentNullException.ThrowIfNull(samples);
        ArgumentNullException.ThrowIfNull(sampleShape);
        var size = sampleShape.Aggregate(1, (product, side) => product * side);

        return new DataSource(
            name,
            async cancellation =>
            {
                var values = new List<T>();
                var count = 0;

                await foreach (var sample in samples.WithCancellation(cancellation).ConfigureAwait(false))
                {
                    if (sample.Length != size)
                    {
                        throw new ArgumentException(
                            $"Sample {count} is of {sample.Length} numbers: [{string.Join(", ", sampleShape)}] is of {size}.",
                            nameof(samples)
                        );
                    }

                    values.AddRange(sample.Span);
                    count++;
                }

                return new Content(values.ToArray(), [count, .. sampleShape]);
            }
        );
    }

    // What Content.Window says of windows that are cut already.
    private const int Cut = 0;

    private static DataSource Of<T>(
        (T[] Values, int[] Shape) content,
        int[]? labels,
        string name,
        bool areWindows = false
    )
    {
        var (values, shape) = content;
        ArgumentNullException.ThrowIfNull(values);
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        Check.Filled(values.Length, shape, labels);
        return new DataSource(
            name,
            _ => new(new Content(values, shape, areWindows ? Cut : null)),
            labels is null ? null : Array.ConvertAll(labels, label => (long)label)
        );
    }

    /// <summary>Reads what is to be read, then gives what makes the data set on a thread that may enter libtorch.</summary>
    internal async ValueTask<Func<Dataset>> OpenAsync(CancellationToken cancellation)
    {
        var content = await read(cancellation).ConfigureAwait(false);

        return content is null
            ? () => DataWork.DataSet(Name)
            : () =>
            {
                using var x = content.Values switch
                {
                    byte[] pixels => TensorModule.ofArray(content.Shape, pixels),
                    float[] numbers => TensorModule.ofArray(content.Shape, numbers),
                    var numbers => TensorModule.ofArray(content.Shape, (double[])numbers),
                };

                if (content.Window is { } window)
                {
                    return told is not null || condition is not null
                            ? throw new FokkerException($"{Name}: a network is told the class of a window alone.")
                        : window == Cut ? DataWork.Windows(Name, x, labels, classes)
                        : DataWork.Series(Name, x, window, content.Names ?? []);
                }

                if (told is { } of)
                {
                    foreach (var count in new[] { of.Numbers?.GetLength(0), of.Texts?.Length })
                    {
                        if (count is { } n && n != content.Shape[0])
                        {
                            throw new FokkerException(
                                $"{Name}: {content.Shape[0]} samples, and something is told of {n}."
                            );
                        }
                    }

                    using var given = of.Numbers is { } numbers
                        ? TensorModule.ofArray(
                            [numbers.GetLength(0), numbers.GetLength(1)],
                            numbers.Cast<double>().ToArray()
                        )
                        : null;
                    return DataWork.Told(Name, x, of.Names, given, of.TextName, of.Texts, seen.Flip, seen.Crop);
                }

                var data = DataWork.DataSet(Name, x, labels, classes, seen.Flip, seen.Crop);
                return condition is null ? data : DataWork.Telling(data, condition);
            };
    }

    /// <summary>The name.</summary>
    public override string ToString() => Name;
}
