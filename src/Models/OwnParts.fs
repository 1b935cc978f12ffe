namespace Fokker

/// Parts of the caller's own, beside those that the library has names for. They are given as a value to whatever looks names up: a recipe then names them as it
/// names the library's, in the same notation, and whoever goes on with the run or reads its model gives them again.
[<NoComparison; NoEquality>]
type OwnParts =
    { Paths: Part<GaussianPath> list
      Losses: Part<LossEntry> list
      Predictions: Part<Prediction> list
      Weights: Part<Weight> list
      Times: Part<Times> list
      Couplings: Part<Coupling> list
      Networks: Part<NetworkRequest -> Network> list
      Samplers: Part<Sampler> list
      Grids: Part<Grid> list }

[<RequireQualifiedAccess>]
module OwnParts =

    /// Only what the library has.
    let none: OwnParts =
        { Paths = []
          Losses = []
          Predictions = []
          Weights = []
          Times = []
          Couplings = []
          Networks = []
          Samplers = []
          Grids = [] }

    /// Paths that leave nothing open, and nothing else.
    let ofPaths (paths: GaussianPath seq) : OwnParts = { none with Paths = [ for path in paths -> Part.fixedAt path ] }
