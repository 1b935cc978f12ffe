/// A user without root, on a Debian with the .NET SDK, git and coreutils and nothing else: no libtorch, no compiler, no npm.
module Fokker.Tests.Packing.BareUserTests

open System
open System.Diagnostics
open System.IO
open Expecto
open Fokker.Tests

let private git (words: string list) : string =
    let info = ProcessStartInfo("git", [ "-C"; Checkout.root ] @ words, RedirectStandardOutput = true)
    use child = nonNull (Process.Start info)
    let said = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    Expect.equal child.ExitCode 0 $"""git {String.concat " " words}"""
    said

/// What a clone of this checkout would have, with what has not been committed yet.
let private cloned (target: string) =
    git [ "clone"; "-q"; "--no-hardlinks"; Checkout.root; target ] |> ignore

    for file in (git [ "ls-files"; "-z"; "-c"; "-o"; "--exclude-standard" ]).Split('\000') do
        let own = Checkout.file file

        if file <> "" && File.Exists own then
            let copy = Path.Combine(target, file)
            Directory.CreateDirectory(nonNull (Path.GetDirectoryName copy)) |> ignore
            File.Copy(own, copy, true)

[<Tests>]
let tests =
    testList
        "Packing.BareUser"
        [ // Half an hour of two cores: it compiles everything, and runs the whole fast tier.
          full (
              testCase
                  "both commands of the README run to their ends for a user who has nothing but the SDK, git and coreutils"
              <| fun () ->
                  let work = Directory.CreateTempSubdirectory("fokker-user-").FullName

                  try
                      cloned (Path.Combine(work, "checkout"))

                      // Where its packages come from is the user's own setting.
                      let home = Environment.GetFolderPath Environment.SpecialFolder.UserProfile

                      for settings in [ ".nuget/NuGet/NuGet.Config"; ".config/NuGet/NuGet.Config" ] do
                          let own, copy = Path.Combine(home, settings), Path.Combine(work, "home", settings)

                          if File.Exists own then
                              Directory.CreateDirectory(nonNull (Path.GetDirectoryName copy)) |> ignore
                              File.Copy(own, copy)

                      let feed =
                          [ for name in [ "NUGET_FEED"; "NUGET_CERT_REVOCATION_MODE" ] do
                                match Environment.GetEnvironmentVariable name with
                                | null
                                | "" -> ()
                                | value -> name, value ]

                      let build target = RootFolder.runAsUser "bookworm" work feed [ "./build.sh"; target ]
                      let demo = build "Demo"
                      Expect.stringContains demo "The managed engine is taken" ""
                      Expect.stringContains demo "Fashion-MNIST is skipped" ""
                      Expect.stringContains demo "runs/demo-moons/report.html" ""
                      Expect.isTrue (File.Exists(Path.Combine(work, "checkout/runs/demo-moons/report.html"))) ""
                      // What build.sh says of the engine goes to standard error, which stands behind.
                      Expect.isMatch (build "Test") @"(?m)^[1-9]\d* passed, 0 failed$" ""
                  finally
                      Directory.Delete(work, true)
          ) ]
