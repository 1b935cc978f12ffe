namespace Fokker.Experiments

open Fokker

/// What an option's word stands for. Each raises UserError, with the nearest names, where there is nothing of that name.
[<RequireQualifiedAccess>]
module Lookup =

    let path: string -> GaussianPath =
        Names.find "--path" "path" "paths" (fun (p: GaussianPath) -> p.Name) Catalogue.paths

    let prediction: string -> Prediction =
        Names.find "--prediction" "prediction" "predictions" (fun (p: Prediction) -> p.Name) Prediction.all

    let sampler: string -> Sampler =
        Names.find "--solver" "sampler" "samplers" (fun (s: Sampler) -> s.Name) Samplers.all

    let grid: string -> Grid = Names.find "--grid" "grid" "grids" (fun (g: Grid) -> g.Name) Grid.all

    let trace: string -> Trace = Names.find "--trace" "trace" "traces" (fun (t: Trace) -> t.Name) Trace.all

    let dtype: string -> Dtype =
        Names.find "--dtype" "element type" "element types" Dtype.name [ Dtype.Float32; Dtype.Float64 ]
