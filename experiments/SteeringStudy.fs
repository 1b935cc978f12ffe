namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// How far each method of steering is from the posterior that it is after, which is known: mixtures of Gaussians seen by linear observations. The denoiser is exact, so that
/// what is measured is the method's, and its steps'.
module SteeringStudy =

    [<NoComparison; NoEquality>]
    type private Prior = { Name: string; Law: Mixture }

    /// Components with means that are d-dimensional normal draws times two, and full covariances where the dimension allows.
    let private prior (d: int) (components: int) (isFull: bool) : Prior =
        let rng = Rng.ofSeed (int64 d)
        let means = 1.2 * Rng.normal Kind.Float64 [ components; d ] (Rng.named "means" rng)
        let weights = [| for k in 1..components -> 1.0 + float (k % 3) |]

        let law =
            if isFull then
                let half =
                    0.35 / Math.Sqrt(float d)
                    * Rng.normal Kind.Float64 [ components; d; d ] (Rng.named "covariances" rng)
                let round = 0.02 * Tensor.eye Kind.Float64 d
                Mixture.ofCovariances weights means (Linalg.matmul half (Tensor.transpose 1 2 half) + round)
            else
                let stds = 0.15 + 0.35 * Rng.uniform Kind.Float64 [ components; d ] (Rng.named "stds" rng)
                Mixture.ofStds weights means stds

        { Name = $"{d}-D, {components} components"; Law = law }

    [<NoComparison; NoEquality>]
    type private Seen = { Label: string; Sensor: Sensor }

    let private observations (d: int) : Seen list =
        let make label operator noise = { Label = label; Sensor = Sensor.make [ d ] (Observation.make operator noise) }

        let rows = max 1 (d / 4)

        let matrix = Rng.normal Kind.Float64 [ rows; d ] (Rng.named "matrix" (Rng.ofSeed 1L)) / Math.Sqrt(float d)

        [ make "every other coordinate, s = 0.1" (Operator.Coordinates [ 0..2 .. d - 1 ]) 0.1
          make "means of pairs, s = 0.1" (Operator.Average 2) 0.1
          make $"a random matrix of {rows} rows, s = 0.1" (Operator.Matrix matrix) 0.1
          make "a blur of 1, s = 0.3" (Operator.Blur 1.0) 0.3 ]

    /// A method by its name in the list, particles, and evaluations of the network for each particle and step.
    let private ways (d: int) =
        // As many as there is time for: what twisted particles cost is their number times the dimension.
        [ "mmps", None, 1
          "pigdm", None, 1
          "diffpir", None, 1
          "dps", None, 2
          "dps:zeta=0.3", None, 2
          "replacement", None, 1
          "repaint", None, 5
          "tds", Some(if d = 2 then 256 else 512 / d), 1
          if d = 2 then
              "mmps", Some 64, 1 ]

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Prior: string
            Seen: string
            Way: string
            Evaluations: int
            Distance: Estimate
            Floor: Estimate
            /// ‖mean − exact‖ in standard deviations √tr C, and tr C of the samples over tr C.
            Bias: float
            Spread: float
        }

    let private draws = 5

    /// Moments, [d] and tr C, of samples.
    let private moments (x: Tensor) =
        let mean = Tensor.meanOver [ 0 ] x
        mean, (Tensor.sum (Tensor.varianceOver [ 0 ] 1 x)).ToFloat()

    let private sliced (rng: Rng) (x: Tensor) (y: Tensor) = Wasserstein.sliced 100 (Rng.named "directions" rng) x y

    let private samples
        (law: Mixture)
        (sensor: Sensor)
        (y: Tensor)
        (steps: int)
        (way: string, particles: int option)
        (n: int)
        =
        let model = GenerativeModel.ofMixture "mixture" Path.vp Prediction.noise Kind.Float64 law

        let sampler = Samplers.ancestral
        let method = Catalogue.steerings.Find way

        let drawing =
            { Samples.standardFor model with
                Sampler = sampler
                Grid = sampler.Grid
                Steps = steps
                Batch = 16384
                Steering =
                    Some
                        { Method = method
                          Target = SteeringTarget.Observed(sensor, Tensor.unsqueeze 0 y)
                          Particles = particles |> Option.map SteeringParticles.ofCount
                          LookAhead = None
                          Record = SteeringRecord() } }

        Samples.draw model drawing (Rng.ofSeed 7L) n (fun _ _ -> ())

    let private outcomes (report: Ticker) (n: int) : Outcome list =
        let priors = [ prior 2 4 true; prior 16 5 true; prior 64 5 false ]
        let budgets = [ 100; 250 ]
        let total = float (priors.Length * 4)
        let mutable finished = 0.0

        [ for prior in priors do
              let d = prior.Law.Dimension

              for seen in observations d do
                  report (finished / total) $"{prior.Name}, {seen.Label}"
                  finished <- finished + 1.0
                  let rng = Rng.ofSeed 3L |> Rng.named seen.Label
                  let x0 = Mixture.sample 1 (Rng.named "x0" rng) prior.Law
                  let clean = seen.Sensor.Apply x0
                  let y = Tensor.squeeze 0 (clean + seen.Sensor.Noise * Rng.normalLike clean (Rng.named "n" rng))
                  let a, _ = Sensor.matrixOf seen.Sensor
                  let posterior = (Conditioning.observed a seen.Sensor.Noise (Tensor.flatten y) prior.Law).Law
                  let exact k = Mixture.sample n (Rng.at (int64 k) (Rng.named "exact" rng)) posterior
                  let mean = Mixture.mean posterior
                  let trace = (Linalg.trace (Mixture.covariance posterior)).ToFloat()

                  let floor =
                      Estimate.ofDraws
                          [| for k in 1..draws -> Scope.run (fun () -> sliced rng (exact k) (exact (k + 100))) |]

                  for way, particles, per in ways d do
                      let method = Catalogue.steerings.Find way

                      if not method.SeenOnly || seen.Sensor.Seen.IsSome then
                          for budget in budgets do
                              let x =
                                  Scope.run (fun () ->
                                      samples prior.Law seen.Sensor y (budget / per) (way, particles) n)

                              let distance =
                                  Estimate.ofDraws
                                      [| for k in 1..draws -> Scope.run (fun () -> sliced rng x (exact k)) |]

                              let own, spread = moments x
                              let apart = (Tensor.sum (Tensor.square (own - mean))).ToFloat()

                              { Prior = prior.Name
                                Seen = seen.Label
                                Way =
                                  match particles with
                                  | Some k -> $"{way}, {k} particles"
                                  | None -> way
                                Evaluations = budget
                                Distance = distance
                                Floor = floor
                                Bias = Math.Sqrt(apart / trace)
                                Spread = spread / trace } ]

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let n = defaultArg options.Count 200
        let all = Progress.run terminal "steering" 1.0 (fun report -> outcomes report n)
        let ratio (o: Outcome) = o.Distance.Mean / o.Floor.Mean
        let text (digits: string) (v: float) = v.ToString(digits, Globalization.CultureInfo.InvariantCulture)
        let estimate (e: Estimate) = Study.plusMinus (e.Mean, e.StandardError)
        let names = all |> List.map _.Way |> List.distinct

        let table (prior: string, own: Outcome list) =
            Study.table
                prior
                $"Sliced 2-Wasserstein distance of {n} samples to the exact posterior, over {draws} sets of that, beside the floor of two such sets; their ratio; the mean's distance in standard deviations √tr C of the posterior; the samples' tr C over the posterior's. Evaluations are those of the network for each particle."
                [ "observation"; "method"; "evaluations"; "sliced W₂"; "floor"; "ratio"; "mean off by"; "spread" ]
                [ for o in own ->
                      [ Cell.Text o.Seen
                        Cell.Text o.Way
                        Cell.Text(string o.Evaluations)
                        Cell.Text(estimate o.Distance)
                        Cell.Text(estimate o.Floor)
                        Cell.Text(text "F1" (ratio o))
                        Cell.Text(text "F2" o.Bias)
                        Cell.Text(text "F2" o.Spread) ] ]

        let groups = all |> List.groupBy _.Prior
        // Geometric mean over observations.
        let over (own: Outcome list) = Math.Exp(own |> List.averageBy (ratio >> Math.Log))

        let summary =
            [ for name in names ->
                  name,
                  [ for _, own in groups do
                        for budget in [ 100; 250 ] do
                            match own |> List.filter (fun o -> o.Way = name && o.Evaluations = budget) with
                            | [] -> None
                            | some -> Some(over some) ] ]

        let best = all |> List.filter (fun o -> o.Way.StartsWith("tds", StringComparison.Ordinal))

        let reached = text "F1" (over best)

        { DataSet = "mixtures of 4 and 5 Gaussians in 2, 16 and 64 dimensions"
          Summary =
            $"Posteriors of three mixtures under four linear observations, which are mixtures again: how far the samples of each method are from them, the denoiser being exact. Twisted particles come to {reached} times the noise floor on the average; all other methods are approximations on a mixture, and are reported as they are."
          Headlines =
            [ { Label = "Twisted particles"
                Value = text "F2" (over best) + " ×"
                Note = "the noise floor, the geometric mean over mixtures and observations" } ]
          Sections =
            [ Study.table
                  "Sliced distance over its floor"
                  "Geometric means over the observations that a method is for, at 100 and at 250 evaluations."
                  ("method"
                   :: [ for prior, _ in groups do
                            $"{prior}, 100"
                            $"{prior}, 250" ])
                  [ for name, values in summary ->
                        Cell.Text name
                        :: [ for value in values ->
                                 match value with
                                 | Some v -> Cell.Text(text "F1" v)
                                 | None -> Cell.Missing ] ]
              { Title = "The methods side by side"
                Note = "The same at 250 evaluations: 1 is as close as two sets of the posterior's own samples are."
                Bodies =
                  [ Body.Lines
                        { XLabel = "dimension"
                          YLabel = "sliced W₂ over its floor"
                          LogX = true
                          LogY = true
                          Lines =
                            [ for k, name in List.indexed names do
                                  let points =
                                      [ for prior, own in groups do
                                            match own |> List.filter (fun o -> o.Way = name && o.Evaluations = 250) with
                                            | [] -> ()
                                            | some -> float (prior.Split('-')[0]), over some ]

                                  { Label = name
                                    Tone = Tone.Series k
                                    Stroke = Stroke.Marked
                                    X = [| for x, _ in points -> x |]
                                    Y = [| for _, y in points -> y |] } ] } ] }
              yield! List.map table groups ]
          Json =
            [ "samples", Json.whole (int64 n)
              "outcomes",
              Json.array
                  [ for o in all ->
                        Json.node (
                            Json.object
                                [ "prior", Json.text o.Prior
                                  "observation", Json.text o.Seen
                                  "method", Json.text o.Way
                                  "evaluations", Json.whole (int64 o.Evaluations)
                                  "slicedWasserstein2", Json.number o.Distance.Mean
                                  "standardError", Json.number o.Distance.StandardError
                                  "floor", Json.number o.Floor.Mean
                                  "meanOff", Json.number o.Bias
                                  "spread", Json.number o.Spread ]
                        ) ] ] }

    let study: Study =
        { Name = "steering"
          Summary = "methods of steering against the exact posterior of mixtures"
          Reference =
            "the methods' own papers, which `fokker list steerings` names; the yardstick is Bishop 2006, section 2.3.3"
          Uses = [ "--count", "samples of each method (200)" ]
          IsShared = false
          Run = run }
