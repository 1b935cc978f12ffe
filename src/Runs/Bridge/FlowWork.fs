namespace Fokker.Bridge

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
        (
            subject: Subject,
            drawing: Drawing,
            trace: string | null,
            probes: Nullable<int>,
            closedForm: bool,
            seed: int64,
            x: Tensor,
            labels: int[] | null
        ) : FoundDensities =
        let rng = Rng.ofSeed seed |> Rng.named "likelihood"

        let way, time =
            match subject.Origin with
            | Exact(_, mixture) when closedForm -> ClosedForm(Densities.law subject drawing.Label mixture), 0.0
            | _ ->
                let following = Following.make "a likelihood" subject drawing None
                let trace = Densities.trace subject (Option.ofObj trace) (toOption probes)
                Densities.alongFlow following trace drawing.Label, following.Plan.Span.Clean

        let x = if Samples.areBytes subject.Data then Likelihood.dequantized rng x else x
        let tick _ _ = ()
        let found = Densities.find subject way time drawing.Batch rng tick (x, Option.ofObj labels)
        let estimate = Measure.overDraws found.Nats.Length (fun k -> found.Nats[k])

        { Nats = found.Nats
          ProbeErrors = found.ProbeErrors
          Evaluations = found.Evaluations
          BitsPerDimension = Likelihood.bitsPerDimension (List.fold (*) 1 subject.Data.Shape) estimate.Mean
          Mean = estimate.Mean
          StandardError = estimate.StandardError }

    /// From samples in the data's units to the standard normal numbers that the flow makes them of.
    static member Encode(subject: Subject, drawing: Drawing, x: Tensor, labels: int[] | null) : Tensor =
        let following = Following.make "an encoding" subject drawing None

        Scope.run (fun () ->
            let inside = Units.toNetwork subject.Data.Units x
            let tick _ _ = ()
            let carried = Following.carryAll following true drawing.Batch tick (Option.ofObj labels) inside
            carried.X * (1.0 / Following.noiseScale following))

    /// The inverse of `Encode`.
    static member Decode(subject: Subject, drawing: Drawing, z: Tensor, labels: int[] | null) : Tensor =
        let following = Following.make "a decoding" subject drawing None

        Scope.run (fun () ->
            let tick _ _ = ()
            let noisy = z * Following.noiseScale following
            let carried = Following.carryAll following false drawing.Batch tick (Option.ofObj labels) noisy
            Units.toData subject.Data.Units carried.X)

    /// Between latents, on the straight way or on the sphere.
    static member Between(spherical: bool, share: float, a: Tensor, b: Tensor) : Tensor =
        if spherical then Latents.spherical share a b else Latents.linear share a b
