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

/// How samples are asked to be guided; a field that is left out asks for no guidance of its kind.
[<NoComparison; NoEquality>]
type GuidanceRequest =
    {
        /// The scale s: 0 is unconditional, 1 conditional, more is guided.
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

/// How a model's flow or reverse process is to be followed. Anything you leave out gets a default chosen for your model.
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
        /// What the network is told of the samples in numbers, in their own units and NaN where it is not told: one row for all samples, or one for each.
        Given: GivenArray option
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
          Given = None
          RelativeTolerance = None
          AbsoluteTolerance = None
          Guidance = GuidanceRequest.none }
