module Fokker.Bench.Program

[<EntryPoint>]
let main _ =
    eprintfn "There is nothing to measure yet."
    2
