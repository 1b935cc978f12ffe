/// Every way in which a command line can be wrong that has been thought of: one line that names the thing and the remedy,
/// exit code 2, nothing written.
module Fokker.Tests.CommandLine.BadInputTests

open System
open System.IO
open NUnit.Framework
open Fokker
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private train (folder: Folder) (words: string list) =
    fokker ([ "train" ] @ words @ small @ [ "--runs"; folder.File "runs" ])

/// The command is refused with a line that holds the words, and the folder is as it was.
let private refusedWithout (change: Folder) (outcome: unit -> Outcome) words =
    let before = change.Contents
    assertRefused (outcome ()) words
    equal before change.Contents

[<TestCase("--loss", "cmf", "cfm")>]
[<TestCase("--path", "condott", "condot")>]
[<TestCase("--prediction", "velocty", "velocity")>]
[<TestCase("--weight", "unifrom", "uniform")>]
[<TestCase("--times", "logit-norma", "logit-normal")>]
[<TestCase("--network", "mpl", "mlp")>]
[<TestCase("--dtype", "float23", "float32")>]
let ``an unknown value is named, with the nearest that exists`` (option: string) (given: string) (meant: string) =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; option; given ]) [ option; given; $"did you mean {meant}" ]

[<Test>]
let ``an unknown data set is named, with the nearest that exists and the list`` () =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "mooons" ]) [ "mooons"; "did you mean moons"; "checkerboard" ]

[<TestCase("--steps", "0")>]
[<TestCase("--batch", "0")>]
[<TestCase("--lr", "-1")>]
[<TestCase("--lr", "NaN")>]
[<TestCase("--ema", "1")>]
[<TestCase("--depth", "0")>]
[<TestCase("--clip", "-1")>]
[<TestCase("--warmup", "-1")>]
let ``a number out of range is refused`` (option: string) (value: string) =
    use folder = new Folder()
    // The small run's own value of the option would be a second one.
    let words = [ "train"; "moons"; $"{option}"; value; "--runs"; folder.File "runs" ]
    refusedWithout folder (fun () -> fokker words) [ option; "expected" ]

[<Test>]
let ``a number that is no number is refused`` () =
    use folder = new Folder()
    refusedWithout
        folder
        (fun () -> fokker [ "train"; "moons"; "--steps"; "many"; "--runs"; folder.File "runs" ])
        [ "steps"; "many" ]

[<Test>]
let ``an unknown option is named, with the nearest that exists`` () =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; "--sede"; "1" ]) [ "--sede"; "--seed" ]

[<Test>]
let ``an unknown command is named, with the nearest that exists`` () =
    assertRefused (fokker [ "trian" ]) [ "trian"; "train" ]

[<Test>]
let ``a network that does not fit the data is refused`` () =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; "--network"; "unet" ]) [ "unet"; "moons"; "mlp" ]

[<Test>]
let ``classes where there are none are refused`` () =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; "--labels"; "on" ]) [ "--labels"; "moons" ]

// ---- files

[<TestCase("npy:")>]
[<TestCase("csv:")>]
[<TestCase("idx:")>]
let ``a file that is not there is named`` (kind: string) =
    use folder = new Folder()
    let file = folder.File "nowhere.bin"
    refusedWithout folder (fun () -> train folder [ kind + file ]) [ file ]

[<Test>]
let ``a truncated npy file is named`` () =
    use folder = new Folder()
    let file = folder.File "points.npy"
    Npy.write file (Tensor.zeros Kind.Float32 [ 100; 2 ])
    File.WriteAllBytes(file, File.ReadAllBytes(file)[..300])
    refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "truncated" ]

[<Test>]
let ``an npy file of the wrong rank is named with its shape`` () =
    use folder = new Folder()
    let file = folder.File "points.npy"
    Npy.write file (Tensor.zeros Kind.Float32 [ 7 ])
    refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "[7]" ]

[<Test>]
let ``an empty data set is refused`` () =
    use folder = new Folder()
    let file = folder.File "points.npy"
    Npy.write file (Tensor.zeros Kind.Float32 [ 0; 2 ])
    refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "no samples" ]

[<Test>]
let ``NaN in the data is named with its place`` () =
    use folder = new Folder()
    let file = folder.File "points.csv"
    File.WriteAllText(file, "x,y\n1,2\n3,nan\n5,6\n7,8\n")
    refusedWithout folder (fun () -> train folder [ "csv:" + file ]) [ file; "line 3"; "nan" ]

