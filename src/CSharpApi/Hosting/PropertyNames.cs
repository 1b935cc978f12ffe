using Microsoft.FSharp.Core;

namespace Fokker;

/// <summary>C#'s words for the settings of a request: the properties of the options.</summary>
internal static class PropertyNames
{
    /// <summary>The property that says a setting, or the argument.</summary>
    public static string Of(Setting setting) =>
        setting.ToString() switch
        {
            nameof(Setting.Data) => "data",
            nameof(Setting.Size) => "side",
            nameof(Setting.Target) => "target",
            nameof(Setting.Length) => "length",
            nameof(Setting.Prediction) => nameof(TrainingOptions.Parametrization),
            nameof(Setting.Preconditioning) => nameof(TrainingOptions.Preconditioner),
            nameof(Setting.Begin) => nameof(TrainingOptions.From),
            nameof(Setting.Labels) => nameof(TrainingOptions.UseLabels),
            nameof(Setting.Batch) => nameof(TrainingOptions.BatchSize),
            nameof(Setting.WarmUp) => nameof(TrainingOptions.WarmUpSteps),
            nameof(Setting.Clip) => nameof(TrainingOptions.GradientClip),
            nameof(Setting.Ema) => nameof(TrainingOptions.EmaDecay),
            nameof(Setting.Dtype) => nameof(TrainingOptions.Precision),
            nameof(Setting.Name) => nameof(TrainingOptions.Folder),
            nameof(Setting.From) => nameof(SampleOptions.StartTime),
            nameof(Setting.To) => nameof(SampleOptions.EndTime),
            nameof(Setting.Class) => nameof(SampleOptions.Label),
            nameof(Setting.Parallel) => nameof(SampleOptions.ParallelWindow),
            nameof(Setting.Observe) => nameof(SampleOptions.Measurement),
            nameof(Setting.Steer) => nameof(SampleOptions.Steerer),
            nameof(Setting.Exact) => nameof(SampleOptions.ExactPosterior),
            nameof(Setting.LookAhead) => nameof(SampleOptions.LookAheadModel),
            nameof(Setting.Weaker) => nameof(SampleOptions.AutoguidanceModel),
            nameof(Setting.Trace) => nameof(LikelihoodOptions.Divergence),
            nameof(Setting.Method) => nameof(LikelihoodOptions.ClosedForm),
            var name => name,
        };

    private static string Value(Setting setting, string value) =>
        (setting.ToString(), value) switch
        {
            (nameof(Setting.Labels), "on") => "true",
            (nameof(Setting.Labels), "off") => "false",
            (nameof(Setting.Method), "exact") => "true",
            (nameof(Setting.Method), "flow") => "false",
            (nameof(Setting.Dtype), "float32") => nameof(Precision.Single),
            (nameof(Setting.Dtype), "float64") => nameof(Precision.Double),
            (nameof(Setting.Dtype), "bfloat16") => nameof(Precision.BFloat16),
            _ => value,
        };

    /// <summary><c>Guidance</c>, <c>Guidance = 2</c>.</summary>
    public static readonly Wording Wording = new(
        FuncConvert.FromFunc<Setting, string>(Of),
        FuncConvert.FromFunc<Setting, string, string>((setting, value) => $"{Of(setting)} = {Value(setting, value)}")
    );
}
