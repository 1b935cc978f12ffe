module Fokker.Bench.Program

open Fokker
open Fokker.Bench

[<EntryPoint>]
let main arguments =
    try
        match List.ofArray arguments with
        | [ "worker"; case; threads ] -> Worker.run case (int threads) "train" []
        | "worker" :: case :: threads :: work :: options -> Worker.run case (int threads) work options
        | [ "engines" ] -> Engines.run 9 0.5
        | [ "engines"; "--rounds"; rounds ] -> Engines.run (int rounds) 0.5
        | [ "transport" ] -> Transport.run 7
        | [ "transport"; "--rounds"; rounds ] -> Transport.run (int rounds)
        | [ "likelihood" ] -> Likelihood.run 15
        | [ "likelihood"; "--rounds"; rounds ] -> Likelihood.run (int rounds)
        | [ "sampling" ] -> Sampling.run 15
        | [ "sampling"; "--rounds"; rounds ] -> Sampling.run (int rounds)
        | [ "facade" ] -> Facade.run 15
        | [ "facade"; "--rounds"; rounds ] -> Facade.run (int rounds)
        | [ "kernels" ] -> Kernels.run 9
        | [ "kernels"; "--rounds"; rounds ] -> Kernels.run (int rounds)
        | "several-worker" :: case :: steps :: sums -> Several.worker case (int steps) (List.map int sums)
        | [ "several" ] -> Several.run "unet-64" 5 9
        | [ "several"; "--case"; case; "--rounds"; rounds; "--steps"; steps ] ->
            Several.run case (int rounds) (int steps)
        | "compare" :: options -> Compare.run options
        | _ ->
            eprintfn
                "usage: Bench compare [--case NAME|start] [--rounds N] [--milliseconds N a block] [--threads N]\n       Bench transport [--rounds N]\n       Bench likelihood [--rounds N]\n       Bench sampling [--rounds N]\n       Bench facade [--rounds N]\n       Bench kernels [--rounds N]\n       Bench engines [--rounds N]\n       Bench several [--case NAME --rounds N --steps N]\ncases: %s"
                (Worker.cases |> List.map fst |> String.concat ", ")

            2
    with :? EnvironmentException as e ->
        eprintfn $"Bench: {e.Message}"
        2
