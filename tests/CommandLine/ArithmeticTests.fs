/// What a training computes in where nobody says so, and the engine that a process takes for it.
module Fokker.Tests.CommandLine.ArithmeticTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

/// The program in a process where no engine and no libtorch is named, as on a machine of somebody new.
let private run (words: string list) : int * string =
    let program = Path.Combine(AppContext.BaseDirectory, "Fokker.Tool.dll")
    let info = ProcessStartInfo("dotnet", RedirectStandardOutput = true, RedirectStandardError = true)

    for word in program :: words do
        info.ArgumentList.Add word

    for name in [ "FOKKER_ENGINE"; "FOKKER_TORCH_LIBRARY"; "Torch_DIR" ] do
        info.Environment.Remove name |> ignore

    use child = nonNull (Process.Start info)
    let output = child.StandardOutput.ReadToEndAsync()
    let errors = child.StandardError.ReadToEnd()
    output.Wait()
    child.WaitForExit()
    child.ExitCode, errors

let private words (folder: Folder) (rest: string list) =
    [ "train"; "--runs"; folder.Path; "--name"; "it"; "--quiet" ] @ rest

let private said (folder: Folder) (part: string) (key: string) : string =
    let record = nonNull (JsonNode.Parse(File.ReadAllText(Run.runFile (folder.File "it"))))
    let part = nonNull record[part]
    string part[key]

[<Tests>]
let tests =
    testList
        "CommandLine.Arithmetic"
        [ testCase "a training in bfloat16 takes the engine that has it, and goes on with it"
          <| fun () ->
              if not (Machine.multipliesBFloat16 ()) then
                  skiptest "this processor has no instructions for bfloat16"

              use folder = new Folder()
              let small = [ "--batch"; "16"; "--width"; "16"; "--depth"; "1"; "--draws"; "2" ]
              let code, errors = run (words folder ([ "moons"; "--steps"; "20"; "--dtype"; "bfloat16" ] @ small))
              Expect.equal code 0 errors
              Expect.equal
                  (said folder "environment" "engine", said folder "settings" "dtype")
                  ("managed", "bfloat16")
                  ""
              let draw (dtype: string) (file: string) =
                  let code, errors =
                      run
                          [ "sample"
                            "it"
                            "--runs"
                            folder.Path
                            "-n"
                            "50"
                            "--dtype"
                            dtype
                            "--out"
                            folder.File file
                            "--quiet" ]
                  Expect.equal code 0 errors
                  Scope.run (fun () -> Tensor.toFloats (Npy.read (folder.File file)))

              let rounded, plain = draw "bfloat16" "rounded.npy", draw "float32" "plain.npy"
              Expect.isFalse ((rounded = plain)) "samples are drawn in it"
              Expect.all (Array.zip rounded plain) (fun (a, b) -> abs (a - b) < 0.05) "and are the same to its digits"

              // Figures of rounded samples are not the run's own.
              let kept = File.ReadAllText((Runs.at (folder.File "it")).Evaluation)
              let code, errors =
                  run
                      [ "evaluate"
                        "it"
                        "--runs"
                        folder.Path
                        "-n"
                        "50"
                        "--draws"
                        "2"
                        "--dtype"
                        "bfloat16"
                        "--quiet" ]
              Expect.equal code 0 errors
              Expect.equal (File.ReadAllText((Runs.at (folder.File "it")).Evaluation)) kept ""

              // The record has no engine to go by when the run goes on: its element type is what asks for one.
              let code, errors = run (words folder [ "--resume" ])
              Expect.equal code 0 errors
              Expect.equal (said folder "environment" "engine") "managed" ""

          testTheory
              "an engine is asked for where a training may turn out to be in bfloat16"
              [ "fashion-mnist", Some 10.0, [], true
                "fashion-mnist", Some 9.0, [], false
                "fashion-mnist", None, [], false
                "folder:x?size=32", Some 30.0, [], true
                "fashion-mnist", Some 30.0, [ TrainArgument.Dtype "float32" ], false
                "fashion-mnist", Some 30.0, [ TrainArgument.Device "cuda" ], false
                "moons", Some 30.0, [], false
                "moons", None, [ TrainArgument.Dtype "bfloat16" ], true ]
          <| fun (dataset: string, minutes: float option, arguments: TrainArgument list, asked: bool) ->
              Expect.equal (TrainOptions.mayComputeInBFloat16 dataset minutes arguments) asked "" ]
