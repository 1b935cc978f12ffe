namespace Fokker

/// A round of a training in which what was trained in the one before is the teacher.
type Round =
    {
        /// The number of steps that its student takes for a sample, by which it is called.
        Student: int
        /// Its share of the training's steps, beside those of the others.
        Share: float
        /// The times of those steps, falling, 0 for the data.
        Times: float list
    }

/// What a player beside the main network is made of: a critic, or a second network of the same kind.
[<RequireQualifiedAccess>]
type Role =
    /// One number for each sample: the mean of what the architecture says.
    | Critic
    /// What the teacher's network says; it begins at the teacher's parameters where there are some.
    | Twin

/// A network that is trained beside the one that the model is of, by a loss of its own.
[<NoComparison; NoEquality>]
type PlayerSpec =
    {
        Name: string
        Role: Role
        /// Moves of it before each of the main network's.
        Turns: int
        /// Its context has its own network as `Network`, and the main one among `Others`.
        Loss: Loss
    }

/// A loss together with what it makes of a network: all that a trainer and a sampler have to agree on.
[<NoComparison; NoEquality>]
type Objective =
    {
        Name: string
        Equation: string
        Reference: string
        Path: GaussianPath
        /// What the network's output stands for.
        Output: NetworkOutput
        /// Whether the network needs a learned u(t).
        Uncertain: bool
        /// What is done to a batch before the step that needs it, on another thread if there is one: pairing.
        Prepare: (Rng -> Batch -> Batch) option
        /// What is kept from step to step beside the parameters, and is part of the training's state: from what it was, in the context, what it is for a step. It is told the network without
        /// gradient. A buffer of chains, for instance.
        Memory: (LossContext -> Rng -> Batch -> Tensor[]) option
        /// The decay of the parameters' average at each step, where the loss has a say in it: its target is that average.
        Decay: (int64 -> float) option
        /// Networks that are trained in turns with the one that the model is of.
        Players: PlayerSpec list
        /// β₁ of all players' optimizers, where the loss has a say in it: adversaries forget sooner.
        Beta1: float option
        /// The times of the steps that samples take, falling, 0 for the data; empty where any will do, and where rounds say it.
        Jumps: float list
        /// The rounds of its training; none for one that is of one piece.
        Rounds: Round list
        Loss: Loss
    }

    /// Times that the network is told: 2 for a map from one to the other.
    member o.Times = NetworkOutput.times o.Output

    /// Outputs of the network for every coordinate of a sample.
    member o.Outputs = NetworkOutput.count o.Output

    /// What the network is for.
    member o.Role = NetworkOutput.role o.Output

    /// What a network knows that was trained by it. Raises UserError for a classifier, which no samples come from.
    member o.Dynamics(network: Condition -> Field) : Dynamics = NetworkOutput.dynamics o.Path o.Output network

