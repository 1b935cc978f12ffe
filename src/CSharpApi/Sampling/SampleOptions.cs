using Fokker.Bridge;

namespace Fokker;

/// <summary>How samples are drawn. Each option that is left out takes a default that suits the model.</summary>
/// <remarks>Immutable: <c>options with { Seed = 2 }</c> makes another. Each property refuses what it cannot be with an exception that names it.</remarks>
public sealed record SampleOptions : GenerationOptions
{
    /// <summary>How many samples.</summary>
    public int Count
    {
        get;
        init => field = Check.AtLeast(1, value);
    } = 1;

    /// <summary>The seed of the noise: the same gives the same samples, and those of the command line.</summary>
    public long Seed { get; init; }

    /// <summary>The time to start at, from 0 to 1 (the noisy end).</summary>
    public double? From
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>The time to end at, with samples of x_t (the data).</summary>
    public double? To
    {
        get;
        init => field = Check.From0To1(value);
    }

    /// <summary>The standard normal numbers to start from, [n, …]; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Noise { get; init; }

    /// <summary>The states to start from, [n, …] in the network’s units; drawn where there are none. They then say how many samples.</summary>
    public SampleBatch? Start { get; init; }

    /// <summary>The standard normal numbers that a stochastic solver draws on its way, one batch of [n, …] a draw, in their order.</summary>
    public IReadOnlyList<SampleBatch>? Replay { get; init; }

    internal int SampleCount
    {
        get
        {
            if (Noise is not null && Start is not null)
            {
                throw new ArgumentException(
                    $"{nameof(Noise)} and {nameof(Start)} both say where to start.",
                    nameof(Noise)
                );
            }

            return Noise?.Count ?? Start?.Count ?? Replay?.FirstOrDefault()?.Count ?? Count;
        }
    }

    /// <summary>Refuses what cannot be of a model's samples, by the property's name.</summary>
    internal void RequireFit(IReadOnlyList<int> shape, string model)
    {
        Check.Samples(Noise, shape, model, nameof(Noise));
        Check.Samples(Start, shape, model, nameof(Start));

        if (Replay is null)
        {
            return;
        }

        if (Replay.Count == 0)
        {
            throw new ArgumentException(
                $"{nameof(Replay)} is empty: expected a batch of samples for each draw.",
                nameof(Replay)
            );
        }

        for (var draw = 0; draw < Replay.Count; draw++)
        {
            Check.Samples(Replay[draw], shape, model, nameof(Replay), $"{nameof(Replay)}[{draw}]");

            if (Replay[draw].Count != SampleCount)
            {
                throw new ArgumentException(
                    $"{nameof(Replay)}[{draw}] is of {Replay[draw].Count} samples: expected {SampleCount}, as many as are drawn.",
                    nameof(Replay)
                );
            }
        }
    }

    internal override SamplingRequest ToRequest()
    {
        var request = base.ToRequest();
        request.From = From;
        request.To = To;
        request.Start = Start?.ToCore();
        request.Noise = Noise?.ToCore();
        request.Replay = Replay is null ? null : TensorModule.stack(0, Replay.Select(draw => draw.ToCore()));
        return request;
    }
}
