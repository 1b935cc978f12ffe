namespace Fokker

open System

/// Classes told by a generative model: its densities of a sample under each of them, and Bayes' rule.
[<RequireQualifiedAccess>]
module BayesRule =

    /// The class that is likeliest a posteriori where all are equally likely before: argmax_c log p(x | c), of densities [n][K].
    let likeliest (densities: float[][]) : int[] = densities |> Array.map (fun own -> Array.IndexOf(own, Array.max own))

    /// log p(x | c) [n][K] of samples in the data's units under every class of a model that is told classes, found as its densities are (`Densities.find`). The same probes for all classes.
    /// Raises RefusedException where the model is told none.
    let densities
        (model: GenerativeModel)
        (way: DensityWay)
        (time: float)
        (batch: int)
        (rng: Rng)
        (report: Ticker)
        (x: Tensor)
        : float[][] =
        if not model.Labels then
            refuse
                Setting.Model
                model.Name
                $"its network is told no classes, and has one density for all: take one that was trained with them"

        let n, classes = x.Shape[0], model.Classes.Length

        let ofClass (k: int) =
            let told share note = report ((float k + share) / float classes) note
            (Densities.find model way time batch rng told None (x, Some(Array.create n k))).Nats

        let each = Array.init classes ofClass
        Array.init n (fun i -> Array.init classes (fun k -> each[k][i]))

    /// The share of samples whose class Bayes' rule names rightly, with its standard error.
    let accuracy (densities: float[][]) (labels: int[]) : Estimate =
        Array.map2 (fun named label -> if named = label then 1.0 else 0.0) (likeliest densities) labels
        |> Estimate.ofDraws
