namespace Fokker

/// The losses that bound the likelihood along a discrete chain.
[<RequireQualifiedAccess>]
module BoundEntries =

    /// The bound's last step is at t = 1, where the data must still be read off.
    let private requireData (parts: Parts) =
        let struct (a, b) = parts.Prediction.Coefficients parts.Path
        let determinant = Curve.eval (parts.Path.Alpha * b - parts.Path.Sigma * a) 1.0

        // Not a number where a coefficient is infinite.
        if not (abs determinant >= Prediction.leastDeterminant) then
            refuseWith
                Setting.Prediction
                parts.Prediction.Name
                $"it does not determine the data at t = 1 on the path {parts.Path.Name}, where a step of the bound begins"
                $"predict data, v or velocity"

    let all: Part<LossEntry> list =
        let uses =
            [ Setting.Path, LossEntry.usual Path.vp.Name; Setting.Prediction, LossEntry.usual Prediction.noise.Name ]

        let steps = Parameter.make "steps" 1000.0 (Allowed.Whole 2) "N, the steps of the discrete process"

        let bound name summary equation reference variance =
            Part.of1 steps (fun steps ->
                LossEntry.make name summary $"{equation}, N = {steps}" reference uses (fun parts ->
                    requireData parts
                    let loss = Variational.bound (int steps) variance parts.Prediction parts.Path

                    Objective.predicting name equation reference parts.Path parts.Prediction loss
                    |> if variance = StepVariance.Learned then Objective.withVariance else id))

        let kl = "Σ_k KL(q(x_{k−1} | x_k, x₀) ‖ p(x_{k−1} | x_k)) − log p(x₀ | x₁)"

        [ bound
              "vlb"
              "Variational lower bound: bounds the data's log-likelihood along the discrete chain, with steps of given variance."
              $"{kl}, steps of variance β"
              "Ho, Jain, Abbeel 2020, DDPM, eq. 5"
              StepVariance.Forward
          bound
              "vlb-learned"
              "The variational lower bound where the network says the variance of each step too."
              $"{kl}, steps of learned variance"
              "Nichol, Dhariwal 2021, Improved DDPM, eq. 15"
              StepVariance.Learned
          Part.of2
              (Parameter.make "weight" 0.001 Allowed.Positive "λ, what the bound counts beside L_simple")
              steps
              (fun weight steps ->
                  let equation = $"L_simple + {weight} L_vlb, which alone moves the variance, N = {steps}"
                  let reference = "Nichol, Dhariwal 2021, Improved DDPM, eq. 16"

                  let summary = "Learns the noise by L_simple, and the variance of each step by the variational bound."

                  LossEntry.make "hybrid" summary equation reference uses (fun parts ->
                      requireData parts

                      Variational.hybrid weight (int steps) parts.Prediction parts.Path
                      |> Objective.predicting "hybrid" equation reference parts.Path parts.Prediction
                      |> Objective.withVariance)) ]
