namespace Fokker.Tool

open Fokker

/// Models and ways of following them, as a command's JSON has them.
[<RequireQualifiedAccess>]
module Described =

    /// How a model is named in a command's JSON.
    let model (model: GenerativeModel) : (string * (System.Text.Json.Nodes.JsonNode | null)) list =
        [ match model.Origin with
          | Origin.Trained _ -> "run", Json.text model.Name
          | Origin.Exact(file, _) -> "oracle", Json.text file
          | Origin.Supplied -> "field", Json.text model.Name
          "path", Json.text model.Path.Name

          match model.Dynamics with
          | Denoising score -> "prediction", Json.text score.Prediction.Name
          | Transport _
          | Jumping _
          | Landscape _
          | Mapping _ -> ()

          let settings (guidance: Guidance) =
              [ "guidance", Json.number guidance.Scale

                match guidance.Interval with
                | Some(low, high) -> "guidanceInterval", Json.array [ Json.number low; Json.number high ]
                | None -> ()

                "guidanceRescale", Json.number guidance.Rescale ]

          match model.Guidance with
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
                            Json.object [ "class", Json.text model.Classes[label]; "weight", Json.number weight ]
                        ) ]
          | None -> () ]

    /// How samples were made, as words of a sentence.
    let drawing (model: GenerativeModel) (drawing: Drawing) : string =
        let steps = if drawing.Steps = 1 then "one step" else $"{drawing.Steps} steps"

        match model.Dynamics, drawing.Control with
        | Mapping { Domain = ToData }, _ -> $"in {steps} of the consistency function"
        | Mapping { Domain = Ends _ }, _ -> "in one evaluation of the exact flow"
        | Jumping _, _ ->
            match drawing.Sampler.Follows with
            | Leaps corrections when corrections > 0 ->
                $"""by jumps in {steps}, each with {corrections} {if corrections = 1 then "correction" else "corrections"}"""
            | _ -> $"by jumps in {steps}"
        | Mapping { Domain = Between _ }, _ -> $"in {steps} of the flow map"
        | Landscape _, _ -> $"by `{drawing.Sampler.Name}`, {steps} of the chain"
        | _, Adaptive tolerance ->
            $"by `{drawing.Sampler.Name}`, its steps chosen to a relative error of {tolerance.Relative:G2}"
        | _, Fixed -> $"by `{drawing.Sampler.Name}`, {steps} on the grid `{drawing.Grid.Name}`"

    /// How a flow was followed, for a command's JSON.
    let flow (flow: FlowPlan) : (string * (System.Text.Json.Nodes.JsonNode | null)) list =
        let plan = flow.Plan

        [ "sampler", Json.text plan.Sampler.Name
          match flow.Control with
          | Fixed ->
              "grid", Json.text plan.Grid.Name
              "steps", Json.whole (int64 plan.Steps)
          | Adaptive tolerance ->
              "rtol", Json.number tolerance.Relative
              "atol", Json.number tolerance.Absolute
          "from", Json.number plan.Span.Clean
          "to", Json.number plan.Span.Noisy ]

    /// How samples were made, for a command's JSON: a map along the flow has neither sampler nor grid.
    let sampling (model: GenerativeModel) (drawing: Drawing) (plan: SamplingPlan) =
        [ match model.Dynamics with
          | Mapping _ -> "steps", Json.whole (int64 plan.Steps)
          | Jumping _ ->
              "sampler", Json.text plan.Sampler.Name
              "steps", Json.whole (int64 plan.Steps)
          | Denoising _
          | Landscape _
          | Transport _ ->
              "sampler", Json.text plan.Sampler.Name

              match drawing.Control with
              | Fixed ->
                  "grid", Json.text plan.Grid.Name
                  "steps", Json.whole (int64 plan.Steps)
              | Adaptive tolerance ->
                  "rtol", Json.number tolerance.Relative
                  "atol", Json.number tolerance.Absolute ]
