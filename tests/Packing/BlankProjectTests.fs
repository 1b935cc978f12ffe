/// The packages as somebody gets them who has no checkout: restored from a folder into packages' own place, used from an empty one.
module Fokker.Tests.Packing.BlankProjectTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open System.Reflection.Metadata
open System.Reflection.PortableExecutable
open System.Text
open System.Text.RegularExpressions
open Expecto
open Fokker
open Fokker.Tests

/// Where everything of these tests is, and where the packages are in it.
let mutable private folder = ""
let private place name = Path.Combine(folder, name)
let private home = Environment.GetFolderPath Environment.SpecialFolder.UserProfile

/// Runs a program to its end, its two streams together; it must succeed.
let private runIn
    (directory: string)
    (variables: (string * string) list)
    (program: string)
    (words: string list)
    : string =
    let info =
        ProcessStartInfo(
            program,
            words,
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    // Nothing of the checkout's, nothing left in the user's caches, and no build server that outlives the test.
    for name, value in
        [ "NUGET_PACKAGES", place "restored"
          "XDG_CACHE_HOME", place "cache"
          "HOME", place "home"
          "DOTNET_CLI_HOME", place "home"
          "DOTNET_NOLOGO", "1"
          "DOTNET_CLI_TELEMETRY_OPTOUT", "1"
          "DOTNET_CLI_USE_MSBUILD_SERVER", "0"
          "MSBUILDDISABLENODEREUSE", "1" ]
        @ variables do
        info.Environment[name] <- value

    for name in [ "Torch_DIR"; "FOKKER_ENGINE" ] do
        if not (List.exists (fst >> (=) name) variables) then
            info.Environment.Remove name |> ignore

    use child = nonNull (Process.Start info)
    let error = child.StandardError.ReadToEndAsync()
    let out = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    let said = out + error.Result
    Expect.equal child.ExitCode 0 $"""{program} {String.concat " " words}: {said}"""
    said

/// What the checkout was built into, packed: nothing is compiled anew.
let private pack () =
    folder <- Directory.CreateTempSubdirectory("fokker-packages-").FullName
    AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(folder, true))
    let words =
        [ "pack"; Checkout.file "Toolkit.sln"; "-c"; "Release"; "--no-build"; "-o"; place "packages"; "-nologo" ]
    // The checkout's packages are where they were restored.
    let restored =
        match Environment.GetEnvironmentVariable "NUGET_PACKAGES" with
        | null
        | "" -> Path.Combine(home, ".nuget", "packages")
        | given -> given

    // A home of its own knows no feed but NuGet's; the user's own settings say which there is.
    for settings in [ ".nuget/NuGet/NuGet.Config"; ".config/NuGet/NuGet.Config" ] do
        let own = Path.Combine(home, settings)

        if File.Exists own then
            Directory.CreateDirectory(nonNull (Path.GetDirectoryName(place $"home/{settings}"))) |> ignore
            File.Copy(own, place $"home/{settings}")

    // Half a gigabyte that is there already is not fetched and unpacked again.
    let libtorch = Path.Combine(restored, OfficialLibtorch.package)

    if Directory.Exists(Path.Combine(libtorch, OfficialLibtorch.Release)) then
        Directory.CreateDirectory(place "restored") |> ignore
        Directory.CreateSymbolicLink(place $"restored/{OfficialLibtorch.package}", libtorch) |> ignore

    runIn Checkout.root [ "NUGET_PACKAGES", restored ] "dotnet" words |> ignore

/// Once, before the first of these tests.
let private packed = lazy (pack ())

/// Each package, opened.
let private packages () : (string * ZipArchive) list =
    [ for file in Directory.GetFiles(place "packages", "*.nupkg") |> Array.sort ->
          Regex.Replace(string (Path.GetFileName file), @"\.\d.*$", ""), ZipFile.OpenRead file ]

let private bytes (entry: ZipArchiveEntry) : byte[] =
    use stream = entry.Open()
    use copy = new MemoryStream()
    stream.CopyTo copy
    copy.ToArray()

let private nuspec (package: ZipArchive) : string =
    package.Entries |> Seq.find _.Name.EndsWith(".nuspec") |> bytes |> Encoding.UTF8.GetString

