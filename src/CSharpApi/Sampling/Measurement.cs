namespace Fokker;

/// <summary>What is seen of a sample, in the data’s units: y = A x + n with noise n of a standard deviation s in each number.</summary>
/// <remarks>Numbers of a sample are counted in row-major order where it has several axes.</remarks>
public sealed class Measurement
{
    private Measurement(Operator seen, double noise)
    {
        if (!(noise >= 0.0 && double.IsFinite(noise)))
        {
            throw new ArgumentOutOfRangeException(
                nameof(noise),
                noise,
                $"{nameof(noise)} is {noise}: expected a number of at least 0."
            );
        }

        Core = new Observation(seen, noise);
    }

    internal Observation Core { get; }

    /// <summary>The standard deviation of each number’s noise.</summary>
    public double Noise => Core.Noise;

    /// <summary>The numbers of a sample where the mask is true.</summary>
    /// <param name="mask">A sample’s numbers, in row-major order: true where it is seen.</param>
    /// <param name="sampleShape">The shape of a sample, [d] or [channels, height, width].</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement Mask(bool[] mask, int[] sampleShape, double noise = 0.0)
    {
        ArgumentNullException.ThrowIfNull(mask);
        ArgumentNullException.ThrowIfNull(sampleShape);

        if (sampleShape.Aggregate(1L, (product, side) => product * side) != mask.Length)
        {
            throw new ArgumentException(
                $"{mask.Length} flags do not fill a sample of shape [{string.Join(", ", sampleShape)}].",
                nameof(mask)
            );
        }

        var flags = Array.ConvertAll(mask, seen => seen ? 1.0 : 0.0);
        return new(Operator.NewMask(TensorModule.ofArray(sampleShape, flags)), noise);
    }

    /// <summary>Some coordinates of a sample.</summary>
    /// <param name="places">Which, from 0.</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement Coordinates(int[] places, double noise = 0.0)
    {
        ArgumentNullException.ThrowIfNull(places);
        return new(Operator.NewCoordinates(Interop.Maybe.List(places)), noise);
    }

    /// <summary>Linear combinations of a sample’s numbers.</summary>
    /// <param name="rows">One row for each number that is seen: [m, d].</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement Matrix(double[,] rows, double noise = 0.0)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var (values, shape) = Check.Content(rows);
        return new(Operator.NewMatrix(TensorModule.ofArray(shape, values)), noise);
    }

    /// <summary>Means over blocks of neighbours: what super-resolution undoes.</summary>
    /// <param name="block">The side of a block.</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement BlockAverages(int block, double noise = 0.0) => new(Operator.NewAverage(block), noise);

    /// <summary>The sample blurred by a Gaussian.</summary>
    /// <param name="deviation">Its standard deviation in pixels.</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement Blur(double deviation, double noise = 0.0) => new(Operator.NewBlur(deviation), noise);

    /// <summary>The mean of an image’s channels: what colorization undoes.</summary>
    /// <param name="noise">The standard deviation of the noise.</param>
    public static Measurement Grey(double noise = 0.0) => new(Operator.Grey, noise);

    /// <summary>A function of yours, made of the operations of <see cref="Fokker.Tensor"/>: samples [n, …] to what is seen of each, [n, …].</summary>
    /// <param name="function">The function; its derivatives are found automatically. It runs on the runtime’s threads.</param>
    /// <param name="noise">The standard deviation of the noise.</param>
    /// <param name="isLinear">Whether it is linear: more methods are for those.</param>
    public static Measurement FromFunction(
        Func<Fokker.Tensor, Fokker.Tensor> function,
        double noise,
        bool isLinear = false
    )
    {
        ArgumentNullException.ThrowIfNull(function);
        return new(Interop.SteeringWork.Operator(function, isLinear), noise);
    }
}
