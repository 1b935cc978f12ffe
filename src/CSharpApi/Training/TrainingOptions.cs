using Fokker.Interop;

namespace Fokker;

/// <summary>What a network computes in.</summary>
public enum Precision
{
    /// <summary>float32.</summary>
    Single,

    /// <summary>float64.</summary>
    Double,

    /// <summary>bfloat16 in the network’s layers, three digits, over parameters and states in float32: faster on processors that have instructions for it
    /// (AVX512_BF16 or AMX_BF16), on the managed engine. Elsewhere it is refused. For a field or a law of your own it is no choice.</summary>
    BFloat16,
}

/// <summary>How a model is trained. Anything you leave out gets a default chosen for your data: training then takes a minute for points, a few for small
/// images.</summary>
/// <remarks>Immutable: <c>options with { Steps = 1000 }</c> makes another. Each property refuses a value that is out of its range with an exception
/// that names it; what does not fit together is refused when training begins.</remarks>
public sealed record TrainingOptions
{
    /// <summary>What is minimized (conditional flow matching).</summary>
    public TrainingLoss? Loss { get; init; }

    /// <summary>How data become noise (the straight path, for losses that leave it open).</summary>
    public FlowPath? Path { get; init; }

    /// <summary>What the network’s output means (the loss’s own).</summary>
    public Parametrization? Parametrization { get; init; }

    /// <summary>How much each time counts (the loss’s own).</summary>
    public LossWeight? Weight { get; init; }

    /// <summary>The law of training times (the loss’s own).</summary>
    public TimeLaw? Times { get; init; }

    /// <summary>How data are paired with the noisy end (the loss’s own).</summary>
    public MinibatchCoupling? Coupling { get; init; }

    /// <summary>The run whose pairs of noise and samples take the place of a coupling: a rectified flow of the next round.</summary>
    public RunPairs? Pairs { get; init; }

    /// <summary>The law at the noisy end, by its name: a data set of <see cref="DataSources"/> (noise).</summary>
    public DataSource? Source { get; init; }

    /// <summary>What is put around the network (the loss’s own).</summary>
    public Preconditioner? Preconditioner { get; init; }

    /// <summary>The folder of the run that a distillation learns from.</summary>
    public string? Teacher { get; init; }

    /// <summary>The run of an autoencoder (<see cref="Losses.VariationalAutoencoder"/>) on the same data, by its name or its folder, whose latents are learned in the place of the data: samples are decoded, and densities are lower bounds.</summary>
    public string? Latent { get; init; }

    /// <summary>The folder of the run whose parameters training begins at, for any loss: where the networks differ, what fits is taken, and new inputs are not heard
    /// until they are trained. The network’s settings are those of that run unless you say otherwise.</summary>
    public string? From { get; init; }

    /// <summary>What <see cref="Losses.RewardTuning"/> tunes the model of <see cref="From"/> towards.</summary>
    public TrainingReward? Reward { get; init; }

    /// <summary>How strongly the reward counts: λ of e^{λ r} (1).</summary>
    public double? Tilt
    {
        get;
        init => field = Check.Finite(value);
    }

    /// <summary>How much a critic counts beside a loss of few steps, a map’s, <see cref="Losses.ProgressiveDistillation"/> or
    /// <see cref="Losses.DistributionMatchingDistillation"/>: it tells where a step leads from the data there, and is trained in turns (0, none).</summary>
    public double? Adversarial
    {
        get;
        init => field = Check.NotNegative(value);
    }

    /// <summary>The kind of network (a perceptron for vectors, a U-Net for images).</summary>
    public NetworkKind? Network { get; init; }

    /// <summary>Units in a hidden layer, or channels at a U-Net’s finest scale.</summary>
    public int? Width
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>Hidden layers, or residual blocks at each scale.</summary>
    public int? Depth
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>Whether the time is withheld from the network, which then has to see from x how much noise there is (false).</summary>
    public bool? Blind { get; init; }

    /// <summary>Whether the network is told the class (where images have classes).</summary>
    public bool? UseLabels { get; init; }

    /// <summary>How often a label is left out in training, so that samples can be guided (0.1 for images with classes).</summary>
    public double? LabelDropout
    {
        get;
        init => field = Check.From0ToBelow1(value);
    }

    /// <summary>The seed of everything random.</summary>
    public long Seed { get; init; }

    /// <summary>Steps of optimization.</summary>
    public long? Steps
    {
        get;
        init => field = Check.AtLeast(1L, value);
    }

    /// <summary>Samples in a step.</summary>
    public int? BatchSize
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>In how many parts, one after the other, the gradient of a batch is computed: the same step in the memory of one part (1).</summary>
    public int? Accumulate
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>Whether the inside of the network’s blocks is computed again in the backward pass instead of being kept: the same step in less memory, for about a third more time (false).</summary>
    public bool? Recompute { get; init; }

