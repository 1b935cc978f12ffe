namespace Fokker.Experiments

open System
open Fokker
open Fokker.Pictures
open Fokker.Report

/// The schematics of lectures on diffusion and flow matching, each drawn from quantities that are known exactly: a mixture of Gaussians on the straight path
/// x_t = (1 − t) x₀ + t ε. Arrows show the way a sample moves, which is against time: −v.
[<RequireQualifiedAccess>]
module Schematics =

    let private path = Path.condOT

    /// Five bumps of unequal weight on a circle.
    let private law =
        lazy
            (let angle k = Math.PI * (0.5 + 0.4 * float k)

             Mixture.ofStds
                 [| 0.3; 0.15; 0.2; 0.1; 0.25 |]
                 (Tensor.ofArray
                     [ 5; 2 ]
                     [| for k in 0..4 do
                            2.3 * cos (angle k)
                            2.3 * sin (angle k) |])
                 (Tensor.full Kind.Float64 [ 5; 2 ] 0.33))

    /// All of the mass on one point.
    let private onePoint (x: float, y: float) =
        Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 2 ] [| x; y |]) (Tensor.zeros Kind.Float64 [ 1; 2 ])

    let private window: Window = { Left = -3.5f; Right = 3.5f; Bottom = -3.5f; Top = 3.5f }
    let private time (t: float) = Tensor.scalar Kind.Float64 t

    /// n × n places over a window, from its lower left corner, [n²; 2].
    let private places (w: Window) (n: int) : Tensor =
        let along (low: float32) (high: float32) k = float low + float (high - low) * float k / float (n - 1)

        Tensor.ofArray
            [ n * n; 2 ]
            [| for row in 0 .. n - 1 do
                   for column in 0 .. n - 1 do
                       along w.Left w.Right column
                       along w.Bottom w.Top row |]

    let private floats (x: Tensor) = Tensor.toFloats x

    let private pairs (x: Tensor) : (float * float)[] =
        floats x |> Array.chunkBySize 2 |> Array.map (fun p -> p[0], p[1])

    let private fine = 96

    /// A function of the plane on the fine grid.
    let private onGrid (f: Tensor -> Tensor) : float[] = Scope.run (fun () -> f (places window fine)) |> floats

    let private density (m: Mixture) (t: float) = onGrid (Mixture.logDensity path m (time t) >> exp)
    let private shade tone values = Mark.Shade(tone, fine, values)

    /// Lines of equal density around shares of its greatest value.
    let private contours tone (values: float[]) =
        let top = Array.max values

        Mark.Curves(
            tone,
            Stroke.Faint,
            Array.collect (fun share -> Contour.lines window fine values (share * top)) [| 0.05; 0.25; 0.6 |]
        )

    /// Arrows of a field on a coarse grid; the longest are as long as the grid is wide.
    let private arrows (tone: Tone) (n: int) (field: Tensor -> Tensor) : Mark =
        let at = places window n
        let values = Scope.run (fun () -> field at) |> pairs
        let lengths = values |> Array.map (fun (x, y) -> sqrt (x * x + y * y))
        let longest = (Array.sort lengths)[(lengths.Length - 1) * 95 / 100]
        let cell = float (window.Right - window.Left) / float (n - 1)

        Mark.Arrows(
            tone,
            Array.map2
                (fun (x, y) ((dx, dy), length) ->
                    // Arrows that would be longer are cut: their direction is what is seen.
                    let gain = 0.95 * cell * min 1.0 (length / longest) / max length 1e-12
                    struct (x, y, gain * dx, gain * dy))
                (pairs at)
                (Array.zip values lengths)
        )

    let private panel title marks : SchematicPanel =
        { Title = title; XLabel = "x₁"; YLabel = "x₂"; Window = window; EqualAxes = true; Marks = marks }

    let private velocity (m: Mixture) (t: float) (x: Tensor) = -(Mixture.velocity path m (time t) x)

    let private shown = [ 1.0; 0.7; 0.4; 0.05 ]
    let private toneAt k = Tone.Series k
    let private legend = [ for k, t in List.indexed shown -> toneAt k, $"t = {t}" ]
    let private point = 1.7, 1.3

    /// Conditional and marginal path and field.
    let conditionalAndMarginal () : Schematic =
        let conditional = onePoint point
        let over m = [ for k, t in List.indexed shown -> shade (toneAt k) (density m t) ]
        let middle = 0.5
        let z = Mark.Dots(Tone.Data, [| point |])

        { Columns = 2
          Panels =
            [ panel "the path of one data point, p(x | x₀)" (over conditional @ [ z ])
              panel "the path of the whole law, p(x)" (over law.Value)
              panel
                  $"the field that carries the one, t = {middle}"
                  [ shade Tone.Noise (density conditional middle)
                    arrows Tone.Model 15 (velocity conditional middle)
                    z ]
              panel
                  $"the field that carries the other, t = {middle}"
                  [ shade Tone.Noise (density law.Value middle); arrows Tone.Model 15 (velocity law.Value middle) ] ]
          Legend = legend }

    /// States at each time of a sampler, from the noisy end: (t, [n; 2]).
    let private states (sampler: Sampler) (m: Mixture) (n: int) (seed: int64) : (float * Tensor) list =
        let model = Mixture.model path Prediction.velocity m
        let plan = Sampling.plan sampler 120 model
        let rng = Rng.ofSeed seed
        let start = Sampling.start plan path [ 2 ] n rng

        [ for state in Sampling.states plan model None (Noise.fresh rng) start do
              match state with
              | Ok s -> s.Time, s.X
              | Error failure -> raise (UserError(failure.ToString())) ]

    let private nearest (t: float) (states: (float * Tensor) list) = states |> List.minBy (fun (s, _) -> abs (s - t))

    /// What some samples went through, one line each.
    let private lines (states: (float * Tensor) list) : (float * float)[][] =
        states |> List.map (snd >> pairs) |> Array.ofList |> Array.transpose

    /// Truth, samples, trajectories: of a flow or a diffusion, for one data point and for the whole law.
    let private truthSamplesTrajectories (sampler: Sampler) : Schematic =
        let row name (m: Mixture) =
            let many, few = states sampler m 500 1L, states sampler m 24 2L

            [ panel $"{name}: its law" [ for k, t in List.indexed shown -> contours (toneAt k) (density m t) ]
              panel "samples" [ for k, t in List.indexed shown -> Mark.Dots(toneAt k, pairs (snd (nearest t many))) ]
              panel
                  "trajectories"
                  [ Mark.Curves(Tone.Noise, Stroke.Faint, lines few)
                    Mark.Dots(toneAt 0, pairs (snd (List.head few)))
                    Mark.Dots(toneAt 3, pairs (snd (List.last few))) ] ]

        { Columns = 3
          Panels = row "one point" (onePoint point) @ row "the whole law" law.Value
          Legend = legend }

    let flows () : Schematic = truthSamplesTrajectories Samplers.euler
    let diffusions () : Schematic = truthSamplesTrajectories Samplers.eulerMaruyama

    /// Where the flow takes points between two times.
    let private carried (from: float) (onto: float) (x: Tensor) : Tensor =
        if from = onto then
            x
        else
            let step = Integrator.rungeKutta Tableau.rk4 { Velocity = Mixture.velocity path law.Value }
            let times = [| for k in 0..40 -> from + (onto - from) * float k / 40.0 |]

            match Integrator.run step (Noise.fresh (Rng.ofSeed 0L)) times x with
            | Ok state -> state.X
            | Error failure -> raise (UserError(failure.ToString()))

    /// A square grid of noise, carried to the data with the field and the density of each time.
    let carriedGrid () : Schematic =
        let side, fineness, half = 13, 61, 2.4
        let at k n = -half + 2.0 * half * float k / float (n - 1)

        let threads =
            [| for k in 0 .. side - 1 do
                   [| for j in 0 .. fineness - 1 -> at k side, at j fineness |]
                   [| for j in 0 .. fineness - 1 -> at j fineness, at k side |] |]

        let knots =
            Tensor.ofArray
                [ threads.Length * fineness; 2 ]
                [| for x, y in Array.concat threads do
                       x
                       y |]

        { Columns = 2
          Panels =
            [ for t in [ 1.0; 0.6; 0.3; 0.0 ] ->
                  let there =
                      Scope.run (fun () -> Tensor.clone (carried 1.0 t knots)) |> pairs |> Array.chunkBySize fineness
                  let values = density law.Value t

                  panel
                      $"t = {t}"
                      [ contours Tone.Data values
                        Mark.Curves(Tone.Noise, Stroke.Faint, there)
                        arrows Tone.Model 12 (velocity law.Value t) ] ]
          Legend = [ Tone.Noise, "the grid of t = 1"; Tone.Model, "the field"; Tone.Data, "lines of equal density" ] }

    /// A flow, a diffusion and a process of jumps with the same marginals, on the line. The jumps have the exact rates: at x a datum x₀ is drawn from p(x₀ | x), and the
    /// rate and the landing are those given x₀, whose means are the law's.
    let flowDiffusionJump () : Schematic =
        let means, stds = Tensor.ofArray [ 2; 1 ] [| -1.5; 1.0 |], Tensor.ofArray [ 2; 1 ] [| 0.25; 0.4 |]
        let m = Mixture.ofStds [| 0.4; 0.6 |] means stds
        let steps, n = 240, 10
        let times = [| for k in 0..steps -> 0.98 - 0.96 * float k / float steps |]
        let key = Rng.ofSeed 21L
        let window: Window = { Left = 0.0f; Right = 1.0f; Bottom = -3.0f; Top = 3.0f }

        let start =
            Path.sample
                path
                (time times[0])
                (Mixture.sample n (Rng.named "data" key) m)
                (Rng.normal Kind.Float64 [ n; 1 ] (Rng.named "start" key))

        let ground =
            let rows = Tensor.linspace Kind.Float64 -3.0 3.0 fine |> Tensor.reshape [ fine; 1 ]

            let column k =
                let t = Math.Clamp(1.0 - float k / float (fine - 1), 0.02, 0.98)
                floats (exp (Mixture.logDensity path m (time t) rows))

            let columns = [| for k in 0 .. fine - 1 -> Scope.run (fun () -> column k) |]
            Mark.Shade(
                Tone.Data,
                fine,
                [| for row in 0 .. fine - 1 do
                       for k in 0 .. fine - 1 -> columns[k][row] |]
            )

        let walked (step: Step) =
            [| for state in Integrator.states step (Noise.fresh (Rng.named "noise" key)) times start do
                   match state with
                   | Ok s -> floats s.X
                   | Error failure -> raise (UserError(failure.ToString())) |]

        let velocity, score = Mixture.velocity path m, Mixture.score path m

        let jumped k (x: Tensor) : Tensor =
            let t = times[k]
            let struct (alpha, sigma) = Path.alphaSigma path t
            let uniform = Rng.uniform Kind.Float64 [ n; 3 ] (Rng.at (int64 k) (Rng.named "jumps" key))
            let column j = Tensor.narrow 1 j 1 uniform
            let isSecond = Tensor.less (Tensor.narrow 1 0 1 (Mixture.responsibilities path m (time t) x)) (column 0)
            let pick (values: Tensor) = Tensor.where isSecond (values[1] + 0.0 * x) (values[0] + 0.0 * x)
            let mean, variance = pick means, Tensor.square (pick stds)
            let total = alpha * alpha * variance + sigma * sigma
            let z = Rng.normal Kind.Float64 [ n; 1 ] (Rng.at (int64 k) (Rng.named "posterior" key))

            let x0 = mean + alpha * variance / total * (x - alpha * mean) + sigma * sqrt (variance / total) * z

            let rate = GeneratorMatching.intensity path (time t) x0 x
            let jumps = Tensor.less (column 1) (1.0 - exp (-(t - times[k + 1]) * rate))
            // The law of landing over ten deviations, by its distribution function.
            let u = Tensor.linspace Kind.Float64 -5.0 5.0 801 |> Tensor.reshape [ 1; 801 ]
            let share = Tensor.cumsum 1 (GeneratorMatching.landing path (time t) x0 (alpha * x0 + sigma * u))
            let below = (Tensor.less share (column 2 * Tensor.narrow 1 800 1 share)).To Dtype.Float64
            let landed = alpha * x0 + sigma * (Tensor.sumKeep [ 1 ] below / 80.0 - 5.0)
            Tensor.where jumps landed x

        let jumps =
            (start, [ 0 .. steps - 1 ])
            ||> List.scan (fun x k -> Scope.run (fun () -> jumped k x))
            |> List.map floats
            |> Array.ofList

        // Where a sample jumps its line is interrupted.
        let lines (isBroken: bool) (states: float[][]) =
            [| for i in 0 .. n - 1 ->
                   [| for k in 0..steps do
                          if isBroken && k > 0 && abs (states[k][i] - states[k - 1][i]) > 1e-12 then
                              1.0 - times[k], nan

                          1.0 - times[k], states[k][i] |] |]

        let drawn title isBroken states : SchematicPanel =
            { Title = title
              XLabel = "1 − t"
              YLabel = "x"
              Window = window
              EqualAxes = false
              Marks = [ ground; Mark.Curves(Tone.Model, Stroke.Solid, lines isBroken states) ] }

        { Columns = 3
          Panels =
            [ drawn "a flow" false (walked (Integrator.rungeKutta Tableau.rk4 { Velocity = velocity }))
              drawn "a diffusion" false (walked (Integrator.eulerMaruyama (Sde.withChurn 1.0 path velocity score)))
              drawn "jumps" true jumps ]
          Legend = [ Tone.Data, "the density of x at t"; Tone.Model, "samples, from noise to data" ] }

    /// The velocities of the pairs that pass a point, and their mean, which is the field.
    let velocitiesAtAPoint () : Schematic =
        let t = 0.6
        let struct (alpha, sigma) = Path.alphaSigma path t
        let gain = 0.45

        let arrow (x, y) (dx, dy) = struct (x, y, -gain * dx, -gain * dy)

        let at k (x: float, y: float) =
            let here = Tensor.ofArray [ 1; 2 ] [| x; y |]
            let posterior =
                (Conditioning.observed (alpha * Tensor.eye Kind.Float64 2) sigma (Tensor.flatten here) law.Value).Law
            let x0 = Mixture.sample 40 (Rng.ofSeed (int64 k)) posterior
            let u = Interpolant.velocityGivenData Interpolant.linear (time t) (here + 0.0 * x0) x0
            let mean = Mixture.velocity path law.Value (time t) here
            [| for v in pairs u -> arrow (x, y) v |], arrow (x, y) (Array.head (pairs mean))

        let some = [ 0.35, 0.55; -1.1, -0.4; 0.2, -1.2 ] |> List.mapi at
        let ground = shade Tone.Noise (density law.Value t)
        let all = some |> List.map fst |> Array.concat
        let means = some |> List.map snd |> Array.ofList

        { Columns = 2
          Panels =
            [ panel
                  $"of single data points, t = {t}"
                  [ ground; Mark.Arrows(Tone.Data, all); Mark.Arrows(Tone.Model, means) ]
              panel
                  "of the whole law"
                  [ ground; arrows Tone.Noise 15 (velocity law.Value t); Mark.Arrows(Tone.Model, means) ] ]
          Legend = [ Tone.Data, "velocities given x₀, drawn from p(x₀ | x_t)"; Tone.Model, "their mean" ] }

    /// A density, draws of it, and its score.
    let densitySamplesScore () : Schematic =
        let values = onGrid (Mixture.logDensityOfData law.Value >> exp)

        { Columns = 3
          Panels =
            [ panel "the density p" [ shade Tone.Data values ]
              panel "samples" [ Mark.Dots(Tone.Data, pairs (Mixture.sample 600 (Rng.ofSeed 3L) law.Value)) ]
              panel
                  "the score ∇ log p"
                  [ contours Tone.Data values; arrows Tone.Model 17 (Mixture.scoreOfData law.Value) ] ]
          Legend = [] }

    /// Following the score alone, and with noise: the one collapses onto the modes, the other has the law.
    let withAndWithoutNoise () : Schematic =
        let h, steps = 0.01, 400
        let start = Rng.normal Kind.Float64 [ 300; 2 ] (Rng.ofSeed 5L)
        let score = Mixture.scoreOfData law.Value
        let times = [| for k in 0..steps -> h * float k |]

        let walk (step: Step) =
            [ for state in Integrator.states step (Noise.fresh (Rng.ofSeed 6L)) times start do
                  match state with
                  | Ok s -> s.Time, s.X
                  | Error failure -> raise (UserError(failure.ToString())) ]

        let still = walk (Integrator.rungeKutta Tableau.euler { Velocity = fun _ x -> score x })
        let noisy = walk (Langevin.unadjusted score)
        let values = onGrid (Mixture.logDensityOfData law.Value >> exp)

        let drawn title states =
            panel
                title
                [ contours Tone.Data values
                  Mark.Curves(Tone.Noise, Stroke.Faint, Array.truncate 12 (lines states))
                  Mark.Dots(Tone.Model, pairs (snd (List.last states))) ]

        { Columns = 2
          Panels = [ drawn "following the score" still; drawn "following the score with noise" noisy ]
          Legend = [ Tone.Model, $"300 points after {steps} steps of {h}"; Tone.Data, "the law" ] }

    /// Picard's iteration of Euler's method from one point, and how far a window of steps has come after each round.
    let parallelInTime () : Schematic =
        let steps, size = 100, 25
        let model = Mixture.model path Prediction.velocity law.Value
        let plan = Sampling.plan Samplers.euler steps model
        let times = Sampling.times plan path
        // The first begins where the five bumps pull against one another, so that its way is long.
        let start = Tensor.ofArray [ 6; 2 ] [| -0.9; 0.5; 1.2; 0.4; -0.6; -1.4; 0.3; 1.6; 1.5; -1.1; 0.1; -0.3 |]

        // xⁱ ← x⁰ + Σ_{j<i} (Φⱼ(xʲ) − xʲ), all steps at once, for the first sample.
        let moves (x: Tensor) =
            let t = Tensor.ofArray [ steps ] times[.. steps - 1]
            let h = Tensor.ofArray [ steps; 1 ] [| for k in 0 .. steps - 1 -> times[k + 1] - times[k] |]
            h * Mixture.velocity path law.Value t (Tensor.narrow 0 0 steps x)

        let origin = Tensor.narrow 0 0 1 start
        let next (x: Tensor) = Tensor.cat 0 [ origin; origin + Tensor.cumsum 0 (moves x) ]
        let rounds = Seq.initInfinite id |> Seq.scan (fun x _ -> next x) (Tensor.repeatInterleave (steps + 1) 0 origin)
        let kept = [ 1; 2; 4; 8; 16; steps ]
        let iterates = rounds |> Seq.take (steps + 1) |> Array.ofSeq

        let settled =
            match
                Picard.run { Window = size; Tolerance = 0.1 } plan model None (Noise.fresh (Rng.ofSeed 12L)) start
            with
            | Ok found -> found.Settled |> List.map (Array.map float) |> Array.ofList
            | Error failure -> raise (UserError(failure.ToString()))

        let first sample =
            Array.append
                [| 0.0, 0.0 |]
                [| for k, all in Array.indexed settled -> float (k + 1), Array.item sample all |]
        let calls = float settled.Length

        { Columns = 2
          Panels =
            [ { Title = "the first coordinate, round by round"
                XLabel = "step"
                YLabel = "x₁"
                Window = { Left = 0.0f; Right = float32 steps; Bottom = -2.3f; Top = -0.6f }
                EqualAxes = false
                Marks =
                  [ for k, round in List.indexed kept do
                        let states = pairs iterates[round]
                        Mark.Curves(
                            toneAt k,
                            Stroke.Solid,
                            [| [| for step in 0..steps -> float step, fst states[step] |] |]
                        ) ] }
              { Title = $"where windows of {size} steps stand"
                XLabel = "round"
                YLabel = "step"
                Window = { Left = 0.0f; Right = float32 (1.05 * calls); Bottom = 0.0f; Top = float32 (steps + size) }
                EqualAxes = false
                Marks =
                  [ for sample in 0..5 do
                        Mark.Curves(Tone.Data, Stroke.Solid, [| first sample |])
                        Mark.Curves(
                            Tone.Noise,
                            Stroke.Faint,
                            [| [| for k, s in first sample -> k, min (float steps) (s + float size) |] |]
                        )
                    Mark.Curves(Tone.Model, Stroke.Dashed, [| [| 0.0, float steps; 1.05 * calls, float steps |] |]) ] } ]
          Legend =
            [ for k, round in List.indexed kept do
                  toneAt k, (if round = steps then "Euler's" else $"round {round}") ] }

    /// The mixture as a law of the plane to train on.
    let plane () : PlaneLaw =
        let m = law.Value
        let covariance = Mixture.covariance m |> floats

        { Name = "five-gaussians"
          Summary = "five Gaussians of unequal weight on a circle"
          Reference = "this study"
          Draw = fun rng n -> Mixture.sample n rng m
          Mean = floats (Mixture.mean m)
          Variance = [| covariance[0]; covariance[3] |]
          LogDensity = Some(Mixture.logDensityOfData m) }

    /// How far a learned score is from the exact one, ‖s_θ − s‖ in units of 1/σ, over the density of the same time. The model works in its own units, which
    /// the mixture is carried into.
    let scoreErrors (model: GenerativeModel) : Schematic =
        let units = model.Units
        let scale = units.Scale[0]

        let inside =
            Mixture.ofCovariances
                (floats (Mixture.weights law.Value))
                (Units.toNetwork units (Mixture.means law.Value))
                (Mixture.covariances law.Value / (scale * scale))

        let learned = model.ScoreModel(Setting.Model, model.Name)
        let at = Units.toNetwork units (places window fine)

        { Columns = 3
          Panels =
            [ for t in [ 0.02; 0.2; 0.6 ] ->
                  let struct (_, sigma) = Path.alphaSigma model.Path t

                  let error, density =
                      Scope.run (fun () ->
                          let exact = Mixture.score model.Path inside (time t) at
                          let times = Tensor.full model.Kind [ fine * fine ] t
                          let said = (Model.score learned None times (at.To model.Kind)).To Dtype.Float64
                          let error = sigma * sqrt (Tensor.sumRows (Tensor.square (said - exact)))
                          struct (Tensor.clone error,
                                  Tensor.clone (exp (Mixture.logDensity model.Path inside (time t) at))))
                      |> fun (struct (e, d)) -> floats e, floats d

                  panel
                      $"t = {t}, σ = {sigma:F2}"
                      [ shade Tone.Model (Array.map (min 2.0) error); contours Tone.Data density ] ]
          Legend = [ Tone.Model, "σ ‖s_θ − s‖, white is 0"; Tone.Data, "lines of equal density" ] }
