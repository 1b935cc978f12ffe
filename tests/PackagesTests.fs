module Fokker.Tests.PackagesTests

open System.IO
open Expecto
open Fokker.Tests

let private lines name = File.ReadAllLines(Checkout.file name)

let private pins =
    [ for line in lines "paket.dependencies" do
          match line.Split ' ' with
          | [| "nuget"; name; version |]
          // Whatever another package asks for.
          | [| "nuget"; name; "=="; version |] -> name, version
          | _ -> () ]

[<Tests>]
let tests =
    testList
        "Packages"
        [
          // A version range in paket.dependencies would let two checkouts of one commit build from different code.
          testCase "every pinned package is in the resolved graph at exactly its pinned version"
          <| fun () ->
              let resolved = lines "dependencies.txt"
              Expect.isNonEmpty pins ""

              for name, version in pins do
                  Expect.contains resolved $"{name} {version}" ""

          // A project that asks for a package nobody pinned would restore whatever came in by another way.
          testCase "every package that a project references is pinned"
          <| fun () ->
              let everywhere = EnumerationOptions(RecurseSubdirectories = true)

              for path in Directory.GetFiles(Checkout.root, "paket.references", everywhere) do
                  if not (path.Contains "node_modules") then
                      for name in File.ReadAllLines path |> Array.filter ((<>) "") do
                          Expect.contains (List.map fst pins) name path ]
