namespace Fokker

/// What an option's word stands for. Each raises UserError, with the nearest names, where there is nothing of that name.
[<RequireQualifiedAccess>]
module Lookup =

    /// A path of the caller's own, or one of the library's.
    let pathAmong (own: GaussianPath list) : string -> GaussianPath =
        Names.choose Setting.Path "path" "paths" (fun (p: GaussianPath) -> p.Name) (own @ Catalogue.paths)

    let path: string -> GaussianPath = pathAmong []

    let prediction: string -> Prediction =
        Names.choose Setting.Prediction "prediction" "predictions" (fun (p: Prediction) -> p.Name) Prediction.all

    let loss: string -> LossEntry =
        Names.choose
            Setting.Loss
            "loss"
            "losses"
            (fun (l: LossEntry) -> l.Name)
            (Objectives.all @ [ Objectives.classifier ])

    let weight: string -> Weight =
        Names.choose Setting.Weight "weight" "weights" (fun (w: Weight) -> w.Name) Weight.all

    let times: string -> Times =
        Names.choose Setting.Times "law of times" "laws of times" (fun (t: Times) -> t.Name) Catalogue.times

    let coupling: string -> Coupling =
        Names.choose Setting.Coupling "coupling" "couplings" (fun (c: Coupling) -> c.Name) Coupling.all

    let preconditioning (name: string) : GaussianPath -> Preconditioning =
        let _, _, make =
            Names.choose
                Setting.Preconditioning
                "preconditioning"
                "preconditionings"
                (fun (name, _, _) -> name)
                Preconditioning.all
                name

        make

    let sampler: string -> Sampler =
        Names.choose Setting.Solver "sampler" "samplers" (fun (s: Sampler) -> s.Name) Samplers.all

    /// A sampler with the number that it leaves open. Raises UserError where it has none of that name, or the value means nothing.
    let samplerWith (option: string) (value: float) (sampler: Sampler) : Sampler =
        match sampler.Parameter with
        | Some(name, make) when name = option ->
            try
                make value
            with :? System.ArgumentException as e ->
                raise (UserError $"--{option} {value}: {Refusal.reason e}")
        | _ ->
            let those =
                Samplers.all
                |> List.filter (fun s -> Option.map fst s.Parameter = Some option)
                |> List.map (fun s -> s.Name)

            raise (
                UserError $"--{option} {value}: {sampler.Name} has no such number; it goes with {Names.either those}"
            )

    let grid: string -> Grid = Names.choose Setting.Grid "grid" "grids" (fun (g: Grid) -> g.Name) Grid.all

    let trace: string -> Trace = Names.choose Setting.Trace "trace" "traces" (fun (t: Trace) -> t.Name) Trace.all

    let dtype: string -> Dtype =
        Names.choose Setting.Dtype "element type" "element types" Dtype.name [ Dtype.Float32; Dtype.Float64 ]
