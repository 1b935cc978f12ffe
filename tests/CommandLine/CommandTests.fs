/// What the commands do where all is well.
module Fokker.Tests.CommandLine.CommandTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open NUnit.Framework
open Fokker
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private at (path: string) (json: JsonObject) : JsonNode =
    let inside (node: JsonNode) (name: string) : JsonNode =
        match node[name] with
        | null -> failwith $"there is no {name} of {path} in {json}"
        | found -> found

    path.Split '.' |> Array.fold inside json

[<Test>]
let ``every command explains itself, with an example and every option`` () =
    for command in Program.commands do
        let outcome = fokker [ command.Name; "--help" ]
        Assert.That(outcome.Code, Is.EqualTo 0)
        Assert.That(outcome.Out, Does.Contain $"./fokker {command.Name}")
        Assert.That(command.Options(), Does.Contain "--json", command.Name)

        for option in command.Options() do
            Assert.That(outcome.Out, Does.Contain option)

/// The examples are promises: their options must at least exist.
[<Test>]
let ``every option in an example exists`` () =
    for command in Program.commands do
        for line, _ in command.Examples do
            let used =
                (Array.head (line.Split '|')).Split(' ', StringSplitOptions.RemoveEmptyEntries)
                |> Array.filter (fun word -> word.StartsWith '-')

            for option in used do
                Assert.That(command.Options(), Does.Contain option, line)

[<Test>]
let ``the list names everything that the library lists`` () =
    let listed = json (fokker [ "list"; "--json" ])

    let names shelf =
        [ for entry in (at shelf listed).AsArray() do
              match entry with
              | :? JsonObject as entry -> (at "name" entry).GetValue<string>()
              | _ -> () ]

    equal (Datasets.all |> List.map _.Name) (names "datasets")
    equal (Paths.all |> List.map (fun (p: GaussianPath) -> p.Name)) (names "paths")
    equal (Prediction.all |> List.map (fun (p: Prediction) -> p.Name)) (names "predictions")
    Assert.That(names "losses", Is.Not.Empty.And.Unique)

[<Test>]
let ``doctor says what is in force`` () =
    let outcome = fokker [ "doctor"; "--json" ]
    Assert.That(outcome.Code, Is.EqualTo 0)
    let found = json outcome
    Assert.That((at "libtorch" found).GetValue<string>(), Is.EqualTo(Torch.version ()))
    Assert.That((at "gigaflops" found).GetValue<float>(), Is.GreaterThan 0.0)
    Assert.That((at "memoryBytes" found).GetValue<int64>(), Is.GreaterThan 0L)

[<Test>]
let ``a law that fails gives exit code 1 and the line that replays it`` () =
    let verify laws words = caught (fun terminal -> (Verify.on laws).Run terminal words)
    let library = Laws.Table.all
    let wrong = List.choose Laws.Law.mutated library
    let only = [ "--law"; "score-is-gradient" ]
    Assert.That((verify library (only @ [ "--cases"; "3" ])).Code, Is.EqualTo 0)
    let failed = verify wrong (only @ [ "--cases"; "3"; "--seed"; "11" ])
    Assert.That(failed.Code, Is.EqualTo 1)
    Assert.That(failed.Out + failed.Error, Does.Contain "FAILS  score-is-gradient")

    // What it says to run fails again, on one case and with the same error.
    let replay =
        Regex.Match(failed.Out + failed.Error, @"\./fokker verify (--law score-is-gradient --seed 11 --case \d+)")
    Assert.That(replay.Success, Is.True, failed.Error)
    let again = verify wrong (List.ofArray (replay.Groups[1].Value.Split ' '))
    Assert.That(again.Code, Is.EqualTo 1)
    let worst (o: Outcome) = Regex.Match(o.Out + o.Error, @"score-is-gradient +(\S+) of").Groups[1].Value
    Assert.That(worst again, Is.EqualTo(worst failed))
    Assert.That(again.Out + again.Error, Does.Contain " 1 cases")

