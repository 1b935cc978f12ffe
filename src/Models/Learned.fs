namespace Fokker

/// What a trained network is for.
[<NoComparison; NoEquality>]
type Learned =
    /// It knows the score: every sampler applies.
    | Denoising of Model
    /// It knows a velocity, and the score only where z was learned too.
    | Transport of Flow
    /// It knows where the flow leads: one evaluation covers many steps of a solver.
    | Mapping of FlowMap

[<RequireQualifiedAccess>]
module Learned =

    /// What was learned, with every network of it replaced.
    let map (on: (Condition -> Field) -> Condition -> Field) (learned: Learned) : Learned =
        match learned with
        | Denoising model -> Denoising(Model.withNetwork (on model.Network) model)
        | Transport flow ->
            Transport
                { flow with
                    Velocity = on flow.Velocity
                    Noise = flow.Noise |> Option.map (fun (noise, g2) -> on noise, g2) }
        | Mapping map -> Mapping { map with Map = on map.Map }
