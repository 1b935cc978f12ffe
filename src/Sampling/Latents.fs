namespace Fokker

open System

/// The steps in which a flow is followed.
type Control =
    /// From each of the times given to the next.
    | Fixed
    /// As long as the tolerance allows, from the first of the times to the last, for each sample by itself.
    | Adaptive of Tolerance

/// Where a flow took some samples.
[<NoComparison; NoEquality>]
type Carried =
    {
        /// [B; …], float64.
        X: Tensor
        /// Evaluations of the field for each sample.
        Evaluations: int[]
    }

/// Data and noise as two ends of a flow: what is encoded is carried up to the noise, what is decoded comes down again, and the two are each
/// other's inverse but for the solver's error (Song et al. 2021, Score-based generative modeling through SDEs, section 4.3).
[<RequireQualifiedAccess>]
module Latents =

    /// x [B; …] along dx/dt = v from the first of the times to the last, which rise or fall. `fieldOf` gives the field of some of the samples
    /// by their places, since those that are done leave the batch; `norm` is how adaptive steps measure a sample.
    let carryBy
        (norm: Tensor -> Tensor)
        (control: Control)
        (tableau: Tableau)
        (fieldOf: int[] -> Field)
        (times: float[])
        (x: Tensor)
        : Result<Carried, Failure> =
        Scope.run (fun () ->
            let n = x.Shape[0]

            match control with
            | Fixed ->
                let step = Integrator.rungeKutta tableau { Velocity = fieldOf [| 0 .. n - 1 |] }

                Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) times x
                |> Result.map (fun state -> { X = state.X; Evaluations = Array.create n state.Evaluations })
            | Adaptive tolerance ->
                Adaptive.runRowsBy norm tolerance tableau fieldOf [| times[0]; times[times.Length - 1] |] x
                |> Result.map (fun solution -> { X = solution.Final; Evaluations = solution.Evaluations }))

    /// Labels of some of the samples.
    let ofRows (condition: Condition) (rows: int[]) : Condition =
        condition
        |> Option.map (fun labels ->
            if rows.Length = labels.Shape[0] then
                labels
            else
                Tensor.indexSelect 0 ((Tensor.ofArray [ rows.Length ] (Array.map int64 rows)).To labels.Device) labels)

    /// The same for a flow that takes labels: none, or B of them.
    let carry
        (control: Control)
        (tableau: Tableau)
        (flow: Condition -> Ode)
        (condition: Condition)
        (times: float[])
        (x: Tensor)
        : Result<Carried, Failure> =
        let fieldOf rows = (flow (ofRows condition rows)).Velocity
        carryBy Adaptive.rootMeanSquare control tableau fieldOf times x

    /// a + w (b − a), sample by sample.
    let linear (w: float) (a: Tensor) (b: Tensor) : Tensor = (1.0 - w) * a + w * b

    /// The direction along the great circle from that of a to that of b, the length even between theirs, sample by sample:
    /// (sin((1 − w) ω) a/‖a‖ + sin(w ω) b/‖b‖)/sin ω · ((1 − w) ‖a‖ + w ‖b‖) with ω the angle between them; straight where they are parallel. Between two
    /// draws of N(0, I) in many dimensions it keeps to the shell where such draws lie, which the straight line leaves (Shoemake 1985; White 2016,
    /// Sampling generative networks, section 2.1, who interpolates the vectors themselves: of unequal length and nearly opposite, they go far off).
    let spherical (w: float) (a: Tensor) (b: Tensor) : Tensor =
        let dot x y = Tensor.sumRows (Tensor.flattenRows (x * y))
        let lengthA, lengthB = sqrt (dot a a), sqrt (dot b b)
        let floats = Tensor.toFloats

        let weights =
            Array.map3
                (fun product (lengthA: float) (lengthB: float) ->
                    let angle = Math.Acos(Math.Clamp(product / (lengthA * lengthB), -1.0, 1.0))

                    // Also where one of them is 0 and has no direction.
                    if not (Math.Sin angle > 1e-6) then
                        struct (1.0 - w, w)
                    else
                        let length = ((1.0 - w) * lengthA + w * lengthB) / Math.Sin angle
                        struct (Math.Sin((1.0 - w) * angle) * length / lengthA, Math.Sin(w * angle) * length / lengthB))
                (floats (dot a b))
                (floats lengthA)
                (floats lengthB)

        let by (part: struct (float * float) -> float) (x: Tensor) =
            Tensor.perSample x (Tensor.ofArray [ weights.Length ] (Array.map part weights)) * x

        by (fun (struct (u, _)) -> u) a + by (fun (struct (_, u)) -> u) b