/// The source files that an assembly's symbols name; none where it carries no symbols. They are compressed: no search of the bytes would find them.
let private documents (assembly: byte[]) : string list =
    use image = new PEReader(new MemoryStream(assembly))

    [ for entry in image.ReadDebugDirectory() do
          if entry.Type = DebugDirectoryEntryType.EmbeddedPortablePdb then
              use symbols = image.ReadEmbeddedPortablePdbDebugDirectoryData entry
              let reader = symbols.GetMetadataReader()

              for document in reader.Documents do
                  reader.GetString(reader.GetDocument(document).Name) ]

/// The readme's program in a language, its training shortened.
let private program (language: string) (training: string) (shorter: string) : string =
    let readme = File.ReadAllText(Checkout.file "src/README.md")
    let found = Regex.Match(readme, $"```{language}\n(.*?)```", RegexOptions.Singleline).Groups[1].Value
    let short = found.Replace(training, shorter)
    Expect.notEqual short found ""
    short

/// What both programs print and draw.
let private trainedAndScored (blank: string) (said: string) =
    Expect.isMatch said @"mean log-likelihood -?\d+\.\d+ nats" ""
    let png = File.ReadAllBytes(Path.Combine(blank, "moons.png"))
    Expect.equal (Encoding.ASCII.GetString(png, 1, 3)) "PNG" ""

    // The engine that comes with the packages needs no compiler, so that nothing is built; Torch_DIR asks for another.
    if String.IsNullOrEmpty(Environment.GetEnvironmentVariable "Torch_DIR") then
        Expect.isFalse (Directory.Exists(place "cache/fokker")) ""

let private scripted (name: string) (variables: (string * string) list) =
    let blank = Directory.CreateDirectory(place name).FullName
    let script = program "fsharp" "Steps = 2_000L" "Steps = 20L; Batch = 64; Width = 16; Depth = 1"
    let packages = place "packages"
    File.WriteAllText(
        Path.Combine(blank, "moons.fsx"),
        $"#i \"nuget: {packages}\"\n{script}\nprintfn \"on %%s\" (Torch.engine ())\n"
    )
    let said = runIn blank variables "dotnet" [ "fsi"; "moons.fsx" ]
    trainedAndScored blank said
    said

