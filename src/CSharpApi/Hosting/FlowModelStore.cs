using System.Collections.Concurrent;
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

    /// <summary>The model of a name, which the store keeps: do not dispose of it.</summary>
    /// <param name="name">A run’s name under <see cref="FokkerOptions.ModelsFolder"/>, or the path of its folder.</param>
    /// <exception cref="FokkerException">There is no such run, or it is damaged; the next request tries again.</exception>
    public async Task<FlowModel> GetAsync(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        var path = Path.Combine(folder, name);
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

    [LoggerMessage(Level = LogLevel.Information, Message = "Loaded the model {Folder}")]
    private partial void LogLoaded(string folder);
}
