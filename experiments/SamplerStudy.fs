namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// The error of every sampler against its cost, where the network is exact: the error is then the solver's alone.
///
/// Deterministic samplers go from the same noise to the same time, and are held against the exact flow's end point (DOP853 at a tolerance of 10⁻¹²).
/// Stochastic ones have no end point, but a law: on one Gaussian they are linear in the start and in every draw, so the mean and the
/// variance that they end in are found without sampling error, and with them the 2-Wasserstein distance to the law that they should end in.
module SamplerStudy =

    /// Three Gaussians of different shape.
    let mixture () : Mixture =
        let means = Tensor.ofArray [ 3; 2 ] [| -1.5; 0.0; 1.0; 1.2; 0.8; -1.0 |]

        let covariances =
            Tensor.ofArray [ 3; 2; 2 ] [| 0.2; 0.1; 0.1; 0.15; 0.1; 0.0; 0.0; 0.3; 0.25; -0.15; -0.15; 0.2 |]

        Mixture.ofCovariances [| 0.5; 0.3; 0.2 |] means covariances

    let private allBudgets = [ 5; 10; 15; 20; 30; 50; 100 ]

    let private grids = [ Grid.uniform; Grid.lambda; Grid.karras; Grid.cosine; Grid.quadratic ]

    let private paths = [ Path.condOT; Path.vp; Paths.edm ]

    /// The times between which all samplers run on a path: from pure noise to noise that is too small to matter.
    let private spanOf (path: GaussianPath) : Span =
        let low, high = path.Interior
        { Noisy = high; Clean = low; Finish = Stop }

    /// The most steps that a budget pays for; none where it pays for none.
    let private stepsFor (sampler: Sampler) (budget: int) : int option =
        Seq.initInfinite id
        |> Seq.takeWhile (fun n -> sampler.Evaluations n <= budget)
        |> Seq.last
        |> fun n -> if n >= 1 then Some n else None

    let private planOf (sampler: Sampler) (grid: Grid) (steps: int) (path: GaussianPath) : SamplingPlan =
        { Sampler = sampler; Grid = grid; Steps = steps; Span = spanOf path; Kind = Kind.Float64 }

    // ---- deterministic samplers: the end point

    type private Problem = { Path: GaussianPath; Model: Model; Start: Tensor; Exact: Tensor; Size: float }

    let private rms (x: Tensor) = Math.Sqrt((Tensor.mean (Tensor.square x)).ToFloat())

    let private problem (path: GaussianPath) : Problem =
        let m = mixture ()
        let span = spanOf path
        let start = Mixture.sampleAt path span.Noisy 256 (Rng.ofSeed 3L) m
        let ode = { Velocity = Mixture.velocity path m }

        match Adaptive.run (Tolerance.both 1e-12) Tableau.dop853 ode [| span.Noisy; span.Clean |] start with
        | Error failure -> raise (UserError $"the exact flow failed at {failure}")
        | Ok solution ->
            { Path = path
              Model = Mixture.model path Prediction.velocity m
              Start = start
              Exact = solution.Final
              Size = rms solution.Final }

    /// Root mean square error of the end point, relative to the data; infinite where the sampler failed.
    let private endError (problem: Problem) (sampler: Sampler) (grid: Grid) (steps: int) : float =
        Scope.run (fun () ->
            let plan = planOf sampler grid steps problem.Path

            match Sampling.run plan problem.Model None (Noise.fresh (Rng.ofSeed 0L)) problem.Start with
            | Ok x -> rms (x - problem.Exact) / problem.Size
            | Error _ -> infinity)

    // ---- adaptive samplers: the end point at a tolerance

    type private AtTolerance = { Sampler: string; Tolerance: float; Calls: int; Error: float }

    /// Both adaptive methods at the published tolerance and at tighter ones, with the absolute tolerance in proportion.
    let private atTolerances (tolerances: float list) (problem: Problem) : AtTolerance list =
        [ for order in 2..3 do
              for relative in tolerances do
                  let published = Samplers.bounds
                  let absolute = published.Absolute * relative / published.Relative
                  let sampler =
                      Samplers.dpmAdaptiveWith { published with Relative = relative; Absolute = absolute } order

                  let calls = ref 0

                  let counting (condition: Condition) : Field =
                      let network = problem.Model.Network condition

                      fun t x ->
                          calls.Value <- calls.Value + 1
                          network t x

                  let counted = { problem with Model = { problem.Model with Network = counting } }
                  let error = endError counted sampler sampler.Grid 1
                  { Sampler = sampler.Name; Tolerance = relative; Calls = calls.Value; Error = error } ]

    // ---- stochastic samplers: the law

    /// Standard deviations of the Gaussian's axes, all of mean ½.
    let private axes = [ 0.05; 0.3; 1.0 ]

    /// √Σ ((m − m')² + (s − s')²) over the axes, m' and s' what they should be at the span's end.
    let private lawError (path: GaussianPath) (sampler: Sampler) (grid: Grid) (steps: int) : float =
        Scope.run (fun () ->
            let span = spanOf path
            let count = sampler.Draws * steps
            let rows = count + 2
            let unit = Tensor.ofArray [ rows; 1 ] (Array.init rows (fun i -> if i = 1 then 1.0 else 0.0))

            let draws =
                Tensor.ofArray
                    [ count; rows; 1 ]
                    (Array.init (count * rows) (fun i -> if i % rows = i / rows + 2 then 1.0 else 0.0))

            axes
            |> List.sumBy (fun axis ->
                let one value = Tensor.ofArray [ 1; 1 ] [| value |]
                let m = Mixture.ofStds [| 1.0 |] (one 0.5) (one axis)
                let model = Mixture.model path Prediction.velocity m

                match Sampling.run (planOf sampler grid steps path) model None (Noise.given draws) unit with
                | Error _ -> infinity
                | Ok x ->
                    let found = Tensor.toFloats x
                    let part = Array.map (fun y -> y - found[0]) found

                    let law t =
                        let struct (alpha, sigma) = Path.alphaSigma path t
                        0.5 * alpha, Math.Sqrt(alpha * alpha * axis * axis + sigma * sigma)

                    let mean0, std0 = law span.Noisy
                    let mean1, std1 = law span.Clean
                    let mean = found[0] + part[1] * mean0
                    let drawn = Array.sumBy (fun c -> c * c) part[2..]
                    let std = Math.Sqrt(part[1] * part[1] * std0 * std0 + drawn)
                    (mean - mean1) ** 2.0 + (std - std1) ** 2.0)
            |> Math.Sqrt)

    // ---- both

    /// The least error within a budget over the grids, and the grid that has it.
    type private Best = { Budget: int; Error: float; Grid: string }

    let private best (error: Grid -> int -> float) (sampler: Sampler) (budget: int) : Best option =
        stepsFor sampler budget
        |> Option.map (fun steps ->
            let error, grid = grids |> List.map (fun grid -> error grid steps, grid.Name) |> List.minBy fst
            { Budget = budget; Error = error; Grid = grid })

    let private scientific (v: float) =
        if Double.IsFinite v then v.ToString("0.0e+0", Globalization.CultureInfo.InvariantCulture) else "–"

    let private rows (results: (Sampler * Best option list) list) : Cell list list =
        [ for sampler, cells in results ->
              Cell.Text $"`{sampler.Name}`"
              :: [ for cell in cells ->
                       match cell with
                       | Some best -> Cell.Text $"{scientific best.Error} {best.Grid}"
                       | None -> Cell.Missing ] ]

    let private columns (budgets: int list) what = what :: [ for budget in budgets -> $"NFE {budget}" ]

    /// The sampler with the least error at each budget.
    let private winners (results: (Sampler * Best option list) list) : (Sampler * Best) list =
        [ for k in 0 .. (snd results.Head).Length - 1 ->
              results
              |> List.choose (fun (sampler, cells) -> cells[k] |> Option.map (fun best -> sampler, best))
              |> List.minBy (fun (_, best) -> best.Error) ]

    let private chart (results: (Sampler * Best option list) list) : Body =
        // The best at some budget, and two that everybody knows.
        let shown =
            winners results
            |> List.map (fun (s, _) -> s.Name)
            |> List.append [ "euler"; "heun"; "ddim"; "ancestral" ]
            |> Set.ofList

        Body.Lines
            { XLabel = "evaluations"
              YLabel = "error"
              LogX = true
              LogY = true
              Lines =
                [ for k, (sampler, cells) in
                      results |> List.filter (fun (s, _) -> Set.contains s.Name shown) |> List.indexed do
                      let points = cells |> List.choose id |> List.filter (fun b -> Double.IsFinite b.Error)

                      { Label = sampler.Name
                        Tone = Tone.Series k
                        Stroke = Stroke.Marked
                        X = [| for b in points -> float b.Budget |]
                        Y = [| for b in points -> b.Error |] } ] }

    let private section budgets title note (results: (Sampler * Best option list) list) : Section =
        let table = Study.table title note (columns budgets "sampler") (rows results)
        { table with Bodies = chart results :: table.Bodies }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let most = options.Steps |> Option.map int |> Option.defaultValue (List.last allBudgets)

        let budgets =
            match allBudgets |> List.filter (fun budget -> budget <= most) with
            | [] -> [ most ]
            | budgets -> budgets

        let deterministic, stochastic =
            Samplers.all
            // Adaptive ones spend what their tolerance asks for, not what the grid has.
            |> List.filter (fun s -> s.Name <> Samplers.ancestralLearned.Name && not s.IsAdaptive)
            |> List.partition (fun s -> not s.IsStochastic)

        // Those that do not converge are not compared.
        let stochastic = stochastic |> List.filter (fun s -> s.Order > 0)

        let found =
            Progress.run terminal "samplers" 1.0 (fun report ->
                [ for k, path in List.indexed paths do
                      let problem = problem path
                      let at part = report ((float k + part) / float paths.Length) path.Name

                      let measure part error list =
                          [ for j, sampler in List.indexed list ->
                                at (part + 0.5 * float j / float (List.length list))
                                sampler, List.map (best (error sampler) sampler) budgets ]

                      path,
                      measure 0.0 (endError problem) deterministic,
                      measure 0.5 (lawError path) stochastic,
                      atTolerances (if most < 100 then [ 5e-2 ] else [ 5e-2; 1e-2; 1e-3 ]) problem ])

        let json (results: (Sampler * Best option list) list) =
            Json.node (
                Json.object
                    [ for sampler, cells in results ->
                          sampler.Name,
                          Json.array
                              [ for cell in List.choose id cells ->
                                    Json.node (
                                        Json.object
                                            [ "evaluations", Json.whole (int64 cell.Budget)
                                              "error", Json.number cell.Error
                                              "grid", Json.text cell.Grid ]
                                    ) ] ]
            )

        let bestRows =
            [ for path, ends, laws, _ in found do
                  for what, results in [ "end point", ends; "law", laws ] do
                      Cell.Text $"{path.Name}, {what}"
                      :: [ for sampler, best in winners results ->
                               Cell.Text $"`{sampler.Name}` {best.Grid} {scientific best.Error}" ] ]

        { DataSet = "an exact mixture in two dimensions, one Gaussian in three"
          Summary =
            "The error of every sampler against the evaluations that it may use, with the grid that serves it best among five. The network is exact."
          Headlines = []
          Sections =
            [ Study.table
                  "The best within a budget"
                  "The least error over all samplers and grids. The end point is that of the flow; the law is that of one Gaussian with standard deviations 0.05, 0.3 and 1, in 2-Wasserstein distance."
                  (columns budgets "path")
                  bestRows
              Study.table
                  "Lengths chosen by their error"
                  "The error of the end point, and calls of the network for all 256 trajectories together, each of which chooses its own lengths."
                  [ "sampler"
                    "rtol"
                    for path, _, _, _ in found do
                        $"{path.Name}, error"
                        "calls" ]
                  [ let (_, _, _, first) = found.Head

                    for k, row in List.indexed first ->
                        Cell.Text $"`{row.Sampler}`"
                        :: Cell.Text(scientific row.Tolerance)
                        :: [ for _, _, _, rows in found do
                                 Cell.Text(scientific rows[k].Error)
                                 Cell.Text(string rows[k].Calls) ] ]
              for path, ends, laws, _ in found do
                  section
                      budgets
                      $"End point on {path.Name}"
                      $"Root mean square error of 256 trajectories of the mixture, relative to the data, from t = {(spanOf path).Noisy} to {(spanOf path).Clean}; the grid beside each is the best of five. On the path ${path.Equation}$."
                      ends

                  section
                      budgets
                      $"Law on {path.Name}"
                      "2-Wasserstein distance between the law of a stochastic sampler's samples and the one that they should have, without sampling error."
                      laws ]
          Json =
            [ for path, ends, laws, adaptive in found do
                  $"{path.Name}-endPoint", json ends
                  $"{path.Name}-law", json laws

                  $"{path.Name}-adaptive",
                  Json.array
                      [ for row in adaptive ->
                            Json.node (
                                Json.object
                                    [ "sampler", Json.text row.Sampler
                                      "rtol", Json.number row.Tolerance
                                      "calls", Json.whole (int64 row.Calls)
                                      "error", Json.number row.Error ]
                            ) ] ] }

    let study: Study =
        { Name = "samplers"
          Summary = "the error of every sampler against its evaluations, where the network is exact"
          Reference = "Karras et al. 2022, EDM, figure 2; Lu et al. 2023, DPM-Solver++, section 7"
          Uses = [ "--steps", "the most evaluations that a sampler may use (100)" ]
          IsShared = false
          Run = run }
