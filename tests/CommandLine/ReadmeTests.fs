/// The README's commands are promises. Each line of its shell blocks is run as it stands, in a folder of its own, with options
/// after it that make a training short; what builds or takes minutes must at least be a target that exists.
module Fokker.Tests.CommandLine.ReadmeTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open NUnit.Framework
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private readme = File.ReadAllText(Checkout.file "README.md")

let private blocksOf (page: string) (language: string) =
    [ for found in Regex.Matches(page, $"```{language}\n(.*?)```", RegexOptions.Singleline) -> found.Groups[1].Value ]

let private blocks = blocksOf readme

/// The lines of the shell blocks, without what follows a #.
let private lines =
    [ for block in blocks "sh" do
          for line in block.Split '\n' do
              let line = (Regex.Replace(line, @"\s+#.*$", "")).Trim()
              if line <> "" then
                  line ]

/// Runs a program to its end, its two streams together.
let private run (folder: string) (program: string) (words: string list) : int * string =
    let info =
        ProcessStartInfo(
            program,
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false
        )

    for word in words do
        info.ArgumentList.Add word

    use child = nonNull (Process.Start info)
    let error = child.StandardError.ReadToEndAsync()
    let out = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, out + error.Result

/// What makes a line short enough for a test.
let private shortened (line: string) =
    if line.StartsWith "./fokker train" then
        line + " --steps 20 --batch 32 --width 16 --depth 1 --draws 2"
    elif line.StartsWith "./fokker evaluate" then
        line + " --draws 2 -n 100"
    else
        line

[<Test>]
let ``every command of the README runs`` () =
    use folder = new Folder()
    // The command line where the README has it, and the files that its lines take for granted.
    let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
    File.WriteAllText(folder.File "fokker", $"#!/bin/sh\nexec dotnet '{program}' \"$@\"\n")
    File.SetUnixFileMode(folder.File "fokker", UnixFileMode.UserRead ||| UnixFileMode.UserExecute)
    let rng = Rng.ofSeed 1L
    let points = Tensor.toFloats (Rng.normal Kind.Float64 [ 400; 2 ] rng)
    File.WriteAllLines(folder.File "points.csv", [ for k in 0..399 -> $"{points[2 * k]},{points[2 * k + 1]}" ])

    let commands = lines |> List.filter (fun line -> line.StartsWith "./fokker")
    Assert.That(commands.Length, Is.GreaterThan 5)

    for line in lines do
        if not (line.StartsWith "./build.sh") then
            let code, said = run folder.Path "bash" [ "-c"; shortened line ]
            Assert.That(code, Is.EqualTo 0, $"{line}: {said}")

let private named =
    List.distinct [ for found in Regex.Matches(readme, @"\./build\.sh (\w+)") -> found.Groups[1].Value ]

[<Test>]
let ``every target that the README names exists`` () =
    let targets =
        [ for found in
              Regex.Matches(
                  File.ReadAllText(Checkout.file "build.fsx"),
                  "^ +(\\[ )?\"(\\w+)\",",
                  RegexOptions.Multiline
              ) -> found.Groups[2].Value ]

    Assert.That(named, Does.Contain "Demo")

    for target in named do
        Assert.That(targets, Does.Contain target)

/// What takes minutes, as a person would who has just cloned the last commit.
[<Test; Category "Full">]
let ``every target that the README names does its work in a fresh clone`` () =
    use folder = new Folder()
    let clone = folder.File "clone"
    let code, said = run folder.Path "git" [ "clone"; "--quiet"; Checkout.root; clone ]
    Assert.That(code, Is.EqualTo 0, said)

    let told =
        dict
            [ for target in named do
                  let code, said = run clone "bash" [ "build.sh"; target ]
                  Assert.That(code, Is.EqualTo 0, $"./build.sh {target}: {said}")
                  target, said ]

    Assert.That(told["Test"].TrimEnd().Split('\n') |> Array.last, Does.Match @"^\d{3,} passed, 0 failed$")
    Assert.That(told["Verify"], Does.Match @"\d+ laws hold, 0 fail")

    let left = [ "runs/demo-moons/report.html"; "runs/demo-fashion-mnist/report.html"; "artifacts/laws.html" ]

    for file in left @ [ "artifacts/docs/index.html" ] do
        Assert.That(Path.Combine(clone, file), Does.Exist)

    Assert.That(Directory.GetFiles(Path.Combine(clone, "artifacts/packages"), "*.nupkg").Length, Is.EqualTo 4)

/// Runs a script of the README against this build, in a folder of its own.
let private runScript (folder: Folder) (script: string) : string =
    let library = Path.Combine(AppContext.BaseDirectory, "Fokker.dll")
    let here = Regex.Replace(script, "#r \"[^\"]*Fokker\\.dll\"", $"#r \"{library}\"")
    Assert.That(here, Is.Not.EqualTo script)
    File.WriteAllText(folder.File "readme.fsx", here)
    let code, said = run folder.Path "dotnet" [ "fsi"; "--quiet"; "readme.fsx" ]
    Assert.That(code, Is.EqualTo 0, said)
    said

[<Test>]
let ``the README's training in F# runs and leaves a picture`` () =
    use folder = new Folder()
    let script = blocks "fsharp" |> List.find _.Contains("Runs.fit")
    let shorter = script.Replace("3000L", "20L")
    Assert.That(shorter, Is.Not.EqualTo script)
    let said = runScript folder shorter
    Assert.That(said, Does.Match @"mean log-likelihood -\d+\.\d+ nats")
    Assert.That(File.ReadAllBytes(folder.File "moons.png").Length, Is.GreaterThan 1000)

[<Test>]
let ``the script of the guide's first page runs, and its numbers agree`` () =
    use folder = new Folder()
    let page = File.ReadAllText(Checkout.file "docs/index.md")
    let said = blocksOf page "fsharp" |> List.exactlyOne |> runScript folder
    let numbers = [ for found in Regex.Matches(said, @"-?\d+\.\d+") -> float found.Value ]
    Assert.That(numbers.Length, Is.EqualTo 2, said)
    // Ten thousand draws with a standard deviation below two.
    Assert.That(numbers[0], Is.EqualTo(numbers[1]).Within 0.08)

/// The page's samplers are made outside of the library, of what is public there.
[<Test>]
let ``a sampler of one's own, as the guide makes it, runs as a script`` () =
    use folder = new Folder()
    let page = File.ReadAllText(Checkout.file "docs/samplers.md")
    let script =
        Regex.Match(page, "^```fsharp\\n(.*?)^```", RegexOptions.Singleline ||| RegexOptions.Multiline).Groups[1].Value
    let said = runScript folder script
    let found = [ for m in Regex.Matches(said, @"mean square (\d+\.\d+)") -> float m.Groups[1].Value ]
    Assert.That(found.Length, Is.EqualTo 3, said)

    // 4,000 squares of standard deviation 1.5 have a mean to ±0.024; four of these, and what 60 steps leave.
    for square in found do
        Assert.That(square, Is.EqualTo(1.62).Within 0.15, said)
