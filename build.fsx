// What a person does with this checkout, one target each. Run it through ./build.sh, which makes the machine ready first.

#r "nuget: Fake.Core.Target, 5.20.3"
#r "nuget: Fake.Core.Process, 5.20.3"
#r "nuget: Fake.IO.FileSystem, 5.20.3"
// FAKE asks for 4.4.1, which not every feed has; naming the next one keeps NuGet from warning at each run.
#r "nuget: System.Reactive, 5.0.0"

open System
open System.IO
open System.Xml.Linq
open Fake.Core
open Fake.Core.TargetOperators
open Fake.IO
open Fake.IO.Globbing.Operators

let arguments = fsi.CommandLineArgs |> List.ofArray |> List.tail

let asked, rest =
    match arguments with
    | [] -> "Build", []
    | target :: rest -> target, rest

Environment.CurrentDirectory <- __SOURCE_DIRECTORY__

// FAKE expects to have been started by its own runner and reads its state from there.
Context.FakeExecutionContext.Create false "build.fsx" []
|> Context.RuntimeContext.Fake
|> Context.setExecutionContext

// FAKE's own listener prints three pages of its own for each page of the program's.
CoreTracing.setTraceListeners
    [ { new ITraceListener with
          member _.Write message =
              match message with
              | TraceData.OpenTag(KnownTags.Target name, _) -> printfn $"\n== %s{name}"
              | _ -> () } ]

/// Runs a program in the foreground and returns its exit code. What it prints goes straight to the terminal.
let start program (arguments: string list) =
    RawCommand(program, Arguments.OfArgs arguments)
    |> CreateProcess.fromCommand
    |> CreateProcess.withWorkingDirectory __SOURCE_DIRECTORY__
    |> Proc.run
    |> _.ExitCode

/// Runs a program that has to succeed.
let run program arguments =
    match start program arguments with
    | 0 -> ()
    | code -> failwith $"""%s{program} %s{String.concat " " arguments} exited with code %d{code}."""

let solution = "Toolkit.sln"
let results = "artifacts/tests"

// --- Dependencies ----------------------------------------------------------------------------------------------------

/// `Name Version` of every resolved package, sorted. paket.lock itself names the feed it came from, so it stays out of git.
let resolved () =
    let padded (version: string) =
        match version.Split '.' with
        | [| major |] -> $"%s{major}.0.0"
        | [| major; minor |] -> $"%s{major}.%s{minor}.0"
        | _ -> version

    File.ReadAllLines "paket.lock"
    |> Seq.filter (fun line -> line.StartsWith "    " && not (line.StartsWith "     "))
    |> Seq.map (fun line -> line.Trim().Split ' ')
    |> Seq.map (fun words -> $"%s{words[0]} %s{padded (words[1].Trim('(', ')'))}")
    |> Seq.sortWith (fun a b -> String.CompareOrdinal(a, b))
    |> List.ofSeq

let checkDependencies _ =
    let recorded = File.ReadAllLines "dependencies.txt" |> List.ofArray
    let found = resolved ()

    if recorded <> found then
        for line in List.except found recorded do
            eprintfn $"- %s{line}"

        for line in List.except recorded found do
            eprintfn $"+ %s{line}"

        failwith "The resolved packages differ from dependencies.txt. If that is meant: ./build.sh UpdateDependencies"

let updateDependencies _ =
    File.WriteAllLines("dependencies.txt", resolved ())
    printfn "dependencies.txt is up to date."

// --- Formatting ------------------------------------------------------------------------------------------------------

let folders = [ "src"; "experiments"; "tests"; "bench"; "docs"; "samples" ] |> List.filter Directory.Exists

let format _ =
    run "dotnet" ([ "fantomas" ] @ folders @ [ "build.fsx" ])
    run "dotnet" ([ "csharpier"; "format" ] @ folders)

let checkFormat _ =
    let fsharp = start "dotnet" ([ "fantomas"; "--check" ] @ folders @ [ "build.fsx" ])
    let csharp = start "dotnet" ([ "csharpier"; "check" ] @ folders)

    if fsharp <> 0 || csharp <> 0 then
        failwith "Some files are not formatted. To format them: ./build.sh Format"

