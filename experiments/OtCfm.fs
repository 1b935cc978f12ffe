namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Eight Gaussians to two moons, by independent and by optimally paired flow matching: Tong et al. 2024, Improving and generalizing
/// flow-based generative models with minibatch optimal transport (TMLR), section 5.1 and table 2. The laws, the size of the
/// network, the batch and the measures are theirs; their points are spaced evenly along the moons, ours are drawn.
module OtCfm =

    /// How long and how often.
    type Settings = { Seeds: int; Steps: int64; Points: int }

    let standard = { Seeds = 5; Steps = 20_000L; Points = 2048 }

    /// Five times the eight corners of the unit octagon, with noise of variance 0.1.
    let eight (rng: Rng) (n: int) : Tensor =
        let corner = (Rng.integers 8L [ n ] (Rng.named "corner" rng)).To Dtype.Float64 * (Math.PI / 4.0)
        let centre = Tensor.stack 1 [ cos corner; sin corner ] * 5.0
        centre + Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "noise" rng) * sqrt 0.1

    /// Two half circles, shifted along the diagonal by a uniform up to 0.2, then 3 x − 1.
    let moons (rng: Rng) (n: int) : Tensor =
        let u = Tensor.unbind 1 (Rng.uniform Kind.Float64 [ n; 3 ] (Rng.named "moons" rng))
        let angle, second = u[0] * Math.PI, floor (2.0 * u[1])
        let sign = 1.0 - 2.0 * second
        let x, y = second + sign * cos angle, 0.5 * second + sign * sin angle
        3.0 * (Tensor.stack 1 [ x; y ] + 0.2 * Tensor.unsqueeze 1 u[2]) - 1.0

    /// What one trained flow measures.
    type Outcome =
        {
            /// 2-Wasserstein to fresh moons after 1 and 4 Euler steps and along the converged flow.
            Euler1: float
            Euler4: float
            Converged: float
            /// The same with twice the steps: how converged that is.
            Doubled: float
            /// E∫‖v‖² along the flow.
            Energy: float
            /// Seconds of training.
            Seconds: float
        }

    let private methods: (string * (GaussianPath -> Matching)) list =
        [ "i-cfm", Matching.on; "ot-cfm", Matching.optimal ]

    let private batch = 256

    /// A flow between two laws in the plane, from what they draw, and the seconds that it took.
    let learn
        (steps: int64)
        (source: Rng -> int -> Tensor)
        (data: Rng -> int -> Tensor)
        (m: Matching)
        (key: Rng)
        : Flow * float =
        let outputs = NetworkOutput.count (Matching.output m)
        let network = Networks.mlp { Mlp.standard 2 with Width = 64; Outputs = outputs }
        let m = Matching.from (fun rng x0 -> (source rng x0.Shape[0]).To x0.Kind) m

        let pairs step =
            let rng = Rng.at step (Rng.named "batches" key)

            Matching.pair
                m
                (Rng.named "pairs" rng)
                { Data = (data (Rng.named "data" rng) batch).To Kind.Float32; Label = None; Source = None }

        use prefetch = new Prefetch(pairs)

        let training =
            { Trainer.standard with
                Optimizer =
                    { Trainer.standard.Optimizer with Rate = Schedule.WarmUp(100L, Schedule.Cosine(1e-3, 0.0, steps)) } }

        let mutable seconds = 0.0

        let state, ending =
            Trainer.run
                training
                network
                (Matching.loss m)
                prefetch.Get
                (Budget.Steps steps)
                0.0
                { Stepped = (fun _ _ now -> seconds <- now); Stop = fun () -> false }
                (Trainer.init Kind.Float32 key network)

        match ending with
        | Ending.Diverged divergence -> raise (UserError divergence.Message)
        | _ -> Matching.flow m (network.Apply state.Average), seconds

    let private points (settings: Settings) (flow: Flow) (tableau: Tableau) steps (start: Tensor) : Tensor =
        let times = Array.init (steps + 1) (fun k -> 1.0 - float k / float steps)

        let velocity (t: Tensor) (x: Tensor) = (flow.Velocity None t (x.To Dtype.Float32)).To x.Dtype

        match
            Integrator.run
                (Integrator.rungeKutta tableau { Velocity = velocity })
                (Noise.fresh (Rng.ofSeed 0L))
                times
                start
        with
        | Ok state -> state.X
        | Error failure -> raise (UserError $"the flow failed at {failure}")

    let private distance (x: Tensor) (y: Tensor) : float = Wasserstein.exact x y

    let private outcome (settings: Settings) (key: Rng) (flow: Flow, seconds: float) : Outcome =
        Scope.run (fun () ->
            let test = Rng.named "test" key
            let truth = moons (Rng.named "data" test) settings.Points
            let start = eight (Rng.named "source" test) settings.Points
            let to' tableau steps = distance (points settings flow tableau steps start) truth

            { Euler1 = to' Tableau.euler 1
              Euler4 = to' Tableau.euler 4
              Converged = to' Tableau.dormandPrince 50
              Doubled = to' Tableau.dormandPrince 100
              Energy = Matching.pathEnergy 100 flow None (start.To Kind.Float32)
              Seconds = seconds })

    /// W₂² of the two laws themselves, from `draws` matchings of 4,096 points.
    let private between (draws: int) : float =
        [ for k in 0 .. draws - 1 ->
              Scope.run (fun () ->
                  let rng = Rng.ofSeed 1000L |> Rng.at (int64 k)
                  let d = distance (eight (Rng.named "a" rng) 4096) (moons (Rng.named "b" rng) 4096)
                  d * d) ]
        |> List.average

    /// The outcomes of every method, W₂² between the laws, and the mean 2-Wasserstein between two fresh sets of moons: the floor.
    let private outcomes
        (settings: Settings)
        (report: float -> string -> unit)
        : (string * Outcome list) list * float * float =
        let total = float (methods.Length * settings.Seeds)
        let mutable finished = 0

        let results =
            [ for name, make in methods ->
                  name,
                  [ for seed in 1 .. settings.Seeds ->
                        let key = Rng.ofSeed (int64 seed)
                        let result = learn settings.Steps eight moons (make Path.condOT) key |> outcome settings key
                        finished <- finished + 1
                        report (float finished / total) name
                        result ] ]

        let floor =
            [ for k in 0 .. settings.Seeds - 1 ->
                  Scope.run (fun () ->
                      let rng = Rng.ofSeed 2000L |> Rng.at (int64 k)
                      distance (moons (Rng.named "a" rng) settings.Points) (moons (Rng.named "b" rng) settings.Points)) ]
            |> List.average

        results, between 3, floor

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let settings =
            { standard with
                Seeds = defaultArg options.Seeds standard.Seeds
                Steps = defaultArg options.Steps standard.Steps }

        let results, squared, floor = Progress.run terminal "ot-cfm" 1.0 (outcomes settings)

        let measures: (string * string * (Outcome -> float)) list =
            [ "euler1", "W2, 1 Euler step", _.Euler1
              "euler4", "W2, 4 Euler steps", _.Euler4
              "converged", "W2, Dormand–Prince, 50 steps", _.Converged
              "doubled", "the same, 100 steps", _.Doubled
              "pathEnergy", "path energy", _.Energy
              "normalizedPathEnergy", "|energy − W2²|/W2²", (fun o -> abs (o.Energy - squared) / squared)
              "seconds", "seconds of training", _.Seconds ]

        let of' read outcomes = Study.meanAndDeviation (List.map read outcomes)

        { DataSet = "eight Gaussians to two moons"
          Summary =
            $"A flow from data to data, learned from independent and from optimal pairs: {settings.Seeds} seeds, {settings.Steps} steps."
          Headlines = []
          Sections =
            [ Study.table
                  "Independent and optimal pairs"
                  $"Mean and standard deviation over seeds. W2² of the laws is {squared:F3}; two sets of {settings.Points} moons are {floor:F3} apart."
                  ("" :: List.map fst results)
                  [ for _, label, read in measures ->
                        Cell.Text label
                        :: [ for _, outcomes in results -> Cell.Text(Study.plusMinus (of' read outcomes)) ] ] ]
          Json =
            [ "seeds", Json.whole (int64 settings.Seeds)
              "steps", Json.whole settings.Steps
              "wasserstein2Squared", Json.number squared
              "floor", Json.number floor
              for name, outcomes in results do
                  let one read =
                      let mean, deviation = of' read outcomes
                      Json.node (Json.object [ "mean", Json.number mean; "deviation", Json.number deviation ])

                  name, Json.node (Json.object [ for key, _, read in measures -> key, one read ]) ] }

    let study: Study =
        { Name = "ot-cfm"
          Summary = "eight Gaussians to two moons with and without optimal pairs"
          Source = "Tong et al. 2024, Improving and generalizing flow-based generative models, section 5.1"
          Uses =
            [ "--seeds", "trainings of each method (5)"; "--steps", "optimization steps of each training (20,000)" ]
          Run = run }
