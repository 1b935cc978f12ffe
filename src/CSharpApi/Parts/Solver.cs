namespace Fokker;

/// <summary>How samples are made: a numerical method for the flow or the reverse process.</summary>
/// <remarks>See <see cref="Solvers"/> for those there are.</remarks>
public sealed class Solver : NamedPart, INamed<Solver>
{
    internal Solver(Sampler core)
        : base(core.Name, core.Equation, core.Source, core) => Core = core;

    internal Sampler Core { get; }

    /// <inheritdoc />
    public static Solver FromName(string name) => new(Find(Samplers.all, s => s.Name, "solver", name));

    /// <summary>The order of convergence in the step, start-up steps included; 0 where there is a bias that more steps do not remove.</summary>
    public int Order => Core.Order;

    /// <summary>Whether it draws random numbers on its way.</summary>
    public bool IsStochastic => Core.IsStochastic;

    /// <summary>Evaluations of the network a step, the first steps' extra ones left out.</summary>
    public int EvaluationsPerStep => Core.EvaluationsPerStep;

    /// <summary>The name of the number that the method leaves open: <c>eta</c>, <c>churn</c> or <c>snr</c>; null where there is none.</summary>
    public string? ParameterName => Numbers.FirstOrDefault()?.Name;

    /// <summary>The same method with another value of the number that it leaves open.</summary>
    /// <param name="value">The value.</param>
    /// <exception cref="InvalidOperationException">The method leaves no number open.</exception>
    /// <exception cref="ArgumentException">The value means nothing.</exception>
    public Solver With(double value) =>
        ParameterName is not null
            ? Translate.Errors(() => new Solver(Catalogue.samplers.Find($"{Name}:{value:R}")), nameof(value))
            : throw new InvalidOperationException($"The solver {Name} leaves no number open.");

    private IEnumerable<Parameter> Numbers => Catalogue.samplers.Described.Parts.First(p => p.Name == Name).Parameters;
}