// --- Tests -----------------------------------------------------------------------------------------------------------

/// The line that closes a test run. Printed last of all, after everything that FAKE still has to say.
let mutable closing: string option = None

/// (passed, failed) in one result file.
let tally (path: string) =
    let counters =
        XDocument.Load(path).Descendants()
        |> Seq.filter (fun element -> element.Name.LocalName = "Counters")
        |> Seq.exactlyOne

    let count name = counters.Attribute(XName.Get name) |> Option.ofObj |> Option.map int |> Option.defaultValue 0

    count "passed", [ "failed"; "error"; "timeout"; "aborted" ] |> List.sumBy count

/// The names of the tests in a result file that failed, each with the first lines of its message.
let failures (path: string) =
    let named name (element: XElement) = element.Descendants() |> Seq.tryFind (fun e -> e.Name.LocalName = name)

    [ for result in XDocument.Load(path).Descendants() |> Seq.filter (fun e -> e.Name.LocalName = "UnitTestResult") do
          if result.Attribute(XName.Get "outcome") |> Option.ofObj |> Option.exists (fun a -> a.Value = "Failed") then
              let message = named "Message" result |> Option.map _.Value |> Option.defaultValue ""
              let first = message.Split '\n' |> Array.truncate 6 |> String.concat "\n    "
              let name = result.Attribute(XName.Get "testName").Value
              $"  %s{name}\n    %s{first}" ]

/// (passed, failed) of the F# tests whose names contain one of the words, and whose tier is asked for, on an engine where one is named. They print what
/// failed themselves, and leave it in a file of this name beside the counts. What they print is handed to `wrap` with the command.
let testFSharpBy
    (wrap: CreateProcess<ProcessResult<unit>> -> int)
    (name: string)
    (engine: string option)
    isFull
    (words: string list)
    (options: string list)
    =
    let counts = Path.Combine(results, $"%s{name}.txt")

    let code =
        RawCommand(
            "dotnet",
            Arguments.OfArgs(
                [ "tests/bin/Release/net10.0/Tests.dll"; $"--counts=%s{counts}" ]
                @ (if isFull then [ "--full" ] else [])
                @ words
                @ "--" :: options
            )
        )
        |> CreateProcess.fromCommand
        |> CreateProcess.withWorkingDirectory __SOURCE_DIRECTORY__
        |> (match engine with
            | Some engine -> CreateProcess.setEnvironmentVariable "FOKKER_ENGINE" engine
            | None -> id)
        |> wrap

    match code, (if File.Exists counts then File.ReadAllText(counts).Trim().Split ' ' |> Array.map int else [||]) with
    | (0 | 1 | 3), [| passed; failed |] -> passed, failed
    // It died on the way, or on its way out, which counts as a failure.
    | _, [| passed; failed |] -> passed, failed + 1
    | _ -> 0, 1

/// The same, printed as it comes.
let testFSharp isFull words options = testFSharpBy (Proc.run >> _.ExitCode) "Tests" None isFull words options

/// The same on another thread, beside whatever else prints; awaited, it prints what there was to say.
let testFSharpBeside name engine isFull words options =
    let said = Text.StringBuilder()

    let quietly command =
        let result = command |> CreateProcess.redirectOutput |> Proc.run
        said.Append(result.Result.Output).Append(result.Result.Error) |> ignore
        result.ExitCode

    let counts = Threading.Tasks.Task.Run(fun () -> testFSharpBy quietly name engine isFull words options)

    fun () ->
        let counts = counts.Result
        printf "%s" (string said)
        counts

/// Whether the managed engine's libtorch is among NuGet's packages, and the run is not on it anyway.
let isManagedBeside =
    let packages =
        match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
        | null
        | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")
        | folder -> folder

    Environment.GetEnvironmentVariable "FOKKER_ENGINE" <> "managed"
    && Directory.Exists(Path.Combine(packages, "libtorch-cpu-linux-x64"))

