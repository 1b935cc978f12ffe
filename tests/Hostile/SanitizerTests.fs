/// The native code under AddressSanitizer and UndefinedBehaviorSanitizer, asked for what it is to refuse.
module Fokker.Tests.Hostile.SanitizerTests

open System
open System.Diagnostics
open System.IO
open Expecto
open Fokker.Tests
open Fokker.Tests.Torch.Support

/// Exit code, and all that was printed.
let private run (program: string) (arguments: string list) (variables: (string * string) list) =
    let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

    for name, value in variables do
        start.Environment[name] <- value

    use running = nonNull (Process.Start start)
    let errors = running.StandardError.ReadToEndAsync()
    let output = running.StandardOutput.ReadToEnd()
    running.WaitForExit()
    running.ExitCode, output + errors.Result

/// The compiler's own runtime of a sanitizer, where it is installed.
let private hasSanitizers () =
    try
        // A name that the compiler does not find comes back as it is.
        [ "libasan.so"; "libubsan.so" ]
        |> List.forall (fun name -> Path.IsPathRooted((snd (run "c++" [ $"-print-file-name={name}" ] [])).Trim()))
    with :? ComponentModel.Win32Exception ->
        false

[<Tests>]
let tests =
    testList
        "Hostile.Sanitizer"
        [ full (
              testCase "the door refuses what it is to refuse, and touches nothing else"
              <| fun () ->
                  if not (hasSanitizers ()) then
                      skiptest "the compiler has no libasan and libubsan: apt-get install g++"

                  inFolder (fun folder ->
                      let cmake arguments =
                          let code, said = run "cmake" arguments []
                          Expect.equal code 0 said

                      cmake
                          [ "-S"
                            Checkout.file "src/Torch/native"
                            "-B"
                            folder
                            "-DFOKKER_SANITIZED=" + Checkout.file "tests/Hostile/native/negative.cpp" ]

                      cmake [ "--build"; folder; "--target"; "sanitized"; "-j"; "2" ]

                      // What libtorch keeps until the end is no leak of the door's.
                      let code, said =
                          run
                              (Path.Combine(folder, "sanitized"))
                              []
                              [ "ASAN_OPTIONS", "detect_leaks=0"; "OMP_NUM_THREADS", "2" ]

                      Expect.equal code 0 said
                      Expect.stringContains said "all as expected" "")
          ) ]
