namespace Fokker.Experiments

open System
open Fokker
open Fokker.Tool
open Fokker.Pictures
open Fokker.Report

/// Langevin dynamics on a law of two separated modes, plain and annealed: Song, Ermon 2019, Generative modeling by estimating gradients of the data
/// distribution, section 3.2.2 and figure 3. The score is exact, so that what goes wrong is the dynamics.
module LangevinStudy =

    /// The paper's law: 1/5 N((−5, −5), I) + 4/5 N((5, 5), I).
    let private law () =
        Mixture.ofStds
            [| 0.2; 0.8 |]
            (Tensor.ofArray [ 2; 2 ] [| -5.0; -5.0; 5.0; 5.0 |])
            (Tensor.ones Kind.Float64 [ 2; 2 ])

    /// Uniform on the square [−8, 8]².
    let private start (n: int) (rng: Rng) = 16.0 * Rng.uniform Kind.Float64 [ n; 2 ] rng - 8.0

    /// The share of samples at the small mode; the law's own is 0.2.
    let private share (x: Tensor) : float =
        (Tensor.mean ((Tensor.lessThan 0.0 (Tensor.sumRows x)).To Dtype.Float64)).ToFloat()

    /// What happens to a cloud: `seen` hears of evaluations made for each sample, and of the states.
    type private Way = { Name: string; Evaluations: int; Run: Noise -> (int -> Tensor -> unit) -> Tensor -> Tensor }

    let private watched (step: Step) (times: float[]) noise (seen: int -> Tensor -> unit) (x: Tensor) : Tensor =
        let mutable last = x

        for result in Integrator.states step noise times x do
            match result with
            | Error failure -> raise (UserError $"the chain failed at {failure}")
            | Ok state ->
                seen state.Evaluations state.X

                if not (obj.ReferenceEquals(last, x)) then
                    last.Dispose()

                last <- state.X

        last

    let private plain (m: Mixture) (h: float) (steps: int) : Way =
        { Name = $"Langevin, h = {h}, {steps:N0} steps"
          Evaluations = steps
          Run = watched (Langevin.unadjusted (Mixture.scoreOfData m)) (Array.init (steps + 1) (fun k -> h * float k)) }

    let private adjusted (m: Mixture) (h: float) (steps: int) : Way =
        let target x = struct (Mixture.logDensityOfData m x, Mixture.scoreOfData m x)

        { Name = $"Metropolis-adjusted, h = {h}, {steps:N0} steps"
          Evaluations = steps
          Run =
            fun noise seen x ->
                let move (chain: Chain) =
                    let struct (next, _) = Langevin.adjusted target h noise chain
                    next

                let mutable chain = Langevin.init target (Tensor.clone x)

                for k in 1..steps do
                    chain <- Scope.next move chain
                    seen k chain.X

                chain.X }

    /// L levels of σ in geometric progression, T steps at each, r = ε/σ_L².
    let private annealed
        (m: Mixture)
        (levels: int)
        (first: float)
        (last: float)
        (epsilon: float)
        (perLevel: int)
        : Way =
        let path = Paths.veBetween (0.5 * last) (2.0 * first)
        let level k = first * (last / first) ** (float k / float (levels - 1))
        let times = Array.init levels (fun k -> Path.timeOfLambda path (-(Math.Log(level k))))
        let readings = Readings.ofModel levels None (Mixture.model path Prediction.score m)

        { Name = $"annealed, {levels} levels of σ from {first} to {last}, {perLevel} steps each"
          Evaluations = levels * perLevel
          // The first level has no other before it.
          Run = watched (Langevin.annealed (epsilon / (last * last)) perLevel readings) (Array.append times[..0] times) }

    let private h = 0.05

    let private ways (m: Mixture) : Way list =
        [ plain m h 1000
          plain m h 10_000
          adjusted m 0.5 1000
          annealed m 10 20.0 1.0 0.1 100
          annealed m 10 20.0 0.01 (0.2 * 0.01 * 0.01) 100
          annealed m 100 20.0 0.01 (0.2 * 0.01 * 0.01) 10
          annealed m 100 20.0 0.01 (0.2 * 0.01 * 0.01) 100 ]

    [<NoComparison; NoEquality>]
    type private Outcome =
        {
            Way: Way
            Samples: Tensor
            Share: float
            Distance: Estimate
            /// Evaluations and the share of the small mode, as it went.
            Course: (int * float) list
        }

    let private standardCount, draws, size = 5000, 5, 1000

    let private outcome (m: Mixture) (n: int) (rng: Rng) (way: Way) : Outcome =
        let course = Collections.Generic.List<int * float>()
        let every = max 1 (way.Evaluations / 100)

        let seen evaluations (x: Tensor) =
            if evaluations % every = 0 then
                course.Add(evaluations, Scope.run (fun () -> share x))

        let x =
            Scope.run (fun () -> way.Run (Noise.fresh (Rng.named "chain" rng)) seen (start n (Rng.named "start" rng)))

        let set (rng: Rng) = Tensor.indexSelect 0 (Tensor.narrow 0 0 (min n size) (Rng.permutation n rng)) x

        { Way = way
          Samples = x
          Share = Scope.run (fun () -> share x)
          Distance =
            Measure.over
                draws
                (Rng.named "distance" rng)
                set
                (fun rng -> Mixture.sample (min n size) rng m)
                Measures.wasserstein2
          Course = List.ofSeq course }

    let private run (terminal: Terminal) (options: StudyOptions) : Findings =
        let n = defaultArg options.Count standardCount
        let m = law ()
        let rng = Rng.ofSeed 0L
        let ways = ways m

        let outcomes =
            Progress.run terminal "langevin" 1.0 (fun report ->
                [ for k, way in List.indexed ways do
                      report (float k / float ways.Length) way.Name
                      outcome m n rng way ])

        let floor =
            Measure.floor
                draws
                (Rng.named "floor" rng)
                (fun rng -> Mixture.sample (min n size) rng m)
                Measures.wasserstein2
        let begun = Scope.run (fun () -> share (start n (Rng.named "start" rng)))
        let estimate (e: Estimate) = Study.plusMinus (e.Mean, e.StandardError)
        let number (v: float) = v.ToString("F3", Globalization.CultureInfo.InvariantCulture)
        let error = sqrt (0.2 * 0.8 / float n)

        let cloud tone label (x: Tensor) : Cloud =
            { Label = label
              Tone = tone
              Points = Scope.run (fun () -> Tensor.toArray<float32>((x[.. min n 1500 - 1]).To Dtype.Float32))
              Classes = [||] }

        let data = Mixture.sample n (Rng.named "data" rng) m

        { DataSet = "1/5 N((−5, −5), I) + 4/5 N((5, 5), I)"
          Summary =
            $"{n:N0} chains that start evenly on [−8, 8]², with the exact score. Between the modes the score says nothing of their weights: a chain stays at the mode that it fell into, and {number outcomes.Head.Share} of them are at the one that should have 0.2. Where noise joins the modes the weights are found, and kept while the noise is taken away."
          Headlines =
            [ { Label = "Small mode"
                Value = number (List.last outcomes).Share
                Note = $"annealed; {number outcomes.Head.Share} without, 0.2 by law" } ]
          Sections =
            [ Study.table
                  "Weights and distances"
                  $"Share of samples at the small mode, 0.2 by law (standard error {error:F4}); the start has {number begun} on its side. Wasserstein distance of {draws} pairs of sets of {min n size}; two sets of the law are {estimate floor} apart. What ends at σ = 1 samples the law with that noise still on it."
                  [ ""; "evaluations"; "small mode"; "2-Wasserstein" ]
                  [ for o in outcomes ->
                        [ Cell.Text o.Way.Name
                          Cell.Text(o.Way.Evaluations.ToString("N0", Globalization.CultureInfo.InvariantCulture))
                          Cell.Text(number o.Share)
                          Cell.Text(estimate o.Distance) ] ]
              { Title = "The small mode's share as it goes"
                Note =
                  "Some 25 nats lie between the modes: a plain chain does not cross them in a time that one could wait for. The annealed ones cross at the first levels."
                Bodies =
                  [ Body.Lines
                        { XLabel = "evaluations for each sample"
                          YLabel = "share of the small mode"
                          LogX = true
                          LogY = false
                          Lines =
                            [ for k, o in List.indexed outcomes ->
                                  { Label = o.Way.Name
                                    Tone = Tone.Series k
                                    Stroke = Stroke.Solid
                                    X = [| for e, _ in o.Course -> float e |]
                                    Y = [| for _, s in o.Course -> s |] } ] } ] }
              { Title = "Samples"
                Note = "The first 1,500 of each."
                Bodies =
                  [ for chunk in
                        List.chunkBySize
                            3
                            ({ Title = "the law"; Clouds = [ cloud Tone.Data "data" data ] }
                             :: [ for o in outcomes ->
                                      { Title = o.Way.Name; Clouds = [ cloud Tone.Model "samples" o.Samples ] } ]) ->
                        Body.Scatter { Panels = chunk; XLabel = "x₁"; YLabel = "x₂" } ] } ]
          Json =
            [ "samples", Json.whole (int64 n)
              "startShare", Json.number begun
              "floor", Json.number floor.Mean
              "ways",
              Json.array
                  [ for o in outcomes ->
                        Json.node (
                            Json.object
                                [ "name", Json.text o.Way.Name
                                  "evaluations", Json.whole (int64 o.Way.Evaluations)
                                  "share", Json.number o.Share
                                  "wasserstein2", Json.number o.Distance.Mean
                                  "wasserstein2StandardError", Json.number o.Distance.StandardError ]
                        ) ] ] }

    let study: Study =
        { Name = "langevin"
          Summary = "plain and annealed Langevin dynamics on separated modes"
          Reference =
            "Song, Ermon 2019, Generative modeling by estimating gradients of the data distribution, section 3.2.2"
          Uses = [ "--count", "chains of each kind (5,000)" ]
          IsShared = false
          Run = run }
