using System.Globalization;

namespace Fokker.Gallery;

/// <summary>The command that repeats what was asked for.</summary>
internal static class CommandLine
{
    /// <summary>A command on a model with those of its options that have a value, and the file that it writes.</summary>
    public static string Of(
        string verb,
        string name,
        GalleryOptions limits,
        string file,
        params IEnumerable<(string Option, object? Value)> options
    )
    {
        // A model's file goes by its path, a run by its name.
        var isFile = name.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase);
        List<string> words = ["./fokker", verb, isFile ? Path.Combine(limits.Folder, name) : name];
        var runs = isFile || limits.Folder == "runs" ? null : limits.Folder;

        foreach (var (option, value) in options.Append(("--runs", runs)).Append(("--out", file)))
        {
            // An option of two words has them as an array.
            if (value is object[] several)
            {
                words.AddRange([option, .. several.Select(Text)]);
            }
            else if (value is not null)
            {
                words.AddRange([option, Text(value)]);
            }
        }

        return string.Join(' ', words.Select(Quoted));
    }

    private static string Text(object value) => Convert.ToString(value, CultureInfo.InvariantCulture)!;

    // As a POSIX shell reads it back.
    private static string Quoted(string word) =>
        word.All(c => char.IsAsciiLetterOrDigit(c) || "-_./:=,@+".Contains(c))
            ? word
            : "'" + word.Replace("'", "'\\''") + "'";
}
