namespace Fokker.Laws

open FsCheck.FSharp
open Fokker

/// The parts of a loss: weights, laws of times, conditionings. What makes them replaceable is that they mean the same on every network.
module PartsLaws =

    let private section = "Losses"

    let weights =
        { Name = "weight-on-any-prediction"
          Section = section
          Statement =
            "w‖e‖² on the quantity that a weight is stated for = its factor on any prediction times that prediction's squared error"
          Reference = "Salimans, Ho 2022, section 4; Kingma, Gao 2023, Understanding diffusion objectives, table 1"
          Tolerance = 1e-9
          Cases = 200
          Check =
            Check.against (fun library ->
                { library with
                    WeightOn =
                        fun weight path prediction ->
                            if prediction.Name = Prediction.v.Name then
                                weight.Of path prediction
                            else
                                weight.Of path Prediction.noise })
            <| fun f ->
                gen {
                    let! path = Draw.path
                    let! x0, noise, t = Draw.triple
                    let! r = Draw.rng
                    let! stated, weight =
                        Draw.oneOf
                            [ Prediction.score, Weight.variance
                              Prediction.score, Weight.likelihood
                              Prediction.data, Weight.snr
                              Prediction.data, Weight.truncatedSnr
                              Prediction.data, Weight.minSnr 5.0
                              Prediction.data, Weight.softMinSnr 4.0
                              Prediction.data, Weight.edm 0.5 ]
                    let! prediction = Draw.oneOf Prediction.all
                    let x = Path.sample path t x0 noise
                    let y = Draw.vectors r "output" (List.ofArray x.Shape)
                    let said = f.Target path prediction t x0 noise
                    let struct (cx, cy) = f.Conversion path prediction stated t
                    let converted = Coefficient.combine [ cx, x; cy, y ]
                    let error a b = Tensor.sumRows (Tensor.square (a - b))
                    let own = Coefficient.scale (Curve.at (f.WeightOn weight path prediction) t) (error y said)

                    let meant =
                        Coefficient.scale
                            (Curve.at (weight.Of path stated) t)
                            (error converted (f.Target path stated t x0 noise))

                    // Relative to each sample: weights differ by orders of magnitude from one time to another.
                    return
                        { Error = (Tensor.max (abs (own - meant) / (abs meant + 1e-300))).ToFloat()
                          Case = $"{weight.Name} on {prediction.Name}, {path.Name}" }
                } }

    let importance =
        { Name = "importance-sampled-times"
          Section = section
          Statement = "E[w(t) h(t)] over uniform times = E[Z h(t)] over times with density w/Z"
          Reference = "Song et al. 2021, Maximum likelihood training, section 5.1"
          Tolerance = 2e-3 // of 20,000 stratified times
          Cases = 20
          Check =
            Check.against (fun library ->
                { library with ImportanceSampled = fun r -> { r with Times = (Loss.importanceSampled r).Times } })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.ou; Path.vp; Path.condOT; Path.trigonometric; Paths.cosine ]
                    let! weight =
                        Draw.oneOf [ Weight.variance; Weight.minSnr 5.0; Weight.softMinSnr 4.0; Weight.likelihood ]
                    let! k = Draw.between 0.5 3.0
                    let! r = Draw.rng
                    let plain = Loss.regression path |> Loss.predicting Prediction.score |> Loss.weighted weight
                    let n = 20_000

                    let mean (regression: Regression) =
                        let t = regression.Times.Draw path r n
                        let w = Curve.values (regression.Weight.Of path regression.Prediction) t
                        (Tensor.mean (w * cos (k * t))).ToFloat()

                    let size =
                        (Tensor.mean (Curve.values (weight.Of path plain.Prediction) (plain.Times.Draw path r n)))
                            .ToFloat()

                    return
                        { Error = abs (mean plain - mean (f.ImportanceSampled plain)) / size
                          Case = $"{weight.Name} on {path.Name}" }
                } }

    let conditionings =
        { Name = "three-conditionings"
          Section = section
          Statement = "u_t(x | x₀) = u_t(x | x₁) = u_t(x | x₀, x₁) where x = a x₀ + b x₁: three views of one velocity"
          Reference = "Lipman et al. 2023, eq. 15; Tong et al. 2024, section 3.1"
          Tolerance = 1e-10
          Cases = 100
          Check =
            Check.against (fun library ->
                { library with InterpolantVelocity = fun i t x0 x1 z -> Interpolant.velocity i t x0 (1.01 * x1) z })
            <| fun f ->
                gen {
                    let! path = Draw.oneOf [ Path.condOT; Path.ou; Path.vp; Path.trigonometric ]
                    let! x0, x1, t = Draw.triple
                    let i = Interpolant.ofPath path
                    let none = Tensor.zerosLike x0
                    let x = Interpolant.sample i t x0 x1 none
                    let both = f.InterpolantVelocity i t x0 x1 none

                    return
                        { Error =
                            max
                                (Measure.apart (Interpolant.velocityGivenData i t x x0) both)
                                (Measure.apart (Interpolant.velocityGivenSource i t x x1) both)
                          Case = path.Name }
                } }

    let all = [ weights; importance; conditionings ]
