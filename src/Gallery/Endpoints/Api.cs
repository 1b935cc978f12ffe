using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Fokker.Gallery.Endpoints;

/// <summary>What can be asked over HTTP.</summary>
internal static class Api
{
    /// <summary>The name of the queue that requests to models go through.</summary>
    public const string Queue = "models";

    public static void Map(IEndpointRouteBuilder app)
    {
        var api = app.MapGroup("/api").WithTags("Models").ProducesProblem(StatusCodes.Status404NotFound);
        Catalog.Map(api);
        var asked = api.MapGroup("/models/{name}")
            .RequireRateLimiting(Queue)
            .ProducesProblem(StatusCodes.Status400BadRequest)
            .ProducesProblem(StatusCodes.Status422UnprocessableEntity)
            .ProducesProblem(StatusCodes.Status429TooManyRequests)
            .ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        Sampling.Map(asked);
        Editing.Map(asked);
    }
}
