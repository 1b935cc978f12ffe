module Fokker.Tests.LawTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Laws

[<Tests>]
let tests =
    testList
        "Law"
        [
          // The same laws that `verify` runs, at a tenth of its cases: six at least, where it has as many.
          testEach "law holds" _.Name Table.all
          <| fun law ->
              let finding = Law.run 20260101UL 0 (min law.Cases (max 6 (law.Cases / 10))) law
              Expect.isTrue
                  finding.Holds
                  $"{law.Statement}: off by {finding.Worst} in case {finding.Number}: {finding.Case}"

          testEach "law fails where its formula is wrong" _.Name (List.choose Law.mutated Table.all)
          <| fun law ->
              let finding = Law.run 20260101UL 0 (min law.Cases 20) law
              Expect.isFalse finding.Holds $"{law.Name} did not notice the wrong formula"

          // Views are data, not a formula: they are exempt.
          testCase "every law has a mutation"
          <| fun () ->
              let without = Table.all |> List.filter (fun law -> (Law.mutated law).IsNone) |> List.map _.Name
              Expect.equal without [ "path-views" ] ""

          testCase "names of laws are unique"
          <| fun () -> Expect.unique (Table.all |> List.map (fun law -> law.Name)) "" ]
