namespace Fokker

open System

/// A recipe's names made into the things they stand for.
[<NoComparison; NoEquality>]
type Job =
    {
        Recipe: Recipe
        Data: Dataset
        Objective: Objective
        /// `Dataset.digest` of the data, found when it is asked for.
        Digest: Lazy<string option>
        /// The law of x₁ at the noisy end; none for σ(1)·ε.
        Source: Dataset option
        Network: Network
        Kind: Kind
        Training: TrainSettings
    }

    /// Whether what is trained tells classes of noisy samples apart, and is nothing to sample from.
    member job.IsClassifier = job.Recipe.Loss.Name = Objectives.classifier.Name

    /// The network with parameters of it, and all that its numbers mean: what is left of the job once it is trained for so many steps.
    member job.Trained(parameters: Tensor[], steps: int64) : TrainedNetwork =
        { Network = job.Network
          Parameters = parameters
          Path = job.Objective.Path
          Output = job.Objective.Output
          Shape = job.Data.Shape
          Classes = job.Data.Classes
          Units = job.Data.Units
          Range = job.Data.Range
          Labels = job.Recipe.Labels
          Null = job.Recipe.LabelDropout > 0.0
          Source = job.Source
          Kind = job.Kind
          Training =
            { Data = job.Recipe.DataSet
              Digest = job.Digest.Value
              Loss = string job.Recipe.Loss
              Steps = steps
              Seed = job.Recipe.Seed
              Version = Run.version } }

    /// The stream that everything after training draws from, by name.
    member job.Stream(name: string) = Rng.ofSeed job.Recipe.Seed |> Rng.named name

