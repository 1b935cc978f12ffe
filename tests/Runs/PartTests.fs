/// Parts by name, with numbers: one notation for all of them.
module Fokker.Tests.Runs.PartTests

open System
open System.Text.Json
open Expecto
open Fokker
open Fokker.Tests

let private equal (expected: 'T) (actual: 'T) = Expect.equal actual expected ""

let private refused (work: unit -> 'T) : string = raised<RefusedException>(work >> ignore).Refusal.Expected |> string

let private everywhere (check: PartList<unit> -> Part<unit> -> unit) =
    for list in Catalogue.all do
        for part in list.Parts do
            // A data set that is a file has the file's name after the colon.
            if list.Name <> "datasets" then
                check list part

let private roundTrip (recipe: Recipe) = Recipe.ofSettings "run.json" (Map.ofList (Recipe.settings recipe))

[<Tests>]
let tests =
    testList
        "Runs.Part"
        [ testCase "every part's name is parsed as the part with its defaults"
          <| fun () ->
              everywhere (fun list part ->
                  equal (Part.name [] part) (list.Parse(part.Name.ToUpperInvariant()))
                  equal (part.Parameters |> List.map (fun p -> p.Name, p.Default)) (Part.name [] part).Numbers)

          testCase "what is printed is parsed as what was printed, whatever the numbers"
          <| fun () ->
              everywhere (fun list part ->
                  let other (p: Parameter) =
                      match p.Allowed with
                      | Allowed.Real -> p.Default - 0.1
                      | Allowed.Within(low, high) -> 0.3 * low + 0.7 * high
                      // Twice as many: some have to be a power of two.
                      | Allowed.Whole _ -> if p.Default = 0.0 then 1.0 else 2.0 * p.Default
                      | Allowed.Positive
                      | Allowed.AtLeast _ -> p.Default * 1.1 + 1e-9

                  let name = Part.name (part.Parameters |> List.map (fun p -> p.Name, other p)) part
                  equal name (list.Parse(string name)))

          testCase "every default is allowed, and every equation stands for the defaults"
          <| fun () ->
              everywhere (fun _ part ->
                  for p in part.Parameters do
                      Expect.isTrue (p.Allowed.Contains p.Default) $"{part.Name}: {p.Name}"
                      Expect.isNonEmpty p.Meaning ""

                  Expect.unique (part.Parameters |> List.map _.Name) ""
                  Expect.isNonEmpty part.Equation part.Name)

          // What somebody who chooses between them reads: no two are said to be the same.
          testCase "each loss says in a sentence of its own what it does"
          <| fun () ->
              let said = Catalogue.losses.Parts |> List.map _.Summary

              for summary in said do
                  Expect.isMatch summary @"^\p{Lu}.{20,}\.$" ""

              Expect.unique said ""
              Expect.unique (Objectives.all |> List.map (fun loss -> loss.Equation, loss.Reference)) ""

          // Another number makes another part: none is read and then forgotten.
          testCase "a weight, a path and a law of times follow their numbers"
          <| fun () ->
              let t = 0.3
              let weight (name: string) = Curve.eval ((Catalogue.weights.Find name).Of Path.condOT Prediction.data) t
              let snr = (0.7 / 0.3) ** 2.0
              Expect.within 1e-12 (weight "min-snr:2") 2.0 ""
              Expect.within 1e-12 (weight "min-snr:gamma=1e6") snr ""
              // Choi's weight on the noise is SNR/(k + SNR)^γ on the data.
              Expect.within 1e-12 (weight "p2:k=2,gamma=0.5") (snr / Math.Sqrt(2.0 + snr)) ""

              let vp = Catalogue.paths.Find "vp:beta-min=1,beta-max=3"
              Expect.within 1e-12 (Curve.eval vp.LogAlpha 1.0) (-0.25 * 2.0 - 0.5) ""

              let times = (Catalogue.times.Find "discrete:4").Draw Path.condOT (Rng.ofSeed 0L) 8
              equal [ 0.25; 0.5; 0.75; 1.0 ] (Tensor.toFloats times |> Array.distinct |> Array.sort |> List.ofArray)

          // Song and Ermon's networks see as many noise levels as they are trained on.
          testCase "noise-conditional score networks draw their own levels"
          <| fun () ->
              let recipe = Recipe.standardFor (Datasets.load "moons") |> Recipe.withLoss "ncsn:levels=7"
              equal (Some { Name = "discrete"; Numbers = [ "levels", 7.0 ] }) recipe.Times

          testTheory
              "what means nothing is refused with what there is"
              [ "min-snr:gama=3", "there is no number 'gama'; min-snr has gamma = 5, a positive number"
                "min-snr:gamma=-1", "gamma is -1: expected a positive number; min-snr has gamma = 5"
                "min-snr:-1", "gamma is -1: expected a positive number"
                "min-snr:NaN", "gamma is NaN: expected a positive number"
                "min-snr:gamma=1,gamma=2", "gamma is given more than once"
                "min-snr:1,2", "'1': expected min-snr:NAME=NUMBER"
                "min-snr:five", "'five' is no number"
                "min-snr:", "'' is no number"
                "snr:3", "'3': expected snr:NAME=NUMBER"
                "snr:gamma=3", "there is no number 'gamma'; snr has no numbers"
                "min-snt:gamma=3", "there is no weight 'min-snt'; did you mean min-snr" ]
          <| fun (text: string, expected: string) ->
              let said = refused (fun () -> Catalogue.weights.Parse text)
              Expect.stringContains said expected ""
              Expect.stringLacks said "\n" ""

          testCase "a recipe is read as it was written, numbers and parts that are not there included"
          <| fun () ->
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
              Expect.isFalse (Seq.contains "coupling" (List.map fst (Recipe.settings recipe))) ""
              // The options that are printed give the same recipe.
              let options = Fokker.Tool.Results.optionsOf Known.standard recipe standard
              Expect.contains options "min-snr:gamma=3" ""
              Expect.contains options "vp:beta-min=0.2,beta-max=20" ""

          // Runs of the version before: names without numbers, `-` for what is not there.
          testCase "a recipe of the version before is read with the numbers that it stood for"
          <| fun () ->
              let recipe = Recipe.standardFor (Datasets.load "moons") |> Recipe.withLoss "cfm"
              let text (value: string) = nonNull (Nodes.JsonNode.Parse $"\"{value}\"")

              let before (source: string) =
                  Map.ofList (Recipe.settings recipe)
                  |> Map.add "weight" (text "min-snr")
                  |> Map.add "coupling" (text "-")
                  |> Map.add "source" (text source)
                  |> Map.add "teacher" (text "none")
                  |> Map.add "preconditioning" (text "none")
                  |> Recipe.ofSettings "run.json"

              let expected = { recipe with Weight = Some { Name = "min-snr"; Numbers = [ "gamma", 5.0 ] } }
              equal expected (before "-")
              equal expected (before "normal")

          // C#'s catalogue is written by a program: where a list has changed, `./build.sh Catalogue` writes it anew.
          testCase "C#'s catalogue of parts is the one that the library's lists give"
          <| fun () ->
              let file = Checkout.file "src/CSharpApi/Parts/Catalogue.g.cs"
              Expect.equal (IO.File.ReadAllText file) (CSharpCatalogue.text ()) "run ./build.sh Catalogue" ]
