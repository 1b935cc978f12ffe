namespace Fokker

/// What a training is asked to be. Anything you leave out gets a default chosen for your data: `{ TrainingRequest.standard with Steps = Some 3000L }`.
/// Parts are said by their names, with numbers: `min-snr:gamma=3`.
type TrainingRequest =
    {
        Path: string option
        Loss: string option
        Prediction: string option
        Weight: string option
        Times: string option
        Coupling: string option
        /// The data set at the noisy end; noise where none is named.
        Source: string option
        Preconditioning: string option
        /// The run that a distillation learns from.
        Teacher: string option
        /// The run whose parameters training begins at.
        From: string option
        Network: string option
        Width: int option
        Depth: int option
        Labels: bool option
        LabelDropout: float option
        Seed: int64 option
        Steps: int64 option
        Batch: int option
        LearningRate: float option
        WarmUp: int64 option
        WeightDecay: float option
        Clip: float option
        Ema: float option
        Device: string option
        Dtype: string option
    }

[<RequireQualifiedAccess>]
module TrainingRequest =

    /// Nothing asked for: every default chosen for the data.
    let standard: TrainingRequest =
        { Path = None
          Loss = None
          Prediction = None
          Weight = None
          Times = None
          Coupling = None
          Source = None
          Preconditioning = None
          Teacher = None
          From = None
          Network = None
          Width = None
          Depth = None
          Labels = None
          LabelDropout = None
          Seed = None
          Steps = None
          Batch = None
          LearningRate = None
          WarmUp = None
          WeightDecay = None
          Clip = None
          Ema = None
          Device = None
          Dtype = None }

    /// A recipe with everything that the request says in the place of what it has. The loss comes first, since it brings parts that others may replace; and
    /// a network that is told no classes leaves none out. Names may be those of the caller's own parts. Raises RefusedException where a name or its numbers stand for nothing.
    let overAmong (known: Known) (recipe: Recipe) (request: TrainingRequest) : Recipe =
        let recipe = request.Loss |> Option.fold (fun recipe loss -> Recipe.withLossAmong known loss recipe) recipe

        let recipe =
            [ Setting.Path, request.Path
              Setting.Prediction, request.Prediction
              Setting.Weight, request.Weight
              Setting.Times, request.Times
              Setting.Coupling, request.Coupling
              Setting.Source, request.Source
              Setting.Preconditioning, request.Preconditioning
              Setting.Teacher, request.Teacher
              Setting.Begin, request.From ]
            |> List.fold
                (fun recipe (setting, text) ->
                    text |> Option.fold (fun recipe text -> Recipe.withPartAmong known setting text recipe) recipe)
                recipe

        let labels = defaultArg request.Labels recipe.Labels

        { recipe with
            Network = request.Network |> Option.map (Recipe.networkAmong known) |> Option.defaultValue recipe.Network
            Width = defaultArg request.Width recipe.Width
            Depth = defaultArg request.Depth recipe.Depth
            Labels = labels
            LabelDropout = defaultArg request.LabelDropout (if labels then recipe.LabelDropout else 0.0)
            Seed = defaultArg request.Seed recipe.Seed
            Steps = defaultArg request.Steps recipe.Steps
            Batch = defaultArg request.Batch recipe.Batch
            LearningRate = defaultArg request.LearningRate recipe.LearningRate
            WarmUp = defaultArg request.WarmUp recipe.WarmUp
            WeightDecay = defaultArg request.WeightDecay recipe.WeightDecay
            Clip = defaultArg request.Clip recipe.Clip
            Ema = defaultArg request.Ema recipe.Ema
            Device = defaultArg request.Device recipe.Device
            Dtype = defaultArg request.Dtype recipe.Dtype }

    /// `overAmong` the library's own parts.
    let over (recipe: Recipe) (request: TrainingRequest) : Recipe = overAmong Known.standard recipe request

    /// The recipe of a request for these data.
    let recipe (data: Dataset) (request: TrainingRequest) : Recipe = over (Recipe.standardFor data) request
