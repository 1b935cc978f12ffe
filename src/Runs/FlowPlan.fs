namespace Fokker

open System

/// A model's flow between the data and the noise, and the steps that it is followed in: what likelihoods, latents and interpolations have in common.
[<NoComparison; NoEquality>]
type FlowPlan = { Model: GenerativeModel; Plan: SamplingPlan; Tableau: Tableau; Control: Control }

[<RequireQualifiedAccess>]
module FlowPlan =

    let private adaptive = Tableau.all |> List.filter (fun t -> not t.ErrorWeights.IsEmpty) |> List.map _.Name

    /// Steps chosen by their error, where a tolerance is given. Raises RefusedException where it cannot be.
    let control (arithmetic: Dtype) (relative: float option) (absolute: float option) : Control =
        match relative, absolute with
        | None, None -> Fixed
        | None, Some a ->
            refuse
                Setting.AbsoluteTolerance
                a
                $"it goes with {Setting.RelativeTolerance}, which asks for adaptive steps"
        | Some relative, absolute ->
            for setting, value in
                [ Setting.RelativeTolerance, relative; Setting.AbsoluteTolerance, defaultArg absolute relative ] do
                if not (value > 0.0 && Double.IsFinite value) then
                    refuse setting value $"expected a positive tolerance, 1e-5 for instance"

            let tightest = Tolerance.tightest arithmetic

            if relative < tightest then
                let dtype = Dtype.name arithmetic
                let remedy: FormattableString =
                    if arithmetic = Dtype.Float64 then
                        $"loosen it"
                    else
                        $"""loosen it, or compute with {Setting.Dtype.Is "float64"}"""

                refuseWith
                    Setting.RelativeTolerance
                    relative
                    $"{dtype} supports {tightest} at best: its rounding is all that tighter steps would follow"
                    remedy

            Adaptive(Tolerance.make relative (defaultArg absolute relative))

    /// The method by which a drawing follows the flow for `what` (a likelihood, an encoding, adaptive sampling). Raises RefusedException where there is no
    /// flow, or the drawing's sampler does not follow it, or does not know its error where steps are to be chosen by it.
    let tableau (what: string) (model: GenerativeModel) (drawing: Drawing) : Tableau =
        match model.Dynamics with
        | Mapping { Domain = ToData } ->
            refuseWith
                Setting.Model
                model.Name
                $"{what} follows the flow dx/dt = v, and this model is a map to the data that knows no velocity"
                $"take one that learned a velocity or a score"
        | Landscape _ ->
            refuseWith
                Setting.Model
                model.Name
                $"{what} follows the flow dx/dt = v, and this model is an energy without time"
                $"take one that learned a velocity or a score"
        | Jumping _ ->
            refuseWith
                Setting.Model
                model.Name
                $"{what} follows the flow dx/dt = v, and the samples of this model jump"
                $"take one that learned a velocity or a score"
        | Mapping { Domain = Between _ | Ends _ }
        | Denoising _
        | Transport _ -> ()

        match drawing.Sampler.Follows, drawing.Control with
        | Velocity tableau, Adaptive _ when tableau.ErrorWeights.IsEmpty ->
            refuseWith
                Setting.Solver
                tableau.Name
                $"it has no estimate of its error to choose steps by"
                $"take {Names.either adaptive}, or leave {Setting.RelativeTolerance} out"
        | Velocity tableau, _ -> tableau
        | _ ->
            refuseWith
                Setting.Solver
                drawing.Sampler.Name
                $"{what} follows the flow dx/dt = v, without noise, which this sampler does not"
                $"take a Runge–Kutta method, heun or dormand-prince for instance"

    /// The tolerance that the flow of a model is followed to where nothing is said of its steps; none for a model that has no flow, or whose times are a
    /// few that it was distilled for. 10⁻⁵ costs a law in the plane what 25 steps of Heun's method do, which are off by a tenth of a nat where the noise is
    /// wide; of images 10⁻³ decides more digits than the probe of the divergence does (docs/likelihood.md).
    let usualTolerance (model: GenerativeModel) : float option =
        match model.Dynamics, model.Times with
        | (Denoising _ | Transport _ | Mapping { Domain = Between _ }), [] ->
            Some(Math.Max((if model.IsImage then 1e-3 else 1e-5), Tolerance.tightest model.Arithmetic))
        | _ -> None

    /// How the flow of a model is followed where nothing is said of its steps: by Dormand and Prince's method to `usualTolerance`, or as samples are drawn.
    let usual (model: GenerativeModel) : Drawing =
        let drawing = Samples.standardFor model

        match usualTolerance model with
        | Some tolerance ->
            { drawing with
                Sampler = Samplers.ofTableau Tableau.dormandPrince
                Control = Adaptive(Tolerance.both tolerance) }
        | None -> drawing

    /// The flow of a model for `what`, as a drawing follows it, from the natural clean end, or the one given, to the noisy one. Raises RefusedException
    /// as `tableau` does.
    let make (what: string) (model: GenerativeModel) (drawing: Drawing) (clean: float option) : FlowPlan =
        let tableau = tableau what model drawing

        // A map of two times is followed by its own velocity, in as many steps as any other flow.
        let model, drawing =
            match model.Dynamics with
            | Mapping { Domain = Ends _ } -> model, drawing
            | Mapping _ ->
                let flow = GenerativeModel.following model
                let usual = Samples.standardFor model
                let isUsual = drawing.Steps = usual.Steps && drawing.Grid.Name = usual.Grid.Name
                flow, (if isUsual then { drawing with Steps = (Samples.standardFor flow).Steps } else drawing)
            | Denoising _
            | Jumping _
            | Landscape _
            | Transport _ -> model, drawing
        let natural = (Samples.plan model drawing).Span
        let span = { natural with Clean = defaultArg clean natural.Clean; Finish = Stop }

        match model.Dynamics, clean with
        | Mapping { Domain = Ends _ }, Some time when time <> 0.0 ->
            refuse
                Setting.Time
                time
                $"{model.Name} is an exact flow, which knows nothing between the data and the noise"
        | _ -> ()

        if span.Clean >= span.Noisy then
            refuse
                Setting.Time
                span.Clean
                $"the flow runs up to {span.Noisy}, where its law is known: ask for an earlier time"

        { Model = model
          Plan = Samples.plan model { drawing with Span = Some span }
          Tableau = tableau
          Control = drawing.Control }

    /// The flow of a class, or of none.
    let ode (flow: FlowPlan) (condition: Condition) : Ode =
        match Generation.flow flow.Plan flow.Model.Dynamics condition with
        | Some ode -> ode
        | None -> invalidOp "what has no flow is refused before"

    /// The flow, telling at each evaluation how far time has come of its way.
    let watched (span: Span) (seen: float -> unit) (flow: Ode) : Ode =
        let mutable furthest = 0.0

        { Velocity =
            fun t x ->
                let share = ((Tensor.mean t).ToFloat() - span.Clean) / (span.Noisy - span.Clean)
                // Samples with times of their own come and go: progress does not go back.
                furthest <- Math.Max(furthest, share)
                seen furthest
                flow.Velocity t x }

    /// Raises UserError: the flow failed where a failure says.
    let failed (failure: Failure) = raise (UserError $"the flow failed at {failure}")

    /// x [n; …] in the network's units, carried from the clean end to the noisy one, or back.
    let carry (flow: FlowPlan) (toNoise: bool) (condition: Condition) (x: Tensor) : Carried =
        match flow.Model.Dynamics with
        | Mapping({ Domain = Ends _ } as map) ->
            let struct (y, _) =
                Scope.run (fun () ->
                    FlowMap.across map condition (if toNoise then 0.0 else 1.0) (x.To flow.Plan.Kind.Dtype))

            { X = y.To Dtype.Float64; Evaluations = Array.create x.Shape[0] 1 }
        | _ ->

            let falling = Sampling.times flow.Plan flow.Model.Path
            let times = if toNoise then Array.rev falling else falling

            match Latents.carry flow.Control flow.Tableau (ode flow) condition times x with
            | Ok carried -> carried
            | Error failure -> failed failure

    /// `carry` in batches of at most so many, on the CPU in float64; `report` hears how far it has come.
    let carryAll
        (flow: FlowPlan)
        (toNoise: bool)
        (batch: int)
        (report: Ticker)
        (labels: int[] option)
        (x: Tensor)
        : Carried =
        let n = x.Shape[0]

        let piece first =
            let size = min batch (n - first)
            let labels = labels |> Option.map (fun all -> all[first .. first + size - 1])

            Scope.run (fun () ->
                let own = (Tensor.narrow 0 first size x).To flow.Model.Kind.Device
                let carried = carry flow toNoise (Samples.condition flow.Model labels) own
                report (float (first + size) / float n) ""
                { carried with X = carried.X.To Device.Cpu })

        Scope.run (fun () ->
            let pieces = [ for first in 0..batch .. n - 1 -> piece first ]

            { X = Tensor.cat 0 (pieces |> List.map _.X)
              Evaluations = pieces |> Seq.map _.Evaluations |> Array.concat })

    /// σ at the noisy end: what a state there is divided by to be of unit size.
    let noiseScale (flow: FlowPlan) : float = Curve.eval flow.Model.Path.Sigma flow.Plan.Span.Noisy

    /// What people are given of states x [n; …] at the noisy end: x/σ, standard normal draws as `SamplingRequest.Noise` takes them; of a flow between two data sets, samples
    /// of the one that it starts from, in their own units as `SamplingRequest.SourceSamples` takes them.
    let latents (flow: FlowPlan) (x: Tensor) : Tensor =
        let unit = x * (1.0 / noiseScale flow)

        match flow.Model.Source with
        | None -> unit
        | Some source -> Units.toData source.Units unit

    /// The states at the noisy end of latents z [n; …]: the inverse of `latents`.
    let ofLatents (flow: FlowPlan) (z: Tensor) : Tensor =
        let unit =
            match flow.Model.Source with
            | None -> z
            | Some source -> Units.toNetwork source.Units z

        unit * noiseScale flow