    /// <summary>The highest learning rate; it falls to <see cref="FinalRate"/> along half a cosine.</summary>
    public double? LearningRate
    {
        get;
        init => field = Check.Positive(value);
    }

    /// <summary>The learning rate of the last step (0); that of <see cref="LearningRate"/> keeps the rate constant after the warm-up.</summary>
    public double? FinalRate
    {
        get;
        init => field = Check.NotNegative(value);
    }

    /// <summary>Steps over which the learning rate rises.</summary>
    public long? WarmUpSteps
    {
        get;
        init => field = Check.AtLeast(0L, value);
    }

    /// <summary>AdamW’s decoupled weight decay (0).</summary>
    public double? WeightDecay
    {
        get;
        init => field = Check.NotNegative(value);
    }

    /// <summary>The length that gradients are cut to; 0 cuts none (1).</summary>
    public double? GradientClip
    {
        get;
        init => field = Check.NotNegative(value);
    }

    /// <summary>The decay of the parameters’ moving average, which samples are drawn with.</summary>
    public double? EmaDecay
    {
        get;
        init => field = Check.From0ToBelow1(value);
    }

    /// <summary>Whether two power-function averages of the parameters are kept in the <see cref="Folder"/> as well, from which <see cref="FlowModel.LoadAverageAsync"/> makes one of any length afterwards (false).</summary>
    public bool? PowerAverages { get; init; }

    /// <summary><c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public string Device
    {
        get;
        init => field = Check.NotBlank(value);
    } = "cpu";

    /// <summary>What the network computes in.</summary>
    public Precision Precision { get; init; } = Precision.Single;

    /// <summary>The folder for the run: its settings, its history, its checkpoint and its model, as the command line has them. Without one nothing is left behind
    /// but the run of a training that was cancelled or diverged, in a temporary folder that the exception names.</summary>
    public string? Folder { get; init; }

    /// <summary>The least time between two reports of progress; the first and the last step are always reported.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    internal TrainingRequest ToRequest()
    {
        if (Source is { IsNamed: false })
        {
            throw new ArgumentException(
                $"{nameof(Source)} is data of memory: a model keeps the name of its source, so it is to be a data set with one, or a file.",
                nameof(Source)
            );
        }

        if (Pairs is not null && Coupling is not null)
        {
            throw new ArgumentException(
                $"{nameof(Pairs)} and {nameof(Coupling)} both say which noise goes with which data: leave one of them out.",
                nameof(Pairs)
            );
        }

        return new(
            path: Maybe.Reference(Path?.ToString()),
            loss: Maybe.Reference(Loss?.ToString()),
            prediction: Maybe.Reference(Parametrization?.ToString()),
            weight: Maybe.Reference(Weight?.ToString()),
            times: Maybe.Reference(Times?.ToString()),
            coupling: Maybe.Reference(Coupling?.ToString() ?? Pairs?.ToString()),
            source: Maybe.Reference(Source?.Name),
            preconditioning: Maybe.Reference(Preconditioner?.ToString()),
            teacher: Maybe.Reference(Teacher),
            latent: Maybe.Reference(Latent),
            from: Maybe.Reference(From),
            reward: Maybe.Reference(Reward?.ToString()),
            tilt: Maybe.Value(Tilt),
            adversarial: Maybe.Value(Adversarial),
            network: Maybe.Reference(Network?.ToString()),
            width: Maybe.Value(Width),
            depth: Maybe.Value(Depth),
            blind: Maybe.Value(Blind),
            labels: Maybe.Value(UseLabels),
            labelDropout: Maybe.Value(LabelDropout),
            seed: Maybe.Value<long>(Seed),
            steps: Maybe.Value(Steps),
            batch: Maybe.Value(BatchSize),
            accumulate: Maybe.Value(Accumulate),
            recompute: Maybe.Value(Recompute),
            learningRate: Maybe.Value(LearningRate),
            finalRate: Maybe.Value(FinalRate),
            warmUp: Maybe.Value(WarmUpSteps),
            weightDecay: Maybe.Value(WeightDecay),
            clip: Maybe.Value(GradientClip),
            ema: Maybe.Value(EmaDecay),
            powerAverages: Maybe.Value(PowerAverages),
            device: Maybe.Reference(Device),
            dtype: Maybe.Reference(DtypeModule.name(Precision.ToDtype()))
        );
    }

    /// <summary>The paths of one’s own that the run needs to know.</summary>
    internal GaussianPath[] OwnPaths() => Path is { IsOwn: true } ? [Path.Core] : [];
}

internal static class Precisions
{
    /// The element type; where it is bfloat16, the engine that computes in it is taken if none is in use yet.
    public static Dtype ToDtype(this Precision precision)
    {
        if (precision == Precision.BFloat16)
            Torch.preferBFloat16();

        return precision switch
        {
            Precision.Double => Dtype.Float64,
            Precision.BFloat16 => Dtype.BFloat16,
            _ => Dtype.Float32,
        };
    }
}
