namespace Fokker

/// An array that was given, and what its giver calls it: a file, an argument.
[<NoComparison; NoEquality>]
type GivenArray = { Name: string; Values: Tensor }

/// Whose log p(c | t, x_t) guides by its gradient.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type ClassifierChoice =
    /// An exact law's own.
    | Own
    | Trained of ClassPosterior

/// How samples are asked to be guided; what is left out is not.
[<NoComparison; NoEquality>]
type GuidanceRequest =
    {
        /// How far: 0 is unconditional, 1 plain, more is guided.
        Scale: float option
        /// The noise levels σ/α between which guidance acts.
        Interval: (float * float) option
        /// The share of the guided prediction whose deviation is put back to the plain one's.
        Rescale: float option
        /// The weaker model of autoguidance, which is loaded when everything else is known to be well.
        Weaker: Lazy<GenerativeModel> option
        Classifier: ClassifierChoice option
        /// Classes by number or name with their weights.
        Composition: (string * float) list
    }

[<RequireQualifiedAccess>]
module GuidanceRequest =

    /// No guidance.
    let none: GuidanceRequest =
        { Scale = None
          Interval = None
          Rescale = None
          Weaker = None
          Classifier = None
          Composition = [] }

/// How a model's flow or reverse process is to be followed, whatever for. Anything you leave out gets a default chosen for your model.
[<NoComparison; NoEquality>]
type GenerationRequest =
    {
        Solver: Sampler option
        /// How its steps are spaced.
        Grid: Grid option
        Steps: int option
        /// Samples that go through the network at once.
        Batch: int option
        /// One class for all samples, by number or name.
        Class: string option
        /// The error of a step relative to the state, for steps that are chosen by it.
        RelativeTolerance: float option
        /// The same where a state is near 0.
        AbsoluteTolerance: float option
        Guidance: GuidanceRequest
    }

[<RequireQualifiedAccess>]
module GenerationRequest =

    /// Nothing asked for: every default chosen for the model.
    let standard: GenerationRequest =
        { Solver = None
          Grid = None
          Steps = None
          Batch = None
          Class = None
          RelativeTolerance = None
          AbsoluteTolerance = None
          Guidance = GuidanceRequest.none }

/// What samples are to have more of, as it is asked for.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type RewardChoice =
    /// A function of samples in the data's units.
    | Known of Reward
    /// log p(c | x₀) under a classifier, the class by number or name.
    | OfClass of label: string * ClassifierChoice

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

/// What samples are asked for. Anything you leave out gets a default chosen for your model: `{ SamplingRequest.standard with Count = Some 100 }`.
[<NoComparison; NoEquality>]
type SamplingRequest =
    {
        Generation: GenerationRequest
        Steering: SteeringRequest
        /// How many; arrays that are given say it where there are some.
        Count: int option
        Seed: int64
        /// The time to begin at.
        From: float option
        /// The time to end at, with samples of x_t.
        To: float option
        /// Whether the last step goes from there to E[x₀ | x].
        Denoise: bool
        /// The states to begin from, [n; …] in the network's units.
        Start: GivenArray option
        /// The standard normal numbers to begin from, [n; …].
        Noise: GivenArray option
        /// The points to begin from, [n; …] in the source's own units, for a flow between two data sets.
        SourceSamples: GivenArray option
        /// The standard normal numbers that a stochastic sampler draws on its way, [draws; n; …].
        Replay: GivenArray option
        /// Whether what is drawn on the way is one Brownian motion.
        Brownian: bool
        /// How many steps are found at once by Picard's iteration.
        Parallel: int option
        /// How far a state may still move and stand, in deviations of an ancestral step's noise.
        ParallelTolerance: float option
    }

[<RequireQualifiedAccess>]
module SamplingRequest =

    /// Nothing asked for: every default chosen for the model.
    let standard: SamplingRequest =
        { Generation = GenerationRequest.standard
          Steering = SteeringRequest.none
          Count = None
          Seed = 0L
          From = None
          To = None
          Denoise = false
          Start = None
          Noise = None
          SourceSamples = None
          Replay = None
          Brownian = false
          Parallel = None
          ParallelTolerance = None }

/// How a log-density is found.
[<RequireQualifiedAccess>]
type DensityMethod =
    /// An exact law's closed form.
    | ClosedForm
    /// Along the probability flow.
    | Flow

/// What log-densities are asked for.
[<NoComparison; NoEquality>]
type DensityRequest =
    {
        Generation: GenerationRequest
        /// The closed form where there is one, the flow elsewhere, unless it is said.
        Method: DensityMethod option
        /// How the flow's divergence is found.
        Trace: Trace option
        /// Random directions that estimate it, in the place of the trace's own number of them.
        Probes: int option
        /// Bytes that the field's graph may take.
        Memory: int64 option
        /// The time t of the density p_t.
        Time: float option
    }

[<RequireQualifiedAccess>]
module DensityRequest =

    /// Nothing asked for: every default chosen for the model.
    let standard: DensityRequest =
        { Generation = GenerationRequest.standard
          Method = None
          Trace = None
          Probes = None
          Memory = None
          Time = None }

/// What an evaluation is asked to be: samples as they are asked for, against data that are held out.
[<NoComparison; NoEquality>]
type EvaluationRequest =
    {
        Sampling: SamplingRequest
        /// Pairs of sets that each figure is a mean over.
        Draws: int option
        /// Samples in a set.
        SamplesPerDraw: int option
    }

[<RequireQualifiedAccess>]
module EvaluationRequest =

    /// Everything as suits the model and the data.
    let standard: EvaluationRequest = { Sampling = SamplingRequest.standard; Draws = None; SamplesPerDraw = None }
