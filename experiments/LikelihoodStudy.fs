namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// How far a flow's log-density is off for what it costs, where the answer is known: the solver's error and nothing else, the field and its
/// divergence and the law at the noisy end being exact.
module LikelihoodStudy =

    /// Three overlapping Gaussians in d dimensions, none of them round.
    let mixture (d: int) : Mixture =
        let rng = Rng.ofSeed (int64 d)
        let means = Rng.normal Kind.Float64 [ 3; d ] (Rng.named "means" rng)
        let roots = 0.3 * Rng.normal Kind.Float64 [ 3; d; d ] (Rng.named "roots" rng)
        let squares = Linalg.matmul roots (Tensor.transpose 1 2 roots) * (1.0 / float d)
        Mixture.ofCovariances [| 0.5; 0.3; 0.2 |] means (squares + 0.3 * Tensor.eye Kind.Float64 d)

    /// The largest error of log p over the samples in nats, and the mean number of evaluations.
    type private Outcome = { Way: string; Error: float; Evaluations: float }

    let private standardCount = 16

    let private outcome
        (count: int)
        (path: GaussianPath)
        (m: Mixture)
        (way: string, sampler: Sampler, steps: int, control: Control)
        : Outcome =
        Scope.run (fun () ->
            let model = Mixture.model path Prediction.velocity m

            let plan =
                { Sampling.plan sampler steps model with
                    Kind = Kind.Float64
                    Span = { Noisy = 1.0; Clean = 0.0; Finish = Stop } }

            let likelihood =
                { Likelihood.make Trace.exact plan path with
                    Control = control
                    Prior = Mixture.logDensity path m (Tensor.scalar Kind.Float64 1.0) }

            let x = Mixture.sample count (Rng.ofSeed 1L) m
            let flow (_: Condition) : Ode = { Velocity = Mixture.velocity path m }

            match Likelihood.underFlow likelihood path flow None (Rng.ofSeed 0L) x with
            | Error failure -> raise (UserError $"the flow failed at {failure}")
            | Ok density ->
                { Way = way
                  Error = (Tensor.max (abs (density.LogDensity - Mixture.logDensityOfData m x))).ToFloat()
                  Evaluations = Array.averageBy float density.Evaluations })

    let private samplerOf name = Samplers.all |> List.find (fun s -> s.Name = name)

    let private ways: (string * Sampler * int * Control) list =
        [ for name, steps in [ "heun", [ 10; 50; 250 ]; "rk4", [ 5; 25; 125 ] ] do
              for n in steps do
                  yield $"{name}, {n} steps", samplerOf name, n, Fixed
          for name in [ "bogacki-shampine"; "dormand-prince"; "tsitouras"; "dop853" ] do
              for tolerance in [ 1e-3; 1e-5; 1e-7; 1e-9 ] do
                  // Order 3 at the tightest takes steps by the thousand.
                  if name <> "bogacki-shampine" || tolerance > 1e-8 then
                      yield $"{name}, rtol {tolerance:G}", samplerOf name, 1, Adaptive(Tolerance.both tolerance) ]

    let private cases = [ 2, Path.condOT; 2, Path.vp; 16, Path.condOT; 16, Path.vp ]

    /// Error against work, a line for each method.
    let private chart (outcomes: Outcome list) : Body =
        let methods = outcomes |> List.groupBy (fun o -> (o.Way.Split ',')[0])

        Body.Lines
            { XLabel = "evaluations for each sample"
              YLabel = "largest error of log p, nats"
              LogX = true
              LogY = true
              Lines =
                [ for k, (name, points) in List.indexed methods ->
                      let points = points |> List.sortBy _.Evaluations

                      { Label = name
                        Tone = Tone.Series k
                        Stroke = Stroke.Marked
                        X = [| for p in points -> p.Evaluations |]
                        Y = [| for p in points -> p.Error |] } ] }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let count = defaultArg options.Count standardCount

        let found =
            Progress.run terminal "likelihood" 1.0 (fun report ->
                [ for k, (d, path) in List.indexed cases ->
                      let m = mixture d

                      (d, path),
                      [ for j, way in List.indexed ways ->
                            report
                                ((float k + float j / float ways.Length) / float cases.Length)
                                (let (name, _, _, _) = way in name)
                            outcome count path m way ] ])

        let scientific (v: float) = v.ToString("0.0e+0", Globalization.CultureInfo.InvariantCulture)

        let rows =
            [ for j, (way, _, _, _) in List.indexed ways ->
                  Cell.Text way
                  :: [ for _, outcomes in found do
                           Cell.Text(scientific outcomes[j].Error)
                           Cell.Text(outcomes[j].Evaluations.ToString("F0", Globalization.CultureInfo.InvariantCulture)) ] ]

        { DataSet = "mixtures of three Gaussians in 2 and 16 dimensions"
          Summary =
            $"The largest error of log p over {count} samples in nats, and evaluations a sample; each evaluation takes d derivatives."
          Headlines = []
          Sections =
            [ for (d, path), outcomes in found do
                  { Title = $"Work and precision: {d} dimensions, {path.Name}"
                    Note =
                      "Error against evaluations, a line for each method along its steps or tolerances: lower is more exact, further left is cheaper."
                    Bodies = [ chart outcomes ] }
              Study.table
                  "Error of the log-density against tolerance and evaluations"
                  "The field, its divergence and the law at the noisy end are exact: the only error is the solver's."
                  (""
                   :: [ for d, path in cases do
                            $"{d}-D {path.Name}, error"
                            "NFE" ])
                  rows ]
          Json =
            [ for (d, path), outcomes in found ->
                  $"{path.Name}-{d}",
                  Json.array
                      [ for o in outcomes ->
                            Json.node (
                                Json.object
                                    [ "way", Json.text o.Way
                                      "error", Json.number o.Error
                                      "evaluations", Json.number o.Evaluations ]
                            ) ] ] }

    let study: Study =
        { Name = "likelihood"
          Summary = "the error of an exact flow's log-density against tolerance and evaluations"
          Reference =
            "Grathwohl et al. 2019, FFJORD; Song et al. 2021, Score-based generative modeling through SDEs, section 4.3"
          Uses = [ "--count", "samples (16)" ]
          IsShared = false
          Run = run }
