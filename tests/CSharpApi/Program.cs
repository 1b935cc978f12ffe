using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Fokker.Tests.CSharpApi;

/// <summary>The tests' own program: another process that loads a model and draws from it.</summary>
internal static class Program
{
    public static readonly SampleOptions Options = new()
    {
        Count = 100,
        Seed = 5,
        Steps = 7,
    };

    /// <summary>The samples, bit for bit.</summary>
    public static byte[] Bytes(SampleBatch samples) => MemoryMarshal.AsBytes<double>(samples.ToDoubleArray()).ToArray();

    /// <summary>Runs the program; its exit code.</summary>
    public static int InAnotherProcess(params string[] arguments)
    {
        var dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        using var process = Process.Start(dotnet, [typeof(Program).Assembly.Location, .. arguments]);
        process.WaitForExit();
        return process.ExitCode;
    }

    /// <summary>MODEL OUTPUT: draws from a model's file, and writes the samples.</summary>
    public static async Task Main(string[] arguments)
    {
        await using var model = await FlowModel.LoadAsync(arguments[0]);
        await File.WriteAllBytesAsync(arguments[1], Bytes(await model.SampleAsync(Options)));
    }
}
