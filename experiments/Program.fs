module Fokker.Experiments.Program

[<EntryPoint>]
let main _ =
    eprintfn "fokker has no commands yet."
    2
