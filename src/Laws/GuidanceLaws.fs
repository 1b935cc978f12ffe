namespace Fokker.Laws

open FsCheck
open FsCheck.FSharp
open Fokker

/// What guidance makes of a mixture with classes: both sides are known, the left one from fields, the right one from densities.
module GuidanceLaws =

    let private section = "Guidance"

    /// A mixture whose components are of two classes at least, points of x_t, a time, and a class for each point.
    let private classed =
        gen {
            let! d = Gen.choose (1, 3)
            let! k = Gen.choose (2, 4)
            let! r = Draw.rng
            let! weights = Gen.listOfLength k (Draw.between 0.2 1.0)
            let means = Rng.uniform Kind.Float64 [ k; d ] (Rng.named "means" r) * 4.0 - 2.0
            let! stds = Gen.listOfLength (k * d) (Draw.between 0.4 1.2)
            let mixture = Mixture.ofStds (List.toArray weights) means (Tensor.ofArray [ k; d ] (List.toArray stds))
            // The first two components are of two classes, whatever the others are of.
            let! others = Gen.listOfLength (k - 2) (Gen.choose (0, 1))
            let mixture = Mixture.labelled (Array.ofList (0 :: 1 :: others)) mixture
            let! path = Draw.path
            let! t = Draw.time
            let x = Mixture.sampleAt path t 4 (Rng.named "x" r) mixture
            let! labels = Gen.listOfLength 4 (Gen.choose (0, 1))
            return mixture, path, t, x, labels
        }

    let private some (labels: int list) : Tensor =
        Tensor.ofArray [ labels.Length ] [| for label in labels -> int64 label |]

    /// log p_t(x | c) of each row's own class [B].
    let private logOfClass path m t x (labels: int list) : Tensor =
        let each = [ for label in 0..1 -> Mixture.logDensity path (Mixture.ofClass label m) t x ]
        Tensor.where (Tensor.equalTo 1.0 (some labels)) each[1] each[0]

    let private gradient (density: Tensor -> Tensor) : Tensor -> Tensor = Diff.grad (density >> Tensor.sum)

    let private score (model: Model) labels t x = Model.score model (Some(some labels)) t x

    let private prediction = Draw.oneOf Prediction.all

    let guidedScore =
        { Name = "guided-score"
          Section = section
          Statement = "the guided score is s ∇log p_t(x | c) + (1 − s) ∇log p_t(x), whatever is predicted"
          Reference = "Ho, Salimans 2022, Classifier-free diffusion guidance, eq. 6"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 60
          Check =
            Check.against (fun library ->
                // Another paper's scale: (1 + w) y_c − w y.
                { library with Guided = fun g -> Guidance.model { g with Scale = 1.0 + g.Scale } })
            <| fun f ->
                gen {
                    let! m, path, time, x, labels = classed
                    let! s = Draw.between -1.0 6.0
                    let! says = prediction
                    let t = Measure.at time
                    let guided = f.Guided (Guidance.scaled s) (Mixture.model path says m)

                    let density x = s * logOfClass path m t x labels + (1.0 - s) * Mixture.logDensity path m t x

                    return
                        { Error = Measure.apart (score guided labels t x) (gradient density x)
                          Case = $"{path.Name} at t = {time}, s = {s}, {says.Name}" }
                } }

    let everyPrediction =
        { Name = "guidance-in-every-prediction"
          Section = section
          Statement = "guiding one quantity and reading another is guiding the other: the weights sum to 1"
          Reference = "every prediction is affine in every other; Karras et al. 2024, eq. 5"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 60
          Check =
            Check.against (fun library ->
                // The one part that depends on what is predicted.
                { library with Guided = fun g -> Guidance.model { g with Rescale = 0.5 } })
            <| fun f ->
                gen {
                    let! m, path, time, x, labels = classed
                    let! s = Draw.between -1.0 6.0
                    let! says = prediction
                    let! means = prediction
                    let t = Measure.at time
                    let guided says = f.Guided (Guidance.scaled s) (Mixture.model path says m)
                    let reading says = Model.reading means (guided says) (Some(some labels)) t x

                    return
                        { Error = Measure.apart (reading says) (reading means)
                          Case = $"{path.Name} at t = {time}, s = {s}, {says.Name} as {means.Name}" }
                } }

    let byClassifier =
        { Name = "classifier-guidance"
          Section = section
          Statement =
            "∇log p_t(x) + ∇log p(c | x_t) = ∇log p_t(x | c), and s times the gradient guides as far as s does"
          Reference = "Bayes; Dhariwal, Nichol 2021, Diffusion models beat GANs, section 4"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 60
          Check =
            Check.against (fun library -> { library with ByClassifier = fun s -> Guidance.byClassifier (-s) })
            <| fun f ->
                gen {
                    let! m, path, time, x, labels = classed
                    let! s = Draw.between -1.0 6.0
                    let! says = prediction
                    let t = Measure.at time
                    let model = Mixture.model path says m
                    let by s = f.ByClassifier s (Mixture.logClass path m) model

                    let errors =
                        [ Measure.apart (score (by 1.0) labels t x) (score model labels t x)
                          Measure.apart
                              (score (by s) labels t x)
                              (score (Guidance.model (Guidance.scaled s) model) labels t x) ]

                    return { Error = Measure.worst errors; Case = $"{path.Name} at t = {time}, s = {s}, {says.Name}" }
                } }

    let byItself =
        { Name = "autoguidance-by-itself"
          Section = section
          Statement = "a model guided by itself is itself at every scale, also where the weaker one says something else"
          Reference = "Karras et al. 2024, Guiding a diffusion model with a bad version of itself, eq. 5"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with
                    Autoguided =
                        fun g weaker model -> Guidance.autoguided g { weaker with Prediction = model.Prediction } model })
            <| fun f ->
                gen {
                    let! m, path, time, x, labels = classed
                    let! s = Draw.between -1.0 6.0
                    let! says = prediction
                    let! other = prediction
                    let t = Measure.at time
                    let model = Mixture.model path says m
                    let guided = f.Autoguided (Guidance.scaled s) (Mixture.model path other m) model

                    return
                        { Error = Measure.apart (score guided labels t x) (score model labels t x)
                          Case = $"{path.Name} at t = {time}, s = {s}, {says.Name} by {other.Name}" }
                } }

    let composition =
        { Name = "composed-score"
          Section = section
          Statement =
            "the composed score is ∇[log p_t(x) + Σ wᵢ (log p_t(x | cᵢ) − log p_t(x))], wᵢ < 0 for what is negated"
          Reference = "Liu et al. 2022, Compositional visual generation, eq. 11 and 13"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 60
          Check =
            Check.against (fun library ->
                { library with
                    Composed = fun terms -> Guidance.composed (terms |> List.map (fun (w, labels) -> abs w, labels)) })
            <| fun f ->
                gen {
                    let! m, path, time, x, labels = classed
                    let! w = Draw.between 0.2 3.0
                    let! w' = Draw.between -2.0 -0.2
                    let t = Measure.at time
                    let others = labels |> List.map (fun label -> 1 - label)
                    let composed =
                        f.Composed [ w, some labels; w', some others ] (Mixture.model path Prediction.score m).Network
                    let all x = Mixture.logDensity path m t x

                    let density x =
                        all x + w * (logOfClass path m t x labels - all x) + w' * (logOfClass path m t x others - all x)

                    return
                        { Error = Measure.apart (composed t x) (gradient density x)
                          Case = $"{path.Name} at t = {time}, weights {w} and {w'}" }
                } }

    let compositionOfGaussians =
        { Name = "composition-of-gaussians"
          Section = section
          Statement =
            "Σ wᵢ = 1 on Gaussians of one covariance: the composition walks the path of the law ∝ Π p(x | cᵢ)^wᵢ, N(Σ wᵢ mᵢ, C)"
          Reference = "precisions and means of a product of Gaussians; Liu et al. 2022, eq. 11"
          Tolerance = 1e-10 // conversions divide by determinants down to 1e-2, densities are of order 1
          Cases = 40
          Check =
            Check.against (fun library ->
                { library with Composed = fun terms -> Guidance.composed (List.truncate 1 terms) })
            <| fun f ->
                gen {
                    let! m = Draw.mixture
                    let d = m.Dimension
                    let! k = Gen.choose (2, 3)
                    let! r = Draw.rng
                    let covariance = (Mixture.covariances m)[0]
                    let means = Draw.vectors r "means" [ k; d ]
                    let covariances = Tensor.stack 0 (List.replicate k covariance)
                    let same = Mixture.ofCovariances (Array.create k 1.0) means covariances
                    let! w = Gen.listOfLength (k - 1) (Draw.between -1.5 2.5)
                    let weights = (1.0 - List.sum w) :: w
                    let! path = Draw.path
                    let! time = Draw.time
                    let t = Measure.at time
                    let x = Draw.vectors r "x" [ 4; d ]
                    let terms = weights |> List.mapi (fun c w -> w, some (List.replicate 4 c))
                    let composed = f.Composed terms (Mixture.model path Prediction.score same).Network

                    let mean = weights |> List.mapi (fun c w -> w * means[c]) |> List.reduce (+)
                    let product = Mixture.gaussian mean covariance

                    return
                        { Error = Measure.apart (composed t x) (Mixture.score path product t x)
                          Case = $"{path.Name} at t = {time}, weights %A{weights}" }
                } }

    let all = [ guidedScore; everyPrediction; byClassifier; byItself; composition; compositionOfGaussians ]
