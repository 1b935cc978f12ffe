namespace Fokker

/// A loss together with what it makes of a network: all that a trainer and a sampler have to agree on.
[<NoComparison; NoEquality>]
type Objective =
    {
        Name: string
        Equation: string
        Source: string
        Path: GaussianPath
        /// Times that the network is told: 2 for a map from one to the other.
        Times: int
        /// How many numbers the network gives for each coordinate of a sample.
        Outputs: int
        /// Whether the network needs a learned u(t).
        Uncertain: bool
        /// What is done to a batch before the step that needs it, on another thread if there is one: pairing.
        Prepare: (Rng -> Batch -> Batch) option
        /// The decay of the parameters' average at each step, where the loss has a say in it: its target is that average.
        Decay: (int64 -> float) option
        Loss: Loss
        /// Raises UserError where nothing was learned that samples could come from: a classifier.
        Learned: (Condition -> Field) -> Learned
    }

[<RequireQualifiedAccess>]
module Objective =

    let private plain name equation source path loss learned : Objective =
        { Name = name
          Equation = equation
          Source = source
          Path = path
          Times = 1
          Outputs = 1
          Uncertain = false
          Prepare = None
          Decay = None
          Loss = loss
          Learned = learned }

    /// A loss under which a network learns the given prediction on a path.
    let predicting name equation source (path: GaussianPath) (prediction: Prediction) (loss: Loss) : Objective =
        plain name equation source path loss (fun network -> Denoising(Model.make path prediction network))

    let ofRegression (r: Regression) : Objective =
        let weight = if r.Weight.Name = Weight.uniform.Name then "" else r.Weight.Equation + " · "

        { predicting
              r.Name
              $"E {weight}‖y − ({r.Prediction.Equation})‖²"
              r.Source
              r.Path
              r.Prediction
              (Loss.ofRegression r) with
            Uncertain = r.Weight.Learned }

    let ofMatching (m: Matching) : Objective =
        { plain m.Name m.Equation m.Citation m.Path (Matching.loss m) (Matching.flow m >> Transport) with
            Outputs = (if m.Diffusion.IsSome then 2 else 1)
            Prepare = Some(Matching.pair m) }

    /// An objective whose network says the variance of the reverse steps by a second output.
    let withVariance (o: Objective) : Objective =
        let both (network: Condition -> Field) (condition: Condition) =
            let network = network condition

            fun t (x: Tensor) ->
                let y = network t x
                let width = x.Shape[1]
                struct (Tensor.narrow 1 0 width y, Tensor.narrow 1 width width y)

        { o with
            Outputs = 2
            Learned =
                fun network ->
                    match o.Learned(Networks.part 0 network) with
                    | Denoising model -> Denoising { model with WithVariance = Some(both network) }
                    | other -> other }

    /// The same with labels left out at random in training, so that the network learns the null of classifier-free guidance too.
    let droppingLabels (probability: float) (o: Objective) : Objective =
        { o with Loss = Loss.droppingLabels probability o.Loss }

    /// The same objective with the labels withheld from the network.
    let withoutLabels (o: Objective) : Objective =
        let untold (batch: Batch) = { batch with Label = None }

        { o with
            Prepare = o.Prepare |> Option.map (fun prepare -> fun rng batch -> prepare rng (untold batch))
            Loss = fun context rng batch -> o.Loss context rng (untold batch) }

    /// The same with c_in, c_skip, c_out, c_noise around the network, before training and after.
    let preconditioned (p: Preconditioning) (o: Objective) : Objective =
        let wrap = Preconditioning.wrap p

        { o with
            Loss = fun context -> o.Loss(LossContext.map wrap context)
            Learned = fun network -> o.Learned(fun condition -> wrap (network condition)) }