/// (passed, failed, what failed) of a C# project.
let testCSharp isFull (words: string list) (project: string) =
    let name = Path.GetFileNameWithoutExtension project
    let tier = if isFull then [] else [ "TestCategory!=Full" ]
    let named = words |> List.map (fun word -> $"FullyQualifiedName~%s{word}") |> String.concat "|"

    let filter =
        match tier @ (if named = "" then [] else [ $"(%s{named})" ]) with
        | [] -> []
        | parts -> [ "--filter"; String.concat "&" parts ]

    let code =
        start
            "dotnet"
            ([ "test"; project; "-c"; "Release"; "--no-build" ]
             @ [ "--logger"; "console;verbosity=normal"; "--logger"; $"trx;LogFileName=%s{name}.trx" ]
             @ [ "--results-directory"; results ]
             @ filter)

    let report = Path.Combine(results, $"%s{name}.trx")
    let passed, failed = if File.Exists report then tally report else 0, 0
    // A host that died leaves no failed test behind; it counts as one, or the run would look clean.
    passed, (if code <> 0 && failed = 0 then 1 else failed), (if failed = 0 then [] else failures report)

/// The lists of tests that run commands of the program, and those that build packages.
let commandLists = [ "CommandLine."; "Packing." ]

/// Runs the tests of the fast tier, or of both, and of those only the ones whose names contain an argument. After `--` come options of the
/// F# runner, `--filter NAME` or Expecto's. A run of all of them has those of the tensor and the laws on both engines.
let test isFull =
    Shell.cleanDir results

    let words, options =
        match List.tryFindIndex ((=) "--") rest with
        | Some at -> List.take at rest, List.skip (at + 1) rest
        | None -> rest, []

    let rec filters options =
        match options with
        | "--filter" :: word :: others ->
            let words, others = filters others
            word :: words, others
        | option :: others ->
            let words, others = filters others
            words, option :: others
        | [] -> [], []

    let filtered, options = filters options
    let words = words @ filtered

    // Tests of commands mostly start processes and wait for files: beside the others they cost half of the time. In the full tier some measure what a process takes.
    let passed, failed =
        if words = [] && options = [] && not isFull then
            let commands = testFSharpBeside "Tests-commands" None isFull commandLists []
            let passed, failed = testFSharp isFull (commandLists |> List.map (fun list -> $"--except=%s{list}")) []
            printfn "\nThe tests of commands and packages:"
            let passedThere, failedThere = commands ()
            passed + passedThere, failed + failedThere
        else
            testFSharp isFull words options

    // The tensor's tests and the laws on the engine that the others did not run on, beside the C# tests: half of the time either waits.
    let there =
        if words = [] && options = [] && isManagedBeside then
            // By the lists' own names: "Torch." alone is part of a package's name, too.
            testFSharpBeside
                "Tests-managed"
                (Some "managed")
                isFull
                [ yield!
                      [ "BFloat16"; "Derivative"; "Diff"; "Engine"; "Exchange"; "Kernels"; "Rng"; "Scope"; "Tensor" ]
                      |> List.map (fun list -> $"Torch.%s{list}.")
                  "Laws." ]
                []
        else
            fun () -> 0, 0

    // No method of C# is called what has a space in it; and Expecto's options are not NUnit's.
    let methods = words |> List.filter (fun word -> System.Text.RegularExpressions.Regex.IsMatch(word, @"^[\w.]+$"))

    let others =
        if options <> [] || (methods = [] && words <> []) then
            []
        else
            [ for project in !!"tests/**/*.csproj" |> Seq.sort -> testCSharp isFull methods project ]

    if words = [] && options = [] && isManagedBeside then
        printfn "\nThe tensor's tests and the laws, on the managed engine:"

    let passedThere, failedThere = there ()
    let passed, failed = passed + passedThere, failed + failedThere

    let passed = passed + List.sumBy (fun (passed, _, _) -> passed) others
    let failed = failed + List.sumBy (fun (_, failed, _) -> failed) others
    closing <- Some $"%d{passed} passed, %d{failed} failed"

    if failed > 0 then
        // Once more at the end: between hundreds of lines of tests that passed they are hard to find.
        let fsharp =
            [ for file in [ "Tests.failed.txt"; "Tests-commands.failed.txt"; "Tests-managed.failed.txt" ] do
                  if File.Exists(Path.Combine(results, file)) then
                      File.ReadAllText(Path.Combine(results, file)) ]

        let names = fsharp @ List.collect (fun (_, _, names) -> names) others |> String.concat "\n"
        failwith $"Some tests failed:\n%s{names}"

    if passed = 0 && options = [] then
        failwith "No test ran."

