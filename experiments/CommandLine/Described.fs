namespace Fokker.Experiments

open Fokker

/// Models and ways of following them, as a command's JSON has them.
[<RequireQualifiedAccess>]
module Described =

    /// How a model is named in a command's JSON.
    let subject (subject: Subject) : (string * (System.Text.Json.Nodes.JsonNode | null)) list =
        [ match subject.Origin with
          | Trained folder -> "run", Json.text folder.Name
          | Exact(file, _) -> "oracle", Json.text file
          "path", Json.text subject.Path.Name

          match subject.Learned with
          | Denoising model -> "prediction", Json.text model.Prediction.Name
          | Transport _
          | Jumping _ -> ()

          match subject.Guidance with
          | Some(guidance, guide) ->
              "guidance", Json.number guidance.Scale

              match guidance.Interval with
              | Some(low, high) -> "guidanceInterval", Json.array [ Json.number low; Json.number high ]
              | None -> ()

              "guidanceRescale", Json.number guidance.Rescale

              match guide with
              | Weaker run -> "autoguidance", Json.text run.Name
              | Unconditional -> ()
          | None -> () ]

    /// How it was followed, for a command's JSON.
    let following (following: Following) : (string * (System.Text.Json.Nodes.JsonNode | null)) list =
        let plan = following.Plan

        [ "sampler", Json.text plan.Sampler.Name
          match following.Control with
          | Fixed ->
              "grid", Json.text plan.Grid.Name
              "steps", Json.whole (int64 plan.Steps)
          | Adaptive tolerance ->
              "rtol", Json.number tolerance.Relative
              "atol", Json.number tolerance.Absolute
          "from", Json.number plan.Span.Clean
          "to", Json.number plan.Span.Noisy ]
