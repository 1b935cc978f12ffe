namespace Fokker.Laws

open System
open FsCheck
open FsCheck.FSharp
open Fokker
open Quadrature

/// The variational bound in N steps, L_T + Σ L_{k−1} + L_0, as a number: its expectation by quadrature, with the mixture's own
/// posterior mean in the network's place or something that is off by a known amount.
module VariationalLaws =

    let private section = "Losses"

    // Where the noise is small x_t resolves what x₀ does, and where the data have died down what ε does.
    let private dataStep = 0.1
    let private noiseStep = 0.35

    /// The paths whose ends the bound can meet: no noise at t = 0, close to N(0, 1) at t = 1. The rates are kept low so that N = 256
    /// steps are many.
    let private slow: Gen<GaussianPath> =
        gen {
            let! horizon = Draw.between 0.7 2.0
            let! low = Draw.between 0.8 1.5
            return! Draw.oneOf [ Path.ouTo horizon; Path.vpBetween low (2.0 * low) ]
        }

    /// H(p₀) in nats.
    let private entropy (m: Mixture) : float =
        let struct (x, h) = line (reach m) 4001
        let log' = Mixture.logDensityOfData m x
        -h * (Tensor.sum (exp log' * log')).ToFloat()

    let private logNormal (x: Tensor) (mean: Tensor) (variance: float) : Tensor =
        Tensor.sumRows (Tensor.square (x - mean)) * (-0.5 / variance)
        - 0.5 * Math.Log(2.0 * Math.PI * variance)

    /// KL(p₁ ‖ N(0, 1)): what no reverse process can make good.
    let private mismatch (path: GaussianPath) (m: Mixture) : float =
        expect path m 1.0 (fun x -> Mixture.logDensity path m (Measure.at 1.0) x - logNormal x (Tensor.zerosLike x) 1.0)

    /// E[VLB] in n steps. The last step's variance is σ²_{1/N}, whatever the others' is: the small choice is 0 there.
    let private bound (f: Formulas) variance (path: GaussianPath) (m: Mixture) (n: int) (denoiser: Field) : float =
        let struct (x0, noise, weight) = pairs dataStep noiseStep m
        let at k = float k / float n
        let expect (rows: unit -> Tensor) = Scope.run (fun () -> (Tensor.sum (weight * rows ())).ToFloat())

        let terms =
            Seq.init (n - 1) (fun k ->
                expect (fun () -> f.VlbTerm variance path (at (k + 1)) (at (k + 2)) denoiser x0 noise))

        expect (fun () -> Variational.prior path x0)
        + Seq.sum terms
        + expect (fun () -> Variational.reconstruction path (at 1) (Curve.eval path.Variance (at 1)) denoiser x0 noise)

    /// The oracle's denoiser with a·tanh(b x) added to the score it stands for.
    let private disturbed (path: GaussianPath) (m: Mixture) (a: float) (b: float) : Field =
        let denoiser = Mixture.denoiser path m

        fun t x ->
            let gain = Coefficient.scale (Curve.at (path.Variance / path.Alpha) t)
            denoiser t x + gain (a * tanh (b * x))

    let chainRule =
        { Name = "vlb-chain-rule"
          Section = section
          Statement =
            "E[VLB] = H(p₀) + KL(p₁‖N(0, I)) + Σ E KL(q(x_s|x_t)‖p_θ(x_s|x_t)), so never less than the entropy of the data"
          Reference = "Sohl-Dickstein et al. 2015, appendix B; the chain rule of KL"
          Tolerance = 1e-10
          Cases = 12
          Check =
            Check.against (fun library -> { library with VlbTerm = fun _ -> Variational.term Variational.large })
            <| fun f ->
                gen {
                    let! path = slow
                    let! m = Draw.broad
                    let! n = Gen.choose (2, 5)
                    let! a = Draw.between -0.5 0.5
                    let! large = Draw.oneOf [ true; false ]
                    let denoiser = disturbed path m a 1.0
                    let variance = if large then Variational.large else Variational.small

                    // KL(q(x_s, x_t) ‖ q(x_t) p_θ(x_s|x_t)) over x_s ~ q and x_t = r x_s + √β e, from the two marginals alone.
                    let step k =
                        let s, t = float (k - 1) / float n, float k / float n
                        let at c u = Curve.eval c u
                        let r = at path.Alpha t / at path.Alpha s
                        let vs, vt = at path.Variance s, at path.Variance t
                        let beta = vt - r * r * vs
                        let reverse = if large || k = 1 then beta else beta * vs / vt
                        let struct (alpha, sigma) = Path.alphaSigma path s
                        let span = alpha * reach m + 9.0 * sigma
                        let nodes = line span (1 + int (ceil (2.0 * span / dataStep)))
                        let struct (xs, e, weight) = product nodes (line 9.0 (1 + int (ceil (18.0 / noiseStep))))
                        let xt = r * xs + sqrt beta * e
                        let logQs = Mixture.logDensity path m (Measure.at s) xs
                        let logQt = Mixture.logDensity path m (Measure.at t) xt
                        let normal = logNormal e (Tensor.zerosLike e) 1.0
                        let forward = normal - 0.5 * Math.Log beta
                        let mean = (r * vs / vt) * xt + (at path.Alpha s * beta / vt) * denoiser (Measure.at t) xt
                        let log' = logQs + forward - logQt - logNormal xs mean reverse
                        (Tensor.sum (weight * exp (logQs + normal) * log')).ToFloat()

                    let expected = entropy m + mismatch path m + Seq.sum (Seq.init n (fun k -> step (k + 1)))
                    let got = bound f variance path m n denoiser

                    return
                        { Error = max (Measure.difference got expected) (max 0.0 (entropy m - got))
                          Case =
                            $"{path.Name}, {n} steps, large = {large}, off by {a}·tanh x: {got} nats, entropy {entropy m}" }
                } }

    /// Σ_{k ≥ 1} (1/k − log(1 + 1/k)).
    let private euler = 0.5772156649015329

    let gap =
        { Name = "vlb-gap"
          Section = section
          Statement =
            "with the oracle's mean E[VLB] − H(p₀) − KL(p₁‖N) falls like 1/N for variance σ²_{t|s}; for σ²_{t|s} σ_s²/σ_t² it goes to ½·0.5772… per dimension, Σ ½(1/k − log(1 + 1/k)) over the last steps, where σ_s²/σ_t² = k/(k+1)"
          Reference = "Ho et al. 2020, section 3.2; Bao et al. 2022, Analytic-DPM"
          // Of the slope between N = 128 and 256, which is off by a multiple of 1/N; of the limit likewise, extrapolated.
          Tolerance = 0.02
          Cases = 3
          Check =
            Check.against (fun library -> { library with VlbTerm = fun _ -> Variational.term Variational.large })
            <| fun f ->
                gen {
                    let! path = slow
                    let! m = Draw.broad
                    let best = Mixture.denoiser path m
                    let least = entropy m + mismatch path m
                    let gap variance n = bound f variance path m n best - least
                    let slope = Math.Log2(gap Variational.large 128 / gap Variational.large 256)
                    // a + (b + c log N)/N at N, 2N, 4N gives a.
                    let small = [ 64; 128; 256 ] |> List.map (gap Variational.small)
                    let limit = 4.0 * small[2] - 4.0 * small[1] + small[0]

                    return
                        { Error = max (abs (slope - 1.0)) (abs (limit - 0.5 * euler))
                          Case = $"{path.Name}: slope −{slope}; {small[2]} nats at 256 steps, {limit} in the limit" }
                } }

    let continuous =
        { Name = "continuous-vlb"
          Section = section
          Statement = "as N → ∞ the bound of variance σ²_{t|s} goes to ½ ∫ g² E‖s_θ + ε/σ‖² dt + c: DSM weighted by g²"
          Reference = "Kingma et al. 2021, VDM, eq. 11; Song et al. 2021, Maximum likelihood training, theorem 3"
          Tolerance = 1e-4 // of the extrapolation from 16, 32 and 64 steps
          Cases = 4
          Check =
            Check.against (fun library -> { library with DiffusionSquared = fun p -> 1.01 * Path.diffusionSquared p })
            <| fun f ->
                gen {
                    let! path = slow
                    let! m = Draw.broad
                    let! a = Draw.between 0.2 0.6
                    let! sign = Draw.oneOf [ 1.0; -1.0 ]
                    let a = sign * a
                    let best, off = Mixture.denoiser path m, disturbed path m a 1.0
                    let gained n = bound f Variational.large path m n off - bound f Variational.large path m n best
                    let limit = (8.0 * gained 64 - 6.0 * gained 32 + gained 16) / 3.0
                    let struct (x0, noise, weight) = pairs dataStep noiseStep m

                    let dsm t =
                        Scope.run (fun () ->
                            let sigma = Curve.eval path.Sigma t
                            let x = Path.sample path (Measure.at t) x0 noise
                            let score = Mixture.score path m (Measure.at t) x
                            let rows (s: Tensor) = Tensor.sumRows (Tensor.square (s + noise / sigma))
                            (Tensor.sum (weight * (rows (score + a * tanh x) - rows score))).ToFloat())

                    let g2 = f.DiffusionSquared path
                    let expected = 0.5 * integrate 3 (fun t -> Curve.eval g2 t * dsm t) 0.0 1.0

                    return
                        { Error = Measure.difference limit expected
                          Case = $"{path.Name}, off by {a}·tanh x: {expected} nats" }
                } }

    let all = [ chainRule; gap; continuous ]
