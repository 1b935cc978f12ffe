using System.Runtime.InteropServices;

namespace Fokker.Gallery;

/// <summary>What comes before the states of a stream: what they are of.</summary>
internal sealed record StreamStart(
    string Model,
    string Kind,
    int[] Shape,
    int[]? Labels,
    double[] Range,
    int Steps,
    string Command
);

/// <summary>A state: numbers as base64, sample after sample. Points, series and the bytes of texts are float32 in the data's units, images a byte a number, 0 to 255 over the range.</summary>
internal sealed record StreamState(int Step, double Time, string X, string? Denoised);

/// <summary>What comes after the last state, or in place of the next one.</summary>
internal sealed record StreamEnd(string Outcome, string? Detail);

/// <summary>Samples as the page draws them.</summary>
internal static class Frames
{
    public static string Pack(FlowModel model, SampleBatch samples)
    {
        if (model.SampleKind != SampleKind.Images)
        {
            return Convert.ToBase64String(MemoryMarshal.AsBytes<float>(samples.ToArray()));
        }

        var (low, high) = model.ValueRange;
        var bytes = Array.ConvertAll(
            samples.ToDoubleArray(),
            x => (byte)Math.Clamp(Math.Round(255.0 * (x - low) / (high - low)), 0.0, 255.0)
        );
        return Convert.ToBase64String(bytes);
    }

    /// <summary>[n, …].</summary>
    public static int[] ShapeOf(SampleBatch samples) => [samples.Count, .. samples.SampleShape];
}
