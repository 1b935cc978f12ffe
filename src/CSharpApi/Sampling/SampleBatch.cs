using System.Numerics.Tensors;
using Fokker.Interop;
using Microsoft.FSharp.Collections;

namespace Fokker;

/// <summary>Samples in the data’s own units, with their classes where they have some. It is memory of .NET’s: there is nothing to dispose of.</summary>
public sealed partial class SampleBatch
{
    private readonly double[] values;
    private readonly int[] shape;
    private readonly int[]? labels;
    private readonly Kept kept;

    /// <summary>How files hold samples: the range of values that a picture shows (none: that of these samples), whether they are pixels of a byte each, and
    /// whether float32 is too coarse for them.</summary>
    internal readonly record struct Kept((double Low, double High)? Range, bool ArePixels, bool AreWide)
    {
        /// <summary>What the coordinates stand for, where samples are rows of a table whose columns were said.</summary>
        internal FSharpList<Column>? Columns { get; init; }

        /// <summary>What the samples are.</summary>
        internal SampleKind Kind { get; init; }
    }

    internal SampleBatch(double[] values, int[] shape, int[]? labels, Kept kept)
    {
        this.values = values;
        this.shape = shape;
        this.labels = labels;
        this.kept = kept;
        SampleSize = shape.Aggregate(1, (product, side) => product * side);
        Count = values.Length / SampleSize;
    }

    /// <summary>Samples of your own.</summary>
    /// <param name="values">The numbers, sample after sample.</param>
    /// <param name="shape">[n, d] for vectors, [n, channels, height, width] for images, [n, series, length] for windows of series.</param>
    /// <param name="labels">The class of each; null where there are none.</param>
    /// <exception cref="ArgumentException">The numbers do not fill the shape, or there is not one label a sample.</exception>
    public static SampleBatch FromArray(double[] values, int[] shape, int[]? labels = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        Check.Filled(values.Length, shape, labels);
        return new SampleBatch(
            [.. values],
            shape[1..],
            labels is null ? null : [.. labels],
            new Kept(null, ArePixels: false, AreWide: true)
        );
    }

    /// <summary>Samples of your own.</summary>
    /// <param name="values">The numbers, sample after sample.</param>
    /// <param name="shape">[n, d] for vectors, [n, channels, height, width] for images, [n, series, length] for windows of series.</param>
    /// <param name="labels">The class of each; null where there are none.</param>
    /// <exception cref="ArgumentException">The numbers do not fill the shape, or there is not one label a sample.</exception>
    public static SampleBatch FromArray(float[] values, int[] shape, int[]? labels = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        return FromArray(Array.ConvertAll(values, x => (double)x), shape, labels);
    }

    /// <summary>Vectors of your own, one a row.</summary>
    /// <param name="rows">[n, d].</param>
    /// <param name="labels">The class of each; null where there are none.</param>
    public static SampleBatch FromArray(double[,] rows, int[]? labels = null)
    {
        var (values, shape) = Check.Content(rows);
        return FromArray(values, shape, labels);
    }

    /// <summary>Samples of one of .NET’s tensors.</summary>
    /// <param name="tensor">[n, d] or [n, channels, height, width].</param>
    /// <param name="labels">The class of each; null where there are none.</param>
    public static SampleBatch FromTensor(Tensor<float> tensor, int[]? labels = null)
    {
        var (values, shape) = Check.Content(tensor);
        return FromArray(values, shape, labels);
    }

    /// <summary>Samples of one of .NET’s tensors.</summary>
    /// <param name="tensor">[n, d] or [n, channels, height, width].</param>
    /// <param name="labels">The class of each; null where there are none.</param>
    public static SampleBatch FromTensor(Tensor<double> tensor, int[]? labels = null)
    {
        var (values, shape) = Check.Content(tensor);
        return FromArray(values, shape, labels);
    }

    /// <summary>The samples of one of numpy’s files, [n, …].</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FokkerException">The file is missing or damaged.</exception>
    public static SampleBatch LoadNpy(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var (shape, values) = Translate.Errors(() => FileWork.ReadNpy(path));
        return FromArray(values, shape);
    }

    /// <summary>How many there are.</summary>
    public int Count { get; }

    /// <summary>The shape of one: [d], [channels, height, width], or [series, length] of windows of several series.</summary>
    public IReadOnlyList<int> SampleShape => shape;

    /// <summary>The numbers of one.</summary>
    public int SampleSize { get; }

    /// <summary>The class of each; null where there are none.</summary>
    public IReadOnlyList<int>? Labels => labels;

    /// <summary>The numbers of a sample, in row-major order.</summary>
    /// <param name="index">Which, from 0.</param>
    public ReadOnlySpan<double> this[int index] => values.AsSpan(index * SampleSize, SampleSize);

    /// <summary>All numbers, sample after sample, as float32.</summary>
    public float[] ToArray() => Array.ConvertAll(values, x => (float)x);

    /// <summary>All numbers, sample after sample, as they were computed.</summary>
    public double[] ToDoubleArray() => [.. values];

