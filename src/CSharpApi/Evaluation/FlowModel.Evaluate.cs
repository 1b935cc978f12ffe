using System.Diagnostics;
using Fokker.Bridge;

namespace Fokker;

public sealed partial class FlowModel
{
    /// <summary>Draws samples and measures how far they are from held-out data, beside how far held-out data are from each other: the figures of
    /// <c>fokker evaluate</c>.</summary>
    /// <remarks>It is one request, and may take its worker a while: in a server, give the model a <see cref="FokkerRuntime"/> with a worker to spare.</remarks>
    /// <param name="options">How samples are made, how many are measured, and against which data; as suits the model where nothing is said.</param>
    /// <param name="progress">Hears of how far it has come.</param>
    /// <param name="cancellationToken">Ends it before the next call of the network, or between two draws.</param>
    /// <exception cref="ArgumentException">An option asks for what is not there, or what the model cannot do, or the data held out are of another shape than the
    /// model’s samples, or it has none of its own; the exception names the option.</exception>
    /// <exception cref="FokkerException">Too few data are held out to measure anything, or the solver failed.</exception>
    public async Task<Evaluation> EvaluateAsync(
        EvaluationOptions? options = null,
        IProgress<EvaluationProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        var asked = options ?? new EvaluationOptions();

        if (asked.HeldOut is null && !EvaluationWork.BringsData(subject))
        {
            throw new ArgumentException(
                $"{nameof(EvaluationOptions.HeldOut)} is not said: {Name} has no data of its own to be held against.",
                nameof(EvaluationOptions.HeldOut)
            );
        }

        var open = asked.HeldOut is null
            ? null
            : await asked.HeldOut.OpenAsync(cancellationToken).ConfigureAwait(false);
        var teller = new EvaluationTeller(progress, cancellationToken);

        return await Request(
                "evaluate",
                () =>
                {
                    var started = Stopwatch.GetTimestamp();
                    using var opened = open is null ? null : new OpenedData(open());
                    var data = opened?.Data;
                    RequireShape(data);

                    return Generated(
                        asked,
                        cancellationToken,
                        (model, drawing) =>
                        {
                            var seed = asked.Seed ?? model.Seed;
                            var found = EvaluationWork.Evaluate(
                                model,
                                drawing,
                                data,
                                asked.Draws,
                                asked.SamplesPerDraw,
                                seed,
                                teller.Tell
                            );
                            FokkerTelemetry.Samples.Add(found.Protocol.Pool);
                            return new Evaluation(
                                found,
                                DataWork.Name(data ?? model.Data),
                                Stopwatch.GetElapsedTime(started),
                                SampleWork.Sampler(model, drawing) is not { } sampler ? null
                                    : ReferenceEquals(sampler, asked.Solver?.Core) ? asked.Solver
                                    : Solver.FromName(sampler.Name),
                                SampleWork.Steps(drawing),
                                seed
                            );
                        }
                    );
                },
                cancellationToken
            )
            .ConfigureAwait(false);
    }

    private void RequireShape(Dataset? data)
    {
        if (data is not null && !DataWork.Shape(data).SequenceEqual(shape))
        {
            throw new ArgumentException(
                $"{nameof(EvaluationOptions.HeldOut)} is of samples [{string.Join(", ", DataWork.Shape(data))}]: expected [{string.Join(", ", shape)}], as those of {Name}.",
                nameof(EvaluationOptions.HeldOut)
            );
        }
    }
}
