namespace Fokker

/// log p(c | t, x_t) of samples noised along a path, which guides models of the same data: a trained classifier's, or that of an exact law.
[<NoComparison; NoEquality>]
type ClassPosterior =
    {
        /// What messages call it.
        Name: string
        Path: GaussianPath
        /// Of a sample.
        Shape: int list
        Classes: string list
        /// labels [B], t, x_t ↦ [B].
        LogClass: Tensor -> Tensor -> Tensor -> Tensor
    }

[<RequireQualifiedAccess>]
module ClassPosterior =

    /// That of a network trained by the loss `classifier`. Raises RefusedException where it was trained by another.
    let ofTrained (name: string) (t: TrainedNetwork) : ClassPosterior =
        match t.Output with
        | NetworkOutput.ClassLogits -> ()
        | _ ->
            refuseWith
                Setting.Classifier
                name
                $"it was trained by {t.Training.Loss}, and tells no classes apart"
                $"""take one trained with {Setting.Loss.Is "classifier"}"""

        { Name = name
          Path = t.Path
          Shape = t.Shape
          Classes = t.Classes
          LogClass = NoisyClassifier.logClass t.Network t.Parameters }

    /// That of a mixture with classes. Raises RefusedException for any other model, whose law is not known.
    let exact (model: GenerativeModel) : ClassPosterior =
        match model.Origin with
        | Origin.Exact(_, mixture) ->
            { Name = "exact"
              Path = model.Path
              Shape = model.Shape
              Classes = model.Classes
              LogClass = Mixture.logClass model.Path mixture }
        | Origin.Trained _
        | Origin.Supplied ->
            refuseWith
                Setting.Classifier
                "exact"
                $"only the law of an oracle is known"
                $"""take one trained with {Setting.Loss.Is "classifier"}"""
