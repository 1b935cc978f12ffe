namespace Fokker.Tool

open System
open Fokker
open Fokker.Pictures
open Fokker.Report

/// What steering came to, for people and programs.
[<RequireQualifiedAccess>]
module SteeringResults =

    let private text (digits: int) (value: float) =
        value.ToString($"G{digits}", Globalization.CultureInfo.InvariantCulture)

    let private evidenceName (steering: SteeringPlan) =
        match steering.Target with
        | SteeringTarget.Observed _ -> "log p(y)"
        | SteeringTarget.Rewarded _ -> "log E exp(λ r)"
        | SteeringTarget.Both _ -> "log E p(y | x) exp(λ r)"

    /// The method and its particles in a few words.
    let how (steering: SteeringPlan) : string =
        match steering.Particles with
        | None -> steering.Method.Name
        | Some particles -> $"{steering.Method.Name} with {particles.Count} particles each"

    /// Lines for a terminal.
    let lines (steering: SteeringPlan) (figures: SteeringFigures) : string list =
        [ match figures.Misfit with
          | Some(misfit, noise) ->
              $"steered by {how steering}: y − A x is {text 3 misfit} in root mean square, its noise {text 3 noise}"
          | None -> ()
          match figures.Reward with
          | Some reward -> $"steered by {how steering}: the reward is {reward} on the average"
          | None -> ()
          match figures.LogEvidence with
          | Some(log, error) ->
              $"{evidenceName steering} = {text 4 log} ± {text 2 error}; particles drawn anew {text 3 figures.Resamplings} times on the average"
          | None -> () ]

    let json (steering: SteeringPlan) (figures: SteeringFigures) =
        Json.object
            [ "method", Json.text steering.Method.Name
              match steering.Particles with
              | Some particles -> "particles", Json.whole (int64 particles.Count)
              | None -> ()
              match figures.Misfit with
              | Some(misfit, noise) ->
                  "misfit", Json.number misfit
                  "noise", Json.number noise
              | None -> ()
              match figures.Reward with
              | Some reward ->
                  "reward", Json.number reward.Mean
                  "rewardStandardError", Json.number reward.StandardError
              | None -> ()
              match figures.LogEvidence with
              | Some(log, error) ->
                  "logEvidence", Json.number log
                  "logEvidenceStandardError", Json.number error
                  "resamplings", Json.number figures.Resamplings
                  "effective",
                  Json.array
                      [ for time, share in figures.Effective ->
                            Json.node (Json.object [ "t", Json.number time; "share", Json.number share ]) ]
              | None -> () ]

    // ---- the page

    let private images (model: GenerativeModel) title (x: Tensor) : ImageGrid =
        { Title = title
          Images = SamplePicture.images model.Range x
          Columns = min 10 x.Shape[0]
          Labels = [||] }

    /// The mean and the standard deviation of the samples [1; …], in the data's units.
    let private moments (samples: Tensor) =
        let mean = Tensor.meanKeep [ 0 ] samples
        mean, sqrt (Tensor.meanKeep [ 0 ] (Tensor.square (samples - mean)))

    let private imageSections (model: GenerativeModel) (steering: SteeringPlan) (samples: Tensor) : Section list =
        let mean, deviation = moments samples
        let low, high = model.Range
        // A deviation of half the range is as large as one can be.
        let shown = low + deviation * 2.0

        let observation =
            match steering.Target.Seen with
            | Some(sensor, y) when sensor.Output.Length = 3 ->
                // What a mask hides is 0 in y, and shown in the middle of the range.
                let y =
                    match sensor.Seen with
                    | Some seen ->
                        Tensor.where (Tensor.greaterThan 0.5 seen) y (Tensor.full y.Kind [] (0.5 * (low + high)))
                    | None -> y

                [ images model "observed" (SamplePicture.first 10 y) ]
            | _ -> []

        [ { Title = "Observation and posterior"
            Note =
              "The mean of the samples, and their standard deviation at each place: black is none, white half of the range or more."
            Bodies =
              [ Body.Images(
                    observation
                    @ [ images model "mean" mean; images model "standard deviation" (Tensor.clamp low high shown) ]
                ) ] }
          { Title = "Samples"
            Note = "The first 60."
            Bodies = [ Body.Images [ images model "samples" (SamplePicture.first 60 samples) ] ] } ]

    let private planeSections (samples: Tensor) (truth: Tensor option) : Section list =
        let mean, deviation = moments samples
        let mean, deviation = Tensor.toFloats mean, Tensor.toFloats deviation
        let shown = min 32 mean.Length

        [ { Title = "Samples"
            Note =
              if truth.IsSome then
                  "The exact law beside the samples, in the plane of the first two coordinates."
              else
                  "In the plane of the first two coordinates."
            Bodies =
              [ Body.Scatter
                    { Panels =
                        [ match truth with
                          | Some truth -> { Title = "exact"; Clouds = [ SamplePicture.cloud "exact" Tone.Data truth ] }
                          | None -> ()
                          { Title = "samples"
                            Clouds = [ SamplePicture.cloud "samples" Tone.Model (SamplePicture.first 3000 samples) ] } ]
                      XLabel = "x₁"
                      YLabel = "x₂" } ] }
          { Title = "Mean and standard deviation"
            Note = (if shown < mean.Length then $"Of the first {shown} coordinates." else "")
            Bodies =
              [ Body.Table
                    { Columns = [ "coordinate"; "mean"; "standard deviation" ]
                      Rows =
                        [ for k in 0 .. shown - 1 ->
                              [ Cell.Text(string k); Cell.Number mean[k]; Cell.Number deviation[k] ] ] } ] } ]

    /// A page of steered samples in the data's units: what was observed, samples, their mean and deviation, the figures, and the particles' effective share. `exact` are
    /// samples of the law that they should be of, where it is known.
    let writePage
        (file: string)
        (model: GenerativeModel)
        (drawing: Drawing)
        (steering: SteeringPlan)
        (figures: SteeringFigures)
        (exact: Tensor option)
        (samples: Tensor)
        =
        Scope.run0 (fun () ->
            Page.write
                file
                { Name = model.Name
                  DataSet = ""
                  Date = DateTimeOffset.Now
                  Summary =
                    $"{samples.Shape[0]} samples of {model.Name} {Described.drawing model drawing}, steered by {how steering}: {steering.Method.Reference}."
                  Headlines =
                    [ match figures.Misfit with
                      | Some(misfit, noise) ->
                          { Label = "y − A x"
                            Value = text 3 misfit
                            Note = $"root mean square; the noise has {text 3 noise}" }
                      | None -> ()
                      match figures.Reward with
                      | Some reward ->
                          { Label = "Reward"; Value = text 3 reward.Mean; Note = $"± {text 2 reward.StandardError}" }
                      | None -> ()
                      match figures.LogEvidence with
                      | Some(log, error) ->
                          { Label = evidenceName steering; Value = text 4 log; Note = $"± {text 2 error}" }
                      | None -> () ]
                  Sections =
                    [ yield!
                          if model.IsImage then imageSections model steering samples else planeSections samples exact

                      if not figures.Effective.IsEmpty then
                          { Title = "Effective sample size"
                            Note =
                              $"The share of the particles that count, (Σ w)²/(K Σ w²), before they are drawn anew; that happened {text 3 figures.Resamplings} times for each sample on the average."
                            Bodies =
                              [ Body.Lines
                                    { XLabel = "1 − t, from the noise to the data"
                                      YLabel = "effective share"
                                      LogX = false
                                      LogY = false
                                      Lines =
                                        [ { Label = "mean over the samples"
                                            Tone = Tone.Model
                                            Stroke = Stroke.Solid
                                            X = [| for time, _ in figures.Effective -> 1.0 - time |]
                                            Y = [| for _, share in figures.Effective -> share |] } ] } ] } ]
                  Generator = $"Fokker {Run.version}" })
