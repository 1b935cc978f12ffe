namespace Fokker;

/// <summary>How samples are made: a numerical method for the flow or the reverse process.</summary>
/// <remarks>See <see cref="Solvers"/> for those there are.</remarks>
public sealed partial class Solver
{
    private Solver(PartName part)
        : base(Catalogue.samplers.Described, part) => Core = Catalogue.samplers.Make(part);

    internal Sampler Core { get; }

    /// <summary>The order of convergence in the step, start-up steps included; 0 where there is a bias that more steps do not remove.</summary>
    public int Order => Core.Order;

    /// <summary>Whether it draws random numbers on its way.</summary>
    public bool IsStochastic => Core.IsStochastic;

    /// <summary>Evaluations of the network a step, the first steps' extra ones left out.</summary>
    public int EvaluationsPerStep => Core.EvaluationsPerStep;
}
