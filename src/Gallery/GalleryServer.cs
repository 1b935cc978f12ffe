using System.Net;
using System.Net.Sockets;
using Fokker.Gallery.Endpoints;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.HostFiltering;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Fokker.Gallery;

/// <summary>Models in a browser: samples as they are made, and what else can be asked of a model, over HTTP on this machine alone.</summary>
public sealed class GalleryServer : IAsyncDisposable
{
    private readonly WebApplication app;

    private GalleryServer(WebApplication app) => this.app = app;

    /// <summary>Where it is: <c>http://127.0.0.1:7860</c>.</summary>
    public Uri Address =>
        new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Starts it.</summary>
    /// <param name="options">What is served, and how much of the machine it may take.</param>
    /// <param name="cancellationToken">Takes the start back.</param>
    /// <exception cref="FokkerException">The port is taken.</exception>
    public static async Task<GalleryServer> StartAsync(
        GalleryOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        var asked = options ?? new GalleryOptions();
        var app = Build(asked);

        try
        {
            await app.StartAsync(cancellationToken).ConfigureAwait(false);
            return new GalleryServer(app);
        }
        catch (Exception error)
        {
            await app.DisposeAsync().ConfigureAwait(false);

            if (error is IOException or SocketException)
            {
                throw new FokkerException(
                    $"Port {asked.Port} of 127.0.0.1 cannot be listened on: {error.Message}",
                    error
                );
            }

            throw;
        }
    }

    /// <summary>Runs it until Ctrl-C or SIGTERM.</summary>
    /// <param name="options">What is served, and how much of the machine it may take.</param>
    /// <param name="started">Is told the address.</param>
    public static void Run(GalleryOptions options, Action<Uri> started)
    {
        ArgumentNullException.ThrowIfNull(started);
        RunAsync().GetAwaiter().GetResult();

        async Task RunAsync()
        {
            await using var server = await StartAsync(options).ConfigureAwait(false);
            started(server.Address);
            await server.app.WaitForShutdownAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Ends it; requests that are being worked on are taken back.</summary>
    public async ValueTask DisposeAsync()
    {
        await app.StopAsync().ConfigureAwait(false);
        await app.DisposeAsync().ConfigureAwait(false);
    }

    private static WebApplication Build(GalleryOptions options)
    {
        var builder = WebApplication.CreateSlimBuilder(
            new WebApplicationOptions
            {
                EnvironmentName = Environments.Production,
                ContentRootPath = AppContext.BaseDirectory,
            }
        );
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, options.Port);
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.LargestBody;
        });
        builder.Logging.ClearProviders();
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        // A start that fails is an exception, which whoever started it tells.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        // What people read of a server is not what a program reads of the command.
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console =>
            console.LogToStandardErrorThreshold = LogLevel.Trace
        );
        AddParts(builder.Services, options);
        var app = builder.Build();
        Use(app);
        return app;
    }

    private static void AddParts(IServiceCollection services, GalleryOptions options)
    {
        services.AddSingleton(Options.Create(options));
        services.AddFokker(new FokkerOptions { ModelsFolder = options.Folder });
        services.AddSingleton<Shelf>();
        services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));

        services.AddProblemDetails(problems =>
            problems.CustomizeProblemDetails = context =>
                context.ProblemDetails.Detail ??= Problems.Usual(context.ProblemDetails.Status)
        );
        services.AddExceptionHandler<Problems>();
        services.Configure<RouteHandlerOptions>(handlers => handlers.ThrowOnBadRequest = true);

        // A name that somebody else's server gives for this machine is not one that the gallery goes by.
        services.AddHostFiltering(hosts => hosts.AllowedHosts = ["127.0.0.1", "localhost"]);
        services.AddRateLimiter(limiter =>
        {
            limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
            limiter.OnRejected = (context, _) =>
            {
                context.HttpContext.Response.Headers.RetryAfter = "1";
                return ValueTask.CompletedTask;
            };
            limiter.AddConcurrencyLimiter(
                Api.Queue,
                queue =>
                {
                    queue.PermitLimit = options.Concurrent;
                    queue.QueueLimit = options.Queue;
                }
            );
        });

        services.AddHealthChecks();
        services.AddOpenApi(description =>
            description.AddDocumentTransformer(
                (document, _, _) =>
                {
                    document.Info.Title = "Fokker’s gallery";
                    document.Info.Version = "1";
                    return Task.CompletedTask;
                }
            )
        );
        services
            .AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService("fokker-gallery"))
            .WithMetrics(metrics =>
                metrics
                    // Seconds, where the usual bounds are for milliseconds.
                    .AddView(
                        "fokker.request.duration",
                        new ExplicitBucketHistogramConfiguration
                        {
                            Boundaries = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100],
                        }
                    )
                    .AddMeter(FokkerTelemetry.Name)
                    .AddMeter("Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.RateLimiting")
                    .AddPrometheusExporter()
            );
    }

    private static void Use(WebApplication app)
    {
        app.Use(Headers);
        app.UseHostFiltering();
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.Use(OwnPageAlone);
        app.UseRouting();
        app.UseRateLimiter();
        Assets.Map(app);
        Api.Map(app);
        app.MapHealthChecks("/healthz");
        app.MapOpenApi("/openapi.json");
        app.MapPrometheusScrapingEndpoint("/metrics");
    }

    // The browser runs the page's own scripts and no others, and fetches from here alone.
    private static Task Headers(HttpContext http, RequestDelegate next)
    {
        var headers = http.Response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers.CacheControl = "no-cache";
        return next(http);
    }

    // A page of another site could have the machine draw samples, though it could not read them.
    private static Task OwnPageAlone(HttpContext http, RequestDelegate next)
    {
        if (
            http.Request.Headers["Sec-Fetch-Site"].ToString() is "cross-site" or "same-site"
            && http.Request.Path != "/"
        )
        {
            http.Response.StatusCode = StatusCodes.Status403Forbidden;
            return Task.CompletedTask;
        }

        return next(http);
    }
}
