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
        Weights: Leg -> float list -> float list
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
        fun (leg: Leg) t x ->
            (match leg.Reading with
             | OfNoise -> noise t x
             | OfData -> data t x)

    // ---- rules

    /// The polynomial in λ through the last values (Hochbruck, Ostermann 2010, section 2.5; Zhang, Chen 2023, DEIS).
    let adamsBashforth (reading: Reading) (eta: float) (values: int) : Rule =
        { Reading = reading; Eta = eta; Values = values; Weights = Leg.inLambda }

    /// The polynomial in t through the last values of ε̂ (Zhang, Chen 2023, DEIS, eq. 14–15: tAB).
    let inTime (values: int) : Rule = { Reading = OfNoise; Eta = 0.0; Values = values; Weights = Leg.inVariable id }

    /// The polynomial in ς = σ/α through the last values of ε̂: Adams–Bashforth for d(x/α)/dς = ε̂, with steps that vary.
    let inSigma (values: int) : Rule =
        { Reading = OfNoise
          Eta = 0.0
          Values = values
          Weights =
            fun leg ->
                let level t = Math.Exp(-(Curve.eval leg.Path.Lambda t))
                Leg.inVariable level leg }

    /// f₀ + ½ h f' with f' the slope between the last two values, integrated as a constant (Lu et al. 2023, DPM-Solver++, algorithm 2).
    let dpm2 (reading: Reading) (eta: float) : Rule =
        { Reading = reading
          Eta = eta
          Values = 2
          Weights =
            fun leg times ->
                let whole = Leg.moment leg 0

                match times with
                | [ _ ] -> [ whole ]
                | _ ->
                    // −1/r, r the length of the last step in this one's.
                    let back = Leg.place leg times[1]
                    [ whole * (1.0 - 0.5 / back); whole * 0.5 / back ] }

    /// As `adamsBashforth` with three values, but for half of the second difference: so in the authors' code, which made it the
    /// method of that name (Lu et al. 2023, DPM-Solver++, 3M). The difference is of second order, as the start is: the weights of fewer values are `start`'s,
    /// for which the published samplers differ.
    let dpm3 (start: Rule) (reading: Reading) (eta: float) : Rule =
        { Reading = reading
          Eta = eta
          Values = 3
          Weights =
            fun leg times ->
                match times with
                | [ _; first; second ] ->
                    let a, b = Leg.place leg first, Leg.place leg second
                    let constant, linear, quadratic = Leg.moment leg 0, Leg.moment leg 1, Leg.moment leg 2
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
                | times -> start.Weights leg times }

    // ---- steps

    let private combine (leg: Leg) (x: Tensor) (weights: float list) (values: Tensor list) : Tensor =
        List.fold2 (fun sum w f -> if w = 0.0 then sum else Tensor.addScaled w f sum) (Leg.carry leg * x) weights values

    let private disturbed (noise: Noise) (leg: Leg) (state: State) (x: Tensor) : Tensor =
        match Leg.spread leg with
        | 0.0 -> x
        | spread -> x + spread * Noise.draw noise state.Step (leg.From, leg.Until) (0, 1) state.X

    /// A linear multistep method: one evaluation a step, and the last values remembered. The first steps use what there is.
    let multistep (rule: Rule) (readings: Readings) : Step =
        let read = fields readings

        fun noise until state ->
            let leg = Leg.between rule.Reading rule.Eta readings.Path state.Time until
            let newest = state.Time, read leg (Integrator.time state.Time) state.X
            let values = newest :: (if Leg.isRegular leg then List.truncate (rule.Values - 1) state.Memory else [])

            let weights = if Leg.isRegular leg then rule.Weights leg (List.map fst values) else [ Leg.moment leg 0 ]

            let x = combine leg state.X weights (List.map snd values) |> disturbed noise leg state
            Integrator.moved state until x (if Leg.isRegular leg then values else []) 1

    /// A first-order step.
    let private first (leg: Leg) (x: Tensor) (value: Tensor) : Tensor = combine leg x [ Leg.moment leg 0 ] [ value ]

    /// Two evaluations: one at a fraction r of the way in λ (Lu et al. 2022, DPM-Solver, algorithm 4; 2023, DPM-Solver++, algorithm 1: r = ½).
    let twoStage (r: float) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        fun _ until state ->
            let leg = Leg.between reading 0.0 readings.Path state.Time until
            let value = read leg (Integrator.time state.Time) state.X

            if not (Leg.isRegular leg) then
                Integrator.moved state until (first leg state.X value) [] 1
            else
                let middle = Leg.timeAt leg r
                let inner = first { leg with Until = middle } state.X value
                let ahead = read leg (Integrator.time middle) inner
                let whole = Leg.moment leg 0
                let weights = [ whole * (1.0 - 0.5 / r); whole * 0.5 / r ]
                Integrator.moved state until (combine leg state.X weights [ value; ahead ]) [] 2

    /// Three evaluations, at fractions 0 < r₁ < r₂ of the way in λ: the line through the first two values leads to the third place, the
    /// one through the first and the third to the end (Lu et al. 2022, DPM-Solver, algorithm 5: r = ⅓, ⅔).
    let threeStage (r1: float) (r2: float) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        fun _ until state ->
            let leg = Leg.between reading 0.0 readings.Path state.Time until
            let value = read leg (Integrator.time state.Time) state.X

            if not (Leg.isRegular leg) then
                Integrator.moved state until (first leg state.X value) [] 1
            else
                let s1, s2 = Leg.timeAt leg r1, Leg.timeAt leg r2
                let value1 = read leg (Integrator.time s1) (first { leg with Until = s1 } state.X value)

                let toward (until: float) (other: float) (ahead: Tensor) =
                    let part = { leg with Until = until }
                    combine part state.X (Leg.inLambda part [ state.Time; other ]) [ value; ahead ]

                let value2 = read leg (Integrator.time s2) (toward s2 s1 value1)
                Integrator.moved state until (toward until s2 value2) [] 3

    /// The size of the whole step in UniPC's second-order rules.
    type Size =
        /// B(h) = h.
        | Bh1
        /// B(h) = e^h − 1.
        | Bh2

    /// UniPC-p (Zhao et al. 2023, algorithms 1 and 2): the state is predicted with p values and, once the network has said its value there,
    /// corrected with p + 1; one evaluation a step. The weights are those of `inLambda` but for two values' prediction and one value's
    /// correction, where the slope counts ½ B(h).
    let unipc (size: Size) (order: int) (reading: Reading) (readings: Readings) : Step =
        let read = fields readings

        let half (leg: Leg) =
            match size with
            | Bh2 -> 0.5 * Leg.moment leg 0
            | Bh1 ->
                let scale =
                    match leg.Reading with
                    | OfNoise -> -(Curve.eval leg.Path.Sigma leg.Until)
                    | OfData -> Curve.eval leg.Path.Alpha leg.Until

                0.5 * scale * Leg.length leg

        let predictor (leg: Leg) (times: float list) =
            match times with
            | [ _; before ] ->
                let slope = half leg / Leg.place leg before
                [ Leg.moment leg 0 - slope; slope ]
            | times -> Leg.inLambda leg times

        let corrector (leg: Leg) (times: float list) =
            match times with
            | [ _; _ ] -> [ half leg; Leg.moment leg 0 - half leg ]
            | times -> Leg.inLambda leg times

        fun _ until state ->
            let leg = Leg.between reading 0.0 readings.Path state.Time until
            let newest = state.Time, read leg (Integrator.time state.Time) state.X

            // The corrected state of the step before, and the values known there.
            let x, known =
                match state.Memory with
                | (time, before) :: known ->
                    let back = Leg.between reading 0.0 readings.Path time state.Time
                    let values = newest :: known
                    combine back before (corrector back (List.map fst values)) (List.map snd values), known
                | [] -> state.X, []

            let values = newest :: List.truncate (order - 1) known

            if Leg.isRegular leg then
                let weights = predictor leg (List.map fst values)
                let next = combine leg x weights (List.map snd values)
                Integrator.moved state until next ((state.Time, x) :: values) 1
            else
                Integrator.moved state until (first leg x (snd newest)) [] 1

    /// The step of one method while fewer than so many were made, of another from then on. The starter must leave the values that
    /// the method remembers, which `remembering` sees to.
    let started (count: int) (starter: Step) (method: Step) : Step =
        fun noise until state -> (if state.Step < count then starter else method) noise until state

    /// A one-step method that also keeps its first value, for a multistep method that takes over.
    let remembering (reading: Reading) (values: int) (readings: Readings) (step: Readings -> Step) : Step =
        fun noise until state ->
            let leg = Leg.between reading 0.0 readings.Path state.Time until
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
            | Some value when Leg.isRegular leg ->
                { next with Memory = List.truncate values ((state.Time, value) :: state.Memory) }
            | _ -> next
