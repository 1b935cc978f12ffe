namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// Energies: networks whose field is a gradient, what they are learned by, and how they are sampled and normalized.
module EnergyLaws =

    let private section = "Energies"

    /// A network that is not at its start.
    let private generic (rng: Rng) (network: Network) : Tensor[] =
        Network.init Kind.Float64 (Rng.named "network" rng) network
        |> Array.mapi (fun k p -> p + 0.3 * Rng.normalLike p (Rng.at (int64 k) (Rng.named "off" rng)))

    let conservative =
        { Name = "energy-score-conservative"
          Section = section
          Statement = "the score −∇E of any network's potential has a symmetric Jacobian"
          Reference = "Salimans, Ho 2021, Should EBMs model the energy or the score?, section 2; Schwarz's theorem"
          Tolerance = 1e-10
          Cases = 40
          Check =
            Check.guarding EnergyNetwork.gradient (fun potential t x ->
                // As if x in ⟨x, y⟩ were held fixed: the network's own field, pulled back.
                EnergyNetwork.gradient potential t x * x)
            <| fun gradient ->
                gen {
                    let! prediction =
                        Draw.oneOf [ Prediction.velocity; Prediction.noise; Prediction.data; Prediction.v ]
                    let! path = Draw.oneOf [ Path.condOT; Path.vp; Path.trigonometric ]
                    let! input = Draw.oneOf [ None; Some { Count = 4; Scale = 0.5; Fade = 1.0 } ]
                    let! t = Draw.between 0.1 0.9
                    let! r = Draw.rng

                    let network =
                        EnergyNetwork.ofNetwork
                            Head.Dot
                            (Networks.mlp { Mlp.standard 3 with Width = 12; Depth = 2; Input = input })

                    let potential = network.Apply (generic r network) None
                    let score =
                        Model.score (Model.make path prediction (fun _ -> gradient potential)) None (Measure.at t)
                    let jacobian = Diff.jacobian (fun x -> Tensor.flatten (score (Tensor.reshape [ 1; 3 ] x)))
                    let j = jacobian (Tensor.flatten (Draw.vectors r "x" [ 1; 3 ]))

                    return { Error = Measure.apart j (Tensor.transpose 0 1 j); Case = $"{prediction.Name}, t = {t}" }
                } }

    let energy =
        { Name = "energy-of-potential"
          Section = section
          Statement = "E of a potential has the score of its model as −∇E, whatever the prediction and the path"
          Reference = "the conversion of a prediction to the score is linear in it and in x"
          Tolerance = 1e-10
          Cases = 40
          Check =
            Check.guarding EnergyNetwork.energy (fun path prediction potential t x ->
                EnergyNetwork.energy path prediction potential t x + 0.05 * Tensor.sumRows (Tensor.square x))
            <| fun energy ->
                gen {
                    let! prediction =
                        Draw.oneOf [ Prediction.velocity; Prediction.noise; Prediction.data; Prediction.v ]
                    let! path = Draw.path
                    let! t = Draw.between 0.1 0.9
                    let! r = Draw.rng
                    let network =
                        EnergyNetwork.ofNetwork Head.Dot (Networks.mlp { Mlp.standard 2 with Width = 12; Depth = 2 })
                    let potential = network.Apply (generic r network) None
                    let x = Draw.vectors r "x" [ 4; 2 ]
                    let t = Measure.at t
                    let model = Model.make path prediction (fun _ -> EnergyNetwork.gradient potential)
                    let force = -(EnergyNetwork.gradient (energy path prediction potential) t x)

                    return
                        { Error = Measure.apart force (Model.score model None t x)
                          Case = $"{path.Name}, {prediction.Name}" }
                } }

    // ---- learning

    /// Nodes of an even grid and weights of the trapezoidal rule there, which is exact to rounding for what has died out at both ends.
    let private line (count: int) =
        let u = Tensor.linspace Kind.Float64 -9.0 9.0 count
        Tensor.reshape [ -1; 1 ] u, 18.0 / float (count - 1)

    let private gaussian (m: float) (s: float) (x: Tensor) : Tensor =
        let z = (Tensor.flatten x - m) / s
        exp (-0.5 * Tensor.square z) / (s * sqrt (2.0 * System.Math.PI))

    let contrastive =
        { Name = "contrastive-divergence-limit"
          Section = section
          Statement =
            "where chains have come to the law of the model, the gradient of contrastive divergence is that of −log p: ∇θ E_data E + ∇θ log Z, for the Gaussian energy ½ θ₁ x² − θ₂ x"
          Reference =
            "Hinton 2002, Training products of experts by minimizing contrastive divergence, eq. 3; Tieleman 2008"
          Tolerance = 1e-8
          Cases = 40
          Check =
            Check.guarding Contrastive.each (fun penalty energy data negative ->
                // The chains are forgotten.
                Contrastive.each penalty energy data data + 0.5 * energy data + 0.0 * energy negative)
            <| fun each ->
                gen {
                    let! m = Draw.between -1.5 1.5
                    let! s = Draw.between 0.4 1.2
                    let! precision = Draw.between 0.6 3.0
                    let! slope = Draw.between -1.5 1.5
                    let theta = Tensor.ofArray [ 2 ] [| precision; slope |]

                    let energyOf (theta: Tensor) (x: Tensor) : Tensor =
                        let x = Tensor.flatten x
                        0.5 * Tensor.select 0 0 theta * Tensor.square x - Tensor.select 0 1 theta * x

                    // Of every pair of a datum and a sample of the model, N(θ₂/θ₁, 1/θ₁).
                    let x, h = line 201
                    let n = x.Shape[0]
                    let left = Tensor.repeatInterleave n 0 x
                    let right = Tensor.cat 0 (List.replicate n x)
                    let weight = h * h * gaussian m s left * gaussian (slope / precision) (1.0 / sqrt precision) right

                    let learned =
                        Diff.grad (fun theta -> Tensor.sum (weight * each 0.0 (energyOf theta) left right)) theta

                    // log Z = θ₂²/(2 θ₁) − ½ log θ₁ + ½ log 2π.
                    let likelihood (theta: Tensor) : Tensor =
                        let first, second = Tensor.select 0 0 theta, Tensor.select 0 1 theta
                        let logZ = 0.5 * Tensor.square second / first - 0.5 * Tensor.log first
                        Tensor.sum (h * gaussian m s x * energyOf theta x) + logZ

                    return
                        { Error = Measure.apart learned (Diff.grad likelihood theta)
                          Case = $"data N({m}, {s}²), θ = {precision}, {slope}" }
                } }

    let equilibrium =
        { Name = "equilibrium-minimizer"
          Section = section
          Statement =
            "for data N(m, s²) equilibrium matching is least where ∇E(x) = ∫ c(t) p_t(x) v_t(x) dt / ∫ p_t(x) dt: the flow's velocity, averaged over the time that x may be of"
          Reference = "Wang, Du 2025, Equilibrium matching, eq. 4; the minimizer of a regression is a conditional mean"
          Tolerance = 1e-7
          Cases = 12
          Check =
            Check.guarding Equilibrium.target (fun _ t x0 noise ->
                // Without the decay.
                Equilibrium.target Tensor.onesLike t x0 noise)
            <| fun target ->
                gen {
                    let! m = Draw.between -1.0 1.0
                    let! s = Draw.between 0.4 1.2
                    let! a = Draw.between 0.2 0.7
                    let! gain = Draw.between 0.5 2.0
                    let law =
                        Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| m |]) (Tensor.ofArray [ 1; 1 ] [| s |])

                    let x, h = line 121
                    let n = x.Shape[0]
                    let x0 = Tensor.repeatInterleave n 0 x
                    let noise = Tensor.cat 0 (List.replicate n x)
                    let weight = h * h * gaussian m s x0 * gaussian 0.0 1.0 noise
                    // Where the regression is asked: a test function of x_t.
                    let test (x: Tensor) : Tensor = Tensor.flatten (Tensor.cos (1.3 * x + 0.4))
                    let c = Equilibrium.decay a gain
                    let times = [ for k in 0..11 -> (float k + 0.5) / 12.0 ]

                    // E over the times of the grid, both ways.
                    let ofSamples =
                        [ for t in times do
                              let each = Tensor.full Kind.Float64 [ n * n ] t
                              let xt = Path.sample Path.condOT each x0 noise
                              (Tensor.sum (weight * Tensor.flatten (target c each x0 noise) * test xt)).ToFloat() ]
                        |> List.sum

                    let density (t: float) = gaussian ((1.0 - t) * m) (sqrt ((1.0 - t) ** 2.0 * s * s + t * t)) x

                    let slope =
                        let term t =
                            let velocity = Tensor.flatten (Mixture.velocity Path.condOT law (Measure.at t) x)
                            (c (Measure.at t)).ToFloat() * density t * velocity

                        List.reduce (+) (List.map term times) / (List.reduce (+) (List.map density times) + 1e-300)

                    let ofField =
                        [ for t in times -> (Tensor.sum (h * density t * slope * test x)).ToFloat() ] |> List.sum

                    return
                        { Error = Measure.difference ofSamples ofField; Case = $"N({m}, {s}²), a = {a}, gain {gain}" }
                } }

    // ---- sampling

    let private chainAt (law: Mixture) (x: Tensor) =
        let target = Langevin.ofEnergy (fun x -> -(Mixture.logDensityOfData law x))
        target, Langevin.init target x

    /// A draw that always accepts decides: the first coordinate's Gaussian quantile is far below.
    let private given (z: Tensor) = Noise.given (Tensor.stack 0 [ z; Tensor.full z.Kind z.Shape -30.0 ])

    let mala =
        { Name = "mala-detailed-balance"
          Section = section
          Statement = "p(x) q(y|x) min(1, r) = p(y) q(x|y) min(1, 1/r): the adjusted Langevin chain keeps e^{−E}/Z"
          Reference = "Roberts, Tweedie 1996, section 1.4.2; Hastings 1970"
          Tolerance = 1e-9
          Cases = 60
          Check =
            Check.guarding Langevin.adjusted (fun target h noise chain ->
                // As if the density counted half.
                let half x =
                    let struct (log, score) = target x
                    struct (0.5 * log, score)

                Langevin.adjusted half h noise { chain with LogDensity = 0.5 * chain.LogDensity })
            <| fun adjusted ->
                gen {
                    let! law = Draw.mixture
                    let! h = Draw.between 0.02 0.4
                    let! r = Draw.rng
                    let x = Draw.vectors r "x" [ 6; law.Dimension ]
                    let z = Draw.vectors r "z" [ 6; law.Dimension ]
                    let target, chain = chainAt law x
                    let struct (next, move) = adjusted target h (given z) chain
                    // Back from y: the same proposal, with the z that leads to x.
                    let y = next.X
                    let _, there = chainAt law y
                    let back = (x - y - h * there.Score) / sqrt (2.0 * h)
                    let struct (_, again) = adjusted target h (given back) there
                    let log (chain: Chain) (z: Tensor) = chain.LogDensity - 0.5 * Tensor.sumRows (Tensor.square z)
                    let forth = log chain z + Tensor.log move.Probability
                    let returned = log there back + Tensor.log again.Probability
                    // What was not taken has led nowhere.
                    let error = Tensor.where move.Accepted (abs (forth - returned)) (Tensor.zerosLike forth)
                    return { Error = (Tensor.max error).ToFloat(); Case = $"h = {h}, {law.Components} components" }
                } }

    let hamiltonian =
        { Name = "hmc-detailed-balance"
          Section = section
          Statement =
            "leaps lead back from (x', −p') to (x, −p), with unit determinant, and p(x) N(p) min(1, r) = p(x') N(p') min(1, 1/r): Hamiltonian Monte Carlo keeps e^{−E}/Z"
          Reference = "Neal 2011, MCMC using Hamiltonian dynamics, sections 5.2.3 and 5.3.2"
          Tolerance = 1e-8
          Cases = 40
          Check =
            Check.guarding Hamiltonian.ratio (fun chain p log p' -> Hamiltonian.ratio chain p log p' * 0.5)
            <| fun ratio ->
                gen {
                    let! law = Draw.mixture
                    let! h = Draw.between 0.02 0.3
                    let! leaps = Draw.oneOf [ 1; 3; 6 ]
                    let! r = Draw.rng
                    let d = law.Dimension
                    let x = Draw.vectors r "x" [ 4; d ]
                    let p = Draw.vectors r "p" [ 4; d ]
                    let target, chain = chainAt law x
                    let struct (struct (y, log, _), q) = Hamiltonian.leapfrog target h leaps chain p
                    let _, there = chainAt law y
                    let struct (struct (back, logBack, _), momentum) = Hamiltonian.leapfrog target h leaps there -q
                    let apart = Measure.apart (Tensor.cat 1 [ back; -momentum ]) (Tensor.cat 1 [ x; p ])

                    let map (state: Tensor) : Tensor =
                        let state = Tensor.reshape [ 1; 2 * d ] state
                        let _, chain = chainAt law (Tensor.narrow 1 0 d state)
                        let struct (struct (y, _, _), q) =
                            Hamiltonian.leapfrog target h leaps chain (Tensor.narrow 1 d d state)
                        Tensor.flatten (Tensor.cat 1 [ y; q ])

                    let one = Tensor.flatten (Tensor.cat 1 [ Tensor.narrow 0 0 1 x; Tensor.narrow 0 0 1 p ])
                    let volume = abs ((Linalg.logAbsDet (Diff.jacobian map one)).ToFloat())
                    let joint (chain: Chain) (p: Tensor) = chain.LogDensity - 0.5 * Tensor.sumRows (Tensor.square p)
                    let least (ratio: Tensor) : Tensor = Tensor.clamp -infinity 0.0 ratio
                    let forth = joint chain p + least (ratio chain p log q)
                    let returned = joint there q + least (ratio there -q logBack momentum)

                    return
                        { Error = Measure.worst [ apart; volume; Measure.apart forth returned ]
                          Case = $"{leaps} leaps of {h}, {law.Components} components" }
                } }

    let annealed =
        { Name = "annealed-importance-unbiased"
          Section = section
          Statement =
            "E w = Z of annealed importance sampling, whatever the laws between and however few moves: from N(0, 2² I) to a mixture whose Z is known, in standard errors"
          Reference = "Neal 2001, Annealed importance sampling, section 2"
          Tolerance = 4.5 // standard errors: one case in 150,000 is beyond by chance
          Cases = 12
          Check =
            Check.guarding AnnealedImportance.logWeights (fun target betas move noise x ->
                // The weights are taken where the moves have led to, and not where they began.
                let struct (log, x) = AnnealedImportance.logWeights target betas move noise x
                let struct (last, _) = target (Array.last betas) x
                let struct (before, _) = target betas[betas.Length - 2] x
                struct (0.5 * log + 0.5 * (last - before), x))
            <| fun logWeights ->
                gen {
                    let! law = Draw.broad
                    let! logZ = Draw.between -2.0 2.0
                    let! h = Draw.between 0.1 0.5
                    let! stages = Draw.oneOf [ 2; 5; 10 ]
                    let! r = Draw.rng
                    let n = 4000
                    let x = 2.0 * Draw.vectors r "x" [ n; 1 ]

                    let target (beta: float) : Unnormalized =
                        Langevin.ofEnergy (fun x ->
                            let reference =
                                -0.125 * Tensor.sumRows (Tensor.square x) - 0.5 * log (8.0 * System.Math.PI)
                            -(1.0 - beta) * reference - beta * (Mixture.logDensityOfData law x + logZ))

                    let betas = Array.init (stages + 1) (fun k -> float k / float stages)
                    let move target noise chain = Langevin.adjusted target h noise chain
                    let struct (log, _) = logWeights target betas move (Noise.fresh (Rng.named "moves" r)) x
                    let w = exp (log - logZ)
                    let estimate = Estimate.ofTensor w

                    return
                        { Error = abs (estimate.Mean - 1.0) / estimate.StandardError
                          Case = $"log Z = {logZ}, {stages} stages, h = {h}: {estimate}" }
                } }

    let all = [ conservative; energy; contrastive; equilibrium; mala; hamiltonian; annealed ]
