namespace Fokker

/// What an option's word stands for: a part by its name, with numbers. Each raises RefusedException, with the nearest names, where there is nothing of that name.
[<RequireQualifiedAccess>]
module Lookup =

    /// A path of the caller's own, or one of the library's.
    let pathAmong (own: GaussianPath list) (name: PartName) : GaussianPath =
        { Catalogue.paths with Parts = List.map Part.fixedAt own @ Catalogue.paths.Parts }.Make name

    let path: string -> GaussianPath = Catalogue.paths.Find
    let prediction: string -> Prediction = Catalogue.predictions.Find
    let loss: string -> LossEntry = Catalogue.losses.Find
    let weight: string -> Weight = Catalogue.weights.Find
    let times: string -> Times = Catalogue.times.Find
    let coupling: string -> Coupling = Catalogue.couplings.Find
    let preconditioning: string -> (GaussianPath -> Preconditioning) option = Catalogue.preconditionings.Find
    let sampler: string -> Sampler = Catalogue.samplers.Find
    let grid: string -> Grid = Catalogue.grids.Find
    let trace: string -> Trace = Catalogue.traces.Find

    let dtype: string -> Dtype =
        Names.choose Setting.Dtype "element type" "element types" Dtype.name [ Dtype.Float32; Dtype.Float64 ]
