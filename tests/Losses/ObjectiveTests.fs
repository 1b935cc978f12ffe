module Fokker.Tests.ObjectiveTests

open System
open NUnit.Framework
open FsCheck.FSharp
open Fokker
open Fokker.Tool

/// Other tests count what is alive: what these leave behind goes at their end, not when the collector finds time.
[<OneTimeTearDown>]
let ``leave nothing behind`` () =
    System.GC.Collect()
    System.GC.WaitForPendingFinalizers()

let private key = Rng.ofSeed 5L

let private mixture =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.5; 0.8; -0.6 |])
        (Tensor.ofArray [ 2; 2 ] [| 0.4; 0.7; 0.5; 0.3 |])

let private batch n : Batch = { Data = Mixture.sample n (Rng.named "data" key) mixture; Label = None; Source = None }

let private mean (loss: Loss) context n = (Tensor.mean (loss context key (batch n))).ToFloat()

/// The bound's loss is N times a random term: its mean over many draws is the sum of the terms by `Variational.term`, and L₀.
[<Test>]
let ``the loss of the variational bound estimates the sum of its terms`` () =
    let path, steps, n = Path.vpBetween 0.1 5.0, 8, 40_000
    let network: Field = fun t x -> 0.9 * Mixture.noise path mixture t x
    let context = LossContext.ofNetwork (fun _ -> network)
    let denoiser = Model.denoiser (Model.make path Prediction.noise (fun _ -> network)) None
    let x0, noise = (batch n).Data, Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "other" key)

    for name, variance, single in
        [ "large", StepVariance.Forward, Variational.large; "small", StepVariance.Posterior, Variational.small ] do
        let time k = float k / float steps

        let later =
            [ for k in 2..steps ->
                  (Tensor.mean (Variational.term single path (time (k - 1)) (time k) denoiser x0 noise)).ToFloat() ]
            |> List.sum

        let variance0 =
            match variance with
            | StepVariance.Posterior -> (Variational.posterior path (time 1) (time 2)).Variance
            | _ -> (Variational.posterior path 0.0 (time 1)).Forward

        let first = (Tensor.mean (Variational.reconstruction path (time 1) variance0 denoiser x0 noise)).ToFloat()
        let draws = Variational.bound steps variance Prediction.noise path context key (batch n)
        let estimate = (Tensor.mean draws).ToFloat()
        let error = sqrt ((Tensor.mean (Tensor.square (draws - estimate))).ToFloat() / float n)
        // In nats a coordinate. Two estimates, each with an error of about this size.
        Assert.That(estimate, Is.EqualTo((later + first) / 2.0).Within(6.0 * error), name)

