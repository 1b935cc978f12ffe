using Fokker.Interop;

namespace Fokker;

public sealed partial class FlowModel
{
    /// <summary>Fills in what is missing of images, or of vectors: samples of what may be there, given the rest.</summary>
    /// <param name="image">The image [1, …], or several, one sample of each; what the mask hides does not matter.</param>
    /// <param name="mask">True where the image is known, in row-major order.</param>
    /// <param name="options">How, and how many for one image.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">The image or the mask does not fit the model, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> InpaintAsync(
        SampleBatch image,
        bool[] mask,
        SampleOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(image);
        return RestoreAsync(Measurement.Mask(mask, shape), image, options, cancellationToken);
    }

    /// <summary>Samples of what may have been there, given what was seen of it: super-resolution, deblurring, colorization, or any measurement of yours.</summary>
    /// <param name="measurement">How it was seen.</param>
    /// <param name="observed">What was seen, [1, …] for all samples or one for each.</param>
    /// <param name="options">How, and how many where one thing was seen.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">What was seen does not fit the model, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> RestoreAsync(
        Measurement measurement,
        SampleBatch observed,
        SampleOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(measurement);
        ArgumentNullException.ThrowIfNull(observed);
        return SampleAsync(
            (options ?? new SampleOptions()) with
            {
                Measurement = measurement,
                Observed = observed,
            },
            cancellationToken
        );
    }

    /// <summary>Samples with more of a reward: of the law p(x) e^{λ r(x)}.</summary>
    /// <param name="reward">Samples [n, …] in the data’s units to a number of each, [n], made of the operations of <see cref="Fokker.Tensor"/>. It runs on the
    /// runtime’s threads.</param>
    /// <param name="options">How, how many, and how strongly the reward counts.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <exception cref="ArgumentException">An option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> SteerAsync(
        Func<Fokker.Tensor, Fokker.Tensor> reward,
        SampleOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(reward);
        return SampleAsync((options ?? new SampleOptions()) with { Reward = reward }, cancellationToken);
    }

    /// <summary>Completes rows of which some numbers are missing: each by samples of what may stand there given the rest of the row.</summary>
    /// <param name="rows">The rows, [n, d], with NaN where a number is missing.</param>
    /// <param name="completions">How often each row is completed; more than once shows how uncertain a completion is.</param>
    /// <param name="options">How; its seed is that of the draws.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network.</param>
    /// <returns>[n · completions, d]: the completions of a row next to each other, the numbers that were there as they were.</returns>
    /// <exception cref="ArgumentException">The rows do not fit the model, or an option asks for what cannot be; the exception names it.</exception>
    public Task<SampleBatch> ImputeAsync(
        SampleBatch rows,
        int completions = 1,
        SampleOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(rows);
        Check.AtLeast(1, completions, nameof(completions));
        var asked = options ?? new SampleOptions();

        return Generated(
            "impute",
            asked,
            classifier =>
                Batch(
                    SteeringWork.Complete(
                        Watched(cancellationToken),
                        asked.ToRequest(classifier),
                        rows.ToCore(),
                        completions
                    ),
                    null
                ),
            cancellationToken
        );
    }
}
