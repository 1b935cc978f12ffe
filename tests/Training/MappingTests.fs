/// Samples that are left on the disk are those that are read into memory.
module Fokker.Tests.Training.MappingTests

open System
open System.IO
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Training.Support

/// Runs `work` with these variables of the environment.
let private within (variables: (string * string) list) (work: unit -> 'T) : 'T =
    let before = [ for name, _ in variables -> name, Environment.GetEnvironmentVariable name ]

    try
        for name, value in variables do
            Environment.SetEnvironmentVariable(name, value)

        work ()
    finally
        for name, value in before do
            Environment.SetEnvironmentVariable(name, value)

/// As where there is no memory for a single sample; what is decoded is kept in this folder.
let private withoutMemory (cache: string) (work: unit -> 'T) : 'T =
    within [ "FOKKER_DATA_MB", "0"; "XDG_CACHE_HOME", cache ] work

let private isMapped (data: Dataset) =
    match data.Content with
    | Finite(train, heldOut) -> train.Places.IsSome && heldOut.Places.IsSome
    | Law _ -> false

/// What training and measuring see of the data.
let private seen (data: Dataset) =
    Scope.run (fun () ->
        let rng = Rng.ofSeed 2L
        let batches = Dataset.batches Kind.Float32 5 rng data
        let numbers (batch: Batch) = Tensor.toFloats batch.Data, batch.Label |> Option.map Tensor.toFloats
        Dataset.digest data,
        data.Shape,
        data.Classes,
        data.Notes,
        [ for step in 0L .. 4L -> numbers (batches step) ],
        numbers (Dataset.heldOut Kind.Float32 100 rng data),
        Tensor.toFloats (Dataset.sample Kind.Float32 7 rng data))

let private cached (cache: string) =
    let folder = Path.Combine(cache, "fokker", "pictures")
    if Directory.Exists folder then Directory.GetFiles(folder, "*.pixels") else [||]

[<Tests>]
let tests =
    testList
        "Training.Mapping"
        [ testTheory "a folder of pictures" [ ""; ",size=6"; ",colour=grey"; ",size=6,crop=4,flip=on"; ",skip=corrupt" ]
          <| fun (settings: string) ->
              inFolder (fun root ->
                  let folder, cache = Path.Combine(root, "shapes"), Path.Combine(root, "cache")
                  Shapes.write folder 4 8 20

                  if settings = ",skip=corrupt" then
                      File.WriteAllText(Path.Combine(folder, "circle", "00000.png"), "no picture")

                  let load () = Datasets.load $"folder:{folder}{settings}"
                  let held = load ()
                  Expect.isFalse (isMapped held) ""
                  Expect.isEmpty (cached cache) "nothing is written while there is memory"

                  withoutMemory cache (fun () ->
                      let mapped = load ()
                      Expect.isTrue (isMapped mapped) ""
                      Expect.equal (seen mapped) (seen held) ""

                      // Decoded once.
                      let file = Array.exactlyOne (cached cache)
                      let written = File.GetLastWriteTimeUtc file
                      Expect.equal (seen (load ())) (seen held) "again"
                      Expect.equal (cached cache) [| file |] ""
                      Expect.equal (File.GetLastWriteTimeUtc file) written ""

                      // What is damaged there is made again, and so is what was of other pictures.
                      File.WriteAllBytes(file, [| 1uy; 2uy |])
                      Expect.equal (seen (load ())) (seen held) "a file that was cut short"
                      Shapes.write folder 5 8 20
                      Expect.equal (seen (load ())) (within [ "FOKKER_DATA_MB", "100" ] load |> seen) "other pictures"))

          testCase "pictures without a colour have one channel"
          <| fun () ->
              inFolder (fun root ->
                  let folder = Path.Combine(root, "grey")
                  Directory.CreateDirectory folder |> ignore

                  for k in 1..4 do
                      let bytes = Array.init 30 (fun i -> byte (7 * i + k))
                      File.WriteAllBytes(Path.Combine(folder, $"{k}.png"), Pictures.Png.encode 1 5 6 bytes)

                  let load () = Datasets.load $"folder:{folder}"
                  let held = load ()
                  Expect.equal held.Shape [ 1; 5; 6 ] ""
                  withoutMemory (Path.Combine(root, "cache")) (fun () -> Expect.equal (seen (load ())) (seen held) ""))

          testTheory "an array of pictures" [ [ 9; 3; 5; 4 ]; [ 9; 5; 4 ]; [ 9; 5; 6; 3 ] ]
          <| fun (shape: int list) ->
              inFolder (fun root ->
                  let file, labels = Path.Combine(root, "x.npy"), Path.Combine(root, "y.npy")
                  let count = List.fold (*) 1 shape
                  Scope.run0 (fun () ->
                      Npy.write file (Tensor.ofArray shape [| for i in 1..count -> byte (i * 37) |])
                      Npy.write labels (Tensor.ofArray [ 9 ] [| for i in 0..8 -> int64 (i % 3) |]))
                  let load () = Datasets.load $"npy:{file},{labels}"
                  let held = load ()
                  Expect.isFalse (isMapped held) ""

                  withoutMemory root (fun () ->
                      let mapped = load ()
                      Expect.isTrue (isMapped mapped) ""
                      Expect.equal (seen mapped) (seen held) ""))

          // A file with a hole in it takes no room on the disk.
          testCase "an array larger than the memory"
          <| fun () ->
              inFolder (fun root ->
                  let file, side = Path.Combine(root, "x.npy"), 4096
                  let row = int64 side * int64 side
                  let count = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * 3L / 2L / row

                  using (File.Create file) (fun stream ->
                      let text =
                          $"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 1, {side}, {side}), }}"
                      let header = Text.Encoding.ASCII.GetBytes(text.PadRight 117 + "\n")
                      stream.Write(ReadOnlySpan [| 0x93uy; yield! "NUMPY"B; 1uy; 0uy; byte header.Length; 0uy |])
                      stream.Write(ReadOnlySpan header)
                      stream.SetLength(128L + count * row)
                      // The last pixel of the last row, which is no longer all of one grey.
                      stream.Position <- stream.Length - 1L
                      stream.WriteByte 255uy)

                  Scope.run0 (fun () ->
                      let data = Datasets.load $"npy:{file}"
                      Expect.isTrue (isMapped data) ""
                      let batch = Dataset.batches Kind.Float32 1 (Rng.ofSeed 2L) data 0L
                      Expect.isTrue (batch.Data.Shape = [| 1; 1; side; side |]) ""

                      match data.Content with
                      | Law _ -> failtest "a file is no law"
                      | Finite(train, heldOut) ->
                          Expect.equal (int64 (train.Count + heldOut.Count)) count ""
                          let last = Tensor.ofArray [ 1 ] [| count - 1L |]
                          let row = Table.rows last (Table.ofRows train.Rows None)
                          Expect.equal ((Tensor.max row).ToFloat()) 255.0 "the end of the file"))

          testCase "a training on what is on the disk ends with the same bytes"
          <| fun () ->
              inFolder (fun root ->
                  let folder = Path.Combine(root, "shapes")
                  Shapes.write folder 4 8 20

                  let trained (name: string) =
                      let data = Datasets.load $"folder:{folder},flip=on"
                      let recipe =
                          { TrainingRequest.recipe data TrainingRequest.standard with
                              Width = 8
                              Steps = 4L
                              Batch = 6 }
                      let place = Path.Combine(root, name)
                      use claim = Run.claim place
                      Run.replace claim (Recipe.settings recipe)
                      let result = Run.train claim (Job.plan (Runs.job recipe data)) (fun _ _ -> ()) (fun () -> false)
                      Scope.free result.State
                      File.ReadAllBytes(Run.modelFile place)

                  let held = trained "held"
                  Expect.isTrue (withoutMemory root (fun () -> trained "mapped") = held) "") ]
