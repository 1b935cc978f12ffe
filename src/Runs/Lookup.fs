namespace Fokker

/// What a request's words stand for beside the parts of `Catalogue`. Each raises RefusedException, with the nearest names, where there is nothing of that name.
[<RequireQualifiedAccess>]
module Lookup =

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

    /// What a network computes in: `bfloat16` is the layers' alone, over parameters and states in float32.
    let arithmetic: string -> Dtype =
        Names.choose
            Setting.Dtype
            "element type"
            "element types"
            Dtype.name
            [ Dtype.Float32; Dtype.Float64; Dtype.BFloat16 ]

    /// What the parameters of such a network are kept in.
    let kept (arithmetic: Dtype) : Dtype = if arithmetic = Dtype.BFloat16 then Dtype.Float32 else arithmetic
