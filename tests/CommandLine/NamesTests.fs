module Fokker.Tests.CommandLine.NamesTests

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
                  equal [ meant ] (Names.near samplers given) ]
