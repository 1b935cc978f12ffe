/// Few steps from the command line: what begins at a run, rounds of distillation, pairs of a run, what a map knows besides the map.
module Fokker.Tests.CommandLine.FewStepsTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private done' (outcome: Outcome) = Expect.equal outcome.Code 0 outcome.Error

let private train (folder: Folder) (name: string) (words: string list) =
    fokker ([ "train"; "moons"; "--runs"; folder.Path; "--name"; name ] @ small @ words)

let private on (folder: Folder) (words: string list) = fokker (words @ [ "--runs"; folder.Path; "--quiet" ])

let private drawn (folder: Folder) (words: string list) =
    let file = folder.File "x.npy"
    done' (on folder ([ "sample"; "-n"; "6"; "--out"; file ] @ words))
    Scope.run (fun () -> Tensor.toFloats (Npy.read file))

let private data = lazy (Datasets.load "moons")

/// A small run that is trained and not measured.
let private made (folder: Folder) (name: string) (request: TrainingRequest) =
    let request =
        { request with
            Steps = request.Steps |> Option.orElse (Some 12L)
            Batch = Some 32
            Width = Some 16
            Depth = Some 1 }

    let standard = { Recipe.standardFor data.Value with DataSet = "moons" }
    let recipe = Runs.recipeOf Known.standard folder.Path standard request
    use claim = Run.claim (folder.File name)
    Run.replace claim (Recipe.settings recipe)
    let job = Runs.jobWith folder.Path OwnParts.none recipe data.Value
    Scope.free (Run.train claim (Job.plan job) (fun _ _ -> ()) (fun () -> false)).State

let private plain = TrainingRequest.standard

let private withLoss (loss: string) = { plain with Loss = Some loss }

let private withoutSteps = small |> List.skip 2

/// A run of a recipe that is stopped after every so many steps and taken up again: its files of tensors.
let private stopping (folder: Folder) (recipe: Recipe) (name: string) (every: int64 option) =
    let path = folder.File name
    let mutable go = true
    let mutable isFirst = true

    while go do
        use claim = Run.claim path

        if isFirst then
            Run.create claim (Recipe.settings recipe)
            isFirst <- false

        let job = Runs.jobWith folder.Path OwnParts.none recipe data.Value
        let mutable made = 0L
        let stop () = every |> Option.exists (fun n -> made >= n)
        let result = Run.train claim (Job.plan job) (fun _ _ -> made <- made + 1L) stop
        go <- not result.Ending.IsFinished
        Scope.free result.State

    Directory.GetFiles(path, "*.safetensors")
    |> Array.sort
    |> Array.map (fun file -> nonNull (Path.GetFileName file), Convert.ToHexString(File.ReadAllBytes file))

/// A model of its own run, tuned to more of the second coordinate.
let private tuned =
    { TrainingRequest.standard with
        Loss = Some "reward:steps=6,states=2"
        From = Some "first"
        Reward = Some """{"linear": [0, 1]}"""
        Tilt = Some 4.0
        LearningRate = Some 3e-3
        Steps = Some 60L }

