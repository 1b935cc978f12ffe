namespace Fokker.Tool

open Fokker

/// Models and ways of following them, as a command's JSON has them.
[<RequireQualifiedAccess>]
module Described =

    /// How a model is named in a command's JSON.
    let subject (subject: Subject) : (string * (System.Text.Json.Nodes.JsonNode | null)) list =
        [ match subject.Origin with
          | Trained folder -> "run", Json.text folder.Name
          | Exact(file, _) -> "oracle", Json.text file
          | Supplied name -> "field", Json.text name
          "path", Json.text subject.Path.Name

          match subject.Learned with
          | Denoising model -> "prediction", Json.text model.Prediction.Name
          | Transport _
          | Mapping _ -> ()

          let settings (guidance: Guidance) =
              [ "guidance", Json.number guidance.Scale

                match guidance.Interval with
                | Some(low, high) -> "guidanceInterval", Json.array [ Json.number low; Json.number high ]
                | None -> ()

                "guidanceRescale", Json.number guidance.Rescale ]

          match subject.Guidance with
          | Some(Guide.Unconditional guidance) -> yield! settings guidance
          | Some(Guide.Weaker(guidance, weaker)) ->
              yield! settings guidance
              "autoguidance", Json.text weaker
          | Some(Guide.Classifier(scale, name)) ->
              "guidance", Json.number scale
              "classifier", Json.text name
          | Some(Guide.Composition terms) ->
              "composition",
              Json.array
                  [ for label, weight in terms ->
                        Json.node (
                            Json.object [ "class", Json.text subject.Data.Classes[label]; "weight", Json.number weight ]
                        ) ]
          | None -> () ]

    /// How samples were made, as words of a sentence.
    let drawing (subject: Subject) (drawing: Drawing) : string =
        let steps = if drawing.Steps = 1 then "one step" else $"{drawing.Steps} steps"

        match subject.Learned, drawing.Control with
        | Mapping { Domain = ToData }, _ -> $"in {steps} of the consistency function"
        | Mapping { Domain = Between _ }, _ -> $"in {steps} of the flow map"
        | _, Adaptive tolerance ->
            $"by `{drawing.Sampler.Name}`, its steps chosen to a relative error of {tolerance.Relative:G2}"
        | _, Fixed -> $"by `{drawing.Sampler.Name}`, {steps} on the grid `{drawing.Grid.Name}`"

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
