namespace Fokker.Experiments

open System
open Fokker

/// How samples are drawn from a trained model.
type Drawing =
    {
        Steps: int
        /// Samples that go through the network at once; the draws do not depend on it.
        Batch: int
        /// The class of every sample; where there is none they take turns.
        Label: int option
    }

/// Samples of a run, always in the data's own units.
module Samples =

    let standardFor (data: Dataset) : Drawing =
        if data.IsImage then
            { Steps = 10; Batch = 100; Label = None }
        else
            { Steps = 25; Batch = 4096; Label = None }

    /// The classes that samples `first` … `first + n − 1` are of; none for a network that is not told.
    let labels (job: Job) (drawing: Drawing) (first: int) (n: int) : int[] option =
        if job.Recipe.Labels then
            let classes = job.Data.Classes.Length
            Some(Array.init n (fun i -> drawing.Label |> Option.defaultValue ((first + i) % classes)))
        else
            None

    /// Whatever the network works in, as float64 on the CPU in the data's units.
    let outside (job: Job) (x: Tensor) : Tensor = Dataset.inData job.Data ((x.To Device.Cpu).To Dtype.Float64)

    /// Heun's method from noise to data: x at the last time, and whatever `seen` makes of each state on the way.
    let private integrate
        (velocity: Field)
        (low: float, high: float)
        (steps: int)
        (seen: int -> float -> Tensor -> unit)
        (x: Tensor)
        =
        let time k = high + (low - high) * float k / float steps
        let at t = Tensor.scalar Kind.Float64 t
        seen 0 1.0 x

        let advance (x: Tensor) k =
            Scope.run (fun () ->
                let t, t' = time k, time (k + 1)
                let h = t' - t
                let v = velocity (at t) x
                let guess = x + h * v
                let x' = x + (0.5 * h) * (v + velocity (at t') guess)
                seen (k + 1) t' x'
                x')

        Seq.fold advance x (seq { 0 .. steps - 1 })

    /// Samples `first` … `first + n − 1` of a key, [n; …] in the network's units; `seen` hears of every state on the way.
    let chunk (job: Job) (parameters: Tensor[]) (drawing: Drawing) (rng: Rng) (first: int) (n: int) seen : Tensor =
        Scope.run (fun () ->
            let condition =
                labels job drawing first n
                |> Option.map (fun labels -> (Tensor.ofArray [ n ] (Array.map int64 labels)).To job.Kind.Device)

            let model = Loss.model job.Regression (job.Network.Apply parameters)
            let noise = Rng.normal job.Kind (n :: job.Data.Shape) (Rng.rows (int64 first) rng)
            integrate (Model.velocity model condition) job.Regression.Path.Interior drawing.Steps seen noise)

    /// n samples [n; …], float64 on the CPU in the data's units.
    let draw (job: Job) (parameters: Tensor[]) (drawing: Drawing) (rng: Rng) (n: int) (report: Ticker) : Tensor =
        let pieces =
            [ for first in 0 .. drawing.Batch .. n - 1 do
                  let size = min drawing.Batch (n - first)

                  let seen k _ _ = report ((float first + float size * float k / float drawing.Steps) / float n) ""

                  Scope.run (fun () -> outside job (chunk job parameters drawing rng first size seen)) ]

        Scope.run (fun () -> Tensor.cat 0 pieces)

    /// Whether the data are pixels of a byte each, as the common image files have them.
    let private areBytes (data: Dataset) =
        data.IsImage && data.Units.Shift = [| 127.5 |] && data.Units.Scale = [| 127.5 |]

    /// Samples as a file is to hold them: bytes where the data are bytes, float32 elsewhere.
    let forFile (data: Dataset) (x: Tensor) : Tensor =
        if areBytes data then
            (Tensor.round (Tensor.clamp 0.0 255.0 x)).To Dtype.UInt8
        else
            x.To Dtype.Float32
