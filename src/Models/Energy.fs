namespace Fokker

open System

/// An energy without time that a network has learned. With e^{−E}/Z as the law, E(x) = ½ ‖x‖² + g(x): the network tilts N(0, I), which can be normalized whatever it says as long as it grows no faster.
/// Where only its minima are data, E = g.
[<NoComparison; NoEquality>]
type Energy =
    {
        /// g(x), [B; …] ↦ [B].
        Potential: Condition -> Tensor -> Tensor
        /// Whether e^{−E}/Z is the law of the data; else they are where descent ends.
        IsLaw: bool
    }

[<RequireQualifiedAccess>]
module Energy =

    /// Of a network of time and sample that says a potential: it is told the time 0 always.
    let ofNetwork (isLaw: bool) (network: Condition -> Field) : Energy =
        { Potential =
            fun condition ->
                let network = network condition
                network (Tensor.scalar Kind.Float64 0.0)
          IsLaw = isLaw }

    /// ½ ‖x‖² + β g(x) of a law, and g(x) of another energy, [B].
    let at (beta: float) (energy: Energy) (condition: Condition) : Tensor -> Tensor =
        let potential = energy.Potential condition

        if energy.IsLaw then
            fun x -> 0.5 * Tensor.sumRows (Tensor.square x) + beta * potential x
        else
            potential

    /// E(x) [B].
    let value: Energy -> Condition -> Tensor -> Tensor = at 1.0

    /// −E at β and its slope, of states in float64, with the network in its own element type.
    let target (kind: Kind) (energy: Energy) (condition: Condition) : float -> Unnormalized =
        let potential = energy.Potential condition

        fun beta x ->
            // −g and −∇g.
            let struct (g, slope) = Langevin.ofEnergy potential (x.To kind.Dtype)
            let g, slope = g.To x.Dtype, slope.To x.Dtype

            if energy.IsLaw then
                struct (beta * g - 0.5 * Tensor.sumRows (Tensor.square x), beta * slope - x)
            else
                struct (g, slope)

    /// log ∫ e^{−½‖x‖²} dx = ½ d log 2π.
    let private logReference (dimension: int) = 0.5 * float dimension * Math.Log(2.0 * Math.PI)

    /// log Z of a law by annealed importance sampling from N(0, I): so many chains of samples of the shape, over so many tempered laws, by Hamiltonian moves. Raises ArgumentException for an energy
    /// that is of no law.
    let partition
        (kind: Kind)
        (energy: Energy)
        (shape: int list)
        (chains: int)
        (stages: int)
        (condition: int -> Condition)
        (rng: Rng)
        : Partition =
        if not energy.IsLaw then
            invalidArg (nameof energy) "an energy whose minima are the data has no law that could be normalized"

        let betas = Array.init (stages + 1) (fun k -> float k / float stages)
        let move target noise chain = Hamiltonian.adjusted target 0.1 5 noise chain

        Scope.run (fun () ->
            let x = Rng.normal (Kind.Float64.On kind.Device) (chains :: shape) (Rng.named "start" rng)

            let struct (log, _) =
                AnnealedImportance.logWeights (target kind energy (condition chains)) betas move (Noise.fresh rng) x

            AnnealedImportance.estimate (logReference (List.fold (*) 1 shape)) log)
