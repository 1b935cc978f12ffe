using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Fokker;

/// <summary>Lets configuration name parts and data sets. Registered when the assembly is first used: as attributes of the public types they would be part of
/// the surface.</summary>
internal static class Converters
{
    [ModuleInitializer]
    [SuppressMessage(
        "Usage",
        "CA2255",
        Justification = "Binding begins with types of this assembly and with no call that could register converters."
    )]
    internal static void Register()
    {
        Add<FlowPath>(FlowPath.FromName);
        Add<TrainingLoss>(TrainingLoss.FromName);
        Add<Parametrization>(Parametrization.FromName);
        Add<LossWeight>(LossWeight.FromName);
        Add<TimeLaw>(TimeLaw.FromName);
        Add<MinibatchCoupling>(MinibatchCoupling.FromName);
        Add<Preconditioner>(Preconditioner.FromName);
        Add<Solver>(Solver.FromName);
        Add<TimeGrid>(TimeGrid.FromName);
        Add<DivergenceEstimator>(DivergenceEstimator.FromName);
        Add<DataSource>(DataSource.Named);
        Add<ClassifierSource>(ClassifierSource.FromFile);
    }

    private static void Add<T>(Func<string, T> fromName)
        where T : class =>
        TypeDescriptor.AddProvider(
            new Provider(new FromText<T>(fromName), TypeDescriptor.GetProvider(typeof(T))),
            typeof(T)
        );

    private sealed class Provider(TypeConverter converter, TypeDescriptionProvider parent)
        : TypeDescriptionProvider(parent)
    {
        public override ICustomTypeDescriptor? GetTypeDescriptor(Type type, object? instance) =>
            new Described(converter, base.GetTypeDescriptor(type, instance));
    }

    private sealed class Described(TypeConverter converter, ICustomTypeDescriptor? parent)
        : CustomTypeDescriptor(parent)
    {
        public override TypeConverter GetConverter() => converter;
    }

    private sealed class FromText<T>(Func<string, T> fromName) : TypeConverter
        where T : class
    {
        public override bool CanConvertFrom(ITypeDescriptorContext? context, Type sourceType) =>
            sourceType == typeof(string) || base.CanConvertFrom(context, sourceType);

        public override object? ConvertFrom(ITypeDescriptorContext? context, CultureInfo? culture, object value) =>
            value is string name ? fromName(name) : base.ConvertFrom(context, culture, value);
    }
}
