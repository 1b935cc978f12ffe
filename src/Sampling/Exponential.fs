namespace Fokker

open System

/// How a linear multistep method finds its weights.
type Rule =
    {
        Reading: Reading
        Eta: float
        /// Values that it uses, the newest included.
        Values: int
        /// The weights of values at the given times, newest first, fewer in the first steps.
        Weights: SemilinearInterval -> float list -> float list
    }

/// Steps of the semi-linear solvers: one shape for each family, and the rules that fill it.
[<RequireQualifiedAccess>]
module Exponential =

    let private field (readings: Readings) (reading: Reading) : Field =
        match reading with
        | OfNoise -> readings.Of Prediction.noise
        | OfData -> readings.Of Prediction.data

    /// Both readings by one evaluation of the one, ε̂ = (x − α x̂₀)/σ.
    let private fields (readings: Readings) =
        let noise, data = field readings OfNoise, field readings OfData
        fun (interval: SemilinearInterval) t x ->
            (match interval.Reading with
             | OfNoise -> noise t x
             | OfData -> data t x)

    // ---- rules

    /// The polynomial in λ through the last values (Hochbruck, Ostermann 2010, section 2.5; Zhang, Chen 2023, DEIS).
    let adamsBashforth (reading: Reading) (eta: float) (values: int) : Rule =
        { Reading = reading; Eta = eta; Values = values; Weights = SemilinearInterval.inLambda }

    /// The polynomial in t through the last values of ε̂ (Zhang, Chen 2023, DEIS, eq. 14–15: tAB).
    let inTime (values: int) : Rule =
        { Reading = OfNoise; Eta = 0.0; Values = values; Weights = SemilinearInterval.inVariable id }

    /// The polynomial in ς = σ/α through the last values of ε̂: Adams–Bashforth for d(x/α)/dς = ε̂, with steps that vary.
    let inSigma (values: int) : Rule =
        { Reading = OfNoise; Eta = 0.0; Values = values; Weights = SemilinearInterval.inSigma }

    /// f₀ + ½ h f' with f' the slope between the last two values, integrated as a constant (Lu et al. 2023, DPM-Solver++, algorithm 2).
    let dpm2 (reading: Reading) (eta: float) : Rule =
        { Reading = reading
          Eta = eta
          Values = 2
          Weights =
            fun interval times ->
                let whole = SemilinearInterval.moment interval 0

                match times with
                | [ _ ] -> [ whole ]
                | _ ->
                    // −1/r, r the length of the last step in this one's.
                    let back = SemilinearInterval.fraction interval times[1]
                    [ whole * (1.0 - 0.5 / back); whole * 0.5 / back ] }

    /// As `adamsBashforth` with three values, but for half of the second difference: so in the authors' code, which made it the
    /// method of that name (Lu et al. 2023, DPM-Solver++, 3M). The difference is of second order, as the start is: the weights of fewer values are `start`'s,
    /// for which the published samplers differ.
    let dpm3 (start: Rule) (reading: Reading) (eta: float) : Rule =
        { Reading = reading
          Eta = eta
          Values = 3
          Weights =
            fun interval times ->
                match times with
                | [ _; first; second ] ->
                    let a, b = SemilinearInterval.fraction interval first, SemilinearInterval.fraction interval second
                    let constant, linear, quadratic =
                        SemilinearInterval.moment interval 0,
                        SemilinearInterval.moment interval 1,
                        SemilinearInterval.moment interval 2
                    // f = f₀ + D₁ θ + ½ D₂ θ², D₁ the slope at 0 of the parabola through three values, D₂ its second divided difference
                    // (the parabola itself has D₂ θ²).
                    let slope1, slope2 = 1.0 / a, 1.0 / (a - b)
                    // Divided differences: (f₁ − f₀)/a and (f₁ − f₂)/(a − b); the second one ((…) − (…))/(−b).
                    let second f0 f1 f2 = (slope1 * (f1 - f0) - slope2 * (f1 - f2)) / -b
                    let weight f0 f1 f2 =
                        let d2 = second f0 f1 f2
                        let d1 = slope1 * (f1 - f0) - a * d2
                        constant * f0 + linear * d1 + 0.5 * quadratic * d2

                    [ weight 1.0 0.0 0.0; weight 0.0 1.0 0.0; weight 0.0 0.0 1.0 ]
                | times -> start.Weights interval times }

    /// Adams and Bashforth's coefficients for equal steps whatever the steps are, of a mean ε̂ that a first-order step follows: the pseudo linear multistep
    /// method (Liu, Ren, Lin, Zhao 2022, PNDM, eq. 12; it integrates a polynomial in no variable, and is of second order).
    let pseudoAdamsBashforth (values: int) : Rule =
        let equal =
            [ [ 1.0 ]
              [ 3.0 / 2.0; -1.0 / 2.0 ]
              [ 23.0 / 12.0; -16.0 / 12.0; 5.0 / 12.0 ]
              [ 55.0 / 24.0; -59.0 / 24.0; 37.0 / 24.0; -9.0 / 24.0 ] ]

        { Reading = OfNoise
          Eta = 0.0
          Values = min values equal.Length
          Weights =
            fun interval times ->
                equal[times.Length - 1] |> List.map (fun c -> c * SemilinearInterval.moment interval 0) }

    // ---- steps

    /// One interval for the whole batch, or one for each sample.
    type private Intervals =
        | Shared of SemilinearInterval
        | Each of SemilinearInterval[]

    /// What is said of any of them: they differ in their times alone.
    let private anyOf (intervals: Intervals) : SemilinearInterval =
        match intervals with
        | Shared interval -> interval
        | Each intervals -> intervals[0]

    let private timesOf (intervals: Intervals) (time: SemilinearInterval -> float) : Tensor =
        match intervals with
        | Shared interval -> Integrator.time (time interval)
        | Each intervals -> Tensor.ofArray [ intervals.Length ] (Array.map time intervals)

    let private combineOn
        (intervals: Intervals)
        (x: Tensor)
        (weights: SemilinearInterval -> float list)
        (values: Tensor list)
        : Tensor =
        let own interval = Array.ofList (SemilinearInterval.propagator interval :: weights interval)

        let coefficient =
            match intervals with
            | Shared interval ->
                let own = own interval
                fun i -> Number(own[i])
            | Each intervals ->
                let each = Array.map own intervals
                fun i -> PerSample(Tensor.ofArray [ each.Length ] [| for w in each -> w[i] |])

        Coefficient.combine (List.mapi (fun i value -> coefficient i, value) (x :: values))

    let private combine
        (interval: SemilinearInterval)
        (x: Tensor)
        (weights: float list)
        (values: Tensor list)
        : Tensor =
        combineOn (Shared interval) x (fun _ -> weights) values

    let private disturbed (noise: Noise) (interval: SemilinearInterval) (state: State) (x: Tensor) : Tensor =
        match SemilinearInterval.deviation interval with
        | 0.0 -> x
        | spread -> x + spread * Noise.draw noise state.Step (interval.From, interval.Until) (0, 1) state.X

    /// A linear multistep method: one evaluation a step, and the last values remembered. The first steps use what there is.
    let multistep (rule: Rule) (readings: Readings) : Step =
        let read = fields readings

        fun noise until state ->
            let interval = SemilinearInterval.between rule.Reading rule.Eta readings.Path state.Time until
            let newest = state.Time, read interval (Integrator.time state.Time) state.X
            let values =
                newest
                :: (if SemilinearInterval.isRegular interval then List.truncate (rule.Values - 1) state.Memory else [])

            let weights =
                if SemilinearInterval.isRegular interval then
                    rule.Weights interval (List.map fst values)
                else
                    [ SemilinearInterval.moment interval 0 ]

            let x = combine interval state.X weights (List.map snd values) |> disturbed noise interval state
            Integrator.moved state until x (if SemilinearInterval.isRegular interval then values else []) 1

    /// The same with fewer values at the end: the run's last step uses `last` of them at most, the one before one more, and so on (diffusers' lower_order_final
    /// for `last` = 1; Lu et al. 2023, DPM-Solver++, code: few steps are steadier so).
    let multistepEnding (last: int) (rule: Rule) (readings: Readings) : Step =
        let steps = [| for values in 1 .. rule.Values -> multistep { rule with Values = values } readings |]

        fun noise until state ->
            let left = readings.Steps - 1 - state.Step
            steps[Math.Clamp(last + left, 1, rule.Values) - 1] noise until state

    /// A first-order step.
    let internal first (interval: SemilinearInterval) (x: Tensor) (value: Tensor) : Tensor =
        combine interval x [ SemilinearInterval.moment interval 0 ] [ value ]

    let private firstOn (intervals: Intervals) (x: Tensor) (value: Tensor) : Tensor =
        combineOn intervals x (fun interval -> [ SemilinearInterval.moment interval 0 ]) [ value ]

    /// The intervals to a fraction r of their way in λ.
    let private part (r: float) (intervals: Intervals) : Intervals =
        let part interval = { interval with Until = SemilinearInterval.timeAt interval r }

        match intervals with
        | _ when r = 1.0 -> intervals
        | Shared interval -> Shared(part interval)
        | Each intervals -> Each(Array.map part intervals)

    /// The network's prediction at a fraction r of the interval, in a state at that time.
    let private ahead (read: SemilinearInterval -> Field) (r: float) (intervals: Intervals) (x: Tensor) : Tensor =
        read (anyOf intervals) (timesOf (part r intervals) _.Until) x

    /// The second-order end of a step, from the values at its beginning and at a fraction r of its way.
    let private secondOrder (r: float) (intervals: Intervals) (x: Tensor) (values: Tensor list) : Tensor =
        combineOn
            intervals
            x
            (fun interval ->
                let whole = SemilinearInterval.moment interval 0
                [ whole * (1.0 - 0.5 / r); whole * 0.5 / r ])
            values

    /// The line through the values at the beginning and at r₁, followed to the fraction r₂.
    let private along (r1: float) (r2: float) (intervals: Intervals) (x: Tensor) (values: Tensor list) : Tensor =
        combineOn (part r2 intervals) x (SemilinearInterval.through [ 0.0; r1 / r2 ]) values

    /// A step of several evaluations where its interval is regular, and a first-order one elsewhere.
    let private staged (evaluations: int) (reading: Reading) (readings: Readings) stages : Step =
        let read = fields readings

        fun _ until state ->
            let interval = SemilinearInterval.between reading 0.0 readings.Path state.Time until
            let value = read interval (Integrator.time state.Time) state.X

            if SemilinearInterval.isRegular interval then
                Integrator.moved state until (stages read (Shared interval) state.X value) [] evaluations
            else
                Integrator.moved state until (first interval state.X value) [] 1

    /// Two evaluations: one at a fraction r of the way in λ (Lu et al. 2022, DPM-Solver, algorithm 4; 2023, DPM-Solver++, algorithm 1: r = ½).
    let twoStage (r: float) (reading: Reading) (readings: Readings) : Step =
        staged 2 reading readings (fun read intervals x value ->
            secondOrder r intervals x [ value; ahead read r intervals (firstOn (part r intervals) x value) ])

    /// Three evaluations, at fractions 0 < r₁ < r₂ of the way in λ: the line through the first two values leads to the third place, the
    /// one through the first and the third to the end (Lu et al. 2022, DPM-Solver, algorithm 5: r = ⅓, ⅔).
    let threeStage (r1: float) (r2: float) (reading: Reading) (readings: Readings) : Step =
        staged 3 reading readings (fun read intervals x value ->
            let value1 = ahead read r1 intervals (firstOn (part r1 intervals) x value)
            let value2 = ahead read r2 intervals (along r1 r2 intervals x [ value; value1 ])
            along r2 1.0 intervals x [ value; value2 ])

    /// Heun's method in ς = σ/α, for d(x/α)/dς = ε̂ (Karras et al. 2022, EDM, algorithm 1).
    let heunInSigma (readings: Readings) : Step =
        staged 2 OfNoise readings (fun read intervals x value ->
            let half (interval: SemilinearInterval) =
                let half = 0.5 * SemilinearInterval.moment interval 0
                [ half; half ]

            combineOn intervals x half [ value; ahead read 1.0 intervals (firstOn intervals x value) ])

    /// A Runge–Kutta method whose every stage is a first-order step along a mean of ε̂, in equal parts of t: the pseudo Runge–Kutta method where the
    /// tableau is the classical one (Liu, Ren, Lin, Zhao 2022, PNDM, eq. 13; of second order).
    let pseudoRungeKutta (tableau: Tableau) (readings: Readings) : Step =
        staged tableau.Weights.Length OfNoise readings (fun read intervals x value ->
            let interval = anyOf intervals

            let mean (weights: float list) (values: Tensor list) =
                Integrator.plus (Tensor.zerosLike x) (List.zip weights values)

            let stage (values: Tensor list) (node: float, row: float list) =
                let time =
                    if node = 1.0 then interval.Until else interval.From + node * (interval.Until - interval.From)
                let inner = first { interval with Until = time } x (mean [ for a in row -> a / node ] values)
                values @ [ read interval (Integrator.time time) inner ]

            let values = List.fold stage [ value ] (List.zip tableau.Nodes tableau.Stages |> List.tail)
            first interval x (mean tableau.Weights values))

    /// DPM-Solver's singlestep methods with the grid's own times for the places within a step, so that a step of the grid is one evaluation: blocks of `order` grid
    /// steps, each from where its block began by the values of the block. The run's last step begins a block where it would end one
    /// (diffusers' DPMSolverSinglestepScheduler with lower_order_final and its midpoint rules).
    let singlestep (order: int) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        fun _ until state ->
            let interval = SemilinearInterval.between reading 0.0 readings.Path state.Time until
            let value = read interval (Integrator.time state.Time) state.X
            let place = state.Step % order
            let begins = place = 0 || place = order - 1 && state.Step = readings.Steps - 1

            // The block: its state at its beginning, and then its values, oldest first.
            let beginning, values =
                match state.Memory with
                | beginning :: values when not begins && SemilinearInterval.isRegular interval ->
                    beginning, values @ [ state.Time, value ]
                | _ -> (state.Time, state.X), [ state.Time, value ]

            let next =
                match values with
                | [ _ ] -> first interval state.X value
                | values ->
                    let whole = { interval with From = fst beginning }
                    let ends = [ snd (List.head values); value ]
                    let r = SemilinearInterval.fraction whole state.Time

                    if values.Length = 2 then
                        secondOrder r (Shared whole) (snd beginning) ends
                    else
                        along r 1.0 (Shared whole) (snd beginning) ends

            let isOver = place = order - 1 || not (SemilinearInterval.isRegular interval)
            Integrator.moved state until next (if isOver then [] else beginning :: values) 1

    /// Steps of DPM-Solver-3 but for the last ones: n steps are 3 (n − 1) evaluations where `rest` is 0, the last two of orders 2 and 1, and `rest` more where it is
    /// 1 or 2, the order of the last (Lu et al. 2022, DPM-Solver, appendix D.3: DPM-Solver-fast).
    let fast (rest: int) (readings: Readings) : Step =
        let orders =
            [| multistep (adamsBashforth OfNoise 0.0 1) readings
               twoStage 0.5 OfNoise readings
               threeStage (1.0 / 3.0) (2.0 / 3.0) OfNoise readings |]

        let steps = if readings.Denoises then readings.Steps - 1 else readings.Steps

        fun noise until state ->
            let left = steps - state.Step
            let order =
                if rest = 0 then min 3 left
                elif left = 1 then rest
                else 3
            orders[order - 1] noise until { state with Memory = [] }

    // ---- steps of their own choice

    /// What an adaptive step is held to: √(mean over a sample's coordinates of ((x_high − x_low)/max(Absolute, Relative max(|x_low|, |x_before|)))²) ≤ 1.
    type Bounds =
        {
            Relative: float
            Absolute: float
            /// θ: the part of the length that the error allows which is taken.
            Safety: float
            /// The first length, in λ.
            First: float
        }

    /// Where the samples of a batch stand within an adaptive step.
    [<NoComparison; NoEquality>]
    type private Walk =
        {
            /// λ of each sample, and the length in λ that it tries next.
            Places: float[]
            Lengths: float[]
            X: Tensor
            /// The lower-order end of the last length that stood.
            Before: Tensor
            Tries: int
        }

        interface IHoldTensors with
            member w.Visit visit =
                visit w.X
                visit w.Before

    /// The ends of a step by the lower order and by the higher one, which share their evaluations.
    let private pair
        (order: int)
        (read: SemilinearInterval -> Field)
        (intervals: Intervals)
        (x: Tensor)
        (value: Tensor)
        : struct (Tensor * Tensor) =
        if order = 2 then
            let value1 = ahead read 0.5 intervals (firstOn (part 0.5 intervals) x value)
            struct (firstOn intervals x value, secondOrder 0.5 intervals x [ value; value1 ])
        else
            let r1, r2 = 1.0 / 3.0, 2.0 / 3.0
            let value1 = ahead read r1 intervals (firstOn (part r1 intervals) x value)
            let value2 = ahead read r2 intervals (along r1 r2 intervals x [ value; value1 ])
            struct (secondOrder r1 intervals x [ value; value1 ], along r2 1.0 intervals x [ value; value2 ])

    /// One try of every sample: the length stands where its error is at most 1, and the next one is θ h E^{−1/order}.
    let private attempt (order: int) (bounds: Bounds) read (interval: SemilinearInterval) (walk: Walk) : Walk =
        let lambda = Curve.eval interval.Path.Lambda
        let last = lambda interval.Until
        let targets =
            Array.map2
                (fun place length -> if length >= last - place then last else place + length)
                walk.Places
                walk.Lengths
        let timeOf l =
            if l = last then
                interval.Until
            else
                Curve.inverse (interval.Until, interval.From) interval.Path.Lambda l
        let intervals =
            Array.map2
                (fun place target -> { interval with From = timeOf place; Until = timeOf target })
                walk.Places
                targets
            |> Each
        let value = read interval (timesOf intervals _.From) walk.X
        let struct (low, high) = pair order read intervals walk.X value
        let scale = Tensor.clamp bounds.Absolute infinity (bounds.Relative * Tensor.maximum (abs low) (abs walk.Before))
        let errors = Adaptive.rootMeanSquare ((high - low) / scale) |> Tensor.toFloats
        // A sample that has arrived waits for the others: nothing of it changes.
        let tried = Array.map2 (-) targets walk.Places
        let stands = Array.map2 (fun error tried -> error <= 1.0 && tried <> 0.0) errors tried

        let standing (after: Tensor) (before: Tensor) =
            let mask = Tensor.ofArray [ stands.Length ] (stands |> Array.map (fun s -> if s then 1.0 else 0.0))
            Tensor.where (Tensor.perSample before mask |> Tensor.atLeast 0.5) after before

        // Rounding rules lengths like these: they come to the end in no number of tries.
        let isLost target tried = target <> last && tried < 1e-10 * (last - lambda interval.From)

        if Array.exists (Double.IsFinite >> not) errors then
            raise (
                StepFailed(
                    "the field gives NaN or ∞ there",
                    "end at a later time, where the field is finite everywhere"
                )
            )
        elif Array.exists2 isLost targets tried then
            raise (StepFailed("the length of a step shrank to 10⁻¹⁰ of the way", "loosen the tolerances"))
        elif walk.Tries > 10_000 then
            raise (StepFailed("10,000 lengths were not enough", "loosen the tolerances"))

        { Places = Array.init stands.Length (fun i -> if stands[i] then targets[i] else walk.Places[i])
          Lengths =
            Array.init stands.Length (fun i ->
                if tried[i] = 0.0 then
                    walk.Lengths[i]
                else
                    bounds.Safety * tried[i] * Math.Pow(errors[i], -1.0 / float order))
          X = standing high walk.X
          Before = standing low walk.Before
          Tries = walk.Tries + 1 }

    /// From the state's time to the end by lengths of its own choice, each sample by itself: DPM-Solver-12 for order 2, the step of two evaluations against its first-order
    /// part, and DPM-Solver-23 for order 3 (Lu et al. 2022, DPM-Solver, appendix C; in its code one error, the batch's largest, is every sample's). What
    /// was learned of the length stays for the next step of the grid: with one step it is the published algorithm.
    let adaptive (order: int) (bounds: Bounds) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        fun _ until state ->
            let interval = SemilinearInterval.between reading 0.0 readings.Path state.Time until

            if not (SemilinearInterval.isRegular interval) then
                Integrator.moved
                    state
                    until
                    (first interval state.X (read interval (Integrator.time state.Time) state.X))
                    []
                    1
            else
                let n = state.X.Shape[0]

                let lengths, before =
                    match state.Memory with
                    | [ _, lengths; _, before ] -> Tensor.toFloats lengths, before
                    | _ -> Array.create n bounds.First, state.X

                let last = Curve.eval readings.Path.Lambda until

                let mutable walk: Walk =
                    { Places = Array.create n (Curve.eval readings.Path.Lambda state.Time)
                      Lengths = lengths
                      X = Tensor.clone state.X
                      Before = Tensor.clone before
                      Tries = 0 }

                // Whoever watches keeps what the step's first evaluation was asked and said: it is not freed before the step ends.
                walk <- attempt order bounds read interval walk

                while Array.exists (fun place -> place <> last) walk.Places do
                    walk <- Scope.next (attempt order bounds read interval) walk

                let memory = [ until, Tensor.ofArray [ n ] walk.Lengths; until, walk.Before ]
                Integrator.moved state until walk.X memory (order * walk.Tries)

    /// The size of the whole step in UniPC's second-order rules.
    type Size =
        /// B(h) = h.
        | Bh1
        /// B(h) = e^h − 1.
        | Bh2

    /// UniPC-p (Zhao et al. 2023, algorithms 1 and 2): the state is predicted with p values and, once the network has said its value there,
    /// corrected with p + 1; one evaluation a step. The weights are those of `inLambda` but for two values' prediction and one value's
    /// correction, where the slope counts ½ B(h). The last step predicts with `last` values at most, the one before with one more, and so on.
    let unipc (last: int) (size: Size) (order: int) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        let half (interval: SemilinearInterval) =
            match size with
            | Bh2 -> 0.5 * SemilinearInterval.moment interval 0
            | Bh1 ->
                let scale =
                    match interval.Reading with
                    | OfNoise -> -(Curve.eval interval.Path.Sigma interval.Until)
                    | OfData -> Curve.eval interval.Path.Alpha interval.Until

                0.5 * scale * SemilinearInterval.length interval

        let predictor (interval: SemilinearInterval) (times: float list) =
            match times with
            | [ _; before ] ->
                let slope = half interval / SemilinearInterval.fraction interval before
                [ SemilinearInterval.moment interval 0 - slope; slope ]
            | times -> SemilinearInterval.inLambda interval times

        let corrector (interval: SemilinearInterval) (times: float list) =
            match times with
            | [ _; _ ] -> [ half interval; SemilinearInterval.moment interval 0 - half interval ]
            | times -> SemilinearInterval.inLambda interval times

        fun _ until state ->
            let interval = SemilinearInterval.between reading 0.0 readings.Path state.Time until
            let newest = state.Time, read interval (Integrator.time state.Time) state.X

            // The corrected state of the step before, and the values known there.
            let x, known =
                match state.Memory with
                | (time, before) :: known ->
                    let back = SemilinearInterval.between reading 0.0 readings.Path time state.Time
                    let values = newest :: known
                    combine back before (corrector back (List.map fst values)) (List.map snd values), known
                | [] -> state.X, []

            let most = Math.Clamp(last + readings.Steps - 1 - state.Step, 1, order)
            let values = newest :: List.truncate (most - 1) known

            if SemilinearInterval.isRegular interval then
                let weights = predictor interval (List.map fst values)
                let next = combine interval x weights (List.map snd values)
                Integrator.moved state until next ((state.Time, x) :: values) 1
            else
                Integrator.moved state until (first interval x (snd newest)) [] 1

    /// The step of one method while fewer than so many were made, of another from then on. The starter must leave the values that
    /// the method remembers, which `remembering` sees to.
    let started (count: int) (starter: Step) (method: Step) : Step =
        fun noise until state -> (if state.Step < count then starter else method) noise until state

    /// A one-step method that also keeps its first value, for a multistep method that takes over.
    let remembering (reading: Reading) (values: int) (readings: Readings) (step: Readings -> Step) : Step =
        fun noise until state ->
            let interval = SemilinearInterval.between reading 0.0 readings.Path state.Time until
            // The first evaluation of the step, seen as it is made.
            let mutable seen = None

            let watching (prediction: Prediction) : Field =
                let read = readings.Of prediction

                fun t x ->
                    let value = read t x

                    if seen.IsNone then
                        seen <- Some value

                    value

            let next = step { readings with Of = watching } noise until state

            match seen with
            | Some value when SemilinearInterval.isRegular interval ->
                { next with Memory = List.truncate values ((state.Time, value) :: state.Memory) }
            | _ -> next
