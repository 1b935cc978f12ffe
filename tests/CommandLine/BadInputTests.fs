/// Every way in which a command line can be wrong that has been thought of: one line that names the thing and the remedy,
/// exit code 2, nothing written.
module Fokker.Tests.CommandLine.BadInputTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tool
open Fokker.Tests.CommandLine.Support

let private train (folder: Folder) (words: string list) =
    fokker ([ "train" ] @ words @ small @ [ "--runs"; folder.File "runs" ])

/// The command is refused with a line that holds the words, and the folder is as it was.
let private refusedWithout (change: Folder) (outcome: unit -> Outcome) words =
    let before = change.Contents
    assertRefused (outcome ()) words
    equal before change.Contents

[<Tests>]
let tests =
    testList
        "CommandLine.BadInput"
        [ testTheory
              "an unknown value is named, with the nearest that exists"
              [ "--loss", "cmf", "cfm"
                "--path", "condott", "condot"
                "--prediction", "velocty", "velocity"
                "--weight", "unifrom", "uniform"
                "--times", "logit-norma", "logit-normal"
                "--network", "mpl", "mlp"
                "--dtype", "float23", "float32" ]
          <| fun (option: string, given: string, meant: string) ->
              use folder = new Folder()
              refusedWithout
                  folder
                  (fun () -> train folder [ "moons"; option; given ])
                  [ option; given; $"did you mean {meant}" ]

          testCase "an unknown data set is named, with the nearest that exists and the list"
          <| fun () ->
              use folder = new Folder()
              refusedWithout
                  folder
                  (fun () -> train folder [ "mooons" ])
                  [ "mooons"; "did you mean moons"; "checkerboard" ]

          testCase "a map between two times cannot be learned blind"
          <| fun () ->
              use folder = new Folder()
              refusedWithout
                  folder
                  (fun () -> train folder [ "moons"; "--loss"; "lsd"; "--blind" ])
                  [ "--blind"; "lsd"; "learns a map between two times"; "cfm" ]

          testTheory
              "a number out of range is refused"
              [ "--steps", "0"
                "--batch", "0"
                "--lr", "-1"
                "--lr", "NaN"
                "--ema", "1"
                "--depth", "0"
                "--clip", "-1"
                "--warmup", "-1" ]
          <| fun (option: string, value: string) ->
              use folder = new Folder()
              // The small run's own value of the option would be a second one.
              let words = [ "train"; "moons"; $"{option}"; value; "--runs"; folder.File "runs" ]
              refusedWithout folder (fun () -> fokker words) [ option; "expected" ]

          testCase "a number that is no number is refused"
          <| fun () ->
              use folder = new Folder()
              refusedWithout
                  folder
                  (fun () -> fokker [ "train"; "moons"; "--steps"; "many"; "--runs"; folder.File "runs" ])
                  [ "steps"; "many" ]

          testCase "an unknown option is named, with the nearest that exists"
          <| fun () ->
              use folder = new Folder()
              refusedWithout folder (fun () -> train folder [ "moons"; "--sede"; "1" ]) [ "--sede"; "--seed" ]

          testCase "an unknown command is named, with the nearest that exists"
          <| fun () -> assertRefused (fokker [ "trian" ]) [ "trian"; "train" ]

          testCase "a network that does not fit the data is refused"
          <| fun () ->
              use folder = new Folder()
              refusedWithout folder (fun () -> train folder [ "moons"; "--network"; "unet" ]) [ "unet"; "moons"; "mlp" ]

          testCase "classes where there are none are refused"
          <| fun () ->
              use folder = new Folder()
              refusedWithout folder (fun () -> train folder [ "moons"; "--labels"; "on" ]) [ "--labels"; "moons" ]

          // ---- files
          testTheory "a file that is not there is named" [ "npy:"; "csv:"; "idx:" ]
          <| fun (kind: string) ->
              use folder = new Folder()
              let file = folder.File "nowhere.bin"
              refusedWithout folder (fun () -> train folder [ kind + file ]) [ file ]

          testCase "a truncated npy file is named"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "points.npy"
              Npy.write file (Tensor.zeros Kind.Float32 [ 100; 2 ])
              File.WriteAllBytes(file, File.ReadAllBytes(file)[..300])
              refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "truncated" ]

          testCase "an npy file of the wrong rank is named with its shape"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "points.npy"
              Npy.write file (Tensor.zeros Kind.Float32 [ 7 ])
              refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "[7]" ]

          testCase "an empty data set is refused"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "points.npy"
              Npy.write file (Tensor.zeros Kind.Float32 [ 0; 2 ])
              refusedWithout folder (fun () -> train folder [ "npy:" + file ]) [ file; "no samples" ]

          testCase "NaN in the data is named with its place"
          <| fun () ->
              use folder = new Folder()
              let file = folder.File "points.csv"
              File.WriteAllText(file, "x,y\n1,2\n3,nan\n5,6\n7,8\n")
              refusedWithout folder (fun () -> train folder [ "csv:" + file ]) [ file; "line 3"; "nan" ]

          testCase "a truncated idx file is named"
          <| fun () ->
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

          testTheory
              "an empty path is refused"
              [ "likelihood --oracle M --data", "no file's name"
                "sample --out x.npy -n 2 --oracle", "no file's name"
                "sample --oracle M -n 2 --out", "--out"
                "train idx:IM,", "idx:IM,"
                "train npy:", "npy:" ]
          <| fun (words: string, said: string) ->
              use folder = new Folder()
              let mixture = folder.File "m.json"
              File.WriteAllText(mixture, """{"weights":[0.4,0.6],"means":[[-1.5],[1.0]],"stds":[0.25,0.4]}""")
              let words = [ for word in words.Split ' ' -> if word = "M" then mixture else word ]
              let words = if words.Head = "train" then words else words @ [ "" ]
              refusedWithout folder (fun () -> fokker words) [ said ]

          testCase "a link given as an output is written through"
          <| fun () ->
              use folder = new Folder()
              let mixture, target, link = folder.File "m.json", folder.File "target.npy", folder.File "link.npy"
              File.WriteAllText(mixture, """{"means":[[0]],"stds":[1]}""")
              File.WriteAllText(target, "")
              File.CreateSymbolicLink(link, "target.npy") |> ignore
              let outcome = fokker [ "sample"; "--oracle"; mixture; "-n"; "2"; "--out"; link; "--quiet" ]
              Expect.equal outcome.Code 0 outcome.Error
              Expect.equal (FileInfo(link).LinkTarget) "target.npy" ""
              Expect.equal ((Npy.read target).Shape) ([| 2; 1 |]) ""

          // ---- runs and folders
          testCase "a run that is not there is named, with those that are"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              assertRefused (fokker [ "sample"; "moons"; "--runs"; root ]) [ "moons"; "none at all" ]
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""

              for command in [ "sample"; "evaluate"; "report" ] do
                  refusedWithout
                      folder
                      (fun () -> fokker [ command; "frist"; "--runs"; root ])
                      [ "frist"; "did you mean first" ]

          testCase "a name that is taken is refused, and the run stays"
          <| fun () ->
              use folder = new Folder()
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""
              refusedWithout
                  folder
                  (fun () -> train folder [ "moons"; "--name"; "first" ])
                  [ "first"; "--resume"; "--overwrite" ]

          testTheory "a name that is no folder's is refused" [ "../up"; ".hidden"; "a/b" ]
          <| fun (name: string) ->
              use folder = new Folder()
              refusedWithout folder (fun () -> train folder [ "moons"; "--name"; name ]) [ "--name"; name ]

          testCase "a folder that cannot be made is named"
          <| fun () ->
              use folder = new Folder()
              File.WriteAllText(folder.File "runs", "a file is in the way")
              refusedWithout folder (fun () -> train folder [ "moons" ]) [ folder.File "runs"; "--runs" ]

          // /proc takes no folders, whoever asks: permissions would not stop root.
          testCase "an unwritable folder is named"
          <| fun () ->
              assertRefused
                  (fokker ([ "train"; "moons" ] @ small @ [ "--runs"; "/proc/runs" ]))
                  [ "/proc/runs"; "--runs" ]

          // Every write to /dev/full says that the disk is full; a link to it is written through.
          testCase "a full disk is named"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""
              let target = folder.File "more.npy"
              File.CreateSymbolicLink(target, "/dev/full") |> ignore
              let outcome = fokker [ "sample"; "first"; "-n"; "1000"; "--out"; target; "--quiet"; "--runs"; root ]
              assertRefused outcome [ target; "No space left" ]

          testCase "a damaged run is named"
          <| fun () ->
              use folder = new Folder()
              let root = folder.File "runs"
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""
              let run name = Path.Combine(root, "first", name)
              let record = File.ReadAllText(run "run.json")
              let resume () = fokker [ "train"; "--resume"; "--name"; "first"; "--runs"; root ]
              let sample () = fokker [ "sample"; "first"; "--runs"; root ]

              // Training goes on by its record and its state; a model is its own file.
              File.WriteAllText(run "run.json", record.Substring(0, 50))
              refusedWithout folder resume [ run "run.json" ]
              Expect.equal ((sample ()).Code) 0 ""

              File.WriteAllText(run "run.json", record.Replace("\"width\": 16", "\"width\": 32"))
              refusedWithout folder resume [ "network"; "\"16\""; "\"32\"" ]

              File.WriteAllText(run "run.json", record.Replace("\"condot\"", "\"vp\""))
              refusedWithout folder resume [ "path"; "condot"; "vp" ]
              File.WriteAllText(run "run.json", record)

              let checkpoint = File.ReadAllBytes(run "checkpoint.safetensors")
              File.WriteAllBytes(run "checkpoint.safetensors", checkpoint[.. checkpoint.Length / 2])
              refusedWithout folder resume [ "checkpoint.safetensors" ]
              Expect.equal ((sample ()).Code) 0 ""

              let model = File.ReadAllBytes(run "model.safetensors")
              File.WriteAllBytes(run "model.safetensors", model[.. model.Length / 2])
              refusedWithout folder sample [ "model.safetensors" ]

              File.Delete(run "checkpoint.safetensors")
              File.Delete(run "model.safetensors")
              refusedWithout folder sample [ "nothing has been learned" ]

          testTheory
              "an unknown sampler or grid is named, with the nearest that exists"
              [ "--solver", "huen", "heun"; "--grid", "unifrom", "uniform" ]
          <| fun (option: string, given: string, meant: string) ->
              use folder = new Folder()
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""

              refusedWithout
                  folder
                  (fun () -> fokker [ "sample"; "first"; option; given; "--runs"; folder.File "runs" ])
                  [ option; given; $"did you mean {meant}" ]

          testCase "a resumed run that is told other settings is refused"
          <| fun () ->
              use folder = new Folder()
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""

              refusedWithout
                  folder
                  (fun () ->
                      fokker [ "train"; "--resume"; "--name"; "first"; "--lr"; "0.5"; "--runs"; folder.File "runs" ])
                  [ "learningRate"; "0.5" ]

          testCase "an output of another kind than npy and png is refused"
          <| fun () ->
              use folder = new Folder()
              Expect.equal ((train folder [ "moons"; "--name"; "first" ]).Code) 0 ""

              refusedWithout
                  folder
                  (fun () -> fokker [ "sample"; "first"; "--out"; "points.gif"; "--runs"; folder.File "runs" ])
                  [ "points.gif"; ".npy"; ".png" ]

          // ---- the machine
          testTheory "a device that is not there is named" [ "cuda:99"; "tpu" ]
          <| fun (device: string) ->
              use folder = new Folder()
              refusedWithout folder (fun () -> train folder [ "moons"; "--device"; device ]) [ device; "cpu" ]

          testTheory
              "reference BLAS is told from the others by its file"
              [ "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", true
                "/usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblasp-r0.3.21.so", false
                "/usr/lib/x86_64-linux-gnu/openblas-openmp/libblas.so.3", false
                "/usr/lib/x86_64-linux-gnu/libmkl_rt.so", false ]
          <| fun (path: string, isReference: bool) -> Expect.equal ((Diagnosis.blasAt path).IsReference) isReference ""

          testTheory
              "a core type below the processor is named, with the remedy"
              [ "Haswell", "AVX-512", "AVX2"
                "haswell", "AVX-512", "AVX2"
                "Sandybridge", "AVX2", "Haswell"
                "Nehalem", "AVX-512", "SkylakeX" ]
          <| fun (coreType: string, offered: string, said: string) ->
              match Diagnosis.heldBack offered coreType with
              | None -> failtest "nothing was said"
              | Some line ->
                  for word in [ $"OPENBLAS_CORETYPE={coreType}"; offered; said; "unset" ] do
                      Expect.stringContains line word ""

                  Expect.stringLacks line "\n" ""

          testTheory
              "a core type that is right, unknown or not set needs no remedy"
              [ Some "SkylakeX", "AVX-512"
                Some "Haswell", "AVX2"
                Some "Zen", "AVX2"
                Some "Cooperlake", "AVX2"
                Some "NoSuchCore", "AVX-512"
                Some "", "AVX-512"
                None, "AVX-512" ]
          <| fun (coreType: string option, offered: string) ->
              Expect.isNone (Diagnosis.heldBack offered (Option.toObj coreType)) ""

          // Whatever OpenBLAS takes the processor for.
          testCase "OpenBLAS has the kernels that suit the processor"
          <| fun () ->
              Torch.version () |> ignore

              match Diagnosis.core (), Diagnosis.instructions () with
              | Some core, Some offered when isNull (Environment.GetEnvironmentVariable "OPENBLAS_CORETYPE") ->
                  Expect.isNone (Diagnosis.heldBack offered core) $"{core} on a processor with {offered}"
              | _ -> () // another BLAS, another processor, or somebody's own choice

          testCase "the warning about reference BLAS says what to install"
          <| fun () -> Expect.stringContains Diagnosis.remedy "apt-get install libopenblas0-openmp" "" ]
