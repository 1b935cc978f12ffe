module Fokker.Tests.Training.RunTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
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

exception private Crash

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

// ---- TensorBoard's events, read by a reader of our own

/// CRC-32C bit by bit (Castagnoli's polynomial, reflected), masked as TFRecord has it.
let private masked (bytes: byte[]) : uint32 =
    let mutable crc = 0xffffffffu

    for b in bytes do
        crc <- crc ^^^ uint32 b

        for _ in 1..8 do
            crc <- if crc &&& 1u = 1u then (crc >>> 1) ^^^ 0x82f63b78u else crc >>> 1

    let crc = ~~~crc
    ((crc >>> 15) ||| (crc <<< 17)) + 0xa282ead8u

/// The fields of a protocol buffers message: their numbers, with the bytes of each.
let private fields (message: byte[]) : (int * byte[]) list =
    let rec varint at shift (sum: uint64) =
        let b = message[at]
        let sum = sum ||| (uint64 (b &&& 0x7fuy) <<< shift)
        if b >= 0x80uy then varint (at + 1) (shift + 7) sum else struct (sum, at + 1)

    let rec go at found =
        if at = message.Length then
            List.rev found
        else
            let struct (key, at) = varint at 0 0UL
            let field = int (key >>> 3)

            match key &&& 7UL with
            | 0UL ->
                let struct (value, next) = varint at 0 0UL
                go next ((field, BitConverter.GetBytes value) :: found)
            | 1UL -> go (at + 8) ((field, message[at .. at + 7]) :: found)
            | 5UL -> go (at + 4) ((field, message[at .. at + 3]) :: found)
            | 2UL ->
                let struct (length, at) = varint at 0 0UL
                go (at + int length) ((field, message[at .. at + int length - 1]) :: found)
            | other -> failtest $"wire type {other}"

    go 0 []

/// The records of a file, whose checksums are those of their bytes.
let private records (file: string) : byte[] list =
    let bytes = File.ReadAllBytes file

    let rec go at found =
        if at = bytes.Length then
            List.rev found
        else
            let length = int (BitConverter.ToUInt64(bytes, at))
            Expect.equal (BitConverter.ToUInt32(bytes, at + 8)) (masked bytes[at .. at + 7]) "a length's checksum"
            let data = bytes[at + 12 .. at + 11 + length]
            Expect.equal (BitConverter.ToUInt32(bytes, at + 12 + length)) (masked data) "a record's checksum"
            go (at + 16 + length) (data :: found)

    go 0 []

