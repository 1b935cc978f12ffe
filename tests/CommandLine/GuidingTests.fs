/// Label dropout and guidance of trained runs, from the command line.
module Fokker.Tests.CommandLine.GuidingTests

open System
open System.IO
open System.Text.Json.Nodes
open NUnit.Framework
open Fokker
open Fokker.Experiments
open Fokker.Tests.CommandLine.Support

[<OneTimeTearDown>]
let collect () =
    GC.Collect()
    GC.WaitForPendingFinalizers()

let private idx (dtype: byte) (shape: int list) (data: byte[]) =
    [| yield! [| 0uy; 0uy; dtype; byte shape.Length |]
       for size in shape do
           yield! Array.rev (BitConverter.GetBytes size)
       yield! data |]

/// A folder with forty images of 8 × 8 pixels, bright ones of class 1 and dark ones of class 0: too few to be measured.
let private folderWithImages () =
    let folder = new Folder()
    let random = Random 1
    let label i = byte (i % 2)
    let pixel i = byte (random.Next 100 + 150 * int (label i))
    File.WriteAllBytes(folder.File "x.idx", idx 8uy [ 40; 8; 8 ] [| for i in 0 .. 40 * 64 - 1 -> pixel (i / 64) |])
    File.WriteAllBytes(folder.File "y.idx", idx 8uy [ 40 ] (Array.init 40 label))
    folder

let private train (folder: Folder) (name: string) (words: string list) =
    let data = folder.File "x.idx" + "," + folder.File "y.idx"
    fokker ([ "train"; "idx:" + data; "--name"; name; "--runs"; folder.File "runs" ] @ small @ words)

let private done' (outcome: Outcome) = Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)

let private record (file: string) : JsonNode =
    match JsonNode.Parse(File.ReadAllText file) with
    | null -> failwith file
    | node -> node

let private dropout (folder: Folder) (name: string) : float =
    let json = record (folder.File $"runs/{name}/run.json")
    let settings = nonNull json["settings"]
    (nonNull settings["labelDropout"]).GetValue<float>()

let private sample (folder: Folder) (words: string list) =
    fokker ([ "sample"; "--runs"; folder.File "runs"; "-n"; "4"; "--steps"; "3"; "--quiet" ] @ words)

let private samples (folder: Folder) (words: string list) =
    let file = folder.File "x0.npy"
    done' (sample folder (words @ [ "--out"; file ]))
    Tensor.toArray<byte>(Npy.read file)

[<Test>]
let ``a run whose labels were dropped is guided, 1 is plain, and so is guidance by itself`` () =
    use folder = folderWithImages ()
    done' (train folder "first" [ "--lr"; "0.02" ])
    Assert.That(dropout folder "first", Is.EqualTo 0.1)
    let plain = samples folder [ "first"; "--class"; "1" ]
    let guided = samples folder [ "first"; "--class"; "1"; "--guidance"; "4" ]
    Assert.That(guided, Is.Not.EqualTo plain)
    equal plain (samples folder [ "first"; "--class"; "1"; "--guidance"; "1" ])
    let itself = [ "first"; "--class"; "1"; "--guidance"; "4"; "--autoguidance"; "first" ]
    equal plain (samples folder itself)
    let json = json (sample folder (itself @ [ "--json"; "--out"; folder.File "x0.npy" ]))
    Assert.That((nonNull json["guidance"]).GetValue<float>(), Is.EqualTo 4.0)
    Assert.That((nonNull json["autoguidance"]).GetValue<string>(), Is.EqualTo "first")

[<Test>]
let ``guidance of a run that never learned the null is refused with what to do, and goes by a weaker run`` () =
    use folder = folderWithImages ()
    done' (train folder "told" [ "--label-dropout"; "0" ])
    done' (train folder "untold" [ "--labels"; "off" ])
    Assert.That(dropout folder "untold", Is.EqualTo 0.0)
    let guided name = sample folder [ name; "--guidance"; "3"; "--out"; folder.File "x0.npy" ]
    assertRefused (guided "told") [ "--guidance 3"; "told"; "--label-dropout"; "--autoguidance" ]
    assertRefused (guided "untold") [ "--guidance 3"; "untold"; "no classes"; "--labels on" ]
    done' (sample folder [ "told"; "--guidance"; "3"; "--autoguidance"; "untold"; "--out"; folder.File "x0.npy" ])

    // A run of before there was label dropout: none of its labels were dropped.
    let file = folder.File "runs/told/run.json"
    let old = record file
    Assert.That((nonNull old["settings"]).AsObject().Remove "labelDropout", Is.True)
    let plain = samples folder [ "told" ]
    File.WriteAllText(file, old.ToJsonString())
    equal plain (samples folder [ "told" ])
    assertRefused (guided "told") [ "--label-dropout" ]

[<Test>]
let ``label dropout that cannot be is refused`` () =
    use folder = folderWithImages ()
    let before = folder.Contents
    assertRefused (train folder "a" [ "--label-dropout"; "1" ]) [ "--label-dropout 1"; "below 1" ]
    assertRefused
        (train folder "a" [ "--label-dropout"; "0.2"; "--labels"; "off" ])
        [ "--label-dropout 0.2"; "--labels" ]
    equal before folder.Contents
