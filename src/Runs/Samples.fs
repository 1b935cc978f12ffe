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

/// How samples are drawn from a trained model.
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
    }

/// Samples of a model, always in the data's own units.
module Samples =

    /// Heun's method, which is at the noise floor of two-dimensional laws with ten steps already.
    let standardFor (subject: Subject) : Drawing =
        let image = subject.Data.IsImage

        { Sampler = Samplers.heun
          Grid = Samplers.heun.Grid
          Steps =
            match subject.Learned with
            | Mapping _ -> 2
            | Denoising _
            | Transport _ -> if image then 10 else 25
          Batch = if image then 100 else 4096
          Label = None
          Span = None
          Start = None
          Unit = None
          Draws = Draws.Fresh
          Control = Fixed
          Parallel = None
          Trajectory = None }

    /// The classes that samples `first` … `first + n − 1` are of; none for a network that is not told. A mixture draws its own classes
    /// where nobody chooses one.
    let labels (subject: Subject) (drawing: Drawing) (first: int) (n: int) : int[] option =
        match drawing.Label with
        | Some label -> Some(Array.create n label)
        | None when subject.Labels -> Some(Array.init n (fun i -> (first + i) % subject.Data.Classes.Length))
        | None -> None

    /// Labels as the network takes them.
    let condition (subject: Subject) (labels: int[] option) : Condition =
        labels
        |> Option.map (fun labels -> (Tensor.ofArray [ labels.Length ] (Array.map int64 labels)).To subject.Kind.Device)

    /// Whatever the network works in, as float64 on the CPU in the data's units.
    let outside (subject: Subject) (x: Tensor) : Tensor =
        Dataset.inData subject.Data ((x.To Device.Cpu).To Dtype.Float64)

    /// Where sampling begins and ends by itself. An exact velocity is regular wherever α̇ and dσ²/dt are finite and no component is
    /// flat (`Mixture.velocity`), also where a network's target, which has σ̇ in it, is not: its flow is followed to the very ends.
    let private unguided (subject: Subject) (natural: SamplingPlan) : Span =
        match subject.Origin, subject.Learned with
        | Exact(_, mixture), Denoising model when
            (match natural.Sampler.Follows with
             | Velocity _ -> model.Prediction.Name = Prediction.velocity.Name
             | Process _
             | Denoiser _ -> false)
            ->
            let isRegular t =
                [ model.Path.Alpha; model.Path.Variance ]
                |> List.forall (fun curve -> Double.IsFinite(Curve.eval (Curve.derivative curve) t))

            let toData = isRegular 0.0 && (Mixture.isRegular mixture || Curve.eval model.Path.Sigma 0.0 > 0.0)

            { Noisy = (if isRegular 1.0 then 1.0 else natural.Span.Noisy)
              Clean = (if toData then 0.0 else natural.Span.Clean)
              Finish = (if toData then Stop else natural.Span.Finish) }
        | _ -> natural.Span

    /// What a classifier adds to the score is no velocity where α or σ is 0: it is followed inside the path.
    let private span (subject: Subject) (natural: SamplingPlan) : Span =
        let span = unguided subject natural

        match subject.Guidance with
        | Some(Guide.Classifier _) ->
            let low, high = subject.Path.Interior

            { Noisy = Math.Min(span.Noisy, high)
              Clean = Math.Max(span.Clean, low)
              Finish = if span.Clean < low then Denoise else span.Finish }
        | _ -> span

    /// The plan of a drawing. Raises UserError where its times do not go from more noise to less, or there is no class to guide towards.
    let plan (subject: Subject) (drawing: Drawing) : SamplingPlan =
        match subject.Guidance, drawing.Label with
        | Some(Guide.Unconditional _ | Guide.Classifier _ as guide), None when not subject.Labels ->
            raise (UserError $"{guide.Option}: guidance is towards a class: say which with --class")
        | _ -> ()

        let natural =
            try
                Generation.plan drawing.Sampler drawing.Steps subject.Learned
            with :? ArgumentException as e ->
                raise (UserError $"--solver {drawing.Sampler.Name}: {Refusal.reason e}")

        let plan =
            { natural with
                // A jump lays its own grid.
                Grid =
                    match subject.Learned with
                    | Mapping _ -> natural.Grid
                    | Denoising _
                    | Transport _ -> drawing.Grid
                Span = drawing.Span |> Option.defaultWith (fun () -> span subject natural)
                Kind = subject.Kind }

        try
            Sampling.times plan subject.Path |> ignore
            plan
        with :? ArgumentException as e ->
            raise (UserError(Refusal.reason e))

    /// The span between times that were asked for; where one was not, it is the drawing's natural one. A sample at a time that was asked for is x_t, and is
    /// not denoised. Raises UserError where the times are not from noise to data.
    let spanBetween (subject: Subject) (drawing: Drawing) (noisy: float option) (clean: float option) : Span =
        let from, until = defaultArg noisy 1.0, defaultArg clean 0.0

        for option, time in [ "--from", from; "--to", until ] do
            if not (time >= 0.0 && time <= 1.0) then
                raise (UserError $"{option} {time}: expected a time from 0, the data, to 1, the noise")

        if not (from > until) then
            raise (
                UserError $"--from {from} --to {until}: sampling goes from noise to data: expected a later time first"
            )

        let natural = (plan subject drawing).Span

        { Noisy = defaultArg noisy natural.Noisy
          Clean = defaultArg clean natural.Clean
          Finish = (if clean.IsSome then Stop else natural.Finish) }

    /// Where samples `first` … `first + n − 1` start: noise, or draws of the source, float64.
    let private start (subject: Subject) (plan: SamplingPlan) (rng: Rng) (first: int) (n: int) : Tensor =
        match subject.Source with
        | None -> Sampling.start plan subject.Path subject.Data.Shape n (Rng.rows (int64 first) rng)
        // A source numbers its draws from 0: those before are drawn and left, so that batches do not change anything.
        | Some source -> (Tensor.narrow 0 first n (source (Rng.named "start" rng) (first + n))).To Dtype.Float64

    /// What a batch of samples begins with: classes, states at the noisy end, and what is drawn on the way.
    let private beginning (subject: Subject) (drawing: Drawing) (plan: SamplingPlan) (rng: Rng) (first: int) (n: int) =
        let own = Rng.rows (int64 first) rng
        let condition = condition subject (labels subject drawing first n)
        let given (x: Tensor) = (Tensor.narrow 0 first n x).To subject.Kind.Device

        let start =
            match drawing.Start, drawing.Unit with
            | Some states, _ -> given states
            | None, Some unit ->
                let noisy = Array.head (Sampling.times plan subject.Path)
                Curve.eval subject.Path.Sigma noisy * given unit
            | None, None -> start subject plan rng first n

        let noise =
            match drawing.Draws with
            | Draws.Fresh -> Noise.fresh own
            | Draws.Brownian -> Noise.along (Brownian.ofKey (Rng.named "motion" own))
            | Draws.Replayed draws -> Noise.rows first n (Noise.given draws)

        struct (condition, start, noise)

    /// What a solver refuses, as people are told it: draws that were given and do not suffice are refused by their option.
    let private refusal (drawing: Drawing) (error: ArgumentException) : UserError =
        match drawing.Draws with
        | Draws.Replayed _ when error.ParamName = "noise" -> UserError $"--replay: {Refusal.reason error}"
        | _ -> UserError $"sampling failed: {Refusal.reason error}"

    /// The states of samples 0 … n − 1 of a key as they are reached, in the network's units; each is the caller's, who may stop at any. Steps are
    /// the grid's. Raises UserError where the solver refuses what it is given.
    let states (subject: Subject) (drawing: Drawing) (rng: Rng) (n: int) : seq<Result<State, Failure>> =
        let plan = plan subject drawing
        let struct (condition, start, noise) = beginning subject drawing plan rng 0 n

        seq {
            try
                yield! Generation.states plan subject.Path subject.Learned condition noise start
            with :? ArgumentException as error ->
                raise (refusal drawing error)
        }

    /// Samples `first` … `first + n − 1` of a key, [n; …] in the network's units; `seen` hears of every state on the way.
    /// Raises UserError where the sampler fails, with its remedy.
    let chunk (subject: Subject) (drawing: Drawing) (rng: Rng) (first: int) (n: int) (seen: State -> unit) : Tensor =
        let plan = plan subject drawing

        Scope.run (fun () ->
            let struct (condition, start, noise) = beginning subject drawing plan rng first n

            let learned =
                match drawing.Trajectory with
                | Some trajectory -> trajectory.Watching subject.Learned
                | None -> subject.Learned

            let failed (failure: Failure) = raise (UserError $"sampling failed at {failure}")

            let byGrid () =
                let mutable last = start

                for result in Generation.states plan subject.Path learned condition noise start do
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
                    match Generation.flow plan learned condition with
                    | Some ode -> ode
                    | None -> invalidOp "what has no flow is refused before"

                let ends = [| plan.Span.Noisy; plan.Span.Clean |]

                match Latents.carry drawing.Control tableau flow condition ends start with
                | Error failure -> failed failure
                | Ok carried ->
                    match Generation.denoiser plan learned condition with
                    | Some denoise -> denoise (Tensor.scalar Kind.Float64 plan.Span.Clean) carried.X
                    | None -> carried.X

            let atOnce how =
                match learned with
                | Transport _
                | Mapping _ ->
                    raise (
                        UserError
                            $"--parallel {how.Window}: it needs a model with a score: this run has another objective"
                    )
                | Denoising model ->
                    match Picard.run how plan model condition noise start with
                    | Error failure -> failed failure
                    | Ok samples -> samples.X

            try
                match drawing.Control, drawing.Sampler.Follows, drawing.Parallel with
                | Adaptive _, Velocity tableau, _ -> byError tableau
                | _, _, Some how -> atOnce how
                | _ -> byGrid ()
            with :? ArgumentException as error ->
                raise (refusal drawing error))

    /// n samples [n; …], float64 on the CPU in the data's units.
    let draw (subject: Subject) (drawing: Drawing) (rng: Rng) (n: int) (report: Ticker) : Tensor =
        let pieces =
            [ for first in 0 .. drawing.Batch .. n - 1 do
                  let size = min drawing.Batch (n - first)

                  let seen (state: State) =
                      report ((float first + float size * float state.Step / float drawing.Steps) / float n) ""

                  Scope.run (fun () -> outside subject (chunk subject drawing rng first size seen)) ]

        let all = Scope.run (fun () -> Tensor.cat 0 pieces)
        // A single piece may be its own concatenation.
        pieces
        |> List.iter (fun piece ->
            if not (obj.ReferenceEquals(piece, all)) then
                piece.Dispose())
        all

    /// n samples of a model in the way that suits it, those of the command line for this seed.
    let ofSeed (seed: int64) (n: int) (subject: Subject) : Tensor =
        draw subject (standardFor subject) (Rng.ofSeed seed |> Rng.named "sample") n (fun _ _ -> ())

    /// Whether the data are pixels of a byte each, as the common image files have them.
    let areBytes (data: Dataset) = data.IsImage && data.Units.Shift = [| 127.5 |] && data.Units.Scale = [| 127.5 |]

    /// Samples as a file is to hold them: bytes where the data are bytes, what the network computes in elsewhere.
    let forFile (subject: Subject) (x: Tensor) : Tensor =
        if areBytes subject.Data then
            (Tensor.round (Tensor.clamp 0.0 255.0 x)).To Dtype.UInt8
        else
            x.To subject.Kind.Dtype
