namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// What a network's output means, and the processes that follow from it.
module ConversionLaws =

    let private section = "Predictions and processes"

    let private describe (path: GaussianPath) (t: Tensor) = $"{path.Name}, t = {Tensor.toFloats t |> List.ofArray}"

    let agree =
        { Name = "conversions-agree"
          Section = section
          Statement = "converting A x₀ + B ε gives A' x₀ + B' ε, for every pair of noise, data, velocity, v, score"
          Reference = "Salimans, Ho 2022, appendix D; Kingma, Gao 2023"
          Tolerance = 1e-9 // the determinant is as small as 1e-3 at the ends
          Cases = 200
          Check =
            Check.against (fun library ->
                { library with
                    Conversion =
                        fun p a b t ->
                            let struct (x, y) = Prediction.conversion p a b t
                            struct (y, x) })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! from = Draw.oneOf Prediction.all
                    let! into = Draw.oneOf Prediction.all
                    let! x0, noise, t = Draw.triple
                    let x = f.Sample path t x0 noise
                    let struct (cx, cy) = f.Conversion path from into t
                    let got = Coefficient.combine [ cx, x; cy, f.Target path from t x0 noise ]

                    return
                        { Error = Measure.apart got (f.Target path into t x0 noise)
                          Case = $"{from.Name} to {into.Name}, {describe path t}" }
                } }

    let ofOracle =
        { Name = "conversions-of-oracle"
          Section = section
          Statement =
            "the oracle's answer in one meaning converts into its answer in every other, and from there back into itself"
          Reference = "the conversions are linear in the output, so they hold for conditional means"
          Tolerance = 1e-9 // the determinant is as small as 1e-3 at the ends
          Cases = 100
          Check =
            Check.against (fun library -> { library with Conversion = fun p a b t -> Prediction.conversion p b a t })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! m = Draw.mixture
                    let! from = Draw.oneOf Prediction.all
                    let! into = Draw.oneOf Prediction.all
                    let! t = Draw.between 0.05 0.9
                    let! r = Draw.rng
                    let x = Mixture.sampleAt path t 4 r m
                    let time = Measure.at t
                    let converted from into y =
                        let struct (cx, cy) = f.Conversion path from into time
                        Coefficient.combine [ cx, x; cy, y ]

                    let said, wanted = Mixture.network path from m time x, Mixture.network path into m time x
                    let got = converted from into said

                    return
                        { Error = max (Measure.apart got wanted) (Measure.apart (converted into from got) said)
                          Case = $"{from.Name} to {into.Name}, {describe path time}" }
                } }

    let refuse =
        { Name = "conversions-refuse"
          Section = section
          Statement = "data determines nothing where σ = 0, noise nothing where α = 0: the conversion is refused"
          Reference = "the determinant α·B − σ·A"
          Tolerance = 0.0
          Cases = 20
          Check =
            Check.against (fun library -> { library with Conversion = fun _ _ _ _ -> struct (Number 0.0, Number 1.0) })
            <| fun f ->
                gen {
                    let! path, from, t =
                        Draw.oneOf [ Path.condOT, Prediction.data, 0.0; Path.condOT, Prediction.noise, 1.0 ]
                    let! batch = Draw.oneOf [ Measure.at t; Tensor.ofArray [ 2 ] [| 0.5; t |] ]

                    let refused =
                        try
                            f.Conversion path from Prediction.velocity batch |> ignore
                            false
                        with :? System.ArgumentException ->
                            true

                    return { Error = (if refused then 0.0 else 1.0); Case = $"{from.Name}, {describe path batch}" }
                } }

    /// A field that is no score of anything: the identities of processes are algebra and hold for any field.
    let private anyField (rng: Rng) : Field =
        let w = Draw.vectors rng "field" [ 1 ] |> Tensor.toFloats |> Array.head
        fun _ x -> tanh (x * w) + 0.3 * w

    let twice =
        { Name = "reversal-of-reversal"
          Section = section
          Statement = "reversing an SDE twice gives it back"
          Reference = "Anderson 1982"
          Tolerance = 1e-12
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    Reverse =
                        fun score sde ->
                            { Sde.reverse score sde with
                                Drift =
                                    fun t x ->
                                        sde.Drift t x - Coefficient.scale (Curve.at sde.DiffusionSquared t) (score t x) } })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! r = Draw.rng
                    let! x, _, t = Draw.triple
                    let score = anyField r
                    let sde = Sde.ofPath path
                    let again = sde |> f.Reverse score |> f.Reverse score

                    return
                        { Error = if again.Backward then infinity else Measure.apart (again.Drift t x) (sde.Drift t x)
                          Case = describe path t }
                } }

    let flow =
        { Name = "flow-is-velocity"
          Section = section
          Statement = "f x − ½ g² s = the velocity that the score s converts to"
          Reference = "Song et al. 2021, eq. 13"
          Tolerance = 1e-9
          Cases = 200
          Check =
            Check.against (fun library ->
                { library with ProbabilityFlow = fun score sde -> { Velocity = (Sde.reverse score sde).Drift } })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! r = Draw.rng
                    let! x, _, t = Draw.triple
                    let score = anyField r
                    let flow = f.ProbabilityFlow score (Sde.ofPath path)
                    let struct (cx, cy) = f.Conversion path Prediction.score Prediction.velocity t

                    return
                        { Error = Measure.apart (flow.Velocity t x) (Coefficient.combine [ cx, x; cy, score t x ])
                          Case = describe path t }
                } }

    let flowBothWays =
        { Name = "flow-of-reversal"
          Section = section
          Statement = "an SDE and its reversal have one probability flow"
          Reference = "Song et al. 2021, appendix D.1"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with
                    ProbabilityFlow = fun score sde -> Sde.probabilityFlow score { sde with Backward = false } })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! r = Draw.rng
                    let! x, _, t = Draw.triple
                    let score = anyField r
                    let sde = Sde.ofPath path
                    let forward = f.ProbabilityFlow score sde
                    let backward = f.ProbabilityFlow score (f.Reverse score sde)

                    return
                        { Error = Measure.apart (backward.Velocity t x) (forward.Velocity t x); Case = describe path t }
                } }

    let churn =
        { Name = "churn-family"
          Section = section
          Statement = "churn 0 is the probability flow, churn 1 the reverse SDE"
          Reference = "Karras et al. 2022, eq. 6; Zhang, Chen 2023, eq. 7"
          Tolerance = 1e-9
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with WithChurn = fun c p v s -> Sde.withChurn (sqrt c * 1.01) p v s })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! r = Draw.rng
                    let! x, _, t = Draw.triple
                    let score = anyField r
                    let sde = Sde.ofPath path
                    let velocity = (Sde.probabilityFlow score sde).Velocity
                    let none, full = f.WithChurn 0.0 path velocity score, f.WithChurn 1.0 path velocity score
                    let reversed = Sde.reverse score sde
                    let g2 (s: Sde) = Curve.values s.DiffusionSquared t

                    return
                        { Error =
                            Measure.worst
                                [ Measure.apart (none.Drift t x) (velocity t x)
                                  (Tensor.max (abs (g2 none))).ToFloat()
                                  Measure.apart (full.Drift t x) (reversed.Drift t x)
                                  Measure.apart (g2 full) (g2 reversed) ]
                          Case = describe path t }
                } }

    let simpleIsDsm =
        { Name = "simple-is-reweighted-dsm"
          Section = section
          Statement = "σ²‖s + ε/σ‖² = ‖ε̂ − ε‖² where s = −ε̂/σ: L_simple is denoising score matching with weight σ²"
          Reference = "Ho et al. 2020, section 3.2; Song et al. 2021"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library -> { library with Weight = fun p _ -> p.Sigma })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! r = Draw.rng
                    let! x0, noise, t = Draw.triple
                    let x = f.Sample path t x0 noise
                    let guess = anyField r t x
                    let struct (cx, cy) = f.Conversion path Prediction.noise Prediction.score t
                    let score = Coefficient.combine [ cx, x; cy, guess ]
                    let rows (a: Tensor) = Tensor.sumRows (Tensor.square a)
                    let weight = Curve.values (f.Weight path Weight.variance) t
                    let dsm = weight * rows (score - f.Target path Prediction.score t x0 noise)

                    return { Error = Measure.apart dsm (rows (guess - noise)); Case = describe path t }
                } }

    let all = [ agree; ofOracle; refuse; twice; flow; flowBothWays; churn; simpleIsDsm ]