/// With u = 1 everywhere the learned variance is the forward one, with u = 0 the posterior's.
[<Test>]
let ``a learned variance reaches both fixed ones`` () =
    let path = Path.vpBetween 0.1 5.0
    let noise: Field = Mixture.noise path mixture
    let with' (second: float) : Condition -> Field =
        fun _ t x -> Tensor.cat 1 [ noise t x; Tensor.full x.Kind x.Shape second ]

    for second, fixed' in [ 1.0, StepVariance.Forward; -1.0, StepVariance.Posterior ] do
        let learned =
            mean
                (Variational.bound 20 StepVariance.Learned Prediction.noise path)
                (LossContext.ofNetwork (with' second))
                500

        let plain =
            mean (Variational.bound 20 fixed' Prediction.noise path) (LossContext.ofNetwork (fun _ -> noise)) 500
        Assert.That(learned, Is.EqualTo(plain).Within(1e-12 * abs plain))

/// A regression whose minimizer is known has a smaller loss there than anywhere near it.
[<Test>]
let ``every trainable loss is least at the exact network`` () =
    let n = 20_000
    let path = Path.vpBetween 0.1 5.0
    let m = Matching.on path

    let losses =
        [ "matching", Matching.loss m, Mixture.velocity path mixture
          "implicit",
          ScoreMatching.implicitly Trace.exact Weight.variance Times.uniform path,
          Mixture.score path mixture
          "bound", Variational.bound 50 StepVariance.Forward Prediction.noise path, Mixture.noise path mixture ]

    for name, loss, exact in losses do
        let at (gain: float) (shift: float) =
            mean loss (LossContext.ofNetwork (fun _ t x -> gain * exact t x + shift)) n

        let least = at 1.0 0.0

        for gain, shift in [ 0.8, 0.0; 1.2, 0.0; 1.0, 0.15; 1.0, -0.15 ] do
            Assert.That(at gain shift, Is.GreaterThan least, $"{name}: {gain}, {shift}")

/// w/e^u + u is least where e^u is the weighted error: learned uncertainty makes every time's error one.
[<Test>]
let ``a learned weight is least at the logarithm of the error`` () =
    let r = Loss.cfm Path.condOT |> Loss.weighted Weight.learned
    let network: Condition -> Field = fun _ -> Mixture.velocity Path.condOT mixture
    let loss = Loss.ofRegression r
    let plain = mean (Loss.ofRegression (Loss.cfm Path.condOT)) (LossContext.ofNetwork network) 5000

    let at (u: float) =
        let context = { LossContext.ofNetwork network with Uncertainty = Some(fun t -> Tensor.full t.Kind t.Shape u) }

        mean loss context 5000

    Assert.That(at (log plain), Is.EqualTo(1.0 + log plain).Within 1e-9)
    Assert.That(at (log plain + 0.1), Is.GreaterThan(at (log plain)))
    Assert.That(at (log plain - 0.1), Is.GreaterThan(at (log plain)))
    Assert.Throws<ArgumentException>(System.Action(fun () -> mean loss (LossContext.ofNetwork network) 10 |> ignore))
    |> ignore

[<Test>]
let ``the schedules of consistency training are those of the papers`` () =
    // Song et al. 2023, appendix C: from s₀ to s₁; Song and Dhariwal 2024, section 3.4: 10, 20, …, 1280 in eight equal stages.
    let growing = Consistency.growing 2 150 1000L
    Assert.That([ growing 0L; growing 1000L ], Is.EqualTo<int list> [ 2; 151 ])
    let doubling = Consistency.doubling 10 1280 800L
    Assert.That(
        [ for k in 0L .. 7L -> doubling (100L * k) ],
        Is.EqualTo<int list> [ 11; 21; 41; 81; 161; 321; 641; 1281 ]
    )
    Assert.That(doubling 99L, Is.EqualTo 11)
    Assert.That(Consistency.decay 2 0.9 growing 0L, Is.EqualTo(exp (2.0 * log 0.9 / 2.0)).Within 1e-15)

/// The frequency of an interval is the log-normal's own mass in it, however long the interval: one of two standard deviations
/// around the median holds 0.6827, and intervals add up.
[<Test>]
let ``noise levels of improved consistency training follow the log-normal law`` () =
    let mean, std = -1.1, 2.0
    let at z = exp (mean + std * z)
    let mass = Consistency.logNormal mean std
    Assert.That(mass (at -1.0) (at 1.0), Is.EqualTo(0.682689492137086).Within 1e-12)
    Assert.That(mass 0.002 0.3 + mass 0.3 80.0, Is.EqualTo(mass 0.002 80.0).Within 1e-14)

/// Distillation of a Gaussian teacher by an exact solver leaves the exact consistency function with no loss, and any other with some.
[<Test>]
let ``the distillation objective knows the exact function`` () =
    let path = Path.vp
    let one =
        Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 2 ] [| 0.0; 0.0 |]) (Tensor.ofArray [ 1; 2 ] [| 1.0; 1.0 |])
    let teacher = Mixture.model path Prediction.velocity one
    // For N(0, I) under a variance-preserving path nothing moves: f(t, x) = x.
    let c = { Consistency.original 10L path with Boundary = Penalized; Count = fun _ -> 12 }
    let objective = Consistency.distillation Tableau.heun teacher c
    let value gain = mean objective.Loss (LossContext.ofNetwork (fun _ _ x -> gain * x)) 200
    let struct (alpha, _) = Path.alphaSigma path (fst path.Interior)
    Assert.That(value 1.0, Is.LessThan(1e-6 + (1.0 / alpha - 1.0) ** 2.0 * 4.0))
    Assert.That(value 0.5, Is.GreaterThan 0.1)

/// Batches made ahead are the batches made in time, in any order of asking.
[<Test>]
let ``prefetched batches are the same bytes`` () =
    let make step : Batch =
        { Data = Rng.normal Kind.Float32 [ 4; 2 ] (Rng.at step key)
          Label = Some(Rng.integers 3L [ 4 ] (Rng.at step key))
          Source = None }

    use prefetch = new Prefetch(make)

    for step in [ 0L; 1L; 2L; 7L; 8L; 3L ] do
        Scope.run0 (fun () ->
            let ahead, now = prefetch.Get step, make step
            Assert.That(Tensor.toArray<float32> ahead.Data, Is.EqualTo<float32[]>(Tensor.toArray<float32> now.Data))
            Assert.That(
                Tensor.toArray<int64> ahead.Label.Value,
                Is.EqualTo<int64[]>(Tensor.toArray<int64> now.Label.Value)
            ))

[<Test>]
let ``a failure of a prefetched batch reaches whoever asks for it`` () =
    use prefetch = new Prefetch(fun _ -> raise (UserError "no data"))
    Assert.Throws<UserError>(System.Action(fun () -> prefetch.Get 0L |> ignore)) |> ignore

/// Of simulated Ornstein–Uhlenbeck paths implicit score matching is least at the process's own score.
[<Test>]
let ``score matching on simulated paths finds the process's score`` () =
    let sde = Sde.ofPath (Path.ouTo 1.0)
    let loss = ScoreMatching.simulated Trace.exact 50 sde
    let exact = Mixture.score (Path.ouTo 1.0) mixture
    let at (gain: float) = mean loss (LossContext.ofNetwork (fun _ t x -> gain * exact t x)) 20_000
    Assert.That(at 1.0, Is.LessThan(at 0.8))
    Assert.That(at 1.0, Is.LessThan(at 1.2))

let names = Objectives.all |> List.map (fun l -> TestCaseData(l.Name).SetName("objective: " + l.Name))

/// Every loss of the catalogue is made of the parts that it names, and its value and gradient are finite on a fresh network.
[<TestCaseSource(nameof names)>]
let ``a loss of the catalogue can be trained`` (name: string) =
    let entry = Objectives.all |> List.find (fun l -> l.Name = name)
    let used setting (list: PartList<'T>) (other: string) : 'T =
        entry.Uses
        |> List.tryFind (fst >> (=) setting)
        |> Option.bind snd
        |> Option.defaultValue (PartName.plain other)
        |> list.Make

    let objective =
        entry.Make
            { Path = used Setting.Path Catalogue.paths "condot"
              Prediction = used Setting.Prediction Catalogue.predictions "velocity"
              Weight = used Setting.Weight Catalogue.weights "uniform"
              Times = used Setting.Times Catalogue.times "uniform"
              Coupling = used Setting.Coupling Catalogue.couplings "independent"
              Source = None
              Teacher = Some(Mixture.model Path.condOT Prediction.velocity mixture)
              Steps = 100L
              Dimension = 2 }

    Assert.That(objective.Equation, Is.Not.Empty)
    Assert.That(objective.Source, Is.Not.Empty)

    Scope.run0 (fun () ->
        let network =
            Networks.mlp { Mlp.standard 2 with Width = 16; Times = objective.Times; Outputs = objective.Outputs }
        let state = Trainer.init Kind.Float64 key network

        let rec go k state =
            if k = 0 then
                state
            else
                match Trainer.step Trainer.standard network objective.Loss (batch 64) state with
                | Ok(next, info) ->
                    Assert.That(info.GradientNorm, Is.GreaterThan 0.0)
                    go (k - 1) next
                | Error divergence -> failwith divergence.Message

        let trained = go 3 state
        let learned = objective.Dynamics(network.Apply trained.Parameters)
        let plan = { Generation.plan Samplers.heun 3 learned with Kind = Kind.Float64 }
        let start = Sampling.start plan objective.Path [ 2 ] 8 key

        match Generation.states plan objective.Path learned None (Noise.fresh key) start |> Seq.last with
        | Ok state -> Assert.That(state.X.Shape, Is.EqualTo<int[]> [| 8; 2 |])
        | Error failure -> failwith (string failure))

[<Test>]
let ``a thread's own number of threads is no other's`` () =
    let before = Torch.threads ()
    let mutable own, later = 0, 0

    let inThread (work: unit -> unit) =
        let thread = System.Threading.Thread work
        thread.Start()
        thread.Join()

    inThread (fun () ->
        Torch.setOwnThreads 1
        own <- Torch.threads ())

    inThread (fun () -> later <- Torch.threads ())
    Assert.That(own, Is.EqualTo 1)
    Assert.That(later, Is.EqualTo before)
    Assert.That(Torch.threads (), Is.EqualTo before)
