/// `fokker study`: what each study listens to, what is refused, and the page.
module Fokker.Tests.CommandLine.StudyTests

open System.IO
open Expecto
open Fokker.Tool
open Fokker.Experiments
open Fokker.Tests
open Fokker.Tests.CommandLine.Support

let private studies = Table.all |> List.map _.Name

/// The smallest size of each study. Where a run of images is looked at long, it is one of the smallest network, which is trained first.
let private toys =
    [ "ot-cfm", "--seeds 1 --steps 2 --count 20"
      "guidance", "--run toy --count 60"
      "ddim", "--run toy --count 50"
      "variance", "--seeds 1 --steps 2 --count 20"
      "variance-images", "--steps 2 --count 20"
      "likelihood", "--count 2"
      "samplers", "--steps 5"
      "langevin", "--count 20"
      "steering", "--count 20"
      "restoration", "--run toy --count 1"
      "few-steps", "--seeds 1 --steps 20 --count 20"
      "branching", "--steps 2 --count 2"
      "bridge", "--seeds 1 --steps 2"
      "blind", "--seeds 1 --steps 2 --count 32"
      "bias", "--seeds 1 --steps 2 --count 32"
      "figures", "--steps 2" ]

/// The study from its options to its page; what it finds at this size means nothing.
let private runs (name: string) =
    use folder = new Folder()
    let page = folder.File "page.html"
    let words = (List.find (fst >> (=) name) toys |> snd).Split ' ' |> List.ofArray

    if List.contains "toy" words then
        let smallest = "--width 8 --steps 2 --batch 8 --draws 2 --quiet".Split ' '
        let of' = if name = "ddim" then [ "--path"; "ddpm"; "--loss"; "simple" ] else []
        let train = [ "train"; "fashion-mnist"; "--name"; "toy"; "--runs"; folder.File "runs" ]
        let trained = fokker (train @ of' @ List.ofArray smallest)
        Expect.equal trained.Code 0 trained.Error

    let outcome = fokker ([ "study"; name; "--runs"; folder.File "runs"; "--out"; page; "--json" ] @ words)
    Expect.equal outcome.Code 0 outcome.Error
    let found = json outcome
    equal name ((nonNull found["study"]).GetValue<string>())
    Expect.stringContains (File.ReadAllText page) $"./fokker study {name}" ""

[<Tests>]
let tests =
    testList
        "CommandLine.Study"
        [ testCase "a study that is not there is named, with the nearest and the list"
          <| fun () ->
              assertRefused (fokker [ "study"; "otcfm" ]) [ "otcfm"; "did you mean ot-cfm" ]
              assertRefused (fokker [ "study" ]) ("say which study" :: studies)

          testCase "an option that a study has no use for is refused, with those that it has"
          <| fun () ->
              use folder = new Folder()
              let out = folder.File "page.html"
              assertRefused
                  (fokker [ "study"; "ot-cfm"; "--minutes"; "3"; "--out"; out ])
                  [ "--minutes"; "ot-cfm"; "--seeds" ]
              assertRefused (fokker [ "study"; "ot-cfm"; "--seeds"; "0"; "--out"; out ]) [ "--seeds 0"; "at least 1" ]
              Expect.isFalse (File.Exists out) ""

          testTheory "every study is a target of the build and says what its options mean" studies
          <| fun (name: string) ->
              let study = Table.all |> List.find (fun s -> s.Name = name)
              Expect.isNonEmpty study.Summary ""
              Expect.isNonEmpty study.Reference ""
              let help = fokker [ "study"; "--help" ]

              for option, meaning in study.Uses do
                  Expect.stringContains help.Out option ""
                  Expect.isNonEmpty meaning ""

              let build = File.ReadAllText(Checkout.file "build.fsx")
              Expect.stringContains build $"\"{name}\", \"" ""

          full (testTheory "every study runs at toy size and leaves its page" studies runs)

          testCase "what was found is the same on the page, on the terminal and for programs"
          <| fun () ->
              let found: Findings =
                  { DataSet = "nothing"
                    Summary = "A table of one row."
                    Headlines = []
                    Sections =
                      [ Study.table
                            "A table"
                            ""
                            [ "name"; "value" ]
                            [ [ Fokker.Report.Cell.Text "one"; Fokker.Report.Cell.Number 0.25 ] ] ]
                    Json = [] }

              equal [ "A table"; "  name   value"; "  one    0.2500" ] (Study.lines found)
              let page = Study.page Table.all.Head "./fokker study none" found
              Expect.stringContains (Fokker.Report.Page.render page) "./fokker study none" ""

          testCase "a deviation is written to two digits, the value to as many places"
          <| fun () ->
              equal "0.254 ± 0.037" (Study.plusMinus (0.2541, 0.0372))
              equal "20.72 ± 0.11" (Study.plusMinus (20.718, 0.112))
              equal "43.400 ± 0.000" (Study.plusMinus (43.4, 0.0))
              equal (2.0, 1.0) (Study.meanAndDeviation [ 1.0; 2.0; 3.0 ])

          testCase "a study refuses a run that it has no use for, before it draws anything"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              let trained = fokker ([ "train"; "moons"; "--name"; "first"; "--runs"; root ] @ small)
              Expect.equal trained.Code 0 trained.Error
              let words = [ "--runs"; root; "--out"; folder.File "page.html" ]
              assertRefused
                  (fokker ([ "study"; "guidance"; "--run"; "first" ] @ words))
                  [ "--run first"; "--label-dropout" ]
              assertRefused (fokker ([ "study"; "branching"; "--run"; "first" ] @ words)) [ "--run first"; "classes" ]
              assertRefused
                  (fokker ([ "study"; "guidance"; "--run"; "frist" ] @ words))
                  [ "frist"; "did you mean first" ]
              // Nor one whose steps are not those of a DDPM of images.
              assertRefused (fokker ([ "study"; "ddim"; "--run"; "first" ] @ words)) [ "--run first"; "--path ddpm" ] ]
