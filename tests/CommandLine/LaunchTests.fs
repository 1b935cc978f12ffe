/// Processes that an MPI's launcher starts together: one run, whatever their number; a process that dies or stands still ends all, and the run goes on with any number.
module Fokker.Tests.CommandLine.LaunchTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open System.Threading
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private launcher =
    lazy
        ((Environment.GetEnvironmentVariable "PATH" |> Option.ofObj |> Option.defaultValue "").Split ':'
         |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, "mpirun"))))

let private startAny (processes: int) (timeout: int) (words: string list) =
    if not (launcher.Force()) then
        skiptest "no mpirun: apt-get install openmpi-bin"

    let info = ProcessStartInfo("mpirun", RedirectStandardOutput = true, RedirectStandardError = true)
    let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")

    for name, value in
        [ "OMPI_ALLOW_RUN_AS_ROOT", "1"
          "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"
          // More processes than cores are right for a test.
          "OMPI_MCA_rmaps_base_oversubscribe", "1"
          "OMP_NUM_THREADS", "1"
          // The launcher gives each process a terminal, whatever its own output goes to, and .NET would send that its signs.
          "TERM", "dumb"
          "FOKKER_RANKS_TIMEOUT", string timeout ] do
        info.Environment[name] <- value

    for word in [ "-n"; string processes; "dotnet"; program ] @ words do
        info.ArgumentList.Add word

    let child = nonNull (Process.Start info)
    child, child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()

let private start (processes: int) (timeout: int) (root: string) (words: string list) =
    startAny processes timeout ([ "train"; "--runs"; root; "--name"; "it"; "--quiet"; "--json" ] @ words)

let private small = [ "moons"; "--batch"; "48"; "--width"; "16"; "--depth"; "1"; "--draws"; "2" ]

/// What a test has started ends with it.
let private ending (child: Process) =
    { new IDisposable with
        member _.Dispose() =
            if not child.HasExited then
                child.Kill true }

let private finished (child: Process, out: Threading.Tasks.Task<string>, error: Threading.Tasks.Task<string>) =
    Expect.isTrue (child.WaitForExit 600_000) "it has not ended in ten minutes"
    Expect.equal child.ExitCode 0 error.Result

/// Without what differs from run to run: where the page lies, and seconds.
let rec private untimed (said: JsonNode) : unit =
    match said with
    | :? JsonObject as fields ->
        for name in [ "page"; "seconds" ] do
            fields.Remove name |> ignore

        for field in fields do
            Option.iter untimed (Option.ofObj field.Value)
    | :? JsonArray as items ->
        for item in items do
            Option.iter untimed (Option.ofObj item)
    | _ -> ()

let private losses (root: string) =
    File.ReadAllLines(Run.metricsFile (Path.Combine(root, "it")))
    |> Array.map (fun line -> ((nonNull (JsonNode.Parse line))["loss"] |> nonNull).GetValue<float>())

/// The process of a rank under a launcher.
let private rankOf (launcher: Process) (rank: int) : Process =
    let isIt (folder: string) =
        try
            let stat = File.ReadAllText(Path.Combine(folder, "stat"))
            let parent = (stat.Substring(stat.LastIndexOf ')' + 2).Split ' ')[1]
            let environment () = File.ReadAllText(Path.Combine(folder, "environ")).Split '\000'
            parent = string launcher.Id && Array.contains $"OMPI_COMM_WORLD_RANK={rank}" (environment ())
        with :? IOException ->
            false

    Directory.GetDirectories "/proc"
    |> Array.filter (fun folder -> Char.IsDigit((Path.GetFileName folder |> nonNull)[0]))
    |> Array.find isIt
    |> Path.GetFileName
    |> int
    |> Process.GetProcessById

/// Longer than the twenty seconds after which a state is saved. Few large steps: on a busy machine processes wait for each other in every one.
let private long = [ "moons"; "--batch"; "3072"; "--width"; "128"; "--draws"; "2"; "--steps"; "5000" ]

let private history (root: string) = Metrics.read (Run.metricsFile (Path.Combine(root, "it")))

/// The last step of a run, and the mean of the losses of the last two thousand; a line of the history has the mean since the one before.
let private ended (root: string) : int64 * float =
    let lines = history root
    let last = (List.last lines).Step

    let late =
        [ for before, line in List.pairwise lines do
              if before.Step >= last - 2000L then
                  float (line.Step - before.Step), line.Loss ]

    last, List.sumBy (fun (steps, loss) -> steps * loss) late / List.sumBy fst late

