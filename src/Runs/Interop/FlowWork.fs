namespace Fokker.Interop

open System
open Fokker

/// Log-densities and what they cost.
type internal FoundDensities =
    {
        Nats: float[]
        /// Of the divergence's probes, each sample's; empty where there are none.
        ProbeErrors: float[]
        /// Of the network, each sample's; empty for a closed form.
        Evaluations: int[]
        BitsPerDimension: float
        Mean: float
        StandardError: float
    }

/// Along the flow: densities, and latents and back.
[<AbstractClass; Sealed>]
type internal FlowWork =

    /// log p of samples x [n; …] float64 in the data's units. Whole numbers of pixels are dequantized, as the command line does.
    static member LogDensity
        (model: GenerativeModel, request: DensityRequest, seed: int64, x: Tensor, labels: int[] | null)
        : FoundDensities =
        let rng = Rng.ofSeed seed |> Rng.named "likelihood"
        let task = Validation.densities model request
        let x = if Units.arePixels model.Shape model.Units then Likelihood.dequantized rng x else x
        let tick _ _ = ()
        let found = Densities.find task.Model task.Way task.Time task.Batch rng tick task.Given (x, Option.ofObj labels)
        let estimate = Measure.overDraws found.Nats.Length (fun k -> found.Nats[k])

        { Nats = found.Nats
          ProbeErrors = found.ProbeErrors
          Evaluations = found.Evaluations
          BitsPerDimension = Likelihood.bitsPerDimension model.Dimension estimate.Mean
          Mean = estimate.Mean
          StandardError = estimate.StandardError }

    /// From samples in the data's units to what the flow makes them of: `FlowPlan.latents`.
    static member Encode(model: GenerativeModel, request: GenerationRequest, x: Tensor, labels: int[] | null) : Tensor =
        let struct (flow, batch) = Validation.flow "an encoding" model request

        Scope.run (fun () ->
            let inside = GenerativeModel.inside model x
            let tick _ _ = ()
            let carried = FlowPlan.carryAll flow true batch tick (Option.ofObj labels) inside
            FlowPlan.latents flow carried.X)

    /// The inverse of `Encode`.
    static member Decode(model: GenerativeModel, request: GenerationRequest, z: Tensor, labels: int[] | null) : Tensor =
        let struct (flow, batch) = Validation.flow "a decoding" model request

        Scope.run (fun () ->
            let tick _ _ = ()
            let noisy = FlowPlan.ofLatents flow z
            let carried = FlowPlan.carryAll flow false batch tick (Option.ofObj labels) noisy
            GenerativeModel.outside model carried.X)

    /// Between latents of a model, on the straight way or on the sphere around what is 0 to its network.
    static member Between(model: GenerativeModel, spherical: bool, share: float, a: Tensor, b: Tensor) : Tensor =
        Scope.run (fun () ->
            let units = model.Source |> Option.map _.Units |> Option.defaultValue Units.Same
            let mix = if spherical then Latents.spherical else Latents.linear
            mix share (Units.toNetwork units a) (Units.toNetwork units b) |> Units.toData units)

    /// Minima of an energy, from points or from random ones; `cancel` raises where somebody has had enough.
    static member Minimize
        (
            model: GenerativeModel,
            start: Tensor | null,
            count: Nullable<int>,
            label: Nullable<int>,
            steps: Nullable<int>,
            rate: Nullable<float>,
            momentum: Nullable<float>,
            seed: int64,
            cancel: Action
        ) : Minima =
        Minimization.find
            model
            { Start = Maybe.Array start
              Count = toOption count
              Class = Maybe.Class label
              Steps = toOption steps
              Rate = toOption rate
              Momentum = toOption momentum
              Seed = seed }
            (fun _ _ -> cancel.Invoke())
