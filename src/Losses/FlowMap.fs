namespace Fokker

open System

/// An identity that the exact flow map has, and with u((t, t), x) = v(t, x) no other.
[<RequireQualifiedAccess>]
type Identity =
    /// ∂_s X(t, s, x) = v(s, X(t, s, x)): where it arrives, it moves with the flow.
    | Lagrangian
    /// ∂_t X(t, s, x) + ∇X(t, s, x) v(t, x) = 0: starting further along the same trajectory changes nothing.
    | Eulerian
    /// X(t, s, x) = X(m, s, X(t, m, x)): two jumps make one.
    | Semigroup

/// Whose velocity the map is a map of.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Tangent =
    /// A model's, that has been trained before.
    | Taught of Model
    /// The map's own, u((t, t), x), which learns by flow matching at the same time.
    | Own
    /// Of each sample alone, ẋ_t = α̇ x₀ + σ̇ ε, whose mean given x_t is the flow's velocity. For identities that are linear in it.
    | OfSample

/// The parts of a loss for flow maps.
[<NoComparison; NoEquality>]
type MapMatching =
    {
        Name: string
        Source: string
        Path: GaussianPath
        Identity: Identity
        Velocity: Tangent
        /// The law of both times, of which the later is where a jump begins.
        Times: Times
        /// The part of a batch whose two times are one: there u is a velocity.
        Instants: float
        Distance: Distance
    }

