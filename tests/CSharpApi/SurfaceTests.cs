using System.Reflection;
using System.Text.RegularExpressions;
using NUnit.Framework;
using PublicApiGenerator;

namespace Fokker.Tests.CSharpApi;

/// <summary>What the façade shows: no F#, and nothing that changes unnoticed.</summary>
public class SurfaceTests
{
    private static readonly Assembly Facade = typeof(FlowModel).Assembly;

    private const BindingFlags Declared =
        BindingFlags.Public
        | BindingFlags.NonPublic
        | BindingFlags.Instance
        | BindingFlags.Static
        | BindingFlags.DeclaredOnly;

    // A type with all that it is made of: arguments of generics, elements of arrays.
    private static IEnumerable<Type> Parts(Type type) =>
        type.HasElementType ? Parts(type.GetElementType()!)
        : type.IsGenericType ? type.GetGenericArguments().SelectMany(Parts).Append(type)
        : [type];

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static IEnumerable<(string Where, Type Type)> Signatures() =>
        from type in Facade.GetExportedTypes()
        from used in type.GetInterfaces()
            .Append(type.BaseType ?? typeof(object))
            .Select(used => (type.Name, used))
            .Concat(
                from method in type.GetMethods(Declared).Cast<MethodBase>().Concat(type.GetConstructors(Declared))
                where IsVisible(method)
                from part in method
                    .GetParameters()
                    .Select(parameter => parameter.ParameterType)
                    .Append((method as MethodInfo)?.ReturnType ?? typeof(void))
                select ($"{type.Name}.{method.Name}", part)
            )
            .Concat(
                from field in type.GetFields(Declared)
                where field.IsPublic || field.IsFamily
                select ($"{type.Name}.{field.Name}", field.FieldType)
            )
        from part in Parts(used.Item2)
        select (used.Item1, part);

    [Test]
    public void NoSignatureHasATypeOfFSharpCore()
    {
        var seen = Signatures().ToList();
        Assert.That(seen, Has.Count.GreaterThan(500));
        var leaks = seen.Where(s => s.Type.Assembly.GetName().Name == "FSharp.Core")
            .Select(s => $"{s.Where}: {s.Type}");
        Assert.That(leaks, Is.Empty);
    }

    /// <summary>Of the library's own types a C# program meets the tensor, and none that F# has shaped.</summary>
    [Test]
    public void OfTheLibraryOnlyTheTensorIsSeen()
    {
        var core = typeof(Fokker.Tensor).Assembly;
        var seen = Signatures().Where(s => s.Type.Assembly == core).Select(s => s.Type).Distinct();
        Assert.That(seen, Is.EquivalentTo(new[] { typeof(Fokker.Tensor) }));
    }

    /// <summary>A program that uses both packages must not be told that a name is ambiguous.</summary>
    [Test]
    public void NoNameIsThatOfATypeOfTheLibrary()
    {
        var core = typeof(Fokker.Tensor).Assembly.GetExportedTypes().Select(type => type.FullName).ToHashSet();
        Assert.That(Facade.GetExportedTypes().Select(type => type.FullName).Where(core.Contains), Is.Empty);
    }

    /// <summary>`using Fokker;` beside what every C# program has in scope makes no name ambiguous, <c>Path</c> least of all.</summary>
    [Test]
    public void NoNameOfTheLibraryHidesOneThatProgramsHaveInScope()
    {
        string[] implicitUsings =
        [
            "System",
            "System.Collections.Generic",
            "System.IO",
            "System.Linq",
            "System.Net.Http",
            "System.Threading",
            "System.Threading.Tasks",
        ];
        Assembly[] framework =
        [
            typeof(object).Assembly,
            typeof(Enumerable).Assembly,
            typeof(Console).Assembly,
            typeof(HttpClient).Assembly,
            typeof(LinkedList<>).Assembly,
            typeof(Uri).Assembly,
        ];
        var taken = framework
            .SelectMany(assembly => assembly.GetExportedTypes())
            .Where(type => !type.IsNested && implicitUsings.Contains(type.Namespace))
            .Select(type => type.Name)
            .ToHashSet();
        Assert.That(taken, Does.Contain("Path").And.Contains("Random"));
        var ours = typeof(Fokker.Tensor)
            .Assembly.GetExportedTypes()
            .Concat(Facade.GetExportedTypes())
            .Where(type => type.Namespace == "Fokker" && !type.IsNested)
            .Select(type => type.Name);
        Assert.That(ours.Where(taken.Contains), Is.Empty);
    }

