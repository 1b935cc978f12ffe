/// Several processes on one run, and processes that are killed: what is on disk is a whole run at every moment, and one process writes it.
module Fokker.Tests.CommandLine.ProcessesTests

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

/// The program as a process of its own.
let private start (words: string list) =
    let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
    let info = ProcessStartInfo("env", RedirectStandardOutput = true, RedirectStandardError = true)

    // A test run started in the background ignores Ctrl-C and hands that down; the child is to be as a terminal's.
    for word in "--default-signal=INT,TERM" :: "dotnet" :: program :: words do
        info.ArgumentList.Add word

    let child = nonNull (Process.Start info)
    // What nobody reads would fill the pipe and stop the child.
    let errors = child.StandardError.ReadToEndAsync()
    child.OutputDataReceived.Add ignore
    child.BeginOutputReadLine()
    child, errors

let private train (root: string) (words: string list) =
    [ "train"
      "moons"
      "--batch"
      "16"
      "--width"
      "16"
      "--depth"
      "1"
      "--draws"
      "2"
      "--runs"
      root
      "--name"
      "it" ]
    @ words

let private until (what: string) (holds: unit -> bool) =
    let deadline = DateTime.UtcNow.AddSeconds 60.0

    while not (holds ()) do
        if DateTime.UtcNow > deadline then
            failtest $"a minute has passed without this: {what}"

        Thread.Sleep 10

let private isTraining (run: string) () =
    let metrics = Run.metricsFile run
    File.Exists metrics && FileInfo(metrics).Length > 1000L

/// Bytes of all files of a run but its lock, which is held.
let private files (run: string) =
    Directory.GetFiles(run, "*", SearchOption.AllDirectories)
    |> Array.filter (fun file -> not (file.EndsWith ".lock"))
    |> Array.sort
    |> Array.map (fun file -> Path.GetRelativePath(run, file), Convert.ToHexString(File.ReadAllBytes file))

/// A run's job and the state of its training, of one run even where another takes its place meanwhile.
let private opened (run: RunFolder) : Job * TrainState =
    let read () =
        let recipe = Runs.recipe run
        let job = Runs.jobWith (Runs.rootOf run) OwnParts.none recipe (Datasets.load recipe.DataSet)
        job, fst (Checkpoint.read run.Checkpoint job.Network)

    Run.reading run.Path (fun (_, state) -> Scope.free state) read

/// The seed in run.json, if the key in the checkpoint is that of the same run.
let private assertWhole (folder: RunFolder) =
    let job, state = opened folder
    Expect.equal (Rng.text state.Key) (Rng.text (Rng.ofSeed job.Recipe.Seed)) ""
    Scope.free state
    job.Recipe.Seed

// ---- divergence

let private finite (state: TrainState) =
    [ state.Parameters; state.Average; state.FirstMoment; state.SecondMoment ]
    |> Seq.concat
    |> Seq.forall (fun tensor -> Seq.forall Double.IsFinite (Tensor.toFloats tensor))

