namespace Fokker.Experiments

open System
open Fokker

/// How samples are drawn from a trained model.
[<NoComparison; NoEquality>]
type Drawing =
    {
        Sampler: Sampler
        Grid: Grid
        Steps: int
        /// Samples that go through the network at once; the draws do not depend on it.
        Batch: int
        /// The class of every sample; where there is none they take turns.
        Label: int option
    }

/// Samples of a run, always in the data's own units.
module Samples =

    /// Heun's method, which is at the noise floor of two-dimensional laws with ten steps already.
    let standardFor (data: Dataset) : Drawing =
        { Sampler = Samplers.heun
          Grid = Samplers.heun.Grid
          Steps = if data.IsImage then 10 else 25
          Batch = if data.IsImage then 100 else 4096
          Label = None }

    /// The drawing that options ask for. Raises UserError where a name stands for nothing or a number is out of range.
    let choose
        (data: Dataset)
        (sampler: string option)
        (grid: string option)
        (steps: int option)
        (batch: int option)
        : Drawing =
        let standard = standardFor data

        let atLeastOne option value =
            match value with
            | Some n when n < 1 -> raise (UserError $"{option} {n}: expected a whole number of at least 1")
            | value -> value

        let sampler =
            sampler
            |> Option.map (Names.find "--solver" "sampler" "samplers" (fun (s: Sampler) -> s.Name) Samplers.all)
            |> Option.defaultValue standard.Sampler

        { standard with
            Sampler = sampler
            Grid =
                grid
                |> Option.map (Names.find "--grid" "grid" "grids" (fun (g: Grid) -> g.Name) Grid.all)
                |> Option.defaultValue sampler.Grid
            Steps = atLeastOne "--steps" steps |> Option.defaultValue standard.Steps
            Batch = atLeastOne "--batch" batch |> Option.defaultValue standard.Batch }

    /// The classes that samples `first` … `first + n − 1` are of; none for a network that is not told.
    let labels (job: Job) (drawing: Drawing) (first: int) (n: int) : int[] option =
        if job.Recipe.Labels then
            let classes = job.Data.Classes.Length
            Some(Array.init n (fun i -> drawing.Label |> Option.defaultValue ((first + i) % classes)))
        else
            None

    /// Whatever the network works in, as float64 on the CPU in the data's units.
    let outside (job: Job) (x: Tensor) : Tensor = Dataset.inData job.Data ((x.To Device.Cpu).To Dtype.Float64)

    /// Samples `first` … `first + n − 1` of a key, [n; …] in the network's units; `seen` hears of every state on the way.
    /// Raises UserError where the sampler fails, with its remedy.
    let chunk
        (job: Job)
        (parameters: Tensor[])
        (drawing: Drawing)
        (rng: Rng)
        (first: int)
        (n: int)
        (seen: State -> unit)
        : Tensor =
        let rng = Rng.rows (int64 first) rng

        Scope.run (fun () ->
            let condition =
                labels job drawing first n
                |> Option.map (fun labels -> (Tensor.ofArray [ n ] (Array.map int64 labels)).To job.Kind.Device)

            let model = Loss.model job.Regression (job.Network.Apply parameters)

            let plan = { Sampling.plan drawing.Sampler drawing.Steps model with Grid = drawing.Grid; Kind = job.Kind }

            let start = Sampling.start plan job.Regression.Path job.Data.Shape n rng
            let mutable last = start

            for result in Sampling.states plan model condition rng start do
                match result with
                | Error failure -> raise (UserError $"sampling failed at {failure}")
                | Ok state ->
                    seen state
                    last.Dispose()
                    last <- state.X

            last)

    /// n samples [n; …], float64 on the CPU in the data's units.
    let draw (job: Job) (parameters: Tensor[]) (drawing: Drawing) (rng: Rng) (n: int) (report: Ticker) : Tensor =
        let pieces =
            [ for first in 0 .. drawing.Batch .. n - 1 do
                  let size = min drawing.Batch (n - first)

                  let seen (state: State) =
                      report ((float first + float size * float state.Step / float drawing.Steps) / float n) ""

                  Scope.run (fun () -> outside job (chunk job parameters drawing rng first size seen)) ]

        let all = Scope.run (fun () -> Tensor.cat 0 pieces)
        // A single piece may be its own concatenation.
        pieces
        |> List.iter (fun piece ->
            if not (obj.ReferenceEquals(piece, all)) then
                piece.Dispose())
        all

    /// Whether the data are pixels of a byte each, as the common image files have them.
    let private areBytes (data: Dataset) =
        data.IsImage && data.Units.Shift = [| 127.5 |] && data.Units.Scale = [| 127.5 |]

    /// Samples as a file is to hold them: bytes where the data are bytes, float32 elsewhere.
    let forFile (data: Dataset) (x: Tensor) : Tensor =
        if areBytes data then
            (Tensor.round (Tensor.clamp 0.0 255.0 x)).To Dtype.UInt8
        else
            x.To Dtype.Float32
