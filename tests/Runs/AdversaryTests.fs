/// Trainings of several players: they move in turns, are part of the state, and what they learn is what the theory says.
module Fokker.Tests.Runs.AdversaryTests

open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

let private moons = lazy (Datasets.load "moons")

let private gan steps : Recipe =
    { (Recipe.standardFor moons.Value |> Recipe.withLoss "gan:turns=2") with
        Network = PartName.plain "mlp"
        Width = 16
        Depth = 2
        Batch = 32
        Steps = steps }

let private train (folder: string) (plan: Plan) (recipe: Recipe) (stop: int64 option) =
    use claim = Run.claim folder

    if not (File.Exists(Run.runFile folder)) then
        Run.create claim (Recipe.settings recipe)

    let mutable made = 0L
    Run.train claim { plan with Save = Cadence.Steps 10L } (fun info _ -> made <- info.Step) (fun () ->
        stop = Some made)

[<Tests>]
let tests =
    testList
        "Runs.Adversary"
        [ testCase
              "a run of two players that is killed and taken up again ends with the same bytes, and samples in one pass"
          <| fun () ->
              inFolder (fun folder ->
                  let whole, cut = Path.Combine(folder, "a"), Path.Combine(folder, "b")
                  let recipe = gan 24L
                  let job = Runs.job recipe moons.Value
                  let run folder stop = Scope.free (train folder (Job.plan job) recipe stop).State
                  run whole None
                  run cut (Some 13L)
                  run cut None
                  Expect.same
                      (File.ReadAllBytes(Run.checkpointFile cut))
                      (File.ReadAllBytes(Run.checkpointFile whole))
                      ""

                  Scope.run0 (fun () ->
                      let state, _ = Checkpoint.read (Run.checkpointFile whole) job.Network
                      Expect.equal state.Players.Length 1 "the critic"

                      // Twice as many moves as the generator's, each of about the rate.
                      let fresh =
                          Network.init
                              Kind.Float32
                              (Rng.named "parameters" (Rng.named Adversarial.critic (Rng.ofSeed recipe.Seed)))
                              job.Training.Players.Head.Network

                      Expect.isTrue
                          (Array.exists2
                              (fun (a: Tensor) (b: Tensor) -> (Tensor.max (abs (a - b))).ToFloat() > 0.0)
                              state.Players[0].Parameters
                              fresh)
                          "the critic has learned"

                      let model =
                          GenerativeModel.ofTrained
                              "gan"
                              (ModelFile.read OwnParts.none Device.Cpu None (Run.modelFile whole))

                      let drawing = Samples.standardFor model
                      Expect.equal drawing.Steps 1 ""
                      Expect.equal (Samples.ofSeed 1L 5 model).Shape [| 5; 2 |] ""))

          testCase "a player that moves twice in a step learns until the last one"
          <| fun () ->
              inFolder (fun folder ->
                  let recipe = gan 24L
                  let job = Runs.job recipe moons.Value
                  let critic stop =
                      Scope.free (train folder (Job.plan job) recipe stop).State
                      let state, _ = Checkpoint.read (Run.checkpointFile folder) job.Network
                      state.Players[0].Parameters

                  Scope.run0 (fun () ->
                      // By its own count it has made all of its moves at the twelfth step.
                      let before, after = critic (Some 14L), critic None
                      Expect.isTrue
                          (Array.exists2
                              (fun (a: Tensor) (b: Tensor) -> (Tensor.max (abs (a - b))).ToFloat() > 0.0)
                              before
                              after)
                          "the critic has gone on"))

          testCase "a player whose loss is not finite stops the run, and the last good state stays"
          <| fun () ->
              inFolder (fun folder ->
                  let recipe = gan 40L
                  let job = Runs.job recipe moons.Value

                  let failing (player: Player) =
                      { player with
                          Loss =
                              fun context rng batch ->
                                  player.Loss context rng batch * (if context.Step = 25L then nan else 1.0) }

                  let plan = Job.plan job
                  let settings = { plan.Settings with Players = List.map failing plan.Settings.Players }
                  let result = train folder { plan with Settings = settings } recipe None

                  Scope.run0 (fun () ->
                      Expect.isTrue result.Ending.IsDiverged ""
                      Expect.equal result.Kept (Some 25L) ""
                      let state, _ = Checkpoint.read (Run.checkpointFile folder) job.Network
                      let finite (t: Tensor) = (Tensor.all (Tensor.isFinite t)).ToBool()
                      Expect.all state.Parameters finite ""
                      Expect.all state.Players[0].Parameters finite "")

                  Scope.free result.State)

          testCase
              "no weight of an adversarial term is the loss itself, and a critic that says nothing adds log 2 of each"
          <| fun () ->
              Scope.run0 (fun () ->
                  let recipe = { (Recipe.standardFor moons.Value |> Recipe.withLoss "ct") with Steps = 20L }
                  let own = (Runs.job recipe moons.Value).Objective
                  Expect.isTrue (obj.ReferenceEquals(AdversarialTerm.beside 0.0 1.0 own, own)) "the same value"
                  let both = AdversarialTerm.beside 0.3 1.0 own
                  let batch = Dataset.batches Kind.Float64 32 (Rng.ofSeed 1L) moons.Value 0L
                  let field: Condition -> Field = fun _ _ x -> 0.1 * x
                  let context =
                      { LossContext.ofNetwork field with
                          Others = Map [ Adversarial.critic, (fun _ _ x -> Tensor.sumRows (0.0 * x)) ] }
                  let value (o: Objective) = Tensor.toFloats (o.Loss context (Rng.ofSeed 2L) batch)
                  // To the rounding of a sum.
                  Array.iter2
                      (fun plain beside -> Expect.within 1e-12 (beside - plain) (0.3 * System.Math.Log 2.0) "")
                      (value own)
                      (value both))

          testEach
              "an adversarial term is trained beside a loss of few steps, and taken up where it was left"
              id
              [ "ct"; "meanflow"; "psd" ]
          <| fun loss ->
              inFolder (fun folder ->
                  let whole, cut = Path.Combine(folder, "a"), Path.Combine(folder, "b")
                  let recipe =
                      { (Recipe.standardFor moons.Value |> Recipe.withLoss loss) with
                          Network = PartName.plain "mlp"
                          Width = 16
                          Depth = 2
                          Batch = 32
                          Steps = 24L
                          Adversarial = 0.2 }
                  let job = Runs.job recipe moons.Value
                  let run folder stop = Scope.free (train folder (Job.plan job) recipe stop).State
                  run whole None
                  run cut (Some 13L)
                  run cut None
                  Expect.same
                      (File.ReadAllBytes(Run.checkpointFile cut))
                      (File.ReadAllBytes(Run.checkpointFile whole))
                      "")

          testCase "an adversarial term is refused beside a loss of many steps, and beside another critic"
          <| fun () ->
              for loss in [ "cfm"; "gan"; "mle" ] do
                  let recipe = { (Recipe.standardFor moons.Value |> Recipe.withLoss loss) with Adversarial = 0.1 }
                  let refusal = raised<RefusedException>(fun () -> Runs.job recipe moons.Value |> ignore)
                  Expect.stringContains refusal.Message "few steps" loss

          // The generator of one pass comes to the teacher's law: N(0.7, 0.5²) on the line. Of 4,000 samples mean and deviation are off by 0.008; the rest is what is left to learn.
          testCase "distribution matching moves a generator to its teacher's law"
          <| fun () ->
              let law = Mixture.ofStds [| 1.0 |] (Tensor.ofArray [ 1; 1 ] [| 0.7 |]) (Tensor.ofArray [ 1; 1 ] [| 0.5 |])

              let teacher = Mixture.model Path.condOT Prediction.velocity law
              let objective = DistributionMatching.objective teacher 3
              let network = Networks.mlp { Mlp.standard 1 with Width = 16; Depth = 2 }
              let optimizer = { Optimizer.adam with Rate = Schedule.Cosine(1e-2, 0.0, 300L); Beta1 = 0.5 }

              let settings =
                  { Trainer.standard with
                      Optimizer = optimizer
                      Players =
                          [ for player in objective.Players ->
                                { Name = player.Name
                                  Network = network
                                  Loss = player.Loss
                                  Optimizer = { optimizer with Rate = Schedule.Constant 1e-2 }
                                  Turns = player.Turns
                                  Start = None } ] }

              Scope.run0 (fun () ->
                  let batch k : Batch =
                      { Data = Mixture.sample 128 (Rng.at k (Rng.ofSeed 1L)) law; Label = None; Source = None }

                  let next (state: TrainState) (k: int64) =
                      match Scope.run (fun () -> Trainer.step settings network objective.Loss (batch k) state) with
                      | Ok(state, _) -> state
                      | Error divergence -> failwith divergence.Message

                  let state = Seq.fold next (Trainer.init Kind.Float64 (Rng.ofSeed 2L) network) (seq { 0L .. 299L })

                  let z = Rng.normal Kind.Float64 [ 4000; 1 ] (Rng.ofSeed 3L)
                  let high = snd Path.condOT.Interior
                  let made =
                      Adversarial.generate Path.condOT Prediction.velocity high (network.Apply state.Average) None z

                  let mean = (Tensor.mean made).ToFloat()
                  Expect.within 0.1 mean 0.7 "mean"
                  Expect.within 0.1 (sqrt ((Tensor.mean (Tensor.square (made - mean))).ToFloat())) 0.5 "deviation") ]
