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

    if not (List.exists (fst >> (=) "Torch_DIR") variables) then
        info.Environment.Remove "Torch_DIR" |> ignore

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

    // These packages have a door for Debian's libtorch, which is here: none is built. A checkout built with Torch_DIR packs none.
    if String.IsNullOrEmpty(Environment.GetEnvironmentVariable "Torch_DIR") then
        Expect.isFalse (Directory.Exists(place "cache/fokker")) ""

let private scripted (name: string) (variables: (string * string) list) =
    let blank = Directory.CreateDirectory(place name).FullName
    let script = program "fsharp" "Steps = 2_000L" "Steps = 20L; Batch = 64; Width = 16; Depth = 1"
    let packages = place "packages"
    File.WriteAllText(Path.Combine(blank, "moons.fsx"), $"#i \"nuget: {packages}\"\n{script}")
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

              for wanted in [ "Fokker"; "Fokker.CSharp"; "Fokker.Tool"; "Fokker.Torch.Native" ] do
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
              // Where each is made, and which of ours it needs.
              let projects =
                  Map
                      [ "Fokker.Torch.Native", ("src/Torch", [])
                        "Fokker", ("src", [ "Fokker.Torch.Native" ])
                        "Fokker.CSharp", ("src/CSharpApi", [ "Fokker" ]) ]

              for name, package in packages () do
                  use package = package

                  match Map.tryFind name projects with
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

          testCase "a blank F# script trains two moons, samples, scores and draws"
          <| fun () -> scripted "script" [] |> ignore

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
          ) ]
    |> following packed.Force
