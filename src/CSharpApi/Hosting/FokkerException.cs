namespace Fokker;

/// <summary>Something that cannot be done with what there is: a missing or damaged file, a model that does not know what is asked of it, a training that
/// diverged, a machine without libtorch. The message is one line, with the remedy.</summary>
public class FokkerException : Exception
{
    /// <summary>An exception with a message.</summary>
    /// <param name="message">One line, with the remedy.</param>
    public FokkerException(string message)
        : base(message) { }

    /// <summary>An exception with a message and what it came from.</summary>
    /// <param name="message">One line, with the remedy.</param>
    /// <param name="inner">What it came from.</param>
    public FokkerException(string message, Exception inner)
        : base(message, inner) { }
}