[<Test>]
let ``a truncated idx file is named`` () =
    use folder = new Folder()
    let file = folder.File "images-idx3-ubyte"
    // Three dimensions of 10 × 4 × 4 bytes, and only eight bytes of them.
    File.WriteAllBytes(
        file,
        Array.append
            [| 0uy; 0uy; 8uy; 3uy; 0uy; 0uy; 0uy; 10uy; 0uy; 0uy; 0uy; 4uy; 0uy; 0uy; 0uy; 4uy |]
            (Array.zeroCreate 8)
    )
    refusedWithout folder (fun () -> train folder [ "idx:" + file ]) [ file ]

[<TestCase("likelihood --oracle M --data", "no file's name")>]
[<TestCase("sample --out x.npy -n 2 --oracle", "no file's name")>]
[<TestCase("sample --oracle M -n 2 --out", "--out")>]
[<TestCase("train idx:IM,", "idx:IM,")>]
[<TestCase("train npy:", "npy:")>]
let ``an empty path is refused`` (words: string) (said: string) =
    use folder = new Folder()
    let mixture = folder.File "m.json"
    File.WriteAllText(mixture, """{"weights":[0.4,0.6],"means":[[-1.5],[1.0]],"stds":[0.25,0.4]}""")
    let words = [ for word in words.Split ' ' -> if word = "M" then mixture else word ]
    let words = if words.Head = "train" then words else words @ [ "" ]
    refusedWithout folder (fun () -> fokker words) [ said ]

[<Test>]
let ``a link given as an output is written through`` () =
    use folder = new Folder()
    let mixture, target, link = folder.File "m.json", folder.File "target.npy", folder.File "link.npy"
    File.WriteAllText(mixture, """{"means":[[0]],"stds":[1]}""")
    File.WriteAllText(target, "")
    File.CreateSymbolicLink(link, "target.npy") |> ignore
    let outcome = fokker [ "sample"; "--oracle"; mixture; "-n"; "2"; "--out"; link; "--quiet" ]
    Assert.That(outcome.Code, Is.EqualTo 0, outcome.Error)
    Assert.That(FileInfo(link).LinkTarget, Is.EqualTo "target.npy")
    Assert.That((Npy.read target).Shape, Is.EqualTo(box [| 2; 1 |]))

[<Test>]
let ``images of odd sides are refused, with the sides to pad them to`` () =
    use folder = new Folder()
    let file = folder.File "odd.npy"
    Npy.write file (Tensor.zeros Kind.Float32 [ 8; 1; 9; 14 ])
    refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ "9 × 14"; "pad"; "12 × 16" ]

// ---- runs and folders

[<Test>]
let ``a run that is not there is named, with those that are`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    assertRefused (fokker [ "sample"; "moons"; "--runs"; root ]) [ "moons"; "none at all" ]
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)

    for command in [ "sample"; "evaluate"; "report" ] do
        refusedWithout folder (fun () -> fokker [ command; "frist"; "--runs"; root ]) [ "frist"; "did you mean first" ]

[<Test>]
let ``a name that is taken is refused, and the run stays`` () =
    use folder = new Folder()
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)
    refusedWithout folder (fun () -> train folder [ "moons"; "--name"; "first" ]) [ "first"; "--resume"; "--overwrite" ]

[<TestCase("../up")>]
[<TestCase(".hidden")>]
[<TestCase("a/b")>]
let ``a name that is no folder's is refused`` (name: string) =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; "--name"; name ]) [ "--name"; name ]

[<Test>]
let ``a folder that cannot be made is named`` () =
    use folder = new Folder()
    File.WriteAllText(folder.File "runs", "a file is in the way")
    refusedWithout folder (fun () -> train folder [ "moons" ]) [ folder.File "runs"; "--runs" ]

/// /proc takes no folders, whoever asks: permissions would not stop root.
[<Test>]
let ``an unwritable folder is named`` () =
    assertRefused (fokker ([ "train"; "moons" ] @ small @ [ "--runs"; "/proc/runs" ])) [ "/proc/runs"; "--runs" ]

/// Every write to /dev/full says that the disk is full; a link to it is written through.
[<Test>]
let ``a full disk is named`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)
    let target = folder.File "more.npy"
    File.CreateSymbolicLink(target, "/dev/full") |> ignore
    let outcome = fokker [ "sample"; "first"; "-n"; "1000"; "--out"; target; "--quiet"; "--runs"; root ]
    assertRefused outcome [ target; "No space left" ]

