namespace Fokker

open System

/// How far long work has come: `done'` of `total` (any unit), and a few words beside it (loss, steps/s).
type Ticker = float -> string -> unit

/// Where the numbers that a stochastic sampler draws come from.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Draws =
    /// New ones in every step.
    | Fresh
    /// One Brownian motion, whatever the number of steps.
    | Brownian
    /// Those of a file, [draws; n; …] in the order in which they are used.
    | Replayed of Tensor

/// How samples are drawn from a model.
[<NoComparison; NoEquality>]
type Drawing =
    {
        Sampler: Sampler
        Grid: Grid
        /// Steps, the denoising one at the end included, if there is one.
        Steps: int
        /// Samples that go through the network at once; the draws do not depend on it.
        Batch: int
        /// The class of every sample; where there is none they take turns.
        Label: int option
        /// What the network is told of the samples in numbers, [n; …] float64 in its own units with NaN for what is not told, one row for all or one for each; nothing is told where there is none.
        Given: Tensor option
        /// The times between which the sampler runs; the plan's own where there are none (`Sampling.spanOf`).
        Span: Span option
        /// The states x at the span's noisy time that sampling starts from, [n; …] float64 in the network's units; drawn where there are none.
        Start: Tensor option
        /// The standard normal numbers that make that start, in a file's place of drawn ones: [n; …].
        Unit: Tensor option
        Draws: Draws
        /// Whether steps are laid on the grid, or chosen by their error; then the sampler's tableau is what matters, and grid and steps do not.
        Control: Control
        /// How many steps are found at once, for a sampler that can (`Picard.samplers`); one after the other where there is none.
        Parallel: Picard option
        Trajectory: Trajectory option
        /// What samples are steered towards, and how.
        Steering: SteeringPlan option
    }

