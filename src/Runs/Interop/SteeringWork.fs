namespace Fokker.Interop

open System
open Fokker

/// Steering as it is asked for.
[<AbstractClass; Sealed>]
type internal SteeringWork =

    static member Operator(f: Func<Tensor, Tensor>, isLinear: bool) : Operator =
        if isLinear then Operator.Linear f.Invoke else Operator.Nonlinear f.Invoke

    static member Reward(f: Func<Tensor, Tensor>) : Reward = Reward.ofFunction "the reward" f.Invoke

    static member Reward(reward: Reward | null) : RewardChoice option =
        Option.ofObj reward |> Option.map RewardChoice.Known

    static member Request
        (
            observation: Observation | null,
            observed: Tensor | null,
            reward: Reward | null,
            tilt: Nullable<float>,
            method: SteeringMethod | null,
            particles: Nullable<int>,
            exact: bool,
            lookAhead: GenerativeModel | null
        ) : SteeringRequest =
        { Observation = Option.ofObj observation
          Observed = Maybe.Array observed
          Reward = SteeringWork.Reward reward
          Tilt = toOption tilt
          Method = Option.ofObj method
          Particles = toOption particles
          Exact = exact
          LookAhead = Maybe.Loaded lookAhead }

    /// Rows with NaN in their empty cells, each completed so often.
    static member Complete(model: GenerativeModel, request: SamplingRequest, rows: Tensor, count: int) : Tensor =
        Imputation.complete model request { Name = "rows"; Values = rows } count (fun _ _ -> ())
