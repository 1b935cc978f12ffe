namespace Fokker;

/// <summary>How the library uses the machine.</summary>
public sealed record FokkerOptions
{
    /// <summary>Threads that run models, a request at a time each; every thread that enters libtorch has a team of helpers of its own, so there is a fixed
    /// number of them. One is best for large networks; more serve several small models at once.</summary>
    public int Workers
    {
        get;
        init => field = Check.AtLeast(1, value);
    } = 1;

    /// <summary>Threads inside one operator of a worker (the cores divided by the workers).</summary>
    public int? ThreadsPerWorker
    {
        get;
        init => field = Check.AtLeast(1, value);
    }

    /// <summary>The folder that a <see cref="FlowModelStore"/> finds models in by name.</summary>
    public string ModelsFolder
    {
        get;
        init => field = Check.NotBlank(value);
    } = "runs";
}