[<RequireQualifiedAccess>]
module Objective =

    /// A loss, and what it makes of a network.
    let withOutput name equation reference path output loss : Objective =
        { Name = name
          Equation = equation
          Reference = reference
          Path = path
          Output = output
          Uncertain = false
          Prepare = None
          Memory = None
          Players = []
          Beta1 = None
          Jumps = []
          Decay = None
          Rounds = []
          Loss = loss }

    /// An architecture as the objective wants it: one that says a number where it learns a potential, with a learned u(t) where it needs one.
    let network (o: Objective) (network: Network) : Network =
        network
        |> (NetworkOutput.head o.Output |> Option.map EnergyNetwork.ofNetwork |> Option.defaultValue id)
        |> if o.Uncertain then Networks.withUncertainty else id

    /// The objective whose batches are changed before anything else is done to them.
    let preparing (change: Rng -> Batch -> Batch) (o: Objective) : Objective =
        { o with
            Prepare =
                Some(fun rng batch ->
                    let batch = change rng batch
                    o.Prepare |> Option.fold (fun batch prepare -> prepare rng batch) batch) }

    /// A loss under which a network learns the given prediction on a path.
    let predicting name equation reference (path: GaussianPath) (prediction: Prediction) (loss: Loss) : Objective =
        withOutput name equation reference path (NetworkOutput.Prediction(prediction, None, false)) loss

    /// A loss under which a network learns to tell classes of noisy samples apart: nothing to sample from.
    let classifying name equation reference (path: GaussianPath) (loss: Loss) : Objective =
        withOutput name equation reference path NetworkOutput.ClassLogits loss

    let ofRegression (r: Regression) : Objective =
        let weight = if r.Weight.Name = Weight.uniform.Name then "" else r.Weight.Equation + " · "

        { predicting
              r.Name
              $"E {weight}‖y − ({r.Prediction.Equation})‖²"
              r.Reference
              r.Path
              r.Prediction
              (Loss.ofRegression r) with
            Uncertain = r.Weight.Learned }

    let ofMatching (m: Matching) : Objective =
        { withOutput m.Name m.Equation m.Reference m.Path (Matching.output m) (Matching.loss m) with
            Prepare = Some(Matching.pair m) }

    /// The same with what it predicts changed; any other output is none of this matter.
    let private predictingAs
        (change: Prediction -> Preconditioning option -> bool -> NetworkOutput)
        (what: string)
        (o: Objective)
        : NetworkOutput =
        match o.Output with
        | NetworkOutput.Prediction(prediction, preconditioning, withVariance) ->
            change prediction preconditioning withVariance
        | _ -> invalidArg (nameof o) $"{o.Name} learns no prediction: {what} is for those that do"

    /// An objective whose network gives the variance of the reverse steps as a second output.
    let withVariance (o: Objective) : Objective =
        { o with
            Output = o |> predictingAs (fun p c _ -> NetworkOutput.Prediction(p, c, true)) "a variance of the steps" }

    /// The same with labels left out at random in training, so that the network learns the null of classifier-free guidance too.
    let droppingLabels (probability: float) (o: Objective) : Objective =
        { o with Loss = Loss.droppingLabels probability o.Loss }

    /// The same with what is told in numbers left out at random in training, as a whole and part by part (`Loss.droppingNumbers`).
    let droppingNumbers (widths: int list) (probability: float) (o: Objective) : Objective =
        { o with Loss = Loss.droppingNumbers widths probability o.Loss }

    /// An objective whose network says a potential, the gradient of which learns what the network itself would (`EnergyNetwork`).
    let ofPotential (o: Objective) : Objective =
        { o with
            Loss = fun context -> o.Loss(LossContext.map EnergyNetwork.gradient context)
            Output = o |> predictingAs (fun said _ _ -> NetworkOutput.Potential said) "a potential" }

    /// The same objective with the labels withheld from the network.
    let withoutLabels (o: Objective) : Objective =
        let untold (batch: Batch) = { batch with Label = None }
        let untelling (loss: Loss) : Loss = fun context rng batch -> loss context rng (untold batch)

        { o with
            Prepare = o.Prepare |> Option.map (fun prepare -> fun rng batch -> prepare rng (untold batch))
            Memory = o.Memory |> Option.map (fun memory -> fun context rng batch -> memory context rng (untold batch))
            Players = o.Players |> List.map (fun player -> { player with Loss = untelling player.Loss })
            Loss = untelling o.Loss }

    /// The share of a batch's data that is in the pairs made of it, 1 but for a coupling that leaves some out; none where no pairs are made.
    let used (rng: Rng) (batch: Batch) (o: Objective) : float option =
        let distinct (x: Tensor) =
            let rows = Tensor.flattenRows x

            Tensor.toFloats rows |> Array.chunkBySize rows.Shape[1] |> Array.distinct |> Array.length |> float

        o.Prepare
        |> Option.map (fun prepare -> Scope.run (fun () -> distinct (prepare rng batch).Data / distinct batch.Data))

    /// The same with c_in, c_skip, c_out, c_noise around the network, before training and after.
    let preconditioned (p: Preconditioning) (o: Objective) : Objective =
        let wrap = Preconditioning.wrap p

        { o with
            Loss = fun context -> o.Loss(LossContext.map wrap context)
            Output = o |> predictingAs (fun said _ v -> NetworkOutput.Prediction(said, Some p, v)) "a preconditioning" }
