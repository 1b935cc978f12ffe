using System.Diagnostics;
using Fokker.Interop;

namespace Fokker;

public sealed partial class FlowModel
{
    /// <summary>Draws samples and measures how far they are from held-out data, beside how far held-out data are from each other: the figures of
    /// <c>fokker evaluate</c>.</summary>
    /// <remarks>It is one request, and may take its worker a while: in a server, give the model a <see cref="FokkerRuntime"/> with a worker to spare.</remarks>
    /// <param name="options">How samples are made, how many are measured, and against which data; anything left out gets a default chosen for the model.</param>
    /// <param name="progress">Hears of how far it has come.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network, or between two draws.</param>
    /// <exception cref="ArgumentException">An option asks for what is not there, or what the model cannot do, or the data held out are of another shape than the
    /// model’s samples, or are to be given and are not; the exception names the option.</exception>
    /// <exception cref="FokkerException">Too few data are held out to measure anything, or the solver failed.</exception>
    public async Task<Evaluation> EvaluateAsync(
        EvaluationOptions? options = null,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        var asked = options ?? new EvaluationOptions();
        var open = asked.HeldOut is null
            ? null
            : await asked.HeldOut.OpenAsync(cancellationToken).ConfigureAwait(false);
        var teller = new EvaluationTeller(progress, cancellationToken);

        return await Generated(
                "evaluate",
                asked,
                classifier =>
                {
                    var started = Stopwatch.GetTimestamp();
                    using var opened = open is null ? EvaluationWork.HeldOut(Core) : new OpenedData(open());
                    var (task, protocol) = EvaluationWork.Task(Core, opened.Data, asked.ToEvaluation(classifier));
                    var seed = asked.Seed ?? Core.Seed;
                    var found = EvaluationWork.Evaluate(
                        Watched(task, cancellationToken),
                        protocol,
                        opened.Data,
                        seed,
                        teller.Tell
                    );
                    FokkerTelemetry.Samples.Add(found.Protocol.Pool);
                    return new Evaluation(
                        found,
                        DataWork.Name(opened.Data),
                        Stopwatch.GetElapsedTime(started),
                        SampleWork.Sampler(task) is not { } sampler ? null
                            : ReferenceEquals(sampler, asked.Solver?.Core) ? asked.Solver
                            : Solver.FromName(sampler.Name),
                        SampleWork.Steps(task),
                        seed,
                        opened.Warning
                    );
                },
                cancellationToken
            )
            .ConfigureAwait(false);
    }
}