let private undisturbed =
    lazy
        (use folder = new Folder()
         finished (start 2 60 folder.Path long)
         ended folder.Path)

/// Waits until the run has a checkpoint and is training.
let private untilSaved (root: string) (child: Process) =
    let deadline = DateTime.UtcNow.AddMinutes 3.0

    while not (File.Exists(Run.checkpointFile (Path.Combine(root, "it")))) do
        if child.HasExited || DateTime.UtcNow > deadline then
            failtest "no checkpoint in three minutes"

        Thread.Sleep 20

/// Single precision, sums in another order.
let private haveOneCurveWith (one: float[]) (several: float[]) =
    Expect.equal several.Length one.Length ""

    for a, b in Array.zip one several do
        Expect.within (1e-4 * abs a) b a ""

let private haveOneCurve (counts: int list) (words: string list) (steps: int) =
    let curve count =
        use folder = new Folder()
        finished (start count 60 folder.Path (words @ [ "--steps"; string steps ]))
        losses folder.Path

    let one = curve 1

    for count in counts do
        haveOneCurveWith one (curve count)

[<Tests>]
let tests =
    testList
        "CommandLine.Launch"
        [ // The one test that launches anything in the short run: by a launcher that is there, two processes train together.
          testCase "two processes that are launched have the curve of one that is not"
          <| fun () ->
              use folder = new Folder()
              let words = small @ [ "--steps"; "8" ]
              finished (start 2 300 folder.Path words)
              use other = new Folder()
              let alone = fokker ([ "train"; "--runs"; other.Path; "--name"; "it"; "--quiet" ] @ words)
              Expect.equal alone.Code 0 alone.Error
              haveOneCurveWith (losses other.Path) (losses folder.Path)

          full (testCase "one, two and three processes have one curve" <| fun () -> haveOneCurve [ 2; 3 ] small 40)

          // Two buckets of gradients, which Open MPI sums on a thread beside the backward pass.
          full (
              testCase "two processes that sum in several buckets have the curve of one"
              <| fun () ->
                  haveOneCurve [ 2 ] [ "moons"; "--batch"; "8"; "--width"; "800"; "--depth"; "3"; "--draws"; "2" ] 3
          )

          full (
              testCase "samples of two and three processes are the bytes of one, and so are their measures"
              <| fun () ->
                  use folder = new Folder()
                  finished (start 1 60 folder.Path (small @ [ "--steps"; "40" ]))

                  let asked count (words: string list) =
                      let child, out, error = startAny count 60 (words @ [ "it"; "--runs"; folder.Path; "--json" ])
                      finished (child, out, error)
                      out.Result

                  let drawn count =
                      let file = folder.File $"{count}.npy"
                      let own = [ "sample"; "-n"; "250"; "--batch"; "40"; "--solver"; "euler-maruyama"; "--out"; file ]
                      let said = nonNull (JsonNode.Parse(asked count own))
                      let evaluations = (nonNull said["evaluations"]).GetValue<float>()
                      File.ReadAllBytes file, evaluations, (nonNull said["calls"]).GetValue<float>()

                  // Seconds differ, figures do not.
                  let measured count =
                      let said = asked count [ "evaluate"; "--draws"; "2"; "-n"; "100"; "--batch"; "60" ]
                      (nonNull ((nonNull (JsonNode.Parse said))["metrics"])).ToJsonString()

                  let one, evaluations, calls = drawn 1
                  let measures = measured 1

                  for count in [ 2; 3 ] do
                      let several, theirEvaluations, theirCalls = drawn count
                      Expect.sequenceEqual several one $"{count} processes"
                      Expect.equal theirEvaluations evaluations ""
                      Expect.equal theirCalls calls ""
                      Expect.equal (measured count) measures $"{count} processes"

                  // What only one of them has is refused, and all end.
                  let own = [ "sample"; "it"; "--runs"; folder.Path; "--trajectory"; folder.File "way.npz" ]
                  let child, _, error = startAny 2 60 own
                  use _ = ending child
                  Expect.isTrue (child.WaitForExit 60_000) "it waits"
                  Expect.notEqual child.ExitCode 0 ""
                  Expect.stringContains error.Result "--trajectory" ""
                  Expect.isFalse (File.Exists(folder.File "way.npz")) ""
          )

          full (
              testTheory
                  "two and three processes find what one finds in a study"
                  [ "bias", [ "--seeds"; "1"; "--steps"; "2"; "--count"; "32" ]
                    "bridge", [ "--seeds"; "2"; "--steps"; "2" ]
                    "blind", [ "--seeds"; "2"; "--steps"; "2"; "--count"; "32" ]
                    "ot-cfm", [ "--seeds"; "2"; "--steps"; "20"; "--count"; "64" ] ]
              <| fun (study: string, size: string list) ->
                  use folder = new Folder()

                  let found (count: int) =
                      let page = folder.File $"page-{count}.html"
                      let child, out, error =
                          startAny count 60 ("study" :: study :: "--json" :: size @ [ "--out"; page ])
                      use _ = ending child
                      finished (child, out, error)
                      Expect.isTrue (File.Exists page) $"{count} processes wrote no page"
                      // One process of them speaks.
                      let said = nonNull (JsonNode.Parse(out.Result.Substring(out.Result.IndexOf '{')))
                      untimed said
                      said.ToJsonString()

                  let one = found 1

                  for count in [ 2; 3 ] do
                      Expect.equal (found count) one $"{count} processes"
          )

          testCase "a study whose work is not shared out refuses more than one process, and says which are"
          <| fun () ->
              let child, _, error = startAny 2 60 [ "study"; "guidance"; "--quiet" ]
              use _ = ending child
              Expect.isTrue (child.WaitForExit 60_000) "it has not ended in a minute"
              Expect.notEqual child.ExitCode 0 ""

              for part in [ "--ranks 2"; "guidance"; "bias"; "bridge"; "ot-cfm" ] do
                  Expect.stringContains error.Result part ""

          testCase "--ranks is a number of processes, and goes with the commands that several do together"
          <| fun () ->
              assertRefused (fokker [ "sample"; "it"; "--ranks"; "two" ]) [ "--ranks two"; "number of processes" ]
              assertRefused (fokker [ "study"; "bias"; "--ranks" ]) [ "--ranks"; "number of processes" ]
              assertRefused (fokker [ "sample"; "it"; "--ranks"; "0" ]) [ "0 processes" ]
              assertRefused (fokker [ "list"; "losses"; "--ranks"; "2" ]) [ "--ranks" ]

              for command in [ "train"; "sample"; "evaluate"; "study" ] do
                  Expect.stringContains (fokker [ command; "--help" ]).Out "--ranks <count>" command

          full (
              testTheory "where a process is killed all end, and one or three go on to the same end" [ 1; 3 ]
              <| fun (others: int) ->
                  use folder = new Folder()
                  let child, _, _ = start 2 60 folder.Path long
                  use _ = ending child
                  untilSaved folder.Path child
                  kill "KILL" (rankOf child 1)
                  Expect.isTrue (child.WaitForExit 30_000) "the other process goes on without it"
                  Expect.notEqual child.ExitCode 0 ""
                  Expect.isLessThan (List.last (history folder.Path)).Step 5000L "it was finished before it was killed"
                  finished (start others 60 folder.Path [ "--resume" ])
                  let (expectedStep, expected), (step, found) = undisturbed.Force(), ended folder.Path
                  Expect.equal step expectedStep ""
                  // Thousands of steps apart in rounding: the same training, and no longer the same digits.
                  Expect.within (0.01 * expected) found expected ""
          )

          full (
              testCase "a process that stands still is named, and all end"
              <| fun () ->
                  use folder = new Folder()
                  let child, _, error = start 2 3 folder.Path (small @ [ "--steps"; "10000000" ])
                  use _ = ending child
                  untilSaved folder.Path child
                  kill "STOP" (rankOf child 1)
                  Expect.isTrue (child.WaitForExit 60_000) "it waits for ever"
                  Expect.notEqual child.ExitCode 0 ""
                  Expect.stringContains error.Result "waited 3 s for process 1" ""
                  // What was saved is whole.
                  Scope.free (
                      fst (
                          Checkpoint.read
                              (Run.checkpointFile (folder.File "it"))
                              (Runs.job (Runs.recipe (Runs.find folder.Path "it")) (Datasets.load "moons")).Network
                      )
                  )
          ) ]
