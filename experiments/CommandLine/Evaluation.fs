namespace Fokker.Experiments

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Fokker

/// One measure of a run's samples against held-out data, beside what held-out data score against each other.
type Score =
    {
        Name: string
        Equation: string
        Value: Estimate
        Floor: Estimate
        /// Whether the measure estimates without bias a distance that is zero for equal laws: its floor is then zero but for chance,
        /// and a ratio to it means nothing.
        FloorIsZero: bool
    }

    /// Value over floor; none where the floor is zero but for chance.
    member score.Ratio = if score.FloorIsZero then None else Some(score.Value.Mean / score.Floor.Mean)

    /// How many standard errors the value lies above its floor.
    member score.Excess =
        let error = Math.Sqrt(score.Value.StandardError ** 2.0 + score.Floor.StandardError ** 2.0)

        (score.Value.Mean - score.Floor.Mean) / error

/// How a run is measured: `Draws` pairs of sets of `Size` samples each.
type Protocol = { Draws: int; Size: int }

/// Measuring a run.
module Evaluation =

    /// A single pair of sets of a perfect sampler exceeds any tight bound now and then; the mean over twenty does not.
    let standardFor (data: Dataset) : Protocol =
        if data.IsImage then { Draws = 10; Size = 500 } else { Draws = 20; Size = 1000 }

    /// The name that programs know a measure by.
    let private publicName (measure: Measure) =
        if measure.Name = Measures.sliced.Name then "slicedWasserstein" else measure.Name

    let private unbiased = [ Measures.mmd.Name; Measures.energy.Name ]

    /// Held-out samples [n; …], float64 in the data's own units.
    let heldOut (data: Dataset) (rng: Rng) (n: int) : Tensor =
        Scope.run (fun () -> Dataset.inData data (Dataset.heldOut Kind.Float64 n rng data).Data)

    /// The sizes that the held-out data allow: both sides of a floor come from them.
    let private sizeFor (protocol: Protocol) (data: Dataset) =
        match Dataset.heldOutCount data with
        | Some count when count / 2 < protocol.Size ->
            if count < 8 then
                raise (
                    UserError $"{data.Name}: it holds out {count} samples: at least 8 are needed to measure anything"
                )

            count / 2
        | _ -> protocol.Size

    /// How many samples an evaluation asks for.
    let needed (protocol: Protocol) (data: Dataset) = protocol.Draws * sizeFor protocol data

    /// Scores samples [draws · n; …] in the data's units; each draw takes its own n of them.
    let score (protocol: Protocol) (data: Dataset) (samples: Tensor) (rng: Rng) (report: Ticker) : Score list =
        let n = sizeFor protocol data
        let total = float (2 * protocol.Draws * Measures.all.Length)
        let mutable finished = 0

        let between (measure: Measure) rng x y =
            let value = measure.Between rng x y
            finished <- finished + 1
            report (float finished / total) measure.Name
            value

        [ for measure in Measures.all do
              let value =
                  Measure.overDraws protocol.Draws (fun k ->
                      let rng = Rng.at (int64 k) (Rng.named "value" rng)
                      between
                          measure
                          (Rng.named "measure" rng)
                          (Tensor.narrow 0 (k * n) n samples)
                          (heldOut data rng n))

              let floor =
                  Measure.overDraws protocol.Draws (fun k ->
                      let rng = Rng.at (int64 k) (Rng.named "floor" rng)
                      // The halves of one draw share no sample.
                      let halves = Tensor.split n 0 (heldOut data rng (2 * n))
                      between measure (Rng.named "measure" rng) halves[0] halves[1])

              { Name = publicName measure
                Equation = measure.Equation
                Value = value
                Floor = floor
                FloorIsZero = List.contains measure.Name unbiased } ]

    let private oneJson (score: Score) : JsonObject =
        Json.object
            [ "value", Json.number score.Value.Mean
              "standardError", Json.number score.Value.StandardError
              "floor", Json.number score.Floor.Mean
              "floorStandardError", Json.number score.Floor.StandardError
              "ratio", Json.optional Json.number score.Ratio
              "standardErrorsAboveFloor", Json.number score.Excess
              "draws", Json.whole (int64 score.Value.Draws)
              "equation", Json.text score.Equation ]

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
                    FloorIsZero = isNull value["ratio"] } ]

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
        $"  {score.Name, -18}{estimate score.Value, -24}floor {estimate score.Floor, -24}{ratio}"
