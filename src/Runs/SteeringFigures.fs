namespace Fokker

open System

/// What steering came to, in figures.
type SteeringFigures =
    {
        /// √(mean (y − A x)²) over the samples and the numbers observed, in y's units, beside the noise's standard deviation that it would have if x were the truth.
        Misfit: (float * float) option
        /// r(x₀) over the samples.
        Reward: Estimate option
        /// log p(y), log E e^{λ r(x₀)}, or that of both, and its standard error by the delta method: log of the mean of the particles' unbiased estimates.
        LogEvidence: (float * float) option
        /// Time and effective share of the particles.
        Effective: (float * float) list
        /// How often the particles of a sample were drawn anew.
        Resamplings: float
    }

[<RequireQualifiedAccess>]
module SteeringFigures =

    /// log of the mean of e^{values}, and the standard error of it: that of the mean over the mean.
    let logMeanExp (values: float[]) : float * float =
        let highest = Array.max values
        let shares = Estimate.ofDraws (values |> Array.map (fun v -> Math.Exp(v - highest)))
        highest + Math.Log shares.Mean, shares.StandardError / shares.Mean

    /// Of samples in the data's units.
    let ofSamples (model: GenerativeModel) (steering: SteeringPlan) (samples: Tensor) : SteeringFigures =
        let x = GenerativeModel.inside model samples
        let evidence = steering.Record.LogEvidence

        Scope.run (fun () ->
            { Misfit =
                steering.Target.Seen
                |> Option.map (fun (sensor, y) ->
                    let each = (Tensor.mean (Sensor.misfit sensor y x)).ToFloat() / float sensor.Count
                    Math.Sqrt each, sensor.Noise)
              Reward = steering.Target.Reward |> Option.map (fun (reward, _) -> Estimate.ofTensor (reward.Value x))
              LogEvidence = if evidence.Length = 0 then None else Some(logMeanExp evidence)
              Effective = steering.Record.Effective
              Resamplings = steering.Record.Resamplings })
