module Fokker.Tests.Training.RunTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open NUnit.Framework
open Fokker
open Fokker.Tests.Training.Support

let private quiet: StepInfo -> float -> unit = fun _ _ -> ()
let private never () = false
let private node (value: string) : JsonNode = nonNull (JsonValue.Create value)

let private settings () : (string * JsonNode) list = [ "dataset", node "moons"; "seed", JsonValue.Create 3 ]

let private made folder =
    use claim = Run.claim folder
    Run.create claim (settings ())

let private trainWith folder plan progress stop =
    use claim = Run.claim folder
    Run.train claim plan progress stop

let private train folder plan =
    let result = trainWith folder plan quiet never
    Scope.free result.State
    result

let private checkpoint folder = File.ReadAllBytes(Run.checkpointFile folder)
let private steps folder = Metrics.read (Run.metricsFile folder) |> List.map _.Step

/// The lines that do not depend on the clock.
let private history folder =
    Metrics.read (Run.metricsFile folder) |> List.map (fun m -> m.Step, m.Loss, m.GradientNorm, m.Rate)

let private inTwo (test: string -> string -> unit) =
    inFolder (fun folder -> test (Path.Combine(folder, "a")) (Path.Combine(folder, "b")))

/// Tensors are counted here: those that other tests left to the collector are not to go meanwhile.
[<SetUp>]
let collect () =
    System.GC.Collect()
    System.GC.WaitForPendingFinalizers()

[<Test>]
let ``equal seeds give equal checkpoints, other seeds others`` () =
    inTwo (fun a b ->
        for folder in [ a; b ] do
            made folder
            train folder (plan 60L) |> ignore

        Assert.That(checkpoint b, sameAs (checkpoint a))
        Assert.That(history b, sameAs (history a))
        let c = b + "c"
        made c
        train c { plan 60L with Seed = 4L } |> ignore
        Assert.That(checkpoint c, Is.Not.EqualTo(box (checkpoint a))))

/// With pairs of a coupling, which a run on disk makes on a thread beside it.
[<Test>]
let ``a run in memory ends where one on disk does`` () =
    inFolder (fun folder ->
        made folder

        let coupled =
            { plan 60L with
                Prepare =
                    Some(fun rng batch ->
                        { batch with Source = Some(Rng.normal batch.Data.Kind batch.Data.Shape rng) }) }

        let before = Scope.live ()
        let onDisk = trainWith folder coupled quiet never
        let inMemory = Run.inMemory coupled quiet never

        Scope.run0 (fun () ->
            for a, b in Array.zip onDisk.State.Average inMemory.State.Average do
                Assert.That(Tensor.toFloats b, sameAs (Tensor.toFloats a)))

        Assert.That(inMemory.Ending, Is.EqualTo Ending.Finished)
        Scope.free onDisk.State
        Scope.free inMemory.State
        Assert.That(Scope.live (), Is.EqualTo before))

[<Test>]
let ``a run leaves its settings, what it ran on, its history and its result`` () =
    inFolder (fun folder ->
        made folder
        let before = Scope.live ()
        let result = train folder (plan 60L)
        Assert.That(Scope.live (), Is.EqualTo before)
        Assert.That(result.Ending, Is.EqualTo Ending.Finished)
        let json = Run.describe folder
        let text (path: string) =
            path.Split '/'
            |> Array.fold (fun (n: JsonNode) name -> nonNull n[name]) (json :> JsonNode)
            |> string
        Assert.That(text "settings/dataset", Is.EqualTo "moons")
        let settings = Run.settings folder
        Assert.That(string settings["seed"], Is.EqualTo "3")
        Assert.That(text "environment/libtorch", Is.EqualTo(Torch.version ()))
        Assert.That(text "environment/threads", Is.EqualTo(string (Torch.threads ())))
        Assert.That(text "environment/cpuCapability", Is.EqualTo(Torch.cpuCapability ()))
        Assert.That(text "fokker", Does.StartWith "0.")
        Assert.That(text "result/ending", Is.EqualTo "finished")
        Assert.That(text "result/step", Is.EqualTo "60")
        Assert.That(List.last (steps folder), Is.EqualTo 60L)
        let trained = ModelFile.read [] Device.Cpu None (Run.modelFile folder)
        Assert.That(trained.Training.Data, Is.EqualTo "moons")
        Assert.That(trained.Training.Steps, Is.EqualTo 60L)
        Assert.That(trained.Units, Is.EqualTo (plan 0L).Dataset.Units))

