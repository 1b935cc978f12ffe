/// Files that a disk, a network or somebody has changed: one line that names the file, or what the file says, and never something else.
module Fokker.Tests.Hostile.DamageTests

open System
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json.Nodes
open Expecto
open Fokker
open Fokker.Tests
open Fokker.Tests.Torch.Support

let private utf8 (text: string) = Encoding.UTF8.GetBytes text

/// A file of these bytes, and what `read` makes of it.
let private reading (folder: string) (name: string) (bytes: byte[]) (read: string -> 'T) : Result<'T, string> =
    let path = Path.Combine(folder, name)
    File.WriteAllBytes(path, bytes)

    try
        Ok(read path)
    with :? UserError as e ->
        Expect.stringContains e.Message path ""
        Expect.stringLacks e.Message "\n" ""
        Error e.Message

/// `bytes` with one bit turned.
let private flipped (bytes: byte[]) (bit: int) =
    let copy = Array.copy bytes
    copy[bit / 8] <- copy[bit / 8] ^^^ (1uy <<< (bit % 8))
    copy

// ---- digests

let private small = Networks.mlp { Mlp.standard 2 with Width = 4; Depth = 1 }

let private state () = Trainer.init Kind.Float32 (Rng.ofSeed 3L) small

let private same (a: TrainState) (b: TrainState) =
    let tensors (s: TrainState) = Array.concat [ s.Parameters; s.Average; s.FirstMoment; s.SecondMoment ]

    a.Step = b.Step
    && Rng.text a.Key = Rng.text b.Key
    && Array.forall2 Tensor.same (tensors a) (tensors b)

// ---- archives

let private gzipped (bytes: byte[]) (times: int) =
    use target = new MemoryStream()

    for _ in 1..times do
        use gzip = new GZipStream(target, CompressionLevel.SmallestSize, leaveOpen = true)
        gzip.Write bytes

    target.ToArray()

// ---- JSON

let private create (folder: string) settings =
    use claim = Run.claim folder
    Run.create claim settings

/// A key twice, half of a surrogate pair in a value and in a key, bytes that are no UTF-8, numbers that no type holds.
let private bad: byte[] list =
    [ utf8 """{"means":[[0]],"stds":[1],"stds":[1]}"""
      utf8 """{"settings":{"a":1,"a":2}}"""
      utf8 """{"means":"\ud800"}"""
      utf8 """{"settings":{"dataSet":"\udc00 moons"}}"""
      utf8 """{"\udfff":1}"""
      Array.concat [ utf8 "{\"settings\":{\"dataSet\":\""; [| 0xC3uy; 0x28uy |]; utf8 "\"}}" ]
      [| 0xFFuy; 0xFEuy; 0x7Buy; 0uy; 0x7Duy; 0uy |]
      utf8 (String('[', 100_000))
      utf8 "{\n  \"settings\": {\n    \"labels\": f(1)alse,\n    \"path\": \"x\"\n  }\n}\n"
      utf8 ""
      utf8 "null"
      utf8 "{\"settings\":null}" ]

// ---- tables

let private csv (text: string) =
    let folder = Directory.CreateTempSubdirectory("fokker-csv-").FullName

    try
        reading folder "t.csv" (utf8 text) (fun path ->
            Scope.run (fun () -> let x = Csv.read path in List.ofArray x.Shape, List.ofArray (Tensor.toFloats x)))
    finally
        Directory.Delete(folder, true)

let private table shape values : Result<int list * float list, string> = Ok(shape, values)

// ---- numbers and labels

let private dataset (x: Tensor) = Dataset.ofSamples "x" "" "FILE" x None

let private columns (values: float list list) = f64 [ values.Length; values.Head.Length ] (List.concat values)

// ---- what is written, and where

let private ofText (text: string) = fun (stream: Stream) -> stream.Write(ReadOnlySpan(utf8 text))

[<Tests>]
let tests =
    testList
        "Hostile.Damage"
        [
          // A turned bit in the name of the digest's key leaves a checkpoint without a digest, and as it was: that is the one thing that may pass.
          testCase "a checkpoint with a bit turned anywhere is refused"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "whole")
                  let state = state ()
                  Checkpoint.write file small [ "units", "0;1" ] state
                  let bytes = File.ReadAllBytes file
                  let key = Encoding.Latin1.GetString(bytes).IndexOf "fokker-sha256"
                  let mutable passed = 0

                  // Every bit of the header's beginning, and one in seven of what follows.
                  for bit in Seq.append [ 0 .. 8 * 200 - 1 ] [ 8 * 200 .. 7 .. 8 * bytes.Length - 1 ] do
                      Scope.run0 (fun () ->
                          match reading folder "x" (flipped bytes bit) (fun path -> Checkpoint.read path small) with
                          | Error _ -> ()
                          | Ok(read, notes) ->
                              Expect.isTrue (bit / 8 >= key && bit / 8 < key + 13) $"bit {bit} of {8 * bytes.Length}"
                              Expect.isTrue (same state read && notes = Map [ "units", "0;1" ]) ""
                              passed <- passed + 1)

                  Expect.isLessThanOrEqual passed (8 * 13) "")

          testCase "a file of another program has no digest, and is read"
          <| fun () ->
              inFolder (fun folder ->
                  let header = """{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"""
                  let bytes value =
                      Array.concat
                          [ BitConverter.GetBytes(int64 header.Length)
                            utf8 header
                            BitConverter.GetBytes(value: float32) ]
                  let read path = (Safetensors.read path).Tensors["x"].ToFloat()
                  equal (Ok 2.5: Result<float, string>) (reading folder "x" (bytes 2.5f) read)

                  // The tensor is named; who wants such numbers has them.
                  for value in [ nanf; infinityf; -infinityf ] do
                      let outcome = reading folder "x" (bytes value) read
                      Expect.isTrue (Result.isError outcome) ""
                      Result.mapError (fun (text: string) -> Expect.stringContains text "'x'" "") outcome |> ignore
                      let any =
                          reading folder "x" (bytes value) (fun path ->
                              (Safetensors.readAny path).Tensors["x"].ToFloat())
                      equal (Ok(float value): Result<float, string>) any)

          testCase "a digest that is none is refused, and its key is the format's own"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x")
                  Safetensors.write path [ "a", "b" ] [ "w", Tensor.ones Kind.Float32 [ 3 ] ]
                  equal [ "a", "b" ] (Map.toList (Safetensors.read path).Metadata)
                  raises<ArgumentException> [ "fokker-sha256" ] (fun () ->
                      Safetensors.write path [ "fokker-sha256", "0" ] [ "w", Tensor.ones Kind.Float32 [ 3 ] ])

                  let header =
                      """{"__metadata__":{"fokker-sha256":"12"},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"""
                  let bytes =
                      Array.concat [ BitConverter.GetBytes(int64 header.Length); utf8 header; Array.zeroCreate 4 ]
                  Expect.isTrue (Result.isError (reading folder "y" bytes Safetensors.read)) "")

          testCase "an npz whose payload has a bit turned is refused"
          <| fun () ->
              inFolder (fun folder ->
                  let path = Path.Combine(folder, "x.npz")
                  let x = Rng.normal Kind.Float64 [ 4; 2 ] (Rng.ofSeed 1L)
                  Npz.write path [ "x", x ]
                  let bytes = File.ReadAllBytes path
                  // The entry's bytes end where the directory begins.
                  let magic = Encoding.Latin1.GetString(bytes).IndexOf "NUMPY"
                  let last = magic - 1 + 128 + 64

                  for bit in 8 * magic .. 8 * last - 1 do
                      Expect.isTrue (Result.isError (reading folder "y.npz" (flipped bytes bit) Npz.read)) $"bit {bit}")

          testCase "an archive that unpacks to gigabytes is refused before it is unpacked"
          <| fun () ->
              inFolder (fun folder ->
                  let megabytes = 1 <<< 20
                  let before = (Torch.memory ()).Peak
                  let header = [| 0uy; 0uy; 8uy; 2uy; 0uy; 0uy; 16uy; 0uy; 0uy; 16uy; 0uy; 0uy |] // 4096 × 2²⁰ bytes
                  let bomb = Array.append (gzipped header 1) (gzipped (Array.zeroCreate (4 * megabytes)) 64)
                  let outcome = reading folder "bomb.gz" bomb Idx.read
                  equal
                      (Error "": Result<unit, string>)
                      (outcome |> Result.map ignore |> Result.mapError (fun _ -> ""))
                  Result.mapError (fun (text: string) -> Expect.stringContains text "gunzip" "") outcome |> ignore

                  // More than the header says, and less.
                  let says (n: byte) = [| 0uy; 0uy; 8uy; 1uy; 0uy; 0uy; 0uy; n |]
                  equal
                      3L
                      (Scope.run (fun () ->
                          (Result.toOption (
                              reading folder "ok" (gzipped (Array.append (says 3uy) [| 1uy; 2uy; 3uy |]) 1) Idx.read
                          ))
                              .Value.Count))
                  Expect.isTrue
                      (Result.isError (
                          reading
                              folder
                              "more"
                              (gzipped (Array.append (says 3uy) (Array.zeroCreate (4 * megabytes))) 1)
                              Idx.read
                      ))
                      ""
                  Expect.isTrue (Result.isError (reading folder "less" (gzipped (says 3uy) 1) Idx.read)) ""

                  let npz = Path.Combine(folder, "bomb.npz")

                  (use archive = new ZipArchive(File.Create npz, ZipArchiveMode.Create)
                   use target = archive.CreateEntry("x.npy", CompressionLevel.SmallestSize).Open()
                   let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (335544320,), }"
                   target.Write(
                       ReadOnlySpan [| 0x93uy; 78uy; 85uy; 77uy; 80uy; 89uy; 1uy; 0uy; byte text.Length; 0uy |]
                   )
                   target.Write(ReadOnlySpan(utf8 text))
                   let zeros = Array.zeroCreate (4 * megabytes)
                   for _ in 1..80 do
                       target.Write(ReadOnlySpan zeros))

                  refused [ npz; "unzip" ] (fun () -> Npz.read npz |> ignore)
                  Expect.isLessThan ((Torch.memory ()).Peak - before) (64L <<< 20) "")

          testCase "JSON that parses and cannot be read is refused"
          <| fun () ->
              inFolder (fun folder ->
                  let run = Path.Combine(folder, "run")
                  Directory.CreateDirectory run |> ignore

                  for bytes in bad do
                      let of' read = reading folder "x.json" bytes read |> Result.isError
                      Expect.isTrue (of' Mixture.read) (Encoding.Latin1.GetString(bytes, 0, min 50 bytes.Length))

                      let header = Array.concat [ BitConverter.GetBytes(int64 bytes.Length); bytes ]
                      Expect.isTrue (reading folder "x.safetensors" header Safetensors.read |> Result.isError) ""

                      File.WriteAllBytes(Run.runFile run, bytes)
                      refused [ Run.runFile run ] (fun () -> Runs.recipe (Runs.at run) |> ignore))

          testCase "a run's record with values that no recipe has is refused"
          <| fun () ->
              inFolder (fun folder ->
                  let run = Path.Combine(folder, "run")
                  let recipe = Recipe.standardFor (Datasets.load "moons")
                  create run (Recipe.settings recipe)
                  let text = File.ReadAllText(Run.runFile run)

                  for name, value in
                      [ "width", "1e300"
                        "width", "\"16\""
                        "width", "2147483648"
                        "seed", "1e999"
                        "steps", "0.5"
                        "labels", "0"
                        "learningRate", "\"NaN\""
                        "path", "[]"
                        "dtype", "{}"
                        "ema", "null" ] do
                      let changed = JsonNode.Parse(text) |> nonNull
                      let settings = nonNull (changed["settings"])
                      settings[name] <- JsonNode.Parse value
                      File.WriteAllText(Run.runFile run, changed.ToJsonString())

                      match value with
                      | "1e300"
                      | "1e999"
                      | "null" -> ()
                      | _ -> ()

                      refused [ Run.runFile run ] (fun () -> Runs.recipe (Runs.at run) |> ignore)

                  // What a data set in memory looked like.
                  for units in [ "0"; "x;1"; "0;0"; "0;-1"; "0;NaN"; "0;1,2"; "1e999;1"; ";" ] do
                      let data = $"""{{"shape":[2],"classes":[],"units":"{units}","summary":""}}"""
                      let settings =
                          ("data", nonNull (JsonNode.Parse data))
                          :: Recipe.settings { recipe with DataSet = "memory:x" }
                      let place = Path.Combine(folder, Guid.NewGuid().ToString())
                      create place settings
                      let run = Runs.at place
                      // A run of Fokker 0.1, which has no model's file, is read by its record.
                      File.WriteAllText(run.Checkpoint, "")
                      refused [ run.Record ] (fun () -> Runs.trainedIn OwnParts.none None None run |> ignore))

          testCase "a history with a line that no run writes is read without it"
          <| fun () ->
              inFolder (fun folder ->
                  let file = Path.Combine(folder, "metrics.jsonl")
                  let sound = { Step = 5L; Loss = 1.0; GradientNorm = 2.0; Rate = 0.1; Seconds = 3.0 }: Metric
                  let line step seconds =
                      $"{{\"step\":{step},\"loss\":1,\"gradient_norm\":1,\"rate\":1,\"seconds\":{seconds}}}"

                  File.WriteAllLines(
                      file,
                      [ line "1e300" "1"
                        line "1" "1e308"
                        line "-4" "1"
                        line "1" "-1"
                        Metrics.line sound
                        "{"
                        "\000"
                        line "1" "\"x\"" ]
                  )

                  equal [ sound ] (Metrics.read file))

          testCase "csv: quotes hold commas, line ends and quotes"
          <| fun () ->
              let rows = table [ 2; 2 ] [ 1.0; 2.0; 3.0; 4.0 ]

              for header in
                  [ "\"x, m\",\"y, m\""; "\"say \"\"x\"\"\",y"; "\"two\nlines\",y"; ",x"; "x,NA"; "x , y"; "é,\"ü\"" ] do
                  for body in [ "1,2\n3,4\n"; "\"1\",\"2\"\r\n 3 , \"4\""; "1,2\n3,4\n\n\n" ] do
                      equal rows (csv $"{header}\n{body}")

              equal rows (csv "\uFEFFx,y\n1,2\n3,4\n")

          testCase "csv: a first row that was meant as data is not taken for a header"
          <| fun () ->
              for first, said in
                  [ "inf,inf", "'inf'"
                    "-inf,-inf", "'-inf'"
                    "nan,NaN", "'nan'"
                    "NA,NA", "'NA'"
                    ",", "''"
                    "null,NULL", "'null'"
                    "-,?", "'-'"
                    "1e999,1e999", "'1e999'"
                    "\"6,2882\",\"-1,5506\"", "decimal comma"
                    "x,inf", "'x'" ] do
                  match csv $"{first}\n1,2\n3,4\n5,6\n" with
                  | Ok _ -> failtest $"{first} was taken for a header"
                  | Error text ->
                      Expect.stringContains text "line 1" ""
                      Expect.stringContains text said ""

          testCase "csv: what is wrong is told with its line, also after a quoted line end"
          <| fun () ->
              for text, parts in
                  [ "x,y\n1,2\n\"3,5\",4\n", [ "line 3, column 1 is '3,5'"; "write 3.5" ]
                    "\"a\nb\",y\n1,2\n3,four\n", [ "line 4, column 2 is 'four'" ]
                    "x;y\n1;2\n", [ "line 2"; "separated by commas" ]
                    "x\ty\n1\t2\n", [ "line 2"; "separated by commas" ]
                    "x,y\n1,2\n\"3,4\n5,6\n", [ "line 3 has 1 cells" ]
                    "\n1,2\n", [ "first line is empty" ]
                    "1\n\n2\n", [ "line 2" ]
                    "1,2\n3,4\000\n", [ "line 2, column 2" ]
                    "1,2\n\"3\n4\",5\n", [ "line 2, column 1 is '3 4'" ] ] do
                  match csv text with
                  | Ok _ -> failtest $"nothing was refused: {text}"
                  | Error said ->
                      for part in parts do
                          Expect.stringContains said part ""

          testCase "data that single precision does not hold are refused with their place, and with what to do"
          <| fun () ->
              for value in [ 1e200; -1e200; 1e38; 1e31 ] do
                  refused [ "FILE"; "row 1, column 0"; "divide" ] (fun () ->
                      dataset (columns [ [ 1.0; 2.0 ]; [ value; 3.0 ]; [ 4.0; 5.0 ] ]) |> ignore)

              refused [ "FILE"; "column 1"; "multiply" ] (fun () ->
                  dataset (columns [ [ 1.0; 1e-40 ]; [ 2.0; 2e-40 ]; [ 4.0; 0.0 ] ]) |> ignore)

              let sound = dataset (columns [ [ 1e30; 1e-29 ]; [ -1e30; 0.0 ]; [ 0.0; 3e-29 ] ])
              Expect.isTrue (sound.Units.Scale |> Array.forall (fun scale -> scale > 0.0 && Double.IsFinite scale)) ""

          // The mean of n equal numbers is not that number as often as it is, and what is left of them was a deviation to divide by.
          testCase "a constant column keeps its scale, whatever its value"
          <| fun () ->
              for value in [ 0.1; 1.0 / 3.0; 1e-20; 12345.678; -0.7; 1e25 ] do
                  let units = (dataset (columns [ for k in 0..98 -> [ value; float k ] ])).Units
                  equal value units.Shift[0]
                  equal 1.0 units.Scale[0]

          testCase "labels are refused where a class would have nobody, or there would be too many"
          <| fun () ->
              let labelled (labels: int64 list) =
                  Dataset.ofSamples
                      "x"
                      ""
                      "FILE"
                      (Tensor.zeros Kind.Float32 [ labels.Length; 1; 2; 2 ])
                      (Some(Tensor.ofArray [ labels.Length ] (Array.ofList labels)))

              equal [ "0"; "1"; "2" ] (labelled [ 2L; 0L; 1L; 1L ]).Classes
              refused [ "FILE"; "label 1"; "without gaps" ] (fun () -> labelled [ 0L; 2L; 7L ] |> ignore)
              refused [ "FILE"; "label 0"; "without gaps" ] (fun () -> labelled [ 1L; 2L ] |> ignore)

              for label in [ 65_536L; 50_000_000L; 2_000_000_000L; Int64.MaxValue ] do
                  refused [ "FILE"; string label; "65536" ] (fun () -> labelled [ 0L; label ] |> ignore)

          testCase "a mixture's labels are of its components"
          <| fun () ->
              inFolder (fun folder ->
                  for labels in
                      [ "[2000000000]"; "[1e300]"; "[-1e300]"; "[5000000]"; "[0.5]"; "[1]"; "[-1]"; "[1e999]" ] do
                      let text = utf8 $"""{{"means":[[0,0]],"stds":[1],"labels":{labels}}}"""
                      Expect.isTrue (Result.isError (reading folder "m.json" text Mixture.read)) labels)

          testCase "empty paths are refused, whoever gives them"
          <| fun () ->
              for path in [ ""; " "; "a\000b" ] do
                  for action in
                      [ (fun () -> Npy.read path |> ignore)
                        (fun () -> Npz.read path |> ignore)
                        (fun () -> Idx.read path |> ignore)
                        (fun () -> Csv.read path |> ignore)
                        (fun () -> Safetensors.read path |> ignore)
                        (fun () -> Mixture.read path |> ignore)
                        (fun () -> Npy.write path (Tensor.zeros Kind.Float32 [ 1 ])) ] do
                      refused [ "no file's name" ] action

              for data in [ "idx:IM,"; "idx:,LABELS"; "idx:,"; "idx:"; "npy:"; "csv:" ] do
                  refused [ data ] (fun () -> Datasets.load data |> ignore)

          testCase "a link stays, and what it points to is replaced"
          <| fun () ->
              inFolder (fun folder ->
                  let path name = Path.Combine(folder, name)
                  Directory.CreateDirectory(path "other") |> ignore
                  File.WriteAllText(path "other/target", "old")
                  File.CreateSymbolicLink(path "link", "other/target") |> ignore
                  File.CreateSymbolicLink(path "chain", path "link") |> ignore
                  File.CreateSymbolicLink(path "dangling", path "other/new") |> ignore
                  File.CreateSymbolicLink(path "loop", path "loop") |> ignore

                  Disk.replace (path "link") (ofText "one")
                  equal "one" (File.ReadAllText(path "other/target"))
                  Disk.replace (path "chain") (ofText "two")
                  equal "two" (File.ReadAllText(path "other/target"))
                  Disk.replace (path "dangling") (ofText "three")
                  equal "three" (File.ReadAllText(path "other/new"))

                  for link in [ "link"; "chain"; "dangling" ] do
                      Expect.isNotNull (FileInfo(path link).LinkTarget) link

                  refused [ path "loop" ] (fun () -> Disk.replace (path "loop") (ofText "x"))
                  Disk.replace "/dev/null" (ofText "x")
                  Expect.isTrue (File.Exists "/dev/null" && FileInfo("/dev/null").Length = 0L) ""
                  refused [ "/dev/full" ] (fun () -> Disk.replace "/dev/full" (ofText "x"))
                  equal 3 (Directory.GetFiles(path "other").Length + 1))

          testCase
              "what is written goes through no link that was put in its way, and what a killed writer left is swept"
          <| fun () ->
              inFolder (fun folder ->
                  let path name = Path.Combine(folder, name)
                  File.WriteAllText(path "victim", "mine")

                  for name in [ "x.partial"; "x.01234567.partial" ] do
                      File.CreateSymbolicLink(path name, path "victim") |> ignore

                  File.WriteAllText(path "x.89abcdef.partial", "left over")
                  File.SetLastWriteTimeUtc(path "x.89abcdef.partial", DateTime.UtcNow.AddMinutes -1.0)
                  File.WriteAllText(path "x.76543210.partial", "somebody's, just begun")
                  Disk.replace (path "x") (ofText "new")
                  equal "mine" (File.ReadAllText(path "victim"))
                  equal "new" (File.ReadAllText(path "x"))
                  equal false (File.Exists(path "x.89abcdef.partial"))
                  equal true (File.Exists(path "x.76543210.partial")))

          testCase "a pipe in a file's place is refused"
          <| fun () ->
              refused [ "/dev/zero" ] (fun () -> Npy.read "/dev/zero" |> ignore)
              refused [ "/dev/zero" ] (fun () -> Mixture.read "/dev/zero" |> ignore) ]
