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
    let private requireNull (scale: float) (subject: Subject) =
        let instead = "or guide it by a weaker run with --autoguidance RUN"

        match subject.Origin with
        | Trained _ when not subject.Labels ->
            raise (
                UserError
                    $"--guidance {scale}: {subject.Name} was told no classes, so there is none to guide towards: take a run trained with --labels on --label-dropout 0.1, {instead}"
            )
        | Trained _ when not subject.Null ->
            raise (
                UserError
                    $"--guidance {scale}: {subject.Name} was told the class of every sample and never learned what no class looks like: take a run trained with --label-dropout 0.1, {instead}"
            )
        | Exact _ when subject.Data.Classes.Length < 2 ->
            raise (UserError $"--guidance {scale}: {subject.Name} is of one class: there is none to guide towards")
        | _ -> ()

    let private byItself (guidance: Guidance) (subject: Subject) : Subject =
        requireNull guidance.Scale subject

        { subject with
            Guidance = Some(guidance, Unconditional)
            Learned =
                match subject.Learned with
                | Denoising model -> Denoising(Guidance.model guidance model)
                | Transport flow -> Transport(Guidance.flow guidance flow)
                | Jumping _ ->
                    raise (
                        UserError
                            $"--guidance {guidance.Scale}: {subject.Name} jumps to the data, and what it says of two classes does not add up: guide a run that knows a velocity or a score"
                    ) }

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
            Guidance =
                match weaker.Origin with
                | Trained run -> Some(guidance, Weaker run)
                | Exact _ -> invalidOp "a weaker model is a run"
            Learned = Denoising(Guidance.autoguided guidance other own) }

    /// The subject under guidance, or as it is where none is asked for; `load` finds a weaker run by its name.
    let apply (load: string -> Subject) (choice: GuidanceChoice) (subject: Subject) : Subject =
        match settings choice, choice.Weaker with
        | None, _ -> subject
        | Some guidance, None -> byItself guidance subject
        | Some guidance, Some run -> byAnother guidance (load run) subject
