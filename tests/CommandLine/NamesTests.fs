module Fokker.Tests.CommandLine.NamesTests

open System.IO
open System.Text.RegularExpressions
open FsCheck
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

[<Tests>]
let tests =
    testList
        "CommandLine.Names"
        [
          // Optimal string alignment is no metric: a letter is touched once, and the triangle inequality fails. What holds is this.
          testProperty "a distance is the same both ways"
          <| fun (NonEmptyString a) (NonEmptyString b) -> Names.distance a b = Names.distance b a

          testProperty "a distance is zero exactly for equal words"
          <| fun (NonEmptyString a) (NonEmptyString b) -> (Names.distance a b = 0) = (a = b)

          testProperty "a distance lies between the difference of the lengths and the longer length"
          <| fun (NonEmptyString a) (NonEmptyString b) ->
              let d = Names.distance a b
              d >= abs (a.Length - b.Length) && d <= max a.Length b.Length

          testTheory
              "known distances"
              [ "moon", "moons", 1
                "mnost", "mnist", 1
                "cmf", "cfm", 1 // a swap of neighbours is one slip
                "kitten", "sitting", 3 ]
          <| fun (a: string, b: string, expected: int) -> Expect.equal (Names.distance a b) expected ""

          testCase "a slip of the finger finds the name, nonsense finds none"
          <| fun () ->
              let known = [ "moons"; "spirals"; "swiss-roll" ]
              equal [ "moons" ] (Names.near known "mooons")
              equal [ "swiss-roll" ] (Names.near known "swiss")
              Expect.isEmpty (Names.near known "qqqqqqqq") ""

          testCase "a name that is written in another way is that name, not its neighbour"
          <| fun () ->
              let samplers = Samplers.all |> List.map _.Name

              for given, meant in
                  [ "dpm++2m", "dpmpp-2m"; "DPM++ 2M", "dpmpp-2m"; "dpm_2", "dpm-2"; "DormandPrince", "dormand-prince" ] do
                  equal [ meant ] (Names.near samplers given)

          // A refusal speaks of settings, and each front end has words of its own for them.
          testCase "no message of the library names an option or a command"
          <| fun () ->
              let options =
                  set
                      [ for command in
                            [ "train"; "sample"; "evaluate"; "likelihood"; "encode"; "interpolate"; "report" ] do
                            for found in Regex.Matches((fokker [ command; "--help" ]).Out, "--[a-z][a-z-]+") do
                                found.Value ]

              Expect.isTrue (options.Contains "--label-dropout" && options.Contains "--guidance") "the help has options"
              let folder = Checkout.file "src"

              let isLibrary (file: string) =
                  let place = Path.GetRelativePath(folder, file).Split Path.DirectorySeparatorChar
                  not (Array.contains place[0] [| "Tool"; "obj"; "bin" |])

              let found =
                  [ for file in
                        Directory.GetFiles(folder, "*.fs", SearchOption.AllDirectories) |> Array.filter isLibrary do
                        for line in File.ReadLines file do
                            if not (line.TrimStart().StartsWith "//") then
                                for said in Regex.Matches(line, "\"[^\"]*?(--[a-z][a-z-]+|\\./fokker|`fokker )[^\"]*\"") do
                                    let word = said.Groups[1].Value

                                    if not (word.StartsWith "--") || options.Contains word then
                                        $"{file}: {line.Trim()}" ]

              Expect.isEmpty found "" ]
