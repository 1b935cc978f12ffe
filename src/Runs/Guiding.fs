namespace Fokker

open System

/// What the options of guidance come to.
type GuidanceChoice =
    {
        Scale: float option
        Interval: (float * float) option
        Rescale: float option
        /// The weaker run of autoguidance.
        Weaker: string option
    }

/// log p(c | t, x_t) of samples noised along a path: a run's that learned it, or that of an exact law.
[<NoComparison; NoEquality>]
type Judge =
    {
        Name: string
        Path: GaussianPath
        /// Of a sample.
        Shape: int list
        Classes: string list
        /// labels [B], t, x_t ↦ [B].
        LogClass: Tensor -> Tensor -> Tensor -> Tensor
    }

[<RequireQualifiedAccess>]
module Judge =

    /// The name of an exact law's own classifier.
    let exactly = "exact"

    /// That of a run trained by the loss `classifier`. Raises UserError where it was trained by another.
    let trained (folder: RunFolder) (job: Job) (parameters: Tensor[]) : Judge =
        if not job.IsClassifier then
            raise (
                UserError
                    $"--classifier {folder.Name}: it was trained by {job.Recipe.Loss}, and tells no classes apart: take a run trained by ./fokker train DATASET --loss classifier"
            )

        { Name = folder.Name
          Path = job.Objective.Path
          Shape = job.Data.Shape
          Classes = job.Data.Classes
          LogClass = NoisyClassifier.logClass job.Network parameters }

    /// That of a mixture with classes. Raises UserError for a run, whose law nobody knows.
    let exact (subject: Subject) : Judge =
        match subject.Origin with
        | Exact(_, mixture) ->
            { Name = exactly
              Path = subject.Path
              Shape = subject.Data.Shape
              Classes = subject.Data.Classes
              LogClass = Mixture.logClass subject.Path mixture }
        | Trained _
        | Supplied _ ->
            raise (
                UserError
                    $"--classifier {exactly}: only an oracle's is known: take a run trained by ./fokker train DATASET --loss classifier"
            )