// --- Targets ---------------------------------------------------------------------------------------------------------

let fokker arguments = run "./fokker" arguments

let demo _ =
    fokker [ "train"; "moons"; "--name"; "demo-moons"; "--overwrite" ]
    let pictures = Directory.Exists "/usr/share/datasets/fashion-mnist"

    if pictures then
        fokker [ "train"; "fashion-mnist"; "--minutes"; "3"; "--name"; "demo-fashion-mnist"; "--overwrite" ]
    else
        printfn "Fashion-MNIST is skipped: Debian's dataset-fashion-mnist is not installed."

    printfn "\nThe reports:"

    for name in
        [ "demo-moons"
          if pictures then
              "demo-fashion-mnist" ] do
        printfn $"  runs/%s{name}/report.html"

let verify _ = fokker [ "verify"; "--out"; "artifacts/laws.html" ]

/// The studies, each with what a person should know before starting it. `./fokker study NAME` is the same with options.
let studies =
    [ // One line a study.
      ("ot-cfm", "Optimal against independent pairs (5 minutes)")
      ("guidance", "Class-conditional Fashion-MNIST with guidance 0, 1 and 3 (10 minutes)")
      ("ddim", "DDIM's table of stochasticity against steps, on an oracle and on Fashion-MNIST (20 minutes)")
      ("variance", "The variational bound, L_simple and a learned variance of a DDPM's steps (6 minutes)")
      ("variance-images", "The same on Fashion-MNIST, by bits and by samples (12 minutes of one core)")
      ("likelihood", "Error of an exact log-density against tolerance and evaluations (half a minute)")
      ("samplers", "Error of every sampler against its evaluations on an exact network (2 minutes)")
      ("langevin", "Plain and annealed Langevin dynamics on separated modes (1 minute)")
      ("steering", "Methods of steering against the exact posterior of mixtures (10 minutes of one core)")
      ("restoration", "Images from parts of them, by four methods of steering (20 minutes with training)")
      ("few-steps", "Every way to few steps, side by side, on two laws of the plane (2 hours)")
      ("branching", "What a latent x_t of Fashion-MNIST has decided (10 minutes with its training)")
      ("bridge", "One data set turned into another and back, twice, by three couplings (5 minutes)")
      ("blind", "What it costs a network not to be told the time (10 minutes)")
      ("bias", "Nats above a known entropy, and samples, for every road to a model (2 hours)")
      ("figures", "The schematics of the lectures, drawn from exact quantities (1 minute)") ]

let study name = fokker ([ "study"; name ] @ rest)

/// `./build.sh Study guidance` and `./build.sh Guidance` are the same study.
let studyOfArgument _ =
    match rest with
    | [] -> failwith $"""Say which study: %s{String.concat ", " (List.map fst studies)}."""
    | words -> fokker ("study" :: words)

/// `ot-cfm` as a target: OtCfm.
let pascal (name: string) =
    name.Split '-'
    |> Array.map (fun word -> word.Substring(0, 1).ToUpperInvariant() + word.Substring 1)
    |> String.concat ""

let build _ =
    // Restored apart from the build, since Paket says the same five lines for each project.
    run "dotnet" [ "restore"; solution; "-v"; "quiet"; "-nologo" ]
    run
        "dotnet"
        [ "build"; solution; "-c"; "Release"; "--no-restore"; "-v"; "minimal"; "-nologo"; "--disable-build-servers" ]

/// Every project that makes a package, as it was built. The door in it is the one for Debian's libtorch, so that Torch_DIR must not be set.
let pack _ =
    let torch = Environment.GetEnvironmentVariable "Torch_DIR"

    if not (String.IsNullOrEmpty torch) then
        failwith $"Torch_DIR is '%s{torch}': the packages bring a door to Debian's own libtorch; unset it for Pack."

    let packages = "artifacts/packages"
    Shell.cleanDir packages
    run "dotnet" [ "pack"; solution; "-c"; "Release"; "--no-build"; "-o"; packages; "-v"; "minimal"; "-nologo" ]

    for file in DirectoryInfo(packages).GetFiles "*.nupkg" do
        printfn $"%10d{file.Length} bytes  %s{packages}/%s{file.Name}"

