namespace Fokker;

/// <summary>How samples are steered, without training, towards what was observed or towards a reward.</summary>
/// <remarks>See <see cref="Steerers"/> for those there are.</remarks>
public sealed partial class Steerer
{
    private Steerer(PartName part)
        : base(Catalogue.steerings.Described, part) => Core = Catalogue.steerings.Make(part);

    internal SteeringMethod Core { get; }

    /// <summary>Particles for each sample where nobody says: 0 for a method that needs none.</summary>
    public int UsualParticles => Core.Particles;
}
