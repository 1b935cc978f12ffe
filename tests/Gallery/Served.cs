using System.Net.Http.Json;
using System.Runtime.InteropServices;
using System.Text.Json;
using Fokker.Gallery;
using Fokker.Tool;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using NUnit.Framework;

namespace Fokker.Tests.Gallery;

/// <summary>A folder of toy models, and a gallery of it.</summary>
internal sealed class Served : IAsyncDisposable
{
    private static readonly Lazy<Task<string>> Trained = new(TrainAsync);

    private readonly GalleryServer server;

    private Served(GalleryServer server, string folder)
    {
        this.server = server;
        Folder = folder;
        Http = new HttpClient { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(2) };
    }

    public string Folder { get; }
    public HttpClient Http { get; }

    /// <summary>A gallery of copies of the toys: <c>moons</c>, two labelled crescents, and <c>squares</c>, images of two classes.</summary>
    public static async Task<Served> StartAsync(Func<GalleryOptions, GalleryOptions>? change = null)
    {
        var folder = Directory.CreateTempSubdirectory("fokker-gallery-").FullName;

        foreach (var file in Directory.GetFiles(await Trained.Value, "*", SearchOption.AllDirectories))
        {
            var copy = Path.Combine(folder, Path.GetRelativePath(await Trained.Value, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        var options = new GalleryOptions { Folder = folder, Port = 0 };
        return new Served(await GalleryServer.StartAsync(change?.Invoke(options) ?? options), folder);
    }

    private static async Task<string> TrainAsync()
    {
        var folder = Directory.CreateTempSubdirectory("fokker-gallery-toys-").FullName;
        var points = new TrainingOptions
        {
            Steps = 30,
            Width = 16,
            BatchSize = 32,
            Folder = Path.Combine(folder, "moons"),
        };
        await using (await new FlowTrainer(points).TrainAsync(DataSources.Moons)) { }

        // A bright square to the left, or to the right.
        var pixels = new byte[64 * 64];

        for (var i = 0; i < pixels.Length; i++)
        {
            var (image, row, column) = (i / 64, i / 8 % 8, i % 8);
            pixels[i] = row is > 1 and < 6 && column / 4 == image % 2 ? (byte)(180 + image) : (byte)20;
        }

        var squares = DataSource.FromPixels(
            pixels,
            [64, 1, 8, 8],
            [.. Enumerable.Range(0, 64).Select(k => k % 2)],
            "squares"
        );
        var images = new TrainingOptions
        {
            Steps = 4,
            Width = 8,
            BatchSize = 8,
            Folder = Path.Combine(folder, "squares"),
        };
        await using (await new FlowTrainer(images).TrainAsync(squares)) { }

        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        return folder;
    }

    /// <summary>What the command line writes for a command that the gallery gave.</summary>
    public byte[] CommandLine(string command, string verb = "sample")
    {
        var file = Path.Combine(Folder, "drawn.npy");
        var words = command.Split(' ');
        Assert.That(words[..2], Is.EqualTo(new[] { "./fokker", verb }));
        Assert.That(words[^2], Is.EqualTo("--out"));
        var (code, error) = Run([.. words[1..^1], file]);
        Assert.That(code, Is.Zero, error);
        var bytes = File.ReadAllBytes(file);
        File.Delete(file);
        return bytes;
    }

    /// <summary>The exit code of a command, and what it says on the error stream.</summary>
    public static (int Code, string Error) Run(string[] words)
    {
        using var output = new StringWriter();
        using var errors = new StringWriter();
        var terminal = new Terminal(
            output,
            errors,
            isScreen: false,
            json: false,
            quiet: true,
            stop: FuncConvert.FromFunc<Unit, bool>(_ => false),
            own: OwnPartsModule.none
        );
        return (Tool.Program.run(terminal, ListModule.OfSeq(words)), errors.ToString());
    }

    /// <summary>The events of a stream, as their names and their data.</summary>
    public static IEnumerable<(string Name, JsonElement Data)> Events(string text) =>
        from message in text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)
        let lines = message.Split('\n')
        select (
            lines.Single(line => line.StartsWith("event: "))["event: ".Length..],
            JsonDocument.Parse(lines.Single(line => line.StartsWith("data: "))["data: ".Length..]).RootElement
        );

    /// <summary>The numbers of a state of points.</summary>
    public static float[] Numbers(JsonElement state) =>
        MemoryMarshal.Cast<byte, float>(state.GetProperty("x").GetBytesFromBase64()).ToArray();

    /// <summary>The status and the sentence of an answer that is a problem.</summary>
    public static async Task<(int Status, string Sentence)> Problem(HttpResponseMessage answer)
    {
        Assert.That(answer.Content.Headers.ContentType?.MediaType, Is.EqualTo("application/problem+json"));
        var problem = await answer.Content.ReadFromJsonAsync<JsonElement>();
        Assert.That(problem.GetProperty("status").GetInt32(), Is.EqualTo((int)answer.StatusCode));
        return ((int)answer.StatusCode, problem.GetProperty("detail").GetString()!);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await server.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