[<Test>]
let ``a finished run can be continued for more steps, as if it had been longer from the start`` () =
    inTwo (fun a b ->
        made a
        train a (plan 90L) |> ignore
        made b
        train b (plan 40L) |> ignore
        train b (plan 90L) |> ignore
        Assert.That(checkpoint b, sameAs (checkpoint a)))

exception private Crash

[<Test>]
let ``a run that dies at any step and is taken up again ends with the same bytes and no line twice`` () =
    inTwo (fun a b ->
        made a
        train a (plan 110L) |> ignore
        let random = Random 1

        for _ in 1..6 do
            let folder = Path.Combine(b, Guid.NewGuid().ToString "n")
            made folder
            let mutable deaths = 0

            while deaths < 3 do
                let dieAt = int64 (random.Next(1, 110))

                try
                    // Dying without a last word: nothing is saved on the way out.
                    trainWith
                        folder
                        (plan 110L)
                        (fun info _ ->
                            if info.Step = dieAt then
                                raise Crash)
                        never
                    |> fun r -> Scope.free r.State
                with Crash ->
                    ()

                deaths <- deaths + 1

            train folder (plan 110L) |> ignore
            Assert.That(checkpoint folder, sameAs (checkpoint a))
            Assert.That(history folder, sameAs (history a)))

[<Test>]
let ``a run that is asked to stop saves itself where it is`` () =
    inTwo (fun a b ->
        made a
        train a (plan 60L) |> ignore
        made b
        let mutable step = 0L
        let result = trainWith b (plan 60L) (fun info _ -> step <- info.Step) (fun () -> step = 37L)
        Assert.That(result.Ending, Is.EqualTo Ending.Interrupted)
        Assert.That((fst (Checkpoint.read (Run.checkpointFile b) small)).Step, Is.EqualTo 37L)
        Assert.That(List.last (steps b), Is.EqualTo 37L)
        Scope.free result.State
        train b (plan 60L) |> ignore
        Assert.That(checkpoint b, sameAs (checkpoint a))
        Assert.That(steps b, Is.Unique)
        Assert.That(steps b, Is.Ordered))

[<Test>]
let ``a run that diverges keeps what it had learned and says so`` () =
    inFolder (fun folder ->
        made folder

        let poisoned: Loss =
            fun context rng batch ->
                let each = flowMatching context rng batch
                if context.Step = 40L then each * nan else each

        let result = trainWith folder { plan 60L with Loss = poisoned } quiet never

        match result.Ending with
        | Ending.Diverged d -> Assert.That(d.Step, Is.EqualTo 41L)
        | other -> Assert.Fail $"{other}"

        Assert.That((fst (Checkpoint.read (Run.checkpointFile folder) small)).Step, Is.EqualTo 40L)
        Assert.That(string ((nonNull ((Run.describe folder)["result"]))["ending"]), Is.EqualTo "diverged"))

[<Test>]
let ``lines after the checkpoint, and one cut short, are dropped when a run is taken up`` () =
    inFolder (fun folder ->
        made folder
        train folder (plan 30L) |> ignore
        let file = Run.metricsFile folder
        let kept = File.ReadAllText file

        let later = Metrics.line { Step = 35L; Loss = 1.0; GradientNorm = 1.0; Rate = 1.0; Seconds = 1.0 }

        File.AppendAllText(file, later + "\n{\"step\":36,\"lo")
        train folder (plan 30L) |> ignore
        Assert.That(File.ReadAllText file, Is.EqualTo kept))

[<Test>]
let ``a metric is the same after text and back`` () =
    let m = { Step = 123456789L; Loss = 0.1 + 0.2; GradientNorm = 1e-300; Rate = 1.0 / 3.0; Seconds = 12.5 }

    Assert.That(Metrics.ofLine (Metrics.line m), Is.EqualTo(Some m))

    for bad in [ ""; "{"; "[]"; "{}"; "7"; "{\"step\":\"x\"}" ] do
        Assert.That(Metrics.ofLine bad, Is.EqualTo None)

[<Test>]
let ``lines are due at first after every step, then about two hundred times a decade`` () =
    let due a b = Seq.init (int (b - a)) (fun i -> a + int64 i) |> Seq.filter Metrics.isDue |> Seq.length
    Assert.That(due 1L 20L, Is.EqualTo 19)
    Assert.That(due 1_000L 10_000L, Is.EqualTo 180)
    Assert.That(due 100_000L 1_000_000L, Is.EqualTo 180)

