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
    /// It knows an energy without time: samples are of chains, or where descent ends.
    | Landscape of Energy
    /// It knows the rates of jumps, of tokens or on the line.
    | Jumping of JumpProcess

[<RequireQualifiedAccess>]
module Dynamics =

    /// What is followed by steps: a map of two times as its velocity u((t, t), x), which is that of the flow on its path, and everything else as it is. A map to the data
    /// alone knows no velocity, and stays.
    let following (dynamics: Dynamics) : Dynamics =
        match dynamics with
        | Mapping({ Domain = Between _ } as map) ->
            Denoising(Model.make map.Path Prediction.velocity (map.Map >> FlowMap.velocityOf))
        | _ -> dynamics

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
        | Landscape energy ->
            let network (condition: Condition) : Field = let at = energy.Potential condition in fun _ x -> at x
            Landscape(Energy.ofNetwork energy.IsLaw (on network))
        | Jumping jumps -> Jumping { jumps with Network = on jumps.Network }
