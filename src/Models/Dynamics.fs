namespace Fokker

/// What is known of the way from noise to data: by a network that was trained, or exactly.
[<NoComparison; NoEquality>]
type Dynamics =
    /// It knows the score: every sampler applies.
    | Denoising of Model
    /// It knows a velocity, and the score only where z was learned too.
    | Transport of Flow
    /// It knows where the flow leads: one evaluation covers many steps of a solver.
    | Mapping of FlowMap

[<RequireQualifiedAccess>]
module Dynamics =

    /// What was learned, with every network of it replaced.
    let map (on: (Condition -> Field) -> Condition -> Field) (dynamics: Dynamics) : Dynamics =
        match dynamics with
        | Denoising model -> Denoising(Model.withNetwork (on model.Network) model)
        | Transport flow ->
            Transport
                { flow with
                    Velocity = on flow.Velocity
                    Noise = flow.Noise |> Option.map (fun (noise, g2) -> on noise, g2) }
        | Mapping map -> Mapping { map with Map = on map.Map }
