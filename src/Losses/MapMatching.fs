namespace Fokker

open System

/// An identity that the exact flow map has and, with its boundary condition or with u((t, t), x) = v(t, x), no other.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Identity =
    /// ∂_s X(t, s, x) = v(s, X(t, s, x)): where it arrives, it moves with the flow.
    | Lagrangian
    /// ∂_t X(t, s, x) + ∇X(t, s, x) v(t, x) = 0: starting further along the same trajectory changes nothing.
    | Eulerian
    /// X(t, s, x) = X(m, s, X(t, m, x)): two jumps make one.
    | Semigroup
    /// X(t, s, x) = X(m, s, x_m) with x_m where a step of a Runge–Kutta method takes x on a teacher's flow, or what the same x₀ and ε make where the velocity is each
    /// sample's: the Eulerian one in steps.
    | Trajectory of Tableau

/// Whose velocity the map is a map of.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Tangent =
    /// A model's, that has been trained before.
    | Taught of Model
    /// The map's own, u((t, t), x), which learns by flow matching at the same time.
    | Own
    /// Of each sample alone, ẋ_t = α̇ x₀ + σ̇ ε, whose mean given x_t is the flow's velocity. For identities that are linear in it.
    | OfSample

/// Where the target comes from.
[<NoComparison; NoEquality>]
type Target =
    /// The network itself, without gradient.
    | Frozen
    /// The moving average of its parameters, with this decay at each step.
    | Averaged of decay: (int64 -> float)

/// What the network says of the map.
[<RequireQualifiedAccess>]
type MapForm =
    /// f(t, x), where the trajectory through x ends: one time.
    | ToData of Boundary
    /// u((t, s), x), the mean velocity on the way: two times.
    | MeanVelocity

/// How much each pair of times counts, and each error.
[<NoComparison; NoEquality>]
type MapWeight =
    {
        Name: string
        Equation: string
        Reference: string
        /// w(ς, ς') of a pair, ς = σ/α at its cleaner time.
        OfPair: (float -> float -> float) option
        /// What an error [B] counts, given the context and the noisier time.
        OfError: (LossContext -> Tensor -> Tensor -> Tensor) option
        /// Whether the network needs a learned u(t).
        Learned: bool
    }

/// Classifier-free guidance inside the target: the velocity of a class is ω v + (1 − ω − κ) u_tt(∅) + κ u_tt(c), of which the map of a guided flow is learned. A
/// teacher's is v(∅) + ω (v(c) − v(∅)).
type TargetGuidance = { Omega: float; Kappa: float }

/// What is done to a derivative before it is a target.
type Steadying =
    {
        /// Steps over which the derivative comes in, from 0 on; 0 for none.
        WarmUp: int64
        /// c in g/(‖g‖ + c), g what the target adds to what is said; none for g as it is.
        Normalize: float option
    }

/// The parts of a loss for maps along the flow: consistency models, flow maps, shortcut models, mean flows. Each method of the literature is a setting of them (`MapMethods`).
[<NoComparison; NoEquality>]
type MapMatching =
    {
        Name: string
        Reference: string
        Path: GaussianPath
        Form: MapForm
        Identity: Identity
        Velocity: Tangent
        Target: Target
        /// Of instants, and of the pairs that are made of single times.
        Times: Times
        Pairs: Pairs
        Weight: MapWeight
        Distance: Distance
        /// The share of a batch whose two times are one: there u is a velocity. 0 for maps to the data.
        Instants: float
        Guidance: TargetGuidance option
        Steadying: Steadying
        /// How the divergence of the velocity is found of which the map learns its log-determinant too; none where it does not.
        LogDeterminant: Trace option
    }

