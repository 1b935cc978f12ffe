namespace Fokker

/// Pairs of noise and of what a model's flow makes of it: the coupling of a rectified flow of the next round (Liu, Gong, Liu 2023, Flow straight and fast, algorithm 1).
[<RequireQualifiedAccess>]
module Reflow =

    /// The batch with each sample replaced by what the model makes of a drawn noise, of the sample's class, and that noise beside it. `plan` says by which steps.
    let pair (plan: SamplingPlan) (path: GaussianPath) (dynamics: Dynamics) (rng: Rng) (batch: Batch) : Batch =
        let x0 = batch.Data
        let unit = Rng.normalLike x0 (Rng.named "source" rng)
        let noisy = Array.head (Sampling.times plan path)

        let made =
            Scope.run (fun () ->
                let start = Curve.eval path.Sigma noisy * unit.To(Dtype.Float64)
                let mutable last = start

                for result in
                    Generation.states plan path dynamics batch.Label (Noise.fresh (Rng.named "draws" rng)) start do
                    match result with
                    | Ok state -> last <- state.X
                    | Error failure -> raise (UserError $"the model whose pairs are learned failed at {failure}")

                last.To(x0.Kind))

        { Data = made; Label = batch.Label; Source = Some unit }

    /// A table of so many pairs, made once, `size` of them at a time, and the batch of a key drawn from it: of its classes too, where the network is told them. However many are made at a time, a pair is what it
    /// would be by itself.
    let table
        (make: Rng -> Batch -> Batch)
        (draw: Rng -> int -> Batch)
        (size: int)
        (count: int)
        (rng: Rng)
        : Rng -> Batch -> Batch =
        let madeOf (whole: Batch) (first: int) =
            let own = min size (count - first)
            let rows = Tensor.narrow 0 first own

            make
                (Rng.share first own count (Rng.named "pairs" rng))
                { Data = rows whole.Data; Label = Option.map rows whole.Label; Source = None }

        let rows =
            lazy
                (Scope.outside (fun () ->
                    Scope.run (fun () ->
                        let whole = draw (Rng.named "classes" rng) count
                        let made = [ for first in 0..size .. count - 1 -> madeOf whole first ]
                        let all (part: Batch -> Tensor) = Tensor.cat 0 (List.map part made)
                        struct (all _.Data, whole.Label, all _.Source.Value))))

        fun rng batch ->
            let struct (data, label, source) = rows.Value
            let n = batch.Data.Shape[0]
            let index = Rng.integers (int64 count) [ n ] (Rng.named "rows" rng)
            let pick (x: Tensor) = Tensor.indexSelect 0 (index.To x.Device) x

            { Data = pick data
              Label = batch.Label |> Option.bind (fun _ -> Option.map pick label)
              Source = Some(pick source) }