[<Tests>]
let tests =
    testList
        "CommandLine.Processes"
        [ testCase "a run that is being trained is nobody else's to write"
          <| fun () ->
              use folder = new Folder()
              let run = folder.File "it"
              let child, errors = start (train folder.Path [ "--steps"; "1000000"; "--seed"; "1" ])
              use child = child
              until "the first process trains" (fun () -> child.HasExited || isTraining run ())
              let record = File.ReadAllText(Run.runFile run)

              for words in
                  [ train folder.Path [ "--overwrite"; "--seed"; "2" ]
                    train folder.Path [ "--overwrite"; "--minutes"; "0.01" ]
                    [ "train"; "--resume"; "--name"; "it"; "--runs"; folder.Path ] ] do
                  assertRefused (fokker words) [ "another process"; run ]
                  Expect.equal (File.ReadAllText(Run.runFile run)) record ""

              // It heard nothing of the others, and saves where it is told to stop.
              kill "TERM" child
              child.WaitForExit()
              Expect.equal child.ExitCode 143 errors.Result
              Expect.equal (assertWhole (Runs.at run)) 1L ""
              Expect.isFalse (File.Exists(Path.Combine(run, "training.lock"))) ""

          testCase "of two trainings of one name that measure their speed first one is refused"
          <| fun () ->
              use folder = new Folder()
              let run = folder.File "it"
              let words seed = train folder.Path [ "--minutes"; "3"; "--seed"; string seed ]
              let first, firstErrors = start (words 1)
              let second, secondErrors = start (words 2)
              use first = first
              use second = second
              until "one of them is refused" (fun () -> first.HasExited || second.HasExited)
              let refused, refusal, other, errors =
                  if first.HasExited then
                      first, firstErrors, second, secondErrors
                  else
                      second, secondErrors, first, firstErrors
              refused.WaitForExit()
              Expect.equal refused.ExitCode 2 refusal.Result
              let held = [ "another process"; "holds a run already" ]
              Expect.isTrue (List.exists (fun (said: string) -> refusal.Result.Contains said) held) refusal.Result
              until "the other trains" (fun () -> other.HasExited || isTraining run ())
              kill "INT" other
              other.WaitForExit()
              Expect.equal other.ExitCode 130 errors.Result
              Expect.equal (assertWhole (Runs.at run)) (if Object.ReferenceEquals(other, first) then 1L else 2L) ""
              // The hint is a command that works.
              Expect.stringContains errors.Result $"--resume --name it --runs {folder.Path}" ""

          // Whenever the process dies that replaces a run, one of the two is there, and whole.
          testCase "a process that is killed while it replaces a run leaves the old run or the new one"
          <| fun () ->
              use folder = new Folder()
              let run = folder.File "it"
              let steps = [ "--steps"; "30" ]
              equal 0 (fokker (train folder.Path (steps @ [ "--seed"; "100"; "--quiet" ]))).Code
              let random = Random 4
              let mutable last = 100L

              for seed in 1L .. 6L do
                  let before = files run
                  let child, _ = start (train folder.Path (steps @ [ "--overwrite"; "--seed"; string seed ]))
                  use child = child
                  // While it trains and replaces, or a little later while it samples, measures and writes its report.
                  until "it replaces the run" (fun () ->
                      child.HasExited || Directory.Exists(Path.Combine(run, "replacement")) || files run <> before)
                  Thread.Sleep(random.Next 400)
                  child.Kill()
                  child.WaitForExit()
                  // Killed between two of the files that it moved: the next who writes moves the others.
                  let isCutOff = Directory.Exists(Path.Combine(run, "replacement-ready"))

                  if isCutOff then
                      (Run.claim run :> IDisposable).Dispose()

                  let found = assertWhole (Runs.at run)
                  Expect.contains (if isCutOff then [ seed ] else [ last; seed ]) found ""

                  if found = last && seed = 1L then
                      // Nothing of the old one is missing yet.
                      let kept = files run |> Array.filter (fun (name, _) -> not (name.StartsWith "replacement"))
                      Expect.equal kept before ""

                  last <- found

              // What was left half-done is no hindrance.
              equal 0 (fokker (train folder.Path (steps @ [ "--overwrite"; "--seed"; "7"; "--quiet" ]))).Code
              Expect.equal (assertWhole (Runs.at run)) 7L ""
              Expect.isEmpty (Directory.GetDirectories run) ""

          testCase "a replacing that was cut off anywhere is completed by the next who writes"
          <| fun () ->
              use folder = new Folder()
              let run = folder.File "it"

              let made seed =
                  equal
                      0
                      (fokker (train folder.Path [ "--steps"; "5"; "--seed"; string seed; "--overwrite"; "--quiet" ]))
                          .Code

              let aside seed =
                  made seed
                  let place = folder.File $"made-{seed}"
                  Directory.Move(run, place)
                  place

              let whole, old = aside 2, aside 1
              let names = [ Run.checkpointFile ""; Run.modelFile ""; Run.metricsFile ""; Run.runFile "" ]

              // The first so many of the new run's files have been moved.
              for moved in 0 .. names.Length do
                  if Directory.Exists run then
                      Directory.Delete(run, true)

                  Directory.CreateDirectory run |> ignore

                  for file in Directory.GetFiles old do
                      File.Copy(file, Path.Combine(run, nonNull (Path.GetFileName file)))

                  let ready = Path.Combine(run, "replacement-ready")
                  Directory.CreateDirectory ready |> ignore

                  for k, name in List.indexed names do
                      File.Copy(
                          Path.Combine(whole, name),
                          Path.Combine((if k < moved then run else ready), name),
                          overwrite = true
                      )

                  // A reader does not take one file of each.
                  if moved = 1 then
                      assertRefused
                          (fokker [ "sample"; run; "-n"; "10"; "--out"; folder.File "x.npy" ])
                          [ "another run"; "resume its training" ]

                  (Run.claim run :> IDisposable).Dispose()
                  Expect.equal (assertWhole (Runs.at run)) 2L ""
                  Expect.isEmpty (Directory.GetDirectories run) ""
                  // The old run's samples are not the new one's.
                  Expect.isFalse (File.Exists((Runs.at run).Samples)) ""

          testCase "who reads a run while others take its place reads one of them"
          <| fun () ->
              use folder = new Folder()
              let run = Runs.at (folder.File "it")

              let replace (seed: int64) =
                  let recipe =
                      { Recipe.standardFor (Datasets.load "moons") with
                          DataSet = "moons"
                          Steps = 2L
                          Batch = 8
                          // Two architectures: a checkpoint under the other's settings could not even be read.
                          Width = (if seed % 2L = 0L then 8 else 16)
                          Depth = 1
                          Seed = seed }

                  use claim = Run.claim run.Path
                  Run.replace claim (Recipe.settings recipe)
                  let job = Runs.job recipe (Datasets.load "moons")
                  Scope.free (Run.train claim (Job.plan job) (fun _ _ -> ()) (fun () -> false)).State

              replace 0L
              let mutable isOver = false
              let mutable last = 0L
              let mutable seenCount = 0

              let writer =
                  Thread(fun () ->
                      try
                          // Until the reader has come between them often enough, however fast either is.
                          while last < 40L || last < 2000L && Volatile.Read &seenCount < 5 do
                              last <- last + 1L
                              replace last
                      finally
                          Volatile.Write(&isOver, true))

              writer.Start()
              let seen = Collections.Generic.HashSet<int64>()

              try
                  while not (Volatile.Read &isOver) do
                      seen.Add(assertWhole run) |> ignore
                      Volatile.Write(&seenCount, seen.Count)
              finally
                  writer.Join()

              Expect.isGreaterThan seen.Count 3 ""
              Expect.equal (assertWhole run) last ""

          testTheory
              "a training that diverges says so and keeps a state that is finite"
              [ "--lr", "1e38", "--warmup", "0"; "--lr", "1e3", "--clip", "0" ]
          <| fun (a: string, x: string, b: string, y: string) ->
              use folder = new Folder()
              let diverging =
                  [ "train"; "moons"; "--batch"; "16"; "--width"; "64"; "--steps"; "300"; a; x; b; y; "--quiet" ]
                  @ [ "--runs"; folder.Path; "--name"; "it" ]

              assertRefused (fokker diverging) [ "diverged at step"; "is kept"; "learning rate" ]
              let run = Runs.at (folder.File "it")
              let job, state = opened run
              Expect.isTrue (finite state) ""
              // What was kept is good: its loss is finite.
              let batch = Dataset.batches job.Kind 16 (Rng.ofSeed 1L) job.Data 0L

              match Trainer.step job.Training job.Network job.Objective.Loss batch state with
              | Ok(_, info) -> Expect.isTrue (Double.IsFinite info.Loss) ""
              | Error divergence -> Expect.isTrue (Double.IsFinite divergence.Loss) divergence.Message

              Expect.equal (string ((nonNull ((Run.describe run.Path)["result"]))["ending"])) "diverged" ""

          testCase "a run that diverges at once does not take another's place"
          <| fun () ->
              use folder = new Folder()
              equal 0 (fokker (train folder.Path [ "--steps"; "5"; "--quiet" ])).Code
              let before = files (folder.File "it")
              let words = [ "--overwrite"; "--lr"; "1e38"; "--warmup"; "0"; "--quiet" ]
              assertRefused (fokker (train folder.Path words)) [ "diverged"; "the run that it was to replace" ]
              Expect.equal (files (folder.File "it")) before ""

          // ---- what a run says of itself
          testCase "a teacher is found where the runs are kept, in training and ever after"
          <| fun () ->
              use folder = new Folder()
              let small =
                  [ "--steps"; "5"; "--batch"; "16"; "--width"; "16"; "--depth"; "1"; "--draws"; "2"; "--quiet" ]
              let train words = fokker ([ "train"; "moons"; "--runs"; folder.Path ] @ small @ words)
              equal 0 (train [ "--name"; "master" ]).Code
              let distilled = train [ "--name"; "pupil"; "--loss"; "lmd"; "--teacher"; "master" ]
              Expect.equal distilled.Code 0 distilled.Error
              let sampled = fokker [ "sample"; "pupil"; "--runs"; folder.Path; "-n"; "4"; "--out"; folder.File "x.npy" ]
              Expect.equal sampled.Code 0 sampled.Error
              // By the path of its folder too, from wherever.
              let byPath = fokker [ "sample"; folder.File "pupil"; "-n"; "4"; "--out"; folder.File "y.npy" ]
              Expect.equal byPath.Code 0 byPath.Error
              assertRefused
                  (train [ "--name"; "other"; "--loss"; "lmd"; "--teacher"; "nobody" ])
                  [ "nobody"; folder.Path ]

          testCase "what is left is reckoned from where the work began"
          <| fun () ->
              // Half of a training was there; a quarter of the whole took ten seconds: as much again is left.
              equal (Some 10.0) (Progress.remaining 0.5 0.75 10.0)
              equal (Some 30.0) (Progress.remaining 0.0 0.25 10.0)
              equal None (Progress.remaining 0.5 0.5 1.0)

          testCase "every option has its own line in every command's help"
          <| fun () ->
              for command in Program.commands do
                  for line in (Command.help command).Split '\n' do
                      let options = RegularExpressions.Regex.Matches(line, "(^| )--[a-z-]+(, -\\w)? <").Count
                      Expect.isLessThanOrEqual options 1 line

          testCase "guidance can be evaluated: the class that it asks for can be said"
          <| fun () ->
              use folder = new Folder()
              let law = folder.File "law.json"
              File.WriteAllText(
                  law,
                  """{"weights": [0.5, 0.5], "means": [[-1, 0], [1, 0]], "stds": [0.3, 0.3], "labels": [0, 1]}"""
              )
              let evaluate words =
                  fokker ([ "evaluate"; "--oracle"; law; "--draws"; "2"; "-n"; "100"; "--json"; "--quiet" ] @ words)
              assertRefused (evaluate [ "--guidance"; "2" ]) [ "--class" ]
              let guided = evaluate [ "--guidance"; "1"; "--class"; "1" ]
              Expect.equal guided.Code 0 guided.Error
              // Guidance of scale 1 is the class itself, which is compared with its own data: far below the distance of the classes.
              let w2 =
                  (nonNull ((nonNull ((nonNull ((json guided)["metrics"]))["wasserstein2"]))["value"]))
                      .GetValue<float>()
              Expect.isLessThan w2 0.3 "" ]
