namespace Fokker;

/// <summary>There is no model of that name in a <see cref="FlowModelStore"/>.</summary>
public sealed class ModelNotFoundException : FokkerException
{
    /// <summary>An exception about a name.</summary>
    /// <param name="modelName">The name that was asked for.</param>
    /// <param name="folder">The folder that models are kept in.</param>
    public ModelNotFoundException(string modelName, string folder)
        : base(
            $"There is no model '{modelName}' in {folder}; see {nameof(FlowModelStore)}.{nameof(FlowModelStore.ListNames)}."
        )
    {
        ModelName = modelName;
    }

    /// <summary>The name that was asked for.</summary>
    public string ModelName { get; }
}
