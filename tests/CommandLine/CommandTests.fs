/// What the commands do where all is well.
module Fokker.Tests.CommandLine.CommandTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private at (path: string) (json: JsonObject) : JsonNode =
    let inside (node: JsonNode) (name: string) : JsonNode =
        match node[name] with
        | null -> failwith $"there is no {name} of {path} in {json}"
        | found -> found

    path.Split '.' |> Array.fold inside json

// ---- as a process of its own

let private start (folder: string) (words: string list) =
    let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")

    // A test run started in the background ignores Ctrl-C and hands that down; the child is to be as a terminal's.
    let info =
        ProcessStartInfo(
            "env",
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false
        )

    for word in "--default-signal=INT,TERM" :: "dotnet" :: program :: words do
        info.ArgumentList.Add word

    nonNull (Process.Start info)

[<Tests>]
let tests =
    testList
        "CommandLine.Command"
        [ testCase "every command explains itself, with an example and every option"
          <| fun () ->
              for command in Program.commands do
                  let outcome = fokker [ command.Name; "--help" ]
                  Expect.equal outcome.Code 0 ""
                  Expect.stringContains outcome.Out $"./fokker {command.Name}" ""
                  Expect.contains (command.Options()) "--json" command.Name

                  for option in command.Options() do
                      Expect.stringContains outcome.Out option ""

          // The examples are promises: their options must at least exist.
          testCase "every option in an example exists"
          <| fun () ->
              for command in Program.commands do
                  for line, _ in command.Examples do
                      let used =
                          // What is behind a pipe, and what is launched, have options of their own.
                          (Array.head (line.Split([| "|"; " -- " |], StringSplitOptions.None)))
                              .Split(' ', StringSplitOptions.RemoveEmptyEntries)
                          |> Array.filter (fun word -> word.StartsWith '-')

                      for option in used do
                          Expect.contains (command.Options()) option line

          testCase "the list names everything that the library lists"
          <| fun () ->
              let listed = json (fokker [ "list"; "--json" ])

              let names shelf =
                  [ for entry in (at shelf listed).AsArray() do
                        match entry with
                        | :? JsonObject as entry -> (at "name" entry).GetValue<string>()
                        | _ -> () ]

              equal (Datasets.all |> List.map _.Name) (names "datasets")
              equal (Paths.all |> List.map (fun (p: GaussianPath) -> p.Name)) (names "paths")
              equal (Prediction.all |> List.map (fun (p: Prediction) -> p.Name)) (names "predictions")
              Expect.isNonEmpty (names "losses") ""
              Expect.unique (names "losses") ""

          testCase "doctor says what is in force"
          <| fun () ->
              let outcome = fokker [ "doctor"; "--json" ]
              Expect.equal outcome.Code 0 ""
              let found = json outcome
              Expect.equal ((at "libtorch" found).GetValue<string>()) (Torch.version ()) ""
              Expect.isGreaterThan ((at "gigaflops" found).GetValue<float>()) 0.0 ""
              Expect.isGreaterThan ((at "memoryBytes" found).GetValue<int64>()) 0L ""

          testCase "a law that fails gives exit code 1 and the line that replays it"
          <| fun () ->
              let verify laws words = caught (fun terminal -> (Verify.on laws).Run terminal words)
              let library = Laws.Table.all
              let wrong = List.choose Laws.Law.mutated library
              let only = [ "--law"; "score-is-gradient" ]
              Expect.equal ((verify library (only @ [ "--cases"; "3" ])).Code) 0 ""
              let failed = verify wrong (only @ [ "--cases"; "3"; "--seed"; "11" ])
              Expect.equal failed.Code 1 ""
              Expect.stringContains (failed.Out + failed.Error) "FAILS  score-is-gradient" ""

              // What it says to run fails again, on one case and with the same error.
              let replay =
                  Regex.Match(
                      failed.Out + failed.Error,
                      @"\./fokker verify (--law score-is-gradient --seed 11 --case \d+)"
                  )
              Expect.isTrue replay.Success failed.Error
              let again = verify wrong (List.ofArray (replay.Groups[1].Value.Split ' '))
              Expect.equal again.Code 1 ""
              let worst (o: Outcome) = Regex.Match(o.Out + o.Error, @"score-is-gradient +(\S+) of").Groups[1].Value
              Expect.equal (worst again) (worst failed) ""
              Expect.stringContains (again.Out + again.Error) " 1 cases" ""

          testCase "a run leaves what it should, and every command finds it"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let here words = fokker (words @ [ "--runs"; root; "--json" ])
              let trained = here ([ "train"; "moons"; "--name"; "first" ] @ small)
              Expect.equal trained.Code 0 trained.Error
              let run name = Path.Combine(root, "first", name)

              for name in
                  [ "run.json"; "metrics.jsonl"; "checkpoint.safetensors"; "samples.npy"; "samples.png"; "report.html" ] do
                  Expect.isTrue (File.Exists(run name)) name

              for field in [ "value"; "floor"; "ratio"; "standardError"; "floorStandardError" ] do
                  for measure in [ "wasserstein2"; "slicedWasserstein" ] do
                      let value = (at $"metrics.{measure}.{field}" (json trained)).GetValue<float>()
                      Expect.isGreaterThan value 0.0 $"{measure}.{field}"

              Expect.isTrue (Double.IsFinite((at "metrics.mmd.value" (json trained)).GetValue<float>())) ""

              // An evaluation measures the same samples with the same pairs: the same figures.
              let evaluated = here [ "evaluate"; "first"; "--draws"; "2" ]
              Expect.equal evaluated.Code 0 evaluated.Error

              Expect.equal
                  ((at "metrics.wasserstein2.value" (json evaluated)).GetValue<float>())
                  ((at "metrics.wasserstein2.value" (json trained)).GetValue<float>())
                  ""

              let points = folder.File "points.npy"
              let sampled = here [ "sample"; "first"; "-n"; "7"; "--out"; points ]
              Expect.equal sampled.Code 0 sampled.Error
              equal [| 7; 2 |] (Npy.read points).Shape

              File.Delete(run "report.html")
              Expect.equal ((here [ "report"; "first" ]).Code) 0 ""
              Expect.isTrue (File.Exists(run "report.html")) ""

          testCase "samples do not depend on the batch they are drawn in"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              Expect.equal ((fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)).Code) 0 ""

              let draw (batch: int) =
                  let file = folder.File $"{batch}.npy"
                  let words =
                      [ "sample"
                        "first"
                        "-n"
                        "50"
                        "--batch"
                        string batch
                        "--out"
                        file
                        "--runs"
                        root
                        "--quiet" ]
                  Expect.equal ((fokker words).Code) 0 ""
                  Tensor.toFloats (Npy.read file)

              // The noise is bit-equal; float32 products of other sizes round differently, and 25 steps carry it on.
              Array.iter2 (fun (a: float) (b: float) -> Expect.within 1e-3 a b "") (draw 50: float[]) (draw 7)

          testCase "names without a name are numbered, and overwriting replaces"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let train words = fokker ([ "train"; "moons"; "--runs"; root ] @ small @ words)
              Expect.equal ((train []).Code) 0 ""
              Expect.equal ((train []).Code) 0 ""
              equal [ "moons"; "moons-2" ] (Runs.names root |> List.sort)
              Expect.equal ((train [ "--name"; "moons"; "--overwrite"; "--seed"; "5" ]).Code) 0 ""
              Expect.equal ((Runs.recipe (Runs.find root "moons")).Seed) 5L ""

          testCase "the command that a run prints repeats it byte for byte"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let words =
                  [ "train"; "pinwheel"; "--name"; "first"; "--path"; "vp"; "--loss"; "simple"; "--seed"; "3" ]
                  @ small
              let outcome = fokker (words @ [ "--runs"; root; "--json" ])
              Expect.equal outcome.Code 0 outcome.Error
              let command = (at "command" (json outcome)).GetValue<string>()
              let again = folder.File "again"
              let repeated =
                  fokker (
                      (command.Split ' ')[1..]
                      |> List.ofArray
                      |> fun words -> words @ [ "--runs"; again; "--draws"; "2"; "--quiet" ]
                  )
              Expect.equal repeated.Code 0 repeated.Error
              let bytes root = File.ReadAllBytes(Path.Combine(root, "first", "checkpoint.safetensors"))
              equal (bytes root) (bytes again)

          testCase "a file with too few samples to hold any out is trained on all the same, and not measured"
          <| fun () ->
              use folder = new Folder()
              let points = folder.File "points.npy"
              Npy.write points (Rng.normal Kind.Float32 [ 30; 2 ] (Rng.ofSeed 1L))
              let outcome = fokker ([ "train"; "npy:" + points; "--runs"; folder.File "runs" ] @ small)
              Expect.equal outcome.Code 0 outcome.Error
              Expect.stringContains outcome.Error "too few" ""
              let run name = Path.Combine(folder.File "runs", "points", name)
              Expect.isTrue (File.Exists(run "report.html")) ""
              Expect.isFalse (File.Exists(run "evaluation.json")) ""
              assertRefused
                  (fokker [ "evaluate"; "points"; "--runs"; folder.File "runs" ])
                  [ "holds out 3"; "at least 8" ]

          testCase "an error is one line on the error stream and exit code 2"
          <| fun () ->
              use folder = new Folder()
              use child = start folder.Path [ "train"; "mooons" ]
              let out, error = child.StandardOutput.ReadToEnd(), child.StandardError.ReadToEnd()
              child.WaitForExit()
              Expect.equal child.ExitCode 2 ""
              Expect.isEmpty out ""
              Expect.equal (error.Trim().Split('\n').Length) 1 error

          // By a name without a folder, as one types it.
          testCase "a link in the working folder given as an output is written through"
          <| fun () ->
              use folder = new Folder()
              File.WriteAllText(folder.File "m.json", """{"means":[[0]],"stds":[1]}""")
              File.WriteAllText(folder.File "target.npy", "")
              File.CreateSymbolicLink(folder.File "link.npy", "target.npy") |> ignore
              use child =
                  start folder.Path [ "sample"; "--oracle"; "m.json"; "-n"; "2"; "--out"; "link.npy"; "--quiet" ]
              let error = child.StandardError.ReadToEnd()
              child.WaitForExit()
              Expect.equal child.ExitCode 0 error
              Expect.equal (FileInfo(folder.File "link.npy").LinkTarget) "target.npy" ""
              Expect.equal ((Npy.read (folder.File "target.npy")).Shape) [| 2; 1 |] ""

          testCase "without libtorch the error says what to install"
          <| fun () ->
              use folder = new Folder()
              let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
              // A door whose libtorch is not there: a file that the loader refuses.
              let door = folder.File "libfokker_torch.so"
              File.WriteAllText(door, "no library")
              let info =
                  ProcessStartInfo(
                      "dotnet",
                      RedirectStandardError = true,
                      UseShellExecute = false,
                      WorkingDirectory = folder.Path
                  )

              for word in [ program; "train"; "moons" ] do
                  info.ArgumentList.Add word

              info.Environment["FOKKER_TORCH_LIBRARY"] <- door
              // Which the managed engine, where the tests run on it, would not look at.
              info.Environment.Remove "FOKKER_ENGINE" |> ignore
              use child = nonNull (Process.Start info)
              let error = child.StandardError.ReadToEnd()
              child.WaitForExit()
              Expect.equal child.ExitCode 2 error
              Expect.equal (error.Trim().Split('\n').Length) 1 error
              Expect.stringContains error "libtorch" ""

          testTheory
              "a signal saves the bytes that an untouched run has at that step, and says how to go on"
              [ "INT", 130; "TERM", 143 ]
          <| fun (signal: string, code: int) ->
              use folder = new Folder()
              let words steps =
                  [ "train"
                    "moons"
                    "--name"
                    "first"
                    "--steps"
                    steps
                    "--batch"
                    "32"
                    "--width"
                    "16"
                    "--depth"
                    "1" ]
              use child = start folder.Path (words "60000")
              let metrics = Path.Combine(folder.Path, "runs", "first", "metrics.jsonl")

              // Some way into the training, wherever the machine happens to be by then.
              while not child.HasExited && not (File.Exists metrics && FileInfo(metrics).Length > 2000L) do
                  Threading.Thread.Sleep 20

              kill signal child
              let error = child.StandardError.ReadToEnd()
              child.WaitForExit()
              Expect.equal child.ExitCode code error
              Expect.stringContains error "--resume --name first" ""

              let run = Path.Combine(folder.Path, "runs", "first")
              let recipe = Runs.recipe (Runs.find (Path.Combine(folder.Path, "runs")) "first")
              let job = Runs.job recipe (Datasets.load "moons")
              let saved, _ = Checkpoint.read (Run.checkpointFile run) job.Network
              Expect.between 1L 59999L saved.Step ""
              let untouched = Path.Combine(folder.Path, "untouched")
              use claim = Run.claim untouched
              Run.create claim (Recipe.settings recipe)
              Run.train claim { Job.plan job with Budget = Budget.Steps saved.Step } (fun _ _ -> ()) (fun () -> false)
              |> ignore
              equal (File.ReadAllBytes(Run.checkpointFile untouched)) (File.ReadAllBytes(Run.checkpointFile run))

              let resumed =
                  fokker
                      [ "train"
                        "--resume"
                        "--name"
                        "first"
                        "--lr"
                        "1"
                        "--runs"
                        Path.Combine(folder.Path, "runs") ]
              assertRefused resumed [ "learningRate" ]

          // Killed under a bar, a process would leave the terminal without its cursor.
          testCase "sampling hears a signal too, and writes nothing"
          <| fun () ->
              use folder = new Folder()
              File.WriteAllText(folder.File "mixture.json", """{"means": [[0, 0]], "stds": [1]}""")
              use child =
                  start folder.Path [ "sample"; "--oracle"; "mixture.json"; "-n"; "2000000000"; "--batch"; "1000" ]
              // The first line on how far it has come.
              Expect.stringStarts (child.StandardOutput.ReadLine()) "sampling: 0 %" ""
              kill "INT" child
              let error = child.StandardError.ReadToEnd()
              child.WaitForExit()
              Expect.equal child.ExitCode 130 error
              Expect.equal (error.Trim()) "stopped" ""
              Expect.isFalse (File.Exists(folder.File "samples.npy")) "" ]