/// C#'s parts are written from the library's lists, so that the library is all that has to compile before.
let catalogue _ =
    run "dotnet" [ "build"; "src/Core.fsproj"; "-c"; "Release"; "-v"; "quiet"; "-nologo"; "--disable-build-servers" ]
    run "dotnet" [ "fsi"; "--quiet"; "src/CSharpApi/Catalogue.fsx" ]

let clean _ =
    !!"*/**/bin" ++ "*/**/obj" -- "node_modules/**" -- "artifacts/**" |> Shell.deleteDirs
    Shell.deleteDir "artifacts"

let bench _ =
    let command =
        if
            List.contains
                (List.tryHead rest)
                [ Some "transport"
                  Some "likelihood"
                  Some "sampling"
                  Some "facade"
                  Some "kernels"
                  Some "engines"
                  Some "several" ]
        then
            rest
        else
            "compare" :: rest
    run "dotnet" ([ "run"; "-c"; "Release"; "--project"; "bench/Bench.fsproj"; "--" ] @ command)

/// Runs a script of the guide by itself: None, or what it said where it failed.
let failureOf (script: string) =
    let result =
        RawCommand("dotnet", Arguments.OfArgs [ "fsi"; "--quiet"; script ])
        |> CreateProcess.fromCommand
        // Several run at once, a core each.
        |> CreateProcess.setEnvironmentVariable "OMP_NUM_THREADS" "1"
        |> CreateProcess.redirectOutput
        |> Proc.run

    if result.ExitCode = 0 then
        None
    else
        Some $"%s{script}:\n%s{result.Result.Output}%s{result.Result.Error}"

/// The C# of a page, one piece after the other, is a program: it is compiled and run, and what it wrote goes to a file, a line "\u001e" after each piece.
let runCSharp (page: string) =
    let pieces =
        System.Text.RegularExpressions.Regex.Matches(File.ReadAllText page, "(?ms)^```csharp\n(.*?)^```")
        |> Seq.map (fun found -> found.Groups[1].Value)
        |> String.concat "Console.WriteLine(\"\\u001e\");\n"

    let folder = Path.GetFullPath "artifacts/docs-csharp"
    Directory.CreateDirectory folder |> ignore
    File.WriteAllText(Path.Combine(folder, "Program.cs"), pieces)

    File.WriteAllText(
        Path.Combine(folder, "Page.csproj"),
        """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <ImplicitUsings>enable</ImplicitUsings>
  </PropertyGroup>
  <ItemGroup>
    <ProjectReference Include="../../src/CSharpApi/CSharpApi.csproj" />
  </ItemGroup>
</Project>
"""
    )

    // The packages come with the façade; Paket asks each project for a list.
    File.WriteAllText(Path.Combine(folder, "paket.references"), "FSharp.Core\n")

    let result =
        RawCommand("dotnet", Arguments.OfArgs [ "run"; "-c"; "Release"; "--project"; folder; "-v"; "quiet" ])
        |> CreateProcess.fromCommand
        |> CreateProcess.withWorkingDirectory folder
        |> CreateProcess.redirectOutput
        |> Proc.run

    if result.ExitCode <> 0 then
        failwith $"%s{page}:\n%s{result.Result.Output}%s{result.Result.Error}"

    File.WriteAllText(Path.Combine(folder, "output.txt"), result.Result.Output)

