namespace Fokker

/// What an option's word stands for: a part by its name, with numbers. Each raises RefusedException, with the nearest names, where there is nothing of that name.
[<RequireQualifiedAccess>]
module Lookup =

    let path: string -> GaussianPath = Catalogue.paths.Find
    let prediction: string -> Prediction = Catalogue.predictions.Find
    let loss: string -> LossEntry = Catalogue.losses.Find
    let weight: string -> Weight = Catalogue.weights.Find
    let times: string -> Times = Catalogue.times.Find
    let coupling: string -> Coupling = Catalogue.couplings.Find
    let preconditioning: string -> (GaussianPath -> Preconditioning) option = Catalogue.preconditionings.Find
    let sampler: string -> Sampler = Catalogue.samplers.Find
    let steering: string -> SteeringMethod = Catalogue.steerings.Find

    /// A grid by name, or by the file of its own numbers: `file:levels.npy` (σ/α), `times:FILE` (t) or `timesteps:FILE` (of a thousand, numbered from 0).
    let gridAmong (known: Known) (text: string) : Grid =
        let kinds: (string * (string -> string -> float list -> Grid)) list =
            [ "file:", Grid.ofLevels; "times:", Grid.ofTimes; "timesteps:", Grid.ofTimesteps 1000 ]

        match kinds |> List.tryFind (fun (prefix, _) -> text.StartsWith(prefix, System.StringComparison.Ordinal)) with
        | None -> known.Grids.Find text
        | Some(prefix, make) ->
            let numbers =
                Scope.run (fun () ->
                    let x = Npy.read (text.Substring prefix.Length)

                    if x.Rank <> 1 then
                        refuse Setting.Grid text $"a file of one row of numbers is expected, this is {x.Describe()}"

                    Tensor.toFloats (x.To Dtype.Float64) |> List.ofArray)

            try
                make text "" numbers
            with :? System.ArgumentException as e ->
                refuse Setting.Grid text $"{Refusal.reason e}"

    let grid: string -> Grid = gridAmong Known.standard
    let trace: string -> Trace = Catalogue.traces.Find

    let dtype: string -> Dtype =
        Names.choose Setting.Dtype "element type" "element types" Dtype.name [ Dtype.Float32; Dtype.Float64 ]