[<Test>]
let ``a run leaves what it should, and every command finds it`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    let here words = fokker (words @ [ "--runs"; root; "--json" ])
    let trained = here ([ "train"; "moons"; "--name"; "first" ] @ small)
    Assert.That(trained.Code, Is.EqualTo 0, trained.Error)
    let run name = Path.Combine(root, "first", name)

    for name in [ "run.json"; "metrics.jsonl"; "checkpoint.safetensors"; "samples.npy"; "samples.png"; "report.html" ] do
        Assert.That(File.Exists(run name), Is.True, name)

    for field in [ "value"; "floor"; "ratio"; "standardError"; "floorStandardError" ] do
        for measure in [ "wasserstein2"; "slicedWasserstein" ] do
            let value = (at $"metrics.{measure}.{field}" (json trained)).GetValue<float>()
            Assert.That(value, Is.GreaterThan 0.0, $"{measure}.{field}")

    Assert.That(Double.IsFinite((at "metrics.mmd.value" (json trained)).GetValue<float>()), Is.True)

    // An evaluation measures the same samples with the same pairs: the same figures.
    let evaluated = here [ "evaluate"; "first"; "--draws"; "2" ]
    Assert.That(evaluated.Code, Is.EqualTo 0, evaluated.Error)

    Assert.That(
        (at "metrics.wasserstein2.value" (json evaluated)).GetValue<float>(),
        Is.EqualTo((at "metrics.wasserstein2.value" (json trained)).GetValue<float>())
    )

    let points = folder.File "points.npy"
    let sampled = here [ "sample"; "first"; "-n"; "7"; "--out"; points ]
    Assert.That(sampled.Code, Is.EqualTo 0, sampled.Error)
    equal [| 7; 2 |] (Npy.read points).Shape

    File.Delete(run "report.html")
    Assert.That((here [ "report"; "first" ]).Code, Is.EqualTo 0)
    Assert.That(File.Exists(run "report.html"), Is.True)

[<Test>]
let ``samples do not depend on the batch they are drawn in`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    Assert.That((fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)).Code, Is.EqualTo 0)

    let draw (batch: int) =
        let file = folder.File $"{batch}.npy"
        let words = [ "sample"; "first"; "-n"; "50"; "--batch"; string batch; "--out"; file; "--runs"; root; "--quiet" ]
        Assert.That((fokker words).Code, Is.EqualTo 0)
        Tensor.toFloats (Npy.read file)

    // The noise is bit-equal; float32 products of other sizes round differently, and 25 steps carry it on.
    Array.iter2 (fun (a: float) (b: float) -> Assert.That(a, Is.EqualTo(b).Within 1e-3)) (draw 50: float[]) (draw 7)

[<Test>]
let ``names without a name are numbered, and overwriting replaces`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    let train words = fokker ([ "train"; "moons"; "--runs"; root ] @ small @ words)
    Assert.That((train []).Code, Is.EqualTo 0)
    Assert.That((train []).Code, Is.EqualTo 0)
    equal [ "moons"; "moons-2" ] (Runs.names root |> List.sort)
    Assert.That((train [ "--name"; "moons"; "--overwrite"; "--seed"; "5" ]).Code, Is.EqualTo 0)
    Assert.That((Runs.recipe (Runs.find root "moons")).Seed, Is.EqualTo 5L)

[<Test>]
let ``the command that a run prints repeats it byte for byte`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    let words =
        [ "train"; "pinwheel"; "--name"; "first"; "--path"; "vp"; "--loss"; "simple"; "--seed"; "3" ]
        @ small
    let outcome = fokker (words @ [ "--runs"; root; "--json" ])
    Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
    let command = (at "command" (json outcome)).GetValue<string>()
    let again = folder.File "again"
    let repeated =
        fokker (
            (command.Split ' ')[1..]
            |> List.ofArray
            |> fun words -> words @ [ "--runs"; again; "--draws"; "2"; "--quiet" ]
        )
    Assert.That(repeated.Code, Is.EqualTo 0, repeated.Error)
    let bytes root = File.ReadAllBytes(Path.Combine(root, "first", "checkpoint.safetensors"))
    equal (bytes root) (bytes again)