    /// <summary>One of .NET’s tensors, [n, …].</summary>
    public Tensor<float> ToTensor()
    {
        nint[] lengths = [Count, .. shape.Select(side => (nint)side)];
        return System.Numerics.Tensors.Tensor.Create(ToArray(), lengths);
    }

    /// <summary>The samples from one to another.</summary>
    /// <param name="start">The first, from 0.</param>
    /// <param name="count">How many.</param>
    public SampleBatch Slice(int start, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start + count, Count, nameof(count));
        return new SampleBatch(
            values[(start * SampleSize)..((start + count) * SampleSize)],
            shape,
            labels?[start..(start + count)],
            kept
        );
    }

    /// <summary>The picture of a PNG, JPEG or WebP file as a batch of one, in numbers from 0 to 255: [1, 3, height, width], or [1, 1, height, width] where it has no
    /// colour. It is upright as its EXIF orientation says, and what is clear is white.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FokkerException">The file is missing, damaged or no such picture.</exception>
    public static SampleBatch LoadPng(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var (shape, values) = Translate.Errors(() => FileWork.ReadImage(path));
        return new SampleBatch(values, shape[1..], null, new Kept((0.0, 255.0), ArePixels: true, AreWide: false));
    }

    /// <summary>A picture as a PNG file’s bytes: a grid of images, the curves of the first eight windows, each series in axes of its own, or points of the plane of the first two coordinates. The channels of
    /// images that are neither grey (1) nor coloured (3) lie side by side.</summary>
    /// <param name="columns">How many images lie side by side.</param>
    /// <param name="scale">How many pixels wide a pixel of an image is drawn; null: so many that small images can be seen.</param>
    /// <param name="count">How many samples are shown, from the first; null: up to 100 images or 10,000 points.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is not one column, pixel or sample, or there are fewer samples.</exception>
    public byte[] ToPng(int columns = 10, int? scale = null, int? count = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(scale ?? 1, 1, nameof(scale));
        ArgumentOutOfRangeException.ThrowIfLessThan(count ?? 1, 1, nameof(count));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count ?? 0, Count, nameof(count));

        if (kept.Kind == SampleKind.Series)
        {
            return FileWork.Curves(shape, kept.Columns ?? FSharpList<Column>.Empty, count ?? Count, values);
        }

        var (low, high) = kept.Range ?? FileWork.Range(values);
        var shown = count ?? (shape.Length == 3 ? 100 : 10_000);
        return FileWork.Png(shape, low, high, values, shown, columns, scale ?? 0);
    }

    /// <summary>Writes the picture of <see cref="ToPng"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="columns">How many images lie side by side.</param>
    /// <param name="scale">How many pixels wide a pixel of an image is drawn; null: so many that small images can be seen.</param>
    /// <param name="count">How many samples are shown, from the first; null: up to 100 images or 10,000 points.</param>
    public void SavePng(string path, int columns = 10, int? scale = null, int? count = null) =>
        File.WriteAllBytes(path, ToPng(columns, scale, count));

    /// <summary>Writes one of numpy’s files: bytes where the data are pixels, else what the network computes in, or float64 where float32 is too coarse for the
    /// data’s units.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FokkerException">The file cannot be written.</exception>
    public void SaveNpy(string path) =>
        Translate.Errors(() =>
        {
            FileWork.Npy(path, shape, kept.ArePixels, kept.AreWide, values);
            return true;
        });

    /// <summary>Writes a table, a sample a line: the cells that the columns of the model’s data make of it, under their names, with an empty cell where it says that one is missing; numbers
    /// where the data were numbers. Windows of several series have a line for each of their steps, one window under the other.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidOperationException">The samples are images.</exception>
    /// <exception cref="FokkerException">The file cannot be written.</exception>
    public void SaveCsv(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);

        if (shape.Length == 3)
        {
            throw new InvalidOperationException($"Images {Describe()} are no rows of a table.");
        }

        Translate.Errors(() =>
        {
            FileWork.Csv(path, kept.Columns ?? FSharpList<Column>.Empty, shape, values);
            return true;
        });
    }

    /// <summary>Samples of text as lines: their bytes as UTF-8, with ↵ and → in the place of ends of lines and tabs, and the mark of replacement where a character was cut.</summary>
    /// <exception cref="InvalidOperationException">The samples are of a model whose data are no text (<see cref="DataSource.FromText"/>).</exception>
    public string[] ToText() =>
        kept.Kind == SampleKind.Text
            ? FileWork.Lines(SampleSize, values)
            : throw new InvalidOperationException($"Samples {Describe()} are numbers, and no text.");

    internal Fokker.Tensor ToCore() => TensorModule.ofArray(new[] { Count }.Concat(shape), values);

    /// <summary>The shape: <c>[n, d]</c>.</summary>
    internal string Describe() => $"[{string.Join(", ", shape.Prepend(Count))}]";

    internal int[]? LabelArray => labels;

    internal bool IsFinite => Array.TrueForAll(values, double.IsFinite);
}