/// Samples of a model, always in the data's own units.
module Samples =

    /// Heun's method, which is at the noise floor of two-dimensional laws with ten steps already; images are nearer to the data by twenty steps than by ten (docs/gallery.md).
    let standardFor (model: GenerativeModel) : Drawing =
        let image = model.IsImage

        let sampler, grid, steps =
            match model.Times, model.Dynamics with
            | _ :: _ as times, _ ->
                Samplers.ddim,
                Grid.ofTimes "distilled" "the times that the model was distilled for" times,
                times.Length - 1
            | [], Mapping { Domain = Ends _ } -> Samplers.heun, Samplers.heun.Grid, 1
            | [], Mapping _ -> Samplers.heun, Samplers.heun.Grid, 2
            | [], Landscape { IsLaw = true } -> EnergySamplers.hamiltonian, Grid.uniform, 100
            | [], Landscape { IsLaw = false } -> EnergySamplers.descent, Grid.uniform, 200
            | [], Jumping _ -> JumpSamplers.leaping, Grid.uniform, 100
            | [], (Denoising _ | Transport _) -> Samplers.heun, Samplers.heun.Grid, (if image then 20 else 25)

        { Sampler = sampler
          Grid = grid
          Steps = steps
          // A text's letters each have a number for every byte.
          Batch =
            if image then 100
            elif Units.areText model.Shape model.Units || Units.areSeries model.Shape model.Units then 250
            else 4096
          Label = None
          Given = None
          Span = None
          Start = None
          Unit = None
          Draws = Draws.Fresh
          Control = Fixed
          Parallel = None
          Trajectory = None
          Steering = None }

    /// The classes that samples `first` … `first + n − 1` are of; none for a network that is not told. A mixture draws its own classes
    /// where none is chosen.
    let labels (model: GenerativeModel) (drawing: Drawing) (first: int) (n: int) : int[] option =
        match drawing.Label with
        | Some label -> Some(Array.create n label)
        | None when model.Labels -> Some(Array.init n (fun i -> (first + i) % model.Classes.Length))
        | None -> None

    /// Labels as the network takes them.
    let condition (model: GenerativeModel) (labels: int[] option) : Condition =
        labels
        |> Option.map (fun labels -> (Tensor.ofArray [ labels.Length ] (Array.map int64 labels)).To model.Kind.Device)

    /// What samples `first` … `first + n − 1` are told, of one row for all or one for each, as the network takes it.
    let told (model: GenerativeModel) (rows: Tensor) (first: int) (n: int) : Tensor =
        (if rows.Shape[0] = 1 then
             Tensor.expand (n :: List.ofArray rows.Shape[1..]) rows
         else
             Tensor.narrow 0 first n rows)
            .To
            model.Kind

    /// Where sampling begins and ends by itself. An exact velocity is regular wherever α̇ and dσ²/dt are finite and no component is
    /// flat (`Mixture.velocity`), also where a network's target, which has σ̇ in it, is not: its flow is followed to the very ends.
    let private unguided (model: GenerativeModel) (natural: SamplingPlan) : Span =
        match model.Origin, model.Dynamics with
        | Origin.Exact(_, mixture), Denoising exact when
            (match natural.Sampler.Follows with
             | Velocity _ -> exact.Prediction.Name = Prediction.velocity.Name
             | Process _
             | Denoiser _
             | Leaps _
             | Target _ -> false)
            ->
            let isRegular t =
                [ exact.Path.Alpha; exact.Path.Variance ]
                |> List.forall (fun curve -> Double.IsFinite(Curve.eval (Curve.derivative curve) t))

            let toData = isRegular 0.0 && (Mixture.isRegular mixture || Curve.eval exact.Path.Sigma 0.0 > 0.0)

            { Noisy = (if isRegular 1.0 then 1.0 else natural.Span.Noisy)
              Clean = (if toData then 0.0 else natural.Span.Clean)
              Finish = (if toData then Stop else natural.Span.Finish) }
        | _ -> natural.Span

    /// What a classifier or steering adds to the score is no velocity where α or σ is 0: it is followed inside the path.
    let private span (model: GenerativeModel) (drawing: Drawing) (natural: SamplingPlan) : Span =
        let span = unguided model natural

        match model.Guidance, drawing.Steering with
        | Some(Guide.Classifier _), _
        | _, Some _ ->
            let low, high = model.Path.Interior

            { Noisy = Math.Min(span.Noisy, high)
              Clean = Math.Max(span.Clean, low)
              Finish = if span.Clean < low then Denoise else span.Finish }
        | _ -> span

    /// The plan of a drawing. Raises UserError where its times do not go from more noise to less, or there is no class to guide towards.
    let plan (model: GenerativeModel) (drawing: Drawing) : SamplingPlan =
        match model.Guidance, drawing.Label with
        | Some(Guide.Unconditional _ | Guide.Classifier _ as guide), None when not model.IsTold ->
            let setting, given = guide.Setting
            refuseWith setting given $"guidance is towards a class" $"say which with {Setting.Class}"
        | _ -> ()

        let natural =
            try
                Generation.plan drawing.Sampler drawing.Steps model.Dynamics
            with :? ArgumentException as e ->
                refuse Setting.Solver drawing.Sampler.Name $"{Refusal.reason e}"

        let plan =
            { natural with
                // A jump lays its own grid.
                Grid =
                    match model.Dynamics with
                    | Jumping _
                    | Mapping _ -> natural.Grid
                    | Landscape _
                    | Denoising _
                    | Transport _ -> drawing.Grid
                Span = drawing.Span |> Option.defaultWith (fun () -> span model drawing natural)
                Kind = model.Kind }

        try
            let plan = if drawing.Span.IsSome then plan else Sampling.onGrid plan.Grid model.Path plan
            Sampling.times plan model.Path |> ignore
            plan
        with :? ArgumentException as e ->
            raise (UserError(Refusal.reason e))

    /// The drawing on a grid, in so many steps; one of its own times says how many itself. Raises RefusedException where another number was asked for, or the path does not
    /// reach the grid's levels.
    let onGrid (model: GenerativeModel) (grid: Grid) (steps: int option) (drawing: Drawing) : Drawing =
        let own =
            try
                grid.Own |> Option.map (fun times -> (times model.Path).Length - 1)
            with :? ArgumentException as e ->
                refuse Setting.Grid grid.Name $"{Refusal.reason e}"

        match own, steps with
        | Some own, Some steps when own <> steps ->
            refuse Setting.Steps steps $"the grid {grid.Name} has {own} steps of its own: leave {Setting.Steps} out"
        | _ -> ()

        { drawing with
            Grid = grid
            Steps = own |> Option.orElse steps |> Option.defaultValue drawing.Steps }

    /// The span between times that were asked for; where one was not, it is the drawing's natural one. A sample at a time that was asked for is x_t, unless
    /// the last step is to denoise there. Raises UserError where the times are not from noise to data.
    let spanBetween
        (model: GenerativeModel)
        (drawing: Drawing)
        (noisy: float option)
        (clean: float option)
        (denoise: bool)
        : Span =
        let from, until = defaultArg noisy 1.0, defaultArg clean 0.0

        for setting, time in [ Setting.From, from; Setting.To, until ] do
            if not (time >= 0.0 && time <= 1.0) then
                refuse setting time $"expected a time from 0, the data, to 1, the noise"

        if not (from > until) then
            refuse
                Setting.From
                from
                $"sampling goes from noise to data: expected a later time than {Setting.To.Is until}"

        let natural = (plan model drawing).Span

        { Noisy = defaultArg noisy natural.Noisy
          Clean = defaultArg clean natural.Clean
          Finish =
            if denoise then Denoise
            elif clean.IsSome then Stop
            else natural.Finish }

    /// Where samples `first` … `first + n − 1` start: noise, or draws of the source, float64.
    let private start (model: GenerativeModel) (plan: SamplingPlan) (rng: Rng) (first: int) (n: int) : Tensor =
        match model.Source with
        | None -> Sampling.start plan model.Path model.StateShape n (Rng.rows (int64 first) rng)
        // A source numbers its draws from 0: those before are drawn and left, so that batches do not change anything.
        | Some source ->
            let drawn = Dataset.sample model.Kind (first + n) (Rng.named "start" rng) source
            (Tensor.narrow 0 first n drawn).To Dtype.Float64

    /// How many states go the way for one sample.
    let private copies (drawing: Drawing) : int =
        match drawing.Steering with
        | Some { Particles = Some particles } -> particles.Count
        | _ -> 1

    /// What a batch of samples begins with: classes, states at the noisy end, and what is drawn on the way; particles of one sample lie next to each other.
    let private beginning
        (model: GenerativeModel)
        (drawing: Drawing)
        (plan: SamplingPlan)
        (rng: Rng)
        (first: int)
        (n: int)
        =
        let k = copies drawing
        let own = Rng.rows (int64 (first * k)) rng
        let again (x: Tensor) = if k = 1 then x else Tensor.repeatInterleave k 0 x
        let told =
            match model.Given, drawing.Given with
            | None, _ -> condition model (labels model drawing first n)
            | Some _, None -> None
            | Some _, Some rows -> Some(told model rows first n)

        let condition = told |> Option.map again
        let given (x: Tensor) = again ((Tensor.narrow 0 first n x).To model.Kind.Device)

        let start =
            match drawing.Start, drawing.Unit with
            | Some states, _ -> given states
            | None, Some unit ->
                let noisy = Array.head (Sampling.times plan model.Path)
                Curve.eval model.Path.Sigma noisy * given unit
            | None, None -> start model plan rng (first * k) (n * k)

        let noise =
            match drawing.Draws with
            | Draws.Fresh -> Noise.fresh own
            | Draws.Brownian -> Noise.along (Brownian.ofKey (Rng.named "motion" own))
            | Draws.Replayed draws -> Noise.rows first n (Noise.given draws)

        struct (condition, start, noise)

    /// What a solver refuses, as people are told it: draws that were given and do not suffice are refused by their option.
    let private refusal (drawing: Drawing) (error: ArgumentException) : UserError =
        match drawing.Draws with
        | Draws.Replayed _ when error.ParamName = "noise" ->
            RefusedException
                { Setting = Setting.Replay; Given = ""; Expected = $"{Refusal.reason error}"; Remedy = None }
        | _ -> UserError $"sampling failed: {Refusal.reason error}"

    /// The plan and the dynamics under steering that corrects the denoiser or wraps the step, for samples `first` … `first + n − 1`.
    let private steered (drawing: Drawing) (plan: SamplingPlan) (first: int) (n: int) (dynamics: Dynamics) =
        match drawing.Steering, dynamics with
        | Some({ Particles = None } as steering), Denoising model ->
            let struct (plan, model) = SteeringPlan.apply steering plan first n model
            struct (plan, Denoising model)
        | _ -> struct (plan, dynamics)

    /// The states of samples 0 … n − 1 of a key as they are reached, in the network's units; each is the caller's, who may stop at any. Steps are
    /// the grid's. Raises UserError where the solver refuses what it is given.
    let states (model: GenerativeModel) (drawing: Drawing) (rng: Rng) (n: int) : seq<Result<State, Failure>> =
        let plan = plan model drawing
        let struct (condition, start, noise) = beginning model drawing plan rng 0 n
        let struct (plan, dynamics) = steered drawing plan 0 n model.Dynamics

        seq {
            try
                yield! Generation.states plan model.Path dynamics condition noise start
            with :? ArgumentException as error ->
                raise (refusal drawing error)
        }

    /// Samples `first` … `first + n − 1` of a key, [n; …] in the network's units; `seen` hears of every state on the way.
    /// Raises UserError where the sampler fails, with its remedy.
    let chunk
        (model: GenerativeModel)
        (drawing: Drawing)
        (rng: Rng)
        (first: int)
        (n: int)
        (seen: State -> unit)
        : Tensor =
        let plan = plan model drawing

        Scope.run (fun () ->
            let struct (condition, start, noise) = beginning model drawing plan rng first n

            let dynamics =
                match drawing.Trajectory with
                | Some trajectory -> trajectory.Watching model.Dynamics
                | None -> model.Dynamics

            let struct (plan, dynamics) = steered drawing plan first n dynamics
            let failed (failure: Failure) = raise (UserError $"sampling failed at {failure}")

            let byParticles (steering: SteeringPlan) (particles: Particles) (score: Model) =
                let own = Rng.rows (int64 first) rng
                let told step = seen { Integrator.start 0.0 start with Step = step }

                match SteeringPlan.swarm steering particles plan first n score condition noise own told start with
                | Error failure -> failed failure
                | Ok swarm ->
                    steering.Record.See swarm
                    swarm.X

            let byGrid () =
                let mutable last = start

                for result in Generation.states plan model.Path dynamics condition noise start do
                    match result with
                    | Error failure -> failed failure
                    | Ok state ->
                        seen state
                        drawing.Trajectory |> Option.iter (fun trajectory -> trajectory.See state)
                        Option.iter (fun (x: Tensor) -> x.Dispose()) state.Denoised
                        last.Dispose()
                        last <- state.X

                drawing.Trajectory |> Option.iter (fun trajectory -> trajectory.EndBatch())
                last

            let byError tableau =
                let flow condition =
                    match Generation.flow plan dynamics condition with
                    | Some ode -> ode
                    | None -> invalidOp "what has no flow is refused before"

                let ends = [| plan.Span.Noisy; plan.Span.Clean |]

                match Latents.carry drawing.Control tableau flow condition ends start with
                | Error failure -> failed failure
                | Ok carried ->
                    match Generation.denoiser plan dynamics condition with
                    | Some denoise -> denoise (Tensor.scalar Kind.Float64 plan.Span.Clean) carried.X
                    | None -> carried.X

            let atOnce how =
                match dynamics with
                | Transport _
                | Jumping _
                | Landscape _
                | Mapping _ ->
                    refuse
                        Setting.Parallel
                        how.Window
                        $"it needs a model that knows the score, and {model.Name} does not"
                | Denoising score ->
                    match Picard.run how plan score condition noise start with
                    | Error failure -> failed failure
                    | Ok samples -> samples.X

            try
                match drawing.Steering, dynamics with
                | Some({ Particles = Some particles } as steering), Denoising score ->
                    byParticles steering particles score
                | _ ->
                    match drawing.Control, drawing.Sampler.Follows, drawing.Parallel with
                    | Adaptive _, Velocity tableau, _ -> byError tableau
                    | _, _, Some how -> atOnce how
                    | _ -> byGrid ()
            with :? ArgumentException as error ->
                raise (refusal drawing error))

    /// n samples [n; …], float64 on the CPU in the data's units, drawn by several processes: each takes every so-manieth batch, as one process would draw it, and all have all samples in the
    /// end. What a batch records beside its samples (`Trajectory`, particles) stays with the process that drew it.
    let drawTogether
        (ranks: IRanks)
        (model: GenerativeModel)
        (drawing: Drawing)
        (rng: Rng)
        (n: int)
        (report: Ticker)
        : Tensor =
        // Particles of one sample go through the network together.
        let batch = max 1 (drawing.Batch / copies drawing)
        let size first = min batch (n - first)

        let own (first: int) =
            let seen (state: State) =
                report ((float first + float (size first) * float state.Step / float drawing.Steps) / float n) ""

            Scope.run (fun () -> GenerativeModel.outside model (chunk model drawing rng first (size first) seen))

        // They exchange after each round of one batch for every process, so that none waits for longer than a batch takes.
        let round (firsts: int list) =
            Scope.run (fun () ->
                let drawn = firsts |> List.tryItem ranks.Rank |> Option.map own

                firsts
                |> List.mapi (fun rank first ->
                    match drawn with
                    | Some samples when rank = ranks.Rank -> samples
                    | _ -> Tensor.zeros Kind.Float64 (size first :: model.Shape)
                    |> Ranks.broadcastFrom ranks rank))

        let pieces = [ 0..batch .. n - 1 ] |> List.chunkBySize ranks.Count |> List.collect round
        let all = Scope.run (fun () -> Tensor.cat 0 pieces)
        // A single piece may be its own concatenation.
        pieces
        |> List.iter (fun piece ->
            if not (obj.ReferenceEquals(piece, all)) then
                piece.Dispose())
        all

    /// n samples [n; …], float64 on the CPU in the data's units.
    let draw (model: GenerativeModel) (drawing: Drawing) (rng: Rng) (n: int) (report: Ticker) : Tensor =
        drawTogether Ranks.alone model drawing rng n report

    /// n samples of a model in the way that suits it, those of the command line for this seed.
    let ofSeed (seed: int64) (n: int) (model: GenerativeModel) : Tensor =
        draw model (standardFor model) (Rng.ofSeed seed |> Rng.named "sample") n (fun _ _ -> ())

    /// Samples as a file is to hold them: bytes where the data are bytes or black and white; else what the network computes in, or float64 where float32 does not hold what the
    /// data's units can tell apart.
    let forFile (model: GenerativeModel) (x: Tensor) : Tensor =
        if
            Units.arePixels model.Shape model.Units
            || (Units.levels model.Shape model.Units).IsSome && model.Dynamics.IsJumping
        then
            (Tensor.round (Tensor.clamp 0.0 255.0 x)).To Dtype.UInt8
        elif Units.needDouble model.Units then
            x.To Dtype.Float64
        else
            x.To model.Kind.Dtype