[<RequireQualifiedAccess>]
module Job =

    /// Refuses a part that the loss has no use for.
    let private requireUsed (loss: LossEntry) (times: Times) (recipe: Recipe) =
        let uses setting (entry: LossEntry) = List.exists (fst >> (=) setting) entry.Uses

        for setting, _, get, _ in Recipe.parts Known.standard do
            match get recipe with
            | Some given when not (uses setting loss) ->
                let others = Names.either (Objectives.all |> List.filter (uses setting) |> List.map _.Name)
                refuse setting given $"the loss {loss.Name} has no use for it; {others} have"
            | _ -> ()

        if times.FollowsWeight && not (uses Setting.Prediction loss && recipe.Weight.IsSome) then
            refuse
                Setting.Times
                times.Name
                $"times in proportion to the weight are for regressions; the loss {loss.Name} is none"

    /// The data set that a flow starts from.
    let private source (recipe: Recipe) (data: Dataset) : Dataset option =
        match recipe.Source with
        | None
        | Some "normal" -> None
        | Some name ->
            let source = Datasets.load name

            if source.Shape <> data.Shape then
                let show (shape: int list) = String.Join("; ", shape)

                refuse
                    Setting.Source
                    name
                    $"its samples are [{show source.Shape}], those of {data.Name} [{show data.Shape}]: both ends of a flow have one shape"

            Some source

    /// The loss that the recipe names, made of the parts that it names. Raises UserError where a name stands for nothing, or the loss has no use for a part.
    let private objective
        (known: Known)
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (source: Dataset option)
        (teacher: string -> Model)
        : Objective =
        let loss = known.Losses.Make recipe.Loss
        let make (list: PartList<'T>) (name: PartName option) (other: 'T) =
            name |> Option.map list.Make |> Option.defaultValue other
        let times = make known.Times recipe.Times Times.uniform
        requireUsed loss times recipe
        let path = make known.Paths recipe.Path Path.condOT

        let objective =
            loss.Make
                { Path = path
                  Prediction = make known.Predictions recipe.Prediction Prediction.velocity
                  Weight = make known.Weights recipe.Weight Weight.uniform
                  Times = times
                  Coupling = make known.Couplings recipe.Coupling Coupling.independent
                  Source =
                    source
                    |> Option.map (fun source ->
                        // In the units that a network of its own would see.
                        fun rng (x0: Tensor) -> (Dataset.sample kind x0.Shape[0] rng source).To x0.Kind)
                  Teacher = Option.map teacher recipe.Teacher
                  Steps = recipe.Steps
                  Dimension = List.fold (*) 1 data.Shape }

        match make Catalogue.preconditionings recipe.Preconditioning None with
        | None -> objective
        | Some preconditioning ->
            let prediction = recipe.Prediction |> Option.map _.Name |> Option.defaultValue ""

            if prediction <> Prediction.data.Name then
                refuse
                    Setting.Preconditioning
                    recipe.Preconditioning.Value
                    $"what comes out of a preconditioned network is the data: it goes with {Setting.Prediction.Is Prediction.data.Name}, not {prediction}"

            let preconditioning = preconditioning path
            Preconditioning.requireFinite path times preconditioning
            Objective.preconditioned preconditioning objective

    /// Refuses a classifier that there is not.
    let private classifier (recipe: Recipe) (data: Dataset) : Network =
        let given = Recipe.classifying recipe

        for setting, value, own in
            [ Setting.Network, string recipe.Network, string given.Network
              Setting.Depth, string recipe.Depth, string given.Depth
              Setting.Labels, (if recipe.Labels then "on" else "off"), "on"
              Setting.LabelDropout, string recipe.LabelDropout, "0" ] do
            if value <> own then
                refuseWith
                    setting
                    value
                    $"a classifier of noisy samples has {setting.Is own}"
                    $"leave it out, or take another loss than {recipe.Loss}"

        if recipe.Width % 4 <> 0 then
            refuse
                Setting.Width
                recipe.Width
                $"the classifier's convolutions have a quarter of it: give a multiple of 4"

        NoisyClassifier.network { NoisyClassifier.standard data.Shape data.Classes.Length with Width = recipe.Width }

    let private network (known: Known) (recipe: Recipe) (data: Dataset) (objective: Objective) : Network =
        { Sample = data.Shape
          Data = data.Name
          Width = recipe.Width
          Depth = recipe.Depth
          Times = objective.Times
          Outputs = objective.Outputs
          Classes = if recipe.Labels then Some data.Classes.Length else None }
        |> known.Networks.Make recipe.Network
        |> if objective.Uncertain then Networks.withUncertainty else id

    /// Raises UserError where a name stands for nothing, a number is out of range, or the parts do not fit each other;
    /// EnvironmentException where the device is not there. Names may be those of the caller's own parts.
    let make (own: OwnParts) (teacher: string -> Model) (recipe: Recipe) (data: Dataset) : Job =
        Recipe.check recipe data
        let known = Known.including own
        Known.requireNew known
        let dtype = Lookup.dtype recipe.Dtype
        let kind: Kind = { Dtype = dtype; Device = Torch.device recipe.Device }
        let source = source recipe data

        let objective =
            objective known recipe data kind source teacher
            |> if recipe.Labels then Objective.droppingLabels recipe.LabelDropout else Objective.withoutLabels

        { Recipe = recipe
          Data = data
          Digest = lazy (Dataset.digest data)
          Objective = objective
          Source = source
          Network =
            if recipe.Loss.Name = Objectives.classifier.Name then
                classifier recipe data
            else
                network known recipe data objective
          Kind = kind
          Training = Recipe.training objective.Decay recipe }

    /// What the library's training loop is to do.
    let plan (job: Job) : Plan =
        { Dataset = job.Data
          Network = job.Network
          Loss = job.Objective.Loss
          Prepare = job.Objective.Prepare
          BatchSize = job.Recipe.Batch
          Settings = job.Training
          Seed = job.Recipe.Seed
          Kind = job.Kind
          Budget = Budget.Steps job.Recipe.Steps
          Save = Cadence.Seconds 20.0
          Trained = fun parameters steps -> job.Trained(parameters, steps) }
