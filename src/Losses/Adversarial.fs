namespace Fokker

/// Two networks against each other: a generator, which makes a sample of noise in one pass, and a critic, which tells samples from data.
[<RequireQualifiedAccess>]
module Adversarial =

    /// What the other players call the critic.
    let critic = "critic"

    /// C(x) [B] of a critic, which is told the time 0 always.
    let private at (network: Condition -> Field) (label: Condition) : Tensor -> Tensor =
        network label (Tensor.scalar Kind.Float64 0.0)

    /// ‖∇C(x)‖² [B].
    let private slope (criticism: Tensor -> Tensor) (x: Tensor) : Tensor =
        Tensor.sumRows (Tensor.square (Diff.grad (fun x -> Tensor.sum (criticism x)) x))

    /// softplus(−(C(x₀) − C(x))) + ½ γ (‖∇C(x₀)‖² + ‖∇C(x)‖²): the relativistic critic, each sample against a datum, with both gradient penalties (Jolicoeur-Martineau 2019; Huang et al. 2024, The GAN is dead;
    /// long live the GAN, eq. 3 and section 2.2).
    let criticLoss (gamma: float) (criticism: Tensor -> Tensor) (data: Tensor) (made: Tensor) : Tensor =
        Tensor.softplus (criticism made - criticism data)
        + 0.5 * gamma * (slope criticism data + slope criticism made)

    /// softplus(−(C(x) − C(x₀))): the same with the parts exchanged.
    let generatorLoss (criticism: Tensor -> Tensor) (data: Tensor) (made: Tensor) : Tensor =
        Tensor.softplus (criticism data - criticism made)

    /// x = E[x₀ | z] of a network at the noisy end of a path, z = σ(1) ε: one pass. The prediction says how the network's output is read.
    let generate
        (path: GaussianPath)
        (prediction: Prediction)
        (noisy: float)
        (network: Condition -> Field)
        (label: Condition)
        (z: Tensor)
        : Tensor =
        let sigma = Curve.eval path.Sigma noisy
        let t = Tensor.full (Kind.Float64.On z.Device) [ z.Shape[0] ] noisy
        Model.denoiser (Model.make path prediction network) label t (sigma * z)

    let private drawn (rng: Rng) (batch: Batch) = Rng.normalLike batch.Data (Rng.named "latent" rng)

    /// A generator from N(0, I) and its critic, which moves so many times before each of the generator's moves.
    let objective (gamma: float) (turns: int) : Objective =
        let path = Path.condOT
        let made network (rng: Rng) (batch: Batch) =
            generate path Prediction.velocity (snd path.Interior) network batch.Label (drawn rng batch)

        let generator: Loss =
            fun context rng batch ->
                generatorLoss (at context.Others[critic] batch.Label) batch.Data (made context.Network rng batch)

        let critical: Loss =
            fun context rng batch ->
                let x = Tensor.detach (made context.Others[LossContext.main] rng batch)
                criticLoss gamma (at context.Network batch.Label) batch.Data x

        { Objective.predicting
              "gan"
              $"E softplus(C(x₀) − C(G(z))) against E softplus(C(G(z)) − C(x₀)) + ½ {gamma} (‖∇C(x₀)‖² + ‖∇C(G(z))‖²)"
              "Goodfellow et al. 2014; Huang et al. 2024, The GAN is dead; long live the GAN, eq. 3"
              path
              Prediction.velocity
              generator with
            Players = [ { Name = critic; Role = Role.Critic; Turns = turns; Loss = critical } ]
            Beta1 = Some 0.5
            Jumps = [ snd path.Interior; 0.0 ] }

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of2
            (Parameter.make "gamma" 1.0 (Allowed.AtLeast 0.0) "γ, how much the critic's squared slope costs")
            (Parameter.make "turns" 1.0 (Allowed.Whole 1) "moves of the critic before each of the generator's")
            (fun gamma turns ->
                let own = objective gamma (int turns)

                LossEntry.make
                    own.Name
                    "Generative adversarial network: a generator of one pass against a critic that tells its samples from data."
                    own.Equation
                    own.Reference
                    []
                    (fun _ -> objective gamma (int turns)))
