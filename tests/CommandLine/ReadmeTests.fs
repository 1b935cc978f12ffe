/// The README's commands are promises. Each line of its shell blocks is run as it stands, in a folder of its own, with options
/// after it that make a training short; what builds or takes minutes must at least be a target that exists.
module Fokker.Tests.CommandLine.ReadmeTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
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

let private named =
    List.distinct [ for found in Regex.Matches(readme, @"\./build\.sh (\w+)") -> found.Groups[1].Value ]

/// Runs a script of the README against this build, in a folder of its own.
let private runScript (folder: Folder) (script: string) : string =
    let library = Path.Combine(AppContext.BaseDirectory, "Fokker.dll")
    let here = Regex.Replace(script, "#r \"[^\"]*Fokker\\.dll\"", $"#r \"{library}\"")
    Expect.notEqual here script ""
    File.WriteAllText(folder.File "readme.fsx", here)
    let code, said = run folder.Path "dotnet" [ "fsi"; "--quiet"; "readme.fsx" ]
    Expect.equal code 0 said
    said

[<Tests>]
let tests =
    testList
        "CommandLine.Readme"
        [ testCase "every command of the README runs"
          <| fun () ->
              use folder = new Folder()
              // The command line where the README has it, and the files that its lines take for granted.
              let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
              File.WriteAllText(folder.File "fokker", $"#!/bin/sh\nexec dotnet '{program}' \"$@\"\n")
              File.SetUnixFileMode(folder.File "fokker", UnixFileMode.UserRead ||| UnixFileMode.UserExecute)
              let rng = Rng.ofSeed 1L
              let points = Tensor.toFloats (Rng.normal Kind.Float64 [ 400; 2 ] rng)
              File.WriteAllLines(
                  folder.File "points.csv",
                  [ for k in 0..399 -> $"{points[2 * k]},{points[2 * k + 1]}" ]
              )

              let commands = lines |> List.filter (fun line -> line.StartsWith "./fokker")
              Expect.isGreaterThan commands.Length 5 ""

              for line in lines do
                  if not (line.StartsWith "./build.sh") then
                      let code, said = run folder.Path "bash" [ "-c"; shortened line ]
                      Expect.equal code 0 $"{line}: {said}"

          testCase "every target that the README names exists"
          <| fun () ->
              let targets =
                  [ for found in
                        Regex.Matches(
                            File.ReadAllText(Checkout.file "build.fsx"),
                            "^ +(\\[ )?\"(\\w+)\",",
                            RegexOptions.Multiline
                        ) -> found.Groups[2].Value ]

              Expect.contains named "Demo" ""

              for target in named do
                  Expect.contains targets target ""

          // What takes minutes, as a person would who has just cloned the last commit.
          full (
              testCase "every target that the README names does its work in a fresh clone"
              <| fun () ->
                  use folder = new Folder()
                  let clone = folder.File "clone"
                  let code, said = run folder.Path "git" [ "clone"; "--quiet"; Checkout.root; clone ]
                  Expect.equal code 0 said

                  let told =
                      dict
                          [ for target in named do
                                let code, said = run clone "bash" [ "build.sh"; target ]
                                Expect.equal code 0 $"./build.sh {target}: {said}"
                                target, said ]

                  Expect.isMatch (told["Test"].TrimEnd().Split('\n') |> Array.last) @"^\d{3,} passed, 0 failed$" ""
                  Expect.isMatch (told["Verify"]) @"\d+ laws hold, 0 fail" ""

                  let left =
                      [ "runs/demo-moons/report.html"; "runs/demo-fashion-mnist/report.html"; "artifacts/laws.html" ]

                  for file in left @ [ "artifacts/docs/index.html" ] do
                      Expect.isTrue (File.Exists(Path.Combine(clone, file))) ""

                  Expect.equal (Directory.GetFiles(Path.Combine(clone, "artifacts/packages"), "*.nupkg").Length) 6 ""
          )

          testCase "the README's training in F# runs and leaves a picture"
          <| fun () ->
              use folder = new Folder()
              let script = blocks "fsharp" |> List.find _.Contains("Runs.fit")
              let shorter = script.Replace("3000L", "20L")
              Expect.notEqual shorter script ""
              let said = runScript folder shorter
              Expect.isMatch said @"mean log-likelihood -\d+\.\d+ nats" ""
              Expect.isGreaterThan (File.ReadAllBytes(folder.File "moons.png").Length) 1000 ""

          testCase "the script of the guide's first page runs, and its numbers agree"
          <| fun () ->
              use folder = new Folder()
              let page = File.ReadAllText(Checkout.file "docs/index.md")
              let said = blocksOf page "fsharp" |> List.exactlyOne |> runScript folder
              let numbers = [ for found in Regex.Matches(said, @"-?\d+\.\d+") -> float found.Value ]
              Expect.equal numbers.Length 2 said
              // Ten thousand draws with a standard deviation below two.
              Expect.within 0.08 (numbers[0]) (numbers[1]) ""

          // The page's samplers are made outside of the library, of what is public there.
          testCase "a sampler of one's own, as the guide makes it, runs as a script"
          <| fun () ->
              use folder = new Folder()
              let page = File.ReadAllText(Checkout.file "docs/samplers.md")
              let script =
                  Regex
                      .Match(page, "^```fsharp\\n(.*?)^```", RegexOptions.Singleline ||| RegexOptions.Multiline)
                      .Groups[1].Value
              let said = runScript folder script
              let found = [ for m in Regex.Matches(said, @"mean square (\d+\.\d+)") -> float m.Groups[1].Value ]
              Expect.equal found.Length 3 said

              // 4,000 squares of standard deviation 1.5 have a mean to ±0.024; four of these, and what 60 steps leave.
              for square in found do
                  Expect.within 0.15 square 1.62 said ]
