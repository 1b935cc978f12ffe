module Fokker.Tests.Program

/// The tests' runner does not come this way: this is what a test starts as a process of its own, to kill it.
[<EntryPoint>]
let main arguments =
    match arguments with
    | [| "train"; folder; steps |] ->
        Training.RunTests.child folder (int64 steps)
        0
    | _ -> 2
