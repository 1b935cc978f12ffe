namespace Fokker;

/// <summary>C#'s words for the settings of a request: the properties of the options.</summary>
internal static class PropertyNames
{
    /// <summary>The property that says a setting.</summary>
    public static string Of(Setting setting)
    {
        var name = setting.ToString();
        return name switch
        {
            nameof(Setting.Prediction) => nameof(TrainingOptions.Parametrization),
            nameof(Setting.Preconditioning) => nameof(TrainingOptions.Preconditioner),
            nameof(Setting.Labels) => nameof(TrainingOptions.UseLabels),
            nameof(Setting.Batch) => nameof(TrainingOptions.BatchSize),
            nameof(Setting.WarmUp) => nameof(TrainingOptions.WarmUpSteps),
            nameof(Setting.Clip) => nameof(TrainingOptions.GradientClip),
            nameof(Setting.Ema) => nameof(TrainingOptions.AverageDecay),
            nameof(Setting.Dtype) => nameof(TrainingOptions.Precision),
            nameof(Setting.Name) => nameof(TrainingOptions.Folder),
            nameof(Setting.Class) => nameof(SampleOptions.Label),
            nameof(Setting.Time) => nameof(SampleOptions.To),
            nameof(Setting.Parallel) => nameof(SampleOptions.ParallelWindow),
            nameof(Setting.Weaker) => nameof(SampleOptions.WeakerModel),
            nameof(Setting.Trace) => nameof(LikelihoodOptions.Divergence),
            nameof(Setting.Method) => nameof(LikelihoodOptions.ClosedForm),
            _ => name,
        };
    }

    /// <summary><c>Guidance</c>, <c>Guidance = 2</c>.</summary>
    public static readonly Wording Wording = new(
        Microsoft.FSharp.Core.FuncConvert.FromFunc<Setting, string>(Of),
        Microsoft.FSharp.Core.FuncConvert.FromFunc<Setting, string, string>(
            (setting, value) => $"{Of(setting)} = {value}"
        )
    );
}