/// The program as a process of its own, killed at random times and taken up again.
let private killed (kills: int) =
    use folder = new Folder()
    made folder "teacher" plain

    let start (words: string list) =
        let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
        let info = Diagnostics.ProcessStartInfo("dotnet", RedirectStandardOutput = true, RedirectStandardError = true)

        for word in program :: words do
            info.ArgumentList.Add word

        let child = nonNull (Diagnostics.Process.Start info)
        child.OutputDataReceived.Add ignore
        child.ErrorDataReceived.Add ignore
        child.BeginOutputReadLine()
        child.BeginErrorReadLine()
        child

    let words name =
        [ "train"; "moons"; "--runs"; folder.Path; "--name"; name ]
        @ withoutSteps
        @ [ "--loss"; "progressive:steps=8"; "--teacher"; "teacher"; "--steps"; "300" ]

    done' (fokker (words "whole"))
    let random = Random 5
    let path = folder.File "killed"
    let written () = if File.Exists(Run.metricsFile path) then FileInfo(Run.metricsFile path).Length else 0L
    let students () = if Directory.Exists path then Directory.GetFiles(path, "student-*").Length else 0

    let isWhole () =
        for file in [ "checkpoint"; "model"; "student-4"; "student-2"; "student-1" ] do
            let bytes name = File.ReadAllBytes(folder.File $"{name}/{file}.safetensors")
            Expect.isTrue (bytes "killed" = bytes "whole") file

    let mutable count = 0

    while count < kills do
        let resumes = File.Exists(Run.runFile path)
        let before, there = written (), students ()

        use child =
            start (
                if resumes then
                    [ "train"; "--resume"; "--name"; "killed"; "--runs"; folder.Path; "--quiet" ]
                else
                    words "killed"
            )

        let wait (until: unit -> bool) =
            while not (until () || child.HasExited) do
                Threading.Thread.Sleep 1

        // From the first step on, anywhere in a run that takes a second or two. Every other kill comes where one round ends and the next begins: a student is written, or
        // has just been.
        if count % 2 = 0 then
            wait (fun () -> written () <> before)
            Threading.Thread.Sleep(random.Next 400)
        else
            wait (fun () -> students () <> there)
            Threading.Thread.Sleep(random.Next 20)

        if not child.HasExited then
            child.Kill()
            count <- count + 1
            child.WaitForExit()
        else
            // It came to its end before: that is held too, and another begins.
            Expect.equal child.ExitCode 0 "a run that was taken up again"
            isWhole ()
            Directory.Delete(path, true)

    done' (on folder [ "train"; "--resume"; "--name"; "killed" ])
    isWhole ()

