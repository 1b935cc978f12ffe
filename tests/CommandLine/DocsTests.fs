/// What docs/ says of the library's lists is what the lists say.
module Fokker.Tests.CommandLine.DocsTests

open System.IO
open Expecto
open Fokker
open Fokker.Tests

[<Tests>]
let tests =
    testList
        "CommandLine.Docs"
        [
          // One row a sampler: name, equation, order, evaluations a step, kind, reference.
          testCase "the table of samplers is the list of samplers"
          <| fun () ->
              let rows =
                  [ for line in File.ReadAllLines(Checkout.file "docs/samplers.md") do
                        let cells = line.Trim('|').Split('|') |> Array.map _.Trim() |> List.ofArray

                        if cells.Length = 6 && cells.Head.StartsWith '`' then
                            cells ]

              let wanted =
                  [ for s in Samplers.all ->
                        [ $"`{s.Name}`"; s.Equation; string s.Order; string s.EvaluationsPerStep; s.Reference ] ]

              let found = rows |> List.map (fun cells -> cells[..3] @ [ cells[5] ])
              Expect.equal found wanted "" ]
