using Microsoft.Extensions.Logging;

namespace Fokker;

/// <summary>Makes trainers with the application’s threads and logger.</summary>
/// <param name="runtime">The threads that models run on.</param>
/// <param name="logger">What trainers tell.</param>
public sealed class FlowTrainerFactory(FokkerRuntime runtime, ILogger<FlowTrainer>? logger = null)
{
    /// <summary>A trainer.</summary>
    /// <param name="options">How to train; anything left out gets a default chosen for the data.</param>
    public FlowTrainer Create(TrainingOptions? options = null) => new(options, runtime, logger);

    /// <summary>A trainer that goes on with a run.</summary>
    /// <param name="folder">The run’s folder.</param>
    /// <param name="options">Where the run is on a path of your own, the options that it was begun with.</param>
    public FlowTrainer ResumeFrom(string folder, TrainingOptions? options = null) =>
        FlowTrainer.ResumeFrom(folder, options, runtime, logger);
}
