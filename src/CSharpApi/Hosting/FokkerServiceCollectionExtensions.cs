using Fokker;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Fokker in an application’s services.</summary>
public static class FokkerServiceCollectionExtensions
{
    /// <summary>Adds a <see cref="FokkerRuntime"/>, a <see cref="FlowModelStore"/> and a <see cref="FlowTrainerFactory"/>, one of each.</summary>
    /// <param name="services">The services.</param>
    /// <param name="options">How the machine is used, and where models are kept.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddFokker(this IServiceCollection services, FokkerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddSingleton(Options.Options.Create(options ?? new FokkerOptions()));
        return services.AddParts();
    }

    /// <summary>The same with options from configuration.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configuration">The section that <see cref="FokkerOptions"/> are bound to.</param>
    /// <returns>The services.</returns>
    public static IServiceCollection AddFokker(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.Configure<FokkerOptions>(configuration);
        return services.AddParts();
    }

    private static IServiceCollection AddParts(this IServiceCollection services)
    {
        services.AddOptions();
        services.TryAddSingleton(provider => new FokkerRuntime(
            provider.GetRequiredService<IOptions<FokkerOptions>>().Value
        ));
        services.TryAddSingleton(provider => new FlowModelStore(
            provider.GetRequiredService<FokkerRuntime>(),
            provider.GetRequiredService<IOptions<FokkerOptions>>(),
            provider.GetService<ILogger<FlowModelStore>>()
        ));
        services.TryAddSingleton(provider => new FlowTrainerFactory(
            provider.GetRequiredService<FokkerRuntime>(),
            provider.GetService<ILogger<FlowTrainer>>()
        ));
        return services;
    }
}
