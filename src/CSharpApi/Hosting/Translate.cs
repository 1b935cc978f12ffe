using System.Text.RegularExpressions;

namespace Fokker;

/// <summary>What the library says in the command line's words, in C#'s: options become properties, and exceptions name them.</summary>
internal static partial class Translate
{
    private static readonly Dictionary<string, string> Properties = new()
    {
        ["loss"] = nameof(TrainingOptions.Loss),
        ["path"] = nameof(TrainingOptions.Path),
        ["prediction"] = nameof(TrainingOptions.Parametrization),
        ["weight"] = nameof(TrainingOptions.Weight),
        ["times"] = nameof(TrainingOptions.Times),
        ["coupling"] = nameof(TrainingOptions.Coupling),
        ["source"] = nameof(TrainingOptions.Source),
        ["preconditioning"] = nameof(TrainingOptions.Preconditioner),
        ["teacher"] = nameof(TrainingOptions.Teacher),
        ["network"] = nameof(TrainingOptions.Network),
        ["width"] = nameof(TrainingOptions.Width),
        ["depth"] = nameof(TrainingOptions.Depth),
        ["labels"] = nameof(TrainingOptions.UseLabels),
        ["label-dropout"] = nameof(TrainingOptions.LabelDropout),
        ["seed"] = nameof(TrainingOptions.Seed),
        ["steps"] = nameof(TrainingOptions.Steps),
        ["batch"] = nameof(TrainingOptions.BatchSize),
        ["lr"] = nameof(TrainingOptions.LearningRate),
        ["warmup"] = nameof(TrainingOptions.WarmUpSteps),
        ["weight-decay"] = nameof(TrainingOptions.WeightDecay),
        ["clip"] = nameof(TrainingOptions.GradientClip),
        ["ema"] = nameof(TrainingOptions.AverageDecay),
        ["device"] = nameof(TrainingOptions.Device),
        ["dtype"] = nameof(TrainingOptions.Precision),
        ["name"] = nameof(TrainingOptions.Folder),
        ["runs"] = nameof(TrainingOptions.Folder),
        ["solver"] = nameof(SampleOptions.Solver),
        ["grid"] = nameof(SampleOptions.Grid),
        ["label"] = nameof(SampleOptions.Label),
        ["class"] = nameof(SampleOptions.Label),
        ["rtol"] = nameof(SampleOptions.RelativeTolerance),
        ["atol"] = nameof(SampleOptions.AbsoluteTolerance),
        ["from"] = nameof(SampleOptions.From),
        ["to"] = nameof(SampleOptions.To),
        ["time"] = nameof(SampleOptions.To),
        ["noise"] = nameof(SampleOptions.Noise),
        ["start"] = nameof(SampleOptions.Start),
        ["replay"] = nameof(SampleOptions.Replay),
        ["brownian"] = nameof(SampleOptions.Brownian),
        ["parallel"] = nameof(SampleOptions.ParallelWindow),
        ["parallel-tolerance"] = nameof(SampleOptions.ParallelTolerance),
        ["guidance"] = nameof(SampleOptions.Guidance),
        ["guidance-interval"] = nameof(SampleOptions.GuidanceInterval),
        ["guidance-rescale"] = nameof(SampleOptions.GuidanceRescale),
        ["classifier"] = nameof(SampleOptions.Classifier),
        ["compose"] = nameof(SampleOptions.Composition),
        ["autoguidance"] = nameof(SampleOptions.WeakerModel),
        ["trace"] = nameof(LikelihoodOptions.Divergence),
        ["probes"] = nameof(LikelihoodOptions.Probes),
    };

    [GeneratedRegex("--([a-z][a-z-]*)")]
    private static partial Regex Option();

    private static string PropertyOf(Match match) =>
        Properties.TryGetValue(match.Groups[1].Value, out var property) ? property : match.Value;

    /// <summary>The same exception as C# has it; null where it is one that passes through.</summary>
    private static Exception? Of(Exception error, string? argument) =>
        error switch
        {
            RefusedException refused => new ArgumentException(
                RefusalModule.text(PropertyNames.Wording, refused.Refusal),
                PropertyNames.Of(refused.Refusal.Setting),
                refused
            ),
            UserError when Option().Match(error.Message) is { Success: true, Index: 0 } match => new ArgumentException(
                Option().Replace(error.Message, PropertyOf),
                PropertyOf(match),
                error
            ),
            UserError => new FokkerException(Option().Replace(error.Message, PropertyOf), error),
            EnvironmentException or TensorException => new FokkerException(error.Message, error),
            ArgumentException when argument is not null => new ArgumentException(error.Message, argument, error),
            TypeInitializationException { InnerException: { } inner } => Of(inner, argument),
            _ => null,
        };

    /// <summary>Runs work of the library's; its exceptions come out as C#'s. An argument's name serves for what names none itself.</summary>
    internal static T Errors<T>(Func<T> work, string? argument = null)
    {
        try
        {
            return work();
        }
        catch (Exception error) when (Of(error, argument) is { } translated)
        {
            throw translated;
        }
    }
}