[<Test>]
let ``a file with too few samples to hold any out is trained on all the same, and not measured`` () =
    use folder = new Folder()
    let points = folder.File "points.npy"
    Npy.write points (Rng.normal Kind.Float32 [ 30; 2 ] (Rng.ofSeed 1L))
    let outcome = fokker ([ "train"; "npy:" + points; "--runs"; folder.File "runs" ] @ small)
    Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
    Assert.That(outcome.Error, Does.Contain "too few")
    let run name = Path.Combine(folder.File "runs", "points", name)
    Assert.That(File.Exists(run "report.html"), Is.True)
    Assert.That(File.Exists(run "evaluation.json"), Is.False)
    assertRefused (fokker [ "evaluate"; "points"; "--runs"; folder.File "runs" ]) [ "holds out 3"; "at least 8" ]

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

[<Test>]
let ``an error is one line on the error stream and exit code 2`` () =
    use folder = new Folder()
    use child = start folder.Path [ "train"; "mooons" ]
    let out, error = child.StandardOutput.ReadToEnd(), child.StandardError.ReadToEnd()
    child.WaitForExit()
    Assert.That(child.ExitCode, Is.EqualTo 2)
    Assert.That(out, Is.Empty)
    Assert.That(error.Trim().Split('\n').Length, Is.EqualTo 1, error)

[<Test>]
let ``without libtorch the error says what to install`` () =
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
    use child = nonNull (Process.Start info)
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    Assert.That(child.ExitCode, Is.EqualTo 2, error)
    Assert.That(error.Trim().Split('\n').Length, Is.EqualTo 1, error)
    Assert.That(error, Does.Contain "libtorch")

[<TestCase("INT", 130)>]
[<TestCase("TERM", 143)>]
let ``a signal saves the bytes that an untouched run has at that step, and says how to go on``
    (signal: string)
    (code: int)
    =
    use folder = new Folder()
    let words steps =
        [ "train"; "moons"; "--name"; "first"; "--steps"; steps; "--batch"; "32"; "--width"; "16"; "--depth"; "1" ]
    use child = start folder.Path (words "60000")
    let metrics = Path.Combine(folder.Path, "runs", "first", "metrics.jsonl")

    // Some way into the training, wherever the machine happens to be by then.
    while not child.HasExited && not (File.Exists metrics && FileInfo(metrics).Length > 2000L) do
        Threading.Thread.Sleep 20

    use kill = Process.Start("kill", [ $"-{signal}"; string child.Id ])
    kill.WaitForExit()
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    Assert.That(child.ExitCode, Is.EqualTo code, error)
    Assert.That(error, Does.Contain "--resume --name first")

    let run = Path.Combine(folder.Path, "runs", "first")
    let recipe = Runs.recipe (Runs.find (Path.Combine(folder.Path, "runs")) "first")
    let job = Runs.job recipe (Datasets.load "moons")
    let saved, _ = Checkpoint.read (Run.checkpointFile run) job.Network
    Assert.That(saved.Step, Is.InRange(1L, 59999L))
    let untouched = Path.Combine(folder.Path, "untouched")
    use claim = Run.claim untouched
    Run.create claim (Recipe.settings recipe)
    Run.train claim { Recipe.plan job with Budget = Budget.Steps saved.Step } (fun _ _ -> ()) (fun () -> false)
    |> ignore
    equal (File.ReadAllBytes(Run.checkpointFile untouched)) (File.ReadAllBytes(Run.checkpointFile run))

    let resumed =
        fokker [ "train"; "--resume"; "--name"; "first"; "--lr"; "1"; "--runs"; Path.Combine(folder.Path, "runs") ]
    assertRefused resumed [ "learningRate" ]

/// Killed under a bar, a process would leave the terminal without its cursor.
[<Test>]
let ``sampling hears a signal too, and writes nothing`` () =
    use folder = new Folder()
    File.WriteAllText(folder.File "mixture.json", """{"means": [[0, 0]], "stds": [1]}""")
    use child = start folder.Path [ "sample"; "--oracle"; "mixture.json"; "-n"; "2000000000"; "--batch"; "1000" ]
    // The first line on how far it has come.
    Assert.That(child.StandardOutput.ReadLine(), Does.StartWith "sampling: 0 %")
    use kill = Process.Start("kill", [ "-INT"; string child.Id ])
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    Assert.That(child.ExitCode, Is.EqualTo 130, error)
    Assert.That(error.Trim(), Is.EqualTo "stopped")
    Assert.That(File.Exists(folder.File "samples.npy"), Is.False)