    [Test]
    public void EveryNameIsInOneListAndStandsForItself()
    {
        Check(FlowPaths.All, typeof(FlowPaths), FlowPath.FromName);
        Check(Losses.All, typeof(Losses), TrainingLoss.FromName);
        Check(Parametrizations.All, typeof(Parametrizations), Parametrization.FromName);
        Check(LossWeights.All, typeof(LossWeights), LossWeight.FromName);
        Check(TimeLaws.All, typeof(TimeLaws), TimeLaw.FromName);
        Check(Couplings.All, typeof(Couplings), MinibatchCoupling.FromName);
        Check(Preconditioners.All, typeof(Preconditioners), Preconditioner.FromName);
        Check(Solvers.All, typeof(Solvers), Solver.FromName);
        Check(TimeGrids.All, typeof(TimeGrids), TimeGrid.FromName);
        Check(DivergenceEstimators.All, typeof(DivergenceEstimators), DivergenceEstimator.FromName);

        static void Check<T>(IReadOnlyList<T> all, Type list, Func<string, T> fromName)
            where T : NamedPart
        {
            var properties = list.GetProperties()
                .Where(p => p.PropertyType == typeof(T))
                .Select(p => (T)p.GetValue(null)!);
            var methods = list.GetMethods()
                .Where(m => m.ReturnType == typeof(T) && !m.IsSpecialName)
                .Select(m => (T)m.Invoke(null, [.. m.GetParameters().Select(p => p.DefaultValue)])!);
            Assert.That(properties.Concat(methods), Is.EquivalentTo(all));
            Assert.That(all.Select(part => part.Name), Is.Unique);
            Assert.That(all.Select(part => fromName(part.Name.ToUpperInvariant())), Is.EqualTo(all));
            Assert.That(all.Select(part => fromName(part.ToString())), Is.EqualTo(all));
            Assert.That(all.Select(part => part.Equation), Has.None.Empty);
            // The message says what there is.
            Assert.That(() => fromName("nonsense"), Throws.ArgumentException.With.Message.Contains(all[0].Name));
        }
    }

    /// <summary>A number is the part's own: given by position or by name, told by what is printed, and refused by the name of its argument.</summary>
    [Test]
    public void APartWithNumbersIsAMethodWithDefaults()
    {
        Assert.That(LossWeights.MinSnr(), Is.EqualTo(LossWeights.MinSnr(5)).And.Not.EqualTo(LossWeights.MinSnr(3)));
        Assert.That(LossWeights.MinSnr(3).ToString(), Is.EqualTo("min-snr:gamma=3"));
        Assert.That(LossWeight.FromName("min-snr:3"), Is.EqualTo(LossWeights.MinSnr(3)));
        Assert.That(
            Solvers.Edm(churn: 20, noise: 1.003).ToString(),
            Is.EqualTo("edm:churn=20,least=0.05,most=50,noise=1.003")
        );
        Assert.That(Solvers.DdimEta(0).IsStochastic, Is.False);
        // Half the log-SNR of VP at t = 1 is half of log(ᾱ/(1 − ᾱ)), log ᾱ = −(β_min + β_max)/2.
        Assert.That(
            FlowPaths.VariancePreserving(1, 3).Lambda(1),
            Is.EqualTo(-0.5 * Math.Log(Math.Exp(2) - 1)).Within(1e-12)
        );
        Assert.That(
            () => Couplings.Unbalanced(rho: -1),
            Throws.ArgumentException.With.Property("ParamName").EqualTo("rho").And.Message.Contains("a positive number")
        );
        Assert.That(
            () => LossWeight.FromName("min-snr:gama=3"),
            Throws.ArgumentException.With.Message.Contains("min-snr has gamma = 5")
        );
    }

    /// <summary>Every list of the library's is a list of C#'s.</summary>
    [Test]
    public void NothingThatTheLibraryKnowsIsMissing()
    {
        var lists = new (string List, IEnumerable<string> Names)[]
        {
            ("paths", FlowPaths.All.Select(part => part.Name)),
            ("losses", Losses.All.Select(part => part.Name)),
            ("predictions", Parametrizations.All.Select(part => part.Name)),
            ("weights", LossWeights.All.Select(part => part.Name)),
            ("times", TimeLaws.All.Select(part => part.Name)),
            ("couplings", Couplings.All.Select(part => part.Name)),
            ("preconditionings", Preconditioners.All.Select(part => part.Name)),
            ("samplers", Solvers.All.Select(part => part.Name)),
            ("grids", TimeGrids.All.Select(part => part.Name)),
            ("steerings", Steerers.All.Select(part => part.Name)),
            ("traces", DivergenceEstimators.All.Select(part => part.Name)),
            ("datasets", DataSources.All.Select(part => part.Name)),
            ("networks", NetworkKinds.All.Select(part => part.Name)),
        };

        var known = Catalogue.all.ToDictionary(list => list.Name);

        foreach (var (list, names) in lists)
        {
            // A data set that is a file is one of DataSource's methods.
            var expected = known[list].Parts.Select(entry => entry.Name).Where(name => !name.Contains(':'));
            Assert.That(names, Is.EqualTo(expected), list);
        }
    }

    [Test]
    public void ThePublicSurfaceIsTheOneThatWasApproved()
    {
        var approved = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "PublicApi.approved.txt"));
        var now = Facade.GeneratePublicApi(
            new ApiGeneratorOptions
            {
                IncludeAssemblyAttributes = false,
                // It names a type by a number that the compiler counts.
                ExcludeAttributes = ["System.Runtime.CompilerServices.AsyncIteratorStateMachineAttribute"],
            }
        );
        var received = Path.Combine(AppContext.BaseDirectory, "PublicApi.received.txt");
        File.WriteAllText(received, now + "\n");
        Assert.That(
            now.ReplaceLineEndings("\n").Trim(),
            Is.EqualTo(approved.ReplaceLineEndings("\n").Trim()),
            $"The public surface changed. If that is meant, copy {received} over tests/CSharpApi/PublicApi.approved.txt."
        );
    }
}
