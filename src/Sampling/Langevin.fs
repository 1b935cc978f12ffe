namespace Fokker

open System

/// log p(x) up to a constant [B] and its score ∇log p(x), of x [B; …].
type Unnormalized = Tensor -> struct (Tensor * Tensor)

/// Where a Metropolis-adjusted chain stands, a chain for each row: what the target says there is kept, so that a move costs one evaluation.
[<NoComparison; NoEquality>]
type Chain =
    {
        /// Moves tried.
        Step: int
        /// [B; …].
        X: Tensor
        /// log p(X) + constant, [B].
        LogDensity: Tensor
        Score: Tensor
    }

/// What became of one move.
[<NoComparison; NoEquality>]
type Move =
    {
        /// The probability with which each row was to be moved, [B].
        Probability: Tensor
        /// Whether it was, [B] bool.
        Accepted: Tensor
    }

/// Langevin dynamics dX = ∇log p dt + √2 dW in steps of length h: as they come, with Metropolis' correction, or from one noise level to the next.
[<RequireQualifiedAccess>]
module Langevin =

    // ---- unadjusted

    /// x + h ∇log p + √(2h) z, h the difference of two times (`Integrator.run` along 0, h, 2h, …). Its stationary law is off by a term of order h:
    /// on a Gaussian of variance v it has v/(1 − h/2v) (the laws `langevin-step-gaussian` and `langevin-step-bias`; Roberts, Tweedie 1996, section 1.4.1).
    let unadjusted (score: Tensor -> Tensor) : Step = Integrator.eulerMaruyama (Sde.langevin (fun _ x -> score x))

    // ---- Metropolis-adjusted

    /// The law e^{−f}/Z of an energy f(x) [B]; each row's energy is a function of that row alone.
    let ofEnergy (energy: Tensor -> Tensor) : Unnormalized =
        fun x ->
            let _, gradients, log =
                Diff.valueAndGrads
                    (fun xs ->
                        let log = -(energy xs[0])
                        Tensor.sum log, log)
                    [| x |]

            struct (log, gradients[0])

    /// A chain at x. One evaluation.
    let init (target: Unnormalized) (x: Tensor) : Chain =
        let struct (log, score) = target x
        { Step = 0; X = x; LogDensity = log; Score = score }

    /// The chain at y where each row's move is taken, with probability min(1, e^ratio), and as it was elsewhere: what satisfies detailed balance where `ratio` is log p(y) q(x|y)/(p(x) q(y|x))
    /// (Metropolis et al. 1953; Hastings 1970). A ratio that is not a number takes nothing. The first coordinate of `decisive`, standard normal numbers like x, decides.
    let internal decide
        (decisive: Tensor)
        (ratio: Tensor)
        (struct (y: Tensor, log: Tensor, score: Tensor))
        (chain: Chain)
        : struct (Chain * Move) =
        let probability = exp (Tensor.clamp -infinity 0.0 ratio)
        let probability = Tensor.where (Tensor.isNan probability) (Tensor.zerosLike probability) probability
        let first = Tensor.select 1 0 (Tensor.flattenRows decisive)
        let uniform = 0.5 * (1.0 + Tensor.erf (first / Math.Sqrt 2.0))
        let accepted = Tensor.less uniform probability

        let choose (a: Tensor) (b: Tensor) =
            let shape = a.Shape[0] :: List.replicate (a.Rank - 1) 1
            Tensor.where (Tensor.reshape shape accepted) a b

        struct ({ Step = chain.Step + 1
                  X = choose y chain.X
                  LogDensity = choose log chain.LogDensity
                  Score = choose score chain.Score },
                { Probability = probability; Accepted = accepted })

    /// y | x ~ N(x + h ∇log p(x), 2h I) is taken with probability min(1, p(y) q(x|y)/(p(x) q(y|x))): the target is the law of the chain exactly,
    /// whatever h > 0 (Roberts, Tweedie 1996, Exponential convergence of Langevin distributions, section 1.4.2; Besag 1994). Where p(y) is 0 or not a
    /// number the row stays. A step takes two draws: z, and one whose first coordinate decides. One evaluation.
    let adjusted (target: Unnormalized) (h: float) (noise: Noise) (chain: Chain) : struct (Chain * Move) =
        if not (h > 0.0 && Double.IsFinite h) then
            invalidArg (nameof h) $"a step of length {h}: expected a positive number"

        let times = float chain.Step * h, float (chain.Step + 1) * h
        let z = Noise.draw noise chain.Step times (0, 2) chain.X
        let y = chain.X + h * chain.Score + Math.Sqrt(2.0 * h) * z
        let struct (log, score) = target y
        // log q(x|y) − log q(y|x).
        let back = Tensor.sumRows (Tensor.square (chain.X - y - h * score)) / (4.0 * h)
        let forth = 0.5 * Tensor.sumRows (Tensor.square z)
        let ratio = log - chain.LogDensity - back + forth
        let decisive = Noise.draw noise chain.Step (snd times, snd times) (1, 2) chain.X
        decide decisive ratio (struct (y, log, score)) chain

    /// The chain after so many moves, and the mean probability with which each row was moved, [B]: 0.574 is best in many
    /// dimensions (Roberts, Rosenthal 1998).
    let runAdjusted (target: Unnormalized) (h: float) (steps: int) (noise: Noise) (x: Tensor) : Chain * Tensor =
        let move (chain, sum: Tensor) =
            let struct (next, move) = adjusted target h noise chain
            next, sum + move.Probability

        Scope.run (fun () ->
            let chain = init target x
            let begin' = { chain with X = Tensor.clone x }, Tensor.zerosLike chain.LogDensity
            let chain, sum = Seq.fold (fun state _ -> Scope.next move state) begin' (seq { 1..steps })
            chain, sum / float (max 1 steps))

    // ---- annealed

    /// From one noise level to the next one, x scaled as the data are there, and then T steps x + ½ r σ² s + √r σ z: the step is a fixed part of the
    /// level's variance (Song, Ermon 2019, Generative modeling by estimating gradients of the data distribution, algorithm 1, with r = ε/σ_L²; on a path
    /// with α ≠ 1 it is theirs for x/α). It keeps the bias of `unadjusted` with h = ½ r σ².
    let annealed (ratio: float) (perLevel: int) (readings: Readings) : Step =
        let score = readings.Of Prediction.score

        fun noise until state ->
            let alpha = Curve.eval readings.Path.Alpha
            let h = 0.5 * ratio * Curve.eval readings.Path.Variance until
            let carried = alpha until / alpha state.Time * state.X

            let x =
                List.fold
                    (fun (x: Tensor) k ->
                        let z = Noise.draw noise state.Step (until, until) (k, perLevel) x
                        x + h * score (Integrator.time until) x + Math.Sqrt(2.0 * h) * z)
                    carried
                    [ 0 .. perLevel - 1 ]

            Integrator.moved state until x [] perLevel
