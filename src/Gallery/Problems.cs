using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Logging;

namespace Fokker.Gallery;

/// <summary>Whatever goes wrong in a request ends here: as problem+json with one sentence, which the page shows as it is.</summary>
internal sealed partial class Problems(IProblemDetailsService service, ILogger<Problems> logger) : IExceptionHandler
{
    // What nginx writes where a client left; nobody reads it.
    private const int ClientLeft = 499;

    public async ValueTask<bool> TryHandleAsync(HttpContext http, Exception error, CancellationToken cancellation)
    {
        if (http.RequestAborted.IsCancellationRequested)
        {
            http.Response.StatusCode = ClientLeft;
            return true;
        }

        var (status, sentence) = Describe(error);
        http.Response.StatusCode = status;

        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            http.Response.Headers.RetryAfter = "2";
        }

        if (status == StatusCodes.Status500InternalServerError)
        {
            LogFault(error, http.Request.Path);
        }

        await service
            .WriteAsync(
                new ProblemDetailsContext
                {
                    HttpContext = http,
                    ProblemDetails = new ProblemDetails { Status = status, Detail = sentence },
                }
            )
            .ConfigureAwait(false);
        return true;
    }

    /// <summary>The status and the sentence of an exception.</summary>
    public static (int Status, string Sentence) Describe(Exception error)
    {
        var (status, text) = error switch
        {
            RequestException refused => (refused.Status, refused.Message),
            BadHttpRequestException { InnerException: JsonException json } => (
                StatusCodes.Status400BadRequest,
                $"The body is not the JSON that was expected, at {json.Path ?? "$"}."
            ),
            BadHttpRequestException bad => (bad.StatusCode, Unbound(bad.Message)),
            ArgumentException => (StatusCodes.Status400BadRequest, error.Message),
            FokkerException => (StatusCodes.Status422UnprocessableEntity, error.Message),
            OutOfMemoryException => (
                StatusCodes.Status422UnprocessableEntity,
                "There is not enough memory for so many samples: ask for fewer."
            ),
            ObjectDisposedException or OperationCanceledException => (
                StatusCodes.Status503ServiceUnavailable,
                "The gallery is ending."
            ),
            _ => (
                StatusCodes.Status500InternalServerError,
                $"This is a fault of the gallery’s, not of your request: {error.Message}"
            ),
        };
        return (status, OneSentence(text));
    }

    // What the framework says of a setting that is no number is of its types.
    private static string Unbound(string message) =>
        NotBound().Match(message) is { Success: true } found
            ? $"{found.Groups[2].Value.ToLowerInvariant()} is '{found.Groups[3].Value}': expected a {(found.Groups[1].Value == "double" ? "" : "whole ")}number."
            : message;

    [GeneratedRegex("^Failed to bind parameter \"Nullable<(\\w+)> (\\w+)\" from \"(.*)\"")]
    private static partial Regex NotBound();

    // .NET adds the parameter's name and the value to what an exception says.
    private static string OneSentence(string text)
    {
        var line = text.Split('\n')[0].Trim();
        var added = line.LastIndexOf(" (Parameter '", StringComparison.Ordinal);
        line = added < 0 ? line : line[..added];
        return line.EndsWith('.') || line.EndsWith('?') ? line : line + ".";
    }

    /// <summary>The sentence of a status that came without one.</summary>
    public static string Usual(int? status) =>
        status switch
        {
            StatusCodes.Status400BadRequest => "The request is not one that the gallery understands.",
            StatusCodes.Status403Forbidden => "Another site asked for this; the gallery answers its own page alone.",
            StatusCodes.Status404NotFound => "There is nothing at this address.",
            StatusCodes.Status405MethodNotAllowed => "This address is not asked in this way.",
            StatusCodes.Status413PayloadTooLarge => "The body is larger than the gallery reads.",
            StatusCodes.Status415UnsupportedMediaType =>
                "The body has to be JSON, with the content type application/json.",
            StatusCodes.Status429TooManyRequests =>
                "The gallery has as many requests waiting as it takes: try again in a moment.",
            _ => "The request could not be granted.",
        };

    [LoggerMessage(Level = LogLevel.Error, Message = "A fault at {Path}")]
    private partial void LogFault(Exception error, PathString path);
}
