namespace Fokker

/// The loss of a classifier of noisy samples, which guides other models.
[<RequireQualifiedAccess>]
module ClassifierEntry =

    /// What trains a classifier of noisy samples: a run that guides others and is not sampled from.
    let entry: LossEntry =
        let name, equation = "classifier", "E −log p(c | t, x_t)"
        let reference = "Dhariwal, Nichol 2021, Diffusion models beat GANs, section 4"

        let summary = "A classifier of noisy samples, which guides other models: not sampled from."

        LossEntry.make
            name
            summary
            equation
            reference
            [ Setting.Path, None; Setting.Times, LossEntry.usual Times.uniform.Name ]
            (fun parts ->
                let loss = NoisyClassifier.loss parts.Path parts.Times

                Objective.classifying name equation reference parts.Path loss)
