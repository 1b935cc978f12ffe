module Fokker.Tests.CommandLine.NamesTests

open FsCheck
open NUnit.Framework
open Fokker
open Fokker.Tests.CommandLine.Support

// Optimal string alignment is no metric: a letter is touched once, and the triangle inequality fails. What holds is this.

[<FsCheck.NUnit.Property>]
let ``a distance is the same both ways`` (NonEmptyString a) (NonEmptyString b) = Names.distance a b = Names.distance b a

[<FsCheck.NUnit.Property>]
let ``a distance is zero exactly for equal words`` (NonEmptyString a) (NonEmptyString b) =
    (Names.distance a b = 0) = (a = b)

[<FsCheck.NUnit.Property>]
let ``a distance lies between the difference of the lengths and the longer length``
    (NonEmptyString a)
    (NonEmptyString b)
    =
    let d = Names.distance a b
    d >= abs (a.Length - b.Length) && d <= max a.Length b.Length

[<TestCase("moon", "moons", 1)>]
[<TestCase("mnost", "mnist", 1)>]
[<TestCase("cmf", "cfm", 1)>] // a swap of neighbours is one slip
[<TestCase("kitten", "sitting", 3)>]
let ``known distances`` (a: string) (b: string) (expected: int) = Assert.That(Names.distance a b, Is.EqualTo expected)

[<Test>]
let ``a slip of the finger finds the name, nonsense finds none`` () =
    let known = [ "moons"; "spirals"; "swiss-roll" ]
    equal [ "moons" ] (Names.near known "mooons")
    equal [ "swiss-roll" ] (Names.near known "swiss")
    Assert.That(Names.near known "qqqqqqqq", Is.Empty)

[<Test>]
let ``a name that is written in another way is that name, not its neighbour`` () =
    let samplers = Samplers.all |> List.map _.Name

    for given, meant in
        [ "dpm++2m", "dpmpp-2m"; "DPM++ 2M", "dpmpp-2m"; "dpm_2", "dpm-2"; "DormandPrince", "dormand-prince" ] do
        equal [ meant ] (Names.near samplers given)
