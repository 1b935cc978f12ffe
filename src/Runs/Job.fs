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
        let known = JobNetwork.knowingTeacher known find recipe
        let arithmetic = Lookup.arithmetic recipe.Dtype
        let kind: Kind = { Dtype = Lookup.kept arithmetic; Device = Torch.device recipe.Device }

        let space = JobData.latent recipe data kind find
        let whole, data = data, JobData.seen space data

        let find (setting: Setting) (given: string) =
            let name, trained = find setting given

            if setting = Setting.Teacher || setting = Setting.Begin || setting = Setting.Coupling then
                JobData.requireSameStates space setting given trained

            name, trained

        let source = JobData.source (known.Losses.Make recipe.Loss) recipe data

        let objective =
            JobObjective.make known recipe data kind source find
            |> AdversarialTerm.beside recipe.Adversarial 1.0
            |> match recipe.Labels, data.Given with
               | true, None -> Objective.droppingLabels recipe.LabelDropout
               | true, Some given -> Objective.droppingNumbers (Given.widths data.Shape given) recipe.LabelDropout
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

        JobNetwork.requireTokens recipe data objective

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
                JobNetwork.classifier recipe data
            else
                JobNetwork.make known recipe data objective

        if arithmetic = Dtype.BFloat16 then
            NetworkRole.requireBFloat16 kind.Device objective.Role

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
                    JobNetwork.warmStart
                        setting
                        given
                        (model ())
                        network
                        kind
                        recipe
                        (loss.Tunes || setting = Setting.Teacher)
                given, lazy (Scope.outside found))

        let training =
            let training = Recipe.training objective recipe
            { training with Players = JobNetwork.players known recipe data objective start training.Optimizer }

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
