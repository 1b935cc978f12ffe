module Fokker.Tests.LawTests

open Expecto
open Fokker
open Fokker.Tests
open Fokker.Laws

let private holdsIn (cases: int) (law: Law) =
    let finding = Law.run 20260101UL 0 cases law
    Expect.isTrue finding.Holds $"{law.Statement}: off by {finding.Worst} in case {finding.Number}: {finding.Case}"

[<Tests>]
let tests =
    testList
        "Laws"
        [
          // The same laws that `verify` runs, at a tenth of its cases, or six; of those with few, whose cases are long, at a third.
          testEach "law holds" _.Name Table.all
          <| fun law -> holdsIn (max (law.Cases / 10) (max 1 (min 6 (law.Cases / 3)))) law

          full (testEach "law holds in all its cases" _.Name Table.all (fun law -> holdsIn law.Cases law))

          testEach "law fails where its formula is wrong" _.Name (List.choose Law.mutated Table.all)
          <| fun law ->
              // One case that notices is enough.
              let notices k = not (Law.run 20260101UL k 1 law).Holds
              Expect.exists (seq { 0 .. min law.Cases 20 - 1 }) notices $"{law.Name} did not notice the wrong formula"

          // Views are data, not a formula: they are exempt.
          testCase "every law has a mutation"
          <| fun () ->
              let without = Table.all |> List.filter (fun law -> (Law.mutated law).IsNone) |> List.map _.Name
              Expect.equal without [ "path-views" ] ""

          testCase "names of laws are unique"
          <| fun () -> Expect.unique (Table.all |> List.map (fun law -> law.Name)) "" ]
