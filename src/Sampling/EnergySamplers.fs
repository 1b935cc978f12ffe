namespace Fokker

open System

/// Samplers of an energy: chains whose law is e^{−E}/Z, from N(0, I) on by way of tempered laws, and the descent to a minimum. Their time is the temper's: at time t the target
/// is e^{−½‖x‖² − β g(x)} with β = min(1, (1 − t)/anneal), N(0, I) at the noisy end and the law itself from t = 1 − anneal on.
[<RequireQualifiedAccess>]
module EnergySamplers =

    /// β of a time.
    let temper (anneal: float) (t: float) : float = if anneal <= 0.0 then 1.0 else min 1.0 ((1.0 - t) / anneal)

    let private make name equation reference order draws evaluations (step: (float -> Unnormalized) -> Step) : Sampler =
        { Name = name
          Equation = equation
          Reference = reference
          Follows = Target step
          Order = order
          IsStochastic = draws > 0
          Draws = draws
          IsAdaptive = false
          Evaluations = fun n -> n * evaluations
          Grid = Grid.uniform }

    /// A step of `moves` moves of a Metropolis-adjusted chain towards the law at the step's end, each of so many evaluations beside the first one of all.
    let private chained anneal moves (each: int) (move: Unnormalized -> Noise -> Chain -> struct (Chain * Move)) =
        fun (target: float -> Unnormalized) (noise: Noise) (until: float) (state: State) ->
            let beta = temper anneal until
            let target = target beta

            let chain, first =
                match state.Memory with
                // What the target says is known where it is the one of the step before.
                | [ _, log; _, score ] when temper anneal state.Time = beta ->
                    { Step = state.Step * moves; X = state.X; LogDensity = log; Score = score }, 0
                | _ -> { Langevin.init target state.X with Step = state.Step * moves }, 1

            let chain =
                Seq.fold
                    (fun chain _ ->
                        let struct (next, _) = move target noise chain
                        next)
                    chain
                    (seq { 1..moves })

            Integrator.moved state until chain.X [ until, chain.LogDensity; until, chain.Score ] (first + moves * each)

    /// x + h ∇log p + √(2h) z, moves of a bias of order h.
    let langevinWith (h: float) (moves: int) (anneal: float) : Sampler =
        make
            "langevin"
            $"{moves} times x − h ∇E + √(2h) z, h = {h}; of a bias of order h"
            "Parisi 1981; Roberts, Tweedie 1996, section 1.4.1"
            0
            moves
            moves
            (fun target noise until state ->
                let target = target (temper anneal until)

                let x =
                    List.fold
                        (fun (x: Tensor) k ->
                            let struct (_, score) = target x
                            x
                            + h * score
                            + Math.Sqrt(2.0 * h) * Noise.draw noise state.Step (until, until) (k, moves) x)
                        state.X
                        [ 0 .. moves - 1 ]

                Integrator.moved state until x [] moves)

    /// `Langevin.adjusted`.
    let malaWith (h: float) (moves: int) (anneal: float) : Sampler =
        make
            "mala"
            $"{moves} times x − h ∇E + √(2h) z, taken with min(1, p(y) q(x|y)/(p(x) q(y|x))), h = {h}"
            "Besag 1994; Roberts, Tweedie 1996, section 1.4.2"
            0
            (2 * moves)
            (moves + 1)
            (chained anneal moves 1 (fun target noise chain -> Langevin.adjusted target h noise chain))

    /// `Hamiltonian.adjusted`.
    let hamiltonianWith (h: float) (leaps: int) (moves: int) (anneal: float) : Sampler =
        make
            "hmc"
            $"{moves} times {leaps} leaps of dx/dt = p, dp/dt = −∇E from p ~ N(0, I), taken with min(1, e^(H − H')), h = {h}"
            "Duane et al. 1987; Neal 2011, MCMC using Hamiltonian dynamics, section 5.3.2"
            0
            (2 * moves)
            (moves * leaps + 1)
            (chained anneal moves leaps (fun target noise chain -> Hamiltonian.adjusted target h leaps noise chain))

    /// x and v after one step down the slope: v' = μ v − η ∇E(x + μ v), x' = x + v' (Nesterov 1983, in the form of Sutskever et al. 2013, eq. 3 and 4).
    let descend
        (target: Unnormalized)
        (eta: float)
        (momentum: float)
        (x: Tensor)
        (v: Tensor)
        : struct (Tensor * Tensor) =
        let kept = momentum * v
        let struct (_, score) = target (x + kept)
        let v = kept + eta * score
        struct (x + v, v)

    /// Where the slope of E leads: v ← μ v − η ∇E(x + μ v), x ← x + v.
    let descentWith (eta: float) (momentum: float) : Sampler =
        make
            "descent"
            $"v ← μ v − η ∇E(x + μ v), x ← x + v, η = {eta}, μ = {momentum}"
            "Nesterov 1983; Wang, Du 2025, Equilibrium matching, section 3.2"
            0
            0
            1
            (fun target _ until state ->
                let v =
                    match state.Memory with
                    | (_, v) :: _ -> v
                    | [] -> Tensor.zerosLike state.X

                let struct (x, v) = descend (target 1.0) eta momentum state.X v
                Integrator.moved state until x [ until, v ] 1)

    let langevin = langevinWith 0.005 1 0.5
    let mala = malaWith 0.01 1 0.5
    let hamiltonian = hamiltonianWith 0.1 5 1 0.5
    let descent = descentWith 0.02 0.0

    /// What samples an energy, by name.
    let parts: Part<Sampler> list =
        let moves = Parameter.make "moves" 1.0 (Allowed.Whole 1) "moves of the chain in each step"

        let anneal =
            Parameter.make
                "anneal"
                0.5
                (Allowed.Within(0.0, 1.0))
                "the share of the steps over which the law is reached from N(0, I)"

        let length (value: float) =
            Parameter.make "h" value Allowed.Positive "the length of a step, for data of unit variance"

        [ Part.of3 (length 0.005) moves anneal (fun h moves anneal -> langevinWith h (int moves) anneal)
          Part.of3 (length 0.01) moves anneal (fun h moves anneal -> malaWith h (int moves) anneal)
          Part.leaving
              [ length 0.1; Parameter.make "leaps" 5.0 (Allowed.Whole 1) "leaps of a move"; moves; anneal ]
              (fun n -> hamiltonianWith n[0] (int n[1]) (int n[2]) n[3])
          Part.of2
              (Parameter.make "eta" 0.02 Allowed.Positive "η, the length of a step")
              (Parameter.make
                  "momentum"
                  0.0
                  (Allowed.Within(0.0, 0.999))
                  "μ, the share of a step that the next one keeps")
              descentWith ]

    let all = List.map Part.standard parts