[<RequireQualifiedAccess>]
module MapWeight =

    let private make name equation reference : MapWeight =
        { Name = name
          Equation = equation
          Reference = reference
          OfPair = None
          OfError = None
          Learned = false }

    let uniform = make "uniform" "1" "Song et al. 2023, Consistency models, section 5"

    /// 1/(ς' − ς).
    let gap =
        { make "gap" "1/(ς' − ς)" "Song, Dhariwal 2024, Improved consistency training, section 3.2" with
            // Of a pair that is one time, as at the clean end itself, there is nothing to learn.
            OfPair = Some(fun clean noisy -> if noisy > clean then 1.0 / (noisy - clean) else 0.0) }

    /// d/(d + c)^p with the divisor held fixed: p = 1 makes every error's gradient of one size.
    let adaptive (p: float) (c: float) =
        if p = 0.0 then
            uniform
        else
            { make "adaptive" $"d/sg(d + {c})^{p}" "Geng et al. 2025, Mean flows, section 4.3" with
                OfError = Some(fun _ _ error -> error / Tensor.detach ((error + c) ** p)) }

    /// d e^{−u(t)} + u(t) with u learned.
    let learned =
        { make "learned" "e^{−u(t)}, u learned at the price u" Weight.learned.Reference with
            Learned = true
            OfError =
                Some(fun context t error ->
                    match context.Uncertainty with
                    | Some uncertainty ->
                        let u = uncertainty t
                        error * exp (-u) + u
                    | None ->
                        invalidArg
                            (nameof context)
                            "a learned weight needs a network with a learned u(t): `Networks.withUncertainty`") }

[<RequireQualifiedAccess>]
module Steadying =

    let none: Steadying = { WarmUp = 0L; Normalize = None }

    /// How much of a derivative counts after so many steps.
    let share (s: Steadying) (step: int64) : float =
        if s.WarmUp <= 0L then 1.0 else Math.Min(1.0, float step / float s.WarmUp)

    /// `said` + g/(‖g‖ + c) for g = `wanted` − `said`, per sample.
    let apply (s: Steadying) (said: Tensor) (wanted: Tensor) : Tensor =
        match s.Normalize with
        | None -> wanted
        | Some c ->
            let said = Tensor.detach said
            let g = wanted - said
            let norm = sqrt (Tensor.sumRows (Tensor.square g))
            said + Tensor.perSample g (1.0 / (norm + c)) * g

