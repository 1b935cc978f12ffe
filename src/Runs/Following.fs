namespace Fokker

open System

/// How `--rtol` and `--atol` ask for steps that a flow's error chooses.
type ToleranceChoice = { Relative: float option; Absolute: float option }

/// A subject's flow between the data and the noise, and the steps that it is followed in.
[<NoComparison; NoEquality>]
type Following = { Subject: Subject; Plan: SamplingPlan; Tableau: Tableau; Control: Control }

/// Following a flow without noise: what likelihoods, latents and interpolations have in common.
[<RequireQualifiedAccess>]
module Following =

    let private adaptive = Tableau.all |> List.filter (fun t -> not t.ErrorWeights.IsEmpty) |> List.map _.Name

    /// Steps chosen by their error, where a tolerance is given. Raises UserError where it cannot be.
    let control (kind: Kind) (given: ToleranceChoice) : Control =
        match given with
        | { Relative = None; Absolute = None } -> Fixed
        | { Relative = None; Absolute = Some a } ->
            raise (UserError $"--atol {a}: it goes with --rtol, which asks for adaptive steps")
        | { Relative = Some relative; Absolute = absolute } ->
            for option, value in [ "--rtol", relative; "--atol", defaultArg absolute relative ] do
                if not (value > 0.0 && Double.IsFinite value) then
                    raise (UserError $"{option} {value}: expected a positive tolerance, 1e-5 for instance")

            let tightest = Tolerance.tightest kind.Dtype

            if relative < tightest then
                raise (
                    UserError
                        $"--rtol {relative}: {Dtype.name kind.Dtype} supports {tightest} at best: its rounding is all that tighter steps would follow; loosen it, or compute with --dtype float64"
                )

            Adaptive(Tolerance.make relative (defaultArg absolute relative))

    /// The method by which a drawing follows the flow for `what` (a likelihood, an encoding, adaptive sampling). Raises UserError where there is no
    /// flow, or the drawing's sampler does not follow it, or does not know its error where steps are to be chosen by it.
    let tableau (what: string) (subject: Subject) (drawing: Drawing) : Tableau =
        let tableau =
            match drawing.Sampler.Follows, drawing.Control with
            | Velocity tableau, Adaptive _ when tableau.ErrorWeights.IsEmpty ->
                raise (
                    UserError
                        $"--solver {tableau.Name}: it has no estimate of its error to choose steps by: take {Names.either adaptive}, or leave --rtol out"
                )
            | Velocity tableau, _ -> tableau
            | _ ->
                raise (
                    UserError
                        $"--solver {drawing.Sampler.Name}: {what} follows the flow dx/dt = v, without noise, which this sampler does not: take a Runge–Kutta method, heun or dormand-prince for instance"
                )

        match subject.Learned with
        | Mapping _ ->
            raise (
                UserError
                    $"{subject.Name} goes by jumps of its own and has no flow to follow: take a run that learned one"
            )
        | Denoising _
        | Transport _ -> ()

        tableau

    /// The flow of a subject for `what`, as a drawing follows it, from the natural clean end, or the one given, to the noisy one. Raises UserError
    /// as `tableau` does.
    let make (what: string) (subject: Subject) (drawing: Drawing) (clean: float option) : Following =
        let tableau = tableau what subject drawing
        let natural = (Samples.plan subject drawing).Span
        let span = { natural with Clean = defaultArg clean natural.Clean; Finish = Stop }

        if span.Clean >= span.Noisy then
            raise (
                UserError
                    $"--time {span.Clean}: the flow runs up to {span.Noisy}, where its law is known: ask for an earlier time"
            )

        { Subject = subject
          Plan = Samples.plan subject { drawing with Span = Some span }
          Tableau = tableau
          Control = drawing.Control }

    /// The flow of a class, or of none.
    let flow (following: Following) (condition: Condition) : Ode =
        match Generation.flow following.Plan following.Subject.Learned condition with
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
    let carry (following: Following) (toNoise: bool) (condition: Condition) (x: Tensor) : Carried =
        let falling = Sampling.times following.Plan following.Subject.Path
        let times = if toNoise then Array.rev falling else falling

        match Latents.carry following.Control following.Tableau (flow following) condition times x with
        | Ok carried -> carried
        | Error failure -> failed failure

    /// Samples in the data's units and their classes: those of a file, of one class if it is said which, or held-out ones.
    let samples
        (subject: Subject)
        (data: string option)
        (label: string option)
        (count: int option)
        (seed: int64)
        : Tensor * int[] option =
        match data with
        | Some file ->
            let x = Subject.samplesIn "--data" file subject

            let labels =
                match label |> Option.map (Subject.label subject) with
                | Some k -> Some(Array.create x.Shape[0] k)
                | None when subject.Labels ->
                    raise (UserError $"--data {file}: this run's network is told the class: say which with --label")
                | None -> None

            x, labels
        | None ->
            let n = count |> Option.defaultValue (if subject.Data.IsImage then 100 else 1000)
            let batch = Dataset.heldOut Kind.Float64 n (Rng.ofSeed seed |> Rng.named "data") subject.Data
            let labels = batch.Label |> Option.map (Tensor.toArray<int64> >> Array.map int)
            Dataset.inData subject.Data batch.Data, (if subject.Labels then labels else None)

    /// `carry` in batches of at most so many, on the CPU in float64; `report` hears how far it has come.
    let carryAll
        (following: Following)
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
                let own = (Tensor.narrow 0 first size x).To following.Subject.Kind.Device
                let carried = carry following toNoise (Samples.condition following.Subject labels) own
                report (float (first + size) / float n) ""
                { carried with X = carried.X.To Device.Cpu })

        Scope.run (fun () ->
            let pieces = [ for first in 0..batch .. n - 1 -> piece first ]

            { X = Tensor.cat 0 (pieces |> List.map _.X)
              Evaluations = pieces |> Seq.map _.Evaluations |> Array.concat })

    /// σ at the noisy end: what a state there is divided by to be a standard normal draw, as `sample --noise` takes it.
    let noiseScale (following: Following) : float = Curve.eval following.Subject.Path.Sigma following.Plan.Span.Noisy
