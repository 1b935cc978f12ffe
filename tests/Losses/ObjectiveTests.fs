module Fokker.Tests.ObjectiveTests

open System
open Expecto
open FsCheck.FSharp
open Fokker
open Fokker.Tests
open Fokker.Tool

let private key = Rng.ofSeed 5L

let private mixture =
    Mixture.ofStds
        [| 0.4; 0.6 |]
        (Tensor.ofArray [ 2; 2 ] [| -1.0; 0.5; 0.8; -0.6 |])
        (Tensor.ofArray [ 2; 2 ] [| 0.4; 0.7; 0.5; 0.3 |])

let private batch n : Batch = { Data = Mixture.sample n (Rng.named "data" key) mixture; Label = None; Source = None }

let private mean (loss: Loss) context n = (Tensor.mean (loss context key (batch n))).ToFloat()

let names = Objectives.all |> List.map (fun l -> l.Name)

[<Tests>]
let tests =
    testList
        "Objective"
        [
          // The bound's loss is N times a random term: its mean over many draws is the sum of the terms by `Variational.term`, and L₀.
          testCase "the loss of the variational bound estimates the sum of its terms"
          <| fun () ->
              let path, steps, n = Path.vpBetween 0.1 5.0, 8, 40_000
              let network: Field = fun t x -> 0.9 * Mixture.noise path mixture t x
              let context = LossContext.ofNetwork (fun _ -> network)
              let denoiser = Model.denoiser (Model.make path Prediction.noise (fun _ -> network)) None
              let x0, noise = (batch n).Data, Rng.normal Kind.Float64 [ n; 2 ] (Rng.named "other" key)

              for name, variance, single in
                  [ "large", StepVariance.Forward, Variational.large
                    "small", StepVariance.Posterior, Variational.small ] do
                  let time k = float k / float steps

                  let later =
                      [ for k in 2..steps ->
                            (Tensor.mean (Variational.term single path (time (k - 1)) (time k) denoiser x0 noise))
                                .ToFloat() ]
                      |> List.sum

                  let variance0 =
                      match variance with
                      | StepVariance.Posterior -> (Variational.posterior path (time 1) (time 2)).Variance
                      | _ -> (Variational.posterior path 0.0 (time 1)).Forward

                  let first =
                      (Tensor.mean (Variational.reconstruction path (time 1) variance0 denoiser x0 noise)).ToFloat()
                  let draws = Variational.bound steps variance Prediction.noise path context key (batch n)
                  let estimate = (Tensor.mean draws).ToFloat()
                  let error = sqrt ((Tensor.mean (Tensor.square (draws - estimate))).ToFloat() / float n)
                  // In nats a coordinate. Two estimates, each with an error of about this size.
                  Expect.within (6.0 * error) estimate ((later + first) / 2.0) name

          // With u = 1 everywhere the learned variance is the forward one, with u = 0 the posterior's.
          testCase "a learned variance reaches both fixed ones"
          <| fun () ->
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
                      mean
                          (Variational.bound 20 fixed' Prediction.noise path)
                          (LossContext.ofNetwork (fun _ -> noise))
                          500
                  Expect.within (1e-12 * abs plain) learned plain ""

          // A regression whose minimizer is known has a smaller loss there than anywhere near it.
          testCase "every trainable loss is least at the exact network"
          <| fun () ->
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
                      Expect.isGreaterThan (at gain shift) least $"{name}: {gain}, {shift}"

          // w/e^u + u is least where e^u is the weighted error: learned uncertainty makes every time's error one.
          testCase "a learned weight is least at the logarithm of the error"
          <| fun () ->
              let r = Loss.cfm Path.condOT |> Loss.weighted Weight.learned
              let network: Condition -> Field = fun _ -> Mixture.velocity Path.condOT mixture
              let loss = Loss.ofRegression r
              let plain = mean (Loss.ofRegression (Loss.cfm Path.condOT)) (LossContext.ofNetwork network) 5000

              let at (u: float) =
                  let context =
                      { LossContext.ofNetwork network with Uncertainty = Some(fun t -> Tensor.full t.Kind t.Shape u) }

                  mean loss context 5000

              Expect.within 1e-9 (at (log plain)) (1.0 + log plain) ""
              Expect.isGreaterThan (at (log plain + 0.1)) (at (log plain)) ""
              Expect.isGreaterThan (at (log plain - 0.1)) (at (log plain)) ""
              raised<ArgumentException>(fun () -> mean loss (LossContext.ofNetwork network) 10 |> ignore)
              |> ignore

          testCase "the schedules of consistency training are those of the papers"
          <| fun () ->
              // Song et al. 2023, appendix C: from s₀ to s₁; Song and Dhariwal 2024, section 3.4: 10, 20, …, 1280 in eight equal stages.
              let growing = Consistency.growing 2 150 1000L
              Expect.equal [ growing 0L; growing 1000L ] [ 2; 151 ] ""
              let doubling = Consistency.doubling 10 1280 800L
              Expect.equal [ for k in 0L .. 7L -> doubling (100L * k) ] [ 11; 21; 41; 81; 161; 321; 641; 1281 ] ""
              Expect.equal (doubling 99L) 11 ""
              Expect.within 1e-15 (Consistency.decay 2 0.9 growing 0L) (exp (2.0 * log 0.9 / 2.0)) ""

          // The frequency of an interval is the log-normal's own mass in it, however long the interval: one of two standard deviations
          // around the median holds 0.6827, and intervals add up.
          testCase "noise levels of improved consistency training follow the log-normal law"
          <| fun () ->
              let mean, std = -1.1, 2.0
              let at z = exp (mean + std * z)
              let mass = Consistency.logNormal mean std
              Expect.within 1e-12 (mass (at -1.0) (at 1.0)) 0.682689492137086 ""
              Expect.within 1e-14 (mass 0.002 0.3 + mass 0.3 80.0) (mass 0.002 80.0) ""

          // Distillation of a Gaussian teacher by an exact solver leaves the exact consistency function with no loss, and any other with some.
          testCase "the distillation objective knows the exact function"
          <| fun () ->
              let path = Path.vp
              let one =
                  Mixture.ofStds
                      [| 1.0 |]
                      (Tensor.ofArray [ 1; 2 ] [| 0.0; 0.0 |])
                      (Tensor.ofArray [ 1; 2 ] [| 1.0; 1.0 |])
              let teacher = Mixture.model path Prediction.velocity one
              // For N(0, I) under a variance-preserving path nothing moves: f(t, x) = x.
              let objective =
                  MapMatching.objective
                      { MapMethods.consistencyDistillation 12 teacher with Form = MapForm.ToData Penalized }

              let value gain = mean objective.Loss (LossContext.ofNetwork (fun _ _ x -> gain * x)) 200
              let struct (alpha, _) = Path.alphaSigma path (fst path.Interior)
              Expect.isLessThan (value 1.0) (1e-6 + (1.0 / alpha - 1.0) ** 2.0 * 4.0) ""
              Expect.isGreaterThan (value 0.5) 0.1 ""

          // The exact function of one Gaussian's flow, which moves: what is left of its loss is the square of a Heun step's error, which is of third order.
          testCase "the distillation objective knows the exact function of a flow that moves"
          <| fun () ->
              let path = Path.vp
              let m, s = 0.7, 0.5
              let both (v: float) = Tensor.ofArray [ 1; 2 ] [| v; v |]
              let law = Mixture.ofStds [| 1.0 |] (both m) (both s)
              let level t = Math.Exp(-(Curve.eval path.Lambda t))
              let cleanest = level (fst path.Interior)

              // x/α ~ N(m, s² + ς²): the flow keeps (x/α − m)/√(s² + ς²).
              let exact (t: Tensor) (x: Tensor) : Tensor =
                  let per (f: float -> float) =
                      let each = Tensor.toFloats t |> Array.map f
                      (Tensor.perSample x (Tensor.ofArray [ each.Length ] each)).To x.Kind

                  let gain t = Math.Sqrt((s * s + cleanest * cleanest) / (s * s + level t * level t))
                  m + per gain * (per (fun t -> 1.0 / Curve.eval path.Alpha t) * x - m)

              let data = { Data = Mixture.sample 4000 (Rng.named "data" key) law; Label = None; Source = None }

              let value count gain =
                  let teacher = Mixture.model path Prediction.velocity law

                  let objective =
                      MapMatching.objective
                          { MapMethods.consistencyDistillation count teacher with Form = MapForm.ToData Penalized }

                  let context = LossContext.ofNetwork (fun _ t x -> gain * exact t x)
                  (Tensor.mean (objective.Loss context key data)).ToFloat()

              // Twice as many intervals: 2⁻⁶ of it.
              let ratio = value 12 1.0 / value 24 1.0
              Expect.isTrue (40.0 < ratio && ratio < 100.0) $"{ratio}"
              Expect.isGreaterThan (value 24 1.02) (100.0 * value 24 1.0) "2 % too far"
              Expect.isGreaterThan (value 24 0.98) (100.0 * value 24 1.0) "2 % too near"

          // Batches made ahead are the batches made in time, in any order of asking.
          testCase "prefetched batches are the same bytes"
          <| fun () ->
              let make step : Batch =
                  { Data = Rng.normal Kind.Float32 [ 4; 2 ] (Rng.at step key)
                    Label = Some(Rng.integers 3L [ 4 ] (Rng.at step key))
                    Source = None }

              use prefetch = new Prefetch(make)

              for step in [ 0L; 1L; 2L; 7L; 8L; 3L ] do
                  Scope.run0 (fun () ->
                      let ahead, now = prefetch.Get step, make step
                      Expect.equal (Tensor.toArray<float32> ahead.Data) (Tensor.toArray<float32> now.Data) ""
                      Expect.equal (Tensor.toArray<int64> ahead.Label.Value) (Tensor.toArray<int64> now.Label.Value) "")

          testCase "a failure of a prefetched batch reaches whoever asks for it"
          <| fun () ->
              use prefetch = new Prefetch(fun _ -> raise (UserError "no data"))
              raised<UserError>(fun () -> prefetch.Get 0L |> ignore) |> ignore

          // Of simulated Ornstein–Uhlenbeck paths implicit score matching is least at the process's own score.
          testCase "score matching on simulated paths finds the process's score"
          <| fun () ->
              let sde = Sde.ofPath (Path.ouTo 1.0)
              let loss = ScoreMatching.simulated Trace.exact 50 sde
              let exact = Mixture.score (Path.ouTo 1.0) mixture
              let at (gain: float) = mean loss (LossContext.ofNetwork (fun _ t x -> gain * exact t x)) 20_000
              Expect.isLessThan (at 1.0) (at 0.8) ""
              Expect.isLessThan (at 1.0) (at 1.2) ""

          // Every loss of the catalogue is made of the parts that it names, and its value and gradient are finite on a fresh network.
          testTheory "a loss of the catalogue can be trained" names
          <| fun (name: string) ->
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
                        SourceScore = None
                        Teacher = Some(Mixture.model Path.condOT Prediction.velocity mixture)
                        TeacherTrained = None
                        Pairs = None
                        Reward = Some(Reward.linear (Tensor.ones Kind.Float64 [ 2 ]), 0.5)
                        Steps = 100L
                        Dimension = 2
                        HasNull = false }

              Expect.isNonEmpty objective.Equation ""
              Expect.isNonEmpty objective.Reference ""

              Scope.run0 (fun () ->
                  let network =
                      Networks.mlp
                          { Mlp.standard 2 with Width = 16; Times = objective.Times; Outputs = objective.Outputs }
                      |> Objective.network objective

                  let state = Trainer.init Kind.Float64 key network

                  let rounds: Rounds option =
                      match objective.Rounds with
                      | [] -> None
                      | rounds ->
                          Some { Lengths = rounds |> List.map (fun _ -> 10L); Rate = fun _ -> Schedule.Constant 1e-3 }

                  let players: Player list =
                      [ for player in objective.Players ->
                            let own = Networks.mlp { Mlp.standard 2 with Width = 16 }

                            { Name = player.Name
                              Network =
                                (match player.Role with
                                 | Role.Critic -> EnergyNetwork.ofNetwork Head.Mean own
                                 | Role.Twin -> own)
                              Loss = player.Loss
                              Optimizer = Trainer.standard.Optimizer
                              Turns = player.Turns
                              Start = None } ]

                  let settings =
                      { Trainer.standard with Rounds = rounds; Memory = objective.Memory; Players = players }

                  // A student that is its teacher is nearly right: it is to be something else for a gradient that shows.
                  let state =
                      if rounds.IsSome then
                          Trainer.initAt
                              Kind.Float64
                              key
                              (state.Parameters
                               |> Array.map (fun p -> p + 0.1 * Rng.normalLike p (Rng.named "off" key)))
                      else
                          state

                  let rec go k state =
                      if k = 0 then
                          state
                      else
                          match Trainer.step settings network objective.Loss (batch 64) state with
                          | Ok(next, info) ->
                              Expect.isGreaterThan info.GradientNorm 0.0 ""
                              go (k - 1) next
                          | Error divergence -> failwith divergence.Message

                  let trained = go 3 state
                  let learned = objective.Dynamics(network.Apply trained.Parameters)

                  let sampler =
                      match learned with
                      | Landscape _ -> EnergySamplers.mala
                      | Jumping _ -> JumpSamplers.leaping
                      | _ -> Samplers.heun

                  let plan = { Generation.plan sampler 3 learned with Kind = Kind.Float64 }
                  let start = Sampling.start plan objective.Path [ 2 ] 8 key

                  match Generation.states plan objective.Path learned None (Noise.fresh key) start |> Seq.last with
                  | Ok state -> Expect.equal state.X.Shape [| 8; 2 |] ""
                  | Error failure -> failwith (string failure))

          testCase "a thread's own number of threads is no other's"
          <| fun () ->
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
              Expect.equal own 1 ""
              Expect.equal later before ""
              Expect.equal (Torch.threads ()) before "" ]