/// Losses for maps along the flow: an identity of the exact map, the velocity in it, and the times at which it is to hold (Song et al. 2023, Consistency models; Boffi,
/// Albergo, Vanden-Eijnden 2024, Flow map matching; 2025, How to build a consistency model; Geng et al. 2025, MeanFlow).
[<RequireQualifiedAccess>]
module MapMatching =

    /// The two sides of an identity: what a map says at a jump, and what it is to say there, by the velocity and by the map held fixed. Equal for the exact map.
    /// Lagrangian ∂_s X = u + (s − t) ∂_s u and v(s, X); Eulerian u and v(t, x) + (s − t) (∂_t u + ∇u v(t, x)); semigroup u and its mean over the jumps to
    /// the time m and on; trajectory the same with a step of a solver as the first jump. The derivative of the first is followed by training, and those of the second are not.
    /// Of the Eulerian derivative the share r counts. Times are [B], x is [B; …].
    let sidesOf
        (r: float)
        (identity: Identity)
        (velocity: Field)
        (u: Field)
        (frozen: Field)
        (t: Tensor)
        (m: Tensor)
        (s: Tensor)
        (x: Tensor)
        : struct (Tensor * Tensor) =
        let along = Tensor.perSample x (s - t)

        /// What a first jump to m and one on from there come to.
        let inTwo (first: Tensor) =
            let second = frozen (FlowMap.times m s) (x + Tensor.perSample x (m - t) * first)
            let span = s - t
            // Two times that are one, as a law of discrete times draws them: both jumps go nowhere, by any share.
            let divisor = Tensor.where (Tensor.equalTo 0.0 span) (Tensor.onesLike span) span
            let share = Tensor.perSample x ((m - t) / divisor)
            struct (u (FlowMap.times t s) x, Tensor.detach (share * first + (1.0 - share) * second))

        match identity with
        | Identity.Lagrangian ->
            let value, rate = Diff.jvp (fun s -> u (FlowMap.times t s) x) s (Tensor.onesLike s)
            let arrived = Tensor.detach (x + along * value)
            struct (value + along * rate, Tensor.detach (velocity s arrived))
        | Identity.Eulerian ->
            let v = velocity t x
            let _, rate =
                Diff.jvps (fun at -> frozen (FlowMap.times at[0] s) at[1]) [| t; x |] [| Tensor.onesLike t; v |]
            struct (u (FlowMap.times t s) x, Tensor.detach (v + r * along * rate))
        | Identity.Semigroup -> inTwo (frozen (FlowMap.times t m) x)
        | Identity.Trajectory tableau ->
            let step = m - t
            let divisor = Tensor.where (Tensor.equalTo 0.0 step) (Tensor.onesLike step) step
            let led = Integrator.rungeKuttaBetween tableau { Velocity = velocity } t m x
            inTwo ((led - x) / Tensor.perSample x divisor)

    /// `sidesOf` with all of the derivative.
    let sides = sidesOf 1.0

    /// The two sides of the Eulerian identity of a consistency function f = cos θ x − sin θ F at x = cos θ x₀ + sin θ ε, θ = πt/2, in terms of F: F and F⁻ + g with
    /// g = cos θ df⁻/dθ = −cos²θ (F⁻ − dx/dθ) − r cos θ sin θ (x + dF⁻/dθ), d along the trajectory; 0 for the exact function (Lu, Song 2024, Simplifying continuous-time
    /// consistency models, eq. 6 and section 4.1). Nothing in it is infinite up to θ = π/2. Of the derivative the share r counts.
    let tangent
        (r: float)
        (velocity: Field)
        (network: Field)
        (frozen: Field)
        (t: Tensor)
        (x: Tensor)
        : struct (Tensor * Tensor) =
        let perAngle = 2.0 / Math.PI
        let angle = t / perAngle
        let c, s = Tensor.perSample x (cos angle), Tensor.perSample x (sin angle)
        let rate = perAngle * velocity t x

        // The rates are scaled before they are differentiated along, as the paper has it.
        let value, along =
            Diff.jvps
                (fun at -> frozen at[0] at[1])
                [| t; x |]
                [| perAngle * (cos angle * sin angle); (c * s * rate).To(x.Dtype) |]

        let g = -(c * c) * (value - rate) - r * (c * s * x + along)
        struct (network t x, Tensor.detach (value + g))

    // ---- the loss

    /// The ends of the times: all of [0, 1] where the velocity is finite, the path's interior elsewhere.
    let private ends (m: MapMatching) : float * float =
        match m.Form with
        | MapForm.ToData _ ->
            let low, high = m.Path.Interior
            high, low
        | MapForm.MeanVelocity ->
            let prediction =
                match m.Velocity with
                | Tangent.Taught model -> model.Prediction
                | Tangent.Own
                | Tangent.OfSample -> Prediction.velocity

            let span = Sampling.spanOf Samplers.euler (Model.make m.Path prediction (fun _ _ x -> x))
            span.Noisy, span.Clean

    /// u with its own velocity in the place of jumps that are no longer than an instant.
    let private withInstants (finest: float) (noisy: float, clean: float) (u: Field) : Field =
        if finest <= 0.0 then
            u
        else
            let least = finest * (noisy - clean) * (1.0 + 1e-9)

            fun times x ->
                let t, s = Tensor.narrow 1 0 1 times, Tensor.narrow 1 1 1 times
                u
                    (Tensor.cat
                        1
                        [ t; Tensor.where (Tensor.lessOrEqual (abs (t - s)) (Tensor.full t.Kind [] least)) t s ])
                    x

    /// A field of two outputs on states (x, ℓ) [B; D + 1]: u, and the mean over coordinates of the second, which is what log |det ∂X/∂x| changes by in a unit of time,
    /// divided by D. It depends on x alone.
    let private withLogDeterminant (shape: int list) (both: Field) : Field =
        fun times state ->
            let n, d = state.Shape[0], state.Shape[1] - 1
            let x = Tensor.reshape (n :: shape) (Tensor.narrow 1 0 d state)
            let y = both times x
            let width = x.Shape[1]
            let rate = Tensor.meanRows (Tensor.narrow 1 width width y)
            Tensor.cat 1 [ Tensor.flattenRows (Tensor.narrow 1 0 width y); Tensor.unsqueeze 1 rate ]

    /// (v, ∇·v/D) on states (x, ℓ) [B; D + 1].
    let private withDivergence (trace: Trace) (rng: Rng) (shape: int list) (velocity: Field) : Field =
        fun t state ->
            let n, d = state.Shape[0], state.Shape[1] - 1
            let x = Tensor.reshape (n :: shape) (Tensor.narrow 1 0 d state)
            let struct (v, divergence) = trace.Apply rng (velocity t) x
            Tensor.cat 1 [ Tensor.flattenRows v; Tensor.unsqueeze 1 (divergence / float d) ]

    let private requireConsistent (m: MapMatching) =
        match m.Form, m.Identity, m.Velocity with
        | MapForm.ToData _, (Identity.Lagrangian | Identity.Semigroup), _ ->
            invalidArg
                (nameof m)
                $"{m.Name}: a map to the data alone has the Eulerian identity and that of a trajectory"
        | MapForm.ToData boundary, Identity.Eulerian, _ when
            boundary <> Rotated || m.Path.Name <> Path.trigonometric.Name
            ->
            invalidArg
                (nameof m)
                $"{m.Name}: the tangent of a consistency function is that of f = αx − σF on the path trigonometric"
        | MapForm.ToData _, _, Tangent.Own ->
            invalidArg (nameof m) $"{m.Name}: a map to the data knows no velocity of its own"
        | MapForm.ToData _, _, _ when
            m.Instants > 0.0 || m.LogDeterminant.IsSome || m.Guidance.IsSome && not m.Velocity.IsTaught
            ->
            invalidArg (nameof m) $"{m.Name}: a map to the data has no instants"
        | MapForm.MeanVelocity, (Identity.Lagrangian | Identity.Trajectory _), Tangent.OfSample
        | MapForm.MeanVelocity, _, Tangent.OfSample when m.LogDeterminant.IsSome || not m.Identity.IsEulerian ->
            invalidArg
                (nameof m)
                $"{m.Name}: a sample's own velocity stands for the flow's where an identity is linear in it"
        | _ -> ()

    /// E d of both sides: a part of each batch learns the velocity at an instant, u((t, t), x_t), the rest the identity on jumps.
    /// In a batch of n the share is n times it or the whole number beside it, at random, so that the loss has one expectation for every n.
    /// Raises ArgumentException where the parts do not go together.
    let loss (m: MapMatching) : Loss =
        requireConsistent m
        let ends = ends m
        let draw = m.Times.Draw m.Path

        let pairs = m.Pairs.Draw { Path = m.Path; Ends = ends; Times = m.Times; Weight = m.Weight.OfPair }

        let slopes = [ m.Path.Alpha; m.Path.Sigma ] |> List.map Curve.derivative

        let needsSlopes =
            match m.Form, m.Identity with
            | MapForm.ToData _, Identity.Trajectory _ -> false
            | _ -> true

        if needsSlopes then
            Times.requireFinite m.Path m.Times "the velocity" slopes

        let teacher =
            match m.Velocity, m.Guidance with
            | Tangent.Taught teacher, Some guidance -> Some(Guidance.model (Guidance.scaled guidance.Omega) teacher)
            | Tangent.Taught teacher, None -> Some teacher
            | _ -> None

        let weighed (context: LossContext) (t: Tensor) (weight: Tensor option) (error: Tensor) =
            let error = m.Weight.OfError |> Option.fold (fun (error: Tensor) weigh -> weigh context t error) error
            weight |> Option.fold (fun (error: Tensor) (w: Tensor) -> error * w.To(error.Dtype)) error

        /// The distance of x, and of what is beside it.
        let apart (said: Tensor) (wanted: Tensor) =
            let wanted = wanted.To said.Dtype

            match m.LogDeterminant with
            | None -> m.Distance.Between said wanted
            | Some _ ->
                let d = said.Shape[1] - 1
                let part first count =
                    m.Distance.Between (Tensor.narrow 1 first count said) (Tensor.narrow 1 first count wanted)
                part 0 d + part d 1

        fun context rng batch ->
            let n = batch.Data.Shape[0]
            let instants = if m.Instants = 0.0 then 0 else Rng.shareOf m.Instants n (Rng.named "instants" rng)
            let noise = Rng.normalLike batch.Data (Rng.named "noise" rng)
            let shape = List.ofArray batch.Data.Shape[1..]

            let held =
                match m.Target with
                | Frozen -> context.Frozen
                | Averaged _ -> context.Average

            /// x₀, ε, the label of samples first … first + count − 1, and ẋ_t at their times.
            let part first count =
                let own = Tensor.narrow 0 first count
                let x0, noise, label = own batch.Data, own noise, Option.map own batch.Label

                let moving (t: Tensor) =
                    Coefficient.combine (List.zip (slopes |> List.map (fun slope -> Curve.at slope t)) [ x0; noise ])

                struct (x0, noise, label, moving)

            /// The velocity of the flow at samples of a label: a teacher's, or each sample's, guided where that is asked for.
            let velocityAt (u: Condition -> Field) (label: Condition) (moving: Tensor -> Tensor) : Field =
                match teacher, m.Guidance, label with
                | Some teacher, _, _ -> Model.velocity teacher label
                | None, Some g, Some labels ->
                    let none = Some(Condition.nothing labels)

                    fun t x ->
                        let v = moving t
                        let own condition = FlowMap.velocityOf (u condition) t x
                        let guided = g.Omega * v + (1.0 - g.Omega - g.Kappa) * own none

                        let guided = if g.Kappa = 0.0 then guided else guided + g.Kappa * own label
                        // A sample whose label was left out is not guided.
                        let isNamed = Tensor.perSample x ((Condition.isTold labels).To(x.Dtype))
                        v + isNamed * (guided.To(v.Dtype) - v)
                | None, _, _ -> fun t _ -> moving t

            let toData boundary =
                let struct (x0, noise, label, moving) = part 0 n
                let jumps = pairs context.Step (Rng.named "pairs" rng) n
                let bounded = NetworkOutput.bounded m.Path boundary
                let at t = Path.sample m.Path t x0 noise

                let error =
                    match m.Identity, teacher with
                    | Identity.Trajectory _, None ->
                        Consistency.trainingAt
                            m.Path
                            m.Distance
                            (bounded (context.Network label))
                            (bounded (held label))
                            jumps.Middle
                            jumps.From
                            x0
                            noise
                    | Identity.Trajectory tableau, Some teacher ->
                        Consistency.distillationAt
                            (Consistency.solverOf tableau (Ode.ofModel label teacher))
                            m.Distance
                            (bounded (context.Network label))
                            (bounded (held label))
                            jumps.Middle
                            jumps.From
                            (at jumps.From)
                    | _ ->
                        let velocity = velocityAt context.Frozen label moving
                        let share = Steadying.share m.Steadying context.Step
                        let x = at jumps.From
                        let struct (said, wanted) =
                            tangent share velocity (context.Network label) (held label) jumps.From x
                        apart said (Steadying.apply m.Steadying said wanted)

                let error = weighed context jumps.From jumps.Weight error

                match boundary with
                | Parametrized _
                | Rotated -> error
                | Penalized ->
                    let t = Tensor.scalar Kind.Float64 (fst m.Path.Interior)
                    let struct (alpha, _) = Path.alphaSigma m.Path (fst m.Path.Interior)
                    let x = at t
                    error + Tensor.meanRows (Tensor.square (context.Network label t x - x / alpha))

            // A map that learns its log-determinant is one of the states (x, ℓ): the identities are the same.
            let state (x: Tensor) =
                match m.LogDeterminant with
                | None -> x
                | Some _ -> Tensor.cat 1 [ Tensor.flattenRows x; Tensor.zeros x.Kind [ x.Shape[0]; 1 ] ]

            let mapped (u: Field) = if m.LogDeterminant.IsSome then withLogDeterminant shape u else u

            let moved (rng: Rng) (velocity: Field) =
                match m.LogDeterminant with
                | None -> velocity
                | Some trace -> withDivergence trace rng shape velocity

            /// u of a map with its log-determinant, without that.
            let plain (u: Condition -> Field) = if m.LogDeterminant.IsSome then Networks.part 0 u else u

            let atInstants () =
                let struct (x0, noise, label, moving) = part 0 instants
                let t = draw (Rng.named "instants" rng) instants
                let x = Path.sample m.Path t x0 noise
                let velocity = velocityAt (plain context.Frozen) label moving

                let wanted =
                    match m.LogDeterminant with
                    | None -> velocity t x
                    | Some trace ->
                        // What a sample moves by has no divergence of the flow's: that is the map's own, or the teacher's.
                        let flow = if teacher.IsSome then velocity else FlowMap.velocityOf (plain context.Frozen label)
                        let divergence = withDivergence trace (Rng.named "probes" rng) shape flow t (state x)
                        let d = divergence.Shape[1] - 1
                        Tensor.cat 1 [ Tensor.flattenRows (velocity t x); Tensor.narrow 1 d 1 divergence ]

                let said = mapped (context.Network label) (FlowMap.times t t) (state x)
                weighed context t None (apart said (Tensor.detach wanted))

            let onJumps () =
                let count = n - instants
                let struct (x0, noise, label, moving) = part instants count
                let jumps = pairs context.Step (Rng.named "pairs" rng) count
                let x = Path.sample m.Path jumps.From x0 noise
                let frozen = withInstants m.Pairs.Finest ends (mapped (held label))

                let velocity =
                    match m.Velocity with
                    | Tangent.Own -> FlowMap.velocityOf frozen
                    | Tangent.Taught _
                    | Tangent.OfSample ->
                        moved (Rng.named "probes" rng) (velocityAt (plain context.Frozen) label moving)

                let share = Steadying.share m.Steadying context.Step

                let struct (said, wanted) =
                    sidesOf
                        share
                        m.Identity
                        velocity
                        (mapped (context.Network label))
                        frozen
                        jumps.From
                        jumps.Middle
                        jumps.Until
                        (state x)

                weighed context jumps.From jumps.Weight (apart said (Steadying.apply m.Steadying said wanted))

            match m.Form with
            | MapForm.ToData boundary -> toData boundary
            | MapForm.MeanVelocity ->
                match instants with
                | 0 -> onJumps ()
                | all when all = n -> atInstants ()
                | _ -> Tensor.cat 0 [ atInstants (); onJumps () ]

    let private equation (m: MapMatching) =
        let v =
            match m.Velocity with
            | Tangent.Taught _ -> "v the teacher's"
            | Tangent.Own -> "v = u_tt"
            | Tangent.OfSample -> "v = ẋ_t"

        let held =
            match m.Target with
            | Frozen -> ""
            | Averaged _ -> ", ⁻ the average"

        let weight = if m.Weight.Name = MapWeight.uniform.Name then "" else $"{m.Weight.Equation} · "
        let distance = $"d = {m.Distance.Equation}"

        match m.Form, m.Identity, m.Velocity with
        | MapForm.ToData _, Identity.Trajectory _, Tangent.OfSample ->
            $"E {weight}d(f(t', x_t'), f⁻(t, x_t)), {distance}{held}"
        | MapForm.ToData _, Identity.Trajectory tableau, _ ->
            $"E {weight}d(f(t', x_t'), f⁻(t, x̂_t)), {distance}, x̂ by a step of {tableau.Name}{held}"
        | MapForm.ToData _, _, _ -> $"E {weight}‖F − F⁻ − g/(‖g‖ + c)‖²/d, g = cos θ df⁻/dθ, θ = πt/2, {v}"
        | _, Identity.Lagrangian, _ -> $"E {weight}d(∂_s X, v(s, X)), X = x_t + (s − t) u, {v}"
        | _, Identity.Eulerian, _ -> $"E {weight}d(u, v + (s − t) (∂_t u + ∇u v)), {v}"
        | _, Identity.Semigroup, _ ->
            let also = if m.LogDeterminant.IsSome then ", and of log |det ∂X/∂x|" else ""
            $"E {weight}d(u, ((m − t) u_tm + (s − m) u_ms)/(s − t)){also}, {m.Pairs.Equation}{held}"
        | _, Identity.Trajectory tableau, _ ->
            $"E {weight}d(u, ((x̂_m − x_t) + (s − m) u_ms)/(s − t)), x̂ by a step of {tableau.Name}, {v}{held}"

    /// What the method asks of a network, in words for a list: its times, its teacher, whether it is differentiated forwards.
    let needs (m: MapMatching) : string =
        let times = if m.Form.IsMeanVelocity then "two times" else "one time"
        let teacher = if m.Velocity.IsTaught then "a teacher" else "no teacher"
        let derivatives =
            if m.Identity.IsLagrangian || m.Identity.IsEulerian then "forward derivatives" else "no derivatives"
        $"{times}, {teacher}, {derivatives}"

    /// The loss, and the map that it makes of a network.
    let objective (m: MapMatching) : Objective =
        let output =
            match m.Form with
            | MapForm.ToData boundary -> NetworkOutput.ConsistencyFunction boundary
            | MapForm.MeanVelocity ->
                let noisy, clean = ends m
                NetworkOutput.MeanVelocity(noisy, clean, m.LogDeterminant.IsSome)

        { Objective.withOutput m.Name (equation m) m.Reference m.Path output (loss m) with
            Uncertain = m.Weight.Learned
            Decay =
                match m.Target with
                | Averaged decay -> Some decay
                | Frozen -> None }
