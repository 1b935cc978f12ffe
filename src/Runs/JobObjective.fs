namespace Fokker

open System

/// A recipe's loss and its parts, made into an objective.
[<RequireQualifiedAccess>]
module JobObjective =

    /// Refuses a part that the loss has no use for.
    let private requireUsed (loss: LossEntry) (times: Times) (recipe: Recipe) =
        let uses setting (entry: LossEntry) = List.exists (fst >> (=) setting) entry.Uses

        for setting, _, get, _ in Recipe.parts Known.standard do
            match get recipe with
            | Some given when not (uses setting loss || Recipe.isForAll setting) ->
                let others = Objectives.all |> List.filter (uses setting) |> List.map _.Name
                let have = if others.Length = 1 then "has" else "have"
                refuse setting given $"the loss {loss.Name} has no use for it; {Names.either others} {have}"
            | _ -> ()

        match recipe.Tilt with
        | Some tilt when not loss.Tunes ->
            refuseWith
                Setting.Tilt
                tilt
                $"the loss {loss.Name} tunes towards no reward"
                $"leave it out, or take {Setting.Loss.Is AdjointMatching.name}"
        | Some tilt when not (Double.IsFinite tilt) -> refuse Setting.Tilt tilt $"expected a finite number"
        | _ -> ()

        if times.FollowsWeight && not (uses Setting.Prediction loss && recipe.Weight.IsSome) then
            refuse
                Setting.Times
                times.Name
                $"times in proportion to the weight are for regressions; the loss {loss.Name} is none"

    /// A coupling by a run's pairs, as it is asked for: the run, how many pairs are made once (none where each batch has new ones), and by how many steps.
    type private PairsOfRun = { Run: string; Count: int option; Steps: int }

    /// `run:NAME,pairs=N,steps=K`. Raises RefusedException where it says something else.
    let private pairsOf (recipe: Recipe) : PairsOfRun option =
        match recipe.Coupling with
        | Some { Name = text } when text.StartsWith("run:", StringComparison.OrdinalIgnoreCase) ->
            let expected: FormattableString =
                $"expected run:NAME, with pairs=N for so many pairs made once and steps=K for K steps of the solver where these are to be others"

            let whole (key: string) (value: string) =
                match Int32.TryParse value with
                | true, n when n >= 1 -> n
                | _ -> refuse Setting.Coupling text $"{key} is '{value}': expected a whole number of at least 1"

            match List.ofArray (text.Substring(4).Split ',') with
            | run :: numbers when run.Trim() <> "" ->
                numbers
                |> List.fold
                    (fun (given: PairsOfRun) item ->
                        match item.Split '=' with
                        | [| key; value |] when key.Trim() = "pairs" ->
                            { given with Count = Some(whole "pairs" value) }
                        | [| key; value |] when key.Trim() = "steps" -> { given with Steps = whole "steps" value }
                        | _ -> refuse Setting.Coupling text expected)
                    ({ Run = run.Trim(); Count = None; Steps = 10 }: PairsOfRun)
                |> Some
            | _ -> refuse Setting.Coupling text expected
        | _ -> None

    /// What makes pairs of a batch by a run's model. Raises RefusedException where its samples are none of this data set's.
    let private pairs
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (given: PairsOfRun)
        (model: GenerativeModel)
        : Rng -> Batch -> Batch =
        let refuse (why: FormattableString) = refuse Setting.Coupling given.Run why

        if model.Units <> data.Units then
            refuse $"its samples are in other units than those of {data.Name}: take a run on the same data"

        if model.Source.IsSome || recipe.Source.IsSome then
            refuse $"its pairs are of noise and data: there is no other law at the noisy end"

        let told = if recipe.Labels then data.Given else None

        if told <> model.Given && not (told.IsNone && model.Null) then
            refuse $"it is told other things of a sample than the network here"

        if data.Given.IsNone && recipe.Labels <> model.Labels && not (model.Labels && model.Null) then
            refuse
                $"""its network is told classes, or is not, and this one the other way round: say {Setting.Labels.Is(if model.Labels then "on" else "off")}"""

        let plan = { Generation.plan Samplers.heun given.Steps model.Dynamics with Kind = kind }
        let make = Reflow.pair plan model.Path model.Dynamics

        match given.Count with
        | None -> make
        | Some count ->
            let draw rng n : Batch =
                let batch = Dataset.batches kind n rng data 0L
                { batch with Label = if recipe.Labels then batch.Label else None }

            // The network that makes them has no more memory than the one that learns from them.
            Reflow.table make draw recipe.Batch count (Rng.ofSeed recipe.Seed |> Rng.named "table of pairs")

    /// The reward that a model is tuned towards, in the network's units, and λ. Raises RefusedException where it says something else, or does not fit the model.
    let reward
        (recipe: Recipe)
        (model: GenerativeModel)
        (find: Setting -> string -> string * TrainedNetwork)
        : (Reward * float) option =
        recipe.Reward
        |> Option.map (fun text ->
            let file =
                try
                    RewardFile.ofJson "the reward" (Text.Encoding.UTF8.GetBytes text)
                with :? UserError as error ->
                    refuse Setting.Reward "" $"{error.Message}"

            let choice =
                match file with
                | RewardFile.Known reward -> RewardChoice.Known reward
                | RewardFile.OfClass(label, run) ->
                    let posterior = find Setting.Reward run ||> ClassPosterior.ofTrained
                    RewardChoice.OfClass(label, ClassifierChoice.Trained posterior)

            RewardChoice.reward choice model, defaultArg recipe.Tilt 1.0)

    /// The model that a loss learns from, as it is asked for: a distillation's teacher, or what a tuning begins at. Raises RefusedException where it is of other units than the data.
    let private taughtBy
        (loss: LossEntry)
        (recipe: Recipe)
        (data: Dataset)
        (find: Setting -> string -> string * TrainedNetwork)
        : (Setting * string * GenerativeModel) option =
        /// A teacher that is told other things of a sample than the student cannot say what it would say of it.
        let requireToldAlike (setting: Setting) (given: string) (model: GenerativeModel) =
            match (if recipe.Labels then data.Given else None) with
            | Some told when model.Given <> Some told ->
                refuse
                    setting
                    given
                    $"it is not told {Given.text told}, which the network here is told of each sample of {data.Name}"
            | _ -> ()

        if loss.Tunes then
            recipe.From
            |> Option.map (fun given ->
                let model = find Setting.Begin given ||> GenerativeModel.ofTrained

                if model.Units <> data.Units then
                    refuse
                        Setting.Begin
                        given
                        $"its samples are in other units than those of {data.Name}: name the data that it was trained on"

                requireToldAlike Setting.Begin given model
                Setting.Begin, given, model)
        else
            recipe.Teacher
            |> Option.map (fun given ->
                let model = find Setting.Teacher given ||> GenerativeModel.ofTrained
                requireToldAlike Setting.Teacher given model
                Setting.Teacher, given, model)

    /// The loss that the recipe names, made of the parts that it names. Raises UserError where a name stands for nothing, or the loss has no use for a part.
    let make
        (known: Known)
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (source: Dataset option)
        (find: Setting -> string -> string * TrainedNetwork)
        : Objective =
        let loss = known.Losses.Make recipe.Loss
        let make (list: PartList<'T>) (name: PartName option) (other: 'T) =
            name |> Option.map list.Make |> Option.defaultValue other
        let times = make known.Times recipe.Times Times.uniform
        requireUsed loss times recipe
        let path = make known.Paths recipe.Path Path.condOT
        let teacher = taughtBy loss recipe data find

        let objective =
            loss.Make
                { Path = path
                  Prediction = make known.Predictions recipe.Prediction Prediction.velocity
                  Weight = make known.Weights recipe.Weight Weight.uniform
                  Times = times
                  Coupling =
                    (match pairsOf recipe with
                     | Some _ -> Coupling.independent
                     | None -> make known.Couplings recipe.Coupling Coupling.independent)
                  Pairs =
                    pairsOf recipe
                    |> Option.map (fun given ->
                        find Setting.Coupling given.Run ||> GenerativeModel.ofTrained |> pairs recipe data kind given)
                  Source =
                    source
                    |> Option.map (fun source ->
                        // In the units that a network of its own would see.
                        fun rng (x0: Tensor) -> (Dataset.sample kind x0.Shape[0] rng source).To x0.Kind)
                  SourceScore = source |> Option.bind Dataset.score
                  Teacher = teacher |> Option.map (fun (setting, name, model) -> model.ScoreModel(setting, name))
                  TeacherTrained =
                    teacher
                    |> Option.bind (fun (_, _, model) ->
                        match model.Origin with
                        | Origin.Trained trained ->
                            Some
                                { Output = trained.Output
                                  HasNull = (trained.Labels || trained.Given.IsSome) && trained.Null }
                        | Origin.Exact _
                        | Origin.Supplied -> None)
                  Reward = teacher |> Option.bind (fun (_, _, model) -> reward recipe model find)
                  Steps = recipe.Steps
                  Dimension = List.fold (*) 1 data.Shape
                  HasNull = recipe.Labels && recipe.LabelDropout > 0.0 }

        match make Catalogue.preconditionings recipe.Preconditioning None with
        | None -> objective
        | Some preconditioning ->
            match recipe.Prediction with
            | Some other when other.Name <> Prediction.data.Name ->
                refuse
                    Setting.Preconditioning
                    recipe.Preconditioning.Value
                    $"what comes out of a preconditioned network is the data: it goes with {Setting.Prediction.Is Prediction.data.Name}, not {other}"
            | _ -> ()

            let preconditioning = preconditioning path
            Preconditioning.requireFinite path times preconditioning
            Objective.preconditioned preconditioning objective