[<Test>]
let ``what can be wrong with a run's folder is one line each`` () =
    inFolder (fun folder ->
        let run = Path.Combine(folder, "run")
        userError (fun () -> Run.describe run) |> names [ run; "no run" ]
        made run
        userError (fun () -> made run) |> names [ run; "holds a run already"; "Resume" ]
        let settings = File.ReadAllText(Run.runFile run)
        File.WriteAllText(Run.runFile run, settings[..20])
        userError (fun () -> Run.describe run) |> names [ Run.runFile run; "not the JSON" ]
        File.WriteAllText(Run.runFile run, "[]")
        userError (fun () -> Run.describe run) |> names [ Run.runFile run ]
        File.WriteAllText(Run.runFile run, "{}")
        userError (fun () -> Run.settings run) |> names [ Run.runFile run; "no settings" ]
        File.WriteAllText(Run.runFile run, settings)
        train run (plan 30L) |> ignore
        userError (fun () -> train run { plan 40L with Seed = 5L }) |> names [ "another seed than 5" ]
        let other = Networks.mlp { Mlp.standard 2 with Width = 48; Depth = 2 }
        let before = checkpoint run
        userError (fun () -> train run { plan 40L with Network = other })
        |> names [ "width is 32 there, expected 48" ]
        Assert.That(checkpoint run, sameAs before)
        // A place that is a file cannot be a folder.
        let file = Path.Combine(folder, "file")
        File.WriteAllText(file, "")
        userError (fun () -> made file) |> names [ file ]
        userError (fun () -> made (Path.Combine(file, "run"))) |> names [ file ])

[<Test>]
let ``a disk that is full ends the run with the last checkpoint in place`` () =
    inFolder (fun folder ->
        made folder
        train folder (plan 25L) |> ignore
        let before = checkpoint folder
        Fokker.Tests.Torch.Support.onFullDisk (before.Length / 2) (fun () ->
            userError (fun () -> train folder (plan 100L))
            |> names [ "checkpoint.safetensors"; "cannot be written" ])
        Assert.That(checkpoint folder, sameAs before)
        // With room again it goes on from there.
        train folder (plan 100L) |> ignore
        Assert.That((fst (Checkpoint.read (Run.checkpointFile folder) small)).Step, Is.EqualTo 100L))

[<Test>]
let ``two processes cannot train one run`` () =
    inFolder (fun folder ->
        made folder
        train folder (plan 25L) |> ignore

        // From within the run itself, a second one is tried.
        let second _ _ = userError (fun () -> train folder (plan 50L)) |> names [ folder; "another process" ]

        let result = trainWith folder (plan 26L) second never
        Scope.free result.State
        Assert.That(Directory.GetFiles(folder) |> Array.filter (fun f -> f.EndsWith ".lock"), Is.Empty))

// ---- killed for real

/// What the child process does (see Child.fs).
let child (folder: string) (steps: int64) =
    if not (File.Exists(Run.runFile folder)) then
        made folder

    let result = trainWith folder { plan steps with Save = Cadence.Steps 7L } quiet never
    printfn $"{result.State.Step}"

let private spawn (folder: string) (steps: int64) =
    let start = ProcessStartInfo("dotnet", [ typeof<Crash>.Assembly.Location; "train"; folder; string steps ])
    start.RedirectStandardOutput <- true
    start.RedirectStandardError <- true
    nonNull (Process.Start start)

[<Test>]
let ``a process that is killed at any moment and started again ends with the same bytes`` () =
    inTwo (fun a b ->
        let steps = 400L
        made a
        train a { plan steps with Save = Cadence.Steps 7L } |> ignore
        let random = Random 2

        let size () = if File.Exists(Run.metricsFile b) then (FileInfo(Run.metricsFile b)).Length else 0L

        let mutable kills = 0
        let mutable finished = false

        while not finished do
            use child = spawn b steps

            if kills < 4 then
                // Some time after it has written its first new line: in a step, in a checkpoint, between the two.
                let before = size ()
                let deadline = DateTime.UtcNow.AddSeconds 60.0

                while not child.HasExited && size () <= before && DateTime.UtcNow < deadline do
                    Threading.Thread.Sleep 1

                Threading.Thread.Sleep(random.Next 60)

                if not child.HasExited then
                    child.Kill()
                    kills <- kills + 1

            let errors = child.StandardError.ReadToEnd()
            child.WaitForExit()
            finished <- child.ExitCode = 0
            // 137: killed. Anything else that is not success is a fault.
            Assert.That(child.ExitCode, Is.AnyOf(0, 137), errors)

        Assert.That(kills, Is.GreaterThanOrEqualTo 2)
        Assert.That(checkpoint b, sameAs (checkpoint a))
        Assert.That(history b, sameAs (history a)))
