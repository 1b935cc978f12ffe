// Serves samples of the models in a folder, as JSON: a few requests at a time, and those whose client has left are given up.
//   dotnet run --project samples/SampleService -- --urls http://127.0.0.1:5000 --Fokker:ModelsFolder runs
//   curl 'http://127.0.0.1:5000/models/moons/samples?count=3&seed=1'
using Fokker;
using Microsoft.AspNetCore.RateLimiting;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddFokker(builder.Configuration.GetSection("Fokker"));
builder.Services.AddHealthChecks();
builder.Services.AddRateLimiter(limiter =>
{
    limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
    limiter.AddConcurrencyLimiter("models", queue => (queue.PermitLimit, queue.QueueLimit) = (4, 16));
});

var app = builder.Build();
app.UseRateLimiter();
app.MapHealthChecks("/healthz");
app.MapGet("/models", (FlowModelStore models) => models.ListNames());
app.MapGet("/models/{name}/samples", SamplesAsync).RequireRateLimiting("models");
app.Run();

static async Task<IResult> SamplesAsync(
    string name,
    FlowModelStore models,
    CancellationToken cancelled,
    int count = 1,
    long seed = 0,
    string? solver = null
)
{
    if (count is < 1 or > 10_000)
    {
        return Results.Problem("count is from 1 to 10000.", statusCode: 400);
    }

    try
    {
        if (await models.TryGetAsync(name) is not { } model)
        {
            return Results.Problem($"There is no model '{name}'.", statusCode: 404);
        }

        var method = solver is null ? null : Solver.FromName(solver);
        var options = new SampleOptions
        {
            Count = count,
            Seed = seed,
            Solver = method,
        };
        var samples = await model.SampleAsync(options, cancelled);
        return Results.Ok(new { samples.SampleShape, Values = samples.ToArray() });
    }
    catch (Exception error) when (error is ArgumentException or FokkerException)
    {
        return Results.Problem(error.Message, statusCode: 400);
    }
}
