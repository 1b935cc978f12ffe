namespace Fokker

open System

/// Progressive distillation: a student learns in one DDIM step what its teacher does in two, and is the teacher of the next round, of half as many steps
/// (Salimans, Ho 2022, Progressive distillation, algorithm 2).
[<NoComparison; NoEquality>]
type Progressive =
    {
        Path: GaussianPath
        /// What teacher and students say, a prediction, behind their preconditioning or told the weight of a guidance.
        Output: NetworkOutput
        /// The first teacher's times, falling: N of them, N a power of two, and 0 for the data.
        Times: float[]
        /// The steps of the last student, a power of two.
        Last: int
        /// How the first teacher is followed where the first student takes a step: 1, by two steps of DDIM as in every other round; 2, by one of the second order for as many evaluations.
        Order: int
        /// Of the error in x₀.
        Weight: Weight
    }

[<RequireQualifiedAccess>]
module Progressive =

    /// DDIM's step from (α_t, σ_t) to (α_s, σ_s), α_s D + (σ_s/σ_t) (z − α_t D) (Song, Meng, Ermon 2021, eq. 12, η = 0). Each is [B; …] or of one sample's shape.
    let ddim (d: Tensor) (alphaT: Tensor, sigmaT: Tensor) (alphaS: Tensor, sigmaS: Tensor) (z: Tensor) : Tensor =
        alphaS * d + sigmaS / sigmaT * (z - alphaT * d)

    /// The data that one step of DDIM from z_t to s would have to see so that it arrives at z_s: x̃ = (z_s − (σ_s/σ_t) z_t)/(α_s − (σ_s/σ_t) α_t).
    let target
        (alphaT: Tensor, sigmaT: Tensor)
        (alphaS: Tensor, sigmaS: Tensor)
        (z: Tensor)
        (arrived: Tensor)
        : Tensor =
        let ratio = sigmaS / sigmaT
        (arrived - ratio * z) / (alphaS - ratio * alphaT)

    /// The data that one step of DDIM from t to s sees where DPM-Solver++(2S) takes it, from what the model says at t and, after DDIM, at a time m between: D = (1 − 1/(2r)) D_t + D_m/(2r), r the part of the way that
    /// m is at in λ = log(α/σ); D_m where s is the data, which lies at λ = ∞ (Lu et al. 2023, DPM-Solver++, algorithm 1).
    let secondOrder
        (alphaT: Tensor, sigmaT: Tensor)
        (alphaM: Tensor, sigmaM: Tensor)
        (alphaS: Tensor, sigmaS: Tensor)
        (now: Tensor)
        (middle: Tensor)
        : Tensor =
        let lambda (alpha: Tensor) (sigma: Tensor) = log alpha - log sigma
        let start = lambda alphaT sigmaT
        let isData = Tensor.equalTo 0.0 sigmaS
        let finite = lambda alphaS (Tensor.where isData (Tensor.onesLike sigmaS) sigmaS)
        let half = 0.5 * (finite - start) / (lambda alphaM sigmaM - start)
        Tensor.where isData middle (now + half * (middle - now))

    /// The times of DDIM's steps on a path, N and 0 for the data: those of its own grid, whose last step denoises.
    let times (path: GaussianPath) (steps: int) : float[] =
        let noisy = snd path.Interior
        Array.init (steps + 1) (fun k -> noisy * (1.0 - float k / float steps))

    /// α and σ at given times; at 0 all is data.
    let private at (path: GaussianPath) (times: float[]) : float[] * float[] =
        let of' (curve: Curve) (limit: float) =
            times |> Array.map (fun t -> if t = 0.0 then limit else Curve.eval curve t)
        of' path.Alpha 1.0, of' path.Sigma 0.0

    /// The students' numbers of steps: N/2, N/4, …, down to the last one's.
    let students (p: Progressive) : int list =
        List.unfold (fun n -> if n < p.Last then None else Some(n, n / 2)) ((p.Times.Length - 1) / 2)

    /// The times of the student of so many steps.
    let timesOf (p: Progressive) (steps: int) : float[] =
        let stride = (p.Times.Length - 1) / steps
        Array.init (steps + 1) (fun k -> p.Times[k * stride])

    /// What a network of this output takes for the data.
    let private denoiser (p: Progressive) (network: Condition -> Field) (condition: Condition) : Field =
        // A network that is told a guidance weight has been told it.
        let output =
            match p.Output with
            | NetworkOutput.Guided(prediction, preconditioning, _, _) ->
                NetworkOutput.Prediction(prediction, preconditioning, false)
            | output -> output

        match NetworkOutput.dynamics p.Path output network with
        | Denoising model -> Model.denoiser model condition
        | Transport _
        | Jumping _
        | Landscape _
        | Mapping _ -> invalidArg (nameof p) "what is distilled step by step is a model that says the data"

    /// ‖x̃ − D(z_t, t)‖² per sample, weighed, for the student of the context's round at its own times. Raises ArgumentException where the steps or the order are none that there are.
    let loss (p: Progressive) : Loss =
        let steps = p.Times.Length - 1

        if steps < 2 || steps &&& (steps - 1) <> 0 then
            invalidArg (nameof p) $"{steps} steps of a teacher: a power of two, at least 2, is needed"

        if p.Last < 1 || p.Last &&& (p.Last - 1) <> 0 || 2 * p.Last > steps then
            invalidArg
                (nameof p)
                $"a last student of {p.Last} steps: a power of two, at most half of the {steps} steps of the teacher, is needed"

        if p.Order <> 1 && p.Order <> 2 then
            invalidArg (nameof p) $"a teacher followed by a method of order {p.Order}: 1 or 2 is needed"

        let alphas, sigmas = at p.Path p.Times
        let weight = p.Weight.Of p.Path Prediction.data
        let low, high = NetworkOutput.knob p.Output |> Option.defaultValue (0.0, 0.0)

        fun context rng batch ->
            let n = batch.Data.Shape[0]
            let stride = min steps (1 <<< (context.Round + 1))
            let count = steps / stride
            let u = Tensor.toFloats (Rng.uniform Kind.Float64 [ n ] (Rng.named "times" rng))
            let place = u |> Array.map (fun u -> min (count - 1) (int (Math.Floor(u * float count))) * stride)
            let column (table: float[]) (offset: int) =
                Tensor.ofArray [ n ] (place |> Array.map (fun k -> table[k + offset]))

            let like offset =
                let of' table = Tensor.perSample batch.Data ((column table offset).To batch.Data.Device)
                of' alphas, of' sigmas

            // The network in its own element type, the steps in float64: what two steps differ from one by is small.
            let kind = batch.Data.Kind
            let x0 = batch.Data.To Dtype.Float64
            let noise = (Rng.normalLike batch.Data (Rng.named "noise" rng)).To Dtype.Float64
            // One guidance weight for each sample, the same for teacher and student.
            let w = low + (high - low) * Rng.uniform Kind.Float64 [ n ] (Rng.named "guidance" rng)

            let says network = denoiser p (Sampling.widened kind (NetworkOutput.atKnob p.Output w network)) batch.Label

            let double (a: Tensor, s: Tensor) = a.To Dtype.Float64, s.To Dtype.Float64
            let first, middle, last = double (like 0), double (like (stride / 2)), double (like stride)
            let t, between = column p.Times 0, column p.Times (stride / 2)
            let z = fst first * x0 + snd first * noise
            let teacher = says context.Teacher
            let now = teacher t z
            let half = ddim now first middle z
            let then' = teacher between half

            let arrived =
                if p.Order = 2 && context.Round = 0 then
                    ddim (secondOrder first middle last now then') first last z
                else
                    ddim then' middle last half

            let wanted = Tensor.detach (target first last z arrived)
            let error = Tensor.meanRows (Tensor.square (says context.Network t z - wanted))
            Coefficient.scale (Curve.at weight t) error

    let name = "progressive"
    let equation = "E w ‖x̃ − D(z_t, t)‖², x̃ of the teacher's two steps of DDIM"
    let reference = "Salimans, Ho 2022, Progressive distillation, algorithm 2"

    /// The loss with its rounds; the last two are twice as long as the others.
    let objective (p: Progressive) : Objective =
        { Objective.withOutput name equation reference p.Path p.Output (loss p) with
            Rounds =
                [ for steps in students p ->
                      { Student = steps
                        Share = (if steps <= 2 * p.Last then 2.0 else 1.0)
                        Times = List.ofArray (timesOf p steps) } ]
            // Each round's rate falls to 0: there is nothing left to average.
            Decay = Some(fun _ -> 0.0) }

    // ---- by name

    /// The loss as it is asked for: its name, its numbers and the parts that it is made of.
    let entry: Part<LossEntry> =
        Part.of3
            (Parameter.make "steps" 64.0 (Allowed.Whole 2) "N, the steps of the first teacher's DDIM, a power of two")
            (Parameter.make "last" 1.0 (Allowed.Whole 1) "M, the steps of the last student, a power of two below N")
            (Parameter.make
                "order"
                1.0
                (Allowed.Whole 1)
                "1, the first round learns two steps of the teacher's DDIM; 2, one of DPM-Solver++(2S) in their place")
            (fun steps last order ->
                let n, last, order = int steps, int last, int order

                if order > 2 then
                    invalidArg "order" $"order is {order}: expected 1 or 2"

                for name, value in [ "steps", n; "last", last ] do
                    if value &&& (value - 1) <> 0 then
                        invalidArg name $"{name} is {value}: expected a power of two"

                if last >= n then
                    invalidArg "last" $"last is {last}: expected less than the {n} steps of the first teacher"

                let ofFirst = if order = 2 then ", in the first round of one step of DPM-Solver++(2S)" else ""

                LossEntry.make
                    name
                    "Progressive distillation: a student learns in one step what its teacher does in two, and is the teacher of the next round."
                    $"{equation}{ofFirst}, in rounds from N = {n} to {last}; a teacher, its network and its times, no derivatives"
                    reference
                    [ Setting.Teacher, None
                      Setting.Begin, None
                      Setting.Weight, LossEntry.usual Weight.truncatedSnr.Name ]
                    (fun parts ->
                        let teacher = LossEntry.teacherOf name parts
                        LossEntry.requireDenoiser name teacher

                        objective
                            { Path = teacher.Path
                              Output =
                                parts.TeacherTrained
                                |> Option.map _.Output
                                |> Option.filter (fun output -> not output.IsMeanVelocity)
                                |> Option.defaultValue (NetworkOutput.Prediction(teacher.Prediction, None, false))
                              Times = times teacher.Path n
                              Last = last
                              Order = order
                              Weight = parts.Weight }))
