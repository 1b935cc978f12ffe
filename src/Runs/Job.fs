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
        /// The autoencoder whose latents the network learns; none where it learns the data.
        Latent: LatentSpace option
        /// The parameters that the training begins at, by the name of the model that they are of; found when they are asked for. None where they are drawn.
        Start: (string * Lazy<WarmStart>) option
        /// Of the parameters.
        Kind: Kind
        /// What the network's layers are trained in, where that is not the parameters' own.
        Arithmetic: Dtype
        Training: TrainSettings
    }

    /// The network as its training computes it.
    member job.Learner: Network =
        if job.Arithmetic = job.Kind.Dtype then
            job.Network
        else
            Network.computedIn job.Arithmetic job.Network

    /// Where the training begins and what of that did not fit, in one line; none where its parameters are drawn.
    member job.Beginning: string option = job.Start |> Option.map (fun (name, start) -> WarmStart.text name start.Value)

    /// The steps after which each round of the training has ended, with the round.
    member job.Rounds: (int64 * Round) list =
        match job.Training.Rounds with
        | None -> []
        | Some rounds -> List.zip (Rounds.ends rounds) job.Objective.Rounds

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
          Latent = job.Latent
          Columns = job.Data.Columns
          Range = job.Data.Range
          Labels = job.Recipe.Labels && job.Data.Given.IsNone
          Given = if job.Recipe.Labels then job.Data.Given else None
          Null = job.Recipe.LabelDropout > 0.0
          Source = job.Source
          Times =
            // Of the student that is being trained, or is just done.
            (match job.Rounds |> List.tryFind (fun (last, _) -> steps <= last) with
             | Some(_, round) -> round.Times
             | None ->
                 job.Rounds
                 |> List.tryLast
                 |> Option.map (fun (_, last) -> last.Times)
                 |> Option.defaultValue job.Objective.Jumps)
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

    /// The autoencoder whose latents are learned, with units for them by the first samples of the data. Raises RefusedException where the run is none of one, or of other data.
    let private latent
        (recipe: Recipe)
        (data: Dataset)
        (kind: Kind)
        (find: Setting -> string -> string * TrainedNetwork)
        : LatentSpace option =
        recipe.Latent
        |> Option.map (fun given ->
            let name, trained = find Setting.Latent given

            match trained.Output with
            | NetworkOutput.Latents -> ()
            | _ ->
                refuseWith
                    Setting.Latent
                    given
                    $"{name} is no autoencoder"
                    $"train one on the same data with {Setting.Loss.Is VariationalAutoencoder.name}"

            if trained.Units <> data.Units then
                refuse
                    Setting.Latent
                    given
                    $"its samples are in other units than those of {data.Name}: take an autoencoder of the same data"

            for setting, text in
                [ Setting.Source, recipe.Source; Setting.Reward, recipe.Reward |> Option.map (fun _ -> "") ] do
                match text with
                | Some text ->
                    refuse setting text $"it is of samples, and what is learned are latents: leave one of the two out"
                | None -> ()

            if recipe.Loss.Name = VariationalAutoencoder.name || recipe.Loss.Name = Objectives.classifier.Name then
                refuse Setting.Latent given $"the loss {recipe.Loss} is of samples: leave one of the two out"

            Scope.run (fun () ->
                let first = Dataset.batches kind 2048 (Rng.named "latents" (Rng.ofSeed recipe.Seed)) data 0L
                LatentSpace.standardized (LatentSpace.ofNetwork trained.Network trained.Parameters) first.Data))

    /// The data as the network that learns them sees them.
    let private seen (space: LatentSpace option) (data: Dataset) : Dataset =
        match space with
        | None -> data
        | Some space ->
            { data with
                Name = $"the latents of {data.Name}"
                Shape = space.Shape
                Units = Units.Same
                Columns = []
                Range = None
                Augmentation = Augmentation.None }

    /// Refuses a model to learn from that is of other states than those that are learned.
    let private requireSameStates
        (space: LatentSpace option)
        (setting: Setting)
        (name: string)
        (trained: TrainedNetwork)
        =
        let same =
            match space, trained.Latent with
            | None, None ->
                match trained.Output with
                | NetworkOutput.Latents -> false
                | _ -> true
            | a, b -> LatentSpace.same a b

        if not same then
            refuseWith
                setting
                name
                $"it learned other states than these: latents of another autoencoder, or the data themselves"
                $"take a model of the same {Setting.Latent}"

    /// The data set that a flow starts from.
    let private source (loss: LossEntry) (recipe: Recipe) (data: Dataset) : Dataset option =
        match recipe.Source with
        | None -> None
        | Some name ->
            let source = Datasets.load name
            let source = if loss.MeetsSource then { source with Units = data.Units } else source

            if source.Augmentation <> Augmentation.None then
                refuse
                    Setting.Source
                    name
                    $"the samples at the noisy end are taken as they are, not mirrored or cropped"

            if source.Shape <> data.Shape then
                let show (shape: int list) = String.Join("; ", shape)

                refuse
                    Setting.Source
                    name
                    $"its samples are [{show source.Shape}], those of {data.Name} [{show data.Shape}]: both ends of a flow have one shape"

            Some source

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

            Reflow.table make draw count (Rng.ofSeed recipe.Seed |> Rng.named "table of pairs")

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
    let private objective
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

    /// Refuses a classifier that there is not.
    let private classifier (recipe: Recipe) (data: Dataset) : Network =
        let given = Recipe.classifying recipe

        for setting, value, own in
            [ Setting.Network, string recipe.Network, string given.Network
              Setting.Depth, string recipe.Depth, string given.Depth
              Setting.Labels, (if recipe.Labels then "on" else "off"), "on"
              Setting.LabelDropout, string recipe.LabelDropout, "0"
              Setting.Blind, (if recipe.Blind then "on" else "off"), "off" ] do
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

    /// Refuses a loss that takes data which are tokens by nature for something else.
    let private requireTokens (recipe: Recipe) (data: Dataset) (objective: Objective) =
        let those (name: string) (count: int) = Setting.Loss.Is $"{name}:tokens={count},bound=1"

        match Units.levels data.Shape data.Units, objective.Output with
        | Some count, NetworkOutput.TokenLogits tokens when tokens.Count <> count || tokens.Bound <> 1.0 ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"the data of {data.Name} are {count} tokens, which lie from −1 to 1 in the network's units"
                $"say {those recipe.Loss.Name count}"
        | Some _, NetworkOutput.TokenLogits _ -> ()
        | Some count, _ when Units.areText data.Shape data.Units ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"the letters of a text are tokens, of which none is between two others, and this loss learns numbers"
                $"""say {those "dfm" count}"""
        | _ -> ()

    /// The shape of what the network is told of a sample in numbers; none where it is told none.
    let private given (recipe: Recipe) (data: Dataset) : int list option =
        if recipe.Labels then data.Given |> Option.map (Given.shape data.Shape) else None

    let private requested (recipe: Recipe) (data: Dataset) (objective: Objective) : NetworkRequest =
        { Sample = given recipe data |> Option.fold (fun sample given -> Networks.toldSample given sample) data.Shape
          Data = data.Name
          Width = recipe.Width
          Depth = recipe.Depth
          Times = objective.Times
          Outputs = objective.Outputs
          Classes = if recipe.Labels && data.Given.IsNone then Some data.Classes.Length else None
          Role = objective.Role
          Tokens =
            match objective.Output with
            | NetworkOutput.TokenLogits tokens -> Some tokens
            | _ -> None }

    let private made (known: Known) (recipe: Recipe) (data: Dataset) (ask: NetworkRequest) : Network =
        known.Networks.Make recipe.Network ask
        |> if recipe.Blind then Networks.blind else id
        |> match given recipe data with
           // That of a teacher has been told it already.
           | Some given when recipe.Network.Name <> Networks.learnedFrom -> Networks.told given
           | _ -> id

    let private network (known: Known) (recipe: Recipe) (data: Dataset) (objective: Objective) : Network =
        if recipe.Blind && objective.Times > 1 then
            refuseWith
                Setting.Blind
                "on"
                $"{recipe.Loss} learns a map between two times, which nothing in x says"
                $"leave it out, or take a loss that learns a field: cfm, dsm, simple"

        match data.Given with
        | Some given when recipe.Labels && objective.Role = NetworkRole.Bijection ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"an exact flow knows the data and the noise, and cannot be told {Given.text given}"
                $"""take another loss, or {Setting.Labels.Is "off"}"""
        | _ -> ()

        requested recipe data objective |> made known recipe data |> Objective.network objective

    /// The networks that are trained beside the main one, of the same architecture; a twin begins where the main one does.
    let private players
        (known: Known)
        (recipe: Recipe)
        (data: Dataset)
        (objective: Objective)
        (start: (string * Lazy<WarmStart>) option)
        (optimizer: Optimizer)
        : Player list =
        [ for player in objective.Players ->
              let own = { requested recipe data objective with Outputs = 1; Times = 1 } |> made known recipe data

              { Name = player.Name
                Network =
                  (match player.Role with
                   | Role.Critic -> EnergyNetwork.ofNetwork Head.Mean own
                   | Role.Twin -> own)
                Loss = player.Loss
                Optimizer = optimizer
                Turns = player.Turns
                Start =
                  match player.Role with
                  | Role.Twin -> start |> Option.map (fun (_, start) -> fun () -> start.Value.Parameters)
                  | Role.Critic -> None } ]

    /// The parameters of a model for a network. Raises RefusedException where none fits, or the network is to be the model's and is not.
    let private warmStart
        (setting: Setting)
        (given: string)
        (model: GenerativeModel)
        (network: Network)
        (kind: Kind)
        (recipe: Recipe)
        (mustFit: bool)
        : WarmStart =
        match model.Origin with
        | Origin.Exact _
        | Origin.Supplied ->
            refuse setting given $"it is no network that was trained: there are no parameters to begin at"
        | Origin.Trained trained when
            EnergyNetwork.headOf (Map.ofList trained.Network.Settings)
            <> EnergyNetwork.headOf (Map.ofList network.Settings)
            ->
            refuse
                setting
                given
                $"one of the two networks says an energy and the other a field, or an energy of another kind: their parameters mean different things"
        | Origin.Trained trained ->
            Scope.run (fun () ->
                let fresh = Network.init kind (Rng.ofSeed recipe.Seed |> Rng.named "parameters") network

                let start =
                    try
                        WarmStart.fit trained network fresh
                    with :? FormatException as e ->
                        refuse setting given $"{e.Message}; take the network of that run"

                // A student that begins as something else than its teacher has nothing to be distilled from, and what is tuned is the model itself.
                if mustFit && not (start.Fresh.IsEmpty && start.Left.IsEmpty) then
                    refuse
                        setting
                        given
                        $"{recipe.Loss} begins at this model, whose network is another than the one that is asked for ({WarmStart.text given start})"

                start)

    /// The lists with the network of the model that the recipe learns from or begins at among them, where that is what it asks for.
    let private knowingTeacher
        (known: Known)
        (find: Setting -> string -> string * TrainedNetwork)
        (recipe: Recipe)
        : Known =
        match recipe.Network.Name = Networks.learnedFrom, recipe.From, recipe.Teacher with
        | true, Some given, _ -> Some(Setting.Begin, given)
        | true, None, Some given -> Some(Setting.Teacher, given)
        | _ -> None
        |> Option.map (fun (setting, given) ->
            let part: Part<NetworkRequest -> Network> =
                { Name = Networks.learnedFrom
                  Summary = ""
                  Equation = "the network of the model that is learned from"
                  Reference = ""
                  Parameters = []
                  Make =
                    fun _ ask ->
                        // A network is a function, which no scope gives out.
                        let _, trained = find setting given
                        let network = Networks.alike known.Own.Networks trained.Network ask
                        Scope.free trained
                        network }

            { known with Networks = { known.Networks with Parts = part :: known.Networks.Parts } })
        |> Option.defaultValue known

    /// Raises UserError where a name stands for nothing, a number is out of range, or the parts do not fit each other;
    /// EnvironmentException where the device is not there. Names may be those of the caller's own parts.
    let make
        (own: OwnParts)
        (find: Setting -> string -> string * TrainedNetwork)
        (recipe: Recipe)
        (data: Dataset)
        : Job =
        Recipe.check recipe data
        let known = Known.including own
        Known.requireNew known
        let known = knowingTeacher known find recipe
        let arithmetic = Lookup.arithmetic recipe.Dtype
        let kind: Kind = { Dtype = Lookup.kept arithmetic; Device = Torch.device recipe.Device }

        if arithmetic = Dtype.BFloat16 then
            match Torch.bfloat16 kind.Device with
            | Ok() -> ()
            | Error reason -> refuseWith Setting.Dtype recipe.Dtype $"{reason}" $"take float32"

        let space = latent recipe data kind find
        let whole, data = data, seen space data

        let find (setting: Setting) (given: string) =
            let name, trained = find setting given

            if setting = Setting.Teacher || setting = Setting.Begin || setting = Setting.Coupling then
                requireSameStates space setting given trained

            name, trained

        let source = source (known.Losses.Make recipe.Loss) recipe data

        let objective =
            objective known recipe data kind source find
            |> AdversarialTerm.beside recipe.Adversarial 1.0
            |> match recipe.Labels, data.Given with
               | true, None -> Objective.droppingLabels recipe.LabelDropout
               | true, Some given -> Objective.droppingNumbers (Given.widths given) recipe.LabelDropout
               | false, _ -> Objective.withoutLabels
            |> match space with
               | None -> id
               | Some space -> Objective.preparing (fun rng -> LatentSpace.batch space (Rng.named "latents" rng))

        match data.Given with
        | Some given when recipe.Labels && (objective.Memory.IsSome || recipe.Loss.Name = Objectives.classifier.Name) ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"{Given.text given} is told of each sample, which this loss has no use for"
                $"""take another loss, or {Setting.Labels.Is "off"}"""
        | _ -> ()

        requireTokens recipe data objective

        match space, objective.Output with
        | Some _, NetworkOutput.TokenLogits _ ->
            refuseWith
                Setting.Loss
                recipe.Loss
                $"latents are numbers, and this loss learns tokens"
                $"""take {Setting.Loss.Is "cfm"}, for instance"""
        | _ -> ()

        let network =
            if recipe.Loss.Name = Objectives.classifier.Name then
                classifier recipe data
            else
                network known recipe data objective

        if objective.Role = NetworkRole.Bijection && arithmetic = Dtype.BFloat16 then
            refuseWith
                Setting.Dtype
                recipe.Dtype
                $"an exact flow and its inverse would each be rounded to three digits, and be no inverses"
                $"""take {Setting.Dtype.Is "float32"} or float64"""

        if not objective.Rounds.IsEmpty && recipe.Steps < int64 objective.Rounds.Length then
            refuse
                Setting.Steps
                recipe.Steps
                $"{recipe.Loss} trains in {objective.Rounds.Length} rounds: a step for each is the least"

        let loss = known.Losses.Make recipe.Loss

        let begun =
            match recipe.From, loss.BeginsAtTeacher, recipe.Teacher with
            | Some name, _, _ -> Some(Setting.Begin, name)
            | None, true, Some name -> Some(Setting.Teacher, name)
            | _ -> None

        let start =
            begun
            |> Option.map (fun (setting, given) ->
                let model () = find setting given ||> GenerativeModel.ofTrained
                let found () =
                    warmStart setting given (model ()) network kind recipe (loss.Tunes || setting = Setting.Teacher)
                given, lazy (Scope.outside found))

        let training =
            let training = Recipe.training objective recipe
            { training with Players = players known recipe data objective start training.Optimizer }

        if recipe.PowerAverages && not objective.Rounds.IsEmpty then
            refuse
                (Setting(nameof recipe.PowerAverages))
                "on"
                $"{recipe.Loss} trains in rounds, each of which begins anew: leave it out"

        match Trainer.cannotShare training with
        | Some reason when training.Parts > 1 ->
            refuseWith
                Setting.Accumulate
                recipe.Accumulate
                $"{recipe.Loss} cannot be trained in parts of a batch: {reason}"
                $"leave it out"
        | _ -> ()

        { Recipe = recipe
          Data = whole
          Digest = lazy (Dataset.digest whole)
          Objective = objective
          Source = source
          Network = network
          Latent = space
          Start = start
          Kind = kind
          Arithmetic = arithmetic
          Training = training }

    /// The parameters that a network draws from the seed, as its first samples suit them: so many that a mean is one.
    let private fitted (job: Job) (fit: Tensor[] -> Condition -> Tensor -> Tensor[]) : Tensor[] =
        let key = Rng.ofSeed job.Recipe.Seed
        let drawn = Network.init job.Kind (Rng.named "parameters" key) job.Network
        let first = Dataset.batches job.Kind (max 1024 job.Recipe.Batch) (Rng.named "first samples" key) job.Data 0L
        let first = job.Latent |> Option.fold (fun first space -> LatentSpace.batch space key first) first
        fit drawn (if job.Recipe.Labels then first.Label else None) first.Data

    /// What the library's training loop is to do.
    let plan (job: Job) : Plan =
        { Dataset = job.Data
          Network = job.Learner
          Loss = job.Objective.Loss
          Prepare = job.Objective.Prepare
          BatchSize = job.Recipe.Batch
          Settings = job.Training
          Seed = job.Recipe.Seed
          Start =
            match job.Start, job.Network.Fitted with
            | Some(_, start), _ -> Some(fun () -> start.Value.Parameters)
            | None, Some fit -> Some(fun () -> fitted job fit)
            | None, None -> None
          Snapshot =
            (let between = max 1L (job.Recipe.Steps / 64L)
             fun step -> step % between = 0L || step = job.Recipe.Steps)
          Milestones = [ for last, round in job.Rounds -> last, $"student-{round.Student}" ]
          Kind = job.Kind
          Budget = Budget.Steps job.Recipe.Steps
          Save = Cadence.Seconds 20.0
          Trained = fun parameters steps -> job.Trained(parameters, steps) }
