namespace Fokker

open System

/// Discrete flow matching: every coordinate is its datum with probability κ(t) = 1 − t and the source's otherwise, independently of the others given the data, and is led back by
/// a jump process whose rates are an average of those given the data (Gat et al. 2024, Discrete flow matching; Campbell et al. 2024, Generative flows on discrete state-spaces).
/// The network says log p(x₀ⁱ | x_t) but for a constant, for each coordinate and token.
[<RequireQualifiedAccess>]
module DiscreteFlow =

    /// The first time that is looked at: rates are 1/t, and at earlier times they are taken for what they are there.
    let First = 1e-3

    /// Uniform numbers out of standard normal ones.
    let private uniform (z: Tensor) = 0.5 * (1.0 + Tensor.erf (z * Math.Sqrt 0.5))

    /// Tokens of the source for standard normal numbers z [B; …].
    let source (tokens: Tokens) (z: Tensor) : Tensor =
        match tokens.Source with
        | TokenSource.Mask -> (Tensor.full z.Kind z.Shape (float tokens.Count)).To Dtype.Int64
        | TokenSource.Uniform ->
            let k = float tokens.Count
            (Tensor.clamp 0.0 (k - 1.0) (Tensor.floor (k * uniform z))).To Dtype.Int64

    /// x_t: each coordinate of x₀ [B; …] is the source's with probability t [B].
    let corrupt (tokens: Tokens) (rng: Rng) (t: Tensor) (x0: Tensor) : Tensor =
        let normal name = Rng.normal Kind.Float64 x0.Shape (Rng.named name rng)
        let isGone = Tensor.less (uniform (normal "gone")) (Tensor.perSample (normal "gone") t)
        Tensor.where isGone (source tokens (normal "source")) x0

    /// log p(x₀ⁱ = k | x_t), [B; K; d], of what a network says at times t for states [B; …]: log-softmax over the tokens.
    let logPosterior (tokens: Tokens) (kind: Kind) (network: Field) (t: Tensor) (states: Tensor) : Tensor =
        network t (Tokens.values tokens kind states)
        |> Tensor.reshape [ states.Shape[0]; tokens.Count; -1 ]
        |> Nn.logSoftmax 1

    /// The logarithm's entries at states [B; …], [B; d]; those of masks are of no token, and of no use.
    let private at (tokens: Tokens) (states: Tensor) (logs: Tensor) : Tensor =
        let index = (Tensor.clamp 0.0 (float (tokens.Count - 1)) (Tensor.flattenRows states)).To Dtype.Int64
        Tensor.squeeze 1 (Tensor.gather 1 (Tensor.unsqueeze 1 index) logs)

    /// Where coordinates are not yet their data: masked ones, or those of another token than the datum; 1 and 0, [B; d].
    let private isOpen (tokens: Tokens) (x0: Tensor) (states: Tensor) (kind: Kind) : Tensor =
        let mask = Tensor.flattenRows states
        match tokens.Source with
        | TokenSource.Mask -> (Tensor.greaterThan (float tokens.Count - 0.5) mask).To kind
        | TokenSource.Uniform -> (Tensor.not (Tensor.equal mask (Tensor.flattenRows x0))).To kind

    /// −Σᵢ log p(x₀ⁱ | x_t) over the coordinates that the data do not show at once, [B] (Gat et al. 2024, eq. 24).
    let crossEntropy (tokens: Tokens) (x0: Tensor) (states: Tensor) (logs: Tensor) : Tensor =
        let own = -(at tokens x0 logs)

        match tokens.Source with
        | TokenSource.Mask -> Tensor.sumRows (own * isOpen tokens x0 states logs.Kind)
        | TokenSource.Uniform -> Tensor.sumRows own

    /// The rate of the bound at time t [B], [B]: in the mean over x_t its integral over t from 0 to 1 is no less than −log p(x₀). Of masks it is equal where the network is exact; of
    /// uniform tokens it is not, since tokens that the data lead there once are led there several times by a process that does not know them.
    /// With δ = [x_tⁱ = x₀ⁱ] it is 1/t · Σᵢ (δ − p(x_tⁱ | x_t) − (1 − δ) log p(x₀ⁱ | x_t)); of a mask only the logarithm is left (Shaul et al. 2024, eq. 21: the
    /// generalized KL divergence of the rates; Holderrieth et al. 2024, proposition 2).
    let boundRate (tokens: Tokens) (t: Tensor) (x0: Tensor) (states: Tensor) (logs: Tensor) : Tensor =
        let isOpen = isOpen tokens x0 states logs.Kind
        let jump = -(at tokens x0 logs) * isOpen

        let terms =
            match tokens.Source with
            | TokenSource.Mask -> jump
            | TokenSource.Uniform -> (1.0 - isOpen) - Tensor.exp (at tokens states logs) + jump

        Tensor.sumRows terms / t.To(logs.Kind)

    /// The rates at which state x jumps at time t, as generation goes on: 1/t · p(x₀ⁱ = y | x) for each coordinate's jump to a token y, [B; K; d]; 0 for coordinates that have
    /// left the mask.
    let rates (tokens: Tokens) (t: float) (states: Tensor) (logs: Tensor) : Tensor =
        let rates = Tensor.exp logs / t

        match tokens.Source with
        | TokenSource.Uniform -> rates
        | TokenSource.Mask ->
            rates
            * Tensor.unsqueeze
                1
                ((Tensor.greaterThan (float tokens.Count - 0.5) (Tensor.flattenRows states)).To rates.Kind)

    /// The probability that a coordinate which is its datum's at time s is the source's at t > s: (t − s)/(1 − s), so that of those that are the data's at s the share 1 − t is left.
    let fading (s: float) (t: float) : float = if t >= 1.0 then 1.0 else (t - s) / (1.0 - s)

    /// From t to s < t each coordinate draws x₀ⁱ ~ p(· | x_t) and goes there with probability (t − s)/t, the integral of its rate; at s = 0 with certainty (Gat et al. 2024,
    /// algorithm 1). Of a masked source only masks move. `draw` has the standard normal numbers.
    let private onwards
        (tokens: Tokens)
        (network: Field)
        (draw: int -> Tensor)
        (t: float)
        (s: float)
        (states: Tensor)
        : Tensor =
        let draw k = uniform (draw k)
        let logs = logPosterior tokens Kind.Float64 network (Integrator.time t) states
        // The token at which the distribution function passes a uniform number.
        let passed = Tensor.cumsum 1 (Tensor.exp logs)
        let place = Tensor.unsqueeze 1 (Tensor.flattenRows (draw 0))
        let chosen = Tensor.sumOver [ 1 ] ((Tensor.less passed place).To Dtype.Int64)
        let chosen = (Tensor.clamp 0.0 (float (tokens.Count - 1)) (Tensor.reshape states.Shape chosen)).To Dtype.Int64
        let goes = Tensor.lessThan ((t - s) / t) (draw 1)

        let goes =
            match tokens.Source with
            | TokenSource.Uniform -> goes
            | TokenSource.Mask -> Tensor.both goes (Tensor.greaterThan (float tokens.Count - 0.5) states)

        Tensor.where goes chosen states

    /// From s back to t > s by the process that makes noise of data: each coordinate is the source's with probability `fading`.
    let private back (tokens: Tokens) (draw: int -> Tensor) (s: float) (t: float) (states: Tensor) : Tensor =
        Tensor.where (Tensor.lessThan (fading s t) (uniform (draw 0))) (source tokens (draw 1)) states

    /// Standard normal numbers that a step with so many corrections takes.
    let draws (corrections: int) : int = 2 + 4 * corrections

    /// A step of `onwards` from t to s, then so many corrections at s: each goes on for a step's length and comes back by the process that makes noise, which has the same marginals the
    /// other way. Both keep p_s, so that what a step did by moving coordinates without regard to each other is looked at again (Campbell et al. 2022, A continuous time framework for
    /// discrete denoising models, section 4.4; Gat et al. 2024, section 3.3). At the noisy end the state's standard normal numbers are made the source's tokens.
    let stepWith (corrections: int) (tokens: Tokens) (network: Field) : Step =
        fun noise until state ->
            let struct (t, s) = struct (state.Time, until)
            let states = if t >= 1.0 then source tokens state.X else Tokens.ofValues tokens state.X
            let draw first k = Noise.draw noise state.Step (t, s) (first + k, draws corrections) state.X
            let moved = onwards tokens network (draw 0) t s states
            let further = max 0.0 (s - (t - s))
            // Data are not corrected: they are at no time to come back to.
            let count = if s > 0.0 then corrections else 0

            let corrected (states: Tensor) (c: int) =
                let draw = draw (2 + 4 * c)

                onwards tokens network draw s further states |> back tokens (fun k -> draw (2 + k)) further s

            let states = Seq.fold corrected moved (seq { 0 .. count - 1 })
            Integrator.moved state until (Tokens.values tokens Kind.Float64 states) [] (1 + count)

    /// `stepWith` no corrections.
    let step: Tokens -> Field -> Step = stepWith 0

    /// An estimate of the bound on −log p(x₀) in nats, [B]: the mean of the rate at `draws` stratified times, without bias but for times before `First`.
    let bound (tokens: Tokens) (kind: Kind) (network: Field) (draws: int) (rng: Rng) (x: Tensor) : Tensor =
        let x0 = Tokens.ofData tokens x
        let n = x0.Shape[0]

        Seq.init draws (fun k ->
            Scope.run (fun () ->
                let own = Rng.at (int64 k) (Rng.named "bound" rng)
                let within = Rng.uniform Kind.Float64 [ n ] (Rng.named "times" own)
                let t = Tensor.clamp First 1.0 ((within + float k) / float draws)
                let states = corrupt tokens own t x0
                let logs = (logPosterior tokens kind network t states).To Dtype.Float64
                boundRate tokens t x0 states logs))
        |> Seq.reduce (+)
        |> fun sum -> sum / float draws