/// A model under the guidance that the command line asks for.
[<RequireQualifiedAccess>]
module Guiding =

    let none: GuidanceChoice = { Scale = None; Interval = None; Rescale = None; Weaker = None }

    /// Raises UserError where a number cannot be, or there is nothing that it could be a number of.
    let private settings (choice: GuidanceChoice) : Guidance option =
        match choice.Interval with
        | Some(low, high) when not (low >= 0.0 && high > low) ->
            raise (
                UserError
                    $"--guidance-interval {low} {high}: expected two noise levels σ/α, the lower one first and neither below 0"
            )
        | _ -> ()

        match choice.Rescale with
        | Some phi when not (phi >= 0.0 && phi <= 1.0) ->
            raise (UserError $"--guidance-rescale {phi}: expected a number from 0, no rescaling, to 1")
        | _ -> ()

        match choice.Scale with
        | Some scale when not (Double.IsFinite scale) ->
            raise (UserError $"--guidance {scale}: expected a number; 0 is unconditional, 1 plain, more is guided")
        | Some scale -> Some { Scale = scale; Interval = choice.Interval; Rescale = defaultArg choice.Rescale 0.0 }
        | None ->
            for option, isGiven in
                [ "--guidance-interval", choice.Interval.IsSome
                  "--guidance-rescale", choice.Rescale.IsSome
                  "--autoguidance", choice.Weaker.IsSome ] do
                if isGiven then
                    raise (UserError $"{option}: it says nothing of how much: give a scale with --guidance, such as 2")

            None

    /// Raises UserError where the network knows no classes, or nothing besides them.
    let private requireNull (option: string) (subject: Subject) =
        let instead = "or guide it by a weaker run with --guidance 2 --autoguidance RUN"

        match subject.Origin with
        | Supplied _ -> raise (UserError $"{option}: {subject.Name} is told no classes: {instead}")
        | Trained _ when not subject.Labels ->
            raise (
                UserError
                    $"{option}: {subject.Name} was told no classes, so there is none to guide towards: take a run trained with --labels on --label-dropout 0.1, {instead}"
            )
        | Trained _ when not subject.Null ->
            raise (
                UserError
                    $"{option}: {subject.Name} was told the class of every sample and never learned what no class looks like: take a run trained with --label-dropout 0.1, {instead}"
            )
        | Exact _ when subject.Data.Classes.Length < 2 ->
            raise (UserError $"{option}: {subject.Name} is of one class: there is none to guide towards")
        | _ -> ()

    let private jumps (option: string) (subject: Subject) =
        raise (
            UserError
                $"{option}: {subject.Name} goes by jumps, and what it says of two classes does not add up: guide a run that knows a velocity or a score"
        )

    let private byItself (guidance: Guidance) (subject: Subject) : Subject =
        let option = $"--guidance {guidance.Scale}"
        requireNull option subject

        { subject with
            Guidance = Some(Guide.Unconditional guidance)
            Learned =
                match subject.Learned with
                | Denoising model -> Denoising(Guidance.model guidance model)
                | Transport flow -> Transport(Guidance.flow guidance flow)
                | Mapping _ -> jumps option subject }

    let private byAnother (guidance: Guidance) (weaker: Subject) (subject: Subject) : Subject =
        let own, other = subject.Model "--autoguidance", weaker.Model "--autoguidance"

        if weaker.Data.Shape <> subject.Data.Shape then
            raise (
                UserError
                    $"--autoguidance {weaker.Name}: its samples are of another shape than those of {subject.Name}: take a weaker run on the same data"
            )

        if own.Path.Name <> other.Path.Name then
            raise (
                UserError
                    $"--autoguidance {weaker.Name}: it is on the path {other.Path.Name}, {subject.Name} on {own.Path.Name}: take a weaker run on the same path"
            )

        // One that is told no classes is weaker in that too.
        let other = if weaker.Labels then other else Model.withNetwork (fun _ -> other.Network None) other

        { subject with
            Guidance = Some(Guide.Weaker(guidance, weaker.Name))
            Learned = Denoising(Guidance.autoguided guidance other own) }

    /// The subject under guidance, or as it is where none is asked for; `load` finds a weaker run by its name.
    let apply (load: string -> Subject) (choice: GuidanceChoice) (subject: Subject) : Subject =
        match settings choice, choice.Weaker with
        | None, _ -> subject
        | Some guidance, None -> byItself guidance subject
        | Some guidance, Some run -> byAnother guidance (load run) subject

    let private requireAlone (option: string) (others: (string * bool) list) =
        for other, isGiven in others do
            if isGiven then
                raise (UserError $"{option}: it is another way to guide than {other}: leave one of them out")

    /// The subject pushed along s times the gradient of what a classifier says of noisy samples (Dhariwal, Nichol 2021): s has the meaning that it has in
    /// classifier-free guidance. Raises UserError where there is no scale, another kind of guidance is asked for too, or the two do not fit.
    let byClassifier (judge: Judge) (choice: GuidanceChoice) (subject: Subject) : Subject =
        let option = $"--classifier {judge.Name}"

        requireAlone
            option
            [ "--autoguidance", choice.Weaker.IsSome
              "--guidance-interval", choice.Interval.IsSome
              "--guidance-rescale", choice.Rescale.IsSome ]

        match settings choice with
        | None -> raise (UserError $"{option}: it says nothing of how much: give a scale with --guidance, such as 2")
        | Some guidance ->
            let own = subject.Model "--classifier"

            if judge.Shape <> subject.Data.Shape || judge.Classes.Length <> subject.Data.Classes.Length then
                raise (
                    UserError
                        $"{option}: its samples or classes are others than those of {subject.Name}: take one trained on the same data"
                )

            if judge.Path.Name <> own.Path.Name then
                raise (
                    UserError
                        $"{option}: it knows noise of the path {judge.Path.Name}, {subject.Name} is on {own.Path.Name}: train one with --path {own.Path.Name}"
                )

            if subject.Labels && not subject.Null then
                raise (
                    UserError
                        $"{option}: {subject.Name} was told the class of every sample and never learned what no class looks like: take a run trained with --label-dropout 0.1, or with --labels off"
                )

            { subject with
                Guidance = Some(Guide.Classifier(guidance.Scale, judge.Name))
                // Told classes by way of the classifier: trained ones take turns where none is asked for.
                Labels =
                    match subject.Origin with
                    | Trained _ -> true
                    | Supplied _
                    | Exact _ -> subject.Labels
                Learned = Denoising(Guidance.byClassifier guidance.Scale judge.LogClass own) }

    /// CLASS:WEIGHT,… as classes and weights. Raises UserError where it is something else.
    let private terms (subject: Subject) (given: string) : (int * float) list =
        let term (text: string) =
            match text.LastIndexOf ':' with
            | -1 -> text, ""
            | at -> text.Substring(0, at), text.Substring(at + 1)

        let terms =
            [ for text in given.Split(',', StringSplitOptions.TrimEntries) do
                  let label, weight = term text

                  match Double.TryParse(weight, Globalization.CultureInfo.InvariantCulture) with
                  | true, w when Double.IsFinite w && w <> 0.0 -> Subject.classOf "--compose" subject label, w
                  | _ ->
                      raise (
                          UserError
                              $"--compose {given}: '{text}' is no class and weight: expected CLASS:WEIGHT with a weight other than 0, such as 3:1.5,8:-0.5"
                      ) ]

        match terms |> List.countBy fst |> List.tryFind (fun (_, n) -> n > 1) with
        | Some(label, _) -> raise (UserError $"--compose {given}: class {label} is there twice: give it one weight")
        | None -> terms

    /// The subject pushed towards classes and away from others, by weights (Liu et al. 2022): `given` is CLASS:WEIGHT,…. Its samples are of no one class
    /// after that. Raises UserError where it says something else, another kind of guidance is asked for too, or there is no null.
    let composed (given: string) (choice: GuidanceChoice) (subject: Subject) : Subject =
        let option = $"--compose {given}"

        requireAlone
            option
            [ "--guidance", choice.Scale.IsSome
              "--autoguidance", choice.Weaker.IsSome
              "--guidance-interval", choice.Interval.IsSome
              "--guidance-rescale", choice.Rescale.IsSome ]

        requireNull option subject
        let terms = terms subject given

        let together (network: Condition -> Field) (_: Condition) : Field =
            fun t x ->
                let labels label = Tensor.full (Kind.Int64.On x.Device) [ x.Shape[0] ] (float label)
                Guidance.composed [ for label, w in terms -> w, labels label ] network t x

        match subject.Learned with
        | Mapping _ -> jumps option subject
        | Denoising _
        | Transport _ -> ()

        { subject with
            Guidance = Some(Guide.Composition terms)
            Labels = false
            Learned = Learned.map together subject.Learned }
