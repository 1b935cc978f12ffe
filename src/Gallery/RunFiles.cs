using System.Text.Json;

namespace Fokker.Gallery;

/// <summary>What there is of a model on disk: a run's folder, a folder with a model alone, or a model's file.</summary>
internal sealed class RunFiles(string folder, string name)
{
    private readonly bool isFile = File.Exists(System.IO.Path.Combine(folder, name));

    public string Name { get; } = name;

    /// <summary>The place in the folder.</summary>
    public string Path { get; } = System.IO.Path.Combine(folder, name);

    /// <summary>The model's own file.</summary>
    public string Model => isFile ? Path : System.IO.Path.Combine(Path, "model.safetensors");

    /// <summary>The picture of its samples, where a run has made one.</summary>
    public string? Picture => Existing("samples.png");

    /// <summary>The run's report, where there is one.</summary>
    public string? Report => Existing("report.html");

    private string? Existing(string file)
    {
        var path = System.IO.Path.Combine(Path, file);
        return !isFile && File.Exists(path) ? path : null;
    }

    /// <summary>The settings of the run, as its <c>run.json</c> has them; none where there is no such file, or it is not to be read.</summary>
    public JsonElement? Section(string section)
    {
        try
        {
            var file = new FileInfo(System.IO.Path.Combine(Path, "run.json"));

            if (isFile || !file.Exists || file.Length > 1 << 20)
            {
                return null;
            }

            using var json = JsonDocument.Parse(File.ReadAllBytes(file.FullName));
            return json.RootElement.TryGetProperty(section, out var found) ? found.Clone() : null;
        }
        catch (Exception error)
            when (error is JsonException or IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            // A run is listed whatever became of its settings.
            return null;
        }
    }
}
