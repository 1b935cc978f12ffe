using System.Diagnostics;
using Fokker.Interop;

namespace Fokker;

public sealed partial class SampleBatch
{
    /// <summary>Measures how far these samples are from others, beside how far sets of the others are from each other. Whoever made either: both are in the
    /// same units.</summary>
    /// <param name="reference">The samples to hold these against, all of them.</param>
    /// <param name="draws">Pairs of sets that each figure is a mean over (20; 10 for images). A pair has samples of its own where there are enough for all, and
    /// shares them, chosen at random, elsewhere.</param>
    /// <param name="samplesPerDraw">Samples in a set (1,000; where there are fewer, all of these, and at most half of the others).</param>
    /// <param name="seed">The seed of the choices and of the directions of the sliced distance.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="progress">Hears of how far it has come.</param>
    /// <param name="cancellationToken">Ends it between two draws.</param>
    /// <exception cref="ArgumentException">The two differ in shape, or one holds what is no finite number; the exception names the argument.</exception>
    /// <exception cref="FokkerException">There are too few samples to measure anything.</exception>
    public Task<Distances> DistanceToAsync(
        SampleBatch reference,
        int? draws = null,
        int? samplesPerDraw = null,
        long seed = 0,
        FokkerRuntime? runtime = null,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        Check.Samples(reference, shape, "this batch", nameof(reference));

        return Measured(
            () => EvaluationWork.Reference(reference.ToCore()),
            draws,
            samplesPerDraw,
            seed,
            runtime,
            progress,
            cancellationToken
        );
    }

    /// <summary>Measures how far these samples are from what data hold out, beside how far held-out data are from each other: for a law fresh draws, for a file
    /// or memory the tenth that is kept from training.</summary>
    /// <param name="reference">The data; of labelled images also the Fréchet distance.</param>
    /// <param name="draws">Pairs of sets that each figure is a mean over (20; 10 for images). A pair has samples of its own where there are enough for all, and
    /// shares them, chosen at random, elsewhere.</param>
    /// <param name="samplesPerDraw">Samples in a set (1,000; where there are fewer, all of these, and at most half of what is held out).</param>
    /// <param name="seed">The seed of the choices, the law’s draws, and the directions of the sliced distance.</param>
    /// <param name="runtime">The threads that it runs on (<see cref="FokkerRuntime.Default"/>).</param>
    /// <param name="progress">Hears of how far it has come.</param>
    /// <param name="cancellationToken">Ends it between two draws.</param>
    /// <exception cref="ArgumentException">The data are of another shape than the samples, which may hold what is no finite number; the exception names the argument.</exception>
    /// <exception cref="FokkerException">There are too few samples to measure anything, or the data cannot be read.</exception>
    public async Task<Distances> DistanceToAsync(
        DataSource reference,
        int? draws = null,
        int? samplesPerDraw = null,
        long seed = 0,
        FokkerRuntime? runtime = null,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(reference);
        var open = await reference.OpenAsync(cancellationToken).ConfigureAwait(false);
        return await Measured(open, draws, samplesPerDraw, seed, runtime, progress, cancellationToken)
            .ConfigureAwait(false);
    }

    private Task<Distances> Measured(
        Func<Dataset> reference,
        int? draws,
        int? samplesPerDraw,
        long seed,
        FokkerRuntime? runtime,
        IProgress<EvaluationProgress>? progress,
        CancellationToken cancellation
    )
    {
        Check.AtLeast(2, draws, nameof(draws));
        Check.AtLeast(8, samplesPerDraw, nameof(samplesPerDraw));

        if (!IsFinite)
        {
            throw new InvalidOperationException("These samples hold NaN or infinity: there is no distance to them.");
        }

        var teller = new EvaluationTeller(progress, cancellation);

        return (runtime ?? FokkerRuntime.Default).RunAsync(
            () =>
            {
                var started = Stopwatch.GetTimestamp();
                using var opened = new OpenedData(reference());
                var data = opened.Data;

                if (!DataWork.Shape(data).SequenceEqual(shape))
                {
                    throw new ArgumentException(
                        $"{nameof(reference)} is of samples [{string.Join(", ", DataWork.Shape(data))}]: expected [{string.Join(", ", shape)}], as these are.",
                        nameof(reference)
                    );
                }

                using var x = ToCore();
                var found = EvaluationWork.Distances(data, draws, samplesPerDraw, seed, x, teller.Tell);
                return new Distances(found, DataWork.Name(data), Stopwatch.GetElapsedTime(started));
            },
            cancellation
        );
    }
}
