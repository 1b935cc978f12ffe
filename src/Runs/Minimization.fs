namespace Fokker

open System

/// How an energy is to be minimized. Anything that is left out gets a default.
[<NoComparison; NoEquality>]
type MinimizationRequest =
    {
        /// Where to begin, in the data's units; draws of N(0, I) where nothing is given.
        Start: GivenArray option
        Count: int option
        Class: string option
        /// Steps of the descent.
        Steps: int option
        /// η.
        Rate: float option
        /// μ, the share of a step that the next one keeps.
        Momentum: float option
        Seed: int64
    }

/// Minima of an energy: x and the energy there and at the beginning, in the network's units of length.
[<NoComparison; NoEquality>]
type Minima =
    {
        /// [n; …] float64 in the data's units.
        X: Tensor
        /// E at the beginning, and at X, [n].
        Before: float[]
        After: float[]
        /// ‖∇E‖ at X, [n].
        Slope: float[]
        Steps: int
    }

[<RequireQualifiedAccess>]
module MinimizationRequest =

    /// Nothing asked for.
    let standard: MinimizationRequest =
        { Start = None; Count = None; Class = None; Steps = None; Rate = None; Momentum = None; Seed = 0L }

/// Inference with an energy: x that minimizes E(x), by descent from given or random points.
[<RequireQualifiedAccess>]
module Minimization =

    /// −E and its slope in the network's units, of what has an energy: one without time, one of time where its noise is a tenth of the data, −log p of an exact law. Raises RefusedException elsewhere.
    let target (model: GenerativeModel) (condition: Condition) : Unnormalized =
        match model.Dynamics, model.Origin with
        | Landscape energy, _ -> Energy.target model.Kind energy condition 1.0
        | Denoising _, Origin.Trained { Output = NetworkOutput.Potential prediction; Network = network; Parameters = p } ->
            let potential = network.Apply p condition
            let energy = EnergyNetwork.energy model.Path prediction potential
            // Where the noise is a tenth of the data: nearer to them the energy is as steep as 1/σ, and no descent has steps for it.
            let t = Tensor.scalar Kind.Float64 (Path.timeOfLambda model.Path (Math.Log 10.0))
            Langevin.ofEnergy (fun x -> (energy t (x.To model.Kind.Dtype)).To x.Dtype)
        | Denoising _, Origin.Exact(_, mixture) -> Langevin.ofEnergy (fun x -> -(Mixture.logDensityOfData mixture x))
        | _ ->
            refuseWith
                Setting.Model
                model.Name
                $"it has no energy to minimize"
                $"take one trained by persistent, contrastive, equilibrium or energy-dsm"

    /// The minima that are asked for; a class is a number. Raises RefusedException where the request cannot be met.
    let find (model: GenerativeModel) (request: MinimizationRequest) (report: Ticker) : Minima =
        let positive (setting: Setting) (value: float option) =
            match value with
            | Some v when not (v > 0.0 && Double.IsFinite v) -> refuse setting v $"expected a positive number"
            | _ -> ()

        let rate, momentum = defaultArg request.Rate 0.01, defaultArg request.Momentum 0.9
        let steps = defaultArg request.Steps 500
        positive (Setting(nameof request.Rate)) request.Rate

        if not (momentum >= 0.0 && momentum < 1.0) then
            refuse (Setting(nameof request.Momentum)) momentum $"expected a number from 0 to below 1"

        if steps < 1 then
            refuse Setting.Steps steps $"expected a whole number of at least 1"

        match request.Count, request.Start with
        | Some n, _ when n < 1 -> refuse Setting.Count n $"expected a whole number of at least 1"
        | Some n, Some _ ->
            refuse Setting.Count n $"{Setting.Start} says how many points there are: leave one of the two out"
        | _ -> ()

        Scope.run (fun () ->
            let x =
                match request.Start with
                | Some given -> (GenerativeModel.inside model given.Values).To model.Kind.Device
                | None ->
                    let n = defaultArg request.Count (if model.IsImage then 16 else 1000)
                    let rng = Rng.ofSeed request.Seed |> Rng.named "minimize"
                    Rng.normal (Kind.Float64.On model.Kind.Device) (n :: model.StateShape) rng

            let n = x.Shape[0]

            let labels =
                match request.Class |> Option.map (GenerativeModel.label model) with
                | Some label -> Some(Array.create n label)
                | None when model.Labels -> Some(Array.init n (fun i -> i % model.Classes.Length))
                | None -> None

            let target = target model (Samples.condition model labels)
            let struct (before, _) = target x

            let step (struct (x: Tensor, v: Tensor)) k =
                Scope.run (fun () ->
                    report (float k / float steps) ""
                    EnergySamplers.descend target rate momentum x v)

            let struct (x, _) = Seq.fold step (struct (x, Tensor.zerosLike x)) (seq { 1..steps })
            let struct (after, score) = target x

            if not ((Tensor.all (Tensor.isFinite after)).ToBool()) then
                refuse (Setting(nameof request.Rate)) rate $"the descent left every bound: take a smaller one"

            { X = GenerativeModel.outside model x
              Before = Tensor.toFloats -before
              After = Tensor.toFloats -after
              Slope = Tensor.toFloats (Tensor.sqrt (Tensor.sumRows (Tensor.square score)))
              Steps = steps })
