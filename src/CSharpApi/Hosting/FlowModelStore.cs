using System.Collections.Concurrent;
using Fokker.Interop;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Fokker;

/// <summary>Models by name, each loaded once and shared by all who ask; the store disposes of them.</summary>
public sealed partial class FlowModelStore : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<Task<FlowModel>>> models = new();
    private readonly FokkerRuntime runtime;
    private readonly string folder;
    private readonly ILogger logger;

    /// <summary>A store.</summary>
    /// <param name="runtime">The threads that the models run on.</param>
    /// <param name="options">Where models are kept.</param>
    /// <param name="logger">Hears of what is loaded.</param>
    public FlowModelStore(
        FokkerRuntime runtime,
        IOptions<FokkerOptions> options,
        ILogger<FlowModelStore>? logger = null
    )
    {
        ArgumentNullException.ThrowIfNull(runtime);
        ArgumentNullException.ThrowIfNull(options);
        this.runtime = runtime;
        folder = options.Value.ModelsFolder;
        this.logger = logger ?? NullLogger<FlowModelStore>.Instance;
    }

    /// <summary>The names of the models that there are, in the order of their letters.</summary>
    public IReadOnlyList<string> ListNames() =>
        Directory.Exists(folder)
            ?
            [
                .. Directory
                    .EnumerateFileSystemEntries(folder)
                    .Where(ModelWork.IsModel)
                    .Select(path => Path.GetFileName(path)!)
                    .Where(IsName)
                    .Order(StringComparer.Ordinal),
            ]
            : [];

    /// <summary>The model of a name, which the store keeps: do not dispose of it.</summary>
    /// <param name="name">The name of a run, or of a file <c>.safetensors</c>, under <see cref="FokkerOptions.ModelsFolder"/>. It may come from anywhere: nothing outside that folder is opened.</param>
    /// <exception cref="ModelNotFoundException">There is no model of that name.</exception>
    /// <exception cref="FokkerException">The model is damaged; the next request tries again.</exception>
    public async Task<FlowModel> GetAsync(string name) =>
        await TryGetAsync(name).ConfigureAwait(false) ?? throw new ModelNotFoundException(name, folder);

    /// <summary>The model of a name as of <see cref="GetAsync"/>; null where there is none of that name.</summary>
    /// <param name="name">The name of a run, or of a file <c>.safetensors</c>, under <see cref="FokkerOptions.ModelsFolder"/>.</param>
    /// <exception cref="FokkerException">The model is damaged; the next request tries again.</exception>
    public async Task<FlowModel?> TryGetAsync(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        if (!IsName(name))
        {
            return null;
        }

        var path = Path.Combine(folder, name);

        if (!models.ContainsKey(path) && !ModelWork.IsModel(path))
        {
            return null;
        }

        var loading = models.GetOrAdd(path, key => new Lazy<Task<FlowModel>>(() => Load(key)));

        try
        {
            return await loading.Value.ConfigureAwait(false);
        }
        catch
        {
            models.TryRemove(KeyValuePair.Create(path, loading));
            throw;
        }
    }

    /// <summary>Whether it can only be a folder right under another one: no path, nothing hidden, no way upwards.</summary>
    private static bool IsName(string name) => !name.StartsWith('.') && name.AsSpan().IndexOfAny("/\\:\0") < 0;

    private async Task<FlowModel> Load(string path)
    {
        var model = await FlowModel.LoadAsync(path, runtime: runtime).ConfigureAwait(false);
        LogLoaded(path);
        return model;
    }

    /// <summary>Disposes of the models.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var loading in models.Values.Where(loading => loading.IsValueCreated))
        {
            try
            {
                (await loading.Value.ConfigureAwait(false)).Dispose();
            }
            catch (FokkerException)
            {
                // It was never loaded.
            }
        }

        models.Clear();
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Loaded the model {Path}")]
    private partial void LogLoaded(string path);
}
