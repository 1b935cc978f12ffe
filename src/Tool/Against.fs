namespace Fokker.Tool

open System
open Fokker

/// How far a model's reverse process is from the true one where the law of the data is known.
[<RequireQualifiedAccess>]
module Against =

    /// The mixture of a file in the network's units. Raises UserError where it has another dimension than the model's data.
    let private inside (file: string) (model: GenerativeModel) : Mixture =
        let mixture = Mixture.read file

        if [ mixture.Dimension ] <> model.Shape || model.Latent.IsSome then
            let shape = String.Join("; ", model.Shape)

            refuse
                Setting.Against
                file
                $"the law has {mixture.Dimension} dimensions, but samples of {model.Name} are [{shape}]"

        let units = model.Units
        let d = mixture.Dimension
        let scales = Array.init d (fun i -> abs units.Scale[min i (units.Scale.Length - 1)])
        let scale = Tensor.ofArray [ d ] scales
        let outer = Tensor.unsqueeze 1 scale * Tensor.unsqueeze 0 scale

        Mixture.ofCovariances
            (Tensor.toFloats (Mixture.weights mixture))
            (Units.toNetwork units (Mixture.means mixture))
            (Mixture.covariances mixture / outer)

    /// KL(P ‖ Q) of the reverse processes between the path's interior times in nats, P's score being that of the mixture in the file and Q's the model's,
    /// both started from P's law: ½ ∫ g² E_P ‖s − s_θ‖² dt (Girsanov 1960; Song et al. 2021, Maximum likelihood training of score-based diffusion models,
    /// theorem 1). Of two exact laws p and q it is KL(p₀ ‖ q₀) − KL(p₁ ‖ q₁). Simulated by Euler–Maruyama in `steps` equal parts of λ, as on each of
    /// `count` trajectories.
    let divergence (file: string) (model: GenerativeModel) (steps: int) (count: int) (rng: Rng) : Estimate =
        if model.Labels then
            raise (
                UserError
                    $"--against {file}: the network of {model.Name} takes the class as an input, and this law has no classes"
            )

        let said = model.ScoreModel(Setting.Against, file)
        let path = model.Path
        let mixture = inside file model
        let low, high = path.Interior
        let times = Grid.times Grid.lambda path (high, low) steps
        let start = (Mixture.sampleAt path high count (Rng.named "start" rng) mixture).To model.Kind
        let forward = Sde.ofPath path
        let reverse score = Sde.reverse score forward
        let learned = reverse (Model.score said None)
        Girsanov.bySimulation (reverse (Mixture.score path mixture)) learned times (Rng.named "paths" rng) start