/// docs/ as pages. The scripts run by themselves first: fsdocs makes a page also of a script that fails. With the argument `pages` nothing is run, and what
/// scripts print and draw is missing: for work on words and looks.
let docs _ =
    let runs = not (List.contains "pages" rest)
    let scripts = !!"docs/**/*.fsx" |> Seq.sort |> Array.ofSeq

    if runs then
        match scripts |> Array.Parallel.choose failureOf with
        | [||] -> printfn $"%d{scripts.Length} scripts ran."
        | failures -> failwith (String.concat "\n" failures)

    if runs || not (File.Exists "artifacts/docs-csharp/output.txt") then
        runCSharp "docs/start-csharp.md"

    let site = "artifacts/docs"

    for folder in [ site; ".fsdocs" ] do
        Shell.deleteDir folder

    // The C# page's program has every assembly beside it that the reference needs.
    let assemblies = Path.GetFullPath "artifacts/docs-csharp/bin/Release/net10.0"

    let said =
        RawCommand(
            "dotnet",
            Arguments.OfArgs(
                [ "fsdocs"; "build"; "--input"; "docs"; "--output"; site ]
                // The façade's reference is made from its comments and its approved surface: docs/_csharp.mjs.
                @ [ "--projects"; Path.GetFullPath "src/Core.fsproj" ]
                @ [ "--properties"; "Configuration=Release"; "FsDocsGenerateLlmsTxt=false"; $"OutDir=%s{assemblies}/" ]
                @ (if runs then [ "--eval" ] else [])
                @ [ "--strict"; "--nodefaultcontent"; "--parameters"; "root"; "/@root/" ]
            )
        )
        |> CreateProcess.fromCommand
        |> CreateProcess.setEnvironmentVariable "OMP_NUM_THREADS" "1"
        |> CreateProcess.redirectOutput
        |> Proc.run

    if said.ExitCode <> 0 then
        failwith $"%s{said.Result.Output}%s{said.Result.Error}fsdocs failed."

    run "node" [ "docs/_template.finish.mjs"; site ]
    printfn $"The guide: %s{site}/index.html"

let targets =
    [ "Setup", "Installs and restores everything that the other targets need", ignore
      "Build", "Compiles everything (Release)", build
      "Test",
      "Runs the tests, without the long ones; with arguments, those whose name contains one",
      (fun _ -> test false)
      "TestAll", "Runs every test, the long ones included", (fun _ -> test true)
      "Demo", "Trains two small models and says where their reports are", demo
      "Verify", "Holds the identities of the theory against the library, and writes the table as a page", verify
      "Study", "Repeats the experiment of the literature that the argument names", studyOfArgument
      for name, description in studies do
          pascal name, description, (fun _ -> study name)
      "Bench",
      "Measures against the peers, side by side: training steps, or with the argument `transport` couplings, `likelihood` exact likelihoods, `sampling` samplers, `facade` C#, `engines` both engines, `several` one process against two",
      bench
      "Docs",
      "Runs the guide's scripts and builds its pages, with the reference, in artifacts/docs; with the argument `pages` without running them",
      docs
      "Catalogue", "Writes C#'s catalogue of parts from the library's lists", catalogue
      "Pack", "Makes the NuGet packages, into artifacts/packages", pack
      "Format", "Formats every F# and C# file", format
      "CheckFormat", "Fails where a file is not formatted", checkFormat
      "CheckDependencies", "Fails where the resolved packages differ from dependencies.txt", checkDependencies
      "UpdateDependencies", "Resolves paket.dependencies anew and rewrites dependencies.txt", updateDependencies
      "Clean", "Removes what was built; runs/ stays", clean ]

for name, description, action in targets do
    Target.description description
    Target.create name action

"CheckDependencies" ==> "Build"
"Build" ==> "Test"
"Build" ==> "TestAll"
"Build" ==> "Demo"
"Build" ==> "Verify"
"Build" ==> "Bench"
"Build" ==> "Docs"
"Build" ==> "Study"
"Build" ==> "Pack"

for name, _ in studies do
    "Build" ==> pascal name |> ignore

let listTargets (writer: TextWriter) =
    writer.WriteLine "./build.sh TARGET [arguments]"

    for name, description, _ in targets do
        writer.WriteLine $"  %-20s{name}%s{description}"

match
    targets
    |> List.tryFind (fun (name, _, _) -> String.Equals(name, asked, StringComparison.OrdinalIgnoreCase))
with
| Some(name, _, _) ->
    let succeeded =
        try
            Target.run 1 name []
            true
        with error ->
            // FAKE wraps the failure of a target; the innermost one says what happened.
            eprintfn $"%s{error.GetBaseException().Message}"
            false

    closing |> Option.iter (printfn "%s")
    exit (if succeeded then 0 else 1)
| None when List.contains asked [ "help"; "--help"; "-h" ] ->
    listTargets Console.Out
    exit 0
| None ->
    eprintfn $"There is no target '%s{asked}'."
    listTargets Console.Error
    exit 2
