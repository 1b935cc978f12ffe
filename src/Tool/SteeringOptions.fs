namespace Fokker.Tool

open Fokker

/// The options that steer, as they were given.
type SteeringOptions =
    { Observe: string option
      Observed: string option
      Reward: string option
      Tilt: float option
      Steer: string option
      Particles: int option
      Exact: bool
      LookAhead: string option }

[<RequireQualifiedAccess>]
module SteeringOptions =

    let none: SteeringOptions =
        { Observe = None
          Observed = None
          Reward = None
          Tilt = None
          Steer = None
          Particles = None
          Exact = false
          LookAhead = None }

    /// The request that the options make; runs that they name are loaded as the model's own options say.
    let request (choice: ModelChoice) (options: SteeringOptions) (model: GenerativeModel) : SteeringRequest =
        { Observation = options.Observe |> Option.map Observation.read
          Observed = options.Observed |> Option.map DataOption.array
          Reward =
            options.Reward
            |> Option.map (fun file ->
                match RewardFile.read file with
                | RewardFile.Known reward -> RewardChoice.Known reward
                | RewardFile.OfClass(label, "exact") -> RewardChoice.OfClass(label, ClassifierChoice.Own)
                | RewardFile.OfClass(label, run) ->
                    let posterior = ModelChoice.another choice model run ||> ClassPosterior.ofTrained
                    RewardChoice.OfClass(label, ClassifierChoice.Trained posterior))
          Tilt = options.Tilt
          Method = options.Steer |> Option.map Catalogue.steerings.Find
          Particles = options.Particles
          Exact = options.Exact
          LookAhead =
            options.LookAhead
            |> Option.map (fun run -> lazy (ModelChoice.another choice model run ||> GenerativeModel.ofTrained)) }