[<Tests>]
let tests =
    testList
        "Training.Run"
        [ testCase "equal seeds give equal checkpoints, other seeds others"
          <| fun () ->
              inTwo (fun a b ->
                  for folder in [ a; b ] do
                      made folder
                      train folder (plan 60L) |> ignore

                  Expect.same (checkpoint b) (checkpoint a) ""
                  Expect.same (history b) (history a) ""
                  let c = b + "c"
                  made c
                  train c { plan 60L with Seed = 4L } |> ignore
                  Expect.notEqual (checkpoint c) (checkpoint a) "")

          // With pairs of a coupling, which a run on disk makes on a thread beside it.
          testCase "a run in memory ends where one on disk does"
          <| fun () ->
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
                          Expect.same (Tensor.toFloats b) (Tensor.toFloats a) "")

                  Expect.equal inMemory.Ending Ending.Finished ""
                  Scope.free onDisk.State
                  Scope.free inMemory.State
                  Expect.equal (Scope.live ()) before "")

          testCase "a run leaves its settings, what it ran on, its history and its result"
          <| fun () ->
              inFolder (fun folder ->
                  made folder
                  let before = Scope.live ()
                  let result = train folder (plan 60L)
                  Expect.equal (Scope.live ()) before ""
                  Expect.equal result.Ending Ending.Finished ""
                  let json = Run.describe folder
                  let text (path: string) =
                      path.Split '/'
                      |> Array.fold (fun (n: JsonNode) name -> nonNull n[name]) (json :> JsonNode)
                      |> string
                  Expect.equal (text "settings/dataset") "moons" ""
                  let settings = Run.settings folder
                  Expect.equal (string settings["seed"]) "3" ""
                  Expect.equal (text "environment/libtorch") (Torch.version ()) ""
                  Expect.equal (text "environment/threads") (string (Torch.threads ())) ""
                  Expect.equal (text "environment/cpuCapability") (Torch.cpuCapability ()) ""
                  Expect.stringStarts (text "fokker") "0." ""
                  Expect.equal (text "result/ending") "finished" ""
                  Expect.equal (text "result/step") "60" ""
                  Expect.equal (List.last (steps folder)) 60L ""
                  let trained = ModelFile.read OwnParts.none Device.Cpu None (Run.modelFile folder)
                  Expect.equal trained.Training.Data "moons" ""
                  Expect.equal trained.Training.Steps 60L ""
                  Expect.equal trained.Units ((plan 0L).Dataset.Units) "")

          testCase "a finished run can be continued for more steps, as if it had been longer from the start"
          <| fun () ->
              inTwo (fun a b ->
                  made a
                  train a (plan 90L) |> ignore
                  made b
                  train b (plan 40L) |> ignore
                  train b (plan 90L) |> ignore
                  Expect.same (checkpoint b) (checkpoint a) "")

          testCase "a run that dies at any step and is taken up again ends with the same bytes and no line twice"
          <| fun () ->
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
                      Expect.same (checkpoint folder) (checkpoint a) ""
                      Expect.same (history folder) (history a) "")

          testCase "a run that is asked to stop saves itself where it is"
          <| fun () ->
              inTwo (fun a b ->
                  made a
                  train a (plan 60L) |> ignore
                  made b
                  let mutable step = 0L
                  let result = trainWith b (plan 60L) (fun info _ -> step <- info.Step) (fun () -> step = 37L)
                  Expect.equal result.Ending Ending.Interrupted ""
                  Expect.equal ((fst (Checkpoint.read (Run.checkpointFile b) small)).Step) 37L ""
                  Expect.equal (List.last (steps b)) 37L ""
                  Scope.free result.State
                  train b (plan 60L) |> ignore
                  Expect.same (checkpoint b) (checkpoint a) ""
                  Expect.unique (steps b) ""
                  Expect.isAscending (steps b) "")

          testCase "a run that diverges keeps what it had learned and says so"
          <| fun () ->
              inFolder (fun folder ->
                  made folder

                  let poisoned: Loss =
                      fun context rng batch ->
                          let each = flowMatching context rng batch
                          if context.Step = 40L then each * nan else each

                  let result = trainWith folder { plan 60L with Loss = poisoned } quiet never

                  match result.Ending with
                  | Ending.Diverged d -> Expect.equal d.Step 41L ""
                  | other -> failtest $"{other}"

                  Expect.equal ((fst (Checkpoint.read (Run.checkpointFile folder) small)).Step) 40L ""
                  Expect.equal (string ((nonNull ((Run.describe folder)["result"]))["ending"])) "diverged" "")

          testCase "lines after the checkpoint, and one cut short, are dropped when a run is taken up"
          <| fun () ->
              inFolder (fun folder ->
                  made folder
                  train folder (plan 30L) |> ignore
                  let file = Run.metricsFile folder
                  let kept = File.ReadAllText file

                  let later = Metrics.line { Step = 35L; Loss = 1.0; GradientNorm = 1.0; Rate = 1.0; Seconds = 1.0 }

                  File.AppendAllText(file, later + "\n{\"step\":36,\"lo")
                  train folder (plan 30L) |> ignore
                  Expect.equal (File.ReadAllText file) kept "")

          testCase "TensorBoard's events are the lines of the history, after a run was taken up too"
          <| fun () ->
              // The check value that is published with the polynomial: E3069283, masked.
              Expect.equal
                  (masked (Text.Encoding.ASCII.GetBytes "123456789"))
                  (((0xe3069283u >>> 15) ||| (0xe3069283u <<< 17)) + 0xa282ead8u)
                  ""

              inFolder (fun folder ->
                  made folder
                  let file = Path.Combine(folder, EventFile.name)

                  let assertSame () =
                      let found = records file
                      let first = Map.ofList (fields found.Head)
                      Expect.equal (Text.Encoding.ASCII.GetString first[3]) "brain.Event:2" ""
                      let start = BitConverter.ToDouble first[1]
                      let lines = Metrics.read (Run.metricsFile folder)
                      Expect.equal found.Tail.Length lines.Length "an event for each line"

                      for event, line in List.zip found.Tail lines do
                          let event = fields event
                          let one field = event |> List.find (fst >> (=) field) |> snd
                          Expect.equal (BitConverter.ToInt64(one 2)) line.Step ""
                          Expect.within 1e-6 (BitConverter.ToDouble(one 1) - start) line.Seconds ""

                          let values =
                              [ for _, value in fields (one 5) do
                                    let value = Map.ofList (fields value)
                                    Text.Encoding.ASCII.GetString value[1], BitConverter.ToSingle value[2] ]

                          Expect.equal
                              values
                              [ "loss", float32 line.Loss
                                "gradient norm", float32 line.GradientNorm
                                "learning rate", float32 line.Rate ]
                              ""

                      start

                  train folder (plan 30L) |> ignore
                  let start = assertSame ()
                  let kept = File.ReadAllBytes file
                  File.AppendAllText(file, "a record that was cut sh")
                  train folder (plan 30L) |> ignore
                  Expect.isTrue (File.ReadAllBytes file = kept) "nothing happened, and nothing changed"
                  train folder (plan 60L) |> ignore
                  Expect.equal (assertSame ()) start "the run began when it began")

          testCase "a metric is the same after text and back"
          <| fun () ->
              let m = { Step = 123456789L; Loss = 0.1 + 0.2; GradientNorm = 1e-300; Rate = 1.0 / 3.0; Seconds = 12.5 }

              Expect.equal (Metrics.ofLine (Metrics.line m)) (Some m) ""

              for bad in [ ""; "{"; "[]"; "{}"; "7"; "{\"step\":\"x\"}" ] do
                  Expect.equal (Metrics.ofLine bad) None ""

          testCase "lines are due at first after every step, then about two hundred times a decade"
          <| fun () ->
              let due a b = Seq.init (int (b - a)) (fun i -> a + int64 i) |> Seq.filter Metrics.isDue |> Seq.length
              Expect.equal (due 1L 20L) 19 ""
              Expect.equal (due 1_000L 10_000L) 180 ""
              Expect.equal (due 100_000L 1_000_000L) 180 ""

          testCase "what can be wrong with a run's folder is one line each"
          <| fun () ->
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
                  Expect.same (checkpoint run) before ""
                  // A place that is a file cannot be a folder.
                  let file = Path.Combine(folder, "file")
                  File.WriteAllText(file, "")
                  userError (fun () -> made file) |> names [ file ]
                  userError (fun () -> made (Path.Combine(file, "run"))) |> names [ file ])

          testCase "a disk that is full ends the run with the last checkpoint in place"
          <| fun () ->
              inFolder (fun folder ->
                  made folder
                  train folder (plan 25L) |> ignore
                  let before = checkpoint folder
                  Fokker.Tests.Torch.Support.onFullDisk (before.Length / 2) (fun () ->
                      userError (fun () -> train folder (plan 100L))
                      |> names [ "checkpoint.safetensors"; "cannot be written" ])
                  Expect.same (checkpoint folder) before ""
                  // With room again it goes on from there.
                  train folder (plan 100L) |> ignore
                  Expect.equal ((fst (Checkpoint.read (Run.checkpointFile folder) small)).Step) 100L "")

          testCase "two processes cannot train one run"
          <| fun () ->
              inFolder (fun folder ->
                  made folder
                  train folder (plan 25L) |> ignore

                  // From within the run itself, a second one is tried.
                  let second _ _ = userError (fun () -> train folder (plan 50L)) |> names [ folder; "another process" ]

                  let result = trainWith folder (plan 26L) second never
                  Scope.free result.State
                  Expect.isEmpty (Directory.GetFiles(folder) |> Array.filter (fun f -> f.EndsWith ".lock")) "")

          testCase "a process that is killed at any moment and started again ends with the same bytes"
          <| fun () ->
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
                      Expect.contains [ 0; 137 ] child.ExitCode errors

                  Expect.isGreaterThanOrEqual kills 2 ""
                  Expect.same (checkpoint b) (checkpoint a) ""
                  Expect.same (history b) (history a) "") ]
    |> collected