[<Test>]
let ``a damaged run is named`` () =
    use folder = new Folder()
    let root = folder.File "runs"
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)
    let run name = Path.Combine(root, "first", name)
    let record = File.ReadAllText(run "run.json")
    let resume () = fokker [ "train"; "--resume"; "--name"; "first"; "--runs"; root ]
    let sample () = fokker [ "sample"; "first"; "--runs"; root ]

    // Training goes on by its record and its state; a model is its own file.
    File.WriteAllText(run "run.json", record.Substring(0, 50))
    refusedWithout folder resume [ run "run.json" ]
    Assert.That((sample ()).Code, Is.EqualTo 0)

    File.WriteAllText(run "run.json", record.Replace("\"width\": 16", "\"width\": 32"))
    refusedWithout folder resume [ "network"; "\"16\""; "\"32\"" ]

    File.WriteAllText(run "run.json", record.Replace("\"condot\"", "\"vp\""))
    refusedWithout folder resume [ "path"; "condot"; "vp" ]
    File.WriteAllText(run "run.json", record)

    let checkpoint = File.ReadAllBytes(run "checkpoint.safetensors")
    File.WriteAllBytes(run "checkpoint.safetensors", checkpoint[.. checkpoint.Length / 2])
    refusedWithout folder resume [ "checkpoint.safetensors" ]
    Assert.That((sample ()).Code, Is.EqualTo 0)

    let model = File.ReadAllBytes(run "model.safetensors")
    File.WriteAllBytes(run "model.safetensors", model[.. model.Length / 2])
    refusedWithout folder sample [ "model.safetensors" ]

    File.Delete(run "checkpoint.safetensors")
    File.Delete(run "model.safetensors")
    refusedWithout folder sample [ "nothing has been learned" ]

[<TestCase("--solver", "huen", "heun")>]
[<TestCase("--grid", "unifrom", "uniform")>]
let ``an unknown sampler or grid is named, with the nearest that exists``
    (option: string)
    (given: string)
    (meant: string)
    =
    use folder = new Folder()
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)

    refusedWithout
        folder
        (fun () -> fokker [ "sample"; "first"; option; given; "--runs"; folder.File "runs" ])
        [ option; given; $"did you mean {meant}" ]

[<Test>]
let ``a resumed run that is told other settings is refused`` () =
    use folder = new Folder()
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)

    refusedWithout
        folder
        (fun () -> fokker [ "train"; "--resume"; "--name"; "first"; "--lr"; "0.5"; "--runs"; folder.File "runs" ])
        [ "learningRate"; "0.5" ]

[<Test>]
let ``an output of another kind than npy and png is refused`` () =
    use folder = new Folder()
    Assert.That((train folder [ "moons"; "--name"; "first" ]).Code, Is.EqualTo 0)

    refusedWithout
        folder
        (fun () -> fokker [ "sample"; "first"; "--out"; "points.gif"; "--runs"; folder.File "runs" ])
        [ "points.gif"; ".npy"; ".png" ]

// ---- the machine

[<TestCase("cuda:99")>]
[<TestCase("tpu")>]
let ``a device that is not there is named`` (device: string) =
    use folder = new Folder()
    refusedWithout folder (fun () -> train folder [ "moons"; "--device"; device ]) [ device; "cpu" ]

[<TestCase("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", true)>]
[<TestCase("/usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblasp-r0.3.21.so", false)>]
[<TestCase("/usr/lib/x86_64-linux-gnu/openblas-openmp/libblas.so.3", false)>]
[<TestCase("/usr/lib/x86_64-linux-gnu/libmkl_rt.so", false)>]
let ``reference BLAS is told from the others by its file`` (path: string) (isReference: bool) =
    Assert.That((Diagnosis.blasAt path).IsReference, Is.EqualTo isReference)

[<TestCase("Haswell", "AVX-512", "AVX2")>]
[<TestCase("haswell", "AVX-512", "AVX2")>]
[<TestCase("Sandybridge", "AVX2", "Haswell")>]
[<TestCase("Nehalem", "AVX-512", "SkylakeX")>]
let ``a core type below the processor is named, with the remedy`` (coreType: string) (offered: string) (said: string) =
    match Diagnosis.heldBack offered coreType with
    | None -> Assert.Fail "nothing was said"
    | Some line ->
        for word in [ $"OPENBLAS_CORETYPE={coreType}"; offered; said; "unset" ] do
            Assert.That(line, Does.Contain word)

        Assert.That(line, Does.Not.Contain "\n")

[<TestCase("SkylakeX", "AVX-512")>]
[<TestCase("Haswell", "AVX2")>]
[<TestCase("Zen", "AVX2")>]
[<TestCase("Cooperlake", "AVX2")>]
[<TestCase("NoSuchCore", "AVX-512")>]
[<TestCase("", "AVX-512")>]
[<TestCase(null, "AVX-512")>]
let ``a core type that is right, unknown or not set needs no remedy`` (coreType: string | null) (offered: string) =
    Assert.That(Diagnosis.heldBack offered coreType |> Option.isNone, Is.True)

[<Test>]
let ``the warning about reference BLAS says what to install`` () =
    Assert.That(Diagnosis.remedy, Does.Contain "apt-get install libopenblas0-openmp")
