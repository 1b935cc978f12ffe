namespace Fokker.Tool

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Fokker

/// What samples scored, as JSON and as lines.
module Evaluation =

    let private oneJson (score: Score) : JsonObject =
        Json.object
            [ "value", Json.number score.Value.Mean
              "standardError", Json.number score.Value.StandardError
              "floor", Json.number score.Floor.Mean
              "floorStandardError", Json.number score.Floor.StandardError
              "ratio", Json.optional Json.number score.Ratio
              "standardErrorsAboveFloor", Json.number score.Excess
              "draws", Json.whole (int64 score.Value.Draws)
              "equation", Json.text score.Equation
              match score.Undefined with
              | Some reason -> "undefined", Json.text reason
              | None -> () ]

    /// `metrics` of the command line's JSON: `wasserstein2.value`, `.floor`, `.ratio`, …
    let json (scores: Score list) : JsonObject = Json.object [ for score in scores -> score.Name, oneJson score ]

    /// What an earlier evaluation left in the run's folder; none where there was none, or it cannot be read.
    let saved (run: RunFolder) : Score list option =
        let read (node: JsonNode) =
            let metrics = node["metrics"] |> nonNull

            [ for KeyValue(name, value) in metrics.AsObject() do
                  let value = (nonNull value).AsObject()

                  let number (field: string) =
                      match value[field] with
                      | null -> nan
                      | node -> node.GetValue<float>()

                  let draws = int (number "draws")

                  { Name = name
                    Equation = (nonNull value["equation"]).GetValue<string>()
                    Value = { Mean = number "value"; StandardError = number "standardError"; Draws = draws }
                    Floor = { Mean = number "floor"; StandardError = number "floorStandardError"; Draws = draws }
                    FloorIsZero = isNull value["ratio"]
                    Undefined = value["undefined"] |> Option.ofObj |> Option.map _.GetValue<string>() } ]

        try
            File.ReadAllText run.Evaluation |> JsonNode.Parse |> Option.ofObj |> Option.map read
        with
        | :? IOException
        | :? JsonException
        | :? NullReferenceException
        | :? InvalidOperationException -> None

    /// For people: one line a measure.
    let line (score: Score) =
        let ratio =
            match score.Ratio with
            | Some ratio -> $"{ratio:F3} × floor"
            | None -> $"{score.Excess:F1} standard errors above floor"

        let estimate (e: Estimate) = $"{e.Mean:G4} ± {e.StandardError:G2}"

        match score.Undefined with
        | Some reason -> $"  {score.Name, -18}undefined: {reason}"
        | None -> $"  {score.Name, -18}{estimate score.Value, -24}floor {estimate score.Floor, -24}{ratio}"
