namespace Fokker;

/// <summary>The library's exceptions as C# has them: a refusal names the property.</summary>
internal static class Translate
{
    /// <summary>The same exception as C# has it; null where it is one that passes through.</summary>
    private static Exception? Of(Exception error, string? argument) =>
        error switch
        {
            RefusedException { Refusal: var refusal } refused => new ArgumentException(
                RefusalModule.text(PropertyNames.Wording, refusal),
                PropertyNames.Of(refusal.Setting),
                refused
            ),
            UserError or EnvironmentException or TensorException => new FokkerException(error.Message, error),
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
