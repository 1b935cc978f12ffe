/// Parts by name, with numbers: one notation for all of them.
module Fokker.Tests.Runs.PartTests

open System
open System.Text.Json
open NUnit.Framework
open Fokker
open Fokker.Tests

let private equal (expected: 'T) (actual: 'T) = Assert.That(actual, Is.EqualTo<'T> expected)

let private refused (work: unit -> 'T) : string =
    Assert.Throws<RefusedException>(Action(work >> ignore))
    |> nonNull
    |> _.Refusal
    |> _.Expected
    |> string

let private everywhere (check: PartList<unit> -> Part<unit> -> unit) =
    for list in Catalogue.all do
        for part in list.Parts do
            // A data set that is a file has the file's name after the colon.
            if list.Name <> "datasets" then
                check list part

[<Test>]
let ``every part's name is parsed as the part with its defaults`` () =
    everywhere (fun list part ->
        equal (Part.name [] part) (list.Parse(part.Name.ToUpperInvariant()))
        equal (part.Parameters |> List.map (fun p -> p.Name, p.Default)) (Part.name [] part).Numbers)

[<Test>]
let ``what is printed is parsed as what was printed, whatever the numbers`` () =
    everywhere (fun list part ->
        let other (p: Parameter) =
            match p.Allowed with
            | Allowed.Real -> p.Default - 0.1
            | Allowed.Within(low, high) -> 0.3 * low + 0.7 * high
            | Allowed.Whole _ -> p.Default + 1.0
            | Allowed.Positive
            | Allowed.AtLeast _ -> p.Default * 1.1 + 1e-9

        let name = Part.name (part.Parameters |> List.map (fun p -> p.Name, other p)) part
        equal name (list.Parse(string name)))

[<Test>]
let ``every default is allowed, and every equation stands for the defaults`` () =
    everywhere (fun _ part ->
        for p in part.Parameters do
            Assert.That(p.Allowed.Contains p.Default, $"{part.Name}: {p.Name}")
            Assert.That(p.Meaning, Is.Not.Empty)

        Assert.That(part.Parameters |> List.map _.Name, Is.Unique)
        Assert.That(part.Equation, Is.Not.Empty, part.Name))

/// What somebody who chooses between them reads: no two are said to be the same.
[<Test>]
let ``each loss says in a sentence of its own what it does`` () =
    let said = Catalogue.losses.Parts |> List.map _.Summary

    for summary in said do
        Assert.That(summary, Does.Match @"^\p{Lu}.{20,}\.$")

    Assert.That(said, Is.Unique)
    Assert.That(Objectives.all |> List.map (fun loss -> loss.Equation, loss.Source), Is.Unique)

/// Another number makes another part: none is read and then forgotten.
[<Test>]
let ``a weight, a path and a law of times follow their numbers`` () =
    let t = 0.3
    let weight (name: string) = Curve.eval ((Catalogue.weights.Find name).Of Path.condOT Prediction.data) t
    let snr = (0.7 / 0.3) ** 2.0
    Assert.That(weight "min-snr:2", Is.EqualTo(2.0).Within 1e-12)
    Assert.That(weight "min-snr:gamma=1e6", Is.EqualTo(snr).Within 1e-12)
    // Choi's weight on the noise is SNR/(k + SNR)^γ on the data.
    Assert.That(weight "p2:k=2,gamma=0.5", Is.EqualTo(snr / Math.Sqrt(2.0 + snr)).Within 1e-12)

    let vp = Catalogue.paths.Find "vp:beta-min=1,beta-max=3"
    Assert.That(Curve.eval vp.LogAlpha 1.0, Is.EqualTo(-0.25 * 2.0 - 0.5).Within 1e-12)

    let times = (Catalogue.times.Find "discrete:4").Draw Path.condOT (Rng.ofSeed 0L) 8
    equal [ 0.25; 0.5; 0.75; 1.0 ] (Tensor.toFloats times |> Array.distinct |> Array.sort |> List.ofArray)

/// Song and Ermon's networks see as many noise levels as they are trained on.
[<Test>]
let ``noise-conditional score networks draw their own levels`` () =
    let recipe = Recipe.standardFor (Datasets.load "moons") |> Recipe.withLoss "ncsn:levels=7"
    equal (Some { Name = "discrete"; Numbers = [ "levels", 7.0 ] }) recipe.Times

[<TestCase("min-snr:gama=3", "there is no number 'gama'; min-snr has gamma = 5, a positive number")>]
[<TestCase("min-snr:gamma=-1", "gamma is -1: expected a positive number; min-snr has gamma = 5")>]
[<TestCase("min-snr:-1", "gamma is -1: expected a positive number")>]
[<TestCase("min-snr:NaN", "gamma is NaN: expected a positive number")>]
[<TestCase("min-snr:gamma=1,gamma=2", "gamma is given more than once")>]
[<TestCase("min-snr:1,2", "'1': expected min-snr:NAME=NUMBER")>]
[<TestCase("min-snr:five", "'five' is no number")>]
[<TestCase("min-snr:", "'' is no number")>]
[<TestCase("snr:3", "'3': expected snr:NAME=NUMBER")>]
[<TestCase("snr:gamma=3", "there is no number 'gamma'; snr has no numbers")>]
[<TestCase("min-snt:gamma=3", "there is no weight 'min-snt'; did you mean min-snr")>]
let ``what means nothing is refused with what there is`` (text: string, expected: string) =
    let said = refused (fun () -> Catalogue.weights.Parse text)
    Assert.That(said, Does.Contain expected)
    Assert.That(said, Does.Not.Contain "\n")

let private roundTrip (recipe: Recipe) = Recipe.ofSettings "run.json" (Map.ofList (Recipe.settings recipe))

[<Test>]
let ``a recipe is read as it was written, numbers and parts that are not there included`` () =
    let standard = Recipe.standardFor (Datasets.load "moons")

    for loss in Objectives.all do
        let recipe = Recipe.withLoss loss.Name standard
        equal recipe (roundTrip recipe)

    let recipe =
        standard
        |> Recipe.withLoss "simple"
        |> Recipe.withPart Setting.Weight "min-snr:3"
        |> Recipe.withPart Setting.Path "vp:beta-min=0.2"

    equal recipe (roundTrip recipe)
    let written = Map.ofList (Recipe.settings recipe)
    let json (name: string) = written[name].ToJsonString()
    equal """{"name":"min-snr","gamma":3}""" (json "weight")
    equal """{"name":"vp","beta-min":0.2,"beta-max":20}""" (json "path")
    equal "\"uniform\"" (json "times")
    Assert.That(List.map fst (Recipe.settings recipe), Has.No.Member("coupling"))
    // The options that are printed give the same recipe.
    let options = Recipe.options recipe standard
    Assert.That(options, Does.Contain "min-snr:gamma=3")
    Assert.That(options, Does.Contain "vp:beta-min=0.2,beta-max=20")

/// Runs of the version before: names without numbers, `-` for what is not there.
[<Test>]
let ``a recipe of the version before is read with the numbers that it stood for`` () =
    let recipe = Recipe.standardFor (Datasets.load "moons") |> Recipe.withLoss "cfm"
    let text (value: string) = nonNull (Nodes.JsonNode.Parse $"\"{value}\"")

    let before =
        Map.ofList (Recipe.settings recipe)
        |> Map.add "weight" (text "min-snr")
        |> Map.add "coupling" (text "-")
        |> Map.add "source" (text "-")
        |> Map.add "teacher" (text "none")
        |> Recipe.ofSettings "run.json"

    equal { recipe with Weight = Some { Name = "min-snr"; Numbers = [ "gamma", 5.0 ] } } before

/// C#'s catalogue is written by a program: where a list has changed, `./build.sh Catalogue` writes it anew.
[<Test>]
let ``C#'s catalogue of parts is the one that the library's lists give`` () =
    let file = Checkout.file "src/CSharpApi/Parts/Catalogue.g.cs"
    Assert.That(IO.File.ReadAllText file, Is.EqualTo(CSharpCatalogue.text ()), "run ./build.sh Catalogue")
