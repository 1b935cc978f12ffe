namespace Fokker.Experiments

open System
open System.Text.Json.Nodes
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// One data set turned into another and back: a checkerboard and a pinwheel, and rings and moons, joined by a flow, learned from independent pairs, from
/// pairs of each batch's optimal plan, and as a Schrödinger bridge (Tong et al. 2024). Neither end is noise; the one flow is followed both ways.
module Bridge =

    /// What is at t = 1, and what at t = 0.
    type private Ends = { Source: PlaneLaw; Data: PlaneLaw }

    let private ends =
        [ { Source = Plane.checkerboard; Data = Plane.pinwheel }; { Source = Plane.rings; Data = Plane.moons } ]

    /// The bridge's diffusion: 2 s² = 0.18 of the entropic plan is a tenth of the squared distance of the first two laws.
    let private s = 0.3

    let private methods: (string * Matching) list =
        [ "cfm", Matching.on Path.condOT; "ot-cfm", Matching.optimal Path.condOT; "sf2m", Matching.withScore s ]

    let private points = 2000
    let private standardSeeds, standardSteps = 1, 5_000L

    let private ok (result: Result<State, Failure>) =
        match result with
        | Ok state -> state.X
        | Error failure -> raise (UserError $"the bridge failed at {failure}")

    let private widened (field: Field) : Field = fun t x -> (field t (x.To Dtype.Float32)).To x.Dtype

    let private along (flow: Flow) (times: float[]) (x: Tensor) : Tensor =
        ok (
            Integrator.run
                (Integrator.rungeKutta Tableau.rk4 { Velocity = widened (flow.Velocity None) })
                (Noise.fresh (Rng.ofSeed 0L))
                times
                x
        )

    let private even n (from: float) (until: float) =
        Array.init (n + 1) (fun k -> from + (until - from) * float k / float n)

    /// The process with the flow's marginals, where its noise was learned.
    let private wandering (flow: Flow) (rng: Rng) (x: Tensor) : Tensor option =
        Flow.sde None flow
        |> Option.map (fun sde ->
            let sde = { sde with Drift = widened sde.Drift }
            ok (Integrator.run (Integrator.eulerMaruyama sde) (Noise.fresh rng) (even 200 0.999 0.001) x))

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            /// 2-Wasserstein to the data of what comes from the source, to the source of what comes from the data.
            Forth: float
            Back: float
            /// As `Forth`, along the process.
            Process: float
            Energy: float
            Seconds: float
            /// Where points of the source are at the shown times.
            Seen: Tensor list
        }

    let private shown = even 4 1.0 0.0

    let private outcome (key: Rng) ({ Source = source; Data = data }: Ends) (flow: Flow, seconds: float) : Outcome =
        Scope.run (fun () ->
            let rng = Rng.named "test" key
            let x1, x0 = source.Draw (Rng.named "from" rng) points, data.Draw (Rng.named "to" rng) points
            let other1, other0 = source.Draw (Rng.named "at 1" rng) points, data.Draw (Rng.named "at 0" rng) points
            let forward = even 40 1.0 0.0

            { Forth = Wasserstein.exact (along flow forward x1) other0
              Back = Wasserstein.exact (along flow (Array.rev forward) x0) other1
              Process =
                wandering flow rng x1 |> Option.map (fun x -> Wasserstein.exact x other0) |> Option.defaultValue nan
              Energy = Matching.pathEnergy 100 flow None (x1.To Kind.Float32)
              Seconds = seconds
              Seen = [ for t in shown -> if t = 1.0 then Tensor.clone x1 else along flow (even 40 1.0 t) x1 ] })

    let private figureCount = 5 + shown.Length * points * 2

    /// An outcome as numbers, which processes tell each other.
    let private figuresOf (outcome: Outcome) : float[] =
        [| outcome.Forth
           outcome.Back
           outcome.Process
           outcome.Energy
           outcome.Seconds
           for x in outcome.Seen do
               yield! Tensor.toArray<float> x |]

    let private ofFigures (figures: float[]) : Outcome =
        let seen = Array.chunkBySize (points * 2) figures[5..] |> List.ofArray

        { Forth = figures[0]
          Back = figures[1]
          Process = figures[2]
          Energy = figures[3]
          Seconds = figures[4]
          Seen = seen |> List.map (Tensor.ofArray [ points; 2 ]) }

    /// Mean distance of two sets of points.
    let private apart (a: PlaneLaw) (b: PlaneLaw) : float =
        (Measure.overDraws 5 (fun k ->
            let rng = Rng.ofSeed 3000L |> Rng.at (int64 k)
            Wasserstein.exact (a.Draw (Rng.named "a" rng) points) (b.Draw (Rng.named "b" rng) points)))
            .Mean

    let private measures (ends: Ends) : (string * string * (Outcome -> float)) list =
        [ "forth", $"W2 to the {ends.Data.Name}, flow", _.Forth
          "process", "the same, process", _.Process
          "back", $"W2 back to the {ends.Source.Name}, flow", _.Back
          "pathEnergy", "path energy", _.Energy
          "seconds", "seconds of training", _.Seconds ]

    let private cloud tone (x: Tensor) : Cloud =
        { Label = "points"
          Tone = tone
          Points = Scope.run (fun () -> Tensor.toArray<float32>(x.To Dtype.Float32))
          Classes = [||] }

    /// What the methods made of one pair, as a table, pictures, and for programs.
    let private account (ends: Ends) (results: (string * Outcome list) list) : Section list * JsonObject =
        let { Source = source; Data = data } = ends
        let floorData, floorSource, between = apart data data, apart source source, apart source data

        let summary read outcomes =
            match List.map read outcomes with
            | values when List.exists Double.IsNaN values -> Cell.Missing
            | [ value ] -> Cell.Number value
            | values -> Cell.Text(Study.plusMinus (Study.meanAndDeviation values))

        [ Study.table
              $"{source.Name} to {data.Name}"
              $"2-Wasserstein distances between {points} points; two sets of the {data.Name} are {floorData:F3} apart, of the {source.Name} {floorSource:F3}, and the two laws {between:F3} (squared {between * between:F3}, the least path energy). The process is the Schrödinger bridge with diffusion {s}."
              ("" :: List.map fst results)
              [ for _, label, read in measures ends ->
                    Cell.Text label :: [ for _, outcomes in results -> summary read outcomes ] ]
          { Title = $"On the way to {data.Name}"
            Note = $"Points of the {source.Name} carried from t = 1 to the {data.Name} at t = 0."
            Bodies =
              [ for name, outcomes in results ->
                    Body.Scatter
                        { Panels =
                            [ for t, x in Seq.zip shown outcomes.Head.Seen ->
                                  let tone = if t = 1.0 then Tone.Noise else Tone.Model
                                  { Title = $"{name}, t = {t}"; Clouds = [ cloud tone x ] } ]
                          XLabel = "x₁"
                          YLabel = "x₂" } ] } ],
        Json.object
            [ "source", Json.text source.Name
              "data", Json.text data.Name
              "floorData", Json.number floorData
              "floorSource", Json.number floorSource
              "wasserstein2", Json.number between
              for name, outcomes in results do
                  name,
                  Json.node (
                      Json.object
                          [ for key, _, read in measures ends do
                                let mean = List.averageBy read outcomes

                                if Double.IsFinite mean then
                                    key, Json.number mean ]
                  ) ]

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let seeds, steps = defaultArg options.Seeds standardSeeds, defaultArg options.Steps standardSteps

        let results =
            let figures (ends, (_, matching)) seed =
                let key = Rng.ofSeed (int64 (seed: int))
                OtCfm.learn steps ends.Source.Draw ends.Data.Draw matching key |> outcome key ends |> figuresOf

            let name (ends, (method, _)) = $"{ends.Source.Name} to {ends.Data.Name}, {method}"

            Progress.run terminal "bridge" 1.0 (fun report ->
                List.allPairs ends methods
                |> Study.sharedSeeds options.Ranks report figureCount name [ 1..seeds ] figures)
            |> List.map (List.map ofFigures)
            |> List.chunkBySize methods.Length
            |> List.map (List.zip (List.map fst methods))
            |> List.zip ends

        let accounts = [ for ends, own in results -> account ends own ]

        { DataSet = String.Join(", ", ends |> List.map (fun e -> $"{e.Source.Name} to {e.Data.Name}"))
          Summary =
            $"A flow from one data set to another, {steps} steps of training: what it makes of the one, and, followed the other way, of the other."
          Headlines = []
          Sections = List.collect fst accounts
          Json =
            [ "seeds", Json.whole (int64 seeds)
              "steps", Json.whole steps
              "pairs", Json.array [ for _, json in accounts -> Json.node json ] ] }

    let study: Study =
        { Name = "bridge"
          Summary = "one data set turned into another and back, by three couplings"
          Reference =
            "Tong et al. 2024, Improving and generalizing flow-based models; Simulation-free Schrödinger bridges"
          Uses = [ "--seeds", "trainings of each method (1)"; "--steps", "optimization steps of each training (5,000)" ]
          IsShared = true
          Run = run }
