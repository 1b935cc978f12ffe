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
              "better", Json.text ((string score.Better).ToLowerInvariant())
              "verdict", Json.text score.Verdict
              "samplesPerSet", Json.whole (int64 score.Size)
              "draws", Json.whole (int64 score.Value.Draws)
              "equation", Json.text score.Equation
              match score.Undefined with
              | Some reason -> "undefined", Json.text reason
              | None -> () ]

    /// `metrics` of the command line's JSON: `wasserstein2.value`, `.floor`, `.ratio`, …
    let json (scores: Score list) : JsonObject = Json.object [ for score in scores -> score.Name, oneJson score ]

    /// What an earlier evaluation left in the run's folder; none where there was none, or it cannot be read.
    let saved (run: RunFolder) : (Score list * HeldOutDensity option) option =
        let read (node: JsonNode) =
            let metrics = node["metrics"] |> nonNull

            let density =
                match node["density"] with
                | :? JsonObject as json ->
                    let samples = (nonNull json["samples"]).GetValue<int>()

                    let estimate (field: string) =
                        match json[field] with
                        | :? JsonObject as json ->
                            Some
                                { Mean = (nonNull json["value"]).GetValue<float>()
                                  StandardError = (nonNull json["standardError"]).GetValue<float>()
                                  Draws = samples }
                        | _ -> None

                    estimate "negativeLogDensity"
                    |> Option.map (fun nats ->
                        { Nats = nats
                          Entropy = estimate "entropy"
                          Excess = estimate "excess"
                          // Runs that were evaluated before bounds were are not of those.
                          IsBound = json["bound"] |> Option.ofObj |> Option.exists _.GetValue<bool>()
                          Letters = json["letters"] |> Option.ofObj |> Option.map _.GetValue<int>() })
                | _ -> None

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
                    Size =
                      (match value["samplesPerSet"] with
                       // What runs before it was written were measured with.
                       | null -> 1000
                       | node -> node.GetValue<int>())
                    Better =
                      (match value["better"] |> Option.ofObj |> Option.map _.GetValue<string>() with
                       | Some "higher" -> Better.Higher
                       | Some "nearer" -> Better.Nearer
                       | _ -> Better.Lower)
                    FloorIsKnown = isNull value["ratio"]
                    Undefined = value["undefined"] |> Option.ofObj |> Option.map _.GetValue<string>() } ],
            density

        try
            match JsonText.node (Disk.readBytes (16L <<< 20) run.Evaluation) with
            | Ok node -> node |> Option.ofObj |> Option.map read
            | Error _ -> None
        with
        | :? UserError
        | :? FormatException
        | :? OverflowException
        | :? NullReferenceException
        | :? InvalidOperationException -> None

    /// For people: one line a measure.
    let line (score: Score) =
        let estimate (e: Estimate) = $"{e.Mean:G4} ± {e.StandardError:G2}"

        match score.Undefined with
        | Some _ -> $"  {score.Name, -18}{score.Verdict}"
        | None -> $"  {score.Name, -18}{estimate score.Value, -24}floor {estimate score.Floor, -24}{score.Verdict}"

    /// The same of a density, where there is one.
    let densityLine (density: HeldOutDensity) =
        let estimate (e: Estimate) = $"{e.Mean:F3} ± {e.StandardError:F3}"

        let entropy =
            match density.Entropy with
            | Some entropy -> $"entropy {estimate entropy}"
            | None -> ""

        $"""  {density.Symbol, -18}{estimate density.Nats, -24}{entropy, -30}{density.Verdict}"""

    /// `density` of the command line's JSON, in nats.
    let densityJson (density: HeldOutDensity) : JsonObject =
        let estimate (e: Estimate) =
            Json.node (Json.object [ "value", Json.number e.Mean; "standardError", Json.number e.StandardError ])

        Json.object
            [ "negativeLogDensity", estimate density.Nats
              "entropy", Json.optional estimate density.Entropy
              "excess", Json.optional estimate density.Excess
              "bound", Json.flag density.IsBound
              match density.Letters with
              | Some letters -> "letters", Json.whole (int64 letters)
              | None -> ()
              "samples", Json.whole (int64 density.Nats.Draws) ]