/// Losses for flow maps: an identity of the exact map, the velocity in it, and the times at which it is to hold (Boffi, Albergo, Vanden-Eijnden 2024, Flow map
/// matching; 2025, How to build a consistency model; Geng et al. 2025, MeanFlow).
[<RequireQualifiedAccess>]
module MapMatching =

    /// The two sides of an identity: what a map says at a jump, and what it is to say there, by the velocity and by the map held fixed. Equal for the exact map.
    /// Lagrangian ∂_s X = u + (s − t) ∂_s u and v(s, X); Eulerian u and v(t, x) + (s − t) (∂_t u + ∇u v(t, x)); semigroup u and its mean over the jumps to
    /// the time m and on. The derivative of the first is followed by training, and those of the second are not. Times are [B], x is [B; …].
    let sides
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

        match identity with
        | Identity.Lagrangian ->
            let value, rate = Diff.jvp (fun s -> u (FlowMap.times t s) x) s (Tensor.onesLike s)
            let arrived = Tensor.detach (x + along * value)
            struct (value + along * rate, Tensor.detach (velocity s arrived))
        | Identity.Eulerian ->
            let v = velocity t x
            let _, rate =
                Diff.jvps (fun at -> frozen (FlowMap.times at[0] s) at[1]) [| t; x |] [| Tensor.onesLike t; v |]
            struct (u (FlowMap.times t s) x, Tensor.detach (v + along * rate))
        | Identity.Semigroup ->
            let first = frozen (FlowMap.times t m) x
            let second = frozen (FlowMap.times m s) (x + Tensor.perSample x (m - t) * first)
            let span = s - t
            // Two times that are one, as a law of discrete times draws them: both jumps go nowhere, by any share.
            let divisor = Tensor.where (Tensor.equalTo 0.0 span) (Tensor.onesLike span) span
            let share = Tensor.perSample x ((m - t) / divisor)
            struct (u (FlowMap.times t s) x, Tensor.detach (share * first + (1.0 - share) * second))

    // ---- settings

    let private make name source identity velocity path =
        { Name = name
          Source = source
          Path = path
          Identity = identity
          Velocity = velocity
          Times = Times.uniform
          Instants = 0.25
          Distance = Distance.squared }

    let private distilled = "Boffi, Albergo, Vanden-Eijnden 2024, Flow map matching"
    let private selfDistilled = "Boffi, Albergo, Vanden-Eijnden 2025, How to build a consistency model"

    /// Lagrangian map distillation.
    let lagrangian (teacher: Model) = make "lmd" distilled Identity.Lagrangian (Tangent.Taught teacher) teacher.Path

    /// Eulerian map distillation.
    let eulerian (teacher: Model) = make "emd" distilled Identity.Eulerian (Tangent.Taught teacher) teacher.Path

    /// Lagrangian self-distillation: no teacher.
    let lagrangianSelf (path: GaussianPath) = make "lsd" selfDistilled Identity.Lagrangian Tangent.Own path

    /// Progressive self-distillation: no teacher, no derivatives; with steps of powers of two, a shortcut model (Frans et al. 2025).
    let progressiveSelf (path: GaussianPath) =
        make "psd" $"{selfDistilled}; Frans et al. 2025, Shortcut models" Identity.Semigroup Tangent.Own path

    /// MeanFlow: the Eulerian identity with each sample's own velocity. The paper's error is weighted by a power of itself, which moves the mean that is
    /// learned; here it is ‖·‖².
    let meanFlow (path: GaussianPath) =
        make "meanflow" "Geng et al. 2025, Mean flows, eq. 6–11" Identity.Eulerian Tangent.OfSample path

    // ---- the loss

    /// The ends of the times: all of [0, 1] where the velocity is finite, the path's interior elsewhere.
    let private ends (m: MapMatching) : float * float =
        let prediction =
            match m.Velocity with
            | Tangent.Taught model -> model.Prediction
            | Tangent.Own
            | Tangent.OfSample -> Prediction.velocity

        let span = Sampling.spanOf Samplers.euler (Model.make m.Path prediction (fun _ _ x -> x))
        span.Noisy, span.Clean

    /// E d of both sides: a part of each batch learns the velocity at an instant, u((t, t), x_t), the rest the identity on jumps.
    /// In a batch of n the share is n times it or the whole number beside it, at random, so that the loss has one expectation for every n.
    let loss (m: MapMatching) : Loss =
        let draw = m.Times.Draw m.Path
        let slopes = [ m.Path.Alpha; m.Path.Sigma ] |> List.map Curve.derivative
        Times.requireFinite m.Path m.Times "the velocity" slopes

        fun context rng batch ->
            let n = batch.Data.Shape[0]
            let instants = Rng.shareOf m.Instants n (Rng.named "instants" rng)
            let one, other = draw (Rng.named "times" rng) n, draw (Rng.named "other times" rng) n
            let noise = Rng.normalLike batch.Data (Rng.named "noise" rng)

            /// x_t and ẋ_t of samples first … first + count − 1, their labels, and the velocity of the flow where it is known from elsewhere.
            let part first count (t: Tensor) =
                let own = Tensor.narrow 0 first count
                let x0, noise, label = own batch.Data, own noise, Option.map own batch.Label
                let terms = List.zip (slopes |> List.map (fun slope -> Curve.at slope t)) [ x0; noise ]
                let moving = Coefficient.combine terms

                let velocity: Field =
                    match m.Velocity with
                    | Tangent.Taught teacher -> Model.velocity teacher label
                    | Tangent.Own
                    | Tangent.OfSample -> fun _ _ -> moving

                Path.sample m.Path t x0 noise, label, velocity

            let atInstants () =
                let t = Tensor.narrow 0 0 instants one
                let x, label, velocity = part 0 instants t
                let said = context.Network label (FlowMap.times t t) x
                m.Distance.Between said (Tensor.detach ((velocity t x).To said.Dtype))

            let onJumps () =
                let count = n - instants
                let one, other = Tensor.narrow 0 instants count one, Tensor.narrow 0 instants count other
                let t, s = Tensor.maximum one other, Tensor.minimum one other
                let middle = s + Rng.uniform Kind.Float64 [ count ] (Rng.named "between" rng) * (t - s)
                let x, label, velocity = part instants count t
                let frozen = context.Frozen label

                let velocity =
                    match m.Velocity with
                    | Tangent.Own -> FlowMap.velocityOf frozen
                    | Tangent.Taught _
                    | Tangent.OfSample -> velocity

                let struct (said, wanted) = sides m.Identity velocity (context.Network label) frozen t middle s x
                m.Distance.Between said (wanted.To said.Dtype)

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

        match m.Identity with
        | Identity.Lagrangian -> $"E d(∂_s X, v(s, X)), X = x_t + (s − t) u, {v}"
        | Identity.Eulerian -> $"E d(u, v + (s − t) (∂_t u + ∇u v)), {v}"
        | Identity.Semigroup -> $"E d(u, ((m − t) u_tm + (s − m) u_ms)/(s − t)), {v}"

    /// The loss, and the map that it makes of a network of two times.
    let objective (m: MapMatching) : Objective =
        { Name = m.Name
          Equation = equation m
          Source = m.Source
          Path = m.Path
          Output = NetworkOutput.MeanVelocity(ends m)
          Uncertain = false
          Prepare = None
          Decay = None
          Loss = loss m }
