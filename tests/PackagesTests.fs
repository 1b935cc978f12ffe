module Fokker.Tests.PackagesTests

open System.IO
open NUnit.Framework

let private lines name = File.ReadAllLines(Checkout.file name)

let private pins =
    [ for line in lines "paket.dependencies" do
          match line.Split ' ' with
          | [| "nuget"; name; version |] -> name, version
          | _ -> () ]

/// A version range in paket.dependencies would let two checkouts of one commit build from different code.
[<Test>]
let ``every pinned package is in the resolved graph at exactly its pinned version`` () =
    let resolved = lines "dependencies.txt"
    Assert.That(pins, Is.Not.Empty)

    for name, version in pins do
        Assert.That(resolved, Has.Member $"{name} {version}")

/// A project that asks for a package nobody pinned would restore whatever came in by another way.
[<Test>]
let ``every package that a project references is pinned`` () =
    let everywhere = EnumerationOptions(RecurseSubdirectories = true)

    for path in Directory.GetFiles(Checkout.root, "paket.references", everywhere) do
        if not (path.Contains "node_modules") then
            for name in File.ReadAllLines path |> Array.filter ((<>) "") do
                Assert.That(List.map fst pins, Has.Member name, path)
