namespace Fokker

/// How samples are asked to be steered; what is left out is not.
[<NoComparison; NoEquality>]
type SteeringRequest =
    {
        /// What is seen of the samples, in the data's units.
        Observation: Observation option
        /// What was seen: y, or a row for each sample.
        Observed: GivenArray option
        Reward: RewardChoice option
        /// λ of e^{λ r}.
        Tilt: float option
        Method: SteeringMethod option
        /// Particles for each sample.
        Particles: int option
        /// Whether an exact law takes what is known of the samples in, in a method's place.
        Exact: bool
        /// A map along the flow whose end is looked at where particles are weighed.
        LookAhead: Lazy<GenerativeModel> option
    }

[<RequireQualifiedAccess>]
module SteeringRequest =

    /// No steering.
    let none: SteeringRequest =
        { Observation = None
          Observed = None
          Reward = None
          Tilt = None
          Method = None
          Particles = None
          Exact = false
          LookAhead = None }

    /// Whether a method is to steer: what an exact law takes in needs none.
    let isMethod (request: SteeringRequest) : bool =
        not request.Exact && (request.Observation.IsSome || request.Reward.IsSome)
