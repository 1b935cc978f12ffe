namespace Fokker

open System

/// What samples are to have more of, as it is asked for.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type RewardChoice =
    /// A function of samples in the data's units.
    | Known of Reward
    /// log p(c | x₀) under a classifier, the class by number or name.
    | OfClass of label: string * ClassifierChoice

[<RequireQualifiedAccess>]
module RewardChoice =

    /// The reward of samples in the network's units. Raises RefusedException where it does not fit.
    let reward (choice: RewardChoice) (model: GenerativeModel) : Reward =
        match choice with
        | RewardChoice.Known reward ->
            match reward.Form with
            | Some(w, _) when int w.Count <> model.Dimension ->
                refuse Setting.Reward "" $"it is of {w.Count} numbers, a sample of {model.Name} has {model.Dimension}"
            | _ when model.Units = Units.Same && model.Latent.IsNone -> reward
            | _ -> Reward.through (GenerativeModel.toData model) reward
        | RewardChoice.OfClass(label, classifier) ->
            let posterior =
                match classifier with
                | ClassifierChoice.Own -> ClassPosterior.exact model
                | ClassifierChoice.Trained posterior -> posterior

            if posterior.Shape <> model.Shape || model.Latent.IsSome then
                refuse
                    Setting.Reward
                    posterior.Name
                    $"its samples are others than those of {model.Name}: take a classifier trained on the same data"

            let own = GenerativeModel.classOf Setting.Reward { model with Classes = posterior.Classes } label
            let clean = Integrator.time (fst posterior.Path.Interior)

            let value (x: Tensor) =
                let labels = Tensor.full (Kind.Int64.On x.Device) [ x.Shape[0] ] (float own)
                (posterior.LogClass labels clean x).To x.Kind

            Reward.ofFunction $"log p({posterior.Classes[own]} | x)" value
