using System.Text.RegularExpressions;

namespace Fokker;

/// <summary>The library's exceptions as C# has them: a refusal names the property.</summary>
internal static partial class Translate
{
    [GeneratedRegex("--([a-z])([a-z-]*)")]
    private static partial Regex Option();

    // The last messages of the library that name an option: `--label-dropout`.
    private static string PropertyOf(Match match) =>
        PropertyNames.Of(
            string.Concat(match.Value[2..].Split('-').Select(word => char.ToUpperInvariant(word[0]) + word[1..]))
        );

    /// <summary>The same exception as C# has it; null where it is one that passes through.</summary>
    private static Exception? Of(Exception error, string? argument) =>
        error switch
        {
            RefusedException { Refusal: var refusal } refused => new ArgumentException(
                RefusalModule.text(PropertyNames.Wording, refusal),
                PropertyNames.Of(refusal.Setting),
                refused
            ),
            UserError when Option().Match(error.Message) is { Success: true, Index: 0 } match => new ArgumentException(
                Option().Replace(error.Message, PropertyOf),
                PropertyOf(match),
                error
            ),
            UserError => new FokkerException(Option().Replace(error.Message, PropertyOf), error),
            EnvironmentException or TensorException => new FokkerException(error.Message, error),
            ArgumentException when argument is not null => new ArgumentException(error.Message, argument, error),
            TypeInitializationException { InnerException: { } inner } => Of(inner, argument),
            _ => null,
        };

    /// <summary>Runs work of the library's; its exceptions come out as C#'s. An argument's name serves for what names none itself.</summary>
    internal static T Errors<T>(Func<T> work, string? argument = null)
    {
        try
        {
            return work();
        }
        catch (Exception error) when (Of(error, argument) is { } translated)
        {
            throw translated;
        }
    }
}
