using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using NUnit.Framework;

namespace Fokker.Tests.CSharpApi;

/// <summary>The README's program in C# compiles as it stands there, and does what it says with fewer steps.</summary>
[NonParallelizable]
public class ReadmeTests
{
    private static string Root
    {
        get
        {
            for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "Toolkit.sln")))
                {
                    return folder.FullName;
                }
            }

            throw new DirectoryNotFoundException("Toolkit.sln is in no folder above the tests.");
        }
    }

    private static Assembly Compiled(string program)
    {
        // What the SDK puts into every console program.
        const string implicitUsings =
            "global using System; global using System.IO; global using System.Linq; global using System.Net.Http;"
            + "global using System.Threading; global using System.Threading.Tasks; global using System.Collections.Generic;";
        var trusted = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
        var options = new CSharpParseOptions(LanguageVersion.Latest);
        var compilation = CSharpCompilation.Create(
            "Readme",
            [CSharpSyntaxTree.ParseText(implicitUsings, options), CSharpSyntaxTree.ParseText(program, options)],
            trusted.Select(path => MetadataReference.CreateFromFile(path)),
            new CSharpCompilationOptions(
                OutputKind.ConsoleApplication,
                nullableContextOptions: NullableContextOptions.Enable
            )
        );
        using var image = new MemoryStream();
        var result = compilation.Emit(image);
        Assert.That(result.Diagnostics.Where(d => d.Severity >= DiagnosticSeverity.Warning), Is.Empty);
        return Assembly.Load(image.ToArray());
    }

    [Test]
    public void TheProgramTrainsSamplesScoresAndSavesAPicture()
    {
        var readme = File.ReadAllText(Path.Combine(Root, "README.md"));
        var program = Regex.Match(readme, "```csharp\n(.*?)```", RegexOptions.Singleline).Groups[1].Value;
        Assert.That(program.Split('\n'), Has.Length.LessThan(25));
        Compiled(program);

        var shorter = program.Replace("Steps = 3000", "Steps = 20");
        Assert.That(shorter, Is.Not.EqualTo(program));
        var folder = Directory.CreateTempSubdirectory("fokker-cs-").FullName;
        var (before, console) = (Environment.CurrentDirectory, Console.Out);
        using var said = new StringWriter();

        try
        {
            Environment.CurrentDirectory = folder;
            Console.SetOut(TextWriter.Synchronized(said));
            Compiled(shorter).EntryPoint!.Invoke(null, [Array.Empty<string>()]);
            Assert.That(new FileInfo("moons.png").Length, Is.GreaterThan(1000));
        }
        finally
        {
            Console.SetOut(console);
            Environment.CurrentDirectory = before;
            Directory.Delete(folder, recursive: true);
        }

        Assert.That(said.ToString(), Does.Match(@"mean log-likelihood -\d+\.\d+ ± \d+\.\d+ nats"));
    }
}
