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

/// How a run is measured.
type Protocol =
    {
        /// Pairs of sets that each figure is a mean over.
        Draws: int
        /// Samples in a set.
        Size: int
        /// How many samples there are to take the sets from: Draws · Size gives each pair samples of its own, fewer are
        /// shared between pairs, chosen at random for each.
        Pool: int
    }

/// Measuring a run.
module Evaluation =

    /// A single pair of sets of a perfect sampler exceeds any tight bound now and then; the mean over twenty does not.
    let standardFor (data: Dataset) : Protocol =
        if data.IsImage then
            // A sample of an image takes the network's time; twice a set's size is what a demonstration can wait for.
            { Draws = 10; Size = 1000; Pool = 2000 }
        else
            { Draws = 20; Size = 1000; Pool = 20_000 }

    /// The name that programs know a measure by.
    let private publicName (measure: Measure) =
        if measure.Name = Measures.sliced.Name then "slicedWasserstein" else measure.Name

    let private unbiased = [ Measures.mmd.Name; Measures.energy.Name ]

    /// Held-out samples [n; …], float64 in the data's own units.
    let heldOut (data: Dataset) (rng: Rng) (n: int) : Tensor =
        Scope.run (fun () -> Dataset.inData data (Dataset.heldOut Kind.Float64 n rng data).Data)

    /// So many pairs of sets of so many samples; what is not said is as usual.
    let protocol (data: Dataset) (draws: int option) (size: int option) : Protocol =
        let standard = standardFor data

        match draws, size with
        | None, None -> standard
        | _ ->
            let draws, size = defaultArg draws standard.Draws, defaultArg size standard.Size
            { Draws = draws; Size = size; Pool = (if data.IsImage then min draws 2 else draws) * size }

    /// Held-out samples without which nothing can be said.
    let private least = 8

    /// Whether enough is held out to measure samples against.
    let isMeasurable (data: Dataset) : bool = Dataset.heldOutCount data |> Option.forall (fun count -> count >= least)

    /// The protocol with sets as large as the held-out data allow: both sides of a floor come from them.
    let fit (data: Dataset) (protocol: Protocol) : Protocol =
        match Dataset.heldOutCount data with
        | Some count when not (isMeasurable data) ->
            raise (
                UserError $"{data.Name}: it holds out {count} samples: at least {least} are needed to measure anything"
            )
        | Some count when count / 2 < protocol.Size ->
            { protocol with
                Size = count / 2
                Pool = max (count / 2) (protocol.Pool * (count / 2) / protocol.Size) }
        | _ -> protocol

    /// The samples of pair k: its own where there are enough for all, a random choice of the pool elsewhere.
    let private chosen (protocol: Protocol) (samples: Tensor) (rng: Rng) (k: int) =
        if samples.Shape[0] >= protocol.Draws * protocol.Size then
            Tensor.narrow 0 (k * protocol.Size) protocol.Size samples
        else
            let order = Rng.permutation samples.Shape[0] (Rng.named "pool" rng)
            Tensor.indexSelect 0 (Tensor.narrow 0 0 protocol.Size order) samples

    /// Scores samples [pool; …] in the data's units, by the library's measures and more.
    let score
        (protocol: Protocol)
        (data: Dataset)
        (more: Measure list)
        (samples: Tensor)
        (rng: Rng)
        (report: Ticker)
        : Score list =
        let n = protocol.Size
        let measures = Measures.all @ more
        let total = float (2 * protocol.Draws * measures.Length)
        let mutable finished = 0

        let between (measure: Measure) rng x y =
            let value = measure.Between rng x y
            finished <- finished + 1
            report (float finished / total) measure.Name
            value

        [ for measure in measures do
              let value =
                  Measure.overDraws protocol.Draws (fun k ->
                      let rng = Rng.at (int64 k) (Rng.named "value" rng)
                      between measure (Rng.named "measure" rng) (chosen protocol samples rng k) (heldOut data rng n))

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
