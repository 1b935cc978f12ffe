namespace Fokker.Gallery;

/// <summary>What the gallery serves, and how much of the machine it may take.</summary>
public sealed record GalleryOptions
{
    /// <summary>The folder that runs and models are kept in.</summary>
    public string Folder { get; init; } = "runs";

    /// <summary>The port on 127.0.0.1; 0 takes a free one.</summary>
    public int Port { get; init; } = 7860;

    /// <summary>Requests to models that are worked on at once: their steps take turns.</summary>
    public int Concurrent { get; init; } = 4;

    /// <summary>Requests to models that may wait; one more is told to come back later (429).</summary>
    public int Queue { get; init; } = 16;

    /// <summary>Models that are kept in memory; the one that was not asked for the longest makes room.</summary>
    public int Loaded { get; init; } = 8;

    /// <summary>The largest file of a model that is loaded, and the most that the files of all loaded ones come to, in bytes.</summary>
    public long LargestModel { get; init; } = 2L << 30;

    /// <summary>The largest body of a request, in bytes.</summary>
    public long LargestBody { get; init; } = 4L << 20;

    /// <summary>The most numbers that one request may ask for: samples times the numbers of one.</summary>
    public int MostNumbers { get; init; } = 1 << 20;

    /// <summary>The most steps of a solver, and places between two samples.</summary>
    public int MostSteps { get; init; } = 1000;
}