[<Tests>]
let tests =
    testList
        "Packing.BlankProject"
        [ testCase "each package has its readme and licence, and says what it is"
          <| fun () ->
              let packages = packages ()

              for wanted in
                  [ "Fokker"
                    "Fokker.CSharp"
                    "Fokker.TorchSharp"
                    "Fokker.Charts"
                    "Fokker.Tool"
                    "Fokker.Torch.Native" ] do
                  Expect.contains (List.map fst packages) wanted ""

              for name, package in packages do
                  use package = package
                  let said = nuspec package
                  Expect.stringContains said "<license type=\"expression\">MIT</license>" name
                  Expect.stringContains said "<readme>README.md</readme>" name
                  Expect.stringLacks said "<description>Package Description</description>" name
                  let readme = nonNull (package.GetEntry "README.md") |> bytes |> Encoding.UTF8.GetString
                  Expect.equal readme (File.ReadAllText(Checkout.file "src/README.md")) name

          // Whoever uses a package may have newer ones of what it needs, and gets only what the project itself names.
          testCase "a package needs what its project names, at least as new"
          <| fun () ->
              // Where each is made, and what it needs beside what is named there.
              let projects =
                  Map
                      [ "Fokker", ("src", [ OfficialLibtorch.package ])
                        "Fokker.CSharp", ("src/CSharpApi", [ "Fokker" ])
                        "Fokker.TorchSharp", ("src/TorchSharp", [ "Fokker.CSharp" ])
                        "Fokker.Charts", ("src/Charts", [ "Fokker" ]) ]

              for name, package in packages () do
                  use package = package

                  match Map.tryFind name projects with
                  | None when name = "Fokker.Torch.Native" -> Expect.stringLacks (nuspec package) "<dependency " name
                  | None -> Expect.equal name "Fokker.Tool" "a tool brings all it needs"
                  | Some(project, ours) ->
                      let dependencies =
                          Regex.Matches(nuspec package, "<dependency id=\"([^\"]+)\" version=\"([^\"]+)\"")

                      let packages =
                          File.ReadAllLines(Checkout.file $"{project}/paket.references")
                          |> Array.filter ((<>) "")
                          |> List.ofArray

                      let found = [ for dependency in dependencies -> dependency.Groups[1].Value ]
                      Expect.equal (List.sort found) (List.sort (packages @ ours)) ""

                      for dependency in dependencies do
                          // A bracket would make it an upper bound too.
                          Expect.isMatch (dependency.Groups[2].Value) @"^\d+(\.\d+)+$" ""

                          if dependency.Groups[1].Value = OfficialLibtorch.package then
                              Expect.equal dependency.Groups[2].Value OfficialLibtorch.Release name

          testCase "no package names a folder of this machine or a feed"
          <| fun () ->
              let feed = Environment.GetEnvironmentVariable "NUGET_FEED"

              let words =
                  [ Checkout.root + "/"
                    home + "/."
                    match feed with
                    | null
                    | "" -> ()
                    | feed -> Uri(feed).Host ]

              for name, package in packages () do
                  use package = package

                  for entry in package.Entries do
                      let content = bytes entry

                      for word in words do
                          for encoding: Encoding in [ Encoding.UTF8; Encoding.Unicode ] do
                              let where = $"{word} in {name}: {entry.FullName}"
                              Expect.equal (content.AsSpan().IndexOf(ReadOnlySpan(encoding.GetBytes word))) (-1) where

          testCase "our assemblies carry their symbols, with paths that begin at the checkout"
          <| fun () ->
              for name, package in packages () do
                  use package = package

                  for entry in package.Entries do
                      if entry.Name.StartsWith "Fokker" && entry.Name.EndsWith ".dll" then
                          let documents = documents (bytes entry)
                          Expect.isNonEmpty documents $"{name}: {entry.FullName}"

                          for document in documents do
                              Expect.stringStarts document "/_" $"{name}: {entry.FullName}"

          testCase "a blank F# script trains two moons, samples, scores and draws, on the engine that comes with it"
          <| fun () -> Expect.stringContains (scripted "script" []) "on managed" ""

          testCase "a blank C# console application does the same"
          <| fun () ->
              let blank = Directory.CreateDirectory(place "app").FullName
              let packages = place "packages"

              File.WriteAllText(
                  Path.Combine(blank, "NuGet.Config"),
                  $"<configuration><packageSources><add key=\"fokker\" value=\"{packages}\" /></packageSources></configuration>"
              )

              runIn blank [] "dotnet" [ "new"; "console" ] |> ignore
              runIn blank [] "dotnet" [ "add"; "package"; "Fokker.CSharp" ] |> ignore
              let source = program "csharp" "Steps = 2_000" "Steps = 20, BatchSize = 64, Width = 16, Depth = 1"
              File.WriteAllText(Path.Combine(blank, "Program.cs"), source)
              trainedAndScored blank (runIn blank [] "dotnet" [ "run"; "-warnaserror" ])

          testCase "the tool installs, trains and samples"
          <| fun () ->
              let blank = Directory.CreateDirectory(place "tool").FullName
              let packages = place "packages"

              runIn
                  blank
                  []
                  "dotnet"
                  [ "tool"; "install"; "Fokker.Tool"; "--tool-path"; "bin"; "--add-source"; packages ]
              |> ignore

              let fokker words = runIn blank [] (Path.Combine(blank, "bin", "fokker")) words
              let small = [ "--steps"; "20"; "--batch"; "64"; "--width"; "16"; "--depth"; "1"; "--draws"; "2" ]
              fokker ([ "train"; "moons"; "--name"; "moons"; "--quiet" ] @ small) |> ignore
              fokker [ "sample"; "moons"; "-n"; "100"; "--out"; "points.npy" ] |> ignore
              Expect.isTrue (File.Exists(Path.Combine(blank, "points.npy"))) ""

          // What happens with any other libtorch, tried on the machine's own by naming it: about a minute of compiling, and none the second time.
          full (
              testCase "with Torch_DIR set the door is built on first use and found again"
              <| fun () ->
                  let debian = "/usr/lib/x86_64-linux-gnu/cmake/Torch"

                  let torch =
                      match Environment.GetEnvironmentVariable "Torch_DIR" with
                      | null
                      | "" -> debian
                      | given -> given

                  if not (Directory.Exists torch) then
                      skiptest $"no libtorch in {torch}"

                  let first = scripted "first" [ "Torch_DIR", torch; "XDG_CACHE_HOME", place "own" ]
                  Expect.stringContains first "Building" ""
                  let second = scripted "second" [ "Torch_DIR", torch; "XDG_CACHE_HOME", place "own" ]
                  Expect.stringLacks second "Building" ""
          )

          // An engine for those who ask for it: the package's door to Debian's libtorch, where that is the one that it was built for.
          testCase "with Fokker.Torch.Native a script runs on Debian's libtorch, and nothing is built for it"
          <| fun () ->
              let hasDoor (name: string, package: ZipArchive) =
                  use package = package
                  name = "Fokker.Torch.Native" && package.Entries |> Seq.exists _.Name.EndsWith(".so")

              if not (File.Exists "/usr/lib/x86_64-linux-gnu/cmake/Torch/TorchConfig.cmake") then
                  skiptest "Debian's libtorch-dev is not installed"

              if not (packages () |> List.map hasDoor |> List.contains true) then
                  skiptest "the checkout was built without the door, or for another libtorch"

              let blank = Directory.CreateDirectory(place "engine").FullName
              let packages = place "packages"

              File.WriteAllText(
                  Path.Combine(blank, "engine.fsx"),
                  $"#i \"nuget: {packages}\"\n#r \"nuget: Fokker\"\n#r \"nuget: Fokker.Torch.Native\"\nprintfn \"runs on %%s\" (Fokker.Torch.engine ())\n"
              )

              Expect.stringContains (runIn blank [] "dotnet" [ "fsi"; "engine.fsx" ]) "runs on compiled" ""
              Expect.isFalse (Directory.Exists(place "cache/fokker")) "a door was built"

          // A C# program on the engine that the packages bring, in Debians with nothing of ours but .NET: no libtorch, no compiler, no packages.
          full (
              testCase "a blank C# console application trains two moons in a bare Debian 12 and in a bare Debian 13"
              <| fun () ->
                  let blank = Directory.CreateDirectory(place "bare").FullName
                  let packages = place "packages"

                  File.WriteAllText(
                      Path.Combine(blank, "NuGet.Config"),
                      $"<configuration><packageSources><add key=\"fokker\" value=\"{packages}\" /></packageSources></configuration>"
                  )

                  runIn blank [] "dotnet" [ "new"; "console" ] |> ignore
                  runIn blank [] "dotnet" [ "add"; "package"; "Fokker.CSharp" ] |> ignore
                  let source = program "csharp" "Steps = 2_000" "Steps = 20, BatchSize = 64, Width = 16, Depth = 1"
                  let program = source + "Console.WriteLine(Fokker.Torch.engine());\n"
                  File.WriteAllText(Path.Combine(blank, "Program.cs"), program)
                  runIn blank [] "dotnet" [ "build"; "-o"; "built" ] |> ignore

                  for release in [ "bookworm"; "trixie" ] do
                      File.Delete(Path.Combine(blank, "moons.png"))
                      let said = RootFolder.run release blank [ "dotnet"; "built/bare.dll" ]
                      Expect.stringContains said "managed" release
                      trainedAndScored blank said
          )

          // TorchSharp's native library asks for a newer C++ runtime than Debian 12 has: the program of tests/TorchSharp runs in a Debian 13.
          full (
              testCase "tensors, derivatives and modules pass between Fokker and TorchSharp"
              <| fun () ->
                  let built = Checkout.file "tests/TorchSharp/bin/Release/net10.0"
                  let said = RootFolder.run "trixie" built [ "dotnet"; "TorchSharpTests.dll" ]
                  Expect.stringEnds said "all as expected\n" ""
          ) ]
    |> following packed.Force
