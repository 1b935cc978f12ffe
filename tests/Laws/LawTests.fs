module Fokker.Tests.LawTests

open NUnit.Framework
open Fokker
open Fokker.Laws

let private names = Table.all |> List.map (fun law -> TestCaseData(law.Name).SetName("law: " + law.Name))
let private byName name = Table.all |> List.find (fun law -> law.Name = name)

/// The same laws that `verify` runs, at a tenth of its cases: six at least, where it has as many.
[<TestCaseSource(nameof names)>]
let ``law holds`` (name: string) =
    let law = byName name
    let finding = Law.run 20260101UL 0 (min law.Cases (max 6 (law.Cases / 10))) law
    Assert.That(
        finding.Holds,
        Is.True,
        $"{law.Statement}: off by {finding.Worst} in case {finding.Number}: {finding.Case}"
    )

let private mutated =
    Table.all
    |> List.choose Law.mutated
    |> List.map (fun law -> TestCaseData(law).SetName("mutation: " + law.Name))

[<TestCaseSource(nameof mutated)>]
let ``law fails where its formula is wrong`` (law: Law) =
    let finding = Law.run 20260101UL 0 (min law.Cases 20) law
    Assert.That(finding.Holds, Is.False, $"{law.Name} did not notice the wrong formula")

/// Views are data, not a formula: they are exempt.
[<Test>]
let ``every law has a mutation`` () =
    let without = Table.all |> List.filter (fun law -> (Law.mutated law).IsNone) |> List.map _.Name
    Assert.That(without, Is.EqualTo<string list> [ "path-views" ])

[<Test>]
let ``names of laws are unique`` () = Assert.That(Table.all |> List.map (fun law -> law.Name), Is.Unique)
