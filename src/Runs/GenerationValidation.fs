namespace Fokker

open System

/// How a model is followed, decided from what is asked for: what samples, densities, encodings and evaluations have in common. Each function raises RefusedException.
[<RequireQualifiedAccess>]
module internal GenerationValidation =

    let requireAtLeast (least: int) (setting: Setting) (value: int option) =
        match value with
        | Some n when n < least -> refuse setting n $"expected a whole number of at least {least}"
        | _ -> ()

    /// A map jumps. Where a solver is asked for, a map of two times is followed by its own velocity; one to the data knows none, and takes no solver.
    let private followed (request: GenerationRequest) (model: GenerativeModel) : GenerativeModel =
        let asked =
            [ Setting.Solver, request.Solver |> Option.map _.Name
              Setting.Grid, request.Grid |> Option.map _.Name
              Setting.RelativeTolerance, request.RelativeTolerance |> Option.map string
              Setting.AbsoluteTolerance, request.AbsoluteTolerance |> Option.map string ]
            |> List.choose (fun (setting, value) -> value |> Option.map (fun value -> setting, value))

        match model.Dynamics, asked with
        | Mapping { Domain = Ends _ }, (setting, value) :: _ ->
            refuseWith
                setting
                value
                $"{model.Name} is an exact flow: one evaluation takes the noise to the data, and it needs no solver"
                $"leave {setting} out"
        | Jumping _, (setting, value) :: rest ->
            let isLeaping =
                match request.Solver |> Option.map _.Follows with
                | Some(Leaps _) -> true
                | _ -> false

            match rest with
            | [] when isLeaping -> model
            | (setting, value) :: _ when isLeaping ->
                refuseWith
                    setting
                    value
                    $"the samples of {model.Name} jump in even steps"
                    $"leave {setting} out, and say how many with {Setting.Steps}"
            | _ ->
                refuseWith
                    setting
                    value
                    $"the samples of {model.Name} jump: there is no flow that a solver could follow"
                    $"leave {setting} out, or take {JumpSamplers.leaping.Name}, and say how many steps with {Setting.Steps}"
        | Mapping { Domain = Ends _ }, [] when (request.Steps |> Option.exists ((<>) 1)) ->
            refuse
                Setting.Steps
                request.Steps.Value
                $"{model.Name} is an exact flow, whose samples take one step: leave it out"
        | Mapping { Domain = ToData }, (setting, value) :: _ ->
            refuseWith
                setting
                value
                $"{model.Name} is a map along the flow to the data, which knows no velocity and needs no solver"
                $"leave {setting} out, and say how many evaluations with {Setting.Steps}"
        | Mapping { Domain = Between _ }, _ :: _ -> GenerativeModel.following model
        | _ -> model

    /// What a model is told, as its network takes it. Raises RefusedException where it is told no numbers, or these are of another shape.
    let private told (model: GenerativeModel) (given: GivenArray) : Tensor =
        let kind = GenerativeModel.given given.Name model

        let inside =
            if given.Values.Rank < 2 || given.Values.Shape[0] = 0 then
                None
            else
                Given.inside model.Shape model.Units kind given.Values

        match inside with
        | Some told -> told
        | None ->
            refuse
                Setting.Given
                given.Name
                $"it is {given.Values.Describe()}: expected {Given.expected model.Shape kind}"

    /// What a model is told of its samples, from the class and what else is said of them: a class alone is the drawing's, one of several things is among the numbers.
    let private condition (model: GenerativeModel) (request: GenerationRequest) : struct (int option * Tensor option) =
        let label = request.Class |> Option.map (GenerativeModel.label model)
        let rest = request.Given |> Option.map (told model)

        match model.Given with
        | Some given when Given.hasClass given && (label.IsSome || rest.IsSome) ->
            if not model.Null && (label.IsNone || rest.IsNone) then
                refuse
                    (if label.IsNone then Setting.Class else Setting.Given)
                    ""
                    $"{model.Name} was told {Given.text given} of every sample, and never learned what samples look like without either: say both"

            let rest =
                rest
                |> Option.defaultWith (fun () ->
                    Tensor.full Kind.Float64 (1 :: Given.shape model.Shape (Given.rest given)) nan)

            let labels = Tensor.full Kind.Int64 [ rest.Shape[0] ] (float (defaultArg label -1))
            struct (None, Some(Given.withClass labels rest))
        | _ -> struct (label, rest)

    /// The model under the guidance that is asked for, and how it is followed.
    let generation (model: GenerativeModel) (request: GenerationRequest) : struct (GenerativeModel * Drawing) =
        requireAtLeast 1 Setting.Steps request.Steps

        // The times of all steps are held at once.
        match request.Steps with
        | Some n when n > Allowed.MostWhole -> refuse Setting.Steps n $"expected at most {Allowed.MostWhole}"
        | _ -> ()

        requireAtLeast 1 Setting.Batch request.Batch
        let model = followed request model |> Guided.apply request.Guidance
        let standard = Samples.standardFor model
        let control = FlowPlan.control model.Arithmetic request.RelativeTolerance request.AbsoluteTolerance

        let sampler =
            match request.Solver, control with
            | Some sampler, _ -> sampler
            // Adaptive steps need an estimate of their error, which the standard sampler has not.
            | None, Adaptive _ -> Catalogue.samplers.Find Tableau.dormandPrince.Name
            | None, Fixed -> standard.Sampler

        match control with
        | Adaptive _ ->
            for setting, isGiven in [ Setting.Steps, request.Steps.IsSome; Setting.Grid, request.Grid.IsSome ] do
                if isGiven then
                    refuse
                        setting
                        ""
                        $"with {Setting.RelativeTolerance} the steps are chosen by their error: leave one of the two out"
        | Fixed -> ()

        let struct (label, given) = condition model request

        let drawing =
            { standard with
                Sampler = sampler
                Batch = defaultArg request.Batch standard.Batch
                Label = label
                Given = given
                Control = control }
            |> Samples.onGrid
                model
                (request.Grid
                 |> Option.defaultValue (if sampler.Name = standard.Sampler.Name then standard.Grid else sampler.Grid))
                request.Steps

        match control with
        | Adaptive _ -> FlowPlan.tableau "adaptive sampling" model drawing |> ignore
        | Fixed -> ()

        struct (model, drawing)

    /// What a flow is followed by where a likelihood or latents are asked for: where nothing is said of its steps, their error chooses them.
    let alongFlow (model: GenerativeModel) (request: GenerationRequest) : struct (GenerativeModel * Drawing) =
        let saysNothing =
            request.Solver.IsNone
            && request.Grid.IsNone
            && request.Steps.IsNone
            && request.RelativeTolerance.IsNone
            && request.AbsoluteTolerance.IsNone

        let usual = if saysNothing then FlowPlan.usualTolerance model else None
        generation model { request with RelativeTolerance = Option.orElse usual request.RelativeTolerance }

    /// The numbers of an array of a shape after so many axes, samples of the model or states on their way. Raises RefusedException where it is of another shape, empty or not finite.
    let arrayOf
        (model: GenerativeModel)
        (shape: int list)
        (axes: string list)
        (setting: Setting)
        (given: GivenArray)
        : Tensor =
        let x = given.Values
        let wanted = String.Join("; ", axes @ List.map string shape)
        let what = if shape = model.Shape then "samples" else "latents"

        if x.Rank < axes.Length || List.ofArray x.Shape[axes.Length ..] <> shape then
            refuse setting given.Name $"its shape is {x.Describe()}: {model.Name} is of {what} [{wanted}]"

        if x.Count = 0L then
            refuse setting given.Name $"it holds no samples: expected [{wanted}]"

        if not ((Tensor.all (Tensor.isFinite x)).ToBool()) then
            refuse setting given.Name $"it holds NaN or infinity: expected finite numbers"

        x.To Dtype.Float64

    /// Samples that were given for a model, [n; …] float64 in the data's units. Raises RefusedException where they do not fit.
    let samples (model: GenerativeModel) (setting: Setting) (given: GivenArray) : Tensor =
        arrayOf model model.Shape [ "n" ] setting given

    /// Raises RefusedException where two settings that say the same thing are both given.
    let exclude (what: FormattableString) (given: (Setting * string option) list) =
        match given |> List.choose (fun (setting, value) -> value |> Option.map (fun value -> setting, value)) with
        | (first, value) :: (second, other) :: _ ->
            let second: obj = if other = "" then second else second.Is other
            refuse first value $"{second} says {what} too: leave one of them out"
        | _ -> ()
