namespace Fokker

open System

/// Models under guidance.
[<RequireQualifiedAccess>]
module Guided =

    let private classifierName (request: GuidanceRequest) =
        match request.Classifier with
        | Some ClassifierChoice.Own -> "exact"
        | Some(ClassifierChoice.Trained posterior) -> posterior.Name
        | None -> ""

    /// Raises RefusedException where a number cannot be, or there is nothing that it could be a number of.
    let private settings (request: GuidanceRequest) : Guidance option =
        match request.Interval with
        | Some(low, high) when not (low >= 0.0 && high > low) ->
            refuse
                Setting.GuidanceInterval
                $"{low} {high}"
                $"expected two noise levels σ/α, the lower one first and neither below 0"
        | _ -> ()

        match request.Rescale with
        | Some phi when not (phi >= 0.0 && phi <= 1.0) ->
            refuse Setting.GuidanceRescale phi $"expected a number from 0, no rescaling, to 1"
        | _ -> ()

        match request.Scale with
        | Some scale when not (Double.IsFinite scale) ->
            refuse Setting.Guidance scale $"expected a number; 0 is unconditional, 1 plain, more is guided"
        | Some scale -> Some { Scale = scale; Interval = request.Interval; Rescale = defaultArg request.Rescale 0.0 }
        | None ->
            for setting, given, isGiven in
                [ Setting.GuidanceInterval, "", request.Interval.IsSome
                  Setting.GuidanceRescale, "", request.Rescale.IsSome
                  Setting.Weaker, "", request.Weaker.IsSome
                  Setting.Classifier, classifierName request, request.Classifier.IsSome ] do
                if isGiven then
                    refuseWith
                        setting
                        given
                        $"it does not say how far to guide"
                        $"give a scale as well, {Setting.Guidance.Is 2} for instance"

            None

    /// Raises RefusedException where the network knows no classes, or nothing besides them.
    let private requireNull (setting: Setting) (given: string) (model: GenerativeModel) =
        let weaker: FormattableString = $"guide it by a weaker model with {Setting.Guidance.Is 2} and {Setting.Weaker}"

        match model.Origin with
        | Origin.Supplied -> refuseWith setting given $"{model.Name} is told no classes" weaker
        | Origin.Trained _ when not model.IsTold ->
            refuseWith
                setting
                given
                $"{model.Name} was told no classes, so there is none to guide towards"
                $"""take one trained with {Setting.Labels.Is "on"} and {Setting.LabelDropout.Is 0.1}, or guide it by a weaker model with {Setting.Weaker}"""
        | Origin.Trained _ when not model.Null ->
            refuseWith
                setting
                given
                (if model.Given.IsSome then
                     $"{model.Name} was told {Given.text model.Given.Value} of every sample and never learned what samples look like without"
                 else
                     $"{model.Name} was told the class of every sample and never learned what no class looks like")
                $"take one trained with {Setting.LabelDropout.Is 0.1}, or guide it by a weaker model with {Setting.Weaker}"
        | Origin.Exact _ when model.Classes.Length < 2 ->
            refuse setting given $"{model.Name} is of one class: there is none to guide towards"
        | _ -> ()

    let private refuseMap (setting: Setting) (given: string) (model: GenerativeModel) : 'T =
        refuseWith
            setting
            given
            (match model.Dynamics with
             | Jumping _ -> $"{model.Name} jumps, and the rates of two classes cannot be added"
             | _ -> $"{model.Name} is a map along the flow, and the maps of two classes cannot be added")
            $"guide a model that knows a velocity or a score"

    /// A network that is told how far to guide: one evaluation, whatever the scale.
    let private byKnob
        (guidance: Guidance)
        (least: float, most: float)
        (trained: TrainedNetwork)
        (model: GenerativeModel)
        : GenerativeModel =
        let w = guidance.Scale - 1.0

        if not (least <= w && w <= most) then
            refuse
                Setting.Guidance
                guidance.Scale
                $"{model.Name} was trained for guidance from {least + 1.0} to {most + 1.0}"

        match guidance.Interval, guidance.Rescale with
        | Some(low, high), _ ->
            refuse
                Setting.GuidanceInterval
                $"{low} {high}"
                $"{model.Name} says the guided prediction itself: leave it out"
        | _, rescale when rescale <> 0.0 ->
            refuse Setting.GuidanceRescale rescale $"{model.Name} says the guided prediction itself: leave it out"
        | _ -> ()

        { model with
            Guidance = Some(Guide.Unconditional guidance)
            Dynamics = NetworkOutput.dynamicsAt w trained.Path trained.Output (trained.Network.Apply trained.Parameters) }

    /// E_null + w (E_c − E_null): the energy whose score is the guided one. An interval of times and a rescaling mean nothing to it.
    let private guidedEnergy (guidance: Guidance) (energy: Energy) : Energy =
        if guidance.Interval.IsSome || guidance.Rescale <> 0.0 then
            refuse
                (if guidance.Interval.IsSome then Setting.GuidanceInterval else Setting.GuidanceRescale)
                ""
                $"an energy without time is guided as a whole: leave it out"

        { energy with
            Potential =
                fun condition ->
                    let own = energy.Potential condition
                    let none = energy.Potential(Option.map Condition.nothing condition)

                    fun x ->
                        let free = none x
                        free + guidance.Scale * (own x - free) }

    let private byItself (guidance: Guidance) (model: GenerativeModel) : GenerativeModel =
        match model.Origin with
        | Origin.Trained trained when (NetworkOutput.knob trained.Output).IsSome ->
            byKnob guidance (NetworkOutput.knob trained.Output).Value trained model
        | _ ->

            requireNull Setting.Guidance (string guidance.Scale) model

            { model with
                Guidance = Some(Guide.Unconditional guidance)
                Dynamics =
                    // What a map of two times says of two classes does not add up, but its velocities do.
                    match Dynamics.following model.Dynamics with
                    | Denoising score -> Denoising(Guidance.model guidance score)
                    | Transport flow -> Transport(Guidance.flow guidance flow)
                    | Landscape energy -> Landscape(guidedEnergy guidance energy)
                    | Mapping _
                    | Jumping _ -> refuseMap Setting.Guidance (string guidance.Scale) model }

    let private byAnother (guidance: Guidance) (weaker: GenerativeModel) (model: GenerativeModel) : GenerativeModel =
        let own, other = model.ScoreModel(Setting.Weaker, weaker.Name), weaker.ScoreModel(Setting.Weaker, weaker.Name)

        if weaker.Shape <> model.Shape || not (LatentSpace.same weaker.Latent model.Latent) then
            refuse
                Setting.Weaker
                weaker.Name
                $"its samples are of another shape than those of {model.Name}: take a weaker model of the same data"

        if own.Path.Name <> other.Path.Name then
            refuse
                Setting.Weaker
                weaker.Name
                $"it is on the path {other.Path.Name}, {model.Name} on {own.Path.Name}: take a weaker model on the same path"

        // One that is told no classes is weaker in that too.
        let other =
            if weaker.Labels && model.Given.IsNone || weaker.Given.IsSome && weaker.Given = model.Given then
                other
            else
                Model.withNetwork (fun _ -> other.Network None) other

        { model with
            Guidance = Some(Guide.Weaker(guidance, weaker.Name))
            Dynamics = Denoising(Guidance.autoguided guidance other own) }

    /// Raises RefusedException where another kind of guidance is asked for too.
    let private requireAlone (setting: Setting) (given: string) (others: (Setting * bool) list) =
        for other, isGiven in others do
            if isGiven then
                refuse setting given $"it is another way to guide than {other}: leave one of them out"

    /// The model with s times the gradient of a classifier's log-probability of noisy samples added to its score (Dhariwal, Nichol 2021): s has the meaning that it has in
    /// classifier-free guidance. Raises RefusedException where another kind of guidance is asked for too, or the two do not fit.
    let private byClassifier
        (posterior: ClassPosterior)
        (guidance: Guidance)
        (request: GuidanceRequest)
        (model: GenerativeModel)
        : GenerativeModel =
        requireAlone
            Setting.Classifier
            posterior.Name
            [ Setting.Weaker, request.Weaker.IsSome
              Setting.GuidanceInterval, request.Interval.IsSome
              Setting.GuidanceRescale, request.Rescale.IsSome ]

        let own = model.ScoreModel(Setting.Classifier, posterior.Name)

        if
            posterior.Shape <> model.Shape
            || model.Latent.IsSome
            || posterior.Classes.Length <> model.Classes.Length
        then
            refuse
                Setting.Classifier
                posterior.Name
                $"its samples or classes are others than those of {model.Name}: take one trained on the same data"

        if posterior.Path.Name <> own.Path.Name then
            refuseWith
                Setting.Classifier
                posterior.Name
                $"it knows noise of the path {posterior.Path.Name}, {model.Name} is on {own.Path.Name}"
                $"train one with {Setting.Path.Is own.Path.Name}"

        if model.Labels && not model.Null then
            refuseWith
                Setting.Classifier
                posterior.Name
                $"{model.Name} was told the class of every sample and never learned what no class looks like"
                $"""take a model trained with {Setting.LabelDropout.Is 0.1}, or with {Setting.Labels.Is "off"}"""

        { model with
            Guidance = Some(Guide.Classifier(guidance.Scale, posterior.Name))
            // It is told classes by way of the classifier: a trained model's samples take turns where none is asked for.
            Labels =
                match model.Origin with
                | Origin.Trained _ -> true
                | Origin.Supplied
                | Origin.Exact _ -> model.Labels
            Dynamics = Denoising(Guidance.byClassifier guidance.Scale posterior.LogClass own) }

    /// CLASS:WEIGHT,… for a message.
    let private shown (terms: (string * float) list) =
        String.Join(",", terms |> List.map (fun (label, weight) -> FormattableString.Invariant $"{label}:{weight}"))

    /// The model pushed towards classes and away from others, by weights (Liu et al. 2022). Its samples are of no one class after that. Raises
    /// RefusedException where a class is not there or comes twice, another kind of guidance is asked for too, or there is no null.
    let private composed (request: GuidanceRequest) (model: GenerativeModel) : GenerativeModel =
        let given = shown request.Composition

        requireAlone
            Setting.Composition
            given
            [ Setting.Guidance, request.Scale.IsSome
              Setting.Classifier, request.Classifier.IsSome
              Setting.Weaker, request.Weaker.IsSome
              Setting.GuidanceInterval, request.Interval.IsSome
              Setting.GuidanceRescale, request.Rescale.IsSome ]

        requireNull Setting.Composition given model

        if model.Given.IsSome then
            refuse
                Setting.Composition
                given
                $"{model.Name} is told {Given.text model.Given.Value}: what is composed are models that are told a class alone"

        let terms =
            [ for label, weight in request.Composition do
                  if not (Double.IsFinite weight) || weight = 0.0 then
                      refuse
                          Setting.Composition
                          given
                          $"class {label} has the weight {weight}: expected a number other than 0"

                  GenerativeModel.classOf Setting.Composition model label, weight ]

        match terms |> List.countBy fst |> List.tryFind (fun (_, n) -> n > 1) with
        | Some(label, _) -> refuse Setting.Composition given $"class {label} is there twice: give it one weight"
        | None -> ()

        let together (network: Condition -> Field) (_: Condition) : Field =
            fun t x ->
                let labels label = Tensor.full (Kind.Int64.On x.Device) [ x.Shape[0] ] (float label)
                Guidance.composed [ for label, w in terms -> w, labels label ] network t x

        let dynamics = Dynamics.following model.Dynamics

        match dynamics with
        | Jumping _
        | Mapping _ -> refuseMap Setting.Composition given model
        | Landscape _
        | Denoising _
        | Transport _ -> ()

        { model with
            Guidance = Some(Guide.Composition terms)
            Labels = false
            Dynamics = Dynamics.map together dynamics }

    /// The model under the guidance that is asked for, or as it is where none is. Raises RefusedException where the request cannot be met.
    let apply (request: GuidanceRequest) (model: GenerativeModel) : GenerativeModel =
        if not request.Composition.IsEmpty then
            composed request model
        else
            match settings request, request.Classifier, request.Weaker with
            | None, _, _ -> model
            | Some guidance, Some classifier, _ ->
                let posterior =
                    match classifier with
                    | ClassifierChoice.Own -> ClassPosterior.exact model
                    | ClassifierChoice.Trained posterior -> posterior

                byClassifier posterior guidance request model
            | Some guidance, None, Some weaker -> byAnother guidance weaker.Value model
            | Some guidance, None, None -> byItself guidance model