[<Tests>]
let tests =
    testList
        "CommandLine.FewSteps"
        [ testCase "the student of each round is there by its steps"
          <| fun () ->
              use folder = new Folder()
              made folder "teacher" plain

              done' (
                  fokker (
                      [ "train"; "moons"; "--runs"; folder.Path; "--name"; "fast" ]
                      @ withoutSteps
                      @ [ "--loss"; "progressive:steps=4"; "--teacher"; "teacher"; "--steps"; "6" ]
                  )
              )

              equal [ 2; 1 ] (Run.students (folder.File "fast") |> List.map fst)
              Expect.stringContains (File.ReadAllText(folder.File "fast/report.html")) "Rounds" "the report"
              // The run itself is its last student.
              equal (drawn folder [ "fast@1" ]) (drawn folder [ "fast" ])
              let two = drawn folder [ "fast@2" ]
              Expect.isTrue (Array.forall Double.IsFinite two) "numbers"
              Expect.notEqual two (drawn folder [ "fast@1" ]) "another student"
              assertRefused (on folder [ "sample"; "fast@3"; "-n"; "6" ]) [ "fast@3"; "fast@2"; "fast@1" ]
              assertRefused (on folder [ "sample"; "teacher@3"; "-n"; "6" ]) [ "not of a training in rounds" ]
              // Another run in its place has none of its students.
              made folder "fast" plain
              equal [] (Run.students (folder.File "fast"))

          testCase "rounds end at the student that was asked for"
          <| fun () ->
              use folder = new Folder()
              made folder "teacher" plain

              done' (
                  fokker (
                      [ "train"; "moons"; "--runs"; folder.Path; "--name"; "fast" ]
                      @ withoutSteps
                      @ [ "--loss"; "progressive:steps=16,last=4"; "--teacher"; "teacher"; "--steps"; "4" ]
                  )
              )

              equal [ 8; 4 ] (Run.students (folder.File "fast") |> List.map fst)
              equal (drawn folder [ "fast@4" ]) (drawn folder [ "fast" ])
              Expect.notEqual (drawn folder [ "fast@8" ]) (drawn folder [ "fast" ]) "another student"

          testCase "what cannot be distilled in rounds is refused with the reason"
          <| fun () ->
              use folder = new Folder()
              made folder "noise" { withLoss "simple" with Path = Some "vp" }
              made folder "teacher" plain

              let refused teacher words =
                  assertRefused (train folder "fast" ([ "--teacher"; teacher; "--loss" ] @ words))

              refused "noise" [ "progressive" ] [ "--teacher noise"; "σ/α"; "velocity" ]
              refused "teacher" [ "progressive:steps=6" ] [ "power of two" ]
              refused "teacher" [ "progressive:steps=8,order=3" ] [ "order is 3"; "1 or 2" ]
              refused "teacher" [ "progressive:steps=8,last=3" ] [ "last is 3"; "power of two" ]
              refused "teacher" [ "progressive:steps=8,last=8" ] [ "last is 8"; "less than the 8 steps" ]

          // In this process: stopped after each step of all rounds and taken up again.
          testCase "a training of rounds that is stopped anywhere ends with the same bytes"
          <| fun () ->
              use folder = new Folder()
              made folder "teacher" plain
              let data = data.Value

              let recipe = { Recipe.standardFor data with DataSet = "moons" } |> Recipe.withLoss "progressive:steps=8"

              let recipe = { recipe with Teacher = Some "teacher"; Steps = 11L; Width = 16; Depth = 1; Batch = 32 }
              let run = stopping folder recipe
              let whole = run "whole" None
              equal 5 whole.Length
              equal whole (run "ones" (Some 1L))
              equal whole (run "threes" (Some 3L))

          full (testCase "a training of rounds that is killed ends with the same bytes" <| fun () -> killed 2)

          full
          <| testCase "a training of rounds that is killed twenty times ends with the same bytes" (fun () -> killed 20)

          testCase "a training begins at a run and says what does not fit"
          <| fun () ->
              use folder = new Folder()
              made folder "first" plain

              let begun =
                  fokker (
                      [ "train"
                        "moons"
                        "--runs"
                        folder.Path
                        "--name"
                        "second"
                        "--from"
                        "first"
                        "--loss"
                        "psd" ]
                      @ [ "--steps"; "12"; "--batch"; "32"; "--draws"; "2" ]
                  )

              done' begun
              Expect.stringContains begun.Out "begins at first: all of it fits" "what is said"
              assertRefused (train folder "third" [ "--from"; "nothing" ]) [ "nothing" ]

              assertRefused
                  (train folder "third" [ "--from"; "first"; "--network"; "residual-mlp" ])
                  [ "--from first"; "residual-mlp" ]

              // It goes on without the run that it began at.
              Directory.Delete(folder.File "first", true)
              let run = Runs.at (folder.File "second")
              use claim = Run.claim run.Path
              let job = Runs.jobWith folder.Path OwnParts.none (Runs.recipe run) data.Value
              let result = Run.train claim (Job.plan job) (fun _ _ -> ()) (fun () -> false)
              equal 12L result.State.Step
              Scope.free result.State

          testCase "the pairs of a run are a coupling"
          <| fun () ->
              use folder = new Folder()
              made folder "first" plain
              let reflow coupling = { withLoss "i-cfm" with Coupling = Some coupling }

              for name, request in
                  [ "live", reflow "run:first,steps=2"
                    "table", reflow "run:first,pairs=64,steps=2"
                    "one", { reflow "run:first,steps=2" with Times = Some "discrete:levels=1"; From = Some "first" } ] do
                  made folder name request
                  Expect.isTrue
                      (Array.forall Double.IsFinite (drawn folder [ name; "--solver"; "euler"; "--steps"; "1" ]))
                      name

              assertRefused (train folder "no" [ "--loss"; "i-cfm"; "--coupling"; "run:nobody" ]) [ "nobody" ]

              assertRefused
                  (train folder "no" [ "--loss"; "i-cfm"; "--coupling"; "run:first,pears=3" ])
                  [ "--coupling"; "pairs=N" ]

              assertRefused (train folder "no" [ "--coupling"; "run:first" ]) [ "--coupling"; "cfm"; "i-cfm" ]

          testCase "a map of two times is followed by its own velocity, and has the density that it learned"
          <| fun () ->
              use folder = new Folder()
              made folder "map" (withLoss "psd")
              let jumps = drawn folder [ "map"; "--steps"; "2" ]
              let followed = drawn folder [ "map"; "--solver"; "rk4"; "--steps"; "4" ]
              Expect.notEqual followed jumps "another way"
              done' (on folder [ "likelihood"; "map"; "-n"; "8" ])
              done' (on folder [ "encode"; "map"; "-n"; "8"; "--out"; folder.File "z.npy" ])
              // Steered, it is followed too.
              File.WriteAllText(folder.File "o.json", """{"coordinates": [0], "noise": 0.05}""")
              Npy.write (folder.File "y.npy") (Tensor.ofArray [ 1 ] [| 0.5 |])
              let seen = [ "--observe"; folder.File "o.json"; "--observed"; folder.File "y.npy" ]
              let steered = drawn folder ([ "map"; "--steps"; "12" ] @ seen)
              let apart (x: float[]) = [ for k in 0 .. x.Length / 2 - 1 -> abs (x[2 * k] - 0.5) ] |> List.average
              Expect.isLessThan (apart steered) (0.5 * apart jumps) "nearer to what was seen"
              made folder "ends" (withLoss "ct")
              assertRefused (on folder ([ "sample"; "ends"; "-n"; "4" ] @ seen)) [ "ends"; "score" ]
              made folder "both" (withLoss "f2d2")

              let said (field: string) words =
                  let found = json (on folder ([ "likelihood"; "both"; "-n"; "8"; "--json" ] @ words))
                  string found[field]

              equal "jumps" (said "method" [])
              equal "2" (said "evaluations" [ "--steps"; "2" ])
              equal "flow" (said "method" [ "--solver"; "heun" ])

          testCase "a model is tuned towards a reward"
          <| fun () ->
              use folder = new Folder()
              made folder "first" { plain with Steps = Some 200L }
              made folder "second" tuned

              let reward name =
                  let file = folder.File "x.npy"
                  done' (on folder [ "sample"; name; "-n"; "300"; "--out"; file ])
                  Scope.run (fun () -> (Tensor.mean (Tensor.select 1 1 (Npy.read file))).ToFloat())

              Expect.isGreaterThan (reward "second" - reward "first") 0.2 "more of the reward"
              // A report has it beside the model that training began at.
              File.WriteAllText(folder.File "r.json", """{"linear": [0, 1]}""")

              done' (
                  train
                      folder
                      "third"
                      [ "--loss"; "reward:steps=4,states=1"; "--from"; "first"; "--reward"; folder.File "r.json" ]
              )

              Expect.stringContains (File.ReadAllText(folder.File "third/report.html")) "that training began at" "it"

              // Stopped anywhere it ends with the same bytes.
              let recipe = { Runs.recipe (Runs.at (folder.File "second")) with Steps = 5L }
              equal (stopping folder recipe "whole" None) (stopping folder recipe "ones" (Some 1L))

          testCase "what cannot be tuned is refused with the reason"
          <| fun () ->
              use folder = new Folder()
              made folder "first" plain
              made folder "map" (withLoss "psd")
              made folder "coupled" (withLoss "ot-cfm")
              File.WriteAllText(folder.File "r.json", """{"linear": [0, 1]}""")
              File.WriteAllText(folder.File "three.json", """{"linear": [0, 1, 2]}""")
              File.WriteAllText(folder.File "odd.json", """{"liner": [0, 1]}""")
              File.WriteAllText(folder.File "class.json", """{"class": 0, "classifier": "nobody"}""")
              let reward name = [ "--reward"; folder.File name ]
              let tuning from = [ "--loss"; "reward"; "--from"; from ]
              let refused words = assertRefused (train folder "no" words)
              refused (tuning "first") [ "--loss reward"; "--reward" ]
              refused ([ "--loss"; "reward" ] @ reward "r.json") [ "--loss reward"; "--from" ]
              refused (reward "r.json") [ "--reward"; "cfm has no use for it" ]
              refused [ "--tilt"; "2" ] [ "--tilt 2"; "--loss reward" ]
              refused (tuning "first" @ reward "r.json" @ [ "--tilt"; "nan" ]) [ "--tilt"; "finite" ]
              refused (tuning "map" @ reward "r.json") [ "--from"; "map"; "cfm" ]
              refused (tuning "coupled" @ reward "r.json") [ "--from coupled"; "score"; "cfm" ]
              refused (tuning "first" @ reward "three.json") [ "--reward"; "3 numbers" ]
              refused (tuning "first" @ reward "odd.json") [ "odd.json"; "liner" ]
              refused (tuning "first" @ reward "class.json") [ "nobody" ]
              refused
                  (tuning "first" @ reward "r.json" @ [ "--network"; "residual-mlp" ])
                  [ "--from first"; "residual-mlp" ]
              refused (tuning "first" @ reward "r.json" @ [ "--path"; "vp" ]) [ "--path vp"; "no use" ]
              Expect.isFalse (Directory.Exists(folder.File "no")) "nothing is left behind" ]
