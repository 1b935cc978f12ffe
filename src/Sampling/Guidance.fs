namespace Fokker

open System

/// How far a field is pushed away from another one, and where.
type Guidance =
    {
        /// s in y_other + s (y − y_other): 0 is the other field, 1 the field itself, more is guided.
        Scale: float
        /// The noise levels ς = σ/α, low < ς ≤ high, at which it is guided; all where there are none.
        Interval: (float * float) option
        /// φ from 0 to 1: the share of the result whose standard deviation is put back to that of y.
        Rescale: float
    }

/// Guidance wraps a field, so that it goes with every sampler. A network's prediction is affine in the score and, at each time, weights
/// that sum to one commute with affine maps: classifier-free guidance, autoguidance and compositions are the same thing whatever the network
/// predicts, and on the velocity of a coupled flow too.
[<RequireQualifiedAccess>]
module Guidance =

    /// Guidance of scale s at every noise level, without rescaling.
    let scaled (scale: float) : Guidance = { Scale = scale; Interval = None; Rescale = 0.0 }

    /// ς = σ/α, that of the interval, on a path.
    let noiseLevel (path: GaussianPath) : Curve = exp (-path.Lambda)

    // ---- two fields

    /// x·std(y)/std(x) for the share φ, per sample over everything but the batch (Lin et al. 2024, Common diffusion noise schedules and
    /// sample steps are flawed, eq. 15–16). The one part that is not affine: it depends on what the network predicts. A sample of which x is
    /// constant, as one of a single coordinate is, has no spread to put back and stays as it is.
    let private rescaled (phi: float) (y: Tensor) (x: Tensor) : Tensor =
        if phi = 0.0 then
            x
        else
            let deviation x = sqrt (Tensor.varianceOver [ 1 ] 0 (Tensor.flattenRows x))
            let wanted, own = deviation y, deviation x
            let isFlat, one = Tensor.equalTo 0.0 own, Tensor.onesLike own
            let ratio = Tensor.where isFlat one (wanted / Tensor.where isFlat one own)
            Tensor.perSample x (phi * ratio + (1.0 - phi)) * x

    let private push (g: Guidance) (y: Tensor) (other: Tensor) : Tensor =
        rescaled g.Rescale y (other + g.Scale * (y - other))

    let private isInside (low: float, high: float) (level: float) = low < level && level <= high

    /// `guided` at the noise levels of the interval, `plain` elsewhere; each is asked only where some sample of the batch needs it.
    let private within (g: Guidance) (level: Curve) (plain: Field) (guided: Field) : Field =
        match g.Interval with
        | None -> guided
        | Some interval ->
            fun t x ->
                let inside = Tensor.toFloats t |> Array.map (Curve.eval level >> isInside interval)

                if Array.forall id inside then
                    guided t x
                elif not (Array.contains true inside) then
                    plain t x
                else
                    let inside =
                        Tensor.ofArray [ inside.Length ] (inside |> Array.map (fun i -> if i then 1.0 else 0.0))
                    Tensor.where (Tensor.greaterThan 0.5 (Tensor.perSample x inside)) (guided t x) (plain t x)

    /// Raises ArgumentException where the settings mean nothing.
    let private check (g: Guidance) =
        if not (Double.IsFinite g.Scale) then
            invalidArg "Scale" $"guidance of scale {g.Scale}: a finite number is needed"

        if not (g.Rescale >= 0.0 && g.Rescale <= 1.0) then
            invalidArg "Rescale" $"guidance rescaled by {g.Rescale}: a number from 0 to 1 is needed"

        match g.Interval with
        | Some(low, high) when not (low >= 0.0 && high > low) ->
            invalidArg "Interval" $"guidance at noise levels from {low} to {high}: 0 ≤ low < high is needed"
        | _ -> ()

    /// y_other + s (y − y_other) inside the interval, y outside (Karras et al. 2024, Guiding a diffusion model with a bad version of itself, eq. 5;
    /// the interval after Kynkäänniemi et al. 2024). `level` is ς(t). Both fields say the same quantity.
    /// Raises ArgumentException where the settings mean nothing.
    let against
        (g: Guidance)
        (level: Curve)
        (other: Condition -> Field)
        (network: Condition -> Field)
        : Condition -> Field =
        check g

        fun condition ->
            let plain = network condition

            if g.Scale = 1.0 then
                plain
            else
                let other = other condition

                within g level plain (fun t x ->
                    if g.Scale = 0.0 && g.Rescale = 0.0 then other t x else push g (plain t x) (other t x))

    // ---- one network under several conditions

    /// The network's predictions under each of k conditions, labels [B], in one batch of k·B.
    let private together (network: Condition -> Field) (conditions: Tensor list) : Tensor -> Tensor -> Tensor[] =
        let field = network (Some(Tensor.cat 0 conditions))
        let again (a: Tensor) = Tensor.cat 0 [ for _ in conditions -> a ]
        fun t x -> field (if t.Rank = 0 || t.Shape[0] = 1 then t else again t) (again x) |> Tensor.split x.Shape[0] 0

    /// y_null + s (y_c − y_null): s = 0 is unconditional, 1 plain, more is guided (Ho, Salimans 2022, Classifier-free diffusion guidance, eq. 6, whose
    /// w is s − 1). The null is the label −1, or numbers that are not told; both are one call of the network with twice the batch. Without labels there is nothing to guide by.
    /// Raises ArgumentException where the settings mean nothing.
    let classifierFree (g: Guidance) (level: Curve) (network: Condition -> Field) : Condition -> Field =
        check g

        function
        | None -> network None
        | Some labels when g.Scale = 1.0 -> network (Some labels)
        | Some labels ->
            let both = together network [ labels; Condition.nothing labels ]
            let alone = network None

            within g level (network (Some labels)) (fun t x ->
                if g.Scale = 0.0 && g.Rescale = 0.0 then
                    alone t x
                else
                    let y = both t x
                    push g y[0] y[1])

    /// y_null + Σ wᵢ (y_cᵢ − y_null) for conditions cᵢ, labels [B]: a product of conditions with positive weights, negation of those with negative ones
    /// (Liu et al. 2022, Compositional visual generation, eq. 11 and 13). It is the score of the law ∝ p_t Π (p_t(· | cᵢ)/p_t)^wᵢ at each time; that is
    /// the product of the data's laws at t = 0 only, and the path of it where the laws are Gaussians of one covariance.
    /// Raises ArgumentException where there is no condition.
    let composed (terms: (float * Tensor) list) (network: Condition -> Field) : Field =
        match terms with
        | [] -> invalidArg (nameof terms) "a composition of no conditions"
        | (_, labels) :: _ ->
            let all = together network (Condition.nothing labels :: List.map snd terms)

            fun t x ->
                let y = all t x
                terms |> List.mapi (fun k (w, _) -> w * (y[k + 1] - y[0])) |> List.fold (+) y[0]

    // ---- models and flows

    /// A model under classifier-free guidance.
    let model (g: Guidance) (model: Model) : Model =
        model |> Model.withNetwork (classifierFree g (noiseLevel model.Path) model.Network)

    /// A model guided by a weaker one in the null's place: less trained, or smaller (Karras et al. 2024, section 3). They may predict different
    /// things: what the weaker one says is converted. Raises ArgumentException where they are not on the same path.
    let autoguided (g: Guidance) (weaker: Model) (model: Model) : Model =
        if weaker.Path.Name <> model.Path.Name then
            invalidArg (nameof weaker) $"it is on the path {weaker.Path.Name}, the model on {model.Path.Name}"

        model
        |> Model.withNetwork (against g (noiseLevel model.Path) (Model.reading model.Prediction weaker) model.Network)

    /// A coupled flow under classifier-free guidance, its velocity and E[z | x_t] alike; the noise level is b/a.
    let flow (g: Guidance) (flow: Flow) : Flow =
        let guided = classifierFree g (flow.Interpolant.B / flow.Interpolant.A)

        { flow with
            Velocity = guided flow.Velocity
            Noise = flow.Noise |> Option.map (fun (noise, g2) -> guided noise, g2) }

    /// The score of a model's null plus s ∇log p(c | t, x_t), in the units of its prediction (Dhariwal, Nichol 2021, Diffusion models beat GANs, section 4;
    /// Sohl-Dickstein et al. 2015). `logClass labels t x` is log p(label | t, x_t) [B]; s = 1 with the exact one is the conditional law. A model of
    /// classes is guided in its own class where its network is `fun _ -> model.Network (Some labels)`.
    /// Raises ArgumentException in use where the score does not determine the prediction: at times where α or σ is 0.
    let byClassifier (scale: float) (logClass: Tensor -> Tensor -> Tensor -> Tensor) (model: Model) : Model =
        let fromScore = Prediction.converter model.Path Prediction.score model.Prediction

        model
        |> Model.withNetwork (fun condition ->
            let network = model.Network None

            match condition with
            | None -> network
            | Some labels ->
                fun t x ->
                    let struct (_, gain) = fromScore t
                    let gradient = Diff.grad (logClass labels t >> Tensor.sum) x
                    Coefficient.combine [ Number 1.0, network t x; gain, scale * gradient ])
